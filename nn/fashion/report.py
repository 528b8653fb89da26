"""The summary and the pictures of a trained classifier."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nn.extras import required
from nn.fashion.class_names import shortened
from nn.fashion.folder import check_output
from nn.files import atomic_write, ending_of
from nn.learner import Row
from nn.lr_finder import LRSearch
from nn.metrics import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 50  # classes that a picture has room to name


def summary(evaluation: Evaluation, classes: Sequence[str]) -> str:
    """Loss, accuracy, precision, recall and F1 of each class, and the most confused pairs, as text."""
    confused = [f"{classes[i]} and {classes[j]} ({n} times)" for i, j, n in evaluation.most_confused(3)]
    width = max(12, *map(len, classes))
    lines = [
        f"Test loss {evaluation.loss:.4f}, test accuracy {evaluation.accuracy:.2%}",
        "",
        f"{'class':<{width}} {'precision':>9} {'recall':>9} {'F1':>9}",
        *(
            f"{name:<{width}} {p:>9.1%} {r:>9.1%} {f1:>9.1%}"
            for name, p, r, f1, _ in evaluation.of_classes(classes)
        ),
        "",
        f"Most confused: {', '.join(confused) or 'none'}",
    ]
    return "\n".join(lines)


def can_draw() -> bool:
    """Whether matplotlib is installed, and works."""
    try:
        required("matplotlib.figure", "drawing pictures")
    except ImportError:
        return False
    return True


@contextmanager
def empty_figure(width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches, to be drawn and saved inside, where all names are text. Needs matplotlib.

    It would read a name with two $ in it as a formula, and warn of every letter that its font lacks.
    """
    library, figures = (required(name, "drawing pictures") for name in ("matplotlib", "matplotlib.figure"))
    with library.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield figures.Figure(figsize=(width, height), layout="constrained")


@contextmanager
def figure_for(path: str | os.PathLike[str], width: float, height: float) -> Iterator[Figure]:
    """A figure of this size in inches, to be drawn inside; it is then written in the format that the ending names.

    Raises ValueError if the ending is unknown, before anything is drawn, and `nn.FileError` if it cannot be written.
    """
    kind = picture_format(path)
    with empty_figure(width, height) as figure:
        yield figure
        with atomic_write(path, "wb") as file:
            figure.savefig(file, format=kind, dpi=120)


def picture_format(path: str | os.PathLike[str]) -> str:
    """The format that the ending of a picture names. Raises ValueError if there is no such format. Needs matplotlib."""
    canvas = required("matplotlib.backend_bases", "drawing pictures").FigureCanvasBase
    known = sorted(canvas.get_supported_filetypes().keys() - {"pgf"})  # which takes TeX
    kind = ending_of(path).lstrip(".")
    if kind not in known:
        raise ValueError(f"{path} cannot be drawn: a picture ends in one of {', '.join(known)}")
    return kind


def check_picture(path: str | os.PathLike[str]) -> None:
    """Refuse a picture before there is anything to draw: raises what `figure_for` and `check_output` would."""
    picture_format(path)
    check_output(Path(path), ending_of(path))


def draw(history: Sequence[Row], evaluation: Evaluation, classes: Sequence[str], path: Path) -> None:
    """Write a PNG picture: loss and accuracy over the epochs, and the confusion matrix. Needs matplotlib."""
    with figure_for(path, 13, 5.5) as figure:
        curves, confusion = figure.subplots(1, 2)
        draw_curves(curves, history)
        draw_confusion(confusion, evaluation, classes)


def draw_search(search: LRSearch, path: Path) -> None:
    """Write a PNG picture: the loss against the learning rates that were tried. Needs matplotlib."""
    with figure_for(path, 7, 4.5) as figure:
        axes = figure.subplots()
        axes.semilogx(search.lrs, search.losses, label="loss of a batch before its step")
        axes.axvline(search.suggestion, color="C1", linestyle="--", label=f"suggestion: {search.suggestion:.2g}")
        axes.set(xlabel="learning rate", ylabel="loss", ylim=(0, 2 * search.losses[0]))
        axes.legend(loc="upper left")


def draw_curves(axes: Axes, history: Sequence[Row]) -> None:
    """Loss on the left axis, validation accuracy, if there is any, on the right."""
    epochs = [row["epoch"] for row in history]
    marker = "o" if len(history) == 1 else None  # a single point is no line
    lines = axes.plot(epochs, [row["train_loss"] for row in history], marker=marker, label="training loss")
    if "valid_loss" in history[0]:
        lines += axes.plot(epochs, [row["valid_loss"] for row in history], marker=marker, label="validation loss")
        right = axes.twinx()
        accuracy = [100 * row["valid_accuracy"] for row in history]
        lines += right.plot(epochs, accuracy, "C2--", marker=marker, label="validation accuracy")
        right.set_ylabel("validation accuracy in %")
    axes.set(xlabel="epoch", ylabel="loss", ylim=(0, None), xlim=(epochs[0] - 0.5, epochs[-1] + 0.5))
    axes.legend(handles=lines, loc="lower right")


def draw_confusion(axes: Axes, evaluation: Evaluation, classes: Sequence[str]) -> None:
    """The confusion matrix in per cent of each true class."""
    shares = 100 * evaluation.counts / evaluation.counts.sum(1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axes.set(title=f"test accuracy {evaluation.accuracy:.2%}", xlabel="predicted", ylabel="true, in % of each class")
    if len(classes) > MOST_NAMED:
        return
    names = list(map(shortened, classes))
    axes.set_xticks(range(len(classes)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), names)
    for i, row in enumerate(shares):
        for j, percent in enumerate(row):
            if percent >= 0.5:
                axes.text(j, i, f"{percent:.0f}", ha="center", va="center", color="white" if percent > 50 else "black")
