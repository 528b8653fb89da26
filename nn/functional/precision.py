"""Half precision, which is computed in a wider one and rounded in the end.

In single neither squares (which overflow from 256 on), nor sums (which stop growing at 2048 ones), nor counts do harm.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import Tensor, TensorLike, as_tensor


def widened(x: TensorLike, to: type[np.floating[Any]] = np.float32) -> tuple[Tensor, np.dtype[Any]]:
    """`x` as a tensor, of a wider dtype if it comes in half precision, and the dtype it came in."""
    x = as_tensor(x)
    return x.astype(to) if x.dtype == np.float16 else x, x.dtype
