"""A network as plain data and half-precision numbers, for whatever runs it elsewhere: a page with a script, say.

Each layer becomes a dict with its `kind`, the shapes of one sample that come `in` and go `out`, and its settings; its
parameters are places in one long row of numbers. What does nothing in evaluation mode, or to the order of the numbers,
is left out: dropout, `Flatten`, `Unflatten`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad import no_grad
from minigrad.arrays import Array
from nn import layers
from nn.functional.convolution import margins
from nn.functional.settings import pair
from nn.layers.batchnorm import BatchNorm
from nn.module import Module

Layer = dict[str, Any]


class HalfNumbers:
    """Arrays as one row of numbers in half precision, each array divided by its largest number, which is kept beside.

    So neither very large nor very small ones are lost, and what is lost of each is at most a 2,000th.
    """

    def __init__(self) -> None:
        self.arrays: list[npt.NDArray[np.float16]] = []
        self.count = 0

    def add(self, numbers: Array) -> Layer:
        """Where they are from now on. Raises ValueError if they are not finite."""
        largest = float(np.abs(numbers).max(initial=0)) or 1.0
        if not np.isfinite(largest):
            raise ValueError("the network has parameters that are not finite: it is of no use")
        self.arrays.append((numbers / largest).astype(np.float16).ravel())
        place = {"start": self.count, "count": numbers.size, "scale": largest}
        self.count += numbers.size
        return place

    def __bytes__(self) -> bytes:
        """All of them, two bytes each, the lower one first."""
        return np.concatenate([np.zeros(0, np.float16), *self.arrays]).astype("<f2").tobytes()


def as_layers(model: Module, sample: Array, numbers: HalfNumbers) -> list[Layer]:
    """The layers of a model in evaluation mode, in order; their parameters are added to `numbers`.

    Args:
        model: of the layers that `nn.fashion.models` builds networks of.
        sample: (1, ...) that goes through it, to see its shapes.

    Raises:
        ValueError: if there is another layer, or one whose settings or numbers this form cannot express.

    >>> numbers = HalfNumbers()
    >>> as_layers(layers.Sequential(layers.Flatten(), layers.ReLU()), np.ones((1, 2, 2)), numbers)
    [{'kind': 'relu', 'in': [4], 'out': [4]}]
    """
    with model.in_mode(training=False), no_grad():
        return converted(model, sample, numbers)[0]


def converted(module: Module, x: Array, numbers: HalfNumbers) -> tuple[list[Layer], Array]:
    """The layers, and what they make of `x`."""
    if isinstance(module, layers.Sequential):
        found: list[Layer] = []
        for inner in module:
            more, x = converted(inner, x, numbers)
            found += more
        return found, x
    if type(module) in COMPOSED:
        kind, parts_of = COMPOSED[type(module)]
        ways = [converted(way, x, numbers)[0] for way in parts_of(module) if way is not None]
        said: Layer | None = {"kind": kind, "ways": ways}
    elif type(module) in KINDS:
        said = KINDS[type(module)](module, numbers)
    else:
        raise ValueError(f"there is no plain form of {type(module).__name__}, only of the layers of nn.fashion.models")
    out = module(x).numpy()
    shapes = {"in": [*x.shape[1:]], "out": [*out.shape[1:]]}
    return ([said | shapes] if said else []), out


def plain_linear(layer: layers.Linear, numbers: HalfNumbers) -> Layer:
    return {"kind": "linear", **parameters(layer, numbers)}


def plain_convolution(layer: layers.Conv2d, numbers: HalfNumbers) -> Layer:
    if layer.dilation != (1, 1) or layer.groups != 1 or layer.padding_mode != "zeros":
        raise ValueError(f"there is no plain form of {layer}, which has a dilation, groups or a padding mode")
    before, after = margins("Conv2d", layer.padding, layer.kernel_size, layer.stride, layer.dilation)
    settings = {"kernel": layer.kernel_size, "stride": layer.stride, "before": before, "after": after}
    return {"kind": "convolution", **settings, **parameters(layer, numbers)}


def plain_batch_norm(layer: BatchNorm, numbers: HalfNumbers) -> Layer:
    """A factor and a summand for each channel."""
    if layer.running_mean is None or layer.running_var is None:
        raise ValueError(f"there is no plain form of {layer}, which has no running statistics")
    factor = 1 / np.sqrt(layer.running_var.astype(np.float64) + layer.eps)
    factor = factor if layer.weight is None else factor * layer.weight.data
    summand = -layer.running_mean * factor
    summand = summand if layer.bias is None else summand + layer.bias.data
    return {"kind": "affine", "weight": numbers.add(factor), "bias": numbers.add(summand)}


def plain_max_pool(layer: layers.MaxPool2d, numbers: HalfNumbers) -> Layer:
    kernel, stride = pair("MaxPool2d", "kernel_size", layer.kernel_size), pair("MaxPool2d", "stride", layer.stride)
    plain = layers.MaxPool2d(layer.kernel_size, layer.stride)
    if layer.extra_repr() != plain.extra_repr():
        raise ValueError(f"there is no plain form of {layer}, only of windows and strides")
    return {"kind": "maxPool", "kernel": kernel, "stride": stride}


def plain_gelu(layer: layers.GELU, numbers: HalfNumbers) -> Layer:
    if layer.approximate != "none":
        raise ValueError(f"there is no plain form of {layer}, only of the exact one")
    return {"kind": "gelu"}


def parameters(layer: layers.Linear | layers.Conv2d, numbers: HalfNumbers) -> Layer:
    """Where weight and bias are, if there is one."""
    weight = {"weight": numbers.add(layer.weight.data)}
    return weight if layer.bias is None else weight | {"bias": numbers.add(layer.bias.data)}


def kind_alone(kind: str) -> Callable[[Any, HalfNumbers], Layer]:
    """A layer that has nothing but its kind."""
    return lambda layer, numbers: {"kind": kind}


def nothing(layer: Module, numbers: HalfNumbers) -> None:
    """What can be left out."""


KINDS: dict[type[Module], Callable[[Any, HalfNumbers], Layer | None]] = {
    layers.Flatten: nothing, layers.Unflatten: nothing, layers.Dropout: nothing, layers.Identity: nothing,
    layers.Linear: plain_linear, layers.Conv2d: plain_convolution,
    layers.BatchNorm1d: plain_batch_norm, layers.BatchNorm2d: plain_batch_norm,
    layers.MaxPool2d: plain_max_pool, layers.AdaptiveAvgPool2d: kind_alone("meanPool"),
    layers.ReLU: kind_alone("relu"), layers.Sigmoid: kind_alone("sigmoid"), layers.GELU: plain_gelu,
}
COMPOSED: dict[type[Module], tuple[str, Callable[[Any], list[Module | None]]]] = {  # kind, and the networks within
    layers.Residual: ("residual", lambda residual: [residual.module, residual.shortcut]),
    layers.MirrorAverage: ("mirrorAverage", lambda average: [average.module]),
}
