"""One page about one trained model, or several beside each other: offline, with all pictures inside."""

from __future__ import annotations

import base64
import csv
import html
import io
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import nn
from minigrad import __version__, as_tensor, no_grad
from nn.extras import required
from nn.fashion import report
from nn.fashion.analysis import Predictions, written_analysis
from nn.fashion.class_names import shortened
from nn.fashion.classifier import Classifier
from nn.fashion.dataset import Dataset
from nn.fashion.folder import CONFIG, METRICS, REPORT, RESULT
from nn.fashion.gallery import shades
from nn.fashion.settings import TEXTS
from nn.files import FileError, atomic_write, check_is_file, read_json
from nn.metrics import Evaluation
from nn.tsne import tsne

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAPPED = 1000  # images on the map
STYLE = Path(__file__).with_name("report_page.css")
NEEDED_FOR = "a report with pictures"
RIGHT, WRONG = "#2a7f62", "#c0392b"


@dataclass(frozen=True, eq=False)
class Trained:
    """A run's folder, read.

    Attributes:
        name: of the folder.
        config, result: what `config.json` and `result.json` say, empty where there is no such file.
        history: a row of numbers for each epoch, as in `metrics.csv`.
    """

    name: str
    classifier: Classifier
    config: Mapping[str, Any]
    result: Mapping[str, Any]
    history: Sequence[Mapping[str, float]]

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Trained:
        """Read the files of a run. Raises `nn.FileError` if the model, or one of them, cannot be read."""
        folder = Path(folder)
        classifier = Classifier.load(folder)
        paths = folder / CONFIG, folder / RESULT
        config, result = (read_json(path) if path.exists() else {} for path in paths)
        return cls(folder.resolve().name, classifier, config, result, read_history(folder / METRICS))


def read_history(path: Path) -> list[dict[str, float]]:
    """The rows of a table of numbers, or none if there is no file."""
    if not path.exists():
        return []
    try:
        check_is_file(path)
        with path.open(encoding="utf-8", newline="") as file:
            rows = [{name: float(x) for name, x in row.items() if x} for row in csv.DictReader(file)]
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, TypeError, csv.Error) as error:
        raise FileError(f"{path} is damaged: {error}") from error
    if not all({"epoch", "train_loss", "seconds"} <= row.keys() for row in rows):
        raise FileError(f"{path} is damaged: each row has an epoch, its train_loss and its seconds")
    return rows


def write_report(
    runs: Sequence[str | os.PathLike[str]], data: Dataset, path: str | os.PathLike[str] | None = None
) -> Path:
    """Write a page about a run, or about several, compared metric by metric. Needs matplotlib.

    Args:
        runs: their folders; the first one is shown at length.
        data: whose test images the models are judged by.
        path: of the page; `report.html` in the first folder if None.

    Returns the path. Raises `nn.FileError` if a run cannot be read or the page cannot be written, and `ImportError`
    without matplotlib.
    """
    required("matplotlib.figure", NEEDED_FOR)
    trained = [Trained.read(folder) for folder in runs]
    predictions = [predicted(run.classifier, data) for run in trained]
    target = Path(path) if path is not None else Path(runs[0]) / REPORT
    body = sections_of(trained[0], predictions[0], data)
    if len(trained) > 1:
        body = [("Runs compared", comparison(trained, [p.evaluation() for p in predictions])), *body]
    with atomic_write(target, "w") as file:
        file.write(document(f"{trained[0].name}: report", body))
    return target


def predicted(classifier: Classifier, data: Dataset) -> Predictions:
    """What a classifier makes of the test images. Raises `nn.fashion.DataError` if they are none that it knows."""
    classifier.check(data)
    probabilities = classifier.predict_proba(data.test_images).astype(np.float64)
    return Predictions(data.test_images, data.test_labels, probabilities)


# ------------------------------------------------------------------------------------------------ the page


def document(title: str, body: Iterable[tuple[str, str]]) -> str:
    """The whole document: sections with headings, and a list of them to begin with."""
    named = [(heading, f"section-{i}", content) for i, (heading, content) in enumerate(body) if content]
    links = "".join(f'<li><a href="#{key}">{html.escape(heading)}</a></li>' for heading, key, _ in named)
    content = "".join(
        f'<section id="{key}"><h2>{html.escape(heading)}</h2>{inner}</section>' for heading, key, inner in named
    )
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head><body>"
        f"<header><h1>{html.escape(title)}</h1><nav><ol>{links}</ol></nav></header><main>{content}</main></body></html>\n"
    )


