"""Layers that only arrange: containers, and changes of shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import UnionType
from typing import Any, ClassVar

import numpy as np

from minigrad import Tensor, TensorLike, as_tensor, flip, logaddexp
from nn import functional as F
from nn.functional.settings import whole
from nn.module import Module, Parameter, entries, parts

__all__ = [
    "Flatten", "Identity", "MirrorAverage", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Residual",
    "Sequential", "Unflatten",
]


class Flatten(Module):
    """All axes from `start_dim` to `end_dim` in one: (batch, 28, 28) -> (batch, 784).

    Raises:
        ValueError: if the input does not have these axes in this order.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = whole("Flatten", "start_dim", start_dim), whole("Flatten", "end_dim", end_dim)

    def forward(self, x: TensorLike) -> Tensor:
        return F.flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        defaults = {"start_dim": 1, "end_dim": -1}
        return ", ".join(f"{name}={getattr(self, name)}" for name in defaults if getattr(self, name) != defaults[name])


class Unflatten(Module):
    """Axis `dim` split into several, one of which may be given as -1: (batch, 784) -> (batch, 28, 28).

    Raises:
        ValueError: if the input does not have this axis, or its length is another.

    >>> Unflatten(1, (3, -1))(np.ones((2, 12))).shape
    (2, 3, 4)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        if not isinstance(unflattened_size, Sequence):
            raise ValueError(f"Unflatten expects unflattened_size to be several integers, got {unflattened_size!r}")
        self.dim = whole("Unflatten", "dim", dim)
        self.unflattened_size = tuple(whole("Unflatten", "unflattened_size", n, least=-1) for n in unflattened_size)

    def forward(self, x: TensorLike) -> Tensor:
        x = as_tensor(x)
        try:
            sizes = np.empty(x.shape[self.dim]).reshape(self.unflattened_size).shape  # NumPy finds the one that is -1
        except (IndexError, ValueError):
            wanted = f"axis {self.dim} into {self.unflattened_size}"
            raise ValueError(f"Unflatten splits {wanted}, got shape {x.shape}") from None
        start = self.dim % x.ndim
        return x.reshape((*x.shape[:start], *sizes, *x.shape[start + 1 :]))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Identity(Module):
    """What comes in: takes the place of a layer that is left out, whatever the arguments of that are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Takes all, and keeps nothing."""

    def forward(self, x: TensorLike) -> Tensor:
        return as_tensor(x)


class Residual(Module):
    """The sum of what a module makes of its input and of the input itself, or of what a shortcut makes of it.

    Args:
        module: what learns the difference.
        shortcut: what fits the input to the output of `module`, if that has another shape.

    Raises:
        ValueError: if the two have different shapes.

    Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016, eq. 1 and 2.

    >>> Residual(Identity())([1.0, 2.0])
    tensor([2., 4.], dtype=float64)
    """

    def __init__(self, module: Module, shortcut: Module | None = None) -> None:
        self.module, self.shortcut = module, shortcut

    def forward(self, x: TensorLike) -> Tensor:
        change = as_tensor(self.module(x))
        kept = as_tensor(x if self.shortcut is None else self.shortcut(x))
        if change.shape != kept.shape:
            given = f"{change.shape} from its module and {kept.shape} beside it"
            raise ValueError(f"Residual adds what has the same shape, got {given}: give it a shortcut that fits")
        return change + kept


class MirrorAverage(Module):
    """In evaluation mode, averages what a classifier says of images and of their mirror images; trains it as it is.

    Args:
        module: maps images (batch, ..., width) to logits (batch, classes).

    In training mode its logits come out; in evaluation mode the logarithms of the mean of both probabilities, which are
    logits too.

    Source: Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, 2012,
    section 4.1, which averages over shifts as well.

    >>> turned = MirrorAverage(Identity()).eval()
    >>> np.exp(turned([[0.0, 0.0, np.log(2.0)]]).numpy())
    array([[0.375, 0.25 , 0.375]])
    """

    def __init__(self, module: Module) -> None:
        self.module = module

    def forward(self, x: TensorLike) -> Tensor:
        if self.training:
            return as_tensor(self.module(x))
        left, right = (F.log_softmax(self.module(images), 1) for images in (x, flip(x, -1)))
        return logaddexp(left, right) - float(np.log(2))


class Sequential(Module):
    """The modules one after the other; their parameters are named `0.weight`, `0.bias`, `1.weight`, …

    A dict of modules gives them other names, by which they are attributes then. A slice is a Sequential of some of
    them, by the names that they have. It has a list's `append`, `extend`, `insert`, `pop` and `del`, and
    `model[-1] = Linear(512, 10)` is a new head. Where modules are taken out or put between, names that are numbers are
    given anew.

    Raises:
        TypeError: if something is no module.
        ValueError: if a name is empty, has dots, begins with an underscore, or is taken by a method.

    >>> Sequential({"first": Identity(), "last": Flatten()}).last
    Flatten()
    """

    def __init__(self, *modules: Module | dict[str, Module]) -> None:
        named = modules[0] if len(modules) == 1 and isinstance(modules[0], dict) else dict(enumerate(modules))
        for name, module in named.items():
            self._put(str(name), module)

    def append(self, module: Module) -> Sequential:
        """Put a module at the end, by the next free number; returns this one."""
        self._put(str(1 + max((int(name) for name in self._named() if name.isdigit()), default=-1)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Sequential:
        """Put modules at the end; returns this one."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Sequential:
        """Put a module before the one at this place; returns this one."""
        self.append(module)
        named = list(self._named().items())
        named.insert(index, named.pop())
        self._arrange(named)
        return self

    def pop(self, index: int = -1) -> Module:
        """Take out the module at this place, and return it."""
        module = list(self)[index]
        del self[index]
        return module

    def __setitem__(self, index: int, module: Module) -> None:
        self._put(list(self._named())[index], module)

    def __delitem__(self, index: int | slice) -> None:
        named = list(self._named().items())
        del named[index]
        self._arrange(named)

    def _arrange(self, named: Sequence[tuple[str, Module]]) -> None:
        """Have these in place of those there are."""
        for name in self._named():
            del vars(self)[name]
        vars(self).update({str(i) if name.isdigit() else name: module for i, (name, module) in enumerate(named)})

    def _put(self, name: str, module: Any) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"Sequential expects modules, got {module!r}")
        if hasattr(type(self), name) or name.startswith("_") or "." in name or not name:
            raise ValueError(f"Sequential cannot name a module {name!r}: choose one without dots that is not taken")
        vars(self)[name] = module

    def forward(self, x: TensorLike) -> TensorLike:
        for module in self:
            x = module(x)
        return x

    def _named(self) -> dict[str, Module]:
        found = vars(self).items()
        return {name: module for name, module in found if isinstance(module, Module) and name[0] != "_"}

    def __iter__(self) -> Iterator[Module]:
        return iter(self._named().values())

    def __len__(self) -> int:
        return len(self._named())

    def __getitem__(self, index: int | slice) -> Module:
        named = list(self._named().items())
        return Sequential(dict(named[index])) if isinstance(index, slice) else named[index][1]


