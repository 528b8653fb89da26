"""What a tensor holds: arrays of booleans, integers or reals, and NumPy's scalars in place of those without axes."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

NUMERIC = "biuf"  # the kinds of dtypes that tensors have: booleans, integers, reals
PLAIN = np.ndarray  # the class of arrays that tensors have; others add to it what a tensor would lose
# In which many numbers are added up: 2048 + 1 is 2048 in float16, and 2²⁴ + 1 is 2²⁴ in float32.
WIDER: dict[Any, np.dtype[Any]] = {
    np.dtype(np.float16): np.dtype(np.float32), np.dtype(np.float32): np.dtype(np.float64),
}
BITS = {np.dtype(f"f{n}"): np.dtype(f"i{n}") for n in (2, 4, 8)}  # integers as long as a float
WEAK = frozenset([float, int, bool])  # Python's numbers: their dtype gives way to an array's


def numeric_array(x: Any, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
    """`x` as a boolean, integer or real ndarray; TypeError or ValueError with a sentence for anything else."""
    check_no_more_than_elements(x, "a tensor")
    try:
        array: Array = np.array(x, dtype=dtype, copy=copy)
    except ValueError as error:
        raise ValueError(f"cannot make a tensor of this {type(x).__name__}: {error}") from None
    if array.dtype.kind not in NUMERIC:
        raise TypeError(f"a tensor holds booleans, integers or reals, got {type(x).__name__} of dtype {array.dtype}")
    return array if array.dtype.isnative else array.astype(native(array.dtype))


def check_no_more_than_elements(x: Any, keeper: str) -> None:
    """Raise TypeError if an array, or one in a list, is of a class whose additions `keeper` loses: a masked one."""
    for part in x if isinstance(x, (list, tuple)) else [x]:
        if isinstance(part, np.ndarray) and part.__array_priority__ > 0:  # it says that it is more than its elements
            filled = "x.filled(v) or " if isinstance(part, np.ma.MaskedArray) else ""
            raise TypeError(f"{keeper} would lose what a {type(part).__name__} adds: pass {filled}np.asarray(x)")


def native(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """The dtype in the byte order of this machine, in which NumPy computes: so float16 is one dtype and not two."""
    given = np.dtype(dtype)
    return given if given.isnative else np.dtype(given.type)


def kept_where(condition: Array, x: Array, out: Array | None = None) -> Array:
    """Floats where a boolean array holds, else 0: their bits, masked as fast as a product, where inf times 0 is NaN."""
    bits = BITS.get(x.dtype)
    if bits is None:  # in extended precision
        return np.positive(np.where(condition, x, 0), out=out)
    masked = np.bitwise_and(x.view(bits), -condition.view(np.int8), out=None if out is None else out.view(bits))
    kept: Array = masked.view(x.dtype)
    return kept


def floats(x: Any) -> Any:
    """Integers and booleans as floats: those of few bits soon overflow, and unsigned ones have no opposite."""
    return x if type(x) not in WEAK and x.dtype.kind == "f" else x * 1.0


def scalar_if_0d(array: Array) -> Any:
    """A NumPy scalar for a 0-d array, any other array itself: what NumPy returns, and computes fastest with."""
    return array if array.ndim else array[()]


def scalar_of(number: Any) -> Any:
    """NumPy's scalar for a 0-d array, for itself, or for what Python computed of its own numbers.

    An array of another class than `PLAIN` is made one, or refused; TypeError for anything else.
    """
    if isinstance(number, np.generic):
        return number
    if type(number) is PLAIN:
        return number[()]
    if type(number) not in WEAK and not isinstance(number, np.ndarray):
        raise TypeError(f"record takes a value as NumPy returned it, got {type(number).__name__}: use x.data for it")
    return scalar_if_0d(numeric_array(number))


def read_only(data: Any) -> Array:
    """An array or a scalar of NumPy's as an array that cannot be written into this way."""
    view: Array = data[...]
    view.flags.writeable = False
    return view


def owner_of(array: Array) -> Array:
    """The array that owns the memory which this one is, or is a view of."""
    while True:
        base: Any = array.base  # or what NumPy has put in between, as in a sliding window
        owner = base if isinstance(base, np.ndarray) else getattr(base, "base", None)
        if not isinstance(owner, np.ndarray):
            return array
        array = owner
