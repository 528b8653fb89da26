"""Batch normalisation, fused: a step of a convolutional network spends more time here than in its smaller products."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import gcd, inf
from typing import Any

import numpy as np

from minigrad import Tensor, TensorLike, as_tensor, is_recomputing, operation, record, value
from minigrad.arrays import Array
from minigrad.modes import is_grad_enabled
from minigrad.tensor import wrap
from nn.functional.layout import Axes, inverse, memory_axes
from nn.functional.linear import column_sums
from nn.functional.normalization import recorded_gradient, recorded_normal, rescaled
from nn.functional.precision import widened
from nn.functional.settings import real

__all__ = ["batch_norm"]

BLOCK = 1 << 18  # elements worked on at a time: they stay in the cache, and threads seldom wait for each other's calls
SUMS = 1 << 11  # how many are made side by side, of few numbers each and in their dtype; they are added up in double
JOINED = 4  # so many rows of sums in one make 8192 elements, see `blocks`


def batch_norm(
    x: TensorLike, running_mean: Array | None, running_var: Array | None, weight: TensorLike | None = None,
    bias: TensorLike | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, with mean and variance of each channel.

    Args:
        x: (n, channels, ...).
        running_mean, running_var: (channels,) the estimates used unless `training`; updated in place while training,
            the variance by its unbiased estimate. If None, those of the batch are always used.
        weight, bias: (channels,) or None for 1 and 0.
        training: whether to use mean and variance of the batch, over all axes but the channels.
        momentum: how far the estimates move towards each batch.
        eps: keeps a vanishing variance from dividing by 0.

    Raises:
        TypeError: if the running estimates are not arrays.
        ValueError: if `x` is not floating, shapes do not fit, a channel of a training batch has one value, eps is
            negative or momentum not from 0 to 1.

    Source: Ioffe and Szegedy, Batch Normalization: Accelerating Deep Network Training, ICML 2015.
    """
    x = as_tensor(x)
    eps = real("batch_norm", "eps", eps, 0, below=inf)
    momentum = real("batch_norm", "momentum", momentum, 0, 1)
    if (running_mean is None) != (running_var is None):
        raise ValueError("batch_norm takes running_mean and running_var together, got one without the other")
    for estimate in (running_mean, running_var):
        if not isinstance(estimate, np.ndarray | None):
            raise TypeError(f"batch_norm updates arrays in place, got running estimates in a {type(estimate).__name__}")
    check_shapes(x, [running_mean, running_var, weight, bias])
    channels = x.shape[1]
    weight = as_tensor(np.ones(channels, x.dtype) if weight is None else weight)
    bias = as_tensor(np.zeros(channels, x.dtype) if bias is None else bias)
    x, given = widened(x)
    dtype = np.result_type(given, weight.dtype, bias.dtype)
    if not training and running_mean is not None and running_var is not None:
        scale = weight / np.sqrt(running_var + eps).astype(x.dtype)
        shift = bias - running_mean.astype(x.dtype) * scale
        return (x * along_channels(scale, x) + along_channels(shift, x)).astype(dtype, copy=False)
    if not x.size:  # as of a process that has no part of a batch: nothing to normalise by, or to take note of
        return (x * along_channels(weight, x) + along_channels(bias, x)).astype(dtype, copy=False)
    if x.size // max(channels, 1) < 2:
        raise ValueError(f"batch_norm needs more than one value a channel to train on, got shape {x.shape}")
    with np.errstate(over="ignore", invalid="ignore"):  # a variance may not fit its dtype
        out, mean, var = by_the_batch(x, weight, bias, eps)
        if training and running_mean is not None and running_var is not None and not is_recomputing():
            running_mean += momentum * (mean - running_mean)
            running_var += momentum * (var - running_var)
    return out.astype(dtype, copy=False)


def check_shapes(x: Tensor, given: list[Any]) -> None:
    """Raise ValueError unless `x` is floating (n, channels, ...), and what is not None among the others (channels,)."""
    shapes = [np.shape(value(p)) for p in given if p is not None]
    if x.ndim < 2 or x.dtype.kind != "f" or any(shape != x.shape[1:2] for shape in shapes):
        raise ValueError(
            "batch_norm expects floating (n, channels, ...) and one number for each channel, "
            f"got {x.dtype} of shape {x.shape} and {shapes}"
        )


def by_the_batch(x: Tensor, weight: Tensor, bias: Tensor, eps: float | Array) -> tuple[Tensor, Array, Array]:
    """`x` normalised by its own moments, their mean, and their variance by its unbiased estimate."""
    mean, var = moments(rows_of(x.data, row_axes(x.data)))
    shape = (1, -1, *[1] * (x.ndim - 2))
    deviation = np.sqrt(var.reshape(shape) + eps)
    if (scaled := rescaled(x, mean.reshape(shape), deviation, eps)) is not None:
        near_one, shift, unit = scaled[0], scaled[1].ravel(), scaled[2].ravel()
        out, mean, var = by_the_batch(near_one, weight, bias, eps / scaled[2] / scaled[2])
        return out, mean * unit + shift, var * unit * unit
    count = x.size // x.shape[1]
    out = normalized(x, weight, bias, mean, (1 / deviation).ravel().astype(x.dtype), eps)
    return out, mean, var * (count / (count - 1))


def along_channels(p: Tensor, x: Tensor) -> Tensor:
    """(channels,) -> (channels, 1, ...), to be broadcast with x: (n, channels, ...)."""
    return p.reshape(-1, *[1] * (x.ndim - 2))


