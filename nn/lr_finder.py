"""Finding a learning rate by trying many."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, repeat
from math import inf

import numpy as np

from minigrad.arrays import Array
from nn.data import DataLoader
from nn.functional.settings import real, whole
from nn.learner import NOTHING_COUNTS, Learner, NonFiniteLoss, check_loader, tuples, undone


@dataclass(frozen=True, eq=False)
class LRSearch:
    """How the loss went while the learning rate rose.

    Attributes:
        lrs: (steps,) the learning rates that were tried.
        losses: (steps,) the loss of a batch before the step with each of them.
        suggestion: the one where the smoothed loss fell steepest, against the logarithm of the learning rate.
    """

    lrs: Array
    losses: Array
    suggestion: float


def find_lr(learner: Learner, train: DataLoader, low: float = 1e-6, high: float = 10.0, steps: int = 100) -> LRSearch:
    """Train with a learning rate that rises at every step, to see where the loss falls fastest and where it diverges.

    It rises exponentially from `low` to `high`, the same for all parameter groups, through the batches of `train`, as
    often as needed. The search ends early when the smoothed loss (0.9 of the one before, 0.1 of the new loss) exceeds
    four times its lowest value, or when a loss is not finite. Where losses are negative, as logarithms of densities may
    be, it is when the smoothed one exceeds its lowest value by three times the size of the most negative loss.
    Afterwards model, loss, optimizer, schedule and counts of the learner, without gradients, are as they were, and so
    are all generators and whatever else has a state that `nn.state.moving_parts` finds in them and in `train`; its
    callbacks hear nothing.

    Raises:
        TypeError: if `train` can be gone through only once.
        ValueError: unless 0 < low < high < inf and steps >= 2, if there is no data or none that counts, the loss
            diverges right away, or there is a batch of one sample that the model cannot be trained on.

    Source: Smith, Cyclical Learning Rates for Training Neural Networks, WACV 2017, section 3.3; when to stop is from
    Gugger, How Do You Find A Good Learning Rate, 2018.

    >>> import nn
    >>> model = nn.Linear(2, 2)
    >>> learner = nn.Learner(model, nn.optim.SGD(model.parameters(), lr=0.5))
    >>> search = find_lr(learner, DataLoader((np.eye(2, dtype=np.float32), np.arange(2)), batch_size=2), high=1.0)
    >>> len(search.lrs), search.suggestion > 0.01
    (100, True)
    """
    check_loader(train, "find a learning rate on", "the loader")
    low = real("find_lr", "low", low, above=0)
    high, steps = real("find_lr", "high", high, above=low, below=inf), whole("find_lr", "steps", steps, 2)
    learner.check_batches_of_one(train)
    with as_before(learner, train):
        lrs, losses, smoothed, ignored = rising(learner, train, np.geomspace(low, high, steps).tolist())
    if ignored > steps - 2:
        raise ValueError(f"find_lr needs two batches that count, got {steps} of which in {ignored} {NOTHING_COUNTS}")
    if len(losses) < 2:
        raise ValueError(f"the loss diverges with a learning rate of only {low}: lower it, and check the data for NaN")
    slopes = np.gradient(smoothed, np.log(lrs))
    steepest = slopes[: np.argmin(smoothed) + 1].argmin()  # after that it only falls back from where it jumped to
    return LRSearch(np.array(lrs), np.array(losses), lrs[steepest])


@contextmanager
def as_before(learner: Learner, train: DataLoader) -> Iterator[None]:
    """Inside, the learner has no schedule and its model trains; afterwards all is as it was, without gradients."""
    model, scheduler, step = learner.model, learner.scheduler, learner.step
    learner.scheduler = None
    try:
        with undone(model, learner.loss, learner.optimizer, train), model.in_mode(training=True):
            yield
    finally:
        learner.scheduler, learner.step = scheduler, step
        for part in (model, learner.loss, learner.optimizer):
            if hasattr(part, "zero_grad"):  # a loss may be a function
                part.zero_grad()


def rising(
    learner: Learner, train: DataLoader, rates: list[float]
) -> tuple[list[float], list[float], list[float], int]:
    """Train with one rate after the other, until the loss diverges.

    Returns the rates, the losses before their steps, the smoothed losses, and in how many batches nothing counted.
    """
    lrs, losses, smoothed, ignored = list[float](), list[float](), list[float](), 0
    batches = tuples(chain.from_iterable(repeat(train)), 2)
    with suppress(NonFiniteLoss), np.errstate(over="ignore", invalid="ignore"):
        for lr, batch in zip(rates, batches, strict=False):
            for group in learner.optimizer.param_groups:
                group["lr"] = lr
            before, loss = learner.step, learner.train_batch(*batch)
            if learner.step == before:
                ignored += 1
                continue
            lrs.append(lr)
            losses.append(loss)
            smoothed.append(0.9 * smoothed[-1] + 0.1 * loss if smoothed else loss)
            lowest = min(smoothed)
            if smoothed[-1] - lowest > 3 * max(lowest, -min(losses)):
                break
    return lrs, losses, smoothed, ignored
