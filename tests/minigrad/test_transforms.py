"""Transforms against closed forms and against each other."""

import gc
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.recording import Recorded, recording

rng = np.random.default_rng(0)
A = rng.standard_normal((4, 4))
x0 = rng.standard_normal(4)


def quartic(x):
    return ((A @ x) ** 4).sum() / 4


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def close(a, b, rtol=1e-10):
    np.testing.assert_allclose(np.asarray(a.numpy() if isinstance(a, mg.Tensor) else a), b, rtol=rtol, atol=1e-12)


def test_grad_is_the_closed_form_and_a_constant():
    gradient = mg.grad(quartic)(x0)
    close(gradient, A.T @ (A @ x0) ** 3)
    assert not gradient.requires_grad


def test_value_and_grad_returns_both():
    value, gradient = mg.value_and_grad(quartic)(x0)
    close(value, ((A @ x0) ** 4).sum() / 4)
    close(gradient, A.T @ (A @ x0) ** 3)
    assert not value.requires_grad


def test_hessian_and_hvp_and_jacobian_of_the_gradient_agree():
    expected = A.T @ np.diag(3 * (A @ x0) ** 2) @ A
    v = rng.standard_normal(4)
    close(mg.hessian(quartic)(x0), expected)
    close(mg.jacobian(mg.grad(quartic))(x0), expected)
    close(mg.hvp(quartic, [x0], [v])[0], expected @ v)


def test_hessian_of_rosenbrock_at_its_minimum():
    n = 3
    expected = np.zeros((n, n))
    for i in range(n - 1):
        expected[i, i] += 802
        expected[i, i + 1] = expected[i + 1, i] = -400
        expected[i + 1, i + 1] += 200
    close(mg.hessian(rosenbrock)(np.ones(n)), expected)


def test_grad_nests_to_any_order():
    f = mg.sin if hasattr(mg, "sin") else mg.exp
    derivative = f
    for _ in range(4):
        derivative = mg.grad(derivative)
    close(derivative(0.7), f(0.7).item())


def test_an_inner_derivative_does_not_confuse_its_variable_with_the_outer_one():
    # d/dx [x * d/dy (x + y)] at x = 1 is 1; an engine that mixes the two up says 2
    outer = mg.grad(lambda x: x * mg.grad(lambda y: x + y)(1.0))
    close(outer(1.0), 1.0)


def test_argnums_choose_the_arguments():
    f = lambda a, b, c: a * b**2 * c**3  # noqa: E731
    close(mg.grad(f, argnums=1)(2.0, 3.0, 5.0), 2 * 2 * 3 * 125)
    da, dc = mg.grad(f, argnums=(0, -1))(2.0, 3.0, 5.0)
    close(da, 9 * 125)
    close(dc, 2 * 9 * 75)


def test_containers_come_back_as_containers():
    def f(tree):
        return (tree["w"] * tree["more"][0]).sum() + tree["more"][1] ** 2

    gradient = mg.grad(f)({"w": np.array([1.0, 2.0]), "more": [np.array([3.0, 4.0]), 5.0]})
    close(gradient["w"], [3, 4])
    close(gradient["more"][0], [1, 2])
    close(gradient["more"][1], 10)
    assert isinstance(gradient["more"], list)


def test_has_aux_hands_the_second_thing_on():
    gradient, aux = mg.grad(lambda x: (x * x, "note"), has_aux=True)(3.0)
    close(gradient, 6)
    (value, again), gradient = mg.value_and_grad(lambda x: (x * x, "note"), has_aux=True)(3.0)
    assert (aux, again, value.item(), gradient.item()) == ("note", "note", 9, 6)
    value, pull_back, aux = mg.vjp(lambda x: (x * x, "note"), 3.0, has_aux=True)
    assert (aux, pull_back(1.0)[0].item()) == ("note", 6)


