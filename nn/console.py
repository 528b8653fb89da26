"""Commands on any console: what is printed arrives, or the exit status and a sentence tell that it did not."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from minigrad.console import without_control
from nn.processes import ending


def print_anywhere() -> None:
    """Let everything be printed in the encoding of the console: what that lacks becomes a question mark.

    A stream that is closed becomes one that swallows everything, so that no file is opened in its place.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace" if name == "stdout" else "backslashreplace")


def say(sentence: str, file: TextIO | None = None) -> None:
    r"""Print a line that may quote names of files and what strangers wrote: whatever they hold, it stays one line.

    >>> say("Wrote \x1b[2J garments\n.html")
    Wrote [2J garments.html
    """
    print(without_control(sentence), file=file, flush=True)


def as_path(text: str) -> Path:
    """A converter for argparse: a path, where no shell has expanded the ~ of --output=~/page.html; no web address."""
    if not text.strip() or "://" in text:
        raise ValueError
    return Path(os.path.expanduser(text))  # of a user that there is not, Path's own raises RuntimeError


as_path.__name__ = "path"  # argparse: "invalid path value"


def positive(number: type[int] | type[float], zero: bool = False) -> Callable[[str], float]:
    """A converter for argparse: a number above zero, or not below it."""

    def convert(text: str) -> float:
        converted = number(text)
        if not (converted >= 0 if zero else converted > 0):
            raise ValueError
        return converted

    convert.__name__ = f"{'non-negative' if zero else 'positive'} {number.__name__}"  # argparse: "invalid … value"
    return convert


def complain(status: int, sentence: str) -> int:
    """Say why a command ends, if that is to be said; returns the status."""
    if sentence:
        with suppress(OSError):
            say(sentence, sys.stderr)
    return status


def exit_status(program: str, command: Callable[[], int], end: Callable[[int, str], int] = complain) -> int:
    """Run a command to its end; returns its exit status, or 1 if not all that it printed has arrived.

    Args:
        program: the name that a sentence on standard error begins with.
        command: prints what it likes, and returns its exit status or raises `SystemExit`, as argparse does.
        end: told the status and the sentence, which may be empty.
    """
    is_lost, sentence = sys.stdout is None, ""
    print_anywhere()
    try:
        try:
            status = command()
        except SystemExit as stop:
            status, sentence = ending(stop)
        sys.stdout.flush()
        if is_lost and not status:
            status, sentence = 1, f"{program}: standard output is closed: what was printed is lost"
    except BrokenPipeError:  # whoever read the output, `head` say, has gone
        status = 1
    except OSError as error:
        what = f"use {error.filename}" if error.filename else "write what is printed"
        status, sentence = 1, f"{program}: cannot {what}: {error.strerror or error}"
    except MemoryError:
        status, sentence = 1, f"{program}: there is not enough memory"
    except KeyboardInterrupt:
        status, sentence = 130, f"{program}: interrupted"
    status = end(status, sentence)
    for stream in (sys.stdout, sys.stderr):  # so that Python cannot complain when it flushes them at the end
        with suppress(OSError, ValueError):
            stream.flush()
            continue
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return status
