"""Pooling: what a window of an image is summed up by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np

from minigrad import Tensor, TensorLike, as_tensor, operation, record, stack
from minigrad.arrays import Array, kept_where
from minigrad.modes import is_grad_enabled
from nn.functional.convolution import Geometry, channels_first, channels_last, each_place, geometry_of, image_size
from nn.functional.layout import Axes, arranged, empty_along, memory_axes
from nn.functional.precision import widened
from nn.functional.settings import Pair, pair, whole

__all__ = ["adaptive_avg_pool2d", "adaptive_max_pool2d", "avg_pool2d", "max_pool2d"]

# Bytes of results worked on at a time, so that several passes over them and over their windows stay in the cache.
BLOCK = 1 << 19

Index = tuple[slice, ...]
OutputSize = int | tuple[int | None, int | None]
Shares = Sequence[Any]  # for each place in a window the weights, arrays (n, rows, columns, c) or numbers


def max_pool2d(
    x: TensorLike, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0,
    dilation: int | Pair = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Tensor:
    """The largest element of each window, (n, c, h, w) -> (n, c, rows, columns); equal ones share the gradient evenly.

    Args:
        x: (n, c, h, w), floating.
        kernel_size: of a window; a number, or one for each of the two axes.
        stride: how far the window moves at a time; its size if None.
        padding: how far windows reach over the edges.
        dilation: how far apart the elements of a window are.
        ceil_mode: whether there are windows for what is left over at the bottom and on the right, too.
        return_indices: is refused if true.

    Raises:
        ValueError: if the shape or a setting does not fit.

    >>> max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
    tensor([[[[ 5.,  7.],
              [13., 15.]]]], dtype=float64)
    """
    x, dtype = widened(x)
    refuse_indices("max_pool2d", return_indices)
    geometry, extra = pool_geometry("max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode)
    return largest(x, geometry, extra).astype(dtype, copy=False)


def avg_pool2d(
    x: TensorLike, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window, (n, c, h, w) -> (n, c, rows, columns); arguments and errors as for `max_pool2d`.

    Args:
        count_include_pad: whether the zeros of the padding count as elements.
        divisor_override: what sums are divided by instead of the number of elements.

    >>> avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
    tensor([[[[ 2.5,  4.5],
              [10.5, 12.5]]]], dtype=float64)
    """
    x, dtype = widened(x, np.float64)  # its sums are added up one after the other
    geometry, extra = pool_geometry("avg_pool2d", x, kernel_size, stride, padding, 1, ceil_mode)
    size = geometry.kernel[0] * geometry.kernel[1]
    divisor = None if divisor_override is None else whole("avg_pool2d", "divisor_override", divisor_override)
    if divisor == 0:
        raise ValueError("avg_pool2d cannot divide by a divisor_override of 0")
    means = weighted_sum(x, [1 / (divisor or size)] * size, geometry, extra)
    if divisor or (extra == (0, 0) and (count_include_pad or geometry.padding == (0, 0))):
        return means.astype(dtype, copy=False)
    # Means of fewer elements are made larger afterwards: sums of all could be too large for the dtype.
    windows = zip(image_size(x), geometry.kernel, geometry.stride, geometry.padding, extra, strict=True)
    rows, columns = (counts(*axis, count_include_pad) for axis in windows)
    return (means * (size / np.outer(rows, columns)).astype(x.dtype)).astype(dtype, copy=False)


def counts(length: int, kernel: int, stride: int, padding: int, extra: int, include_padding: bool) -> Array:
    """How many elements each window along an axis has, those of the padding included or not, the extra ones never."""
    starts = np.arange(-padding, length + padding + extra - kernel + 1, stride)
    reach = padding if include_padding else 0
    inside: Array = np.minimum(starts + kernel, length + reach) - np.maximum(starts, -reach)
    return inside


