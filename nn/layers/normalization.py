"""Layers that normalise each sample by itself."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
import numpy.typing as npt

from minigrad import Tensor, TensorLike, as_tensor
from nn import functional as F
from nn.functional.normalization import as_shape
from nn.functional.settings import real, whole
from nn.module import Module, Parameter

__all__ = ["GroupNorm", "LayerNorm"]


class LayerNorm(Module):
    """Normalises each sample over its last axes, see `nn.functional.layer_norm`.

    Args:
        normalized_shape: the lengths of these axes.
        eps: added to the variance, at least 0.
        elementwise_affine: whether to multiply by a learned weight afterwards, which starts as ones.
        bias: whether to add a learned offset too, which starts as zeros.
        dtype: of the parameters.

    Shapes: input and output (..., *normalized_shape); `weight` and `bias` normalized_shape.

    >>> LayerNorm(4)(np.arange(8.0).reshape(2, 4)).data.mean(1)
    array([0., 0.])
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5, elementwise_affine: bool = True,
        bias: bool = True, dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.normalized_shape, self.eps = as_shape(normalized_shape), real("LayerNorm", "eps", eps, 0, below=inf)
        self.weight = Parameter(np.ones(self.normalized_shape, dtype)) if elementwise_affine else None
        self.bias = Parameter(np.zeros(self.normalized_shape, dtype)) if elementwise_affine and bias else None

    def forward(self, x: TensorLike) -> Tensor:
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


class GroupNorm(Module):
    """Normalises each group of channels of each sample, see `nn.functional.group_norm`.

    Args:
        num_groups, num_channels: how many groups of how many channels in all.
        eps: added to the variance.
        affine: whether to multiply by a learned weight and add a learned bias afterwards, which start as 1 and 0.
        dtype: of the parameters.

    Shapes: input and output (batch, num_channels, ...); `weight` and `bias` (num_channels,).

    Raises:
        ValueError: if the channels cannot be divided evenly, or the input has another number of them.

    >>> GroupNorm(2, 4)
    GroupNorm(2, 4, eps=1e-05)  # 8 parameters
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        num_groups = whole("GroupNorm", "num_groups", num_groups, 0)
        num_channels = whole("GroupNorm", "num_channels", num_channels, 0)
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"GroupNorm splits channels into equal groups, got {num_channels} for {num_groups} groups")
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps = real("GroupNorm", "eps", eps, 0, below=inf)
        self.weight = Parameter(np.ones(num_channels, dtype)) if affine else None
        self.bias = Parameter(np.zeros(num_channels, dtype)) if affine else None

    def forward(self, x: TensorLike) -> Tensor:
        x = as_tensor(x)
        if x.shape[1:2] != (self.num_channels,):
            raise ValueError(f"GroupNorm expects inputs of shape (batch, {self.num_channels}, ...), got {x.shape}")
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}"
