"""Wrong gradients that kinks, special values, orders of keys and what they write into might hide."""

from dataclasses import dataclass

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import gradcheck, gradient_property, gradient_report, strategies
from minigrad.testing.mutation import mutate_rules

SEEDS = range(6)
X = np.array([0.25, 0.5, 1.5])
WEIGHTS = np.r_[0.0, np.linspace(0.5, 1.5, 19)]


def sine_but_for_one(w, factor=0.0, place=2):
    """The sine, with a wrong slope of one entry."""
    w = mg.as_tensor(w)
    slopes = np.ones(w.shape)
    slopes[place] = factor
    return mg.record(sine_but_for_one, np.sin(w.data), (w, lambda grad, out: grad * mg.cos(w) * slopes.astype(w.dtype)))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("factor", [0.0, 1.5, -1.0])
@pytest.mark.parametrize("weights", [WEIGHTS, WEIGHTS[:8], np.r_[0.0, 0.0, WEIGHTS[1:7], 0.0]], ids=len)
def test_a_kink_in_one_entry_hides_no_wrong_slope_of_another(weights, factor, seed):
    def penalised(w):
        return (sine_but_for_one(w, factor) + 5 * mg.abs(w)).sum()

    assert gradient_report(penalised, weights, seed=seed).state == "WRONG"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("size", "zeros"), [(100, 10), (100, 50), (1000, 500)])
def test_many_kinks_hide_no_wrong_slope(size, zeros, seed):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.5, 1.5, size)
    weights[rng.permutation(size - 3)[:zeros]] = 0

    def penalised(w):
        return (sine_but_for_one(w, place=-3) + 2 * mg.abs(w)).sum()

    assert gradient_report(penalised, weights, seed=seed).state == "WRONG"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("zeros", [1, 5, 30])
def test_many_kinks_beside_what_is_smooth_are_no_fault(zeros, seed):
    weights = np.r_[np.zeros(zeros), WEIGHTS]
    assert gradcheck(lambda w: (mg.sin(w) + 5 * mg.abs(w)).sum(), weights, seed=seed).state == "correct"
    assert gradcheck(lambda w: mg.relu(w) * mg.sin(w + 1), weights, seed=seed).state == "correct"


def refused(x, is_allowed):
    assert is_allowed
    return x


def failing(x, is_allowed):
    if not is_allowed:
        raise RuntimeError("not defined there")
    return x


@pytest.mark.parametrize("guarded", [refused, failing, lambda x, is_allowed: x[: None if is_allowed else -1]])
def test_what_f_raises_beside_the_point_or_returns_in_another_shape_hides_no_wrong_gradient(guarded):
    def at_the_edge(x):
        return guarded(sine_but_for_one(x), bool((mg.as_tensor(x).numpy() >= 0).all()))

    at_the_end = np.r_[0.0, X]
    assert gradient_report(at_the_edge, at_the_end, every_entry=True).state == "WRONG"
    good = gradient_report(lambda x: guarded(mg.sin(x), bool((x.numpy() >= 0).all())), at_the_end)
    assert (good.state, good.problems) == ("undecided", [])


def test_a_function_or_gradient_that_writes_into_what_is_data_is_told():
    def loss(x, mask):
        return float((x * np.maximum(mask, 0)).sum())

    def gradient(x, mask):
        mask[mask < 0] = 0
        return mask * 1.0

    for mask, options in ((np.array([-1.0, 2.0]), {"wrt": 0}), (np.array([-1, 2]), {})):
        report = gradient_report(loss, np.array([1.0, 2.0]), mask, gradient=gradient, **options)
        assert report.problems == ["f, or its gradient, writes into input 1: copy it first"]

    def counting(x, seen):
        seen += 1
        return x * x

    assert gradient_report(counting, X, mg.tensor([0])).ok  # a new tensor
    assert not gradient_report(counting, X, np.zeros(1, int)).ok


@pytest.mark.parametrize(("error", "state"), [(NotImplementedError("once"), "correct"), (KeyError("once"), "WRONG")])
def test_a_gradient_that_has_none_itself_is_reported_and_not_raised(error, state):
    def once(x):
        x = mg.as_tensor(x)

        def rule(grad, out):
            if mg.is_grad_enabled():
                raise error
            return 2 * grad * x

        return mg.record(once, x.data**2, (x, rule))

    report = gradient_report(once, X, order=2, checks=())
    assert report.state == state
    assert "once" in str(report)


