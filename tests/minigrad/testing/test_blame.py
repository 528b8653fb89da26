"""The operation at fault is blamed, and no other; patterns are named where they explain something."""

import functools

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad import record, value
from minigrad.testing import gradient_report
from minigrad.testing.mutation import Mutant, breaking
from minigrad.testing.patterns import recognised
from nn import functional as F

X = np.random.default_rng(3).standard_normal((6, 3))
IMAGES = np.random.default_rng(4).standard_normal((3, 2, 4, 4))


def blame(f, *inputs, **options):
    """The sentence of a report that blames."""
    report = gradient_report(f, *inputs, **options)
    assert not report.ok
    return next(detail for detail in report.details if detail.startswith("blamed: "))


def wrong(x):
    x = mg.as_tensor(x)
    return record(wrong, x.data**2, (x, lambda grad, out: 3 * x * grad))


def normalised(x):
    return F.batch_norm(x, None, None, training=True)


def divided(x, norm):
    """x / norm, where the norm of x is handed over as a number, and its gradient is right all the same."""
    return record(divided, x.data / norm, (x, lambda grad, out: (grad - out * (grad * out).sum()) / norm))


def unit(x):
    x = mg.as_tensor(x)
    return divided(x, np.sqrt((x.data**2).sum()))


# ------------------------------------------------------------------------------------------------ who it was


def test_what_a_right_rule_calls_is_blamed_for_a_wrong_second_derivative_and_not_the_rule():
    def cosine(x):
        x = mg.as_tensor(x)
        return record(cosine, np.cos(x.data), (x, lambda grad, out: grad * mg.sin(x)))

    def sine(x):
        x = mg.as_tensor(x)
        return record(sine, np.sin(x.data), (x, lambda grad, out: grad * cosine(x)))

    def sine_with_constant_cosine(x):
        x = mg.as_tensor(x)
        return record(sine_with_constant_cosine, np.sin(x.data), (x, lambda grad, out: grad * np.cos(x.data)))

    assert blame(sine, np.array([0.5, 1.0]), order=2).startswith("blamed: cosine, called at ")
    assert "blamed: sine_with_constant_cosine" in blame(sine_with_constant_cosine, X, order=2, checks=())


@pytest.mark.parametrize("order", [1, 2])
def test_the_operation_whose_gradient_raises_is_blamed(order):
    def fails(x):
        x = mg.as_tensor(x)
        return record(fails, x.data * 1, (x, lambda grad, out: grad.nothing()))

    def twice(x):
        x = mg.as_tensor(x)
        return record(twice, x.data**2, (x, lambda grad, out: 2 * grad * (fails(x) if order == 2 else x)))

    f = twice if order == 2 else fails
    said = blame(lambda x: f(mg.exp(x)).sum(), X, order=order)
    assert said.startswith("blamed: fails, called at ")
    assert said.endswith(": it is its gradient that raises this")


@pytest.mark.parametrize("step", [normalised, unit])
def test_a_step_that_is_handed_numbers_of_its_input_is_not_blamed_for_others(step):
    assert gradient_report(step, X).ok
    assert "blamed: wrong" in blame(lambda x: wrong(step(x)), X)
    assert "blamed: wrong" in blame(lambda x: step(wrong(x)), X)
    assert "blamed: wrong" in blame(lambda x: wrong(step(x)) + step(x), X)
    assert "no single operation" in blame(lambda x: step(x) * step(x).detach(), X)


@pytest.mark.parametrize(
    ("name", "position"), [("convolution", 1), ("normalized", 0), ("normalized", 1), ("relu", 0), ("linear", 1)]
)
def test_in_a_model_with_batch_norm_the_broken_operation_is_blamed(name, position):
    nn.manual_seed(29)  # one of its values is nearly 0
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    with breaking(Mutant(name, position, "factor two")):
        said = blame(model, IMAGES)
    assert f"blamed: {name}," in said
    assert ("what it takes" if name == "normalized" else "the gradient for ") in said


