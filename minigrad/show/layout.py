"""Where the boxes of a graph go: in layers from its inputs down to its result, with few crossings.

The steps are those of Sugiyama, Tagawa and Toda (1981): layers by the longest path, points in between for edges that
pass layers, orders within the layers by the mean place of the neighbours, then coordinates. Nothing is random, so the
same graph always looks the same.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum
from statistics import fmean

SWEEPS = 12  # down and up again, of orders and of coordinates
GAP, LAYER_GAP = 26.0, 44.0  # between boxes beside and below each other
BEND = 8.0  # the width that an edge takes where it passes a layer
STRAIGHT = 1.0, 2.0, 8.0  # what going straight counts, with none, one or two ends in the middle of a long edge ...
ASIDE = 0.4  # ... (Gansner, Koutsofios, North and Vo, 1993), and what for an edge from an input, which may stand aside
LINE_UPS = 100  # sweeps in the end

Point = tuple[float, float]
Arrow = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """Coordinates in pixels, the first box at the top.

    Attributes:
        centers: of each node.
        routes: of each edge, the points it goes through: from the lower side of a box to the upper side of another.
        width, height: of the whole.
    """

    centers: dict[int, Point]
    routes: dict[Arrow, list[Point]]
    width: float
    height: float


def layout(sizes: Mapping[int, Point], arrows: Sequence[Arrow]) -> Layout:
    """Place boxes of these sizes so that all arrows, which lead from lower to higher numbers, point down.

    >>> placed = layout({0: (40, 20), 1: (40, 20), 2: (40, 20)}, [(0, 2), (1, 2)])
    >>> placed.centers[0][1] == placed.centers[1][1] < placed.centers[2][1]
    True
    """
    arrows = sorted(set(arrows))
    level = levels(sorted(sizes), arrows)
    chains, rows, widths = with_bends(level, arrows, {node: size[0] for node, size in sizes.items()})
    above, below = neighbours(chains.values())
    ordered(rows, above, below)
    x = coordinates(rows, widths, widths.keys() - sizes.keys(), above, below)
    heights = [max((sizes[node][1] for node in row if node in sizes), default=0.0) for row in rows]
    tops = [sum(heights[:i]) + i * LAYER_GAP for i in range(len(rows))]
    middle = {node: tops[i] + heights[i] / 2 for i, row in enumerate(rows) for node in row}
    left = min((x[node] - widths[node] / 2 for row in rows for node in row), default=0.0)
    right = max((x[node] + widths[node] / 2 for row in rows for node in row), default=0.0)

    def route(chain: list[int]) -> list[Point]:
        start, *bends, end = chain
        return [
            (x[start] - left, middle[start] + sizes[start][1] / 2),
            *((x[bend] - left, middle[bend]) for bend in bends),
            (x[end] - left, middle[end] - sizes[end][1] / 2),
        ]

    return Layout(
        {node: (x[node] - left, middle[node]) for node in sizes},
        {arrow: route(chain) for arrow, chain in chains.items()},
        right - left,
        tops[-1] + heights[-1] if rows else 0.0,
    )


def levels(nodes: Sequence[int], arrows: Sequence[Arrow]) -> dict[int, int]:
    """The layer of each node: below all its parents; one without parents directly above its first child."""
    parents: dict[int, list[int]] = {node: [] for node in nodes}
    children: dict[int, list[int]] = {node: [] for node in nodes}
    for source, target in arrows:
        parents[target].append(source)
        children[source].append(target)
    level: dict[int, int] = {}
    for node in nodes:
        level[node] = 1 + max((level[parent] for parent in parents[node]), default=-1)
    for node in nodes:
        if not parents[node] and children[node]:
            level[node] = min(level[child] for child in children[node]) - 1
    return level


def with_bends(
    level: Mapping[int, int], arrows: Sequence[Arrow], widths: dict[int, float]
) -> tuple[dict[Arrow, list[int]], list[list[int]], dict[int, float]]:
    """Each arrow as a chain with one point in each layer it passes; the layers; the widths, points included."""
    rows: list[list[int]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for node, row in level.items():
        rows[row].append(node)
    chains: dict[Arrow, list[int]] = {}
    following = max(level, default=0) + 1
    for source, target in arrows:
        bends = []
        for row in range(level[source] + 1, level[target]):
            rows[row].append(following)
            widths[following] = BEND
            bends.append(following)
            following += 1
        chains[source, target] = [source, *bends, target]
    return chains, rows, widths


def neighbours(chains: object) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """What each node and point is connected with in the layer above, and below."""
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for chain in chains:  # type: ignore[attr-defined]
        for upper, lower in pairwise(chain):
            above.setdefault(lower, []).append(upper)
            below.setdefault(upper, []).append(lower)
    return above, below


# ------------------------------------------------------------------------------------------------ orders


def ordered(rows: list[list[int]], above: Mapping[int, list[int]], below: Mapping[int, list[int]]) -> None:
    """Order each layer so that few edges cross: by the mean place of the neighbours, from both sides in turn."""
    best, fewest = [list(row) for row in rows], crossings(rows, below)
    places = {node: i for row in rows for i, node in enumerate(row)}
    for sweep in range(SWEEPS):
        sides, layers = (above, rows[1:]) if sweep % 2 == 0 else (below, rows[-2::-1])
        for row in layers:
            row.sort(key=lambda node: fmean(places[x] for x in sides[node]) if node in sides else places[node])
            places.update((node, i) for i, node in enumerate(row))
        if (count := crossings(rows, below)) < fewest:
            best, fewest = [list(row) for row in rows], count
    rows[:] = best


def crossings(rows: Sequence[Sequence[int]], below: Mapping[int, list[int]]) -> int:
    """How many edges cross."""
    total = 0
    for upper, lower in pairwise(rows):
        place = {node: i for i, node in enumerate(lower)}
        before: list[int] = []  # where the edges further left end, in order
        for end in (end for node in upper for end in sorted(place[x] for x in below.get(node, ()))):
            total += len(before) - bisect_right(before, end)
            insort(before, end)
    return total


# ------------------------------------------------------------------------------------------------ coordinates


def coordinates(
    rows: Sequence[Sequence[int]], widths: Mapping[int, float], bends: Container[int],
    above: Mapping[int, list[int]], below: Mapping[int, list[int]],
) -> dict[int, float]:
    """The centre of each node and point, so that edges run straight down as far as the boxes beside them allow."""
    x: dict[int, float] = {}
    even = dict.fromkeys(widths, 1.0)
    for row in rows:
        spread(row, dict.fromkeys(row, 0.0), even, widths, x)
    for sweep in range(2 * SWEEPS):  # each layer follows the one before it
        sides, layers = (above, rows[1:]) if sweep % 2 == 0 else (below, rows[-2::-1])
        for row in layers:
            wanted = {node: fmean(x[other] for other in sides[node]) if node in sides else x[node] for node in row}
            spread(row, wanted, even, widths, x)
    line_up(x, rows, widths, pulls(bends, above, below))
    return x


def pulls(
    bends: Container[int], above: Mapping[int, list[int]], below: Mapping[int, list[int]]
) -> dict[int, list[tuple[int, float]]]:
    """What each node and point is connected with, and how much the two want to be in line."""
    found: dict[int, list[tuple[int, float]]] = {}
    for upper, others in below.items():
        for lower in others:
            weight = STRAIGHT[(upper in bends) + (lower in bends)] * (1.0 if upper in above else ASIDE)
            found.setdefault(upper, []).append((lower, weight))
            found.setdefault(lower, []).append((upper, weight))
    return found


def line_up(
    x: dict[int, float], rows: Sequence[Sequence[int]], widths: Mapping[int, float],
    pulled: Mapping[int, list[tuple[int, float]]],
) -> None:
    """Move the nodes and points so that the weighted sum of the distances that edges go sideways gets small.

    That is least squares with weights that are divided by the distances found so far: what is nearly in line gets in
    line. At first large distances are all alike, so that whole groups move; in the end small ones count.
    """
    near = 64.0  # pixels
    for sweep in range(LINE_UPS):
        near *= 0.95
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted, weights = {}, {}
            for node in row:
                strengths = [(x[other], weight / (abs(x[node] - x[other]) + near))
                             for other, weight in pulled.get(node, [(node, 1.0)])]
                weights[node] = fsum(strength for _, strength in strengths)  # `sum` differs between versions of Python
                wanted[node] = fsum(place * strength for place, strength in strengths) / weights[node]
            spread(row, wanted, weights, widths, x)


def spread(
    row: Sequence[int], wanted: Mapping[int, float], weights: Mapping[int, float], widths: Mapping[int, float],
    x: dict[int, float],
) -> None:
    """Place a layer so that nothing overlaps, and the weighted squares of distances from what is wanted are least.

    The least-squares solution joins neighbours that would overlap to blocks, each at the mean of what its members want.
    """
    blocks: list[tuple[list[int], float, float, float]] = []  # members, weight, weighted start, the width
    for node in row:
        weight, width = weights[node], widths[node] + GAP
        members, total, start = [node], width, weight * (wanted[node] - width / 2)
        while blocks and blocks[-1][2] / blocks[-1][1] + blocks[-1][3] > start / weight:
            others, their_weight, their_start, their_total = blocks.pop()
            start += their_start - weight * their_total
            members, weight, total = others + members, their_weight + weight, their_total + total
        blocks.append((members, weight, start, total))
    for members, weight, start, _ in blocks:
        left = start / weight
        for node in members:
            x[node] = left + (widths[node] + GAP) / 2
            left += widths[node] + GAP
