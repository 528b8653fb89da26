"""Model files: named arrays and JSON metadata in one file that is safe to load from a stranger.

The extension chooses the format: `.npz` goes through NumPy, `.safetensors` through the safetensors library (an extra).
Nothing is pickled, every write is atomic, and whatever is wrong with a file is one `FileError` with one sentence.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import struct
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.lib.format import read_array_header_1_0, read_magic

from minigrad.arrays import check_no_more_than_elements
from minigrad.trees import leaves, rebuilt
from nn.extras import required
from nn.functional.settings import plain_number

if TYPE_CHECKING:  # slow to import, and needed by those alone who read or write a file
    import zipfile
    from pathlib import Path

METADATA = "__metadata__"  # the name safetensors reserves too
MAX_INFLATION = 20  # weights hardly compress, so a file that unpacks to more than this many times its size is an attack
PLAIN = "?bBhHiIlLqQefd"  # the type codes of bool, integers and float16/32/64; long double varies between machines
MAX_DEPTH = 100  # of metadata; far from where Python's own recursion ends
MAX_ARRAYS = 10_000  # of a file; each costs time and memory, however small it is
MAX_NAME = 9_999  # characters
MAX_METADATA = 2**22  # bytes of JSON, which become up to thirty times as many in memory
MAX_JSON = 2**24  # characters of a file; the confusion of 1,000 classes takes 11 million of them
MAX_MESSAGE = 480  # characters; a message may quote what a stranger wrote
Arrays = dict[str, np.ndarray]


class FileError(Exception):
    """A file cannot be written or read; the message is one sentence with the path, the fault and the way out."""

    def __init__(self, message: str) -> None:
        super().__init__(bounded(message))


def bounded(message: str) -> str:
    """A message that fits onto a screen and leaves the terminal as it was, whoever wrote what it quotes.

    >>> bounded("named\\n" + 1000 * "x")[:10], len(bounded(1000 * "x"))
    ('named xxxx', 480)
    """
    if len(message) > MAX_MESSAGE:
        half = MAX_MESSAGE // 2
        message = f"{message[: half - 1]} … {message[2 - half :]}"
    return "".join(character if character.isprintable() else " " for character in message)


def ending_of(path: str | os.PathLike[str]) -> str:
    """What a name ends in, in small letters, also where that is all of it: to `Path.suffix` such a name has no ending.

    >>> ending_of("runs/model.NPZ"), ending_of(".npz"), ending_of("runs.d/npz")
    ('.npz', '.npz', '')
    """
    return os.path.splitext(f"_{os.path.basename(path)}")[1].lower()


def save(
    state: Mapping[str, npt.ArrayLike], path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write named arrays and JSON metadata to a `.npz` or `.safetensors` file, atomically.

    state: name -> array of bool, integers or float16/32/64, of any shape, layout and byte order. Names are printable
        text without backslashes, and not "__metadata__".
    path: ends in `.npz` or `.safetensors`; missing parent folders are created.
    metadata: what JSON can hold: dicts with string keys, lists, strings, finite numbers, booleans and None. Tuples are
        accepted and come back as lists.

    Raises `FileError`, leaving an earlier file as it was, when the state or metadata cannot be stored, the extension is
    another, the safetensors library is missing, or the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save({"0.bias": np.zeros(10, np.float32)}, f"{folder}/model.npz", metadata={"mean": 0.286})
    ...     arrays, metadata = load(f"{folder}/model.npz")
    >>> arrays["0.bias"].shape, metadata
    ((10,), {'mean': 0.286})
    """
    from pathlib import Path

    path = Path(path)
    write, _ = _format(path)
    if not isinstance(state, Mapping):
        raise FileError(f"{path}: a {type(state).__name__} is no dict of arrays: save what its state_dict() returns")
    arrays = {_checked_name(path, name): _plain_array(path, name, value) for name, value in state.items()}
    described = checked_metadata(path, metadata)
    _check_amounts(path, len(arrays), len(json.dumps(described)))
    with atomic_write(path, "wb") as file:
        write(path, file, arrays, described)


