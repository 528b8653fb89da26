"""Recording, the backward sweep, what it refuses, and what it leaves behind."""

import gc
import pickle
import re
import sys
import threading
import weakref
from collections import deque
from contextlib import contextmanager
from functools import lru_cache, partial
from types import MethodType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
import nn
from minigrad.ops import operations
from minigrad.testing.strategies import calls


def leaf(value, dtype=np.float64):
    return mg.tensor(value, requires_grad=True, dtype=dtype)


def custom(x, rule, data=None):
    """An operation that doubles, with whatever gradient rule a test needs."""
    return mg.record(custom, 2 * x.data if data is None else data, (x, rule))


# ------------------------------------------------------------------------------------------------ shared nodes


def test_a_tensor_used_twice_by_one_operation_gets_both_gradients():
    a = leaf(3.0)
    b = a + a
    c = b + b
    c.backward()
    assert a.grad.item() == 4
    x = leaf([1.0, 2.0])
    (x * x).backward([10.0, 100.0])
    assert x.grad.numpy().tolist() == [20, 400]


def test_a_diamond_with_two_to_the_forty_paths_is_swept_once_an_edge():
    x = leaf(1.0)
    y = x
    for _ in range(40):
        y = y + y
    y.backward()
    assert x.grad.item() == 2**40


def test_a_gradient_is_complete_before_it_is_passed_on_whatever_the_depth_of_the_paths():
    x = leaf(2.0)
    deep = x
    for _ in range(5):
        deep = deep * 1.0
    inner = deep + x  # reached along a long path and a short one
    (inner * inner + inner).backward()
    assert x.grad.item() == 2 * (2 * 4 + 1)


def test_parts_of_the_graph_that_the_result_does_not_depend_on_get_no_gradient():
    x, unused = leaf(1.0), leaf(1.0)
    side = x * unused
    (x * 3).backward()
    assert x.grad.item() == 3
    assert unused.grad is None
    assert side.grad is None


def test_no_rule_is_called_for_an_input_that_requires_no_gradient():
    def refuse(grad, out):
        raise AssertionError("called")

    x, constant = leaf(1.0), mg.tensor(1.0)
    y = mg.record(custom, x.data, (x, lambda grad, out: grad), (constant, refuse), (1.0, refuse))
    y.backward()
    assert x.grad.item() == 1
    assert constant.grad is None


# ------------------------------------------------------------------------------------------------ long chains

STEPS = 100_000


def chain(x):
    for _ in range(STEPS):
        x = x * 1.0
    return x


def test_a_chain_of_a_hundred_thousand_steps_goes_forwards_and_backwards_without_recursion():
    x = leaf(1.5)
    y = chain(x)
    y.backward()
    assert x.grad.item() == 1
    del y


def test_a_chain_of_a_hundred_thousand_steps_is_dropped_without_a_backward_pass():
    x = leaf([1.5])
    y = chain(x)
    first = weakref.ref(y)
    del y
    assert first() is None


def test_a_chain_of_a_hundred_thousand_kept_steps_is_dropped_after_the_backward_pass():
    x = leaf([1.5])
    y = chain(x)
    y.backward(retain_graph=True)
    first = weakref.ref(y)
    del y
    assert first() is None


# ------------------------------------------------------------------------------------------------ freeing


@contextmanager
def reference_counting_alone():
    """The garbage collector is off inside, and finds nothing afterwards."""
    gc.collect()
    gc.disable()
    try:
        yield
        assert gc.collect() == 0, "something was part of a reference cycle"
    finally:
        gc.enable()


def every_kind_of_step(x):
    """A scalar computed from a (3, 4) tensor through most operations, and weak references to all that lies between."""
    y = x @ mg.tensor(np.ones((4, 2))) + np.ones(2)
    steps = [y, mg.exp(y / 10), mg.tanh(y), mg.sqrt(abs(y) + 1), mg.maximum(y, 1.0), mg.where(y.data > 0, y, 2 * y)]
    both = mg.concatenate([*steps, mg.stack([y, y])[0]], axis=1)
    z = (both[:, ::2].T ** 2).mean(axis=0) + both.max(axis=1) - both.logsumexp(axis=1)
    result = z.sum()
    return result, [weakref.ref(t) for t in (*steps, both, z)]


def test_a_graph_dropped_before_the_backward_pass_is_freed_by_reference_counting_alone():
    with reference_counting_alone():
        x = leaf(np.arange(12.0).reshape(3, 4))
        y, inner = every_kind_of_step(x)
        assert all(ref() is not None for ref in (inner[0], inner[-2], inner[-1]))
        del y
        assert all(ref() is None for ref in inner)


def test_the_backward_pass_frees_the_graph_while_its_result_is_still_held():
    with reference_counting_alone():
        x = leaf(np.arange(12.0).reshape(3, 4))
        y, inner = every_kind_of_step(x)
        y.backward()
        assert all(ref() is None for ref in inner)
        assert x.grad.shape == x.shape


def test_a_retained_graph_is_freed_with_its_last_tensor():
    with reference_counting_alone():
        x = leaf(np.arange(12.0).reshape(3, 4))
        y, inner = every_kind_of_step(x)
        y.backward(retain_graph=True)
        assert all(ref() is not None for ref in (inner[0], inner[-2], inner[-1]))
        del y
        assert all(ref() is None for ref in inner)


def test_a_recorded_backward_pass_is_freed_with_its_gradients():
    with reference_counting_alone():
        x = leaf(np.arange(12.0).reshape(3, 4))
        y, inner = every_kind_of_step(x)
        y.backward(create_graph=True)
        inner.append(weakref.ref(x.grad))
        y = x.grad = None
        assert all(ref() is None for ref in inner)


