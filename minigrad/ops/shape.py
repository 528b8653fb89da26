"""Operations that rearrange elements without computing with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.graph import record
from minigrad.ops.registry import operation
from minigrad.tensor import Tensor, TensorLike, as_tensor

__all__ = [
    "reshape", "transpose", "swapaxes", "broadcast_to", "concatenate", "stack",
]  # fmt: skip

Shape = int | tuple[int, ...]


@operation("reshape", np.reshape, methods="reshape")
def reshape(x: TensorLike, shape: Shape, *more: int) -> Tensor:
    """The same elements in the same order in another shape: `reshape(x, (2, 3))` or `x.reshape(2, 3)`."""
    x = as_tensor(x)
    old = x.shape
    return record(reshape, x.data.reshape((shape, *more) if more else shape),
                  (x, lambda grad, out: grad.reshape(old)))


@operation("transpose", np.transpose, methods="transpose")
def transpose(x: TensorLike, axes: int | tuple[int, ...] | None = None, *more: int) -> Tensor:
    """The axes in another order, by default reversed: `transpose(x, (1, 0, 2))` or `x.transpose(1, 0, 2)`."""
    x = as_tensor(x)
    order = None if axes is None else axes if isinstance(axes, Sequence) else (axes, *more)
    back = None if order is None else tuple(np.argsort([axis % x.ndim for axis in order]))
    return record(transpose, x.data.transpose(order), (x, lambda grad, out: grad.transpose(back)))


@operation("swapaxes", np.swapaxes, methods="swapaxes")
def swapaxes(x: TensorLike, axis1: int, axis2: int) -> Tensor:
    """Two axes exchanged."""
    x = as_tensor(x)
    return record(swapaxes, x.data.swapaxes(axis1, axis2), (x, lambda grad, out: grad.swapaxes(axis1, axis2)))


@operation("broadcast_to", np.broadcast_to, methods="broadcast_to")
def broadcast_to(x: TensorLike, shape: Shape) -> Tensor:
    """`x` repeated along new axes and axes of length 1: a read-only view, its gradient is summed by the sweep."""
    x = as_tensor(x)
    return record(broadcast_to, np.broadcast_to(x.data, shape), (x, lambda grad, out: grad))


@operation("concatenate", np.concatenate)
def concatenate(tensors: Sequence[TensorLike], axis: int | None = 0) -> Tensor:
    """The tensors one after the other along an existing axis; flattened first if `axis` is None."""
    parts = [as_tensor(x) if axis is not None else reshape(x, -1) for x in tensors]
    along = axis or 0
    ends = np.cumsum([x.shape[along] for x in parts])

    def part(i: int) -> Any:
        before = (slice(None),) * (along % parts[i].ndim)
        index = (*before, slice(ends[i] - parts[i].shape[along], ends[i]))
        return lambda grad, out: grad[index]

    return record(concatenate, np.concatenate([x.data for x in parts], along),
                  *[(x, part(i)) for i, x in enumerate(parts)])


@operation("stack", np.stack)
def stack(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """The tensors one after the other along a new axis."""
    parts = [as_tensor(x) for x in tensors]
    data = np.stack([x.data for x in parts], axis)
    before = (slice(None),) * (axis % data.ndim)

    def part(i: int) -> Any:
        return lambda grad, out: grad[(*before, i)]

    return record(stack, data, *[(x, part(i)) for i, x in enumerate(parts)])
