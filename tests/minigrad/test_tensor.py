"""Tensors as Python and NumPy see them: construction, operators, comparisons, in-place updates, conversions."""

import ast
import copy
import inspect
import math
import operator
import pickle
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import methods
from minigrad.ops import operations


def leaf(value, dtype=np.float64):
    return mg.tensor(value, requires_grad=True, dtype=dtype)


# ------------------------------------------------------------------------------------------------ construction


def test_a_tensor_keeps_the_dtype_of_its_array_and_copies_it():
    for dtype in (np.bool, np.int8, np.uint16, np.int64, np.float16, np.float32, np.float64, np.longdouble):
        array = np.array([0, 1], dtype)
        x = mg.tensor(array)
        assert x.dtype == dtype
        array[0] = 1
        assert x.numpy().tolist() == [0, 1]


def test_python_numbers_lists_and_tensors_make_tensors_as_they_make_arrays():
    assert mg.tensor(1.5).dtype == np.float64
    assert mg.tensor([1, 2]).dtype == np.array([1, 2]).dtype
    assert mg.tensor([[True], [False]]).dtype == bool
    assert mg.tensor([]).shape == (0,)
    assert mg.tensor(range(3)).numpy().tolist() == [0, 1, 2]
    assert mg.tensor([mg.tensor(1.0), 2.0]).numpy().tolist() == [1, 2]
    assert mg.tensor([1, 2], dtype=np.float32).dtype == np.float32
    assert mg.Tensor is mg.tensor


def test_a_tensor_of_a_tensor_is_a_copy_without_its_graph():
    x = leaf([1.0, 2.0])
    y = mg.tensor(x * 2)
    assert (y.requires_grad, y.is_leaf) == (False, True)
    z = mg.tensor(x, requires_grad=True)
    z.data -= 1
    assert x.numpy().tolist() == [1, 2]


@pytest.mark.parametrize(
    "data",
    ["text", b"bytes", None, {"a": 1}, {1, 2}, object(), [None, 1.0], [1.0, "a"], np.array([1, 2], dtype=object),
     1j, [1.0, 2j], np.datetime64("2020-01-01"), (n for n in range(3)), 10**30],
    ids=lambda data: type(data).__name__,
)
def test_what_is_not_numeric_is_refused_with_a_sentence_that_names_its_type(data):
    with pytest.raises(TypeError) as error:
        mg.tensor(data)
    name = type(data).__name__
    assert str(error.value).startswith(f"a tensor holds booleans, integers or reals, got {name} of dtype ")


