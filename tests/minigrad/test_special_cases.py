"""The places where a gradient rule is easily wrong, each picked by hand."""

import contextlib
import math

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad.graph import sweep
from minigrad.ops import operations
from minigrad.recording import Recorded, recording
from minigrad.testing import gradcheck
from nn import functional as F


def derivatives(f, x, order=2):
    """The value of `f` and its derivatives up to some order, for a function of independent elements."""
    tensors = [mg.tensor(x, requires_grad=True, dtype=float)]
    y = f(tensors[0])
    found = [y.numpy()]
    for _ in range(order):
        tensors[0].grad = None
        if not y.requires_grad:
            found.append(np.zeros_like(tensors[0].numpy()))
            continue
        y.sum().backward(create_graph=True)
        y = tensors[0].grad if tensors[0].grad is not None else mg.tensor(np.zeros_like(tensors[0].numpy()))
        found.append(y.numpy())
    return found


def gradient(f, *inputs):
    """The gradients of the sum of `f` with respect to all inputs."""
    tensors = [mg.tensor(x, requires_grad=True, dtype=float) for x in inputs]
    f(*tensors).sum().backward()
    found = [None if x.grad is None else x.grad.numpy() for x in tensors]
    return found[0] if len(found) == 1 else found


def check_all_orders(f, *inputs, rtol=1e-5):
    """First and second derivatives of `f` against numerical ones."""
    gradcheck(f, *inputs)
    for i in range(len(inputs)):

        def slope(*xs, i=i):
            with mg.enable_grad():
                xs = [+x if x.requires_grad else mg.tensor(x, requires_grad=True) for x in xs]
                out = f(*xs)
                weights = np.cos(np.arange(out.size)).reshape(out.shape)
                return sweep([((out * weights).sum(), mg.tensor(1.0))], create_graph=True, inputs=[xs[i]])[xs[i]]

        gradcheck(slope, *inputs, rtol=rtol)


# ------------------------------------------------------------------------------------------------ powers


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("wrap", [int, float, np.float64, np.array, mg.tensor])
def test_integer_powers_are_right_at_zero_and_for_negative_bases(exponent, wrap):
    x = np.array([-2.0, -0.5, 0.0, 0.0, 1.5])
    for order, found in enumerate(derivatives(lambda t: t ** wrap(exponent), x, 4)):
        factor = math.perm(exponent, order)
        expected = factor * x ** (exponent - order) if order <= exponent else np.zeros_like(x)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("exponent", [-1, -2, -3.0])
def test_negative_powers_of_negative_bases(exponent):
    check_all_orders(lambda x: x**exponent, np.array([-2.0, -0.5, 1.5]))


def test_a_fractional_power_has_slope_zero_or_infinite_at_zero():
    np.testing.assert_array_equal(gradient(lambda x: x**1.5, [0.0]), [0.0])
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(gradient(lambda x: x**0.5, [0.0]), [np.inf])


def test_zero_to_a_tensor_power_is_flat_in_the_exponent():
    to_base, to_exponent = gradient(lambda a, b: a**b, [0.0, 0.0, 0.0], [2.0, 1.0, 0.0])
    np.testing.assert_array_equal(to_base, [0.0, 1.0, 0.0])
    np.testing.assert_array_equal(to_exponent, [0.0, 0.0, 0.0])


@np.errstate(divide="ignore")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_powers_of_zero_have_the_limit_from_the_right_as_their_derivatives(dtype):
    exponents = np.array([-2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3], dtype)
    a, b = (mg.tensor(x, requires_grad=True) for x in (np.zeros(9, dtype), exponents))
    (a**b).sum().backward()
    np.testing.assert_array_equal(a.grad.numpy(), [-np.inf, -np.inf, -np.inf, 0, np.inf, 1, 0, 0, 0])
    np.testing.assert_array_equal(b.grad.numpy(), [-np.inf, -np.inf, -np.inf, 0, 0, 0, 0, 0, 0])


@np.errstate(divide="ignore")
def test_second_derivatives_of_powers_of_zero_are_limits_as_well():
    for exponent, limit in ((-1, np.inf), (0, 0), (0.5, -np.inf), (1, 0), (1.5, np.inf), (2, 2), (3, 0)):
        for b in (exponent, np.array(float(exponent))):
            assert derivatives(lambda t, b=b: t**b, 0.0)[2] == limit, exponent
    for exponent, limit in ((-1.0, np.inf), (0.5, 0), (2.0, 0)):  # log(a) ** 2 * a ** b
        assert derivatives(lambda b: 0.0**b, exponent)[2] == limit


def test_bounds_of_hardtanh_the_wrong_way_round_give_the_upper_one_everywhere_as_those_of_clip():
    for f in (mg.hardtanh, mg.clip):
        x, low, high = (mg.tensor(v, requires_grad=True) for v in (np.array([-2.0, 0.0, 2.0]), 1.0, -1.0))
        f(x, low, high).sum().backward()
        assert (x.grad.numpy().tolist(), low.grad.item(), high.grad.item()) == ([0, 0, 0], 0, 3)


def test_a_scalar_to_a_tensor_power():
    check_all_orders(lambda b: 2**b, np.array([-1.0, 0.0, 2.5]))
    np.testing.assert_array_equal(gradient(lambda b: 0.0**b, [1.0, 2.0]), [0.0, 0.0])


BINARY = [op.name for op in operations.values() if op.kind == "elementwise" and op.arity == 2]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint16, np.int64, np.uint64, np.bool])
@pytest.mark.parametrize("name", [*BINARY, "remainder", "clip", "where", "elu", "softplus", "leaky_relu"])
@np.errstate(all="ignore")
def test_an_integer_operand_counts_as_the_number_that_it_is(name, dtype):
    ends = [False, True] if dtype is np.bool else [np.iinfo(np.int8).min * (np.iinfo(dtype).min < 0), 255 % 128]
    whole = np.array([0, 1, 1, *ends]).astype(dtype)
    x = np.array([1e5, 0.0, 0.75, 1.5, 1.0625])
    f = {"where": lambda a, b: mg.where(whole > 1, a, b)}.get(name, operations[name].function)
    one_sided = name in ("elu", "softplus", "leaky_relu")  # their first input is what they are a function of
    for first in (True,) if one_sided else (True, False):
        def slopes(x, n, first=first):
            return mg.grad(lambda x: ((f(x, n) if first else f(n, x)) @ [1.0, 2, 3, 4, 5]).sum())(x)

        for derivative in (slopes, mg.jacobian(slopes)):
            np.testing.assert_array_equal(derivative(x, whole).numpy(), derivative(x, whole * 1.0).numpy())


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.bool])
@pytest.mark.parametrize("f", [
    mg.sigmoid, mg.relu, mg.leaky_relu, mg.elu, mg.softplus, mg.gelu, mg.silu, mg.hardtanh, mg.softsign, mg.erf,
    mg.erfc, mg.softmax, mg.log_softmax, mg.logsumexp, mg.linalg.norm, lambda x: mg.norm(x.ravel(), np.inf),
    lambda x: mg.softplus(x, x), lambda x: mg.gelu(x, "tanh"),
])
@np.errstate(divide="ignore", invalid="ignore")
def test_a_function_of_integers_is_that_of_the_numbers_that_they_are(f, dtype):
    ends = [False, True] if dtype is np.bool else [np.iinfo(dtype).min, np.iinfo(dtype).max]
    for whole in (np.array([0, 1, 1, *ends]).astype(dtype), dtype(1)):
        found, expected = f(mg.tensor(whole)), f(mg.tensor(whole * 1.0))
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-15)


def test_powers_of_broadcast_tensors():
    check_all_orders(lambda a, b: a**b, np.array([[0.5], [2.0]]), np.array([-1.0, 0.5, 3.0]))


# ------------------------------------------------------------------------------------------------ elementwise


