"""minigrad: a tiny automatic-differentiation engine on NumPy."""

import importlib as _importlib
import types as _types
import typing as _typing

from minigrad.graph import record as record
from minigrad.graph import topological_order as topological_order
from minigrad.modes import enable_grad as enable_grad
from minigrad.modes import is_grad_enabled as is_grad_enabled
from minigrad.modes import no_grad as no_grad
from minigrad.ops import Domain as Domain
from minigrad.ops import Operation as Operation
from minigrad.ops import linalg as linalg
from minigrad.ops import operation as operation
from minigrad.ops import operations as operations
from minigrad.ops.activations import *
from minigrad.ops.arithmetic import *
from minigrad.ops.compositions import *
from minigrad.ops.elementwise import *
from minigrad.ops.indexing import *
from minigrad.ops.linalg import norm as norm
from minigrad.ops.products import *
from minigrad.ops.reductions import *
from minigrad.ops.shape import *
from minigrad.ops.special import *
from minigrad.ops.steps import *
from minigrad.random import default_generator as default_generator
from minigrad.random import manual_seed as manual_seed
from minigrad.recomputation import checkpoint as checkpoint
from minigrad.recomputation import is_recomputing as is_recomputing
from minigrad.tensor import Tensor as Tensor
from minigrad.tensor import TensorLike as TensorLike
from minigrad.tensor import as_tensor as as_tensor
from minigrad.tensor import tensor as tensor
from minigrad.tensor import value as value
from minigrad.transforms import grad as grad
from minigrad.transforms import hessian as hessian
from minigrad.transforms import hvp as hvp
from minigrad.transforms import jacobian as jacobian
from minigrad.transforms import jvp as jvp
from minigrad.transforms import value_and_grad as value_and_grad
from minigrad.transforms import vjp as vjp

__version__ = "0.1.0"

_SELDOM_NEEDED = {  # by those who import, and what it takes to have it: together as much as all the rest
    **dict.fromkeys(("AnomalyError", "Memory", "detect_anomaly", "memory"), "debugging"),
    "show": "show", "testing": "testing",
}

if _typing.TYPE_CHECKING:
    from minigrad import show as show
    from minigrad import testing as testing
    from minigrad.debugging import AnomalyError as AnomalyError
    from minigrad.debugging import Memory as Memory
    from minigrad.debugging import detect_anomaly as detect_anomaly
    from minigrad.debugging import memory as memory


def __getattr__(name: str) -> _typing.Any:
    """`minigrad.testing`, `minigrad.show` and the tools of `minigrad.debugging` are imported when they are used."""
    if name not in _SELDOM_NEEDED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _importlib.import_module(f"minigrad.{_SELDOM_NEEDED[name]}")
    return getattr(module, name, module)


def __dir__() -> list[str]:
    return sorted({*globals(), *_SELDOM_NEEDED})


if not _typing.TYPE_CHECKING:  # which sees what is public by `as`
    __all__ = [  # without the files that the names come from
        name for name in __dir__()
        if name[0] != "_"
        and (name in ("linalg", *_SELDOM_NEEDED) or not isinstance(globals()[name], _types.ModuleType))
    ]
