"""IDX, the file format of MNIST: a magic number, the sizes, then the bytes of one array.

    0, 0, type of the elements, number of dimensions n                        4 bytes
    n sizes, big-endian                                                       4 bytes each
    the elements, last dimension fastest, big-endian

Images are unsigned bytes; labels may be wider, where there are more than 256 classes.

Files come from mirrors and from strangers, so a reader believes nothing: it takes no more memory than the bytes it
has really seen, and it ends with an array or with a `DataError`.
"""

import gzip
import hashlib
import math
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from minigrad.console import without_control
from nn.files import bounded, check_is_file

UNSIGNED_BYTE = 8
LABEL_TYPES = {UNSIGNED_BYTE: ">u1", 0x0B: ">i2", 0x0C: ">i4"}
LARGEST_SIDE = 512  # pixels of an image; weights that look at all of a larger one hardly fit into memory
ANY_SIZE = (-1, -1)
LARGEST = 2**30  # bytes; no data set of this kind comes near, and a gzip file of 1 MB can unpack to that
UNSUSPICIOUS = 2**26  # bytes; what unpacks to more has to be a packed file of some size itself
MAX_INFLATION = 50  # images of a data set come packed to a half or a fifth
CHUNK = 2**20  # bytes


class DataError(ValueError):
    """A data file is missing, broken, or not what its name promises; the message is one sentence that names it."""

    def __init__(self, sentence: str) -> None:
        super().__init__(bounded(without_control(sentence)))  # names of files may hold anything


@dataclass(frozen=True)
class IdxFile:
    """What is known beforehand about one file of a data set."""

    name: str  # without .gz
    item_shape: tuple[int, ...]  # of one item: (28, 28) for an image, () for a label; -1 stands for any size
    md5: str  # of the original file, decompressed

    def find(self, folder: Path) -> Path | None:
        """The path of the file in a folder, packed or raw; None when the folder has neither."""
        for path in (folder / f"{self.name}.gz", folder / self.name):
            if os.path.isfile(path):  # unlike Path.is_file, False where we may not look
                return path
        return None


@dataclass(frozen=True, eq=False)
class IdxContent:
    """What a file turned out to hold."""

    array: npt.NDArray[Any]  # (n, *item_shape), read-only; bytes, or for labels integers of up to 32 bits
    md5: str  # of the file, decompressed


def read(path: Path, item_shape: tuple[int, ...]) -> IdxContent:
    """Read and check one IDX file, gzip-packed or raw; its first bytes tell which, not its name.

    Raises `DataError` when the file cannot be read, or is not exactly one array of shape (n, *item_shape), n > 0.
    Where `item_shape` has -1, any size of 1 to `LARGEST_SIDE` pixels will do.

    >>> read(Path(__file__).parent / "sample" / "train-labels-idx1-ubyte.gz", item_shape=()).array.shape
    (6000,)
    """
    try:
        check_is_file(path)
        with open(path, "rb") as stream:
            return parse(stream, str(path), item_shape)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise DataError(f"{path} takes more memory than there is") from error


def parse(stream: BinaryIO, name: str, item_shape: tuple[int, ...]) -> IdxContent:
    """`read`, from an open, seekable stream; `name` stands for it in errors."""
    packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    if not packed:
        return _parse_raw(stream, name, item_shape, LARGEST)
    most = min(LARGEST, max(UNSUSPICIOUS, MAX_INFLATION * stream.seek(0, os.SEEK_END)))
    stream.seek(0)
    try:
        with gzip.GzipFile(fileobj=stream) as unpacked:
            return _parse_raw(cast(BinaryIO, unpacked), name, item_shape, most)
    except EOFError as error:
        raise DataError(f"{name} is truncated: its gzip data end too early") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{name} is a corrupt gzip file: {error}") from error


def pack(array: npt.NDArray[np.uint8]) -> bytes:
    """The raw IDX file that holds an array of unsigned bytes.

    >>> pack(np.array([3, 1, 4], np.uint8))
    b'\\x00\\x00\\x08\\x01\\x00\\x00\\x00\\x03\\x03\\x01\\x04'
    """
    return struct.pack(f">HBB{array.ndim}I", 0, UNSIGNED_BYTE, array.ndim, *array.shape) + array.tobytes()


def _parse_raw(stream: BinaryIO, name: str, item_shape: tuple[int, ...], most: int) -> IdxContent:
    header = stream.read(4 + 4 * (1 + len(item_shape)))
    dtype = np.dtype(_check_type(header, name, item_shape))
    count, *_ = shape = _check_shape(header, name, item_shape, most)
    size = math.prod(shape) * dtype.itemsize
    body = _read_at_most(stream, size + 1)
    if len(body) < size:
        raise DataError(f"{name} is truncated: {count:,} items take {size:,} bytes, but only {len(body):,} are there")
    if len(body) > size:
        raise DataError(f"{name} has trailing bytes after the {count:,} items that its header announces")
    digest = hashlib.md5(header, usedforsecurity=False)
    digest.update(body)
    array = np.frombuffer(body, dtype).reshape(shape)
    array.flags.writeable = False
    return IdxContent(array, digest.hexdigest())


def _check_type(header: bytes, name: str, item_shape: tuple[int, ...]) -> str:
    """What NumPy calls the type of the elements, once it and the number of dimensions are as expected."""
    dimensions = 1 + len(item_shape)
    if not header:
        raise DataError(f"{name} is empty")
    known = {UNSIGNED_BYTE: LABEL_TYPES[UNSIGNED_BYTE]} if item_shape else LABEL_TYPES
    if not any(bytes([0, 0, code]).startswith(header[:3]) for code in known):
        raise DataError(f"{name} is not an IDX file of unsigned bytes: it begins with {header[:4].hex(' ')},"
                        f" expected 00 00 08 {dimensions:02x}")
    if len(header) > 3 and header[3] != dimensions:
        raise DataError(f"{name} has {header[3]} dimensions, expected {dimensions}: are images and labels swapped?")
    if len(header) < 4 + 4 * dimensions:
        raise DataError(f"{name} is truncated: it ends within its header, after {len(header)} bytes")
    return known[header[2]]


def _check_shape(header: bytes, name: str, item_shape: tuple[int, ...], most: int) -> tuple[int, ...]:
    """(n, *sizes of an item), once they are as expected."""
    count, *found = struct.unpack_from(f">{1 + len(item_shape)}I", header, offset=4)
    for size, expected in zip(found, item_shape, strict=True):
        if expected not in (-1, size):
            raise DataError(f"{name} holds items of shape {tuple(found)}, expected {item_shape}")
        if not 1 <= size <= LARGEST_SIDE:
            raise DataError(f"{name} holds images of {' x '.join(map(str, found))} pixels,"
                            f" each side has 1 to {LARGEST_SIDE}")
    if count == 0:
        raise DataError(f"{name} holds no items")
    if count * math.prod(found) > most:
        raise DataError(f"{name} announces {count:,} items, more than the {most:,} bytes a data file may have")
    return (int(count), *found)


def _read_at_most(stream: BinaryIO, size: int) -> bytearray:
    """`stream.read(size)`, which would set aside all of a size that only a broken header claims."""
    body = bytearray()  # joining a list of pieces would hold everything twice
    while len(body) < size and (chunk := stream.read(min(size - len(body), CHUNK))):
        body += chunk
    return body
