"""What is checked: a function, the point to check it at, and how to get its values and gradients there."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, fields, is_dataclass
from itertools import combinations
from operator import index
from typing import Any, Self, SupportsIndex, TypeVar

import numpy as np

from minigrad.arrays import NUMERIC, Array, scalar_if_0d
from minigrad.graph import sweep
from minigrad.modes import enable_grad, grad_mode, no_grad
from minigrad.recording import Contributed, Recorded, recording
from minigrad.tensor import Tensor, as_tensor, wrap
from minigrad.trees import leaves, rebuilt

__tracebackhide__ = True  # of pytest's tracebacks: reports, and lines of the user's, say more than ours

T = TypeVar("T")
Gradients = list[Any]  # one for each variable; None where no gradient arrives
COMPUTATIONS = 5  # whose median difference says how far rounding goes
PATIENCE = 40  # times as many operations as usual: rounded, what iterates until it converges may never end


@dataclass(frozen=True)
class Recording:
    """A call of a function that is differentiated as often as one likes.

    Attributes:
        arrays: what it was called with.
        values: the floating outputs.
        gradients: of Σ cotangent · output with respect to each array, for some cotangents.
        outputs, variables: as tensors, of a function of tensors.
    """

    arrays: Sequence[Array]
    values: list[Array]
    gradients: Callable[[Sequence[Array]], Gradients]
    outputs: Sequence[Tensor] = ()
    variables: Sequence[Tensor] = ()


class Counted:
    """A listener that counts operations, and raises FloatingPointError when there are more than `most`."""

    def __init__(self, most: float = np.inf) -> None:
        self.count, self.most = 0, most

    def __call__(self, event: Any) -> None:
        self.count += isinstance(event, Recorded)
        if self.count > self.most:
            said = f"where f goes on after {self.most:,} operations: does it iterate until it converges?"
            raise FloatingPointError(said)


def spread_by_rounding(
    compute: Callable[[], Sequence[Array]], rng: np.random.Generator, epsilon: float
) -> list[float] | None:
    """How far arrays are apart between computations in which each recorded result, and each gradient, is a bit off.

    The median over pairs, array by array; None if it cannot be computed so. It is large where what is left after a
    difference is the rounding of its terms. It is small where all computations jump to the same other value, say since
    what was compared with its own maximum is no longer equal to it.
    """
    found = computed_with_rounding(compute, rng, epsilon)
    if found is None:
        return None
    pairs = combinations(found[1:], 2)
    apart = [[np.abs(a - b).max(initial=0.0) for a, b in zip(*pair, strict=True)] for pair in pairs]
    return [float(np.nan_to_num(of_pairs, nan=np.inf)) for of_pairs in np.median(apart, 0)]


def computed_with_rounding(
    compute: Callable[[], Sequence[Array]], rng: np.random.Generator, epsilon: float
) -> list[list[Array]] | None:
    """What is computed as it is, and then with each recorded result, and each gradient, a bit off, several times.

    Constants are not rounded. None if it cannot be computed so, or has other shapes then.
    """
    def rounded(event: Any) -> None:
        x = event.result if isinstance(event, Recorded) else event.after if isinstance(event, Contributed) else None
        if x is not None and x.dtype.kind == "f" and (x._requires_grad or not grad_mode.enabled):
            noise = 1 + 4 * epsilon * rng.standard_normal(x.shape)
            x._data = scalar_if_0d(np.asarray(x._data * noise, x.dtype))

    exact = Counted()
    try:
        with recording(exact):
            found = [[np.copy(x) for x in compute()]]
        with recording(rounded), recording(Counted(PATIENCE * exact.count)):
            found += [[np.copy(x) for x in compute()] for _ in range(COMPUTATIONS)]
    except Exception:  # f refuses what is rounded, or does not end
        return None
    shapes = [[x.shape for x in arrays] for arrays in found]
    return found if shapes.count(shapes[0]) == len(shapes) else None


class Subject(ABC):
    """A function of several arrays, and the values of them at which it is checked."""

    function: Callable[..., Any]
    inputs: Inputs
    names: list[str]
    arrays: list[Array]
    returns_one_number = False  # so that a hand-written gradient takes no cotangent

    @abstractmethod
    def values(self, arrays: Sequence[Array]) -> list[Array]:
        """The floating outputs, nothing recorded."""

    @abstractmethod
    def recorded(self, arrays: Sequence[Array]) -> Recording:
        """One call for values and gradients."""

    def gradients(self, arrays: Sequence[Array], cotangents: Sequence[Array]) -> Gradients:
        """The gradients of Σ cotangent · output with respect to each array."""
        return self.recorded(arrays).gradients(cotangents)

    def moved_to(self, arrays: Sequence[Array]) -> Self:
        """The same function at another point."""
        moved = copy(self)
        moved.arrays = list(map(np.asarray, arrays))
        return moved


def attempted(compute: Callable[..., T], *given: Any) -> T | None:
    """What a computation gives; None where it is not defined, whatever it raises there."""
    try:
        return compute(*given)
    except Exception:
        return None


def copies(arrays: Iterable[Array | None]) -> list[Any]:
    """Arrays, or gradients with None where none arrives, as they are now: f or its gradient may write into them."""
    return [None if x is None else x.copy() for x in arrays]


def changed(names: Sequence[str], arrays: Sequence[Array], originals: Sequence[Array]) -> str | None:
    """The name of the first array that is not what it was."""
    for name, a, b in zip(names, arrays, originals, strict=True):
        if not np.array_equal(a, b) and not np.array_equal(a, b, equal_nan=True):  # the first is much faster
            return name
    return None


def apart(found: Iterable[Array], expected: Iterable[Array]) -> list[float]:
    """How far arrays are at most from others, each; infinitely far where one of both is no number."""
    off = [np.abs(a - b).max(initial=0.0) for a, b in zip(found, expected, strict=True)]
    return [float(np.nan_to_num(x, nan=np.inf)) for x in off]


def is_variable(leaf: Any) -> bool:
    """Whether a leaf of the inputs is something to differentiate with respect to: floating."""
    if isinstance(leaf, (Tensor, np.ndarray, np.generic)):
        return leaf.dtype.kind == "f"
    return type(leaf) is float


def paths(tree: Any, name: str) -> list[str]:
    """A name for each leaf of nested containers, such as `input 0['weight'][1]`."""
    if isinstance(tree, dict):
        return [path for key, part in tree.items() for path in paths(part, f"{name}[{key!r}]")]
    if isinstance(tree, (list, tuple)):
        return [path for i, part in enumerate(tree) for path in paths(part, f"{name}[{i}]")]
    return [name]


def floating_outputs(result: Any) -> list[Any]:
    """The floating outputs among what a function returned.

    Raises:
        TypeError: if there is none, or something else than arrays, tensors and numbers.
    """
    found = leaves(result)
    for out in found:
        if not isinstance(out, (Tensor, np.ndarray, np.generic, float, int)) or np.iscomplexobj(out):
            dtype = getattr(out, "dtype", None)
            what = f"{out!r}, of type {type(out).__name__}" if dtype is None else f"numbers of dtype {dtype}"
            raise TypeError(
                f"f returned {'' if out is result else 'among others '}{what}: "
                "return tensors, arrays or numbers, all of them real, or nested lists, tuples and dicts of them"
            )
    chosen = [out for out in found if is_variable(out)]
    if not chosen:
        types = ", ".join(str(getattr(out, "dtype", type(out).__name__)) for out in found) or "nothing"
        raise TypeError(f"f returned no floating output, but {types}: there is nothing to differentiate")
    return chosen


def array_of(leaf: Any) -> Array:
    """A copy of a leaf's values, in the order of all copies made of it: sums in another one round otherwise."""
    return np.array(leaf._data if isinstance(leaf, Tensor) else leaf, dtype=np.float64, order="C")


