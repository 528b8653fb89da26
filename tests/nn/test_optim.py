"""Optimizers and gradient clipping against textbook formulas, closed forms and recorded values of PyTorch 2.13."""

import gc
import itertools
import json
import math
import re
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from minigrad import Tensor
from nn import Linear, optim
from nn.optim import SGD, Adagrad, Adam, AdamW, Muon, Optimizer, RMSprop, clip_grad_norm_, clip_grad_value_

# Each case: an optimizer, its settings, and where PyTorch is after five steps on sum(p⁴ / 4 - p) from [1.5, -0.5, 0.2].
GOLDEN = [
    (SGD, {}, [1.1592752336762393, -0.23337351011619886, 0.4422997599933498]),
    (
        SGD,
        {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01},
        [0.8020258942050027, -0.029785298267876525, 0.6182686522394852],
    ),
    (
        SGD,
        {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
        [0.7491793858881297, 0.3877957762824825, 0.9467948915500765],
    ),
    (Adam, {}, [1.2559782428535482, -0.25060011060060966, 0.44971041710878523]),
    (
        Adam,
        {"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1, "amsgrad": True},
        [1.256094934774739, -0.25097090784977716, 0.4492618598113307],
    ),
    (AdamW, {"weight_decay": 0.1}, [1.2227398195258283, -0.24072917521175483, 0.4422864491623332]),
    (RMSprop, {}, [1.0000000003552112, 0.926140457030013, 1.0004369589210569]),
    (
        RMSprop,
        {"alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1, "momentum": 0.5, "centered": True},
        [0.9132637238501782, 0.47440275706818646, 1.0265198539615312],
    ),
    (Adagrad, {}, [1.352574846698896, -0.3409182582326513, 0.3605737457308103]),
    (
        Adagrad,
        {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3},
        [1.3714613976320893, -0.3731391312144997, 0.32343432434940667],
    ),
]
ELEMENTWISE = [(kind, settings) for kind, settings, _ in GOLDEN]


def each_of(cases):
    ids = [f"{kind.__name__}-{'-'.join(settings)}" for kind, settings in cases]
    return pytest.mark.parametrize(("kind", "settings"), cases, ids=ids)


each_elementwise_case = each_of(ELEMENTWISE)
each_case = each_of([*ELEMENTWISE, (Muon, {}), (Muon, {"weight_decay": 0.0, "nesterov": False, "ns_steps": 3})])


def parameter(data, dtype=np.float64):
    return Tensor(data, requires_grad=True, dtype=dtype)


def train(optimizer, params, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        for p in params:
            p.grad = Tensor(p.data**3 - 1)
        optimizer.step()


def after_history(optimizer_of, start, gradients):
    p = parameter(start)
    optimizer = optimizer_of([p])
    for gradient in gradients:
        p.grad = Tensor(gradient)
        optimizer.step()
    return p.data


@pytest.fixture
def history():
    rng = np.random.default_rng(7)
    return rng.standard_normal((4, 3)), rng.standard_normal((9, 4, 3))


# ------------------------------------------------------------------------------------------------ update rules


@pytest.mark.parametrize(("kind", "settings", "expected"), GOLDEN)
def test_five_steps_end_where_pytorch_ends(kind, settings, expected):
    p = parameter([1.5, -0.5, 0.2])
    train(kind([p], lr=0.05, **settings), [p], steps=5)
    np.testing.assert_allclose(p.data, expected, rtol=1e-13)


def test_plain_sgd_subtracts_the_sum_of_all_gradients_times_the_learning_rate(history):
    start, gradients = history
    result = after_history(lambda params: SGD(params, lr=0.1), start, gradients)
    np.testing.assert_allclose(result, start - 0.1 * gradients.sum(axis=0), rtol=1e-13)


def test_momentum_weighs_a_gradient_by_the_geometric_series_of_the_steps_since(history):
    start, gradients = history
    result = after_history(lambda params: SGD(params, lr=0.1, momentum=0.8), start, gradients)
    age = np.arange(len(gradients), 0, -1)
    weights = (1 - 0.8**age) / (1 - 0.8)
    np.testing.assert_allclose(result, start - 0.1 * np.tensordot(weights, gradients, 1), rtol=1e-13)


def test_dampening_reduces_every_gradient_but_the_first(history):
    start, gradients = history
    damped = after_history(lambda params: SGD(params, lr=0.1, momentum=0.8, dampening=0.3), start, gradients)
    factors = np.array([1.0] + [0.7] * (len(gradients) - 1))[:, None, None]
    plain = after_history(lambda params: SGD(params, lr=0.1, momentum=0.8), start, gradients * factors)
    np.testing.assert_allclose(damped, plain, rtol=1e-13)


def test_nesterov_follows_momentum_gradients_that_look_one_step_ahead(history):
    start, gradients = history
    result = after_history(lambda params: SGD(params, lr=0.1, momentum=0.8, nesterov=True), start, gradients)
    expected, velocity = start, np.zeros_like(start)
    for gradient in gradients:
        velocity = 0.8 * velocity + gradient
        expected = expected - 0.1 * (gradient + 0.8 * velocity)
    np.testing.assert_allclose(result, expected, rtol=1e-13)


def test_weight_decay_of_sgd_shrinks_a_parameter_geometrically_when_the_loss_is_flat():
    result = after_history(lambda params: SGD(params, lr=0.1, weight_decay=0.5), np.ones(2), np.zeros((6, 2)))
    np.testing.assert_allclose(result, 0.95**6, rtol=1e-13)


def test_adam_is_the_ratio_of_weighted_means_over_the_whole_history(history):
    start, gradients = history
    result = after_history(lambda params: Adam(params, lr=0.1, betas=(0.7, 0.9), eps=0.01), start, gradients)
    expected = start
    for t in range(1, len(gradients) + 1):
        age = np.arange(t - 1, -1, -1)
        mean = np.average(gradients[:t], axis=0, weights=0.7**age)
        mean_square = np.average(gradients[:t] ** 2, axis=0, weights=0.9**age)
        expected = expected - 0.1 * mean / (np.sqrt(mean_square) + 0.01)
    np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_adam_stays_exact_while_a_schedule_changes_its_betas(history):
    start, gradients = history
    betas = [(0.95 - 0.02 * t, 0.99 - 0.01 * t) for t in range(len(gradients))]
    p = parameter(start)
    optimizer = Adam([p], lr=0.1, amsgrad=True)
    expected, m, v, largest = start, 0.0, 0.0, 0.0
    for t, (gradient, (beta1, beta2)) in enumerate(zip(gradients, betas, strict=True), 1):
        optimizer.param_groups[0]["betas"] = beta1, beta2
        p.grad = Tensor(gradient)
        optimizer.step()
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient**2
        largest = np.maximum(largest, v)
        expected = expected - 0.1 * (m / (1 - beta1**t)) / (np.sqrt(largest / (1 - beta2**t)) + 1e-8)
    np.testing.assert_allclose(p.data, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_adam_remembers_the_means_of_its_paper_by_the_names_of_pytorch(kind, history):
    start, gradients = history
    p = parameter(start)
    optimizer = kind([p], betas=(0.8, 0.9), weight_decay=0.0, amsgrad=True)
    m, v, largest = 0.0, 0.0, 0.0
    for gradient in gradients:
        p.grad = Tensor(gradient)
        optimizer.step()
        m, v = 0.8 * m + 0.2 * gradient, 0.9 * v + 0.1 * gradient**2
        largest = np.maximum(largest, v)
    state = optimizer.state_dict()["state"][0]
    assert state.pop("step") == len(gradients)
    assert list(state) == ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"]
    for array, expected in zip(state.values(), (m, v, largest), strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-12)


def test_settings_of_pytorch_that_choose_its_implementation_are_passed_over():
    saved = AdamW([parameter([1.0])], lr=0.5).state_dict()
    saved["param_groups"][0] |= {
        "foreach": None, "fused": None, "capturable": False, "decoupled_weight_decay": True, "lr": np.array(0.5),
        "max_lr": 0.1, "min_lr": 4e-7, "max_momentum": 0.95, "base_momentum": 0.85,
    }
    optimizer = AdamW([parameter([1.0])])
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert set(optimizer.param_groups[0]) == {"params", *optimizer.defaults}
    with pytest.raises(ValueError, match="decays weights in another way than Adam: "):
        Adam([parameter([1.0])]).load_state_dict(saved)


def test_adamw_decays_apart_from_the_gradient(history):
    start, gradients = history
    decayed = after_history(lambda params: AdamW(params, lr=0.1, weight_decay=0.5), start, gradients)
    moves = [
        after_history(lambda params: Adam(params, lr=0.1), 0 * start, gradients[:t]) for t in range(len(gradients) + 1)
    ]
    expected = start
    for before, after in itertools.pairwise(moves):
        expected = 0.95 * expected + (after - before)
    np.testing.assert_allclose(decayed, expected, rtol=1e-12)


def test_rmsprop_divides_by_the_root_of_a_moving_mean_square(history):
    start, gradients = history
    result = after_history(lambda params: RMSprop(params, lr=0.1, alpha=0.8, eps=0.01), start, gradients)
    expected = start
    for t in range(1, len(gradients) + 1):
        weights = 0.2 * 0.8 ** np.arange(t - 1, -1, -1)
        expected = expected - 0.1 * gradients[t - 1] / (np.sqrt(np.tensordot(weights, gradients[:t] ** 2, 1)) + 0.01)
    np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_centered_rmsprop_survives_a_variance_that_rounds_below_zero():
    rng = np.random.default_rng(0)
    gradients = np.full((300, 50), rng.standard_normal(50))
    result = after_history(lambda params: RMSprop(params, alpha=0.3, centered=True), np.zeros(50), gradients)
    assert np.isfinite(result).all()


def test_adagrad_divides_by_the_root_of_the_sum_of_squares(history):
    start, gradients = history
    result = after_history(lambda params: Adagrad(params, lr=0.1, lr_decay=0.5), start, gradients)
    rates = 0.1 / (1 + 0.5 * np.arange(len(gradients)))[:, None, None]
    roots = np.sqrt(np.cumsum(gradients**2, axis=0)) + 1e-10
    np.testing.assert_allclose(result, start - (rates * gradients / roots).sum(axis=0), rtol=1e-12)


def after_one_step(kind, start, gradient, **settings):
    p = parameter(start, start.dtype)
    p.grad = Tensor(gradient)
    kind([p], **settings).step()
    return p.data


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3)])
def test_muon_steps_along_the_singular_vectors_of_the_gradient_equally_far(shape):
    gradient = np.random.default_rng(0).standard_normal(shape)
    left, _, right = np.linalg.svd(gradient, full_matrices=False)
    change = -after_one_step(Muon, np.zeros(shape), gradient, lr=1.0) / (0.2 * math.sqrt(max(shape)))
    lengths = left.T @ change @ right.T
    np.testing.assert_allclose(lengths, np.diag(np.diag(lengths)), atol=1e-12)
    assert (np.diag(lengths) > 0.65).all()
    assert (np.diag(lengths) < 1.25).all()


def test_muon_follows_momentum_gradients_whose_size_does_not_matter(history):
    start, gradients = history
    ours = after_history(lambda params: Muon(params, lr=0.1, weight_decay=0.2, momentum=0.5), start, gradients[:2])
    p, (first, second) = start, gradients[:2]
    for direction in (first + 0.5 * first, second + 0.5 * (0.5 * first + second)):
        p = after_one_step(Muon, p, 1000 * direction, lr=0.1, weight_decay=0.2, momentum=0.0, nesterov=False)
    np.testing.assert_allclose(ours, p, rtol=1e-6)


@pytest.mark.parametrize("rank", [0, 1, 5, 16])
@pytest.mark.parametrize("steps", [0, 1, 5, 7])
def test_singular_values_are_mapped_also_where_they_are_0_and_in_single_precision(rank, steps):
    rng = np.random.default_rng(rank)
    matrix = rng.standard_normal((16, rank)) @ rng.standard_normal((rank, 40))
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    values[rank:] = 0
    values /= np.linalg.norm(values) or 1
    for _ in range(steps):
        values = 3.4445 * values - 4.775 * values**3 + 2.0315 * values**5
    expected = (left * values) @ right
    np.testing.assert_allclose(optim.orthogonalized(matrix, steps), expected, atol=1e-8)
    np.testing.assert_allclose(optim.orthogonalized(matrix.astype(np.float32), steps), expected, atol=1e-3)


def test_muon_takes_a_kernel_for_a_matrix_with_a_row_for_each_output():
    start, gradient = np.random.default_rng(0).standard_normal((2, 5, 2, 3, 3))
    kernel, matrix = (
        after_one_step(Muon, start, gradient),
        after_one_step(Muon, start.reshape(5, 18), gradient.reshape(5, 18)),
    )
    np.testing.assert_allclose(kernel.reshape(5, 18), matrix, rtol=1e-12)


def test_muon_updates_vectors_and_numbers_as_adamw_does():
    ours, theirs = ([parameter([1.0, -2.0]), parameter(0.5)] for _ in range(2))
    train(Muon(ours, lr=0.1, weight_decay=0.2, betas=(0.8, 0.9)), ours, 5)
    train(AdamW(theirs, lr=0.1, weight_decay=0.2, betas=(0.8, 0.9)), theirs, 5)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(p.data, q.data)


@pytest.mark.parametrize(("dtype", "scale"), [("f2", 3), ("f4", 1e-15), ("f4", 1e18), ("f8", 1e200)])
def test_the_size_of_a_gradient_makes_no_difference_to_muon(dtype, scale):
    gradient = np.random.default_rng(0).standard_normal((20, 20))
    start = np.zeros((20, 20), dtype)
    change = after_one_step(Muon, start, (gradient * scale).astype(dtype), lr=1.0)
    same = after_one_step(Muon, start.astype(float), gradient, lr=1.0)
    np.testing.assert_allclose(change, same, atol=0.01)


@pytest.mark.parametrize("shape", [(0, 3), (2, 3)])
def test_muon_stays_where_the_gradient_is_zero(shape):
    np.testing.assert_array_equal(after_one_step(Muon, np.ones(shape), np.zeros(shape), weight_decay=0.0), 1.0)


# ------------------------------------------------------------------------------------------------ promises of a step


@each_case
def test_a_step_leaves_the_gradient_array_as_it_is(kind, settings):
    p = parameter(np.linspace(-1, 1, 6).reshape(2, 3))
    gradient = np.linspace(1, 2, 6).reshape(2, 3)
    gradient.flags.writeable = False
    optimizer = kind([p], **settings)
    for _ in range(3):
        p.grad = Tensor(0.0)
        p.grad._data = gradient
        optimizer.step()
        assert p.grad._data is gradient
    np.testing.assert_array_equal(gradient, np.linspace(1, 2, 6).reshape(2, 3))


@each_case
def test_a_step_changes_the_parameter_in_its_own_memory(kind, settings):
    p = parameter([3.0, 2.0])
    memory = p.data
    train(kind([p], **settings), [p], steps=2)
    assert p.data is memory
    assert (memory != [3.0, 2.0]).all()


@each_elementwise_case
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (2, 3)])
def test_parameters_keep_dtype_and_shape_and_0d_ones_follow_the_same_rule(kind, settings, dtype, shape):
    p, same = parameter(np.full(shape, 1.5), dtype), parameter([1.5], dtype)
    train(kind([p, same], lr=0.05, **settings), [p, same], steps=3)
    assert p.dtype == dtype
    assert p.shape == shape
    np.testing.assert_allclose(p.data, np.broadcast_to(same.data, (1, 1))[0, 0], rtol=4 * np.finfo(dtype).eps)