def test_sinc_at_zero_and_near_it_to_the_third_order():
    x = np.array([0.0, 1e-300, -1e-9, 1e-3, 0.1, -0.199999, 0.200001, 0.3, 1.0, 2.5])
    value, first, second, third = derivatives(mg.sinc, x, 3)
    np.testing.assert_allclose(value, np.sinc(x), rtol=0, atol=1e-16)

    def term(k, order):
        factor = (-1) ** k * math.pi ** (2 * k) / math.factorial(2 * k + 1)
        return factor * math.perm(2 * k, order) * x ** (2 * k - order)

    for order, found, tolerance in ((1, first, 1e-11), (2, second, 1e-10), (3, third, 1e-8)):
        expected = sum(term(k, order) for k in range((order + 1) // 2, 40))
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


UNBOUNDED = [
    # the operation, and what it and its slope tend to at minus and at plus infinity
    (mg.sigmoid, (0, 1), (0, 0)), (mg.tanh, (-1, 1), (0, 0)), (mg.erf, (-1, 1), (0, 0)), (mg.erfc, (2, 0), (0, 0)),
    (mg.arctan, (-np.pi / 2, np.pi / 2), (0, 0)), (mg.softsign, (-1, 1), (0, 0)), (mg.exp, (0, np.inf), (0, np.inf)),
    (mg.expm1, (-1, np.inf), (0, np.inf)), (mg.exp2, (0, np.inf), (0, np.inf)), (mg.relu, (0, np.inf), (0, 1)),
    (mg.gelu, (0, np.inf), (0, 1)), (lambda x: mg.gelu(x, "tanh"), (0, np.inf), (0, 1)),
    (mg.silu, (0, np.inf), (0, 1)), (mg.elu, (-1, np.inf), (0, 1)), (mg.softplus, (0, np.inf), (0, 1)),
    (lambda x: mg.softplus(x, 2.0), (0, np.inf), (0, 1)), (mg.leaky_relu, (-np.inf, np.inf), (0.01, 1)),
    (mg.hardtanh, (-1, 1), (0, 0)), (mg.abs, (np.inf, np.inf), (-1, 1)), (mg.reciprocal, (0, 0), (0, 0)),
    (mg.arcsinh, (-np.inf, np.inf), (0, 0)), (mg.cbrt, (-np.inf, np.inf), (0, 0)),
    (lambda x: mg.hypot(x, 3.0), (np.inf, np.inf), (-1, 1)), (lambda x: mg.hypot(3.0, x), (np.inf, np.inf), (-1, 1)),
    (lambda x: mg.arctan2(x, 3.0), (-np.pi / 2, np.pi / 2), (0, 0)), (lambda x: mg.arctan2(1.0, x), (np.pi, 0), (0, 0)),
    (lambda x: mg.logaddexp(x, 1.0), (1, np.inf), (0, 1)), (lambda x: mg.logaddexp2(1.0, x), (1, np.inf), (0, 1)),
]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("f", "values", "slopes"), UNBOUNDED)
def test_at_infinity_value_and_slope_are_the_limit(f, values, slopes, dtype):
    x = mg.tensor(np.array([-np.inf, np.inf], dtype), requires_grad=True)
    y = f(x)
    y.backward([1.0, 1.0])
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.numpy(), np.array(values, dtype))
    np.testing.assert_array_equal(x.grad.numpy(), np.array(slopes, dtype))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_slope_keeps_its_digits_where_the_value_no_longer_changes(dtype):
    x = np.array([-8.0, 8.0], dtype)
    for f, slope in ((mg.sigmoid, math.exp(-8) / (1 + math.exp(-8)) ** 2), (mg.tanh, 1 / math.cosh(8) ** 2)):
        t = mg.tensor(x, requires_grad=True)
        f(t).sum().backward()
        np.testing.assert_allclose(t.grad.numpy(), slope, rtol=8 * np.finfo(dtype).eps, atol=6e-8)
    t = mg.tensor(np.array(-12.0, dtype), requires_grad=True)
    mg.elu(t).backward()
    np.testing.assert_allclose(t.grad.numpy(), math.exp(-12), rtol=8 * np.finfo(dtype).eps, atol=6e-8)


def test_a_setting_of_an_activation_may_be_a_tensor_and_gets_a_gradient():
    x = np.array([-2.0, -0.3, 1.5])
    for f, setting in ((mg.leaky_relu, 0.2), (mg.elu, 0.7), (mg.softplus, 1.3)):
        check_all_orders(f, x, np.array(setting))
        check_all_orders(f, x, np.array([[setting], [2 * setting]]))
        assert not isinstance(f(x, mg.tensor(setting)).data, mg.Tensor)
    check_all_orders(mg.hardtanh, x, np.array(-1.0), np.array(1.0))
    assert not isinstance(mg.var(x, ddof=mg.tensor(1.0)).data, mg.Tensor)
    assert not isinstance(mg.std(x, ddof=mg.tensor(1.0)).data, mg.Tensor)
    assert not isinstance(mg.norm(x, mg.tensor(3.0)).data, mg.Tensor)


def test_softplus_is_right_for_any_beta():
    with np.errstate(over="ignore"):  # of log(2) / beta
        assert mg.softplus(np.float32(1.5), np.float32(1e-40)).item() == np.inf
    assert mg.softplus(-1e300, -1e300).item() == -1e300
    assert mg.softplus(1e300, 1e300).item() == 1e300
    at = {"x": 20.0, "beta": 1.0}  # where x * sigmoid(beta * x) and softplus have nearly all digits in common
    slope = mg.grad(lambda at: mg.softplus(at["x"], at["beta"]))(at)["beta"].item()
    assert slope == pytest.approx(-21 * math.exp(-20), rel=1e-8)


@pytest.mark.parametrize("f", [mg.erf, mg.erfc, mg.gelu, mg.tanh, mg.sigmoid])
def test_a_curve_that_has_levelled_off_has_no_second_derivative_either(f):
    np.testing.assert_array_equal(np.abs(derivatives(f, [-np.inf, -1e300, 1e300, np.inf])[2]), 0)


def test_the_remainder_has_the_slope_between_its_jumps():
    x, y = gradient(lambda x, y: x % y, [5.0, -5.0, 5.0, 7.5], [3.0, 3.0, -3.0, 2.0])
    np.testing.assert_array_equal(x, [1, 1, 1, 1])
    np.testing.assert_array_equal(y, [-1, 2, 2, -3])  # minus the floor of the quotient
    for f in (lambda x: x % 2, lambda x: mg.remainder(x, 2), lambda x: mg.mod(x, 2), lambda x: np.mod(x, 2)):
        np.testing.assert_array_equal(gradient(f, [3.5]), [1])
    np.testing.assert_array_equal(gradient(lambda y: 7.5 % y, [2.0]), [-3])
    check_all_orders(mg.remainder, np.array([5.2, -5.2]), np.array([[3.0], [-3.1]]))


def test_hypot_has_slope_zero_where_both_are_zero_and_is_right_where_one_is():
    a, b = gradient(mg.hypot, [0.0, 0.0, -3.0], [0.0, 2.0, 0.0])
    np.testing.assert_array_equal(a, [0.0, 0.0, -1.0])
    np.testing.assert_array_equal(b, [0.0, 1.0, 0.0])
    check_all_orders(mg.hypot, np.array([0.0, 3.0]), np.array([2.0, 0.0]))


def test_erf_and_erfc_are_precise_to_the_last_digits():
    x = np.concatenate([np.linspace(-26, 26, 20001), 10.0 ** np.arange(-300, 1), [0.46875, 4.0, 0.0]])
    for ours, reference in ((mg.erf, math.erf), (mg.erfc, math.erfc)):
        expected = np.array([reference(v) for v in x])
        np.testing.assert_allclose(ours(x).numpy(), expected, rtol=1e-15, atol=1e-305)
    np.testing.assert_array_equal(mg.erf([np.inf, -np.inf, np.nan]).numpy(), [1, -1, np.nan])
    np.testing.assert_allclose(mg.erfc([np.inf, -np.inf, np.nan]).numpy(), [0, 2, np.nan], atol=1e-300)


@pytest.mark.parametrize(
    "f", [mg.sigmoid, mg.softplus, mg.gelu, mg.silu, mg.elu, mg.hardtanh, mg.softsign, mg.leaky_relu, mg.relu, mg.tanh]
)
def test_activations_are_finite_far_from_zero(f):
    value, slope, curvature = derivatives(f, [-1000.0, -40.0, 40.0, 1000.0])
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()
    np.testing.assert_allclose(curvature, 0, atol=1e-4)


@pytest.mark.parametrize("x", [-3.0, -5.0, -10.0, -20.0])
def test_gelu_is_precise_in_its_left_tail(x):
    conditioning = x * x  # how much a rounding error in x / sqrt(2) is magnified
    expected = x * math.erfc(-x / 2**0.5) / 2
    np.testing.assert_allclose(mg.gelu(x).numpy(), expected, rtol=4 * np.finfo(float).eps * conditioning)


