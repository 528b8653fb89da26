"""Schedules against closed forms and recorded values of PyTorch 2.13, and how they resume."""

import gc
import json
import math
import weakref
from contextlib import suppress

import numpy as np
import pytest

from minigrad import Tensor
from nn.optim import SGD, Adagrad, Adam, AdamW
from nn.schedules import (
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)


def optimizer_of(kind=SGD, lr=1.0, **settings):
    return kind([Tensor([0.0], requires_grad=True)], lr=lr, **settings)


def sequence(optimizer):
    return SequentialLR(optimizer, [LinearLR(optimizer, 0.25, total_iters=3), CosineAnnealingLR(optimizer, 4)], [3])


def one_cycle_three_phase(optimizer):
    return OneCycleLR(
        optimizer, 2.0, epochs=2, steps_per_epoch=5, pct_start=0.4, anneal_strategy="linear", three_phase=True
    )


def learning_rates(optimizer, schedule, steps, of=lambda group: group["lr"]):
    values = []
    for _ in range(steps):
        values.append(of(optimizer.param_groups[0]))
        schedule.step()
    return values


# Each case: a schedule for learning rate 1 and its values in PyTorch, to twelve digits.
GOLDEN = {
    "StepLR": (lambda o: StepLR(o, 2, 0.3), [1.0, 1.0, 0.3, 0.3, 0.09, 0.09]),
    "MultiStepLR": (lambda o: MultiStepLR(o, [3, 1, 3], 0.5), [1.0, 0.5, 0.5, 0.125, 0.125, 0.125]),
    "ExponentialLR": (lambda o: ExponentialLR(o, 0.9), [1.0, 0.9, 0.81, 0.729]),
    "CosineAnnealingLR": (
        lambda o: CosineAnnealingLR(o, 4, 0.1),
        [1.0, 0.868198051534, 0.55, 0.231801948466, 0.1, 0.231801948466, 0.55],
    ),
    "LinearLR": (lambda o: LinearLR(o, 0.25, 0.75, 3), [0.25, 0.416666666667, 0.583333333333, 0.75, 0.75, 0.75]),
    "OneCycleLR": (
        lambda o: OneCycleLR(o, 2.0, total_steps=8),
        [0.08, 1.638550209784, 1.943883554775, 1.6234913079, 1.111968028245, 0.566121996417, 0.153283187669, 8e-06],
    ),
    "OneCycleLR with three phases": (
        one_cycle_three_phase,
        [0.08, 0.72, 1.36, 2.0, 1.36, 0.72, 0.08, 0.053336, 0.026672, 8e-06],
    ),
    "SequentialLR": (sequence, [0.25, 0.5, 0.75, 1.0, 0.853553390593, 0.5, 0.146446609407, 0.0]),
}
each_schedule = pytest.mark.parametrize("name", GOLDEN)


@each_schedule
def test_values_are_those_of_pytorch(name):
    make, expected = GOLDEN[name]
    optimizer = optimizer_of()
    assert learning_rates(optimizer, make(optimizer), len(expected)) == pytest.approx(expected, abs=1e-12)


def test_one_cycle_moves_momentum_the_other_way():
    optimizer = optimizer_of(momentum=0.5)
    schedule = OneCycleLR(optimizer, 2.0, total_steps=8)
    expected = [
        0.95, 0.868825509907, 0.852805833485, 0.868825509907, 0.894401776195, 0.921694186956, 0.942336209961, 0.95
    ]
    assert learning_rates(optimizer, schedule, 8, lambda group: group["momentum"]) == pytest.approx(expected)


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_one_cycle_moves_the_first_beta_of_adam(kind):
    optimizer = optimizer_of(kind)
    schedule = one_cycle_three_phase(optimizer)
    low, middle = 0.95 - 0.1 / 3 * 2, 0.95 - 0.1 / 3
    expected = [0.95, middle, low, 0.85, low, middle, 0.95, 0.95, 0.95, 0.95]
    assert learning_rates(optimizer, schedule, 10, lambda group: group["betas"][0]) == pytest.approx(expected)
    assert optimizer.param_groups[0]["betas"][1] == 0.999


