"""Write a trained model as an ONNX file, with its preprocessing and the names of its classes.

The file takes bytes (n, 28, 28), or of the size that the model learned from, light garments on a black ground or
whatever its data were, and gives probabilities (n, classes); its metadata have the names of the classes as a JSON list.
With --safetensors the bare weights go into a file under the names that PyTorch uses.

Examples:
  python -m nn.fashion export runs/default -o garments.onnx
  python -m nn.fashion export runs/default --safetensors -o garments.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nn
from nn.console import as_path, say
from nn.fashion.classifier import Classifier
from nn.fashion.folder import check_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this command."""
    add = parser.add_argument
    add("model", type=as_path, metavar="RUN_OR_MODEL", help="a run's folder, or a model file")
    add("-o", "--output", type=as_path, metavar="FILE", help="the file to write (default: model.onnx or .safetensors)")
    add("--safetensors", action="store_true", help="write weights for PyTorch instead")


def run(given: argparse.Namespace) -> None:
    """Write the file."""
    ending = ".safetensors" if given.safetensors else ".onnx"
    output = given.output or Path(f"model{ending}")
    check_output(output, ending)
    classifier = Classifier.load(given.model)
    if given.safetensors:
        nn.save(classifier.model.state_dict(), output, classifier.metadata())
    else:
        classifier.export_onnx(output)
    say(f"Wrote {output}")
