"""The idea in one file is the idea of the engine: the same gradients, to the last bit."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg

FILE = Path(__file__).parents[1] / "docs" / "essence.py"
spec = importlib.util.spec_from_file_location("essence", FILE)
essence = importlib.util.module_from_spec(spec)
spec.loader.exec_module(essence)

OPERATIONS = {
    "add": lambda kit, a, b: kit.add(a, b),
    "multiply": lambda kit, a, b: kit.multiply(a, b),
    "exp": lambda kit, a, b: kit.exp(kit.multiply(a, kit.constant(-0.25))),
}


class Essence:
    add, multiply, exp = staticmethod(essence.add), staticmethod(essence.multiply), staticmethod(essence.exp)
    leaf = constant = staticmethod(essence.Tensor)

    @staticmethod
    def gradients(result, inputs):
        return essence.gradients(result, *inputs)


class Engine:
    add, multiply, exp = staticmethod(mg.add), staticmethod(mg.multiply), staticmethod(mg.exp)
    constant = staticmethod(mg.tensor)

    @staticmethod
    def leaf(x):
        return mg.tensor(x, requires_grad=True)

    @staticmethod
    def gradients(result, inputs):
        for x in inputs:
            x.grad = None
        result.backward(np.ones(result.shape), create_graph=True)
        return [x.grad for x in inputs]


@st.composite
def programs(draw):
    """Shapes that broadcast together, and lines that combine any two of the results so far."""
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3, min_side=1)).input_shapes
    lines = [
        (draw(st.sampled_from(list(OPERATIONS))), draw(st.integers(0, 2 + i)), draw(st.integers(0, 2 + i)))
        for i in range(draw(st.integers(1, 8)))
    ]
    return shapes, lines, draw(st.integers(0, 2**32 - 1))


def first_and_second(kit, program):
    """The gradients of a program, and those of the sum of all these gradients, as arrays."""
    shapes, lines, seed = program
    rng = np.random.default_rng(seed)
    inputs = [kit.leaf(rng.uniform(-1, 1, shape)) for shape in shapes]
    values = list(inputs)
    for name, i, j in lines:
        values.append(OPERATIONS[name](kit, values[i], values[j]))
    result = values[-1]
    for x in values[:-1]:  # everything counts, and is used more than once
        result = kit.add(result, x)
    first = kit.gradients(result, inputs)
    kept = [np.array(g.data) for g in first]
    total = kit.add(kit.multiply(first[0], first[1]), kit.multiply(first[2], first[2]))
    for x in inputs:  # so that each has a second gradient
        total = kit.add(total, kit.multiply(x, x))
    return kept, [np.array(g.data) for g in kit.gradients(total, inputs)]


@given(programs())
def test_first_and_second_derivatives_are_those_of_the_engine_to_the_last_bit(program):
    of_essence, of_engine = first_and_second(Essence, program), first_and_second(Engine, program)
    for order in (0, 1):
        for a, b in zip(of_essence[order], of_engine[order], strict=True):
            np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("kit", [Essence, Engine])
def test_a_diamond_with_two_to_the_forty_paths_is_swept_once_an_edge(kit):
    x = kit.leaf(np.array(1.0))
    y = x
    for _ in range(40):
        y = kit.add(y, y)
    assert kit.gradients(y, [x])[0].data == 2.0**40


def test_the_file_runs_and_prints_what_calculus_says():
    printed = subprocess.run([sys.executable, FILE], capture_output=True, text=True, check=True).stdout.split("\n")
    x, w = np.array([1.0, 2.0, 3.0]), 0.5
    assert printed[0] == f"dy/dx   {w * np.exp(w * x)}"
    assert float(printed[1].split()[-1]) == pytest.approx((x * np.exp(w * x)).sum(), rel=1e-14)
    assert float(printed[2].split()[-1]) == pytest.approx((x * x * np.exp(w * x)).sum(), rel=1e-14)


def test_the_idea_is_small():
    code = [line for line in FILE.read_text().split("\n") if line.strip() and not line.strip().startswith(("#", '"""'))]
    assert len(code) <= 60
