"""Reading elements by index, and the functional way of writing them."""

from __future__ import annotations

from collections.abc import Callable
from operator import index as integer
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view as numpy_windows

from minigrad.arrays import WIDER, Array, check_no_more_than_elements
from minigrad.graph import record
from minigrad.modes import is_grad_enabled
from minigrad.ops.registry import operation
from minigrad.ops.shape import Shape, along, moveaxis, ravel
from minigrad.tensor import Tensor, TensorLike, as_tensor, value

__all__ = [
    "getitem", "add_at", "put", "take", "take_along_axis", "repeat", "sort", "diagonal", "diag", "tril", "triu", "pad",
    "sliding_window_view",
]


def index_parts(index: Any) -> tuple[Any, ...]:
    """An index as a tuple with one part for each axis, lists and the like in it as arrays, which is how NumPy reads it.

    These are copies: changing the list between the passes changes no gradient.
    """
    return tuple(map(positions, index)) if isinstance(index, tuple) else (positions(index),)


def positions(part: Any) -> Any:
    """One part of an index: of a list, range or tensor the array; anything else, such as a slice, as it is."""
    if isinstance(part, Tensor):
        return part.data
    if isinstance(part, np.generic) or not (hasattr(part, "__len__") or hasattr(part, "__array__")):
        return part
    check_no_more_than_elements(part, "an index")
    array = np.asarray(part)
    return array if array.size or array is part else array.astype(np.intp)  # an empty list is no list of floats


def constant(x: Any) -> Any:
    """An argument that has no gradient: the array of a tensor, unless that asks for one."""
    check_no_more_than_elements(x, "an argument")
    return np.asarray(x) if isinstance(x, Tensor) else x


def may_repeat(index: tuple[Any, ...]) -> bool:
    """Whether an index could name an element twice: only one with integer arrays in it can."""
    return any(isinstance(part, np.ndarray) and part.dtype != bool for part in index)


@operation("other", lambda x, index: x[index], methods="__getitem__")
def getitem(x: TensorLike, index: Any) -> Tensor:
    """`x[index]` for every kind of index NumPy knows; an element that is read twice gets both gradients."""
    x, index = as_tensor(x), index_parts(index)
    shape = x.shape
    return record(getitem, x.numpy()[index], (x, lambda grad, out: scattered(grad, index, shape)))


def scattered(grad: Tensor, index: Any, shape: tuple[int, ...]) -> Tensor:
    """Zeros of `shape` with `grad` added at `index`; in a wider dtype if an element may be named many times."""
    wide = WIDER.get(grad.dtype, grad.dtype) if may_repeat(index) else grad.dtype
    added = add_at(np.zeros(shape, wide), index, grad.astype(wide, copy=False))  # mixed, it takes nine times as long
    return added.astype(grad.dtype, copy=False)


def updated(update: Callable[..., Any]) -> Callable[[Array, Any, Array], Array]:
    """The functional form of an update in place."""
    def function(x: Array, index: Any, values: Array) -> Array:
        copied = np.array(x)
        update(copied, index, values)
        return copied

    return function


@operation("other", updated(np.add.at))
def add_at(x: TensorLike, index: Any, values: TensorLike) -> Tensor:
    """A copy of `x` with `values` added at `index`, as often as the index names an element.

    Raises:
        TypeError: if a gradient would have to flow through integers.
        ValueError: if the values do not fit the index.
    """
    x, index = as_tensor(x), index_parts(index)
    total, added = copy_for(add_at, x, values), value(values)
    try:
        if may_repeat(index):
            np.add.at(total, index, added)
        else:
            total[index] += added
    except ValueError:
        shapes = f"values of shape {np.shape(added)} to elements at an index of shape {total[index].shape}"
        raise ValueError(f"add_at cannot add {shapes}") from None
    return record(add_at, total,
                  (x, lambda grad, out: grad),
                  (values, lambda grad, out: read_for(values, grad, index)))


