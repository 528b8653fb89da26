"""Testing the tests: gradient rules are broken one at a time, and every fault must be noticed.

A mutant is one way of being wrong in one rule of one operation. Rules are exchanged as they are recorded, so this
works for the operations of `minigrad`, of `nn`, and for anybody's own.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from types import CellType, FrameType, FunctionType, MethodType
from typing import Any

import numpy as np

from minigrad.graph import unbroadcast
from minigrad.guards import name_of_operation
from minigrad.ops import operations as registry
from minigrad.recording import Event, Recorded, recording
from minigrad.tensor import Rule, Tensor, wrap
from minigrad.testing.reproduce import is_ours, written_at

Mutation = Callable[[Rule, Tensor], Rule]


def other_values(array: Any) -> Any:
    """Different numbers of the same shape and dtype."""
    shifted = 0.375 - 1.25 * np.asarray(array)
    return shifted.astype(array.dtype) if array.dtype.kind == "f" else np.roll(array, 1)


def with_other_values(kept: Any) -> Any:
    """A floating tensor or array with different numbers, also in a list, tuple or dict; anything else as it is."""
    if isinstance(kept, Tensor) and kept.dtype.kind == "f":
        return wrap(other_values(kept._data))
    if isinstance(kept, np.ndarray) and kept.dtype.kind == "f":
        return other_values(kept)
    if type(kept) is dict:
        return {key: with_other_values(x) for key, x in kept.items()}
    return type(kept)(map(with_other_values, kept)) if type(kept) in (list, tuple) else kept


def holding_other_values(rule: Any) -> Any:
    """A function, a partial, a method or another object that can be called, with other values in what it holds."""
    if isinstance(rule, partial):
        inner = holding_other_values(rule.func)
        return partial(inner, *with_other_values(rule.args), **with_other_values(rule.keywords))
    if isinstance(rule, MethodType):
        return MethodType(rule.__func__, holding_other_values(rule.__self__))
    if isinstance(rule, FunctionType):
        cells = tuple(CellType(with_other_values(cell.cell_contents)) for cell in rule.__closure__ or ())
        defaults = with_other_values(rule.__defaults__)
        other = FunctionType(rule.__code__, rule.__globals__, rule.__name__, defaults, cells)
        other.__kwdefaults__ = with_other_values(rule.__kwdefaults__)
        return other
    if not hasattr(rule, "__dict__"):
        return with_other_values(rule)
    other = copy(rule)
    vars(other).update(with_other_values(vars(rule)))
    return other


def first_slice(gradient: Tensor, parent: Tensor) -> Tensor:
    """The gradient of a broadcast input with the sum over the repeated axes left out: one slice alone."""
    while gradient.ndim > parent.ndim:
        gradient = gradient[0]
    for axis, n in enumerate(parent.shape):
        if n == 1 and gradient.shape[axis] > 1:
            gradient = gradient[(slice(None),) * axis + (slice(1),)]
    return gradient


def overwriting(rule: Rule) -> Rule:
    """The rule, which afterwards writes into the cotangent it was given."""

    def mutant(grad: Tensor, out: Tensor) -> Tensor:
        gradient = +rule(grad, out)
        if grad._data.ndim and grad._data.flags.writeable:
            grad._data *= 2
        return gradient

    return mutant


MUTATIONS: dict[str, Mutation] = {
    "opposite sign": lambda rule, parent: lambda grad, out: -rule(grad, out),
    "factor two": lambda rule, parent: lambda grad, out: 2 * rule(grad, out),
    "zero": lambda rule, parent: lambda grad, out: 0 * rule(grad, out),
    "cotangent ignored": lambda rule, parent: lambda grad, out: rule(wrap(np.ones_like(grad._data)), out),
    "cotangent permuted": lambda rule, parent: lambda grad, out: rule(wrap(np.roll(grad._data, 1)), out),
    "result permuted": lambda rule, parent: lambda grad, out: wrap(np.roll(rule(grad, out)._data, 1)),
    "transposed": lambda rule, parent: lambda grad, out: wrap(rule(grad, out)._data.T),
    "wrong input": lambda rule, parent: lambda grad, out: holding_other_values(rule)(grad, out),  # as it is by then
    "wrong output": lambda rule, parent: lambda grad, out: rule(grad, wrap(other_values(out._data))),
    "missing reduction": lambda rule, parent: lambda grad, out: first_slice(rule(grad, out), parent),
    "wrong dtype": lambda rule, parent: lambda grad, out: rule(grad, out).astype(np.float32),
    "cotangent overwritten": lambda rule, parent: overwriting(rule),
}


@dataclass(frozen=True)
class Mutant:
    """One fault: the name of an operation, the position of the input whose rule is wrong, and how it is wrong."""

    operation: str
    position: int
    mutation: str

    def __str__(self) -> str:
        return f"{self.operation}, rule of input {self.position}: {self.mutation}"


@dataclass
class MutationReport:
    """Which mutants a check noticed; `print` shows a table of the rules, and what survived.

    Attributes:
        killed: those with which the check failed.
        survived: those it did not notice although the wrong rule ran and made a difference.
        equivalent: those whose wrong rule ran, but gave the same gradients throughout.
        lines: (operation, position) -> where the rule is written.
        composed: operations that were asked for and have no rules of their own -> those they are made of.
    """

    killed: list[Mutant] = field(default_factory=list)
    survived: list[Mutant] = field(default_factory=list)
    equivalent: list[Mutant] = field(default_factory=list)
    lines: dict[tuple[str, int], str] = field(default_factory=dict)
    composed: dict[str, set[str]] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """The share of killed mutants among those that made a difference; NaN if none did."""
        different = len(self.killed) + len(self.survived)
        return len(self.killed) / different if different else math.nan

    def __str__(self) -> str:
        groups = {"killed": self.killed, "survived": self.survived, "equivalent": self.equivalent}
        counts = f"{len(self.killed)} mutants killed, {len(self.survived)} survived, {len(self.equivalent)} equivalent"
        tried = dict.fromkeys((m.operation, m.position) for m in chain(*groups.values()))
        rows = [["rule", *groups, "line"]]
        for key in sorted(tried):
            numbers = (str(sum((m.operation, m.position) == key for m in group)) for group in groups.values())
            rows.append([f"{key[0]}, input {key[1]}", *numbers, self.lines.get(key, "")])
        width = max(len(row[0]) for row in rows)
        table = [f"  {row[0]:<{width}}  {row[1]:>6}  {row[2]:>8}  {row[3]:>10}  {row[4]}" for row in rows if tried]
        made = [f"  {name} has no rule of its own: it is made of {', '.join(sorted(parts))}"
                for name, parts in self.composed.items()]
        survived = [f"  survived: {mutant}" for mutant in self.survived]
        score = "no fault made a difference" if math.isnan(self.score) else f"score {self.score:.0%}"
        return "\n".join([f"{counts}: {score}", *table, *made, *survived])


class Breaker:
    """Watches what is recorded, and breaks the rules of one mutant, or those alone of a user's operation."""

    def __init__(self, mutant: Mutant | None, of_user: bool = False) -> None:
        self.mutant, self.of_user = mutant, of_user
        self.seen: dict[tuple[str, int], str] = {}  # where each rule is written
        self.users: set[tuple[str, int]] = set()  # rules that are not ours, though names may be the same
        self.callers: dict[str, set[str]] = {}  # functions -> the operations that they are made of
        self.made_a_difference = False

    def listen(self, event: Event) -> None:
        """Note the rules of a recorded step, and exchange the one that the mutant breaks."""
        if not isinstance(event, Recorded):
            return
        operation, out, inputs = event.operation, event.result, event.inputs
        live = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x._requires_grad]
        edges = list(out._edges)
        for place, position in enumerate(live[: len(edges)]):
            if self.mutant is None:
                self.note(operation, position, edges[place][1])
            elif self.is_broken(operation, position):
                parent, rule = edges[place]
                edges[place] = (parent, self.broken(rule, MUTATIONS[self.mutant.mutation](rule, parent), parent.shape))
        if edges:
            out._edges = tuple(edges)

    def is_broken(self, operation: Callable[..., Any], position: int) -> bool:
        """Whether the mutant breaks this rule."""
        assert self.mutant is not None
        mutant, module = (self.mutant.operation, self.mutant.position), getattr(operation, "__module__", None)
        return mutant == (name_of_operation(operation), position) and not (self.of_user and is_ours(module))

    def note(self, operation: Callable[..., Any], position: int, rule: Rule) -> None:
        """What there is to break, whose it is, and what was running."""
        name, is_users = name_of_operation(operation), not is_ours(getattr(operation, "__module__", None))
        if (name, position) in self.seen and (not is_users or (name, position) in self.users):
            return
        self.seen[name, position] = written_at(rule) or ""
        self.users |= {(name, position)} if is_users else set()
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            self.callers.setdefault(frame.f_code.co_name, set()).add(name)
            frame = frame.f_back

    def broken(self, rule: Rule, mutant: Rule, shape: tuple[int, ...]) -> Rule:
        """The mutant's rule, which notes whether it comes to another gradient than the true rule does."""

        def compared(grad: Tensor, out: Tensor) -> Tensor:
            truth, before = unbroadcast(rule(grad, out), shape)._data.copy(), grad._data.copy()
            found = mutant(grad, out)
            same = np.allclose(unbroadcast(found, shape)._data, truth, rtol=1e-12, atol=1e-12, equal_nan=True)
            self.made_a_difference |= not same or not np.array_equal(grad._data, before, equal_nan=True)
            return found

        return compared


