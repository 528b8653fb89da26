"""Normalisation of each sample by itself: over its last axes, or over groups of its channels."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, prod
from typing import Any

import numpy as np

from minigrad import Tensor, TensorLike, as_tensor, operation, record
from minigrad.arrays import Array
from minigrad.modes import is_grad_enabled
from minigrad.tensor import wrap
from nn.functional.settings import is_list, real, whole

__all__ = ["group_norm", "layer_norm"]


def layer_norm(
    x: TensorLike, normalized_shape: int | Sequence[int], weight: TensorLike | None = None,
    bias: TensorLike | None = None, eps: float = 1e-5,
) -> Tensor:
    """Each sample shifted and scaled to mean 0 and variance 1 over its last axes, then times `weight`, plus `bias`.

    Args:
        x: (..., *normalized_shape).
        normalized_shape: the lengths of the axes to normalise over.
        weight, bias: of shape `normalized_shape`, or None.
        eps: added to the variance, so that equal elements do no harm.

    Raises:
        ValueError: if shapes do not fit, or eps is negative.

    Source: Ba, Kiros and Hinton, Layer Normalization, 2016, eq. 4.

    >>> layer_norm([[1.0, 3.0]], 2, eps=0.0)
    tensor([[-1.,  1.]], dtype=float64)
    """
    x, shape = as_tensor(x), as_shape(normalized_shape)
    eps = real("layer_norm", "eps", eps, 0, below=inf)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ValueError(f"layer_norm expects inputs of shape (..., {', '.join(map(str, shape))}), got {x.shape}")
    scale, shift = scale_and_shift("layer_norm", x, shape, weight, bias)
    return standardize(x, scale, shift, tuple(range(-len(shape), 0)), eps)


def group_norm(
    x: TensorLike, num_groups: int, weight: TensorLike | None = None,
    bias: TensorLike | None = None, eps: float = 1e-5,
) -> Tensor:
    """Each group of neighbouring channels of each sample normalised as by `layer_norm`.

    Args:
        x: (batch, channels, ...).
        num_groups: a divisor of the number of channels.
        weight, bias: (channels,) or None.
        eps: added to the variance.

    Raises:
        ValueError: if shapes do not fit, or eps is negative.

    Source: Wu and He, Group Normalization, ECCV 2018, eq. 7.

    >>> group_norm([[1.0, 3.0, 10.0, 30.0]], 2, eps=0.0)
    tensor([[-1.,  1., -1.,  1.]], dtype=float64)
    """
    x = as_tensor(x)
    eps, num_groups = real("group_norm", "eps", eps, 0, below=inf), whole("group_norm", "num_groups", num_groups, 1)
    if x.ndim < 2 or x.shape[1] % num_groups:
        raise ValueError(f"group_norm splits channels, the second axis, into {num_groups} groups, got shape {x.shape}")
    n, channels, *rest = x.shape
    split = (num_groups, channels // num_groups, prod(rest))
    scale, shift = (p.reshape(*split[:2], 1) for p in scale_and_shift("group_norm", x, (channels,), weight, bias))
    return as_tensor(standardize(x.reshape(n, *split), scale, shift, (-2, -1), eps).reshape(x.shape))


@operation("other")
def standardize(x: Tensor, weight: Tensor, bias: Tensor, axes: tuple[int, ...], eps: float | Array) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias, where mean and variance are those over `axes`."""
    if x.dtype == np.float16:  # in which squares overflow from 256 on
        wide = standardize(x.astype(np.float32), weight, bias, axes, eps)
        return wide.astype(np.result_type(x.dtype, weight.dtype, bias.dtype))
    with np.errstate(over="ignore", invalid="ignore"):
        mean = x.data.mean(axes, keepdims=True)
        normal = x.data - mean
        deviation = np.sqrt(np.square(normal).mean(axes, keepdims=True) + eps)
    if (scaled := rescaled(x, mean, deviation, eps)) is not None:
        return standardize(scaled[0], weight, bias, axes, eps / scaled[2] / scaled[2])
    normal /= deviation
    data = normal * weight.data
    data = np.add(data, bias.data, out=data if data.dtype == bias.dtype else None)

    def to_x(grad: Tensor, out: Tensor) -> Tensor:
        if is_grad_enabled():
            return recorded_gradient(x, grad * weight, axes, eps)
        gradient = grad.data * weight.data  # worked on in place: new memory takes longer than the arithmetic
        product = gradient * normal
        np.multiply(normal, product.mean(axes, keepdims=True), out=product)
        gradient -= gradient.mean(axes, keepdims=True)
        gradient -= product
        gradient /= deviation
        return wrap(gradient)

    def to_weight(grad: Tensor, out: Tensor) -> Tensor:
        return grad * (recorded_normal(x, axes, eps)[0] if is_grad_enabled() else normal)

    return record(standardize, data, (x, to_x), (weight, to_weight), (bias, lambda grad, out: grad))


