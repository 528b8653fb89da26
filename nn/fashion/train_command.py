"""What `train.py` does, once its flags are read: train, go on, evaluate, look for a learning rate."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import nn
from nn import xor
from nn.callbacks import printable
from nn.console import say
from nn.extras import required
from nn.fashion import report
from nn.fashion.dataset import Dataset, load
from nn.fashion.folder import (
    CHECKPOINT,
    check_room,
    files_to_replace,
    free_folder,
    holds_run,
    newest,
    numbered,
    own_folder,
)
from nn.fashion.idx import DataError
from nn.fashion.pictures import parsed_size
from nn.fashion.recipes import RAW_PIXELS, RECIPES, Recipe
from nn.fashion.result import data_of, evaluate
from nn.fashion.settings import changed, configured, named
from nn.fashion.training import Checkpoint, Run, progress
from nn.metrics import Evaluation
from nn.native import product_threads
from nn.processes import act_alone, broadcast, gathered, rank, size
from nn.shared_memory import once_a_machine

# Which flag sets which setting of the recipe.
FLAGS = {name: name for name in (
    "epochs", "batch_size", "lr", "optimizer", "weight_decay", "l1", "l2", "workers", "val_size", "seed", "keep",
    "patience",
)} | {"dropout": "architecture.dropout"}
DATA = {"data", "size"}
SETTINGS = {*FLAGS, "published_schedule", "raw_pixels", "set", "config", "recipe"}
ALWAYS = {"quiet", "threads"}


class Mode(NamedTuple):
    """What is asked for: the flags that are heard, and why others have no effect."""

    reason: str
    heard: set[str]


MODES = {
    "evaluate": Mode("--evaluate trains nothing", {"data", "json", "target_accuracy"}),
    "resume": Mode(
        "--resume goes on with the settings of the run", {*DATA, "epochs", "recipe", "out", "target_accuracy"}),
    "find_lr": Mode("--find-lr tries learning rates and trains nothing",
                    {*SETTINGS, *DATA, "out"} - {"epochs", "keep", "patience"}),
    "dry_run": Mode("--dry-run takes one step and evaluates nothing", {*SETTINGS, *DATA, "out", "overwrite"}),
    "xor": Mode("the recipe xor has settings and data of its own", {"recipe", "seed"}),
    "train": Mode("", {*SETTINGS, *DATA, "out", "overwrite", "target_accuracy"}),
}


def warn(sentence: str) -> None:
    """Say something that does not end the run."""
    if rank() == 0:
        say(f"Warning: {sentence}", sys.stderr)


def perform(arguments: argparse.Namespace) -> int:
    """Do what the flags say, lists apart; returns the exit status.

    Raises what is wrong: `DataError`, `FileError`, `NonFiniteLoss` or ValueError, with a sentence.
    """
    is_first = rank() == 0  # asked for before anything can fail, so that one process says it for all
    mode = check_flags(arguments)
    if mode not in ("train", "resume"):
        if not is_first:  # one process is enough
            return 0
        act_alone()
    if arguments.recipe == "xor":
        print(xor.report(*xor.learn(arguments.seed or 0)))
        return 0
    evaluation = (evaluate(arguments.evaluate, arguments.data, arguments.json, arguments.quiet)
                  if arguments.evaluate else train(arguments))
    if evaluation is not None and arguments.target_accuracy is not None:
        check_reached(evaluation.accuracy, arguments.target_accuracy)
    return 0


def check_reached(accuracy: float, target: float) -> None:
    """Raise ValueError if a share is less than a target in per cent."""
    if round(100 * accuracy, 9) < target:  # 100 * 0.57 alone is less than 57
        raise ValueError(f"the test accuracy of {accuracy:.2%} is below the target of {target} %")


def check_flags(arguments: argparse.Namespace) -> str:
    """Which of `MODES` is asked for; raises ValueError for flags that do not go together, or would have no effect."""
    if arguments.json is not None and not arguments.evaluate:
        raise ValueError("--json goes with --evaluate: a training run leaves its result.json in its folder")
    if arguments.resume is not None and arguments.evaluate:
        raise ValueError("--resume trains on and --evaluate trains nothing: choose one of them")
    asked = [mode for mode in ("evaluate", "resume", "find_lr", "dry_run") if is_given(getattr(arguments, mode))]
    mode = "xor" if arguments.recipe == "xor" else next(iter(asked), "train")
    reason, heard = MODES[mode]
    given = {name for name, setting in vars(arguments).items() if is_given(setting)} - {mode}
    if mode == "resume" and arguments.resume is not True:
        heard = heard - {"out"}
    if ignored := sorted(given - heard - ALWAYS):
        raise ValueError(f"{reason}, so that --{ignored[0].replace('_', '-')} would have no effect")
    if arguments.target_accuracy is not None and 0 < arguments.target_accuracy < 1:
        warn(f"--target-accuracy is in per cent: {arguments.target_accuracy} is less than one")
    return mode


def is_given(setting: object) -> bool:
    """Whether a flag was given; 0 is something."""
    return setting is not None and setting is not False and setting != []


# ------------------------------------------------------------------------------------------------ training


def train(arguments: argparse.Namespace) -> Evaluation | None:
    """Train, or go on; returns the result on the test images, None if nothing was trained to its end.

    It is process 0 that shows, evaluates and saves; the others take part in training, and return None.
    """
    if arguments.resume is not None:
        return resume(arguments)
    recipe = chosen_recipe(arguments)
    folder = arguments.out or Path("runs") / recipe.name
    if rank() == 0:
        check_free(arguments, folder)
    run = Run(recipe, loaded(arguments, None), folder, shown(arguments))
    if rank() > 0:
        return finish(run)
    if not arguments.quiet:
        say(f"Recipe: {recipe.name}, {recipe.summary}")
        print(run.classifier.model, flush=True)
    if size() > 1 and not arguments.quiet:
        say(f"Processes: {size()}, each with its part of every batch of {run.recipe.batch_size}")
    if arguments.find_lr:
        find_lr(run)
        return None
    if arguments.dry_run:
        if arguments.out is None and not arguments.overwrite:
            folder = next(place for place in numbered(folder) if not holds_run(place))
        loss = run.try_one_batch()
        check_room(folder, run.bytes_left())
        hint_at_pictures()
        say(f"Dry run: the loss of the first batch is {loss:.4f}; {recipe.epochs} epochs would be saved in {folder}")
        return None
    with destination(arguments, folder) as run.folder:
        run.replaces = holds_run(run.folder)
        return finish(run)


def resume(arguments: argparse.Namespace) -> Evaluation | None:
    """Go on with the run in a folder."""
    name = arguments.recipe
    if rank() > 0:
        run = Run.resumed(Path(), loaded(arguments, None), (), arguments.epochs, name)
        use_threads_of(run, arguments)
        return finish(run)
    folder: Path = arguments.resume if arguments.resume is not True else (
        arguments.out or newest(Path("runs") / (name or "default")))
    if not holds_run(folder):
        raise nn.FileError(f"there is no run in {folder} to go on with: name its folder after --resume")
    data = loaded(arguments, Checkpoint.load(folder / CHECKPOINT).data["size"])
    with own_folder(folder):
        run = Run.resumed(folder, data, shown(arguments), arguments.epochs, name)
        use_threads_of(run, arguments)
        if not arguments.quiet:
            learner, epochs = run.learner, run.recipe.epochs
            say(f"Recipe: {run.recipe.name}, going on in {folder} after epoch {learner.epoch} of {epochs}")
        return finish(run)


def use_threads_of(run: Run, arguments: argparse.Namespace) -> None:
    """Have products computed in as many threads as before the run was resumed, unless the flags say how many."""
    if arguments.threads is None and run.made_with.get("threads"):
        product_threads(run.made_with["threads"])


def loaded(arguments: argparse.Namespace, sides: tuple[int, int] | None) -> Dataset:
    """The data, read once a machine, after a line that says what they are.

    Pictures are brought to the size that --size names, or to these `sides`, which process 0 knows.
    """
    sides = parsed_size(arguments.size) or broadcast(sides)
    data = once_a_machine(lambda: load(arguments.data, size=sides))
    if not arguments.quiet:
        say(f"Data: {data.source}")
    if size() > 1:
        check_same_data(data)
    return data


def check_same_data(data: Dataset) -> None:
    """Raise DataError if the processes, on several machines, have read different data."""
    found = gathered((data_of(data)["fingerprint"], data.source), "the check of data")
    for number, (fingerprint, source) in enumerate(found):
        if fingerprint != found[0][0]:
            raise DataError(f"process {number} has other data than process 0: {source}; not {found[0][1]}")


def shown(arguments: argparse.Namespace) -> list[nn.Callback]:
    """What a run shows while it goes."""
    return [] if arguments.quiet or rank() > 0 else progress()


def check_free(arguments: argparse.Namespace, folder: Path) -> None:
    """Raise FileError if somebody asked for a folder that holds a run, and for no more."""
    if arguments.out and holds_run(folder) and not (arguments.overwrite or arguments.find_lr):
        go_on = f"go on with it by --resume {folder}, or " if (folder / CHECKPOINT).exists() else ""
        raise nn.FileError(f"{folder} holds a run: {go_on}replace it with --overwrite")


@contextmanager
def destination(arguments: argparse.Namespace, folder: Path) -> Iterator[Path]:
    """Inside, the folder for a new run is this process's own."""
    if arguments.out is None and not arguments.overwrite:
        with free_folder(folder) as free:
            yield free
        return
    with own_folder(folder):
        check_free(arguments, folder)  # again: another run may have ended there by now
        files_to_replace(folder)  # which may be refused, better now than after an epoch
        yield folder


