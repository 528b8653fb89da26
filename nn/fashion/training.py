"""A training run from its recipe to the files it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np

import nn
from minigrad import Tensor, TensorLike, as_tensor
from nn import functional as F
from nn.augmentation import AlternatingFlip, Compose, Mixup, RandomErase, RandomFlip, RandomShift
from nn.callbacks import AfterEpoch, AveragedWeights, EpochTable, ProgressBar, write_history
from nn.data import DataLoader, Normalize, stratified_split
from nn.fashion import report
from nn.fashion.classifier import Classifier
from nn.fashion.dataset import Dataset
from nn.fashion.models import build
from nn.fashion.recipes import OPTIMIZERS, Recipe, for_data
from nn.learner import Callback, Learner, NonFiniteLoss
from nn.metrics import Evaluation
from nn.schedules import LRScheduler, OneCycleLR

SPLIT_SEED = 0  # of the validation split, so that runs with other seeds are judged on the same images


class Run:
    """One training run: the recipe, its data and its learner, put together and ready to go.

    Args:
        recipe: the settings.
        data: what to train on.
        folder: where the files go; made when training begins.
        callbacks: told about everything the learner does.

    Raises:
        ValueError: if the recipe's settings do not fit each other or the data, such as batches of one sample for batch
            norm.
    """

    def __init__(
        self, recipe: Recipe, data: Dataset, folder: Path, callbacks: Sequence[Callback] = ()
    ) -> None:
        recipe = for_data(recipe, data)
        self.recipe, self.data, self.folder = recipe, data, folder
        generator = nn.manual_seed(recipe.seed)
        model = build(recipe.architecture)
        if recipe.initial_std is not None:
            draw_normal(model, recipe.initial_std)
        self.classifier = Classifier(model, recipe.architecture, recipe.mean, recipe.std, data.classes, data.size)
        val_size = len(data.train_labels) // 12 if recipe.val_size is None else recipe.val_size
        training, validation = stratified_split(data.train_labels, val_size, SPLIT_SEED)
        images, labels = data.train_images, data.train_labels
        has_validation = val_size > 0
        self.valid = self.classifier.loader(images[validation], labels[validation]) if has_validation else None
        arrays: list[nn.data.Array] = [images[training], labels[training]]
        if recipe.flip == "alternating":
            arrays.append(np.arange(len(training)))
        self.train = DataLoader(
            arrays, recipe.batch_size, shuffle=True, generator=generator,
            transform=augmentation(recipe, len(training), len(data.classes)),
        )
        weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
        groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others}]
        optimizer = OPTIMIZERS[recipe.optimizer](groups, lr=recipe.lr, weight_decay=0.0)
        scheduler: LRScheduler | None = None
        if recipe.schedule == "one-cycle":
            scheduler = OneCycleLR(optimizer, recipe.lr, total_steps=recipe.epochs * len(self.train) + 1)
        watchers: list[Callback] = [AveragedWeights(recipe.average)] if recipe.average else []
        if recipe.dropout_epochs is not None:
            watchers.append(EvaluationModeAfter(recipe.dropout_epochs))
        objective = Objective(recipe, weights)
        self.learner = Learner(
            model, optimizer, objective, scheduler, [*watchers, *callbacks], workers=recipe.workers
        )
        try:
            self.learner.check_batches_of_one(self.train)
        except ValueError as error:
            raise ValueError(f"{error}; here it is the recipe's batch_size, or the flag --batch-size") from error

    def fit(self, warn: Callable[[str], None]) -> None:
        """Train for all epochs of the recipe, keeping model, metrics and configuration in the folder after each.

        Args:
            warn: told in one sentence when something could not be saved in between; training goes on.

        Raises:
            nn.FileError: before training, if the folder cannot be written to.
            NonFiniteLoss: if training diverges; the message names the last good model.
        """
        with nn.files.atomic_write(self.folder / "config.json", "w") as file:
            json.dump(nn.files.plain(asdict(self.recipe)), file, indent=2)
        saved_epoch = 0

        def checkpoint(learner: Learner) -> None:
            nonlocal saved_epoch
            try:
                self.save()
                saved_epoch = learner.epoch
            except nn.FileError as error:
                warn(f"epoch {learner.epoch} could not be saved: {error}")

        # First of all: what shows something may fail, on a pipe that was closed, say.
        self.learner.callbacks.insert(0, AfterEpoch(checkpoint))
        try:
            self.learner.fit(self.train, self.valid, self.recipe.epochs)
        except NonFiniteLoss as error:
            last = f"the model after epoch {saved_epoch} is in {self.folder}" if saved_epoch else "no model was saved"
            raise NonFiniteLoss(f"{error}; {last}") from error

    def try_one_batch(self) -> float:
        """The loss of the first batch, trained on once, to see that everything fits together."""
        return self.learner.train_batch(*next(iter(self.train)))

    def test(self) -> Evaluation:
        """Evaluate on the test set, by the plain loss: label smoothing is for training."""
        return self.classifier.evaluate(self.data.test_images, self.data.test_labels)

    def save(self, evaluation: Evaluation | None = None) -> list[str]:
        """Write model and metrics to the folder, and the pictures if there is an evaluation and matplotlib.

        Returns the names of the files of the whole run. Raises `nn.FileError`.
        """
        self.classifier.save(self.folder / "model.npz")
        write_history(self.learner.history, self.folder / "metrics.csv")
        names = ["model.npz", "metrics.csv", "config.json"]
        if evaluation is not None and self.learner.history and report.can_draw():
            report.draw(self.learner.history, evaluation, self.classifier.classes, self.folder / "report.png")
            names.append("report.png")
        return names


class EvaluationModeAfter(Callback):
    """Trains in evaluation mode, without dropout, once some epochs are over.

    This is the mistake in the code that the article-as-published recipe reproduces: the model was set to evaluation
    after the first epoch, and never back.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch_start(self, learner: Learner) -> None:
        learner.model.train(learner.epoch <= self.epochs)