def rescaled(x: Tensor, mean: Array, deviation: Array, eps: float | Array) -> tuple[Tensor, Array, Array] | None:
    """(x - shift) / unit with shift and unit, if standard deviations are too large or too small to work with.

    A deviation is if its powers, up to the third, lose digits, or if it is not far above the rounding of the mean. What
    it is of is then divided by a power of two that brings it near 1, which changes nothing once it is normalised, as
    little as the shift by one of its own elements: equal ones become exact zeros.

    Args:
        x: what is normalised.
        mean, deviation: its mean and √(variance + eps), of length 1 along the axes normalised over.
        eps: what was added to the variance.
    """
    limits, one = np.finfo(deviation.dtype), deviation.dtype.type(1)
    bound, share = float(limits.max) ** 0.25, float(limits.eps) * 1024
    poor = ~((deviation > 1 / bound) & (deviation < bound) & (deviation > share * np.abs(mean)))
    if not poor.any():
        return None
    first = x.data[tuple(slice(1 if length == 1 else None) for length in deviation.shape)]
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = np.abs(x.data / 2 - first / 2)
    axes = tuple(axis for axis, length in enumerate(deviation.shape) if length == 1)
    largest = np.maximum(sizes.max(axes, keepdims=True, initial=0), np.sqrt(eps, dtype=one.dtype))
    poor &= (largest > 0) & (largest < inf)  # the others, equal or not finite, stay as they are
    unit, shift = np.where(poor, np.ldexp(one, np.frexp(largest)[1]), one), np.where(poor, first, 0 * one)
    if (unit == 1).all() and not shift.any():
        return None
    large, small = np.maximum(unit, 1), np.minimum(unit, 1)
    return (x / large - shift / large) / small, shift, unit


def recorded_normal(x: Tensor, axes: tuple[int, ...], eps: float | Array) -> tuple[Tensor, Tensor]:
    """The normalised x and the standard deviation it was divided by, recorded as functions of x."""
    deviation = (x.var(axes, keepdims=True) + eps) ** 0.5
    return (x - x.mean(axes, keepdims=True)) / deviation, deviation


def recorded_gradient(x: Tensor, grad: Tensor, axes: tuple[int, ...], eps: float | Array) -> Tensor:
    """The gradient of normalising x: (grad - mean(grad) - z * mean(grad * z)) / deviation, for the normalised z."""
    z, deviation = recorded_normal(x, axes, eps)
    numerator = grad - grad.mean(axes, keepdims=True) - z * (grad * z).mean(axes, keepdims=True)
    return numerator / deviation


def scale_and_shift(
    name: str, x: Tensor, shape: tuple[int, ...], weight: TensorLike | None, bias: TensorLike | None
) -> tuple[Tensor, Tensor]:
    """The weight and the bias, or ones and zeros in their place, checked to be of this shape."""
    scale = as_tensor(np.ones(shape, x.dtype) if weight is None else weight)
    shift = as_tensor(np.zeros(shape, x.dtype) if bias is None else bias)
    if scale.shape != shape or shift.shape != shape:
        given = f"{scale.shape} and {shift.shape}"
        raise ValueError(f"{name} expects weight and bias of shape {shape} for inputs of {x.shape}, got {given}")
    return scale, shift


def as_shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    """A shape as a tuple; one number stands for one axis."""
    lengths: Any = shape if is_list(shape) else [shape]
    return tuple(whole("a shape to normalise over", "its lengths", length, 0) for length in lengths)