def copy_for(operation: Callable[..., Tensor], x: Tensor, values: TensorLike) -> Array:
    """A copy of `x` for `operation` to write into; TypeError if it would round values that require gradients."""
    if x.dtype.kind != "f" and is_grad_enabled() and isinstance(values, Tensor) and values.requires_grad:
        said = f"{operation.__name__} would round values that require gradients to {x.dtype}"
        raise TypeError(f"{said}: make x floating, or detach()")
    return np.array(x.data)


def read_for(values: TensorLike, grad: Tensor, index: Any) -> Tensor:
    """`grad[index]`, with axes of length 1 in front if `values` have more of them, which NumPy lets them have."""
    found, ndim = grad[index], as_tensor(values).ndim
    return found if found.ndim >= ndim else found.reshape((1,) * (ndim - found.ndim) + found.shape)


@operation("other", updated(np.ndarray.__setitem__))
def put(x: TensorLike, index: Any, values: TensorLike) -> Tensor:
    """A copy of `x` with `values` at `index`; of values for the same element the last one counts.

    Raises:
        TypeError: if a gradient would have to flow through integers.

    >>> put([1.0, 2.0, 3.0], slice(1, None), 0.0)
    tensor([1., 0., 0.], dtype=float64)
    """
    x, index = as_tensor(x), index_parts(index)
    data = copy_for(put, x, values)
    data[index] = value(values)
    return record(put, data,
                  (x, lambda grad, out: put(grad, index, 0)),
                  (values, lambda grad, out: read_for(values, grad, index) * lasting(data.shape, index)))


def lasting(shape: tuple[int, ...], index: Any) -> Any:
    """1 for each value put at `index` that no later value replaces, else 0."""
    if not may_repeat(index):
        return 1
    places = np.zeros(shape, int)
    numbers = np.arange(places[index].size).reshape(places[index].shape)
    places[index] = numbers
    return places[index] == numbers


@operation("other", np.take, methods="take")
def take(x: TensorLike, indices: npt.ArrayLike, axis: int | None = None, *, mode: Any = "raise") -> Tensor:
    """The elements at integer positions along an axis; of the flattened tensor if `axis` is None."""
    x, axis = along(x, axis, without_axes=True)
    places = np.take(np.arange(x.shape[axis]), constant(indices), mode=mode)  # checked and wrapped by NumPy
    return x[(*[slice(None)] * axis, places)]


@operation("other", np.take_along_axis)
def take_along_axis(x: TensorLike, indices: TensorLike, axis: int | None = -1) -> Tensor:
    """The elements at positions along an axis, given for each place of the other axes as argsort does."""
    x, axis = along(x, axis)
    places = np.asarray(value(indices))
    if places.dtype.kind not in "iu":
        raise IndexError(f"take_along_axis takes integers for indices, got {places.dtype}")
    if places.ndim != x.ndim:
        raise ValueError(f"take_along_axis needs indices of {x.ndim} dimensions, as x has, got shape {places.shape}")
    index = list(np.ix_(*map(np.arange, x.shape)))
    index[axis] = places
    return x[tuple(index)]


@operation("other", np.repeat, methods="repeat")
def repeat(x: TensorLike, repeats: npt.ArrayLike, axis: int | None = None) -> Tensor:
    """Each element repeated, the same number of times or its own; of the flattened tensor if `axis` is None."""
    x, axis = along(x, axis, without_axes=True)
    return take(x, np.repeat(np.arange(x.shape[axis]), constant(repeats)), axis)


@operation("other", np.sort, ties=True)
def sort(x: TensorLike, axis: int | None = -1) -> Tensor:
    """Elements in ascending order along an axis; the gradient of each goes to where it was, equal ones in order."""
    x, axis = along(x, axis)
    order = np.argsort(x.data, axis, kind="stable")
    return record(sort, np.take_along_axis(x.data, order, axis),
                  (x, lambda grad, out: take_along_axis(grad, np.argsort(order, axis), axis)))