def test_steps_of_a_model_in_float32_are_checked_on_their_own():
    class Cut(nn.Module):
        def forward(self, x):
            return x * x.detach()

    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), Cut(), nn.Linear(4, 2))
    assert "no single operation could be shown wrong" in blame(model, X)


def test_an_operation_that_draws_numbers_or_is_an_object_is_judged_as_part_of_the_whole():
    def noisy(x, rng):
        noise = rng.standard_normal(x.shape)
        return record(noisy, x.data * noise, (x, lambda grad, out: grad * noise * 2))

    said = blame(lambda x: noisy(mg.sin(x), np.random.default_rng(0)), X)
    assert "blamed: noisy" in said
    assert "the gradients of what it takes are right, that of its result is not" in said

    class Scaling:
        __name__ = "scaling"

        def __call__(self, x):
            return record(self, x.data * 2, (x, lambda grad, out: grad))

    scaling = Scaling()
    assert "blamed: scaling" in blame(lambda x: mg.exp(scaling(x)), X)
    partial = functools.partial(record, scaling)
    assert "blamed: scaling" in blame(lambda x: partial(value(x) * 2, (x, lambda grad, out: grad)), X)


def test_what_was_not_checked_on_its_own_is_not_said_to_be_right():
    def drawn(x, rng):
        noise = rng.standard_normal(x.shape)
        return record(drawn, x.data * noise, (x, lambda grad, out: grad * noise))

    said = blame(lambda x: drawn(mg.sin(x) * x.detach(), np.random.default_rng(0)), X)
    assert "not checked: drawn" in said
    assert "could be shown wrong" not in said
    many = blame(lambda x: functools.reduce(lambda y, _: mg.positive(y), range(2100), x * x.detach()), X[0])
    assert "not checked: all after the first 2,000 steps" in many
    assert "no single operation could be shown wrong" in blame(lambda x: mg.sin(x) * x.detach(), X)


def nearly_sine(wrong_by):
    """A sine whose rule is wrong in one entry of thousands."""

    def sine(x):
        factor = np.ones(x.shape)
        factor[31, 2] += wrong_by
        return record(sine, np.sin(value(x)), (x, lambda grad, out: grad * factor * mg.cos(x)))

    return sine


@pytest.mark.parametrize("seed", range(6))
def test_a_step_is_looked_at_where_the_whole_is_wrong(seed):
    many = np.random.default_rng(seed).standard_normal((60, 70))
    for size in (1e-4, 1e-5):
        sine = nearly_sine(size)
        for f in (lambda x, f=sine: f(x).sum() + 1000, lambda x, f=sine: mg.exp(f(mg.tanh(x) * x) / 2).sum() + 1000):
            report = gradient_report(f, many, directions=6, checks=(), seed=seed)
            text = " ".join(str(report).split())
            assert report.ok or ("entry (31, 2) of input 0" in text and "blamed: sine" in text
                                 and "the gradient for `x` disagrees, rule at" in text)
            assert size < 1e-4 or not report.ok
            assert "does a rule keep something" not in text


def test_a_step_is_looked_at_where_the_whole_is_wrong_by_its_parameters():
    nn.manual_seed(0)
    sine = nearly_sine(1e-4)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(np.random.default_rng(0).standard_normal((60, 70)).astype(np.float32))

        def forward(self, x):
            return (x * sine(self.weight)).sum() + 1000

    assert "blamed: sine" in blame(Model(), 1.5, directions=6)


def test_at_a_second_point_the_steps_are_those_there_with_the_parameters_there():
    kept = {}

    def relu(x):
        mask = kept.setdefault(x.shape, value(x) > 0)
        return record(relu, np.maximum(value(x), 0), (x, lambda grad, out: grad * mask))

    nn.manual_seed(0)
    report = gradient_report(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), Layer(relu), nn.Linear(4, 2)), X, checks=())
    assert "at a second point: " in str(report)
    assert "blamed: relu, called at" in str(report)


