import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.graph import sweep
from minigrad.testing import gradcheck
from minigrad.testing.layouts import LAYOUTS
from nn import functional as F

seeds = st.integers(0, 2**32 - 1)
REDUCTIONS = ["none", "mean", "sum"]


def gradcheck_twice(function, *inputs, seed=0):
    """Check the gradients of `function`, and the gradients of those, which may come from another formula."""
    gradcheck(function, *inputs, seed=seed)
    cotangent = mg.tensor(np.random.default_rng(seed).standard_normal(function(*inputs).shape))

    def gradients(*inputs, create_graph=True):
        with mg.enable_grad():
            tensors = [+x if x.requires_grad else mg.tensor(x, requires_grad=True) for x in inputs]
            found = sweep([(function(*tensors), cotangent)], create_graph=create_graph, inputs=tensors)
        return mg.concatenate([found[x].reshape(-1) for x in tensors])

    constants = [mg.tensor(x) for x in inputs]
    plain, recorded = gradients(*constants, create_graph=False), gradients(*constants)
    np.testing.assert_allclose(recorded.data, plain.data, rtol=1e-10, atol=1e-12)
    gradcheck(gradients, *inputs, seed=seed, rtol=1e-5)


# ---------------------------------------------------------------- linear


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(4,), (1, 4), (2, 4), (7, 4), (2, 3, 4), (0, 4)])
def test_linear_has_right_values_and_first_and_second_derivatives(shape, bias):
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(shape), rng.standard_normal((3, 4))]
    if bias:
        inputs.append(rng.standard_normal(3))
    expected = np.einsum("...i,oi->...o", *inputs[:2]) + (inputs[2] if bias else 0)
    np.testing.assert_allclose(F.linear(*inputs).numpy(), expected, rtol=1e-12)
    gradcheck_twice(F.linear, *inputs)


@pytest.mark.parametrize("dtypes", [(np.float32, np.float32), (np.float32, np.float64), (np.float64, np.float32)])
def test_linear_promotes_as_numpy_does_and_changes_no_input(dtypes):
    x, weight, bias = np.ones((2, 4), dtypes[0]), np.ones((3, 4), dtypes[0]), np.ones(3, dtypes[1])
    out = F.linear(x, weight, bias)
    assert out.dtype == np.result_type(*dtypes)
    np.testing.assert_array_equal(out.data, np.full((2, 3), 5.0))
    assert (x == 1).all()
    assert (bias == 1).all()


def test_linear_with_inputs_that_need_no_gradient_computes_none_for_them():
    x = mg.tensor(np.ones((2, 4)))
    weight = mg.tensor(np.ones((3, 4)), requires_grad=True)
    F.linear(x, weight).sum().backward()
    assert x.grad is None
    np.testing.assert_array_equal(weight.grad.data, np.full((3, 4), 2.0))


# ---------------------------------------------------------------- softmax


