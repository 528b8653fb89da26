"""One program, forwards and backwards, step by step: as text, as data, as a page."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from textwrap import wrap
from typing import Any, Literal, NamedTuple
from weakref import ref

import numpy as np

from minigrad.graph import backward, sweep, topological_order
from minigrad.guards import name_of, name_of_operation
from minigrad.hooks import after_hooks
from minigrad.random import States, noting
from minigrad.recording import Completed, Contributed, Enclosing, Place, Recorded, Seeded, active, enclosing, recording
from minigrad.show.boxes import Arrow, Node, cut, cut_name, letters, padded, printable
from minigrad.show.calls import call_written
from minigrad.show.displays import in_a_frame, unboxed
from minigrad.show.drawing import COLUMNS, Graph
from minigrad.show.files import write
from minigrad.show.names import check_names, names_around, names_for
from minigrad.show.rules import rule_shown
from minigrad.show.stepper import page
from minigrad.show.steps import Complete, Contribution, EdgeShown, Forward, Seed, Shown, Step, TensorShown, shown
from minigrad.show.why import why_contributed, why_recorded
from minigrad.tensor import Rule, Tensor, clock
from minigrad.trees import leaves

MOST_OPERATIONS = 20_000  # that are remembered: of more, the first and last ones
MOST_OF_VALUE = 52  # letters in a line of text
MOST_CHECKED = 2000  # operations whose arguments are held for `Trace.check`
Keep = Literal["some", "all"]


class Checkable(NamedTuple):
    """A recorded operation, and what `Trace.check` needs to call it again."""

    event: Recorded
    rules: dict[int, Rule]  # number of an edge -> its rule
    around: list[Enclosing]  # what it was called from, the innermost first, if it takes what that may have computed
    drawn: States  # where the generators stood from which it may have drawn


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
        if keep not in ("some", "all"):
            raise ValueError(f'keep is "some" or "all", got {keep!r}')
        check_names(names)
        self.keep, self.names = keep, names
        self.context = ExitStack()

    def __enter__(self) -> Trace:
        self.recorder = Tracer(self.keep)
        self.recorder.drawn = self.context.enter_context(noting())
        self.context.enter_context(recording(self.recorder.listen))
        return self.recorder.trace

    def __exit__(self, *exc_info: Any) -> None:
        self.context.close()
        self.recorder.finish(names_around(self.names))


class Trace:
    """What was recorded, as plain data.

    Attributes:
        tensors: all that took part, constants too, in the order of appearance.
        edges: one for each position in which a tensor was an input.
        steps: what happened, in order; see `minigrad.show.steps`.
        left_out: how many operations there were between the first and the last 10,000, which are remembered.

    What a pass goes through that was recorded before the trace is in `tensors` and `edges`, without a step forwards.

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

        for call in self._checkable:
            found = verdicts(call, {self.edges[number].position: rule for number, rule in call.rules.items()})
            for number in call.rules:
                edge = self.edges[number]
                self.edges[number] = replace(edge, verdict=found[edge.position])
        if self._checkable:
            late = undecided(f"only what a trace has seen is checked, the first {MOST_CHECKED:,} operations of it")
            self.edges = [replace(e, verdict=late) if e.rule and not e.verdict else e for e in self.edges]
        self._checkable = []
        return self

    @property
    def graph(self) -> Graph:
        """What was computed from what, to be drawn: constants too, and an arrow for each of `edges`."""
        nodes = [
            Node(x.number, x.name, x.kind, x.operation, x.value.shape, x.value.dtype, x.time, x.value.single(), x.scope)
            for x in self.tensors
        ]
        return Graph(tuple(nodes), tuple(Arrow(edge.source, edge.target, edge.position) for edge in self.edges))

    def to_dict(self) -> dict[str, Any]:
        """The trace as dicts, lists, strings and numbers, for JSON: NaN and infinities are "nan", "inf" and "-inf"."""
        return {
            "tensors": [for_json(asdict(tensor)) for tensor in self.tensors],
            "edges": [for_json(asdict(edge)) for edge in self.edges],
            "steps": [{"kind": type(step).__name__.lower(), **for_json(asdict(step))} for step in self.steps],
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
            write(path, text)
        return text

    def _repr_html_(self) -> str:
        """The page in a frame of its own, for a notebook."""
        return in_a_frame(self.html(), "backpropagation, step by step") if self.steps else unboxed(str(self))

    def __str__(self) -> str:
        """The forward table, then the backward steps, in 80 columns."""
        is_ahead = [isinstance(step, Forward) and not step.backwards for step in self.steps]
        ahead = [self.line(step) for step, so in zip(self.steps, is_ahead, strict=True) if so]
        back = [self.line(step) for step, so in zip(self.steps, is_ahead, strict=True) if not so]
        if self.left_out:
            ahead.insert(MOST_OPERATIONS // 2, f"  ... {self.left_out:,} operations in between are left out ...")
        lines = [*(["forwards", *ahead] if ahead else []), *(["backwards", *back] if back else []), *self.judged()]
        return "\n".join(lines) if self.steps else "nothing was recorded"

    def judged(self) -> list[str]:
        """What `check` found: how many rules are so, and each that is not simply correct."""
        found = [(edge, edge.verdict) for edge in self.edges if edge.verdict is not None]
        if not found:
            return []
        counts = Counter(verdict.verdict for _, verdict in found)
        names = [(self.tensors[edge.target].name, self.tensors[edge.source].name, v) for edge, v in found]
        lines = [line for a, b, v in names if v.verdict != "correct"
                 for line in wrap(f"  {printable(a)} -> {printable(b)}  {v}", COLUMNS, subsequent_indent="      ")]
        return [f"checked: {', '.join(f'{n} {word}' for word, n in counts.items())}", *lines]

    def line(self, step: Step) -> str:
        """A step in a line."""
        if isinstance(step, Forward):
            made = self.tensors[step.tensor]
            parts = [cut_name(self.tensors[part].name, 20) if isinstance(part, int) else part for part in step.call]
            return columns(f"{cut_name(made.name, 20)} = {made.operation}({''.join(parts)})", "", str(made.value))
        if isinstance(step, Contribution):
            edge = self.edges[step.edge]
            rule = str(edge.rule or "")
            summed = f", summed over {axes_in_words(step.axes)}" if step.axes else ""
            after = str(step.after).removeprefix(f"{step.contribution.shape} in ")
            total = f", in all {after}" if step.arrival > 1 else ""
            way = f"{self.tensors[edge.target].name} -> {self.tensors[edge.source].name}"
            return columns(way, rule, f"{step.contribution}{summed}{total}")
        name = self.tensors[step.tensor].name
        if isinstance(step, Seed):
            return columns(name, "is where the pass begins", str(step.gradient))
        hooked = ", by a hook" * step.was_changed
        return columns(name, "is complete", f"{step.gradient}{hooked}")


def for_json(x: Any) -> Any:
    """Nested data with NaN and infinities spelled out, which JSON has no numbers for."""
    if isinstance(x, dict):
        return {key: for_json(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return [for_json(value) for value in x]
    return str(x) if isinstance(x, float) and x - x != 0 else x


def columns(what: str, rule: str, value: str) -> str:
    """Three columns of a line of 80: a long value begins further left, and what is too long before it is cut."""
    what, rule, value = printable(what), cut(rule, 26), cut(value, MOST_OF_VALUE)
    begin = min(54, COLUMNS - letters(value))
    if rule:
        before, arrow, name = what.rpartition(" -> ")
        what = f"{before}{arrow}"
        what += cut_name(name, max(16, begin - 4 - letters(what + rule)))
    left = cut(f"  {padded(what, 24)} {rule}".rstrip(), begin - 1)
    return padded(left, begin) + value


def axes_in_words(axes: tuple[int, ...]) -> str:
    """`axis 0`, or `axes 0, 2`."""
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"


class Tracer:
    """Takes in what the engine did, and writes a trace of it.

    Of tensors and arrays it holds no more than what is shown of them, but for those that `Trace.check` needs.

    Args:
        held: for how many operations it holds these.
    """

    def __init__(self, keep: Keep, held: int = MOST_CHECKED) -> None:
        self.trace = Trace()
        self.whole, self.held = keep == "all", held
        self.numbers: dict[int, int] = {}  # id of a tensor or an array that is alive -> its number
        self.alive: dict[int, ref[Any]] = {}  # likewise; what is no more has no id
        self.earlier: dict[int, list[int]] = {}  # id of a leaf that is alive -> the numbers it had before its updates
        self.kept: dict[int, dict[str, int]] = {}  # number of an edge -> name in its rule -> number of a tensor
        self.edge_at: dict[tuple[int, int], int] = {}  # (number of a result, which of its recorded edges) -> of an edge
        self.sweeps: dict[int, int] = {}  # number of a pass -> its number in the trace
        self.named: dict[int, str] = {}  # number -> the name that it had when the last pass began, if somebody asked
        self.reached: dict[tuple[int, int], int] = {}  # (pass, id of a tensor) -> the number it got something by
        self.room = MOST_OPERATIONS  # for those that were recorded before
        self.since = 0  # the clock's number of the first operation; 0 until there is one
        self.operations = 0  # that are remembered
        self.checkable: list[Checkable] = []
        self.drawn: States = {}  # where generators stood before they were drawn from, since the last operation

    def listen(self, event: Any) -> None:
        """Take in one event."""
        steps = self.trace.steps
        if isinstance(event, Recorded):
            self.record(event)
        elif isinstance(event, Seeded):
            steps.append(Seed(self.number(event.tensor), self.shown(event.gradient), self.sweep(event)))
        elif isinstance(event, Completed):
            arrived = self.shown(event.arrived)
            was_changed = not np.array_equal(event.gradient._data, event.arrived._data, equal_nan=True)
            gradient = self.shown(event.gradient) if was_changed else arrived
            number = self.reached.get((event.sweep, id(event.tensor)), self.number(event.tensor))
            steps.append(Complete(number, arrived, gradient, was_changed, event.is_end, self.sweep(event)))
        elif isinstance(event, Contributed) and (edge := self.edge_of(event)) is not None:
            self.reached[event.sweep, id(event.parent)] = self.trace.edges[edge].source  # the value that was used
            steps.append(self.contribution(event, edge))

    def record(self, event: Recorded) -> None:
        """Remember an operation, unless it is what a backward pass computes in between."""
        drawn = dict(self.drawn)
        self.drawn.clear()
        if event.result.is_leaf and (event.backwards or next(active(backward, after_hooks), None) is backward):
            return
        self.operations += 1
        self.since = self.since or event.result._time
        for x in event.inputs:
            self.enter_if_updated(x)
        sources = {i: self.number(x) for i, x in enumerate(event.inputs) if isinstance(x, (Tensor, np.ndarray))}
        target = self.number(event.result, name_of_operation(event.operation), event.scope, event.place)
        recorded, rules = list(event.result._edges), dict[int, Rule]()
        for position, source in sources.items():
            x = event.inputs[position]
            rule = recorded.pop(0)[1] if recorded and isinstance(x, Tensor) and x.requires_grad else None
            number = self.add_edge(source, target, position, len(event.result._edges) - len(recorded) - 1, rule)
            if rule is not None:
                rules[number] = rule
        written = call_written(event, lambda x: self.numbers.get(id(x)))
        is_back = next(active(sweep, backward, after_hooks), None) is not None
        self.trace.steps.append(Forward(target, written, why_recorded(event), is_back))
        if rules and len(self.checkable) < self.held:
            inside = leaves([event.arguments, event.options])
            numbers = [x for x in inside if isinstance(x, (np.ndarray, np.floating, float))]
            self.checkable.append(Checkable(event, rules, enclosing(event.operation) if numbers else [], drawn))
        if self.operations > 2 * MOST_OPERATIONS:
            self.forget()

    def edge_of(self, event: Contributed) -> int | None:
        """The number of the edge along which something was passed, if its operation is remembered."""
        return self.edge_at.get((self.numbers.get(id(event.result), -1), event.position))

    def contribution(self, event: Contributed, edge: int) -> Contribution:
        """The step of a contribution."""
        cast = event.raw.dtype.name, event.contribution.dtype.name
        return Contribution(
            edge, self.shown(event.gradient), self.shown(event.raw), event.axes, cast if cast[0] != cast[1] else None,
            self.shown(event.contribution), event.arrival,
            None if event.before is None else self.shown(event.before), self.shown(event.after), self.sweep(event),
            why_contributed(event),
        )

    def sweep(self, event: Seeded | Completed | Contributed) -> int:
        """The number of a backward pass in the trace."""
        return self.sweeps.setdefault(event.sweep, len(self.sweeps))

    def shown(self, tensor: Tensor) -> Shown:
        """The value of a tensor in little."""
        return shown(tensor._data, self.whole)

    def number(self, x: Any, operation: str = "", scope: str = "", place: Place | None = None) -> int:
        """The number of a tensor or an array, which gets one if it is new."""
        key = id(x)
        if key not in self.numbers and isinstance(x, Tensor) and not (operation or x.is_leaf):
            self.remember_before(x)
        return self.numbers[key] if key in self.numbers else self.enter(x, operation, scope, place)

    def enter(self, x: Any, operation: str = "", scope: str = "", place: Place | None = None) -> int:
        """The number that a tensor or an array gets."""
        key = id(x)
        if not operation and isinstance(x, Tensor) and not x.is_leaf:
            operation = name_of(x)
        number = self.numbers[key] = len(self.trace.tensors)
        self.alive[key] = ref(x, lambda _: self.gone(key))
        flows = isinstance(x, Tensor) and x.requires_grad
        kind = "result" if operation else "leaf" if flows else "constant"
        array, time = (x._data, x._time) if isinstance(x, Tensor) else (x, 0)
        value, name = shown(array, self.whole), f"{operation or kind}_{number}"  # until it has its own, in the end
        self.trace.tensors.append(TensorShown(number, name, kind, operation, time, scope, place, value))
        return number

    def enter_if_updated(self, x: Any) -> None:
        """Give a leaf or an array that was updated since it was entered another number, with its value and its time."""
        number = self.numbers.get(id(x))
        if number is None or (isinstance(x, Tensor) and not x.is_leaf):
            return
        before, array = self.trace.tensors[number], x._data if isinstance(x, Tensor) else x
        if isinstance(x, Tensor) and x._time > before.time:
            self.earlier.setdefault(id(x), []).append(number)
            self.enter(x)
        elif (now := shown(array, self.whole)) != before.value and repr(now) != repr(before.value):  # NaN is not NaN
            self.earlier.setdefault(id(x), []).append(number)
            new = self.enter(x)  # what is written into an array itself has no time of its own
            self.trace.tensors[new] = replace(self.trace.tensors[new], time=clock.tick())

    def remember_before(self, x: Tensor) -> None:
        """Take in what a tensor was computed from before the trace began, if it was, as far as there is room."""
        if 0 < self.since <= x._time or self.room == 0:
            return
        with suppress(RuntimeError):  # it was freed
            new = [tensor for tensor in topological_order(x) if id(tensor) not in self.numbers]
            for tensor in new[-self.room:]:
                self.room -= 1
                ends = [parent for parent, _ in tensor._edges]
                sources = [self.numbers[id(end)] if id(end) in self.numbers else self.enter(end) for end in ends]
                target = self.enter(tensor)
                for position, (source, (_, rule)) in enumerate(zip(sources, tensor._edges, strict=True)):
                    self.add_edge(source, target, position, position, rule)

    def add_edge(self, source: int, target: int, position: int, recorded: int, rule: Rule | None) -> int:
        """The number of a new edge: `position` among all inputs, `recorded` among those with a rule."""
        number, told = len(self.trace.edges), None
        if rule is not None:
            if self.trace.tensors[source].kind == "constant":  # when it was seen first
                self.trace.tensors[source] = replace(self.trace.tensors[source], kind="leaf")
            self.edge_at[target, recorded] = number
            told, self.kept[number] = rule_shown(rule, lambda x: self.numbers.get(id(x)))
        self.trace.edges.append(EdgeShown(number, source, target, position, told))
        return number

    def gone(self, key: int) -> None:
        """What had this id is no more, so that something else may have it."""
        self.numbers.pop(key, None)
        self.earlier.pop(key, None)
        self.alive.pop(key, None)

    def forget(self) -> None:
        """Leave out the operations between the first and last ones, and what came back to and from them alone."""
        trace, half = self.trace, MOST_OPERATIONS // 2
        made = [step.tensor for step in trace.steps if isinstance(step, Forward)]
        results = {*made[:half], *made[-half:]}
        edges = [edge for edge in trace.edges if edge.target in results]
        steps = remembered_steps(trace.steps, results, trace.edges)
        ends = {end for edge in edges for end in (edge.source, edge.target)}
        ends |= results | {step.tensor for step in steps if not isinstance(step, Contribution)}
        tensors = {n: i for i, n in enumerate(sorted(ends))}
        numbers = {edge.number: i for i, edge in enumerate(edges)}
        trace.left_out += len(made) - len(results)
        self.reached.clear()
        self.operations = len(results)
        trace.tensors = [replace(trace.tensors[n], number=i) for n, i in tensors.items()]
        trace.edges = [
            replace(e, number=numbers[e.number], source=tensors[e.source], target=tensors[e.target]) for e in edges
        ]
        trace.steps = [renumbered(step, tensors, numbers) for step in steps]
        self.numbers = {key: tensors[n] for key, n in [*self.numbers.items()] if n in tensors}
        self.earlier = {key: [tensors[n] for n in ns if n in tensors] for key, ns in self.earlier.items()}
        self.named = {tensors[n]: name for n, name in self.named.items() if n in tensors}
        self.edge_at = {(tensors[n], i): numbers[e] for (n, i), e in self.edge_at.items() if e in numbers}
        self.kept = {
            numbers[e]: {name: tensors[n] for name, n in kept.items() if n in tensors}
            for e, kept in self.kept.items() if e in numbers
        }
        self.checkable = [
            call._replace(rules={numbers[e]: rule for e, rule in call.rules.items() if e in numbers})
            for call in self.checkable
        ]

    def names_of(self, known: Mapping[int, str]) -> dict[int, str]:
        """The number of all that is alive -> its name, of those known by id."""
        tensors, users = self.trace.tensors, dict[int, str]()
        for key, number in [*self.numbers.items()]:  # of which something may go meanwhile
            if key in known:
                values = [*self.earlier.get(key, []), number]  # a leaf has one number for each of its values
                users |= {n: f"{known[key]} (t {tensors[n].time})" for n in values} | {values[0]: known[key]}
        return users

    def finish(self, known: Mapping[int, str]) -> None:
        """Give everything its name, of those known by id, and let go of what was recorded."""
        if self.operations > MOST_OPERATIONS:
            self.forget()
        tensors, users = self.trace.tensors, self.names_of(known)
        users = {n: name for n, name in self.named.items() if name not in users.values()} | users
        called = names_for([x.operation or x.kind for x in tensors], [users.get(x.number) for x in tensors])
        tensors[:] = [replace(tensor, name=name) for tensor, name in zip(tensors, called, strict=True)]
        for number, kept in self.kept.items():
            edge = self.trace.edges[number]
            if edge.rule is not None:
                names = {name: self.trace.tensors[n].name for name, n in kept.items()}
                self.trace.edges[number] = replace(edge, rule=replace(edge.rule, names=edge.rule.names | names))
        for table in (self.numbers, self.alive, self.earlier, self.kept, self.edge_at, self.reached):
            table.clear()
        self.trace._checkable, self.checkable = self.checkable, []


def renumbered(step: Step, tensors: Mapping[int, int], edges: Mapping[int, int]) -> Step:
    """A step with other numbers."""
    if isinstance(step, Contribution):
        return replace(step, edge=edges[step.edge])
    if isinstance(step, Forward):
        call = tuple(tensors.get(part, "…") if isinstance(part, int) else part for part in step.call)
        return replace(step, tensor=tensors[step.tensor], call=call)
    return replace(step, tensor=tensors[step.tensor])


def remembered_steps(steps: Sequence[Step], results: set[int], edges: Sequence[EdgeShown]) -> list[Step]:
    """The steps that made these results, and what came back from them.

    A gradient is complete only where something of it is remembered that came in the same pass.
    """
    found: list[Step] = []
    reached = defaultdict[int, set[int]](set)  # in each pass
    for step in steps:
        if isinstance(step, Seed):
            reached[step.sweep] |= {step.tensor} & results
        if isinstance(step, Contribution):
            if edges[step.edge].target not in results:
                continue
            reached[step.sweep].add(edges[step.edge].source)
        elif step.tensor not in (results if isinstance(step, Forward) else reached[step.sweep]):
            continue
        found.append(step)
    return found
