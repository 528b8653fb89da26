"""Activation functions, with PyTorch's formulas and defaults."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from minigrad.arrays import floats
from minigrad.graph import record
from minigrad.ops.arithmetic import abs, clip, where
from minigrad.ops.elementwise import exp, expm1, logistic, logistic_density, sigmoid
from minigrad.ops.limits import in_single, times, within_range
from minigrad.ops.registry import operation
from minigrad.ops.special import erfc, error_function
from minigrad.tensor import Tensor, TensorLike, as_tensor, value

__all__ = [
    "relu", "leaky_relu", "elu", "softplus", "gelu", "silu", "hardtanh", "softsign",
]


FAR = 40.0  # so many standard deviations from its mean the normal distribution is 0 or 1 in every dtype


@operation("elementwise", lambda x: np.maximum(x, 0), kinks=(0,), methods="relu")
def relu(x: TensorLike) -> Tensor:
    """Rectifier: max(x, 0), with slope 0 at 0."""
    x = as_tensor(x)
    # NumPy keeps floats between two limits faster than it finds the larger of each and a number.
    data = x.data.clip(0, np.inf) if x.dtype.kind == "f" else np.maximum(x.data, 0)
    return record(relu, data, (x, lambda grad, out: where(out.data > 0, grad, 0)))


@operation("elementwise", lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x), kinks=(0,))
def leaky_relu(x: TensorLike, negative_slope: TensorLike = 0.01) -> Tensor:
    """x where it is positive, else `negative_slope` * x; a tensor as slope learns, it makes a PReLU of this."""
    return record(leaky_relu, np.where(value(x) > 0, value(x), value(negative_slope) * np.minimum(value(x), 0)),
                  (x, lambda grad, out: where(value(x) > 0, grad, negative_slope * grad)),
                  (negative_slope, lambda grad, out: grad * below_0(x)))


def below_0(x: TensorLike) -> Tensor:
    """x where it is not positive, else 0: at 0 with the slope of that side, where a minimum would have half of it."""
    return where(value(x) > 0, 0, x)


@operation("elementwise", lambda x, alpha=1.0: np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1)), kinks=(0,))
def elu(x: TensorLike, alpha: TensorLike = 1.0) -> Tensor:
    """x where it is positive, else `alpha` * (e ** x - 1).

    Source: Clevert et al., Fast and Accurate Deep Network Learning by Exponential Linear Units, ICLR 2016.
    """
    return record(elu, np.where(value(x) > 0, value(x), value(alpha) * np.expm1(np.minimum(floats(value(x)), 0))),
                  (x, lambda grad, out: where(value(x) > 0, grad, grad * (alpha * exp(below_0(x))))),
                  (alpha, lambda grad, out: grad * expm1(below_0(x))))


@operation("elementwise", lambda x, beta=1.0: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(beta * x))) / beta)
def softplus(x: TensorLike, beta: TensorLike = 1.0) -> Tensor:
    """log(1 + e ** (beta * x)) / beta, without overflow for any x: PyTorch's `threshold` is not needed."""
    with np.errstate(over="ignore", invalid="ignore"):  # of beta * x, where x itself is the result; and of NaN
        scaled = floats(value(beta)) * value(x)
        data = np.where(scaled == np.inf, value(x), np.logaddexp(0, scaled) / value(beta))
    return record(softplus, data, (x, lambda grad, out: grad * sigmoid(times(beta, x))),
                  (beta, lambda grad, out: -grad * entropy(times(beta, x)) / beta / beta))


def entropy(x: Tensor) -> Tensor:
    """log(1 + e ** x) - x * sigmoid(x), without the difference: that of a coin with sigmoid(x) for heads, in nats."""
    near = within_range(x)  # inf times 0 is NaN
    size = np.abs(near.data)
    return record(entropy, np.log1p(np.exp(-size)) + size * logistic(-size),
                  (x, lambda grad, out: -grad * near * logistic_density(near)))


@operation("elementwise", lambda x, approximate="none": x / 2 * (1 + (
    np.vectorize(math.erf, otypes=[float])(x / 2**0.5) if approximate == "none" else
    np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))))
@in_single
def gelu(x: TensorLike, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """x times the normal distribution function of x, or with `approximate="tanh"` a formula close to it.

    Source: Hendrycks & Gimpel, Gaussian Error Linear Units, 2016.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f'gelu knows approximate="none" and "tanh", got {approximate!r}')
    x = as_tensor(x)
    near = clip(x, -FAR, FAR)  # beyond, where the distribution is 0 or 1, squares might overflow and 0 times inf is NaN
    if approximate == "tanh":  # ½ (1 + tanh(y)) = sigmoid(2y)
        return near * sigmoid(math.sqrt(8 / math.pi) * (near + 0.044715 * near * near * near)) + relu(x - FAR)

    def rule(grad: Tensor, out: Tensor) -> Tensor:
        density = exp(-0.5 * near * near) / math.sqrt(2 * math.pi)
        return grad * (0.5 * erfc(-math.sqrt(0.5) * near) + near * density)

    below = error_function(-math.sqrt(0.5) * x.data, True)
    return record(gelu, 0.5 * np.maximum(x.data, -FAR) * below, (x, rule))


@operation("elementwise", lambda x: x * (1 + np.tanh(x / 2)) / 2)
@in_single
def silu(x: TensorLike) -> Tensor:
    """x * sigmoid(x), also known as swish."""
    x = as_tensor(x)
    near = within_range(x)  # 0 times inf is NaN

    def rule(grad: Tensor, out: Tensor) -> Tensor:
        return grad * (sigmoid(near) * (1 + near * sigmoid(-near)))

    weight = logistic(x.data)
    return record(silu, np.maximum(x.data, -np.finfo(weight.dtype).max) * weight, (x, rule))


@operation("elementwise", lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val), kinks=(-1, 1))
def hardtanh(x: TensorLike, min_val: TensorLike = -1.0, max_val: TensorLike = 1.0) -> Tensor:
    """x kept between two bounds; as in PyTorch, and other than for `clip`, the slope on the bounds is 0."""
    x = as_tensor(x)

    def above() -> Any:
        return np.maximum(x.data, value(min_val)) >= value(max_val)  # NumPy applies the upper bound last

    return record(hardtanh, np.clip(x.data, value(min_val), value(max_val)),
                  (x, lambda grad, out: where((x > min_val) & (x < max_val), grad, 0)),
                  (min_val, lambda grad, out: where((x <= min_val) & ~above(), grad, 0)),
                  (max_val, lambda grad, out: where(above(), grad, 0)))


@operation("elementwise", lambda x: x / (1 + np.abs(x)), kinks=(0,))
def softsign(x: TensorLike) -> Tensor:
    """x / (1 + |x|)."""
    near = floats(within_range(as_tensor(x)).data)  # inf / inf is NaN
    return record(softsign, near / (1 + np.abs(near)),
                  (x, lambda grad, out: grad / (1 + abs(x)) / (1 + abs(x))))
