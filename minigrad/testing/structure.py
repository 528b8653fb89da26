"""What must hold of a gradient besides its numbers: each check is a function that returns a sentence, or None.

A check gets an `Outcome`: the subject, its values and gradients at the point for random cotangents.
"""

from __future__ import annotations

import gc
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from minigrad.arrays import Array, scalar_if_0d
from minigrad.graph import topological_order
from minigrad.guards import kept_by_rules, name_of
from minigrad.modes import enable_grad
from minigrad.ops import operations
from minigrad.recording import Contributed, Event, Recorded, Seeded, recording
from minigrad.tensor import Tensor
from minigrad.testing.blame import Step, recorded_steps
from minigrad.testing.differences import EPSILON
from minigrad.testing.layouts import LAYOUTS, awkward, repeated
from minigrad.testing.numeric import SHRINK
from minigrad.testing.probe import drawn
from minigrad.testing.subject import Gradients, Recording, Subject, TensorSubject, gradients_of, spread_by_rounding
from minigrad.transforms import jvp, leaves

QUARTER = EPSILON**0.25
SINGLE = float(np.finfo(np.float32).eps)
LARGE = 1e30  # what is smaller fits into float32
ROUNDING = 1e-12  # what rounding of intermediate values of moderate size may leave where the result is 0


@dataclass(frozen=True)
class Again:
    """What one more call leaves behind, when it has been differentiated twice.

    Attributes:
        made: the call.
        arrays, cotangents: the copies that were handed in.
        handed: the gradients of the first time, in the arrays that the pass returned.
        passes: those of both times, as they were then.
        written: a sentence for what has been written into, if anything has.
    """

    made: Recording
    arrays: list[Array]
    cotangents: list[Array]
    handed: Gradients
    passes: list[list[Array]]
    written: str | None


@dataclass(frozen=True)
class Outcome:
    """A subject with what it gave at its point.

    Attributes:
        seed: for whatever else a check draws.
        epsilon: the precision of the least precise results, intermediate ones too: tolerances follow it.
        steps: what was recorded on the way.
        casts: what `recorded_casts` has to say of the gradients.
    """

    subject: Subject
    values: list[Array]
    cotangents: list[Array]
    gradients: Gradients
    seed: int
    epsilon: float = EPSILON
    steps: Sequence[Step] = ()
    casts: Sequence[str] = ()

    def rng(self) -> np.random.Generator:
        return np.random.default_rng((self.seed, 1))  # not what the cotangents were drawn from

    def names(self) -> list[str]:
        """What values and gradients are called."""
        return [f"output {i}" for i in range(len(self.values))] + [f"the gradient of {x}" for x in self.subject.names]

    def copies(self) -> list[Array]:
        return [x.copy() for x in self.subject.arrays]

    @cached_property
    def again(self) -> Again:
        subject, arrays, cotangents = self.subject, self.copies(), [c.copy() for c in self.cotangents]
        made = subject.recorded(arrays)
        inner = {id(kept): (name, kept) for name, kept in kept_arrays(made.outputs, made.variables)}
        saved = [(name, kept, kept.tobytes()) for name, kept in inner.values()]
        handed = made.gradients(cotangents)
        passes = [self.dense(handed), self.dense(made.gradients(cotangents))]
        said = [f"an array of shape {kept.shape} that {name} has saved"
                for name, kept, before in saved if kept.tobytes() != before]
        if changed(["it"] * len(cotangents), cotangents, self.cotangents):
            said.insert(0, "the cotangent: copy it first")
        written = f"the backward pass writes into {said[0]}" if said else None
        return Again(made, arrays, cotangents, handed, passes, written)

    def dense(self, gradients: Gradients) -> list[Array]:
        """Gradients as they are now, with zeros where none arrives: a later pass may write into its arrays again."""
        pairs = zip(self.subject.arrays, gradients, strict=True)
        return [np.zeros(x.shape) if g is None else g.copy() for x, g in pairs]

    def digits(self, share: float = 0.5) -> float:
        """A tolerance that leaves a share of the digits."""
        return float(self.epsilon**share)

    def shaken(self, arrays: Sequence[Array], cotangents: Sequence[Array]) -> list[Any]:
        """How far rounding inputs, cotangents and results moves values and gradients: far at jumps."""
        groups = [[np.array(x, order="C") for x in group] for group in (arrays, cotangents)]
        rng, here = self.rng(), both(self, *groups)
        moved = spread_by_rounding(lambda: both(self, *groups), rng, self.epsilon) or [0.0] * len(here)
        for _ in range(3):
            near = [[np.asarray(x * (1 + 4 * self.epsilon * rng.standard_normal(x.shape))) for x in group]
                    for group in groups]
            off = [np.abs(a - b).max(initial=0.0) for a, b in zip(both(self, *near), here, strict=True)]
            moved = [float(np.maximum(a, np.nan_to_num(b, nan=np.inf))) for a, b in zip(moved, off, strict=True)]
        return moved


