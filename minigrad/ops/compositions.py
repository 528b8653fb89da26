"""More of NumPy's functions, most of them made of the operations in the other files.

They have the names of NumPy's, and of their arguments. What has no rule here gets its gradient from its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor
from operator import index
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from minigrad.arrays import Array
from minigrad.graph import record
from minigrad.ops.arithmetic import abs, astype, divide, maximum, minimum, multiply, positive, where
from minigrad.ops.elementwise import sqrt
from minigrad.ops.indexing import constant, diagonal, pad, take
from minigrad.ops.products import matmul
from minigrad.ops.reductions import (
    Axis,
    attaining,
    carried_back,
    count,
    kept_shape,
    mean,
    shared_evenly,
    std,
    sum,
    var,
    with_value,
)
from minigrad.ops.registry import named_after, operation
from minigrad.ops.shape import (
    alike,
    along,
    broadcast_to,
    concatenate,
    flip,
    moveaxis,
    parts,
    reshape,
    split,
    squeeze,
    swapaxes,
    transpose,
)
from minigrad.tensor import Rule, Tensor, TensorLike, as_tensor, value, wrap

__all__ = [
    "absolute", "true_divide", "fabs", "nan_to_num",
    "atleast_1d", "atleast_2d", "atleast_3d", "vstack", "hstack", "dstack", "column_stack", "array_split", "vsplit",
    "hsplit", "dsplit", "flipud", "fliplr", "rot90", "rollaxis", "meshgrid", "compress", "select",
    "diff", "gradient", "trapezoid", "interp", "kron", "vdot", "cross",
    "average", "cov", "corrcoef", "median", "quantile", "percentile",
    "nansum", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin",
]


def axes_of(x: Tensor, axis: Any) -> tuple[int, ...]:
    """The axes that `axis` names, none of them negative; all of them if it is None."""
    return normalize_axis_tuple(range(x.ndim) if axis is None else axis, x.ndim)


# ------------------------------------------------------------------------------------------------ elementwise

absolute, true_divide = abs, divide


@operation("elementwise", np.fabs, kinks=(0,))
def fabs(x: TensorLike) -> Tensor:
    """Absolute value as a floating number, with slope 0 at 0."""
    return record(fabs, np.fabs(value(x)), (x, lambda grad, out: grad * np.sign(value(x))))


@operation("other", np.nan_to_num)
def nan_to_num(x: TensorLike, *, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Tensor:
    """`x` with numbers in place of NaN and infinities (the largest there are by default), where its slope is 0."""
    x, nan, posinf, neginf = as_tensor(x), *map(constant, (nan, posinf, neginf))
    return record(nan_to_num, np.nan_to_num(x.data, nan=nan, posinf=posinf, neginf=neginf),
                  (x, lambda grad, out: where(np.isfinite(x.data), grad, 0)))


# ------------------------------------------------------------------------------------------------ shapes


def at_least(n: int, twin: Callable[..., Any]) -> Any:
    """The operation that gives tensors the axes of length 1 that `twin` gives arrays."""
    def function(*arys: TensorLike) -> Tensor | tuple[Tensor, ...]:
        results = tuple(reshape(x, twin(value(x)).shape) for x in arys)
        return results[0] if len(results) == 1 else results

    return named_after(twin, function, f"Each tensor, with axes of length 1 more if it has fewer than {n}")


def splitting(axis: int, twin: Callable[..., Any], doc: str) -> Any:
    """The operation that splits along an axis, or along the only one."""
    def function(ary: TensorLike, indices_or_sections: int | Sequence[int]) -> list[Tensor]:
        ary, bounds = as_tensor(ary), parts(indices_or_sections)
        twin(ary.data, bounds)  # NumPy refuses what does not fit
        return split(ary, bounds, axis if ary.ndim > 1 else 0)

    return named_after(twin, function, doc)


atleast_1d = at_least(1, np.atleast_1d)
atleast_2d = at_least(2, np.atleast_2d)
atleast_3d = at_least(3, np.atleast_3d)

vstack = named_after(np.vstack, lambda tup: concatenate(list(map(atleast_2d, alike(tup)))),
                  "The tensors one below the other: along the first of at least two axes")
hstack = named_after(np.hstack, lambda tup: beside(list(map(atleast_1d, alike(tup)))),
                  "The tensors side by side: along the second axis, or the only one")
dstack = named_after(np.dstack, lambda tup: concatenate(list(map(atleast_3d, alike(tup))), 2),
                  "The tensors one behind the other: along the third of at least three axes")
column_stack = named_after(np.column_stack, lambda tup: concatenate(list(map(as_columns, tup)), 1),
                        "The tensors side by side, vectors as columns")

vsplit = splitting(0, np.vsplit, "`split` along the first of at least two axes")
hsplit = splitting(1, np.hsplit, "`split` along the second axis, or the only one")
dsplit = splitting(2, np.dsplit, "`split` along the third axis")

flipud = named_after(np.flipud, lambda m: flip(m, 0), "The rows in reverse order")
fliplr = named_after(np.fliplr, lambda m: flip(m, 1), "The columns in reverse order")


def beside(parts: list[Tensor]) -> Tensor:
    """The tensors joined along the second axis, or the only one."""
    return concatenate(parts, 1 if parts and parts[0].ndim > 1 else 0)


def as_columns(x: TensorLike) -> Tensor:
    """A vector as a matrix of one column; a matrix as it is."""
    return atleast_2d(x).T if np.ndim(value(x)) < 2 else as_tensor(x)


@operation("other", np.array_split)
def array_split(ary: TensorLike, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """As `split`, but the parts of which the number is given need not be equal: the first ones may be longer."""
    ary, bounds = as_tensor(ary), parts(indices_or_sections)
    if np.ndim(bounds) == 0:
        bounds = np.cumsum([part.shape[axis] for part in np.array_split(ary.data, bounds, axis)])[:-1]
    return split(ary, bounds, axis)


@operation("other", np.rot90)
def rot90(m: TensorLike, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """Turned by `k` right angles in the plane of two axes, from the first towards the second."""
    return record(rot90, np.rot90(value(m), k, axes), (m, lambda grad, out: rot90(grad, -k, axes)))


@operation("other", np.rollaxis)
def rollaxis(a: TensorLike, axis: int, start: int = 0) -> Tensor:
    """An axis moved to lie before another one."""
    a = as_tensor(a)
    return transpose(a, np.rollaxis(np.empty(range(a.ndim)), axis, start).shape)  # sides that tell where they were


@operation("other", np.meshgrid)
def meshgrid(*xi: TensorLike, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Tensor, ...]:
    """The coordinates of all points of a grid, from those along each axis, of which "xy" exchanges the first two.

    With `sparse` they are left to be broadcast. `copy` changes nothing: tensors are not written into.
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f'meshgrid knows indexing="xy" and "ij", got {indexing!r}')
    grids = [reshape(x, (1,) * i + (-1,) + (1,) * (len(xi) - 1 - i)) for i, x in enumerate(xi)]
    if indexing == "xy" and len(xi) > 1:
        grids = [swapaxes(x, 0, 1) for x in grids]
    shape = np.broadcast_shapes(*[x.shape for x in grids])
    return tuple(grids if sparse else [broadcast_to(x, shape) for x in grids])