def difference_but_for_equals(a, b):
    """a - b, without a gradient where they are equal."""
    a, b = map(mg.as_tensor, (a, b))
    differ = np.where(a.data == b.data, 0.0, 1.0)
    return mg.record(difference_but_for_equals, a.data - b.data,
                     (a, lambda grad, out: grad * differ.astype(a.dtype)),
                     (b, lambda grad, out: -grad * differ.astype(a.dtype)))


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_wrong_at_equal_values_alone_is_wrong_and_not_rounding(seed):
    report = gradient_report(difference_but_for_equals, np.array([1.0, 2, 3]), np.array([1.0, 2, 4]), seed=seed)
    assert report.state == "WRONG"
    assert "blamed: difference_but_for_equals" in str(report)
    hilbert = 1 / (np.arange(9)[:, None] + np.arange(9) + 1)
    assert gradient_report(mg.linalg.solve, hilbert, np.ones(9), seed=seed).state != "WRONG"


TREE = {"a": np.array([1.0, 2.0]), "b": np.array([3.0, 5.0])}


@pytest.mark.parametrize(
    ("gradient", "state", "said"),
    [
        (lambda d, c: {"a": d["b"] ** 2 * c, "b": 2 * d["a"] * d["b"] * c}, "correct", ""),
        (lambda d, c: {"b": 2 * d["a"] * d["b"] * c, "a": d["b"] ** 2 * c}, "correct", ""),
        (lambda d, c: (d["b"] ** 2 * c, 2 * d["a"] * d["b"] * c), "correct", ""),
        (lambda d, c: ({"b": 2 * d["a"] * d["b"] * c, "a": d["b"] ** 2 * c},), "correct", ""),
        (lambda d, c: {"b": d["b"] ** 2 * c, "a": 2 * d["a"] * d["b"] * c}, "WRONG", "input 0['a']"),
        (lambda d, c: {"z": c, "a": c}, "WRONG", "the input has ['a', 'b']"),
        (lambda d, c: {"a": d["b"] ** 2 * c}, "WRONG", "it returned 1 gradients for 2 floating inputs"),
        (lambda d, c: "none", "WRONG", "not an array of numbers for each floating input"),
    ],
)
def test_gradients_in_a_dict_are_those_of_its_keys(gradient, state, said):
    report = gradient_report(lambda d: d["a"] * d["b"] ** 2, TREE, gradient=gradient)
    assert report.state == state
    assert said in str(report).replace("\n      ", " ")


def test_a_gradient_that_writes_into_the_cotangent_spoils_no_other_sentence():
    def doubled(x, cotangent):
        cotangent *= 2
        return cotangent * 1

    report = gradient_report(lambda x: 2 * x, np.array([1.0, 2.0, 3.0]), gradient=doubled)
    assert "writes into the cotangent: copy it first" in str(report)
    assert "entry" not in str(report)


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_second_derivatives_are_checked_beside_a_kink(factor):
    def cube(x):
        def to_x(grad, out):
            return grad * 3 * (factor * mg.as_tensor(x) ** 2 + (1 - factor) * mg.as_tensor(x).detach() ** 2)
        return mg.record(cube, x.data**3, (x, to_x))

    report = gradient_report(lambda x, y: mg.relu(y).sum() + cube(x).sum(), WEIGHTS[1:4], np.zeros(3), order=2)
    assert report.state == ("correct" if factor == 1 else "WRONG")


@pytest.mark.parametrize("places", [(0, 1), (3, 4)])
def test_one_tensor_in_the_place_of_any_two_inputs_is_tried(places):
    def total(*xs):
        first, second = (xs[i] for i in places)
        def rule(grad, out):
            return grad * (0.5 if first is second else 1.0)
        return mg.record(total, sum(mg.value(x) for x in xs), *[(x, rule) for x in xs])

    report = gradient_report(total, *np.arange(10.0).reshape(5, 2))
    assert "does not get the sum of their gradients" in " ".join(str(report).split())


class Square:
    @staticmethod
    def of(x):
        return mg.record(Square.of, x.data**2, (x, lambda grad, out: grad * x))

    def method(self, x):
        return mg.record(self.method, x.data**2, (x, lambda grad, out: grad * x))

    def __call__(self, x):
        return mg.record(self, x.data**2, (x, lambda grad, out: grad * x))


