"""`gradient_property` among other decorators, with every kind of signature, and how its failures look in pytest."""

import inspect
import os
import time

import numpy as np
import pytest
from hypothesis import Phase, assume, example, seed, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import GradientError, gradcheck, gradient_property
from minigrad.testing.strategies import tensors

pytest_plugins = ["pytester"]
pairs = tensors(shape=(2,), elements=st.floats(-3, 3))
few = settings(max_examples=4, database=None)


def wrong(x):
    return x * mg.as_tensor(x).detach()


@pytest.fixture(scope="module")
def factor():
    return np.full(2, 3.0)


# ------------------------------------------------------------------------------------------------ these are tests


@few
@gradient_property(pairs)
def test_with_settings_above(x):
    return x * x


@gradient_property(pairs)
@few
def test_with_settings_below(x):
    return x * x


@seed(3)
@example(np.ones(2))
@few
@gradient_property(pairs)
def test_with_other_decorators_of_hypothesis(x):
    return x * x


test_of_a_lambda = gradient_property(pairs, settings=few)(lambda x: x * x)


@gradient_property(pairs, pairs, settings=few)
def test_of_any_number_of_arguments(*xs):
    assert len(xs) == 2
    return xs[0] * xs[1]


@gradient_property(pairs, pairs, st.just(2), settings=few)
def test_of_some_and_any_number_of_arguments(x, *rest):
    assert rest[1] == 2
    return x * rest[0]


@gradient_property(pairs, settings=few)
def test_of_an_argument_with_a_default(x, power=3):  # noqa: PT028
    assert power == 3
    return x**power


@gradient_property(pairs, st.integers(2, 3), settings=few)
def test_of_a_keyword(x, *, power):
    assert power in (2, 3)
    return x**power


@gradient_property(pairs, st.data(), settings=few)
def test_of_what_is_drawn_inside(x, data):
    power = data.draw(st.integers(1, 3))
    return x**power * data.draw(pairs) if power > 1 else x


@pytest.mark.parametrize("power", [2, 3])
@gradient_property(pairs, settings=few)
def test_with_a_fixture_and_parameters_above(factor, power, x):
    assert factor[0] == 3  # also where numerical derivatives are taken: only what is drawn is a variable
    return x**power * factor


@gradient_property(pairs, settings=few)
@pytest.mark.parametrize("power", [2, 3])
def test_with_a_fixture_and_parameters_below(power, factor, x):
    return x**power * factor


class TestMethods:
    power = 2

    @few
    @gradient_property(pairs)
    @pytest.mark.parametrize("factor", [1, 2])
    def test_of_a_method(self, factor, x):
        return x**self.power * factor


# ------------------------------------------------------------------------------------------------ and these of failures


def notes_of(test):
    with pytest.raises(GradientError) as caught:
        test()
    return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


def test_what_is_assumed_of_the_values_is_no_fault_where_a_check_changes_them():
    @few
    @gradient_property(st.just(np.array([1.0, 1.0 + 1e-12])))
    def apart(x):
        assume(x.numpy()[0] != x.numpy()[1])  # in float32 they are equal
        return x * x

    apart()


def test_settings_hold_wherever_they_are_said():
    for decorate in (
        lambda f: settings(few, max_examples=3)(gradient_property(pairs)(f)),
        lambda f: gradient_property(pairs)(settings(few, max_examples=3)(f)),
        lambda f: gradient_property(pairs, settings=settings(few, max_examples=3))(f),
    ):
        seen = []

        def slow(x, seen=seen):
            seen.append(x.numpy().tobytes())
            time.sleep(0.003)  # a hundred calls are above any deadline
            return x * x

        decorate(slow)()
        assert 1 <= len(set(seen[:1])) <= 3


def test_a_failure_is_not_explained_by_hypothesis_which_takes_longer_than_all_the_rest():
    test = gradient_property(tensors(), st.booleans(), settings=settings(database=None))(
        lambda x, doubled: wrong(x) * (2 if doubled else 1)
    )
    said = notes_of(test)
    assert "Explanation" not in said
    assert "or any other" not in said
    explicit = settings(database=None, phases=[Phase.generate, Phase.explain, Phase.shrink])
    assert "or any other" not in notes_of(explicit(gradient_property(tensors(), st.booleans())(lambda x, b: wrong(x))))


