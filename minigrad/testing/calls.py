"""hypothesis strategies for calls of every registered operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import pairwise
from math import prod
from typing import Any, TypeAlias

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigrad.arrays import Array
from minigrad.ops import Operation, operations
from minigrad.tensor import Tensor
from minigrad.testing.composed import EXAMPLES, Example
from minigrad.testing.composed import each as each
from minigrad.testing.values import (
    LATTICE,
    arguments_by_name,
    axes,
    axis_of,
    broadcastable,
    clear_arrays,
    elements,
    full_shapes,
    indices,
    shapes,
    split_options,
)

Known: TypeAlias = Operation | str | Callable[..., Any]  # an operation, its name, or its function


def as_one(result: Any) -> Any:
    """A result as it is, or if there are several, as one array or tensor."""
    return np.concatenate([np.ravel(x) for x in result]) if isinstance(result, (list, tuple)) else result


@dataclass(frozen=True, eq=False)
class Call:
    """A call of an operation: its differentiable inputs, and how they and everything else make up the arguments."""

    operation: Operation
    inputs: tuple[Array, ...]
    options: dict[str, Any] = field(default_factory=dict)
    arguments: Callable[..., tuple[Any, ...]] = lambda *xs: xs
    combine: Callable[[Any], Any] = as_one

    def __call__(self, *tensors: Tensor) -> Tensor:
        """The operation's result for other values of the inputs."""
        result: Tensor = self.combine(self.operation.function(*self.arguments(*tensors), **self.options))
        return result

    def expected(self) -> Any:
        """What the NumPy twin or reference computes from the inputs."""
        assert self.operation.twin is not None
        return self.combine(self.operation.twin(*self.arguments(*self.inputs), **self.options))

    def __repr__(self) -> str:
        arguments = ", ".join(map(repr, self.arguments(*self.inputs)))
        return f"{self.operation.name}({arguments}{''.join(f', {k}={v!r}' for k, v in self.options.items())})"


def registered(operation: Known) -> Operation:
    """An operation, or the one of this name, or that is this function; ValueError if there is none."""
    if isinstance(operation, Operation):
        return operation
    for name, known in operations.items():
        if name == operation or known.function is operation:
            return known
    raise ValueError(f"there is no operation {operation!r}: see minigrad.ops.operations")


def calls(operation: Known) -> st.SearchStrategy[Call]:
    """Calls of a registered operation with arguments of every shape it takes: by its family, or by its name.

    A package that defines operations registers examples for them in its module `testing`, which is imported on demand.

    Raises:
        ValueError: if there is no such operation, or it is of no family and nobody has registered examples for it.
    """
    known = registered(operation)
    if (make := calls_known(known)) is None:
        try:
            import_module(f"{known.owner}.testing")
        except ModuleNotFoundError as error:
            if error.name != f"{known.owner}.testing":
                raise
        make = calls_known(known)
    if make is None:
        raise ValueError(
            f"no arguments are known for {known.name}, which is of no family: "
            f"give some, as in strategies.register({known.name!r}, strategies.each([((2, 3),)], axis=[0, 1]))"
        )
    return make(known)


def calls_known(operation: Operation) -> Callable[[Operation], st.SearchStrategy[Call]] | None:
    """How calls of an operation are made, if anything says so."""
    if operation.name in EXAMPLES:
        return example_calls
    return _calls_by_name.get(operation.name) or _calls_of_family.get(operation.kind)


def register(name: str, examples: st.SearchStrategy[Example]) -> None:
    """Make `calls` of an operation that is of no family draw these examples.

    Args:
        name: the operation's.
        examples: triples (shapes of the inputs, a function from them to the arguments, options by name), see `each`.

    >>> register("mixture", each([((3,), (3,)), ((2, 3), (3,))], share=[0.25, 0.5]))
    """
    if not isinstance(examples, st.SearchStrategy):
        raise TypeError(f"register takes a strategy for examples, such as each([((3,), (3,))]), got {examples!r:.80}")
    EXAMPLES[name] = examples


