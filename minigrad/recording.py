"""What the engine did, as plain data: each operation, and each step of each backward pass, in the order of happening.

`recording` hands every event of this thread to a function. Anomaly detection, the blame of gradient checks, the
mutation of rules, and the traces and drawings of `show` listen with such functions.
"""

from __future__ import annotations

import gc
import linecache
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count, islice
from types import CodeType, FrameType, FunctionType
from typing import Any, TypeAlias

from minigrad.graph import Pending, repeated_axes, summed_to, sweep, watches
from minigrad.guards import user_frame
from minigrad.hooks import after_hooks, extras_of
from minigrad.modes import holding
from minigrad.tensor import Edge, Rule, Tensor, TensorLike


@dataclass(frozen=True)
class Place:
    """A line of the user's program.

    Attributes:
        file: as Python names it.
        line: counted from 1.
        source: the text of the line; empty if there is no file.
        columns: where in it the expression begins and ends, in bytes, if Python knows.
    """

    file: str
    line: int
    source: str
    columns: tuple[int, int] | None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, eq=False)
class Recorded:
    """An operation was called.

    Attributes:
        operation: the function.
        arguments, options: what it was called with, by position and by name.
        inputs: those that it names rules for, in their order; constants too.
        result: its value.
        place: the line of the user's program that called it.
        scope: what that line belongs to, see `scope`: the dotted path of a module, say.
        entry: which entry into that scope it is, counted over all: a module that is called twice has two.
        backwards: whether a gradient rule called it.
    """

    operation: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    inputs: tuple[TensorLike, ...]
    result: Tensor
    place: Place
    scope: str
    entry: int
    backwards: bool


@dataclass(frozen=True, eq=False)
class Seeded:
    """A backward pass begins at `tensor` with `gradient`; it may begin at several.

    Attributes:
        sweep: the number of the pass, as in the events below; passes that rules or hooks make have their own.
    """

    tensor: Tensor
    gradient: Tensor
    sweep: int


@dataclass(frozen=True, eq=False)
class Completed:
    """All that `tensor` gets has arrived.

    Attributes:
        arrived: the sum.
        gradient: what the hooks made of it; the same if there are none.
        is_end: whether the pass ends here, and hands this out; else rules pass it on.
    """

    tensor: Tensor
    arrived: Tensor
    gradient: Tensor
    is_end: bool
    sweep: int


@dataclass(frozen=True, eq=False)
class Contributed:
    """A rule of `result` has passed something back to `parent`.

    Attributes:
        position: which of the result's edges it is; `x * x` has two.
        rule: the rule.
        gradient: the complete gradient of `result`, which the rule was given.
        raw: what the rule returned.
        axes: those that were summed over, since broadcasting had repeated `parent` along them.
        contribution: `raw` after that, in the dtype of `parent`.
        arrival: 1 for the first contribution that `parent` gets in this pass.
        before, after: the sum of what has arrived, without and with this; `before` is None for the first.
    """

    result: Tensor
    parent: Tensor
    position: int
    rule: Rule
    gradient: Tensor
    raw: Tensor
    axes: tuple[int, ...]
    contribution: Tensor
    arrival: int
    before: Tensor | None
    after: Tensor
    sweep: int


sweeps = count()
Event: TypeAlias = Recorded | Seeded | Completed | Contributed
Listener: TypeAlias = "Callable[[Any], None]"


@contextmanager
def recording(listen: Listener) -> Iterator[None]:
    """Within this context, `listen(event)` is called for all that this thread records and sweeps.

    If there are several, those that were entered first are told first; they may be left in any order.

    >>> events = []
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> with recording(events.append):
    ...     (x * 3.0).backward([1.0, 1.0])
    >>> [type(event).__name__ for event in events[:5]]
    ['Recorded', 'Seeded', 'Completed', 'Recorded', 'Contributed']
    """
    thread = threading.get_ident()
    recorder = watches.setdefault(thread, Recorder([]))
    recorder.listeners.append(listen)
    try:
        yield
    finally:
        recorder.listeners.remove(listen)
        if not recorder.listeners:
            del watches[thread]


class OfThread(threading.local):
    """The name of the scope that this thread is in, and which entry into a scope that was."""

    scope, entry = "", 0


_of_thread = OfThread()
entries = count(1)


def scope(name: str) -> AbstractContextManager[None]:
    """Within this context, what is recorded belongs to `name`. Enter it only where somebody watches."""
    return holding(_of_thread, scope=name, entry=next(entries))


class Recorder:
    """The watch that turns what the engine tells into events."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self.listeners = [*listeners]

    def tell(self, event: Event) -> None:
        """Hand an event to all who listen."""
        for listen in self.listeners:
            listen(event)

    def on_record(self, operation: Callable[..., Any], out: Tensor, inputs: list[TensorLike]) -> None:
        """Find the operation's own frame, its arguments there, and the line that called it."""
        frame = frame_of(operation, sys._getframe(1))
        arguments, options = ((), {}) if frame is None else arguments_in(frame)
        bound = getattr(operation, "__self__", operation)
        if arguments and arguments[0] is bound:  # an object, called, or its method
            arguments = arguments[1:]
        place = place_of(user_frame(frame and frame.f_back))
        if out._edges:
            extras_of(out).line = str(place)
        inside = _of_thread.scope, _of_thread.entry, within_a_rule()
        self.tell(Recorded(operation, arguments, options, tuple(inputs), out, place, *inside))

    def pending(self, seeds: Iterable[tuple[Tensor, Tensor]], create_graph: bool) -> Pending:
        """The books of a sweep, told to those who listen now: who comes or goes during the sweep changes nothing."""
        return RecordedPending(seeds, create_graph, Recorder(self.listeners).tell)


