"""What must hold of a gradient besides its numbers: each check is a function that returns a sentence, or None.

A check gets an `Outcome`: the subject, its values and gradients at the point for random cotangents. What float32 gives
is looked at in `single_precision`.
"""

from __future__ import annotations

import gc
import weakref
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations, islice
from typing import TypeAlias

import numpy as np

from minigrad.arrays import Array
from minigrad.graph import repeated_axes, topological_order
from minigrad.guards import kept_by_rules, name_of
from minigrad.modes import enable_grad
from minigrad.tensor import Tensor
from minigrad.testing.differences import EPSILON, QUARTER
from minigrad.testing.layouts import LAYOUTS, awkward, repeated
from minigrad.testing.numeric import MARGIN
from minigrad.testing.outcome import Disagreement, Outcome
from minigrad.testing.probe import drawn
from minigrad.testing.single_precision import float32
from minigrad.testing.spelling import at_index
from minigrad.testing.subject import Gradients, Recording, TensorSubject, attempted, changed, copies, gradients_of

Check: TypeAlias = "Callable[[Outcome], str | None]"
ROUNDING = 1e-12  # what rounding of intermediate values of moderate size may leave where the result is 0


def differing(a: Array, b: Array, tolerance: float, moved: float = 0.0) -> tuple[int, ...] | None:
    """The index where two arrays of one shape differ most, if that is more than a fraction of the largest element."""
    if np.array_equal(a, b):  # which is seen three times as fast as by how much they differ
        return None
    off = np.asarray(a - b)
    worst, largest = np.abs(off, out=off).max(initial=0.0), float(np.abs(b).max(initial=0.0))
    if moved > largest / MARGIN:  # as after rounding where a function jumps, or where nothing is left of its digits
        return None
    allowed = tolerance * largest + ROUNDING + MARGIN * moved
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
            return f"{name} is {a[index]:.8g} instead of {b[index]:.8g}{at_index(index)}"
    return None


# ------------------------------------------------------------------------------------------------ f itself


def deterministic(run: Outcome) -> str | None:
    """The same values each time."""
    for i, (a, b) in enumerate(zip(run.values, run.again.values, strict=True)):
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
    axes = attempted(repeated_axes, g.shape, x.shape)
    if axes is None:
        return ""
    axis = axes[0] if len(axes) == 1 else axes
    return f": broadcasting repeated it, so a sum over axis {axis} is missing"


# ------------------------------------------------------------------------------------------------ the cotangent


def linear(run: Outcome) -> str | None:
    """The gradient for a sum of cotangents is the sum of the gradients; zero gives zero."""
    if run.subject.returns_one_number:
        return None
    rng, backward, names = run.rng(), run.again.gradients, run.names()[len(run.values) :]
    others = [rng.standard_normal(c.shape) for c in run.cotangents]
    other = run.with_zeros(backward(copies(others)))
    for name, a, b in zip(run.subject.names, run.dense, other, strict=True):
        if np.abs(a).max(initial=0.0) > ROUNDING and np.array_equal(a, b):
            return f"the cotangent is ignored: two different ones give the same gradient of {name}"
    expected = [2 * a - 3 * b for a, b in zip(run.dense, other, strict=True)]
    mixed = [2 * c - 3 * o for c, o in zip(run.cotangents, others, strict=True)]
    found = copies(run.with_zeros(backward(copies(mixed))))
    if difference := first_difference(names, found, expected, run.digits()):
        moved = run.shaken(run.subject.arrays, mixed)
        if first_difference(names, found, expected, run.digits(), moved and moved[len(run.values) :]):
            return f"not linear in the cotangent: for 2·c - 3·d, {difference}, which is 2·(that for c) - 3·(that for d)"
    for name, g in zip(run.subject.names, backward([np.zeros(c.shape) for c in mixed]), strict=True):
        if g is not None and g.any():  # a NaN too
            return f"the gradient of {name} is not zero for a cotangent of zeros"
    return None


