"""Layers that drop at random while training."""

from __future__ import annotations

import numpy as np

from minigrad import Tensor, TensorLike
from nn import functional as F
from nn.functional.settings import real
from nn.module import Module

__all__ = ["Dropout", "Dropout2d"]


class Dropout(Module):
    """Zeroes each element with probability `p` in training mode, and scales the others by 1 / (1 - p).

    Args:
        p: the probability, from 0 to 1.
        generator: what the choice is drawn from. PyTorch's `inplace`, which stands here there, does not exist.

    Raises:
        TypeError: if the generator is none.
        ValueError: if p is not from 0 to 1.
    """

    def __init__(self, p: float = 0.5, generator: np.random.Generator | None = None) -> None:
        if not isinstance(generator, np.random.Generator | None):
            raise TypeError(f"{type(self).__name__} draws from a numpy.random.Generator, got {generator!r}")
        self.p = real(type(self).__name__, "p", p, 0, 1)
        self.generator: np.random.Generator | None = generator

    def forward(self, x: TensorLike) -> Tensor:
        return F.dropout(x, self.p, self.training, self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout2d(Dropout):
    """As `Dropout`, for whole channels: inputs are (batch, channels, height, width)."""

    def forward(self, x: TensorLike) -> Tensor:
        return F.dropout2d(x, self.p, self.training, self.generator)
