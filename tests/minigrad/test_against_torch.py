"""PyTorch as an oracle: values, gradients and gradients of gradients, wherever it has the operation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.graph import sweep
from minigrad.ops import operations
from minigrad.testing.strategies import calls

torch = pytest.importorskip("torch")
F = torch.nn.functional


def dims(x, axis):
    """NumPy's axis as PyTorch takes it."""
    return tuple(range(x.ndim)) if axis is None else axis


def product(x, axis=None, keepdims=False):
    axes = sorted((a % x.ndim for a in np.atleast_1d(np.array(dims(x, axis), int))), reverse=True)
    for a in axes:
        x = torch.prod(x, a, keepdim=True)
    return x if keepdims else x.reshape([n for a, n in enumerate(x.shape) if a not in axes])


def reduced(function):
    """A reduction of PyTorch's, which takes no empty tuple of axes for what NumPy means by it."""

    def call(x, axis=None, keepdims=False):
        return x.clone() if axis == () or x.ndim == 0 else function(x, dim=dims(x, axis), keepdim=keepdims)

    return call


def log_softmax(x, axis=-1):
    return x - reduced(torch.logsumexp)(x, axis, keepdims=True)


def triangle(function):
    """A triangle of PyTorch's, which takes no single row; NumPy repeats that to a square."""
    return lambda x, k=0: function(x.expand(len(x), len(x)) if x.ndim == 1 else x, k)


def reordered(x, shape, order):
    """PyTorch's reshape, or that of NumPy's order "F" by transposing before and after."""
    if order == "C":
        return x.reshape(shape)
    turned = x.permute(*reversed(range(x.ndim))).reshape(tuple(reversed(np.atleast_1d(shape).tolist())))
    return turned.permute(*reversed(range(turned.ndim)))


SAME_NAME = [
    "add", "subtract", "multiply", "divide", "positive", "negative", "abs", "maximum", "minimum", "fmax",
    "fmin", "logaddexp", "logaddexp2", "hypot", "arctan2", "exp", "exp2", "expm1", "log", "log2", "log10",
    "log1p", "square", "reciprocal", "sqrt", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh",
    "tanh", "arcsinh", "arccosh", "arctanh", "sinc", "erf", "erfc", "sigmoid", "relu", "matmul",
    "swapaxes", "broadcast_to", "inner",
]
ORACLES = {
    **{name: getattr(torch, name) for name in SAME_NAME},
    "power": torch.pow, "where": lambda condition, a, b: torch.where(torch.as_tensor(condition), a, b),
    "leaky_relu": F.leaky_relu, "elu": F.elu, "softplus": F.softplus, "gelu": F.gelu, "silu": F.silu,
    "hardtanh": F.hardtanh, "softsign": F.softsign,
    "log_softmax": log_softmax, "softmax": lambda x, axis=-1: torch.exp(log_softmax(x, axis)),
    "tril": triangle(torch.tril), "triu": triangle(torch.triu),
    "tile": lambda x, times: torch.tile(x, times if isinstance(times, tuple) else (times,)),
    "sum": reduced(torch.sum), "mean": reduced(torch.mean), "max": reduced(torch.amax), "min": reduced(torch.amin),
    "logsumexp": reduced(torch.logsumexp), "prod": product,
    "concatenate": lambda xs, axis=0: torch.cat(xs, axis), "stack": lambda xs, axis=0: torch.stack(xs, axis),
    "reshape": lambda x, shape, order="C": reordered(x, shape, order),
    "ravel": lambda x, order="C": reordered(x, (-1,), order),
    "transpose": lambda x, axes=None: x.permute(axes or tuple(range(x.ndim))[::-1]),
    "matrix_transpose": lambda x: x.mT,
    "take_along_axis": lambda x, index, axis: torch.take_along_dim(
        *((x.reshape(-1), torch.as_tensor(index) % x.numel(), 0) if axis is None
          else (x, torch.as_tensor(index) % x.shape[axis], axis))
    ),
    "linalg.inv": torch.linalg.inv, "linalg.det": torch.linalg.det, "linalg.cholesky": torch.linalg.cholesky,
}


def plain(x):
    """A result of either engine as an array; a missing gradient is zero."""
    return np.zeros(()) if x is None else x.numpy(force=True) if torch.is_tensor(x) else x.numpy()


def directional(gradients, direction, constant):
    """How the gradients change the sum along a direction: what to differentiate a second time."""
    parts = [(g * constant(v)).sum() for g, v in zip(gradients, direction, strict=True) if g is not None]
    return sum(parts[1:], parts[0]) if parts else constant(0.0)


def ours(call, cotangent, direction):
    """The value, the gradients, and the gradients of their sum along a direction."""
    inputs = [mg.tensor(x, requires_grad=True) for x in call.inputs]
    out = call(*inputs)
    found = sweep([(out, mg.tensor(cotangent))], create_graph=True, inputs=inputs)
    first = [found.get(x) for x in inputs]
    total = directional(first, direction, mg.tensor)
    again = sweep([(total, mg.tensor(1.0))], inputs=inputs) if total.requires_grad else {}
    return [out, *first, *[again.get(x) for x in inputs]]


def theirs(call, cotangent, direction):
    """The same from PyTorch."""
    inputs = [torch.tensor(x, requires_grad=True) for x in call.inputs]
    out = ORACLES[call.operation.name](*call.arguments(*inputs), **call.options)
    first = torch.autograd.grad(out, inputs, torch.tensor(cotangent), create_graph=True, allow_unused=True)
    total = directional(first, direction, torch.tensor)
    again = torch.autograd.grad(total, inputs, allow_unused=True) if total.requires_grad else [None] * len(inputs)
    return [out, *first, *again]


@pytest.mark.parametrize("name", sorted(ORACLES))
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_operations_agree_with_pytorch(name, data, seed):
    call = data.draw(calls(operations[name]))
    rng = np.random.default_rng(seed)
    cotangent = rng.standard_normal(call(*map(mg.tensor, call.inputs)).shape)
    direction = [rng.standard_normal(x.shape) for x in call.inputs]
    for mine, other in zip(ours(call, cotangent, direction), theirs(call, cotangent, direction), strict=True):
        np.testing.assert_allclose(*np.broadcast_arrays(plain(mine), plain(other)), rtol=1e-9, atol=1e-9)
