"""Jobs of several processes, which `mpiexec` begins, and steps that such a job makes when it is told to.

A job that waits takes no processor: it waits for a byte from a socket, as MPI's own waiting computes without end.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from subprocess import DEVNULL, Popen
from typing import Any
from weakref import finalize

from benchmarks.step import Step

ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"
PATHS = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # where mpiexec may be


def can_begin() -> bool:
    """Whether mpi4py and `mpiexec` are installed."""
    return bool(find_spec("mpi4py") and which("mpiexec", path=PATHS))


def by_mpiexec(count: int, module: str, *arguments: str) -> dict[str, Any]:
    """What `subprocess` takes to run a module of this project in so many processes, each with one thread."""
    as_root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    beyond_cores = {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", "OMPI_MCA_mpi_yield_when_idle": "1"}
    command = ["mpiexec", "-n", str(count), sys.executable, "-m", module, *arguments]
    settings = {"OPENBLAS_NUM_THREADS": "1", "PATH": PATHS, **as_root, **beyond_cores}
    return {"args": command, "cwd": ROOT, "env": os.environ | settings}


def step_of_job(count: int, module: str, *arguments: str) -> Step:
    """A step that all processes of a job make together, each by `make_steps`; the job ends with it, or with us.

    Args:
        count: how many processes.
        module: what each runs, with the port for `make_steps` as the first argument.
        arguments: those after it.

    Raises ConnectionError if the job ends before that; what it says about it goes to the standard error.
    """
    with ExitStack() as ending, socket.create_server((HOST, 0)) as server:
        port = str(server.getsockname()[1])
        job = ending.enter_context(Popen(**by_mpiexec(count, module, port, *arguments), stdin=DEVNULL))
        connections = [ending.enter_context(accepted(server, job)) for _ in range(count)]

        def step() -> float:
            for connection in connections:
                connection.sendall(b"1")
            losses = [connection.recv(64) for connection in connections]
            if not all(losses):
                raise ConnectionError(f"{module} ended in one of {count} processes before it had made a step")
            return float(losses[0])

        finalize(step, ending.pop_all().close)  # also at the end of the program
    return step


def accepted(server: socket.socket, job: Popen[bytes]) -> socket.socket:
    """The connection of one more process of a job."""
    server.settimeout(1)
    while job.poll() is None:
        with suppress(TimeoutError):
            return server.accept()[0]
    raise ConnectionError(f"mpiexec ended with status {job.returncode} before all its processes had begun")


def make_steps(step: Step, port: str) -> None:
    """In a process of the job: make a step whenever it is told to, and tell its loss, until nobody is there to tell."""
    with suppress(ConnectionError), socket.create_connection((HOST, int(port))) as connection:
        while connection.recv(1):
            connection.sendall(repr(step()).encode())
