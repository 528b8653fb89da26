"""Drawings of recorded graphs: as text, SVG, DOT or Mermaid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.graph import topological_order
from minigrad.guards import name_of
from minigrad.modes import enable_grad
from minigrad.recording import Recorded, recording
from minigrad.show.files import write
from minigrad.show.layout import Layout, layout
from minigrad.show.names import names_around
from minigrad.tensor import Tensor

MOST_NODES = 300  # that are drawn one by one
LETTER, LINE = 7.4, 17.0  # pixels of a letter, and of a line of text


@dataclass(frozen=True)
class Node:
    """A tensor of a graph.

    Attributes:
        number: its place in the order of recording, leaves first where they are used first.
        name: the user's name for it, or the operation and a number.
        operation: what made it; empty for a leaf.
        shape, dtype: of its value.
        time: the clock's number, 0 for a leaf that was never updated.
        value: the number, if it is a single one.
        parameters: of a layer, how many numbers it is trained by.
    """

    number: int
    name: str
    operation: str
    shape: tuple[int, ...]
    dtype: str
    time: int
    value: float | None
    parameters: int = 0

    def lines(self) -> list[str]:
        """What its box says: the name, then the operation unless that is in the name, the shape, the time."""
        value = "" if self.value is None else f" = {self.value:.4g}"
        made = f"{self.operation} · " if self.operation and self.operation not in self.name else ""
        dtype = "" if self.dtype == "float64" else f" {self.dtype}"
        more = f" · {self.parameters:,} parameters" if self.parameters else f" · t {self.time}" if self.time else ""
        return [self.name + value, f"{made}{self.shape}{dtype}{more}"]


@dataclass(frozen=True)
class Arrow:
    """An edge: from an input to a result, in a position among the result's edges."""

    source: int
    target: int
    position: int


