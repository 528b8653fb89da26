"""Indices in every form NumPy takes: the same elements, each counted as often as the index names it."""

from array import array
from collections import deque, namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.testing import gradcheck

Pair = namedtuple("Pair", "row column")


class Place:
    """A number that is no int, as other libraries have them."""

    def __init__(self, number):
        self.number = number

    def __index__(self):
        return self.number

    def __repr__(self):
        return f"Place({self.number})"


CONTAINERS = {
    "array": np.asarray,
    "small integers": lambda places: places.astype(np.int8),
    "list": lambda places: places.tolist(),
    "tuple": lambda places: tuple(places.tolist()),
    "list of tuples": lambda places: [tuple(row) if np.ndim(row) else row for row in places.tolist()],
    "list of NumPy's numbers": list,
    "deque": lambda places: deque(places.tolist()),
    "array of the standard library": lambda places: array("i", places.tolist()) if places.ndim == 1 else places,
    "memoryview": memoryview,
    "tensor": mg.tensor,
    "list of tensors": lambda places: [mg.tensor(i) for i in places],
}
containers = st.sampled_from(sorted(CONTAINERS))
X = np.arange(6.0).reshape(2, 3) + 1


def numpys(index):
    """`index` as NumPy's own functions take it: their ufuncs refuse tensors."""
    if isinstance(index, tuple):
        return tuple(map(numpys, index))
    if isinstance(index, list):
        return [numpys(part) for part in index]
    return index.data if isinstance(index, mg.Tensor) else index


def check(index, x=X):
    """Values, gradients and gradients of gradients of everything that takes an index, against NumPy."""
    plain = numpys(index)
    np.testing.assert_array_equal(mg.getitem(x, index).numpy(), x[plain], strict=True)
    values = np.cos(np.arange(x[plain].size)).reshape(x[plain].shape)

    leaf = mg.tensor(x, requires_grad=True)
    (leaf[index] * values).sum().backward()
    expected = np.zeros_like(x)
    np.add.at(expected, plain, values)
    np.testing.assert_allclose(leaf.grad.numpy(), expected)

    added, written, tensor = x.copy(), x.copy(), mg.tensor(x)
    np.add.at(added, plain, values)
    written[plain] = tensor[index] = values
    np.testing.assert_allclose(mg.add_at(x, index, values).numpy(), added)
    np.testing.assert_array_equal(mg.put(x, index, values).numpy(), written)
    np.testing.assert_array_equal(tensor.numpy(), written)

    gradcheck(lambda x: x[index] ** 3, x, order=2)
    gradcheck(lambda x, values: mg.add_at(x, index, values) ** 3, x, values, order=2)
    gradcheck(lambda x, values: mg.put(x, index, values) ** 3, x, values, order=2)


@pytest.mark.parametrize(
    "index",
    [
        ((0, 0),), ((0, 0), (1, 1)), (slice(None), (0, 0)), (None, (0, 0)), (..., (0, 0)), ((0, 0), ..., None),
        (((0, 0),),), ([(0, 0)],), ([[0], [0]], (0, 0)), (range(2), (1, 1)), range(2), [[0, 0], [1, 1]], (0, [2, 2]),
        (np.int64(1), (0, 0)), (Place(1), (0, 0)), Place(1), (Place(1), Place(0)), np.int64(1), mg.tensor(1),
        (mg.tensor(0), mg.tensor(1)), (mg.tensor([0, 0]), 1), [mg.tensor(0), mg.tensor(0)], ([True, False], (2, 2)),
        (0, [True, False, True]), ((True, False),), True, [[True, False, True], [False] * 3], (), [], (slice(None), []),
        Pair(0, 1), Pair((0, 0), (1, 1)), (slice(mg.tensor(0), mg.tensor(2)), [0, 0]), ((-2, 0), (-1, 2)), [-1, 1],
    ],
    ids=str,
)
def test_an_index_names_elements_as_often_as_numpy_reads_it(index):
    check(index)


@given(st.data(), hnp.array_shapes(max_dims=3, max_side=3), containers)
def test_integers_for_an_index_come_in_any_container(data, shape, container):
    sides = hnp.array_shapes(min_dims=1, max_dims=2, max_side=3)
    index = data.draw(hnp.integer_array_indices(shape, result_shape=sides))
    index = tuple(CONTAINERS[container](places) for places in index[: data.draw(st.integers(1, len(shape)))])
    x = np.arange(float(np.prod(shape))).reshape(shape) / 4 - 1
    np.testing.assert_array_equal(mg.getitem(x, index).numpy(), x[numpys(index)], strict=True)
    leaf, expected = mg.tensor(x, requires_grad=True), np.zeros(shape)
    values = np.cos(np.arange(x[numpys(index)].size)).reshape(x[numpys(index)].shape)
    (leaf[index] * values).sum().backward()
    np.add.at(expected, numpys(index), values)
    np.testing.assert_allclose(leaf.grad.numpy(), expected)
    np.testing.assert_allclose(mg.add_at(np.zeros(shape), index, values).numpy(), expected)


