"""The first look at a slope, at three points: quick where nothing is in doubt, and of no opinion elsewhere."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import gradcheck
from minigrad.testing.numeric import Line, Tolerance, Verdict
from minigrad.testing.probe import drawn, scale


def glance(f, slope, weights=(1.0,), magnitude=None):
    """What is said of a slope at 0 of functions of one number, one for each weight."""
    cotangent = np.array(weights)
    return Line(f, f(0.0), cotangent, slope, magnitude or abs(slope), Tolerance()).glance()


def one(f):
    return lambda t: np.array([float(f(t))])


def kinked(t):
    return np.array([np.sin(t) + abs(t), np.sin(t) - abs(t)])


@pytest.mark.parametrize(
    ("f", "slope"), [(np.exp, 1.0), (lambda t: 3 + np.sin(2 * t), 2.0), (lambda t: (1 + t) ** 5, 5.0)]
)
def test_a_smooth_slope_is_correct_at_a_glance_and_has_an_error_bar(f, slope):
    found = glance(one(f), slope)
    assert found.verdict is Verdict.CORRECT
    assert found.difference <= found.error < Tolerance.rtol * slope


@pytest.mark.parametrize("off", [1e-7, 1e-3, -2.0, 1.0])
def test_a_wrong_slope_is_not_accepted_at_a_glance(off):
    assert glance(one(np.exp), 1.0 + off) is None


@pytest.mark.parametrize(
    ("f", "slope", "weights"),
    [
        (one(abs), 0.3, [1.0]),
        (one(lambda t: np.sin(t) + abs(t)), 1.0, [1.0]),
        (one(lambda t: np.sin(t) + 1e-6 * abs(t)), 1.0, [1.0]),
        (kinked, 2.0, [1.0, 1.0]),  # of opposite sign
        (one(lambda t: np.float32(np.exp(t))), 1.0, [1.0]),
        (one(lambda t: np.sin(t) + 1e-6 * np.sin(1e7 * t)), 11.0, [1.0]),
        (one(lambda t: 1e4 + np.sin(t)), 1.0, [1.0]),
        (one(lambda t: t if t < 0 else np.nan), 1.0, [1.0]),
    ],
    ids=["kink", "kink added", "small kink", "two kinks", "float32", "waves", "rounding", "outside"],
)
def test_where_anything_is_in_doubt_a_glance_says_nothing(f, slope, weights):
    assert glance(f, slope, weights) is None


def test_a_kink_between_the_points_is_avoided_at_the_smaller_step():
    found = glance(one(lambda t: 2 * t + max(0.0, t - 1e-6)), 2.0)
    assert found.verdict is Verdict.CORRECT


def test_three_points_along_each_direction_are_enough_for_a_correct_gradient():
    calls = []

    def f(x):
        calls.append(1)
        return mg.sin(x)

    assert gradcheck(f, np.random.default_rng(0).standard_normal(50), checks=()).ok
    assert len(calls) == 3 * 3 + 2  # values with gradients at two points are two more


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (40, 50)])
def test_no_element_is_nearly_left_out_of_a_direction(shape):
    x = drawn(np.random.default_rng(0), shape)
    assert np.shape(x) == shape
    assert np.all((np.abs(x) >= 0.25) & (np.abs(x) <= 2))
    assert x.size < 9 or 0.4 < np.mean(x > 0) < 0.6


def test_the_typical_size_of_many_elements_is_about_their_median_however_few_are_not_zero():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 300))
    assert 0.9 < scale(x).min() / np.median(np.abs(x)) < 1.1
    sparse = np.zeros((200, 300))
    sparse[7, 7] = 5.0
    assert np.array_equal(scale(sparse), np.full(sparse.shape, 5.0))