@dataclass(frozen=True)
class Graph:
    """What a result was computed from, as plain data; `print` shows it as text, a notebook as a picture.

    Attributes:
        nodes: in the order of recording.
        arrows: one for each position in which a tensor is an input, `x * x` has two.
    """

    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]

    def __str__(self) -> str:
        """The graph from its results up, what is used several times shown once."""
        inputs: dict[int, list[int]] = {node.number: [] for node in self.nodes}
        for arrow in self.arrows:
            inputs[arrow.target].append(arrow.source)
        used = {arrow.source for arrow in self.arrows}
        waiting = [(node.number, "", "") for node in self.nodes if node.number not in used]
        shown: set[int] = set()
        lines = []
        while waiting:
            number, branch, indent = waiting.pop()
            name, facts = self.nodes[number].lines()
            again = number in shown and bool(inputs[number])
            lines.append(f"{branch}{name}" + ("  (see above)" if again else f"  {facts}"))
            if again:
                continue
            shown.add(number)
            for i, source in reversed(list(enumerate(inputs[number]))):
                last = i == len(inputs[number]) - 1
                waiting.append((source, indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  ")))
        return "\n".join(lines)

    def layout(self) -> Layout:
        """Where its boxes go."""
        texts = {node.number: node.lines() for node in self.nodes}
        sizes = {n: (max(map(len, lines)) * LETTER + 20, len(lines) * LINE + 12) for n, lines in texts.items()}
        return layout(sizes, [(arrow.source, arrow.target) for arrow in self.arrows])

    def svg(self) -> str:
        """A picture, for light and dark pages, without anything from outside."""
        placed = self.layout()
        parts = [svg_arrow(self.route(placed, arrow), arrow) for arrow in self.arrows]
        parts += [svg_box(node, placed.centers[node.number]) for node in self.nodes]
        width, height = placed.width + 24, placed.height + 24
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 -12 {width:.0f} {height:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" role="img" aria-label="{escape(self.described(), quote=True)}" '
            f'font-family="ui-monospace, monospace" font-size="12">\n{STYLE}\n' + "\n".join(parts) + "\n</svg>\n"
        )

    def route(self, placed: Layout, arrow: Arrow) -> list[tuple[float, float]]:
        """The way of an arrow, beside that of others between the same two boxes."""
        beside = [a.position for a in self.arrows if (a.source, a.target) == (arrow.source, arrow.target)]
        offset = (beside.index(arrow.position) - (len(beside) - 1) / 2) * 14
        return [(x + offset, y) for x, y in placed.routes[arrow.source, arrow.target]]

    def described(self) -> str:
        """The graph in a sentence."""
        leaves = [node.name for node in self.nodes if not node.operation]
        return f"A graph of {len(self.nodes) - len(leaves)} operations on {', '.join(leaves)}"

    def dot(self) -> str:
        """The graph in the language of Graphviz."""
        lines = ["digraph {", "  node [shape=box, style=rounded, fontname=monospace]"]
        for node in self.nodes:
            text = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in node.lines())
            lines.append(f'  n{node.number} [label="{text}"' + ("]" if node.operation else ", style=filled]"))
        lines += [f"  n{arrow.source} -> n{arrow.target}" for arrow in self.arrows]
        return "\n".join([*lines, "}"]) + "\n"

    def mermaid(self) -> str:
        """The graph in the language of Mermaid, which forges draw in Markdown."""
        lines = ["flowchart TD"]
        for node in self.nodes:
            text = "<br>".join(escape(line).replace("&#x27;", "#39;") for line in node.lines())
            opening, closing = ("[", "]") if node.operation else ("([", "])")
            lines.append(f'  n{node.number}{opening}"{text}"{closing}')
        lines += [f"  n{arrow.source} --> n{arrow.target}" for arrow in self.arrows]
        return "\n".join(lines) + "\n"

    def save(self, path: str | Path) -> None:
        """Write the graph to a file: `.svg`, `.dot`, `.mmd` or `.txt` says how.

        Raises:
            ValueError: for another ending.
            OSError: if the file cannot be written.
        """
        path = Path(path)
        ways = {".svg": self.svg, ".dot": self.dot, ".mmd": self.mermaid, ".txt": self.__str__}
        if path.suffix not in ways:
            raise ValueError(f"a graph is saved as {', '.join(ways)}, not as {path.name!r}")
        write(path, ways[path.suffix]())

    def _repr_svg_(self) -> str:
        return self.svg()


STYLE = """<style>
  .box { fill: #ecfdf5; stroke: #4b5563 } .leaf { fill: #eef2ff }
  .edge { fill: none; stroke: #6b7280; stroke-width: 1.4 }
  text { fill: #111827; text-anchor: middle } .facts { fill: #4b5563; font-size: 11px } .head { fill: #6b7280 }
  @media (prefers-color-scheme: dark) {
    .box { fill: #064e3b; stroke: #9ca3af } .leaf { fill: #312e81 } text { fill: #f9fafb } .facts { fill: #d1d5db }
  }
</style>"""


def svg_box(node: Node, center: tuple[float, float]) -> str:
    """The box of a node."""
    (name, facts), (x, y) = node.lines(), center
    width, height = max(len(name), len(facts)) * LETTER + 20, 2 * LINE + 12
    radius = 6 if node.operation else height / 2
    kind = "box" if node.operation else "box leaf"
    return (
        f'<rect class="{kind}" x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" rx="{radius:.1f}"/>'
        f'<text x="{x:.1f}" y="{y - 4:.1f}" font-weight="600">{escape(name)}</text>'
        f'<text class="facts" x="{x:.1f}" y="{y + 13:.1f}">{escape(facts)}</text>'
    )


def svg_arrow(points: list[tuple[float, float]], arrow: Arrow) -> str:
    """A smooth line through some points, with a head."""
    (x, y), *rest = points
    path = f"M{x:.1f} {y:.1f}"
    for next_x, next_y in rest:
        middle = (y + next_y) / 2
        path += f" C{x:.1f} {middle:.1f} {next_x:.1f} {middle:.1f} {next_x:.1f} {next_y:.1f}"
        x, y = next_x, next_y
    head = f"M{x - 4:.1f} {y - 8:.1f} L{x:.1f} {y:.1f} L{x + 4:.1f} {y - 8:.1f}z"
    return f'<path class="edge" d="{path}"/><path class="head" d="{head}"/>'


def graph(*results: Any, names: Mapping[str, Tensor] | None = None) -> Graph:
    """The recorded graph behind some results, ready to be drawn; or that of a module's layers.

    Args:
        results: recorded tensors; or a module, and the shape of one sample, for which it is run.
        names: what to call tensors, besides the variables of the calling function and the parameters of modules there.

    Raises:
        ValueError: if a result has no graph.
        RuntimeError: if a backward pass has freed it.

    >>> x = Tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> print(graph(y, names={"x": x}))
    multiply_1 = 9  () · t ...
    ├─ x = 3  ()
    └─ x = 3  ()
    """
    if results and hasattr(results[0], "named_modules"):
        return layers(*results)
    for result in results:
        if result.is_leaf:
            raise ValueError(f"this tensor of shape {result.shape} has no graph: a leaf, or made under no_grad()")
    known = names_around(names)
    numbers: dict[Tensor, int] = {}
    arrows = []
    for tensor in topological_order(*results):
        for position, (parent, _) in enumerate(tensor._edges):
            source = numbers.setdefault(parent, len(numbers))
            arrows.append((source, tensor, position))
        numbers.setdefault(tensor, len(numbers))
    counts: dict[str, int] = {}
    nodes = []
    for tensor, number in numbers.items():
        kind = "leaf" if tensor.is_leaf else name_of(tensor)
        counts[kind] = counts.get(kind, 0) + 1
        nodes.append(Node(number, known.get(id(tensor)) or f"{kind}_{counts[kind]}", "" if tensor.is_leaf else kind,
                          tensor.shape, tensor.dtype.name, tensor._time, single(tensor)))
    return Graph(tuple(nodes), tuple(Arrow(source, numbers[target], at) for source, target, at in arrows))


def layers(module: Any, input_shape: Sequence[int], dtype: Any = np.float32) -> Graph:
    """The graph of the layers that a module runs for one sample of this shape, in evaluation mode."""
    parts = dict(module.named_modules())
    sample = np.zeros((1, *input_shape), dtype)
    events: list[Recorded] = []
    with module.in_mode(training=False), enable_grad(), recording(events.append):
        module(Tensor(sample, requires_grad=True))
    made_by: dict[int, int] = {}
    arrows: dict[tuple[int, int], None] = {}
    nodes: list[Node] = []
    for path, together in groupby(events, key=attrgetter("scope")):  # one box for each time that a layer runs
        part, box = parts.get(path, module), len(nodes)
        for event in together:
            arrows.update({(made_by[id(x)], box): None for x in event.inputs if made_by.get(id(x), box) != box})
            made_by[id(event.result)] = box
        is_layer = not [*part.named_children()]
        kind = type(part).__name__ if is_layer else event.operation.__name__
        count = sum(p.size for p in part.parameters(recurse=False))
        nodes.append(Node(box, f"{path} {kind}".strip(), kind, event.result.shape, "float64", 0, None, count))
    return Graph(tuple(nodes), tuple(Arrow(a, b, 0) for a, b in arrows))


def single(tensor: Tensor) -> float | None:
    """The value of a tensor with one element."""
    return float(np.asarray(tensor._data).reshape(())) if tensor.size == 1 else None