def load(path: str | os.PathLike[str]) -> tuple[Arrays, dict[str, Any]]:
    """Read the arrays, in the order they were saved in, and the metadata of a model file.

    The arrays are writable, C-ordered and in native byte order. Files written by others load as well: a `.npz` of
    `np.savez` has the metadata `{}`, one of `np.savez_compressed` may unpack to at most 20 times its size, and a
    `.safetensors` file of another framework has that framework's string metadata.

    Raises `FileError` when the file is missing, unreadable, damaged or hostile, holds anything but bool, integers and
    float16/32/64, or has another extension, and when the safetensors library is needed and missing.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/numpy.npz", weight=np.eye(2))
    ...     load(f"{folder}/numpy.npz")
    ({'weight': array([[1., 0.],
           [0., 1.]])}, {})
    """
    from pathlib import Path

    path = Path(path)
    _, read = _format(path)
    try:
        check_is_file(path)
        path.open("rb").close()
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read {path}: {_reason(error)}") from error
    try:
        arrays, metadata = read(path)
        if not isinstance(metadata, dict):
            raise FileError(f"{path} is damaged: its metadata is not a JSON object")
        check_json(path, metadata, "metadata")
        for name in arrays:
            _checked_name(path, name)
    except FileError:
        raise
    except MemoryError as error:
        raise FileError(f"{path} takes more memory than there is") from error
    except Exception as error:  # a hostile file can make the libraries below raise nearly anything
        raise FileError(f"{path} is damaged, or not in the {ending_of(path)} format: get or save it again") from error
    return arrays, metadata


def check_is_file(path: str | os.PathLike[str]) -> None:
    """Raise OSError unless a path leads to a file: a named pipe would block for ever, and a device need never end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("it is not a file")


def save_state(state: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write nested dicts and lists with arrays, numbers and text in them, such as a `state_dict`, to a file of `save`.

    Each array is named by its place. Keys become text, tuples lists, and NumPy's numbers Python's.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_state({"step": 3, "best": float("inf"), "groups": [{"m": np.zeros(2)}]}, f"{folder}/state.npz")
    ...     load_state(f"{folder}/state.npz")
    {'step': 3, 'best': inf, 'groups': [{'m': array([0., 0.])}]}
    """
    arrays: Arrays = {}
    metadata = _described(state, "", arrays)
    save(arrays, path, metadata)


def load_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `save_state` wrote. Raises `FileError`."""
    arrays, metadata = load(path)
    try:
        state: dict[str, Any] = _restored(metadata, arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path} is damaged: its arrays are not the ones it lists") from error
    return state


ARRAY, FLOAT = "__array__", "__float__"  # the keys of what stands in JSON for an array, and for infinity or NaN


def _described(node: Any, where: str, arrays: Arrays) -> Any:
    """The same for JSON; the arrays are put into `arrays`."""
    if isinstance(node, np.ndarray):
        name = where
        while name in arrays:  # keys may have dots
            name += "#"
        arrays[name] = node
        return {ARRAY: name}
    if isinstance(node, Mapping):
        return {str(key): _described(item, f"{where}.{key}".lstrip("."), arrays) for key, item in node.items()}
    if isinstance(node, list | tuple):
        return [_described(item, f"{where}.{i}", arrays) for i, item in enumerate(node)]
    node = plain_number(node)
    return {FLOAT: str(node)} if isinstance(node, float) and not math.isfinite(node) else node


def _restored(node: Any, arrays: Arrays) -> Any:
    """What `_described` was given."""
    if isinstance(node, dict):
        if [*node] == [ARRAY]:
            return arrays[node[ARRAY]]
        return float(node[FLOAT]) if [*node] == [FLOAT] else {k: _restored(item, arrays) for k, item in node.items()}
    return [_restored(item, arrays) for item in node] if isinstance(node, list) else node


def plain(metadata: Any) -> Any:
    """The same nested dicts, lists and tuples with Python's numbers, where JSON cannot hold NumPy's and PyTorch's.

    >>> plain({"lr": np.float32(0.5), "milestones": [np.int64(3)]})
    {'lr': 0.5, 'milestones': [3]}
    """
    return rebuilt(metadata, map(plain_number, leaves(metadata)))


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Open a file for writing that appears under its name only when complete: readers see the old one or the new.

    mode: "w" for text (UTF-8, with ? for what is none; line ends as written, which suits `csv` too) or "wb" for bytes.
    Missing parent folders are created; a symbolic link stays one, and the file it points to is replaced, by one with
    the same permissions.

    Any exception inside the block, Ctrl-C included, leaves an earlier file as it was and no temporary file. An
    `OSError`, such as a full disk, becomes a `FileError`. A process that is killed leaves its temporary file, which
    `remove_leftovers` removes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_write(f"{folder}/runs/config.json") as file:
    ...         json.dump({"lr": 0.1}, file)
    ...     with open(f"{folder}/runs/config.json") as file:
    ...         file.read()
    '{"lr": 0.1}'
    """
    encoding, newline, errors = (None,) * 3 if mode == "wb" else ("utf-8", "", "replace")
    try:
        target = followed(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".minigrad-{os.urandom(8).hex()}.tmp")
        try:
            with open(temporary, mode.replace("w", "x"), encoding=encoding, newline=newline, errors=errors) as file:
                is_locked(file.fileno())
                with suppress(OSError):  # there is none yet, or this file system has no permissions
                    temporary.chmod(stat.S_IMODE(target.stat().st_mode))
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            with suppress(OSError):
                temporary.unlink()
    except OSError as error:
        raise FileError(f"cannot write {path}: {_reason(error)} (an earlier file there is unchanged)") from error


