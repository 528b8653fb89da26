"""A trained model with all it takes to use it: its preprocessing and the names of its classes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import nn
from minigrad import __version__
from nn.data import DataLoader, Normalize
from nn.fashion.dataset import CLASSES
from nn.fashion.models import build
from nn.learner import evaluate, predict_proba
from nn.metrics import Evaluation

EVALUATION_BATCH = 1000


@dataclass
class Classifier:
    """A network for images of garments: bytes, or floating pixels from 0 to 1 (see `nn.data.Normalize`).

    Attributes:
        architecture: what `nn.fashion.models.build` made `model` from.
        mean, std: of the pixels scaled to [0, 1], which the network expects to be standardised with.
        classes: the names of its outputs.
        training: how it was trained, for whoever reads its file: recipe, epoch, seed, accuracy on validation images.
    """

    model: nn.Module
    architecture: dict[str, Any]
    mean: float = 0.0
    std: float = 1.0
    classes: tuple[str, ...] = CLASSES
    training: dict[str, Any] = field(default_factory=dict)

    def loader(self, images: nn.data.Array, labels: nn.data.Array) -> DataLoader:
        """Batches of images (n, 28, 28) and their labels (n,), standardised, for evaluation."""
        return DataLoader((images, labels), EVALUATION_BATCH, transform=Normalize(self.mean, self.std))

    def evaluate(self, images: nn.data.Array, labels: nn.data.Array) -> Evaluation:
        """Mean loss and confusion matrix on images (n, 28, 28) with labels (n,)."""
        return evaluate(self.model, nn.CrossEntropyLoss(), self.loader(images, labels))

    def predict_proba(self, images: nn.data.Array) -> nn.data.Array:
        """(n, classes) probabilities for images (n, 28, 28), light garments on a black ground."""
        return predict_proba(self.model, self.loader(images, images))

    def predict(self, images: nn.data.Array) -> list[str]:
        """The name of the most probable class of each image."""
        return [self.classes[i] for i in self.predict_proba(images).argmax(1)]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model file from which `load` makes the same classifier. Raises `nn.FileError`."""
        metadata = {
            "architecture": self.architecture, "mean": self.mean, "std": self.std, "classes": self.classes,
            "training": self.training, "minigrad_version": __version__,
        }
        nn.save(self.model.state_dict(), path, nn.files.plain(metadata))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Classifier:
        """Read a model file. Raises `nn.FileError` if it is damaged or was not written by `save`."""
        state, metadata = nn.load(path)
        try:
            model = build(metadata["architecture"])
            model.load_state_dict(state)
            classifier = cls(
                model, metadata["architecture"], float(metadata["mean"]), float(metadata["std"]),
                tuple(map(str, metadata["classes"])), dict(metadata.get("training", {})),
            )
            outputs = classifier.predict_proba(np.zeros((1, 28, 28), np.uint8)).shape[1]  # so that it is known to work
            if outputs != len(classifier.classes):
                raise ValueError(f"it has {outputs} outputs, but {len(classifier.classes)} names of classes")
            return classifier
        except KeyError as error:
            raise nn.FileError(f"{path} is no garment classifier: its metadata lacks {error}") from error
        except (TypeError, ValueError, OverflowError, MemoryError) as error:
            raise nn.FileError(f"{path} is no usable garment classifier: {error}") from error
