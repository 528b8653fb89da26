"""The library's default random generator, which is used wherever no generator is given."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from operator import index
from typing import Any, TypeAlias

import numpy as np

from minigrad.modes import holding

_default: np.random.Generator | None = None  # made when it is first used: `numpy.random` is long to import
Generator: TypeAlias = "np.random.Generator"  # in quotes, as `numpy.random` is long to import
States: TypeAlias = "dict[Generator, Any]"  # where generators stand


class OfThread(threading.local):
    """What holds in one thread: the generator that takes the place of the default, and who notes what is drawn from."""

    generator: np.random.Generator | None = None
    notes: tuple[States, ...] = ()


_of_thread = OfThread()


def default_generator() -> np.random.Generator:
    """The generator that initialisers, dropout and data loaders draw from unless they are given their own."""
    global _default
    if _default is None:
        _default = np.random.default_rng()
    return source(_of_thread.generator or _default)


def source(generator: np.random.Generator | None) -> np.random.Generator:
    """What to draw from, right away: the generator, or the default one. `noting` hears of it.

    Raises TypeError if it is no generator of NumPy.
    """
    if generator is None:
        return default_generator()
    if not isinstance(generator, np.random.Generator):
        kind = f"numpy.random.Generator, as numpy.random.default_rng(seed) makes one, got {generator!r:.80}"
        raise TypeError(f"random numbers are drawn from a {kind}")
    for states in _of_thread.notes:
        if generator not in states:
            states[generator] = generator.bit_generator.state
    return generator


@contextmanager
def noting() -> Iterator[States]:
    """Inside, and in this thread, it is noted where each generator stood before it was drawn from.

    >>> with noting() as states:
    ...     first = default_generator().random()
    >>> with standing(states):
    ...     first == default_generator().random()
    True
    """
    states: States = {}
    with holding(_of_thread, notes=(*_of_thread.notes, states)):
        yield states


@contextmanager
def standing(states: States) -> Iterator[None]:
    """Inside, generators stand where they stood then; afterwards again where they stand now."""
    now = {generator: generator.bit_generator.state for generator in states}
    put(states)
    try:
        yield
    finally:
        put(now)


def put(states: States) -> None:
    """Set generators to where they stood."""
    for generator, state in states.items():
        generator.bit_generator.state = state


def manual_seed(seed: int) -> np.random.Generator:
    """Start the default generator, or what takes its place in this thread, anew from `seed`, and return it.

    The seed is an integer, or whatever else `np.random.default_rng` takes.

    >>> first = manual_seed(0).random()
    >>> manual_seed(0).random() == first
    True
    """
    global _default
    with suppress(TypeError):  # an array or a tensor of no axes is a number, too
        seed = index(seed)
    generator = np.random.default_rng(seed)
    if _of_thread.generator is None:
        _default = generator
    else:
        _of_thread.generator = generator
    return generator


def drawing_from(generator: np.random.Generator) -> AbstractContextManager[None]:
    """Inside, and in this thread alone, `generator` takes the place of the default one.

    >>> with drawing_from(np.random.default_rng(0)):
    ...     first = default_generator().random()
    >>> first == np.random.default_rng(0).random()
    True
    """
    return holding(_of_thread, generator=generator)
