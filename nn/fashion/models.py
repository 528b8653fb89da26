"""Networks for garments, each described by plain data, so that a model file can say how to build its network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import nn

Architecture = Mapping[str, Any]


def mlp(sizes: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Fully connected: Flatten, then Linear layers of these sizes with ReLU and Dropout between them.

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
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers[:-2])


BUILDERS: dict[str, Callable[..., nn.Module]] = {"mlp": mlp}


def build(architecture: Architecture) -> nn.Module:
    """The network an architecture describes: `{"name": "mlp", "sizes": [784, 64, 10], "dropout": 0.2}`.

    Raises:
        ValueError: if there is no such network, or it does not take these arguments.
    """
    arguments = dict(architecture)
    name = arguments.pop("name", None)
    if name not in BUILDERS:
        raise ValueError(f"there is no network named {name!r}, only {', '.join(BUILDERS)}")
    try:
        return BUILDERS[name](**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"cannot build the network {dict(architecture)}: {error}") from error