@given(seed=seeds, axis=st.integers(-3, 2), scale=st.sampled_from([1.0, 1e4, 1e30, 1e308]))
def test_softmax_is_the_normalised_exponential_along_its_axis(seed, axis, scale):
    x = scale * np.random.default_rng(seed).integers(-1, 2, (2, 3, 4))
    largest = x == x.max(axis, keepdims=True)
    if scale == 1:
        expected = np.exp(x) / np.exp(x).sum(axis, keepdims=True)
    else:  # all others are less likely by a factor of exp(-scale)
        expected = largest / largest.sum(axis, keepdims=True)
    np.testing.assert_allclose(F.softmax(x, axis).numpy(), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_has_right_first_and_second_derivatives(axis):
    gradcheck_twice(lambda x: F.softmax(x, axis), np.random.default_rng(0).standard_normal((2, 3, 4)))


# ---------------------------------------------------------------- dropout

ps = st.floats(0, 1)


@given(p=ps, seed=seeds)
def test_dropout_keeps_the_mean_and_has_the_variance_of_its_rounded_probability(p, seed):
    n = 20_000
    p = round(p * 65536) / 65536
    out = F.dropout(np.ones(n), p, generator=np.random.default_rng(seed)).data
    if p == 1:
        assert (out == 0).all()
        return
    kept = np.count_nonzero(out)
    np.testing.assert_array_equal(out[out != 0], np.full(kept, 1 / (1 - p)))
    # A share of n draws is further from its probability than this in one of 10¹⁰ cases (Bernstein, 1924).
    bound = 2 * np.sqrt(24 * p * (1 - p) / n) + 32 / n
    assert abs(kept / n - (1 - p)) <= bound
    # An element is 1 / (1 - p) or 0: its mean is 1 and its variance p / (1 - p), both off by what the share is off.
    error = bound / (1 - p)
    assert abs(out.mean() - 1) <= error
    assert abs(np.mean((out - 1) ** 2) - p / (1 - p)) <= error * (1 + 1 / (1 - p)) + 1e-9


@pytest.mark.parametrize("p", [0.2, 0.1, 1 / 3, 0.5, 2**-16, 0.7])
def test_dropout_drops_exactly_the_bits_below_its_rounded_probability(p):
    dropped = round(p * 65536)
    out = F.dropout(np.ones(40_000), p, generator=np.random.default_rng(1)).data
    bits = np.random.default_rng(1).bit_generator.random_raw(10_000).view(np.uint16)
    np.testing.assert_array_equal(out, np.where(bits < dropped, 0, 65536 / (65536 - dropped)))


@pytest.mark.parametrize("source", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_dropout_is_right_with_every_bit_generator(source):
    out = F.dropout(np.ones(100_000), 0.25, generator=np.random.Generator(source(0))).data
    assert abs(np.mean(out == 0) - 0.25) < 6 * np.sqrt(0.25 * 0.75 / 100_000)


def test_elements_are_dropped_independently_of_their_neighbours():
    n = 100_000
    kept = F.dropout(np.ones(n), 0.5, generator=np.random.default_rng(0)).data != 0
    for distance in (1, 2, 3, 4, 8):
        assert abs(np.mean(kept[distance:] == kept[:-distance]) - 0.5) < 6 * 0.5 / np.sqrt(n - distance)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (0, 4), (2, 3, 4)])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_dropout_has_the_gradient_of_its_mask_and_none_beyond(shape, p):
    x = np.random.default_rng(2).standard_normal(shape) + 5

    def dropped(x):
        return F.dropout(x, p, generator=np.random.default_rng(4))

    gradcheck(dropped, x)
    gradcheck(lambda x: dropped(x) * x, x, order=2)
    tensor = mg.tensor(x, requires_grad=True)
    out = dropped(tensor)
    out.backward(np.ones(shape))
    np.testing.assert_allclose(tensor.grad.numpy(), out.numpy() / x, rtol=1e-12)


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x.T, lambda x: x[:, ::-1], lambda x: x.transpose(1, 2, 0)])
def test_dropout_works_on_any_memory_layout(view):
    x = view(np.ones((30, 40, 50)))
    out = F.dropout(x, 0.5, generator=np.random.default_rng(0)).data
    assert out.shape == x.shape
    assert set(np.unique(out)) == {0.0, 2.0}
    assert abs(out.mean() - 1) < 6 / np.sqrt(out.size)
    assert (x == 1).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dropout_keeps_the_dtype(dtype):
    for p in (0.0, 0.5, 1.0):
        assert F.dropout(np.ones(8, dtype), p).dtype == dtype


