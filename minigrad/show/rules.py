"""A gradient rule as it stands in its file."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from types import CodeType
from typing import Any

import numpy as np

from minigrad.show.steps import RuleShown
from minigrad.tensor import Tensor


def rule_shown(rule: Any, number_of: Callable[[Any], int | None]) -> tuple[RuleShown, dict[str, int]]:
    """What a rule returns, where it is written, and what it closes over; and the numbers of what has one of that."""
    code = getattr(rule, "__code__", None)
    if code is None:
        return RuleShown(described_rule(rule), "", "", {}), {}
    kept = closed_over(rule)
    numbers = {name: number for name, x in kept.items() if (number := number_of(x)) is not None}
    names = {name: described(x) for name, x in kept.items()}
    name = "" if code.co_name == "<lambda>" else code.co_name
    return RuleShown(source_of(code), name, f"{code.co_filename}:{code.co_firstlineno}", names), numbers


def closed_over(rule: Any) -> dict[str, Any]:
    """What a function or a method closes over, by name."""
    found = dict[str, Any]()
    for name, cell in zip(rule.__code__.co_freevars, rule.__closure__ or (), strict=True):
        with suppress(ValueError):  # it is assigned later, as the result of `record` itself
            found[name] = cell.cell_contents
    return found


def described_rule(rule: Any) -> str:
    """A rule that is no function, without what differs from one run to the next."""
    function = getattr(rule, "func", None)
    if function is not None:
        return f"{type(rule).__name__}({getattr(function, '__qualname__', type(function).__name__)})"
    return type(rule).__name__


@cache
def source_of(code: CodeType) -> str:
    """The expression of a lambda, or the lines of a function, from the file; its name if there is none."""
    known = [[x for x in span if x is not None] for span in code.co_positions()]
    spans = [(line, end, start, stop) for line, end, start, stop in (span for span in known if len(span) == 4)
             if stop > start or end > line]
    if not spans:
        return code.co_name
    first, last = min(line for line, *_ in spans), max(end for _, end, *_ in spans)
    lines = [linecache.getline(code.co_filename, n).rstrip("\n") for n in range(first, last + 1)]
    if code.co_name != "<lambda>" or not any(lines):
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        return "\n".join(line[indent:] for line in lines) or code.co_name
    begin = min(start for line, _, start, _ in spans if line == first)
    finish = max(stop for _, end, _, stop in spans if end == last)
    encoded = [line.encode() for line in lines]  # columns count bytes
    encoded[-1] = encoded[-1][:finish]
    encoded[0] = encoded[0][begin:]
    return " ".join(part.decode().strip() for part in encoded)


def described(x: Any) -> str:
    """What something is that has no name of the user's."""
    if isinstance(x, Tensor):
        return f"a tensor of shape {x.shape}"
    if isinstance(x, np.ndarray):
        return f"an array of shape {x.shape}"
    return repr(x) if isinstance(x, (int, float, str, tuple, type(None))) and len(repr(x)) < 40 else type(x).__name__
