"""Values and calls as Python source."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.tensor import Tensor

LONGEST = 30  # elements of an array that is still spelled out in a message


def at_index(index: tuple[int, ...]) -> str:
    """Where in an array something is, in words; nothing for one without axes."""
    return f" at {index}" if index else ""


def spelled(value: Any) -> str:
    """Python source of a value, which imports `numpy as np`.

    What has no source, such as a module, is given by its `repr`.

    >>> spelled((np.array([[0.5, 1.0]]), slice(0, 2), None))
    '(np.array([[0.5, 1.0]]), slice(0, 2), None)'
    """
    if isinstance(value, Tensor):
        return f"mg.tensor({spelled_array(value.numpy())})"
    if isinstance(value, np.ndarray):
        return spelled_array(value)
    if isinstance(value, np.generic):
        inner = spelled(value.item())
        return f"np.{value.dtype.name}({inner})" if value.dtype != np.float64 else inner
    if isinstance(value, slice):
        parts = (value.start, value.stop) if value.step is None else (value.start, value.stop, value.step)
        return f"slice({', '.join(map(spelled, parts))})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {spelled(part)}" for key, part in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        inside = ", ".join(map(spelled, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return f"np.{np.dtype(value).name}"
    if isinstance(value, float) and not np.isfinite(value):
        return f"{'-' * (value < 0)}np.{'nan' if value != value else 'inf'}"
    if isinstance(value, str):
        return repr(value).replace(" ", r"\x20")  # so that a message may break lines between words
    return "..." if value is Ellipsis else repr(value)


def spelled_array(array: Any) -> str:
    """Python source of an array: its elements, and its dtype where these do not tell."""
    if array.size == 0:
        return f"np.zeros({array.shape}{'' if array.dtype == np.float64 else f', np.{array.dtype.name}'})"
    plain = array.dtype in (np.float64, np.int64, np.bool_) or array.dtype.kind == "U"
    body = spelled(array.tolist())
    return f"np.array({body})" if plain else f"np.array({body}, np.{array.dtype.name})"


def called(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> str:
    """Python source of a call."""
    parts = [*map(spelled, arguments), *(f"{key}={spelled(value)}" for key, value in options.items())]
    return f"{name}({', '.join(parts)})"


class Name:
    """Stands for a variable in what is spelled out."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name
