"""Layers that only arrange: containers, and changes of shape."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from minigrad import Tensor, TensorLike, as_tensor
from nn.module import Module

__all__ = ["Flatten", "Sequential"]


class Flatten(Module):
    """All axes from `start_dim` to `end_dim` in one: (batch, 28, 28) -> (batch, 784).

    Raises:
        ValueError: if the input does not have these axes in this order.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: TensorLike) -> Tensor:
        x = as_tensor(x)
        start, end = (dim + x.ndim if dim < 0 else dim for dim in (self.start_dim, self.end_dim))
        if not 0 <= start <= end < x.ndim:
            raise ValueError(f"Flatten joins the axes {self.start_dim} to {self.end_dim}, got shape {x.shape}")
        return x.reshape((*x.shape[:start], prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


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

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]
