"""Results that lie in memory that is used again: they are right until the next call."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import gradient_report

X = np.array([0.25, 0.5, 1.5])
OVERWRITTEN = "of one call is overwritten by the next: return a new array each time"
memory = np.zeros(3)


def exp_into_memory(x):
    """exp, whose values in float64 lie in one and the same array."""
    x = mg.as_tensor(x)
    out = np.exp(x.data, out=memory if x.dtype == np.float64 and x.shape == memory.shape else None)
    return mg.record(exp_into_memory, out, (x, lambda grad, out: grad * out))


@pytest.mark.parametrize("x", [X, np.zeros(3)], ids=["some", "zeros"])
@pytest.mark.parametrize("order", [1, 2])
def test_values_in_memory_that_is_used_again_are_noticed(x, order):
    assert gradient_report(exp_into_memory, x, order=order).problems[0] == f"output 0 {OVERWRITTEN}"


def test_so_they_are_of_functions_of_arrays():
    report = gradient_report(lambda x: np.sin(x, out=memory), X, gradient=lambda x, cotangent: cotangent * np.cos(x))
    assert report.problems == [f"output 0 {OVERWRITTEN}"]


def test_gradients_in_memory_that_is_used_again_are_noticed_and_the_numbers_are_right():
    report = gradient_report(np.sin, X, gradient=lambda x, cotangent: np.multiply(cotangent, np.cos(x), out=memory))
    assert report.problems == [f"the gradient of input 0 {OVERWRITTEN}"]


def test_what_is_the_same_each_time_may_be_the_same_array():
    report = gradient_report(lambda x: X @ x, np.ones(3), gradient=lambda x: X)
    assert report.state == "correct"
    report = gradient_report(lambda x: (x * 2, X), np.ones(3), gradient=lambda x, first, second: 2 * first)
    assert report.state == "correct"


def exp_whose_rule_writes_into_it(x):
    x = mg.as_tensor(x)

    def rule(grad, out):
        slopes = out.data
        slopes *= grad.data
        return mg.Tensor(slopes)

    return mg.record(exp_whose_rule_writes_into_it, np.exp(x.data), (x, rule))


def test_a_backward_pass_that_writes_into_the_result_is_said_to_do_so_first():
    report = gradient_report(exp_whose_rule_writes_into_it, X)
    assert report.problems[0] == (
        "the backward pass writes into an array of shape (3,) that exp_whose_rule_writes_into_it has saved")
    assert not any("deterministic" in problem for problem in report.problems)


def test_a_call_that_clears_what_the_last_one_returned_is_noticed():
    returned = [np.zeros(3)]

    def f(x):
        returned[0][:] = 0
        returned[0] = np.sin(x)
        return returned[0]

    report = gradient_report(f, X, gradient=lambda x, cotangent: cotangent * np.cos(x))
    assert report.problems == [f"output 0 {OVERWRITTEN}"]


def test_a_result_that_is_a_view_of_memory_that_is_used_again_is_noticed():
    both = np.zeros(6)
    report = gradient_report(
        lambda x: np.sin(x, out=both[:3]), X, gradient=lambda x, cotangent: np.multiply(cotangent, np.cos(x))
    )
    assert report.problems == [f"output 0 {OVERWRITTEN}"]


LOST = "after f was called at another point, the gradient of input 0 is "


def sine_whose_rule_uses_memory(x):
    x = mg.as_tensor(x)
    kept = mg.Tensor(0.0)
    kept._data = np.cos(x.data, out=memory if x.dtype == np.float64 and x.shape == memory.shape else None)
    return mg.record(sine_whose_rule_uses_memory, np.sin(x.data), (x, lambda grad, out: grad * kept))


def test_a_rule_that_uses_memory_which_each_call_writes_into_is_noticed():
    report = gradient_report(sine_whose_rule_uses_memory, X)
    assert len(report.problems) == 1
    assert report.problems[0].startswith(LOST)


def test_so_is_a_gradient_that_uses_what_the_last_call_has_kept():
    class Sine:
        def __call__(self, x):
            self.slopes = np.cos(x)
            return np.sin(x)

        def gradient(self, x, cotangent):
            return cotangent * self.slopes

    sine = Sine()
    report = gradient_report(sine, X, gradient=sine.gradient)
    assert len(report.problems) == 1
    assert report.problems[0].startswith(LOST)


def test_a_gradient_in_memory_that_is_used_again_hides_no_fault_of_a_layout():
    def gradient(x):
        slopes = 3 * x**2 if x.flags.c_contiguous else 3.03 * x**2
        return np.copyto(used, slopes) or used

    used = np.zeros((3, 4))
    x = np.random.default_rng(0).standard_normal((3, 4))
    report = gradient_report(lambda x: (x**3).sum(), x, gradient=gradient, checks=["layouts"])
    assert report.problems[0].startswith("the memory layout makes a difference")


def test_ties_are_a_kink_also_where_gradients_lie_in_memory_that_is_used_again():
    used = np.zeros(4)

    def gradient(x):
        used[:] = 0
        used[np.argsort(x)[-2]] = 1
        return used

    report = gradient_report(lambda x: np.sort(x)[-2], np.array([1.0, 2.0, 2.0, 2.0]), gradient=gradient, checks=())
    assert not report.problems


def test_a_rule_that_writes_into_its_cotangent_makes_no_wrong_slopes():
    def square(x):
        x = mg.as_tensor(x)

        def rule(grad, out):
            grad.data[...] *= 2
            return grad * x

        return mg.record(square, x.data**2, (x, rule))

    report = gradient_report(square, X)
    assert report.problems[0].startswith("the backward pass writes into the cotangent: the rule of square at ")
    assert not any("entry" in problem for problem in report.problems)


def test_a_gradient_that_writes_into_its_cotangent_and_returns_it_differs_from_pass_to_pass():
    report = gradient_report(lambda x: x**2, X, gradient=lambda x, c: np.multiply(c, 2 * x, out=c))
    assert report.problems[:3] == [
        "the backward pass writes into the cotangent: copy it first",
        "the gradient of input 0 shares memory with the cotangent: return a copy",
        "two backward passes give different gradients of input 0: is something that was saved changed?",
    ]