class Inputs:
    """The arguments of a function: the floating arrays in them are variables, the rest is data, and stays as it is.

    If `wrt` is given, those in arguments at other positions stay as they are too. `data` has, by name, the arrays that
    are no variables: nobody is to write into them.

    Raises:
        ValueError: if there is no such position, or nothing floating in the argument there.
    """

    def __init__(self, inputs: Sequence[Any], wrt: int | Sequence[int] | None = None) -> None:
        self.tree = list(inputs)
        self.leaves = leaves(self.tree)
        owners = [i for i, tree in enumerate(inputs) for _ in leaves(tree)]
        variable = [place for place, leaf in enumerate(self.leaves) if is_variable(leaf)]
        chosen = range(len(inputs)) if wrt is None else positions_of(wrt)
        if wrt is not None and (unfit := set(chosen) - {owners[place] for place in variable}):
            raise ValueError(f"wrt={wrt!r}: there is no floating input {min(unfit)} among the {len(inputs)} given")
        self.arguments = [inputs[i] for i in sorted(set(chosen))]
        self.places = [place for place in variable if owners[place] in chosen]
        self.paths = named = [path for i, tree in enumerate(inputs) for path in paths(tree, f"input {i}")]
        self.names = [named[place] for place in self.places]
        self.arrays = [array_of(self.leaves[place]) for place in self.places]
        data = {named[i]: getattr(leaf, "_data", leaf) for i, leaf in enumerate(self.leaves) if i not in self.places}
        self.data = {name: x for name, x in data.items() if isinstance(x, np.ndarray) and x.dtype.kind in NUMERIC}

    def filled(self, variables: Sequence[Any]) -> list[Any]:
        """The arguments with `variables` in the places of the floating arrays."""
        new = dict(zip(self.places, variables, strict=True))
        filled: list[Any] = rebuilt(self.tree, [new.get(place, leaf) for place, leaf in enumerate(self.leaves)])
        return filled

    def not_looked_into(self) -> list[str]:
        """A sentence for each dataclass among the leaves that holds something floating: it stays as it is."""
        return [f"not looked into: {path}, a {type(leaf).__name__}. What is in it is to be an input of its own"
                for path, leaf in zip(self.paths, self.leaves, strict=True)
                if is_dataclass(leaf) and not isinstance(leaf, type)
                and any(is_variable(x) for part in fields(leaf) for x in leaves(getattr(leaf, part.name, None)))]