@each_case
def test_a_parameter_without_a_gradient_is_skipped(kind, settings):
    p, other = parameter([1.0]), parameter([1.0])
    optimizer = kind([p, other], **settings)
    p.grad = Tensor([1.0])
    optimizer.step()
    assert other.data[0] == 1.0
    assert p.data[0] != 1.0
    assert list(optimizer.state_dict()["state"]) in ([], [0])


@each_elementwise_case
def test_the_memory_layout_of_a_parameter_makes_no_difference(kind, settings):
    start = np.linspace(-1, 2, 12).reshape(3, 4)
    p, same = parameter(start), parameter(start)
    p._data = np.asfortranarray(start)
    train(kind([p, same], **settings), [p, same], steps=3)
    np.testing.assert_array_equal(p.data, same.data)


@pytest.mark.parametrize("block", [1, 8, 1000])
def test_a_direction_is_broadcast_however_large_the_parameter_is(block, monkeypatch):
    monkeypatch.setattr(optim, "BLOCK", block)
    p = parameter(np.zeros((4, 3)))
    optimizer = Optimizer([p], {})
    optimizer.descend(p, np.array([1.0, 2.0, 3.0]), 0.5)
    optimizer.descend(p, np.float64(1.0), 2.0)
    np.testing.assert_array_equal(p.data, [[-2.5, -3.0, -3.5]] * 4)


