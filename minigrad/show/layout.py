"""Where the boxes of a graph go: in layers from its inputs down to its result, with few crossings, frames kept apart.

The steps are those of Sugiyama, Tagawa and Toda (1981): layers by the longest path, points in between for edges that
pass layers, orders within the layers by the mean place of the neighbours, then coordinates. What lies in a frame is
laid out first, on its own, and is one box to what is around it. Nothing is random: a graph always looks the same.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import pairwise
from math import fsum
from statistics import fmean
from typing import TypeAlias

from minigrad.show.bends import BEND, Item, Link, bent

SWEEPS = 12  # down and up again, of orders and of coordinates
GAP, LAYER_GAP = 26.0, 44.0  # between boxes beside and below each other
PAD, LABEL = 14.0, 26.0  # of a frame: beside and below its boxes, and above them
STRAIGHT = 1.0, 2.0, 8.0  # what going straight counts, with none, one or two ends in the middle of a long edge ...
ASIDE = 0.4  # ... (Gansner, Koutsofios, North and Vo, 1993), and what for an edge from an input, which may stand aside
BRANCH = 0.05  # and for an edge that leaves or joins others on their way
LINE_UPS, MOST_MOVES = 100, 40_000  # sweeps in the end, and moves of a box in all of them: large graphs get fewer

Point = tuple[float, float]
Arrow = tuple[int, int]
Way: TypeAlias = tuple[Item, Item, float]  # two that are connected, and how much further right the upper end is
Pull: TypeAlias = tuple[Item, float, float]  # where to, how far beside it, and how strong


@dataclass(frozen=True)
class Layout:
    """Coordinates in pixels, the first box at the top.

    Attributes:
        centers: of each node.
        routes: of each edge, the points it goes through: from the lower side of a box to the upper side of another.
        frames: of each frame, its left and upper end, width and height.
        width, height: of the whole.
    """

    centers: dict[int, Point]
    routes: dict[Arrow, list[Point]]
    frames: dict[int, tuple[float, float, float, float]]
    width: float
    height: float


@dataclass(frozen=True)
class Panel:
    """What is in a frame: where it is relative to the left upper corner, and the panels of the frames in it."""

    centers: dict[Item, Point]
    routes: dict[Link, list[Point]]
    width: float
    height: float
    inner: dict[int, Panel]


def layout(
    sizes: Mapping[int, Point], arrows: Iterable[Arrow], within: Mapping[int, tuple[int, ...]] = {},
    narrowest: Mapping[int, float] = {},
) -> Layout:
    """Place boxes of these sizes so that all arrows point down.

    Args:
        sizes: width and height of each box.
        arrows: from box to box, without a circle, also not one of frames.
        within: the frames around a box, the outermost first; where it is in none, it may be left out.
        narrowest: how wide a frame is at least, for its label.

    >>> placed = layout({0: (40, 20), 1: (40, 20), 2: (40, 20)}, [(0, 2), (1, 2)], {1: (7,)})
    >>> placed.centers[0][1] < placed.centers[2][1]
    True
    >>> [*placed.frames]
    [7]
    """
    arrows = sorted(set(arrows))
    paths = {node: within.get(node, ()) for node in sorted(sizes)}
    whole = panel(sizes, paths, arrows, (), narrowest)
    found = Layout({}, {arrow: [] for arrow in arrows}, {}, whole.width, whole.height)
    ways: dict[tuple[tuple[int, ...], Link], list[Point]] = {}
    waiting: list[tuple[Panel, tuple[int, ...], float, float]] = [(whole, (), 0.0, 0.0)]
    for inside, path, left, top in waiting:  # grows while it is walked
        ways.update(((path, link), [(x + left, y + top) for x, y in way]) for link, way in inside.routes.items())
        for (kind, number), (x, y) in inside.centers.items():
            if kind == "node":
                found.centers[number] = x + left, y + top
            elif kind == "frame":
                width, height = framed(inside.inner[number])
                corner = x + left - width / 2, y + top - height / 2
                found.frames[number] = *corner, width, height
                waiting.append((inside.inner[number], (*path, number), corner[0] + PAD, corner[1] + LABEL))
    for source, target in arrows:
        ups, downs = paths[source], paths[target]
        around = [ups[:i] for i in range(len(ups), -1, -1)] + [downs[:i] for i in range(1, len(downs) + 1)]
        for path in dict.fromkeys(around):
            link = link_in(path, source, target, paths)
            found.routes[source, target] += ways.get((path, link), []) if link is not None else []
    found.routes.update((arrow, without_middles(route)) for arrow, route in found.routes.items())
    return found


def without_middles(route: Sequence[Point]) -> list[Point]:
    """The points of a route without those in the middle of where it goes straight down."""
    inner = zip(route, route[1:], route[2:], strict=False)
    turns = [point for a, point, b in inner if max(a[0], point[0], b[0]) - min(a[0], point[0], b[0]) > 0.05]  # pixels
    return [*route[:1], *turns, *route[1:][-1:]]


def framed(inside: Panel) -> Point:
    """The size of a frame."""
    return inside.width + 2 * PAD, inside.height + LABEL + PAD


def link_in(path: tuple[int, ...], source: int, target: int, paths: Mapping[int, tuple[int, ...]]) -> Link | None:
    """What an arrow is in the frame at `path`: what it connects there; an end may be where it comes in or out."""
    ends: list[Item] = []
    for node, outside in ((source, "in"), (target, "out")):
        at, depth = paths[node], len(path)
        inside = at[:depth] == path
        ends.append((("frame", at[depth]) if len(at) > depth else ("node", node)) if inside else (outside, source))
    return None if ends[0] == ends[1] or (ends[0][0] == "in" and ends[1][0] == "out") else (ends[0], ends[1], source)


def panel(
    sizes: Mapping[int, Point], paths: Mapping[int, tuple[int, ...]], arrows: Sequence[Arrow], path: tuple[int, ...],
    narrowest: Mapping[int, float],
) -> Panel:
    """Lay out what is in the frame at `path`: the frames in it, then the whole."""
    depth = len(path)
    members: dict[int, dict[int, Point]] = {}
    boxes: dict[Item, Point] = {}
    for node, size in sizes.items():
        if len(paths[node]) > depth:
            members.setdefault(paths[node][depth], {})[node] = size
        else:
            boxes["node", node] = size
    inner = {
        frame: panel(inside, paths, [a for a in arrows if a[0] in inside or a[1] in inside], (*path, frame), narrowest)
        for frame, inside in members.items()
    }
    boxes.update((("frame", frame), framed(inside)) for frame, inside in inner.items())
    links = dict.fromkeys(link for a, b in arrows if (link := link_in(path, a, b, paths)) is not None)
    boxes.update((end, (BEND, 0.0)) for link in links for end in link[:2] if end[0] in ("in", "out"))

    def aside(end: Item, kind: str, source: int) -> float:
        if end[0] != "frame":
            return 0.0
        return inner[end[1]].centers[kind, source][0] - inner[end[1]].width / 2

    offsets = {link: (aside(link[0], "out", link[2]), aside(link[1], "in", link[2])) for link in links}
    return layered(boxes, offsets, inner, narrowest.get(path[-1], 0.0) - 2 * PAD if path else 0.0)


def layered(
    boxes: Mapping[Item, Point], offsets: Mapping[Link, Point], inner: dict[int, Panel], narrowest: float
) -> Panel:
    """Lay out boxes in layers; `offsets` is how far beside the centers of its two boxes a link begins and ends."""
    level = levels(boxes, offsets)
    bends = bent(level, offsets)
    widths = {item: boxes[item][0] if item in boxes else BEND for row in bends.rows for item in row}
    ways = dict.fromkeys(way for link in bends.chains for way in ways_of(bends.chains[link], offsets[link]))
    ordered(bends.rows, ways)
    x = coordinates(bends.rows, widths, ways)
    left = min((x[item] - widths[item] / 2 for item in x), default=0.0)
    width = max((x[item] + widths[item] / 2 - left for item in x), default=0.0)
    left -= max(0.0, narrowest - width) / 2
    width = max(width, narrowest)
    x = {item: place - left for item, place in x.items()}
    heights = [max((boxes[item][1] for item in row if item in boxes), default=0.0) for row in bends.rows]
    tops, y = [], 0.0
    for i, height in enumerate(heights):
        y += 0.0 if i == 0 else LAYER_GAP if height and heights[i - 1] else LAYER_GAP / 2
        tops.append(y)
        y += height
    x |= {lane: width + GAP + BEND * 1.5 * place for lane, place in bends.lanes.items()}
    centers = {item: (x[item], tops[level[item]] + heights[level[item]] / 2) for item in boxes}

    def route(link: Link) -> list[Point]:
        (start, *between, end), (out, into) = bends.chains[link], offsets[link]
        first, last = level[start], level[end]
        begin = x[start] + out
        points = [(begin, centers[start][1] + boxes[start][1] / 2), (begin, tops[first] + heights[first])]
        for row, bend in zip(range(first + 1, last), between, strict=True):
            points += [(x[bend], tops[row]), (x[bend], tops[row] + heights[row])]
        points += [(x[end] + into, tops[last]), (x[end] + into, centers[end][1] - boxes[end][1] / 2)]
        return list(dict.fromkeys(points))

    right = max([width, *(x[lane] + BEND for lane in bends.lanes)])
    return Panel(centers, {link: route(link) for link in offsets}, right, y, inner)


def levels(boxes: Iterable[Item], links: Iterable[Link]) -> dict[Item, int]:
    """The layer of each box: below all its parents; one without parents directly above its first child.

    Where links come in is the first layer, where they go out the last.
    """
    parents: dict[Item, list[Item]] = {box: [] for box in boxes}
    children: dict[Item, list[Item]] = {box: [] for box in parents}
    for source, target, _ in links:
        parents[target].append(source)
        children[source].append(target)
    level: dict[Item, int] = {}
    start = int(any(kind == "in" for kind, _ in parents))
    for box in TopologicalSorter(parents).static_order():
        level[box] = max((level[parent] + 1 for parent in parents[box]), default=start if box[0] != "in" else 0)
    last = max(level.values(), default=0)
    for box in parents:
        if not parents[box] and children[box] and box[0] != "in":
            level[box] = min(level[child] for child in children[box]) - 1
        elif box[0] == "out":
            level[box] = last
    return level


def ways_of(chain: Sequence[Item], offsets: Point) -> list[Way]:
    """The pieces of a link between layers."""
    last = len(chain) - 2
    return [
        (upper, lower, (offsets[0] if i == 0 else 0.0) - (offsets[1] if i == last else 0.0))
        for i, (upper, lower) in enumerate(pairwise(chain)) if "lane" not in (upper[0], lower[0])
    ]


# ------------------------------------------------------------------------------------------------ orders


def ordered(rows: list[list[Item]], ways: Iterable[Way]) -> None:
    """Order each layer so that few edges cross: by the mean place of the neighbours, from both sides in turn."""
    above: dict[Item, list[Item]] = {}
    below: dict[Item, list[Item]] = {}
    for upper, lower, _ in ways:
        above.setdefault(lower, []).append(upper)
        below.setdefault(upper, []).append(lower)
    best, fewest = [list(row) for row in rows], crossings(rows, below)
    places: dict[Item, float] = {item: i for row in rows for i, item in enumerate(row)}
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        sides, layers = (above, rows[1:]) if sweep % 2 == 0 else (below, rows[-2::-1])
        for row in layers:
            row.sort(key=lambda item: fmean(places[x] for x in sides[item]) if item in sides else places[item])
            places.update((item, i) for i, item in enumerate(row))
        if (count := crossings(rows, below)) < fewest:
            best, fewest = [list(row) for row in rows], count
    rows[:] = best


def crossings(rows: Sequence[Sequence[Item]], below: Mapping[Item, list[Item]]) -> int:
    """How many edges cross."""
    total = 0
    for upper, lower in pairwise(rows):
        place = {item: i for i, item in enumerate(lower)}
        before: list[int] = []  # where the edges further left end, in order
        for item in upper:
            for end in sorted(place[x] for x in below.get(item, ()) if x in place):
                total += len(before) - bisect_right(before, end)
                insort(before, end)
    return total


# ------------------------------------------------------------------------------------------------ coordinates


def coordinates(rows: Sequence[Sequence[Item]], widths: Mapping[Item, float], ways: Iterable[Way]) -> dict[Item, float]:
    """The centre of each box and bend, so that edges run straight down as far as the boxes beside them allow."""
    x: dict[Item, float] = {}
    above, below = pulls(ways)
    for row in rows:
        spread(row, dict.fromkeys(row, 0.0), dict.fromkeys(row, 1.0), widths, x)
    effort = min(1.0, MOST_MOVES / LINE_UPS / max(1, len(widths)))
    for sweep in range(round(2 * SWEEPS * effort)):  # each layer follows the one before it
        sides, layers = (above, rows[1:]) if sweep % 2 == 0 else (below, rows[-2::-1])
        for row in layers:
            pulled = {item: sides.get(item) or [(item, 0.0, 1.0)] for item in row}
            weights = {item: fsum(weight for _, _, weight in pulled[item]) for item in row}
            wanted = {item: fsum((x[to] + by) * weight for to, by, weight in pulled[item]) / weights[item]
                      for item in row}
            spread(row, wanted, weights, widths, x)
    both = {item: above.get(item, []) + below.get(item, []) or [(item, 0.0, 1.0)] for item in widths}
    line_up(x, rows, widths, both, max(8, round(LINE_UPS * effort)))
    return x


def pulls(ways: Iterable[Way]) -> tuple[dict[Item, list[Pull]], dict[Item, list[Pull]]]:
    """What each box and bend is connected with above it, and below."""
    outs, ins = Counter(upper for upper, _, _ in ways), Counter(lower for _, lower, _ in ways)
    above: dict[Item, list[Pull]] = {}
    below: dict[Item, list[Pull]] = {}
    for upper, lower, offset in ways:
        bends = (upper[0] == "bend") + (lower[0] == "bend")
        weight = STRAIGHT[bends] * (1.0 if ins[upper] else ASIDE)
        if bends == 1 and (outs[upper] if upper[0] == "bend" else ins[lower]) > 1:
            weight = BRANCH
        above.setdefault(lower, []).append((upper, offset, weight))
        below.setdefault(upper, []).append((lower, -offset, weight))
    return above, below


def line_up(
    x: dict[Item, float], rows: Sequence[Sequence[Item]], widths: Mapping[Item, float],
    pulled: Mapping[Item, list[Pull]], sweeps: int,
) -> None:
    """Move the boxes and bends so that the weighted sum of the distances that edges go sideways gets small.

    That is least squares with weights that are divided by the distances found so far: what is nearly in line gets in
    line. At first large distances are all alike, so that whole groups move; in the end small ones count.
    """
    near = 64.0  # pixels
    for sweep in range(sweeps):
        near *= 0.95 ** (LINE_UPS / sweeps)
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted, weights = {}, {}
            for item in row:
                strengths = [(x[other] + by, weight / (abs(x[item] - x[other] - by) + near))
                             for other, by, weight in pulled[item]]
                weights[item] = fsum(strength for _, strength in strengths)  # `sum` differs between versions of Python
                wanted[item] = fsum(place * strength for place, strength in strengths) / weights[item]
            spread(row, wanted, weights, widths, x)


def spread(
    row: Sequence[Item], wanted: Mapping[Item, float], weights: Mapping[Item, float], widths: Mapping[Item, float],
    x: dict[Item, float],
) -> None:
    """Place a layer so that nothing overlaps, and the weighted squares of distances from what is wanted are least.

    The least-squares solution joins neighbours that would overlap to blocks, each at the mean of what its members want.
    """
    blocks: list[tuple[list[Item], float, float, float]] = []  # members, weight, weighted start, the width
    for item in row:
        weight, width = weights[item], widths[item] + GAP
        members, total, start = [item], width, weight * (wanted[item] - width / 2)
        while blocks and blocks[-1][2] / blocks[-1][1] + blocks[-1][3] > start / weight:
            others, their_weight, their_start, their_total = blocks.pop()
            start += their_start - weight * their_total
            others.extend(members)
            members, weight, total = others, their_weight + weight, their_total + total
        blocks.append((members, weight, start, total))
    for members, weight, start, _ in blocks:
        left = start / weight
        for item in members:
            x[item] = left + (widths[item] + GAP) / 2
            left += widths[item] + GAP
