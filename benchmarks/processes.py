"""Training steps in 1, 2 and 4 processes, and what they would take on more machines: `python -m benchmarks.processes`.

It takes mpi4py and `mpiexec`. Jobs of each number of processes take turns. What a step is made of is measured apart, in
one process, and goes into a model of its time on networks that are not here; see docs/distributed.md.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter, process_time

import numpy as np

import nn
from benchmarks.jobs import ROOT, by_mpiexec
from benchmarks.page import environment, write_between
from benchmarks.timing import number
from nn import processes
from nn.console import positive
from nn.distributed import GradientAverage
from nn.fashion.models import Architecture, build
from nn.fashion.recipes import OPTIMIZERS, RECIPES

PAGE = ROOT / "docs" / "distributed.md"
COUNTS = 1, 2, 4
MACHINES = 1, 2, 4, 8, 16, 32, 64
LINKS = {"10 Gbit/s": 10e9 / 8, "100 Gbit/s": 100e9 / 8}  # bytes a second
MESSAGE = 25e-6  # seconds that a message takes to another machine, by TCP; not measured here
REDUCED = 1 << 24  # bytes of the Allreduce by which the bandwidth is measured


@dataclass(frozen=True)
class Network:
    """What is trained: its name, how many images make a batch, and the optimizer."""

    title: str
    batch: int
    architecture: Architecture
    optimizer: Callable[..., nn.optim.Optimizer]


LARGE_MLP = {"name": "mlp", "sizes": [784, 4096, 4096, 10]}
NETWORKS = {
    "best-cnn": Network("`best-cnn`", 128, RECIPES["best-cnn"].architecture, OPTIMIZERS["muon"]),
    "mlp": Network("784-4096-4096-10", 256, LARGE_MLP, nn.optim.AdamW),
}


@dataclass(frozen=True)
class Costs:
    """What a step is made of, in seconds of a processor, and the size of its gradients in bytes.

    Attributes:
        backward: loss and gradients of the whole batch, of which each process computes its part.
        update: the optimizer, whole in each process.
        pack: to and from the flat array.
        gradients: bytes that are added up.
    """

    backward: float
    update: float
    pack: float
    gradients: int


# ------------------------------------------------------------------------------------------------ in each process


def timed(part: Callable[[], object]) -> tuple[float, float]:
    """The seconds that something takes, and how many of them a processor."""
    start, start_of_processor = perf_counter(), process_time()
    part()
    return perf_counter() - start, process_time() - start_of_processor


def measure_step(network: Network, steps: int) -> dict[str, float]:
    """Median seconds of a step on this process's part of a batch, and of what it is made of, also of a processor."""
    rng = nn.manual_seed(0)
    model, count = build(network.architecture), network.batch // processes.size()
    optimizer, loss_function = network.optimizer(model.parameters(), lr=1e-4), nn.CrossEntropyLoss()
    average = GradientAverage(model)
    images, labels = rng.random((count, 28, 28), np.float32), rng.integers(0, 10, count)

    def backward() -> None:
        optimizer.zero_grad()
        loss_function(model(images), labels).backward()

    def pack() -> None:
        average.add_up(0.0, 2.0)

    parts: dict[str, Callable[[], object]] = {
        "backward": backward, "average": lambda: average(0.0, count), "update": optimizer.step,
        **({"pack": pack} if processes.size() == 1 else {}),
    }
    figures = []
    for _ in range(steps + 1):  # the first is a warm-up
        taken = {}
        for name, part in parts.items():
            taken[name], taken[f"{name}, processor"] = timed(part)
        taken["step"] = taken["backward"] + taken["average"] + taken["update"]
        figures.append(taken)
    return {name: median(taken[name] for taken in figures[1:]) for name in figures[0]} | {
        "gradients": average.flat.nbytes, "parameters": model.num_parameters(),
    }