@each_case
@pytest.mark.parametrize("shape", [(7, 3), (24,), (1, 30), (2, 3, 5)])
def test_large_parameters_are_updated_block_by_block_to_the_same_values(kind, settings, shape, monkeypatch):
    p, same = (parameter(np.linspace(-1, 2, math.prod(shape)).reshape(shape)) for _ in range(2))
    train(kind([same], **settings), [same], steps=3)
    monkeypatch.setattr(optim, "BLOCK", 8)
    train(kind([p], **settings), [p], steps=3)
    np.testing.assert_array_equal(p.data, same.data)


@each_elementwise_case
def test_a_step_allocates_nothing_that_grows_with_the_model(kind, settings):
    p = parameter(np.ones((500, 200)), np.float32)
    p.grad = Tensor(np.ones((500, 200), np.float32))
    optimizer = kind([p], lr=1e-6, **settings)
    optimizer.step()
    optimizer.step()
    gc.collect()
    tracemalloc.start()
    try:
        optimizer.step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < p.data.nbytes / 20


@each_case
def test_a_float64_learning_rate_of_numpy_changes_nothing(kind, settings):
    p, same = parameter([1.0, 2.0], np.float32), parameter([1.0, 2.0], np.float32)
    train(kind([p], lr=0.1, **settings), [p], steps=3)
    train(kind([same], lr=np.float64(0.1), **settings), [same], steps=3)
    np.testing.assert_array_equal(p.data, same.data)


