"""A model file from a stranger loads, or is refused in one sentence, at a cost that its own size bounds."""

import contextlib
import copy
import functools
import gzip
import json
import math
import operator
import os
import random
import struct
import time
import tracemalloc
import warnings
import zipfile
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import nn
from nn.fashion import DataError, idx, load
from nn.fashion.card import settings_of_run
from nn.fashion.class_names import checked_names, read_names
from nn.fashion.classifier import Classifier, names_of_classes
from nn.fashion.dataset import Dataset
from nn.fashion.models import build
from nn.fashion.recipes import RECIPES
from nn.fashion.report_page import Trained, read_history
from nn.fashion.settings import changed, configured
from nn.fashion.training import Run
from nn.learner import NonFiniteLoss

MLP = {"name": "mlp", "sizes": [784, 12, 10]}
RESNET = {"name": "resnet", "channels": [2, 3], "blocks": [1, 1]}
SMALL = {"name": "stride_cnn", "channels": [2, 3]}
STRANGE = [None, True, -1, 0, 0.5, 1e300, 10**9, 10**300, "", "784", "x" * 10**6, [], [10**9], [-1], [True], [0.5],
           ["1"], [[1]], {}, {"a": 1}, [1] * 2000]


def written(path, architecture, /, **changes):
    """A model file with the weights of one architecture and whatever metadata."""
    metadata = {"architecture": architecture, "mean": 0.3, "std": 0.4, "classes": list("abcdefghij"), **changes}
    nn.save(build(architecture).state_dict(), path, metadata)
    return path


