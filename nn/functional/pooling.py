"""Pooling: what a window of an image is summed up by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np

from minigrad import Tensor, TensorLike, as_tensor, matmul, operation, record
from minigrad.modes import is_grad_enabled
from minigrad.tensor import Array
from nn.functional.convolution import (
    Geometry,
    Pair,
    channels_first,
    channels_last,
    each_place,
    geometry_of,
    image_size,
    pair,
)
from nn.functional.layout import Axes, arranged, empty_along, memory_axes

__all__ = ["adaptive_avg_pool2d", "avg_pool2d", "max_pool2d"]

# Bytes of results worked on at a time, so that several passes over them and over their windows stay in the cache.
BLOCK = 1 << 19

Index = tuple[slice, ...]
Shares = Sequence[Any]  # for each place in a window the weights, arrays (n, rows, columns, c) or numbers


def max_pool2d(
    x: TensorLike, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0
) -> Tensor:
    """The largest element of each window, (n, c, h, w) -> (n, c, rows, columns); equal ones share the gradient evenly.

    Args:
        x: (n, c, h, w), floating.
        kernel_size: of a window; a number, or one for each of the two axes.
        stride: how far the window moves at a time; its size if None.
        padding: how far windows reach over the edges.

    Raises:
        ValueError: if the shape or a setting does not fit.

    >>> max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
    tensor([[[[ 5.,  7.],
              [13., 15.]]]], dtype=float64)
    """
    x = as_tensor(x)
    return largest(x, pool_geometry("max_pool2d", x, kernel_size, stride, padding))


def avg_pool2d(
    x: TensorLike, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0
) -> Tensor:
    """The mean of each window, zeros around the image included; arguments and errors as for `max_pool2d`.

    >>> avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
    tensor([[[[ 2.5,  4.5],
              [10.5, 12.5]]]], dtype=float64)
    """
    x = as_tensor(x)
    geometry = pool_geometry("avg_pool2d", x, kernel_size, stride, padding)
    size = geometry.kernel[0] * geometry.kernel[1]
    return weighted_sum(x, [1 / size] * size, geometry)


def adaptive_avg_pool2d(x: TensorLike, output_size: int | Pair) -> Tensor:
    """Means of windows chosen so that there are `output_size` rows and columns; they overlap if that does not divide.

    >>> adaptive_avg_pool2d(np.arange(9.0).reshape(1, 1, 3, 3), 2)
    tensor([[[[2., 3.],
              [5., 6.]]]], dtype=float64)
    """
    x = as_tensor(x)
    rows, columns = pair("adaptive_avg_pool2d", "output_size", output_size)
    height, width = floating_images_size("adaptive_avg_pool2d", x)
    if height * width == 0:
        raise ValueError(f"adaptive_avg_pool2d expects images of at least one pixel, got shape {x.shape}")
    if height % rows == 0 and width % columns == 0:
        return avg_pool2d(x, (height // rows, width // columns))
    return matmul(matmul(averaging(height, rows, x.dtype), x), averaging(width, columns, x.dtype).T)


def averaging(length: int, parts: int, dtype: np.dtype[Any]) -> Array:
    """(parts, length): row i averages the elements from floor(i length / parts) to ceil((i + 1) length / parts)."""
    part, place = np.ogrid[:parts, :length]
    covers = (place >= part * length // parts) & (place < -(-(part + 1) * length // parts))
    means: Array = (covers / covers.sum(1, keepdims=True)).astype(dtype)
    return means


def pool_geometry(name: str, x: Tensor, kernel: Any, stride: Any, padding: Any) -> Geometry:
    floating_images_size(name, x)
    geometry = geometry_of(name, x.shape, kernel, kernel if stride is None else stride, padding)
    if any(2 * reach > size for reach, size in zip(geometry.padding, geometry.kernel, strict=True)):
        raise ValueError(f"{name} expects a padding of at most half the kernel {geometry.kernel}, got {padding}")
    return geometry


def floating_images_size(name: str, x: Tensor) -> Pair:
    """(h, w) of images (n, c, h, w), checked to be that and floating."""
    if x.ndim != 4 or x.dtype.kind != "f":
        raise ValueError(f"{name} expects floating images (n, c, h, w), got {x.dtype} of shape {x.shape}")
    return image_size(x)


# ------------------------------------------------------------------------------------------------ operations


@operation("pool")
def largest(x: Tensor, geometry: Geometry) -> Tensor:
    """The largest element of each window."""
    # Who wins is noted while a block is in the cache; the rule would have to read all of x again. Nothing equals NaN:
    # the padding does not win among -inf, and a window with a NaN has no winner.
    size, places = image_size(x), in_windows(x.data, geometry, -np.inf)
    inside = places if geometry.padding == (0, 0) else in_windows(x.data, geometry, np.nan)
    data = empty_along(memory_axes(places[0]), places[0].shape, x.dtype)
    is_recorded = x.requires_grad and is_grad_enabled()
    winners = [np.empty_like(data, bool) for _ in places if is_recorded]
    for part in blocks(data):
        best = np.maximum(places[0][part], places[-1][part], out=data[part])
        for place in places[1:-1]:
            np.maximum(best, place[part], out=best)
        for won, place in zip(winners, inside if is_recorded else [], strict=True):
            np.equal(place[part], best, out=won[part])

    def rule(grad: Tensor, out: Tensor) -> Tensor:
        counter = np.min_scalar_type(len(winners))
        ties = reduce(partial(np.add, dtype=counter), [won.view(np.uint8) for won in winners])
        if ties.size and ties.max() > 1:
            grad = grad / channels_first(np.maximum(ties, 1))
        return weighted_spread(grad, winners, size, geometry)

    return record(largest, channels_first(data), (x, rule))


@operation("pool")
def weighted_sum(x: Tensor, shares: Shares, geometry: Geometry) -> Tensor:
    """The sum over the places in each window, weighted."""
    size, places = image_size(x), in_windows(x.data, geometry, 0)
    data = sum(place * share for place, share in zip(places, shares, strict=True))
    return record(weighted_sum, channels_first(np.asarray(data, x.dtype)),
                  (x, lambda grad, out: weighted_spread(grad, shares, size, geometry)))


@operation("pool")
def weighted_spread(grad: Tensor, shares: Shares, size: Pair, geometry: Geometry) -> Tensor:
    """The gradient of `weighted_sum` with respect to its input, whose rows and columns are `size`."""
    each = channels_last(grad.data)
    each = arranged(each, memory_axes(shares[0] if isinstance(shares[0], np.ndarray) else each))
    padded, inner = padded_like(grad.data, size, geometry, memory_axes(each))
    places, (_, rows, columns, _) = each_place(padded, geometry), each.shape
    is_tiling = geometry.stride == geometry.kernel
    if is_tiling:  # each element is written once: only what no window covers has to be made zero
        padded[:, rows * geometry.kernel[0] :] = 0
        padded[:, :, columns * geometry.kernel[1] :] = 0
    else:
        padded.fill(0)
    for part in blocks(each):
        for place, share in zip(places, shares, strict=True):
            factor = share[part] if isinstance(share, np.ndarray) else share
            if is_tiling:
                np.multiply(each[part], factor, out=place[part])
            else:
                place[part] += each[part] * factor
    return record(weighted_spread, channels_first(inner),
                  (grad, lambda again, out: weighted_sum(again, shares, geometry)))


# ------------------------------------------------------------------------------------------------ on arrays


def in_windows(x: Array, geometry: Geometry, fill: float) -> list[Array]:
    """For each place in a window the elements there of all windows, (n, rows, columns, c)."""
    if geometry.padding == (0, 0):
        return each_place(channels_last(x), geometry)
    images = channels_last(x)
    padded, inner = padded_like(x, (x.shape[2], x.shape[3]), geometry, memory_axes(images))
    padded.fill(fill)
    inner[...] = images
    return each_place(padded, geometry)


def padded_like(x: Array, size: Pair, geometry: Geometry, axes: Axes) -> tuple[Array, Array]:
    """Memory for padded images of `size` with as many channels as (n, c, h, w), and the view without the padding.

    Both are (n, h, w, c), and lie in memory along these axes.
    """
    (top, left), (height, width) = geometry.padding, size
    padded = empty_along(axes, (len(x), height + 2 * top, width + 2 * left, x.shape[1]), x.dtype)
    return padded, padded[:, top : top + height, left : left + width]


def blocks(results: Array) -> Iterator[Index]:
    """Parts of (n, rows, columns, c) to work on at a time."""
    axis = memory_axes(results)[0]
    length = results.shape[axis]
    count = max(1, BLOCK // (results.nbytes // max(length, 1) or 1))
    return ((slice(None),) * axis + (slice(start, start + count),) for start in range(0, length, count))
