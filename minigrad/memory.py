"""What a live graph holds on to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from minigrad.graph import topological_order
from minigrad.guards import kept_by_rules, name_of
from minigrad.tensor import Array, Tensor


@dataclass(frozen=True)
class Memory:
    """The memory of a graph; `print` shows it as a table.

    Attributes:
        nodes: how many operations were recorded.
        bytes: what their results, their inputs and what their rules have saved take, each array counted once.
        rows: (operation, line) -> (nodes, bytes); the line is known for what was recorded under `detect_anomaly`. The
            operation "leaf" stands for parameters and other inputs.
    """

    nodes: int
    bytes: int
    rows: dict[tuple[str, str], tuple[int, int]]

    def __str__(self) -> str:
        width = max(len("operation"), *(len(name) for name, _ in self.rows)) if self.rows else len("operation")
        lines = [f"{'operation':<{width}} {'nodes':>7} {'bytes':>14}  line"]
        for (name, line), (nodes, size) in sorted(self.rows.items(), key=lambda row: -row[1][1]):
            lines.append(f"{name:<{width}} {nodes:>7,} {size:>14,}  {line}".rstrip())
        lines.append(f"{'total':<{width}} {self.nodes:>7,} {self.bytes:>14,}")
        return "\n".join(lines)


def memory(*tensors: Tensor) -> Memory:
    """What the graph behind some tensors holds: nodes and bytes, by operation and by line.

    >>> x = Tensor(np.ones(1000), requires_grad=True)
    >>> print(memory((x.exp() * x).sum()))
    operation   nodes          bytes  line
    leaf            1          8,000
    exp             1          8,000
    multiply        1          8,000
    sum             1              8
    total           3         24,008
    """
    nodes: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    counted: set[int] = set()

    def count(array: Array, row: tuple[str, str]) -> None:
        while isinstance(array.base, np.ndarray):
            array = array.base
        if id(array) not in counted:
            counted.add(id(array))
            sizes[row] += array.nbytes

    order = topological_order(*tensors)
    for tensor in order:
        for parent, _ in tensor._edges:
            if parent.is_leaf and id(parent) not in counted:
                counted.add(id(parent))
                nodes["leaf", ""] += 1
                count(parent._data, ("leaf", ""))
    for tensor in order:
        row = name_of(tensor), (tensor._extras and tensor._extras.line) or ""
        nodes[row] += 1
        count(tensor._data, row)
        for kept in kept_by_rules(tensor):
            count(kept._data if isinstance(kept, Tensor) else kept, row)
    return Memory(len(order), sizes.total(), {row: (nodes[row], sizes[row]) for row in nodes})
