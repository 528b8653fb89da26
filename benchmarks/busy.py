"""How long an epoch of `train.py` takes beside other work, by threads: `python -m benchmarks.busy`.

The choices take turns. The last column is what matters to whoever names no threads: the default beside the best choice.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.page import environment
from benchmarks.timing import beside_busy_processes, number
from benchmarks.usage import one_of
from nn.console import positive
from nn.fashion.recipes import RECIPES

USUAL = "default", "fast-cnn", "best-mlp"
PROGRAM = Path(__file__).parents[1] / "train.py"
CHOICES = {"default": [], "one thread": ["--threads", "1", "--workers", "1"],
           "a thread a core": ["--threads", str(os.cpu_count()), "--workers", "1"]}


def seconds_of_training(recipe: str, epochs: int, flags: list[str]) -> float:
    """What a run of some epochs says that training took, reading the data not included."""
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    with tempfile.TemporaryDirectory() as folder:
        flags = [*flags, "--recipe", recipe, "--epochs", str(epochs), "--out", folder, "--quiet"]
        subprocess.run([sys.executable, PROGRAM, *flags], check=True, capture_output=True, env=free)
        with open(Path(folder) / "metrics.csv", newline="", encoding="utf-8") as file:
            *_, last = csv.DictReader(file)
    return float(last["seconds"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for each recipe and number of busy processes."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition(":")[0])
    add = parser.add_argument
    add("recipes", nargs="*", type=one_of(RECIPES), metavar="RECIPE", help=f"by default {', '.join(USUAL)}")
    add("--beside", type=positive(int, zero=True), nargs="+", default=[0, 1, 3], metavar="N", help="busy processes")
    add("--epochs", type=positive(int), default=1, metavar="N", help="of each run (default 1)")
    add("--rounds", type=positive(int), default=3, metavar="N", help="runs of each choice (default 3)")
    given = parser.parse_args(arguments)
    print(f"| recipe | busy processes | {' | '.join(CHOICES)} | default to best |\n|---|---|---|---|---|---|")
    for recipe in given.recipes or USUAL:
        for count in given.beside:
            seconds: dict[str, list[float]] = {name: [] for name in CHOICES}
            with beside_busy_processes(count):
                for _ in range(given.rounds):
                    for name, flags in CHOICES.items():
                        seconds[name].append(seconds_of_training(recipe, given.epochs, flags))
            middle = {name: median(figures) for name, figures in seconds.items()}
            cells = [f"{number(figure)} s" for figure in middle.values()]
            cells.append(f"{number(middle['default'] / min(middle.values()))} ×")
            print(f"| `{recipe}` | {count} | {' | '.join(cells)} |", flush=True)
    print(environment())


if __name__ == "__main__":
    main()
