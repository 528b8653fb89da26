"""Train a garment classifier on Fashion-MNIST, or evaluate one."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nn.fashion.dataset import Dataset
    from nn.fashion.recipes import Recipe
    from nn.metrics import Evaluation

# Which flag sets which setting of the recipe; dropout is a setting of its architecture.
SETTINGS = ("epochs", "batch_size", "lr", "optimizer", "weight_decay", "l1", "l2", "workers", "val_size", "seed")


def parse_arguments() -> argparse.Namespace:
    """The flags; those left out keep the recipe's setting."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="The data are looked for in --data, $FASHION_MNIST_DIR, the folder of Debian's dataset-fashion-mnist, "
        "and the cache; then downloaded; and if that fails a bundled sample of 7,000 images is used.",
    )
    add = parser.add_argument
    add("--recipe", default="default", metavar="NAME", help="what to train, see --list-recipes (default: default)")
    add("--list-recipes", action="store_true", help="list the recipes with what they reach, and stop")
    add("--published-schedule", action="store_true", help="train as the reference did, not in our better way")
    add("--data", metavar="DIR", help="folder with the four IDX files, .gz or raw")
    add("--epochs", type=positive(int), metavar="N", help="how often to go through the training images")
    add("--batch-size", type=positive(int), metavar="N", help="images in a step")
    add("--lr", type=positive(float), metavar="X", help="learning rate, at the schedule's peak")
    add("--optimizer", choices=("sgd", "nesterov", "adam", "adamw", "muon"), help="update rule")
    add("--weight-decay", type=positive(float, zero=True), metavar="X", help="how strongly weights are pulled to zero")
    add("--l1", type=positive(float, zero=True), metavar="X", help="add X times the sum of |w| over all weights")
    add("--l2", type=positive(float, zero=True), metavar="X", help="add X times the sum of w² over all weights")
    add("--raw-pixels", action="store_true", help="feed pixels as bytes from 0 to 255, to see why they are scaled")
    add("--dropout", type=positive(float, zero=True), metavar="P", help="share of activations dropped in training")
    seed_help = "of everything random; the same result again with the same --threads and --workers on the same machine"
    add("--seed", type=positive(int, zero=True), metavar="N", help=seed_help)
    add("--val-size", type=positive(int, zero=True), metavar="N", help="training images held out for validation")
    add("--out", type=Path, metavar="DIR", help="folder for model, metrics and report (default: runs/NAME)")
    add("--evaluate", type=Path, metavar="MODEL", help="train nothing: evaluate a saved model on the test images")
    add("--target-accuracy", type=positive(float, zero=True), metavar="P",
        help="exit with status 1 if test accuracy is below P per cent")
    add("--threads", type=positive(int), metavar="N", help="threads for matrix products (default: all cores)")
    add("--workers", type=positive(int), metavar="N", help="threads that each take a part of every batch")
    add("--dry-run", action="store_true", help="show what would be done, take one step, and write nothing")
    add("--quiet", action="store_true", help="print the last lines only")
    return parser.parse_args()


def positive(number: type[int] | type[float], zero: bool = False) -> Callable[[str], float]:
    """A converter for argparse: a number above zero, or not below it."""

    def convert(text: str) -> float:
        converted = number(text)
        if not (converted >= 0 if zero else converted > 0):
            raise ValueError
        return converted

    convert.__name__ = f"{'non-negative' if zero else 'positive'} {number.__name__}"  # argparse: "invalid … value"
    return convert


