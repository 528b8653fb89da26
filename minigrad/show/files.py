"""Writing what is shown to a file."""

from __future__ import annotations

from pathlib import Path


def write(path: str | Path, content: str | bytes) -> None:
    """Write a text, or bytes, to a file.

    Raises:
        OSError: in a sentence, if that cannot be done; of the kind that Python raises.
    """
    try:
        Path(path).write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise type(error)(cannot_be_written(path, error)) from error
    except ValueError as error:  # a name that no file can have
        raise OSError(f"{str(path)!r} cannot be written: {error}") from error


def cannot_be_written(path: str | Path, error: OSError) -> str:
    """The sentence for a file that cannot be written."""
    folder = Path(path).parent
    if not folder.exists():
        return f"{path} cannot be written: make the directory {folder} first"
    return f"{path} cannot be written: {error.strerror or error}"
