"""Timings that can be compared on a machine whose speed drifts: the contestants take turns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from statistics import median
from subprocess import Popen
from time import perf_counter, sleep
from typing import Any, TypeAlias

import numpy as np

Contestant: TypeAlias = Callable[[], Any]  # does the work once and returns the result: a number, an array or several
Contestants: TypeAlias = dict[str, Contestant]

# Ends with the process that began it, however that ends.
COMPUTING_WITHOUT_END = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"

OURS = "minigrad"  # the contestant whose time the others' are set against
UNITS = {"µs": 1e6, "ms": 1e3, "s": 1.0}


def installed(others: Mapping[str, tuple[str, Callable[[], Contestant]]]) -> Contestants:
    """The contestants, given as name -> (package, what makes the contestant), whose package is installed."""
    return {name: make() for name, (package, make) in others.items() if find_spec(package)}


def check_agreement(contestants: Mapping[str, Contestant], calls: int = 1) -> None:
    """Stop unless all contestants come to the same results, call after call: they must do the same work.

    Raises:
        SystemExit: if results differ by more than a ten-thousandth of the largest.
    """
    results = {name: [flat(contestant()) for _ in range(calls)] for name, contestant in contestants.items()}
    first, *others = results
    for name in others:
        for call, (ours, theirs) in enumerate(zip(results[first], results[name], strict=True), 1):
            if ours.shape != theirs.shape or not np.abs(ours - theirs).max() <= 1e-4 * np.abs(ours).max():
                raise SystemExit(
                    f"the contestants do not do the same work, call {call} results in {ours} for {first}, "
                    f"but in {theirs} for {name}"
                )


def flat(result: Any) -> Any:
    """All numbers of a result in one array."""
    parts = result if isinstance(result, (list, tuple)) else [result]
    return np.concatenate([np.asarray(part, float).ravel() for part in parts])


def seconds_per_call(contestant: Contestant, calls: int, clock: Callable[[], float] = perf_counter) -> float:
    """The mean of some calls in a row, after one that brings the data back into the cache."""
    contestant()
    start = clock()
    for _ in range(calls):
        contestant()
    return (clock() - start) / calls


def take_turns(
    contestants: Mapping[str, Contestant], rounds: int = 30, calls: int = 20,
    clock: Callable[[Contestant, int], float] = seconds_per_call,
) -> dict[str, list[float]]:
    """Seconds a call of each contestant, one figure a round: what the clock says of it and the number of calls.

    The order within a round is reversed every other time, and the first round, a warm-up, is not counted. A pause
    before each turn lets the threads of the one before come to rest: those of OpenBLAS spin for 2^26 cycles.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for i in range(rounds + 1):
        for name in list(contestants)[:: 1 if i % 2 else -1]:
            sleep(0.05)
            figure = clock(contestants[name], calls)
            if i:
                seconds[name].append(figure)
    return seconds


@contextmanager
def beside_busy_processes(count: int = 1) -> Iterator[None]:
    """Inside, so many other processes compute without end."""
    others = [Popen([sys.executable, "-S", "-c", COMPUTING_WITHOUT_END]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def unit_for(figures: Iterable[float]) -> str:
    """The largest unit in which every figure is 10 or more, or the smallest unit there is."""
    smallest = min(figures)
    return next((unit for unit in ("s", "ms") if smallest * UNITS[unit] >= 10), "µs")


def number(figure: float) -> str:
    """Three digits, or all before the point if there are more."""
    return f"{figure:,.{0 if figure >= 100 else 1 if figure >= 10 else 2}f}"


def table(title: str, quiet: Mapping[str, list[float]], busy: Mapping[str, list[float]]) -> str:
    """A Markdown table: median and spread of each contestant, median over the rounds of ours to it; both busy, too."""
    unit = unit_for(median(figures) for figures in quiet.values())
    lines = [f"| {title} | median | fastest to slowest | minigrad takes | busy: median | minigrad takes |"]
    lines.append("|---|---|---|---|---|---|")
    for name, figures in quiet.items():
        middle, fastest, slowest = (number(UNITS[unit] * f(figures)) for f in (median, min, max))
        cells = [f"{middle} {unit}", f"{fastest} to {slowest} {unit}", f"{number(ratio(quiet[OURS], figures))} ×"]
        cells += [f"{number(UNITS[unit] * median(busy[name]))} {unit}", f"{number(ratio(busy[OURS], busy[name]))} ×"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ratio(ours: list[float], theirs: list[float]) -> float:
    """The median over the rounds of how many times as long ours took."""
    return median(a / b for a, b in zip(ours, theirs, strict=True))
