"""Solutions of chapter 7."""

import math

import numpy as np

import minigrad as mg

# 1. 0, 1, 0, 1/3, 0, 2/15, 0, 17/315.
derivative, coefficients = mg.tan, []
for k in range(8):
    coefficients.append(derivative(0.0).item() / math.factorial(k))
    derivative = mg.grad(derivative)
assert np.allclose(coefficients, [0, 1, 0, 1 / 3, 0, 2 / 15, 0, 17 / 315])


def hessian_times(f, x, v):
    """The Hessian of `f` at `x`, times `v`."""
    return mg.grad(lambda x: (mg.grad(f)(x) * v).sum())(x).numpy()


# 2.
def solved(multiply, b, steps):
    """The x with A x = b, where `multiply(v)` is A v, by conjugate gradients (Hestenes and Stiefel, 1952)."""
    x, rest = np.zeros_like(b), b
    direction = rest
    for _ in range(steps):
        image = multiply(direction)
        length = (rest @ rest) / (direction @ image)
        x, new = x + length * direction, rest - length * image
        direction, rest = new + (new @ new) / (rest @ rest) * direction, new
    return x


a = np.random.default_rng(0).standard_normal((6, 4))


def f(x):
    return mg.exp(a @ x).sum() + (x * x).sum()


x = np.zeros(4)
for _ in range(6):
    x = x - solved(lambda v: hessian_times(f, x, v), mg.grad(f)(x).numpy(), steps=4)  # noqa: B023
assert np.abs(mg.grad(f)(x).numpy()).max() < 1e-10


# 3. `along(mg.grad(f), x, v)` is J v, where J is the Jacobian matrix of the gradient: the Hessian. `hessian_times` is
#    the gradient of ∇f · v, which is Jᵀ v. A Hessian is symmetric, so both are the same.
def along(f, x, t):
    """How `f(x)` changes if x moves along `t`."""
    x = mg.tensor(x, requires_grad=True)
    y = f(x)
    v = mg.tensor(np.zeros(y.shape), requires_grad=True)
    y.backward(v, create_graph=True)
    x.grad.backward(t)
    return v.grad


v = np.array([1.0, -2.0, 0.5, 3.0])
assert np.allclose(along(mg.grad(f), x, v).numpy(), hessian_times(f, x, v))
assert np.allclose(mg.hvp(f, [x], [v])[0].numpy(), hessian_times(f, x, v))