def test_a_graph_is_freed_by_reference_counting_alone_after_an_exception_in_a_rule():
    with reference_counting_alone():
        x = leaf([1.0, 2.0])
        inner = x * 2
        y = custom(inner, lambda grad, out: undefined).sum()  # noqa: F821
        refs = [weakref.ref(inner), weakref.ref(y)]
        try:
            y.backward()
        except NameError:
            failed = True
        assert failed
        assert x.grad is None
        del inner, y
        assert [ref() for ref in refs] == [None, None]


# ------------------------------------------------------------------------------------------------ several passes


def test_gradients_of_leaves_accumulate_across_calls():
    x = leaf([1.0, 2.0])
    for n in (1, 2, 3):
        (x * 5).sum().backward()
        assert x.grad.numpy().tolist() == [5.0 * n] * 2
    x.grad = None
    (x * 5).sum().backward()
    assert x.grad.numpy().tolist() == [5, 5]


def test_an_earlier_gradient_that_somebody_kept_is_not_changed_by_accumulation():
    x = leaf([1.0, 2.0])
    x.sum().backward()
    kept = x.grad
    x.sum().backward()
    assert kept.numpy().tolist() == [1, 1]
    assert x.grad.numpy().tolist() == [2, 2]


def test_retain_graph_allows_another_pass_through_the_same_graph():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 12
    with pytest.raises(RuntimeError, match="was freed"):
        y.backward()


def test_a_leaf_can_be_the_root_itself():
    x = leaf([1.0, 2.0])
    x.backward([3.0, 4.0])
    x.backward([3.0, 4.0])
    assert x.grad.numpy().tolist() == [6, 8]


def test_retain_grad_keeps_the_gradient_of_an_inner_tensor():
    x = leaf([1.0, 2.0])
    y = x * 3
    z = y * y
    y.retain_grad()
    z.backward([1.0, 10.0], retain_graph=True)
    assert y.retains_grad
    assert y.grad.numpy().tolist() == [6, 120]
    assert z.grad is None
    z.backward([1.0, 10.0])
    assert y.grad.numpy().tolist() == [6, 120], "an inner gradient is that of the last pass"
    assert x.grad.numpy().tolist() == [36, 720]


def test_retain_grad_works_on_the_root_and_changes_nothing_on_a_leaf():
    x = leaf(2.0)
    x.retain_grad()
    y = x * 3
    y.retain_grad()
    y.backward()
    assert (y.grad.item(), x.grad.item(), x.retains_grad) == (1, 3, False)


def test_retain_grad_is_refused_where_no_gradient_flows():
    with pytest.raises(RuntimeError, match="cannot retain the gradient of a tensor that does not require one"):
        mg.tensor(1.0).retain_grad()


def test_create_graph_makes_gradients_differentiable_to_any_order():
    x = leaf(2.0)
    y = x * x * x * x
    expected = [4 * 2**3, 12 * 2**2, 24 * 2, 24]
    for derivative in expected:
        x.grad = None
        y.backward(create_graph=True)
        y = x.grad
        assert y.item() == derivative
    assert not leaf(1.0).grad


def test_create_graph_keeps_the_graph_and_works_under_no_grad():
    x = leaf(3.0)
    y = x * x
    with mg.no_grad():
        y.backward(create_graph=True)
    assert x.grad.requires_grad
    y.backward()
    assert x.grad.item() == 12


def test_an_ordinary_backward_pass_records_nothing():
    x = leaf(3.0)
    y = x * x
    y.backward()
    assert not x.grad.requires_grad
    assert x.grad.is_leaf


def test_an_exception_in_a_rule_leaves_the_gradients_of_leaves_as_they_were():
    x = leaf(3.0)
    x.backward()
    y = x * 2 + custom(x, lambda grad, out: None)
    with pytest.raises(TypeError):
        y.backward()
    assert x.grad.item() == 1


# ------------------------------------------------------------------------------------------------ the freed graph


def test_a_second_backward_names_the_file_and_line_of_the_call_that_freed_the_graph():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    line = sys._getframe().f_lineno + 1
    y.backward()
    with pytest.raises(RuntimeError) as error:
        y.backward()
    assert str(error.value) == (
        "the graph behind this tensor of shape (), made by sum, was freed by backward() at "
        f"{__file__}:{line}: pass retain_graph=True there to go through it again"
    )


def test_a_new_graph_built_on_a_freed_one_names_the_freed_tensor_and_the_line():
    x = leaf([1.0, 2.0])
    y = x * x
    line = sys._getframe().f_lineno + 1
    y.sum().backward()
    with pytest.raises(RuntimeError, match=r"this tensor of shape \(2,\), made by multiply, was freed") as error:
        y.mean().backward()
    assert f"{__file__}:{line}" in str(error.value)
    assert x.grad.numpy().tolist() == [2, 4]


def test_the_line_named_lies_outside_of_the_engine_even_if_the_engine_made_the_call():
    x = leaf(1.0)
    y = x * x
    source = "def run(y):\n    y.backward()\n"
    inside = {"__name__": "minigrad.somewhere"}
    exec(compile(source, "somewhere.py", "exec"), inside)
    line = sys._getframe().f_lineno + 1
    inside["run"](y)
    with pytest.raises(RuntimeError) as error:
        y.backward()
    assert f"{__file__}:{line}:" in str(error.value)


def test_values_of_a_freed_graph_can_still_be_read_and_detached():
    y = leaf([1.0, 2.0]) * 2
    y.sum().backward()
    assert y.numpy().tolist() == [2, 4]
    assert not y.is_leaf
    assert (y.detach() + 1).numpy().tolist() == [3, 5]


# ------------------------------------------------------------------------------------------------ the given gradient


