"""The base of activation functions and losses: functions with settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from typing import ClassVar

from minigrad import Tensor, TensorLike
from nn.module import Module

__all__ = ["Function"]


@dataclass(repr=False, eq=False)
class Function(Module):
    """The base of layers without parameters: a function of the inputs, and of settings that it takes by name.

    The settings are the fields of the dataclass.

    >>> @dataclass(repr=False, eq=False)
    ... class Power(Function):
    ...     exponent: int = 2
    ...     function = staticmethod(lambda x, exponent: x ** exponent)
    >>> Power(3), Power(3)(Tensor(2.0))
    (Power(exponent=3), tensor(8., dtype=float64))
    """

    function: ClassVar[Callable[..., Tensor]]

    def forward(self, *inputs: TensorLike, **named_inputs: TensorLike) -> Tensor:
        return self.function(*inputs, **named_inputs, **{name: getattr(self, name) for name in self.settings()})

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.settings())

    @classmethod
    @cache
    def settings(cls) -> list[str]:
        """The names of the settings; looked up once, since that takes as long as a small layer."""
        return [field.name for field in fields(cls)]
