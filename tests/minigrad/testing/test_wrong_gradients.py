"""Wrong gradients as people write them: each is found, and the report says what is wrong, where, and by whose fault."""

import os
import re

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad import record, value
from minigrad.testing import GradientError, Verdict, gradcheck, gradient_report

X = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.5]])
SQUARE = np.array([[0.5, -1.25], [1.5, 0.75]])


def operation(rule, forward=np.square, name="mine"):
    """An operation of one tensor with the given rule."""

    def mine(x):
        x = mg.as_tensor(x)
        return record(mine, forward(x.data), (x, lambda grad, out: rule(grad, out, x)))

    mine.__name__ = name
    return mine


def message(f, *inputs, **options):
    """The text of the error, in one line."""
    with pytest.raises(GradientError) as caught:
        gradcheck(f, *inputs, **options)
    assert len(str(caught.value).splitlines()) <= 24
    assert max(map(len, str(caught.value).splitlines())) <= 100
    return " ".join(str(caught.value).split())


# ------------------------------------------------------------------------------------------------ rules of operations


@pytest.mark.parametrize(
    ("rule", "pattern"),
    [
        (lambda grad, out, x: -2 * x * grad, "it has the opposite sign"),
        (lambda grad, out, x: 4 * x * grad, "it is 2 times the right one"),
        (lambda grad, out, x: 2 * x * grad / x.size, "it is 0.166667 times the right one, 1/6, and 6 is"),
        (lambda grad, out, x: 2 * x, "the cotangent is ignored"),
        (lambda grad, out, x: (2 * x * grad)[::-1], "it is in reverse order along axis 0"),
        (lambda grad, out, x: mg.roll(2 * x * grad, 1), "it is permuted"),
        (lambda grad, out, x: 0 * x * grad, "cut off by detach()"),
    ],
)
def test_a_wrong_rule_is_named_with_entry_pattern_operation_and_lines(rule, pattern):
    wrong = operation(rule)
    text = message(lambda x: mg.sin(wrong(x * 2)), X)
    assert "of input 0, shape (2, 3): analytic " in text
    assert "entries disagree" in text or "(0, 0)" in text
    assert pattern in text or wrong.__name__ in text
    assert f"blamed: mine, called at {place(__file__)}" in text
    assert "the gradient for `x` disagrees, rule at" in text
    assert "reproduce: gradcheck(lambda x: mine(x), np.array([[1.0, -2.5, 4.0]," in text


@pytest.mark.parametrize(
    ("rule", "pattern"),
    [
        (lambda grad, out, x: -2 * x * grad, "it has the opposite sign"),
        (lambda grad, out, x: 4 * x * grad, "it is 2 times the right one"),
        (lambda grad, out, x: 2 * x, "the cotangent is ignored"),
        (lambda grad, out, x: mg.roll(2 * x * grad, 1), "it is permuted"),
    ],
)
def test_the_pattern_of_a_wrong_operation_on_its_own_is_recognised(rule, pattern):
    assert pattern in message(operation(rule), X)


def place(file):
    return os.path.relpath(file) if file.startswith(os.getcwd() + os.sep) else file


def test_a_transposed_matmul_rule_is_recognised():
    def product(a, b):
        return record(product, value(a) @ value(b),
                      (a, lambda grad, out: b @ grad.T),
                      (b, lambda grad, out: a.T @ grad))

    text = message(product, SQUARE, SQUARE + 1)
    assert "of input 0, shape (2, 2)" in text
    assert "it is transposed" in text
    assert "blamed: product" in text
    assert "the gradient for `a` disagrees" in text


def test_a_missing_sum_over_a_broadcast_axis_is_recognised():
    def add(x, bias):
        return record(add, value(x) + value(bias), (x, lambda grad, out: grad), (bias, lambda grad, out: grad[0]))

    text = message(add, X, np.array([1.0, 2.0, 3.0]))
    assert "of input 1, shape (3,)" in text
    assert "only entry 0 along output axis 0 counts: a sum over this broadcast axis is missing" in text
    assert "the gradient for `bias` disagrees" in text


