"""Elementwise functions: exponentials, trigonometric, hyperbolic and special ones; value line, then gradient rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from math import factorial, pi
from math import log as ln
from math import sqrt as root
from typing import Any, TypeAlias

import numpy as np

from minigrad.arrays import Array
from minigrad.graph import record
from minigrad.ops.arithmetic import at_infinity, comfortable, in_single, kinked, magnitude, or_inf, subtract, where
from minigrad.ops.registry import NONZERO, POSITIVE, REAL, Domain, operation
from minigrad.tensor import Rule, Tensor, TensorLike, as_tensor, value

__all__ = [
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "logaddexp", "logaddexp2", "square", "reciprocal", "sqrt",
    "cbrt", "hypot", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "tanh", "arcsinh",
    "arccosh", "arctanh", "sinc", "erf", "erfc", "sigmoid",
]  # fmt: skip

Unary: TypeAlias = Callable[[TensorLike], Tensor]
UNIT, HALF_TURN = Domain(-1, 1), Domain(-pi / 2, pi / 2)


@operation("elementwise", lambda x: (1 + np.tanh(x / 2)) / 2, methods="sigmoid")
def sigmoid(x: TensorLike) -> Tensor:
    """Logistic function: 1 / (1 + e ** -x), without overflow for any x."""
    return record(sigmoid, logistic(value(x)), (x, lambda grad, out: grad * logistic_density(x)))


def logistic(x: Array) -> Any:
    # e ** x / (1 + e ** x) for negative x, where e ** -x overflows
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

    function.__name__ = function.__qualname__ = ufunc.__name__
    function.__doc__ = f"{doc}."
    method = ufunc.__name__ if ufunc.__name__ in ("exp", "log", "sqrt", "tanh") else ""  # those that everybody types
    return operation("elementwise", ufunc, domain=domain, methods=method)(function)


@operation("elementwise", np.logaddexp, arity=2)
def logaddexp(a: TensorLike, b: TensorLike) -> Tensor:
    """log(exp(a) + exp(b)), without overflow."""
    return record(logaddexp, np.logaddexp(value(a), value(b)),
                  (a, lambda grad, out: grad * sigmoid(lead(a, b))),
                  (b, lambda grad, out: grad * sigmoid(lead(b, a))))


@operation("elementwise", np.logaddexp2, arity=2)
def logaddexp2(a: TensorLike, b: TensorLike) -> Tensor:
    """log2(2 ** a + 2 ** b), without overflow."""
    return record(logaddexp2, np.logaddexp2(value(a), value(b)),
                  (a, lambda grad, out: grad * sigmoid(lead(a, b) * ln(2))),
                  (b, lambda grad, out: grad * sigmoid(lead(b, a) * ln(2))))


def lead(a: TensorLike, b: TensorLike) -> Tensor:
    """a - b; of two infinities 0, so that they share as equals, and of two -inf itself: nothing is to be shared."""
    level = (value(a) == value(b)) & np.isinf(value(a))
    return where(level, np.minimum(value(a), 0), subtract(where(level, 0, a), where(level, 0, b)))


@operation("elementwise", np.hypot, arity=2)
def hypot(a: TensorLike, b: TensorLike) -> Tensor:
    """Length of the hypotenuse: sqrt(a * a + b * b), with slope 0 where both are 0."""
    return record(hypot, np.hypot(value(a), value(b)),
                  (a, lambda grad, out: homogeneous(grad, out, a, b, lambda x, y, square: x / sqrt(square))),
                  (b, lambda grad, out: homogeneous(grad, out, a, b, lambda x, y, square: y / sqrt(square))))


@operation("elementwise", np.arctan2, arity=2)
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


# fmt: off
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
tan    = unary(np.tan,    lambda x: lambda grad, out: grad * (1 + out * out), "Tangent", HALF_TURN)
arcsin = unary(np.arcsin, lambda x: lambda grad, out: grad / sqrt((1 - x) * (1 + x)), "Inverse sine", UNIT)
arccos = unary(np.arccos, lambda x: lambda grad, out: -grad / sqrt((1 - x) * (1 + x)), "Inverse cosine", UNIT)
arctan = unary(np.arctan, lambda x: lambda grad, out: grad / hypot(x, 1) / hypot(x, 1), "Inverse tangent")

sinh    = unary(np.sinh,    lambda x: lambda grad, out: grad * cosh(x), "Hyperbolic sine")
cosh    = unary(np.cosh,    lambda x: lambda grad, out: grad * sinh(x), "Hyperbolic cosine")
tanh    = unary(np.tanh,    lambda x: lambda grad, out: 4 * logistic_density(2 * x) * grad, "Hyperbolic tangent")
arcsinh = unary(np.arcsinh, lambda x: lambda grad, out: grad / hypot(x, 1), "Inverse of sinh")
arccosh = unary(np.arccosh, lambda x: lambda grad, out: grad / sqrt(x - 1) / sqrt(x + 1), "Inverse of cosh", Domain(1))
arctanh = unary(np.arctanh, lambda x: lambda grad, out: grad / ((1 - x) * (1 + x)), "Inverse of tanh", UNIT)
# fmt: on


@operation("elementwise", np.sinc)
def sinc(x: TensorLike) -> Tensor:
    """sin(pi * x) / (pi * x), and 1 at 0."""
    x = as_tensor(x)

    def rule(grad: Tensor, out: Tensor) -> Tensor:
        small = np.abs(x.data) < 0.2  # where the difference below would cancel
        return grad * where(small, sinc_slope(where(small, x, 0)), (cos(pi * (x - turns)) - out) / where(small, 1, x))

    turns = 2 * np.rint(x.data * 0.5)  # whole ones, which are taken out exactly: pi * x may be infinite or imprecise
    data = np.sinc(x.data - turns) * np.where(turns == 0, 1, (x.data - turns) / np.where(turns == 0, 1, x.data))
    return record(sinc, data, (x, rule))


def sinc_slope(x: Tensor) -> Tensor:
    """The derivative of sinc near 0, by its series: the sum over k of (-1)ᵏ 2k π²ᵏ x²ᵏ⁻¹ / (2k + 1)!."""
    coefficients = [(-1) ** k * 2 * k * pi ** (2 * k) / factorial(2 * k + 1) for k in range(9, 0, -1)]
    return as_tensor(x * polynomial(coefficients, x * x))


def polynomial(coefficients: Sequence[float], x: Any) -> Any:
    """A polynomial, its highest coefficient first, by Horner's scheme."""
    total = coefficients[0]
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


