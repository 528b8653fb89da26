"""The same values in other memory layouts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigrad.arrays import Array


def strided(x: Array) -> Array:
    """Every other element of an array twice as long."""
    if not x.ndim:
        return x.copy()
    wide = np.empty((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = wide[..., 1::2] = x
    return wide[..., ::2]


def backwards(x: Array) -> Array:
    """With negative strides along all axes."""
    return np.asarray(np.flip(np.flip(x).copy()))


def unwritable(x: Array) -> Array:
    """A copy that cannot be written into."""
    x = x.copy()
    x.flags.writeable = False
    return x


def awkward(x: Array) -> Array:
    """Strided, with negative strides along all axes and read-only: what any one of these spoils, this does too."""
    x = np.asarray(np.flip(strided(np.flip(x))))
    x.flags.writeable = False
    return x


def repeated(x: Array) -> Array:
    """The first entries along the last axis, repeated along it with stride 0: other values, unlike the rest."""
    return np.broadcast_to(x[..., :1], x.shape) if x.ndim and x.size else x.copy()


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "C": lambda x: np.array(x, order="C"),
    "Fortran-ordered": lambda x: np.array(x, order="F"),
    "strided": strided,
    "negative-stride": backwards,
    "read-only": unwritable,
}
