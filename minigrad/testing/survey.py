"""The gradients of whatever is recorded, each kind of call once: what `pytest --check-gradients` looks at."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

from minigrad.guards import name_of
from minigrad.random import default_generator
from minigrad.recording import Event, Recorded, enclosing
from minigrad.tensor import Tensor, wrap
from minigrad.testing.blame import Step, StepChecker, accusation, reproduced
from minigrad.testing.subject import attempted
from minigrad.trees import leaves, rebuilt

CALLERS = 3  # functions around an operation that are looked at


class Survey:
    """Keeps one call of each kind as it was made, to be checked later."""

    def __init__(self) -> None:
        self.seen: set[Any] = set()
        self.waiting: list[list[Step]] = []  # each the call of an operation, and then of the functions that called it
        self.operations: set[str] = set()
        self.unchecked: set[str] = set()
        self.count = 0

    def __str__(self) -> str:
        said = f"{self.count} kinds of calls of {len(self.operations)} operations checked"
        missed = ", ".join(sorted(self.unchecked - self.operations))
        return said + (f"; not checked, as they cannot be called again alone: {missed}" if missed else "")

    def listen(self, event: Event) -> None:
        """Keep a copy of a call, if it is the first of its kind."""
        if not isinstance(event, Recorded) or not event.result._edges:
            return
        try:
            self.keep(Step.of(event))
        except Exception:  # whatever it is: what cannot be copied is no reason to disturb a test
            self.unchecked.add(name_of(event.result))

    def keep(self, step: Step) -> None:
        """Copy a call, and those of the functions around it."""
        given = step.arguments, step.options
        kind = getattr(step.operation, "__code__", step.operation), kind_of_call([*given, held(step.operation)])
        if kind in self.seen:
            return
        self.seen.add(kind)
        copies: dict[int, Any] = {}
        calls = [(step.operation, copied(given, copies))]
        for there in enclosing(step.operation, CALLERS):
            if function := there.function():
                calls.append((function, copied((there.arguments, there.options), copies)))
        out = copy_of(step.out)
        out._edges = tuple((copies[id(x)], PlaceOfRule(rule)) for x, rule in step.out._edges if id(x) in copies)
        self.waiting.append([Step(f, out, given[0], given[1], step.line) for f, given in calls])

    def problems(self) -> list[str]:
        """A report of each wrong one among the calls that were kept; they are forgotten."""
        waiting, self.waiting = self.waiting, []
        state, rng = default_generator().bit_generator.state, np.random.default_rng(0)
        try:
            with np.errstate(all="ignore"):
                return [said for calls in waiting if (said := self.problem(calls, rng))]
        finally:
            default_generator().bit_generator.state = state

    def problem(self, calls: list[Step], rng: np.random.Generator) -> str | None:
        """The report of a call that is wrong.

        If a function that called the operation is right, so is the operation: it was handed as plain numbers what
        follows from its inputs.
        """
        step, *around = calls
        checked = StepChecker(rng).checked
        local = attempted(checked, step)  # None if it cannot be called again at other points
        if local is None:
            self.unchecked.add(step.name)
            return None
        self.count += 1
        self.operations.add(step.name)
        plain = any(isinstance(x, (np.ndarray, np.generic, float)) for x in step.constants())
        if not local.is_wrong or (plain and any((o := attempted(checked, c)) and not o.is_wrong for c in around)):
            return None
        again = reproduced(local, {"seed": 0})
        return "\n  ".join([f"the gradient of {step.name} is WRONG", accusation(local, rng), *again])


class PlaceOfRule:
    """Where a rule is written: without what the rule itself keeps alive."""

    def __init__(self, rule: Any) -> None:
        self.__code__ = getattr(getattr(rule, "func", rule), "__code__", None)

    def __call__(self, grad: Tensor, out: Tensor) -> Tensor:
        raise NotImplementedError("this is only the place of a rule")


def held(operation: Any) -> list[Any]:
    """What a nested function closes over, and what the object of a method has: one code is several operations."""
    cells = getattr(operation, "__closure__", None) or ()
    contents = [attempted(getattr, cell, "cell_contents") for cell in cells]  # None of what is assigned later
    return [*contents, getattr(getattr(operation, "__self__", None), "__dict__", None)]


def kind_of_call(tree: Any) -> str:
    """What makes a difference for a rule: names, containers, what is in them, and what of it is one and the same."""
    first: dict[int, int] = {}
    found = leaves(tree)
    kinds = [(kind_of(x), isinstance(x, Tensor) and first.setdefault(id(x), i)) for i, x in enumerate(found)]
    return repr(rebuilt(tree, kinds))


def kind_of(leaf: Any) -> Any:
    """What makes a difference for a rule: of arrays how many axes they have, which of them are of length 1 or 0, and
    the dtype; of other arguments the value, of numbers only if it is small."""
    if isinstance(leaf, (Tensor, np.ndarray)):
        live = isinstance(leaf, Tensor) and leaf.requires_grad
        return type(leaf), live, leaf.dtype, tuple(min(n, 2) for n in leaf.shape)
    if leaf is None or isinstance(leaf, (str, bool)) or (isinstance(leaf, int) and -8 <= leaf <= 8):
        return leaf
    return repr(leaf) if isinstance(leaf, (slice, type, np.dtype)) else type(leaf)


def copied(tree: Any, copies: dict[int, Any]) -> Any:
    """The same arguments with copies of arrays and generators; what was one tensor is one tensor."""
    for x in leaves(tree):
        if id(x) not in copies:
            copies[id(x)] = copy_of(x)
    return rebuilt(tree, [copies[id(x)] for x in leaves(tree)])


def copy_of(x: Any) -> Any:
    """A leaf that nobody else writes into."""
    if isinstance(x, Tensor):
        new = wrap(x._data.copy("K"))  # sums of another layout are rounded in another way
        new._requires_grad = x.requires_grad
        return new
    return x.copy("K") if isinstance(x, np.ndarray) else deepcopy(x) if isinstance(x, np.random.Generator) else x
