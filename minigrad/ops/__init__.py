"""Every differentiable operation, one file a family: imported here, so that all are in the registry."""

from minigrad.ops import activations as activations
from minigrad.ops import dispatch as dispatch
from minigrad.ops import linalg as linalg
from minigrad.ops.registry import Domain as Domain
from minigrad.ops.registry import Operation as Operation
from minigrad.ops.registry import operation as operation
from minigrad.ops.registry import operations as operations

dispatch.answer_for_arrays()
