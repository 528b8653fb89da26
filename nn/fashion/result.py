"""The results of a run or an evaluation as plain data, for other programs."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import __version__
from nn.console import say
from nn.fashion.classifier import Classifier
from nn.fashion.dataset import Dataset, load
from nn.fashion.folder import check_output
from nn.fashion.report import summary
from nn.files import atomic_write, plain
from nn.metrics import Evaluation
from nn.native import product_threads
from nn.processes import size

MOST_THREADS = 1024  # that anything is computed in


def scores(evaluation: Evaluation, classes: Sequence[str]) -> dict[str, Any]:
    """Loss, accuracy, precision, recall and F1 of each class, and the confusion matrix, one list a true class."""
    rows = evaluation.of_classes(classes)
    return {
        "loss": evaluation.loss,
        "accuracy": evaluation.accuracy,
        "classes": {name: {"precision": p, "recall": r, "f1": f1, "images": n} for name, p, r, f1, n in rows},
        "confusion": evaluation.counts.tolist(),
    }


def evaluate(model: Path, data: Path | str | None, output: Path | None, quiet: bool = False) -> Evaluation:
    """Evaluate a model on the test images, and print what it comes to.

    Args:
        model: a file, or the folder of a run.
        data: the folder to look for them in, see `nn.fashion.dataset.load`.
        output: a JSON file to write for programs, if one is named.
        quiet: whether to leave out where the data are from.
    """
    check_output(output, ".json")
    classifier = Classifier.load(model)
    found = load(data, size=classifier.size)
    classifier.check(found)
    if not quiet:
        say(f"Data: {found.source}")
    evaluation = classifier.evaluate(found.test_images, found.test_labels)
    if output is not None:
        about = {"model": os.fspath(model), "training": classifier.training, "data": data_of(found), **environment()}
        write_json({"test": scores(evaluation, classifier.classes), **about}, output)
    print(summary(evaluation, classifier.classes))
    return evaluation


def data_of(data: Dataset) -> dict[str, Any]:
    """What the data are: where they come from, how many there are, and a fingerprint of every byte."""
    digest = hashlib.blake2b(digest_size=16)
    for array in (data.train_images, data.train_labels, data.test_images, data.test_labels):
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    sizes = {"training_images": len(data.train_labels), "test_images": len(data.test_labels), "size": list(data.size)}
    return {"source": data.source, **sizes, "fingerprint": digest.hexdigest()}


def environment() -> dict[str, Any]:
    """What computes: where all of it is the same, results are so to the last bit."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    threads = product_threads() or (int(limit) if limit in map(str, range(1, MOST_THREADS + 1)) else None)
    versions = {"minigrad": __version__, "numpy": np.__version__, "python": platform.python_version()}
    return {"threads": threads, "processes": size(), "machine": platform.machine(), "versions": versions}


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write plain data to a JSON file. Raises `nn.FileError`."""
    with atomic_write(path, "w") as file:
        json.dump(plain(content), file, indent=2)
        file.write("\n")
