"""Comparing a gradient with numerical slopes along directions, and finding the entry that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.tensor import Array
from minigrad.testing.numeric import EPSILON, Finding, Tolerance, Verdict, judge, slopes
from minigrad.testing.subject import Gradients, Subject

NEARBY = 1e-4
NEIGHBOURS = 48
FEW = 256  # entries that are all looked at, one by one, to locate a failure


@dataclass(frozen=True)
class Place:
    """Where a gradient is wrong: in which variable, at which entry if a single one shows it, and how much of it."""

    variable: int
    index: tuple[int, ...] | None
    finding: Finding
    wrong: int  # of `looked_at` entries
    looked_at: int


class Probe:
    """Compares the gradients of a subject at its point with numerical slopes along any direction.

    Attributes:
        scales: of each array, how far a step of 1 moves each element: by its size, or a typical one if it is small.
    """

    def __init__(
        self, subject: Subject, cotangents: Sequence[Array], gradients: Gradients, tolerance: Tolerance
    ) -> None:
        self.subject, self.cotangents, self.tolerance = subject, list(cotangents), tolerance
        self.arrays = subject.arrays
        self.gradients = [np.zeros(x.shape) if g is None else g for x, g in zip(self.arrays, gradients, strict=True)]
        values = subject.values(self.arrays)
        self.epsilon = max([EPSILON, *(float(np.finfo(value.dtype).eps) for value in values)])
        self.here, self.cotangent = flat(values), flat(cotangents)
        self.scales = [scale(x) for x in self.arrays]

    def along(self, direction: Sequence[Array]) -> Finding:
        """The verdict on the slope along a direction, which has one array for each variable."""

        def f(t: float) -> Array:
            return flat(self.subject.values([x + t * d for x, d in zip(self.arrays, direction, strict=True)]))

        terms = np.concatenate([np.ravel(g * d) for g, d in zip(self.gradients, direction, strict=True)])
        analytic, magnitude = float(terms.sum()), float(np.abs(terms).sum())
        return judge(f, self.here, self.cotangent, analytic, magnitude, self.tolerance, self.epsilon)

    def random_direction(self, rng: np.random.Generator) -> list[Array]:
        """All variables at once, each element by a random multiple of its scale."""
        return [rng.standard_normal(x.shape) * s for x, s in zip(self.arrays, self.scales, strict=True)]

    def ones(self) -> list[Array]:
        """All elements of all variables by the same amount: keeps ties."""
        amount = min((float(s.min()) for s in self.scales if s.size), default=1.0)
        return [np.full(x.shape, amount) for x in self.arrays]

    def only(self, variable: int, direction: Sequence[Array], mask: Any = True) -> list[Array]:
        """A direction that leaves everything else unmoved: other variables, and elements outside of `mask`."""
        return [d * mask if i == variable else np.zeros_like(d) for i, d in enumerate(direction)]

    def entry(self, variable: int, index: tuple[int, ...]) -> Finding:
        """The verdict on one entry, as derivatives by that entry."""
        own = abs(float(self.arrays[variable][index]))
        found = self.by_entry(variable, index, float(self.scales[variable][index]))
        if found.verdict is Verdict.INCONCLUSIVE and own:  # it may be much smaller than the others, and 0 close by
            found = self.by_entry(variable, index, own)
        return found

    def by_entry(self, variable: int, index: tuple[int, ...], amount: float) -> Finding:
        """The verdict on one entry, which a step of 1 moves by `amount`."""
        unit = np.zeros(self.arrays[variable].shape)
        unit[index] = amount
        found = self.along([unit if i == variable else np.zeros_like(x) for i, x in enumerate(self.arrays)])
        sides = None if found.sides is None else (found.sides[0] / amount, found.sides[1] / amount)
        return Finding(
            found.verdict, found.analytic / amount, found.numeric / amount, found.error / amount, found.margin, sides,
            found.reason,
        )  # fmt: skip

    def jacobian(self, variable: int) -> Array | None:
        """Numerical derivatives of all outputs by all entries of a variable: (*input, outputs); None if too many."""
        x = self.arrays[variable]
        if x.size > FEW or x.size * self.here.size > FEW**2:
            return None
        rows = np.zeros((x.size, self.here.size))
        for position, index in enumerate(np.ndindex(x.shape)):

            def f(t: float, index: tuple[int, ...] = index) -> Array:
                moved = x.copy()
                moved[index] += t
                return flat(self.subject.values([moved if i == variable else y for i, y in enumerate(self.arrays)]))

            step = self.epsilon ** (1 / 5) * float(self.scales[variable][index])
            found = slopes(f, self.here, step, self.epsilon) or slopes(f, self.here, step / 1000, self.epsilon)
            rows[position] = np.nan if found is None else found.pair[1]
        return rows.reshape(*x.shape, -1)

    def locate(self, rng: np.random.Generator) -> Place | None:
        """The variable, and the entry of it, whose gradient is wrong; None if it shows only along other directions."""
        for variable, x in enumerate(self.arrays):
            candidates = [self.random_direction(rng), self.random_direction(rng), self.ones()]
            wrong = [d for d in candidates if x.size and self.is_wrong(self.only(variable, d))]
            if wrong:
                return self.by_entries(variable) if x.size <= FEW else self.by_halves(variable, wrong[0])
        return None

    def moved(self, rng: np.random.Generator) -> Probe:
        """The same comparison at a random point nearby, where there is no kink unless there are many."""
        arrays = [x + NEARBY * rng.standard_normal(x.shape) * s for x, s in zip(self.arrays, self.scales, strict=True)]
        gradients = self.subject.gradients(arrays, self.cotangents)
        return Probe(Moved(self.subject, arrays), self.cotangents, gradients, self.tolerance)

    def slope(self, direction: Sequence[Array]) -> float:
        """The analytic slope along a direction."""
        return sum(float((g * d).sum()) for g, d in zip(self.gradients, direction, strict=True))

    def is_wrong(self, direction: Sequence[Array]) -> bool:
        return self.along(direction).verdict is Verdict.WRONG

    def by_entries(self, variable: int) -> Place:
        """Look at every entry, and name the one that is furthest off."""
        indices = list(np.ndindex(self.arrays[variable].shape))
        found = [self.entry(variable, index) for index in indices]
        wrong = [i for i, finding in enumerate(found) if finding.verdict is Verdict.WRONG]
        if wrong:
            worst = max(wrong, key=lambda i: abs(found[i].analytic - found[i].numeric))
            return Place(variable, indices[worst], found[worst], len(wrong), len(indices))
        return Place(variable, None, self.along(self.only(variable, self.ones())), 0, len(indices))

    def by_halves(self, variable: int, direction: Sequence[Array]) -> Place:
        """Halve the set of entries, keeping a half whose slope is wrong, until one is left."""
        inside = np.arange(self.arrays[variable].size)
        finding = self.along(self.only(variable, direction))
        while inside.size > 1:
            for half in np.array_split(inside, 2):
                mask = np.zeros(self.arrays[variable].size, bool)
                mask[half] = True
                found = self.along(self.only(variable, direction, mask.reshape(self.arrays[variable].shape)))
                if found.verdict is Verdict.WRONG:
                    inside, finding = half, found
                    break
            else:
                return Place(variable, None, finding, 0, 0)
        index = tuple(int(i) for i in np.unravel_index(int(inside[0]), self.arrays[variable].shape))
        return Place(variable, index, self.entry(variable, index), 1, 1)


class Moved:
    """A subject at another point."""

    def __init__(self, subject: Subject, arrays: list[Array]) -> None:
        self.function, self.names, self.arrays = subject.function, subject.names, arrays
        self.values, self.gradients = subject.values, subject.gradients


def excused_by_kinks(probe: Probe, wrong: Sequence[Sequence[Array]], rng: np.random.Generator) -> bool:
    """Whether a point is where many kinks meet, and slopes there are among those of points nearby.

    Where the k-th largest of several equal elements is taken, or kinks of different signs are added, the slopes to
    both sides do not bound the generalised gradient (Clarke, 1975); those of points nearby do. If not all of these
    have been seen several times, there are too many to see the outermost ones.
    """
    beside = [probe.moved(rng) for _ in range(NEIGHBOURS)]
    if any(other.is_wrong(other.random_direction(rng)) for other in beside[:2]):
        return False
    for direction in wrong:
        around = np.array([other.slope(direction) for other in beside])
        low, high = around.min(), around.max()
        near = 1e-2 * (high - low)
        seen = (np.abs(around[:, None] - around) <= near).sum(0).min() >= 3
        margin = near if seen else (high - low) / 2
        if not low - margin <= probe.slope(direction) <= high + margin:
            return False
    return True


def flat(arrays: Sequence[Array]) -> Array:
    """All elements of some arrays in one row of float64."""
    return np.concatenate([np.zeros(0), *(np.ravel(x) for x in arrays)])


def scale(x: Array) -> Array:
    """For each element its size, but at least the median of those that are not 0; 1 if all are."""
    size = np.abs(x)
    usual = size[size > 0]
    return np.maximum(size, np.median(usual) if usual.size else 1.0)
