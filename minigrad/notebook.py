"""How notebooks show things: by functions that are imported when something is shown."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def shown_by(module: str, function: str) -> Callable[[Any], str]:
    """A method `_repr_html_` that is this function, so that what is shown need not know what shows it.

    >>> shown_by("html", "escape")("<")
    '&lt;'
    """

    def _repr_html_(self: Any) -> str:
        text: str = getattr(import_module(module), function)(self)
        return text

    return _repr_html_
