"""minigrad: a tiny automatic-differentiation engine on NumPy."""

from minigrad.graph import enable_grad as enable_grad
from minigrad.graph import is_grad_enabled as is_grad_enabled
from minigrad.graph import no_grad as no_grad
from minigrad.graph import record as record
from minigrad.graph import topological_order as topological_order
from minigrad.ops import *
from minigrad.tensor import Tensor as Tensor
from minigrad.tensor import TensorLike as TensorLike
from minigrad.tensor import as_tensor as as_tensor
from minigrad.tensor import tensor as tensor
from minigrad.tensor import value as value

__version__ = "0.1.0"
