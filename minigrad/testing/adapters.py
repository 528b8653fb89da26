"""Functions of PyTorch and JAX as operations on tensors: whatever checks ours checks theirs.

Values and gradients are those that the other framework computes. The gradient is a function of its arrays as well, so
its own derivative is had in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from unittest.mock import patch

import numpy as np

from minigrad.arrays import Array
from minigrad.graph import record
from minigrad.modes import is_grad_enabled
from minigrad.tensor import Rule, Tensor, as_tensor, wrap
from minigrad.testing.blame import Step, recorded_steps
from minigrad.testing.reproduce import calling_line
from minigrad.testing.subject import is_variable
from minigrad.trees import leaves, rebuilt

Found = list[tuple[Any, Sequence[Any], str]]  # functions with a gradient of their own, their inputs, and the lines


def from_torch(f: Callable[..., Any]) -> Adapted:
    """A PyTorch function, such as the `apply` of a `torch.autograd.Function`, or a module, to be checked like ours.

    Floating inputs are variables, and so are the parameters of a module, all in float64; other arrays are handed over
    as they are. A wrong gradient is blamed on the `torch.autograd.Function` that it comes from.

    >>> gradcheck(from_torch(MyFunction.apply), np.array([0.5, 2.0]))  # doctest: +SKIP
    """
    return Adapted(f, Torch(), "mg.testing.from_torch")


def from_jax(f: Callable[..., Any]) -> Adapted:
    """A JAX function, to be checked like ours, in float64.

    A wrong gradient is blamed on the `custom_vjp` or `custom_jvp` that it comes from, inside of `jax.jit` as well.

    >>> gradcheck(from_jax(my_function), np.array([0.5, 2.0]))  # doctest: +SKIP
    """
    return Adapted(f, Jax(), "mg.testing.from_jax")


class Adapted:
    """A function of another framework as an operation on tensors.

    Attributes:
        adapted, adapter: what it was made of, and how.
        parameters: those of a module, by name.
        backward: its own gradient, if it brings one.
    """

    def __init__(self, f: Callable[..., Any], framework: Torch | Jax, adapter: str) -> None:
        if not callable(f):
            raise TypeError(f"{adapter} takes a function or a module, got {f!r:.80}")
        self.adapted, self.adapter, self.framework = f, adapter, framework
        self.parameters = {name: Tensor(x, requires_grad=True) for name, x in framework.parameters(f).items()}
        owner: Any = getattr(f, "__self__", None) if getattr(f, "__name__", "") == "apply" else f
        self.__name__ = getattr(owner, "__name__", type(owner).__name__)
        own = (getattr(owner, name, None) for name in ("backward", "bwd", "jvp"))
        self.backward = next((rule for rule in own if hasattr(rule, "__code__")), None)

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """Like a module's."""
        return list(self.parameters.items())

    def __call__(self, *inputs: Any) -> Any:
        tree = [list(inputs), self.parameters]
        given = leaves(tree)
        places = [place for place, leaf in enumerate(given) if is_variable(leaf)]

        def function(*arrays: Any) -> Any:
            others = {i: self.framework.theirs(x) for i, x in enumerate(given) if isinstance(x, np.ndarray)}
            new = others | dict(zip(places, arrays, strict=True))
            return self.framework.call(self.adapted, *rebuilt(tree, [new.get(i, leaf) for i, leaf in enumerate(given)]))

        return self.recorded(function, [as_tensor(given[place]) for place in places], 0)

    def recorded(self, function: Callable[..., Any], variables: Sequence[Tensor], order: int) -> Any:
        """What a function of their arrays, a derivative of some order, returns as tensors."""
        with self.framework.active():
            try:
                tree = function(*(self.framework.theirs(x._data) for x in variables))
            except Exception as error:
                if order < 2:
                    if "dtype" in str(error):
                        error.add_note("inputs are handed over in float64: adapt a module itself, or its .double()")
                    raise
                raise NotImplementedError(f"{self.__name__} cannot be differentiated twice: {error}") from error
            values = [self.framework.ours(out) for out in leaves(tree)]
        outputs = [self.output(function, variables, order, k, value) for k, value in enumerate(values)]
        return rebuilt(tree, outputs) if isinstance(tree, (list, tuple, dict)) else outputs[0]

    def output(self, function: Callable[..., Any], variables: Sequence[Tensor], order: int, k: int, value: Any) -> Any:
        """One result; its rules share one backward pass for each gradient that comes in."""
        if not is_variable(value):
            return value
        derivative, last = self.framework.derivative(function, k), list[Any]([None, None])

        def gradient(i: int, grad: Tensor) -> Tensor:
            if is_grad_enabled():
                return as_tensor(self.recorded(derivative, [*variables, grad], order + 1)[i])
            if last[0] is not grad:
                last[:] = grad, self.recorded(derivative, [*variables, grad], order + 1)
            return wrap(last[1][i]._data)

        def rule(i: int) -> Rule:
            return lambda grad, out: gradient(i, grad)

        return record(self, value, *((x, rule(i)) for i, x in enumerate(variables)))

    def pieces(self, arguments: Sequence[Any]) -> list[Step]:
        """The functions with a gradient of their own that a call goes through, as steps."""
        found: Found = []
        with self.framework.spying(found):
            self(*arguments)
        steps: list[Step] = []
        for function, inputs, line in found:
            plain = [self.framework.ours(x) for x in inputs]
            f: Any = getattr(function, "apply", function)
            with recorded_steps() as made:
                Adapted(f, self.framework, self.adapter)(
                    *(Tensor(x, requires_grad=True) if is_variable(x) else x for x in plain)
                )
            for step in made:
                step.line = line
            steps += made
        return steps


