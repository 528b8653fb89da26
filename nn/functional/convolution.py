"""Two-dimensional convolution as matrix products of patches.

To the user all arrays are (n, c, h, w), as in PyTorch. In memory the results have their channels last, which makes the
patches contiguous, and elementwise operations keep it that way. Where a row of a patch is short, as in grey images, the
results lie as (h, w, n, c): patches are made faster that way, and pooling the results takes half the time.

A convolution is linear in its input and in its weight. So its two gradients are bilinear too, and the three operations
here are each other's gradients: that is all it takes for derivatives of any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np

from minigrad import Tensor, TensorLike, as_tensor, concatenate, operation, pad, record, split
from minigrad.arrays import Array
from minigrad.modes import is_grad_enabled
from minigrad.tensor import wrap
from nn.functional.layout import Axes, arranged, empty_along, memory_axes
from nn.functional.linear import column_sums
from nn.functional.settings import Pair, pair, whole

__all__ = ["conv2d"]

BLOCK = 1 << 21  # bytes of patches made at a time: they stay in the cache, which halves the time for large batches
SHORT = 16  # rows of a patch with fewer numbers are copied faster by element, see `patch_axes`


class Geometry(NamedTuple):
    """Where the patches of an image lie: the size of a patch, and how it is moved."""

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    def output(self, size: Pair) -> Pair:
        """The rows and columns of patches in an image of this size."""
        rows, columns = (
            (n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for n, kernel, stride, padding, dilation in zip(size, *self, strict=True)
        )
        return rows, columns

    def overhang(self, size: Pair) -> Pair:
        """How far the last patches that start before the padding at the bottom and on the right reach over that."""
        rests = [n + 2 * p - d * (k - 1) - 1 for n, k, _, p, d in zip(size, *self, strict=True)]
        axes = zip(rests, size, self.stride, self.padding, strict=True)
        rows, columns = (max(0, min(-(-rest // s), (n + p - 1) // s) * s - rest) for rest, n, s, p in axes)
        return rows, columns


def conv2d(
    x: TensorLike, weight: TensorLike, bias: TensorLike | None = None, stride: int | Pair = 1,
    padding: int | Pair | str = 0, dilation: int | Pair = 1, groups: int = 1,
) -> Tensor:
    """Cross-correlation of images with kernels, which the field calls convolution.

    Args:
        x: (n, in_channels, h, w).
        weight: (out_channels, in_channels / groups, kernel height, kernel width).
        bias: (out_channels,) or None.
        stride: how far the kernel moves at a time; like the two below a number, or one for each of the two axes.
        padding: how many zeros are put around the images; "same" keeps their size (for stride 1), "valid" is 0.
        dilation: how far apart the elements of a kernel are.
        groups: into how many parts the channels are divided, each with kernels of its own.

    Returns:
        (n, out_channels, rows, columns), with floor((h + 2 padding - dilation (kernel - 1) - 1) / stride) + 1 rows.

    Raises:
        ValueError: if shapes do not fit, the kernel is larger than the padded image, or a setting is out of range.

    >>> conv2d(np.arange(9.0).reshape(1, 1, 3, 3), np.ones((1, 1, 2, 2)))
    tensor([[[[ 8., 12.],
              [20., 24.]]]], dtype=float64)
    """
    x, weight, groups = as_tensor(x), as_tensor(weight), whole("conv2d", "groups", groups)
    is_4d = x.ndim == weight.ndim == 4
    if not is_4d or groups < 1 or x.shape[1] != groups * weight.shape[1] or weight.shape[0] % groups:
        raise ValueError(
            "conv2d expects images (n, c, h, w) and a weight (out_channels, c / groups, height, width), "
            f"got {x.shape} and {weight.shape} with groups={groups}"
        )
    bias = None if bias is None else as_tensor(bias)
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"conv2d expects a bias for each of {len(weight)} channels, got shape {bias.shape}")
    before, after = margins("conv2d", padding, weight.shape[2:], stride, dilation)
    if before != after:  # the zero left over of an odd number
        x = pad(x, [(0, 0), (0, 0), *((0, b - a) for a, b in zip(before, after, strict=True))])
    geometry, _ = geometry_of("conv2d", x.shape, weight.shape[2:], stride, before, dilation)
    if groups == 1:
        return convolution(x, weight, bias, geometry)
    biases = [None] * groups if bias is None else split(bias, groups)
    parts = zip(split(x, groups, axis=1), split(weight, groups), biases, strict=True)
    return concatenate([convolution(*part, geometry) for part in parts], axis=1)


def margins(name: str, padding: Any, kernel: tuple[int, ...], stride: Any, dilation: Any) -> tuple[Pair, Pair]:
    """How many (rows, columns) a padding, given in numbers or as a word, adds before and after images."""
    if not isinstance(padding, str) or padding != "same":
        numbers = pair(name, "padding", 0 if isinstance(padding, str) and padding == "valid" else padding, least=0)
        return numbers, numbers
    if (stride := pair(name, "stride", stride)) != (1, 1):
        raise ValueError(f"{name} with padding='same' expects stride 1, got {stride}")
    rows, columns = (d * (k - 1) for k, d in zip(kernel, pair(name, "dilation", dilation), strict=True))
    return (rows // 2, columns // 2), (rows - rows // 2, columns - columns // 2)  # as in PyTorch


def geometry_of(
    name: str, shape: tuple[int, ...], kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool = False
) -> tuple[Geometry, Pair]:
    """The checked settings of a layer for images of this shape, and how much padding more `ceil_mode` takes."""
    kernel, stride = pair(name, "kernel_size", kernel), pair(name, "stride", stride)
    dilation = pair(name, "dilation", dilation)
    padding = pair(name, "padding", padding, least=0)
    geometry, (height, width) = Geometry(kernel, stride, padding, dilation), shape[2:]
    down, right = geometry.overhang((height, width)) if ceil_mode else (0, 0)
    if min(geometry.output((height + down, width + right))) < 1:
        raise ValueError(
            f"{name} with kernels of {kernel} expects larger images than {shape[2:]} with padding {padding}"
        )
    return geometry, (down, right)


# ------------------------------------------------------------------------------------------------ operations


@operation("other")
def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Patches of `x` times `weight`, plus `bias` if there is one."""
    size = image_size(x)
    data = correlate(channels_last(x.data), weight.data, geometry, None if bias is None else bias.data)

    def to_x(grad: Tensor, out: Tensor) -> Tensor:
        gradient = input_gradient(grad, weight, size, geometry)
        # In the memory order of x: arithmetic with arrays in different orders takes four times as long.
        return gradient if is_grad_enabled() else wrap(arranged(gradient.data, memory_axes(x.data)))

    def to_bias(grad: Tensor, out: Tensor) -> Tensor:
        if is_grad_enabled():
            return grad.sum((0, 2, 3))
        each = channels_last(grad.data)
        each = each.transpose(*memory_axes(each[..., 0]), 3)
        a, b, c, channels = each.shape
        lines = each.reshape(a * b, c * channels)  # long rows are summed in half the time
        return wrap(column_sums(lines).reshape(c, channels).sum(0))

    return record(convolution, channels_first(data),
                  (x, to_x),
                  (weight, lambda grad, out: weight_gradient(x, grad, geometry)),
                  *([] if bias is None else [(bias, to_bias)]))


