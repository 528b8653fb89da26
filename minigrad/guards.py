"""What keeps a backward pass from being silently wrong: values updated since they were used, and graphs freed before.

A gradient rule computes with what it holds: tensors or arrays that it closes over, its default arguments, what was
bound to it by `functools.partial` or as `self`; and, if it looks at it, with the result of the step. If one of them was
updated in place after the step was recorded, its old value is gone, so the backward pass refuses. What is written into
an array itself, `x.numpy()[0] = 1`, nobody sees: updates are those through tensors.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from dis import get_instructions
from functools import partial
from itertools import pairwise
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, TypeVar

import numpy as np

from minigrad.arrays import Array, owner_of
from minigrad.tensor import Edge, Tensor, clock

T = TypeVar("T")
PACKAGE = __name__.partition(".")[0]
SURFACE = ("shape", "dtype", "ndim", "size")  # what an update in place leaves as it is
libraries = {PACKAGE}  # packages whose lines are not the user's; one that is built on this one adds itself


def reachable(start: Iterable[T], onward: Callable[[T], Iterable[T]]) -> list[T]:
    """`start`, and all that `onward` leads to from there, each once. Nothing recurses."""
    found = list({id(x): x for x in start}.values())
    seen = set(map(id, found))
    for x in found:  # grows while it is walked
        for y in onward(x):
            if id(y) not in seen:
                seen.add(id(y))
                found.append(y)
    return found


def name_of(tensor: Tensor) -> str:
    """The name of the operation that made a recorded tensor."""
    return name_of_operation(tensor._operation)


def name_of_operation(operation: Any) -> str:
    """What an operation is called: an object after its class, a `functools.partial` after its function.

    A copy of a result has the name itself.
    """
    if isinstance(operation, str):
        return operation
    function = operation.func if isinstance(operation, partial) else operation
    return str(getattr(function, "__name__", "") or type(function).__name__)


def failed_rule(tensor: Tensor, parent: Tensor) -> str:
    """Which rule has failed: the one that takes the gradient of `tensor` back to `parent`."""
    line = "" if tensor._extras is None or tensor._extras.line is None else f", recorded at {tensor._extras.line}"
    return (
        f"while computing the gradient that {name_of(tensor)}{line}, whose result has shape {tensor.shape}, "
        f"passes back to an input of shape {parent.shape}"
    )


# ------------------------------------------------------------------------------------------------ updates in place


def check_not_updated(tensor: Tensor) -> None:
    """Raise RuntimeError if a value that rules of `tensor` need was updated in place after `tensor` was computed."""
    needed = kept_by_rules(tensor)
    if was_written(tensor._data, tensor._time) and any(reads_result(rule) for _, rule in tensor._edges):
        needed.append(tensor)
    for kept in needed:
        array = kept._data if isinstance(kept, Tensor) else kept
        is_new = isinstance(kept, Tensor) and kept.is_leaf and kept._time > tensor._time
        if is_new or was_written(array, tensor._time):
            raise RuntimeError(
                f"a tensor of shape {owner_of(array).shape} was updated in place after {name_of(tensor)} "
                f"{'computed' if kept is tensor else 'used'} it, "
                "and the backward pass needs its old value: call backward() before the update"
            )


def was_written(array: Array, time: int) -> bool:
    """Whether the memory of an array was written into after `time`."""
    owner = owner_of(array)
    reference, written = clock.written.get(id(owner), (None, 0))
    return written > time and reference is not None and reference() is owner


def reads_result(rule: Callable[..., Any]) -> bool:
    """Whether a rule looks at the values of the result that it is handed, as far as its code tells, else True."""
    if not isinstance(rule, FunctionType) or rule.__code__.co_argcount < 2:
        return True
    result, steps = rule.__code__.co_varnames[1], list(get_instructions(rule.__code__))
    for step, following in pairwise(steps):
        loaded = step.argval if isinstance(step.argval, tuple) else (step.argval,)  # of two variables at once
        if result in loaded[:-1] or (loaded[-1:] == (result,) and following.argval not in SURFACE):
            return True
    return False


def kept_by_rules(tensor: Tensor) -> list[Any]:
    """The tensors and arrays that the gradient rules of `tensor` hold, in whatever they hold them."""
    held = reachable((rule for _, rule in tensor._edges), held_by)
    return [x for x in held if isinstance(x, (Tensor, np.ndarray))]


def held_by(x: Any) -> list[Any]:
    """What an object holds, as Python's garbage collector sees it, and for a function also the globals it names.

    The search ends at tensors and arrays, and at what belongs to the program and not to the object.
    """
    if isinstance(x, np.ndarray) and x.dtype == object:
        return list(x.flat)
    if isinstance(x, (Tensor, np.ndarray, ModuleType, type, CodeType)):
        return []
    if hasattr(x, "cache_info"):  # of `functools.cache`; what is in there was computed in a pass, by what it wraps
        return [x.__wrapped__] if hasattr(x, "__wrapped__") else []  # JAX has caches of its own
    if not isinstance(x, FunctionType):
        return gc.get_referents(x)
    held = [*(x.__closure__ or ()), x.__defaults__, x.__kwdefaults__, x.__dict__]
    if x.__globals__.get("__name__", "").partition(".")[0] != PACKAGE:
        named = [x.__globals__[name] for name in names_in(x.__code__) if name in x.__globals__]
        held += [y for y in named if not isinstance(y, FunctionType) or y.__globals__ is x.__globals__]
    return held


def names_in(code: CodeType) -> list[str]:
    """The global names in some code and in the functions defined there."""
    inner = [name for constant in code.co_consts if isinstance(constant, CodeType) for name in names_in(constant)]
    return [*code.co_names, *inner]


# ------------------------------------------------------------------------------------------------ freed graphs


class Freed(tuple[Edge, ...]):
    """The edges of a result whose graph was freed: none, and the line whose backward pass freed them."""

    by: str


def freed_here() -> Freed:
    """What replaces the edges of a graph: none, and the line that frees it."""
    freed = Freed()
    frame = user_frame()
    freed.by = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    return freed


def freed_before(tensor: Tensor, freed: Freed) -> str:
    """The sentence for a tensor whose graph is asked for after it was freed."""
    return (
        f"the graph behind this tensor of shape {tensor.shape}, made by {name_of(tensor)}, was freed by "
        f"backward() at {freed.by}: pass retain_graph=True there to go through it again"
    )


def user_frame(frame: FrameType | None = None) -> FrameType:
    """The innermost running function from outside the libraries, looked for from `frame` outwards."""
    frame = frame or sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in libraries:
        frame = frame.f_back
    return frame
