"""The learner: trains a model in mini-batches, evaluates it, and predicts with it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from copy import copy, deepcopy
from math import isfinite
from time import perf_counter
from typing import Any

import numpy as np

from minigrad import Tensor, no_grad, value
from minigrad.arrays import Array
from minigrad.random import default_generator, noting, put
from nn import files
from nn.data import DataLoader
from nn.functional import softmax
from nn.functional.settings import whole
from nn.layers import CrossEntropyLoss
from nn.layers.loss import sum_and_weight
from nn.metrics import Evaluation, Metric, confusion_of
from nn.module import Module
from nn.optim import Optimizer
from nn.parallel import Backward, data_parallel, in_order, pulled_back
from nn.schedules import LRScheduler
from nn.state import OfTraining, has_state, moving_parts, put_states, states_of

Row = dict[str, float]
BY_STEPS = "a schedule by steps (one that needs the metric of an epoch: step it in a callback's on_epoch_end())"
NOTHING_COUNTS = "every label is one that the loss ignores, or of a class of weight 0"


class NonFiniteLoss(ArithmeticError):
    """Training stopped because the loss of a batch was NaN or infinite; the message says where and what to try."""


class Callback:
    """Something that watches, and may steer, a learner: override what you need. `learner` is the one that calls."""

    def on_fit_start(self, learner: Learner) -> None:
        """Before the first epoch."""

    def on_epoch_start(self, learner: Learner) -> None:
        """Before each epoch, when the model has been put into training mode."""

    def on_batch_end(self, learner: Learner) -> None:
        """After each optimizer step."""

    def on_evaluation_start(self, learner: Learner) -> None:
        """After the last step of each epoch, before its evaluation (if there is validation data)."""

    def on_epoch_end(self, learner: Learner) -> None:
        """After each epoch and its evaluation: `learner.history[-1]` is its row."""

    def on_fit_end(self, learner: Learner) -> None:
        """After the last epoch, also when training was stopped early."""

    def on_interrupt(self, learner: Learner) -> None:
        """At once when Ctrl-C asks training to end, which it does after the current step; amid anything: be brief."""

    def state_dict(self) -> dict[str, Any]:
        """What to remember from epoch to epoch, for `Learner.save`, in dicts, lists, arrays, numbers and text."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state, right after `on_fit_start`."""


def check_kind(name: str, part: Any, kind: Any, what: str = "") -> None:
    """Raise TypeError unless a part of a learner is of this kind; `what` says how that is called."""
    if isinstance(part, type):
        raise TypeError(f"{part.__name__} is a class: pass an object that is made of it, {part.__name__}(...)")
    if not isinstance(part, kind):
        raise TypeError(f"Learner expects {name} to be {what or f'of the kind {kind.__name__}'}, got {part!r:.80}")


def check_parameters(optimizer: Optimizer, *modules: Any) -> None:
    """Raise ValueError if the modules have parameters, and none of them is the optimizer's."""
    theirs = {p for module in modules if isinstance(module, Module) for p in module.parameters()}
    if theirs and theirs.isdisjoint(p for group in optimizer.param_groups for p in group["params"]):
        kind = type(optimizer).__name__
        raise ValueError(f"the {kind} has the parameters of another model, none of this: it would be without effect")


