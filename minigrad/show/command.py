"""`python -m minigrad.show SCRIPT [ARGUMENTS]`: run a script, and write the page of one of its backward passes."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from runpy import run_module
from types import ModuleType
from typing import Any

from minigrad.console import Parser
from minigrad.graph import backward, sweep, swept, watches
from minigrad.recording import Recorded, Recorder, Seeded, active
from minigrad.show.names import names_around, names_in
from minigrad.show.tracing import Trace, Tracer


class OnePass:
    """Takes in one backward pass of a program, of whichever thread, and what it was computed from."""

    def __init__(self, number: int) -> None:
        self.number, self.passes = number, 0
        self.found: Trace | None = None
        self.threads: list[PassesOfThread] = []
        self.lock = threading.Lock()

    def watch(self, *profiled: Any) -> None:
        """Take in what this thread does from now on; a thread begins with this instead of a profiler."""
        if profiled:
            sys.setprofile(None)
        passes = PassesOfThread(self)
        self.threads.append(passes)
        watches[threading.get_ident()] = passes.watch

    def over(self, recorder: Tracer, names: dict[int, str]) -> None:
        """A pass is over: it is the one that was asked for, or it is forgotten."""
        with self.lock:
            self.passes += 1
            if self.passes == self.number:
                recorder.finish(names)
                self.found = recorder.trace

    def trace(self, variables: dict[str, Any]) -> Trace | None:
        """The pass, if there was one; `variables` are those of the script when it ended."""
        for thread in self.threads:
            thread.end(names_in(variables))
        return self.found


class PassesOfThread:
    """Takes in the backward passes of one thread."""

    def __init__(self, all_threads: OnePass) -> None:
        self.all_threads, self.recorder, self.in_pass = all_threads, Tracer("some", held=0), False
        self.at_seeds, self.watch = False, Recorder([self.listen])

    def listen(self, event: Any) -> None:
        """Take in one event; the next step forwards, or the next pass, ends a pass.

        A pass has several seeds if it begins at several results. What a hook or a rule computes, and a pass within, are
        part of it. When the pass is found, the rest of the script runs as fast as without.
        """
        if self.all_threads.found is not None:
            if self.watch.listeners == [self.listen]:  # nobody else listens
                watches.pop(threading.get_ident(), None)
            return
        is_seed = isinstance(event, Seeded) and len([*active(swept)]) == 1
        begins = is_seed and not self.at_seeds
        if begins or (isinstance(event, Recorded) and not any(active(sweep, backward))):
            self.end(names_around() if self.in_pass else {})
        self.in_pass, self.at_seeds = self.in_pass or begins, is_seed
        self.recorder.listen(event)
        if begins:  # a function that calls `backward` may have returned when the pass is over
            self.recorder.named = self.recorder.names_of(names_around())

    def end(self, names: dict[int, str]) -> None:
        """If there was a pass, it is over."""
        if self.in_pass:
            self.all_threads.over(self.recorder, names)
            self.recorder, self.in_pass = Tracer("some", held=0), False


@contextmanager
def watched_threads(watched: OnePass) -> Iterator[None]:
    """Within this context, this thread and all that start in it, are watched."""
    threading.setprofile(watched.watch)
    watched.watch()
    try:
        yield
    finally:
        threading.setprofile(None)
        watches.pop(threading.get_ident(), None)


@contextmanager
def leaving() -> Iterator[None]:
    """Within this context, `sys.exit()` is an end like any other."""
    try:
        yield
    except SystemExit as end:
        if end.code not in (None, 0):
            raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`: 0 if the page was written, 1 if there was no such pass or the script raised."""
    given = parsed(arguments)
    watched = OnePass(given.number)
    variables: dict[str, Any] = {}
    sys.argv = [given.script, *given.arguments]
    if not given.module:
        sys.path.insert(0, str(Path(given.script).resolve().parent))
    output = given.output.resolve()  # the script may go to another directory
    try:
        with watched_threads(watched):
            with leaving():
                variables = run_as_main(given.script, given.module)
            threading._shutdown()  # type: ignore[attr-defined]  # as Python ends; idle workers of pools end too
    except BaseException:  # of the script, which raises, or ends by sys.exit(3): that is all it does
        write_page(watched, variables, given, output)
        raise
    if not write_page(watched, variables, given, output):
        return 1
    if given.open:
        webbrowser.open(output.as_uri())
    return 0


