"""A decorator that makes a hypothesis test of everything `gradcheck` looks at."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any

from hypothesis import given, note, target
from hypothesis import settings as Settings
from hypothesis.strategies import SearchStrategy

from minigrad.testing.check import gradient_report
from minigrad.testing.report import GradientError
from minigrad.testing.spelling import spelled


def gradient_property(
    *strategies: SearchStrategy[Any], settings: Settings | None = None, **options: Any
) -> Callable[[Callable[..., Any]], Callable[[], None]]:
    """Make a test of a function: that its gradient is right for whatever the strategies draw.

    hypothesis is steered towards the largest difference between gradient and numerical slope, has no deadline, and
    reports the smallest example that fails, with the whole report of `gradcheck` and a line that reproduces it.

    Args:
        strategies: one for each argument of the function. Floating arrays are variables; all else is handed over as it
            is. Reject arguments that do not fit together with `hypothesis.assume` inside of the function.
        settings: hypothesis settings, such as the number of examples.
        options: those of `gradient_report`, for example `order=2`; `seed` too.

    >>> from minigrad.testing.strategies import tensors
    >>> @gradient_property(tensors(shape=(2, 3)), order=2)
    ... def test_that_the_gradient_of_my_function_is_right(x):
    ...     return (x * x).sum(axis=0)
    >>> test_that_the_gradient_of_my_function_is_right()
    """

    def decorate(f: Callable[..., Any]) -> Callable[[], None]:
        @wraps(f)
        def test(*given_by_position: Any, **given_by_name: Any) -> None:
            arguments = signature(f).bind(*given_by_position, **given_by_name).args
            report = gradient_report(f, *arguments, **options)
            target(min(report.margin, 1e6), label="the worst margin")
            if not report.ok:
                extra = "".join(f", {key}={value!r}" for key, value in options.items())
                note(f"reproduce: gradcheck({f.__name__}, {', '.join(map(spelled, arguments))}{extra})")
                raise GradientError(report)

        combined = Settings(settings, deadline=None)
        checked: Callable[[], None] = combined(given(*strategies)(test))
        return checked

    return decorate
