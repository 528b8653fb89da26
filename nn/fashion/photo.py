"""From a photo to the picture a network for garments knows: what was done to the pictures it learned from.

Fashion-MNIST was made from product photos (Xiao, Rasul and Vollgraf, 2017, section 2): cut to the garment, its longest
side reduced to 28 pixels, sharpened, put into the middle of 28 x 28, negated and made grey; so garments are bright on
a background of exactly 0. Here the background is found first, since a photo has any colour there.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nn.extras import required
from nn.files import FileError, check_is_file

if TYPE_CHECKING:
    from PIL.Image import Image

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels of `Photo.picture`

SIDE = 28
LARGEST = 50_000_000  # pixels: to be decoded takes a few hundred megabytes
WORKING = 16 * SIDE  # the longest side that is looked at
CELLS = 64  # along the longest side: what is in neighbouring cells belongs together
FAINTEST = 8  # of 255: what differs less from the background is part of it
STRONGEST = 64  # what differs more is no background, however uneven that is
SHARPENING = 30  # per cent of the difference to a blurred picture


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo, and what a network gets to see of it.

    Attributes:
        pixels: (28, 28) bytes, or another size that was asked for, a bright garment on 0.
        picture: (h, w, 3) bytes, the photo upright, and no larger than is looked at.
        box: what was looked at in it, the garment: left, top, right, bottom.
        warnings: sentences that say why the result may not be trusted.
    """

    pixels: npt.NDArray[np.uint8]
    picture: npt.NDArray[np.uint8]
    box: Box
    warnings: tuple[str, ...]


def read_photo(
    source: str | os.PathLike[str] | Image | npt.NDArray[Any], size: tuple[int, int] = (SIDE, SIDE)
) -> Photo:
    """Find the garment in a photo, and make of it what a network knows. Needs Pillow.

    Args:
        source: a file in any format that Pillow reads, whatever its ending; an image of Pillow; or an array of bytes,
            (h, w) grey, (h, w, 3) RGB or (h, w, 4) with transparency.
        size: rows and columns of the pixels.

    Raises:
        nn.FileError: if the file cannot be read as an image, or has more than 50 million pixels, a JPEG 178 million.
        ValueError: if an array is no picture, or there is nothing to be seen on a plain background.
        ImportError: if Pillow is not installed.

    >>> picture = np.full((60, 60, 3), 250, np.uint8)
    >>> picture[10:50, 20:40] = 40
    >>> photo = read_photo(picture)
    >>> photo.box, photo.pixels[14, 14], photo.pixels[14, 0]
    ((20, 10, 40, 50), np.uint8(215), np.uint8(0))
    """
    with warnings.catch_warnings(action="ignore"):  # of what Pillow can do without
        picture = np.asarray(working_copy(source), np.float32)
    ground, spread, plain = background(picture)
    tolerance = np.clip(4 * spread, FAINTEST, STRONGEST)
    differs = [np.abs(version - ground).max(2) > tolerance for version in (picture, blurred(picture))]
    kept, others = largest_object(differs[0] & differs[1])
    if not kept.any():
        raise ValueError("there is no garment to be seen: nothing differs from the background")
    box = bounding_box(kept)
    light = bool(ground.mean() > 127)
    grey = picture @ np.array([0.299, 0.587, 0.114], np.float32)  # as in ITU-R BT.601
    bright = np.where(kept, 255 - grey if light else grey, 0)
    said = doubts(kept, others, box, plain, float(np.abs(picture - ground).max(2)[kept].mean()), max(size))
    return Photo(shrunk(bright, box, size), (picture + 0.5).astype(np.uint8), box, said)


def read_whole(source: str | os.PathLike[str] | Image | npt.NDArray[Any], size: tuple[int, int]) -> Photo:
    """All of a photo, made grey and brought to a size, and nothing else: light stays light. Needs Pillow.

    This is what `nn.fashion.pictures` does to pictures to learn from. Arguments and errors as of `read_photo`.

    >>> read_whole(np.full((60, 60), 250, np.uint8), (2, 3)).pixels
    array([[250, 250, 250],
           [250, 250, 250]], dtype=uint8)
    """
    with warnings.catch_warnings(action="ignore"):
        image = as_rgb(source)
        picture, pixels = np.asarray(working_copy(image)), grey_pixels(image, size)
    return Photo(pixels, picture, (0, 0, picture.shape[1], picture.shape[0]), ())


# ------------------------------------------------------------------------------------------------ reading


