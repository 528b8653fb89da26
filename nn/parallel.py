"""Gradients of a batch computed in several threads, each with a part of the samples."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.graph import freed_here, seed, sweep
from minigrad.random import default_generator, drawing_from
from nn.data import Array
from nn.module import Module

Backward = Callable[[Array, Array], float]

THREADS_OF_OPENBLAS = "scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_", "openblas_{}_num_threads"


@contextmanager
def data_parallel(model: Module, loss: Module, workers: int) -> Iterator[Backward]:
    """Inside, `backward(inputs, targets)` divides a batch among `workers` threads, and adds up what they find.

    It accumulates the gradients in the parameters' `.grad` and returns the loss of the batch. NumPy's own loops use one
    core each, so that the other cores idle for half of a step of a convolutional network; here each thread goes through
    the whole step by itself. That pays where a step takes more than about ten milliseconds.

    The threads share the parameters. Each has its own copy of everything else: batch norm normalises each part by
    itself (Hoffer et al., Train longer, generalize better, 2017, call that ghost batch norm), and the running averages
    of the model are those of the first part. Random numbers come from generators that are spawned for each thread, so
    that results depend on the seed and on the number of workers, never on which thread is faster.

    Args:
        model: maps inputs to predictions.
        loss: maps predictions and targets to a mean over the samples.
        workers: how many parts a batch is divided into.

    >>> import nn
    >>> model = nn.Linear(2, 2)
    >>> with data_parallel(model, nn.CrossEntropyLoss(), workers=2) as backward:
    ...     loss = backward(np.ones((10, 2), np.float32), np.zeros(10, int))
    >>> model.weight.grad.shape
    (2, 2)
    """
    models = [model, *(copy_sharing_parameters(model) for _ in range(workers - 1))]
    generators = default_generator().spawn(workers)

    def differentiate(worker: int, inputs: Array, targets: Array, share: float) -> tuple[float, dict[Tensor, Tensor]]:
        """What a part contributes to the loss and to its gradients."""
        with drawing_from(generators[worker]):
            mean: Tensor = loss(models[worker](inputs), targets)
            return share * float(mean.item()), sweep([(mean, seed(mean, share))], freed=freed_here())

    def backward(inputs: Array, targets: Array) -> float:
        samples = len(inputs)
        parts = [slice(*cut) for cut in pairwise(samples * i // workers for i in range(workers + 1))]
        results = [
            threads.submit(differentiate, i, inputs[part], targets[part], (part.stop - part.start) / samples)
            for i, part in enumerate(parts)
            if part.start < part.stop
        ]
        total = 0.0
        for contribution, gradients in [result.result() for result in results]:
            total += contribution
            for leaf, gradient in gradients.items():
                leaf.grad = gradient if leaf.grad is None else leaf.grad + gradient
        return total

    with one_thread_for_products(), ThreadPoolExecutor(workers) as threads:
        yield backward


def copy_sharing_parameters(model: Module) -> Module:
    """A copy of a model that has the same parameters, but buffers and generators of its own."""
    settings = [setting for module in model.modules() for setting in vars(module).values()]
    memo: dict[int, Any] = {id(parameter): parameter for parameter in model.parameters()}
    memo |= {id(s): s.spawn(1)[0] for s in settings if isinstance(s, np.random.Generator)}
    return deepcopy(model, memo)


@contextmanager
def one_thread_for_products() -> Iterator[None]:
    """Inside, OpenBLAS, which NumPy's wheels bring along, computes a product in the thread that asks for it.

    With threads of its own it computes one product at a time in the whole process. Other libraries are left alone.
    """
    library = ctypes.CDLL(import_module("numpy._core._multiarray_umath").__file__)  # its symbols and its libraries'
    name = next((name for name in THREADS_OF_OPENBLAS if hasattr(library, name.format("set"))), None)
    if name is None:
        yield
        return
    get, set_to = (getattr(library, name.format(verb)) for verb in ("get", "set"))
    before = get()
    set_to(1)
    try:
        yield
    finally:
        set_to(before)
