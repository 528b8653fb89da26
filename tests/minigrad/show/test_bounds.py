"""Of a long program the first and the last operations are remembered."""

import numpy as np

import minigrad as mg
from minigrad.show import trace, tracing
from minigrad.show.command import OnePass, watched_threads
from minigrad.show.steps import Complete, Contribution, Forward, Seed


def test_of_many_operations_the_first_and_last_are_kept_and_all_fits_together(monkeypatch):
    monkeypatch.setattr(tracing, "MOST_OPERATIONS", 12)
    w = mg.tensor(np.ones(100), requires_grad=True)
    x = np.linspace(0, 1, 100)
    with trace() as seen:
        for _ in range(40):
            loss, w.grad = ((w * x) ** 2).sum(), None
            loss.backward()
    made = [seen.tensors[step.tensor] for step in seen.steps if isinstance(step, Forward)]
    assert (len(made), seen.left_out) == (12, 3 * 40 - 12)
    assert made[-1].name == "loss"
    assert [tensor.time for tensor in made] == sorted(tensor.time for tensor in made)
    assert [tensor.number for tensor in seen.tensors] == [*range(len(seen.tensors))]
    assert [edge.number for edge in seen.edges] == [*range(len(seen.edges))]
    assert all(max(edge.source, edge.target) < len(seen.tensors) for edge in seen.edges)
    passes = sum(isinstance(step, Seed) for step in seen.steps)
    assert passes == 4
    assert sum(isinstance(step, Contribution) for step in seen.steps) == 12
    assert sum(isinstance(step, Complete) for step in seen.steps) == 4 * 4
    text = str(seen)
    assert text.splitlines()[7] == "  ... 108 operations in between are left out ..."
    assert {edge.verdict.verdict for edge in seen.check().edges if edge.verdict} <= {"correct", "inconclusive"}
    assert seen.html().startswith("<!")


def test_names_that_were_known_when_a_pass_began_stay_where_they_were_when_operations_are_left_out(monkeypatch):
    def run():
        x = y = mg.tensor(2.0, requires_grad=True)
        for _ in range(40):
            y = y * 1.0
        y.backward()
        return x.grad

    monkeypatch.setattr(tracing, "MOST_OPERATIONS", 12)
    watched = OnePass(1)
    with watched_threads(watched):
        assert run().item() == 1.0
    seen = watched.trace({})
    last = [step.tensor for step in seen.steps if isinstance(step, Forward)][-1]
    assert seen.left_out == 40 - 12
    assert {t.name: t.number for t in seen.tensors if t.name in ("x", "y")} == {"x": 0, "y": last}
