"""The page that steps through a trace: one file, which needs nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import json
import linecache
import re
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

from minigrad.show.layout import layout
from minigrad.show.steps import TensorShown

if TYPE_CHECKING:
    from minigrad.show.tracing import Trace

MOST_BOXES = 40  # that are shown at first; a larger graph begins with its modules folded
AROUND = 12  # lines of source that are shown before and after those that made something
LETTER, HEIGHT = 7.4, 46.0
KINDS = {"leaf": "leaf", "constant": "constant", "result": "constant"}  # of what the clock did not count
SCRIPTS = "page.js", "panels.js", "stepping.js"
NO_TEXT = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")  # in UTF-8 and HTML


def page(trace: Trace, title: str) -> str:
    """The trace as an HTML page: `#step=17` in its address is a step."""
    folder = files("minigrad.show") / "page"
    style, *scripts = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", *SCRIPTS))
    script = "\n".join(scripts)
    data = json.dumps(contents(trace, title), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    policy = f"default-src 'none'; style-src '{digest(style)}'; script-src '{digest(script)}'"
    parts = {
        "POLICY": policy, "TITLE": escape(title), "STYLE": style, "TEXT": escape(str(trace)), "SCRIPT": script,
        "DATA": data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"),
    }
    template = (folder / "page.html").read_text(encoding="utf-8")
    return NO_TEXT.sub("\ufffd", re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template))


def digest(text: str) -> str:
    """What a content security policy calls an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def contents(trace: Trace, title: str) -> dict[str, Any]:
    """What the page shows, for JSON, where numbers that are not finite are strings."""
    depths = 1 + max((tensor.scope.count(".") + 1 for tensor in trace.tensors if tensor.scope), default=0)
    drawings = [drawing(trace, depth) for depth in range(1, depths)] + [drawing(trace, depths)]
    start = max((i for i, d in enumerate(drawings) if len(d["boxes"]) <= MOST_BOXES), default=0)
    told = trace.to_dict()
    told["steps"], told["arrays"] = with_arrays_once(told["steps"])
    found: dict[str, Any] = plain({
        "title": title, **told, "drawings": drawings, "start": start, "files": sources(trace.tensors),
    })
    return found


def with_arrays_once(steps: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[Any]]:
    """The steps with the number of each array instead of it, and the arrays: most are in several steps."""
    numbers: dict[str, int] = {}
    arrays: list[Any] = []

    def number(array: Any) -> int:
        found = numbers.setdefault(repr(array), len(arrays))
        if found == len(arrays):
            arrays.append(array)
        return found

    return [{key: number(x) if isinstance(x, dict) else x for key, x in step.items()} for step in steps], arrays


