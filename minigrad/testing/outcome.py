"""What a subject gives at its point: values, gradients, and what further calls of it give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from minigrad.arrays import Array
from minigrad.graph import topological_order
from minigrad.guards import kept_by_rules, name_of
from minigrad.tensor import Tensor
from minigrad.testing.blame import Step
from minigrad.testing.differences import EPSILON
from minigrad.testing.numeric import MARGIN
from minigrad.testing.probe import drawn
from minigrad.testing.subject import (
    Gradients,
    Recording,
    Subject,
    apart,
    attempted,
    changed,
    computed_with_rounding,
    copies,
    spread_by_rounding,
)

AWAY = 1e-3  # of each element's own size: how far it is moved at a second point


class Disagreement(str):
    """What a check says of numbers that differ, as rounding may make them, unlike a wrong dtype or an exception.

    Attributes:
        off: by how much.
        compute: gives those numbers, in an array.
        epsilon: the precision in which they were computed.
    """

    off: float
    compute: Callable[[], Array]
    epsilon: float

    def __new__(cls, said: str, off: float, compute: Callable[[], Array], epsilon: float = EPSILON) -> Self:
        new = super().__new__(cls, said)
        new.off, new.compute, new.epsilon = off, compute, epsilon
        return new

    def may_be_rounding(self, rng: np.random.Generator) -> bool:
        """Whether rounding moves those numbers that far; true if they cannot be computed with rounding."""
        exact, *found = computed_with_rounding(lambda: [self.compute()], rng, self.epsilon) or [[np.zeros(0)]]
        return self.off <= MARGIN * max((apart(x, exact)[0] for x in found), default=np.inf)


@dataclass(frozen=True)
class Twice:
    """What two backward passes of one call leave behind.

    Attributes:
        cotangents: the copies that were handed in.
        handed: the gradients of the first pass, in the arrays that it returned.
        passes: those of both, as they were then.
        written: a sentence for what has been written into, if anything has.
    """

    cotangents: list[Array]
    handed: Gradients
    passes: list[list[Array]]
    written: str | None


@dataclass(frozen=True)
class Outcome:
    """A subject with what it gave at its point.

    Attributes:
        values, gradients: as they were when a call returned them; None where no gradient arrives.
        handed: both, in the arrays that were returned, which later calls may have written into.
        seed: for whatever else a check draws.
        epsilon: the precision of the least precise results, intermediate ones too: tolerances follow it.
        steps: what was recorded on the way.
        casts, writers: what `recorded_casts` and `recorded_writers` have to say of the gradients.
    """

    subject: Subject
    values: list[Array]
    cotangents: list[Array]
    gradients: Gradients
    handed: list[Any]
    seed: int
    epsilon: float = EPSILON
    steps: Sequence[Step] = ()
    casts: Sequence[str] = ()
    writers: Sequence[str] = ()

    def rng(self) -> np.random.Generator:
        return np.random.default_rng((self.seed, 1))  # not what the cotangents were drawn from

    def names(self) -> list[str]:
        """What values and gradients are called."""
        return [f"output {i}" for i in range(len(self.values))] + [f"the gradient of {x}" for x in self.subject.names]

    def with_zeros(self, gradients: Gradients) -> list[Array]:
        """Gradients with zeros where none arrives."""
        return [np.zeros(x.shape) if g is None else g for x, g in zip(self.subject.arrays, gradients, strict=True)]

    @cached_property
    def dense(self) -> list[Array]:
        """The gradients with zeros where none arrives."""
        return self.with_zeros(self.gradients)

    def digits(self, share: float = 0.5) -> float:
        """A tolerance that leaves a share of the digits."""
        return float(self.epsilon**share)

    # ---------------------------------------------------------------- further calls

    @cached_property
    def again(self) -> Recording:
        """A second call at the same point."""
        return self.subject.recorded(copies(self.subject.arrays))

    @cached_property
    def twice(self) -> Twice:
        """The second call, differentiated twice."""
        made, cotangents = self.again, copies(self.cotangents)
        inner = {id(kept): (f"an array of shape {kept.shape} that {name} has saved", kept)
                 for name, kept in kept_arrays(made.outputs, made.variables)}
        names, saved = [name for name, _ in inner.values()], [kept for _, kept in inner.values()]
        before = copies(saved)
        handed = made.gradients(cotangents)
        first = copies(self.with_zeros(handed))  # before the second pass, which may write into them
        passes = [first, copies(self.with_zeros(made.gradients(cotangents)))]
        named = ["the cotangent: copy it first"] * len(cotangents) + names
        name = changed(named, [*cotangents, *saved], [*self.cotangents, *before])
        return Twice(cotangents, handed, passes, name and f"the backward pass writes into {name}")

    @cached_property
    def elsewhere(self) -> Outcome | None:
        """What f and its gradients are at a second point, where what a rule has kept of the first is wrong."""
        for arrays in other_points(self.subject.arrays, self.rng()):
            results = attempted(self.results, copies(arrays), copies(self.cotangents)) or []
            same = [x.shape for x in results] == [x.shape for x in (*self.values, *self.dense)]
            if same and all(np.isfinite(x).all() for x in results):
                values, gradients = results[: len(self.values)], results[len(self.values) :]
                return replace(self, subject=self.subject.moved_to(arrays), values=values, gradients=gradients)
        return None

    def results(self, arrays: Sequence[Array], cotangents: Sequence[Array]) -> list[Array]:
        """Values and gradients for other arrays and cotangents."""
        made = self.subject.recorded(arrays)
        return [*copies(made.values), *copies(self.with_zeros(made.gradients(cotangents)))]

    def shaken(self, arrays: Sequence[Array], cotangents: Sequence[Array]) -> list[float] | None:
        """How far rounding inputs, cotangents and results moves values and gradients: far at jumps.

        None if f, or its gradient, is not defined close by, or does not take rounded results.
        """
        groups = [[np.array(x, order="C") for x in group] for group in (arrays, cotangents)]
        rng = self.rng()
        try:
            here = self.results(*groups)
            moved = spread_by_rounding(lambda: self.results(*groups), rng, self.epsilon)
            if moved is None:
                return None
            for _ in range(3):
                near = [[np.asarray(x * (1 + 4 * self.epsilon * rng.standard_normal(x.shape))) for x in group]
                        for group in groups]
                moved = list(map(max, moved, apart(self.results(*near), here)))
        except Exception:  # whatever it is
            return None
        return moved


def other_points(arrays: Sequence[Array], rng: np.random.Generator) -> Iterator[list[Array]]:
    """Second points, from far to near: f may not be defined at the first ones.

    Far away each element takes the place of the next: that changes masks, and which of several is the largest, but no
    element leaves the domain of a function of single ones. A function of matrices may need those near by.
    """
    moves = [np.abs(drawn(rng, x.shape)) for x in arrays]
    for points in ([np.roll(x, 1) for x in arrays], arrays):
        for away in (AWAY, -AWAY):  # the first may lead out of the domain
            yield [np.asarray(x * (1 + away * move)) for x, move in zip(points, moves, strict=True)]


def kept_arrays(outputs: Sequence[Tensor], variables: Sequence[Tensor]) -> Iterator[tuple[str, Array]]:
    """(operation, array) for what the rules of a graph close over, and for its values."""
    for tensor in topological_order(*outputs, until=variables):
        yield name_of(tensor), tensor._data
        for kept in kept_by_rules(tensor):
            yield name_of(tensor), kept._data if isinstance(kept, Tensor) else kept