def test_an_update_between_forward_and_backward_is_caught():
    w = parameter([2.0])
    loss = (w * w).sum()
    w.grad = Tensor([1.0])
    SGD([w]).step()
    with pytest.raises(RuntimeError, match="updated in place"):
        loss.backward()


def test_zero_grad_forgets_all_gradients():
    w = parameter([2.0])
    (w * w).sum().backward()
    SGD([w]).zero_grad()
    assert w.grad is None


# ------------------------------------------------------------------------------------------------ groups and settings


def test_groups_have_settings_of_their_own_and_the_defaults_for_the_rest():
    a, b, c = parameter([1.0]), parameter([1.0]), parameter([1.0])
    optimizer = SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.25)
    optimizer.add_param_group({"params": (p for p in [c]), "weight_decay": 1.0})
    for p in (a, b, c):
        p.grad = Tensor([1.0])
    optimizer.step()
    assert (a.item(), b.item(), c.item()) == (0.5, 0.75, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.25, 0.25]


def test_a_larger_parameter_may_join_later():
    a, b = parameter(np.ones(2)), parameter(np.ones((4, 5)))
    optimizer = SGD([a], lr=0.5)
    train(optimizer, [a], 1)
    optimizer.add_param_group({"params": [b]})
    a.grad, b.grad = Tensor(np.ones(2)), Tensor(np.ones((4, 5)))
    optimizer.step()
    assert (a.data == 0.5).all()
    assert (b.data == 0.5).all()


def test_momentum_may_be_switched_on_between_steps():
    p = parameter([1.0])
    optimizer = SGD([p], lr=0.5)
    for momentum in (0.0, 0.5, 0.5):
        optimizer.param_groups[0]["momentum"] = momentum
        p.grad = Tensor([1.0])
        optimizer.step()
    assert p.item() == 1 - 0.5 - 0.5 - 0.75


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD([p], lr=-0.1), "lr to be a number from 0 to less than inf, got -0.1"),
        (lambda p: SGD([p], lr=math.nan), "got nan"),
        (lambda p: SGD([p], lr="fast"), "got 'fast'"),
        (lambda p: SGD([p], lr=(0.1, 0.2)), "lr to be a number"),
        (lambda p: SGD([p], momentum=-1), "momentum to be a number from 0 to less than inf, got -1"),
        (lambda p: SGD([p], nesterov=True), "Nesterov needs a momentum above 0"),
        (lambda p: SGD([p], momentum=0.9, dampening=0.1, nesterov=True), "dampening 0.1"),
        (lambda p: Adam([p], betas=(0.9, 1.0)), "Adam expects each of betas to be .* from 0 to less than 1, got 1.0"),
        (lambda p: Adam([p], betas=0.9), "betas to be a list of 2, got 0.9"),
        (lambda p: Adam([p], betas={0.9, 0.99}), "betas to be a list of 2, got {"),
        (lambda p: SGD([p], momentum=0.9, nesterov=2), "SGD expects nesterov to be False or True, got 2"),
        (lambda p: Adam([p], amsgrad=np.array([True, True])), r"amsgrad to be False or True, got array\("),
        (lambda p: Adam([p], eps=-1e-8), "eps to be a number from 0 to less than inf, got -1e-08"),
        (lambda p: RMSprop([p], alpha=-0.5), "alpha to be a number from 0 to less than inf, got -0.5"),
        (lambda p: Muon([p], ns_steps=5.0), "Muon expects ns_steps to be an integer of at least 0, got 5.0"),
        (lambda p: Muon([p], momentum=1.5), "momentum to be a number from 0 to less than 1, got 1.5"),
        (lambda p: SGD([p], np.dtype("f4")), "lr to be a number from 0 to less than inf, got dtype"),
        (lambda p: Adagrad([p], lr_decay=-0.5), "lr_decay to be a number from 0 to less than inf, got -0.5"),
        (lambda p: SGD([]), "SGD got an empty list of parameters"),
        (lambda p: SGD([p, p]), re.escape("a parameter of shape (2,) is given twice")),
        (lambda p: SGD([{"params": [p]}, {"params": [p]}]), "is given twice"),
        (lambda p: SGD([Tensor([1.0])]), re.escape("a parameter of shape (1,) requires no gradients")),
        (lambda p: SGD([p * 2]), re.escape("a parameter of shape (2,) is no leaf")),
        (lambda p: SGD([{"params": [p], "learning_rate": 1}]), "SGD has no setting 'learning_rate'"),
        (lambda p: SGD([{"params": [p], "lr": -2}]), "lr to be a number from 0 to less than inf, got -2"),
        (lambda p: SGD([{"lr": 1}]), "a parameter group is a dict with the key 'params'"),
    ],
)
def test_bad_values_are_refused_with_a_sentence_that_shows_them(make, message):
    with pytest.raises(ValueError, match=message):
        make(parameter([1.0, 2.0]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD(p), "a list of tensors or of dicts, got a Tensor"),
        (lambda p: SGD({p}), "got a set"), (lambda p: SGD([{"params": {p}}]), "got a set"),
        (lambda p: SGD([{"params": 3}]), "got a int"),
        (lambda p: SGD({"params": [p]}), "got a dict"),
        (lambda p: SGD(np.array(1.0)), "a list of tensors or of dicts, got a ndarray"),
        (lambda p: SGD([np.ones(2)]), "a parameter is a Tensor, got .* of type ndarray"),
        (lambda p: SGD([p, {"params": []}]), "of type dict"),
        (lambda p: SGD(Linear(2, 2)), "a list of tensors or of dicts, got a Linear"),
    ],
)
def test_what_is_no_parameter_is_refused_by_its_type(make, message):
    with pytest.raises(TypeError, match=message):
        make(parameter([1.0, 2.0]))


