"""What is combined or looked up with learned weights: the affine map, and embeddings."""

from __future__ import annotations

from math import prod
from typing import TypeVar

import numpy as np

from minigrad import Tensor, TensorLike, as_tensor, operation, record, value, where
from minigrad.arrays import Array
from minigrad.modes import is_grad_enabled
from minigrad.tensor import Rule, wrap
from nn.functional.settings import whole

__all__ = ["embedding", "linear"]

T = TypeVar("T", Tensor, Array)
SUMMED = 4096  # rows that are added up in one go


@operation("other")
def linear(x: TensorLike, weight: TensorLike, bias: TensorLike | None = None) -> Tensor:
    """Affine map x @ weight.T + bias: (..., in_features) -> (..., out_features).

    Args:
        x: (..., in_features).
        weight: (out_features, in_features).
        bias: (out_features,) or None.

    Raises:
        ValueError: if the shapes do not fit.
    """
    x, weight = as_tensor(x), as_tensor(weight)
    inputs, weights = x.data, weight.data
    if weights.ndim != 2 or inputs.shape[-1:] != weights.shape[1:]:
        raise ValueError(misfit(inputs.shape, weights.shape))
    is_matrix = inputs.ndim == 2
    # With a transposed weight, BLAS takes up to twice as long for a wide result as for a tall one.
    data = product(inputs, weights.T, by_columns=is_matrix and len(inputs) < len(weights))
    if bias is not None:
        bias = as_tensor(bias)
        if bias.data.shape != weights.shape[:1]:
            raise ValueError(f"linear expects a bias of shape {weights.shape[:1]}, got {bias.shape}")
        data = np.add(data, bias.data, out=data if data.dtype == bias.dtype else None)

    def to_x(grad: Tensor, out: Tensor) -> Tensor:
        if is_grad_enabled():
            return linear(grad, weight.T)
        # In the memory order of x: arithmetic with arrays in different orders takes four times as long.
        return wrap(product(grad.data, weights, by_columns=is_matrix and not inputs.flags.c_contiguous))

    def to_weight(grad: Tensor, out: Tensor) -> Tensor:
        return rows(grad).T @ rows(x) if is_grad_enabled() else wrap(rows(grad.data).T @ rows(inputs))

    def to_bias(grad: Tensor, out: Tensor) -> Tensor:
        return grad if is_grad_enabled() else wrap(column_sums(rows(grad.data)))

    edges: list[tuple[Tensor, Rule]] = [(x, to_x), (weight, to_weight)]
    if bias is not None:
        edges.append((bias, to_bias))
    return record(linear, data, *edges)


def misfit(inputs: tuple[int, ...], weight: tuple[int, ...]) -> str:
    """The sentence for inputs and a weight of shapes that do not fit together."""
    if len(weight) != 2:
        return f"linear expects a weight of shape (out_features, in_features), got {weight}"
    hint = ": put a Flatten() before it" if len(inputs) > 2 and prod(inputs[1:]) == weight[1] else ""
    return f"Linear expects inputs of shape (..., {weight[1]}), got {inputs}{hint}"


def product(a: Array, b: Array, by_columns: bool) -> Array:
    """a @ b, that lies in memory column by column or row by row."""
    result: Array = (b.T @ a.T).T if by_columns else a @ b
    return result


def column_sums(x: Array) -> Array:
    """The sum of each column: (m, n) -> (n,). Made by products, which take a third of the time of a sum.

    In float32 a sum of 100,000 rows would lose half of its digits, one of 4,096 loses two.
    """
    if len(x) > SUMMED:
        parts = [column_sums(x[start : start + SUMMED]) for start in range(0, len(x), SUMMED)]
        return np.sum(parts, 0, np.float64).astype(x.dtype)
    sums: Array = np.ones(len(x), x.dtype) @ x
    return sums


def rows(x: T) -> T:
    """All leading axes in one: (..., n) -> (m, n)."""
    matrix: T = x if x.ndim == 2 else x.reshape(prod(x.shape[:-1]), x.shape[-1])
    return matrix


def embedding(indices: TensorLike, weight: TensorLike, padding_idx: int | None = None) -> Tensor:
    """The rows of a matrix at some indices: integers (...) -> (..., embedding_dim).

    Args:
        indices: integers from 0 to num_embeddings - 1, of any shape.
        weight: (num_embeddings, embedding_dim).
        padding_idx: the index of a row that gets no gradient; a negative one counts from the end.

    Raises:
        TypeError: if the indices are not integers.
        ValueError: if an index, or `padding_idx`, is out of range.

    >>> embedding(np.array([2, 0]), [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    tensor([[4., 5.],
            [0., 1.]], dtype=float64)
    """
    places, weight = np.asarray(value(indices)), as_tensor(weight)
    if places.dtype.kind not in "iu":
        raise TypeError(f"embedding expects integer indices, got dtype {places.dtype}")
    if weight.ndim != 2:
        raise ValueError(f"embedding expects a weight of shape (num_embeddings, embedding_dim), got {weight.shape}")
    outside = places[(places < 0) | (places >= len(weight))]
    if outside.size:
        raise ValueError(f"embedding expects indices from 0 to {len(weight) - 1}, got {outside[0]}")
    found = weight[places]
    if padding_idx is None:
        return found
    row = whole("embedding", "padding_idx", padding_idx)
    if row not in range(-len(weight), len(weight)):
        raise ValueError(f"embedding expects padding_idx to be one of {len(weight)} indices, got {padding_idx}")
    return where((places == row % len(weight))[..., None], found.detach(), found)
