"""The names of everything that can be done with a tensor, for readers and type checkers.

`graph.py` and `ops/` put each function here where they define it: `x.exp()` is `minigrad.exp(x)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

if TYPE_CHECKING:
    from minigrad.tensor import Tensor

Method: TypeAlias = "Callable[..., Tensor]"


class Methods:
    """Operators and methods of `Tensor`, each an operation that takes the tensor as its first argument."""

    __slots__ = ()

    backward: ClassVar[Callable[..., None]]
    retain_grad: ClassVar[Callable[..., None]]
    register_hook: ClassVar[Callable[..., Any]]
    __array_ufunc__: ClassVar[Callable[..., Any]]
    __array_function__: ClassVar[Callable[..., Any]]
    __dlpack__: ClassVar[Callable[..., Any]]
    __dlpack_device__: ClassVar[Callable[..., Any]]

    __add__: ClassVar[Method]
    __radd__: ClassVar[Method]
    __iadd__: ClassVar[Method]
    __sub__: ClassVar[Method]
    __rsub__: ClassVar[Method]
    __isub__: ClassVar[Method]
    __mul__: ClassVar[Method]
    __rmul__: ClassVar[Method]
    __imul__: ClassVar[Method]
    __truediv__: ClassVar[Method]
    __rtruediv__: ClassVar[Method]
    __itruediv__: ClassVar[Method]
    __floordiv__: ClassVar[Method]
    __rfloordiv__: ClassVar[Method]
    __mod__: ClassVar[Method]
    __rmod__: ClassVar[Method]
    __pow__: ClassVar[Method]
    __rpow__: ClassVar[Method]
    __matmul__: ClassVar[Method]
    __rmatmul__: ClassVar[Method]
    __pos__: ClassVar[Method]
    __neg__: ClassVar[Method]
    __abs__: ClassVar[Method]
    __round__: ClassVar[Method]
    __getitem__: ClassVar[Method]
    abs: ClassVar[Method]
    astype: ClassVar[Method]
    copy: ClassVar[Method]
    clip: ClassVar[Method]
    round: ClassVar[Method]
    sum: ClassVar[Method]
    mean: ClassVar[Method]
    var: ClassVar[Method]
    std: ClassVar[Method]
    prod: ClassVar[Method]
    max: ClassVar[Method]
    min: ClassVar[Method]
    ptp: ClassVar[Method]
    logsumexp: ClassVar[Method]
    cumsum: ClassVar[Method]
    cumprod: ClassVar[Method]
    trace: ClassVar[Method]
    exp: ClassVar[Method]
    log: ClassVar[Method]
    sqrt: ClassVar[Method]
    tanh: ClassVar[Method]
    sigmoid: ClassVar[Method]
    relu: ClassVar[Method]
    reshape: ClassVar[Method]
    ravel: ClassVar[Method]
    flatten: ClassVar[Method]
    transpose: ClassVar[Method]
    swapaxes: ClassVar[Method]
    squeeze: ClassVar[Method]
    broadcast_to: ClassVar[Method]
    take: ClassVar[Method]
    repeat: ClassVar[Method]
    diagonal: ClassVar[Method]
    compress: ClassVar[Method]
    dot: ClassVar[Method]
    any: ClassVar[Callable[..., Any]]
    all: ClassVar[Callable[..., Any]]
    argmax: ClassVar[Callable[..., Any]]
    argmin: ClassVar[Callable[..., Any]]
    argsort: ClassVar[Callable[..., Any]]

    @property
    def T(self) -> Tensor:
        """The tensor with its axes reversed."""
        return self.transpose()

    @property
    def mT(self) -> Tensor:
        """The tensor with its last two axes exchanged: each matrix of a stack transposed."""
        return self.swapaxes(-1, -2)