@operation("other", np.compress)
def compress(condition: TensorLike, a: TensorLike, axis: int | None = None) -> Tensor:
    """The elements, or the slices along an axis, for which the condition holds, as far as there is one."""
    a, axis = along(a, axis, without_axes=True)
    return take(a, np.compress(value(condition), np.arange(a.shape[axis])), axis)


setattr(Tensor, "compress", lambda self, condition, axis=None: compress(condition, self, axis))  # noqa: B010


@operation("other", np.select)
def select(condlist: Sequence[TensorLike], choicelist: Sequence[TensorLike], default: TensorLike = 0) -> Tensor:
    """For each element that of the first choice of which the condition holds, or else the default."""
    conditions, choices = [value(x) for x in condlist], [value(x) for x in choicelist]
    chosen = np.select(conditions, range(len(choices)), len(choices))
    return record(select, np.select(conditions, choices, value(default)),
                  *[(x, choosing(chosen == i)) for i, x in enumerate([*choicelist, default])])


def choosing(chosen: Array) -> Rule:
    """The gradient rule of what was chosen in these places."""
    return lambda grad, out: where(chosen, grad, 0)


# ------------------------------------------------------------------------------------------------ differences


@operation("other", np.diff)
def diff(
    a: TensorLike, n: int = 1, axis: int = -1, prepend: TensorLike | None = None, append: TensorLike | None = None
) -> Tensor:
    """Differences of neighbours along an axis, `n` times; first lengthened by what is to be prepended or appended."""
    a, axis = as_tensor(a), index(axis)
    if n < 0:
        raise ValueError(f"diff takes differences 0 times or more often, got n={n}")
    if n == 0:
        return astype(a, a.dtype)
    ends = [None if x is None else as_tensor(x) for x in (prepend, append)]
    edge = kept_shape(a.shape, axis)
    before, after = ([] if x is None else [x if x.ndim else broadcast_to(x, edge)] for x in ends)
    a = moveaxis(concatenate([*before, a, *after], axis) if before or after else a, axis, -1)
    for _ in range(n):
        a = wrap(np.diff(a.data)) if a.dtype == bool else a[..., 1:] - a[..., :-1]
    return moveaxis(a, -1, axis)