def test_backward_needs_a_gradient_unless_the_tensor_has_a_single_element():
    x = leaf([[1.0, 2.0]])
    with pytest.raises(RuntimeError, match=r"tensor of shape \(1, 2\) needs the gradient.*\.sum\(\)"):
        (x * 2).backward()
    for single in (leaf(1.0), leaf([1.0]), leaf([[[1.0]]])):
        (single * 2).backward()
        assert single.grad.shape == single.shape
        assert single.grad.item() == 2
    with pytest.raises(RuntimeError, match=r"shape \(0,\) needs the gradient"):
        leaf(np.zeros(0)).backward()


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 2), (2, 1)])
def test_a_gradient_of_another_shape_is_refused_even_if_it_could_be_broadcast(shape):
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match="the gradient has shape"):
        (x * 2).backward(np.ones(shape))
    assert x.grad is None


@pytest.mark.parametrize("gradient", ["ab", 1j, [None, None], np.array([1, 2], dtype=object)])
def test_a_gradient_that_is_not_numeric_is_refused(gradient):
    with pytest.raises(TypeError, match="booleans, integers or reals"):
        (leaf([1.0, 2.0]) * 2).backward(gradient)


@pytest.mark.parametrize("gradient", [[1, 2], np.array([1, 2]), np.array([1, 2], np.float32), mg.tensor([1, 2])])
def test_a_gradient_may_be_anything_numeric_and_is_cast_to_the_dtype_of_the_tensor(gradient):
    x = leaf([1.0, 2.0])
    y = x * 3
    y.retain_grad()
    y.backward(gradient)
    assert (y.grad.dtype, x.grad.dtype) == (np.float64, np.float64)
    assert x.grad.numpy().tolist() == [3, 6]


def test_backward_from_a_tensor_without_graph_says_why():
    with mg.no_grad():
        unrecorded = leaf(1.0) * 2
    for y in (mg.tensor(1.0), mg.tensor(1), unrecorded, leaf(1.0).detach()):
        with pytest.raises(RuntimeError, match="requires no gradient: no input does"):
            y.backward()


# ------------------------------------------------------------------------------------------------ rules that break


def test_a_rule_that_returns_the_wrong_shape_is_named_with_the_shapes():
    x = leaf([[1.0, 2.0, 3.0]])
    for wrong in (np.ones(2), np.ones((2, 2)), 1.0, np.ones((1, 3, 1)), np.ones(0)):
        with pytest.raises(ValueError, match=r"returned shape .* for an input of shape \(1, 3\)") as error:
            custom(x, lambda grad, out, wrong=wrong: mg.tensor(wrong)).sum().backward()
        (note,) = error.value.__notes__
        assert "custom" in note
        assert "result has shape (1, 3)" in note
        assert "input of shape (1, 3)" in note


@pytest.mark.parametrize("returned", [None, 1.0, np.ones(2), "gradient"])
def test_a_rule_that_returns_no_tensor_is_named_with_the_shapes(returned):
    x = leaf([1.0, 2.0])
    y = custom(x, lambda grad, out: returned)
    with pytest.raises(TypeError) as error:
        y.sum().backward()
    assert str(error.value) == f"a gradient rule returned {type(returned).__name__}, not a tensor"
    assert error.value.__notes__ == [
        "while computing the gradient that custom, whose result has shape (2,), passes back to an input of shape (2,)"
    ]


def test_an_exception_in_a_rule_keeps_its_type_and_gets_a_note_with_the_operation_and_the_shapes():
    def rule(grad, out):
        raise KeyError("from the rule")

    x = leaf([1.0, 2.0])
    y = custom(x, rule, data=np.ones((3, 1)))
    with pytest.raises(KeyError, match="from the rule") as error:
        y.sum().backward()
    assert error.value.__notes__ == [
        "while computing the gradient that custom, whose result has shape (3, 1), passes back to an input of shape (2,)"
    ]
    assert mg.is_grad_enabled()


# ------------------------------------------------------------------------------------------------ shape and dtype


@given(st.data())
def test_the_sweep_sums_a_gradient_over_whatever_broadcasting_repeated(data):
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=4, max_side=3, min_side=0))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    tensors = [leaf(np.zeros(shape)) for shape in shapes.input_shapes]
    y = mg.record(custom, np.zeros(shapes.result_shape), *[(x, lambda grad, out: grad) for x in tensors])
    cotangent = rng.standard_normal(y.shape)
    y.backward(cotangent)
    for x in tensors:
        position = np.broadcast_to(np.arange(x.size).reshape(x.shape), y.shape)
        expected = np.zeros(x.size)
        np.add.at(expected, position.ravel(), cotangent.ravel())
        np.testing.assert_allclose(x.grad.numpy(), expected.reshape(x.shape), rtol=1e-12, atol=1e-12, strict=True)


