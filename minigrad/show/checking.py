"""A verdict for each edge of a trace: its gradient rule alone against numerical slopes of its operation.

An operation is called again with the arguments it had, in float64. Each place in which a tensor is an argument becomes
a variable of its own, so that `x * x` has two, and one variable is moved at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.arrays import Array
from minigrad.graph import fitted_to
from minigrad.modes import enable_grad, no_grad
from minigrad.random import noting, put
from minigrad.recording import Recorded
from minigrad.show.steps import VerdictShown
from minigrad.tensor import Rule, Tensor, as_tensor, wrap
from minigrad.testing.blame import Step, position_in, symmetrised
from minigrad.testing.numeric import Finding, Tolerance, Verdict
from minigrad.testing.probe import Probe, excused_by_kinks
from minigrad.testing.subject import TensorSubject
from minigrad.transforms import leaves, rebuilt

WORST_FIRST = Verdict.WRONG, Verdict.KINK, Verdict.CORRECT, Verdict.INCONCLUSIVE


def verdicts(event: Recorded, rules: dict[int, Rule]) -> dict[int, VerdictShown]:
    """The verdict on the rule for each of these inputs of an operation, by position.

    Args:
        event: the operation.
        rules: position among its inputs -> the rule that was recorded.
    """
    step = Step.of(event)
    with np.errstate(all="ignore"), undrawn():  # what is not finite is reported
        output = position_in(step)
        if output is None:
            return dict.fromkeys(rules, undecided("called again, the operation does not give the recorded value"))
        try:
            return Edges(event, step, output, rules).verdicts()
        except Exception as error:  # of whatever kind: it is part of what is shown
            return dict.fromkeys(rules, undecided(f"called again, the operation raises {type(error).__name__}"))


@contextmanager
def undrawn() -> Iterator[None]:
    """Generators that are drawn from inside stand afterwards where they stood before."""
    with noting() as states:
        try:
            yield
        finally:
            put(states)


def undecided(reason: str) -> VerdictShown:
    """Nothing is known, for a reason."""
    return VerdictShown(Verdict.INCONCLUSIVE.value, None, None, None, reason)


@dataclass
class Edges:
    """The edges of one recorded operation, of which result number `output` was recorded."""

    event: Recorded
    step: Step
    output: int
    rules: dict[int, Rule]

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
            return as_tensor(leaves(self.step.operation(*by_position, **by_name))[self.output])

        rng = np.random.default_rng(0)
        subject = TensorSubject(again, [inside[together[0]]._data for together in places])
        cotangents = [rng.standard_normal(value.shape) for value in subject.values(subject.arrays)]
        gradients = subject.gradients(subject.arrays, cotangents) if places else []
        tolerance = Tolerance()
        if self.exchanged(again, subject):
            gradients, tolerance = self.recorded(cotangents[0], gradients, variable_of)
        probe = Probe(subject, cotangents, gradients, tolerance)
        found = {variable: judged(probe, variable, rng) for variable in sorted(set(variable_of.values()))}
        if any(isinstance(x, np.ndarray) and x.dtype.kind == "f" and not self.is_input(x) for x in inside):
            may_follow = undecided("it takes arrays, not as inputs, which may follow from its inputs")
            found = {i: may_follow if verdict.verdict == "WRONG" else verdict for i, verdict in found.items()}
        missing = undecided("the tensor is not among the arguments of the operation")
        return {i: found[variable_of[i]] if i in variable_of else missing for i in self.rules}

    def is_input(self, array: Array) -> bool:
        """Whether an array is one of the inputs, as a constant."""
        return any(x is array or (isinstance(x, Tensor) and x._data is array) for x in self.event.inputs)

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
            now = {rule_code(rule) for _, rule in again(*variables)._edges}
        return not {rule_code(rule) for rule in self.rules.values()} <= now

    def recorded(
        self, cotangent: Array, gradients: Sequence[Any], variable_of: dict[int, int]
    ) -> tuple[list[Any], Tolerance]:
        """What the recorded rules themselves give, in the precision that they were recorded in."""
        out = self.event.result
        found: list[Any] = [None] * len(gradients)
        for i, variable in variable_of.items():
            with no_grad():
                raw = self.rules[i](wrap(cotangent.astype(out.dtype)), out)
                x: Any = self.event.inputs[i]
                part = np.array(fitted_to(x, raw)._data, np.float64)
            found[variable] = part if found[variable] is None else found[variable] + part
        return found, Tolerance(max(Tolerance().rtol, float(np.finfo(out.dtype).eps) ** 0.5))


def rule_code(rule: Any) -> Any:
    """What two rules have in common that are the same one, with other values."""
    return getattr(getattr(rule, "func", rule), "__code__", type(rule))


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
