"""Watching the engine: who wants to see every step of a thread is told here, forwards and backwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from minigrad.graph import Pending, fitted_to, watches
from minigrad.tensor import Tensor, TensorLike


class Watch:
    """What is told of every step: a subclass overrides what it wants to know, and hands it on to `outer`."""

    outer: Watch | None = None

    def on_record(self, operation: Callable[..., Any], out: Tensor, inputs: list[TensorLike]) -> None:
        """An operation was called and gave `out`; `inputs` are those it names rules for, constants too."""
        if self.outer is not None:
            self.outer.on_record(operation, out, inputs)

    def on_contribution(self, out: Tensor, grad: Tensor, parent: Tensor, contribution: Tensor) -> None:
        """A rule of `out`, given `grad`, has passed a contribution back to `parent`."""
        if self.outer is not None:
            self.outer.on_contribution(out, grad, parent, contribution)

    def pending(self, seeds: Iterable[tuple[Tensor, Tensor]], create_graph: bool) -> Pending:
        """The books of a sweep, that tell this watch what comes in."""
        return WatchedPending(seeds, create_graph, self)


class WatchedPending(Pending):
    """The gradients on their way back, and a watch that is told of each contribution."""

    out: Tensor | None

    def __init__(self, seeds: Iterable[tuple[Tensor, Tensor]], create_graph: bool, watch: Watch) -> None:
        self.watch, self.out = watch, None
        super().__init__(seeds, create_graph)

    def take(self, tensor: Tensor) -> Tensor:
        self.out, self.grad = tensor, super().take(tensor)
        return self.grad

    def add(self, tensor: Tensor, gradient: Tensor) -> None:
        gradient = fitted_to(tensor, gradient)
        if self.out is not None:  # else it is a seed
            self.watch.on_contribution(self.out, self.grad, tensor, gradient)
        super().add(tensor, gradient)


@contextmanager
def watching(watch: Any) -> Iterator[None]:
    """Have `watch` told about every step in this thread."""
    thread = threading.get_ident()
    outer = watches.get(thread)
    watches[thread] = watch
    try:
        yield
    finally:
        if outer is None:
            del watches[thread]
        else:
            watches[thread] = outer
