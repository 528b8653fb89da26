"""What the engine did, as data: enough to replay a backward pass to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.graph import watches
from minigrad.ops import operations
from minigrad.recording import Completed, Contributed, Recorded, Seeded, recording, scope
from minigrad.testing.strategies import calls, programs


def leaf(value):
    return mg.tensor(value, requires_grad=True)


def recorded(run):
    events = []
    with recording(events.append):
        run()
    assert not watches
    return events


def of_kind(kind, events):
    return [event for event in events if isinstance(event, kind)]


def test_an_operation_is_recorded_with_its_arguments_inputs_result_and_place():
    x, data = leaf([1.0, 2.0]), np.array([[3.0, 4.0]])
    events = recorded(lambda: mg.mean(x * data, axis=1, keepdims=True))
    product, mean = events
    assert product.operation is mg.multiply
    assert product.arguments == (x, data)
    assert product.inputs == (x, data)  # constants too, each in its position
    assert product.result.numpy().tolist() == [[3, 8]]
    assert (mean.arguments[:3], mean.inputs) == ((product.result, 1, True), (product.result,))
    assert product.place.file == mean.place.file == __file__
    assert "x * data, axis=1" in product.place.source
    begin, end = product.place.columns
    assert product.place.source[begin:end] == "x * data"
    assert str(product.place) == f"{__file__}:{product.place.line}"


def test_arguments_given_by_name_or_in_any_number_are_told():
    def scaled(x, *factors, of=1.0, **rest):
        return mg.record(scaled, x.data * of, (x, lambda grad, out: grad * of))

    x = leaf([[1.0, 2.0]])
    (event,) = recorded(lambda: scaled(x, 3, 4, of=2.0, other=5))
    assert event.arguments == (x, 3, 4)
    assert event.options == {"of": 2.0, "other": 5}
    (event,) = recorded(lambda: mg.einsum("ij->i", x))
    assert event.arguments == ("ij->i", x)


def test_of_arguments_that_an_operation_has_deleted_or_replaced_the_others_are_told():
    def deleted(x, by, *more, of=1.0, **rest):
        y, data = x, x.data * by
        del x, more, of, rest
        return mg.record(deleted, data, (y, lambda grad, out: grad * by))

    def replaced(x, *more, **rest):
        more, rest = more[0], None
        return mg.record(replaced, x.data * more.data, (x, lambda grad, out: rest or grad * more))

    x = leaf([1.0, 2.0])
    gone, other = recorded(lambda: (deleted(x, 3.0, 4, of=2.0, other=5), replaced(x, x.detach(), other=5)))
    assert (gone.arguments, gone.options) == ((..., 3.0), {"of": ...})
    assert (other.arguments, other.options) == ((x,), {})


@pytest.mark.parametrize("name", [name for name in operations if name.startswith("linalg.")])
@given(data=st.data())
def test_the_call_that_is_recorded_returns_what_is_recorded_or_that_is_among_it(name, data):
    call = data.draw(calls(operations[name]))
    with np.errstate(all="ignore"):
        for event in recorded(lambda: call(*call.inputs)):
            again = event.operation(*event.arguments, **event.options)
            parts = again if isinstance(again, (list, tuple)) else [again]
            same = [np.array_equal(mg.value(x), event.result.numpy(), equal_nan=True) for x in parts]
            assert any(same), (event.operation.__name__, event.arguments, event.options)


def test_the_place_of_an_operation_of_ones_own_is_where_it_is_called():
    def doubled(x):
        return mg.record(doubled, 2 * x.data, (x, lambda grad, out: 2 * grad))

    (event,) = recorded(lambda: doubled(leaf(1.0)))
    assert "recorded(lambda: doubled(leaf(1.0)))" in event.place.source


def test_a_backward_pass_is_told_step_by_step():
    x, b = leaf(np.ones((3, 2))), leaf(np.ones(2, np.float32))
    y = x * x + b
    events = recorded(lambda: y.sum().backward())
    steps = [event for event in events if not isinstance(event, Recorded)]
    assert [type(step) for step in steps] == [
        Seeded, Completed, Contributed,  # the sum
        Completed, Contributed, Contributed,  # the addition
        Completed, Contributed, Contributed,  # the product, whose two edges lead to one tensor
        Completed, Completed,  # the leaves
    ]
    seeded, _, _, _, to_product, to_b, _, first, second, *_ = steps
    assert seeded.gradient.item() == 1
    assert (to_product.axes, to_product.raw.shape, to_product.contribution.dtype) == ((), (3, 2), np.float64)
    assert (to_b.parent, to_b.axes) == (b, (0,))
    assert (to_b.raw.shape, to_b.raw.dtype) == ((3, 2), np.float64)
    assert (to_b.contribution.shape, to_b.contribution.dtype) == ((2,), np.float32)
    assert [(step.position, step.arrival) for step in (first, second)] == [(0, 1), (1, 2)]
    assert first.before is None
    assert second.before is first.after
    np.testing.assert_array_equal(second.after.numpy(), 2 * np.ones((3, 2)))
    assert all(isinstance(step.rule(step.gradient, step.result), mg.Tensor) for step in (to_product, to_b, first))


def test_what_a_hook_changes_is_told_before_and_after():
    x = leaf([1.0, 2.0])
    y = 3 * x
    y.register_hook(lambda gradient: 10 * gradient)
    steps = of_kind(Completed, recorded(lambda: y.sum().backward()))
    told = next(step for step in steps if step.tensor is y)
    assert told.arrived.numpy().tolist() == [1, 1]
    assert told.gradient.numpy().tolist() == [10, 10]


def test_a_pass_to_some_inputs_only_names_the_edges_that_it_takes():
    a = leaf(np.ones(2))
    steps = of_kind(Contributed, recorded(lambda: mg.grad(lambda b: (a * b).sum())(np.full(2, 3.0))))
    assert [(step.result.shape, step.position) for step in steps] == [((), 0), ((2,), 1)]


@given(programs(), st.integers(0, 2**32 - 1))
def test_the_steps_replayed_give_every_gradient_bit_for_bit(program, seed):
    inputs = [leaf(x) for x in program.inputs]
    y = program(*inputs)
    if not y.requires_grad:
        return
    cotangent = np.random.default_rng(seed).standard_normal(y.shape)
    y.backward(cotangent, retain_graph=True)
    truth = [x.grad for x in inputs]
    sums = {}
    for step in recorded(lambda: y.backward(cotangent)):
        if isinstance(step, Seeded):
            sums[step.tensor] = step.gradient.numpy()
        elif isinstance(step, Contributed):
            part = step.raw.numpy().sum(axis=step.axes, keepdims=True).reshape(step.parent.shape)
            before = sums.get(step.parent)
            sums[step.parent] = part.astype(step.parent.dtype) if before is None else before + part
            np.testing.assert_array_equal(sums[step.parent], step.after.numpy())
        elif isinstance(step, Completed):
            np.testing.assert_array_equal(sums[step.tensor], step.gradient.numpy())
    for x, expected in zip(inputs, truth, strict=True):
        if expected is not None:
            np.testing.assert_array_equal(sums[x], expected.numpy())


@given(programs())
def test_gradients_are_the_same_bits_whether_somebody_watches_or_not(program):
    def gradients():
        inputs = [leaf(x) for x in program.inputs]
        y = program(*inputs)
        if y.requires_grad:
            y.backward(np.ones(y.shape))
        return [None if x.grad is None else x.grad.numpy().tobytes() for x in inputs]

    with recording(lambda event: None):
        watched = gradients()
    assert watched == gradients()


def test_nested_recordings_are_all_told():
    outer, inner = [], []
    x = leaf(2.0)
    with recording(outer.append):
        y = x * x
        with recording(inner.append):
            y.backward()
        x + 1
    assert len(of_kind(Recorded, outer)) == len(of_kind(Recorded, inner)) + 2
    assert of_kind(Contributed, outer) == of_kind(Contributed, inner)


def test_what_is_recorded_knows_its_scope():
    x = leaf(2.0)
    events = []
    with recording(events.append):
        x + 1
        with scope("encoder"), scope("encoder.0"):
            x + 1
    assert [event.scope for event in events] == ["", "encoder.0"]


def test_a_listener_that_raises_ends_the_recording():
    def listen(event):
        raise KeyError("told")

    with pytest.raises(KeyError), recording(listen):
        leaf(1.0) * 2
    assert not watches


def test_recordings_may_be_left_in_any_order():
    def generator():
        with recording(first.append):
            yield

    first, second = [], []
    x, opened = leaf(2.0), generator()
    next(opened)
    with recording(second.append):
        x + 1
        assert [*opened] == []
        x + 2
    x + 3
    assert (len(first), len(second)) == (1, 2)
    assert not watches
