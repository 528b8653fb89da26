"""What a classifier is judged by, from its confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Evaluation:
    """How a classifier did on some data.

    Attributes:
        loss: the mean over all samples.
        confusion: (classes, classes) counts; row: true class, column: predicted class.
    """

    loss: float
    confusion: npt.NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """The share of samples that were classified rightly."""
        return float(self.confusion.trace() / max(self.confusion.sum(), 1))

    @property
    def precision(self) -> npt.NDArray[np.float64]:
        """(classes,) of the samples predicted to be in each class, the share that is; 0 if there are none."""
        return share(self.confusion.diagonal(), self.confusion.sum(0))

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """(classes,) of the samples in each class, the share predicted to be; 0 if there are none."""
        return share(self.confusion.diagonal(), self.confusion.sum(1))

    @property
    def f1(self) -> npt.NDArray[np.float64]:
        """(classes,) the harmonic mean of precision and recall."""
        return share(2 * self.confusion.diagonal(), self.confusion.sum(0) + self.confusion.sum(1))

    def most_confused(self, n: int = 3) -> list[tuple[int, int, int]]:
        """The `n` pairs of classes most often taken for one another, as (class, class, times), both ways together.

        There are fewer if fewer pairs were confused at all.
        """
        mutual = np.triu(self.confusion + self.confusion.T, 1)
        largest = np.argsort(-mutual, axis=None, kind="stable")[: min(n, np.count_nonzero(mutual))]
        pairs = zip(*np.unravel_index(largest, mutual.shape), strict=True)
        return [(int(i), int(j), int(mutual[i, j])) for i, j in pairs]


def share(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """part / whole, 0 where whole is 0."""
    shares: npt.NDArray[np.float64] = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return shares


def confusion_matrix(
    true: npt.NDArray[Any], predicted: npt.NDArray[Any], classes: int
) -> npt.NDArray[np.int64]:
    """(classes, classes) counts of (true, predicted) pairs, both class indices from 0 to classes - 1.

    Raises:
        ValueError: if they are anything else.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    for indices in (true, predicted):
        if indices.dtype.kind not in "iu" or indices.ndim != 1 or len(indices) != len(true):
            given = f"{true.dtype} of shape {true.shape} and {predicted.dtype} of shape {predicted.shape}"
            raise ValueError(f"a confusion matrix is of one true and one predicted class index a sample, got {given}")
        outside = indices[(indices < 0) | (indices >= classes)]
        if outside.size:
            raise ValueError(f"a confusion matrix expects class indices from 0 to {classes - 1}, got {outside[0]}")
    return np.bincount(true.astype(np.int64) * classes + predicted, minlength=classes**2).reshape(classes, classes)