def test_an_unknown_approximation_of_gelu_is_refused():
    with pytest.raises(ValueError, match="tanh"):
        mg.gelu([1.0], approximate="fast")


@pytest.mark.parametrize(
    ("f", "slope"),
    [(mg.relu, 0), (mg.abs, 0), (mg.leaky_relu, 0.01), (mg.elu, 1), (mg.softsign, 1), (mg.silu, 0.5), (mg.gelu, 0.5)],
)
def test_slope_at_zero(f, slope):
    assert gradient(f, 0.0) == slope


@pytest.mark.parametrize("f", [mg.leaky_relu, mg.elu, mg.softplus, mg.multiply, mg.hypot, mg.arctan2, mg.logaddexp])
@pytest.mark.parametrize("x", [-1.5, -0.0, 0.0, 1.5])
def test_mixed_second_derivatives_are_the_same_in_either_order_also_at_zero(f, x):
    found = mg.hessian(lambda at: f(at[0], at[1]))(np.array([x, 0.25])).numpy()
    np.testing.assert_allclose(found, found.T, rtol=1e-14, atol=1e-16)


def test_hardtanh_is_flat_on_its_bounds_and_clip_is_not():
    np.testing.assert_array_equal(gradient(mg.hardtanh, [-1.0, 0.0, 1.0]), [0, 1, 0])
    np.testing.assert_array_equal(gradient(lambda x: x.clip(-1, 1), [-1.0, 0.0, 1.0]), [1, 1, 1])


def test_clip_gives_each_bound_the_gradient_of_what_it_cut_off():
    x, low, high = gradient(mg.clip, [-2.0, 0.0, 2.0, 5.0], [-1.0, 0.0, -1.0, 4.0], [1.0, 1.0, 1.0, 3.0])
    np.testing.assert_array_equal(x, [0, 1, 0, 0])
    np.testing.assert_array_equal(low, [1, 0, 0, 0])
    np.testing.assert_array_equal(high, [0, 0, 1, 1])  # where the bounds cross NumPy takes the upper one


@pytest.mark.parametrize("f", [mg.maximum, mg.minimum, mg.fmax, mg.fmin])
def test_ties_are_shared_half_and_half(f):
    for part in gradient(f, [1.0, 2.0], [1.0, 2.0]):
        np.testing.assert_array_equal(part, [0.5, 0.5])


def test_nan_is_chosen_by_maximum_and_minimum_also_in_their_gradients():
    for f in (mg.maximum, mg.minimum):
        a, b = gradient(f, [np.nan, 1.0, np.nan], [2.0, np.nan, np.nan])
        np.testing.assert_array_equal(a, [1, 0, 0.5])
        np.testing.assert_array_equal(b, [0, 1, 0.5])


def test_fmax_and_fmin_ignore_nan_also_in_their_gradients():
    for f in (mg.fmax, mg.fmin):
        a, b = gradient(f, [np.nan, 1.0], [2.0, np.nan])
        np.testing.assert_array_equal(a, [0, 1])
        np.testing.assert_array_equal(b, [1, 0])


def test_where_lets_no_nan_through_from_the_branch_not_taken():
    np.testing.assert_array_equal(gradient(lambda x: mg.where(x > 0, x, -x), [-1.0, 2.0]), [-1, 1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_arctan2_and_hypot_of_tiny_and_huge_points(dtype):
    for size in (np.finfo(dtype).smallest_subnormal, np.finfo(dtype).tiny, 1e-4, 300, np.finfo(dtype).max):
        a, b = (mg.tensor(np.array(size, dtype), requires_grad=True) for _ in range(2))
        with np.errstate(over="ignore"):
            mg.hypot(a, b).backward()
            expected = np.array(0.5, dtype) / a.numpy()
            np.testing.assert_allclose([a.grad.numpy(), b.grad.numpy()], 0.5**0.5, rtol=4 * np.finfo(dtype).eps)
            a.grad = b.grad = None
            mg.arctan2(a, b).backward()
        np.testing.assert_allclose(a.grad.numpy(), expected, rtol=4 * np.finfo(dtype).eps)
        np.testing.assert_allclose(b.grad.numpy(), -expected, rtol=4 * np.finfo(dtype).eps)


def test_next_to_an_infinite_value_interpolation_is_numpys():
    points, values = np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.array([1.0, np.inf, 5.0, np.inf, -np.inf])
    x = np.array([0.0, -0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 9.0, np.nan])
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(mg.interp(x, points, values).numpy(), np.interp(x, points, values))
        slopes = mg.jacobian(lambda values: mg.interp(np.array([0.0, 2.0]), points, values))(values).numpy()
    np.testing.assert_array_equal(slopes[:, [0, 2]], np.eye(2))


def test_arctan2_has_slope_zero_at_the_origin():
    for part in gradient(mg.arctan2, [0.0, -0.0], [0.0, 0.0]):
        np.testing.assert_array_equal(part, [0, 0])


@pytest.mark.parametrize("f", [mg.logaddexp, mg.logaddexp2])
def test_the_shares_of_logaddexp_add_up_to_one_for_any_offset(f):
    for offset in (0.0, 1e4, 1e30, -1e30, np.inf):
        a, b = (mg.tensor(np.float32(offset), requires_grad=True) for _ in range(2))
        f(a, b).backward()
        assert (a.grad.item(), b.grad.item()) == (0.5, 0.5)


@pytest.mark.parametrize("f", [mg.logaddexp, mg.logaddexp2])
def test_logaddexp_of_infinities(f):
    a, b = gradient(f, [-np.inf, -np.inf, 0.0], [-np.inf, 1.0, -np.inf])
    np.testing.assert_array_equal(b[1:], [1, 0])
    np.testing.assert_array_equal(a[1:], [0, 1])
    assert np.isfinite([a[0], b[0]]).all()


# ------------------------------------------------------------------------------------------------ reductions


@pytest.mark.parametrize("zeros", [[], [1], [0, 3], [0, 1, 2, 3]])
@pytest.mark.parametrize("f", [mg.prod, mg.cumprod])
def test_products_with_zeros_have_right_derivatives(f, zeros):
    x = np.array([1.5, -2.0, 0.5, 3.0])
    x[zeros] = 0
    check_all_orders(f, x)


def test_the_gradient_of_a_product_with_one_zero_and_with_two():
    np.testing.assert_array_equal(gradient(mg.prod, [2.0, 0.0, 3.0]), [0, 6, 0])
    np.testing.assert_array_equal(gradient(mg.prod, [0.0, 0.0, 3.0]), [0, 0, 0])


def test_third_derivative_of_a_product_with_zeros():
    # of x * x * x, written as a product: 3x², 6x, 6
    _, first, second, third = derivatives(lambda x: mg.stack([x, x, x]).prod(0), [0.0, 2.0], 3)
    np.testing.assert_array_equal([first, second, third], [[0, 12], [0, 12], [6, 6]])


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 7, 8, 9, 17])
def test_cumprod_of_every_length(n):
    rng = np.random.default_rng(n)
    check_all_orders(mg.cumprod, np.where(rng.random(n) < 0.2, 0, rng.standard_normal(n) + 2))


def test_equal_extremes_share_the_gradient_evenly():
    x = [[1.0, 3.0, 3.0], [3.0, 0.0, 1.0]]
    np.testing.assert_allclose(gradient(mg.max, x), [[0, 1 / 3, 1 / 3], [1 / 3, 0, 0]])
    np.testing.assert_allclose(gradient(lambda t: t.max(1), x), [[0, 0.5, 0.5], [1, 0, 0]])


def test_std_and_norm_have_slope_zero_where_they_are_zero():
    np.testing.assert_array_equal(gradient(mg.std, [2.0, 2.0]), [0, 0])
    np.testing.assert_array_equal(gradient(mg.var, [2.0, 2.0]), [0, 0])
    for ord in (None, 1, 2, 3, 1.5, np.inf):
        np.testing.assert_array_equal(gradient(lambda x, ord=ord: mg.norm(x, ord), [0.0, 0.0]), [0, 0])
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(gradient(lambda t: mg.norm(t, axis=1), x), [[0, 0], [0.6, 0.8]])