@operation("other", np.gradient)
def gradient(f: TensorLike, *varargs: TensorLike, axis: Axis = None, edge_order: int = 1) -> Any:
    """The slopes along each axis (a tuple if there are several) by second-order differences, at the ends one-sided.

    Args:
        f: values on a grid.
        varargs: nothing, the distance of the points on all axes, or for each axis this or the points' coordinates.
        axis: the axis or axes, by default all.
        edge_order: 1 or 2, the order of the differences at the ends.

    Raises:
        TypeError: if values or coordinates are booleans, or if there are not as many distances as axes.
    """
    f = as_tensor(f)
    axes = axes_of(f, axis)
    steps = varargs or (1.0,)
    if len(steps) == 1 and np.ndim(value(steps[0])) == 0:
        steps = steps * len(axes)
    if len(steps) != len(axes):
        raise TypeError(f"gradient takes one distance, or one for each of {len(axes)} axes, got {len(steps)}")
    slopes = tuple(slopes_along(f, i, as_tensor(step), edge_order) for i, step in zip(axes, steps, strict=True))
    return slopes[0] if len(slopes) == 1 else slopes


def slopes_along(f: Tensor, axis: int, step: Tensor, edge_order: int) -> Tensor:
    """The slope of the parabola through each point and its neighbours; at the ends, of that or of the line."""
    if f.dtype == bool or (step.ndim and step.dtype == bool):
        raise TypeError("gradient takes differences, which booleans do not have: convert them with astype(float)")
    y = moveaxis(f * 1.0, axis, -1)
    n = y.shape[-1]
    if edge_order not in (1, 2) or n <= edge_order or step.shape not in ((), (n,)):
        raise ValueError(f"gradient takes edge_order 1 or 2 (got {edge_order}), more points than that along each axis "
                         f"(got {n}), and as many coordinates or one distance (got shape {step.shape})")
    h = diff(step * 1.0) if step.ndim else step * np.ones(n - 1)
    line = (y[..., 1:] - y[..., :-1]) / h
    first, last = line[..., :1], line[..., -1:]
    if step.ndim:
        inner = (line[..., :-1] * h[1:] + line[..., 1:] * h[:-1]) / (h[1:] + h[:-1])
    else:
        inner = (y[..., 2:] - y[..., :-2]) / (2 * step)
    if edge_order == 2:
        first = first + (first - line[..., 1:2]) * (h[:1] / (h[:1] + h[1:2]))
        last = last + (last - line[..., -2:-1]) * (h[-1:] / (h[-1:] + h[-2:-1]))
    return astype(moveaxis(concatenate([first, inner, last], -1), -1, axis), y.dtype, copy=False)