def differing(a: Array, b: Array, tolerance: float, moved: float = 0.0) -> tuple[int, ...] | None:
    """The index where two arrays of one shape differ most, if that is more than a fraction of the largest element."""
    off = np.asarray(a - b)
    worst, largest = np.abs(off, out=off).max(initial=0.0), float(np.abs(b).max(initial=0.0))
    if moved > largest / SHRINK:  # as after rounding where a function jumps, or where nothing is left of its digits
        return None
    allowed = tolerance * largest + ROUNDING + SHRINK * moved
    if worst <= allowed:
        return None
    off = np.where(a == b, 0.0, np.nan_to_num(off, nan=np.inf, posinf=np.inf))
    if off.max() <= allowed:
        return None
    return tuple(int(i) for i in np.unravel_index(int(off.argmax()), off.shape))


def first_difference(
    names: Sequence[str],
    found: Sequence[Array],
    expected: Sequence[Array],
    tolerance: float,
    moved: Sequence[float] | None = None,
) -> str | None:
    """`<name> is <a> instead of <b> at <index>` for the first of some arrays that differs.

    Args:
        moved: how far rounding may have moved each.
    """
    for name, a, b, by in zip(names, found, expected, moved or [0.0] * len(names), strict=True):
        if np.shape(a) != np.shape(b):
            return f"{name} has shape {np.shape(a)} instead of {np.shape(b)}"
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        if (index := differing(a, b, tolerance, by)) is not None:
            return f"{name} is {a[index]:.8g} instead of {b[index]:.8g}" + (f" at {index}" if index else "")
    return None


# ------------------------------------------------------------------------------------------------ f itself


def deterministic(run: Outcome) -> str | None:
    """The same values each time."""
    again = run.subject.values(run.subject.arrays)
    for i, (a, b) in enumerate(zip(run.values, again, strict=True)):
        if a.shape != b.shape or not np.array_equal(a, b, equal_nan=True):
            return (
                f"f is not deterministic: output {i} is another the second time. Is dropout left on, or does it draw "
                "from a global generator? Call .eval(), or give it a generator with a fixed seed in each call"
            )
    return None


def reached(run: Outcome) -> str | None:
    """A gradient for every parameter."""
    lost = [name for name, g in zip(run.subject.names, run.gradients, strict=True)
            if g is None and name.startswith("parameter ")]
    if not lost:
        return None
    more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
    return f"{lost[0]}{more} is never reached: no gradient arrives. Unused in forward(), or cut off by detach()?"


def shapes(run: Outcome) -> str | None:
    """A gradient has its variable's shape and dtype."""
    for name, x, g in zip(run.subject.names, run.subject.arrays, run.gradients, strict=True):
        if g is None:
            continue
        if g.shape != x.shape:
            return f"the gradient of {name} has shape {g.shape} instead of {x.shape}{shape_hint(g, x)}"
        if g.dtype != x.dtype:
            return f"the gradient of {name} has dtype {g.dtype}, but {name} has {x.dtype}"
    return None


def shape_hint(g: Array, x: Array) -> str:
    """What may have been forgotten."""
    if g.shape == x.shape[::-1]:
        return ": it is transposed"
    try:
        broadcast = np.broadcast_shapes(g.shape, x.shape) == g.shape
    except ValueError:
        return ""
    if not broadcast:
        return ""
    added = g.ndim - x.ndim
    repeated = [*range(added), *(added + i for i, n in enumerate(x.shape) if n != g.shape[added + i])]
    axis = repeated[0] if len(repeated) == 1 else tuple(repeated)
    return f": broadcasting repeated it, so a sum over axis {axis} is missing"


# ------------------------------------------------------------------------------------------------ the cotangent


