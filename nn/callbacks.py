"""Callbacks that show and keep what a learner does, and steer it."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, TextIO

from numpy.typing import NDArray

from nn.ema import WeightAverage
from nn.extras import required
from nn.files import atomic_write
from nn.functional.settings import one_of, real, whole
from nn.learner import Callback, Learner, Row
from nn.state import OfTraining


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
        others = [(f"val {name}", f"valid_{name}", "{:.4g}") for name in learner.metrics if name != "accuracy"]
        self.columns = [*self.COLUMNS[:4], *others, *self.COLUMNS[4:]]
        self._print(title for title, _, _ in self.columns)

    def on_epoch_end(self, learner: Learner) -> None:
        row = learner.history[-1]
        self._print(form.format(row[key]) if key in row else "–" for _, key, form in self.columns)

    def _print(self, cells: Iterable[str]) -> None:
        file = sys.stdout if self.file is None else self.file
        print(printable("".join(f" {cell:>10}" for cell in cells), file), file=file, flush=True)


def printable(text: str, file: TextIO) -> str:
    """The text as a file can encode it, be it in ASCII: a hyphen stands for a dash, and ? for what else it lacks."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.replace("–", "-").encode(encoding, "replace").decode(encoding)
    return text


class ProgressBar(Callback):
    """A bar for each epoch while it runs, by tqdm, on standard error."""

    @staticmethod
    def is_available() -> bool:
        """Whether tqdm is installed, and works, and standard error is a terminal."""
        try:
            return sys.stderr.isatty() and bool(required("tqdm", "a bar"))
        except ImportError:
            return False

    def on_epoch_start(self, learner: Learner) -> None:
        title = f"epoch {learner.epoch}/{learner.epochs}"
        self.bar: Any = required("tqdm", "a bar").tqdm(total=learner.batches, desc=title, leave=False, unit="batch")

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