def test_dropout_is_the_identity_outside_training_and_for_probability_zero():
    x = mg.tensor([1.0, 2.0])
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 0.0) is x


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("function", [F.dropout, F.dropout2d])
@pytest.mark.parametrize("kept", [1e-7, 1e-6, 2**-16, 1e-4, 1e-3, 1 - 1e-6])
def test_dropout_near_its_ends_keeps_the_share_it_is_to_keep_and_the_mean(kept, function, dtype):
    n, generator = 4_000_000, np.random.default_rng(2)
    x = mg.tensor(np.full((n // 4, 4, 1, 1), 2**-10, dtype), requires_grad=True)
    out = function(x, 1 - kept, generator=generator)
    out.backward(np.full(x.shape, 2**-10))
    deviation = 0.01 * n * min(kept, 1 - kept) + 5 * (n * kept * (1 - kept)) ** 0.5 + 1  # of a binomial distribution
    assert abs(np.count_nonzero(out.data) - n * kept) < deviation
    np.testing.assert_allclose(out.data[out.data > 0], 2**-10 / kept, rtol=1.2e-2)
    assert out.dtype == x.grad.dtype == dtype
    np.testing.assert_array_equal(out.data, x.grad.data)


def test_what_is_dropped_for_certain_is_zero_whatever_it_was():
    x = mg.tensor([np.inf, np.nan, -1.0], requires_grad=True)
    out = F.dropout(x, 1.0)
    out.backward(np.ones(3))
    assert out.data.tolist() == x.grad.data.tolist() == [0, 0, 0]


def test_dropout_refuses_bad_probabilities_and_integers():
    with pytest.raises(ValueError, match=r"dropout expects p to be a number from 0 to 1, got 1\.5"):
        F.dropout([1.0], 1.5)
    with pytest.raises(TypeError, match=r"dropout expects floating values.*got dtype int64"):
        F.dropout(np.ones(3, np.int64))


# ---------------------------------------------------------------- dropout2d


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_dropout2d_keeps_or_drops_whole_channels_and_has_the_gradient_of_that(p):
    x = np.random.default_rng(2).standard_normal((3, 5, 2, 4)) + 5

    def dropped(x):
        return F.dropout2d(x, p, generator=np.random.default_rng(4))

    scales = dropped(x).data / x
    np.testing.assert_allclose(scales, np.broadcast_to(scales[:, :, :1, :1], x.shape), rtol=1e-14)
    kept = 1 / (1 - round(p * 65536) / 65536) if p < 1 else 0
    assert all(min(abs(scale), abs(scale - kept)) < 1e-14 for scale in scales.ravel())
    gradcheck(dropped, x)


def test_dropout2d_drops_a_channel_with_its_probability_independently_in_each_sample():
    kept = F.dropout2d(np.ones((200, 100, 1, 2)), 0.25, generator=np.random.default_rng(0)).data[..., 0, 0] != 0
    assert abs(kept.mean() - 0.75) < 6 * np.sqrt(0.25 * 0.75 / kept.size)
    assert abs((kept[1:] == kept[:-1]).mean() - (0.75**2 + 0.25**2)) < 6 * 0.5 / np.sqrt(kept.size - 100)


def test_dropout2d_is_the_identity_outside_training_and_for_probability_zero_and_keeps_the_dtype():
    x = mg.tensor(np.ones((2, 3, 4, 4), np.float32))
    assert F.dropout2d(x, 0.5, training=False) is x
    assert F.dropout2d(x, 0.0) is x
    assert F.dropout2d(x, 0.5).dtype == np.float32
    assert F.dropout2d(np.ones((0, 3, 4, 4)), 0.5).shape == (0, 3, 4, 4)


def test_dropout2d_refuses_bad_probabilities_integers_and_what_is_no_batch_of_images():
    with pytest.raises(ValueError, match=r"expects p to be a number from 0 to 1, got 1\.5"):
        F.dropout2d(np.ones((1, 1, 1, 1)), 1.5)
    with pytest.raises(TypeError, match=r"dropout expects floating values.*got dtype int64"):
        F.dropout2d(np.ones((1, 1, 1, 1), np.int64))
    with pytest.raises(ValueError, match=r"\(batch, channels, height, width\), got \(3, 4, 4\)"):
        F.dropout2d(np.ones((3, 4, 4)))


# ---------------------------------------------------------------- embedding


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,), (0, 4)])
@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_embedding_looks_up_rows_and_sums_the_gradients_of_each(shape, dtype):
    rng = np.random.default_rng(0)
    weight, indices = rng.standard_normal((4, 2)), rng.integers(0, 4, shape).astype(dtype)
    expected = np.array([weight[i] for i in indices.ravel()]).reshape(*shape, 2)
    np.testing.assert_array_equal(F.embedding(indices, weight).numpy(), expected)
    gradcheck(lambda weight: F.embedding(indices, weight), weight)
    gradcheck(lambda weight: F.embedding(indices, weight) ** 2, weight, order=2)


@pytest.mark.parametrize("padding_idx", [1, -3])
def test_the_padding_row_of_an_embedding_is_read_but_gets_no_gradient(padding_idx):
    weight = mg.tensor(np.arange(8.0).reshape(4, 2), requires_grad=True)
    indices = np.array([[1, 0, 1], [3, 3, 1]])
    out = F.embedding(indices, weight, padding_idx)
    np.testing.assert_array_equal(out.numpy(), weight.data[indices])
    out.backward(np.ones(out.shape))
    np.testing.assert_array_equal(weight.grad.data, [[1, 1], [0, 0], [0, 0], [2, 2]])