def test_one_cycle_leaves_momentum_alone_when_told_to():
    optimizer = optimizer_of(momentum=0.5)
    schedule = OneCycleLR(optimizer, 2.0, total_steps=8, cycle_momentum=False)
    assert learning_rates(optimizer, schedule, 8, lambda group: group["momentum"]) == [0.5] * 8


def test_one_cycle_peaks_at_the_highest_rate_and_ends_at_the_lowest():
    optimizer = optimizer_of()
    schedule = OneCycleLR(optimizer, 0.3, total_steps=101, pct_start=21 / 101, div_factor=10, final_div_factor=100)
    values = learning_rates(optimizer, schedule, 101)
    assert values[0] == pytest.approx(0.03)
    assert values.index(max(values)) == 20
    assert max(values) == pytest.approx(0.3)
    assert values[-1] == pytest.approx(0.0003)
    assert values[10] == pytest.approx((0.03 + 0.3) / 2)


@pytest.mark.parametrize("pct_start", [0.0, 0.1, 0.25, 1.0])
@pytest.mark.parametrize("total_steps", [1, 4, 10])
@pytest.mark.parametrize("three_phase", [False, True])
def test_one_cycle_stays_in_its_range_at_the_edges_of_its_settings(pct_start, total_steps, three_phase):
    optimizer = optimizer_of()
    schedule = OneCycleLR(optimizer, 1.0, total_steps, pct_start=pct_start, three_phase=three_phase)
    assert all(0 <= value <= 1 + 1e-12 for value in learning_rates(optimizer, schedule, total_steps))


def test_one_cycle_takes_a_rate_for_each_group_and_refuses_to_run_over():
    a, b = (Tensor([0.0], requires_grad=True) for _ in range(2))
    optimizer = SGD([{"params": [a]}, {"params": [b]}], lr=1.0)
    schedule = OneCycleLR(optimizer, [1.0, 2.0], total_steps=10, max_momentum=[0.9, 0.8])
    assert schedule.get_last_lr() == pytest.approx([0.04, 0.08])
    assert [group["momentum"] for group in optimizer.param_groups] == pytest.approx([0.9, 0.8])
    for _ in range(10):
        schedule.step()
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match="the cycle of 10 steps is over: it cannot take step number 11"):
        schedule.step()
    assert optimizer.state_dict() == before
    assert schedule.last_epoch == 10


def test_a_cosine_is_exact_after_a_million_steps():
    optimizer = optimizer_of(lr=0.1)
    schedule = CosineAnnealingLR(optimizer, 1_000_000)
    schedule.last_epoch = 499_999
    schedule.step()
    assert schedule.get_last_lr() == pytest.approx([0.05], rel=1e-12)


def test_each_group_keeps_its_share():
    a, b = (Tensor([0.0], requires_grad=True) for _ in range(2))
    optimizer = SGD([{"params": [a], "lr": 0.2}, {"params": [b]}], lr=1.0)
    schedule = StepLR(optimizer, 1, 0.5)
    schedule.step()
    assert schedule.get_last_lr() == [0.1, 0.5]


def test_nested_sequences_run_in_order():
    optimizer = optimizer_of()
    inner = SequentialLR(optimizer, [LinearLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)], [2])
    outer = SequentialLR(optimizer, [inner, StepLR(optimizer, 1, 0.1)], [4])
    assert learning_rates(optimizer, outer, 6) == pytest.approx([0.5, 0.75, 1.0, 0.5, 1.0, 0.1])


# ------------------------------------------------------------------------------------------------ plateaus


def test_a_plateau_is_left_as_in_pytorch():
    optimizer = optimizer_of()
    schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=1, min_lr=0.2)
    rates = []
    for metric in [1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8]:
        schedule.step(metric)
        rates += schedule.get_last_lr()
    assert rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2]


