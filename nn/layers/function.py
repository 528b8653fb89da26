"""What activation functions and losses have in common: they are functions with settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
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

    def forward(self, *inputs: TensorLike) -> Tensor:
        return self.function(*inputs, *(getattr(self, field.name) for field in fields(self)))

    def extra_repr(self) -> str:
        return ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))
