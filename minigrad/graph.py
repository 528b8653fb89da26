"""Recording a graph of operations and sweeping gradients back through it.

An operation computes its value with NumPy and hands it to `record`, together with one rule for each input that
says how a gradient flows back to that input:

    record(multiply, value(a) * value(b),
           (a, lambda grad, out: grad * b),
           (b, lambda grad, out: grad * a))

`backward` walks the recorded tensors from the newest to the oldest. Each hands its gradient to its rules, and what
they return is summed over broadcast axes, checked, cast, and added to the parents' gradients here, once for all rules.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ContextDecorator
from operator import attrgetter
from typing import Any

import numpy as np

from minigrad.tensor import Freed, Rule, Tensor, TensorLike, as_tensor, clock, initialize, wrap


class GradMode(threading.local):
    """Whether operations are recorded, separately in each thread."""

    enabled = True


grad_mode = GradMode()
watches: dict[int, Any] = {}  # thread -> what looks at every step, see `anomaly.watching`; mostly empty


class _SetGradMode(ContextDecorator):
    """A context manager, or a decorator, that sets the grad mode and restores it whatever happens."""

    enabled: bool

    def __init__(self) -> None:
        self.previous: list[bool] = []

    def __enter__(self) -> None:
        self.previous.append(grad_mode.enabled)
        grad_mode.enabled = self.enabled

    def __exit__(self, *exc_info: object) -> None:
        grad_mode.enabled = self.previous.pop()

    def _recreate_cm(self) -> _SetGradMode:  # each call of a decorated function gets a context of its own
        return type(self)()


class no_grad(_SetGradMode):
    """Within this context (or the decorated function) nothing is recorded.

    >>> x = Tensor(2.0, requires_grad=True)
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


def record(operation: Callable[..., Any], data: Any, *edges: tuple[TensorLike, Rule]) -> Tensor:
    """The tensor of an operation's value, remembering how it was made.

    Args:
        operation: the function that computes `data`; its name appears in messages and drawings.
        data: the value, as NumPy returned it.
        edges: (input, rule) for each differentiable input. `rule(grad, out)` takes the gradient with respect to the
            result and the result itself, both tensors, and returns the gradient with respect to the input, written in
            tensor operations. Its shape may still be the broadcast one. It must not close over the result.
    """
    out = Tensor.__new__(Tensor)
    initialize(out, data)
    if grad_mode.enabled:
        for edge in edges:
            if isinstance(edge[0], Tensor) and edge[0]._requires_grad:
                out._edges += (edge,)  # type: ignore[operator]
        if out._edges:
            out._operation = operation
            out._requires_grad = True
            out._time = clock.tick()
    if watches and (watch := watches.get(threading.get_ident())):
        watch.on_record(operation, out, [x for x, _ in edges])
    return out


def topological_order(*roots: Tensor, until: Iterable[Tensor] = ()) -> list[Tensor]:
    """The recorded tensors that `roots` were computed from, themselves included, each after all its parents.

    A tensor is always recorded later than its parents, so the order of recording is a topological order. The search
    goes neither into nor beyond the tensors in `until`.

    Raises:
        RuntimeError: if a backward pass has freed part of the graph.
    """
    seen = set(until)
    found = [root for root in dict.fromkeys(roots) if root not in seen and root._operation is not None]
    seen.update(found)
    for tensor in found:  # grows while it is walked
        if isinstance(tensor._edges, Freed):
            raise RuntimeError(
                f"the graph behind this tensor of shape {tensor.shape}, made by {name_of(tensor)}, was freed by "
                f"backward() at {tensor._edges.by}: pass retain_graph=True there to go through it again"
            )
        for parent, _ in tensor._edges:
            if parent._operation is not None and parent not in seen:
                seen.add(parent)
                found.append(parent)
    return sorted(found, key=attrgetter("_time"))


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
    for leaf, grad in sweep([(self, seed(self, gradient))], create_graph, freed).items():
        leaf.grad = grad if leaf.grad is None else leaf.grad + grad


