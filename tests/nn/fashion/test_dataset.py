import contextlib
import errno
import gzip
import io
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import tracemalloc
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import FrozenInstanceError, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nn.fashion
import nn.files
from nn.fashion import CLASSES, DataError, Dataset, dataset, download, idx, load
from nn.fashion.dataset import SAMPLE_FOLDER
from nn.fashion.idx import pack

REAL_FILES = dict(dataset.FILES)
REAL_FOLDER = dataset.DEBIAN_FOLDER
NAMES = {part: file.name for part, file in REAL_FILES.items()}
needs_real_data = pytest.mark.skipif(not REAL_FOLDER.is_dir(), reason=f"{REAL_FOLDER} is not installed")

Arrays = dict[str, npt.NDArray[np.uint8]]


def small_arrays(seed: int = 0) -> Arrays:
    """A data set of 12 training and 5 test images, which stands for the original in most tests."""
    rng = np.random.default_rng(seed)
    return {
        "train_images": rng.integers(0, 256, (12, 28, 28), np.uint8),
        "train_labels": rng.integers(0, 10, 12, np.uint8),
        "test_images": rng.integers(0, 256, (5, 28, 28), np.uint8),
        "test_labels": rng.integers(0, 10, 5, np.uint8),
    }


ORIGINAL = small_arrays()
RAW = {part: pack(array) for part, array in ORIGINAL.items()}
ORIGINAL_FILES = {
    part: replace(file, md5=idx.parse(io.BytesIO(RAW[part]), file.name, file.item_shape).md5)
    for part, file in REAL_FILES.items()
}


def write(folder: Path, files: Mapping[str, bytes] = RAW, packed: bool = True) -> Path:
    """Put the files, given as raw IDX by part, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, data in files.items():
        if packed:
            (folder / f"{NAMES[part]}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / NAMES[part]).write_bytes(data)
    return folder


def assert_holds(data: Dataset, arrays: Arrays = ORIGINAL) -> None:
    for part, expected in arrays.items():
        np.testing.assert_array_equal(getattr(data, part), expected)


def is_sample(data: Dataset) -> bool:
    return len(data.train_labels) == 6_000 and "bundled sample" in data.source


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's real folders, no network, and a data set small enough to serve, break and compare."""
    monkeypatch.delenv("FASHION_MNIST_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(dataset, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setattr(dataset, "FILES", ORIGINAL_FILES)
    monkeypatch.setattr(download, "MIRRORS", ())


@pytest.fixture
def cache() -> Path:
    return download.cache_folder()


# Sources, in their order


def test_a_folder_given_comes_before_everything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    other = {part: pack(array) for part, array in small_arrays(seed=1).items()}
    monkeypatch.setenv("FASHION_MNIST_DIR", str(write(tmp_path / "variable", other)))
    write(dataset.DEBIAN_FOLDER, other)
    write(cache, other)
    data = load(write(tmp_path / "given"))
    assert_holds(data)
    assert data.source == f"12 training and 5 test images from {tmp_path / 'given'}"


def test_the_environment_variable_comes_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    other = {part: pack(array) for part, array in small_arrays(seed=1).items()}
    monkeypatch.setenv("FASHION_MNIST_DIR", str(write(tmp_path / "variable")))
    write(dataset.DEBIAN_FOLDER, other)
    write(cache, other)
    data = load()
    assert_holds(data)
    assert "variable" in data.source


def test_an_empty_environment_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_MNIST_DIR", "")
    write(dataset.DEBIAN_FOLDER)
    assert_holds(load())


def test_debians_folder_comes_third(cache: Path) -> None:
    write(dataset.DEBIAN_FOLDER)
    write(cache, {part: pack(array) for part, array in small_arrays(seed=1).items()})
    data = load()
    assert_holds(data)
    assert str(dataset.DEBIAN_FOLDER) in data.source


def test_the_cache_comes_fourth_and_needs_no_mirror(cache: Path) -> None:
    write(cache)
    data = load()
    assert_holds(data)
    assert str(cache) in data.source


def test_the_bundled_sample_comes_last_without_a_warning_and_says_why() -> None:
    data = load(download=False)
    assert is_sample(data)
    assert "\n" not in data.source
    assert "downloading is switched off" in data.source
    for way in ("online", "dataset-fashion-mnist", "--data", "FASHION_MNIST_DIR"):
        assert way in data.source


def test_a_folder_given_is_no_suggestion(tmp_path: Path) -> None:
    write(dataset.DEBIAN_FOLDER)
    with pytest.raises(DataError, match=r"nowhere is not a folder$"):
        load(tmp_path / "nowhere")


def test_the_missing_files_of_a_folder_given_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "given", {part: RAW[part] for part in ("train_images", "test_labels")})
    with pytest.raises(DataError, match=r"given lacks train-labels-idx1-ubyte, t10k-images-idx3-ubyte \(with or"):
        load(folder)


