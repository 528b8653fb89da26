"""Make the sample of Fashion-MNIST that ships with `nn.fashion`, from the original data.

    python benchmarks/make_sample.py [--data FOLDER] [--out FOLDER]

The sample has the first 600 training and the first 100 test images of each class, in the order of the original files,
so there is no random number to repeat. Unpacked, the files come out the same everywhere. Packed, they come out the same
byte for byte with the zlib they were made with (1.2.13); other deflate libraries may find other, equally valid bytes.
"""

import argparse
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that the script runs in a checkout nobody has installed

from nn.fashion import CLASSES, load
from nn.fashion.dataset import FILES, SAMPLE_FOLDER
from nn.fashion.idx import pack

TRAIN_PER_CLASS = 600
TEST_PER_CLASS = 100


def first_of_each_class(labels: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.intp]:
    """The positions of the first `count` items of every class, in ascending order."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in range(len(CLASSES))]))


def gzip_packed(data: bytes) -> bytes:
    """gzip, with a header that names neither a time nor an operating system, which `gzip.compress` cannot promise."""
    compressor = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS, memLevel=9)
    header = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x02\xff"  # deflate, no flags; time 0; best compression, no system
    body = compressor.compress(data) + compressor.flush()
    return header + body + struct.pack("<II", zlib.crc32(data), len(data) % 2**32)


def make_sample(data: Path | None, out: Path) -> None:
    """Write the four files, and the names of the classes, into the folder `out`; print their sizes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a sample of anything but the original is no sample
        dataset = load(data)
    if (len(dataset.train_labels), len(dataset.test_labels)) != (60_000, 10_000):
        sys.exit(f"the sample is made from the full data, but found {dataset.source}")
    train = first_of_each_class(dataset.train_labels, TRAIN_PER_CLASS)
    test = first_of_each_class(dataset.test_labels, TEST_PER_CLASS)
    arrays = {
        "train_images": dataset.train_images[train],
        "train_labels": dataset.train_labels[train].astype(np.uint8),
        "test_images": dataset.test_images[test],
        "test_labels": dataset.test_labels[test].astype(np.uint8),
    }
    out.mkdir(parents=True, exist_ok=True)
    for part, array in arrays.items():
        path = out / f"{FILES[part].name}.gz"
        path.write_bytes(gzip_packed(pack(array)))
        print(f"{path.stat().st_size:9,} bytes  {path}")
    (out / "classes.txt").write_text("\n".join([*CLASSES, ""]), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of the original files (default: wherever load() finds them)")
    parser.add_argument("--out", type=Path, default=SAMPLE_FOLDER, help="folder to write to (default: the package's)")
    options = parser.parse_args()
    make_sample(options.data, options.out)
