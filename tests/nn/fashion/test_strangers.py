"""A model file from a stranger loads, or is refused in one sentence, at a cost that its own size bounds."""

import gzip
import json
import struct
import time
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

import nn
from nn.fashion import idx
from nn.fashion.classifier import Classifier
from nn.fashion.models import build

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
