"""Elementwise functions: exponentials, trigonometric, hyperbolic and special ones; value line, then gradient rules."""

from __future__ import annotations

from collections.abc import Callable
from math import log as ln
from math import pi
from typing import Any, TypeAlias

import numpy as np

from minigrad.arrays import Array, floats
from minigrad.graph import record
from minigrad.ops.arithmetic import subtract, where
from minigrad.ops.limits import kinked, magnitude, or_inf, powers_fit, times
from minigrad.ops.registry import NONZERO, POSITIVE, REAL, Domain, named_after, operation
from minigrad.tensor import Rule, Tensor, TensorLike, as_tensor, value

__all__ = [
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "logaddexp", "logaddexp2", "square", "reciprocal", "sqrt",
    "cbrt", "hypot", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "tanh", "arcsinh",
    "arccosh", "arctanh", "degrees", "radians", "rad2deg", "deg2rad", "sigmoid",
]

Unary: TypeAlias = Callable[[TensorLike], Tensor]
UNIT, HALF_TURN = Domain(-1, 1), Domain(-pi / 2, pi / 2)


@operation("elementwise", lambda x: (1 + np.tanh(x / 2)) / 2, methods="sigmoid")
def sigmoid(x: TensorLike) -> Tensor:
    """Logistic function: 1 / (1 + e ** -x), without overflow for any x."""
    return record(sigmoid, logistic(value(x)), (x, lambda grad, out: grad * logistic_density(x)))


def logistic(x: Array) -> Any:
    """As e ** x / (1 + e ** x) for negative x, where e ** -x overflows."""
    x = floats(x)
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


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

    method = ufunc.__name__ if ufunc.__name__ in ("exp", "log", "sqrt", "tanh") else ""  # those that everybody types
    return named_after(ufunc, function, doc, "elementwise", domain=domain, methods=method)


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


@np.errstate(over="ignore")  # infinitely far ahead is all the same to sigmoid
def lead(a: TensorLike, b: TensorLike) -> Tensor:
    """a - b; of two infinities 0, so that they share as equals, and of two -inf itself: nothing is to be shared."""
    level = (value(a) == value(b)) & np.isinf(value(a))
    return where(level, np.minimum(value(a), 0), subtract(where(level, 0, a), where(level, 0, b)))


@operation("elementwise", np.hypot)
def hypot(a: TensorLike, b: TensorLike) -> Tensor:
    """Length of the hypotenuse: sqrt(a * a + b * b), with slope 0 where both are 0."""
    return record(hypot, np.hypot(value(a), value(b)),
                  (a, lambda grad, out: kinked(grad * cosine(a, b), out.data == 0, a, b)),
                  (b, lambda grad, out: kinked(grad * cosine(b, a), out.data == 0, a, b)))


@operation("elementwise", np.arctan2)
def arctan2(a: TensorLike, b: TensorLike) -> Tensor:
    """The angle of the point (b, a), in radians: arctan(a / b) in the right quadrant; with slope 0 where both are 0."""
    return record(arctan2, np.arctan2(value(a), value(b)),
                  (a, lambda grad, out: kinked(grad * inverse_part(b, a), (value(a) == 0) & (value(b) == 0), a, b)),
                  (b, lambda grad, out: kinked(-grad * inverse_part(a, b), (value(a) == 0) & (value(b) == 0), a, b)))


def cosine(a: TensorLike, b: TensorLike) -> Tensor:
    """a / hypot(a, b), 0 where both are 0, the limit at infinity; its slopes lose no digit where b is far smaller."""
    def slope(grad: Tensor, part: Tensor) -> Tensor:
        return grad * part / or_inf(hypot(a, b)) * cosine(b, a)

    return record(cosine, direction(value(a), value(b))[0],
                  (a, lambda grad, out: slope(grad, cosine(b, a))),
                  (b, lambda grad, out: slope(grad, -out)))


def inverse_part(a: TensorLike, b: TensorLike) -> Tensor:
    """a / (a² + b²), part of the inverse of the point (a, b): its slopes are (b² - a²) / (a² + b²)² and so on."""
    def slope(grad: Tensor, part: Tensor, other: Tensor) -> Tensor:
        length = or_inf(hypot(a, b))
        return grad * (part / length) * (other / length)

    part, length, unit = direction(value(a), value(b))
    return record(inverse_part, part / length / unit,
                  (a, lambda grad, out: slope(grad, cosine(b, a) - cosine(a, b), cosine(b, a) + cosine(a, b))),
                  (b, lambda grad, out: slope(-2 * grad, cosine(a, b), cosine(b, a))))


