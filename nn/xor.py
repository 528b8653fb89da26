"""The classic: a network of two inputs, three sigmoids and an output learns exclusive or, in about a second."""

from __future__ import annotations

import numpy as np

import nn
from minigrad import no_grad
from minigrad.arrays import Array

SUMMARY = "2-3-1 sigmoids learn exclusive or, in about a second"
INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64)
TARGETS = np.array([[0], [1], [1], [0]], np.float64)


def learn(seed: int = 0) -> tuple[nn.Sequential, Array]:
    """A trained network, and its outputs (4, 1) for the inputs (0, 0), (0, 1), (1, 0) and (1, 1).

    One start in four ends in a local minimum, where two or three of the inputs get the same output. There is nothing to
    be done from there but to start anew.
    """
    nn.manual_seed(seed)
    while True:
        model, outputs = train()
        if (outputs.round() == TARGETS).all():
            return model, outputs


def train(steps: int = 1000) -> tuple[nn.Sequential, Array]:
    """One attempt: the network and its outputs."""
    hidden, output = nn.Linear(2, 3, dtype=np.float64), nn.Linear(3, 1, dtype=np.float64)
    model = nn.Sequential(hidden, nn.Sigmoid(), output)
    for layer in (hidden, output):
        nn.init.normal_(layer.weight, std=3.0)  # small weights start on a plateau, where all three units are alike
    optimizer, loss_function = nn.optim.Adam(model.parameters(), lr=0.05), nn.BCEWithLogitsLoss()
    for _ in range(steps):
        optimizer.zero_grad()
        loss_function(model(INPUTS), TARGETS).backward()
        optimizer.step()
    with no_grad():
        return model, nn.functional.sigmoid(model(INPUTS)).numpy()


def report(model: nn.Sequential, outputs: Array) -> str:
    """What the network answers to the four inputs, as text."""
    rows = [
        f"{a:.0f} xor {b:.0f}: {output:.4f} -> {round(output)} ({'right' if round(output) == target else 'wrong'})"
        for (a, b), (output,), (target,) in zip(INPUTS, outputs.tolist(), TARGETS, strict=True)
    ]
    return "\n".join([repr(model), *rows])
