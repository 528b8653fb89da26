"""Layers that look up or combine features with learned weights."""

from __future__ import annotations

from math import prod, sqrt

import numpy as np
import numpy.typing as npt

from minigrad import Tensor, TensorLike
from minigrad.random import Generator
from nn import functional as F
from nn import init
from nn.functional.settings import whole
from nn.module import Module, Parameter

__all__ = ["Embedding", "Linear"]


def weight_and_bias(
    shape: tuple[int, ...], has_bias: bool, dtype: npt.DTypeLike, generator: Generator | None
) -> tuple[Parameter, Parameter | None]:
    """What a linear layer or a convolution learns, uniform within ±1/sqrt(fan_in) at first; `shape` is the weight's."""
    weight = Parameter(np.empty(shape, dtype))
    init.kaiming_uniform_(weight, a=sqrt(5), generator=generator)
    if not has_bias:
        return weight, None
    bias, fan_in = Parameter(np.empty(shape[0], dtype)), prod(shape[1:])
    bound = 1 / sqrt(fan_in) if fan_in else 0
    init.uniform_(bias, -bound, bound, generator=generator)
    return weight, bias


class Linear(Module):
    """Affine map x @ weight.T + bias.

    Args:
        in_features, out_features: the sizes of the last axis before and after.
        bias: whether to add a learned offset.
        dtype: of the parameters.
        generator: what the initial values, uniform within ±1/sqrt(in_features), are drawn from.

    Shapes: input (..., in_features), output (..., out_features), `weight` (out_features, in_features), `bias`
    (out_features,).

    Raises:
        ValueError: if a size is negative, or the last axis of the input has another length.

    >>> Linear(3, 2)(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, dtype: npt.DTypeLike = np.float32,
        generator: Generator | None = None,
    ) -> None:
        in_features = whole("Linear", "in_features", in_features, 0)
        out_features = whole("Linear", "out_features", out_features, 0)
        self.in_features, self.out_features = in_features, out_features
        self.weight, self.bias = weight_and_bias((out_features, in_features), bias, dtype, generator)

    def forward(self, x: TensorLike) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + (", bias=False" if self.bias is None else "")


class Embedding(Module):
    """A learned vector for each of `num_embeddings` things, looked up by number.

    PyTorch's `max_norm`, `norm_type`, `scale_grad_by_freq` and `sparse` do not exist.

    Args:
        num_embeddings: how many there are.
        embedding_dim: the length of their vectors.
        padding_idx: the number of one whose vector stays zero; a negative one counts from the end.
        dtype: of the vectors.
        generator: what the initial values, normal with mean 0 and variance 1, are drawn from.

    Shapes: input integers (...), output (..., embedding_dim), `weight` (num_embeddings, embedding_dim).

    Raises:
        ValueError: if a number is out of range.

    >>> Embedding(10, 3)(np.array([[1, 2], [4, 5]])).shape
    (2, 2, 3)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None,
        dtype: npt.DTypeLike = np.float32, generator: Generator | None = None,
    ) -> None:
        num_embeddings = whole("Embedding", "num_embeddings", num_embeddings, 0)
        embedding_dim = whole("Embedding", "embedding_dim", embedding_dim, 0)
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.weight = Parameter(np.empty((num_embeddings, embedding_dim), dtype))
        init.normal_(self.weight, generator=generator)
        if padding_idx is not None:
            row = whole("Embedding", "padding_idx", padding_idx)
            if row not in range(-num_embeddings, num_embeddings):
                raise ValueError(f"padding_idx is one of {num_embeddings} embeddings, got {padding_idx}")
            self.padding_idx = row % num_embeddings
            self.weight.data[self.padding_idx] = 0

    def forward(self, indices: TensorLike) -> Tensor:
        return F.embedding(indices, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