@pytest.mark.parametrize(("square", "name"), [(Square.of, "of"), (Square().method, "method"), (Square(), "Square")])
def test_methods_and_objects_are_blamed_by_name_with_the_line_of_their_rule(square, name):
    report = gradient_report(lambda x: square(mg.sin(x)), np.array([1.0, 2.0]))
    said = " ".join(str(report).split())
    assert f"blamed: {name}, called at" in said
    assert "the gradient for `x` disagrees, rule at" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": None}, "seed is an integer of at least 0, got None"), ({"seed": -1}, "seed is an integer"),
        ({"rtol": -1}, "rtol is a number of at least 0, got -1"), ({"atol": np.nan}, "atol is a number of at least 0"),
        ({"rtol": "1e-3"}, "rtol is a number"), ({"directions": 1.5}, "at least 1 direction to look along, got 1.5"),
        ({"checks": [["layouts"]]}, r"there is no check \[\['layouts'\]\]"),
        ({"checks": "layouts"}, r"checks are several names, such as \['deterministic'\], got 'layouts'"),
        ({"checks": [1, "a"]}, r"there is no check \[1, 'a'\]: take some of"),
        ({"wrt": "x"}, "wrt is the position of an input, or several, got 'x'"),
        ({"wrt": [True]}, r"wrt is the position of an input, or several, got \[True\]"),
        ({"wrt": 0.0}, "wrt is the position of an input"), ({"order": np.array([1, 2])}, "order is 1, or 2"),
        ({"model": 3}, "model is a module that f uses, got 3"),
        ({"gradient": 3}, "gradient is a function that returns gradients, got 3"),
        ({"gradient": np.cos, "model": Square()}, "a hand-written gradient has none for parameters"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_sentence(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        gradcheck(mg.sin, np.ones(2), **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gradient_property(), "takes strategies for what is drawn, by position"),
        (lambda: gradient_property(np.ones(2)), "takes strategies for what is drawn, by position"),
        (lambda: gradient_property(lambda x: x), "takes strategies for what is drawn, by position"),
        (lambda: strategies.calls("nope"), "there is no operation 'nope'"),
        (lambda: strategies.elements_for("nope"), "there is no operation 'nope'"),
        (lambda: strategies.programs(["nope"]).example(), "there is no operation 'nope'"),
    ],
)
@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_strategies_of_what_is_not_there_are_refused_in_a_sentence(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def written_in_numpy(x):
    """The sine, with a rule in NumPy, which has no derivative: the check `forward` tells."""
    x = mg.as_tensor(x)
    return mg.record(written_in_numpy, np.sin(x.data), (x, lambda grad, out: mg.tensor(grad.numpy() * np.cos(x.data))))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("f", "inputs"),
    [
        (lambda x, b: written_in_numpy(x) + mg.softmax(b).sum(), [WEIGHTS[1:5], WEIGHTS[1:4]]),
        (lambda x: written_in_numpy(x) - np.sin(WEIGHTS[1:5]), [WEIGHTS[1:5]]),
        (lambda x: mg.sin(x) * x.detach() - (mg.sin(x) * x).detach(), [WEIGHTS[1:5]]),
        (lambda x: x * x - x * x.detach(), [WEIGHTS[1:5]]),
    ],
    ids=["beside a sum that is constant", "at a root", "a product cut off, at a root", "a square cut off"],
)
def test_what_cancels_excuses_no_fault(f, inputs, seed):
    assert gradient_report(f, *inputs, seed=seed).state == "WRONG"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: mg.log(1 - mg.sigmoid(x)), np.array([35.0, 1.0, -2.0])),
        (lambda x: mg.log(1 + x) / x, np.array([1e-10])), (lambda x: (1 - mg.cos(x)) / x**2, np.array([1e-5])),
    ],
)
def test_what_has_lost_its_digits_on_the_way_is_undecided(f, x, seed):
    assert gradient_report(f, x, seed=seed).state == "undecided"


def test_second_derivatives_need_a_point_beside_a_kink_in_the_domain():
    def positive(x, y):
        if (np.asarray(mg.value(x)) <= 0.999).any():
            raise ValueError("x is at least 1")
        return mg.relu(y).sum() + mg.log(x).sum()

    for seed in SEEDS:
        report = gradient_report(positive, np.ones(3), np.zeros(3), order=2, seed=seed)
        assert report.ok
        assert any("derivatives of derivatives were" in note for note in report.notes)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("gap", [31.0, 32.5, 38.0, 45.0, 60.0])
