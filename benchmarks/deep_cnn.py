"""One training step of a deeper convolutional network with batch norm: cross-entropy, SGD with momentum.

Three blocks of a 3x3 convolution without bias, batch norm, max pooling by 2 and ReLU, with 32, 64 and 128 channels, and
a linear layer 1152 -> 10. Nobody writes this by hand.
"""

from __future__ import annotations

import sys
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

import nn
from benchmarks.jobs import can_begin, make_steps, step_of_job
from benchmarks.keras_cnn import LR, MOMENTUM, batch, channels_last, jax_max_pool
from benchmarks.step import Step, torch_twin, training_step
from benchmarks.timing import Contestants, installed
from nn.parallel import data_parallel

CHANNELS = (1, 32, 64, 128)
FEATURES = CHANNELS[-1] * 3 * 3
EPS, NEW = 1e-5, 0.1  # of batch norm: added to the variance, and the weight of a batch in the running averages


def model() -> nn.Sequential:
    """The network, always with the same weights."""
    nn.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(CHANNELS):
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.MaxPool2d(2), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(FEATURES, 10))


def minigrad_step(size: int) -> Step:
    """The step as a user writes it."""
    images, labels = batch(size)
    network, loss_function = model(), nn.CrossEntropyLoss()
    optimizer = nn.optim.SGD(network.parameters(), lr=LR, momentum=MOMENTUM)
    return training_step(network, loss_function, optimizer, images, labels)


def parallel_step(size: int, workers: int = 2) -> Step:
    """The same with half of the batch in each of two threads; batch norm normalises each half by itself."""
    images, labels = batch(size)
    network, loss_function = model(), nn.CrossEntropyLoss()
    optimizer = nn.optim.SGD(network.parameters(), lr=LR, momentum=MOMENTUM)

    def step() -> float:
        optimizer.zero_grad()
        with data_parallel(network, loss_function, workers) as backward:  # anew: others use all threads for products
            loss = backward(images, labels)
        optimizer.step()
        return loss

    return step


def part_step(size: int) -> Step:
    """The same on this process's part of the batch; the loss is that of all."""
    images, labels = (np.array_split(array, nn.distributed.size())[nn.distributed.rank()] for array in batch(size))
    network, loss_function = model(), nn.CrossEntropyLoss()
    optimizer = nn.optim.SGD(network.parameters(), lr=LR, momentum=MOMENTUM)
    average = nn.distributed.GradientAverage(network)

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_function(network(images), labels)
        loss.backward()
        batch_loss = average(loss, len(labels))
        optimizer.step()
        return batch_loss

    return step


def distributed_step(size: int, count: int = 2) -> Step:
    """The same in so many processes, which begin now; batch norm normalises each part by itself."""
    return step_of_job(count, "benchmarks.deep_cnn", str(size))


def torch_step(size: int) -> Step:
    """The step in PyTorch, eager."""
    import torch

    network = torch_twin(model())
    optimizer = torch.optim.SGD(network.parameters(), lr=LR, momentum=MOMENTUM)
    return training_step(network, torch.nn.CrossEntropyLoss(), optimizer, *map(torch.from_numpy, batch(size)))


def jax_step(size: int) -> Step:
    """The step in JAX, compiled as a whole, with channels last; running averages are kept as the others keep them."""
    import jax
    import jax.numpy as jnp

    images, labels = (jnp.asarray(array) for array in batch(size))
    images = images.reshape(size, *images.shape[2:], 1)
    *convolutions, weight, bias = [p.numpy() for p in model().parameters()]
    parameters = [jnp.array(p) for p in (*convolutions, channels_last(weight, CHANNELS[-1]), bias)]
    velocities = [jnp.zeros_like(p) for p in parameters]
    averages = [(jnp.zeros(channels), jnp.ones(channels)) for channels in CHANNELS[1:]]
    state = parameters, velocities, averages

    def loss_function(parameters: Any, averages: Any, x: Any, labels: Any) -> Any:
        new_averages = []
        blocks = zip(parameters[:-2:3], parameters[1:-2:3], parameters[2:-2:3], averages, strict=True)
        for kernel, scale, shift, (running_mean, running_variance) in blocks:
            layout = ("NHWC", "OIHW", "NHWC")
            x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)
            mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
            unbiased = variance * (x[..., 0].size / (x[..., 0].size - 1))
            new_averages.append(((1 - NEW) * running_mean + NEW * mean, (1 - NEW) * running_variance + NEW * unbiased))
            x = (x - mean) * (jax.lax.rsqrt(variance + EPS) * scale) + shift
            x = jax.nn.relu(jax_max_pool(x))
        logits = jax.nn.log_softmax(x.reshape(size, -1) @ parameters[-2].T + parameters[-1])
        return -jnp.take_along_axis(logits, labels[:, None], axis=1).mean(), new_averages

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def update(parameters: Any, velocities: Any, averages: Any, images: Any, labels: Any) -> Any:
        differentiated = jax.value_and_grad(loss_function, has_aux=True)
        (loss, averages), gradients = differentiated(parameters, averages, images, labels)
        velocities = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocities, gradients)
        return loss, (jax.tree.map(lambda p, v: p - LR * v, parameters, velocities), velocities, averages)

    def step() -> float:
        nonlocal state
        loss, state = update(*state, images, labels)
        return float(loss)

    return step


def contestants(size: int, parallel: bool = False) -> Contestants:
    """All that are installed, by name; on request with those on half batches, which make something a bit else."""
    ours = {"minigrad": minigrad_step(size)}
    if parallel:
        ours["minigrad, `workers=2`"] = parallel_step(size)
    if parallel and can_begin():
        ours["minigrad, 2 processes"] = distributed_step(size)
    return ours | installed({
        "PyTorch": ("torch", lambda: torch_step(size)),
        "JAX, jit": ("jax", lambda: jax_step(size)),
    })


if __name__ == "__main__":  # in each process of `distributed_step`
    make_steps(part_step(int(sys.argv[2])), port=sys.argv[1])