def test_duplicates_in_an_index_that_are_counted_once_are_recognised():
    def rows(x, index):
        def rule(grad, out):
            scattered = np.zeros(x.shape)
            scattered[index] = grad.data
            return mg.tensor(scattered)

        return record(rows, value(x)[index], (x, rule))

    text = message(lambda x: rows(x, [0, 0, 1]), X)
    assert "duplicates are counted once" in text
    assert "blamed: rows" in text
    assert "reproduce: gradcheck(lambda x: rows(x, [0, 0, 1]), np.array(" in text


def test_the_whole_gradient_for_each_of_two_tied_elements_is_rejected_and_the_even_split_accepted():
    def largest(x, share):
        tied = (value(x) == value(x).max()).astype(x.dtype)
        return record(largest, value(x).max(), (x, lambda grad, out: grad * (tied / tied.sum() if share else tied)))

    x = np.array([3.0, 1.0, 3.0])
    text = message(lambda x: largest(x, False), x)
    assert "ties share a gradient" in text
    assert "blamed: largest" in text
    assert gradcheck(lambda x: largest(x, True), x).verdicts[Verdict.KINK]
    assert gradcheck(lambda x: x.max(), x).verdicts[Verdict.KINK]
    assert gradcheck(mg.maximum, x, x).verdicts[Verdict.KINK]


@pytest.mark.parametrize("slope", [-1.0, 0.0, 0.5, 1.0])
def test_any_subgradient_of_abs_at_0_is_accepted(slope):
    f = operation(lambda grad, out, x: grad * np.where(x.data == 0, slope, np.sign(x.data)), np.abs)
    assert gradcheck(f, np.array([0.0, 1.0, -2.0])).verdicts[Verdict.KINK]
    assert gradcheck(f, 0.0, every_entry=True).verdicts[Verdict.KINK]


@pytest.mark.parametrize("slope", [-1.1, 1.5])
def test_what_is_no_subgradient_of_abs_at_0_is_rejected(slope):
    f = operation(lambda grad, out, x: grad * np.where(x.data == 0, slope, np.sign(x.data)), np.abs)
    text = message(f, np.array([1.0, 0.0, -2.0]))
    assert "entry (1,) of input 0" in text
    assert "(a kink:" in text


def test_a_gradient_that_is_nan_is_reported_with_its_index_and_never_equal_to_a_value_that_is_nan():
    f = operation(lambda grad, out, x: grad * np.where(x.data == 0.75, np.nan, 2 * x.data))
    text = message(f, X)
    assert "the gradient of input 0 is nan at (1, 1)" in text
    assert "blamed: mine" in text
    both = operation(lambda grad, out, x: grad * np.nan, lambda x: x * np.nan)
    assert "output 0 is nan at (0, 0), and at 5 more places" in message(both, X)


def test_a_slope_that_is_infinite_is_reported():
    assert "inf at (1,)" in message(mg.sqrt, np.array([1.0, 0.0]))


def test_a_rule_that_raises_is_reported_with_its_operation():
    f = operation(lambda grad, out, x: grad[:1, :1, None] * 2)
    text = message(lambda x: f(x).sum(0), X)
    assert "the gradient raises ValueError" in text
    assert "mine, recorded at" in text


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("left", [0, 1e-10, 1e-5, 1e-3])
def test_a_wrong_gradient_is_found_where_the_terms_of_values_cancel(seed, left):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((20, 6))
    a[:, 0] -= a.sum(1) - left * rng.standard_normal(20)  # so that a @ 1 is nearly nothing

    def product(x):
        return record(product, a @ value(x), (x, lambda grad, out: 2 * (mg.tensor(a.T) @ grad)))

    assert gradient_report(product, np.ones(6)).state == "WRONG"