@operation("other", np.trapezoid)
def trapezoid(y: TensorLike, x: TensorLike | None = None, dx: TensorLike = 1.0, axis: int = -1) -> Tensor:
    """The integral along an axis by the trapezoidal rule, of points at the coordinates `x` or at a distance `dx`."""
    (y, place), step = along(y, index(axis)), dx
    if x is not None:
        x = as_tensor(x)
        step = reshape(diff(x), (-1,) + (1,) * (y.ndim - place - 1)) if x.ndim == 1 else diff(x, axis=axis)
    former, latter = ((slice(None),) * place + (part,) for part in (slice(-1), slice(1, None)))
    return sum(multiply(step, y[latter] + y[former]) / 2.0, axis)  # of the product, which may have more axes than y


@operation("other", np.interp)
def interp(
    x: TensorLike, xp: TensorLike, fp: TensorLike, left: TensorLike | None = None, right: TensorLike | None = None,
    period: float | None = None,
) -> Tensor:
    """Linear interpolation between the points (xp, fp), of which `xp` ascends; at a point the slope is that after it.

    Beyond the points it is `left` or `right`, by default the first and the last of `fp`; with a period, `xp` may have
    any order, and repeats.
    """
    at, points, values = (astype(t, np.float64) for t in (x, xp, fp))
    known = np.interp(at.data, points.data, values.data, period=period)  # NumPy refuses what does not fit
    if period is not None:
        at, points, values = around(at, points, values, float(np.abs(period)))
        left = right = None
    below, above = at.data < points.data[0], at.data > points.data[-1]
    at = where(below | above, points.data[0], at)  # where a slope of 0 would meet an infinite distance
    i = np.clip(np.searchsorted(points.data, at.data, "right") - 1, 0, np.maximum(points.size - 2, 0))
    j = np.minimum(i + 1, points.size - 1)
    i = np.where(points.data[i] == points.data[j], j, i)  # where the last two are at one place, it is the last
    width = points[j] - points[i]
    inner = values[i] + (values[j] - values[i]) / where(width.data == 0, 1, width) * (at - points[i])
    if np.isnan(inner.data).any():  # next to an infinite value
        inner = where(np.isnan(inner.data), where(at.data == points.data[i], values[i], known), inner)
    outer = where(above, values[-1] if right is None else right, inner)
    return where(below, values[0] if left is None else left, outer)


def around(x: Tensor, xp: Tensor, fp: Tensor, period: float) -> tuple[Tensor, Tensor, Tensor]:
    """Points within one period and in order, the last one repeated before them and the first one after."""
    x, xp = x - period * np.floor(x.data / period), xp - period * np.floor(xp.data / period)
    order = np.argsort(xp.data)
    order = np.concatenate([order[-1:], order, order[:1]])
    return x, xp[order] + period * np.array([-1, *[0] * xp.size, 1]), fp[order]


# ------------------------------------------------------------------------------------------------ products


@operation("other", np.kron)
def kron(a: TensorLike, b: TensorLike) -> Tensor:
    """Kronecker's product: each element of `a` times the whole of `b`, in its place."""
    a, b = as_tensor(a), as_tensor(b)
    n = np.maximum(a.ndim, b.ndim)
    outer, inner = (1,) * (n - a.ndim) + a.shape, (1,) * (n - b.ndim) + b.shape
    left, right = (tuple(side for i in range(n) for side in (sides[i], 1)) for sides in (outer, inner))
    product = reshape(a, left) * reshape(b, (1, *right)[:-1])
    return reshape(product, tuple(i * j for i, j in zip(outer, inner, strict=True)))


@operation("other", np.vdot)
def vdot(a: TensorLike, b: TensorLike) -> Tensor:
    """The scalar product of all elements."""
    return matmul(reshape(a, -1), reshape(b, -1))


