"""Linear algebra, as `minigrad.linalg`: inverses, determinants and decompositions of matrices and stacks of them.

A gradient with respect to eigenvectors or singular vectors is finite only where the eigenvalues (singular values)
differ, and means something only for results that do not depend on the vectors' signs.

Sources: Giles, Collected matrix derivative results for forward and reverse mode algorithmic differentiation, 2008;
Seeger et al., Auto-differentiating linear algebra, 2017; Townsend, Differentiating the singular value decomposition,
2016; Murray, Differentiation of the Cholesky decomposition, 2016; Golub & Pereyra, The differentiation of
pseudo-inverses, 1973.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any, Literal, NamedTuple

import numpy as np

from minigrad.arrays import Array
from minigrad.graph import record
from minigrad.ops.arithmetic import abs, divide, where
from minigrad.ops.indexing import constant, put, tril
from minigrad.ops.limits import at_infinity, in_single, kinked, magnitude, or_inf
from minigrad.ops.products import multi_dot as multi_dot
from minigrad.ops.reductions import Axis, count, in_units, kept_shape, spread, with_value
from minigrad.ops.registry import operation
from minigrad.ops.shape import concatenate, expand_dims, moveaxis, squeeze
from minigrad.tensor import Tensor, TensorLike, as_tensor, wrap


class SlogdetResult(NamedTuple):
    sign: Tensor
    logabsdet: Tensor


class QRResult(NamedTuple):
    Q: Tensor
    R: Tensor


class EighResult(NamedTuple):
    eigenvalues: Tensor
    eigenvectors: Tensor


class SVDResult(NamedTuple):
    U: Tensor
    S: Tensor
    Vh: Tensor


@operation("other", np.linalg.inv, name="linalg.inv")
def inv(a: TensorLike) -> Tensor:
    """Inverse: (..., n, n) -> (..., n, n). Gradient: -out.T @ grad @ out.T."""
    a = as_tensor(a)
    return record(inv, np.linalg.inv(a.data), (a, lambda grad, out: -(out.mT @ grad @ out.mT)))


@operation("other", np.linalg.solve, name="linalg.solve")
def solve(a: TensorLike, b: TensorLike) -> Tensor:
    """The x for which a @ x = b: (..., n, n) with (n,) or (..., n, k)."""
    a, b = as_tensor(a), as_tensor(b)
    if a.shape[-1:] != (b.shape if b.ndim == 1 else b.shape[-2:-1]):
        raise ValueError(f"solve needs shapes (..., n, n) and (n,) or (..., n, k), got {a.shape} and {b.shape}")
    if b.ndim == 1:
        return squeeze(solve(a, expand_dims(b, -1)), -1)
    return record(solve, np.linalg.solve(a.data, b.data),
                  (a, lambda grad, out: -(solve(a.mT, grad) @ out.mT)),
                  (b, lambda grad, out: solve(a.mT, grad)))


@operation("other", np.linalg.det, name="linalg.det")
def det(a: TensorLike) -> Tensor:
    """Determinant: (..., n, n) -> (...). Its gradient, the matrix of cofactors, is right for singular matrices too."""
    a = as_tensor(a)

    def rule(grad: Tensor, out: Tensor) -> Tensor:
        regular = is_regular(a.data, out.data)
        return as_matrix(grad) * by_matrix(
            regular, lambda a, out: as_matrix(out) * inv(a).mT, lambda a, out: cofactors(a), a, out
        )

    return record(det, np.linalg.det(a.data), (a, rule))


def is_regular(a: Array, determinant: Array) -> Array:
    """Whether each matrix of a stack has an inverse with which its determinant gives the cofactors."""
    finite = np.asarray(np.isfinite(a).all((-2, -1)))
    full = np.linalg.matrix_rank(np.where(finite[..., None, None], a, 0)) == a.shape[-1] if a.shape[-1] else True
    return np.asarray(finite & full & np.isfinite(determinant) & (determinant != 0))


def by_matrix(
    regular: Array, of_regular: Callable[..., Tensor], of_singular: Callable[..., Tensor], a: Tensor, *others: Tensor
) -> Tensor:
    """`of_regular` of those matrices of a stack, and what else there is of each, that are regular; `of_singular` else.

    So neither does harm to the other, nor takes what the other does: cofactors need the memory of n⁴ numbers a matrix.
    """
    if regular.all():
        return of_regular(a, *others)
    slopes = put(np.zeros_like(a.data), regular, of_regular(*(x[regular] for x in (a, *others))))
    return put(slopes, ~regular, of_singular(*(x[~regular] for x in (a, *others))))


def cofactors(a: Tensor) -> Tensor:
    """The determinant of each matrix that a row and a column are missing from, with its sign."""
    n = a.shape[-1]
    others = np.array([[k for k in range(n) if k != i] for i in range(n)], int)
    minors = a[..., others[:, None, :, None], others[None, :, None, :]]
    return det(minors) * (-1.0) ** np.add.outer(range(n), range(n)).astype(a.dtype)


def as_matrix(x: Tensor) -> Tensor:
    """With two axes of length 1 more: (...) -> (..., 1, 1)."""
    return expand_dims(x, (-2, -1))


@operation("other", np.linalg.slogdet, name="linalg.slogdet")
def slogdet(a: TensorLike) -> SlogdetResult:
    """Sign, which is a constant, and logarithm of the absolute value of the determinant."""
    a = as_tensor(a)
    sign, logarithm = np.linalg.slogdet(a.data)

    def rule(grad: Tensor, out: Tensor) -> Tensor:  # at singular matrices a pole, as that of log(0)
        return as_matrix(grad) * by_matrix(
            sign != 0, lambda a: inv(a).mT, lambda a: cofactors(a) / as_matrix(det(a)), a
        )

    return SlogdetResult(wrap(sign), record(slogdet, logarithm, (a, rule)))


@operation("other", np.linalg.cholesky, name="linalg.cholesky")
def cholesky(a: TensorLike, *, upper: bool = False) -> Tensor:
    """The lower triangular L with L @ L.T = a, or its transpose, of that triangle of `a`; the gradient is symmetric."""
    a = mirrored(a, upper)

    def rule(grad: Tensor, out: Tensor) -> Tensor:  # Murray, equations 9 and 10
        lower, grad = (out.mT, grad.mT) if upper else (out, grad)
        product, inverse = lower.mT @ grad, inv(lower)
        return symmetric(inverse.mT @ (tril(product) + tril(product, -1)) @ inverse) / 2

    factor = np.linalg.cholesky(a.data)
    return record(cholesky, np.swapaxes(factor, -1, -2) if upper else factor, (a, rule))


def mirrored(a: TensorLike, upper: bool) -> Tensor:
    """The symmetric matrix of which `a` holds the lower or upper triangle; the other one is not read.

    Its gradient is that by a symmetric matrix and symmetric as well, shared between both triangles as in PyTorch.
    """
    data = as_tensor(a).data
    if data.ndim < 2 or data.shape[-1] != data.shape[-2]:
        raise np.linalg.LinAlgError(f"only a square matrix is symmetric, got shape {data.shape}")
    triangle = np.triu(data) if upper else np.tril(data)
    both = triangle + np.swapaxes(np.triu(data, 1) if upper else np.tril(data, -1), -1, -2)
    return record(mirrored, both, (a, lambda grad, out: symmetric(grad)))


def symmetric(a: Tensor) -> Tensor:
    """The symmetric part of a matrix."""
    return (a + a.mT) / 2


@operation("other", np.linalg.qr, name="linalg.qr")
def qr(a: TensorLike, mode: Literal["reduced", "r"] = "reduced") -> Any:
    """Q with orthonormal columns and upper triangular R, of which Q @ R = a; only R with mode="r".

    (..., m, n) -> (..., m, k), (..., k, n) with k = min(m, n). The first k columns must be independent.
    """
    if mode not in ("reduced", "r"):
        raise ValueError(f'qr knows mode="reduced" and "r", got {mode!r}')
    if mode == "r":
        return qr(a).R
    a = as_tensor(a)
    if a.ndim > 1 and (k := a.shape[-2]) < a.shape[-1]:
        q, r = qr(a[..., :k])
        return QRResult(q, concatenate([r, q.mT @ a[..., k:]], -1))
    orthonormal, triangular = np.linalg.qr(a.data)

    q = record(qr, orthonormal, (a, lambda grad, out: qr_rule(grad, out, out.mT @ a, -(grad.mT @ out))))
    r = record(qr, triangular, (a, lambda grad, out: qr_rule(0.0, q, out, out @ grad.mT)))
    return QRResult(q, r)


def qr_rule(grad_q: Tensor | float, q: Tensor, r: Tensor, m: Tensor) -> Tensor:
    """(grad_q + q @ copyltu(m)) @ inv(r).T, where copyltu copies the lower triangle to the upper (Seeger et al.)."""
    return solve(r, (grad_q + q @ (tril(m) + tril(m, -1).mT)).mT).mT


@operation("other", np.linalg.eigh, name="linalg.eigh")
def eigh(a: TensorLike, UPLO: Literal["L", "U"] = "L") -> EighResult:
    """Eigenvalues, ascending, and eigenvectors as columns, of one triangle of `a`; the gradient is symmetric."""
    values, vectors = np.linalg.eigh(as_tensor(a).data, UPLO)
    a = mirrored(a, UPLO.upper() == "U")
    v = record(eigh, vectors, (a, lambda grad, out: eigenvectors_rule(a, grad, out)))
    return EighResult(record(eigh, values, (a, lambda grad, out: v * expand_dims(grad, -2) @ v.mT)), v)


def eigenvectors_rule(a: Tensor, grad: Tensor, v: Tensor) -> Tensor:
    """v @ (f * (v.T @ grad)) @ v.T, where f[i, j] = 1 / (w[j] - w[i]) for the eigenvalues w, 0 on the diagonal."""
    w = ((v.mT @ a) * v.mT).sum(-1)
    return v @ (inverse_gaps(w) * (v.mT @ grad)) @ v.mT


def inverse_gaps(w: Tensor) -> Tensor:
    """1 / (w[j] - w[i]) for i ≠ j, 0 on the diagonal."""
    identity = np.eye(w.shape[-1], dtype=w.dtype)
    return divide(1 - identity, expand_dims(w, -2) - expand_dims(w, -1) + identity)


@operation("other", np.linalg.svd, name="linalg.svd")
def svd(a: TensorLike, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """Singular value decomposition a = U @ diag(S) @ Vh, S descending; S alone if not `compute_uv`.

    (..., m, n) -> (..., m, k), (..., k), (..., k, n) with k = min(m, n) and `full_matrices=False`. With full matrices
    the superfluous columns of U, or rows of Vh, are any that are orthogonal to the others: derivatives are right for
    what depends on their span alone, such as U[:, k:] @ U[:, k:].T.
    """
    if not compute_uv:
        return svd(a, full_matrices=False).S
    a = as_tensor(a)
    left, values, right = np.linalg.svd(a.data, full_matrices)
    k = values.shape[-1]
    u = record(svd, left, (a, lambda grad, out: singular_vectors_rule(a, grad, out, k)))
    vh = record(svd, right, (a, lambda grad, out: singular_vectors_rule(a.mT, grad.mT, out.mT, k).mT))
    s = record(svd, values, (a, lambda grad, out: u[..., :k] * expand_dims(grad, -2) @ vh[..., :k, :]))
    return SVDResult(u, s, vh)


def singular_vectors_rule(a: Tensor, grad: Tensor, vectors: Tensor, k: int) -> Tensor:
    """Townsend, equation 31, for the first `k` alone, u: with b = u.T @ a = diag(s) @ vh nothing else is needed.

    Others, w, turn with them so that they stay orthogonal, dw = -u @ du.T @ w, and no further.
    """
    u, w = vectors[..., :k], vectors[..., k:]
    grad = grad[..., :k] - w @ (grad[..., k:].mT @ u)  # so nothing of size (m, m) where there is no w
    unit = unit_of(a)
    b, inner = u.mT @ (a / unit), u.mT @ grad
    squares = (b * b).sum(-1)
    return (u @ (inverse_gaps(squares) * (inner - inner.mT)) @ b
            + (grad - u @ inner) @ (b / expand_dims(squares, -1))) / unit


def unit_of(a: Tensor) -> Array:
    """A power of two near the largest element of each matrix: in such units squares stay within the range."""
    unit: Array = magnitude(np.max(np.abs(a.data), (-2, -1), keepdims=True, initial=0))
    return unit


@operation("other", np.linalg.pinv, name="linalg.pinv")
def pinv(a: TensorLike, rcond: Any = None) -> Tensor:
    """Pseudo-inverse: (..., m, n) -> (..., n, m); singular values up to `rcond` times the largest count as 0.

    By default those that rounding alone would leave, of max(m, n) · ε, but at least NumPy's 1e-15.
    The gradient (Golub & Pereyra) is right where those that count as 0 are 0 and stay it.
    """
    a = as_tensor(a)

    def rule(grad: Tensor, out: Tensor) -> Tensor:
        unit = unit_of(a)
        x, y, g = a / unit, out * unit, grad.mT / unit
        p = y.mT
        return (-(p @ g.mT @ p) + (g - x @ (y @ g)) @ y @ p + p @ y @ (g - (g @ y) @ x)) / unit

    if rcond is None:  # NumPy's own is float64's, and takes what rounding leaves of a 0 in float32 for a value
        rcond = max(1e-15, max(a.shape[-2:], default=0) * float(np.finfo(a.dtype).eps) if a.dtype.kind == "f" else 0.0)
    return record(pinv, np.linalg.pinv(a.data, rcond), (a, rule))


@operation("other", np.linalg.lstsq, name="linalg.lstsq")
def lstsq(a: TensorLike, b: TensorLike, rcond: float | None = None) -> tuple[Tensor, Tensor, Any, Tensor]:
    """The shortest of the x for which |a @ x - b|² is least, that least, the rank and the singular values of `a`.

    (m, n) with (m,) or (m, k). The least is there only if the rank is n < m; the rank is no tensor. Singular values up
    to `rcond` times the largest count as 0, by default those that rounding alone would leave.
    """
    a, b = as_tensor(a), as_tensor(b)
    solution, least, rank, s = np.linalg.lstsq(a.data, b.data, rcond)
    a = a.astype(solution.dtype)
    cutoff = np.mean([*s, 0][rank - 1 : rank + 1]) / s[0] if rank else 1  # below the last that counts, above the next
    x = with_value(pinv(a, cutoff) @ b, solution)
    residuals = as_tensor(least)
    if least.size:
        squares = ((a @ x - b) ** 2).reshape(len(b), -1).sum(0)
        residuals = with_value(squares, least)
    return x, residuals, rank, svd(a, compute_uv=False)


@operation("other", np.linalg.matrix_power, name="linalg.matrix_power")
def matrix_power(a: TensorLike, n: int) -> Tensor:
    """The matrix product of `n` times the same square matrix; of its inverse if `n` is negative."""
    a, n = as_tensor(a), index(n)
    identity = np.linalg.matrix_power(a.data, 0)  # NumPy refuses what is not square
    if n == 0:
        return record(matrix_power, identity, (a, lambda grad, out: grad * 0))
    if n < 2:
        return matrix_power(inv(a), -n) if n < 0 else a.astype(a.dtype)
    half = matrix_power(a, n // 2)
    return half @ half @ a if n % 2 else half @ half


@operation("other", np.linalg.norm, name="linalg.norm")
@in_single
def norm(x: TensorLike, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Norm of vectors, or of matrices if `axis` names two: sum(|x| ** ord) ** (1 / ord), by default with ord 2.

    Orders as in NumPy: numbers and inf, and for matrices "fro", "nuc", 1, 2, inf and their negatives. The slope is 0
    where the norm is 0.
    """
    x, ord = as_tensor(x), constant(ord).item() if isinstance(ord, Tensor) else ord
    x = x if x.dtype.kind == "f" else x.astype(float)
    over = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if ord in (None, "fro") or len(over) != 2:
        if ord in (np.inf, -np.inf):
            if len(over) != 1:
                raise ValueError(f"a norm is that of vectors along one axis or of matrices along two, got {len(over)}")
            return greatest(abs(x), over, keepdims) if ord > 0 else abs(x).min(over, keepdims)
        p = 2 if ord in (None, "fro") else ord
        data, unit = in_units(lambda x: np.linalg.norm(x, ord, axis, keepdims), x.data, over, int(p != 0), p)

        def rule(grad: Tensor, out: Tensor) -> Tensor:
            if unit is None:
                return norm_rule(x, x, out.reshape(kept_shape(x.shape, over)), grad, over, p)
            scaled = at_infinity(x, np.any(np.isinf(x.data), over, keepdims=True) & (p > 0)) / unit
            return norm_rule(x, scaled, norm(scaled, ord, axis, True), grad, over, p)

        return record(norm, data, (x, rule))
    if ord in ("nuc", 2, -2):
        s = svd(moveaxis(x, over, (-2, -1)), compute_uv=False)
        s = s * (s.data > 0)  # where its slope is 0 by convention
        total: Tensor = s.sum(-1) if ord == "nuc" else greatest(s, -1) if ord > 0 else s.min(-1)
    elif ord in (1, -1, np.inf, -np.inf):
        sums = abs(x).sum(over[0 if ord in (1, -1) else 1], keepdims=True)
        total = greatest(sums, over) if ord > 0 else sums.min(over)
    else:
        raise ValueError(f"no matrix norm of order {ord!r}: take 'fro', 'nuc', 1, 2, inf or their negatives")
    return total.reshape(kept_shape(x.shape, over)) if keepdims else total


def greatest(x: Tensor, axis: Axis, keepdims: bool = False) -> Tensor:
    """The largest of numbers none of which is negative, and 0 where there are none."""
    return x.max(axis, keepdims) if count(x.shape, axis) else x.sum(axis, keepdims)


def norm_rule(x: Tensor, scaled: Tensor, total: Tensor, grad: Tensor, axis: tuple[int, ...], p: float) -> Tensor:
    """grad * sign(x) * (|x| / total) ** (p - 1), and 0 where the total is 0, or where x is and p < 2."""
    if p == 0:
        raise TypeError("norm with ord=0 counts elements, so its derivative is zero almost everywhere: use x.detach()")
    share = scaled / or_inf(total)
    flat = (x.data == 0) | (total.data == 0) if p < 2 else False
    if p == 2:
        slope = share
    elif p > 0 and p % 2 == 0:  # smooth at 0
        slope = share ** (p - 1)
    else:
        slope = as_tensor(np.where(flat, 0, np.sign(x.data))) * where(flat, 1, abs(share)) ** (p - 1)
    if 1 < p < 2:
        slope = kinked(slope, flat, x)  # infinitely steep there
    return kinked(spread(grad, x.shape, axis) * slope, (total.data == 0) & (p != 1), x, axis=axis)