def linear(run: Outcome) -> str | None:
    """The gradient for a sum of cotangents is the sum of the gradients; zero gives zero."""
    if run.subject.returns_one_number:
        return None
    rng, x = run.rng(), run.subject.arrays
    others = [rng.standard_normal(c.shape) for c in run.cotangents]
    mixed = [2 * c - 3 * o for c, o in zip(run.cotangents, others, strict=True)]
    nothing = [np.zeros(c.shape) for c in mixed]
    other, found, zeros = (run.dense(run.again.made.gradients(c)) for c in (others, mixed, nothing))
    base = run.dense(run.gradients)
    for name, a, b in zip(run.subject.names, base, other, strict=True):
        if np.abs(a).max(initial=0.0) > ROUNDING and np.array_equal(a, b):
            return f"the cotangent is ignored: two different ones give the same gradient of {name}"
    expected = [2 * a - 3 * b for a, b in zip(base, other, strict=True)]
    names = run.names()[len(run.values) :]
    difference = first_difference(names, found, expected, run.digits())
    if difference and first_difference(names, found, expected, run.digits(), run.shaken(x, mixed)[len(run.values) :]):
        return f"not linear in the cotangent: for 2·c - 3·d, {difference}, which is 2·(that for c) - 3·(that for d)"
    for name, g in zip(run.subject.names, zeros, strict=True):
        if g.any():  # a NaN too
            return f"the gradient of {name} is not zero for a cotangent of zeros"
    return None


def forward(run: Outcome) -> str | None:
    """The Jacobian–vector product, seen from the cotangent's side, is the vector–Jacobian product."""
    subject, rng = run.subject, run.rng()
    if not isinstance(subject, TensorSubject):
        return None
    tangents = [drawn(rng, x.shape) for x in subject.inputs.arrays]

    def f(*variables: Tensor) -> list[Tensor]:
        return subject.outputs([*variables, *subject.parameters])

    with subject.at(run.copies()):
        _, products = jvp(f, subject.inputs.arrays, tangents)
    pairs = [zip(run.cotangents, (p.numpy() for p in products), strict=True),
             zip(run.dense(run.gradients), tangents, strict=False)]
    terms = [[np.asarray(a * b) for a, b in those] for those in pairs]
    ahead, behind = (sum(float(x.sum()) for x in those) for those in terms)
    scale = max(sum(float(np.abs(x, out=x).sum()) for x in those) for those in terms)
    tolerance = max(QUARTER, run.digits())  # both may lose digits, but a rule that is no tensor operation loses all
    if abs(ahead - behind) <= tolerance * scale + ROUNDING * run.epsilon / EPSILON:
        return None
    return (
        f"jvp and vjp disagree: cotangent · jvp is {ahead:.8g}, vjp · tangent is {behind:.8g}. A rule must be written "
        "in tensor operations of `grad`, or derivatives of it are silently wrong"
    )


# ------------------------------------------------------------------------------------------------ graph and memory


def repeatable(run: Outcome) -> str | None:
    """Two backward passes give the same bits."""
    names, passes = run.subject.names, run.again.passes
    if difference := first_difference(names, passes[0], run.dense(run.gradients), run.digits(3 / 4)):
        return f"two calls give different gradients: that of {difference}. Does a rule keep something?"
    for name, a, b in zip(names, *passes, strict=True):
        if a.tobytes() != b.tobytes():
            return f"two backward passes give different gradients of {name}: is something that was saved changed?"
    return None


def untouched(run: Outcome) -> str | None:
    """Neither pass writes into the inputs, the cotangent, or what the graph keeps."""
    return run.again.written


def changed(names: Sequence[str], arrays: Sequence[Array], originals: Sequence[Array]) -> str | None:
    """The name of the first array that is not what it was."""
    for name, a, b in zip(names, arrays, originals, strict=True):
        if not np.array_equal(a, b) and not np.array_equal(a, b, equal_nan=True):  # the first is much faster
            return name
    return None


def kept_arrays(outputs: Sequence[Tensor], variables: Sequence[Tensor]) -> Iterator[tuple[str, Array]]:
    """(operation, array) for what the rules of a graph close over, and for its values."""
    for tensor in topological_order(*outputs, until=variables):
        yield name_of(tensor), tensor._data
        for kept in kept_by_rules(tensor):
            yield name_of(tensor), kept._data if isinstance(kept, Tensor) else kept


def unshared(run: Outcome) -> str | None:
    """No gradient shares memory with another one, an input, or the cotangent; and the next call overwrites nothing."""
    names, again = run.subject.names, run.again
    named = list(zip(names, again.arrays, strict=True)) + [("the cotangent", c) for c in again.cotangents]
    for name, g in zip(names, again.handed, strict=True):
        for other, array in named if g is not None else ():
            if g.size and np.shares_memory(g, array):
                return f"the gradient of {name} shares memory with {other}: return a copy"
        if g is not None:
            named.append((f"the gradient of {name}", g))
    if first := overwritten(run):
        return f"{first} of one call is overwritten by the next: return a new array each time"
    return None


