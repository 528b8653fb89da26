"""Every registered operation against NumPy and against numerical derivatives: a new one needs no test written here."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.ops import operations
from minigrad.ops.registry import REAL, from_numpy
from minigrad.testing import gradcheck
from minigrad.testing.strategies import calls, magnitudes

seeds = st.integers(0, 2**32 - 1)
ours = [op for op in operations.values() if op.owner == "minigrad"]


def each(operations):
    return pytest.mark.parametrize("operation", operations, ids=lambda operation: operation.name)


every_operation = each([op for op in ours if op.kind != "step"])
UNSIZED = (  # asked for float64; squares of weights and of steps may overflow; points of half precision jump by periods
    "astype", "average", "gradient", "interp",
)
UNLIKE = {  # what is no question of where NumPy's results lead, and why
    **dict.fromkeys(["nanvar", "nanstd"], "the distances of the largest numbers from each other overflow"),
    "average": "its examples square the weights, which may overflow",
    "sinc": "right for large numbers, and 0 at infinity",
    "tensordot": "what BLAS makes of infinities beside nothing depends on its version",
    "multi_dot": "which of the products comes first decides which one overflows",
    "interp": "of coordinates that are infinite",
    "gradient": "of coordinates that are infinite",
}
CHOICES = (  # operations whose slopes are shares of what was chosen, mostly 1 or 0
    "maximum", "minimum", "fmax", "fmin", "clip", "where", "relu", "leaky_relu", "hardtanh", "max", "min",
    "nanmax", "nanmin", "median", "quantile", "percentile", "sort", "getitem", "take", "compress", "select",
)
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
    assert result.ndim or isinstance(result.data, np.generic)
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-12, atol=1e-12, strict=True)


@each(ours)
@given(data=st.data())
def test_arrays_in_the_byte_order_of_another_machine_give_the_same(operation, data):
    call = data.draw(calls(operation))
    foreign = [x.astype(x.dtype.newbyteorder()) for x in call.inputs]
    found, expected = (mg.as_tensor(call(*inputs)) for inputs in (foreign, call.inputs))
    assert found.dtype.isnative
    np.testing.assert_array_equal(found.numpy(), expected.numpy(), strict=True)


@each([op for op in operations.values() if "." not in op.name or op.name.startswith("linalg")])
def test_operations_can_be_pickled(operation):
    assert pickle.loads(pickle.dumps(operation.function)) is operation.function


def values_of(call, inputs):
    return call(*map(mg.tensor, inputs)).numpy()


@st.composite
def of_any_size(draw, call, dtype):
    """Inputs of a call in a dtype, small or large altogether, or far from 0."""
    info, domains = np.finfo(dtype), call.operation.domain
    sizes = [-info.nmant // 2, info.minexp // 4, info.minexp // 2, info.minexp + 2, info.maxexp // 4, info.maxexp - 3]
    scale = draw(st.sampled_from([0, *sizes])) if all(domain.high == np.inf for domain in domains) else 0
    offset = draw(st.sampled_from([0, 0, 2.0**info.nmant / 8])) if domains[0] == REAL and not scale else 0
    return [(np.ldexp(x, scale) + offset).astype(dtype) for x in call.inputs]


@pytest.mark.skipif(np.finfo(np.longdouble).maxexp <= 1024, reason="needs a dtype wider than float64")
@each([op for op in ours if not op.name.startswith("linalg") and op.name not in UNSIZED])
@given(data=st.data(), dtype=st.sampled_from([np.float16, np.float32, np.float64]), seed=seeds)
@np.errstate(all="ignore")
def test_values_of_any_size_are_those_of_a_wider_dtype_in_every_precision(operation, data, dtype, seed):
    call, rng = data.draw(calls(operation)), np.random.default_rng(seed)
    inputs = data.draw(of_any_size(call, dtype))
    wide = [x.astype(np.longdouble) for x in inputs]
    found, expected = values_of(call, inputs), values_of(call, wide)
    twin = operation.twin if from_numpy(operation.twin) else None  # other references are of float64
    theirs = found if twin is None else np.asarray(replace(call, inputs=tuple(inputs)).expected())
    assert found.dtype == (dtype if twin is None else theirs.dtype)
    cast = expected.astype(found.dtype)
    size = np.where(np.isfinite(cast), np.abs(cast), 1)
    if operation.kind not in ("elementwise", "step"):  # sums of several
        size = np.full_like(size, size.max(initial=0))
    allowed = 16 * np.spacing(size).astype(np.longdouble)
    for _ in range(3):
        moved = [x * (1 + np.finfo(dtype).eps * rng.choice([-1, 1], x.shape)) for x in wide]
        allowed += np.nan_to_num(2 * np.abs(values_of(call, moved) - expected), nan=0)
    right = (np.abs(found.astype(np.longdouble) - expected) <= allowed) | (found == cast) | np.isnan(cast)
    if twin is not None:  # as NumPy has it, where a result on the way overflows
        right |= (found == theirs) | ~(np.isfinite(found) | np.isfinite(theirs))
    assert right.all(), (found[~right], expected[~right], allowed[~right])


@each([op for op in ours if from_numpy(op.twin) and not op.name.startswith("linalg") and op.name not in UNLIKE])
@given(data=st.data(), dtype=st.sampled_from([np.float16, np.float32, np.float64]))
@np.errstate(all="ignore")
@pytest.mark.filterwarnings("ignore")
def test_infinities_nan_and_any_magnitudes_lead_where_they_lead_in_numpy_or_a_wider_dtype(operation, data, dtype):
    call = data.draw(calls(operation))
    special = magnitudes(dtype, allow_infinity=True, allow_nan=True)
    drawn = data.draw(st.lists(special, min_size=4, max_size=4))
    at = data.draw(st.integers(1, 5))  # every so many elements are replaced
    inputs = [np.array(x, dtype) for x in call.inputs]
    for x in inputs:
        places = np.arange(x.size).reshape(x.shape)
        x[...] = np.where(places % at == 0, np.array(drawn, dtype)[places // at % 4], x)
    if operation.function.__module__ == "minigrad.ops.products":  # inf or NaN by the order of adding, if one overflows
        most = float(np.finfo(dtype).max) ** (1 / len(inputs)) / 64
        inputs = [np.where(np.isinf(x), x, np.clip(x, -most, most)) for x in inputs]
    expected = np.asarray(replace(call, inputs=tuple(inputs)).expected())
    found = values_of(call, inputs)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    exact = values_of(call, [x.astype(np.longdouble) for x in inputs]).astype(found.dtype)  # NumPy's way may overflow
    rtol, atol = 32 * np.finfo(dtype).eps, np.finfo(dtype).smallest_subnormal
    right = np.any([np.isclose(found, other, rtol, atol, equal_nan=True) for other in (expected, exact)], 0)
    assert right.all(), (found[~right], expected[~right], exact[~right])


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


@each([operations[name] for name in CHOICES])
@given(data=st.data())
def test_an_infinite_gradient_goes_where_a_finite_one_goes_and_leaves_the_rest_at_zero(operation, data):
    call = data.draw(calls(operation))

    def gradients(arriving):
        tensors = [mg.tensor(x, requires_grad=True) for x in call.inputs]
        result = call(*tensors)
        result.backward(np.full(result.shape, arriving))
        return [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in tensors]

    for finite, infinite in zip(gradients(1.0), gradients(np.inf), strict=True):
        np.testing.assert_array_equal(infinite, np.where(finite == 0, 0, np.inf))
