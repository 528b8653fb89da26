"""What is combined or looked up with learned weights: the affine map, and embeddings."""

from __future__ import annotations

import numpy as np

from minigrad import Tensor, TensorLike, as_tensor, operation, record, value, where
from minigrad.graph import is_grad_enabled
from minigrad.tensor import Array, Rule, wrap

__all__ = ["embedding", "linear"]


@operation("linear", arity=3)
def linear(x: TensorLike, weight: TensorLike, bias: TensorLike | None = None) -> Tensor:
    """Affine map x @ weight.T + bias: (..., in_features) -> (..., out_features).

    Args:
        x: (..., in_features).
        weight: (out_features, in_features).
        bias: (out_features,) or None.
    """
    x, weight = as_tensor(x), as_tensor(weight)
    # With a transposed weight, BLAS takes up to twice as long for a wide result as for a tall one.
    data = product(x.data, weight.data.T, by_columns=x.ndim == 2 and x.shape[0] < weight.shape[0])
    if bias is not None:
        bias = as_tensor(bias)
        data = np.add(data, bias.data, out=data if data.dtype == bias.dtype else None)

    def to_x(grad: Tensor, out: Tensor) -> Tensor:
        if is_grad_enabled():
            return linear(grad, weight.T)
        # In the memory order of x: arithmetic with arrays in different orders takes four times as long.
        return wrap(product(grad.data, weight.data, by_columns=x.ndim == 2 and not x.data.flags.c_contiguous))

    def to_weight(grad: Tensor, out: Tensor) -> Tensor:
        return rows(grad).T @ rows(x) if is_grad_enabled() else wrap(rows(grad).data.T @ rows(x).data)

    def to_bias(grad: Tensor, out: Tensor) -> Tensor:  # summed by a product, which takes a third of the time of a sum
        return grad if is_grad_enabled() else wrap(np.ones(grad.size // weight.shape[0], grad.dtype) @ rows(grad).data)

    edges: list[tuple[Tensor, Rule]] = [(x, to_x), (weight, to_weight)]
    if bias is not None:
        edges.append((bias, to_bias))
    return record(linear, data, *edges)


def product(a: Array, b: Array, by_columns: bool) -> Array:
    """a @ b, that lies in memory column by column or row by row."""
    result: Array = (b.T @ a.T).T if by_columns else a @ b
    return result


def rows(x: Tensor) -> Tensor:
    """All leading axes in one: (..., n) -> (m, n)."""
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


def embedding(indices: TensorLike, weight: TensorLike, padding_idx: int | None = None) -> Tensor:
    """The rows of a matrix at some indices: integers (...) -> (..., embedding_dim).

    Args:
        indices: integers from 0 to num_embeddings - 1, of any shape.
        weight: (num_embeddings, embedding_dim).
        padding_idx: the index of a row that gets no gradient; a negative one counts from the end.

    Raises:
        TypeError: if the indices are not integers.
        ValueError: if an index is out of range.

    >>> embedding(np.array([2, 0]), [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    tensor([[4., 5.],
            [0., 1.]], dtype=float64)
    """
    places, weight = np.asarray(value(indices)), as_tensor(weight)
    if places.dtype.kind not in "iu":
        raise TypeError(f"embedding expects integer indices, got dtype {places.dtype}")
    outside = places[(places < 0) | (places >= len(weight))]
    if outside.size:
        raise ValueError(f"embedding expects indices from 0 to {len(weight) - 1}, got {outside[0]}")
    found = weight[places]
    if padding_idx is None:
        return found
    return where((places == padding_idx % len(weight))[..., None], found.detach(), found)
