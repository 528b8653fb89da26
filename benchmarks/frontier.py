"""Test accuracy against time, recipe by recipe: `python -m benchmarks.frontier` adds runs, and renews page and picture.

Each run is a process of its own, `train.py` as people start it: its time has everything in it, imports, reading the
data, training, and the test. With one worker it is counted in CPU seconds, which other work on a machine changes
least; with several in seconds that pass, as if each epoch had been as quick as the quickest. Either is told in those of
the machine on which the yardstick takes 25 seconds.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from importlib.util import find_spec
from itertools import groupby, pairwise
from pathlib import Path
from statistics import mean, median, stdev
from time import process_time

from benchmarks import same_network
from benchmarks.accuracy import accuracies_of
from benchmarks.page import environment, write_between
from benchmarks.timing import check_agreement, number, seconds_per_call, take_turns
from benchmarks.usage import one_of, refusing
from nn.console import positive
from nn.fashion import load
from nn.fashion.classifier import Classifier
from nn.fashion.dataset import Dataset
from nn.fashion.folder import METRICS
from nn.fashion.recipes import RECIPES
from nn.fashion.settings import changed, named
from nn.native import one_thread_for_products

ROOT = Path(__file__).parents[1]
RUNS, PAGE = ROOT / "benchmarks" / "frontier.csv", ROOT / "docs" / "frontier.md"

# Recipes with what is set otherwise, and for how many epochs.
POINTS = {
    "fast-cnn flip=none architecture.channels=[10,20,40]": (2,),
    "fast-cnn flip=none architecture.channels=[12,24,48]": (3,),
    "fast-cnn flip=none": (3,), "fast-cnn": (2, 3, 8),
    "small-resnet": (7,), "resnet": (8,), "wide-resnet": (25,),
    "best-mlp": (70,), "best-mlp flip=none": (75,),
}
# The recipe fast-cnn as it was when all of it took 25 seconds on two quiet cores.
YARDSTICK = [
    "--recipe", "fast-cnn", "--epochs", "5", "--optimizer", "adamw", "--lr", "0.01", "--weight-decay", "0.05",
    "--set", "schedule=one-cycle", "--set", "architecture.kernel_size=5",
]
YARDSTICK_SECONDS = 25


@dataclass(frozen=True)
class Row:
    """A run: its recipe (and what is set otherwise), epochs, seed, what it reached on the test images, and its time.

    `accuracy` is that of the network, `mirrored` that of probabilities averaged over each image and its mirror image,
    as some recipes have it; `taken` the CPU seconds of one worker, or those that passed with several; `yardstick` the
    CPU seconds of the yardstick that ran beside it.
    """

    recipe: str
    epochs: int
    seed: int
    accuracy: float
    mirrored: float
    taken: float
    yardstick: float

    @property
    def averages(self) -> bool:
        """Whether the recipe's own accuracy is the averaged one."""
        name, *settings = self.recipe.split()
        return bool(changed(RECIPES[name], dict(map(named, settings))).architecture.get("mirrored"))

    @property
    def reached(self) -> float:
        """The accuracy that the run itself tells."""
        return self.mirrored if self.averages else self.accuracy

    @property
    def seconds(self) -> float:
        """How long it takes on the machine that the yardstick is of."""
        return YARDSTICK_SECONDS * self.taken / self.yardstick


def seconds_of(flags: Sequence[str], folder: Path, workers: int = 1) -> float:
    """Run `train.py` with these flags; returns its CPU seconds, or with several workers the seconds that pass."""
    command = [sys.executable, str(ROOT / "train.py"), *flags, "--threads", "1", "--quiet", "--out", str(folder)]
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    if workers > 1:
        return after.elapsed - before.elapsed
    return after.children_user + after.children_system - before.children_user - before.children_system


def time_lost(metrics: Path) -> float:
    """How much longer all epochs of a run took than if each had been as quick as the quickest: other work."""
    with open(metrics, encoding="utf-8", newline="") as file:
        ends = [float(row["seconds"]) for row in csv.DictReader(file)]
    durations = [end - start for start, end in pairwise([0.0, *ends])]
    return sum(durations) - len(durations) * min(durations)


def measured(recipe: str, epochs: int, seed: int, yardstick: float, data: Dataset) -> Row:
    """Train anew, and look at the test images once, and at their mirror images."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        name, *settings = recipe.split()
        flags = ["--recipe", name, "--epochs", str(epochs), "--seed", str(seed)]
        flags += [f"--set={setting}" for setting in settings]
        seconds = seconds_of(flags, folder, RECIPES[name].workers)
        if RECIPES[name].workers > 1:
            seconds -= time_lost(folder / METRICS)
        accuracies = accuracies_of(Classifier.load(folder), data)
    return Row(recipe, epochs, seed, *accuracies, round(seconds, 1), round(yardstick, 1))


def read(path: Path) -> list[Row]:
    """The runs that are known already."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return [
            Row(recipe, int(epochs), int(seed), *map(float, figures))
            for recipe, epochs, seed, *figures in [*csv.reader(file)][1:]
        ]