class Layer(nn.Module):
    """A function as a layer."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def test_a_derivative_that_is_wrong_beside_batch_norm_is_blamed_at_order_2():
    def square(x):
        return record(square, value(x) ** 2, (x, lambda grad, out: grad * (2 * value(x))))

    assert "blamed: square" in blame(lambda x: normalised(square(x)), X, order=2)
    assert "blamed: square" in blame(lambda x: square(normalised(x)), X, order=2)


# ------------------------------------------------------------------------------------------------ patterns


@pytest.mark.parametrize(
    ("analytic", "jacobian", "pattern"),
    [
        ([2.000001, 4.000002], [[2.0, 0], [0, 4.0]], "right to 6 digits"),
        ([1e6, 3e-3, 5e-3], np.diag([1e6, 1e-3, 2e-3]), "right to 9 digits"),
        ([1.37], [[1.0]], None),
        ([0.0, 1.37], np.diag([0.0, 1.0]), None),
        ([2.0], [[1.0]], "it is 2 times"),
        ([-1.0], [[1.0]], "opposite sign"),
        ([3.5, 7.0], np.diag([1.0, 2.0]), "it is 3.5 times"),
        ([3.0, 6.0, 9.0], np.diag([1.0, 2.0, 3.0]), "3 is a number of elements"),
        ([2.0, 4.0], np.diag([1.0, 2.0]), "it is 2 times the right one"),
        ([2.0, 2.0, 2.0], np.diag([2.0, 4.0, 6.0]), None),  # the factor x is missing: whole multiples by chance
        ([1.0, 1.0, 0.0], [[1.0, 1.0, 0], [0, 0, 1.0], [0, 0, 0]], "duplicates are counted once"),
        ([-1.0, -1.0, 0.0], [[-1.0, -1.0, 0], [0, 0, -1.0], [0, 0, 0]], "duplicates are counted once"),
        ([1.0, 0.0, 0.0], np.eye(3), "only entry 0 along output axis 0 counts: nothing arrives from the others"),
        ([0.0, 0.0], np.eye(2), "no gradient arrives"),
    ],
)
def test_a_pattern_is_named_only_if_it_says_something(analytic, jacobian, pattern):
    analytic, jacobian = np.array(analytic), np.array(jacobian)
    cotangents = [np.array([1.0 + 0 * c for c in range(jacobian.shape[1])])]
    found = recognised(analytic, jacobian, cotangents)
    assert found is None if pattern is None else pattern in (found or "")


def test_no_report_calls_a_wrong_gradient_the_right_one_times_one():
    def nearly(x):
        return record(nearly, value(x) ** 2, (x, lambda grad, out: grad * x * 2.000002))

    text = " ".join(str(gradient_report(nearly, X)).split())
    assert "1 times the right one" not in text
    assert "it is right to 6 digits of the largest entry" in text


def test_a_step_that_takes_nan_is_checked_at_its_other_elements():
    missing = np.array([False, True, False, False])
    with breaking(Mutant("nanmax", 0, "factor two")):  # a direction of nothing but NaN would have NumPy warn
        report = gradient_report(lambda x: mg.nanmax(mg.where(missing, np.nan, x)), np.arange(1.0, 5), checks=())
    assert any("blamed: nanmax" in detail for detail in report.details)


def test_of_a_gradient_that_is_not_finite_the_line_of_the_rule_is_told():
    def product(a, b):
        return record(product, value(a) * value(b), (a, lambda grad, out: grad * b),
                      (b, lambda grad, out: grad * a / 0.0))

    said = blame(lambda x: product(x + 1, x * 2), X)
    assert "the gradient for `b` is not finite, rule at " in said
    assert said.endswith(f":{product.__code__.co_firstlineno + 2}")
