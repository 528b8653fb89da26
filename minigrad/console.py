"""What the commands of every layer share: arguments that are read without silence or harm to the terminal."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


def without_control(text: str) -> str:
    r"""A text without what a terminal obeys instead of showing, and without spaces around it.

    >>> without_control("\x1b[31mcat\t")
    '[31mcat'
    """
    return "".join(character for character in text if character.isprintable()).strip()


class Parser(argparse.ArgumentParser):
    """argparse, but help that cannot be written is an `OSError`, and no error commands the terminal."""

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Write the help; argparse keeps it to itself when that fails."""
        print(self.format_help(), end="", file=file)

    def error(self, message: str) -> NoReturn:
        """End with a sentence."""
        super().error(without_control(message))
