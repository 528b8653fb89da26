"""Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017), 28 x 28 grey images of garments in ten classes; and data like it."""

import os
import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minigrad.console import without_control
from nn.fashion import idx
from nn.fashion.class_names import MOST_CLASSES, checked_names, read_names
from nn.fashion.download import cache_folder, fetch
from nn.fashion.idx import ANY_SIZE, DataError, IdxContent, IdxFile
from nn.fashion.pictures import has_pictures, read_pictures

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)
SIZE = (28, 28)  # rows and columns
# Of the pixels of all training images, scaled to [0, 1].
MEAN = 0.2860
STD = 0.3530

FILES = {
    "train_images": IdxFile("train-images-idx3-ubyte", SIZE, "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
    "train_labels": IdxFile("train-labels-idx1-ubyte", (), "9018921c3c673c538a1fc5bad174d6f9"),
    "test_images": IdxFile("t10k-images-idx3-ubyte", SIZE, "8181f5470baa50b63fa0f6fddb340f0a"),
    "test_labels": IdxFile("t10k-labels-idx1-ubyte", (), "15d484375f8d13e6eb1aabb0c3f46965"),
}
# MNIST and KMNIST have the names of `FILES`, EMNIST "emnist-letters-test-images-idx3-ubyte"; some mirrors put a dot.
FILE_NAME = re.compile(r"((?:.*[-_])?)(train|t10k|test)-(images|labels)[-.]idx[13]-(?:ubyte|short|int)(?:\.gz)?")
FOLDER_VARIABLE = "FASHION_MNIST_DIR"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
SAMPLE_FOLDER = Path(__file__).parent / "sample"
HOW_TO_GET_ALL = (
    "to get all 70,000 images, run it online, install Debian's package dataset-fashion-mnist,"
    f" or name a folder that has the four files with --data or {FOLDER_VARIABLE}"
)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and their labels, as read-only arrays, and where they came from.

    The images are bytes, of Fashion-MNIST 0 (background) to 255; a label is an index into `classes`.
    """

    train_images: npt.NDArray[np.uint8]  # (n, height, width)
    train_labels: npt.NDArray[np.int64]  # (n,)
    test_images: npt.NDArray[np.uint8]  # (m, height, width)
    test_labels: npt.NDArray[np.int64]  # (m,)
    source: str  # one line for the user
    classes: tuple[str, ...] = CLASSES

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of an image."""
        _, height, width = self.train_images.shape
        return height, width

    @property
    def is_fashion_mnist(self) -> bool:
        """Whether it is the original or a part of it, by the names of the classes and the size."""
        return self.classes == CLASSES and self.size == SIZE

    def mean_and_std(self) -> tuple[float, float]:
        """Of the pixels of all training images, scaled to [0, 1]; of Fashion-MNIST `MEAN` and `STD`, published ones.

        Raises `DataError` if all pixels are the same.
        """
        if self.is_fashion_mnist:
            return MEAN, STD
        counts = sum(np.bincount(image.ravel(), minlength=256) for image in self.train_images)
        grey = np.arange(256) / 255
        mean = float(np.average(grey, weights=counts))
        std = float(np.average((grey - mean) ** 2, weights=counts) ** 0.5)
        if np.count_nonzero(counts) < 2:
            raise DataError(f"all pixels of the training images are {mean:.0%} grey: there is nothing to learn from")
        return mean, std


def load(
    folder: str | os.PathLike[str] | None = None, *, download: bool = True, size: tuple[int, int] | None = None
) -> Dataset:
    """Load the data from the first source there is; with `size`, a folder's pictures as so many rows and columns.

    1. `folder`, if given
    2. the folder that the environment variable FASHION_MNIST_DIR names, if set
    3. the folder of Debian's package dataset-fashion-mnist
    4. the user's cache folder
    5. a download into the cache folder, unless `download` is false
    6. the bundled sample: 6,000 + 1,000 images of the real data; `source` then says why, and how to get all

    A folder has four files, each gzip-packed (.gz) or raw, or pictures in folders; see `read_folder`. What has other
    data than the original under its names, and no names of its own for the classes, is taken with a warning. Raises
    `DataError` when a folder somebody asked for (1, 2) lacks a file or has a broken one, or when there is another size
    than the one given; a broken file in 3 or 4 gives a warning and the next source.

    >>> data = load(download=False)
    >>> data.train_images.shape[1:], data.train_images.dtype.name, CLASSES[data.train_labels[0]]
    ((28, 28), 'uint8', 'Ankle boot')
    """
    data = _first_source(folder, download, size)
    if size is not None and size != data.size:
        found, wanted = (" x ".join(map(str, sides)) for sides in (data.size, size))
        raise DataError(f"the images have {found} pixels, not {wanted}: only pictures in folders are brought to a size;"
                        f" these are {data.source}")
    return data


def _first_source(folder: str | os.PathLike[str] | None, download: bool, size: tuple[int, int] | None) -> Dataset:
    if folder is not None:
        return read_folder(Path(folder), size)
    if chosen := os.environ.get(FOLDER_VARIABLE):
        try:
            return read_folder(Path(chosen), size)
        except DataError as error:
            raise DataError(f"{FOLDER_VARIABLE} is set, but {error}") from error
    for place in (DEBIAN_FOLDER, cache_folder()):
        if all(file.find(place) for file in FILES.values()):
            try:
                return read_folder(place)
            except DataError as error:
                warnings.warn(f"{error}; looking for the data elsewhere", stacklevel=3)
    if not download:
        return _read_sample("no folder has the full data and downloading is switched off")
    try:
        fetch(FILES.values(), cache_folder())
        return read_folder(cache_folder())
    except DataError as error:
        return _read_sample(f"no folder has the full data and the download failed: {error}")


def read_folder(folder: Path, size: tuple[int, int] | None = None) -> Dataset:
    """Read and check the data set in a folder; raises `DataError` when something is missing or broken.

    The folder has the four IDX files of Fashion-MNIST, or of other data in this form, whose classes a file
    `classes.txt` may name, one a line; of several data sets `folder/emnist-letters` stands for the files that begin so.
    Or it has pictures, see `nn.fashion.pictures.read_pictures`; only these are brought to a size.

    >>> read_folder(SAMPLE_FOLDER).train_images.shape
    (6000, 28, 28)
    """
    folder = Path(os.path.expanduser(folder))  # no shell expands the ~ of --data=~/images
    prefix, paths = _find_files(folder)
    if not paths and has_pictures(folder):
        images, labels, classes = read_pictures(folder, size)
        data = Dataset(images["train"], labels["train"], images["test"], labels["test"], "", classes)
    else:
        data = _read_idx(folder, prefix, paths)
    kind = "" if data.is_fashion_mnist else f" of {data.size[0]} x {data.size[1]} pixels in {len(data.classes)} classes"
    line = f"{len(data.train_labels):,} training and {len(data.test_labels):,} test images{kind} from {folder}"
    return replace(data, source=without_control(line))


def _read_sample(reason: str) -> Dataset:
    sample = read_folder(SAMPLE_FOLDER)
    line = (f"{len(sample.train_images):,} training and {len(sample.test_images):,} test images from the bundled"
            f" sample, because {reason}; {HOW_TO_GET_ALL}")
    return replace(sample, source=" ".join(line.split()))  # the words of an operating system may hold line breaks


def _find_files(folder: Path) -> tuple[str, dict[str, Path]]:
    """What the names of a data set's files begin with, and its files by what they hold; no files if there are none."""
    place, wanted = (folder, None) if os.path.isdir(folder) else (folder.parent, f"{folder.name}-")
    found: dict[str, dict[str, Path]] = {}
    try:
        names = sorted(os.listdir(place)) if os.path.isdir(place) else []
    except OSError as error:
        raise DataError(f"{place} cannot be read: {error.strerror or error}") from error
    for name in names:
        match = FILE_NAME.fullmatch(name)
        if match and wanted in (None, match[1]) and os.path.isfile(place / name):
            part = f"{'train' if match[2] == 'train' else 'test'}_{match[3]}"
            found.setdefault(match[1], {})[part] = place / name  # a file with .gz comes after the one without
    if wanted is not None and not found:
        raise DataError(f"{folder} is not a folder")
    if len(found) > 1 and "" not in found:
        sets = [prefix.rstrip("-_") for prefix in found]
        raise DataError(f"{folder} has several data sets, {', '.join(sets)}: name one of them, as {folder / sets[0]}")
    prefix = "" if "" in found else next(iter(found), "")
    return prefix, found.get(prefix, {})


def _read_idx(folder: Path, prefix: str, paths: dict[str, Path]) -> Dataset:
    """Four IDX files as a data set; what there is of names for its classes lies beside them."""
    if missing := [file.name for part, file in FILES.items() if part not in paths]:
        missing = [prefix + name.replace("t10k", "test") for name in missing] if prefix else missing
        raise DataError(f"{folder} lacks {', '.join(missing)} (with or without .gz)")
    contents = {part: idx.read(paths[part], ANY_SIZE if file.item_shape else ()) for part, file in FILES.items()}
    _check_sizes(contents, paths)
    others = [FILES[part].name for part in FILES if contents[part].md5 != FILES[part].md5]
    named = CLASSES if not others else read_names(paths["train_labels"].with_name("classes.txt"))
    classes, first = _classes_of(contents, paths, named)
    if named is None and not prefix:
        said = (f"{folder} holds data other than the original Fashion-MNIST in {', '.join(others)}, so its classes have"
                " numbers: a file classes.txt there can name them, one a line")
        warnings.warn(without_control(said), stacklevel=5)
    images, labels = (
        {split: contents[f"{split}_{kind}"].array for split in ("train", "test")} for kind in ("images", "labels")
    )
    if prefix.startswith("emnist"):  # whose images lie on their side: rows and columns are exchanged
        images = {split: np.ascontiguousarray(array.transpose(0, 2, 1)) for split, array in images.items()}
    indices = {split: array.astype(np.int64) - first for split, array in labels.items()}
    for array in (*images.values(), *indices.values()):
        array.setflags(write=False)
    return Dataset(images["train"], indices["train"], images["test"], indices["test"], "", classes)


def _check_sizes(contents: dict[str, IdxContent], paths: dict[str, Path]) -> None:
    """As many labels as images, and test images as large as training images."""
    for split in ("train", "test"):
        images, labels = f"{split}_images", f"{split}_labels"
        if len(contents[images].array) != len(contents[labels].array):
            raise DataError(f"{paths[images]} holds {len(contents[images].array):,} images,"
                            f" but {paths[labels]} holds {len(contents[labels].array):,} labels")
    sizes = {part: " x ".join(map(str, contents[part].array.shape[1:])) for part in ("train_images", "test_images")}
    if sizes["train_images"] != sizes["test_images"]:
        raise DataError(f"{paths['train_images']} holds images of {sizes['train_images']} pixels,"
                        f" but {paths['test_images']} of {sizes['test_images']}")


def _classes_of(
    contents: dict[str, IdxContent], paths: dict[str, Path], named: tuple[str, ...] | None
) -> tuple[tuple[str, ...], int]:
    """The names of the classes, which are numbers if `named` is None, and the label of the first one: 0 or 1."""
    labels = {part: contents[part].array for part in ("train_labels", "test_labels")}
    lowest = min(int(array.min()) for array in labels.values())
    highest = max(int(array.max()) for array in labels.values())
    first = int(lowest == 1 if named is None else lowest >= 1 and highest == len(named))  # EMNIST's letters begin at 1
    last = first + (MOST_CLASSES if named is None else len(named)) - 1
    for part, array in labels.items():
        if (wrong := (array < first) | (array > last)).any():
            position = int(wrong.argmax())
            raise DataError(f"{paths[part]} has the label {array[position]} at position {position:,}:"
                            f" labels go from {first} to {last}")
    numbers = [str(label) for label in range(first, highest + 1)]
    return named or checked_names(numbers, paths["train_labels"]), first