@operation("other")
def normalized(x: Tensor, weight: Tensor, bias: Tensor, mean: Array, reciprocal_std: Array, eps: Any) -> Tensor:
    """`x`, normalised by its own moments, times `weight`, plus `bias`."""
    axes, count, order = (0, *range(2, x.ndim)), x.size // x.shape[1], row_axes(x.data)

    @lru_cache(1)
    def sums(grad: Tensor) -> tuple[Array, Array]:
        """Over all but the channels: of the gradient, and of it times (x - mean)."""
        return gradient_sums(rows_of(grad.data, order), rows_of(x.data, order), mean)

    def to_x(grad: Tensor, out: Tensor) -> Tensor:
        if is_grad_enabled():
            return recorded_gradient(x, grad * along_channels(weight, x), axes, eps)
        total, moment = sums(grad)
        factor = weight.data * reciprocal_std
        slope = factor * reciprocal_std**2 * moment / count
        offset = factor * total / count - slope * mean
        data = gradient_of_rows(rows_of(grad.data, order), rows_of(x.data, order), factor, slope, offset)
        return wrap(channels_second(data, x.shape, order))

    def to_weight(grad: Tensor, out: Tensor) -> Tensor:
        if is_grad_enabled():
            return (grad * recorded_normal(x, axes, eps)[0]).sum(axes)
        return wrap(sums(grad)[1] * reciprocal_std)

    def to_bias(grad: Tensor, out: Tensor) -> Tensor:
        return grad.sum(axes) if is_grad_enabled() else wrap(sums(grad)[0])

    data = scaled_rows(rows_of(x.data, order), mean, weight.data * reciprocal_std, bias.data)
    return record(normalized, channels_second(data, x.shape, order), (x, to_x), (weight, to_weight), (bias, to_bias))


# ------------------------------------------------------------------------------------------------ on arrays


def row_axes(x: Array) -> Axes:
    """All axes of (n, channels, ...) but the channels, in the order in which they lie in memory."""
    return tuple(axis + (axis > 0) for axis in memory_axes(x[:, 0]))


def rows_of(x: Array, axes: Axes) -> Array:
    """(n, channels, ...) -> (n * ..., channels), with these axes joined; a view if memory lies so, channels last."""
    return x.transpose(*axes, 1).reshape(-1, x.shape[1])


def channels_second(rows: Array, shape: tuple[int, ...], axes: Axes) -> Array:
    """The other way round: (n * ..., channels) -> `shape`, which is (n, channels, ...), a view."""
    return rows.reshape([shape[axis] for axis in (*axes, 1)]).transpose(inverse((*axes, 1)))


def blocks(channels: tuple[Array, ...], *arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Wide rows of arrays (m, channels), block by block, after the `channels` arrays repeated to the same width.

    Arithmetic with an array that is repeated for each row takes up to twice as long where rows are shorter than the
    buffer of NumPy's loops, 8192 elements: it is then copied into that, row by row.
    """
    m, c = arrays[0].shape
    width = row_width(m, c)
    count, step = m * c // width, max(1, BLOCK // width)
    joined = gcd(count, step, JOINED)  # of (12544, 32), 4 rows of width 2048 make one of 8192
    wide = [array.reshape(-1, joined * width) for array in arrays]
    repeated = [np.repeat(array[None], joined * width // c, axis=0).ravel() for array in channels]
    for start in range(0, count // joined, step // joined):
        yield *repeated, *(array[start : start + step // joined] for array in wide)


def row_width(m: int, c: int) -> int:
    """How many sums are made side by side of (m, c): several rows long, if they can be divided into such parts."""
    return c * gcd(m, max(1, SUMS // c))


def moments(x: Array) -> tuple[Array, Array]:
    """Mean and variance of each column of (m, channels)."""
    m, c = x.shape

    def average(sums: list[Array]) -> Array:
        result: Array = (np.sum(sums, 0, dtype=np.float64).reshape(-1, c).sum(0) / m).astype(x.dtype)
        return result

    # A long sum in float32 loses digits: where the mean is far larger than the deviations, more than they have.
    parts = (x[start : start + 1024] for start in range(0, m, 1024))
    mean = average([np.ones(len(part), x.dtype) @ part for part in parts])
    squares = []
    for center, block in blocks((mean,), x):
        deviations = block - center
        deviations *= deviations
        squares.append(deviations.reshape(-1, row_width(m, c)).sum(0))
    return mean, average(squares)


def scaled_rows(x: Array, mean: Array, scale: Array, shift: Array) -> Array:
    """(x - mean) * scale + shift."""
    out = np.empty(x.shape, np.result_type(x, scale, shift))
    for center, factor, offset, block, result in blocks((mean, scale, shift), x, out):
        np.subtract(block, center, out=result)
        result *= factor
        result += offset
    return out


def gradient_sums(grad: Array, x: Array, mean: Array) -> tuple[Array, Array]:
    """For each column the sum of the gradient, and of the gradient times (x - mean)."""
    m, c = x.shape
    products = []
    for center, g, block in blocks((mean,), grad, x):
        deviations = block - center
        deviations *= g
        products.append(deviations.reshape(-1, row_width(m, c)).sum(0))
    return column_sums(grad), np.sum(products, 0).reshape(-1, c).sum(0)


def gradient_of_rows(grad: Array, x: Array, factor: Array, slope: Array, offset: Array) -> Array:
    """factor * grad - (slope * x + offset)."""
    out = np.empty(x.shape, x.dtype)
    for a, b, c, g, block, result in blocks((factor, slope, offset), grad, x, out):
        np.multiply(g, a, out=result)
        subtrahend = block * b
        subtrahend += c
        result -= subtrahend
    return out
