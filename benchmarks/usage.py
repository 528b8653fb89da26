"""What the commands here share in refusing what they are given."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from nn import FileError
from nn.fashion import DataError


def one_of(names: Collection[str]) -> Callable[[str], str]:
    """A converter for argparse: one of these names. (Its `choices` do not take that there may be none of them.)"""

    def convert(text: str) -> str:
        if text not in names:
            raise ArgumentTypeError(f"there is no {text!r:.80}, only {', '.join(names)}")
        return text

    return convert


@contextmanager
def refusing(parser: ArgumentParser) -> Iterator[None]:
    """Inside, what is wrong with a model or with data ends the command with its usage and a sentence."""
    try:
        yield
    except (DataError, FileError) as error:
        parser.error(str(error))
