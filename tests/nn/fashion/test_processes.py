"""`mpiexec -n 2 python train.py`.

As a program, which mpiexec begins, this file runs the command, in which something happens to one process at some step.
"""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nn
from nn.fashion import train_command, training
from nn.fashion.dataset import FILES, SAMPLE_FOLDER, read_folder
from nn.fashion.idx import DataError, pack
from nn.fashion.recipes import RECIPES
from nn.processes import OWN, rank
from tests.nn.test_distributed import mpiexec, needs_mpi

ROOT = Path(__file__).parents[3]
EPOCHS, BATCH, IMAGES = 3, 62, 310  # in five batches
SETTINGS = [
    "--epochs", EPOCHS, "--batch-size", BATCH, "--val-size", 0, "--workers", 2, "--set", "flip=alternating",
    "--set", "shift=1", "--set", "average=0.9", "--set", "architecture.sizes=[784, 16, 10]", "--set",
    "architecture.batch_norm=true", "--quiet",
]

pytestmark = needs_mpi


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A few images of the real data, as raw IDX files."""
    folder = tmp_path_factory.mktemp("data")
    for part, file in FILES.items():
        array = getattr(read_folder(SAMPLE_FOLDER), part)[: IMAGES if part.startswith("train") else 100]
        (folder / file.name).write_bytes(pack(array.astype(np.uint8)))
    return folder


def train(processes, *arguments, happens="nothing"):
    """The command in several processes."""
    return mpiexec(processes, __file__, happens, *arguments, FASHION_MNIST_DIR="")


def outcome(folder):
    """The model that a run left, and its history without times."""
    with open(folder / "metrics.csv", newline="") as file:
        rows = [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")}
                for row in csv.DictReader(file)]
    return (folder / "model.npz").read_bytes(), rows


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The folder of a run in two processes that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    result = train(2, "--data", data, "--out", folder, *SETTINGS)
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("Test loss") == 1
    assert result.stdout.count("Saved model.npz") == 1
    return folder


@pytest.fixture(scope="module")
def interrupted(data, tmp_path_factory):
    """The folder of one whose second process was asked to end in the second epoch."""
    folder = tmp_path_factory.mktemp("interrupted") / "run"
    result = train(2, "--data", data, "--out", folder, *SETTINGS, happens="SIGTERM at 7")
    assert result.returncode == 130, result.stdout
    assert result.stdout.count("Interrupted in epoch 2 of 3") == 1, result.stdout
    assert len(outcome(folder)[1]) == 2
    return folder


def test_process_0_alone_speaks_and_writes(whole):
    names = {"checkpoint.npz", "config.json", "metrics.csv", "model.npz", "result.json"}
    assert {path.name for path in whole.iterdir()} - {"report.png"} == names
    assert json.loads((whole / "result.json").read_text())["processes"] == 2
    assert all("train_accuracy" in row for row in outcome(whole)[1])


def test_a_run_that_a_signal_to_one_process_ended_goes_on_bit_for_bit(whole, interrupted, data, tmp_path):
    folder = shutil.copytree(interrupted, tmp_path / "run")
    result = train(2, "--resume", folder, "--data", data, "--quiet")
    assert result.returncode == 0, result.stdout
    assert "goes on" not in result.stdout
    assert outcome(folder) == outcome(whole)


def test_a_run_that_goes_on_in_another_number_of_processes_says_what_changes(interrupted, data, tmp_path):
    folder = shutil.copytree(interrupted, tmp_path / "run")
    command = [sys.executable, ROOT / "train.py", "--resume", folder, "--data", data, "--quiet"]
    result = subprocess.run([*map(str, command)], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("this run began in 2 processes, and goes on in 1: other parts of the batches") == 1
    assert "the last bits" not in result.stderr
    assert len(outcome(folder)[1]) == EPOCHS


FAULTS = {
    "a flag that does not exist": (["--nonsense"], "nothing", 2, "error: unrecognized arguments: --nonsense"),
    "an error of all": (["--recipe", "nonsense"], "nothing", 1, "train.py: there is no recipe 'nonsense'"),
    "data that one process reads for all": (["--data", "nonsense"], "nothing", 1, "nonsense is not a folder"),
    "an exit of one": (SETTINGS, "exit at 2", 3, ""),
    "an error of one": (SETTINGS, "ValueError at 2", 1, "train.py: it happened (in process 1 of 2)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_ends_one_process_ends_all_and_is_said_once(fault, data, tmp_path):
    arguments, happens, status, sentence = FAULTS[fault]
    given = [] if "--data" in arguments else ["--data", data]
    result = train(2, *given, "--out", tmp_path / "run", *arguments, happens=happens)
    assert result.returncode == status, result.stdout
    assert sentence in result.stdout
    assert result.stdout.count(sentence) == 1 or not sentence


def test_machines_with_unlike_data_are_refused(monkeypatch):
    monkeypatch.setattr(train_command, "gathered", lambda own, place: [own, own, ("0", "two images from elsewhere")])
    with pytest.raises(DataError, match="process 2 has other data than process 0: two images from elsewhere; not 6,00"):
        train_command.check_same_data(read_folder(SAMPLE_FOLDER))


def test_batches_too_small_for_so_many_processes_and_workers_are_refused(monkeypatch):
    monkeypatch.setattr(training, "size", lambda: 4)
    recipe = replace(RECIPES["default"], batch_size=16)
    training.check_workers(replace(recipe, workers=2))
    with pytest.raises(ValueError, match="3 in each of 4 processes are too many for 16"):
        training.check_workers(replace(recipe, workers=3))
    with pytest.raises(ValueError, match="processes take two images of a batch each, at least: 4 are too many for 7"):
        training.check_workers(replace(recipe, batch_size=7))


def test_what_takes_one_process_is_done_by_one(whole, data, tmp_path):
    for arguments, line in [
        (["--evaluate", whole, "--data", data, "--quiet"], "Test loss"),
        ([*SETTINGS, "--data", data, "--dry-run", "--out", tmp_path / "run"], "Dry run: the loss of the first batch"),
    ]:
        result = train(2, *arguments)
        assert result.returncode == 0, result.stdout
        assert result.stdout.count(line) == 1
    assert not (tmp_path / "run").exists()


def test_without_mpi4py_mpiexec_is_refused_in_one_sentence(tmp_path):
    environment = {**os.environ, "OMPI_COMM_WORLD_SIZE": "2", "PYTHONPATH": str(ROOT)}
    program = "import sys; sys.modules['mpi4py'] = None; import train; sys.exit(train.main())"
    for number, said in ("0", "train.py: training in several processes"), ("1", ""):
        result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
                                env=environment | {"OMPI_COMM_WORLD_RANK": number})
        assert result.returncode == 1
        assert result.stderr.startswith(said)
        assert "Traceback" not in result.stderr
        assert len(result.stderr.splitlines()) == len(said.splitlines())


def test_a_run_that_a_process_of_a_job_begins_by_itself_speaks(tmp_path):
    environment = {**os.environ, "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", OWN: str(os.getpid())}
    for flag, status in ("--list-recipes", 0), ("--nonsense", 2):
        result = subprocess.run([sys.executable, ROOT / "train.py", flag], cwd=tmp_path, capture_output=True, text=True,
                                env=environment)
        assert result.returncode == status
        assert "best-cnn" in result.stdout if status == 0 else "arguments: --nonsense" in result.stderr


class Happening(nn.Callback):
    """What comes over process 1 after a step."""

    def __init__(self, what, step):
        self.what, self.step = what, step

    def on_batch_end(self, learner):
        if learner.step != self.step or rank() != 1:
            return
        if self.what == "exit":
            sys.exit(3)
        if self.what == "ValueError":
            raise ValueError("it happened")
        os.kill(os.getpid(), getattr(signal, self.what))


if __name__ == "__main__":
    import train as command

    _, happens, *arguments = sys.argv
    what, _, step = happens.partition(" at ")
    train_command.shown = lambda arguments: [Happening(what, int(step))] if step else []
    sys.argv = ["train.py", *arguments]
    sys.exit(command.main())