class Objective(nn.CrossEntropyLoss):
    """What training makes small: the loss a recipe names, and its penalties on weights. A mean over samples, always."""

    def __init__(self, recipe: Recipe, weights: Sequence[nn.Parameter]) -> None:
        super().__init__(label_smoothing=recipe.label_smoothing)
        self._weights, self.l1, self.l2, self.kind = weights, recipe.l1, recipe.l2, recipe.loss

    def forward(self, *inputs: TensorLike, **named_inputs: TensorLike) -> Tensor:
        if self.kind == "sigmoid":
            logits, labels = as_tensor(inputs[0]), np.asarray(inputs[1])
            classes = logits.shape[1]
            loss = F.binary_cross_entropy_with_logits(logits, np.eye(classes, dtype=logits.dtype)[labels]) * classes
        else:
            loss = super().forward(*inputs, **named_inputs)
        return loss + F.penalty(self._weights, self.l1, self.l2) if self.l1 or self.l2 else loss


def augmentation(recipe: Recipe, samples: int, classes: int) -> Compose:
    """What is done to each batch of training images: moves of pixels while they are bytes, then the rest."""
    return Compose(
        *([RandomFlip()] if recipe.flip == "random" else []),
        *([AlternatingFlip(samples)] if recipe.flip == "alternating" else []),
        *([RandomShift(recipe.shift, p=recipe.shift_p)] if recipe.shift else []),
        *([RandomErase(recipe.erase)] if recipe.erase else []),
        Normalize(recipe.mean, recipe.std),
        *([Mixup(recipe.mixup, classes)] if recipe.mixup else []),
    )


def draw_normal(model: nn.Module, std: float | Literal["he"]) -> None:
    """Weights from N(0, std²), or N(0, 2 / fan_in) for "he" (He et al., 2015); biases 0."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif std == "he":
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        else:
            nn.init.normal_(parameter, std=std)


def progress() -> list[Callback]:
    """What a run shows while it goes: a table, and a bar where there can be one."""
    return [*([ProgressBar()] if ProgressBar.is_available() else []), EpochTable()]
