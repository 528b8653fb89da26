"""Data that the processes of a machine share: one reads them, and all see the same memory."""

from __future__ import annotations

import copyreg
import io
import os
import pickle
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

import numpy as np

from minigrad.arrays import Array
from nn.files import FileError
from nn.processes import communicator, failing_together, meeting

Thing = TypeVar("Thing")
ALIGNMENT = 64  # bytes, of arrays


def once_a_machine(make: Callable[[], Thing]) -> Thing:
    """What `make` returns, which one process of each machine calls; the others share the memory of its arrays.

    All processes call it, and what `make` raises in one is raised in all; itself it calls nothing that takes all. Where
    a machine has several processes, arrays are read-only, and lie in a file that has no name any more: so leave them as
    they are everywhere. Arrays of objects, of records with times, and those of a class of their own, such as masked
    ones, are not shared: each process gets a copy.

    Raises:
        FileError: if there is no room for such a file, or others cannot read it.
        ProcessesDiffer: if the processes hand over functions of different names or lines, or if `make` calls what
            takes all.
    """
    job = communicator()
    if job is None:
        return make()
    from mpi4py import MPI

    name = name_of(make)
    with meeting(f"once_a_machine({name})"):
        machine = job.Split_type(MPI.COMM_TYPE_SHARED)
    is_first, is_shared = machine.Get_rank() == 0, machine.Get_size() > 1
    made, told = None, None
    with ExitStack() as afterwards:
        afterwards.callback(machine.Free)
        with failing_together(name):
            made = make() if is_first else None
            told = laid_out(made, afterwards) if is_first and is_shared else None
        with failing_together(name):  # which waits until all have it mapped
            if is_shared:
                outline, sizes, path = machine.bcast(told)
                made = pickle.loads(outline, buffers=mapped(path, sizes))
    return made  # type: ignore[return-value]


def name_of(make: Callable[[], Any]) -> str:
    """What a function is called, and where it is: for a place where processes meet."""
    code = getattr(make, "__code__", None)
    name = getattr(make, "__qualname__", type(make).__name__)
    return name if code is None else f"{name} of line {code.co_firstlineno}"


def laid_out(thing: Any, afterwards: ExitStack) -> tuple[bytes, list[int], str]:
    """A thing without its arrays, pickled; how many bytes these have; and the path of a file with them."""
    arrays, outline = list[pickle.PickleBuffer](), io.BytesIO()
    pickler = pickle.Pickler(outline, 5, buffer_callback=arrays.append)
    pickler.dispatch_table = copyreg.dispatch_table | dict.fromkeys([np.ndarray, np.memmap], in_one_piece)
    pickler.dump(thing)
    return outline.getvalue(), [array.raw().nbytes for array in arrays], written(arrays, afterwards)


def in_one_piece(array: Array) -> Any:
    """How to pickle an array such that its bytes are one buffer: laid out without gaps, and times as whole numbers."""
    if array.dtype.kind in "mM":
        return np.ndarray.view, (array.view(np.int64), array.dtype)
    plain = np.asarray(array)  # of one that is mapped from a file, too
    return (plain if plain.flags.forc else plain.copy()).__reduce_ex__(5)


def written(arrays: list[pickle.PickleBuffer], afterwards: ExitStack) -> str:
    """The path of a new file with these arrays, each from a multiple of `ALIGNMENT` on, which goes `afterwards`.

    Raises FileError.
    """
    from tempfile import NamedTemporaryFile, gettempdir  # here, since the import takes its time

    try:
        with NamedTemporaryFile(prefix="minigrad-shared-", delete=False) as file:
            afterwards.callback(os.unlink, file.name)
            for array in arrays:
                file.write(array.raw())
                file.write(bytes(-file.tell() % ALIGNMENT))
            file.write(bytes(ALIGNMENT))  # nothing could not be mapped
            return file.name
    except OSError as error:
        reason = error.strerror or error
        raise FileError(f"cannot write what processes share to {gettempdir()}: {reason}; set TMPDIR") from error


def mapped(path: str, sizes: list[int]) -> list[Array]:
    """The bytes of the arrays of these sizes in such a file; they are read when they are needed, once for all.

    Raises FileError.
    """
    try:
        memory = np.memmap(path, mode="r")
    except OSError as error:
        raise FileError(f"cannot read what processes share, {path}: {error.strerror or error}; set TMPDIR") from error
    views, start = list[Array](), 0
    for nbytes in sizes:
        views.append(memory[start : start + nbytes])
        start += nbytes + -nbytes % ALIGNMENT
    return views
