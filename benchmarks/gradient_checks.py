"""Checking the gradient of the default network's loss by all parameters against numerical derivatives, in float64."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from benchmarks.hvp import loss_of, point
from benchmarks.mlp import batch
from benchmarks.timing import Contestant, Contestants, installed
from minigrad.testing import gradcheck
from nn import functional as F


def task(size: int) -> tuple[Any, Any, list[Any]]:
    """Images, labels and parameters."""
    images, labels = batch(size)
    return images.astype(np.float64), labels, [p.astype(np.float64) for p in point()[0]]


def minigrad_check(size: int, checks: Collection[str] | None) -> Contestant:
    """The numerical comparison along three random directions, with some (all by default) of the other checks."""
    images, labels, parameters = task(size)
    loss = loss_of(F, images, labels)
    return lambda: gradcheck(loss, *parameters, checks=checks).ok


def torch_check(size: int) -> Contestant:
    """In PyTorch, fast: along one random direction for each parameter."""
    import torch
    from torch.nn import functional

    images, labels, parameters = task(size)
    loss = loss_of(functional, torch.from_numpy(images), torch.from_numpy(labels))
    variables = [torch.from_numpy(p).requires_grad_() for p in parameters]
    return lambda: torch.autograd.gradcheck(loss, variables, fast_mode=True)


def contestants(size: int) -> Contestants:
    """All that are installed, by name."""
    ours = {"minigrad": minigrad_check(size, None), "minigrad, `checks=()`": minigrad_check(size, ())}
    return ours | installed({"PyTorch, `fast_mode=True`": ("torch", lambda: torch_check(size))})