@pytest.mark.parametrize("setting", [{"trust": None}, {"mode": "fast"}, {"etas": [0.5, 1.2]}, {"cap": -1.0}])
def test_a_new_optimizer_has_settings_of_any_kind(setting):
    p = parameter([1.0])
    optimizer = Optimizer([p], {"lr": 1.0, **setting})
    optimizer.load_state_dict(json.loads(json.dumps(optimizer.state_dict())))
    assert optimizer.param_groups == [{"lr": 1.0, "maximize": False, **setting, "params": [p]}]
    with pytest.raises(ValueError, match="lr to be a number from 0 to less than inf, got None"):
        Optimizer([p], {"lr": None, **setting})


def test_an_optimizer_without_an_update_rule_says_so():
    p = parameter([1.0])
    p.grad = Tensor([1.0])
    with pytest.raises(NotImplementedError, match="Optimizer does not define update"):
        Optimizer([p], {"lr": 1.0}).step()


@pytest.mark.parametrize(
    ("gradient", "given"),
    [
        (np.ones(2), "a ndarray"), ([1.0, 2.0], "a list"), (Tensor(1.0), r"one of shape \(\)"),
        (Tensor([1.0]), r"one of shape \(1,\)"), (Tensor(np.ones((2, 2))), r"one of shape \(2, 2\)"),
    ],
)
@pytest.mark.parametrize(
    "use", [lambda p: SGD([p]).step(), lambda p: clip_grad_norm_([p], 1.0), lambda p: clip_grad_value_([p], 1.0)]
)
def test_a_gradient_of_another_shape_or_kind_is_not_used(use, gradient, given):
    p = parameter([1.0, 2.0])
    p.grad = gradient
    with pytest.raises(ValueError, match=rf"a parameter of shape \(2,\) is a Tensor of that shape, got {given}"):
        use(p)
    np.testing.assert_array_equal(p.data, [1.0, 2.0])


# ------------------------------------------------------------------------------------------------ saving and loading


@each_case
def test_a_loaded_state_resumes_bit_for_bit(kind, settings):
    params = [parameter(np.linspace(0.5, 2, 4).reshape(2, 2), np.float32), parameter(0.5)]
    optimizer = kind(params, lr=0.05, **settings)
    train(optimizer, params, 3)
    saved, copies = optimizer.state_dict(), [parameter(p.data, p.dtype) for p in params]
    train(optimizer, params, 4)
    resumed = kind(copies)
    resumed.load_state_dict(saved)
    train(resumed, copies, 4)
    for p, copy in zip(params, copies, strict=True):
        np.testing.assert_array_equal(p.data, copy.data)


@each_case
def test_a_state_holds_plain_numbers_and_arrays_and_survives_json(kind, settings):
    params = [parameter([1.0, 2.0]), parameter(0.5)]
    optimizer = kind(params, **settings)
    train(optimizer, params, 2)
    text = json.dumps(optimizer.state_dict(), default=lambda array: array.tolist())
    copies = [parameter(p.data) for p in params]
    resumed = kind(copies)
    resumed.load_state_dict(json.loads(text))
    train(optimizer, params, 2)
    train(resumed, copies, 2)
    assert [p.data.tolist() for p in params] == [copy.data.tolist() for copy in copies]


@each_case
def test_settings_may_be_fractions(kind, settings):
    ways = []
    for real in (float, Fraction):
        params = [parameter([1.0, 2.0]), parameter(0.5)]
        given = {name: real(x) if isinstance(x, float) else x for name, x in ({"lr": 0.1} | settings).items()}
        train(kind(params, **given), params, 2)
        ways.append([p.data.tolist() for p in params])
    assert ways[0] == ways[1]


def test_a_state_is_a_snapshot_that_later_steps_do_not_change():
    p = parameter([1.0])
    optimizer = SGD([p], momentum=0.9)
    train(optimizer, [p], 2)
    saved = optimizer.state_dict()
    before = saved["state"][0]["momentum_buffer"].copy()
    train(optimizer, [p], 2)
    resumed = SGD([parameter([1.0])])
    resumed.load_state_dict(saved)
    train(resumed, resumed.param_groups[0]["params"], 2)
    np.testing.assert_array_equal(saved["state"][0]["momentum_buffer"], before)


