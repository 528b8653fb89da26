"""`python -m minigrad.show SCRIPT [ARGUMENTS]`: run a script, and write the page of one of its backward passes."""

from __future__ import annotations

import argparse
import runpy
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minigrad.recording import Recorded, Seeded, recording
from minigrad.show.names import names_around, names_in
from minigrad.show.tracing import Recorder, Trace


class OnePass:
    """Takes in one backward pass of a program, and what it was computed from."""

    def __init__(self, number: int) -> None:
        self.number, self.passes = number, 0
        self.recorder, self.in_pass, self.done = Recorder("some"), False, False

    def listen(self, event: Any) -> None:
        """Take in one event; the next step forwards, or the next pass, ends a pass."""
        begins = isinstance(event, Seeded)
        if self.in_pass and not self.done and (begins or (isinstance(event, Recorded) and not event.backwards)):
            self.end(names_around())
        self.in_pass = self.in_pass or begins
        if not self.done:
            self.recorder.listen(event)

    def end(self, names: dict[int, str]) -> None:
        """A pass is over: it is the one that was asked for, or it is forgotten."""
        self.passes, self.in_pass = self.passes + 1, False
        if self.passes == self.number:
            self.done = True
            self.recorder.finish(names)
        else:
            self.recorder = Recorder("some")

    def trace(self, variables: dict[str, Any]) -> Trace | None:
        """The pass, if there was one; `variables` are those of the script when it ended."""
        if self.in_pass and not self.done:
            self.end(names_in(variables))
        return self.recorder.trace if self.done else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`: 0 if the page was written, 1 if there was no such pass or the script raised."""
    given = parsed(arguments)
    watched = OnePass(given.number)
    variables: dict[str, Any] = {}
    sys.argv = [given.script, *given.arguments]
    if not given.module:
        sys.path.insert(0, str(Path(given.script).resolve().parent))
    try:
        with recording(watched.listen):
            run = runpy.run_module if given.module else runpy.run_path
            variables = run(given.script, run_name="__main__")
    finally:  # also of a script that raises, or ends by sys.exit
        trace = watched.trace(variables)
        if trace is not None:
            trace.html(given.output, title=Path(given.script).name)
            print(f"{given.output}: {len(trace.steps)} steps of backward pass {given.number}", file=sys.stderr)
    if trace is None:
        print(f"the script made {watched.passes} backward passes, so there is no page", file=sys.stderr)
        return 1
    if given.open:
        webbrowser.open(given.output.resolve().as_uri())
    return 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The arguments of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m minigrad.show",
        description="Run a script, unchanged, and write a page that steps through one of its backward passes.",
        epilog="What follows SCRIPT is passed on to it.",
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("backprop.html"), metavar="FILE",
                        help="the page to write (default: backprop.html)")
    parser.add_argument("--pass", dest="number", type=int, default=1, metavar="N",
                        help="which of its backward passes (default: 1)")
    parser.add_argument("--module", action="store_true", help="SCRIPT is the name of a module, as for python -m")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument("script", metavar="SCRIPT", help="the script to run")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="the script's own arguments")
    given = parser.parse_args(arguments)
    if given.number < 1:
        parser.error(f"--pass counts from 1, got {given.number}")
    if not given.module and not Path(given.script).is_file():
        parser.error(f"there is no script {given.script}")
    if "-o" in given.arguments:  # behind the script it would be the script's, which nobody means
        place = given.arguments.index("-o")
        given.output = Path(given.arguments[place + 1])
        del given.arguments[place : place + 2]
    return given
