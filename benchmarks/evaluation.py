"""Mean loss and accuracy of the default network on images of bytes, which are standardised batch by batch."""

from __future__ import annotations

from typing import Any

import numpy as np

import nn
from benchmarks.mlp import SIZES, model
from benchmarks.step import torch_twin
from benchmarks.timing import Contestant, Contestants, installed
from nn.fashion.dataset import MEAN, STD
from nn.learner import evaluate

BATCH = 1000


def data(images: int) -> tuple[Any, Any]:
    """Random images (images, 28, 28) of bytes, and labels."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (images, 28, 28), np.uint8), rng.integers(0, 10, images)


def minigrad_evaluation(images: int) -> Contestant:
    """As `Classifier.evaluate` does it."""
    network, loss_function = model(), nn.CrossEntropyLoss()
    loader = nn.DataLoader(data(images), BATCH, transform=nn.data.Normalize(MEAN, STD))

    def evaluation() -> tuple[float, float]:
        result = evaluate(network, loss_function, loader)
        return result.loss, result.accuracy

    return evaluation


def numpy_evaluation(images: int) -> Contestant:
    """Written by hand for this network alone, into arrays that are allocated once."""
    pixels, labels = data(images)
    weights = [p.numpy() for p in model().parameters()]
    layers = list(zip(weights[::2], weights[1::2], strict=True))
    standardised = np.empty((BATCH, SIZES[0]), np.float32)
    outputs = [np.empty((BATCH, width), np.float32) for width in SIZES[1:]]
    scale, shift = np.float32(1 / (255 * STD)), np.float32(-MEAN / STD)

    def evaluation() -> tuple[float, float]:
        total, right = 0.0, 0
        for start in range(0, images, BATCH):
            chosen, truth = pixels[start : start + BATCH].reshape(-1, SIZES[0]), labels[start : start + BATCH]
            h = standardised[: len(truth)]
            np.multiply(chosen, scale, out=h)
            h += shift
            for (weight, bias), memory in zip(layers, outputs, strict=True):
                h = np.matmul(h, weight.T, out=memory[: len(truth)])
                h += bias
                if memory is not outputs[-1]:
                    np.maximum(h, 0, out=h)
            right += int(np.count_nonzero(h.argmax(1) == truth))
            h -= h.max(1, keepdims=True)
            of_truth = h[np.arange(len(truth)), truth]
            total += float((np.log(np.exp(h, out=h).sum(1)) - of_truth).sum())
        return total / images, right / images

    return evaluation


def torch_evaluation(images: int) -> Contestant:
    """In PyTorch, in inference mode."""
    import torch

    pixels, labels = (torch.from_numpy(array) for array in data(images))
    network = torch.nn.Sequential(torch.nn.Flatten(), torch_twin(model()).eval())
    loss_function = torch.nn.CrossEntropyLoss(reduction="sum")

    def evaluation() -> tuple[float, float]:
        total, right = 0.0, 0
        with torch.inference_mode():
            for chosen, truth in zip(pixels.split(BATCH), labels.split(BATCH), strict=True):
                logits = network(chosen.float().mul_(1 / (255 * STD)).add_(-MEAN / STD))
                total += loss_function(logits, truth).item()
                right += (logits.argmax(1) == truth).sum().item()
        return total / images, right / images

    return evaluation


def jax_evaluation(images: int) -> Contestant:
    """In JAX, compiled for one batch."""
    import jax
    import jax.numpy as jnp

    pixels, labels = data(images)
    weights = [jnp.array(p.numpy()) for p in model().parameters()]
    layers = list(zip(weights[::2], weights[1::2], strict=True))

    def evaluate_batch(layers: Any, chosen: Any, truth: Any) -> Any:
        h = (chosen.reshape(len(chosen), -1).astype(jnp.float32) / 255 - MEAN) / STD
        for i, (weight, bias) in enumerate(layers):
            h = h @ weight.T + bias
            if i < len(layers) - 1:
                h = jax.nn.relu(h)
        losses = -jnp.take_along_axis(jax.nn.log_softmax(h), truth[:, None], axis=1)
        return losses.sum(), (h.argmax(1) == truth).sum()

    compiled = jax.jit(evaluate_batch)

    def evaluation() -> tuple[float, float]:
        batches = [compiled(layers, pixels[start : start + BATCH], labels[start : start + BATCH])
                   for start in range(0, images, BATCH)]
        return sum(float(loss) for loss, _ in batches) / images, sum(int(right) for _, right in batches) / images

    return evaluation


def contestants(images: int) -> Contestants:
    """All that are installed, by name."""
    return {"hand-written numpy": numpy_evaluation(images), "minigrad": minigrad_evaluation(images)} | installed({
        "PyTorch": ("torch", lambda: torch_evaluation(images)),
        "JAX, jit": ("jax", lambda: jax_evaluation(images)),
    })
