"""Modules: plain objects whose attributes are parameters, buffers and other modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import UnionType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from minigrad import Tensor, TensorLike
from nn.summary import summary


class Parameter(Tensor):
    """A tensor that a module owns and an optimizer updates: it requires gradients unless told otherwise."""

    __slots__ = ()

    def __init__(self, data: TensorLike, requires_grad: bool = True, dtype: npt.DTypeLike | None = None) -> None:
        super().__init__(data, requires_grad=requires_grad, dtype=dtype)


class Module:
    """The base of all layers and models.

    Assign `Parameter`s, ndarrays (buffers: saved, not trained), modules, or lists of modules as attributes, and write
    `forward`. Everything is found by walking the attributes in the order they were assigned; names that start with an
    underscore are left alone.

    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.factor = Parameter([1.0, 2.0])
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()([3.0, 3.0])
    tensor([3., 6.], dtype=float64, operation=multiply)
    """

    training = True

    def forward(self, *inputs: Any) -> Any:
        """What the module computes; call the module itself instead."""
        raise TypeError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *inputs: Any) -> Any:
        return self.forward(*inputs)

    # ---------------------------------------------------------------- what it consists of

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of each module that is an attribute or in a list that is one."""
        for name, attribute in vars(self).items():
            if name.startswith("_"):
                continue
            if isinstance(attribute, Module):
                yield name, attribute
            elif isinstance(attribute, (list, tuple)):
                yield from ((f"{name}.{i}", item) for i, item in enumerate(attribute) if isinstance(item, Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """(dotted name, module) of this module, whose name is `prefix`, and of all modules below it."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """This module and all modules below it."""
        return (module for _, module in self.named_modules())

    def _named_attributes(self, kind: type | UnionType) -> Iterator[tuple[str, Any]]:
        for prefix, module in self.named_modules():
            for name, attribute in vars(module).items():
                if isinstance(attribute, kind) and not name.startswith("_"):
                    yield f"{prefix}.{name}" if prefix else name, attribute

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter) of this module and all modules below it, each parameter once."""
        return by_first_name(self._named_attributes(Parameter))

    def parameters(self) -> Iterator[Parameter]:
        """The parameters of this module and all modules below it."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """(dotted name, array) of what is saved with the model but not trained."""
        return by_first_name(self._named_attributes(np.ndarray))

    def num_parameters(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.size for parameter in self.parameters())

    # ---------------------------------------------------------------- modes

    def train(self, mode: bool = True) -> Self:
        """Set training mode (dropout drops, batch norm uses the batch) here and below; returns the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set evaluation mode here and below; returns the module."""
        return self.train(False)

    @contextmanager
    def in_mode(self, training: bool) -> Iterator[None]:
        """Inside, training or evaluation mode holds here and below; then each module is in the mode it was in before.

        >>> module = Module()
        >>> with module.in_mode(training=False):
        ...     print(module.training)
        False
        >>> module.training
        True
        """
        modes = [(module, module.training) for module in self.modules()]
        try:
            self.train(training)
            yield
        finally:
            for module, mode in modes:
                module.training = mode

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    # ---------------------------------------------------------------- saving and loading

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of all parameters and buffers by dotted name; what is shared is there under each of its names."""
        parameters = {name: parameter.numpy().copy() for name, parameter in self._named_attributes(Parameter)}
        return parameters | {name: buffer.copy() for name, buffer in self._named_attributes(np.ndarray)}

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike], strict: bool = True) -> None:
        """Copy values into the parameters and buffers of the same names; nothing is written unless everything fits.

        Args:
            state: arrays by dotted name, as from `state_dict`; cast to the dtypes of this module.
            strict: whether names that are missing or unknown are an error.

        Raises:
            ValueError: one sentence that lists what is missing, unknown, of another shape, or no array of numbers.
        """
        own = dict(self._named_attributes(Parameter | np.ndarray))
        new = {name: np.asarray(array) for name, array in state.items()}
        faults = [f"{name} has shape {new[name].shape} instead of {target.shape}"
                  for name, target in own.items() if name in new and new[name].shape != target.shape]
        faults += [f"{name} has dtype {array.dtype}" for name, array in new.items() if array.dtype.kind not in "biuf"]
        if strict:
            faults += [f"{name} is missing" for name in own if name not in new]
            faults += [f"{name} is unknown to the model" for name in new if name not in own]
        if faults:
            raise ValueError(f"the state does not fit this {type(self).__name__}: {', '.join(faults)}")
        for name, target in own.items():
            if name not in new:
                continue
            if isinstance(target, Parameter):
                target.data = new[name].astype(target.dtype)
            else:
                target[...] = new[name]

    # ---------------------------------------------------------------- how it is shown

    def summary(self, input_shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> str:
        """A table of all layers: output shapes, parameters, multiply-adds for one sample; see `nn.summary.summary`."""
        return summary(self, input_shape, dtype)

    def extra_repr(self) -> str:
        """What a layer shows of its settings, between the brackets of its repr."""
        return ""

    def __repr__(self) -> str:
        count = self.num_parameters()
        total = f"  # {count:,} parameters" if count else ""
        children = [f"  ({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        if not children:
            return f"{type(self).__name__}({self.extra_repr()}){total}"
        return "\n".join([f"{type(self).__name__}({self.extra_repr()}{total}", *children, ")"])


def by_first_name(named: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Of what is shared and so has several names, the first alone."""
    seen: set[int] = set()
    for name, attribute in named:
        if id(attribute) not in seen:
            seen.add(id(attribute))
            yield name, attribute
