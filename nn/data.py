"""Mini-batches from arrays, without a Python loop over samples anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import inf
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from minigrad.arrays import Array, check_no_more_than_elements
from minigrad.random import source
from nn.functional.settings import real, whole

Arrays: TypeAlias = tuple[Array, ...]
Order: TypeAlias = npt.NDArray[np.intp] | range


class DataLoader:
    """Iterates over arrays in mini-batches; each batch is gathered with one NumPy call an array.

    Args:
        arrays: arrays with the same number of samples along their first axis, such as (images, labels).
        batch_size: samples in a batch.
        shuffle: whether each epoch goes through the samples in a new random order.
        drop_last: whether to leave out a last batch that is smaller.
        generator: what the order is drawn from; the library's default one if None.
        transform: called with the arrays of each batch, returns those that are yielded; the place for normalisation
            and augmentation.

    Without shuffling and transform the batches are views, not copies.

    Raises:
        TypeError: if there is one array instead of a tuple of them, or the transform gives one, or one is masked.
        ValueError: if the arrays have no samples to count, or differ in length, or the batch size is not positive.

    >>> loader = DataLoader((np.arange(5), np.arange(5) ** 2), batch_size=2)
    >>> len(loader), [squares.tolist() for _, squares in loader]
    (3, [[0, 1], [4, 9], [16]])
    """

    def __init__(
        self, arrays: Sequence[Array], batch_size: int = 1, shuffle: bool = False, drop_last: bool = False,
        generator: np.random.Generator | None = None, transform: Callable[..., Arrays] | None = None,
    ) -> None:
        if hasattr(arrays, "shape"):
            raise TypeError(f"DataLoader expects a tuple of arrays, got one array of shape {arrays.shape}")
        given = tuple(arrays)
        check_no_more_than_elements(given, "a DataLoader")
        self.arrays = tuple(map(np.asarray, given))
        if not all(array.ndim for array in self.arrays):
            raise ValueError(f"DataLoader expects arrays of samples, got {[array.shape for array in self.arrays]}")
        lengths = sorted({len(array) for array in self.arrays})
        if len(lengths) != 1:
            raise ValueError(f"DataLoader expects arrays with the same number of samples, got {lengths}")
        self.batch_size = whole("DataLoader", "batch_size", batch_size, 1)
        self.shuffle, self.drop_last = shuffle, drop_last
        self.generator, self.transform = generator, transform
        self.num_samples = lengths[0]

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return self.num_samples // self.batch_size if self.drop_last else -(-self.num_samples // self.batch_size)

    @property
    def smallest_batch(self) -> int:
        """The number of samples in the last batch."""
        left = self.num_samples % self.batch_size
        return left if left and not self.drop_last else self.batch_size

    def __iter__(self) -> Iterator[Arrays]:
        order = self.order()
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield self.batch(order[start : start + self.batch_size])

    def order(self) -> Order:
        """The numbers of all samples, as an epoch goes through them; a new random order each time with `shuffle`."""
        samples = self.num_samples
        return source(self.generator).permutation(samples) if self.shuffle else range(samples)

    def batch(self, chosen: Order) -> Arrays:
        """The samples of these numbers, transformed."""
        if isinstance(chosen, range):
            batch = tuple(array[chosen.start : chosen.stop] for array in self.arrays)
        else:
            batch = tuple(array.take(chosen, axis=0) for array in self.arrays)
        return transformed(self.transform, batch)


def transformed(transform: Callable[..., Arrays] | None, batch: Arrays) -> Arrays:
    """What a transform, if there is one, makes of a batch."""
    arrays = batch if transform is None else transform(*batch)
    if not isinstance(arrays, tuple | list):
        raise TypeError(f"a transform returns a tuple of the arrays of a batch, got a {type(arrays).__name__}")
    return arrays


class Normalize:
    """Turns batches of images and labels into float32: (pixel - mean) / std, with pixels scaled to [0, 1].

    Integers are bytes, from 0 to 255, and are divided by 255; floating (and boolean) images are in [0, 1] already. It
    works on each batch of bytes, which is faster than gathering from images that were converted beforehand: those take
    four times the memory to read.

    Raises ValueError unless mean and std are finite and std > 0, and if pixels are outside of these ranges or not real
    numbers.

    >>> Normalize(0.5, 0.5)(np.array([[0, 255]], np.uint8)), Normalize(0.5, 0.5)(np.array([[0.0, 1.0]]))
    ((array([[-1.,  1.]], dtype=float32),), (array([[-1.,  1.]], dtype=float32),))
    """

    def __init__(self, mean: float = 0.0, std: float = 1.0) -> None:
        self.mean = real("Normalize", "mean", mean, above=-inf, below=inf)
        self.std = real("Normalize", "std", std, above=0, below=inf)

    def __call__(self, images: Array, *others: Array) -> Arrays:
        white = 255 if images.dtype.kind in "iu" else 1
        if images.dtype != np.uint8:
            check_pixels(images, white)
        scaled = images.astype(np.float32)  # first: to multiply bytes takes longer
        scaled *= np.float32(1 / (white * self.std))
        scaled += np.float32(-self.mean / self.std)
        return (scaled, *others)


def check_pixels(images: Array, white: int) -> None:
    """Raise ValueError unless all pixels are from 0 to `white`."""
    if images.dtype.kind not in "iufb":
        raise ValueError(f"Normalize expects images of numbers, got {images.dtype}")
    lowest, highest = (images.min(), images.max()) if images.size else (0, 0)
    if not (lowest >= 0 and highest <= white):
        expected = "bytes from 0 to 255, or floating pixels from 0 to 1"
        raise ValueError(f"Normalize expects {expected}, got {images.dtype} from {lowest!s} to {highest!s}")


def divided(samples: int, parts: int) -> list[slice]:
    """So many samples in at most so many parts of nearly the same size, each with two samples or more, or all of them.

    Batch norm cannot be trained on one sample.

    >>> [(part.start, part.stop) for part in divided(7, 3)], len(divided(3, 2))
    ([(0, 2), (2, 4), (4, 7)], 1)
    """
    count = max(1, min(parts, samples // 2))
    return [slice(*cut) for cut in pairwise(samples * i // count for i in range(count + 1))]


def stratified_split(
    labels: Array, size: int, seed: int = 0
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices that split samples in two, each class in the same proportion in both: (the rest, `size` of them).

    Where the classes do not divide evenly, the remaining ones go to the classes with the largest remainders. Both
    are sorted, and depend on nothing but the arguments.

    Raises:
        ValueError: unless 0 <= size < len(labels), and there is one label a sample.

    >>> rest, held_out = stratified_split(np.array([0, 0, 0, 0, 1, 1]), 3)
    >>> np.array([0, 0, 0, 0, 1, 1])[held_out]
    array([0, 0, 1])
    """
    if np.ndim(labels) != 1:
        raise ValueError(f"stratified_split expects one label for each sample, got shape {np.shape(labels)}")
    size = whole("stratified_split", "size", size)
    if not 0 <= size < len(labels):
        raise ValueError(f"cannot hold out {size} of {len(labels)} samples: at least one must remain for training")
    rng = np.random.default_rng(seed)
    _, members, counts = np.unique(labels, return_inverse=True, return_counts=True)
    share = counts * size / len(labels)
    quota = share.astype(int)
    quota[np.argsort(quota - share, kind="stable")[: size - quota.sum()]] += 1
    held_out = [rng.permutation(np.flatnonzero(members == c))[:n] for c, n in enumerate(quota)]
    chosen = np.zeros(len(labels), bool)
    chosen[np.concatenate(held_out)] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