@operation("elementwise", lambda x: np.vectorize(math.erf, otypes=[float])(x))
@in_single
def erf(x: TensorLike) -> Tensor:
    """Error function: 2/sqrt(pi) times the integral of exp(-t * t) from 0 to x."""
    return record(erf, error_function(value(x), False), (x, lambda grad, out: grad * (2 / root(pi) * exp(-square(x)))))


@operation("elementwise", lambda x: np.vectorize(math.erfc, otypes=[float])(x))
@in_single
def erfc(x: TensorLike) -> Tensor:
    """Complementary error function: 1 - erf(x), precise also where that is tiny."""
    return record(erfc, error_function(value(x), True), (x, lambda grad, out: grad * (-2 / root(pi) * exp(-square(x)))))


def error_function(x: Array, complementary: bool) -> Any:
    """erf(x), or erfc(x), to the last digits or so of float64.

    Source: W. J. Cody, Rational Chebyshev approximations for the error function, Mathematics of Computation, 1969.
    """
    y = np.abs(x * 1.0)
    small, middle, tail = np.minimum(y, 0.46875), np.clip(y, 0.46875, 4.0), np.clip(y, 4.0, 28.0)
    capped = np.minimum(y, 28.0)
    coarse = np.trunc(16 * capped) / 16  # y * y would be rounded: exp(-y²) = exp(-coarse²) exp(coarse² - y²)
    gauss = np.exp(-coarse * coarse) * np.exp((coarse - capped) * (coarse + capped))
    inverse = 1 / (tail * tail)
    series = polynomial(CODY[4], inverse) / polynomial(CODY[5], inverse) * inverse
    near = small * polynomial(CODY[0], small * small) / polynomial(CODY[1], small * small)
    far = gauss * np.where(y <= 4, polynomial(CODY[2], middle) / polynomial(CODY[3], middle),
                           (1 / root(pi) - series) / tail)  # fmt: skip
    if complementary:
        return np.where(y <= 0.46875, 1 - np.copysign(near, x), np.where(x < 0, 2 - far, far))
    return np.copysign(np.where(y <= 0.46875, near, 1 - far), x)


# numerator and denominator for |x| ≤ 0.46875, for |x| ≤ 4, and beyond
CODY = (
    (1.85777706184603153e-1, 3.1611237438705656, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1, 2.98635138197400131e2,
     8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
     1.60837851487422766e-2, 6.58749161529837803e-4),
    (1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1, 6.05183413124413191e-2,
     2.33520497626869185e-3),
)  # fmt: skip