class Container(Module):
    """What is a list or a dict and a module: it holds nothing but modules, or nothing but parameters.

    A plain list or dict as an attribute does the same, with the same names.

    Raises:
        TypeError: when made and when looked through, if it holds something else.
    """

    kind: ClassVar[type[Any]] = Module
    __eq__, __hash__ = object.__eq__, object.__hash__  # as other modules have, unlike lists and dicts

    def _own(self, kind: type[Any] | UnionType) -> Iterator[tuple[str, Any]]:
        return chain(super()._own(kind), ((name, part) for name, part in self.checked() if isinstance(part, kind)))

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)  # type: ignore[misc]
        return type(self)(found) if isinstance(index, slice) else found  # type: ignore[call-arg]

    def checked(self) -> Iterator[tuple[str, Any]]:
        """(name, part) of all it holds."""
        for _, part in entries(self):
            if not isinstance(part, self.kind):
                raise TypeError(f"{type(self).__name__} expects {self.kind.__name__}s, got {part!r}")
        return ((name, part) for (name,), part in parts(self, type(self).__name__))


class ModuleList(Container, list[Module]):  # type: ignore[misc]
    """A list of modules, whose names are `0`, `1`, …; it has no forward().

    >>> ModuleList([Identity(), Flatten()]).append(Identity())
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        list.__init__(self, modules)
        self.checked()


class ModuleDict(Container, dict[str, Module]):  # type: ignore[misc]
    """A dict of modules, whose names are its keys: strings without dots; it has no forward()."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        dict.__init__(self, modules)
        self.checked()


class ParameterList(Container, list[Parameter]):  # type: ignore[misc]
    """A list of parameters, whose names are `0`, `1`, …; tensors and arrays it is made of become parameters."""

    kind = Parameter

    def __init__(self, values: Iterable[TensorLike] = ()) -> None:
        list.__init__(self, map(as_parameter, values))


class ParameterDict(Container, dict[str, Parameter]):  # type: ignore[misc]
    """A dict of parameters, whose names are its keys; tensors and arrays it is made of become parameters."""

    kind = Parameter

    def __init__(self, parameters: Mapping[str, TensorLike] | Iterable[tuple[str, TensorLike]] = ()) -> None:
        dict.__init__(self, {name: as_parameter(value) for name, value in dict(parameters).items()})
        self.checked()


def as_parameter(value: TensorLike) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value)
