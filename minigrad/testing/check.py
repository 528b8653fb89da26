"""`gradcheck`: gradients against numerical derivatives, and all else that must hold of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from minigrad.tensor import Tensor, wrap
from minigrad.testing.blame import (
    Local,
    Step,
    accusation,
    checked,
    first_wrong,
    pattern_of,
    position_in,
    recording,
    reproduced,
    unblamed,
)
from minigrad.testing.differences import EPSILON
from minigrad.testing.numeric import SHRINK, Finding, Tolerance, Verdict, judge, steps
from minigrad.testing.probe import Moved, Place, Probe, excused_by_kinks, flat, precision, scale
from minigrad.testing.report import GradientError, Report
from minigrad.testing.reproduce import Call, attempt
from minigrad.testing.structure import CHECKS, QUARTER, SINGLE, Run, changed
from minigrad.testing.subject import HandWritten, SecondOrder, Subject, TensorSubject
from minigrad.transforms import leaves, rebuilt

SAMPLED = 64  # entries that are looked at where directions decide nothing
BLURRED = 1e-6  # of its size: an error bar in which a wrong entry of many may hide
AWAY = 1e-3  # of each element's own size: how far from the first a second point is
NUMBERS = Tolerance()


def gradcheck(f: Callable[..., Any], *inputs: Any, **options: Any) -> Report:
    """Compare the gradients of `f` with numerical derivatives, and check all else that must hold of them.

    Args:
        f: a function of tensors, or nested containers of them, that returns tensors; a module; or, with `gradient`, a
            function of plain arrays.
        inputs: at which to check: floating ones (arrays, tensors, Python floats) are variables and become float64, all
            others are handed to `f` as they are, and with `wrt` also floating ones that are data.
        options: see `gradient_report`, which does the same without raising.

    Returns:
        The report, of which `print` shows what was checked.

    Raises:
        GradientError: if anything is wrong, or more than half undecided; its message is the report. A part that the
            numbers say nothing of is no error, but the report calls itself undecided: see `Report.state`.

    >>> print(gradcheck(lambda x: x * x, np.array([1.0, 2.0])))
    the gradient of <lambda> is correct (slopes: 3 correct)
    """
    __tracebackhide__ = True  # the report says more than our own lines
    report = gradient_report(f, *inputs, **options)
    if not report.ok:
        raise GradientError(report)
    return report


def gradient_report(
    f: Callable[..., Any],
    *inputs: Any,
    gradient: Callable[..., Any] | None = None,
    model: Any = None,
    wrt: int | Sequence[int] | None = None,
    order: int = 1,
    checks: Collection[str] | None = None,
    every_entry: bool = False,
    directions: int = 3,
    rtol: float = NUMBERS.rtol,
    atol: float = NUMBERS.atol,
    seed: int = 0,
) -> Report:
    """What `gradcheck` finds, as a report.

    Args:
        f, inputs: see `gradcheck`.
        gradient: the hand-written gradient of a function of plain arrays, which returns one array for each floating
            input: called like `f` if that returns one number, otherwise with the cotangents as last arguments.
        model: a module that `f` uses, whose parameters are variables too; `f` itself if that is a module.
        wrt: the positions of the inputs that are variables: all floating ones by default. Other floating inputs are
            data, handed to `f` as they are, and `gradient` returns nothing for them.
        order: 2 to check the derivatives of the gradients as well.
        checks: which of `CHECKS` to make besides the numerical ones: all by default.
        every_entry: look at each entry too, not only along random directions.
        directions: how many of these.
        rtol, atol: see `Tolerance`; the numerical error bar is added to them.
        seed: what directions and cotangents are drawn from.

    Raises:
        ValueError: if there is nothing to check, or there is no such check, no such order, or no such variable.
        TypeError: if `f` returns nothing floating, or what is neither array nor number.

    >>> report = gradient_report(np.tanh, np.array([1.0, 2.0]), gradient=lambda x, cotangent: 1 - np.tanh(x) ** 2)
    >>> report.ok, report.problems[0]
    (False, 'the cotangent is ignored: two different ones give the same gradient of input 0')
    """
    call = Call(dict(locals()))
    f = call.function
    if unknown := set(CHECKS if checks is None else checks) - set(CHECKS):
        raise ValueError(f"there is no check {sorted(unknown)}: take some of {', '.join(CHECKS)}")
    if order not in (1, 2):
        raise ValueError(f"order is 1, or 2 for derivatives of the gradients too, got {order!r}")
    if directions < 1:
        raise ValueError(f"there must be at least 1 direction to look along, got {directions!r}")
    if model is None and hasattr(f, "named_parameters"):
        model = f
    subject = HandWritten(f, gradient, inputs, wrt) if gradient else TensorSubject(f, inputs, model, wrt)
    if not subject.arrays:
        raise ValueError("there is nothing to differentiate with respect to: give floating inputs")
    report = Report(getattr(f, "__name__", type(f).__name__))
    chosen = [check for name, check in CHECKS.items() if checks is None or name in checks]
    examination = Examination(report, subject, Tolerance(rtol, atol), directions, every_entry, seed, call)
    with buffers_restored(model), np.errstate(all="ignore"):  # what is not finite is reported
        run = examination.first_run()
        if run and examination.structure(run, chosen):
            examination.slopes(run)
            if order == 2 and report.ok:
                examination.second_order(run)
    return report


@contextmanager
def buffers_restored(model: Any) -> Iterator[None]:
    """Leave the arrays of a module that are not parameters, such as running averages, as they were."""
    modules = list(model.modules()) if hasattr(model, "modules") else []
    kept = [(vars(m), {k: x.copy() for k, x in vars(m).items() if isinstance(x, np.ndarray)}) for m in modules]
    try:
        yield
    finally:
        for attributes, arrays in kept:
            attributes.update(arrays)


class Examination:
    """What is needed all along while one report is written."""

    def __init__(
        self, report: Report, subject: Subject, tolerance: Tolerance, directions: int, every_entry: bool, seed: int,
        call: Call,
    ) -> None:
        self.report, self.subject, self.tolerance, self.call = report, subject, tolerance, call
        self.directions, self.every_entry, self.seed = directions, every_entry, seed
        self.rng = np.random.default_rng((seed, 2))  # not what a user draws data from, by the same seed
        self.order = 1
        self.lost = 0.0  # how large slopes may be that rounding hides, whatever the error bar says
        self.steps: list[Step] = []
        self.place: Place | None = None  # a wrong entry, if one has been come across

    # ---------------------------------------------------------------- the first run

    def first_run(self) -> Run | None:
        """Values and gradients at the point; None, and problems in the report, if they are unusable."""
        subject, arrays = self.subject, [x.copy() for x in self.subject.arrays]
        values = subject.values(arrays)
        one_number = isinstance(subject, HandWritten) and subject.returns_one_number
        draw = np.ones if one_number else self.rng.standard_normal
        run = Run(subject, values, [np.asarray(draw(value.shape)) for value in values], [], self.seed)
        anything = any(x.size for x in arrays)  # otherwise it is no matter that, say, logsumexp of nothing is -inf
        if anything and [i for i, value in enumerate(values) if not self.finite(f"output {i}", value)]:
            return None
        try:
            with recording() as steps:
                run.gradients.extend(subject.gradients(arrays, run.cotangents))
        except Exception as error:  # of whatever kind: it is part of what is reported
            if type(error).__module__.startswith("hypothesis"):
                raise
            notes = "; ".join(getattr(error, "__notes__", []))
            said = f"the gradient raises {type(error).__name__}: {error}"
            self.report.problems.append(f"{said}, {notes}" if notes else said)
            return None
        self.steps = steps
        run = replace(run, epsilon=precision([*run.values, *(step.out for step in steps if step.out.requires_grad)]))
        if name := changed(subject.names, arrays, subject.arrays):
            self.report.problems.append(f"f, or its gradient, writes into {name}: copy it first")
            return None
        good = [self.finite(f"the gradient of {name}", g) for name, g in zip(subject.names, run.gradients, strict=True)
                if g is not None]
        if (wrong := CHECKS["shapes"](run)) is not None:
            self.report.problems.append(wrong)
        if not all(good):
            self.blame(self.culprit(finite=False)[0])
        return run if all(good) and wrong is None else None

    def finite(self, name: str, array: Any) -> bool:
        """Whether all is finite; if not, the report says where it is not."""
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            index = tuple(int(i) for i in bad[0])
            more = f", and at {len(bad) - 1} more places" if len(bad) > 1 else ""
            self.report.problems.append(f"{name} is {array[index]}" + (f" at {index}" if index else "") + more)
        return not len(bad)

    # ---------------------------------------------------------------- what is no number

    def structure(self, run: Run, checks: Sequence[Callable[[Run], str | None]]) -> bool:
        """Make the checks; False if after one that fails numbers mean nothing."""
        for check in checks:
            try:
                problem = check(run)
            except (NotImplementedError, np.linalg.LinAlgError) as error:  # of another framework's function, in float32
                self.report.notes.append(f"not checked: {check.__name__}, {error}")
                continue
            except Exception as error:  # of whatever kind: it is part of what is reported
                problem = f"the check {check.__name__!r} ends with {type(error).__name__}: {error}"
            epsilon = {CHECKS["forward"]: EPSILON, CHECKS["float32"]: SINGLE}.get(check, 0.0)
            numbers = problem and epsilon and "agree" in problem  # which rounding may do, unlike a wrong dtype
            if numbers and (self.probe(run).is_erratic(self.rng, epsilon) or self.ill_conditioned(epsilon)):
                self.report.notes.append(f"an operation is ill-conditioned: {problem}")
            elif problem:
                self.report.problems.append(problem)
                if check is CHECKS["deterministic"]:
                    return False
        return True

    def ill_conditioned(self, epsilon: float) -> bool:
        """Whether rounding the arguments of some operation leaves its gradient with a few digits only."""
        return self.erratic_step(epsilon) or any(
            QUARTER * abs(local.probe.slope(direction)) < moved
            for local in self.locals() if epsilon == EPSILON
            for direction, moved in moved_by_rounding(local, self.rng)
        )

    def erratic_step(self, epsilon: float = EPSILON) -> bool:
        """Whether it leaves the value of some operation with half of its digits only."""
        return any(local.probe.is_erratic(self.rng, epsilon) for local in self.locals())

    def locals(self) -> Iterator[Local]:
        """What checking the first steps, each on its own, finds."""
        found = (checked(step, 1, self.tolerance, self.rng) for step in self.steps[:SAMPLED] if step.out.requires_grad)
        return (local for local in found if local is not None)

    # ---------------------------------------------------------------- slopes

    def slopes(self, run: Run) -> None:
        """Judge the gradients along directions, and on request by entries; explain what is wrong."""
        if not any(x.size for x in self.subject.arrays) or not any(value.size for value in run.values):
            return
        self.place = None
        elsewhere = self.elsewhere(run) if self.directions > 1 else None
        probe = self.probe(run)
        here = self.directions - (elsewhere is not None)
        tried = [(d, probe.look(d)) for d in (probe.random_direction(self.rng) for _ in range(here))]
        if any(finding.verdict is Verdict.KINK for _, finding in tried):
            tried += [(d, probe.along(d)) for d in probe.aimed()]
        if all(finding.error > BLURRED * finding.size for _, finding in tried):  # kinks within each first step
            tried.append(self.sharpened(probe, *min(tried, key=lambda pair: pair[1].error)))
            tried = [(d, f) for d, f in tried if d is not tried[-1][0]] + tried[-1:]
        tried += self.small_ones(probe, [finding for _, finding in tried])
        decided = [finding for _, finding in tried if finding.verdict is not Verdict.INCONCLUSIVE]
        findings = [finding for _, finding in tried]
        if self.every_entry or not decided:  # one entry may spoil every direction
            findings = decided + self.entries(probe, bool(decided))
        wrong = [d for d, finding in tried if finding.verdict is Verdict.WRONG]
        if any(finding.verdict is Verdict.WRONG for finding in findings):
            findings = self.explained(probe, run, findings, wrong)
        if elsewhere is not None:
            known = any(finding.verdict is Verdict.WRONG for finding in findings)
            second = self.second_point(elsewhere, probe, known)
            findings += [second] if decided or second.verdict is Verdict.WRONG else []
        for finding in findings:
            self.report.count(finding)
        if open_ones := [finding for finding in findings if finding.verdict is Verdict.INCONCLUSIVE]:
            said = f"{len(open_ones)} of {len(findings)} slopes are inconclusive: {open_ones[0].reason}"
            self.report.notes.append(said)

    def probe(self, run: Run) -> Probe:
        return Probe(run.subject, run.cotangents, run.gradients, self.tolerance, run.values, run.epsilon)

    def sharpened(self, probe: Probe, direction: list[Any], finding: Finding) -> tuple[list[Any], Finding]:
        """A direction, and the finding along it at smaller steps, where that has a smaller error bar."""
        line = probe.line(direction)
        for first, step in enumerate(steps(probe.epsilon)[1:5], 1):
            closer = line.at(step)
            if closer is None or closer.error >= finding.error:  # noise
                break
            if closer.verdict is not Verdict.CORRECT:
                closer = judge(line, first)
            finding = finding if closer.verdict is Verdict.INCONCLUSIVE else closer
            if finding.error <= BLURRED * finding.size or finding.verdict is Verdict.WRONG:
                break
        return direction, finding

    def small_ones(self, probe: Probe, findings: list[Finding]) -> list[tuple[list[Any], Finding]]:
        """Wrong slopes along directions of those entries only whose slopes are lost beside the others'."""
        allowed = min((f.allowed for f in findings if f.verdict is not Verdict.INCONCLUSIVE), default=0.0)
        while masks := probe.unseen(allowed):
            direction = [self.rng.standard_normal(o.shape) * o * m for o, m in zip(probe.own, masks, strict=True)]
            finding = probe.along(direction)
            if finding.verdict is Verdict.WRONG:
                return [(direction, finding)]
            if not 0 < finding.allowed < allowed / SHRINK:
                break
            allowed = finding.allowed
        return []

    def entries(self, probe: Probe, decided: bool) -> list[Finding]:
        """Findings of single entries: of all if asked for, else of some at random."""
        everywhere = [(i, index) for i, x in enumerate(probe.arrays) for index in np.ndindex(x.shape)]
        chosen = everywhere
        if not self.every_entry and len(everywhere) > SAMPLED:
            chosen = [everywhere[k] for k in self.rng.choice(len(everywhere), SAMPLED, replace=False)]
        found = {place: probe.entry(*place) for place in chosen}
        bad, wrong = ([place for place, finding in found.items() if finding.verdict is verdict]
                      for verdict in (Verdict.INCONCLUSIVE, Verdict.WRONG))
        if wrong:
            worst = max(wrong, key=lambda place: found[place].difference)
            self.place = Place(*worst, found[worst], len(wrong), len(chosen))
        if bad and not decided:
            names = [f"entry {index} of {probe.subject.names[i]}" if index else probe.subject.names[i]
                     for i, index in bad[:3]]
            more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
            self.report.undecided.append(f"undecided: {', '.join(names)}{more}; another point may tell")
        elif len(chosen) < len(everywhere) and not decided:
            self.report.undecided.append(f"undecided: all but {len(chosen)} of {len(everywhere)} entries")
        return list(found.values())

    def elsewhere(self, run: Run) -> Run | None:
        """What f and its gradients are at a second point, where what a rule has kept of the first is wrong."""
        subject, rng = self.subject, run.rng()
        moves = [AWAY * np.abs(rng.standard_normal(x.shape)) * np.abs(x) for x in subject.arrays]
        for sign in (1, -1):  # the first may lead out of the domain
            arrays = [x + sign * move for x, move in zip(subject.arrays, moves, strict=True)]
            try:
                values, gradients = subject.both([x.copy() for x in arrays], run.cotangents)
            except Exception:  # outside of the domain of f
                continue
            same = [value.shape for value in values] == [value.shape for value in run.values]
            if same and all(np.isfinite(x).all() for x in [*values, *gradients] if x is not None):
                return replace(run, subject=Moved(subject, arrays), values=values, gradients=gradients)
        return None

    def second_point(self, run: Run, first: Probe, known: bool) -> Finding:
        """The finding along a direction there; what is wrong is explained unless something is known to be wrong."""
        probe = self.probe(run)
        probe.scales = first.scales
        direction = probe.random_direction(self.rng)
        finding = probe.look(direction)
        if finding.verdict is not Verdict.WRONG or known:
            return finding
        with recording() as self.steps:
            self.subject.gradients(probe.arrays, run.cotangents)
        before = len(self.report.problems)
        (finding,) = self.explained(probe, run, [finding], [direction])
        if len(self.report.problems) > before:
            self.report.problems[before] = f"at a second point nearby: {self.report.problems[before]}"
            self.report.details.append("right at the point itself: does a rule keep something from an earlier call?")
        return finding

    def explained(self, probe: Probe, run: Run, findings: list[Finding], wrong: list[list[Any]]) -> list[Finding]:
        """Report where a gradient is wrong, which operation is to blame, and how it can be reproduced.

        Unless several kinks meet: their slopes may differ in sign, and no single line shows what is allowed. Then each
        operation has been found right on its own, and so is the whole beside the kinks. Or unless rounding explains it.
        """
        local, kink = self.culprit()
        if self.explained_by_rounding(local, probe, run, findings):
            reason = f"rounding: {'f' if local is None else local.step.name} is ill-conditioned"
            self.report.undecided.append(f"undecided: the gradient is off by what rounding may do. {reason[10:]}")
            return [replace(f, verdict=Verdict.INCONCLUSIVE, reason=reason) if f.verdict is Verdict.WRONG else f
                    for f in findings]
        if isinstance(self.subject, TensorSubject):
            nearby = probe.moved(self.rng) if local is None and kink else None
            shown = [*wrong[:1], probe.random_direction(self.rng)]
            tolerated = nearby is not None and not any(map(nearby.is_wrong, shown))
        else:
            tolerated = bool(wrong) and excused_by_kinks(probe, wrong, self.rng)
        if tolerated:
            self.report.notes.append("several kinks meet here: each operation's own slope is one of those allowed")
            return [replace(f, verdict=Verdict.KINK, margin=0.0) if f.verdict is Verdict.WRONG else f for f in findings]
        if attempt.running:
            self.report.problems.append("it is wrong here too")
            return findings
        place = self.place or probe.locate(self.rng)
        self.describe(probe, place, next(f for f in findings if f.verdict is Verdict.WRONG))
        self.blame(local)
        return findings

    def explained_by_rounding(
        self, local: Local | None, probe: Probe, run: Run, findings: Sequence[Finding]
    ) -> bool:
        """Whether f, or the step that is wrong, is off by no more than rounding may do, or changes too fast for it."""
        if all(f.difference <= self.lost for f in findings if f.verdict is Verdict.WRONG):
            return True
        if local is None:
            return probe.is_erratic(self.rng) or amplified(run, findings) or self.erratic_step()
        known = self.order == 1 and local.alone
        return local.probe.is_erratic(self.rng) or (known and rounding_explains(local, self.rng))

    def culprit(self, finite: bool = True) -> tuple[Local | None, bool]:
        """The first step whose own gradient is wrong, and whether one before it is at a kink.

        What is not finite there, though all gradients are finite, has had no part in them. While a line is tried, only
        steps are looked at that can be checked on their own.
        """
        start, kinks, subject = 0, False, None if attempt.running else self.subject
        while True:
            local, kink = first_wrong(self.steps, self.order, self.tolerance, self.rng, subject, start)
            kinks = kinks or kink
            if local is None or not finite or all(np.isfinite(g).all() for g in local.probe.gradients):
                return local, kinks
            start = next((i for i, step in enumerate(self.steps) if step is local.step), len(self.steps)) + 1

    # ---------------------------------------------------------------- in words

    def describe(self, probe: Probe, place: Place | None, along: Finding) -> None:
        """Where, by how much, and the pattern."""
        prefix = "the second derivative: " if self.order == 2 else ""
        if place is None or place.index is None:
            shown = along if place is None else place.finding
            where = "along a direction" if place is None else f"along all ones in {self.subject.names[place.variable]}"
            self.report.problems.append(f"{prefix}{where}, no single entry showing it: {compared(shown)}")
        else:
            name, shape = self.subject.names[place.variable], self.subject.arrays[place.variable].shape
            of = f"; {place.wrong} of {place.looked_at} entries disagree" if place.looked_at > 1 else ""
            entry = f"entry {place.index} of {name}, shape {shape}" if shape else name
            self.report.problems.append(f"{prefix}{entry}: {compared(place.finding)}{of}")
        if place is not None and place.looked_at and not place.wrong:
            self.report.details.append("each entry is a slope of one side, but not all at once: ties share a gradient")
        elif place is not None and (pattern := pattern_of(probe, place.variable)):
            self.report.details.append(pattern)

    def blame(self, local: Local | None) -> None:
        """Name the operation whose own gradient is wrong, if there is one, and give a line that reproduces it."""
        if attempt.running:
            return
        again: list[str] = []
        if local is not None:
            self.report.details.append(accusation(local, self.rng, self.report.details))
            again = reproduced(local, self.call.numbers(), gradient_report)
        elif self.steps:
            self.report.details.append(unblamed(self.steps))
        self.report.details += again or self.call.again(gradient_report)

    # ---------------------------------------------------------------- derivatives of derivatives

    def second_order(self, run: Run) -> None:
        """Examine the function that returns the gradients."""
        if not isinstance(self.subject, TensorSubject):
            raise ValueError("order=2 needs a function of tensors: a hand-written gradient has no gradient of its own")
        if self.report.verdicts[Verdict.KINK]:
            self.report.notes.append("derivatives of derivatives were not checked: the gradient jumps at a kink")
            return
        # Gradients may be small differences of what is as large as f, in units of the smallest step: softmax far out.
        unit = min((float(scale(x).min()) for x in self.subject.arrays if x.size), default=1.0)
        size = np.abs(flat(run.values)).max(initial=0.0) * np.abs(flat(run.cotangents)).sum()
        self.lost = self.tolerance.atol * float(size) / unit / max(unit, 1.0)
        self.order, self.subject = 2, SecondOrder(self.subject, run.cotangents)
        second = self.first_run()
        if second and self.structure(second, [CHECKS["deterministic"]]):
            self.slopes(second)


