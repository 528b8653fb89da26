"""Functions of other frameworks, checked like ours: right ones pass, wrong ones are found and blamed."""

import numpy as np
import pytest

from minigrad.testing import Verdict, from_jax, from_torch, gradcheck, gradient_report

X = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.5]])


def text_of(f, *inputs, **options):
    """The report of a wrong gradient in one line."""
    report = gradient_report(f, *inputs, **options)
    assert not report.ok
    return " ".join(str(report).split())


@pytest.fixture(scope="module")
def torch():
    module = pytest.importorskip("torch")
    module.set_num_threads(1)
    return module


@pytest.fixture(scope="module")
def jax():
    return pytest.importorskip("jax")


# ------------------------------------------------------------------------------------------------ PyTorch


def function_of_torch(torch, rule, name="Squared"):
    """A `torch.autograd.Function` that squares, with a rule of its own."""

    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    def backward(ctx, grad):
        return rule(grad, *ctx.saved_tensors)

    body = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(name, (torch.autograd.Function,), body)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (lambda grad, x: 3 * x * grad, "it is 1.5 times the right one"),
        (lambda grad, x: -2 * x * grad, "it has the opposite sign"),
        (lambda grad, x: 2 * x + 0 * grad, "the cotangent is ignored"),
        (lambda grad, x: (2 * x * grad).flip(0), "it is in reverse order along axis 0"),
    ],
)
def test_a_wrong_function_of_torch_is_found_and_blamed_by_itself_and_within_others(torch, rule, said):
    function = function_of_torch(torch, rule)
    alone = text_of(from_torch(function.apply), X)
    assert "the gradient of Squared is WRONG" in alone
    assert said in alone

    def around(x):
        return (function.apply(torch.sin(x)) * 2).sum(0)

    within = text_of(from_torch(around), X)
    assert "the gradient of around is WRONG" in within
    if "ignored" not in said:
        assert "blamed: Squared, called at " in within
        assert "test_adapters.py:" in within
        assert "test_adapters.py:" in within.partition("rule at ")[2]


def test_the_line_for_a_function_of_torch_runs_when_pasted(torch):
    import minigrad as mg

    wrong = function_of_torch(torch, lambda grad, x: 3 * x * grad, "wrong")
    report = gradient_report(from_torch(wrong.apply), X)
    line = report.details[-1].removeprefix("reproduce: ")
    assert "mg.testing.from_torch(wrong.apply)(x)" in line
    with pytest.raises(AssertionError, match=r"it is 1\.5 times the right one"):
        exec(line, {"np": np, "mg": mg, "gradcheck": gradcheck, "wrong": wrong})


def test_right_functions_of_torch_pass_at_first_and_second_order(torch):
    right = function_of_torch(torch, lambda grad, x: 2 * x * grad)
    assert gradcheck(from_torch(right.apply), X, order=2).verdicts == {Verdict.CORRECT: 6}
    assert gradcheck(from_torch(torch.tanh), X, order=2).ok
    assert gradcheck(from_torch(lambda tree, index: tree["a"][index]), {"a": X}, np.array([0, 1, 1])).ok
    assert gradcheck(from_torch(lambda a, n: a**n), X, 3, order=2).ok
    kinks = gradcheck(from_torch(torch.abs), np.array([0.0, 1.0]))
    assert kinks.verdicts[Verdict.KINK]


def test_what_torch_cannot_differentiate_twice_passes_once_and_is_refused_twice(torch):
    once, with_numpy = (function_of_torch(torch, None, name) for name in ("Once", "WithNumpy"))

    @torch.autograd.function.once_differentiable
    def backward_once(ctx, grad):
        return 2 * ctx.saved_tensors[0] * grad

    def backward_with_numpy(ctx, grad):
        return torch.from_numpy(2 * ctx.saved_tensors[0].detach().numpy() * grad.detach().numpy())

    once.backward, with_numpy.backward = staticmethod(backward_once), staticmethod(backward_with_numpy)
    assert "not checked: forward" in str(gradcheck(from_torch(once.apply), X))
    assert "cannot be differentiated twice" in text_of(from_torch(once.apply), X, order=2)
    assert gradcheck(from_torch(with_numpy.apply), X).ok


