"""Model files come back as they were saved, and a bad file is one sentence, never anything else."""

import csv
import errno
import io
import json
import math
import os
import pickle
import stat
import struct
import sys
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigrad import Tensor
from nn import files
from nn.files import FileError, atomic_write, load, save

DTYPES = [np.dtype(order + kind) for order in "<>" for kind in ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"]]
DTYPES += [np.dtype(order + kind) for order in "<>" for kind in ["f2", "f4", "f8"]]
LAYOUTS: list[Callable[[np.ndarray], np.ndarray]] = [
    np.ascontiguousarray,
    np.asfortranarray,
    lambda array: array.T,
    lambda array: array[..., ::-1] if array.ndim else array,
    lambda array: np.broadcast_to(array, (2, *array.shape)),
]
AWKWARD = ["file", "args", "kwds", "allow_pickle", "..", "../up", "/root", "0.weight", "a/b", "a", "a.npy", "arr_0", ""]
NAMES = st.sampled_from(AWKWARD) | st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="\\"), max_size=20
).filter(lambda name: name != files.METADATA)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
METADATA = st.dictionaries(st.text(), JSON, max_size=4)


@st.composite
def any_array(draw: st.DrawFn) -> np.ndarray:
    shape = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    array: np.ndarray = draw(hnp.arrays(draw(st.sampled_from(DTYPES)), shape))
    layout: Callable[[np.ndarray], np.ndarray] = draw(st.sampled_from(LAYOUTS))
    return layout(array)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module", params=[".npz", ".safetensors"])
def path(request: pytest.FixtureRequest, folder: Path) -> Path:
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return folder / f"model{request.param}"


