"""Random sequences of everything one can do with a graph, against a naive engine that shares no idea with ours."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

import minigrad as mg

BINARY = {
    "add": (mg.add, lambda a, b: a + b, lambda a, b: (np.ones(3), np.ones(3))),
    "multiply": (mg.multiply, lambda a, b: a * b, lambda a, b: (b, a)),
    "subtract": (mg.subtract, lambda a, b: a - b, lambda a, b: (np.ones(3), -np.ones(3))),
}
UNARY = {
    "tanh": (mg.tanh, np.tanh, lambda a: 1 - np.tanh(a) ** 2),
    "negative": (mg.negative, np.negative, lambda a: -np.ones(3)),
    "halve": (lambda a: a / 2, lambda a: a / 2, lambda a: np.full(3, 0.5)),
}


class Naive:
    """A node of the naive engine: a value, and for each parent the local slopes. Gradients go down by recursion."""

    def __init__(self, value, requires, parents=()):
        self.value, self.requires = value, requires
        self.parents = [(p, slope) for p, slope in parents if p.requires] if requires else []
        self.is_leaf = not self.parents
        self.grad = None
        self.freed = self.retains = False
        self.scales = []

    def below(self):
        """This node and all it was computed from, once each, itself last."""
        found = []
        for parent, _ in self.parents:
            found += [node for node in parent.below() if node not in found]
        return [*found, self]

    def backward(self, cotangent, retain):
        nodes = self.below()
        if any(node.freed for node in nodes):
            raise RuntimeError
        total = {node: np.zeros(3) for node in nodes}
        total[self] = cotangent
        for node in reversed(nodes):
            for scale in node.scales:
                total[node] = total[node] * scale
            if node.is_leaf:
                node.grad = total[node] if node.grad is None else node.grad + total[node]
            elif node.retains:
                node.grad = total[node]
            for parent, slope in node.parents:
                total[parent] = total[parent] + total[node] * slope
        for node in nodes:
            if not (retain or node.is_leaf):
                node.freed, node.parents = True, []


class Engines(RuleBasedStateMachine):
    """Both engines side by side; a node is a pair of a tensor and its naive counterpart."""

    nodes = Bundle("nodes")

    def __init__(self):
        super().__init__()
        self.pairs = []
        self.hooks = []

    def pair(self, tensor, naive):
        self.pairs.append((tensor, naive))
        return tensor, naive

    @rule(target=nodes, values=st.tuples(*[st.integers(-2, 2)] * 3), requires=st.booleans())
    def leaf(self, values, requires):
        array = np.array(values, float)
        return self.pair(mg.tensor(array, requires_grad=requires), Naive(array, requires))

    @rule(target=nodes, name=st.sampled_from(sorted(BINARY)), a=nodes, b=nodes, recorded=st.booleans())
    def binary(self, name, a, b, recorded):
        function, value, slopes = BINARY[name]
        x, y = a[1].value, b[1].value
        if np.abs(value(x, y)).max() > 1e3:
            return a
        with mg.enable_grad() if recorded else mg.no_grad():
            tensor = function(a[0], b[0])
        to_a, to_b = slopes(x, y)
        requires = recorded and (a[1].requires or b[1].requires)
        return self.pair(tensor, Naive(value(x, y), requires, [(a[1], to_a), (b[1], to_b)]))

    @rule(target=nodes, name=st.sampled_from(sorted(UNARY)), a=nodes)
    def unary(self, name, a):
        function, value, slope = UNARY[name]
        x = a[1].value
        return self.pair(function(a[0]), Naive(value(x), a[1].requires, [(a[1], slope(x))]))

    @rule(target=nodes, a=nodes)
    def detach(self, a):
        return self.pair(a[0].detach(), Naive(a[1].value, False))

    @rule(a=nodes)
    def retain(self, a):
        if a[1].requires:
            a[0].retain_grad()
            a[1].retains = True

    @rule(a=nodes, scale=st.sampled_from([2.0, -1.0, 0.0]))
    def hook(self, a, scale):
        if a[1].requires:
            handle = a[0].register_hook(lambda gradient: gradient * scale)
            a[1].scales.append(scale)
            self.hooks.append((handle, a[1], scale))

    @rule(data=st.data())
    def remove_hook(self, data):
        if self.hooks:
            handle, naive, scale = self.hooks.pop(data.draw(st.integers(0, len(self.hooks) - 1)))
            handle.remove()
            naive.scales.remove(scale)

    @rule(a=nodes)
    def forget_gradient(self, a):
        a[0].grad = a[1].grad = None

    @rule(a=nodes, cotangent=st.tuples(*[st.integers(-2, 2)] * 3), retain=st.booleans())
    def backward(self, a, cotangent, retain):
        cotangent = np.array(cotangent, float)
        if not a[1].requires:
            with pytest.raises(RuntimeError, match="requires no gradient"):
                a[0].backward(cotangent)
            return
        try:
            a[1].backward(cotangent, retain)
        except RuntimeError:
            with pytest.raises(RuntimeError, match="was freed by"):
                a[0].backward(cotangent, retain_graph=retain)
        else:
            a[0].backward(cotangent, retain_graph=retain)

    @invariant()
    def values_and_gradients_agree(self):
        for tensor, naive in self.pairs:
            np.testing.assert_allclose(tensor.numpy(), naive.value, rtol=1e-12, atol=1e-12)
            assert (tensor.grad is None) == (naive.grad is None)
            if naive.grad is not None:
                np.testing.assert_allclose(tensor.grad.numpy(), naive.grad, rtol=1e-9, atol=1e-9)


class TestEngines(Engines.TestCase):
    settings = settings(stateful_step_count=25, deadline=None)