def compared(finding: Finding) -> str:
    """Both slopes in words."""
    sides = "" if finding.sides is None else f" (a kink: {finding.sides[0]:.6g} to {finding.sides[1]:.6g})"
    return f"analytic {finding.analytic:.8g}, numeric {finding.numeric:.8g} ± {finding.error:.1g}{sides}"


def amplified(run: Run, findings: Sequence[Finding]) -> bool:
    """Whether rounding inputs and cotangents moves the gradients, relatively, as far as they are off."""
    wrong = [finding for finding in findings if finding.verdict is Verdict.WRONG]
    if any(finding.difference > abs(finding.analytic) / SHRINK for finding in wrong):
        return False
    off = max(finding.difference / abs(finding.analytic) for finding in wrong)
    moved = run.shaken(run.subject.arrays, run.cotangents)[len(run.values) :]
    sizes = [np.abs(g).max(initial=0.0) for g in run.dense(run.gradients)]
    return off <= SHRINK * max(by / size if size else 0.0 for by, size in zip(moved, sizes, strict=True)) < 1 / SHRINK


def rounding_explains(local: Local, rng: np.random.Generator) -> bool:
    """Whether rounding moves the gradient of an operation as far as it is off; at a kink that says nothing."""
    for direction, moved in moved_by_rounding(local, rng):
        if not local.is_kink and moved > QUARTER**2 * abs(local.probe.slope(direction)):
            finding = local.probe.along(direction)
            if finding.sides is None and finding.difference <= moved:
                return True
    return False


