"""The line that a report ends with can be pasted, runs, and shows the fault again; else words say what to repeat."""

import functools
import re

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad import record, value
from minigrad.ops import operations
from minigrad.testing import Verdict, gradient_report
from minigrad.testing.mutation import Mutant, breaking
from minigrad.testing.spelling import spelled
from minigrad.testing.strategies import calls
from nn import functional as F

X = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.5]])
LONG = np.random.default_rng(8).standard_normal((50, 40))


def pasted(report):
    """The line of a printed report that reproduces it; None if there are words instead."""
    assert not report.ok
    found = re.search(r"reproduce: (.*?\))(?:\n  \w|$)", str(report), re.DOTALL)
    assert found or "to see it again, " in str(report)
    return found and found[1]


def outcome(line, **own):
    """The report that a pasted line gives, below the imports and the user's own names."""
    reports = []
    names = {"np": np, "mg": mg, "gradcheck": lambda *a, **k: reports.append(gradient_report(*a, **k))}
    exec(line, names | own)
    return reports[0]


# ------------------------------------------------------------------------------------------------ faulty functions


def tripled(x, *arguments, **options):
    """2 x, with a wrong rule; it takes whatever else there is."""
    return record(tripled, value(x) * 2, (x, lambda grad, out: grad * 3))


def cut(x, factor=1.0):
    return x * mg.as_tensor(x).detach() * factor


def cut_in_dict(tree, power):
    return tree["a"][0] * tree["a"][0].detach() ** power


class Tripled:
    """An operation that is an object."""

    __name__ = "tripled_object"

    def __call__(self, x):
        return record(self, x.data * 2, (x, lambda grad, out: grad * 3))


class Cutting(nn.Module):
    def __init__(self):
        self.weight = nn.Parameter([1.0, 2.0, 3.0])

    def forward(self, x):
        return cut(x) * self.weight


class Wrong(nn.Module):
    def forward(self, x):
        return tripled(x * 2)


def right_first_derivative(x):
    x = mg.as_tensor(x)
    return record(right_first_derivative, x.data**3, (x, lambda grad, out: grad * (3 * x.data**2)))


def product_of_four(a, b, c, d):
    return record(product_of_four, value(a) * value(b) * value(c) * value(d),
                  (a, lambda grad, out: 2 * grad * b * c * d), (b, lambda grad, out: grad * a * c * d),
                  (c, lambda grad, out: grad * a * b * d), (d, lambda grad, out: grad * a * b * c))


def sorted_backwards(x):
    order = np.argsort(value(x))
    return record(sorted_backwards, np.sort(value(x)), (x, lambda grad, out: grad[order]))


def raising(x):
    return record(raising, np.sin(value(x)), (x, lambda grad, out: grad.cosine()))


def layer(x, w):
    return np.tanh(x @ w)


def layer_gradient(x, w, cotangent):
    return cotangent @ w.T, x.T @ cotangent


shortened = lambda x: cut(x)  # noqa: E731
tripled_object, model = Tripled(), Cutting()
OWN = {name: globals()[name] for name in (
    "tripled", "cut", "cut_in_dict", "right_first_derivative", "layer", "layer_gradient", "shortened", "tripled_object",
    "model", "product_of_four", "sorted_backwards", "raising",
)}
ARGUMENTS = [
    (), ([0, 0, 1],), (np.array([0, 1]),), (slice(0, 2),), (slice(None, None, -1), Ellipsis), ("ij -> j",),
    (None, True), (np.float32(0.1), np.int8(3)), (np.inf, -np.inf, float("nan")), (np.array([np.nan, np.inf, -0.0]),),
    (np.float64,), (np.array([1, 2], np.float16),), ({"a": [1, (2,)]},), (np.zeros((0, 3), np.float32),),
    (mg.tensor([1.0, 2.0]),), (np.array(["a b", "nan"]),), ("it's \\ \"so\"  ",), (np.array([[True], [False]]),),
    (np.uint64(2**63),), (1e300, 5e-324),
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=spelled)
def test_a_line_with_any_kind_of_argument_runs_when_pasted(arguments):
    line = pasted(gradient_report(lambda x: tripled(x, *arguments), X))
    assert line.startswith("gradcheck(lambda x: tripled(x")
    assert not outcome(line, **OWN).ok
    option = pasted(gradient_report(lambda x: tripled(x, key=arguments), X))
    assert "key=(" in option
    assert not outcome(option, **OWN).ok


