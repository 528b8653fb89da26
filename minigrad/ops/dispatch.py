"""NumPy's own functions on tensors: `np.exp(t)` is `minigrad.exp(t)`, `array + t` is a tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.ops.registry import twins
from minigrad.tensor import Tensor, value, wrap

SHAPE_ONLY = {np.shape, np.ndim, np.size, np.result_type, np.array_equal, np.array2string, np.array_repr, np.array_str}


def array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """Called by NumPy for a ufunc with a tensor among its operands."""
    if method == "__call__" and not options:
        if ufunc in twins:
            return twins[ufunc](*inputs)
        if all(signature.endswith("?") for signature in ufunc.types):  # a comparison or another predicate
            return ufunc(*map(value, inputs))
        if not any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
            return wrap(ufunc(*map(value, inputs)))
    name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    arguments = f" with {', '.join(options)}" if options else ""
    raise TypeError(not_differentiable(name + arguments))


def array_function(
    self: Tensor, function: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Called by NumPy for any of its other functions with a tensor among its arguments."""
    if function in twins:
        return twins[function](*args, **kwargs)
    if function in SHAPE_ONLY:
        return function(*[x.data if isinstance(x, Tensor) else x for x in args], **kwargs)
    raise TypeError(not_differentiable(function.__name__))


def not_differentiable(name: str) -> str:
    """The sentence for a NumPy function that has no operation here."""
    return (
        f"numpy.{name} is not differentiable here: apply it to x.detach().numpy() if no gradient should flow through it"
    )


Tensor.__array_ufunc__ = array_ufunc
Tensor.__array_function__ = array_function
