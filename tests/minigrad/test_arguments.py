"""Arguments beside the tensors: what NumPy refuses is refused, whatever has an index is a number, sentences say why."""

import inspect
import itertools

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops import operations


class Number:
    """A number that is no int, as other libraries have them."""

    def __init__(self, number):
        self.number = number

    def __index__(self):
        return self.number

    def __repr__(self):
        return f"Number({self.number})"


AXES = [
    None, 0, 1, 2, 5, -1, -2, -3, -4, 10**20, np.int64(1), np.int8(0), np.uint8(1), Number(1), Number(-1), np.array(0),
    mg.tensor(0), mg.tensor([0, 1]), np.array([0, 1]), 0.0, 1.5, np.float64(0), "a", 1j, (), (0,), (0, 1), (1, 0),
    (0, 0), (0, -2), (0, 5), (-1, -2), (0.0,), (0.5, 1), (None,), (np.int64(0), Number(1)), ((0,),), [0], [0, 1],
    [0, 0], [], range(2), (2, 1, 0), (0, 1, 2), (0, 1, 1),
]
NUMBERS = [
    0, 1, 2, 3, -1, -5, 7, np.int64(2), np.int8(1), np.uint8(1), np.uint64(1), Number(2), np.array(2), mg.tensor(2),
    1.5, 2.0, np.float64(2), None, "a", [1, 2], (2, 1), (1,), [2.5], [1, 2, 3], [np.int64(1)], [[1, 2], [1, 1]], (), [],
    range(3), mg.tensor([1, 2]), (-1, 2),
]
SHAPES = [
    (), (6,), (3, 2), (-1,), (-1, 2), (-1, -1), (2, -3), 6, -1, 3, np.int64(6), Number(6), (np.int64(3), 2), [3, 2],
    (1.5,), 6.0, (3, 2.0), None, "a", np.array([3, 2]), mg.tensor([3, 2]), (2, 2, 3), (2, 0), (Number(3), 2),
    range(2, 4),
]
POOLS = {
    **dict.fromkeys(["axis", "axis1", "axis2", "axes", "source", "destination"], AXES),
    **dict.fromkeys(["repeats", "shift", "k", "offset", "indices_or_sections", "indices"], NUMBERS),
    "reps": [number for number in NUMBERS if "-" not in repr(number)],  # NumPy takes negative ones if `x` is empty
    "pad_width": NUMBERS,
    **dict.fromkeys(["shape", "window_shape"], SHAPES),
}
INPUTS = [
    np.array(2.5), np.array([1.5, -2.0, 3.0]), np.zeros(0), np.array([[1.5, -2.0, 3.25], [0.5, 4.0, -1.0]]),
    np.arange(1.0, 7.0).reshape(2, 1, 3) ** 1.3, np.arange(9.0).reshape(3, 3) ** 1.5,
]
NOT_NUMPYS = {  # where we differ on purpose, or in a whim of NumPy's
    "take_along_axis": "takes lists of indices, too",
    "linalg.norm": "takes axes of which NumPy makes integers by int()",
    "tensordot": "has tests of its own",
    "einsum": "has tests of its own",
}


def numpys(x):
    """An argument as NumPy's own functions take it."""
    if isinstance(x, (list, tuple)):
        return type(x)(map(numpys, x))
    return x.data if isinstance(x, mg.Tensor) else x


def pythons(x):
    """An argument with Python's own numbers in it."""
    if isinstance(x, (list, tuple)):
        return type(x)(map(pythons, x))
    return x.__index__() if hasattr(x, "__index__") and np.ndim(x) == 0 else x


def outcome(function, *args, **options):
    """What a call returns, or the exception it raises."""
    try:
        return function(*args, **options)
    except Exception as error:
        return error


def gradient(operation, x, options):
    """The gradient of some combination of the results of a call."""
    leaf = mg.tensor(x, requires_grad=True)
    results = operation.function([leaf, leaf * 2] if operation.name in ("concatenate", "stack") else leaf, **options)
    results = results if isinstance(results, (list, tuple)) else [results]
    if not any(result.requires_grad for result in results):
        return None
    sum((result * np.cos(np.arange(result.size)).reshape(result.shape)).sum() for result in results).backward()
    return leaf.grad.numpy()


def options_of(operation):
    """The arguments of an operation that this file has values for, all of those that it needs among them."""
    parameters = list(inspect.signature(operation.function).parameters.values())[1:]
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    if operation.twin is None or not set(needed) <= set(POOLS):
        return []
    return [(needed, [] if p.name in needed else [p.name]) for p in parameters if p.name in POOLS]