def check_can_write(path: str | os.PathLike[str]) -> None:
    """Raise `FileError` if `atomic_write` could not begin, before what is to be written is worked out.

    Nothing is left behind, and no folder made.

    >>> check_can_write("/")
    Traceback (most recent call last):
    nn.files.FileError: cannot write /: Is a directory
    """
    try:
        target = followed(path)
        if target.is_dir():
            raise OSError(os.strerror(errno.EISDIR))
        writable_folder_around(target)
    except OSError as error:
        raise FileError(f"cannot write {path}: {_reason(error)}") from error


def followed(path: str | os.PathLike[str]) -> Path:
    """Where a path leads, through links. Raises OSError if no file can have that name."""
    from pathlib import Path

    try:
        return Path(os.path.realpath(path))
    except ValueError as error:  # a null character, or what cannot be encoded
        raise OSError(str(error)) from error


def writable_folder_around(path: Path) -> Path:
    """The innermost folder around an absolute path that is there already. Raises OSError if it takes no file."""
    import tempfile

    place = next(folder for folder in path.parents if os.path.lexists(folder))
    with tempfile.TemporaryFile(dir=place):
        return place


def is_locked(descriptor: int) -> bool:
    """Whether another process has locked this open file or folder; if none has, this one locks it until it is closed.

    A lock ends with its process, however that ends. Where there are no such locks nothing is ever locked.
    """
    if sys.platform == "win32":  # nor can a file be removed there while it is open
        return False
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # some file systems have no locks
        return False
    return False


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in a folder whose processes have been killed."""
    for temporary in folder.glob(".minigrad-*.tmp"):
        with suppress(OSError), open(temporary, "rb") as file:
            if not is_locked(file.fileno()):
                temporary.unlink()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


# What may be stored: the same in both formats, so that a model can always change format.


def _check_dtype(path: Path, name: str, dtype: np.dtype) -> None:
    if dtype.char not in PLAIN:
        raise FileError(f"{path}: {name!r} is an array of {dtype.name}, not of bool, integers or float16/32/64")


def _plain_array(path: Path, name: str, value: npt.ArrayLike) -> np.ndarray:
    try:
        check_no_more_than_elements(value, "a file")
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # of lists of different lengths, of tensors with gradients
        raise FileError(f"{path}: {name!r} cannot be made an array: {error}") from error
    _check_dtype(path, name, array.dtype)
    return np.asarray(array, array.dtype.type, order="C")


def _checked_name(path: Path, name: str) -> str:
    if not isinstance(name, str) or name == METADATA or not name.isprintable() or "\\" in name or len(name) > MAX_NAME:
        raise FileError(
            f"{path}: {name!r:.80} cannot be an array's name,"
            f" which is printable text without backslashes and not {METADATA!r}"
        )
    return name


def _check_amounts(path: Path, arrays: int, metadata: int) -> None:
    if arrays > MAX_ARRAYS:
        raise FileError(f"{path} has {arrays:,} arrays, and a model file at most {MAX_ARRAYS:,}")
    if metadata > MAX_METADATA:
        raise FileError(f"{path} has {metadata:,} bytes of metadata, and a model file at most {MAX_METADATA:,}")


def checked_metadata(path: Path, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Metadata as a dict, empty for None; FileError if they are none that JSON can hold."""
    if not isinstance(metadata, Mapping | None):
        raise FileError(f"{path}: metadata are a dict, got a {type(metadata).__name__}")
    described = dict(metadata or {})
    check_json(path, described, "metadata")
    return described