def positions_of(wrt: Any) -> list[int]:
    """The positions that are named; ValueError if they are no whole numbers."""
    named = np.atleast_1d(np.asarray(wrt, object))
    if any(isinstance(i, (bool, np.bool_)) or not isinstance(i, SupportsIndex) for i in named):
        raise ValueError(f"wrt is the position of an input, or several, got {wrt!r:.80}")
    return [index(i) for i in named]


def in_order_of(tree: Any, found: Any) -> Any:
    """Gradients with the keys of dicts in the order of the inputs'; ValueError if a dict has other keys."""
    if isinstance(tree, dict) and isinstance(found, dict):
        if others := found.keys() - tree.keys():
            raise ValueError(f"it returned gradients for {sorted(map(repr, others))}, the input has {[*tree]}")
        return {key: in_order_of(part, found[key]) for key, part in tree.items() if key in found}
    if isinstance(tree, (list, tuple)) and isinstance(found, (list, tuple)) and len(tree) == len(found):
        return [in_order_of(*pair) for pair in zip(tree, found, strict=True)]
    return found


class TensorSubject(Subject):
    """A function of tensors, with the parameters of a module as further variables if one is given."""

    def __init__(
        self, function: Callable[..., Any], inputs: Sequence[Any], model: Any = None,
        wrt: int | Sequence[int] | None = None,
    ) -> None:
        self.function, self.inputs = function, Inputs(inputs, wrt)
        named = list(model.named_parameters()) if model is not None else []
        self.parameters = [parameter for _, parameter in named if parameter.requires_grad]
        self.names = self.inputs.names + [f"parameter {name}" for name, p in named if p.requires_grad]
        self.arrays = self.inputs.arrays + [array_of(parameter) for parameter in self.parameters]

    @contextmanager
    def at(self, arrays: Sequence[Array]) -> Iterator[list[Tensor]]:
        """Variables that share memory with `arrays`; parameters hold them until the end of the `with`."""
        variables = wrapped(arrays[: len(self.inputs.names)], requires_grad=True)
        with self.holding(arrays):
            yield variables + self.parameters

    @contextmanager
    def holding(self, arrays: Sequence[Array]) -> Iterator[None]:
        """Inside, parameters hold their part of `arrays`."""
        before = [parameter._data for parameter in self.parameters]
        try:
            for parameter, array in zip(self.parameters, arrays[len(self.inputs.names) :], strict=True):
                parameter._data = scalar_if_0d(array)
            yield
        finally:
            for parameter, data in zip(self.parameters, before, strict=True):
                parameter._data = data

    def outputs(self, variables: Sequence[Tensor]) -> list[Tensor]:
        """The floating outputs of a call, recorded unless under `no_grad`."""
        result = self.function(*self.inputs.filled(variables[: len(self.inputs.names)]))
        return [as_tensor(out) for out in floating_outputs(result)]

    def values(self, arrays: Sequence[Array]) -> list[Array]:
        with self.at(arrays) as variables, no_grad():
            return [out.numpy() for out in self.outputs(variables)]

    def recorded(self, arrays: Sequence[Array]) -> Recording:
        with self.at(arrays) as variables, enable_grad():
            outputs = self.outputs(variables)

        def gradients(cotangents: Sequence[Array]) -> Gradients:
            with self.holding(arrays):
                return gradients_of(outputs, cotangents, variables)

        return Recording(arrays, [out.numpy() for out in outputs], gradients, outputs, variables)

    def pushed_forward(self, made: Recording, cotangents: Sequence[Array], tangents: Sequence[Array]) -> Gradients:
        """The Jacobian–vector product of a recorded call: how its gradients change with the cotangents (see `jvp`)."""
        by = wrapped(cotangents, requires_grad=True)
        with self.holding(made.arrays), enable_grad():
            found = swept_from(made.outputs, by, made.variables, create_graph=True)
            reached = [(found[x], t) for x, t in zip(made.variables, tangents, strict=True) if x in found]
            return gradients_of([g for g, _ in reached], [t for _, t in reached], by)


