"""Wrong gradients, each of which is found, and right ones that are hard on numbers, none of which is blamed.

A row is a function, the point, and where needed the options of `gradcheck`; its name says what it is.
"""

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad import record, value
from minigrad.testing import GradientError, Verdict, gradcheck, gradient_report

RNG = np.random.default_rng(12)
V = np.array([0.5, -1.25, 2.0, 0.75])
M = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.5]])
S = np.array([[2.0, -0.5, 0.25], [0.75, 1.5, -1.0], [0.5, 0.25, 3.0]])
BIG = RNG.standard_normal((40, 50))
TIED = np.array([3.0, 1.0, 3.0, 2.0])


def unary(forward, rule):
    """An operation of one tensor: its rule gets the cotangent, the input as a tensor, and the output."""

    def mine(x):
        x = mg.as_tensor(x)
        return record(mine, forward(x.data), (x, lambda grad, out: rule(grad, x, out)))

    return mine


def binary(forward, rule_a, rule_b):
    """An operation of two tensors: its rules get the cotangent and both inputs as tensors."""

    def mine(a, b):
        a, b = mg.as_tensor(a), mg.as_tensor(b)
        return record(mine, forward(a.data, b.data),
                      (a, lambda grad, out: rule_a(grad, a, b)),
                      (b, lambda grad, out: rule_b(grad, a, b)))

    return mine


def raw(array):
    """An array as a tensor with no history, as rules that compute in plain NumPy return it."""
    return mg.tensor(np.asarray(array))


def cached_by_shape():
    """A square whose rule remembers 2·x by the shape of x."""
    cache = {}
    return unary(np.square, lambda g, x, out: g * cache.setdefault(x.shape, 2 * x.data))


def cached_mask():
    """A ReLU that remembers which elements were positive."""
    cache = {}
    return unary(lambda x: x * np.maximum(x, 0), lambda g, x, out: 2 * g * cache.setdefault(x.shape, mg.relu(x).data))


def cached_hand_written():
    cache = {}
    return lambda x: cache.setdefault("slope", np.cos(x))


def stale_after_calls(calls):
    """Right for some calls, and remembering from then on."""
    seen = []

    def rule(g, x, out):
        seen.append(2 * x.data)
        return g * (seen[-1] if len(seen) < calls else seen[0])

    return unary(np.square, rule)


def drifting():
    """Each call multiplies the gradient by a little more."""
    calls = []

    def rule(g, x, out):
        calls.append(1)
        return g * 2 * x * (1 + 1e-3 * len(calls))

    return unary(np.square, rule)


def remembers_first_input():
    """The rule sees the input of the first call ever."""
    first = []

    def rule(g, x, out):
        first.append(x.data.copy())
        return g * np.exp(first[0])

    return unary(np.exp, rule)


def doubling_saved():
    def mine(x):
        saved = np.cos(value(x))

        def rule(grad, out):
            saved[...] *= 2
            return grad * (saved / 2)

        return record(mine, np.sin(value(x)), (x, rule))

    return mine


def doubling_cotangent(x):
    def rule(grad, out):
        grad.data[...] *= 2
        return grad

    return record(doubling_cotangent, 2 * value(x), (x, rule))


def sine_that_spoils_its_cotangent(x):
    def rule(grad, out):
        result = grad * mg.cos(x)
        grad.data[...] = 0
        return result

    return record(sine_that_spoils_its_cotangent, np.sin(value(x)), (x, rule))


def halved_in_float32(x):
    x = mg.as_tensor(x)
    factor = 0.5 if x.dtype == np.float32 else 1.0
    return record(halved_in_float32, np.sin(x.data), (x, lambda grad, out: grad * mg.cos(x) * factor))


sine_in_plain_numpy = unary(np.sin, lambda g, x, out: raw(np.cos(x.data) * g.data))
STAIRS = [V, np.array([1.0, 2.0])]  # of what is wrong, and of what rounding spoils


def same_array_twice(a, b, c):
    total = c + 0.0
    return total, total


def writes_into_input(x):
    y = mg.sin(x)
    x.numpy()[...] += 1
    return y


def mean_wrong_axis(x):
    return record(mean_wrong_axis, value(x).mean(0),
                  (x, lambda grad, out: mg.broadcast_to(grad / x.shape[1], x.shape)))


