"""A decorator that makes a hypothesis test of everything `gradcheck` looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from inspect import Parameter, Signature, signature
from typing import Any

import hypothesis
import numpy as np
from hypothesis import Phase, note, target
from hypothesis import settings as Settings
from hypothesis.strategies import DataObject, SearchStrategy

from minigrad.testing.check import buffers_restored, gradient_report
from minigrad.testing.kinks import points_at_kinks
from minigrad.testing.report import GradientError
from minigrad.testing.reproduce import Request
from minigrad.testing.subject import HandWritten, TensorSubject

__tracebackhide__ = True  # of pytest's tracebacks: reports, and lines of the user's, say more than ours

SETTINGS = "_hypothesis_internal_use_settings"  # where hypothesis keeps what `@settings`, above or below, has said


def gradient_property(
    *strategies: SearchStrategy[Any], settings: Settings | None = None, kinks: bool = True, **options: Any
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Make a test of a function: that its gradient is right for whatever the strategies draw.

    hypothesis is steered towards the largest difference between gradient and numerical slope, has no deadline, and
    reports the smallest example that fails, with the whole report of `gradcheck` and a line that reproduces it. (What
    it does to explain a failure is left out: that takes longer than all the rest, and the report says more.)

    Args:
        strategies: for the last arguments of the function that have no default, as many as there are, then for those
            with one, then for `*args`. Floating arrays and numbers among them are variables, all else is handed over
            as it is. Arguments before them are left to fixtures and `pytest.mark.parametrize`. Reject arguments that
            do not fit together with `hypothesis.assume` inside of the function. What the function draws itself from
            `st.data()` is constant while one example is checked.
        settings: hypothesis settings, such as the number of examples; or decorate with `@settings`, above or below.
        kinks: whether to look for kinks of the function beside each example, and to check there too: by chance none is
            ever hit, and only there a wrong subgradient shows.
        options: those of `gradient_report`, for example `order=2`, or `wrt=(0,)` if only the first that is drawn is a
            variable; `seed` too.

    >>> from minigrad.testing.strategies import tensors
    >>> @gradient_property(tensors(shape=(2, 3)), order=2)
    ... def test_that_the_gradient_of_my_function_is_right(x):
    ...     return (x * x).sum(axis=0)
    >>> test_that_the_gradient_of_my_function_is_right()
    """
    if not strategies or not all(isinstance(strategy, SearchStrategy) for strategy in strategies):
        raise TypeError(f"gradient_property takes strategies for what is drawn, by position, got {strategies!r:.80}")
    return partial(checked_by_examples, strategies=strategies, settings=settings, kinks=kinks, options=options)


def checked_by_examples(
    f: Callable[..., Any], strategies: Sequence[SearchStrategy[Any]], settings: Settings | None, kinks: bool,
    options: dict[str, Any],
) -> Callable[..., None]:
    """The hypothesis test of a function's gradient."""
    names, drawn = arguments_of(f, len(strategies))
    arguments = Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names])

    @wraps(f)
    def test(*by_position: Any, **by_name: Any) -> None:
        given = arguments.bind(*by_position, **by_name).arguments
        inputs = [Replay(given[name]) if isinstance(given[name], DataObject) else given[name] for name in drawn]
        called = called_with(f, given, drawn, inputs)
        report = gradient_report(called, *inputs, **options)
        target(min(report.margin, 1e6), label="the worst margin")
        for moved in kinks_beside(called, inputs, **options) if kinks and report.ok else ():
            inputs, report = moved, gradient_report(called, *moved, **options)
            if not report.ok:
                break
        if not report.ok:
            again = Request(called, inputs, **options).again()[-1]
            if again not in report.details:
                note(again)
            raise GradientError(report)

    test.__signature__ = arguments  # type: ignore[attr-defined]
    checked = hypothesis.given(**dict(zip(drawn, strategies, strict=True)))(test)
    if settings is not None:
        checked = settings(checked)

    @wraps(checked)
    def run(*fixtures: Any, **named_fixtures: Any) -> None:
        said = {name: x for name, x in vars(run).items() if name != "__wrapped__"}  # by decorators above this one
        phases = [phase for phase in said[SETTINGS].phases if phase is not Phase.explain]
        vars(checked).update(said | {SETTINGS: Settings(said[SETTINGS], deadline=None, phases=phases)})
        checked(*fixtures, **named_fixtures)

    run.checks_gradient_of = f  # type: ignore[attr-defined]
    return run


def kinks_beside(f: Callable[..., Any], inputs: list[Any], **options: Any) -> Iterator[list[Any]]:
    """Other inputs of a function, each with a kink, see `points_at_kinks`."""
    gradient, model, wrt = (options.get(name) for name in ("gradient", "model", "wrt"))
    subject = HandWritten(f, gradient, inputs, wrt) if gradient else TensorSubject(f, inputs, None, wrt)
    with buffers_restored(model or f), np.errstate(all="ignore"):
        points = list(points_at_kinks(subject, np.random.default_rng(options.get("seed", 0))))
    yield from map(subject.inputs.filled, points)


def arguments_of(f: Callable[..., Any], count: int) -> tuple[list[str], list[str]]:
    """The names of all arguments that a test is called with, and of the `count` last ones of them that are drawn."""
    parameters = signature(f).parameters.values()
    named = [p for p in parameters if p.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)]
    names = [p.name for p in named if p.default is Parameter.empty]
    names += [p.name for p in named if p.default is not Parameter.empty][: max(0, count - len(names))]
    if any(p.kind is Parameter.VAR_POSITIONAL for p in parameters):
        names += [f"argument_{i}" for i in range(len(names), count)]
    if count > len(names):
        raise TypeError(f"{count} strategies for a function of {len(names)} arguments: give one for each, or fewer")
    return names, names[len(names) - count :]


def called_with(
    f: Callable[..., Any], given: dict[str, Any], drawn: list[str], inputs: list[Any]
) -> Callable[..., Any]:
    """`f` as a function of what is drawn: the rest is fixed, and so is what it draws itself."""
    parameters = signature(f).parameters
    by_name = [name for name in given if name in parameters and parameters[name].kind is Parameter.KEYWORD_ONLY]
    replays = [x for x in inputs if isinstance(x, Replay)]
    if len(drawn) == len(given) and not by_name and not replays:
        return f

    @wraps(f)
    def call(*values: Any) -> Any:
        for replay in replays:
            replay.position = 0
        arguments = given | dict(zip(drawn, values, strict=True))
        keywords = {name: arguments.pop(name) for name in by_name}
        return f(*arguments.values(), **keywords)

    call.is_unnamed = True  # type: ignore[attr-defined]  # nobody can call it
    return call


class Replay:
    """What `st.data()` gives, drawing once and then the same again: a function is called many times for one example."""

    def __init__(self, data: DataObject) -> None:
        self.data, self.drawn, self.position = data, list[Any](), 0

    def draw(self, strategy: SearchStrategy[Any], label: Any = None) -> Any:
        """The next thing that was drawn, or a new one."""
        if self.position == len(self.drawn):
            self.drawn.append(self.data.draw(strategy, label))
        self.position += 1
        return self.drawn[self.position - 1]