def sections_of(run: Trained, predictions: Predictions, data: Dataset) -> list[tuple[str, str]]:
    """(heading, HTML) of all that is said of one run."""
    classes, evaluation = run.classifier.classes, predictions.evaluation()
    return [
        ("Result", cards(run, evaluation) + facts(run, data)),
        ("Learning curves", drawn(lambda f: draw_history(f, run.history), (12, 3.6), "Loss, accuracy and learning rate")
         if run.history else ""),
        ("Classes", class_table(evaluation, classes) + drawn(
            lambda f: report.draw_confusion(f.subplots(), evaluation, classes), (7.5, 6.5), "Confusion matrix")),
        ("What goes wrong, and why", paragraphs(written_analysis(predictions, classes))),
        ("The most confident mistakes", pictures_of(predictions, predictions.most_confident_mistakes(8), classes)),
        ("The least confident hits", pictures_of(predictions, predictions.least_confident_hits(8), classes)),
        ("The first test images", drawn(
            lambda f: draw_grid(f, predictions, classes), (12, 1.4 * grid_rows(predictions)), "Predictions")),
        ("Calibration", drawn(lambda f: draw_calibration(f, predictions), (6, 4.5), "Reliability diagram")),
        ("What the first layer learned", first_layer(run.classifier)),
        (f"A map of {min(MAPPED, len(data.test_labels)):,} test images", hidden_map(run.classifier, predictions)),
        ("The model", f"<pre>{html.escape(str(run.classifier.model))}</pre>"),
    ]


def cards(run: Trained, evaluation: Evaluation) -> str:
    """The few numbers that come first."""
    shown = {
        "test accuracy": f"{evaluation.accuracy:.2%}",
        "test loss": f"{evaluation.loss:.4f}",
        "parameters": f"{run.classifier.model.num_parameters():,}",
        "epochs": str(len(run.history)) if run.history else "",
        "model of epoch": html.escape(as_words(run.classifier.training.get("epoch", ""))),
        "training": f"{run.history[-1]['seconds']:,.0f} s" if run.history else "",
    }
    given = {name: text for name, text in shown.items() if text}
    return '<div class="cards">' + "".join(f"<div><b>{text}</b>{name}</div>" for name, text in given.items()) + "</div>"


def facts(run: Trained, data: Dataset) -> str:
    """What was trained on what, as two columns."""
    versions = {"Python": platform.python_version(), "NumPy": np.__version__, "minigrad": __version__}
    rows: dict[str, Any] = {}
    left_out = {*TEXTS, "test"}
    for source in (run.config, run.result):
        rows |= {key: value for key, value in source.items() if key not in left_out and value not in (None, {}, [])}
    rows |= {"judged by": data.source, "versions at this report": versions}  # at the end: nothing replaces them
    cells = [(html.escape(key), html.escape(as_words(value))) for key, value in rows.items()]
    inner = "".join(f"<tr><th>{key}</th><td>{value}</td></tr>" for key, value in cells)
    intro = paragraphs([str(run.config.get("summary", "")), f"Judged by the test images of: {data.source}"])
    return f"{intro}<details><summary>Settings and versions</summary><table>{inner}</table></details>"


def as_words(value: Any) -> str:
    """A value of a JSON file, in words."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {as_words(x)}" for key, x in value.items())
    if isinstance(value, list):
        return ", ".join(map(as_words, value))
    return "–" if value is None else str(value)


def class_table(evaluation: Evaluation, classes: Sequence[str]) -> str:
    """Precision, recall, F1 and how many there are, of each class."""
    rows = [
        [html.escape(name), f"{p:.1%}", f"{r:.1%}", f"{f1:.1%}", f"{n:,}"]
        for name, p, r, f1, n in evaluation.of_classes(classes)
    ]
    return html_table(["class", "precision", "recall", "F1", "images"], rows)


def html_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML."""
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table class="numbers"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def paragraphs(sentences: Iterable[str]) -> str:
    """Each as a paragraph."""
    return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)


