"""Folders of pictures as data to learn from: a folder a class, whose name is the name of the class."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minigrad.console import without_control
from nn.extras import required
from nn.fashion.class_names import checked_names
from nn.fashion.download import cache_folder, progress
from nn.fashion.idx import LARGEST, LARGEST_SIDE, DataError
from nn.fashion.photo import grey_pixels
from nn.files import FileError, load, save

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

HELD_OUT = 6  # one in so many pictures is for testing, where nobody chose them
CACHE_FORMAT = 3  # to be raised when pictures are read in another way
NAMED = 5  # files that a warning lists
ADDED = {"__MACOSX", "__pycache__"}  # folders that programs leave beside those of people


@dataclass(frozen=True, eq=False)
class Listing:
    """Which pictures there are in a folder.

    Attributes:
        folder: where all of them are.
        paths, labels: of each picture; a label is an index into `classes`.
        is_test: which are for testing.
    """

    folder: Path
    classes: tuple[str, ...]
    paths: list[Path]
    labels: Labels
    is_test: Mask


def parsed_size(text: str | None) -> tuple[int, int] | None:
    """Rows and columns, of "32" or "20x30"; raises `DataError` if it is nothing of the kind.

    >>> parsed_size("32"), parsed_size("20x30"), parsed_size(None)
    ((32, 32), (20, 30), None)
    """
    if text is None:
        return None
    words = text.lower().split("x")
    sides = [int(word) if re.fullmatch("[0-9]{1,4}", word) else 0 for word in words]
    if len(sides) > 2 or not all(1 <= side <= LARGEST_SIDE for side in sides):
        raise DataError(f"{text[:20]!r} is no size of pictures: give rows and columns of"
                        f" 1 to {LARGEST_SIDE} pixels, such as 32 or 20x30")
    return sides[0], sides[-1]


def has_pictures(folder: Path) -> bool:
    """Whether a folder may be one of pictures: there are folders in it."""
    return bool(subfolders(folder))


def read_pictures(
    folder: Path, size: tuple[int, int] | None = None, seed: int = 0
) -> tuple[dict[str, Pixels], dict[str, Labels], tuple[str, ...]]:
    """Read `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*`, of which one in six is held out for testing.

    Pictures are made grey; dark stays dark, and light stays light. Their order is a random one. What was read is kept
    in the user's cache folder until a file changes. Files that are no pictures are skipped, and folders beside `train`
    and `test` or in that of a class are left out, with a warning that names the first five. Needs Pillow.

    Args:
        folder: has a folder for each class, or `train` and `test` with such folders.
        size: rows and columns that all pictures are brought to by means of areas; None if they have one size anyhow.
        seed: of the order, and of the choice of pictures for testing; not that of a run, so that all runs are judged on
            the same ones.

    Returns images (n, height, width) and labels (n,), each under "train" and "test", and the names of the classes.

    Raises:
        DataError: in a sentence, if classes are missing, empty or only one, or if sizes differ and none is given.
    """
    try:
        required("PIL.Image", "reading pictures")
        listing = list_pictures(folder, seed)
        images, readable = kept_or_read(listing, size)
    except ImportError as error:
        raise DataError(str(error)) from error
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}") from error
    if not readable.all():
        warnings.warn(skipped(listing, readable), stacklevel=5)
    labels, is_test = listing.labels[readable], listing.is_test[readable]
    order = np.random.default_rng(seed).permutation(len(labels))  # so that the first ones are of all classes
    parts = {"train": order[~is_test[order]], "test": order[is_test[order]]}
    for part, chosen in parts.items():
        for label, name in enumerate(listing.classes):
            if not (labels[chosen] == label).any():
                raise DataError(f"{folder} has no picture of the class {name!r} to {part} with that can be read")
    all_images = {part: images[chosen] for part, chosen in parts.items()}
    all_labels = {part: labels[chosen] for part, chosen in parts.items()}
    for part in parts:
        all_images[part].setflags(write=False)
        all_labels[part].setflags(write=False)
    return all_images, all_labels, listing.classes


# ------------------------------------------------------------------------------------------------ which there are


def subfolders(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted, without hidden ones and those that programs add."""
    if not os.path.isdir(folder):  # unlike Path.is_dir, False where we may not look
        return []
    names = [name for name in os.listdir(folder) if name[0] != "." and name not in ADDED]
    return sorted(name for name in names if os.path.isdir(folder / name))


def list_pictures(folder: Path, seed: int) -> Listing:
    """Which pictures of which classes there are, by the names of folders alone."""
    has_parts = bool(subfolders(folder / "train"))
    parts = [folder / "train", folder / "test"] if has_parts else [folder]
    names = subfolders(parts[0])
    if not has_parts and {"train", "test"} <= set(names):
        raise DataError(f"{folder / 'train'} has no folders in it: each class needs one there, and one in test")
    left_out = [folder / name for name in subfolders(folder) if has_parts and folder / name not in parts]
    for name in sorted(set(names).symmetric_difference(subfolders(parts[-1]))):
        here, there = parts if name in names else parts[::-1]
        raise DataError(f"{here / name} has no counterpart in {there}: each class is to be in both")
    classes = checked_names(names, parts[0])
    paths: list[Path] = []
    labels, is_test = [], []
    for part in parts:
        for label, name in enumerate(names):
            found: list[Path] = []
            for path in sorted((part / name).iterdir()):
                if path.name[0] != "." and path.name not in ADDED:
                    (found if os.path.isfile(path) else left_out).append(path)
            least = 1 if has_parts else 2
            if len(found) < least:
                few = f"only {len(found)} picture, of two one is for testing" if found else "no pictures"
                raise DataError(f"{part / name} has {few}: add some, or remove the folder")
            paths += found
            labels += [label] * len(found)
            is_test += [part.name == "test"] * len(found)
    if left_out:
        said = f"what is neither a class nor a file in one is left out of {folder}: {first_ones(left_out, folder)}"
        warnings.warn(without_control(said), stacklevel=6)
    array = np.array(labels)
    return Listing(folder, classes, paths, array, np.array(is_test) if has_parts else held_out(array, seed))


