"""Looking into a backward pass: hooks on the gradients of tensors, and gradients that inner tensors keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from minigrad.arrays import read_only, scalar_if_0d
from minigrad.guards import name_of
from minigrad.tensor import Tensor, TensorLike, as_tensor, wrap

Hook: TypeAlias = "Callable[[Tensor], Tensor | None]"


class Extras:
    """What only few tensors have."""

    def __init__(self) -> None:
        self.retains_grad = False
        self.hooks: list[RemovableHook] = []
        self.traced: Traced | None = None  # of what call a transform made it a variable
        self.line: str | None = None  # where the operation was called, if anybody listened then
        self.checksums: list[tuple[Tensor, int]] = []  # of the values that rules may use, if `detect_anomaly` did


class Traced:
    """A function call whose inputs a transform made variables of, and how often it, or a sweep through it, runs now."""

    running = 0


class RemovableHook:
    """A hook on a tensor's gradient, until `remove` is called."""

    def __init__(self, function: Hook, hooks: list[RemovableHook]) -> None:
        self.function, self.hooks = function, hooks

    def remove(self) -> None:
        """Stop calling the hook."""
        if self in self.hooks:
            self.hooks.remove(self)


def extras_of(tensor: Tensor) -> Extras:
    """The extras of a tensor, which are made if it has none."""
    if tensor._extras is None:
        tensor._extras = Extras()
    return tensor._extras


def retain_grad(self: Tensor) -> None:
    """Keep in `.grad` this inner tensor's gradient of the latest backward pass; leaves add them up in any case.

    Raises:
        RuntimeError: if this tensor requires no gradient.
    """
    if not self._requires_grad:
        raise RuntimeError("cannot retain the gradient of a tensor that does not require one")
    if not self.is_leaf:
        extras_of(self).retains_grad = True


def register_hook(self: Tensor, hook: Hook) -> RemovableHook:
    """Have `hook(gradient)` called in each backward pass when the gradient with respect to this tensor is complete.

    Returns an object whose `remove()` ends that. If the hook returns a tensor, a copy of that replaces the gradient.
    Writing into what it is handed, whose memory others may have too, is refused or has no effect on the gradient.

    Raises:
        RuntimeError: if this tensor requires no gradient.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> handle = x.register_hook(lambda gradient: gradient.clip(-1, 1))
    >>> (100 * x).sum().backward()
    >>> x.grad
    tensor([1., 1.], dtype=float64)
    """
    if not self._requires_grad:
        raise RuntimeError("cannot hook into the gradient of a tensor that does not require one")
    handle = RemovableHook(hook, extras_of(self).hooks)
    handle.hooks.append(handle)
    return handle


Tensor.retain_grad = retain_grad  # type: ignore[method-assign, assignment]
Tensor.register_hook = register_hook  # type: ignore[method-assign, assignment]


def after_hooks(tensor: Tensor, gradient: Tensor) -> Tensor:
    """The complete gradient of a tensor, as its hooks leave it: a copy of what they return, which stays the user's."""
    for hook in tensor._extras.hooks.copy() if tensor._extras is not None else ():
        shown = gradient.reshape(gradient.shape) if gradient._requires_grad else wrap(gradient._data)
        shown._data = scalar_if_0d(read_only(shown._data))
        replacement = hook.function(shown)
        if replacement is not None:
            given = fitted(replacement, tensor)
            gradient = +given if given._requires_grad else wrap(+given._data)
    return gradient


def fitted(gradient: TensorLike, tensor: Tensor) -> Tensor:
    """A gradient for `tensor`, cast to its dtype; ValueError if its shape is another, TypeError if it can have none."""
    gradient = as_tensor(gradient)
    if tensor.dtype.kind != "f":
        raise TypeError(
            f"a gradient has come back to the result of {name_of(tensor)}, of dtype {tensor.dtype}, but only floating "
            "results have one: record it as floats, or without rules"
        )
    if gradient.shape != tensor.shape:
        raise ValueError(f"the gradient has shape {gradient.shape}, but the tensor has shape {tensor.shape}")
    return gradient.astype(tensor.dtype, copy=False)
