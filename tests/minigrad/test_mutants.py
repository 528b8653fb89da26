"""The checks are checked: whatever is broken in any one gradient rule, the generated gradient checks notice it."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from minigrad.ops import operations
from minigrad.testing.check import examined
from minigrad.testing.mutation import breaking, mutate_rules
from minigrad.testing.reproduce import Request
from minigrad.testing.strategies import calls
from nn import functional as F
from nn.functional import convolution, pooling

EXAMPLES = 14
# Rules, as operation:position, that keep no floating input: the operation is linear (add, …) or they use the output
# alone (exp, …), or of the input nothing but the order (median) or whether it is finite (nan_to_num). A wrong input
# changes nothing for them, and must change something for all others.
WITHOUT_INPUT = [
    "degrees:0", "radians:0", "rad2deg:0", "deg2rad:0", "rot90:0", "select:0", "select:1", "select:2", "median:0",
    "nan_to_num:0",
    "add:0", "add:1", "subtract:0", "subtract:1", "positive:0", "negative:0", "clip:0", "clip:1", "clip:2",
    "where:0", "where:1", "astype:0", "reshape:0", "transpose:0", "swapaxes:0", "moveaxis:0", "squeeze:0",
    "expand_dims:0", "broadcast_to:0", "concatenate:0", "concatenate:1", "concatenate:2", "stack:0", "stack:1",
    "stack:2", "roll:0", "flip:0", "exp:0", "exp2:0", "reciprocal:0", "sqrt:0", "cbrt:0", "tan:0",
    "getitem:0", "add_at:0", "add_at:1", "put:0", "put:1", "sort:0", "diagonal:0", "tril:0", "triu:0", "pad:0",
    "sliding_window_view:0", "sum:0", "mean:0", "softmax:0", "cumsum:0", "linalg.inv:0", "linalg.cholesky:0",
    "relu:0", "log_softmax:0", "remainder:0",
]
# Rules that do not use the output (multiply, log, …): likewise for a wrong output.
WITHOUT_OUTPUT = [
    "degrees:0", "radians:0", "rad2deg:0", "deg2rad:0", "fabs:0", "rot90:0", "select:0", "select:1", "select:2",
    "median:0", "quantile:0", "nan_to_num:0",
    "add:0", "add:1", "subtract:0", "subtract:1", "multiply:0", "multiply:1", "divide:0", "power:0",
    "positive:0", "negative:0", "abs:0", "clip:0", "clip:1", "clip:2", "where:0", "where:1", "astype:0",
    "reshape:0", "transpose:0", "swapaxes:0", "moveaxis:0", "squeeze:0", "expand_dims:0", "broadcast_to:0",
    "concatenate:0", "concatenate:1", "concatenate:2", "stack:0", "stack:1", "stack:2", "roll:0", "flip:0",
    "matmul:0", "matmul:1", "einsum:0", "einsum:1", "einsum:2", "arctan2:0", "arctan2:1", "expm1:0", "log:0",
    "log2:0", "log10:0", "log1p:0", "square:0", "sin:0", "cos:0", "arcsin:0", "arccos:0", "arctan:0", "sinh:0",
    "cosh:0", "arcsinh:0", "arccosh:0", "arctanh:0", "erf:0", "erfc:0", "getitem:0", "add_at:0", "add_at:1",
    "put:0", "put:1", "sort:0", "diagonal:0", "tril:0", "triu:0", "pad:0", "sliding_window_view:0", "sum:0",
    "mean:0", "var:0", "prod:0", "cumsum:0", "cumprod:0", "linalg.solve:1", "linalg.slogdet:0", "leaky_relu:0",
    "softplus:0", "gelu:0", "hardtanh:0", "softsign:0", "remainder:0", "remainder:1", "logaddexp:0", "logaddexp:1",
    "logaddexp2:0", "logaddexp2:1", "hypot:0", "hypot:1", "tanh:0", "std:0", "logsumexp:0", "linalg.norm:0", "elu:0",
    "silu:0", "sigmoid:0",
]
EQUIVALENT = {  # the faults that may change nothing, and why
    "wrong input": "the rule keeps no floating input, see the list above",
    "wrong output": "the rule does not use the output, see the list above",
    "missing reduction": "the operation does not broadcast this input (exp, reshape, …)",
    "cotangent permuted": "the result has one element only, as einsum with three operands mostly does",
    "result permuted": "the input has one element only, or is broadcast to all that are permuted",
    "transposed": "the input is broadcast along all axes",
}


def examples_of(operation):
    """Some calls of an operation, always the same, those with the most elements first."""
    found = []

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, phases=[Phase.generate], deadline=None,
              suppress_health_check=list(HealthCheck))
    @given(calls(operation))
    def collect(call):
        if np.isfinite(call(*call.inputs).numpy()).all():  # the logsumexp of nothing is -inf
            found.append(call)

    collect()
    return sorted(found, key=lambda call: -sum(x.size for x in call.inputs))


def is_right(f, *inputs, checks=("linear", "untouched"), **settings):
    """What `gradcheck` finds, without what it says of it, which takes it twice as long."""
    return examined(Request(f, inputs, checks=checks, **settings), explained=False).ok


OWN = [op.name for op in operations.values() if op.owner == "minigrad" and op.kind != "step"]


@pytest.mark.parametrize("name", OWN)
def test_every_fault_in_a_rule_is_noticed(name):
    examples = examples_of(operations[name])

    def check():
        for seed, call in enumerate(examples):
            assert is_right(call, *call.inputs, seed=seed, directions=2)

    recorded = operations[name].function.__name__
    with breaking(None) as observer:
        check()
    if recorded not in {known for known, _ in observer.seen}:  # it is made of others, each of which has its turn
        assert observer.seen
        return
    report = mutate_rules(check, operations=[recorded])
    assert not report.survived, str(report)
    assert {mutant.mutation for mutant in report.equivalent} <= set(EQUIVALENT), report.equivalent
    for mutation, listed in (("wrong input", WITHOUT_INPUT), ("wrong output", WITHOUT_OUTPUT)):
        found = {f"{name}:{mutant.position}" for mutant in report.equivalent if mutant.mutation == mutation}
        assert found <= set(listed), f"{mutation} changes nothing for {found - set(listed)}"
    assert report.killed


RNG = np.random.default_rng(0)
X, W, B = (RNG.standard_normal(shape) for shape in [(4, 3), (2, 3), 2])
LABELS = np.array([0, 2, 1, 2])
SIGNALS = RNG.standard_normal((2, 4, 3))
# Few numbers may be cut to float32 and be as good by chance, which 10 are not.
WIDE, LONG = RNG.standard_normal((3, 10)), RNG.standard_normal((2, 10, 2))
IMAGES, KERNELS = RNG.standard_normal((2, 2, 5, 4)), RNG.standard_normal((3, 2, 2, 3))
STRIDED = convolution.Geometry((2, 3), (2, 1), (0, 1))
PATCHES = RNG.standard_normal((2, 3, *STRIDED.output((5, 4))))
SHARES = [0.5, RNG.standard_normal((2, 2, 4, 2)), 2.0, 0.25, -1.0, 3.0]
WINDOWS = RNG.standard_normal((2, 2, 2, 4))


@pytest.mark.parametrize(
    ("name", "f", "inputs"),
    [
        ("linear", F.linear, (X, W, B)),
        ("linear", F.linear, (RNG.standard_normal((2, 4, 3)), W, B)),
        ("cross_entropy", lambda x: F.cross_entropy(x, LABELS, label_smoothing=0.1), (X,)),
        ("cross_entropy", lambda x: F.cross_entropy(x, LABELS, reduction="none"), (X,)),
        ("dropout", lambda x: F.dropout(x, 0.5, generator=np.random.default_rng(0)), (X,)),
        ("standardize", lambda x, weight, bias: F.layer_norm(x, 3, weight, bias), (X, W[0], W[1])),
        ("standardize", lambda x, weight, bias: F.group_norm(x, 2, weight, bias), (SIGNALS, X[:, 0], X[:, 1])),
        ("normalized", lambda x, weight, bias: F.batch_norm(x, None, None, weight, bias), (WIDE, *WIDE[:2])),
        ("normalized", lambda x, weight, bias: F.batch_norm(x, None, None, weight, bias), (LONG, *WIDE[:2])),
        ("convolution", lambda *inputs: F.conv2d(*inputs, (2, 1), (0, 1)), (IMAGES, KERNELS, W[0])),
        ("convolution", lambda *inputs: F.conv2d(*inputs, padding=1), (IMAGES, KERNELS, W[0])),
        ("input_gradient", lambda *inputs: convolution.input_gradient(*inputs, (5, 4), STRIDED), (PATCHES, KERNELS)),
        ("weight_gradient", lambda *inputs: convolution.weight_gradient(*inputs, STRIDED), (IMAGES, PATCHES)),
        ("largest", lambda x: F.max_pool2d(x, (2, 3), (2, 1), 1), (IMAGES,)),
        ("largest", lambda x: F.max_pool2d(x, 2), (IMAGES,)),
        ("weighted_sum", lambda x: pooling.weighted_sum(x, SHARES, STRIDED), (IMAGES,)),
        ("weighted_spread", lambda x: pooling.weighted_spread(x, SHARES, (5, 4), STRIDED), (WINDOWS,)),
        ("flatten", lambda x: F.flatten(x, 1), (SIGNALS,)),
        ("flatten", lambda x: F.flatten(x, 1), (SIGNALS.transpose(0, 2, 1),)),
    ],
)
def test_every_fault_in_a_rule_of_nn_is_noticed(name, f, inputs):
    def check():
        assert is_right(f, *inputs, checks=("linear", "untouched", "float32"))

    report = mutate_rules(check, operations=[name])
    assert report.killed
    assert not report.survived, str(report)