@pytest.mark.parametrize("container", [*CONTAINERS.values(), lambda places: [Place(int(i)) for i in places]])
def test_positions_for_take_and_repeats_come_in_any_container(container):
    places = np.array([0, 2, 0])
    x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    np.testing.assert_array_equal(mg.take(x, container(places)).numpy(), [1, 3, 1])
    (mg.take(x, container(places)) * [1.0, 10.0, 100.0]).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [101, 0, 10])
    np.testing.assert_array_equal(mg.repeat(x, container(places)).numpy(), [2, 2])


@pytest.mark.parametrize(
    "index", ["a", 1.0, [0.5], [slice(0, 1)], [None], ([None],), {0}, 5, [5], (0, 0, 0), ((0, 1), (0, 1, 2)), 10**30,
              object, np.float64(1), mg.tensor(1.0), mg.tensor([True, False, True])], ids=str,
)
def test_what_numpy_refuses_as_an_index_is_refused_likewise(index):
    with pytest.raises(Exception, match=r".") as numpys_refusal:
        X[numpys(index)]
    for call in (
        lambda: mg.getitem(X, index),
        lambda: mg.put(X, index, 0.0),
        lambda: mg.add_at(X, index, 0.0),
        lambda: mg.tensor(X).__setitem__(index, 0.0),
    ):
        with pytest.raises(numpys_refusal.type):
            call()


@pytest.mark.parametrize(("dtype", "times"), [(np.float16, 20_000), (np.float32, 10**5)])
@pytest.mark.parametrize("read", [
    lambda x, n: x[np.zeros(n, int)], lambda x, n: mg.take(x, np.zeros(n, int)), lambda x, n: mg.repeat(x, n),
    lambda x, n: mg.pad(x, (0, n - 1), mode="edge"), lambda x, n: mg.tile(x, n), lambda x, n: x.broadcast_to((n,)),
], ids=["index", "take", "repeat", "pad", "tile", "broadcast_to"])
def test_the_gradient_of_an_element_that_is_read_many_times_loses_no_digits(read, dtype, times):
    x, each = mg.tensor(np.ones(1, dtype), requires_grad=True), dtype(0.1)
    (read(x, times) * each).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [float(each) * times], rtol=4 * np.finfo(dtype).eps)


def test_a_list_that_changes_between_the_passes_changes_no_gradient():
    places = [0, 0]
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x[places]
    places[:] = [1, 1]
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2, 0])


@pytest.mark.parametrize("shape", [(), (1,), (2,), (1, 2), (1, 1, 2), (2, 1), (3,), (2, 2, 2)])
@pytest.mark.parametrize("index", [slice(0, 2), [0, 0], np.array([True, True, False]), (..., slice(0, 2))], ids=str)
def test_values_broadcast_to_the_elements_as_in_numpy_or_are_refused_with_their_shapes(index, shape):
    x, values = np.arange(3.0), np.cos(np.arange(np.prod(shape))).reshape(shape)
    try:
        expected = x.copy()
        expected[index] = values
    except (ValueError, TypeError) as numpys_refusal:
        with pytest.raises(type(numpys_refusal), match=r"shape|values|dimension"):
            mg.put(x, index, values)
    else:
        np.testing.assert_array_equal(mg.put(x, index, values).numpy(), expected)
        gradcheck(lambda x, values: mg.put(x, index, values) ** 2, x, values, order=2)
    try:
        expected = x.copy()
        np.add.at(expected, index, values)
    except ValueError:
        with pytest.raises(ValueError, match=r"values of shape .* to elements at an index of shape \(2,\)"):
            mg.add_at(x, index, values)
    else:
        np.testing.assert_array_equal(mg.add_at(x, index, values).numpy(), expected)
        gradcheck(lambda x, values: mg.add_at(x, index, values) ** 2, x, values, order=2)


def test_a_gradient_does_not_end_silently_in_integers():
    value = mg.tensor(1.5, requires_grad=True)
    with pytest.raises(TypeError, match="put would round values that require gradients to int64"):
        mg.put(np.zeros(3, np.int64), 0, value)
    np.testing.assert_array_equal(mg.put(np.zeros(3, np.int64), 0, value.detach()).numpy(), [1, 0, 0])


def test_take_along_axis_takes_integers_of_as_many_dimensions():
    for indices, error in (([0], "indices of 2 dimensions"), ([[0.0]], "takes integers"), ([[True]], "takes integers")):
        with pytest.raises((ValueError, IndexError), match=error):
            mg.take_along_axis(X, np.array(indices), 1)


def test_a_vector_or_matrix_makes_a_diagonal_and_nothing_else():
    with pytest.raises(ValueError, match=r"diag takes a vector or a matrix, got shape \(1, 2, 3\)"):
        mg.diag(X[None])


@pytest.mark.parametrize("index", [0, slice(0, 1), [0, 0]])
def test_adding_what_requires_gradients_to_integers_is_refused(index):
    w = mg.tensor(2.7, requires_grad=True)
    with pytest.raises(TypeError, match="add_at would round values that require gradients to int64"):
        mg.add_at(mg.tensor([1, 2, 3]), index, w)
    with mg.no_grad():
        assert mg.add_at(mg.tensor([1, 2, 3]), 0, mg.tensor(2)).numpy().tolist() == [3, 2, 3]
