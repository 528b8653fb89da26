"""Test accuracies of recipes as means over seeds: `python -m benchmarks.accuracy default article --seeds 3`.

"Mirrored too" is the accuracy of probabilities averaged over each test image and its mirror image.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import nn
from benchmarks.usage import one_of, refusing
from nn.console import positive
from nn.fashion import load
from nn.fashion.classifier import Classifier
from nn.fashion.dataset import Dataset
from nn.fashion.recipes import RECIPES
from nn.fashion.training import Run


def main(given: Sequence[str] | None = None) -> None:
    """Train each recipe with each seed, look at the test images once a run, print a row of a Markdown table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition(":")[0])
    add = parser.add_argument
    add("recipes", nargs="*", type=one_of(RECIPES), metavar="RECIPE", help=f"of {', '.join(RECIPES)}; all by default")
    add("--seeds", type=positive(int), default=3, metavar="N", help="train with the seeds 0 to N - 1 (default 3)")
    add("--data", metavar="DIR", help="folder with the four IDX files")
    add("--published-schedule", action="store_true", help="train as the recipes' references did")
    arguments = parser.parse_args(given)
    with refusing(parser):
        data = load(arguments.data)
    print("| recipe | seeds | test accuracy | standard deviation | lowest | mirrored too | seconds a run |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in arguments.recipes or RECIPES:
        accuracies, mirrored, seconds = [], [], []
        changes = RECIPES[name].published_schedule if arguments.published_schedule else {}
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as folder:
                run = Run(replace(RECIPES[name], **changes, seed=seed), data, Path(folder))
                run.fit(warn=print)
                for figures, accuracy in zip((accuracies, mirrored), accuracies_of(run.classifier, data), strict=True):
                    figures.append(accuracy)
                seconds.append(run.learner.history[-1]["seconds"])
        deviation = stdev(accuracies) if len(accuracies) > 1 else 0
        print(
            f"| `{name}` | {arguments.seeds} | {mean(accuracies):.2%} | {deviation:.2%} | {min(accuracies):.2%} "
            f"| {mean(mirrored):.2%} | {mean(seconds):.0f} |",
            flush=True,
        )


def accuracies_of(classifier: Classifier, data: Dataset) -> tuple[float, float]:
    """On the test images: of each by itself, and averaged over probabilities of it and of its mirror image."""
    model = classifier.model.module if isinstance(classifier.model, nn.MirrorAverage) else classifier.model
    of_one, of_both = (
        replace(classifier, model=each).evaluate(data.test_images, data.test_labels).accuracy
        for each in (model, nn.MirrorAverage(model))
    )
    return of_one, of_both


if __name__ == "__main__":
    main()
