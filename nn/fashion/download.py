"""Fetching the data set into the user's cache folder, where a file is either whole and verified or absent."""

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from nn.extras import required
from nn.fashion import idx
from nn.fashion.idx import DataError, IdxFile
from nn.files import FileError, atomic_write, bounded

MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
CONNECT_SECONDS = 3.0  # until a mirror begins to answer: somebody offline waits this long, once a mirror
STALL_SECONDS = 15.0  # between two pieces of an answer that has begun
LARGEST_DOWNLOAD = 2**26  # bytes; the largest file has 26 million


def cache_folder() -> Path:
    """Where this platform keeps a user's caches, extended by `minigrad/fashion-mnist`; it need not exist yet."""
    return _user_caches() / "minigrad" / "fashion-mnist"


def fetch(files: Iterable[IdxFile], folder: Path) -> None:
    """Bring the original of every file into the folder, from the first mirror that has it.

    Originals that are already there stay. A mirror that fails is not asked again.
    Raises `DataError` when no mirror is left or the folder cannot be written; no broken file stays behind then.

    For example: `fetch(FILES.values(), cache_folder())`
    """
    missing = [file for file in files if not _has_original(folder, file)]
    faults = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for mirror in MIRRORS:
            try:
                while missing:
                    data = receive(mirror, missing[0])
                    with atomic_write(folder / f"{missing[0].name}.gz", "wb") as file:
                        file.write(data)
                    del missing[0]
                return
            except DataError as error:
                faults.append(str(error))
    except OSError as error:
        raise DataError(f"cannot write {folder}: {_reason(error)}") from error
    except FileError as error:
        raise DataError(str(error)) from error
    raise DataError(f"no mirror works ({'; '.join(faults)})")


def receive(mirror: str, file: IdxFile) -> bytes:
    """The gzip-packed original of a file, verified; raises `DataError` when the mirror cannot give it."""
    url = f"{mirror}{file.name}.gz"
    try:
        with connect(url) as response, progress(file.name, response.length) as advance:
            data = bytearray()
            while len(data) <= LARGEST_DOWNLOAD and (chunk := response.read(2**16)):
                data += chunk
                advance(len(chunk))
    except (OSError, HTTPException, ValueError) as error:
        raise DataError(f"{urlsplit(mirror).netloc}: {_reason(error)}") from error
    if idx.parse(io.BytesIO(data), url, file.item_shape).md5 != file.md5:
        raise DataError(f"{url} is not the original file")
    return bytes(data)


def connect(url: str) -> HTTPResponse:
    """`urlopen`, but all told within CONNECT_SECONDS; raises `TimeoutError` after that.

    urlopen's own timeout starts anew for each address of a host and does not count the name lookup, hence the thread.
    """
    outcomes: SimpleQueue[HTTPResponse | Exception] = SimpleQueue()

    def attempt() -> None:
        try:
            outcomes.put(urlopen(url, timeout=STALL_SECONDS))
        except Exception as error:  # whatever it is, it is raised again below
            outcomes.put(error)

    Thread(target=attempt, daemon=True).start()
    try:
        outcome = outcomes.get(timeout=CONNECT_SECONDS)
    except Empty:
        raise TimeoutError(f"no answer within {CONNECT_SECONDS:g} seconds") from None
    if isinstance(outcome, HTTPError):
        outcome.close()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


@contextlib.contextmanager
def progress(
    name: str, total: int | None, doing: str = "Downloading", unit: str = "B"
) -> Iterator[Callable[[int], object]]:
    """A bar on a terminal when tqdm is installed; yields the function that moves it on by some bytes, or what it is."""
    try:
        tqdm = required("tqdm", "a bar").tqdm
    except ImportError:
        if sys.stderr.isatty():
            print(f"{doing} {name} ...", file=sys.stderr)
        yield lambda count: None
        return
    with tqdm(total=total, desc=name, unit=unit, unit_scale=unit == "B", leave=False, disable=None) as bar:
        yield bar.update


def _reason(error: Exception) -> str:
    """What went wrong on the way, without the wrapping of urllib and the numbers of the operating system."""
    cause = error.reason if isinstance(error, URLError) and not isinstance(error, HTTPError) else error
    return bounded(str(getattr(cause, "strerror", None) or cause))[:200] or type(error).__name__


def _has_original(folder: Path, file: IdxFile) -> bool:
    path = file.find(folder)
    try:
        return path is not None and idx.read(path, file.item_shape).md5 == file.md5
    except DataError:
        return False


def _user_caches() -> Path:
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(chosen):  # the XDG base directory specification: a relative path counts as unset
        return Path(chosen)
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local)
    try:
        home = Path.home()
    except RuntimeError:  # an account without a home, as in some containers
        return Path(tempfile.gettempdir())
    return home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
