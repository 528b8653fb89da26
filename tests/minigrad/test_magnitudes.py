"""Values and gradients at all magnitudes a dtype has, against the same operation computed in a wider dtype.

Wherever the exact value or gradient can be represented it must be found, within a few units of the last place (or what
a change of an input in its last place makes of it). Infinities stand for the limit; where there is none NaN is right.
"""

import warnings
from itertools import product

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops import operations

ULPS = 16
pytestmark = pytest.mark.skipif(np.finfo(np.longdouble).maxexp <= 1024, reason="needs a dtype wider than float64")
each_dtype = pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])

# What is not judged, and why: masks over the inputs.
UNJUDGED = {
    "power": lambda a, b: (np.abs(b) > 1e3)  # b - 1 is rounded, which the sign and the size of an overflow depend on
    | (np.abs(b) < 0.2)  # b * a ** (b - 1) is representable where a ** (b - 1) is not
    | (2 ** np.abs(b) >= np.finfo(a.dtype).max)  # the value overflows, the gradient just not
    | np.isinf(a) | np.isinf(b),  # as in NumPy and PyTorch
    "exp2": lambda x: x == np.finfo(x.dtype).maxexp,  # the value overflows, the gradient just not
    "remainder": lambda a, b: ~(np.abs(a) * np.finfo(a.dtype).eps < np.abs(b)) | np.isinf(a),  # jumps lie too close
    "logaddexp": lambda a, b: np.isneginf(a) & np.isneginf(b),  # nothing is to be shared: 0
    "logaddexp2": lambda a, b: np.isneginf(a) & np.isneginf(b),
    "sinc": np.isinf,  # it oscillates, as NumPy and PyTorch have it
}
VARIANTS = [
    *[(op.name, {}) for op in operations.values() if op.owner == "minigrad"
      and (op.kind == "elementwise" or op.name == "remainder") and op.name != "outer"],
    ("leaky_relu", {"negative_slope": 0.25}), ("elu", {"alpha": 0.5}), ("softplus", {"beta": 2.0}),
    ("gelu", {"approximate": "tanh"}), ("hardtanh", {"min_val": -5.0, "max_val": 0.5}),
]


def magnitudes(dtype, some=False):
    """Numbers of either sign from 0 and the smallest subnormal one to infinity, and NaN."""
    info = np.finfo(dtype)
    least, tiny, most = map(float, (info.smallest_subnormal, info.tiny, info.max))
    found = [0, least, 5 * least, 37 * tiny, tiny**0.5, 0.1, 0.5, 1, 3, 20, 300, most**0.5 * 1.5, most / 4, most]
    found += [np.inf]
    if not some:
        found += [tiny, tiny**0.75, tiny**0.25, 1.7, 9, 90, most**0.25, most**0.5, most**0.75, most * 0.75]
    positive = np.unique(np.array(found).astype(dtype))
    return np.concatenate([-positive, positive, [np.nan]]).astype(dtype)


def computed(f, inputs, cotangent):
    """The value of `f` and the gradients by its inputs."""
    tensors = [mg.tensor(x, requires_grad=True) for x in inputs]
    y = f(*tensors)
    if not y.requires_grad:
        return [y.numpy(), *[np.zeros_like(x.numpy()) for x in tensors]]
    y.backward(np.broadcast_to(cotangent, y.shape).astype(y.dtype))
    return [y.numpy(), *[x.grad.numpy() if x.grad is not None else np.zeros_like(x.numpy()) for x in tensors]]


