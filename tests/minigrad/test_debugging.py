"""detect_anomaly, memory and hooks."""

import re
import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad.debugging import Memory
from minigrad.graph import watches
from minigrad.show.boxes import letters

HERE = __file__


def leaf(*values):
    return mg.tensor(np.array(values, float), requires_grad=True)


@pytest.fixture(autouse=True)
def _without_numpy_warnings():
    with np.errstate(all="ignore"):
        yield


def message_of(build):
    with mg.detect_anomaly(), pytest.raises(mg.AnomalyError) as caught:
        build()
    return str(caught.value)


def test_a_bad_value_is_reported_with_operation_line_and_index():
    message = message_of(lambda: mg.log(leaf(1.0, 0.0, 0.0)))
    assert message.startswith(f"log at {HERE}:")
    assert "-inf at index (1,), the first of 2 such elements" in message
    assert "logarithm of 0" in message


@pytest.mark.parametrize(
    ("build", "trap"),
    [
        (lambda: mg.exp(leaf(1000.0)), "exp overflows"),
        (lambda: leaf(1.0) / leaf(0.0), "dividing by 0"),
        (lambda: mg.sqrt(leaf(-1.0)), "negative number is NaN"),
        (lambda: leaf(0.0) * mg.tensor([np.inf]), "an input was not finite before"),
        (lambda: leaf(1e200) * leaf(1e200), "a large product overflows"),
        (lambda: mg.sqrt(leaf(0.0)).sum().backward(), "slope of sqrt at 0 is infinite"),
        (lambda: mg.where(np.array([False]), mg.sqrt(leaf(0.0)), 1.0).sum().backward(), "where(x > 0"),
    ],
)
def test_known_traps_are_explained(build, trap):
    assert trap in message_of(build)


def test_a_bad_gradient_names_the_forward_line():
    def build():
        x = leaf(0.0, 4.0)
        y = mg.sqrt(x)
        y.sum().backward()

    message = message_of(build)
    line = build.__code__.co_firstlineno + 2
    assert f"the gradient that sqrt at {HERE}:{line} passes back is inf at index (0,)" in message


UNCHOSEN = {
    "sqrt": (0.0, mg.sqrt), "log": (0.0, mg.log), "log1p": (-1.0, mg.log1p), "arcsin": (1.0, mg.arcsin),
    "arccosh": (1.0, mg.arccosh), "divide": (0.0, lambda x: 2.0 / x), "power": (0.0, lambda x: x**0.5),
}


@pytest.mark.parametrize("name", UNCHOSEN)
def test_the_advice_for_a_branch_that_where_did_not_choose_fits_its_operation_and_helps(name):
    start, f = UNCHOSEN[name]
    x = leaf(start)
    y = mg.where(np.array([False]), f(x), 0.0).sum()  # under detect_anomaly some would be stopped here
    with pytest.raises(mg.AnomalyError, match=rf"{name} at .*{name}\(") as caught, mg.detect_anomaly():
        y.backward()
    advice = str(caught.value).partition("safe input: ")[2]
    names = {known: function for known, function in vars(mg).items() if not known.startswith("_")}
    with mg.detect_anomaly():
        y = eval(advice, names | {"x": x, "b": x, "a": 2.0, "p": 0.5})
        y.sum().backward()
    assert (x.grad.numpy() == 0).all()


ZEROS = {
    "met an infinite slope": (lambda x: x**0.5, [0, 4], [0, 1], True),
    "met one alone": (lambda x: x**0.5, 0, 0, True),
    "met one where an input was repeated": (lambda x: np.ones((2, 2)) / x, [[0], [4]], [[1, 0], [1, 1]], True),
    "met one before a sum": (lambda x: x @ np.array([np.inf, 1.0]), [[1, 1], [1, 1]], [0, 1], True),
    "met NaN": (lambda x: np.array([-2.0, 2.0]) ** x, [2, 3], [0, 1], False),
    "had no part in it": (lambda x: mg.multiply(x, [[np.inf, -np.inf], [1, 1]]), [[1], [1]], [[1, 1], [0, 1]], False),
}


