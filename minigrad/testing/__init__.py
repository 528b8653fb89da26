"""Testing gradients: `gradcheck` needs NumPy alone, strategies and the decorator need hypothesis (the extra `test`).

The idea is in `differences`, short and to be read first: a slope, with an error bar. What it says about an analytic
value is in `numeric`. The rest in the order of a check: `subject` (what is checked, at which arrays), `outcome` (what
that gave, and gives again), `probe` (its slopes along directions), `structure` and `single_precision` (what else must
hold), `rounding` (what excuses a difference), `examination` (all of it, written into a `report`), `check` (what people
call).
If something is wrong, `blame` (each recorded step on its own), `patterns` (well-known mistakes) and `reproduce` (a line
that shows it again, in the words of `spelling`) explain it.
`adapters` bring functions of other frameworks; `mutation` breaks rules to see who notices; `plugin` and `survey` are
for pytest; `values`, `calls`, `programs` and `property` are for hypothesis: what it draws, and the test it makes of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from minigrad.testing.adapters import from_jax as from_jax
from minigrad.testing.adapters import from_torch as from_torch
from minigrad.testing.check import gradcheck as gradcheck
from minigrad.testing.check import gradient_report as gradient_report
from minigrad.testing.mutation import MutationReport as MutationReport
from minigrad.testing.mutation import mutate_rules as mutate_rules
from minigrad.testing.numeric import Finding as Finding
from minigrad.testing.numeric import Tolerance as Tolerance
from minigrad.testing.numeric import Verdict as Verdict
from minigrad.testing.report import GradientError as GradientError
from minigrad.testing.report import Report as Report
from minigrad.testing.structure import CHECKS as CHECKS

LAZY = {"strategies": "strategies", "gradient_property": "property"}


def __getattr__(name: str) -> Any:
    """What needs hypothesis is imported when it is used."""
    if name not in LAZY:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    try:
        module = import_module(f"{__name__}.{LAZY[name]}")
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("hypothesis"):
            raise
        raise ImportError(
            f"{__name__}.{name} needs hypothesis: pip install hypothesis", name=error.name
        ) from None
    return module if name == "strategies" else getattr(module, name)
