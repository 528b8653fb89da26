"""The model card: what a model is, how it was made, how good it is and where it fails, as model hubs show it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nn.fashion.classifier import Classifier
from nn.fashion.dataset import Dataset
from nn.fashion.folder import CONFIG
from nn.fashion.settings import TEXTS
from nn.files import FileError, atomic_write, read_json
from nn.metrics import Evaluation

Settings = Mapping[str, Any]
USUAL = None, "none"  # settings that say nothing


def settings_of_run(path: str | os.PathLike[str]) -> Settings:
    """The settings that a run's folder tells, `path` or the one around it; none if there are none to be read."""
    folder = Path(path) if os.path.isdir(path) else Path(path).parent
    try:
        return read_json(folder / CONFIG)
    except FileError:
        return {}


def write_card(
    classifier: Classifier, data: Dataset, path: str | os.PathLike[str], settings: Settings | None = None
) -> None:
    """Write a model card in Markdown, with front matter for model hubs; what is not known is left out.

    Args:
        classifier: the model.
        data: its figures are of the test images.
        path: of the file.
        settings: of the training run, by name, as in its config.json; used if they are of this network.

    Raises:
        nn.FileError: if the file cannot be written.
    """
    evaluation = classifier.evaluate(data.test_images, data.test_labels)
    with atomic_write(path) as file:
        file.write(model_card(classifier, evaluation, settings or {}))


def model_card(classifier: Classifier, evaluation: Evaluation, settings: Settings) -> str:
    """The card as text, see `write_card`."""
    known = settings if settings.get("architecture") == classifier.metadata()["architecture"] else {}
    parts = [
        front_matter(classifier, evaluation),
        f"# A classifier of {'garments' if classifier.knows_garments else 'pictures'}",
        description(classifier),
        *(["## Training", training(known, classifier.training.get("epoch"))] if known else []),
        "## How good it is",
        figures(classifier, evaluation),
        "## Limits",
        limits(classifier, evaluation),
    ]
    return "\n\n".join(parts) + "\n"


def dataset_name(classifier: Classifier) -> str:
    """What the data are called, as far as the classes tell."""
    return "Fashion-MNIST" if classifier.knows_garments else "own data"


def front_matter(classifier: Classifier, evaluation: Evaluation) -> str:
    """YAML between dashes, in the hubs' own names; JSON strings are YAML too."""
    name = dataset_name(classifier)
    tags = ["image-classification", "numpy", *([name.lower()] if classifier.knows_garments else [])]
    head = ["---", "library_name: minigrad", "pipeline_tag: image-classification", "tags:"]
    return "\n".join([
        *head, *(f"- {tag}" for tag in tags), "metrics:", "- accuracy", "model-index:",
        f"- name: {json.dumps(classifier.architecture['name'])}", "  results:",
        "  - task:", "      type: image-classification",
        "    dataset:", f"      name: {name}", f"      type: {name.lower().replace(' ', '-')}", "      split: test",
        "    metrics:",
        "    - type: accuracy", f"      value: {evaluation.accuracy:.4f}",
        "    - type: loss", f"      value: {evaluation.loss:.4f}",
        "---",
    ])


def description(classifier: Classifier) -> str:
    """What goes in, what comes out, and what is between."""
    settings = ", ".join(f"{key} {json.dumps(x)}" for key, x in classifier.metadata()["architecture"].items()
                         if key != "name")
    named = f"`{classifier.architecture['name']}`" + (f" ({settings})" if settings else "")
    height, width = classifier.size
    images = f"{height} × {width} pixels" + (", bright garments on black," if classifier.knows_garments else "")
    return (
        f"Grey images of {images} are sorted into {len(classifier.classes):,} classes: "
        f"{', '.join(map(in_markdown, classifier.classes))}.\n\n"
        f"The network is {named} with {classifier.model.num_parameters():,} parameters, built and trained with "
        f"minigrad. Pixels are scaled to [0, 1], then {classifier.mean:g} is subtracted, and what remains is divided "
        f"by {classifier.std:g}."
    )


def training(settings: Settings, epoch: Any) -> str:
    """A table of what decided how training went, and of which epoch the model is."""
    left_out = {*TEXTS, "architecture", "mean", "std"}
    told = {key.replace("_", " "): x for key, x in settings.items() if key not in left_out and not isinstance(x, dict)}
    told["model of epoch"] = epoch
    rows = [f"| {in_markdown(key)} | {in_markdown(str(x))} |" for key, x in told.items() if x not in USUAL]
    title = f"By the recipe {in_markdown(str(settings['name']))}:\n\n" if "name" in settings else ""
    return title + "\n".join(["| setting | value |", "|---|---|", *rows])


def figures(classifier: Classifier, evaluation: Evaluation) -> str:
    """Accuracy, and a row of figures for each class."""
    rows = [
        f"| {in_markdown(name)} | {p:.3f} | {r:.3f} | {f:.3f} | {n:,} |"
        for name, p, r, f, n in evaluation.of_classes(classifier.classes)
    ]
    head = (f"Of {evaluation.counts.sum():,} test images of {dataset_name(classifier)} it recognises"
            f" {evaluation.accuracy:.2%}; the mean loss (cross-entropy) is {evaluation.loss:.4f}.\n")
    return "\n".join([head, "| class | precision | recall | F1 | images |", "|---|---:|---:|---:|---:|", *rows])


def limits(classifier: Classifier, evaluation: Evaluation) -> str:
    """What it cannot do."""
    names = [*map(in_markdown, classifier.classes)]
    confused = [f"{names[a]} and {names[b]} ({times:,})" for a, b, times in evaluation.most_confused()]
    height, width = classifier.size
    of_garments = [
        "- It expects one garment that fills the image, on a plain background, as `python -m nn.fashion predict` and"
        " `page` cut it out of a photo. Garments that are worn, several at once and drawings are none of that.",
        f"- Colour, texture finer than 1/{max(height, width)} of the garment, and size cannot be seen by it.",
    ]
    of_others = [
        "- It expects pictures like those that it learned from, as light or dark, and filled as much.",
        f"- Colour, and what is smaller than one of {height} × {width} pixels, cannot be seen by it.",
    ]
    return "\n".join([
        *([f"- Most often taken for one another, among these test images: {', '.join(confused)}."] if confused else []),
        "- It names one of its classes whatever it is shown, and its probabilities are no proof of anything.",
        *(of_garments if classifier.knows_garments else of_others),
    ])


def in_markdown(name: str) -> str:
    """A name from a file as one piece of text in a table of Markdown."""
    printable = "".join(letter if letter.isprintable() else " " for letter in name)
    return "".join("\\" + letter if letter in "\\|`*_<>[]&" else letter for letter in printable)
