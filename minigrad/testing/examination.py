"""One examination of a gradient: the checks are made, slopes are judged, and what is wrong is explained in a report."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minigrad.arrays import Array
from minigrad.testing.blame import (
    Local,
    StepChecker,
    accusation,
    recorded_steps,
    recorded_writers,
    reproduced,
    unblamed,
)
from minigrad.testing.differences import EPSILON, QUARTER
from minigrad.testing.numeric import MARGIN, SHRINK, Finding, Tolerance, Verdict, judge, step_sizes
from minigrad.testing.outcome import Disagreement, Outcome
from minigrad.testing.patterns import pattern_of
from minigrad.testing.probe import Entries, Fault, Probe, drawn, excused_by_kinks, flat, precision, scale, worst_entry
from minigrad.testing.report import Report
from minigrad.testing.reproduce import Request
from minigrad.testing.rounding import amplified, moved_by_rounding, rounding_explains
from minigrad.testing.single_precision import recorded_casts
from minigrad.testing.spelling import at_index
from minigrad.testing.structure import CHECKS, Check
from minigrad.testing.subject import (
    Alone,
    Gradients,
    Recording,
    SecondOrder,
    Subject,
    TensorSubject,
    changed,
    copies,
    spread_by_rounding,
)

__tracebackhide__ = True  # of pytest's tracebacks: reports, and lines of the user's, say more than ours

SAMPLED = 64  # entries that are looked at where directions decide nothing
BLURRED = 1e-6  # of its size: an error bar in which a wrong entry of many may hide
PARTS = 32  # of a direction with a kink that are looked at alone
ASIDE = 0.1  # of each element's scale: how far from a kink second derivatives are checked
NOT_CHECKED = NotImplementedError, np.linalg.LinAlgError, FloatingPointError  # f is of another library, or float32 ends


class Meaningless(Exception):
    """Problems after which numbers mean nothing; with what was recorded, if that is to blame."""

    def __init__(self, problems: Sequence[str], run: Outcome | None = None) -> None:
        super().__init__(*problems)
        self.problems, self.run = problems, run


@dataclass
class Weighed:
    """Slopes that were looked at, the directions along which they are wrong, and the operation to blame for that."""

    probe: Probe
    run: Outcome
    findings: list[Finding]
    directions: Sequence[list[Any]] = ()
    local: Local | None = None

    @property
    def wrong(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.verdict is Verdict.WRONG]

    def excused(self, **changes: Any) -> Weighed:
        """The same with other verdicts in place of wrong ones."""
        findings = [replace(f, **changes) if f.verdict is Verdict.WRONG else f for f in self.findings]
        return replace(self, findings=findings)


class Examination:
    """What is needed all along while one report is written.

    `subject` and `order` are those of what is being looked at: `second_order` puts the gradients in place of f.
    """

    def __init__(self, request: Request, subject: Subject, explained: bool) -> None:
        self.request, self.subject, self.order, self.explained = request, subject, 1, explained
        self.tolerance = Tolerance(request.rtol, request.atol)
        self.rng = np.random.default_rng((request.seed, 2))  # not what a user draws data from, by the same seed
        self.lost = 0.0  # how large slopes may be that rounding hides, whatever the error bar says
        self.is_steady = True  # whether backward passes give the same each time: else rounding explains nothing
        self.report = Report(getattr(request.function, "__name__", type(request.function).__name__))

    def examine(self) -> None:
        """Make the checks, judge the slopes, and those of the gradients if asked for."""
        try:
            run = self.first_run()
            self.structure(run, self.wanted(CHECKS))
            self.slopes(run)
            if self.request.order == 2 and self.report.ok:
                self.second_order(run)
        except Meaningless as error:
            self.report.problems += error.problems
            if error.run is not None:
                self.blame(error.run, self.culprit(error.run, only_finite=False)[0])

    def wanted(self, names: Iterable[str]) -> list[Check]:
        """Those of some checks that were asked for."""
        asked = self.request.checks
        return [CHECKS[name] for name in names if asked is None or name in asked]

    # ---------------------------------------------------------------- the first run

    def first_run(self) -> Outcome:
        """Values and gradients at the point.

        Raises:
            Meaningless: if they are unusable.
        """
        subject, arrays, data = self.subject, copies(self.subject.arrays), self.subject.inputs.data
        data_before = copies(data.values())
        with recorded_steps() as steps, recorded_casts() as casts, recorded_writers() as writers:
            made = recorded_call(subject, arrays)
            values = copies(made.values)  # which the next call, or the gradient, may write into
            draw = np.ones if subject.returns_one_number else self.rng.standard_normal
            cotangents = [np.asarray(draw(value.shape)) for value in values]
            bad = not_finite((f"output {i}", value) for i, value in enumerate(values))
            if bad and any(x.size for x in arrays):  # else it is no matter that, say, logsumexp of nothing is -inf
                raise Meaningless(bad)
            epsilon = precision([*values, *(step.out for step in steps if step.out.requires_grad)])
            run = Outcome(subject, values, cotangents, [], [], self.request.seed, epsilon, steps, casts, writers)
            handed = gradients_of_call(made, run)
            gradients = copies(handed)
        run = replace(run, gradients=gradients, handed=[*made.values, *handed])
        given = [*subject.arrays, *data_before]
        if name := changed([*subject.names, *data], [*arrays, *data.values()], given):
            raise Meaningless([f"f, or its gradient, writes into {name}: copy it first"])
        named = zip(subject.names, gradients, strict=True)
        bad = not_finite((f"the gradient of {name}", g) for name, g in named if g is not None)
        if (wrong := CHECKS["shapes"](run)) or bad:
            raise Meaningless(bad + ([wrong] if wrong else []), run if bad else None)
        return run

    # ---------------------------------------------------------------- what is no number

    def structure(self, run: Outcome, checks: Sequence[Check]) -> None:
        """Make the checks.

        Raises:
            Meaningless: if the function is not deterministic.
        """
        for check in checks:
            if not self.is_steady and check in (CHECKS["forward"], CHECKS["float32"]):  # to them another fault
                continue
            try:
                problem = check(run)
            except Exception as error:  # of whatever kind: it is part of what is reported
                if isinstance(error, NOT_CHECKED) or is_of_hypothesis(error):
                    self.report.notes.append(f"not checked: {check.__name__}, {error}")
                    continue
                problem = f"the check {check.__name__!r} ends with {type(error).__name__}: {error}"
            if problem and check is CHECKS["deterministic"]:
                raise Meaningless([problem])
            if problem and self.is_rounding(problem, run):
                self.report.notes.append(f"an operation is ill-conditioned: {problem}")
            elif problem:
                self.report.problems.append(problem)
                self.is_steady = self.is_steady and check.__name__ not in ("untouched", "repeatable", "intact")

    def is_rounding(self, problem: str, run: Outcome) -> bool:
        """Whether what a check found is what rounding may do: it loses digits somewhere, and moves these numbers."""
        if not isinstance(problem, Disagreement) or not self.is_steady or not problem.may_be_rounding(self.rng):
            return False
        probe, epsilon = self.probe(run), problem.epsilon
        if probe.is_erratic(self.rng, epsilon) or probe.loses_digits(self.rng, epsilon):
            return True
        if self.ill_conditioned(run, epsilon):
            return True
        arrays, cotangents = copies(self.subject.arrays), copies(run.cotangents)
        spread = spread_by_rounding(lambda: run.results(arrays, cotangents), self.rng, epsilon)
        size = np.abs(flat(run.dense)).max(initial=0.0)
        return spread is not None and max(spread[len(run.values) :]) > epsilon**0.25 * size

    def ill_conditioned(self, run: Outcome, epsilon: float) -> bool:
        """Whether rounding the arguments of some operation costs much of its value, or of its gradient."""
        return any(
            local.probe.is_erratic(self.rng, epsilon) or (epsilon == EPSILON and self.loses_slope(local))
            for local in self.steps_alone(run)
        )

    def loses_slope(self, local: Local) -> bool:
        """Whether rounding its arguments leaves the gradient of an operation with a few digits only."""
        moves = moved_by_rounding(local, self.rng)
        return any(QUARTER * abs(local.probe.slope(direction)) < moved for direction, moved in moves)

    def steps_alone(self, run: Outcome) -> Iterator[Local]:
        """What checking the first steps, each on its own, finds."""
        checker = StepChecker(self.rng, self.tolerance)
        found = (checker.checked(step) for step in run.steps[:SAMPLED] if step.out.requires_grad)
        return (local for local in found if local is not None)

    # ---------------------------------------------------------------- slopes

    def slopes(self, run: Outcome) -> None:
        """Judge the gradients along directions, and on request by entries; explain what is wrong."""
        if not any(x.size for x in self.subject.arrays) or not any(value.size for value in run.values):
            return
        elsewhere = run.elsewhere if self.request.directions > 1 else None
        probe = self.probe(run)
        tried = self.tried(probe, self.request.directions - (elsewhere is not None))
        decided = [finding for _, finding in tried if finding.verdict is not Verdict.INCONCLUSIVE]
        one_by_one = self.request.every_entry or not decided  # one entry may spoil every direction
        entries = self.entries(probe) if one_by_one else {}
        findings = [*decided, *entries.values()] if one_by_one else [finding for _, finding in tried]
        if not decided:
            self.report.undecided += undecided_entries(probe, entries)
        weighed = self.weighed(probe, run, findings, [d for d, f in tried if f.verdict is Verdict.WRONG])
        self.explain(weighed, worst_entry(entries))
        findings = list(weighed.findings)
        if elsewhere is not None:
            second = self.second_point(elsewhere, probe, bool(weighed.wrong))
            if not weighed.wrong:
                self.explain(second, None, probe)
            findings += second.findings if decided or second.wrong else []
        self.report.count([finding for finding in findings if not self.is_hidden(finding)])

    def is_hidden(self, finding: Finding) -> bool:
        """Whether it is of a second derivative that says nothing, since rounding f hides as much as it is off by."""
        return self.order == 2 and finding.verdict is Verdict.INCONCLUSIVE and finding.difference <= self.lost

    def probe(self, run: Outcome) -> Probe:
        return Probe(run.subject, run.cotangents, run.gradients, self.tolerance, run.values, run.epsilon)

    def tried(self, probe: Probe, count: int) -> list[tuple[list[Any], Finding]]:
        """Random directions, and others where these say little, with what is found along them."""
        tried = [(d, probe.look(d)) for d in (probe.random_direction(self.rng) for _ in range(count))]
        if with_kink := [d for d, finding in tried if finding.verdict is Verdict.KINK]:
            tried += [(d, probe.along(d)) for d in probe.aimed()]
            tried += found_in_halves(probe, with_kink[0])
        if all(finding.error > BLURRED * finding.size for _, finding in tried):  # kinks within each first step
            sharp = self.sharpened(probe, *min(tried, key=lambda pair: pair[1].error))
            tried = [*((d, finding) for d, finding in tried if d is not sharp[0]), sharp]
        return tried + self.small_ones(probe, [finding for _, finding in tried])

    def sharpened(self, probe: Probe, direction: list[Any], finding: Finding) -> tuple[list[Any], Finding]:
        """A direction, and the finding along it at smaller steps, where that has a smaller error bar."""
        line = probe.line(direction)
        for first, step in enumerate(step_sizes(probe.epsilon)[1:5], 1):
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
            direction = [drawn(self.rng, o.shape) * o * m for o, m in zip(probe.own, masks, strict=True)]
            finding = probe.along(direction)
            if finding.verdict is Verdict.WRONG:
                return [(direction, finding)]
            if not 0 < finding.allowed < allowed / SHRINK:
                break
            allowed = finding.allowed
        return []

    def entries(self, probe: Probe) -> Entries:
        """Findings of single entries: of all if asked for, else of some at random."""
        places = [(i, index) for i, x in enumerate(probe.arrays) for index in np.ndindex(x.shape)]
        if not self.request.every_entry and len(places) > SAMPLED:
            places = [places[k] for k in self.rng.choice(len(places), SAMPLED, replace=False)]
        return {place: probe.entry(*place) for place in places}

    def second_point(self, run: Outcome, first: Probe, known: bool) -> Weighed:
        """What is found along a direction there, and why it is wrong, unless something is known to be wrong."""
        probe = self.probe(run)
        probe.is_clear = first.is_clear
        direction = probe.random_direction(self.rng)
        finding = probe.look(direction)
        if finding.verdict is not Verdict.WRONG or known:
            return Weighed(probe, run, [finding])
        with recorded_steps() as steps:
            self.subject.gradients(probe.arrays, copies(run.cotangents))
        return self.weighed(probe, replace(run, steps=steps), [finding], [direction])

    def weighed(self, probe: Probe, run: Outcome, findings: list[Finding], wrong: list[list[Any]]) -> Weighed:
        """Which operation is to blame for wrong slopes, if nothing excuses them; what does is reported.

        Rounding may explain them. Or several kinks meet: their slopes may differ in sign, and no single line shows what
        is allowed. Then each operation has been found right on its own, and so is the whole beside the kinks.
        """
        weighed = Weighed(probe, run, findings, wrong)
        if not weighed.wrong:
            return weighed
        local, kink = self.culprit(run)
        if self.explained_by_rounding(local, weighed):
            said = f"{'f' if local is None else local.step.name} is ill-conditioned"
            undecided = f"undecided: the gradient is off by what rounding may do. {said}"
            self.report.undecided += [undecided] if undecided not in self.report.undecided else []
            return weighed.excused(verdict=Verdict.INCONCLUSIVE, reason=f"rounding: {said}")
        if isinstance(self.subject, TensorSubject):
            nearby = probe.moved(self.rng) if local is None and kink else None
            shown = [*wrong[:1], probe.random_direction(self.rng)]
            tolerated = nearby is not None and not any(map(nearby.is_wrong, shown))
        else:
            tolerated = bool(wrong) and excused_by_kinks(probe, wrong, self.rng)
        if tolerated:
            note = "several kinks meet here: each operation's own slope is one of those allowed"
            self.report.notes += [note] if note not in self.report.notes else []
            return weighed.excused(verdict=Verdict.KINK, margin=0.0)
        return replace(weighed, local=local)

    def explained_by_rounding(self, local: Local | None, weighed: Weighed) -> bool:
        """Whether f, or the step that is wrong, is off by no more than rounding may do, or changes too fast for it."""
        if not self.is_steady:
            return False
        if all(finding.difference <= self.lost for finding in weighed.wrong):
            return True
        if local is None:
            return all(map(self.loses_slopes, self.parts(weighed)))
        known = self.order == 1 and local.alone
        return local.probe.is_erratic(self.rng) or (known and rounding_explains(local, self.rng))

    def loses_slopes(self, weighed: Weighed) -> bool:
        """Whether rounding costs f, or a step of it, so many digits that its slopes say nothing."""
        probe, run = weighed.probe, weighed.run
        least = min(finding.difference * finding.step for finding in weighed.wrong) / MARGIN
        if probe.is_erratic(self.rng) or probe.loses_digits(self.rng, least=least) or amplified(run, weighed.findings):
            return True
        return any(step.probe.is_erratic(self.rng) for step in self.steps_alone(run))

    def parts(self, weighed: Weighed) -> list[Weighed]:
        """What is wrong along single variables, as functions of these alone; all at once if nothing is.

        Rounding of what follows from other variables alone is no excuse.
        """
        run, whole, parts = weighed.run, weighed.probe.subject, list[Weighed]()
        if self.order == 2 or not isinstance(whole, TensorSubject) or len(whole.arrays) == 1:
            return [weighed]
        for i, gradient in enumerate(run.gradients):
            alone = Alone(whole, i)
            with recorded_steps() as steps:
                alone.recorded(alone.arrays)
            part = replace(run, subject=alone, gradients=[gradient], steps=steps)
            probe = self.probe(part)
            direction = [weighed.directions[0][i]] if weighed.directions else probe.random_direction(self.rng)
            parts.append(Weighed(probe, part, [probe.along(direction)], [direction]))
        return [part for part in parts if part.wrong] or [weighed]

    def culprit(self, run: Outcome, only_finite: bool = True) -> tuple[Local | None, bool]:
        """The first step whose own gradient is wrong, and whether one before it is at a kink."""
        for checker in self.checkers(run, only_finite):
            local, kink = checker.first_wrong(run.steps)
            if local is not None:
                break
        return local, kink

    def accused(self, weighed: Weighed, fault: Fault | None) -> Local | None:
        """The first step that is wrong where the whole is: at the wrong entry, or along the directions that show it."""
        probe, directions = weighed.probe, list(weighed.directions)
        if fault is not None and fault.index is not None:
            amount = probe.scales[fault.variable][fault.index]
            directions.insert(0, probe.single(fault.variable, fault.index, amount))
        found = (checker.first_wrong_along(weighed.run.steps, direction)
                 for checker in self.checkers(weighed.run) for direction in directions[:2])
        return next((x for x in found if x is not None and not self.explained_by_rounding(x, weighed)), None)

    def checkers(self, run: Outcome, only_finite: bool = True) -> list[StepChecker]:
        """What checks steps of a run; while a line is tried, only such that can be checked on their own.

        For second derivatives the first ones of all steps come first: a right rule may call an operation that is wrong.
        """
        whole, orders = run.subject if self.explained else None, range(1, self.order + 1)
        return [StepChecker(self.rng, self.tolerance, order, whole, only_finite) for order in orders]

    # ---------------------------------------------------------------- in words

    def explain(self, weighed: Weighed, fault: Fault | None, first: Probe | None = None) -> None:
        """Report where the gradient is wrong, if it is, what is to blame, and how it is seen again.

        Args:
            fault: a wrong entry, if one is known.
            first: where nothing was found, if this is the second point.
        """
        report = self.report
        if not weighed.wrong:
            return
        if not self.explained:
            report.problems.append("it is wrong here too")
            return
        fault = fault or weighed.probe.locate(self.rng)
        where = "" if first is None else "at a second point: "
        report.problems.append(where + self.described(fault, weighed.wrong[0]))
        if fault is not None and fault.is_spread:
            report.details.append("each entry is a slope of one side, but not all at once: ties share a gradient")
        elif fault is not None and (pattern := pattern_of(weighed.probe, fault.variable)):
            report.details.append(pattern)
        self.blame(weighed.run, weighed.local or self.accused(weighed, fault))
        if first is not None and not (fault is not None and fault.is_wrong_for(first)):
            report.details.append("right at the point itself: does a rule keep something from an earlier call?")

    def described(self, fault: Fault | None, along: Finding) -> str:
        """Where a gradient is wrong, and by how much."""
        prefix = "the second derivative: " if self.order == 2 else ""
        if fault is None or fault.index is None:
            shown = along if fault is None else fault.finding
            where = "along a direction" + ("" if fault is None else f" in {self.subject.names[fault.variable]}")
            return f"{prefix}{where}, no single entry showing it: {compared(shown)}"
        name, shape = self.subject.names[fault.variable], self.subject.arrays[fault.variable].shape
        of = f"; {fault.wrong} of {fault.looked_at} entries disagree" if fault.looked_at > 1 else ""
        entry = f"entry {fault.index} of {name}, shape {shape}" if shape else name
        return f"{prefix}{entry}: {compared(fault.finding)}{of}"

    def blame(self, run: Outcome, local: Local | None) -> None:
        """Name the operation whose own gradient is wrong, if there is one, and give a line that reproduces it."""
        if not self.explained:
            return
        again: list[str] = []
        if local is not None:
            self.report.details.append(accusation(local, self.rng, self.report.details, self.request.function))
            again = reproduced(local, self.request.numbers())
        elif run.steps:
            self.report.details.append(unblamed(run.steps))
        self.report.details += again or self.request.again()

    # ---------------------------------------------------------------- derivatives of derivatives

    def second_order(self, run: Outcome) -> None:
        """Examine the function that returns the gradients; beside the point if there is a kink."""
        if not isinstance(self.subject, TensorSubject):
            raise ValueError("order=2 needs a function of tensors: a hand-written gradient has no gradient of its own")
        # Gradients may be small differences of what is as large as f, in units of the smallest step: softmax far out.
        unit = min((float(scale(x).min()) for x in self.subject.arrays if x.size), default=1.0)
        size = np.abs(flat(run.values)).max(initial=0.0) * np.abs(flat(run.cotangents)).sum()
        self.lost = self.tolerance.atol * float(size) / unit
        second, first, with_kink = None, self.subject, bool(self.report.verdicts[Verdict.KINK])
        self.order = 2
        unchecked = "the gradient jumps at a kink, and beside that it fails"
        for arrays in points_aside(first.arrays, self.rng) if with_kink else [first.arrays]:
            self.subject = SecondOrder(first.moved_to(arrays), run.cotangents)
            try:
                second = self.first_run()
                break
            except Exception as error:  # whatever it is, beside the point: f is not defined there
                if not with_kink and not isinstance(error, NOT_CHECKED):
                    raise error if isinstance(error, Meaningless) else error_of_gradient(error) from error
                unchecked = unchecked if with_kink else str(error)
        if second is None:
            self.report.notes.append(f"derivatives of derivatives were not checked: {unchecked}")
            return
        if with_kink:
            self.report.notes.append("derivatives of derivatives were checked beside the kink")
        self.structure(second, [CHECKS["deterministic"], *self.wanted(["untouched"])])
        self.slopes(second)


def points_aside(arrays: Sequence[Array], rng: np.random.Generator) -> Iterator[list[Array]]:
    """Points beside a kink, from far to near: the function may not be defined at the first ones."""
    for aside in (ASIDE, -ASIDE, ASIDE / 10, -ASIDE / 10, ASIDE / 100):
        yield [x + aside * drawn(rng, x.shape) * scale(x) for x in arrays]


def found_in_halves(probe: Probe, direction: list[Array]) -> list[tuple[list[Array], Finding]]:
    """What is found along parts of a direction with a kink: halves, and of those with a kink halves again.

    What a kink in one element allows would hide wrong slopes of the others. Zeros, and what ties, stay together.
    """
    ends = np.cumsum([d.size for d in direction])
    waiting = deque(np.array_split(np.argsort(np.abs(flat(probe.arrays)), kind="stable"), 2))
    found: list[tuple[list[Array], Finding]] = []
    for _ in range(PARTS):
        if not waiting:
            break
        inside = waiting.popleft()
        moved = np.zeros(ends[-1], bool)
        moved[inside] = True
        masks = np.split(moved, ends[:-1])
        part = [d * mask.reshape(d.shape) for d, mask in zip(direction, masks, strict=True)]
        finding = probe.along(part)
        if finding.verdict is not Verdict.INCONCLUSIVE and inside.size:
            found.append((part, finding))
        if finding.verdict is Verdict.KINK and inside.size > 1:
            waiting += np.array_split(inside, 2)
    return found


def recorded_call(subject: Subject, arrays: list[Array]) -> Recording:
    """A call that is recorded; raises what f raises in any case, and `Meaningless` for what it raises only then."""
    try:
        return subject.recorded(arrays)
    except Exception as error:
        raised = error
    subject.values(arrays)  # not above: what f raises would be shown twice
    raise error_of_gradient(raised) from raised


def gradients_of_call(made: Recording, run: Outcome) -> Gradients:
    """The gradients of a call; raises `Meaningless` if they raise anything."""
    try:
        return made.gradients(copies(run.cotangents))
    except Exception as error:
        raise error_of_gradient(error, run) from error


def is_of_hypothesis(error: Exception) -> bool:
    """Whether it says that these values are not to be looked at, and nothing of a gradient."""
    return type(error).__module__.startswith("hypothesis")


def error_of_gradient(error: Exception, run: Outcome | None = None) -> Meaningless:
    """What is reported of an error of a gradient, whatever it is. Raises those of hypothesis, which are none."""
    if is_of_hypothesis(error):
        raise error
    said, notes = f"the gradient raises {type(error).__name__}: {error}", getattr(error, "__notes__", [])
    return Meaningless([f"{said.rstrip('.')}, {'; '.join(notes)}" if notes else said], run)


def not_finite(named: Iterable[tuple[str, Any]]) -> list[str]:
    """Where some arrays are not finite, a sentence for each."""
    said = []
    for name, array in named:
        if not np.isfinite(array).all():
            bad = np.argwhere(~np.isfinite(array))
            index = tuple(int(i) for i in bad[0])
            more = f", and at {len(bad) - 1} more places" if len(bad) > 1 else ""
            said.append(f"{name} is {array[index]}{at_index(index)}{more}")
    return said


def undecided_entries(probe: Probe, entries: Entries) -> list[str]:
    """Of which entries nothing is known, where directions decide nothing."""
    bad = [place for place, finding in entries.items() if finding.verdict is Verdict.INCONCLUSIVE]
    if bad:
        names = [f"entry {index} of {probe.subject.names[i]}" if index else probe.subject.names[i]
                 for i, index in bad[:3]]
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        return [f"undecided: {', '.join(names)}{more}; another point may tell"]
    everything = sum(x.size for x in probe.arrays)
    return [f"undecided: all but {len(entries)} of {everything} entries"] if len(entries) < everything else []


def compared(finding: Finding) -> str:
    """Both slopes in words."""
    sides = "" if finding.sides is None else f" (a kink: {finding.sides[0]:.6g} to {finding.sides[1]:.6g})"
    return f"analytic {finding.analytic:.8g}, numeric {finding.numeric:.8g} ± {finding.error:.1g}{sides}"
