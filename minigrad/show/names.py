"""What the user calls tensors and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigrad.guards import user_frame
from minigrad.tensor import Tensor


def names_around(names: Mapping[str, Any] | None = None) -> dict[int, str]:
    """The id of each tensor and array -> its name: one of those given, or one that the calling function knows.

    That is the innermost function which is not a library's.
    """
    frame = user_frame()
    given = {id(x): name for name, x in (names or {}).items()}
    return names_in({**frame.f_locals, **frame.f_globals}) | names_in(frame.f_locals) | given


def names_in(variables: Mapping[str, Any]) -> dict[int, str]:
    """The id of each tensor and array -> the first variable, or path in a module that is one, where it is found."""
    found: dict[int, str] = {}
    public = [(name, x) for name, x in variables.items() if not name.startswith("_")]
    for name, x in public:
        if isinstance(x, (Tensor, np.ndarray)):
            found.setdefault(id(x), name)
    for name, x in public:
        if hasattr(x, "named_parameters") and not isinstance(x, type):
            for path, parameter in x.named_parameters():
                found.setdefault(id(parameter), f"{name}.{path}")
    return found
