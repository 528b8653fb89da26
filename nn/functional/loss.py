"""Losses.

PyTorch's `size_average` and `reduce`, which `reduction` replaced, do not exist, nor do weights of `mse_loss` and
`l1_loss`: what follows them there is best given by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from math import isfinite, nan
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minigrad import Tensor, TensorLike, abs, as_tensor, clip, operation, record, relu, softplus, square, value, where
from minigrad.arrays import Array, numeric_array
from minigrad.modes import is_grad_enabled
from minigrad.ops.reductions import softmax
from minigrad.tensor import wrap
from nn.functional.precision import widened
from nn.functional.settings import Check, one_of, real, whole

Reduction = Literal["none", "mean", "sum"]

__all__ = [
    "Reduction", "binary_cross_entropy_with_logits", "cross_entropy", "l1_loss", "mse_loss", "nll_loss", "penalty",
    "smooth_l1_loss",
]

CHECKS: dict[str, Check] = {
    "reduction": partial(one_of, choices=("none", "mean", "sum")),
    "label_smoothing": partial(real, least=0, most=1),
    "ignore_index": whole,
    "beta": partial(real, least=0),
}


@operation("other")
def cross_entropy(
    logits: TensorLike, target: TensorLike, weight: npt.ArrayLike | None = None, ignore_index: int = -100,
    reduction: Reduction = "mean", label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy between softmax(logits) and the target, stable for logits of any size.

    Args:
        logits: (classes,), (batch, classes) or (batch, classes, ...), not normalised.
        target: class indices, integers of the shape of `logits` without the class axis; or probabilities, of the shape
            of `logits`. A constant: it gets no gradient.
        weight: (classes,) the weight of each class.
        ignore_index: samples with this class index do not count.
        reduction: "mean" over the (weighted) samples, "sum", or "none".
        label_smoothing: the share of the target that is spread evenly over all classes.

    Raises:
        TypeError: if the logits are not floating.
        ValueError: if shapes do not fit, or a class index or a setting is out of range.

    The mean over ignored samples alone is NaN, and gradients are 0; the mean over samples whose weights add up to 0 is
    NaN, and so are their gradients, as in PyTorch. A loss of logits of which the largest is infinite is NaN too; a
    logit of -inf rules its class out.

    >>> cross_entropy([[2.0, 0.0]], np.array([0]))
    tensor(0.12692801, dtype=float64)
    """
    logits, dtype = widened(logits)
    settings = plain_settings(ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing)
    axis = class_axis("cross_entropy", logits)
    goal, divisor = weighted_target(logits, target, weight, **settings)
    mass = goal.sum(0)
    x = np.ascontiguousarray(logits.data.swapaxes(0, axis))  # sums over the first axis take a quarter of the time
    losses, total, exponentials, normalizer = softmax_losses(x, goal)

    def to_logits(grad: Tensor, out: Tensor) -> Tensor:
        if is_grad_enabled():  # to be differentiated again: the same as below, in tensor operations
            masses = mass[None].swapaxes(0, axis)
            each = grad.reshape(masses.shape) if reduction == "none" else grad
            differentiable: Tensor = (softmax(logits, axis) * masses - goal.swapaxes(0, axis)) * each
            return differentiable
        return wrap(((exponentials * (mass / normalizer) - goal) * grad.data).swapaxes(0, axis))

    if reduction == "none":
        total = losses.sum(0)
    elif not divisor:
        total *= nan  # also the mean over no samples, whose factors and so gradients are 0
    return record(cross_entropy, total, (logits, to_logits)).astype(dtype, copy=False)


def softmax_losses(x: Array, goal: Array) -> tuple[Array, Any, Array, Array]:
    """-goal · log softmax(x), over the first axis, and its sum; and the parts of softmax: exponentials / normalizer."""
    # The difference of huge logits may be infinite, its exponential is then 0; that of infinite ones is NaN.
    with np.errstate(over="ignore", invalid="ignore"):
        largest = x.max(0)
        shifted = x - largest
        exponentials = np.exp(shifted)
        normalizer = exponentials.sum(0)
        losses = goal * (np.log(normalizer) - shifted)
        total = losses.sum()
        if not isfinite(total):  # the share of an infinite difference in a mean may be finite
            losses = goal * np.log(normalizer) + 2 * (goal * (largest / 2 - x / 2))
            losses[goal == 0] = 0  # not 0 · ∞
            total = losses.sum()
    return losses, total, exponentials, normalizer