def test_second_derivatives_that_rounding_hides_are_no_fault(gap, seed):
    assert gradient_report(lambda x: mg.softmax(x, axis=-1), np.array([0.0, -gap]), order=2, seed=seed).ok


@pytest.mark.parametrize("seed", SEEDS)
def test_other_second_derivatives_of_that_size_are_still_wrong(seed):
    def exp_with_no_second_derivative(x):
        x = mg.as_tensor(x)
        values = np.exp(x.data)
        return mg.record(exp_with_no_second_derivative, values, (x, lambda grad, out: grad * values.astype(grad.dtype)))

    def f(x):
        return mg.softmax(x, axis=-1) + 1e-6 * exp_with_no_second_derivative(x)

    assert gradient_report(f, np.array([0.0, -32.0]), order=2, seed=seed, checks=()).state == "WRONG"


def test_a_gradient_that_changes_at_random_is_not_excused_as_rounding():
    rng = np.random.default_rng(0)

    def torn(x):
        x = mg.as_tensor(x)
        return mg.record(torn, x.data**2, (x, lambda grad, out: grad * x * rng.integers(1, 4, x.shape).astype(x.dtype)))

    report = gradient_report(torn, np.ones(5))
    assert any("two calls give different gradients" in problem for problem in report.problems)
    assert not report.undecided
    assert not any("ill-conditioned" in note for note in report.notes)


def softplus_that_overflows(x):
    x = mg.as_tensor(x)
    values = np.logaddexp(0, x.data).astype(x.dtype)
    return mg.record(softplus_that_overflows, values, (x, lambda grad, out: grad * mg.exp(x) / (1 + mg.exp(x))))


@pytest.mark.parametrize("x", [89.0, 100.0, 200.0])
def test_a_gradient_that_is_nan_in_float32_alone_is_told_in_a_note(x):
    with np.errstate(all="ignore"):
        report = gradient_report(softplus_that_overflows, np.array([1.0, x]))
    assert any(note.startswith("not checked: float32, where the gradient of input 0 at (1,) is nan, and ")
               for note in report.notes)


@pytest.mark.parametrize("x", [-1e-5, -1e-6])
def test_a_gradient_that_loses_digits_in_float32_which_the_value_keeps_is_told_in_a_note(x):
    def log1mexp(x):
        x = mg.as_tensor(x)
        values = np.log(-np.expm1(x.data))
        return mg.record(log1mexp, values, (x, lambda grad, out: grad * (-mg.exp(x) / (1 - mg.exp(x)))))

    said = "not checked: float32, where the gradient of input 0 is "
    assert [note for note in gradient_report(log1mexp, np.array([x])).notes if note.startswith(said)]
    assert not gradient_report(lambda x: mg.log(-mg.expm1(x)), np.array([x])).notes


def test_what_a_dataclass_holds_is_said_not_to_be_looked_into():
    @dataclass
    class Layer:
        weight: mg.Tensor
        name: str = "first"

    layer = Layer(mg.tensor(np.ones(3)))
    report = gradient_report(lambda x, layer: x * layer.weight, X, layer)
    assert report.notes == ["not looked into: input 1, a Layer. What is in it is to be an input of its own"]


def test_a_hand_written_gradient_that_returns_nothing_is_told_in_its_own_words():
    report = gradient_report(lambda x: (x**2).sum(), X, gradient=lambda x: None)
    assert "the gradient returned zeros, or None" in report.details


@pytest.mark.parametrize("f", [3, None, "sin"])
def test_what_is_no_function_is_refused_in_a_sentence(f):
    with pytest.raises(TypeError, match="the first argument is the function whose gradient is checked, got"):
        gradcheck(f, X)
    with pytest.raises(TypeError, match="check is a function that raises if something is wrong, got"):
        mutate_rules(f)


def test_a_function_that_refuses_what_is_rounded_is_checked_all_the_same():
    def shares(x):
        p = mg.exp(x) / mg.exp(x).sum()
        if abs(float(p.sum()) - 1) > 4e-16:
            raise ValueError("not a distribution")
        return sine_but_for_one(x, factor=2.0) * p

    assert gradient_report(shares, np.zeros(4), directions=1, checks=()).state == "WRONG"
