"""The checks are checked: whatever is broken in any one gradient rule, the generated gradient checks notice it."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from minigrad.ops import operations
from minigrad.testing import gradcheck
from minigrad.testing.mutation import mutate_rules
from minigrad.testing.strategies import calls
from nn import functional as F

EXAMPLES = 25
EQUIVALENT = {  # the faults that may change nothing, and why
    "wrong input": "the rule keeps no floating input: it is linear (add, …) or uses the output alone (exp, …)",
    "wrong output": "the rule does not use the output (multiply, log, …)",
    "missing reduction": "the operation does not broadcast this input (exp, reshape, …)",
    "cotangent permuted": "the result has one element only, as einsum with three operands mostly does",
    "result permuted": "the input has one element only, or is broadcast to all that are permuted",
    "transposed": "the input is broadcast along all axes",
}


def examples_of(operation):
    """Some calls of an operation, always the same, those with the most elements first."""
    found = []

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, phases=[Phase.generate], deadline=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(calls(operation))
    def collect(call):
        if np.isfinite(call(*call.inputs).numpy()).all():  # the logsumexp of nothing is -inf
            found.append(call)

    collect()
    return sorted(found, key=lambda call: -sum(x.size for x in call.inputs))


OWN = [op.name for op in operations.values() if op.function.__module__.startswith("minigrad") and op.kind != "step"]


@pytest.mark.parametrize("name", OWN)
def test_every_fault_in_a_rule_is_noticed(name):
    examples = examples_of(operations[name])

    def check():
        for seed, call in enumerate(examples):
            gradcheck(call, *call.inputs, seed=seed, checks=("linear", "untouched"), directions=2)

    report = mutate_rules(check, operations=[operations[name].function.__name__])
    assert not report.survived, str(report)
    assert {mutant.mutation for mutant in report.equivalent} <= set(EQUIVALENT), report.equivalent
    assert report.killed or not report.equivalent  # an operation made of others has no rule of its own


RNG = np.random.default_rng(0)
X, W, B = (RNG.standard_normal(shape) for shape in [(4, 3), (2, 3), 2])
LABELS = np.array([0, 2, 1, 2])
MASKS = np.random.PCG64


@pytest.mark.parametrize(
    ("name", "f", "inputs"),
    [
        ("linear", F.linear, (X, W, B)),
        ("linear", F.linear, (RNG.standard_normal((2, 4, 3)), W, B)),
        ("cross_entropy", lambda x: F.cross_entropy(x, LABELS, label_smoothing=0.1), (X,)),
        ("cross_entropy", lambda x: F.cross_entropy(x, LABELS, reduction="none"), (X,)),
        ("dropout", lambda x: F.dropout(x, 0.5, generator=np.random.default_rng(0)), (X,)),
    ],
)
def test_every_fault_in_a_rule_of_nn_is_noticed(name, f, inputs):
    report = mutate_rules(lambda: gradcheck(f, *inputs, checks=("linear", "untouched")), operations=[name])
    assert report.killed
    assert not report.survived, str(report)
