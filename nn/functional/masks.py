"""Dropout: random masks, drawn fast."""

from __future__ import annotations

import numpy as np

from minigrad import Tensor, TensorLike, as_tensor, operation, record
from minigrad.tensor import Array
from nn.random import default_generator

__all__ = ["dropout", "dropout2d"]


@operation("dropout")
def dropout(
    x: TensorLike, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None
) -> Tensor:
    """Zero each element with probability `p` and scale the others by 1 / (1 - p); the identity unless `training`.

    `p` is rounded to a multiple of 2⁻¹⁶, since sixteen random bits decide on each element: drawing floats instead
    takes five times as long, more than the layer's own arithmetic.

    Raises:
        TypeError: if x is not floating.
        ValueError: unless 0 <= p <= 1.

    Source: Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, JMLR 2014.
    """
    x = as_tensor(x)
    if not 0 <= p <= 1:
        raise ValueError(f"dropout expects a probability from 0 to 1, got {p}")
    if x.dtype.kind != "f":
        raise TypeError(f"dropout expects floating values, which can be scaled, got dtype {x.dtype}")
    dropped = round(p * 65536)
    if not training or dropped == 0:
        return x
    if dropped == 65536:
        return x * 0.0
    bits = sixteen_bits(x.size, generator or default_generator())
    kept = np.empty_like(x.data, bool)  # in the memory order of x: arithmetic on mixed orders takes four times as long
    kept[...] = (bits >= dropped).reshape(x.shape)
    mask = np.multiply(kept, x.dtype.type(65536 / (65536 - dropped)))
    return record(dropout, x.data * mask, (x, lambda grad, out: grad * mask))


def dropout2d(
    x: TensorLike, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None
) -> Tensor:
    """As `dropout`, for whole channels of images: all of a channel of a sample is kept, or all of it is dropped.

    Args:
        x: (batch, channels, height, width).
        p, training, generator: as for `dropout`.

    Raises:
        TypeError: if x is not floating.
        ValueError: unless 0 <= p <= 1 and x has four axes.

    Source: Tompson et al., Efficient Object Localization Using Convolutional Networks, CVPR 2015, section 3.2.
    """
    x = as_tensor(x)
    if x.ndim != 4:
        raise ValueError(f"dropout2d expects images of shape (batch, channels, height, width), got {x.shape}")
    mask = dropout(np.ones((*x.shape[:2], 1, 1), x.dtype), p, training, generator)
    return x * mask if training and p else x


def sixteen_bits(n: int, generator: np.random.Generator) -> Array:
    """`n` random integers from 0 to 65535."""
    source = generator.bit_generator
    if isinstance(source, np.random.MT19937):  # its raw numbers are half as long as those of the others
        return generator.integers(0, 65536, n, np.uint16)
    bits: Array = source.random_raw(-(-n // 4)).view(np.uint16)[:n]
    return bits
