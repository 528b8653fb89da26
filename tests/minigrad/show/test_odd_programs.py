"""Programs that nobody thought of: what is shown of them is whole, and true."""

import json
from contextlib import suppress
from functools import partial

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad import record, value
from minigrad.show import graph, trace, tracing
from minigrad.show.boxes import letters
from minigrad.show.steps import Complete, Contribution, Forward, Seed

from .test_languages import NASTY


def leaf(value):
    return mg.tensor(value, requires_grad=True)


class Doubled:
    """An operation that is an object, as those of some other libraries are."""

    def __call__(self, x):
        return record(self, value(x) * 2, (x, self.rule))

    def rule(self, grad, out):
        return grad * 2


def scaled(factor, x):
    return record(partial(scaled, factor), value(x) * factor, (x, lambda grad, out: grad * factor))


@pytest.mark.parametrize(("operation", "name"), [(Doubled(), "Doubled"), (partial(scaled, 2.0), "scaled")])
def test_an_operation_without_a_name_is_called_after_its_class_or_its_function(operation, name):
    x = leaf(3.0)
    with mg.detect_anomaly(), trace(names={"x": x}) as seen:
        y = operation(x)
        assert "dtype=float64, operation=" in repr(y)
        assert name in str(graph(y))
        y.backward()
    assert [tensor.operation for tensor in seen.tensors if tensor.kind == "result"] == [name]
    assert seen.html().startswith("<!")
    assert x.grad.item() == 2.0


def test_the_rule_of_an_operation_from_code_without_a_module_is_checked():
    space = {"mg": mg, "record": record, "x": leaf(3.0)}
    exec("def op(a):\n    return record(op, a.data * 2, (a, lambda grad, out: grad * 2))", space)
    with trace() as seen:
        (space["op"](space["x"]) * 3.0).backward()
    assert {edge.verdict.verdict for edge in seen.check().edges if edge.rule} == {"correct"}


def test_a_function_may_delete_its_arguments_and_is_traced_and_checked():
    def halved(x, *more, **options):
        h = x * np.array([2.0, 3.0])
        del x, more, options
        return h * np.ones(2)

    with mg.detect_anomaly(), trace() as seen:
        halved(leaf([1.0, 2.0]), 3, other=4).sum().backward()
    assert {edge.verdict.verdict for edge in seen.check().edges if edge.rule} == {"correct"}


def test_a_rule_may_close_over_what_is_not_there_yet_such_as_the_result():
    class Square:
        def __call__(self, x):
            def rule(grad, out):
                return grad * x * factor if y.shape == grad.shape else grad

            y = record(self, value(x) ** 2, (x, rule))
            factor = 2.0
            return y

    with trace() as seen:
        Square()(leaf(3.0)).backward()
    assert seen.edges[0].rule.names == {"x": "leaf_1"}
    assert [edge.verdict.verdict for edge in seen.check().edges] == ["correct"]


@pytest.mark.parametrize("name", NASTY, ids=range(len(NASTY)))
def test_each_step_is_a_line_of_eighty_columns_that_ends_with_its_value(name):
    def operation(x):
        return record(operation, value(x) * 2, (x, lambda grad, out: grad * 2))

    operation.__name__ = name
    x = leaf(np.arange(1.0, 7.0).reshape(2, 3) / 7)
    with trace(names={name: x}) as seen:
        (operation(x) + operation(x)).backward(np.ones((2, 3)))
    lines = str(seen).splitlines()
    assert len(lines) == 2 + len(seen.steps)
    assert max(map(letters, lines)) <= 80
    assert str(seen).encode().decode() == str(seen)
    values = [str(seen.tensors[step.tensor].value) for step in seen.steps if isinstance(step, Forward)]
    values += [str(getattr(step, "contribution", None) or step.gradient) for step in seen.steps[3:]]
    assert all(value in line for value, line in zip(values, [*lines[1:4], *lines[5:]], strict=True))


def test_names_that_are_no_text_and_names_like_those_that_are_made_up_are_told_apart():
    x, add_1 = leaf(3.0), leaf(4.0)
    with trace(names={7: x}) as seen:
        y = (x + add_1) * (x + 2.0)
        drawn = graph(y, names={7: x})
        y.backward()
    for names in ([tensor.name for tensor in seen.tensors], [node.name for node in drawn.nodes]):
        assert {"7", "add_1", "add_2", "add_3"} <= set(names)
        assert len({*names}) == len(names)


def test_a_trace_that_goes_on_and_one_that_an_exception_has_ended_are_shown():
    x = leaf(3.0)
    with suppress(KeyError), trace() as seen:
        y = x * 2.0
        assert "multiply" in str(seen)
        assert "multiply" in seen.html()
        assert all(tensor.name for tensor in seen.tensors)
        raise KeyError(y)
    assert "y = multiply(x, 2.0)" in str(seen)


def test_each_time_that_a_trace_is_entered_is_a_trace_of_its_own():
    x, context = leaf(3.0), trace()
    with context as first:
        x * 2.0
    with context as second:
        x + 2.0
    assert [len(seen.steps) for seen in (first, second)] == [1, 1]


