"""What stands around the figures: where they come from, and their place in the documentation."""

from __future__ import annotations

import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import minigrad as mg

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
OTHERS = {"torch": "PyTorch", "jax": "JAX", "autograd": "HIPS autograd", "mygrad": "MyGrad"}


def processor() -> str:
    """The name of the processor, which only Linux needs to be asked for in its own way."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def environment() -> str:
    """One sentence: machine, versions and date."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    versions = [f"Python {platform.python_version()}", f"minigrad {mg.__version__}"]
    versions.append(f"NumPy {np.__version__} with {blas['name']} {blas['version']}")
    for package, name in OTHERS.items():
        try:
            versions.append(f"{name} {version(package)}")
        except PackageNotFoundError:
            continue
    cores = os.cpu_count()
    return f"Measured on {date.today()}: {processor()}, {cores} cores, {platform.system()}; {', '.join(versions)}."


def write_between(name: str, text: str, page: Path = PAGE) -> None:
    """Put `text` between the lines `<!-- name -->` and `<!-- end of name -->` of a page, in place of what is there.

    Raises:
        ValueError: unless both lines are there, once and in this order.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, _, rest = (content := page.read_text(encoding="utf-8")).partition(begin)
    _, _, after = rest.partition(end)
    if content.count(begin) != 1 or content.count(end) != 1 or end not in rest:
        raise ValueError(f"{page} has to have the lines {begin.strip()} and {end.strip()}, each once, in this order")
    page.write_text(f"{before}{begin}\n{text.strip()}\n\n{end}{after}", encoding="utf-8")
