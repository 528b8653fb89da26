"""What a trace shows, as plain data: arrays in little, and the steps of a program forwards and backwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from minigrad.ops.limits import magnitude
from minigrad.recording import Place

MOST_ELEMENTS = 64  # of an array that is kept whole; of a larger one what `Shown` says, unless all is asked for
PICTURE = 28  # the largest side of the picture of an array


@dataclass(frozen=True)
class Shown:
    """An array as it is shown.

    Attributes:
        values: all elements in C order, or None if there are too many.
        smallest, largest, mean, std: of the finite elements; None if there are none.
        nans, infinities, zeros: how many elements are so.
        picture: means of blocks of the last two axes, of the first item of those before; None if it has less than two.
    """

    shape: tuple[int, ...]
    dtype: str
    values: tuple[Any, ...] | None
    smallest: float | None
    largest: float | None
    mean: float | None
    std: float | None
    nans: int
    infinities: int
    zeros: int
    picture: tuple[tuple[float, ...], ...] | None

    def single(self) -> float | None:
        """The value of an array with one element."""
        return float(self.values[0]) if self.values is not None and len(self.values) == 1 else None

    def __str__(self) -> str:
        """The value if it is one number, otherwise shape and range."""
        if self.values is not None and len(self.values) == 1 and not self.shape:
            return f"{self.values[0]:.6g}"
        bad = f", {self.nans} NaN" * bool(self.nans) + f", {self.infinities} inf" * bool(self.infinities)
        if self.smallest is None or self.largest is None:
            return f"{self.shape}{bad}"
        return f"{self.shape} in [{self.smallest:.3g}, {self.largest:.3g}]{bad}"


@np.errstate(all="ignore")  # what is not finite is shown
def shown(array: Any, whole: bool = False) -> Shown:
    """An array in little, with all elements if they are few or `whole` is asked for."""
    array = np.asarray(array)
    numbers = array.astype(np.float64) if array.dtype.kind != "f" else array
    finite = numbers[np.isfinite(numbers)].astype(np.float64, copy=False)
    kept = array.astype(np.float64) if array.dtype == np.longdouble else array  # Python has no longer floats
    keep = whole or array.size <= MOST_ELEMENTS
    least, most = (float(f(finite)) if finite.size else None for f in (np.min, np.max))
    unit = magnitude(np.max(np.abs(finite), initial=0))  # in which neither sums nor squares leave the range
    mean, std = (float(f(finite / unit) * unit) if finite.size else None for f in (np.mean, np.std))
    return Shown(
        array.shape, array.dtype.name, tuple(kept.ravel().tolist()) if keep else None, least, most, mean, std,
        int(np.isnan(numbers).sum()), int(np.isinf(numbers).sum()), int((numbers == 0).sum()), picture(numbers),
    )


def picture(array: Any) -> tuple[tuple[float, ...], ...] | None:
    """Means of blocks, at most `PICTURE` of them a side; of a single axis one row."""
    if array.ndim == 0 or array.size <= 1:
        return None
    while array.ndim > 2:
        array = array[0]
    image = np.nan_to_num(np.atleast_2d(array).astype(np.float64), posinf=0.0, neginf=0.0)
    unit, most = magnitude(np.max(np.abs(image), initial=0)), np.finfo(np.float64).max
    image = image / unit
    for axis in (0, 1):
        cuts = np.unique(np.linspace(0, image.shape[axis], min(PICTURE, image.shape[axis]) + 1).astype(int))
        sums = np.add.reduceat(image, cuts[:-1], axis)
        image = sums / np.expand_dims(np.diff(cuts), 1 - axis)
    rounded = [[float(f"{x:.4g}") for x in row] for row in image * unit]
    return tuple(map(tuple, np.clip(rounded, -most, most).tolist()))


@dataclass(frozen=True)
class TensorShown:
    """A tensor, or an array that took part as a constant.

    Attributes:
        number: its place among all tensors of the trace.
        name: the user's name, or the operation and a number.
        kind: "leaf" if it requires gradients and no operation made it, "constant", or "result".
        operation: what made it.
        time: the clock's number.
        scope: the path of the module that made it.
        place: the line that made it.
    """

    number: int
    name: str
    kind: str
    operation: str
    time: int
    scope: str
    place: Place | None
    value: Shown


@dataclass(frozen=True)
class RuleShown:
    """A gradient rule as it is written.

    Attributes:
        source: what it returns, from the file.
        name: that of the function, if it has one.
        place: `file:line`.
        names: what it closes over, by the user's names where they have one.
    """

    source: str
    name: str
    place: str
    names: dict[str, str]

    def __str__(self) -> str:
        """What it returns, in a line; its name if that is not the same in all cases."""
        before, *returned = self.source.split("return ")
        return self.name if len(returned) > 1 else " ".join((returned or [before])[0].split())


@dataclass(frozen=True)
class VerdictShown:
    """What numerical slopes say of a rule, along some direction in its input alone.

    Attributes:
        verdict: "correct", "WRONG", "kink" (correct: a slope between those of the two sides) or "inconclusive".
        analytic, numeric, error: the slope by the rule, that by differences, and the error bar of that; None if the
            operation could not be called again, or its rule raises.
        reason: why nothing is known, if so; what the rule raises.
    """

    verdict: str
    analytic: float | None
    numeric: float | None
    error: float | None
    reason: str = ""

    def __str__(self) -> str:
        if self.numeric is None or self.verdict == "inconclusive":
            return f"{self.verdict}: {self.reason}"
        return f"{self.verdict}: rule {self.analytic:.5g}, slope {self.numeric:.5g} ± {self.error:.0e}"


@dataclass(frozen=True)
class EdgeShown:
    """An input of a result, in a position among the operation's inputs.

    Attributes:
        source, target: numbers of tensors.
        rule: None for a constant, to which nothing flows.
        verdict: on the rule; None before `Trace.check`, and for a constant.
    """

    number: int
    source: int
    target: int
    position: int
    rule: RuleShown | None
    verdict: VerdictShown | None = None


@dataclass(frozen=True)
class Forward:
    """An operation was computed: `tensor` is its result.

    Attributes:
        call: what it was called with, text and numbers of tensors, as `minigrad.show.calls` writes it.
        why: sentences on what will flow back, see `minigrad.show.why`.
        backwards: whether a backward pass did that, by a hook, or by computing something again.
    """

    tensor: int
    call: tuple[int | str, ...]
    why: tuple[str, ...]
    backwards: bool


@dataclass(frozen=True)
class Seed:
    """A backward pass begins at `tensor`; it may begin at several.

    Attributes:
        sweep: the number of the pass in the trace, as in the steps below; what rules or hooks sweep has its own.
    """

    tensor: int
    gradient: Shown
    sweep: int


@dataclass(frozen=True)
class Complete:
    """The gradient of `tensor` is whole: `arrived`, and `gradient` after its hooks.

    Attributes:
        was_changed: whether a hook made another gradient of what arrived.
        is_end: whether the pass ends here, and hands it out.
    """

    tensor: int
    arrived: Shown
    gradient: Shown
    was_changed: bool
    is_end: bool
    sweep: int


@dataclass(frozen=True)
class Contribution:
    """A rule has passed something back along an edge: see `minigrad.recording.Contributed`.

    Attributes:
        incoming: the complete gradient of the result, which the rule was given.
        cast: from which dtype to which, if the rule returned another than the input has.
        why: sentences on what has flowed back, see `minigrad.show.why`.
    """

    edge: int
    incoming: Shown
    raw: Shown
    axes: tuple[int, ...]
    cast: tuple[str, str] | None
    contribution: Shown
    arrival: int
    before: Shown | None
    after: Shown
    sweep: int
    why: tuple[str, ...]


Step: TypeAlias = Forward | Seed | Complete | Contribution