def test_a_module_of_torch_is_checked_with_its_parameters_and_left_as_it_was(torch):
    torch.manual_seed(0)
    layers = torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Tanh(), torch.nn.Linear(4, 2)
    model = torch.nn.Sequential(*layers)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    inputs = np.random.default_rng(0).standard_normal((5, 3))
    assert gradcheck(from_torch(model), inputs).ok
    adapted = from_torch(model)
    assert gradcheck(lambda x: (adapted(x) ** 2).mean(), inputs, model=adapted).ok
    assert all((x == before[name]).all() for name, x in model.state_dict().items())
    assert all(p.grad is None and p.dtype == torch.float32 for p in model.parameters())

    class Unused(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2))

        def forward(self, x):
            return x * self.used.detach() * self.used

    said = text_of(from_torch(Unused()), X)
    assert "parameter used" in said
    assert "it is 0.5 times the right one" in said


def test_several_results_in_containers_are_checked_and_a_module_in_float32_within_a_function_is_explained(torch):
    def several(x):
        return {"a": x.sum(), "b": [torch.sin(x), 3, x.argmax()]}

    assert gradcheck(from_torch(several), X, checks=("linear", "forward", "unshared")).ok
    net = torch.nn.Linear(3, 2)
    with pytest.raises(RuntimeError) as caught:
        gradcheck(from_torch(lambda x: net(x)), X)
    assert any("adapt a module itself" in note for note in caught.value.__notes__)


def test_a_function_of_torch_may_change_its_inputs_in_place(torch):
    def without_first_row(x):
        x[0] = 0
        return x * x

    for f in (lambda x: x.mul_(2), without_first_row):
        inputs = X.copy()
        assert gradcheck(from_torch(f), inputs, order=2).ok
        assert (inputs == X).all()


def test_what_is_no_function_of_torch_is_refused_and_what_returns_no_tensor_is_told_so(torch):
    with pytest.raises(TypeError, match=r"from_torch takes a function or a module, got 3"):
        from_torch(3)
    for f, returned in [(lambda x: x.sum().item(), "3.0"), (lambda x: x.detach().numpy(), "array(")]:
        text = text_of(from_torch(f), X)
        assert f"TypeError: it returned {returned}" in text
        assert "which has no gradient: return torch tensors" in text


# ------------------------------------------------------------------------------------------------ JAX


def function_of_jax(jax, rule):
    """A `custom_vjp` that squares, with a rule of its own."""

    @jax.custom_vjp
    def squared(x):
        return x**2

    squared.defvjp(lambda x: (x**2, x), lambda x, grad: (rule(grad, x),))
    return squared


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (lambda grad, x: 3 * x * grad, "it is 1.5 times the right one"),
        (lambda grad, x: -2 * x * grad, "it has the opposite sign"),
        (lambda grad, x: 2 * x + 0 * grad, "the cotangent is ignored"),
    ],
)
def test_a_wrong_custom_vjp_is_found_and_blamed_by_itself_and_within_others(jax, rule, said):
    squared = function_of_jax(jax, rule)
    alone = text_of(from_jax(squared), X)
    assert "the gradient of squared is WRONG" in alone
    assert said in alone
    for around in (lambda x: squared(jax.numpy.sin(x)).sum(0), jax.jit(lambda x: squared(jax.numpy.sin(x)).sum(0))):
        within = text_of(from_jax(around), X)
        assert "ignored" in said or "blamed: squared, called at " in within


def test_a_wrong_custom_jvp_is_blamed(jax):
    @jax.custom_jvp
    def sine(x):
        return jax.numpy.sin(x)

    @sine.defjvp
    def sine_jvp(primals, tangents):
        return sine(primals[0]), jax.numpy.sin(primals[0]) * tangents[0]

    assert "blamed: sine, called at" in text_of(from_jax(lambda x: sine(x) * 2), X)


def test_right_functions_of_jax_pass_at_first_and_second_order(jax):
    right = function_of_jax(jax, lambda grad, x: 2 * x * grad)
    assert gradcheck(from_jax(right), X, order=2).verdicts == {Verdict.CORRECT: 6}
    assert gradcheck(from_jax(jax.jit(jax.numpy.tanh)), X).ok
    parameters = {"w": np.ones((3, 2)) / 3, "b": np.zeros(2)}
    assert gradcheck(from_jax(lambda p, x: jax.numpy.tanh(x @ p["w"] + p["b"])), parameters, X).ok
    assert gradcheck(from_jax(lambda x, index: x[index]), X, np.array([0, 1, 1])).ok
    assert "it is 0.5 times" in text_of(from_jax(lambda x: x * jax.lax.stop_gradient(x)), X)