@pytest.mark.parametrize("other", ["text", None, {"a": 1}, object(), [None, 1.0], 1j], ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("function", [operator.add, operator.mul, operator.matmul, operator.lt])
def test_an_operand_that_is_not_numeric_is_refused_with_the_same_sentence(function, other):
    for operands in ((leaf([1.0, 2.0]), other), (other, leaf([1.0, 2.0]))):
        with pytest.raises(TypeError, match="a tensor holds booleans, integers or reals"):
            function(*operands)


def test_lists_that_form_no_rectangle_are_refused_with_a_sentence():
    for ragged in ([[1.0, 2.0], [3.0]], [1.0, [2.0]], [[[1]], [2]]):
        with pytest.raises(ValueError, match="cannot make a tensor of this list"):
            mg.tensor(ragged)
    with pytest.raises(ValueError, match="cannot make a tensor of this str: could not convert"):
        mg.tensor("text", dtype=float)


@pytest.mark.parametrize("data", [1, True, [1, 2], np.array([1, 2], np.uint8), np.array([True])])
def test_integers_and_booleans_cannot_require_gradients(data):
    with pytest.raises(TypeError, match=r"only floating tensors .*: convert with dtype=float"):
        mg.tensor(data, requires_grad=True)
    x = mg.tensor(data)
    with pytest.raises(TypeError, match="only floating tensors can require gradients"):
        x.requires_grad = True
    assert not x.requires_grad
    assert mg.tensor(data, requires_grad=True, dtype=float).requires_grad


def test_an_integer_result_of_a_differentiable_tensor_requires_no_gradient():
    x = leaf([1.5, 2.5])
    y = x.astype(int)
    assert not y.requires_grad
    (x * y).sum().backward()
    assert x.grad.numpy().tolist() == [1, 2]


def test_shape_ndim_size_dtype_and_transpose_are_those_of_the_array():
    array = np.zeros((2, 3, 4), np.float32)
    x = mg.tensor(array)
    assert (x.shape, x.ndim, x.size, x.dtype) == (array.shape, 3, 24, np.float32)
    assert x.T.shape == array.T.shape
    assert (np.shape(x), np.ndim(x), np.size(x)) == (array.shape, 3, 24)


def test_only_leaves_can_stop_requiring_gradients():
    x = leaf([1.0])
    y = x * 2
    y.requires_grad = True
    with pytest.raises(RuntimeError, match=r"only a leaf can stop requiring gradients: use \.detach\(\)"):
        y.requires_grad = False
    x.requires_grad = 0
    assert x.requires_grad is False
    assert not (x * 2).requires_grad


def test_detach_cuts_the_graph_and_shares_the_memory():
    x = leaf([1.0, 2.0])
    y = (x * x).detach()
    assert (y.requires_grad, y.is_leaf) == (False, True)
    (x * y).sum().backward()
    assert x.grad.numpy().tolist() == [1, 4]
    assert np.shares_memory(x.detach().numpy(), x.numpy())


# ------------------------------------------------------------------------------------------------ operators

BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
OTHERS = {
    "int": 2,
    "float": 2.0,
    "bool": True,
    "numpy float64": np.float64(2),
    "numpy float32": np.float32(2),
    "numpy int64": np.int64(2),
    "0-d array": np.array(2.0),
    "array": np.array([2.0, 3.0]),
    "integer array": np.array([2, 3]),
    "broadcasting array": np.array([[2.0], [3.0]]),
    "strided array": np.array([2.0, 0.0, 3.0])[::2],
    "empty array": np.zeros((0, 1)),
    "list": [2.0, 3.0],
}
every_other = pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
both_ways = pytest.mark.parametrize("swapped", [False, True], ids=["on the right", "on the left"])


def applied(function, x, other, swapped):
    return function(other, x) if swapped else function(x, other)


@both_ways
@every_other
@pytest.mark.parametrize("function", BINARY, ids=lambda function: function.__name__)
def test_operators_with_numbers_and_arrays_on_either_side_give_tensors(function, other, swapped):
    array = np.array([1.5, 2.5])
    x = leaf(array)
    y = applied(function, x, other, swapped)
    expected = applied(function, array, other, swapped)
    assert type(y) is mg.Tensor
    assert y.requires_grad
    np.testing.assert_array_equal(y.numpy(), expected, strict=True)
    y.sum().backward()
    assert x.grad.shape == x.shape
    constant = applied(function, mg.tensor(array), other, swapped)
    assert type(constant) is mg.Tensor
    assert not constant.requires_grad


@both_ways
@pytest.mark.parametrize("value", [1.5, np.float32(1.5), np.array(1.5, np.float32), [1.5, 2.5]])
@pytest.mark.parametrize("function", BINARY, ids=lambda function: function.__name__)
def test_operators_promote_0_d_and_other_tensors_as_numpy_does(function, value, swapped):
    for other in (2, 2.0, np.float32(2), np.float64(2), np.int8(2), np.array([2, 3]), mg.tensor(np.float32([2, 3]))):
        plain = other.numpy() if isinstance(other, mg.Tensor) else other
        y = applied(function, mg.tensor(value), other, swapped)
        expected = applied(function, np.array(value)[()], plain, swapped)  # 0-d arrays have other powers in NumPy 2.0
        np.testing.assert_array_equal(y.numpy(), np.asarray(expected), strict=True)


@both_ways
@pytest.mark.parametrize("shapes", [((2,), (2,)), ((2, 2), (2,)), ((2,), (2, 2)), ((3, 2, 2), (2, 1))], ids=str)
def test_matrix_products_with_arrays_on_either_side_give_tensors(shapes, swapped):
    a, b = (np.arange(1.0, 1 + math.prod(shape)).reshape(shape) for shape in shapes)
    x = leaf(b if swapped else a)
    y = a @ x if swapped else x @ b
    assert type(y) is mg.Tensor
    assert y.requires_grad
    np.testing.assert_array_equal(y.numpy(), a @ b, strict=True)


def test_python_scalars_are_weak_and_numpy_scalars_are_not():
    x = leaf([1.0, 2.0], np.float32)
    for y in (x + 1, 1 + x, x * 2.5, 2.5 / x, x - True, x**2, 2.0**x):
        assert y.dtype == np.float32
    for y in (x + np.float64(1), np.float64(1) + x, x * np.ones(2), np.ones(2) * x):
        assert y.dtype == np.float64


def test_unary_operators_give_new_tensors():
    x = leaf([1.0, -2.0])
    assert [(-x).numpy().tolist(), (+x).numpy().tolist(), abs(x).numpy().tolist()] == [[-1, 2], [1, -2], [1, 2]]
    assert not np.shares_memory((+x).numpy(), x.numpy())


def test_an_array_is_never_filled_with_tensors():
    x = leaf([1.0, 2.0])
    array = np.ones(2)
    with pytest.raises(TypeError, match=r"numpy\.add"):
        array += x
    with pytest.raises(TypeError, match="does not become an array by itself"):
        np.asarray(x)
    with pytest.raises(TypeError, match="does not become an array by itself"):
        array[:] = x
    with pytest.raises(TypeError, match="does not become an array by itself"):
        np.array([x, x])
    assert np.asarray(mg.tensor([1, 2])).dtype != object
    assert np.asarray(mg.tensor([1.0, 2.0]), dtype=np.float32).dtype == np.float32


# ------------------------------------------------------------------------------------------------ comparisons


@both_ways
@every_other
@pytest.mark.parametrize("function", COMPARISONS, ids=lambda function: function.__name__)
def test_comparisons_give_plain_boolean_arrays(function, other, swapped):
    array = np.array([2.0, 2.5])
    found = applied(function, leaf(array), other, swapped)
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, applied(function, array, other, swapped), strict=True)


