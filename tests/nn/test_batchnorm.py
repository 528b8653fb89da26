import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.testing import gradcheck
from minigrad.testing.layouts import LAYOUTS, repeated
from nn import functional as F
from nn.functional import batchnorm
from tests.nn.test_functional import gradcheck_twice

seeds = st.integers(0, 2**32 - 1)
SHAPES = [(2, 1), (5, 3), (4, 3, 2), (2, 3, 2, 5), (1, 2, 2, 1, 3)]


def rng():
    return np.random.default_rng(6)


def normalised(x, mean, var, eps):
    """The definition with a mean and a variance for each channel."""
    mean, var = (np.reshape(p, (1, -1, *[1] * (x.ndim - 2))) for p in (mean, var))
    return (x - mean) / np.sqrt(var + eps)


def per_channel(x):
    """The values of each channel in a row: (channels, count)."""
    return np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)


# ---------------------------------------------------------------- values


@given(seed=seeds, shape=st.sampled_from(SHAPES), eps=st.sampled_from([1e-5, 0.5]))
def test_batch_norm_normalises_each_channel_by_the_batch(seed, shape, eps):
    random = np.random.default_rng(seed)
    x, (weight, bias) = 3 * random.standard_normal(shape) + 2, random.standard_normal((2, shape[1]))
    expected = normalised(x, per_channel(x).mean(1), per_channel(x).var(1), eps)
    np.testing.assert_allclose(F.batch_norm(x, None, None, eps=eps).numpy(), expected, rtol=1e-9, atol=1e-11)
    along = (1, -1, *[1] * (len(shape) - 2))
    out = F.batch_norm(x, None, None, weight, bias, eps=eps).numpy()
    np.testing.assert_allclose(out, expected * weight.reshape(along) + bias.reshape(along), rtol=1e-9, atol=1e-11)


def test_a_normalised_batch_has_mean_zero_and_variance_one():
    out = per_channel(F.batch_norm(7 * rng().standard_normal((20, 3, 4, 4)) - 5, None, None, eps=0.0).numpy())
    np.testing.assert_allclose(out.mean(1), np.zeros(3), atol=1e-13)
    np.testing.assert_allclose(out.var(1), np.ones(3), rtol=1e-13)


@pytest.mark.parametrize("momentum", [0.0, 0.1, 1.0])
def test_training_moves_the_estimates_towards_the_mean_and_the_unbiased_variance(momentum):
    x, mean, var = rng().standard_normal((4, 3, 2)), np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    expected_mean = (1 - momentum) * mean + momentum * per_channel(x).mean(1)
    expected_var = (1 - momentum) * var + momentum * per_channel(x).var(1, ddof=1)
    out = F.batch_norm(x, mean, var, training=True, momentum=momentum)
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-13)
    np.testing.assert_allclose(var, expected_var, rtol=1e-13)
    np.testing.assert_array_equal(out.numpy(), F.batch_norm(x, None, None).numpy())  # by the batch all the same


@given(seed=seeds, shape=st.sampled_from([*SHAPES, (1, 3), (0, 3), (0, 2, 4)]), eps=st.sampled_from([1e-5, 0.5]))
def test_evaluation_uses_the_estimates_and_leaves_them_alone(seed, shape, eps):
    random = np.random.default_rng(seed)
    x, (mean, bias, weight) = random.standard_normal(shape), random.standard_normal((3, shape[1]))
    var, along = random.uniform(0.5, 2, shape[1]), (1, -1, *[1] * (len(shape) - 2))
    before = mean.copy(), var.copy()
    expected = normalised(x, mean, var, eps)
    out = F.batch_norm(x, mean, var, eps=eps).numpy()
    np.testing.assert_allclose(out, expected, rtol=1e-9, atol=1e-11)
    out = F.batch_norm(x, mean, var, weight, bias, eps=eps).numpy()
    np.testing.assert_allclose(out, expected * weight.reshape(along) + bias.reshape(along), rtol=1e-9, atol=1e-11)
    np.testing.assert_array_equal((mean, var), before)


