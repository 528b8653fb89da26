"""Whether float32 stays float32, and agrees with float64 to its precision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from minigrad.arrays import Array, scalar_if_0d
from minigrad.guards import name_of
from minigrad.ops import operations
from minigrad.recording import Contributed, Event, Recorded, Seeded, recording
from minigrad.tensor import Tensor
from minigrad.testing.blame import Step, recorded_steps
from minigrad.testing.outcome import Disagreement, Outcome
from minigrad.testing.spelling import at_index
from minigrad.testing.subject import Recording, TensorSubject, copies
from minigrad.transforms import leaves

SINGLE = float(np.finfo(np.float32).eps)
LARGE = 1e30  # what is smaller fits into float32


class OfSinglePrecision(Disagreement):
    """Numbers that differ as rounding to float32 may make them."""

    epsilon = SINGLE


def float32(run: Outcome) -> str | None:
    """float32 stays float32, and agrees with float64 to its precision, unless that is too small for the numbers."""
    subject = run.subject
    if not isinstance(subject, TensorSubject):
        return None
    arrays = [x.astype(np.float32) for x in subject.arrays]
    with recorded_steps() as steps, recorded_casts() as casts:
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
    if not all(np.isfinite(x).all() for x in exact) or [a.shape for a in exact] != [b.shape for b in found]:
        return None
    off = [np.asarray(a.astype(np.float64) - b) for a, b in zip(found, exact, strict=True)]
    allowed, rng = by_size(exact), run.rng()
    for _ in range(3):
        if np.all(sizes_of(off) <= allowed):
            return None
        allowed = np.maximum(allowed, rounded_away(run, arrays, exact, off, rng))
    for name, a, b, x, y in zip(run.names(), found, exact, off, allowed, strict=True):
        if y < np.inf and not sizes_of([x])[0] <= y:
            worst = np.unravel_index(int(np.argmax(np.nan_to_num(np.abs(x), nan=np.inf))), x.shape)
            index = tuple(map(int, worst))
            numbers = f"{a[index]:.8g} instead of {b[index]:.8g}{at_index(index)}"
            return OfSinglePrecision(f"float32 does not agree with float64: {name} is {numbers}")
    return None


def agrees_to_single(found: Sequence[Array], exact: Sequence[Array]) -> bool:
    """Whether all arrays have the shapes of others and are off by less than `by_size`."""
    if [a.shape for a in found] != [b.shape for b in exact]:
        return False
    return bool(np.all(sizes_of(a - b for a, b in zip(found, exact, strict=True)) <= by_size(exact)))


def by_size(exact: Sequence[Array]) -> Array:
    """How far each of some arrays may be off in float32, by its own size."""
    allowed: Array = SINGLE**0.5 * sizes_of(exact) + 16 * SINGLE
    return allowed


def rounded_away(
    run: Outcome, arrays: Sequence[Array], exact: Sequence[Array], off: Sequence[Array], rng: np.random.Generator
) -> Array:
    """How far each result may be off by rounding to float32, which a random change of the last digits shows.

    Either it moves the exact results as far, or what float32 gives is off by something else each time. A wrong rule is
    off by the same. But what is lost altogether, beside 1 or beside what is larger on the way, is off by the same too.
    """
    near = [np.asarray(x * (1 + 2 * SINGLE * rng.standard_normal(x.shape)), np.float32) for x in arrays]
    largest = Largest()
    with recording(cut_result), recording(largest):
        made = run.subject.recorded([x.astype(np.float64) for x in near])
        others = copies([*made.values, *run.with_zeros(made.gradients(copies(run.cotangents)))])
    again = [a - b for a, b in zip(run.results(near, copies(run.cotangents)), others, strict=True)]
    moved, spread = (np.nan_to_num(sizes_of(np.subtract(a, b) for a, b in zip(*pair, strict=True)), nan=np.inf)
                     for pair in ((others, exact), (again, off)))
    sizes = sizes_of(exact)
    lost = 16 * SINGLE * np.fmax(1.0, largest.on_the_way(made))
    by_own = SINGLE**0.5 * sizes + lost + 16 * np.maximum(moved, spread)
    allowed: Array = np.minimum(by_own, SINGLE**0.5 * sizes.max() + 16 * moved)
    return allowed


def sizes_of(arrays: Iterable[Array]) -> Array:
    """The largest size in each of some arrays."""
    return np.array([float(np.abs(x).max(initial=0.0)) for x in arrays])


class Largest:
    """A listener that knows the largest value on the way to each result, and gradient on the way to each tensor."""

    def __init__(self) -> None:
        self.values, self.gradients = dict[Tensor, float](), dict[Tensor, float]()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Recorded):
            before = [self.values[x] if x in self.values else largest_in(x)
                      for x in event.inputs if isinstance(x, Tensor)]
            self.values[event.result] = max([largest_in(event.result), *before])
        elif isinstance(event, Seeded):
            self.gradients[event.tensor] = largest_in(event.gradient)
        elif isinstance(event, Contributed):
            before = [self.gradients[x] for x in (event.result, event.parent) if x in self.gradients]
            self.gradients[event.parent] = max([largest_in(event.contribution), *before])

    def on_the_way(self, made: Recording) -> Array:
        """That to each output, and to each variable."""
        return np.array([*(self.values.get(x, 0.0) for x in made.outputs),
                         *(self.gradients.get(x, 0.0) for x in made.variables)])


def largest_in(x: Tensor) -> float:
    return float(np.abs(x._data).max(initial=0.0))


def cut_result(event: Event) -> None:
    """Cut a recorded value to the precision and range of float32, as if it had been computed in float32."""
    if isinstance(event, Recorded) and event.result.dtype == np.float64:
        event.result._data = scalar_if_0d(event.result._data.astype(np.float32).astype(np.float64))


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

    The sweep casts back, after the loss: that is of time and memory, or of digits.
    """
    casts: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Contributed) and event.result.dtype == event.parent.dtype != event.raw.dtype:
            casts.append(f"a gradient rule of {name_of(event.result)} makes {event.raw.dtype} of {event.result.dtype}")

    with recording(listen):
        yield casts