def gradients_of(outputs: Sequence[Tensor], cotangents: Sequence[Array], variables: Sequence[Tensor]) -> Gradients:
    """The gradients of recorded outputs, as arrays."""
    found = swept_from(outputs, wrapped(cotangents), variables)
    return [found[x].numpy() if x in found else None for x in variables]


def wrapped(arrays: Iterable[Array], requires_grad: bool = False) -> list[Tensor]:
    """Tensors that share memory with arrays."""
    tensors = [wrap(scalar_if_0d(x)) for x in arrays]
    for x in tensors:
        x.requires_grad = requires_grad
    return tensors


def swept_from(
    outputs: Sequence[Tensor], cotangents: Sequence[Tensor], variables: Sequence[Tensor], create_graph: bool = False
) -> dict[Tensor, Tensor]:
    """One backward pass, which leaves the graph in place."""
    pairs = zip(outputs, cotangents, strict=True)
    seeds = [(out, c.astype(out.dtype, copy=False)) for out, c in pairs if out.requires_grad]
    return sweep(seeds, create_graph, inputs=variables)


class Alone(TensorSubject):
    """A function of one of its variables, the others being constants: of these nothing is recorded, nor rounded."""

    def __init__(self, whole: TensorSubject, variable: int) -> None:
        self.whole, self.variable = whole, variable
        self.function, self.inputs, self.parameters = whole.function, whole.inputs, whole.parameters
        self.names, self.arrays = [whole.names[variable]], [whole.arrays[variable]]

    def among_others(self, arrays: Sequence[Array]) -> list[Array]:
        return [arrays[0] if i == self.variable else x for i, x in enumerate(self.whole.arrays)]

    @contextmanager
    def at(self, arrays: Sequence[Array]) -> Iterator[list[Tensor]]:
        with self.whole.at(self.among_others(arrays)) as self.everything:
            yield [self.everything[self.variable]]

    @contextmanager
    def holding(self, arrays: Sequence[Array]) -> Iterator[None]:
        with self.whole.holding(self.among_others(arrays)):
            yield

    def outputs(self, variables: Sequence[Tensor]) -> list[Tensor]:
        others = [x for x in self.everything if x is not variables[0]]
        try:
            for x in others:
                x.requires_grad = False
            return self.whole.outputs(self.everything)
        finally:
            for x in others:
                x.requires_grad = True

    def values(self, arrays: Sequence[Array]) -> list[Array]:
        return self.recorded(arrays).values


