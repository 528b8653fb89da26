"""Solutions of chapter 1."""

from math import exp, sqrt

import numpy as np

from minigrad.testing import gradcheck


def slope(f, x, h=1e-3):
    """The slope of `f` at `x`, from both sides."""
    return (f(x + h) - f(x - h)) / (2 * h)


def one_sided(f, x, h):
    """The slope of `f` from `x` to `x + h`; `h` may be negative."""
    return (f(x + h) - f(x)) / h


# 1. The slope of √x at 4 is 1/4 from either side; |x| has the slope 1 to the right of 0, -1 to the left,
#    and the mean of both, 0, from both sides at once: a slope that it has nowhere.
assert abs(slope(sqrt, 4) - 0.25) < 1e-8
assert (one_sided(abs, 0, 1e-3), one_sided(abs, 0, -1e-3), slope(abs, 0)) == (1, -1, 0)

# 2. About ε^(1/3) = 6e-6: there the bend, h² / 6 of the slope, is as large as the rounding, ε / h.
errors = {h: abs(slope(exp, 1, h) / exp(1) - 1) for h in 10.0 ** np.arange(-12, 0)}
best = min(errors, key=errors.get)
assert 1e-8 < best < 1e-4  # not exactly that: what is lost in rounding depends on the digits

# 3. 3 x² + 2.
gradcheck(lambda x: x**3 + 2 * x, np.array([0.5, -1.5]), gradient=lambda x, cotangent: (3 * x**2 + 2) * cotangent)
