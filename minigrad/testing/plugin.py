"""The pytest plugin: `--check-gradients` and `--mutate-rules`; without these options it does nothing at all."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

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
        config.pluginmanager.register(RuleMutations(), "minigrad-mutate-rules")


class GradientChecks:
    """Checks what each test records, and has the test fail if a gradient is wrong."""

    def __init__(self) -> None:
        from minigrad.testing.survey import Survey

        self.survey = Survey()
        self.unseen: list[str] = []  # problems of tests that are skipped, or expected to fail

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Note what fixtures record, which is checked with the test."""
        from minigrad.recording import recording

        with recording(self.survey.listen):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Run the test, then check the kinds of calls that were new in it."""
        from minigrad.recording import recording

        is_expected = item.get_closest_marker("xfail") is not None  # so that a failure of ours is not shown either
        try:
            with recording(self.survey.listen):
                result = yield
        except BaseException as error:
            problems = self.survey.problems()
            if is_expected or isinstance(error, pytest.skip.Exception | pytest.xfail.Exception | SkipTest):
                self.unseen += problems
            elif problems:
                item.add_report_section("call", "wrong gradients", "\n\n".join(problems))
            raise
        problems = self.survey.problems()
        if is_expected:
            self.unseen += problems
        elif problems:
            pytest.fail("\n\n".join(problems), pytrace=False)
        return result

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail for wrong gradients that no failing test shows."""
        if self.unseen and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """How much was checked, and what was found in tests of which nothing else is shown."""
        terminalreporter.section("gradients")
        for problem in self.unseen:
            terminalreporter.write_line(problem)
        terminalreporter.write_line(str(self.survey))


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
