"""What the user calls tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minigrad.guards import user_frame
from minigrad.tensor import Tensor


def names_around(names: Mapping[str, Tensor] | None = None) -> dict[Tensor, str]:
    """Names of tensors: those that are given, then parameters by the module's variable and their path, then variables.

    Looked up in the innermost function that is not a library's. The first name of a tensor counts.
    """
    variables: dict[str, Any] = {name: x for name, x in user_frame().f_locals.items() if not name.startswith("_")}
    found: dict[Tensor, str] = {x: name for name, x in (names or {}).items()}
    for name, x in variables.items():
        if isinstance(x, Tensor):
            found.setdefault(x, name)
    for name, x in variables.items():
        if hasattr(x, "named_parameters") and not isinstance(x, type):
            for path, parameter in x.named_parameters():
                found.setdefault(parameter, f"{name}.{path}")
    return found
