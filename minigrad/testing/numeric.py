"""What slopes by differences say about an analytic value: correct, wrong, at a kink, or nothing.

The slopes, and how far they may be wrong, are those of `differences`. A verdict is sought at a glance, which three
points close by give, and if that leaves a doubt, at smaller and smaller steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from minigrad.arrays import Array
from minigrad.testing.differences import EPSILON, Slopes, slopes

SHRINK = 16  # from each step to the next, if a kink or a wild curve lies within the step
MARGIN = 16  # times what rounding is seen to do may still be rounding
FINEST = 128  # steps of fewer ε than this say nothing
NOISE = "noise: the numerical slopes of different steps do not agree"
WILD = "the function changes faster than the steps can follow"
JUMPS = "the function jumps at the point"
SETTLING = 0.6  # half a step: a quarter of the error, or half where sides differ in curvature
CLOSER = 64  # times: by so much the largest step has to agree better than one that denies
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
        analytic, numeric, error: both slopes, and how far the numerical one may be off.
        margin: the difference as a fraction of what is tolerated.
        sides: at a kink, the slopes to the left and to the right.
        reason: why the numbers decide nothing, if they do not.
        allowed: how far both may be apart: of slopes smaller than this nothing is known.
        size: of the values and terms that rounding is in proportion to.
        resolved: whether slopes come closer to each other as the step is halved.
        step: at which this was found, in units of what the slope is by.
    """

    verdict: Verdict
    analytic: float
    numeric: float
    error: float
    margin: float
    sides: tuple[float, float] | None = None
    reason: str = ""
    allowed: float = 0.0
    size: float = 0.0
    resolved: bool = True
    step: float = 0.0

    @property
    def difference(self) -> float:
        return abs(self.analytic - self.numeric)

    @property
    def width(self) -> float:
        return 0.0 if self.sides is None else self.sides[1] - self.sides[0]

    def excuses(self, other: Finding) -> bool:
        """Whether this one, of a larger step, agrees with the gradient much better than the other one denies it.

        Then it is noise that the other one has come to see, unless this one has lost more than noise from sight.
        """
        agrees = self.difference <= self.allowed < other.difference / 4
        return agrees and (self.resolved or self.error * self.step < EPSILON ** (1 / 4) * self.size)


@dataclass(frozen=True)
class Tolerance:
    """|analytic - numeric| may be atol + rtol · (the sum of the sizes of the terms) + the error bar.

    A rule that keeps half of the digits passes: rtol is √ε. What is smaller than atol counts as 0, unless the numerical
    slope stands clear of its error bar: then it is no rounding, however small it is.
    """

    rtol: float = EPSILON**0.5
    atol: float = 1e-10


def step_sizes(epsilon: float) -> list[float]:
    """From the best step of a smooth function to the finest that says anything; then a coarse one, for noise."""
    found = [float(epsilon ** (1 / 5))]
    while found[-1] > FINEST * epsilon:
        found.append(found[-1] / (SHRINK if found[-1] > FINEST**3 * epsilon else SHRINK**0.5))
    return [*found, SHRINK * found[0]]


