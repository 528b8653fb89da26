"""What activation functions and losses have in common: they are functions with settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from minigrad import Tensor, TensorLike
from nn.module import Module

__all__ = ["Function"]


@dataclass(repr=False, eq=False)
class Function(Module):
    """The base of layers without parameters: a function of the inputs and of the settings, the dataclass's fields.

    >>> @dataclass(repr=False, eq=False)
    ... class Power(Function):
    ...     exponent: int = 2
    ...     function = staticmethod(lambda x, exponent: x ** exponent)
    >>> Power(3), Power(3)(Tensor(2.0))
    (Power(exponent=3), tensor(8., dtype=float64))
    """

    function: ClassVar[Callable[..., Tensor]]
    __match_args__: ClassVar[tuple[str, ...]]  # the names of the fields, which dataclasses keep here

    def forward(self, *inputs: TensorLike) -> Tensor:
        return self.function(*inputs, *[getattr(self, name) for name in self.__match_args__])

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