@operation("other")
def input_gradient(grad: Tensor, weight: Tensor, size: Pair, geometry: Geometry) -> Tensor:
    """The gradient of a convolution with respect to its input, whose rows and columns are `size`."""
    data = spread(channels_last(grad.data), weight.data, size, geometry)
    return record(input_gradient, channels_first(data),
                  (grad, lambda again, out: convolution(again, weight, None, geometry)),
                  (weight, lambda again, out: weight_gradient(again, grad, geometry)))


@operation("other")
def weight_gradient(x: Tensor, grad: Tensor, geometry: Geometry) -> Tensor:
    """The gradient of a convolution with respect to its weight."""
    size = image_size(x)
    data = summed_products(channels_last(x.data), channels_last(grad.data), geometry)
    return record(weight_gradient, data,
                  (x, lambda again, out: input_gradient(grad, again, size, geometry)),
                  (grad, lambda again, out: convolution(x, again, None, geometry)))


def image_size(x: Tensor) -> Pair:
    """(h, w) of images (n, c, h, w)."""
    _, _, height, width = x.shape
    return height, width


# ------------------------------------------------------------------------------------------------ on arrays


def channels_last(x: Array) -> Array:
    """(n, c, h, w) -> (n, h, w, c), a view."""
    return x.transpose(0, 2, 3, 1)


