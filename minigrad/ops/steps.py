"""Functions without a gradient: step functions, which refuse to hide that, and those whose results are plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import argmax, argmin, argsort

from minigrad.modes import is_grad_enabled
from minigrad.ops.registry import NONZERO, REAL, named_after, operation
from minigrad.tensor import Tensor, TensorLike, value, wrap

__all__ = [
    "sign", "floor", "ceil", "rint", "trunc", "round", "floor_divide", "argmax", "argmin", "argsort",
]

FLAT = "its derivative is zero almost everywhere. Call it on x.detach() to say that no gradient should flow"


def needs_gradient(*inputs: Any) -> bool:
    """Whether an operation on these inputs would be recorded."""
    return is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in inputs)


def without_slope(twin: Callable[..., Any], *inputs: Any) -> Tensor:
    """What `twin` makes of the values; TypeError if a gradient is asked of it."""
    if needs_gradient(*inputs):
        raise TypeError(f"{twin.__name__} of a tensor that requires gradients: {FLAT}")
    return wrap(twin(*map(value, inputs)))


def step(ufunc: np.ufunc) -> Callable[[TensorLike], Tensor]:
    """The operation that computes `ufunc`, which has no slope."""
    def function(x: TensorLike) -> Tensor:
        return without_slope(ufunc, x)

    return named_after(ufunc, function, f"As `numpy.{ufunc.__name__}`; {FLAT}", "step")


sign  = step(np.sign)
floor = step(np.floor)
ceil  = step(np.ceil)
rint  = step(np.rint)
trunc = step(np.trunc)


@operation("step", np.floor_divide, domain=(REAL, NONZERO), methods="__floordiv__")
def floor_divide(a: TensorLike, b: TensorLike) -> Tensor:
    """As `numpy.floor_divide`; its derivative is zero almost everywhere."""
    return without_slope(np.floor_divide, a, b)


@operation("step", np.round, methods="round __round__")
def round(x: TensorLike, decimals: int = 0) -> Tensor:
    """As `numpy.round`; its derivative is zero almost everywhere."""
    return without_slope(np.round, x, decimals)


for answer in (argmax, argmin, argsort, np.any, np.all):  # of which NumPy asks `dispatch.py`
    setattr(Tensor, answer.__name__, answer)
