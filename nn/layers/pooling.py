"""Layers that sum up windows of images."""

from __future__ import annotations

from dataclasses import dataclass, fields

from nn import functional as F
from nn.functional.pooling import OutputSize, output_sizes
from nn.functional.settings import Pair, pair
from nn.layers.function import Function

__all__ = ["AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "AvgPool2d", "MaxPool2d"]


@dataclass(repr=False, eq=False)
class Pool2d(Function):
    """Windows of `kernel_size`, moved by `stride` (their size if None), reaching `padding` over the edges."""

    kernel_size: int | Pair
    stride: int | Pair | None = None
    padding: int | Pair = 0

    def __post_init__(self) -> None:
        self.stride = self.kernel_size if self.stride is None else self.stride
        for name, least in {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}.items():
            if name in self.settings():
                numbers = pair(type(self).__name__, name, getattr(self, name), least)
                setattr(self, name, numbers if isinstance(getattr(self, name), (tuple, list)) else numbers[0])

    def extra_repr(self) -> str:
        default = {field.name: field.default for field in fields(self)[3:]}
        shown = [name for name in self.settings() if name not in default or getattr(self, name) != default[name]]
        return ", ".join(f"{name}={getattr(self, name)}" for name in shown)


@dataclass(repr=False, eq=False)
class MaxPool2d(Pool2d):
    """The largest element of each window, see `nn.functional.max_pool2d`: (n, c, h, w) -> (n, c, rows, columns)."""

    dilation: int | Pair = 1
    return_indices: bool = False
    ceil_mode: bool = False
    function = staticmethod(F.max_pool2d)


@dataclass(repr=False, eq=False)
class AvgPool2d(Pool2d):
    """The mean of each window, see `nn.functional.avg_pool2d`: (n, c, h, w) -> (n, c, rows, columns)."""

    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None
    function = staticmethod(F.avg_pool2d)


@dataclass(repr=False, eq=False)
class AdaptivePool2d(Function):
    """As many windows as `output_size` says, a number or two; None is for as many as there are pixels."""

    output_size: OutputSize

    def __post_init__(self) -> None:
        output_sizes(type(self).__name__, self.output_size, (1, 1))

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


@dataclass(repr=False, eq=False)
class AdaptiveAvgPool2d(AdaptivePool2d):
    """Means of as many windows as `output_size` says: (n, c, h, w) -> (n, c, *output_size).

    >>> AdaptiveAvgPool2d((None, 2))([[[[1.0, 2.0, 3.0, 5.0]]]])
    tensor([[[[1.5, 4. ]]]], dtype=float64)
    """

    function = staticmethod(F.adaptive_avg_pool2d)


@dataclass(repr=False, eq=False)
class AdaptiveMaxPool2d(AdaptivePool2d):
    """The largest elements of as many windows as `output_size` says: (n, c, h, w) -> (n, c, *output_size)."""

    return_indices: bool = False
    function = staticmethod(F.adaptive_max_pool2d)