@contextmanager
def breaking(mutant: Mutant | None, of_user: bool = False) -> Iterator[Breaker]:
    """Within this context, and this thread, one rule is wrong; None only notes which rules there are.

    If it is `of_user`, operations of `minigrad` and `nn` with the same name stay as they are.

    >>> from minigrad import Tensor
    >>> x = Tensor(3.0, requires_grad=True)
    >>> with breaking(Mutant("multiply", 0, "opposite sign")):
    ...     (x * 2).backward()
    >>> x.grad.item()
    -2.0
    """
    breaker = Breaker(mutant, of_user)
    with recording(breaker.listen):
        yield breaker


def mutate_rules(
    check: Callable[[], object],
    operations: Iterable[str] | None = None,
    mutations: Iterable[str] = tuple(MUTATIONS),
) -> MutationReport:
    """Break every gradient rule of yours that a check exercises, one at a time, and see whether the check notices.

    Args:
        check: raises if something is wrong, like a test; it must pass as things are, and do the same every time.
        operations: names of the operations whose rules to break, or "all" of them; by default those that are yours,
            that is defined neither in `minigrad` nor in `nn`: those are tested here.
        mutations: the faults to try, of `minigrad.testing.mutation.MUTATIONS`.

    Raises:
        TypeError: if the check cannot be called.
        ValueError: if there are no such mutations or operations, or nothing to break.
        Exception: whatever the check raises when nothing is broken.

    >>> from minigrad import Tensor
    >>> def check():
    ...     x = Tensor([1.0, 2.0], requires_grad=True)
    ...     (x * x).sum().backward()
    ...     assert x.grad.numpy().sum() == 6  # too weak: it does not see an order that is wrong
    >>> print(mutate_rules(check, operations=["multiply"], mutations=["opposite sign", "result permuted"]))
    2 mutants killed, 2 survived, 0 equivalent: score 50%
      rule               killed  survived  equivalent  line
      multiply, input 0       1         1           0  ...arithmetic.py:...
      multiply, input 1       1         1           0  ...arithmetic.py:...
      survived: multiply, rule of input 0: result permuted
      survived: multiply, rule of input 1: result permuted
    """
    if not callable(check):
        raise TypeError(f"check is a function that raises if something is wrong, got {check!r:.80}")
    faults = [mutations] if isinstance(mutations, str) else list(mutations)
    if unknown := [name for name in faults if name not in MUTATIONS] or (not faults and ["()"]):
        raise ValueError(f"there is no mutation {', '.join(map(repr, unknown))}: take some of {', '.join(MUTATIONS)}")
    with breaking(None) as observer:
        check()
    report = MutationReport(lines=observer.seen)
    chosen, of_users = chosen_of(operations, observer, report), {name for name, _ in observer.users}
    for name, position in sorted(observer.seen):
        of_user = (name, position) in observer.users
        for mutation in faults if name in chosen and (of_user or name not in of_users) else ():
            mutant = Mutant(name, position, mutation)
            with breaking(mutant, of_user) as breaker:
                if fails(check):
                    report.killed.append(mutant)
                    continue
            (report.survived if breaker.made_a_difference else report.equivalent).append(mutant)
    return report


