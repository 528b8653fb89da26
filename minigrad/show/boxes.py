"""What is drawn of a graph: boxes with two lines of text, arrows between them, frames around them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple
from unicodedata import combining, east_asian_width

from minigrad.show.layout import PAD, Layout, Point, layout

MOST_LETTERS = 44  # of a line in a box
LETTER, LINE = 7.4, 17.0  # pixels of a letter, and of a line of text
RIGHT_TO_LEFT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"  # scripts so read
MOST_ARROWS, BESIDE = 3, 15.0  # between two boxes, and pixels from one to the next


@dataclass(frozen=True)
class Node:
    """A tensor of a graph.

    Attributes:
        number: its place in the order of recording, leaves first where they are used first.
        name: the user's name for it, or the operation and a number.
        kind: "leaf", "constant", or "result".
        operation: what made it; empty unless it is a result.
        shape, dtype: of its value.
        time: the clock's number, 0 for a leaf that was never updated.
        value: the number, if it is a single one.
        scope: the dotted path of the module that made it.
        parameters: how many numbers a layer is trained by, or an operation takes that are its module's own.
    """

    number: int
    name: str
    kind: str
    operation: str
    shape: tuple[int, ...]
    dtype: str
    time: int
    value: float | None
    scope: str = ""
    parameters: int = 0

    def lines(self) -> tuple[str, str]:
        """What its box says: the name, then the operation unless that is in the name, the shape, the time."""
        value = "" if self.value is None else f" = {self.value:.4g}"
        is_said = re.fullmatch(rf"(.* )?{re.escape(self.operation)}(_\d+)?", self.name)
        made = "" if is_said or not self.operation else f"{cut(self.operation, 16)} · "
        dtype = "" if self.dtype == "float64" else f" {self.dtype}"
        more = f" · {self.parameters:,} parameters" if self.parameters else f" · t {self.time}" if self.time else ""
        return cut_name(self.name, MOST_LETTERS - len(value)) + value, cut(f"{made}{self.shape}{dtype}{more}")


@dataclass(frozen=True)
class Arrow:
    """An edge: from an input to a result, in a position among the result's edges."""

    source: int
    target: int
    position: int


@dataclass(frozen=True)
class Box:
    """What is drawn: a node, or a folded frame.

    Attributes:
        lines: two, of text.
        kind: that of the node, or "folded".
        members: the numbers of the nodes in it.
        frame: the folded one.
        within: the frames around it, the outermost first.
    """

    lines: tuple[str, str]
    kind: str
    members: tuple[int, ...]
    frame: int | None
    within: tuple[int, ...]

    def size(self) -> Point:
        """Width and height in pixels."""
        return max(map(letters, self.lines)) * LETTER + 22, 2 * LINE + 12


class Route(NamedTuple):
    """The edges of an arrow, the points it goes through, and where to say how many edges it has, if they are several.

    That is where it is alone; if others of several edges are at both of its ends, there is no such place.
    """

    edges: list[int]
    points: list[Point]
    spot: Point | None


@dataclass(frozen=True)
class Picture:
    """A graph with some frames unfolded.

    Attributes:
        boxes: in the order of recording.
        arrows: the numbers of the two boxes -> those of the edges between them.
        names: of the frames that are drawn, by their numbers.
        caption: a sentence on what is folded, or nothing.
    """

    boxes: tuple[Box, ...]
    arrows: dict[tuple[int, int], list[int]]
    names: dict[int, str]
    caption: str

    def placed(self) -> Layout:
        """Where everything goes."""
        within = {i: box.within for i, box in enumerate(self.boxes)}
        widths = {frame: letters(name) * LETTER + 2 * PAD for frame, name in self.names.items()}
        return layout({i: box.size() for i, box in enumerate(self.boxes)}, self.arrows, within, widths)

    def bundles(self) -> list[tuple[tuple[int, int], list[int], float]]:
        """The arrows, their edges, how far aside they are: one for each edge, side by side, if these are few."""
        found = []
        for ends, edges in self.arrows.items():
            groups = [[edge] for edge in edges] if len(edges) <= MOST_ARROWS else [edges]
            found += [(ends, group, (i - (len(groups) - 1) / 2) * BESIDE) for i, group in enumerate(groups)]
        return found

    def routes(self, placed: Layout) -> list[Route]:
        """The ways of the arrows, each with its edges."""
        out, into = Counter(source for source, _ in self.arrows), Counter(target for _, target in self.arrows)
        found, taken = [], Counter[Point]()
        for ends, edges, aside in self.bundles():
            points = [(x + aside, y) for x, y in placed.routes[ends]]
            (x, y), down = (points[0], 14) if out[ends[0]] <= into[ends[1]] else (points[-1], -12)
            spot = (x + 6, y + down)
            taken[spot] += len(edges) > 1
            found.append(Route(edges, points, spot if len(edges) > 1 else None))
        return [route if route.spot is None or taken[route.spot] == 1 else route._replace(spot=None) for route in found]


# ------------------------------------------------------------------------------------------------ text


def printable(text: str) -> str:
    """A text in which each control character, and whatever else has no look of its own, is spelled as in Python."""
    return "".join(x if x.isprintable() else x.encode("unicode_escape").decode() for x in text)


def isolated(text: str) -> str:
    """A text for what is drawn, where names in scripts from right to left leave what stands beside them in its place.

    The two characters around each isolate it (Unicode Standard Annex 9), and are not seen.
    """
    return re.sub(rf"\w*[{RIGHT_TO_LEFT}][\w{RIGHT_TO_LEFT}]*", "\u2068\\g<0>\u2069", text)


def letters(line: str) -> int:
    """How wide a line is in letters: those of East Asia, and pictures, take two, and accents none."""
    return sum(2 if east_asian_width(x) in "WF" else not combining(x) for x in line)


def cut(line: str, most: int = MOST_LETTERS) -> str:
    """A line that is printable, and at most so many letters wide."""
    line = printable(line[: 4 * most])
    if letters(line) <= most:
        return line
    while letters(line) >= most:
        line = line[:-1]
    return line + "…"


def cut_name(name: str, most: int = MOST_LETTERS) -> str:
    """The same for a name, which keeps its end: that tells `…0.query.weight` from `…0.value.weight`."""
    return cut(printable(name)[::-1], most)[::-1]


def padded(text: str, width: int) -> str:
    """A text with blanks up to a width in letters."""
    return text + " " * (width - letters(text))
