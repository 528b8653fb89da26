"""Layers, with PyTorch's names, arguments, defaults, initialisations, parameter names and shapes."""

from nn.layers.activation import *
from nn.layers.batchnorm import *
from nn.layers.convolution import *
from nn.layers.dropout import *
from nn.layers.linear import *
from nn.layers.loss import *
from nn.layers.normalization import *
from nn.layers.pooling import *
from nn.layers.structure import *