def test_an_input_that_is_cut_off_is_found_although_no_operation_is_to_blame():
    text = message(lambda x: x * x.detach(), X)
    assert "it is 0.5 times the right one" in text
    assert "no single operation" in text


def test_a_rule_right_by_itself_whose_derivative_is_wrong_is_blamed_at_order_2():
    def cube(x):
        x = mg.as_tensor(x)
        return record(cube, x.data**3, (x, lambda grad, out: grad * (3 * x.data**2)))

    assert gradcheck(lambda x: cube(x).sum(), X).ok
    text = message(lambda x: cube(x).sum(), X, order=2)
    assert "the second derivative: entry" in text
    assert "no gradient arrives" in text
    assert "blamed: cube" in text
    assert gradcheck(lambda x: (x**3).sum(), X, order=2).ok


def test_a_rule_that_is_no_tensor_operation_of_the_gradient_is_found_by_the_forward_product():
    f = operation(lambda grad, out, x: mg.tensor(2 * x.data * grad.data))
    assert "jvp and vjp disagree" in message(f, X)


def test_so_it_is_of_a_rule_for_a_parameter():
    class Scaled(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(np.array([0.5, -1.5, 2.0]))

        def forward(self, x):
            x = mg.as_tensor(x)
            return record(self.forward, value(x) * self.weight.data,
                          (x, lambda grad, out: grad * self.weight),
                          (self.weight, lambda grad, out: mg.Tensor(grad.data * x.data)))

    assert "jvp and vjp disagree" in message(Scaled(), X)


def test_one_wrong_entry_of_many_is_found_by_halving():
    x = np.random.default_rng(0).standard_normal((60, 70))
    wrong = np.zeros((60, 70))
    wrong[41, 7] = 1
    f = operation(lambda grad, out, x: grad * (2 * x + wrong))
    text = message(f, x)
    assert "entry (41, 7) of input 0, shape (60, 70)" in text


# ------------------------------------------------------------------------------------------------ structure


def test_gradients_that_share_memory_are_named():
    def gradient(a, b, cotangent):
        total = cotangent * 1
        return total, total

    text = message(lambda a, b: a + b, X, X + 1, gradient=gradient)
    assert "the gradient of input 1 shares memory with the gradient of input 0" in text


def test_an_operation_that_makes_float64_of_float32_is_named():
    def double(x):
        x = mg.as_tensor(x)
        return record(double, x.data * np.float64(2), (x, lambda grad, out: grad * 2))

    text = message(lambda x: double(x + 1), X)
    assert f"double, called at {place(__file__)}" in text
    assert "makes float64 of float32" in text
    assert gradcheck(lambda x: x * np.full((2, 3), 2.0), X).ok  # here float64 is what was asked for


def test_a_rule_that_makes_float64_of_float32_is_named():
    f = operation(lambda grad, out, x: grad * np.full(x.shape, 2.0) * x)
    assert "a gradient rule of mine makes float64 of float32" in message(f, X)


def test_a_function_that_is_not_deterministic_is_told_so():
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5))
    text = message(model, X)
    assert "f is not deterministic" in text
    assert "dropout left on" in text
    assert gradcheck(model.eval(), X).ok


def test_a_parameter_that_is_never_reached_is_named():
    class Model(nn.Module):
        def __init__(self):
            self.first, self.second = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x):
            return self.first(x)

    text = message(Model(), X)
    assert "parameter second.weight (and 1 more) is never reached" in text


def test_a_function_that_writes_into_its_input_is_named():
    def f(x):
        y = x * 1
        x.numpy()[...] = 0
        return y

    assert "f, or its gradient, writes into input 0" in message(f, X)


def test_a_rule_that_writes_into_what_was_saved_is_named():
    def scale(x):
        factor = np.full(x.shape, 2.0)

        def rule(grad, out):
            factor[...] *= 2
            return grad * (factor / 2)

        return record(scale, value(x) * 2, (x, rule))

    text = message(scale, X)
    assert "two backward passes give different gradients of input 0" in text
    assert "the backward pass writes into an array of shape (2, 3) that scale has saved" in text