def test_embedding_takes_lists_and_tensors_of_indices_and_keeps_the_dtype_of_its_weight():
    weight = np.ones((4, 2), np.float32)
    for indices in ([1, 2], mg.tensor([1, 2], dtype=np.int32)):
        assert F.embedding(indices, weight, 1).dtype == np.float32


@pytest.mark.parametrize("wrong", [4, -1])
def test_embedding_refuses_indices_that_are_not_there(wrong):
    with pytest.raises(ValueError, match=f"embedding expects indices from 0 to 3, got {wrong}"):
        F.embedding(np.array([0, wrong]), np.ones((4, 2)))
    with pytest.raises(TypeError, match="embedding expects integer indices, got dtype float64"):
        F.embedding(np.array([0.0, 1.0]), np.ones((4, 2)))


# ---------------------------------------------------------------- cross_entropy


def reference(logits, goal, divisor, reduction):
    """The loss by its definition, -Σ goal · log softmax, of logits that are small enough for it; classes on axis 1."""
    log_p = np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    losses = -(goal * log_p).sum(1)
    return losses if reduction == "none" else losses.sum() / (divisor if reduction == "mean" else 1)


def index_goal(labels, classes, weight, ignore_index, smoothing):
    """What each sample's -log p is weighed with for class indices, element by element, and the mean's divisor."""
    goal, divisor = np.zeros((len(labels), classes, *labels.shape[1:])), 0.0
    for position in np.ndindex(labels.shape):
        label = labels[position]
        if label == ignore_index:
            continue
        for c in range(classes):
            goal[(position[0], c, *position[1:])] = weight[c] * ((1 - smoothing) * (c == label) + smoothing / classes)
        divisor += weight[label]
    return goal, divisor


@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(data=st.data(), seed=seeds)
def test_cross_entropy_of_class_indices_is_its_definition_with_right_derivatives(reduction, data, seed):
    rng = np.random.default_rng(seed)
    batch, classes = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    rest = data.draw(st.sampled_from([(), (2,), (2, 1)]))
    smoothing = data.draw(st.sampled_from([0.0, 0.1, 1.0]))
    weight = data.draw(st.none() | st.just(rng.uniform(0.5, 2, classes)))
    ignore_index = data.draw(st.sampled_from([-100, 0, 255]))
    logits = 3 * rng.standard_normal((batch, classes, *rest))
    labels = rng.integers(0, classes, (batch, *rest)).astype(data.draw(st.sampled_from(["u1", "i4", "i8"])))
    if ignore_index == 255:
        labels[rng.random(labels.shape) < 0.3] = np.array(255).astype(labels.dtype)
    goal, divisor = index_goal(labels, classes, np.ones(classes) if weight is None else weight, ignore_index, smoothing)

    def loss(logits):
        return F.cross_entropy(logits, labels, weight, ignore_index, reduction, smoothing)

    if reduction == "mean" and divisor == 0:
        assert np.isnan(loss(logits).item())
        return
    np.testing.assert_allclose(loss(logits).numpy(), reference(logits, goal, divisor, reduction), rtol=1e-9, atol=1e-12)
    gradcheck_twice(loss, logits, seed=seed)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(data=st.data(), seed=seeds)
def test_cross_entropy_of_probabilities_is_its_definition_with_right_derivatives(reduction, data, seed):
    rng = np.random.default_rng(seed)
    shape = data.draw(st.sampled_from([(1, 3), (4, 3), (2, 3, 2)]))
    smoothing = data.draw(st.sampled_from([0.0, 0.3]))
    weight = rng.uniform(0.5, 2, 3)
    logits, target = 3 * rng.standard_normal(shape), rng.uniform(0, 1, shape)
    target /= target.sum(1, keepdims=True)
    along = weight.reshape(1, 3, *[1] * (len(shape) - 2))
    goal = along * ((1 - smoothing) * target + smoothing / 3)

    def loss(logits):
        return F.cross_entropy(logits, target, weight, -100, reduction, smoothing)

    expected = reference(logits, goal, target.size / 3, reduction)
    np.testing.assert_allclose(loss(logits).numpy(), expected, rtol=1e-9, atol=1e-12)
    gradcheck_twice(loss, logits, seed=seed)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("target", [np.array(1), np.array([0.2, 0.5, 0.3])])
