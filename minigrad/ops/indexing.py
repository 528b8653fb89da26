"""Reading elements by index, and the functional way of writing them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view as numpy_windows

from minigrad.graph import record
from minigrad.ops.registry import operation
from minigrad.ops.shape import Shape, moveaxis, ravel
from minigrad.tensor import Array, Tensor, TensorLike, as_tensor, value

__all__ = [
    "getitem", "add_at", "put", "take", "take_along_axis", "repeat", "sort", "diagonal", "diag", "tril", "triu", "pad",
    "sliding_window_view",
]  # fmt: skip

def plain(index: Any) -> Any:
    """`index` with the arrays of the tensors in it."""
    if isinstance(index, tuple):
        return tuple(plain(part) for part in index)
    return index.data if isinstance(index, Tensor) else index


def may_repeat(index: Any) -> bool:
    """Whether an index could name an element twice: only one with integer arrays in it can."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, (list, np.ndarray)) and np.asarray(part).dtype != bool for part in parts)


@operation("getitem", lambda x, index: x[index], methods="__getitem__")
def getitem(x: TensorLike, index: Any) -> Tensor:
    """`x[index]` for every kind of index NumPy knows; an element that is read twice gets both gradients."""
    x, index = as_tensor(x), plain(index)
    shape = x.shape
    return record(getitem, x.numpy()[index], (x, lambda grad, out: add_at(np.zeros(shape, grad.dtype), index, grad)))


def updated(update: Callable[..., Any]) -> Callable[[Array, Any, Array], Array]:
    """The functional form of an update in place."""
    def function(x: Array, index: Any, values: Array) -> Array:
        copied = np.array(x)
        update(copied, index, values)
        return copied

    return function


@operation("add_at", updated(np.add.at))
def add_at(x: TensorLike, index: Any, values: TensorLike) -> Tensor:
    """A copy of `x` with `values` added at `index`, as often as the index names an element."""
    x, index = as_tensor(x), plain(index)
    total = np.array(x.data)
    if may_repeat(index):
        np.add.at(total, index, value(values))
    else:
        total[index] += value(values)
    return record(add_at, total,
                  (x, lambda grad, out: grad),
                  (values, lambda grad, out: grad[index]))


@operation("put", updated(np.ndarray.__setitem__))
def put(x: TensorLike, index: Any, values: TensorLike) -> Tensor:
    """A copy of `x` with `values` at `index`; of values for the same element the last one counts.

    >>> put([1.0, 2.0, 3.0], slice(1, None), 0.0)
    tensor([1., 0., 0.], dtype=float64)
    """
    x, index = as_tensor(x), plain(index)
    data = np.array(x.data)
    data[index] = value(values)
    return record(put, data,
                  (x, lambda grad, out: put(grad, index, 0)),
                  (values, lambda grad, out: grad[index] * lasting(data.shape, index)))


def lasting(shape: tuple[int, ...], index: Any) -> Any:
    """1 for each value put at `index` that no later value replaces, else 0."""
    if not may_repeat(index):
        return 1
    places = np.zeros(shape, int)
    numbers = np.arange(places[index].size).reshape(places[index].shape)
    places[index] = numbers
    return places[index] == numbers


@operation("take", np.take, methods="take")
def take(x: TensorLike, indices: npt.ArrayLike, axis: int | None = None, mode: Any = "raise") -> Tensor:
    """The elements at integer positions along an axis; of the flattened tensor if `axis` is None."""
    x, along = (ravel(x), 0) if axis is None else (as_tensor(x), axis)
    positions = np.take(np.arange(x.shape[along]), value(indices), mode=mode)  # checked and wrapped by NumPy
    return x[(*[slice(None)] * (along % x.ndim), positions)]


@operation("take_along_axis", np.take_along_axis)
def take_along_axis(x: TensorLike, indices: TensorLike, axis: int | None = -1) -> Tensor:
    """The elements at positions along an axis, given for each place of the other axes as argsort does."""
    x, along = (ravel(x), 0) if axis is None else (as_tensor(x), axis % as_tensor(x).ndim)
    index = list(np.ix_(*map(np.arange, x.shape)))
    index[along] = value(indices)
    return x[tuple(index)]