class SecondOrder(TensorSubject):
    """The function that returns the gradients of another one, for a fixed cotangent."""

    def __init__(self, first: TensorSubject, cotangents: Sequence[Array]) -> None:
        self.first, self.cotangents = first, cotangents
        self.function, self.inputs, self.parameters = first.function, first.inputs, first.parameters
        self.names, self.arrays = first.names, first.arrays

    def moved_to(self, arrays: Sequence[Array]) -> Self:
        moved = super().moved_to(arrays)
        moved.first = self.first.moved_to(arrays)
        return moved

    def outputs(self, variables: Sequence[Tensor]) -> list[Tensor]:
        with enable_grad():
            seeds = wrapped(copies(self.cotangents))
            found = swept_from(self.first.outputs(variables), seeds, variables, create_graph=True)
        return [found[x] if x in found else wrap(np.zeros(x.shape, x.dtype)) for x in variables]


class HandWritten(Subject):
    """A function of plain arrays that brings its own gradient."""

    def __init__(
        self, function: Callable[..., Any], gradient: Callable[..., Any], inputs: Sequence[Any],
        wrt: int | Sequence[int] | None = None,
    ) -> None:
        self.function, self.gradient, self.inputs = function, gradient, Inputs(inputs, wrt)
        self.names, self.arrays = self.inputs.names, self.inputs.arrays

    def values(self, arrays: Sequence[Array]) -> list[Array]:
        result = self.function(*self.inputs.filled(arrays))
        outputs = [np.asarray(out) for out in floating_outputs(result)]
        self.returns_one_number = len(leaves(result)) == 1 and outputs[0].ndim == 0
        return outputs

    def gradients(self, arrays: Sequence[Array], cotangents: Sequence[Array]) -> Gradients:
        arguments = self.inputs.filled(arrays)
        arguments += () if self.returns_one_number else cotangents
        self.check_call(arguments)
        found = self.gradient(*arguments)
        given, several = self.inputs.arguments, isinstance(found, (tuple, list, dict))
        of_all = isinstance(found, (tuple, list)) and len(found) == len(given)
        ordered = leaves(in_order_of(given if of_all else given[0], found)) if several else [found]
        gradients = [None if g is None else np.asarray(g) for g in ordered]
        if odd := [g for g in gradients if g is not None and g.dtype.kind not in "biuf"]:
            raise TypeError(f"it returned {odd[0]!r:.80}, and not an array of numbers for each floating input")
        if len(gradients) != len(self.arrays):
            raise ValueError(f"it returned {len(gradients)} gradients for {len(self.arrays)} floating inputs")
        return gradients

    def check_call(self, arguments: Sequence[Any]) -> None:
        """Refuse a gradient that does not take what it is called with."""
        try:
            inspect.signature(self.gradient).bind(*arguments)
        except ValueError:  # it does not tell what it takes
            return
        except TypeError as error:
            takes = "the inputs alone, since f returns one number" if self.returns_one_number else (
                "the inputs and then a cotangent for each output, since f returns more than one number")
            raise TypeError(f"the gradient is called with {takes} ({error})") from None

    def recorded(self, arrays: Sequence[Array]) -> Recording:
        return Recording(arrays, self.values(arrays), lambda cotangents: self.gradients(arrays, cotangents))