Tensor.backward = backward


def seed(root: Tensor, gradient: TensorLike | None) -> Tensor:
    """The gradient that a backward pass from `root` starts with, checked."""
    if not root._requires_grad:
        raise RuntimeError("backward() from a tensor that requires no gradient: no input does, or no_grad() was on")
    if gradient is None:
        if root.size != 1:
            raise RuntimeError(
                f"backward() from a tensor of shape {root.shape} needs the gradient with respect to it: "
                "reduce it to one number, for example with .sum(), or pass backward(gradient)"
            )
        return wrap(np.ones(root.shape, root.dtype))
    return fitted(gradient, root)


def fitted(gradient: TensorLike, tensor: Tensor) -> Tensor:
    """A gradient that was handed in for `tensor`, checked to have its shape and cast to its dtype."""
    gradient = as_tensor(gradient)
    if gradient.shape != tensor.shape:
        raise ValueError(f"the gradient has shape {gradient.shape}, but the tensor has shape {tensor.shape}")
    return gradient if gradient.dtype == tensor.dtype else gradient.astype(tensor.dtype)


def sweep(
    seeds: Iterable[tuple[Tensor, Tensor]],
    create_graph: bool = False,
    freed: Freed | None = None,
    inputs: Sequence[Tensor] | None = None,
) -> dict[Tensor, Tensor]:
    """Carry gradients from the seeded tensors back to the leaves, and return those with their gradients.

    If `inputs` are given, carry them back to these only, along the paths that lead there.

    The gradient of an inner tensor lives only in here, from its first contribution until its own turn comes; by then
    all that was computed from it has contributed, since that was recorded later.
    """
    gradients: dict[Tensor, Tensor] = {}
    summed: set[Tensor] = set()  # tensors whose pending gradient was added up here: nobody else can see that array
    for root, gradient in seeds:
        if not create_graph:  # a tensor of this pass alone: rules may remember what they made of it
            gradient = wrap(gradient._data)
        gradients[root] = gradients[root] + gradient if root in gradients else gradient
    taken = {id(gradient._data) for gradient in gradients.values()}
    order = topological_order(*gradients, until=inputs or ())
    wanted = None if inputs is None else depending_on(inputs, order)
    if wanted is not None:
        order = [tensor for tensor in order if tensor in wanted]
    watch = watches.get(threading.get_ident()) if watches else None
    with enable_grad() if create_graph else no_grad():
        while order:
            tensor = order.pop()
            grad, edges = gradients.pop(tensor), tensor._edges
            if tensor._extras is not None:
                grad = after_hooks(tensor, grad)
                if tensor._extras.retains_grad:
                    tensor.grad = unshared(grad, taken)
            if clock.last_update > tensor._time:
                check_not_updated(tensor)
            if freed is not None:
                tensor._edges = freed
            for parent, rule in edges:
                if wanted is not None and parent not in wanted:
                    continue
                contribution = contribute(parent, rule, grad, tensor)
                if watch is not None:
                    watch.on_contribution(tensor, grad, parent, contribution)
                if parent not in gradients:
                    gradients[parent] = contribution
                elif parent in summed and not create_graph:
                    gradients[parent]._data += contribution._data
                else:
                    gradients[parent] = gradients[parent] + contribution
                    summed.add(parent)
        reached = [x for x in dict.fromkeys(gradients if inputs is None else inputs) if x in gradients]
        taken.update(id(x._data) for x in reached)
        return {x: unshared(after_hooks(x, gradients[x]), taken) for x in reached}


def after_hooks(tensor: Tensor, gradient: Tensor) -> Tensor:
    """The complete gradient of a tensor, as its hooks leave it."""
    for hook in tensor._extras.hooks.copy() if tensor._extras is not None else ():
        replacement = hook.function(gradient)
        if replacement is not None:
            gradient = fitted(replacement, tensor)
    return gradient


