"""Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017): 28 x 28 grey images of garments in ten classes."""

import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nn.fashion import idx
from nn.fashion.download import cache_folder, fetch
from nn.fashion.idx import DataError, IdxContent, IdxFile

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)
# Of the pixels of all training images, scaled to [0, 1].
MEAN = 0.2860
STD = 0.3530

FILES = {
    "train_images": IdxFile("train-images-idx3-ubyte", (28, 28), "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
    "train_labels": IdxFile("train-labels-idx1-ubyte", (), "9018921c3c673c538a1fc5bad174d6f9"),
    "test_images": IdxFile("t10k-images-idx3-ubyte", (28, 28), "8181f5470baa50b63fa0f6fddb340f0a"),
    "test_labels": IdxFile("t10k-labels-idx1-ubyte", (), "15d484375f8d13e6eb1aabb0c3f46965"),
}
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

    The images are bytes, 0 (background) to 255; a label is an index into `CLASSES`.
    """

    train_images: npt.NDArray[np.uint8]  # (n, 28, 28)
    train_labels: npt.NDArray[np.int64]  # (n,)
    test_images: npt.NDArray[np.uint8]  # (m, 28, 28)
    test_labels: npt.NDArray[np.int64]  # (m,)
    source: str  # one line for the user


def load(folder: str | os.PathLike[str] | None = None, *, download: bool = True) -> Dataset:
    """Load the data from the first source there is.

    1. `folder`, if given
    2. the folder that the environment variable FASHION_MNIST_DIR names, if set
    3. the folder of Debian's package dataset-fashion-mnist
    4. the user's cache folder
    5. a download into the cache folder, unless `download` is false
    6. the bundled sample: 6,000 + 1,000 images of the real data; `source` then says why, and how to get all

    A folder has four files, each gzip-packed (.gz) or raw. Whole files with other data than the original are taken
    with a warning. Raises `DataError` when a folder somebody asked for (1, 2) lacks a file or has a broken one;
    a broken file in 3 or 4 gives a warning and the next source.

    >>> data = load(download=False)
    >>> data.train_images.shape[1:], data.train_images.dtype.name, CLASSES[data.train_labels[0]]
    ((28, 28), 'uint8', 'Ankle boot')
    """
    if folder is not None:
        return read_folder(Path(folder))
    if chosen := os.environ.get(FOLDER_VARIABLE):
        try:
            return read_folder(Path(chosen))
        except DataError as error:
            raise DataError(f"{FOLDER_VARIABLE} is set, but {error}") from error
    for place in (DEBIAN_FOLDER, cache_folder()):
        if all(file.find(place) for file in FILES.values()):
            try:
                return read_folder(place)
            except DataError as error:
                warnings.warn(f"{error}; looking for the data elsewhere", stacklevel=2)
    if not download:
        return _read_sample("no folder has the full data and downloading is switched off")
    try:
        fetch(FILES.values(), cache_folder())
        return read_folder(cache_folder())
    except DataError as error:
        return _read_sample(f"no folder has the full data and the download failed: {error}")


def read_folder(folder: Path) -> Dataset:
    """Read and check the four files of a folder; raises `DataError` when one is missing or broken.

    >>> read_folder(SAMPLE_FOLDER).train_images.shape
    (6000, 28, 28)
    """
    folder = Path(os.path.expanduser(folder))  # no shell expands the ~ of --data=~/images
    paths = _find_files(folder)
    contents = {part: idx.read(path, FILES[part].item_shape) for part, path in paths.items()}
    for split in ("train", "test"):
        images, labels = f"{split}_images", f"{split}_labels"
        _check_labels(contents[labels].array, paths[labels])
        if len(contents[images].array) != len(contents[labels].array):
            raise DataError(f"{paths[images]} holds {len(contents[images].array):,} images,"
                            f" but {paths[labels]} holds {len(contents[labels].array):,} labels")
    if folder != SAMPLE_FOLDER:
        _warn_unless_original(contents, folder)
    return Dataset(
        contents["train_images"].array, _as_indices(contents["train_labels"].array),
        contents["test_images"].array, _as_indices(contents["test_labels"].array),
        source=f"{len(contents['train_images'].array):,} training and {len(contents['test_images'].array):,}"
               f" test images from {folder}",
    )


def _read_sample(reason: str) -> Dataset:
    sample = read_folder(SAMPLE_FOLDER)
    line = (f"{len(sample.train_images):,} training and {len(sample.test_images):,} test images from the bundled"
            f" sample, because {reason}; {HOW_TO_GET_ALL}")
    return replace(sample, source=" ".join(line.split()))  # the words of an operating system may hold line breaks


def _find_files(folder: Path) -> dict[str, Path]:
    if not os.path.isdir(folder):
        raise DataError(f"{folder} is not a folder")
    paths = {part: file.find(folder) for part, file in FILES.items()}
    missing = [FILES[part].name for part, path in paths.items() if path is None]
    if missing:
        raise DataError(f"{folder} lacks {', '.join(missing)} (with or without .gz)")
    return {part: path for part, path in paths.items() if path is not None}


def _check_labels(labels: npt.NDArray[np.uint8], path: Path) -> None:
    if labels.max() >= len(CLASSES):
        position = int((labels >= len(CLASSES)).argmax())
        raise DataError(f"{path} has the label {labels[position]} at position {position:,}: labels go from 0 to 9")


def _as_indices(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Bytes would overflow in the first sum somebody takes of them."""
    indices = labels.astype(np.int64)
    indices.setflags(write=False)
    return indices


def _warn_unless_original(contents: dict[str, IdxContent], folder: Path) -> None:
    others = [FILES[part].name for part, content in contents.items() if content.md5 != FILES[part].md5]
    if others:
        warnings.warn(f"{folder} holds data other than the original Fashion-MNIST in {', '.join(others)}", stacklevel=4)