def write(rows: Iterable[Row], path: Path) -> None:
    """All runs, in order."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(asdict, sorted(rows, key=lambda row: (row.recipe, row.epochs, row.seed))))


def points_of(rows: Iterable[Row]) -> list[list[Row]]:
    """The runs of each recipe and number of epochs together, the quickest first."""
    ordered = sorted(rows, key=lambda row: (row.recipe, row.epochs))
    groups = [list(group) for _, group in groupby(ordered, lambda row: (row.recipe, row.epochs))]
    return sorted(groups, key=seconds_of_point)


def seconds_of_point(rows: Iterable[Row]) -> float:
    """Those of the run that other work on the machine disturbed least."""
    return min(row.seconds for row in rows)


def table(points: Iterable[Sequence[Row]]) -> str:
    """A line of Markdown for each point: means over seeds, with the standard deviation of single runs."""
    lines = ["| recipe | epochs | seconds | of one image | averaged with its mirror image | seeds |"]
    lines.append("|---|---|---|---|---|---|")
    for rows in points:
        figures = [in_per_cent([row.accuracy for row in rows]), in_per_cent([row.mirrored for row in rows])]
        own = int(rows[0].averages)
        figures[own] = f"**{figures[own]}**"
        lines.append(
            f"| `{rows[0].recipe}` | {rows[0].epochs} | {number(seconds_of_point(rows))} | {' | '.join(figures)} "
            f"| {len(rows)} |"
        )
    return "\n".join(lines)


def in_per_cent(accuracies: Sequence[float]) -> str:
    """Their mean, with the standard deviation if there are several."""
    spread = f" ± {100 * stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
    return f"{100 * mean(accuracies):.2f}{spread} %"


def peers(recipes: Iterable[str], rounds: int) -> str:
    """A table of the CPU time of a training step of each recipe's network, and of the same one elsewhere."""
    lines = ["| network of | batch | minigrad | others: minigrad takes |", "|---|---|---|---|"]
    for name in dict.fromkeys(recipe.split()[0] for recipe in recipes):
        recipe = RECIPES[name]
        contestants = same_network.contestants(recipe.architecture, recipe.batch_size)
        check_agreement(contestants)
        with one_thread_for_products():  # as training does
            seconds = take_turns(contestants, rounds, 2, partial(seconds_per_call, clock=process_time))
        ours, ratios = seconds.pop("minigrad"), []
        for other, theirs in seconds.items():
            ratios.append(f"{other} {number(median(a / b for a, b in zip(ours, theirs, strict=True)))} ×")
        milliseconds = number(1000 * median(ours))
        lines.append(f"| `{name}` | {recipe.batch_size} | {milliseconds} ms | {', '.join(ratios)} |")
    return "\n".join(lines)


def draw(points: Sequence[Sequence[Row]], path: Path) -> None:
    """Accuracy against seconds, a line for each recipe. Needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot()
    for recipe in dict.fromkeys(rows[0].recipe for rows in points):
        own = [rows for rows in points if rows[0].recipe == recipe]
        seconds = [seconds_of_point(rows) for rows in own]
        accuracies = [100 * mean(row.reached for row in rows) for rows in own]
        marker = "s" if RECIPES[recipe.split()[0]].architecture["name"] == "mlp" else "o"
        axes.plot(seconds, accuracies, marker=marker, label=recipe)
        for x, y, rows in zip(seconds, accuracies, own, strict=True):
            axes.annotate(f"{rows[0].epochs}", (x, y), (5, -11), textcoords="offset points", fontsize=8)
    axes.set(xscale="log", xlabel="seconds, all included (numbers at the points are epochs)", ylabel="test accuracy, %")
    ticks = {"5": 5, "10": 10, "20": 20, "40": 40} | {f"{minutes} min": 60 * minutes for minutes in (1, 2, 5, 10, 30)}
    axes.set_xticks([*ticks.values()], [*ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    figure.savefig(path, dpi=120)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, one seed after the other, and write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition(":")[0])
    add = parser.add_argument
    add("recipes", nargs="*", type=one_of(POINTS), metavar="RECIPE", help=f"of {', '.join(POINTS)}; all by default")
    add("--seeds", type=positive(int), default=5, metavar="N", help="train with the seeds 0 to N - 1 (default 5)")
    add("--rounds", type=positive(int), default=10, metavar="N", help="of steps beside others (default 10)")
    options = parser.parse_args(arguments)
    with refusing(parser):
        rows, data = read(RUNS), load()
    chosen = [(name, epochs) for name in options.recipes or POINTS for epochs in POINTS[name]]
    known = {(row.recipe, row.epochs, row.seed) for row in rows}
    missing = [(*point, seed) for seed in range(options.seeds) for point in chosen if (*point, seed) not in known]
    with tempfile.TemporaryDirectory() as place:
        yardstick = seconds_of(YARDSTICK, Path(place) / "run") if missing else 0.0
    for name, epochs, seed in missing:
        rows.append(measured(name, epochs, seed, yardstick, data))
        write(rows, RUNS)
        print(rows[-1], flush=True)
    points = points_of(rows)
    write_between("table", table(points), PAGE)
    if find_spec("torch") and find_spec("jax"):
        write_between("peers", f"{peers([*POINTS, 'best-cnn'], options.rounds)}\n\n{environment()}", PAGE)
    draw(points, PAGE.with_suffix(".png"))


if __name__ == "__main__":
    main()
