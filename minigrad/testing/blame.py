"""Which operation is to blame: each recorded step checked on its own, at the values it had."""

from __future__ import annotations

import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np

from minigrad.anomaly import watching
from minigrad.graph import watches
from minigrad.ops import operations
from minigrad.tensor import Tensor, TensorLike, as_tensor, extras_of
from minigrad.testing.numeric import Tolerance, Verdict
from minigrad.testing.probe import Place, Probe, excused_by_kinks
from minigrad.testing.spelling import LONGEST, Name, called, spelled
from minigrad.testing.subject import SecondOrder, TensorSubject
from minigrad.transforms import leaves, rebuilt

ENGINE = __name__.partition(".")[0]
MOST_STEPS = 2000


@dataclass
class Step:
    """A recorded operation, its arguments, and the line that called it."""

    operation: Callable[..., Any]
    out: Tensor
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    line: str

    @property
    def name(self) -> str:
        return getattr(self.operation, "__name__", str(self.operation))

    def tensors(self) -> list[Tensor]:
        """The tensors among the arguments to which a gradient flows, each once."""
        found = [x for x in leaves([self.arguments, self.options]) if isinstance(x, Tensor) and x.requires_grad]
        return list(dict.fromkeys(found))

    def call(self, replacements: dict[Tensor, Any]) -> Any:
        """The operation with other things in place of some tensors."""
        inside = leaves([self.arguments, self.options])
        new = [replacements.get(x, x) if isinstance(x, Tensor) else x for x in inside]
        arguments, options = rebuilt([self.arguments, self.options], new)
        return self.operation(*arguments, **options)

    def spelled(self, names: dict[Tensor, Any]) -> str:
        """The call as Python source."""
        inside = leaves([self.arguments, self.options])
        new = [names.get(x, x) if isinstance(x, Tensor) else x for x in inside]
        arguments, options = rebuilt([self.arguments, self.options], new)
        registered = [name for name, known in operations.items() if known.function is self.operation]
        return called(f"mg.{registered[0]}" if registered else self.name, arguments, options, LONGEST)


class Recorder:
    """Remembers every operation that is recorded, with its arguments; hands everything on to an outer watch."""

    def __init__(self, outer: Any) -> None:
        self.steps: list[Step] = []
        self.outer = outer

    def on_record(self, operation: Callable[..., Any], out: Tensor, inputs: Sequence[Any]) -> None:
        """Find the operation's own frame, and read its arguments there."""
        if self.outer is not None:
            self.outer.on_record(operation, out, inputs)
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code is not getattr(operation, "__code__", None):
            frame = frame.f_back
        line = line_above(frame or sys._getframe(1))
        if out._edges:
            extras_of(out).line = line
        if frame is not None and len(self.steps) < MOST_STEPS:
            self.steps.append(Step(operation, out, *arguments_in(frame), line))

    def on_contribution(self, out: Tensor, grad: Tensor, parent: Tensor, contribution: Tensor) -> None:
        """Nothing is remembered of backward passes."""
        if self.outer is not None:
            self.outer.on_contribution(out, grad, parent, contribution)


@contextmanager
def recording() -> Iterator[list[Step]]:
    """Within this context every operation that is recorded is added to the list, with its arguments."""
    recorder = Recorder(watches.get(threading.get_ident()))
    with watching(recorder):
        yield recorder.steps


def line_above(frame: FrameType) -> str:
    """`file:line` of the innermost caller of an operation that is not in the engine."""
    caller = frame.f_back
    while caller is not None and f"{caller.f_globals.get('__name__')}.".startswith(f"{ENGINE}."):
        caller = caller.f_back
    return "an unknown line" if caller is None else place_of(caller.f_code.co_filename, caller.f_lineno)


def place_of(file: str, line: int) -> str:
    """`file:line`, the file relative to the working directory if it is below."""
    inside = os.path.isabs(file) and file.startswith(os.getcwd() + os.sep)
    return f"{os.path.relpath(file) if inside else file}:{line}"