def chosen_of(operations: Iterable[str] | None, observer: Breaker, report: MutationReport) -> set[str]:
    """The names of the operations to break; raises if there are none, or one is none."""
    recorded = {name for name, _ in observer.seen}
    if operations is None or operations == "all":
        chosen = {name for name, _ in observer.users} if operations is None else recorded
        if chosen:
            return chosen
        if not recorded:
            raise ValueError("there is nothing to break: the check records no operation")
        raise ValueError(f"the check records no operation of yours: for {listed(recorded)}, name them in operations=")
    asked = [operations] if isinstance(operations, str) else list(operations)
    if not asked:
        raise ValueError("there is nothing to break: operations= names none")
    names = {name: registry[name].function.__name__ if name in registry else name for name in asked}
    report.composed = {name: observer.callers[inner] for name, inner in names.items()
                       if inner not in recorded and inner in observer.callers}
    lost = [name for name, inner in names.items() if inner not in recorded and name not in report.composed]
    if lost:
        raise ValueError(f"the check records no {', '.join(map(repr, lost))}: it records {listed(recorded)}")
    return set(names.values())


def listed(names: set[str]) -> str:
    """Some names in a sentence."""
    return ", ".join(sorted(names)) or "nothing"


def fails(check: Callable[[], object]) -> bool:
    """Whether a check raises anything that is a failure: pytest's own are no `Exception`."""
    try:
        check()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return True
    return False