def elements_for(operation: Known, position: int = 0) -> st.SearchStrategy[float]:
    """Floats inside the domain of an operation's input, clear of its kinks and of the ends of the domain.

    Args:
        operation: a registered operation, its function, or its name.
        position: which of its inputs.
    """
    known = registered(operation)
    if position not in range(known.arity):
        raise ValueError(f"there is no input {position} of {known.name}: it takes {known.arity}, counted from 0")
    clear = 1 / (4 * LATTICE)
    return elements(known.domain[position], 0.5).filter(lambda x: all(abs(x - kink) > clear for kink in known.kinks))


@st.composite
def at_kinks(draw: st.DrawFn, operation: Known) -> Call:
    """Calls of an operation many of whose elements lie exactly at a kink, or are equal to each other.

    Args:
        operation: a registered operation that has kinks or ties, its function, or its name.

    Raises:
        ValueError: if it has neither.
    """
    known = registered(operation)
    if not known.kinks and not known.ties:
        raise ValueError(f"{known.name} has neither kinks nor ties")
    call: Call = draw(calls(known))
    special = st.sampled_from([float(kink) for kink in known.kinks] or [0.5, 1.5])
    inputs = []
    for x in call.inputs:
        at = draw(hnp.arrays(bool, x.shape, elements=st.booleans(), fill=st.nothing()))
        inputs.append(np.where(at, draw(hnp.arrays(np.float64, x.shape, elements=special)), x))
    return replace(call, inputs=tuple(inputs))


def einsum_specs() -> st.SearchStrategy[tuple[str, tuple[tuple[int, ...], ...]]]:
    """(specification, shapes of the operands) for `einsum`, with repeated labels, axes of length 1 and an ellipsis."""
    spelled = einsum_calls(operations["einsum"]).filter(lambda call: isinstance(call.arguments(*call.inputs)[0], str))
    return spelled.map(lambda call: (call.arguments(*call.inputs)[0], tuple(x.shape for x in call.inputs)))


@st.composite
def elementwise_calls(draw: st.DrawFn, operation: Operation) -> Call:
    shapes = draw(broadcastable(operation.arity))
    offsets = np.linspace(0.5, 1, operation.arity, endpoint=False) if operation.ties else [0.5] * operation.arity
    inputs = tuple(
        draw(clear_arrays(shape, domain, float(offset)))
        for shape, domain, offset in zip(shapes, operation.domain, offsets, strict=True)
    )
    options = draw(_options_by_name.get(operation.name, st.just({})))
    return Call(operation, inputs, options)


@st.composite
def remainder_calls(draw: st.DrawFn, operation: Operation) -> Call:
    """Quotients that are no whole numbers, where the remainder jumps."""
    b = draw(clear_arrays(draw(shapes), operation.domain[1]))
    return Call(operation, (b * draw(clear_arrays(b.shape)), b))


@st.composite
def reduction_calls(draw: st.DrawFn, operation: Operation) -> Call:
    shape = draw(shapes)
    axis = draw(axes(len(shape)).filter(lambda axis: reduced_size(shape, axis) > 0 or not operation.nonempty))
    x = draw(clear_arrays(shape, operation.domain[0], unique=operation.ties))
    if operation.name == "prod":
        x = draw(with_zeros(x))
    missing = draw(hnp.arrays(bool, shape)) if operation.name.startswith("nan") else np.zeros(shape, bool)
    missing &= ~missing.all(axis, keepdims=True)
    arguments = (lambda x: (np.where(missing, np.nan, x),)) if missing.any() else lambda x: (x,)
    return Call(operation, (x,), {"axis": axis, "keepdims": draw(st.booleans())}, arguments)


def reduced_size(shape: tuple[int, ...], axis: int | tuple[int, ...] | None) -> int:
    """How many elements a reduction combines into one."""
    return prod(shape[i] for i in (range(len(shape)) if axis is None else np.ravel(axis)))