@dataclass(frozen=True)
class Line:
    """A function along a line, and its analytic slope at 0, to be compared with numerical ones.

    Attributes:
        f: its values; `here` is that at 0.
        cotangent: the slope is that of cotangent · f.
        magnitude: the sum of the sizes of the terms of the analytic slope.
        epsilon: the precision of the values.
    """

    f: Callable[[float], Array]
    here: Array
    cotangent: Array
    analytic: float
    magnitude: float
    tolerance: Tolerance
    epsilon: float = EPSILON

    def at(self, step: float) -> Finding | None:
        """The verdict at one step, and None if f is not finite there."""
        found = slopes(self.f, self.here, step, self.epsilon)
        return None if found is None else replace(self.compared(found), step=step)

    def glance(self) -> Finding | None:
        """CORRECT where three points close by leave no doubt; None where they do, or the slope looks wrong or kinked.

        The bend that the outer points show is taken off the slope to the inner one, where a kink does not fit in: what
        is uncertain then is below rtol, which alone is tolerated. So nothing is accepted that a closer look would not.
        """
        sizes, allowed = np.abs(self.cotangent), self.tolerance.rtol * self.magnitude
        for step in (self.epsilon ** (1 / 3) / 2, self.epsilon ** (1 / 3) / 8):  # the second if there is a kink nearby
            ahead, behind, inner = (self.f(t) - self.here for t in (step, -step, step / 2))
            coarse = (ahead - behind) / (2 * step)
            settling = (inner - (ahead + behind) / 8) / (step / 2) - coarse
            numeric = float(self.cotangent @ (coarse + 4 / 3 * settling))
            size = float(sizes @ (np.abs(self.here) + np.abs(ahead))) + self.magnitude
            error = SAFETY / 3 * float(sizes @ np.abs(settling)) + 8 * self.epsilon / step * size
            if error < allowed:
                difference = abs(self.analytic - numeric)
                found = Finding(Verdict.CORRECT, self.analytic, numeric, error, difference / (allowed + error),
                                allowed=allowed + error, size=size, step=step)
                return found if difference < allowed else None
        return None

    def compared(self, found: Slopes) -> Finding:
        """The verdict of slopes at one step.

        Each output has a kink of its own, so what is accepted is the sum of their intervals: a slope in between for
        each. Whether the error bar is honest is seen from how slopes settle: halving the step must bring them closer.
        """
        vague_from = self.epsilon ** (1 / 4)  # a slope that is less certain than this, relatively, decides nothing
        coarse, numeric = (float(pair @ self.cotangent) for pair in found.pair)
        sizes = np.abs(self.cotangent)
        value_size = float(sizes @ found.largest)
        size = value_size + max(self.magnitude, abs(numeric))
        rounding = found.grain * (value_size + self.magnitude)
        error = SAFETY * abs(numeric - coarse) + rounding
        first, second = (float(move @ sizes) for move in found.settling)
        resolved = second <= SETTLING * first + rounding
        stands_out = resolved and 4 * error < abs(numeric)
        atol = 0.0 if stands_out and self.tolerance.atol <= Tolerance.atol else self.tolerance.atol
        allowed = atol + self.tolerance.rtol * max(self.magnitude, abs(numeric)) + error
        width = self.kink_width(found, sizes)
        is_kink = width > 2 * (atol + self.tolerance.rtol * self.magnitude + error)
        allowed += width / 2 if is_kink else 0
        sides = (numeric - width / 2, numeric + width / 2) if is_kink else None
        difference = abs(self.analytic - numeric)
        floor = 0.0 if stands_out else vague_from
        scale = max(self.magnitude, abs(numeric), width, vague_from * value_size, floor)
        vague = error > vague_from * scale
        if not np.isfinite(difference) or (vague and not difference > 10 * allowed):
            verdict, reason = Verdict.INCONCLUSIVE, NOISE if resolved else WILD
        elif not resolved and (is_kink or difference > allowed):
            verdict, reason = Verdict.INCONCLUSIVE, WILD
        else:
            agrees = Verdict.KINK if is_kink else Verdict.CORRECT
            verdict, reason = agrees if difference <= allowed else Verdict.WRONG, ""
        return Finding(verdict, self.analytic, numeric, error, difference / allowed if allowed else 0.0, sides,
                       reason, allowed, size, resolved)

    def kink_width(self, found: Slopes, sizes: Array) -> float:
        """How far the slopes to both sides are apart, of all outputs together, as far as that is certain."""
        jumps = np.abs(found.right - found.left)
        sides = np.abs(found.right) + np.abs(found.left)
        jumps[jumps <= SAFETY * found.uncertain + self.tolerance.rtol * sides] = 0
        return float(sizes @ jumps)

    def holds(self, finding: Finding, step: float) -> bool:
        """Whether what was found at a step, a wrong slope or a kink, is still so at the finest step that can tell.

        A function with structure below the step looks smooth, or kinked, with another slope than it has.
        """
        if self.jumps(step):
            return False
        what = finding.width / 4 if finding.verdict is Verdict.KINK else finding.difference
        fine, tried = max(FINEST, SHRINK**2 * finding.size / what) * self.epsilon, False
        while fine <= step / 4:
            closer = self.at(fine)
            if closer is not None and closer.resolved and closer.error < what / 2:
                if finding.verdict is Verdict.KINK:
                    return abs(closer.width - finding.width) < finding.width / 4
                return abs(closer.numeric - finding.numeric) < what / 4
            fine, tried = 4 * fine, tried or closer is not None
        return not tried

    def jumps(self, step: float) -> bool:
        """Whether values to both sides of 0 stay away from the one at 0, however close they are.

        By more than rounding, that is: of the value, or of terms that cancel in it, which the slope shows.
        """
        sides = [(self.f(t), self.f(-t)) for t in (step, FINEST * self.epsilon)]
        coarse, fine = (np.abs((ahead + behind) / 2 - self.here) for ahead, behind in sides)
        ahead, behind = sides[0]
        size = np.maximum(np.abs(sides[0]).max(0), np.abs(ahead - behind) / (2 * step))
        return bool(np.any((fine > coarse / 4) & (fine > FINEST * self.epsilon * size)))


