"""Frames around what modules compute, runs of what is too much, and pictures with some of them folded."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.show import folding, graph, stepper, trace
from minigrad.show.boxes import Arrow, Node
from minigrad.show.drawing import Graph
from minigrad.show.folding import Foldable


def leaf(value):
    return mg.tensor(value, requires_grad=True)


def node(number, kind="result", scope="", name=""):
    made = "" if kind != "result" else "op"
    return Node(number, name or f"{kind}_{number}", kind, made, (), "float64", number, None, scope)


@st.composite
def graphs(draw):
    """Some leaves and operations, in scopes that come back, each of what was before it."""
    scopes = st.sampled_from(["", "a", "a.0", "a.1", "b", "b.0.c"])
    nodes, arrows = [node(0, "leaf")], []
    for number in range(1, draw(st.integers(1, 24))):
        kind = draw(st.sampled_from(["leaf", "constant", "result", "result", "result"]))
        nodes.append(node(number, kind, draw(scopes) if kind == "result" else "", draw(st.sampled_from(["", "data"]))))
        if kind == "result":
            sources = draw(st.lists(st.integers(0, number - 1), min_size=1, max_size=3))
            arrows += [Arrow(source, number, i) for i, source in enumerate(sources)]
    return Graph(tuple(nodes), tuple(arrows))


def states(foldable):
    return stepper.states(foldable, foldable.levels(), foldable.unfolded_to(10))


@pytest.mark.parametrize(("most", "beside"), [(300, 40), (6, 3)])
@given(graphs())
@settings(max_examples=10)
def test_whatever_is_folded_each_node_is_in_one_box_and_arrows_lead_down(most, beside, drawn):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "MOST_NODES", most)
        patch.setattr(folding, "MOST_BESIDE", beside)
        foldable = Foldable(drawn.nodes, drawn.arrows)
    for opened in states(foldable):
        picture = foldable.picture(opened)
        assert sorted(n for box in picture.boxes for n in box.members) == [*range(len(drawn.nodes))]
        assert foldable.size(opened) == len(picture.boxes)
        assert set(picture.names) == {frame for box in picture.boxes for frame in box.within} == opened
        placed = picture.placed()  # which a circle of boxes or frames would not let be
        for source, target in picture.arrows:
            assert placed.centers[source][1] < placed.centers[target][1]
        inside = {n: i for i, box in enumerate(picture.boxes) for n in box.members}
        shown = [edge for edges in picture.arrows.values() for edge in edges]
        within = [i for i, a in enumerate(drawn.arrows) if inside[a.source] == inside[a.target]]
        assert sorted([*shown, *within]) == [*range(len(drawn.arrows))]


@given(graphs())
@settings(max_examples=30)
def test_in_a_small_graph_every_frame_folds_and_unfolds_alone(drawn):
    foldable = Foldable(drawn.nodes, drawn.arrows)
    known = {opened: i for i, opened in enumerate(states(foldable))}
    if sum(map(foldable.size, known)) > stepper.MOST_BOXES_IN_ALL - len(drawn.nodes):
        return
    for opened in known:
        for frame in foldable.frames_seen(opened):
            number = stepper.closest(foldable, opened, known, frame)
            assert [*known][number] == foldable.toggled(opened, frame)


def test_a_module_called_twice_has_two_frames_and_what_it_alone_uses_is_within():
    nodes = [node(0, "leaf", name="x"), node(1, "leaf", name="model.0.weight"), node(2, scope="0"), node(3),
             node(4, scope="0"), node(5, "leaf", name="model.1.bias"), node(6, scope="1.act")]
    arrows = [Arrow(0, 2, 0), Arrow(1, 2, 1), Arrow(2, 3, 0), Arrow(3, 4, 0), Arrow(1, 4, 1), Arrow(4, 6, 0),
              Arrow(5, 6, 1)]
    foldable = Foldable(nodes, arrows)
    assert [frame.name for frame in foldable.frames] == ["0", "0", "1", "1.act"]
    assert foldable.paths == [(), (), (0,), (), (1,), (2, 3), (2, 3)]
    folded = foldable.picture(frozenset())
    assert [box.lines[0] for box in folded.boxes] == ["x", "model.0.weight", "0", "result_3", "0", "1"]


def test_a_trace_has_frames_by_module_and_a_graph_by_the_names_of_parameters():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)))
    with trace() as seen:
        loss = (model(np.ones((5, 3))) ** 2).sum()
        loss.backward(retain_graph=True)
    frames = {frame.name: len(frame.path) for frame in Foldable(seen.graph.nodes, seen.graph.arrows).frames}
    assert frames == {"0": 1, "1": 1, "2": 1, "2.0": 2, "2.1": 2, "2.2": 2}
    assert [(a.source, a.target) for a in seen.graph.arrows] == [(e.source, e.target) for e in seen.edges]
    live = {node.name: node.scope for node in graph(loss).nodes if node.kind == "result"}
    assert live == {"linear_1": "model.0", "relu_1": "model", "linear_2": "model.2.0", "tanh_1": "model.2",
                    "linear_3": "model.2.2", "power_1": "", "loss": ""}


def test_frames_are_in_all_languages():
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 2)))
    drawn = graph(model(np.ones((5, 3))).sum())
    labels = ["model", "model.0", "model.1", "model.1.0"]
    dot, mermaid, svg = drawn.dot(), drawn.mermaid(), drawn.svg()
    assert [line.partition("label=")[2] for line in dot.splitlines() if "cluster_" in line] == [
        f'"{label}"; style=rounded' for label in labels]
    assert [line.split("[")[1] for line in mermaid.splitlines() if "subgraph" in line] == [
        f'"{label}"]' for label in labels]
    assert dot.count("{") == dot.count("}") == 5
    assert mermaid.count("  end\n") == 4
    assert svg.count('class="frame"') == 4
    assert [f">{label}</text>" in svg for label in labels] == [True] * 4
    assert "      n" in dot


def test_a_module_whose_name_has_a_hyphen_has_a_frame():
    model = nn.Sequential({"to-logits": nn.Linear(3, 2)})
    assert graph(model(np.ones((1, 3)))).nodes[-1].scope == "model.to-logits"


def test_the_layers_of_a_module_are_in_the_frames_of_what_holds_them():
    model = nn.Sequential(nn.Linear(3, 4), nn.Residual(nn.Sequential(nn.Linear(4, 4), nn.ReLU())))
    assert [node.scope for node in graph(model, (3,)).nodes] == ["", "1.module", "1.module", "1"]


# ------------------------------------------------------------------------------------------------ large graphs


def chain(n):
    x = w = leaf(1.0)
    for _ in range(n):
        x = x * w
    return graph(x)


def test_of_thousands_of_operations_consecutive_ones_share_a_box_and_the_drawing_says_so():
    drawn = chain(5000)
    picture = drawn.picture()
    assert 60 < len(picture.boxes) < 80
    assert {len(box.members) for box in picture.boxes[1:-1]} == {70, 71}  # all share the leaf
    caption = "Consecutive operations share a box: these are 5,001 tensors."
    assert picture.caption == caption
    assert [caption in text for text in (drawn.svg(), drawn.dot(), drawn.mermaid())] == [True] * 3
    assert len(drawn.nodes) == 5001
    assert chain(250).picture().caption == ""


def test_modules_are_folded_before_runs_are_made():
    model = nn.Sequential(*[nn.Sequential(*[nn.Linear(2, 2) for _ in range(12)]) for _ in range(10)])
    with trace() as seen:
        model(np.ones((1, 2))).sum().backward()
    picture = seen.graph.picture()
    assert len(seen.graph.nodes) > folding.MOST_NODES >= len(picture.boxes)
    assert picture.caption.startswith("What a module computes shares a box")
    assert set(picture.names.values()) == {str(i) for i in range(10)}


def test_what_spreads_too_wide_from_one_leaf_is_folded_and_the_leaf_is_not():
    x = leaf(2.0)
    picture = graph(mg.stack([x * float(i) for i in range(200)]).sum()).picture()
    assert picture.boxes[0].lines[0] == "x = 2"
    assert picture.placed().width < 5000
    assert max(len(box.members) for box in picture.boxes) == 15


@pytest.mark.parametrize("leaves", [50, 700])
def test_many_leaves_beside_each_other_are_folded_too(leaves):
    xs = [leaf(1.0) for _ in range(leaves)]
    picture = graph(mg.stack(xs).sum() + mg.stack(xs).sum()).picture()
    assert picture.placed().width < 8000
    assert len(picture.boxes) <= 41


def test_counts_of_edges_that_would_be_written_over_each_other_are_left_out():
    x = mg.tensor(1.0, requires_grad=True)
    a, b = x * 2.0, x * 3.0
    y, z = mg.stack([a] * 5 + [b] * 6), mg.stack([a] * 6 + [b] * 5)
    assert re.findall("×[0-9]+", graph((y * z).sum()).svg()) == []
    assert re.findall("×[0-9]+", graph(y.sum()).svg()) == ["×5", "×6"]


def test_edges_between_folded_boxes_are_counted():
    x = leaf(2.0)
    assert "×" not in graph(x * x).svg()
    drawn = Graph((node(0, "leaf"), node(1)), tuple(Arrow(0, 1, i) for i in range(5)))
    assert "×5" in drawn.svg()
    assert '[label="×5"]' in drawn.dot()
    assert "|×5|" in drawn.mermaid()
