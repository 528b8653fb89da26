"""Layers, with PyTorch's names, arguments, defaults, initialisations, parameter names and shapes.

What draws at random takes a `generator` besides. There is no `device`, since there is but one, no `inplace`, since
results are new arrays, and none of the arguments that PyTorch has deprecated, as `size_average` and `reduce` of losses.
"""

from nn.layers.activation import *
from nn.layers.batchnorm import *
from nn.layers.convolution import *
from nn.layers.dropout import *
from nn.layers.linear import *
from nn.layers.loss import *
from nn.layers.normalization import *
from nn.layers.pooling import *
from nn.layers.structure import *
