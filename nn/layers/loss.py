"""Losses as layers. Class weights are buffers, as in PyTorch: saved with the model, not trained.

A loss tells what its mean is over, so that means over many batches are exact however the samples were divided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad import TensorLike, value
from minigrad.arrays import Array, numeric_array
from nn import functional as F
from nn.functional.loss import plain_settings
from nn.layers.function import Function

__all__ = ["BCEWithLogitsLoss", "CrossEntropyLoss", "L1Loss", "MSELoss", "NLLLoss", "SmoothL1Loss"]


class Loss(Function):
    """The base of the losses below, which checks and converts their settings when they are made."""

    reduction: F.Reduction

    def __post_init__(self) -> None:
        settings = vars(self)
        settings |= plain_settings(**settings)
        for name in {"weight", "pos_weight"} & settings.keys():
            if settings[name] is not None:
                settings[name] = numeric_array(settings[name], float, copy=True)

    def sum_and_weight(self, loss: TensorLike, target: TensorLike) -> tuple[float, float]:
        """What a batch adds to a mean over many: the sum of its losses, and the weight that a mean divides it by.

        Σ sum / Σ weight over batches is the mean over all of them at once, whatever the reduction; but where all
        targets of a batch have weight 0, a mean is undefined and so gives no sum: smoothed labels, which have one there
        too, count only with reduction="sum".

        Args:
            loss: what this loss was for the batch.
            target: the targets of the batch.

        >>> CrossEntropyLoss(weight=[1.0, 3.0])(np.zeros((2, 2)), np.array([0, 1])).item()
        0.6931471805599453
        >>> CrossEntropyLoss(weight=[1.0, 3.0]).sum_and_weight(0.6931471805599453, np.array([0, 1]))
        (2.772588722239781, 4.0)
        """
        weight = self.weight_of(np.asarray(value(target)))
        if self.reduction == "mean":
            return (float(value(loss)) * weight if weight else 0.0), weight
        return float(np.sum(value(loss), dtype=float)), weight

    def weight_of(self, target: Array) -> float:
        """What a mean over these targets divides by."""
        return float(target.size)


class ClassLoss(Loss):
    """The base of losses whose targets are classes, or probabilities of each."""

    weight: npt.ArrayLike | None
    ignore_index: int

    def counted(self, target: Array) -> Array:
        """(samples, ...) boolean, which targets count."""
        return np.ones(target.shape[:1], bool) if target.dtype.kind == "f" else np.not_equal(target, self.ignore_index)

    def weight_of(self, target: Array) -> float:
        if target.dtype.kind == "f":
            classes = target.shape[1 if target.ndim > 1 else 0]
            return float(target.size // classes)
        counted = self.counted(target)
        return float(counted.sum() if self.weight is None else np.take(self.weight, target[counted]).sum())


def sum_and_weight(loss: Callable[..., Any], batch_loss: TensorLike, target: Array) -> tuple[float, float]:
    """What any loss says of a batch, see `Loss.sum_and_weight`; if it says nothing, it is a mean over samples."""
    told = getattr(loss, "sum_and_weight", None)
    return told(batch_loss, target) if told else (float(value(batch_loss)) * len(target), float(len(target)))


@dataclass(repr=False, eq=False)
class CrossEntropyLoss(ClassLoss):
    """Cross-entropy of logits and class indices or probabilities, see `nn.functional.cross_entropy`.

    >>> CrossEntropyLoss()(np.zeros((4, 10)), np.arange(4)).item()
    2.302585092994046
    """

    weight: npt.ArrayLike | None = None
    ignore_index: int = -100
    reduction: F.Reduction = "mean"
    label_smoothing: float = 0.0
    function = staticmethod(F.cross_entropy)


@dataclass(repr=False, eq=False)
class NLLLoss(ClassLoss):
    """Negative log-likelihood of log-probabilities and class indices, see `nn.functional.nll_loss`."""

    weight: npt.ArrayLike | None = None
    ignore_index: int = -100
    reduction: F.Reduction = "mean"
    function = staticmethod(F.nll_loss)


@dataclass(repr=False, eq=False)
class BCEWithLogitsLoss(Loss):
    """Cross-entropy of yes-or-no questions, see `nn.functional.binary_cross_entropy_with_logits`."""

    weight: npt.ArrayLike | None = None
    reduction: F.Reduction = "mean"
    pos_weight: npt.ArrayLike | None = None
    function = staticmethod(F.binary_cross_entropy_with_logits)


@dataclass(repr=False, eq=False)
class MSELoss(Loss):
    """Mean squared error, see `nn.functional.mse_loss`.

    >>> MSELoss()([1.0, 2.0], [1.0, 4.0]).item()
    2.0
    """

    reduction: F.Reduction = "mean"
    function = staticmethod(F.mse_loss)


@dataclass(repr=False, eq=False)
class L1Loss(Loss):
    """Mean absolute error, see `nn.functional.l1_loss`."""

    reduction: F.Reduction = "mean"
    function = staticmethod(F.l1_loss)


@dataclass(repr=False, eq=False)
class SmoothL1Loss(Loss):
    """Squared error where it is small, absolute error where it is not, see `nn.functional.smooth_l1_loss`."""

    reduction: F.Reduction = "mean"
    beta: float = 1.0
    function = staticmethod(F.smooth_l1_loss)