def nll_loss(
    log_probabilities: TensorLike, target: TensorLike, weight: npt.ArrayLike | None = None, ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Tensor:
    """Negative log-likelihood of the target: after `log_softmax`, the same as `cross_entropy`.

    Args:
        log_probabilities: (classes,), (batch, classes) or (batch, classes, ...).
        target, weight, ignore_index, reduction: as for `cross_entropy`.

    Raises:
        TypeError: if the log-probabilities are not floating.
        ValueError: if shapes do not fit, or a class index or a setting is out of range.

    >>> nll_loss(np.log([[0.25, 0.75]]), np.array([0])).item()
    1.3862943611198906
    """
    x, dtype = widened(log_probabilities)
    axis = class_axis("nll_loss", x)
    settings = plain_settings(ignore_index=ignore_index, reduction=reduction, label_smoothing=0.0)
    goal, divisor = weighted_target(x, target, weight, **settings)
    goal = goal.swapaxes(0, axis)
    losses = -(where(goal == 0, 0, x) * goal).sum(axis)  # log 0 = -inf of a class that is not the target does no harm
    return (losses if reduction == "none" else losses.sum() + (0 if divisor else nan)).astype(dtype, copy=False)


def class_axis(name: str, logits: Tensor) -> int:
    """The axis of `logits` that holds the classes."""
    what = "log-probabilities" if name == "nll_loss" else "logits"
    if logits.dtype.kind != "f":
        raise TypeError(f"{name} expects floating {what}, got dtype {logits.dtype}")
    if not logits.ndim:
        raise ValueError(f"{name} expects {what} of shape (classes,) or (batch, classes, ...), got one number")
    axis = 0 if logits.ndim == 1 else 1
    if not logits.shape[axis]:
        raise ValueError(f"{name} expects {what} of at least one class, got shape {logits.shape}")
    return axis


def plain_settings(**settings: Any) -> dict[str, Any]:
    """Settings of a loss as plain numbers, and others as they are; ValueError for those that no loss has."""
    return {name: CHECKS[name]("a loss", name, x) if name in CHECKS else x for name, x in settings.items()}


def weighted_target(
    logits: Tensor, target: TensorLike, weight: npt.ArrayLike | None, ignore_index: int, reduction: Reduction,
    label_smoothing: float,
) -> tuple[Array, float]:
    """(classes, ...) the factor of -log p of each class in each sample, in the loss; and what was divided by.

    The axis of the classes has changed places with the first. The factors are the target's probabilities, smoothed,
    times the class weights; for "mean" also divided by the sum of the weights of the samples' classes (for class
    indices) or by the number of samples (for probabilities), as in PyTorch. If that is 0 they are NaN where a sample
    counts, and 0 where it is ignored.

    Args:
        target: class indices of the shape of `logits` without the classes, or probabilities of the shape of `logits`.
        weight: (classes,) or None.

    Raises:
        ValueError: if `target` or `weight` has another shape, or a class index is out of range.
    """
    axis = min(logits.ndim - 1, 1)
    classes, dtype, target = logits.shape[axis], logits.dtype, np.asarray(value(target))
    if weight is not None and np.shape(weight) != (classes,):
        raise ValueError(f"the loss expects {classes} class weights, got shape {np.shape(weight)}")
    weights = None if weight is None else numeric_array(weight, dtype).reshape(-1, *[1] * (logits.ndim - 1))
    is_index = target.dtype.kind != "f"
    counted: Any = True
    if is_index:
        counted = one_hot(target, logits.shape, axis, ignore_index)
        goal = counted.astype(dtype)
    elif ignore_index >= 0:
        raise ValueError(f"ignore_index={ignore_index} names a class index, but the target is of probabilities")
    elif target.shape == logits.shape:
        goal = target.swapaxes(0, axis).astype(dtype)
    else:
        raise ValueError(
            f"the loss expects class indices or probabilities of the logits' shape {logits.shape}, got {target.shape}"
        )
    if reduction != "mean":
        divisor: Any = 1
    elif is_index:
        divisor = np.count_nonzero(goal) if weights is None else (goal * weights).sum()
    else:
        divisor = goal.size // classes
    if label_smoothing:
        goal = goal * (1 - label_smoothing) + (goal.sum(0) if is_index else 1) * (label_smoothing / classes)
    if weights is not None:
        goal *= weights
    goal /= divisor if divisor else np.where(counted, nan, 1)  # 0 / 0 for samples that count; ignored ones stay 0
    return goal, divisor


def one_hot(target: Array, shape: tuple[int, ...], axis: int, ignore_index: int) -> Array:
    """(classes, ...) boolean, true at the class of each sample, nowhere for ignored samples."""
    if target.shape != (*shape[:axis], *shape[axis + 1 :]) or target.dtype.kind not in "iu":
        raise ValueError(
            f"the loss expects one class index for each sample of the logits, which have shape {shape}, "
            f"got {target.dtype} of shape {target.shape}"
        )
    hot = np.equal.outer(np.arange(shape[axis]), target)
    # Mostly that is all: to look at the targets themselves in every step would take twice as long.
    if np.count_nonzero(hot) < target.size or 0 <= ignore_index < shape[axis]:
        ignored = target == ignore_index
        outside = target[~(hot.any(0) | ignored)]
        if outside.size:
            raise ValueError(f"the loss expects class indices from 0 to {shape[axis] - 1}, got {outside[0]}")
        hot &= ~ignored
    return np.asarray(hot)


def binary_cross_entropy_with_logits(
    logits: TensorLike, target: TensorLike, weight: npt.ArrayLike | None = None, reduction: Reduction = "mean",
    pos_weight: npt.ArrayLike | None = None,
) -> Tensor:
    """Cross-entropy between sigmoid(logits) and the target, elementwise, stable for logits of any size.

    Args:
        logits: of any shape, not normalised.
        target: probabilities from 0 to 1, of the shape of `logits`.
        weight: of each element, broadcast to the shape of `logits`.
        reduction: "mean" over all elements, "sum", or "none".
        pos_weight: of the positive answers, broadcast likewise.

    Raises:
        TypeError: if the logits are not floating.
        ValueError: if shapes do not fit, or the reduction is unknown.

    >>> binary_cross_entropy_with_logits([0.0, 100.0], [1.0, 1.0], reduction="none")
    tensor([6.93147181e-01, 3.72007598e-44], dtype=float64)
    """
    x, y, dtype = paired("binary_cross_entropy_with_logits", logits, target)
    # -log sigmoid(x) = softplus(-x), and -log(1 - sigmoid(x)) = softplus(x)
    losses = weighted(times(softplus(-x), y), pos_weight, "pos_weight") + times(softplus(x), 1 - y)
    return reduced(weighted(losses, weight, "weight"), reduction, dtype)


def mse_loss(prediction: TensorLike, target: TensorLike, reduction: Reduction = "mean") -> Tensor:
    """Squared error.

    Args:
        prediction, target: of the same shape.
        reduction: "mean" over all elements, "sum", or "none".

    Raises:
        TypeError: if the prediction is not floating.
        ValueError: if the shapes differ, or the reduction is unknown.

    >>> mse_loss([1.0, 2.0], [1.0, 5.0], reduction="sum").item()
    9.0
    """
    x, y, dtype = paired("mse_loss", prediction, target)
    return reduced(square(x - y), reduction, dtype)


def l1_loss(prediction: TensorLike, target: TensorLike, reduction: Reduction = "mean") -> Tensor:
    """Absolute error; arguments and errors as for `mse_loss`.

    >>> l1_loss([1.0, 2.0], [1.0, 5.0], reduction="sum").item()
    3.0
    """
    x, y, dtype = paired("l1_loss", prediction, target)
    return reduced(abs(x - y), reduction, dtype)


def smooth_l1_loss(
    prediction: TensorLike, target: TensorLike, reduction: Reduction = "mean", beta: float = 1.0
) -> Tensor:
    """error² / (2 beta) where the absolute error is less than `beta`, |error| - beta / 2 elsewhere.

    Other arguments and errors as for `mse_loss`; ValueError also if `beta` is negative.

    Source: Girshick, Fast R-CNN, ICCV 2015, eq. 3.

    >>> smooth_l1_loss([1.0, 2.0], [1.5, 5.0], reduction="none")
    tensor([0.125, 2.5  ], dtype=float64)
    """
    beta = plain_settings(reduction=reduction, beta=beta)["beta"]
    x, y, dtype = paired("smooth_l1_loss", prediction, target)
    error = x - y
    inner = clip(error, -beta, beta)  # what lies outside of it has a slope of its own, also where it is infinite
    quadratic = inner * (inner / beta) * 0.5 if x.dtype.type(beta) else 0
    return reduced(quadratic + relu(abs(error) - beta), reduction, dtype)


def times(losses: Tensor, factor: Tensor | Array) -> Tensor:
    """losses * factor, and 0 where the factor is 0, also if the loss there is infinite."""
    spared = np.isinf(losses.data) & (value(factor) == 0)
    return (where(spared, 0, losses) if spared.any() else losses) * factor


def paired(name: str, prediction: TensorLike, target: TensorLike) -> tuple[Tensor, Tensor, np.dtype[Any]]:
    """Prediction and target, `widened` tensors of the same shape, and the dtype of the prediction."""
    x, y = as_tensor(prediction), as_tensor(target)
    if x.dtype.kind != "f":
        raise TypeError(f"{name} expects floating predictions, got dtype {x.dtype}")
    if x.shape != y.shape:
        raise ValueError(f"{name} expects a target of the shape of the prediction, {x.shape}, got {y.shape}")
    x, dtype = widened(x)
    return x, y.astype(x.dtype, copy=False), dtype


def weighted(losses: Tensor, weight: npt.ArrayLike | None, name: str) -> Tensor:
    """The losses times a weight that is broadcast to their shape, if there is one."""
    if weight is None:
        return losses
    try:
        return times(losses, np.broadcast_to(numeric_array(weight, losses.dtype), losses.shape))
    except ValueError:
        raise ValueError(f"{name} cannot be broadcast from {np.shape(weight)} to the shape {losses.shape}") from None


def reduced(losses: Tensor, reduction: Reduction, dtype: np.dtype[Any]) -> Tensor:
    """The losses themselves, their sum or their mean, in this dtype; the mean of none is NaN."""
    plain_settings(reduction=reduction)
    if reduction == "none":
        return losses.astype(dtype, copy=False)
    if reduction == "sum" or not losses.size:
        return (losses.sum() * (nan if reduction == "mean" else 1)).astype(dtype, copy=False)
    with np.errstate(over="ignore"):
        mean = losses.mean()
    if np.isinf(mean.data) and np.isfinite(losses.data).all():  # their sum overflowed, but not their mean
        mean = (losses / losses.size).sum()
    return mean.astype(dtype, copy=False)


def penalty(parameters: Iterable[Tensor], l1: float = 0.0, l2: float = 0.0) -> Tensor:
    """l1 * Σ|w| + l2 * Σw² over all elements of the parameters, to be added to a loss.

    Args:
        parameters: of any shapes, `model.parameters()` or some of them.
        l1, l2: at least 0; PyTorch's `weight_decay=d` of SGD is `l2=d / 2`.

    Raises:
        ValueError: if l1 or l2 is negative, or there are no parameters.

    >>> penalty([Tensor([1.0, -2.0]), Tensor(3.0)], l1=1.0, l2=0.5).item()
    13.0
    """
    l1, l2 = real("penalty", "l1", l1, 0), real("penalty", "l2", l2, 0)
    chosen = list(parameters)
    if not chosen:
        raise ValueError("penalty got no parameters: an iterator such as model.parameters() can be used only once")
    wide = [widened(p)[0] for p in chosen]
    terms = [factor * size(p).sum() for factor, size in ((l1, abs), (l2, square)) if factor for p in wide]
    total = as_tensor(sum(terms, start=wide[0].dtype.type(0)))
    return total.astype(np.result_type(*(p.dtype for p in chosen)), copy=False)