@pytest.mark.parametrize(
    ("mode", "threshold_mode", "better", "worse"),
    [("min", "rel", 8.9, 9.1), ("min", "abs", 9.8, 9.95), ("max", "rel", 11.1, 10.9), ("max", "abs", 10.2, 10.05)],
)
def test_a_metric_must_beat_the_best_by_the_threshold(mode, threshold_mode, better, worse):
    for metric, expected in [(better, 1.0), (worse, 0.1), (math.nan, 0.1)]:
        optimizer = optimizer_of()
        schedule = ReduceLROnPlateau(optimizer, mode, patience=0, threshold=0.1, threshold_mode=threshold_mode)
        schedule.step(10.0)
        schedule.step(metric)
        assert schedule.get_last_lr() == [expected]


def test_a_reduction_too_small_to_matter_is_not_made():
    optimizer = optimizer_of(lr=1e-8)
    schedule = ReduceLROnPlateau(optimizer, patience=0)
    for _ in range(3):
        schedule.step(1.0)
    assert schedule.get_last_lr() == [1e-8]


# ------------------------------------------------------------------------------------------------ resuming


@each_schedule
@pytest.mark.parametrize("optimizer_first", [True, False])
def test_training_resumes_on_the_same_values_in_whichever_order_it_is_loaded(name, optimizer_first):
    make, expected = GOLDEN[name]
    optimizer = optimizer_of(momentum=0.9)
    schedule = make(optimizer)
    learning_rates(optimizer, schedule, 2)
    saved_optimizer, saved_schedule = json.loads(json.dumps([optimizer.state_dict(), schedule.state_dict()]))

    resumed = optimizer_of(lr=0.7, momentum=0.9)
    if optimizer_first:
        resumed.load_state_dict(saved_optimizer)
    resumed_schedule = make(resumed)
    resumed_schedule.load_state_dict(saved_schedule)
    resumed.load_state_dict(saved_optimizer)
    assert resumed.state_dict() == optimizer.state_dict()
    steps = len(expected) - 2
    assert learning_rates(resumed, resumed_schedule, steps) == learning_rates(optimizer, schedule, steps)


@pytest.mark.parametrize("optimizer_first", [True, False])
def test_a_sequence_resumes_with_the_momentum_that_a_cycle_left_when_it_was_over(optimizer_first):
    def make(optimizer):
        cycle = SequentialLR(optimizer, [OneCycleLR(optimizer, 2.0, total_steps=9), StepLR(optimizer, 2)], [5])
        return SequentialLR(optimizer, [cycle, CosineAnnealingLR(optimizer, 9)], [7])

    optimizer, resumed = optimizer_of(momentum=0.9), optimizer_of(momentum=0.9)
    schedule, resumed_schedule = make(optimizer), make(resumed)
    learning_rates(optimizer, schedule, 8)
    assert 0.85 < optimizer.param_groups[0]["momentum"] < 0.95
    states = [(resumed, optimizer.state_dict()), (resumed_schedule, schedule.state_dict())]
    for part, state in states if optimizer_first else states[::-1]:
        part.load_state_dict(state)
    assert resumed.state_dict() == optimizer.state_dict()
    assert learning_rates(resumed, resumed_schedule, 5) == learning_rates(optimizer, schedule, 5)


def test_a_plateau_resumes_with_its_patience():
    optimizer, resumed = optimizer_of(), optimizer_of()
    schedule = ReduceLROnPlateau(optimizer, patience=1)
    schedule.step(1.0)
    schedule.step(1.0)
    resumed_schedule = ReduceLROnPlateau(resumed)
    resumed_schedule.load_state_dict(schedule.state_dict())
    resumed_schedule.step(1.0)
    assert resumed_schedule.get_last_lr() == [0.1]


def test_a_schedule_resumes_from_a_number_of_steps():
    optimizer = optimizer_of()
    optimizer.param_groups[0]["initial_lr"] = 1.0
    assert StepLR(optimizer, 2, 0.5, last_epoch=3).get_last_lr() == [0.25]
    with pytest.raises(ValueError, match="to resume after step 3, load the optimizer first: it has no 'initial_lr'"):
        StepLR(optimizer_of(), 2, last_epoch=3)


