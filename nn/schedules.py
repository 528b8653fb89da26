"""Schedules of the learning rate: each is a function of the number of steps taken.

Names, arguments, defaults and values are PyTorch's, but every value is computed from the number of steps and the
learning rate at the start alone, never from the previous value. So a schedule overrules changes made by hand, and
rounding errors do not add up.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary, ref

from nn.functional.settings import Check, each, is_list, one_of, real, whole
from nn.optim import Optimizer
from nn.state import OfTraining

leaders: WeakKeyDictionary[Optimizer, ref[Schedule]] = WeakKeyDictionary()  # the schedule that was stepped last
# what PyTorch's schedules keep beside what begins with an underscore, and here follows from other settings
OF_PYTORCH = {"default_min_lr", "mode_worse"}

count, positive = partial(whole, least=0), partial(whole, least=1)
numbers_of_steps = each(count)
at_least_0, above_0, share = partial(real, least=0), partial(real, above=0), partial(real, least=0, below=1)


class Schedule(OfTraining):
    """What sets the learning rates of an optimizer, step by step: only one of them at a time."""

    CHECKS: ClassVar[Mapping[str, Check]] = {}  # of the settings, when a schedule is made and when it is loaded
    optimizer: Optimizer
    last_epoch: int
    _has_led = False  # whether it was stepped, see `lead`

    def lead(self, rates: Sequence[float]) -> None:
        """Be the one that sets the learning rates, one for each of as many parameter groups as there are `rates`.

        Raises ValueError if there are more groups by now, or if this was the one, and another schedule took over.
        """
        if len(groups := self.optimizer.param_groups) != len(rates):
            raise ValueError(
                f"the schedule was made for {len(rates)} parameter groups, but the optimizer has {len(groups)} by now: "
                "make the schedule after add_param_group()"
            )
        known = leaders.get(self.optimizer)
        leader = known() if known else None
        if self._has_led and leader is not None and leader is not self:
            kinds = f"{type(self).__name__} and {type(leader).__name__}"
            raise ValueError(
                f"{kinds} both set the learning rates of one optimizer, so that one of them is without effect: "
                "step one of them, or a SequentialLR of both"
            )
        self._has_led = True
        leaders[self.optimizer] = ref(self)

    def get_last_lr(self) -> list[float]:
        """The learning rate of each parameter group."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """A copy of the settings and the count, in plain numbers and lists."""
        left_out = "optimizer", "schedulers", "_has_led"
        return deepcopy({name: entry for name, entry in vars(self).items() if name not in left_out})

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue where the schedule was whose `state_dict` this is.

        A state of PyTorch's schedule of the same name is taken as it is, but for MultiStepLR, OneCycleLR and
        SequentialLR, which keep something else.

        Raises:
            ValueError: if it is the state of another kind of schedule, or for another number of parameter groups, or
                with settings that a schedule is not made with; then nothing has changed.
        """
        self.check_state(state_dict)
        before = self.state_dict()
        self.put_state(state_dict)
        try:
            self.check_settings()
            self.apply(self.last_epoch)
        except ValueError:
            self.put_state(before)
            raise

    def check_settings(self) -> None:
        """Raise ValueError if a setting is out of range."""
        for name, check in self.CHECKS.items():
            setattr(self, name, check(type(self).__name__, name, getattr(self, name)))

    def apply(self, step: int) -> None:
        """Set the optimizer to what holds after `step` steps, if that follows from their number alone."""

    def put_state(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the settings and the count, and leave the optimizer as it is."""
        vars(self).update({name: deepcopy(state_dict[name]) for name in self.state_dict() if name != "schedulers"})

    def check_state(self, state_dict: Mapping[str, Any]) -> None:
        """Raise ValueError unless it is the state of such a schedule."""
        own, given, kind = self.state_dict(), list[str](), f"a {type(state_dict).__name__}"
        if isinstance(state_dict, Mapping):
            beside = {name for name in state_dict if str(name)[:1] == "_" or name in OF_PYTORCH}
            given = sorted(set(state_dict) - (beside - set(own)))
        if given != sorted(own):
            raise ValueError(f"{type(self).__name__} has the state {sorted(own)}, got {given or kind}")
        for name, entry in own.items():
            if form(state_dict[name]) != form(entry):
                raise ValueError(f"{name} is like {entry} in this schedule, got {state_dict[name]!r:.80}")


def form(entry: Any) -> Any:
    """Of what kind an entry is, whatever its value: numbers are alike, and lists of as many entries."""
    if isinstance(entry, list):
        return [form(item) for item in entry]
    return float if isinstance(entry, int | float) else type(entry)


class LRScheduler(Schedule):
    """What all schedules by the number of steps share: `step` counts, and sets the learning rate of each group.

    A subclass defines `lr_at`, and sets its attributes before it calls `__init__`, which sets the first learning rate.

    Args:
        optimizer: whose `param_groups` to change. The learning rates it starts with are kept there as "initial_lr".
        last_epoch: the number of the last step when training is resumed; -1 to begin.

    Raises:
        ValueError: if training is resumed with an optimizer that has no "initial_lr" yet.

    >>> from minigrad import Tensor
    >>> from nn.optim import SGD
    >>> class Halving(LRScheduler):
    ...     def lr_at(self, base_lr, step):
    ...         return base_lr / 2**step
    >>> schedule = Halving(SGD([Tensor([1.0], requires_grad=True)], lr=0.1))
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.05]
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = optimizer
        self.check_settings()
        for group in optimizer.param_groups:
            if last_epoch != -1 and "initial_lr" not in group:
                raise ValueError(f"to resume after step {last_epoch}, load the optimizer first: it has no 'initial_lr'")
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs: list[float] = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = whole(type(self).__name__, "last_epoch", last_epoch, -1) + 1
        self.apply(self.last_epoch)

    def lr_at(self, base_lr: float, step: int) -> float:
        """The learning rate after `step` steps of a group that started with `base_lr`."""
        raise NotImplementedError(f"{type(self).__name__} does not define lr_at()")

    def apply(self, step: int) -> None:
        """Set the optimizer to what holds after `step` steps; ValueError if that is no learning rate."""
        kind = type(self).__name__
        step = whole(kind, "the number of steps", step, 0)
        try:
            lrs = [float(self.lr_at(base_lr, step)) for base_lr in self.base_lrs]
        except OverflowError:  # of a power
            lrs = [math.inf]
        if not all(0 <= lr < math.inf for lr in lrs):
            raise ValueError(f"a learning rate is from 0 to less than inf, but at step {step} {kind} sets {lrs}")
        for group, lr in zip(self.optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr

    def step(self) -> None:
        """Count one more step, after the optimizer's, and set the learning rates for the next.

        Raises ValueError if the optimizer has more parameter groups by now, or another schedule leads it.
        """
        self.lead(self.base_lrs)
        self.apply(self.last_epoch + 1)
        self.last_epoch += 1


class StepLR(LRScheduler):
    """The learning rate times `gamma` every `step_size` steps.

    >>> from minigrad import Tensor
    >>> from nn.optim import SGD
    >>> schedule = StepLR(SGD([Tensor([1.0], requires_grad=True)], lr=1.0), step_size=2, gamma=0.5)
    >>> [schedule.lr_at(1.0, step) for step in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    CHECKS: ClassVar[Mapping[str, Check]] = {"step_size": positive, "gamma": at_least_0}

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def lr_at(self, base_lr: float, step: int) -> float:
        return base_lr * self.gamma ** (step // self.step_size)


class MultiStepLR(LRScheduler):
    """The learning rate times `gamma` at each of the `milestones`, which are numbers of steps.

    >>> from minigrad import Tensor
    >>> from nn.optim import SGD
    >>> schedule = MultiStepLR(SGD([Tensor([1.0], requires_grad=True)], lr=1.0), milestones=[1, 4], gamma=0.5)
    >>> [schedule.lr_at(1.0, step) for step in range(5)]
    [1.0, 0.5, 0.5, 0.5, 0.25]
    """

    CHECKS: ClassVar[Mapping[str, Check]] = {
        "milestones": lambda *given: sorted(numbers_of_steps(*given)), "gamma": at_least_0,
    }

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = numbers_of_steps("MultiStepLR", "milestones", milestones), gamma
        super().__init__(optimizer, last_epoch)

    def lr_at(self, base_lr: float, step: int) -> float:
        return base_lr * self.gamma ** bisect_right(self.milestones, step)


class ExponentialLR(LRScheduler):
    """The learning rate times `gamma` at every step.

    >>> from minigrad import Tensor
    >>> from nn.optim import SGD
    >>> schedule = ExponentialLR(SGD([Tensor([1.0], requires_grad=True)], lr=1.0), gamma=0.5)
    >>> [schedule.lr_at(1.0, step) for step in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """

    CHECKS: ClassVar[Mapping[str, Check]] = {"gamma": at_least_0}

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def lr_at(self, base_lr: float, step: int) -> float:
        return base_lr * self.gamma**step


class LinearLR(LRScheduler):
    """The learning rate times a factor that goes from `start_factor` to `end_factor` in `total_iters` steps.

    Raises:
        ValueError: if a factor is not between 0 and 1, `start_factor` is 0, or `total_iters` is not positive.

    >>> from minigrad import Tensor
    >>> from nn.optim import SGD
    >>> schedule = LinearLR(SGD([Tensor([1.0], requires_grad=True)], lr=1.0), start_factor=0.5, total_iters=2)
    >>> [schedule.lr_at(1.0, step) for step in range(4)]
    [0.5, 0.75, 1.0, 1.0]
    """

    CHECKS: ClassVar[Mapping[str, Check]] = {
        "start_factor": partial(real, most=1, above=0), "end_factor": partial(real, least=0, most=1),
        "total_iters": positive,
    }

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def lr_at(self, base_lr: float, step: int) -> float:
        done = min(step / self.total_iters, 1.0)
        return base_lr * (self.start_factor + (self.end_factor - self.start_factor) * done)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine down to `eta_min` in `T_max` steps (Loshchilov and Hutter, 2017, eq. 5); then it rises again.

    >>> from minigrad import Tensor
    >>> from nn.optim import SGD
    >>> schedule = CosineAnnealingLR(SGD([Tensor([1.0], requires_grad=True)], lr=1.0), T_max=4)
    >>> [round(schedule.lr_at(1.0, step), 3) for step in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """

    CHECKS: ClassVar[Mapping[str, Check]] = {"T_max": positive, "eta_min": real}

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def lr_at(self, base_lr: float, step: int) -> float:
        return cosine(base_lr, self.eta_min, step / self.T_max)


class OneCycleLR(LRScheduler):
    """Up to `max_lr` and down to nearly nothing, in one run, the momentum the other way (Smith and Topin, 2019).

    Step it after every batch. `AdamW` and its kin, `Muon` too, have their β₁ cycled, others their momentum. The
    step after the last batch changes nothing, where PyTorch goes on along the curve, below 0 if it is linear; a further
    one is an error.

    Args:
        optimizer: what to change; the learning rate given to it does not matter.
        max_lr: the highest learning rate, or one for each parameter group.
        total_steps: the length of the cycle, or else
        epochs, steps_per_epoch: the two factors of it.
        pct_start: the part of the cycle, 0 to 1, in which the learning rate rises.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether to cycle the momentum.
        base_momentum: the momentum at the highest learning rate, 0 to less than 1, or one for each group.
        max_momentum: the momentum at the start and the end, 0 to less than 1, or one for each group.
        div_factor: the first learning rate is `max_lr / div_factor`.
        final_div_factor: the last is the first divided by this.
        three_phase: come down to the first learning rate as slowly as it rose, and only then to the last.
        last_epoch: the number of the last step when training is resumed; -1 to begin.

    Raises:
        ValueError: if the length is missing or not positive, another setting is not as above, a list does not have one
            entry for each group, the optimizer has no momentum to cycle, or the cycle is over.

    >>> from minigrad import Tensor
    >>> from nn.optim import AdamW
    >>> schedule = OneCycleLR(AdamW([Tensor([1.0], requires_grad=True)]), max_lr=1.0, total_steps=10)
    >>> [round(schedule.lr_at(0.04, step), 2) for step in range(10)]
    [0.04, 0.52, 1.0, 0.95, 0.81, 0.61, 0.39, 0.19, 0.05, 0.0]
    """

    CHECKS: ClassVar[Mapping[str, Check]] = {
        "total_steps": positive, "anneal_strategy": partial(one_of, choices=("cos", "linear")),
        "phase_ends": each(real), "div_factor": above_0, "final_div_factor": above_0,
        "base_momentums": each(share), "max_momentums": each(share),
    }

    def __init__(
        self, optimizer: Optimizer, max_lr: float | Sequence[float], total_steps: int | None = None,
        epochs: int | None = None, steps_per_epoch: int | None = None, pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos", cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85, max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0, final_div_factor: float = 1e4, three_phase: bool = False, last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR needs total_steps, or epochs and steps_per_epoch")
            total_steps = whole("OneCycleLR", "epochs", epochs, 1)
            total_steps *= whole("OneCycleLR", "steps_per_epoch", steps_per_epoch, 1)
        pct_start = real("OneCycleLR", "pct_start", pct_start, 0, 1)
        self.optimizer, self.total_steps = optimizer, whole("OneCycleLR", "total_steps", total_steps, 1)
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        self.anneal_strategy, self.cycle_momentum, self.three_phase = anneal_strategy, cycle_momentum, three_phase
        self.base_momentums = one_per_group("base_momentum", base_momentum, optimizer)
        self.max_momentums = one_per_group("max_momentum", max_momentum, optimizer)
        peak = pct_start * self.total_steps - 1  # PyTorch counts these from 1, and the start from 0
        self.phase_ends = [peak, *[2 * peak] * bool(three_phase), self.total_steps - 1]
        self.check_settings()
        for group, highest in zip(optimizer.param_groups, one_per_group("max_lr", max_lr, optimizer), strict=True):
            if last_epoch == -1:
                group["initial_lr"] = highest / self.div_factor
        super().__init__(optimizer, last_epoch)
        for group, first in zip(optimizer.param_groups, self.base_lrs, strict=True):  # PyTorch's looks for them there
            group.update(max_lr=first * self.div_factor, min_lr=first / self.final_div_factor)

    def check_settings(self) -> None:
        super().check_settings()
        if self.cycle_momentum and not {"betas", "momentum"} & set(self.optimizer.defaults):
            raise ValueError(f"{type(self.optimizer).__name__} has no momentum to cycle: pass cycle_momentum=False")
        if len(self.phase_ends) != (3 if self.three_phase else 2):
            raise ValueError(f"three_phase={self.three_phase} does not go with phases that end at {self.phase_ends}")

    def anneal(self, step: int, borders: Sequence[float]) -> float:
        """What goes from border to border, one phase after the other, at this step."""
        ends = self.phase_ends
        phase = next((i for i, end in enumerate(ends) if step <= end), len(ends) - 1)
        start, end = ends[phase - 1] if phase else 0, ends[phase]
        done = min((step - start) / (end - start), 1.0) if end != start else 1.0  # after the last step all stays there
        if self.anneal_strategy == "cos":
            return cosine(borders[phase], borders[phase + 1], done)
        return borders[phase] + (borders[phase + 1] - borders[phase]) * done

    def lr_at(self, base_lr: float, step: int) -> float:
        middle = [base_lr] if self.three_phase else []
        return self.anneal(step, [base_lr, base_lr * self.div_factor, *middle, base_lr / self.final_div_factor])

    def apply(self, step: int) -> None:
        if step > self.total_steps:
            raise ValueError(f"the cycle of {self.total_steps} steps is over: it cannot take step number {step}")
        super().apply(step)
        if self.cycle_momentum:
            momenta = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (lowest, highest) in zip(self.optimizer.param_groups, momenta, strict=True):
                momentum = self.anneal(step, [highest, lowest, highest, highest])
                cycled = {"betas": (momentum, group["betas"][1])} if "betas" in group else {"momentum": momentum}
                group.update(cycled, base_momentum=lowest, max_momentum=highest)


class SequentialLR(LRScheduler):
    """One schedule after the other: each begins at step 0 of its own at its milestone.

    Args:
        optimizer: the one all `schedulers` were made for.
        schedulers: the schedules, in order.
        milestones: the number of steps at which the second, third, ... take over.
        last_epoch: the number of the last step when training is resumed; -1 to begin.

    Raises:
        ValueError: if there is not one schedule more than milestones, these are not in order, or a schedule is of
            another optimizer or a `ReduceLROnPlateau`, which is not a function of the number of steps.

    >>> from minigrad import Tensor
    >>> from nn.optim import SGD
    >>> optimizer = SGD([Tensor([1.0], requires_grad=True)], lr=1.0)
    >>> warmup, decay = LinearLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)
    >>> schedule, lrs = SequentialLR(optimizer, [warmup, decay], milestones=[2]), []
    >>> for _ in range(5):
    ...     lrs += schedule.get_last_lr()
    ...     schedule.step()
    >>> lrs
    [0.5, 0.75, 1.0, 0.5, 0.25]
    """

    CHECKS: ClassVar[Mapping[str, Check]] = {"milestones": numbers_of_steps}

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self.milestones = numbers_of_steps("SequentialLR", "milestones", milestones)
        if len(self.milestones) != len(schedulers) - 1:
            raise ValueError(f"{len(schedulers)} schedules need one milestone fewer, got {self.milestones}")
        for schedule in schedulers:
            if not isinstance(schedule, LRScheduler) or schedule.optimizer is not optimizer:
                reason = "is of another optimizer" if isinstance(schedule, LRScheduler) else "is no function of steps"
                raise ValueError(f"{type(schedule).__name__} cannot be part of this sequence, since it {reason}")
        self.schedulers = list(schedulers)
        super().__init__(optimizer, last_epoch)

    def check_settings(self) -> None:
        super().check_settings()
        if self.milestones != sorted(self.milestones):
            raise ValueError(f"milestones come one after the other, got {self.milestones}")
        for schedule in self.schedulers:
            schedule.check_settings()

    def apply(self, step: int) -> None:
        number = bisect_right(self.milestones, step)
        self.schedulers[number].apply(step - (self.milestones[number - 1] if number else 0))

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"schedulers": [schedule.state_dict() for schedule in self.schedulers]}

    def check_state(self, state_dict: Mapping[str, Any]) -> None:
        super().check_state(state_dict)
        for schedule, state in zip(self.schedulers, state_dict["schedulers"], strict=True):
            schedule.check_state(state)

    def put_state(self, state_dict: Mapping[str, Any]) -> None:
        super().put_state(state_dict)
        for schedule, state in zip(self.schedulers, state_dict["schedulers"], strict=True):
            schedule.put_state(state)


class ReduceLROnPlateau(Schedule):
    """The learning rate times `factor` when a metric has not improved for more than `patience` epochs.

    Args:
        optimizer: what to change.
        mode: "min" if a lower metric is better, "max" if a higher one is.
        factor: what to multiply by, less than 1.
        patience: how many epochs without improvement are let pass.
        threshold: by how much the best metric must be beaten.
        threshold_mode: whether that is a part of the best ("rel") or a difference from it ("abs").
        cooldown: how many epochs after a reduction are not counted.
        min_lr: a learning rate, or one for each parameter group, below which it is never reduced.
        eps: a smaller reduction than this is not made.

    Raises:
        ValueError: if `factor` is not less than 1 or a mode is unknown.

    >>> from minigrad import Tensor
    >>> from nn.optim import SGD
    >>> schedule = ReduceLROnPlateau(SGD([Tensor([1.0], requires_grad=True)], lr=1.0), patience=1)
    >>> for loss in [0.5, 0.6, 0.7]:
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.1]
    """

    CHECKS: ClassVar[Mapping[str, Check]] = {
        "mode": partial(one_of, choices=("min", "max")), "threshold_mode": partial(one_of, choices=("rel", "abs")),
        "factor": share, "threshold": real, "eps": real, "min_lrs": each(real), "best": real,
        **dict.fromkeys(["patience", "cooldown", "num_bad_epochs", "cooldown_counter", "last_epoch"], count),
    }

    def __init__(
        self, optimizer: Optimizer, mode: Literal["min", "max"] = "min", factor: float = 0.1, patience: int = 10,
        threshold: float = 1e-4, threshold_mode: Literal["rel", "abs"] = "rel", cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0, eps: float = 1e-8,
    ) -> None:
        self.optimizer, self.mode, self.factor = optimizer, mode, factor
        self.threshold, self.threshold_mode, self.eps = threshold, threshold_mode, eps
        self.patience, self.cooldown = patience, cooldown
        self.min_lrs = one_per_group("min_lr", min_lr, optimizer)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self.check_settings()

    def step(self, metrics: float) -> None:
        """Take note of an epoch's metric, and reduce the learning rates if it is time to.

        Raises ValueError if that is no number, the optimizer has more parameter groups by now, or another schedule
        leads it.
        """
        metric = math.nan if metrics != metrics else real("ReduceLROnPlateau", "the metric", metrics)
        self.lead(self.min_lrs)
        self.last_epoch += 1
        self.num_bad_epochs += 1
        if self.is_better(metric):  # NaN is not
            self.best, self.num_bad_epochs = metric, 0
        if self.cooldown_counter > 0:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown_counter - 1, 0
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            for group, lowest in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                reduced = max(group["lr"] * self.factor, lowest)
                if group["lr"] - reduced > self.eps:
                    group["lr"] = reduced

    def is_better(self, metric: float) -> bool:
        """Whether `metric` beats the best one by the threshold."""
        sign = 1 if self.mode == "max" else -1
        margin = sign * self.threshold
        bar = self.best * (1 + margin) if self.threshold_mode == "rel" else self.best + margin
        return metric * sign > bar * sign


def cosine(start: float, end: float, done: float) -> float:
    """From `start` to `end` along half a cosine, as `done` goes from 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


def one_per_group(name: str, value: float | Sequence[float], optimizer: Optimizer) -> list[float]:
    """One number for each parameter group, from a list of them or from one for all."""
    groups = len(optimizer.param_groups)
    values: list[Any] = list(value) if is_list(value) else [value] * groups  # type: ignore[arg-type]
    if len(values) != groups:
        raise ValueError(f"{name} needs one value for each of {groups} parameter groups, got {value}")
    return [real("a schedule", name, number) for number in values]