def exactly(f, inputs, cotangent):
    """The same in the widest dtype, NaN where there is no limit, and what a last digit of the inputs changes."""
    dtype, signs = inputs[0].dtype, np.random.default_rng(0)
    near, far = np.longdouble("1e3000"), np.longdouble("1e4000")  # two numbers that are infinite in each dtype
    pairs = [(far, far), (near, near), (near, far), (far, near)]
    at = [[np.where(np.isinf(x), np.sign(x) * most, x.astype(np.longdouble)) for x, most in zip(inputs, pair)]  # noqa: B905
          for pair in pairs]
    expected, *others = [computed(f, xs, cotangent) for xs in at]
    slack = [np.zeros(x.shape, np.longdouble) for x in expected]
    for _ in range(4):
        moved = [x * (1 + np.finfo(dtype).eps * signs.choice([-1, 1], x.shape)) for x in at[0]]
        for total, a, b in zip(slack, computed(f, moved, cotangent), expected, strict=True):
            np.maximum(total, np.where(np.isfinite(a - b), 4 * np.abs(a - b), 0), out=total)
    rows = np.any([np.isinf(x).reshape(len(x), -1).any(1) for x in inputs], 0)
    for i, one in enumerate(expected):
        for other in others:
            level = np.isclose(one.astype(dtype).astype(float), other[i].astype(dtype).astype(float), 1e-3, 0)
            one[rows.reshape(-1, *[1] * (one.ndim - 1)) & ~level] = np.nan
    return expected, slack


def wrong(found, expected, slack, least=None):
    """Where `found` is not the representable number next to `expected`, or one that overflows.

    By the units of each number; if `least` is given, of the largest in the row, or of `least` if that is larger.
    """
    cast, most = expected.astype(found.dtype), np.finfo(found.dtype).max
    error = np.abs(found.astype(np.longdouble) - expected)
    size = np.where(np.isfinite(cast), np.abs(cast), 1)
    size = size if least is None else np.maximum(np.max(size, -1, keepdims=True), found.dtype.type(least))
    allowed = ULPS * np.spacing(size).astype(np.longdouble) + slack
    overflows = np.isinf(found) & (np.abs(expected) > most * (1 - 8 * float(np.finfo(found.dtype).eps)))
    right = (error <= allowed) | (found == cast) | np.isnan(cast) | (overflows & (np.sign(found) == np.sign(cast)))
    return ~right


def compare(f, inputs, dtype, cotangent, may_be_nan=False, least=None):
    """Assert that value and gradients of `f` are right; where `may_be_nan` they may be NaN as well."""
    exact = exactly(f, inputs, cotangent)
    for i, (found, expected, slack) in enumerate(zip(computed(f, inputs, cotangent), *exact, strict=True)):
        lost = np.isnan(found) & np.reshape(may_be_nan, (-1, *[1] * (found.ndim - 1)))
        bad = wrong(found, expected, slack, least if found.ndim == 2 else None) & ~lost
        rows = [[x[k[0]].tolist() for x in inputs] for k in np.argwhere(bad)]
        assert not bad.any(), (f"output {i}", list(zip(rows, found[bad], expected.astype(dtype)[bad], strict=True))[:5])


@each_dtype
@pytest.mark.parametrize(("name", "settings"), VARIANTS)
@np.errstate(all="ignore")
def test_an_elementwise_operation_is_right_wherever_its_result_is_representable(name, settings, dtype):
    known = operations[name]
    inputs = [x.ravel() for x in np.meshgrid(*[magnitudes(dtype, some=known.arity > 1)] * known.arity)]
    judged = ~UNJUDGED.get(name, lambda *xs: np.zeros(xs[0].shape, bool))(*inputs)
    for x, domain in zip(inputs, known.domain, strict=True):
        judged &= ~((x < domain.low) | (x > domain.high))
    inputs = [x[judged] for x in inputs]

    def f(*xs):
        return known.function(*xs, **settings)

    # of two infinities NaN, PyTorch's answer, is as good as the limit
    may_be_nan = np.any(np.isinf(inputs), 0) if known.arity > 1 else False
    compare(f, inputs, dtype, np.longdouble(0.75), may_be_nan)