def test_the_state_of_another_schedule_is_refused():
    schedule = StepLR(optimizer_of(), 2)
    with pytest.raises(ValueError, match="StepLR has the state"):
        schedule.load_state_dict(ExponentialLR(optimizer_of(), 0.5).state_dict())
    with pytest.raises(ValueError, match=r"base_lrs is like \[1.0\] in this schedule, got \[1.0, 2.0\]"):
        schedule.load_state_dict(schedule.state_dict() | {"base_lrs": [1.0, 2.0]})


# ------------------------------------------------------------------------------------------------ bad arguments


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: StepLR(o, 0), "expects step_size to be an integer of at least 1, got 0"),
        (lambda o: CosineAnnealingLR(o, 1.5), "expects T_max to be an integer of at least 1, got 1.5"),
        (lambda o: StepLR(o, 2, gamma="a"), "StepLR expects gamma to be a number from 0 to inf, got 'a'"),
        (lambda o: ExponentialLR(o, None), "ExponentialLR expects gamma to be a number .*, got None"),
        (lambda o: StepLR(o, 2, gamma=10**400), "StepLR expects gamma to be a number .*, got 1000"),
        (lambda o: MultiStepLR(o, 3), "MultiStepLR expects milestones to be a list, got 3"),
        (lambda o: MultiStepLR(o, np.array(3)), "milestones to be a list, got array"),
        (lambda o: MultiStepLR(o, [-1, 3]), "expects each of milestones to be an integer of at least 0, got -1"),
        (lambda o: CosineAnnealingLR(o, 5, "a"), "CosineAnnealingLR expects eta_min to be a number, got 'a'"),
        (lambda o: OneCycleLR(o, "a", 5), "a schedule expects max_lr to be a number, got 'a'"),
        (lambda o: SequentialLR(o, [1, 2], [1]), "int cannot be part of this sequence, since it is no function"),
        (lambda o: ReduceLROnPlateau(o, patience="a"), "expects patience to be an integer of at least 0, got 'a'"),
        (lambda o: LinearLR(o, 0.0), "LinearLR expects start_factor to be a number from above 0 to 1, got 0.0"),
        (lambda o: LinearLR(o, total_iters=0), "expects total_iters to be an integer of at least 1, got 0"),
        (lambda o: OneCycleLR(o, 1.0), "OneCycleLR needs total_steps, or epochs and steps_per_epoch"),
        (lambda o: OneCycleLR(o, 1.0, epochs=0, steps_per_epoch=2), "expects epochs to be an integer of at least 1"),
        (lambda o: OneCycleLR(o, 1.0, total_steps=-1), "expects total_steps to be an integer of at least 1, got -1"),
        (lambda o: OneCycleLR(o, 1.0, 10, pct_start=30), "expects pct_start to be a number from 0 to 1, got 30"),
        (lambda o: OneCycleLR(o, 1.0, 10, anneal_strategy="log"), "anneal_strategy to be 'cos' or 'linear', got 'log'"),
        (lambda o: OneCycleLR(o, [1.0, 2.0], 10), "max_lr needs one value for each of 1 parameter groups"),
        (lambda o: OneCycleLR(optimizer_of(Adagrad), 1.0, 10), "Adagrad has no momentum to cycle"),
        (lambda o: OneCycleLR(o, 1.0, 10, div_factor=0), "div_factor to be a number from above 0 to inf, got 0"),
        (lambda o: OneCycleLR(o, 1.0, 10, final_div_factor=0.0), "final_div_factor to be .* above 0 to inf, got 0.0"),
        (lambda o: OneCycleLR(o, -1.0, 10), r"at step 0 OneCycleLR sets \[-0.04"),
        (lambda o: OneCycleLR(o, 1.0, 10, max_momentum=1.0), "max_momentums to be .* from 0 to less than 1, got 1.0"),
        (lambda o: OneCycleLR(o, 1.0, 10, base_momentum=[-1]), "each of base_momentums to be .* less than 1, got -1"),
        (lambda o: CosineAnnealingLR(o, 4, eta_min=math.inf), r"at step 0 CosineAnnealingLR sets \[nan\]"),
        (lambda o: ExponentialLR(o, -0.5), "ExponentialLR expects gamma to be a number from 0 to inf, got -0.5"),
        (lambda o: [it.step() for it in [ExponentialLR(o, 1e200)] * 2], r"at step 2 ExponentialLR sets \[inf\]"),
        (lambda o: SequentialLR(o, [StepLR(o, 1)] * 3, [5, 2]), r"milestones come one after the other, got \[5, 2\]"),
        (lambda o: StepLR(o, 1).load_state_dict(None), "StepLR has the state .*, got a NoneType"),
        (lambda o: SequentialLR(o, [StepLR(o, 1)], []).load_state_dict(3), "SequentialLR has the state .*, got a int"),
        (lambda o: ReduceLROnPlateau(o, factor=1.0), "expects factor to be a number from 0 to less than 1, got 1.0"),
        (lambda o: ReduceLROnPlateau(o, "low"), "mode to be 'min' or 'max', got 'low'"),
        (lambda o: SequentialLR(o, [StepLR(o, 1)], [1]), r"1 schedules need one milestone fewer, got \[1\]"),
        (lambda o: SequentialLR(o, [], 3), "SequentialLR expects milestones to be a list, got 3"),
        (lambda o: ReduceLROnPlateau(o).step(None), "ReduceLROnPlateau expects the metric to be a number, got None"),
        (lambda o: SequentialLR(o, [ReduceLROnPlateau(o)], []), "it is no function of steps"),
        (lambda o: SequentialLR(o, [StepLR(optimizer_of(), 1)], []), "it is of another optimizer"),
    ],
)
def test_bad_arguments_are_refused_with_a_sentence_that_shows_them(make, message):
    with pytest.raises(ValueError, match=message):
        make(optimizer_of())