def arguments_in(frame: FrameType) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments that a running function was called with, by position and by name."""
    info = inspect.getargvalues(frame)
    code = frame.f_code
    only_named = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    given = info.locals
    by_position = (*(given[name] for name in info.args if name not in only_named), *given.get(info.varargs or "", ()))
    return by_position, {name: given[name] for name in only_named} | given.get(info.keywords or "", {})


# ------------------------------------------------------------------------------------------------ one step on its own


@dataclass(frozen=True)
class Local:
    """What checking one step on its own found."""

    step: Step
    probe: Probe
    is_wrong: bool
    is_kink: bool


def checked(step: Step, order: int, tolerance: Tolerance, rng: np.random.Generator) -> Local | None:
    """The verdict on one step; None if calling its operation again does not give the recorded value."""
    parents = step.tensors()
    position = position_in(step)
    if not parents or position is None:
        return None

    def again(*variables: TensorLike) -> Tensor:
        inputs = (symmetrised(step, x) for x in variables)
        return as_tensor(leaves(step.call(dict(zip(parents, inputs, strict=True))))[position])

    subject = TensorSubject(again, [x._data for x in parents])
    cotangents = [rng.standard_normal(value.shape) for value in subject.values(subject.arrays)]
    if order == 2:
        subject = SecondOrder(subject, cotangents)
        cotangents = [rng.standard_normal(value.shape) for value in subject.values(subject.arrays)]
    probe = Probe(subject, cotangents, subject.gradients(subject.arrays, cotangents), tolerance)
    if not all(np.isfinite(g).all() for g in probe.gradients) and np.isfinite(probe.here).all():
        return Local(step, probe, True, False)
    directions = [probe.random_direction(rng) for _ in range(2)]
    verdicts = [probe.along(direction).verdict for direction in directions]
    if any(verdict not in (Verdict.CORRECT, Verdict.WRONG) for verdict in verdicts):
        directions += probe.aimed()
        verdicts = [probe.along(direction).verdict for direction in directions]
    wrong = [d for d, verdict in zip(directions, verdicts, strict=True) if verdict is Verdict.WRONG]
    excused = bool(wrong) and excused_by_kinks(probe, wrong, rng)
    return Local(step, probe, bool(wrong) and not excused, excused or Verdict.KINK in verdicts)


def symmetrised(step: Step, x: TensorLike) -> TensorLike:
    """The symmetric part of a matrix, for operations that are defined for such only."""
    kinds = [known.kind for known in operations.values() if known.function is step.operation]
    if not kinds or kinds[0] not in ("symmetric matrix", "definite matrix"):
        return x
    x = as_tensor(x)
    return (x + x.swapaxes(-1, -2)) / 2


def position_in(step: Step) -> int | None:
    """Which of the results of the operation, called again, has the recorded value."""
    try:
        results = leaves(step.call({x: x.detach() for x in step.tensors()}))
    except Exception:  # whatever it is: this call cannot be repeated, so nothing can be said of it
        return None
    for position, result in enumerate(results):
        if isinstance(result, Tensor) and np.array_equal(result._data, step.out._data, equal_nan=True):
            return position
    return None


def first_wrong(
    steps: Sequence[Step], order: int, tolerance: Tolerance, rng: np.random.Generator
) -> tuple[Local | None, bool]:
    """The first step whose own gradient disagrees, and whether one before it is at a kink."""
    kink = False
    for step in steps:
        local = checked(step, order, tolerance, rng) if step.out.requires_grad else None
        if local is not None and local.is_wrong:
            return local, kink
        kink = kink or (local is not None and local.is_kink)
    return None, kink


# ------------------------------------------------------------------------------------------------ in words


def rule_line(step: Step, parent: Tensor) -> str | None:
    """Where the gradient rule for one parent is written."""
    codes = [getattr(rule, "__code__", None) for x, rule in step.out._edges if x is parent]
    return place_of(codes[0].co_filename, codes[0].co_firstlineno) if codes and codes[0] else None


def argument_name(step: Step, parent: Tensor) -> str:
    """What the operation calls an argument."""
    try:
        bound = inspect.signature(step.operation).bind(*step.arguments, **step.options).arguments
    except (TypeError, ValueError):
        return "its input"
    names = [name for name, given in bound.items() if any(x is parent for x in leaves(given))]
    return f"`{names[0]}`" if names else "its input"


def reproduction(local: Local, order: int, seed: int) -> str:
    """One line that checks the step on its own."""
    parents = local.step.tensors()
    names = [Name(f"x{i}" if len(parents) > 1 else "x") for i in range(len(parents))]
    call = local.step.spelled(dict(zip(parents, names, strict=True)))
    values = ", ".join(spelled(x, LONGEST) for x in local.probe.arrays)
    extra = "" if order == 1 else f", order={order}"
    return f"gradcheck(lambda {', '.join(map(repr, names))}: {call}, {values}{extra}, seed={seed})"


def blamed(local: Local, place: Place | None) -> str:
    """The sentence that names an operation, the line that called it, and the line of the rule."""
    step = local.step
    what = f"blamed: {step.name}, called at {step.line}"
    if place is None:
        return what
    parent = step.tensors()[place.variable]
    line = rule_line(step, parent)
    return f"{what}; the gradient for {argument_name(step, parent)} disagrees" + (f", rule at {line}" if line else "")
