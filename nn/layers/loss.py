"""Losses as layers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minigrad import Tensor, TensorLike
from nn import functional as F
from nn.module import Module

__all__ = ["CrossEntropyLoss"]


class CrossEntropyLoss(Module):
    """Cross-entropy of logits and class indices or probabilities, see `nn.functional.cross_entropy`.

    >>> CrossEntropyLoss()(np.zeros((4, 10)), np.arange(4)).item()
    2.302585092994046
    """

    def __init__(
        self,
        weight: npt.ArrayLike | None = None,
        ignore_index: int = -100,
        reduction: F.Reduction = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        if reduction not in ("none", "mean", "sum"):
            raise ValueError(f"reduction is 'none', 'mean' or 'sum', got {reduction!r}")
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing is from 0 to 1, got {label_smoothing}")
        self._weight = None if weight is None else np.asarray(weight)
        self.ignore_index, self.reduction, self.label_smoothing = ignore_index, reduction, label_smoothing

    def forward(self, logits: TensorLike, target: TensorLike) -> Tensor:
        return F.cross_entropy(
            logits, target, self._weight, self.ignore_index, self.reduction, self.label_smoothing
        )