EVERY_SCHEDULE = {name: make for name, (make, _) in GOLDEN.items()} | {"ReduceLROnPlateau": ReduceLROnPlateau}


@pytest.mark.parametrize("bad", [-1, 0, 0.5, -0.5, 10**400, math.nan, math.inf, "low"], ids=lambda bad: f"{bad!r:.5}")
@pytest.mark.parametrize("name", EVERY_SCHEDULE)
def test_a_state_is_refused_as_a_whole_or_gives_a_schedule_that_sets_learning_rates(name, bad):
    def sets(value, entry):
        return [bad] * len(value) if isinstance(value, list) and entry != "schedulers" else bad

    fresh = EVERY_SCHEDULE[name](optimizer_of(momentum=0.5)).state_dict()
    states = [fresh | {entry: sets(value, entry)} for entry, value in fresh.items()]
    states += [fresh | {"schedulers": [part, *fresh["schedulers"][1:]]} for part in parts_of(fresh, bad)]
    for state in states:
        optimizer = optimizer_of(momentum=0.5)
        schedule = EVERY_SCHEDULE[name](optimizer)
        before = schedule.state_dict(), optimizer.state_dict()
        try:
            schedule.load_state_dict(state)
        except ValueError:
            assert (schedule.state_dict(), optimizer.state_dict()) == before
            continue
        with suppress(ValueError):  # it is over, or its learning rate would be none
            for _ in range(3):
                advance(schedule)
        assert all(0 <= lr < math.inf for lr in schedule.get_last_lr())


