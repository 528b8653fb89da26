"""Softmax, beside the activation functions that are operations of the engine."""

from __future__ import annotations

import numpy as np

from minigrad import Tensor, TensorLike, as_tensor, exp

__all__ = ["softmax"]


def softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis, without overflow."""
    x = as_tensor(x)
    with np.errstate(over="ignore", invalid="ignore"):  # as in cross_entropy
        powers = exp(x - x.data.max(axis, keepdims=True))  # the same softmax, so a constant is enough as derivative
    return powers / powers.sum(axis, keepdims=True)
