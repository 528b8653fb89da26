"""Recording a graph of operations and sweeping gradients back through it.

An operation computes its value with NumPy and hands it to `record`, together with one rule for each input that
says how a gradient flows back to that input:

    record(multiply, value(a) * value(b),
           (a, lambda grad, out: grad * b),
           (b, lambda grad, out: grad * a))

`backward` sweeps over the recorded tensors from the newest to the oldest: take the gradient of the newest, apply its
rules, add what they give to the gradients of its parents. What rules return is summed over broadcast axes, checked
and cast in one place, for all rules.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.allocator import keep_freed_memory
from minigrad.arrays import PLAIN, WIDER, scalar_of
from minigrad.guards import Freed, check_not_updated, failed_rule, freed_before, freed_here
from minigrad.hooks import after_hooks, fitted
from minigrad.modes import enable_grad, grad_mode, no_grad
from minigrad.tensor import Edge, Rule, Tensor, TensorLike, as_tensor, clock, wrap

if TYPE_CHECKING:
    from minigrad.recording import Recorder

accumulating = threading.RLock()  # gradients of leaves that threads share
watches: dict[int, Recorder] = {}  # thread -> what is told of every step there; mostly empty


# ------------------------------------------------------------------------------------------------ forwards


def record(operation: Callable[..., Any], data: Any, *edges: tuple[TensorLike, Rule]) -> Tensor:
    """The tensor of an operation's value, remembering how it was made.

    Args:
        operation: the function that computes `data`; its name appears in messages and drawings.
        data: the value, as NumPy returned it: booleans, integers or reals in the byte order of this machine. A gradient
            that comes back to what is not floating is refused.
        edges: (input, rule) for each differentiable input. `rule(grad, out)` takes the gradient with respect to the
            result, and the result itself, both tensors, and returns the gradient with respect to the input.

    A rule
    - is written in tensor operations of `grad`: so it has a derivative itself, and there are gradients of any order;
    - may return the broadcast shape or another dtype: the sweep sums and casts, for all rules;
    - does not hold the result, which it is handed as `out`: the two would keep each other alive, and the graph would
      wait for the garbage collector instead of being freed with its last tensor;
    - may hold whatever else it needs: tensors, arrays, numbers, functions; in its closure, its defaults, a
      `functools.partial`, or `self`. If one of these tensors, or the memory of one of these arrays, is updated in
      place through a tensor before the backward pass, that refuses (`guards.py`); what a class, a module or a weak
      reference leads to is not watched. It changes nothing of what it holds or is handed, and does not return what it
      holds, which the user may write into.

    >>> def square(x):
    ...     return record(square, x.data**2, (x, lambda grad, out: 2 * grad * x))
    >>> x = Tensor(3.0, requires_grad=True)
    >>> square(x).backward()
    >>> x.grad
    tensor(6., dtype=float64)
    """
    out = wrap(data)
    if grad_mode.enabled:
        live: tuple[Edge, ...] = ()  # filled in a loop, at every step: a generator takes twice as long
        for edge in edges:
            x = edge[0]
            if isinstance(x, Tensor) and x._requires_grad:
                live += (edge,)  # type: ignore[operator]
        if live:
            out._edges, out._operation = live, operation
            out._requires_grad, out._time = True, clock.tick()
    if type(data) is not PLAIN or not data.ndim:
        out._data = scalar_of(data)
    if watches and (watch := watches.get(threading.get_ident())):
        watch.on_record(operation, out, [x for x, _ in edges])
    return out


def topological_order(*roots: TensorLike, until: Iterable[Tensor] = ()) -> list[Tensor]:
    """The recorded tensors that `roots` were computed from, themselves included, each after all its parents.

    A tensor is always recorded later than its parents, so the order of recording is a topological order. The search
    stops at the tensors in `until`: neither they nor what only they were computed from are in the list.

    Raises:
        RuntimeError: if a backward pass has freed part of the graph.
    """
    seen = set(until)
    found = [root for root in dict.fromkeys(map(as_tensor, roots)) if root not in seen and root._operation is not None]
    seen.update(found)
    for tensor in found:  # grows while it is walked
        if isinstance(tensor._edges, Freed):
            raise RuntimeError(freed_before(tensor, tensor._edges))
        for parent, _ in tensor._edges:
            if parent._operation is not None and parent not in seen:
                seen.add(parent)
                found.append(parent)
    return sorted(found, key=attrgetter("_time"))


# ------------------------------------------------------------------------------------------------ backwards


def backward(
    self: Tensor, gradient: TensorLike | None = None, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """Accumulate into `.grad` of every leaf the gradient of this tensor with respect to it.

    Args:
        gradient: the gradient with respect to this tensor, of its shape; 1 by default if it has a single element.
        retain_graph: keep the graph for another backward pass instead of freeing it.
        create_graph: record the backward pass itself, so that the gradients can be differentiated; keeps the graph.

    Raises:
        RuntimeError: if this tensor requires no gradient, if `gradient` is needed and missing, if the graph was freed,
            or if a tensor was updated in place after a step that needs its old value.
        ValueError, TypeError: if `gradient`, or what a rule returns, is no tensor of the right shape.

    >>> x = Tensor(3.0, requires_grad=True)
    >>> (x * x).backward()
    >>> x.grad
    tensor(6., dtype=float64)
    """
    freed = None if retain_graph or create_graph else freed_here()
    found = sweep([(self, seed(self, gradient))], create_graph, freed)
    with enable_grad() if create_graph else nullcontext():
        accumulate(found)


def accumulate(gradients: dict[Tensor, Tensor]) -> None:
    """Add gradients to the `.grad` of leaves, which threads may share."""
    with accumulating:
        for leaf, grad in gradients.items():
            leaf.grad = grad if leaf.grad is None else leaf.grad + grad


Tensor.backward = backward  # type: ignore[method-assign, assignment]


def seed(root: Tensor, gradient: TensorLike | None) -> Tensor:
    """The gradient that a backward pass from `root` starts with, checked."""
    if not root._requires_grad:
        raise RuntimeError(
            "backward() from a tensor that requires no gradient: no input does, no_grad() was on, or it was "
            "cut off by detach() or by a cast to integers"
        )
    if gradient is None:
        if root.size != 1:
            raise RuntimeError(
                f"backward() from a tensor of shape {root.shape} needs the gradient with respect to it: "
                "reduce it to one number, for example with .sum(), or pass backward(gradient)"
            )
        gradient = wrap(np.ones(root.shape, root.dtype))
    return fitted(gradient, root)


def sweep(
    seeds: Iterable[tuple[Tensor, Tensor]],
    create_graph: bool = False,
    freed: Freed | None = None,
    inputs: Sequence[Tensor] | None = None,
) -> dict[Tensor, Tensor]:
    """Carry gradients from the seeded tensors back to the leaves, and return those with their gradients.

    When the turn of a tensor comes its gradient is complete: whatever was computed from it was recorded later.

    If `inputs` are given, gradients go to these only, along the paths that lead there; a path ends at the first input
    that it meets. If `freed` is given, it replaces the edges of every tensor that has had its turn: so these let go of
    their parents, and whoever asks for the graph again is told which line freed it.
    """
    keep_freed_memory()
    with enable_grad() if create_graph else no_grad():
        return swept(seeds, create_graph, freed, inputs).complete(inputs)


def swept(
    seeds: Iterable[tuple[Tensor, Tensor]], create_graph: bool, freed: Freed | None, inputs: Sequence[Tensor] | None
) -> Pending:
    """The loop of `sweep`: what has arrived at the leaves, or at `inputs`, when every other tensor has had its turn.

    Hooks of the leaves have not seen it yet: `checkpoint`, and threads with a part of a batch each, have but a part of
    what arrives in all.
    """
    watch = watches.get(threading.get_ident()) if watches else None
    pending = Pending(seeds, create_graph) if watch is None else watch.pending(seeds, create_graph)
    order = topological_order(*pending.gradients, until=inputs or ())
    if inputs is not None:
        wanted = depending_on(inputs, order)
        order = [tensor for tensor in order if tensor in wanted]
    while order:  # and not `for tensor in reversed(order)`: what has had its turn may go
        tensor = order.pop()
        edges, grad = tensor._edges, pending.take(tensor)
        if clock.last_update > tensor._time:
            check_not_updated(tensor)
        if freed is not None:
            tensor._edges = freed
        for parent, rule in edges:
            if inputs is None or parent in wanted:
                try:
                    pending.add(parent, rule(grad, tensor))
                except Exception as error:
                    error.add_note(failed_rule(tensor, parent))
                    raise
    return pending


class Pending:
    """The gradients on their way back: of each tensor what has arrived so far, until its turn comes.

    A gradient that arrives first is kept as it is, without a copy, so its array may be in other hands too: a rule may
    return what it was given, as that of `add` does. What is added up from several is an array that only this object
    knows, and more is added to it in place. A gradient that leaves for the user is never an array that has left before.
    """

    def __init__(self, seeds: Iterable[tuple[Tensor, Tensor]], create_graph: bool) -> None:
        self.create_graph = create_graph
        self.gradients: dict[Tensor, Tensor] = {}
        self.own: set[Tensor] = set()  # tensors whose gradient was added up here, in an array that nobody else has
        for root, gradient in seeds:  # a new one for each pass: `checkpoint` tells by `grad is` whether it is the same
            self.add(root, gradient if create_graph else wrap(gradient._data))
        self.taken = {id(gradient._data) for gradient in self.gradients.values()}  # the arrays that the user has

    def take(self, tensor: Tensor) -> Tensor:
        """The complete gradient of a tensor whose turn has come, as its hooks leave it."""
        gradient = self.gradients.pop(tensor)
        if tensor._extras is not None:
            gradient = after_hooks(tensor, gradient)
            if tensor._extras.retains_grad:
                tensor.grad = self.handed_out(gradient)
        return gradient

    def add(self, tensor: Tensor, gradient: Tensor) -> None:
        """Add what a rule returned to the gradient of `tensor`."""
        data, gradients = tensor._data, self.gradients
        if type(gradient) is not Tensor or gradient._data.dtype is not data.dtype or gradient._data.shape != data.shape:
            gradient = summed_to(gradient, tensor)
        arrived = gradients.get(tensor)
        if arrived is None:
            gradients[tensor] = gradient
        elif tensor in self.own and not self.create_graph:
            arrived._data += gradient._data
        else:
            gradients[tensor] = arrived + gradient
            self.own.add(tensor)

    def complete(self, inputs: Sequence[Tensor] | None) -> dict[Tensor, Tensor]:
        """The gradients that have arrived at leaves, or at `inputs`, as their hooks leave them."""
        reached = self.gradients if inputs is None else [x for x in dict.fromkeys(inputs) if x in self.gradients]
        self.taken.update([id(x._data) for x in reached])
        return {x: self.handed_out(after_hooks(x, self.gradients[x])) for x in reached}

    def handed_out(self, gradient: Tensor) -> Tensor:
        """`gradient` for the user to keep: a copy if its array is a view, or has been handed out already."""
        if gradient._data.base is not None or id(gradient._data) in self.taken:
            gradient = +gradient
        self.taken.add(id(gradient._data))
        return without_inputs(gradient) if self.create_graph and not gradient._requires_grad else gradient


def summed_to(gradient: Tensor, tensor: Tensor) -> Tensor:
    """What a rule returned for `tensor`, summed over axes that broadcasting repeated, and cast to its dtype."""
    if not isinstance(gradient, Tensor):
        raise TypeError(f"a gradient rule returned {type(gradient).__name__}, not a tensor")
    if gradient.shape != tensor.shape:
        gradient = unbroadcast(gradient, tensor.shape)
    return fitted(gradient, tensor)


def without_inputs(gradient: Tensor) -> Tensor:
    """A gradient that depends on nothing, as a recorded result without edges; its own derivatives are 0.

    What was asked for with `create_graph` can then always be differentiated: a backward pass from it ends at once,
    where one from a tensor that requires no gradient is refused.
    """
    gradient._operation, gradient._requires_grad, gradient._time = without_inputs, True, clock.tick()
    return gradient


def depending_on(inputs: Sequence[Tensor], order: list[Tensor]) -> set[Tensor]:
    """`inputs`, and what of `order` was computed from them."""
    found = set(inputs)
    for tensor in order:
        if any(parent in found for parent, _ in tensor._edges):
            found.add(tensor)
    return found


def unbroadcast(gradient: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sum `gradient` over the axes along which an input of this shape was repeated by broadcasting."""
    summed = gradient.sum(axis=repeated_axes(gradient.shape, shape), dtype=WIDER.get(gradient.dtype))
    return summed if summed._data.shape == shape else summed.reshape(shape)


def repeated_axes(repeated: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes along which an array of `shape` was repeated to give the shape `repeated`."""
    added = len(repeated) - len(shape)
    if added < 0 or any(n not in (1, m) for n, m in zip(shape, repeated[added:], strict=True)):
        raise ValueError(f"a gradient rule returned shape {repeated} for an input of shape {shape}")
    return (*range(added), *(added + i for i, n in enumerate(shape) if n != repeated[added + i]))