def test_logits_of_one_sample_need_no_batch_axis(target, reduction):
    logits = np.array([0.5, -1.0, 2.0])
    goal = np.eye(3)[1] if target.ndim == 0 else target
    expected = -(goal * np.log(np.exp(logits) / np.exp(logits).sum())).sum()
    loss = F.cross_entropy(logits, target, reduction=reduction)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    gradcheck_twice(lambda x: F.cross_entropy(x, target, reduction=reduction), logits)


@pytest.mark.parametrize("target", [np.array([0, 1, 1]), np.eye(2)[[0, 1, 1]]])
def test_the_gradient_is_softmax_minus_target_over_the_batch(target):
    logits = mg.tensor(np.random.default_rng(0).standard_normal((3, 2)), requires_grad=True)
    F.cross_entropy(logits, target).backward()
    p = np.exp(logits.data) / np.exp(logits.data).sum(1, keepdims=True)
    np.testing.assert_allclose(logits.grad.data, (p - np.eye(2)[[0, 1, 1]]) / 3, rtol=1e-12)


def test_an_ignored_sample_has_no_loss_and_no_gradient():
    logits = mg.tensor(np.random.default_rng(0).standard_normal((3, 2)), requires_grad=True)
    labels = np.array([0, -100, 1])
    losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=0.1)
    assert losses.data[1] == 0
    losses.backward(np.ones(3))
    assert (logits.grad.data[1] == 0).all()
    counted = F.cross_entropy(logits.data[[0, 2]], labels[[0, 2]])
    assert F.cross_entropy(logits, labels).item() == pytest.approx(counted.item(), rel=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e4, 1e30])
@pytest.mark.parametrize("create_graph", [False, True])
def test_huge_logits_give_exact_losses_and_gradients(size, dtype, create_graph):
    logits = mg.tensor(np.array([[size, -size, 0], [-size, size, 0], [size, size, size]], dtype), requires_grad=True)
    labels = np.array([0, 0, 2])
    loss = F.cross_entropy(logits, labels, reduction="none")
    np.testing.assert_allclose(loss.data, np.array([0, 2 * size, np.log(3)]), rtol=1e-6)
    assert loss.dtype == dtype
    loss.backward(np.ones(3), create_graph=create_graph)
    expected = [[0, 0, 0], [-1, 1, 0], [1 / 3, 1 / 3, -2 / 3]]
    np.testing.assert_allclose(logits.grad.data, np.array(expected, dtype), rtol=1e-6)
    logits.grad = None


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_class_that_is_ruled_out_has_probability_zero(create_graph):
    logits = mg.tensor([[0.0, -np.inf, 0.0], [1e308, -1e308, -np.inf]], requires_grad=True)
    loss = F.cross_entropy(logits, np.array([2, 0]), reduction="none")
    np.testing.assert_allclose(loss.data, [np.log(2), 0], rtol=1e-14)
    loss.backward(np.ones(2), create_graph=create_graph)
    np.testing.assert_allclose(logits.grad.data, [[0.5, 0, -0.5], [0, 0, 0]], rtol=1e-14)
    logits.grad = None
    assert F.cross_entropy(logits, np.array([1, 2])).item() == np.inf


@pytest.mark.parametrize("logit", [np.nan, np.inf])
def test_logits_without_a_softmax_give_nan(logit):
    assert np.isnan(F.cross_entropy([[logit, 0.0]], np.array([0])).item())
    assert np.isnan(F.cross_entropy([[-np.inf, -np.inf]], np.array([0])).item())


def test_the_mean_over_ignored_samples_alone_is_nan_and_their_sum_zero():
    logits, labels = np.zeros((2, 3)), np.array([-100, -100])
    assert np.isnan(F.cross_entropy(logits, labels).item())
    assert F.cross_entropy(logits, labels, reduction="sum").item() == 0


@pytest.mark.parametrize("make", [lambda labels: labels, mg.tensor, lambda labels: labels.tolist()])
def test_targets_may_be_arrays_tensors_or_lists(make):
    logits = np.random.default_rng(0).standard_normal((3, 4))
    labels = np.array([3, 0, 2])
    assert F.cross_entropy(logits, make(labels)).item() == F.cross_entropy(logits, labels).item()