@pytest.mark.parametrize(("dtype", "times"), [(np.float16, 20_000), (np.float32, 10**6)])
def test_a_gradient_loses_no_digits_however_often_an_input_was_repeated(dtype, times):
    x, each = leaf([0.0, 0.0], dtype), dtype(0.1)
    (x * np.full((times, 2), each)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.full(2, float(each) * times), rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_a_gradient_has_the_dtype_of_its_tensor_whatever_the_graph_computes_in(dtype):
    x = leaf([1.0, 2.0], dtype)
    scalar = leaf(3.0, dtype)
    y = x * scalar * mg.tensor([1.0, 2.0], dtype=np.float64) + mg.tensor([1.0, 2.0], dtype=np.float32)
    y.retain_grad()
    y.sum().backward()
    assert x.grad.dtype == scalar.grad.dtype == dtype
    assert y.grad.dtype == y.dtype == np.result_type(dtype, np.float64)


def test_contributions_of_several_dtypes_add_up_in_the_dtype_of_the_tensor():
    x = leaf([1.0, 2.0], np.float32)
    (x * 2 + x * np.array([1.0, 3.0]) + x.astype(np.float64)).sum().backward()
    assert x.grad.dtype == np.float32
    assert x.grad.numpy().tolist() == [4, 6]


# ------------------------------------------------------------------------------------------------ memory


def share_memory(tensors):
    arrays = [t.numpy() for t in tensors]
    return any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


def test_no_two_gradients_share_memory_with_each_other_or_with_the_seed():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    seed = mg.tensor([1.0, 1.0])
    inner = x + y  # passes the same gradient to both
    z = inner + mg.tensor([0.0, 0.0])
    for t in (inner, z):
        t.retain_grad()
    z.backward(seed)
    assert not share_memory([x.grad, y.grad, inner.grad, z.grad, seed])


def test_no_gradient_is_a_view_of_another_through_reshape_transpose_or_indexing():
    x, y, z = leaf(np.ones((2, 3))), leaf(np.ones((3, 2))), leaf(np.ones(6))
    total = x.T.reshape(-1) + y.reshape(6) + z[::-1].reshape(3, 2).T.reshape(-1)
    total.retain_grad()
    seed = np.arange(6.0)
    total.backward(seed)
    grads = [x.grad, y.grad, z.grad, total.grad, mg.as_tensor(seed)]
    assert not share_memory(grads)
    assert all(grad.numpy().flags.writeable for grad in grads)


def test_gradients_of_broadcast_inputs_can_be_written_to_element_by_element():
    x = leaf(np.ones((2, 3)))
    x.sum().backward()
    x.grad.data[0, 0] = 7
    assert x.grad.numpy().tolist() == [[7, 1, 1], [1, 1, 1]]


def test_gradients_kept_over_two_passes_do_not_share_memory():
    x = leaf([1.0, 2.0])
    y = +x
    y.retain_grad()
    y.sum().backward(retain_graph=True)
    kept = [x.grad, y.grad]
    x.grad = None
    y.sum().backward()
    assert not share_memory([*kept, x.grad, y.grad])


def test_the_given_gradient_is_not_changed_by_accumulation_into_it():
    x = leaf([1.0, 2.0])
    seed = np.array([1.0, 10.0])
    y = x + x + x
    y.backward(seed)
    x.backward(seed)
    assert seed.tolist() == [1, 10]
    assert x.grad.numpy().tolist() == [4, 40]


# ------------------------------------------------------------------------------------------------ updates in place


def updated_by_data(x):
    x.data -= 1


def updated_by_new_data(x):
    x.data = x.data - 1


def updated_under_no_grad(x):
    with mg.no_grad():
        x -= 1


every_update = pytest.mark.parametrize("update", [updated_by_data, updated_by_new_data, updated_under_no_grad])


@every_update
def test_an_update_of_a_value_that_a_rule_needs_is_refused_by_the_backward_pass(update):
    w, x = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = (w * x).sum()
    update(w)
    with pytest.raises(RuntimeError) as error:
        y.backward()
    assert str(error.value) == (
        "a tensor of shape (2,) was updated in place after multiply used it, "
        "and the backward pass needs its old value: call backward() before the update"
    )
    assert w.grad is None


@every_update
def test_an_update_of_a_value_that_no_rule_needs_is_none_of_the_backward_passs_business(update):
    w, x = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = (w + x - w).sum() + (w * 2).sum() + (w * np.array([1.0, 3.0])).sum()
    update(w)
    y.backward()
    assert w.grad.numpy().tolist() == [3, 5]
    assert x.grad.numpy().tolist() == [1, 1]


def test_an_update_is_noticed_in_a_tensor_that_a_rule_keeps_in_a_list_or_by_way_of_a_helper_function():
    w = leaf([1.0, 2.0])

    def weights():
        return [w]

    def again():
        return [again, *weights()]

    pair = (1.0, [w])
    for rule in (lambda grad, out: grad * weights()[0], lambda grad, out: grad * again()[1],
                 lambda grad, out: grad * pair[1][0]):
        y = custom(w, rule).sum()
        w.data += 1
        with pytest.raises(RuntimeError, match="updated in place after custom used it"):
            y.backward()


def test_work_that_rules_share_and_keep_for_another_pass_is_not_mistaken_for_an_update():
    w = leaf([1.0, 2.0])
    kept = []

    def rule(grad, out):
        if not kept:
            kept.append(w.detach() * grad)
        return kept[0]

    y = custom(w * w, rule).sum()
    y.backward(create_graph=True)
    leaf(1.0).data += 1
    y.backward()


class Scale:
    """Rules as methods, and as an object that is called."""

    def __init__(self, w):
        self.w = w

    def method(self, grad, out):
        return grad * self.w

    def __call__(self, grad, out):
        return grad * self.w


class SlottedScale:
    __slots__ = ("w",)

    def __init__(self, w):
        self.w = w

    def __call__(self, grad, out):
        return grad * self.w


def generated(w):
    while True:
        yield w


held_globally = mg.tensor([3.0, 4.0])

WAYS_TO_HOLD = {
    "closure": lambda w: lambda grad, out: grad * w,
    "partial": lambda w: partial(lambda w, grad, out: grad * w, w),
    "partial by name": lambda w: partial(lambda grad, out, w: grad * w, w=w),
    "bound method": lambda w: Scale(w).method,
    "method of the value": lambda w: MethodType(lambda w, grad, out: grad * w, w),
    "callable object": Scale,
    "callable object with slots": SlottedScale,
    "default": lambda w: lambda grad, out, w=w: grad * w,
    "default by name": lambda w: lambda grad, out, *, w=w: grad * w,
    "dict": lambda w: partial(lambda held, grad, out: grad * held["of"][0]["w"], {"of": [{"w": w}]}),
    "deque": lambda w: partial(lambda held, grad, out: grad * held[0], deque([w])),
    "array of objects": lambda w: partial(lambda held, grad, out: grad * held[0], object_array(w)),
    "generator": lambda w: partial(lambda held, grad, out: grad * next(held), started(generated(w))),
    "cache": lambda w: partial(lambda held, grad, out: grad * held(), lru_cache(lambda: w)),
    "function of a function": lambda w: (lambda inner: lambda grad, out: inner(grad))(lambda grad: grad * w),
}


def object_array(w):
    held = np.empty(1, object)
    held[0] = w
    return held


def started(generator):
    next(generator)
    return generator


@pytest.mark.parametrize("kept", ["tensor", "array", "view", "detached"])
@pytest.mark.parametrize("way", WAYS_TO_HOLD)
@every_update
def test_an_update_is_noticed_however_a_rule_holds_the_value(way, kept, update):
    w = leaf([3.0, 4.0])
    holding = {"tensor": w, "array": w.data, "view": w.data[::-1], "detached": w.detach()}[kept]
    x = leaf([1.0, 2.0])
    y, truth = (custom(x, WAYS_TO_HOLD[way](holding)) for _ in range(2))
    truth.sum().backward()
    expected = x.grad.numpy().copy()
    x.grad = None
    update(w)
    if kept != "tensor" and update is updated_by_new_data:  # the rule has the old array, which nobody changed
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), expected)
    else:
        with pytest.raises(RuntimeError, match=r"shape \(2,\) was updated in place after custom used it"):
            y.sum().backward()


