"""What `trace.check()` says of each edge."""

import copy
import pickle

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad.show import trace
from minigrad.show.steps import VerdictShown
from minigrad.testing.mutation import Mutant, breaking

WRONG = [
    ("multiply", 0, "opposite sign"), ("multiply", 1, "factor two"), ("multiply", 0, "wrong input"),
    ("multiply", 0, "cotangent ignored"), ("matmul", 0, "factor two"), ("matmul", 1, "wrong input"),
    ("matmul", 0, "zero"), ("matmul", 1, "result permuted"), ("add", 1, "missing reduction"),
    ("add", 1, "opposite sign"), ("add", 0, "cotangent permuted"), ("tanh", 0, "wrong input"),
    ("tanh", 0, "opposite sign"), ("exp", 0, "factor two"), ("exp", 0, "wrong output"), ("divide", 0, "wrong input"),
    ("divide", 1, "factor two"), ("divide", 1, "opposite sign"), ("sum", 0, "zero"), ("sum", 0, "factor two"),
    ("subtract", 1, "zero"), ("subtract", 0, "cotangent ignored"),
]


def leaf(value, dtype=np.float64):
    return mg.tensor(np.asarray(value, dtype), requires_grad=True)


def program(dtype):
    """One operation of each kind, so that a broken rule is that of a single edge."""
    rng = np.random.default_rng(3)
    x, w, b, s, t = (leaf(rng.uniform(0.5, 1.5, shape), dtype) for shape in ((4, 3), (3, 2), (2,), (4, 2), (2,)))
    mg.sum(mg.divide(mg.subtract(mg.exp(mg.multiply(mg.tanh(mg.add(mg.matmul(x, w), b)), s)), s), t)).backward()


def said(seen):
    """(operation, position) -> verdict of the edges that have one."""
    return {(seen.tensors[e.target].operation, e.position): e.verdict.verdict for e in seen.edges if e.verdict}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("inside", [True, False], ids=["checked while it is broken", "checked later"])
@pytest.mark.parametrize("fault", WRONG, ids=str)
def test_of_a_wrong_rule_the_edge_and_no_other_is_wrong(fault, inside, dtype):
    with breaking(Mutant(*fault)):
        with trace() as seen:
            program(dtype)
        if inside:
            seen.check()
    found = said(seen.check())
    assert [edge for edge, verdict in found.items() if verdict == "WRONG"] == [fault[:2]]
    assert set(found.values()) == {"WRONG", "correct"}
    assert '"verdict":"WRONG"' in seen.html()
    assert sum("WRONG: rule" in line for line in str(seen).splitlines()) == 1


def test_a_wrong_rule_of_ones_own_is_found_and_a_rule_that_gives_nan():
    def cube(x):
        return mg.record(cube, x.data**3, (x, lambda grad, out: 2 * grad * x**2))

    def square(x):
        return mg.record(square, x.data**2, (x, lambda grad, out: grad * np.nan))

    x = leaf([1.0, 2.0])
    with trace() as seen:
        (cube(x) + square(x)).sum().backward()
    assert said(seen.check()) == {
        ("cube", 0): "WRONG", ("square", 0): "WRONG", ("add", 0): "correct", ("add", 1): "correct",
        ("sum", 0): "correct",
    }
    seen.html()


RAISING = {
    "ValueError: a gradient rule returned shape (7,) for an input of shape (2,)": lambda: mg.tensor(np.ones(7)),
    "TypeError: a gradient rule returned float, not a tensor": lambda: 1.0,
    "ZeroDivisionError: division by zero": lambda: 1 / 0,
}