@pytest.mark.parametrize("function", COMPARISONS, ids=lambda function: function.__name__)
def test_comparisons_of_two_tensors_and_of_0_d_tensors_follow_numpy(function):
    a, b = np.array([1.0, 2.0, np.nan]), np.array([[2.0], [1.0]])
    np.testing.assert_array_equal(function(leaf(a), leaf(b)), function(a, b), strict=True)
    scalar = function(leaf(1.0), leaf(2.0))
    assert type(scalar) is np.bool
    assert scalar == function(1.0, 2.0)


def test_nothing_but_numbers_equals_a_tensor():
    for x in (leaf([1.0, 2.0]), leaf(1.0)):
        for other in (None, "text", object()):
            assert not np.any(x == other)
            assert np.all(x != other)
    with pytest.raises(TypeError, match="booleans, integers or reals"):
        assert leaf(1.0) < None
    with pytest.raises(ValueError, match="could not be broadcast"):
        assert leaf([1.0, 2.0]) == np.ones(3)


def test_tensors_hash_by_identity():
    x, same_value = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    names = {x: "x", same_value: "same value"}
    x.data += 1
    assert (names[x], names[same_value]) == ("x", "same value")
    assert len({x, same_value, x}) == 2
    assert hash(x) == hash(x)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i4"])
def test_numbers_in_the_byte_order_of_another_machine_are_numbers_like_others(kind):
    theirs = np.array([1, 2, 3], np.dtype(kind).newbyteorder())
    ours = theirs.astype(kind)
    for x in (mg.tensor(theirs), mg.tensor([1, 2, 3], dtype=theirs.dtype), mg.tensor(ours).astype(theirs.dtype)):
        assert x.dtype is ours.dtype
        assert x.tolist() == [1, 2, 3]
    for f in (mg.erf, mg.sum, lambda x: mg.norm(x[None], "nuc"), lambda x: mg.multiply(x, 2)):
        np.testing.assert_array_equal(f(theirs).numpy(), f(ours).numpy(), strict=True)
    if kind != "i4":
        assert mg.grad(lambda x: mg.erf(x).sum())(theirs).dtype is ours.dtype


# ------------------------------------------------------------------------------------------------ in place

AUGMENTED = {
    "+=": operator.iadd, "-=": operator.isub, "*=": operator.imul, "/=": operator.itruediv, "**=": operator.ipow,
    "%=": operator.imod, "//=": operator.ifloordiv,
}
every_augmented = pytest.mark.parametrize("symbol", AUGMENTED)


