"""Well-known mistakes, recognised by how a wrong gradient relates to the numerical one."""

from __future__ import annotations

import math

import numpy as np

from minigrad.arrays import Array
from minigrad.testing.probe import Probe
from minigrad.testing.subject import HandWritten

CLOSE = 1e-5  # numerical derivatives are better than this, and other mistakes are further off


def pattern_of(probe: Probe, variable: int) -> str | None:
    """The well-known mistake that explains the gradient of a variable, if there is one."""
    if isinstance(probe.subject, HandWritten) and not probe.gradients[variable].any():
        return "the gradient returned zeros, or None"
    jacobian = probe.jacobian(variable)
    if jacobian is None:
        return None
    ones = probe.subject.gradients(probe.arrays, [np.ones(c.shape) for c in probe.cotangents])[variable]
    return recognised(probe.gradients[variable], jacobian, probe.cotangents, ones)


def same(a: Array, b: Array) -> bool:
    """Whether two arrays of the same shape agree, as far as numerical derivatives tell."""
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=CLOSE, atol=CLOSE * float(np.abs(b).max(initial=0.0))))


def recognised(
    analytic: Array, jacobian: Array, cotangents: list[Array], with_ones: Array | None = None
) -> str | None:
    """A sentence about a wrong gradient.

    Args:
        analytic: the gradient for `cotangents`.
        jacobian: numerical derivatives, (*input, all outputs in one row).
        cotangents: one for each output.
        with_ones: the gradient for cotangents of ones.
    """
    cotangent = np.concatenate([np.ravel(c) for c in cotangents])
    numeric = jacobian @ cotangent
    if not (np.isfinite(numeric).all() and np.isfinite(analytic).all()):
        return None
    if same(analytic, numeric):
        off = float(np.abs(analytic - numeric).max()) / float(np.abs(numeric).max() or 1) or CLOSE
        digits = f"{-math.log10(off):.0f} digits of the largest entry"
        return f"it is right to {digits}: float32 inside, or a constant or an iteration that is cut short?"
    if not analytic.any():
        return "no gradient arrives: cut off by detach() or .data, by no_grad(), or a rule is missing"
    ignored = same(analytic, jacobian.sum(-1)) and (cotangent != 1).any()
    if ignored or (with_ones is not None and (cotangent != 1).any() and np.array_equal(analytic, with_ones)):
        return "the cotangent is ignored: this is the gradient for a cotangent of ones"
    return (
        factor_pattern(analytic, numeric, [c.shape for c in cotangents])
        or order_pattern(analytic, numeric)
        or slice_pattern(analytic, jacobian, cotangents)
        or count_pattern(analytic if with_ones is None else with_ones, jacobian)
    )


def factor_pattern(analytic: Array, numeric: Array, shapes: list[tuple[int, ...]]) -> str | None:
    """The right gradient times a constant; of a single element any one is, so there only if the constant is simple."""
    largest = np.unravel_index(int(np.abs(numeric).argmax()), numeric.shape) if numeric.size else ()
    if not numeric.size or not numeric[largest]:
        return None
    factor = float(analytic[largest] / numeric[largest])
    if not factor or not same(analytic, factor * numeric):
        return None
    if abs(factor + 1) < CLOSE:
        return "it has the opposite sign"
    n = factor if abs(factor) > 1 else 1 / factor
    whole = abs(n - round(n)) < CLOSE * abs(n)
    if np.count_nonzero(numeric) == 1 and not (whole and abs(n) < 100):
        return None
    said = f"it is {factor:.6g} times the right one"
    lengths = {numeric.size, *numeric.shape, *(math.prod(shape) for shape in shapes), *(k for s in shapes for k in s)}
    lengths |= {a // b for a in lengths for b in lengths if b and a % b == 0}
    if round(n) in lengths and whole and round(n) > 2:  # 2 is as often that of a square
        by = "" if factor == n else f", 1/{round(n)}"
        said += f"{by}, and {round(n)} is a number of elements: 1/n of a mean, or a broadcast axis, missing or twice"
    return said


def order_pattern(analytic: Array, numeric: Array) -> str | None:
    """The right numbers in other places."""
    if numeric.ndim >= 2 and numeric.shape[-1] == numeric.shape[-2] and same(analytic, np.swapaxes(numeric, -1, -2)):
        return "it is transposed"
    for axis in range(numeric.ndim):
        if same(analytic, np.flip(numeric, axis)):
            return f"it is in reverse order along axis {axis}"
    if numeric.size > 1 and same(np.sort(analytic, axis=None), np.sort(numeric, axis=None)):
        return "it is permuted: the right numbers in other places"
    return None


def slice_pattern(analytic: Array, jacobian: Array, cotangents: list[Array]) -> str | None:
    """The right gradient of a part of the output: where broadcasting repeated an input, the rest was not added."""
    if len(cotangents) != 1:
        return None
    c = cotangents[0]
    for axis, n in enumerate(c.shape if c.size > 1 else ()):
        for i in {0, n - 1}:
            part = np.zeros_like(c)
            part[(slice(None),) * axis + (i,)] = c[(slice(None),) * axis + (i,)]
            if n > 1 and same(analytic, jacobian @ part.ravel()):
                repeated = analytic.astype(bool).all()  # each element of the input went into several of the output
                why = "a sum over this broadcast axis is missing" if repeated else "nothing arrives from the others"
                return f"only entry {i} along output axis {axis} counts: {why}"
    return None


def count_pattern(with_ones: Array, jacobian: Array) -> str | None:
    """With a cotangent of ones, as often too small as the element of the input is used."""
    large = np.abs(jacobian) > CLOSE * np.abs(jacobian).max(initial=0.0)
    slopes, uses = np.where(large, jacobian, 0.0), large.sum(-1)
    once = slopes.sum(-1) / np.maximum(uses, 1)
    alike = same(np.where(large, once[..., None], 0.0), slopes)  # each use counts the same
    if alike and uses.max(initial=0) > 1 and same(with_ones, once):
        return "duplicates are counted once: elements that are used several times get the gradient of one use"
    return None