def judge(line: Line, first: int = 0) -> Finding:
    """Compare an analytic slope with the numerical one, at smaller and smaller steps.

    A kink beside 0 or a wild curve makes the error bar wide, and a smaller step may avoid it. The first step whose
    slope agrees settles it. A wrong slope, or a kink, must be seen at two steps, and still be there at the finest one.

    Args:
        first: how many of the largest steps to leave out.
    """
    findings: list[Finding] = []
    moving, confirmed = True, True
    for step in step_sizes(line.epsilon)[first:]:
        finding = line.at(step)
        if finding is None:
            continue
        if finding.verdict is Verdict.CORRECT:
            return denied(line, finding, findings) or finding
        was_moving, moving = moving, finding.numeric != 0
        if findings and was_moving and not moving:  # the step is so small that rounding hides it
            continue
        if confirmed and (same := confirming(finding, findings)):
            confirmed = line.holds(finding, step) and not noisy(line, finding, findings)
            if confirmed:
                return min(finding, *same, key=lambda finding: finding.error)
        findings.append(finding)
    return settled(line, findings)


def noisy(line: Line, finding: Finding, others: list[Finding]) -> bool:
    """Whether slopes did not settle at larger steps, and the largest one agrees: rounding hides the slope at others.

    By chance its error bar may be too small, where values are so coarse that others are of no slope at all.
    """
    coarse = None if all(x.resolved for x in others) else line.at(step_sizes(line.epsilon)[-1])
    if coarse is None:
        return False
    return coarse.excuses(finding) or (finding.numeric == 0 and CLOSER * coarse.difference < finding.difference)


def denied(line: Line, finding: Finding, others: list[Finding]) -> Finding | None:
    """What a larger step denied and the largest one denies too, where the step that agrees sees less than they did."""
    sharper = [x for x in others if x.verdict is Verdict.WRONG and x.difference < finding.allowed]
    coarse = line.at(step_sizes(line.epsilon)[-1]) if sharper else None
    return coarse if coarse is not None and confirming(coarse, sharper) else None


def settled(line: Line, findings: list[Finding]) -> Finding:
    """The verdict where no step agrees, and none is confirmed at once."""
    if not findings:
        return Finding(
            Verdict.INCONCLUSIVE, line.analytic, np.nan, np.inf, 0.0, reason="f has no finite value beside the point"
        )
    telling = [finding for finding in findings if finding.verdict is not Verdict.INCONCLUSIVE]
    for i, finding in reversed(list(enumerate(telling))):
        if finding.verdict is Verdict.KINK and confirming(finding, telling[:i]):
            return finding
    if telling and telling[-1].verdict is Verdict.KINK:
        return telling[-1]
    best = min(findings, key=lambda finding: finding.error)
    if line.jumps(best.step):
        best = replace(best, reason=JUMPS)
    return replace(best, verdict=Verdict.INCONCLUSIVE, reason=best.reason or NOISE)


def confirming(finding: Finding, others: list[Finding]) -> list[Finding]:
    """What other steps have found that say the same, wrong or a kink, with about the same numerical slope."""
    if finding.verdict is Verdict.WRONG and any(x.excuses(finding) for x in others):
        return []
    if finding.verdict is Verdict.KINK:
        return [x for x in others if x.verdict is Verdict.KINK and abs(x.width - finding.width) < finding.width / 4]
    near = min(finding.difference, abs(finding.numeric)) / 4
    return [
        other for other in others
        if finding.verdict is other.verdict is Verdict.WRONG
        and abs(finding.numeric - other.numeric) <= finding.error + other.error + near
    ]