SMOOTH_SQUARES = {  # functions that are 0 at 0 with slopes in all directions around it, though their squares are smooth
    "norm": mg.linalg.norm, "norm 3": lambda x: mg.linalg.norm(x, 3), "norm by axis": lambda x: mg.norm(x, axis=0),
    "fro": lambda x: mg.linalg.norm(x.reshape(1, 2), "fro"), "hypot": lambda x: mg.hypot(x[0], x[1]),
    "std": mg.std, "std with ddof": lambda x: mg.std(x, ddof=1, keepdims=True).sum(),
    "arctan2": lambda x: mg.arctan2(x[0], x[1]),
}


@pytest.mark.parametrize("name", SMOOTH_SQUARES)
def test_where_a_slope_was_set_to_zero_its_own_slope_is_refused(name):
    f, zero = SMOOTH_SQUARES[name], np.zeros(2)
    np.testing.assert_array_equal(gradient(f, zero), zero)
    np.testing.assert_array_equal(mg.grad(lambda x: f(x) ** 2)(zero).numpy(), zero)
    assert np.isnan(mg.hessian(lambda x: f(x) ** 2)(zero).numpy()).all()  # not 0, where it is 2 on the diagonal
    assert np.isnan(mg.hessian(f)(zero).numpy()).all()
    assert np.isfinite(mg.hessian(lambda x: f(x) ** 2)(np.array([1.0, 2.0])).numpy()).all()


def test_only_what_depends_on_the_slope_at_a_kink_is_refused():
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    (second,) = mg.hvp(lambda x: (mg.norm(x, axis=1) ** 2).sum(), [x], [np.array([[0.0, 0.0], [1.0, 2.0]])])
    np.testing.assert_allclose(second.numpy(), [[0, 0], [2, 4]])  # nobody asked about the first row


def test_the_second_derivative_is_zero_at_a_kink_between_straight_lines():
    for f in (mg.abs, mg.relu, mg.leaky_relu, lambda x: mg.norm(x, 1), lambda x: mg.norm(x, np.inf)):
        np.testing.assert_array_equal(derivatives(f, [0.0, 0.0])[2], [0, 0])


@pytest.mark.parametrize("value", [0.1, 0.7, 1 / 3, 1e-320, 1e300, 3e-8])
@pytest.mark.parametrize("options", [{}, {"ddof": 1}, {"keepdims": True}, {"axis": 1}, {"axis": (0, 1)}])
@pytest.mark.parametrize("f", [mg.std, mg.var])
def test_equal_elements_have_no_deviation_also_where_their_mean_is_rounded(f, options, value):
    for n in (2, 3, 7, 10):
        x = mg.tensor(np.full((2, n), value), requires_grad=True)
        y = f(x, **options)
        y.sum().backward()
        np.testing.assert_array_equal(y.numpy(), 0)
        np.testing.assert_array_equal(x.grad.numpy(), 0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_counts_that_a_dtype_does_not_hold(dtype):
    n = 70_000
    ones, steps = np.ones(n, dtype), (np.arange(n) % 7).astype(dtype)
    deviations = steps.astype(float) - steps.astype(float).mean()
    spread = deviations.std()
    for f, x, value, expected in (
        (mg.max, ones, 1, 1 / n), (mg.min, ones, 1, 1 / n), (mg.mean, ones, 1, 1 / n), (mg.var, ones, 0, 0),
        (mg.logsumexp, ones, 1 + math.log(n), 1 / n), (mg.norm, ones, n**0.5, n**-0.5), (mg.std, ones, 0, 0),
        (mg.var, steps, spread**2, 2 * deviations / n), (mg.std, steps, spread, deviations / n / spread),
    ):
        t = mg.tensor(x, requires_grad=True)
        y = f(t)
        y.backward()
        assert y.dtype == t.grad.dtype == dtype
        np.testing.assert_allclose(y.item(), value, rtol=20 * np.finfo(dtype).eps)
        np.testing.assert_allclose(t.grad.numpy(), np.broadcast_to(expected, n), 20 * np.finfo(dtype).eps, 6e-8)
    np.testing.assert_allclose(mg.softmax(ones).numpy(), 1 / n, rtol=1e-2)
    np.testing.assert_allclose(mg.log_softmax(ones).numpy(), -math.log(n), rtol=4 * np.finfo(dtype).eps)


def test_sums_in_half_precision_do_not_stop_at_2048():
    x = mg.tensor(np.ones((5000, 2), np.float16))
    np.testing.assert_array_equal(x.sum(0).numpy(), [5000, 5000])
    np.testing.assert_array_equal(x.cumsum(0).numpy()[-1], [5000, 5000])
    assert mg.prod(np.array([300, 300, 0.125], np.float16)).item() == 11248  # 11250, rounded


def test_norms_with_some_zero_elements():
    for ord in (None, 2, 4):
        check_all_orders(lambda x, ord=ord: mg.norm(x, ord), np.array([0.0, 3.0, -4.0]))
    check_all_orders(lambda x: mg.norm(x, "fro"), np.array([[0.0, 3.0], [-4.0, 0.0]]))


@pytest.mark.parametrize("ord", [None, "fro", "nuc", 0, 1, 2, np.inf, -1, -2, -np.inf, 3])
@pytest.mark.parametrize("x", [
    np.arange(6).reshape(2, 3), np.arange(6, dtype=np.uint8).reshape(2, 3), np.eye(2, dtype=bool), np.arange(3),
    np.zeros((0, 3)), np.zeros((3, 0)), np.zeros((0, 0)), np.zeros(0), np.ones((2, 3, 2)),
], ids=lambda x: f"{x.dtype}{x.shape}")
@pytest.mark.parametrize("axis", [None, -1, (0, 1)])
@np.errstate(divide="ignore")  # of powers of 0
def test_norms_of_integers_and_of_nothing_are_numpys(ord, x, axis):
    try:
        expected = np.linalg.norm(x, ord, axis)
    except ValueError:
        with pytest.raises(ValueError, match=r"\w") if x.size else contextlib.suppress(ValueError):  # as in NumPy 2.0
            mg.linalg.norm(x, ord, axis)
        return
    found = mg.linalg.norm(x, ord, axis)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-13)


def test_a_norm_that_counts_and_an_unknown_one_are_refused():
    x = mg.tensor([[1.0, 0.0]], requires_grad=True)
    with pytest.raises(TypeError, match="detach"):
        mg.norm(x[0], 0).backward()
    with pytest.raises(ValueError, match="nuc"):
        mg.norm(x, 3)


def test_logsumexp_and_log_softmax_of_huge_integer_and_infinite_values():
    np.testing.assert_allclose(mg.logsumexp([1, 2]).numpy(), math.log(math.exp(1) + math.exp(2)))
    np.testing.assert_allclose(mg.logsumexp([1e4, 1e4]).numpy(), 1e4 + math.log(2))
    np.testing.assert_array_equal(gradient(mg.logsumexp, [-np.inf, 0.0]), [0, 1])
    np.testing.assert_array_equal(gradient(mg.logsumexp, [-np.inf, -np.inf]), [0, 0])
    np.testing.assert_array_equal(mg.softmax([1e4, 0.0]).numpy(), [1, 0])
    np.testing.assert_array_equal(mg.log_softmax([1e4, 0.0]).numpy(), [0, -1e4])


SOFTMAXES = [
    (mg.softmax, mg.log_softmax), (F.softmax, F.log_softmax), (nn.Softmax(dim=0), nn.LogSoftmax(dim=0)),
    (lambda x: F.softmax(x, dim=0), lambda x: F.log_softmax(x, dim=0)),
]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("softmax", "log_softmax"), SOFTMAXES)
def test_softmax_is_the_same_everywhere_and_exact_for_any_offset(softmax, log_softmax, dtype):
    steps = np.array([0.0, 1.0, 2.0, 4.0])
    expected = np.exp(steps) / np.exp(steps).sum()
    unit, eps = np.finfo(dtype).eps, 4 * np.finfo(dtype).eps
    for offset in (0, 100, -100, 1 / (4 * unit)):  # as large as it can be for the steps to be kept
        x = mg.tensor((steps + offset).astype(dtype), requires_grad=True)
        for f, value, slope in (
            (softmax, expected, expected * ([0, 1, 0, 0] - expected[1])),
            (log_softmax, np.log(expected), [0, 1, 0, 0] - expected),
            (lambda x: mg.logsumexp(x) * [0, 1, 0, 0], None, expected),
        ):
            x.grad = None
            y = f(x)
            y[1].backward()
            if value is not None:
                np.testing.assert_allclose(y.numpy(), value, rtol=eps, atol=eps)
            np.testing.assert_allclose(x.grad.numpy(), slope, rtol=eps, atol=eps)
    equal = np.full(3, np.finfo(dtype).max, dtype)
    np.testing.assert_array_equal(softmax(equal).numpy(), np.array(1 / 3, dtype))
    np.testing.assert_allclose(log_softmax(equal).numpy(), -math.log(3), rtol=eps)
    assert F.softmax is mg.softmax
    assert F.log_softmax is mg.log_softmax