def finish(run: Run) -> Evaluation | None:
    """Train to the end, and print and save what it came to, which is left to process 0."""
    run.fit(warn)
    if rank() > 0:
        return None
    if run.learner.interrupted and run.replaces:
        say(f"Interrupted before an epoch was saved: the run in {run.folder} is as it was")
        raise KeyboardInterrupt
    evaluation = run.test()
    saved = save(run, evaluation)  # before what is printed, which may fail
    print(report.summary(evaluation, run.classifier.classes))
    say(saved)
    hint_at_pictures()
    if run.learner.interrupted:
        say(f"Interrupted in epoch {run.learner.epoch} of {run.recipe.epochs}: this is the model as it was then. "
            f"To go on: python train.py --resume {run.folder}")
        raise KeyboardInterrupt
    return evaluation


def hint_at_pictures() -> None:
    """Say what a report with pictures takes, where it cannot be drawn."""
    try:
        required("matplotlib.figure", "A report with pictures")
    except ImportError as error:
        say(str(error))


def save(run: Run, evaluation: Evaluation) -> str:
    """Save everything in the folder of the run, or if that cannot be, in a new one for temporary files; says where."""
    folder = run.folder
    try:
        if run.replaces:  # no epoch could be saved so far
            run.save_checkpoint()
        saved = run.save(evaluation)
    except nn.FileError as error:
        folder = Path(tempfile.mkdtemp(prefix="minigrad-run-"))
        saved = run.save(evaluation, folder)
        warn(f"{error}; what was trained is in {folder} instead: keep it elsewhere, that folder is a temporary one")
    return f"Saved {', '.join(saved)} in {folder}"