@pytest.mark.parametrize("name", ZEROS)
def test_a_gradient_of_0_is_blamed_where_it_met_an_infinite_slope_and_nowhere_else(name):
    f, start, gradient, to_blame = ZEROS[name]
    y = f(mg.tensor(np.array(start, float), requires_grad=True))
    with pytest.raises(mg.AnomalyError, match="passes back is nan") as caught, mg.detect_anomaly():
        y.backward(np.array(gradient, float))
    assert ("the gradient 0 met an infinite slope" in str(caught.value)) == to_blame


def test_a_rule_that_refuses_gradients_is_not_blamed_for_those_it_is_only_asked_about():
    def rule(grad, out):
        if grad[0].item():
            raise ValueError("the first is a constant")
        return grad * np.nan

    y = mg.record(np.positive, np.ones(2), (leaf(1.0, 1.0), rule))
    with pytest.raises(mg.AnomalyError, match="passes back is nan"), mg.detect_anomaly():
        y.backward([0.0, 1.0])


def test_values_that_change_behind_the_graphs_back_are_reported():
    def build():
        x = leaf(1.0, 2.0)
        y = x * x
        x.numpy()[0] = 5
        y.sum().backward()

    assert "that multiply at" in message_of(build)


def test_a_result_that_changes_is_reported_too():
    def build():
        y = mg.exp(leaf(1.0, 2.0))
        y.numpy()[0] = 5
        y.sum().backward()

    assert "that exp at" in message_of(build)


@pytest.mark.parametrize("use", [
    lambda w, array: w * array,
    lambda w, array: w[array],
    lambda w, array: mg.record(mg.multiply, w.data * array, (w, lambda grad, out: grad * array)),
])
def test_an_array_that_rules_hold_and_that_changes_is_reported(use):
    def build():
        array = np.array([1, 0])
        y = use(leaf(1.0, 2.0), array)
        array[0] = 0
        y.sum().backward()

    assert "a value of shape (2,) that" in message_of(build)


def test_what_no_rule_computes_with_may_change():
    x = leaf(1.0, 2.0)
    with mg.detect_anomaly():
        y = x + 1
        x.numpy()[0] = y.numpy()[0] = 5
        y.sum().backward()
    assert x.grad.numpy().tolist() == [1, 1]


def test_an_exception_inside_a_rule_names_the_forward_line():
    def broken(x):
        return mg.record(broken, x.data * 2, (x, lambda grad, out: 1 / 0))

    with mg.detect_anomaly(), pytest.raises(ZeroDivisionError) as caught:
        broken(leaf(1.0)).sum().backward()
    assert f"recorded at {HERE}:" in caught.value.__notes__[0]


def test_healthy_computations_pass_unchanged():
    with mg.detect_anomaly():
        x = leaf(1.0, 2.0)
        (x * x).sum().backward()
    assert x.grad.numpy().tolist() == [2, 4]


def test_it_is_gone_after_the_context_also_when_nested_and_in_other_threads():
    with mg.detect_anomaly():
        with mg.detect_anomaly():
            pass
        seen = []

        def elsewhere():
            with np.errstate(all="ignore"):
                seen.append(mg.log(leaf(0.0)))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert seen[0].item() == -np.inf
        with pytest.raises(mg.AnomalyError):
            mg.log(leaf(0.0))
    assert not watches
    mg.log(leaf(0.0))