def test_infinite_elements_share_the_weight_evenly_and_no_weight_exceeds_one():
    inf = np.inf
    for x, weights in (
        ([inf, 0.0, 1.0], [1, 0, 0]), ([inf, 0.0, inf], [0.5, 0, 0.5]), ([inf, -inf, 0.0], [1, 0, 0]),
        ([-inf, 0.0, 0.0], [0, 0.5, 0.5]), ([inf, 1e300, -1e300], [1, 0, 0]),
    ):
        np.testing.assert_array_equal(gradient(mg.logsumexp, x), weights)
        np.testing.assert_array_equal(mg.softmax(x).numpy(), weights)
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(mg.log_softmax(x).numpy(), np.log(np.array(weights, float)))
        assert mg.logsumexp(x).numpy() == np.logaddexp.reduce(x)
    for x, direction in (([inf, 0.0, 1.0], [1, 0, 0]), ([-inf, 2.0, inf], [-(0.5**0.5), 0, 0.5**0.5])):
        for ord in (None, 2):
            np.testing.assert_allclose(gradient(lambda t, ord=ord: mg.norm(t, ord), x), direction)
    assert np.isnan(mg.softmax([-inf, -inf]).numpy()).all()


@pytest.mark.parametrize("f", [mg.cumsum, mg.cumprod])
def test_running_along_a_number(f):
    twin = getattr(np, f.__name__)
    for axis in (None, 0, -1):
        x = mg.tensor(2.0, requires_grad=True)
        y = f(x, axis)
        np.testing.assert_array_equal(y.numpy(), twin(2.0, axis), strict=True)
        y.backward([3.0])
        np.testing.assert_array_equal(x.grad.numpy(), 3.0, strict=True)
    with pytest.raises(np.exceptions.AxisError):
        f(2.0, 1)


@pytest.mark.parametrize(
    "f",
    [mg.sum, mg.prod, mg.cumsum, mg.cumprod, mg.logsumexp, mg.sort, mg.ravel, mg.norm, mg.exp, mg.erf, mg.softmax],
)
def test_empty_inputs_have_empty_gradients(f):
    assert gradient(lambda x: f(x) * 1.0, np.zeros((0,))).shape == (0,)


def test_reductions_over_a_full_axis_of_an_empty_tensor():
    for f in (mg.mean, mg.var, mg.std, mg.max, mg.min, mg.prod, mg.logsumexp):
        assert gradient(lambda x, f=f: f(x, axis=1), np.zeros((0, 3))).shape == (0, 3)


# ------------------------------------------------------------------------------------------------ selection