@pytest.mark.parametrize(
    ("logits", "target", "settings", "sentence"),
    [
        ((4, 3), np.array([0, 1, 2]), {}, r"one class index for each sample .*\(4, 3\), got int64 of shape \(3,\)"),
        ((4, 3), np.zeros((4, 1), int), {}, r"one class index for each sample .*got int64 of shape \(4, 1\)"),
        ((4, 3, 2), np.zeros(4, int), {}, r"one class index for each sample .*\(4, 3, 2\), got int64 of shape \(4,\)"),
        ((4, 3), np.zeros(4), {}, r"probabilities of the logits' shape \(4, 3\), got \(4,\)"),
        ((4, 3), np.zeros(4, bool), {}, r"got bool of shape \(4,\)"),
        ((2, 3), np.array([0, 3]), {}, "class indices from 0 to 2, got 3"),
        ((2, 3), np.array([0, -1]), {}, "class indices from 0 to 2, got -1"),
        ((2, 3), np.array([-100, 7]), {}, "class indices from 0 to 2, got 7"),
        ((2, 3), np.array([-100, 0]), {"ignore_index": 1}, "class indices from 0 to 2, got -100"),
        ((2, 3), np.array([0, 1]), {"weight": [1.0, 2.0]}, r"expects 3 class weights, got shape \(2,\)"),
        ((2, 3), np.array([0, 1]), {"weight": 2.0}, r"expects 3 class weights, got shape \(\)"),
        ((), np.array(0), {}, r"logits of shape \(classes,\) or \(batch, classes, ...\), got one number"),
    ],
)
def test_what_does_not_fit_is_said(logits, target, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        F.cross_entropy(np.zeros(logits), target, **settings)


def test_integer_logits_are_refused():
    with pytest.raises(TypeError, match="cross_entropy expects floating logits, got dtype int64"):
        F.cross_entropy(np.zeros((2, 3), np.int64), np.array([0, 1]))


# ---------------------------------------------------------------- flatten


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


MEMORY_ORDERS = {
    **LAYOUTS,
    "channels last": channels_last,
    "strided channels last": lambda x: channels_last(np.repeat(x, 2, axis=1))[:, ::2],
    "samples and channels last": lambda x: np.ascontiguousarray(x.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1),
    "axes swapped": lambda x: np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1),
}


@pytest.mark.parametrize("axes", [(0, -1), (1, -1), (1, 2), (0, 1), (-1, -1), (-3, -2)])
@pytest.mark.parametrize("layout", MEMORY_ORDERS)
def test_flatten_joins_axes_in_their_order_whatever_the_memory_looks_like(layout, axes):
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 2))
    view = MEMORY_ORDERS[layout](x)
    start, end = (axis % 4 for axis in axes)
    expected = x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :])
    np.testing.assert_array_equal(F.flatten(view, *axes).numpy(), expected)
    np.testing.assert_array_equal(view, x)
    tensor, cotangent = mg.Tensor(view, requires_grad=True), np.random.default_rng(1).standard_normal(expected.shape)
    F.flatten(tensor, *axes).backward(cotangent)
    np.testing.assert_array_equal(tensor.grad.numpy(), cotangent.reshape(x.shape))


@pytest.mark.parametrize("layout", sorted(MEMORY_ORDERS.keys() - LAYOUTS.keys() | {"C", "Fortran-ordered"}))
def test_the_gradient_of_flatten_has_the_memory_order_of_its_input(layout):
    x = mg.Tensor(MEMORY_ORDERS[layout](np.ones((2, 3, 4, 5))), requires_grad=True)
    F.flatten(x, 1).backward(np.ones((2, 60)))

    def order(array):
        return np.argsort(array.strides)[::-1].tolist()

    assert order(x.grad.data) == order(x.data)
    assert x.grad.data.transpose(order(x.grad.data)).flags.c_contiguous


@pytest.mark.parametrize("layout", ["C", "channels last"])
def test_flatten_has_right_first_and_second_derivatives(layout):
    x = mg.tensor(np.random.default_rng(0).standard_normal((2, 3, 4, 2)))

    def flattened(x):  # the checks make arrays in C order, so that the other order has to come from within
        return F.flatten(x if layout == "C" else x.transpose(0, 2, 3, 1) * 1, 1)

    gradcheck_twice(flattened, x)
    gradcheck(lambda x: flattened(x * x), x, order=2)


