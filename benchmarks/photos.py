"""How well photos are recognised, made of test images: `python -m benchmarks.photos RUN` prints a table.

Nobody's real photos can be shipped, so the images of the data set are enlarged and put onto larger canvases, as a
camera might see them. With `--write DIR` some of them are written as files.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.usage import refusing
from nn.console import positive
from nn.fashion import CLASSES, load
from nn.fashion.classifier import Classifier
from nn.fashion.photo import read_photo

Pixels = npt.NDArray[np.uint8]
REMAINS = 12  # what is not brighter was background once: dust, and traces of compression
ORIENTATION = 0x0112  # the tag of EXIF
# What lies behind the garment: the grey of the paper's photos, or something else.
BACKGROUNDS = ("paper", "white", "black", "grey", "transparent", "gradient with noise")
DISTORTIONS = ("none", "JPEG", "mirrored", "turned by EXIF", "noise")


def photograph(image: Pixels, rng: np.random.Generator, background: str = "paper", distortion: str = "none") -> bytes:
    """A file, PNG or JPEG, with an image of the data set (28, 28) as if somebody had photographed the garment.

    It is enlarged 8 to 20 times and lies anywhere on a larger canvas; dark garments on light backgrounds were bright
    in the data, so it is negated there.
    """
    scale = int(rng.integers(8, 21))
    side = 28 * scale
    height, width = (side + int(extra) for extra in rng.integers(side // 8, side, 2))
    top, left = int(rng.integers(4, height - side - 3)), int(rng.integers(4, width - side - 3))
    garment = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC), np.float64)
    shape = Image.fromarray(np.uint8(255 * (image > REMAINS))).resize((side, side), Image.Resampling.BILINEAR)
    cover = np.zeros((height, width, 1))
    cover[top : top + side, left : left + side, 0] = np.asarray(shape) / 255
    colours = np.zeros((height, width, 3))
    colours[top : top + side, left : left + side] = (garment if background == "black" else 255 - garment)[..., None]
    behind = canvas(background, height, width, rng)
    if background == "transparent":
        return encoded(Image.fromarray(np.uint8(np.concatenate([colours, 255 * cover], 2))), distortion)
    mixed = behind * (1 - cover) + colours * cover
    if distortion == "noise":
        mixed = mixed + rng.normal(0, 6, mixed.shape)
    return encoded(Image.fromarray(np.uint8(np.clip(mixed, 0, 255))), distortion)


def canvas(background: str, height: int, width: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """(height, width, 3) from 0 to 255, nothing but background."""
    plain = {"paper": 253.0, "white": 255.0, "black": 0.0, "grey": 160.0}
    if background != "gradient with noise":
        return np.full((height, width, 3), plain.get(background, 255.0))
    across = np.linspace(190, 250, width)[None, :, None] + np.linspace(-20, 5, height)[:, None, None]
    return np.broadcast_to(across, (height, width, 3)) + rng.normal(0, 3, (height, width, 3))


def encoded(picture: Image.Image, distortion: str) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    if distortion == "mirrored":
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if distortion == "turned by EXIF":
        exif = picture.getexif()
        exif[ORIENTATION] = 6  # to be shown turned clockwise: it lies the other way
        picture.transpose(Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif)
    elif distortion == "JPEG":
        white = Image.new("RGBA", picture.size, "white")
        Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB").save(file, "JPEG", quality=80)
    else:
        picture.save(file, "PNG")
    return file.getvalue()


def accuracy(classifier: Classifier, images: Pixels, labels: npt.NDArray[np.int64], *looks: str) -> float:
    """The share of photos of these images that are recognised; `looks` are background and distortion."""
    rng = np.random.default_rng(0)
    right = 0
    for image, label in zip(images, labels, strict=True):
        photo = read_photo(Image.open(io.BytesIO(photograph(image, rng, *looks))))
        right += classifier.probabilities_of(photo).argmax() == label
    return right / len(labels)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or write example photos."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a run's folder, or a model file")
    parser.add_argument("--count", type=positive(int), default=1000, help="how many test images (default: 1000)")
    parser.add_argument("--training", action="store_true", help="use the last training images, to choose settings")
    parser.add_argument("--write", type=Path, metavar="DIR", help="write a photo of each class there instead")
    given = parser.parse_args(arguments)
    with refusing(parser):
        data, classifier = load(), Classifier.load(given.model)
        classifier.check(data)
    images, labels = data.test_images[: given.count], data.test_labels[: given.count]
    if given.training:
        images, labels = data.train_images[-given.count :], data.train_labels[-given.count :]
    if given.write:
        if np.bincount(labels, minlength=len(CLASSES)).min() < 3:
            parser.error(f"--write takes three images of each class, which {len(images)} have not: raise --count")
        write_examples(given.write, images, labels)
        return
    plain = float((classifier.predict_proba(images).argmax(1) == labels).mean())
    print(f"{'background':<22}{'distortion':<18}{'accuracy':>9}{'of the image itself':>21}")
    rows = [(background, "none") for background in BACKGROUNDS] + [("paper", look) for look in DISTORTIONS[1:]]
    for row in rows:
        found = accuracy(classifier, images, labels, *row)
        print(f"{row[0]:<22}{row[1]:<18}{found:>9.1%}{plain:>21.1%}", flush=True)


def write_examples(folder: Path, images: Pixels, labels: npt.NDArray[np.int64]) -> None:
    """A photo of the first image of each class, and two mirrored shoes, as JPEG files."""
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    backgrounds = ("paper", "gradient with noise", "white", "grey", "black")
    for label, name in enumerate(CLASSES):
        image = images[np.flatnonzero(labels == label)[0]]
        file = folder / f"{name.lower().replace('/', '-').replace(' ', '-')}.jpg"
        file.write_bytes(as_jpeg(photograph(image, rng, backgrounds[label % len(backgrounds)])))
    for label in (7, 9):
        image = images[np.flatnonzero(labels == label)[2]]
        name = CLASSES[label].lower().replace(" ", "-")
        (folder / f"mirrored-{name}.jpg").write_bytes(as_jpeg(photograph(image, rng, "paper", "mirrored")))


def as_jpeg(file: bytes) -> bytes:
    """The same picture as a JPEG file."""
    target = io.BytesIO()
    Image.open(io.BytesIO(file)).convert("RGB").save(target, "JPEG", quality=85)
    return target.getvalue()


if __name__ == "__main__":
    main()
