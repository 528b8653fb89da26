"""The tensor: an array, its gradient, and the recorded step that made it.

What can be done *with* a tensor is defined elsewhere: `graph.py` records steps and sweeps gradients
back through them, and `ops/` holds the operations, which also become the tensor's operators and methods.

Which door leads where:

    for users       tensor(x), Tensor(x)   a new tensor with a copy of the value
                    x.numpy()              the value to read, an ndarray always; x.item() the number
                    x.detach()             the same value, cut off from the graph
                    x.data = new           an update in place, as optimizers make it; x.data is the array itself
    in operations   value(x)               what NumPy computes with: an array, or a Python number, whose dtype is weak
                    as_tensor(x)           `x` itself, or a constant around it that shares its memory
                    wrap(array)            a constant around what NumPy returned, unchecked
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from operator import index
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import ref

import numpy as np
import numpy.typing as npt

from minigrad.arrays import NUMERIC, WEAK, Array, numeric_array, owner_of, scalar_if_0d
from minigrad.methods import Methods
from minigrad.modes import grad_mode

if TYPE_CHECKING:
    from minigrad.hooks import Extras

Rule: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"
Edge: TypeAlias = "tuple[Tensor, Rule]"
TensorLike: TypeAlias = "Tensor | npt.ArrayLike"


class Clock:
    """Numbers recorded steps and in-place updates alike, so that of any two the later one is known.

    So one integer on each tensor gives the order for the backward pass, a topological one, and tells whether a value
    is still the one that a step has used.
    """

    def __init__(self) -> None:
        self.tick = count(1).__next__
        self.last_update = 0
        self.written: dict[int, tuple[ref[Array], int]] = {}  # id of an array that was written into -> it, and when


clock = Clock()


class Tensor(Methods):
    """An n-dimensional array that can be differentiated with respect to.

    Operators and methods come to it from the operations: `@operation(..., methods="__add__")` in `ops/` puts them here,
    and `methods.py` declares them.

    Args:
        data: anything `numpy.array` takes; copied, its dtype kept.
        requires_grad: whether `backward` accumulates a gradient for this tensor (floating dtypes only).
        dtype: a NumPy dtype to convert to.

    Raises:
        TypeError: if `data` is not numeric, or an integer or boolean tensor is asked for gradients.
        ValueError: if nested lists do not form a rectangle.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.], dtype=float64)
    """

    __slots__ = (
        "__weakref__",
        "_data",  # the ndarray; a NumPy scalar if 0-d, which is what NumPy returns and computes fastest with
        "_edges",  # of a recorded result: one (parent, gradient rule) for each parent that requires a gradient
        "_extras",  # what few tensors have, such as hooks
        "_operation",  # the operation that made this tensor; None for a leaf
        "_requires_grad",
        "_time",  # when this tensor was recorded, or last updated in place, by the clock; else 0
        "grad",
    )

    _data: Array
    _edges: tuple[Edge, ...]
    _extras: Extras | None
    _operation: Callable[..., Any] | None
    _requires_grad: bool
    _time: int
    grad: Tensor | None

    def __init__(self, data: TensorLike, *, requires_grad: bool = False, dtype: npt.DTypeLike | None = None) -> None:
        self._data = scalar_if_0d(numeric_array(data._data if isinstance(data, Tensor) else data, dtype, copy=True))
        self._edges, self._time = (), 0
        self._operation = self._extras = self.grad = None
        self.requires_grad = requires_grad

    # ---------------------------------------------------------------- what it holds

    @property
    def data(self) -> Array:
        """The array itself, not a copy, or NumPy's scalar. Assigning, also by `p.data -= update`, updates in place.

        An update is remembered, so that a backward pass that needs the old value refuses instead of using the new.
        """
        return self._data

    @data.setter
    def data(self, new: Array) -> None:
        if not self.is_leaf:
            raise RuntimeError("cannot assign to the data of a recorded result: only leaf tensors are updated in place")
        if new is not self._data and np.shape(new) != self.shape:
            raise ValueError(f"cannot assign data of shape {np.shape(new)} to a tensor of shape {self.shape}")
        self._time = clock.last_update = clock.tick()
        if new is not self._data:
            self._data = scalar_if_0d(numeric_array(new, self.dtype, copy=True))
        # `p.data -= update` has written into the array before it is assigned: its views have changed with it
        elif isinstance(new, np.ndarray):
            owner = new if new.base is None else owner_of(new)
            clock.written[id(owner)] = ref(owner), self._time

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor: set on leaves, inherited by every result computed from them."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, required: bool) -> None:
        if required and self.dtype.kind != "f":
            raise TypeError(f"only floating tensors can require gradients, got {self.dtype}: convert with dtype=float")
        if not required and not self.is_leaf:
            raise RuntimeError("only a leaf can stop requiring gradients: use .detach() on a recorded result")
        self._requires_grad = bool(required)

    @property
    def is_leaf(self) -> bool:
        """True unless an operation made this tensor, and that was recorded."""
        return self._operation is None

    @property
    def retains_grad(self) -> bool:
        """True for an inner tensor whose gradient is kept in `.grad`, see `retain_grad`."""
        return self._extras is not None and self._extras.retains_grad

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        return self._data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._data.dtype

    def numpy(self) -> Array:
        """The value as an ndarray, sharing memory unless 0-d; treat it as read-only while a graph lives."""
        return np.asarray(self._data)

    def item(self, *index: int) -> Any:
        """The element at `index`, by default the single one, as a Python number; ValueError if there are more."""
        if not index and self.size != 1:
            raise ValueError(f"item() needs a tensor with one element, got shape {self.shape}: name one, or .tolist()")
        return self._data.item(*index)

    def detach(self) -> Tensor:
        """The same value, sharing memory unless 0-d, cut off from the graph: no gradient flows back through it."""
        return wrap(self._data)

    # ---------------------------------------------------------------- how Python sees it

    def __repr__(self) -> str:
        body = np.array2string(self._data, separator=", ", prefix="tensor(")
        parts = [body, f"dtype={self.dtype}"]
        if self._operation is not None:
            from minigrad.guards import name_of  # which imports this file

            parts.append(f"operation={name_of(self)}")
        elif self._requires_grad:
            parts.append("requires_grad=True")
        return f"tensor({', '.join(parts)})"

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("a 0-d tensor has no length and cannot be iterated over: its value is .item()")
        return len(self._data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"a tensor of shape {self.shape} is neither true nor false: use .any() or .all()")
        return bool(self._data)

    def __index__(self) -> int:
        return index(self._data)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if self._requires_grad:
            raise TypeError("a tensor with requires_grad does not become an array by itself: use .detach() or mg.stack")
        return np.array(self._data, dtype=dtype, copy=copy)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Any:
        return self._data == (other._data if isinstance(other, Tensor) else other)

    def __ne__(self, other: object) -> Any:
        return self._data != (other._data if isinstance(other, Tensor) else other)

    def __lt__(self, other: TensorLike) -> Any:
        return self._data < value(other)

    def __le__(self, other: TensorLike) -> Any:
        return self._data <= value(other)

    def __gt__(self, other: TensorLike) -> Any:
        return self._data > value(other)

    def __ge__(self, other: TensorLike) -> Any:
        return self._data >= value(other)

    def __setitem__(self, index: Any, new: TensorLike) -> None:
        if not self.is_leaf or (grad_mode.enabled and (self._requires_grad or getattr(new, "requires_grad", False))):
            raise RuntimeError("no gradient goes through an assignment: write x = put(x, index, value), or under "
                               "no_grad() assign to a leaf")
        array = np.asarray(self._data)
        array[value(index) if isinstance(index, Tensor) else index] = value(new)
        self.data = array


tensor = Tensor


def wrap(data: Any) -> Tensor:
    """A constant around what NumPy returned: no copy, no checks."""
    new = Tensor.__new__(Tensor)
    new._data = data
    new._edges, new._time = (), 0
    new._operation = new._extras = new.grad = None
    new._requires_grad = False
    return new


def value(x: TensorLike) -> Any:
    """What NumPy computes with: a tensor's array; Python scalars stay as they are, since their dtype is weak."""
    if isinstance(x, Tensor):
        return x._data
    if type(x) in WEAK or (type(x) is np.ndarray and x.dtype.kind in NUMERIC and x.dtype.isnative):
        return x
    return numeric_array(x)


def as_tensor(x: TensorLike) -> Tensor:
    """`x` itself if it is a tensor, otherwise a constant around it that shares its memory."""
    return x if isinstance(x, Tensor) else wrap(numeric_array(x))
