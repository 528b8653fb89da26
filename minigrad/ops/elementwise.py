"""Elementwise functions: exponentials, trigonometric, hyperbolic and special ones; value line, then gradient rules."""

from __future__ import annotations

from collections.abc import Callable
from math import log as ln
from math import pi
from typing import Any, TypeAlias

import numpy as np

from minigrad.arrays import Array
from minigrad.graph import record
from minigrad.ops.arithmetic import at_infinity, comfortable, kinked, magnitude, or_inf, subtract, where
from minigrad.ops.registry import NONZERO, POSITIVE, REAL, Domain, operation
from minigrad.tensor import Rule, Tensor, TensorLike, as_tensor, value

__all__ = [
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "logaddexp", "logaddexp2", "square", "reciprocal", "sqrt",
    "cbrt", "hypot", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "tanh", "arcsinh",
    "arccosh", "arctanh", "sigmoid",
]

Unary: TypeAlias = Callable[[TensorLike], Tensor]
UNIT, HALF_TURN = Domain(-1, 1), Domain(-pi / 2, pi / 2)


@operation("elementwise", lambda x: (1 + np.tanh(x / 2)) / 2, methods="sigmoid")
def sigmoid(x: TensorLike) -> Tensor:
    """Logistic function: 1 / (1 + e ** -x), without overflow for any x."""
    return record(sigmoid, logistic(value(x)), (x, lambda grad, out: grad * logistic_density(x)))


def logistic(x: Array) -> Any:
    # e ** x / (1 + e ** x) for negative x, where e ** -x overflows; bytes and booleans have no negative of their own
    return np.exp(np.minimum(x, 0.0)) / (1 + np.exp(-1.0 * np.abs(x)))


def logistic_density(x: TensorLike) -> Tensor:
    """The slope of sigmoid, s / (1 + s) ** 2 with s = e ** -|x|: precise also where sigmoid(x) rounds to 1."""
    s = np.exp(-np.abs(value(x)))
    total = 1 + s
    total *= total  # in place: a new array takes longer than the product
    s /= total
    return record(logistic_density, s, (x, lambda grad, out: -grad * out * tanh(0.5 * as_tensor(x))))


def unary(ufunc: np.ufunc, rule: Callable[[Any], Rule], doc: str, domain: Domain = REAL) -> Unary:
    """The operation that computes `ufunc`; `rule` returns the gradient rule for its input."""
    def function(x: TensorLike) -> Tensor:
        return record(function, ufunc(value(x)), (x, rule(x)))

    function.__name__ = function.__qualname__ = ufunc.__name__
    function.__doc__ = f"{doc}."
    method = ufunc.__name__ if ufunc.__name__ in ("exp", "log", "sqrt", "tanh") else ""  # those that everybody types
    return operation("elementwise", ufunc, domain=domain, methods=method)(function)


@operation("elementwise", np.logaddexp)
def logaddexp(a: TensorLike, b: TensorLike) -> Tensor:
    """log(exp(a) + exp(b)), without overflow."""
    return record(logaddexp, np.logaddexp(value(a), value(b)),
                  (a, lambda grad, out: grad * sigmoid(lead(a, b))),
                  (b, lambda grad, out: grad * sigmoid(lead(b, a))))


@operation("elementwise", np.logaddexp2)
def logaddexp2(a: TensorLike, b: TensorLike) -> Tensor:
    """log2(2 ** a + 2 ** b), without overflow."""
    return record(logaddexp2, np.logaddexp2(value(a), value(b)),
                  (a, lambda grad, out: grad * sigmoid(lead(a, b) * ln(2))),
                  (b, lambda grad, out: grad * sigmoid(lead(b, a) * ln(2))))


def lead(a: TensorLike, b: TensorLike) -> Tensor:
    """a - b; of two infinities 0, so that they share as equals, and of two -inf itself: nothing is to be shared."""
    level = (value(a) == value(b)) & np.isinf(value(a))
    return where(level, np.minimum(value(a), 0), subtract(where(level, 0, a), where(level, 0, b)))


@operation("elementwise", np.hypot)
def hypot(a: TensorLike, b: TensorLike) -> Tensor:
    """Length of the hypotenuse: sqrt(a * a + b * b), with slope 0 where both are 0."""
    return record(hypot, np.hypot(value(a), value(b)),
                  (a, lambda grad, out: homogeneous(grad, out, a, b, lambda x, y, square: x / sqrt(square))),
                  (b, lambda grad, out: homogeneous(grad, out, a, b, lambda x, y, square: y / sqrt(square))))


