"""Layers, with PyTorch's names, arguments, defaults, initialisations and parameter shapes."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod, sqrt

import numpy as np
import numpy.typing as npt

from minigrad import Tensor, TensorLike, as_tensor
from nn import functional as F
from nn import init
from nn.module import Module, Parameter

Generator = np.random.Generator


class Linear(Module):
    """Affine map x @ weight.T + bias.

    Args:
        in_features, out_features: the sizes of the last axis before and after.
        bias: whether to add a learned offset.
        generator: what the initial values, uniform within ±1/sqrt(in_features), are drawn from.

    Shapes: input (..., in_features), output (..., out_features), `weight` (out_features, in_features), `bias`
    (out_features,).

    Raises:
        ValueError: if the last axis of the input has another length.

    >>> Linear(3, 2)(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype: npt.DTypeLike = np.float32,
        generator: Generator | None = None,
    ) -> None:
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(np.empty((out_features, in_features), dtype))
        init.kaiming_uniform_(self.weight, a=sqrt(5), generator=generator)
        self.bias = Parameter(np.empty(out_features, dtype)) if bias else None
        if self.bias is not None:
            bound = 1 / sqrt(in_features) if in_features else 0
            init.uniform_(self.bias, -bound, bound, generator=generator)

    def forward(self, x: TensorLike) -> Tensor:
        x = as_tensor(x)
        if x.shape[-1:] != (self.in_features,):
            hint = ": put a Flatten() before it" if x.ndim > 2 and prod(x.shape[1:]) == self.in_features else ""
            raise ValueError(f"Linear expects inputs of shape (..., {self.in_features}), got {x.shape}{hint}")
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + (", bias=False" if self.bias is None else "")


class ReLU(Module):
    """Rectifier max(x, 0), elementwise."""

    def forward(self, x: TensorLike) -> Tensor:
        return F.relu(x)


class Sigmoid(Module):
    """Logistic function 1 / (1 + exp(-x)), elementwise."""

    def forward(self, x: TensorLike) -> Tensor:
        return F.sigmoid(x)


class Tanh(Module):
    """Hyperbolic tangent, elementwise."""

    def forward(self, x: TensorLike) -> Tensor:
        return F.tanh(x)


class Dropout(Module):
    """Zeroes each element with probability `p` in training mode, and scales the others by 1 / (1 - p).

    Args:
        p: the probability, from 0 to 1.
        generator: what the choice is drawn from.
    """

    def __init__(self, p: float = 0.5, generator: Generator | None = None) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout expects a probability from 0 to 1, got {p}")
        self.p, self.generator = p, generator

    def forward(self, x: TensorLike) -> Tensor:
        return F.dropout(x, self.p, self.training, self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}"


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


class CrossEntropyLoss(Module):
    """Cross-entropy of logits and class indices or probabilities, see `nn.functional.cross_entropy`.

    >>> CrossEntropyLoss()(np.zeros((4, 10)), np.arange(4)).item()
    2.302585092994046
    """

    def __init__(
        self,
        weight: npt.ArrayLike | None = None,
        ignore_index: int = -100,
        reduction: F.Reduction = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        if reduction not in ("none", "mean", "sum"):
            raise ValueError(f"reduction is 'none', 'mean' or 'sum', got {reduction!r}")
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing is from 0 to 1, got {label_smoothing}")
        self._weight = None if weight is None else np.asarray(weight)
        self.ignore_index, self.reduction, self.label_smoothing = ignore_index, reduction, label_smoothing

    def forward(self, logits: TensorLike, target: TensorLike) -> Tensor:
        return F.cross_entropy(
            logits, target, self._weight, self.ignore_index, self.reduction, self.label_smoothing
        )
