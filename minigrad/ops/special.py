"""Functions that take numerics of their own: sinc, and the error function by Cody's coefficients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import factorial, pi
from math import sqrt as root
from typing import Any

import numpy as np

from minigrad.arrays import Array
from minigrad.graph import record
from minigrad.ops.arithmetic import clip, where
from minigrad.ops.elementwise import cos, exp, square
from minigrad.ops.limits import in_single
from minigrad.ops.registry import operation
from minigrad.tensor import Tensor, TensorLike, as_tensor, value

__all__ = ["sinc", "erf", "erfc"]


@operation("elementwise", np.sinc)
@in_single
def sinc(x: TensorLike) -> Tensor:
    """sin(pi * x) / (pi * x), and 1 at 0."""
    x = as_tensor(x)

    def rule(grad: Tensor, out: Tensor) -> Tensor:
        small = np.abs(x.data) < 0.2  # where the difference below would cancel
        slope = (sign * cos(pi * (x - turns)) - out) / where(small, 1, x)
        return grad * where(small, sinc_slope(where(small, x, 0)), slope)

    turns = np.rint(x.data)  # half ones, which are taken out exactly: pi * x may be infinite or imprecise
    sign = 1 - 2 * np.abs(np.fmod(turns, 2))
    waves = sign * np.sin(pi * (x.data - turns)) / (pi * np.where(turns == 0, 1, x.data))
    return record(sinc, np.where(turns == 0, np.sinc(x.data), waves), (x, rule))


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
    return record(erf, error_function(value(x), False), (x, lambda grad, out: grad * (2 / root(pi) * bell(x))))


@operation("elementwise", lambda x: np.vectorize(math.erfc, otypes=[float])(x))
@in_single
def erfc(x: TensorLike) -> Tensor:
    """Complementary error function: 1 - erf(x), precise also where that is tiny."""
    return record(erfc, error_function(value(x), True), (x, lambda grad, out: grad * (-2 / root(pi) * bell(x))))


def bell(x: TensorLike) -> Tensor:
    """exp(-x²), and 0 with slope 0 from where it is that in every dtype: x² may be infinite."""
    return exp(-square(clip(x, -120.0, 120.0)))


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
                           (1 / root(pi) - series) / tail)
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
)