def test_an_environment_variable_that_leads_nowhere_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(dataset.DEBIAN_FOLDER)
    monkeypatch.setenv("FASHION_MNIST_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"^FASHION_MNIST_DIR is set, but .*nowhere is not a folder$"):
        load()


def test_a_folder_may_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path / "images")
    assert_holds(load("~/images"))


def test_broken_files_in_debians_folder_and_the_cache_are_reported_and_passed_over(cache: Path) -> None:
    write(dataset.DEBIAN_FOLDER, RAW | {"train_labels": b""})
    write(cache, RAW | {"test_images": RAW["test_images"][:-1]})
    with pytest.warns(UserWarning, match="looking for the data elsewhere$") as caught:
        data = load(download=False)
    assert is_sample(data)
    first, second = (str(warning.message) for warning in caught)
    assert "debian" in first
    assert "train-labels-idx1-ubyte.gz is empty; looking for the data elsewhere" in first
    assert str(cache) in second
    assert "t10k-images-idx3-ubyte.gz is truncated" in second
    assert caught[0].filename == __file__


def test_a_cache_that_is_only_partly_filled_is_passed_over_in_silence(cache: Path) -> None:
    write(cache, {"train_labels": RAW["train_labels"]})
    assert is_sample(load(download=False))


# Files, packed and raw


@pytest.mark.parametrize("packed", [True, False])
def test_packed_and_raw_files_both_work(tmp_path: Path, packed: bool) -> None:
    assert_holds(load(write(tmp_path / "given", packed=packed)))


def test_packed_and_raw_files_may_be_mixed(tmp_path: Path) -> None:
    write(tmp_path, {part: RAW[part] for part in ("train_images", "test_labels")}, packed=True)
    write(tmp_path, {part: RAW[part] for part in ("train_labels", "test_images")}, packed=False)
    assert_holds(load(tmp_path))


def test_the_first_bytes_and_not_the_name_tell_what_is_packed(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(RAW["train_images"])
    (tmp_path / "t10k-images-idx3-ubyte.gz").rename(tmp_path / "t10k-images-idx3-ubyte")
    assert_holds(load(tmp_path))


def test_the_original_is_recognised_however_it_was_packed(tmp_path: Path) -> None:
    for part, data in RAW.items():
        half = len(data) // 2
        members = gzip.compress(data[:half], compresslevel=1, mtime=1) + gzip.compress(data[half:], mtime=2)
        (tmp_path / f"{NAMES[part]}.gz").write_bytes(members)
    assert_holds(load(tmp_path))


def test_arrays_are_read_only_and_of_the_promised_types(tmp_path: Path) -> None:
    data = load(write(tmp_path))
    for images in (data.train_images, data.test_images):
        assert images.dtype == np.uint8
        assert not images.flags.writeable
    for labels in (data.train_labels, data.test_labels):
        assert labels.dtype == np.int64
        assert not labels.flags.writeable
    with pytest.raises(FrozenInstanceError):
        data.source = "elsewhere"  # type: ignore[misc]


@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 28, 28), (1, 2, 3, 4)])
def test_reading_gives_back_what_was_packed(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(idx.parse(io.BytesIO(pack(array)), "it", shape[1:]).array, array)


def test_packing_ignores_the_memory_layout() -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert pack(np.asfortranarray(array)) == pack(array)


def test_valid_data_other_than_the_original_gives_a_single_warning(tmp_path: Path) -> None:
    others = small_arrays(seed=1)
    write(tmp_path, {part: pack(array) for part, array in others.items()})
    with pytest.warns(UserWarning, match="holds data other than the original Fashion-MNIST in train-images") as caught:
        data = load(tmp_path)
    assert_holds(data, others)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_the_bundled_sample_gives_no_warning_however_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SAMPLE_FOLDER.parent)
    assert len(load(SAMPLE_FOLDER.name).train_labels) == 6000


# Files that are broken


def header(*numbers: int, magic: bytes = b"\0\0\x08") -> bytes:
    return magic + struct.pack(f">B{len(numbers)}I", len(numbers), *numbers)