def held_out(labels: Labels, seed: int) -> Mask:
    """Which samples are for testing: one in six of each class, but one at least.

    >>> held_out(np.array([0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]), seed=0).sum()
    np.int64(3)
    """
    rng = np.random.default_rng(seed)
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        mask[members[: max(1, len(members) // HELD_OUT)]] = True
    return mask


def skipped(listing: Listing, readable: Mask) -> str:
    """A sentence on the files that cannot be read."""
    paths = [listing.paths[i] for i in np.flatnonzero(~readable)]
    return without_control(
        f"{len(paths):,} of {len(readable):,} files in {listing.folder} cannot be read as pictures and are skipped:"
        f" {first_ones(paths, listing.folder)}"
    )


def first_ones(paths: Sequence[Path], folder: Path) -> str:
    """The first of some paths in a folder, and how many more there are."""
    rest = f" and {len(paths) - NAMED:,} more" if len(paths) > NAMED else ""
    return ", ".join(str(path.relative_to(folder)) for path in paths[:NAMED]) + rest


# ------------------------------------------------------------------------------------------------ reading them


def kept_or_read(listing: Listing, size: tuple[int, int] | None) -> tuple[Pixels, Mask]:
    """The images of all files that can be read, and which these are: from the cache, or else read and put there."""
    place = sha256(os.fsencode(f"{listing.folder.resolve()}\0{size}")).hexdigest()[:32]
    cache = cache_folder().with_name("pictures") / f"{place}.npz"
    state = sha256(f"{CACHE_FORMAT}".encode())
    for path in listing.paths:
        about = path.stat()
        state.update(os.fsencode(f"\0{path.relative_to(listing.folder)}\0{about.st_size}\0{about.st_mtime_ns}"))
    with suppress(FileError, KeyError):  # there is none, or it is damaged
        arrays, metadata = load(cache)
        images, readable = arrays["images"], arrays["readable"]
        fits = images.dtype == np.uint8 and images.ndim == 3 and size in (None, images.shape[1:])
        each = readable.dtype == bool and readable.shape == (len(listing.paths),) and readable.sum() == len(images)
        if metadata["state"] == state.hexdigest() and fits and each:
            return images, readable
    images, readable, is_lasting = read_all(listing, size)
    with suppress(FileError):  # what cannot be kept is read again next time
        if is_lasting:
            save({"images": images, "readable": readable}, cache, {"state": state.hexdigest()})
    return images, readable


def read_all(listing: Listing, size: tuple[int, int] | None) -> tuple[Pixels, Mask, bool]:
    """The images of all files that can be read, which these are, and whether the others never will be.

    They are read in threads, with a bar on a terminal.
    """
    passing: list[Path] = []  # what cannot be read now: no permission, no memory

    def attempt(path: Path) -> Pixels | None:
        try:
            return grey_pixels(path, size)
        except FileError as error:
            if isinstance(error.__cause__, MemoryError) or getattr(error.__cause__, "errno", None):
                passing.append(path)
            return None

    images, first = np.empty((0, 0, 0), np.uint8), Path()
    readable = np.zeros(len(listing.paths), bool)
    with (
        warnings.catch_warnings(action="ignore"),  # of what Pillow can do without; here, as it is not for threads
        ThreadPoolExecutor(os.cpu_count()) as threads,
        progress("pictures", len(listing.paths), "Reading", " pictures") as advance,
    ):
        for i, pixels in enumerate(threads.map(attempt, listing.paths)):
            advance(1)
            if pixels is None:
                continue
            if not readable.any():
                images, first = room_for(listing, pixels), listing.paths[i]
            if pixels.shape != images.shape[1:]:
                sizes = [f"{path} has {h} x {w} pixels" for path, (h, w) in
                         ((first, images.shape[1:]), (listing.paths[i], pixels.shape))]
                raise DataError(f"pictures differ in size, {' and '.join(sizes)}: say which size they are to get,"
                                " with --size")
            images[i] = pixels
            readable[i] = True
    return images[readable] if readable.any() else images, readable, not passing


def room_for(listing: Listing, pixels: Pixels) -> Pixels:
    """An array for all pictures of a folder, once one is known; raises `DataError` if there are too many pixels."""
    shape = (len(listing.paths), *pixels.shape)
    if max(pixels.shape) > LARGEST_SIDE or np.prod(shape, dtype=float) > LARGEST:
        raise DataError(f"{listing.folder} has {shape[0]:,} pictures of {shape[1]} x {shape[2]} pixels, more than fit:"
                        " say a smaller size with --size, such as --size 32")
    return np.empty(shape, np.uint8)
