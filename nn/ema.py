"""Averages of a model's weights over the steps of training, which often predict better than the last weights do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np

from minigrad.arrays import Array
from nn.functional.settings import real, whole
from nn.module import Module
from nn.state import OfTraining


class WeightAverage(OfTraining):
    """The exponential moving average of all parameters and buffers of a model.

    Each `update` is average = d · average + (1 - d) · value, where d is the decay, or (1 + t) / (10 + t) while that is
    less after t updates, so that the weights at the start are soon forgotten. What is not floating, such as a count, is
    kept as it was last. Averages of half precision are kept in single, where a small part of a change is not lost.

    Args:
        model: whose parameters and buffers to average, from what they are now.
        decay: how much of the average is kept in an update, such as 0.999: it spans about 1 / (1 - decay) of them.

    Attributes:
        state: the averages by dotted name, of what has several by the first.
        updates: how many there were.

    Raises:
        ValueError: unless 0 <= decay < 1.

    Source: Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992, with the decay of
    TensorFlow's `ExponentialMovingAverage` when it is given the number of updates.

    >>> import nn
    >>> model = nn.Linear(1, 1, bias=False)
    >>> model.weight.data = np.zeros((1, 1))
    >>> average = WeightAverage(model, decay=0.99)
    >>> model.weight.data = np.ones((1, 1))
    >>> average.update()
    >>> with average.applied():
    ...     print(model.weight.item())
    0.8999999761581421
    >>> model.weight.item()
    1.0
    """

    def __init__(self, model: Module, decay: float) -> None:
        self.model, self.decay, self.updates = model, real("WeightAverage", "decay", decay, 0, below=1), 0
        self.state = {name: np.array(weights, wider(weights.dtype)) for name, weights in self._weights()}
        memory = np.empty(max((array.nbytes for array in self.state.values()), default=0), np.uint8)
        self._scratch = {name: memory[: a.nbytes].view(a.dtype).reshape(a.shape) for name, a in self.state.items()}

    def update(self) -> None:
        """Take note of the weights after a step; works in place, in memory that is allocated once.

        Raises ValueError if the model has got other parameters or buffers since the average was made.
        """
        new = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, value in self._weights():
            average, change = self.state.get(name), self._scratch.get(name)
            if average is None or change is None or average.shape != value.shape:
                raise ValueError(f"{name} {value.shape} is not what the average was made of: make it anew")
            if average.dtype.kind != "f":
                average[...] = value
                continue
            # Written like this, weights that do not change keep an average that is equal to them to the last bit.
            np.subtract(value, average, out=change)
            change *= new
            average += change

    def _weights(self) -> Iterator[tuple[str, Array]]:
        """(name, array) of each parameter and buffer, by the first name of what has several."""
        parameters = ((name, parameter.data) for name, parameter in self.model.named_parameters())
        return chain(parameters, self.model.named_buffers())

    def state_dict(self) -> dict[str, Any]:
        """A copy of the averages, and how many updates there were."""
        return {"state": {name: average.copy() for name, average in self.state.items()}, "updates": self.updates}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from the `state_dict` of another average of such a model; ValueError if the model is another."""
        others = self.model.state_dict().keys() - self.state.keys()  # more names of what is tied
        new = {name: np.asarray(average) for name, average in state_dict.get("state", {}).items() if name not in others}
        theirs = {name: (average.shape, wider(average.dtype)) for name, average in new.items()}
        updates = whole("WeightAverage", "updates", state_dict.get("updates"), 0)
        if theirs != {name: (average.shape, average.dtype) for name, average in self.state.items()}:
            raise ValueError("the averages are those of another model")
        for name, average in new.items():
            self.state[name][...] = average
        self.updates = updates

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the model has the averages; afterwards its own weights and buffers again, whatever happens."""
        own = self.model.state_dict()
        try:
            self.model.load_state_dict(self.state)
            yield
        finally:
            self.model.load_state_dict(own)


def wider(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What an average of numbers of this dtype is kept in."""
    return np.result_type(dtype, np.float32) if dtype.kind == "f" else dtype
