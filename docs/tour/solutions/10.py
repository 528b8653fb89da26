"""Solutions of chapter 10."""

import numpy as np

import minigrad as mg
from minigrad.testing import gradcheck
from nn.fashion.dataset import SAMPLE_FOLDER, read_folder

rng = np.random.default_rng(0)


# 1.
def squared_distances(points):
    squares = (points * points).sum(axis=1)
    return squares[:, None] + squares - 2 * points @ points.T


def cost(points, p):
    d = squared_distances(points)
    return (p * mg.log1p(d)).sum() + mg.log((1 / (1 + d)).sum() - len(d))


def by_the_paper(points):
    w = 1 / (1 + squared_distances(points))
    np.fill_diagonal(w, 0)
    pulls = (p - w / w.sum()) * w
    return 4 * (pulls.sum(axis=1, keepdims=True) * points - pulls @ points)


p = rng.random((6, 6)) * (1 - np.eye(6))
p = (p + p.T) / (p + p.T).sum()  # symmetric, and all together 1: the formula needs both
gradcheck(lambda points: cost(points, p), rng.standard_normal((6, 2)), gradient=by_the_paper)


# 2.
def runge_kutta(f, state, dt=0.1):
    a = f(state)
    b = f(state + dt / 2 * a)
    c = f(state + dt / 2 * b)
    return state + dt / 6 * (a + 2 * b + 2 * c + f(state + dt * c))


def crane(u):
    state = 0 * u[:4]
    for force in u:
        state = runge_kutta(lambda s, f=force: mg.stack([s[1], f, s[3], -4 * mg.sin(s[2]) - f * mg.cos(s[2])]), state)
    return state


def plan(tenths, wanted):
    u = np.zeros(tenths)
    for _ in range(5):
        tangent = mg.jacobian(crane)(u).numpy()
        u = np.linalg.lstsq(tangent, wanted - crane(u).numpy() + tangent @ u)[0]
    return u


wanted = np.array([1.0, 0.0, 0.0, 0.0])
u, slower = plan(30, wanted), plan(40, wanted)
tangent = mg.jacobian(crane)(u).numpy()
multipliers = np.linalg.lstsq(tangent.T, u)[0]
assert np.allclose(tangent.T @ multipliers, u)
assert np.allclose(crane(slower).numpy(), wanted)
assert 0.85 < 1 - (slower @ slower) / (u @ u) < 0.87  # a second more saves six sevenths of the effort


# 3. Gradient descent with momentum, by the squared difference of what is seen.
def blur(image):
    """The means over windows of 5 × 5: (h, w) -> (h + 4, w + 4), as if all were black around the image."""
    wide = mg.pad(image, 4)
    rows = sum(wide[i : len(wide) - 4 + i] for i in range(5))
    return sum(rows[:, i : rows.shape[1] - 4 + i] for i in range(5)) / 25


image = read_folder(SAMPLE_FOLDER).test_images[0] / 255
seen = blur(image).numpy() + 0.001 * rng.standard_normal((32, 32))
slope = mg.grad(lambda x: ((blur(x) - seen) ** 2).sum() / 2)
x, speed = seen[2:-2, 2:-2], 0.0
start = np.abs(x - image).mean()
for _ in range(400):
    speed = 0.95 * speed - slope(x).numpy()
    x = x + speed
    x, speed = np.clip(x, 0, 1), np.where((x < 0) | (x > 1), 0, speed)  # a pixel is between black and white
assert np.abs(x - image).mean() < start / 5