def loads_or_is_refused(path, error=nn.FileError, load=Classifier.load):
    """Whether it loads; fails the test if it is anything but that or a short sentence."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            load(path)
            return True
        except error as refused:
            sentence = str(refused)
    assert len(sentence) < 500
    assert sentence.isprintable()
    return False


@pytest.mark.parametrize("strange", STRANGE, ids=lambda value: f"{value!r:.12}")
@pytest.mark.parametrize("architecture", [MLP, RESNET, SMALL], ids=lambda value: value["name"])
def test_a_strange_number_anywhere_in_an_architecture_costs_nothing(tmp_path, architecture, strange):
    for argument in [*architecture, "dropout", "kernel_size", "activation", "batch_norm"]:
        claimed = {"architecture": architecture | {argument: strange}}
        path = written(tmp_path / "model.npz", architecture, **claimed)
        tracemalloc.start()
        started = time.process_time()
        loads_or_is_refused(path)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 60e6
        assert time.process_time() - started < 5


@pytest.mark.parametrize("blocks", [[10**9, 1], [1, 500], [2, 1]])
def test_an_architecture_of_more_than_the_file_holds_is_refused_before_it_is_built(tmp_path, blocks):
    path = written(tmp_path / "model.npz", RESNET, architecture=RESNET | {"blocks": blocks})
    with pytest.raises(nn.FileError, match=r"that the file lacks|blocks is not"):
        Classifier.load(path)


@pytest.mark.parametrize("architecture", [MLP, RESNET, SMALL], ids=lambda value: value["name"])
def test_what_a_file_does_hold_loads(tmp_path, architecture):
    assert loads_or_is_refused(written(tmp_path / "model.npz", architecture))


def test_names_of_classes_cannot_steer_a_terminal(tmp_path):
    names = ["\x1b[2J" + name + "\r\u202e" for name in "abcdefghij"]
    loaded = Classifier.load(written(tmp_path / "model.npz", MLP, classes=names))
    assert all(name.isprintable() for name in loaded.classes)


@given(st.lists(st.text("aé \t\x07\u00a0", min_size=3, max_size=8), min_size=2, max_size=9))
@example(["a b", "a  b"])
def test_names_of_classes_are_loaded_as_they_were_read_with_the_data(names):
    with contextlib.suppress(DataError):
        classes = checked_names(names, "pets")
        assert names_of_classes(list(classes)) == classes


@pytest.mark.parametrize("classes", ["abcdefghij", dict.fromkeys("abcdefghij"), [1] * 10, ["x"] * 10, ["x" * 200] * 10])
def test_classes_are_a_list_of_different_short_names(tmp_path, classes):
    assert not loads_or_is_refused(written(tmp_path / "model.npz", MLP, classes=classes))


@pytest.mark.parametrize("metadata", [
    "[" * 10**5, '{"a":' * 10**5, "{" + '"a": [' * 200 + "]" * 200 + "}", "[]", "7", '{"a": 1e999}', '{"a": NaN}',
    '{"a": ' + "9" * 5000 + "}", '{"' + "k" * 10**6 + '": NaN}', '{"a": "' + "x" * 2**23 + '"}', "",
], ids=lambda text: f"{text:.12}")
def test_strange_metadata_are_refused(tmp_path, metadata):
    np.savez(tmp_path / "model.npz", **{nn.files.METADATA: np.frombuffer(metadata.encode() or b" ", np.uint8)})
    assert not loads_or_is_refused(tmp_path / "model.npz")
    assert not loads_or_is_refused(tmp_path / "model.npz", load=nn.load)


def test_too_many_arrays_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.npz", "w") as archive:
        for i in range(nn.files.MAX_ARRAYS + 1):
            archive.writestr(f"{i}.npy", b"")
    with pytest.raises(nn.FileError, match=r"has 10,001 arrays, and a model file at most 10,000"):
        nn.load(tmp_path / "model.npz")
    with pytest.raises(nn.FileError, match=r"has 10,001 arrays"):
        nn.save({str(i): 0 for i in range(nn.files.MAX_ARRAYS + 1)}, tmp_path / "other.npz")


def test_a_header_of_safetensors_that_is_too_long_is_refused(tmp_path):
    pytest.importorskip("safetensors")
    for length in (2**26, 2**63, 2**64 - 1):
        (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", length) + b"{}")
        assert not loads_or_is_refused(tmp_path / "model.safetensors", load=nn.load)


@pytest.mark.parametrize("architecture", [MLP, SMALL], ids=lambda value: value["name"])
def test_mutated_model_files_load_or_are_refused(tmp_path, architecture):
    rng = np.random.default_rng(0)
    path = written(tmp_path / "model.npz", architecture)
    original = path.read_bytes()
    for _ in range(60):
        changed = bytearray(original[: rng.integers(len(original)) if rng.random() < 0.2 else None])
        for at in rng.integers(0, max(1, len(changed)), rng.integers(1, 8)):
            changed[at : at + 1] = bytes([rng.integers(256)])
        path.write_bytes(changed)
        loads_or_is_refused(path)


# ------------------------------------------------------------------------------------------------ checkpoints


@pytest.fixture(scope="module")
def little():
    """A few images of the bundled data."""
    data = load(load.__globals__["SAMPLE_FOLDER"])
    train, test = slice(96), slice(20)
    return Dataset(data.train_images[train], data.train_labels[train], data.test_images[test], data.test_labels[test],
                   "a few")


class OneStep(nn.Callback):
    def on_batch_end(self, learner):
        learner.stop = True


def checkpoint_of(recipe, data, folder, **settings):
    """What the checkpoint holds of a run that was ended amid its second epoch."""
    run = Run(changed(RECIPES[recipe], {"batch_size": 16, "epochs": 3} | settings), data, folder)
    run.learner.fit(run.train, run.valid, 1)
    run.save_checkpoint()
    return nn.files.load_state(folder / "checkpoint.npz")


def resumed_and_stepped(folder, data):
    run = Run.resumed(folder, data, [OneStep()])
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        run.fit(lambda sentence: None)
        run.result(run.test())


def places(node, path=()):
    """Where everything is in nested dicts and lists; of long lists the first entries."""
    inside = node.items() if isinstance(node, dict) else enumerate(node[:6]) if isinstance(node, list) else ()
    return [path, *(place for key, item in inside for place in places(item, (*path, key)))]


OF_A_RUN = {
    "default": {"keep": "best", "patience": 3, "val_size": 24, "average": 0.9},
    "best-cnn": {"architecture.channels": [2, 3], "architecture.blocks": [1, 1], "shift": 1, "mixup": 0.2},
}
ARRAYS = [np.zeros(0), np.zeros((2, 3)), np.full(3, np.nan, np.float32), np.zeros((100, 100), np.int64)]


@pytest.mark.parametrize("recipe", OF_A_RUN)
def test_mutated_checkpoints_go_on_or_are_refused(little, tmp_path, recipe):
    rng = random.Random(0)
    original = checkpoint_of(recipe, little, tmp_path, **OF_A_RUN[recipe])
    outcomes = []
    tracemalloc.start()
    for _ in range(30):
        state = copy.deepcopy(original)
        top = rng.choice([*state])
        *way, last = rng.choice([place for place in places(state) if place[:1] == (top,)])
        holder = functools.reduce(operator.getitem, way, state)
        if rng.random() < 0.2:
            del holder[last]
        else:
            holder[last] = rng.choice([*STRANGE, -math.inf, *ARRAYS])
        try:
            nn.files.save_state(state, tmp_path / "checkpoint.npz")
        except nn.FileError:  # an integer that no file may hold
            continue
        load_it = functools.partial(resumed_and_stepped, data=little)
        outcomes.append(loads_or_is_refused(tmp_path, (nn.FileError, ValueError, NonFiniteLoss), load_it))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100e6
    assert {*outcomes} == {True, False}


@pytest.mark.parametrize("claimed", [
    {"name": "mlp", "sizes": [784, 10**13, 10]}, {"name": "mlp", "sizes": [784, 10**6, 10]}, {"name": "keras_cnn"},
    {"name": "resnet", "channels": [2, 3], "blocks": [10**9, 1]}, {"name": "resnet", "channels": [2, 3]},
])
def test_a_checkpoint_builds_no_network_that_it_does_not_hold(little, tmp_path, claimed):
    state = checkpoint_of("fast-cnn", little, tmp_path, **{"architecture.channels": [2, 3]})
    state["recipe"]["architecture"] = claimed
    nn.files.save_state(state, tmp_path / "checkpoint.npz")
    tracemalloc.start()
    with pytest.raises(nn.FileError, match=r"does not fit the run that its recipe describes: .*"):
        Run.resumed(tmp_path, little)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10e6


@pytest.mark.parametrize("name", ["../../elsewhere", "/tmp/x", "..", "", "\x1b[2J", "a\nb", "x" * 200])
def test_the_name_of_a_recipe_leads_to_no_other_folder(tmp_path, name):
    (tmp_path / "config.json").write_text(json.dumps(asdict(RECIPES["default"]) | {"name": name}))
    with pytest.raises(nn.FileError, match="its name is"):
        configured(tmp_path / "config.json")


# ------------------------------------------------------------------------------------------------ data


def test_a_packed_data_file_takes_no_more_than_it_holds(tmp_path):
    size = 2**28 // 784
    path = tmp_path / "images.gz"
    with gzip.open(path, "wb") as file:
        file.write(struct.pack(">HBB3I", 0, 8, 3, size, 28, 28) + bytes(784 * size))
    tracemalloc.start()
    with pytest.raises(idx.DataError, match="announces"):
        idx.read(path, (28, 28))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5e6


def test_errors_quote_little_of_what_a_stranger_wrote():
    assert len(json.dumps(str(nn.FileError("x" * 10**7)))) < 500
    assert str(idx.DataError("\x1b[31m\n")) == "[31m"


# ------------------------------------------------------------------------------------------------ what lies beside


@pytest.mark.parametrize(("name", "content"), [
    ("config.json", '{"a":' * 900 + "1" + "}" * 900),
    ("config.json", "[" * 10**5), ("config.json", "[1, 2]"), ("result.json", "\x1b[2J"), ("result.json", b"\xff\xfe"),
    ("metrics.csv", "train_loss,lr\n1,2\n"), ("metrics.csv", "epoch,seconds\n1,x\n"), ("metrics.csv", "epoch\n1,2,3\n"),
    ("metrics.csv", b"epoch,seconds\n\xff,2\n"), ("metrics.csv", "epoch,seconds\n" + "9" * 200_000 + ",2\n"),
], ids=lambda value: f"{value!r:.30}")
def test_damaged_files_of_a_run_are_one_sentence_in_a_report_and_left_out_of_a_card(tmp_path, name, content):
    written(tmp_path / "model.npz", MLP)
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert not loads_or_is_refused(tmp_path, load=Trained.read)
    assert settings_of_run(tmp_path) == {}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("reader", [lambda path: idx.read(path, ()), read_names, configured, read_history])
def test_nobody_waits_for_what_a_pipe_may_never_give(tmp_path, reader):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises((nn.FileError, idx.DataError), match="it is not a file"):
        reader(tmp_path / "pipe")
    assert settings_of_run(tmp_path) == {}
    os.mkfifo(tmp_path / "config.json")
    assert settings_of_run(tmp_path) == {}