class RecordedPending(Pending):
    """The gradients on their way back, and each step told. Nothing is added in place, so that what is told stays."""

    def __init__(self, seeds: Iterable[tuple[Tensor, Tensor]], create_graph: bool, tell: Listener) -> None:
        self.tell, self.arrivals = tell, Counter[Tensor]()
        self.sweep = next(sweeps)
        self.turn: Completed | None = None  # the tensor whose rules are applied now; None while the seeds are added
        self.edges: Iterator[tuple[int, Edge]] = iter(())  # those of its edges whose rules are still to come
        super().__init__(seeds, create_graph)

    def take(self, tensor: Tensor) -> Tensor:
        arrived, self.edges = self.gradients[tensor], iter(enumerate(tensor._edges))
        self.turn = Completed(tensor, arrived, super().take(tensor), False, self.sweep)
        self.tell(self.turn)
        return self.turn.gradient

    def add(self, tensor: Tensor, gradient: Tensor) -> None:
        contribution, before = summed_to(gradient, tensor), self.gradients.get(tensor)
        super().add(tensor, contribution)
        self.own.discard(tensor)
        self.arrivals[tensor] += 1
        if self.turn is None:
            self.tell(Seeded(tensor, gradient, self.sweep))
            return
        position, rule = next((i, rule) for i, (parent, rule) in self.edges if parent is tensor)
        axes = repeated_axes(gradient.shape, tensor.shape)
        told = Contributed(self.turn.tensor, tensor, position, rule, self.turn.gradient, gradient, axes, contribution,
                           self.arrivals[tensor], before, self.gradients[tensor], self.sweep)
        self.tell(told)

    def complete(self, inputs: Sequence[Tensor] | None) -> dict[Tensor, Tensor]:
        found = super().complete(inputs)
        for tensor, gradient in found.items():
            self.tell(Completed(tensor, self.gradients[tensor], gradient, True, self.sweep))
        return found


@dataclass(frozen=True, eq=False)
class Enclosing:
    """A function that is running, with its arguments, or what it has assigned to them since.

    Attributes:
        code: its code.
        module: the name of the module that it is defined in.
        arguments, options: by position and by name.
    """

    code: CodeType
    module: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    def function(self) -> FunctionType | None:
        """The function itself, if there is one alone of this code."""
        found = [f for f in gc.get_referrers(self.code) if isinstance(f, FunctionType)]
        return found[0] if len(found) == 1 else None


def enclosing(operation: Callable[..., Any], most: int = 4) -> list[Enclosing]:
    """The functions that an operation which is being recorded was called from, the innermost first."""
    frame, found = frame_of(operation, sys._getframe(1)), list[Enclosing]()
    while frame is not None and (frame := frame.f_back) is not None and len(found) < most:
        found.append(Enclosing(frame.f_code, str(frame.f_globals.get("__name__")), *arguments_in(frame)))
    return found


def active(*functions: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Those of these functions that are running, the innermost first, each as often as it is."""
    of_code = {function.__code__: function for function in functions}
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code in of_code:
            yield of_code[frame.f_code]
        frame = frame.f_back


def within_a_rule() -> bool:
    """Whether a gradient rule is running, in a backward pass; a hook is none."""
    return next(active(sweep, after_hooks), None) is sweep


def place_of(frame: FrameType) -> Place:
    """The line that a frame is at."""
    code = frame.f_code
    line, end_line, start, end = next(islice(code.co_positions(), frame.f_lasti // 2, None), (None,) * 4)
    columns = (start, end) if line == end_line and start is not None and end is not None else None
    source = linecache.getline(code.co_filename, frame.f_lineno).rstrip("\n")
    return Place(code.co_filename, frame.f_lineno, source, columns)


def frame_of(operation: Callable[..., Any], innermost: FrameType) -> FrameType | None:
    """The frame in which an operation is running: a function, or an object that was called."""
    code = getattr(operation, "__code__", None) or getattr(type(operation).__call__, "__code__", None)
    frame: FrameType | None = innermost
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame


def arguments_in(frame: FrameType) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments that a running function was called with, by position and by name; `...` for what it has deleted."""
    code, given = frame.f_code, frame.f_locals
    names = iter(code.co_varnames)
    by_position = [given.get(name, ...) for name in islice(names, code.co_argcount)]
    options = {name: given.get(name, ...) for name in islice(names, code.co_kwonlyargcount)}
    if code.co_flags & 0x04 and isinstance(more := given.get(next(names)), (tuple, list)):  # *arguments, or a new list
        by_position += more
    if code.co_flags & 0x08 and isinstance(named := given.get(next(names)), dict):  # **options
        options |= named
    return tuple(by_position), options
