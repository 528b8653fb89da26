"""Losses composed of tensor operations, and the penalty; cross_entropy is in test_functional.py."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.testing import gradcheck
from nn import functional as F

seeds = st.integers(0, 2**32 - 1)
REDUCTIONS = ["none", "mean", "sum"]
shapes = st.sampled_from([(), (1,), (5,), (3, 4), (2, 1, 3)])
REGRESSION = {
    F.mse_loss: lambda x, y: (x - y) ** 2,
    F.l1_loss: lambda x, y: abs(x - y),
    F.smooth_l1_loss: lambda x, y: 0.5 * (x - y) ** 2 if abs(x - y) < 1 else abs(x - y) - 0.5,
}
PAIRED = [*REGRESSION, F.binary_cross_entropy_with_logits]


def rng():
    return np.random.default_rng(6)


def each(formula, *arrays):
    """A formula of Python numbers, element by element."""
    return np.vectorize(formula, otypes=[float])(*arrays)


def reduced(losses, reduction):
    """What is left of an array of losses."""
    return losses if reduction == "none" else losses.sum() if reduction == "sum" else losses.sum() / losses.size


# ---------------------------------------------------------------- mse_loss, l1_loss, smooth_l1_loss


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("loss", REGRESSION)
@given(seed=seeds, shape=shapes)
def test_losses_of_errors_are_their_definitions_with_right_derivatives(loss, reduction, seed, shape):
    x, y = 2 * np.random.default_rng(seed).standard_normal((2, *shape))
    expected = reduced(each(REGRESSION[loss], x, y), reduction)
    np.testing.assert_allclose(loss(x, y, reduction=reduction).numpy(), expected, rtol=1e-12, atol=1e-15)
    gradcheck(lambda x, y: loss(x, y, reduction=reduction), x, y, seed=seed, order=2)


@pytest.mark.parametrize("beta", [0.25, 1.0, 3.0])
def test_smooth_l1_loss_is_quadratic_within_beta_and_linear_beyond(beta):
    error = mg.tensor([-100.0, -beta, -beta / 2, 0.0, beta / 2, beta, 100.0], requires_grad=True)
    loss = F.smooth_l1_loss(error, np.zeros(7), "none", beta)
    assert loss.data.tolist() == [100 - beta / 2, beta / 2, beta / 8, 0, beta / 8, beta / 2, 100 - beta / 2]
    loss.backward(np.ones(7))
    assert error.grad.data.tolist() == [-1, -1, -0.5, 0, 0.5, 1, 1]


def test_smooth_l1_loss_with_beta_zero_is_the_absolute_error():
    x, y = rng().standard_normal((2, 5))
    np.testing.assert_array_equal(F.smooth_l1_loss(x, y, "none", 0.0).data, abs(x - y))


@pytest.mark.parametrize("beta", [-1.0, math.nan])
def test_smooth_l1_loss_refuses_a_negative_beta(beta):
    with pytest.raises(ValueError, match=f"beta to be a number from 0 to inf, got {beta}"):
        F.smooth_l1_loss([1.0], [2.0], beta=beta)


def test_a_setting_that_asks_for_a_gradient_is_refused_since_it_would_get_none():
    setting = mg.tensor(0.5, requires_grad=True)
    smooth = partial(F.smooth_l1_loss, [1.0], [2.0])
    for make in (partial(smooth, beta=setting), partial(nn.CrossEntropyLoss, label_smoothing=setting)):
        with pytest.raises(ValueError, match="to be a number"):
            make()
    assert smooth(beta=setting.detach()).item() == 0.75


@pytest.mark.parametrize("loss", [F.l1_loss, F.smooth_l1_loss])
def test_huge_errors_give_exact_losses(loss):
    x = mg.tensor(np.array([3e38, -3e38], np.float32), requires_grad=True)
    losses = loss(x, np.zeros(2, np.float32), reduction="none")
    assert losses.data.tolist() == abs(x.data).tolist()
    losses.backward(np.ones(2))
    assert x.grad.data.tolist() == [1, -1]


# ---------------------------------------------------------------- binary_cross_entropy_with_logits


def binary(x, y, weight=1.0, pos_weight=1.0):
    """The definition, for logits that are small enough for it."""
    p = 1 / (1 + math.exp(-x))
    return -weight * (pos_weight * y * math.log(p) + (1 - y) * math.log(1 - p))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(data=st.data(), seed=seeds, shape=shapes)
def test_binary_cross_entropy_is_its_definition_with_right_derivatives(reduction, data, seed, shape):
    draws = np.random.default_rng(seed)
    x, y = 2 * draws.standard_normal(shape), draws.uniform(0, 1, shape)
    weights = [data.draw(st.sampled_from([None, shape, shape[-1:], ()])) for _ in range(2)]
    weight, pos_weight = (None if w is None else np.asarray(draws.uniform(0.5, 2, w)) for w in weights)
    filled = [np.ones(shape) if w is None else np.broadcast_to(w, shape) for w in (weight, pos_weight)]
    expected = reduced(each(binary, x, y, *filled), reduction)

    def loss(x, y):
        return F.binary_cross_entropy_with_logits(x, y, weight, reduction, pos_weight)

    np.testing.assert_allclose(loss(x, y).numpy(), expected, rtol=1e-11)
    gradcheck(loss, x, y, seed=seed, order=2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [40, 1e4, 1e30])
def test_huge_logits_give_exact_binary_losses_and_gradients(size, dtype):
    logits = mg.tensor(np.array([size, -size, size, -size], dtype), requires_grad=True)
    losses = F.binary_cross_entropy_with_logits(logits, [1, 0, 0, 1], reduction="none")
    tiny = math.exp(-size)
    np.testing.assert_allclose(losses.data, np.array([tiny, tiny, size, size], dtype), rtol=1e-5)
    losses.backward(np.ones(4))
    np.testing.assert_allclose(logits.grad.data, np.array([-tiny, tiny, 1, -1], dtype), rtol=1e-5)


@pytest.mark.parametrize("name", ["weight", "pos_weight"])
def test_weights_that_would_enlarge_the_loss_are_refused(name):
    with pytest.raises(ValueError, match=rf"^{name} cannot be broadcast from \(2, 3\) to the shape \(3,\)"):
        F.binary_cross_entropy_with_logits(np.ones(3), np.ones(3), **{name: np.ones((2, 3))})


# ---------------------------------------------------------------- what these have in common


@pytest.mark.parametrize("loss", PAIRED)
@pytest.mark.parametrize(("shape", "other"), [((4, 1), (4,)), ((4,), (4, 1)), ((4,), ()), ((2, 3), (3, 2))])
def test_a_target_of_another_shape_is_not_broadcast(loss, shape, other):
    with pytest.raises(ValueError, match=f"^{loss.__name__} expects a target of the shape") as caught:
        loss(np.ones(shape), np.ones(other))
    assert str(caught.value).endswith(f"of the prediction, {shape}, got {other}")


@pytest.mark.parametrize("loss", PAIRED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("target", [np.float64, np.float32, np.int64, bool])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_loss_has_the_dtype_of_the_prediction(loss, dtype, target, reduction):
    assert loss(np.ones(3, dtype), np.ones(3, target), reduction=reduction).dtype == dtype
    assert loss(mg.tensor(1.0, dtype=dtype), 1, reduction=reduction).dtype == dtype


@pytest.mark.parametrize("loss", PAIRED)
def test_integer_predictions_are_refused(loss):
    with pytest.raises(TypeError, match="expects floating predictions, got dtype int64"):
        loss(np.ones(3, np.int64), np.ones(3))


@pytest.mark.parametrize("loss", PAIRED)
def test_a_loss_of_nothing_is_empty_or_zero_and_its_mean_nan(loss):
    nothing = np.ones((0, 2))
    assert loss(nothing, nothing, reduction="none").shape == (0, 2)
    assert loss(nothing, nothing, reduction="sum").item() == 0
    assert math.isnan(loss(nothing, nothing).item())


@pytest.mark.parametrize("loss", PAIRED)
def test_an_unknown_reduction_is_refused_when_called(loss):
    with pytest.raises(ValueError, match="expects reduction to be 'none' or 'mean' or 'sum', got 'avg'"):
        loss(np.ones(2), np.ones(2), reduction="avg")


# ---------------------------------------------------------------- nll_loss


@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(data=st.data(), seed=seeds)
def test_nll_loss_of_log_softmax_is_cross_entropy_and_so_are_its_gradients(reduction, data, seed):
    draws = np.random.default_rng(seed)
    batch, rest = data.draw(st.sampled_from([((), ()), ((1,), ()), ((4,), ()), ((4,), (2, 3))]))
    logits, axis = draws.standard_normal((*batch, 3, *rest)), len(batch)
    target = draws.integers(0, 3, (*batch, *rest))
    settings = {
        "weight": data.draw(st.none() | st.just(draws.uniform(0.5, 2, 3))),
        "ignore_index": data.draw(st.sampled_from([-100, 1])),
        "reduction": reduction,
    }
    found, expected = mg.tensor(logits, requires_grad=True), mg.tensor(logits, requires_grad=True)
    loss = F.nll_loss(mg.log_softmax(found, axis), target, **settings)
    reference = F.cross_entropy(expected, target, **settings)
    np.testing.assert_allclose(loss.numpy(), reference.numpy(), rtol=1e-12, atol=1e-15)
    cotangent = draws.standard_normal(loss.shape)
    loss.backward(cotangent)
    reference.backward(cotangent)
    np.testing.assert_allclose(found.grad.numpy(), expected.grad.numpy(), rtol=1e-9, atol=1e-14)
    if np.isfinite(loss.numpy()).all():
        gradcheck(lambda x: F.nll_loss(x, target, **settings), logits, seed=seed, order=2)


def test_nll_loss_is_minus_the_log_probability_of_the_target():
    log_p = np.log([[0.5, 0.25, 0.25], [0.125, 0.5, 0.375]])
    losses = F.nll_loss(log_p, np.array([1, 0]), reduction="none")
    np.testing.assert_allclose(losses.data, [math.log(4), math.log(8)], rtol=1e-14)
    weighted = F.nll_loss(log_p, np.array([1, 0]), weight=[3.0, 1.0, 0.0])
    assert weighted.item() == pytest.approx((math.log(4) + 3 * math.log(8)) / 4, rel=1e-14)


def test_an_impossible_class_costs_nothing_unless_it_is_the_target():
    log_p = mg.tensor([[0.0, -np.inf]], requires_grad=True)
    loss = F.nll_loss(log_p, np.array([0]))
    loss.backward()
    assert loss.item() == 0
    assert log_p.grad.data.tolist() == [[-1, 0]]
    assert F.nll_loss(log_p, np.array([1])).item() == np.inf


def test_the_mean_nll_loss_over_ignored_samples_alone_is_nan_and_their_sum_zero():
    assert math.isnan(F.nll_loss(np.zeros((2, 3)), np.array([-100, -100])).item())
    assert F.nll_loss(np.zeros((2, 3)), np.array([-100, -100]), reduction="sum").item() == 0


@pytest.mark.parametrize("labels", [[0, 0], [0, -100]])
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("loss", [F.nll_loss, F.cross_entropy, partial(F.cross_entropy, label_smoothing=0.1)])
def test_a_mean_over_weights_that_add_up_to_0_is_nan_and_so_is_its_gradient(loss, create_graph, labels):
    x = mg.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 5.0]], requires_grad=True)
    mean = loss(x, np.array(labels), [0.0, 1.0, 2.0])
    mean.backward(create_graph=create_graph)
    counted = np.array(labels) >= 0
    assert math.isnan(mean.item())
    assert np.isnan(x.grad.numpy()[counted]).any(1).all()
    assert not x.grad.numpy()[~counted].any(), "an ignored sample has the gradient 0"


WEIGHTED = [
    (labels, weight, options)
    for labels in ([0, 0], [0, -100], [-100, -100], [2, 0])
    for weight in (None, [0.0, 1.0, 2.0], [0.0, 0.0, 0.0])
    for options in ({}, {"label_smoothing": 0.1}, {"reduction": "sum"}, {"reduction": "none"},
                    {"reduction": "sum", "label_smoothing": 0.1})
]


@pytest.mark.parametrize("loss", ["cross_entropy", "nll_loss"])
def test_weights_and_ignored_labels_give_the_values_and_gradients_of_pytorch(loss):
    torch = pytest.importorskip("torch")
    x = np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 5.0]])
    for labels, weight, options in WEIGHTED:
        if loss == "nll_loss" and "label_smoothing" in options:
            continue
        weights = None if weight is None else torch.tensor(weight, dtype=torch.float64)
        theirs = torch.tensor(x, requires_grad=True)
        value = getattr(torch.nn.functional, loss)(theirs, torch.tensor(labels), weights, **options)
        value.sum().backward()
        for create_graph in (False, True):
            ours = mg.tensor(x, requires_grad=True)
            found = getattr(F, loss)(ours, np.array(labels), weight, **options)
            np.testing.assert_allclose(found.numpy(), value.detach().numpy(), rtol=1e-12)
            found.sum().backward(create_graph=create_graph)
            np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_nll_loss_keeps_the_dtype():
    for dtype in (np.float32, np.float64):
        for reduction in REDUCTIONS:
            settings = {"weight": [1.0, 2.0, 3.0], "reduction": reduction}
            assert F.nll_loss(np.zeros((2, 3), dtype), np.array([0, 1]), **settings).dtype == dtype


@pytest.mark.parametrize(
    ("x", "target", "error", "sentence"),
    [
        (np.zeros((2, 3), int), np.array([0, 1]), TypeError, "expects floating log-probabilities, got dtype int64"),
        (0.0, np.array(0), ValueError, r"nll_loss expects log-probabilities of shape \(classes,\)"),
        (np.zeros((2, 3)), np.array([0, 3]), ValueError, "class indices from 0 to 2, got 3"),
        (np.zeros((2, 3)), np.array([0]), ValueError, r"one class index for each sample"),
        (np.zeros((2, 3)), np.array([0.0, 1.0]), ValueError, r"logits' shape \(2, 3\), got \(2,\)"),
    ],
)
def test_nll_loss_says_what_does_not_fit(x, target, error, sentence):
    with pytest.raises(error, match=sentence):
        F.nll_loss(x, target)


# ---------------------------------------------------------------- the layers

X, Y = np.random.default_rng(0).standard_normal((2, 4, 3))
P, LABELS = np.random.default_rng(0).uniform(0, 1, (4, 3)), np.array([0, 2, 1, 1])
WEIGHT = np.array([0.5, 1.0, 2.0])


@pytest.mark.parametrize(
    ("layer", "target", "expected"),
    [
        (nn.MSELoss(), Y, F.mse_loss(X, Y)),
        (nn.MSELoss("sum"), Y, F.mse_loss(X, Y, "sum")),
        (nn.L1Loss("none"), Y, F.l1_loss(X, Y, "none")),
        (nn.SmoothL1Loss("sum", 0.3), Y, F.smooth_l1_loss(X, Y, "sum", 0.3)),
        (nn.NLLLoss(WEIGHT, 1, "sum"), LABELS, F.nll_loss(X, LABELS, WEIGHT, 1, "sum")),
        (
            nn.BCEWithLogitsLoss(WEIGHT, "sum", 2 * WEIGHT), P,
            F.binary_cross_entropy_with_logits(X, P, WEIGHT, "sum", 2 * WEIGHT),
        ),
    ],
)
def test_loss_layers_hand_all_their_settings_on(layer, target, expected):
    np.testing.assert_array_equal(layer(X, target).numpy(), expected.numpy())
    assert not list(layer.parameters())


@pytest.mark.parametrize("layer", [nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.NLLLoss, nn.BCEWithLogitsLoss])
def test_loss_layers_refuse_an_unknown_reduction_when_made(layer):
    with pytest.raises(ValueError, match="expects reduction to be 'none' or 'mean' or 'sum', got 'avg'"):
        layer(reduction="avg")


def test_class_weights_are_copies_that_are_saved_with_the_model_but_not_trained():
    weight = np.array([1, 2, 3])
    loss = nn.CrossEntropyLoss(weight)
    loss.load_state_dict({"weight": [0.5, 1.0, 1.5]})
    assert weight.tolist() == [1, 2, 3]
    assert loss.state_dict()["weight"].tolist() == [0.5, 1, 1.5]
    assert nn.BCEWithLogitsLoss(pos_weight=2.0).state_dict() == {"pos_weight": 2.0}
    assert nn.NLLLoss().state_dict() == {}


# ---------------------------------------------------------------- penalty


def test_the_penalty_sums_absolute_and_squared_elements_of_the_chosen_parameters():
    a, b = rng().standard_normal((2, 3)), rng().standard_normal(4)
    expected = 0.3 * (abs(a).sum() + abs(b).sum()) + 0.7 * ((a**2).sum() + (b**2).sum())
    assert F.penalty([mg.tensor(a), mg.tensor(b)], 0.3, 0.7).item() == pytest.approx(expected, rel=1e-13)
    assert F.penalty([mg.tensor(a)], l2=0.5).item() == pytest.approx((a**2).sum() / 2, rel=1e-13)
    gradcheck(lambda a, b: F.penalty([a, b], 0.3, 0.7), a, b, order=2)


def test_the_penalty_adds_to_a_loss_what_its_gradient_says():
    model = nn.Linear(3, 2)
    loss = F.mse_loss(model(np.ones((4, 3), np.float32)), np.zeros((4, 2)))
    (loss + F.penalty([model.weight], l1=0.1, l2=0.25)).backward()
    with_penalty, bias = model.weight.grad.numpy(), model.bias.grad.numpy()
    model.zero_grad()
    F.mse_loss(model(np.ones((4, 3), np.float32)), np.zeros((4, 2))).backward()
    w = model.weight.data
    np.testing.assert_allclose(with_penalty - model.weight.grad.numpy(), 0.1 * np.sign(w) + 0.5 * w, rtol=1e-5)
    np.testing.assert_array_equal(bias, model.bias.grad.numpy())


@pytest.mark.parametrize("settings", [{}, {"l1": 0.1}, {"l1": 0.1, "l2": 0.1}])
def test_the_penalty_has_the_dtype_of_the_parameters(settings):
    assert F.penalty(nn.Linear(3, 2).parameters(), **settings).dtype == np.float32
    assert F.penalty(nn.Linear(3, 2, dtype=np.float64).parameters(), **settings).dtype == np.float64


def test_without_factors_the_penalty_is_zero():
    assert F.penalty(nn.Linear(3, 2).parameters()).item() == 0


def test_the_penalty_refuses_factors_that_are_negative_or_no_numbers_and_iterators_that_are_used_up():
    parameters = nn.Linear(3, 2).parameters()
    with pytest.raises(ValueError, match=r"penalty expects l2 to be a number from 0 to inf, got -1\.0"):
        F.penalty(parameters, l2=-1.0)
    with pytest.raises(ValueError, match="penalty expects l1 to be a number from 0 to inf, got '1'"):
        F.penalty(parameters, l1="1")
    list(parameters)
    with pytest.raises(ValueError, match="penalty got no parameters"):
        F.penalty(parameters, l2=1.0)


def test_the_mean_cross_entropy_of_no_samples_is_nan_and_their_sum_0():
    logits, target = np.zeros((0, 3)), np.zeros(0, int)
    assert math.isnan(F.cross_entropy(logits, target).item())
    assert F.cross_entropy(logits, target, reduction="sum").item() == 0.0


def test_logits_of_no_classes_are_refused():
    with pytest.raises(ValueError, match=r"logits of at least one class, got shape \(2, 0\)"):
        F.cross_entropy(np.zeros((2, 0)), np.array([0, 0]))


def test_the_gradient_of_a_mean_over_ignored_samples_alone_is_zero():
    for loss in (F.cross_entropy, F.nll_loss):
        logits = mg.tensor(np.ones((2, 3)), requires_grad=True)
        loss(logits, np.full(2, -100)).backward()
        assert (logits.grad.data == 0).all()


def test_the_mean_nll_loss_of_no_samples_is_nan_and_their_sum_0():
    nothing, none = np.zeros((0, 3)), np.zeros(0, int)
    assert math.isnan(F.nll_loss(nothing, none).item())
    assert F.nll_loss(nothing, none, reduction="sum").item() == 0


def test_smoothing_spreads_the_same_share_whatever_the_probabilities_add_up_to():
    logits, target = np.array([[1.0, 2.0, 3.0]]), np.array([[0.5, 0.0, 0.1]])
    log_probabilities = logits - np.log(np.exp(logits).sum())
    expected = -(0.7 * target * log_probabilities + 0.3 / 3 * log_probabilities).sum()
    np.testing.assert_allclose(F.cross_entropy(logits, target, label_smoothing=0.3).item(), expected, rtol=1e-14)


def test_the_mean_of_many_errors_fits_where_their_sum_does_not():
    assert F.mse_loss(np.ones(100_000, np.float16), np.zeros(100_000, np.float16)).item() == 1


# ---------------------------------------------------------------- sums and weights

KINDS_OF_LOSSES = {
    "classes": (nn.CrossEntropyLoss, {}),
    "classes, weighed": (nn.CrossEntropyLoss, {"weight": [0.5, 4.0, 0.0]}),
    "classes, ignored": (nn.CrossEntropyLoss, {"weight": [0.5, 4.0, 1.0], "ignore_index": 2}),
    "classes, smoothed": (nn.CrossEntropyLoss, {"weight": [0.5, 4.0, 1.0], "label_smoothing": 0.2}),
    "log-probabilities": (nn.NLLLoss, {"weight": [0.5, 4.0, 1.0], "ignore_index": 0}),
    "probabilities": (nn.CrossEntropyLoss, {"weight": [0.5, 4.0, 1.0], "label_smoothing": 0.2}),
    "yes or no": (nn.BCEWithLogitsLoss, {"weight": [0.5, 4.0, 1.0], "pos_weight": [2.0, 3.0, 4.0]}),
    "squares": (nn.MSELoss, {}),
    "sizes": (nn.L1Loss, {}),
    "smooth": (nn.SmoothL1Loss, {"beta": 0.3}),
}


@pytest.mark.parametrize("kind", KINDS_OF_LOSSES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(data=st.data(), seed=seeds)
def test_the_sums_and_weights_of_batches_give_the_mean_over_all_of_them(kind, reduction, data, seed):
    make, settings = KINDS_OF_LOSSES[kind]
    draws = np.random.default_rng(seed)
    rest = () if kind == "yes or no" else data.draw(st.sampled_from([(), (2,), (2, 3)]))
    x = draws.standard_normal((8, 3, *rest))
    target = draws.integers(0, 3, (8, *rest)) if issubclass(make, nn.layers.loss.ClassLoss) else draws.random(x.shape)
    target = draws.random(x.shape) if kind == "probabilities" else target
    target[0] = target[0] if target.dtype.kind == "f" else 1  # something counts
    loss = make(**settings, reduction=reduction)
    cuts = [0, *sorted(data.draw(st.sets(st.integers(1, 7)))), 8]
    batches = [slice(a, b) for a, b in pairwise(cuts)]
    told = [loss.sum_and_weight(loss(x[batch], target[batch]), target[batch]) for batch in batches]
    sums, weights = map(sum, zip(*told, strict=True))
    assert sums / weights == pytest.approx(make(**settings)(x, target).item(), rel=1e-12)


def test_a_batch_of_ignored_labels_alone_weighs_nothing():
    labels = np.array([-100, -100])
    loss = nn.CrossEntropyLoss()
    assert math.isnan(loss(np.zeros((2, 3)), labels).item())
    assert loss.sum_and_weight(loss(np.zeros((2, 3)), labels), labels) == (0, 0)


# ---------------------------------------------------------------- sizes and dtypes

SIZES = {
    np.float16: [1e-7, 1e-3, 1.0, 200.0, 6e4],
    np.float32: [1e-44, 1e-38, 1e-20, 1.0, 1e4, 1e10, 1e18, 3e38],
    np.float64: [1e-320, 1e-200, 1.0, 1e16, 1e150, 1.7e308],
}
OF_PAIRS = {
    "squares": F.mse_loss,
    "sizes": F.l1_loss,
    "smooth": F.smooth_l1_loss,
    "smooth, wide": lambda x, y, reduction: F.smooth_l1_loss(x, y, reduction, beta=100.0),
    "yes or no": F.binary_cross_entropy_with_logits,
}
OF_CLASSES = {
    "classes": lambda x, y, reduction: F.cross_entropy(x, y, None, 2, reduction),
    "classes, weighed": lambda x, y, reduction: F.cross_entropy(x, y, [0.5, 1, 2], -100, reduction, 0.1),
    "log-probabilities": lambda x, y, reduction: F.nll_loss(x, y, [0.5, 1, 2], 2, reduction),
}


def loss_and_gradient(loss, x, y, reduction, dtype):
    tensor = mg.tensor(x.astype(dtype), requires_grad=True)
    with np.errstate(over="ignore"):  # what cannot be represented is infinite
        result = loss(tensor, y, reduction=reduction)
        result.backward(np.ones(result.shape))
    assert result.dtype == tensor.grad.dtype == dtype
    return result.numpy(), tensor.grad.numpy()


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(float).max, reason="nothing is wider than float64 here")
@pytest.mark.parametrize(("dtype", "size"), [(dtype, size) for dtype, sizes in SIZES.items() for size in sizes])
@pytest.mark.parametrize("kind", [*OF_PAIRS, *OF_CLASSES])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("offset", [0, 1])
def test_losses_of_any_size_are_those_of_the_widest_dtype(kind, reduction, dtype, size, offset):
    x = (size * (offset / 2 + rng().uniform(-0.5, 0.5, (6, 3)))).astype(dtype)
    y = np.array([0, 1, 2, 0, 1, 0]) if kind in OF_CLASSES else rng().uniform(0, 1, (6, 3)).astype(dtype)
    loss = (OF_CLASSES | OF_PAIRS)[kind]
    found, exact = (loss_and_gradient(loss, x, y, reduction, kind) for kind in (dtype, np.longdouble))
    limits = np.finfo(dtype)
    for ours, theirs in zip(found, exact, strict=True):
        with np.errstate(over="ignore"):
            expected, atol = theirs.astype(dtype), 4 * float(limits.smallest_subnormal)
            atol += 8 * float(limits.eps) * min(1.0, float(abs(theirs).max()))
        np.testing.assert_allclose(ours, expected, rtol=16 * limits.eps, atol=atol)


@pytest.mark.parametrize("kind", [*OF_PAIRS, *OF_CLASSES])
@pytest.mark.parametrize("samples", [3000, 70_000])
def test_half_precision_counts_as_many_samples_as_there_are(kind, samples):
    loss, is_class = (OF_CLASSES | OF_PAIRS)[kind], kind in OF_CLASSES
    x = np.tile(np.array([0.5, -1.0, 0.25], np.float16), (samples, 1))
    y = np.zeros(samples, int) if is_class else np.zeros_like(x)
    found = loss_and_gradient(loss, x, y, "mean", np.float16)
    each = loss_and_gradient(loss, x[:1], y[:1], "mean", float)
    assert found[0] == pytest.approx(each[0], rel=1e-3)
    step = np.finfo(np.float16).smallest_subnormal
    np.testing.assert_allclose(found[1], np.broadcast_to(each[1] / samples, x.shape), rtol=2e-3, atol=step)


def test_a_penalty_on_parameters_in_half_precision_is_summed_in_single():
    w = mg.tensor(np.full(5000, 0.01, np.float16), requires_grad=True)
    huge = mg.tensor(np.array([300.0], np.float16), requires_grad=True)
    total = F.penalty([w], l1=1.0, l2=1.0)
    assert total.dtype == np.float16
    assert total.item() == pytest.approx(50.5, rel=1e-3)
    assert F.penalty([huge], l2=1e-3).item() == pytest.approx(90, rel=1e-3)


@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_an_infinite_error_has_the_slope_of_a_huge_one(dtype, reduction):
    x, zeros = np.array([np.inf, -np.inf, 0.25], dtype), np.zeros(3, dtype)
    for kind in ("sizes", "smooth", "smooth, wide"):
        loss, gradient = loss_and_gradient(OF_PAIRS[kind], x, zeros, reduction, dtype)
        inner = {"sizes": 1.0, "smooth": 0.25, "smooth, wide": 0.0025}[kind]
        expected = np.array([1, -1, inner]) / (3 if reduction == "mean" else 1)
        np.testing.assert_allclose(gradient, expected.astype(dtype), rtol=2 * np.finfo(dtype).eps)
        assert loss.flat[0] == np.inf


@pytest.mark.parametrize("dtype", SIZES)
def test_infinite_logits_of_a_certain_answer_cost_nothing_if_it_is_right(dtype):
    logits = mg.tensor(np.array([np.inf, -np.inf, np.inf, -np.inf], dtype), requires_grad=True)
    losses = F.binary_cross_entropy_with_logits(logits, np.array([1, 0, 0, 1]), reduction="none")
    assert losses.data.tolist() == [0, 0, np.inf, np.inf]
    losses.backward(np.ones(4))
    assert logits.grad.data.tolist() == [0, 0, 1, -1]
    masked = F.binary_cross_entropy_with_logits(logits, np.array([1, 0, 0, 1]), weight=[1, 1, 0, 0])
    assert masked.item() == 0


def test_a_class_that_is_ruled_out_may_be_ruled_out_in_half_precision_too():
    logits = mg.tensor(np.array([[0, -np.inf, 0]], np.float16), requires_grad=True)
    loss = F.cross_entropy(logits, np.array([0]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2), rel=1e-3)
    assert logits.grad.data.tolist() == [[-0.5, 0, 0.5]]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: nn.CrossEntropyLoss(label_smoothing="a"), "label_smoothing to be a number from 0 to 1, got 'a'"),
        (lambda: nn.CrossEntropyLoss(ignore_index=1.5), "ignore_index to be an integer, got 1.5"),
        (lambda: nn.CrossEntropyLoss(ignore_index=np.array(0.5)), r"ignore_index to be an integer, got array\(0.5\)"),
        (lambda: nn.CrossEntropyLoss(ignore_index=np.array([1, 2])), "ignore_index to be an integer, got array"),
        (lambda: nn.NLLLoss(None, None), "ignore_index to be an integer, got None"),
        (lambda: nn.CrossEntropyLoss(None, 1, -100), "reduction to be 'none' or 'mean' or 'sum', got -100"),
        (lambda: nn.SmoothL1Loss(beta=-1.0), "beta to be a number from 0 to inf, got -1.0"),
        (lambda: nn.MSELoss(None), "reduction to be 'none' or 'mean' or 'sum', got None"),
    ],
)
def test_settings_that_no_loss_has_are_refused_when_it_is_made(make, sentence):
    with pytest.raises(ValueError, match=f"^a loss expects {sentence}"):
        make()


def test_settings_may_be_numbers_of_numpy():
    loss = nn.CrossEntropyLoss([1, 2, 3], np.int64(2), "mean", np.float32(0.0))
    expected = nn.CrossEntropyLoss([1, 2, 3], 2)
    x, y = rng().standard_normal((4, 3)), np.array([0, 1, 2, 1])
    assert loss(x, y).item() == expected(x, y).item()
    assert F.smooth_l1_loss([1.0], [3.0], beta=np.float32(1)).item() == 1.5


@pytest.mark.parametrize("kind", [np.asarray, mg.tensor])
def test_settings_of_a_loss_are_kept_as_plain_numbers(kind):
    assert repr(nn.CrossEntropyLoss(None, kind(1), "sum", kind(0.5))) == repr(nn.CrossEntropyLoss(None, 1, "sum", 0.5))
    assert repr(nn.SmoothL1Loss(beta=kind(0.5))) == repr(nn.SmoothL1Loss(beta=0.5))


def test_an_ignored_class_is_refused_where_the_target_is_of_probabilities():
    with pytest.raises(ValueError, match="ignore_index=1 names a class index, but the target is of probabilities"):
        nn.CrossEntropyLoss(ignore_index=1)(np.ones((1, 2)), np.array([[0.3, 0.7]]))
