"""A training step as a user writes it, and the same network in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import nn
from nn.fashion.dataset import SIZE

Step = Callable[[], float]


def training_step(network: Any, loss_function: Any, optimizer: Any, images: Any, labels: Any) -> Step:
    """The step on one batch: it returns the loss before it.

    The names in `nn` are PyTorch's, so the same lines train both; images (batch, ...) and labels (batch,) are arrays
    for one and tensors for the other.
    """

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_function(network(images), labels)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def torch_twin(ours: nn.Module) -> Any:
    """The same network in PyTorch, with the same weights."""
    import torch

    theirs = in_torch(ours)
    theirs.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in ours.state_dict().items()})
    return theirs


def in_torch(layer: Any) -> Any:
    """The same layer of PyTorch: names, settings and parameters are the same in both."""
    from torch import nn as torch_nn

    class Residual(torch_nn.Module):
        def __init__(self, module: Any) -> None:
            super().__init__()
            self.module = module

        def forward(self, x: Any) -> Any:
            return x + self.module(x)

    conversions: dict[type[nn.Module], Callable[[Any], Any]] = {
        nn.Sequential: lambda s: torch_nn.Sequential(*map(in_torch, s)),
        nn.Residual: lambda r: Residual(in_torch(r.module)),
        nn.Conv2d: lambda c: torch_nn.Conv2d(
            c.in_channels, c.out_channels, c.kernel_size, c.stride, c.padding, bias=c.bias is not None),
        nn.Linear: lambda a: torch_nn.Linear(a.in_features, a.out_features, bias=a.bias is not None),
        nn.BatchNorm1d: lambda b: torch_nn.BatchNorm1d(b.num_features),
        nn.BatchNorm2d: lambda b: torch_nn.BatchNorm2d(b.num_features),
        nn.MaxPool2d: lambda p: torch_nn.MaxPool2d(p.kernel_size),
        nn.Unflatten: lambda _: torch_nn.Unflatten(1, (1, SIZE[0])),
        nn.AdaptiveAvgPool2d: lambda _: torch_nn.AdaptiveAvgPool2d(1),
        nn.Flatten: lambda _: torch_nn.Flatten(),
        nn.ReLU: lambda _: torch_nn.ReLU(),
        nn.GELU: lambda _: torch_nn.GELU(),
        nn.Dropout: lambda d: torch_nn.Dropout(d.p),
    }
    return conversions[type(layer)](layer)
