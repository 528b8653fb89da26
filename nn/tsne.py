"""A map of points in many dimensions: t-SNE, its gradient by the engine.

Source: van der Maaten and Hinton, Visualizing Data using t-SNE, Journal of Machine Learning Research 9, 2008.
"""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg
from minigrad.arrays import numeric_array
from nn.functional.settings import real, whole

Array = npt.NDArray[np.float32]

EXAGGERATION = 12.0  # as many times nearer the points are at first, so that groups find each other


def tsne(points: npt.NDArray[Any], perplexity: float = 30.0, steps: int = 500, seed: int = 0) -> Array:
    """(n, 2) a place on a map for each of (n, features) points, so that near points are near each other.

    Starts from the two main directions of the points, as scikit-learn does, so the same points give the same map; takes
    memory for a few arrays of n x n numbers.

    Args:
        perplexity: how many neighbours a point has, about; from 1 to less than a third of n.
        steps: of gradient descent, a quarter of them exaggerated.
        seed: of the noise that moves points apart which are the same.

    Raises:
        ValueError: if there are too few points for the perplexity, they are no matrix of finite numbers, or a setting
            is out of its range.

    >>> two = np.concatenate([np.zeros((10, 5)), np.ones((10, 5))]) + np.eye(20, 5) / 10
    >>> tsne(two, perplexity=5, steps=200).shape
    (20, 2)
    """
    perplexity, steps = real("tsne", "perplexity", perplexity, 1, below=inf), whole("tsne", "steps", steps, 0)
    points = numeric_array(points, np.float64)
    if points.ndim != 2 or points.shape[1] == 0 or not np.isfinite(points).all():
        raise ValueError(f"tsne expects (n, features) finite numbers, got shape {points.shape}")
    if len(points) <= 3 * perplexity:
        least = f"more than {3 * perplexity:g} points for a perplexity of {perplexity:g}"
        raise ValueError(f"tsne expects {least}, got {len(points)}")
    points = np.ldexp(points, -np.frexp(np.abs(points).max())[1])  # else squares of some overflow, or vanish
    near = neighbourhoods(points, perplexity)
    places = starting_places(points, seed)
    gradient = mg.grad(divergence)
    rate, exaggerated = max(len(points) / EXAGGERATION / 4, 50), steps // 4
    gains, velocity = np.ones_like(places), np.zeros_like(places)
    for step in range(steps):
        slope = gradient(mg.tensor(places), near if step >= exaggerated else EXAGGERATION * near).numpy()
        against = slope * velocity < 0  # still on its way down: faster; else slower (Jacobs, 1988)
        gains = np.maximum(np.where(against, gains + 0.2, 0.8 * gains), 0.01).astype(np.float32)
        velocity = (0.5 if step < exaggerated else 0.8) * velocity - rate * gains * slope
        places = places + velocity
    centred: Array = places - places.mean(0)
    return centred


def divergence(places: mg.Tensor, near: Array) -> mg.Tensor:
    """The Kullback-Leibler divergence of how near points are on the map from how near they are, but for a constant.

    On the map, points at a squared distance d are as near as 1 / (1 + d), a share of the sum over all pairs.
    """
    d = squared_distances(places)
    pairs = (1 - np.eye(len(near), dtype=near.dtype)) / (1 + d)  # to subtract each point's own 1 would leave rounding
    cost: mg.Tensor = (near * mg.log1p(d)).sum() + mg.log(pairs.sum())
    return cost


def squared_distances(points: Any) -> Any:
    """(n, n), of tensors or arrays (n, features); up to rounding, which makes none of them negative."""
    squares = (points * points).sum(1)
    return np.maximum(squares[:, None] + squares - 2 * (points @ points.T), 0)


def neighbourhoods(points: npt.NDArray[np.float64], perplexity: float) -> Array:
    """(n, n) how near each is to each, all together 1: normal densities as wide as `perplexity` neighbours need.

    Those beyond three times as many are not looked at.
    """
    distances = squared_distances(points)
    np.fill_diagonal(distances, np.inf)  # nobody is its own neighbour
    nearest = np.argpartition(distances, int(3 * perplexity) - 1)[:, : int(3 * perplexity)]
    d = np.take_along_axis(distances, nearest, 1)
    d -= d.min(1, keepdims=True)
    narrow = 1 / np.maximum(d.mean(1, keepdims=True), 1e-30)
    for halving in range(40):  # a bisection for each point
        p = np.exp(-narrow * d)
        p /= p.sum(1, keepdims=True)
        entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(1, keepdims=True)
        narrow *= 64 ** np.where(entropy > np.log(perplexity), 0.5**halving, -(0.5**halving))
    near = np.zeros(distances.shape, np.float32)
    np.put_along_axis(near, nearest, np.asarray(p / (2 * len(p)), np.float32), 1)
    return near + near.T


def starting_places(points: npt.NDArray[np.float64], seed: int) -> Array:
    """(n, 2) the points seen along their two main directions, very small."""
    centred = points - points.mean(0)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(1)])  # else a matter of the machine
    seen = np.zeros((len(points), 2))
    seen[:, : len(sizes)] = (left * sizes * signs)[:, :2]
    noise = np.random.default_rng(seed).normal(0, 1e-6, seen.shape)
    return np.asarray(1e-4 * seen / max(seen[:, 0].std(), np.finfo(np.float64).tiny) + noise, np.float32)
