"""Optimizers, clipping and schedules side by side with PyTorch, over random settings; skipped where it is missing."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad import Tensor
from nn import optim, schedules

torch = pytest.importorskip("torch")

decays = st.sampled_from([0.0, 0.01, 0.5])
unit = st.floats(0, 0.99)
rates = st.floats(1e-5, 1.0)
epsilons = st.sampled_from([1e-10, 1e-8, 1e-3])
SETTINGS = {
    "SGD": st.fixed_dictionaries({"momentum": unit, "dampening": unit})
    | st.fixed_dictionaries({"momentum": st.floats(0.1, 0.99), "nesterov": st.just(True)}),
    "Adam": st.fixed_dictionaries(
        {"betas": st.tuples(unit, unit), "eps": epsilons, "amsgrad": st.booleans()}
    ),
    "RMSprop": st.fixed_dictionaries(
        {"alpha": st.floats(0.1, 0.99), "eps": epsilons, "momentum": unit, "centered": st.booleans()}
    ),
    "Adagrad": st.fixed_dictionaries(
        {"lr_decay": unit, "initial_accumulator_value": unit, "eps": epsilons}
    ),
}
SETTINGS["AdamW"] = SETTINGS["Adam"]
COMMON = st.fixed_dictionaries({"lr": rates, "weight_decay": decays, "maximize": st.booleans()})


def twins(name, arguments, rng):
    """The same two parameters, ours and PyTorch's, and an optimizer for each pair."""
    arrays = [rng.standard_normal((3, 4)), np.array(rng.standard_normal())]
    ours = [Tensor(array, requires_grad=True) for array in arrays]
    theirs = [torch.tensor(array, requires_grad=True) for array in arrays]
    return ours, theirs, getattr(optim, name)(ours, **arguments), getattr(torch.optim, name)(theirs, **arguments)


def give_gradients(ours, theirs, rng):
    for p, q in zip(ours, theirs, strict=True):
        gradient = rng.standard_normal(p.shape)
        p.grad, q.grad = Tensor(gradient), torch.tensor(gradient)


