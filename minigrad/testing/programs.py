"""Whole random programs over the registry of operations, which print as Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigrad.arrays import Array
from minigrad.modes import no_grad
from minigrad.ops import Domain, Operation, operations
from minigrad.ops.registry import REAL
from minigrad.tensor import Tensor, as_tensor
from minigrad.testing.calls import Known, registered
from minigrad.testing.spelling import Name, called, spelled
from minigrad.testing.subject import attempted
from minigrad.testing.values import arguments_by_name, axes, clear_arrays, full_shapes, split_options
from minigrad.trees import leaves, rebuilt

CLEAR = 0.02  # how far values keep from kinks, ties and the ends of a domain
LARGEST = 1e3
ATTEMPTS = 4  # to draw an operation that is defined and smooth for the values there are


@dataclass(frozen=True)
class Statement:
    """One step of a program: an operation, and its arguments, with a `Name` for each tensor."""

    name: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    def names(self) -> list[str]:
        """The variables that it uses."""
        return [x.name for x in leaves(self.arguments) if isinstance(x, Name)]

    def run(self, values: dict[str, Tensor]) -> Tensor:
        """The result for the values of the variables so far."""
        return as_tensor(operations[self.name].function(*replaced(self.arguments, values), **self.options))

    def __str__(self) -> str:
        if self.name == "getitem":
            index = spelled(self.arguments[1])
            return f"{self.arguments[0]}[{index}]"
        ours = operations[self.name].owner == __name__.partition(".")[0]
        return called(f"mg.{self.name}" if ours else self.name, self.arguments, self.options)


def replaced(arguments: tuple[Any, ...], new: Mapping[str, Any]) -> Any:
    """The arguments with other things in place of names."""
    return rebuilt(arguments, [new[x.name] if isinstance(x, Name) else x for x in leaves(arguments)])


@dataclass(frozen=True, repr=False, eq=False)
class Program:
    """A function of `len(inputs)` tensors: lines of which each gives a new variable; the last one is returned.

    `gradcheck(program, *program.inputs)` checks it, and `print(program)` shows Python that does the same.
    """

    inputs: tuple[Array, ...]
    lines: tuple[Statement, ...]

    def __call__(self, *inputs: Any) -> Tensor:
        values = {f"x{i}": as_tensor(x) for i, x in enumerate(inputs)}
        for i, line in enumerate(self.lines):
            values[f"y{i}"] = line.run(values)
        return values[f"y{len(self.lines) - 1}"]

    @property
    def __name__(self) -> str:
        return "program"

    def __repr__(self) -> str:
        names = [f"x{i}" for i in range(len(self.inputs))]
        body = [f"    y{i} = {line}" for i, line in enumerate(self.lines)]
        values = [f"{name} = {spelled(x)}" for name, x in zip(names, self.inputs, strict=True)]
        return "\n".join([
            "import numpy as np", "import minigrad as mg", "",
            f"def program({', '.join(names)}):", *body, f"    return y{len(body) - 1}", "",
            *values, f"mg.testing.gradcheck(program, {', '.join(names)})",
        ])


def pruned(inputs: Sequence[Array], lines: Sequence[Statement]) -> Program:
    """The program without what its last line does not need, its variables numbered anew."""
    needed = {f"y{len(lines) - 1}"}
    for i in reversed(range(len(lines))):
        if f"y{i}" in needed:
            needed.update(lines[i].names())
    old = [f"x{i}" for i in range(len(inputs)) if f"x{i}" in needed]
    numbers = [i for i in range(len(lines)) if f"y{i}" in needed]
    new = {name: Name(f"x{i}") for i, name in enumerate(old)} | {f"y{i}": Name(f"y{k}") for k, i in enumerate(numbers)}
    kept = [replace(lines[i], arguments=replaced(lines[i].arguments, new)) for i in numbers]
    return Program(tuple(inputs[int(name[1:])] for name in old), tuple(kept))


# ------------------------------------------------------------------------------------------------ drawing one


@st.composite
def programs(draw: st.DrawFn, names: Known | Sequence[Known] = (), max_lines: int = 6) -> Program:
    """Random programs of registered operations, with shared nodes, broadcasting and views.

    Whatever they compute stays clear of kinks and of moderate size. They shrink to the fewest lines and the simplest
    values; `print(program)` shows runnable Python.

    Args:
        names: of the registered operations to use, or of the only one; by default all that can be applied to whatever
            tensors there are.
        max_lines: how many operations at most.

    Raises:
        ValueError: if there is no operation of a name, or it cannot be part of programs.

    >>> from hypothesis import given
    >>> from minigrad.testing import gradcheck
    >>> @given(programs(["sin", "multiply", "transpose"]))
    ... def test(program):
    ...     gradcheck(program, *program.inputs)
    >>> test()
    """
    several = [names] if isinstance(names, (str, Operation)) or callable(names) else names
    chosen = [registered(name) for name in several]
    for known in chosen:
        if known.name not in composable():
            raise ValueError(f"{known.name} cannot be put into programs: it is no reduction, nor elementwise with a "
                             f"gradient. Check it alone, by strategies.calls({known.name!r})")
    usable = [known.name for known in chosen] or composable()
    domains = dict.fromkeys([REAL, *(domain for known in chosen for domain in known.domain)])
    values_in = st.one_of([clear_arrays(full_shapes, domain) for domain in domains])
    inputs = draw(st.lists(values_in, min_size=1, max_size=3))
    values = {f"x{i}": Tensor(x) for i, x in enumerate(inputs)}
    lines: list[Statement] = []
    for _ in range(draw(st.integers(1, max_lines))):
        for _ in range(ATTEMPTS):
            line = draw(lines_for(values, usable))
            result = None if line is None else evaluated(line, values)
            if line is not None and result is not None:
                values[f"y{len(lines)}"] = result
                lines.append(line)
                break
    if not lines:
        reject()  # where it is the rule, hypothesis says so
    return pruned(inputs, lines)


def composable() -> list[str]:
    """The operations that can be applied to whatever tensors there are."""
    return [name for name, known in operations.items() if known.kind in OF_FAMILY or name in BY_NAME]


@st.composite
def lines_for(draw: st.DrawFn, values: dict[str, Tensor], from_names: Sequence[str]) -> Statement | None:
    """A line that applies some operation to some of the variables; it need not be defined for their values."""
    operation = operations[draw(st.sampled_from(from_names))]
    names: list[str] = []
    for domain in operation.domain:
        fitting = [name for name in reversed(values)  # the newest first, so that programs are long and narrow
                   if suits(values[name]._data, domain, operation)
                   and (operation.kind != "elementwise" or joint_shape([name, *names], values) is not None)]
        if not fitting:
            return None
        names.append(draw(st.sampled_from(fitting)))
    return draw((BY_NAME.get(operation.name) or OF_FAMILY[operation.kind])(operation, names, values))


def suits(x: Array, domain: Domain, operation: Operation) -> bool:
    """Whether an operation is smooth at an input."""
    return within(x, domain) and not any(near(x, kink) for kink in operation.kinks)


def joint_shape(names: Sequence[str], values: dict[str, Tensor]) -> tuple[int, ...] | None:
    """What the shapes of some variables are broadcast to; None if they do not fit together."""
    return attempted(np.broadcast_shapes, *(values[name].shape for name in names))


def elementwise(operation: Operation, names: list[str], values: dict[str, Tensor]) -> Drawn:
    return st.just(Statement(operation.name, tuple(map(Name, names)), {}))


def reduction(operation: Operation, names: list[str], values: dict[str, Tensor]) -> Drawn:
    ndim = values[names[0]].ndim
    options = st.fixed_dictionaries({"axis": axes(ndim), "keepdims": st.booleans()})
    return options.map(lambda options: Statement(operation.name, (Name(names[0]),), options))


def chosen(operation: Operation, names: list[str], values: dict[str, Tensor]) -> Drawn:
    condition: st.SearchStrategy[Array] = hnp.arrays(bool, joint_shape(names, values) or ())
    return condition.map(lambda condition: Statement(operation.name, (condition, *map(Name, names[1:])), {}))


def several_joined(operation: Operation, names: list[str], values: dict[str, Tensor]) -> Drawn:
    alike = [name for name in reversed(values) if values[name].shape == values[names[0]].shape]
    several = st.lists(st.sampled_from(alike).map(Name), min_size=1, max_size=3)
    return several.map(lambda several: Statement(operation.name, (several,), {"axis": 0}))


def with_arguments(operation: Operation, names: list[str], values: dict[str, Tensor]) -> Drawn:
    def line(given: tuple[Any, ...]) -> Statement:
        arguments, options = split_options(given)
        return Statement(operation.name, (Name(names[0]), *arguments), options)

    shape = values[names[0]].shape
    return arguments_by_name[operation.name](shape).map(line) if shape else st.none()


Drawn: TypeAlias = st.SearchStrategy[Statement | None]  # None if the operation does not fit these values
Statements = Callable[[Operation, list[str], dict[str, Tensor]], Drawn]
OF_FAMILY: dict[str, Statements] = {"elementwise": elementwise, "reduction": reduction}
VARIANCES = ("var", "std", "nanvar", "nanstd")
BY_NAME: dict[str, Statements] = {
    **dict.fromkeys(["matmul", "dot"], elementwise),
    **dict.fromkeys(VARIANCES, reduction),
    "where": chosen,
    **dict.fromkeys(["concatenate", "stack"], several_joined),
    **dict.fromkeys([name for name in arguments_by_name if name != "split"], with_arguments),
}


# ------------------------------------------------------------------------------------------------ staying smooth


def evaluated(line: Statement, values: dict[str, Tensor]) -> Tensor | None:
    """The value of a line; None unless it is defined, finite, of moderate size, and clear of kinks."""
    operation = operations[line.name]
    given = [values[name]._data for name in line.names()]
    if operation.ties and tied(given):
        return None
    try:
        with no_grad(), np.errstate(all="ignore"):
            result = line.run(values)
    except (ValueError, IndexError, TypeError, ZeroDivisionError, np.linalg.LinAlgError):
        return None  # shapes that do not fit, an axis that is not there
    data = np.asarray(result._data)
    moderate = data.dtype == np.float64 and np.isfinite(data).all() and (np.abs(data) < LARGEST).all()
    return result if moderate and 0 < data.size < 200 and not (operation.name in VARIANCES and near(data, 0)) else None


def within(x: Array, domain: Domain) -> bool:
    """Whether all elements lie inside a domain, clear of its ends."""
    inside = bool(((x > domain.low + CLEAR) & (x < domain.high - CLEAR)).all())
    return inside and not any(near(x, point) for point in domain.without)


def near(x: Array, point: float) -> bool:
    return bool((np.abs(x - point) < CLEAR).any())


def tied(given: Sequence[Array]) -> bool:
    """Whether two elements that may be compared are about equal."""
    everything = np.sort(np.concatenate([np.ravel(x) for x in given]))
    return bool((np.diff(everything) < CLEAR).any())
