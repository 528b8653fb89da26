"""The names of the classes of somebody's data: a limited number, short, and safe to print."""

from collections.abc import Sequence
from pathlib import Path

from minigrad.console import without_control
from nn.fashion.idx import DataError
from nn.files import check_is_file

FEWEST_CLASSES, MOST_CLASSES = 2, 1000
LONGEST_NAME = 100  # characters
LONGEST_SHOWN = 24  # of them in a picture
LARGEST_LIST = 2**20  # bytes, far more than so many names have


def checked_names(names: Sequence[str], where: Path | str) -> tuple[str, ...]:
    """The names without control characters; raises `DataError` if two are alike, or if they are too few or too many.

    >>> checked_names(["cat", "dog"], Path("pets"))
    ('cat', 'dog')
    """
    if len(names) < FEWEST_CLASSES:
        only = f"only one class, {without_control(names[0])!r}" if names else "no classes"
        raise DataError(f"{where} has {only}: a network tells two or more apart")
    if len(names) > MOST_CLASSES:
        raise DataError(f"{where} has {len(names):,} classes, more than the {MOST_CLASSES:,} a network here may have")
    clean = tuple(map(without_control, names))
    for place, name in enumerate(clean, 1):
        if not name or len(name) > LONGEST_NAME:
            raise DataError(f"{where} gives class {place} a name of {len(name)} characters:"
                            f" it has 1 to {LONGEST_NAME} that can be printed")
        if clean.index(name) < place - 1:
            raise DataError(f"{where} has two classes of the name {name!r}")
    return clean


def shortened(name: str) -> str:
    """A name for a picture, which has room for few characters.

    >>> shortened("Cordless hammer drill, small")
    'Cordless hammer drill, …'
    """
    return name if len(name) <= LONGEST_SHOWN else f"{name[: LONGEST_SHOWN - 1]}…"


def read_names(path: Path) -> tuple[str, ...] | None:
    """The names in a text file, one a line; None if there is no such file. Raises `DataError` if they are no names."""
    try:
        check_is_file(path)
        with open(path, "rb") as file:
            text = file.read(LARGEST_LIST + 1)
        if len(text) > LARGEST_LIST:
            raise DataError(f"{path} is no list of names: it has more than {LARGEST_LIST:,} bytes")
        return checked_names(text.decode("utf-8-sig").rstrip().splitlines(), path)
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8: byte {error.start:,} does not fit") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
