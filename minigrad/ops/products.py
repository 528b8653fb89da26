"""Products of vectors, matrices and tensors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from operator import index
from string import ascii_letters, ascii_lowercase, ascii_uppercase
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from minigrad.graph import record
from minigrad.ops.registry import operation
from minigrad.ops.shape import expand_dims, reshape, squeeze
from minigrad.tensor import Rule, Tensor, TensorLike, as_tensor

__all__ = [
    "matmul", "dot", "inner", "outer", "tensordot", "einsum", "multi_dot",
]

LETTERS = dict(enumerate(ascii_uppercase + ascii_lowercase))  # in the order of the numbers


@operation("other", np.matmul, methods="__matmul__")
def matmul(a: TensorLike, b: TensorLike) -> Tensor:
    """Matrix product a @ b: (..., n, k) @ (..., k, m) -> (..., n, m), stacks broadcast.

    A one-dimensional `a` is a row, a one-dimensional `b` a column, and that axis is left out of the result.
    """
    a, b = as_tensor(a), as_tensor(b)
    try:
        if a.ndim == 1 or b.ndim == 1:
            matrix = matmul(expand_dims(a, 0) if a.ndim == 1 else a, expand_dims(b, -1) if b.ndim == 1 else b)
            return squeeze(matrix, (-2,) * (a.ndim == 1) + (-1,) * (b.ndim == 1))
        data = np.matmul(a.data, b.data)
    except ValueError:
        fit = "the last axis of the first must be as long as the last but one of the second, and stacks must broadcast"
        raise ValueError(f"cannot multiply shapes {a.shape} @ {b.shape}: {fit}") from None
    return record(matmul, data,
                  (a, lambda grad, out: grad @ b.swapaxes(-1, -2)),
                  (b, lambda grad, out: a.swapaxes(-1, -2) @ grad))


@operation("other", np.dot, methods="dot")
def dot(a: TensorLike, b: TensorLike) -> Tensor:
    """Sum over the last axis of `a` and the last but one of `b`: the matrix product, for vectors and matrices."""
    a, b = as_tensor(a), as_tensor(b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return matmul(a, b) if a.ndim <= 2 and b.ndim <= 2 else tensordot(a, b, (-1, -1 if b.ndim == 1 else -2))


@operation("other", np.inner)
def inner(a: TensorLike, b: TensorLike) -> Tensor:
    """Sum over the last axes: a[i, k], b[j, k] -> out[i, j] = sum over k of a[i, k] * b[j, k]."""
    a, b = as_tensor(a), as_tensor(b)
    return tensordot(a, b, (-1, -1)) if a.ndim and b.ndim else a * b


@operation("elementwise", np.outer)
def outer(a: TensorLike, b: TensorLike) -> Tensor:
    """Every product of an element of `a` and one of `b`, both flattened: (a.size, b.size)."""
    return reshape(a, (-1, 1)) * reshape(b, -1)


@operation("other", np.tensordot)
def tensordot(a: TensorLike, b: TensorLike, axes: Any = 2) -> Tensor:
    """Sum over pairs of axes: the last `axes` of `a` and as many first ones of `b`, or those given as (of a, of b)."""
    a, b = as_tensor(a), as_tensor(b)
    given = isinstance(axes, (tuple, list)) or np.ndim(axes)
    pair = axes if given else (range(-index(axes), 0), range(index(axes)))
    pairs = [normalize_axis_tuple(of, x.ndim, "axes") for of, x in zip(pair, (a, b), strict=False)]
    if len(pair) != 2 or len(pairs[0]) != len(pairs[1]):
        raise ValueError(f"tensordot takes a number of axes, or a pair: as many axes of a as of b; got {axes}")
    left, right = list(range(a.ndim)), list(range(a.ndim, a.ndim + b.ndim))  # a label for each axis
    for i, j in zip(*pairs, strict=True):
        if a.shape[i] != b.shape[j]:
            raise ValueError(f"tensordot cannot pair axis {i} of shape {a.shape} with axis {j} of shape {b.shape}")
        right[j] = left[i]
    free = [label for label in left + right if (label in left) != (label in right)]
    return einsum(a, left, b, right, free, optimize=True)


@operation("other", np.einsum)
def einsum(*operands: Any, optimize: Any = False) -> Tensor:
    """Einstein's summation, in each form NumPy takes: `einsum("ij,jk->ik", a, b)`, `einsum(a, [0, 1], b, [1, 2])`.

    The gradient of one operand is the einsum of the gradient of the result and the other operands, with constants
    where that leaves an axis out: ones along an axis that was summed, the identity for a label used twice.
    """
    spec, inputs = in_letters(operands)
    try:
        data = np.einsum(spec, *[x.data for x in inputs], optimize=optimize)
    except ValueError as error:
        raise ValueError(f"einsum of {', '.join([spec, *[f'shape {x.shape}' for x in inputs]])}: {error}") from None
    terms, result = parsed(spec, inputs)

    def to(i: int) -> Rule:
        def rule(grad: Tensor, out: Tensor) -> Tensor:
            known = [(result, grad), *[(terms[j], x) for j, x in enumerate(inputs) if j != i]]
            size = dict(label_sizes([*known, (terms[i], inputs[i])]))
            spanned = label_sizes(known)
            target, spare = "", iter(sorted(set(ascii_letters).difference(size)))
            for label in terms[i]:
                new = next(spare) if label in target else label
                if new != label:
                    known.append((label + new, as_tensor(np.eye(size[label], dtype=grad.dtype))))
                elif (label, size[label]) not in spanned:
                    known.append((label, as_tensor(np.ones(size[label], grad.dtype))))
                target += new
            spec = ",".join(term for term, _ in known)
            return einsum(f"{spec}->{target}", *[x for _, x in known], optimize=optimize)

        return rule

    return record(einsum, data, *[(x, to(i)) for i, x in enumerate(inputs)])


def label_sizes(known: list[tuple[str, Tensor]]) -> list[tuple[str, int]]:
    """Each label with the lengths of its axes, that of an axis which is not broadcast last."""
    return sorted({(label, n) for term, x in known for label, n in zip(term, x.shape, strict=True)},
                  key=lambda pair: pair[1] != 1)


def parsed(spec: str, inputs: list[Tensor]) -> tuple[list[str], str]:
    """The labels of each input and of the result, with letters in place of the ellipsis."""
    left, arrow, result = spec.partition("->")
    terms = left.split(",")
    if not arrow:  # then the result has the labels that occur once, in the order of the alphabet
        result = "..." + "".join(sorted(label for label in set(left) - set(".,") if left.count(label) == 1))
    hidden = [x.ndim - len(term.replace("...", "")) for term, x in zip(terms, inputs, strict=True)]
    unused = "".join(sorted(set(ascii_letters).difference(spec)))
    stand_in = unused[: max(hidden, default=0)]  # for the ellipsis; where that hides fewer axes, they are the last
    terms = [term.replace("...", stand_in[len(stand_in) - n :]) for term, n in zip(terms, hidden, strict=True)]
    return terms, result.replace("...", stand_in)


def in_letters(operands: tuple[Any, ...]) -> tuple[str, list[Tensor]]:
    """The specification as a string, such as "ij,j->i", in whichever form it is given, and the inputs."""
    if len(operands) < 2:
        raise ValueError('einsum takes a text such as "ij,j->i" and inputs, or inputs with a list of labels for each')
    if isinstance(operands[0], str):
        return operands[0].replace(" ", ""), [as_tensor(x) for x in operands[1:]]
    end = len(operands) // 2 * 2  # of pairs of an input and its labels; then perhaps come the labels of the result
    terms = ["".join(map(letter_of, labels)) for labels in (*operands[1:end:2], *operands[end:])]
    return "->".join([",".join(terms[: end // 2]), *terms[end // 2 :]]), [as_tensor(x) for x in operands[:end:2]]


def letter_of(label: Any) -> str:
    """The letter that stands for a label which is a number; ValueError if there is none."""
    if label is Ellipsis:
        return "..."
    if not isinstance(label, Integral) or label not in LETTERS:
        raise ValueError(f"labels of einsum are whole numbers from 0 to {len(LETTERS) - 1} or ..., got {label!r:.80}")
    return LETTERS[int(label)]


@operation("other", np.linalg.multi_dot)
def multi_dot(arrays: Sequence[TensorLike]) -> Tensor:
    """The matrix product of several matrices, bracketed to need few multiplications; the ends may be vectors."""
    tensors = [as_tensor(x) for x in arrays]
    matrices = all(x.ndim == 2 for x in tensors[1:-1]) and all(x.ndim in (1, 2) for x in tensors[:1] + tensors[-1:])
    if len(tensors) < 2 or not matrices or any(x.shape[-1] != y.shape[0] for x, y in pairwise(tensors)):
        shapes = [x.shape for x in tensors]
        raise ValueError(f"multi_dot takes two or more matrices that fit, or vectors at the ends, got shapes {shapes}")
    terms = [ascii_letters[i : i + 2] for i in range(len(tensors))]
    terms[0], terms[-1] = terms[0][-tensors[0].ndim :], terms[-1][: tensors[-1].ndim]
    return einsum(f"{','.join(terms)}->{terms[0][:-1]}{terms[-1][1:]}", *tensors, optimize=True)