def test_equal_values_become_zeros_with_finite_gradients():
    x = mg.tensor(np.full((4, 3), 7.0), requires_grad=True)
    out = F.batch_norm(x, None, None)
    out.backward(rng().standard_normal((4, 3)))
    np.testing.assert_array_equal(out.numpy(), np.zeros((4, 3)))
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("m", [3, 1000, 100_000, 100_001])
@pytest.mark.parametrize("offset", [1e2, 1e5])
def test_a_mean_far_larger_than_the_deviations_costs_no_more_than_rounding_it_does(m, offset):
    # In float32 the mean can be stored to half a unit in the last place only, which moves a normalised value by
    # eps / 2 * mean / std. Sums of 1024 rows at a time lose a few more, whatever m is: 8 in all.
    x = (rng().standard_normal((m, 2)) + offset).astype(np.float32)
    exact, (mean, var) = x.astype(np.float64), (np.zeros(2, np.float32), np.ones(2, np.float32))
    out = F.batch_norm(x, mean, var, training=True, momentum=1.0).numpy()
    error = 8 * np.finfo(np.float32).eps * offset / exact.std(0).min()
    np.testing.assert_allclose(out, normalised(exact, exact.mean(0), exact.var(0), 1e-5), rtol=1e-5, atol=error)
    np.testing.assert_allclose(mean, exact.mean(0), rtol=8 * np.finfo(np.float32).eps)
    np.testing.assert_allclose(var, exact.var(0, ddof=1), rtol=1e-4 + error**2)
    estimated = F.batch_norm(x, mean, var).numpy()
    np.testing.assert_allclose(
        estimated, normalised(exact, exact.mean(0), exact.var(0, ddof=1), 1e-5), rtol=1e-4, atol=2 * error
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_work_done_in_several_blocks_gives_the_same(shape, monkeypatch):
    x, weight, cotangent = rng().standard_normal(shape), np.arange(1.0, shape[1] + 1), rng().standard_normal(shape)

    def results():
        tensors = [mg.tensor(p, requires_grad=True) for p in (x, weight, -weight)]
        out = F.batch_norm(tensors[0], None, None, *tensors[1:])
        out.backward(cotangent)
        return [out.numpy(), *(tensor.grad.numpy() for tensor in tensors)]

    whole = results()
    for block in (1, 2 * shape[1], 7):
        monkeypatch.setattr(batchnorm, "BLOCK", block)
        monkeypatch.setattr(batchnorm, "SUMS", 1)  # rows as they are, not several side by side
        for part, expected in zip(results(), whole, strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("shape", [(64, 32, 14, 14), (3, 128, 7, 7), (31, 48, 7, 7), (256, 1024), (97, 1024), (2, 5)])
def test_rows_joined_for_speed_change_no_bit(shape, monkeypatch):
    x, weight, cotangent = (rng().standard_normal(s).astype(np.float32) for s in (shape, shape[1], shape))

    def results():
        tensors = [mg.tensor(p, requires_grad=True) for p in (x, weight, -weight)]
        out = F.batch_norm(tensors[0], None, None, *tensors[1:])
        out.backward(cotangent)
        return [out.numpy(), *(tensor.grad.numpy() for tensor in tensors)]

    joined = results()
    monkeypatch.setattr(batchnorm, "JOINED", 1)
    for part, expected in zip(results(), joined, strict=True):
        np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("m", [1, 6, 2048, 2049, 70_000])
@pytest.mark.parametrize("c", [1, 3, 5000])
def test_blocks_are_wide_rows_that_cover_all_values_once(m, c):
    m = min(m, 2_000_000 // c)
    x, channels = np.arange(m * c).reshape(m, c), np.arange(c)
    covered = []
    for wide, block in batchnorm.blocks((channels,), x):
        assert wide.shape == block.shape[1:]
        np.testing.assert_array_equal(wide, block[0] % c)
        covered.append(block.ravel())
    np.testing.assert_array_equal(np.concatenate(covered), x.ravel())
    assert all(part.size <= max(batchnorm.BLOCK, c) for part in covered)


# ---------------------------------------------------------------- derivatives


@pytest.mark.parametrize("shape", [(2, 1), (5, 3), (3, 2, 2), (2, 3, 2, 2)])
@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_batch_norm_has_right_first_and_second_derivatives(shape, eps):
    x, (weight, bias) = distinct(shape), rng().standard_normal((2, shape[1]))
    gradcheck_twice(lambda *inputs: F.batch_norm(inputs[0], None, None, *inputs[1:], eps=eps), x, weight, bias)
    gradcheck_twice(lambda x: F.batch_norm(x, None, None, eps=eps), x)
    gradcheck_twice(lambda x, bias: F.batch_norm(x, None, None, bias=bias, eps=eps), x, bias)


def distinct(shape):
    """Numbers whose channels vary by about one, so that numerical derivatives are accurate."""
    return rng().permuted(np.linspace(-2, 2, np.prod(shape)).reshape(shape), axis=0)


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 2, 2)])
def test_evaluation_has_right_first_and_second_derivatives(shape):
    x, (mean, weight, bias) = rng().standard_normal(shape), rng().standard_normal((3, 3))
    var = np.array([0.5, 1.0, 2.0])
    gradcheck_twice(lambda *inputs: F.batch_norm(inputs[0], mean, var, *inputs[1:]), x, weight, bias)


