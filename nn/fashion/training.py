"""A training run from its recipe to the files it leaves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

import nn
from minigrad import Tensor, TensorLike, as_tensor
from minigrad.arrays import Array
from minigrad.trees import leaves
from nn import functional as F
from nn.augmentation import AlternatingFlip, Compose, Mixup, RandomErase, RandomFlip, RandomShift
from nn.callbacks import AfterEpoch, AveragedWeights, EarlyStopping, EpochTable, KeepBest, ProgressBar, write_history
from nn.data import DataLoader, Normalize, stratified_split
from nn.distributed import DistributedLearner
from nn.fashion import report
from nn.fashion.classifier import Classifier
from nn.fashion.dataset import Dataset
from nn.fashion.folder import CHECKPOINT, CONFIG, METRICS, MODEL, RESULT, remove_all_but
from nn.fashion.models import build, check_claim, read_size
from nn.fashion.recipes import OPTIMIZERS, Recipe, for_data
from nn.fashion.result import MOST_THREADS, data_of, environment, scores, write_json
from nn.fashion.settings import recipe_of
from nn.files import check_can_write
from nn.learner import Callback, Learner, NonFiniteLoss
from nn.metrics import Evaluation
from nn.processes import broadcast, rank, size
from nn.schedules import LRScheduler, OneCycleLR
from nn.shared_memory import once_a_machine

TRIANGLE = {"pct_start": 1 / 7, "anneal_strategy": "linear"}  # a seventh of the steps up, the others down
SEEN = 5000  # training images that accuracy is measured on after each epoch, beside validation
SPLIT_SEED = 0  # of the validation split, so that runs with other seeds are judged on the same images


class Run:
    """One training run: the recipe, its data and its learner, put together and ready to go.

    Args:
        recipe: the settings.
        data: what to train on.
        folder: where the files go; made when training begins.
        callbacks: told about everything the learner does.

    Attributes:
        saved_epoch: the last one whose model is in the folder; is_over: whether an earlier part ended by its patience;
        made_with: where an earlier part was computed, see `nn.fashion.result.environment`;
        replaces: whether another run is in the folder still, and to stay there until an epoch of this one is over.

    Raises:
        ValueError: if the recipe's settings do not fit each other or the data, such as batches of one sample for batch
            norm.
    """

    saved_epoch = 0
    is_over = replaces = False
    made_with: Mapping[str, Any] = {}

    def __init__(
        self, recipe: Recipe, data: Dataset, folder: Path, callbacks: Sequence[Callback] = ()
    ) -> None:
        recipe = for_data(recipe, data)
        self.recipe, self.data, self.folder = recipe, data, folder
        check_workers(recipe)
        generator = nn.manual_seed(recipe.seed)
        model = build(recipe.architecture)
        if recipe.initial_std is not None:
            draw_normal(model, recipe.initial_std)
        self.classifier = Classifier(model, recipe.architecture, recipe.mean, recipe.std, data.classes, data.size)
        val_size = len(data.train_labels) // 12 if recipe.val_size is None else recipe.val_size
        training, validation = stratified_split(data.train_labels, val_size, SPLIT_SEED)
        images, labels = data.train_images, data.train_labels
        self.valid = self.classifier.loader(images[validation], labels[validation]) if val_size else None
        self.seen = self.classifier.loader(images[training[:SEEN]], labels[training[:SEEN]])
        arrays: list[Array] = once_a_machine(lambda: [images[training], labels[training]])
        if recipe.flip == "alternating":
            arrays.append(np.arange(len(training)))
        self.train = DataLoader(
            arrays, recipe.batch_size, shuffle=True, generator=generator,
            transform=augmentation(recipe, len(training), len(data.classes)),
        )
        self.steering = steering_callbacks(recipe, val_size)
        self.keeper = next((callback for callback in self.steering if isinstance(callback, KeepBest)), None)
        self.learner = learner_of(recipe, model, len(self.train), [*self.steering, *callbacks])
        try:
            self.learner.check_batches_of_one(self.train)
        except ValueError as error:
            raise ValueError(f"{error}; here it is the recipe's batch_size, or the flag --batch-size") from error

    @classmethod
    def resumed(
        cls, folder: Path, data: Dataset, callbacks: Sequence[Callback] = (), epochs: int | None = None,
        name: str | None = None,
    ) -> Run:
        """The run that a folder holds, ready to go on from its last checkpoint as if it had never ended.

        Args:
            epochs: how many there are to be in all, if they are to be others than the recipe says.
            name: that of the recipe that is expected, if one is.

        Raises:
            nn.FileError: if the checkpoint cannot be read, is of other data or another recipe, or does not fit.
            ValueError: if the schedule of the recipe leaves no room for such a number of epochs, or its patience ended
                it.
        """
        path = folder / CHECKPOINT
        saved = broadcast(Checkpoint.load(path) if rank() == 0 else None)
        assert saved is not None
        if name is not None and name != saved.recipe.name:
            raise nn.FileError(f"{path} is of the recipe {saved.recipe.name}, not of {name}")
        if (sides := saved.data["size"]) not in (None, data.size):  # to which pictures are brought without --size
            was, given = (" x ".join(map(str, pair)) for pair in (sides, data.size))
            raise nn.FileError(f"{path} is of images of {was} pixels, not of {given}: leave out --size")
        if saved.data["fingerprint"] != data_of(data)["fingerprint"]:
            source = saved.data.get("source")
            raise nn.FileError(f"{path} is of other data, namely {source!s:.200}: name them with --data")
        recipe = with_epochs(saved.recipe, epochs, saved.learner["epoch"])
        if saved.is_over and recipe.epochs != saved.recipe.epochs:
            raise ValueError(f"the run ended with epoch {saved.learner['epoch']}, when its patience of "
                             f"{recipe.patience} was over: for more epochs train anew, with more --patience or none")
        try:
            check_claim(for_data(recipe, data).architecture, saved.learner["model"])
            run = cls(recipe, data, folder, callbacks)
            run.learner.load_state_dict(saved.learner)
        except (ValueError, MemoryError) as error:
            raise nn.FileError(f"{path} does not fit the run that its recipe describes: {error}") from error
        run.saved_epoch, run.is_over, run.made_with = run.learner.epoch, saved.is_over, saved.environment
        return run

    def fit(self, warn: Callable[[str], None]) -> None:
        """Train for all epochs of the recipe, keeping checkpoint, model and metrics in the folder after each.

        Where `mpiexec` began several processes, all call it, and the first one keeps them.

        Args:
            warn: told in one sentence when something could not be saved in between; training goes on.

        Raises:
            nn.FileError: before training, if the folder cannot be written to.
            NonFiniteLoss: if training diverges; the message names the last good model.
        """
        if rank() == 0:
            if self.replaces:
                check_can_write(self.folder / CONFIG)
            else:
                write_json(asdict(self.recipe), self.folder / CONFIG)
            for sentence in differences(self.made_with, environment()):
                warn(sentence)
            # Before what shows something, which may fail, on a pipe that was closed, say.
            first = len(self.steering)
            self.learner.callbacks[first:first] = [AfterEpoch(self.note_training_accuracy), Checkpoints(self, warn)]
        left = 0 if self.is_over else self.recipe.epochs - self.learner.epoch
        try:
            self.learner.fit(self.train, self.valid, left)
        except NonFiniteLoss as error:
            last = f"the model after epoch {self.saved_epoch} is in {self.folder}"
            raise NonFiniteLoss(f"{error}; {last if self.saved_epoch else 'no model was saved'}") from error

    def note_training_accuracy(self, learner: Learner) -> None:
        """Add to the history what the model makes of some images that it is trained on, as they are."""
        learner.history[-1]["train_accuracy"] = learner.evaluate(self.seen).accuracy

    def save_checkpoint(self) -> None:
        """Write all that it takes to go on to the folder, in place of another run there. Raises `nn.FileError`."""
        is_over = self.learner.stop and not self.learner.interrupted  # ended early, by its own patience
        state, path = self.learner.state_dict(), self.folder / CHECKPOINT
        Checkpoint(self.recipe, is_over, self.described_data, environment(), state).save(path)
        if self.replaces:  # only now: where the disk is full, or the process killed, there is one run or the other
            remove_all_but(path)
            write_json(asdict(self.recipe), self.folder / CONFIG)
            self.replaces = False

    @cached_property
    def described_data(self) -> dict[str, Any]:
        """What the data are, see `nn.fashion.result.data_of`."""
        return data_of(self.data)

    def try_one_batch(self) -> float:
        """The loss of the first batch, trained on once, to see that everything fits together."""
        return self.learner.train_batch(*next(iter(self.train)))

    def bytes_left(self) -> int:
        """How much room the files of the run take, once a step has been taken: a checkpoint, its next one, a model."""
        return 3 * sum(leaf.nbytes for leaf in leaves(self.learner.state_dict()) if isinstance(leaf, np.ndarray))

    def test(self) -> Evaluation:
        """Evaluate on the test set, by the plain loss: label smoothing is for training."""
        return self.classifier.evaluate(self.data.test_images, self.data.test_labels, self.recipe.workers)

    @property
    def kept_epoch(self) -> int:
        """The number of the epoch after which the model was as it is in the end."""
        return getattr(self.keeper, "epoch", self.learner.epoch)

    def save(self, evaluation: Evaluation | None = None, folder: Path | None = None) -> list[str]:
        """Write model and metrics, and the result and pictures (with matplotlib) if there is an evaluation.

        They go to the folder of the run, or to another one. Returns the names of the files. Raises `nn.FileError`.
        """
        folder, history, recipe = folder or self.folder, self.learner.history, self.recipe
        rows = [row for row in history if row["epoch"] == self.kept_epoch]
        self.classifier.training = {
            "recipe": recipe.name, "epoch": self.kept_epoch, "seed": recipe.seed,
            "validation_accuracy": rows[0].get("valid_accuracy") if rows else None,
        }
        self.classifier.save(folder / MODEL)
        write_history(history, folder / METRICS)
        names = [MODEL, METRICS]
        if evaluation is not None:
            write_json(self.result(evaluation), folder / RESULT)
            names.append(RESULT)
        if evaluation is not None and history and report.can_draw():
            report.draw(history, evaluation, self.classifier.classes, folder / "report.png")
            names.append("report.png")
        return names + [name for name in (CONFIG, CHECKPOINT) if folder == self.folder]

    def result(self, evaluation: Evaluation) -> dict[str, Any]:
        """What a program wants to know of the run: everything that it came to, and what it depends on."""
        learner, recipe = self.learner, self.recipe
        accuracies = {int(row["epoch"]): row["valid_accuracy"] for row in learner.history if "valid_accuracy" in row}
        best = max(accuracies, key=accuracies.__getitem__, default=None)
        return {
            "recipe": recipe.name, "seed": recipe.seed, "complete": not learner.interrupted,
            "epochs": len(learner.history), "epochs_planned": recipe.epochs, "model_of_epoch": self.kept_epoch,
            "best_epoch": best, "best_validation_accuracy": None if best is None else accuracies[best],
            "seconds": learner.history[-1]["seconds"] if learner.history else 0.0,
            "images_per_second": learner.history[-1]["images_per_second"] if learner.history else None,
            "test": scores(evaluation, self.classifier.classes),
            "data": self.described_data, "workers": recipe.workers, **environment(),
        }


@dataclass(frozen=True)
class Checkpoint:
    """All that it takes to go on with a run, and to see whether that would be the same run."""

    recipe: Recipe
    is_over: bool
    data: dict[str, Any]
    environment: dict[str, Any]
    learner: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write it. Raises `nn.FileError`."""
        nn.files.save_state({**vars(self), "recipe": asdict(self.recipe)}, path)

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read it. Raises `nn.FileError` if it is missing or damaged, or anything else."""
        if not path.exists():
            raise nn.FileError(f"{path.parent} holds no {path.name} to go on from: train without --resume")
        saved = nn.files.load_state(path)
        try:
            recipe, is_over = recipe_of(saved["recipe"]), bool(saved["is_over"])
            data, environment, learner = (dict(saved[name]) for name in ("data", "environment", "learner"))
            environment["processes"] = as_count(environment.get("processes", 1), "processes")  # once it was not said
            learner["epoch"], learner["model"] = int(learner["epoch"]), as_arrays(learner["model"])
            learner["history"] = as_history(learner["history"])
            data["size"] = read_size(data["size"]) if "size" in data else None  # earlier versions do not say it
            data["fingerprint"], threads = str(data["fingerprint"]), environment["threads"]
            environment["threads"] = None if threads is None else as_count(threads, "threads", MOST_THREADS)
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise nn.FileError(f"{path} is no checkpoint of a training run: {error}") from error
        return cls(recipe, is_over, data, environment, learner)


def as_arrays(state: Mapping[str, Any]) -> dict[str, Array]:
    """What a stranger's file has for the arrays of a model. Raises ValueError if it is something else."""
    if not all(isinstance(array, np.ndarray) for array in state.values()):
        raise ValueError("its model has something else than arrays")
    return dict(state)