def writes_and_returns(grad):
    grad.data[...] *= 2
    return grad


def writes_once_it_has_computed(grad):
    result = grad * 2
    grad.data[...] = 0
    return result


@pytest.mark.parametrize("spoiling", [writes_and_returns, writes_once_it_has_computed])
@pytest.mark.parametrize(
    "f",
    [
        lambda double, x: double(x),
        lambda double, x: double(x) * 3,
        lambda double, x: (double(x) + mg.exp(x)) * 2,
        lambda double, x: (mg.exp(x) + double(x)) * 2,
        lambda double, x: double(mg.reshape(double(mg.sin(x)), (3, 2))) * 3,
        lambda double, x: double(x.astype(np.float32)) * 3,
    ],
)
def test_a_rule_that_writes_into_the_cotangent_is_named_wherever_it_stands(f, spoiling):
    double = operation(lambda grad, out, x: spoiling(grad), lambda x: 2 * x)
    text = message(lambda x: f(double, x), X)
    assert "the backward pass writes into the cotangent: the rule of mine at " in text
    assert "blamed: mine" in text or "blamed" not in text


def test_a_rule_whose_write_makes_the_gradient_of_others_wrong_is_blamed():
    double = operation(lambda grad, out, x: writes_and_returns(grad), lambda x: 2 * x)
    text = message(lambda x: (mg.exp(x) + double(x)) * 2, X, checks=())
    assert f"blamed: mine, called at {place(__file__)}" in text
    assert "writes into the gradient that it is given: copy it first" in text


@pytest.mark.parametrize("where_equal", [1.0, np.nan])  # entries along the last axis: there f may be undefined
def test_an_operation_that_depends_on_the_memory_layout_is_named(where_equal):
    def in_memory_order(x):
        return x.ravel("K").reshape(x.shape) * np.where(np.ptp(x, -1, keepdims=True) == 0, where_equal, 1.0)

    f = operation(lambda grad, out, x: grad * 1, in_memory_order)
    assert "the memory layout makes a difference: for Fortran-ordered inputs output 0" in message(f, X)


def is_strided(x):
    return min(map(abs, x.strides)) > x.itemsize


@pytest.mark.parametrize(("layout", "has_it"), [
    ("strided", is_strided),
    ("negative-stride", lambda x: x.strides[-1] < 0),
    ("read-only", lambda x: not x.flags.writeable),
    ("strided, negative-stride and read-only", lambda x: is_strided(x) and x.strides[-1] < 0),
])
def test_the_peculiarity_of_an_array_that_makes_a_difference_is_named(layout, has_it):
    f = operation(lambda grad, out, x: grad * 1, lambda x: x + has_it(x))
    assert f"the memory layout makes a difference: for {layout} inputs output 0" in message(f, X)


def test_layouts_are_compared_where_a_function_has_a_derivative_and_only_there():
    def largest(x):  # the zero-stride copy has ties throughout
        tied = value(x) == value(x).max(-1, keepdims=True)
        share = tied / tied.sum(-1, keepdims=True) * (np.nan if 0 in value(x).strides else 1.0)
        return record(largest, value(x).max(-1), (x, lambda grad, out: mg.expand_dims(grad, -1) * share))

    assert gradcheck(largest, X, checks=["layouts"]).state == "correct"
    smooth = operation(lambda grad, out, x: grad * 2 * x * (np.nan if 0 in x.data.strides else 1.0))
    assert "for zero-stride inputs the gradient of input 0 is nan" in message(smooth, X)


def test_a_rule_that_makes_float32_of_float64_is_named():
    f = operation(lambda grad, out, x: (grad * 2 * x).astype(np.float32))
    assert "a gradient rule of mine makes float32 of float64" in message(f, X)


def test_a_rule_that_closes_over_its_result_is_named():
    def exp(x):
        holder = []
        out = record(exp, np.exp(value(x)), (x, lambda grad, _: grad * holder[0]))
        holder.append(out)
        return out

    assert "a rule of exp closes over its own result" in message(exp, X)


