"""A verdict for each edge of a trace: its gradient rule alone against numerical slopes of its operation.

An operation is called again with the arguments it had, in float64. Each place in which a tensor is an argument becomes
a variable of its own, so that `x * x` has two, and one variable is moved at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from minigrad.arrays import Array
from minigrad.graph import summed_to
from minigrad.guards import libraries
from minigrad.modes import enable_grad, no_grad
from minigrad.random import noting, put, standing
from minigrad.recording import Enclosing, Recorded, recording
from minigrad.show.steps import VerdictShown
from minigrad.show.tracing import Checkable
from minigrad.tensor import Rule, Tensor, as_tensor, wrap
from minigrad.testing.blame import Step, symmetrised
from minigrad.testing.numeric import Finding, Tolerance, Verdict
from minigrad.testing.probe import Probe, excused_by_kinks
from minigrad.testing.subject import TensorSubject
from minigrad.trees import leaves, rebuilt

WORST_FIRST = Verdict.WRONG, Verdict.KINK, Verdict.CORRECT, Verdict.INCONCLUSIVE


def verdicts(call: Checkable, rules: dict[int, Rule]) -> dict[int, VerdictShown]:
    """The verdict on the rule for each of these inputs of an operation, by position.

    Arrays that an operation takes besides its inputs may follow from these, as the moments of a batch do; its rule is
    then no derivative with these arrays held fast. So a rule that is wrong in this way is looked at again as a part of
    the function that called the operation, and of the one around that: until one takes no such arrays, or is a
    library's which the user's program called, for which they are constants.

    Args:
        call: the operation.
        rules: position among its inputs -> the rule that was recorded.
    """
    found: dict[int, VerdictShown] = {}
    of_library = [is_library(str(call.event.operation.__module__)), *(is_library(f.module) for f in call.around), False]
    with np.errstate(all="ignore"), standing(call.drawn), undrawn():  # what is not finite is reported
        for level, (inside, outside) in enumerate(pairwise(of_library)):
            step = step_of(call.event) if level == 0 else step_around(call.event, call.around[level - 1])
            open_ones = [i for i in rules if i not in found or differs(found[i])]
            here = verdicts_in(call, step, {i: rules[i] for i in open_ones})
            found |= {i: v for i, v in here.items() if level == 0 or v.verdict != "inconclusive"}
            is_last = step is not None and (not takes_arrays(call, step) or (inside and not outside))
            if not any(map(differs, found.values())) or (is_last and level == 0):
                return found
            if is_last:
                unseen = [i for i, v in here.items() if v.verdict == "inconclusive"]
                return found | dict.fromkeys(unseen, MAY_FOLLOW)
            if level and step is None:
                break
    return {i: MAY_FOLLOW if differs(v) else v for i, v in found.items()}


def differs(verdict: VerdictShown) -> bool:
    """Whether a rule gives something else than the slopes: so may a right one, if arrays follow from its input."""
    return verdict.verdict == "WRONG" and verdict.numeric is not None


def verdicts_in(call: Checkable, step: Step | None, rules: dict[int, Rule]) -> dict[int, VerdictShown]:
    """The verdicts on the rules of an operation as a part of a step, or as the step itself."""
    place = None if step is None else place_in(call, step)
    if step is None or place is None:
        return dict.fromkeys(rules, undecided("called again, the operation does not give the recorded value"))
    edges = Edges(call, step, place, rules)
    try:
        return edges.verdicts()
    except Exception as error:  # of whatever kind: it is part of what is shown
        if raising := edges.raising():
            return raising | verdicts_in(call, step, {i: rules[i] for i in rules if i not in raising})
        return dict.fromkeys(rules, undecided(f"called again, the operation raises {type(error).__name__}"))


def is_library(module: str) -> bool:
    """Whether a module is not the user's."""
    return module.partition(".")[0] in libraries


def takes_arrays(call: Checkable, step: Step) -> bool:
    """Whether there are numbers among the arguments that may follow from the inputs, and are none themselves.

    Zeros and ones are a mask, unless the inputs are such too. A number of Python's is written down in a program if it
    stands in the functions around, or if it has few digits and the inputs have many.
    """
    event = call.event
    inputs = [np.asarray(x._data if isinstance(x, Tensor) else x) for x in event.inputs]
    written = {x for f in call.around for x in f.code.co_consts if isinstance(x, (int, float))}
    by_hand = all(map(has_few_digits, inputs))
    floats = [x for x in leaves([step.arguments, step.options]) if type(x) is float and not any(
        isinstance(y, (int, float)) and x == y for y in event.inputs)]
    if any(x not in written and (by_hand or not has_few_digits(x)) for x in floats):
        return True
    lattice = any((x == np.rint(x)).all() for x in inputs)
    numbers = [x for x in leaves([step.arguments, step.options])
               if isinstance(x, (np.ndarray, np.floating)) and x.dtype.kind == "f"]
    others = [x for x in numbers if not is_input(x, event)]
    return any(lattice or x.size == 1 or not ((x == 0) | (x == 1)).all() for x in others)