def overwritten(run: Outcome) -> str | None:
    """What changes of the results of a call when f and its gradient are called at another point, close by."""
    again = run.again
    results = [(name, x) for name, x in zip(run.names(), [*again.made.values, *again.handed], strict=True)
               if x is not None]
    names, arrays = [name for name, _ in results], [x for _, x in results]
    before = [x.copy() for x in arrays]
    try:
        both(run, [np.asarray(1.001 * x + 0.001) for x in run.subject.arrays], [1.5 * c for c in run.cotangents])
    except Exception:  # whatever it is: f is not defined there
        return None
    return changed(names, arrays, before)


def freed(run: Outcome) -> str | None:
    """Reference counting alone frees the graph."""
    subject, enabled = run.subject, gc.isenabled()
    if not isinstance(subject, TensorSubject):
        return None
    gc.disable()
    try:
        with subject.at(run.copies()) as variables, enable_grad():
            order = topological_order(*subject.outputs(variables))
            nodes = [(name_of(node), weakref.ref(node)) for node in order]
            own = [name_of(node) for node in order if any(kept is node for kept in kept_by_rules(node))]
        del variables, order
        alive = [(name, node) for name, node in nodes if node() is not None]
        if alive:
            gc.collect()
        in_cycles = [name for name, node in alive if node() is None]  # the others somebody holds on purpose
    finally:
        if enabled:
            gc.enable()
    if not in_cycles:
        return None
    if own:
        return f"a rule of {own[0]} closes over its own result, so that no graph is freed: take it as the rule's `out`"
    return f"f makes a reference cycle that keeps the graph, first {in_cycles[0]}: a nested function that names itself?"


# ------------------------------------------------------------------------------------------------ other inputs


def layouts(run: Outcome) -> str | None:
    """The same results whatever the memory layout of inputs and cotangents."""
    here = [*run.values, *run.dense(run.gradients)]
    if fault := layout_fault(run, "strided, negative-stride and read-only", awkward, here):
        of_one = (layout_fault(run, layout, laid_out, here) for layout, laid_out in LAYOUTS.items())
        return next(filter(None, of_one), fault)
    if fault := layout_fault(run, "Fortran-ordered", LAYOUTS["Fortran-ordered"], here):
        return fault
    flat, even = ([repeated(x) for x in group] for group in (run.subject.arrays, run.cotangents))
    try:
        plain = both(run, [x.copy() for x in flat], [c.copy() for c in even])  # these are other values
    except Exception:  # whatever it is: f is not defined there
        return None
    return layout_fault(run, "zero-stride", repeated, plain) if all(np.isfinite(x).all() for x in plain) else None


def layout_fault(run: Outcome, layout: str, laid_out: Callable[[Array], Array], expected: list[Array]) -> str | None:
    """What goes wrong where inputs and cotangents are laid out in another way, if anything does."""
    arrays, cotangents = ([laid_out(x) for x in group] for group in (run.subject.arrays, run.cotangents))
    names, tolerance = run.names(), run.digits()
    try:
        found = both(run, arrays, cotangents)
    except np.linalg.LinAlgError:  # at a point like this, LAPACK finds a pivot of 0 or does not, by the layout
        return None
    except Exception as error:
        return f"{layout} inputs raise {type(error).__name__}: {error}"
    if not first_difference(names, found, expected, tolerance):
        return None
    try:
        moved = run.shaken(arrays, cotangents)  # a point where there is no derivative tells nothing
    except Exception:
        return None
    difference = first_difference(names, found, expected, tolerance, moved)
    return difference and f"the memory layout makes a difference: for {layout} inputs {difference}"


def both(run: Outcome, arrays: Sequence[Array], cotangents: Sequence[Array]) -> list[Array]:
    """Values and gradients for other arrays and cotangents."""
    made = run.subject.recorded(arrays)
    return [*made.values, *run.dense(made.gradients(cotangents))]


def same_input(run: Outcome) -> str | None:
    """f(x, x) has the sum of both partial gradients."""
    arrays = run.subject.arrays
    count = len(run.subject.names) - len(getattr(run.subject, "parameters", ()))
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count) if arrays[i].shape == arrays[j].shape]
    of_shape = defaultdict[tuple[int, ...], list[int]](list)
    for i, x in enumerate(arrays[:count]):
        of_shape[x.shape].append(i)
    for places in [*pairs[:3], *(group for group in of_shape.values() if len(group) > 2)]:
        try:
            expected, found = separately_and_together(run, places)
        except Exception:  # f does not accept this
            continue
        if not all(np.isfinite(x).all() for x in expected):
            continue
        if difference := first_difference(["it"] * len(expected), found, expected, run.digits()):
            names = " and ".join(run.subject.names[i] for i in places)
            return f"one and the same tensor as {names} does not get the sum of their gradients: {difference}"
    return None