def test_flatten_keeps_the_dtype_and_takes_empty_batches_and_integers():
    assert F.flatten(np.ones((2, 3, 4), np.float32)).dtype == np.float32
    assert F.flatten(np.ones((0, 3, 4)), 1).shape == (0, 12)
    np.testing.assert_array_equal(F.flatten([[1, 2], [3, 4]]).numpy(), [1, 2, 3, 4])


def test_flatten_makes_one_axis_of_a_number():
    x = mg.tensor(2.0, requires_grad=True)
    out = F.flatten(x)
    out.backward(np.array([3.0]))
    assert (out.shape, x.grad.item()) == ((1,), 3.0)


@pytest.mark.parametrize(("axes", "shape"), [((1, -1), (1,)), ((2, -1), (2, 3)), ((1, 0), (2, 3)), ((-3, 1), (2, 3))])
def test_flatten_refuses_axes_that_the_input_does_not_have_in_this_order(axes, shape):
    with pytest.raises(ValueError, match="flatten joins") as caught:
        F.flatten(np.ones(shape), *axes)
    assert str(caught.value) == f"flatten joins the axes {axes[0]} to {axes[1]}, got shape {shape}"


@pytest.mark.parametrize(
    ("x", "weight", "bias"), [((2, 3), (4, 2), (4,)), ((2, 3), (4, 3), (1, 4)), ((3,), (3,), None)]
)
def test_linear_says_what_does_not_fit(x, weight, bias):
    with pytest.raises(ValueError, match="inear expects "):
        F.linear(np.ones(x), np.ones(weight), None if bias is None else np.ones(bias))


@pytest.mark.parametrize("shapes", [((2, 3, 0), (5, 0)), ((2, 3, 5), (0, 5)), ((0, 5), (3, 5))])
def test_linear_has_gradients_where_an_axis_is_empty(shapes):
    x, weight = (mg.tensor(np.ones(shape), requires_grad=True) for shape in shapes)
    bias = mg.tensor(np.ones(len(weight.data)), requires_grad=True)
    F.linear(x, weight, bias).sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.full(x.shape, len(weight)))
    np.testing.assert_array_equal(weight.grad.data, np.full(weight.shape, np.prod(x.shape[:-1])))
    np.testing.assert_array_equal(bias.grad.data, np.prod(x.shape[:-1]))


@pytest.mark.parametrize("padding_idx", [3, -4])
def test_an_embedding_refuses_an_index_of_padding_that_it_does_not_have(padding_idx):
    with pytest.raises(ValueError, match=f"padding_idx to be one of 3 indices, got {padding_idx}"):
        F.embedding(np.array([0]), np.ones((3, 2)), padding_idx)


def test_the_gradient_of_a_row_in_half_precision_counts_all_its_uses():
    weight = mg.tensor(np.ones((3, 2), np.float16), requires_grad=True)
    out = F.embedding(np.zeros(5000, int), weight)
    assert out.dtype == np.float16
    out.backward(np.ones(out.shape))
    assert weight.grad.data.tolist() == [[5000, 5000], [0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: nn.Linear(3.0, 2), ValueError, "Linear expects in_features to be an integer of at least 0, got 3.0"),
        (lambda: nn.Linear(3, -2), ValueError, "Linear expects out_features to be an integer of at least 0, got -2"),
        (lambda: nn.Embedding(3, "2"), ValueError, "Embedding expects embedding_dim to be an integer of at least 0"),
        (lambda: nn.Embedding(3, 2, 1.0), ValueError, "Embedding expects padding_idx to be an integer, got 1.0"),
        (lambda: nn.Dropout(0.5, True), TypeError, "Dropout draws from a numpy.random.Generator, got True"),
        (lambda: nn.Dropout("half"), ValueError, "Dropout expects p to be a number from 0 to 1, got 'half'"),
    ],
)
def test_settings_of_layers_that_make_no_sense_are_refused(make, error, sentence):
    with pytest.raises(error, match=f"^{sentence}"):
        make()


def test_dropout_leaves_whole_numbers_as_they_are_where_it_drops_nothing():
    assert nn.Dropout().eval()(np.array([1, 2])).data.tolist() == [1, 2]
    with pytest.raises(TypeError, match="dropout expects floating values"):
        nn.Dropout()(np.array([1, 2]))


def test_batch_norm_takes_running_estimates_together():
    with pytest.raises(ValueError, match="batch_norm takes running_mean and running_var together"):
        F.batch_norm(np.ones((2, 2)), np.zeros(2), None)
