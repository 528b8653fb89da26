"""What layers compute, as functions. The fused ones are operations like any other, with rules of their own.

Some of these rules have two bodies. `if is_grad_enabled()`, the gradient is to be differentiated again, and the rule is
calculus in tensor operations, like every rule of the engine. Otherwise the same numbers are computed on arrays, faster:
in place, by one product, in the order of memory. To read how a network learns, read the first body and skip the second,
and all that stands below a line "on arrays". Both are checked against numerical derivatives, and so against each other.

What PyTorch calls `input` goes by what it is: `x`, `logits`.
"""

from minigrad import elu as elu
from minigrad import gelu as gelu
from minigrad import leaky_relu as leaky_relu
from minigrad import log_softmax as log_softmax
from minigrad import logsumexp as logsumexp
from minigrad import relu as relu
from minigrad import sigmoid as sigmoid
from minigrad import silu as silu
from minigrad import softmax as softmax
from minigrad import softplus as softplus
from minigrad import tanh as tanh
from nn.functional.batchnorm import *
from nn.functional.convolution import *
from nn.functional.dropout import *
from nn.functional.layout import *
from nn.functional.linear import *
from nn.functional.loss import *
from nn.functional.normalization import *
from nn.functional.pooling import *
