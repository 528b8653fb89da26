"""State that moves during training, such as random generators and counters: found, saved and restored.

A thing has a state if it is a random generator, or has `state_dict()` and `load_state_dict(state)`: dicts and lists of
arrays, numbers and text. What is made of others need not know: its parts are found by walking its attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

import numpy as np

from minigrad import Tensor
from nn.module import Module

State: TypeAlias = dict[str, Any]


class OfTraining:
    """What training keeps by itself, such as optimizer and learner: a transform that reads it is not made of it."""


WITHOUT_PARTS = (type, ModuleType, np.ndarray, Tensor, OfTraining, str, bytes, int, float, type(None))


def moving_parts(thing: Any) -> dict[str, Any]:
    """All in a thing that has a state, by where it is: generators of layers, and what a transform counts, say.

    It is looked for in attributes, lists, tuples and dicts, and in what functions and methods hold, their defaults too;
    not in the global variables of a function. What is at several places is found at the first of them, and what has a
    state may hold others that have one. A model counts as its layers: its weights have names of their own. What
    training keeps by itself is left out, with all in it: optimizers, schedules, learners, averages of weights.

    >>> import nn
    >>> model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5, generator=np.random.default_rng(0)))
    >>> [*moving_parts(model)]
    ['1.generator']
    """
    found, seen, waiting = State(), set[int](), [("", thing)]
    while waiting:
        path, part = waiting.pop()
        if isinstance(part, WITHOUT_PARTS) or id(part) in seen:
            continue
        seen.add(id(part))
        if has_state(part) and not isinstance(part, Module):
            found[path] = part
        inside = [(f"{path}.{name}" if path else str(name), item) for name, item in entries(part)]
        waiting += reversed(inside)  # the first is the next
    return found


def has_state(part: Any) -> bool:
    """Whether a thing has a state of its own."""
    return isinstance(part, np.random.Generator) or (hasattr(part, "state_dict") and hasattr(part, "load_state_dict"))


def entries(part: Any) -> list[tuple[Any, Any]]:
    """(name, item) of what is in a container, a function or an object."""
    if isinstance(part, Mapping):
        return list(part.items())
    if isinstance(part, list | tuple):
        return list(enumerate(part))
    if isinstance(part, FunctionType):
        return held_by(part)
    if isinstance(part, MethodType):
        return [("self", part.__self__)]
    if isinstance(part, partial):
        return [("function", part.func), *enumerate(part.args), *part.keywords.items()]
    state: Any = object.__getstate__(part)  # the attributes, or a pair: those that are no slots, and the slots
    return [item for named in (state if isinstance(state, tuple) else [state]) for item in (named or {}).items()]


def held_by(function: FunctionType) -> list[tuple[Any, Any]]:
    """(name, item) of the variables from outside that a function uses, as far as they are set, and of its defaults."""
    code, found = function.__code__, list[tuple[Any, Any]]()
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # not set yet
            found.append((name, cell.cell_contents))
    arguments, defaults = code.co_varnames[: code.co_argcount], function.__defaults__ or ()
    by_position = zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True)  # a signature may say else
    return [*found, *by_position, *(function.__kwdefaults__ or {}).items()]


def states_of(parts: Mapping[str, Any]) -> State:
    """The state of each of these parts, a copy."""
    generator = np.random.Generator
    return {name: part.bit_generator.state if isinstance(part, generator) else deepcopy(part.state_dict())
            for name, part in parts.items()}


def put_states(parts: Mapping[str, Any], states: Mapping[str, Any]) -> None:
    """Restore each of these parts to its state. Raises ValueError if the states are those of other parts."""
    if set(parts) != set(states):
        raise ValueError(f"it has the states of {sorted(states)}, but here these have one: {sorted(parts)}")
    for name, part in parts.items():
        if isinstance(part, np.random.Generator):
            part.bit_generator.state = states[name]
        else:
            part.load_state_dict(states[name])
