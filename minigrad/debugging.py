"""Finding where NaN and infinity come from, what was changed behind the graph's back, and what a graph holds on to."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from minigrad.arrays import Array, owner_of
from minigrad.graph import topological_order
from minigrad.guards import kept_by_rules, name_of, name_of_operation, reads_result
from minigrad.hooks import extras_of
from minigrad.modes import AroundCalls, no_grad
from minigrad.recording import Contributed, Event, Recorded, Seeded, recording
from minigrad.tensor import Tensor, TensorLike, wrap
from minigrad.trees import leaves

FORWARD_TRAPS = {
    "log": "the logarithm of 0 is -inf, and of a negative number NaN: keep the input above 0, by clip or a small sum",
    "sqrt": "the square root of a negative number is NaN: keep the input at or above 0",
    "exp": "exp overflows above 88.7 in float32 and 709.7 in float64: subtract the largest element first, or use "
    "logsumexp, softmax or softplus",
    "divide": "dividing by 0 gives inf, or NaN for 0 / 0: keep the divisor away from 0",
    "power": "0 to a negative power is inf, and a negative number to a fractional power NaN",
    "multiply": "0 · inf is NaN, and a large product overflows",
    "subtract": "inf - inf is NaN",
}
BACKWARD_TRAPS = {
    "sqrt": "the slope of sqrt at 0 is infinite: add a small number under the root",
    "log": "the slope of log at 0 is infinite: keep the input above 0",
    "power": "the slope at base 0 is infinite for an exponent below 1, and that by the exponent NaN at a base below 0: "
    "keep the base above 0",
    "divide": "dividing by 0 or by a tiny number gives an infinite slope: keep the divisor away from 0",
}
SAFE_CALLS = {  # an operation -> where its slope is finite, and a call that is safe everywhere
    **{name: ("x > 0", f"{name}(where(x > 0, x, 1))") for name in ("log", "log2", "log10", "sqrt")},
    **{name: ("x != 0", f"{name}(where(x != 0, x, 1))") for name in ("reciprocal", "cbrt")},
    **{name: ("abs(x) < 1", f"{name}(where(abs(x) < 1, x, 0))") for name in ("arcsin", "arccos", "arctanh")},
    "log1p": ("x > -1", "log1p(where(x > -1, x, 0))"),
    "arccosh": ("x > 1", "arccosh(where(x > 1, x, 2))"),
    "divide": ("b != 0", "divide(a, where(b != 0, b, 1))"),
    "power": ("x > 0", "power(where(x > 0, x, 1), p)"),
}


class AnomalyError(ArithmeticError):
    """A value or gradient that is not finite, or a value that was changed; the message says where it came from."""


class detect_anomaly(AroundCalls, threading.local):
    """Within this context, or the decorated function, NaN and infinity are reported at the moment they appear.

    An infinity that was put in, such as the -inf of a mask, may be handed on, but a NaN that comes of it is reported.
    Each operation remembers the line that called it; its value and each gradient that it passes back are checked; and
    the values that gradients may be computed from are checked not to have been changed in between, by writing into
    `x.numpy()`, say. It holds for the thread that enters it and has to leave it, and costs nothing outside.

    Raises:
        AnomalyError: naming the operation, the line, the first bad index, and the trap, if it is a known one.
        TypeError: if it decorates a generator or a coroutine, whose body runs later.

    >>> x = Tensor([1.0, 0.0], requires_grad=True)
    >>> with detect_anomaly():
    ...     x.sqrt().sum().backward()
    Traceback (most recent call last):
    minigrad.debugging.AnomalyError: the gradient that sqrt at ... passes back is inf at index (1,): the slope of ...
    """

    def __init__(self) -> None:  # in each thread
        self.contexts: list[ExitStack] = []

    def __enter__(self) -> None:
        self.contexts.append(ExitStack())
        self.contexts[-1].enter_context(recording(self.check))
        self.contexts[-1].enter_context(np.errstate(all="ignore"))  # NumPy's warnings say less

    def __exit__(self, *exc_info: object) -> None:
        self.contexts.pop().close()

    def check(self, event: Event) -> None:
        """Check what was computed forwards or passed backwards."""
        if isinstance(event, Recorded):
            self.check_value(event)
        elif isinstance(event, Contributed):
            self.check_contribution(event)
        elif isinstance(event, Seeded):
            self.check_gradient(event.tensor, event.gradient, "with which the backward pass begins at")
        elif first_bad(event.arrived._data) is None:
            self.check_gradient(event.tensor, event.gradient, "that a hook made of what arrived at")

    def check_value(self, event: Recorded) -> None:
        """Check the value of an operation, and remember what its rules compute with."""
        out, name = event.result, name_of_operation(event.operation)
        bad = first_bad(out._data)
        if bad is not None and not event.backwards:  # what rules compute is checked when they return it
            parts = leaves([event.inputs, event.arguments, event.options])
            arrays = [np.asarray(x._data if isinstance(x, Tensor) else x) for x in parts]
            given = [array for array in arrays if first_bad(array) is not None]
            if np.isnan(out._data).any() or not any(np.isinf(array).any() for array in given):
                trap = "an input was not finite before" if given else FORWARD_TRAPS.get(name, "")
                raise AnomalyError(sentence(f"{name} at {event.place} gave", out._data, bad, trap))
        if out._edges:
            kept = [x if isinstance(x, Tensor) else wrap(x) for x in kept_by_rules(out)]
            kept += [out.detach()] if any(reads_result(rule) for _, rule in out._edges) else []
            extras_of(out).checksums = [(x, checksum(x._data)) for x in kept]

    def check_contribution(self, event: Contributed) -> None:
        """Check what a rule passed back, and that what it computes with is unchanged."""
        out, contribution = event.result, event.contribution
        extras = extras_of(out)
        where = f"{name_of(out)} at {extras.line or 'a line before detect_anomaly() began'}"
        for x, before in extras.checksums:
            if x._time <= out._time and checksum(x._data) != before:
                raise AnomalyError(
                    f"a value of shape {x.shape} that {where} needs for its gradient was changed since, "
                    "outside of the graph: copy an array before writing into it"
                )
        bad = first_bad(contribution._data)
        if bad is not None:
            dead = np.asarray(met_infinite_slope(event).any(event.axes)).reshape(contribution.shape)
            trap = dead_branch(name_of(out)) if dead[bad] else BACKWARD_TRAPS.get(name_of(out), "")
            raise AnomalyError(sentence(f"the gradient that {where} passes back is", contribution._data, bad, trap))
        total = event.after._data
        if (bad := first_bad(total)) is not None:
            trap = "what comes back along several paths is added"
            raise AnomalyError(sentence(f"with the gradient that {where} passes back, the sum is", total, bad, trap))

    def check_gradient(self, tensor: Tensor, gradient: Tensor, which: str) -> None:
        """Check a gradient that the user provided."""
        bad = first_bad(gradient._data)
        if bad is not None:
            what = "a leaf" if tensor.is_leaf else name_of(tensor)
            line = f" at {tensor._extras.line}" if tensor._extras is not None and tensor._extras.line else ""
            raise AnomalyError(sentence(f"the gradient {which} {what}{line} is", gradient._data, bad, ""))


def first_bad(array: Array) -> tuple[int, ...] | None:
    """The index of the first element that is NaN or infinite, if there is one."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return None
    return tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])


