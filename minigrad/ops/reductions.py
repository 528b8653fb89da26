"""Reductions: operations that combine the elements along some axes into one.

`axis` is None for all axes, an integer, or a tuple of them; `keepdims` keeps the reduced axes with length 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad.arrays import Array, native
from minigrad.graph import record
from minigrad.ops.arithmetic import astype, where
from minigrad.ops.elementwise import exp
from minigrad.ops.indexing import constant, diagonal
from minigrad.ops.limits import in_single, kinked, magnitude, or_inf, powers_fit
from minigrad.ops.registry import operation
from minigrad.ops.shape import along, concatenate, flip, moveaxis
from minigrad.tensor import Tensor, TensorLike, as_tensor

__all__ = [
    "sum", "mean", "var", "std", "max", "min", "logsumexp", "softmax", "log_softmax", "prod", "cumsum", "cumprod",
    "trace", "ptp",
]

Axis = int | tuple[int, ...] | None
DType = npt.DTypeLike | None
HALF = np.dtype(np.float16)


def kept_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """`shape` with length 1 along the reduced axes, as `keepdims=True` leaves it."""
    if axis is None:
        return (1,) * len(shape)
    reduced = {index(a) % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))} if shape else set()
    return tuple(1 if i in reduced else n for i, n in enumerate(shape))


def count(shape: tuple[int, ...], axis: Axis) -> int:
    """How many elements each element of the reduced result combines."""
    return math.prod(n for n, kept in zip(shape, kept_shape(shape, axis), strict=True) if kept == 1)


def accumulated(function: Callable[..., Any], x: Array, axis: Axis, *keepdims: bool, dtype: DType = None) -> Any:
    """A sum, running or not, added up in float32 for float16, unless told otherwise: there 2048 + 1 is 2048."""
    if x.dtype != HALF or dtype is not None:
        return function(x, axis, dtype, None, *keepdims)
    return function(x, axis, np.float32, None, *keepdims).astype(HALF)


def divisor(n: float, dtype: np.dtype[Any]) -> Any:
    """A count to divide by: of single precision beside float16, which ends at 65504."""
    return np.float32(n) if dtype == HALF else n


def spread(reduced: Tensor, shape: tuple[int, ...], axis: Axis) -> Tensor:
    """A reduced result, or its gradient, repeated along the reduced axes: back to `shape`."""
    return reduced.reshape(kept_shape(shape, axis)).broadcast_to(shape)


@operation("reduction", np.sum, methods="sum")
def sum(x: TensorLike, axis: Axis = None, keepdims: bool = False, *, dtype: DType = None) -> Tensor:
    """Sum of the elements, added up in another dtype if one is given."""
    x = as_tensor(x)
    dtype = None if dtype is None else native(dtype)
    if dtype is not None and not x.dtype.kind == dtype.kind == "f":
        return astype(sum(astype(x, dtype), axis, keepdims), dtype)
    shape = x.shape
    return record(sum, accumulated(np.add.reduce, x.data, axis, keepdims, dtype=dtype),
                  (x, lambda grad, out: spread(grad, shape, axis)))


@operation("reduction", np.mean, nonempty=True, methods="mean")
def mean(x: TensorLike, axis: Axis = None, keepdims: bool = False, *, dtype: DType = None) -> Tensor:
    """Arithmetic mean of the elements, added up in another dtype if one is given."""
    if dtype is not None:
        return astype(mean(astype(x, dtype), axis, keepdims), dtype)
    x = as_tensor(x)
    shape = x.shape
    return record(mean, np.mean(x.data, axis, keepdims=keepdims),
                  (x, lambda grad, out: spread(grad / divisor(count(shape, axis), grad.dtype), shape, axis)))


@operation("other", np.var, nonempty=True, methods="var")
@in_single
def var(x: TensorLike, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """Mean squared deviation from the mean, of n elements: sum((x - mean(x)) ** 2) / (n - ddof)."""
    x = as_tensor(x)
    n = float(constant(ddof))
    data, unit = in_units(lambda x: np.var(x, axis, ddof=n, keepdims=keepdims, mean=center(x, axis)), x.data, axis, 2)

    def rule(grad: Tensor, out: Tensor) -> Tensor:
        slope = spread(2 * grad / (count(x.shape, axis) - n), x.shape, axis) * deviations(x, axis, unit)
        return slope if unit is None else slope * unit

    return record(var, data, (x, rule))


@operation("other", np.std, ties=True, nonempty=True, methods="std")
@in_single
def std(x: TensorLike, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """Standard deviation: the square root of `var`, with slope 0 where all elements are equal."""
    x = as_tensor(x)
    n = float(constant(ddof))
    data, unit = in_units(lambda x: np.std(x, axis, ddof=n, keepdims=keepdims, mean=center(x, axis)), x.data, axis, 1)

    def rule(grad: Tensor, out: Tensor) -> Tensor:
        total = out.reshape(kept_shape(x.shape, axis)) if unit is None else std(x / unit, axis, ddof=n, keepdims=True)
        slope = deviations(x, axis, unit) / or_inf(total)
        return kinked(spread(grad / (count(x.shape, axis) - n), x.shape, axis) * slope, total.data == 0, x, axis=axis)

    return record(std, data, (x, rule))


def in_units(function: Callable[[Array], Any], x: Array, axis: Axis, degree: int, p: float = 2) -> tuple[Any, Any]:
    """A function of |x| ** p, homogeneous of some degree, and the units that keep it in range: None if it is.

    A unit is a power of two, which takes no digit away.
    """
    with np.errstate(all="ignore"):
        data = function(x)
    if powers_fit(data, p):
        return data, None
    reduce, start = (np.max, 0) if p >= 0 else (np.min, np.inf)  # the element that makes the most of the sum
    unit = magnitude(reduce(np.abs(x * 1.0), axis, keepdims=True, initial=start))
    data = function(x / unit)
    for _ in range(degree):
        data = data * np.reshape(unit, np.shape(data))
    return data, unit


def center(x: Array, axis: Axis) -> Any:
    """The mean, kept between the smallest and the largest element: rounded it may be none of several equal ones."""
    mean = np.mean(x, axis, keepdims=True)
    if not x.size:
        return mean
    return np.minimum(np.maximum(mean, np.min(x, axis, keepdims=True)), np.max(x, axis, keepdims=True))


def deviations(x: Tensor, axis: Axis, unit: Any) -> Tensor:
    """x - mean(x), exactly 0 where all elements are equal; in units if there are any."""
    x = x if unit is None else x / unit
    return x - with_value(mean(x, axis, keepdims=True), center(x.data, axis))


def with_value(x: Tensor, data: Array) -> Tensor:
    """`x` with another value, more precise than what it was computed as, and with its own gradient."""
    return x + (data - x.data)


@operation("reduction", np.max, ties=True, nonempty=True, methods="max")
def max(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Largest element; equal largest elements share the gradient evenly."""
    x = as_tensor(x)
    return record(max, np.max(x.data, axis, keepdims=keepdims),
                  (x, lambda grad, out: shared_evenly(grad, attaining(x, out, axis), axis)))