def test_sort_sends_gradients_back_along_the_permutation_equal_elements_in_order():
    x = mg.tensor([2.0, 1.0, 2.0, 0.0], requires_grad=True)
    mg.sort(x).backward([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(x.grad.numpy(), [3, 2, 4, 1])


def test_elements_taken_twice_get_both_gradients():
    x = [1.0, 2.0, 3.0]
    expected = [2, 0, 1]
    np.testing.assert_array_equal(gradient(lambda t: t[[0, 2, 0]], x), expected)
    np.testing.assert_array_equal(gradient(lambda t: mg.take(t, [0, -1, -3]), x), expected)
    np.testing.assert_array_equal(gradient(lambda t: mg.take_along_axis(t, np.array([0, 2, 0]), 0), x), expected)
    np.testing.assert_array_equal(gradient(lambda t: mg.repeat(t, [2, 0, 1]), x), expected)


@pytest.mark.parametrize("index", [[0, 2, 0], ([1, 1], [0, 0]), (slice(None), [1, 1]), np.array([[0, 1], [1, 0]]).T])
def test_of_values_put_at_the_same_place_only_the_last_gets_a_gradient(index):
    x = np.arange(9.0).reshape(3, 3)
    values = np.arange(float(x[index].size)).reshape(x[index].shape) + 10
    expected = x.copy()
    expected[index] = values
    np.testing.assert_array_equal(mg.put(x, index, values).numpy(), expected)
    check_all_orders(lambda x, values: mg.put(x, index, values) ** 2, x, values)


def test_put_leaves_its_input_alone():
    x = np.zeros(3)
    mg.put(x, 1, 5.0)
    np.testing.assert_array_equal(x, 0)


def test_an_index_out_of_bounds_is_refused_in_numpys_words():
    with pytest.raises(IndexError, match="out of bounds"):
        mg.take([1.0, 2.0], 2)
    with pytest.raises(ValueError, match="equal division"):
        mg.split(np.zeros(5), 2)


@pytest.mark.parametrize("mode", ["median", "linear_ramp"])
def test_padding_that_computes_is_refused(mode):
    with pytest.raises(ValueError, match="reflect"):
        mg.pad([1.0, 2.0], 1, mode)


def test_views_stay_views():
    x = mg.tensor(np.arange(12.0).reshape(3, 4))
    views = [
        x.reshape(4, 3), x.swapaxes(0, 1), x.T, x.mT, mg.moveaxis(x, 0, 1), x.ravel(), x.diagonal(), x[1:], mg.flip(x),
        mg.expand_dims(x, 0), x[:1].squeeze(), mg.sliding_window_view(x, 2, 0), x.broadcast_to((2, 3, 4)),
    ]
    for view in views:
        assert np.shares_memory(view.numpy(), x.numpy())


# ------------------------------------------------------------------------------------------------ products


@pytest.mark.parametrize(
    ("spec", "shapes"),
    [
        ("ii", [(3, 3)]), ("ii->i", [(3, 3)]), ("iii->i", [(2, 2, 2)]), ("iij->ji", [(2, 2, 3)]), ("i->", [(3,)]),
        ("->", [()]), (",->", [(), ()]), (",i", [(), (3,)]), ("ij->", [(2, 3)]), ("ji", [(2, 3)]),
        ("ba,cb", [(2, 3), (4, 2)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]), ("i,i,i->i", [(3,), (3,), (3,)]), ("ij,ij->", [(2, 3), (2, 3)]),
        ("ij,jk->ik", [(2, 1), (3, 4)]), ("ij,j->i", [(2, 3), (1,)]), ("ij,ij->ij", [(1, 3), (2, 1)]),
        ("ii,i->", [(3, 3), (1,)]), ("i,ij->j", [(1,), (3, 2)]), ("...ij,...jk->...ik", [(2, 1, 2, 3), (4, 3, 2)]),
        ("...,...", [(2, 1), (3,)]), ("i...->...", [(2, 3, 4)]), ("...i->...", [(3,)]),
        ("i...j,j->...i", [(2, 2, 3), (3,)]),
        (" i j , j k -> i k ", [(2, 3), (3, 2)]), ("ab,ab,c->", [(2, 3), (2, 3), (4,)]), ("ij,jj->i", [(2, 3), (3, 3)]),
    ],
)
@pytest.mark.parametrize("optimize", [False, True])
def test_einsum_specs(spec, shapes, optimize):
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(shape) for shape in shapes]
    tensors = [mg.tensor(x) for x in inputs]
    np.testing.assert_allclose(mg.einsum(spec, *tensors).numpy(), np.einsum(spec, *inputs), strict=True)
    check_all_orders(lambda *xs: mg.einsum(spec, *xs, optimize=optimize), *inputs)


def test_einsum_of_the_same_tensor_twice():
    check_all_orders(lambda x: mg.einsum("ij,ji->", x, x), np.arange(4.0).reshape(2, 2))


def test_einsum_with_numbers_for_labels():
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    for last in ([], [[..., 0, 2]], [[2, 0, ...]]):
        found = mg.einsum(mg.tensor(a), [..., 0, 1], b, [..., 1, 2], *last)
        np.testing.assert_array_equal(found.numpy(), np.einsum(a, [..., 0, 1], b, [..., 1, 2], *last))
    for optimize in (False, True):  # what is left is ordered by its numbers, however NumPy spells them
        found = mg.einsum(a, [30, 1], b, [1, 2], optimize=optimize).numpy()
        np.testing.assert_allclose(found, (a @ b).T)
        check_all_orders(lambda x, y, o=optimize: mg.einsum(x, [30, 1], y, [1, 2], optimize=o), a, b)
    check_all_orders(lambda x, y: mg.einsum(x, [0, 30], y, [30, 2], [2, 0]), a, b)


def test_bad_specs_and_shapes_are_refused():
    with pytest.raises(ValueError, match=r"subscripts|operand"):
        mg.einsum("ij,jk", np.ones((2, 3)))
    with pytest.raises(ValueError, match="tensordot cannot pair axis 1"):
        mg.tensordot(np.ones((2, 1)), np.ones((3, 2)), 1)


def test_matmul_and_solve_sum_gradients_over_broadcast_stacks():
    rng = np.random.default_rng(0)
    check_all_orders(mg.matmul, rng.standard_normal((2, 1, 2, 3)), rng.standard_normal((3, 3, 1)))
    check_all_orders(mg.matmul, rng.standard_normal(3), rng.standard_normal((2, 3, 2)))
    check_all_orders(mg.matmul, rng.standard_normal((2, 2, 3)), rng.standard_normal(3))
    a = rng.standard_normal((2, 3, 3)) + 4 * np.eye(3)
    check_all_orders(mg.linalg.solve, a, rng.standard_normal(3))
    check_all_orders(mg.linalg.solve, a[0], rng.standard_normal((2, 3, 1)))


# ------------------------------------------------------------------------------------------------ linear algebra


@pytest.mark.parametrize(
    "a", [np.zeros((1, 1)), np.zeros((2, 2)), np.ones((2, 2)), np.ones((3, 3)), np.diag([1.0, 2, 0]),
          np.diag([1.0, 0, 0]), np.arange(9.0).reshape(3, 3), np.stack([np.eye(3), np.arange(9.0).reshape(3, 3)])]
)
def test_the_determinant_of_singular_matrices_has_right_derivatives(a):
    check_all_orders(mg.linalg.det, a)


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_a_singular_matrix_does_no_harm_to_its_neighbours_in_a_stack():
    regular = np.array([[2.0, 1.0, 0.0], [0.5, 3.0, 1.0], [0.0, 1.0, -1.0]])
    nan = np.full((3, 3), np.nan)
    stack = np.stack([[np.eye(3) * 1e-120, np.ones((3, 3))], [regular, np.zeros((3, 3))], [nan, 2 * regular]])

    def logarithms(a):
        return mg.linalg.slogdet(a)[1]

    for f in (logarithms, mg.linalg.det):
        for i in [(0, 0), (1, 0), (2, 1)]:
            for order in (1, 2):
                def derivative(g, order=order):
                    slope = mg.grad(g)
                    return slope if order == 1 else mg.grad(lambda a: (slope(a) * regular).sum())

                alone = derivative(f)(stack[i]).numpy()
                beside = derivative(lambda a, f=f, i=i: f(a)[i])(stack).numpy()[i]
                np.testing.assert_allclose(beside, alone, rtol=1e-13)
    np.testing.assert_allclose(mg.grad(lambda a: logarithms(a)[0, 0])(stack).numpy()[0, 0], np.eye(3) * 1e120)


@pytest.mark.filterwarnings("ignore:overflow encountered in det")
def test_determinants_that_under_or_overflow_have_the_right_cofactors():
    for scale in (1e-120, 1e120):
        found = gradient(mg.linalg.det, np.eye(3) * scale)
        np.testing.assert_allclose(found, np.eye(3) * scale**2, rtol=1e-13)


def test_cofactors_are_computed_of_the_singular_matrices_of_a_stack_alone():
    stack = np.tile(np.eye(12), (50, 1, 1))
    stack[7, 0, 0] = 0
    x, sizes = mg.tensor(stack, requires_grad=True), []
    with recording(lambda event: sizes.append(event.result.size) if isinstance(event, Recorded) else None):
        mg.linalg.det(x).sum().backward()
    assert max(sizes) == (12 * 11) ** 2


def test_gradients_of_symmetric_operations_are_symmetric():
    a = np.array([[4.0, 1.0], [1.0, 3.0]])
    eigh = mg.linalg.eigh
    for f in (mg.linalg.cholesky, lambda x: eigh(x)[0] * [1, 2], lambda x: eigh(x)[1] ** 2 * [1, 2]):
        found = gradient(f, a)
        np.testing.assert_array_equal(found, found.T)


UNSYMMETRIC = np.array([[4.0, 9.0, -7.0], [1.0, 3.0, 8.0], [0.5, -0.5, 6.0]])
TRIANGLES = {
    "cholesky of the lower": (mg.linalg.cholesky, np.tril),
    "cholesky of the upper": (lambda a: mg.linalg.cholesky(a, upper=True), np.triu),
    "eigenvalues of the lower": (lambda a: mg.linalg.eigh(a)[0], np.tril),
    "eigenvalues of the upper": (lambda a: mg.linalg.eigh(a, "U")[0], np.triu),
    "eigenvectors of the lower": (lambda a: mg.linalg.eigh(a)[1] ** 2, np.tril),
    "eigenvectors of the upper": (lambda a: mg.linalg.eigh(a, "u")[1] ** 2, np.triu),
}


@pytest.mark.parametrize(("f", "part"), TRIANGLES.values(), ids=TRIANGLES)
def test_the_triangle_that_is_not_read_has_no_influence_on_values_or_derivatives(f, part):
    a = UNSYMMETRIC if part is np.tril else UNSYMMETRIC.T
    triangle = part(a)
    symmetric = triangle + triangle.T - np.diag(np.diag(a))
    weights = np.cos(np.arange(9.0)).reshape(3, 3)[: f(mg.tensor(a)).ndim != 1 or None]

    def slope(x):
        return mg.grad(lambda x: (f(x) * weights).sum())(x)

    for derivative in (lambda x: f(mg.tensor(x)), slope, mg.grad(lambda x: (slope(x) * weights[:1].T).sum())):
        found = derivative(a).numpy()
        np.testing.assert_allclose(found, derivative(symmetric).numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(slope(a).numpy(), slope(a).numpy().T, rtol=1e-12)

    def read(x):  # a symmetric matrix by the elements that are read: the two of each pair count together
        lower = mg.tril(x) if part is np.tril else mg.triu(x)
        return f(lower + (lower - mg.diag(mg.diag(x))).mT)

    check_all_orders(read, a)
    together = slope(a).numpy() * (2 - np.eye(3))
    np.testing.assert_allclose(mg.grad(lambda x: (read(x) * weights).sum())(a).numpy(), part(together), rtol=1e-10)


def test_triangles_agree_with_pytorch_for_matrices_that_are_not_symmetric():
    torch = pytest.importorskip("torch")
    for uplo in "LU":
        a = UNSYMMETRIC if uplo == "L" else UNSYMMETRIC.T
        theirs = torch.tensor(a, requires_grad=True)
        values, vectors = torch.linalg.eigh(theirs, uplo)
        factor = torch.linalg.cholesky(theirs, upper=uplo == "U")
        weights = np.cos(np.arange(9.0)).reshape(3, 3)
        ((values * torch.tensor(weights[0])).sum() + (vectors**2 * torch.tensor(weights)).sum()
         + (factor * torch.tensor(weights)).sum()).backward()

        def ours(x, uplo=uplo, weights=weights):
            values, vectors = mg.linalg.eigh(x, uplo)
            factor = mg.linalg.cholesky(x, upper=uplo == "U")
            return (values * weights[0]).sum() + (vectors**2 * weights).sum() + (factor * weights).sum()

        np.testing.assert_allclose(gradient(ours, a), theirs.grad.numpy(), rtol=1e-10)


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero", "ignore:overflow")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (0, 1), slice(None), 1])
def test_what_is_not_finite_makes_no_backward_pass_of_linear_algebra_fail(bad, place):
    a = np.array([[2.0, 0.5], [0.5, 3.0]])
    a[place] = bad
    b = np.ones((2, 1))
    for f in (
        mg.linalg.det, mg.linalg.inv, mg.linalg.pinv, mg.linalg.cholesky, mg.linalg.norm,
        lambda a: mg.linalg.slogdet(a)[1], lambda a: mg.linalg.solve(a, b), lambda a: mg.linalg.eigh(a)[0],
        lambda a: mg.linalg.svd(a)[1], lambda a: mg.linalg.qr(a, "r"),
    ):
        x = mg.tensor(a, requires_grad=True)
        try:
            y = f(x)
        except np.linalg.LinAlgError:  # NumPy refuses the value itself
            continue
        y.sum().backward()
        assert x.grad.shape == a.shape


@pytest.mark.filterwarnings("ignore:invalid value encountered in det")
def test_a_nan_reaches_the_cofactors_that_it_is_part_of_and_no_others():
    a = np.array([[np.nan, 1.0], [2.0, 3.0]])
    np.testing.assert_allclose(gradient(mg.linalg.det, a), [[3, -2], [-1, np.nan]])
    stack = np.stack([a, [[1.0, 2.0], [3.0, 4.0]]])
    np.testing.assert_allclose(gradient(mg.linalg.det, stack)[1], [[4, -3], [-2, 1]])


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_the_logarithm_of_a_vanishing_determinant_has_a_pole():
    found = gradient(lambda a: mg.linalg.slogdet(a)[1], np.array([[1.0, 2.0], [2.0, 4.0]]))
    np.testing.assert_array_equal(found, [[np.inf, -np.inf], [-np.inf, np.inf]])


def test_decompositions_put_together_again_have_the_identity_as_their_derivative():
    a = np.random.default_rng(0).standard_normal((2, 4, 3)) + np.eye(4, 3) * [2, 4, 6]
    square = a[:, :3]
    symmetric = square @ square.swapaxes(-1, -2)
    cotangent = np.random.default_rng(1).standard_normal

    def check(f, x, symmetric=False):
        t = mg.tensor(x, requires_grad=True)
        weights = cotangent(x.shape)
        np.testing.assert_allclose(f(t).numpy(), x)
        f(t).backward(weights)
        expected = (weights + weights.swapaxes(-1, -2)) / 2 if symmetric else weights
        np.testing.assert_allclose(t.grad.numpy(), expected, atol=1e-10)

    def svd(x):
        u, s, vh = mg.linalg.svd(x, full_matrices=False)
        return u * s[..., None, :] @ vh

    def eigh(x):
        w, v = mg.linalg.eigh(x)
        return v * w[..., None, :] @ v.mT

    def qr(x):
        q, r = mg.linalg.qr(x)
        return q @ r

    def cholesky(x):
        factor = mg.linalg.cholesky(x)
        return factor @ factor.mT

    for x in (a, a.swapaxes(-1, -2), square):
        check(svd, x)
        check(qr, x)
        check(lambda x: mg.linalg.pinv(mg.linalg.pinv(x)), x)
    check(eigh, symmetric, symmetric=True)
    check(cholesky, symmetric, symmetric=True)
    check(lambda x: mg.linalg.inv(mg.linalg.inv(x)), symmetric)


@pytest.mark.parametrize(("shape", "rank"), [((5, 3), 2), ((6, 6), 3), ((3, 8), 1), ((20, 20), 10)])
def test_the_pseudo_inverse_of_float32_takes_no_rounding_for_a_value(shape, rank):
    rng = np.random.default_rng(0)
    a = (rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))).astype(np.float32)
    single = mg.linalg.pinv(a)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single.data, np.linalg.pinv(a.astype(float), 1e-5), atol=1e-5)


