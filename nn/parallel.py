"""Several threads: gradients of a batch, each with a part of the samples; and whole batches at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from copy import deepcopy
from threading import get_ident
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad import Tensor, no_grad
from minigrad.arrays import Array
from minigrad.graph import Pending, accumulate, swept, watches
from minigrad.guards import freed_here, held_by, reachable
from minigrad.random import default_generator, drawing_from
from minigrad.tensor import wrap
from nn.data import divided
from nn.functional.settings import whole
from nn.module import Module
from nn.native import one_thread_for_products
from nn.state import moving_parts

if TYPE_CHECKING:
    from concurrent.futures import Executor

Backward = Callable[[Array, Array], float]


@contextmanager
def data_parallel(model: Module, loss: Module, workers: int) -> Iterator[Backward]:
    """Inside, `backward(inputs, targets)` divides a batch among `workers` threads, and adds up what they find.

    It accumulates the gradients in the parameters' `.grad` and returns the loss of the batch. NumPy's own loops use one
    core each, so that the other cores idle for a large part of a step of a convolutional network; here each thread goes
    through the whole network by itself. That pays where a step takes more than about ten milliseconds.

    The threads share the parameters. The first part goes through the model itself, the others through copies of
    everything else in it, made at the start: modes are carried over for each batch, other changes made inside reach the
    first part alone. Batch norm normalises each part by itself (Hoffer et al., Train longer, generalize better, 2017,
    call that ghost batch norm), and the running averages of the model are those of the first part. Random numbers come
    from a generator for each part, so that results depend on the seed and on the number of workers, never on which
    thread is faster. A batch is divided only as far as each part has two samples, and not at all under
    `detect_anomaly`.

    Args:
        model: maps inputs (samples, ...) to one tensor of predictions (samples, ...).
        loss: maps all predictions and targets (samples, ...) to a number.
        workers: how many parts a batch is divided into.

    Raises:
        TypeError: on entering, if something in the model cannot be copied.
        ValueError: on entering, unless `workers` is an integer of at least 1; from `backward`, if predictions are
            something else.

    >>> import nn
    >>> model = nn.Linear(2, 2)
    >>> with data_parallel(model, nn.CrossEntropyLoss(), workers=2) as backward:
    ...     loss = backward(np.ones((10, 2), np.float32), np.zeros(10, int))
    >>> model.weight.grad.shape
    (2, 2)
    """
    from concurrent.futures import ThreadPoolExecutor  # slow to import, and seldom needed

    workers = whole("data_parallel", "workers", workers, 1)
    models = [model, *(copy_sharing_parameters(model) for _ in range(workers - 1))]
    generators = [derived(default_generator()) for _ in models]

    def forward(worker: int, inputs: Array) -> Tensor:
        with drawing_from(generators[worker]):
            predictions: Tensor = models[worker](inputs)
        check_predictions(predictions, len(inputs))
        return predictions

    def backward(inputs: Array, targets: Array) -> float:
        parts = divided(len(inputs), 1 if get_ident() in watches else workers)
        carry_modes_over(model, models[1:])
        predictions = at_once(threads, forward, [(i, inputs[part]) for i, part in enumerate(parts)])
        joined = Tensor(np.concatenate([p.data for p in predictions]), requires_grad=True)
        total = pulled_back(loss(joined, targets))
        gradient = np.zeros_like(joined.data) if joined.grad is None else joined.grad.data
        pieces = [(p, gradient[part]) for p, part in zip(predictions, parts, strict=True)]
        arrived, *others = at_once(threads, pull_back, pieces)
        for other in others:
            for leaf, contribution in other.gradients.items():
                arrived.add(leaf, contribution)
        accumulate(arrived.complete(None))
        return total

    with one_thread_for_products(), ThreadPoolExecutor(max(1, workers - 1)) as threads:
        yield backward


def pulled_back(loss: Any) -> float:
    """Compute the gradients of a loss; returns what it is. Raises TypeError if it is no tensor."""
    if not isinstance(loss, Tensor):
        raise TypeError(f"a loss is a Tensor to be differentiated, got {loss!r:.80} of type {type(loss).__name__}")
    loss.backward()
    return float(loss.item())


def in_order(function: Callable[[Any], Any], items: Iterable[Any], workers: int) -> Iterator[Any]:
    """`function(item)` for each item, in their order, computed in so many threads at once; with 1 in this one.

    The items are taken in this thread, and `workers` at most ahead of what is asked for.
    """
    if workers == 1:
        yield from map(function, items)
        return
    from concurrent.futures import ThreadPoolExecutor

    with one_thread_for_products(), ThreadPoolExecutor(workers) as threads:
        begun: deque[Any] = deque()
        for item in items:
            begun.append(threads.submit(copy_context().run, function, item))
            if len(begun) > workers:
                yield begun.popleft().result()
        yield from (task.result() for task in begun)


def check_predictions(predictions: Any, samples: int) -> None:
    """Raise ValueError unless they are one tensor (samples, ...), which can be joined to those of other parts."""
    if not isinstance(predictions, Tensor) or predictions.shape[:1] != (samples,):
        given = getattr(predictions, "shape", f"a {type(predictions).__name__}")
        raise ValueError(f"several workers need predictions ({samples}, ...) in one tensor, got {given}")


def carry_modes_over(model: Module, copies: Sequence[Module]) -> None:
    """Put each module of the copies into the mode of the model's own; ValueError if that has more or fewer by now."""
    own = list(model.modules())
    for copy in copies:
        modules = list(copy.modules())
        if len(modules) != len(own):
            raise ValueError(f"the model had {len(modules)} modules when data_parallel began, and has {len(own)} now: "
                             "begin anew, since its workers have copies of the former")
        for theirs, ours in zip(modules, own, strict=True):
            theirs.training = ours.training


def pull_back(predictions: Tensor, gradient: Array) -> Pending:
    """What arrives at the leaves of one part; their hooks wait for that of the others."""
    seeds = [(predictions, wrap(gradient))] if predictions.requires_grad else []
    with no_grad():
        return swept(seeds, False, freed_here(), None)


def at_once(threads: Executor, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The results of a function for all arguments: the first computed in this thread, the others each in another."""
    from concurrent.futures import wait

    first, *others = arguments
    # In a copy of the context: the `np.errstate` of this thread holds in the others.
    pending = [threads.submit(copy_context().run, function, *those) for those in others]
    try:
        result = function(*first)
    finally:
        wait(pending)  # also after an error: nothing runs on behind the back of what follows
    return [result, *(task.result() for task in pending)]


def copy_sharing_parameters(model: Module) -> Module:
    """A copy of a model that has the same parameters, and whatever else in it requires gradients, but the rest anew.

    Raises TypeError if something in it cannot be copied.
    """
    memo: dict[int, Any] = {id(parameter): parameter for parameter in model.parameters()}
    memo |= {id(x): x for x in reachable([model], held_by) if isinstance(x, Tensor) and x.requires_grad}
    memo |= {id(g): derived(g) for g in moving_parts(model).values() if isinstance(g, np.random.Generator)}
    try:
        return deepcopy(model, memo)
    except TypeError as error:
        sentence = f"several workers need copies of the model, and something in it cannot be copied: {error}"
        raise TypeError(f"{sentence}; use one worker, or define its __deepcopy__") from error


def derived(generator: np.random.Generator) -> np.random.Generator:
    """A generator whose numbers have nothing in common with those of this one, whose state alone decides them."""
    return np.random.default_rng(generator.integers(2**63, size=4))
