"""Pictures of images and of what was predicted for them, drawn or in characters."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minigrad.console import without_control
from nn.fashion.class_names import shortened
from nn.fashion.dataset import CLASSES, Dataset
from nn.fashion.photo import Photo
from nn.fashion.report import figure_for

MOST_ROWS = 100  # of a picture that can still be opened
WIDEST = 40  # pixels that a terminal has room for, at two characters each


def draw_samples(data: Dataset, path: str | os.PathLike[str], each: int = 12) -> None:
    """Write a picture with the first training images of each class, a class a row, of the first 100 classes at most.

    Needs matplotlib.

    Args:
        data: what `nn.fashion.load` returns.
        path: a file whose ending matplotlib knows, such as .png, .pdf or .svg.
        each: how many images of each class.

    Raises:
        ValueError: if `each` is not from 1 to 100, or the ending is unknown.
        nn.FileError: if the file cannot be written.
        ImportError: if matplotlib is not installed.
    """
    if not 1 <= each <= MOST_ROWS:
        raise ValueError(f"1 to {MOST_ROWS} images of each class are shown, not {each:.4g}")
    classes = data.classes[:MOST_ROWS]
    names = list(map(shortened, classes))
    with figure_for(path, 0.55 * each + 0.5 + 0.1 * max(map(len, names)), 0.55 * len(classes)) as figure:
        axes = figure.subplots(len(classes), each, squeeze=False)
        for label, (name, row) in enumerate(zip(names, axes, strict=True)):
            images = data.train_images[np.flatnonzero(data.train_labels == label)[:each]]
            for place, image in zip(row, images, strict=False):
                place.imshow(image, cmap=shades(classes), vmin=0, vmax=255)
            for place in row:
                place.set(xticks=[], yticks=[])
                place.spines[:].set_visible(False)
            row[0].set_ylabel(name, rotation=0, ha="right", va="center")


def shades(classes: Sequence[str]) -> str:
    """What matplotlib calls the colours of images: garments are bright on black, and drawn like ink on paper."""
    return "gray_r" if tuple(classes) == CLASSES else "gray"


def draw_photos(answered: Mapping[str, tuple[Photo, dict[str, float]]], path: str | os.PathLike[str]) -> None:
    """Write a picture with a row for each photo: the photo and where the garment is, what a network sees, and bars.

    Args:
        answered: for each name the photo and the probabilities of all classes.
        path: as for `draw_samples`, with the same errors.
    """
    with figure_for(path, 11, 3 * len(answered)) as figure:
        panels = figure.subplots(len(answered), 3, squeeze=False, width_ratios=(3, 2, 3))
        for (name, (photo, probabilities)), (whole, seen, bars) in zip(answered.items(), panels, strict=True):
            left, top, right, bottom = photo.box
            whole.imshow(photo.picture)
            whole.plot([left, right, right, left, left], [top, top, bottom, bottom, top], "C3")
            whole.set_title(without_control(Path(name).name), fontsize=10)
            seen.imshow(photo.pixels, cmap="gray", vmin=0, vmax=255)
            seen.set_title("what the network sees", fontsize=10)
            shown = list(probabilities.items())[:10][::-1]
            drawn = bars.barh([shortened(label) for label, _ in shown], [100 * share for _, share in shown])
            bars.bar_label(drawn, [f"{share:.1%}" for _, share in shown], padding=3, fontsize=8)
            bars.set(xlim=(0, 118), xticks=[0, 50, 100], xlabel="probability in %")
            bars.spines[["top", "right"]].set_visible(False)
            for picture in (whole, seen):
                picture.set(xticks=[], yticks=[])


def pixels_as_blocks(pixels: npt.NDArray[np.uint8], encoding: str | None = "utf-8") -> list[str]:
    """Lines of characters, two a pixel, that look like the picture on a dark terminal; larger ones are thinned out.

    >>> pixels_as_blocks(np.array([[0, 100, 255]], np.uint8))
    ['  ▒▒██']
    """
    shades = " ░▒▓█"
    try:
        shades.encode(encoding or "ascii")
    except UnicodeEncodeError:
        shades = " .+*#"
    step = -(-pixels.shape[1] // WIDEST)
    darkness = np.minimum((pixels[::step, ::step].astype(int) + 51) // 61, 4)
    return ["".join(2 * shades[level] for level in row) for row in darkness]


def pixels_as_text(data: Dataset, index: int) -> str:
    """A training image as rows of numbers to 255, a dot for 0 (black, the background), under the name of its class.

    Raises:
        ValueError: if there is no such image.
    """
    if not 0 <= index < len(data.train_images):
        raise ValueError(f"there are training images 0 to {len(data.train_images) - 1}, not {index}")
    rows = [" ".join(f"{pixel or '.':>3}" for pixel in row) for row in data.train_images[index]]
    return "\n".join([f"Training image {index}, {data.classes[data.train_labels[index]]}:", *rows])