@pytest.mark.parametrize("unit", [2.0**-80, 2.0**80])
@pytest.mark.parametrize(("f", "degree"), [
    (mg.linalg.inv, -1), (mg.linalg.pinv, -1), (lambda a: mg.linalg.pinv(a[:, :2]), -1),
    (lambda a: mg.linalg.solve(a, [1.0, 2, 3]), -1), (lambda a: mg.linalg.lstsq(a[:, :2], [1.0, 2, 3])[0], -1),
    (lambda a: mg.linalg.svd(a)[0], 0), (lambda a: mg.linalg.svd(a)[2], 0), (lambda a: mg.linalg.svd(a)[1], 1),
    (lambda a: mg.linalg.eigh(a)[0], 1), (lambda a: mg.linalg.eigh(a)[1], 0), (lambda a: mg.linalg.qr(a)[0], 0),
    (lambda a: mg.linalg.qr(a)[1], 1), (mg.linalg.cholesky, 0.5), (lambda a: mg.linalg.norm(a, "nuc"), 1),
    (lambda a: mg.linalg.norm(a, 2), 1), (lambda a: mg.linalg.slogdet(a)[1], 0),
], ids=["inv", "pinv", "pinv of tall", "solve", "lstsq", "U", "Vh", "S", "eigenvalues", "eigenvectors", "Q", "R",
        "cholesky", "nuclear norm", "norm 2", "slogdet"])
def test_linear_algebra_of_tiny_and_huge_matrices_has_the_gradients_that_its_degree_tells(f, degree, unit):
    def slopes(unit):
        a = np.array([[3, 1, 0.5], [1, 2, 0.25], [0.5, 0.25, 1]]) * unit
        a = mg.tensor(a.astype(np.float32), requires_grad=True)
        out = f(a)
        cotangent = np.cos(np.arange(out.size)).reshape(out.shape) * unit ** ((1 - degree) / 2)
        out.backward(cotangent.astype(np.float32))
        return a.grad.numpy().astype(float) * unit ** ((1 - degree) / 2)

    usual = slopes(1)
    np.testing.assert_allclose(slopes(unit), usual, atol=1e-5 * np.abs(usual).max())


def test_a_zero_has_no_second_derivative_in_a_norm_of_order_below_2_and_does_no_harm_to_others():
    second = mg.hessian(lambda x: mg.linalg.norm(x, 1.5))
    hessian = second(np.array([0.0, 1, 3])).numpy()
    np.testing.assert_allclose(hessian[1:, 1:], second(np.array([1.0, 3])).numpy())
    assert np.isnan(hessian[0, 0])
    np.testing.assert_array_equal([hessian[0, 1:], hessian[1:, 0]], 0)


@pytest.mark.parametrize("q", [0.3, 0.7])
def test_a_quantile_of_half_precision_and_its_gradient_are_of_one_place(q):
    x = mg.tensor(np.arange(2000, dtype=np.float16), requires_grad=True)
    y = mg.quantile(x, q)
    y.backward()
    shares = x.grad.numpy().astype(float)
    np.testing.assert_allclose(shares @ np.arange(2000) / shares.sum(), y.item(), atol=0.5)  # half of a last digit


@pytest.mark.parametrize("n", [5000, 70_000])
def test_a_quantile_of_more_elements_than_half_precision_counts_is_that_of_single_precision(n):
    x = mg.tensor(np.sort(np.arange(n) % 1999).astype(np.float16), requires_grad=True)
    wide = x.astype(np.float32).detach()
    for q in (0.3337, 0.5, np.array([0.125, 0.71])):
        y = mg.quantile(x, q)
        np.testing.assert_array_equal(y.numpy(), np.quantile(wide, q).astype(y.dtype))
        np.testing.assert_array_equal(mg.percentile(x, 100 * q).numpy(), y.numpy())
        y.sum().backward()
        np.testing.assert_allclose(x.grad.numpy().astype(float).sum(), np.size(q), rtol=1e-3)
        x.grad = None


def test_silu_reaches_into_the_least_of_half_precision():
    x = np.arange(-20, -10, 0.25, np.float32).astype(np.float16)
    wide = x.astype(float)
    slope = (1 + wide / (1 + np.exp(wide))) / (1 + np.exp(-wide))
    for found, exact in (mg.silu(x), wide / (1 + np.exp(-wide))), (mg.grad(lambda x: mg.silu(x).sum())(x), slope):
        np.testing.assert_allclose(found.numpy().astype(float), exact, rtol=1e-3, atol=6e-8)