def layer_norm_without_mean_term(x):
    """The derivative of x - mean(x) taken for that of x."""
    return unary(lambda x: x - x.mean(-1, keepdims=True), lambda g, x, out: g * 1.0)(x)


def softmax_diagonal(x):
    """The terms between different classes dropped."""

    def forward(x):
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    return unary(forward, lambda g, x, out: g * out * (1 - out))(x)


def largest_of_tied(x):
    tied = (value(x) == value(x).max()).astype(x.dtype)
    return record(largest_of_tied, value(x).max(), (x, lambda grad, out: grad * tied))


def minimum_all_to_both(a, b):
    return binary(np.minimum, lambda g, a, b: g * (a.data <= b.data), lambda g, a, b: g * (b.data <= a.data))(a, b)


class Unused(nn.Module):
    def __init__(self):
        self.weight, self.bias = nn.Parameter(np.ones(4)), nn.Parameter(np.ones(4))

    def forward(self, x):
        return x * self.weight + self.bias.data


class Forgotten(nn.Module):
    """One weight of a larger model learns from half of its gradient."""

    def __init__(self):
        self.first, self.second = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, x):
        hidden = mg.tanh(self.first(x))
        return self.second(hidden) + (self.second(hidden) - self.second(hidden).detach()) * np.array([0.0, 1.0])


def straight_through(x):
    return unary(np.round, lambda g, x, out: g * 1.0)(x)


def all_distances(x):
    return float(np.abs(x[:, None] - x).sum())