def is_input(x: Any, event: Recorded) -> bool:
    """Whether an array is an input of an operation, or what one was made of."""
    return any(x is y or (isinstance(y, Tensor) and x is y._data) for y in event.inputs)


def has_few_digits(x: Any) -> bool:
    """Whether all these numbers have at most four digits, as those that somebody types."""
    return all(float(f"{number:.4g}") == number for number in np.ravel(x).tolist())


@contextmanager
def undrawn() -> Iterator[None]:
    """Generators that are drawn from inside stand afterwards where they stood before."""
    with noting() as states:
        try:
            yield
        finally:
            put(states)


def step_of(event: Recorded) -> Step:
    """An operation with the arguments it had."""
    step = Step.of(event)
    inside = leaves([step.arguments, step.options])
    if len(event.inputs) == 1 and step.arguments and not any(x is event.inputs[0] for x in inside):
        step.arguments = (event.inputs[0], *step.arguments[1:])  # what it has made of its first argument, to begin with
    return step


def step_around(event: Recorded, around: Enclosing) -> Step | None:
    """A function that called an operation, with its arguments; None if it is not known, or not of data alone."""
    inside = leaves([around.arguments, around.options])
    is_function_of_them = any(x is y and isinstance(x, Tensor) for x in inside for y in event.inputs)
    if not is_function_of_them or not all(isinstance(x, DATA) for x in inside):
        return None
    function = around.function()
    if function is None:
        return None
    return Step(function, event.result, around.arguments, around.options, "")


DATA = Tensor, np.ndarray, np.generic, np.dtype, np.random.Generator, int, float, str, slice, type(None), type(...)


@dataclass(frozen=True)
class PlaceOfResult:
    """Where the result of an operation is: in what a step returns, or `within`, in what it records of the operation."""

    within: bool
    index: int

    def results(self, event: Recorded, step: Step) -> list[Any]:
        """All that the result may be among, when the step is made; it may write into arrays that it is handed."""
        step = step.with_leaves(lambda x: x.copy() if isinstance(x, np.ndarray) and not is_input(x, event) else x)
        if not self.within:
            return leaves(step.call({}))
        events: list[Any] = []
        with recording(events.append):
            step.call({})
        code = code_of(event.operation)
        return [e.result for e in events
                if isinstance(e, Recorded) and not e.backwards and code_of(e.operation) is code]


def place_in(call: Checkable, step: Step) -> PlaceOfResult | None:
    """Where the recorded value is when a step is made again; None if it is nowhere."""
    plain = step.with_leaves(lambda x: x.detach() if isinstance(x, Tensor) else x)
    for within in (False, True):
        put(call.drawn)
        try:
            results = PlaceOfResult(within, 0).results(call.event, plain)
        except Exception:  # whatever it is: this call cannot be repeated, so nothing can be said of it
            return None
        for index, result in enumerate(results):
            if isinstance(result, Tensor) and np.array_equal(result._data, step.out._data, equal_nan=True):
                return PlaceOfResult(within, index)
    return None


def undecided(reason: str) -> VerdictShown:
    """Nothing is known, for a reason."""
    return VerdictShown(Verdict.INCONCLUSIVE.value, None, None, None, reason)


MAY_FOLLOW = undecided("it is also handed numbers that may have been computed from its inputs; moving an input would "
                       "change these too, so its slope alone says nothing")