@np.errstate(over="ignore")  # of a length that is then taken in other units, and of what is finite beside infinity
def direction(a: Array, b: Array) -> tuple[Any, Any, Any]:
    """a / length, length, unit of length = hypot(a, b): in units in which that neither overflows nor vanishes."""
    length = np.hypot(a, b)
    largest = np.maximum(np.abs(a), np.abs(b)).astype(length.dtype)
    if powers_fit(largest):
        return a / length, length, 1
    infinite, unit = np.isinf(largest), magnitude(largest)
    a, b = (np.where(infinite, np.sign(x) * np.isinf(x), x / unit) for x in (a, b))
    length = np.where(largest == 0, 1, np.hypot(a, b)).astype(length.dtype)
    return (a / length).astype(length.dtype), length, np.where(infinite, np.inf, unit).astype(length.dtype)


def one_less_square(x: TensorLike) -> Tensor:
    """1 - x², precise near ±1 as (1 - x) * (1 + x) is, the slopes of whose factors would cancel near 0."""
    return record(one_less_square, (1 - value(x)) * (1 + value(x)), (x, lambda grad, out: -2 * grad * x))


cos: Unary
cosh: Unary

exp        = unary(np.exp,        lambda x: lambda grad, out: grad * out, "Exponential: e ** x")
exp2       = unary(np.exp2,       lambda x: lambda grad, out: grad * ln(2) * out, "Power of two: 2 ** x")
expm1      = unary(np.expm1,      lambda x: lambda grad, out: grad * exp(x), "e ** x - 1, precise near 0")
log        = unary(np.log,        lambda x: lambda grad, out: grad / x, "Natural logarithm", POSITIVE)
log2       = unary(np.log2,       lambda x: lambda grad, out: grad / x / ln(2), "Logarithm to base 2", POSITIVE)
log10      = unary(np.log10,      lambda x: lambda grad, out: grad / ln(10) / x, "Logarithm to base 10", POSITIVE)
log1p      = unary(np.log1p,      lambda x: lambda grad, out: grad / (1 + x), "log(1 + x), precise near 0", Domain(-1))
square     = unary(np.square,     lambda x: lambda grad, out: 2 * (grad * x), "Square: x * x")
reciprocal = unary(np.reciprocal, lambda x: lambda grad, out: -grad * out * out, "Reciprocal: 1 / x", NONZERO)
sqrt       = unary(np.sqrt,       lambda x: lambda grad, out: 0.5 * grad / out, "Square root", POSITIVE)
cbrt       = unary(np.cbrt,       lambda x: lambda grad, out: grad / (3 * out) / out, "Cube root", NONZERO)

sin    = unary(np.sin,    lambda x: lambda grad, out: grad * cos(x), "Sine of radians")
cos    = unary(np.cos,    lambda x: lambda grad, out: -grad * sin(x), "Cosine of radians")
tan    = unary(np.tan,    lambda x: lambda grad, out: grad + grad * out * out, "Tangent", HALF_TURN)
arcsin = unary(np.arcsin, lambda x: lambda grad, out: grad / sqrt(one_less_square(x)), "Inverse sine", UNIT)
arccos = unary(np.arccos, lambda x: lambda grad, out: -grad / sqrt(one_less_square(x)), "Inverse cosine", UNIT)
arctan = unary(np.arctan, lambda x: lambda grad, out: grad / hypot(x, 1) / hypot(x, 1), "Inverse tangent")

sinh    = unary(np.sinh,    lambda x: lambda grad, out: grad * cosh(x), "Hyperbolic sine")
cosh    = unary(np.cosh,    lambda x: lambda grad, out: grad * sinh(x), "Hyperbolic cosine")
tanh    = unary(np.tanh,    lambda x: lambda grad, out: 4 * logistic_density(times(2, x)) * grad, "Hyperbolic tangent")
arcsinh = unary(np.arcsinh, lambda x: lambda grad, out: grad / hypot(x, 1), "Inverse of sinh")
arccosh = unary(np.arccosh, lambda x: lambda grad, out: grad / sqrt(x - 1) / sqrt(x + 1), "Inverse of cosh", Domain(1))
arctanh = unary(np.arctanh, lambda x: lambda grad, out: grad / one_less_square(x), "Inverse of tanh", UNIT)

degrees = unary(np.degrees, lambda x: lambda grad, out: grad * (180 / pi), "Radians in degrees")
rad2deg = unary(np.rad2deg, lambda x: lambda grad, out: grad * (180 / pi), "Radians in degrees")
radians = unary(np.radians, lambda x: lambda grad, out: grad * (pi / 180), "Degrees in radians")
deg2rad = unary(np.deg2rad, lambda x: lambda grad, out: grad * (pi / 180), "Degrees in radians")