@pytest.mark.parametrize("rule", [lambda grad, out: grad * held_globally, lambda grad, out: grad * global_value(),
                                  lambda grad, out: (lambda: grad * held_globally)()])
def test_an_update_of_a_global_tensor_that_a_rule_names_is_noticed(rule):
    y = custom(leaf([1.0, 2.0]), rule).sum()
    held_globally.data -= 1
    with pytest.raises(RuntimeError, match="updated in place after custom used it"):
        y.backward()


def global_value():
    return held_globally


@pytest.mark.parametrize("view", [lambda w: w.detach(), lambda w: w[::-1].detach(), lambda w: w.detach()[:1]])
def test_an_update_of_a_view_is_an_update_of_what_it_is_a_view_of(view):
    w, x = leaf([3.0, 4.0]), leaf([1.0, 2.0])
    y = (w * x).sum()
    view(w).data -= 1  # the view is gone after this line
    with pytest.raises(RuntimeError, match=r"shape \(2,\) was updated in place after multiply used it"):
        y.backward()


def test_an_update_of_other_memory_is_none_of_the_rules_business():
    w, other, x = leaf([3.0, 4.0]), leaf([3.0, 4.0]), leaf([1.0, 2.0])
    y = (w * x).sum()
    other.data -= 1
    w.data = w.data - 1  # a rule that holds `w` sees the new value
    with pytest.raises(RuntimeError, match="updated in place"):
        y.backward(retain_graph=True)
    z = custom(x, partial(lambda kept, grad, out: grad * kept, other.detach())).sum()
    other.data = other.data - 1  # a rule that holds the array has the old one
    z.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2, 3])


def test_an_update_before_the_forward_pass_or_after_the_backward_pass_is_fine():
    w = leaf([1.0, 2.0])
    for _ in range(3):
        w.grad = None
        (w * w).sum().backward()
        w.data -= 0.5 * w.grad.data
    assert w.numpy().tolist() == [0, 0]


def test_an_update_of_a_constant_that_a_rule_needs_is_refused_too():
    w, constant = leaf([1.0, 2.0]), mg.tensor([3.0, 4.0])
    y = (w * constant).sum()
    constant[0] = 7
    with pytest.raises(RuntimeError, match="updated in place after multiply used it"):
        y.backward()


def test_a_graph_recorded_after_an_update_is_unaffected_while_an_older_one_is_refused():
    w = leaf(2.0)
    old = w * w
    w.data = 5.0
    new = w * w
    new.backward()
    assert w.grad.item() == 10
    with pytest.raises(RuntimeError, match="updated in place"):
        old.backward()


@pytest.mark.parametrize(
    "operation",
    [op for op in operations.values() if op.owner == "minigrad" and op.kind != "step"],
    ids=lambda operation: operation.name,
)
@given(data=st.data())
def test_no_operation_ever_uses_an_updated_value_silently(operation, data):
    call = data.draw(calls(operation))

    def gradients(update):
        tensors = [leaf(x) for x in call.inputs]
        y = call(*tensors)
        update(y, tensors)
        y.backward(np.arange(1.0, y.size + 1).reshape(y.shape))
        return [None if x.grad is None else x.grad.numpy() for x in tensors]

    def input_updated(position):
        def update(y, tensors):
            tensors[position].data = tensors[position].data * 0.5 + 0.25

        return update

    def result_updated(y, tensors):
        if y.numpy().flags.writeable:
            y.detach()[...] = y.data * 0.5 + 0.25

    expected = gradients(lambda y, tensors: None)
    for updated in (result_updated, *map(input_updated, range(len(call.inputs)))):
        try:
            found = gradients(updated)
        except RuntimeError:
            continue
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def looks_up_in_a_closure(grad, out):
    return next(grad * o for o in (out,) for _ in [lambda: out])


