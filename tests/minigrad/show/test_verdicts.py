"""`trace.check()` on a wrong rule of every operation: its edge, and no other, is wrong."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import minigrad as mg
import nn
from minigrad.ops import operations
from minigrad.show import trace
from minigrad.testing.mutation import Mutant, breaking
from minigrad.testing.strategies import calls
from nn import functional as F
from nn.functional import convolution, pooling

OWN = [op.name for op in operations.values() if op.owner == "minigrad" and op.kind != "step"]
OWN.remove("linalg.eigh")  # a wrong rule of `mirrored`, which is within it, is its own as well
OWN = OWN[::6]
OF_NAN = {"where", "nanmax", "nanmin", "nansum", "nanmean"}  # at a NaN there are no slopes


def leaf(value, dtype=np.float64):
    return mg.tensor(np.array(value, dtype), requires_grad=True)


def largest_example(operation):
    """The largest of some calls of an operation, always the same, whose value is finite."""
    found = []

    @settings(max_examples=12, derandomize=True, database=None, phases=[Phase.generate], deadline=None,
              suppress_health_check=list(HealthCheck))
    @given(calls(operation))
    def collect(call):
        with np.errstate(all="ignore"):
            if np.isfinite(call(*call.inputs).numpy()).all() and all(x.dtype == np.float64 for x in call.inputs):
                found.append(call)

    collect()
    return max(found, key=lambda call: sum(x.size for x in call.inputs))


def checked(f, inputs, mutant=None):
    """(operation, position) -> all that is said of such edges, of a trace of f whose mutant's rule is wrong."""
    with breaking(mutant) as breaker:
        with trace() as seen:
            out = f(*map(leaf, inputs))
            out.backward(np.random.default_rng(5).standard_normal(out.shape))
        seen.check()
    found = {}
    for edge in seen.edges:
        if edge.verdict is not None:
            found.setdefault((seen.tensors[edge.target].operation, edge.position), set()).add(edge.verdict.verdict)
    return found, breaker


def assert_each_wrong_rule_is_found(f, inputs, mutation="factor two"):
    """Break each rule that is recorded in turn."""
    right, _ = checked(f, inputs)
    assert "WRONG" not in set().union(*right.values()), right
    undecided = {edge for edge, said in right.items() if "inconclusive" in said}
    assert all(name in OF_NAN for name, _ in undecided), right
    for name, position in right.keys() - undecided:
        found, breaker = checked(f, inputs, Mutant(name, position, mutation))
        assert {edge for edge, said in found.items() if "WRONG" in said} == (
            {(name, position)} if breaker.made_a_difference else set()
        ), (name, position)


@pytest.mark.parametrize("name", OWN)
def test_of_a_wrong_rule_of_any_sampled_operation_its_edge_and_no_other_is_wrong(name):
    call = largest_example(operations[name])
    with np.errstate(all="ignore"):
        assert_each_wrong_rule_is_found(call, call.inputs)


RNG = np.random.default_rng(0)
X, W, B = (RNG.standard_normal(shape) for shape in [(4, 3), (2, 3), 2])
WIDE, LONG = RNG.standard_normal((3, 10)), RNG.standard_normal((2, 10, 2))
IMAGES, KERNELS = RNG.standard_normal((2, 2, 5, 4)), RNG.standard_normal((3, 2, 2, 3))
STRIDED = convolution.Geometry((2, 3), (2, 1), (0, 1))
SHARES = [0.5, RNG.standard_normal((2, 2, 4, 2)), 2.0, 0.25, -1.0, 3.0]
MEAN, VAR = RNG.standard_normal(10), RNG.uniform(0.5, 2, 10)
MASK = (RNG.random((4, 3)) > 0.5).astype(float)


def centered(x, mean):
    """A user's operation that is handed what follows from its input."""
    return mg.record(centered, x.data - mean, (x, lambda grad, out: grad - grad.mean()))


def layer(x):
    return centered(x, x.data.mean())


def masked(x, mask):
    return mg.record(masked, x.data * mask, (x, lambda grad, out: grad * mask))


def scaled(x, by):
    return mg.record(scaled, x.data * by, (x, lambda grad, out: grad * by))


def layer_of_two(x, by):
    return scaled(x, by)