def with_zeros(x: Array) -> st.SearchStrategy[Array]:
    """`x`, some of its elements replaced by zeros."""
    return st.just(x) | hnp.arrays(bool, x.shape).map(lambda mask: np.where(mask, 0, x))


@st.composite
def variance_calls(draw: st.DrawFn, operation: Operation) -> Call:
    shape = draw(shapes)
    axis = draw(axes(len(shape)).filter(lambda axis: reduced_size(shape, axis) > int(operation.ties)) | st.none())
    n = reduced_size(shape, axis)
    if n <= int(operation.ties):  # the deviation of one element is always 0, a kink
        shape, axis, n = (3,), None, 3
    x = draw(clear_arrays(shape, unique=operation.ties))
    ddof = draw(st.sampled_from([ddof for ddof in (0, 0.5, 1) if ddof < n]))
    return Call(operation, (x,), {"axis": axis, "ddof": ddof, "keepdims": draw(st.booleans())})


@st.composite
def where_calls(draw: st.DrawFn, operation: Operation) -> Call:
    condition_shape, *shapes = draw(broadcastable(3))
    condition = draw(hnp.arrays(bool, condition_shape))
    inputs = tuple(draw(clear_arrays(shape)) for shape in shapes)
    return Call(operation, inputs, {}, lambda a, b: (condition, a, b))


@st.composite
def clip_calls(draw: st.DrawFn, operation: Operation) -> Call:
    """Each bound an array, a number or None; `x` and the bounds lie on lattices of their own, so there are no ties."""
    shapes = draw(broadcastable(3))
    offsets = zip(shapes, (0.5, 0.25, 0.75), strict=True)
    x, low, high = (draw(clear_arrays(shape, offset=offset)) for shape, offset in offsets)
    bounds = draw(st.sampled_from(["both", "min", "max", "numbers"]))
    if bounds == "both":
        return Call(operation, (x, low, high))
    if bounds == "numbers":
        return Call(operation, (x,), {}, lambda x: (x, -1, 1.0))
    given = low if bounds == "min" else high
    return Call(operation, (x, given), {}, lambda x, given: (x, given, None) if bounds == "min" else (x, None, given))


@st.composite
def shape_calls(draw: st.DrawFn, operation: Operation) -> Call:
    """Calls with a tensor and plain arguments that depend on its shape."""
    name, least, most = operation.name, 1, 4
    if name in ("getitem", "cumsum", "cumprod"):
        least = 0
    elif name in ("diagonal", "trace", "matrix_transpose"):
        least = 2
    elif name == "diag":
        most = 2
    drawn = full_shapes if name in ("reshape", "roll", "sliding_window_view", "pad") else shapes
    x = draw(clear_arrays(draw(drawn.filter(lambda shape: least <= len(shape) <= most)), unique=operation.ties))
    x = draw(with_zeros(x)) if name == "cumprod" else x
    arguments, options = split_options(draw(arguments_by_name[name](x.shape)))
    return Call(operation, (x,), options, lambda x: (x, *arguments))


@st.composite
def joining_calls(draw: st.DrawFn, operation: Operation) -> Call:
    shape = list(draw(full_shapes))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    sides = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    inputs = []
    for side in sides:
        if operation.name == "concatenate":
            shape[axis] = side
        inputs.append(draw(clear_arrays(tuple(shape))))
    return Call(operation, tuple(inputs), {"axis": axis}, lambda *xs: (list(xs),))


@st.composite
def matmul_calls(draw: st.DrawFn, operation: Operation) -> Call:
    drawn = draw(hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_side=3, min_side=0, max_dims=1))
    inputs = tuple(draw(clear_arrays(shape)) for shape in drawn.input_shapes)
    return Call(operation, inputs)


@st.composite
def put_calls(draw: st.DrawFn, operation: Operation) -> Call:
    x = draw(clear_arrays(draw(shapes)))
    index = draw(indices(x.shape))
    values = draw(clear_arrays(x[index].shape) | clear_arrays(()))
    return Call(operation, (x, values), {}, lambda x, values: (x, index, values))


