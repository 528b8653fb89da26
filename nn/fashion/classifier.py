"""A trained model with all it takes to use it: its preprocessing and the names of its classes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import nn
from minigrad import __version__
from minigrad.arrays import Array
from nn.data import DataLoader, Normalize
from nn.fashion.class_names import checked_names
from nn.fashion.dataset import CLASSES, SIZE, Dataset
from nn.fashion.folder import MODEL
from nn.fashion.idx import DataError
from nn.fashion.models import build, check_claim, read_size
from nn.fashion.photo import Photo, read_photo, read_whole
from nn.learner import evaluate, predict_proba
from nn.metrics import Evaluation

if TYPE_CHECKING:
    from PIL.Image import Image

EVALUATION_BATCH = 1000


@dataclass
class Classifier:
    """A network for images: bytes, or floating pixels from 0 to 1 (see `nn.data.Normalize`).

    Attributes:
        architecture: what `nn.fashion.models.build` made `model` from.
        mean, std: of the pixels scaled to [0, 1], which the network expects to be standardised with.
        classes: the names of its outputs.
        size: rows and columns of its images; files of earlier versions, which do not say, are for 28 x 28.
        training: how it was trained, for whoever reads its file: recipe, epoch, seed, accuracy on validation images.
    """

    model: nn.Module
    architecture: dict[str, Any]
    mean: float = 0.0
    std: float = 1.0
    classes: tuple[str, ...] = CLASSES
    size: tuple[int, int] = SIZE
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def knows_garments(self) -> bool:
        """Whether its classes are those of Fashion-MNIST, so that photos become what these images are."""
        return self.classes == CLASSES

    def check(self, data: Dataset) -> None:
        """Raise `DataError` unless data are of this model's classes and size."""
        if self.size != data.size:
            known, given = (f"{height} x {width}" for height, width in (self.size, data.size))
        elif self.classes != data.classes:
            known, given = (f"the classes {enumerated(classes)}" for classes in (self.classes, data.classes))
        else:
            return
        raise DataError(f"the model is for images of {known}, these data are of {given}: name the data it learned from")

    def loader(self, *arrays: Array) -> DataLoader:
        """Batches of images (n, *size), and labels (n,) if they are given, standardised, for evaluation."""
        return DataLoader(arrays, EVALUATION_BATCH, transform=Normalize(self.mean, self.std))

    def evaluate(self, images: Array, labels: Array, workers: int = 1) -> Evaluation:
        """Mean loss and confusion matrix on images (n, *size) with labels (n,), computed in so many threads."""
        return evaluate(self.model, nn.CrossEntropyLoss(), self.loader(images, labels), workers=workers)

    def predict_proba(self, images: Array) -> Array:
        """(n, classes) probabilities for images (n, *size) as it learned from: light garments on black, say."""
        return predict_proba(self.model, self.loader(images))

    def predict(self, images: Array) -> list[str]:
        """The name of the most probable class of each image."""
        return [self.classes[i] for i in self.predict_proba(images).argmax(1)]

    def predict_photo(self, photo: Photo | str | os.PathLike[str] | Image | Array) -> dict[str, float]:
        """Each class with its probability, the most probable one first, for a photo of one garment.

        Args:
            photo: a file, an image of Pillow, an array, or what `look_at` made of one; its `warnings` tell whether the
                result may be trusted.

        Raises what `nn.fashion.photo.read_photo` raises.
        """
        probabilities = self.probabilities_of(photo if isinstance(photo, Photo) else self.look_at(photo))
        return {self.classes[i]: float(probabilities[i]) for i in np.argsort(-probabilities, kind="stable")}

    def look_at(self, photo: str | os.PathLike[str] | Image | Array) -> Photo:
        """What this network gets to see of a photo: the garment in it, or all of it if it learned something else."""
        return read_photo(photo, self.size) if self.knows_garments else read_whole(photo, self.size)

    def probabilities_of(self, photo: Photo) -> Array:
        """(classes,) probabilities, for garments means over picture and mirror image: shoes in the data point left."""
        is_one_sided = self.knows_garments and not isinstance(self.model, nn.MirrorAverage)
        model = nn.MirrorAverage(self.model) if is_one_sided else self.model
        probabilities: Array = predict_proba(model, self.loader(photo.pixels[np.newaxis]))[0]
        return probabilities

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model file from which `load` makes the same classifier. Raises `nn.FileError`."""
        nn.save(self.model.state_dict(), path, self.metadata())

    def metadata(self) -> Any:
        """All but the weights, as plain data."""
        metadata = {
            "architecture": self.architecture, "mean": self.mean, "std": self.std, "classes": self.classes,
            "size": self.size, "training": self.training, "minigrad_version": __version__,
        }
        return nn.files.plain(metadata)

    def export_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write an ONNX file that makes probabilities (n, classes) of bytes (n, *size); see `nn.export_onnx`."""
        model = nn.Sequential(self.model, nn.Softmax(1))
        transform = Normalize(self.mean, self.std)
        nn.export_onnx(model, path, self.size, transform=transform, metadata=self.metadata())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Classifier:
        """Read a model file, or the one in a run's folder.

        Raises `nn.FileError` if there is none, or it is damaged or was not written by `save`.
        """
        if not os.path.exists(path) and nn.files.ending_of(path) not in (".npz", ".safetensors"):
            raise nn.FileError(f"there is no {path}: name a model file, or the folder of a run")
        path = Path(path) / MODEL if Path(path).is_dir() else path
        state, metadata = nn.load(path)
        try:
            check_claim(metadata["architecture"], state)
            model = build(metadata["architecture"])
            model.load_state_dict(state)
            classifier = cls(
                model, metadata["architecture"], float(metadata["mean"]), float(metadata["std"]),
                names_of_classes(metadata["classes"]), read_size(metadata.get("size", SIZE)),
                claimed_training(metadata.get("training", {})),
            )
            images = np.zeros((1, *classifier.size), np.uint8)
            with np.errstate(all="ignore"):
                probabilities = classifier.predict_proba(images)  # so that it is known to work
            if (outputs := probabilities.shape[1]) != len(classifier.classes):
                raise ValueError(f"it has {outputs} outputs, but {len(classifier.classes)} names of classes")
            if not np.isfinite(probabilities).all():
                raise ValueError("its probabilities are not finite")
            return classifier
        except KeyError as error:
            raise nn.FileError(f"{path} is no garment classifier: its metadata lacks {error}") from error
        except (TypeError, ValueError, OverflowError, MemoryError) as error:
            raise nn.FileError(f"{path} is no usable garment classifier: {error}") from error


def enumerated(classes: tuple[str, ...]) -> str:
    """The names of a few classes, and how many there are.

    >>> enumerated(("cat", "dog", "cow", "pig", "hen"))
    'cat, dog, cow, … (5)'
    """
    return f"{', '.join(classes[:3])}{', …' if len(classes) > 3 else ''} ({len(classes):,})"


def claimed_training(claimed: Any) -> dict[str, Any]:
    """What a stranger's file says of how it was trained."""
    if not isinstance(claimed, dict):
        raise ValueError(f"what it says of its training is no object, but {claimed!r:.80}")
    return claimed


def names_of_classes(claimed: Any) -> tuple[str, ...]:
    """The names of classes in a stranger's file: those that `checked_names` gave whoever wrote it stay as they are."""
    if not isinstance(claimed, list | tuple) or not all(isinstance(name, str) for name in claimed):
        raise ValueError("its classes are not a list of names")
    return checked_names(claimed, "it")