@operation("elementwise", np.arctan2)
def arctan2(a: TensorLike, b: TensorLike) -> Tensor:
    """The angle of the point (b, a), in radians: arctan(a / b) in the right quadrant; with slope 0 where both are 0."""
    return record(arctan2, np.arctan2(value(a), value(b)),
                  (a, lambda grad, out: homogeneous(grad, out, a, b, lambda x, y, square: y / square, -1)),
                  (b, lambda grad, out: homogeneous(grad, out, a, b, lambda x, y, square: -x / square, -1)))


def homogeneous(
    grad: Tensor, out: Tensor, a: TensorLike, b: TensorLike, slope: Callable[..., Tensor], degree: int = 0
) -> Tensor:
    """grad * slope(a, b, a² + b²), in units in which the squares neither overflow nor vanish.

    The slope is homogeneous of degree 0 or -1, and 0 where both are 0; at infinity it is the limit.
    """
    x, y = (x if x.dtype == out.dtype else x.astype(out.dtype) for x in map(as_tensor, (a, b)))
    largest = np.maximum(np.abs(x.data), np.abs(y.data))
    if comfortable(largest):
        return grad * slope(x, y, x * x + y * y)
    infinite, unit = np.isinf(largest), magnitude(largest)
    x, y = at_infinity(x, infinite) / unit, at_infinity(y, infinite) / unit
    result = grad * slope(x, y, or_inf(x * x + y * y))
    return kinked(result / np.where(infinite, largest, unit) if degree else result, largest == 0, a, b)


cos: Unary
cosh: Unary

exp        = unary(np.exp,        lambda x: lambda grad, out: grad * out, "Exponential: e ** x")
exp2       = unary(np.exp2,       lambda x: lambda grad, out: grad * out * ln(2), "Power of two: 2 ** x")
expm1      = unary(np.expm1,      lambda x: lambda grad, out: grad * exp(x), "e ** x - 1, precise near 0")
log        = unary(np.log,        lambda x: lambda grad, out: grad / x, "Natural logarithm", POSITIVE)
log2       = unary(np.log2,       lambda x: lambda grad, out: grad / ln(2) / x, "Logarithm to base 2", POSITIVE)
log10      = unary(np.log10,      lambda x: lambda grad, out: grad / ln(10) / x, "Logarithm to base 10", POSITIVE)
log1p      = unary(np.log1p,      lambda x: lambda grad, out: grad / (1 + x), "log(1 + x), precise near 0", Domain(-1))
square     = unary(np.square,     lambda x: lambda grad, out: 2 * grad * x, "Square: x * x")
reciprocal = unary(np.reciprocal, lambda x: lambda grad, out: -grad * out * out, "Reciprocal: 1 / x", NONZERO)
sqrt       = unary(np.sqrt,       lambda x: lambda grad, out: 0.5 * grad / out, "Square root", POSITIVE)
cbrt       = unary(np.cbrt,       lambda x: lambda grad, out: grad / (3 * out) / out, "Cube root", NONZERO)

sin    = unary(np.sin,    lambda x: lambda grad, out: grad * cos(x), "Sine of radians")
cos    = unary(np.cos,    lambda x: lambda grad, out: -grad * sin(x), "Cosine of radians")
tan    = unary(np.tan,    lambda x: lambda grad, out: grad + grad * out * out, "Tangent", HALF_TURN)
arcsin = unary(np.arcsin, lambda x: lambda grad, out: grad / sqrt((1 - x) * (1 + x)), "Inverse sine", UNIT)
arccos = unary(np.arccos, lambda x: lambda grad, out: -grad / sqrt((1 - x) * (1 + x)), "Inverse cosine", UNIT)
arctan = unary(np.arctan, lambda x: lambda grad, out: grad / hypot(x, 1) / hypot(x, 1), "Inverse tangent")

sinh    = unary(np.sinh,    lambda x: lambda grad, out: grad * cosh(x), "Hyperbolic sine")
cosh    = unary(np.cosh,    lambda x: lambda grad, out: grad * sinh(x), "Hyperbolic cosine")
tanh    = unary(np.tanh,    lambda x: lambda grad, out: 4 * logistic_density(2 * x) * grad, "Hyperbolic tangent")
arcsinh = unary(np.arcsinh, lambda x: lambda grad, out: grad / hypot(x, 1), "Inverse of sinh")
arccosh = unary(np.arccosh, lambda x: lambda grad, out: grad / sqrt(x - 1) / sqrt(x + 1), "Inverse of cosh", Domain(1))
arctanh = unary(np.arctanh, lambda x: lambda grad, out: grad / ((1 - x) * (1 + x)), "Inverse of tanh", UNIT)