@st.composite
def dot_calls(draw: st.DrawFn, operation: Operation) -> Call:
    """`dot` and `inner`: axes of the same length to sum over, the last of `a` and the last or last but one of `b`."""
    sides = st.lists(st.integers(0, 3), max_size=2)
    n, left, right = draw(st.integers(0, 3)), draw(sides), draw(sides)
    place = max(len(right) - 1, 0) if operation.name == "dot" else len(right)
    paired = (*left, n), (*right[:place], n, *right[place:])
    shapes = draw(st.sampled_from([paired, ((), tuple(right)), (tuple(left), ())]))
    return Call(operation, tuple(draw(clear_arrays(shape)) for shape in shapes))


@st.composite
def tensordot_calls(draw: st.DrawFn, operation: Operation) -> Call:
    shared = draw(st.lists(st.integers(0, 3), max_size=2))
    left, right = (draw(st.lists(st.integers(0, 3), max_size=2)) for _ in range(2))
    if draw(st.booleans()):
        inputs = draw(clear_arrays((*left, *shared))), draw(clear_arrays((*shared, *right)))
        return Call(operation, inputs, {"axes": len(shared)})
    shapes, pair = [], []
    for free in (left, right):
        order = draw(st.permutations(range(len(free) + len(shared))))
        shapes.append(tuple([*shared, *free][i] for i in order))
        negative = draw(st.booleans())
        pair.append([order.index(i) - len(order) * negative for i in range(len(shared))])
    axes = tuple(pair) if len(shared) != 1 else draw(st.sampled_from([tuple(pair), (pair[0][0], pair[1][0])]))
    return Call(operation, tuple(draw(clear_arrays(shape)) for shape in shapes), {"axes": axes})


@st.composite
def einsum_calls(draw: st.DrawFn, operation: Operation) -> Call:
    """Random specs: labels repeated within an operand and across them, axes of length 1 broadcast, an ellipsis."""
    size = dict(zip("aBc", draw(st.tuples(*[st.integers(0, 3)] * 3)), strict=True))
    batch = draw(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=2, min_side=1, max_side=2)).input_shapes
    with_ellipsis = draw(st.booleans())
    terms, inputs = [], []
    for i in range(draw(st.integers(1, 3))):
        labels = draw(st.lists(st.sampled_from("aBc"), max_size=3))
        ones = {label for label in labels if i and draw(st.integers(0, 3)) == 0}  # broadcast against the others
        sides = [1 if label in ones else size[label] for label in labels]
        at = draw(st.integers(0, len(labels))) if with_ellipsis else 0
        terms.append([*labels[:at], *([Ellipsis] if with_ellipsis else []), *labels[at:]])
        inputs.append(draw(clear_arrays((*sides[:at], *(batch[i] if with_ellipsis else ()), *sides[at:]))))
    used = [label for label in "Bac" if any(label in term for term in terms)]
    chosen = draw(st.none() | st.lists(st.sampled_from(used), unique=True)) if used else None
    result = None if chosen is None else [*chosen, *([Ellipsis] if with_ellipsis else [])]
    options = draw(st.sampled_from([{}, {"optimize": True}]))
    if draw(st.booleans()):
        spelled = ["".join(map(str, term)).replace("Ellipsis", "...") for term in [*terms, result or []]]
        spec = ",".join(spelled[:-1]) + ("" if result is None else f"->{spelled[-1]}")
        return Call(operation, tuple(inputs), options, lambda *xs: (spec, *xs))
    number = {"B": 1, "a": 26, "c": 28, Ellipsis: Ellipsis}
    numbered = [[number[label] for label in term] for term in terms]
    last = [] if result is None else [[number[label] for label in result]]
    options = options if last else {}  # NumPy 2.0 orders what is left otherwise if it optimizes
    return Call(
        operation, tuple(inputs), options,
        lambda *xs: (*[part for pair in zip(xs, numbered, strict=True) for part in pair], *last),
    )


