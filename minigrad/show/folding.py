"""The frames of a graph: around what modules computed, around runs of what would be too much; they fold to boxes.

A frame holds consecutive operations, so a module that is called twice, with something in between, has two. Since
inputs are recorded before results, no circle leads through pieces of the order of recording, folded or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from math import isqrt
from typing import TypeAlias

from minigrad.show.bends import Item
from minigrad.show.boxes import Arrow, Box, Node, Picture, cut, cut_name
from minigrad.show.layout import levels

MOST_NODES = 300  # that are drawn one by one
MOST_BESIDE = 40  # likewise, in a layer

Opened: TypeAlias = frozenset[int]  # the frames that are unfolded; those around them are too
Path: TypeAlias = tuple[int, ...]  # frames, the outermost first


@dataclass(frozen=True)
class Frame:
    """Consecutive operations of a module, or a run of those that are too many to be drawn one by one.

    Attributes:
        name: the dotted path of the module; of a run, the names of the first and the last.
        path: the frames around it, then itself.
    """

    name: str
    path: Path
    is_run: bool = False


class Foldable:
    """A graph and its frames.

    Attributes:
        frames: all of them; their places are their numbers.
        paths: of each node, the frames around it.
    """

    def __init__(self, nodes: Sequence[Node], arrows: Sequence[Arrow]) -> None:
        self.nodes, self.arrows = nodes, arrows
        self.inputs: list[list[int]] = [[] for _ in nodes]
        for arrow in arrows:
            self.inputs[arrow.target].append(arrow.source)
        self.frames: list[Frame] = []
        self.paths: list[Path] = [()] * len(nodes)
        self.enter_modules()
        self.take_in_leaves()
        self.group_runs()
        self.children = Counter([*self.paths, *(frame.path[:-1] for frame in self.frames)])

    def new_frame(self, name: str, around: Path, is_run: bool = False) -> Path:
        """The path of a new frame."""
        self.frames.append(Frame(name, (*around, len(self.frames)), is_run))
        return self.frames[-1].path

    def enter_modules(self) -> None:
        """Put operations into the frames of their modules."""
        entered: list[str] = []
        path: Path = ()
        for node in self.nodes:
            if node.kind == "result":
                parts = node.scope.split(".") if node.scope else []
                path = path[: shared_length(entered, parts)]
                for depth in range(len(path) + 1, len(parts) + 1):
                    path = self.new_frame(".".join(parts[:depth]), path)
                entered, self.paths[node.number] = parts, path

    def take_in_leaves(self) -> None:
        """Put the leaves that only operations in a frame use in there too, but no variables of the user, nor data."""
        around: dict[int, Path] = {}
        for arrow in self.arrows:
            path = self.paths[arrow.target]
            shared = around.get(arrow.source, path)
            around[arrow.source] = shared[: shared_length(shared, path)]
        for number, path in around.items():
            node = self.nodes[number]
            if node.kind == "leaf" and ("." in node.name or node.name.startswith("leaf_")):
                self.paths[number] = path

    def group_runs(self) -> None:
        """Where too much is directly in a frame, n boxes, put a frame around each of about √n consecutive ones."""
        waiting: list[tuple[int, list[int]]] = [(0, [*range(len(self.nodes))])]  # how deep, and the nodes in a frame
        for depth, members in waiting:  # grows while it is walked
            parts = self.parts(depth, members)
            if not self.too_many(parts):
                waiting += [(depth + 1, part) for (kind, _), part in parts.items() if kind == "frame"]
                continue
            waiting.append((depth, members))
            for numbers in self.runs(parts):
                made = [n for n in numbers if self.nodes[n].kind == "result"] or numbers
                name = f"{self.nodes[min(made)].name} … {self.nodes[max(made)].name}"
                run = self.new_frame(name, (), is_run=True)
                for number in numbers:
                    self.paths[number] = self.paths[number][:depth] + run + self.paths[number][depth:]
        for path in set(self.paths):
            for depth, frame in enumerate(path):
                self.frames[frame] = replace(self.frames[frame], path=path[: depth + 1])

    def runs(self, parts: Mapping[Item, list[int]]) -> list[list[int]]:
        """The nodes of each run; the few leaves that several use are in none."""
        step, ordered = isqrt(len(parts) - 1) + 1, [*parts.values()]
        run_of = {number: i // step for i, numbers in enumerate(ordered) for number in numbers}
        users: dict[int, set[int]] = {}
        for number, run in run_of.items():
            for source in self.inputs[number]:
                if self.nodes[source].kind != "result" and ("node", source) in parts:
                    users.setdefault(source, set()).add(run)
        shared = [source for source, runs in users.items() if len(runs) > 1]
        if len(shared) <= MOST_BESIDE // 2:
            for source in shared:
                del run_of[source]
        found: dict[int, list[int]] = {}
        for number, run in run_of.items():
            found.setdefault(run, []).append(number)
        return [*found.values()]

    def parts(self, depth: int, members: Sequence[int]) -> dict[Item, list[int]]:
        """What is directly in a frame, and the nodes in that: each part after all those that it uses."""
        place = {number: self.part(number, depth) for number in members}
        results: dict[Item, list[int]] = {}
        for number in members:
            if self.nodes[number].kind == "result":
                results.setdefault(place[number], []).append(number)
        found: dict[Item, list[int]] = {}
        for part, numbers in results.items():
            used = [place[source] for number in numbers for source in self.inputs[number] if source in place]
            found.update((other, []) for other in used if other not in results and other not in found)
            found[part] = []
        for number, part in place.items():
            found.setdefault(part, []).append(number)
        return found

    def part(self, number: int, depth: int) -> Item:
        """What stands for a node in the frame around it at `depth`."""
        path = self.paths[number]
        return ("frame", path[depth]) if len(path) > depth else ("node", number)

    def too_many(self, parts: dict[Item, list[int]]) -> bool:
        """Whether these are too many to be drawn, in all or in a layer."""
        if not MOST_BESIDE < len(parts) <= MOST_NODES:
            return len(parts) > MOST_NODES
        place = {number: part for part, numbers in parts.items() for number in numbers}
        links = dict.fromkeys(
            (place[source], part, 0) for number, part in place.items() for source in self.inputs[number]
            if place.get(source, part) != part
        )
        return max(Counter(levels(parts, links).values()).values()) > MOST_BESIDE

    # -------------------------------------------------------------------------------------------- folding

    def size(self, opened: Opened) -> int:
        """How many boxes are drawn."""
        return self.children[()] + sum(self.children[self.frames[frame].path] - 1 for frame in opened)

    def levels(self) -> list[Opened]:
        """From all modules folded to all unfolded; runs stay folded."""
        modules = [i for i, frame in enumerate(self.frames) if not any(self.frames[f].is_run for f in frame.path)]
        deepest = max((len(self.frames[i].path) for i in modules), default=0)
        return [frozenset(i for i in modules if len(self.frames[i].path) <= depth) for depth in range(deepest + 1)]

    def unfolded_to(self, most: int) -> Opened:
        """The deepest level with at most so many boxes, or the first."""
        first, *deeper = self.levels()
        return max((level for level in deeper if self.size(level) <= most), key=len, default=first)

    def frames_seen(self, opened: Opened) -> list[int]:
        """Those that are unfolded, or folded to a box."""
        return [i for i, frame in enumerate(self.frames) if opened.issuperset(frame.path[:-1])]

    def toggled(self, opened: Opened, frame: int) -> Opened:
        """The same with a frame unfolded; or folded, with all in it."""
        if frame not in opened:
            return opened | {frame}
        return frozenset(other for other in opened if frame not in self.frames[other].path)

    def next_to(self, opened: Opened) -> list[Opened]:
        """What one click leads to."""
        return [self.toggled(opened, frame) for frame in self.frames_seen(opened)]

    def picture(self, opened: Opened) -> Picture:
        """What is drawn."""
        place: list[tuple[Item, Path]] = []  # what stands for each node, and the frames around that
        for number, path in enumerate(self.paths):
            depth = next((i for i, frame in enumerate(path) if frame not in opened), len(path))
            place.append((self.part(number, depth), path[:depth]))
        members: dict[tuple[Item, Path], list[int]] = {}
        for number, key in enumerate(place):
            members.setdefault(key, []).append(number)
        numbers = {key: i for i, key in enumerate(members)}
        arrows: dict[tuple[int, int], list[int]] = {}
        for i, arrow in enumerate(self.arrows):
            source, target = numbers[place[arrow.source]], numbers[place[arrow.target]]
            if source != target:
                arrows.setdefault((source, target), []).append(i)
        boxes = tuple(self.box(item, within, inside) for (item, within), inside in members.items())
        names = {frame: cut_name(self.frames[frame].name) for frame in sorted(opened)}
        return Picture(boxes, arrows, names, self.caption(opened))

    def box(self, item: Item, within: Path, members: Sequence[int]) -> Box:
        """The box of a node, or of a folded frame."""
        kind, number = item
        if kind == "node":
            return Box(self.nodes[number].lines(), self.nodes[number].kind, (number,), None, within)
        made = [self.nodes[n] for n in members if self.nodes[n].kind == "result"]
        what = f"{len(made)} operations" if len(made) > 1 else made[0].operation if made else ""
        facts = f"{what} · {made[-1].shape}" if made else f"{len(members)} inputs"
        return Box((cut_name(self.frames[number].name), cut(facts)), "folded", tuple(members), number, within)

    def caption(self, opened: Opened) -> str:
        """A sentence on what is folded; empty if nothing is."""
        shut = [self.frames[i] for i in self.frames_seen(opened) if i not in opened]
        if not shut:
            return ""
        is_run = any(frame.is_run for frame in shut)
        what = "Consecutive operations share" if is_run else "What a module computes shares"
        return f"{what} a box: these are {len(self.nodes):,} tensors."


def shared_length(a: Sequence[object], b: Sequence[object]) -> int:
    """How long two paths are the same."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
