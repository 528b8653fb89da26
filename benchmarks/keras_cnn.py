"""One training step of a small convolutional network: cross-entropy, SGD with momentum, on the same batch and weights.

The network is that of many Keras tutorials: 32 filters of 3x3 without padding, max pooling by 2, ReLU, then linear
layers 5408 -> 100, ReLU, and 100 -> 10.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import nn
from benchmarks.step import Step, torch_twin, training_step
from benchmarks.timing import Contestants, installed

FILTERS, HIDDEN, LR, MOMENTUM = 32, 100, 0.01, 0.9
SIDE = 28


def batch(size: int, side: int = SIDE) -> tuple[Any, Any]:
    """Random images (size, 1, side, side), and labels."""
    rng = np.random.default_rng(0)
    return rng.random((size, 1, side, side), np.float32), rng.integers(0, 10, size)


def model(side: int = SIDE) -> nn.Sequential:
    """The network, always with the same weights."""
    nn.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, FILTERS, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(FILTERS * ((side - 2) // 2) ** 2, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, 10),
    )


def channels_last(weight: Any, channels: int) -> Any:
    """The weight of a linear layer behind channels-first images, (out, in), for images with the channels last."""
    side = round((weight.shape[1] // channels) ** 0.5)
    return np.ascontiguousarray(weight.reshape(-1, channels, side, side).transpose(0, 2, 3, 1).reshape(len(weight), -1))


def minigrad_step(size: int, side: int = SIDE) -> Step:
    """The step as a user writes it."""
    images, labels = batch(size, side)
    network, loss_function = model(side), nn.CrossEntropyLoss()
    optimizer = nn.optim.SGD(network.parameters(), lr=LR, momentum=MOMENTUM)
    return training_step(network, loss_function, optimizer, images, labels)


def numpy_step(size: int) -> Step:
    """The step written by hand for this network alone, without any autograd, in place wherever that is possible.

    Images lie as (h, w, n, channels), so that pooling goes through long rows, a row of its results at a time while that
    is in the cache. Bias and ReLU never change which of four values is the largest, so they are applied to the quarter
    that pooling leaves. Of equal values the first one wins.
    """
    images, labels = batch(size)
    images = np.ascontiguousarray(images[:, 0].transpose(1, 2, 0))
    parameters = [p.numpy().copy() for p in model().parameters()]
    parameters[0] = np.ascontiguousarray(parameters[0].reshape(FILTERS, 9).T)
    kernel, kernel_bias, w1, b1, w2, b2 = parameters
    velocities = [np.zeros_like(p) for p in parameters]
    changes = [np.empty_like(p) for p in parameters]
    out, half, rows = SIDE - 2, (SIDE - 2) // 2, np.arange(size)
    columns = np.empty((3, 3, out, out, size), np.float32)  # the pixel under each entry of the kernel, for each output
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(0, 1)).transpose(3, 4, 0, 1, 2)
    convolved = np.empty((out, out, size, FILTERS), np.float32)
    d_convolved = np.empty_like(convolved)
    pooled = np.empty((half, half, size, FILTERS), np.float32)
    won = [np.empty(pooled.shape, bool) for _ in range(4)]
    by_sample = np.empty((size, half * half, FILTERS), np.float32)  # a stop on the way to (size, FILTERS, half * half)
    features = np.empty((size, FILTERS, half * half), np.float32)

    def corners(array: Any) -> list[Any]:
        return [array[i::2, j::2] for i in (0, 1) for j in (0, 1)]

    def pool() -> None:
        for row, (a, b, c, d) in enumerate(zip(*corners(convolved), strict=True)):
            upper, lower = np.maximum(a, b), np.maximum(c, d)
            is_lower, is_right_above, is_right_below = lower > upper, b > a, d > c
            np.maximum(upper, lower, out=pooled[row])
            np.logical_and(is_lower, is_right_below, out=won[3][row])
            np.greater(is_lower, is_right_below, out=won[2][row])
            np.greater(is_right_above, is_lower, out=won[1][row])
            np.logical_not(np.logical_or(is_lower, is_right_above), out=won[0][row])

    def step() -> float:
        np.copyto(columns, windows)
        np.matmul(columns.reshape(9, -1).T, kernel, out=convolved.reshape(-1, FILTERS))
        pool()
        np.add(pooled, kernel_bias, out=pooled)
        np.maximum(pooled, 0, out=pooled)
        by_sample[...] = pooled.reshape(half * half, size, FILTERS).swapaxes(0, 1)
        features[...] = by_sample.swapaxes(1, 2)
        x = features.reshape(size, -1)
        hidden = x @ w1.T
        hidden += b1
        np.maximum(hidden, 0, out=hidden)
        logits = hidden @ w2.T
        logits += b2

        logits -= logits.max(1, keepdims=True)
        probabilities = np.exp(logits)
        sums = probabilities.sum(1)
        loss = float(np.mean(np.log(sums) - logits[rows, labels]))

        probabilities /= sums[:, None]
        probabilities[rows, labels] -= 1
        probabilities /= size
        d_logits = probabilities
        d_hidden = d_logits @ w2
        d_hidden *= hidden > 0
        by_sample[...] = (d_hidden @ w1).reshape(features.shape).swapaxes(1, 2)
        d_pooled = np.ascontiguousarray(by_sample.swapaxes(0, 1)).reshape(pooled.shape)
        d_pooled *= pooled > 0
        for row in range(half):
            for corner, is_winner in zip(corners(d_convolved), won, strict=True):
                np.multiply(d_pooled[row], is_winner[row], out=corner[row])
        by_row = columns.reshape(9, out, -1).swapaxes(0, 1) @ d_convolved.reshape(out, -1, FILTERS)
        np.sum(by_row, 0, out=changes[0])
        np.matmul(np.ones(size * half * half, np.float32), d_pooled.reshape(-1, FILTERS), out=changes[1])
        np.matmul(d_hidden.T, x, out=changes[2])
        np.sum(d_hidden, 0, out=changes[3])
        np.matmul(d_logits.T, hidden, out=changes[4])
        np.sum(d_logits, 0, out=changes[5])
        for parameter, velocity, change in zip(parameters, velocities, changes, strict=True):
            velocity *= MOMENTUM
            velocity += change
            parameter -= np.multiply(velocity, LR, out=change)
        return loss

    return step


def torch_step(size: int) -> Step:
    """The step in PyTorch, eager."""
    import torch

    network = torch_twin(model())
    optimizer = torch.optim.SGD(network.parameters(), lr=LR, momentum=MOMENTUM)
    return training_step(network, torch.nn.CrossEntropyLoss(), optimizer, *map(torch.from_numpy, batch(size)))


def jax_max_pool(x: Any) -> Any:
    """Max pooling by 2 of images (n, h, w, channels): compiled, up to four times as fast as `jax.lax.reduce_window`."""
    import jax.numpy as jnp

    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    upper, lower = (jnp.maximum(x[:, i::2, ::2], x[:, i::2, 1::2]) for i in (0, 1))
    return jnp.maximum(upper, lower)


def jax_step(size: int) -> Step:
    """The step in JAX, compiled as a whole; the memory of the old weights is given to the new ones."""
    import jax
    import jax.numpy as jnp

    images, labels = (jnp.asarray(array) for array in batch(size))
    images = images.reshape(size, SIDE, SIDE, 1)
    parameters = [jnp.array(p.numpy()) for p in model().parameters()]
    parameters[2] = jnp.array(channels_last(np.asarray(parameters[2]), FILTERS))
    state = parameters, [jnp.zeros_like(p) for p in parameters]

    def loss_function(parameters: Any, images: Any, labels: Any) -> Any:
        kernel, kernel_bias, w1, b1, w2, b2 = parameters
        layout = ("NHWC", "OIHW", "NHWC")
        x = jax.lax.conv_general_dilated(images, kernel, (1, 1), "VALID", dimension_numbers=layout)
        x = jax.nn.relu(jax_max_pool(x + kernel_bias))
        x = jax.nn.relu(x.reshape(size, -1) @ w1.T + b1)
        logits = jax.nn.log_softmax(x @ w2.T + b2)
        return -jnp.take_along_axis(logits, labels[:, None], axis=1).mean()

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(parameters: Any, velocities: Any, images: Any, labels: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_function)(parameters, images, labels)
        velocities = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocities, gradients)
        return loss, (jax.tree.map(lambda p, v: p - LR * v, parameters, velocities), velocities)

    def step() -> float:
        nonlocal state
        loss, state = update(*state, images, labels)
        return float(loss)

    return step


def contestants(size: int) -> Contestants:
    """All that are installed, by name."""
    return {"hand-written numpy": numpy_step(size), "minigrad": minigrad_step(size)} | installed({
        "PyTorch": ("torch", lambda: torch_step(size)),
        "JAX, jit": ("jax", lambda: jax_step(size)),
    })
