"""Reductions: operations that combine the elements along some axes into one.

`axis` is None for all axes, an integer, or a tuple of them; `keepdims` keeps the reduced axes with length 1.
"""

from __future__ import annotations

from math import prod

import numpy as np

from minigrad.graph import record
from minigrad.ops.elementwise import exp, where
from minigrad.ops.registry import operation
from minigrad.tensor import Array, Tensor, TensorLike, as_tensor

__all__ = [
    "sum", "mean", "max", "min", "logsumexp",
]  # fmt: skip

Axis = int | tuple[int, ...] | None


def kept_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """`shape` with length 1 along the reduced axes, as `keepdims=True` leaves it."""
    if axis is None:
        return (1,) * len(shape)
    reduced = {a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))} if shape else set()
    return tuple(1 if i in reduced else n for i, n in enumerate(shape))


def spread(reduced: Tensor, shape: tuple[int, ...], axis: Axis) -> Tensor:
    """A reduced result, or its gradient, repeated along the reduced axes: back to `shape`."""
    return reduced.reshape(kept_shape(shape, axis)).broadcast_to(shape)


@operation("reduction", np.sum, methods="sum")
def sum(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Sum of the elements."""
    x = as_tensor(x)
    shape = x.shape
    return record(sum, np.sum(x.data, axis, keepdims=keepdims), (x, lambda grad, out: spread(grad, shape, axis)))


@operation("reduction", np.mean, methods="mean")
def mean(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Arithmetic mean of the elements."""
    x = as_tensor(x)
    shape = x.shape
    return record(mean, np.mean(x.data, axis, keepdims=keepdims),
                  (x, lambda grad, out: spread(grad * (prod(out.shape) / prod(shape)), shape, axis)))


@operation("reduction", np.max, ties=True, methods="max")
def max(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Largest element; equal largest elements share the gradient evenly."""
    x = as_tensor(x)
    return record(max, np.max(x.data, axis, keepdims=keepdims),
                  (x, lambda grad, out: spread(grad, x.shape, axis) * even_shares(x, out, axis)))


@operation("reduction", np.min, ties=True, methods="min")
def min(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Smallest element; equal smallest elements share the gradient evenly."""
    x = as_tensor(x)
    return record(min, np.min(x.data, axis, keepdims=keepdims),
                  (x, lambda grad, out: spread(grad, x.shape, axis) * even_shares(x, out, axis)))


def even_shares(x: Tensor, extreme: Tensor, axis: Axis) -> Array:
    """1/n for each of the n elements of `x` that attain the extreme (NaN attains a NaN), 0 for the others."""
    kept = extreme.data.reshape(kept_shape(x.shape, axis))
    attained = (x.data == kept) | np.isnan(x.data)
    shares: Array = np.divide(attained, np.sum(attained, axis, keepdims=True), dtype=x.dtype)
    return shares


@operation("reduction", lambda x, axis=None, keepdims=False: np.log(np.sum(np.exp(x), axis, keepdims=keepdims)),
           methods="logsumexp")  # fmt: skip
def logsumexp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))), without overflow: the largest element is taken out before exponentiating."""
    x = as_tensor(x)
    largest = np.max(x.data, axis, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(largest), largest, 0)
    with np.errstate(divide="ignore"):  # the log of an empty or vanishing sum is -inf
        data = np.log(np.sum(np.exp(x.data - shift), axis, keepdims=keepdims))
    return record(logsumexp, data + shift.reshape(np.shape(data)), (x, lambda grad, out: softened(x, grad, out, axis)))


def softened(x: Tensor, grad: Tensor, out: Tensor, axis: Axis) -> Tensor:
    """The gradient of logsumexp: `grad` weighted with softmax(x) = exp(x - logsumexp(x)), 0 where all are -inf."""
    total = spread(where(np.isinf(out.data), 0, out), x.shape, axis)
    return spread(grad, x.shape, axis) * exp(x - total)
