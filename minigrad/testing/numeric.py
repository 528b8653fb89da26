"""Slopes by differences, each with an error bar, and what they say about an analytic value.

With step h along a line, central differences D(h) = (f(h) - f(-h)) / 2h are extrapolated (Richardson, 1911) to
E(h) = (4 D(h/2) - D(h)) / 3, whose truncation error is O(h⁴). Rounding contributes O(ε/h), ε the precision of the
values of f. Both are equal, ε^(4/5) = 3e-13, at h = ε^(1/5) = 7e-4, which is the first step tried. The error bar is
the difference of E(h) and E(h/2) plus what rounding may have done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from minigrad.tensor import Array

EPSILON = float(np.finfo(np.float64).eps)
FRACTIONS = np.array([1, 1 / 2, 1 / 4])
SHRINK = 16  # from each step to the next, if a kink or a wild curve lies within the step
RETRIES = 3
NOISE = "noise: the numerical slopes of different steps do not agree"
SAFETY = 8  # an error bar from two estimates may be too small by chance


class Verdict(Enum):
    """What the numbers say of one analytic value."""

    CORRECT = "correct"
    WRONG = "WRONG"
    KINK = "kink"  # correct: a slope between those of the two sides
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Finding:
    """One analytic slope against the numerical one.

    Attributes:
        margin: the difference as a fraction of what is tolerated.
        sides: at a kink, the slopes to the left and to the right.
        reason: why the numbers decide nothing, if they do not.
    """

    verdict: Verdict
    analytic: float
    numeric: float
    error: float
    margin: float
    sides: tuple[float, float] | None = None
    reason: str = ""


@dataclass(frozen=True)
class Tolerance:
    """|analytic - numeric| may be atol + rtol · (the sum of the sizes of the terms) + the error bar.

    A rule that keeps half of the digits passes: rtol is √ε. What is smaller than atol counts as 0.
    """

    rtol: float = EPSILON**0.5
    atol: float = 1e-10


@dataclass(frozen=True)
class Slopes:
    """Numerical slopes of all outputs at the middle of a line.

    Attributes:
        pair: two extrapolated central slopes, the second from half the step of the first.
        left, right: slopes to either side, extrapolated.
        uncertain: error bars of the one-sided slopes.
        grain: how far a slope may be moved by rounding a value of size 1.
    """

    pair: Array
    left: Array
    right: Array
    uncertain: Array
    grain: float


def slopes(f: Callable[[float], Array], here: Array, step: float, epsilon: float = EPSILON) -> Slopes | None:
    """The slopes of `f` at 0, where its value is `here`, by differences; None if a value is not finite.

    >>> found = slopes(lambda t: np.exp([2 * t]), np.ones(1), 1e-3)
    >>> np.abs(found.pair[1] - 2) < 1e-11, np.abs(found.right - found.left) < found.uncertain
    (array([ True]), array([ True]))
    """
    distance = step * FRACTIONS[:, None]
    ahead, behind = (np.stack([f(side * t) for t in distance[:, 0]]) for side in (1, -1))
    if not (np.isfinite(ahead).all() and np.isfinite(behind).all()):
        return None
    central = (ahead - behind) / (2 * distance)
    grain = 4 * epsilon / float(distance[-1, 0])
    right, of_right = one_sided((ahead - here) / distance)
    left, of_left = one_sided((here - behind) / distance)
    uncertain = of_left + of_right + 4 * grain * np.abs(here)
    return Slopes((4 * central[1:] - central[:-1]) / 3, left, right, uncertain, grain)


def one_sided(differences: Array) -> tuple[Array, Array]:
    """The limit of one-sided differences at h, h/2, h/4, extrapolated twice, and how far the last correction went."""
    once = 2 * differences[1:] - differences[:-1]
    twice = (4 * once[1] - once[0]) / 3
    return twice, np.abs(twice - once[1])


def judge(
    f: Callable[[float], Array],
    here: Array,
    cotangent: Array,
    analytic: float,
    magnitude: float,
    tolerance: Tolerance,
    epsilon: float = EPSILON,
) -> Finding:
    """Compare an analytic slope of cotangent · f at 0 with the numerical one, at smaller and smaller steps.

    A kink beside 0 or a wild curve makes the error bar wide, and a smaller step may avoid it. The first step whose
    slope agrees settles it. For a kink the smallest step that tells decides; to be wrong, two steps must agree.
    """
    findings: list[Finding] = []
    moving = True
    for retry in range(RETRIES + 1):
        found = slopes(f, here, float(epsilon ** (1 / 5)) / SHRINK**retry, epsilon)
        if found is None:
            continue
        finding = compared(found, here, cotangent, analytic, magnitude, tolerance, epsilon)
        if finding.verdict is Verdict.CORRECT:
            return finding
        if same := confirming(finding, findings):
            return min(finding, *same, key=lambda finding: finding.error)
        was_moving, moving = moving, bool(found.pair.any())
        if moving or not was_moving or not findings:  # else the step is so small that rounding hides it
            findings.append(finding)
    if not findings:
        return Finding(Verdict.INCONCLUSIVE, analytic, np.nan, np.inf, 0.0, reason="f is not finite beside the point")
    telling = [finding for finding in findings if finding.verdict is not Verdict.INCONCLUSIVE]
    if telling and telling[-1].verdict is Verdict.KINK:
        return telling[-1]
    best = min(findings, key=lambda finding: finding.error)
    return best if best.reason else replace(best, verdict=Verdict.INCONCLUSIVE, reason=NOISE)


def confirming(finding: Finding, others: list[Finding]) -> list[Finding]:
    """If a gradient is wrong: what other steps have found that say so too, with about the same numerical slope."""
    near = abs(finding.analytic - finding.numeric) / 4
    return [
        other for other in others
        if finding.verdict is other.verdict is Verdict.WRONG
        and abs(finding.numeric - other.numeric) <= finding.error + other.error + near
    ]  # fmt: skip


def compared(
    found: Slopes,
    here: Array,
    cotangent: Array,
    analytic: float,
    magnitude: float,
    tolerance: Tolerance,
    epsilon: float = EPSILON,
) -> Finding:
    """The verdict of slopes at one step.

    Each output has a kink of its own, so what is accepted is the sum of their intervals: a slope in between for each.
    """
    vague_from = epsilon ** (1 / 4)  # a numerical slope that is less certain than this, relatively, decides nothing
    coarse, numeric = (float(pair @ cotangent) for pair in found.pair)
    size = np.abs(cotangent)
    value_size = float(size @ np.abs(here))
    error = SAFETY * abs(numeric - coarse) + found.grain * (value_size + magnitude)
    allowed = tolerance.atol + tolerance.rtol * max(magnitude, abs(numeric)) + error
    jumps = np.abs(found.right - found.left)
    jumps[jumps <= SAFETY * found.uncertain + tolerance.rtol * (np.abs(found.right) + np.abs(found.left))] = 0
    width = float(size @ jumps)
    is_kink = width > 2 * (tolerance.atol + tolerance.rtol * magnitude + error)
    allowed += width / 2 if is_kink else 0
    difference = abs(analytic - numeric)
    sides = tuple(sorted((numeric - width / 2, numeric + width / 2))) if is_kink else None
    scale = max(magnitude, abs(numeric), width, vague_from * value_size, vague_from)
    vague = error > vague_from * scale and not difference > 10 * allowed
    verdict = (
        Verdict.INCONCLUSIVE if vague or not np.isfinite(difference)
        else Verdict.WRONG if difference > allowed
        else Verdict.KINK if is_kink
        else Verdict.CORRECT
    )  # fmt: skip
    return Finding(verdict, analytic, numeric, error, difference / allowed, sides, NOISE if vague else "")  # type: ignore[arg-type]
