"""A chain of multiplications of 0-d tensors, forward and backward: the cost of recording and sweeping alone."""

from __future__ import annotations

import minigrad as mg
from benchmarks.timing import Contestants, installed

LENGTH = 1000


def minigrad_chain() -> float:
    """The chain here."""
    x, factor = mg.tensor(1.0, requires_grad=True), mg.tensor(1.0001, requires_grad=True)
    y = x
    for _ in range(LENGTH):
        y = y * factor
    y.backward()
    assert x.grad is not None
    return float(x.grad.item())


def torch_chain() -> float:
    """The chain in PyTorch."""
    import torch

    x, factor = torch.tensor(1.0, requires_grad=True), torch.tensor(1.0001, requires_grad=True)
    y = x
    for _ in range(LENGTH):
        y = y * factor
    y.backward()
    return float(x.grad)


def autograd_chain() -> float:
    """The chain in HIPS autograd."""
    from autograd import grad

    def chain(x: float, factor: float) -> float:
        y = x
        for _ in range(LENGTH):
            y = y * factor
        return y

    return float(grad(chain, (0, 1))(1.0, 1.0001)[0])


def mygrad_chain() -> float:
    """The chain in MyGrad, which recurses: the longest it can is about this long."""
    import mygrad

    x, factor = mygrad.tensor(1.0), mygrad.tensor(1.0001)
    y = x
    for _ in range(LENGTH):
        y = y * factor
    y.backward()
    return float(x.grad)


def contestants() -> Contestants:
    """All that are installed, by name; nobody writes this in NumPy by hand, since its derivative is one power."""
    return {"minigrad": minigrad_chain} | installed({
        "PyTorch": ("torch", lambda: torch_chain),
        "HIPS autograd": ("autograd", lambda: autograd_chain),
        "MyGrad": ("mygrad", lambda: mygrad_chain),
    })