READ_THEIR_RESULT = [
    lambda grad, out: grad * out, lambda grad, out: out * out.shape[0] * grad, lambda grad, out: (lambda: grad * out)(),
    lambda grad, out: grad * (out.shape and out.sum()), lambda *given: given[0] * given[1], looks_up_in_a_closure,
    partial(lambda factor, grad, out: factor * grad * out, 2.0), MethodType(lambda self, grad, out: grad * out, "self"),
]
DO_NOT = [
    lambda grad, out: grad * 2.0, lambda grad, out: grad * np.ones(out.shape), lambda grad, out: grad.astype(out.dtype),
    lambda grad, result: grad * float(result.size * result.ndim),
]


@pytest.mark.parametrize("rule", READ_THEIR_RESULT)
@pytest.mark.parametrize("view", [lambda y: y.detach(), lambda y: y[1:].detach(), lambda y: y.reshape(2, 1).detach()])
def test_an_update_of_a_result_through_a_view_is_refused_if_a_rule_looks_at_the_result(rule, view):
    y = mg.record(custom, np.array([1.0, 2.0]), (leaf([3.0, 4.0]), rule))
    view(y)[-1] = 5.0
    with pytest.raises(RuntimeError, match=r"shape \(2,\) was updated in place after custom computed it"):
        y.sum().backward()


@pytest.mark.parametrize("rule", DO_NOT)
def test_an_update_of_a_result_is_none_of_the_business_of_a_rule_that_looks_at_its_shape_at_most(rule):
    x = leaf([3.0, 4.0])
    y = mg.record(custom, np.array([1.0, 2.0]), (x, rule))
    y.detach()[-1] = 5.0
    y.sum().backward()
    assert x.grad.shape == (2,)


def test_an_update_of_a_result_is_noticed_in_the_middle_of_a_graph_and_below_a_checkpoint():
    for f in (mg.exp, mg.sqrt, mg.checkpoint(mg.exp)):
        y = f(leaf([1.0, 2.0]))
        z = (y + 1.0).sum()
        y.detach()[0] = 5.0
        with pytest.raises(RuntimeError, match=r"shape \(2,\) was updated in place after"):
            z.backward()


# ------------------------------------------------------------------------------------------------ grad modes


def recorded():
    return (leaf(1.0) * 2).requires_grad


def test_no_grad_and_enable_grad_nest_and_restore_as_context_managers():
    assert recorded()
    with mg.no_grad():
        assert not recorded()
        with mg.enable_grad():
            assert recorded()
            with mg.no_grad():
                assert not recorded()
            assert recorded()
        assert not recorded()
        assert not mg.is_grad_enabled()
    assert recorded()
    assert mg.is_grad_enabled()


def test_results_under_no_grad_are_plain_leaves_that_remember_nothing():
    x = leaf([1.0, 2.0])
    with mg.no_grad():
        y = x * 2
        made_inside = leaf(1.0)
    assert y.is_leaf
    assert not y.requires_grad
    assert repr(y) == "tensor([2., 4.], dtype=float64)"
    assert made_inside.requires_grad, "leaves are what they are asked to be"


def test_grad_modes_work_as_decorators_also_of_recursive_functions():
    @mg.no_grad()
    def depth(n):
        """Recorded at each level on the way down."""
        return [recorded()] + (depth(n - 1) if n else [])

    @mg.enable_grad()
    def enabled(argument, *, option):
        return recorded(), argument, option

    assert depth(3) == [False] * 4
    assert depth.__name__ == "depth"
    assert recorded()
    with mg.no_grad():
        assert enabled(1, option=2) == (True, 1, 2)
        assert not recorded()


def test_one_context_can_be_entered_again_while_it_is_active():
    mode = mg.no_grad()
    with mode:
        with mg.enable_grad(), mode:
            assert not recorded()
        assert not recorded()
    assert recorded()
    with mode:
        assert not recorded()
    assert recorded()


def test_grad_modes_are_restored_when_an_exception_passes():
    @mg.no_grad()
    def fail():
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            fail()
        with pytest.raises(KeyError), mg.no_grad(), mg.enable_grad():
            raise KeyError
        assert recorded()


def generator(*_):
    yield recorded()


async def coroutine(*_):
    return recorded()


async def asynchronous(*_):
    yield recorded()


class Object:
    __call__ = generator
    method = coroutine


@pytest.mark.parametrize("mode", [mg.no_grad, mg.enable_grad, mg.detect_anomaly])
@pytest.mark.parametrize(("f", "called"), [
    (generator, "generator"), (coroutine, "coroutine"), (asynchronous, "asynchronous"), (Object(), "Object"),
    (Object().method, "coroutine"), (staticmethod(generator), "generator"),
    (partial(partial(generator, 1), 2), "partial"), (partial(Object()), "partial"),
])
def test_a_function_that_is_not_over_when_it_returns_is_not_decorated(f, called, mode):
    name = mode.__name__
    sentence = f"{name}() would end before {called}() does anything: write `with {name}():` inside it"
    with pytest.raises(TypeError, match=re.escape(sentence)):
        mode()(f)


@pytest.mark.parametrize("make", [partial, staticmethod, lambda f: type("Object", (), {"__call__": f})()])
def test_whatever_is_over_when_it_returns_is_decorated(make):
    assert mg.no_grad()(make(lambda *_: recorded()))() is False


def test_a_generator_suspended_inside_a_context_leaves_its_mode_to_the_consumer_until_it_is_resumed():
    def inside():
        with mg.no_grad():
            yield recorded()

    generator = inside()
    assert next(generator) is False
    assert not recorded()
    generator.close()
    assert recorded()