def test_a_gradient_that_is_wrong_only_if_both_inputs_are_one_tensor_is_found():
    def product(a, b):
        if a is b:
            return record(product, value(a) * value(b), (a, lambda grad, out: grad * b))
        return record(product, value(a) * value(b), (a, lambda grad, out: grad * b), (b, lambda grad, out: grad * a))

    assert "one and the same tensor as input 0 and input 1 does not get the sum" in message(product, X, X + 1)


# ------------------------------------------------------------------------------------------------ hand-written ones


def test_a_right_hand_written_gradient_passes():
    assert gradcheck(lambda x, b: np.tanh(x) + b, X, np.ones(3), gradient=right).ok
    assert gradcheck(lambda x: float((x**2).sum()), X, gradient=lambda x: 2 * x).ok
    slopes = lambda w, n: {"a": n * w["a"] ** (n - 1)}  # noqa: E731
    assert gradcheck(lambda w, n: np.sum(w["a"] ** n), {"a": X}, 3, gradient=slopes).ok


def right(x, b, cotangent):
    return cotangent * (1 - np.tanh(x) ** 2), cotangent.sum(0)


def test_a_hand_written_gradient_that_forgets_to_sum_over_a_broadcast_axis_is_told_which():
    text = message(lambda x, b: x + b, X, np.ones(3), gradient=lambda x, b, c: (c.copy(), c.copy()))
    assert "the gradient of input 1 has shape (2, 3) instead of (3,): broadcasting repeated it" in text
    assert "a sum over axis 0 is missing" in text


def test_a_hand_written_gradient_of_another_dtype_or_transposed_shape_is_told_so():
    single = message(lambda x: x * 2, X, gradient=lambda x, c: (2 * c).astype(np.float32))
    assert "the gradient of input 0 has dtype float32" in single
    transposed = message(lambda x: x * 2, X, gradient=lambda x, c: 2 * c.T)
    assert "has shape (3, 2) instead of (2, 3): it is transposed" in transposed


def test_a_hand_written_gradient_that_ignores_the_cotangent_is_told_so_though_it_passes_with_ones():
    text = message(lambda x: np.tanh(x), X, gradient=lambda x, c: 1 - np.tanh(x) ** 2)
    assert "the cotangent is ignored" in text
    assert "is not zero for a cotangent of zeros" in text or "two different ones" in text


def test_a_hand_written_gradient_with_the_opposite_sign_is_recognised():
    text = message(lambda x: float((x**2).sum()), X, gradient=lambda x: -2 * x)
    assert "it has the opposite sign" in text
    assert "6 of 6 entries disagree" in text


# ------------------------------------------------------------------------------------------------ the interface


def test_a_report_can_be_had_without_an_error():
    report = gradient_report(operation(lambda grad, out, x: grad), X)
    assert not report.ok
    assert report.verdicts[Verdict.WRONG] == 3
    assert report.margin > 1


def test_an_unknown_check_and_inputs_without_a_variable_are_refused():
    with pytest.raises(ValueError, match="there is no check \\['layout'\\]: take some of "):
        gradcheck(mg.exp, X, checks=["layout"])
    with pytest.raises(ValueError, match=r"give floating arrays of NumPy, .*, got numpy\.ndarray$"):
        gradcheck(mg.exp, np.arange(3))


def test_a_second_derivative_of_a_hand_written_gradient_is_refused():
    with pytest.raises(ValueError, match="order=2 needs a function of tensors"):
        gradcheck(lambda x: x * 2, X, gradient=lambda x, c: 2 * c, order=2)


def test_the_same_seed_gives_the_same_report():
    wrong = operation(lambda grad, out, x: grad)
    assert str(gradient_report(wrong, X, seed=5)) == str(gradient_report(wrong, X, seed=5))
    assert str(gradient_report(wrong, X, seed=5)) != str(gradient_report(wrong, X, seed=6))