def test_what_the_engine_computes_to_add_up_gradients_is_no_step_of_the_program():
    x = leaf(np.ones(3, np.float32))
    with trace() as seen:
        for _ in range(2):
            (x * x).backward(np.ones(3))
    assert [seen.tensors[step.tensor].operation for step in seen.steps if isinstance(step, Forward)] == ["multiply"] * 2
    assert len(seen.graph.nodes) == 3


def test_passes_within_a_pass_and_passes_from_several_results_are_told_apart():
    x = leaf(0.5)
    with trace(names={"x": x}) as seen:
        y = mg.checkpoint(lambda a: mg.exp(a) * a)(x * 2.0)
        y.backward()
        _, back = mg.vjp(lambda a: (a * a, mg.exp(a)), 2.0)
        back((1.0, 1.0))
    seeds = [step.sweep for step in seen.steps if isinstance(step, Seed)]
    assert seeds == [0, 1, 2, 2]
    of_x = [step.sweep for step in seen.steps if isinstance(step, Complete) and seen.tensors[step.tensor].name == "x"]
    assert of_x == [0]
    inner = [step for step in seen.steps if isinstance(step, Contribution) and step.sweep == 1]
    assert [seen.tensors[seen.edges[step.edge].target].operation for step in inner] == ["multiply"] * 2 + ["exp"]


def test_numbers_that_json_has_not_are_spelled_in_it():
    x = leaf(np.array([1.0, 0.0, np.inf]))
    with trace() as seen, np.errstate(all="ignore"):
        np.where(x > 0, np.log(x), 0.0).sum().backward()
    told = json.loads(json.dumps(seen.to_dict(), allow_nan=False))
    assert told["tensors"][0]["value"]["values"] == [1.0, 0.0, "inf"]
    assert "nan" in told["steps"][-1]["gradient"]["values"]


@pytest.mark.parametrize("thing", [3, "x", [1.0]])
def test_a_name_for_what_is_no_tensor_is_refused_at_once(thing):
    sentence = rf"tensors and arrays, got 'w' for a {type(thing).__name__}"
    with pytest.raises(TypeError, match=sentence):
        trace(names={"w": thing})
    with pytest.raises(TypeError, match=sentence):
        graph(leaf([1.0]) * 2, names={"w": thing})


def test_longer_floats_than_pythons_are_shown_as_pythons():
    x = leaf(np.array([1, 2], np.longdouble))
    with trace(names={"x": x}) as seen:
        (x * np.longdouble("1e4000")).sum().backward()
    assert json.loads(json.dumps(seen.to_dict()))["tensors"][0]["value"]["values"] == [1.0, 2.0]
    assert seen.html().startswith("<!")


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        ((), "give it at least one"),
        ((3.0,), "graph() draws recorded tensors, or a module, got float"),
        (([leaf(1.0) * 2],), "graph() draws recorded tensors, or a module, got list"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(drawn, said):
    with pytest.raises(TypeError) as refused:
        graph(*drawn)
    assert said in str(refused.value)


@pytest.mark.parametrize("shape", [(), (5,)])
def test_a_module_without_the_shape_of_a_sample_is_refused_in_a_sentence(shape):
    with pytest.raises(TypeError, match=r"one sample: graph\(module, shape\), such as \(1, 28, 28\)"):
        graph(nn.Linear(2, 3), *shape)


def test_a_module_of_integers_is_drawn_and_one_that_computes_nothing_is_refused():
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2))
    assert [node.operation for node in graph(model, (5,), np.int64).nodes] == ["Embedding", "Linear"]
    with pytest.raises(ValueError, match="Dropout computes nothing that could be drawn: in evaluation mode"):
        graph(nn.Dropout(0.5), (4,))


def test_what_only_looks_like_a_module_gives_no_names_and_disturbs_nobody():
    class Anything:
        def __getattr__(self, name):
            return lambda: 3

    x, stranger = leaf(1.0), Anything()
    with trace() as seen:
        y = x * x
    assert [tensor.name for tensor in seen.tensors] == ["x", "y"]
    assert str(graph(y)).startswith("y = 1")
    assert stranger.named_parameters() == 3


def test_endings_are_read_whatever_their_case_and_names_that_no_file_can_have_are_refused(tmp_path):
    drawn = graph(leaf(1.0) * 2)
    drawn.save(tmp_path / "graph.SVG")
    drawn.save(tmp_path / ".svg")
    assert (tmp_path / "graph.SVG").read_text().startswith("<svg")
    with pytest.raises(OSError, match="cannot be written: embedded null byte"):
        drawn.save(f"{tmp_path}/\0.svg")
    with pytest.raises(OSError, match=r"graph.SVG.a.svg cannot be written: Not a directory"):
        drawn.save(tmp_path / "graph.SVG" / "a.svg")


def where_first(x):
    return mg.where(np.array([True, True, False]), x, 0.0)


