"""How time and memory of a training step grow with the batch, the images and the depth: `python -m benchmarks.growth`.

Prints the slopes of the measured lines on double-logarithmic axes (1 is linear growth) and draws docs/growth.png.
"""

from __future__ import annotations

import argparse
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import keras_cnn, mlp
from benchmarks.mlp import Step
from benchmarks.page import PAGE, environment, write_between
from benchmarks.timing import take_turns
from nn.console import positive

WIDTH = 256


@dataclass(frozen=True)
class Sweep:
    """A step in several sizes.

    Attributes:
        title: what grows.
        sizes: how large it is.
        step: makes the step of a size.
    """

    title: str
    sizes: tuple[int, ...]
    step: Callable[[int], Step]


def image_step(pixels: int) -> Step:
    """A step of the Keras CNN for larger or smaller images, 32 of them."""
    return keras_cnn.minigrad_step(32, side=round(pixels**0.5))


def deep_step(layers: int) -> Step:
    """A step of a network with this many hidden layers, 128 images."""
    return mlp.minigrad_step(128, sizes=(784, *[WIDTH] * layers, 10))


SWEEPS = (
    Sweep("images in a batch (default network)", (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192), mlp.minigrad_step),
    Sweep("pixels of an image (Keras CNN)", (14**2, 20**2, 28**2, 40**2, 56**2), image_step),
    Sweep("hidden layers of 256 (fully connected)", (1, 2, 4, 8, 16, 32, 64), deep_step),
)


def seconds(sweep: Sweep, rounds: int) -> list[float]:
    """The median time of a step of each size; the sizes take turns."""
    steps = {str(size): sweep.step(size) for size in sweep.sizes}
    return [median(figures) for figures in take_turns(steps, rounds, calls=3).values()]


def peak_bytes(make: Callable[[], Step]) -> int:
    """The most memory that arrays and other Python objects take during a step, with parameters and data.

    NumPy tells tracemalloc of its arrays. What the linear-algebra library takes for itself is not seen. The third step
    is measured, when the optimizer has what it keeps between steps.
    """
    make()()  # what is made once, such as modules imported late, does not count
    tracemalloc.start()
    try:
        step = make()
        step(), step()
        tracemalloc.reset_peak()
        step()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def slope(sizes: Sequence[int], figures: Sequence[float]) -> float:
    """The slope of the straight line through (log size, log figure), by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(figures), 1)[0])


def slopes_table(measured: Sequence[tuple[Sweep, list[float], list[int]]]) -> str:
    """A Markdown table of slopes: of all sizes, and of the three largest, where fixed costs hardly count."""
    lines = ["| what grows | from | to | time: slope | of the largest | memory: slope | of the largest |"]
    lines.append("|---|---|---|---|---|---|---|")
    for sweep, times, peaks in measured:
        slopes = [slope(sweep.sizes[-n:], f[-n:]) for f in (times, peaks) for n in (len(sweep.sizes), 3)]
        cells = [sweep.title, f"{sweep.sizes[0]:,}", f"{sweep.sizes[-1]:,}", *(f"{figure:.2f}" for figure in slopes)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(measured: Sequence[tuple[Sweep, list[float], list[int]]], path: Path) -> None:
    """A column for each sweep, time above memory, each with a line of slope 1 through its last point."""
    from matplotlib.figure import Figure  # part of the extra `train`
    from matplotlib.ticker import LogLocator

    figure = Figure((11, 5.5), layout="constrained")
    panels = figure.subplots(2, len(measured), sharex="col", squeeze=False)
    for column, (sweep, times, peaks) in zip(panels.T, measured, strict=True):
        rows = (("ms", [1e3 * t for t in times]), ("MB", [peak / 1e6 for peak in peaks]))
        for axes, (unit, figures) in zip(column, rows, strict=True):
            sizes = np.array(sweep.sizes)
            axes.loglog(sizes, figures, "o-", color="tab:blue", label="measured")
            axes.loglog(sizes, figures[-1] * sizes / sizes[-1], "--", color="tab:gray", label="linear (slope 1)")
            labelled = sizes[:: 2 if len(sizes) > 7 else 1]
            axes.set_xticks(labelled, [f"{size:,}" for size in labelled], fontsize="small")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.minorticks_off()
            axes.set_ylabel(f"time of a step, {unit}" if unit == "ms" else f"peak memory, {unit}")
            axes.grid(alpha=0.3)
        column[0].set_title(sweep.title, fontsize="medium")
    panels[0, 0].legend(frameon=False)
    figure.savefig(path, dpi=80)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, draw, and on request write the slopes into the documentation."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--rounds", type=positive(int), default=10, metavar="N", help="figures of a size (default 10)")
    parser.add_argument("--out", type=Path, default=PAGE.with_name("growth.png"), metavar="FILE", help="the picture")
    parser.add_argument("--write", action="store_true", help="put the slopes into docs/performance.md")
    options = parser.parse_args(arguments)
    measured = []
    for sweep in SWEEPS:
        times = seconds(sweep, options.rounds)
        peaks = [peak_bytes(partial(sweep.step, size)) for size in sweep.sizes]
        measured.append((sweep, times, peaks))
        print(f"| {sweep.title} | time of a step | peak memory |\n|---|---|---|")
        for size, time, peak in zip(sweep.sizes, times, peaks, strict=True):
            print(f"| {size:,} | {1e3 * time:,.2f} ms | {peak / 1e6:,.2f} MB |")
        print(flush=True)
    slopes = slopes_table(measured)
    print(slopes)
    draw(measured, options.out)
    if options.write:
        write_between("growth", f"{slopes}\n\n{environment()}", PAGE)


if __name__ == "__main__":
    main()
