"""Time minigrad beside hand-written NumPy and, where they are installed, other engines: `python -m benchmarks`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks import chains, deep_cnn, evaluation, gradient_checks, hvp, imports, keras_cnn, mlp
from benchmarks.page import PAGE, environment, write_between
from benchmarks.timing import (
    Contestant,
    Contestants,
    beside_busy_processes,
    check_agreement,
    seconds_per_call,
    table,
    take_turns,
)
from minigrad.allocator import keep_freed_memory
from nn.console import positive
from nn.native import one_thread_for_products


def busy_rounds(rounds: int) -> int:
    """How many of the rounds there are again beside a busy process."""
    return max(1, rounds // 3)


@dataclass(frozen=True)
class Workload:
    """Something to time.

    Attributes:
        title: the head of its table.
        contestants: makes those that are timed.
        checked: makes those whose results are compared, if not those that are timed.
        calls: how many calls in a row make one figure.
        clock: what takes the time; `imports.clock` for contestants that take it themselves and so have no results.
    """

    title: str
    contestants: Callable[[], Contestants]
    checked: Callable[[], Contestants] | None = None
    calls: int = 20
    clock: Callable[[Contestant, int], float] = seconds_per_call

    def measure(self, rounds: int) -> str:
        """The table; a third of the rounds again beside a busy process. Raises SystemExit if results differ."""
        if self.clock is seconds_per_call:
            check_agreement((self.checked or self.contestants)(), calls=3)
        contestants = self.contestants()
        quiet = take_turns(contestants, rounds, self.calls, self.clock)
        with beside_busy_processes(), one_thread_for_products():
            busy = take_turns(contestants, busy_rounds(rounds), self.calls, self.clock)
        return table(self.title, quiet, busy)


def mlp_step(size: int) -> Workload:
    """A step of the default network, compared without dropout."""
    makers = partial(mlp.contestants, size), partial(mlp.contestants, size, dropout=0)
    return Workload(f"step of the default network, batch {size}", *makers)


def keras_cnn_step(size: int, calls: int) -> Workload:
    """A step of the small convolutional network."""
    return Workload(f"step of the Keras CNN, batch {size}", partial(keras_cnn.contestants, size), calls=calls)


def deep_cnn_step(size: int) -> Workload:
    """A step of the deeper one, compared without two threads and two processes: their batch norm sees half batches."""
    makers = partial(deep_cnn.contestants, size, parallel=True), partial(deep_cnn.contestants, size)
    return Workload(f"step of the deep CNN, batch {size}", *makers, calls=1)


WORKLOADS = {
    "mlp": [mlp_step(32), mlp_step(128), mlp_step(512)],
    "keras-cnn": [keras_cnn_step(32, calls=10), keras_cnn_step(128, calls=3)],
    "deep-cnn": [deep_cnn_step(64)],
    "evaluation": [Workload("evaluation of 10,000 images", partial(evaluation.contestants, 10_000), calls=3)],
    "chain": [Workload(f"chain of {chains.LENGTH:,} multiplications", chains.contestants, calls=1)],
    "hvp": [Workload("Hessian–vector product, batch 128", partial(hvp.contestants, 128))],
    "gradcheck": [Workload("gradient check, batch 32", partial(gradient_checks.contestants, 32), calls=1)],
    "import": [Workload("import, when NumPy is imported", imports.contestants, calls=1, clock=imports.clock)],
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each workload, and on request write them into the documentation."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, metavar="NAME", help=f"of {', '.join(WORKLOADS)}")
    rounds_help = "figures of each contestant (default 30), and a third as many on busy cores"
    parser.add_argument("--rounds", type=positive(int), default=30, metavar="N", help=rounds_help)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    options = parser.parse_args(arguments)
    if options.write and options.only:
        parser.error("--write replaces all tables, which have to come from one run: leave out --only")
    keep_freed_memory()
    parts = []
    for name in options.only or WORKLOADS:
        for workload in WORKLOADS[name]:
            parts.append(workload.measure(options.rounds))
            print(parts[-1], "\n", sep="", flush=True)
    counts = f"{options.rounds} rounds, a busy one from {busy_rounds(options.rounds)}"
    parts.append(f"{environment()} Every figure comes from {counts}.")
    print(parts[-1])
    if options.write:
        write_between("tables", "\n\n".join(parts), PAGE)


if __name__ == "__main__":
    main()
