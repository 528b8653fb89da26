"""Settings, checked in one place: whole numbers such as sizes and axes, real ones, and words to choose from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from math import inf, nan
from numbers import Real
from operator import index
from typing import Any, TypeAlias

import numpy as np

Pair = tuple[int, int]
Check: TypeAlias = Callable[[str, str, Any], Any]  # of whose setting, its name and its value: the value, or ValueError


def whole(name: str, setting: str, number: Any, least: int | None = None) -> int:
    """A setting as an int: of any kind that `operator.index` accepts, but no boolean.

    Raises:
        ValueError: if it is no integer, or less than `least`.
    """
    found = integer(number)
    if found is None or (least is not None and found < least):
        bound = "" if least is None else f" of at least {least}"
        raise ValueError(f"{name} expects {setting} to be an integer{bound}, got {number!r}")
    return found


def pair(name: str, setting: str, number: Any, least: int = 1) -> Pair:
    """A setting for both axes, from one number or two, as `whole`."""
    given = number if isinstance(number, (tuple, list)) else (number, number)
    numbers = [found for found in map(integer, given) if found is not None and found >= least]
    if len(given) != 2 or len(numbers) != 2:
        raise ValueError(f"{name} expects {setting} to be one or two integers of at least {least}, got {number!r}")
    return numbers[0], numbers[1]


def real(
    name: str, setting: str, number: Any, least: float = -inf, most: float = inf, *,
    above: float | None = None, below: float | None = None,
) -> float:
    """A setting as a float: of any kind that is a real number, as arrays and tensors with one may be.

    Raises:
        ValueError: if it is no number, or not within `least` and `most`, `above` and `below`; NaN never is.
    """
    plain = plain_number(number)
    try:
        found = float(plain) if isinstance(plain, (float, Real)) else nan  # float alone is seen much faster
    except OverflowError:  # a whole number of hundreds of digits
        found = nan
    if not least <= found <= most or (above is not None and found <= above) or (below is not None and found >= below):
        start = f"{least:g}" if above is None else f"above {above:g}"
        end = f"{most:g}" if below is None else f"less than {below:g}"
        bounds = "" if (start, end) == ("-inf", "inf") else f" from {start} to {end}"
        raise ValueError(f"{name} expects {setting} to be a number{bounds}, got {number!r:.80}")
    return found


def one_of(name: str, setting: str, value: Any, choices: Sequence[Any]) -> Any:
    """A setting that is one of some words; ValueError if it is not."""
    if is_list(value) or value not in choices:  # an array is equal to nothing as a whole
        raise ValueError(f"{name} expects {setting} to be {' or '.join(map(repr, choices))}, got {value!r:.80}")
    return value


def each(check: Check, length: int | None = None) -> Check:
    """The check of a list of such settings, of this length."""

    def check_all(name: str, setting: str, values: Any) -> list[Any]:
        items = list(values) if is_list(values) else None
        if items is None or len(items) != (length or len(items)):
            kind = f"a list of {length}" if length else "a list"
            raise ValueError(f"{name} expects {setting} to be {kind}, got {values!r:.80}")
        return [check(name, f"each of {setting}", item) for item in items]

    return check_all


def plain_number(setting: Any) -> Any:
    """What is in an array or tensor of no axes, also PyTorch's; whatever else as it is, a dtype too, which has none.

    A tensor that asks for gradients stays one: a number would get none.
    """
    is_number = getattr(setting, "ndim", None) == 0 and hasattr(setting, "item")
    return setting.item() if is_number and not getattr(setting, "requires_grad", False) else setting


def is_list(setting: Any) -> bool:
    """Whether a setting is several in an order, so no text, set or dict, and no array or tensor of no axes."""
    is_several = isinstance(setting, Iterable) and not isinstance(setting, str | Set | Mapping)
    return is_several and getattr(setting, "ndim", 1) != 0


def integer(number: Any) -> int | None:
    """The number as an int, or None if it is no integer."""
    if type(number) is int:  # as nearly always
        return number
    try:
        return None if isinstance(number, (bool, np.bool_)) else index(number)
    except TypeError:
        return None