@pytest.mark.parametrize("extreme", [mg.maximum, mg.minimum])
def test_many_equal_elements_share_the_gradient_of_a_running_extreme_evenly_in_half_precision(extreme):
    x = mg.tensor(np.zeros(10_000, np.float16), requires_grad=True)
    extreme.accumulate(x)[-1].backward()
    np.testing.assert_allclose(x.grad.numpy().astype(float) * 10_000, 1, rtol=1e-2)


def test_qr_of_almost_dependent_rows_keeps_the_digits_of_its_gradient():
    a = np.random.default_rng(0).standard_normal((4, 4))
    a[0] = a[1] + 1e-8 * np.random.default_rng(2).standard_normal(4)
    weights, direction = np.random.default_rng(1).standard_normal((2, 4, 4))

    def f(x):
        return (mg.linalg.qr(x, "r") * weights).sum()

    slope = (f(a + 1e-10 * direction) - f(a - 1e-10 * direction)) / 2e-10  # within the 1e-8 of a kink
    np.testing.assert_allclose((mg.grad(f)(a) * direction).sum(), slope, rtol=1e-3)


def test_results_have_numpys_names():
    a = np.array([[4.0, 1.0], [1.0, 3.0]])
    assert mg.linalg.slogdet(a)._fields == np.linalg.slogdet(a)._fields
    assert mg.linalg.qr(a)._fields == np.linalg.qr(a)._fields
    assert mg.linalg.eigh(a)._fields == np.linalg.eigh(a)._fields
    assert mg.linalg.svd(a)._fields == np.linalg.svd(a)._fields


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (2, 4, 2), (0, 2)])
def test_full_matrices_of_an_svd_have_the_derivatives_of_the_reduced_ones(shape):
    a = np.random.default_rng(0).standard_normal(shape)
    direction = np.random.default_rng(1).standard_normal(shape)
    k = min(shape[-2:])

    def parts(full):
        def f(x):
            u, s, vh = mg.linalg.svd(x, full_matrices=full)
            return u[..., :k], s, vh[..., :k, :]
        return f

    def loss(full):
        return lambda x: sum((part * np.cos(np.arange(part.size)).reshape(part.shape)).sum() for part in parts(full)(x))

    for derivative in (
        lambda full: parts(full)(a), lambda full: [mg.grad(loss(full))(a)],
        lambda full: mg.hvp(loss(full), [a], [direction]), lambda full: mg.jvp(parts(full), [a], [direction])[1],
    ):
        for full, reduced in zip(derivative(True), derivative(False), strict=True):
            np.testing.assert_allclose(full.numpy(), reduced.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 2), (2, 4), (2, 4, 2), (3, 1)])
def test_full_matrices_of_an_svd_have_the_derivatives_of_what_their_arbitrary_part_spans(shape):
    a = np.random.default_rng(2).standard_normal(shape)
    m, n = shape[-2:]

    def spanned(x):
        u, _, vh = mg.linalg.svd(x)
        return u[..., n:] @ u[..., n:].mT, vh[..., m:, :].mT @ vh[..., m:, :]

    def again(x):
        u, s, vh = mg.linalg.svd(x)
        return u @ (np.eye(m, min(m, n)) * s[..., None, :] @ np.eye(min(m, n), n)) @ vh

    assert gradcheck(spanned, a, order=2).ok
    assert gradcheck(again, a, order=2).ok
    ones = np.ones(shape)
    np.testing.assert_allclose(mg.jvp(again, [a], [ones])[1].numpy(), ones, atol=1e-12)
    np.testing.assert_allclose(mg.hvp(lambda x: (again(x) ** 2).sum(), [a], [ones])[0].numpy(), 2 * ones, atol=1e-11)
    with mg.detect_anomaly():
        mg.hvp(lambda x: (mg.linalg.svd(x).U[..., : min(m, n)] ** 3).sum(), [a], [ones])
    assert np.isnan(mg.grad(lambda x: again(x).sum() * np.nan)(a).numpy()).all()


def test_qr_knows_no_complete_mode():
    with pytest.raises(ValueError, match="reduced"):
        mg.linalg.qr(np.ones((3, 2)), mode="complete")


def test_the_sign_of_slogdet_is_a_constant():
    sign, logarithm = mg.linalg.slogdet(mg.tensor([[0.0, 2.0], [1.0, 0.0]], requires_grad=True))
    assert sign.item() == -1
    assert not sign.requires_grad
    assert logarithm.requires_grad


def test_decompositions_leave_no_reference_cycle():
    import gc

    a = mg.tensor(np.diag([1.0, 2.0, 3.0]), requires_grad=True)
    for f in (mg.linalg.svd, mg.linalg.eigh, mg.linalg.qr, mg.linalg.slogdet):
        f(a)
        gc.collect()
        gc.disable()
        f(a)
        assert gc.collect() == 0, f.__name__
        gc.enable()


# ------------------------------------------------------------------------------------------------ step functions


@pytest.mark.parametrize(
    "f",
    [mg.sign, mg.floor, mg.ceil, mg.rint, mg.trunc, mg.round, round, lambda x: round(x, 1), lambda x: x // 2,
     lambda x: 2 // x, np.floor, np.sign, np.round, lambda x: np.around(x, 1)],
)
def test_a_step_function_refuses_to_hide_that_it_has_no_gradient(f):
    x = mg.tensor([1.26, -2.5], requires_grad=True)
    with pytest.raises(TypeError, match="detach"):
        f(x)
    with np.errstate(all="ignore"):
        assert not f(x.detach()).requires_grad
    with mg.no_grad():
        assert not f(x).requires_grad


def test_indices_are_plain_arrays_for_any_tensor():
    x = mg.tensor([[3.0, 1.0, 2.0]], requires_grad=True)
    results = [
        (x.argmax(), 0), (x.argmin(axis=1), [1]), (x.argsort(), [[1, 2, 0]]), (mg.argmax(x, 1), [0]),
        ((x > 2).any(), True), (x.any(), True), (x.all(axis=1), [True]),
    ]
    for found, expected in results:
        assert not isinstance(found, mg.Tensor)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["?", "i1", "i8", "u2", "f2", "f4", "f8"])
@pytest.mark.parametrize("shape", [(), (3, 4), (0, 2)])
def test_relu_has_the_values_the_dtype_and_the_memory_order_of_numpys_maximum(dtype, shape):
    numbers = np.random.default_rng(0).integers(0, 5, shape) - 2 * (dtype[0] in "if")
    plain = np.asarray(numbers, dtype)
    for x in (plain, np.asfortranarray(plain), plain[::-1] if shape else plain[()]):
        expected, found = np.maximum(x, 0), mg.relu(x)
        assert found.dtype == expected.dtype
        assert found.data.strides == expected.strides
        np.testing.assert_array_equal(found.data, expected)


def test_relu_keeps_what_is_no_number_and_infinite():
    x = np.array([np.nan, -np.inf, np.inf, -0.0], np.float32)
    np.testing.assert_array_equal(mg.relu(x).numpy(), [np.nan, 0, np.inf, 0])


@pytest.mark.parametrize(
    ("f", "x", "grad", "expected"),
    [
        (mg.square, 0.5, 50000.0, 50000.0),
        (mg.log2, 40.0, 48000.0, 1731.25),
        (mg.exp2, 0.0, 60000.0, 41588.8),
    ],
    ids=["square", "log2", "exp2"],
)
def test_a_large_gradient_times_a_small_slope_does_not_overflow_in_between(f, x, grad, expected):
    x = mg.tensor(np.float16(x), requires_grad=True)
    f(x).backward(np.float16(grad))
    np.testing.assert_allclose(x.grad.item(), expected, rtol=2e-3)


def test_dividing_by_what_is_tiny_and_masked_out_gives_no_nan():
    x = mg.tensor(np.float32([1e-20, 1.0]), requires_grad=True)
    mg.where(x.data > 0.5, 1 / x, 0).sum().backward()
    assert x.grad.numpy().tolist() == [0.0, -1.0]


def test_singular_values_of_what_is_no_matrix_are_refused_as_by_numpy():
    with pytest.raises(np.linalg.LinAlgError, match="1-dimensional array given"):
        mg.linalg.svd(mg.tensor([1.0, 2.0], requires_grad=True))


@pytest.mark.filterwarnings("error")
def test_softplus_of_nan_is_nan_without_a_warning():
    assert np.isnan(mg.softplus(np.array([np.nan, 1.0])).numpy()).tolist() == [True, False]