def parts_of(state, bad):
    """The state of the first schedule of a sequence, with one entry after the other replaced."""
    first = state.get("schedulers", [{}])[0]
    return [first | {entry: bad} for entry in first]


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (lambda o: StepLR(o, 2), {"step_size": 0}), (lambda o: StepLR(o, 2), {"gamma": -1}),
        (lambda o: StepLR(o, 2), {"last_epoch": 1.5}), (lambda o: StepLR(o, 2), {"base_lrs": [math.nan]}),
        (lambda o: MultiStepLR(o, [1]), {"milestones": [-1]}), (lambda o: CosineAnnealingLR(o, 2), {"T_max": 0}),
        (lambda o: LinearLR(o), {"start_factor": 0}), (lambda o: LinearLR(o), {"total_iters": 0}),
        (lambda o: OneCycleLR(o, 1.0, 5), {"anneal_strategy": "log"}),
        (lambda o: OneCycleLR(o, 1.0, 5), {"max_momentums": [2.0]}),
        (lambda o: OneCycleLR(o, 1.0, 5), {"three_phase": True}), (lambda o: OneCycleLR(o, 1.0, 5), {"last_epoch": 6}),
        (lambda o: SequentialLR(o, [StepLR(o, 1)] * 3, [2, 5]), {"milestones": [5, 2]}),
        (ReduceLROnPlateau, {"mode": "low"}), (ReduceLROnPlateau, {"factor": 1.0}),
        (ReduceLROnPlateau, {"patience": -1}),
    ],
)
def test_settings_that_a_schedule_is_not_made_with_are_not_loaded_either(make, settings):
    optimizer = optimizer_of(momentum=0.5)
    schedule = make(optimizer)
    before = schedule.state_dict(), optimizer.state_dict()
    with pytest.raises(ValueError, match=r"expects|sets \[|go with|is over|one after"):
        schedule.load_state_dict(schedule.state_dict() | settings)
    assert (schedule.state_dict(), optimizer.state_dict()) == before


def test_a_momentum_is_not_cycled_by_loading_where_there_is_none():
    schedule = OneCycleLR(optimizer_of(Adagrad), 1.0, 5, cycle_momentum=False)
    with pytest.raises(ValueError, match="Adagrad has no momentum to cycle"):
        schedule.load_state_dict(OneCycleLR(optimizer_of(momentum=0.5), 1.0, 5).state_dict())


def test_a_schedule_without_a_formula_says_so():
    with pytest.raises(NotImplementedError, match="LRScheduler does not define lr_at"):
        LRScheduler(optimizer_of())


@pytest.mark.parametrize("make", [
    lambda optimizer: StepLR(optimizer, 1), lambda optimizer: OneCycleLR(optimizer, max_lr=1.0, total_steps=10),
    ReduceLROnPlateau,
])
def test_parameter_groups_that_came_later_are_said_and_nothing_is_changed(make):
    optimizer = SGD([Tensor([1.0], requires_grad=True)], lr=0.1, momentum=0.9)
    schedule = make(optimizer)
    optimizer.add_param_group({"params": Tensor([1.0], requires_grad=True)})
    before = schedule.state_dict(), [dict(group) for group in optimizer.param_groups]
    with pytest.raises(ValueError, match="made for 1 parameter groups, but the optimizer has 2 by now"):
        schedule.step(*[1.0] * isinstance(schedule, ReduceLROnPlateau))
    assert (schedule.state_dict(), [dict(group) for group in optimizer.param_groups]) == before


# ---------------------------------------------------------------- two on one optimizer

PAIRS = {
    "two alike": (lambda o: StepLR(o, 2), lambda o: StepLR(o, 3)),
    "two kinds": (lambda o: LinearLR(o), lambda o: CosineAnnealingLR(o, 10)),
    "a plateau behind": (lambda o: ExponentialLR(o, 0.9), lambda o: ReduceLROnPlateau(o)),
    "a plateau before": (lambda o: ReduceLROnPlateau(o), lambda o: ExponentialLR(o, 0.9)),
    "a part of a sequence": (lambda o: SequentialLR(o, [StepLR(o, 2)], []), lambda o: StepLR(o, 2)),
}


def advance(schedule):
    schedule.step(*([1.0] if isinstance(schedule, ReduceLROnPlateau) else []))


@pytest.mark.parametrize("name", PAIRS)
def test_two_schedules_that_take_turns_are_refused_and_the_learning_rate_stays(name):
    optimizer = optimizer_of()
    first, second = (make(optimizer) for make in PAIRS[name])
    advance(first)
    advance(second)
    rate = optimizer.param_groups[0]["lr"]
    kinds = f"{type(first).__name__} and {type(second).__name__}"
    with pytest.raises(ValueError, match=f"{kinds} both set the learning rates of one optimizer.*SequentialLR"):
        advance(first)
    assert optimizer.param_groups[0]["lr"] == rate
    advance(second)


