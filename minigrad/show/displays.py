"""What a notebook shows of a tensor and of a report: HTML by itself, for light and dark pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from math import isfinite
from typing import Any

import numpy as np

from minigrad.arrays import Array
from minigrad.guards import name_of
from minigrad.show.steps import MOST_ELEMENTS, Shown, shown
from minigrad.tensor import Tensor
from minigrad.testing.report import Report

MOST_COLUMNS = 16  # of a table of numbers; a wider array is a picture
LEVELS = 12  # of each of the two colours
CELL = 8  # pixels of an element in a picture
POSITIVE, NEGATIVE = "#dc2626", "#2563eb"  # red and blue are told apart by all; the page itself is what zero looks like
FRAME = "font: 13px/1.5 ui-monospace, Menlo, Consolas, monospace; margin: 4px 0"
QUIET = "opacity: 0.7"


def boxed(*parts: str) -> str:
    """Some parts, one below the other."""
    return f'<div style="{FRAME}">{"".join(parts)}</div>'


def line(text: str, quiet: str = "") -> str:
    """A line of text, and more of it that is less important; both are escaped."""
    more = f' <span style="{QUIET}">{escape(quiet)}</span>' if quiet else ""
    return f"<div><b>{escape(text)}</b>{more}</div>"


def table(rows: Iterable[Sequence[tuple[str, float]]], heads: Sequence[str] = (), sides: Sequence[str] = ()) -> str:
    """A table of texts, each on a ground as deep as its number, from -1 to 1, says."""
    def head(text: str, align: str) -> str:
        return f'<th scope="{"row" if align == "left" else "col"}" style="{CELLS} text-align: {align}; {QUIET}">' \
               f"{escape(text)}</th>"

    top = "".join(head(text, "right") for text in (["", *heads] if sides else heads))
    body = [
        (head(sides[i], "left") if sides else "")
        + "".join(f'<td style="{CELLS} text-align: right;{ground(depth)}">{escape(text)}</td>' for text, depth in row)
        for i, row in enumerate(rows)
    ]
    lines = "".join(f'<tr style="background: none">{row}</tr>' for row in [*([top] if heads else []), *body])
    return f'<table style="border-collapse: collapse; font: inherit; color: inherit; margin: 2px 0">{lines}</table>'


CELLS = "padding: 1px 6px; border: none; white-space: nowrap;"


def ground(depth: float) -> str:
    """The colour behind a cell."""
    if not isfinite(depth) or abs(depth) < 0.02:
        return ""
    red, green, blue = (int((POSITIVE if depth > 0 else NEGATIVE)[i : i + 2], 16) for i in (1, 3, 5))
    return f" background: rgba({red}, {green}, {blue}, {min(abs(depth), 1) * 0.55:.2f})"


def heatmap(rows: Sequence[Sequence[float]], label: str, largest: float | None = None) -> str:
    """A picture of a matrix, red above zero and blue below; 0 and `largest` (by default that which occurs) are ends."""
    image = np.nan_to_num(np.asarray(rows, float))
    most = largest or float(np.abs(image).max(initial=0.0)) or 1.0
    levels = np.rint(image / most * LEVELS).clip(-LEVELS, LEVELS).astype(int)
    height, width = image.shape
    paths = []
    for level in np.unique(levels[levels != 0]).tolist():
        cells = "".join(f"M{x} {y}h1v1h-1z" for y, x in np.argwhere(levels == level).tolist())
        color = POSITIVE if level > 0 else NEGATIVE
        paths.append(f'<path d="{cells}" fill="{color}" fill-opacity="{abs(level) / LEVELS:.2f}"/>')
    cell = max(CELL, min(3 * CELL, 160 // max(width, height)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(label)}" '
        f'viewBox="0 0 {width} {height}" width="{width * cell}" height="{height * cell}" '
        f'shape-rendering="crispEdges" preserveAspectRatio="none"'
        f' style="display: block; margin: 4px 0; max-width: 100%; outline: 1px solid rgba(128, 128, 128, 0.5)">'
        f'{"".join(paths)}</svg>'
    )


# ------------------------------------------------------------------------------------------------ tensors


def tensor_html(tensor: Tensor) -> str:
    """A tensor: all elements of a small one; else statistics, and a picture."""
    made = f"made by {name_of(tensor)}" if tensor._operation is not None else ""
    kind = made or ("requires_grad" if tensor.requires_grad else "constant")
    parts = [line(f"tensor {tensor.shape} {tensor.dtype}", kind), array_html(np.asarray(tensor._data))]
    if tensor.grad is not None:
        parts.append(line("grad", statistics(shown(tensor.grad._data))))
    return boxed(*parts)


def array_html(array: Array) -> str:
    """The elements of an array if they are few, else what is to be said of them."""
    about = shown(array)
    most = float(np.abs(array[np.isfinite(array)]).max(initial=0.0)) or 1.0
    if array.ndim in (1, 2) and 0 < array.size <= MOST_ELEMENTS and array.shape[-1] <= MOST_COLUMNS:
        return table([[(number(x), float(x) / most) for x in row] for row in np.atleast_2d(array).tolist()])
    if array.size <= MOST_ELEMENTS:
        return f'<pre style="margin: 2px 0; background: none">{escape(np.array2string(array, separator=", "))}</pre>'
    said = [line("", statistics(about))]
    if about.picture is not None:
        said.append(heatmap(about.picture, f"picture of an array of shape {array.shape}"))
        said.append(line("", caption(about)))
    return "".join(said)


def number(x: float) -> str:
    """A whole number in full, another in a few digits."""
    return str(x) if isinstance(x, int) else f"{x:.4g}"


def statistics(about: Shown) -> str:
    """What is to be said of an array in a line."""
    if about.values is not None and len(about.values) == 1:
        return number(about.values[0])
    parts = []
    if about.smallest is not None and about.largest is not None and about.mean is not None and about.std is not None:
        parts = [f"from {about.smallest:.4g} to {about.largest:.4g}", f"mean {about.mean:.4g}", f"std {about.std:.4g}"]
    counts = {"zeros": about.zeros, "NaN": about.nans, "infinite": about.infinities}
    return ", ".join([*parts, *(f"{n:,} {what}" for what, n in counts.items() if n)]) or f"{about.shape}"


def caption(about: Shown) -> str:
    """What a picture shows."""
    assert about.picture is not None
    height, width = len(about.picture), len(about.picture[0])
    most = max(abs(x) for row in about.picture for x in row)
    first = f"[{', '.join('0' * (len(about.shape) - 2))}] of it, " if len(about.shape) > 2 else ""
    rows, columns = (1, *about.shape)[-2:]
    means = "means of blocks, " if (height, width) != (rows, columns) else ""
    return f"{first}{means}blue −{most:.3g}, nothing 0, red {most:.3g}"


# ------------------------------------------------------------------------------------------------ reports

STATES = {"correct": "#16a34a", "WRONG": "#dc2626", "undecided": "#d97706"}


def report_html(report: Report) -> str:
    """What a gradient check found: the verdict, and a table of the findings."""
    counts = ", ".join(f"{n} {verdict.value}" for verdict, n in report.verdicts.items() if n)
    quiet = f' <span style="{QUIET}">{escape(f"slopes: {counts}")}</span>' if counts else ""
    state = f'<b style="color: {STATES[report.state]}">{report.state}</b>'
    rows = [(kind, text) for kind, texts in (
        ("problem", report.problems), ("detail", report.details), ("undecided", report.undecided),
        ("note", report.notes),
    ) for text in texts]
    findings = "".join(
        f'<tr style="background: none"><th scope="row" style="{CELLS} text-align: left; vertical-align: top; {QUIET}">'
        f'{kind}</th><td style="padding: 1px 6px; border: none; text-align: left; white-space: pre-wrap; '
        f'overflow-wrap: anywhere">{escape(text)}</td></tr>'
        for kind, text in rows
    )
    style = "border-collapse: collapse; font: inherit; color: inherit; max-width: 100ch"
    body = f'<table style="{style}">{findings}</table>' if rows else ""
    return boxed(f"<div>the gradient of <b>{escape(report.name)}</b> is {state}{quiet}</div>", body)


def in_a_frame(page: str, title: str) -> str:
    """A page of its own within a notebook, which may run its script and do nothing else."""
    style = "width: 100%; height: 640px; border: 1px solid rgba(128, 128, 128, 0.5)"
    return (
        f'<iframe sandbox="allow-scripts" style="{style}" title="{escape(title)}" srcdoc="{escape(page)}"></iframe>'
    )


def unboxed(text: str) -> str:
    """Text as it is, in a notebook."""
    return boxed(f'<pre style="margin: 0; background: none">{escape(text)}</pre>') if text else ""


def tree(rows: Any) -> str:
    """Nested lists of (escaped text, rows below it) that fold."""
    parts = []
    for text, below in rows:
        if below:
            parts.append(f'<details open><summary style="cursor: pointer">{text}</summary>'
                         f'<div style="margin-left: 1.6em">{tree(below)}</div></details>')
        else:
            parts.append(f'<div style="margin-left: 1.1em">{text}</div>')
    return "".join(parts)
