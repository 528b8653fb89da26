"""Whether float32 stays float32, and agrees with float64 to its precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from minigrad.arrays import Array
from minigrad.guards import name_of
from minigrad.ops import operations
from minigrad.recording import Contributed, Event, recording
from minigrad.tensor import Tensor
from minigrad.testing.blame import Step, recorded_steps
from minigrad.testing.numeric import MARGIN
from minigrad.testing.outcome import Disagreement, Outcome
from minigrad.testing.spelling import at_index
from minigrad.testing.subject import PATIENCE, Counted, TensorSubject, apart, copies
from minigrad.trees import leaves

SINGLE = float(np.finfo(np.float32).eps)
LARGE = 1e30  # what is smaller fits into float32


def float32(run: Outcome) -> str | None:
    """float32 stays float32, and agrees with float64 to its precision, unless that is too small for the numbers."""
    subject = run.subject
    if not isinstance(subject, TensorSubject):
        return None
    arrays = [x.astype(np.float32) for x in subject.arrays]
    limit = Counted(PATIENCE * (1 + len(run.steps)))
    with recorded_steps() as steps, recorded_casts() as casts, recording(limit):
        made = subject.recorded(arrays)
        gradients = made.gradients(copies(run.cotangents))
    if cast := upcasting_step(steps):
        return cast
    if casts or run.casts:
        return (casts or run.casts)[-1]  # the first operation's
    results = [*made.values, *run.with_zeros(gradients)]
    if agrees_to_single(results, [*run.values, *run.dense]):  # although inputs have been rounded, too
        return None
    if any(x.dtype != np.float32 for x in made.values) or not all(np.isfinite(x).all() for x in made.values):
        return None  # it computes in float64 on purpose, or float32 is too small for these numbers
    for name, single, double in zip(subject.names, results[len(made.values) :], run.dense, strict=True):
        if (bad := ~np.isfinite(single)).any() and np.abs(double).max() < LARGE:
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            raise FloatingPointError(f"where the gradient of {name}{at_index(index)} is {single[index]}, and "
                                     f"{double[index]:.8g} in float64: an array on the way leaves its range")
    return single_precision_difference(run, arrays, results)


def single_precision_difference(run: Outcome, rounded: list[Array], found: list[Array]) -> str | None:
    """How float32 results differ from float64 ones by more than rounding to float32 may explain."""
    arrays = [x.astype(np.float64) for x in rounded]
    exact = run.results(arrays, copies(run.cotangents))
    moved = replace(run, epsilon=SINGLE).shaken(arrays, run.cotangents)
    same = [a.shape for a in exact] == [b.shape for b in found] and all(np.isfinite(x).all() for x in exact)
    if moved is None or not same:
        return None
    off, usual, names = np.array(apart(found, exact)), by_size(exact), run.names()
    allowed = usual + MARGIN * np.array(moved)

    def worst(i: int) -> str:
        far = np.nan_to_num(np.abs(found[i] - exact[i]), nan=np.inf)
        index = tuple(map(int, np.unravel_index(int(far.argmax()), far.shape)))
        return f"{names[i]} is {found[i][index]:.8g} instead of {exact[i][index]:.8g}{at_index(index)}"

    if (wrong := np.flatnonzero((off > allowed) & (allowed < np.inf))).size:
        i = int(wrong[0])
        said = f"float32 does not agree with float64: {worst(i)}"
        return Disagreement(said, off[i], lambda: run.results(arrays, copies(run.cotangents))[i], SINGLE)
    if (lossy := np.flatnonzero(off > usual)).size and lossy[0] >= len(run.values):
        raise FloatingPointError(f"where {worst(lossy[0])}: rounding costs it more than it costs the values")
    return None


def agrees_to_single(found: Sequence[Array], exact: Sequence[Array]) -> bool:
    """Whether all arrays have the shapes of others and are off by less than `by_size`."""
    same = [a.shape for a in found] == [b.shape for b in exact]
    return same and bool(np.all(apart(found, exact) <= by_size(exact)))


def by_size(exact: Sequence[Array]) -> Array:
    """How far each of some arrays may be off in float32, by its own size."""
    return np.array([SINGLE**0.5 * np.abs(x).max(initial=0.0) + 16 * SINGLE for x in exact])


def upcasting_step(steps: Sequence[Step]) -> str | None:
    """The first operation that makes float64 of float32, unless its arguments ask for it."""
    for step in steps:
        if step.out.dtype == np.float64 and not asks_for_float64(step):
            return f"{step.name}, called at {step.line}, makes float64 of float32: a float64 constant in it?"
    return None


def asks_for_float64(step: Step) -> bool:
    """Whether float64 is what NumPy makes of the arguments, or one of them is a dtype."""
    given = leaves([step.arguments, step.options])
    arrays = [x._data if isinstance(x, Tensor) else x for x in given if isinstance(x, (Tensor, np.ndarray, np.generic))]
    kinds = [known.kind for known in operations.values() if known.function is step.operation]
    if kinds and kinds[0] != "elementwise":  # integers are indices or labels, and take no part in the arithmetic
        arrays = [x for x in arrays if x.dtype.kind == "f"]
    return any(isinstance(x, (type, np.dtype)) for x in given) or bool(arrays and np.result_type(*arrays) == np.float64)


@contextmanager
def recorded_casts() -> Iterator[list[str]]:
    """Within this context a sentence is added to the list for each rule that makes float64 of float32, or the reverse.

    The sweep casts back, after the loss: that is of time and memory, or of digits. In half precision rules may compute
    with more, as counts and sums need it.
    """
    casts: list[str] = []

    def listen(event: Event) -> None:
        if not isinstance(event, Contributed) or event.result.dtype == np.float16:
            return
        if event.result.dtype == event.parent.dtype != event.raw.dtype:
            casts.append(f"a gradient rule of {name_of(event.result)} makes {event.raw.dtype} of {event.result.dtype}")

    with recording(listen):
        yield casts