@operation("repeat", np.repeat, methods="repeat")
def repeat(x: TensorLike, repeats: npt.ArrayLike, axis: int | None = None) -> Tensor:
    """Each element repeated, the same number of times or its own; of the flattened tensor if `axis` is None."""
    x, along = (ravel(x), 0) if axis is None else (as_tensor(x), axis)
    return take(x, np.repeat(np.arange(x.shape[along]), value(repeats)), along)


@operation("sort", np.sort, ties=True)
def sort(x: TensorLike, axis: int | None = -1) -> Tensor:
    """Elements in ascending order along an axis; the gradient of each goes to where it was, equal ones in order."""
    x, along = (ravel(x), 0) if axis is None else (as_tensor(x), axis)
    order = np.argsort(x.data, along, kind="stable")
    return record(sort, np.take_along_axis(x.data, order, along),
                  (x, lambda grad, out: take_along_axis(grad, np.argsort(order, along), along)))


@operation("diagonal", np.diagonal, methods="diagonal")
def diagonal(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The elements of which the indices on two axes differ by `offset`; they become the last axis."""
    x = as_tensor(x)
    shape = x.shape

    def rule(grad: Tensor, out: Tensor) -> Tensor:
        matrices = np.moveaxis(np.zeros(shape, grad.dtype), (axis1, axis2), (-2, -1))
        return moveaxis(put(matrices, (..., *on_diagonal(out.shape[-1], offset)), grad), (-2, -1), (axis1, axis2))

    return record(diagonal, np.diagonal(x.data, offset, axis1, axis2), (x, rule))


def on_diagonal(n: int, offset: int) -> tuple[Array, Array]:
    """Rows and columns of the first `n` places of a diagonal."""
    return np.arange(n) - np.minimum(offset, 0), np.arange(n) + np.maximum(offset, 0)


@operation("diag", np.diag)
def diag(v: TensorLike, k: int = 0) -> Tensor:
    """The `k`-th diagonal of a matrix, or for a vector the matrix that has it there and zeros elsewhere."""
    v = as_tensor(v)
    if v.ndim != 1:
        return diagonal(v, k)
    n = v.size + np.abs(k)
    return put(np.zeros((n, n), v.dtype), on_diagonal(v.size, k), v)


@operation("triangle", np.tril)
def tril(m: TensorLike, k: int = 0) -> Tensor:
    """Lower triangle: zeros above the `k`-th diagonal of the last two axes."""
    return record(tril, np.tril(value(m), k), (m, lambda grad, out: tril(grad, k)))


@operation("triangle", np.triu)
def triu(m: TensorLike, k: int = 0) -> Tensor:
    """Upper triangle: zeros below the `k`-th diagonal of the last two axes."""
    return record(triu, np.triu(value(m), k), (m, lambda grad, out: triu(grad, k)))


@operation("pad", np.pad)
def pad(x: TensorLike, pad_width: Any, mode: Any = "constant", constant_values: Any = 0) -> Tensor:
    """`x` with more elements before and after it: constants, or copies as `mode` ("edge", "reflect", ...) says.

    `pad_width` is a number, a pair (before, after), or one pair for each axis; `constant_values` likewise.
    """
    x = as_tensor(x)
    if mode == "constant":
        widths = np.broadcast_to(pad_width, (x.ndim, 2))
        inner = tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True))
        return record(pad, np.pad(x.data, pad_width, constant_values=constant_values),
                      (x, lambda grad, out: grad[inner]))
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise ValueError(f"pad copies elements in mode edge, reflect, symmetric or wrap, or is constant; got {mode!r}")
    return ravel(x)[np.pad(np.arange(x.size).reshape(x.shape), pad_width, mode)]


@operation("sliding_window_view", numpy_windows)
def sliding_window_view(x: TensorLike, window_shape: Shape, axis: Shape | None = None) -> Tensor:
    """Each window of this shape, as new last axes: a read-only view."""
    x = as_tensor(x)
    shape, size = x.shape, x.size

    def rule(grad: Tensor, out: Tensor) -> Tensor:
        places = numpy_windows(np.arange(size).reshape(shape), window_shape, axis)
        return add_at(np.zeros(size, grad.dtype), places, grad).reshape(shape)

    return record(sliding_window_view, numpy_windows(x.numpy(), window_shape, axis), (x, rule))
