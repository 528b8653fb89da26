"""Timings that can be compared on a machine whose speed drifts: the contestants take turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter, sleep


def take_turns(
    contestants: Mapping[str, Callable[[], object]], rounds: int = 30, calls: int = 20
) -> dict[str, list[float]]:
    """Seconds a call of each contestant, one figure a round: the mean of some calls in a row.

    The order within a round is reversed every other time, and the first round, a warm-up, is not counted. A pause
    before each turn lets the threads of the one before come to rest: those of PyTorch spin for milliseconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for i in range(rounds + 1):
        for name in list(contestants)[:: 1 if i % 2 else -1]:
            sleep(0.02)
            contestants[name]()  # brings its data back into the cache
            start = perf_counter()
            for _ in range(calls):
                contestants[name]()
            if i:
                seconds[name].append((perf_counter() - start) / calls)
    return seconds


def table(title: str, seconds: Mapping[str, list[float]], ours: str = "minigrad") -> str:
    """A Markdown table: median and spread of each contestant, and the median over the rounds of ours to it."""
    lines = [f"| {title} | median | fastest to slowest | minigrad takes |", "|---|---|---|---|"]
    for name, figures in seconds.items():
        ratio = median(a / b for a, b in zip(seconds[ours], figures, strict=True))
        spread = f"{1e6 * min(figures):,.0f} to {1e6 * max(figures):,.0f} µs"
        lines.append(f"| {name} | {1e6 * median(figures):,.0f} µs | {spread} | {ratio:.2f} × |")
    return "\n".join(lines)
