"""What layers compute, as functions. The fused ones are operations like any other, with rules of their own."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from minigrad import Tensor, TensorLike, as_tensor, exp, operation, record, value
from minigrad import logsumexp as logsumexp
from minigrad import relu as relu
from minigrad import sigmoid as sigmoid
from minigrad import tanh as tanh
from minigrad.graph import is_grad_enabled
from minigrad.tensor import Array, Rule, wrap
from nn.random import default_generator

Reduction = Literal["none", "mean", "sum"]


@operation("linear", arity=3)
def linear(x: TensorLike, weight: TensorLike, bias: TensorLike | None = None) -> Tensor:
    """Affine map x @ weight.T + bias: (..., in_features) -> (..., out_features).

    Args:
        x: (..., in_features).
        weight: (out_features, in_features).
        bias: (out_features,) or None.
    """
    x, weight = as_tensor(x), as_tensor(weight)
    data = product(x.data, weight.data.T)
    if bias is not None:
        bias = as_tensor(bias)
        data = np.add(data, bias.data, out=data if data.dtype == bias.dtype else None)

    def to_x(grad: Tensor, out: Tensor) -> Tensor:
        return linear(grad, weight.T) if is_grad_enabled() else wrap(product(grad.data, weight.data))

    def to_weight(grad: Tensor, out: Tensor) -> Tensor:
        return rows(grad).T @ rows(x) if is_grad_enabled() else wrap(rows(grad).data.T @ rows(x).data)

    def to_bias(grad: Tensor, out: Tensor) -> Tensor:  # summed by a product, which takes a third of the time of a sum
        return grad if is_grad_enabled() else wrap(np.ones(grad.size // weight.shape[0], grad.dtype) @ rows(grad).data)

    edges: list[tuple[Tensor, Rule]] = [(x, to_x), (weight, to_weight)]
    if bias is not None:
        edges.append((bias, to_bias))
    return record(linear, data, *edges)


def product(a: Array, b: Array) -> Array:
    """a @ b. BLAS is up to twice as slow for a wide matrix as for a tall one, so a wide one is computed transposed."""
    if a.ndim == 2 and a.shape[0] < b.shape[1]:
        return (b.T @ a.T).T
    result: Array = a @ b
    return result


def rows(x: Tensor) -> Tensor:
    """All leading axes in one: (..., n) -> (m, n)."""
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


def softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis, without overflow."""
    x = as_tensor(x)
    with np.errstate(over="ignore", invalid="ignore"):  # as in cross_entropy
        powers = exp(x - x.data.max(axis, keepdims=True))  # the same softmax, so a constant is enough as derivative
    return powers / powers.sum(axis, keepdims=True)


@operation("dropout")
def dropout(
    x: TensorLike, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None
) -> Tensor:
    """Zero each element with probability `p` and scale the others by 1 / (1 - p); the identity unless `training`.

    `p` is rounded to a multiple of 2⁻¹⁶, since sixteen random bits decide on each element: drawing floats instead
    takes five times as long, more than the layer's own arithmetic.

    Raises:
        TypeError: if x is not floating.
        ValueError: unless 0 <= p <= 1.

    Source: Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, JMLR 2014.
    """
    x = as_tensor(x)
    if not 0 <= p <= 1:
        raise ValueError(f"dropout expects a probability from 0 to 1, got {p}")
    if x.dtype.kind != "f":
        raise TypeError(f"dropout expects floating values, which can be scaled, got dtype {x.dtype}")
    dropped = round(p * 65536)
    if not training or dropped == 0:
        return x
    if dropped == 65536:
        return x * 0.0
    bits = sixteen_bits(x.size, generator or default_generator())
    kept = (bits >= dropped).reshape(x.shape)
    if not x.data.flags.c_contiguous:  # arithmetic on mixed memory orders takes four times as long
        kept = np.asarray(kept, order="F")
    mask = np.multiply(kept, x.dtype.type(65536 / (65536 - dropped)))
    return record(dropout, x.data * mask, (x, lambda grad, out: grad * mask))


def sixteen_bits(n: int, generator: np.random.Generator) -> Array:
    """`n` random integers from 0 to 65535."""
    source = generator.bit_generator
    if isinstance(source, np.random.MT19937):  # its raw numbers are half as long as those of the others
        return generator.integers(0, 65536, n, np.uint16)
    bits: Array = source.random_raw(-(-n // 4)).view(np.uint16)[:n]
    return bits


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