@every_augmented
def test_augmented_assignment_to_a_leaf_that_requires_gradients_is_refused_with_the_functional_way(symbol):
    x = leaf([1.0, 2.0])
    with pytest.raises(RuntimeError) as error:
        AUGMENTED[symbol](x, 2.0)
    assert str(error.value) == (
        f"{symbol} on a leaf that requires gradients would lose the value the graph needs: "
        f"write y = x {symbol[:-1]} ..., or update it under no_grad()"
    )
    assert x.numpy().tolist() == [1, 2]


@every_augmented
@pytest.mark.parametrize("value", [[1.0, 2.0], 3.0], ids=["1-d", "0-d"])
def test_augmented_assignment_under_no_grad_updates_a_leaf_in_place(symbol, value):
    x = leaf(value, np.float32)
    before, expected = x, AUGMENTED[symbol](np.array(value, np.float32), np.float32(4))
    memory = x.numpy()
    with mg.no_grad():
        x = AUGMENTED[symbol](x, np.float64(4))
    assert x is before
    assert x.requires_grad
    np.testing.assert_array_equal(x.numpy(), expected, strict=True)
    assert x.ndim == 0 or np.shares_memory(x.numpy(), memory)


def test_a_matrix_is_multiplied_in_place_under_no_grad_alone():
    x = before = leaf([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(RuntimeError, match=r"^@= on a leaf"):
        x @= np.eye(2)
    with mg.no_grad():
        x @= [[0.0, 1.0], [1.0, 0.0]]
    assert x is before
    assert x.tolist() == [[2, 1], [4, 3]]


@pytest.mark.parametrize(("start", "other"), [([[2.0, 1.0], [0.0, 2.0]], [1.0, 2.0]), ([1.0, 2.0], [1.0, 2.0])])
def test_a_product_of_another_shape_is_not_written_into_a_leaf(start, other):
    x = leaf(start)
    with pytest.raises(ValueError, match=r"@= keeps a shape, but .* @ \(2,\) has \("), mg.no_grad():
        x @= np.array(other)
    assert x.tolist() == start


@pytest.mark.parametrize("symbol", [symbol for symbol in AUGMENTED if symbol != "//="])
def test_augmented_assignment_to_anything_else_makes_a_new_tensor(symbol):
    x = leaf([1.0, 2.0])
    inner = x * 3
    y = AUGMENTED[symbol](inner, x)
    assert y is not inner
    assert inner.numpy().tolist() == [3, 6]
    y.sum().backward()
    assert x.grad is not None
    constant = mg.tensor([1.0, 2.0])
    assert AUGMENTED[symbol](constant, x).requires_grad
    assert constant.numpy().tolist() == [1, 2]


def test_setting_the_data_of_a_leaf_copies_casts_and_checks_the_shape():
    x = leaf([1.0, 2.0], np.float32)
    new = np.array([3.0, 4.0])
    x.data = new
    new[0] = 9
    assert x.dtype == np.float32
    assert x.numpy().tolist() == [3, 4]
    x.data = [5, 6]
    assert x.numpy().tolist() == [5, 6]
    for wrong in ([1.0], 1.0, np.ones((2, 1)), np.ones((1, 2))):
        with pytest.raises(ValueError, match=r"cannot assign data of shape .* to a tensor of shape \(2,\)"):
            x.data = wrong
    scalar = leaf(1.0)
    scalar.data -= 0.5
    scalar.data = np.array(scalar.data * 2)
    assert scalar.item() == 1


def test_setting_the_data_of_a_recorded_result_is_refused():
    y = leaf([1.0, 2.0]) * 2
    with pytest.raises(RuntimeError, match="cannot assign to the data of a recorded result: only leaf tensors"):
        y.data = np.zeros(2)
    assert y.numpy().tolist() == [2, 4]
    y.sum().backward()
    with pytest.raises(RuntimeError, match="cannot assign to the data of a recorded result"):
        y.data = np.zeros(2)


def test_assigning_to_items_is_refused_where_gradients_flow():
    x = leaf([1.0, 2.0])
    for t, new in ((x, 5), (x * 2, 5), (mg.tensor([1.0, 2.0]), x.sum())):
        before = t.numpy().tolist()
        with pytest.raises(RuntimeError, match=r"no gradient goes through an assignment: .*put\("):
            t[0] = new
        assert t.numpy().tolist() == before
    recorded = x * 2
    with mg.no_grad(), pytest.raises(RuntimeError, match="no gradient goes through an assignment"):
        recorded[0] = 5


def test_assigning_to_items_of_a_leaf_under_no_grad_is_an_update():
    w = leaf([1.0, 2.0])
    y = (w * w).sum()
    with mg.no_grad():
        w[0] = leaf(5.0)
    assert (w.numpy().tolist(), w.requires_grad) == ([5.0, 2.0], True)
    with pytest.raises(RuntimeError, match="was updated in place after multiply used it"):
        y.backward()


def test_assigning_to_items_of_a_constant_works_as_in_numpy():
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    x[0] = 5
    x[:, 1] = mg.tensor([6.0, 7.0])
    x[mg.tensor([1]), [0]] = np.array([8])
    x[x.numpy() == 6] = leaf(9.0).detach()
    assert x.numpy().tolist() == [[5, 9], [8, 7]]
    scalar = mg.tensor(3)
    scalar[...] = 4
    assert scalar.item() == 4
    integers = mg.tensor([1, 2])
    integers[0] = 3.7
    assert integers.numpy().tolist() == [3, 2]
    for index, new, error in ((5, 1.0, IndexError), (0, [1.0, 2.0, 3.0], ValueError), (0, "text", TypeError)):
        with pytest.raises(error):
            x[index] = new


# ------------------------------------------------------------------------------------------------ conversions


def test_truth_follows_the_single_element_and_is_refused_for_more():
    assert mg.tensor(1.0)
    assert leaf([[2.0]])
    assert not mg.tensor(0)
    for several in (mg.tensor([1.0, 2.0]), mg.tensor([])):
        with pytest.raises(ValueError, match=r"tensor of shape .* is neither true nor false"):
            bool(several)


def test_length_and_iteration_go_along_the_first_axis_and_stay_differentiable():
    x = leaf([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert len(x) == 3
    first, *rest = x
    assert len(rest) == 2
    (first * 10 + sum(rest)).sum().backward()
    assert x.grad.numpy().tolist() == [[10, 10], [1, 1], [1, 1]]
    assert [row.numpy().tolist() for row in reversed(x)] == [[5, 6], [3, 4], [1, 2]]
    for use in (len, iter, list):
        with pytest.raises(TypeError, match=r"a 0-d tensor has no length and cannot be iterated over"):
            use(leaf(1.0))


def test_a_single_element_becomes_a_python_number():
    x = leaf([[2.75]])
    assert (float(x), int(x), x.item(), type(x.item())) == (2.75, 2, 2.75, float)
    assert math.sqrt(leaf(4.0)) == 2
    assert type(mg.tensor(np.int8(3)).item()) is int
    assert mg.tensor(True).item() is True
    for use in (float, int, mg.Tensor.item):
        with pytest.raises(ValueError, match=r"item\(\) needs a tensor with one element, got shape \(2,\)"):
            use(mg.tensor([1.0, 2.0]))


def test_an_integer_tensor_without_axes_is_an_index():
    two = mg.tensor(2)
    assert [0, 1, 2, 3][two] == 2
    assert list(range(two)) == [0, 1]
    assert np.arange(5)[two] == 2
    for no_index in (leaf(2.0), mg.tensor([2, 3]), mg.tensor(True), leaf([1.0])):
        with pytest.raises((TypeError, DeprecationWarning)):  # NumPy 2.0 still warns of booleans
            operator.index(no_index)


def test_a_format_is_that_of_the_single_element():
    x = leaf(3.14159)
    assert f"{x:.2f}" == "3.14"
    assert f"{leaf([2.5]):>6}" == "   2.5"
    assert f"{mg.tensor(7):03d}" == "007"
    assert f"{x}" == str(x) == repr(x)
    with pytest.raises(ValueError, match=r"item\(\) needs a tensor with one element, got shape \(2,\)"):
        f"{mg.tensor([1.0, 2.0]):.2f}"


def test_the_repr_shows_value_dtype_and_the_operation_that_made_it():
    x = leaf([[1.0, 2.0], [3.0, 4.5]], np.float32)
    assert repr(x) == "tensor([[1. , 2. ],\n        [3. , 4.5]], dtype=float32, requires_grad=True)"
    assert repr(x.sum()) == "tensor(10.5, dtype=float32, operation=sum)"
    assert repr(mg.tensor([1, 2])).startswith("tensor([1, 2], dtype=int")
    assert repr(mg.tensor(np.zeros((0, 2)))) == "tensor([], dtype=float64)"
    assert "..." in repr(mg.tensor(np.zeros(10_000)))


def test_numpy_shares_memory_and_always_is_an_array():
    x = leaf([1.0, 2.0])
    assert x.numpy() is x.data
    scalar = leaf(1.0).numpy()
    assert type(scalar) is np.ndarray
    assert scalar.shape == ()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, pickle.dumps, lambda y: copy.deepcopy({"y": [y]})])
def test_a_recorded_result_is_not_copied_with_its_graph(duplicate):
    y = leaf([1.0, 2.0]) * 2
    with pytest.raises(TypeError, match=r"copy x.detach\(\), or write x.copy\(\)"):
        duplicate(y)
    assert copy.deepcopy(y.detach()).tolist() == y.copy().tolist() == [2, 4]


def test_leaves_can_be_copied_and_pickled():
    x = leaf([1.0, 2.0])
    x.sum().backward()
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert y.requires_grad
        assert not np.shares_memory(y.numpy(), x.numpy())
        assert y.numpy().tolist() == [1, 2]
        assert y.grad.numpy().tolist() == [1, 1]
        (y * 3).sum().backward()
        assert y.grad.numpy().tolist() == [4, 4]
    assert x.grad.numpy().tolist() == [1, 1]


@pytest.mark.parametrize("copied_by", [copy.copy, copy.deepcopy, lambda y: pickle.loads(pickle.dumps(y))])
def test_a_result_whose_graph_was_freed_is_copied_and_refuses_gradients_still(copied_by):
    def square(x):
        return mg.record(square, x.data**2, (x, lambda grad, out: 2 * grad * x))

    for operation, name in ((square, "square"), (mg.maximum.accumulate, "accumulate"), (mg.exp, "exp")):
        y = operation(leaf([1.0, 2.0]))
        y.sum().backward()
        copied = copied_by(copied_by(y))
        assert repr(copied) == repr(y)
        with pytest.raises(RuntimeError, match=f"made by {name}, was freed by"):
            (copied * 2).sum().backward()


def test_a_misspelt_attribute_is_refused():
    x = leaf(1.0)
    with pytest.raises(AttributeError):
        x.gradient = None
    with pytest.raises(AttributeError):
        x.shape = (1,)


# ---------------------------------------------------------------- what arrays have


def test_every_public_name_of_an_array_works_on_a_tensor_or_is_refused_in_a_sentence_with_what_to_write():
    array = np.array([[3.0, 1.0], [2.0, 5.0]])
    for x in (mg.tensor(array), leaf(array)):
        for name in (name for name in dir(np.ndarray) if not name.startswith("_")):
            if hasattr(x, name):
                assert name == "ptp" or callable(getattr(x, name)) == callable(getattr(array, name)), name
            else:
                with pytest.raises(AttributeError, match=f"a tensor has no {name}: write .*x"):
                    getattr(x, name)


@pytest.mark.parametrize("name", ["fill", "partition", "put", "resize", "setfield", "sort"])
def test_what_would_write_into_an_array_is_an_assignment_in_the_sentence(name):
    with pytest.raises(AttributeError, match=f"a tensor has no {name}: write x = "):
        getattr(mg.tensor([1.0]), name)


@pytest.mark.parametrize("value", [[3.0, 1.0, 2.0], 2.5, [[1, 2], [3, 4]], [True, False], np.float32([[0.5], [1.5]])])
def test_what_an_array_tells_of_itself_a_tensor_tells_too(value):
    x, array = mg.tensor(value), np.array(value)
    for ask in (
        lambda x: x.tolist(), lambda x: x.tobytes(), lambda x: x.nbytes, lambda x: x.itemsize, lambda x: x.strides,
        lambda x: x.item(x.size - 1), lambda x: x.item(-1), lambda x: x.argsort(None).tolist(),
        lambda x: x.copy().dtype, lambda x: x.ravel().searchsorted(1.5), lambda x: x.ravel().nonzero()[0].tolist(),
        lambda x: x.copy().tolist(),
    ):
        assert ask(x) == ask(array)
        assert type(ask(x)) is type(ask(array))


def test_a_copy_and_the_distance_of_the_extremes_carry_gradients():
    x = leaf([[3.0, 1.0], [2.0, 5.0]])
    copied = x.copy()
    assert not np.shares_memory(copied.numpy(), x.numpy())
    (copied * x.ptp(axis=1, keepdims=True)).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[6, -2], [-4, 10]])
    assert x.ptp().item() == 4


