"""Convolution layers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minigrad import Tensor, TensorLike, pad
from minigrad.random import Generator
from nn import functional as F
from nn.functional.convolution import margins
from nn.functional.settings import Pair, one_of, pair, whole
from nn.layers.linear import weight_and_bias
from nn.module import Module

__all__ = ["Conv2d"]

PADDING_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # NumPy's names


class Conv2d(Module):
    """Convolution of images, see `nn.functional.conv2d`.

    Args:
        in_channels, out_channels: the number of channels before and after.
        kernel_size, stride, padding, dilation: numbers, or one for each of the two axes; padding also "same", "valid".
        groups: into how many parts the channels are divided, each with kernels of its own.
        bias: whether to add a learned offset to each channel.
        padding_mode: what is put around the images: "zeros", or copies of what they have, "reflect" without the edge
            itself, "replicate" of the edge alone, "circular" from the other side.
        dtype: of the parameters.
        generator: what the initial values, uniform within ±1/sqrt(fan_in), are drawn from.

    Shapes: input (n, in_channels, h, w), output (n, out_channels, rows, columns), `weight` (out_channels,
    in_channels / groups, kernel height, kernel width), `bias` (out_channels,).

    Raises:
        ValueError: if a setting is out of range, or the input does not fit.

    >>> Conv2d(3, 8, kernel_size=3, padding=1)(np.ones((2, 3, 28, 28), np.float32)).shape
    (2, 8, 28, 28)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | Pair, stride: int | Pair = 1,
        padding: int | Pair | str = 0, dilation: int | Pair = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", dtype: npt.DTypeLike = np.float32, generator: Generator | None = None,
    ) -> None:
        in_channels = whole("Conv2d", "in_channels", in_channels, least=0)
        out_channels = whole("Conv2d", "out_channels", out_channels, least=0)
        groups = whole("Conv2d", "groups", groups)
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(f"Conv2d cannot divide {in_channels} and {out_channels} channels into {groups} groups")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = pair("Conv2d", "kernel_size", kernel_size), pair("Conv2d", "stride", stride)
        self.dilation = pair("Conv2d", "dilation", dilation)
        self.padding_mode = one_of("Conv2d", "padding_mode", padding_mode, [*PADDING_MODES])
        before, _ = margins("Conv2d", padding, self.kernel_size, self.stride, self.dilation)
        self.padding = padding if isinstance(padding, str) else before
        shape = out_channels, in_channels // groups, *self.kernel_size
        self.weight, self.bias = weight_and_bias(shape, bias, dtype, generator)

    def forward(self, x: TensorLike) -> Tensor:
        if self.padding_mode == "zeros" or np.ndim(x) != 4:
            return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        before, after = margins("Conv2d", self.padding, self.kernel_size, self.stride, self.dilation)
        for size, margin in zip(np.shape(x)[2:], map(max, before, after), strict=True):
            if margin > {"reflect": size - 1, "circular": size}.get(self.padding_mode, margin if size else 0):
                raise ValueError(f"Conv2d cannot add {margin} pixels to {size} with padding_mode={self.padding_mode!r}")
        x = pad(x, [(0, 0), (0, 0), *zip(before, after, strict=True)], PADDING_MODES[self.padding_mode])
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        defaults = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "padding_mode": "zeros"}
        parts += [f"{name}={getattr(self, name)}" for name, value in defaults.items() if getattr(self, name) != value]
        return ", ".join([*parts, *(["bias=False"] if self.bias is None else [])])
