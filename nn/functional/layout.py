"""Changes of shape that mind the memory."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minigrad import Tensor, TensorLike, as_tensor, operation, record
from minigrad.arrays import Array
from minigrad.modes import is_grad_enabled
from minigrad.tensor import wrap
from nn.functional.settings import whole

__all__ = ["flatten"]

Axes = tuple[int, ...]
BLOCK = 8  # images copied at a time


@operation("other")
def flatten(x: TensorLike, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """All axes from `start_dim` to `end_dim` in one; a number becomes one axis of length 1.

    Raises:
        ValueError: if the input does not have these axes in this order.

    >>> flatten(np.ones((5, 2, 3)), 1).shape
    (5, 6)
    """
    x = as_tensor(x)
    x = x if x.ndim else x.reshape(1)  # a number is taken for one axis, as in PyTorch
    shape = x.shape
    start_dim, end_dim = whole("flatten", "start_dim", start_dim), whole("flatten", "end_dim", end_dim)
    start = start_dim + x.ndim if start_dim < 0 else start_dim
    end = end_dim + x.ndim if end_dim < 0 else end_dim
    if not 0 <= start <= end < x.ndim:
        raise ValueError(f"flatten joins the axes {start_dim} to {end_dim}, got shape {shape}")
    if start == end:
        return x
    axes = None if x.data.flags.c_contiguous else memory_axes(x.data)

    def rule(grad: Tensor, out: Tensor) -> Tensor:
        gradient = grad.reshape(shape)
        if axes is None or is_grad_enabled():
            return gradient
        # In the memory order of x: arithmetic with arrays in different orders takes four times as long.
        return wrap(arranged(gradient.data, axes))

    # A copy in two steps, the last axis moved in the second alone, can be five times as fast.
    data = x.data if axes is None else arranged(x.data, (*sorted(axes[:-1]), axes[-1]))
    return record(flatten, data.reshape(*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :]), (x, rule))


def arranged(x: Array, axes: Axes) -> Array:
    """`x` if it lies in memory along these axes, otherwise a copy that does."""
    if memory_axes(x) == axes:
        return x
    copy = empty_along(axes, x.shape, x.dtype)
    for start in range(0, len(x), BLOCK):  # blocks that fit the cache: large arrays take a quarter of the time
        copy[start : start + BLOCK] = x[start : start + BLOCK]
    return copy


def memory_axes(x: Array) -> Axes:
    """The axes of an array in the order in which they lie in memory, the outermost first."""
    return tuple(sorted(range(x.ndim), key=lambda axis: -x.strides[axis]))


def empty_along(axes: Axes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array of this shape without values, that lies in memory along these axes."""
    return np.empty([shape[axis] for axis in axes], dtype).transpose(inverse(axes))


def inverse(axes: Axes) -> Axes:
    """The axes that `transpose` takes to undo `transpose(axes)`."""
    return tuple(axes.index(axis) for axis in range(len(axes)))
