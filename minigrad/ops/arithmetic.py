"""Arithmetic and choices: the value on one line, then one gradient rule for each input.

All broadcast as NumPy does. A rule may return the broadcast shape: the sweep sums it back.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from minigrad.arrays import NUMERIC, WEAK, kept_where, native
from minigrad.graph import record
from minigrad.ops.registry import NONZERO, POSITIVE, REAL, named_after, operation
from minigrad.tensor import Tensor, TensorLike, as_tensor, value

__all__ = [
    "add", "subtract", "multiply", "divide", "power", "remainder", "mod", "positive", "negative", "abs",
    "maximum", "minimum", "fmax", "fmin", "clip", "where", "astype",
]


@operation("elementwise", np.add, methods="__add__")
def add(a: TensorLike, b: TensorLike) -> Tensor:
    """Sum: a + b."""
    return record(add, value(a) + value(b),
                  (a, lambda grad, out: grad),
                  (b, lambda grad, out: grad))


@operation("elementwise", np.subtract, methods="__sub__")
def subtract(a: TensorLike, b: TensorLike) -> Tensor:
    """Difference: a - b."""
    return record(subtract, value(a) - value(b),
                  (a, lambda grad, out: grad),
                  (b, lambda grad, out: -grad))


@operation("elementwise", np.multiply, methods="__mul__")
def multiply(a: TensorLike, b: TensorLike) -> Tensor:
    """Product: a * b."""
    return record(multiply, value(a) * value(b),
                  (a, lambda grad, out: grad * b),
                  (b, lambda grad, out: grad * a))


@operation("elementwise", np.divide, domain=(REAL, NONZERO), methods="__truediv__")
def divide(a: TensorLike, b: TensorLike) -> Tensor:
    """Quotient: a / b."""
    return record(divide, value(numpys(a, b)) / value(b),
                  (a, lambda grad, out: grad / b),
                  (b, lambda grad, out: -grad * out / b))


@operation("elementwise", np.power, domain=(POSITIVE, REAL), methods="__pow__")
def power(a: TensorLike, b: TensorLike) -> Tensor:
    """Power: a ** b. A negative base has a gradient for integer exponents; with respect to them it is NaN.

    At base 0 the gradient is the limit from the right: with respect to the exponent 0, or -inf if that is negative.
    """
    def to_base(grad: Tensor, out: Tensor) -> Tensor:
        if type(b) is int or type(b) is float:
            return grad * (b * power(a, b - 1 if b else 0))
        exponent = as_tensor(b)
        if exponent.dtype.kind != "f":  # where 0 - 1 is the largest number of an unsigned dtype
            exponent = astype(exponent, out.dtype)
        # The slope of a ** 0 is 0, where b * a ** (b - 1) would be 0 * inf: 1 / a overflows for subnormal a, too.
        zero_to_zero = (np.abs(value(a)) < np.finfo(out.dtype).tiny) & (exponent.data == 0)
        return grad * (exponent * power(a, where(zero_to_zero, 1, exponent - 1)))

    def to_exponent(grad: Tensor, out: Tensor) -> Tensor:
        # 0 ** b is flat in b, and inf times any negative number where b is negative
        instead_of_0 = np.where(value(b) < 0, 0.5, 1).astype(out.dtype)
        return grad * where(value(a) == 0, instead_of_0, a).log() * out

    return record(power, value(numpys(a, b)) ** value(b), (a, to_base), (b, to_exponent))


@operation("other", np.remainder, domain=(REAL, NONZERO), methods="__mod__")
def remainder(a: TensorLike, b: TensorLike) -> Tensor:
    """Remainder a % b = a - b * floor(a / b), with the sign of b; the gradient is that between its jumps."""
    return record(remainder, np.remainder(value(a), value(b)),
                  (a, lambda grad, out: grad),
                  (b, lambda grad, out: -grad * np.floor_divide(value(a), value(b))))


mod = remainder


@operation("elementwise", np.positive, methods="__pos__")
def positive(x: TensorLike) -> Tensor:
    """A copy: +x."""
    return record(positive, +value(x), (x, lambda grad, out: grad))


@operation("elementwise", np.negative, methods="__neg__")
def negative(x: TensorLike) -> Tensor:
    """The opposite: -x."""
    return record(negative, -value(x), (x, lambda grad, out: -grad))


@operation("elementwise", np.abs, kinks=(0,), methods="__abs__ abs")
def abs(x: TensorLike) -> Tensor:
    """Absolute value: |x|, with slope 0 at 0."""
    return record(abs, np.abs(value(x)), (x, lambda grad, out: grad * np.sign(value(x))))


def numpys(a: TensorLike, b: TensorLike) -> TensorLike:
    """`a`, as a constant if both are Python's own numbers: these raise, or grow, where NumPy's become inf or NaN."""
    return as_tensor(a) if type(a) in WEAK and type(b) in WEAK else a


# ------------------------------------------------------------------------------------------------ choices


def extreme(ufunc: np.ufunc, doc: str) -> Callable[[TensorLike, TensorLike], Tensor]:
    """The operation that computes `ufunc`, which chooses one of two."""
    def function(a: TensorLike, b: TensorLike) -> Tensor:
        return record(function, ufunc(value(a), value(b)),
                      (a, lambda grad, out: portion(grad, a, b, out)),
                      (b, lambda grad, out: portion(grad, b, a, out)))

    doc = f"{doc}; where they are equal each gets half the gradient"
    return named_after(ufunc, function, doc, "elementwise", ties=True)


maximum = extreme(np.maximum, "The larger of a and b, NaN if either is")
minimum = extreme(np.minimum, "The smaller of a and b, NaN if either is")
fmax = extreme(np.fmax, "The larger of a and b, or the one that is not NaN")
fmin = extreme(np.fmin, "The smaller of a and b, or the one that is not NaN")


def portion(grad: Tensor, mine: TensorLike, other: TensorLike, out: Tensor) -> Tensor:
    """What one of two inputs gets of the gradient: all where it was chosen (NaN is), half at a tie, else nothing."""
    lost = np.isnan(out.data)
    chosen, tied = ((value(x) == out.data) | (lost & np.isnan(value(x))) for x in (mine, other))
    return where(chosen, where(tied, 0.5 * grad, grad), 0)


@operation("other", np.clip, methods="clip")
def clip(x: TensorLike, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
    """`x` kept between two bounds, either of which may be None; on the bounds the gradient is that of `x`."""
    x = as_tensor(x)
    low, high = -inf if min is None else min, inf if max is None else max

    def above() -> Any:
        return np.maximum(x.data, value(low)) > value(high)  # NumPy applies the upper bound last

    def below() -> Any:
        return (x.data < value(low)) & ~above()

    return record(clip, np.clip(x.data, None if min is None else value(min), None if max is None else value(max)),
                  (x, lambda grad, out: where(below() | above(), 0, grad)),
                  (low, lambda grad, out: where(below(), grad, 0)),
                  (high, lambda grad, out: where(above(), grad, 0)))


@operation("other", np.where)
def where(condition: TensorLike, a: TensorLike, b: TensorLike) -> Tensor:
    """Elements of `a` where `condition` holds, of `b` elsewhere; no gradient reaches the one not chosen."""
    condition = value(condition)
    return record(where, either(condition, value(a), value(b)),
                  (a, lambda grad, out: where(condition, grad, 0)),
                  (b, lambda grad, out: where(condition, 0, grad)))


def either(condition: Any, a: Any, b: Any) -> Any:
    """`np.where`, which takes ten times as long to choose between an array and 0, as most gradient rules do."""
    if isinstance(condition, np.ndarray) and condition.dtype == bool:
        if type(b) is int and b == 0 and isinstance(a, np.ndarray) and a.dtype.kind == "f":
            return kept_where(condition, a)
        if type(a) is int and a == 0 and isinstance(b, np.ndarray) and b.dtype.kind == "f":
            return kept_where(~condition, b)
    return np.where(condition, a, b)


@operation("other", lambda x, dtype: x.astype(dtype), methods="astype")
def astype(x: TensorLike, dtype: Any, *, copy: bool = True) -> Tensor:
    """The same values in another dtype; gradients flow through floating ones only. Without `copy` it may be `x`."""
    x = as_tensor(x)
    dtype = native(dtype)
    if not copy and x.dtype == dtype:
        return x
    if dtype.kind not in NUMERIC:
        raise TypeError(f"a tensor holds booleans, integers or reals, and cannot become {dtype}")
    data = x.data.astype(dtype)
    return record(astype, data, *([(x, lambda grad, out: grad)] if data.dtype.kind == "f" else []))
