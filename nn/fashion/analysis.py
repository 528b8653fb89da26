"""What the predictions of a classifier tell about it: calibration, its worst mistakes, and which classes overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nn.fashion.dataset import CLASSES
from nn.metrics import Evaluation, confusion_matrix

OF_GARMENTS = " At this size a garment is little more than its outline, and these have nearly the same one."
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Images with their labels, and the probabilities that a classifier gives their classes.

    Attributes:
        images: (n, h, w) bytes.
        labels: (n,) the true classes.
        probabilities: (n, classes).
    """

    images: npt.NDArray[np.uint8]
    labels: Indices
    probabilities: Floats

    @property
    def predicted(self) -> Indices:
        """(n,) the most probable classes."""
        most_probable: Indices = self.probabilities.argmax(1)
        return most_probable

    @property
    def confidence(self) -> Floats:
        """(n,) the probabilities of the predicted classes."""
        highest: Floats = self.probabilities.max(1)
        return highest

    @property
    def is_right(self) -> npt.NDArray[np.bool_]:
        """(n,) where the prediction is the label."""
        right: npt.NDArray[np.bool_] = self.predicted == self.labels
        return right

    def evaluation(self) -> Evaluation:
        """Cross-entropy and confusion matrix."""
        of_truth = self.probabilities[np.arange(len(self.labels)), self.labels]
        loss = float(-np.log(np.maximum(of_truth, np.finfo(np.float32).tiny)).mean())
        return Evaluation(loss, confusion_matrix(self.labels, self.predicted, self.probabilities.shape[1]))

    def most_confident_mistakes(self, count: int) -> Indices:
        """Which images were wrong with the highest probabilities, the worst one first."""
        order = np.argsort(-self.confidence, kind="stable")
        return order[~self.is_right[order]][:count]

    def least_confident_hits(self, count: int) -> Indices:
        """Which images were right with the lowest probabilities, the closest one first."""
        order = np.argsort(self.confidence, kind="stable")
        return order[self.is_right[order]][:count]

    def calibration(self, bins: int = 10) -> Calibration:
        """How often the network is right when it says so with a certain probability."""
        which = np.minimum((self.confidence * bins).astype(int), bins - 1)
        counts = np.bincount(which, minlength=bins)
        most = np.maximum(counts, 1)
        said, found = (np.bincount(which, x, bins) / most for x in (self.confidence, self.is_right))
        return Calibration(counts, said, found)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Predictions by how probable they were said to be, in bins of equal width.

    Attributes:
        counts: (bins,) how many.
        said: (bins,) the mean of their probabilities.
        found: (bins,) the share that was right.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 2.
    """

    counts: Indices
    said: Floats
    found: Floats

    @property
    def error(self) -> float:
        """How far what is said is from what is found, as a mean over predictions."""
        return float((self.counts * np.abs(self.said - self.found)).sum() / max(self.counts.sum(), 1))


def written_analysis(predictions: Predictions, classes: tuple[str, ...]) -> list[str]:
    """Paragraphs on what goes wrong and why, from the figures alone."""
    evaluation, calibration = predictions.evaluation(), predictions.calibration()
    total, wrong = len(predictions.labels), int((~predictions.is_right).sum())
    if not wrong:
        return [f"All of the {total:,} test images are classified rightly."]
    return [
        f"Of {total:,} test images {wrong:,} are classified wrongly ({wrong / total:.1%}).",
        *of_pairs(predictions, classes, evaluation, wrong),
        of_weakest(classes, evaluation),
        of_confidence(predictions, calibration),
    ]


def of_pairs(
    predictions: Predictions, classes: tuple[str, ...], evaluation: Evaluation, wrong: int
) -> list[str]:
    """On the pairs of classes that are confused most, and how alike their images are."""
    pairs = evaluation.most_confused(3)
    share = sum(times for *_, times in pairs) / wrong
    listed = ", ".join(f"{classes[i]} and {classes[j]} ({n:,} times)" for i, j, n in pairs)
    alike = alikeness(predictions)
    each = alike[np.triu_indices(len(classes), 1)]
    ranks = [int((each > alike[i, j]).sum()) + 1 for i, j, _ in pairs]
    first, second, _ = pairs[0]
    suggested = "That is what" if ranks[0] <= max(3, len(each) // 10) else "That is not what"
    return [
        f"{share:.0%} of them confuse {listed}.",
        f"{suggested} the images themselves suggest: the mean images of {classes[first]} and {classes[second]} have a "
        f"correlation of {alike[first, second]:.2f}, rank {ranks[0]} of {len(each)} pairs of classes; the "
        f"pairs above have the ranks {', '.join(map(str, ranks))}.{OF_GARMENTS if classes == CLASSES else ''}",
    ]


def alikeness(predictions: Predictions) -> Floats:
    """(classes, classes) correlations of the mean images of the classes; 0 for one without images."""
    count = predictions.probabilities.shape[1]
    pixels = predictions.images.reshape(len(predictions.images), -1)
    means = np.array([
        pixels[predictions.labels == i].mean(0) if (predictions.labels == i).any() else np.zeros(pixels.shape[1])
        for i in range(count)
    ])
    means -= means.mean(1, keepdims=True)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    alike: Floats = means @ means.T
    return alike


def of_weakest(classes: tuple[str, ...], evaluation: Evaluation) -> str:
    """On the class that is found least often, and what is said instead."""
    present = evaluation.counts.sum(1) > 0
    weakest = int(np.where(present, evaluation.recall, np.inf).argmin())
    best = int(np.where(present, evaluation.recall, -np.inf).argmax())
    shares = evaluation.counts[weakest] / evaluation.counts[weakest].sum()
    shares[weakest] = 0
    taken = [i for i in np.argsort(-shares)[:3] if shares[i] > 0]
    instead = ", ".join(f"{classes[i]} ({shares[i]:.0%})" for i in taken)
    return (
        f"The weakest class is {classes[weakest]}, of which {evaluation.recall[weakest]:.0%} are found; the others are "
        f"taken for {instead}. The surest one is {classes[best]}, of which {evaluation.recall[best]:.1%} are found."
    )


def of_confidence(predictions: Predictions, calibration: Calibration) -> str:
    """On whether the probabilities can be believed."""
    said, found = float(predictions.confidence.mean()), float(predictions.is_right.mean())
    manner = "more than it should" if said > found else "less than it could"
    sure = predictions.confidence > 0.99
    summary = f"On average it is {said:.1%} sure and {found:.1%} right, {manner}: a calibration error of "
    if not sure.any():
        return f"{summary}{calibration.error:.1%}."
    right = f"of {sure.sum():,} that it is more than 99 % sure of {predictions.is_right[sure].mean():.1%} are right"
    return f"{summary}{calibration.error:.1%}; {right}."