CHECKED = [
    (operation, needed, named)
    for operation in operations.values()
    if operation.owner == "minigrad" and operation.name not in NOT_NUMPYS
    for needed, named in options_of(operation)
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("operation", "needed", "named"), CHECKED, ids=[" ".join([op.name, *names, *more]) for op, names, more in CHECKED]
)
def test_what_numpy_refuses_is_refused_and_what_it_takes_is_taken(operation, needed, named):
    def twin(x, options):  # of what is needed NumPy has had other names
        x = [x, x * 2] if several else x
        return outcome(operation.twin, x, *[options[n] for n in needed], **{n: options[n] for n in named})

    names, several = [*needed, *named], operation.name in ("concatenate", "stack")
    some = [POOLS[name] if i == len(names) - 1 else POOLS[name][:10] for i, name in enumerate(names)]
    for x, values in itertools.product(INPUTS, itertools.product(*some)):
        options = dict(zip(names, values, strict=True))
        plain = {name: pythons(given) for name, given in options.items()}
        theirs = {name: numpys(given) for name, given in options.items()}
        expected = twin(x, theirs)
        found = outcome(operation.function, [mg.tensor(x), x * 2] if several else mg.tensor(x), **options)
        if isinstance(expected, Exception) and "Number" in repr(options):  # here and there NumPy wants its own integers
            expected = found if isinstance(found, Exception) else twin(x, plain)
        call = f"{operation.name} of shape {x.shape} with {options}: {expected!r}, but {found!r}"
        assert isinstance(found, Exception) == isinstance(expected, Exception), call
        if isinstance(found, Exception):
            assert str(found), call
            continue
        for one, other in zip(*[r if isinstance(r, (list, tuple)) else [r] for r in (found, expected)], strict=True):
            np.testing.assert_allclose(one.numpy(), other, rtol=1e-12, atol=1e-15, err_msg=call)
            assert one.shape == np.shape(other), call
        np.testing.assert_equal(gradient(operation, x, options), gradient(operation, x, plain), err_msg=call)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: mg.split(np.ones((2, 3)), [1], axis=5), "axis 5 is out of bounds for array of dimension 2"),
        (lambda: mg.take(np.ones(3), 0, axis=True), "an axis is an integer, got True"),
        (lambda: mg.tile(np.ones(2), 1.5), "'float' object cannot be interpreted as an integer"),
        (lambda: mg.ravel(np.ones((2, 2)), "K"), "order is \"C\", \"F\" or \"A\", got 'K'"),
        (lambda: mg.linalg.norm(np.ones((2, 2, 2)), np.inf), "vectors along one axis or of matrices along two, got 3"),
        (lambda: mg.pad(np.ones(2), {0: 1}), "pad takes no dictionary of widths"),
        (lambda: mg.pad(np.ones(2), 1, "edge", constant_values=3.0), "are for mode='constant', not for 'edge'"),
        (lambda: mg.tensordot(np.ones(2), np.ones(2), 2), "axis -2 is out of bounds for array of dimension 1"),
        (lambda: mg.tensordot(np.ones((2, 2)), np.ones((2, 2)), ([0, 0], [0, 1])), "repeated axis in `axes` argument"),
        (lambda: mg.tensordot(np.ones((2, 2)), np.ones((2, 2)), ([0], [0, 1])), "as many axes of a as of b; got"),
        (lambda: mg.tensordot(np.ones(2), np.ones(2), (0.7,)), "'float' object is not iterable"),
        (lambda: mg.tensordot(np.ones(2), np.ones(2), ()), r"takes a number of axes, or a pair.*; got \(\)"),
        (lambda: mg.tensordot(np.ones(2), np.ones(2), 0.7), "'float' object cannot be interpreted as an integer"),
        (lambda: mg.tensor(np.ones((2, 3))) @ np.ones((4, 2)), r"cannot multiply shapes \(2, 3\) @ \(4, 2\): the last"),
        (lambda: np.ones(3) @ mg.tensor(np.ones(2)), r"cannot multiply shapes \(3,\) @ \(2,\)"),
        (lambda: np.ones((2, 2, 3)) @ mg.tensor(np.ones((3, 3, 2))), r"\(2, 2, 3\) @ \(3, 3, 2\).*broadcast"),
        (lambda: mg.matmul(2.0, np.ones(2)), r"cannot multiply shapes \(\) @ \(2,\)"),
        (lambda: mg.dot(np.ones((2, 3)), np.ones(2)), r"cannot multiply shapes \(2, 3\) @ \(2,\)"),
        (lambda: mg.inner(np.ones((2, 3)), np.ones(2)), r"axis 1 of shape \(2, 3\) with axis 0 of shape \(2,\)"),
        (lambda: mg.einsum("ij,jk", np.ones((2, 3)), np.ones((2, 3))), r"einsum of ij,jk, shape \(2, 3\), shape \(2"),
        (lambda: mg.linalg.multi_dot([np.ones(2), np.ones((2, 3)), np.ones(1)]), r"got shapes \[\(2,\), \(2, 3"),
        (lambda: mg.linalg.multi_dot([np.ones((2, 2))]), "multi_dot takes two or more matrices"),
        (lambda: mg.linalg.solve(np.eye(2), np.ones(3)), r"solve needs shapes .*, got \(2, 2\) and \(3,\)"),
        (lambda: mg.linalg.qr(3.0), "0-dimensional array given"),
        (lambda: mg.linalg.pinv(3.0), "0-dimensional array given"),
        (lambda: mg.swapaxes(3.0, 0, 1), "axis 0 is out of bounds for array of dimension 0"),
        (lambda: mg.compress([True], np.ones((3, 2)), axis=5), "axis 5 is out of bounds for array of dimension 2"),
        (lambda: mg.linalg.cholesky(np.ones((1, 2))), r"only a square matrix is symmetric, got shape \(1, 2\)"),
    ],
)
def test_a_refusal_is_a_sentence_with_what_was_wrong(call, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        call()


@pytest.mark.parametrize("split", [mg.split, mg.array_split, mg.hsplit, mg.vsplit, mg.dsplit])
@pytest.mark.parametrize("parts", [0, -1])
def test_no_parts_are_refused_in_a_sentence(split, parts):
    with pytest.raises(ValueError, match=f"the number of parts must be larger than 0, got {parts}"):
        split(np.ones((2, 2, 2)), parts)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_pythons_numbers_give_way_to_the_dtype_of_what_they_are_joined_with(dtype):
    x = mg.tensor(np.ones((), dtype), requires_grad=True)
    for joined in (mg.stack([x, 0.5, 2]), mg.hstack([2.0, x]), mg.vstack([x, 1]), mg.concatenate([x, 0.5], axis=None)):
        assert joined.dtype == dtype
    assert mg.stack([1, 0.5]).dtype == "float64"
