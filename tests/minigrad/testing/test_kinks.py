"""Kinks of a user's own function are found, and checked at: plain random points never hit one."""

import numpy as np
import pytest
from hypothesis import Phase, assume, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import record, value
from minigrad.testing import GradientError, gradcheck, gradient_property
from minigrad.testing.kinks import points_at_kinks
from minigrad.testing.strategies import arrays, tensors
from minigrad.testing.subject import TensorSubject

quick = settings(database=None, derandomize=True, max_examples=20, phases=[Phase.generate])
CLEAR = arrays((3,), offset=0.3)  # elements that are no simple numbers


def piecewise(forward, slope):
    """A function of one tensor with the slope that is given as a function of arrays."""

    def f(x):
        x = mg.as_tensor(x)
        return record(f, forward(value(x)), (x, lambda grad, out: grad * slope(value(x)).astype(x.dtype)))

    return f


WRONG = {  # the value, and a slope that is wrong at a kink alone
    "distance": (lambda x: np.abs(x - 1.5), lambda x: np.where(x == 1.5, 2.0, np.sign(x - 1.5))),
    "hinge": (lambda x: np.maximum(0, 1 - x), lambda x: np.where(x == 1, 1.0, -1.0 * (x < 1))),
    "clip at user's bounds": (lambda x: np.clip(x, -0.3, 0.7), lambda x: (x > -0.3) * 1.0 * (x <= 0.7) - (x == -0.3)),
    "threshold beside a parabola": (lambda x: 50 * x * x + np.maximum(x, 0.25),
                                    lambda x: 100 * x + (x > 0.25) + 1.5 * (x == 0.25)),
    "dead zone": (lambda x: np.maximum(np.abs(x) - 0.5, 0),
                  lambda x: np.sign(x) * (np.abs(x) > 0.5) * 1.0 + 3 * (x == -0.5)),
    "NaN": (lambda x: np.sqrt(np.square(x - 2)), lambda x: (x - 2) / np.where(x == 2, np.nan, np.abs(x - 2))),
}
RIGHT = {
    "distance": lambda x: mg.abs(x - 1.5),
    "hinge": lambda x: mg.maximum(0, 1 - x).mean(),
    "clip": lambda x: mg.clip(x, -0.3, 0.7) ** 2,
    "largest": lambda x: x.max() * x.min(),
    "huber": lambda x: mg.where(np.abs(value(x)) < 1, x * x / 2, mg.abs(x) - 0.5),
    "smooth": lambda x: mg.tanh(20 * x) + 100 * x * x + mg.exp(x),
    "roots": lambda x: mg.sqrt(mg.abs(x)) + mg.cbrt(x),
    "logarithm": lambda x: mg.log(x * x) + mg.log1p(mg.exp(x)),
}


def property_of(f, strategy=CLEAR, **options):
    @gradient_property(strategy, settings=quick, **options)
    def test(x):
        return f(x)

    return test


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_slope_at_a_kink_of_ones_own_function_is_found(name):
    wrong = piecewise(*WRONG[name])
    property_of(wrong, kinks=False)()  # which no random point shows
    with pytest.raises(GradientError, match=r"kink|nan"):
        property_of(wrong)()
    with pytest.raises(GradientError):
        property_of(wrong, tensors())()


@pytest.mark.parametrize("name", RIGHT)
def test_right_subgradients_and_smooth_functions_pass(name):
    property_of(RIGHT[name])()


def test_the_example_at_the_kink_is_the_one_reported():
    wrong = piecewise(*WRONG["distance"])
    with pytest.raises(GradientError) as caught:
        property_of(wrong, arrays((), offset=0.3))()
    assert "1.5" in str(caught.value) + " ".join(getattr(caught.value, "__notes__", []))


@pytest.mark.parametrize(
    ("f", "kinks"),
    [
        (lambda x: mg.abs(x - 1.5), {1.5}),
        (lambda x: mg.clip(x, -0.3, 0.7), {-0.3, 0.7}),
        (lambda x: mg.abs(x - 0.25) + 100 * x * x, {0.25}),
        (lambda x: mg.maximum(x, 2 * x - 3.125), {3.125}),
        (lambda x: mg.floor(x.detach()) + x, set()),  # a jump is no kink
        (lambda x: mg.sqrt(mg.abs(x)), set()),
        (lambda x: mg.sin(3 * x), set()),
        (lambda x: x / x.detach() * 2, set()),
    ],
)
def test_kinks_are_simple_numbers_where_the_slope_jumps(f, kinks):
    points = points_at_kinks(TensorSubject(f, [np.array(0.3)]), np.random.default_rng(0))
    assert {point[0].item() for point in points} == kinks


def test_a_hand_written_gradient_and_data_are_looked_at_in_the_same_way():
    def loss(x, target):
        return float(np.abs(x - target).sum())

    def slope(x, target):
        return np.sign(x - target) + 2 * (x == target)

    @gradient_property(CLEAR, st.just(np.array([0.5, 1.0, 2.0])), settings=quick, gradient=slope, wrt=(0,))
    def test(x, target):
        return loss(x, target)

    with pytest.raises(GradientError, match="kink"):
        test()
    assert gradcheck(loss, np.array([0.1, 0.2, 0.3]), np.array([0.5, 1.0, 2.0]), gradient=slope, wrt=(0,)).ok


def test_a_precondition_of_the_function_holds_at_its_kinks_as_well():
    @gradient_property(CLEAR, settings=quick)
    def test(x):
        assume(np.all(value(x) > -10))
        return mg.abs(x - 1.5)

    test()