def run_as_main(script: str, as_module: bool) -> dict[str, Any]:
    """Run a script, which stays `__main__` for what runs when it has ended, or a module; the variables it has then."""
    if as_module:
        return run_module(script, run_name="__main__", alter_sys=True)
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__file__ = os.path.abspath(script)
    exec(compile(Path(script).read_bytes(), main.__file__, "exec", dont_inherit=True), vars(main))
    return vars(main).copy()


def write_page(watched: OnePass, variables: dict[str, Any], given: argparse.Namespace, output: Path) -> bool:
    """Write the page of the pass that was asked for, if there was one, and say so."""
    trace = watched.trace(variables)
    if trace is None:
        made = f"{watched.passes} backward pass{'es' * (watched.passes != 1)}" if watched.passes else "no backward pass"
        print(f"the script made {made}, so there is no page of pass {given.number}", file=sys.stderr)
        return False
    try:
        trace.html(output, title=Path(given.script).name)
    except OSError as error:
        print(error, file=sys.stderr)
        return False
    print(f"{given.output}: {len(trace.steps)} steps of backward pass {given.number}", file=sys.stderr)
    return True


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The arguments of the command."""
    parser = Parser(
        prog="python -m minigrad.show",
        description="Run a script, unchanged, and write a page that steps through one of its backward passes.",
        epilog="What follows SCRIPT is passed on to it. Only -o FILE is taken from there, unless it was given before "
        "SCRIPT already.",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE",
                        help="the page to write (default: backprop.html)")
    parser.add_argument("--pass", dest="number", type=int, default=1, metavar="N",
                        help="which of its backward passes (default: 1)")
    parser.add_argument("--module", action="store_true", help="SCRIPT is the name of a module, as for python -m")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument("script", metavar="SCRIPT", help="the script to run")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="the script's own arguments")
    try:
        given = parser.parse_args(arguments)
    except OSError as error:
        parser.exit(1, f"{parser.prog}: cannot write what is printed: {error.strerror}\n")
    if given.number < 1:
        parser.error(f"--pass counts from 1, got {given.number}")
    if not given.module and not Path(given.script).is_file():
        parser.error(f"there is no script {given.script}")
    if given.module and not is_module(given.script):
        parser.error(f"there is no module {given.script}")
    if given.output is None and "-o" in given.arguments:  # behind the script it is the script's only if it is here too
        place = given.arguments.index("-o")
        given.output, *_ = [*map(Path, given.arguments[place + 1 : place + 2]), None]
        if given.output is None:
            parser.error("-o needs the name of the page to write")
        del given.arguments[place : place + 2]
    given.output = given.output or Path("backprop.html")
    if given.output.suffix.lower() not in ("", ".html", ".htm"):
        parser.error(f"{given.output} is to be a page: give a name that ends in .html")
    if not given.output.parent.is_dir():  # before a script runs for an hour
        parser.error(f"{given.output} cannot be written: make the directory {given.output.parent} first")
    if given.output.is_dir() or not os.access(given.output if given.output.exists() else given.output.parent, os.W_OK):
        parser.error(f"{given.output} cannot be written: it, or its directory, does not permit that")
    return given


def is_module(name: str) -> bool:
    """Whether there is such a module, or a package that can be run."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError as error:  # it is in no package, or that has an error of its own
        return not f"{name}.".startswith(f"{error.name}.")
