"""The page that steps through a trace: one file, which needs nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import json
import linecache
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from minigrad.show.folding import MOST_NODES, Foldable, Opened
from minigrad.show.steps import MOST_ELEMENTS, TensorShown

if TYPE_CHECKING:
    from minigrad.show.tracing import Trace

MOST_BOXES = 40  # that are shown at first; a larger graph begins with its modules folded
AROUND = 12  # lines of source that are shown before and after those that made something
MOST_BOXES_IN_ALL = 1500  # of all drawings of a page
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
    """What the page shows, for JSON."""
    told = trace.to_dict()
    told["steps"], told["arrays"] = with_arrays_once(told["steps"])
    for array in [*told["arrays"], *(tensor["value"] for tensor in told["tensors"])]:
        if array["values"] and len(array["values"]) > MOST_ELEMENTS:  # the page shows a picture of it
            array["values"] = None
    return {"title": title, **told, **drawings_of(trace), "files": sources(trace.tensors)}


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


def drawings_of(trace: Trace) -> dict[str, Any]:
    """The drawings that the page switches between, how many of the first are levels of detail, and which is first."""
    foldable = Foldable(trace.graph.nodes, trace.graph.arrows)
    levels = [level for i, level in enumerate(foldable.levels()) if i == 0 or foldable.size(level) <= MOST_NODES]
    start = foldable.unfolded_to(MOST_BOXES)
    known = {opened: i for i, opened in enumerate(states(foldable, levels, start))}
    return {"drawings": [drawing(foldable, opened, known) for opened in known], "start": known[start],
            "levels": sum(level in known for level in levels)}


def states(foldable: Foldable, levels: Sequence[Opened], start: Opened) -> list[Opened]:
    """What may be unfolded at the same time: these levels; what is one click from the first drawing; one module with
    those around it; then what is one click from these. As many of them as there is room for.
    """
    one = sorted((frozenset(frame.path) for frame in foldable.frames), key=foldable.size)
    waiting = [*levels, *foldable.next_to(start), *one]
    found: dict[Opened, None] = {}
    room = MOST_BOXES_IN_ALL
    for opened in waiting:  # grows while it is walked
        size = foldable.size(opened)
        if opened not in found and (size <= room or not found):
            found[opened] = None
            room -= size
            waiting += foldable.next_to(opened)
    return [*found]


def closest(foldable: Foldable, opened: Opened, known: Mapping[Opened, int], frame: int) -> int | None:
    """The drawing that a click on a frame, or on what is folded, leads to: that with little else changed."""
    wanted, around = foldable.toggled(opened, frame), foldable.frames[frame].path[:-1]
    fit = [other for other in known if (frame in other) == (frame in wanted) and other.issuperset(around)]
    return known[min(fit, key=lambda other: len(other ^ wanted))] if fit else None


def drawing(foldable: Foldable, opened: Opened, known: Mapping[Opened, int]) -> dict[str, Any]:
    """A drawing; a click on what folds or unfolds leads `to` another one."""
    to = partial(closest, foldable, opened, known)
    picture = foldable.picture(opened)
    placed = picture.placed()
    boxes = [
        {"tensors": box.members, "name": box.lines[0], "facts": box.lines[1], "kind": box.kind, "frame": box.frame,
         "to": None if box.frame is None else to(box.frame),
         "place": pixels([*placed.centers[i], *box.size()])}
        for i, box in enumerate(picture.boxes)
    ]
    arrows = [{"edges": route.edges, "points": [*map(pixels, route.points)], "spot": route.spot and pixels(route.spot)}
              for route in picture.routes(placed)]
    frames = [
        {"frame": frame, "name": picture.names[frame], "to": to(frame), "place": pixels(place)}
        for frame, place in placed.frames.items()
    ]
    return {"boxes": boxes, "arrows": arrows, "frames": frames, "caption": picture.caption,
            "size": pixels([placed.width, placed.height])}


def pixels(numbers: Iterable[float]) -> list[float]:
    """As exact as the eye needs it."""
    return [round(x, 1) for x in numbers]
