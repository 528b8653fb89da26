"""Networks for garments, each described by plain data, so that a model file can say how to build its network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise, repeat
from math import prod
from typing import Any

import numpy as np

import nn
from nn.fashion.dataset import SIZE
from nn.fashion.idx import LARGEST_SIDE
from nn.functional.settings import integer

Architecture = Mapping[str, Any]
Size = tuple[int, int]  # rows and columns of an image; in model files it is a list


ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}


def mlp(
    sizes: Sequence[int], dropout: float = 0.0, activation: str = "relu", batch_norm: bool = False
) -> nn.Sequential:
    """Fully connected: Flatten, then Linear layers of these sizes with an activation and Dropout between them.

    With `batch_norm` each activation is preceded by one, and the layer before that has no bias.

    >>> mlp([784, 64, 10], dropout=0.2)
    Sequential(  # 50,890 parameters
      (0): Flatten()
      (1): Linear(784, 64)  # 50,240 parameters
      (2): ReLU()
      (3): Dropout(p=0.2)
      (4): Linear(64, 10)  # 650 parameters
    )
    """
    if len(sizes) < 2:
        raise ValueError(f"a network has at least the sizes of its inputs and its outputs, got {list(sizes)}")
    if activation not in list(ACTIVATIONS):  # which may be anything, from a file
        raise ValueError(f"there is no activation {activation!r}, only {', '.join(ACTIVATIONS)}")
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes[:-1]):
        layers.append(nn.Linear(inputs, outputs, bias=not batch_norm))
        layers += [nn.BatchNorm1d(outputs)] if batch_norm else []
        layers += [ACTIVATIONS[activation](), nn.Dropout(dropout)] if dropout else [ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def keras_cnn(size: Size = SIZE, classes: int = 10) -> nn.Sequential:
    """Convolution 3 x 3 with 32 filters, ReLU, max pooling by 2, then 100 hidden units and an output for each class.

    Pooling comes before the ReLU: the result is the same, since a ReLU keeps order, for a quarter of the work.
    """
    height, width = size
    if min(size) < 4:
        raise ValueError(f"keras_cnn needs images of 4 x 4 pixels or more, got {height} x {width}")
    return nn.Sequential(
        nn.Unflatten(1, (1, height)), nn.Conv2d(1, 32, 3), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * (height // 2 - 1) * (width // 2 - 1), 100), nn.ReLU(), nn.Linear(100, classes),
    )


def convolution(inputs: int, outputs: int, kernel_size: int = 3, stride: int = 1) -> list[nn.Module]:
    """A convolution that keeps the size of images, or divides it by the stride, and batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel_size, stride, padding=kernel_size // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


def stride_cnn(
    channels: Sequence[int], kernel_size: int = 5, size: Size = SIZE, classes: int = 10
) -> nn.Sequential:
    """Convolutions with stride 2, the first with `kernel_size`, each with batch norm and ReLU; then a linear layer."""
    height, width = size
    layers: list[nn.Module] = [nn.Unflatten(1, (1, height))]
    for i, (inputs, outputs) in enumerate(pairwise([1, *channels])):
        layers += [*convolution(inputs, outputs, 3 if i else kernel_size, stride=2), nn.ReLU()]
        height, width = (height + 1) // 2, (width + 1) // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * height * width, classes))


def resnet(
    channels: Sequence[int], blocks: Sequence[int], kernel_size: int = 5, dropout: float = 0.0, size: Size = SIZE,
    classes: int = 10,
) -> nn.Sequential:
    """Stages of residual blocks, each entered by a convolution with stride 2 and left by the mean over the image.

    Args:
        channels: of each stage.
        blocks: how many residual blocks each stage has.
        kernel_size: of the first convolution; all others have 3.
        dropout: before the last layer.
        size: of the images.
        classes: how many outputs there are.

    Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016, without its pooling at the start.
    """
    layers: list[nn.Module] = [nn.Unflatten(1, (1, size[0]))]
    for i, ((inputs, outputs), count) in enumerate(zip(pairwise([1, *channels]), blocks, strict=True)):
        layers += [*convolution(inputs, outputs, 3 if i else kernel_size, stride=2), nn.ReLU()]
        for _ in range(count):
            body = [*convolution(outputs, outputs), nn.ReLU(), *convolution(outputs, outputs)]
            layers += [nn.Residual(nn.Sequential(*body)), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels[-1], classes)]
    return nn.Sequential(*layers, *head)


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "mlp": mlp, "keras_cnn": keras_cnn, "stride_cnn": stride_cnn, "resnet": resnet,
}


def architecture_for(architecture: Architecture, size: Size, classes: int) -> dict[str, Any]:
    """The same network for images of another size and another number of classes.

    >>> architecture_for({"name": "mlp", "sizes": [784, 64, 10]}, (20, 30), 3)
    {'name': 'mlp', 'sizes': [600, 64, 3]}

    Raises ValueError if the sizes of an "mlp" are no list of numbers.
    """
    if architecture["name"] == "mlp":
        _check_numbers("sizes", architecture.get("sizes"))
        return {**architecture, "sizes": [prod(size), *architecture["sizes"][1:-1], classes]}
    same = {name: setting for name, setting in architecture.items() if name not in ("size", "classes")}
    return same if (size, classes) == (SIZE, 10) else {**same, "size": list(size), "classes": classes}