def warnings_of(compute, *inputs):
    """What is warned of while something is computed, and the result; None if that is not to be had."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = compute(*inputs)
    return {str(warning.message) for warning in caught}, found


@each_dtype
@pytest.mark.parametrize(("name", "settings"), [*VARIANTS, ("leaky_relu", {"negative_slope": 0.0})])
def test_no_warning_comes_with_values_and_gradients_that_are_finite(name, settings, dtype):
    known = operations[name]

    def f(*xs):
        return known.function(*xs, **settings)

    for numbers in product(magnitudes(dtype, some=known.arity > 1), repeat=known.arity):
        tensors = [mg.tensor(x, requires_grad=True) for x in numbers]
        warned, y = warnings_of(f, *tensors)
        expected, _ = warnings_of(known.twin, *numbers)
        if np.isfinite(y.data):
            assert warned <= expected, (numbers, y)
        inside = all(domain.low <= x <= domain.high for x, domain in zip(numbers, known.domain, strict=True))
        if inside and y.requires_grad and not warned:
            warned, _ = warnings_of(y.backward)
            assert not (warned and np.isfinite([x.grad.data for x in tensors]).all()), (numbers, warned)


# Second derivatives are judged where neither they nor what they are made of leave the range.
SMALL = [1e-9, 1e-5, 1e-3, 0.03, 0.1, 0.3, 0.5, 0.9, 0.99, 1, 1.25, 2, 3, 5, 8]


def middling(dtype, known, position):
    """Numbers of either sign inside the domain of an input, away from the kinks, most of them from 1e-9 to 8."""
    domain, found = known.domain[position], np.array([*np.negative(SMALL), *SMALL]).astype(dtype)
    if known.name == "power":  # b - 1 is rounded
        found = found[np.abs(found) >= 0.1]
    return found[(found > domain.low) & (found < domain.high) & ~np.isin(found, known.kinks)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "settings"), [*VARIANTS, *[(f"{name} by both", {}) for name in ("softplus", "elu")]])
@np.errstate(all="ignore")
def test_a_second_derivative_loses_no_digits_to_a_difference(name, settings, dtype):
    known = operations[name.removesuffix(" by both")]
    arity = known.arity if known.name == name else 2
    axes = [middling(dtype, known, min(i, known.arity - 1)) for i in range(arity)]
    inputs = [x.ravel() for x in np.meshgrid(*axes)]
    judged = ~np.isclose(*np.abs(inputs), 0.05, 0) if arity > 1 else slice(None)  # at b² = a² that of arctan2 is 0
    if name == "remainder":
        judged &= np.abs(inputs[0]) < np.abs(inputs[1])  # away from the jumps
    inputs = [x[judged] for x in inputs]
    for i in range(arity):
        def slope(*xs, i=i):
            y = known.function(*xs, **settings)
            return mg.vjp(lambda *xs: known.function(*xs, **settings), *xs)[1](np.ones(y.shape, y.dtype))[i]

        compare(slope, inputs, dtype, np.longdouble(1))


ORDERS = [None, 1, 2, 3, 4, 1.5, 0.5, -1, -2, np.inf, -np.inf]
REDUCTIONS = {
    **{f.__name__: f for f in (mg.sum, mg.mean, mg.var, mg.std, mg.max, mg.min, mg.logsumexp, mg.softmax,
                               mg.log_softmax, mg.prod, mg.cumsum, mg.cumprod)},
    **{f"{f.__name__} with ddof": lambda x, axis, f=f: f(x, axis, ddof=1) for f in (mg.var, mg.std)},
    **{f"norm {ord}": lambda x, axis, ord=ord: mg.linalg.norm(x, ord, axis) for ord in ORDERS},
    "norm fro": lambda x, axis: mg.linalg.norm(x.reshape(-1, 2, 2), "fro", (1, 2)),
}
# Rows that are not judged, and why.
ROWS_UNJUDGED = {
    "mean": lambda x: np.isinf(np.add.reduce(x, 1)),  # the sum overflows, as in NumPy and PyTorch
    "cumsum": lambda x: np.isinf(np.add.reduce(np.abs(x), 1)),
    "prod": lambda x: doublings(x).sum(1) > np.finfo(x.dtype).maxexp - 2,  # a partial product leaves the range
    "cumprod": lambda x: doublings(x).sum(1) > np.finfo(x.dtype).maxexp - 2,
    "var": lambda x: np.isinf(x).any(1),  # NaN, as in NumPy and PyTorch
    "std": lambda x: np.isinf(x).any(1),
    "softmax": lambda x: (x == -np.inf).all(1),  # NaN, as in PyTorch
    "log_softmax": lambda x: (x == -np.inf).all(1),
    # (|x| / norm) ** (p - 1) is representable where |x| / norm is not
    "norm 1.5": lambda x: np.abs(x).max(1) * np.finfo(x.dtype).tiny > np.where(x == 0, np.inf, np.abs(x)).min(1),
    "norm 0.5": lambda x: np.abs(x).max(1) * np.finfo(x.dtype).tiny > np.where(x == 0, np.inf, np.abs(x)).min(1),
}
NAN_AT_INFINITY = ["sum", "mean", "cumsum", "prod", "cumprod", "norm -1", "norm -2"]  # inf - inf, inf / inf
# Differences within a row, in which the largest (or a share of 1) limits the digits.
DIFFERENCES = {"var": 0, "std": 0, "softmax": 0.25, "log_softmax": 0.25}


def doublings(x):
    """How many powers of two each element is away from 1."""
    return np.abs(np.log2(np.where(x == 0, 1, np.abs(x))))


def rows_of(dtype):
    """Rows of four numbers: of one size, of different sizes, equal, near each other, and infinite ones."""
    rng, info = np.random.default_rng(0), np.finfo(dtype)
    tiny, most, inf = np.longdouble(info.tiny), np.longdouble(info.max), np.inf
    found = []
    for size in (4 * np.longdouble(info.smallest_subnormal), tiny, 50 * tiny, tiny**0.5, 0.01, 1, 10, 100, most**0.5,
                 most**0.75, most / 8, most / 2, most * 0.9):
        found += [rng.uniform(-1, 1, 4) * size, rng.uniform(0.2, 1, 4) * size, np.full(4, size), [size, 0, 0, 0],
                  [size, -size, size / 2, 0], size * (1 + rng.integers(0, 4, 4) * np.longdouble(info.eps))]
    for a in (tiny, 1e-3, 1, most**0.5, most * 0.8):
        found += [[a, b, -b, a / 3] for b in (tiny, 1e-3, 1, most**0.5, most * 0.8)]
    found += [[0.1] * 4, [0.7] * 4, [0] * 4, [100, 0, -100, 5], [1000, 1001, 999, 1000], [most] * 4]
    found += [[most, -most, 0, 1]]
    found += [[inf, 0, 1, -1], [inf, inf, 0, 2], [-inf, 0, 1, 2], [-inf] * 4, [inf, -inf, 0, 1], [inf] * 4,
              [-inf, -inf, 3, 4], [inf, most, 1, 0], [np.nan, 1, 2, 3], [np.nan, inf, 0, 1]]
    return np.array(found, np.longdouble).astype(dtype)


@each_dtype
@pytest.mark.parametrize("name", REDUCTIONS)
@np.errstate(all="ignore")
def test_a_reduction_is_right_wherever_its_result_is_representable(name, dtype):
    x, f = rows_of(dtype), REDUCTIONS[name]
    skipped = ROWS_UNJUDGED.get(name.removesuffix(" with ddof"), lambda x: np.zeros(len(x), bool))
    x = x[~skipped(x)]
    shape = f(mg.tensor(x), 1).shape
    cotangent = np.random.default_rng(1).uniform(0.5, 1, shape).astype(np.float16)
    may_be_nan = np.isinf(x).any(1) if name in NAN_AT_INFINITY else False
    compare(lambda t: f(t, 1), [x], dtype, cotangent, may_be_nan, DIFFERENCES.get(name.split()[0]))


def test_the_gradient_of_tan_is_finite_where_its_square_is_not():
    x = mg.tensor(np.float16([-1.57]), requires_grad=True)
    mg.tan(x).backward(np.float16([1e-3]))
    np.testing.assert_allclose(x.grad.numpy(), float(np.float16(1e-3)) / np.cos(float(x.data[0])) ** 2, rtol=4e-3)