WRONG = {
    # ------------------------------------------------------------------ factors, signs, terms
    "a factor of a thousandth too much": (unary(np.sin, lambda g, x, out: g * mg.cos(x) * 1.001), [V]),
    "a millionth too much": (unary(np.sin, lambda g, x, out: g * mg.cos(x) * (1 + 1e-6)), [V]),
    "the sign of cos": (unary(np.cos, lambda g, x, out: g * mg.sin(x)), [V]),
    "log10 without its log 10": (unary(np.log10, lambda g, x, out: g / x), [np.abs(V)]),
    "a power with n for n - 1": (unary(lambda x: x**3, lambda g, x, out: g * 3 * x**3), [V]),
    "the chain rule's inner slope": (unary(lambda x: np.sin(3 * x), lambda g, x, out: g * mg.cos(3 * x)), [V]),
    "one term of a product of three": (unary(lambda x: x * np.sin(x) * np.exp(x),
        lambda g, x, out: g * (mg.sin(x) * mg.exp(x) + x * mg.cos(x) * mg.exp(x))), [V]),
    "a quotient without its square": (binary(np.divide, lambda g, a, b: g / b, lambda g, a, b: -g * a / b),
        [V, V + 3]),
    "the exponent's slope": (binary(np.power, lambda g, a, b: g * b * a ** (b - 1), lambda g, a, b: g * a**b),
        [np.abs(V), V]),
    "hypot by the square": (binary(np.hypot, lambda g, a, b: g * a / (a * a + b * b),
        lambda g, a, b: g * b / (a * a + b * b)), [V, V + 2]),
    "arctan2 with its arguments exchanged": (binary(np.arctan2, lambda g, a, b: -g * a / (a * a + b * b),
        lambda g, a, b: g * b / (a * a + b * b)), [V, V + 2]),
    "var with n - 1 forwards and n backwards": (unary(lambda x: x.var(ddof=1),
        lambda g, x, out: g * 2 * (x - x.mean()) / x.size), [V]),
    "std without its 1/std": (unary(np.std, lambda g, x, out: g * (x - x.mean()) / x.size), [V]),
    "a mean whose 1/n is an integer division": (unary(np.mean, lambda g, x, out: g * np.full(4, 10 // 4 / 4)), [V]),
    "an integer division of sizes": (unary(lambda x: x.mean(0),
        lambda g, x, out: mg.broadcast_to(g * float(3 // 2), x.shape)), [M]),
    # ------------------------------------------------------------------ shapes, axes, indices
    "a missing sum over a broadcast axis": (binary(np.add, lambda g, a, b: g, lambda g, a, b: g[0]), [M, np.ones(3)]),
    "the mean over a broadcast axis for the sum": (binary(np.add, lambda g, a, b: g, lambda g, a, b: g.mean(0)),
        [M, np.ones(3)]),
    "the mean of the wrong axis": (mean_wrong_axis, [M]),
    "a transposed matmul": (binary(np.matmul, lambda g, a, b: g @ b, lambda g, a, b: a.T @ g), [S, S + 1]),
    "inv without the transposes": (unary(np.linalg.inv, lambda g, x, out: -out @ g @ out), [S]),
    "det without its transpose": (unary(np.linalg.det, lambda g, x, out: g * out * mg.linalg.inv(x)), [S]),
    "solve with the matrix for its transpose": (lambda b: unary(lambda b: np.linalg.solve(S, b),
        lambda g, b, out: mg.linalg.solve(S, g))(b), [V[:3]]),
    "a slice off by one": (unary(lambda x: x[1:], lambda g, x, out: mg.concatenate([g, np.zeros(1)])), [V]),
    "a difference with the signs of one end": (unary(np.diff,
        lambda g, x, out: mg.concatenate([np.zeros(1), g]) - mg.concatenate([g, np.zeros(1)]) * (V != 0.5)), [V]),
    "cumsum forwards again": (unary(np.cumsum, lambda g, x, out: mg.cumsum(g)), [V]),
    "a roll the same way back": (unary(lambda x: np.roll(x, 1), lambda g, x, out: mg.roll(g, 1)), [V]),
    "duplicates of an index once": (lambda x: record(straight_through, value(x)[[0, 0, 3]],
        (x, lambda g, out: raw([g.data[1], 0, 0, g.data[2]]))), [V]),
    "a sort that forgets its order": (unary(np.sort, lambda g, x, out: g * 1.0), [V]),
    "the last of a batch left out": (unary(lambda x: (x**2).sum(0),
        lambda g, x, out: 2 * g * x * np.array([[1.0], [0.0]])), [M]),
    "one wrong entry of two thousand": (unary(np.square,
        lambda g, x, out: g * (2 * x + 1e-3 * (np.arange(2000).reshape(40, 50) == 777))), [BIG]),
    "a convolution that is not turned round": (unary(lambda x: np.convolve(x, [1.0, 2.0, 4.0], "valid"),
        lambda g, x, out: raw(np.convolve(g.data, [1.0, 2.0, 4.0], "full")) + 0 * mg.concatenate([g, g])), [V]),
    # ------------------------------------------------------------------ branches, kinks, ties
    "the wrong branch of a where": (unary(lambda x: np.where(x > 0, x * x, -x),
        lambda g, x, out: g * mg.where(x.data > 0, -1.0, 2 * x)), [V]),
    "a leaky slope that leaks nothing": (unary(lambda x: np.where(x > 0, x, 0.01 * x),
        lambda g, x, out: g * (x.data > 0)), [V]),
    "a clip that passes all": (unary(lambda x: np.clip(x, -1, 1), lambda g, x, out: g * 1.0), [V]),
    "a slope clamped at one": (unary(np.exp, lambda g, x, out: g * mg.minimum(out, 1.0)), [V]),
    "a sqrt with an epsilon in its slope": (unary(np.sqrt, lambda g, x, out: g / (2 * out + 1e-5)), [np.abs(V)]),
    "arccos close to one with a clamped slope": (unary(np.arccos,
        lambda g, x, out: -g / mg.sqrt(mg.maximum(1 - x * x, 1e-4))), [np.array([0.3, 1 - 1e-6])]),
    "all of the gradient to each of two ties": (largest_of_tied, [TIED]),
    "minimum of equal arguments to both in full": (minimum_all_to_both, [V, V]),
    "a subgradient of abs of 1.5": (unary(np.abs, lambda g, x, out: g * mg.where(x.data == 0, 1.5, np.sign(x.data))),
        [np.array([0.0, 1.0])]),
    "a subgradient of many kinks that is too steep": (all_distances, [np.ones(6)],
        {"gradient": lambda x: np.full(6, 40.0)}),
    "subgradients of either sign that are too steep": (unary(np.abs,
        lambda g, x, out: g * 1.2 * np.tile([1.0, -1.0], 10)), [np.zeros(20)]),
    "one subgradient of many that is too steep": (unary(np.abs,
        lambda g, x, out: g * np.where(np.arange(10) == 7, 1.5, 0.0)), [np.zeros(10)]),
    "a subgradient that leans the wrong way": (unary(lambda x: np.maximum(x, 0),
        lambda g, x, out: g * np.where(x.data == 0, -0.2, x.data > 0)), [np.array([0.0, 1.0, -1.0])]),
    "too steep where kinks have both signs": (lambda x: float((np.abs(x) * np.tile([1, -1], 8)).sum()),
        [np.zeros(16)], {"gradient": lambda x: np.full(16, 1.4)}),
    "one of many halves that is too steep": (lambda x: np.maximum(x, 0).sum(), [np.zeros(16)],
        {"gradient": lambda x: np.where(np.arange(16) == 3, 1.4, 0.5)}),
    "each of two that tie gets all, by hand": (lambda x: x.reshape(4, 2).max(1), [np.ones(8)],
        {"gradient": lambda x, c: np.repeat(c, 2)}),
    "round passed straight through": (lambda x: straight_through(x) * x, [V]),
    "wrong beside a kink": (unary(np.abs, lambda g, x, out: g * np.sign(x.data) * 0.9),
        [np.array([0.0, 1e-3, -2.0])]),
    # ------------------------------------------------------------------ what is kept
    "a cache by shape": (cached_by_shape(), [V]),
    "a cached mask": (cached_mask(), [V]),
    "a cached slope written by hand": (lambda x: np.sin(x).sum(), [V], {"gradient": cached_hand_written()}),
    "a rule that is stale after a few calls": (stale_after_calls(3), [V]),
    "a rule that drifts with each call": (drifting(), [V]),
    "a rule with the input of the first call": (remembers_first_input(), [M]),
    "a rule that doubles what it saved": (doubling_saved(), [V]),
    "one array for two gradients": (lambda a, b: a + b, [V, V + 1], {"gradient": same_array_twice}),
    "the cotangent itself returned": (lambda a: a + 1, [V], {"gradient": lambda a, c: c}),
    "a function that writes into its input": (writes_into_input, [V]),
    "a rule that doubles its cotangent": (lambda x: doubling_cotangent(x) * 3, [V]),
    "a rule that spoils its cotangent once it was used": (lambda x: sine_that_spoils_its_cotangent(x) * 3, [V]),
    "a cotangent spoiled before another rule gets it": (lambda x: sine_that_spoils_its_cotangent(x) + mg.exp(x), [V]),
    "a cotangent spoiled in a second derivative": (unary(lambda x: -np.cos(x),
        lambda g, x, out: g * sine_that_spoils_its_cotangent(x)), [V], {"order": 2}),
    # ------------------------------------------------------------------ the cotangent
    "the cotangent ignored": (unary(np.sin, lambda g, x, out: mg.cos(x)), [V]),
    "the size of the cotangent": (unary(np.sin, lambda g, x, out: mg.abs(g) * mg.cos(x)), [V]),
    "positive cotangents only": (unary(lambda x: x.sum(), lambda g, x, out: mg.relu(g) * np.ones(4)), [V]),
    "the mean of the cotangent": (unary(np.sin, lambda g, x, out: g.mean() * mg.cos(x)), [V]),
    "a clipped cotangent": (unary(lambda x: 3 * x, lambda g, x, out: 3 * mg.clip(g, -0.5, 0.5)), [V]),
    # ------------------------------------------------------------------ graphs, precision, order two
    "a detach in the middle": (lambda x: (mg.sin(x).detach() * x).sum(), [V]),
    "data in the middle of one branch": (lambda x: mg.exp(x) + x * x.data, [V]),
    "a rule in plain NumPy": (unary(np.sin, lambda g, x, out: raw(np.cos(x.data) * g.data)), [V]),
    "wrong in float32 beside lost digits": (lambda x, y: (halved_in_float32(x), mg.log(1 - mg.sigmoid(y))),
        [V, np.array([10.0, 2.0])]),
    "wrong in float32 beside stairs": (lambda x, y: (halved_in_float32(x), (y + 1e10) - 1e10), STAIRS),
    "wrong in float32 plus stairs": (lambda x, y: halved_in_float32(x).sum() + ((y + 1e10) - 1e10), STAIRS),
    "wrong in float32 beside a high frequency": (lambda x, y: (halved_in_float32(x), mg.sin(1e8 * y)), STAIRS),
    "a rule in plain NumPy beside lost digits": (lambda x, y: (sine_in_plain_numpy(x), mg.log(1 - mg.sigmoid(y))),
        [V, np.array([20.0, 2.0])]),
    "a rule in plain NumPy beside stairs": (lambda x, y: sine_in_plain_numpy(x).sum() + ((y + 1e10) - 1e10), STAIRS),
    "detached beside a high frequency": (lambda x, y: (x * x.detach(), mg.sin(1e9 * y)), [V, np.array([1.0, 1.1])]),
    "detached beside stairs": (lambda x, y: (x * x.detach()).sum() + ((y + 1e10) - 1e10), STAIRS),
    "detached beside lost digits": (lambda x, y: (x * x.detach(), mg.log(1 - mg.sigmoid(35 * y))), STAIRS),
    "float32 inside the rule": (unary(np.exp, lambda g, x, out: (g * out).astype(np.float32)), [BIG]),
    "float16 inside the rule": (unary(np.exp, lambda g, x, out: (g * out).astype(np.float16).astype(np.float64)), [V]),
    "a second derivative alone": (unary(lambda x: x**3, lambda g, x, out: g * (3 * x.data**2)), [V], {"order": 2}),
    "a second derivative of twice the size": (unary(np.sin,
        lambda g, x, out: g * unary(np.cos, lambda g, x, out: -2 * g * mg.sin(x))(x)), [V], {"order": 2}),
    "a parameter that is cut off": (Unused(), [V]),
    "twice the gradient of one output of a model": (Forgotten(), [M]),
    # ------------------------------------------------------------------ scales
    "twice the slope of something tiny": (unary(lambda x: 1e-9 * (x**2).sum(), lambda g, x, out: g * 4e-9 * x), [V]),
    "twice the slope of something smaller than all tolerances": (unary(lambda x: 1e-30 * x**2,
        lambda g, x, out: g * 4e-30 * x), [V]),
    "no slope of something tiny": (unary(lambda x: 1e-12 * np.sin(x), lambda g, x, out: g * 0.0 * x), [V]),
    "twice the slope of something huge": (unary(lambda x: 1e30 * x**2, lambda g, x, out: g * 4e30 * x), [V]),
    "twice the slope at tiny inputs": (unary(np.square, lambda g, x, out: g * 4 * x), [V * 1e-12]),
    "twice the slope of the small one of several scales": (unary(np.reciprocal,
        lambda g, x, out: -g / (x * x) * np.array([1.0, 1.0, 2.0])), [np.array([1e-3, 1.0, 1e3])]),
    "a small parameter beside a large one": (lambda a, b: (a**2).sum() * 1e5 + unary(np.sin,
        lambda g, x, out: 2 * g * mg.cos(x))(b).sum() * 1e-3, [V, V + 0.1]),
    "half the slope of a high frequency": (unary(lambda x: np.sin(3e5 * x),
        lambda g, x, out: g * 1.5e5 * mg.cos(3e5 * x)), [V]),
    "a high frequency detached": (lambda x: mg.sin(1e6 * x).detach() + x, [V]),
    "arctanh close to one with a clamped slope": (unary(np.arctanh,
        lambda g, x, out: g / mg.maximum(1 - x * x, 1e-3)), [np.array([0.5, 1 - 1e-7])]),
    "an epsilon in a norm": (unary(lambda x: x / np.linalg.norm(x),
        lambda g, x, out: (g - out * (g * out).sum()) / (mg.linalg.norm(x) + 1e-6)), [V]),
    "a small entry among large ones": (unary(lambda x: (x**2).sum(),
        lambda g, x, out: 2 * g * x * np.array([2.0, 1.0, 1.0])), [np.array([1e-5, 1.0, 1e5])]),
    "the wrong slope of a steep step": (unary(lambda x: np.tanh(1e6 * (x - 1)),
        lambda g, x, out: g * 1e6 * (1 - out)), [1 + 1e-6 * V]),
    "cbrt close to zero by half": (unary(np.cbrt, lambda g, x, out: g / (6 * out * out)), [np.array([1e-9, 1.0, 2.0])]),
}


def hilbert(n):
    return 1 / (np.arange(n)[:, None] + np.arange(n) + 1.0)


def conditioned(condition):
    """A matrix with the given condition number."""
    q, _ = np.linalg.qr(RNG.standard_normal((4, 4)))
    p, _ = np.linalg.qr(RNG.standard_normal((4, 4)))
    return q @ np.diag(np.geomspace(1, 1 / condition, 4)) @ p


def log_sum_exp(x):
    largest = x.max(axis=-1, keepdims=True).detach()
    return (mg.log(mg.exp(x - largest).sum(axis=-1, keepdims=True)) + largest).sum()


def with_relu_after_norm(x):
    return mg.relu(nn.functional.batch_norm(x, None, None, np.ones(4), np.zeros(4), training=True))


def symmetric(x):
    return (x + x.T) / 2


def spectrum(x):
    return mg.linalg.eigh(symmetric(x))[0]


def long_chain(x):
    for _ in range(60):
        x = mg.sin(x) + 0.9 * x
    return x


def in_float32(f):
    return lambda x: f(x.astype(np.float32))


def in_float16(f):
    return lambda x: f(x.astype(np.float16))


def logistic_map(x):
    for _ in range(20):
        x = 3.9 * x * (1 - x)
    return x


W64 = RNG.standard_normal((64, 64)) / 8
RELUS = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.BatchNorm1d(40), nn.ReLU(), nn.Linear(40, 3))
LAYERS = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3))
NASTY = {
    # ------------------------------------------------------------------ fast, steep, flat
    "a high frequency": (lambda x: mg.sin(3e5 * x), [V]),
    "a higher frequency": (lambda x: mg.sin(1e8 * x), [V]),
    "a chirp": (lambda x: mg.sin(1e4 * x * x), [V]),
    "a small ripple on a parabola": (lambda x: x * x + 1e-7 * mg.sin(1e6 * x), [V]),
    "a steep step at its middle": (lambda x: mg.tanh(1e6 * (x - 1)), [np.array([0.9, 1.0, 1.1])]),
    "a steep step beside": (lambda x: mg.tanh(1e6 * (x - 1)), [1 + 1e-6 * V]),
    "a steeper sigmoid": (lambda x: mg.sigmoid(1e9 * x), [V * 1e-9]),
    "a narrow bell": (lambda x: mg.exp(-((x - 1) ** 2) * 1e10), [1 + 1e-5 * V]),
    "a narrow bell among slopes": (lambda x: x + mg.exp(-((x - 1) ** 2) * 1e10), [np.array([0.5, 1 + 1e-5, 3.0])]),
    "a flat sigmoid": (mg.sigmoid, [np.array([40.0, -40.0, 300.0, -300.0])]),
    "a flat power": (lambda x: x**12, [np.array([1e-3, 0.01, 0.1])]),
    "a pole beside": (lambda x: 1 / (x - 1), [1 + 1e-7 * V]),
    "log close to zero": (mg.log, [np.array([1e-300, 1e-9, 1e-3, 1.0])]),
    "exp of large numbers": (mg.exp, [np.array([600.0, -600.0, 0.0])]),
    "tan beside its pole": (mg.tan, [np.array([np.pi / 2 - 1e-6, 0.3])]),
    "chaos": (logistic_map, [np.array([0.3, 0.61])]),
    "a long chain": (long_chain, [V]),
    # ------------------------------------------------------------------ scales
    "cbrt close to zero": (mg.cbrt, [np.array([1e-9, 1.0, 2.0])]),
    "cbrt closer": (mg.cbrt, [np.array([1e-15, -1e-12, 1.0, 2.0])]),
    "sqrt close to zero": (mg.sqrt, [np.array([1e-14, 1e-7, 1.0])]),
    "a reciprocal over six decades": (lambda x: 1 / x, [np.array([1e-3, 1.0, 1e3])]),
    "a reciprocal over twelve decades": (lambda x: 1 / x, [np.geomspace(1e-6, 1e6, 5)]),
    "a logarithm over thirty decades": (lambda x: mg.log(x).sum(), [np.geomspace(1e-15, 1e15, 7)]),
    "a norm of several scales": (lambda x: mg.linalg.norm(x), [np.array([1e-8, 1.0, 1e8])]),
    "tiny inputs": (lambda x: mg.sin(x) * x, [V * 1e-150]),
    "huge inputs": (lambda x: mg.sqrt(x * x + 1), [V * 1e150]),
    "tiny results": (lambda x: 1e-200 * mg.sin(x), [V]),
    "huge results": (lambda x: 1e200 * mg.sin(x), [V]),
    "a large weight beside a small one": (lambda a, b: 1e8 * (a**2).sum() + 1e-6 * mg.sin(b).sum(), [V, V]),
    "a large offset": (lambda x: mg.sin(x) + 1e9, [V]),
    "a log-sum-exp with an offset": (lambda x: log_sum_exp(x), [V + 1e4]),
    "our log-sum-exp with an offset": (lambda x: mg.logsumexp(x * 1e4, axis=-1), [V]),
    "a softmax with an offset": (lambda x: mg.softmax(x, axis=-1), [M + 1e6]),
    "a cross entropy that is sure": (lambda x: nn.functional.cross_entropy(x * 50, np.array([0, 1])), [M]),
    # ------------------------------------------------------------------ cancellation and noise
    "cancellation": (lambda x: (x + 1e8) - 1e8, [V]),
    "log of exp less itself": (lambda x: mg.log(mg.exp(x)) - x, [V]),
    "one less the cosine of little": (lambda x: (1 - mg.cos(x)) / x**2, [np.array([1e-4, 1e-2])]),
    "stairs beside a sine": (lambda x, y: (mg.sin(x), (y + 1e10) - 1e10), STAIRS),
    "stairs that multiply a sine": (lambda x, y: mg.sin(x) * ((y + 1e10) - 1e10), [V, V + 1]),
    "a variance of large numbers": (lambda x: x.var(), [V + 1e6]),
    "a determinant of nearly nothing": (lambda x: mg.linalg.det(x), [np.ones((3, 3)) + 1e-7 * S]),
    "an inverse of condition 1e6": (mg.linalg.inv, [conditioned(1e6)]),
    "an inverse of condition 1e9": (mg.linalg.inv, [conditioned(1e9)]),
    "an inverse of condition 1e13": (mg.linalg.inv, [conditioned(1e13)]),
    "a Hilbert matrix solved": (lambda a, b: mg.linalg.solve(a, b), [hilbert(6), np.ones(6)]),
    "a larger Hilbert matrix solved": (lambda b: mg.linalg.solve(hilbert(10), b), [np.ones(10)]),
    "both of a larger Hilbert matrix": (lambda a, b: mg.linalg.solve(a, b), [hilbert(9), np.ones(9)]),
    "a sum of many": (lambda x: (x * x).sum(), [RNG.standard_normal(100_000)]),
    "a mean of many of one sign": (lambda x: mg.exp(x).mean(), [RNG.standard_normal(50_000) + 5]),
    "a product of many": (lambda x: mg.prod(x), [1 + 0.1 * RNG.standard_normal(500)]),
    # ------------------------------------------------------------------ precision inside
    "float32 inside": (in_float32(lambda x: mg.tanh(x) * x), [V]),
    "float32 inside with products": (in_float32(lambda x: mg.softmax(x @ W64.astype(np.float32), axis=-1)),
        [RNG.standard_normal((8, 64))]),
    "float16 inside": (in_float16(lambda x: mg.tanh(x) * x), [V]),
    "float32 halfway": (lambda x: mg.sin(x).astype(np.float32).astype(np.float64) * x, [V]),
    "a gradient that underflows in float32": (lambda x: 1e-30 * (1e-15 * x**2), [V]),
    "a gradient that overflows in float32": (lambda x: mg.exp(x), [np.array([88.5, 1.0])]),
    "slopes beyond float32": (lambda x: mg.sqrt(x), [np.array([1e-40, 1.0])]),
    "cancellation in float32": (lambda x: ((x + 1e6) - 1e6) ** 2, [V]),
    "a power that float32 cannot hold": (lambda x: x**8, [V * 1e6]),
    # ------------------------------------------------------------------ kinks and plateaus
    "a kink a millionth away": (mg.relu, [np.array([1e-6, -1e-6, 1.0])]),
    "kinks at many distances": (lambda x: mg.abs(x).sum(), [np.array([0.0, 1e-12, -1e-9, 1e-6, 1e-3, 1.0])]),
    "kinks beside a training batch norm": (with_relu_after_norm, [RNG.standard_normal((32, 4))]),
    "a model with relus beside batch norms": (RELUS, [RNG.standard_normal((16, 6))]),
    "a model with relus beside layer norms": (LAYERS, [RNG.standard_normal((16, 6))]),
    "many relus at zero": (lambda x: mg.relu(x @ W64).sum(), [np.zeros((3, 64))]),
    "a sort with ties": (lambda x: mg.sort(x) * np.arange(4.0), [TIED]),
    "ties of a maximum": (lambda x: x.max() * x.sum(), [TIED]),
    "a difference of absolute values": (lambda x: mg.abs(x) - mg.abs(x - 1), [np.array([0.0, 1.0, 0.5])]),
    "a sum of all distances of equals": (lambda x: mg.abs(x[:, None] - x).sum(), [np.ones(5)]),
    "piecewise constant": (lambda x: np.sign(value(x)) + 0 * x, [V]),
    "a plateau": (lambda x: mg.clip(x, -0.1, 0.1), [V]),
    "a jump beside": (lambda x: mg.where(value(x) > 1, x + 1, x), [1 + 1e-5 * V]),
    "a Huber loss at its joint": (lambda x: nn.functional.smooth_l1_loss(x, np.zeros(4)),
        [np.array([1.0, -1.0, 0.5, 0.0])]),
    "a training batch norm of equal elements": (with_relu_after_norm, [np.full((6, 4), 0.1)]),
    "a layer norm of equal elements": (lambda x: mg.relu(nn.functional.layer_norm(x, 4)), [np.full((2, 4), 0.3)]),
    # ------------------------------------------------------------------ linear algebra at special points
    "repeated eigenvalues": (spectrum, [np.eye(3)]),
    "eigenvalues that nearly agree": (spectrum, [np.diag([1.0, 1.0 + 1e-9, 2.0])]),
    "a function of repeated eigenvalues": (lambda x: mg.exp(spectrum(x)).sum(), [np.eye(3) * 2.0]),
    "repeated singular values": (lambda x: mg.linalg.svd(x, full_matrices=False)[1], [np.diag([1.0, 1.0, 2.0])]),
    "a sum of repeated singular values": (lambda x: mg.linalg.svd(x, full_matrices=False)[1].sum(), [np.eye(3)]),
    "singular values": (lambda x: mg.linalg.svd(x, full_matrices=False)[1], [RNG.standard_normal((3, 2))]),
    "a norm beside its zero": (lambda x: mg.linalg.norm(x), [V * 1e-200]),
    "a Cholesky factor of nearly nothing": (lambda x: mg.linalg.cholesky(symmetric(x)), [np.eye(3) * 1e-6 + 1e-7]),
    "a log-determinant of many": (lambda x: mg.linalg.slogdet(x)[1],
        [np.eye(20) * 1e3 + RNG.standard_normal((20, 20))]),
    # ------------------------------------------------------------------ ends of domains
    "arccos close to one": (mg.arccos, [np.array([0.3, 1 - 1e-9])]),
    "arctanh close to one": (mg.arctanh, [np.array([0.3, 1 - 1e-12])]),
    "x log x close to zero": (lambda x: x * mg.log(x), [np.array([1e-12, 0.5])]),
    "the end of a domain beside others": (lambda x: x**1.5, [np.array([0.0, 1.0, 2.0, 3.0])]),
}
UNDECIDED = {  # where the numbers may say nothing of some entries
    "a higher frequency",
    "one less the cosine of little",
    "stairs beside a sine",
    "stairs that multiply a sine",
    "an inverse of condition 1e9",
    "an inverse of condition 1e13",
    "both of a larger Hilbert matrix",
    "a larger Hilbert matrix solved",
    "arctanh close to one",
    "the end of a domain beside others",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found(name):
    f, inputs, *options = WRONG[name]
    with pytest.raises(GradientError) as caught:
        gradcheck(f, *inputs, **(options[0] if options else {}))
    assert caught.value.report.state == "WRONG"


@pytest.mark.parametrize("name", NASTY)
def test_what_is_right_but_nasty_is_not_blamed(name):
    f, inputs, *options = NASTY[name]
    report = gradient_report(f, *inputs, **(options[0] if options else {}))
    assert not report.problems, str(report)
    assert not report.verdicts[Verdict.WRONG]
    assert report.state == "correct" or name in UNDECIDED, str(report)