def test_one_element_of_many_is_named_and_out_of_bounds_refused():
    x = leaf([[3.0, 1.0], [2.0, 5.0]])
    assert (x.item(1), x.item(1, 0), x.item(-1)) == (1.0, 2.0, 5.0)
    with pytest.raises(ValueError, match=r"one element, got shape \(2, 2\): name one, or .tolist\(\)"):
        x.item()
    with pytest.raises(IndexError, match="out of bounds"):
        x.item(4)


def test_an_operation_that_is_no_method_is_named_where_it_is_called_as_one():
    with pytest.raises(AttributeError, match=r"a tensor has no log_softmax: write minigrad.log_softmax\(x\)"):
        leaf([1.0]).log_softmax()  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"^'Tensor' object has no attribute 'unsqueeze'$"):
        leaf([1.0]).unsqueeze(0)


def test_several_tensors_become_one_by_stack_and_that_is_what_a_refusal_says():
    x = leaf([1.0, 2.0])
    for make in (
        lambda: np.array([x, x]), lambda: mg.tensor([x, x]), lambda: mg.tensor([[x[0]], [3.0]]), lambda: x * [x],
    ):
        with pytest.raises(TypeError, match=r"by itself: use .detach\(\) or mg.stack"):
            make()
    np.testing.assert_array_equal(mg.tensor([x.detach(), x.detach()]).numpy(), [[1, 2], [1, 2]])


