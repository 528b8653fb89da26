"""Examples of the operations of this package, for the tests that `minigrad.testing.strategies.calls` generates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minigrad import Tensor, value
from minigrad.arrays import Array
from minigrad.testing.strategies import each, register
from nn.functional.convolution import Geometry

LABELS, CHANCES = np.array([0, 2, 1, 2]), np.array([[0.5, 0.25, 0.25], [0, 1, 0], [0.125, 0.5, 0.375], [1, 0, 0]])
GEOMETRIES = [
    Geometry((2, 2)), Geometry((2, 3), (2, 1), (0, 1)), Geometry((1, 2), (1, 2)), Geometry((2, 2), (2, 2), (1, 1)),
    Geometry((2, 2), (1, 1), (1, 0), (2, 1)),
]
SQUARE = [geometry for geometry in GEOMETRIES if geometry.kernel == (2, 2)]
SIZE = (4, 3)  # rows and columns of images


def own_moments(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> tuple[Any, ...]:
    """Arguments of `normalized`: the moments are those of `x`."""
    data = np.asarray(value(x))
    axes = (0, *range(2, data.ndim))
    return x, weight, bias, data.mean(axes), (1 / np.sqrt(data.var(axes) + eps)).astype(data.dtype), eps


def shares_of(geometry: Geometry) -> list[Any]:
    """Weights of the places in a window: numbers, and an array with one for each window."""
    rows, columns = geometry.output(SIZE)
    varied: Array = np.cos(np.arange(2.0 * rows * columns * 2)).reshape(2, rows, columns, 2)
    return [0.5 - place if place else varied for place in range(geometry.kernel[0] * geometry.kernel[1])]


def dropped(p: float) -> Callable[..., tuple[Any, ...]]:
    """Arguments of `dropout`, the same elements zeroed by every call."""
    return lambda x: (x, p, True, np.random.default_rng(0))


register("linear", each([
    ((4, 3), (2, 3), (2,)), ((3,), (2, 3), (2,)), ((2, 2, 3), (2, 3), (2,)), ((0, 3), (2, 3), (2,)), ((4, 3), (5, 3)),
    ((2, 0), (3, 0), (3,)),
]))
register("flatten", each([((2, 3, 2),), ((2, 0),), ((2, 2, 3, 2),)], start_dim=[0, 1, -2], end_dim=[-1])
         | each([((2, 3, 2),), ((2, 2, 3, 2),)], start_dim=[0], end_dim=[1, 2]))
register("standardize", each([((4, 3), (3,), (3,)), ((2, 3, 4), (3, 1), (3, 1))], axes=[(-1,)], eps=[1e-5, 0.1])
         | each([((2, 2, 3), (2, 3), (2, 3))], axes=[(-2, -1)], eps=[1e-5, 0.1]))
register("normalized", each([((4, 3), (3,), (3,)), ((3, 2, 4), (2,), (2,)), ((2, 2, 3, 2), (2,), (2,))], own_moments))
register("cross_entropy",
         each([((4, 3),)], lambda x: (x, LABELS), weight=[None, [0.5, 1.0, 2.0]], ignore_index=[-100, 1],
              reduction=["none", "mean", "sum"], label_smoothing=[0.0, 0.25])
         | each([((4, 3),)], lambda x: (x, CHANCES), reduction=["none", "mean", "sum"], label_smoothing=[0.0, 0.25])
         | each([((3,),)], lambda x: (x, LABELS[1]))
         | each([((2, 3, 2),)], lambda x: (x, LABELS.reshape(2, 2))))
register("dropout", each([((6,),), ((3, 4),), ((0, 2),), ((),)], dropped(0.5)) | each([((3, 4),)], dropped(0.25)))
register("convolution", each([((2, 2, *SIZE), (3, 2, 2, 2), (3,))], geometry=SQUARE)
         | each([((2, 1, *SIZE), (2, 1, 2, 3))], lambda x, weight: (x, weight, None), geometry=GEOMETRIES[1:2])
         )
register("largest", each([((2, 2, *SIZE),)], geometry=GEOMETRIES[:4]))
register("input_gradient", st.sampled_from(GEOMETRIES).flatmap(
    lambda g: each([((2, 3, *g.output(SIZE)), (3, 2, *g.kernel))], size=[SIZE], geometry=[g])))
register("weight_gradient", st.sampled_from(GEOMETRIES).flatmap(
    lambda g: each([((2, 2, *SIZE), (2, 3, *g.output(SIZE)))], geometry=[g])))
register("weighted_sum", st.sampled_from(GEOMETRIES).flatmap(
    lambda g: each([((2, 2, *SIZE),)], shares=[shares_of(g)], geometry=[g])))
register("weighted_spread", st.sampled_from(GEOMETRIES).flatmap(
    lambda g: each([((2, 2, *g.output(SIZE)),)], shares=[shares_of(g)], size=[SIZE], geometry=[g])))