def comparison(runs: Sequence[Trained], evaluations: Sequence[Evaluation]) -> str:
    """Metrics side by side with differences from the first run, and the settings in which they differ."""
    classes = runs[0].classifier.classes
    rows = [["test accuracy", *against_first([e.accuracy for e in evaluations])],
            ["test loss", *against_first([e.loss for e in evaluations], "{:.4f}", "{:+.4f}")]]
    if all(run.classifier.classes == classes for run in runs):
        recalls = zip(classes, *(e.recall for e in evaluations), strict=True)
        rows += [[f"recall of {html.escape(name)}", *against_first(found)] for name, *found in recalls]
    rows.append(["parameters", *(f"{run.classifier.model.num_parameters():,}" for run in runs)])
    rows.append(["training", *(f"{r.history[-1]['seconds']:,.0f} s" if r.history else "?" for r in runs)])
    keys = dict.fromkeys(key for run in runs for key in run.config if key not in TEXTS)
    differing = [key for key in keys if len({as_words(run.config.get(key)) for run in runs}) > 1]
    settings = [[key, *(as_words(run.config.get(key, "–")) for run in runs)] for key in differing]
    names = [html.escape(run.name) for run in runs]
    escaped = [[html.escape(cell) for cell in row] for row in settings]
    return html_table(["", *names], rows) + "<h3>Where settings differ</h3>" + html_table(["", *names], escaped)


def against_first(values: Iterable[float], shown: str = "{:.2%}", difference: str = "{:+.2f}") -> list[str]:
    """Numbers as text, all but the first one with how far they are from it; of shares in points of a hundred."""
    first, *others = values
    scale = 100 if "%" in shown else 1
    return [shown.format(first), *(f"{shown.format(x)} ({difference.format(scale * (x - first))})" for x in others)]


# ------------------------------------------------------------------------------------------------ pictures


def drawn(draw: Callable[[Figure], None], size: tuple[float, float], title: str) -> str:
    """What `draw` draws into a figure of this size in inches, as an image inside of the page."""
    file = io.BytesIO()
    with report.empty_figure(*size) as figure:
        draw(figure)
        figure.savefig(file, format="png", dpi=110)
    encoded = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{html.escape(title)}" src="data:image/png;base64,{encoded}">'


def draw_history(figure: Figure, history: Sequence[Mapping[str, float]]) -> None:
    """Losses, accuracies and the learning rate, over the epochs."""
    epochs = [row["epoch"] for row in history]
    panels: dict[str, dict[str, str]] = {
        "loss": {"train_loss": "training", "valid_loss": "validation"},
        "accuracy in %": {"train_accuracy": "training", "valid_accuracy": "validation"},
        "learning rate": {"lr": ""},
    }
    kept = {label: lines for label, lines in panels.items() if any(key in history[0] for key in lines)}
    for axes, (label, lines) in zip(np.atleast_1d(figure.subplots(1, len(kept))), kept.items(), strict=True):
        scale = 100 if "%" in label else 1
        for key, name in lines.items():
            if key in history[0]:
                axes.plot(epochs, [scale * row.get(key, np.nan) for row in history], marker=".", label=name)
        axes.set(xlabel="epoch", ylabel=label)
        if any(lines.values()):
            axes.legend()


