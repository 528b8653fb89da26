"""Elementwise operations: the value on one line, then one gradient rule for each input.

All broadcast as NumPy does. A rule may return the broadcast shape: the sweep sums it back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.graph import is_grad_enabled, record
from minigrad.ops.registry import NONZERO, POSITIVE, REAL, operation
from minigrad.tensor import Array, Tensor, TensorLike, as_tensor, value

__all__ = [
    "add", "subtract", "multiply", "divide", "power", "positive", "negative", "abs", "exp", "log", "sqrt",
    "tanh", "sigmoid", "relu", "maximum", "minimum", "where", "astype",
]  # fmt: skip

# ------------------------------------------------------------------------------------------------ arithmetic


@operation("elementwise", np.add, arity=2, methods="__add__ __radd__")
def add(a: TensorLike, b: TensorLike) -> Tensor:
    """Sum: a + b."""
    return record(add, value(a) + value(b),
                  (a, lambda grad, out: grad),
                  (b, lambda grad, out: grad))


@operation("elementwise", np.subtract, arity=2, methods="__sub__ __rsub__")
def subtract(a: TensorLike, b: TensorLike) -> Tensor:
    """Difference: a - b."""
    return record(subtract, value(a) - value(b),
                  (a, lambda grad, out: grad),
                  (b, lambda grad, out: -grad))


@operation("elementwise", np.multiply, arity=2, methods="__mul__ __rmul__")
def multiply(a: TensorLike, b: TensorLike) -> Tensor:
    """Product: a * b."""
    return record(multiply, value(a) * value(b),
                  (a, lambda grad, out: grad * b),
                  (b, lambda grad, out: grad * a))


@operation("elementwise", np.divide, arity=2, domain=(REAL, NONZERO), methods="__truediv__ __rtruediv__")
def divide(a: TensorLike, b: TensorLike) -> Tensor:
    """Quotient: a / b."""
    return record(divide, value(a) / value(b),
                  (a, lambda grad, out: grad / b),
                  (b, lambda grad, out: -grad * out / b))


@operation("elementwise", np.power, arity=2, domain=(POSITIVE, REAL), methods="__pow__ __rpow__")
def power(a: TensorLike, b: TensorLike) -> Tensor:
    """Power: a ** b. A negative base has a gradient for integer exponents; with respect to them it is NaN."""
    def to_base(grad: Tensor, out: Tensor) -> Tensor:
        zero_to_zero = (value(a) == 0) & (value(b) == 0)  # its slope is 0, where b * a ** (b - 1) would be 0 * inf
        return grad * (b * power(a, where(zero_to_zero, 1, subtract(b, 1))))

    def to_exponent(grad: Tensor, out: Tensor) -> Tensor:
        return grad * out * log(where(value(a) == 0, 1, a))  # 0 ** b is flat in b

    return record(power, value(a) ** value(b), (a, to_base), (b, to_exponent))


@operation("elementwise", np.positive, methods="__pos__")
def positive(x: TensorLike) -> Tensor:
    """A copy: +x."""
    x = as_tensor(x)
    return record(positive, +x.data, (x, lambda grad, out: grad))


@operation("elementwise", np.negative, methods="__neg__")
def negative(x: TensorLike) -> Tensor:
    """The opposite: -x."""
    x = as_tensor(x)
    return record(negative, -x.data, (x, lambda grad, out: -grad))


@operation("elementwise", np.abs, kinks=(0,), methods="__abs__ abs")
def abs(x: TensorLike) -> Tensor:
    """Absolute value: |x|, with slope 0 at 0."""
    x = as_tensor(x)
    return record(abs, np.abs(x.data), (x, lambda grad, out: grad * np.sign(x.data)))


# ------------------------------------------------------------------------------------------------ exponentials


@operation("elementwise", np.exp, methods="exp")
def exp(x: TensorLike) -> Tensor:
    """Exponential: e ** x."""
    x = as_tensor(x)
    return record(exp, np.exp(x.data), (x, lambda grad, out: grad * out))


@operation("elementwise", np.log, domain=POSITIVE, methods="log")
def log(x: TensorLike) -> Tensor:
    """Natural logarithm."""
    x = as_tensor(x)
    return record(log, np.log(x.data), (x, lambda grad, out: grad / x))


@operation("elementwise", np.sqrt, domain=POSITIVE, methods="sqrt")
def sqrt(x: TensorLike) -> Tensor:
    """Square root."""
    x = as_tensor(x)
    return record(sqrt, np.sqrt(x.data), (x, lambda grad, out: 0.5 * grad / out))


@operation("elementwise", np.tanh, methods="tanh")
def tanh(x: TensorLike) -> Tensor:
    """Hyperbolic tangent."""
    x = as_tensor(x)
    return record(tanh, np.tanh(x.data), (x, lambda grad, out: grad * (1 - out * out)))


# ------------------------------------------------------------------------------------------------ activations


@operation("elementwise", lambda x: 1 / (1 + np.exp(-x)), methods="sigmoid")
def sigmoid(x: TensorLike) -> Tensor:
    """Logistic function: 1 / (1 + e ** -x), without overflow for any x."""
    x = as_tensor(x)
    small = np.exp(-np.abs(x.data))  # e ** -x overflows for large negative x
    return record(sigmoid, np.where(x.data < 0, small, 1) / (1 + small), (x, lambda grad, out: grad * out * (1 - out)))


@operation("elementwise", lambda x: np.maximum(x, 0), kinks=(0,), methods="relu")
def relu(x: TensorLike) -> Tensor:
    """Rectifier: max(x, 0), with slope 0 at 0."""
    x = as_tensor(x)
    return record(relu, np.maximum(x.data, 0), (x, lambda grad, out: grad * (out.data > 0)))


# ------------------------------------------------------------------------------------------------ choices


@operation("elementwise", np.maximum, arity=2, ties=True)
def maximum(a: TensorLike, b: TensorLike) -> Tensor:
    """The larger of a and b; where they are equal each gets half the gradient."""
    return record(maximum, np.maximum(value(a), value(b)),
                  (a, lambda grad, out: grad * share(value(a) > value(b), value(a) == value(b), grad)),
                  (b, lambda grad, out: grad * share(value(b) > value(a), value(a) == value(b), grad)))


@operation("elementwise", np.minimum, arity=2, ties=True)
def minimum(a: TensorLike, b: TensorLike) -> Tensor:
    """The smaller of a and b; where they are equal each gets half the gradient."""
    return record(minimum, np.minimum(value(a), value(b)),
                  (a, lambda grad, out: grad * share(value(a) < value(b), value(a) == value(b), grad)),
                  (b, lambda grad, out: grad * share(value(b) < value(a), value(a) == value(b), grad)))


def share(wins: Array, ties: Array, grad: Tensor) -> Array:
    """The part of the gradient an input gets: 1 where it wins, ½ at a tie, else 0."""
    return np.where(ties, 0.5, wins).astype(grad.dtype)


@operation("where", np.where, arity=2)
def where(condition: TensorLike, a: TensorLike, b: TensorLike) -> Tensor:
    """Elements of `a` where `condition` holds, of `b` elsewhere; no gradient reaches the one not chosen."""
    condition = value(condition)
    return record(where, np.where(condition, value(a), value(b)),
                  (a, lambda grad, out: where(condition, grad, 0)),
                  (b, lambda grad, out: where(condition, 0, grad)))


# ------------------------------------------------------------------------------------------------ in place


def in_place(symbol: str, function: Callable[[TensorLike, TensorLike], Tensor]) -> Callable[..., Tensor]:
    """The augmented assignment `x += y`: an update of a leaf under `no_grad`, elsewhere the same as `x = x + y`."""
    def assign(self: Tensor, other: TensorLike) -> Tensor:
        if not (self.is_leaf and self.requires_grad):
            return function(self, other)
        if is_grad_enabled():
            raise RuntimeError(
                f"{symbol} on a leaf that requires gradients would lose the value the graph needs: "
                f"write y = x {symbol[0]} ..., or update it under no_grad()"
            )
        self.data[...] = function(self, other).data
        self.data = self.data
        return self

    return assign


for name, symbol, function in (("add", "+=", add), ("sub", "-=", subtract),
                               ("mul", "*=", multiply), ("truediv", "/=", divide)):  # fmt: skip
    setattr(Tensor, f"__i{name}__", in_place(symbol, function))


@operation("cast", None, methods="astype")
def astype(x: TensorLike, dtype: Any) -> Tensor:
    """The same values in another dtype; gradients flow through floating dtypes only."""
    x = as_tensor(x)
    data = x.data.astype(dtype)
    return record(astype, data, *([(x, lambda grad, out: grad)] if data.dtype.kind == "f" else []))
