"""Drawings of graphs, traces of programs, and the page that steps through them."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.arrays import WIDER
from minigrad.show import graph, trace
from minigrad.show.bends import MOST_BENDS, bent
from minigrad.show.layout import layout, levels
from minigrad.show.steps import Complete, Contribution, Forward, Seed, shown
from minigrad.testing.strategies import programs


def leaf(value):
    return mg.tensor(value, requires_grad=True)


# ------------------------------------------------------------------------------------------------ layout


def arrows_between(n):
    node = st.integers(0, n - 1)
    return st.tuples(st.just(n), st.lists(st.tuples(node, node).filter(lambda ends: ends[0] < ends[1])))


@given(st.integers(1, 12).flatmap(arrows_between))
def test_boxes_do_not_overlap_and_arrows_point_down(drawn):
    n, arrows = drawn
    sizes = {node: (30.0 + 10 * (node % 3), 20.0) for node in range(n)}
    placed = layout(sizes, arrows)
    for a in range(n):
        for b in range(a):
            (ax, ay), (bx, by) = placed.centers[a], placed.centers[b]
            apart = abs(ax - bx) >= (sizes[a][0] + sizes[b][0]) / 2 - 1e-6 or abs(ay - by) >= 20
            assert apart, (a, b)
    for source, target in arrows:
        assert placed.centers[source][1] < placed.centers[target][1]
        way = placed.routes[source, target]
        assert [y for _, y in way] == sorted(y for _, y in way)
    assert all(0 <= x <= placed.width and 0 <= y <= placed.height for x, y in placed.centers.values())


def test_a_layout_of_three_hundred_boxes_is_the_same_each_time():
    rng = np.random.default_rng(0)
    arrows = [(int(rng.integers(max(0, i - 9), i)), i) for i in range(1, 300) for _ in range(2)]
    sizes = dict.fromkeys(range(300), (80.0, 40.0))
    assert layout(sizes, arrows) == layout(sizes, arrows[::-1])


def test_an_edge_beside_a_block_and_chains_run_straight_down():
    block = [(i, i + 1) for i in range(6)]
    placed = layout(dict.fromkeys(range(10), (80.0, 40.0)), [*block, (0, 6), (6, 7), (7, 8), (8, 9)])
    chains = [[placed.centers[i][0] for i in nodes] for nodes in (range(1, 6), range(6, 10))]
    for way in ([x for x, _ in placed.routes[0, 6]], *chains):
        assert max(way) - min(way) < 6


LARGE = {
    "a box that a chain uses": [(0, i) for i in range(2, 300)] + [(i, i + 1) for i in range(1, 299)],
    "a chain whose boxes are stacked": [(i, i + 1) for i in range(298)] + [(i, 299) for i in range(299)],
    "skips of all lengths": [(i, i + 1) for i in range(299)] + [(i, 299 - i) for i in range(149)],
}


@pytest.mark.parametrize("arrows", LARGE.values(), ids=LARGE)
def test_edges_that_share_an_end_share_their_way_so_large_graphs_need_few_bends(arrows):
    links = [(("node", a), ("node", b), a) for a, b in arrows]
    level = levels([("node", i) for i in range(300)], links)
    bends = bent(level, links)
    assert sum(map(len, bends.rows)) - 300 <= MOST_BENDS
    assert all(chain[0] == link[0] and chain[-1] == link[1] for link, chain in bends.chains.items())
    assert {len(chain) - 1 - (level[b] - level[a]) for (a, b, _), chain in bends.chains.items()} == {0}


def test_a_route_has_no_point_in_the_middle_of_a_straight_line():
    placed = layout(dict.fromkeys(range(60), (40.0, 20.0)), [*((i, i + 1) for i in range(59)), (0, 59)])
    assert len(placed.routes[3, 4]) == 2
    assert len(placed.routes[0, 59]) <= 8


def test_edges_pass_no_box():
    arrows = sorted(set(LARGE["skips of all lengths"]))
    sizes = {i: (80.0 + i % 3 * 30, 40.0 + i % 2 * 30) for i in range(300)}
    placed = layout(sizes, arrows)
    boxes = [(*placed.centers[i], *sizes[i], i) for i in sizes]
    for ends, way in placed.routes.items():
        for x, y in way:
            assert not [i for cx, cy, w, h, i in boxes if i not in ends and abs(x - cx) < w / 2 and abs(y - cy) < h / 2]


def test_frames_hold_their_boxes_and_no_others():
    arrows = [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4), (4, 5), (2, 5), (6, 2)]
    within = {1: (10,), 2: (10, 11), 6: (10, 11), 4: (12,)}
    sizes = dict.fromkeys(range(7), (80.0, 40.0))
    placed = layout(sizes, arrows, within)
    for frame, (left, top, width, height) in placed.frames.items():
        for node, (x, y) in placed.centers.items():
            holds = left <= x - 40 and x + 40 <= left + width and top <= y - 20 and y + 20 <= top + height
            outside = x + 40 <= left or left + width <= x - 40 or y + 20 <= top or top + height <= y - 20
            assert holds if frame in within.get(node, ()) else outside
    for (source, target), way in placed.routes.items():
        assert way[0] == pytest.approx((placed.centers[source][0], placed.centers[source][1] + 20))
        assert way[-1] == pytest.approx((placed.centers[target][0], placed.centers[target][1] - 20))
        assert [y for _, y in way] == sorted(y for _, y in way)


# ------------------------------------------------------------------------------------------------ drawings


def test_a_graph_has_the_users_names_and_an_edge_for_each_position():
    x = leaf(3.0)
    square = x * x
    y = square.exp()
    drawn = graph(y)
    assert [node.name for node in drawn.nodes] == ["x", "square", "y"]
    assert [(arrow.source, arrow.target, arrow.position) for arrow in drawn.arrows] == [(0, 1, 0), (0, 1, 1), (1, 2, 0)]
    assert [node.time for node in drawn.nodes] == sorted(node.time for node in drawn.nodes)


def test_parameters_are_named_by_their_path_and_names_can_be_given():
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    assert {"model.0.weight", "model.0.bias"} <= {node.name for node in graph(model(np.ones((4, 3)))).nodes}
    weight = model[0].weight
    assert "w" in {node.name for node in graph(model(np.ones((4, 3))), names={"w": weight}).nodes}


def test_what_is_used_several_times_is_shown_once_in_the_text():
    a = leaf(1.0)
    b = a.exp()
    c = b + b
    lines = str(graph(c)).splitlines()
    assert sum("exp" in line for line in lines) == 1
    assert sum("see above" in line for line in lines) == 1


def test_a_trace_writes_plain_numbers_where_they_stood():
    x = leaf(3.0)
    with trace() as seen:
        y = 2.0 - x * 4
        y.backward()
    assert "multiply(x, 4)" in str(seen)
    assert "y = subtract(2.0, multiply_1)" in str(seen)


def test_a_deep_graph_is_drawn_without_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(3000):
        y = y + 1.0
    assert len(str(graph(y)).splitlines()) == 3001


def test_a_tensor_without_a_graph_or_with_a_freed_one_is_refused_in_a_sentence():
    x = leaf(1.0)
    with pytest.raises(ValueError, match=r"shape \(\) has no graph: a leaf, or made under no_grad"):
        graph(x)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match="was freed by"):
        graph(y)


def test_pictures_are_valid_and_the_same_each_time(tmp_path):
    def draw():
        rows = leaf(np.ones((2, 3)))
        scale = leaf(2.0)
        return graph((rows * scale + rows).sum(), names={'<&"': scale})

    svg = draw().svg()
    root = ET.fromstring(svg)
    assert sum(element.tag.endswith("rect") for element in root.iter()) == len(draw().nodes)
    assert re.sub(r"t \d+", "t", svg) == re.sub(r"t \d+", "t", draw().svg())
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    for name in ("g.svg", "g.dot", "g.mmd", "g.txt"):
        draw().save(tmp_path / name)
        assert (tmp_path / name).stat().st_size
    with pytest.raises(ValueError, match=r"a graph is saved as .svg, .dot, .mmd, .png, .txt, not as 'g.gif'"):
        draw().save(tmp_path / "g.gif")


def test_the_graph_of_a_module_has_a_box_each_time_a_layer_runs():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.relu = nn.Linear(4, 4), nn.ReLU()

        def forward(self, x):
            return self.relu(self.relu(self.linear(x)) + x)

    drawn = graph(nn.Sequential(nn.Linear(3, 4), Block()), (3,))
    assert [node.name for node in drawn.nodes] == ["0 Linear", "1.linear Linear", "1.relu ReLU", "1 add", "1.relu ReLU"]
    assert [(arrow.source, arrow.target) for arrow in drawn.arrows] == [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4)]
    assert [node.parameters for node in drawn.nodes] == [16, 20, 0, 0, 0]


def test_parameters_of_a_modules_own_are_counted_at_the_operations_that_take_them():
    class Scaled(nn.Module):
        def __init__(self):
            self.linear, self.scale = nn.Linear(4, 4), nn.Parameter(np.ones(4, np.float32))

        def forward(self, x):
            return mg.relu(self.linear(x * self.scale))

    counts = [(node.name, node.parameters) for node in graph(Scaled(), (4,)).nodes]
    assert counts == [("multiply", 4), ("linear Linear", 20), ("relu", 0)]


# ------------------------------------------------------------------------------------------------ traces


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_layer_that_runs_several_times_in_a_row_has_as_many_boxes(times):
    class Recurrent(nn.Module):
        def __init__(self):
            self.cell, self.act = nn.Linear(2, 2), nn.ReLU()

        def forward(self, x):
            for _ in range(times):
                x = self.cell(x)
            return self.act(x)

    assert [node.name for node in graph(Recurrent(), (2,)).nodes] == ["cell Linear"] * times + ["act ReLU"]


def test_a_trace_tells_what_happened_in_order():
    x, w, b = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([0.5, -1.0]), leaf(1.0)
    with trace() as seen:
        y = x * w + b
        z = (y * y).sum()
        z.backward()
    kinds = [type(step) for step in seen.steps]
    assert kinds[:4] == [Forward] * 4
    assert kinds[4:6] == [Seed, Complete]
    names = {tensor.number: tensor.name for tensor in seen.tensors}
    assert {"x", "w", "b", "y", "z"} <= set(names.values())
    to_b = next(s for s in seen.steps if isinstance(s, Contribution) and names[seen.edges[s.edge].source] == "b")
    assert to_b.axes == (0, 1)
    assert to_b.contribution.values == (b.grad.item(),)
    twice = [s for s in seen.steps if isinstance(s, Contribution) and names[seen.edges[s.edge].source] == "y"]
    assert [(s.arrival, seen.edges[s.edge].position) for s in twice] == [(1, 0), (2, 1)]


def test_a_rule_is_shown_as_it_is_written_with_its_names_resolved():
    a, b = leaf(2.0), leaf(3.0)
    with trace() as seen:
        c = a * b
        c.backward()
    rule = seen.edges[0].rule
    assert rule.source == "grad * b"
    assert rule.names == {"b": "b"}
    assert rule.place.endswith(tuple("0123456789"))


def test_constants_and_hooks_are_seen():
    x, data = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    with trace() as seen:
        y = x * data
        y.register_hook(lambda gradient: 10 * gradient)
        y.sum().backward()
    constant = next(tensor for tensor in seen.tensors if tensor.name == "data")
    assert constant.kind == "constant"
    assert [edge.rule is None for edge in seen.edges if edge.source == constant.number] == [True]
    complete = next(s for s in seen.steps if isinstance(s, Complete) and seen.tensors[s.tensor].name == "y")
    assert (complete.arrived.values, complete.gradient.values) == ((1, 1), (10, 10))


def required_after_its_first_use(x):
    x.requires_grad = False
    x * 3.0
    x.requires_grad = True
    return x * x


def required_before_the_trace(x):
    y = x * x
    x.requires_grad = False
    return y


@pytest.mark.parametrize("before", [lambda x: None, required_before_the_trace])
@pytest.mark.parametrize("inside", [required_after_its_first_use, lambda x: x * 3.0])
def test_what_gets_a_gradient_is_a_leaf_whatever_it_was_when_it_was_used_first(before, inside):
    x = leaf(2.0)
    earlier = before(x)
    with trace() as seen:
        for y in (inside(x), earlier):
            if y is not None and y.requires_grad:
                y.backward()
    assert [(tensor.name, tensor.kind) for tensor in seen.tensors if tensor.operation == ""] == [("x", "leaf")]
    assert {seen.tensors[edge.source].kind for edge in seen.edges if edge.rule} == {"leaf"}


PASSES = st.fixed_dictionaries({
    "dtype": st.sampled_from(["float16", "float32", "float64"]), "hooks": st.booleans(), "retain": st.booleans(),
    "create_graph": st.booleans(), "passes": st.integers(1, 3), "broadcast": st.booleans(),
})


@given(programs(), st.integers(0, 2**32 - 1), PASSES)
@settings(max_examples=60)
def test_a_trace_alone_replays_to_the_gradients_bit_for_bit(program, seed, how):
    inputs = [mg.tensor(x.astype(how["dtype"]), requires_grad=True) for x in program.inputs]
    rng = np.random.default_rng(seed)
    named = {f"input {i}": x for i, x in enumerate(inputs)}
    with np.errstate(all="ignore"), trace(keep="all", names=named) as seen:
        if how["hooks"]:
            inputs[0].register_hook(lambda gradient: -gradient)
        y = program(*inputs)
        if not y.requires_grad:
            return
        middle = y * inputs[0] if how["broadcast"] and fits(y, inputs[0]) else y * 2.0
        if how["hooks"]:
            y.register_hook(lambda gradient: gradient * 0.5)
        if how["retain"]:
            y.retain_grad()
            named["input y"] = y
        for _ in range(how["passes"]):
            cotangent = rng.standard_normal(middle.shape).astype(middle.dtype)
            middle.backward(cotangent, retain_graph=True, create_graph=how["create_graph"])
    grads = replayed(json.loads(json.dumps(seen.to_dict())))
    for name, tensor in named.items():
        replay = grads.get(name)
        assert (tensor.grad is None) == (replay is None), name
        if replay is not None:
            assert replay.dtype == tensor.grad.dtype
            np.testing.assert_array_equal(replay, tensor.grad.numpy())


def fits(y, x):
    try:
        np.broadcast_shapes(y.shape, x.shape)
    except ValueError:
        return False
    return True


def test_second_derivatives_and_a_gradient_that_is_used_replay_too():
    x = leaf([0.5, 2.0])
    with trace(keep="all", names={"input x": x}) as seen:
        (x**3).sum().backward(create_graph=True)
        slope = x.grad
        (slope * slope).sum().backward()
    assert x.grad.numpy().tolist() == [3 * 0.25 + 36 * 0.125, 3 * 4 + 36 * 8]
    np.testing.assert_array_equal(replayed(json.loads(json.dumps(seen.to_dict())))["input x"], x.grad.numpy())


def replayed(told):
    """The gradient that each tensor has in the end by the steps alone: leaves gather passes, a result has the last."""
    sums, grads = {}, {}
    leaves = {tensor["number"] for tensor in told["tensors"] if tensor["kind"] == "leaf"}
    for step in told["steps"]:
        if step["kind"] == "seed":
            sums = {step["tensor"]: as_array(step["gradient"])}
        elif step["kind"] == "contribution":
            parent = told["edges"][step["edge"]]["source"]
            to = told["tensors"][parent]["value"]
            raw = as_array(step["raw"])
            part = raw.sum(axis=tuple(step["axes"]), dtype=WIDER.get(raw.dtype))  # as the sweep adds up
            part = part.reshape(to["shape"]).astype(to["dtype"])
            sums[parent] = sums[parent] + part if parent in sums else part
        elif step["kind"] == "complete":
            number = step["tensor"]
            np.testing.assert_array_equal(sums[number], as_array(step["arrived"]))
            sums[number] = as_array(step["gradient"])
            grads[number] = grads[number] + sums[number] if number in grads and number in leaves else sums[number]
    return {told["tensors"][number]["name"]: array for number, array in grads.items()}


def as_array(told):
    return np.array(told["values"], told["dtype"]).reshape(told["shape"])


def test_a_leaf_that_is_updated_is_shown_with_the_value_that_each_step_used():
    w = leaf(1.0)
    with trace() as seen:
        for _ in range(2):
            loss = (w - 3.0) ** 2
            loss.backward()
            with mg.no_grad():
                w -= 0.1 * w.grad
            w.grad = None
    (first, before), (second, after) = [(x.name, x.value.single()) for x in seen.tensors if x.name.startswith("w")]
    assert (first, before, after) == ("w", 1.0, 1.4)
    assert re.fullmatch(r"w \(t \d+\)", second)
    assert f"subtract({second}, 3.0)" in str(seen)
    assert f"{second} = 1.4" in str(seen.graph)


@pytest.mark.parametrize("constant", [np.empty(2), mg.tensor(np.empty(2))], ids=["array", "tensor"])
def test_a_constant_that_is_written_into_is_shown_with_the_value_that_each_step_used(constant):
    w, buffer = leaf([1.0, 1.0]), np.asarray(constant)
    with trace() as seen:
        for number in (1.0, 2.0, 2.0, np.nan, np.nan):
            buffer[:] = number
            w * constant
    shown = [(x.name, repr(x.value.values)) for x in seen.tensors if x.name.startswith("constant")]
    assert [values for _, values in shown] == ["(1.0, 1.0)", "(2.0, 2.0)", "(nan, nan)"]
    assert len({name for name, _ in shown}) == 3
    assert shown[0][0] == "constant"


def test_a_gradient_arrives_at_the_value_that_was_used():
    w = leaf(1.0)
    with trace() as seen:
        a = w + 1.0
        with mg.no_grad():
            w += 1.0
        b = w + 2.0
        a.backward()
        b.backward()
    ends = [seen.tensors[step.tensor].name for step in seen.steps if isinstance(step, Complete) and step.is_end]
    assert ends[0] == "w"
    assert ends[1].startswith("w (t ")


def test_a_gradient_without_a_hook_is_not_said_to_have_one():
    y = leaf([1.0, 2.0])
    with trace() as seen:
        (y.sum() * np.nan).backward()
    assert "by a hook" not in str(seen)


def test_a_hook_that_changes_what_is_not_shown_is_seen_too():
    x, seed = leaf(np.zeros((3, 8, 8))), np.zeros((3, 8, 8))
    seed[1] = 1.0
    with trace() as seen:
        y = x * 1.0
        y.register_hook(lambda gradient: gradient[[0, 2, 1]])
        y.backward(seed)
    changed = [step for step in seen.steps if isinstance(step, Complete) and step.was_changed]
    assert [repr(step.arrived) for step in changed] == [repr(step.gradient) for step in changed] != []
    assert str(seen).count("by a hook") == 1


def test_a_hook_that_only_looks_at_a_gradient_of_nan_has_changed_nothing():
    x = leaf([1.0, 2.0])
    with trace() as seen:
        y = x * 1.0
        for watched in (x, y):
            watched.register_hook(lambda gradient: None)
        (y.sum() * np.nan).backward()
    assert "by a hook" not in str(seen)


def test_the_sum_of_two_passes_in_a_gradient_is_no_step_forwards():
    x = leaf([1.0, 2.0])
    with trace() as seen:
        (x**3).sum().backward(create_graph=True)
        (x.grad**2).sum().backward()
    ahead, back = str(seen).split("backwards\n")
    assert "add(" not in ahead
    assert "add(" in back


def test_a_trace_that_an_exit_stack_leaves_has_the_names_of_its_user():
    x = leaf(3.0)
    with ExitStack() as stack:
        seen = stack.enter_context(trace())
        x * 2.0
    assert "multiply(x, 2.0)" in str(seen)


@pytest.mark.parametrize(
    ("call", "written"),
    [
        (lambda x, y: mg.add(x, [1.0, 2.0]), "add(x, [1.0, 2.0])"),
        (lambda x, y: x * 2.0, "multiply(x, 2.0)"),
        (lambda x, y: mg.where(x.numpy() > 1, x, y), "where(condition, x, y)"),
        (lambda x, y: x.astype(int), "astype(x, int64)"),
        (lambda x, y: x[1:], "getitem(x, (1:,))"),
        (lambda x, y: x[..., None, ::2], "getitem(x, (..., None, ::2))"),
        (lambda x, y: x.sum(axis=0, keepdims=True), "sum(x, axis=0, keepdims=True)"),
        (lambda x, y: x.sum(), "sum(x)"),
        (lambda x, y: mg.stack([x, y], axis=1), "stack([x, y], axis=1)"),
        (lambda x, y: mg.einsum("i,i->", x, y), "einsum('i,i->', x, y)"),
        (lambda x, y: x[list(range(2)) * 9], "getitem(x, [index])"),
        (lambda x, y: mg.concatenate([x] * 9), "concatenate([x, x, x, x, x, x, …])"),
        (lambda x, y: mg.checkpoint(lambda a: a * a)(x), "checkpoint(x)"),
        (lambda x, y: mg.stack([x, y]).transpose(1, 0), "transpose(stack_1, 1, 0)"),
        (lambda x, y: mg.concatenate([x, np.ones(2), y, np.zeros(1)]), "concatenate([x, constant_1, y, constant_2])"),
    ],
)
def test_a_call_is_written_with_all_it_was_given_but_for_defaults(call, written):
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    with trace(names={"x": x, "y": y}) as seen:
        call(x, y)
    step = [step for step in seen.steps if isinstance(step, Forward)][-1]
    parts = [seen.tensors[part].name if isinstance(part, int) else part for part in step.call]
    assert f"{seen.tensors[step.tensor].operation}({''.join(parts)})" == written


def test_a_rule_that_returns_in_several_places_is_told_by_its_name():
    def halved(x):
        def to_x(grad, out):
            if grad.size == 1:
                return grad * 0.5
            return (grad
                    * 0.25)
        return mg.record(halved, x.data / 2, (x, to_x))

    def shrunk(x):
        def to_x(grad, out):
            return (grad
                    * 0.25)
        return mg.record(shrunk, x.data / 4, (x, to_x))

    with trace() as seen:
        shrunk(halved(leaf(1.0))).backward()
    assert [str(edge.rule) for edge in seen.edges] == ["to_x", "(grad * 0.25)"]


def test_what_a_hook_and_a_checkpoint_compute_is_part_of_the_pass():
    x = leaf([3.0])
    with trace() as seen:
        y = mg.checkpoint(lambda a: a.exp())(x * 2.0)
        y.register_hook(lambda grad: grad.clip(-0.5, 0.5))
        y.sum().backward()
    text = str(seen)
    ahead, back = text.split("backwards\n")
    assert "clip_1 = clip(" not in ahead
    assert "clip_1 = clip(" in back
    assert ahead.count("exp(") == back.count("exp(") == 1
    assert re.search(r"is complete +\(1,\) in \[0.5, 0.5\], by a hook", back)


def test_a_page_holds_no_more_numbers_than_it_shows():
    x = leaf(np.zeros((300, 300)))
    with trace(keep="all") as seen:
        (x * 2.0).sum().backward()
    assert len(seen.tensors[0].value.values) == 90_000
    assert len(seen.html()) < 100_000


def test_the_style_of_a_picture_is_for_nothing_else_on_the_page():
    style = re.search(r"<style>(.*?)</style>", graph(leaf(2.0) * 3.0).svg(), re.DOTALL)[1]
    selectors = re.findall(r"([^{}]+)\{[^{}]*\}", re.sub(r"@media[^{]*\{", "", style))
    assert selectors
    assert all(selector.strip(" }\n").startswith(".minigrad ") for selector in selectors)


@pytest.mark.parametrize(("name", "says"), [("logits", True), ("exp", False), ("exp_3", False), ("expected", True)])
def test_a_box_says_the_operation_unless_the_name_is_that(name, says):
    y = leaf(1.0).exp()
    assert ("exp · " in str(graph(y, names={name: y}))) is says


def test_large_arrays_are_kept_in_little_unless_all_is_asked_for():
    little = shown(np.arange(10_000.0).reshape(100, 100))
    assert little.values is None
    assert (little.smallest, little.largest, little.mean, little.zeros) == (0, 9999, 4999.5, 1)
    assert (len(little.picture), len(little.picture[0])) == (28, 28)
    assert len(shown(np.arange(10_000.0), whole=True).values) == 10_000
    bad = shown(np.array([np.nan, np.inf, 1.0]))
    assert (bad.nans, bad.infinities, bad.smallest) == (1, 1, 1)


@pytest.mark.parametrize("size", [3e-300, 1.0, 3e200, 1e308])
def test_of_tiny_and_huge_numbers_the_statistics_are_those_of_their_multiples(size):
    numbers = np.random.default_rng(0).uniform(-1, 1, (100, 100))
    one, many = shown(numbers), shown(numbers * size)
    for name in ("smallest", "largest", "mean", "std", "picture"):
        np.testing.assert_allclose(np.divide(getattr(many, name), size), getattr(one, name), rtol=1e-3)


def test_the_largest_numbers_are_rounded_to_no_infinity():
    most = np.finfo(float).max
    told = shown(np.full((100, 100), -most))
    assert told.smallest == -most
    assert told.mean == pytest.approx(-most)
    assert {*sum(told.picture, ())} == {-most}


def test_an_array_without_a_finite_element_says_what_is_in_it():
    assert str(shown(np.array([np.nan, np.inf, -np.inf]))) == "(3,), 1 NaN, 2 inf"
    assert str(shown(np.zeros((0, 3)))) == "(0, 3)"


def test_the_text_of_a_trace_fits_into_eighty_columns():
    x, w = leaf(np.ones((2, 3))), leaf(np.ones(3))
    with trace() as seen:
        y = (x * w).exp()
        y.sum().backward()
    lines = str(seen).splitlines()
    assert lines[0] == "forwards"
    assert "backwards" in lines
    assert max(map(len, lines)) <= 80


def test_nothing_recorded_is_said_in_a_sentence(tmp_path):
    with trace() as seen:
        pass
    assert str(seen) == "nothing was recorded"
    with pytest.raises(ValueError, match="nothing was recorded: enter `with trace"):
        seen.html(tmp_path / "page.html")
    with pytest.raises(ValueError, match='keep is "some" or "all", got \'none\''):
        trace(keep="none")


# ------------------------------------------------------------------------------------------------ the page


class Structure(HTMLParser):
    """Notes what is opened and closed, and what points outside."""

    def __init__(self):
        super().__init__()
        self.open, self.outside = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "input", "link", "br"):
            self.open.append(tag)
        self.outside += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_page_is_one_file_and_what_the_program_provides_is_escaped():
    x = leaf(2.0)
    with trace(names={"</script><script>alert(1)</script>": x}) as seen:
        (x * x).backward()
    text = seen.html(title="</title><b>")
    parser = Structure()
    parser.feed(text)
    assert parser.open == []
    assert parser.outside == []
    assert "<script>alert" not in text
    assert "</title><b>" not in text
    assert "default-src 'none'" in text
    told = json.loads(re.search(r'<script type="application/json" id="trace">(.*?)</script>', text, re.S)[1])
    assert told["tensors"][0]["name"] == "</script><script>alert(1)</script>"


def test_a_page_of_the_same_program_is_the_same(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import minigrad as mg\nx = mg.tensor([1.0], requires_grad=True)\n(x * x).backward()\n")
    pages = []
    for name in ("a.html", "b.html"):
        run_show("-o", tmp_path / name, script, cwd=tmp_path)
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]


def run_show(*arguments, cwd, check=True):
    command = [sys.executable, "-m", "minigrad.show", *map(str, arguments)]
    here = {**os.environ, "PYTHONPATH": str(Path(mg.__file__).parents[1])}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=check, env=here)


SCRIPT = """\
import sys
import minigrad as mg
w = mg.tensor(float(sys.argv[1]), requires_grad=True)
for step in range(3):
    loss = (w - 3.0) ** 2
    w.grad = None
    loss.backward()
    w.data = w.data - 0.1 * w.grad.data
