"""Operations that rearrange elements without computing with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import index
from typing import Any, Literal

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from minigrad.arrays import WEAK, scalar_if_0d
from minigrad.graph import record
from minigrad.ops.registry import operation
from minigrad.tensor import Rule, Tensor, TensorLike, as_tensor, value, wrap

__all__ = [
    "reshape", "ravel", "transpose", "swapaxes", "matrix_transpose", "moveaxis", "squeeze", "expand_dims",
    "broadcast_to", "concatenate", "stack", "split", "tile", "roll", "flip",
]

Shape = int | tuple[int, ...]
Axes = int | tuple[int, ...]
Order = Literal["C", "F", "A"]


def along(x: TensorLike, axis: int | None, without_axes: bool = False) -> tuple[Tensor, int]:
    """`x` and the number of one of its axes; for `axis=None` the flattened tensor and 0.

    Some functions of NumPy take what is `without_axes` for a line of one element, which has an axis 0.
    """
    x = as_tensor(x)
    if isinstance(axis, (bool, np.bool_)):
        raise TypeError(f"an axis is an integer, got {axis}")
    if axis is None or (without_axes and x.ndim == 0):
        x = reshape(x, -1)
    return x, 0 if axis is None else normalize_axis_index(axis, x.ndim)


@operation("other", np.reshape, methods="reshape")
def reshape(x: TensorLike, shape: Shape, *more: int, order: Order = "C") -> Tensor:
    """The same elements in the same order in another shape: `reshape(x, (2, 3))` or `x.reshape(2, 3)`.

    In order "F" the first index changes fastest, in "A" too if `x` lies that way in memory.
    """
    x = as_tensor(x)
    if order != "C":
        return in_order(x, (shape, *more) if more else shape, order)
    old = x.shape
    return record(reshape, x.data.reshape((shape, *more) if more else shape),
                  (x, lambda grad, out: grad.reshape(old)))


def in_order(x: Tensor, shape: Any, order: Order) -> Tensor:
    """`x` in another shape: by "F" the first index changes fastest, and by "A" too if `x` lies in memory that way."""
    if order not in ("F", "A"):
        raise ValueError(f'order is "C", "F" or "A", got {order!r}')
    if order == "A" and not x.numpy().flags.fnc:
        return reshape(x, shape)
    return reshape(x.T, tuple(reversed(shape)) if np.ndim(shape) else shape).T


@operation("other", np.ravel, methods="ravel flatten")
def ravel(x: TensorLike, order: Order = "C") -> Tensor:
    """All elements in one dimension."""
    return reshape(x, -1, order=order)


@operation("other", np.transpose, methods="transpose")
def transpose(x: TensorLike, axes: int | tuple[int, ...] | None = None, *more: int) -> Tensor:
    """The axes in another order, by default reversed: `transpose(x, (1, 0, 2))` or `x.transpose(1, 0, 2)`."""
    x = as_tensor(x)
    order: Any = axes if axes is None or isinstance(axes, (tuple, list)) or np.ndim(axes) else (axes, *more)
    data = x.data.transpose(order)
    back = None if order is None else tuple(np.argsort([index(axis) % x.ndim for axis in order]))
    return record(transpose, data, (x, lambda grad, out: grad.transpose(back)))


@operation("other", np.swapaxes, methods="swapaxes")
def swapaxes(x: TensorLike, axis1: int, axis2: int) -> Tensor:
    """Two axes exchanged."""
    x = as_tensor(x)
    return record(swapaxes, x.data.swapaxes(axis1, axis2), (x, lambda grad, out: grad.swapaxes(axis1, axis2)))


@operation("other", np.matrix_transpose)
def matrix_transpose(x: TensorLike) -> Tensor:
    """The last two axes exchanged, also as `x.mT`."""
    return swapaxes(x, -1, -2)


@operation("other", np.moveaxis)
def moveaxis(x: TensorLike, source: Axes, destination: Axes) -> Tensor:
    """Some axes moved to other places, the rest kept in order."""
    x = as_tensor(x)
    return record(moveaxis, np.moveaxis(x.numpy(), source, destination),
                  (x, lambda grad, out: moveaxis(grad, destination, source)))


@operation("other", np.squeeze, methods="squeeze")
def squeeze(x: TensorLike, axis: Axes | None = None) -> Tensor:
    """Without the axes of length 1, or without those given."""
    x = as_tensor(x)
    shape = x.shape
    return record(squeeze, x.data.squeeze(axis), (x, lambda grad, out: grad.reshape(shape)))


@operation("other", np.expand_dims)
def expand_dims(x: TensorLike, axis: Axes) -> Tensor:
    """With new axes of length 1 at these places of the result."""
    x = as_tensor(x)
    shape = x.shape
    return record(expand_dims, np.expand_dims(x.data, axis), (x, lambda grad, out: grad.reshape(shape)))


@operation("other", np.broadcast_to, methods="broadcast_to")
def broadcast_to(x: TensorLike, shape: Shape) -> Tensor:
    """`x` repeated along new axes and axes of length 1: a read-only view, its gradient is summed by the sweep."""
    return record(broadcast_to, np.broadcast_to(value(x), shape), (x, lambda grad, out: grad))


def alike(tensors: Iterable[TensorLike]) -> list[Tensor]:
    """Tensors that are to be joined: Python's numbers among them give way to the dtype of the others."""
    given = [x if type(x) in WEAK else as_tensor(x) for x in tensors]
    if all(type(x) in WEAK for x in given):
        return [as_tensor(x) for x in given]
    dtype = np.result_type(*[value(x) for x in given])
    return [x if isinstance(x, Tensor) else wrap(scalar_if_0d(np.asarray(x, dtype))) for x in given]


