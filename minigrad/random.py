"""The library's default random generator, which is used wherever no generator is given."""

from __future__ import annotations

import numpy as np

_default: np.random.Generator | None = None  # made when it is first used: importing numpy.random takes its time


def default_generator() -> np.random.Generator:
    """The generator that initialisers, dropout and data loaders draw from unless they are given their own."""
    global _default
    if _default is None:
        _default = np.random.default_rng()
    return _default


def manual_seed(seed: int) -> np.random.Generator:
    """Start the default generator anew from `seed`, and return it.

    >>> first = manual_seed(0).random()
    >>> manual_seed(0).random() == first
    True
    """
    global _default
    _default = np.random.default_rng(seed)
    return _default
