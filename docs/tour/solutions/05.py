"""Solutions of chapter 5."""

import numpy as np

import minigrad as mg
from minigrad.testing import gradcheck

# 1.


def quotient(a, b):
    """a / b; the report says "it has the opposite sign"."""
    return mg.record(quotient, mg.value(a) / mg.value(b),
                     (a, lambda grad, out: grad / b),
                     (b, lambda grad, out: -grad * out / b))


def mean_of_rows(x):
    """The mean along axis 0: "4 times the right one, and 4 is a number of elements"."""
    x = mg.as_tensor(x)
    return mg.record(mean_of_rows, x.data.mean(axis=0),
                     (x, lambda grad, out: (grad / len(x)).broadcast_to(x.shape)))


def chosen(x, index):
    """x[index]: "duplicates are counted once", and an element that is used twice has two gradients to be added."""
    x = mg.as_tensor(x)
    return mg.record(chosen, x.data[index], (x, lambda grad, out: mg.add_at(np.zeros_like(x.data), index, grad)))


def rectified(x):
    """max(x, 0): "not linear in the cotangent".

    The wrong rule is known from pictures of what a network looks at (Zeiler and Fergus, 2014); it is no derivative.
    """
    return mg.record(rectified, np.maximum(mg.value(x), 0), (x, lambda grad, out: grad * (mg.value(x) > 0)))


def logistic(x):
    """1 / (1 + e ** -x): the slopes were right, but "a rule closes over its own result, so that no graph is freed"."""
    return mg.record(logistic, 1 / (1 + np.exp(-mg.value(x))), (x, lambda grad, out: grad * out * (1 - out)))


row, rows = np.array([0.5, -1.5, 2.0]), np.random.default_rng(0).standard_normal((4, 3))
gradcheck(quotient, row, rows, order=2)
gradcheck(mean_of_rows, rows, order=2)
gradcheck(chosen, row, [0, 2, 2], order=2)
gradcheck(rectified, row, order=2)
gradcheck(logistic, row, order=2)


# 2. Its slope is log(x) + 1, and infinite at 0.
@mg.operation("elementwise", lambda x: x * np.log(x), domain=mg.Domain(0))
def x_log_x(x):
    """x log x, which is 0 at 0."""
    array = mg.value(x)
    return mg.record(x_log_x, array * np.log(np.where(array == 0, 1, array)),
                     (x, lambda grad, out: grad * (mg.log(x) + 1)))


assert x_log_x(np.array([0.0, 1.0])).numpy().tolist() == [0.0, 0.0]
gradcheck(x_log_x, np.array([0.01, 0.5, 3.0]), order=2)
