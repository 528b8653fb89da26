"""Writes operations.md, the table of all operations, from the registry: `python docs/operations.py`."""

from __future__ import annotations

import inspect
from pathlib import Path

from minigrad.ops import Operation, operations
from minigrad.ops.registry import from_numpy
from minigrad.tensor import Tensor

INTRODUCTION = """# Operations

All operations of minigrad; `python docs/operations.py` writes this page from the registry. All can be differentiated
any number of times, but for those that are flat between jumps (`sign`, `floor`, `round` and their like), which refuse a
gradient.

Names are NumPy's where NumPy has the function, and so are those of options; what follows `*` is given by name. Where
the column *NumPy's* says yes, `numpy.NAME(tensor)` works too; `multi_dot` is `numpy.linalg.multi_dot`, and
`sliding_window_view` is in `numpy.lib.stride_tricks`. NumPy's other functions work on the values, where no gradient is
needed.

*Smooth for* says for which elements there is a derivative, in one condition for all arguments or one for each: tests
draw from there, and values may be there elsewhere too.
*Kinks* lists fixed points at which the slope jumps; *ties* means equal elements. Those that depend on other arguments,
such as the bounds of `clip`, are not listed. Ties and kinks are settled as [the conventions](conventions.md) say.

| operation | what it is | smooth for | kinks | NumPy's | method |
|---|---|---|---|---|---|
"""


def signature(operation: Operation) -> str:
    """The operation as it is called, without types."""
    parameters = inspect.signature(operation.function).parameters.values()
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    return operation.name + str(inspect.Signature(plain))


def kinks(operation: Operation) -> str:
    """Where the derivative jumps."""
    places = [f"{point:g}" for point in operation.kinks] + ["ties"] * operation.ties
    return ", ".join(places)


def row(operation: Operation) -> str:
    """One row of the table."""
    summary = (operation.function.__doc__ or "").strip().splitlines()[0].rstrip(".:").replace("|", "\\|")
    domain = ", ".join(dict.fromkeys(map(str, operation.domain)))
    methods = [name for name, method in vars(Tensor).items() if method is operation.function]
    theirs = "yes" if from_numpy(operation.twin) else ""
    cells = [f"`{signature(operation)}`", summary, domain, kinks(operation), theirs,
             ", ".join(f"`{name}`" for name in methods)]
    return f"| {' | '.join(cells)} |"


def page() -> str:
    """The whole page."""
    own = [operation for operation in operations.values() if operation.owner == "minigrad"]
    families = dict.fromkeys(operation.function.__module__ for operation in own)
    rows = [row(operation) for family in families for operation in own if operation.function.__module__ == family]
    return INTRODUCTION + "\n".join(rows) + "\n"


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), encoding="utf-8")