def as_history(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a stranger's file has for a history. Raises ValueError if its rows are not all of the same columns."""
    needed = {"epoch", "train_loss", "seconds", "images_per_second"}
    if not all(needed <= row.keys() == history[0].keys() for row in history):
        raise ValueError(f"each row of its history has {', '.join(sorted(needed))}, and what others have")
    return [dict(row) for row in history]


def as_count(count: Any, what: str, most: int | None = None) -> int:
    """What a stranger's file has for the number of something. Raises ValueError if it is none."""
    if type(count) is not int or count < 1 or (most is not None and count > most):
        raise ValueError(f"its number of {what} is {count!r:.80}")
    return count


class Checkpoints(Callback):
    """Keeps the run's checkpoint before its first epoch, and with its model and metrics after each."""

    def __init__(self, run: Run, warn: Callable[[str], None]) -> None:
        self.run, self.warn = run, warn

    def on_fit_start(self, learner: Learner) -> None:
        if learner.epoch == 0 and not self.run.replaces:
            self.try_to(self.run.save_checkpoint, "the start")

    def on_epoch_end(self, learner: Learner) -> None:
        if learner.complete or not self.run.replaces:
            self.try_to(self.save, f"epoch {learner.epoch}")

    def save(self) -> None:
        run, learner = self.run, self.run.learner
        if learner.complete:  # what was interrupted is trained again, to end as if it had never been
            run.save_checkpoint()
        if run.kept_epoch == learner.epoch:
            run.save()
            run.saved_epoch = learner.epoch
        else:
            write_history(learner.history, run.folder / METRICS)

    def try_to(self, save: Callable[[], object], what: str) -> None:
        try:
            save()
        except nn.FileError as error:
            self.warn(f"{what} could not be saved: {error}")

    def on_interrupt(self, learner: Learner) -> None:
        """Say what happens; not by print(), amid which the signal may have come."""
        sentence = "Interrupted: ending after this step and saving; interrupt again to end at once."
        with suppress(OSError):
            os.write(2, f"\n{sentence}\n".encode())


def learner_of(recipe: Recipe, model: nn.Module, batches: int, callbacks: Sequence[Callback]) -> Learner:
    """The learner that trains a model as the recipe says, in so many batches an epoch."""
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others}]
    optimizer = OPTIMIZERS[recipe.optimizer](groups, lr=recipe.lr, weight_decay=0.0)
    scheduler: LRScheduler | None = None
    if recipe.schedule != "constant":
        shape: dict[str, Any] = TRIANGLE if recipe.schedule == "triangle" else {}
        scheduler = OneCycleLR(optimizer, recipe.lr, total_steps=recipe.epochs * batches + 1, **shape)
    kind = Learner if size() == 1 else DistributedLearner
    return kind(model, optimizer, Objective(recipe, weights), scheduler, callbacks, workers=recipe.workers)