@pytest.mark.parametrize("order", [0, 3, "2"])
def test_an_order_that_is_not_checked_is_refused(order):
    with pytest.raises(ValueError, match="order is 1, or 2 for derivatives of the gradients too, got "):
        gradcheck(mg.exp, X, order=order)


def test_less_than_one_direction_is_refused():
    with pytest.raises(ValueError, match="at least 1 direction to look along, got 0"):
        gradcheck(mg.exp, X, directions=0)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: x.argmax(), "f returned no floating output, but int64: there is nothing to differentiate"),
        (lambda x: (x.numpy() > 0, 3), "f returned no floating output, but bool, int: there is nothing"),
        (lambda x: [], "f returned no floating output, but nothing"),
        (lambda x: None, "f returned None, of type NoneType: return tensors, arrays or numbers"),
        (lambda x: (x.sum(), x.numpy() * 1j), "f returned among others numbers of dtype complex128: return"),
        (lambda x: (x.sum(), None), "f returned among others None, of type NoneType: return tensors"),
        (lambda x: {"loss": x.sum(), "name": "loss"}, "f returned among others 'loss', of type str: return tensors"),
    ],
)
def test_what_cannot_be_differentiated_is_refused_in_a_sentence(f, message):
    with pytest.raises(TypeError, match=message):
        gradcheck(f, X)
    with pytest.raises(TypeError, match=message):
        gradcheck(lambda x: f(mg.tensor(x)), X, gradient=lambda x, *cotangents: x)


def test_integers_beside_floating_outputs_are_left_alone():
    assert gradcheck(lambda x: (x.sum(), 3, x.argmax(), True), X).ok


def test_a_failing_check_of_a_large_model_takes_a_few_hundred_evaluations():
    calls = []

    def wrong(w):
        calls.append(1)
        return record(wrong, np.sin(value(w)), (w, lambda grad, out: grad * mg.cos(w) * 1.01))

    w = np.random.default_rng(0).standard_normal((100, 100))
    for f in (wrong, lambda w: wrong(w).sum(), lambda w: mg.relu(wrong(w)).mean()):
        calls.clear()
        assert not gradient_report(f, w).ok
        assert len(calls) < 650


# ------------------------------------------------------------------------------------------------ the second point


def test_a_rule_that_keeps_something_from_an_earlier_call_is_found_at_a_second_point_and_told_so():
    kept = {}
    f = operation(lambda grad, out, x: grad * kept.setdefault(x.shape, 2 * x.data))
    text = message(f, X)
    assert "at a second point: entry" in text
    assert "does a rule keep something from an earlier call?" in text


def kept_mask(kept):
    return operation(lambda grad, out, x: grad * kept.setdefault(x.shape, x.data > 0), lambda x: np.maximum(x, 0))


def kept_clip(kept):
    def rule(grad, out, x):
        return grad * kept.setdefault(x.shape, np.abs(x.data) < 0.5)

    return operation(rule, lambda x: np.clip(x, -0.5, 0.5))


def kept_argmax(kept):
    def rule(grad, out, x):
        at = kept.setdefault(x.shape, x.data.argmax(-1))
        return mg.expand_dims(grad, -1) * np.eye(x.shape[-1], dtype=x.dtype)[at]

    return operation(rule, lambda x: x.max(-1))


def kept_order(kept):
    def rule(grad, out, x):
        order = kept.setdefault(x.shape, x.data.argsort(axis=None, kind="stable"))
        return grad[np.argsort(order).reshape(x.shape)]

    return operation(rule, lambda x: np.sort(x, axis=None))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(6,), (3, 4), (5, 8)], ids=str)
@pytest.mark.parametrize("made", [kept_mask, kept_clip, kept_argmax, kept_order])
def test_a_kept_mask_or_choice_is_found_at_a_second_point(made, shape, seed):
    x = np.random.default_rng(seed).standard_normal(shape)
    assert "at a second point: " in message(made({}), x, seed=seed)


