"""The pytest plugin: what `--check-gradients` and `--mutate-rules` find in other people's tests."""

import sys
import textwrap
from pathlib import Path

import pytest

import minigrad

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def no_other_plugins(monkeypatch):
    """Where minigrad is installed, pytest would load the plugin by itself, and then again."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

OPERATIONS = """
    import numpy as np
    import pytest
    import minigrad as mg
    import nn

    def cube(x):
        x = mg.as_tensor(x)
        return mg.record(cube, x.data**3, (x, lambda grad, out: grad * 2 * x * x))

    def square(x):
        x = mg.as_tensor(x)
        return mg.record(square, x.data**2, (x, lambda grad, out: grad * 2 * x))

    def leaf(*shape):
        return mg.tensor(np.linspace(1, 2, int(np.prod(shape))).reshape(shape), requires_grad=True)
"""


@pytest.fixture
def run(pytester):
    """Run tests in a module that has these operations."""

    def run(tests, *options):
        pytester.makepyfile(textwrap.dedent(OPERATIONS) + textwrap.dedent(tests))
        return pytester.runpytest("-p", "minigrad.testing.plugin", "-p", "no:cacheprovider", *options)

    return run


def test_a_wrong_rule_fails_the_test_that_first_records_it_with_the_blame_and_a_line_that_reproduces_it(run):
    result = run(
        """
        def test_values():
            assert (cube(leaf(3)).numpy() > 0).all()

        def test_the_same_again():
            assert (cube(leaf(4)).numpy() > 0).all()

        def test_a_matrix():
            assert (cube(leaf(2, 2)).numpy() > 0).all()

        def test_of_what_is_right():
            assert (square(leaf(3)).numpy() > 0).all()
        """,
        "--check-gradients",
    )
    result.assert_outcomes(passed=2, failed=2)
    text = result.stdout.str()
    assert "the gradient of cube is WRONG" in text
    assert "blamed: cube, called at " in text
    assert "the gradient for `x` disagrees, rule at " in text
    assert "it is 0.666667 times the right one" in text
    assert "reproduce: gradcheck(lambda x: cube(x), np.array([1.0, 1.5, 2.0]), seed=0)" in text
    assert "3 kinds of calls of 2 operations checked" in text
    result.stdout.no_fnmatch_line("*plugin.py*")


def test_a_test_that_fails_anyway_keeps_its_own_failure_and_shows_the_gradient_as_well(run):
    result = run("def test(): assert cube(leaf(3)).sum().item() == 0", "--check-gradients")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert*== 0*", "*wrong gradients*", "the gradient of cube is WRONG"])


def test_a_wrong_rule_in_a_test_of_which_nothing_is_shown_fails_the_run_all_the_same(run):
    result = run(
        """
        @pytest.mark.xfail(reason="unfinished")
        def test_expected_to_fail():
            assert cube(leaf(3)).shape == ()

        @pytest.mark.xfail(reason="unfinished")
        def test_expected_to_fail_for_no_other_reason():
            cube(leaf(1, 2, 2))

        def test_skipped():
            cube(leaf(2, 2))
            pytest.skip("later")

        def test_skipped_as_by_unittest():
            import unittest
            cube(leaf(2, 2, 2))
            raise unittest.SkipTest("later")

        def test_of_what_is_right():
            square(leaf(3))
        """,
        "--check-gradients",
    )
    result.assert_outcomes(passed=1, xfailed=1, xpassed=1, skipped=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.stdout.str().count("the gradient of cube is WRONG") == 4


def test_a_wrong_rule_is_told_whatever_becomes_of_the_test_and_in_whatever_part_of_it(run):
    result = run(
        """
        import unittest

        class Tests(unittest.TestCase):
            @unittest.expectedFailure
            def test_expected_to_fail(self):
                cube(leaf(3))
                self.fail()

            def test_skipped(self):
                cube(leaf(2, 2))
                self.skipTest("later")

            def test_failing(self):
                cube(leaf(1, 2))
                self.assertEqual(1, 2)

        @pytest.fixture
        def not_here():
            cube(leaf(2, 1))
            pytest.skip("later")

        @pytest.fixture
        def late():
            yield
            cube(leaf(1, 1, 2))

        def test_skipped_by_a_fixture(not_here): pass
        def test_bystander(): pass

        def test_expected_to_fail_from_now_on(request):
            request.node.add_marker(pytest.mark.xfail)
            cube(leaf(2, 2, 2))
            assert False

        def test_late(late): pass
        """,
        "--check-gradients",
    )
    result.assert_outcomes(passed=2, failed=1, errors=1, skipped=2, xfailed=2)
    assert result.outlines.count("the gradient of cube is WRONG") == 6


def test_processes_of_xdist_tell_what_they_have_found(run):
    pytest.importorskip("xdist")
    tests = """
        @pytest.mark.xfail
        def test_expected_to_fail():
            cube(leaf(3))
            assert False

        def test_passing(): square(leaf(3))
        """
    result = run(tests, "--check-gradients", "-p", "xdist.plugin", "-n", "1")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["the gradient of cube is WRONG", "2 kinds of calls of 2 operations checked"])
    assert run(tests, "--mutate-rules", "-p", "xdist.plugin", "-n", "1").ret == pytest.ExitCode.USAGE_ERROR


def test_calls_that_differ_in_names_or_in_what_is_the_same_are_kinds_of_their_own(run):
    result = run(
        """
        def power(x, *others, dtype=float, **options):
            wrong = "wrong" in options or dtype is np.float32 or any(x is other for other in others)
            return mg.record(power, x.data**2, (x, lambda grad, out: grad * (3 if wrong else 2) * x))

        def test_right(): power(leaf(3), leaf(3)), power(leaf(3), right=1), power(leaf(3), dtype=np.float64)
        def test_wrong(): power(leaf(3), wrong=1)
        def test_wrong_dtype(): power(leaf(3), dtype=np.float32)
        def test_wrong_for_one_and_the_same(): x = leaf(3); power(x, x)
        """,
        "--check-gradients",
    )
    result.assert_outcomes(passed=1, failed=3)


def test_what_fixtures_and_each_nested_function_or_method_record_is_checked(run):
    result = run(
        """
        class Power:
            def __init__(self, n):
                self.n = n

            def of(self, x):
                return mg.record(self.of, x.data**self.n, (x, lambda grad, out: grad * 2 * x))

        def power(n):
            def of(x):
                return mg.record(of, x.data**n, (x, lambda grad, out: grad * 2 * x))
            return of

        @pytest.fixture
        def loss():
            return cube(leaf(3)).sum()

        def test_fixture(loss): loss.backward()
        def test_right_method(): Power(2).of(leaf(3))
        def test_wrong_method(): Power(3).of(leaf(3))
        def test_right_function(): power(2)(leaf(3))
        def test_wrong_function(): power(3)(leaf(3))
        """,
        "--check-gradients",
    )
    result.assert_outcomes(passed=2, failed=3)


def test_a_rule_that_writes_into_what_it_is_given_fails_the_test_although_its_numbers_are_right(run):
    result = run(
        """
        def spoiling(x):
            def rule(grad, out):
                result = grad * 2 * x
                grad.data[...] = 0
                return result
            return mg.record(spoiling, x.data**2, (x, rule))

        def test_right(): square(leaf(3))
        def test_wrong(): (spoiling(leaf(3)) * 3).sum().backward()
        """,
        "--check-gradients",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*blamed: spoiling, called at *the rule of spoiling at * writes into the gradient*"])


def test_training_with_everything_a_layer_may_do_raises_no_false_alarm_and_changes_nothing(run):
    tests = """
        def unit(x, norm):  # is handed what follows from x, and is right
            return mg.record(unit, x.data / norm, (x, lambda g, out: (g - out * (g * out).sum()) / norm))

        def normed(x):
            return unit(x, np.sqrt((x.data**2).sum()))

        def test_training():
            mg.manual_seed(0)
            model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
                                  nn.Linear(8, 3))
            optimizer = nn.optim.Adam(model.parameters(), lr=0.1)
            x = np.random.default_rng(0).standard_normal((4, 1, 4, 4)).astype(np.float32)
            for _ in range(3):
                optimizer.zero_grad()
                loss = nn.CrossEntropyLoss()(model(x), np.array([0, 1, 2, 0])) + normed(leaf(3)).sum()
                loss.backward()
                optimizer.step()
            print("loss", loss.item(), model[1].running_mean.sum(), mg.random.default_generator().random())
    """
    checked, plain = run(tests, "-s", "--check-gradients"), run(tests, "-s")
    checked.assert_outcomes(passed=1)
    loss = [line for line in plain.stdout.lines if "loss" in line]
    assert loss
    assert [line for line in checked.stdout.lines if "loss" in line] == loss


def test_what_cannot_be_called_again_is_named_as_not_checked(run):
    result = run(
        """
        def noisy(x, rng):
            noise = rng.standard_normal(x.shape)
            return mg.record(noisy, x.data * noise, (x, lambda grad, out: grad * noise))

        def test(): noisy(leaf(3), np.random.default_rng(0))
        """,
        "--check-gradients",
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*not checked, as they cannot be called again alone: noisy"])


def test_rules_are_broken_one_at_a_time_and_survivors_are_listed(run):
    tests = """
        def test_sum():
            x = leaf(3)
            square(x).sum().backward()
            assert np.isclose(x.grad.numpy().sum(), 9)

        @pytest.fixture
        def x():
            return leaf(2)

        def test_with_a_fixture(x):
            assert square(x).shape == (2,)
    """
    result = run(tests, "--mutate-rules")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([
        "*broken gradient rules*",
        "* mutants killed, 1 survived, * equivalent: score *%",
        "  rule * line",
        "  square, input 0 *.py:12",
        "  survived: square, rule of input 0: result permuted",
    ])
    assert "sum, input 0" not in result.stdout.str()
    assert "sum, input 0" in run(tests, "--mutate-rules=all").stdout.str()
    assert "sum, input 0" in run(tests, "--mutate-rules=sum").stdout.str()
    refused = run(tests, "--mutate-rules=squeare")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    assert "the check records no 'squeare': it records square, sum" in refused.stderr.str()


@pytest.mark.parametrize(("options", "status"), [
    (["--mutate-rules", "test_none.py"], pytest.ExitCode.USAGE_ERROR),
    (["--mutate-rules", "tests/rules"], pytest.ExitCode.USAGE_ERROR),
    (["--mutate-rules", "-k", "none"], pytest.ExitCode.NO_TESTS_COLLECTED),
    (["--mutate-rules", "--collect-only"], pytest.ExitCode.OK),
])
def test_no_rule_is_broken_where_no_test_runs(run, options, status):
    result = run("def test(): square(leaf(1))", *options)
    assert result.ret == status
    assert "broken gradient rules" not in result.stdout.str()
    assert ("names no operations: name files of tests before it" in result.stderr.str()) == (status == 4)


def test_rules_are_not_broken_while_tests_fail(run):
    result = run("def test(): assert not square(leaf(1))", "--mutate-rules")
    result.stdout.fnmatch_lines(["rules are not broken while tests fail as things are"])


def test_without_the_options_nothing_is_imported_or_registered(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(minigrad.__file__).parents[1]))
    pytester.makepyfile("""
        import sys

        def test_plain(request):
            assert "minigrad.testing.survey" not in sys.modules
            assert not any("minigrad-" in str(name) for name, _ in request.config.pluginmanager.list_name_plugin())
    """)
    code = (
        "import sys, pytest, minigrad.testing.plugin; "
        "assert 'hypothesis' not in sys.modules; "
        "sys.exit(pytest.main(['-q', '-p', 'minigrad.testing.plugin', '-p', 'no:hypothesispytest']))"
    )
    result = pytester.run(sys.executable, "-c", code)
    assert result.ret == 0, result.stdout.str() + result.stderr.str()