def check_workers(recipe: Recipe) -> None:
    """Raise ValueError if a batch has less than two images for each worker of each process."""
    if size() > max(1, recipe.batch_size // 2):
        raise ValueError(f"processes take two images of a batch each, at least: {size()} are too many for "
                         f"{recipe.batch_size}")
    if recipe.workers > max(1, recipe.batch_size // size() // 2):
        each = "" if size() == 1 else f" in each of {size()} processes"
        raise ValueError("workers take two images of a batch each, at least: "
                         f"{recipe.workers}{each} are too many for {recipe.batch_size}")


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What is otherwise than it was when an earlier part of the run was computed, in sentences."""
    if not before:
        return
    began, goes_on = before["processes"], now["processes"]
    if began != goes_on:
        yield (f"this run began in {began} processes, and goes on in {goes_on}: other parts of the batches, for which "
               "each draws what is augmented and dropped, and by which batch norm normalises")
        before = {**before, "processes": goes_on}
    if before != now:
        yield f"this run began with {before!s:.200}, and goes on with {now}: the last bits may differ"


def with_epochs(recipe: Recipe, epochs: int | None, trained: int) -> Recipe:
    """The recipe for another number of epochs in all, after some are trained. Raises ValueError if that cannot be."""
    if epochs is None or epochs == recipe.epochs:
        return recipe
    if recipe.schedule != "constant":
        raise ValueError(
            f"the {recipe.schedule} schedule of this run ends with epoch {recipe.epochs}, where its learning rate is "
            f"nearly 0: for {epochs} epochs train anew with --epochs {epochs}"
        )
    if epochs < trained:
        raise ValueError(f"the run has {trained} epochs already, which is more than {epochs}")
    return replace(recipe, epochs=epochs)


def steering_callbacks(recipe: Recipe, val_size: int) -> list[Callback]:
    """What acts on the weights and on the end of training, as the recipe says, with so many validation images."""
    if val_size == 0 and (recipe.keep == "best" or recipe.patience is not None):
        wish = "keep the best epoch" if recipe.keep == "best" else "end early by --patience"
        raise ValueError(f"to {wish} takes validation images, and val_size is 0: hold some out with --val-size")
    return [
        *([AveragedWeights(recipe.average)] if recipe.average else []),
        *([EvaluationModeAfter(recipe.dropout_epochs)] if recipe.dropout_epochs is not None else []),
        *([KeepBest("valid_accuracy")] if recipe.keep == "best" else []),
        *([EarlyStopping("valid_loss", recipe.patience)] if recipe.patience is not None else []),
    ]


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
    """What training minimises: a recipe's loss plus its penalties on weights; always a mean over samples."""

    def __init__(self, recipe: Recipe, weights: Sequence[nn.Parameter]) -> None:
        super().__init__(label_smoothing=recipe.label_smoothing)
        self._weights, self.l1, self.l2, self.kind = weights, recipe.l1, recipe.l2, recipe.loss

    def forward(self, *inputs: TensorLike, **named_inputs: TensorLike) -> Tensor:
        if self.kind == "sigmoid":
            logits, labels = as_tensor(inputs[0]), np.asarray(inputs[1])
            classes = logits.shape[1]
            shares = labels if labels.ndim > 1 else np.eye(classes, dtype=logits.dtype)[labels]  # rows come of mixup
            loss = F.binary_cross_entropy_with_logits(logits, shares) * classes
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
        elif parameter.ndim == 1:
            continue  # the scales of batch norm stay 1
        elif std == "he":
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        else:
            nn.init.normal_(parameter, std=std)


def progress() -> list[Callback]:
    """What a run shows while it goes: a table, and a bar where there can be one."""
    return [*([ProgressBar()] if ProgressBar.is_available() else []), EpochTable()]