@pytest.mark.parametrize("name", SETTINGS)
@settings(deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_updates_equal_those_of_pytorch_to_rounding(name, data, seed):
    rng = np.random.default_rng(seed)
    ours, theirs, optimizer, reference = twins(name, data.draw(SETTINGS[name]) | data.draw(COMMON), rng)
    for _ in range(6):
        give_gradients(ours, theirs, rng)
        optimizer.step()
        reference.step()
    for p, q in zip(ours, theirs, strict=True):
        expected = q.detach().numpy()
        np.testing.assert_allclose(p.data, expected, rtol=1e-11, atol=1e-12 * max(1.0, abs(expected).max()))


def with_tensors(state_dict):
    """The state of one of our optimizers with tensors of PyTorch's in place of arrays."""
    entries = {
        number: {name: torch.tensor(entry) if name != "step" else entry for name, entry in state.items()}
        for number, state in state_dict["state"].items()
    }
    return {"state": entries, "param_groups": state_dict["param_groups"]}


@pytest.mark.parametrize("name", SETTINGS)
@settings(deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_a_state_moves_to_pytorch_and_back(name, data, seed):
    rng = np.random.default_rng(seed)
    ours, theirs, optimizer, reference = twins(name, data.draw(SETTINGS[name]) | data.draw(COMMON), rng)
    for _ in range(3):
        give_gradients(ours, theirs, rng)
        optimizer.step()
    reference.load_state_dict(with_tensors(optimizer.state_dict()))
    with torch.no_grad():
        for p, q in zip(ours, theirs, strict=True):
            q.copy_(torch.tensor(p.data))
    for _ in range(3):
        give_gradients(ours, theirs, rng)
        optimizer.step()
        reference.step()
    resumed = getattr(optim, name)(copies := [Tensor(q.detach().numpy(), requires_grad=True) for q in theirs])
    resumed.load_state_dict(reference.state_dict())
    for _ in range(3):
        give_gradients(ours, theirs, rng)
        for p, copy in zip(ours, copies, strict=True):
            copy.grad = p.grad
        optimizer.step()
        reference.step()
        resumed.step()
    for p, q, copy in zip(ours, theirs, copies, strict=True):
        expected = q.detach().numpy()
        tolerance = {"rtol": 1e-11, "atol": 1e-11 * max(1.0, abs(expected).max())}
        np.testing.assert_allclose(p.data, expected, **tolerance)
        np.testing.assert_allclose(copy.data, expected, **tolerance)


def test_a_state_of_pytorch_at_the_end_of_a_linear_decay_is_taken_for_all_that_rounding_leaves():
    theirs = torch.ones(2, requires_grad=True)
    reference = torch.optim.Adam([theirs], lr=0.1)
    decay = torch.optim.lr_scheduler.LinearLR(reference, end_factor=0.0, total_iters=5)
    for _ in range(5):
        reference.step()
        decay.step()
    assert reference.param_groups[0]["lr"] < 0
    optimizer = optim.Adam([Tensor([1.0, 1.0], requires_grad=True)])
    optimizer.load_state_dict(reference.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0
    state = reference.state_dict()
    state["param_groups"][0]["lr"] = -1e-6
    with pytest.raises(ValueError, match="lr to be a number from 0 to less than inf, got -1e-06"):
        optimizer.load_state_dict(state)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_a_state_saved_amid_a_cycle_goes_on_with_that_of_pytorch(name):
    _, _, optimizer, reference = twins(name, {"lr": 0.1}, np.random.default_rng(0))
    schedule = schedules.OneCycleLR(optimizer, 0.5, total_steps=20)
    reference_schedule = torch.optim.lr_scheduler.OneCycleLR(reference, 0.5, total_steps=20)
    for _ in range(5):
        schedule.step()
        reference.step()
        reference_schedule.step()
    reference.load_state_dict(with_tensors(optimizer.state_dict()))
    compare_schedules(optimizer, reference, schedule, reference_schedule, 10)
    optimizer.load_state_dict(reference.state_dict())
    compare_schedules(optimizer, reference, schedule, reference_schedule, 5)


def test_a_state_of_pytorch_may_have_the_names_of_its_parameters():
    theirs = torch.nn.Linear(2, 2)
    reference = torch.optim.Adam(theirs.named_parameters(), lr=0.25)
    optimizer = optim.Adam([Tensor(p.detach().numpy(), requires_grad=True) for p in theirs.parameters()])
    optimizer.load_state_dict(reference.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_muon_remembers_what_that_of_pytorch_does():
    rng = np.random.default_rng(0)
    ours, theirs = Tensor(np.ones((3, 4)), requires_grad=True), torch.ones((3, 4), dtype=float, requires_grad=True)
    optimizer, reference = optim.Muon([ours]), torch.optim.Muon([theirs])
    for _ in range(3):
        give_gradients([ours], [theirs], rng)
        optimizer.step()
        reference.step()
    state, expected = optimizer.state_dict()["state"][0], reference.state_dict()["state"][0]
    assert list(state) == list(expected) == ["momentum_buffer"]
    np.testing.assert_allclose(state["momentum_buffer"], expected["momentum_buffer"].numpy(), rtol=1e-12)


@pytest.mark.parametrize("name", SETTINGS)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_updates_equal_those_of_pytorch_for_gradients_of_any_size_it_can_square(name, data, seed):
    size = data.draw(st.sampled_from([1e-30, 1e-20, 1e-10, 1e5, 1e10, 1e15, 1e17]))
    rng = np.random.default_rng(seed)
    p, settings = rng.standard_normal(5).astype(np.float32), data.draw(SETTINGS[name])
    ours, theirs = Tensor(p, requires_grad=True), torch.tensor(p, requires_grad=True)
    optimizer, reference = getattr(optim, name)([ours], **settings), getattr(torch.optim, name)([theirs], **settings)
    for _ in range(5):
        gradient = (size * rng.uniform(0.5, 1, 5)).astype(np.float32)
        ours.grad, theirs.grad = Tensor(gradient), torch.tensor(gradient)
        optimizer.step()
        reference.step()
    expected = theirs.detach().numpy()
    np.testing.assert_allclose(ours.data, expected, rtol=1e-3, atol=1e-5 * max(1.0, abs(expected).max()))


@pytest.mark.parametrize("shape", [(6, 6), (5, 12), (12, 5)])
@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_moves_as_that_of_pytorch_does_up_to_the_rounding_of_its_half_precision(shape, nesterov):
    rng = np.random.default_rng(0)
    start = rng.standard_normal(shape)
    ours, theirs = Tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    arguments = {"lr": 0.1, "weight_decay": 0.1, "momentum": 0.9, "nesterov": nesterov}
    optimizer = optim.Muon([ours], **arguments)
    reference = torch.optim.Muon([theirs], **arguments, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        give_gradients([ours], [theirs], rng)
        optimizer.step()
        reference.step()
    moved = np.linalg.norm(ours.data - start)
    assert np.linalg.norm(ours.data - theirs.detach().numpy()) < 0.02 * moved


def test_defaults_and_the_order_of_arguments_are_those_of_pytorch():
    for name in SETTINGS:
        p, q = Tensor([1.0], requires_grad=True), torch.tensor([1.0], requires_grad=True)
        ours, theirs = getattr(optim, name)([p]).defaults, getattr(torch.optim, name)([q]).defaults
        assert ours == {key: theirs[key] for key in ours}
    for name in schedules.__dict__:
        kind, reference = getattr(schedules, name), getattr(torch.optim.lr_scheduler, name, None)
        if name.endswith(("LR", "Plateau")):
            assert kind.__init__.__defaults__ == reference.__init__.__defaults__
            names = kind.__init__.__code__
            theirs = reference.__init__.__code__
            count = names.co_argcount
            assert names.co_varnames[:count] == theirs.co_varnames[: theirs.co_argcount]


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    max_norm=st.floats(0.01, 20),
    norm_type=st.sampled_from([1.0, 2.0, 3.5, float("inf")]),
)
def test_clipping_equals_that_of_pytorch(seed, max_norm, norm_type):
    rng = np.random.default_rng(seed)
    ours, theirs, _, _ = twins("SGD", {}, rng)
    give_gradients(ours, theirs, rng)
    norm = optim.clip_grad_norm_(ours, max_norm, norm_type)
    assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type).item(), rel=1e-12)
    optim.clip_grad_value_(ours, max_norm / 4)
    torch.nn.utils.clip_grad_value_(theirs, max_norm / 4)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.grad.data, q.grad.numpy(), rtol=1e-12)


def one_cycle(draw):
    return {
        "max_lr": draw(st.floats(0.01, 5)),
        "total_steps": draw(st.integers(20, 40)),
        "pct_start": draw(st.floats(0.11, 0.5)),
        "anneal_strategy": draw(st.sampled_from(["cos", "linear"])),
        "three_phase": draw(st.booleans()),
        "cycle_momentum": draw(st.booleans()),
        "div_factor": draw(st.floats(2, 50)),
        "final_div_factor": draw(st.floats(2, 1e4)),
    }


SCHEDULES = {
    "StepLR": lambda draw: {"step_size": draw(st.integers(1, 9)), "gamma": draw(unit)},
    "MultiStepLR": lambda draw: {"milestones": draw(st.lists(st.integers(1, 25))), "gamma": draw(st.floats(0.1, 0.9))},
    "ExponentialLR": lambda draw: {"gamma": draw(st.floats(0.1, 1))},
    "LinearLR": lambda draw: {
        "start_factor": draw(st.floats(0.1, 1)), "end_factor": draw(unit), "total_iters": draw(st.integers(1, 30))
    },
    "CosineAnnealingLR": lambda draw: {"T_max": draw(st.integers(2, 30)), "eta_min": draw(st.floats(0, 0.1))},
    "OneCycleLR": one_cycle,
}


def compare_schedules(optimizer, reference, schedule, reference_schedule, steps):
    for _ in range(steps):
        for group, expected in zip(optimizer.param_groups, reference.param_groups, strict=True):
            assert group["lr"] == pytest.approx(expected["lr"], rel=1e-9, abs=1e-12)
            assert group.get("betas", 0) == pytest.approx(expected.get("betas", 0), rel=1e-12)
            assert group.get("momentum", 0) == pytest.approx(expected.get("momentum", 0), rel=1e-12)
        reference.step()
        schedule.step()
        reference_schedule.step()


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("optimizer_name", ["SGD", "AdamW"])
@settings(deadline=None)
@given(data=st.data())
def test_learning_rates_equal_those_of_pytorch(name, optimizer_name, data):
    _, _, optimizer, reference = twins(optimizer_name, {"lr": data.draw(rates)}, np.random.default_rng(0))
    arguments = SCHEDULES[name](data.draw)
    schedule = getattr(schedules, name)(optimizer, **arguments)
    reference_schedule = getattr(torch.optim.lr_scheduler, name)(reference, **arguments)
    compare_schedules(optimizer, reference, schedule, reference_schedule, 20)


@settings(deadline=None)
@given(data=st.data(), milestone=st.integers(1, 12))
def test_a_sequence_equals_that_of_pytorch(data, milestone):
    _, _, optimizer, reference = twins("SGD", {"lr": 0.3}, np.random.default_rng(0))
    names = [data.draw(st.sampled_from(["LinearLR", "StepLR", "ExponentialLR"])), "CosineAnnealingLR"]
    arguments = [SCHEDULES[name](data.draw) for name in names]
    pairs = list(zip(names, arguments, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch deprecates an argument that it passes itself
        theirs = [getattr(torch.optim.lr_scheduler, name)(reference, **given_) for name, given_ in pairs]
        reference_schedule = torch.optim.lr_scheduler.SequentialLR(reference, theirs, [milestone])
        ours = [getattr(schedules, name)(optimizer, **given_) for name, given_ in pairs]
        schedule = schedules.SequentialLR(optimizer, ours, [milestone])
        compare_schedules(optimizer, reference, schedule, reference_schedule, 25)


@settings(deadline=None)
@given(
    metrics=st.lists(st.floats(-3, 3), min_size=5, max_size=40),
    arguments=st.fixed_dictionaries(
        {
            "mode": st.sampled_from(["min", "max"]),
            "factor": st.floats(0.1, 0.9),
            "patience": st.integers(0, 3),
            "threshold": st.sampled_from([1e-4, 0.3]),
            "threshold_mode": st.sampled_from(["rel", "abs"]),
            "cooldown": st.integers(0, 3),
            "min_lr": st.sampled_from([0.0, 0.05]),
        }
    ),
)
def test_a_plateau_is_left_as_in_pytorch(metrics, arguments):
    _, _, optimizer, reference = twins("SGD", {"lr": 0.3}, np.random.default_rng(0))
    schedule = schedules.ReduceLROnPlateau(optimizer, **arguments)
    reference_schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(reference, **arguments)
    for metric in metrics:
        schedule.step(metric)
        reference_schedule.step(metric)
        assert schedule.get_last_lr() == reference_schedule.get_last_lr()


@pytest.mark.parametrize("name", ["StepLR", "ExponentialLR", "LinearLR", "CosineAnnealingLR"])
@settings(deadline=None)
@given(data=st.data(), steps=st.integers(0, 12))
def test_a_schedule_goes_on_from_the_state_of_that_of_pytorch(name, data, steps):
    _, _, optimizer, reference = twins("SGD", {"lr": 0.3}, np.random.default_rng(0))
    arguments, other = (SCHEDULES[name](data.draw) for _ in range(2))
    reference_schedule = getattr(torch.optim.lr_scheduler, name)(reference, **arguments)
    for _ in range(steps):
        reference.step()
        reference_schedule.step()
    schedule = getattr(schedules, name)(optimizer, **other)
    kept = set(schedule.state_dict())
    schedule.load_state_dict(reference_schedule.state_dict())
    assert set(schedule.state_dict()) == kept
    compare_schedules(optimizer, reference, schedule, reference_schedule, 10)


def test_a_plateau_goes_on_from_the_state_of_that_of_pytorch():
    _, _, optimizer, reference = twins("SGD", {"lr": 0.3}, np.random.default_rng(0))
    reference_schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(reference, patience=2)
    reference_schedule.step(1.0)
    reference_schedule.step(1.0)
    schedule = schedules.ReduceLROnPlateau(optimizer)
    schedule.load_state_dict(reference_schedule.state_dict())
    for _ in range(5):
        schedule.step(1.0)
        reference_schedule.step(1.0)
        assert schedule.get_last_lr() == reference_schedule.get_last_lr()
    with pytest.raises(ValueError, match=r"MultiStepLR has the state|milestones is like"):
        schedules.MultiStepLR(optimizer, [3]).load_state_dict(
            torch.optim.lr_scheduler.MultiStepLR(reference, [3]).state_dict()
        )
