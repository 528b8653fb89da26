"""Every registered operation against NumPy and against numerical derivatives: a new one needs no test written here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.graph import sweep
from minigrad.ops import operations
from minigrad.tensor import as_tensor
from minigrad.testing import gradcheck
from minigrad.testing.strategies import LAYOUTS, calls, laid_out

seeds = st.integers(0, 2**32 - 1)
ours = [op for op in operations.values() if op.function.__module__.startswith("minigrad.")]


def each(operations):
    return pytest.mark.parametrize("operation", operations, ids=lambda operation: operation.name)


every_operation = each([op for op in ours if op.kind != "step"])
tensor_pairs = each([op for op in ours if op.kind == "elementwise" and op.arity == 2])


@each(ours)
@given(data=st.data())
def test_value_shape_and_dtype_are_those_of_the_numpy_twin(operation, data):
    if operation.twin is None:
        return
    call = data.draw(calls(operation))
    expected = np.asarray(call.expected())
    result = call(*map(mg.tensor, call.inputs))
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-12, atol=1e-12, strict=True)


@every_operation
@given(data=st.data(), seed=seeds)
def test_gradient_agrees_with_numerical_derivatives(operation, data, seed):
    call = data.draw(calls(operation))
    gradcheck(call, *call.inputs, seed=seed)


@every_operation
@given(data=st.data(), seed=seeds)
def test_gradient_of_the_gradient_agrees_with_numerical_derivatives(operation, data, seed):
    call = data.draw(calls(operation))
    rng = np.random.default_rng(seed)
    cotangent = mg.tensor(rng.standard_normal(call(*call.inputs).shape))

    def gradients(*inputs):
        with mg.enable_grad():
            tensors = [+x if x.requires_grad else mg.tensor(x, requires_grad=True) for x in inputs]
            out = call(*tensors)
            found = sweep([(out, cotangent)], create_graph=True, inputs=tensors) if out.requires_grad else {}
        return mg.concatenate([found.get(x, 0 * x).reshape(-1) for x in tensors])

    gradcheck(gradients, *call.inputs, seed=seed, rtol=1e-5)


@every_operation
@given(data=st.data(), seed=seeds)
def test_float32_stays_float32_and_agrees_with_float64(operation, data, seed):
    call = data.draw(calls(operation))
    if operation.kind == "cast":
        return
    gradients = []
    for dtype in (np.float64, np.float32):
        tensors = [mg.tensor(x, dtype=dtype, requires_grad=True) for x in call.inputs]
        out = call(*tensors)
        assert out.dtype == dtype
        out.backward(np.random.default_rng(seed).standard_normal(out.shape))
        assert all(x.grad is None or x.grad.dtype == dtype for x in tensors)
        gradients.append([out.numpy(), *[x.grad.numpy() for x in tensors if x.grad is not None]])
    for double, single in zip(*gradients, strict=True):
        np.testing.assert_allclose(single, double, rtol=2e-4, atol=2e-4)


@every_operation
@given(data=st.data(), seed=seeds)
def test_memory_layout_makes_no_difference(operation, data, seed):
    call = data.draw(calls(operation))
    layouts = data.draw(st.lists(st.sampled_from(LAYOUTS), min_size=len(call.inputs), max_size=len(call.inputs)))
    results = []
    for inputs in (call.inputs, [laid_out(x, layout) for x, layout in zip(call.inputs, layouts, strict=True)]):
        copies = [x.copy() for x in inputs]
        tensors = [as_tensor(x) for x in inputs]
        for x in tensors:
            x.requires_grad = True
        out = call(*tensors)
        out.backward(np.random.default_rng(seed).standard_normal(out.shape))
        results.append([out.numpy(), *[x.grad.numpy() for x in tensors if x.grad is not None]])
        assert all(np.array_equal(x, copy) for x, copy in zip(inputs, copies, strict=True)), "an input was changed"
    for plain, other in zip(*results, strict=True):
        np.testing.assert_allclose(other, plain, rtol=1e-12, atol=1e-12)


@tensor_pairs
@given(data=st.data(), seed=seeds)
def test_an_input_used_twice_gets_both_gradients(operation, data, seed):
    x = np.abs(data.draw(calls(operation)).inputs[0]) + 0.5
    if operation.ties:  # f(x, x) is a kink everywhere: each of the two gets half
        t = mg.tensor(x, requires_grad=True)
        operation.function(t, t).sum().backward()
        np.testing.assert_array_equal(t.grad.numpy(), np.ones(x.shape))
    else:
        gradcheck(lambda t: operation.function(t, t), x, seed=seed)


@every_operation
@given(data=st.data())
def test_no_gradient_shares_memory_with_another_or_with_an_input(operation, data):
    call = data.draw(calls(operation))
    tensors = [mg.tensor(x, requires_grad=True) for x in call.inputs]
    out = call(*tensors)
    cotangent = mg.tensor(np.ones(out.shape))
    out.backward(cotangent)
    gradients = [x.grad for x in tensors if x.grad is not None]
    arrays = [x.numpy() for x in (cotangent, *tensors, *gradients)]
    for i, a in enumerate(arrays):
        assert not any(np.shares_memory(a, b) for b in arrays[:i])
