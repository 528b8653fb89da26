"""A picture of a graph as SVG, in the language of Graphviz, and in that of Mermaid.

What the user named is in it as text, whatever the name is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

from minigrad.show.boxes import LETTER, Box, Picture, Route, isolated, letters
from minigrad.show.layout import PAD, Point

MARGIN = 12.0
MARKDOWN = re.compile(r"[^\w\s(),.:=·×…/'-]|(?<![^\W_])_|_(?![^\W_])|\.(?=\s)|^-")  # what Mermaid might take for such
STYLE = """<style>
  .minigrad .box { fill: #ecfdf5; stroke: #4b5563 } .minigrad .leaf { fill: #eef2ff }
  .minigrad .constant { fill: #f3f4f6 } .minigrad .folded { fill: #fef9c3 }
  .minigrad .edge { fill: none; stroke: #6b7280; stroke-width: 1.4 } .minigrad .head { fill: #6b7280 }
  .minigrad .frame { fill: #6b7280; fill-opacity: 0.06; stroke: #9ca3af; stroke-dasharray: 5 3 }
  .minigrad text { fill: #111827; text-anchor: middle } .minigrad .facts { fill: #4b5563; font-size: 11px }
  @media (prefers-color-scheme: dark) {
    .minigrad .box { fill: #064e3b; stroke: #9ca3af } .minigrad .leaf { fill: #312e81 }
    .minigrad .constant { fill: #334155 } .minigrad .folded { fill: #713f12 }
    .minigrad text { fill: #f9fafb } .minigrad .facts { fill: #d1d5db }
  }
  .minigrad .outside { fill: #767d8a } .minigrad .label { text-anchor: start }
</style>"""  # only for what is in the picture; what is outside of boxes is read on white and on black


def svg_text(picture: Picture, described: str) -> str:
    """A picture for light and dark pages, without anything from outside."""
    placed = picture.placed()
    parts = [svg_frame(picture.names[frame], place) for frame, place in placed.frames.items()]
    parts += [svg_arrow(route) for route in picture.routes(placed)]
    parts += [svg_box(box, placed.centers[i]) for i, box in enumerate(picture.boxes)]
    height = placed.height
    if picture.caption:
        height += 2 * MARGIN
        middle = f'x="{placed.width / 2:.1f}" y="{height - 4:.1f}"'
        parts.append(f'<text class="facts outside" {middle}>{picture.caption}</text>')
    width = max(placed.width, letters(picture.caption) * LETTER) + 2 * MARGIN
    left, height = (placed.width - width) / 2, height + 2 * MARGIN
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" class="minigrad" '
        f'viewBox="{left:.0f} {-MARGIN:.0f} {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{escape(described, quote=True)}" '
        f'font-family="ui-monospace, monospace" font-size="12">\n{STYLE}\n' + "\n".join(parts) + "\n</svg>\n"
    )


def svg_frame(name: str, place: tuple[float, float, float, float]) -> str:
    """A frame with its label."""
    x, y, width, height = place
    return (
        f'<rect class="frame" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="10"/>'
        f'<text class="facts outside label" x="{x + PAD:.1f}" y="{y + 17:.1f}">{svg_string(name)}</text>'
    )


def svg_box(box: Box, center: Point) -> str:
    """A box with its text."""
    (name, facts), (x, y), (width, height) = box.lines, center, box.size()
    radius = height / 2 if box.kind in ("leaf", "constant") else 6
    return (
        f'<rect class="{"box" if box.kind == "result" else f"box {box.kind}"}" x="{x - width / 2:.1f}" '
        f'y="{y - height / 2:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:.1f}"/>'
        f'<text x="{x:.1f}" y="{y - 4:.1f}" font-weight="600">{svg_string(name)}</text>'
        f'<text class="facts" x="{x:.1f}" y="{y + 13:.1f}">{svg_string(facts)}</text>'
    )


def svg_string(line: str) -> str:
    """A line of text for between tags."""
    return escape(isolated(line))


def svg_arrow(route: Route) -> str:
    """A smooth line through some points, with a head, and how many edges it stands for."""
    (x, y), *rest = route.points
    path, count = f"M{x:.1f} {y:.1f}", ""
    if route.spot is not None:
        place = 'x="{:.1f}" y="{:.1f}"'.format(*route.spot)
        count = f'<text class="facts outside label" {place}>×{len(route.edges)}</text>'
    for next_x, next_y in rest:
        middle = (y + next_y) / 2
        path += f" C{x:.1f} {middle:.1f} {next_x:.1f} {middle:.1f} {next_x:.1f} {next_y:.1f}"
        x, y = next_x, next_y
    head = f"M{x - 4:.1f} {y - 8:.1f} L{x:.1f} {y:.1f} L{x + 4:.1f} {y - 8:.1f}z"
    return f'<path class="edge" d="{path}"/><path class="head" d="{head}"/>{count}'


# ------------------------------------------------------------------------------------------------ dot


def dot_text(picture: Picture) -> str:
    """The picture in the language of Graphviz."""
    looks = {"result": "", "folded": ", peripheries=2"}

    def opening(frame: int) -> str:
        return f"subgraph cluster_{frame} {{ label={dot_string(picture.names[frame])}; style=rounded"

    def box_line(i: int) -> str:
        box = picture.boxes[i]
        return f"n{i} [label={dot_string(*box.lines)}{looks.get(box.kind, ', style=filled')}]"

    lines = ["digraph {", "  node [shape=box, style=rounded, fontname=monospace]"]
    lines += [f"  label={dot_string(picture.caption)}"] if picture.caption else []
    lines += outline(picture, opening, box_line, "}")
    for (source, target), edges, _ in picture.bundles():
        lines.append(f"  n{source} -> n{target}" + (f' [label="×{len(edges)}"]' if len(edges) > 1 else ""))
    return "\n".join([*lines, "}"]) + "\n"


def dot_string(*lines: str) -> str:
    """Lines of text in quotes; Graphviz knows escapes by backslashes, and HTML's by names."""
    quoted = (isolated(line).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;") for line in lines)
    return '"' + "\\n".join(quoted) + '"'


def outline(
    picture: Picture, opening: Callable[[int], str], box_line: Callable[[int], str], closing: str,
    around: tuple[int, ...] = (),
) -> list[str]:
    """A line for each box in the frames at `around`; then each frame there, with what is in it."""
    indent, depth = "  " * (len(around) + 1), len(around)
    lines = [indent + box_line(i) for i, box in enumerate(picture.boxes) if box.within == around]
    inner = [box.within[: depth + 1] for box in picture.boxes if len(box.within) > depth]
    for path in dict.fromkeys(path for path in inner if path[:-1] == around):
        lines += [indent + opening(path[-1]), *outline(picture, opening, box_line, closing, path), indent + closing]
    return lines


# ------------------------------------------------------------------------------------------------ mermaid


def mermaid_text(picture: Picture) -> str:
    """The picture in the language of Mermaid, which forges draw in Markdown."""
    shapes = {"result": ("[", "]"), "folded": ("[[", "]]")}

    def opening(frame: int) -> str:
        return f'subgraph f{frame}["{mermaid_string(picture.names[frame])}"]'

    def box_line(i: int) -> str:
        box = picture.boxes[i]
        left, right = shapes.get(box.kind, ("([", "])"))
        return f'n{i}{left}"{"<br>".join(map(mermaid_string, box.lines))}"{right}'

    lines = ["---", f'title: "{picture.caption}"', "---"] if picture.caption else []
    lines += ["flowchart TD", *outline(picture, opening, box_line, "end")]
    for (source, target), edges, _ in picture.bundles():
        lines.append(f"  n{source} -->{f'|×{len(edges)}|' if len(edges) > 1 else ''} n{target}")
    return "\n".join(lines) + "\n"


def mermaid_string(line: str) -> str:
    """A line of text for between quotes, without what Mermaid, HTML or Markdown would see something else in."""
    return MARKDOWN.sub(lambda found: f"#{ord(found[0])};", isolated(line))
