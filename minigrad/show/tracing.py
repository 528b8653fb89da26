"""One program, forwards and backwards, step by step: as text, as data, as a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import Any, Literal, TypeAlias

import numpy as np

from minigrad.recording import Completed, Contributed, Place, Recorded, Seeded, recording
from minigrad.show.names import names_around
from minigrad.show.rules import rule_shown
from minigrad.show.stepper import page
from minigrad.show.steps import Complete, Contribution, EdgeShown, Forward, Seed, Shown, Step, TensorShown, shown
from minigrad.show.why import why_contributed, why_recorded
from minigrad.tensor import Rule, Tensor

MOST_OPERATIONS = 20_000
MOST_CHECKED = 2000  # operations whose arguments are held for `Trace.check`
Keep = Literal["some", "all"]


Checkable: TypeAlias = tuple[Recorded, dict[int, Rule]]  # an operation, and number of an edge -> its rule


class trace:
    """Within this context everything that this thread records is remembered, forwards and backwards.

    Args:
        keep: "all" keeps every element of every array; by default arrays of more than 64 elements keep their shape,
            dtype, statistics and a small picture.
        names: what to call tensors, besides the variables of the calling function and the parameters of modules there.

    >>> x = Tensor(3.0, requires_grad=True)
    >>> with trace(names={"x": x}) as seen:
    ...     y = x * x
    ...     y.backward()
    >>> print(seen)
    forwards
      multiply_1 = multiply(x, x)                         9
    backwards
      multiply_1               is where the pass begins   1
      multiply_1               is complete                1
      multiply_1 -> x          grad * b                   3
      multiply_1 -> x          grad * a                   3, in all 6
      x                        is complete                6
    """

    def __init__(self, keep: Keep = "some", names: Mapping[str, Tensor] | None = None) -> None:
        self.recorder, self.names = Recorder(keep), names
        self.context = recording(self.recorder.listen)

    def __enter__(self) -> Trace:
        self.context.__enter__()
        return self.recorder.trace

    def __exit__(self, *exc_info: Any) -> None:
        self.context.__exit__(*exc_info)
        self.recorder.finish(names_around(self.names))


class Trace:
    """What was recorded, as plain data.

    Attributes:
        tensors: all that took part, constants too, in the order of appearance.
        edges: one for each position in which a tensor was an input.
        steps: what happened, in order; see `minigrad.show.steps`.
        left_out: how many operations came after the 20,000 that are remembered.

    Until `check` is called, or the trace is no longer needed, it holds on to the first 2000 operations and their
    arguments, and so to their arrays; a copy of it and a pickle do not.
    """

    def __init__(self) -> None:
        self.tensors: list[TensorShown] = []
        self.edges: list[EdgeShown] = []
        self.steps: list[Step] = []
        self.left_out = 0
        self._checkable: list[Checkable] | None = None  # until it is finished

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_checkable": []}

    def check(self) -> Trace:
        """Hold each gradient rule, on its own, against numerical slopes: the `verdict` of its edge is set.

        Each operation is called again, with the arguments it had, as `minigrad.testing` does; so this must be done
        before these are changed, by a step of an optimizer for instance. What is held for it is released; calling it
        again changes nothing.

        Returns:
            The trace itself, for `print(trace.check())`.

        Raises:
            RuntimeError: within the `with` block, where all that is called is recorded.

        >>> x = Tensor(3.0, requires_grad=True)
        >>> with trace() as seen:
        ...     (x * x).backward()
        >>> [edge.verdict.verdict for edge in seen.check().edges]
        ['correct', 'correct']
        """
        if self._checkable is None:
            raise RuntimeError("what is called now is recorded: leave the `with trace()` block, then check()")
        from minigrad.show.checking import undecided, verdicts

        for event, rules in self._checkable:
            found = verdicts(event, {self.edges[number].position: rule for number, rule in rules.items()})
            for number in rules:
                edge = self.edges[number]
                self.edges[number] = replace(edge, verdict=found[edge.position])
        if self._checkable:
            late = undecided(f"only the first {MOST_CHECKED:,} operations are checked")
            self.edges = [replace(e, verdict=late) if e.rule and not e.verdict else e for e in self.edges]
        self._checkable = []
        return self

    def to_dict(self) -> dict[str, Any]:
        """The trace as dicts, lists, strings and numbers, for JSON."""
        return {
            "tensors": [asdict(tensor) for tensor in self.tensors],
            "edges": [asdict(edge) for edge in self.edges],
            "steps": [{"kind": type(step).__name__.lower(), **asdict(step)} for step in self.steps],
            "left_out": self.left_out,
        }

    def html(self, path: str | Path | None = None, title: str = "backpropagation") -> str:
        """The page that steps through the trace; written to `path` too, if that is given.

        Raises:
            ValueError: if nothing was recorded.
            OSError: if the file cannot be written.
        """
        if not self.steps:
            raise ValueError("nothing was recorded: enter `with trace():` around the computation and its backward()")
        text = page(self, title)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def _repr_html_(self) -> str:
        """The page in a frame of its own, for a notebook."""
        frame = 'style="width: 100%; height: 640px; border: 1px solid #d1d5db" title="backpropagation, step by step"'
        return f"<iframe {frame} srcdoc=\"{escape(self.html())}\"></iframe>" if self.steps else f"<pre>{self}</pre>"

    def __str__(self) -> str:
        """The forward table, then the backward steps, in 80 columns."""
        ahead = [self.line(step) for step in self.steps if isinstance(step, Forward)]
        back = [self.line(step) for step in self.steps if not isinstance(step, Forward)]
        lines = ["forwards", *ahead, *(["backwards", *back] if back else []), *self.judged()]
        if self.left_out:
            lines.append(f"({self.left_out:,} more operations are left out)")
        return "\n".join(lines) if self.steps else "nothing was recorded"

    def judged(self) -> list[str]:
        """What `check` found: how many rules are so, and each that is not simply correct."""
        found = [(edge, edge.verdict) for edge in self.edges if edge.verdict is not None]
        if not found:
            return []
        counts = Counter(verdict.verdict for _, verdict in found)
        names = [(self.tensors[edge.target].name, self.tensors[edge.source].name, v) for edge, v in found]
        lines = [line for a, b, v in names if v.verdict != "correct"
                 for line in wrap(f"{a} -> {b}  {v}", 80, initial_indent="  ", subsequent_indent="      ")]
        return [f"checked: {', '.join(f'{n} {word}' for word, n in counts.items())}", *lines]

    def line(self, step: Step) -> str:
        """One step in a line."""
        if isinstance(step, Contribution):
            edge = self.edges[step.edge]
            rule = edge.rule.source.splitlines()[-1].strip() if edge.rule is not None else ""
            summed = f", summed over {axes_in_words(step.axes)}" if step.axes else ""
            total = f", in all {step.after}" if step.arrival > 1 else ""
            way = f"{self.tensors[edge.target].name} -> {self.tensors[edge.source].name}"
            return columns(way, rule, f"{step.contribution}{summed}{total}")
        name = self.tensors[step.tensor].name
        if isinstance(step, Seed):
            return columns(name, "is where the pass begins", str(step.gradient))
        if isinstance(step, Complete):
            return columns(name, "is complete", str(step.gradient))
        made = self.tensors[step.tensor]
        inputs = ", ".join(self.tensors[edge.source].name for edge in self.edges if edge.target == step.tensor)
        return columns(f"{name} = {made.operation}({inputs})", "", str(made.value))


def columns(what: str, rule: str, value: str) -> str:
    """Three columns of a line of 80; what is too long for its own is cut or pushes the next one on."""
    rule = rule.removeprefix("return ")
    left = f"  {what:<24} {rule if len(rule) <= 26 else rule[:25] + '…'}"
    line = f"{left:<53} {value}"
    return line if len(line) <= 80 else line[:79] + "…"


def axes_in_words(axes: tuple[int, ...]) -> str:
    """`axis 0`, or `axes 0, 2`."""
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"


class Recorder:
    """Takes in what the engine did, and writes a trace of it."""

    def __init__(self, keep: Keep) -> None:
        if keep not in ("some", "all"):
            raise ValueError(f'keep is "some" or "all", got {keep!r}')
        self.trace = Trace()
        self.whole = keep == "all"
        self.things: list[Any] = []  # what has a number; held, so that no identity is used twice
        self.numbers: dict[int, int] = {}
        self.rules: dict[int, Rule] = {}  # number of an edge -> its rule
        self.edge_at: dict[tuple[int, int], int] = {}  # (number of a result, which of its recorded edges) -> of an edge
        self.operations = 0
        self.checkable: list[Checkable] = []

    def listen(self, event: Any) -> None:
        """Take in one event."""
        steps = self.trace.steps
        if isinstance(event, Recorded):
            self.record(event)
        elif isinstance(event, Seeded):
            steps.append(Seed(self.number(event.tensor), self.shown(event.gradient)))
        elif isinstance(event, Completed):
            arrived = self.shown(event.arrived)
            gradient = arrived if event.gradient is event.arrived else self.shown(event.gradient)
            steps.append(Complete(self.number(event.tensor), arrived, gradient))
        elif isinstance(event, Contributed) and (edge := self.edge_of(event)) is not None:
            steps.append(self.contribution(event, edge))

    def record(self, event: Recorded) -> None:
        """Remember an operation, unless it is what a rule computes in between."""
        if event.backwards and event.result.is_leaf:
            return
        self.operations += 1
        if self.operations > MOST_OPERATIONS:
            self.trace.left_out += 1
            return
        sources = {i: self.number(x) for i, x in enumerate(event.inputs) if isinstance(x, (Tensor, np.ndarray))}
        target = self.number(event.result, event.operation.__name__, event.scope, event.place)
        recorded, rules = list(event.result._edges), dict[int, Rule]()
        for position, source in sources.items():
            x, number = event.inputs[position], len(self.trace.edges)
            if recorded and isinstance(x, Tensor) and x.requires_grad:
                self.edge_at[target, len(event.result._edges) - len(recorded)] = number
                self.rules[number] = rules[number] = recorded.pop(0)[1]
            self.trace.edges.append(EdgeShown(number, source, target, position, None))
        self.trace.steps.append(Forward(target, why_recorded(event)))
        if rules and len(self.checkable) < MOST_CHECKED:
            self.checkable.append((event, rules))

    def edge_of(self, event: Contributed) -> int | None:
        """The number of the edge along which something was passed, if its operation is remembered."""
        return self.edge_at.get((self.number(event.result), event.position))

    def contribution(self, event: Contributed, edge: int) -> Contribution:
        """The step of a contribution."""
        cast = event.raw.dtype.name, event.contribution.dtype.name
        return Contribution(
            edge, self.shown(event.gradient), self.shown(event.raw), event.axes, cast if cast[0] != cast[1] else None,
            self.shown(event.contribution), event.arrival,
            None if event.before is None else self.shown(event.before), self.shown(event.after), why_contributed(event),
        )

    def shown(self, tensor: Tensor) -> Shown:
        """The value of a tensor in little."""
        return shown(tensor._data, self.whole)

    def number(self, x: Any, operation: str = "", scope: str = "", place: Place | None = None) -> int:
        """The number of a tensor or an array, which gets one if it is new."""
        if id(x) in self.numbers:
            return self.numbers[id(x)]
        number = self.numbers[id(x)] = len(self.things)
        self.things.append(x)
        flows = isinstance(x, Tensor) and x.requires_grad
        kind = "result" if operation else "leaf" if flows else "constant"
        array, time = (x._data, x._time) if isinstance(x, Tensor) else (x, 0)
        value = shown(array, self.whole)
        self.trace.tensors.append(TensorShown(number, "", kind, operation, time, scope, place, value))
        return number

    def finish(self, known: Mapping[int, str]) -> None:
        """Give everything its name, of those known by id, and let go of what was recorded."""
        counts: Counter[str] = Counter()
        names: dict[int, str] = {}
        for number, tensor in enumerate(self.trace.tensors):
            kind = tensor.operation or tensor.kind
            counts[kind] += 1
            x = self.things[number]
            names[id(x)] = known.get(id(x)) or f"{kind}_{counts[kind]}"
            self.trace.tensors[number] = replace(tensor, name=names[id(x)])
        for number, rule in self.rules.items():
            edge = self.trace.edges[number]
            self.trace.edges[number] = replace(edge, rule=rule_shown(rule, lambda x: names.get(id(x))))
        self.things.clear()
        self.rules.clear()
        self.trace._checkable, self.checkable = self.checkable, []
