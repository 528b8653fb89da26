"""Solutions of chapter 2."""

from itertools import count
from math import exp, tanh

clock = count(1)
applied = 0


class Number:
    """The engine of the chapter, with two operations more."""

    def __init__(self, data, *edges):
        self.data, self.edges, self.time = data, edges, next(clock)

    def __add__(self, other):
        return Number(self.data + other.data, (self, lambda grad: grad), (other, lambda grad: grad))

    def __mul__(self, other):
        return Number(self.data * other.data,
                      (self, lambda grad: grad * other.data),
                      (other, lambda grad: grad * self.data))

    def exp(self):
        data = exp(self.data)
        return Number(data, (self, lambda grad: grad * data))

    # 1.
    def __truediv__(self, other):
        quotient = self.data / other.data
        return Number(quotient,
                      (self, lambda grad: grad / other.data),
                      (other, lambda grad: -grad * quotient / other.data))

    def tanh(self):
        data = tanh(self.data)
        return Number(data, (self, lambda grad: grad * (1 - data * data)))


def backward(result, choose=max, mended=True):
    """The slopes of `result` by all that it was computed from; `choose` says who is next."""
    global applied
    slopes, done = {result: 1.0}, {}
    while slopes:
        chosen = choose(slopes, key=lambda number: number.time)
        grad = slopes.pop(chosen)
        done[chosen] = done.get(chosen, 0.0) * mended + grad  # the chapter's: `done[chosen] = grad`
        for parent, rule in chosen.edges:
            applied += 1
            slopes[parent] = slopes.get(parent, 0.0) + rule(grad)
    return done


def slope(f, x, h=1e-4):
    """The measured slope of chapter 1."""
    return (f(x + h) - f(x - h)) / (2 * h)


def f(a, b):
    return (a / b).tanh() if isinstance(a, Number) else tanh(a / b)


a, b = Number(0.7), Number(1.3)
slopes = backward(f(a, b))
assert abs(slopes[a] - slope(lambda x: f(x, 1.3), 0.7)) < 1e-7
assert abs(slopes[b] - slope(lambda x: f(0.7, x), 1.3)) < 1e-7

# 2. a + a, a * a and the diamond, where only one number waits at a time. In a * b + eᵃ, a has its turn as soon as the
#    product has passed its part on, and later once more for that of eᵃ, which overwrites the first: eᵃ, without b.
a, b = Number(2.0), Number(-3.0)
c = a * b + a.exp()
assert backward(c, min, mended=False)[a] == exp(2.0) != backward(c)[a]

#    Added up in `done`, all are right: a rule is linear in what arrives, so that may be handed on in parts. But each
#    part makes the whole way back once more: the oldest first walks along paths, and each number here leads to the
#    next along two.
assert backward(c, min) == backward(c)
x = y = Number(0.0)
for _ in range(10):
    y = y * Number(0.5) + y.tanh() * Number(0.5)
applied = 0
slope_of_x = backward(y)[x]
assert applied == 10 * 7
applied = 0
assert abs(backward(y, min)[x] / slope_of_x - 1) < 1e-12
assert applied > 2**10


# 3.
def diamond(steps):
    """The first and the last number of the chapter's diamond."""
    x = y = Number(1.0)
    for _ in range(steps):
        y = y + y
    return x, y


def along_paths(number, grad=1.0):
    """How many rules a recursion along all paths applies."""
    return sum(1 + along_paths(parent, rule(grad)) for parent, rule in number.edges)


applied = 0
x, y = diamond(40)
assert backward(y)[x] == 2.0**40
assert applied == 80  # two rules a step
assert [along_paths(diamond(steps)[1]) for steps in (4, 8, 12)] == [2 ** (steps + 1) - 2 for steps in (4, 8, 12)]
