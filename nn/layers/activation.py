"""Activation functions as layers, their settings named as in PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nn import functional as F
from nn.functional.settings import whole
from nn.layers.function import Function

__all__ = ["ELU", "GELU", "LeakyReLU", "LogSoftmax", "ReLU", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh"]


@dataclass(repr=False, eq=False)
class ReLU(Function):
    """Rectifier max(x, 0), elementwise."""

    function = staticmethod(F.relu)


@dataclass(repr=False, eq=False)
class Sigmoid(Function):
    """Logistic function 1 / (1 + exp(-x)), elementwise."""

    function = staticmethod(F.sigmoid)


@dataclass(repr=False, eq=False)
class Tanh(Function):
    """Hyperbolic tangent, elementwise."""

    function = staticmethod(F.tanh)


@dataclass(repr=False, eq=False)
class SiLU(Function):
    """x * sigmoid(x), elementwise."""

    function = staticmethod(F.silu)


@dataclass(repr=False, eq=False)
class LeakyReLU(Function):
    """x where it is positive, else `negative_slope` * x.

    >>> LeakyReLU(0.1)([-2.0, 2.0])
    tensor([-0.2,  2. ], dtype=float64)
    """

    negative_slope: float = 0.01
    function = staticmethod(F.leaky_relu)


@dataclass(repr=False, eq=False)
class ELU(Function):
    """x where it is positive, else `alpha` * (exp(x) - 1)."""

    alpha: float = 1.0
    function = staticmethod(F.elu)


@dataclass(repr=False, eq=False)
class GELU(Function):
    """x times the normal distribution function of x, or with `approximate="tanh"` a formula close to it."""

    approximate: Literal["none", "tanh"] = "none"
    function = staticmethod(F.gelu)


@dataclass(repr=False, eq=False)
class Softplus(Function):
    """log(1 + exp(beta * x)) / beta, elementwise; without overflow, so PyTorch's `threshold` is not needed."""

    beta: float = 1.0
    function = staticmethod(F.softplus)


class AlongAxis(Function):
    """The base of those below. Raises ValueError if `dim` is no integer: None would be a guess, as PyTorch warns."""

    dim: int

    def __post_init__(self) -> None:
        self.dim = whole(type(self).__name__, "dim", self.dim)


@dataclass(repr=False, eq=False)
class Softmax(AlongAxis):
    """exp(x) / sum(exp(x)) along the axis `dim`, which has no default.

    >>> Softmax(dim=1)([[0.0, 0.0]])
    tensor([[0.5, 0.5]], dtype=float64)
    """

    dim: int
    function = staticmethod(F.softmax)


@dataclass(repr=False, eq=False)
class LogSoftmax(AlongAxis):
    """log(softmax(x)) along the axis `dim`, without overflow."""

    dim: int
    function = staticmethod(F.log_softmax)