class Torch:
    """PyTorch: its arrays, its derivatives, and its functions with a gradient of their own."""

    def __init__(self) -> None:
        self.torch: Any = import_module("torch")

    def active(self) -> Any:
        """The context to compute in."""
        return self.torch.enable_grad()

    def theirs(self, array: Array) -> Any:
        return self.torch.from_numpy(np.array(array))

    def ours(self, x: Any) -> Any:
        return x.numpy(force=True).copy() if isinstance(x, self.torch.Tensor) else x

    def parameters(self, f: Any) -> dict[str, Array]:
        """Those of a module, as arrays."""
        if not isinstance(f, self.torch.nn.Module):
            return {}
        return {name: self.ours(p).astype(np.float64) for name, p in f.named_parameters() if p.requires_grad}

    def call(self, f: Any, inputs: list[Any], parameters: dict[str, Any]) -> Any:
        """The function's result; a module's buffers stay as they are."""
        if not isinstance(f, self.torch.nn.Module):
            return f(*inputs)
        fixed = [*f.named_buffers(), *((name, p.detach()) for name, p in f.named_parameters() if not p.requires_grad)]
        given = [x for x in [*parameters.values(), *leaves(inputs)] if isinstance(x, self.torch.Tensor)]
        dtype = next((x.dtype for x in given if x.is_floating_point()), self.torch.float64)
        state = {name: x.to(dtype if x.is_floating_point() else x.dtype, copy=True) for name, x in fixed}
        return self.torch.func.functional_call(f, state | parameters, tuple(inputs))

    def derivative(self, function: Callable[..., Any], k: int) -> Callable[..., list[Any]]:
        """The gradients of result k, as a function of the variables and the gradient that comes in."""

        def gradients(*given: Any) -> list[Any]:
            *variables, grad = (x if x.requires_grad else x.requires_grad_() for x in given)
            copies = [x.clone() for x in variables]  # a leaf that requires gradients cannot be changed in place
            out = leaves(function(*copies))[k]
            if not isinstance(out, self.torch.Tensor):
                raise TypeError(f"it returned {out!r:.80}, which has no gradient: return torch tensors")
            again = hasattr(function, "of_gradient")
            if not out.requires_grad and not again:
                return [0 * (x + grad.sum()) for x in variables]
            found = self.torch.autograd.grad(out, variables, grad, create_graph=True, allow_unused=True)
            if again and found[-1] is None:
                raise RuntimeError("its backward() is not connected with the gradient that comes in")
            return [0 * (x + grad.sum()) if g is None else g for x, g in zip(variables, found, strict=True)]

        gradients.of_gradient = True  # type: ignore[attr-defined]
        return gradients

    @contextmanager
    def spying(self, found: Found) -> Iterator[None]:
        """Note every `torch.autograd.Function` that is applied."""
        true = self.torch.autograd.Function.apply.__func__

        def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
            if not kwargs:
                found.append((cls, args, calling_line()))
            return true(cls, *args, **kwargs)

        with patch.object(self.torch.autograd.Function, "apply", classmethod(apply)):
            yield


class Jax:
    """JAX: its arrays, its derivatives, and its functions with a gradient of their own."""

    def __init__(self) -> None:
        self.jax: Any = import_module("jax")

    def active(self) -> Any:
        """The context to compute in."""
        home = self.jax if hasattr(self.jax, "enable_x64") else import_module("jax.experimental")
        return home.enable_x64(True)

    def theirs(self, array: Array) -> Any:
        return self.jax.numpy.array(array)

    def ours(self, x: Any) -> Any:
        return np.array(x) if isinstance(x, self.jax.Array) else x

    def parameters(self, f: Any) -> dict[str, Array]:
        """None: they are among the inputs."""
        return {}

    def call(self, f: Any, inputs: list[Any], parameters: dict[str, Any]) -> Any:
        """The function's result."""
        return f(*inputs)

    def derivative(self, function: Callable[..., Any], k: int) -> Callable[..., list[Any]]:
        """The gradients of result k, as a function of the variables and the gradient that comes in."""

        def gradients(*given: Any) -> list[Any]:
            *variables, grad = given
            _, pull = self.jax.vjp(lambda *xs: leaves(function(*xs))[k], *variables)
            return list(pull(grad))

        return gradients

    @contextmanager
    def spying(self, found: Found) -> Iterator[None]:
        """Note every function with a derivative of its own that is called with numbers."""

        def noting(kind: Any) -> Callable[..., Any]:
            true = kind.__call__

            def call(self: Any, *args: Any, **kwargs: Any) -> Any:
                if not kwargs and not any(isinstance(x, jax.core.Tracer) for x in leaves(list(args))):
                    found.append((self, args, calling_line()))
                return true(self, *args, **kwargs)

            return call

        jax = self.jax
        with (
            jax.disable_jit(),
            patch.object(jax.custom_vjp, "__call__", noting(jax.custom_vjp)),
            patch.object(jax.custom_jvp, "__call__", noting(jax.custom_jvp)),
        ):
            yield