@pytest.mark.parametrize("needed", ["x", "weight", "bias"])
def test_what_needs_no_gradient_gets_none_and_the_rest_the_same_as_with_all(needed):
    names, arrays = ["x", "weight", "bias"], [rng().standard_normal((4, 3)), np.ones(3), np.arange(3.0)]
    cotangent, found = rng().standard_normal((4, 3)), []
    for only in (True, False):
        inputs = {
            name: mg.tensor(p, requires_grad=name == needed or not only) for name, p in zip(names, arrays, strict=True)
        }
        F.batch_norm(inputs["x"], None, None, inputs["weight"], inputs["bias"]).backward(cotangent)
        found.append({name: p.grad for name, p in inputs.items() if p.grad is not None})
    assert list(found[0]) == [needed]
    np.testing.assert_array_equal(found[0][needed].numpy(), found[1][needed].numpy())


def test_a_second_backward_pass_with_another_cotangent_has_gradients_of_its_own():
    x, weight = mg.tensor(distinct((4, 3)), requires_grad=True), mg.tensor(np.ones(3), requires_grad=True)
    out = F.batch_norm(x, None, None, weight)
    cotangent = rng().standard_normal((4, 3))
    out.backward(cotangent, retain_graph=True)
    first = [p.grad.numpy().copy() for p in (x, weight)]
    for p in (x, weight):
        p.grad = None
    out.backward(-2 * cotangent)
    for p, gradient in zip((x, weight), first, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), -2 * gradient, rtol=1e-12, atol=1e-14)


# ---------------------------------------------------------------- memory and dtypes


def with_last(x, *axes):
    """The same numbers, these axes last in memory."""
    there = range(-len(axes), 0)
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, axes, there)), there, axes) if x.ndim > 1 else x.copy()


VIEWS = {
    **LAYOUTS,
    "repeated": repeated,
    "channels last": lambda x: with_last(x, 1),
    "samples and channels last": lambda x: with_last(x, 0, 1),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 2), (2, 3, 2, 5)])
@pytest.mark.parametrize("layout", VIEWS)
def test_memory_layouts_change_nothing_and_no_input_is_written_into(layout, shape, training):
    arrays = [3 * rng().standard_normal(shape) + 1, np.arange(1.0, 4), np.arange(3.0), rng().standard_normal(shape)]
    views = [VIEWS[layout](array) for array in arrays]
    before = [view.copy() for view in views]
    found = []
    for x, weight, bias, cotangent in (views, before):  # in this layout, and the same numbers in C order
        tensors = [mg.Tensor(p, requires_grad=True) for p in (x, weight, bias)]
        mean, var = np.zeros(3), np.ones(3)
        out = F.batch_norm(tensors[0], mean, var, *tensors[1:], training=training)
        out.backward(cotangent)
        found.append([out.numpy(), mean, var, *(tensor.grad.numpy() for tensor in tensors)])
    for part, expected in zip(*found, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-11, atol=1e-12)
    for view, values in zip(views, before, strict=True):
        np.testing.assert_array_equal(view, values)


