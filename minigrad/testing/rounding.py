"""Whether what looks wrong is no more than rounding may do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from statistics import median
from typing import Any

import numpy as np

from minigrad.tensor import Tensor, wrap
from minigrad.testing.blame import Local, position_in
from minigrad.testing.differences import EPSILON
from minigrad.testing.numeric import MARGIN, Finding, Verdict
from minigrad.testing.outcome import Outcome
from minigrad.testing.subject import COMPUTATIONS, TensorSubject, attempted, copies
from minigrad.trees import leaves


def amplified(run: Outcome, findings: Sequence[Finding]) -> bool:
    """Whether rounding inputs and cotangents moves the gradients, relatively, as far as they are off."""
    wrong = [finding for finding in findings if finding.verdict is Verdict.WRONG]
    if any(finding.difference > abs(finding.analytic) / MARGIN for finding in wrong):
        return False
    off = max(finding.difference / abs(finding.analytic) for finding in wrong)
    shaken = run.shaken(run.subject.arrays, run.cotangents)
    if shaken is None:
        return False
    moved, sizes = shaken[len(run.values) :], [np.abs(g).max(initial=0.0) for g in run.dense]
    return off <= MARGIN * max(by / size if size else 0.0 for by, size in zip(moved, sizes, strict=True)) < 1 / MARGIN


def rounding_explains(local: Local, rng: np.random.Generator) -> bool:
    """Whether rounding moves the gradient of an operation as far as it is off, along two directions of three.

    At a kink that says nothing.
    """
    if local.is_kink:
        return False
    explained = 0
    for direction, moved in moved_by_rounding(local, rng):
        if moved > EPSILON**0.5 * abs(local.probe.slope(direction)):
            finding = local.probe.along(direction)
            explained += finding.sides is None and finding.difference <= moved
    return explained > 1


def moved_by_rounding(local: Local, rng: np.random.Generator) -> Iterator[tuple[list[Any], float]]:
    """Directions, and how far rounding its arguments, constant ones too, may move an operation's slope along them.

    The slopes are those of points around its own, and differ so for most pairs of them: where the slope at the point
    alone is another, as where it is special for its values, that is not for rounding.
    """
    step, parents, probe = local.step, local.step.tensors(), local.probe

    def shaken(x: Any) -> Any:
        if isinstance(x, Tensor):
            return x if any(x is parent for parent in parents) else wrap(shaken(x._data))
        floating = isinstance(x, np.ndarray) and x.dtype.kind == "f"
        return x * (1 + 16 * probe.epsilon * rng.standard_normal(x.shape)) if floating else x

    position = position_in(step) or 0

    def slope_nearby(direction: list[Any]) -> float:
        other = step.with_leaves(shaken)

        def again(*variables: Any) -> Any:
            return leaves(other.call(dict(zip(parents, variables, strict=True))))[position]

        subject = TensorSubject(again, [*map(shaken, probe.arrays)])
        gradients = subject.gradients(subject.arrays, copies(probe.cotangents))
        return sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True) if g is not None)

    def slopes_nearby(direction: list[Any]) -> list[float]:
        return [slope_nearby(direction) for _ in range(COMPUTATIONS)]

    for direction in (probe.random_direction(rng) for _ in range(3)):
        slopes = attempted(slopes_nearby, direction)
        if slopes is None:  # it does not take these, or has several results
            return
        yield direction, MARGIN / 4 * median(abs(a - b) for a, b in combinations(slopes, 2))
