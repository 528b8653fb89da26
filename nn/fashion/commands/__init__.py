"""The commands of `python -m nn.fashion`, one file each: flags, and a call of the function that does the work.

A command is a module with a docstring, of which the first line is its help, with `add_arguments(parser)`, which
declares its flags, and with `run(given)`, which does what they ask for and may return an exit status.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

from nn.console import say, without_control
from nn.fashion.commands import evaluate, export, page, predict, report, samples
from nn.fashion.idx import DataError
from nn.files import FileError

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

COMMANDS: dict[str, ModuleType] = {
    "evaluate": evaluate, "export": export, "page": page, "predict": predict, "report": report, "samples": samples,
}


class Parser(argparse.ArgumentParser):
    """argparse, but help that cannot be written is an `OSError`, and no error commands the terminal."""

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Write the help; argparse keeps it to itself when that fails."""
        print(self.format_help(), end="", file=file)

    def error(self, message: str) -> NoReturn:
        """End with a sentence."""
        super().error(without_control(message))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status, 1 after one sentence on standard error if it cannot be done."""
    parser = Parser(prog="python -m nn.fashion", description="Use data and trained models.")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        summary, _, rest = (command.__doc__ or "").partition("\n")
        subparser = subparsers.add_parser(
            name, help=summary, description=summary, epilog=rest.strip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    given = parser.parse_args(arguments)
    warnings.showwarning = lambda message, *_: say(f"Warning: {message}", sys.stderr)
    try:
        return given.run(given) or 0
    except (DataError, FileError, ImportError, ValueError) as error:
        say(f"{parser.prog}: {error}", sys.stderr)
        return 1
