"""What importing a package takes of a processor, each time in a new process that has imported NumPy before."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks.timing import Contestant, Contestants

PACKAGES = {"minigrad": "minigrad", "nn": "nn, and so minigrad", "torch": "PyTorch", "jax": "JAX",
            "autograd": "HIPS autograd", "mygrad": "MyGrad"}


def import_time(package: str, before: str) -> float:
    """Seconds of a processor that importing a package takes in a new process, after another one.

    Whatever is set here, that process may keep what it compiles, as it does where a package is installed, and its
    products have one thread: the clock would count how others wait for work, in a loop.
    """
    program = f"import {before}; from time import process_time as t; start = t(); import {package}; print(t() - start)"
    arguments = [sys.executable, "-c", program]
    cwd = Path(__file__).parents[1]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["OPENBLAS_NUM_THREADS"] = "1"
    run = subprocess.run(arguments, cwd=cwd, env=env, capture_output=True, text=True, check=True)
    return float(run.stdout)


def clock(contestant: Contestant, calls: int) -> float:
    """What a contestant says of itself: the time its process takes to start does not count."""
    total: float = sum(contestant() for _ in range(calls))
    return total / calls


def contestants() -> Contestants:
    """All that are installed, by name; they return the seconds they took."""

    def contestant(package: str, before: str = "numpy") -> Contestant:
        return lambda: import_time(package, before)

    beyond = {name: contestant(package) for package, name in PACKAGES.items() if find_spec(package)}
    return {"NumPy itself": contestant("numpy", before="sys"), **beyond}