def working_copy(source: Any) -> Image:
    """`as_rgb`, at most `WORKING` pixels wide and high."""
    image = as_rgb(source)
    box = required("PIL.Image", "reading a picture").Resampling.BOX
    image.thumbnail((WORKING, WORKING), box, reducing_gap=None)  # exact, as in the page
    return image


def as_rgb(source: Any) -> Image:
    """An image of Pillow, upright, what is transparent on white."""
    images = required("PIL.Image", "reading a picture")
    if isinstance(source, np.ndarray):
        is_picture = source.ndim in (2, 3) and source.shape[2:] in ((), (3,), (4,)) and source.size > 0
        if source.dtype != np.uint8 or not is_picture:
            expected = "bytes of shape (h, w), (h, w, 3) or (h, w, 4)"
            raise ValueError(f"a picture is {expected}, got {source.dtype} of shape {source.shape}")
        return flattened(images.fromarray(source))
    if isinstance(source, images.Image):
        return flattened(source)
    return opened_image(Path(source))


def opened_image(path: Path) -> Image:
    """`as_rgb` of a file, in whatever format its content has."""
    images = required("PIL.Image", "reading a picture")
    if os.path.isdir(path):  # unlike Path.is_dir, False where we may not look
        raise FileError(f"{path} is a folder: name the photos in it")
    try:
        check_is_file(path)
        with images.open(path) as image:
            if image.width * image.height > LARGEST:  # a JPEG can be decoded at half its size: else it is what it is
                image.draft("RGB", (image.width // 2, image.height // 2))
            if image.width * image.height > LARGEST:
                size = image.width * image.height / 1e6
                raise FileError(f"{path} has {size:,.0f} million pixels: reduce it to {LARGEST // 10**6} million first")
            return flattened(image)
    except FileError:
        raise
    except images.UnidentifiedImageError:
        raise FileError(f"{path} is no image in a format that Pillow reads") from None
    except images.DecompressionBombError:
        raise FileError(f"{path} has too many pixels: reduce it to {LARGEST // 10**6} million first") from None
    except Exception as error:  # a damaged file can make a decoder raise nearly anything
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise FileError(f"{path} cannot be read as an image: {reason}") from error


def grey_pixels(source: Any, size: tuple[int, int] | None) -> npt.NDArray[np.uint8]:
    """(h, w) bytes, all of a picture as it is, brought to a size by means of areas if one is given."""
    image = as_rgb(source).convert("L")
    if size is not None:
        image = image.resize(size[::-1], required("PIL.Image", "reading a picture").Resampling.BOX)
    return np.asarray(image)


def flattened(image: Image) -> Image:
    """An image of Pillow, whatever its mode, as RGB; see `as_rgb`."""
    operations, images = required("PIL.ImageOps", "reading a picture"), required("PIL.Image", "reading a picture")
    image = operations.exif_transpose(image)
    if image.mode.startswith(("I", "F")):  # sixteen bits, or numbers of any size: Pillow would cut them off
        numbers = np.asarray(image, np.float64)
        image = images.fromarray(np.uint8(np.clip(numbers / white_of(image.mode, numbers), 0, 1) * 255))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = images.alpha_composite(images.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def white_of(mode: str, numbers: npt.NDArray[np.float64]) -> int:
    """What white is in a picture of sixteen bits, or of numbers of any size, which do not say."""
    highest = np.nanmax(numbers, initial=0)
    if mode.startswith("I;16") or highest > 255:
        return 65535
    return 1 if mode == "F" and highest <= 1 else 255


# ------------------------------------------------------------------------------------------------ finding


def background(picture: Floats) -> tuple[Floats, float, bool]:
    """What the picture would be without a garment, how far the border is spread about it, and whether it is plain.

    It is a plane, since light comes from one side, laid through the pixels of the border that are close to most.
    """
    h, w, _ = picture.shape
    width = max(1, min(h, w) // 40)
    rows, columns = np.mgrid[:h, :w]
    border = (np.minimum(rows, h - 1 - rows) < width) | (np.minimum(columns, w - 1 - columns) < width)
    where = np.stack([np.ones_like(rows), rows / h, columns / w], 2).astype(np.float32)
    places, colours = where[border], picture[border]
    guess = np.broadcast_to(np.median(colours, 0), colours.shape)
    for _ in range(4):
        distance = np.abs(colours - guess).max(1)
        spread = 1.4826 * float(np.median(distance))  # as wide as the standard deviation of a normal distribution
        near = distance <= max(FAINTEST, 3 * spread)
        plane = np.linalg.lstsq(places[near], colours[near], rcond=None)[0]
        guess = places @ plane
    return np.clip(where @ plane, 0, 255), spread, bool(near.mean() > 0.6 and spread < 12)


def blurred(picture: Floats) -> Floats:
    """Means of 3 x 3 pixels: a single one that is noisy is no object."""
    padded = np.pad(picture, ((1, 1), (1, 1), (0, 0)), "edge")
    h, w, _ = picture.shape
    windows = [padded[i : i + h, j : j + w] for i in range(3) for j in range(3)]
    means: Floats = np.mean(windows, 0)
    return means


def largest_object(differs: Mask) -> tuple[Mask, float]:
    """What belongs to the largest object, and how large the next one is beside it, as a share.

    Whatever lies within the box of the largest one belongs to it: the straps of a sandal do not touch each other.
    """
    cell = -(-max(differs.shape) // CELLS)
    h, w = (-(-n // cell) for n in differs.shape)
    padded = np.pad(differs, [(0, h * cell - differs.shape[0]), (0, w * cell - differs.shape[1])])
    counts = padded.reshape(h, cell, w, cell).sum((1, 3))
    labels = connected(counts > 0)
    sizes = np.bincount(labels.ravel(), counts.ravel())
    sizes[0] = 0
    left, top, right, bottom = bounding_box(labels == sizes.argmax())
    inside = np.unique(labels[top:bottom, left:right])
    object_, others = sizes[inside].sum(), np.delete(sizes, inside)
    cells = np.isin(labels, inside[inside > 0])
    kept = differs & cells.repeat(cell, 0).repeat(cell, 1)[: differs.shape[0], : differs.shape[1]]
    return kept, float(others.max(initial=0) / max(object_, 1))


def connected(cells: Mask) -> npt.NDArray[np.int64]:
    """A number for each group of cells that touch, at corners too, and 0 where there is none."""
    labels = np.where(cells, np.arange(1, cells.size + 1).reshape(cells.shape), 0)
    while True:  # the largest number spreads over its group
        padded = np.pad(labels, 1)
        h, w = labels.shape
        around = np.max([padded[i : i + h, j : j + w] for i in range(3) for j in range(3)], 0)
        spread = np.where(cells, around, 0)
        if (spread == labels).all():
            return labels
        labels = spread


def bounding_box(mask: Mask) -> Box:
    """The smallest box that has all of a mask; of an empty one the first pixel."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return 0, 0, 1, 1
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def shrunk(bright: Floats, box: Box, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Bytes of this size: what is in the box, as large as it fits, in the middle of 0."""
    images, filters = (required(f"PIL.{name}", "reading a photo") for name in ("Image", "ImageFilter"))
    left, top, right, bottom = box
    found, room = np.array([bottom - top, right - left]), np.array(size)
    tight = (found / room).argmax()  # the side that fills its room first
    h, w = np.maximum(1, np.round(found * room[tight] / found[tight])).astype(int)
    small = images.fromarray(bright[top:bottom, left:right]).resize((int(w), int(h)), images.Resampling.BOX)
    bytes_ = images.fromarray(np.uint8(np.clip(np.asarray(small) + 0.5, 0, 255)))
    sharp = np.asarray(bytes_.filter(filters.UnsharpMask(radius=1, percent=SHARPENING, threshold=0)))
    pixels = np.zeros(size, np.uint8)
    row, column = (room - (h, w) + 1) // 2  # as in the data: an odd margin is wider above and left
    pixels[row : row + h, column : column + w] = np.where(np.asarray(small) > 0, sharp, 0)
    return pixels


def doubts(kept: Mask, others: float, box: Box, plain: bool, contrast: float, side: int) -> tuple[str, ...]:
    """One sentence for each reason not to trust what was found, to be `side` pixels long."""
    left, top, right, bottom = box
    share = (right - left) * (bottom - top) / kept.size
    touches = sum([left == 0, top == 0, right == kept.shape[1], bottom == kept.shape[0]])
    found = {
        "the background is not plain: lay the garment on a sheet or a floor of one colour": not plain,
        "the garment fills the photo: leave some background around it": plain and touches >= 3,
        "the garment is very small in the photo: go closer": share < 0.01 or max(right - left, bottom - top) < side,
        "the garment hardly differs from the background: choose another one": contrast < 30,
        "there are several things in the photo: the largest one was taken": others > 0.1,
    }
    return tuple(sentence for sentence, is_true in found.items() if is_true)