def met_infinite_slope(event: Contributed) -> Array:
    """Of what a rule has returned, which elements are NaN because a gradient of 0 met an infinite slope.

    They are those that the rule, called again with 1 in place of each 0, does not make NaN. A rule that takes no such
    gradient tells nothing.
    """
    grad = event.gradient._data
    again = event.raw
    with no_grad(), np.errstate(all="ignore"), suppress(Exception):
        again = event.rule(wrap(grad + (grad == 0)), event.result)
    return np.isnan(event.raw._data) & ~np.isnan(again._data)


def dead_branch(name: str) -> str:
    """What to do if an operation's infinite slope meets the gradient 0."""
    safe = f"an input at which the slope of {name} is finite"
    if name in SAFE_CALLS:
        condition, call = SAFE_CALLS[name]
        safe = f"a safe input: where({condition}, {call}, 0)"
    return (
        "the gradient 0 met an infinite slope, and 0 · inf is NaN: most likely `where` did not choose this branch, but "
        f"it is computed all the same, so give it {safe}"
    )


def sentence(what: str, array: Array, index: tuple[int, ...], trap: str) -> str:
    """What is not finite, where, how often, and why."""
    count = int((~np.isfinite(array)).sum())
    place = f" at index {index}" if index else ""
    more = f", the first of {count:,} such elements" if count > 1 else ""
    return f"{what} {array[index]}{place}{more}" + (f": {trap}" if trap else "")


def checksum(array: Array) -> int:
    """A number that changes when the array's content does."""
    return crc32(array.tobytes())


# ------------------------------------------------------------------------------------------------ memory


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
        from minigrad.show.boxes import letters, padded  # drawings are not imported with the engine

        width = max(map(letters, ["operation", *(name for name, _ in self.rows)]))
        lines = [f"{'operation':<{width}} {'nodes':>7} {'bytes':>14}  line"]
        for (name, line), (nodes, size) in sorted(self.rows.items(), key=lambda row: -row[1][1]):
            lines.append(f"{padded(name, width)} {nodes:>7,} {size:>14,}  {line}".rstrip())
        lines.append(f"{'total':<{width}} {self.nodes:>7,} {self.bytes:>14,}")
        return "\n".join(lines)


def memory(*tensors: TensorLike) -> Memory:
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
    order = topological_order(*tensors)
    leaves = dict.fromkeys(parent for tensor in order for parent, _ in tensor._edges if parent.is_leaf)
    for tensor in [*leaves, *order]:
        row = "leaf" if tensor.is_leaf else name_of(tensor), (tensor._extras and tensor._extras.line) or ""
        nodes[row] += 1
        for held in [tensor, *kept_by_rules(tensor)]:
            array = owner_of(held._data if isinstance(held, Tensor) else held)
            if id(array) not in counted:
                counted.add(id(array))
                sizes[row] += array.nbytes
    return Memory(len(order), sizes.total(), {row: (nodes[row], sizes[row]) for row in nodes})