def spoil(path, value):
    def change(saved):
        *front, last = path
        for key in front:
            saved = saved[key]
        saved[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda saved: saved.pop("state"), "the keys 'state' and 'param_groups'"),
        (spoil(["state"], []), r"is a dict of dicts by number, and its .* list of dicts, got \[\] and \[{'maximize"),
        (spoil(["state", 0], None), r"is a dict of dicts by number, .* got {0: None"),
        (spoil(["param_groups"], None), "groups are a list of dicts, got .* and None"),
        (spoil(["param_groups", 0], None), r"groups are a list of dicts, got .* and \[None\]"),
        (lambda saved: saved["param_groups"].append({"params": []}), re.escape("of the sizes [2, 0], but")),
        (spoil(["param_groups", 0, "params"], [0]), re.escape("of the sizes [1], but this optimizer has [2]")),
        (spoil(["param_groups", 0, "betas"], (0.9, 2)), "each of betas to be a number .*, got 2"),
        (spoil(["param_groups", 0, "momentum"], 0.9), "the state has the settings"),
        (lambda saved: saved["param_groups"][0].pop("eps"), "the state has the settings"),
        (spoil(["state", 7], {}), "a parameter number 7, but there are only 2"),
        (spoil(["state", 1, "exp_avg"], np.ones(3)), re.escape("exp_avg is float64 of shape (3,)")),
        (spoil(["state", 1, "exp_avg"], np.array(["a", "b"])), "exp_avg is <U1"),
        (spoil(["state", 1, "step"], -1), "step to be a number from 0 to less than inf, got -1"),
        (spoil(["state", 1, "step"], 2.5), re.escape("step is how many there were, got 2.5")),
        (spoil(["param_groups", 0, "params"], [1, 1]), "gives two parameters the same number"),
        (spoil(["state", 1, "momentum_buffer"], np.ones(2)), "Adam keeps no state 'momentum_buffer'"),
        (spoil(["state", 1, "grad_sum"], np.ones(2)), "only exp_avg, exp_avg_sq, max_exp_avg_sq: it is of another"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_nothing_is_changed(change, message):
    params = [parameter([1.0]), parameter([1.0, 2.0])]
    optimizer = Adam(params, lr=0.5)
    train(optimizer, params, 2)
    saved, before = optimizer.state_dict(), optimizer.state_dict()
    saved["param_groups"][0]["lr"] = 0.25
    saved["state"][0]["step"] = 100
    change(saved)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(saved)
    assert repr(optimizer.state_dict()) == repr(before)


@pytest.mark.parametrize("state", [None, 3, ["state", "param_groups"]])
def test_a_state_that_is_no_dict_is_refused(state):
    with pytest.raises(ValueError, match=f"'state' and 'param_groups', got a {type(state).__name__}"):
        SGD([parameter([1.0])]).load_state_dict(state)


# ------------------------------------------------------------------------------------------------ clipping


def with_gradients(*gradients):
    params = [parameter(np.zeros(np.shape(gradient))) for gradient in gradients]
    for p, gradient in zip(params, gradients, strict=True):
        p.grad = Tensor(gradient)
    return params


@pytest.mark.parametrize(("norm_type", "norm"), [(1.0, 19.0), (2.0, 13.0), (3.0, (27 + 64 + 1728) ** (1 / 3))])
def test_clipping_scales_all_gradients_to_the_norm(norm_type, norm):
    params = [*with_gradients([3.0, 0.0], [[-4.0]], -12.0, np.zeros((0, 2))), parameter([1.0])]
    assert clip_grad_norm_(params, norm / 2, norm_type) == pytest.approx(norm, rel=1e-14)
    for p, expected in zip(params, ([1.5, 0.0], [[-2.0]], -6.0), strict=False):
        np.testing.assert_allclose(p.grad.data, expected, rtol=1e-6)
    assert clip_grad_norm_(params, math.inf, norm_type) == pytest.approx(norm / 2, rel=1e-6)


def test_the_infinity_norm_is_that_of_the_largest_element():
    params = with_gradients([3.0, -8.0], 5.0)
    assert clip_grad_norm_(params, 4.0, math.inf) == 8.0
    np.testing.assert_allclose(params[0].grad.data, [1.5, -4.0], rtol=1e-6)


def test_smaller_gradients_are_not_touched_by_clipping():
    params = with_gradients([0.3, 0.4])
    assert clip_grad_norm_(params[0], 1.0) == pytest.approx(0.5)
    np.testing.assert_array_equal(params[0].grad.data, [0.3, 0.4])


def test_clipping_without_gradients_gives_zero():
    assert clip_grad_norm_([parameter([1.0])], 1.0) == 0.0


def test_a_norm_that_is_not_finite_is_raised_only_on_request():
    params = with_gradients([math.inf, 1.0])
    with pytest.raises(RuntimeError, match="the norm of the gradients is inf"):
        clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    np.testing.assert_array_equal(params[0].grad.data, [math.inf, 1.0])
    assert clip_grad_norm_(params, 1.0) == math.inf
    np.testing.assert_array_equal(params[0].grad.data, [math.nan, 0.0])


def test_clipping_by_value_limits_every_element_in_place():
    params = [*with_gradients([-3.0, 0.5, 2.0], 7.0), parameter([1.0])]
    memory = params[0].grad.data
    clip_grad_value_(params, 1.0)
    np.testing.assert_array_equal(memory, [-1.0, 0.5, 1.0])
    assert params[1].grad.item() == 1.0


def test_clipping_to_less_than_nothing_is_refused():
    with pytest.raises(ValueError, match="clip_grad_norm_ expects max_norm to be a number from 0 to inf, got -1"):
        clip_grad_norm_([], -1)
    for norm_type in (0, "2"):
        with pytest.raises(ValueError, match=f"norm_type to be a number from above 0 to inf, got {norm_type!r}"):
            clip_grad_norm_([], 1.0, norm_type)
    with pytest.raises(ValueError, match="clip_grad_value_ expects clip_value to be a number from 0 to inf, got -1"):
        clip_grad_value_([], -1)


def clip_by_value(parameters):
    clip_grad_value_(parameters, 0.5)


CLIPPING = [lambda parameters: clip_grad_norm_(parameters, 0.5, math.inf), clip_by_value]


@pytest.mark.parametrize("clip", CLIPPING)
def test_a_gradient_that_is_recorded_is_clipped_in_a_copy(clip):
    p = parameter([1.0, -2.0])
    (p**3).sum().backward(create_graph=True)
    recorded = p.grad
    clip([p])
    assert np.abs(p.grad.data).max() == pytest.approx(0.5)
    np.testing.assert_array_equal(recorded.data, [3.0, 12.0])
    p.grad = None
    recorded.sum().backward()
    np.testing.assert_array_equal(p.grad.data, [6.0, -12.0])


@pytest.mark.parametrize("clip", CLIPPING)
def test_an_iterator_of_parameters_that_is_used_up_is_no_reason_not_to_clip(clip):
    parameters = iter([parameter([1.0])])
    SGD(parameters)
    with pytest.raises(ValueError, match=r"no gradients to clip: an iterator .* can be used only once"):
        clip(parameters)
    clip([])


@pytest.mark.parametrize("clip", CLIPPING)
@pytest.mark.parametrize("wrong", [np.ones(2), ("weight", Tensor([1.0])), None])
def test_what_is_no_parameter_is_not_clipped(clip, wrong):
    with pytest.raises(TypeError, match=f"a parameter is a Tensor, got .* of type {type(wrong).__name__}"):
        clip([wrong])


def test_the_largest_element_may_be_asked_for_as_in_pytorch():
    assert clip_grad_norm_(with_gradients([3.0, -8.0]), Tensor(4.0), "inf") == 8.0


def test_the_norm_of_half_precision_gradients_does_not_overflow():
    p = Tensor(np.zeros(4, np.float16), requires_grad=True)
    p.grad = Tensor(np.full(4, 200, np.float16))
    assert clip_grad_norm_([p], 1000.0) == 400
    assert (p.grad.data == 200).all()


# ---------------------------------------------------------------- sizes, dtypes, and the other way round

SIZES = {
    np.float16: [1e-7, 1e-4, 1.0, 300.0, 6e4],
    np.float32: [1e-38, 1e-25, 1e-10, 1e10, 1e17, 1e19, 1e20, 1e25, 1e38],
    np.float64: [1e-200, 1e-100, 1e150, 1e200, 1e300],
}
EACH_SIZE = [(dtype, size) for dtype, sizes in SIZES.items() for size in sizes]
needs_longdouble = pytest.mark.skipif(
    np.finfo(np.longdouble).max == np.finfo(np.float64).max, reason="there is no dtype wider than float64 here"
)


def stepped(kind, settings, dtype, start, gradients):
    p = parameter(start, dtype)
    optimizer = kind([p], **settings)
    for gradient in gradients:
        p.grad = Tensor(gradient.astype(dtype))
        optimizer.step()
    assert p.dtype == dtype
    return p, optimizer


@needs_longdouble
@each_case
@pytest.mark.parametrize(("dtype", "size"), EACH_SIZE)
def test_steps_for_gradients_of_any_size_are_those_of_the_widest_dtype(kind, settings, dtype, size):
    rng = np.random.default_rng(7)
    tolerance = {np.float16: 2e-2, np.float32: 2e-4, np.float64: 1e-10}[dtype]
    for shape in [(), (5,), (3, 4)]:
        start = np.asarray(rng.standard_normal(shape), dtype)
        gradients = [np.asarray(size * rng.uniform(-1, 1, shape), dtype) for _ in range(5)]
        p, _ = stepped(kind, settings, dtype, start, gradients)
        exact, _ = stepped(kind, settings, np.longdouble, start, gradients)
        np.testing.assert_allclose(p.numpy(), exact.numpy().astype(dtype), rtol=tolerance, atol=tolerance)


@each_case
def test_what_is_remembered_of_half_precision_is_kept_in_single_precision(kind, settings):
    p, optimizer = stepped(kind, settings, np.float16, np.ones((3, 4), np.float16), [np.full((3, 4), 300.0)] * 3)
    state = optimizer.state_dict()
    arrays = [entry for entry in state["state"].get(0, {}).values() if isinstance(entry, np.ndarray)]
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays)
    other = parameter(p.data, np.float16)
    again = kind([other], **settings)
    again.load_state_dict(json_and_back(state))
    for w, o in ((p, optimizer), (other, again)):
        w.grad = Tensor(np.full((3, 4), 200.0, np.float16))
        o.step()
    np.testing.assert_array_equal(other.data, p.data)