OF_ARRAYS = {
    "linear": (F.linear, (X, W, B)),
    "cross_entropy": (lambda x: F.cross_entropy(x, np.array([0, 2, 1, 2])), (X,)),
    "dropout": (lambda x: F.dropout(x, 0.5), (X,)),
    "dropout of a generator": (lambda x: F.dropout(x, 0.5, generator=np.random.default_rng(0)), (X,)),
    "layer norm": (lambda x, w, b: F.layer_norm(x, 3, w, b), (X, W[0], W[1])),
    "batch norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b), (WIDE.T, WIDE[0, :3], WIDE[1, :3])),
    "batch norm that keeps moments": (
        lambda x, w, b: F.batch_norm(x, MEAN.copy(), VAR.copy(), w, b, training=True), (WIDE, *WIDE[:2])
    ),
    "batch norm of images": (lambda x, w, b: F.batch_norm(x, None, None, w, b), (LONG, *WIDE[:2])),
    "batch norm with kept moments": (
        lambda x, w, b: F.batch_norm(x, MEAN, VAR, w, b, training=False), (WIDE, *WIDE[:2])
    ),
    "convolution": (lambda *inputs: F.conv2d(*inputs, (2, 1), (0, 1)), (IMAGES, KERNELS, W[0])),
    "max pool": (lambda x: F.max_pool2d(x, 2), (IMAGES,)),
    "weighted sum": (lambda x: pooling.weighted_sum(x, SHARES, STRIDED), (IMAGES,)),
    "embedding": (lambda w: F.embedding(np.array([0, 2, 2]), w), (X,)),
    "take": (lambda x: mg.take(x, np.array([[0, 2], [3, 3]]), 0), (X,)),
    "quantile": (lambda x: mg.quantile(x, np.array([0.21, 0.63]), 1), (X,)),
    "where": (lambda x, y: mg.where(MASK > 0, x, y), (X, X[::-1])),
    "a mask": (lambda x: masked(x, MASK), (X,)),
    "an operation in a function": (lambda x: layer(x), (X,)),
}


@pytest.mark.parametrize("mutation", ["factor two", "opposite sign"])
@pytest.mark.parametrize("name", OF_ARRAYS)
def test_a_wrong_rule_of_an_operation_that_takes_arrays_is_wrong(name, mutation):
    mg.manual_seed(0)
    assert_each_wrong_rule_is_found(*OF_ARRAYS[name], mutation)


def said(f, *inputs):
    with trace() as seen:
        f(*inputs).sum().backward()
    seen.check()
    return {(seen.tensors[e.target].operation, e.position): e.verdict for e in seen.edges if e.verdict}


def test_arrays_that_may_follow_and_come_from_no_function_leave_it_open():
    x = leaf(X)
    mean = x.data.mean()
    with trace() as seen:
        centered(x, mean).sum().backward()
    verdict = seen.check().edges[0].verdict
    assert (verdict.verdict, verdict.reason) == (
        "inconclusive", "it is also handed numbers that may have been computed from its inputs; moving an input would "
        "change these too, so its slope alone says nothing"
    )


@pytest.mark.parametrize("values", [X, np.array([1.0, 2.0, 6.0])], ids=["measured", "typed"])
def test_a_plain_number_that_was_computed_from_an_input_makes_nothing_right_wrong(values):
    x = leaf(values)
    mean = float(x.data.mean())
    with trace() as seen:
        centered(x, mean).sum().backward()
    assert seen.check().edges[0].verdict.verdict == "inconclusive"
    assert said(lambda x: centered(x, float(x.data.mean())), x) == said(lambda x: centered(x, x.data.mean()), x)


def test_a_plain_number_that_is_written_down_leaves_no_way_out_for_a_wrong_rule():
    def doubled(x, by):
        return mg.record(doubled, x.data * by, (x, lambda grad, out: grad * by * 2.0))

    found = [said(lambda x: doubled(x, 3.0), leaf(x)) for x in (X, np.array([1.0, 2.0]))]
    assert [edge["doubled", 0].verdict for edge in found] == ["WRONG", "WRONG"]


def test_a_check_of_what_a_function_computes_changes_none_of_its_arrays():
    mean, var, x = MEAN.copy(), VAR.copy(), leaf(WIDE)
    with trace() as seen:
        F.batch_norm(x, mean, var).sum().backward()
    kept = mean.copy(), var.copy()
    assert {e.verdict.verdict for e in seen.check().edges if e.verdict} == {"correct"}
    np.testing.assert_array_equal((mean, var), kept)


def test_a_check_of_an_operation_that_writes_into_an_array_leaves_it_as_it_is():
    def counted(x, total):
        total += x.data
        return mg.record(counted, x.data * 2, (x, lambda grad, out: grad * 2))

    total = np.zeros(3)
    with trace() as seen:
        counted(leaf([1.0, 2.0, 3.0]), total).sum().backward()
    assert {e.verdict.verdict for e in seen.check().edges if e.verdict} == {"correct"}
    assert total.tolist() == [1, 2, 3]


def test_layers_that_draw_and_keep_moments_are_correct():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    found = said(model, RNG.standard_normal((16, 6)).astype(np.float32))
    assert {verdict.verdict for verdict in found.values()} == {"correct"}
