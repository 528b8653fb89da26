"""The library's default random generator, which is used wherever no generator is given."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

_default: np.random.Generator | None = None  # made when it is first used: importing numpy.random takes its time
_of_thread = threading.local()  # its `generator` takes the place of the default in one thread


def default_generator() -> np.random.Generator:
    """The generator that initialisers, dropout and data loaders draw from unless they are given their own."""
    global _default
    own: np.random.Generator | None = getattr(_of_thread, "generator", None)
    if own is not None:
        return own
    if _default is None:
        _default = np.random.default_rng()
    return _default


def manual_seed(seed: int) -> np.random.Generator:
    """Start the default generator, or what takes its place in this thread, anew from `seed`, and return it.

    >>> first = manual_seed(0).random()
    >>> manual_seed(0).random() == first
    True
    """
    global _default
    generator = np.random.default_rng(seed)
    if getattr(_of_thread, "generator", None) is None:
        _default = generator
    else:
        _of_thread.generator = generator
    return generator


@contextmanager
def drawing_from(generator: np.random.Generator) -> Iterator[None]:
    """Inside, and in this thread alone, `generator` takes the place of the default one.

    >>> with drawing_from(np.random.default_rng(0)):
    ...     first = default_generator().random()
    >>> first == np.random.default_rng(0).random()
    True
    """
    before = getattr(_of_thread, "generator", None)
    _of_thread.generator = generator
    try:
        yield
    finally:
        _of_thread.generator = before
