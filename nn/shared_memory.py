"""Data that the processes of a machine share: one reads them, and all see the same memory."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from minigrad.arrays import Array
from nn.files import FileError
from nn.processes import communicator, failing_together, meet

Thing = TypeVar("Thing")
ALIGNMENT = 64  # bytes, of arrays


def once_a_machine(make: Callable[[], Thing]) -> Thing:
    """What `make` returns, which one process of each machine calls; the others share the memory of its arrays.

    All processes call it, and what `make` raises in one is raised in all. Shared arrays are read-only, and lie in a
    file that has no name any more.

    Raises:
        FileError: if there is no room for such a file.
    """
    job = communicator()
    if job is None:
        return make()
    from mpi4py import MPI

    meet("once_a_machine")
    machine = job.Split_type(MPI.COMM_TYPE_SHARED)
    told: tuple[bytes, list[int], str] | None = None
    try:
        with failing_together():
            made = make() if machine.Get_rank() == 0 else None
            if machine.Get_size() > 1 and machine.Get_rank() == 0:
                told = laid_out(made)
        if machine.Get_size() == 1:
            return made  # type: ignore[return-value]
        outline, sizes, path = machine.bcast(told)
        views = mapped(path, sizes)
        machine.Barrier()  # until all have it mapped
        return pickle.loads(outline, buffers=views)  # type: ignore[no-any-return]
    finally:
        if told is not None:
            os.unlink(told[2])
        machine.Free()


def laid_out(thing: Any) -> tuple[bytes, list[int], str]:
    """A thing without its arrays, pickled; how many bytes these have; and the path of a file with them."""
    arrays: list[pickle.PickleBuffer] = []
    outline = pickle.dumps(thing, 5, buffer_callback=arrays.append)
    return outline, [array.raw().nbytes for array in arrays], written(arrays)


def written(arrays: list[pickle.PickleBuffer]) -> str:
    """The path of a new file with these arrays, each from a multiple of `ALIGNMENT` on. Raises FileError."""
    from tempfile import NamedTemporaryFile, gettempdir  # here, since the import takes its time

    try:
        with NamedTemporaryFile(prefix="minigrad-shared-", delete=False) as file:
            try:
                for array in arrays:
                    file.write(array.raw())
                    file.write(bytes(-file.tell() % ALIGNMENT))
                file.write(bytes(ALIGNMENT))  # nothing could not be mapped
                file.flush()
            except BaseException:
                os.unlink(file.name)
                raise
            return file.name
    except OSError as error:
        reason = error.strerror or error
        raise FileError(f"cannot write what processes share to {gettempdir()}: {reason}; set TMPDIR") from error


def mapped(path: str, sizes: list[int]) -> list[Array]:
    """The bytes of the arrays of these sizes in such a file; they are read when they are needed, once for all."""
    memory, views, start = np.memmap(path, mode="r"), list[Array](), 0
    for nbytes in sizes:
        views.append(memory[start : start + nbytes])
        start += nbytes + -nbytes % ALIGNMENT
    return views
