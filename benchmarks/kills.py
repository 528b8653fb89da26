"""Kill training runs at random moments, go on with each, and see that they end as if nothing had happened.

    python -m benchmarks.kills --kills 200

Runs of several recipes, on 600 images, are killed (SIGKILL) after a random time and resumed, again and again until they
reach their end. Then the model must be that of a run in one go, bit for bit, and so must metrics and results, times
aside; no temporary file may be left, and no more than the current epoch may ever be lost.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import train
from nn.console import positive
from nn.fashion import train_command  # noqa: F401 (so that no process needs to)
from nn.fashion.dataset import FILES, SAMPLE_FOLDER, read_folder
from nn.fashion.idx import pack

SMALL = "architecture.channels=[4,8,8]"
RUNS: dict[str, list[str]] = {
    "default": ["--epochs", "30", "--val-size", "100", "--set", "average=0.9"],
    "article": ["--epochs", "25", "--batch-size", "20"],
    "article-as-published": ["--epochs", "25", "--optimizer", "adam"],
    "sigmoid": ["--epochs", "25", "--batch-size", "60", "--val-size", "60", "--keep", "best", "--patience", "60"],
    "best-mlp": ["--epochs", "25", "--batch-size", "60", "--set", "architecture.sizes=[784,40,40,10]",
                 "--set", "erase=4", "--set", "mixup=0.2"],
    "fast-cnn": ["--epochs", "15", "--set", SMALL, "--set", "flip=random"],
    "best-cnn": ["--epochs", "10", "--set", SMALL, "--set", "architecture.dropout=0.2"],
}


def small_data(folder: Path) -> None:
    """600 training and 100 test images of the real data, as raw IDX files."""
    sample = read_folder(SAMPLE_FOLDER)
    folder.mkdir()
    for part, file in FILES.items():
        array = getattr(sample, part)[: 600 if part.startswith("train") else 100]
        (folder / file.name).write_bytes(pack(array.astype(np.uint8)))


def command(work: Path, flags: list[str]) -> None:
    """The command, in a process of its own, which is a copy of this one: so it need not import everything first."""
    sys.argv = ["train.py", *flags, "--data", str(work / "data"), "--quiet"]
    os.chdir(work)
    with open("errors", "w") as errors, open(os.devnull, "w") as nowhere:
        sys.stdout, sys.stderr = nowhere, errors
        sys.exit(train.main())


def ended(work: Path, flags: list[str], after: float | None = None) -> int:
    """Run the command, to its end or until it is killed after some seconds; returns its exit status."""
    process = get_context("fork").Process(target=command, args=(work, flags))
    process.start()
    process.join(after)
    process.kill()
    process.join()
    errors = (work / "errors").read_text() if (work / "errors").exists() else ""
    status = process.exitcode
    if status not in (0, -9) or "Traceback" in errors:
        raise AssertionError(f"train.py {' '.join(flags)} ended with status {status}: {errors}")
    return status


def kept_epochs(folder: Path) -> int:
    """How many epochs the metrics in a folder are of."""
    if not (folder / "metrics.csv").exists():
        return 0
    return sum(1 for _ in csv.reader(open(folder / "metrics.csv", encoding="utf-8"))) - 1


def outcome(folder: Path) -> tuple[bytes, list[dict[str, str]], Any]:
    """What a run came to, without times: model, metrics, and results on the test images."""
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = [{name: text for name, text in row.items() if name not in ("seconds", "images_per_second")}
                for row in csv.DictReader(file)]
    result = json.loads((folder / "result.json").read_text())
    return (folder / "model.npz").read_bytes(), rows, [result[name] for name in ("test", "epochs", "best_epoch")]


def killed(work: Path, folder: Path, flags: list[str], after: float | None = None) -> bool:
    """Begin or go on, and kill that after some seconds; whether it was still running."""
    has_begun = (folder / "checkpoint.npz").exists()
    begin = [*flags, "--out", str(folder), "--overwrite"]
    before = kept_epochs(folder) if has_begun else 0
    status = ended(work, ["--resume", str(folder)] if has_begun else begin, after)
    if kept_epochs(folder) < before:
        raise AssertionError(f"{before} epochs were kept, and {kept_epochs(folder)} are")
    return status == -9


def survive(work: Path, recipe: str, kills: int, rng: random.Random) -> int:
    """Kill runs of a recipe so many times, or one more run's worth; returns how many kills that were.

    Raises AssertionError as soon as a run does not end like one that was never killed.
    """
    flags, straight = ["--recipe", recipe, *RUNS[recipe]], work / f"{recipe}-straight"
    start = time.perf_counter()
    ended(work, [*flags, "--out", str(straight)])
    duration, expected, done = time.perf_counter() - start, outcome(straight), 0
    while done < kills:
        folder = work / f"{recipe}-{done}"
        while done < kills and killed(work, folder, flags, rng.uniform(0, 0.7) * duration):
            done += 1
        killed(work, folder, flags)
        if outcome(folder) != expected:
            raise AssertionError(f"{folder} differs from {straight}")
        if left := [path.name for path in folder.iterdir() if path.name.startswith(".")]:
            raise AssertionError(f"{folder} has {left} left in it")
    return done


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=positive(int), default=200, help="how many, over all recipes")
    parser.add_argument("--only", choices=RUNS, action="append", help="a recipe; may be given several times")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    rng, total = random.Random(arguments.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        small_data(work / "data")
        recipes = arguments.only or list(RUNS)
        for number, recipe in enumerate(recipes, 1):
            total += survive(work, recipe, arguments.kills * number // len(recipes) - total, rng)
            print(f"{total} kills survived, of runs of {', '.join(recipes[:number])}", flush=True)


if __name__ == "__main__":
    main()