def build(architecture: Architecture) -> nn.Module:
    """The network an architecture describes: `{"name": "mlp", "sizes": [784, 64, 10], "dropout": 0.2}`.

    With `"mirrored": True` it averages over images and their mirror images in evaluation mode, see `nn.MirrorAverage`.

    Raises:
        ValueError: if there is no such network, or it does not take these arguments. What would be refused in a file,
            see `check_claim`, is not built either.
    """
    arguments = dict(architecture)
    for name, setting in arguments.items():
        if isinstance(setting, bool) is not (is_switch := name in SWITCHES):
            raise ValueError(f"{name} is {'' if is_switch else 'not '}true or false, got {setting!r:.80}")
    name, mirrored = arguments.pop("name", None), arguments.pop("mirrored", False)
    if not isinstance(name, str) or name not in BUILDERS:
        raise ValueError(f"there is no network named {name!r:.80}, only {', '.join(BUILDERS)}")
    try:
        for argument in RANGES.keys() & arguments.keys():
            _check_numbers(argument, arguments[argument])
        network = BUILDERS[name](**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"cannot build the network {dict(architecture)}: {error}") from error
    return nn.MirrorAverage(network) if mirrored else network


# An architecture that a stranger wrote is a claim. It is held against the arrays that came with it before it is built.

LONGEST = 100  # list in an architecture
SWITCHES = {"batch_norm", "mirrored"}
RANGES = {
    "sizes": range(1, 2**24), "channels": range(1, 2**14), "blocks": range(1000), "kernel_size": range(1, 64),
    "size": range(1, 513), "classes": range(1, 1001),
}


def check_claim(architecture: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse an architecture that asks for more than these arrays, at a cost that does not grow with what it asks.

    Raises:
        ValueError: if it is not made as an architecture is, or a weight that it describes is not among the arrays.
    """
    if not isinstance(architecture, dict):
        raise ValueError(f"its architecture is of type {type(architecture).__name__}, not a JSON object")
    for argument in RANGES.keys() & architecture.keys():
        _check_numbers(argument, architecture[argument])
    left = Counter(array.shape for array in arrays.values() if array.ndim > 1)
    for shape in _weight_shapes(architecture):
        if not left[shape]:
            raise ValueError(f"its architecture has weights of shape {shape} that the file lacks")
        left[shape] -= 1


def _check_numbers(argument: str, value: Any) -> None:
    allowed = RANGES[argument]
    is_single = argument in ("kernel_size", "classes")
    numbers = [value] if is_single else value
    listed = isinstance(numbers, list | tuple) and 0 < len(numbers) <= LONGEST
    if not listed or not all((found := integer(n)) is not None and found in allowed for n in numbers):
        wanted = "a whole number" if is_single else f"a list of 1 to {LONGEST} whole numbers"
        raise ValueError(f"{argument} is not {wanted} from {allowed.start} to {allowed.stop - 1:,}: {value!r:.80}")


def _weight_shapes(architecture: Architecture) -> Iterator[tuple[int, ...]]:
    """The shapes of all weights but biases and those of batch norm, one after another, however many there are."""
    name, kernel_size = architecture.get("name"), architecture.get("kernel_size", 5)
    channels, classes = architecture.get("channels", ()), architecture.get("classes", 10)
    height, width = read_size(architecture.get("size", SIZE))
    if name == "mlp":
        yield from ((outputs, inputs) for inputs, outputs in pairwise(architecture.get("sizes", ())))
    if name == "keras_cnn":
        yield 32, 1, 3, 3
        yield 100, 32 * (height // 2 - 1) * (width // 2 - 1)
        yield classes, 100
    if name in ("stride_cnn", "resnet") and channels:
        for i, (inputs, outputs) in enumerate(pairwise([1, *channels])):
            size = 3 if i else kernel_size
            yield outputs, inputs, size, size
            height, width = (height + 1) // 2, (width + 1) // 2
        yield classes, channels[-1] * (height * width if name == "stride_cnn" else 1)
    if name == "resnet":
        for outputs, count in zip(channels, architecture.get("blocks", ()), strict=False):
            yield from repeat((outputs, outputs, 3, 3), 2 * count)


def read_size(found: Any) -> Size:
    """Rows and columns as a model file has them; raises ValueError if they are none."""
    if not isinstance(found, list | tuple) or len(found) != 2 or not all(type(side) is int for side in found):
        raise ValueError("its size is no pair of whole numbers")
    height, width = found
    if not (1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE):
        raise ValueError(f"its images have a side that is not from 1 to {LARGEST_SIDE} pixels long")
    return height, width