def forward(run: Outcome) -> str | None:
    """The Jacobian–vector product, seen from the cotangent's side, is the vector–Jacobian product."""
    subject, rng = run.subject, run.rng()
    if not isinstance(subject, TensorSubject):
        return None
    tangents = [drawn(rng, x.shape) for x in subject.arrays]

    def both(made: Recording, gradients: Gradients) -> tuple[Array, float]:
        """cotangent · jvp and vjp · tangent, and how large the sum of the sizes of their terms is."""
        products = subject.pushed_forward(made, copies(run.cotangents), tangents)
        pairs = [[(c, p) for c, p in zip(run.cotangents, products, strict=True) if p is not None],
                 zip(run.with_zeros(gradients), tangents, strict=True)]
        terms = [[np.asarray(a * b) for a, b in those] for those in pairs]
        sums = np.array([sum(float(x.sum()) for x in those) for those in terms])
        return sums, max(sum(float(np.abs(x, out=x).sum()) for x in those) for those in terms)

    def again() -> Array:
        made = subject.recorded(copies(subject.arrays))
        return both(made, made.gradients(copies(run.cotangents)))[0]

    (ahead, behind), scale = both(run.again, run.gradients)
    tolerance = max(QUARTER, run.digits())  # both may lose digits, but a rule that is no tensor operation loses all
    if abs(ahead - behind) <= tolerance * scale + ROUNDING * run.epsilon / EPSILON:
        return None
    return Disagreement(
        f"jvp and vjp disagree: cotangent · jvp is {ahead:.8g}, vjp · tangent is {behind:.8g}. A rule must be written "
        "in tensor operations of `grad`, or derivatives of it are silently wrong", abs(ahead - behind), again
    )


# ------------------------------------------------------------------------------------------------ graph and memory


def repeatable(run: Outcome) -> str | None:
    """Two backward passes give the same numbers."""
    names, passes = run.subject.names, run.twice.passes
    if difference := first_difference(names, passes[0], run.dense, run.digits(3 / 4)):
        return f"two calls give different gradients: that of {difference}. Does a rule keep something?"
    if name := changed(names, *passes):
        return f"two backward passes give different gradients of {name}: is something that was saved changed?"
    return None


def untouched(run: Outcome) -> str | None:
    """Neither pass writes into the inputs, the cotangent, also of a step on the way, or what the graph keeps."""
    if run.writers:
        return f"the backward pass writes into the cotangent: {run.writers[0]} does. Copy it first"
    return run.twice.written


def unshared(run: Outcome) -> str | None:
    """No gradient shares memory with another one, an input, or the cotangent; and the next call overwrites nothing."""
    names, twice = run.subject.names, run.twice
    named = list(zip(names, run.again.arrays, strict=True)) + [("the cotangent", c) for c in twice.cotangents]
    for name, g in zip(names, twice.handed, strict=True):
        for other, array in named if g is not None else ():
            if g.size and np.shares_memory(g, array):
                return f"the gradient of {name} shares memory with {other}: return a copy"
        if g is not None:
            named.append((f"the gradient of {name}", g))
    if not twice.written and (first := overwritten(run)):
        return f"{first} of one call is overwritten by the next: return a new array each time"
    return None


def overwritten(run: Outcome) -> str | None:
    """What changes of the results of the first call when f and its gradient are called again, also at another point."""
    before, others = [*run.values, *run.gradients], [*run.again.values, *run.twice.handed]
    arrived = [row for row in zip(run.names(), run.handed, before, others, strict=True) if row[1] is not None]
    names, found, before, others = ([*column] for column in zip(*arrived, strict=True))
    if any(map(np.shares_memory, found, others)):  # what is the same at each point may be the same array
        moved = [np.asarray(1.001 * x + 0.001) for x in run.subject.arrays]
        if attempted(run.results, moved, [1.5 * c for c in run.cotangents]) is None:
            return None
    return changed(names, found, before)


def intact(run: Outcome) -> str | None:
    """A backward pass gives the same after f was called at another point: what rules use is not lost by that."""
    names, (first, second) = run.names()[len(run.values) :], run.twice.passes  # of before the call elsewhere
    if run.subject.returns_one_number or run.elsewhere is None or first_difference(names, second, first, run.digits()):
        return None  # a loss by hand often keeps what its gradient uses, and is called just before it
    later = run.with_zeros(run.again.gradients(copies(run.cotangents)))
    if difference := first_difference(names, later, first, run.digits()):
        return f"after f was called at another point, {difference}: does a rule use memory that each call writes into?"
    return None


def freed(run: Outcome) -> str | None:
    """Reference counting alone frees the graph."""
    subject, enabled = run.subject, gc.isenabled()
    if not isinstance(subject, TensorSubject):
        return None
    gc.disable()
    try:
        with subject.at(copies(run.subject.arrays)) as variables, enable_grad():
            nodes = [(name_of(node), weakref.ref(node)) for node in topological_order(*subject.outputs(variables))]
        del variables
        alive = [(name, node) for name, node in nodes if node() is not None]
        own = [name for name, node in alive if is_kept_by_its_rules(node())]
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


