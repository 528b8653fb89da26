"""Checkpoints: what is computed in between is not kept, but computed again in the backward pass."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from minigrad.graph import record, swept
from minigrad.guards import reachable
from minigrad.modes import enable_grad, grad_mode, holding
from minigrad.random import default_generator, drawing_from, noting, standing
from minigrad.tensor import Rule, Tensor, as_tensor, clock, wrap
from minigrad.trees import Tree, leaves, rebuilt


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, not keeping what it computes in between: the backward pass computes that again (Chen et al., 2016).

    Gradients are the same bit for bit, also those of parameters that `f` uses without taking them as arguments, and
    also if it draws from the default random generator, or a layer from its own, which are set back to where they were
    for the second time, and stand afterwards as if it had not been. (Only where a tensor is used several times inside
    `f`, and elsewhere too, are the same terms added in another order.) Each output is computed again by itself, so a
    hook on a tensor inside `f` is called once for each. The second time counts nothing: what keeps statistics, as batch
    norm does, asks `is_recomputing`.

    Args:
        f: takes anything, and returns a tensor or a nested container of tensors.

    Raises:
        RuntimeError: in the backward pass, if the second time the values are others: `f` is not deterministic.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> checkpoint(lambda x: (x * x).exp())(x).sum().backward()
    >>> x.grad
    tensor([  5.43656366, 218.39260013], dtype=float64)
    """

    @wraps(f)
    def call(*args: Tree, **kwargs: Any) -> Any:
        start = clock.tick()
        with noting() as states:
            default = default_generator()
            tree = f(*args, **kwargs)
        outputs = [as_tensor(leaf) for leaf in leaves(tree)]
        values = [out._data for out in outputs]

        def compute_again(position: int) -> Tensor:
            with enable_grad(), drawing_from(default), standing(states), holding(_of_thread, recomputing=True):
                again = as_tensor(leaves(f(*args, **kwargs))[position])
            if not np.array_equal(again._data, values[position], equal_nan=True):
                raise RuntimeError("a checkpointed function must be deterministic, but its values differ when repeated")
            return again

        kept = [Recomputation(compute_again, i, entries(out, start)) for i, out in enumerate(outputs)]
        return rebuilt(tree, [record(checkpoint, v, *[(x, k.rule(x)) for x in k.inputs])
                              for v, k in zip(values, kept, strict=True)])

    return call


class OfThread(threading.local):
    """Whether a checkpointed function is computed again, separately in each thread."""

    recomputing = False


_of_thread = OfThread()


def is_recomputing() -> bool:
    """Whether this is not the first time that this is computed: statistics have counted it already, see `checkpoint`.

    >>> seen = []
    >>> def f(x):
    ...     seen.append(is_recomputing())
    ...     return x * x
    >>> checkpoint(f)(Tensor(1.0, requires_grad=True)).backward()
    >>> seen
    [False, True]
    """
    return _of_thread.recomputing


def entries(output: Tensor, start: int) -> list[Tensor]:
    """The tensors that require gradients from which `output` was computed since `start`."""
    def parents(tensor: Tensor) -> list[Tensor]:
        return [parent for parent, _ in tensor._edges] if tensor._time > start else []

    searched = reachable([output], parents)
    return [x for x in searched if x._requires_grad and (x.is_leaf or x._time < start)]


class Recomputation:
    """One output of a checkpointed call: its rules, which share a second computation and the sweep through it."""

    def __init__(self, compute_again: Callable[[int], Tensor], position: int, inputs: Sequence[Tensor]) -> None:
        self.compute_again, self.position, self.inputs = compute_again, position, inputs
        self.grad: Tensor | None = None
        self.gradients: dict[Tensor, Tensor] = {}

    def rule(self, x: Tensor) -> Rule:
        """The rule of one input."""
        return lambda grad, out: self.gradient(x, grad)

    def gradient(self, x: Tensor, grad: Tensor) -> Tensor:
        """The gradient of one input; each is handed out once, so that nothing is kept after the pass."""
        if grad is not self.grad or x not in self.gradients:
            again = self.compute_again(self.position)
            found = swept([(again, grad)], grad_mode.enabled, None, self.inputs).gradients
            self.grad = grad  # a leaf that f made the first time has no part in the second
            self.gradients = {x: found[x] if x in found else wrap(np.zeros(x.shape, x.dtype)) for x in self.inputs}
        gradient = self.gradients.pop(x)
        if not self.gradients:
            self.grad = None
        return gradient
