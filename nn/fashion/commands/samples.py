"""Show what the data look like: images of each class, or the pixels of one.

Examples:
  python -m nn.fashion samples -o samples.png
  python -m nn.fashion samples --pixels 0
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nn.console import as_path, say
from nn.fashion.dataset import load
from nn.fashion.gallery import draw_samples, pixels_as_text
from nn.fashion.pictures import parsed_size
from nn.fashion.report import check_picture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this command."""
    add = parser.add_argument
    add("--data", metavar="DIR", help="folder with the data (default: where they are found, see train.py)")
    add("--size", metavar="N|HxW", help="reduce or enlarge the pictures of a folder to so many rows and columns")
    add("-o", "--output", type=as_path, default=Path("samples.png"), metavar="FILE",
        help="the picture to write, PNG, PDF or SVG (default: samples.png)")
    add("--each", type=int, default=12, metavar="N", help="images of each class (default: 12)")
    add("--pixels", type=int, metavar="I", help="print the pixels of training image I as numbers instead")


def run(given: argparse.Namespace) -> None:
    """Print the pixels of one image, or write the gallery."""
    if given.pixels is None:
        check_picture(given.output)
    data = load(given.data, size=parsed_size(given.size))
    if given.pixels is not None:
        print(pixels_as_text(data, given.pixels))
        return
    draw_samples(data, given.output, given.each)
    say(f"Wrote {given.output}: the first images of each class, at most {given.each}, from {data.source}")
