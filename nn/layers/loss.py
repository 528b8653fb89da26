"""Losses as layers. Class weights are buffers, as in PyTorch: saved with the model, not trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nn import functional as F
from nn.functional.losses import check_settings
from nn.layers.function import Function

__all__ = ["BCEWithLogitsLoss", "CrossEntropyLoss", "L1Loss", "MSELoss", "NLLLoss", "SmoothL1Loss"]


class Loss(Function):
    """The base of the losses below, which checks and converts their settings when they are made."""

    def __post_init__(self) -> None:
        settings = vars(self)
        check_settings(settings["reduction"], settings.get("label_smoothing", 0.0))
        for name in {"weight", "pos_weight"} & settings.keys():
            if settings[name] is not None:
                settings[name] = np.array(settings[name], float)


@dataclass(repr=False, eq=False)
class CrossEntropyLoss(Loss):
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
class NLLLoss(Loss):
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
