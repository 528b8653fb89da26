"""One line of Python that shows a fault again. It is run before it is printed: where it does not fail, words do."""

from __future__ import annotations

import ast
import linecache
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

import minigrad
from minigrad.guards import user_frame
from minigrad.ops import operations
from minigrad.tensor import Tensor
from minigrad.testing.numeric import Tolerance, Verdict
from minigrad.testing.report import Report
from minigrad.testing.spelling import LONGEST, Name, spelled
from minigrad.testing.subject import is_variable
from minigrad.trees import leaves, rebuilt

ENGINE = __name__.partition(".")[0]
LONGEST_LINE = 700  # characters
OTHERS = ("standard_normal({})", "uniform(0.5, 1.5, {})")  # what arrays that are too long are replaced by
FEW = 4  # elements of an array that stays where the line is too long with more


def users_frames() -> Iterator[Any]:
    """What is running outside of the engine, innermost first."""
    frame = sys._getframe(1)
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] != ENGINE:
            yield frame
        frame = frame.f_back  # type: ignore[assignment]


def named(thing: Any) -> tuple[str, str, dict[str, Any]] | None:
    """(import, expression, what the names in it mean) by which a user may call something; None if it has no name.

    A name is one of `mg`, what a `def` says, what a module assigns at its top level, or something to be imported.
    """
    if hasattr(thing, "is_unnamed"):
        return None
    own, path = getattr(thing, "__name__", ""), getattr(thing, "__qualname__", "")
    adapter, holder = getattr(thing, "adapter", None), getattr(thing, "__self__", None)
    if adapter or (holder is not None and not isinstance(holder, ModuleType)):  # a method: of what?
        found = named(thing.adapted if adapter else holder)
        return found and (found[0], f"{adapter}({found[1]})" if adapter else f"{found[1]}.{own}", found[2])
    for name, known in operations.items():
        if known.function is thing and at(minigrad, name) is thing:
            return "", f"mg.{name}", {}
    frames = list(users_frames())
    home = getattr(thing, "__globals__", {})
    modules: list[Any] = [{} if is_ours(home.get("__name__")) else home, *(frame.f_globals for frame in frames)]
    scopes = [*modules, *(frame.f_locals for frame in frames)]
    if own.isidentifier() and any(is_named(scope.get(own), thing) for scope in scopes):
        return "", own, {own: thing}
    for scope in modules:
        for name in assigned(scope.get("__file__")) if any(is_named(x, thing) for x in scope.values()) else ():
            if is_named(scope.get(name), thing):
                return "", name, {name: thing}
    module = str(getattr(thing, "__module__", None))
    root, home_module = path.partition(".")[0], sys.modules.get(module)
    if path and is_named(at(home_module, path), thing):
        return ("", path, {root: at(home_module, root)}) if module == "__main__" or root in modules[0] else (
            f"from {module} import {root}; ", path, {})
    return ("", own, {own: thing}) if own.isidentifier() and hasattr(thing, "__code__") else None


def is_ours(module: str | None) -> bool:
    """Whether a module, by its name, is of minigrad or of nn."""
    return str(module).partition(".")[0] in (ENGINE, "nn")


def is_named(held: Any, thing: Any) -> bool:
    """Whether a variable holds something, or the property test of it."""
    return held is thing or (isinstance(held, FunctionType) and vars(held).get("checks_gradient_of") is thing)


def assigned(file: str | None) -> list[str]:
    """The variables that a file assigns at its top level, not in a loop."""
    statements = ast.parse("".join(linecache.getlines(file))).body if file else []
    targets = [target for s in statements if isinstance(s, ast.Assign) for target in s.targets]
    return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]


def shown_place(file: str, line: int) -> str:
    """`file:line`, the file relative to the working directory if it is below."""
    inside = os.path.isabs(file) and file.startswith(os.getcwd() + os.sep)
    return f"{os.path.relpath(file) if inside else file}:{line}"


def calling_line() -> str:
    """`file:line` of the user's program that is running."""
    frame = user_frame()
    return shown_place(frame.f_code.co_filename, frame.f_lineno)


def written_at(function: Any) -> str | None:
    """The line where a function begins, if it is written in Python."""
    code = getattr(getattr(function, "func", function), "__code__", None)
    return shown_place(code.co_filename, code.co_firstlineno) if code else None


def at(root: Any, path: str) -> Any:
    """What a dotted path leads to; None if nowhere."""
    for name in path.split("."):
        root = getattr(root, name, None)
    return root