def test_a_kept_mask_of_two_elements_is_found_whatever_the_seed():
    for seed in range(20):
        assert not gradient_report(kept_mask({}), np.array([1.0, -1.0]), checks=(), seed=seed).ok


def test_a_kept_mask_of_products_is_found():
    for seed in range(10):
        a, b = np.random.default_rng(seed).standard_normal((2, 3, 3))
        for product in (mg.multiply, mg.matmul):
            f = kept_mask({})
            report = gradient_report(lambda a, b, f=f, by=product: f(by(a, b)), a, b, checks=(), seed=seed)
            assert not report.ok


def test_a_kept_choice_among_positive_elements_is_found():
    for seed in range(10):
        x = np.random.default_rng(seed).random((6, 5)) + 0.1
        f = kept_argmax({})
        assert not gradient_report(lambda x, f=f: f(mg.log(x)), x, checks=(), seed=seed).ok


@pytest.mark.parametrize("f", [mg.arccosh, lambda x: mg.log(x - 1), lambda x: mg.sqrt(1.1251 - x) * mg.sqrt(x - 1)])
def test_the_second_point_of_a_function_of_single_elements_is_within_its_domain(f):
    report = gradcheck(f, np.array([1 + 2**-20, 1.125]))
    assert str(report).endswith("is correct (slopes: 3 correct)")


@pytest.mark.parametrize("f", [mg.linalg.inv, lambda a: mg.linalg.cholesky((a + a.T) / 2), mg.linalg.slogdet])
def test_the_second_point_is_near_where_elements_have_their_places(f):
    report = gradcheck(lambda a: f(a) if f is not mg.linalg.slogdet else f(a)[1], np.diag([1.0, 2.0, 3.0]))
    assert report.state == "correct"


def test_a_rule_that_changes_from_call_to_call_is_told_so():
    calls = iter(range(10**6))
    f = operation(lambda grad, out, x: grad * 2 * x * (1 + 1e-6 * next(calls)))
    assert "Does a rule keep something?" in message(f, X) or "two backward passes" in message(f, X)
    assert "jvp and vjp disagree" not in message(f, X)  # which would be said of a rule that is no tensor operation


@pytest.mark.parametrize("f", [mg.arccos, mg.arctanh])
def test_the_second_point_is_within_the_domain(f):
    assert gradcheck(f, np.array([1 - 1e-4, -1 + 1e-4])).state == "correct"


# ------------------------------------------------------------------------------------------------ float32


def wrong_in_single(value_too=False):
    """A sine that has the wrong sign in float32, or whose rule has."""
    return operation(
        lambda grad, out, x: grad * mg.cos(x) * (-1 if x.dtype == np.float32 else 1),
        lambda x: np.sin(x) * (-1 if value_too and x.dtype == np.float32 else 1),
    )


@pytest.mark.parametrize("large", [1.0, 1e4, 1e7, 1e10])
def test_what_is_wrong_in_float32_is_found_beside_what_is_large(large):
    f, g = wrong_in_single(), wrong_in_single(value_too=True)
    said = "float32 does not agree with float64: the gradient of input 0"
    assert said in message(lambda t: f(t).sum() + large, X)
    assert said in message(lambda t, b: f(t).sum() + (b * large).sum(), X, np.ones(2))
    assert said in message(lambda t, b: (f(t), b), X, large * np.ones(2))
    assert "float32 does not agree with float64: output 0" in message(lambda t, b: (g(t), b * large), X, np.ones(2))


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_what_cancels_in_float32_is_not_called_wrong(size):
    def batch_normalised(x, b, axis=0):
        y = x + b
        return (y - y.mean(axis, keepdims=True)) / y.std(axis, keepdims=True)

    def pairs_normalised(x):  # of two elements: always 1 and -1
        return batch_normalised(x[:, :2], 0.0, 1) * size

    def saturated(x):
        return mg.softmax(100 * x)

    for seed in range(8):
        rng = np.random.default_rng(seed)
        x, b = size * rng.standard_normal((6, 3)), size * rng.standard_normal(3)
        for report in (gradient_report(batch_normalised, x, b, checks=["float32"], seed=seed),
                       gradient_report(pairs_normalised, x, checks=["float32"], seed=seed),
                       gradient_report(lambda x, b: (x + 1e3 * b) - 1e3 * b, x, b, checks=["float32"], seed=seed),
                       gradient_report(lambda x, b: saturated(x) * b / size * 1e4, x, b, checks=["float32"], seed=seed),
                       gradient_report(lambda x: 1e4 * mg.logsumexp(x) - 1e4 * x.sum(), x, checks=["float32"])):
            assert not report.problems, str(report)


