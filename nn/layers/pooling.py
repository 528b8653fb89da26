"""Layers that sum up windows of images."""

from __future__ import annotations

from minigrad import Tensor, TensorLike
from nn import functional as F
from nn.functional.convolution import Pair
from nn.module import Module

__all__ = ["AdaptiveAvgPool2d", "AvgPool2d", "MaxPool2d"]


class Pool2d(Module):
    """Windows of `kernel_size`, moved by `stride` (their size if None), reaching `padding` over the edges."""

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0) -> None:
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool2d(Pool2d):
    """The largest element of each window, see `nn.functional.max_pool2d`: (n, c, h, w) -> (n, c, rows, columns)."""

    def forward(self, x: TensorLike) -> Tensor:
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(Pool2d):
    """The mean of each window, see `nn.functional.avg_pool2d`: (n, c, h, w) -> (n, c, rows, columns)."""

    def forward(self, x: TensorLike) -> Tensor:
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class AdaptiveAvgPool2d(Module):
    """Means of as many windows as `output_size` says: (n, c, h, w) -> (n, c, *output_size)."""

    def __init__(self, output_size: int | Pair) -> None:
        self.output_size = output_size

    def forward(self, x: TensorLike) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"