def test_what_has_aux_hands_on_holds_no_graph_unless_something_outside_may_be_differentiated():
    def f(x):
        return (x * x).sum(), {"mean": x.mean(), "kind": "text", "nothing": None}

    x, scale = np.array([1.0, 3.0]), mg.tensor(2.0, requires_grad=True)
    (_, of_both), _ = mg.value_and_grad(f, has_aux=True)(x)
    for aux in (of_both, mg.grad(f, has_aux=True)(x)[1], mg.vjp(f, x, has_aux=True)[2]):
        assert np.asarray(aux["mean"]) == 2
        assert (aux["kind"], aux["nothing"]) == ("text", None)
    inner = mg.grad(lambda x: (x.sum(), (x**3).sum()), has_aux=True)
    assert mg.grad(lambda x: inner(x)[1])(x).numpy().tolist() == [3, 27]
    _, beside = mg.grad(lambda x: ((x * x).sum(), scale * 3), has_aux=True)(x)
    beside.backward()
    assert scale.grad.item() == 3



def test_vjp_can_be_pulled_back_more_than_once():
    value, pull_back = mg.vjp(lambda x: A @ x, x0)
    close(value, A @ x0)
    for _ in range(2):
        c = rng.standard_normal(4)
        close(pull_back(c)[0], A.T @ c)


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_an_output_whose_slope_is_infinite_leaves_the_others_of_a_jacobian_as_they_are():
    x = np.array([0.0, 4.0])
    for unsmooth in (mg.sqrt, mg.log, mg.cbrt, mg.reciprocal):
        close(mg.jacobian(lambda x, f=unsmooth: (f(x), 2 * x))(x)[1], 2 * np.eye(2))
        close(mg.jacobian(lambda x, f=unsmooth: {"a": x * x, "b": f(x)})(x)["a"], np.diag(2 * x))


def test_jacobians_and_hessians_of_what_is_empty_are_empty():
    three, nothing = np.ones(3), np.zeros((2, 0))
    for f, x, shape in [
        (lambda a: a[:0], three, (0, 3)), (lambda a: a[:, None][:0], three, (0, 1, 3)),
        (lambda a: a * 2, nothing, (2, 0, 2, 0)), (lambda a: a.sum(1), nothing, (2, 2, 0)),
        (lambda a: a.sum(), nothing, (2, 0)),
    ]:
        found = mg.jacobian(f)(x.astype(np.float32))
        assert (found.shape, found.dtype) == (shape, np.float32)
    assert mg.hessian(lambda a: (a * a).sum())(np.zeros(0)).shape == (0, 0)
    assert mg.hessian(lambda a: (a**3).sum())(nothing).shape == (2, 0, 2, 0)
    assert mg.grad(lambda a: mg.hessian(lambda a: (a**3).sum())(a).sum())(nothing).shape == (2, 0)


def test_one_empty_part_leaves_the_others_of_a_jacobian_or_hessian_as_they_are():
    x, nothing = np.array([1.0, 2.0]), np.zeros(0)
    full, empty = mg.jacobian(lambda a: (a * a, a[:0]))(x)
    close(full, np.diag(2 * x))
    assert empty.shape == (0, 2)
    parts = mg.hessian(lambda tree: (tree["a"] ** 3).sum() + tree["b"].sum())({"a": x, "b": nothing})
    close(parts["a"]["a"], np.diag(6 * x))
    assert [parts[i][j].shape for i, j in ("ab", "ba", "bb")] == [(2, 0), (0, 2), (0, 0)]
    by_first, by_second = mg.jacobian(lambda a, b: a * 2 + b.sum(), (0, 1))(x, nothing)
    close(by_first, 2 * np.eye(2))
    assert by_second.shape == (2, 0)


def test_jvp_is_the_jacobian_times_the_tangent():
    f = lambda x, y: (mg.exp(A @ x) * y, (x * y).sum())  # noqa: E731
    y0, v, w = rng.standard_normal((3, 4))
    values, (first, second) = mg.jvp(f, (x0, y0), (v, w))
    close(values[0], np.exp(A @ x0) * y0)
    close(first, np.exp(A @ x0) * (A @ v) * y0 + np.exp(A @ x0) * w)
    close(second, (v * y0 + x0 * w).sum())


