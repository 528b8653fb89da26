"""The pytest plugin: `--check-gradients` and `--mutate-rules`; without these options it does nothing at all."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from minigrad.testing.mutation import MutationReport


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two options."""
    group = parser.getgroup("minigrad")
    group.addoption(
        "--check-gradients", action="store_true",
        help="check the gradient of every operation that the tests record, each kind of call once",
    )
    group.addoption(
        "--mutate-rules", nargs="?", const="", metavar="OPERATIONS",
        help="after the tests, break your gradient rules (or those of OPERATIONS, or all) one at a time, and run the "
        "tests again: which faults do they not notice?",
    )


def pytest_configure(config: pytest.Config) -> None:
    """What is not asked for is not even imported."""
    if config.getoption("check_gradients"):
        config.pluginmanager.register(GradientChecks(), "minigrad-check-gradients")
    if (asked := config.getoption("mutate_rules")) is not None:
        if "/" in asked or ".py" in asked:
            raise pytest.UsageError(f"--mutate-rules={asked} names no operations: name files of tests before it")
        if getattr(config.option, "dist", "no") != "no":
            raise pytest.UsageError("--mutate-rules runs the tests again in this process: leave out -n")
        config.pluginmanager.register(RuleMutations(), "minigrad-mutate-rules")


class GradientChecks:
    """Checks what each test records, and has the test fail if a gradient is wrong."""

    def __init__(self) -> None:
        from minigrad.testing.survey import Survey

        self.survey = Survey()
        self.unseen: list[str] = []  # problems of tests that are skipped, or expected to fail
        self.counts: list[str] = []  # how much was checked, in each process

    def listen(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Note what is recorded, in fixtures too."""
        from minigrad.recording import recording

        with recording(self.survey.listen):
            return (yield)

    pytest_runtest_setup = pytest_runtest_call = pytest_runtest_teardown = pytest.hookimpl(wrapper=True)(listen)

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # around all that decides on the outcome
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Check the kinds of calls that were new in a test, or in its fixtures."""
        report = yield
        problems = [] if report.when == "setup" and report.passed else self.survey.problems()  # told with the test
        if report.skipped or hasattr(report, "wasxfail"):
            self.unseen += problems
        elif problems and report.failed:
            report.sections.append(("wrong gradients", "\n\n".join(problems)))
        elif problems:
            report.outcome, report.longrepr = "failed", "\n\n".join(problems)
        return report

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail for wrong gradients that no failing test shows; one of several processes hands on what it has found."""
        self.counts.append(str(self.survey))
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["gradients"] = self.unseen, self.counts
        elif self.unseen and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a process of pytest-xdist has found."""
        unseen, counts = getattr(node, "workeroutput", {}).get("gradients", ([], []))
        self.unseen += unseen
        self.counts += counts

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """How much was checked, and what was found in tests of which nothing else is shown."""
        terminalreporter.section("gradients")
        for line in [*dict.fromkeys(self.unseen), *self.counts]:
            terminalreporter.write_line(line)


class RuleMutations:
    """Runs the tests again and again, each time with one gradient rule broken."""

    def __init__(self) -> None:
        self.report: MutationReport | str | None = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """After the tests have passed."""
        from minigrad.testing.mutation import mutate_rules

        result = yield
        asked = session.config.getoption("mutate_rules")
        operations = "all" if asked == "all" else asked.split(",") if asked else None
        if session.testsfailed:
            self.report = "rules are not broken while tests fail as things are"
        elif session.items and not session.config.option.collectonly:
            try:
                self.report = mutate_rules(lambda: run_again(session.items), operations)
            except ValueError as error:
                raise pytest.UsageError(str(error)) from None
        return result

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The table, if the tests have run again."""
        if self.report is not None:
            terminalreporter.section("broken gradient rules")
            terminalreporter.write_line(str(self.report))


def run_again(items: list[pytest.Item]) -> None:
    """Run tests, without a word, until one fails."""
    from _pytest.runner import runtestprotocol

    for item, following in zip(items, [*items[1:], None], strict=True):
        if hasattr(item, "_initrequest"):
            item._initrequest()  # a test that ran has given its fixtures back
        reports = runtestprotocol(item, log=False, nextitem=following)
        if any(report.failed for report in reports):
            item.session._setupstate.teardown_exact(None)
            raise AssertionError(item.nodeid)
