"""Training in several processes, which `mpiexec` begins, on one machine or many: each takes a part of every batch.

In a loop of one's own that takes three lines, those that say `average` and `Parts`:

    average = nn.distributed.GradientAverage(model)
    for epoch in range(epochs):
        for images, labels in nn.distributed.Parts(loader):
            optimizer.zero_grad()
            loss = loss_function(model(images), labels)
            loss.backward()
            batch_loss = average(loss.item(), len(labels))
            optimizer.step()

All processes run the same program, and come to the same weights to the last bit. Without `mpiexec` there is one, and
the program does what it always did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from itertools import chain, count, zip_longest
from typing import Any, Literal

import numpy as np

from minigrad.arrays import Array
from minigrad.random import default_generator
from minigrad.tensor import TensorLike, value, wrap
from minigrad.trees import leaves
from nn.data import Arrays, DataLoader, Order, divided
from nn.functional.settings import one_of
from nn.layers.structure import ModuleList
from nn.learner import Learner, Row
from nn.module import Module
from nn.parallel import Backward
from nn.processes import (
    ProcessesDiffer,
    abort,
    all_reduce,
    broadcast,
    ending,
    gathered,
    meet,
    meeting,
    rank,
    reduce_unchecked,
    size,
)
from nn.shared_memory import once_a_machine
from nn.state import moving_parts, put_states, states_of

__all__ = [
    "DistributedLearner", "GradientAverage", "Parts", "ProcessesDiffer", "abort", "all_reduce", "broadcast",
    "once_a_machine", "rank", "size",
]


SMALLER = 2.0**-20  # times which buffers are added up, so that large ones times weights stay finite; it rounds nothing
numbers_of_averages = count(1)  # by which processes tell them apart: all make theirs in the same order


class Parts:
    """This process's part of every batch of a loader.

    All processes go through one order, which is the one a single process would draw. A part has two samples or more, as
    batch norm needs, or is all of a batch of one; where there are fewer samples than that for each, as in a small last
    batch, the last processes get none: arrays of length 0. What a process draws during an epoch, as dropout and
    augmentation do, is its own, and is decided by where the generators of process 0 stand when the epoch begins, and by
    its number. This concerns the default generator, and those of the loader and its transform.

    After an epoch that went through all batches, these generators stand in all processes where those of process 0 do.
    What a transform keeps (what it gives by `state_dict`, as `AlternatingFlip` does) is then as if one process had seen
    all samples: the changes of all are added up. A bit is turned that any has turned, a dict gains what any has put in,
    counted from 0, and lacks what any has removed, and to a list is appended what each has. Of anything else, such as
    text, or a number that was None, it is what process 0 has. So count samples, not batches: each process counts all of
    those.

    Raises TypeError if it is given anything but a `DataLoader`, whose `order` and `batch` it uses, and when an epoch
    begins `ProcessesDiffer` if the processes have loaders of other numbers of samples, or with other settings.

    >>> loader = DataLoader((np.arange(4), np.arange(4) ** 2), batch_size=2)
    >>> [squares.tolist() for _, squares in Parts(loader)]
    [[0, 1], [4, 9]]
    """

    def __init__(self, loader: DataLoader) -> None:
        if not isinstance(loader, DataLoader):
            raise TypeError(f"Parts takes a DataLoader, whose batches it can divide, got a {type(loader).__name__}")
        if type(loader).__iter__ is not DataLoader.__iter__:
            kind = type(loader).__name__
            raise TypeError(f"Parts takes batches by order() and batch(), so that {kind}.__iter__ would have no effect")
        self.loader = loader

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self.loader)

    def __iter__(self) -> Iterator[Arrays]:
        loader = self.loader
        ways = f"shuffle={loader.shuffle}, drop_last={loader.drop_last}"
        meet(f"an epoch of {loader.num_samples} samples, batch_size={loader.batch_size}, {ways}")
        moving = stand_together({"default": default_generator(), "loader": loader})
        order = loader.order()
        draw_apart(moving)
        return self._batches(order, moving)

    def _batches(self, order: Order, moving: Mapping[str, Any]) -> Iterator[Arrays]:
        before, batch_size = states_of(moving), self.loader.batch_size
        for start in range(0, len(self) * batch_size, batch_size):
            batch = order[start : start + batch_size]
            parts = divided(len(batch), size())
            if rank() < len(parts):
                yield self.loader.batch(batch[parts[rank()]])
            else:  # a transform need not take a batch of none: it has the part of process 0, and then forgets it
                stand = states_of(moving)
                first = self.loader.batch(batch[parts[0]])
                put_states(moving, stand)
                yield tuple(array[:0] for array in first)
        if size() > 1:
            put_states(moving, merged(before, gathered(states_of(moving), "the end of an epoch's samples")))


def stand_together(thing: Any) -> dict[str, Any]:
    """Have all in a thing that has a state stand where it stands in process 0; returns it, by where it is."""
    parts = moving_parts(thing)
    put_states(parts, broadcast(states_of(parts)))
    return parts


def draw_apart(thing: Any) -> None:
    """Have the generators in a thing, which stand at the same place in all processes, draw other numbers in each.

    Those of process 0 go on as they are: it draws what a single process would.
    """
    if rank() == 0:
        return
    for generator in moving_parts(thing).values():
        if isinstance(generator, np.random.Generator):
            seeds = [rank(), *deepcopy(generator).integers(2**63, size=4).tolist()]
            generator.bit_generator.state = type(generator.bit_generator)(seeds).state


def merged(before: Any, after: Sequence[Any]) -> Any:
    """A state with the changes that each process made to it; of what is neither numbers nor bits, that of process 0.

    What a dict gained counts from 0, and what any process removed is gone; a list gets all that was appended. Where a
    generator stands is no number in this sense, as it counts nothing: that of process 0 is kept, too.

    >>> merged({"seen": 5, "bit": np.array([True, False])}, [{"seen": 6, "bit": np.array([False, False])},
    ...                                                       {"seen": 7, "bit": np.array([True, True])}])
    {'seen': 8, 'bit': array([False,  True])}
    """
    first, kind = after[0], type(before)
    if all(isinstance(state, Mapping) for state in (before, *after)) and "bit_generator" not in first:
        names = [name for name in chain(before, *after) if name not in before or all(name in new for new in after)]
        having = {name: [new[name] for new in after if name in new] for name in names}
        return {name: merged(before.get(name, emptied(news[0])), news) for name, news in having.items()}
    if isinstance(before, list | tuple) and all(type(new) is kind and len(new) >= len(before) for new in after):
        appended = [new[len(before) :] for new in after]
        return kind(chain(map(merged, before, zip(*after, strict=False)), *appended))
    old, *news = map(np.asarray, (before, *after))
    kinds, bits = {array.dtype.kind for array in (old, *news)}, {"b"}
    if not (kinds == bits or kinds <= set("iuf")) or any(new.shape != old.shape for new in news):
        return first
    changes = [old ^ new if kinds == bits else new - old for new in news]
    total = old ^ np.logical_or.reduce(changes) if kinds == bits else old + sum(changes)
    return total if isinstance(first, np.ndarray) else total.item()


def emptied(thing: Any) -> Any:
    """What a state of this kind began with, as far as can be known: nothing in a dict or list, zeros elsewhere."""
    return type(thing)() if isinstance(thing, dict | list | tuple) else np.zeros_like(thing)


class GradientAverage:
    """Averages the gradients of all processes: by one `Allreduce`, over one flat array that holds all of them.

    All processes make one, and call it after each backward pass. When it is made they take over the weights and buffers
    of process 0, and the generators that layers have of their own draw other numbers in each. Make it anew when
    parameters are added, frozen or freed.

    Gradients of several batches may add up before a step. With "sum" call it once then, with the sums of losses and of
    weights: it would multiply what it has added up before by the number of processes.

    Buffers, such as the running averages of batch norm, change by the mean of their changes in all processes, boolean
    ones wherever they change in any; what batch norm normalises by are the samples of its own process. Changes of whole
    numbers are averaged in the precision of gradients: one of millions in a step may be rounded.

    Args:
        model: whose parameters, as far as they require gradients. A loss with parameters of its own goes along in an
            `nn.ModuleList([model, loss])`.
        reduction: "sum" for a loss that is a sum over samples, whose gradients are added up.

    Raises:
        ProcessesDiffer: if the processes have other parameters or buffers, or others are frozen; when it is called, if
            some processes do something else.
        ValueError: if there is no such reduction.

    >>> import nn
    >>> model = nn.Linear(2, 1)
    >>> average = GradientAverage(model)
    >>> loss = model(np.ones((4, 2), np.float32)).mean()
    >>> loss.backward()
    >>> average(loss.item(), weight=4) == loss.item()
    True
    """

    def __init__(self, model: Module, reduction: Literal["mean", "sum"] = "mean") -> None:
        self.reduction = one_of("GradientAverage", "reduction", reduction, ("mean", "sum"))
        self.number = next(numbers_of_averages)
        if size() > 1:
            check_same_networks(model, f"the making of GradientAverage {self.number} by {reduction}")
            model.load_state_dict(broadcast(model.state_dict()))
            draw_apart(stand_together(model))
        self.model, self.parameters = model, [p for p in model.parameters() if p.requires_grad]
        self.before = [buffer.copy() for buffer in self._buffers()]
        arrays = [*(p.data for p in self.parameters), *self.before]
        lengths = [*(array.size for array in arrays), len(self.parameters), len(self.before), 2]
        dtype = np.result_type(np.float32, *(array.dtype for array in arrays if array.dtype.kind == "f"))
        self.flat = np.zeros(sum(lengths), dtype)
        *views, self.given, self.changed, self.sums = np.split(self.flat, np.cumsum(lengths)[:-1])
        shaped = [view.reshape(array.shape) for view, array in zip(views, arrays, strict=True)]
        self.gradients, self.shares = shaped[: len(self.parameters)], shaped[len(self.parameters) :]

    def __call__(self, loss: TensorLike, weight: float) -> float:
        """Average the gradients, and the loss, which is returned.

        Args:
            loss: of this process's part of the batch: one number, or a tensor of one.
            weight: how much it counts: what the loss is a mean over, which is the number of samples, or with ignored
                labels or weights of classes what `loss_function.weight_of(labels)` says; 0 takes no part.

        A batch that weighs nothing in all processes leaves the gradients as they are, and its loss is 0 or NaN.
        """
        loss = float(np.asarray(value(loss)).item())
        if size() == 1:
            return loss
        own = loss if self.reduction == "sum" else loss * weight
        return self.reduced(*self.add_up(own if weight else 0.0, weight))

    def reduced(self, total: float, weights: float) -> float:
        """The loss of a whole batch, of which `add_up` told these two."""
        if self.reduction == "sum":
            return total
        return total / weights if weights else np.nan

    def add_up(self, total: float, weight: float) -> tuple[float, float]:
        """Give each parameter the mean of its gradients in all processes, or their sum, and none where none had any.

        Returns the sums of both numbers over all processes. The second says how much the gradients count in a mean;
        where it is 0 they stay as they are.
        """
        is_sum = self.reduction == "sum"
        self.given[:] = [p.grad is not None for p in self.parameters]
        for p, own in zip(self.parameters, self.gradients, strict=True):
            if p.grad is not None and weight:
                np.multiply(p.grad.data, 1 if is_sum else weight, out=own, dtype=own.dtype)
            else:
                own.fill(0)
        self._pack_buffers(weight)
        self.sums[:] = total, weight
        with meeting(f"a step of GradientAverage {self.number}"):
            reduce_unchecked(self.flat)
        totals, weights = self.sums.tolist()
        self._unpack_buffers(weights)
        for p, summed, given in zip(self.parameters, self.gradients, self.given, strict=True):
            if given and (weights or p.grad is None):
                p.grad = wrap((summed / (1 if is_sum or not weights else weights)).astype(p.dtype, copy=False))
        return totals, weights

    def _pack_buffers(self, weight: float) -> None:
        """Put this process's share of each buffer into the flat array, and whether it has changed it."""
        for i, (buffer, before, share) in enumerate(zip(self._buffers(), self.before, self.shares, strict=True)):
            is_real = before.dtype.kind == "f"
            self.changed[i] = weight != 0 and not np.array_equal(buffer, before, equal_nan=is_real)
            if weight == 0:
                share.fill(0)
            elif is_real:  # the value itself: a change from infinity is none, and one from what is large is rounded off
                np.multiply(buffer, weight * SMALLER, out=share, casting="same_kind")
            else:  # the change, which is small enough to be exact
                np.multiply(buffer.astype(np.int64) - before.astype(np.int64), weight, out=share, casting="same_kind")

    def _unpack_buffers(self, weights: float) -> None:
        """Give each buffer the mean of all processes, and leave it alone where none has changed it."""
        for buffer, before, share, changed in zip(self._buffers(), self.before, self.shares, self.changed, strict=True):
            if changed and before.dtype.kind == "f":
                before[...] = share / (weights * SMALLER)
            elif changed and before.dtype == bool:
                before ^= share != 0  # as changed by any
            elif changed:
                before += np.rint(share / weights).astype(np.int64).astype(before.dtype)
            buffer[...] = before

    def _buffers(self) -> list[Array]:
        return [buffer for buffer in self.model.buffers() if buffer.dtype.kind in "biuf"]


