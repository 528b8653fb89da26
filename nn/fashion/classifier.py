"""A trained model with all it takes to use it: its preprocessing and the names of its classes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import nn
from minigrad import __version__
from nn.data import DataLoader, Normalize
from nn.fashion.dataset import CLASSES
from nn.fashion.models import build, check_claim
from nn.fashion.photo import Photo, read_photo
from nn.learner import evaluate, predict_proba
from nn.metrics import Evaluation

if TYPE_CHECKING:
    from PIL.Image import Image

EVALUATION_BATCH = 1000
MAX_CLASSES = 10_000
LONGEST_NAME = 100  # of a class


@dataclass
class Classifier:
    """A network for images of garments: bytes, or floating pixels from 0 to 1 (see `nn.data.Normalize`).

    Attributes:
        architecture: what `nn.fashion.models.build` made `model` from.
        mean, std: of the pixels scaled to [0, 1], which the network expects to be standardised with.
        classes: the names of its outputs.
    """

    model: nn.Module
    architecture: dict[str, Any]
    mean: float = 0.0
    std: float = 1.0
    classes: tuple[str, ...] = CLASSES

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

    def predict_photo(self, photo: Photo | str | os.PathLike[str] | Image | nn.data.Array) -> dict[str, float]:
        """Each class with its probability, the most probable one first, for a photo of one garment.

        Args:
            photo: a file, an image of Pillow, an array, or what `nn.fashion.photo.read_photo` made of one; its
                `warnings` tell whether the result may be trusted.

        Raises what `read_photo` raises.
        """
        probabilities = self.probabilities_of(photo if isinstance(photo, Photo) else read_photo(photo))
        return {self.classes[i]: float(probabilities[i]) for i in np.argsort(-probabilities, kind="stable")}

    def probabilities_of(self, photo: Photo) -> nn.data.Array:
        """(classes,) probabilities, means over the picture and its mirror image: shoes in the data point left."""
        pixels = photo.pixels
        mean: nn.data.Array = self.predict_proba(np.stack([pixels, pixels[:, ::-1]])).mean(0)
        return mean

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model file from which `load` makes the same classifier. Raises `nn.FileError`."""
        nn.save(self.model.state_dict(), path, self.metadata())

    def metadata(self) -> Any:
        """All but the weights, as plain data."""
        metadata = {
            "architecture": self.architecture, "mean": self.mean, "std": self.std, "classes": self.classes,
            "minigrad_version": __version__,
        }
        return nn.files.plain(metadata)

    def export_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write an ONNX file that makes probabilities (n, classes) of bytes (n, 28, 28); see `nn.export_onnx`."""
        model = nn.Sequential(self.model, nn.Softmax(1))
        transform = Normalize(self.mean, self.std)
        nn.export_onnx(model, path, (28, 28), transform=transform, metadata=self.metadata())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Classifier:
        """Read a model file, or the one in a run's folder.

        Raises `nn.FileError` if there is none, or it is damaged or was not written by `save`.
        """
        path = Path(path) / "model.npz" if Path(path).is_dir() else path
        state, metadata = nn.load(path)
        try:
            check_claim(metadata["architecture"], state)
            model = build(metadata["architecture"])
            model.load_state_dict(state)
            classifier = cls(
                model, metadata["architecture"], float(metadata["mean"]), float(metadata["std"]),
                names_of_classes(metadata["classes"]),
            )
            with np.errstate(all="ignore"):
                outputs = classifier.predict_proba(np.zeros((1, 28, 28), np.uint8)).shape[1]  # it is known to work then
            if outputs != len(classifier.classes):
                raise ValueError(f"it has {outputs} outputs, but {len(classifier.classes)} names of classes")
            return classifier
        except KeyError as error:
            raise nn.FileError(f"{path} is no garment classifier: its metadata lacks {error}") from error
        except (TypeError, ValueError, OverflowError, MemoryError) as error:
            raise nn.FileError(f"{path} is no usable garment classifier: {error}") from error


def names_of_classes(claimed: Any) -> tuple[str, ...]:
    """The names of classes in a stranger's file, without what would steer a terminal that they are printed on.

    >>> names_of_classes(["Dress", "\\x1b[2JBag", "Ankle\\nboot"])
    ('Dress', '[2JBag', 'Ankle boot')
    """
    if not isinstance(claimed, list | tuple) or not all(isinstance(name, str) for name in claimed):
        raise ValueError("its classes are not a list of names")
    if len(claimed) > MAX_CLASSES or any(len(name) > LONGEST_NAME for name in claimed):
        raise ValueError(f"it has more than {MAX_CLASSES:,} classes, or one with more than {LONGEST_NAME} characters")
    names = tuple("".join(filter(str.isprintable, " ".join(name.split()))) for name in claimed)
    if len(set(names)) < len(names):
        raise ValueError("two of its classes have the same name")
    return names