def json_and_back(state):
    """The state as it comes from a file: plain numbers and arrays, that are copies."""
    plain = json.loads(json.dumps(state, default=lambda array: [array.tolist(), str(array.dtype)]))
    for entries in plain["state"].values():
        for name, entry in entries.items():
            if isinstance(entry, list) and isinstance(entry[-1], str):
                entries[name] = np.array(*entry)
    return plain


@needs_longdouble
@each_case
@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e22), (np.float64, 1e200)])
def test_ordinary_steps_after_one_huge_gradient_are_those_of_the_widest_dtype(kind, settings, dtype, size):
    gradients = [np.full((2, 3), gradient) for gradient in (size, 1.0, -2.0, 1.0)]
    p, _ = stepped(kind, settings, dtype, np.ones((2, 3)), gradients)
    exact, _ = stepped(kind, settings, np.longdouble, np.ones((2, 3)), gradients)
    np.testing.assert_allclose(p.numpy(), exact.numpy().astype(dtype), rtol=100 * np.finfo(dtype).eps)


@each_of([(Adam, {}), (AdamW, {}), (RMSprop, {}), (RMSprop, {"centered": True}), (Adagrad, {})])
@pytest.mark.parametrize("size", [1.0, 1e29])
def test_an_optimizer_that_saw_a_huge_gradient_goes_on_from_its_state(kind, settings, size):
    gradients = [np.full(3, 1e30), np.ones(3), np.full(3, 1e28)]
    p, optimizer = stepped(kind, settings, np.float32, np.ones(3), gradients)
    other = parameter(p.data, np.float32)
    again = kind([other])
    again.load_state_dict(json_and_back(optimizer.state_dict()))
    for w, o in ((p, optimizer), (other, again)):
        w.grad = Tensor(np.full(3, size, np.float32))
        o.step()
    np.testing.assert_array_equal(other.data, p.data)
    assert {of for of, _ in again._views} <= {other}  # none of the copies, which are given back


@pytest.mark.parametrize("kind", [Adam, AdamW, RMSprop])
def test_a_state_that_a_huge_gradient_has_widened_stays_wide_when_it_is_loaded(kind):
    p, optimizer = stepped(kind, {}, np.float32, np.ones(3), [np.full(3, 1e20)])
    for array in (array for array in optimizer.state[p].values() if isinstance(array, np.ndarray)):
        array *= 1e-30  # as it becomes in time
    other = parameter(p.data, np.float32)
    again = kind([other])
    again.load_state_dict(optimizer.state_dict())
    for name, array in optimizer.state[p].items():
        assert getattr(again.state[other][name], "dtype", None) == getattr(array, "dtype", None)
        np.testing.assert_array_equal(again.state[other][name], array)


