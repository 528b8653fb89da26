"""What a check found, in one screen."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from minigrad.notebook import shown_by
from minigrad.testing.numeric import Finding, Verdict

WIDTH, HEIGHT = 100, 24
MOST = 5  # problems that are shown


class GradientError(AssertionError):
    """A gradient is wrong, or something else that `gradcheck` looks at; the message is the report.

    Attributes:
        report: the `Report`.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


@dataclass
class Report:
    """What `gradcheck` found; `print` shows it.

    Attributes:
        name: what was checked.
        verdicts: how many slopes, along directions or by single entries, were judged how.
        problems: a sentence for each thing that is wrong.
        undecided: a sentence for each part of the gradient of which the numbers say nothing.
        details: where and by how much, the pattern, the blamed operation, and one line that reproduces it.
        notes: what was not checked, and why.
        margin: the largest difference to a numerical slope as a fraction of what is tolerated: above 1 is wrong.
    """

    name: str
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    margin: float = 0.0

    _repr_html_ = shown_by("minigrad.show.displays", "report_html")

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, and at least half of the slopes that were looked at could be decided."""
        return not self.problems and 2 * self.verdicts[Verdict.INCONCLUSIVE] <= self.verdicts.total()

    @property
    def state(self) -> str:
        """`WRONG`; `undecided` if the numbers say nothing of a part, or of most slopes; else `correct`."""
        return "WRONG" if self.problems else "correct" if self.ok and not self.undecided else "undecided"

    def count(self, findings: Sequence[Finding]) -> None:
        """Take the verdicts on some slopes into account."""
        self.verdicts.update(finding.verdict for finding in findings)
        self.margin = max([self.margin, *(f.margin for f in findings if f.verdict is not Verdict.INCONCLUSIVE)])
        if open_ones := [finding for finding in findings if finding.verdict is Verdict.INCONCLUSIVE]:
            said = f"{len(open_ones)} of {len(findings)} slopes are inconclusive: {open_ones[0].reason}"
            self.notes.append(said)

    def __str__(self) -> str:
        counts = ", ".join(f"{n} {verdict.value}" for verdict in Verdict if (n := self.verdicts[verdict]))
        lines = [f"the gradient of {self.name} is {self.state}" + (f" (slopes: {counts})" if counts else "")]
        more = [f"... and {len(self.problems) - MOST} more problems"] if len(self.problems) > MOST else []
        for paragraph in [*self.problems[:MOST], *more, *self.details, *self.undecided, *self.notes]:
            lines += textwrap.wrap(
                paragraph, WIDTH, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False
            )
        if len(lines) > HEIGHT and len(self.problems) > 2:  # rather these than a part of a line to be pasted
            return str(replace(self, problems=[self.problems[0], f"... and {len(self.problems) - 1} more problems"]))
        if len(lines) > HEIGHT:
            lines = [*lines[: HEIGHT - 1], "  ... (the report's problems, details and notes have the rest)"]
        return "\n".join(lines)