IMAGES, LABELS = RAW["train_images"], RAW["train_labels"]
BROKEN = {
    "an empty file": ("train_images", b"", "is empty"),
    "another format": ("train_images", b"<!DOCTYPE html>", "begins with 3c 21 44 4f, expected 00 00 08 03"),
    "another element type": ("train_images", b"\0\0\x0d\x03" + IMAGES[4:], "is not an IDX file of unsigned bytes"),
    "another number of dimensions": ("train_images", LABELS, "has 1 dimensions, expected 3: are images and labels"),
    "images in place of labels": ("train_labels", IMAGES, "has 3 dimensions, expected 1"),
    "a cut magic number": ("train_images", b"\0\0", "ends within its header, after 2 bytes"),
    "a cut header": ("train_images", IMAGES[:15], "ends within its header, after 15 bytes"),
    "another image size": ("train_images", header(12, 8, 9) + bytes(864), "images of 8 x 9 pixels, but .* of 28 x 28$"),
    "a side of no pixels": ("train_images", header(12, 28, 0), "images of 28 x 0 pixels, each side has 1 to 512"),
    "a side beyond reason": ("train_images", header(12, 28, 513), "images of 28 x 513 pixels, each side has 1 to 512"),
    "no images": ("train_images", header(0, 28, 28), "holds no items"),
    "a missing byte": ("train_images", IMAGES[:-1], "is truncated: 12 items take 9,408 bytes, but only 9,407"),
    "an additional byte": ("train_images", IMAGES + b"\0", "has trailing bytes after the 12 items"),
    "a count too high": ("train_labels", header(13) + LABELS[8:], "is truncated: 13 items take 13 bytes"),
    "a count too low": ("train_labels", header(11) + LABELS[8:], "has trailing bytes after the 11 items"),
    "a count beyond reason": ("train_images", header(2**32 - 1, 28, 28), "announces 4,294,967,295 items, more than"),
    "images without labels": ("train_labels", header(11) + LABELS[9:], "holds 12 images, but .* holds 11 labels"),
}


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_refused_with_one_sentence_that_names_it(tmp_path: Path, fault: str, packed: bool) -> None:
    part, data, complaint = BROKEN[fault]
    write(tmp_path, RAW | {part: data}, packed)
    with pytest.raises(DataError, match=complaint) as caught:
        load(tmp_path)
    assert NAMES[part] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda data: data[:-1], "is truncated: its gzip data end too early"),
        (lambda data: data[:5], "is truncated: its gzip data end too early"),
        (lambda data: data[:-8] + bytes(8), "is a corrupt gzip file: CRC check failed"),
        (lambda data: data[:10] + b"\xff" * 20 + data[30:], "is a corrupt gzip file"),
        (lambda data: data + b"more", "is a corrupt gzip file"),
    ],
    ids=["one byte short", "header only", "wrong checksum", "damaged inside", "something appended"],
)
def test_a_broken_gzip_file_is_refused_with_one_sentence_that_names_it(
    tmp_path: Path, damage: Callable[[bytes], bytes], complaint: str
) -> None:
    path = write(tmp_path) / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=f"t10k-images-idx3-ubyte.gz {complaint}"):
        load(tmp_path)


def test_a_file_that_cannot_be_read_is_refused_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(idx, "open", refuse, raising=False)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz cannot be read: Permission denied$"):
        load(write(tmp_path))


