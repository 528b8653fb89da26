"""What the user calls tensors and arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minigrad.guards import user_frame
from minigrad.tensor import Tensor


def names_around(names: Mapping[str, Any] | None = None) -> dict[int, str]:
    """The id of each tensor and array -> its name: one of those given, or one that the calling function knows.

    That is the innermost function which is not a library's. What it calls by a name that is given to something else has
    none.
    """
    frame = user_frame()
    while frame.f_globals.get("__name__") == "contextlib":  # an ExitStack, which leaves a trace for its user
        frame = user_frame(frame.f_back)
    own = frame.f_locals
    while frame.f_code.co_name.endswith(("comp>", "<genexpr>")):  # which is within the function
        frame = user_frame(frame.f_back)
    given = {id(x): str(name) for name, x in (names or {}).items()}
    known = names_in({**own, **frame.f_locals, **frame.f_globals, **frame.f_locals, **own})
    return {key: name for key, name in known.items() if name not in given.values()} | given


def check_names(names: Mapping[str, Any] | None) -> None:
    """Raise TypeError unless what has a name of the user's is a tensor or an array."""
    for name, x in (names or {}).items():
        if not isinstance(x, (Tensor, np.ndarray)):
            raise TypeError(f"names= are of tensors and arrays, got {name!r} for a {type(x).__name__}")


def names_for(kinds: Iterable[str], users: Sequence[str | None]) -> list[str]:
    """The user's name of each, or its kind and a number, with which it is not called as something of the user's.

    >>> names_for(["add", "add", "leaf"], ["add_1", None, None])
    ['add_1', 'add_2', 'leaf_1']
    """
    taken, counts, found = set(users), Counter[str](), []
    for kind, name in zip(kinds, users, strict=True):
        counts[kind] += 1
        while not name and f"{kind}_{counts[kind]}" in taken:
            counts[kind] += 1
        found.append(name or f"{kind}_{counts[kind]}")
    return found


def names_in(variables: Mapping[str, Any]) -> dict[int, str]:
    """The id of each tensor and array -> the first variable, or path in a module that is one, where it is found."""
    found: dict[int, str] = {}
    public = [(name, x) for name, x in variables.items() if name.isidentifier() and not name.startswith("_")]
    for name, x in public:
        if isinstance(x, (Tensor, np.ndarray)):
            found.setdefault(id(x), name)
    for name, x in public:
        for path, parameter in parameters_of(x):
            found.setdefault(id(parameter), f"{name}.{path}")
    return found


def parameters_of(x: Any) -> list[tuple[str, Any]]:
    """The parameters of a module with their paths; none of something else, however it answers."""
    try:
        return [*x.named_parameters()] if hasattr(x, "named_parameters") and not isinstance(x, type) else []
    except Exception:  # whatever it is: that something has no name is no reason to disturb a program
        return []