@st.composite
def multi_dot_calls(draw: st.DrawFn, operation: Operation) -> Call:
    sides = draw(st.lists(st.integers(0, 4), min_size=3, max_size=6))
    inputs = [draw(clear_arrays(pair)) for pair in pairwise(sides)]
    if draw(st.booleans()) and sides[0]:
        inputs[0] = inputs[0][0]
    if draw(st.booleans()) and sides[-1]:
        inputs[-1] = inputs[-1][:, 0]
    return Call(operation, tuple(inputs), {}, lambda *xs: (list(xs),))


stacks = hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=2)


@st.composite
def matrices(draw: st.DrawFn, stack: tuple[int, ...], m: int, n: int, permuted: bool = False) -> Array:
    """Well-conditioned (m, n) matrices of full rank with well-separated singular values, near 4, 8, 12, ...

    With `permuted` rows, so that their determinants have either sign.
    """
    base = np.eye(m, n) * 4 * np.arange(1, n + 1)
    if permuted:
        base = base[list(draw(st.permutations(range(m))))]
    matrices: Array = base + draw(clear_arrays((*stack, m, n))) / 4
    return matrices


@st.composite
def square_matrix_calls(draw: st.DrawFn, operation: Operation) -> Call:
    n = draw(st.integers(0, 3))
    return Call(operation, (draw(matrices(draw(stacks), n, n, permuted=True)),))


@st.composite
def solve_calls(draw: st.DrawFn, operation: Operation) -> Call:
    n = draw(st.integers(0, 3))
    left, right = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, min_side=0, max_side=2)).input_shapes
    b = draw(clear_arrays((n,)) | clear_arrays((*right, n, draw(st.integers(0, 2)))))
    return Call(operation, (draw(matrices(left, n, n, permuted=True)), b))


@st.composite
def symmetric_calls(draw: st.DrawFn, operation: Operation) -> Call:
    """Operations of symmetric matrices: the input is made so, hence its gradient must be as well."""
    n = draw(st.integers(0, 3))
    x = draw(matrices(draw(stacks), n, n))
    if operation.name == "linalg.cholesky":
        return Call(operation, (x,), {"upper": draw(st.booleans())}, symmetric_part)
    return Call(operation, (x,), {"UPLO": draw(st.sampled_from("LU"))}, symmetric_part, without_signs)


def symmetric_part(x: Any) -> tuple[Any]:
    return ((x + np.swapaxes(x, -1, -2)) / 2,)


def without_signs(result: Any) -> Any:
    """Eigenvalues, and of the eigenvectors what does not depend on their signs: v vᵀ for each."""
    values, vectors = result
    columns = np.swapaxes(vectors, -1, -2)
    return as_one([values, np.expand_dims(columns, -1) * np.expand_dims(columns, -2)])


@st.composite
def matrix_calls(draw: st.DrawFn, operation: Operation) -> Call:
    """Operations of matrices of any shape: tall, square and wide ones."""
    m, n = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    x = draw(matrices(draw(stacks), m, n))
    if operation.name == "linalg.pinv":
        return Call(operation, (x,))
    if operation.name == "linalg.qr":
        return Call(operation, (x,), {"mode": draw(st.sampled_from(["reduced", "r"]))})
    if draw(st.booleans()):
        return Call(operation, (x,), {"compute_uv": False})
    options = {"full_matrices": m == n and draw(st.booleans())}
    return Call(operation, (x,), options, combine=without_joint_signs)


def without_joint_signs(result: Any) -> Any:
    """Singular values, and of the vectors what does not depend on their signs: u uᵀ, v vᵀ and u vᵀ for each."""
    left, values, right = result
    u = np.swapaxes(left, -1, -2)
    pairs = [(u, u), (right, right), (u, right)]
    return as_one([values, *[np.expand_dims(a, -1) * np.expand_dims(b, -2) for a, b in pairs]])


