"""A chain of multiplications of 0-d tensors, forward and backward: the cost of recording and sweeping alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import minigrad as mg
from benchmarks.timing import Contestant, Contestants, installed

LENGTH = 1000


def chain(x: Any, factor: Any) -> Any:
    """The product of `x` and so many times `factor`, of whatever engine they are."""
    for _ in range(LENGTH):
        x = x * factor
    return x


def backward_chain(make: Callable[..., Any], **settings: Any) -> Contestant:
    """The chain where tensors, made by `make`, have a `backward`."""

    def derivative() -> float:
        x, factor = make(1.0, **settings), make(1.0001, **settings)
        chain(x, factor).backward()
        return float(x.grad)

    return derivative


def torch_chain() -> Contestant:
    """The chain in PyTorch."""
    import torch

    return backward_chain(torch.tensor, requires_grad=True)


def autograd_chain() -> Contestant:
    """The chain in HIPS autograd."""
    from autograd import grad

    return lambda: float(grad(chain, (0, 1))(1.0, 1.0001)[0])


def mygrad_chain() -> Contestant:
    """The chain in MyGrad, which recurses: the longest it can is about this long."""
    import mygrad

    return backward_chain(mygrad.tensor)


def contestants() -> Contestants:
    """All that are installed, by name; nobody writes this in NumPy by hand, since its derivative is one power."""
    return {"minigrad": backward_chain(mg.tensor, requires_grad=True)} | installed({
        "PyTorch": ("torch", torch_chain), "HIPS autograd": ("autograd", autograd_chain),
        "MyGrad": ("mygrad", mygrad_chain),
    })
