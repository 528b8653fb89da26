"""Reading elements by index, and the functional way of writing them."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.graph import record
from minigrad.ops.registry import operation
from minigrad.tensor import Tensor, TensorLike, as_tensor, value

__all__ = [
    "getitem", "add_at",
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


@operation("getitem", None, methods="__getitem__")
def getitem(x: TensorLike, index: Any) -> Tensor:
    """`x[index]` for every kind of index NumPy knows; an element that is read twice gets both gradients."""
    x, index = as_tensor(x), plain(index)
    shape = x.shape
    return record(getitem, x.numpy()[index], (x, lambda grad, out: add_at(np.zeros(shape, grad.dtype), index, grad)))


@operation("add_at", None)
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