def test_results_and_gradients_of_a_batch_have_their_channels_last_in_memory():
    x = mg.tensor(rng().standard_normal((2, 3, 4, 5)), requires_grad=True)
    out = F.batch_norm(x, None, None)
    out.backward(rng().standard_normal(out.shape))
    assert out.data.transpose(0, 2, 3, 1).flags.c_contiguous
    assert x.grad.data.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_batch_norm_keeps_the_dtype(dtype, training):
    arrays = [rng().standard_normal((4, 3)), np.ones(3), np.zeros(3)]
    x, *rest = (mg.tensor(p, requires_grad=True, dtype=dtype) for p in arrays)
    for parameters in (rest, []):
        mean, var = np.zeros(3, dtype), np.ones(3, dtype)
        out = F.batch_norm(x, mean, var, *parameters, training=training)
        out.backward(np.ones((4, 3), dtype))
        assert {out.dtype, mean.dtype, var.dtype, x.grad.dtype} == {np.dtype(dtype)}
    assert [p.grad.dtype for p in rest] == [dtype, dtype]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtypes", [("f4", "f8", "f4"), ("f8", "f4", "f4"), ("f4", "f4", "f8")])
def test_batch_norm_promotes_as_numpy_does_and_its_gradients_fit_the_inputs(dtypes, training):
    arrays = [rng().standard_normal((4, 3)), np.ones(3), np.zeros(3)]
    tensors = [mg.tensor(p, requires_grad=True, dtype=dtype) for p, dtype in zip(arrays, dtypes, strict=True)]
    out = F.batch_norm(tensors[0], np.zeros(3, "f4"), np.ones(3, "f4"), *tensors[1:], training=training)
    assert out.dtype == np.float64
    out.backward(np.ones((4, 3)))
    assert [p.grad.dtype for p in tensors] == list(map(np.dtype, dtypes))


def test_squares_do_not_overflow_in_half_precision():
    x = (400 * rng().standard_normal((6, 3, 2)) + 1000).astype(np.float16)
    cotangent = rng().standard_normal(x.shape).astype(np.float16)
    found = []
    for dtype in (np.float16, np.float32):
        tensor, weight = (mg.tensor(p, requires_grad=True, dtype=dtype) for p in (x, np.arange(1.0, 4)))
        out = F.batch_norm(tensor, None, None, weight)
        out.backward(cotangent.astype(dtype))
        found.append([out.numpy(), tensor.grad.numpy(), weight.grad.numpy()])
    for half, single in zip(*found, strict=True):
        assert half.dtype == np.float16
        np.testing.assert_allclose(half, single, rtol=1e-3, atol=1e-5)


# ---------------------------------------------------------------- the layers


def test_the_layers_train_on_batches_and_evaluate_by_their_estimates():
    layer = nn.BatchNorm2d(3, eps=0.1, momentum=0.3, dtype=np.float64)
    x, (weight, bias) = rng().standard_normal((4, 3, 2, 2)), rng().standard_normal((2, 3))
    layer.weight.data[...], layer.bias.data[...] = weight, bias
    mean, var = np.zeros(3), np.ones(3)
    for _ in range(2):
        expected = F.batch_norm(x, mean, var, weight, bias, training=True, momentum=0.3, eps=0.1)
        np.testing.assert_array_equal(layer(x).numpy(), expected.numpy())
    np.testing.assert_array_equal(layer.running_mean, mean)
    np.testing.assert_array_equal(layer.running_var, var)
    expected = F.batch_norm(x, mean, var, weight, bias, eps=0.1)
    np.testing.assert_array_equal(layer.eval()(x).numpy(), expected.numpy())
    np.testing.assert_array_equal(layer.running_mean, mean)
    assert layer.num_batches_tracked == 2


def test_without_a_momentum_the_estimates_are_the_means_over_all_batches():
    layer, batches = nn.BatchNorm1d(3, momentum=None, dtype=np.float64), rng().standard_normal((4, 5, 3))
    for batch in batches:
        layer(batch)
    np.testing.assert_allclose(layer.running_mean, batches.mean((0, 1)), rtol=1e-12)
    np.testing.assert_allclose(layer.running_var, batches.var(1, ddof=1).mean(0), rtol=1e-12)