@gradient_property(pairs, st.integers(1, 2), order=2, settings=few)
def failing(x, times):
    return wrong(x) * times


failing_lambda = few(gradient_property(pairs)(lambda x: wrong(x)))


class Squares:
    @staticmethod
    @few
    @gradient_property(pairs)
    def failing_method(x):
        return wrong(x)


@pytest.mark.parametrize("test", [failing, failing_lambda, Squares.failing_method])
def test_the_line_that_reproduces_a_failing_property_runs_when_pasted(test):
    line = notes_of(test).partition("reproduce: ")[2].split("\n  note")[0].split("\nFailing")[0].split("\nHighest")[0]
    own = {"failing": failing, "failing_lambda": failing_lambda, "Squares": Squares}
    with pytest.raises(GradientError):
        exec(line, {"np": np, "mg": mg, "gradcheck": gradcheck} | own)


def test_what_is_drawn_inside_is_reproduced_by_running_the_test_again():
    test = gradient_property(pairs, st.data(), settings=few)(lambda x, data: wrong(x) * data.draw(st.integers(1, 2)))
    assert "to see it again, run the test again" in notes_of(test)


@pytest.mark.parametrize(
    "test",
    [
        gradient_property(pairs, settings=few)(lambda fixed, x: wrong(x) * fixed),
        gradient_property(pairs, st.integers(1, 2), settings=few)(lambda x, *, times: wrong(x) * times),
    ],
)
def test_what_no_line_can_call_is_not_spelled(test):
    with pytest.raises(GradientError) as caught:
        test(*[2.0][: len(inspect.signature(test).parameters)])
    assert "reproduce: " not in str(caught.value)


def test_too_many_strategies_are_refused():
    with pytest.raises(TypeError, match="3 strategies for a function of 1 arguments"):
        gradient_property(pairs, pairs, pairs)(lambda x: x)


def test_a_failure_in_pytest_shows_the_report_and_hardly_a_line_of_ours(pytester):
    pytester.makepyfile("""
        import numpy as np
        from hypothesis import settings
        from minigrad.testing import gradcheck, gradient_property
        from minigrad.testing.strategies import tensors

        def test_checked():
            gradcheck(lambda x: x * x.detach(), np.ones(2))

        @settings(max_examples=3, database=None)
        @gradient_property(tensors(shape=(2,)))
        def test_property(x):
            return x * x.detach()
    """)
    lines = pytester.runpytest("-p", "no:cacheprovider", "-rN").stdout.lines  # a host's summary repeats whole messages
    assert any("the gradient of test_property is WRONG" in line for line in lines)
    ours = [line for line in lines if "minigrad/testing/" in line]
    assert len(ours) <= 2, ours
    source = [line for line in lines if line.startswith(("    ", ">")) and "E  " not in line and line.strip()]
    assert len(source) <= 6, source


def test_what_a_function_raises_is_shown_once_in_pytest_and_with_hardly_a_line_of_ours(pytester):
    pytester.makepyfile("""
        import numpy as np
        from hypothesis import settings
        from minigrad.testing import gradcheck, gradient_property
        from minigrad.testing.strategies import tensors

        def broken(x):
            raise KeyError("mine")

        def test_checked():
            gradcheck(broken, np.ones(2))

        test_property = gradient_property(tensors(shape=(2,)), settings=settings(database=None))(broken)
    """)
    lines = pytester.runpytest("-p", "no:cacheprovider", "-rN").stdout.lines
    assert sum(line.startswith("E ") and "KeyError: 'mine'" in line for line in lines) == 2, lines
    ours = [line for line in lines if "minigrad/testing/" in line]
    assert len(ours) <= 1, ours  # where hypothesis says that the property is


def test_an_operation_that_is_a_property_itself_is_blamed_with_the_line_of_its_definition():
    def cube(x):
        return mg.record(cube, mg.value(x) ** 3, (x, lambda grad, out: 2 * grad * x**2))

    with pytest.raises(GradientError) as error:
        gradient_property(pairs, settings=few)(cube)()
    assert "blamed: cube, defined at " in str(error.value)
    assert f"{os.path.basename(__file__)}:{cube.__code__.co_firstlineno}; the gradient for `x`" in str(error.value)
    assert "hypothesis" not in str(error.value)