def pictures_of(predictions: Predictions, chosen: Sequence[int] | Any, classes: Sequence[str]) -> str:
    """Images with bars of their probabilities."""
    if not len(chosen):
        return "<p>There are none.</p>"

    def draw(figure: Figure) -> None:
        rows = -(-len(chosen) // 4)
        panels = figure.subplots(rows, 8, squeeze=False, width_ratios=(2, 3) * 4)
        for axes in panels.flat:
            axes.set_axis_off()
        for index, (image, bars) in zip(chosen, panels.reshape(-1, 2), strict=False):
            draw_image(image, predictions, index, classes)
            draw_bars(bars, predictions.probabilities[index], int(predictions.labels[index]), classes)

    return drawn(draw, (12, 2.1 * -(-len(chosen) // 4)), "Images with the probabilities of their classes")


def draw_image(axes: Axes, predictions: Predictions, index: int, classes: Sequence[str]) -> None:
    """An image, with what it was taken for and how surely, and what it is if that is wrong."""
    axes.imshow(predictions.images[index], cmap=shades(classes), vmin=0, vmax=255)
    axes.set_axis_off()
    right = bool(predictions.is_right[index])
    said = f"{shortened(classes[predictions.predicted[index]])}\n{predictions.confidence[index]:.0%}"
    truth = "" if right else f", is {shortened(classes[predictions.labels[index]])}"
    axes.set_title(said + truth, fontsize=7, color=RIGHT if right else WRONG)


def draw_bars(axes: Axes, probabilities: Any, label: int, classes: Sequence[str]) -> None:
    """Ten bars at most, the most probable class on top; the true class in another colour."""
    order = np.argsort(-probabilities, kind="stable")[:10][::-1]
    colours = [RIGHT if i == label else "#8aa0b8" for i in order]
    axes.set_axis_on()
    axes.barh([shortened(classes[i]) for i in order], probabilities[order], color=colours)
    axes.set(xlim=(0, 1), xticks=[])
    axes.tick_params(labelsize=6, length=0)
    axes.spines[:].set_visible(False)


def draw_grid(figure: Figure, predictions: Predictions, classes: Sequence[str]) -> None:
    """The first test images with their predictions."""
    for i, axes in enumerate(figure.subplots(grid_rows(predictions), 12).flat):
        axes.set_axis_off()
        if i < len(predictions.labels):
            draw_image(axes, predictions, i, classes)


def grid_rows(predictions: Predictions) -> int:
    """How many rows of twelve images there are: five at most."""
    return min(5, -(-len(predictions.labels) // 12))


def draw_calibration(figure: Figure, predictions: Predictions) -> None:
    """How often it is right when it says so with a certain probability, above how often it says so."""
    calibration = predictions.calibration()
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    used = calibration.counts > 0
    edges = np.linspace(0, 1, len(used) + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    upper.plot([0, 1], [0, 1], "--", color="gray", label="perfect")
    upper.bar(middles[used], calibration.found[used], 0.9 / len(used), label=f"error {calibration.error:.1%}")
    upper.plot(calibration.said[used], calibration.found[used], "C3.", label="mean probability")
    upper.set(ylabel="share that is right", ylim=(0, 1))
    upper.legend(loc="upper left")
    lower.bar(middles, calibration.counts, 0.9 / len(used), color="#8aa0b8")
    lower.set(xlabel="probability of the predicted class", ylabel="images", xlim=(0, 1))


def first_layer(classifier: Classifier) -> str:
    """The weights of the first layer that has any, as pictures; empty if they are none of images."""
    weight = next((p.numpy() for p in classifier.model.parameters() if p.ndim in (2, 4)), None)
    if weight is None:
        return ""
    height, width = classifier.size
    if weight.ndim == 2 and height * width != weight.shape[1]:
        return ""
    filters = weight.reshape(-1, height, width) if weight.ndim == 2 else weight.mean(1)
    strongest = np.argsort(-np.abs(filters).sum((1, 2)), kind="stable")[:32]

    def draw(figure: Figure) -> None:
        panels = list(figure.subplots(-(-len(strongest) // 16), 16, squeeze=False).flat)
        for axes in panels:
            axes.set_axis_off()
        for axes, index in zip(panels, strongest, strict=False):
            largest = np.abs(filters[index]).max()
            axes.imshow(filters[index], cmap="RdBu_r", vmin=-largest, vmax=largest)

    return (
        "<p>Red pixels speak for a feature, blue ones against it; the strongest features come first.</p>"
        + drawn(draw, (12, 0.8 * -(-len(strongest) // 16)), "Weights of the first layer")
    )


def hidden_map(classifier: Classifier, predictions: Predictions) -> str:
    """The first images by what the last hidden layer makes of them, in two dimensions by t-SNE."""
    count = min(MAPPED, len(predictions.labels))
    hidden = last_hidden(classifier, predictions.images[:count])
    if hidden is None or count < 100:
        return ""
    places, labels = tsne(hidden, steps=300), predictions.labels[:count]
    right = predictions.is_right[:count]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        colours = required("matplotlib", NEEDED_FOR).colormaps["tab10" if len(classifier.classes) <= 10 else "tab20"]
        x, y = places.T
        each = [labels == i for i in range(len(classifier.classes))]
        points = [axes.scatter(x[of], y[of], s=12, color=colours(i % 20)) for i, of in enumerate(each)]
        points.append(axes.scatter(x[~right], y[~right], s=45, facecolors="none", edgecolors="black"))
        axes.set_axis_off()
        if len(classifier.classes) <= 20:  # as there are colours
            names = [*map(shortened, classifier.classes), "mistake"]
            axes.legend(points, names, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)

    return (
        "<p>Each point is an image, its colour the true class; what looks alike to the last hidden layer is near each "
        "other (t-SNE, van der Maaten and Hinton, 2008).</p>" + drawn(draw, (9, 6.5), "Map of test images")
    )


def last_hidden(classifier: Classifier, images: Any) -> Any:
    """(n, features) what goes into the last layer; None if the model is no sequence that ends in a linear layer."""
    model = classifier.model
    if isinstance(model, nn.MirrorAverage):
        model = model.module
    if not isinstance(model, nn.Sequential) or not isinstance(model[-1], nn.Linear):
        return None
    body = model[:-1]
    with model.in_mode(training=False), no_grad():
        batches = [as_tensor(body(batch[0])).numpy() for batch in classifier.loader(images)]
    hidden = np.concatenate(batches)
    return hidden.reshape(len(hidden), -1)
