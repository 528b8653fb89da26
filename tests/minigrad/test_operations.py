"""Every registered operation against NumPy and against numerical derivatives: a new one needs no test written here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.ops import operations
from minigrad.testing import gradcheck
from minigrad.testing.strategies import calls

seeds = st.integers(0, 2**32 - 1)
ours = [op for op in operations.values() if op.owner == "minigrad"]


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
def test_gradients_and_their_gradients_are_right_in_every_respect(operation, data, seed):
    call = data.draw(calls(operation))
    gradcheck(call, *call.inputs, seed=seed, order=2)


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
