"""Which operation is to blame: each recorded step checked on its own, at the values it had."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minigrad.arrays import Array
from minigrad.guards import name_of, name_of_operation
from minigrad.modes import enable_grad
from minigrad.recording import Completed, Contributed, Event, Recorded, recording
from minigrad.tensor import Tensor, TensorLike, as_tensor
from minigrad.testing.numeric import Tolerance, Verdict
from minigrad.testing.patterns import pattern_of
from minigrad.testing.probe import Probe, excused_by_kinks
from minigrad.testing.reproduce import SourceLine, reproduction, shown_place, written_at
from minigrad.testing.spelling import Name, called
from minigrad.testing.subject import Recording, SecondOrder, Subject, TensorSubject, attempted, changed, copies
from minigrad.trees import leaves, rebuilt

MOST_STEPS = 2000
NEAR = 1e-6  # how far the whole is moved to see where to the arguments of its steps move
MOST_WITHIN = 20  # steps that are checked as part of the whole function, which takes longer


@dataclass
class Step:
    """A recorded operation, its arguments, and the line that called it."""

    operation: Callable[..., Any]
    out: Tensor
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    line: str
    unchecked: bool = False

    @classmethod
    def of(cls, event: Recorded) -> Step:
        """The step that an event tells of, with the inputs that it names rules for if its own are not known."""
        known = event.arguments or event.options
        line = shown_place(event.place.file, event.place.line)
        return cls(event.operation, event.result, event.arguments if known else event.inputs, event.options, line)

    @property
    def name(self) -> str:
        return name_of_operation(self.operation)

    def tensors(self) -> list[Tensor]:
        """The tensors among the arguments to which a gradient flows, each once."""
        found = [x for x in leaves([self.arguments, self.options]) if isinstance(x, Tensor) and x.requires_grad]
        return list(dict.fromkeys(found))

    def constants(self) -> list[Any]:
        """All else among the arguments."""
        return [x for x in leaves([self.arguments, self.options]) if not isinstance(x, Tensor)]

    def with_leaves(self, changed: Callable[[Any], Any]) -> Step:
        """The same call with something else in place of each leaf of its arguments."""
        tree = [self.arguments, self.options]
        arguments, options = rebuilt(tree, [changed(x) for x in leaves(tree)])
        return replace(self, arguments=arguments, options=options)

    def call(self, new: dict[Tensor, Any]) -> Any:
        """The operation with other things in place of some tensors."""
        other = self.with_leaves(lambda x: new.get(x, x) if isinstance(x, Tensor) else x)
        return other.operation(*other.arguments, **other.options)

    def spelled(self, names: dict[Tensor, Any], line: SourceLine) -> str:
        """The call as Python source."""
        other = self.with_leaves(lambda x: line.leaf(names.get(x, x) if isinstance(x, Tensor) else x))
        return called(line.name(self.operation), other.arguments, other.options)


@contextmanager
def recorded_steps() -> Iterator[list[Step]]:
    """Within this context every operation that is recorded is added to the list, with its arguments."""
    steps: list[Step] = []

    def listen(event: Event) -> None:
        if isinstance(event, Recorded) and len(steps) < MOST_STEPS:
            steps.append(Step.of(event))

    with recording(listen):
        yield steps


@contextmanager
def recorded_writers() -> Iterator[list[str]]:
    """Within this context each rule that writes into the gradient it is given is added to the list, in words.

    Others may be given the same array, since a rule may return what it is given.
    """
    writers: list[str] = []
    before: dict[int, Any] = {}  # in each sweep, what the rules of the tensor whose turn it is are given

    def listen(event: Event) -> None:
        if isinstance(event, Completed) and not event.is_end:
            before[event.sweep] = event.gradient._data.copy()
        elif isinstance(event, Contributed) and changed(["it"], [event.gradient._data], [before[event.sweep]]):
            line = written_at(event.rule)
            writers.append(f"the rule of {name_of(event.result)}" + (f" at {line}" if line else ""))

    with recording(listen):
        yield writers


# ------------------------------------------------------------------------------------------------ one step on its own


@dataclass(frozen=True)
class Local:
    """What checking one step found: on its own, or else as the last one of the whole function.

    Attributes:
        direction: one along which it is wrong.
    """

    step: Step
    probe: Probe
    is_wrong: bool
    is_kink: bool
    alone: bool = True
    direction: Sequence[Array] | None = None


@dataclass
class StepChecker:
    """How steps are checked, one after another.

    Attributes:
        order: 2 if the gradients' own gradients are looked at.
        whole: the function that the steps are part of, if they may be checked as such.
        only_finite: whether all gradients of the whole are finite: what is not, on its own, has had no part in them.
    """

    rng: np.random.Generator
    tolerance: Tolerance = field(default_factory=Tolerance)
    order: int = 1
    whole: Subject | None = None
    only_finite: bool = False

    def checked(self, step: Step, direction: list[Array] | None = None) -> Local | None:
        """The verdict on one step; None if calling its operation again does not give the recorded value.

        Args:
            direction: of its tensors, to look along; random ones by default.
        """
        parents, position = step.tensors(), position_in(step)
        if not parents or position is None:
            return None

        def again(*variables: TensorLike) -> Tensor:
            inputs = (symmetrised(step, x) for x in variables)
            return as_tensor(leaves(step.call(dict(zip(parents, inputs, strict=True))))[position])

        probe, wrong, at_kink = self.probed(TensorSubject(again, [x._data for x in parents]), direction)
        return self.verdict(step, probe, wrong, at_kink)

    def probed(
        self, subject: TensorSubject, direction: list[Array] | None = None
    ) -> tuple[Probe, list[list[Array]] | None, bool]:
        """A function's gradients, directions along which they are wrong, and whether a kink was met.

        None for the directions if a gradient is not finite where the values are, or raises anything, or if a rule
        writes into what it is given.
        """
        made, cotangents = self.recorded_for_random(subject)
        if self.order == 2:
            subject = SecondOrder(subject, cotangents)
            made, cotangents = self.recorded_for_random(subject)
        with recorded_writers() as writers:
            gradients = copies(attempted(made.gradients, copies(cotangents)) or (x * np.nan for x in subject.arrays))
        probe = Probe(subject, cotangents, gradients, self.tolerance, copies(made.values))
        if writers or (not all(np.isfinite(g).all() for g in probe.gradients) and np.isfinite(probe.here).all()):
            return probe, None, False
        directions = [direction] if direction else [probe.random_direction(self.rng) for _ in range(2)]
        verdicts = [probe.along(direction).verdict for direction in directions]
        if any(verdict not in (Verdict.CORRECT, Verdict.WRONG) for verdict in verdicts):
            directions += probe.aimed()
            verdicts = [probe.along(direction).verdict for direction in directions]
        wrong = [d for d, verdict in zip(directions, verdicts, strict=True) if verdict is Verdict.WRONG]
        return probe, wrong, Verdict.KINK in verdicts

    def recorded_for_random(self, subject: TensorSubject) -> tuple[Recording, list[Array]]:
        """A call, and random cotangents for what it gives."""
        made = subject.recorded(subject.arrays)
        return made, [self.rng.standard_normal(value.shape) for value in made.values]

    def verdict(
        self, step: Step, probe: Probe, wrong: list[list[Array]] | None, at_kink: bool, alone: bool = True
    ) -> Local:
        """What was found, where what is wrong may be excused by kinks that meet."""
        excused = excused_by_kinks(probe, wrong, self.rng) if wrong else False
        has_part = not self.only_finite or all(np.isfinite(g).all() for g in probe.gradients)
        is_wrong = wrong != [] and not excused and has_part
        return Local(step, probe, is_wrong, excused or at_kink, alone, wrong[0] if wrong else None)

    def checked_within(self, steps: Sequence[Step], position: int) -> Local | None:
        """The verdict on a step as part of the whole function: wrong if its gradient is, and that before it is not.

        So are steps checked that cannot be called again: what they take as plain arrays may follow from the variables.
        """
        whole = self.whole.first if isinstance(self.whole, SecondOrder) else self.whole
        if not isinstance(whole, TensorSubject):
            return None
        try:
            found = self.probed(Within(whole, position, False))
            if found[1] != [] and self.probed(Within(whole, position, True))[1] != []:
                return None
            return self.verdict(steps[position], *found, alone=False)
        except Exception:  # whatever it is: it takes other steps at other points
            return None

    def follows_variables(self, steps: Sequence[Step], position: int) -> bool:
        """Whether a step is handed numbers, not as tensors, that change with the variables: then it is not called again
        with the same ones at another point."""
        if not isinstance(self.whole, TensorSubject):
            return False
        nearby = [x * (1 + 1e-3 * self.rng.standard_normal(x.shape)) for x in self.whole.arrays]
        with self.whole.at(nearby) as variables:
            moved = attempted(steps_of, self.whole, variables) or []
        if position >= len(moved) or moved[position].operation is not steps[position].operation:
            return False
        return not all(same_number(a, b) for a, b in zip(steps[position].constants(), moved[position].constants()))  # noqa: B905

    def first_wrong(self, steps: Sequence[Step]) -> tuple[Local | None, bool]:
        """The first step whose own gradient disagrees, and whether one before it is at a kink."""
        kink, within, whole = False, 0, self.whole
        with whole.at(whole.arrays) if isinstance(whole, TensorSubject) else nullcontext():  # parameters in float64
            for position, step in enumerate(steps):
                if not step.out.requires_grad:
                    continue
                for piece in pieces_of(step):
                    local = self.checked(piece)
                    if local is not None and local.is_wrong:
                        return local, kink
                local = self.checked(step)
                unsure = local is None or (local.is_wrong and self.follows_variables(steps, position))
                if unsure and within < MOST_WITHIN:
                    local, within = self.checked_within(steps, position), within + 1
                step.unchecked = local is None or (unsure and local.alone)
                if local is not None and local.is_wrong and not step.unchecked:
                    return local, kink
                kink = kink or (local is not None and local.is_kink)
        return None, kink

    def first_wrong_along(self, steps: Sequence[Step], direction: Sequence[Array]) -> Local | None:
        """The first step whose own gradient disagrees where its arguments move as the whole moves along a direction.

        One wrong entry of thousands may not show along random directions of a step.
        """
        if not isinstance(self.whole, TensorSubject):
            return None
        ahead, behind = (arguments_at(self.whole, direction, t) for t in (NEAR, -NEAR))
        with self.whole.at(self.whole.arrays):
            for position, (step, *moved) in enumerate(zip(steps, ahead, behind)):  # noqa: B905
                if [[x.shape for x in there] for there in moved] != 2 * [[x.shape for x in step.tensors()]]:
                    return None  # other operations there
                towards = [np.asarray((a - b) / (2 * NEAR)) for a, b in zip(*moved, strict=True)]
                if not step.out.requires_grad or not all(np.isfinite(d).all() for d in towards):
                    continue
                local = self.checked(step, towards)
                if local is not None and local.is_wrong and not self.follows_variables(steps, position):
                    return local
        return None


class Within(TensorSubject):
    """The part of a function that ends with one of its steps: with its result, or `before` it with all it takes."""

    def __init__(self, whole: TensorSubject, position: int, before: bool) -> None:
        self.whole, self.position, self.before = whole, position, before
        self.function, self.inputs, self.parameters = whole.function, whole.inputs, whole.parameters
        self.names, self.arrays = whole.names, whole.arrays

    def outputs(self, variables: Sequence[Tensor]) -> list[Tensor]:
        out = steps_of(self.whole, variables)[self.position].out
        return list(dict.fromkeys(x for x, _ in out._edges if x._edges)) if self.before else [out]


def steps_of(subject: TensorSubject, variables: Sequence[Tensor]) -> list[Step]:
    """What a function records."""
    with enable_grad(), recorded_steps() as steps:
        subject.outputs(variables)
    return steps


def arguments_at(whole: TensorSubject, direction: Sequence[Array], t: float) -> list[list[Array]]:
    """What the tensors are that each step takes, if the variables are moved; none where f is not defined there."""
    moved = [np.asarray(x + t * d) for x, d in zip(whole.arrays, direction, strict=True)]
    with whole.at(moved) as variables:
        return [[x._data for x in step.tensors()] for step in attempted(steps_of, whole, variables) or []]


def same_number(a: Any, b: Any) -> bool:
    """Whether two constants are the same number or array, or anything else."""
    if not all(isinstance(x, (np.ndarray, np.generic, float)) and np.asarray(x).dtype.kind == "f" for x in (a, b)):
        return True
    return np.array_equal(a, b, equal_nan=True)


def symmetrised(step: Step, x: TensorLike) -> TensorLike:
    """The symmetric part of a matrix, for operations that are defined for such only."""
    if getattr(step.operation, "__name__", "") not in ("eigh", "cholesky", "mirrored"):  # the last is within the others
        return x
    x = as_tensor(x)
    return (x + x.swapaxes(-1, -2)) / 2


def position_in(step: Step) -> int | None:
    """Which of the results of the operation, called again, has the recorded value."""
    again = attempted(step.call, {x: x.detach() for x in step.tensors()})  # None if it cannot be repeated
    for position, result in enumerate(leaves(again)):
        if isinstance(result, Tensor) and np.array_equal(result._data, step.out._data, equal_nan=True):
            return position
    return None


def pieces_of(step: Step) -> list[Step]:
    """What a step is made of, if it is a function of another framework."""
    return attempted(step.operation.pieces, step.arguments) or [] if hasattr(step.operation, "pieces") else []


# ------------------------------------------------------------------------------------------------ in words


def rule_line(step: Step, parent: Tensor) -> str | None:
    """Where the gradient rule for one parent is written."""
    rules: list[Any] = [rule for x, rule in step.out._edges if x is parent]
    if hasattr(step.operation, "adapted"):  # the rule of another framework
        rules = [getattr(step.operation, "backward", None)]
    return written_at(rules[0]) if rules else None


def argument_name(step: Step, parent: Tensor) -> str:
    """What the operation calls an argument."""
    try:
        signature = inspect.signature(step.operation)
        bound = signature.bind(*step.arguments, **step.options).arguments
    except (TypeError, ValueError):
        return "its input"
    places = [i for i, x in enumerate(step.arguments) if x is parent]
    if places and any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()):
        return f"input {places[0]}"
    names = [name for name, given in bound.items() if any(x is parent for x in leaves(given))]
    return f"`{names[0]}`" if names else "its input"


def reproduced(local: Local, options: dict[str, Any]) -> list[str]:
    """Lines that check the step on its own."""
    parents = local.step.tensors()
    names = [Name(f"x{i}" if len(parents) > 1 else "x") for i in range(len(parents))]

    def function(line: SourceLine) -> str:
        call = local.step.spelled(dict(zip(parents, names, strict=True)), line)
        return f"lambda {', '.join(map(repr, names))}: {call}"

    return reproduction(function, local.probe.arrays, options) if local.alone else []


def accusation(
    local: Local, rng: np.random.Generator, said: Collection[str] = (), asked: Callable[..., Any] | None = None
) -> str:
    """The sentence that names an operation, the line that called it, the line of the rule, and the pattern.

    Args:
        said: patterns that the report has already.
        asked: the function that is checked. If that is the operation, the line where it is defined is told: it was the
            kit that called it, or hypothesis.
    """
    step, probe = local.step, local.probe
    defined = written_at(step.operation) if step.operation is asked else None
    what = f"blamed: {step.name}, " + (f"defined at {defined}" if defined else f"called at {step.line}")
    if not local.alone:
        return f"{what}: the gradients of what it takes are right, that of its result is not"
    with recorded_writers() as writers:
        gradients = attempted(probe.subject.gradients, probe.arrays, copies(probe.cotangents))
    if writers:
        return f"{what}: {writers[0]} writes into the gradient that it is given: copy it first"
    if gradients is None:
        return f"{what}: it is its gradient that raises this"
    broken = [i for i, gradient in enumerate(probe.gradients) if not np.isfinite(gradient).all()]
    place = None if broken else probe.locate(rng, by_entry=False)
    variable = broken[0] if broken else place.variable if place is not None else variable_along(local)
    if variable is None:
        return what
    parent, wrong = step.tensors()[variable], "is not finite" if broken else "disagrees"
    line, pattern = rule_line(step, parent), pattern_of(probe, variable) if place and place.wrong else None
    what += f"; the gradient for {argument_name(step, parent)} {wrong}" + (f", rule at {line}" if line else "")
    return what + (f": there {pattern}" if pattern and pattern not in said else "")


def variable_along(local: Local) -> int | None:
    """The first variable whose gradient is wrong along the direction in which the step was found so."""
    probe, direction = local.probe, local.direction
    which = range(len(probe.arrays)) if direction is not None else ()
    return next((i for i in which if probe.is_wrong(probe.only(i, direction or ()))), None)


def unblamed(steps: Sequence[Step]) -> str:
    """The sentence if no step is found wrong: which ones have been checked."""
    missed = list(dict.fromkeys(step.name for step in steps if step.unchecked))
    if len(steps) >= MOST_STEPS:
        missed.append(f"all after the first {MOST_STEPS:,} steps")
    if not missed:
        return "blamed: no single operation could be shown wrong on its own: detach() or .data in f?"
    more = f" and {len(missed) - 3} more" if len(missed) > 3 else ""
    return f"blamed: no single operation that could be checked on its own; not checked: {', '.join(missed[:3])}{more}"