def test_a_schedule_may_take_over_when_another_is_done():
    optimizer = optimizer_of()
    warmup, decay = LinearLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)
    for _ in range(3):
        warmup.step()
    assert optimizer.param_groups[0]["lr"] == 1
    for _ in range(3):
        decay.step()
    assert optimizer.param_groups[0]["lr"] == 0.5**3
    del decay
    warmup.step()
    assert optimizer.param_groups[0]["lr"] == 1


def test_schedules_of_different_optimizers_keep_out_of_each_others_way():
    schedules = [StepLR(optimizer_of(), 1, 0.5) for _ in range(2)]
    for _ in range(3):
        for schedule in schedules:
            schedule.step()
    assert [schedule.get_last_lr() for schedule in schedules] == [[0.125]] * 2


def test_an_optimizer_is_freed_with_its_schedules():
    gc.collect()
    gc.disable()
    try:
        optimizer = optimizer_of()
        schedules = [StepLR(optimizer, 1), LinearLR(optimizer)]
        for schedule in schedules:
            schedule.step()
        watch = weakref.ref(optimizer)
        del optimizer, schedule, schedules
        assert watch() is None
    finally:
        gc.enable()


def test_numbers_of_numpy_are_settings_and_can_be_saved():
    def states(number):
        optimizer = optimizer_of()
        made = [
            StepLR(optimizer, number(2)), MultiStepLR(optimizer, [number(1), number(4)]),
            LinearLR(optimizer, total_iters=number(3)), CosineAnnealingLR(optimizer, number(5)),
            OneCycleLR(optimizer, 1.0, epochs=number(3), steps_per_epoch=number(2)),
            SequentialLR(optimizer, [StepLR(optimizer, number(1)), StepLR(optimizer, 2)], [number(3)]),
            StepLR(optimizer, 1, last_epoch=number(4)),
        ]
        return [schedule.state_dict() for schedule in made]

    assert json.dumps(states(np.int64)) == json.dumps(states(np.uint8)) == json.dumps(states(int))


@pytest.mark.parametrize("kind", [np.array, Tensor, lambda number: np.array([number]), lambda number: [Tensor(number)]])
def test_numbers_for_all_groups_may_be_arrays_and_tensors_as_lists_of_them_may(kind):
    def states(number):
        optimizer = optimizer_of()
        cycle = OneCycleLR(optimizer, number(2.0), 8, base_momentum=number(0.5), max_momentum=number(0.75))
        plateau = ReduceLROnPlateau(optimizer_of(), min_lr=number(0.5))
        return optimizer.state_dict(), cycle.state_dict(), plateau.state_dict()

    assert states(kind) == states(float)


# ---------------------------------------------------------------- the end of a cycle, and states of sequences


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("three_phase", [False, True])
def test_after_a_cycle_all_is_as_in_its_last_step_and_can_be_loaded(strategy, three_phase):
    optimizer = optimizer_of(AdamW)
    schedule = OneCycleLR(optimizer, 1.0, 10, anneal_strategy=strategy, three_phase=three_phase)
    seen = []
    for _ in range(10):
        seen.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"]))
        schedule.step()
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"]) == seen[-1]
    assert seen[-1][0] == pytest.approx(1 / 25 / 1e4)
    other = optimizer_of(AdamW)
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["lr"] == seen[-1][0]


def test_a_state_that_fits_a_part_of_a_sequence_alone_changes_nothing():
    optimizer = optimizer_of()
    schedule = SequentialLR(optimizer, [StepLR(optimizer, 1), ExponentialLR(optimizer, 0.5)], [3])
    before = schedule.state_dict()
    changed = schedule.state_dict()
    changed["schedulers"][0]["last_epoch"] = 7
    for wrong in ([changed["schedulers"][0], {"gamma": 1.0}], changed["schedulers"][:1], None):
        with pytest.raises(ValueError, match=r"ExponentialLR has the state|schedulers is like"):
            schedule.load_state_dict(changed | {"schedulers": wrong})
    assert schedule.state_dict() == before
