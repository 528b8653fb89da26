"""The folder of a run: which files are a run's, and how it is kept from being two runs' at once."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path

from nn.files import FileError, check_can_write, ending_of, is_locked, remove_leftovers, writable_folder_around

CHECKPOINT, MODEL, METRICS, CONFIG, RESULT = "checkpoint.npz", "model.npz", "metrics.csv", "config.json", "result.json"
REPORT = "report.html"
FILES_OF_A_RUN = CHECKPOINT, MODEL, METRICS, CONFIG, RESULT, "report.png", REPORT


def holds_run(folder: Path) -> bool:
    """Whether there is a file of a run in the folder."""
    return any(os.path.exists(folder / name) for name in FILES_OF_A_RUN)


def files_to_replace(folder: Path) -> list[Path]:
    """The files of a run in the folder. Raises FileError if one is a folder, so that not all could be removed."""
    found = [folder / name for name in FILES_OF_A_RUN if os.path.lexists(folder / name)]
    if folders := [path.name for path in found if path.is_dir() and not path.is_symlink()]:
        raise FileError(f"cannot replace the run in {folder}: {folders[0]} is a folder")
    return found


def remove_all_but(kept: Path) -> None:
    """Remove the other files of a run beside one, so that those of two do not mix. Raises FileError."""
    try:
        for path in files_to_replace(kept.parent):
            if path != kept:
                path.unlink()
    except OSError as error:
        raise FileError(f"cannot replace the run in {kept.parent}: {error.strerror}") from error


def check_output(path: Path | None, *endings: str) -> None:
    """Refuse a file that a command is to write, if one is named, before there is anything to write.

    Raises:
        ValueError: if it has another ending than these: it may be something else, a model say; or if it is one of the
            files of a run.
        FileError: if it cannot be written there.
    """
    if path is None:
        return
    if ending_of(path) not in endings:
        raise ValueError(f"{path} does not end in {endings[0]}")
    replaced = Path(os.path.realpath(path))
    beside = (replaced.parent / name for name in FILES_OF_A_RUN if name != replaced.name)
    if replaced.name in FILES_OF_A_RUN and os.path.exists(replaced) and any(map(os.path.exists, beside)):
        raise ValueError(f"{path} is a file of a run: write to another one")
    check_can_write(path)


def numbered(folder: Path) -> Iterator[Path]:
    """The folder, then it with -2, -3, … at its end."""
    return chain([folder], (folder.with_name(f"{folder.name}-{number}") for number in count(2)))


def newest(folder: Path) -> Path:
    """Of a folder and its numbered ones, the one whose checkpoint was written last; the folder itself if none has one.
    """
    written: dict[Path, int] = {}
    for place in folder.parent.iterdir() if folder.parent.is_dir() else ():
        with suppress(OSError):
            if re.fullmatch(re.escape(folder.name) + r"(-\d+)?", place.name):
                written[place] = (place / CHECKPOINT).stat().st_mtime_ns
    return max(written, key=written.__getitem__, default=folder)


@contextmanager
def free_folder(folder: Path) -> Iterator[Path]:
    """Inside, the first one of a folder and its numbered ones that holds no run is this process's own."""
    for place in numbered(folder):
        if holds_run(place):
            continue
        try:
            with own_folder(place):
                if not holds_run(place):  # by now
                    yield place
                    return
        except InUseError:
            continue


def check_room(folder: Path, size: int) -> None:
    """Raise FileError if files of so many bytes could not be written to the folder; nothing is left behind."""
    try:
        free = shutil.disk_usage(writable_folder_around(folder.absolute() / CHECKPOINT)).free
    except OSError as error:
        raise FileError(f"cannot write to {folder}: {error.strerror}; choose another folder with --out") from error
    if free < size:
        raise FileError(f"there is no room in {folder}: a run takes {size / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB are"
                        " free; choose another folder with --out")
    if folder.is_dir():
        with own_folder(folder):
            pass


class InUseError(FileError):
    """Another run is at work in the folder."""


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Inside, the folder, made if need be, is this process's own. What killed processes left in it is removed.

    Raises:
        InUseError: if another run is at work there.
        FileError: if the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = opened(folder)
    except OSError as error:
        raise FileError(f"cannot write to {folder}: {error.strerror}; choose another folder with --out") from error
    try:
        if descriptor is None or is_locked(descriptor):
            raise InUseError(f"another run is at work in {folder}: wait for it, or choose another folder with --out")
        remove_leftovers(folder)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def opened(folder: Path) -> int | None:
    """What to lock of a folder; None if that is locked already: on Windows, by a file that ends with its process."""
    if sys.platform != "win32":
        return os.open(folder, os.O_RDONLY)
    try:
        return os.open(folder / ".lock", os.O_CREAT | os.O_EXCL | os.O_TEMPORARY)
    except (FileExistsError, PermissionError):
        return None
