"""Solutions of chapter 6."""

import numpy as np

import minigrad as mg
from minigrad.testing import gradcheck


# 1. Choose before the root and behind it.
def length(x):
    """√(x·x), with gradient 0 at 0; `mg.linalg.norm` is another way."""
    square = (x * x).sum()
    positive = square.numpy() > 0
    return mg.where(positive, mg.sqrt(mg.where(positive, square, 1.0)), 0.0)


gradcheck(length, np.array([3.0, -4.0]), order=2)
gradcheck(length, np.zeros(2))  # a kink: 0 is one of the slopes that are allowed
assert not mg.grad(length)(np.zeros(2)).numpy().any()


# 2. The first is right for c = ½: the two slopes at 0 add up to 2c. The second has c² + c there, which is 1 for
#    c = (√5 - 1) / 2. No c suits both, so no choice of slopes at kinks is right for every program.
def relu_with(c):
    """A relu of slope c at 0."""

    def relu(x):
        slope = np.where(mg.value(x) == 0, c, mg.value(x) > 0)
        return mg.record(relu, np.maximum(mg.value(x), 0), (x, lambda grad, out: grad * slope))

    return relu


def slopes(c):
    """What the engine finds at 0 for both programs, each of which is x."""
    relu = relu_with(c)
    programs = (lambda x: relu(x) - relu(-x), lambda x: relu(relu(x)) - relu(-x))
    return [mg.grad(program)(0.0).item() for program in programs]


golden = (5**0.5 - 1) / 2
assert slopes(0) == [0, 0]
assert slopes(0.5) == [1, 0.75]
assert np.allclose(slopes(golden), [2 * golden, 1])


# 3. Refused are those whose rules hold w: the other factor, the argument of cos, the sign. The rule of `w * 3` holds
#    3 alone; those of exp, sqrt and relu take their result.
def refuses(f):
    """Whether the backward pass of `f` needs the old value of w."""
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    result = f(w).sum()
    w.data -= 0.1
    try:
        result.backward()
    except RuntimeError:
        return True
    return False


assert all(map(refuses, (lambda w: w * w, mg.sin, mg.abs)))
assert not any(map(refuses, (lambda w: w * 3, mg.exp, mg.sqrt, mg.relu)))