@given(seed=st.integers(0, 1000))
def test_vector_products_from_both_sides_agree(seed):
    local = np.random.default_rng(seed)
    W, x, v, c = (local.standard_normal(s) for s in ((3, 4), 4, 4, 3))
    f = lambda x: mg.tanh(W @ x) * mg.logsumexp(x)  # noqa: E731
    forward = np.vdot(c, mg.jvp(f, [x], [v])[1].numpy())
    backward = np.vdot(v, mg.vjp(f, x)[1](c)[0].numpy())
    assert forward == pytest.approx(backward, rel=1e-9)


def test_grad_of_a_jvp_and_jvp_of_a_grad_agree():
    v = rng.standard_normal(4)
    one = mg.grad(lambda x: mg.jvp(quartic, [x], [v])[1])(x0)
    other = mg.jvp(mg.grad(quartic), [x0], [v])[1]
    close(one, other.numpy())


def test_an_output_that_does_not_depend_on_the_input_has_gradient_zero():
    close(mg.grad(lambda x: mg.tensor(2.0))(3.0), 0)
    close(mg.jvp(lambda x: mg.tensor(2.0), [3.0], [1.0])[1], 0)


def test_a_captured_parameter_keeps_the_gradient_differentiable():
    w = mg.tensor(3.0, requires_grad=True)
    gradient = mg.grad(lambda x: w * x * x)(2.0)
    gradient.backward()
    close(w.grad, 4)


def test_inside_no_grad_the_gradient_is_right_and_not_recorded():
    w = mg.tensor(3.0, requires_grad=True)
    with mg.no_grad():
        gradient = mg.grad(lambda x: w * x * x)(2.0)
    close(gradient, 12)
    assert not gradient.requires_grad


def test_a_function_with_several_numbers_has_no_gradient():
    with pytest.raises(ValueError, match=r"returns one number .* returned \(4,\)"):
        mg.grad(lambda x: x * 2)(x0)


def test_an_integer_variable_is_refused():
    with pytest.raises(TypeError, match="only floating tensors"):
        mg.grad(lambda x: x * 2)(3)


def test_tangents_and_cotangents_of_the_wrong_shape_are_refused():
    with pytest.raises(ValueError, match="tangents of shapes"):
        mg.jvp(quartic, [x0], [np.zeros(3)])
    with pytest.raises(ValueError, match="cotangents of shapes"):
        mg.vjp(quartic, x0)[1](np.zeros(3))


PAIR = {"a": 1.0, "b": np.array([1.0, 2.0])}


@pytest.mark.parametrize("given", [{"a": 1.0, "b": np.array([5.0, 7.0])}, {"b": np.array([5.0, 7.0]), "a": 1.0}])
def test_a_tangent_or_cotangent_belongs_to_what_has_its_name(given):
    def f(tree):
        return {"b": tree["b"] * 3, "a": tree["a"] * 2 + (tree["b"] * tree["b"]).sum()}

    close(mg.jvp(f, [PAIR], [given])[1]["a"], 2 + 2 * 5 + 4 * 7)
    close(mg.hvp(lambda tree: f(tree)["a"], [PAIR], [given])[0]["b"], [10, 14])
    (back,) = mg.vjp(f, PAIR)[1](given)
    close(back["a"], 2)
    close(back["b"], [2 + 15, 4 + 21])


@pytest.mark.parametrize("given", [
    {"a": 1.0}, {"a": 1.0, "c": np.zeros(2)}, [1.0, np.zeros(2)], {"a": [1.0], "b": np.zeros(2)}, 1.0,
])
def test_tangents_and_cotangents_in_other_containers_are_refused(given):
    with pytest.raises(ValueError, match=r"^tangents of shapes .* were given for "):
        mg.jvp(lambda tree: tree["b"], [PAIR], [given])
    with pytest.raises(ValueError, match=r"^cotangents of shapes .* were given for "):
        mg.vjp(lambda tree: tree, PAIR)[1](given)


@pytest.mark.parametrize("transform", [mg.jvp, mg.hvp])
def test_an_array_is_not_taken_for_a_list_of_arguments(transform):
    with pytest.raises(TypeError, match=r"got ndarray: write \[x\]"):
        transform(lambda x: x, np.array([3.0]), np.array([1.0]))