def channels_first(x: Array) -> Array:
    """(n, h, w, c) -> (n, c, h, w), a view."""
    return x.transpose(0, 3, 1, 2)


def correlate(x: Array, weight: Array, geometry: Geometry, bias: Array | None = None) -> Array:
    """(n, h, w, c) images, a weight and a bias -> (n, rows, columns, out_channels)."""
    rows, columns = geometry.output((x.shape[1], x.shape[2]))
    axes, dtype = patch_axes(x, geometry), np.result_type(x, weight, *([] if bias is None else [bias]))
    out = empty_along(axes, (len(x), rows, columns, len(weight)), dtype)
    parts = out.transpose(axes)
    kernels = weight.transpose(2, 3, 1, 0).reshape(prod(weight.shape[1:]), len(weight))
    if bias is not None:  # as a row more, times ones: adding it afterwards takes as long as making the products
        kernels = np.concatenate([kernels, [bias]])
    for part, patches in patch_matrices(x, geometry, with_ones=bias is not None):
        np.matmul(patches, kernels, out=parts[part].reshape(len(patches), len(weight)))
    return out


def summed_products(x: Array, grad: Array, geometry: Geometry) -> Array:
    """The products of patches and gradients, summed over all places: (out_channels, c, kernel height and width)."""
    channels, kernels = x.shape[3], grad.shape[3]
    parts = grad.transpose(patch_axes(x, geometry))
    row = parts.shape[1] * parts.shape[2]
    total = np.zeros((geometry.kernel[0] * geometry.kernel[1] * channels, kernels), np.result_type(x, grad))
    for part, patches in patch_matrices(x, geometry):
        # A small product of long rows takes half the time if it is made in several pieces.
        piece = row if total.size <= 4 * row else max(1, len(patches))
        a, b = (m.reshape(len(m) // piece, piece, m.shape[1]) for m in (patches, parts[part].reshape(-1, kernels)))
        products = (a.swapaxes(1, 2) @ b).reshape(len(a), total.size)
        total += column_sums(products).reshape(total.shape)
    return np.ascontiguousarray(total.reshape(*geometry.kernel, channels, kernels).transpose(3, 2, 0, 1))


def spread(grad: Array, weight: Array, size: Pair, geometry: Geometry) -> Array:
    """Each gradient times the kernels, added up where the patches lie: (n, h, w, c)."""
    kernel, stride, padding, dilation = geometry
    margin = tuple(d * (k - 1) - p for k, p, d in zip(kernel, padding, dilation, strict=True))
    if stride == (1, 1) and min(margin) >= 0:  # a convolution with mirrored kernels, which takes two thirds of the time
        mirrored = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        return correlate(grad, mirrored, Geometry(kernel, padding=(margin[0], margin[1]), dilation=dilation))
    padded = np.zeros(
        (len(grad), size[0] + 2 * padding[0], size[1] + 2 * padding[1], weight.shape[1]), np.result_type(grad, weight)
    )
    rows, kernels = grad.reshape(-1, len(weight)), weight.transpose(2, 3, 0, 1).reshape(prod(kernel), *weight.shape[:2])
    for place, matrix in zip(each_place(padded, geometry), kernels, strict=True):
        place += (rows @ matrix).reshape(place.shape)
    return padded[:, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]]


def each_place(padded: Array, geometry: Geometry) -> list[Array]:
    """For each element of a kernel what lies under it in padded images (n, h, w, c): views (n, rows, columns, c)."""
    kernel, stride, _, dilation = geometry
    size = geometry._replace(padding=(0, 0)).output((padded.shape[1], padded.shape[2]))
    rows, columns = ([slice(first * d, first * d + (count - 1) * s + 1, s) for first in range(k)]
                     for count, k, s, d in zip(size, kernel, stride, dilation, strict=True))
    return [padded[:, i, j] for i in rows for j in columns]


def windows(memory: Array, x: Array, geometry: Geometry) -> Array:
    """The patches of padded images (n, h, w, c) as a view: (n, rows, columns, kernel height, kernel width, c).

    `x` is all of `memory`, which is contiguous, perhaps with its axes in another order. (NumPy's `as_strided` does
    without that, but takes up to 25 µs.)
    """
    kernel, stride, _, dilation = geometry
    rows, columns = geometry._replace(padding=(0, 0)).output((x.shape[1], x.shape[2]))
    image, row, column, channel = x.strides
    strides = (image, row * stride[0], column * stride[1], row * dilation[0], column * dilation[1], channel)
    return np.ndarray((len(x), rows, columns, *kernel, x.shape[3]), x.dtype, memory, strides=strides)


def patch_axes(x: Array, geometry: Geometry) -> Axes:
    """The axes of (n, rows, columns, c) in the order in which `patch_matrices` goes through the patches of `x`.

    Where the rows of a patch are short, it is faster to copy one element of all the patches at a time.
    """
    is_short = x.shape[3] * geometry.kernel[1] < SHORT and geometry.kernel != (1, 1)
    return (1, 2, 0, 3) if is_short else (0, 1, 2, 3)


def patch_matrices(x: Array, geometry: Geometry, with_ones: bool = False) -> Iterator[tuple[slice, Array]]:
    """Part by part: which part of the first of `patch_axes`, and the matrix of its patches, (places, kernel size * c).

    The matrix has a column of ones at the end if asked for. Its memory is used again for the next one.
    """
    if geometry == Geometry((1, 1)) and not with_ones:
        return iter([(slice(None), x.reshape(-1, x.shape[3]))])
    if patch_axes(x, geometry)[0] == 0:
        return patches_by_image(x, geometry, with_ones)
    return patches_by_element(x, geometry, with_ones)


def patches_by_image(x: Array, geometry: Geometry, with_ones: bool) -> Iterator[tuple[slice, Array]]:
    """The matrices of some images at a time, that lie in memory patch by patch."""
    n, h, w, channels = x.shape
    (rows, columns), (top, left) = geometry.output((h, w)), geometry.padding
    places, size = rows * columns, geometry.kernel[0] * geometry.kernel[1] * channels
    block = max(1, min(n, BLOCK // (places * size * x.itemsize or 1)))
    padded = np.zeros((block, h + 2 * top, w + 2 * left, channels), x.dtype)
    matrix = np.empty((block, rows, columns, size + with_ones), x.dtype)
    matrix[..., size:] = 1
    patches = matrix[..., :size].reshape(block, rows, columns, *geometry.kernel, channels)
    elements = windows(padded, padded, geometry)
    for start in range(0, n, block):
        images = slice(start, min(start + block, n))
        count = images.stop - start
        padded[:count, top : top + h, left : left + w] = x[images]
        patches[:count] = elements[:count]
        yield images, matrix[:count].reshape(count * places, size + with_ones)


def patches_by_element(x: Array, geometry: Geometry, with_ones: bool) -> Iterator[tuple[slice, Array]]:
    """The matrices of some rows of all images at a time, that lie in memory element by element of the patches."""
    n, h, w, channels = x.shape
    (rows, columns), (top, left) = geometry.output((h, w)), geometry.padding
    places, size = columns * n, geometry.kernel[0] * geometry.kernel[1] * channels
    block = max(1, min(rows, BLOCK // (places * size * x.itemsize or 1)))
    memory = np.zeros((h + 2 * top, w + 2 * left, n, channels), x.dtype)
    padded = memory.transpose(2, 0, 1, 3)
    padded[:, top : top + h, left : left + w] = x
    elements = windows(memory, padded, geometry).transpose(3, 4, 5, 1, 2, 0)
    matrix = np.empty((size + with_ones, block * places), x.dtype)
    matrix[size:] = 1
    patches = matrix[:size].reshape(*geometry.kernel, channels, block, columns, n)
    for start in range(0, rows, block):
        part = slice(start, min(start + block, rows))
        count = part.stop - start
        patches[:, :, :, :count] = elements[:, :, :, part]
        yield part, matrix[:, : count * places].T
