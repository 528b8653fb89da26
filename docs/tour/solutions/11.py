"""Solutions of chapter 11."""

import numpy as np

import minigrad as mg
from minigrad import record, value
from minigrad.testing import gradcheck

rng = np.random.default_rng(0)
rows, labels = np.arange(128), rng.integers(0, 10, 128)


# 1. The gradient of log Σ exp(z) - z[label] is softmax(z), minus 1 at the label.
def composed(logits):
    raised = mg.exp(logits - logits.max(axis=1, keepdims=True))
    return -mg.log((raised / raised.sum(axis=1, keepdims=True))[rows, labels]).mean()


def fused(logits):
    z = value(logits)
    shifted = z - z.max(axis=1, keepdims=True)
    data = (np.log(np.exp(shifted).sum(axis=1)) - shifted[rows, labels]).mean()
    target = np.eye(10, dtype=z.dtype)[labels]
    return record(fused, data, (logits, lambda grad, out: grad / 128 * (mg.softmax(logits, axis=1) - target)))


logits = rng.standard_normal((128, 10))
gradcheck(fused, logits)
x = mg.tensor(logits, requires_grad=True)
assert np.allclose(mg.grad(fused)(x).numpy(), mg.grad(composed)(x).numpy())
many, one = mg.memory(composed(x)), mg.memory(fused(x))
assert (many.nodes, one.nodes) == (9, 1)
assert one.bytes < many.bytes / 2

# 2. In the last step of the backward pass, d1 @ w1.T: as many as the first layer forwards.
assert 128 * 784 * 256 == 25_690_112

# 3. An array, or one of NumPy's own numbers, of float64 does; a number of Python's does not.
x = mg.tensor(np.ones(3, np.float32))
assert (x * 0.5).dtype == x.mean().dtype == np.float32
assert (x * np.float64(0.5)).dtype == (x + np.ones(3)).dtype == np.float64