@pytest.mark.parametrize("result", [lambda x: x, lambda x: (x, 1, 2), lambda x: {"value": x, "aux": 1}])
def test_with_aux_a_function_returns_a_pair(result):
    for call in (lambda: mg.grad(result, has_aux=True)(1.0), lambda: mg.vjp(result, 1.0, has_aux=True)):
        with pytest.raises(TypeError, match="returns a pair"):
            call()


def test_a_dict_of_another_class_is_handed_on_as_one():
    class Settings(dict):
        def __getattr__(self, name):
            return self[name]

    gradient = mg.grad(lambda p: p.scale * p.rate)(Settings(scale=2.0, rate=3.0))
    assert type(gradient) is Settings
    assert gradient.scale.item() == 3


def test_newton_on_rosenbrock_converges_quadratically():
    x, errors = np.array([-1.2, 1.0]), []
    for _ in range(8):
        x = x - np.linalg.solve(mg.hessian(rosenbrock)(x).numpy(), mg.grad(rosenbrock)(x).numpy())
        errors.append(np.abs(x - 1).max())
    assert errors[-1] < 1e-12


# ------------------------------------------------------------------------------------------------ checkpoint


def layer(w):
    def apply(x):
        h = x @ w
        return mg.tanh(h) * mg.exp(h / 4)

    return apply


