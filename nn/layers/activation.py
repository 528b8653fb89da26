"""Activation functions as layers."""

from __future__ import annotations

from minigrad import Tensor, TensorLike
from nn import functional as F
from nn.module import Module

__all__ = ["ReLU", "Sigmoid", "Tanh"]


class ReLU(Module):
    """Rectifier max(x, 0), elementwise."""

    def forward(self, x: TensorLike) -> Tensor:
        return F.relu(x)


class Sigmoid(Module):
    """Logistic function 1 / (1 + exp(-x)), elementwise."""

    def forward(self, x: TensorLike) -> Tensor:
        return F.sigmoid(x)


class Tanh(Module):
    """Hyperbolic tangent, elementwise."""

    def forward(self, x: TensorLike) -> Tensor:
        return F.tanh(x)
