"""The idea of the kit: a slope by differences, with an error bar.

With step h along a line, central differences D(h) = (f(h) - f(-h)) / 2h are extrapolated (Richardson, 1911) to
E(h) = (4 D(h/2) - D(h)) / 3, whose truncation error is O(h⁴). Rounding contributes O(ε/h), ε the precision of the
values of f. Both are equal, ε^(4/5) = 3e-13, at h = ε^(1/5) = 7e-4, which is the first step tried, but for a glance
before. The error bar is the difference of E(h) and E(h/2), with a margin, plus what rounding may have done. Slopes to
either side tell a kink. What follows from that for an analytic value, and what a glance is, is said in `numeric`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minigrad.arrays import Array

EPSILON = float(np.finfo(np.float64).eps)
QUARTER = EPSILON**0.25  # of the digits are left
FRACTIONS = np.array([1, 1 / 2, 1 / 4])


@dataclass(frozen=True)
class Slopes:
    """Numerical slopes of all outputs at the middle of a line.

    Attributes:
        pair: two extrapolated central slopes, the second from half the step of the first.
        left, right: slopes to either side, extrapolated.
        uncertain: error bars of the one-sided slopes.
        settling: how far the central slope moves from the first to the second step, and from there to the third.
        largest: the sizes of the values that the slopes are found from.
        grain: how far a slope may be moved by rounding a value of size 1.
    """

    pair: Array
    left: Array
    right: Array
    uncertain: Array
    settling: Array
    largest: Array
    grain: float


def slopes(f: Callable[[float], Array], here: Array, step: float, epsilon: float = EPSILON) -> Slopes | None:
    """The slopes of `f` at 0, where its value is `here`, by differences; None if a value is not finite.

    >>> found = slopes(lambda t: np.exp([2 * t]), np.ones(1), step=1e-3)
    >>> first, second = found.pair
    >>> error = np.abs(second - first) + found.grain * found.largest
    >>> np.abs(second - 2) < error, error < 1e-8
    (array([ True]), array([ True]))
    >>> found = slopes(lambda t: np.abs([t]), np.zeros(1), step=1e-3)
    >>> found.left, found.right
    (array([-1.]), array([1.]))
    """
    distance = step * FRACTIONS[:, None]
    around = []
    for t in distance[:, 0]:
        around.append((f(t), f(-t)))
        if not (np.isfinite(around[-1][0]).all() and np.isfinite(around[-1][1]).all()):
            return None
    ahead, behind = np.stack(around, axis=1)
    central = (ahead - behind) / (2 * distance)
    grain = 4 * epsilon / float(distance[-1, 0])
    right, of_right = one_sided((ahead - here) / distance)
    left, of_left = one_sided((here - behind) / distance)
    largest = np.maximum(np.abs(here), np.maximum(np.abs(ahead[0]), np.abs(behind[0])))
    uncertain = of_left + of_right + 4 * grain * largest
    pair = (4 * central[1:] - central[:-1]) / 3
    return Slopes(pair, left, right, uncertain, np.abs(np.diff(central, axis=0)), largest, grain)


def one_sided(differences: Array) -> tuple[Array, Array]:
    """The limit of one-sided differences at h, h/2, h/4, extrapolated twice, and how far the last correction went."""
    once = 2 * differences[1:] - differences[:-1]
    twice = (4 * once[1] - once[0]) / 3
    return twice, np.abs(twice - once[1])