@operation("other", np.cross)
def cross(
    a: TensorLike, b: TensorLike, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Tensor:
    """Vector product, of vectors of three elements along an axis; of two, the third is 0, and alone if both are so."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    sides = {a.shape[-1], b.shape[-1]}
    if not sides <= {2, 3}:
        raise ValueError(f"cross takes vectors of 2 or 3 elements, got shapes {a.shape} and {b.shape}")
    a, b = (x if x.shape[-1] == 3 else pad(x, [(0, 0)] * (x.ndim - 1) + [(0, 1)]) for x in (a, b))
    after, last = [1, 2, 0], [2, 0, 1]
    product = a[..., after] * b[..., last] - a[..., last] * b[..., after]
    return product[..., 2] if sides == {2} else moveaxis(product, -1, axisc)


# ------------------------------------------------------------------------------------------------ statistics


@operation("other", np.average)
def average(
    a: TensorLike, axis: Axis = None, weights: TensorLike | None = None, returned: bool = False,
    *, keepdims: bool = False,
) -> Any:
    """sum(a * weights) / sum(weights), or the mean; with `returned` also the sum of the weights.

    The weights have the shape of `a`, or that of its sides along `axis`.
    """
    a = as_tensor(a)
    axis = axes_of(a, axis) if axis is not None else None
    if weights is None:
        result = mean(a, axis, keepdims)
        total = as_tensor(a.size / result.size)
    else:
        w = as_tensor(weights)
        dtype = np.result_type(a.dtype, w.dtype, *[np.float64] * (a.dtype.kind != "f"))
        w = astype(w, np.result_type(dtype, np.float32), copy=False)  # a sum of many halves is soon beyond their range
        np.average(a.data, axis, w.data)  # NumPy refuses what does not fit
        if w.shape != a.shape:
            sides = tuple(n if i in axes_of(a, axis) else 1 for i, n in enumerate(a.shape))
            w = reshape(transpose(w, tuple(np.argsort(axes_of(a, axis)).tolist())), sides)
        total = sum(w, axis, keepdims)
        result = astype(sum(a * w, axis, keepdims) / total, dtype, copy=False)
    if not returned:
        return result
    return result, broadcast_to(astype(total, result.dtype, copy=False), result.shape)


@operation("other", np.cov)
def cov(
    m: TensorLike, y: TensorLike | None = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None,
    fweights: Any = None, aweights: Any = None, *, dtype: Any = None,
) -> Tensor:
    """Covariances of variables, each a row of observations; each a column if not `rowvar`.

    Observations may have counts and weights, which are constants. The divisor is their sum less `ddof`, that is 1 by
    default, or 0 if `bias`.
    """
    given = [as_tensor(x) for x in (m, y) if x is not None]
    if any(x.ndim > 2 for x in given):
        raise ValueError(f"cov takes at most two dimensions, got shapes {', '.join(str(x.shape) for x in given)}")
    dtype = np.result_type(np.float64, *[x.dtype for x in given]) if dtype is None else dtype
    rows = [atleast_2d(x) for x in given]
    are_rows = [rowvar or given[0].ndim == 1, *(rowvar or len(x) == 1 for x in rows[1:])]  # as NumPy takes them
    x = astype(concatenate([x if is_row else x.T for x, is_row in zip(rows, are_rows, strict=True)]), dtype)
    counts, shares = (None if w is None else np.asarray(w, float) for w in (fweights, aweights))
    n = x.shape[1]
    w = np.ones(n, x.dtype) if counts is None else +counts
    ddof = int(not bias) if ddof is None else constant(ddof)
    np.cov(np.zeros((1, n)), bias=bias, ddof=ddof, fweights=counts, aweights=shares)  # NumPy refuses what does not fit
    w = w if shares is None else w * shares
    lost = ddof if shares is None else ddof * np.sum(w * shares) / np.sum(w)
    x = x - average(x, 1, w, keepdims=True)
    return squeeze(matmul(x, (x * w).T) / np.maximum(np.sum(w) - lost, 0))


@operation("other", np.corrcoef)
def corrcoef(x: TensorLike, y: TensorLike | None = None, rowvar: bool = True, *, dtype: Any = None) -> Tensor:
    """Correlation coefficients of variables: their covariances divided by both standard deviations."""
    covariances = cov(x, y, rowvar, dtype=dtype)
    if covariances.ndim == 0:
        return covariances / covariances
    deviations = sqrt(diagonal(covariances))
    coefficients = covariances / deviations[:, None] / deviations
    return with_value(coefficients, np.clip(coefficients.data, -1, 1))  # rounding may lead beyond 1, which is no kink


@operation("other", np.median, ties=True, nonempty=True)
def median(a: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Middle element, or mean of the two in the middle; equal elements share the gradient evenly."""
    a = as_tensor(a)
    return record(median, np.median(a.data, axis, keepdims=keepdims),
                  (a, lambda grad, out: quantile_rule(a, grad, 0.5, axis, "linear")))


@operation("other", np.quantile, ties=True, nonempty=True)
def quantile(a: TensorLike, q: Any, axis: Axis = None, *, method: Any = "linear", keepdims: bool = False) -> Tensor:
    """The value that a part `q` of the elements lies below; several with the shape of `q` in front.

    The methods to interpolate are NumPy's. Equal elements share the gradient evenly, `q` gets none.
    """
    a, q = as_tensor(a), constant(q)
    dtype = np.quantile(np.ones(1, a.dtype), q, method=method).dtype
    given = a.data.astype(np.float32) if a.dtype == np.float16 else a.data  # in which elements are counted wrongly
    found = np.quantile(given, q, axis, method=method, keepdims=keepdims).astype(dtype)
    return record(quantile, found, (a, lambda grad, out: quantile_rule(a, grad, q, axis, method)))


def quantile_rule(x: Tensor, grad: Tensor, q: Any, axis: Axis, method: Any) -> Tensor:
    """The gradient with respect to the two ordered elements that each quantile lies between, by how near they are."""
    if not x.size:
        return x
    over = axes_of(x, axis)
    rows = np.moveaxis(x.numpy(), over, range(-len(over), 0))
    ordered = np.sort(rows.reshape(*rows.shape[: x.ndim - len(over)], -1), -1)
    ordered = np.where(np.isnan(ordered[..., -1:]), np.nan, ordered)  # a NaN is any quantile, of NumPy's too
    places = np.asarray(np.quantile(np.arange(ordered.shape[-1]), q, method=method))
    total = wrap(np.zeros(x.shape, x.dtype))
    for i, place in np.ndenumerate(places):
        for k in {floor(place), ceil(place)}:
            attained = attaining(x, wrap(ordered[..., k]), over)
            total = total + shared_evenly(float(1 - np.abs(k - place)) * grad[i], attained, over)
    return total


percentile = named_after(
    np.percentile,
    lambda a, q, axis=None, *, method="linear", keepdims=False:
        quantile(a, in_parts(a, q), axis, method=method, keepdims=keepdims),
    "As `quantile`, with `q` in per cent", ties=True, nonempty=True,
)


def in_parts(a: TensorLike, q: Any) -> Any:
    """`q` per cent as a part: a number, or in the dtype that NumPy gives it beside `a`."""
    if isinstance(q, (int, float)):
        return q / 100
    a = as_tensor(a)
    return np.divide(constant(q), a.dtype.type(100) if a.dtype.kind == "f" else 100)


# ------------------------------------------------------------------------------------------------ without NaN


@operation("reduction", np.nansum)
def nansum(a: TensorLike, axis: Axis = None, keepdims: bool = False, *, dtype: Any = None) -> Tensor:
    """Sum of the elements that are not NaN."""
    return sum(where(np.isnan(value(a)), 0, a), axis, keepdims, dtype=dtype)


@operation("reduction", np.nanmean, nonempty=True)
def nanmean(a: TensorLike, axis: Axis = None, keepdims: bool = False, *, dtype: Any = None) -> Tensor:
    """Arithmetic mean of the elements that are not NaN; NaN if all are."""
    a = as_tensor(a)
    total = nansum(a, axis, keepdims, dtype=np.result_type(a.dtype, np.float64))
    return astype(total / known(a, axis, keepdims), floating(a) if dtype is None else dtype)


def nan_spread(twin: Any, of: Callable[..., Tensor], scaled: Callable[[Tensor], Tensor], **facts: Any) -> Any:
    """The operation that is `of`, `var` or `std`, of the elements that are not NaN."""
    def function(a: TensorLike, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Tensor:
        a = as_tensor(a)
        more = count(a.shape, axis) / known(a, axis, keepdims, float(constant(ddof)))  # elements than are divided by
        of_all = of(deviations_or_0(a, axis), axis if a.ndim else None, keepdims=keepdims)
        return astype(scaled(more) * of_all, floating(a))

    return named_after(twin, function, f"As `{of.__name__}`, of the elements that are not NaN", **facts)


nanvar = nan_spread(np.nanvar, var, positive, nonempty=True)
nanstd = nan_spread(np.nanstd, std, sqrt, ties=True, nonempty=True)


def known(x: Tensor, axis: Axis, keepdims: bool, ddof: float = 0) -> Tensor:
    """How many elements are not NaN, less `ddof`; NaN where nothing is left."""
    n = np.sum(~np.isnan(x.data), axis, keepdims=keepdims)
    return wrap(np.where(n > ddof, n - ddof, np.nan))


def floating(x: Tensor) -> Any:
    """The dtype that a mean has."""
    return x.dtype if x.dtype.kind == "f" else np.dtype(float)


def deviations_or_0(x: Tensor, axis: Axis) -> Tensor:
    """The deviations from the mean in double precision, 0 for a NaN; all exactly 0 where the elements are equal."""
    missing, wide = np.isnan(x.data), astype(x, np.result_type(x.dtype, np.float64))
    wide = wide - np.fmin.reduce(wide.data, axis, keepdims=True, initial=np.nan)
    return where(missing, 0, wide - nanmean(wide, axis, keepdims=True))


def nan_extreme(twin: Callable[..., Any], doc: str) -> Any:
    """The operation that computes `twin`, the largest or the smallest element that is not NaN."""
    def function(a: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
        a = as_tensor(a)

        def rule(grad: Tensor, out: Tensor) -> Tensor:
            return shared_evenly(grad, a.data == out.data.reshape(kept_shape(a.shape, axis)), axis)

        return record(function, twin(a.data, axis, keepdims=keepdims), (a, rule))

    return named_after(twin, function, doc, "reduction", ties=True, nonempty=True)


nanmax = nan_extreme(np.nanmax, "Largest element that is not NaN; equal ones share the gradient evenly")
nanmin = nan_extreme(np.nanmin, "Smallest element that is not NaN; equal ones share the gradient evenly")


# ------------------------------------------------------------------------------------------------ so far


def running(choose: Any, ufunc: np.ufunc, doc: str) -> None:
    """Give the operation `choose` the method `accumulate` that its ufunc has: `maximum.accumulate(x)`."""
    def accumulate(array: TensorLike, axis: int = 0) -> Tensor:
        x = as_tensor(array)
        return record(accumulate, ufunc.accumulate(x.data, axis),
                      (x, lambda grad, out: accumulate_rule(x, grad, out, axis)))

    name = f"{ufunc.__name__}.accumulate"
    choose.accumulate = named_after(ufunc.accumulate, accumulate, doc, ties=True, name=name)


def accumulate_rule(x: Tensor, grad: Tensor, out: Tensor, axis: Any) -> Tensor:
    """The k-th element that attains the extreme so far takes 1/k of what arrives, the rest goes to those before."""
    along = axes_of(x, axis)
    values, extremes = (np.moveaxis(t.numpy(), along, [-1]) for t in (x, out))
    attained = (values == extremes) | np.isnan(values)
    new = np.ones(values.shape, bool)
    new[..., 1:] = extremes[..., 1:] != extremes[..., :-1]
    order = np.cumsum(attained, -1)
    k = order - np.maximum.accumulate(np.where(new, order - 1, 0), -1)
    share = wrap(attained / k)  # in float64, since 1 - 1 / k is soon 1
    shared = share * carried_back(moveaxis(grad, along, (-1,)), 1 - share)
    return moveaxis(shared.astype(grad.dtype), (-1,), along)


running(maximum, np.maximum, "Largest element so far along an axis; equal ones share the gradient evenly")
running(minimum, np.minimum, "Smallest element so far along an axis; equal ones share the gradient evenly")
