"""What keeps rules right at kinks, at infinity, and near both ends of the range of a dtype."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from math import inf, nan
from typing import Any, TypeVar, cast

import numpy as np

from minigrad.arrays import Array
from minigrad.graph import record
from minigrad.modes import is_grad_enabled
from minigrad.ops.arithmetic import astype, clip, multiply, where
from minigrad.tensor import Tensor, TensorLike, as_tensor, wrap

F = TypeVar("F", bound=Callable[..., Any])


def in_single(function: F) -> F:
    """The operation computed in float32 for a first input in float16: counts and squares soon leave that range."""
    @wraps(function)
    def computed(x: TensorLike, *args: Any, **options: Any) -> Any:
        x = as_tensor(x)
        if x._data.dtype != np.float16:
            return function(x, *args, **options)
        return astype(function(astype(x, np.float32), *args, **options), np.float16)

    return cast(F, computed)


def or_inf(x: Tensor) -> Tensor:
    """`x` with inf in place of 0: dividing by it gives 0, in derivatives of any order, where `x` is 0."""
    zero = x.data == 0
    return where(zero, inf, x) if np.any(zero) else x


def kinked(slope: Tensor, kink: Any, *inputs: TensorLike, axis: Any = ()) -> Tensor:
    """A `slope`, set to 0 at a kink around which it takes every direction: it has no derivative by the inputs there.

    Asked for one it answers NaN. 0 would be wrong for hypot(a, b) ** 2, which is smooth.
    """
    if not (is_grad_enabled() and np.any(kink)):
        return slope

    def rule(grad: Tensor, out: Tensor) -> Tensor:
        asked = kink & np.any(grad.data, axis, keepdims=True)
        return wrap(np.where(np.broadcast_to(asked, grad.shape), grad.dtype.type(nan), grad.dtype.type(0)))

    return record(kinked, slope.data, (slope, lambda grad, out: grad), *[(x, rule) for x in inputs])


def within_range(x: Tensor) -> Tensor:
    """`x` with the largest number in place of inf, where a function is to have its limit there."""
    if x.dtype.kind != "f":
        return x
    most = np.finfo(x.dtype).max
    return clip(x, -most, most)


@np.errstate(over="ignore")
def times(factor: TensorLike, x: TensorLike) -> Tensor:
    """factor * x for a function that has a limit where that overflows."""
    return multiply(factor, x)


def at_infinity(x: Tensor, infinite: Any) -> Tensor:
    """`x` as part of a direction: where that goes to infinity, infinite elements are ±1 and finite ones 0."""
    return where(infinite, np.sign(x.data) * np.isinf(x.data), x)


def powers_fit(x: Array, p: float = 2) -> bool:
    """Whether sums of the p-th powers of non-negative numbers of this size neither overflow nor vanish in the dtype."""
    low, high = fitting_sizes(x.dtype, max(2, p, -p))
    return bool(np.all((x > low) & (x < high)))


@cache
def fitting_sizes(dtype: np.dtype[Any], p: float) -> tuple[Any, Any]:
    """Between which sizes p-th powers are far from both ends of the range: the (2p)-th roots of the ends."""
    return np.finfo(dtype).tiny ** (0.5 / p), np.finfo(dtype).max ** (0.5 / p)


def magnitude(x: Array) -> Any:
    """A power of two near each of the non-negative elements: dividing by it takes no digit away."""
    return np.ldexp(x.dtype.type(1), np.frexp(x)[1] - 1)
