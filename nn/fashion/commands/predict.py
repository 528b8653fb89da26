"""Say what garment is in a photo, with the picture that the network sees.

A photo shows one garment on a plain background, in any format that Pillow reads. Warnings say when the answer may not
be trusted. If one of several photos cannot be read, the others are answered, and the exit status is 1.

A model that learned something else than garments sees all of the photo, grey and reduced to its size, and light stays
light: show white digits on black to one that learned from such.

Examples:
  python -m nn.fashion predict runs/default boot.jpg
  python -m nn.fashion predict runs/fast-cnn *.jpg --top 1 --picture answers.png
  python -m nn.fashion predict model.npz boot.jpg --json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from itertools import zip_longest
from pathlib import Path

import numpy as np

from minigrad.console import without_control
from nn.console import as_path, say
from nn.fashion.classifier import Classifier
from nn.fashion.gallery import draw_photos, pixels_as_blocks
from nn.fashion.photo import Photo
from nn.fashion.report import check_picture
from nn.files import FileError

UNSURE = 0.5  # a most probable class with less is as likely wrong as right


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this command."""
    add = parser.add_argument
    add("model", type=as_path, metavar="RUN_OR_MODEL", help="a run's folder, or a model file")
    add("photos", nargs="+", metavar="PHOTO", help="an image file")
    add("--top", type=int, default=3, metavar="K", help="how many classes are shown (default: 3)")
    add("--json", action="store_true", help="print one JSON object for each photo, a line each")
    add("--picture", type=as_path, metavar="FILE",
        help="draw each photo, what the network sees, and the ten most probable classes")


def run(given: argparse.Namespace) -> int:
    """Print the answers."""
    if given.top < 1:
        raise ValueError(f"at least one class is shown, not {given.top}")
    if given.picture:
        check_picture(given.picture)
    classifier = Classifier.load(given.model)
    if given.picture and any(is_same(given.picture, path) for path in given.photos):
        raise ValueError(f"{given.picture} is one of the photos: give --picture another name")
    answered: dict[str, tuple[Photo, dict[str, float]]] = {}
    for path in given.photos:
        try:
            photo = classifier.look_at(path)
        except (FileError, ValueError) as error:
            named = error if str(path) in str(error) else f"{path}: {error}"
            say(f"predict: {named}", sys.stderr)
            continue
        probabilities = classifier.predict_photo(photo)
        answered[path] = photo, probabilities
        warnings = [*photo.warnings, *doubt(probabilities)]
        if given.json:
            print(as_json(path, probabilities, warnings, given.top), flush=True)
        else:
            print(as_text(path, photo, probabilities, warnings, given.top), flush=True)
    if given.picture and answered:
        draw_photos(answered, given.picture)
        say(f"Wrote {given.picture}", sys.stderr)
    return int(len(answered) < len(set(given.photos)))


def is_same(picture: Path, path: str) -> bool:
    """Whether both are one file."""
    return os.path.exists(picture) and os.path.exists(path) and picture.samefile(path)


def doubt(probabilities: dict[str, float]) -> list[str]:
    """A sentence if the network is not sure."""
    name, highest = next(iter(probabilities.items()))
    return [f"the network is not sure: {name} has {highest:.0%}"] if highest < UNSURE else []


def as_json(path: str, probabilities: dict[str, float], warnings: list[str], top: int) -> str:
    """One line for programs."""
    classes = dict(list(probabilities.items())[:top])
    return json.dumps({"photo": path, "classes": classes, "warnings": warnings})


def as_text(path: str, photo: Photo, probabilities: dict[str, float], warnings: list[str], top: int) -> str:
    """The answer beside the picture that it was given for."""
    rows = np.flatnonzero(photo.pixels.any(1))
    top_row, bottom_row = (rows[0], rows[-1]) if rows.size else (0, 0)
    picture = pixels_as_blocks(photo.pixels[top_row : bottom_row + 1], sys.stdout.encoding)
    answer = [f"{share:>7.1%}  {name}" for name, share in list(probabilities.items())[:top]]
    width = len(picture[0])
    lines = [f"{row:<{width}}  {text}".rstrip() for row, text in zip_longest(picture, answer, fillvalue="")]
    return "\n".join([f"{without_control(path)}:", *lines, *(f"Warning: {sentence}" for sentence in warnings), ""])