def is_kept_by_its_rules(node: Tensor | None) -> bool:
    """Whether rules of a recorded result hold it."""
    return node is not None and any(kept is node for kept in kept_by_rules(node))


# ------------------------------------------------------------------------------------------------ other inputs


def layouts(run: Outcome) -> str | None:
    """The same results whatever the memory layout of inputs and cotangents."""
    here = [*run.values, *run.dense]
    if fault := layout_fault(run, "strided, negative-stride and read-only", awkward, here):
        of_one = (layout_fault(run, layout, laid_out, here) for layout, laid_out in LAYOUTS.items())
        return next(filter(None, of_one), fault)
    fortran, given = LAYOUTS["Fortran-ordered"], (run.subject.arrays, run.cotangents)
    even = attempted(run.results, *([fortran(repeated(x)) for x in group] for group in given))
    if even is None or not all(np.isfinite(x).all() for x in even):
        return layout_fault(run, "Fortran-ordered", fortran, here)
    fault = layout_fault(run, "zero-stride", repeated, even)  # or the other one of the two is at fault
    return fault and (layout_fault(run, "Fortran-ordered", fortran, here) or fault)


def layout_fault(run: Outcome, layout: str, laid_out: Callable[[Array], Array], expected: list[Array]) -> str | None:
    """What goes wrong where inputs and cotangents are laid out in another way, if anything does."""
    arrays, cotangents = ([laid_out(x) for x in group] for group in (run.subject.arrays, run.cotangents))
    names, tolerance = run.names(), run.digits()
    try:
        found = run.results(arrays, cotangents)
    except np.linalg.LinAlgError:  # at a point like this, LAPACK finds a pivot of 0 or does not, by the layout
        return None
    except Exception as error:
        return f"{layout} inputs raise {type(error).__name__}: {error}"
    if not first_difference(names, found, expected, tolerance):
        return None
    moved = run.shaken(arrays, cotangents)
    if moved is None:  # a point where there is no derivative tells nothing
        return None
    difference = first_difference(names, found, expected, tolerance, moved)
    return difference and f"the memory layout makes a difference: for {layout} inputs {difference}"


def same_input(run: Outcome) -> str | None:
    """f(x, x) has the sum of both partial gradients."""
    arrays = run.subject.arrays
    count = len(run.subject.inputs.names)
    pairs = (pair for pair in combinations(range(count), 2) if arrays[pair[0]].shape == arrays[pair[1]].shape)
    of_shape = defaultdict[tuple[int, ...], list[int]](list)
    for i, x in enumerate(arrays[:count]):
        of_shape[x.shape].append(i)
    for places in [*islice(pairs, 3), *(group for group in of_shape.values() if len(group) > 2)]:
        expected, found = attempted(separately_and_together, run, places) or ([], [])
        if not all(np.isfinite(x).all() for x in expected):
            continue
        if difference := first_difference(["it"] * len(expected), found, expected, run.digits()):
            names = " and ".join(run.subject.names[i] for i in places)
            return f"one and the same tensor as {names} does not get the sum of their gradients: {difference}"
    return None


def separately_and_together(run: Outcome, places: Sequence[int]) -> tuple[list[Array], list[Array]]:
    """The expected gradients and those found, for variables that are equal to the first of them, and that are it."""
    subject, arrays = run.subject, copies(run.subject.arrays)
    first, *others = places
    for i in others:
        arrays[i] = arrays[first].copy()
    rng = run.rng()
    cotangents = [rng.standard_normal(value.shape) for value in subject.values(arrays)]
    apart = copies(run.with_zeros(subject.gradients(arrays, copies(cotangents))))
    if not isinstance(subject, TensorSubject):
        arrays = [arrays[first] if i in others else x for i, x in enumerate(arrays)]
        return apart, run.with_zeros(subject.gradients(arrays, cotangents))
    with subject.at(arrays) as variables, enable_grad():
        shared = [variables[first] if i in others else x for i, x in enumerate(variables)]
        found = run.with_zeros(gradients_of(subject.outputs(shared), cotangents, variables))
    return [np.sum([apart[i] for i in places], 0)], [found[first]]


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        deterministic, reached, shapes, untouched, unshared, repeatable, linear, forward, intact, freed, layouts,
        same_input, float32,
    )
}