class SourceLine:
    """A call of `gradcheck` that is put together.

    Attributes:
        names: what its names mean, besides `np`, `mg` and `gradcheck`.
    """

    def __init__(self) -> None:
        self.imports, self.names, self.drawn = "", dict[str, Any](), 0

    def name(self, thing: Any) -> str:
        """The name of a function or module, remembered.

        Raises:
            LookupError: if it has none.
        """
        found = named(thing)
        if found is None:
            raise LookupError(f"{thing} has no name")
        imports, expression, names = found
        self.imports += imports if imports not in self.imports else ""
        self.names |= names
        return expression

    def spelled(self, tree: Any, at_random: str | None = None, most: int = LONGEST) -> str:
        """Source of an argument, functions and modules in it by their names.

        Arrays of more than `most` elements are drawn at random if asked.
        """
        return spelled(rebuilt(tree, [self.leaf(x, at_random, most) for x in leaves(tree)]))

    def leaf(self, x: Any, at_random: str | None = None, most: int = LONGEST) -> Any:
        if callable(x) and not isinstance(x, (type, Tensor)):
            return Name(self.name(x))
        if not isinstance(x, (Tensor, np.ndarray)) or x.size <= (most if x.dtype.kind == "f" else LONGEST):
            return x
        if at_random is None or x.dtype.kind != "f":
            raise LookupError(f"an array of shape {x.shape} is too long")
        self.drawn += 1
        return Name(f"np.random.default_rng({self.drawn}).{at_random.format(x.shape)}")

    def fails(self, source: str) -> bool:
        """Whether the line, broken as a report breaks it, runs and finds a wrong gradient."""
        from minigrad.testing.check import examined  # which makes these lines

        shown = False

        def tried(f: Any, *inputs: Any, **options: Any) -> None:
            nonlocal shown
            for quick in ({"directions": 1}, {}):  # mostly it is wrong along the first direction, if along any
                report = examined(Request(f, inputs, **options | quick | {"checks": ()}), explained=False)
                shown = not report.ok and (bool(report.verdicts[Verdict.WRONG]) or not report.verdicts)
                if shown:
                    return

        names = self.names | {"np": np, "mg": minigrad, "gradcheck": tried}
        if len(source) > LONGEST_LINE:
            return False
        try:
            exec(as_printed(self.imports + source), names)
        except Exception:  # whatever it is: the line does not run
            return False
        return shown


def reproduction(
    function: Callable[[SourceLine], str], inputs: Any, options: Mapping[str, Any]
) -> list[str]:
    """The line in a list, after a sentence if it is not quite the call; nothing if no line shows the fault.

    Args:
        function: the source of what is checked.
        inputs: what it is checked at.
        options: those of `gradcheck` that are not as usual.
    """
    for at_random, most in ((None, LONGEST), *product(OTHERS, (LONGEST, FEW))):
        line = SourceLine()
        try:
            values = [line.spelled(variable, at_random, most) for variable in inputs]
            extra = [f"{name}={line.spelled(x)}" for name, x in options.items()]
            source = f"gradcheck({', '.join([function(line), *values, *extra])})"
        except LookupError:
            continue
        if line.fails(source):
            said = "its arrays are too long to be printed: it is wrong at others too, as in the next line"
            return [*([said] if at_random else []), f"reproduce: {line.imports}{source}"]
    return []


def as_printed(source: str) -> str:
    """A line as a report breaks it."""
    return str(Report("", details=[source])).partition("\n")[2].strip()


def in_words() -> str:
    """Which call to repeat."""
    if str(user_frame().f_globals.get("__name__")).startswith("hypothesis."):
        return "to see it again, run the test again: hypothesis remembers the example, if it has a database"
    return f"to see it again, repeat the call at {calling_line()}"


@dataclass(frozen=True)
class Request:
    """What `gradcheck` is asked for, see `gradient_report`."""

    f: Callable[..., Any]
    inputs: Sequence[Any]
    gradient: Callable[..., Any] | None = None
    model: Any = None
    wrt: int | Sequence[int] | None = None
    order: int = 1
    checks: Collection[str] | None = None
    every_entry: bool = False
    directions: int = 3
    rtol: float = Tolerance.rtol
    atol: float = Tolerance.atol
    seed: int = 0

    @property
    def function(self) -> Callable[..., Any]:
        """What is checked: of a property test, the function that it tests."""
        return getattr(self.f, "checks_gradient_of", self.f)

    def options(self) -> dict[str, Any]:
        """Those that are not as usual."""
        given = {option.name: (getattr(self, option.name), option.default) for option in fields(self)[2:]}
        return {name: x for name, (x, usual) in given.items() if repr(x) != repr(usual)}

    def numbers(self) -> dict[str, Any]:
        """The options that a check of one step needs as well."""
        kept = {name: x for name, x in self.options().items() if name in ("order", "rtol", "atol")}
        return kept | {"seed": self.seed}

    def again(self) -> list[str]:
        """A line that makes the call again, or words that say which call to repeat."""
        inputs = list(self.inputs)
        plain = [x.numpy() if isinstance(x, Tensor) and is_variable(x) else x for x in leaves(inputs)]
        lines = reproduction(lambda line: line.name(self.function), rebuilt(inputs, plain), self.options())
        return lines or [in_words()]
