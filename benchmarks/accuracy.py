"""Test accuracies of recipes as means over seeds: `python -m benchmarks.accuracy default article --seeds 3`."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

from nn.fashion import load
from nn.fashion.recipes import RECIPES
from nn.fashion.training import Run


def main() -> None:
    """Train each recipe with each seed, look at the test images once a run, print a row of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help=f"of {', '.join(RECIPES)}; all by default")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="train with the seeds 0 to N - 1 (default 3)")
    parser.add_argument("--data", metavar="DIR", help="folder with the four IDX files")
    arguments = parser.parse_args()
    data = load(arguments.data)
    print("| recipe | seeds | test accuracy | standard deviation | lowest | seconds a run |\n|---|---|---|---|---|---|")
    for name in arguments.recipes or RECIPES:
        accuracies, seconds = [], []
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as folder:
                run = Run(replace(RECIPES[name], seed=seed), data, Path(folder))
                run.fit(warn=print)
                accuracies.append(run.test().accuracy)
                seconds.append(run.learner.history[-1]["seconds"])
        deviation = stdev(accuracies) if len(accuracies) > 1 else 0
        print(
            f"| `{name}` | {arguments.seeds} | {mean(accuracies):.2%} | {deviation:.2%} | {min(accuracies):.2%} "
            f"| {mean(seconds):.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
