"""Comparing a gradient with numerical slopes along directions, and finding the entry that is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from minigrad.arrays import Array
from minigrad.testing.differences import EPSILON, slopes
from minigrad.testing.numeric import FINEST, MARGIN, SHRINK, Finding, Line, Tolerance, Verdict, judge
from minigrad.testing.subject import Gradients, Subject, attempted, copies, spread_by_rounding

NEARBY = 1e-7  # so near that what is smooth has the same slopes
SEEN = 4  # a slope of so many times what is allowed is not overlooked if it is wrong by half
NEIGHBOURS = 48
TURNS = 16  # neighbours for each element: so each of n is missed with a chance of exp(-16)
STEEPEST = 4
SOME = 1000  # entries of many whose median is about that of all
FEW = 256  # entries that are all looked at, one by one, to locate a failure
RANDOM_BITS, SET_BITS = np.uint32(0x80FFFFFF), np.uint32(0x3F000000)  # of a float32 between 1/2 and 2, or the reverse


@dataclass(frozen=True)
class Fault:
    """Where a gradient is wrong: in which variable, at which entry if a single one shows it, and how much of it."""

    variable: int
    index: tuple[int, ...] | None
    finding: Finding
    wrong: int  # of `looked_at` entries
    looked_at: int

    @property
    def is_spread(self) -> bool:
        """Whether each entry is right by itself, but not all of them at once."""
        return self.looked_at > 0 and self.wrong == 0

    def is_wrong_for(self, probe: Probe) -> bool:
        """Whether the same entry is wrong at another point too."""
        return self.index is not None and probe.entry(self.variable, self.index).verdict is Verdict.WRONG


Entries: TypeAlias = dict[tuple[int, tuple[int, ...]], Finding]  # by variable and index


def worst_entry(found: Entries) -> Fault | None:
    """The wrong entry that is furthest off."""
    wrong = [place for place, finding in found.items() if finding.verdict is Verdict.WRONG]
    worst = max(wrong, key=lambda place: found[place].difference, default=None)
    return None if worst is None else Fault(*worst, found[worst], len(wrong), len(found))


class Probe:
    """Compares the gradients of a subject at its point with numerical slopes along any direction.

    Attributes:
        scales: of each array, how far a step of 1 moves each element: by its size, or a typical one if it is small.
        own: by its size in any case, unless it is 0.
        is_clear: whether a glance was enough for the last slope; from where it is not, each takes a closer look.
    """

    def __init__(
        self,
        subject: Subject,
        cotangents: Sequence[Array],
        gradients: Gradients,
        tolerance: Tolerance,
        values: Sequence[Array] | None = None,
        epsilon: float = EPSILON,
    ) -> None:
        self.subject, self.cotangents, self.tolerance = subject, list(cotangents), tolerance
        self.arrays = subject.arrays
        self.gradients = [np.zeros(x.shape) if g is None else g for x, g in zip(self.arrays, gradients, strict=True)]
        values = subject.values(self.arrays) if values is None else values
        self.epsilon = max(epsilon, precision(values))
        self.here, self.cotangent, self.is_clear = flat(values), flat(cotangents), True

    @cached_property
    def scales(self) -> list[Array]:
        return [scale(x) for x in self.arrays]

    @cached_property
    def own(self) -> list[Array]:
        return [np.where(x == 0, s, np.abs(x)) for x, s in zip(self.arrays, self.scales, strict=True)]

    def line(self, direction: Sequence[Array]) -> Line:
        """The function along a direction, which has one array for each variable."""

        moved = [np.empty(x.shape) for x in self.arrays]  # used again for each value: fresh memory is slow

        def f(t: float) -> Array:
            for to, x, d in zip(moved, self.arrays, direction, strict=True):
                np.add(x, np.multiply(d, t, out=to), out=to)
            values = attempted(self.subject.values, moved)  # beside the point it may be a singular matrix, say
            found = self.here[:0] if values is None else flat(values)
            return found if found.shape == self.here.shape else np.full(self.here.shape, np.nan)

        analytic = magnitude = 0.0
        for to, g, d in zip(moved, self.gradients, direction, strict=True):
            analytic += float(np.multiply(g, d, out=to).sum())
            magnitude += float(np.abs(to, out=to).sum())
        return Line(f, self.here, self.cotangent, analytic, magnitude, self.tolerance, self.epsilon)

    def along(self, direction: Sequence[Array]) -> Finding:
        """The verdict on the slope along a direction."""
        line = self.line(direction)
        found = line.glance() if self.is_clear else None
        self.is_clear = found is not None
        return found or judge(line)

    def look(self, direction: Sequence[Array]) -> Finding:
        """The verdict along a direction; if that is none, with each element moved by as much as it is large itself."""
        found = self.along(direction)
        if found.verdict is not Verdict.INCONCLUSIVE:
            return found
        own = [d * (o / s) for d, o, s in zip(direction, self.own, self.scales, strict=True)]
        again = found if all(map(np.array_equal, own, direction)) else self.along(own)
        return found if again.verdict is Verdict.INCONCLUSIVE else again

    def is_erratic(self, rng: np.random.Generator, epsilon: float = EPSILON) -> bool:
        """Whether rounding its arguments costs f half of its digits or more: its slopes change even faster.

        What cancels at the point has few digits too, but changes no faster than it does further around.
        """
        epsilon = max(epsilon, self.epsilon)
        size = self.size_around(rng)
        near = [[rng.standard_normal(x.shape) * 4 * epsilon * x for x in self.arrays] for _ in range(3)]
        moved = [np.abs(self.line(direction).f(1.0) - self.here) for direction in near]
        least = epsilon**0.5 * size
        if any(not move.max(initial=0.0) <= least for move in moved):
            return True
        return self.makes_stairs(rng, least, size / MARGIN**2)

    def size_around(self, rng: np.random.Generator) -> float:
        """How large values are, here and a little further around: they may cancel at the point alone."""
        far = self.line([rng.standard_normal(x.shape) * 1e-2 * x for x in self.arrays])
        around = [np.nan_to_num(np.abs(x), posinf=0.0) for x in (self.here, far.f(1.0), far.f(-1.0))]
        return float(np.max(around, initial=0.0))

    def loses_digits(self, rng: np.random.Generator, epsilon: float = EPSILON, least: float = 0.0) -> bool:
        """Whether rounding what f computes on the way costs it half of its digits, and moves it by `least` or more.

        So it is in `log(1 - sigmoid(x))`, where the difference goes by stairs.
        """
        epsilon = max(epsilon, self.epsilon)
        apart = spread_by_rounding(lambda: [flat(self.subject.values(self.arrays))], rng, epsilon)
        return apart is not None and not apart[0] <= max(epsilon**0.5 * self.size_around(rng), least)

    def makes_stairs(self, rng: np.random.Generator, least: float, most: float) -> bool:
        """Whether a value goes by leaps of more than the least that counts: f adds what is large, and takes it off.

        From each step to a 16th of it, the bend of a curve goes down by 256, that at a kink by 16. That over stairs is
        one or two of them until the step is shorter than they are, and then it is gone. Bends are seen around several
        points, since at the middle of a stair there is none. Higher stairs are what f means, as those of `round`.
        """
        lines = [self.line([drawn(rng, x.shape) / 4 * x for x in self.arrays]) for _ in range(3)]
        around = [(line, middle, line.f(middle)) for line, middle in zip(lines, rng.random(3) / 16, strict=True)]
        rows, step = [np.full(self.here.size, np.inf)], 1.0
        while step > FINEST * EPSILON and (rows[-1] > least).any():
            found = [line.f(middle + step) + line.f(middle - step) - 2 * value for line, middle, value in around]
            rows.append(np.nan_to_num(np.abs(found), posinf=0.0).max(0))
            step /= SHRINK
        bends = np.array(rows[1:])
        finer = np.maximum.accumulate(bends[:0:-1])[::-1]
        moved = SHRINK ** -np.arange(len(bends) - 1.0)[:, None] * np.abs(self.here)  # a kink bends by less
        last = (bends[:-1] > np.maximum(least, moved)) & (bends[:-1] < most) & (finer <= least)
        return bool(np.any(last[1:] & (bends[1:-1] > bends[:-2] / 8)))

    def unseen(self, allowed: float) -> list[Array] | None:
        """A mask for each variable: what has a slope so small that a difference in it is lost in what is allowed.

        Of many elements some are always small; then only variables are looked at that are so as a whole.
        """
        terms = [np.abs(g * s) for g, s in zip(self.gradients, self.scales, strict=True)]
        many = sum(x.size for x in self.arrays) > FEW
        masks = [t < SEEN * allowed for t in terms]
        if many:
            masks = [np.full(mask.shape, mask.all()) for mask in masks]
        return masks if any(mask.any() for mask in masks) else None

    def random_direction(self, rng: np.random.Generator) -> list[Array]:
        """All variables at once, each element by a random multiple of its scale."""
        return [drawn(rng, x.shape) * s for x, s in zip(self.arrays, self.scales, strict=True)]

    def ones(self) -> list[Array]:
        """All elements of all variables by the same amount: keeps ties."""
        amount = min((float(s.min()) for s in self.scales if s.size), default=1.0)
        return [np.full(x.shape, amount) for x in self.arrays]

    def aimed(self) -> list[list[Array]]:
        """Directions that show a slope which is none of those at a kink: along ties, the gradient, and entries."""
        ones, n = self.ones(), len(self.arrays)
        signs = [np.sign(g) * s for g, s in zip(self.gradients, self.scales, strict=True)]
        found = [ones, *(self.only(i, ones) for i in range(n) if n > 1), signs, *self.steepest()]
        return [d for d in found if any(part.any() for part in d)]

    def steepest(self) -> list[list[Array]]:
        """Single entries of each variable, those of the largest slopes."""
        found = []
        for i, (g, s) in enumerate(zip(self.gradients, self.scales, strict=True)):
            for place in np.argsort(-np.abs(g * s), axis=None)[:STEEPEST]:
                found.append(self.single(i, np.unravel_index(place, g.shape), float(s.flat[place])))
        return found

    def only(self, variable: int, direction: Sequence[Array], mask: Any = True) -> list[Array]:
        """A direction that leaves everything else unmoved: other variables, and elements outside of `mask`."""
        return [d * mask if i == variable else np.zeros_like(d) for i, d in enumerate(direction)]

    def single(self, variable: int, index: tuple[Any, ...], amount: float) -> list[Array]:
        """A direction that moves one entry alone."""
        direction = [np.zeros(x.shape) for x in self.arrays]
        direction[variable][index] = amount
        return direction

    def entry(self, variable: int, index: tuple[int, ...]) -> Finding:
        """The verdict on one entry, as derivatives by that entry."""
        own = abs(float(self.arrays[variable][index]))
        found = self.by_entry(variable, index, float(self.scales[variable][index]))
        if found.verdict is Verdict.INCONCLUSIVE and own:  # it may be much smaller than the others, and 0 close by
            found = self.by_entry(variable, index, own)
        return found

    def by_entry(self, variable: int, index: tuple[int, ...], amount: float) -> Finding:
        """The verdict on one entry, which a step of 1 moves by `amount`."""
        found = self.along(self.single(variable, index, amount))
        sides = None if found.sides is None else (found.sides[0] / amount, found.sides[1] / amount)
        per = {name: getattr(found, name) / amount for name in ("analytic", "numeric", "error", "allowed", "size")}
        return replace(found, **per, sides=sides, step=found.step * amount)

    def jacobian(self, variable: int) -> Array | None:
        """Numerical derivatives of all outputs by all entries of a variable: (*input, outputs); None if too many."""
        x = self.arrays[variable]
        if x.size > FEW or x.size * self.here.size > FEW**2:
            return None
        rows = np.zeros((x.size, self.here.size))
        for position, index in enumerate(np.ndindex(x.shape)):
            f = self.line(self.single(variable, index, 1.0)).f
            step = self.epsilon ** (1 / 5) * float(self.scales[variable][index])
            found = slopes(f, self.here, step, self.epsilon) or slopes(f, self.here, step / 1000, self.epsilon)
            rows[position] = np.nan if found is None else found.pair[1]
        return rows.reshape(*x.shape, -1)

    def locate(self, rng: np.random.Generator, by_entry: bool = True) -> Fault | None:
        """The variable, and the entry of it, whose gradient is wrong; None if it shows only along other directions."""
        for variable, x in enumerate(self.arrays):
            for attempt in range(3 if x.size else 0):
                direction = self.only(variable, self.random_direction(rng) if attempt < 2 else self.ones())
                finding = self.along(direction)
                if finding.verdict is Verdict.WRONG and x.size <= FEW:
                    return self.by_entries(variable, finding)
                if finding.verdict is Verdict.WRONG:
                    there = self.by_halves(variable, direction, finding.step) if by_entry else None
                    return there or Fault(variable, None, finding, 0, 0)
        return None

    def moved(self, rng: np.random.Generator) -> Probe | None:
        """The same comparison at a random point nearby, where there is no kink unless there are many.

        None if f, or its gradient, is not defined there.
        """
        arrays = [x + NEARBY * rng.standard_normal(x.shape) * s for x, s in zip(self.arrays, self.scales, strict=True)]

        def there() -> Probe:
            made = self.subject.recorded(arrays)
            gradients = copies(made.gradients(copies(self.cotangents)))  # since there are many at once
            subject = self.subject.moved_to(arrays)
            return Probe(subject, self.cotangents, gradients, self.tolerance, made.values, self.epsilon)

        return attempted(there)

    def slope(self, direction: Sequence[Array]) -> float:
        """The analytic slope along a direction."""
        return sum(float((g * d).sum()) for g, d in zip(self.gradients, direction, strict=True))

    def is_wrong(self, direction: Sequence[Array]) -> bool:
        return self.along(direction).verdict is Verdict.WRONG

    def by_entries(self, variable: int, finding: Finding) -> Fault:
        """Look at every entry, and name the one that is furthest off; that along a direction where none is."""
        found = {(variable, index): self.entry(variable, index) for index in np.ndindex(self.arrays[variable].shape)}
        return worst_entry(found) or Fault(variable, None, finding, 0, len(found))

    def by_halves(self, variable: int, direction: Sequence[Array], step: float) -> Fault | None:
        """One wrong entry among many: halve the set of entries, keeping the first half if its slope is wrong."""
        shape = self.arrays[variable].shape
        inside = np.arange(self.arrays[variable].size)
        while inside.size > 1:
            half, rest = np.array_split(inside, 2)
            mask = np.zeros(self.arrays[variable].size, bool)
            mask[half] = True
            line = self.line(self.only(variable, direction, mask.reshape(shape)))
            found = line.at(step)  # where the whole was wrong, so that one step tells
            if found is None or found.verdict is Verdict.INCONCLUSIVE:
                found = line.at(step / SHRINK)
            inside = half if found is not None and found.verdict is Verdict.WRONG else rest
        index = tuple(int(i) for i in np.unravel_index(int(inside[0]), shape))
        finding = self.entry(variable, index)
        return Fault(variable, index, finding, 1, 1) if finding.verdict is Verdict.WRONG else None


def excused_by_kinks(probe: Probe, wrong: Sequence[Sequence[Array]], rng: np.random.Generator) -> bool:
    """Whether a point is where many kinks meet, and slopes there are among those of points nearby.

    Where the k-th largest of several equal elements is taken, or kinks of different signs are added, the slopes to
    both sides do not bound the generalised gradient (Clarke, 1975); those of points nearby do. If not all of these
    have been seen several times, there are too many to see the outermost ones.
    """
    beside = moved_several_times(probe, rng, 2)
    shown = [(other, direction) for other in beside for direction in [*wrong[:1], other.random_direction(rng)]]
    if not beside or any(other.is_wrong(direction) for other, direction in shown):
        return False
    size = sum(x.size for x in probe.arrays)  # of few elements each has its turn to be the largest
    beside += moved_several_times(probe, rng, max(NEIGHBOURS, TURNS * size if size <= FEW else 0) - 2)
    for direction in [*wrong, *probe.steepest()]:
        around = np.array([other.slope(direction) for other in beside])
        low, high = around.min(), around.max()
        near = 1e-2 * (high - low)
        seen = (np.abs(around[:, None] - around) <= near).sum(0).min() >= 3
        margin = near if seen else (high - low) / 2
        if not low - margin <= probe.slope(direction) <= high + margin:
            return False
    return True


def moved_several_times(probe: Probe, rng: np.random.Generator, times: int) -> list[Probe]:
    """The comparison at points nearby, where it can be made."""
    return [other for other in (probe.moved(rng) for _ in range(times)) if other is not None]


def precision(arrays: Sequence[Any]) -> float:
    """The ε of the least precise of some arrays or tensors: float64's, or a larger one."""
    return max([EPSILON, *(float(np.finfo(x.dtype).eps) for x in arrays if x.dtype.kind == "f")])


def flat(arrays: Sequence[Array]) -> Array:
    """All elements of some arrays in one row of float64."""
    return np.concatenate([np.zeros(0), *(np.ravel(x) for x in arrays)])


def scale(x: Array) -> Array:
    """For each element its size, but at least the median of those that are not 0, which a NaN has; 1 if all are 0."""
    size = np.abs(x)
    some = size.flat[np.random.default_rng(0).integers(size.size, size=SOME)] if size.size > 4 * SOME else size
    usual = np.sort(some[some > 0] if (some > 0).any() else size[size > 0])
    return np.fmax(size, usual[[(usual.size - 1) // 2, usual.size // 2]].mean() if usual.size else 1.0)


def drawn(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Random numbers of both signs and of sizes from 1/2 to 2: some elements stand out, and none is nearly left out.

    Raw random bits, of which a generator by `np.random.default_rng` gives 64 at a time, are taken for the sign, the
    lowest bit of the exponent, and the digits of a float32: that is three times as fast as drawing numbers.
    """
    size = math.prod(shape)
    bits = rng.bit_generator.random_raw((size + 1) // 2).view(np.uint32)[:size]
    bits &= RANDOM_BITS
    bits |= SET_BITS
    return bits.view(np.float32).reshape(shape)