def test_checkpointed_gradients_are_the_same_bit_for_bit():
    gradients = []
    for wrapper in (lambda f: f, mg.checkpoint):
        w = mg.tensor(A, requires_grad=True)
        x = mg.tensor(x0, requires_grad=True)
        y = x
        for _ in range(3):
            y = wrapper(layer(w))(y)
        y.sum().backward()
        gradients.append((w.grad.numpy(), x.grad.numpy()))
    assert all(np.array_equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("f", [
    lambda x: mg.grad(lambda v: (v**2 * x).sum())(np.ones(4)).sum(),
    lambda x: (x * mg.tensor(2.0, requires_grad=True)).sum(),
    lambda x: mg.jvp(lambda v: v * x, [A[0]], [A[1]])[1].sum(),
])
def test_a_checkpointed_function_may_make_leaves_of_its_own(f):
    close(mg.grad(mg.checkpoint(f))(A[0]), mg.grad(f)(A[0]).numpy())
    x = mg.tensor(A[0], requires_grad=True)
    mg.checkpoint(f)(x).backward()
    close(x.grad, mg.grad(f)(A[0]).numpy())


def test_checkpoints_keep_nothing_in_between():
    inner = []

    def f(x):
        y = mg.exp(x)
        inner.append(weakref.ref(y))
        return y * y

    gc.disable()
    try:
        x = mg.tensor(x0, requires_grad=True)
        out = mg.checkpoint(f)(x)
        assert inner[0]() is None
        out.sum().backward()
        assert inner[1]() is None
    finally:
        gc.enable()


def test_checkpoints_repeat_random_draws():
    mg.manual_seed(0)
    x = mg.tensor(np.ones(100), requires_grad=True)
    out = mg.checkpoint(lambda x: x * mg.default_generator().random(100))(x)
    mg.default_generator().random()  # something else draws before the backward pass
    out.sum().backward()
    assert np.array_equal(x.grad.numpy(), out.numpy())


def test_a_checkpoint_of_a_function_that_is_not_deterministic_is_refused():
    local = np.random.default_rng(0)
    out = mg.checkpoint(lambda x: x * local.random())(mg.tensor(1.0, requires_grad=True))
    with pytest.raises(RuntimeError, match="must be deterministic"):
        out.backward()


def test_checkpoints_can_be_differentiated_twice_and_swept_in_parts():
    f = mg.checkpoint(lambda x: (mg.exp(A @ x) * x).sum())
    plain = lambda x: (mg.exp(A @ x) * x).sum()  # noqa: E731
    close(mg.hessian(f)(x0), mg.hessian(plain)(x0).numpy())
    w = mg.tensor(2.0, requires_grad=True)
    g = mg.checkpoint(lambda x: w * x**2)
    close(mg.grad(g)(3.0), 12)
    x = mg.tensor(3.0, requires_grad=True)
    out = g(x)
    out.backward(retain_graph=True)
    out.backward()
    close(w.grad, 18)
    close(x.grad, 24)


@pytest.mark.parametrize("where", ["leaf", "inner tensor", "parameter", "through two outputs", "two checkpoints"])
def test_a_hook_on_what_a_checkpoint_uses_is_called_once_when_the_gradient_is_complete(where):
    whole = np.array([1.0, 2.0, 3.0])  # in whatever order they are added, sums of these are exact

    def run(wrapper):
        x, w, seen = mg.tensor(whole, requires_grad=True), mg.tensor(2.0, requires_grad=True), []

        def hook(gradient):
            seen.append(gradient.numpy().copy())
            return gradient * 10

        y = x * 3.0
        f = wrapper(lambda q: w * q * q)
        hooked = {"leaf": x, "parameter": w}.get(where, y)
        hooked.register_hook(hook)
        if where == "through two outputs":
            first, second = wrapper(lambda q: (q * q, w * q * q * q))(y)
            out = first + 2.0 * second
        elif where == "two checkpoints":
            out = wrapper(lambda q: f(q) + q)(y)
        else:
            out = f(x if hooked is x else y)
        y.retain_grad()
        out.backward(whole)
        return [*seen, *(t.grad.numpy() for t in (x, w, y) if t.grad is not None)]

    for got, expected in zip(run(mg.checkpoint), run(lambda f: f), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_hook_on_the_variable_of_a_transform_is_called_also_around_a_checkpoint():
    def f(x):
        x.register_hook(lambda gradient: gradient * 10)
        return mg.checkpoint(lambda q: q * q)(x).sum()

    close(mg.grad(f)(x0), 20 * x0)
    close(mg.hessian(f)(x0), 200 * np.eye(len(x0)))  # the hook of the inner variable, and that of the outer one


def test_each_output_of_a_checkpoint_may_be_computed_from_other_inputs():
    x, y = (mg.tensor(x0, requires_grad=True) for _ in range(2))
    first, second = mg.checkpoint(lambda x, y: (x * 2, y * y))(x, y)
    (first.sum() + second.sum()).backward()
    close(x.grad, np.full_like(x0, 2))
    close(y.grad, 2 * x0)


def test_a_recording_tells_of_a_checkpointed_input_as_complete_once():
    events = []
    x = mg.tensor(x0, requires_grad=True)
    with recording(events.append):
        mg.checkpoint(lambda q: q * q)(x).sum().backward()
    assert [type(event).__name__ for event in events if getattr(event, "tensor", None) is x] == ["Completed"]


# ------------------------------------------------------------------------------------------------ bad arguments


@pytest.mark.parametrize("transform", [mg.grad, mg.value_and_grad, mg.jacobian, mg.hessian])
@pytest.mark.parametrize(("argnums", "error", "message"), [
    (2, TypeError, "argnums=2 asks for argument 2, but 2 are given by position"),
    (-3, TypeError, "argnums=-3 asks for argument -3, but 2 are given by position"),
    ((0, 5), TypeError, "asks for argument 5, but 2 are given"),
    ((0, 0), ValueError, "names the same argument twice"),
    ((1, -1), ValueError, "names the same argument twice"),
    (0.5, TypeError, "position of an argument, or several, got 0.5"),
])
def test_argnums_that_name_no_argument_or_one_twice_are_refused(transform, argnums, error, message):
    with pytest.raises(error, match=message):
        transform(lambda x, y: (x * y).sum(), argnums)(np.ones(2), np.ones(2))


def test_variables_given_by_name_are_refused_with_a_sentence():
    with pytest.raises(TypeError, match="asks for argument 0, but 0 are given by position"):
        mg.grad(lambda x: x * x)(x=1.0)


def test_argnums_may_be_any_integers():
    assert mg.grad(lambda x, y: x * y, np.int64(1))(2.0, 3.0).item() == 2
    assert [g.item() for g in mg.grad(lambda x, y: x * y, np.array([0, 1]))(2.0, 3.0)] == [3, 2]
    assert [g.item() for g in mg.grad(lambda x, y: x * y, range(2))(2.0, 3.0)] == [3, 2]


@pytest.mark.parametrize("result", [lambda x: np.int64(3), lambda x: (x > 0).sum(), lambda x: x.detach().astype(int)])
def test_a_function_with_integer_values_has_no_derivative(result):
    for derivative in (
        lambda: mg.grad(result)(1.0),
        lambda: mg.jacobian(result)(1.0),
        lambda: mg.vjp(result, 1.0),
        lambda: mg.jvp(result, [1.0], [1.0]),
    ):
        with pytest.raises(TypeError, match="only floating results have derivatives, this function returned int64"):
            derivative()
    assert mg.grad(lambda x: (x * x, result(x)), has_aux=True)(1.0)[0].item() == 2


# ------------------------------------------------------------------------------------------------ memory


def penalty_by_hand(x):
    variable = mg.tensor(x, requires_grad=True)
    f(variable).backward(create_graph=True)
    (variable.grad**2).sum().backward()
    variable.grad = None


def f(x):
    return (x.tanh() * x).sum() if isinstance(x, mg.Tensor) else f(x["a"]) + f(x["b"][0])


def pair(x):
    return {"a": x, "b": (2 * x,)}


TRANSFORMED = {
    "grad": lambda x: mg.grad(f)(x),
    "grad of containers": lambda x: mg.grad(f)(pair(x)),
    "value_and_grad": lambda x: mg.value_and_grad(f)(x),
    "grad with aux": lambda x: mg.grad(lambda x: (f(x), x * x), has_aux=True)(x),
    "grad of grad": lambda x: mg.grad(lambda x: mg.grad(f)(x).sum())(x),
    "vjp": lambda x: mg.vjp(f, x)[1](1.0),
    "vjp of containers": lambda x: mg.vjp(pair, x)[1](pair(x)),
    "jvp": lambda x: mg.jvp(pair, [x], [x]),
    "hvp": lambda x: mg.hvp(f, [x], [x]),
    "jacobian": lambda x: mg.jacobian(pair)(x),
    "hessian": lambda x: mg.hessian(f)(x),
    "hessian of containers": lambda x: mg.hessian(f)(pair(x)),
    "checkpoint": lambda x: mg.grad(mg.checkpoint(f))(x),
    "checkpoint of containers": lambda x: mg.grad(lambda x: f(mg.checkpoint(pair)(x)))(x),
    "grad of a checkpoint's grad": lambda x: mg.grad(lambda x: mg.grad(mg.checkpoint(f))(x).sum())(x),
    "gradients by hand": penalty_by_hand,
}


@pytest.mark.parametrize("name", TRANSFORMED)
def test_no_transform_leaves_anything_to_the_garbage_collector(name):
    made = []

    def listen(event):
        if isinstance(event, Recorded):
            made.append(weakref.ref(event.result))

    gc.collect()
    gc.disable()
    try:
        with recording(listen):
            TRANSFORMED[name](np.array([0.5, 1.5]))
        assert len(made) >= 3
        assert not [ref() for ref in made if ref() is not None]
    finally:
        gc.enable()


def test_gradients_that_are_zero_everywhere_are_zero_at_every_order():
    x = np.array([1.0, -2.0])
    slope = mg.grad(lambda x: mg.relu(x).sum())
    np.testing.assert_array_equal(mg.grad(lambda x: (slope(x) ** 2).sum())(x).numpy(), [0, 0])
    np.testing.assert_array_equal(mg.hessian(lambda x: mg.relu(x).sum())(x).numpy(), np.zeros((2, 2)))
    np.testing.assert_array_equal(mg.hvp(lambda x: mg.relu(x).sum(), [x], [x])[0].numpy(), [0, 0])
    np.testing.assert_array_equal(mg.jvp(slope, [x], [x])[1].numpy(), [0, 0])


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_checkpoints_leave_every_generator_as_if_it_had_drawn_once(kind):
    def run(wrapper):
        mg.manual_seed(1)
        own, unused = np.random.Generator(kind(2)), np.random.Generator(kind(3))
        layers = [nn.Dropout(0.5, own), nn.Dropout(0.3, own), nn.Dropout2d(0.5, own), nn.Dropout(0.2)]
        f = nn.Sequential(nn.Unflatten(1, (4, 2, 1)), *layers)
        x = mg.tensor(np.ones((5, 8)), requires_grad=True)
        out = wrapper(f)(x)
        between = own.random(), mg.default_generator().random()
        out.sum().backward()
        return [out.data, x.grad.data, between, own.random(), unused.random(), mg.default_generator().random()]

    once = run(lambda f: f)
    for wrapper in (mg.checkpoint, lambda f: mg.checkpoint(lambda x: mg.checkpoint(f)(x) * 1.0)):
        for expected, got in zip(once, run(wrapper), strict=True):
            np.testing.assert_array_equal(got, expected)


def test_generators_are_put_back_when_the_second_time_fails():
    first = []

    def f(x):
        mg.default_generator().random()
        if first:
            raise OSError("gone")
        first.append(True)
        return x * x

    mg.manual_seed(0)
    out = mg.checkpoint(f)(mg.tensor(1.0, requires_grad=True))
    state = mg.default_generator().bit_generator.state
    with pytest.raises(OSError, match="gone"):
        out.backward()
    assert mg.default_generator().bit_generator.state == state
    assert not mg.is_recomputing()


def test_what_is_computed_again_knows_it_in_its_thread_alone():
    seen, elsewhere = [], []

    def f(x):
        seen.append(mg.is_recomputing())
        thread = threading.Thread(target=lambda: elsewhere.append(mg.is_recomputing()))
        thread.start()
        thread.join()
        return x * x

    x = mg.tensor([1.0, 2.0], requires_grad=True)
    mg.checkpoint(lambda x: mg.checkpoint(f)(x))(x).sum().backward()
    assert seen == [False, True, True], "the inner one runs again with the outer one, and then by itself"
    assert elsewhere == [False] * 3


CUBES = np.ones(2)


@pytest.mark.parametrize(
    "inner",
    [
        lambda v: mg.jvp(lambda x: (x**3).sum(), [CUBES], [v])[1],
        lambda v: mg.hvp(lambda x: (x**3).sum(), [CUBES], [v])[0].sum() / 2,
        lambda v: mg.grad(lambda x: (x**3 * v).sum())(CUBES).sum(),
        lambda v: mg.vjp(lambda x: (x**3 * v).sum(), CUBES)[1](1.0)[0].sum(),
        lambda v: mg.vjp(lambda x: x**3, CUBES)[1](v)[0].sum(),
        lambda v: mg.jacobian(lambda x: x**3 * v)(CUBES).sum(),
    ],
    ids=["jvp", "hvp", "grad", "vjp", "cotangent of vjp", "jacobian"],
)
def test_the_outermost_of_nested_transforms_returns_constants(inner):
    v = np.array([1.0, 2.0])
    found = [mg.grad(inner)(v), mg.vjp(inner, v)[1](1.0)[0], mg.jacobian(inner)(v), *mg.hvp(inner, [v], [v])]
    assert [x.numpy().tolist() for x in found] == [[3.0, 3.0]] * 3 + [[0.0, 0.0]]
    assert not any(x.requires_grad for x in found)
    outside = mg.tensor(2.0, requires_grad=True)
    (mg.grad(lambda v: inner(v) * outside)(v)).sum().backward()
    assert outside.grad.item() == 6.0


def test_a_product_that_is_asked_for_later_is_a_constant_too():
    _, pull = mg.vjp(lambda x: x**3, CUBES)
    found = mg.grad(lambda c: pull(c * CUBES)[0].sum())(2.0)
    assert (found.item(), found.requires_grad) == (6.0, False)
    w = mg.tensor(2.0, requires_grad=True)
    pull(w * CUBES)[0].sum().backward()
    assert w.grad.item() == 6.0
