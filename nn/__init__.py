"""nn: layers, losses, optimizers, data loading, the learner and model files, on minigrad."""

import types as _types
import typing as _typing

from minigrad.random import default_generator as default_generator
from minigrad.random import manual_seed as manual_seed
from nn import augmentation as augmentation
from nn import callbacks as callbacks
from nn import data as data
from nn import distributed as distributed
from nn import files as files
from nn import functional as functional
from nn import init as init
from nn import optim as optim
from nn import schedules as schedules
from nn import summary as summary
from nn.data import DataLoader as DataLoader
from nn.ema import WeightAverage as WeightAverage
from nn.export import export_onnx as export_onnx
from nn.files import FileError as FileError
from nn.files import load as load
from nn.files import save as save
from nn.layers.activation import *
from nn.layers.batchnorm import *
from nn.layers.convolution import *
from nn.layers.dropout import *
from nn.layers.linear import *
from nn.layers.loss import *
from nn.layers.normalization import *
from nn.layers.pooling import *
from nn.layers.structure import *
from nn.learner import Callback as Callback
from nn.learner import Learner as Learner
from nn.lr_finder import find_lr as find_lr
from nn.module import Module as Module
from nn.module import Parameter as Parameter
from nn.parallel import data_parallel as data_parallel

_FILES = {
    "augmentation", "callbacks", "data", "distributed", "files", "functional", "init", "optim", "schedules", "summary",
}

if not _typing.TYPE_CHECKING:  # which sees what is public by `as`
    __all__ = [  # without the other files that the names come from
        name for name, x in globals().items()
        if name[0] != "_" and (name in _FILES or not isinstance(x, _types.ModuleType))
    ]
