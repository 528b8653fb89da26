"""Batch normalisation layers."""

from __future__ import annotations

from math import inf

import numpy as np
import numpy.typing as npt

from minigrad import Tensor, TensorLike, as_tensor, is_recomputing
from nn import functional as F
from nn.functional.settings import real, whole
from nn.module import Module, Parameter

__all__ = ["BatchNorm1d", "BatchNorm2d"]


class BatchNorm(Module):
    """Normalises each channel: by the batch while training, by running estimates in evaluation mode.

    Args:
        num_features: the number of channels.
        eps: keeps a vanishing variance from dividing by 0.
        momentum: how far the estimates move towards each batch; None makes them the means over all batches so far.
        affine: whether each channel is scaled and shifted by learned numbers.
        track_running_stats: whether to keep estimates; without them the batch is used in evaluation too.
        dtype: of the parameters.

    Attributes:
        weight, bias: (num_features,).
        running_mean, running_var: (num_features,), in single precision where the others are in half.
        num_batches_tracked: how many batches the estimates have seen.

    Raises:
        ValueError: if a setting is out of range, the input has another number of axes or channels, or a training batch
            one value a channel.

    See `nn.functional.batch_norm` for the formula and its source.
    """

    axes: tuple[int, ...] = ()

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, dtype: npt.DTypeLike = np.float32,
    ) -> None:
        name, num_features = type(self).__name__, whole(type(self).__name__, "num_features", num_features, 0)
        self.num_features, self.eps = num_features, real(name, "eps", eps, 0, below=inf)
        self.momentum = None if momentum is None else real(name, "momentum", momentum, 0, 1)
        self.weight = Parameter(np.ones(num_features, dtype)) if affine else None
        self.bias = Parameter(np.zeros(num_features, dtype)) if affine else None
        estimate = np.result_type(dtype, np.float32)  # in half precision, small changes would be rounded to none
        self.running_mean = np.zeros(num_features, estimate) if track_running_stats else None
        self.running_var = np.ones(num_features, estimate) if track_running_stats else None
        self.num_batches_tracked = np.array(0) if track_running_stats else None

    def forward(self, x: TensorLike) -> Tensor:
        x = as_tensor(x)
        if x.ndim not in self.axes or x.shape[1] != self.num_features:
            expected = f"(n, {self.num_features}{', h, w' if self.axes == (4,) else '[, length]'})"
            raise ValueError(f"{type(self).__name__} expects inputs of shape {expected}, got {x.shape}")
        seen = 0 if self.num_batches_tracked is None else int(self.num_batches_tracked)
        momentum = 1 / (seen + 1) if self.momentum is None else self.momentum
        out = F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, momentum, self.eps
        )
        if self.training and self.num_batches_tracked is not None and not is_recomputing():
            self.num_batches_tracked += 1
        return out

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm1d(BatchNorm):
    __doc__ = f"{BatchNorm.__doc__}\n\n    Shapes: (n, num_features) or (n, num_features, length), in and out."
    axes = (2, 3)


class BatchNorm2d(BatchNorm):
    __doc__ = f"{BatchNorm.__doc__}\n\n    Shapes: (n, num_features, h, w), in and out."
    axes = (4,)