# ------------------------------------------------------------------------------------------------ undecided


def test_a_gradient_is_called_undecided_where_the_numbers_say_nothing_of_an_entry():
    report = gradcheck(lambda x: x**1.5, np.array([0.0, 1.0, 2.0]))
    assert report.ok
    assert report.state == "undecided"
    assert str(report).startswith("the gradient of <lambda> is undecided (slopes: 2 correct, 1 inconclusive)")
    assert "undecided: entry (0,) of input 0" in str(report)


def test_where_most_is_undecided_the_check_fails_and_does_not_speak_of_a_wrong_gradient():
    with pytest.raises(GradientError) as caught:
        gradcheck(lambda x: x**1.5, np.zeros(2))
    assert caught.value.report.state == "undecided"
    assert "WRONG" not in str(caught.value)


def test_an_undecided_entry_does_not_hide_a_wrong_one():
    f = operation(lambda grad, out, x: grad * np.where(x.data == 2, 2.0, 1.5) * x**0.5, lambda x: x**1.5)
    assert "entry (2,) of input 0" in message(f, np.array([0.0, 1.0, 2.0]))


def test_a_wrong_second_derivative_is_found_at_any_scale():
    def cube(x):
        return record(cube, x.data**3, (x, lambda grad, out: grad * 3 * x.detach() * x))

    for size in (1e-6, 1.0, 1e4):
        assert gradient_report(cube, size * np.array([1.0, 2.0]), order=2).problems


def test_a_wrong_gradient_is_reported_where_the_function_raises_close_by():
    def root(x):
        if np.any(value(x) > 1 + 1e-5):
            raise ValueError("outside")
        return record(root, value(x) ** 2, (x, lambda grad, out: 3 * grad * x))

    report = gradient_report(root, np.array([1.0, 0.5]))
    assert not report.ok
    assert "1.5 times the right one" in str(report)
    assert "root" in str(report)


@pytest.mark.parametrize("seed", range(6))
def test_a_direction_that_is_named_is_one_that_shows_it(seed):
    def largest(x):
        return record(largest, np.abs(value(x)).max(), (x, lambda grad, out: grad * np.array([0.9, -0.9])))

    report = gradient_report(largest, np.zeros(2), seed=seed)
    assert not report.ok
    slopes = re.findall(r"analytic (\S+), numeric (\S+)", str(report))
    assert slopes
    assert all(analytic != numeric for analytic, numeric in slopes)


def test_what_cancels_between_two_outputs_where_two_inputs_are_one_is_found():
    def f(a, b):
        a, b = mg.as_tensor(a), mg.as_tensor(b)
        if a is not b:
            return a * b, a + b
        added = record(f, np.zeros(a.shape), (a, lambda grad, out: grad))
        return a * b + added, a + b - added

    assert "does not get the sum of their gradients" in gradient_report(f, X, X[::-1].copy()).problems[0]


def test_a_wrong_gradient_that_raises_beside_the_point_is_reported():
    def gradient(x):
        if not np.array_equal(x, X):
            raise ValueError("only here")
        return 2.1 * x

    report = gradient_report(lambda x: (x**2).sum(), X, gradient=gradient)
    assert report.state == "WRONG"
