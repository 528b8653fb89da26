"""`gradcheck`: gradients against numerical derivatives, and all else that must hold of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import numpy as np

from minigrad.allocator import keep_freed_memory
from minigrad.testing.examination import Examination
from minigrad.testing.numeric import Tolerance
from minigrad.testing.report import GradientError, Report
from minigrad.testing.reproduce import Request
from minigrad.testing.structure import CHECKS
from minigrad.testing.subject import HandWritten, Subject, TensorSubject
from minigrad.trees import leaves

__tracebackhide__ = True  # of pytest's tracebacks: reports, and lines of the user's, say more than ours


def gradcheck(f: Callable[..., Any], *inputs: Any, **options: Any) -> Report:
    """Compare the gradients of `f` with numerical derivatives, and check all else that must hold of them.

    Args:
        f: a function of tensors, or nested containers of them, that returns tensors; a module; or, with `gradient`, a
            function of plain arrays.
        inputs: at which to check: floating ones (arrays, tensors, Python floats) are variables and become float64, all
            others are handed to `f` as they are, and with `wrt` also floating ones that are data.
        options: see `gradient_report`, which does the same without raising.

    Returns:
        The report, of which `print` shows what was checked.

    Raises:
        ValueError, TypeError: see `gradient_report`.
        GradientError: if anything is wrong, or more than half undecided; its message is the report. A part that the
            numbers say nothing of is no error, but the report calls itself undecided: see `Report.state`.

    >>> print(gradcheck(lambda x: x * x, np.array([1.0, 2.0])))
    the gradient of <lambda> is correct (slopes: 3 correct)
    """
    report = gradient_report(f, *inputs, **options)
    if not report.ok:
        raise GradientError(report)
    return report


def gradient_report(
    f: Callable[..., Any],
    *inputs: Any,
    gradient: Callable[..., Any] | None = None,
    model: Any = None,
    wrt: int | Sequence[int] | None = None,
    order: int = 1,
    checks: Collection[str] | None = None,
    every_entry: bool = False,
    directions: int = 3,
    rtol: float = Tolerance.rtol,
    atol: float = Tolerance.atol,
    seed: int = 0,
) -> Report:
    """What `gradcheck` finds, as a report.

    Args:
        f, inputs: see `gradcheck`.
        gradient: the hand-written gradient of a function of plain arrays, which returns one array for each floating
            input: called like `f` if that returns one number, otherwise with the cotangents as last arguments.
        model: a module that `f` uses, whose parameters are variables too; `f` itself if that is a module.
        wrt: the positions of the inputs that are variables: all floating ones by default. Other floating inputs are
            data, handed to `f` as they are, and `gradient` returns nothing for them.
        order: 2 to check the derivatives of the gradients as well.
        checks: which of `CHECKS` to make besides the numerical ones: all by default. Without the right shapes there
            are no numbers to compare, so that these are always looked at.
        every_entry: look at each entry too, not only along random directions.
        directions: how many of these.
        rtol, atol: see `Tolerance`; the numerical error bar is added to them.
        seed: what directions and cotangents are drawn from.

    Raises:
        ValueError: if there is nothing to check, or there is no such check, no such order, or no such variable.
        TypeError: if `f` returns nothing floating, or what is neither array nor number.

    >>> report = gradient_report(np.tanh, np.array([1.0, 2.0]), gradient=lambda x, cotangent: 1 - np.tanh(x) ** 2)
    >>> report.ok, report.problems[0]
    (False, 'the cotangent is ignored: two different ones give the same gradient of input 0')
    """
    return examined(Request(**locals()))


def examined(asked: Request, explained: bool = True) -> Report:
    """The report; while a line that reproduces a fault is tried, one without explanations."""
    f, model = asked.function, asked.model
    check_settings(asked)
    check_parts(asked)
    keep_freed_memory()  # before the first backward pass, which functions of arrays never have
    if model is None and hasattr(f, "named_parameters"):
        model = f
    if asked.gradient:
        subject: Subject = HandWritten(f, asked.gradient, asked.inputs, asked.wrt)
    else:
        subject = TensorSubject(f, asked.inputs, model, asked.wrt)
    if not subject.arrays:
        given = ", ".join(sorted({f"{type(x).__module__}.{type(x).__name__}" for x in leaves(list(asked.inputs))}))
        raise ValueError("there is nothing to differentiate with respect to: give floating arrays of NumPy, tensors or "
                         f"Python's floats, got {given.replace('builtins.', '') or 'nothing'}")
    examination = Examination(asked, subject, explained)
    examination.report.notes += subject.inputs.not_looked_into()
    with buffers_restored(model), np.errstate(all="ignore"):  # what is not finite is reported
        examination.examine()
    return examination.report


def check_settings(asked: Request) -> None:
    """Raise ValueError, with a sentence, for settings that cannot be."""
    checks = CHECKS if asked.checks is None else asked.checks
    if isinstance(checks, str) or not isinstance(checks, Collection):
        raise ValueError(f"checks are several names, such as [{next(iter(CHECKS))!r}], got {checks!r:.80}")
    if unknown := [check for check in checks if not isinstance(check, str) or check not in CHECKS]:
        raise ValueError(f"there is no check {unknown}: take some of {', '.join(CHECKS)}")
    if not isinstance(asked.order, Integral) or asked.order not in (1, 2):
        raise ValueError(f"order is 1, or 2 for derivatives of the gradients too, got {asked.order!r:.80}")
    if not isinstance(asked.directions, Integral) or asked.directions < 1:
        raise ValueError(f"there must be at least 1 direction to look along, got {asked.directions!r:.80}")
    if not isinstance(asked.seed, Integral) or asked.seed < 0:
        raise ValueError(f"seed is an integer of at least 0, got {asked.seed!r:.80}")
    for name, tolerance in (("rtol", asked.rtol), ("atol", asked.atol)):
        if not isinstance(tolerance, Real) or not tolerance >= 0:
            raise ValueError(f"{name} is a number of at least 0, got {tolerance!r:.80}")


def check_parts(asked: Request) -> None:
    """Raise ValueError or TypeError, with a sentence, unless there are a function, and a gradient or a model of it."""
    if asked.gradient is not None and not callable(asked.gradient):
        raise TypeError(f"gradient is a function that returns gradients, got {asked.gradient!r:.80}")
    if asked.gradient is not None and asked.model is not None:
        raise ValueError("a hand-written gradient has none for parameters: model= is for functions of tensors")
    if not callable(asked.f):
        raise TypeError(f"the first argument is the function whose gradient is checked, got {asked.f!r:.80}")
    for thing in (asked.function, asked.model):
        if isinstance(thing, type) and hasattr(thing, "named_parameters"):
            raise TypeError(f"{thing.__name__} is a class: give a module that is made of it, {thing.__name__}(...)")
    if asked.model is not None and not hasattr(asked.model, "named_parameters"):
        raise TypeError(f"model is a module that f uses, got {asked.model!r:.80}")


@contextmanager
def buffers_restored(model: Any) -> Iterator[None]:
    """Leave the arrays of a module that are not parameters, such as running averages, as they were."""
    modules = list(model.modules()) if hasattr(model, "modules") else []
    kept = [(vars(m), name, x, x.copy()) for m in modules for name, x in vars(m).items() if isinstance(x, np.ndarray)]
    try:
        yield
    finally:
        for attributes, name, x, before in kept:
            attributes[name] = x
            if x.flags.writeable:  # and maybe somebody else's, too
                x[...] = before
