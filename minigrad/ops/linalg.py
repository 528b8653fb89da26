"""Products of matrices."""

from __future__ import annotations

import numpy as np

from minigrad.graph import record
from minigrad.ops.registry import operation
from minigrad.tensor import Tensor, TensorLike, as_tensor

__all__ = [
    "matmul",
]  # fmt: skip

@operation("matmul", np.matmul, arity=2, methods="__matmul__ __rmatmul__")
def matmul(a: TensorLike, b: TensorLike) -> Tensor:
    """Matrix product a @ b: (..., n, k) @ (..., k, m) -> (..., n, m), stacks broadcast.

    A one-dimensional `a` is a row, a one-dimensional `b` a column, and that axis is left out of the result.
    """
    a, b = as_tensor(a), as_tensor(b)

    def as_matrices(grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        row, column = a.ndim == 1, b.ndim == 1
        left = a.reshape(1, -1) if row else a
        right = b.reshape(-1, 1) if column else b
        matrix = (*grad.shape, 1) if column else grad.shape
        return left, right, grad.reshape((*matrix[:-1], 1, matrix[-1]) if row else matrix)

    def to_left(grad: Tensor, out: Tensor) -> Tensor:
        _, right, grad = as_matrices(grad)
        return grad @ right.swapaxes(-1, -2)

    def to_right(grad: Tensor, out: Tensor) -> Tensor:
        left, _, grad = as_matrices(grad)
        product = left.swapaxes(-1, -2) @ grad
        return product.reshape(product.shape[:-1]) if b.ndim == 1 else product

    return record(matmul, np.matmul(a.data, b.data), (a, to_left), (b, to_right))
