"""Dropout: random masks, drawn fast."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import Tensor, TensorLike, as_tensor, operation, record, where
from minigrad.arrays import Array
from minigrad.random import source
from nn.functional.precision import widened
from nn.functional.settings import real

__all__ = ["dropout", "dropout2d"]


@operation("other")
def dropout(
    x: TensorLike, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None
) -> Tensor:
    """Zero each element with probability `p` and scale the others by 1 / (1 - p); the identity unless `training`.

    `p` is rounded to a multiple of 2⁻¹⁶, since sixteen random bits decide on each element: drawing floats instead
    takes five times as long, more than the layer's own arithmetic. Where that would be more than a hundredth of `p` or
    of 1 - p, thirty-two bits decide.

    Raises:
        TypeError: if x is not floating, while training.
        ValueError: unless 0 <= p <= 1.

    Source: Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, JMLR 2014.
    """
    x = as_tensor(x)
    p = real("dropout", "p", p, 0, 1)
    if training and x.dtype.kind != "f":
        raise TypeError(f"dropout expects floating values, which can be scaled, got dtype {x.dtype}")
    length = 16 if abs(round(p * 65536) - p * 65536) <= 655 * min(p, 1 - p) else 32
    numbers = 1 << length
    dropped = round(p * numbers)
    if not training or dropped == 0:
        return x
    if dropped == numbers:
        return where(False, x, 0)
    bits = random_bits(x.size, source(generator), np.uint16 if length == 16 else np.uint32)
    # Both in the memory order of x: arithmetic with arrays in different orders takes four times as long.
    kept = np.greater_equal(bits.reshape(x.shape), dropped, out=np.empty_like(x.data, bool))
    scale = numbers / (numbers - dropped)  # may be more than half precision can hold
    mask = kept.astype(x.dtype if scale < 65504 else np.result_type(x.dtype, np.float32))
    mask *= scale
    data = x.data * mask
    return record(dropout, data if data.dtype == x.dtype else data.astype(x.dtype), (x, lambda grad, out: grad * mask))


def dropout2d(
    x: TensorLike, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None
) -> Tensor:
    """As `dropout`, for whole channels of images: all of a channel of a sample is kept, or all of it is dropped.

    Args:
        x: (batch, channels, height, width).
        p, training, generator: as for `dropout`.

    Raises:
        TypeError: if x is not floating, while training.
        ValueError: unless 0 <= p <= 1 and x has four axes.

    Source: Tompson et al., Efficient Object Localization Using Convolutional Networks, CVPR 2015, section 3.2.
    """
    x, dtype = widened(x)
    if x.ndim != 4:
        raise ValueError(f"dropout2d expects images of shape (batch, channels, height, width), got {x.shape}")
    mask = dropout(np.ones((*x.shape[:2], 1, 1), x.dtype), p, training, generator)
    return (x * mask if training and p else x).astype(dtype, copy=False)


def random_bits(n: int, generator: np.random.Generator, kind: type[np.unsignedinteger[Any]]) -> Array:
    """`n` random integers, of all that this dtype can hold."""
    source = generator.bit_generator
    if isinstance(source, np.random.MT19937):  # its raw numbers are half as long as those of the others
        return generator.integers(0, np.iinfo(kind).max, n, kind, endpoint=True)
    bits: Array = source.random_raw(-(-n * np.dtype(kind).itemsize // 8)).view(kind)[:n]
    return bits
