"""Functions without a gradient: step functions, which refuse to hide that, and those whose results are plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.modes import is_grad_enabled
from minigrad.ops.registry import NONZERO, REAL, Domain, named_after, operation
from minigrad.tensor import Tensor, TensorLike, value, wrap

__all__ = [
    "sign", "floor", "ceil", "rint", "trunc", "round", "floor_divide", "argmax", "argmin", "argsort",
]

FLAT = "its derivative is zero almost everywhere. Call it on x.detach() to say that no gradient should flow"


def needs_gradient(*inputs: Any) -> bool:
    """Whether an operation on these inputs would be recorded."""
    return is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in inputs)


def step(twin: Callable[..., Any], domain: tuple[Domain, ...] = (REAL,), methods: str = "") -> Callable[..., Tensor]:
    """An operation that computes `twin`, but raises TypeError if a gradient is asked of it."""
    def function(*args: TensorLike) -> Tensor:
        if needs_gradient(*args):
            raise TypeError(f"{twin.__name__} of a tensor that requires gradients: {FLAT}")
        return wrap(twin(*map(value, args)))

    return named_after(twin, function, f"As `numpy.{twin.__name__}`; {FLAT}", "step", domain=domain, methods=methods)


sign = step(np.sign)
floor = step(np.floor)
ceil = step(np.ceil)
rint = step(np.rint)
trunc = step(np.trunc)
floor_divide = step(np.floor_divide, (REAL, NONZERO), "__floordiv__ __rfloordiv__ __ifloordiv__")


@operation("step", np.round, methods="round __round__")
def round(x: TensorLike, decimals: int = 0) -> Tensor:
    """As `numpy.round`; its derivative is zero almost everywhere."""
    if needs_gradient(x):
        raise TypeError(f"round of a tensor that requires gradients: {FLAT}")
    return wrap(np.round(value(x), decimals))


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of a tensor's value: indices or truths, plain arrays that carry no gradient."""
    def plain_function(x: TensorLike, *args: Any, **options: Any) -> Any:
        return function(value(x), *args, **options)

    plain_function.__name__ = plain_function.__qualname__ = function.__name__
    plain_function.__doc__ = f"As `numpy.{function.__name__}`, no tensor."
    setattr(Tensor, function.__name__, plain_function)
    return plain_function


argmax, argmin, argsort = plain(np.argmax), plain(np.argmin), plain(np.argsort)
plain(np.any)
plain(np.all)
