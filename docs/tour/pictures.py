"""Draws the pictures of the tour: `python docs/tour/pictures.py` writes them anew, a test compares them.

Each function below draws one: its name is the file's.
"""

import sys
from itertools import count
from pathlib import Path

import numpy as np

import minigrad as mg
import nn
from minigrad.show import graph
from minigrad.tensor import clock


def slope() -> str:
    """Chapter 1: y = x * x, recorded."""
    x = mg.tensor(3.0, requires_grad=True)
    y = x * x
    return graph(y).svg()


def diamond() -> str:
    """Chapter 2: each number is the sum of the one before and itself."""
    x = mg.tensor(1.0, requires_grad=True)
    y = x + x
    z = y + y
    return graph(z).svg()


def broadcast() -> str:
    """Chapter 3: a row and a number are repeated."""
    matrix = mg.tensor(np.ones((4, 3)), requires_grad=True)
    row = mg.tensor(np.ones(3), requires_grad=True)
    number = mg.tensor(1.0, requires_grad=True)
    y = matrix * row + number
    return graph(y).svg()


def reading() -> str:
    """Chapter 4: the program that is read step by step."""
    x = mg.tensor(2.0, requires_grad=True)
    y = x * x
    z = y * 3.0 + y.exp()
    return graph(z).svg()


def rules() -> str:
    """Chapter 5: an operation of one's own, among others."""

    def log_cosh(x):
        return mg.record(log_cosh, np.log(np.cosh(mg.value(x))), (x, lambda grad, out: grad * mg.tanh(x)))

    prediction = mg.tensor([1.5, 2.0, 1.0], requires_grad=True)
    loss = log_cosh(prediction - np.array([1.0, 2.0, 3.0])).mean()
    return graph(loss).svg()


def branch() -> str:
    """Chapter 6: what `where` does not choose is computed all the same."""
    x = mg.tensor([0.0, 4.0], requires_grad=True)
    root = mg.sqrt(x)
    chosen = mg.where(x > 0, root, 0.0)
    return graph(chosen.sum()).svg()


def second() -> str:
    """Chapter 7: what the first derivative of exp(x * x) was computed from."""
    x = mg.tensor(0.5, requires_grad=True)
    y = mg.exp(x * x)
    y.backward(create_graph=True)
    slope = x.grad
    return graph(slope).svg()


def map_cost() -> str:
    """Chapter 10: the cost of a map of four points."""
    points = mg.tensor(np.zeros((4, 2)), requires_grad=True)
    squares = (points * points).sum(axis=1)
    d = squares[:, None] + squares - 2 * points @ points.T
    cost = (np.full((4, 4), 1 / 16) * mg.log1p(d)).sum() + mg.log((1 / (1 + d)).sum() - 4)
    return graph(cost).svg()


def composed_loss() -> str:
    """Chapter 11: the cross-entropy of some logits, by small operations."""
    logits = mg.tensor(np.zeros((128, 10)), requires_grad=True)
    raised = mg.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = raised / raised.sum(axis=1, keepdims=True)
    loss = -mg.log(probabilities[np.arange(128), np.arange(128) % 10]).mean()
    return graph(loss).svg()


def exclusive_or() -> str:
    """Chapter 8: the loss of a network with three hidden units on the four examples."""
    rng = np.random.default_rng(0)
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    target = np.array([[0.0], [1.0], [1.0], [0.0]])
    w1, w2 = (mg.tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((2, 3), (3, 1)))
    b1, b2 = mg.tensor(np.zeros(3), requires_grad=True), mg.tensor(np.zeros(1), requires_grad=True)
    hidden = mg.tanh(x @ w1 + b1)
    output = hidden @ w2 + b2
    loss = mg.square(output - target).mean()
    return graph(loss).svg()


def classifier() -> str:
    """Chapter 9: the layers of the network, for one image."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10))
    return graph(model, (28, 28)).svg()


def main(folder: Path) -> None:
    """Write every picture into a folder."""
    for name, draw in sorted(globals().items()):
        if callable(draw) and getattr(draw, "__module__", "") == __name__ and name != "main":
            clock.tick = count(1).__next__  # so that no picture depends on those drawn before it
            (folder / f"{name}.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
