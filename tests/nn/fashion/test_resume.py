"""Runs that are interrupted, killed, or in each other's way."""

import csv
import errno
import json
import os
import random
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nn
from nn.callbacks import AfterEpoch
from nn.fashion.classifier import Classifier
from nn.fashion.dataset import SAMPLE_FOLDER, read_folder
from nn.fashion.folder import InUseError, free_folder, newest, own_folder
from nn.fashion.recipes import RECIPES
from nn.fashion.settings import changed, configured, named
from nn.fashion.train_command import save
from nn.fashion.training import Run

ROOT = Path(__file__).parents[3]
EPOCHS = 4
CHANNELS = {
    "stride_cnn": {"channels": [3, 4, 5]},
    "resnet": {"channels": [3, 4, 5], "blocks": [1, 1, 1], "dropout": 0.1},
}


@pytest.fixture(scope="module")
def data():
    sample = read_folder(SAMPLE_FOLDER)
    train, test = slice(0, 200), slice(0, 50)
    return replace(
        sample, train_images=sample.train_images[train], train_labels=sample.train_labels[train],
        test_images=sample.test_images[test], test_labels=sample.test_labels[test],
    )


def small(name, **changes):
    recipe = RECIPES[name]
    network = dict(recipe.architecture)
    if network["name"] == "mlp":
        network["sizes"] = [784, 12, 8, 10]
    network |= CHANNELS.get(network["name"], {})
    return replace(recipe, **({"architecture": network, "epochs": EPOCHS, "batch_size": 32} | changes))


def outcome(folder):
    with open(folder / "metrics.csv", newline="") as file:
        rows = [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")}
                for row in csv.DictReader(file)]
    result = json.loads((folder / "result.json").read_text())
    for name in ("seconds", "images_per_second"):
        del result[name]
    return (folder / "model.npz").read_bytes(), rows, result


def complain(sentence):
    raise AssertionError(sentence)


def finish(run):
    run.fit(complain)
    run.save(run.test())
    return outcome(run.folder)