@pytest.mark.parametrize("decorated", [False, True])
def test_threads_share_one_context_and_each_is_watched_as_long_as_it_is_inside(decorated):
    shared, entered, left = mg.detect_anomaly(), threading.Event(), threading.Event()
    seen = []

    def inside():
        entered.set()
        assert left.wait(10)
        with pytest.raises(mg.AnomalyError):
            mg.log(leaf(0.0))
        seen.append("watched")

    def work():
        with np.errstate(all="ignore"):
            run(inside)
            seen.append(mg.log(leaf(0.0)).tolist())

    def run(function):
        if decorated:
            shared_function(function)
        else:
            with shared:
                function()

    @shared
    def shared_function(function):
        function()

    def enter():
        thread.start()
        assert entered.wait(10)

    thread = threading.Thread(target=work)
    run(enter)
    assert mg.log(leaf(0.0)).tolist() == [-np.inf]
    left.set()
    thread.join()
    assert seen == ["watched", [-np.inf]]
    assert not watches


# ------------------------------------------------------------------------------------------------ memory


def test_memory_counts_nodes_and_bytes_by_operation_and_line():
    with mg.detect_anomaly():
        x = mg.tensor(np.ones((10, 10)), requires_grad=True)
        y = mg.exp(x)
        z = (y * y).sum()
    found = mg.memory(z)
    assert found.nodes == 3
    assert found.bytes == 800 + 800 + 800 + 8
    rows = {name: (nodes, size, line) for (name, line), (nodes, size) in found.rows.items()}
    assert rows["leaf"][:2] == (1, 800)
    assert rows["exp"][:2] == (1, 800)
    assert rows["exp"][2].startswith(HERE)
    assert "total" in str(found)


def test_memory_counts_views_once_and_masks_that_rules_keep():
    x = mg.tensor(np.ones((10, 10)), requires_grad=True)
    assert mg.memory(x.reshape(100)).bytes == 800
    mask = np.zeros((10, 10))

    def masked(x):
        return mg.record(masked, x.data * mask, (x, lambda grad, out: grad * mask))

    assert mg.memory(masked(x)).bytes == 3 * 800


def test_the_table_of_memory_is_aligned_beside_wide_letters():
    lines = str(Memory(2, 16, {("指数関数", ""): (1, 8), ("exp", ""): (1, 8)})).splitlines()
    assert len({letters(line) for line in lines[1:]}) == 1


@pytest.mark.parametrize("constant", [mg.tensor(1.0), np.ones(2), [1.0, 2.0], 3.0])
def test_the_graph_behind_a_constant_is_empty(constant):
    assert mg.memory(constant).bytes == 0
    assert mg.topological_order(constant) == []
    for f in (mg.memory, mg.topological_order):
        with pytest.raises(TypeError, match="a tensor holds booleans, integers or reals, got NoneType"):
            f(constant, None)


# ------------------------------------------------------------------------------------------------ hooks


def test_a_hook_sees_the_complete_gradient_once():
    seen = []
    x = leaf(3.0)
    y = x * 2
    y.register_hook(lambda gradient: seen.append(gradient.numpy().copy()))
    (y * y + y).sum().backward()
    assert [float(g.item()) for g in seen] == [13.0]


def test_a_hook_may_replace_the_gradient_on_leaves_and_inner_tensors():
    x = leaf(3.0)
    y = x * 2
    y.register_hook(lambda gradient: gradient * 10)
    x.register_hook(lambda gradient: gradient + 1)
    y.sum().backward()
    assert x.grad.item() == 21


def test_a_removed_hook_is_not_called():
    x = leaf(3.0)
    handle = x.register_hook(lambda gradient: gradient * 10)
    handle.remove()
    handle.remove()
    (x * 2).sum().backward()
    assert x.grad.item() == 2


def test_a_hook_that_returns_the_wrong_shape_is_refused():
    x = leaf(3.0)
    x.register_hook(lambda gradient: np.ones(7))
    with pytest.raises(ValueError, match=r"gradient has shape \(7,\), but the tensor has shape \(1,\)"):
        (x * 2).sum().backward()


def test_hooks_work_under_create_graph():
    x = leaf(3.0)
    x.register_hook(lambda gradient: gradient * x)
    (x * x).sum().backward(create_graph=True)
    g, x.grad = x.grad, None
    g.sum().backward()
    assert g.item() == 18
    assert x.grad.item() == 12 * 3