def find_lr(run: Run) -> None:
    """Try learning rates, print which one to take, and draw how the loss went."""
    path = run.folder / "learning-rates.png"
    if report.can_draw():
        nn.files.check_can_write(path)
    search = nn.find_lr(run.learner, run.train)
    print(f"Suggested learning rate: {search.suggestion:.2g}, where the loss falls fastest of {len(search.lrs)} tried"
          f" from {search.lrs[0]:.2g} to {search.lrs[-1]:.2g}; the recipe has {run.recipe.lr:g}")
    if report.can_draw():
        report.draw_search(search, path)
        say(f"Saved {path}")


# ------------------------------------------------------------------------------------------------ recipes


def chosen_recipe(arguments: argparse.Namespace) -> Recipe:
    """The recipe, or that of a configuration, with the settings that flags override."""
    if arguments.config is not None:
        if arguments.recipe is not None:
            raise ValueError("--config brings a recipe along, so that --recipe would have no effect")
        recipe = configured(arguments.config)
    else:
        name = "default" if arguments.recipe is None else arguments.recipe
        if name not in RECIPES:
            raise ValueError(f"there is no recipe {name!r:.80}, only {', '.join(RECIPES)} and xor")
        recipe = RECIPES[name]
    given = dict(recipe.published_schedule) if arguments.published_schedule else {}
    if arguments.published_schedule and not given:
        raise ValueError(f"the recipe {recipe.name} has no other schedule than its own")
    if arguments.raw_pixels:
        given |= RAW_PIXELS
    flags = [(name, setting) for flag, name in FLAGS.items() if (setting := getattr(arguments, flag)) is not None]
    chosen = [*flags, *map(named, arguments.set)]
    names = [name for name, _ in chosen]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{twice[0]:.80} is set twice: name it in one flag, or in one --set")
    return changed(recipe, given | dict(chosen))


def list_recipes() -> None:
    """Print a table of the recipes and what they reach on the test images."""
    print(f"{'recipe':<22}{'published':<30}{'ours':<17}what it is")
    for recipe in RECIPES.values():
        line = f"{recipe.name:<22}{recipe.published:<30}{recipe.measured:<17}{recipe.summary}"
        print(printable(line, sys.stdout))
    print(f"{'xor':<22}{'predicts 1 for (0, 1)':<30}{'all four right':<17}{xor.SUMMARY}")
