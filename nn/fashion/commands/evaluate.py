"""Evaluate a model on the test images: loss, accuracy, and precision, recall and F1 of each class.

The data have to be of the model's classes, and are brought to its size where they are a folder of pictures.
`python train.py --evaluate MODEL` does the same, and can check the accuracy besides.

Examples:
  python -m nn.fashion evaluate runs/default
  python -m nn.fashion evaluate model.npz --data ~/fashion-mnist --json evaluation.json
"""

from __future__ import annotations

import argparse

from nn.console import as_path
from nn.fashion.result import evaluate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this command."""
    add = parser.add_argument
    add("model", type=as_path, metavar="RUN_OR_MODEL", help="a run's folder, or a model file")
    add("--data", metavar="DIR", help="folder with the data (default: where they are found, see train.py)")
    add("--json", type=as_path, metavar="FILE", help="write what it came to for programs, with the confusion matrix")


def run(given: argparse.Namespace) -> None:
    """Print the table."""
    evaluate(given.model, given.data, given.json)