class MetricCallback(Callback):
    """What callbacks share that follow one entry of the history, of which the least or the largest is best."""

    REMEMBERED: ClassVar[tuple[str, ...]] = ("best",)

    def __init__(self, metric: str | None, mode: Literal["min", "max"] | None = None) -> None:
        one_of(type(self).__name__, "mode", mode, ("min", "max", None))
        self.metric, self.mode = metric, mode

    def on_fit_start(self, learner: Learner) -> None:
        self.learner, self.best = learner, -math.inf

    def state_dict(self) -> dict[str, Any]:
        remembered = {name: getattr(self, name) for name in self.REMEMBERED if hasattr(self, name)}
        if not remembered:
            return {}
        return remembered | {"metric": self.metric, "mode": self.direction()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        own = [self.metric, self.direction()]
        followed = [state.get("metric", own[0]), state.get("mode", own[1])]
        if followed != own:
            raise ValueError(f"it followed {followed[0]!r}, mode {followed[1]!r}, and is to follow {own[0]!r}, "
                             f"mode {own[1]!r}, now")
        if not all(isinstance(state.get(name, 0), int | float) for name in ("best", "waited", "epoch")):
            raise ValueError("what it remembers are numbers")
        vars(self).update({name: state[name] for name in self.REMEMBERED if name in state})

    def direction(self, metric: str | None = None) -> str | None:
        """"min" or "max", as the mode says or the name of the metric; None while that is up to the data."""
        metric = metric or self.metric
        if self.mode is not None or metric is None:
            return self.mode
        return "min" if metric.endswith("loss") else "max"

    def improved(self, learner: Learner, margin: float = 0.0) -> bool:
        """Whether the last epoch was better by more than `margin` than the best so far, and is so the best now."""
        row = learner.history[-1]
        usual = "valid_loss" if "valid_loss" in row and "valid_accuracy" not in row else "valid_accuracy"
        metric = self.metric or usual
        if metric not in row:
            hint = " (valid_loss and valid_accuracy need validation data)" if "valid_loss" not in row else ""
            raise ValueError(f"there is no metric {metric!r} in the history, only {', '.join(row)}{hint}")
        score = -row[metric] if self.direction(metric) == "min" else row[metric]
        if not score > self.best + margin:
            return False
        self.best = score
        return True


class EarlyStopping(MetricCallback):
    """Ends training when a metric has not improved for some epochs; it stays ended where it is loaded from a file.

    Args:
        metric: an entry of the history; the less the better if its name ends in "loss", else the more.
        patience: how many epochs in a row without improvement it takes.
        min_delta: by more than how much the best must be beaten to count as improvement.
        mode: "min" or "max" if it is otherwise, as for a mean absolute error.

    Raises:
        ValueError: if `patience` is not positive or `min_delta` negative; after the first epoch, if there is no such
            metric.

    >>> import numpy as np
    >>> import nn
    >>> model, stopping = nn.Linear(2, 2), EarlyStopping("train_loss", patience=2)
    >>> learner = Learner(model, nn.optim.SGD(model.parameters(), lr=0.0), callbacks=[stopping])
    >>> len(learner.fit(nn.DataLoader((np.eye(2, dtype=np.float32), np.arange(2)), 2), epochs=100))
    3
    """

    REMEMBERED = ("best", "waited")

    def __init__(
        self, metric: str = "valid_loss", patience: int = 5, min_delta: float = 0.0,
        mode: Literal["min", "max"] | None = None,
    ) -> None:
        super().__init__(metric, mode)
        self.patience = whole("EarlyStopping", "patience", patience, 1)
        self.min_delta, self.waited = real("EarlyStopping", "min_delta", min_delta, 0), 0

    def on_fit_start(self, learner: Learner) -> None:
        super().on_fit_start(learner)
        self.waited = 0

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if self.waited >= self.patience:  # it had ended
            self.learner.stop = True

    def on_epoch_end(self, learner: Learner) -> None:
        self.waited = 0 if self.improved(learner, self.min_delta) else self.waited + 1
        if self.waited >= self.patience:
            learner.stop = True


class KeepBest(MetricCallback):
    """Puts the weights after the best epoch, the first one of equals, back into the model when training ends.

    They are kept in memory; if training ends with an exception, the model is left as it is. Another `fit` starts from
    them, but from the last weights where `Learner.load` has it go on with the training that ended.

    Args:
        metric: an entry of the history; the less the better if its name ends in "loss", else the more. If None, the
            accuracy, or the loss where the targets are no classes, on the validation data.
        mode: "min" or "max" if it is otherwise, as for a mean absolute error.

    Attributes:
        epoch: the number of the best epoch.

    Raises:
        ValueError: after the first epoch, if there is no such metric.
    """

    REMEMBERED = ("best", "epoch", "state", "own")

    def __init__(self, metric: str | None = None, mode: Literal["min", "max"] | None = None) -> None:
        super().__init__(metric, mode)
        self.state: dict[str, NDArray[Any]] | None = None
        self.own: dict[str, NDArray[Any]] | None = None  # the last weights, once the best are in the model

    def on_fit_start(self, learner: Learner) -> None:
        super().on_fit_start(learner)
        self.state = self.own = None

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if self.state is None:  # of what is best nothing is left
            self.best = -math.inf
        else:
            model = self.learner.model
            last = model.state_dict() if self.own is None else self.own
            for weights in (self.state, last):  # the best ones only to see that they fit
                model.load_state_dict(weights)
        self.own = None

    def on_epoch_end(self, learner: Learner) -> None:
        if self.improved(learner):
            self.state, self.epoch = learner.model.state_dict(), learner.epoch

    def on_fit_end(self, learner: Learner) -> None:
        if self.state is not None:  # kept: training that goes on from a file may not become better
            self.own = learner.model.state_dict()
            learner.model.load_state_dict(self.state)


class AveragedWeights(Callback, OfTraining):
    """Trains as ever, but evaluates, and in the end has, the average of the weights, see `nn.WeightAverage`.

    The model holds the averages from the evaluation after each epoch until the next one starts, so what other callbacks
    keep or save after an epoch is what was evaluated. When training ends they stay; another `fit` starts from them.

    Args:
        decay: how much of the average is kept over one step.
        every: how many steps there are from one update to the next, each of which keeps decay ** every.

    Raises:
        ValueError: unless 0 <= decay < 1 and every >= 1.
    """

    def __init__(self, decay: float, every: int = 1) -> None:
        self.decay = real("AveragedWeights", "decay", decay, 0, below=1)
        self.every = whole("AveragedWeights", "every", every, 1)

    def on_fit_start(self, learner: Learner) -> None:
        self.average = WeightAverage(learner.model, self.decay**self.every)
        self.own: dict[str, NDArray[Any]] | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average.state_dict(), "own": self.own} if hasattr(self, "average") else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.average.load_state_dict(state["average"])
        self.own = state["own"]

    def on_epoch_start(self, learner: Learner) -> None:
        if self.own is not None:
            learner.model.load_state_dict(self.own)

    def on_batch_end(self, learner: Learner) -> None:
        if learner.step % self.every == 0:
            self.average.update()

    def on_evaluation_start(self, learner: Learner) -> None:
        self.own = learner.model.state_dict()
        learner.model.load_state_dict(self.average.state)


def write_history(history: Sequence[Row], path: str | os.PathLike[str]) -> None:
    """Write a learner's history as a CSV file. Raises `nn.FileError`."""
    import csv

    with atomic_write(path, "w") as file:
        names = dict.fromkeys(name for row in history for name in row)
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