class DistributedLearner(Learner):
    """A learner whose `fit` takes all processes that `mpiexec` began; each runs the same program.

    They begin with what process 0 has: weights, optimizer, counts, generators. Process 0 alone evaluates, so the
    validation data are given to it, and all get its rows of the history; what prints or writes should be a callback of
    process 0 alone. Callbacks that steer, such as `EarlyStopping` and `KeepBest`, belong into all of them. When one is
    asked to stop, by a callback or by Ctrl-C, all do after the same step. Otherwise it is a `Learner`, with the same
    arguments; without `mpiexec` it is nothing else.

    `train_batch` alone is a step of this process alone.

    Raises:
        ProcessesDiffer: in `fit`, if processes do different things, and after an epoch if weights or the state of the
            optimizer are not the same in all.

    >>> import nn
    >>> model = nn.Linear(2, 2)
    >>> learner = DistributedLearner(model, nn.optim.SGD(model.parameters(), lr=0.5))
    >>> data = (np.eye(2, dtype=np.float32), np.arange(2))
    >>> len(learner.fit(DataLoader(data, batch_size=2), epochs=3))
    3
    """

    _sums: tuple[float, float] | None = None  # what the batch of all processes adds to the mean of the epoch

    def fit(self, train: DataLoader, valid: DataLoader | None = None, epochs: int = 1) -> list[Row]:
        """Train, see `Learner.fit`; all processes call it, with the whole training data."""
        if size() > 1:
            check_parameters_shared(self)
            meet(f"fit(epochs={epochs})")
            state, left_off = broadcast((self.state_dict(), self._left_off))
            if rank() > 0:
                self.load_state_dict(state)
                own = {type(callback).__name__ for callback in self.callbacks}  # process 0 may have others, that print
                if left_off is not None:
                    left_off["callbacks"] = [noted for noted in left_off["callbacks"] if noted[0] in own]
                self._left_off = left_off
        try:
            return super().fit(train, valid if rank() == 0 else None, epochs)
        except SystemExit as error:  # of which Python tells nobody, while the others wait for this process
            if size() > 1 and error.code:
                abort(*ending(error))
            raise

    def _train_epoch(self, train: Any) -> Row:
        return super()._train_epoch(Parts(train) if size() > 1 else train)

    @contextmanager
    def _backward_passes(self) -> Iterator[Backward]:
        is_sum = getattr(self.loss, "reduction", "mean") == "sum"
        average = GradientAverage(learned_by(self), "sum" if is_sum else "mean")  # before workers draw from generators
        with super()._backward_passes() as backward:
            try:
                yield backward if size() == 1 else partial(self._backward_everywhere, average, backward)
            finally:
                self._sums = None

    def _backward_everywhere(
        self, average: GradientAverage, backward: Backward, inputs: Array, targets: Array
    ) -> float:
        """Loss and gradients of a batch, of which this process has a part."""
        loss = backward(inputs, targets) if len(targets) else 0.0
        own = super()._sum_and_weight(loss, targets) if len(targets) else (0.0, 0.0)
        self._sums = average.add_up(*own)
        return average.reduced(*self._sums)

    def _sum_and_weight(self, loss: float, targets: Array) -> tuple[float, float]:
        return self._sums or super()._sum_and_weight(loss, targets)

    def _ends(self) -> bool:
        stop, interrupted = meet("the end of a step of fit", self.stop, self.interrupted)
        self.stop, self.interrupted = self.stop or stop, self.interrupted or interrupted
        return stop  # which all know; a signal may have set self.stop of this process alone since they met

    def _noted(self, row: Row) -> Row:
        if size() == 1:
            return row
        check_same(self)
        stand_together({"default": default_generator(), "loader": self._loader})  # process 0 may draw as it evaluates
        rows = gathered(row, "the row of an epoch")
        return rows[0] | {"images_per_second": sum(each["images_per_second"] for each in rows)}


