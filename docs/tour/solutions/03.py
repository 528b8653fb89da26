"""Solutions of chapter 3."""

import numpy as np

import minigrad as mg
from minigrad.show import trace
from minigrad.show.steps import Contribution
from minigrad.testing import gradcheck

# 1. The result has shape (2, 4, 3). x was repeated along axis 1; w was given an axis 0 and repeated along the last one;
#    b was given all three axes.
x, w, b = (mg.tensor(np.ones(shape), requires_grad=True) for shape in ((2, 1, 3), (4, 1), ()))
with trace() as seen:
    y = x * w + b
    y.backward(np.ones(y.shape))
axes = {
    seen.tensors[seen.edges[step.edge].source].name: step.axes for step in seen.steps if isinstance(step, Contribution)
}
assert (axes["x"], axes["w"], axes["b"]) == ((1,), (0, 2), (0, 1, 2))

# 2. Each of the n rows has the n-th part.
gradcheck(
    lambda x: x.mean(axis=0),
    np.random.default_rng(0).standard_normal((4, 3)),
    gradient=lambda x, cotangent: np.broadcast_to(cotangent / len(x), x.shape).copy(),
)


# 3.
def half(gradient, shape):
    """Sums the axes in front only."""
    return gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))


assert half(np.ones((4, 3)), (3,)).shape == (3,)  # right: an axis was added in front
assert half(np.ones((4, 3)), (4, 1)).shape != (4, 1)  # wrong: an axis of length 1 was repeated