def measure_link(calls: int) -> dict[str, float]:
    """Seconds of an Allreduce of one number, and bytes a second of one of many."""
    few, many = np.zeros(1), np.zeros(REDUCED // 4, np.float32)
    taken = {}
    for name, array, times in (("few", few, 20 * calls), ("many", many, calls)):
        taken[name] = median(timed(partial(processes.reduce_unchecked, array))[0] for _ in range(times + 1))
    return {"latency": taken["few"], "bandwidth": REDUCED / taken["many"]}


# ------------------------------------------------------------------------------------------------ jobs and tables


def job(count: int, *arguments: str) -> dict[str, float]:
    """What process 0 of a job of so many processes measured."""
    program = by_mpiexec(count, "benchmarks.processes", *arguments)
    result = subprocess.run(**program, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(result.stdout)
    return figures


def modelled(costs: Costs, machines: int, bandwidth: float, batches: int = 1) -> float:
    """Seconds of a step on so many machines, which share so many batches.

    An Allreduce is counted as the best known ones are: each machine sends and receives 2 (n - 1) / n of the bytes, in
    2 log2 n messages (Rabenseifner, 2004). Two more, of four numbers, ask whether all are at that step, and go on.
    """
    messages = 3 * 2 * math.log2(machines)
    sent = 2 * (machines - 1) / machines * costs.gradients
    alone = costs.backward * batches / machines + costs.update
    return alone + (machines > 1) * costs.pack + messages * MESSAGE + sent / bandwidth


def model_table(costs: Costs) -> str:
    """A Markdown table of what steps would take on more machines, and how many times as fast training would be."""
    links = [f"one batch, {name} | faster | a batch each, faster" for name in LINKS]
    lines = [f"| machines | {' | '.join(links)} |", "|---" * (1 + 3 * len(LINKS)) + "|"]
    alone = costs.backward + costs.update
    for n in MACHINES:
        cells = [str(n)]
        for bandwidth in LINKS.values():
            shared, each = modelled(costs, n, bandwidth), modelled(costs, n, bandwidth, batches=n)
            cells += [f"{number(1e3 * shared)} ms", f"{number(alone / shared)} ×", f"{number(n * alone / each)} ×"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def steps_table(measured: dict[str, dict[int, list[dict[str, float]]]]) -> str:
    """A Markdown table of what was measured: medians of the rounds, and the median of the ratios within a round."""
    lines = ["| step of | processes | on the clock | fastest to slowest | as fast as one | a processor computes: "
             "loss and gradients | optimizer |", "|---" * 7 + "|"]
    for name, by_count in measured.items():
        for count, rounds in by_count.items():
            whole, *parts = ([1e3 * figures[part] for figures in rounds]
                             for part in ("step", "backward, processor", "update, processor"))
            ratio = median(one["step"] / own["step"] for one, own in zip(by_count[COUNTS[0]], rounds, strict=True))
            middle = " | ".join(f"{number(median(part))} ms" for part in parts)
            lines.append(f"| {NETWORKS[name].title}, batch {NETWORKS[name].batch} | {count} | "
                         f"{number(median(whole))} ms | {number(min(whole))} to {number(max(whole))} ms | "
                         f"{number(ratio)} × | {middle} |")
    return "\n".join(lines)


def report(rounds: int, steps: int) -> str:
    """All tables, measured now."""
    measured: dict[str, dict[int, list[dict[str, float]]]] = {n: {count: [] for count in COUNTS} for n in NETWORKS}
    links: dict[int, list[dict[str, float]]] = {count: [] for count in COUNTS[1:]}
    for i in range(rounds):
        for count in COUNTS[:: 1 if i % 2 else -1]:
            for name in NETWORKS:
                measured[name][count].append(job(count, "--step", name, "--steps", str(steps)))
            if count > 1:
                links[count].append(job(count, "--link"))
    lines = ["| processes | `Allreduce` of one number | of 16 MB |", "|---|---|---|"]
    for count, figures in links.items():
        latency, bandwidth = (median(taken[name] for taken in figures) for name in ("latency", "bandwidth"))
        lines.append(f"| {count} | {number(1e6 * latency)} µs | {number(bandwidth / 1e9)} GB/s |")
    tables = [steps_table(measured), "\n".join(lines)]
    for name, network in NETWORKS.items():
        alone = measured[name][1]
        middle = {part: median(figures[f"{part}, processor"] for figures in alone)
                  for part in ("backward", "update", "pack")}
        costs = Costs(**middle, gradients=int(alone[0]["gradients"]))
        names = {"backward": "loss and gradients", "update": "optimizer", "pack": "pack"}
        times = ", ".join(f"{name} {number(1e3 * middle[part])} ms" for part, name in names.items())
        tables.append(f"**{network.title}**, batch {network.batch}, {alone[0]['parameters']:,.0f} parameters: {times}; "
                      f"{costs.gradients / 1e6:.2f} MB to add up.\n\n{model_table(costs)}")
    return "\n\n".join(tables)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and on request write the tables into the documentation."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processes", description=__doc__)
    parser.add_argument("--rounds", type=positive(int), default=5, metavar="N", help="jobs of each kind (default 5)")
    parser.add_argument("--steps", type=positive(int), default=5, metavar="N", help="steps in a job (default 5)")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/distributed.md")
    parser.add_argument("--step", choices=NETWORKS, help="time a step, as one of the processes")
    parser.add_argument("--link", action="store_true", help="time an Allreduce, as one of the processes")
    options = parser.parse_args(arguments)
    if options.step or options.link:
        figures = measure_link(options.steps) if options.link else measure_step(NETWORKS[options.step], options.steps)
        if processes.rank() == 0:
            print(json.dumps(figures))
        return
    tables = report(options.rounds, options.steps)
    print(tables)
    if options.write:
        write_between("processes", f"{tables}\n\n{environment()}", PAGE)


if __name__ == "__main__":
    main()
