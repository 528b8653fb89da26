"""`gradcheck`: gradients against numerical derivatives, and all else that must hold of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad.testing.blame import Local, Step, accusation, first_wrong, pattern_of, recording, reproduced, unblamed
from minigrad.testing.numeric import Finding, Tolerance, Verdict
from minigrad.testing.probe import Place, Probe, excused_by_kinks
from minigrad.testing.report import GradientError, Report
from minigrad.testing.reproduce import Call, attempt
from minigrad.testing.structure import CHECKS, Run, changed
from minigrad.testing.subject import HandWritten, SecondOrder, Subject, TensorSubject

SAMPLED = 64  # entries that are looked at where directions decide nothing
NUMBERS = Tolerance()


def gradcheck(f: Callable[..., Any], *inputs: Any, **options: Any) -> Report:
    """Compare the gradients of `f` with numerical derivatives, and check all else that must hold of them.

    Args:
        f: a function of tensors, or nested containers of them, that returns tensors; a module; or, with `gradient`, a
            function of plain arrays.
        inputs: at which to check: floating ones (arrays, tensors, Python floats) are variables and become float64, all
            others are handed to `f` as they are.
        options: see `gradient_report`, which does the same without raising.

    Returns:
        The report, of which `print` shows what was checked.

    Raises:
        GradientError: if anything is wrong; its message is the report.

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
        order: 2 to check the derivatives of the gradients as well.
        checks: which of `CHECKS` to make besides the numerical ones: all by default.
        every_entry: look at each entry too, not only along random directions.
        directions: how many of these.
        rtol, atol: see `Tolerance`; the numerical error bar is added to them.
        seed: what directions and cotangents are drawn from.

    Raises:
        ValueError: if there is nothing to check, or a check has no such name.

    >>> report = gradient_report(np.tanh, np.array([1.0, 2.0]), gradient=lambda x, cotangent: 1 - np.tanh(x) ** 2)
    >>> report.ok, report.problems[0]
    (False, 'the cotangent is ignored: two different ones give the same gradient of input 0')
    """
    call = Call(dict(locals()))
    f = call.function
    if unknown := set(CHECKS if checks is None else checks) - set(CHECKS):
        raise ValueError(f"there is no check {sorted(unknown)}: take some of {', '.join(CHECKS)}")
    if model is None and hasattr(f, "named_parameters"):
        model = f
    subject = HandWritten(f, gradient, inputs) if gradient else TensorSubject(f, inputs, model)
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
    ) -> None:  # fmt: skip
        self.report, self.subject, self.tolerance, self.call = report, subject, tolerance, call
        self.directions, self.every_entry, self.seed = directions, every_entry, seed
        self.rng = np.random.default_rng(seed)
        self.order = 1
        self.steps: list[Step] = []

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
        if name := changed(subject.names, arrays, subject.arrays):
            self.report.problems.append(f"f, or its gradient, writes into {name}: copy it first")
            return None
        good = [self.finite(f"the gradient of {name}", g) for name, g in zip(subject.names, run.gradients, strict=True)
                if g is not None]  # fmt: skip
        if (wrong := CHECKS["shapes"](run)) is not None:
            self.report.problems.append(wrong)
        if not all(good):
            self.blame(self.first_wrong()[0])
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
            except NotImplementedError as error:  # of another framework's function
                self.report.notes.append(f"not checked: {check.__name__}, {error}")
                continue
            except Exception as error:  # of whatever kind: it is part of what is reported
                problem = f"the check {check.__name__!r} ends with {type(error).__name__}: {error}"
            if problem:
                self.report.problems.append(problem)
                if check is CHECKS["deterministic"]:
                    return False
        return True

    # ---------------------------------------------------------------- slopes

    def slopes(self, run: Run) -> None:
        """Judge the gradients along directions, and on request by entries; explain what is wrong."""
        probe = Probe(self.subject, run.cotangents, run.gradients, self.tolerance)
        if not any(x.size for x in probe.arrays) or not probe.here.size:
            return
        tried = [(d, probe.along(d)) for d in (probe.random_direction(self.rng) for _ in range(self.directions))]
        if any(finding.verdict is Verdict.KINK for _, finding in tried):
            ones, n = probe.ones(), len(probe.arrays)
            aimed = [ones, *(probe.only(i, ones) for i in range(n) if n > 1)]
            tried += [(d, probe.along(d)) for d in aimed]
        findings = [finding for _, finding in tried]
        decided = [finding for finding in findings if finding.verdict is not Verdict.INCONCLUSIVE]
        if self.every_entry or 2 * len(decided) < len(findings):  # one entry may spoil every direction
            findings = decided + self.entries(probe)
        wrong = [d for d, finding in tried if finding.verdict is Verdict.WRONG]
        if any(finding.verdict is Verdict.WRONG for finding in findings):
            findings = self.explained(probe, findings, wrong)
        for finding in findings:
            self.report.count(finding)
        self.undecided(findings)

    def entries(self, probe: Probe) -> list[Finding]:
        """Findings of single entries: of all if asked for, else of some at random."""
        everywhere = [(i, index) for i, x in enumerate(probe.arrays) for index in np.ndindex(x.shape)]
        if not self.every_entry and len(everywhere) > SAMPLED:
            everywhere = [everywhere[k] for k in self.rng.choice(len(everywhere), SAMPLED, replace=False)]
        return [probe.entry(i, index) for i, index in everywhere]

    def undecided(self, findings: Sequence[Finding]) -> None:
        """Report if too many findings are inconclusive, and note if some are."""
        open_ones = [finding for finding in findings if finding.verdict is Verdict.INCONCLUSIVE]
        if open_ones:
            said = f"{len(open_ones)} of {len(findings)} slopes are inconclusive: {open_ones[0].reason}"
            (self.report.problems if 2 * len(open_ones) > len(findings) else self.report.notes).append(said)

    def explained(self, probe: Probe, findings: list[Finding], wrong: list[list[Any]]) -> list[Finding]:
        """Report where a gradient is wrong, which operation is to blame, and how it can be reproduced.

        Unless several kinks meet: their slopes may differ in sign, and no single line shows what is allowed. Then each
        operation has been found right on its own, and so is the whole beside the kinks.
        """
        local, kink = self.first_wrong()
        if isinstance(self.subject, TensorSubject):
            nearby = probe.moved(self.rng)
            tolerated = kink and not nearby.is_wrong(nearby.random_direction(self.rng))
        else:
            tolerated = bool(wrong) and excused_by_kinks(probe, wrong, self.rng)
        if local is None and tolerated:
            self.report.notes.append("several kinks meet here: each operation's own slope is one of those allowed")
            return [Finding(Verdict.KINK, f.analytic, f.numeric, f.error, 0.0) if f.verdict is Verdict.WRONG else f
                    for f in findings]  # fmt: skip
        if attempt.running:
            self.report.problems.append("it is wrong here too")
            return findings
        place = probe.locate(self.rng)
        self.describe(probe, place, next(f for f in findings if f.verdict is Verdict.WRONG))
        self.blame(local)
        return findings

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

    def first_wrong(self) -> tuple[Local | None, bool]:
        """The step to blame; only among those that can be checked on their own while a line is tried."""
        subject = None if attempt.running else self.subject
        return first_wrong(self.steps, self.order, self.tolerance, self.rng, subject)

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
        self.order, self.subject = 2, SecondOrder(self.subject, run.cotangents)
        second = self.first_run()
        if second and self.structure(second, [CHECKS["deterministic"]]):
            self.slopes(second)


def compared(finding: Finding) -> str:
    """Both slopes in words."""
    sides = "" if finding.sides is None else f" (a kink: {finding.sides[0]:.6g} to {finding.sides[1]:.6g})"
    return f"analytic {finding.analytic:.8g}, numeric {finding.numeric:.8g} ± {finding.error:.1g}{sides}"

