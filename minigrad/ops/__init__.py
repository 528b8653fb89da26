"""Every differentiable operation, one file a family."""

from minigrad.ops import dispatch as dispatch
from minigrad.ops import linalg as linalg
from minigrad.ops.activations import *
from minigrad.ops.arithmetic import *
from minigrad.ops.compositions import *
from minigrad.ops.elementwise import *
from minigrad.ops.indexing import *
from minigrad.ops.linalg import norm as norm
from minigrad.ops.products import *
from minigrad.ops.reductions import *
from minigrad.ops.registry import Domain as Domain
from minigrad.ops.registry import Operation as Operation
from minigrad.ops.registry import operation as operation
from minigrad.ops.registry import operations as operations
from minigrad.ops.shape import *
from minigrad.ops.special import *
from minigrad.ops.steps import *

dispatch.answer_for_arrays()