def moved_by_rounding(local: Local, rng: np.random.Generator) -> Iterator[tuple[list[Any], float]]:
    """Directions, and how far rounding its arguments, constant ones too, may move an operation's slope along them."""
    step, parents, probe = local.step, local.step.tensors(), local.probe

    def shaken(x: Any) -> Any:
        if isinstance(x, Tensor):
            return x if any(x is parent for parent in parents) else wrap(shaken(x._data))
        floating = isinstance(x, np.ndarray) and x.dtype.kind == "f"
        return x * (1 + 4 * probe.epsilon * rng.standard_normal(x.shape)) if floating else x

    for direction in (probe.random_direction(rng) for _ in range(3)):
        inside = [*map(shaken, leaves([step.arguments, step.options]))]
        arguments, options = rebuilt([step.arguments, step.options], inside)
        other, position = replace(step, arguments=arguments, options=options), position_in(step)

        def again(*variables: Any, other: Step = other, position: int = position or 0) -> Any:
            return leaves(other.call(dict(zip(parents, variables, strict=True))))[position]

        subject = TensorSubject(again, [*map(shaken, probe.arrays)])
        try:
            nearby = Probe(subject, probe.cotangents, subject.gradients(subject.arrays, probe.cotangents), Tolerance())
        except Exception:  # it does not take these, or has several results
            return
        yield direction, SHRINK * abs(nearby.slope(direction) - probe.slope(direction))