@operation("other", np.diagonal, methods="diagonal")
def diagonal(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The elements of which the indices on two axes differ by `offset`; they become the last axis."""
    x, offset = as_tensor(x), integer(offset)
    shape = x.shape

    def rule(grad: Tensor, out: Tensor) -> Tensor:
        matrices = np.moveaxis(np.zeros(shape, grad.dtype), (axis1, axis2), (-2, -1))
        return moveaxis(put(matrices, (..., *on_diagonal(out.shape[-1], offset)), grad), (-2, -1), (axis1, axis2))

    return record(diagonal, np.diagonal(x.data, offset, axis1, axis2), (x, rule))


def on_diagonal(n: int, offset: int) -> tuple[Array, Array]:
    """Rows and columns of the first `n` places of a diagonal."""
    return np.arange(n) - min(offset, 0), np.arange(n) + max(offset, 0)


@operation("other", np.diag)
def diag(v: TensorLike, k: int = 0) -> Tensor:
    """The `k`-th diagonal of a matrix, or for a vector the matrix that has it there and zeros elsewhere."""
    v, k = as_tensor(v), integer(k)
    if v.ndim == 2:
        return diagonal(v, k)
    if v.ndim != 1:
        raise ValueError(f"diag takes a vector or a matrix, got shape {v.shape}: diagonal takes matrices in a stack")
    n = v.size + abs(k)
    return put(np.zeros((n, n), v.dtype), on_diagonal(v.size, k), v)


@operation("other", np.tril)
def tril(m: TensorLike, k: int = 0) -> Tensor:
    """Lower triangle: zeros above the `k`-th diagonal of the last two axes."""
    return record(tril, np.tril(value(m), k), (m, lambda grad, out: tril(grad, k)))


@operation("other", np.triu)
def triu(m: TensorLike, k: int = 0) -> Tensor:
    """Upper triangle: zeros below the `k`-th diagonal of the last two axes."""
    return record(triu, np.triu(value(m), k), (m, lambda grad, out: triu(grad, k)))


@operation("other", np.pad)
def pad(x: TensorLike, pad_width: Any, mode: Any = "constant", *, constant_values: Any = 0) -> Tensor:
    """`x` with more elements before and after it: constants, or copies as `mode` ("edge", "reflect", ...) says.

    `pad_width` is a number, a pair (before, after), or one pair for each axis; `constant_values` likewise.
    """
    x = as_tensor(x)
    if isinstance(pad_width, dict):
        raise TypeError("pad takes no dictionary of widths: pass a pair (before, after) for each axis")
    if mode == "constant":
        data = np.pad(x.data, pad_width, constant_values=constant_values)
        widths = np.broadcast_to(pad_width, (x.ndim, 2))
        inner = tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True))
        return record(pad, data, (x, lambda grad, out: grad[inner]))
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise ValueError(f"pad copies elements in mode edge, reflect, symmetric or wrap, or is constant; got {mode!r}")
    if np.any(constant_values):
        raise ValueError(f"constant_values are for mode='constant', not for {mode!r}")
    return ravel(x)[np.pad(np.arange(x.size).reshape(x.shape), pad_width, mode)]


@operation("other", numpy_windows)
def sliding_window_view(x: TensorLike, window_shape: Shape, axis: Shape | None = None) -> Tensor:
    """Each window of this shape, as new last axes: a read-only view."""
    x = as_tensor(x)
    shape, size = x.shape, x.size

    def rule(grad: Tensor, out: Tensor) -> Tensor:
        places = numpy_windows(np.arange(size).reshape(shape), window_shape, axis)
        return scattered(grad, (places,), (size,)).reshape(shape)

    return record(sliding_window_view, numpy_windows(x.numpy(), window_shape, axis), (x, rule))
