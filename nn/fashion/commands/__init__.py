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

from minigrad.console import Parser
from nn.console import say
from nn.fashion.commands import evaluate, export, page, predict, report, samples
from nn.fashion.idx import DataError
from nn.files import FileError

COMMANDS: dict[str, ModuleType] = {
    "evaluate": evaluate, "export": export, "page": page, "predict": predict, "report": report, "samples": samples,
}


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