def learned_by(learner: Learner) -> Module:
    """The model and the loss as one module, since a loss may have parameters too."""
    return ModuleList([part for part in (learner.model, learner.loss) if isinstance(part, Module)])


def check_parameters_shared(learner: Learner) -> None:
    """Raise ValueError if the optimizer changes something whose gradients the processes would not share."""
    shared = {id(parameter) for parameter in learned_by(learner).parameters()}
    others = [p for group in learner.optimizer.param_groups for p in group["params"] if id(p) not in shared]
    if others:
        raise ValueError(f"the optimizer has {len(others)} parameters that are neither the model's nor the loss's, "
                         f"such as one of shape {others[0].shape}: processes would each learn their own")


def check_same_networks(model: Module, place: str) -> None:
    """Raise ProcessesDiffer in all processes unless their networks have the same arrays, trained or frozen."""
    arrays = {name: (p.data, "" if p.requires_grad else ", frozen") for name, p in model.named_parameters()}
    arrays |= {name: (buffer, ", a buffer") for name, buffer in model.named_buffers()}
    own = [f"{name} of {array.dtype} {array.shape}{kind}" for name, (array, kind) in arrays.items()]
    outlines = gathered(own, place)
    for number, outline in enumerate(outlines):
        for first, other in zip_longest(outlines[0], outline, fillvalue="nothing more"):
            if first != other:
                raise ProcessesDiffer(f"the processes have different networks: where process 0 has {first}, "
                                      f"process {number} has {other}")


def check_same(learner: Learner) -> None:
    """Raise ProcessesDiffer in all processes unless weights, buffers and the state of the optimizer are the same."""
    import hashlib  # which is slow to import

    hasher = hashlib.blake2b(digest_size=16)
    for leaf in leaves([learned_by(learner).state_dict(), learner.optimizer.state_dict()]):
        hasher.update(np.ascontiguousarray(leaf).data if isinstance(leaf, np.ndarray) else repr(leaf).encode())
    digests = gathered(hasher.digest(), "the end of an epoch")
    if others := [number for number, digest in enumerate(digests) if digest != digests[0]]:
        raise ProcessesDiffer(
            f"after epoch {learner.epoch}, weights, buffers or the state of the optimizer of the processes {others} "
            "are not those of process 0: see that machines, NumPy and the program are the same, and that callbacks "
            "which change something run in all processes"
        )
