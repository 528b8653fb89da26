"""What holds in one thread and for a while: first of all, whether operations are recorded."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def holding(state: threading.local, **values: Any) -> Iterator[None]:
    """Inside, and in this thread, these attributes of `state` have these values; afterwards those of before."""
    before = {name: getattr(state, name) for name in values}
    vars(state).update(values)
    try:
        yield
    finally:
        vars(state).update(before)


class GradMode(threading.local):
    """Whether operations are recorded, and whether they were before each context that is entered: in each thread."""

    enabled = True

    def __init__(self) -> None:
        self.previous: list[bool] = []


grad_mode = GradMode()


class AroundCalls(ContextDecorator):
    """A context manager that is a decorator too, of functions that have returned when their work is done."""

    def __call__(self, f: F) -> F:
        """The function, within this context."""
        if works_later(f):
            name, function = type(self).__name__, getattr(f, "__name__", type(f).__name__)
            raise TypeError(f"{name}() would end before {function}() does anything: write `with {name}():` inside it")
        return super().__call__(f)


def works_later(f: Any) -> bool:
    """Whether what `f` returns has its work still to do: of generators and coroutines, also as methods of objects."""
    while isinstance(f, (functools.partial, staticmethod)):
        f = f.func if isinstance(f, functools.partial) else f.__func__
    kinds = inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction
    return any(is_one(function) for is_one in kinds for function in (f, type(f).__call__))


class _SetGradMode(AroundCalls):
    """A context manager, or a decorator, that sets the grad mode and restores it whatever happens.

    It is a class and not a generator, so that one context can be entered again, also while it is entered. It keeps
    nothing itself, so that threads can share it.
    """

    enabled: bool

    def __enter__(self) -> None:
        grad_mode.previous.append(grad_mode.enabled)
        grad_mode.enabled = self.enabled

    def __exit__(self, *exc_info: object) -> None:
        grad_mode.enabled = grad_mode.previous.pop()


class no_grad(_SetGradMode):
    """Within this context (or the decorated function) nothing is recorded.

    >>> from minigrad import tensor
    >>> x = tensor(2.0, requires_grad=True)
    >>> with no_grad():
    ...     y = x * x
    >>> y.requires_grad
    False
    """

    enabled = False


class enable_grad(_SetGradMode):
    """Within this context (or the decorated function) operations are recorded, also inside `no_grad`."""

    enabled = True


def is_grad_enabled() -> bool:
    """Whether this thread records operations at the moment."""
    return grad_mode.enabled
