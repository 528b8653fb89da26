"""Where a function has kinks: random points never hit one, and only there a wrong subgradient shows.

Along a line through a point the second difference over a step h is that of a smooth function ~ h², at a kink it is the
jump of the slope times h. So the search follows the largest one to small steps, and keeps what is proportional to h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from minigrad.arrays import Array
from minigrad.testing.subject import Subject, attempted, copies

CELLS = 32  # of the first search along a line
FINER = 4  # times, at each step of the search
LEAST = 1e-6  # step, relative to the line: then a kink is known to about as many digits
LINES = 2  # through each point
PEAKS = 2  # on each line
SIMPLE = (1, 2, 10, 64, 1000)  # of which fractions are simple numbers


def points_at_kinks(subject: Subject, rng: np.random.Generator) -> Iterator[list[Array]]:
    """Points at kinks of a function that differ from the given one in a single element, which is a simple number."""
    arrays = subject.arrays
    places = [(i, index) for i, x in enumerate(arrays) for index in np.ndindex(x.shape)]
    cotangents = [rng.uniform(0.5, 1.5, x.shape) for x in subject.values(copies(arrays))]

    def moved(place: tuple[int, tuple[int, ...]], to: float) -> list[Array]:
        point = copies(arrays)
        point[place[0]][place[1]] = to
        return point

    def value(point: list[Array]) -> float:
        found = attempted(subject.values, point) or []
        if [x.shape for x in found] != [c.shape for c in cotangents]:
            return np.nan
        return sum(float((c * x).sum()) for c, x in zip(cotangents, found, strict=True))

    for k in rng.choice(len(places), min(LINES, len(places)), replace=False) if places else ():
        (i, index) = place = places[k]
        reach = 4 * max(1.0, abs(float(arrays[i][index])))
        for kink in kinks_between(lambda to, place=place: value(moved(place, to)), -reach, reach):  # type: ignore[misc]
            yield moved(place, kink)


def kinks_between(f: Callable[[float], float], low: float, high: float) -> list[float]:
    """The simple numbers between two others at which a function of one number has its most marked kinks."""
    at = np.linspace(low, high, CELLS + 1) + (high - low) / (3 * CELLS)  # not itself at simple numbers
    bends = bends_at(f, at)
    peaks = [k for k in range(len(bends)) if bends[k] > 0 and bends[k] == bends[max(0, k - 1) : k + 2].max()]
    peaks.sort(key=lambda k: -bends[k])
    found = [followed(f, at[k], at[k + 2]) for k in peaks[:PEAKS]]
    simple = [None if kink is None else simplified(kink, LEAST * (high - low)) for kink in found]
    return [number for number in simple if number is not None]


def bends_at(f: Callable[[float], float], at: Array) -> Array:
    """How far second differences of a function are from the usual one; 0 if by rounding, or it is not defined."""
    values = np.array([f(float(x)) for x in at])
    noise = 64 * np.finfo(float).eps * np.abs(values).max(initial=0.0, where=np.isfinite(values))
    differences = np.diff(values, 2)
    sizes = np.abs(differences - np.median([x for x in differences if np.isfinite(x)] or [0.0]))
    return np.where(np.isfinite(sizes) & (sizes > noise), sizes, 0.0)


def followed(f: Callable[[float], float], low: float, high: float) -> float | None:
    """Where between two numbers a slope jumps; None if it is smooth there after all, or the function itself jumps."""
    jumps: list[float] = []
    least = LEAST * CELLS * (high - low) / 2
    while high - low > least:
        at = np.linspace(low, high, 2 * FINER + 1)
        bends = bends_at(f, at)
        k = int(np.argmax(bends))
        jumps.append(float(bends[k] / (at[1] - at[0])))
        low, high = at[k], at[k + 2]
        if len(jumps) > 2 and not 0.4 < jumps[-1] / (jumps[-3] or np.inf) < 2.5:  # smooth: 1/16; a jump: 16
            return None
    return (low + high) / 2


def simplified(x: float, within: float) -> float | None:
    """The simplest number near another, if there is one."""
    near = (round(x * m) / m for m in SIMPLE)
    return next((number for number in near if abs(number - x) <= within), None)