@operation("reduction", np.min, ties=True, nonempty=True, methods="min")
def min(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Smallest element; equal smallest elements share the gradient evenly."""
    x = as_tensor(x)
    return record(min, np.min(x.data, axis, keepdims=keepdims),
                  (x, lambda grad, out: shared_evenly(grad, attaining(x, out, axis), axis)))


def attaining(x: Tensor, extreme: Tensor, axis: Axis) -> Array:
    """Which elements attain the extreme; NaN attains a NaN."""
    attained: Array = (x.data == extreme.data.reshape(kept_shape(x.shape, axis))) | np.isnan(x.data)
    return attained


def shared_evenly(grad: Tensor, attained: Array, axis: Axis) -> Tensor:
    """A gradient with respect to an extreme along an axis: 1/n of it for each of the n elements that attain it."""
    share = 1 / np.maximum(np.sum(attained, axis, keepdims=True), 1)
    return where(attained, grad.reshape(share.shape) * share.astype(grad.dtype), 0)


@operation("reduction", lambda x, axis=None, keepdims=False: np.logaddexp.reduce(x, axis, keepdims=keepdims),
           methods="logsumexp")
@in_single
@np.errstate(divide="ignore")  # the log of an empty or vanishing sum is -inf
def logsumexp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))), without overflow: the largest element is taken out before exponentiating."""
    x = as_tensor(x)
    largest, below = from_largest(x.data, axis)
    data = np.log(np.sum(np.exp(below), axis, keepdims=keepdims))
    return record(logsumexp, data + largest.reshape(np.shape(data)),
                  (x, lambda grad, out: logsumexp_rule(x, grad, out, axis)))


def from_largest(x: Array, axis: Axis) -> tuple[Array, Array]:
    """The largest element, with the axis kept, and how far all lie below it: exact however large they are.

    Several that are +inf are as large as each other; where all are -inf they stay so.
    """
    largest = np.max(x * 1.0, axis, keepdims=True, initial=-np.inf)
    with np.errstate(over="ignore", invalid="ignore"):  # of a difference that overflows the exponential is 0
        below = x - largest
    if not np.isfinite(largest).all():
        below = np.where(x == np.inf, 0, np.where(largest == -np.inf, -np.inf, below)).astype(below.dtype)
    return largest, below


def logsumexp_rule(x: Tensor, grad: Tensor, out: Tensor, axis: Axis) -> Tensor:
    """gradient = grad * softmax(x), and 0 where all are -inf."""
    vanished = out.data.reshape(kept_shape(x.shape, axis)) == -np.inf
    if np.any(vanished):
        grad, x = where(vanished.reshape(grad.shape), 0, grad), where(vanished, 0, x)
    return spread(grad, x.shape, axis) * softmax(x, axis)


def exactly_normalized(x: Array, axis: Axis) -> Any:
    """Logarithms less that of their sum, in the widest dtype: what the tests of softmax compare with."""
    return x - np.logaddexp.reduce(np.longdouble(x), axis, keepdims=True)


@operation("other", lambda x, axis=-1: np.exp(exactly_normalized(x, axis)).astype(x.dtype))
@in_single
@np.errstate(invalid="ignore")
def softmax(x: TensorLike, axis: Axis = -1, *, dim: Axis = None) -> Tensor:
    """exp(x) / sum(exp(x)), without overflow; PyTorch's `dim` is another name of the axis.

    Where some elements are +inf it is the limit, shared evenly; where all are -inf it is NaN.
    """
    x, axis = as_tensor(x), axis if dim is None else dim
    powers = np.exp(from_largest(x.data, axis)[1])
    return record(softmax, powers / np.sum(powers, axis, keepdims=True),
                  (x, lambda grad, out: out * (grad - sum(grad * out, axis, keepdims=True))))


@operation("other", lambda x, axis=-1: exactly_normalized(x, axis).astype(x.dtype))
@in_single
@np.errstate(divide="ignore", invalid="ignore")
def log_softmax(x: TensorLike, axis: Axis = -1, *, dim: Axis = None) -> Tensor:
    """log(softmax(x)) = x - logsumexp(x), without overflow; PyTorch's `dim` is another name of the axis."""
    x, axis = as_tensor(x), axis if dim is None else dim
    below = from_largest(x.data, axis)[1]
    return record(log_softmax, below - np.log(np.sum(np.exp(below), axis, keepdims=True)),
                  (x, lambda grad, out: grad - exp(out) * sum(grad, axis, keepdims=True)))


# ------------------------------------------------------------------------------------------------ products


@operation("reduction", np.prod, methods="prod")
@in_single
def prod(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Product of the elements; gradients of any order are right also where some are 0."""
    x = as_tensor(x)
    return record(prod, np.prod(x.data, axis, keepdims=keepdims),
                  (x, lambda grad, out: spread(grad, x.shape, axis) * product_of_others(x, axis)))


def product_of_others(x: Tensor, axis: Axis) -> Tensor:
    """For each element the product of those reduced with it: of all before it and all after it, not divided by it."""
    kept = kept_shape(x.shape, axis)
    order = sorted(range(x.ndim), key=lambda i: kept[i] == 1)  # the reduced axes last
    last = x.transpose(tuple(order))
    rows = last.reshape(*[x.shape[i] for i in order if kept[i] != 1], count(x.shape, axis))
    others = product_before(rows) * flip(product_before(flip(rows, -1)), -1)
    return others.reshape(last.shape).transpose(np.argsort(order).tolist())


def product_before(x: Tensor) -> Tensor:
    """The product of the elements before each along the last axis: 1, x₀, x₀x₁, ..."""
    return shifted(cumprod(x, -1), 1, 1.0)


def shifted(x: Tensor, by: int, fill: float) -> Tensor:
    """The elements moved `by` places along the last axis, and `fill` in the places left empty."""
    n = x.shape[-1]
    gap = np.full((*x.shape[:-1], np.minimum(np.abs(by), n)), fill, x.dtype)
    return concatenate([gap, x[..., : n - by]] if by > 0 else [x[..., -by:], gap], -1)


@operation("other", np.cumsum, methods="cumsum")
def cumsum(x: TensorLike, axis: int | None = None, dtype: DType = None) -> Tensor:
    """Sum of each element and all before it along an axis; of the flattened tensor if `axis` is None."""
    if dtype is not None:
        return astype(cumsum(astype(x, dtype), axis), dtype)
    x, axis = along(x, axis, without_axes=True)
    return record(cumsum, accumulated(np.cumsum, x.data, axis),
                  (x, lambda grad, out: flip(cumsum(flip(grad, axis), axis), axis)))


@operation("other", np.cumprod, methods="cumprod")
@in_single
def cumprod(x: TensorLike, axis: int | None = None) -> Tensor:
    """Product of each element and all before it along an axis; of the flattened tensor if `axis` is None."""
    x, axis = along(x, axis, without_axes=True)
    return record(cumprod, np.cumprod(x.data, axis), (x, lambda grad, out: cumprod_rule(x, grad, axis)))


def cumprod_rule(x: Tensor, grad: Tensor, axis: int) -> Tensor:
    """gradientᵢ = x₀ ⋯ xᵢ₋₁ Sᵢ, where Sᵢ = gradᵢ + xᵢ₊₁ Sᵢ₊₁: without a division, so zeros do no harm."""
    x = moveaxis(x, axis, -1)
    return moveaxis(product_before(x) * carried_back(moveaxis(grad, axis, -1), x), -1, axis)


def carried_back(terms: Tensor, factors: Tensor) -> Tensor:
    """Sᵢ = termᵢ + factorᵢ₊₁ Sᵢ₊₁ along the last axis.

    Doubling the reach of each Sᵢ takes log(n) steps: if it sums the next k terms, then Sᵢ + factorᵢ Sᵢ₊ₖ sums 2k.
    """
    factor, step = shifted(factors, -1, 0.0), 1
    while step < terms.shape[-1]:
        terms = terms + factor * shifted(terms, -step, 0.0)
        factor = factor * shifted(factor, -step, 0.0)
        step *= 2
    return terms


@operation("other", np.trace, methods="trace")
def trace(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Sum of the elements on a diagonal."""
    return sum(diagonal(x, offset, axis1, axis2), -1)


@operation("reduction", np.ptp, ties=True, nonempty=True, methods="ptp")
def ptp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Peak to peak: the largest element minus the smallest."""
    return max(x, axis, keepdims) - min(x, axis, keepdims)