def adaptive_avg_pool2d(x: TensorLike, output_size: OutputSize) -> Tensor:
    """Means of windows chosen so that there are `output_size` rows and columns; they overlap if that does not divide.

    A None in `output_size` keeps as many as there are.

    >>> adaptive_avg_pool2d(np.arange(9.0).reshape(1, 1, 3, 3), 2)
    tensor([[[[2., 3.],
              [5., 6.]]]], dtype=float64)
    """
    x, dtype = widened(x, np.float64)
    (height, width), (rows, columns) = adaptive_sizes("adaptive_avg_pool2d", x, output_size)
    if height % rows == 0 and width % columns == 0:
        return avg_pool2d(x, (height // rows, width // columns)).astype(dtype, copy=False)
    return averaged(averaged(x, 2, rows), 3, columns).astype(dtype, copy=False)


def averaged(x: Tensor, axis: int, parts: int) -> Tensor:
    """The means of as many `spans` of an axis."""
    pieces = [x[(slice(None),) * axis + (span,)] for span in spans(x.shape[axis], parts)]
    # Divided before they are summed, so that no sum is too large.
    return stack([(piece / piece.shape[axis]).sum(axis) for piece in pieces], axis)


def adaptive_max_pool2d(x: TensorLike, output_size: OutputSize, return_indices: bool = False) -> Tensor:
    """The largest elements of windows as those of `adaptive_avg_pool2d`.

    >>> adaptive_max_pool2d(np.arange(9.0).reshape(1, 1, 3, 3), (2, None))
    tensor([[[[3., 4., 5.],
              [6., 7., 8.]]]], dtype=float64)
    """
    x = as_tensor(x)
    refuse_indices("adaptive_max_pool2d", return_indices)
    (height, width), (rows, columns) = adaptive_sizes("adaptive_max_pool2d", x, output_size)
    if height % rows == 0 and width % columns == 0:
        return max_pool2d(x, (height // rows, width // columns))
    windows = [x[:, :, i, j].max((2, 3)) for i in spans(height, rows) for j in spans(width, columns)]
    return stack(windows, 2).reshape(*x.shape[:2], rows, columns)


def adaptive_sizes(name: str, x: Tensor, output_size: Any) -> tuple[Pair, Pair]:
    """The checked sizes of images and of what they become."""
    size = floating_images_size(name, x)
    if 0 in size:
        raise ValueError(f"{name} expects images of at least one pixel, got shape {x.shape}")
    return size, output_sizes(name, output_size, size)


def output_sizes(name: str, output_size: Any, size: Pair) -> Pair:
    """The rows and columns asked for, where None stands for what there is."""
    if isinstance(output_size, (tuple, list)) and len(output_size) == 2:
        output_size = tuple(n if wanted is None else wanted for n, wanted in zip(size, output_size, strict=True))
    return pair(name, "output_size", output_size)


def spans(length: int, parts: int) -> list[slice]:
    """Part i is from floor(i length / parts) to ceil((i + 1) length / parts)."""
    return [slice(i * length // parts, -(-(i + 1) * length // parts)) for i in range(parts)]


def pool_geometry(
    name: str, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Geometry, Pair]:
    """The checked settings, and how much padding more at the bottom and on the right `ceil_mode` takes."""
    floating_images_size(name, x)
    stride = kernel if stride is None else stride
    geometry, extra = geometry_of(name, x.shape, kernel, stride, padding, dilation, ceil_mode)
    sizes = zip(geometry.padding, geometry.kernel, geometry.dilation, strict=True)
    if any(2 * reach > step * (size - 1) + 1 for reach, size, step in sizes):
        raise ValueError(f"{name} expects a padding of at most half the kernel {geometry.kernel}, got {padding}")
    return geometry, extra


def floating_images_size(name: str, x: Tensor) -> Pair:
    """(h, w) of images (n, c, h, w), checked to be that and floating."""
    if x.ndim != 4 or x.dtype.kind != "f":
        raise ValueError(f"{name} expects floating images (n, c, h, w), got {x.dtype} of shape {x.shape}")
    return image_size(x)


def refuse_indices(name: str, return_indices: bool) -> None:
    """Raise ValueError if asked for what nothing here would take."""
    if return_indices:
        raise ValueError(f"{name} returns no indices: leave out return_indices, gradients find their way without")


# ------------------------------------------------------------------------------------------------ operations


@operation("other", ties=True)
def largest(x: Tensor, geometry: Geometry, extra: Pair = (0, 0)) -> Tensor:
    """The largest element of each window."""
    # Who wins is noted while a block is in the cache; the rule would have to read all of x again. Nothing equals NaN:
    # the padding does not win among -inf, and a window with a NaN has no winner.
    size, places = image_size(x), in_windows(x.data, geometry, -np.inf, extra)
    inside = places if geometry.padding == extra == (0, 0) else in_windows(x.data, geometry, np.nan, extra)
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
        return weighted_spread(grad, winners, size, geometry, extra)

    return record(largest, channels_first(data), (x, rule))


@operation("other")
def weighted_sum(x: Tensor, shares: Shares, geometry: Geometry, extra: Pair = (0, 0)) -> Tensor:
    """The sum over the places in each window, weighted."""
    size, places = image_size(x), in_windows(x.data, geometry, 0, extra)
    data = sum(times_share(place, share) for place, share in zip(places, shares, strict=True))
    return record(weighted_sum, channels_first(np.asarray(data, x.dtype)),
                  (x, lambda grad, out: weighted_spread(grad, shares, size, geometry, extra)))


@operation("other")
def weighted_spread(
    grad: Tensor, shares: Shares, size: Pair, geometry: Geometry, extra: Pair = (0, 0)
) -> Tensor:
    """The gradient of `weighted_sum` with respect to its input, whose rows and columns are `size`."""
    each = channels_last(grad.data)
    each = arranged(each, memory_axes(shares[0] if isinstance(shares[0], np.ndarray) else each))
    padded, inner = padded_like(grad.data, size, geometry, extra, memory_axes(each))
    places, (_, rows, columns, _) = each_place(padded, geometry), each.shape
    is_tiling = geometry.stride == geometry.kernel and geometry.dilation == (1, 1)
    if is_tiling:  # each element is written once: only what no window covers has to be made zero
        padded[:, rows * geometry.kernel[0] :] = 0
        padded[:, :, columns * geometry.kernel[1] :] = 0
    else:
        padded.fill(0)
    for part in blocks(each):
        for place, share in zip(places, shares, strict=True):
            factor = share[part] if isinstance(share, np.ndarray) else share
            if is_tiling:
                times_share(each[part], factor, out=place[part])
            else:
                place[part] += times_share(each[part], factor)
    return record(weighted_spread, channels_first(inner),
                  (grad, lambda again, out: weighted_sum(again, shares, geometry, extra)))


# ------------------------------------------------------------------------------------------------ on arrays


def times_share(x: Array, share: Any, out: Array | None = None) -> Array:
    """x * share; where that is a boolean array, what it chooses of `x`, be that infinite."""
    is_choice = isinstance(share, np.ndarray) and share.dtype == bool
    return kept_where(share, x, out) if is_choice else np.multiply(x, share, out=out)


def in_windows(x: Array, geometry: Geometry, fill: float, extra: Pair) -> list[Array]:
    """For each place in a window the elements there of all windows, (n, rows, columns, c)."""
    if geometry.padding == extra == (0, 0):
        return each_place(channels_last(x), geometry)
    images = channels_last(x)
    padded, inner = padded_like(x, (x.shape[2], x.shape[3]), geometry, extra, memory_axes(images))
    padded.fill(fill)
    inner[...] = images
    return each_place(padded, geometry)


def padded_like(x: Array, size: Pair, geometry: Geometry, extra: Pair, axes: Axes) -> tuple[Array, Array]:
    """Memory for padded images of `size` with as many channels as (n, c, h, w), and the view without the padding.

    Both are (n, h, w, c), and lie in memory along these axes.
    """
    (top, left), (down, right), (height, width) = geometry.padding, extra, size
    padded = empty_along(axes, (len(x), height + 2 * top + down, width + 2 * left + right, x.shape[1]), x.dtype)
    return padded, padded[:, top : top + height, left : left + width]


def blocks(results: Array) -> Iterator[Index]:
    """Parts of (n, rows, columns, c) to work on at a time."""
    axis = memory_axes(results)[0]
    length = results.shape[axis]
    count = max(1, BLOCK // (results.nbytes // max(length, 1) or 1))
    return ((slice(None),) * axis + (slice(start, start + count),) for start in range(0, length, count))