MASKED = np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False])


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("make", [lambda: MASKED, lambda: np.ma.masked, lambda: np.matrix([1.0, 2.0, 3.0])])
@pytest.mark.parametrize("requires_grad", [True, False])
def test_no_operand_loses_its_mask_and_no_tensor_its_graph_to_one(make, requires_grad):
    other = make()
    x = mg.tensor([1.0, 2.0, 3.0], requires_grad=requires_grad)
    for use in (
        lambda: x * other, lambda: other * x, lambda: np.add(other, x), lambda: mg.exp(other), lambda: x * [other],
        lambda: mg.tensor(other), lambda: mg.tensor([other, other]), lambda: x < other,
        lambda: setattr(mg.tensor(np.zeros(other.shape)), "data", other), lambda: x[other], lambda: mg.take(x, other),
        lambda: mg.quantile(x, other), lambda: mg.repeat(x, other),
    ):
        with pytest.raises(TypeError, match=r"would lose what a \w+ adds: pass|a masked array and a tensor do not mix"):
            use()
    np.testing.assert_array_equal(mg.tensor(MASKED.filled(0)).numpy(), [1, 0, 3])


def test_arrays_that_only_lie_elsewhere_are_arrays(tmp_path):
    mapped = np.memmap(tmp_path / "array", np.float64, "w+", shape=(2,))
    mapped[:] = [1.0, 2.0]
    np.testing.assert_array_equal((mg.tensor(mapped) + mapped).numpy(), [2, 4])