def test_the_estimates_of_half_precision_are_means_over_all_batches_however_many():
    layer, random = nn.BatchNorm1d(1, momentum=None, dtype=np.float16), rng()
    means = []
    for i in range(2000):
        batch = (random.standard_normal((8, 1)) + (i >= 1000)).astype(np.float16)
        means.append(batch.mean(dtype=float))
        assert layer(batch).dtype == np.float16
    np.testing.assert_allclose(layer.running_mean, np.mean(means), rtol=1e-3)
    assert layer.eval()(batch).dtype == np.float16


def test_without_estimates_the_batch_is_used_in_evaluation_too():
    layer, x = nn.BatchNorm1d(3, track_running_stats=False, dtype=np.float64), rng().standard_normal((5, 3))
    trained = layer(x).numpy()
    np.testing.assert_array_equal(layer.eval()(x).numpy(), trained)
    assert not list(layer.named_buffers())


def test_the_layers_have_the_parameters_and_buffers_their_arguments_ask_for():
    both = {"weight", "bias"}
    estimates = {"running_mean", "running_var", "num_batches_tracked"}
    for layer, parameters, buffers in (
        (nn.BatchNorm1d(3), both, estimates),
        (nn.BatchNorm2d(3, affine=False), set(), estimates),
        (nn.BatchNorm2d(3, track_running_stats=False), both, set()),
    ):
        assert {name for name, _ in layer.named_parameters()} == parameters
        assert {name for name, _ in layer.named_buffers()} == buffers
        for name, array in layer.state_dict().items():
            count = name == "num_batches_tracked"
            assert (array.shape, array.dtype) == (() if count else (3,), np.int64 if count else np.float32)
            assert (array == (1 if name in ("weight", "running_var") else 0)).all()
    assert nn.BatchNorm1d(3, dtype=np.float64).running_var.dtype == np.float64
    assert repr(nn.BatchNorm2d(3, momentum=None)) == "BatchNorm2d(3, eps=1e-05, momentum=None)  # 6 parameters"


@pytest.mark.parametrize(("layer", "shapes"), [(nn.BatchNorm1d, [(4, 3), (4, 3, 2)]), (nn.BatchNorm2d, [(4, 3, 2, 2)])])
def test_a_layer_has_the_gradients_of_numerical_differentiation(layer, shapes):
    for shape in shapes:
        model = layer(3, dtype=np.float64)
        gradcheck(model, rng().standard_normal(shape), model=model)
        gradcheck(model.eval(), rng().standard_normal(shape), model=model)


# ---------------------------------------------------------------- errors

