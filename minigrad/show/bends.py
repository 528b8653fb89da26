"""How edges pass layers: by points in between, which edges from one box share, and those into one box."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

BEND = 8.0  # the width that an edge takes where it passes a layer
MOST_BENDS = 1200  # of a drawing; what is longest goes around it

Item: TypeAlias = tuple[str, int]  # node, frame, bend or lane, and a number; "in" or "out", and an edge's source
Link: TypeAlias = tuple[Item, Item, int]  # from, to, and the node where the edge begins, which may be within `from`

Bundle: TypeAlias = tuple[Item, int]  # the end that links share, and the node where those of a source begin, or -1
Spot: TypeAlias = tuple[Bundle, int]  # a bundle, and a layer that it passes


@dataclass(frozen=True)
class Bends:
    """Edges as chains through all layers that they pass.

    Attributes:
        chains: of each link, its source, a bend or a lane in each layer it passes, its target.
        rows: the layers, of boxes and bends.
        lanes: the ways around the drawing, each with its place from the inside to the outside.
    """

    chains: dict[Link, list[Item]]
    rows: list[list[Item]]
    lanes: dict[Item, int]


def bent(level: Mapping[Item, int], links: Iterable[Link]) -> Bends:
    """Lead the links through the layers between their ends.

    Bundles keep drawings small: three hundred edges of one box to all the layers below it are one line with three
    hundred branches, not as many lines beside each other.
    """
    bundles = bundled({link: level[link[1]] - level[link[0]] for link in links})
    longest = max(level.values(), default=0)
    while len(spots(level, bundles, longest)) > MOST_BENDS:
        longest //= 2
    numbers = {spot: i for i, spot in enumerate(spots(level, bundles, longest))}
    rows: list[list[Item]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for box, row in level.items():
        rows[row].append(box)
    for (_, row), number in numbers.items():
        rows[row].append(("bend", number))
    around = lanes(level, {link: bundle for link, bundle in bundles.items() if span(level, link) > longest})
    names = {bundle: ("lane", i) for i, bundle in enumerate(around)}
    chains = {}
    for link, bundle in bundles.items():
        passed = range(level[link[0]] + 1, level[link[1]])
        short = span(level, link) <= longest
        way: list[Item] = [("bend", numbers[bundle, row]) if short else names[bundle] for row in passed]
        chains[link] = [link[0], *way, link[1]]
    return Bends(chains, rows, {names[bundle]: place for bundle, place in around.items()})


def span(level: Mapping[Item, int], link: Link) -> int:
    """How many layers down a link leads."""
    return level[link[1]] - level[link[0]]


def bundled(spans: Mapping[Link, int]) -> dict[Link, Bundle]:
    """What each link shares its way with: the long ones from the same source, or, if these are more, to its target."""
    out = Counter((source, start) for (source, _, start), long in spans.items() if long > 1)
    into = Counter(target for (_, target, _), long in spans.items() if long > 1)
    return {(a, b, start): (a, start) if out[a, start] >= into[b] else (b, -1) for a, b, start in spans}


def spots(level: Mapping[Item, int], bundles: Mapping[Link, Bundle], longest: int) -> dict[Spot, None]:
    """A bundle and a layer, for each layer that it passes by links that are not longer than `longest`."""
    return dict.fromkeys(
        (bundle, row) for link, bundle in bundles.items() if span(level, link) <= longest
        for row in range(level[link[0]] + 1, level[link[1]])
    )


def lanes(level: Mapping[Item, int], bundles: Mapping[Link, Bundle]) -> dict[Bundle, int]:
    """The place of each bundle beside the drawing: the innermost that no other takes at the same height."""
    ends: dict[Bundle, list[int]] = {}
    for (source, target, _), bundle in bundles.items():
        ends.setdefault(bundle, []).extend((level[source], level[target]))
    free: list[int] = []  # where the last bundle of each place ends
    found = {}
    for bundle, rows in sorted(ends.items(), key=lambda pair: (min(pair[1]), max(pair[1]), pair[0])):
        place = next((i for i, end in enumerate(free) if end < min(rows)), len(free))
        free[place:place + 1] = [max(rows)]
        found[bundle] = place
    return found
