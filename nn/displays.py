"""What a notebook shows of a module and of an evaluation."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from minigrad.show.displays import QUIET, boxed, heatmap, line, table, tree
from nn.metrics import Evaluation
from nn.module import Module

MOST_CLASSES = 12  # of a confusion matrix with numbers; one of more is a picture


def module_html(module: Module) -> str:
    """The tree of a module's parts, with shapes and counts of parameters; parts fold."""
    return boxed(tree([branch("", module, ())]))


def branch(name: str, module: Module, above: tuple[Module, ...]) -> Any:
    """What is said of a module, and of all below it."""
    if any(module is outer for outer in above):
        return f"{escape(name)}: …", []
    count = module.num_parameters()
    below = [branch(child_name, child, (*above, module)) for child_name, child in module.named_children()]
    own: list[Any] = [(label(f"{p_name} {p.shape}", f"{p.dtype}"), [])
                      for p_name, p in module.named_parameters(recurse=False)]
    settings = f"({text})" if (text := module.extra_repr()) else ""
    title = f"{name}: {type(module).__name__}{settings}" if name else f"{type(module).__name__}{settings}"
    return label(title, f"{count:,} parameters" if count else ""), [*own, *below]


def label(text: str, quiet: str) -> str:
    """A line of the tree."""
    return f'<b>{escape(text)}</b> <span style="{QUIET}">{escape(quiet)}</span>'


def evaluation_html(evaluation: Evaluation) -> str:
    """The numbers, and the confusion matrix: each row in shares of its class."""
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in evaluation.numbers().items())
    if evaluation.confusion is None:
        return boxed(line("evaluation", numbers))
    counts = evaluation.confusion
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    # What is right is blue and what is wrong is red, so that a good classifier is a blue diagonal on nothing.
    depths = np.where(np.eye(len(counts), dtype=bool), -shares, shares)
    said = line("", "rows: true class, columns: predicted class; blue is right, red wrong, by share of the row")
    if len(counts) > MOST_CLASSES:
        confused = ", ".join(f"{a} and {b} ({n:,})" for a, b, n in evaluation.most_confused())
        picture = heatmap(depths.tolist(), f"confusion matrix of {len(counts)} classes", 1.0)
        return boxed(line("evaluation", numbers), picture, said, line("", f"most confused: {confused}"))
    names = [*map(str, range(len(counts)))]
    rows = [
        [*((f"{n:,}" if n else "·", float(d)) for n, d in zip(row, depth, strict=True)), (f"{recall:.1%}", 0.0)]
        for row, depth, recall in zip(counts.tolist(), depths, evaluation.recall, strict=True)
    ]
    return boxed(line("evaluation", numbers), table(rows, [*names, "recall"], names), said)