print(f"{w.item():.4f}")
"""


def test_a_script_runs_unchanged_and_the_pass_asked_for_is_written(tmp_path):
    script = tmp_path / "fit.py"
    script.write_text(SCRIPT)
    done = run_show("--pass", 2, "-o", "page.html", script, "5.0", cwd=tmp_path)
    assert done.stdout == "4.0240\n"
    assert re.fullmatch(r"page.html: \d+ steps of backward pass 2\n", done.stderr)
    told = json.loads(re.search(r'id="trace">(.*?)</script>', (tmp_path / "page.html").read_text(), re.S)[1])
    names = {tensor["name"]: tensor["value"]["values"] for tensor in told["tensors"]}
    assert names["w"] == [4.6]
    assert names["loss"] == [pytest.approx(2.56)]


def test_a_script_without_such_a_pass_and_wrong_arguments_end_in_a_sentence(tmp_path):
    script = tmp_path / "fit.py"
    script.write_text(SCRIPT)
    failed = run_show("--pass", 9, script, "5.0", cwd=tmp_path, check=False)
    said = "the script made 3 backward passes, so there is no page of pass 9\n"
    assert (failed.returncode, failed.stderr) == (1, said)
    wrong = (["nowhere.py"], "there is no script nowhere.py"), (["--pass", 0, script], "counts from 1")
    for arguments, said in wrong:
        failed = run_show(*arguments, cwd=tmp_path, check=False)
        assert failed.returncode == 2
        assert said in failed.stderr


def test_the_scripts_own_error_comes_through(tmp_path):
    script = tmp_path / "wrong.py"
    script.write_text("import minigrad as mg\nx = mg.tensor(1.0, requires_grad=True)\n(x * x).backward()\n1 / 0\n")
    failed = run_show(script, cwd=tmp_path, check=False)
    assert failed.returncode == 1
    assert failed.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert (tmp_path / "backprop.html").exists()


hidden = mg.tensor(2.0, requires_grad=True)


def scaled(v):
    return v * hidden


def test_a_local_variable_hides_a_global_one_of_its_name():
    hidden = mg.tensor(3.0, requires_grad=True)
    assert [node.name for node in graph(scaled(hidden)).nodes].count("hidden") == 1


def test_a_name_that_is_given_is_that_of_nothing_else():
    w, b, x, model = leaf(2.0), leaf(5.0), leaf(3.0), nn.Linear(1, 1, bias=False)
    names = {"w": b, "model.weight": x}
    with trace(names=names) as seen:
        y = model(w * b * x * np.ones(1))
        drawn = graph(y, names=names)
    for told in (seen.tensors, drawn.nodes):
        found = [(t.name, t.value if isinstance(t.value, float) else t.value.single()) for t in told]
        assert sorted(each for each in found if each[0] in names) == [("model.weight", 3.0), ("w", 5.0)]


def test_a_comprehension_knows_its_own_names_and_those_of_the_function():
    w = leaf(2.0)
    for drawn in ([graph(y) for y in [w * 3.0]], tuple(graph(y) for y in [w * 3.0])):
        assert [node.name for node in drawn[0].nodes] == ["w", "y"]
