"""Losses."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from minigrad import Tensor, TensorLike, as_tensor, operation, record, value
from minigrad.graph import is_grad_enabled
from minigrad.tensor import Array, wrap
from nn.functional.activation import softmax

Reduction = Literal["none", "mean", "sum"]

__all__ = ["Reduction", "cross_entropy"]


@operation("cross_entropy")
def cross_entropy(
    logits: TensorLike,
    target: TensorLike,
    weight: npt.ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy between softmax(logits) and the target, stable for logits of any size.

    Args:
        logits: (classes,), (batch, classes) or (batch, classes, ...), not normalised.
        target: class indices, integers of the shape of `logits` without the class axis; or probabilities, of the shape
            of `logits`.
        weight: (classes,) the weight of each class.
        ignore_index: samples with this class index do not count.
        reduction: "mean" over the (weighted) samples, "sum", or "none".
        label_smoothing: the share of the target that is spread evenly over all classes.

    Raises:
        TypeError: if the logits are not floating.
        ValueError: if shapes do not fit, or a class index or a setting is out of range.

    >>> cross_entropy([[2.0, 0.0]], np.array([0]))
    tensor(0.12692801, dtype=float64)
    """
    logits = as_tensor(logits)
    if logits.dtype.kind != "f":
        raise TypeError(f"cross_entropy expects floating logits, got dtype {logits.dtype}")
    if not logits.ndim:
        raise ValueError("cross_entropy expects logits of shape (classes,) or (batch, classes, ...), got one number")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction is 'none', 'mean' or 'sum', got {reduction!r}")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is from 0 to 1, got {label_smoothing}")
    axis = 0 if logits.ndim == 1 else 1
    goal = weighted_target(logits, np.asarray(value(target)), weight, ignore_index, reduction, label_smoothing, axis)
    mass = goal.sum(axis, keepdims=True)
    # The difference of huge logits may be infinite, its exponential is then 0; that of infinite ones is NaN.
    with np.errstate(over="ignore", invalid="ignore"):
        shifted = logits.data - logits.data.max(axis, keepdims=True)
    exponentials = np.exp(shifted)
    normalizer = exponentials.sum(axis, keepdims=True)
    surprise = np.log(normalizer) - shifted
    surprise[goal == 0] = 0  # where it may be infinite
    losses = (goal * surprise).sum(axis)

    def to_logits(grad: Tensor, out: Tensor) -> Tensor:
        each = grad.reshape(mass.shape) if reduction == "none" else grad
        if is_grad_enabled():
            second_order: Tensor = (softmax(logits, axis) * mass - goal) * each
            return second_order
        return wrap((exponentials * (mass / normalizer) - goal) * each.data)

    return record(cross_entropy, losses if reduction == "none" else losses.sum(), (logits, to_logits))


def weighted_target(
    logits: Tensor,
    target: Array,
    weight: npt.ArrayLike | None,
    ignore_index: int,
    reduction: Reduction,
    label_smoothing: float,
    axis: int,
) -> Array:
    """What the loss weighs the surprise, -log p, of each class in each sample with; shaped as the logits.

    These are the target's probabilities, smoothed, times the class weights, divided by the divisor of the mean. For
    class indices that is the sum of their weights, for probabilities the number of samples, as in PyTorch.
    """
    classes, dtype = logits.shape[axis], logits.dtype
    along_axis = [-1 if i == axis else 1 for i in range(logits.ndim)]
    is_index = target.dtype.kind != "f"
    goal = one_hot(target, logits.shape, axis, ignore_index).astype(dtype) if is_index else target.astype(dtype)
    if goal.shape != logits.shape:
        raise ValueError(
            f"cross_entropy expects class indices or probabilities of the logits' shape {logits.shape}, "
            f"got {target.shape}"
        )
    if weight is not None and np.shape(weight) != (classes,):
        raise ValueError(f"cross_entropy expects {classes} class weights, got shape {np.shape(weight)}")
    weights = None if weight is None else np.asarray(weight, dtype).reshape(along_axis)
    if reduction != "mean":
        divisor = 1
    elif is_index:
        divisor = goal.sum() if weights is None else (goal * weights).sum()
    else:
        divisor = goal.size // classes
    if label_smoothing:
        goal = goal * (1 - label_smoothing) + goal.sum(axis, keepdims=True) * (label_smoothing / classes)
    if weights is not None:
        goal *= weights
    goal /= dtype.type(divisor or np.nan)  # the mean over no samples is NaN
    return goal


def one_hot(target: Array, shape: tuple[int, ...], axis: int, ignore_index: int) -> Array:
    """Boolean array of `shape` that is true at the class of each sample along `axis`, nowhere for ignored samples."""
    if target.shape != (*shape[:axis], *shape[axis + 1 :]) or target.dtype.kind not in "iu":
        raise ValueError(
            f"cross_entropy expects one class index for each sample of the logits, which have shape {shape}, "
            f"got {target.dtype} of shape {target.shape}"
        )
    index = target.reshape((*shape[:axis], 1, *shape[axis + 1 :]))
    hot = index == np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    if np.count_nonzero(hot) < target.size or 0 <= ignore_index < shape[axis]:
        ignored = index == ignore_index
        if not (hot.any(axis, keepdims=True) | ignored).all():
            outside = target[(target < 0) | (target >= shape[axis])]
            wrong = outside[outside != ignore_index][0]
            raise ValueError(f"cross_entropy expects class indices from 0 to {shape[axis] - 1}, got {wrong}")
        hot = hot & ~ignored
    return np.asarray(hot)
