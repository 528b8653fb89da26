"""What the strategies draw, and the decorator that makes tests of them."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import FailedHealthCheck, NoSuchExample

import minigrad as mg
import nn
from minigrad import record
from minigrad.ops import Domain, operations
from minigrad.ops.registry import NONZERO
from minigrad.testing import GradientError, Verdict, gradcheck, gradient_property, gradient_report
from minigrad.testing.composed import EXAMPLES
from minigrad.testing.strategies import (
    LAYOUTS,
    arrays,
    at_kinks,
    calls,
    cotangents,
    each,
    einsum_specs,
    elements_for,
    magnitudes,
    programs,
    register,
    reshapes,
    tensors,
)

seeds = st.integers(0, 2**32 - 1)
ours = [op for op in operations.values() if op.owner == "minigrad"]
kinked = [op for op in ours if op.kinks or op.ties]
quick = settings(database=None, max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
exists = settings(quick, max_examples=3000, phases=[Phase.generate])  # whether there is one: no need to shrink it


def cube(x):
    """A cube whose rule has lost a factor: 2 x² instead of 3 x²."""
    x = mg.as_tensor(x)
    return record(cube, x.data**3, (x, lambda grad, out: grad * 2 * x * x))


@pytest.fixture
def registry():
    """The registry, which forgets afterwards what a test enters."""
    kept = dict(operations), dict(EXAMPLES)
    yield operations
    for table, before in zip((operations, EXAMPLES), kept, strict=True):
        table.clear()
        table.update(before)


# ------------------------------------------------------------------------------------------------ values


@given(x=tensors())
def test_tensors_are_of_any_layout_and_require_gradients(x):
    assert x.requires_grad
    assert x.dtype == np.float64
    x.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.ones(x.shape))


@given(x=tensors(shape=(2, 3), dtype=np.float32, layout="zero-stride", elements=st.just(7.0), requires_grad=False))
def test_tensors_are_what_is_asked_for(x):
    assert x.numpy().strides == (12, 0)
    assert (x == 7).all()
    assert not x.requires_grad
    assert x.dtype == np.float32


@pytest.mark.parametrize(
    "feature",
    [
        lambda x: (x == 0).any() and x.size > 1,
        lambda x: (x == 1).any() or (x == -1).any(),
        lambda x: x.size > 2 and (x == x.flat[0]).all(),
        lambda x: x.size > 1 and (x != 0).all() and (abs(x) < 1e-9).all(),
        lambda x: (abs(x) > 20).any(),
        lambda x: x.ndim == 4 and x.size > 1,
        lambda x: x.ndim == 2 and max(x.shape) > 6,
        lambda x: x.size == 0,
    ],
    ids=["zero", "one", "equal", "tiny", "large", "four dimensions", "long", "empty"],
)
def test_tensors_are_sometimes_special(feature):
    x = find(tensors(), lambda x: bool(feature(x.numpy())), settings=exists)
    assert np.isfinite(np.exp(x.numpy())).all()


def test_tensors_shrink_to_the_simplest_number():
    x = find(tensors(layout="C"), lambda x: x.size > 0, settings=quick)
    assert x.shape == (1,) or x.shape == ()
    assert abs(x.numpy()).max() < 0.1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_magnitudes_are_of_every_size_a_dtype_has(dtype):
    info = np.finfo(dtype)
    for feature in (
        lambda x: x == info.max,
        lambda x: x == -float(info.max),
        lambda x: x == info.smallest_subnormal,
        lambda x: 0 < x < info.tiny,
        lambda x: x > float(info.max) ** 0.5,
        lambda x: x == 0,
    ):
        find(magnitudes(dtype), feature, settings=exists)
    find(magnitudes(dtype, allow_infinity=True), np.isinf, settings=exists)
    find(magnitudes(dtype, allow_nan=True), np.isnan, settings=exists)
    assert 0 < find(magnitudes(dtype), lambda x: x != 0, settings=quick) < 0.1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@given(data=st.data())
def test_magnitudes_are_numbers_of_the_dtype(dtype, data):
    x = data.draw(magnitudes(dtype))
    assert np.isfinite(x)
    assert dtype(x) == x
    assert np.isfinite(data.draw(tensors(dtype=dtype, elements=magnitudes(dtype))).numpy()).all()


SMOOTH = {
    "exp": lambda x: mg.exp(x).sum(),
    "square": lambda x: x * x,
    "gram": lambda x: x.reshape(-1, 1) @ x.reshape(1, -1),
    "cube": lambda x: x**3,
    "gauss": lambda x: mg.exp(-x * x),
    "tanh": mg.tanh,
    "rational": lambda x: 1 / (1 + x * x),
    "deviation": lambda x: (x - x.mean()) ** 2 if x.size else x,
    "softmax": lambda x: mg.softmax(x.reshape(-1)) if x.size else x,
    "clipped": lambda x: mg.clip(x, -1, 1),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_right_functions_pass_for_whatever_tensors_are_drawn(name):
    gradient_property(tensors())(SMOOTH[name])()


@pytest.mark.parametrize("layout", [*LAYOUTS, "zero-stride"])
def test_every_layout_can_be_drawn(layout):
    def has_layout(x):
        flags = x.numpy().flags
        c, f, writeable = flags.c_contiguous, flags.f_contiguous, flags.writeable
        return {
            "C": c and writeable,
            "Fortran-ordered": f and not c,
            "strided": x.numpy().strides[-1] == 16,
            "negative-stride": x.numpy().strides[-1] < 0,
            "read-only": c and not writeable,
            "zero-stride": 0 in x.numpy().strides,
        }[layout]

    find(tensors(shape=(2, 3)), has_layout, settings=exists)


@pytest.mark.parametrize("domain", [
    Domain(2.99), Domain(5), Domain(1e9), Domain(high=-4), Domain(10, 20), Domain(-20, -10), Domain(0, 0.05),
    Domain(-0.05, 0.05), Domain(1, 1 + 1e-9), Domain(2.99, 3.01), Domain(0), Domain(-1, 1), Domain(0, 1), NONZERO,
], ids=str)
@pytest.mark.parametrize("options", [{}, {"offset": 0.75}, {"unique": True}], ids=repr)
@given(data=st.data())
def test_arrays_lie_in_any_domain(domain, options, data):
    x = data.draw(arrays((5,), domain, **options))
    assert ((domain.low < x) & (x < domain.high)).all()
    assert not np.isin(x, domain.without).any()


def test_arrays_are_not_scaled_onto_what_a_domain_leaves_out():
    odd = tuple(range(-47, 48, 2))  # 16 times the points of the lattice
    with pytest.raises(NoSuchExample):
        find(arrays((5,), Domain(without=odd)), lambda x: bool(np.isin(x, odd).any()), settings=quick)


@pytest.mark.parametrize("shape", [(), (2, 3), (0,), (2, 0), (0, 3), (3, 0, 2)], ids=repr)
@given(data=st.data())
def test_reshapes_are_ones_that_numpy_takes(shape, data):
    assert np.zeros(shape).reshape(data.draw(reshapes(shape))).size == np.zeros(shape).size


@pytest.mark.parametrize("name", ["log", "arccos", "reciprocal", "relu", "hardtanh", "sinc"])
@given(data=st.data())
def test_elements_lie_in_the_domain_and_clear_of_kinks(name, data):
    x = data.draw(elements_for(name))
    assert operations[name].domain[0].low < x < operations[name].domain[0].high
    assert all(abs(x - kink) > 0.03 for kink in operations[name].kinks)


@pytest.mark.parametrize(("strategy", "kind", "said"), [
    (lambda: tensors(layout="fortran"), ValueError, "no layout 'fortran': choose among C, Fortran-ordered, strided, "),
    (lambda: elements_for("sin", 1), ValueError, "there is no input 1 of sin: it takes 1, counted from 0"),
    (lambda: calls(np.sin), ValueError, "there is no operation <ufunc 'sin'>"),
    (lambda: register("blend", [((3,), (3,))]), TypeError, r"register takes a strategy .*, got \[\(\(3,\), \(3,\)\)\]"),
])
def test_what_no_strategy_can_be_made_of_is_said(strategy, kind, said):
    with pytest.raises(kind, match=said):
        find(strategy(), lambda drawn: True)


@given(c=cotangents(np.ones((2, 3), np.float32)))
def test_cotangents_have_shape_and_dtype_and_are_not_ones(c):
    assert c.shape == (2, 3)
    assert c.dtype == np.float32
    assert not (c == 1).any()


@given(spec=einsum_specs())
def test_einsum_specs_are_ones_that_numpy_takes(spec):
    text, shapes = spec
    inputs = [np.ones(shape) for shape in shapes]
    assert mg.einsum(text, *inputs).shape == np.einsum(text, *inputs).shape


# ------------------------------------------------------------------------------------------------ kinks


@pytest.mark.parametrize("operation", kinked, ids=lambda operation: operation.name)
@given(data=st.data(), seed=seeds)
def test_every_operation_has_a_subgradient_at_its_kinks_and_ties(operation, data, seed):
    call = data.draw(at_kinks(operation))
    gradcheck(call, *call.inputs, seed=seed, checks=("linear", "layouts", "same_input"))


@pytest.mark.parametrize("name", ["abs", "hardtanh", "fmin", "max", "std", "sort"])
def test_strategies_that_aim_at_kinks_hit_them(name):
    def hits(call):
        return gradient_report(call, *call.inputs, checks=()).verdicts[Verdict.KINK]

    find(at_kinks(name), hits, settings=exists)


def test_an_operation_without_kinks_has_no_calls_that_aim_at_them():
    with pytest.raises(ValueError, match="exp has neither kinks nor ties"):
        find(at_kinks("exp"), lambda call: True)


# ------------------------------------------------------------------------------------------------ programs


@pytest.fixture
def broken_square():
    """The registry with an operation that has a wrong rule."""
    operations["cube"] = dataclasses.replace(operations["square"], name="cube", function=cube)
    yield
    del operations["cube"]


@pytest.mark.usefixtures("broken_square")
def test_a_wrong_operation_is_found_in_a_program_which_shrinks_to_that_operation():
    def wrong(program):
        suspects = any(line.name == "cube" for line in program.lines)
        return suspects and not gradient_report(program, *program.inputs, checks=(), directions=1).ok

    drawn = programs(["add", "sin", "transpose", "cube"])
    program = find(drawn, wrong, settings=settings(quick, max_examples=5000))
    assert [line.name for line in program.lines] == ["cube"]
    assert program.inputs[0].size == 1


@given(program=programs())
def test_a_program_prints_as_python_that_does_the_same(program):
    namespace = {}
    exec(repr(program), namespace)
    expected = program(*program.inputs).numpy()
    inputs = [namespace[f"x{i}"] for i in range(len(program.inputs))]
    np.testing.assert_array_equal(namespace["program"](*map(mg.tensor, inputs)).numpy(), expected, strict=True)


@pytest.mark.parametrize(
    "feature",
    [
        lambda p: max(sum(line.names().count(f"y{i}") for line in p.lines) for i in range(len(p.lines))) > 1,
        lambda p: any(line.names() == ["x0", "x0"] for line in p.lines),
        lambda p: any(line.name in ("reshape", "transpose", "getitem", "swapaxes") for line in p.lines),
        lambda p: len({x.shape for x in p.inputs}) > 1,
        lambda p: len(p.lines) >= 5,
    ],
    ids=["shared node", "one tensor twice", "view", "broadcasting", "long"],
)
def test_programs_contain_everything(feature):
    find(programs(), feature, settings=exists)


@pytest.mark.parametrize("name", ["blend", "linalg.solve", "split", "sign"])
def test_an_operation_that_cannot_be_put_into_programs_is_refused(registry, name):
    mg.operation("other", name="blend")(lambda a, b, share: share * a + (1 - share) * b)
    with pytest.raises(ValueError, match=f"{name} cannot be put into programs: it is no reduction, nor "):
        find(programs(["sin", name]), lambda program: True)


@pytest.mark.parametrize("one", ["sin", mg.sin, operations["sin"]])
def test_a_single_operation_makes_programs_too(one):
    program = find(programs(one), lambda program: len(program.lines) == 2, settings=exists)
    assert [line.name for line in program.lines] == ["sin", "sin"]


def test_programs_call_an_operation_whose_domain_is_far_away_or_hypothesis_complains(registry):
    @settings(database=None, max_examples=20)
    @given(data=st.data(), seed=seeds)
    def test(name, data, seed):
        program = data.draw(programs([name]))
        assert {line.name for line in program.lines} == {name}
        gradcheck(program, *program.inputs, seed=seed)

    mg.operation("elementwise", domain=Domain(5), name="far")(lambda x: mg.sqrt(x - 5))
    mg.operation("elementwise", domain=Domain(0, 0.03), name="too_narrow")(mg.sin)
    test("far")
    with pytest.raises(FailedHealthCheck):
        test("too_narrow")


# ------------------------------------------------------------------------------------------------ the decorator


def test_the_decorator_finds_shrinks_and_reproduces_a_wrong_gradient():
    @gradient_property(tensors(elements=st.floats(-3, 3)), st.booleans(), settings=quick)
    def sum_of_cubes(x, doubled):
        return cube(x).sum() * (2 if doubled else 1)

    with pytest.raises(GradientError) as caught:
        sum_of_cubes()
    assert "blamed: cube" in str(caught.value)
    notes = "\n".join(caught.value.__notes__)
    assert "reproduce: gradcheck(sum_of_cubes, np.array(1.0), False)" in notes


def test_the_decorator_passes_what_is_right_with_preconditions_and_options():
    seen = []

    @gradient_property(tensors(), st.integers(-2, 1), order=2, settings=settings(quick, max_examples=30))
    def sums(x, axis):
        """What it is about."""
        assume(-x.ndim <= axis < x.ndim)
        seen.append(axis)
        return mg.sin(x).sum(axis=axis)

    sums()
    assert len(set(seen)) > 1
    assert sums.__name__ == "sums"
    assert sums.__doc__ == "What it is about."


# ------------------------------------------------------------------------------------------------ calls


def found_wrong(drawn):
    """Whether there is a call with a wrong gradient."""
    try:
        find(drawn, lambda call: not gradient_report(call, *call.inputs).ok, settings=settings(quick, max_examples=50))
    except NoSuchExample:
        return False
    return True


def test_there_are_calls_of_every_registered_operation():
    assert {operation.owner for operation in operations.values()} == {"minigrad", nn.__name__}
    for operation in operations.values():
        find(calls(operation), lambda call: bool(call.inputs), settings=exists)


def test_an_operation_that_anybody_enters_is_checked_without_a_word_about_its_arguments(registry):
    @mg.operation("elementwise")
    def product(a, b):
        return record(product, mg.value(a) * mg.value(b), (a, lambda grad, out: grad * b), (b, lambda grad, out: grad))

    @mg.operation("reduction")
    def total(x, axis=None, keepdims=False):
        return mg.sum(x, axis, keepdims) * 1.0

    assert registry["product"].arity == 2
    assert registry["product"].owner == __name__.partition(".")[0]
    assert found_wrong(calls("product"))
    assert not found_wrong(calls("total"))


def test_an_operation_of_no_family_says_how_to_tell_its_arguments_and_then_is_checked(registry):
    @mg.operation("other", lambda a, b, share: share * a + (1 - share) * b)
    def blend(a, b, share):
        a, b = mg.value(a), mg.value(b)
        return record(blend, share * a + (1 - share) * b,
                      (a, lambda grad, out: grad * share), (b, lambda grad, out: grad))

    with pytest.raises(ValueError, match=r"no arguments are known for blend, .*strategies\.register\('blend', "):
        calls(registry["blend"])
    register("blend", each([((3,), (3,)), ((2, 3), (3,))], share=[0.25, 0.5]))
    call = find(calls("blend"), lambda call: call.inputs[0].ndim == 2, settings=exists)
    assert "share=0." in repr(call)
    np.testing.assert_array_equal(call(*call.inputs).numpy(), call.expected())


def test_an_operation_may_be_named_by_its_function():
    assert find(calls(mg.log), lambda call: True).operation is operations["log"]
    assert find(at_kinks(mg.abs), lambda call: True).operation is operations["abs"]
    assert find(elements_for(mg.log), lambda x: True) > 0


@given(data=st.data())
def test_calls_print_what_they_call(data):
    call = data.draw(calls(operations["matmul"]))
    assert repr(call).startswith("matmul(array(")


# ------------------------------------------------------------------------------------------------ without hypothesis


def run_without_hypothesis(code):
    blocked = "import sys; sys.modules['hypothesis'] = None; import numpy as np; import minigrad as mg; "
    return subprocess.run([sys.executable, "-c", blocked + code], capture_output=True, text=True)


def test_gradcheck_needs_numpy_alone():
    done = run_without_hypothesis("from minigrad.testing import gradcheck; print(gradcheck(np.exp, np.ones(3)).ok)")
    assert done.stdout == "True\n", done.stderr


@pytest.mark.parametrize("name", ["strategies", "gradient_property"])
def test_without_hypothesis_a_sentence_names_the_extra(name):
    done = run_without_hypothesis(f"import minigrad.testing as t; t.{name}")
    assert done.stderr.strip().endswith(f"minigrad.testing.{name} needs hypothesis: pip install hypothesis")


def test_programs_draw_options_of_operations():
    seen = set()

    @settings(max_examples=300, database=None, derandomize=True, phases=[Phase.generate])
    @given(programs())
    def note(program):
        seen.update((line.name, option) for line in program.lines for option in line.options)

    note()
    assert seen & {("reshape", "order"), ("pad", "mode"), ("pad", "constant_values")}
