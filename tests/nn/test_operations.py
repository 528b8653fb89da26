"""Every operation of `nn` against the same in NumPy and against numerical derivatives: all that `nn.testing` knows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

import minigrad as mg
import nn
from minigrad.ops import operations
from minigrad.testing import gradcheck
from minigrad.testing.strategies import at_kinks, calls

seeds = st.integers(0, 2**32 - 1)
ours = [op for op in operations.values() if op.owner == nn.__name__]
each_operation = pytest.mark.parametrize("operation", ours, ids=lambda operation: operation.name)


def standardized(x, weight, bias, axes, eps):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps) * weight + bias


def normalized(x, weight, bias, mean, reciprocal_std, eps):
    per_channel = [p.reshape(-1, *[1] * (x.ndim - 2)) for p in (weight, bias, mean, reciprocal_std)]
    return (x - per_channel[2]) * per_channel[3] * per_channel[0] + per_channel[1]


def cross_entropy(logits, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    logits = np.moveaxis(logits, min(1, logits.ndim - 1), -1)
    classes = logits.shape[-1]
    weight = np.ones(classes) if weight is None else np.array(weight)
    counted = np.ones(logits.shape[:-1])
    if target.dtype.kind == "i":
        counted = (target != ignore_index) * weight[target]
        chances = np.eye(classes)[target] * (target != ignore_index)[..., None]
    else:
        chances = target
    smooth = chances * (1 - label_smoothing) + label_smoothing / classes * (chances.sum(-1, keepdims=True) > 0)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    losses = -(smooth * weight * logs).sum(-1)
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / counted.sum()}[reduction]


def windows(x, geometry, fill=0.0):
    """(n, c, rows, columns, height, width): what each window covers."""
    (down, right), (height, width) = geometry.padding, geometry.dilation
    padded = np.pad(x, ((0, 0), (0, 0), (down, down), (right, right)), constant_values=fill)
    spans = [d * (k - 1) + 1 for d, k in zip(geometry.dilation, geometry.kernel, strict=True)]
    every = sliding_window_view(padded, spans, (2, 3))[:, :, :: geometry.stride[0], :: geometry.stride[1]]
    return every[..., ::height, ::width]


def units(size, geometry):
    """(pixels, rows, columns, height, width): which pixel each place of each window is."""
    return windows(np.eye(size[0] * size[1]).reshape(-1, 1, *size), geometry)[:, 0]


def weights(shares, geometry, size):
    """(n, c, rows, columns, height, width): what each place of each window counts."""
    rows, columns = geometry.output(size)
    full = [np.broadcast_to(share, (2, rows, columns, 2)).transpose(0, 3, 1, 2) for share in shares]
    return np.stack(full, -1).reshape(2, 2, rows, columns, *geometry.kernel)


REFERENCES = {
    "linear": lambda x, weight, bias=0: x @ weight.T + bias,
    "flatten": lambda x, start_dim, end_dim: x.reshape(
        *x.shape[: start_dim % x.ndim], -1 if x.size else 0, *x.shape[end_dim % x.ndim + 1 :]
    ),
    "standardize": standardized,
    "normalized": normalized,
    "cross_entropy": cross_entropy,
    "dropout": lambda x, p, training, generator: (
        x * nn.functional.dropout(np.ones(x.shape), p, training, generator).numpy()
    ),
    "convolution": lambda x, weight, bias, geometry: (
        np.einsum("ncrsij,ocij->nors", windows(x, geometry), weight) + (0 if bias is None else bias[:, None, None])
    ),
    "weight_gradient": lambda x, grad, geometry: np.einsum("ncrsij,nors->ocij", windows(x, geometry), grad),
    "input_gradient": lambda grad, weight, size, geometry: np.einsum(
        "prsij,nors,ocij->ncp", units(size, geometry), grad, weight
    ).reshape(len(grad), -1, *size),
    "largest": lambda x, geometry: windows(x, geometry, -np.inf).max((-2, -1)),
    "weighted_sum": lambda x, shares, geometry: (
        windows(x, geometry) * weights(shares, geometry, x.shape[2:])
    ).sum((-2, -1)),
    "weighted_spread": lambda grad, shares, size, geometry: np.einsum(
        "prsij,ncrs,ncrsij->ncp", units(size, geometry), grad, weights(shares, geometry, size)
    ).reshape(*grad.shape[:2], *size),
}
ACCURACY = {np.float64: 1e-12, np.float32: 3e-5, np.float16: 3e-2}


@each_operation
@given(data=st.data(), dtype=st.sampled_from(list(ACCURACY)))
def test_values_are_those_of_numpy_in_every_precision(operation, data, dtype):
    call = data.draw(calls(operation))
    arrays = [x.astype(dtype) for x in call.inputs]
    result = call(*map(mg.tensor, arrays))
    expected = REFERENCES[operation.name](*call.arguments(*[x.astype(np.float64) for x in arrays]), **call.options)
    assert result.dtype == dtype
    np.testing.assert_allclose(result.numpy(), expected, rtol=ACCURACY[dtype], atol=ACCURACY[dtype])


@each_operation
@given(data=st.data(), seed=seeds)
def test_gradients_and_their_gradients_are_right_in_every_respect(operation, data, seed):
    call = data.draw(calls(operation))
    gradcheck(call, *call.inputs, seed=seed, order=2)


@given(data=st.data(), seed=seeds)
def test_equal_elements_of_a_window_share_the_gradient(data, seed):
    call = data.draw(at_kinks("largest"))
    gradcheck(call, *call.inputs, seed=seed, checks=("linear", "layouts"))