TIE = ["there is a tie, and its gradient is shared evenly"]
WHYS = {
    "a tie with less gradient elsewhere": (mg.max, [[1, 1], [1, 2]], [1, 0.5], {"axis": 1}, TIE),
    "no tie": (mg.max, [[1, 0], [1, 2]], [1, 0.5], {"axis": 1}, []),
    "a tie with a constant": (lambda x: mg.maximum(x, [1.0, 3.0]), [1, 2], [1, 0.1], {}, TIE),
    "two in the middle are no tie": (mg.median, [1, 2, 3, 4], 1, {}, []),
    "a gradient of 0 for what was chosen": (where_first, [1, 2, 3], [0, 1, 1], {}, [
        "a gradient passes only where this branch was chosen: here some does at 1 of 3 elements"]),
    "NaN forwards": (lambda x: x * np.array([np.nan, 1.0]), [1, 2], [1, 0], {}, [
        "NaN begins here: the operation had it, or made it, forwards"]),
    "0 where there is no NaN": (lambda x: x ** -0.5 * 1.0, [0, 2], [0, 1], {}, [
        "NaN begins here: a gradient of 0 met an infinite slope, and 0 · inf is NaN"]),
    "a single 0": (lambda x: x ** -0.5 * 1.0, 0, 0, {}, [
        "NaN begins here: a gradient of 0 met an infinite slope, and 0 · inf is NaN"]),
    "0 that met infinity, and NaN forwards elsewhere": (
        lambda x: mg.where(np.array([False, False, True]), mg.log(x), 0.0), [-1, 0, 2], [1, 1, 1], {}, [
            "a gradient passes only where this branch was chosen: here some does at 1 of 3 elements",
            "NaN begins here: a gradient of 0 met an infinite slope, and 0 · inf is NaN"]),
    "0 that met NaN": (lambda x: np.array([-2.0, 2.0]) ** x, [2, 3], [0, 1], {}, ["NaN begins here: the rule made it"]),
    "0 that met infinity along an axis": (lambda x: x @ np.array([np.inf, 1.0]), [[1, 1], [1, 1]], [0, 1], {}, [
        "NaN begins here: a gradient of 0 met an infinite slope, and 0 · inf is NaN"]),
    "a 0 that has no part in it": (
        lambda x: x @ np.array([[np.inf, -np.inf], [1, 1]]), [[-1, 1], [1, 1]], [[1, 1], [1, 0]], {}, [
            "NaN begins here: the rule made it"]),
    "a checkpoint, within which it begins": (mg.checkpoint(lambda x: x ** 0.5), 0, 0, {}, [
        "NaN begins here: a gradient of 0 met an infinite slope, and 0 · inf is NaN"]),
}


@pytest.mark.parametrize("name", WHYS)
def test_what_is_said_to_be_the_reason_is_so(name):
    f, x, gradient, options, said = WHYS[name]
    with np.errstate(all="ignore"), trace() as seen:
        f(leaf(np.array(x, float)), **options).backward(np.array(gradient, float))
    assert [text for step in seen.steps if isinstance(step, Contribution) for text in step.why] == said


def test_a_pass_through_what_was_recorded_before_the_trace_is_whole():
    x = leaf(2.0)
    y = x * x
    z = mg.exp(y)
    with trace(names={"x": x}) as seen:
        w = z * y + x
        w.backward()
    told = [(seen.tensors[e.target].name, seen.tensors[e.source].name, step.contribution.single())
            for step in seen.steps if isinstance(step, Contribution) for e in [seen.edges[step.edge]]]
    slope = np.exp(4.0)
    assert [name for name, *_ in told] == ["w", "w", "multiply_2", "multiply_2", "z", "y", "y"]
    assert told[4] == ("z", "y", 4 * slope)
    assert sum(part for _, source, part in told if source == "x") == x.grad.item()
    assert {t.name: t.kind for t in seen.tensors} == {
        "x": "leaf", "y": "result", "z": "result", "multiply_2": "result", "w": "result"}
    assert all(edge.source < edge.target for edge in seen.edges)
    assert seen.graph.svg().count("<rect") == 5
    verdicts = [edge.verdict for edge in seen.check().edges]
    assert [v.verdict for v in verdicts] == ["inconclusive"] * 3 + ["correct"] * 4
    assert "only what a trace has seen is checked" in verdicts[0].reason


def test_of_a_pass_alone_the_text_has_no_empty_heading_and_a_freed_graph_is_no_leaf():
    x = leaf(2.0)
    y = x * x
    with trace() as seen:
        y.backward()
    assert str(seen).startswith("backwards\n")
    with trace() as seen:
        y * 2.0
    assert [tensor.kind for tensor in seen.tensors] == ["result", "result"]


def test_of_a_long_program_before_the_trace_the_last_operations_are_remembered(monkeypatch):
    monkeypatch.setattr(tracing, "MOST_OPERATIONS", 2000)
    x = y = leaf(1.0)
    for _ in range(3000):
        y = y * 1.0
    with trace() as seen:
        y.backward()
    assert [sum(isinstance(step, kind) for step in seen.steps) for kind in (Contribution, Complete)] == [2000, 3001]
    assert x.grad.item() == 1.0
    assert len(seen.graph.picture().boxes) < 300
