"""hypothesis strategies for arrays and tensors, and for what depends on a shape: axes, indices, other shapes.

Elements lie on a lattice of eighths, offset so that they keep clear of kinks: values are easy to read, derivatives
well conditioned, and a failing example shrinks to small numbers. What is drawn for users is now and then special: 0,
1 and -1, equal elements, small and large arrays, long sides and four dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import ceil, floor, log, prod
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigrad.arrays import Array
from minigrad.ops import Domain
from minigrad.ops.registry import REAL
from minigrad.tensor import Tensor, as_tensor
from minigrad.testing.layouts import LAYOUTS, repeated

LATTICE = 8

SCALES = (-40, -20, -8, 4)  # powers of two of small and large arrays; e to the power of 3 * 16 is still no large number


def mostly(usual: st.SearchStrategy[Any], *others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What is usual four times out of five, and the simplest."""
    return st.one_of(*[usual] * 4 * len(others), *others)


def sized(least: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes with sides from `least`: mostly small ones, but also long sides and four dimensions."""
    few = hnp.array_shapes(min_dims=least, max_dims=3, min_side=least, max_side=3)
    long = hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=9)
    return mostly(few, long, hnp.array_shapes(min_dims=4, max_dims=4, min_side=least, max_side=3))


shapes, full_shapes = sized(0), sized(1)


def inside(domain: Domain, numbers: Iterable[float]) -> list[float]:
    """Those of some numbers that lie in a domain."""
    return [x for x in numbers if domain.low < x < domain.high and x not in domain.without]


def points(domain: Domain, offset: float, many: bool = False) -> list[float]:
    """The points of a lattice inside a domain, of moderate size; if there are to be many, up to eight times as large.

    Its step is an eighth, or another power of eight where the domain is narrow or far from 0.
    """
    most = 3.0 * LATTICE**many
    low, high = max(domain.low, min(-most, 2 * domain.high)), min(domain.high, max(most, 2 * domain.low))
    density = float(LATTICE) ** (1 + many - floor(log(high - low, LATTICE)))
    first, last = ceil(low * density), floor(high * density) - 1
    # simplest first: hypothesis shrinks towards the first of these
    lattice = sorted(((k + offset) / density for k in range(first, last + 1)), key=lambda p: (abs(p), p < 0))
    return inside(domain, lattice)


def elements(domain: Domain = REAL, offset: float | None = None) -> st.SearchStrategy[float]:
    """Floats of moderate size inside a domain, now and then 0, 1 or -1.

    If `offset` is given they keep clear of kinks: it shifts them against the lattice, of which these are points.
    """
    usual = st.sampled_from(points(domain, 0.5 if offset is None else offset))
    special = inside(domain, [0.0, 1.0, -1.0] if offset is None else [])
    return mostly(usual, st.sampled_from(special)) if special else usual


def clear_arrays(
    shape: Any, domain: Domain = REAL, offset: float = 0.5, unique: bool = False
) -> st.SearchStrategy[Array]:
    """float64 arrays with elements of moderate size, clear of kinks; `unique` ones contain no ties."""
    if unique:
        return hnp.arrays(np.float64, shape, elements=st.sampled_from(points(domain, offset, many=True)), unique=True)
    return hnp.arrays(np.float64, shape, elements=elements(domain, offset), fill=st.nothing())


@st.composite
def arrays(
    draw: st.DrawFn, shape: Any, domain: Domain = REAL, offset: float | None = None, unique: bool = False
) -> Array:
    """float64 arrays with elements of `domain`: now and then small or large ones, or ones of equal elements.

    Args:
        shape: a shape, or a strategy for shapes.
        domain: where the elements lie.
        offset: if given, all keep clear of kinks and are of moderate size, see `elements`.
        unique: whether to draw no ties.
    """
    if offset is not None or unique:
        return draw(clear_arrays(shape, domain, 0.5 if offset is None else offset, unique))
    x: Array = draw(hnp.arrays(np.float64, shape, elements=elements(domain), fill=st.nothing()))
    is_scaled = domain.high == np.inf and domain.low in (-np.inf, 0) and not any(domain.without)
    others = [(k, False) for k in SCALES if is_scaled] + [(0, True)]
    scale, equal = draw(mostly(st.just((0, False)), st.sampled_from(others)))
    return np.full_like(x, x.flat[0]) if equal and x.size else np.asarray(x * 2.0**scale)


def magnitudes(
    dtype: npt.DTypeLike = np.float64, allow_infinity: bool = False, allow_nan: bool = False
) -> st.SearchStrategy[float]:
    """Floats of every size that a dtype has, of either sign: for tests of values, as `tensors(elements=magnitudes())`.

    They are 0, numbers from the smallest subnormal to the largest one, and on request infinities and NaN.
    """
    info = np.finfo(dtype)
    exponents = st.integers(int(info.minexp) - int(info.nmant), int(info.maxexp) - 1)
    sizes = st.builds(lambda k, exponent: float(np.ldexp(1 + k / LATTICE, exponent)), st.integers(0, 7), exponents)
    ends = st.sampled_from([float(x) for x in (info.smallest_subnormal, info.tiny, info.eps, info.max)])
    extra = [float("inf")] * allow_infinity + [float("nan")] * allow_nan
    size = mostly(elements(), sizes, sizes, ends, *([st.sampled_from(extra)] if extra else []))
    return st.builds(lambda x, sign: float(info.dtype.type(x)) * sign, size, st.sampled_from([1, -1]))


@st.composite
def tensors(
    draw: st.DrawFn,
    shape: tuple[int, ...] | st.SearchStrategy[tuple[int, ...]] | None = None,
    dtype: npt.DTypeLike = np.float64,
    layout: str | None = None,
    elements: st.SearchStrategy[float] | None = None,
    requires_grad: bool = True,
) -> Tensor:
    """Tensors in all memory layouts.

    Args:
        shape: a shape, or a strategy for shapes; any small one by default, empty and 0-d ones among them.
        dtype: a floating dtype, or another one with `requires_grad=False`.
        layout: one of `LAYOUTS`, or "zero-stride", whose entries are equal along the last axis; any by default.
        elements: a strategy for the elements; by default those of `arrays`.
        requires_grad: whether gradients flow to them.

    >>> from hypothesis import given
    >>> @given(tensors(shape=(2, 3), layout="negative-stride"))
    ... def test(x):
    ...     assert x.shape == (2, 3) and x.numpy().strides == (-24, -8)
    >>> test()
    """
    laid_out = {**LAYOUTS, "zero-stride": repeated}
    if layout not in (None, *laid_out):
        raise ValueError(f"there is no layout {layout!r}: choose among {', '.join(laid_out)}")
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else draw(shapes) if shape is None else shape
    x = draw(arrays(shape) if elements is None else hnp.arrays(np.float64, shape, elements=elements))
    chosen = draw(st.sampled_from([*laid_out])) if layout is None else layout
    tensor = as_tensor(laid_out[chosen](x.astype(dtype)))
    tensor.requires_grad = requires_grad
    return tensor


def cotangents(like: Any) -> st.SearchStrategy[Array]:
    """Arrays of the shape and dtype of a tensor or array: elements of both signs, some of them 0, and none 1.

    >>> cotangents(np.ones((2, 3))).example().shape  # doctest: +SKIP
    (2, 3)
    """
    x = as_tensor(like)
    some = hnp.arrays(np.float64, x.shape, elements=st.just(0.0) | elements(offset=0.5), fill=st.nothing())
    return some.map(lambda c: c.astype(x.dtype))


def broadcastable(n: int) -> st.SearchStrategy[tuple[tuple[int, ...], ...]]:
    """`n` shapes, empty and 0-d ones among them, that broadcast together."""
    if n == 1:
        return st.tuples(shapes)
    return hnp.mutually_broadcastable_shapes(num_shapes=n, min_side=0, max_side=3, max_dims=3).map(
        lambda drawn: tuple(drawn.input_shapes)
    )


def axes(ndim: int) -> st.SearchStrategy[int | tuple[int, ...] | None]:
    """None, one axis, or a tuple of axes, of an array with `ndim` of them; negative ones too."""
    if ndim == 0:
        return st.none()
    one = st.integers(-ndim, ndim - 1)
    several = st.lists(one, max_size=ndim, unique_by=lambda axis: axis % ndim).map(tuple)
    return st.none() | one | several


def axis_of(shape: tuple[int, ...]) -> st.SearchStrategy[int]:
    return st.integers(-len(shape), len(shape) - 1)


def some_axes(shape: tuple[int, ...]) -> st.SearchStrategy[int | tuple[int, ...]]:
    return axes(len(shape)).filter(lambda axis: axis is not None)  # type: ignore[return-value]


@st.composite
def moves(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Axes and the places to move them to."""
    source = draw(some_axes(shape))
    if isinstance(source, int):
        return source, draw(axis_of(shape))
    return source, tuple(draw(st.permutations(range(len(shape))))[: len(source)])


def squeezable(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    ones = [axis for axis, n in enumerate(shape) if n == 1]
    chosen = st.none() | st.lists(st.sampled_from(ones), unique=True).map(tuple) if ones else st.none()
    return chosen | st.sampled_from([axis - len(shape) for axis in ones]) if ones else chosen


def with_axis(
    shape: tuple[int, ...], of: Callable[[int], st.SearchStrategy[Any]], flat: bool = True
) -> st.SearchStrategy[tuple[Any, int | None]]:
    """What suits a number of elements, and an axis with so many; None for all axes together, if `flat`."""
    axis = st.none() | axis_of(shape) if flat else axis_of(shape)
    return axis.flatmap(lambda axis: st.tuples(of(prod(shape) if axis is None else shape[axis]), st.just(axis)))


def sections(n: int) -> st.SearchStrategy[Any]:
    """Numbers of equal parts of n elements, or indices to split at."""
    return st.sampled_from([k for k in (1, 2, 3) if n % k == 0]) | st.lists(st.integers(-n, n + 1), max_size=3)


def picks(n: int) -> st.SearchStrategy[Any]:
    """Positions among n elements, with duplicates, of any dimensions."""
    if not n:
        return hnp.arrays(int, (0,))
    places = st.integers(-n, n - 1)
    some = hnp.arrays(int, hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3), elements=places)
    return some | places | st.lists(places, min_size=1, max_size=3)


def repeats(n: int) -> st.SearchStrategy[Any]:
    """How often to repeat n elements, or each of them."""
    times = st.integers(0, 3)
    return times | hnp.arrays(int, n, elements=times)


def rolls(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[Any, Any]]:
    shift = st.integers(-4, 4)

    def along(axis: int | tuple[int, ...]) -> st.SearchStrategy[tuple[Any, Any]]:
        return st.tuples(shift if isinstance(axis, int) else st.tuples(*[shift] * len(axis)) | shift, st.just(axis))

    return st.tuples(shift, st.none()) | some_axes(shape).flatmap(along)


def picks_along(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[Any, Any]]:
    """Positions for each place of the other axes, which may also be broadcast, for `take_along_axis`."""
    def along(axis: int) -> st.SearchStrategy[tuple[Any, Any]]:
        n = shape[axis]
        others = st.tuples(*[st.sampled_from(sorted({1, side})) if side else st.just(side) for side in shape])
        sides = st.tuples(others, st.integers(0, 4 if n else 0)).map(
            lambda drawn: tuple(drawn[1] if i == axis % len(shape) else side for i, side in enumerate(drawn[0]))
        )
        places = st.integers(-n, n - 1) if n else st.just(0)
        return st.tuples(sides.flatmap(lambda sides: hnp.arrays(int, sides, elements=places)), st.just(axis))

    n = prod(shape)
    flat = hnp.arrays(int, st.integers(0, 4 if n else 0), elements=st.integers(-n, max(n - 1, -n)))
    return axis_of(shape).flatmap(along) | st.tuples(flat, st.none())


def diagonals(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[int, int, int]]:
    """An offset, also one beyond the matrix, and two different axes."""
    pairs = st.permutations(range(-len(shape), 0)).map(lambda order: order[:2])
    return st.builds(lambda offset, pair: (offset, *pair), st.integers(-3, 3), pairs)


def paddings(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[Any, ...]]:
    width = st.integers(0, 4)
    pair = st.tuples(width, width)
    widths = width | pair | st.lists(pair, min_size=len(shape), max_size=len(shape))
    return st.tuples(widths, st.sampled_from(["constant", "reflect", "edge", "symmetric", "wrap"])) | st.tuples(
        widths, st.sampled_from([{"constant_values": 1.5}, {"constant_values": (0.5, -1)}])
    )


def windowings(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[Any, ...]]:
    """A window for all axes, or for one or two of them, an axis perhaps windowed twice."""
    full = st.tuples(st.tuples(*[st.integers(1, n) for n in shape]))
    one = axis_of(shape).flatmap(lambda axis: st.tuples(st.integers(1, shape[axis]), st.just(axis)))
    twice = axis_of(shape).map(lambda axis: ((shape[axis], 1), (axis, axis)))
    return full | one | twice


def reshapes(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes with as many elements as `shape`: its sides in another order, merged, split off by ones, or inferred."""
    size = prod(shape)

    def of(sides: list[int]) -> st.SearchStrategy[tuple[int, ...]]:
        inferred = [] if 0 in sides[:-1] else [(*sides[:-1], -1, 1)]  # by a side of 0 nothing can be divided
        return st.sampled_from([tuple(sides), (size,), (-1,), (1, *sides), *inferred])

    return st.permutations(shape).flatmap(of)


def indices(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Every kind of NumPy index: basic, integer arrays with duplicates, boolean masks, and mixtures."""
    basic = hnp.basic_indices(shape, allow_newaxis=True)
    if not shape or 0 in shape:
        return basic
    integers = hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(min_dims=0, max_dims=2, max_side=3))
    some = st.integers(1, len(shape)).flatmap(lambda n: hnp.integer_array_indices(shape[:n]))
    mask = hnp.arrays(bool, shape[:1]) | hnp.arrays(bool, shape)
    with_ellipsis = hnp.integer_array_indices(shape[-1:]).map(lambda index: (..., *index))
    list_of_rows = st.lists(st.integers(-shape[0], shape[0] - 1), min_size=1, max_size=4)
    with_newaxis = list_of_rows.map(lambda rows: (None, rows))
    return basic | integers | some | mask | with_ellipsis | list_of_rows | with_newaxis


def split_options(given: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments by position, and those by name, which are a dict at their end if there are any."""
    return (given[:-1], given[-1]) if given and isinstance(given[-1], dict) else (given, {})


orders = st.sampled_from(["C", "F"])  # by "A" the layout makes a difference, as it should
arguments_by_name: dict[str, Callable[[tuple[int, ...]], st.SearchStrategy[tuple[Any, ...]]]] = {
    "ravel": lambda shape: st.just(()) | orders.map(lambda order: (order,)),
    "matrix_transpose": lambda shape: st.just(()),
    "reshape": lambda shape: st.tuples(reshapes(shape))
    | st.tuples(reshapes(shape), st.fixed_dictionaries({"order": orders})),
    "transpose": lambda shape: st.tuples(st.none() | st.permutations(range(-len(shape), 0)).map(tuple)),
    "swapaxes": lambda shape: st.tuples(axis_of(shape), axis_of(shape)),
    "moveaxis": moves,
    "squeeze": lambda shape: st.tuples(squeezable(shape)),
    "expand_dims": lambda shape: st.tuples(
        st.integers(-len(shape) - 1, len(shape)) | st.sampled_from([(0, -1), (1, 2), (-1, -2)])
    ),
    "broadcast_to": lambda shape: st.tuples(
        st.lists(st.integers(0, 3), max_size=2).map(lambda added: (*added, *shape))
    ),
    "split": lambda shape: with_axis(shape, sections, flat=False),
    "tile": lambda shape: st.tuples(st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=4).map(tuple)),
    "roll": rolls,
    "flip": lambda shape: st.tuples(axes(len(shape))),
    "take": lambda shape: with_axis(shape, picks),
    "take_along_axis": picks_along,
    "repeat": lambda shape: with_axis(shape, repeats),
    **dict.fromkeys(["sort", "cumsum", "cumprod"], lambda shape: st.tuples(
        st.none() | axis_of(shape) if shape else st.none())),
    **dict.fromkeys(["softmax", "log_softmax"], lambda shape: st.just(()) | st.tuples(axes(len(shape)))),
    "getitem": lambda shape: st.tuples(indices(shape)),
    "diagonal": diagonals,
    "trace": diagonals,
    "diag": lambda shape: st.tuples(st.integers(-3, 3)),
    "tril": lambda shape: st.tuples(st.integers(-3, 3)),
    "triu": lambda shape: st.tuples(st.integers(-3, 3)),
    "pad": paddings,
    "sliding_window_view": windowings,
}
