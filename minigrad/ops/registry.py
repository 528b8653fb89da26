"""The registry of operations: what each one is, said where it is defined.

From it come NumPy's own functions on tensors, the table of operations in the docs, and the property tests: a new
operation is gradient-checked without anyone writing a test for it. Only one that takes more than tensors and the
arguments of its family needs examples, see `minigrad.testing.strategies.register`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, signature
from math import inf
from typing import Any, Literal, TypeVar, cast

import numpy as np

from minigrad.modes import is_grad_enabled
from minigrad.tensor import Tensor, TensorLike

Kind = Literal["elementwise", "step", "reduction", "other"]
F = TypeVar("F", bound=Callable[..., Any])
BETWEEN = {  # the method of an operator between two operands -> its symbol
    "__add__": "+", "__sub__": "-", "__mul__": "*", "__truediv__": "/", "__floordiv__": "//", "__mod__": "%",
    "__pow__": "**", "__matmul__": "@",
}


@dataclass(frozen=True)
class Domain:
    """Where an input must lie for the operation to be defined and smooth: an open interval without some points."""

    low: float = -inf
    high: float = inf
    without: tuple[float, ...] = ()

    def __str__(self) -> str:
        if self.low == -inf and self.high == inf:
            return " and ".join(f"x ≠ {point:g}" for point in self.without) or "real"
        return f"x > {self.low:g}" if self.high == inf else f"{self.low:g} < x < {self.high:g}"


REAL, POSITIVE, NONZERO = Domain(), Domain(0), Domain(without=(0,))


@dataclass(frozen=True)
class Operation:
    """What is known of an operation.

    Attributes:
        name: what it is called, its place in this package in front: `exp`, `linalg.inv`.
        function: the operation itself.
        kind: the family it is of, by which its arguments are generated in tests: "elementwise" takes `arity`
            broadcastable tensors, "step" too but it has no gradient, "reduction" a tensor, `axis` and `keepdims`; for
            any "other" tests know its arguments by its name.
        twin: the NumPy function it mirrors, called the same way and used for tensors in its place; where NumPy has
            none, a reference that computes the same value some other way.
        arity: how many tensors it cannot do without.
        domain: for each of them, where its elements must lie.
        kinks: values of an elementwise input at which the derivative jumps.
        ties: whether equal elements (of two inputs, or within one) are a kink, shared evenly among them.
        nonempty: whether it has no value for inputs without elements.
    """

    name: str
    function: Callable[..., Any]
    kind: Kind
    twin: Callable[..., Any] | None
    arity: int
    domain: tuple[Domain, ...]
    kinks: tuple[float, ...]
    ties: bool
    nonempty: bool

    @property
    def owner(self) -> str:
        """The package that defines it: "minigrad", "nn", or somebody else's."""
        return self.function.__module__.partition(".")[0]


operations: dict[str, Operation] = {}
twins: dict[Callable[..., Any], Callable[..., Any]] = {}  # NumPy's function -> the operation that serves tensors


def operation(
    kind: Kind,
    twin: Callable[..., Any] | None = None,
    *,
    domain: Domain | tuple[Domain, ...] = REAL,
    kinks: tuple[float, ...] = (),
    ties: bool = False,
    nonempty: bool = False,
    methods: str = "",
    name: str = "",
) -> Callable[[F], F]:
    """Enter the decorated function into the registry, and put it on `Tensor` under each of the names in `methods`.

    A name such as `__sub__` brings `__rsub__`, with the two operands exchanged, and `__isub__`, the augmented
    assignment. How many tensors it takes is counted from the signature, unless `domain` is a tuple. See `Operation`.
    """

    def enter(function: F) -> F:
        domains = (domain,) * tensors_of(function) if isinstance(domain, Domain) else domain
        full = name or function.__name__
        operations[full] = Operation(full, function, kind, twin, len(domains), domains, kinks, ties, nonempty)
        if from_numpy(twin):
            twins[cast(Callable[..., Any], twin)] = function
        for method in methods.split():
            setattr(Tensor, method, function)
            if method in BETWEEN:
                setattr(Tensor, f"__r{method[2:]}", lambda self, other: function(other, self))
                setattr(Tensor, f"__i{method[2:]}", in_place(BETWEEN[method], function))
        return function

    return enter


def named_after(
    twin: Any, function: Callable[..., Any], doc: str, kind: Kind = "other", **facts: Any
) -> Callable[..., Any]:
    """Enter `function`, under the name of NumPy's `twin`, as the operation that does the same."""
    function.__name__ = function.__qualname__ = twin.__name__
    function.__doc__ = f"{doc}."
    return operation(kind, twin, **facts)(function)


def tensors_of(function: Callable[..., Any]) -> int:
    """How many arguments have no default and are tensors, as all are that have no type; at least one."""
    needed = [p for p in signature(function).parameters.values() if p.default is p.empty]
    one_each = [p.annotation for p in needed if p.kind is not p.VAR_POSITIONAL]
    return max(1, sum(given is Parameter.empty or "Tensor" in str(given) for given in one_each))


def from_numpy(twin: Any) -> bool:
    """Whether a twin is a function of NumPy's own, or the method of one: `np.maximum.accumulate`."""
    return isinstance(getattr(twin, "__self__", twin), np.ufunc) or getattr(twin, "__module__", "").startswith("numpy")


def in_place(symbol: str, function: Callable[[TensorLike, TensorLike], Tensor]) -> Callable[..., Tensor]:
    """The assignment `x += y`: an update of a leaf that requires gradients, under `no_grad`; elsewhere `x = x + y`."""
    def assign(self: Tensor, other: TensorLike) -> Tensor:
        if not (self.is_leaf and self.requires_grad):
            return function(self, other)
        if is_grad_enabled():
            raise RuntimeError(
                f"{symbol}= on a leaf that requires gradients would lose the value the graph needs: "
                f"write y = x {symbol} ..., or update it under no_grad()"
            )
        array, result = self.numpy(), function(self, other)
        if result.shape != self.shape:
            raise ValueError(f"{symbol}= keeps a shape, but {self.shape} {symbol} {np.shape(other)} has {result.shape}")
        array[...] = result.data
        self.data = array
        return self

    return assign
