"""Garments: all of `nn` that knows what Fashion-MNIST is."""

from nn.fashion.dataset import CLASSES, MEAN, STD, Dataset, load
from nn.fashion.idx import DataError

__all__ = ["CLASSES", "MEAN", "STD", "DataError", "Dataset", "load"]