@operation("other", np.concatenate)
def concatenate(tensors: Sequence[TensorLike], axis: int | None = 0) -> Tensor:
    """The tensors one after the other along an existing axis; flattened first if `axis` is None."""
    inputs = [x if axis is not None else reshape(x, -1) for x in alike(tensors)]
    axis = 0 if axis is None else index(axis)
    data = np.concatenate([x.data for x in inputs], axis)
    ends, before = np.cumsum([x.shape[axis] for x in inputs]), (slice(None),) * (axis % data.ndim)
    return record(concatenate, data, *[(x, reading((*before, slice(end - x.shape[axis], end))))
                                       for x, end in zip(inputs, ends, strict=True)])


@operation("other", np.stack)
def stack(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """The tensors one after the other along a new axis."""
    inputs = alike(tensors)
    data = np.stack([x.data for x in inputs], axis)
    before = (slice(None),) * (index(axis) % data.ndim)
    return record(stack, data, *[(x, reading((*before, i))) for i, x in enumerate(inputs)])


def reading(place: Any) -> Rule:
    """The gradient rule of what ended up at this place of the result."""
    return lambda grad, out: grad[place]


def parts(indices_or_sections: Any) -> Any:
    """The number of the parts that something is split into, at least 1, or where it is."""
    if np.ndim(indices_or_sections):
        return value(indices_or_sections)
    sections = index(indices_or_sections) if hasattr(indices_or_sections, "__index__") else indices_or_sections
    if sections < 1:
        raise ValueError(f"the number of parts must be larger than 0, got {sections}")
    return sections


@operation("other", np.split)
def split(x: TensorLike, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """The list of equal parts along an axis, so many of them; or of the parts between the given indices."""
    x = as_tensor(x)
    axis = normalize_axis_index(axis, x.ndim)
    bounds = parts(indices_or_sections)
    if np.ndim(bounds) == 0:
        bounds = np.cumsum([part.size for part in np.split(np.arange(x.shape[axis]), bounds)][:-1], dtype=int)
    before = (slice(None),) * axis
    return [x[(*before, slice(start, end))] for start, end in zip((0, *bounds), (*bounds, None), strict=True)]


@operation("other", np.tile)
def tile(x: TensorLike, reps: Any) -> Tensor:
    """The whole tensor repeated: so many times along each of the last axes."""
    x = as_tensor(x)
    times = tuple(map(index, reps if np.ndim(reps) else [reps]))
    times = (1,) * (x.ndim - len(times)) + times
    sides = (1,) * (len(times) - x.ndim) + x.shape
    apart = reshape(x, tuple(n for side in sides for n in (1, side)))  # an axis before each, to repeat along
    repeated = broadcast_to(apart, tuple(n for pair in zip(times, sides, strict=True) for n in pair))
    return reshape(repeated, tuple(time * side for time, side in zip(times, sides, strict=True)))


@operation("other", np.roll)
def roll(x: TensorLike, shift: Any, axis: Axes | None = None) -> Tensor:
    """Elements moved along an axis, those pushed off the end coming back at the start."""
    def rule(grad: Tensor, out: Tensor) -> Tensor:  # Python's integers, since unsigned ones have no opposite
        return roll(grad, np.reshape([-int(by) for by in np.ravel(shift)], np.shape(shift)), axis)

    return record(roll, np.roll(value(x), shift, axis), (x, rule))


@operation("other", np.flip)
def flip(x: TensorLike, axis: Axes | None = None) -> Tensor:
    """The order of the elements reversed along some axes, by default all."""
    return record(flip, np.flip(value(x), axis), (x, lambda grad, out: flip(grad, axis)))
