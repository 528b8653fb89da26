"""Functions of functions: gradients, products with Jacobians, whole Jacobians and Hessians.

All take functions of arrays or tensors, or of nested tuples, lists and dicts of them, and can be nested and mixed.
A result is itself recorded if something else than the variables, such as those of a surrounding transform, requires
gradients: that is what makes `grad(grad(f))` work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from operator import index
from typing import Any

import numpy as np

from minigrad.graph import sweep, topological_order, without_inputs
from minigrad.guards import Freed
from minigrad.hooks import Traced, extras_of, fitted
from minigrad.modes import enable_grad, grad_mode
from minigrad.ops.shape import stack
from minigrad.tensor import Tensor, as_tensor, wrap
from minigrad.trees import Tree, counterparts, leaves, rebuilt

# ------------------------------------------------------------------------------------------------ one traced call


class TracedCall:
    """One call of a function with its inputs as variables, whose graph is kept to be swept."""

    def __init__(
        self, f: Callable[..., Any], args: Sequence[Tree], kwargs: dict[str, Any], argnums: Sequence[int], has_aux: bool
    ) -> None:
        self.trees, self.traced = [args[i] for i in argnums], Traced()
        with self.running(), enable_grad():
            self.variables = [self.variable(leaf) for leaf in leaves(self.trees)]
            fresh = dict(zip(argnums, rebuilt(self.trees, self.variables), strict=True))
            result = f(*[fresh.get(i, arg) for i, arg in enumerate(args)], **kwargs)
        if has_aux and not (isinstance(result, (tuple, list)) and len(result) == 2):
            raise TypeError(f"with has_aux a function returns a pair (value, anything), got {type(result).__name__}")
        tree, aux = result if has_aux else (result, None)
        self.outputs = [self.output(leaf) for leaf in leaves(tree)]
        beside = [x for x in leaves(aux) if isinstance(x, Tensor) and not isinstance(x._edges, Freed)]
        order = topological_order(*self.outputs, *beside, until=self.variables)
        others = {parent for tensor in order for parent, _ in tensor._edges}.difference(self.variables)
        # Something outside of this call may be differentiated: what a variable comes from, or another leaf, unless that
        # was a variable of a call that is over.
        calls = [None if x._extras is None else x._extras.traced for x in others if x.is_leaf]
        outside = any(call is None or call.running for call in calls)
        self.nested = outside or any(not x.is_leaf for x in self.variables)
        self.value, self.aux = self.released(rebuilt(tree, self.outputs)), self.released(aux)

    def output(self, leaf: Any) -> Tensor:
        """One of the results that are differentiated."""
        if leaf is None:
            raise TypeError("only floating results have derivatives, this function returned None")
        out = as_tensor(leaf)
        if out.dtype.kind != "f":
            raise TypeError(f"only floating results have derivatives, this function returned {out.dtype}")
        return out

    def variable(self, leaf: Any) -> Tensor:
        """A tensor to differentiate with respect to; connected with `leaf` if that requires gradients itself."""
        x = as_tensor(leaf)
        if x._requires_grad:
            return +x
        new = wrap(x._data)
        new.requires_grad = True
        extras_of(new).traced = self.traced
        return new

    @contextmanager
    def running(self) -> Iterator[None]:
        """Inside, the variables are such to calls that are made there: by f, or by what a checkpoint computes again."""
        self.traced.running += 1
        try:
            yield
        finally:
            self.traced.running -= 1

    def swept(
        self, outputs: Sequence[Tensor], cotangents: Sequence[Tensor], inputs: Sequence[Tensor], create_graph: bool
    ) -> list[Tensor]:
        """The gradients with respect to some inputs, zeros where none flows."""
        with self.running():
            found = sweep(zip(outputs, cotangents, strict=True), create_graph, inputs=inputs)
        gradients = [found[x] if x in found else wrap(np.zeros(x.shape, x.dtype)) for x in inputs]
        return [g if g._requires_grad or not create_graph else without_inputs(g) for g in gradients]

    def pull_back(self, cotangents: Sequence[Tensor]) -> list[Tensor]:
        """The gradients with respect to the variables, for one cotangent an output; zeros where none flows."""
        return self.swept(self.outputs, cotangents, self.variables, self.is_recorded_with(cotangents))

    def is_recorded_with(self, directions: Sequence[Tensor]) -> bool:
        """Whether products with these cotangents or tangents may be differentiated in turn."""
        return grad_mode.enabled and (self.nested or any(x._requires_grad for x in directions))

    def one(self) -> list[Tensor]:
        """The cotangent of the single number that the function returned."""
        if len(self.outputs) != 1 or self.outputs[0].size != 1:
            shapes = ", ".join(str(out.shape) for out in self.outputs) or "none"
            raise ValueError(f"only a function that returns one number has a gradient, this one returned {shapes}")
        out = self.outputs[0]
        return [wrap(np.ones(out.shape, out.dtype))]

    def released(self, tree: Tree) -> Tree:
        """What the function returned, its tensors without the graph unless a surrounding transform needs it."""
        if self.nested and grad_mode.enabled:
            return tree
        return rebuilt(tree, [leaf.detach() if isinstance(leaf, Tensor) else leaf for leaf in leaves(tree)])


def positions(argnums: int | Sequence[int], count: int) -> list[int]:
    """The positions of the variables among `count` positional arguments."""
    try:
        numbers = [index(number) for number in np.atleast_1d(argnums).tolist()]
    except TypeError:
        raise TypeError(f"argnums is the position of an argument, or several, got {argnums!r}") from None
    for number in numbers:
        if not -count <= number < count:
            raise TypeError(f"argnums={argnums} asks for argument {number}, but {count} are given by position")
    places = [number % count for number in numbers]
    if len(set(places)) < len(places):
        raise ValueError(f"argnums={argnums} names the same argument twice")
    return places


def like(given: Tree, tree: Tree, what: str) -> list[Tensor]:
    """What is given for each leaf of `tree`, as tensors, checked to have its shape and cast to its dtype."""
    expected = [as_tensor(leaf) for leaf in leaves(tree)]
    try:
        return [fitted(x, out) for x, out in zip(counterparts(given, tree), expected, strict=True)]
    except ValueError:
        shapes, wanted = (rebuilt(t, [np.shape(leaf) for leaf in leaves(t)]) for t in (given, tree))
        raise ValueError(f"{what} of shapes {shapes} were given for {wanted}") from None


def arguments(primals: Sequence[Tree]) -> list[Tree]:
    """What a function is called with: one part for each argument, of which an array would be mistaken for several."""
    if not isinstance(primals, (list, tuple)):
        raise TypeError(f"primals are a list or tuple of all arguments, got {type(primals).__name__}: write [x]")
    return list(primals)


# ------------------------------------------------------------------------------------------------ transforms


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns both the value and the gradient of `f`: see `grad`.

    >>> value_and_grad(lambda x: x * x)(3.0)
    (tensor(9., dtype=float64), tensor(6., dtype=float64))
    """

    @wraps(f)
    def call(*args: Tree, **kwargs: Any) -> Any:
        trace = TracedCall(f, args, kwargs, positions(argnums, len(args)), has_aux)
        gradients = rebuilt(trace.trees, trace.pull_back(trace.one()))
        value = (trace.value, trace.aux) if has_aux else trace.value
        return value, gradients[0] if np.ndim(argnums) == 0 else tuple(gradients)

    return call


def grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of `f`.

    Args:
        f: returns one number, or with `has_aux` a pair of it and anything else.
        argnums: the position of the argument to differentiate with respect to; for several positions the result is a
            tuple. An argument may be a nested container of arrays, its gradient is then one too.
        has_aux: return (gradient, the second thing that `f` returned), tensors in it without their graph unless a
            surrounding transform needs it.

    Raises:
        ValueError: when called, if `f` does not return one number, or `argnums` names an argument twice.
        TypeError: when called, if a variable or the result is not floating, or if `argnums` names an argument that is
            not given by position.

    >>> grad(lambda x: x**3)(2.0)
    tensor(12., dtype=float64)
    >>> grad(grad(lambda x: x**3))(2.0)
    tensor(12., dtype=float64)
    """
    both = value_and_grad(f, argnums, has_aux)

    @wraps(f)
    def call(*args: Tree, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return call


def vjp(f: Callable[..., Any], *primals: Tree, has_aux: bool = False) -> tuple[Any, ...]:
    """(f(*primals), a function from a cotangent to its vector–Jacobian products, one for each primal).

    With `has_aux`, `f` returns a pair whose second part is handed on as the third result.

    >>> value, pull_back = vjp(lambda x: x * x, np.array([1.0, 2.0]))
    >>> pull_back(np.array([1.0, 10.0]))
    (tensor([ 2., 40.], dtype=float64),)
    """
    trace = TracedCall(f, primals, {}, range(len(primals)), has_aux)

    def pull_back(cotangent: Tree) -> tuple[Tree, ...]:
        return tuple(rebuilt(trace.trees, trace.pull_back(like(cotangent, trace.value, "cotangents"))))

    return (trace.value, pull_back, trace.aux) if has_aux else (trace.value, pull_back)


def jvp(f: Callable[..., Any], primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[Tree, Tree]:
    """(f(*primals), the Jacobian–vector product: how the result changes along the tangents).

    The vector–Jacobian product is linear in the cotangent, and its derivative by it, transposed, is the product asked
    for (Townsend, A new trick for calculating Jacobian vector products, 2017). It costs two backward passes.

    >>> jvp(lambda x: x * x, [np.array([1.0, 2.0])], [np.array([1.0, 10.0])])[1]
    tensor([ 2., 40.], dtype=float64)
    """
    trace = TracedCall(f, arguments(primals), {}, range(len(primals)), False)
    directions = like(tangents, trace.trees, "tangents")
    cotangents = [trace.variable(np.zeros(out.shape, out.dtype)) for out in trace.outputs]
    gradients = trace.swept(trace.outputs, cotangents, trace.variables, True)
    products = trace.swept(gradients, directions, cotangents, trace.is_recorded_with(directions))
    return trace.value, rebuilt(trace.value, products)


def hvp(f: Callable[..., Any], primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[Tree, ...]:
    """The Hessian–vector product of a function that returns one number: one part for each primal.

    It is the vector–Jacobian product of the gradient, since a Hessian is symmetric (Pearlmutter, Fast exact
    multiplication by the Hessian, 1994), and costs two backward passes.

    >>> hvp(lambda x: (x**3).sum(), [np.array([1.0, 2.0])], [np.array([1.0, 1.0])])
    (tensor([ 6., 12.], dtype=float64),)
    """
    trace = TracedCall(f, arguments(primals), {}, range(len(primals)), False)
    directions = like(tangents, trace.trees, "tangents")
    gradients = trace.swept(trace.outputs, trace.one(), trace.variables, True)
    products = trace.swept(gradients, directions, trace.variables, trace.is_recorded_with(directions))
    return tuple(rebuilt(trace.trees, products))


def jacobian(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """A function that returns the Jacobian of `f`: of shape (*output, *input), by one backward pass an output element.

    For containers of outputs, inputs, or several `argnums`, it is a container of outputs with containers of inputs in.

    >>> jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]], dtype=float64)
    """

    @wraps(f)
    def call(*args: Tree, **kwargs: Any) -> Any:
        trace = TracedCall(f, args, kwargs, positions(argnums, len(args)), False)
        blocks = []
        for out in trace.outputs:
            units = np.eye(out.size, dtype=out.dtype).reshape(out.size, *out.shape)
            rows = [trace.swept([out], [wrap(unit)], trace.variables, trace.is_recorded_with([])) for unit in units]
            of_inputs = [stacked([row[i] for row in rows], out, x) for i, x in enumerate(trace.variables)]
            of_arguments = rebuilt(trace.trees, of_inputs)
            blocks.append(of_arguments[0] if np.ndim(argnums) == 0 else tuple(of_arguments))
        return rebuilt(trace.value, blocks)

    return call


def stacked(rows: list[Tensor], out: Tensor, x: Tensor) -> Tensor:
    """The rows of a Jacobian as one tensor of shape (*output, *input)."""
    shape = (*out.shape, *x.shape)
    return stack(rows).reshape(shape) if rows else wrap(np.zeros(shape, x.dtype))


def hessian(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """A function that returns the Hessian of `f`, which returns one number: of shape (*input, *input).

    >>> hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]], dtype=float64)
    """
    return jacobian(grad(f, argnums), argnums)
