"""Pictures of the data themselves."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from nn.extras import required
from nn.fashion.dataset import CLASSES, Dataset
from nn.files import atomic_write


def draw_samples(data: Dataset, path: str | os.PathLike[str], each: int = 12) -> None:
    """Write a picture with the first training images of each class, a class a row. Needs matplotlib.

    Args:
        data: what `nn.fashion.load` returns.
        path: a file whose ending matplotlib knows, such as .png, .pdf or .svg.
        each: how many images of each class.

    Raises:
        ValueError: if `each` is below 1, or the ending is unknown.
        nn.FileError: if the file cannot be written.
        ImportError: if matplotlib is not installed.
    """
    if each < 1:
        raise ValueError(f"at least one image of each class is shown, not {each}")
    figures = required("matplotlib.figure", "drawing pictures")
    figure = figures.Figure(figsize=(0.55 * each + 1.6, 0.55 * len(CLASSES)), layout="constrained")
    ending = Path(path).suffix.lstrip(".").lower()
    if ending not in figure.canvas.get_supported_filetypes():
        known = ", ".join(sorted(figure.canvas.get_supported_filetypes()))
        raise ValueError(f"{path} cannot be drawn: a picture ends in one of {known}")
    axes = figure.subplots(len(CLASSES), each, squeeze=False)
    for label, (name, row) in enumerate(zip(CLASSES, axes, strict=True)):
        images = data.train_images[np.flatnonzero(data.train_labels == label)[:each]]
        for place, image in zip(row, images, strict=False):
            place.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        for place in row:
            place.set(xticks=[], yticks=[])
            place.spines[:].set_visible(False)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    with atomic_write(Path(path), "wb") as file:
        figure.savefig(file, format=ending, dpi=120)


def pixels_as_text(data: Dataset, index: int) -> str:
    """A training image as its 28 rows of 28 numbers, 0 (background) to 255, under the name of its class.

    Raises:
        ValueError: if there is no such image.
    """
    if not 0 <= index < len(data.train_images):
        raise ValueError(f"there are training images 0 to {len(data.train_images) - 1}, not {index}")
    rows = [" ".join(f"{pixel or '.':>3}" for pixel in row) for row in data.train_images[index]]
    return "\n".join([f"Training image {index}, {CLASSES[data.train_labels[index]]}:", *rows])