class Learner(OfTraining):
    """Brings together what training takes.

    Args:
        model: maps a batch of inputs to outputs: to logits, (batch, classes), or whatever the loss takes.
        optimizer: over the model's parameters.
        loss: maps outputs and targets to a number, by default `CrossEntropyLoss`. Means over an epoch or over data are
            of what it says by a method `sum_and_weight(loss, targets)`, see `nn.layers.loss.Loss`; without one it is
            taken for a mean over samples.
        scheduler: sets the learning rate; stepped after every batch, so it cannot be `ReduceLROnPlateau`, which looks
            at the metric of an epoch: step that from a callback.
        callbacks: told about everything that happens, in their order.
        metrics: what else to evaluate by: functions of all outputs and all targets of the data, as arrays, by name.
        workers: in how many threads `fit` computes a step, see `data_parallel`, and the batches of evaluations and
            predictions are computed, see `evaluate`; `train_batch` by itself uses one.

    Attributes:
        history: one row an epoch: `epoch`, `train_loss`, `lr` at its end, `images_per_second` of training, `seconds`
            of training up to then; if there is validation data `valid_loss`, `valid_accuracy` where its targets are
            classes, and `valid_` with the name of each metric.
        epoch: the number of the current one, from 1; epochs: that of the last one `fit` will train.
        step: how many steps have been taken; batches: how many an epoch has.
        batch_loss: of the last batch, before its step.
        stop: set it (from a callback, say) to end training after the current step.
        interrupted: whether Ctrl-C did so; complete: whether the last epoch went through all batches.

    >>> import nn
    >>> model = nn.Linear(2, 2)
    >>> learner = Learner(model, nn.optim.SGD(model.parameters(), lr=0.5))
    >>> data = (np.eye(2, dtype=np.float32), np.arange(2))
    >>> history = learner.fit(DataLoader(data, batch_size=2), epochs=50)
    >>> learner.evaluate(DataLoader(data, batch_size=2)).accuracy
    1.0
    """

    def __init__(
        self, model: Module, optimizer: Optimizer, loss: Module | None = None, scheduler: LRScheduler | None = None,
        callbacks: Sequence[Callback] = (), workers: int = 1, metrics: Mapping[str, Metric] | None = None,
    ) -> None:
        loss = CrossEntropyLoss() if loss is None else loss
        check_kind("model", model, Module)
        check_kind("optimizer", optimizer, Optimizer)
        check_kind("loss", loss, Callable)
        check_kind("scheduler", scheduler, LRScheduler | None, BY_STEPS)
        check_kind("callbacks", callbacks, Iterable, "a list of them")
        check_kind("metrics", metrics or {}, Mapping, "functions by name")
        callbacks = list(callbacks)
        for callback in callbacks:
            check_kind("each callback", callback, Callback)
        workers = whole("Learner", "workers", workers, 1)
        if scheduler is not None and scheduler.optimizer is not optimizer:
            raise ValueError(f"the {type(scheduler).__name__} is of another optimizer: it would be without effect")
        check_parameters(optimizer, model, loss)
        self.metrics = dict(metrics or {})
        if "loss" in self.metrics:
            raise ValueError("a metric cannot be named 'loss', which is what the history has the loss under")
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.loss, self.callbacks, self.workers = loss, callbacks, workers
        self.history: list[Row] = []
        self.epoch = self.step = self.epochs = self.batches = 0
        self.batch_loss = 0.0
        self.stop = self.interrupted = False
        self.complete = True
        self._loader: Iterable[Any] | None = None  # of the last `fit`
        self._left_off: dict[str, Any] | None = None  # what the next `fit` goes on from
        self._untold: list[Callback] = []  # those still to hear that an epoch has ended

    def fit(self, train: DataLoader, valid: DataLoader | None = None, epochs: int = 1) -> list[Row]:
        """Train for some epochs, evaluating after each; returns the history.

        Right after `load` it goes on with the training that was saved: so do the loader and the callbacks.

        Raises:
            NonFiniteLoss: as soon as the loss of a batch, or on the validation data, is NaN or infinite.
            ValueError: if there is nothing to train or evaluate on, the model cannot take a batch of one sample that
                there is, see `check_batches_of_one`, or what was loaded is of another loader or callbacks.
        """
        check_loader(train, "train on", "the loader")
        if valid is not None:
            check_loader(valid, "evaluate on", "the loader of the validation data")
        epochs = whole("fit", "epochs", epochs, 0)
        self.check_batches_of_one(train)
        self.check_batches_of_one(valid, training=False)
        self.epochs, self.batches, self.stop, self.interrupted = self.epoch + epochs, len(train), False, False
        start = perf_counter()
        with stop_on_interrupt(self):
            start -= self._begin(train)
            while self.epoch < self.epochs and not self._ends():
                self.epoch += 1
                row = self._train_epoch(train)
                self._notify("on_evaluation_start")
                if valid is not None:
                    row |= {f"valid_{name}": number for name, number in self.evaluate(valid).numbers().items()}
                row = self._noted(row | {"seconds": perf_counter() - start})
                self._check_finite(row.get("valid_loss", 0.0), "validation loss", f"after step {self.step}")
                self.history.append(row)
                self._end_epoch(self.callbacks)
            self._notify("on_fit_end")
        return self.history

    def _begin(self, train: Iterable[Any]) -> float:
        """Have callbacks, and the loader, begin or go on; returns for how many seconds the history has trained."""
        left_off, self._loader, self._untold = self._left_off, train, []
        waiting = [] if left_off is None else list(left_off["callbacks"])
        if left_off is not None and left_off["loader"] is not None:
            with said_of("the loader"):
                put_states(moving_parts(train), left_off["loader"])
        for callback in self.callbacks:
            callback.on_fit_start(self)
            if waiting and waiting[0][0] == type(callback).__name__:
                with said_of(type(callback).__name__):
                    callback.load_state_dict(waiting.pop(0)[1])
        if waiting:
            raise ValueError(
                f"what was loaded goes on with the callback {waiting[0][0]:.80}, which this learner has not, or not in "
                f"that order: {', '.join(type(callback).__name__ for callback in self.callbacks) or 'it has none'}"
            )
        self._left_off = None
        if left_off is not None:
            self._end_epoch(last_named(self.callbacks, left_off["untold"]))
        return self.history[-1].get("seconds", 0.0) if self.history else 0.0

    def _train_epoch(self, train: Iterable[tuple[Array, ...]]) -> Row:
        start, samples, sums, weights = perf_counter(), 0, 0.0, 0.0
        self.model.train()
        self._notify("on_epoch_start")
        batches = enumerate(tuples(iter(train), 2), 1)  # here processes draw numbers of their own, then workers do
        with self._backward_passes() as backward:
            for number, (inputs, targets) in batches:
                before = self.step
                self.batch_loss = self.train_batch(inputs, targets, backward=backward)
                part, weight = self._sum_and_weight(self.batch_loss, targets)
                sums, weights, samples = sums + part, weights + weight, samples + len(targets)
                self.complete = number == self.batches
                if self.step > before:
                    self._notify("on_batch_end")
                # after the last batch, ask the loader once more: what stands after its last yield still runs
                if self._ends() and not self.complete:
                    break
        if not weights:
            nothing = f"these {samples} samples: {NOTHING_COUNTS}" if samples else "no data: the loader gave no batches"
            raise ValueError(f"cannot train on {nothing}")
        return {
            "epoch": self.epoch,
            "train_loss": sums / weights,
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "images_per_second": samples / (perf_counter() - start),
        }

    def train_batch(self, inputs: Array, targets: Array, *, backward: Backward | None = None) -> float:
        """Take one step on a batch; returns its loss before the step. Raises NonFiniteLoss, and then takes none.

        `backward` computes the loss and the gradients, by default in this thread. No step is taken either if all labels
        are ignored: a mean over no samples, which is NaN, has no slope. Gradients of parameters that the optimizer has
        not add up: freeze those, and none are computed.
        """
        self.optimizer.zero_grad()
        loss = (backward or self._in_one_thread)(inputs, targets)
        # NaN as a mean over nothing, 0 as a sum of nothing: only then look at the targets
        if (loss != loss or loss == 0) and not self._sum_and_weight(loss, targets)[1]:
            return loss
        self._check_finite(loss, "loss", f"at step {self.step + 1}")
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()
        self.step += 1
        return loss

    def check_batches_of_one(self, loader: Any, training: bool = True) -> None:
        """Raise ValueError if there is a batch of one sample that the model cannot take, as with batch norm.

        That is tried with the first sample, and leaves as it was what has a state: weights and buffers, generators, and
        what `nn.state.moving_parts` finds. A copy of the transform is tried. What a model notes elsewhere, or a
        transform that is a function or cannot be copied, it notes of the trial too.
        """
        if getattr(loader, "smallest_batch", None) != 1:  # what else gives batches and has a length will do as well
            return
        with undone(self.model, loader), self.model.in_mode(training), no_grad():
            fault = fault_with_one(self.model, loader)
        if fault is not None:
            size, samples = loader.batch_size, loader.num_samples
            which = "each" if size == 1 else f"the last of {samples} samples in batches of {size}"
            use = "trained" if training else "evaluated"
            raise ValueError(
                f"the model cannot be {use} on a batch of one sample, which is {which} ({fault}): choose another "
                "batch_size, or leave the last batch out with drop_last=True"
            ) from fault

    def _in_one_thread(self, inputs: Array, targets: Array) -> float:
        """Compute the loss of a batch and, in the parameters' `.grad`, its gradients."""
        return pulled_back(self.loss(self.model(inputs), targets))

    def _backward_passes(self) -> AbstractContextManager[Backward]:
        """What computes losses and gradients in an epoch; workers are made anew, and see what callbacks changed."""
        alone = nullcontext(self._in_one_thread)
        return alone if self.workers == 1 else data_parallel(self.model, self.loss, self.workers)

    # ---------------------------------------------------------------- what several processes tell each other

    def _sum_and_weight(self, loss: float, targets: Array) -> tuple[float, float]:
        """What the batch that was just computed adds to the mean of the epoch."""
        return sum_and_weight(self.loss, np.float64(loss), targets)

    def _ends(self) -> bool:
        """Whether training ends here."""
        return self.stop

    def _noted(self, row: Row) -> Row:
        """The row of an epoch as it goes into the history."""
        return row

    # ---------------------------------------------------------------- evaluation and prediction

    def evaluate(self, data: DataLoader) -> Evaluation:
        """Mean loss, metrics and, for classes, confusion matrix of some data: see `evaluate`."""
        return evaluate(self.model, self.loss, data, self.metrics, self.workers)

    def predict_proba(self, data: DataLoader) -> Array:
        """(samples, classes) the probability of each class, in evaluation mode, see `predict_proba`."""
        return predict_proba(self.model, data, self.workers)

    def predict(self, data: DataLoader) -> Array:
        """(samples,) the most probable class, in evaluation mode, see `predict_proba`."""
        classes: Array = self.predict_proba(data).argmax(1)
        return classes

    def state_dict(self) -> dict[str, Any]:
        """All that training needs to go on, in dicts and lists of arrays, numbers and text.

        Weights and buffers, of the loss too, optimizer, schedule, history, counts; where the default generator stands
        and those of layers and losses; and of the `fit` it is in, or was last, the loader with its transform, and the
        callbacks: see `nn.state.moving_parts` and `Callback.state_dict`. When a callback asks for it as an epoch ends,
        those after it, which have yet to hear of that, do so when training goes on.
        """
        loader = None if self._loader is None else states_of(moving_parts(self._loader))
        remembered = [[type(c).__name__, state] for c in self.callbacks if (state := c.state_dict())]
        untold = [type(callback).__name__ for callback in self._untold]
        left_off = {"loader": loader, "callbacks": remembered, "untold": untold}
        return {
            "parts": [type(part).__name__ for part in (self.model, self.optimizer, self.scheduler)],
            "model": self.model.state_dict(),
            "loss": learned(self.loss),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "generators": states_of(self._generators()),
            "history": [dict(row) for row in self.history], "epoch": self.epoch, "step": self.step,
            **(self._left_off or left_off),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where the learner was whose `state_dict` this is; the loader and callbacks do when `fit` begins.

        Raises:
            ValueError: if it is not of a learner with such a model, optimizer and schedule; then nothing has changed.
        """
        before, left_off = self.state_dict(), self._left_off
        if "parts" not in state:
            raise ValueError("it holds no learner: weights alone are for the model's own load_state_dict()")
        if state["parts"] != before["parts"]:
            raise ValueError(f"it is of {state['parts']}, the learner has {before['parts']}")
        try:
            self._put(state)
        except Exception as error:  # a file made by hand can fail anywhere
            self._put(before)
            self._left_off = left_off
            raise ValueError(str(error)) from error

    def _put(self, state: Mapping[str, Any]) -> None:
        history, counts = [dict(row) for row in state["history"]], (int(state["epoch"]), int(state["step"]))
        if not all(isinstance(x, int | float) for row in history for x in row.values()):
            raise ValueError("its history has something else than numbers")
        left_off = {
            "loader": state["loader"], "callbacks": [(str(n), dict(s)) for n, s in state["callbacks"]],
            "untold": [str(name) for name in state.get("untold", [])],  # older files do not have it
        }
        self.model.load_state_dict(state["model"])
        of_loss, own = state.get("loss", {}), learned(self.loss)
        if "loss" in state and of_loss.keys() != own.keys():  # older files do not have it
            raise ValueError(f"its loss has learned {[*of_loss]}, that of the learner {[*own]}")
        if of_loss:
            self.loss.load_state_dict(of_loss)
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        put_states(self._generators(), state["generators"])
        self.history, (self.epoch, self.step), self._left_off = history, counts, left_off

    def _generators(self) -> dict[str, Any]:
        return moving_parts({"default": default_generator(), "model": self.model, "loss": self.loss})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all that training needs to go on to a `.npz` or `.safetensors` file: see `state_dict` and `load`.

        Do so between epochs, after a `fit` or from `on_epoch_end`: from a file written amid an epoch, training goes on
        with the next one, and what was left of this one, with its row of the history, is missing.

        Raises:
            FileError: if the file cannot be written.
        """
        files.save_state(self.state_dict(), path)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Continue where the learner was that wrote this file, in this program or another.

        A `fit` that follows is the same to the last bit as if training had never stopped: samples come in the same
        order, and what is augmented and dropped is the same, as long as that is drawn from the default generator, or
        from ones that layers, the loader and its transform hold.

        Raises:
            FileError: if the file cannot be read, or is not of a learner with such a model, optimizer and schedule;
                then nothing has changed.
        """
        state = files.load_state(path)
        try:
            self.load_state_dict(state)
        except ValueError as error:
            raise files.FileError(f"{path} does not fit this learner: {error}") from error

    def _check_finite(self, loss: float, name: str, when: str) -> None:
        if not isfinite(loss):
            lr = self.optimizer.param_groups[0]["lr"]
            raise NonFiniteLoss(
                f"the {name} became {loss} {when} (epoch {self.epoch}) with learning rate {lr:g}: "
                "lower the learning rate, and check the data for NaN"
            )

    def _notify(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)

    def _end_epoch(self, callbacks: Sequence[Callback]) -> None:
        """Tell callbacks that an epoch has ended; each sees in `_untold` those that hear of it after itself."""
        self._untold = list(callbacks)
        while self._untold:
            self._untold.pop(0).on_epoch_end(self)


def last_named(callbacks: Sequence[Callback], names: Sequence[str]) -> list[Callback]:
    """The last callbacks of classes of these names, in their order; names that none has are left out."""
    kinds, found = [type(callback).__name__ for callback in callbacks], list[Callback]()
    names = [name for name in names if name in kinds]
    for kind, callback in zip(reversed(kinds), reversed(callbacks), strict=True):
        if names and kind == names[-1]:
            names.pop()
            found.insert(0, callback)
    return found


@contextmanager
def said_of(part: str) -> Iterator[None]:
    """Inside, a state is put into a part: whatever a file made by hand makes fail there becomes a ValueError."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"what was loaded does not fit {part}: {error}") from error


@contextmanager
def undone(*parts: Any) -> Iterator[None]:
    """Inside is a trial: afterwards all generators, and what has a state of these parts or in them, are as before."""
    moving = {str(i): part for i, part in enumerate(parts) if has_state(part)} | moving_parts(parts)
    states = states_of(moving)
    with noting() as generators:
        try:
            yield
        finally:
            put_states(moving, states)
            put(generators)


def check_loader(loader: Any, use: str, name: str) -> None:
    """Raise TypeError or ValueError unless it has batches, and says how many."""
    if not hasattr(loader, "__len__"):
        raise TypeError(f"cannot {use} a {type(loader).__name__}: every epoch goes through all of a DataLoader")
    if not len(loader):
        raise ValueError(f"cannot {use} no data: {name} has no batches")


def tuples(data: Iterable[Any], size: int | None = None) -> Iterator[tuple[Any, ...]]:
    """The batches of some data; ValueError if one is no tuple, or not of so many arrays."""
    for batch in data:
        if not isinstance(batch, tuple | list) or len(batch) != (size or len(batch)):
            given = f"{len(batch)} arrays" if isinstance(batch, tuple | list) else f"a {type(batch).__name__}"
            expected = "inputs and targets" if size else "a tuple of arrays"
            raise ValueError(f"a batch is {expected}, got {given}: put the data into a DataLoader((inputs, targets))")
        yield tuple(batch)


def fault_with_one(model: Module, loader: DataLoader) -> Exception | None:
    """What a model raises for one sample, if it takes two."""
    try:
        trial = copy(loader)
        with suppress(Exception):  # what cannot be copied hears of it
            trial.transform = deepcopy(loader.transform)
        inputs, *_ = trial.batch(range(1))
        model(np.concatenate([inputs, inputs]))
    except Exception:  # not for lack of samples: training will say it
        return None
    try:
        model(inputs)
    except Exception as error:
        return error
    return None


def forward(
    model: Module, data: Iterable[tuple[Any, ...]], size: int | None = None, workers: int = 1
) -> Iterator[tuple[Any, ...]]:
    """(outputs, targets) of each batch, in evaluation mode; afterwards every module is in the mode it was in before.

    Batches have `size` arrays, or any number. Raises ValueError if one has not, or `workers` is no number of threads.
    """

    def outputs_and_targets(batch: tuple[Any, ...]) -> tuple[Any, ...]:
        inputs, *targets = batch
        with no_grad():  # which holds in this thread
            return (model(inputs), *targets)

    with model.in_mode(training=False):
        yield from in_order(outputs_and_targets, tuples(data, size), whole("an evaluation", "workers", workers, 1))


def learned(loss: Any) -> dict[str, Array]:
    """The state of a loss that may learn something: the arrays of those in `nn`, weights of classes, are settings."""
    is_ours = not isinstance(loss, Module) or type(loss).__module__ == CrossEntropyLoss.__module__
    return {} if is_ours else loss.state_dict()


def judged(loss: Callable[..., Tensor], outputs: Tensor, targets: Array) -> Tensor:
    """The loss of some outputs, in evaluation mode if it is a module, which may have layers of its own."""
    with loss.in_mode(training=False) if isinstance(loss, Module) else nullcontext():
        return loss(outputs, targets)


def evaluate(
    model: Module, loss: Callable[..., Tensor], data: DataLoader, metrics: Mapping[str, Metric] | None = None,
    workers: int = 1,
) -> Evaluation:
    """Mean loss, metrics and, for classes, confusion matrix of some data, in evaluation mode.

    The mean is that of all the data at once, also if the loss weighs classes, or is a sum: see `sum_and_weight`. What
    the loss ignores counts neither there nor in the confusion matrix.

    Args:
        model: maps inputs (batch, ...) to outputs (batch, ...).
        loss: maps outputs and targets to a number.
        data: batches of inputs and targets.
        metrics: functions of all outputs and all targets, as arrays, by name.
        workers: how many batches go through the model at once, each in a thread of its own. The results are the same,
            unless a module writes into itself, or draws random numbers, in evaluation mode too.

    Raises:
        ValueError: if there is no data, or none of it counts, or `workers` is no integer of at least 1.
    """
    sums, weights, kept, is_empty = 0.0, 0.0, list[tuple[Array, Array]](), True
    confusion: Any = 0  # None as soon as something is no class
    for outputs, given in forward(model, data, 2, workers):
        targets = np.asarray(value(given))
        part, weight = sum_and_weight(loss, judged(loss, outputs, targets), targets)
        sums, weights, is_empty = sums + part, weights + weight, False
        counts = confusion_of(value(outputs), targets, getattr(loss, "counted", None))
        confusion = None if confusion is None or counts is None else confusion + counts
        if metrics:
            kept.append((value(outputs), targets))
    if not weights:
        raise ValueError(f"cannot evaluate on {'no data' if is_empty else f'these samples: {NOTHING_COUNTS}'}")
    everything = [np.concatenate(arrays) for arrays in zip(*kept, strict=True)]
    found = {name: one_number(name, metric(*everything)) for name, metric in (metrics or {}).items()}
    return Evaluation(sums / weights, confusion, found)


def one_number(name: str, result: Any) -> float:
    """What a metric returned, if it is a number."""
    try:
        return float(result)
    except (TypeError, ValueError):
        raise TypeError(f"the metric {name!r} returns one number for all the data, got {result!r:.80}") from None


def predict_proba(model: Module, data: DataLoader, workers: int = 1) -> Array:
    """(samples, classes) the probability of each class, in evaluation mode; for `workers` see `evaluate`.

    Raises ValueError if there is no data, or the model's outputs are not of two classes or more.
    """
    batches = []
    for outputs, *_ in forward(model, data, workers=workers):
        shape = getattr(outputs, "shape", None)
        if shape is None or len(shape) < 2 or shape[1] < 2:
            given = f"the kind {type(outputs).__name__}" if shape is None else f"shape {shape}"
            raise ValueError(f"outputs of {given} are no classes to predict: call the model for them")
        batches.append(softmax(outputs, 1).numpy())
    if not batches:
        raise ValueError("cannot predict on no data")
    return np.concatenate(batches)


@contextmanager
def stop_on_interrupt(learner: Learner) -> Iterator[None]:
    """Inside, the first Ctrl-C ends training after the current step; a second one interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can handle signals
        return

    heard = False  # here: that others were interrupted does not make the first Ctrl-C the second

    def handle(signum: int, frame: object) -> None:
        nonlocal heard
        if heard:
            raise KeyboardInterrupt
        heard = learner.stop = learner.interrupted = True
        learner._notify("on_interrupt")

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
