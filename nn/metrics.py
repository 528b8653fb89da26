"""What a model is judged by: its loss, for a classifier its confusion matrix, and whatever else is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from minigrad.notebook import shown_by
from nn.functional.settings import whole

Metric: TypeAlias = Callable[[npt.NDArray[Any], npt.NDArray[Any]], Any]  # of outputs and targets, a number


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How a model did on some data.

    Attributes:
        loss: the mean over all samples.
        confusion: (classes, classes) counts; row: true class, column: predicted class. None if targets were no classes,
            and then what is computed from it raises a ValueError.
        metrics: what else was asked for, by name.
    """

    loss: float
    confusion: npt.NDArray[np.int64] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    _repr_html_ = shown_by("nn.displays", "evaluation_html")

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """(classes, classes) the confusion matrix. Raises ValueError if there is none."""
        if self.confusion is None:
            raise ValueError("only targets that are classes have a confusion matrix, and accuracy, precision and so on")
        return self.confusion

    def numbers(self) -> dict[str, float]:
        """Loss, accuracy where there are classes, and metrics, by name."""
        accuracy = {} if self.confusion is None else {"accuracy": self.accuracy}
        return {"loss": self.loss} | accuracy | dict(self.metrics)

    @property
    def accuracy(self) -> float:
        """The share of samples that were classified rightly."""
        return float(self.counts.trace() / max(self.counts.sum(), 1))

    @property
    def precision(self) -> npt.NDArray[np.float64]:
        """(classes,) of the samples predicted to be in each class, the share that is; 0 if there are none."""
        return share(self.counts.diagonal(), self.counts.sum(0))

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """(classes,) of the samples in each class, the share predicted to be; 0 if there are none."""
        return share(self.counts.diagonal(), self.counts.sum(1))

    @property
    def f1(self) -> npt.NDArray[np.float64]:
        """(classes,) the harmonic mean of precision and recall."""
        return share(2 * self.counts.diagonal(), self.counts.sum(0) + self.counts.sum(1))

    def of_classes(self, names: Sequence[str]) -> Iterator[tuple[str, float, float, float, int]]:
        """(name, precision, recall, F1, how many samples) of each class. Raises ValueError unless all are named.

        >>> [*Evaluation(0.5, np.array([[3, 1], [0, 4]])).of_classes(["cat", "dog"])][0]
        ('cat', 1.0, 0.75, 0.8571428571428571, 4)
        """
        if len(names) != len(self.counts):
            raise ValueError(f"there are {len(self.counts)} classes, got {len(names)} names")
        columns = self.precision, self.recall, self.f1, self.counts.sum(1)
        return zip(names, *(column.tolist() for column in columns), strict=True)

    def most_confused(self, n: int = 3) -> list[tuple[int, int, int]]:
        """The `n` pairs of classes most often taken for one another, as (class, class, times), both ways together.

        There are fewer if fewer pairs were confused at all. Raises ValueError if `n` is negative, or no integer.
        """
        n = whole("most_confused", "n", n, 0)
        mutual = np.triu(self.counts + self.counts.T, 1)
        largest = np.argsort(-mutual, axis=None, kind="stable")[: min(n, np.count_nonzero(mutual))]
        pairs = zip(*np.unravel_index(largest, mutual.shape), strict=True)
        return [(int(i), int(j), int(mutual[i, j])) for i, j in pairs]


def share(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """part / whole, 0 where whole is 0."""
    shares: npt.NDArray[np.float64] = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return shares


def confusion_of(
    outputs: Any, targets: npt.NDArray[Any], counted: Callable[[npt.NDArray[Any]], npt.NDArray[np.bool_]] | None = None
) -> npt.NDArray[np.int64] | None:
    """(classes, classes) counts of targets and largest outputs; None if the targets are no classes.

    Args:
        outputs: (batch, classes, ...).
        targets: classes are integers (batch, ...) from 0 to classes - 1, or (batch, classes, ...) with a single 1 for
            each sample, and 0 else.
        counted: which integers count, see `nn.CrossEntropyLoss`; all do if None.

    >>> confusion_of(np.array([[2.0, 1.0], [3.0, 5.0]]), np.array([0, 0])).tolist()
    [[1, 1], [0, 0]]
    """
    shape = np.shape(outputs) if isinstance(outputs, np.ndarray) else ()
    if len(shape) < 2 or shape[1] < 2:
        return None
    if targets.dtype.kind in "iu" and targets.shape == shape[:1] + shape[2:]:
        chosen = np.ones(targets.shape, bool) if counted is None else counted(targets)
    elif targets.shape == shape and ((targets == 0) | (targets == 1)).all() and (targets.sum(1) == 1).all():
        targets = targets.argmax(1)
        chosen = np.ones(targets.shape, bool)
    else:
        return None
    true, predicted = targets[chosen], outputs.argmax(1)[chosen]
    is_class = (true >= 0) & (true < shape[1])
    return confusion_matrix(true, predicted, shape[1]) if is_class.all() else None


def confusion_matrix(
    true: npt.NDArray[Any], predicted: npt.NDArray[Any], classes: int
) -> npt.NDArray[np.int64]:
    """(classes, classes) counts of (true, predicted) pairs, both class indices from 0 to classes - 1.

    Raises:
        ValueError: if they are anything else.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    classes = whole("confusion_matrix", "classes", classes, 0)
    for indices in (true, predicted):
        if indices.dtype.kind not in "iu" or indices.ndim != 1 or len(indices) != len(true):
            given = f"{true.dtype} of shape {true.shape} and {predicted.dtype} of shape {predicted.shape}"
            raise ValueError(f"a confusion matrix is of one true and one predicted class index a sample, got {given}")
        outside = indices[(indices < 0) | (indices >= classes)]
        if outside.size:
            raise ValueError(f"a confusion matrix expects class indices from 0 to {classes - 1}, got {outside[0]}")
    pairs = true.astype(np.int64) * classes + predicted.astype(np.int64)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
