"""Arguments of operations that are composed of others: for each some shapes, and options that go with all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from hypothesis import strategies as st

Shapes: TypeAlias = tuple[tuple[int, ...], ...]  # of the inputs
Arguments: TypeAlias = Callable[..., tuple[Any, ...]]
Example: TypeAlias = tuple[Shapes, Arguments, dict[str, Any]]


def each(shapes: Sequence[Shapes], arguments: Arguments = lambda *xs: xs, **options: Any) -> st.SearchStrategy[Example]:
    """Inputs of these shapes, how they make up the arguments, and options each with some values."""
    drawn = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in options.items()})
    return st.tuples(st.sampled_from(shapes), st.just(arguments), drawn)


def as_list(*xs: Any) -> tuple[Any]:
    """All inputs in one list."""
    return (list(xs),)


def ascending(x: Any) -> Any:
    """Numbers in order, none of them close to one that is drawn elsewhere."""
    return x / 5 + 2 * np.arange(len(x)) - 1.99375


def regular(x: Any) -> Any:
    """Matrices of full rank, with singular values that differ."""
    m, n = x.shape[-2:]
    return x / 4 + np.eye(m, n) * 4 * np.arange(1, n + 1)


def uncorrelated(x: Any) -> Any:
    """Three rows of four numbers, none of them constant or a multiple of another, nor a column."""
    return x / 8 + 3 * np.cos(np.arange(12.0) ** 2).reshape(3, 4)


LINES: list[Shapes] = [((4,),), ((3,),)]
GRIDS: list[Shapes] = [((2, 3),), ((3, 4),), ((3, 2, 4),)]
FIRST, SECOND = np.array([[True, False, False], [False, True, False]]), np.array([True, True, False])
AXES, BOTH = [None, 0, -1, (0, 1)], [False, True]
Q: list[Any] = [0.0, 0.3, 1.0, np.array([[0.25], [1.0]])]
METHODS = ["linear", "lower", "nearest", "hazen", "averaged_inverted_cdf"]

EXAMPLES: dict[str, st.SearchStrategy[Example]] = {
    "nan_to_num": each([*LINES, *GRIDS], nan=[0.0, 1.5]),
    **dict.fromkeys(["atleast_1d", "atleast_2d", "atleast_3d"], each([((),), ((), (2,)), *LINES, *GRIDS])),
    "vstack": each([((3,), (3,)), ((2, 3), (3,))], as_list),
    "hstack": each([((), (3,)), ((2, 1), (2, 3))], as_list),
    "dstack": each([((2,), (2,)), ((2, 1), (2, 1, 3))], as_list),
    "column_stack": each([((2,), (2, 3)), ((2,), (2,))], as_list),
    "array_split": each([((4, 3),)], indices_or_sections=[1, 2, 3, 5, [1], [2, 1]], axis=[0, 1, -1]),
    **dict.fromkeys(["vsplit", "hsplit", "dsplit"], each([((4, 2, 2),)], indices_or_sections=[1, 2, [1]])),
    "flipud": each([*LINES, *GRIDS]),
    "fliplr": each(GRIDS),
    "rot90": each(GRIDS, k=[-1, 0, 1, 2, 3, 6], axes=[(0, 1), (1, 0), (-1, 0)]),
    "rollaxis": each([((2, 3, 2),)], axis=[0, 1, -1], start=[0, 1, 2, 3, -1]),
    "meshgrid": each([((2,),), ((2,), (3,)), ((), (2,), (3,))], indexing=["xy", "ij"], sparse=BOTH),
    "compress": each(GRIDS, lambda x: ([False, True], x), axis=[None, 0, -1]),
    "select": each([((2, 3), (3,), ()), ((), (1, 3), (2, 1))], lambda a, b, other: ([FIRST, SECOND], [a, b], other)),
    "diff": each([*LINES, *GRIDS], n=[0, 1, 2, 3], axis=[0, -1])
    | each([((2, 3), (2, 1), ())], lambda x, before, after: (x, 2, 1, before, after)),
    "gradient": each([*LINES, ((3, 4),)], edge_order=[1, 2])
    | each([((3, 4), ()), ((3, 4),)], lambda x, *steps: (x, *steps), axis=[1, (0, 1)], edge_order=[1, 2])
    | each([((3, 4), (3,), (4,))], lambda x, *at: (x, *map(ascending, at)), edge_order=[1, 2]),
    "trapezoid": each([*LINES, *GRIDS], dx=[1.0, 0.5], axis=[0, -1]) | each([((2, 3), (3,)), ((2, 3), (2, 3))])
    | each([((3, 3), (3,)), ((2, 2, 2), (2, 2))], axis=[1, -2])
    | each([((3, 2), (2,)), ((3, 2), (2, 2))], lambda y, dx: (y, None, dx), axis=[0, -2])
    | each([((3,), (2, 3)), ((2, 3), (2, 2, 3))]) | each([((3,), (3, 2))], axis=[0])
    | each([((3,), (2, 2)), ((3,), (2, 1, 2))], lambda y, dx: (y, None, dx), axis=[0, -1]),
    "interp": each([((4,), (3,), (3,)), ((2, 2), (3,), (3,)), ((), (1,), (1,))],
                   lambda x, at, values: (x, ascending(at), values), left=[None, 0.5], right=[None, -1.5])
    | each([((4,), (3,), (3,))], lambda x, at, values: (x, ascending(at)[::-1], values), period=[7.3, -9.1]),
    "kron": each([((), (2,)), ((2,), (3,)), ((2, 2), (3,)), ((1, 2), (2, 1, 2))]),
    "vdot": each([((), ()), ((3,), (3,)), ((2, 3), (3, 2))]),
    "cross": each([((3,), (3,)), ((2, 3), (3,)), ((2, 1, 3), (2, 3))], axisc=[0, -1])
    | each([((3, 2), (3, 2)), ((3, 1), (3, 2))], axis=[0]),
    "average": each(GRIDS, axis=AXES, keepdims=BOTH, returned=BOTH)
    | each([((2, 3), (2, 3))], lambda x, w: (x, 1, w * w), keepdims=BOTH, returned=BOTH)
    | each([((2, 3, 2), (2, 2))], lambda x, w: (x, (2, 0), w * w), keepdims=BOTH, returned=BOTH),
    "cov": each([*LINES, ((3, 4),), ((4, 4), (4, 4))], rowvar=BOTH, bias=BOTH, ddof=[None, 0])
    | each([((2, 3), (1, 2)), ((3,), (1, 3))], rowvar=[False])
    | each([((2, 3),)], bias=BOTH, fweights=[None, [1, 2, 1]], aweights=[None, [0.5, 1.0, 2.0]]),
    "corrcoef": each([((3, 4),), ((3, 4), (3, 4))], lambda *xs: tuple(map(uncorrelated, xs)), rowvar=BOTH),
    "median": each([((),), *LINES, *GRIDS], axis=[None, ()], keepdims=BOTH) | each(GRIDS, axis=AXES, keepdims=BOTH),
    "quantile": each(GRIDS, q=Q, axis=AXES, method=METHODS, keepdims=BOTH),
    "percentile": each(GRIDS, q=[100 * q for q in Q], axis=AXES, method=METHODS, keepdims=BOTH),
    **dict.fromkeys(["maximum.accumulate", "minimum.accumulate"], each([*LINES, *GRIDS], axis=[0, -1])),
    "linalg.lstsq": each([((4, 2), (4,)), ((3, 2), (3, 2)), ((2, 3), (2,)), ((2, 2), (2, 1))],
                         lambda a, b: (regular(a), b)),
    "linalg.matrix_power": each([((2, 2),), ((2, 3, 3),)], lambda a: (regular(a) / 8,), n=[-2, -1, 1, 2, 3, 5]),
}
