"""The whole idea of minigrad, in one file that runs.

A result remembers which inputs it was computed from, and for each input a rule: how the gradient with respect to the
result becomes the gradient with respect to that input. Going from the newest result to the oldest, every gradient is
complete before it is handed on, since whatever uses a tensor was recorded after it.

minigrad itself records, orders and sweeps just so; the test suite holds it to these gradients, bit for bit.
"""

from itertools import count

import numpy as np

clock = count()


class Tensor:
    """An array that remembers how it was made: `edges` are pairs of an input and the rule for it."""

    def __init__(self, data, *edges):
        self.data, self.edges, self.time = np.asarray(data), edges, next(clock)

    def __add__(self, other):
        return add(self, other)

    def __mul__(self, other):
        return multiply(self, other)


# Operations: the value, then for each input how a gradient flows back to it.


def add(a, b):
    return Tensor(a.data + b.data,
                  (a, lambda grad, out: grad),
                  (b, lambda grad, out: grad))


def multiply(a, b):
    return Tensor(a.data * b.data,
                  (a, lambda grad, out: grad * b),
                  (b, lambda grad, out: grad * a))


def exp(x):
    return Tensor(np.exp(x.data), (x, lambda grad, out: grad * out))


def broadcast(x, shape):
    """Repeat `x` until it has this shape. Backwards, what was repeated is summed."""
    return Tensor(np.broadcast_to(x.data, shape), (x, lambda grad, out: unbroadcast(grad, x.data.shape)))


def unbroadcast(x, shape):
    """Sum `x` over the axes along which broadcasting repeats an array of this shape. Backwards, a sum repeats."""
    added = x.data.ndim - len(shape)
    axes = (*range(added), *(added + i for i, n in enumerate(shape) if n != x.data.shape[added + i]))
    return Tensor(x.data.sum(axes).reshape(shape), (x, lambda grad, out: broadcast(grad, x.data.shape)))


# The backward pass.


def gradients(result, *inputs):
    """The gradients of the sum of `result`'s elements with respect to each of `inputs`.

    `pending` has what has arrived so far, `found` what is complete, of every tensor; gradients are tensors with edges.
    """
    pending, found = {result: Tensor(np.ones_like(result.data))}, {}
    while pending:
        newest = max(pending, key=lambda tensor: tensor.time)
        found[newest] = grad = pending.pop(newest)
        for parent, rule in newest.edges:
            contribution = rule(grad, newest)
            if contribution.data.shape != parent.data.shape:
                contribution = unbroadcast(contribution, parent.data.shape)
            pending[parent] = pending[parent] + contribution if parent in pending else contribution
    return [found[x] for x in inputs]


if __name__ == "__main__":
    x, w = Tensor([1.0, 2.0, 3.0]), Tensor(0.5)
    y = exp(w * x)  # w is repeated for each element of x
    dx, dw = gradients(y, x, w)
    print("dy/dx  ", dx.data)  # w exp(w x)
    print("dy/dw  ", dw.data)  # the sum of x exp(w x)
    print("d2y/dw2", gradients(dw, w)[0].data)  # the sum of x^2 exp(w x)