@st.composite
def norm_calls(draw: st.DrawFn, operation: Operation) -> Call:
    """Norms of vectors and matrices of each order, their elements distinct in size and none 0."""
    shape, keepdims = draw(full_shapes), {"keepdims": draw(st.booleans())}
    vector = [None, 1, 2, 3, 4, 1.5, 0.5, -1, np.inf, -np.inf]
    matrix = [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]
    kind = draw(st.sampled_from(["all", "vector", "matrix"]))
    if kind == "matrix":
        ord = draw(st.sampled_from(matrix))
        x = draw(matrices(draw(hnp.array_shapes(min_dims=0, max_dims=1, max_side=2)), draw(st.integers(1, 3)), 2))
        pair = draw(st.permutations([x.ndim - 1, x.ndim - 2]))
        axis = draw(st.sampled_from([tuple(pair), tuple(i - x.ndim for i in pair)] + [None] * (x.ndim == 2)))
        return Call(operation, (x + irrational(x.shape),), {"ord": ord, "axis": axis, **keepdims})
    x = draw(clear_arrays(shape, offset=0.3, unique=True))
    if kind == "all":
        return Call(operation, (x,), keepdims)
    options = {"ord": draw(st.sampled_from(vector)), "axis": draw(axis_of(shape)), **keepdims}
    return Call(operation, (x,), options)


def irrational(shape: tuple[int, ...]) -> Array:
    """Small numbers that make sums of others distinct."""
    return np.asarray(np.sqrt(2 + np.arange(np.prod(shape, dtype=int))).reshape(shape) / 500)


@st.composite
def example_calls(draw: st.DrawFn, operation: Operation) -> Call:
    sides, arguments, options = draw(EXAMPLES[operation.name])
    domains = operation.domain if len(operation.domain) == len(sides) else operation.domain[:1] * len(sides)
    drawn = zip(sides, domains, strict=True)
    inputs = tuple(draw(clear_arrays(shape, domain, unique=operation.ties)) for shape, domain in drawn)
    return Call(operation, inputs, options, arguments)


@st.composite
def cast_calls(draw: st.DrawFn, operation: Operation) -> Call:
    return Call(operation, (draw(clear_arrays(draw(shapes))),), {}, lambda x: (x, np.float64))


_options_by_name: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "leaky_relu": st.just({}) | st.just({"negative_slope": 0.25}),
    "elu": st.just({}) | st.just({"alpha": 0.5}),
    "softplus": st.just({}) | st.just({"beta": 2.0}),
    "gelu": st.just({}) | st.sampled_from([{"approximate": "none"}, {"approximate": "tanh"}]),
    "hardtanh": st.just({}) | st.just({"min_val": -2, "max_val": 0.5}),
    "round": st.just({}) | st.sampled_from([{"decimals": 1}, {"decimals": -1}]),
}

_calls_of_family: dict[str, Callable[[Operation], st.SearchStrategy[Call]]] = {
    "elementwise": elementwise_calls,
    "step": elementwise_calls,
    "reduction": reduction_calls,
}

_calls_by_name: dict[str, Callable[[Operation], st.SearchStrategy[Call]]] = {
    "remainder": remainder_calls,
    **dict.fromkeys(["var", "std", "nanvar", "nanstd"], variance_calls),
    "clip": clip_calls,
    "where": where_calls,
    **dict.fromkeys(["concatenate", "stack"], joining_calls),
    **dict.fromkeys(["add_at", "put"], put_calls),
    "matmul": matmul_calls,
    **dict.fromkeys(["dot", "inner"], dot_calls),
    "tensordot": tensordot_calls,
    "einsum": einsum_calls,
    "multi_dot": multi_dot_calls,
    **dict.fromkeys(["linalg.inv", "linalg.det", "linalg.slogdet"], square_matrix_calls),
    "linalg.solve": solve_calls,
    **dict.fromkeys(["linalg.eigh", "linalg.cholesky"], symmetric_calls),
    **dict.fromkeys(["linalg.qr", "linalg.svd", "linalg.pinv"], matrix_calls),
    "linalg.norm": norm_calls,
    "astype": cast_calls,
    **dict.fromkeys(arguments_by_name, shape_calls),
}
