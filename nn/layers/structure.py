"""Layers that only arrange: containers, and changes of shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from minigrad import Tensor, TensorLike, as_tensor
from nn import functional as F
from nn.module import Module

__all__ = ["Flatten", "Identity", "Residual", "Sequential", "Unflatten"]


class Flatten(Module):
    """All axes from `start_dim` to `end_dim` in one: (batch, 28, 28) -> (batch, 784).

    Raises:
        ValueError: if the input does not have these axes in this order.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: TensorLike) -> Tensor:
        return F.flatten(x, self.start_dim, self.end_dim)


class Unflatten(Module):
    """Axis `dim` split into several, one of which may be given as -1: (batch, 784) -> (batch, 28, 28).

    Raises:
        ValueError: if the input does not have this axis, or its length is another.

    >>> Unflatten(1, (3, -1))(np.ones((2, 12))).shape
    (2, 3, 4)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: TensorLike) -> Tensor:
        x = as_tensor(x)
        try:
            sizes = np.empty(x.shape[self.dim]).reshape(self.unflattened_size).shape  # NumPy finds the one that is -1
        except (IndexError, ValueError):
            wanted = f"axis {self.dim} into {self.unflattened_size}"
            raise ValueError(f"Unflatten splits {wanted}, got shape {x.shape}") from None
        start = self.dim % x.ndim
        return x.reshape((*x.shape[:start], *sizes, *x.shape[start + 1 :]))


class Identity(Module):
    """What comes in: takes the place of a layer that is left out."""

    def forward(self, x: TensorLike) -> Tensor:
        return as_tensor(x)


class Residual(Module):
    """The sum of what a module makes of its input and of the input itself, or of what a shortcut makes of it.

    Args:
        module: what learns the difference.
        shortcut: what fits the input to the output of `module`, if that has another shape.

    Raises:
        ValueError: if the two have different shapes.

    Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016, eq. 1 and 2.

    >>> Residual(Identity())([1.0, 2.0])
    tensor([2., 4.], dtype=float64)
    """

    def __init__(self, module: Module, shortcut: Module | None = None) -> None:
        self.module, self.shortcut = module, shortcut

    def forward(self, x: TensorLike) -> Tensor:
        change = as_tensor(self.module(x))
        kept = as_tensor(x if self.shortcut is None else self.shortcut(x))
        if change.shape != kept.shape:
            given = f"{change.shape} from its module and {kept.shape} beside it"
            raise ValueError(f"Residual adds what has the same shape, got {given}: give it a shortcut that fits")
        return change + kept


class Sequential(Module):
    """The modules one after the other; their parameters are named `0.weight`, `0.bias`, `1.weight`, …"""

    def __init__(self, *modules: Module) -> None:
        for module in modules:
            if not isinstance(module, Module):
                raise TypeError(f"Sequential expects modules, got {module!r}")
        vars(self).update({str(i): module for i, module in enumerate(modules)})

    def forward(self, x: TensorLike) -> TensorLike:
        for module in self:
            x = module(x)
        return x

    def __iter__(self) -> Iterator[Module]:
        return (module for module in vars(self).values() if isinstance(module, Module))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, index: int | slice) -> Module:
        modules = list(self)
        return Sequential(*modules[index]) if isinstance(index, slice) else modules[index]
