"""Drawings of recorded graphs: as text, SVG, DOT or Mermaid."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.graph import topological_order
from minigrad.guards import name_of, name_of_operation
from minigrad.modes import enable_grad
from minigrad.recording import Recorded, recording
from minigrad.show.boxes import Arrow, Node, Picture, cut, cut_name
from minigrad.show.files import write
from minigrad.show.folding import MOST_NODES, Foldable, shared_length
from minigrad.show.languages import dot_text, mermaid_text, svg_text
from minigrad.show.names import check_names, names_around, names_for
from minigrad.tensor import Tensor

COLUMNS, MOST_INDENT = 80, 40  # of text


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
            branch = branch if len(branch) <= MOST_INDENT else "…" + branch[-MOST_INDENT:]
            lines.append(cut(f"{branch}{name}" + ("  (see above)" if again else f"  {facts}"), COLUMNS))
            if again:
                continue
            shown.add(number)
            for i, source in reversed(list(enumerate(inputs[number]))):
                last = i == len(inputs[number]) - 1
                waiting.append((source, indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  ")))
        return "\n".join(lines)

    def picture(self) -> Picture:
        """What is drawn: everything, unless that is too much; then some is folded, and the caption says so."""
        foldable = Foldable(self.nodes, self.arrows)
        return foldable.picture(foldable.unfolded_to(MOST_NODES))

    def svg(self) -> str:
        """A picture, for light and dark pages, without anything from outside."""
        return svg_text(self.picture(), self.described())

    def dot(self) -> str:
        """The graph in the language of Graphviz."""
        return dot_text(self.picture())

    def mermaid(self) -> str:
        """The graph in the language of Mermaid, which forges draw in Markdown."""
        return mermaid_text(self.picture())

    def png(self) -> bytes:
        """A picture of pixels, two for each of the SVG's, on white.

        Raises:
            ImportError: if cairosvg is not installed.
        """
        try:
            from cairosvg import svg2png
        except (ImportError, OSError) as error:  # or it is there, and its library in C is not
            raise ImportError(f'saving a .png needs cairosvg: pip install cairosvg ({error})') from None
        svg = self.svg().replace("ui-monospace, ", "", 1)  # it takes the first of several fonts
        svg = re.sub("[\u2068\u2069]", "", svg)  # and draws what is not seen elsewhere, see `isolated`
        found: bytes = svg2png(bytestring=svg.encode(), scale=2, background_color="white")
        return found

    def described(self) -> str:
        """The graph in a sentence."""
        leaves = [cut_name(node.name) for node in self.nodes if node.kind != "result"]
        named = leaves if len(leaves) <= 8 else [*leaves[:7], f"{len(leaves) - 7:,} more"]
        return f"A graph of {len(self.nodes) - len(leaves):,} operations on {', '.join(named)}"

    def save(self, path: str | Path) -> None:
        """Write the graph to a file: `.svg`, `.dot`, `.mmd`, `.png` or `.txt` says how.

        Raises:
            ValueError: for another ending.
            ImportError: for a `.png`, without cairosvg.
            OSError: if the file cannot be written.
        """
        path = Path(path)
        ways: dict[str, Callable[[], str | bytes]] = {
            ".svg": self.svg, ".dot": self.dot, ".mmd": self.mermaid, ".png": self.png, ".txt": self.__str__,
        }
        way = next((way for ending, way in ways.items() if path.name.lower().endswith(ending)), None)
        if way is None:
            raise ValueError(f"a graph is saved as {', '.join(ways)}, not as {path.name!r}")
        write(path, way())

    def _repr_svg_(self) -> str:
        return self.svg()


def graph(*results: Any, names: Mapping[str, Tensor] | None = None) -> Graph:
    """The recorded graph behind some results, ready to be drawn; or that of a module's layers.

    Args:
        results: recorded tensors; or a module, and the shape of one sample, for which it is run, and if it takes other
            numbers than float32, their dtype.
        names: what to call tensors, besides the variables of the calling function and the parameters of modules there.

    Raises:
        TypeError: if there is nothing to draw, or something else than that.
        ValueError: if a result has no graph, or a module computes nothing.
        RuntimeError: if a backward pass has freed it.

    >>> x = Tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> print(graph(y, names={"x": x}))
    multiply_1 = 9  () · t ...
    ├─ x = 3  ()
    └─ x = 3  ()
    """
    if results and hasattr(results[0], "named_modules"):
        if not (2 <= len(results) <= 3 and isinstance(results[1], Sequence)):
            raise TypeError("a module is drawn as it runs for one sample: graph(module, shape), such as (1, 28, 28)")
        return layers(*results)
    if not results:
        raise TypeError("graph() draws recorded tensors, or a module: give it at least one")
    for result in results:
        if not isinstance(result, Tensor):
            raise TypeError(f"graph() draws recorded tensors, or a module, got {type(result).__name__}")
        if result.is_leaf:
            raise ValueError(f"this tensor of shape {result.shape} has no graph: a leaf, or made under no_grad()")
    check_names(names)
    known = names_around(names)
    numbers: dict[Tensor, int] = {}
    arrows = []
    for tensor in topological_order(*results):
        for position, (parent, _) in enumerate(tensor._edges):
            source = numbers.setdefault(parent, len(numbers))
            arrows.append((source, tensor, position))
        numbers.setdefault(tensor, len(numbers))
    scopes = scopes_of([*numbers], known)
    made = ["" if tensor.is_leaf else name_of(tensor) for tensor in numbers]
    called = names_for([operation or "leaf" for operation in made], [known.get(id(tensor)) for tensor in numbers])
    nodes = [
        Node(number, name, "result" if operation else "leaf", operation, tensor.shape, tensor.dtype.name, tensor._time,
             tensor.item() if tensor.size == 1 else None, scopes.get(tensor, ""))
        for (tensor, number), operation, name in zip(numbers.items(), made, called, strict=True)
    ]
    return Graph(tuple(nodes), tuple(Arrow(source, numbers[target], at) for source, target, at in arrows))


def scopes_of(tensors: Sequence[Tensor], known: Mapping[int, str]) -> dict[Tensor, str]:
    """The module that each result seems to be of: that of its parameters, `model.3` for `model.3.weight`.

    What has none is within the modules that both the one before it and the one after it are in.
    """
    results = [tensor for tensor in tensors if not tensor.is_leaf]
    owners = []
    for tensor in results:
        names = [known.get(id(parent), "") for parent, _ in tensor._edges if parent.is_leaf]
        parts = [name.split(".")[:-1] for name in names if re.fullmatch(r"[\w.-]+", name)]
        owners.append(next(filter(None, parts), []))
    before, after = carried_on(owners), carried_on(owners[::-1])[::-1]
    scopes = [own or a[: shared_length(a, b)] for own, a, b in zip(owners, before, after, strict=True)]
    return {tensor: ".".join(scope) for tensor, scope in zip(results, scopes, strict=True)}


def carried_on(paths: Sequence[list[str]]) -> list[list[str]]:
    """Each path, or the last one that was not empty."""
    found: list[list[str]] = []
    for path in paths:
        found.append(path or (found[-1] if found else []))
    return found


def layers(module: Any, input_shape: Sequence[int], dtype: Any = np.float32) -> Graph:
    """The graph of the layers that a module runs for one sample of this shape, in evaluation mode."""
    parts = dict(module.named_modules())
    sample = np.zeros((1, *input_shape), dtype)
    events: list[Recorded] = []
    with module.in_mode(training=False), enable_grad(), recording(events.append):
        module(Tensor(sample, requires_grad=sample.dtype.kind == "f"))
    if not events:
        raise ValueError(f"{type(module).__name__} computes nothing that could be drawn: in evaluation mode it hands "
                         "on its input as it is")
    made_by: dict[int, int] = {}
    arrows: dict[tuple[int, int], None] = {}
    nodes: list[Node] = []
    for (path, _), together in groupby(events, key=attrgetter("scope", "entry")):  # a box each time that a layer runs
        part, box, given = parts.get(path, module), len(nodes), set[int]()
        for event in together:
            arrows.update({(made_by[id(x)], box): None for x in event.inputs if made_by.get(id(x), box) != box})
            made_by[id(event.result)] = box
            given.update(map(id, event.inputs))
        is_layer = not [*part.named_children()]
        kind = type(part).__name__ if is_layer else name_of_operation(event.operation)
        count = sum(p.size for p in part.parameters(recurse=False) if is_layer or id(p) in given)
        around = path.rpartition(".")[0] if is_layer else path
        nodes.append(Node(box, f"{path} {kind}".strip(), "result", kind, event.result.shape, "float64", 0, None, around,
                          count))
    return Graph(tuple(nodes), tuple(Arrow(a, b, 0) for a, b in arrows))
