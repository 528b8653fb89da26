"""A training step as a user writes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