@pytest.mark.parametrize("dtype", [complex, str, object, "M8[s]", "V2"])
def test_no_cast_makes_a_tensor_of_what_is_no_number(dtype):
    for value in (1.5, [1.5, 2.5]):
        with pytest.raises(TypeError, match="holds booleans, integers or reals, and cannot become"):
            leaf(value).astype(dtype)


# ---------------------------------------------------------------- Python's own numbers


OF_NUMBERS = [
    operation
    for operation in operations.values()
    if operation.kind != "other" or operation.name in ("dot", "cumsum", "cumprod", "var", "std", "nanvar", "nanstd")
]


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
@pytest.mark.parametrize("operation", OF_NUMBERS, ids=lambda operation: operation.name)
def test_operations_of_pythons_own_numbers_give_tensors_like_any_other(operation):
    for values in ((2, 3), (2.5, 2), (2, -1.0), (3, 2.5)):
        y = operation.function(*values[: operation.arity])
        expected = operation.twin(*values[: operation.arity])
        np.testing.assert_allclose(y.numpy(), expected, atol=1e-16, err_msg=operation.name)
        assert (y.shape, y.dtype) == (np.shape(expected), np.asarray(expected).dtype), operation.name
        assert repr(y).startswith("tensor("), operation.name
        np.testing.assert_equal((y + 1).tolist(), (y.numpy() + 1).tolist())
        np.testing.assert_equal(y.detach().copy().tolist(), y.tolist())


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:overflow", "ignore:invalid value")
def test_pythons_own_numbers_are_divided_and_raised_as_numpy_does_it():
    assert mg.divide(1, 0).item() == np.inf
    assert mg.power(1e200, 2).item() == np.inf
    assert np.isnan(mg.power(-8.0, 1 / 3).item())
    with pytest.raises(ValueError, match="negative integer powers"):
        mg.power(2, -1)
    assert (mg.tensor(np.float32([2.0])) ** 2.0).dtype == (2.0 / mg.tensor(np.float32([2.0]))).dtype == np.float32


