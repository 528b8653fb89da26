import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad.testing import gradcheck
from nn import functional as F
from tests.nn.test_functional import gradcheck_twice


def rng():
    return np.random.default_rng(5)


def normalised(values, eps):
    """The definition, for one group of values at a time."""
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / len(values)
    return [(v - mean) / (variance + eps) ** 0.5 for v in values]


# ---------------------------------------------------------------- layer_norm


@pytest.mark.parametrize(("shape", "last"), [((4,), 1), ((3, 4), 1), ((2, 3, 4), 2), ((2, 3, 4), 1), ((2, 3), 2)])
@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_layer_norm_normalises_each_sample_over_its_last_axes(shape, last, eps):
    x, normalized_shape = 3 * rng().standard_normal(shape) + 2, shape[-last:]
    expected = np.empty(shape)
    for i in np.ndindex(shape[:-last]):
        expected[i] = np.reshape(normalised(x[i].ravel().tolist(), eps), normalized_shape)
    np.testing.assert_allclose(F.layer_norm(x, normalized_shape, eps=eps).numpy(), expected, rtol=1e-11)
    weight, bias = rng().standard_normal((2, *normalized_shape))
    out = F.layer_norm(x, normalized_shape, weight, bias, eps)
    np.testing.assert_allclose(out.numpy(), expected * weight + bias, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("shape", "last"), [((4,), 1), ((3, 4), 1), ((2, 3, 4), 2)])
def test_layer_norm_has_right_first_and_second_derivatives(shape, last):
    x, (weight, bias) = rng().standard_normal(shape), rng().standard_normal((2, *shape[-last:]))
    gradcheck_twice(lambda *inputs: F.layer_norm(inputs[0], shape[-last:], *inputs[1:]), x, weight, bias)
    gradcheck_twice(lambda x: F.layer_norm(x, shape[-last:], eps=0.1), x)
    gradcheck_twice(lambda x, bias: F.layer_norm(x, shape[-last:], bias=bias), x, bias)


def test_equal_elements_become_zeros_with_finite_gradients():
    x = mg.tensor(np.full((2, 3), 7.0), requires_grad=True)
    out = F.layer_norm(x, 3)
    out.backward(rng().standard_normal((2, 3)))
    np.testing.assert_array_equal(out.numpy(), np.zeros((2, 3)))
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_normalisation_keeps_the_dtype_and_the_inputs(dtype):
    x, one = rng().standard_normal((2, 4, 3)).astype(dtype), np.ones(4, dtype)
    before = x.copy()
    for out in (F.layer_norm(x, (4, 3)), F.layer_norm(x, 3), F.group_norm(x, 2), F.group_norm(x, 2, one, one)):
        assert out.dtype == dtype
        tensor = mg.tensor(x, requires_grad=True)
        F.group_norm(tensor, 2).backward(x)
        assert tensor.grad.dtype == dtype
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(one, np.ones(4))