def separately_and_together(run: Outcome, places: Sequence[int]) -> tuple[list[Array], list[Array]]:
    """The expected gradients and those found, for variables that are equal to the first of them, and that are it."""
    subject, arrays = run.subject, run.copies()
    first, *others = places
    for i in others:
        arrays[i] = arrays[first].copy()
    cotangents = [run.rng().standard_normal(value.shape) for value in subject.values(arrays)]
    apart = run.dense(subject.gradients(arrays, cotangents))
    if not isinstance(subject, TensorSubject):
        arrays = [arrays[first] if i in others else x for i, x in enumerate(arrays)]
        return apart, run.dense(subject.gradients(arrays, cotangents))
    with subject.at(arrays) as variables, enable_grad():
        shared = [variables[first] if i in others else x for i, x in enumerate(variables)]
        found = run.dense(gradients_of(subject.outputs(shared), cotangents, variables))
    return [np.sum([apart[i] for i in places], 0)], [found[first]]


# ------------------------------------------------------------------------------------------------ float32


def float32(run: Outcome) -> str | None:
    """float32 stays float32, and agrees with float64 to its precision, unless that is too small for the numbers."""
    subject = run.subject
    if not isinstance(subject, TensorSubject):
        return None
    arrays = [x.astype(np.float32) for x in subject.arrays]
    with recorded_steps() as steps, recorded_casts() as casts:
        made = subject.recorded(arrays)
        gradients = made.gradients(run.cotangents)
    if cast := upcasting_step(steps):
        return cast
    if casts or run.casts:
        return (casts or run.casts)[-1]  # the first operation's
    if any(x.dtype != np.float32 for x in made.values) or not all(np.isfinite(x).all() for x in made.values):
        return None  # it computes in float64 on purpose, or float32 is too small for these numbers
    for name, single, double in zip(subject.names, run.dense(gradients), run.dense(run.gradients), strict=True):
        if (bad := ~np.isfinite(single)).any() and np.abs(double).max() < LARGE:
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            place = f"{name} at {index}" if index else name
            raise FloatingPointError(f"where the gradient of {place} is {single[index]}, and {double[index]:.8g} in "
                                     "float64: an array on the way leaves its range")
    return single_precision_difference(run, arrays, made.values, gradients)


def single_precision_difference(
    run: Outcome, rounded: list[Array], values: list[Array], gradients: Gradients
) -> str | None:
    """How float32 results differ from float64 ones by more than rounding to float32 may explain."""
    names, found = run.names(), [*values, *run.dense(gradients)]
    if agrees_to_single(found, [*run.values, *run.dense(run.gradients)]):  # although inputs have been rounded, too
        return None
    arrays = [x.astype(np.float64) for x in rounded]
    exact = both(run, arrays, run.cotangents)
    if not all(np.isfinite(x).all() for x in exact) or any(a.shape != b.shape for a, b in zip(exact, values)):  # noqa: B905
        return None
    off = [np.asarray(a.astype(np.float64) - b) for a, b in zip(found, exact, strict=True)]
    allowed, rng = by_size(exact), run.rng()
    for _ in range(3):
        if np.all(sizes_of(off) <= allowed):
            return None
        allowed = np.maximum(allowed, rounded_away(run, arrays, exact, off, rng))
    for name, a, b, x, y in zip(names, found, exact, off, allowed, strict=True):
        if y < np.inf and not sizes_of([x])[0] <= y:
            index = np.unravel_index(int(np.argmax(np.nan_to_num(np.abs(x), nan=np.inf))), x.shape)
            return f"float32 does not agree with float64: {name} is {a[index]:.8g} instead of {b[index]:.8g}"
    return None


def agrees_to_single(found: Sequence[Array], exact: Sequence[Array]) -> bool:
    """Whether all arrays have the shapes of others and are off by less than `by_size`."""
    if any(a.shape != b.shape for a, b in zip(found, exact, strict=True)):
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
        others = [*made.values, *run.dense(made.gradients(run.cotangents))]
    again = [a - b for a, b in zip(both(run, near, run.cotangents), others, strict=True)]
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


CHECKS: dict[str, Callable[[Outcome], str | None]] = {
    check.__name__: check
    for check in (
        deterministic, reached, shapes, untouched, unshared, repeatable, linear, forward, freed, layouts, same_input,
        float32,
    )
}