# ---------------------------------------------------------------- what editors and type checkers are told

DECLARED = {
    node.name: node
    for statement in ast.walk(ast.parse(Path(methods.__file__).read_text(encoding="utf-8")))
    if isinstance(statement, ast.If)
    for node in statement.body
    if isinstance(node, ast.FunctionDef)
}


@pytest.mark.parametrize("name", DECLARED)
def test_a_method_is_declared_with_the_arguments_of_its_function(name):
    method = getattr(mg.Tensor, name)
    if method is getattr(np, name, None) or (name.startswith("__") and len(DECLARED[name].args.args) == 2):
        assert callable(method)
        return
    _, *declared = ast.unparse(DECLARED[name].args).split("self", 1)[1].split(", ")
    actual = list(inspect.signature(method).parameters.values())[1:]
    spelled = [argument.partition(":")[0].partition("=")[0].strip("* ") for argument in declared if ":" in argument]
    assert spelled == [parameter.name for parameter in actual]
    given = DECLARED[name].args
    defaults = [ast.literal_eval(default) for default in [*given.defaults, *given.kw_defaults]]
    assert defaults == [parameter.default for parameter in actual if parameter.default is not inspect.Parameter.empty]


def test_every_method_is_declared():
    inherited = {name for name in dir(mg.Tensor) if not name.startswith("__")}
    of_tensor = {name for name in vars(mg.Tensor) if inspect.isfunction(vars(mg.Tensor)[name])}
    own = {node.name for node in ast.walk(ast.parse(Path(inspect.getfile(mg.Tensor)).read_text(encoding="utf-8")))
           if isinstance(node, ast.FunctionDef)}
    assert {name for name in of_tensor & inherited if name not in own} <= set(DECLARED)


def test_a_copy_has_no_time_and_no_hooks_of_its_own():
    w = leaf([1.0, 2.0])
    w.data -= 1.0
    w.register_hook(lambda grad: 2 * grad)
    for copied in (copy.copy(w), copy.deepcopy(w), pickle.loads(pickle.dumps(w))):
        copied.register_hook(lambda grad: 100 * grad)
        y, other = (copied * copied).sum(), leaf([1.0])
        other.data -= 1.0
        y.backward()
        assert copied.grad.numpy().tolist() == [0.0, 200.0]
    (w * 1.0).sum().backward()
    assert w.grad.numpy().tolist() == [2.0, 2.0]


@pytest.mark.parametrize("x", [mg.tensor([[1, 2], [3, 4]]), mg.tensor([1.0, 3.0]), mg.tensor(3), leaf([[3.0]])])
def test_what_is_in_a_tensor_is_told_as_by_numpy(x):
    assert 3 in x
    assert 5 not in x
    assert mg.tensor(3) in x
    assert None not in x