def check_json(path: Path, value: object, where: str, *keys: str | int) -> None:
    """Refuse what would not come back from JSON as it went in, naming the entry at fault."""
    if len(keys) > MAX_DEPTH:
        raise FileError(f"{path}: {where} is nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise FileError(f"{path}: the key {key!r} of {_entry(where, keys)} is not a string, as JSON requires")
            check_json(path, item, where, *keys, key)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_json(path, item, where, *keys, index)
    elif isinstance(value, float) and not math.isfinite(value):
        raise FileError(f"{path}: {_entry(where, keys)} is {value}, and JSON holds only finite numbers")
    elif isinstance(value, int) and value.bit_length() > 1024:
        raise FileError(
            f"{path}: {_entry(where, keys)} is an integer beyond the range of float64, which few JSON readers take"
        )
    elif not (value is None or isinstance(value, str | int | float)):
        raise FileError(f"{path}: {_entry(where, keys)} is a {type(value).__name__}, which JSON cannot hold")


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object in a JSON file that may be a stranger's. Raises `FileError` if it cannot be read or has no object.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_write(f"{folder}/config.json") as file:
    ...         json.dump({"lr": 0.1}, file)
    ...     read_json(f"{folder}/config.json")
    {'lr': 0.1}
    """
    from pathlib import Path

    path = Path(path)
    try:
        check_is_file(path)
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_JSON + 1)
        if len(text) > MAX_JSON:
            raise ValueError(f"it has more than {MAX_JSON:,} characters")
        content = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(f"cannot read {path}: {_reason(error)}") from error
    if not isinstance(content, dict):
        raise FileError(f"{path} has no JSON object")
    check_json(path, content, "its content")
    return content


def _entry(where: str, keys: tuple[str | int, ...]) -> str:
    return where + "".join(f"[{key!r}]" for key in keys)


# NumPy's format: a zip archive with one .npy entry an array.


def _write_npz(path: Path, file: IO[bytes], arrays: Arrays, metadata: dict[str, Any]) -> None:
    import zipfile

    text = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in (arrays | {METADATA: text}).items():
            # np.savez takes names as keyword arguments, so it has no room for a parameter called "file"; and an entry
            # without a date makes equal states equal files.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.save(entry, array, allow_pickle=False)


def _read_npz(path: Path) -> tuple[Arrays, object]:
    import zipfile

    count = _checked_directory(path)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) != count:  # a wrong length in one swallows those after it
            raise FileError(f"{path} is damaged: it has {len(entries):,} entries, and counts {count:,}")
        described = [entry.file_size for entry in entries if entry.filename == f"{METADATA}.npy"]
        _check_amounts(path, len(entries) - len(described), sum(described))
        if sum(entry.file_size for entry in entries) > MAX_INFLATION * path.stat().st_size:
            raise FileError(f"{path} would unpack to over {MAX_INFLATION} times its size: save it with np.savez")
        arrays = {entry.filename.removesuffix(".npy"): _read_entry(path, archive, entry) for entry in entries}
    if len(arrays) < len(entries):
        raise FileError(f"{path} is damaged: it holds two arrays of one name")
    text = arrays.pop(METADATA, None)
    return arrays, {} if text is None else json.loads(text.tobytes())


def _checked_directory(path: Path) -> int:
    """How many entries there are by the end record, of which `zipfile` does not ask.

    Refuses a huge table of contents: `zipfile` makes an object of each of its lines before it can be asked.
    """
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, 2**16 + 98), os.SEEK_END)  # the end records and the longest comment
        tail = file.read()
    end = tail.rindex(b"PK\5\6")
    count, size = struct.unpack_from("<HI", tail, end + 10)
    if end >= 76 and tail.startswith(b"PK\6\7", end - 20):  # before it there is one for large files
        count, size = struct.unpack_from("<QQ", tail, end - 44)
    if size > MAX_ARRAYS * 1000:
        raise FileError(f"{path} has a table of contents of {size:,} bytes, which no model file needs")
    return int(count)


def _read_entry(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    import zipfile

    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FileError(f"{path} is compressed in a way NumPy does not use: save it with np.savez")
    with archive.open(entry) as file:
        if read_magic(file) != (1, 0):
            raise FileError(f"{path} is damaged: {entry.filename!r} is not a plain array")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns of headers that Python 2 wrote
            shape, fortran_order, dtype = read_array_header_1_0(file)
        _check_dtype(path, entry.filename, dtype)
        # The header is a claim: nothing is allocated before the entry's size bears it out.
        size = math.prod(shape) * dtype.itemsize
        if size != entry.file_size - file.tell():
            raise FileError(f"{path} is damaged: {entry.filename!r} is not of the size its header claims")
        data = file.read(size)
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")
    return np.array(array, dtype.type, order="C")


# The safetensors library sorts the arrays, so their order travels in the metadata, with a checksum, which it lacks.


def _safetensors(path: Path) -> ModuleType:
    try:
        required("safetensors.numpy", str(path))
        return required("safetensors", str(path))
    except ImportError as error:
        raise FileError(str(error)) from error


def _write_safetensors(path: Path, file: IO[bytes], arrays: Arrays, metadata: dict[str, Any]) -> None:
    text = json.dumps({"names": list(arrays), "metadata": metadata, "crc32": _checksum(arrays, metadata)})
    file.write(_safetensors(path).numpy.save(arrays, {"minigrad": text}))


def _read_safetensors(path: Path) -> tuple[Arrays, object]:
    library = _safetensors(path)
    with path.open("rb") as opened:
        _check_amounts(path, 0, int.from_bytes(opened.read(8), "little") // 4)  # names and shapes are in there too
    with library.safe_open(path, framework="np") as file:
        names, metadata = file.keys(), file.metadata() or {}
        _check_amounts(path, len(names), sum(map(len, metadata.values())))
        arrays = {name: _read_tensor(path, file, name) for name in names}
    # a damaged key hides them not: what looks like ours is ours
    texts = [t for key, t in metadata.items() if key == "minigrad" or (t[:11] == '{"names": [' and '"crc32": ' in t)]
    if not texts:
        return arrays, metadata
    ours = json.loads(texts[0])
    if sorted(ours["names"]) != sorted(arrays):
        raise FileError(f"{path} is damaged: its arrays are not the ones it lists")
    arrays, metadata = {name: arrays[name] for name in ours["names"]}, ours["metadata"]
    if ours.get("crc32") not in (None, _checksum(arrays, metadata)):  # older files have none
        raise FileError(f"{path} is damaged: what it holds is not what was saved")
    return arrays, metadata


def _checksum(arrays: Arrays, metadata: object) -> int:
    """Of all that a file holds."""
    import zlib

    layout = [(name, array.dtype.name, array.shape) for name, array in arrays.items()]
    total = zlib.crc32(json.dumps([layout, metadata]).encode())
    for array in arrays.values():
        total = zlib.crc32(array.data, total)
    return total


def _read_tensor(path: Path, file: Any, name: str) -> np.ndarray:
    dtype = file.get_slice(name).get_dtype()
    if dtype not in {"BOOL", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "F16", "F32", "F64"}:
        raise FileError(f"{path}: {name!r} is of type {dtype}: convert it to float32 where it was made")
    return np.array(file.get_tensor(name), order="C")


def _format(path: Path) -> tuple[Callable[..., None], Callable[[Path], tuple[Arrays, object]]]:
    """What writes and what reads such a file."""
    match ending_of(path):
        case ".npz":
            return _write_npz, _read_npz
        case ".safetensors":
            return _write_safetensors, _read_safetensors
    raise FileError(f"{path} does not end in .npz or .safetensors: the extension chooses the format")
