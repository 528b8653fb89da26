"""Callbacks that show and keep what a learner does."""

from __future__ import annotations

import csv
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from nn.files import atomic_write
from nn.learner import Callback, Learner, Row


class EpochTable(Callback):
    """Prints one row an epoch, under a heading.

    Args:
        file: where to; standard output if None.
    """

    COLUMNS = (
        ("epoch", "epoch", "{:.0f}"),
        ("train loss", "train_loss", "{:.4f}"),
        ("val loss", "valid_loss", "{:.4f}"),
        ("val acc", "valid_accuracy", "{:.2%}"),
        ("lr", "lr", "{:.2e}"),
        ("images/s", "images_per_second", "{:,.0f}"),
        ("elapsed", "seconds", "{:.1f} s"),
    )

    def __init__(self, file: TextIO | None = None) -> None:
        self.file = file

    def on_fit_start(self, learner: Learner) -> None:
        print("".join(f"{title:>11}" for title, _, _ in self.COLUMNS), file=self.file, flush=True)

    def on_epoch_end(self, learner: Learner) -> None:
        row = learner.history[-1]
        cells = (form.format(row[key]) if key in row else "–" for _, key, form in self.COLUMNS)
        print("".join(f"{cell:>11}" for cell in cells), file=self.file, flush=True)


class ProgressBar(Callback):
    """A bar for each epoch while it runs, by tqdm, on standard error."""

    @staticmethod
    def is_available() -> bool:
        """Whether tqdm is installed and standard error is a terminal."""
        return sys.stderr.isatty() and importlib.util.find_spec("tqdm") is not None

    def on_epoch_start(self, learner: Learner) -> None:
        from tqdm import tqdm

        title = f"epoch {learner.epoch}/{learner.epochs}"
        self.bar: Any = tqdm(total=learner.batches, desc=title, leave=False, unit="batch")

    def on_batch_end(self, learner: Learner) -> None:
        self.bar.update()
        if self.bar.n == learner.batches or learner.stop:
            self.bar.close()

    def on_epoch_end(self, learner: Learner) -> None:
        self.bar.close()  # also when a callback after this one stopped the epoch


class AfterEpoch(Callback):
    """Calls a function with the learner after each epoch, to save a checkpoint, say."""

    def __init__(self, function: Callable[[Learner], None]) -> None:
        self.function = function

    def on_epoch_end(self, learner: Learner) -> None:
        self.function(learner)


def write_history(history: Sequence[Row], path: str | os.PathLike[str]) -> None:
    """Write a learner's history as a CSV file. Raises `nn.FileError`."""
    with atomic_write(path, "w") as file:
        writer = csv.DictWriter(file, history[0] if history else (), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
