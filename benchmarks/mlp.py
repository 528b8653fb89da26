"""One training step of the default network: cross-entropy, dropout 0.2, plain SGD, on the same batch and weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

import nn
from benchmarks.step import Step, torch_twin, training_step
from benchmarks.timing import Contestants, installed
from nn.fashion.models import mlp

SIZES, DROPPED, LR = (784, 256, 64, 10), 0.2, 0.005


def batch(size: int) -> tuple[Any, Any]:
    """Random images and labels."""
    rng = np.random.default_rng(0)
    return rng.random((size, 784), np.float32), rng.integers(0, 10, size)


def model(dropout: float = DROPPED, sizes: Sequence[int] = SIZES) -> nn.Sequential:
    """The network, always with the same weights."""
    nn.manual_seed(0)
    return mlp(sizes, dropout)


def minigrad_step(size: int, dropout: float = DROPPED, sizes: Sequence[int] = SIZES) -> Step:
    """The step as a user writes it."""
    images, labels = batch(size)
    network, loss_function = model(dropout, sizes), nn.CrossEntropyLoss()
    optimizer = nn.optim.SGD(network.parameters(), lr=LR)
    return training_step(network, loss_function, optimizer, images, labels)


def numpy_step(size: int, dropout: float = DROPPED) -> Step:
    """The step written by hand for this network alone, without any autograd, in place wherever that is possible."""
    images, labels = batch(size)
    w1, b1, w2, b2, w3, b3 = (p.numpy().copy() for p in model().parameters())
    generator = np.random.default_rng(0)
    dropped = round(dropout * 65536)
    scale = np.float32(65536 / (65536 - dropped))
    rows = np.arange(size)

    def mask(shape: tuple[int, ...]) -> Any:
        bits = generator.bit_generator.random_raw(shape[0] * shape[1] // 4).view(np.uint16)
        return np.multiply(bits >= dropped, scale, dtype=np.float32).reshape(shape)

    def step() -> float:
        h1 = images @ w1.T
        h1 += b1
        np.maximum(h1, 0, out=h1)
        if dropped:
            h1 *= mask(h1.shape)
        h2 = h1 @ w2.T
        h2 += b2
        np.maximum(h2, 0, out=h2)
        if dropped:
            h2 *= mask(h2.shape)
        logits = h2 @ w3.T
        logits += b3

        logits -= logits.max(1, keepdims=True)
        probabilities = np.exp(logits)
        sums = probabilities.sum(1)
        loss = float(np.mean(np.log(sums) - logits[rows, labels]))

        probabilities /= sums[:, None]
        probabilities[rows, labels] -= 1
        probabilities /= size
        d3 = probabilities
        d2 = d3 @ w3
        d2 *= np.multiply(h2 > 0, scale, dtype=np.float32)
        d1 = d2 @ w2
        d1 *= np.multiply(h1 > 0, scale, dtype=np.float32)
        for weight, bias, gradient, inputs in ((w3, b3, d3, h2), (w2, b2, d2, h1), (w1, b1, d1, images)):
            change = gradient.T @ inputs
            change *= LR
            weight -= change
            bias -= LR * gradient.sum(0)
        return loss

    return step


def torch_step(size: int, dropout: float = DROPPED) -> Step:
    """The step in PyTorch, eager."""
    import torch

    network = torch_twin(model(dropout))
    optimizer = torch.optim.SGD(network.parameters(), lr=LR)
    return training_step(network, torch.nn.CrossEntropyLoss(), optimizer, *map(torch.from_numpy, batch(size)))


def jax_step(size: int, dropout: float = DROPPED) -> Step:
    """The step in JAX, compiled as a whole; the memory of the old weights is given to the new ones."""
    import jax
    import jax.numpy as jnp

    data = [jnp.asarray(array) for array in batch(size)]
    weights = [jnp.array(p.numpy()) for p in model().parameters()]
    state = [(w, b) for w, b in zip(weights[::2], weights[1::2], strict=True)], jax.random.key(0)

    def loss_function(layers: Any, key: Any, h: Any, labels: Any) -> Any:
        for i, (weight, bias) in enumerate(layers):
            h = h @ weight.T + bias
            if i < len(layers) - 1:
                h = jax.nn.relu(h)
                if dropout:
                    key, now = jax.random.split(key)
                    h = jnp.where(jax.random.bernoulli(now, 1 - dropout, h.shape), h / (1 - dropout), 0)
        return -jnp.take_along_axis(jax.nn.log_softmax(h), labels[:, None], axis=1).mean()

    @partial(jax.jit, donate_argnums=0)
    def update(layers: Any, key: Any, images: Any, labels: Any) -> Any:
        key, now = jax.random.split(key)
        loss, gradients = jax.value_and_grad(loss_function)(layers, now, images, labels)
        return loss, (jax.tree.map(lambda p, g: p - LR * g, layers, gradients), key)

    def step() -> float:
        nonlocal state
        loss, state = update(*state, *data)
        return float(loss)

    return step


def contestants(size: int, dropout: float = DROPPED) -> Contestants:
    """All that are installed, by name."""
    return {"hand-written numpy": numpy_step(size, dropout), "minigrad": minigrad_step(size, dropout)} | installed({
        "PyTorch": ("torch", lambda: torch_step(size, dropout)),
        "JAX, jit": ("jax", lambda: jax_step(size, dropout)),
    })