def depending_on(inputs: Sequence[Tensor], order: list[Tensor]) -> set[Tensor]:
    """`inputs`, and what of `order` was computed from them."""
    found = set(inputs)
    for tensor in order:
        if any(parent in found for parent, _ in tensor._edges):
            found.add(tensor)
    return found


def contribute(parent: Tensor, rule: Rule, grad: Tensor, out: Tensor) -> Tensor:
    """What one rule adds to the gradient of `parent`: of its shape and dtype whatever the rule returned."""
    try:
        contribution = rule(grad, out)
        if contribution._data.shape != parent._data.shape:
            contribution = unbroadcast(contribution, parent._data.shape)
        if contribution._data.dtype != parent._data.dtype:
            contribution = contribution.astype(parent._data.dtype)
        return contribution
    except Exception as error:
        recorded = "" if out._extras is None or out._extras.line is None else f", recorded at {out._extras.line}"
        note = (
            f"while computing the gradient that {name_of(out)}{recorded}, whose result has shape {out.shape}, "
            f"passes back to an input of shape {parent.shape}"
        )
        if isinstance(error, AttributeError) and error.name == "_data":
            raise TypeError(f"a gradient rule returned {type(error.obj).__name__}, not a tensor, {note}") from None
        error.add_note(note)
        raise


def unbroadcast(gradient: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sum `gradient` over the axes along which an input of this shape was repeated by broadcasting."""
    added = gradient.ndim - len(shape)
    aligned = gradient.shape[added:] if added >= 0 else ()
    if aligned == shape:
        return gradient.sum(axis=tuple(range(added)))
    if len(aligned) != len(shape) or any(n not in (1, m) for n, m in zip(shape, aligned, strict=True)):
        raise ValueError(f"a gradient rule returned shape {gradient.shape} for an input of shape {shape}")
    repeated = [added + i for i, n in enumerate(shape) if n != aligned[i]]
    return gradient.sum(axis=(*range(added), *repeated)).reshape(shape)


def unshared(gradient: Tensor, taken: set[int]) -> Tensor:
    """`gradient`, or a copy of it if its memory is a view or `taken`; what is returned is taken from then on."""
    if gradient._data.base is not None or id(gradient._data) in taken:
        gradient = +gradient
    taken.add(id(gradient._data))
    return gradient


def check_not_updated(tensor: Tensor) -> None:
    """Raise if a rule of `tensor` has kept an input that was updated in place after `tensor` was computed."""
    for kept in kept_by_rules(tensor):
        if isinstance(kept, Tensor) and kept.is_leaf and kept._time > tensor._time:
            raise RuntimeError(
                f"a tensor of shape {kept.shape} was updated in place after {name_of(tensor)} used it, "
                "and the backward pass needs its old value: call backward() before the update"
            )


def kept_by_rules(tensor: Tensor) -> list[Any]:
    """All that the gradient rules of `tensor` close over: tensors, arrays, lists of them, and functions that do so."""
    kept: list[Any] = [rule for _, rule in tensor._edges]
    seen = set(map(id, kept))
    for item in kept:  # grows while it is walked
        if isinstance(item, Tensor):  # a view keeps the tensor that it is a view of
            within: Any = [x for x, _ in item._edges if np.may_share_memory(x._data, item._data)]
        elif isinstance(item, (list, tuple)):
            within = item
        else:
            within = [cell.cell_contents for cell in getattr(item, "__closure__", None) or ()]
        kept += [x for x in within if id(x) not in seen]
        seen.update(map(id, within))
    return kept


def name_of(tensor: Tensor) -> str:
    """The name of the operation that made a recorded tensor."""
    return getattr(tensor._operation, "__name__", str(tensor._operation))


def freed_here() -> Freed:
    """What replaces the edges of a graph: none, and the line that frees it."""
    freed = Freed()
    freed.by = user_line()
    return freed


def user_line() -> str:
    """`file:line` of the innermost call from outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and f"{frame.f_globals.get('__name__')}.".startswith(f"{__package__}."):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