EVERYTHING = {"average": 0.9, "flip": "random", "shift": 1, "erase": 3, "mixup": 0.2, "val_size": 40, "workers": 2}
VARIANTS = {
    **{name: (name, {}) for name in RECIPES},
    "everything": ("default", EVERYTHING),
    "best kept": ("default", {"keep": "best", "val_size": 40, "lr": 0.05}),
    "patience": ("default", {"patience": 1, "keep": "best", "val_size": 40, "lr": 0.1, "epochs": 8}),
    "convolutions, everything": ("best-cnn", EVERYTHING | {"flip": "alternating"}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_that_goes_on_after_any_epoch_ends_like_one_in_one_go(variant, data, tmp_path):
    name, changes = VARIANTS[variant]
    recipe = small(name, **changes)

    def keep(learner):
        shutil.copytree(tmp_path / "straight", tmp_path / str(learner.epoch))

    expected = finish(Run(recipe, data, tmp_path / "straight", [AfterEpoch(keep)]))
    for epoch in range(1, len(expected[1]) + 1):
        nn.manual_seed(99)
        assert finish(Run.resumed(tmp_path / str(epoch), data)) == expected, epoch


def test_a_run_interrupted_within_an_epoch_trains_that_again(data, tmp_path):
    class Interrupt(nn.Callback):
        def on_batch_end(self, learner):
            if learner.step == 9:
                learner.stop = learner.interrupted = True

    expected = finish(Run(small("default", val_size=40), data, tmp_path / "straight"))
    run = Run(small("default", val_size=40), data, tmp_path / "run", [Interrupt()])
    assert finish(run)[2]["complete"] is False
    assert Classifier.load(tmp_path / "run" / "model.npz").training["epoch"] == 2
    assert finish(Run.resumed(tmp_path / "run", data)) == expected


def test_a_finished_run_is_trained_further_where_the_schedule_is_constant(data, tmp_path):
    expected = finish(Run(small("article", epochs=5), data, tmp_path / "straight"))
    finish(Run(small("article", epochs=3), data, tmp_path / "run"))
    assert finish(Run.resumed(tmp_path / "run", data, epochs=5)) == expected
    with pytest.raises(ValueError, match="the run has 5 epochs already, which is more than 2"):
        Run.resumed(tmp_path / "run", data, epochs=2)


def test_a_schedule_that_has_ended_leaves_no_room_for_more_epochs(data, tmp_path):
    finish(Run(small("default"), data, tmp_path))
    with pytest.raises(ValueError, match=r"the one-cycle schedule of this run ends with epoch 4, .* --epochs 9"):
        Run.resumed(tmp_path, data, epochs=9)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def poked(change):
    def poke(path):
        state = nn.files.load_state(path)
        change(state)
        nn.files.save_state(state, path)
    return poke


DAMAGES = {
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-1000]), "is damaged"),
    "empty": (lambda path: path.write_bytes(b""), "is damaged"),
    "a model": (lambda path: shutil.copy(path.with_name("model.npz"), path), "is no checkpoint of a training run"),
    "gone": (lambda path: path.unlink(), "holds no checkpoint.npz to go on from"),
    "other data": (poked(lambda s: s["data"].update(fingerprint="0")), "is of other data, namely"),
    "other size": (
        poked(lambda s: s["data"].update(size=[16, 20], fingerprint="0")),
        "is of images of 16 x 20 pixels, not of 28 x 28: leave out --size",
    ),
    "other network": (poked(lambda s: s["recipe"]["architecture"].update(sizes=[784, 10])), "does not fit the run"),
    "other optimizer": (poked(lambda s: s["recipe"].update(optimizer="sgd")), "does not fit the run"),
    "no learner": (poked(lambda s: s.update(learner=5)), "is no checkpoint"),
    "no epoch": (poked(lambda s: s["learner"].update(epoch="soon")), "is no checkpoint"),
    "no times": (poked(lambda s: s["learner"]["history"][0].pop("seconds")), "each row of its history has epoch, "),
    "an array for a row": (poked(lambda s: s["learner"]["history"].append(np.zeros(3))), "is no checkpoint"),
    "no generators": (poked(lambda s: s["learner"].update(generators={})), "does not fit the run"),
    "wrong setting": (poked(lambda s: s["recipe"].update(lr="fast")), "lr is a finite number, got 'fast'"),
    "unknown setting": (poked(lambda s: s["recipe"].update(speed=3)), "a recipe has no setting 'speed'"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_checkpoint_that_cannot_be_gone_on_from_is_one_sentence_and_nothing_changes(damage, data, tmp_path):
    finish(Run(small("default", epochs=1), data, tmp_path))
    change, sentence = DAMAGES[damage]
    change(tmp_path / "checkpoint.npz")
    before = files(tmp_path)
    with pytest.raises(nn.FileError) as caught:
        Run.resumed(tmp_path, data)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files(tmp_path) == before


def test_a_checkpoint_of_another_recipe_is_refused(data, tmp_path):
    finish(Run(small("default", epochs=1), data, tmp_path))
    with pytest.raises(nn.FileError, match="is of the recipe default, not of article"):
        Run.resumed(tmp_path, data, name="article")


def test_a_full_disk_costs_warnings_and_not_the_run(data, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    run, warnings = Run(small("default"), data, tmp_path / "run"), []
    run.learner.callbacks.append(AfterEpoch(lambda learner: monkeypatch.setattr(nn.files.os, "fsync", full)))
    run.fit(warnings.append)
    assert len(run.learner.history) == EPOCHS
    assert [text.split(" could not")[0] for text in warnings] == ["epoch 2", "epoch 3", "epoch 4"]
    assert "No space left on device" in warnings[0]
    monkeypatch.undo()
    assert not [name for name in files(tmp_path / "run") if name.endswith(".tmp")]
    straight = finish(Run(small("default"), data, tmp_path / "straight"))
    assert finish(Run.resumed(tmp_path / "run", data)) == straight, "from the first epoch, which was saved"


def test_a_full_disk_leaves_the_run_that_was_to_be_replaced(data, tmp_path, monkeypatch):
    finish(Run(small("default", epochs=1), data, tmp_path / "run"))
    before, warnings = files(tmp_path / "run"), []
    run = Run(small("article", epochs=1), data, tmp_path / "run")
    run.replaces = True
    with monkeypatch.context() as full:
        full.setattr(nn.files.os, "fsync", lambda _: os.open("", 0))
        run.fit(warnings.append)
    assert (len(warnings), files(tmp_path / "run")) == (1, before)
    assert save(run, run.test()).endswith(f" in {tmp_path / 'run'}"), "there is room again"
    assert configured(tmp_path / "run" / "config.json").name == "article"


def test_a_folder_that_was_removed_is_made_again(data, tmp_path):
    run = Run(small("default"), data, tmp_path / "run")
    run.learner.callbacks.append(AfterEpoch(lambda learner: shutil.rmtree(run.folder)))
    run.fit(complain)
    assert "model.npz" in run.save(run.test())


# ---------------------------------------------------------------- folders


def test_a_folder_belongs_to_one_run_at_a_time(tmp_path):
    run, refused = tmp_path / "run", pytest.raises(InUseError, match="another run is at work in")
    with own_folder(run), refused, own_folder(run):
        pass
    with own_folder(tmp_path / "run"):
        pass
    assert list((tmp_path / "run").iterdir()) == []


def test_the_next_run_goes_to_the_next_free_folder(tmp_path):
    base = tmp_path / "default"
    with free_folder(base) as first, free_folder(base) as second:
        assert (first, second) == (base, tmp_path / "default-2")
        (first / "model.npz").touch()
    with free_folder(base) as third:
        assert third == tmp_path / "default-2", "it was left empty"
        (third / "checkpoint.npz").touch()
    assert newest(base) == tmp_path / "default-2"


@pytest.mark.parametrize("left", [["default-3"], ["default", "default-3"], ["default-12", "default-x", "my-default"]])
def test_the_newest_run_is_found_where_others_were_removed(tmp_path, left):
    for age, name in enumerate(reversed(left)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "checkpoint.npz").touch()
        os.utime(tmp_path / name / "checkpoint.npz", (1000 - age, 1000 - age))
    latest = next(name for name in reversed(left) if name.removeprefix("default").lstrip("-").isdecimal())
    os.utime(tmp_path / latest / "checkpoint.npz", (2000, 2000))
    assert newest(tmp_path / "default") == tmp_path / latest
    assert newest(tmp_path / "article") == tmp_path / "article"
    assert newest(tmp_path / "nowhere" / "default") == tmp_path / "nowhere" / "default"


def test_more_epochs_than_patience_allowed_are_refused_in_a_sentence(data, tmp_path):
    run = Run(small("article", patience=1, val_size=40, lr=3.0, epochs=20), data, tmp_path)
    finish(run)
    assert run.learner.epoch < 20
    ended = f"the run ended with epoch {run.learner.epoch}, when its patience of 1 was over"
    with pytest.raises(ValueError, match=ended):
        Run.resumed(tmp_path, data, epochs=40)
    assert Run.resumed(tmp_path, data).is_over


def test_what_a_killed_process_left_is_removed_and_what_is_being_written_is_not(tmp_path):
    (tmp_path / ".minigrad-0123456789abcdef.tmp").write_bytes(b"half a mod")
    with nn.files.atomic_write(tmp_path / "model.npz", "wb") as file, own_folder(tmp_path):
        assert len(list(tmp_path.glob(".minigrad-*.tmp"))) == 1
        file.write(b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    (tmp_path / "config.json").touch()
    (tmp_path / "config.json").chmod(0o640)
    with nn.files.atomic_write(tmp_path / "config.json") as file:
        file.write("{}")
    assert (tmp_path / "config.json").stat().st_mode & 0o777 == 0o640


# ---------------------------------------------------------------- settings


def test_settings_come_from_text_and_are_checked():
    recipe = changed(RECIPES["default"], dict(map(named, ["erase=4", "flip=none", "val_size=none", "initial_std=he",
                                                          "architecture.sizes=[784, 10]", "average=0"])))
    expected = (4, "none", None, "he", [784, 10], 0)
    assert (recipe.erase, recipe.flip, recipe.val_size, recipe.initial_std, recipe.architecture["sizes"],
            recipe.average) == expected


@pytest.mark.parametrize(("text", "sentence"), [
    ("erase", "--set takes NAME=VALUE, got 'erase'"),
    ("speed=3", "the recipe default has no setting 'speed', only epochs, batch_size"),
    ("name=x", "the recipe default has no setting 'name'"),
    ("erase=much", "erase is an integer, got 'much'"),
    ("erase=1.5", "erase is an integer, got 1.5"),
    pytest.param("erase=" + "[" * 100_000, "erase is an integer, got", id="deep"),
    ("erase=true", "erase is an integer, got True"),
    ("mixup=NaN", "mixup is a finite number, got nan"),
    ("flip=up", "flip is one of none, random, alternating, got 'up'"),
    ("patience=[]", "patience is an integer or none, got []"),
    ("architecture.channels=[1]", "the recipe default has no setting 'architecture.channels'"),
])
def test_a_setting_that_cannot_be_is_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        changed(RECIPES["default"], dict([named(text)]))


@pytest.mark.parametrize("name", RECIPES)
def test_the_configuration_of_a_run_gives_its_recipe_back(name, data, tmp_path):
    run = Run(small(name, epochs=1), data, tmp_path)
    run.fit(complain)
    assert configured(tmp_path / "config.json") == run.recipe


@pytest.mark.parametrize("text", ["{}", '{"name": "x"}', '{"speed": 3}', "[]", '{"lr": NaN}'])
def test_a_file_that_is_no_configuration_is_one_sentence(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(nn.FileError, match=r"config\.json(: | is no config\.json of a run: | has no JSON object)"):
        configured(tmp_path / "config.json")


def test_the_best_epoch_takes_validation_images(data, tmp_path):
    for changes in ({"keep": "best"}, {"patience": 3}):
        with pytest.raises(ValueError, match="takes validation images, and val_size is 0"):
            Run(small("article", **changes), data, tmp_path)


def test_the_model_file_says_how_it_was_trained(data, tmp_path):
    run = Run(small("default", keep="best", val_size=40, seed=3, lr=0.05), data, tmp_path)
    finish(run)
    accuracies = [row["valid_accuracy"] for row in run.learner.history]
    best = int(np.argmax(accuracies))
    training = Classifier.load(tmp_path / "model.npz").training
    assert training == {"recipe": "default", "epoch": best + 1, "seed": 3, "validation_accuracy": accuracies[best]}
    assert json.loads((tmp_path / "result.json").read_text())["best_epoch"] == best + 1


# ---------------------------------------------------------------- kills


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no SIGKILL")
def test_runs_that_are_killed_at_random_moments_end_like_those_that_are_not():
    command = [sys.executable, "-m", "benchmarks.kills", "--kills", "3", "--only", "fast-cnn"]
    done = subprocess.run([*command, "--seed", str(random.randrange(1000))], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3 kills survived, of runs of fast-cnn")