def print_anywhere() -> None:
    """Let everything be printed in the encoding of the console: what that lacks becomes a question mark."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # standard error is written like this anyhow


def use_threads(count: int) -> None:
    """Limit the threads of matrix products: the libraries read this when NumPy is imported, which is later."""
    for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM"):
        os.environ[f"{library}_NUM_THREADS"] = str(count)


def chosen_recipe(arguments: argparse.Namespace) -> Recipe:
    """The recipe with the settings that flags override."""
    from nn.fashion.recipes import RAW_PIXELS, RECIPES

    if arguments.recipe not in RECIPES:
        sys.exit(f"train.py: there is no recipe {arguments.recipe!r}, only {', '.join(RECIPES)} and xor")
    recipe = RECIPES[arguments.recipe]
    given = dict(recipe.published_schedule) if arguments.published_schedule else {}
    if arguments.published_schedule and not given:
        sys.exit(f"train.py: the recipe {recipe.name} has no other schedule than its own")
    given |= {name: getattr(arguments, name) for name in SETTINGS if getattr(arguments, name) is not None}
    if arguments.raw_pixels:
        given |= RAW_PIXELS
    if arguments.dropout is not None:
        given["architecture"] = {**recipe.architecture, "dropout": arguments.dropout}
    return replace(recipe, **given)


def train(arguments: argparse.Namespace, data: Dataset) -> Evaluation | None:
    """Train by the chosen recipe; returns the result on the test images, None after a dry run."""
    from nn.fashion import report
    from nn.fashion.training import Run, progress

    recipe = chosen_recipe(arguments)
    folder = arguments.out or Path("runs") / recipe.name
    run = Run(recipe, data, folder, [] if arguments.quiet else progress())
    if not arguments.quiet:
        print(f"Recipe: {recipe.name}, {recipe.summary}\n{run.classifier.model}", flush=True)
    if arguments.dry_run:
        loss = run.try_one_batch()
        print(f"Dry run: the loss of the first batch is {loss:.4f}; {recipe.epochs} epochs would be saved in {folder}")
        return None
    run.fit(warn=lambda sentence: print(f"Warning: {sentence}", file=sys.stderr))
    evaluation = run.test()
    print(report.summary(evaluation, run.classifier.classes))
    saved = run.save(evaluation)
    print(f"Saved {', '.join(saved)} in {folder}")
    if not report.can_draw():
        print("For a report with pictures: pip install matplotlib")
    if run.learner.stop:
        print(f"Interrupted in epoch {run.learner.epoch} of {recipe.epochs}: this is the model as it was then.")
        sys.exit(130)
    return evaluation


def list_recipes() -> None:
    """Print a table of the recipes and what they reach on the test images."""
    from nn.callbacks import printable
    from nn.fashion.recipes import RECIPES
    from nn.xor import SUMMARY

    print(f"{'recipe':<22}{'published':<30}{'ours':<17}what it is")
    for recipe in RECIPES.values():
        line = f"{recipe.name:<22}{recipe.published:<30}{recipe.measured:<17}{recipe.summary}"
        print(printable(line, sys.stdout))
    print(f"{'xor':<22}{'predicts 1 for (0, 1)':<30}{'all four right':<17}{SUMMARY}")


def evaluate(arguments: argparse.Namespace, data: Dataset) -> Evaluation:
    """Evaluate a saved model on the test images."""
    from nn.fashion import report
    from nn.fashion.classifier import Classifier

    classifier = Classifier.load(arguments.evaluate)
    evaluation = classifier.evaluate(data.test_images, data.test_labels)
    print(report.summary(evaluation, classifier.classes))
    return evaluation


def main() -> int:
    """Run the command; returns its exit status."""
    print_anywhere()
    arguments = parse_arguments()
    if arguments.threads:
        use_threads(arguments.threads)
    if arguments.list_recipes:
        list_recipes()
        return 0
    if arguments.recipe == "xor":
        from nn import xor

        print(xor.report(*xor.learn(arguments.seed or 0)))
        return 0
    from nn import FileError
    from nn.fashion import DataError, load
    from nn.learner import NonFiniteLoss

    warnings.showwarning = lambda message, *_: print(f"Warning: {message}", file=sys.stderr)
    try:
        data = load(arguments.data)
        if not arguments.quiet:
            print(f"Data: {data.source}", flush=True)
        evaluation = (evaluate if arguments.evaluate else train)(arguments, data)
    except (DataError, FileError, NonFiniteLoss, ValueError) as error:
        sys.exit(f"train.py: {error}")
    except BrokenPipeError:  # whoever read the output, `head` say, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would complain again when it flushes
        return 1
    except KeyboardInterrupt:  # a second Ctrl-C, or one outside training
        print("train.py: interrupted", file=sys.stderr)
        return 130
    target = arguments.target_accuracy
    if evaluation is not None and target is not None and 100 * evaluation.accuracy < target:
        sys.exit(f"train.py: the test accuracy of {evaluation.accuracy:.2%} is below the target of {target} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