OF_THE_USER = {
    "constant": mg.tensor, "array": np.array, "view": lambda x: np.array([x, x])[0],
    "leaf": lambda x: mg.tensor(x, requires_grad=True),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("hooked", ["leaf", "inner", "retained", "in a checkpoint", "in a transform"])
@pytest.mark.parametrize("shape", [(2,), ()])
@pytest.mark.parametrize("kind", OF_THE_USER)
def test_what_a_hook_returns_stays_the_users_own(kind, shape, hooked, create_graph):
    returned, inner = OF_THE_USER[kind](np.full(shape, 3.0)), []
    x = mg.tensor(np.ones(shape), requires_grad=True)

    def f(x):
        y = x if hooked in ("leaf", "in a transform") else x + 1
        if hooked == "retained":
            y.retain_grad()
            inner.append(y)
        y.register_hook(lambda gradient: returned)
        return y.sum()

    if hooked == "in a transform":
        gradients = [mg.grad(f)(x if create_graph else x.numpy())]
    else:
        (mg.checkpoint(f) if hooked == "in a checkpoint" else f)(x).backward(create_graph=create_graph)
        gradients = [tensor.grad for tensor in [x, *inner]]
    for gradient in gradients:
        assert gradient is not returned
        assert (gradient == np.full(shape, 3.0)).all()
        gradient._data *= 0.0
    assert (returned == np.full(shape, 3.0)).all()
    assert kind in ("array", "view") or (returned.is_leaf and returned.requires_grad == (kind == "leaf"))


def test_a_hook_on_a_constant_is_refused():
    with pytest.raises(RuntimeError, match="does not require"):
        mg.tensor(1.0).register_hook(print)


def test_an_infinity_that_was_put_in_is_no_anomaly_until_it_makes_nan():
    scores = mg.tensor([[1.0, 2.0], [0.5, 4.0]], requires_grad=True)
    mask = np.array([[True, False], [True, True]])
    with mg.detect_anomaly():
        for reduce in (mg.softmax, mg.log_softmax, lambda x: mg.logsumexp(x, axis=1), mg.max, mg.exp):
            masked = mg.where(mask, scores, -np.inf)
            result = reduce(masked)
            (result if reduce is not mg.log_softmax else mg.where(mask, result, 0)).sum().backward()
        for pad in mg.pad, np.pad:
            pad(scores, 1, constant_values=-np.inf).max().backward()
        with pytest.raises(mg.AnomalyError, match=r"subtract at .* gave nan"):
            masked - masked
        with pytest.raises(mg.AnomalyError, match=r"log at .* gave -inf"):
            mg.log(scores * 0)


def test_gradients_that_the_user_provides_and_sums_that_overflow_are_reported():
    def by_hook(x, y):
        x.register_hook(lambda gradient: mg.tensor(np.nan))
        y.backward()

    def by_hook_on_a_result(x, y):
        y.register_hook(lambda gradient: mg.tensor(np.nan))
        y.backward()

    def given(x, y):
        y.backward(np.inf)

    def added(x, y):
        (x * 1e308 + x * 1e308).backward()

    saw = {}
    for build in (by_hook, by_hook_on_a_result, given, added):
        said = message_of(lambda build=build: build(x := leaf(0.1)[0], x * 2))
        saw[build.__name__] = re.sub(r"py:\d+", "py", said.replace(HERE, "here.py"))
    assert saw == {
        "by_hook": "the gradient that a hook made of what arrived at getitem at here.py is nan",
        "by_hook_on_a_result": "the gradient that a hook made of what arrived at multiply at here.py is nan",
        "given": "the gradient with which the backward pass begins at multiply at here.py is inf",
        "added": "with the gradient that multiply at here.py passes back, the sum is inf: "
        "what comes back along several paths is added",
    }


def test_memory_counts_a_sliding_window_as_the_memory_it_looks_at():
    x = mg.tensor(np.ones(1000), requires_grad=True)
    assert mg.memory(mg.sliding_window_view(x, 100)).bytes == x.numpy().nbytes