@pytest.mark.parametrize("function", [lambda x: F.layer_norm(x, (4, 3)), lambda x: F.group_norm(x, 2)])
def test_squares_do_not_overflow_in_half_precision(function):
    x = (400 * rng().standard_normal((2, 4, 3)) + 1000).astype(np.float16)
    half, single = (mg.tensor(x, requires_grad=True, dtype=dtype) for dtype in (np.float16, np.float32))
    cotangent = rng().standard_normal(x.shape).astype(np.float16)
    for tensor in (half, single):
        function(tensor).backward(cotangent)
    assert function(half).dtype == np.float16
    np.testing.assert_allclose(function(half).numpy(), function(single).numpy(), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(half.grad.numpy(), single.grad.numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("dtypes", [("f4", "f8", "f4"), ("f4", "f4", "f8"), ("f8", "f4", "f4")])
def test_normalisation_promotes_as_numpy_does(dtypes):
    x, weight, bias = (mg.tensor(np.arange(1.0, 4), requires_grad=True, dtype=dtype) for dtype in dtypes)
    out = F.layer_norm(x, 3, weight, bias)
    assert out.dtype == np.float64
    out.backward(np.ones(3))
    assert [p.grad.dtype for p in (x, weight, bias)] == list(map(np.dtype, dtypes))


@pytest.mark.parametrize("shape", [(0, 4), (0, 4, 2)])
def test_an_empty_batch_is_normalised_to_an_empty_one(shape):
    for function in (lambda x: F.layer_norm(x, shape[1:]), lambda x: F.group_norm(x, 2)):
        x = mg.tensor(np.ones(shape), requires_grad=True)
        out = function(x)
        out.backward(np.ones(shape))
        assert out.shape == x.grad.shape == shape


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: F.layer_norm(np.ones((2, 4)), (3, 4)), r"inputs of shape \(..., 3, 4\), got \(2, 4\)"),
        (lambda: F.layer_norm(np.ones(4), (3, 4)), r"inputs of shape \(..., 3, 4\), got \(4,\)"),
        (lambda: F.layer_norm(1.0, 1), r"inputs of shape \(..., 1\), got \(\)"),
        (lambda: F.layer_norm(np.ones((2, 4)), ()), r"inputs of shape \(..., \), got \(2, 4\)"),
        (
            lambda: F.layer_norm(np.ones((2, 4)), 4, np.ones(1)),
            r"layer_norm expects weight and bias of shape \(4,\) for inputs of \(2, 4\), got \(1,\) and \(4,\)",
        ),
        (
            lambda: F.group_norm(np.ones((2, 4)), 2, None, np.ones((4, 1))),
            r"group_norm expects weight and bias of shape \(4,\) for inputs of \(2, 4\), got \(4,\) and \(4, 1\)",
        ),
        (lambda: F.group_norm(np.ones((2, 4)), 3), r"the second axis, into 3 groups, got shape \(2, 4\)"),
        (lambda: F.group_norm(np.ones((2, 4)), 0), "num_groups to be an integer of at least 1, got 0"),
        (lambda: F.group_norm(np.ones(4), 2), r"into 2 groups, got shape \(4,\)"),
        (lambda: nn.GroupNorm(3, 4), "equal groups, got 4 for 3 groups"),
        (lambda: nn.GroupNorm(2, 4, affine=False)(np.ones((2, 6))), r"\(batch, 4, ...\), got \(2, 6\)"),
        (lambda: nn.GroupNorm(2, 4)(np.ones(4)), r"\(batch, 4, ...\), got \(4,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


# ---------------------------------------------------------------- group_norm


@pytest.mark.parametrize("rest", [(), (3,), (2, 3)])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm_normalises_each_group_of_neighbouring_channels(rest, groups):
    x = rng().standard_normal((3, 4, *rest))
    weight, bias = rng().standard_normal((2, 4))
    expected, size = np.empty(x.shape), 4 // groups
    for sample, result in zip(x, expected, strict=True):
        for start in range(0, 4, size):
            channels = slice(start, start + size)
            result[channels] = np.reshape(normalised(sample[channels].ravel().tolist(), 1e-3), result[channels].shape)
    for channel in range(4):
        expected[:, channel] = expected[:, channel] * weight[channel] + bias[channel]
    np.testing.assert_allclose(F.group_norm(x, groups, weight, bias, 1e-3).numpy(), expected, rtol=1e-11, atol=1e-12)
    gradcheck_twice(lambda *inputs: F.group_norm(inputs[0], groups, *inputs[1:], eps=0.1), x, weight, bias)


# ---------------------------------------------------------------- the layers


def test_the_layers_start_as_the_plain_normalisation():
    x = rng().standard_normal((2, 4, 3))
    for layer, expected in (
        (nn.LayerNorm((4, 3)), F.layer_norm(x, (4, 3))),
        (nn.LayerNorm(3, eps=0.1), F.layer_norm(x, 3, eps=0.1)),
        (nn.LayerNorm(3, elementwise_affine=False), F.layer_norm(x, 3)),
        (nn.GroupNorm(2, 4), F.group_norm(x, 2)),
        (nn.GroupNorm(2, 4, eps=0.1, affine=False), F.group_norm(x, 2, eps=0.1)),
    ):
        np.testing.assert_array_equal(layer(x).numpy(), expected.numpy())


def test_the_layers_have_the_parameters_their_arguments_ask_for():
    shapes = {
        nn.LayerNorm((4, 3)): {"weight": (4, 3), "bias": (4, 3)},
        nn.LayerNorm([4, 3], bias=False): {"weight": (4, 3)},
        nn.LayerNorm(3, elementwise_affine=False): {},
        nn.GroupNorm(2, 4): {"weight": (4,), "bias": (4,)},
        nn.GroupNorm(2, 4, affine=False): {},
    }
    for layer, expected in shapes.items():
        assert {name: p.shape for name, p in layer.named_parameters()} == expected
        assert all(p.dtype == np.float32 for p in layer.parameters())
    assert nn.GroupNorm(2, 4, dtype=np.float64).weight.dtype == np.float64
    assert repr(nn.LayerNorm((4, 3))) == "LayerNorm((4, 3), eps=1e-05)  # 24 parameters"


def test_a_network_with_normalisation_has_the_gradients_of_numerical_differentiation():
    model = nn.Sequential(
        nn.Linear(5, 4, dtype=np.float64), nn.GroupNorm(2, 4, dtype=np.float64), nn.Tanh(),
        nn.LayerNorm(4, dtype=np.float64),
    )
    gradcheck(model, rng().standard_normal((3, 5)), model=model)


# ---------------------------------------------------------------- sizes

SIZES = {
    np.float16: [1e-3, 300.0, 6e4],
    np.float32: [1e-36, 1e-20, 1e-10, 1e13, 1e19, 1e25, 3.4e38],
    np.float64: [1e-300, 1e-160, 1e80, 1e153, 1e300, 1.7e308],
}
NORMS = {
    "layer": (lambda x, weight, bias, eps: F.layer_norm(x, 6, weight, bias, eps), (4, 5, 6), (-1,), (6,)),
    "layer, two axes": (
        lambda x, weight, bias, eps: F.layer_norm(x, (5, 6), weight, bias, eps), (4, 5, 6), (-2, -1), (5, 6)
    ),
    "group": (lambda x, weight, bias, eps: F.group_norm(x, 1, weight, bias, eps), (4, 5, 6), (-2, -1), (5, 1)),
    "batch": (lambda x, weight, bias, eps: F.batch_norm(x, None, None, weight, bias, eps=eps), (7, 6), (0,), (6,)),
    "batch of signals": (
        lambda x, weight, bias, eps: F.batch_norm(x, None, None, weight, bias, True, eps=eps), (4, 5, 6), (0, 2), (5, 1)
    ),
}


@pytest.mark.parametrize(("eps", "offset", "create_graph"), [(0.0, 0.5, False), (0.0, 0.0, True), (1e-5, 0.5, True)])
@pytest.mark.parametrize(("dtype", "size"), [(dtype, size) for dtype, sizes in SIZES.items() for size in sizes])
@pytest.mark.parametrize("kind", NORMS)
def test_values_of_any_size_are_normalised_as_if_they_were_near_one(kind, dtype, size, offset, eps, create_graph):
    norm, shape, axes, affine = NORMS[kind]
    x = (size * (offset + rng().uniform(-0.5, 0.5, shape))).astype(dtype)
    scale, shift = (a.astype(dtype) for a in rng().uniform(0.5, 1, (2, *affine)))
    cotangent = rng().standard_normal(shape).astype(dtype)
    given = [x, *(a.reshape(-1) if affine[-1] == 1 else a for a in (scale, shift))]
    tensors = [mg.tensor(a, requires_grad=True) for a in given]
    out = norm(*tensors, eps)
    out.backward(mg.tensor(cotangent), create_graph=create_graph)

    unit = 2.0 ** np.floor(np.log2(max(size, eps**0.5)))
    near = mg.tensor(x.astype(float) / unit, requires_grad=True)
    weight, bias = (mg.tensor(a.astype(float), requires_grad=True) for a in (scale, shift))
    centered = near - near.mean(axes, keepdims=True)
    normal = centered / ((centered**2).mean(axes, keepdims=True) + eps / unit / unit) ** 0.5
    expected = normal * weight + bias
    expected.backward(cotangent.astype(float))
    tolerance = {np.float16: 6e-3, np.float32: 1e-4, np.float64: 1e-10}[dtype]
    with np.errstate(over="ignore", under="ignore"):
        pairs = [(out, expected.data), (tensors[0].grad, (near.grad.data / unit).astype(dtype))]
        pairs += [(tensors[1].grad, weight.grad.data.reshape(tensors[1].shape)), (tensors[2].grad, bias.grad.data)]
    for found, right in pairs:
        assert found.dtype == dtype
        atol = tolerance * float(abs(right).max()) + 8 * float(np.finfo(dtype).smallest_subnormal)
        np.testing.assert_allclose(found.data.ravel(), np.ravel(right), rtol=tolerance, atol=atol)


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("value", [3e38, 1e25, 1e4 + 0.1, 123.4, 0.1, 7e-30, 0.0])
def test_equal_values_of_any_size_become_zeros_with_the_slope_of_their_deviation(kind, value):
    norm, shape, axes, _ = NORMS[kind]
    cotangent = rng().standard_normal(shape)
    for dtype in (np.float32, np.float64):
        x = mg.tensor(np.full(shape, value, dtype), requires_grad=True)
        out = norm(x, None, None, 1e-5)
        out.backward(cotangent.astype(dtype))
        rounding = np.finfo(dtype).eps * value / 1e-5**0.5  # of the mean, in deviations
        np.testing.assert_allclose(out.data, 0, atol=8 * rounding if rounding < 1 / 1024 else 0)
        expected = (cotangent - cotangent.mean(axes, keepdims=True)) / 1e-5**0.5
        np.testing.assert_allclose(x.grad.data, expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("offset", [1e3, 1e5, 1e6, 1e7])
def test_a_mean_far_larger_than_the_deviations_costs_few_digits_or_none(kind, offset):
    norm, shape, axes, _ = NORMS[kind]
    x = (offset + 3 * rng().standard_normal(shape)).astype(np.float32)
    exact = x.astype(float)
    expected = (exact - exact.mean(axes, keepdims=True)) / np.sqrt(exact.var(axes, keepdims=True) + 1e-5)
    np.testing.assert_allclose(norm(x, None, None, 1e-5).data, expected, rtol=1e-5, atol=2e-4)


def test_an_infinite_value_spoils_its_own_group_alone():
    x = np.array([[np.inf, 1.0, 2.0], [1e25, -1e25, 1e25], [1.0, 2.0, 3.0]], np.float32)
    with np.errstate(invalid="ignore"):
        out = F.layer_norm(x, 3, eps=0.0).data
    assert np.isnan(out[0]).all()
    np.testing.assert_allclose(out[1:], [[0.5**0.5, -(2**0.5), 0.5**0.5], [-(1.5**0.5), 0, 1.5**0.5]], rtol=1e-5)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: nn.BatchNorm1d(2, eps=-1.0), "BatchNorm1d expects eps to be a number from 0 to less than inf"),
        (lambda: nn.BatchNorm2d(4, np.dtype("f4")), r"BatchNorm2d expects eps to be .*, got dtype\('float32'\)"),
        (lambda: nn.LayerNorm(2, eps=np.nan), "LayerNorm expects eps to be a number from 0 to less than inf, got nan"),
        (lambda: nn.GroupNorm(1, 2, eps=np.inf), "GroupNorm expects eps to be .* from 0 to less than inf, got inf"),
        (lambda: F.layer_norm(np.ones(2), 2, eps=-1.0), "layer_norm expects eps to be a number from 0 to less"),
        (lambda: F.group_norm(np.ones((1, 2)), 1, eps=-1.0), "group_norm expects eps to be a number from 0 to less"),
        (lambda: F.batch_norm(np.ones((2, 2)), None, None, eps=-1.0), "batch_norm expects eps to be a number"),
        (lambda: nn.BatchNorm2d(2, momentum=-0.5), "BatchNorm2d expects momentum to be a number from 0 to 1, got -0.5"),
        (lambda: nn.BatchNorm2d(2, momentum=np.nan), "BatchNorm2d expects momentum to be a number from 0 to 1"),
        (lambda: F.batch_norm(np.ones((2, 2)), None, None, momentum=2), "batch_norm expects momentum to be"),
        (lambda: nn.BatchNorm1d(-2), "BatchNorm1d expects num_features to be an integer of at least 0, got -2"),
        (lambda: nn.BatchNorm1d(2.5), "BatchNorm1d expects num_features to be an integer of at least 0, got 2.5"),
        (lambda: nn.LayerNorm(2.5), "a shape to normalise over expects its lengths to be an integer"),
        (lambda: F.group_norm(np.ones((1, 4)), 2.0), "group_norm expects num_groups to be an integer of at least 1"),
        (lambda: F.group_norm(np.ones((1, 4)), "2"), "group_norm expects num_groups to be an integer of at least 1"),
        (lambda: nn.GroupNorm(2.0, 4), "GroupNorm expects num_groups to be an integer of at least 0, got 2.0"),
    ],
)
def test_settings_out_of_range_are_named(make, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        make()


def test_sizes_may_be_integers_of_numpy():
    three, four = np.int64(3), np.uint8(4)
    assert repr(nn.LayerNorm(three)) == repr(nn.LayerNorm(3))
    assert repr(nn.LayerNorm(np.array([3, 4]))) == repr(nn.LayerNorm((3, 4)))
    assert repr(nn.GroupNorm(np.int64(2), four)) == repr(nn.GroupNorm(2, 4))
    assert repr(nn.BatchNorm1d(three)) == repr(nn.BatchNorm1d(3))
    assert F.group_norm(np.ones((1, 4)), np.int64(2)).shape == (1, 4)
    assert repr(nn.Linear(three, four)) == repr(nn.Linear(3, 4))
    assert repr(nn.Embedding(three, four, np.int64(-1))) == repr(nn.Embedding(3, 4, -1))
    x = rng().standard_normal((4, 3, 2)).astype(np.float32)
    for layer in (nn.LayerNorm, lambda n, eps: nn.GroupNorm(1, 3, eps=eps), lambda n, eps: nn.BatchNorm1d(3, eps=eps)):
        found, expected = layer(2, eps=np.float64(1e-3))(x), layer(2, eps=1e-3)(x)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found.data, expected.data)
    assert F.layer_norm(np.arange(6).reshape(2, 3), 3).dtype == np.float64