def example() -> dict[str, np.ndarray]:
    return {"0.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "0.bias": np.zeros(2), "steps": np.array(7)}


def loads_or_refuses(path: Path) -> bool:
    """Whether the file loads; anything but arrays of numbers or a `FileError` fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            arrays, metadata = load(path)
        except FileError as error:
            if str(path) not in str(error) or "\n" in str(error):
                pytest.fail(f"not one sentence that names the file: {error}")
            return False
    assert all(isinstance(array, np.ndarray) and array.dtype.kind in "biuf" for array in arrays.values())
    assert isinstance(metadata, dict)
    return True


def refusal(path: Path) -> str:
    with pytest.raises(FileError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


# What is saved comes back


@given(state=st.dictionaries(NAMES, any_array(), max_size=4), metadata=METADATA)
def test_arrays_and_metadata_come_back_exactly_and_in_order(
    path: Path, state: dict[str, np.ndarray], metadata: dict[str, Any]
) -> None:
    save(state, path, metadata)
    arrays, loaded = load(path)
    assert list(arrays) == list(state)
    for name, array in state.items():
        assert arrays[name].dtype == array.dtype.newbyteorder("=")
        assert arrays[name].shape == array.shape
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].flags.c_contiguous
        assert arrays[name].flags.writeable
    assert json.dumps(loaded) == json.dumps(metadata)


def test_a_name_and_the_same_name_with_npy_are_two_arrays(path: Path) -> None:
    save({"a": 1, "a.npy": 2, "a.npy.npy": 3, "": 4, ".npy": 5}, path)
    arrays, _ = load(path)
    assert {name: array.item() for name, array in arrays.items()} == {
        "a": 1, "a.npy": 2, "a.npy.npy": 3, "": 4, ".npy": 5
    }


def test_no_metadata_comes_back_as_an_empty_dict(path: Path) -> None:
    save(example(), path)
    assert load(path)[1] == {}


def test_tuples_in_metadata_come_back_as_lists(path: Path) -> None:
    save({}, path, {"shape": (28, 28)})
    assert load(path) == ({}, {"shape": [28, 28]})


def test_equal_states_make_equal_files(path: Path) -> None:
    save(example(), path, {"version": 1})
    first = path.read_bytes()
    save(example(), path, {"version": 1})
    assert path.read_bytes() == first
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_notes_on_a_dtype_are_dropped_without_a_warning(path: Path) -> None:
    save({"a": np.zeros(2, np.dtype("f4", metadata={"unit": "m"}))}, path)
    assert load(path)[0]["a"].dtype.metadata is None


def test_the_extension_may_be_in_capitals_or_the_whole_name(path: Path) -> None:
    for name in (path.with_suffix(path.suffix.upper()), path.with_name(path.suffix)):
        save(example(), name)
        assert list(load(str(name))[0]) == list(example())


def test_numpy_reads_what_save_wrote(folder: Path) -> None:
    save(example(), folder / "ours.npz", {"mean": 0.286})
    with np.load(folder / "ours.npz") as archive:
        np.testing.assert_array_equal(archive["0.weight"], example()["0.weight"])
        assert json.loads(archive["__metadata__"].tobytes()) == {"mean": 0.286}


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_files_of_numpy_load_without_metadata(folder: Path, write: Callable[..., None]) -> None:
    weight = np.random.default_rng(0).normal(size=(30, 30))
    write(folder / "numpy.npz", weight=np.asfortranarray(weight), big=weight.astype(">f4"))
    arrays, metadata = load(folder / "numpy.npz")
    np.testing.assert_array_equal(arrays["weight"], weight)
    np.testing.assert_array_equal(arrays["big"], weight.astype(np.float32))
    assert arrays["big"].dtype.isnative
    assert metadata == {}


def test_a_file_of_another_framework_keeps_its_string_metadata(folder: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    theirs = {"format": "pt", "labels": json.dumps({"names": ["cat", "dog"]})}
    numpy.save_file({"weight": np.ones(3)}, folder / "other.safetensors", theirs)
    arrays, metadata = load(folder / "other.safetensors")
    np.testing.assert_array_equal(arrays["weight"], np.ones(3))
    assert metadata == theirs


# What cannot be saved is refused, and the old file stays


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        ({"a": np.array([None])}, "'a' is an array of object"),
        ({"a": "text"}, "'a' is an array of str"),
        ({"a": [[1], [2, 3]]}, "'a' cannot be made an array: .* inhomogeneous shape"),
        ({"a": Tensor([1.0], requires_grad=True)}, r"'a' cannot be made an array: .* use \.detach"),
        ({"a": np.zeros(2, complex)}, "'a' is an array of complex128"),
        ({"a": np.zeros(2, np.longdouble)}, "'a' is an array of"),
        ({"a": np.zeros(2, "f4,i4")}, "'a' is an array of void64"),
        ({"a": np.zeros(2, "M8[s]")}, "'a' is an array of datetime64"),
        ({"__metadata__": np.zeros(2)}, "'__metadata__' cannot be an array's name"),
        ({"a\0b": np.zeros(2)}, "cannot be an array's name"),
        ({"a\\b": np.zeros(2)}, "cannot be an array's name"),
        ({"\ud800": np.zeros(2)}, "cannot be an array's name"),
        ({"a" * 70_000: np.zeros(2)}, "cannot be an array's name"),
        ({3: np.zeros(2)}, "3 cannot be an array's name"),
    ],
)
def test_a_state_that_cannot_be_stored_is_refused_by_name(path: Path, state: Any, fault: str) -> None:
    save(example(), path)
    with pytest.raises(FileError, match=fault) as caught:
        save(state, path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 500
    assert list(load(path)[0]) == list(example())


@pytest.mark.parametrize(
    ("metadata", "fault"),
    [
        ({"lr": float("nan")}, r"metadata['lr'] is nan"),
        ({"a": {"b": [0, float("inf")]}}, r"metadata['a']['b'][1] is inf"),
        ({"a": [np.float32(1)]}, r"metadata['a'][0] is a float32"),
        ({"a": np.zeros(2)}, r"metadata['a'] is a ndarray"),
        ({"a": {1, 2}}, r"metadata['a'] is a set"),
        ({"a": {1: 2}}, r"the key 1 of metadata['a'] is not a string"),
        ({None: 2}, r"the key None of metadata is not a string"),
        ({"a": 10**5000}, r"metadata['a'] is an integer beyond"),
        ([1, 2], "metadata are a dict, got a list"),
        ([], "metadata are a dict, got a list"),
        ("abc", "metadata are a dict, got a str"),
        (3, "metadata are a dict, got a int"),
    ],
)
def test_metadata_that_is_not_json_is_refused_by_key(path: Path, metadata: Any, fault: str) -> None:
    with pytest.raises(FileError) as caught:
        save(example(), path, metadata)
    assert fault in str(caught.value)
    assert str(path) in str(caught.value)


def test_metadata_that_contains_itself_is_refused(path: Path) -> None:
    metadata: dict[str, Any] = {}
    metadata["self"] = metadata
    with pytest.raises(FileError, match="nested more than 100 deep"):
        save(example(), path, metadata)


@pytest.mark.parametrize("name", ["model", "model.pt", "model.npz.gz", ".npz.gz", "npz"])
def test_another_extension_is_refused_naming_the_two(folder: Path, name: str) -> None:
    with pytest.raises(FileError, match=r"\.npz or \.safetensors"):
        save(example(), folder / name)
    assert ".npz or .safetensors" in refusal(folder / name)
    assert not (folder / name).exists()


@pytest.mark.parametrize("name", ["a\0b", "a\0b/c", "\ud800", "\ud800/c", "a" * 300])
def test_a_path_that_no_file_can_have_is_one_sentence(tmp_path, name):
    def write(path):
        with atomic_write(path):
            pass

    for use in (lambda path: save(example(), path), load, write, files.check_can_write, files.read_json):
        with pytest.raises(FileError, match=r"cannot \w+ .*: (embedded null|.* can't encode|File name too long)"):
            use(f"{tmp_path}/{name}.npz")
    assert list(tmp_path.iterdir()) == []


def test_what_fails_in_a_block_that_writes_is_not_taken_for_a_fault_of_the_path(tmp_path):
    with pytest.raises(ValueError, match="of the block"), atomic_write(tmp_path / "a"):
        raise ValueError("of the block")


def test_without_the_safetensors_library_its_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.delitem(sys.modules, "safetensors.numpy", raising=False)
    with pytest.raises(FileError, match=r"needs safetensors: pip install safetensors$"):
        save(example(), tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert "pip install safetensors" in refusal(tmp_path / "model.safetensors")


# What is not a readable file


def test_a_missing_file_is_named(path: Path) -> None:
    assert "No such file" in refusal(path.with_stem("missing"))


def test_a_folder_is_not_a_file(path: Path) -> None:
    directory = path.with_stem("folder")
    directory.mkdir(exist_ok=True)
    assert "is not a file" in refusal(directory)
    with pytest.raises(FileError, match="cannot write"):
        save(example(), directory)
    assert list(directory.parent.glob(".minigrad*")) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_refused_without_waiting_for_a_writer(path: Path) -> None:
    pipe = path.with_stem("pipe")
    os.mkfifo(pipe)
    assert "is not a file" in refusal(pipe)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_one_may_not_read_is_refused(path: Path) -> None:
    save(example(), path)
    path.chmod(0)
    try:
        assert "Permission denied" in refusal(path)
    finally:
        path.chmod(0o600)


# Hostile files


@given(data=st.data())
def test_a_truncated_file_is_refused(path: Path, data: st.DataObject) -> None:
    save(example(), path, {"classes": ["coat", "bag"]})
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    assert not loads_or_refuses(path)


@given(data=st.data())
def test_a_damaged_file_loads_or_is_refused(path: Path, data: st.DataObject) -> None:
    save(example(), path, {"classes": ["coat", "bag"]})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        content[start : start + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    path.write_bytes(content)
    loads_or_refuses(path)


@given(content=st.binary(max_size=200))
def test_any_bytes_at_all_load_or_are_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    loads_or_refuses(path)


def test_a_changed_weight_in_an_npz_file_is_noticed(folder: Path) -> None:
    path = folder / "changed.npz"
    save(example(), path)
    path.write_bytes(path.read_bytes().replace(np.float32(5).tobytes(), np.float32(6).tobytes()))
    assert "is damaged" in refusal(path)


def test_a_wrong_checksum_of_a_compressed_array_is_noticed(folder: Path) -> None:
    path = folder / "checksum.npz"
    content = floats((25_000,), np.random.default_rng(0).bytes(100_000))
    write_zip(path, ("a.npy", content), compression=zipfile.ZIP_DEFLATED)
    checksum = zlib.crc32(content)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", checksum), struct.pack("<I", checksum ^ 1)))
    assert "is damaged" in refusal(path)


def npy(header: object, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    text = header if isinstance(header, bytes) else repr(header).encode()
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\1\0" else "<I", len(text)) + text + data


def floats(shape: object, data: bytes = b"", descr: object = "<f4") -> bytes:
    return npy({"descr": descr, "fortran_order": False, "shape": shape}, data)


def write_zip(path: Path, *entries: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as archive:
        warnings.simplefilter("ignore")  # of names that occur twice
        for name, content in entries:
            archive.writestr(name, content)


@pytest.mark.parametrize(
    "content",
    [
        floats((10**15,)),
        floats((10**5, 10**5, 10**5), b"1234"),
        floats((2**32, 2**32)),
        floats((10**400,)),
        floats((-1, -1), b"1234"),
        floats((0, -1)),
        floats((0, 2**62)),
        floats((1,) * 65, b"1234"),
        floats((1,), b"12345"),
        floats((1,), b"123"),
        floats([1], b"1234"),
        floats(("a",), b"1234"),
        floats((1,), b"12345678", descr="O"),
        floats((1,), b"1234", descr="S4"),
        floats((), b"", descr="V999999999999"),
        floats((1,), b"1234", descr="nonsense"),
        floats((1,), b"1234", descr=[("a", "<f4")]),
        floats((1,), b"1234", descr=("<f4", (10**9,))),
        floats((1,), b"1234", descr=None),
        npy(b"{" * 9_000),
        npy(b"-" * 9_000 + b"1"),
        npy(b"1" + b"+1" * 4_000),
        npy(b"()" * 4_000),
        npy(b"[" * 150 + b"]" * 150),
        npy(b"{'descr': '\\d', 'fortran_order': False, 'shape': (1,)}", b"1234"),
        npy(b"\xff\xfe\0"),
        npy(b"9" * 5_000),
        npy(b"__import__('os').getcwd()"),
        npy({}),
        npy({"descr": "<f4"}),
        npy({"descr": "<f4", "fortran_order": False, "shape": (1,)}, b"1234", version=b"\2\0"),
        npy(b"", version=b"\x09\0"),
        b"\x93NUMPY\2\0\xff\xff\xff\xff",
        b"\x93NUMPY\1\0\xff\xff",
        b"\x93NUM",
        b"",
        pickle.dumps([1, 2]),
    ],
)
def test_an_entry_that_is_no_plain_array_is_refused_in_little_memory(folder: Path, content: bytes) -> None:
    path = folder / "entry.npz"
    for compression in zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED:
        write_zip(path, ("a.npy", content), compression=compression)
        tracemalloc.start()
        try:
            assert not loads_or_refuses(path)
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()


@given(
    header=st.lists(
        st.sampled_from("{}[]()',:0123456789-LTFO<>|=\\\n\0 #\"") | st.sampled_from(
            ["'descr'", "'fortran_order'", "'shape'", "'<f4'", "True", "False", "(2,)", "1e9", "lambda", "…"]
        ),
        max_size=40,
    ),
    data=st.binary(max_size=16),
)
def test_an_entry_with_any_header_loads_or_is_refused(folder: Path, header: list[str], data: bytes) -> None:
    write_zip(folder / "header.npz", ("a.npy", npy("".join(header).encode(), data)))
    loads_or_refuses(folder / "header.npz")


@given(shape=st.lists(st.integers(-2, 3) | st.sampled_from([2**31, 2**62, 2**64]), max_size=4), data=st.binary())
def test_an_entry_with_any_shape_loads_or_is_refused(folder: Path, shape: list[int], data: bytes) -> None:
    write_zip(folder / "shape.npz", ("a.npy", floats(tuple(shape), data)))
    loads_or_refuses(folder / "shape.npz")


def test_headers_that_python_2_wrote_load_without_a_warning(folder: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1L,)}"
    write_zip(folder / "old.npz", ("a.npy", npy(header, b"1234")))
    assert loads_or_refuses(folder / "old.npz")


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def test_a_pickle_is_refused_unread(tmp_path: Path) -> None:
    path, target = tmp_path / "model.npz", tmp_path / "executed"
    pickle.loads(pickle.dumps(Payload(target)))
    assert target.exists()  # the payload works
    target.unlink()

    np.savez(path, a=np.array([Payload(target)], dtype=object))
    assert "'a.npy' is an array of object" in refusal(path)
    np.savez(path, __metadata__=np.array(Payload(target), dtype=object))
    assert "is an array of object" in refusal(path)
    write_zip(path, ("a.npy", pickle.dumps(Payload(target))))
    refusal(path)
    path.write_bytes(pickle.dumps(Payload(target)))
    refusal(path)
    assert not target.exists()


def test_a_zip_bomb_is_refused_unpacked(folder: Path) -> None:
    path = folder / "bomb.npz"
    np.savez_compressed(path, a=np.zeros(10_000_000))
    tracemalloc.start()
    try:
        assert "20 times its size" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "content",
    [
        floats((2_500,), bytes(10**8)),
        floats((25_000_000,), bytes(10**8)),
        b"\x93NUMPY\2\0\xff\xff\xff\x7f" + bytes(10**8),
    ],
)
def test_a_zip_bomb_that_lies_about_its_size_is_refused_in_little_memory(folder: Path, content: bytes) -> None:
    path, claim = folder / "liar.npz", 10_000
    write_zip(path, ("a.npy", content), compression=zipfile.ZIP_DEFLATED)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", len(content)), struct.pack("<I", claim)))
    tracemalloc.start()
    try:
        refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_many_entries_that_share_their_bytes_are_refused(folder: Path) -> None:
    path = folder / "overlap.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", floats((1_000,), bytes(4_000)))
        archive.filelist += archive.filelist * 99
    assert "20 times its size" in refusal(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_numpy_does_not_use_is_refused(folder: Path, compression: int) -> None:
    write_zip(folder / "odd.npz", ("a.npy", floats((1,), b"1234")), compression=compression)
    assert "compressed in a way" in refusal(folder / "odd.npz")


@pytest.mark.parametrize("names", [("a.npy", "a.npy"), ("a", "a.npy"), ("__metadata__", "__metadata__.npy")])
def test_two_arrays_of_one_name_are_refused(folder: Path, names: tuple[str, str]) -> None:
    write_zip(folder / "twice.npz", *((name, floats((1,), b"1234")) for name in names))
    assert "two arrays of one name" in refusal(folder / "twice.npz")


def test_an_array_file_that_calls_itself_npz_is_refused(folder: Path) -> None:
    with (folder / "array.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    assert "is damaged" in refusal(folder / "array.npz")


HOSTILE_JSON = [
    *(b"[" * 100_000, b'{"a":' * 100_000, b'{"a":' + b"[" * 200 + b"]" * 200 + b"}"),
    *(b"", b"{", b"[]", b"3", b"null", b'"\xff"', b"\xff\xfe{", b'{"a": "\\ud8"}'),
    *(b'{"a": 1e999}', b'{"a": NaN}', b'{"a": ' + b"9" * 5_000 + b"}", b'{"a": ' + b"9" * 1_000 + b"}"),
]


@pytest.mark.parametrize("text", HOSTILE_JSON)
def test_hostile_metadata_is_refused(folder: Path, text: bytes) -> None:
    np.savez(folder / "json.npz", a=np.zeros(2), __metadata__=np.frombuffer(text, np.uint8))
    assert not loads_or_refuses(folder / "json.npz")


@given(text=st.binary(max_size=30) | st.text("[]{}:,\"'\\0123.eE-+ NaInfitytrueflsn", max_size=30).map(str.encode))
def test_any_metadata_loads_or_is_refused(folder: Path, text: bytes) -> None:
    np.savez(folder / "any.npz", a=np.zeros(2), __metadata__=np.frombuffer(text, np.uint8))
    loads_or_refuses(folder / "any.npz")


def write_safetensors(path: Path, header: object, data: bytes = b"") -> None:
    pytest.importorskip("safetensors")
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [10**15], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [2**63, 2], "data_offsets": [0, 0]}},
        {"a": {"dtype": "F32", "shape": [0, 2**63], "data_offsets": [0, 0]}},
        {"a": {"dtype": "F32", "shape": [1] * 70, "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [2**64 - 4, 0]}},
        {"a": {"dtype": "O", "shape": [1], "data_offsets": [0, 4]}},
        *({"__metadata__": {"minigrad": text.decode("latin1")}} for text in HOSTILE_JSON),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff",
    ],
)
def test_a_hostile_safetensors_header_is_refused(folder: Path, header: object) -> None:
    write_safetensors(folder / "hostile.safetensors", header, b"1234" if b"[0, 4]" in repr(header).encode() else b"")
    assert not loads_or_refuses(folder / "hostile.safetensors")


@pytest.mark.parametrize(
    ("ours", "good"),
    [
        ({"names": ["a"], "metadata": {}}, True),
        ({"names": ["a"], "metadata": []}, False),
        ({"names": ["a"]}, False),
        ({"names": [], "metadata": {}}, False),
        ({"names": ["a", "a"], "metadata": {}}, False),
        ({"names": ["a", 3], "metadata": {}}, False),
        ({"names": 3, "metadata": {}}, False),
        (["names", "metadata"], False),
    ],
)
def test_our_own_safetensors_metadata_must_fit_the_arrays(folder: Path, ours: object, good: bool) -> None:
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    header = {"__metadata__": {"minigrad": json.dumps(ours)}, "a": tensor}
    write_safetensors(folder / "own.safetensors", header, b"1234")
    assert loads_or_refuses(folder / "own.safetensors") == good


def test_a_dtype_numpy_does_not_have_is_named_with_the_way_out(folder: Path) -> None:
    path = folder / "bf16.safetensors"
    write_safetensors(path, {"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, b"1234")
    assert "'a' is of type BF16: convert it to float32" in refusal(path)


# Atomic writes


@pytest.mark.parametrize("error", [ValueError("stop"), KeyboardInterrupt(), SystemExit(1)])
def test_an_exception_midway_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "config.json"
    path.write_text("old")

    def write() -> None:
        with atomic_write(path) as file:
            file.write("new" * 10_000)
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_readers_see_the_old_file_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("old")
    with atomic_write(path) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_bytes_are_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / "model.npz", []

    def fsync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    save(example(), path)
    assert synced == [(path.stat().st_size, False)]


class FullDisk(io.FileIO):
    """A file on a disk with room for so many bytes."""

    room = 0

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data) or 0


@pytest.mark.parametrize("room", [0, 1, 100, 1_000, 8_000, 40_000, 80_000])
def test_a_full_disk_is_one_sentence_and_keeps_the_old_file(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    path = tmp_path / path.name
    save(example(), path)
    monkeypatch.setattr(FullDisk, "room", room)
    monkeypatch.setattr(files, "open", lambda name, mode, **_: io.BufferedWriter(FullDisk(name, "x")), raising=False)
    with pytest.raises(FileError, match="No space left") as caught:
        save({"a": np.zeros(5_000), "b": np.zeros(5_000)}, path)
    assert str(path) in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]
    assert list(load(path)[0]) == list(example())


def test_an_interrupt_while_an_array_is_written_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "model.npz"
    save(example(), path)
    monkeypatch.setattr(np, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save({}, path)
    assert list(tmp_path.iterdir()) == [path]
    assert list(load(path)[0]) == list(example())


def test_missing_parent_folders_are_created(tmp_path: Path) -> None:
    save(example(), tmp_path / "runs" / "first" / "model.npz")
    assert list(load(tmp_path / "runs" / "first" / "model.npz")[0]) == list(example())


def test_a_parent_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(FileError, match="cannot write"):
        save(example(), tmp_path / "runs" / "model.npz")


def test_text_that_no_file_can_hold_is_written_with_a_question_mark(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "text") as file:
        file.write("a\udcffb")
    assert (tmp_path / "text").read_text() == "a?b"


def test_text_is_utf8_with_the_line_ends_that_were_written(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "metrics.csv") as file:
        csv.writer(file).writerow(["é", 1])
    with atomic_write(tmp_path / "text") as file:
        file.write("a\nb\n")
    assert (tmp_path / "metrics.csv").read_bytes() == b"\xc3\xa9,1\r\n"
    assert (tmp_path / "text").read_bytes() == b"a\nb\n"


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions and links")
def test_a_new_file_has_the_usual_permissions_and_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    (tmp_path / "big").mkdir()
    (tmp_path / "link.npz").symlink_to(tmp_path / "big" / "model.npz")
    save(example(), tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink()
    target = tmp_path / "big" / "model.npz"
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)
    assert list(load(target)[0]) == list(example())


# ---------------------------------------------------------------- nested states


def test_nested_states_come_back_as_they_were(tmp_path):
    generator = np.random.Generator(np.random.MT19937(3))
    state = {
        "a.b": {"c": np.arange(3)}, "a": {"b.c": np.arange(4.0), "list": [np.zeros((0, 2)), [True, None, "text"]]},
        "inf": float("inf"), "-inf": -math.inf, "numpy": np.float32(0.5), "mt": generator.bit_generator.state,
        "pcg": np.random.default_rng(0).bit_generator.state, "scalar": np.array(3), "empty": {}, "tuple": (1, 2),
    }
    files.save_state(state, tmp_path / "state.npz")
    back = files.load_state(tmp_path / "state.npz")
    np.testing.assert_equal(back, state | {"tuple": [1, 2]})
    assert back["scalar"].shape == ()
    files.save_state({"nan": math.nan}, tmp_path / "state.npz")
    assert math.isnan(files.load_state(tmp_path / "state.npz")["nan"])


@pytest.mark.parametrize("entry", [{"__array__": "gone"}, {"__array__": []}, {"__float__": "x"}])
def test_a_state_whose_arrays_are_not_there_is_damaged(tmp_path, entry):
    save({"b": np.zeros(1)}, tmp_path / "state.npz", {"a": entry})
    with pytest.raises(FileError, match="is damaged: its arrays are not the ones it lists"):
        files.load_state(tmp_path / "state.npz")


def test_where_there_are_no_locks_nothing_is_locked(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with atomic_write(tmp_path / "a.txt") as file:
        file.write("whole")
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_no_array_takes_the_place_of_another_however_keys_are_named(tmp_path):
    state = {"a.b#2": np.ones(2), "a": {"b": np.zeros(1)}, "a.b": np.arange(3), "a.b#": np.ones(3)}
    files.save_state(state, tmp_path / "state.npz")
    np.testing.assert_equal(files.load_state(tmp_path / "state.npz"), state)


def test_no_bit_of_a_file_changes_unseen(path):
    arrays, metadata = {"w": np.arange(6.0).reshape(2, 3)}, {"classes": ["shirt", "bag"], "std": 0.5}
    save(arrays, path, metadata)
    whole = path.read_bytes()
    for place, bit in product(range(len(whole)), (1, 64, 128)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        with suppress(FileError):
            found = load(path)
            np.testing.assert_equal(found, (arrays, metadata))


def test_a_file_with_the_end_record_of_large_archives_is_read(folder, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    np.savez(folder / "large.npz", a=np.ones(2), b=np.zeros(1))
    assert b"PK\6\6" in (folder / "large.npz").read_bytes()
    np.testing.assert_equal(load(folder / "large.npz"), ({"a": np.ones(2), "b": np.zeros(1)}, {}))


def test_a_file_from_before_there_were_checksums_is_read(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    text = json.dumps({"names": ["w"], "metadata": {"a": 1}})
    numpy.save_file({"w": np.ones(2)}, tmp_path / "old.safetensors", {"minigrad": text})
    arrays, metadata = load(tmp_path / "old.safetensors")
    assert (arrays["w"].tolist(), metadata) == ([1.0, 1.0], {"a": 1})


@pytest.mark.parametrize(("text", "sentence"), [
    (None, "cannot read .*: No such file or directory"), (b"", "cannot read .*: Expecting value"),
    (b"\xff\xfe", "cannot read .*: 'utf-8' codec"), (b"[" * 10**5, "cannot read .*: maximum recursion depth"),
    (b" " * 2**24 + b"{}", "cannot read .*: it has more than 16,777,216 characters"), (b"[1]", "has no JSON object"),
    (b'{"a":' * 101 + b"1" + b"}" * 101, "its content is nested more than 100 deep"),
    (b'{"lr": NaN}', r"its content\['lr'\] is nan"), (b'{"lr": 1e999}', r"its content\['lr'\] is inf"),
], ids=lambda value: f"{value!r:.12}")
def test_json_of_a_stranger_is_an_object_or_one_sentence(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(FileError, match=sentence):
        files.read_json(tmp_path / "config.json")