@pytest.mark.parametrize(
    ("f", "inputs", "options"),
    [
        (tripled, [X], {}),
        (tripled, [LONG], {}),
        (tripled_object, [X], {}),
        (functools.partial(tripled, key=2), [X], {"seed": 3}),
        (cut, [X], {}),
        (cut, [X, 2], {"every_entry": True, "checks": ()}),
        (cut, [X.astype(np.float32)], {"directions": 1}),
        (cut, [mg.tensor(X)], {"rtol": 1e-6}),
        (cut, [2.0], {"seed": 5}),
        (cut, [LONG], {}),
        (cut, [1e-9 * X], {"atol": 1e-30}),
        (cut_in_dict, [{"a": [X]}, 2], {}),
        (shortened, [X], {}),
        (model, [X], {}),
        (Wrong(), [X], {}),
        (right_first_derivative, [X], {"order": 2}),
        (layer, [X, np.ones((3, 2))], {"gradient": layer_gradient}),
    ],
)
def test_a_line_for_any_kind_of_function_runs_when_pasted(f, inputs, options):
    line = pasted(gradient_report(f, *inputs, **options))
    assert line is not None
    assert not outcome(line, **OWN).ok


@pytest.mark.parametrize(
    ("f", "inputs", "options"),
    [
        (lambda x: cut(x), [X], {}),
        (Cutting(), [X], {}),
        (lambda x: model(x), [X], {"model": model}),
        (layer, [X, np.ones((3, 2))], {"gradient": lambda x, w, c: layer_gradient(x, w, c)}),
        (lambda x: tripled(x, object()), [X], {}),
        (lambda x: tripled(x, np.arange(99)), [X], {}),
        (lambda x, model: model(x), [X, model], {}),
    ],
)
def test_what_cannot_be_spelled_is_said_in_words(f, inputs, options):
    def called_here():
        return gradient_report(f, *inputs, **options)

    report = called_here()
    assert pasted(report) is None
    assert f"repeat the call at {report.details[-1].partition(' at ')[2]}" in " ".join(str(report).split())
    assert "test_reproduction.py:" in report.details[-1]


def test_a_name_of_another_module_is_imported_by_the_line():
    with breaking(Mutant("linear", 0, "factor two")):
        line = pasted(gradient_report(lambda x: F.linear(x, np.ones((2, 3)), np.ones(2)), X))
        assert line.startswith("from nn.functional.linear import linear; gradcheck(lambda x: linear(x,")
        assert not outcome(line).ok


def test_arrays_that_are_too_long_are_replaced_where_others_show_the_fault_too():
    report = gradient_report(tripled, LONG)
    assert "np.random.default_rng(1).standard_normal((50, 40))" in "".join(pasted(report).split("\n      "))
    assert "it is wrong at others too" in str(report)

    def wrong_far_out(x):
        return record(wrong_far_out, value(x) * 2, (x, lambda grad, out: grad * (3 if value(x)[0, 0] > 50 else 2)))

    far = LONG.copy()
    far[0, 0] = 100
    assert pasted(gradient_report(wrong_far_out, far)) is None


@pytest.mark.parametrize("size", [5, 10, 20])
def test_arrays_that_are_too_long_together_are_replaced_as_well(size):
    inputs = np.random.default_rng(0).standard_normal((4, size))
    assert not outcome(pasted(gradient_report(product_of_four, *inputs)), **OWN).ok


@pytest.mark.parametrize("seed", range(3))
def test_a_fault_at_ties_that_not_every_direction_shows_is_reproduced(seed):
    line = pasted(gradient_report(sorted_backwards, np.array([2.0, 2.0, 1.0]), seed=seed))
    assert not outcome(line, **OWN).ok


def test_a_gradient_that_raises_is_reproduced():
    for report in (gradient_report(lambda x: raising(x * 2).sum(), X), gradient_report(layer, X, X.T, gradient=layer)):
        assert not outcome(pasted(report), **OWN).ok


def test_a_line_is_whole_in_a_report_with_many_problems():
    def awful(a, b, c):
        twice = np.full(X.shape, 2.0)
        return record(awful, value(a) * value(b) * value(c) * twice, (a, lambda grad, out: mg.tensor(grad.data * 3)),
                      (b, lambda grad, out: grad), (c, lambda grad, out: grad))

    a = np.random.default_rng(0).standard_normal((2, 3))
    report = gradient_report(awful, a / 3, a / 7, a / 9)
    report.problems += ["another problem, of so many words that its sentence takes more than a line to print. " * 2] * 9
    assert len(str(report).splitlines()) <= 24
    assert not outcome(pasted(report), awful=awful).ok


SEVERAL = ("linalg.qr", "linalg.svd")  # made of steps that cannot be called alone
SINGLE = sorted(op.name for op in operations.values()
                if op.owner == "minigrad" and op.name not in SEVERAL)


@settings(max_examples=40, phases=[Phase.generate])  # each is small already
@given(data=st.data(), name=st.sampled_from(SINGLE), position=st.integers(0, 1))
def test_every_line_printed_of_a_broken_operation_runs_and_fails_when_pasted(data, name, position):
    call = data.draw(calls(operations[name]))
    with breaking(Mutant(operations[name].function.__name__, position, "factor two")):
        report = gradient_report(call, *call.inputs, checks=())
        assume(report.verdicts[Verdict.WRONG])
        line = pasted(report)
        assert line is not None
        assert not outcome(line).ok
