"""Solutions of chapter 4."""

import numpy as np

import minigrad as mg
from minigrad.graph import Pending
from minigrad.show import trace
from minigrad.show.steps import Contribution

# 1. Three: one for each place in which x stands. The last product is the newest, so the slope by its second factor
#    arrives first; then that through the sum; then that through the first product.
x, y = mg.tensor(2.0, requires_grad=True), mg.tensor(5.0, requires_grad=True)
with trace() as seen:
    product = x * y
    total = product + x
    z = total * x
    z.backward()
arrivals = [seen.edges[step.edge] for step in seen.steps if isinstance(step, Contribution)]
arrivals = [edge for edge in arrivals if seen.tensors[edge.source].name == "x"]
assert [seen.tensors[edge.target].name for edge in arrivals] == ["z", "total", "product"]
assert [edge.position for edge in arrivals] == [1, 1, 0]
assert x.grad.item() == (2 * 5 + 2) + 2 + 2 * 5


# 2.
def all_gradients(result):
    """The gradient of every recorded tensor that `result`, one number, was computed from, and of the leaves."""
    pending, found = Pending([(result, mg.tensor(np.ones(result.shape)))], create_graph=False), {}
    with mg.no_grad():
        for tensor in reversed(mg.topological_order(result)):
            found[tensor] = grad = pending.take(tensor)
            for parent, rule in tensor._edges:
                pending.add(parent, rule(grad, tensor))
        return found | pending.complete(None)


product = x * y
total = product + x
z = total * x
by_hand = all_gradients(z)
x.grad = y.grad = None
for tensor in (product, total, z):
    tensor.retain_grad()
z.backward()
assert all(by_hand[tensor].item() == tensor.grad.item() for tensor in (x, y, product, total, z))


# 3.
class Eager(Pending):
    """Adds in place, whoever else holds the array."""

    def add(self, tensor, gradient):
        if tensor in self.gradients:
            self.gradients[tensor].data[...] += gradient.data
        else:
            self.gradients[tensor] = gradient


def swept(kind, result, gradient):
    """The gradients of the leaves, found with one kind of `Pending` or another."""
    pending = kind([(result, mg.tensor(gradient))], create_graph=False)
    with mg.no_grad():
        for tensor in reversed(mg.topological_order(result)):
            grad = pending.take(tensor)
            for parent, rule in tensor._edges:
                pending.add(parent, rule(grad, tensor))
        return pending.complete(None)


def agree(result):
    """Whether both kinds find the same."""
    right, eager = (swept(kind, result, np.ones(2)) for kind in (Pending, Eager))
    return all(np.array_equal(right[x].numpy(), eager[x].numpy()) for x in right)


a, b, c = (mg.tensor([1.0, 2.0], requires_grad=True) for _ in range(3))
assert not agree((a + b) + a)  # what arrives at a first is the array that arrives at a + b, and then at b
assert agree((a + b) + c)  # the same array is everywhere, but nothing is added to it
assert agree((a + b) * a)  # `*` makes a new array for each factor: nobody else holds what arrives at a first
