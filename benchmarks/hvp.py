"""The product of the Hessian of the default network's loss, by all parameters, with a vector; nothing is dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from benchmarks.mlp import batch, model
from benchmarks.timing import Contestant, Contestants, installed
from nn import functional as F


def point() -> tuple[list[Any], list[Any]]:
    """The parameters, and a random vector in parts of their shapes."""
    rng = np.random.default_rng(1)
    parameters = [p.numpy().copy() for p in model().parameters()]
    return parameters, [rng.standard_normal(p.shape, np.float32) for p in parameters]


def loss_of(functional: Any, images: Any, labels: Any) -> Callable[..., Any]:
    """The loss as a function of the parameters; `functional` is that of `nn` or of PyTorch, which share their names."""

    def loss(w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any) -> Any:
        h = functional.linear(images, w1, b1).relu()
        h = functional.linear(h, w2, b2).relu()
        return functional.cross_entropy(functional.linear(h, w3, b3), labels)

    return loss


def minigrad_hvp(size: int) -> Contestant:
    """With `minigrad.hvp`."""
    images, labels = batch(size)
    parameters, vector = point()
    loss = loss_of(F, images, labels)
    return lambda: [part.numpy() for part in mg.hvp(loss, parameters, vector)]


def numpy_hvp(size: int) -> Contestant:
    """Written by hand: a forward and a backward pass, each with its derivative along the vector beside it.

    This is what Pearlmutter (1994) calls R: `r_h` is the derivative of `h` along the vector.
    """
    images, labels = batch(size)
    parameters, vector = point()
    weights, biases, r_weights, r_biases = parameters[::2], parameters[1::2], vector[::2], vector[1::2]
    rows, ones = np.arange(size), np.ones(size, np.float32)

    def product() -> list[Any]:
        h, r_h = images, None
        passed = []
        for weight, bias, r_weight, r_bias in zip(weights, biases, r_weights, r_biases, strict=True):
            passed.append((h, r_h))
            r_next = h @ r_weight.T
            r_next += r_bias
            if r_h is not None:
                r_next += r_h @ weight.T
            h, r_h = h @ weight.T, r_next
            h += bias
            if weight is not weights[-1]:
                r_h *= h > 0
                np.maximum(h, 0, out=h)

        h -= h.max(1, keepdims=True)
        p = np.exp(h, out=h)
        p /= p.sum(1, keepdims=True)
        r_d = r_h - (p * r_h).sum(1, keepdims=True)
        r_d *= p
        r_d /= size
        d = p
        d[rows, labels] -= 1
        d /= size

        result: list[Any] = []
        for (h, r_h), weight, r_weight in zip(passed[::-1], weights[::-1], r_weights[::-1], strict=True):
            of_weight = r_d.T @ h
            if r_h is not None:
                of_weight += d.T @ r_h
            result = [of_weight, ones @ r_d, *result]
            if r_h is not None:
                r_d = r_d @ weight
                r_d += d @ r_weight
                d = d @ weight
                for array in (d, r_d):
                    array *= h > 0
        return result

    return product


def torch_loss(size: int) -> tuple[Any, list[Any], list[Any]]:
    """The loss as a function of the parameters, the parameters, and the vector."""
    import torch
    from torch.nn import functional

    images, labels = (torch.from_numpy(array) for array in batch(size))
    parameters, vector = ([torch.from_numpy(part) for part in parts] for parts in point())
    return loss_of(functional, images, labels), parameters, vector


def torch_double_backward(size: int) -> Contestant:
    """In PyTorch, with two backward passes."""
    import torch

    loss, parameters, vector = torch_loss(size)

    def product() -> list[Any]:
        _, result = torch.autograd.functional.hvp(loss, tuple(parameters), tuple(vector))
        return [part.numpy() for part in result]

    return product


def torch_forward_over_reverse(size: int) -> Contestant:
    """In PyTorch, with the derivative of the gradient along the vector."""
    import torch

    loss, parameters, vector = torch_loss(size)
    gradient = torch.func.grad(loss, argnums=tuple(range(len(parameters))))

    def product() -> list[Any]:
        _, result = torch.func.jvp(gradient, tuple(parameters), tuple(vector))
        return [part.numpy() for part in result]

    return product


def jax_hvp(size: int) -> Contestant:
    """In JAX, with the derivative of the gradient along the vector, compiled as a whole."""
    import jax
    import jax.numpy as jnp

    data = [jnp.asarray(array) for array in batch(size)]
    parameters, vector = ([jnp.array(part) for part in parts] for parts in point())

    def loss(parameters: Any, images: Any, labels: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = parameters
        h = jax.nn.relu(images @ w1.T + b1)
        h = jax.nn.relu(h @ w2.T + b2)
        logits = jax.nn.log_softmax(h @ w3.T + b3)
        return -jnp.take_along_axis(logits, labels[:, None], axis=1).mean()

    def product(parameters: Any, vector: Any, images: Any, labels: Any) -> Any:
        return jax.jvp(lambda p: jax.grad(loss)(p, images, labels), (parameters,), (vector,))[1]

    compiled = jax.jit(product)
    return lambda: [np.asarray(part) for part in compiled(parameters, vector, *data)]


def contestants(size: int) -> Contestants:
    """All that are installed, by name."""
    return {"hand-written numpy": numpy_hvp(size), "minigrad": minigrad_hvp(size)} | installed({
        "PyTorch, `autograd.functional.hvp`": ("torch", lambda: torch_double_backward(size)),
        "PyTorch, `func.jvp` of `func.grad`": ("torch", lambda: torch_forward_over_reverse(size)),
        "JAX, jit": ("jax", lambda: jax_hvp(size)),
    })