def plain(x: Any) -> Any:
    """Nested data with NaN and infinities spelled out, which JSON has no numbers for."""
    if isinstance(x, dict):
        return {key: plain(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(value) for value in x]
    return str(x) if isinstance(x, float) and x - x != 0 else x


def sources(tensors: Sequence[TensorShown]) -> dict[str, list[tuple[int, str]]]:
    """(number, text) of the lines around those that made something, file by file."""
    wanted: dict[str, set[int]] = {}
    for tensor in tensors:
        if tensor.place is not None:
            around = range(max(1, tensor.place.line - AROUND), tensor.place.line + AROUND + 1)
            wanted.setdefault(tensor.place.file, set()).update(around)
    return {
        file: [(n, linecache.getline(file, n).rstrip("\n")) for n in sorted(lines) if linecache.getline(file, n)]
        for file, lines in wanted.items()
    }


# ------------------------------------------------------------------------------------------------ the graph


def drawing(trace: Trace, depth: int) -> dict[str, Any]:
    """The graph with what lies deeper than `depth` in modules folded: boxes, arrows between them, and their size."""
    folded = [fold(tensor, scope, depth) for tensor, scope in zip(trace.tensors, scopes(trace), strict=True)]
    keys = {key: i for i, key in enumerate(dict.fromkeys(folded))}
    box_of = [keys[key] for key in folded]
    members: list[list[int]] = [[] for _ in keys]
    for tensor, box in enumerate(box_of):
        members[box].append(tensor)
    texts = [text(trace, key, of) for key, of in zip(keys, members, strict=True)]
    sizes = {i: (max(map(letters, lines)) * LETTER + 22, HEIGHT) for i, lines in enumerate(texts)}
    between: dict[tuple[int, int], list[int]] = {}
    for edge in trace.edges:
        ends = box_of[edge.source], box_of[edge.target]
        if ends[0] != ends[1]:
            between.setdefault(ends, []).append(edge.number)
    order = topological(len(keys), between)
    place = {box: i for i, box in enumerate(order)}
    downwards = {ends: (min(place[a], place[b]), max(place[a], place[b])) for ends in between for a, b in [ends]}
    placed = layout({place[i]: size for i, size in sizes.items()}, [*downwards.values()])
    boxes = [
        {"tensors": members[i], "name": texts[i][0], "facts": texts[i][1], "folded": isinstance(key, str),
         "kind": "folded" if isinstance(key, str) else trace.tensors[key].kind,
         "x": placed.centers[place[i]][0], "y": placed.centers[place[i]][1], "width": sizes[i][0], "height": HEIGHT}
        for key, i in keys.items()
    ]
    arrows = [
        {"edges": numbers, "points": [(x + offset, y) for x, y in route]}
        for ends, all_numbers in between.items()
        for route in [placed.routes[downwards[ends]][:: 1 if place[ends[0]] < place[ends[1]] else -1]]
        for numbers, offset in side_by_side(all_numbers)
    ]
    return {"boxes": boxes, "arrows": arrows, "width": placed.width, "height": placed.height}


def side_by_side(numbers: list[int]) -> list[tuple[list[int], float]]:
    """The arrows between two boxes with the edges of each, and how far each is moved aside: one an edge, if few."""
    if len(numbers) > 3:
        return [(numbers, 0.0)]
    return [([number], 16 * (i - (len(numbers) - 1) / 2)) for i, number in enumerate(numbers)]


def scopes(trace: Trace) -> list[str]:
    """The module that each tensor is inside of: for a leaf the one that uses it, if that is one."""
    users: list[set[str]] = [set() for _ in trace.tensors]
    for edge in trace.edges:
        users[edge.source].add(trace.tensors[edge.target].scope)
    found = [users[tensor.number] if tensor.kind == "leaf" else {tensor.scope} for tensor in trace.tensors]
    return [min(of) if len(of) == 1 else "" for of in found]


def fold(tensor: TensorShown, scope: str, depth: int) -> str | int:
    """What stands for a tensor: the module at `depth` that it is inside of, if there is one, else itself."""
    parts = scope.split(".") if scope else []
    return ".".join(parts[:depth]) if len(parts) >= depth else tensor.number


def text(trace: Trace, key: str | int, members: Sequence[int]) -> tuple[str, str]:
    """The two lines of a box."""
    if isinstance(key, str):
        last = trace.tensors[max(m for m in members)]
        return key, f"{sum(trace.tensors[m].kind == 'result' for m in members)} operations · {last.value.shape}"
    tensor = trace.tensors[key]
    made = f"{tensor.operation} · " if tensor.operation and not tensor.name.startswith(tensor.operation) else ""
    return tensor.name, f"{made}{tensor.value.shape} · " + (f"t {tensor.time}" if tensor.time else KINDS[tensor.kind])


def letters(line: str) -> int:
    """How wide a line is in letters: those of East Asia, and pictures, take two."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in line)


def topological(count: int, arrows: Iterable[tuple[int, int]]) -> list[int]:
    """The boxes, each after all that lead to it; a circle of folded boxes is cut where it is first met.

    >>> topological(4, [(2, 1), (1, 0), (0, 3), (3, 0)])
    [2, 1, 0, 3]
    """
    missing = [0] * count
    after: list[list[int]] = [[] for _ in range(count)]
    for a, b in arrows:
        missing[b] += 1
        after[a].append(b)
    ready = [box for box in range(count) if not missing[box]]  # in order, so it is a heap
    order: dict[int, None] = {}
    rest = iter(range(count))
    while len(order) < count:
        box = heappop(ready) if ready else next(box for box in rest if box not in order)
        order[box] = None
        for other in after[box]:
            missing[other] -= 1
            if not missing[other] and other not in order:
                heappush(ready, other)
    return [*order]