@pytest.mark.parametrize("lr", [np.array(0.1), Tensor(0.1), np.float32(0.1)])
def test_a_setting_may_be_an_array_of_one_number(lr):
    assert type(optim_lr := Adam([parameter([1.0])], lr=lr).param_groups[0]["lr"]) is float
    assert optim_lr == pytest.approx(0.1)


@pytest.mark.parametrize("kind", [Adam, AdamW, RMSprop, Adagrad])
@pytest.mark.parametrize(("size", "kept_in"), [(1e18, np.float32), (1e20, np.float64), (np.nan, np.float32)])
def test_only_squares_that_overflow_are_computed_in_a_wider_dtype_and_the_step_counts_once(kind, size, kept_in):
    with np.errstate(all="raise"):  # as somebody who looks for a fault may have set it
        p, optimizer = stepped(kind, {}, np.float32, np.ones(3), [np.full(3, size)])
    state = optimizer.state[p]
    assert state["step"] == 1
    assert {array.dtype for array in state.values() if isinstance(array, np.ndarray)} == {np.dtype(kept_in)}


@each_elementwise_case
def test_to_maximize_is_to_minimize_the_negative(kind, settings):
    rng = np.random.default_rng(3)
    start, gradients = rng.standard_normal(4), rng.standard_normal((5, 4))
    down, _ = stepped(kind, settings, np.float64, start, -gradients)
    up, _ = stepped(kind, {**settings, "maximize": True}, np.float64, start, gradients)
    np.testing.assert_array_equal(up.data, down.data)


def test_some_groups_may_be_maximized_and_states_from_before_that_was_possible_load():
    up, down = parameter([1.0]), parameter([1.0])
    optimizer = SGD([{"params": [up], "maximize": True}, {"params": [down]}], lr=0.5)
    up.grad = down.grad = Tensor([1.0])
    optimizer.step()
    assert (up.item(), down.item()) == (1.5, 0.5)
    state = SGD([down], lr=0.25).state_dict()
    del state["param_groups"][0]["maximize"]
    other = SGD([down])
    other.load_state_dict(state)
    assert other.param_groups[0]["lr"] == 0.25
    assert other.param_groups[0]["maximize"] is False


def test_gradients_may_be_filled_with_zeros_instead_of_forgotten():
    w, other = parameter([1.0]), parameter([1.0])
    optimizer = SGD([w, other], lr=1.0, momentum=0.5)
    w.grad = Tensor([1.0])
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.data.tolist() == [0]
    assert other.grad is None
    optimizer.step()
    assert w.item() == -0.5  # by momentum


@needs_longdouble
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("part", [1e-3, 1e-2, 0.1, 0.9])
@each_elementwise_case
def test_squares_that_just_fit_may_be_added_up(kind, settings, dtype, part):
    gradients = [np.full(1, part * float(np.finfo(dtype).max) ** 0.5)] * 6
    p, _ = stepped(kind, settings, dtype, np.ones(1), gradients)
    exact, _ = stepped(kind, settings, np.longdouble, np.ones(1), gradients)
    np.testing.assert_allclose(p.data, exact.data.astype(dtype), rtol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("number", [np.float32, np.float64, np.int64, int])
def test_settings_may_be_numbers_of_numpy(number):
    settings = {"lr": number(1), "momentum": number(0), "nesterov": np.False_}
    groups = SGD([parameter([1.0])], **settings).state_dict()["param_groups"]
    assert json.loads(json.dumps(groups))[0]["lr"] == 1
    betas = (np.float32(0.5), np.float64(0.75))
    assert Adam([{"params": parameter([1.0]), "betas": betas}]).param_groups[0]["betas"] == (0.5, 0.75)
    w = parameter(np.eye(2))
    w.grad = Tensor(np.eye(2))
    Muon([w], ns_steps=np.int64(5)).step()
    assert np.isfinite(w.data).all()


NORMS = {np.float16: [1e-7, 300.0, 6e4], np.float32: [1e-44, 1e-25, 1.0, 1e25, 3e38], np.float64: [1e-200, 1.0, 1e300]}


@needs_longdouble
@pytest.mark.parametrize(("dtype", "size"), [(dtype, size) for dtype, sizes in NORMS.items() for size in sizes])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("max_norm", [1e-3, 1.0])
def test_gradients_of_any_size_are_clipped_to_their_norm(dtype, size, norm_type, max_norm):
    rng = np.random.default_rng(8)
    before = [np.asarray(size * rng.uniform(0.5, 1, shape), dtype) for shape in [(), (3, 4), (3000,)]]
    params = [parameter(np.zeros_like(array), dtype) for array in before]
    for p, array in zip(params, before, strict=True):
        p.grad = Tensor(array.copy())
    found = clip_grad_norm_(params, max_norm, norm_type)
    flat = np.concatenate([array.ravel() for array in before]).astype(np.longdouble)
    norm = np.linalg.norm(flat / flat.max(), norm_type) * flat.max()
    expected = flat * min(1, max_norm / (norm + 1e-6))
    limits = np.finfo(dtype)
    assert found == pytest.approx(float(norm), rel=1e-6)
    after = np.concatenate([p.grad.numpy().ravel() for p in params])
    assert after.dtype == dtype
    np.testing.assert_allclose(after, expected.astype(dtype), rtol=8 * limits.eps, atol=limits.smallest_subnormal)


def test_a_limit_beyond_what_half_precision_can_hold_is_no_limit():
    w = parameter([0.0, 0.0], np.float16)
    w.grad = Tensor(np.array([np.inf, 3e4], np.float16))
    clip_grad_value_([w], 1e5)
    assert w.grad.data.tolist() == [np.inf, 3e4]
    assert clip_grad_norm_([w], math.inf) == math.inf
    assert w.grad.data.tolist() == [np.inf, 3e4]


@pytest.mark.parametrize("kind", [list, np.array, Tensor, lambda betas: (beta for beta in betas)])
def test_several_numbers_of_any_kind_become_the_optimizers_own(kind):
    betas = kind([0.5, 0.75])
    optimizer = Adam([Tensor([1.0], requires_grad=True)], betas=betas)
    if isinstance(betas, np.ndarray):
        betas[0] = 7
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.75)
