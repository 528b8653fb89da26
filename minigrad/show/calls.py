"""A call as it might be written: the tensors among its arguments by name, and of the rest what is no default."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import Parameter, signature
from itertools import chain
from types import EllipsisType
from typing import Any

import numpy as np

from minigrad.recording import Recorded
from minigrad.show.rules import described
from minigrad.tensor import Tensor

Part = int | str  # the number of a tensor, or text
REQUIRED = object()  # the default of what is written by name whatever it is
MOST_ITEMS, MOST_LETTERS = 6, 30  # of a list, and of what is written out


def call_written(event: Recorded, number_of: Callable[[Any], int | None]) -> tuple[Part, ...]:
    """What stands between the brackets of a call, in parts: `sum(x, axis=0)` has (0, ", ", "axis=", "0").

    Inputs that are not among the arguments, as those of an object that is called, stand at the end.
    """
    def known(x: Any) -> int | None:
        """The number of a tensor or an array, or of the input that was made of it."""
        made_of = (number_of(i) for i in event.inputs if isinstance(i, Tensor) and i._data is x)
        return next(made_of, None) if (number := number_of(x)) is None else number

    found: list[Part] = []
    for name, x, default in given(event):
        if x is default or (isinstance(x, (bool, int, float, str)) and type(x) is type(default) and x == default):
            continue
        found += [", "] if found else []
        found += [] if default is Parameter.empty else [f"{name}="]
        found += parts_of(x, name, known)
    for number in map(number_of, event.inputs):
        if number is not None and number not in found:
            found += [", ", number] if found else [number]
    return tuple(found)


def given(event: Recorded) -> Iterator[tuple[str, Any, Any]]:
    """Name, value and default of each argument; what is written by position has the default `Parameter.empty`."""
    try:
        parameters = [*signature(event.operation).parameters.values()]
    except (TypeError, ValueError):  # of a built-in function nobody knows
        parameters = []
    named = [p for p in parameters if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    several = len(event.arguments) > len(named)  # those before are given by position then, too
    for parameter, x in zip(named, event.arguments, strict=False):
        yield parameter.name, x, Parameter.empty if several else parameter.default
    yield from (("an argument", x, Parameter.empty) for x in event.arguments[len(named) :])
    defaults = {p.name: p.default for p in parameters}
    for name, x in event.options.items():
        default = defaults.get(name, Parameter.empty)
        yield name, x, REQUIRED if default is Parameter.empty else default


def parts_of(x: Any, name: str, number_of: Callable[[Any], int | None]) -> list[Part]:
    """An argument: a tensor's number, a list of such, or text; an array without a name has that of the parameter."""
    if isinstance(x, (Tensor, np.ndarray)):
        number = number_of(x)
        return [name if number is None else number]
    if isinstance(x, (list, tuple)) and any(isinstance(y, (Tensor, np.ndarray)) for y in x):
        inner = [[", ", *parts_of(y, name, number_of)] for y in x[:MOST_ITEMS]]
        return ["[", *[*chain(*inner)][1:], ", …]" if len(x) > MOST_ITEMS else "]"]
    return [text_of(x)]


def text_of(x: Any) -> str:
    """An argument that is no tensor, as short as it goes."""
    if isinstance(x, slice):
        ends = ["" if end is None else str(end) for end in (x.start, x.stop)]
        return ":".join(ends + ([] if x.step is None else [str(x.step)]))
    if isinstance(x, EllipsisType):
        return "..."
    if isinstance(x, (np.dtype, type)):
        return np.dtype(x).name if isinstance(x, np.dtype) else x.__name__
    if isinstance(x, (list, tuple)) and len(x) <= MOST_ITEMS:
        items = ", ".join(map(text_of, x)) + "," * (isinstance(x, tuple) and len(x) == 1)
        text = f"[{items}]" if isinstance(x, list) else f"({items})"
    else:
        text = str(x) if isinstance(x, np.generic) else described(x)
    return text if len(text) <= MOST_LETTERS else f"a {type(x).__name__}"