X = np.ones((4, 3))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: F.batch_norm(X, np.zeros(3), np.ones(2)),
            "batch_norm expects floating (n, channels, ...) and one number for each channel, "
            "got float64 of shape (4, 3) and [(3,), (2,)]",
        ),
        (lambda: F.batch_norm(X, None, None, np.ones((3, 1))), "got float64 of shape (4, 3) and [(3, 1)]"),
        (lambda: F.batch_norm(X, None, None, None, mg.tensor(1.0)), "got float64 of shape (4, 3) and [()]"),
        (lambda: F.batch_norm(X[0], None, None), "got float64 of shape (3,) and []"),
        (lambda: F.batch_norm(X.astype(int), np.zeros(3), np.ones(3)), "got int64 of shape (4, 3) and [(3,), (3,)]"),
        (
            lambda: F.batch_norm(X[:1], None, None),
            "batch_norm needs more than one value a channel to train on, got shape (1, 3)",
        ),
        (lambda: nn.BatchNorm1d(3)(X[:1]), "more than one value a channel to train on, got shape (1, 3)"),
        (
            lambda: nn.BatchNorm1d(3)(np.ones((4, 2))),
            "BatchNorm1d expects inputs of shape (n, 3[, length]), got (4, 2)",
        ),
        (lambda: nn.BatchNorm1d(3)(np.ones((4, 3, 2, 2))), "(n, 3[, length]), got (4, 3, 2, 2)"),
        (lambda: nn.BatchNorm1d(3)(np.ones(3)), "(n, 3[, length]), got (3,)"),
        (lambda: nn.BatchNorm2d(3)(X), "BatchNorm2d expects inputs of shape (n, 3, h, w), got (4, 3)"),
        (lambda: nn.BatchNorm2d(3)(np.ones((4, 2, 3, 3))), "(n, 3, h, w), got (4, 2, 3, 3)"),
    ],
)
def test_what_does_not_fit_is_said(call, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call()


@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_refused_batch_leaves_the_estimates_alone(momentum):
    layer = nn.BatchNorm1d(3, momentum=momentum)
    with pytest.raises(ValueError, match="more than one value"):
        layer(X[:1])
    assert (layer.running_mean == 0).all()
    assert (layer.running_var == 1).all()
    assert layer.num_batches_tracked == 0


def test_a_gradient_that_is_changed_between_two_passes_is_used_as_it_is_then():
    x, weight = np.arange(6.0).reshape(3, 2) ** 2, mg.tensor(np.ones(2), requires_grad=True)
    out = F.batch_norm(x, None, None, weight, training=True)
    gradient = mg.tensor(np.zeros((3, 2)))
    for row in range(3):
        gradient[row, 0] = 1.0
        weight.grad = None
        out.backward(gradient, retain_graph=True)
        gradient[row, 0] = 0.0
        np.testing.assert_allclose(weight.grad.data, [out.data[row, 0], 0], rtol=1e-12)


def test_running_estimates_that_cannot_be_updated_in_place_are_refused():
    with pytest.raises(TypeError, match="updates arrays in place, got running estimates in a Tensor"):
        F.batch_norm(np.ones((4, 2)), mg.tensor(np.zeros(2)), np.ones(2), training=True)


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize("size", [1e-18, 1.0, 1e9, 1e13, 1e18])
def test_running_estimates_are_those_of_values_of_any_size(size):
    x = (size * rng().standard_normal((50, 3, 2)) + size).astype(np.float32)
    mean, var = np.zeros(3, np.float32), np.zeros(3, np.float32)
    F.batch_norm(x, mean, var, training=True, momentum=1.0, eps=0.0)
    np.testing.assert_allclose(mean, x.astype(float).mean((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(var, x.astype(float).var((0, 2), ddof=1), rtol=1e-5)


def test_a_variance_beyond_its_dtype_is_infinite_and_the_batch_is_normalised_all_the_same():
    layer, x = nn.BatchNorm1d(2), np.array([[1e25, 1.0], [-1e25, 3.0]], np.float32)
    np.testing.assert_allclose(layer(x).data, [[1, -1], [-1, 1]], rtol=1e-4)
    np.testing.assert_allclose(layer.running_var, [np.inf, 0.9 + 0.1 * 2], rtol=1e-6)


# ---------------------------------------------------------------- computed again


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_batch_is_counted_once_also_when_it_is_computed_again(momentum, dtype, workers):
    class Checkpointed(nn.Module):
        def __init__(self, *wrappers):
            self.body = nn.Sequential(nn.BatchNorm1d(3, momentum=momentum, dtype=dtype), nn.Dropout(0.5))
            self.wrappers = wrappers

        def forward(self, x):
            f = self.body
            for wrapper in self.wrappers:
                f = wrapper(f)
            return f(x)

    def trained(*wrappers):
        nn.manual_seed(0)
        model = Checkpointed(*wrappers)
        learner = nn.Learner(model, nn.optim.SGD(model.parameters(), lr=0.1), workers=workers)
        data = rng().standard_normal((10, 3)).astype(dtype), np.arange(10) % 3
        learner.fit(nn.DataLoader(data, 5, shuffle=True), epochs=2)
        return model.state_dict()

    once = trained()
    assert once["body.0.num_batches_tracked"] == 4
    for wrappers in ([mg.checkpoint], [mg.checkpoint, lambda f: mg.checkpoint(lambda x: f(x) * 1.0)]):
        for name, array in trained(*wrappers).items():
            np.testing.assert_array_equal(array, once[name], err_msg=name)


@pytest.mark.parametrize("shape", [(1, 3, 0), (2, 3, 0), (0, 3, 4)])
@pytest.mark.parametrize("layer", [nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False)])
def test_what_is_empty_stays_empty_and_is_not_taken_note_of(layer, shape):
    before = layer.state_dict()
    out = layer(np.zeros(shape, np.float32))
    assert out.shape == shape
    out.sum().backward()
    for name in ("running_mean", "running_var"):
        if name in before:
            np.testing.assert_array_equal(layer.state_dict()[name], before[name])
