"""A trained model as one page for the browser, which needs nothing from outside: see `nn/fashion/web`."""

from __future__ import annotations

import base64
import json
import os
import re
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad import Tensor
from minigrad.show.stepper import digest
from nn.data import Normalize
from nn.fashion import photo
from nn.fashion.classifier import Classifier
from nn.fashion.dataset import Dataset
from nn.fashion.network import HalfNumbers, as_layers
from nn.files import atomic_write
from nn.functional import log_softmax

SCRIPTS = ("network.js", "photo.js", "page.js")
HITS, MISTAKES = 40, 20  # in the gallery,
MOST_PIXELS = 2**21  # or of large images fewer, with so many pixels in all
STEPS = ("WORKING", "CELLS", "FAINTEST", "STRONGEST", "SHARPENING")  # numbers of `photo` that the script needs
Bytes = npt.NDArray[np.uint8]


def write_page(classifier: Classifier, data: Dataset, path: str | os.PathLike[str]) -> None:
    """Write a page that recognises test images, photos and sketches, in whatever browser opens it.

    Args:
        classifier: its network goes into the page, in half precision.
        data: the gallery and the accuracy are of its test images.
        path: of the one file, which may lie anywhere.

    Raises:
        DataError: if the data are of other classes, or images of another size.
        ValueError: if the network cannot be told in a page, see `nn.fashion.network.as_layers`.
        nn.FileError: if the file cannot be written.
    """
    with atomic_write(path) as file:
        file.write(page(classifier, data))


def page(classifier: Classifier, data: Dataset) -> str:
    """The page as text. Its policy forbids it any connection."""
    classifier.check(data)
    folder = files("nn.fashion") / "web"
    style, script = ("\n".join((folder / name).read_text(encoding="utf-8") for name in names)
                     for names in (["page.css"], SCRIPTS))
    policy = f"default-src 'none'; style-src '{digest(style)}'; script-src '{digest(script)}'"
    text = json.dumps(contents(classifier, data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    template = (folder / "page.html").read_text(encoding="utf-8")
    parts = {
        "POLICY": policy + "; base-uri 'none'; form-action 'none'", "STYLE": style, "SCRIPT": script,
        "CLASSES": escape(", ".join(classifier.classes)), "DATA": text.replace("<", "\\u003c"), **wording(classifier),
    }
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda found: parts[found[1]], template)


def wording(classifier: Classifier) -> dict[str, str]:
    """What the page says of garments, or of anything else."""
    rows, columns = map(str, classifier.size)
    if classifier.knows_garments:
        words = {
            "TITLE": "Garments", "THINGS": "garments", "PHOTO": "One garment on a plain background.",
            "SKETCH": "The network learned from photos, not from sketches: fill the shape rather than draw its outline,"
                      " and expect less.",
        }
    else:
        words = {
            "TITLE": "Pictures", "THINGS": "pictures",
            "PHOTO": f"The network sees all of it, grey, and as {rows}\u00a0×\u00a0{columns}\u00a0pixels.",
            "SKETCH": "The network sees all of the pad: draw as large as in the test images, and as thick.",
        }
    return words | {"ROWS": rows, "COLUMNS": columns}


def contents(classifier: Classifier, data: Dataset) -> dict[str, Any]:
    """What the scripts work with, for JSON."""
    numbers = HalfNumbers()
    layers = as_layers(classifier.model, np.zeros((1, *classifier.size), np.float32), numbers)
    probabilities = classifier.predict_proba(data.test_images)
    predicted = probabilities.argmax(1)
    hits, mistakes = chosen(probabilities, data.test_labels, data.test_images[0].size)
    shown = [*hits, *mistakes]
    gallery = {
        "images": encoded(data.test_images[shown]), "labels": data.test_labels[shown].tolist(),
        "predicted": predicted[shown].tolist(), "numbers": list(map(int, shown)), "hits": len(hits),
        "gradients": encoded(input_gradients(classifier, data.test_images[shown]).view(np.uint8)),
    }
    return {
        "classes": classifier.classes, "garments": classifier.knows_garments,
        "mean": classifier.mean, "std": classifier.std, "layers": layers,
        "weights": base64.b64encode(bytes(numbers)).decode(), "gallery": gallery,
        "steps": {"SIZE": classifier.size, **{name: getattr(photo, name) for name in STEPS}},
        "pad": {"paper": 255, "ink": 68} if classifier.knows_garments else pad_like(data.test_images),
        "facts": {
            "parameters": classifier.model.num_parameters(),
            "accuracy": float((predicted == data.test_labels).mean()), "images": len(data.test_labels),
        },
    }


def pad_like(images: Bytes) -> dict[str, int]:
    """How light are paper and ink, if drawings are to be like these images: light on dark, or dark on light."""
    inner = images[:, 1:-1, 1:-1]
    edges = np.bincount(images.ravel(), minlength=256) - np.bincount(inner.ravel(), minlength=256)
    paper = int(np.searchsorted(edges.cumsum(), edges.sum() / 2))  # their median
    return {"paper": paper, "ink": 255 if paper < 128 else 0}


def chosen(
    probabilities: npt.NDArray[Any], labels: npt.NDArray[np.int64], pixels: int
) -> tuple[list[int], list[int]]:
    """Which test images are shown: as many of each class that were recognised, and the surest mistakes."""
    room = min(1, MOST_PIXELS / ((HITS + MISTAKES) * pixels))
    most_hits, most_mistakes = (max(1, int(room * most)) for most in (HITS, MISTAKES))
    right, classes = probabilities.argmax(1) == labels, probabilities.shape[1]
    each = max(1, most_hits // classes)
    hits = [i for label in range(classes) for i in np.flatnonzero(right & (labels == label))[:each]]
    wrong = np.flatnonzero(~right)
    return hits[:most_hits], [*wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][:most_mistakes]]


def input_gradients(classifier: Classifier, images: Bytes) -> npt.NDArray[np.int8]:
    """(n, height, width) how much surer of its answer a network gets as each pixel gets brighter: 127 for the most.

    It is the gradient of the logarithm of the highest probability. Source: Simonyan, Vedaldi and Zisserman, Deep Inside
    Convolutional Networks, 2014, section 3.
    """
    (pixels,) = Normalize(classifier.mean, classifier.std)(images)
    x = Tensor(pixels, requires_grad=True)
    with classifier.model.in_mode(training=False):
        outputs = log_softmax(classifier.model(x), 1)
    outputs.max(1).sum().backward()
    classifier.model.zero_grad()
    assert x.grad is not None
    gradients = x.grad.numpy()
    largest = np.abs(gradients).max((1, 2), keepdims=True, initial=1e-30)
    signed: npt.NDArray[np.int8] = np.round(127 * gradients / largest).astype(np.int8)
    return signed


def encoded(array: Bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