@dataclass
class Edges:
    """The edges of one recorded operation, whose result has its place in what a step gives."""

    call: Checkable
    step: Step
    place: PlaceOfResult
    rules: dict[int, Rule]

    @property
    def event(self) -> Recorded:
        return self.call.event

    def verdicts(self) -> dict[int, VerdictShown]:
        """See the function of this name."""
        places, variable_of = self.variables()
        arguments = [self.step.arguments, self.step.options]
        inside = leaves(arguments)

        def again(*variables: Any) -> Tensor:
            new = list(inside)
            for variable, together in zip(variables, places, strict=True):
                for place in together:
                    new[place] = symmetrised(self.step, variable)
            by_position, by_name = rebuilt(arguments, new)
            put(self.call.drawn)
            step = replace(self.step, arguments=by_position, options=by_name)
            return as_tensor(self.place.results(self.event, step)[self.place.index])

        rng = np.random.default_rng(0)
        subject = TensorSubject(again, [inside[together[0]]._data for together in places])
        cotangents = [rng.standard_normal(value.shape) for value in subject.values(subject.arrays)]
        gradients = subject.gradients(subject.arrays, cotangents) if places else []
        tolerance = Tolerance()
        if self.exchanged(again, subject):
            gradients, tolerance = self.recorded(cotangents[0], gradients, variable_of)
        probe = Probe(subject, cotangents, gradients, tolerance)
        found = {variable: judged(probe, variable, rng) for variable in sorted(set(variable_of.values()))}
        missing = undecided("the tensor is not among the arguments of the operation")
        return {i: found[variable_of[i]] if i in variable_of else missing for i in self.rules}

    def variables(self) -> tuple[list[list[int]], dict[int, int]]:
        """The places among the leaves of the arguments that are moved together, and which of them an input is.

        A tensor that is an argument more or less often than it is an input is moved in all places at once.
        """
        inside = leaves([self.step.arguments, self.step.options])
        places: list[list[int]] = []
        variable_of: dict[int, int] = {}
        for x in dict.fromkeys(self.event.inputs[i] for i in self.rules):
            found = [[place] for place, leaf in enumerate(inside) if leaf is x]
            positions = [i for i in self.rules if self.event.inputs[i] is x]
            if not found:
                continue
            if len(found) != len(positions):
                found = [[place for together in found for place in together]]
            for k, i in enumerate(positions):
                variable_of[i] = len(places) + min(k, len(found) - 1)
            places += found
        return places, variable_of

    def exchanged(self, again: Any, subject: TensorSubject) -> bool:
        """Whether other rules were recorded than the operation has when it is called now: somebody put them there."""
        with subject.at(subject.arrays) as variables, enable_grad():
            edges = again(*variables)._edges
        plain = all(symmetrised(self.step, x) is x for x in variables)
        others = plain and any(not any(x is y for y in variables) for x, _ in edges)  # rules within the operation
        return others or not {code_of(rule) for rule in self.rules.values()} <= {code_of(rule) for _, rule in edges}

    def recorded(
        self, cotangent: Array, gradients: Sequence[Any], variable_of: dict[int, int]
    ) -> tuple[list[Any], Tolerance]:
        """What the recorded rules themselves give, in the precision that they were recorded in."""
        found: list[Any] = [None] * len(gradients)
        for i, variable in variable_of.items():
            part = self.passed_back(i, cotangent)
            found[variable] = part if found[variable] is None else found[variable] + part
        return found, Tolerance(max(Tolerance().rtol, float(np.finfo(self.event.result.dtype).eps) ** 0.5))

    def passed_back(self, i: int, cotangent: Array) -> Array:
        """What one of the recorded rules gives."""
        out = self.event.result
        x: Any = self.event.inputs[i]
        with no_grad():
            return np.array(summed_to(self.rules[i](wrap(cotangent.astype(out.dtype)), out), x)._data, np.float64)

    def raising(self) -> dict[int, VerdictShown]:
        """The verdicts on the recorded rules that raise, or give what cannot be a gradient."""
        found, cotangent = dict[int, VerdictShown](), np.random.default_rng(0).standard_normal(self.event.result.shape)
        for i in self.rules:
            try:
                self.passed_back(i, cotangent)
            except Exception as error:
                reason = f"its rule raises {type(error).__name__}: {error}"
                found[i] = VerdictShown(Verdict.WRONG.value, None, None, None, reason)
        return found


def code_of(function: Any) -> Any:
    """What two rules, or operations, have in common that are the same one, with other values."""
    return getattr(getattr(function, "func", function), "__code__", type(function))


def judged(probe: Probe, variable: int, rng: np.random.Generator) -> VerdictShown:
    """The verdict on the gradient of one variable."""
    gradient = probe.gradients[variable]
    if not np.isfinite(probe.here).all():
        return undecided("the value is not finite")
    if not np.isfinite(gradient).all():
        return of_infinite(probe, variable, rng)
    directions = [probe.only(variable, probe.random_direction(rng)) for _ in range(2)]
    findings = [probe.look(direction) for direction in directions]
    if any(finding.verdict not in (Verdict.CORRECT, Verdict.WRONG) for finding in findings):
        aimed = [d for d in (probe.only(variable, d) for d in probe.aimed()) if any(part.any() for part in d)]
        directions, findings = directions + aimed, findings + [probe.along(d) for d in aimed]
    wrong = [d for d, finding in zip(directions, findings, strict=True) if finding.verdict is Verdict.WRONG]
    worst = min(findings, key=lambda finding: WORST_FIRST.index(finding.verdict))
    if wrong and excused_by_kinks(probe, wrong, rng):
        return of_finding(worst, Verdict.KINK, "many kinks meet here")
    return of_finding(worst, worst.verdict, worst.reason)


def of_finding(finding: Finding, verdict: Verdict, reason: str) -> VerdictShown:
    """A finding as it is shown."""
    return VerdictShown(verdict.value, finding.analytic, finding.numeric, finding.error, reason)


def of_infinite(probe: Probe, variable: int, rng: np.random.Generator) -> VerdictShown:
    """The verdict on a gradient that is not finite: wrong if the slopes are."""
    gradient = probe.gradients[variable]
    bad = float(gradient[~np.isfinite(gradient)][0])
    finite = [np.where(np.isfinite(g), g, 0.0) for g in probe.gradients]
    probe = Probe(probe.subject, probe.cotangents, finite, probe.tolerance)
    finding = probe.along(probe.only(variable, probe.random_direction(rng), ~np.isfinite(gradient)))
    if finding.verdict is Verdict.INCONCLUSIVE:
        return undecided(f"the rule gives {bad}, and the slopes are not finite either")
    return VerdictShown(Verdict.WRONG.value, bad, finding.numeric, finding.error, f"the rule gives {bad}")
