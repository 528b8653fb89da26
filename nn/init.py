"""Initialisers: each fills a tensor in place and returns it. Names, arguments and formulas are PyTorch's.

Random ones draw from `generator`, or from the library's default generator, which `manual_seed` starts anew.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import numpy as np

from minigrad.random import Generator, source
from minigrad.tensor import Tensor
from nn.functional.settings import one_of, real

Fan: TypeAlias = Literal["fan_in", "fan_out"]

LINEAR = frozenset(["linear", "sigmoid", *(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3))])


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with draws from the uniform distribution over [a, b); ValueError unless a <= b, both and b - a finite.

    >>> uniform_(Tensor([0.0, 0.0]), 1.0, 2.0, np.random.default_rng(0)).data.round(3)
    array([1.637, 1.27 ])
    """
    a = real("uniform_", "a", a, above=-math.inf)
    b = real("uniform_", "b", b, a, below=math.inf)
    width, dtype = real("uniform_", "b - a", b - a, below=math.inf), draw_dtype(tensor)
    return fill(tensor, source(generator).random(tensor.shape, dtype) * width + a)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with draws from the normal distribution; ValueError unless `std` is at least 0, and both are finite.

    >>> normal_(Tensor([0.0, 0.0]), std=0.1, generator=np.random.default_rng(0)).data.round(3)
    array([ 0.013, -0.013])
    """
    mean = real("normal_", "mean", mean, above=-math.inf, below=math.inf)
    std = real("normal_", "std", std, 0, below=math.inf)
    dtype = draw_dtype(tensor)
    return fill(tensor, source(generator).standard_normal(tensor.shape, dtype) * std + mean)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return fill(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return fill(tensor, 1)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value.

    >>> constant_(Tensor([0.0, 0.0]), 0.5)
    tensor([0.5, 0.5], dtype=float64)
    """
    return fill(tensor, val)


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: Fan = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform over ±gain · √(3 / fan), so that rectifiers keep the size of signals (He et al., 2015, eq. 10 and 14).

    Args:
        tensor: a weight of shape (out, in, *kernel).
        a: the negative slope of the "leaky_relu" behind it; `nn.Linear` and the convolutions start with √5.
        mode: "fan_in" keeps the size of signals forwards, "fan_out" that of gradients backwards.
        nonlinearity: see `calculate_gain`.
        generator: where to draw from.

    Raises:
        ValueError: if the tensor has fewer than two axes, or mode or nonlinearity is unknown.

    >>> weight = kaiming_uniform_(Tensor(np.zeros((50, 6))), nonlinearity="relu")
    >>> bool((abs(weight.data) <= 1).all())
    True
    """
    bound = math.sqrt(3.0) * kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: Fan = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with standard deviation gain / √fan; otherwise as `kaiming_uniform_` (He et al., 2015)."""
    return normal_(tensor, 0.0, kaiming_std(tensor, a, mode, nonlinearity), generator)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform over ±gain · √(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010, eq. 16).

    Raises:
        ValueError: if the tensor has fewer than two axes, or `gain` is negative.

    >>> weight = xavier_uniform_(Tensor(np.zeros((4, 20))))
    >>> bool((abs(weight.data) <= 0.5).all())
    True
    """
    bound = real("xavier_uniform_", "gain", gain, 0) * math.sqrt(6.0 / max(1, sum(fans(tensor))))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with standard deviation gain · √(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010, eq. 12)."""
    gain = real("xavier_normal_", "gain", gain, 0)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / max(1, sum(fans(tensor)))), generator)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor of weights that makes up for how much the nonlinearity after them shrinks signals.

    Args:
        nonlinearity: "linear", "conv1d", ..., "sigmoid": 1; "tanh": 5/3; "relu": √2; "leaky_relu": √(2 / (1 + param²));
            "selu": 3/4.
        param: the negative slope of "leaky_relu", 0.01 by default.

    Raises:
        ValueError: if the nonlinearity is unknown, or `param` is no number.

    >>> calculate_gain("leaky_relu", 1.0)
    1.0
    """
    slope = 0.01 if param is None else real("calculate_gain", "param", param)
    gains = dict.fromkeys(LINEAR, 1.0)
    gains |= {"tanh": 5 / 3, "relu": math.sqrt(2), "leaky_relu": math.sqrt(2 / (1 + slope**2)), "selu": 0.75}
    if nonlinearity not in gains:
        raise ValueError(f"no gain is known for {nonlinearity!r}: choose one of {sorted(gains)}")
    return gains[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs an output sums (fan_in), and how many outputs read an input (fan_out)."""
    check_tensor(tensor)
    if tensor.ndim < 2:
        raise ValueError(f"fan_in and fan_out need a weight of shape (out, in, ...), got shape {tensor.shape}")
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def kaiming_std(tensor: Tensor, a: float, mode: Fan, nonlinearity: str) -> float:
    """gain / √fan, which keeps the mean square of what passes through the layer."""
    one_of("an initialiser", "mode", mode, ("fan_in", "fan_out"))
    return calculate_gain(nonlinearity, a) / math.sqrt(max(1, fans(tensor)[mode == "fan_out"]))


def draw_dtype(tensor: Tensor) -> Any:
    """The dtype to draw in: that of the tensor if generators know it."""
    check_tensor(tensor)
    if tensor.dtype.kind != "f":
        raise TypeError(f"random draws fill floating tensors only, got dtype {tensor.dtype}")
    return np.float32 if tensor.dtype == np.float32 else np.float64


def check_tensor(tensor: Any) -> None:
    """Raise TypeError unless it is something to fill."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"an initialiser fills a Tensor in place, got a {type(tensor).__name__}")


def fill(tensor: Tensor, values: Any) -> Tensor:
    """Write `values` into the tensor's own memory."""
    check_tensor(tensor)
    tensor.data = array = tensor.numpy()  # first of all, for a recorded result is refused here
    array[...] = values
    tensor.data = array
    return tensor