@pytest.mark.parametrize("fault", RAISING)
@pytest.mark.parametrize("by", [2.0, np.array([2.0, 3.0])], ids=["alone", "with an array"])
def test_a_rule_that_raises_or_gives_no_gradient_is_wrong_and_the_other_is_judged(fault, by):
    def scaled_product(a, b, by):
        return mg.record(scaled_product, a.data * b.data * by,
                         (a, lambda grad, out: RAISING[fault]()), (b, lambda grad, out: grad * a * by))

    with trace() as seen:
        scaled_product(leaf([1.0, 2.0]), leaf([3.0, 4.0]), by)
    wrong, right = seen.check().edges
    assert str(wrong.verdict) == f"WRONG: its rule raises {fault}"
    assert right.verdict.verdict == "correct"
    assert "raises" in seen.html()


def test_two_positions_of_the_same_tensor_are_judged_apart():
    x = leaf([1.0, 2.0])
    with breaking(Mutant("multiply", 1, "factor two")), trace() as seen:
        (x * x).sum().backward()
    assert said(seen.check()) == {("multiply", 0): "correct", ("multiply", 1): "WRONG", ("sum", 0): "correct"}


def network():
    model = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 4))
    images = np.random.default_rng(0).standard_normal((6, 12)).astype(np.float32)
    nn.functional.cross_entropy(model(images), np.arange(6) % 4).backward()


def convolutions():
    convolution = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)
    layers = *convolution, nn.Flatten(), nn.Linear(36, 3)
    images = np.random.default_rng(0).standard_normal((5, 1, 6, 6)).astype(np.float32)
    nn.functional.cross_entropy(nn.Sequential(*layers)(images), np.arange(5) % 3).backward()


def attention():
    x = leaf(np.random.default_rng(0).standard_normal((2, 5, 4)), np.float32)
    weights = mg.softmax(x @ x.swapaxes(-1, -2) / 2.0, -1)
    ((weights @ x - x.mean(-1, keepdims=True)) ** 2).sum().backward()


def broadcasting():
    a, b, c = leaf(np.ones((3, 1))), leaf([1.0, 2.0]), leaf(2.0)
    ((a * b + c) / c - b).exp().sum().backward()


@pytest.mark.parametrize("right", [network, convolutions, attention, broadcasting])
def test_right_programs_have_no_wrong_edge_and_most_are_decided(right):
    mg.manual_seed(0)
    with trace() as seen:
        right()
    found = list(said(seen.check()).values())
    assert "WRONG" not in found
    assert found.count("inconclusive") <= 1


def test_relu_at_zero_is_a_kink_and_constants_have_no_verdict():
    x = leaf([-1.0, 0.0, 2.0])
    with trace() as seen:
        (x.relu() * np.array([1.0, 2.0, 3.0])).sum().backward()
    assert {edge.verdict for edge in seen.edges} == {None}
    assert said(seen.check()) == {("relu", 0): "kink", ("multiply", 0): "correct", ("sum", 0): "correct"}
    assert [edge.rule is None for edge in seen.edges if edge.verdict is None] == [True]


def test_what_cannot_be_called_again_is_inconclusive_and_says_why():
    x = leaf([1.0, 2.0])
    with trace() as seen:
        y = x * 3.0
        y.sum().backward()
    x.data = np.array([5.0, 6.0])
    edge = seen.check().edges[0]
    reason = "called again, the operation does not give the recorded value"
    assert edge.verdict == VerdictShown("inconclusive", None, None, None, reason)


def test_a_check_draws_no_random_numbers_of_the_program():
    mg.manual_seed(0)
    with trace() as seen:
        network()
    expected = copy.deepcopy(mg.default_generator()).random()
    seen.check()
    assert mg.default_generator().random() == expected


def test_what_is_held_for_a_check_is_released_by_it_and_not_copied():
    x = leaf([1.0, 2.0])
    with trace() as seen:
        (x * x).sum().backward()
        with pytest.raises(RuntimeError, match=r"leave the `with trace\(\)` block"):
            seen.check()
    again = pickle.loads(pickle.dumps(seen))
    assert again.to_dict() == seen.to_dict()
    assert said(again.check()) == {}
    assert seen._checkable
    once = seen.check().to_dict()
    assert not seen._checkable
    assert seen.check().to_dict() == once