def test_the_grad_mode_of_a_thread_is_its_own():
    inside, checked = threading.Event(), threading.Event()
    seen = []

    def work():
        seen.append(recorded())  # a new thread records, whatever the thread that started it does
        with mg.no_grad():
            inside.set()
            checked.wait(60)
            seen.append(recorded())

    thread = threading.Thread(target=work)
    with mg.no_grad():
        thread.start()
    assert inside.wait(60)
    assert recorded()
    checked.set()
    thread.join()
    assert seen == [True, False]


@pytest.mark.parametrize("decorated", [False, True])
def test_threads_share_one_context_without_exchanging_their_grad_modes(decorated):
    shared, entered, left = mg.no_grad(), threading.Event(), threading.Event()
    seen = []

    def work():
        with mg.no_grad():
            with shared:
                entered.set()
                assert left.wait(10)
            seen.append(recorded())

    def enter():
        thread.start()
        assert entered.wait(10)

    thread = threading.Thread(target=work)
    if decorated:
        shared(enter)()
    else:
        with shared:
            enter()
    assert recorded()
    left.set()
    thread.join()
    assert seen == [False]


def test_threads_sweep_graphs_of_their_own_at_the_same_time():
    start = threading.Barrier(4)
    found = {}

    def work(n):
        start.wait(60)
        x = leaf([float(n)])
        for _ in range(20):
            x.grad = None
            y = x
            for _ in range(50):
                y = y + x
            (y * y).backward()
            x.data += 0.0
        found[n] = x.grad.item()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: 2 * 51 * 51 * n for n in range(4)}


# ------------------------------------------------------------------------------------------------ random programs


class Node:
    """Reverse mode as naive as it gets: every path from the result to a node is walked by itself.

    `magnitude` is the gradient with every term counted positively: what rounding errors are relative to.
    """

    def __init__(self, value, *parents):
        self.value = np.asarray(value)
        self.parents = parents
        self.grad = self.magnitude = np.zeros(self.value.shape)

    def push(self, grad, magnitude):
        self.grad, self.magnitude = self.grad + grad, self.magnitude + magnitude
        for parent, rule in self.parents:
            shape = parent.value.shape
            parent.push(summed_to(rule(grad), shape), summed_to(np.abs(rule(magnitude)), shape))


def summed_to(array, shape):
    """`array` summed along the axes that broadcasting added to `shape` or stretched."""
    while array.ndim > len(shape):
        array = array.sum(0)
    for axis, n in enumerate(shape):
        if n == 1:
            array = array.sum(axis, keepdims=True)
    return array


UNARY = {
    "negative": (lambda a: -a, lambda a: Node(-a.value, (a, lambda g: -g))),
    "tanh": (lambda a: a.tanh(), lambda a: Node(np.tanh(a.value), (a, lambda g: g * (1 - np.tanh(a.value) ** 2)))),
    "sum": (lambda a: a.sum(), lambda a: Node(a.value.sum(), (a, lambda g: g * np.ones(a.value.shape)))),
    "reverse": (lambda a: a.reshape(-1)[::-1].reshape(a.shape),
                lambda a: Node(np.flip(a.value), (a, lambda g: np.flip(g)))),
    "detach": (lambda a: a.detach(), lambda a: Node(a.value)),
}
BINARY = {
    "add": (lambda a, b: a + b, lambda a, b: Node(a.value + b.value, (a, lambda g: g), (b, lambda g: g))),
    "subtract": (lambda a, b: a - b, lambda a, b: Node(a.value - b.value, (a, lambda g: g), (b, lambda g: -g))),
    "multiply": (lambda a, b: a * b,
                 lambda a, b: Node(a.value * b.value, (a, lambda g: g * b.value), (b, lambda g: g * a.value))),
}

leaves = st.tuples(st.sampled_from([(), (3,), (2, 1), (1, 3), (2, 3)]), st.booleans())
earlier = st.integers(0, 2**16)  # which of the nodes so far, counted modulo how many there are
instructions = st.tuples(st.sampled_from([*UNARY, *BINARY]), earlier, earlier)


@given(
    inputs=st.lists(leaves, min_size=1, max_size=3),
    program=st.lists(instructions, min_size=1, max_size=8),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_programs_with_shared_nodes_agree_with_a_naive_reverse_mode(inputs, program, seed):
    rng = np.random.default_rng(seed)
    tensors = [mg.tensor(rng.uniform(-2, 2, shape), requires_grad=required) for shape, required in inputs]
    nodes = [Node(t.data) for t in tensors]
    for name, i, j in program:
        table, operands = (UNARY, [i]) if name in UNARY else (BINARY, [i, j])
        tensor_version, node_version = table[name]
        tensors.append(tensor_version(*[tensors[k % len(tensors)] for k in operands]))
        nodes.append(node_version(*[nodes[k % len(nodes)] for k in operands]))
        if tensors[-1].requires_grad:
            tensors[-1].retain_grad()
    cotangent = rng.standard_normal(tensors[-1].shape)
    if not tensors[-1].requires_grad:
        with pytest.raises(RuntimeError, match="requires no gradient"):
            tensors[-1].backward(cotangent)
        return
    tensors[-1].backward(cotangent)
    nodes[-1].push(cotangent, np.abs(cotangent))
    for tensor, node in zip(tensors, nodes, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), node.value, strict=True)
        if not tensor.requires_grad:
            assert tensor.grad is None
            continue
        grad = np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy()
        assert (np.abs(grad - node.grad) <= 1e-13 * node.magnitude + 1e-15).all()  # 1 - tanh(x)² loses digits here
    assert not share_memory([t.grad for t in tensors if t.grad is not None])