@pytest.mark.parametrize(
    "data",
    [
        header(1_000_000, 28, 28) + bytes(100),
        gzip.compress(header(1_000_000, 28, 28) + bytes(100)),
        gzip.compress(header(1, 28, 28) + bytes(100_000_000)),
        gzip.compress(header(2**32 - 1, 28, 28) + bytes(100_000_000)),
    ],
    ids=["raw, large claim", "packed, large claim", "bomb, small claim", "bomb, absurd claim"],
)
def test_a_file_cannot_make_the_reader_allocate_what_is_not_there(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            idx.read(path, (28, 28))
        assert tracemalloc.get_traced_memory()[1] < 8 * idx.CHUNK
    finally:
        tracemalloc.stop()


@st.composite
def damaged(draw: st.DrawFn, original: bytes) -> bytes:
    """Bytes after a few cuts, insertions, and overwritten stretches, most of them near the header."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 3))):
        position = draw(st.integers(0, min(len(data), 20)) | st.integers(0, len(data)))
        length = draw(st.integers(0, 4) | st.integers(0, len(data)))
        data[position:position + length] = draw(st.binary(max_size=8))
    return bytes(data)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_happens_to_a_file_it_loads_to_valid_arrays_or_is_refused(data: st.DataObject) -> None:
    part = data.draw(st.sampled_from(list(RAW)))
    layer = data.draw(st.sampled_from(["raw", "within gzip", "gzip itself"]))
    original = gzip.compress(RAW[part], mtime=0) if layer == "gzip itself" else RAW[part]
    content = data.draw(damaged(original) | st.binary(max_size=64))
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = write(Path(name), RAW, packed=False)
        (folder / NAMES[part]).write_bytes(gzip.compress(content) if layer == "within gzip" else content)
        try:
            loaded = load(folder)
        except DataError:
            return
    for images, labels in ((loaded.train_images, loaded.train_labels), (loaded.test_images, loaded.test_labels)):
        assert images.shape == (len(labels), *loaded.size)
        assert images.dtype == np.uint8
        assert len(labels) > 0
        assert set(labels.tolist()) <= set(range(len(loaded.classes)))


# The cache folder


def test_the_cache_is_below_xdg_cache_home(tmp_path: Path) -> None:
    assert download.cache_folder() == tmp_path / "caches" / "minigrad" / "fashion-mnist"


@pytest.mark.parametrize(
    ("platform", "expected"),
    [("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "local data")],
)
@pytest.mark.parametrize("unset", ["", "a/relative/path"])
def test_without_xdg_cache_home_the_cache_is_where_the_platform_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, expected: str, unset: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", unset)
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local data"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "platform", platform)
    assert download.cache_folder() == tmp_path / expected / "minigrad" / "fashion-mnist"


def test_an_account_without_a_home_still_has_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "home", no_home)
    assert download.cache_folder().is_absolute()


# Downloads, from mirrors on the loopback interface


class Mirror:
    """A web server for the packed files; what it serves can be changed, and it remembers what it was asked for."""

    def __init__(self) -> None:
        self.files = {f"/{NAMES[part]}.gz": gzip.compress(data) for part, data in RAW.items()}
        self.missing_bytes = 0  # how much less is sent than was promised
        self.asked: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked.append(self.path)
                data = mirror.files.get(self.path)
                if data is None:
                    return self.send_error(404)
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[:len(data) - mirror.missing_bytes])

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Mirror, Mirror]]:
    """Two mirrors that both work until a test breaks them."""
    first, second = Mirror(), Mirror()
    monkeypatch.setattr(download, "MIRRORS", (first.url, second.url))
    yield first, second
    first.close()
    second.close()


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


ALL_PACKED = {f"{name}.gz" for name in NAMES.values()}


def test_a_download_fills_the_cache_from_the_first_mirror(mirrors: tuple[Mirror, Mirror], cache: Path) -> None:
    data = load()
    assert_holds(data)
    assert str(cache) in data.source
    assert names_in(cache) == ALL_PACKED
    assert len(mirrors[0].asked) == 4
    assert mirrors[1].asked == []


def test_what_was_downloaded_once_is_not_downloaded_again(mirrors: tuple[Mirror, Mirror]) -> None:
    load()
    assert_holds(load())
    assert len(mirrors[0].asked) == 4


def test_a_download_goes_on_where_an_earlier_one_was_interrupted(mirrors: tuple[Mirror, Mirror], cache: Path) -> None:
    write(cache, {"train_images": RAW["train_images"]})
    assert_holds(load())
    assert len(mirrors[0].asked) == 3


@pytest.mark.parametrize("packed", [True, False])
def test_a_broken_file_in_the_cache_is_replaced_by_a_download(
    mirrors: tuple[Mirror, Mirror], cache: Path, packed: bool
) -> None:
    write(cache, RAW | {"test_images": b"broken"}, packed)
    with pytest.warns(UserWarning, match="t10k-images-idx3-ubyte.* looking for the data elsewhere"):
        assert_holds(load())
    assert mirrors[0].asked == ["/t10k-images-idx3-ubyte.gz"]
    assert_holds(load())


def break_off(mirror: Mirror) -> None:
    mirror.missing_bytes = 10


def serve_nothing(mirror: Mirror) -> None:
    mirror.files = {}


def serve_garbage(mirror: Mirror) -> None:
    mirror.files = dict.fromkeys(mirror.files, b"<html>Please log in to this network</html>")


def serve_truncated_gzip(mirror: Mirror) -> None:
    mirror.files = {path: data[:-1] for path, data in mirror.files.items()}


def serve_other_data(mirror: Mirror) -> None:
    mirror.files = {f"/{NAMES[part]}.gz": gzip.compress(pack(array)) for part, array in small_arrays(seed=1).items()}


def serve_another_protocol(mirror: Mirror) -> None:
    mirror.server.RequestHandlerClass = lambda request, address, server: request.sendall(b"220 smtp\r\n")


FAULTS = [break_off, serve_nothing, serve_garbage, serve_truncated_gzip, serve_other_data, serve_another_protocol]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_second_mirror_steps_in_for_one_that_fails(
    mirrors: tuple[Mirror, Mirror], cache: Path, fault: Callable[[Mirror], None]
) -> None:
    fault(mirrors[0])
    assert_holds(load())
    assert len(mirrors[0].asked) <= 1, "a mirror that failed was asked again"
    assert len(mirrors[1].asked) == 4
    assert names_in(cache) == ALL_PACKED


def test_the_second_mirror_completes_what_the_first_began(mirrors: tuple[Mirror, Mirror]) -> None:
    del mirrors[0].files["/t10k-images-idx3-ubyte.gz"]
    assert_holds(load())
    assert mirrors[1].asked[0] == "/t10k-images-idx3-ubyte.gz"
    assert len(mirrors[0].asked) + len(mirrors[1].asked) == 5


@pytest.mark.parametrize("fault", FAULTS)
def test_when_both_mirrors_fail_the_sample_is_used_and_nothing_is_left_behind(
    mirrors: tuple[Mirror, Mirror], cache: Path, fault: Callable[[Mirror], None]
) -> None:
    for mirror in mirrors:
        fault(mirror)
    data = load()
    assert is_sample(data)
    assert "\n" not in data.source
    assert all(mirror.url.removeprefix("http://").rstrip("/") in data.source for mirror in mirrors)
    assert names_in(cache) == set()
    assert max(len(mirror.asked) for mirror in mirrors) <= 1


def test_a_refused_connection_leads_to_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr(download, "MIRRORS", (f"http://127.0.0.1:{port}/",))
    data = load()
    assert is_sample(data)
    assert f"127.0.0.1:{port}: " in data.source


def test_a_mirror_that_stays_silent_is_given_up_after_the_time_for_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "CONNECT_SECONDS", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(download, "MIRRORS", (f"http://127.0.0.1:{silent.getsockname()[1]}/",))
        data = load()
    assert is_sample(data)
    assert "no answer within 0.01 seconds" in data.source


def test_a_mirror_that_sends_without_end_is_cut_off(
    mirrors: tuple[Mirror, Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[int] = []

    @contextlib.contextmanager
    def record(name: str, total: int | None) -> Iterator[Callable[[int], object]]:
        yield received.append

    monkeypatch.setattr(download, "progress", record)
    monkeypatch.setattr(download, "LARGEST_DOWNLOAD", 2**17)
    mirrors[0].files = dict.fromkeys(mirrors[0].files, bytes(2**24))
    assert_holds(load())
    assert sum(received) < 2**19


def test_no_mirror_is_asked_when_downloading_is_switched_off(mirrors: tuple[Mirror, Mirror], cache: Path) -> None:
    assert is_sample(load(download=False))
    assert mirrors[0].asked == mirrors[1].asked == []
    assert not cache.exists()


class FullDisk(io.FileIO):
    """A file that takes some bytes and then no more."""

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leads_to_the_sample_and_leaves_nothing_behind(
    mirrors: tuple[Mirror, Mirror], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_on_full_disk(path: Path, mode: str, **options: Any) -> FullDisk:
        path.write_bytes(b"the first few bytes")
        return FullDisk(path, "r+")

    monkeypatch.setattr(nn.files, "open", open_on_full_disk, raising=False)
    data = load()
    assert is_sample(data)
    assert f"cannot write {cache / 'train-images-idx3-ubyte.gz'}: No space left on device" in data.source
    assert names_in(cache) == set()
    assert len(mirrors[0].asked) + len(mirrors[1].asked) == 1, "another mirror does not help against a full disk"


def test_a_cache_that_cannot_be_created_leads_to_the_sample(mirrors: tuple[Mirror, Mirror], tmp_path: Path) -> None:
    (tmp_path / "caches").write_bytes(b"a file where the folder should be")
    data = load()
    assert is_sample(data)
    assert "cannot write" in data.source
    assert mirrors[0].asked == mirrors[1].asked == []


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_ctrl_c_while_a_file_is_written_propagates_and_removes_the_temporary_file(
    mirrors: tuple[Mirror, Mirror], cache: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def interrupt(*arguments: Any) -> None:
        assert names_in(cache), "the test came too early or too late"
        raise KeyboardInterrupt

    monkeypatch.setattr(os, moment, interrupt)
    with pytest.raises(KeyboardInterrupt):
        load()
    assert names_in(cache) == set()


def test_ctrl_c_while_a_file_arrives_propagates_and_leaves_nothing(
    mirrors: tuple[Mirror, Mirror], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bar:
        def __init__(self, **options: Any) -> None:
            assert options["disable"] is None, "tqdm shows itself on terminals only when told so"

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *exception: object) -> None:
            pass

        def update(self, count: int) -> None:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "tqdm", type("tqdm_module", (), {"tqdm": Bar}))
    with pytest.raises(KeyboardInterrupt):
        load()
    assert names_in(cache) == set()


@pytest.mark.parametrize(("terminal", "expected"), [(True, 4), (False, 0)])
def test_without_tqdm_a_terminal_gets_one_line_for_each_file(
    mirrors: tuple[Mirror, Mirror], monkeypatch: pytest.MonkeyPatch, terminal: bool, expected: int
) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert_holds(load())
    assert stderr.getvalue().count("Downloading") == expected


# The sample, and the real data


def test_there_are_ten_classes() -> None:
    assert len(CLASSES) == len(set(CLASSES)) == 10
    assert nn.fashion.CLASSES[9] == "Ankle boot"


def test_the_sample_is_class_balanced() -> None:
    sample = load(SAMPLE_FOLDER)
    assert sample.train_images.shape == (6_000, 28, 28)
    assert sample.test_images.shape == (1_000, 28, 28)
    np.testing.assert_array_equal(np.bincount(sample.train_labels), np.full(10, 600))
    np.testing.assert_array_equal(np.bincount(sample.test_labels), np.full(10, 100))


def test_the_sample_is_small_and_carries_its_licence() -> None:
    assert sum(path.stat().st_size for path in SAMPLE_FOLDER.iterdir()) <= 3.3e6
    licence = (SAMPLE_FOLDER / "LICENSE").read_text(encoding="utf-8")
    assert "MIT" in licence
    assert "2017 Zalando SE" in licence


def test_the_pixels_of_the_sample_are_distributed_like_those_of_all_images() -> None:
    pixels = load(SAMPLE_FOLDER).train_images / 255
    assert pixels.mean() == pytest.approx(nn.fashion.MEAN, abs=0.01)
    assert pixels.std() == pytest.approx(nn.fashion.STD, abs=0.01)


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setattr(dataset, "FILES", REAL_FILES)
    return load(REAL_FOLDER)


@needs_real_data
def test_the_real_data_are_the_original_with_the_stated_mean_and_deviation(real: Dataset) -> None:
    assert real.train_images.shape == (60_000, 28, 28)
    assert real.test_images.shape == (10_000, 28, 28)
    histogram = np.bincount(real.train_images.ravel(), minlength=256) / real.train_images.size
    levels = np.arange(256) / 255
    mean = histogram @ levels
    assert mean == pytest.approx(nn.fashion.MEAN, abs=5e-5)
    assert np.sqrt(histogram @ (levels - mean) ** 2) == pytest.approx(nn.fashion.STD, abs=5e-5)


@needs_real_data
def test_every_image_of_the_sample_is_in_the_real_data_with_its_label(real: Dataset) -> None:
    sample = load(SAMPLE_FOLDER)
    for split in ("train", "test"):
        known = {(image.tobytes(), label) for image, label in items(real, split)}
        assert all((image.tobytes(), label) in known for image, label in items(sample, split))


def items(data: Dataset, split: str) -> Iterator[tuple[npt.NDArray[np.uint8], int]]:
    return zip(getattr(data, f"{split}_images"), getattr(data, f"{split}_labels").tolist(), strict=True)


@needs_real_data
def test_the_sample_can_be_made_again(tmp_path: Path) -> None:
    script = Path(__file__).parents[3] / "benchmarks" / "make_sample.py"
    command = [sys.executable, str(script), "--data", str(REAL_FOLDER), "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    assert names_in(tmp_path) == {*ALL_PACKED, "classes.txt"}
    for name in ALL_PACKED:  # unpacked, because other builds of zlib pack differently
        assert gzip.decompress((tmp_path / name).read_bytes()) == gzip.decompress((SAMPLE_FOLDER / name).read_bytes())
