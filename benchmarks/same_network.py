"""A training step of any network of `nn.fashion.models`, in minigrad and as PyTorch and JAX compute the same one.

Cross-entropy and SGD with momentum, from the same weights, without dropout.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import nn
from benchmarks.deep_cnn import EPS, NEW
from benchmarks.keras_cnn import LR, MOMENTUM
from benchmarks.step import Step, torch_twin, training_step
from benchmarks.timing import Contestants, installed
from nn.fashion.dataset import SIZE
from nn.fashion.models import Architecture, build

Averages = dict[str, Any]  # of batch norm: running mean and variance by the layer's name


def batch(size: int) -> tuple[Any, Any]:
    """Random images (size, 28, 28), and labels."""
    rng = np.random.default_rng(0)
    return rng.random((size, *SIZE), np.float32), rng.integers(0, 10, size)


def network(architecture: Architecture) -> nn.Module:
    """The network as it is trained, without dropout, always with the same weights."""
    nn.manual_seed(0)
    without = {"dropout": 0.0, "mirrored": False}
    return build({name: without.get(name, setting) for name, setting in architecture.items()})


def minigrad_step(architecture: Architecture, size: int) -> Step:
    """The step as a user writes it."""
    model = network(architecture)
    optimizer = nn.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    return training_step(model, nn.CrossEntropyLoss(), optimizer, *batch(size))


def torch_step(architecture: Architecture, size: int) -> Step:
    """The step in PyTorch, eager."""
    import torch

    model = torch_twin(network(architecture))
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    return training_step(model, torch.nn.CrossEntropyLoss(), optimizer, *map(torch.from_numpy, batch(size)))


def jax_step(architecture: Architecture, size: int) -> Step:
    """The step in JAX, compiled as a whole, with channels last; running averages are kept as the others keep them."""
    import jax
    import jax.numpy as jnp

    model = network(architecture)
    images, labels = map(jnp.asarray, batch(size))
    parameters = {name: jnp.array(p.numpy()) for name, p in model.named_parameters()}
    velocities = {name: jnp.zeros_like(p) for name, p in parameters.items()}
    averages = {name: jnp.array(b) for name, b in model.named_buffers() if not name.endswith("tracked")}
    state = parameters, velocities, averages

    def loss_function(parameters: Any, averages: Averages, images: Any, labels: Any) -> Any:
        x, new_averages = in_jax(model, "", images, parameters, averages)
        return -jnp.take_along_axis(jax.nn.log_softmax(x), labels[:, None], axis=1).mean(), new_averages

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


def in_jax(layer: Any, name: str, x: Any, parameters: Any, averages: Averages) -> tuple[Any, Averages]:
    """What a layer of this name makes of `x`, images with channels last, and the averages that it has changed."""
    import jax

    def nested(layers: Any, prefix: str, x: Any) -> tuple[Any, Averages]:
        changed: Averages = {}
        for key, inner in layers:
            x, more = in_jax(inner, f"{prefix}{key}", x, parameters, averages)
            changed |= more
        return x, changed

    def residual(x: Any) -> tuple[Any, Averages]:
        change, changed = nested([("module", layer.module)], f"{name}.", x)
        return x + change, changed

    def convolution(x: Any) -> Any:
        padding = [(side, side) for side in layer.padding]
        layout = ("NHWC", "OIHW", "NHWC")
        kernel = parameters[f"{name}.weight"]
        x = jax.lax.conv_general_dilated(x, kernel, layer.stride, padding, dimension_numbers=layout)
        return x + parameters[f"{name}.bias"] if layer.bias is not None else x

    def linear(x: Any) -> Any:
        x = x @ parameters[f"{name}.weight"].T
        return x + parameters[f"{name}.bias"] if layer.bias is not None else x

    def batch_norm(x: Any) -> tuple[Any, Averages]:
        axes, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
        mean, variance = x.mean(axes), x.var(axes)
        new = {f"{name}.running_mean": mean, f"{name}.running_var": variance * (count / (count - 1))}
        changed = {key: (1 - NEW) * averages[key] + NEW * value for key, value in new.items()}
        scale = jax.lax.rsqrt(variance + EPS) * parameters[f"{name}.weight"]
        return (x - mean) * scale + parameters[f"{name}.bias"], changed

    def max_pool(x: Any) -> Any:
        window = (1, layer.kernel_size, layer.kernel_size, 1)
        return jax.lax.reduce_window(x, -np.inf, jax.lax.max, window, window, "VALID")

    def flatten(x: Any) -> Any:  # channels first, as weights expect it
        return (x.transpose(0, 3, 1, 2) if x.ndim == 4 else x).reshape(len(x), -1)

    with_averages: dict[type[nn.Module], Callable[[Any], tuple[Any, Averages]]] = {
        nn.Sequential: lambda x: nested(enumerate(layer), f"{name}." if name else "", x), nn.Residual: residual,
        nn.BatchNorm1d: batch_norm, nn.BatchNorm2d: batch_norm,
    }
    without: dict[type[nn.Module], Callable[[Any], Any]] = {
        nn.Conv2d: convolution, nn.Linear: linear, nn.MaxPool2d: max_pool, nn.Flatten: flatten,
        nn.Unflatten: lambda x: x[..., None], nn.AdaptiveAvgPool2d: lambda x: x.mean((1, 2), keepdims=True),
        nn.ReLU: jax.nn.relu, nn.GELU: partial(jax.nn.gelu, approximate=False), nn.Dropout: lambda x: x,
    }
    kind = type(layer)
    return with_averages[kind](x) if kind in with_averages else (without[kind](x), {})


def contestants(architecture: Architecture, size: int) -> Contestants:
    """All that are installed, by name."""
    return {"minigrad": minigrad_step(architecture, size)} | installed({
        "PyTorch": ("torch", lambda: torch_step(architecture, size)),
        "JAX, jit": ("jax", lambda: jax_step(architecture, size)),
    })