@pytest.mark.parametrize("view", [lambda w: w.T, lambda w: w.reshape(2, 3).swapaxes(0, 1)[:, :], lambda w: w[::-1].T])
def test_an_update_is_noticed_through_a_view_of_the_parameter(view):
    w = mg.tensor(np.ones((3, 2)), requires_grad=True)
    x = mg.tensor(np.ones((4, view(w).shape[0])), requires_grad=True)
    out = (x @ view(w)).sum()
    w.data -= 1
    with pytest.raises(RuntimeError, match=r"shape \(3, 2\) was updated in place after matmul used it"):
        out.backward()


def test_an_update_of_a_parameter_that_no_rule_needs_is_fine():
    x, w = np.ones((4, 2), np.float32), mg.tensor(np.ones((3, 2)), requires_grad=True)
    out = ((x @ w.T) ** 2).sum()
    w.data -= 1
    out.backward()
    np.testing.assert_allclose(w.grad.numpy(), 2 * np.full((4, 3), 2).T @ x)


def test_a_tensor_whose_graph_was_freed_can_be_pickled():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    total = (x * x).sum()
    total.backward()
    copy = pickle.loads(pickle.dumps(total))
    assert copy.item() == 5
    assert not copy.is_leaf
    with pytest.raises(RuntimeError, match="freed by backward"):
        copy.backward()


def test_a_gradient_that_depends_on_nothing_may_be_differentiated_again_and_reaches_nothing():
    x, unused = leaf([1.0, -2.0]), leaf([1.0, 1.0])
    (mg.relu(x).sum() + (3 * unused).sum()).backward(create_graph=True)
    penalty = (x.grad**2).sum() + (unused.grad**2).sum()
    assert penalty.item() == 19
    penalty.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1, 0])
    np.testing.assert_array_equal(unused.grad.numpy(), [3, 3])


def test_a_penalty_on_a_constant_gradient_adds_nothing_to_the_gradient_of_a_loss():
    x = leaf([1.0, -2.0])
    loss = (mg.relu(x) * 5).sum()
    loss.backward(create_graph=True)
    penalty, x.grad = (x.grad**2).sum(), None
    (loss + penalty).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [5, 0])


@pytest.mark.parametrize("value", [mg.tensor([1.0]), nn.Parameter(np.ones(2)), [1.0, 2.0], (1.0,), None, "x"], ids=str)
def test_record_refuses_a_value_that_numpy_did_not_compute(value):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match=f"record takes a value as NumPy returned it, got {type(value).__name__}"):
        mg.record(mg.exp, value, (x, lambda grad, out: grad))


@pytest.mark.parametrize("value", [np.ma.array([1.0, 2.0], mask=[False, True]), np.ma.array(1.0, mask=True)], ids=str)
def test_record_refuses_arrays_that_say_more_than_their_elements(value):
    with pytest.raises(TypeError, match="a tensor would lose what a"):
        mg.record(mg.exp, value)


def test_record_makes_plain_arrays_of_those_in_files(tmp_path):
    in_file = np.memmap(tmp_path / "numbers", float, "w+", shape=(2,))
    assert type(mg.record(mg.exp, in_file).data) is np.ndarray


@pytest.mark.parametrize("dtype", [int, np.uint8, bool])
@pytest.mark.parametrize("onward", [
    lambda y: (y * 0.5).sum(), lambda y: y.sum(), lambda y: y[0], lambda y: mg.max(y) * 1.0, lambda y: mg.exp(y).sum(),
    lambda y: (y + y).astype(float).sum(), lambda y: mg.where([True, False], y, 0.5).sum(), lambda y: y.mean(),
])
def test_a_gradient_that_comes_back_to_a_result_without_one_is_refused(onward, dtype):
    def rounded(x):
        return mg.record(rounded, np.rint(x.data).astype(dtype), (x, lambda grad, out: grad))

    x = leaf([0.2, 0.7])
    with pytest.raises(TypeError, match=r"of dtype \w+, but only floating results have one: record it as floats"):
        onward(rounded(x)).backward()
    assert x.grad is None


def test_a_number_beyond_all_dtypes_is_refused():
    with pytest.raises(TypeError, match="a tensor holds booleans, integers or reals, got int of dtype object"):
        mg.multiply(10**20, 10**20)


def test_a_view_that_numpy_makes_of_strides_is_one_of_the_memory_it_looks_at():
    x = mg.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    windows = mg.sliding_window_view(x, 2)
    y = (windows * windows).sum()
    with mg.no_grad():
        x -= 10.0
    with pytest.raises(RuntimeError, match="was updated in place after multiply used it"):
        y.backward()


def test_threads_that_share_a_leaf_lose_no_gradient():
    w = mg.tensor(np.zeros(1), requires_grad=True)

    def many():
        for _ in range(1500):
            (w * 1.0).sum().backward()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=many) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert w.grad.item() == 6000


def test_a_graph_that_was_asked_for_under_no_grad_is_there_also_when_gradients_add_up():
    x = mg.tensor(2.0, requires_grad=True)
    y = x * x * x
    with mg.no_grad():
        for _ in range(2):
            y.backward(create_graph=True)
    x.grad, gradient = None, x.grad
    gradient.backward()
    assert x.grad.item() == 2 * 6 * 2.0


def spoil(gradient):
    gradient[0] = 100.0


def spoil_data(gradient):
    gradient.data[0] = 100.0


@pytest.mark.parametrize("spoil", [spoil, spoil_data])
@pytest.mark.parametrize("retained", [False, True])
def test_a_hook_cannot_write_into_the_gradients_of_others(spoil, retained):
    a, b = (mg.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    seed = np.ones(2)

    y, z = a * 1, b * 1
    z.register_hook(spoil)
    with pytest.raises((ValueError, RuntimeError), match=r"read-only|no gradient goes through an assignment"):
        ((y + z) * (y + z)).backward(seed, create_graph=retained)
    assert seed.tolist() == [1.0, 1.0]
    assert a.grad is None
