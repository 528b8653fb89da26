import itertools
import math
import re
from collections import OrderedDict
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.testing import gradcheck
from nn import functional as F
from nn.layers.function import Function

layer_shapes = [(5,), (4, 5), (2, 3, 5), (0, 5)]


def rng():
    return np.random.default_rng(3)


# ---------------------------------------------------------------- Linear


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", layer_shapes)
def test_linear_is_the_affine_map_of_its_weight_and_bias(shape, bias):
    layer = nn.Linear(5, 3, bias=bias, dtype=np.float64)
    x = rng().standard_normal(shape)
    expected = np.einsum("...i,oi->...o", x, layer.weight.data) + (layer.bias.data if bias else 0)
    out = layer(x)
    assert out.shape == (*shape[:-1], 3)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-13, atol=1e-13)


def test_linear_has_the_parameter_names_shapes_and_dtype_of_pytorch():
    layer = nn.Linear(5, 3)
    assert [(name, p.shape, p.dtype) for name, p in layer.named_parameters()] == [
        ("weight", (3, 5), np.float32),
        ("bias", (3,), np.float32),
    ]
    assert nn.Linear(5, 3, bias=False).bias is None


def test_linear_starts_uniform_within_one_over_the_root_of_its_inputs():
    layer = nn.Linear(100, 2000, dtype=np.float64, generator=rng())
    for values in (layer.weight.data.ravel(), layer.bias.data):
        assert np.abs(values).max() <= 0.1
        # The empirical distribution lies within 1.95 / √n of the true one in 999 of 1000 cases (Kolmogorov).
        uniform = (np.sort(values) + 0.1) / 0.2
        assert np.abs(uniform - np.linspace(0, 1, values.size)).max() < 1.95 / np.sqrt(values.size)


def test_the_same_generator_state_gives_the_same_layer():
    first, second = nn.Linear(4, 3, generator=rng()), nn.Linear(4, 3, generator=rng())
    np.testing.assert_array_equal(first.weight.data, second.weight.data)
    np.testing.assert_array_equal(first.bias.data, second.bias.data)
    nn.manual_seed(7)
    third = nn.Linear(4, 3)
    nn.manual_seed(7)
    np.testing.assert_array_equal(third.weight.data, nn.Linear(4, 3).weight.data)


@pytest.mark.parametrize(
    ("shape", "hint"), [((4, 6), ""), ((32, 28, 28), ": put a Flatten() before it"), ((), ""), ((784, 2), "")]
)
def test_linear_says_which_inputs_it_expects(shape, hint):
    with pytest.raises(ValueError, match="Linear expects") as caught:
        nn.Linear(784, 10)(np.ones(shape))
    assert str(caught.value) == f"Linear expects inputs of shape (..., 784), got {shape}{hint}"


# ---------------------------------------------------------------- activations


@pytest.mark.parametrize(
    ("layer", "closed_form"),
    [
        (nn.ReLU(), lambda x: (x + abs(x)) / 2),
        (nn.Sigmoid(), lambda x: (1 + np.tanh(x / 2)) / 2),
        (nn.Tanh(), lambda x: np.expm1(2 * x) / (np.exp(2 * x) + 1)),
        (nn.LeakyReLU(), lambda x: 0.505 * x + 0.495 * abs(x)),
        (nn.LeakyReLU(0.2), lambda x: 0.6 * x + 0.4 * abs(x)),
        (nn.ELU(), lambda x: np.where(x > 0, x, np.exp(x) - 1)),
        (nn.ELU(0.5), lambda x: np.where(x > 0, x, (np.exp(x) - 1) / 2)),
        (nn.GELU(), lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2),
        (nn.GELU("tanh"), lambda x: x / (1 + np.exp(-math.sqrt(8 / math.pi) * (x + 0.044715 * x**3)))),
        (nn.SiLU(), lambda x: x / (1 + np.exp(-x))),
        (nn.Softplus(), lambda x: np.log(1 + np.exp(x))),
        (nn.Softplus(2.0), lambda x: np.log(1 + np.exp(2 * x)) / 2),
        (nn.Softmax(1), lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
        (nn.Softmax(dim=0), lambda x: np.exp(x) / np.exp(x).sum(0, keepdims=True)),
        (nn.LogSoftmax(-1), lambda x: x - np.log(np.exp(x).sum(1, keepdims=True))),
        (nn.LogSoftmax(dim=0), lambda x: x - np.log(np.exp(x).sum(0, keepdims=True))),
    ],
    ids=lambda part: repr(part) if isinstance(part, nn.Module) else None,
)
def test_activations_equal_their_closed_forms(layer, closed_form):
    x = rng().standard_normal((4, 3)) * 3
    np.testing.assert_allclose(layer(x).numpy(), closed_form(x), rtol=1e-12, atol=1e-15)
    gradcheck(layer, x)


@pytest.mark.parametrize(
    ("layer", "shown"),
    [
        (nn.ReLU(), "ReLU()"),
        (nn.LeakyReLU(), "LeakyReLU(negative_slope=0.01)"),
        (nn.GELU("tanh"), "GELU(approximate='tanh')"),
        (nn.Softmax(1), "Softmax(dim=1)"),
    ],
)
def test_activations_show_their_settings_in_any_mode(layer, shown):
    assert repr(layer) == repr(layer.eval()) == shown
    assert layer.state_dict() == {}


@pytest.mark.parametrize("layer", [nn.LeakyReLU(), nn.ELU(), nn.GELU(), nn.SiLU(), nn.Softplus(), nn.LogSoftmax(0)])
def test_activations_keep_the_dtype(layer):
    assert layer(np.ones(3, np.float32)).dtype == np.float32


@pytest.mark.parametrize("layer", [nn.Softmax, nn.LogSoftmax])
@pytest.mark.parametrize("dim", [None, 0.5, True, (0, 1)])
def test_a_softmax_guesses_no_axis(layer, dim):
    with pytest.raises(ValueError, match=f"{layer.__name__} expects dim to be an integer, got "):
        layer(dim)


# ---------------------------------------------------------------- Dropout


def test_dropout_drops_in_training_and_only_there():
    layer = nn.Dropout(0.5, generator=rng())
    x = mg.tensor(np.ones((50, 20)))
    assert set(np.unique(layer(x).data)) == {0.0, 2.0}
    layer.eval()
    assert layer(x) is x
    layer.train()
    assert set(np.unique(layer(x).data)) == {0.0, 2.0}


def test_dropout_draws_anew_each_time():
    layer = nn.Dropout(0.5, generator=rng())
    x = np.ones(1000)
    assert not np.array_equal(layer(x).data, layer(x).data)


def test_dropout_draws_from_the_default_generator_without_one_of_its_own():
    layer, x = nn.Dropout(0.3), np.ones(1000)
    nn.manual_seed(5)
    first = layer(x).data
    nn.manual_seed(5)
    np.testing.assert_array_equal(layer(x).data, first)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_dropout_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match=f"Dropout expects p to be a number from 0 to 1, got {p}"):
        nn.Dropout(p)


def test_dropout2d_drops_whole_channels_in_training_and_only_there():
    layer, x = nn.Dropout2d(0.5, generator=rng()), mg.tensor(np.ones((50, 20, 2, 3)))
    scales = layer(x).data
    assert set(np.unique(scales)) == {0.0, 2.0}
    assert (scales == scales[:, :, :1, :1]).all()
    assert layer.eval()(x) is x
    with pytest.raises(ValueError, match="Dropout2d expects p to be a number from 0 to 1, got 2"):
        nn.Dropout2d(2)


# ---------------------------------------------------------------- Embedding


def test_embedding_starts_normal_with_a_padding_row_of_zeros_that_training_leaves_alone():
    layer = nn.Embedding(2000, 10, padding_idx=-2000, dtype=np.float64, generator=rng())
    values = layer.weight.data[1:].flatten()
    assert layer.padding_idx == 0
    # Mean and variance of n normal draws have the variances 1 / n and 2 / n.
    assert abs(values.mean()) < 5 / np.sqrt(values.size)
    assert abs(values.var() - 1) < 5 * np.sqrt(2 / values.size)
    layer(np.array([0, 1, 0])).sum().backward()
    nn.optim.SGD(layer.parameters(), lr=1.0).step()
    assert (layer.weight.data[0] == 0).all()
    np.testing.assert_allclose(layer.weight.data[1], values[:10] - 1)


def test_embedding_has_the_parameter_name_shape_and_dtype_of_pytorch_and_looks_rows_up():
    layer = nn.Embedding(5, 3)
    assert [(name, p.shape, p.dtype) for name, p in layer.named_parameters()] == [("weight", (5, 3), np.float32)]
    np.testing.assert_array_equal(layer(np.array([[4], [0]])).data, layer.weight.data[[[4], [0]]])
    assert repr(nn.Embedding(5, 3, 1)) == "Embedding(5, 3, padding_idx=1)  # 15 parameters"


@pytest.mark.parametrize("padding_idx", [5, -6])
def test_embedding_refuses_a_padding_row_that_is_not_there(padding_idx):
    with pytest.raises(ValueError, match=f"padding_idx is one of 5 embeddings, got {padding_idx}"):
        nn.Embedding(5, 3, padding_idx)


# ---------------------------------------------------------------- Identity, Unflatten, Residual


def test_identity_returns_its_input():
    x = mg.tensor([1.0, 2.0])
    assert nn.Identity()(x) is x
    assert nn.Identity()(x.data).data is x.data


@pytest.mark.parametrize(
    ("dim", "sizes", "shape", "expected"),
    [
        (1, (28, 28), (2, 784), (2, 28, 28)),
        (1, [3, -1, 2], (2, 12), (2, 3, 2, 2)),
        (-1, (3, 4), (2, 5, 12), (2, 5, 3, 4)),
        (0, (2, 3), (6, 4), (2, 3, 4)),
        (1, (-1, 3), (0, 6), (0, 2, 3)),
        (0, (-1, 3), (0, 6), (0, 3, 6)),
    ],
)
def test_unflatten_splits_an_axis_and_flatten_joins_it_again(dim, sizes, shape, expected):
    x = np.arange(math.prod(shape)).reshape(shape)
    out = nn.Unflatten(dim, sizes)(x)
    assert out.shape == expected
    start = dim % len(shape)
    np.testing.assert_array_equal(nn.Flatten(start, start + len(sizes) - 1)(out).numpy(), x)


@pytest.mark.parametrize(
    ("layer", "shown"),
    [
        (nn.Flatten(), "Flatten()"),
        (nn.Flatten(2), "Flatten(start_dim=2)"),
        (nn.Flatten(0, 1), "Flatten(start_dim=0, end_dim=1)"),
        (nn.Unflatten(1, [3, -1]), "Unflatten(dim=1, unflattened_size=(3, -1))"),
    ],
)
def test_changes_of_shape_show_the_settings_that_are_not_the_usual_ones(layer, shown):
    assert repr(layer) == shown


@pytest.mark.parametrize(
    ("dim", "sizes", "shape"),
    [(1, (3, 4), (2, 13)), (2, (3, 4), (2, 12)), (-3, (3, 4), (2, 12)), (0, (1,), ()), (1, (3, 4), (0, 13))],
)
def test_unflatten_refuses_an_axis_it_cannot_split(dim, sizes, shape):
    with pytest.raises(ValueError, match="Unflatten splits axis") as caught:
        nn.Unflatten(dim, sizes)(np.ones(shape))
    assert str(caught.value) == f"Unflatten splits axis {dim} into {sizes}, got shape {shape}"


def test_residual_adds_the_input_or_what_a_shortcut_makes_of_it():
    x = rng().standard_normal((4, 3))
    module, shortcut = nn.Linear(3, 2, dtype=np.float64), nn.Linear(3, 2, bias=False, dtype=np.float64)
    np.testing.assert_array_equal(nn.Residual(nn.Tanh())(x).numpy(), np.tanh(x) + x)
    block = nn.Residual(module, shortcut)
    np.testing.assert_array_equal(block(x).numpy(), module(x).numpy() + shortcut(x).numpy())
    assert [name for name, _ in block.named_parameters()] == ["module.weight", "module.bias", "shortcut.weight"]
    gradcheck(block, x, model=block)


def test_residual_refuses_to_broadcast():
    with pytest.raises(ValueError, match="Residual adds what has the same shape") as caught:
        nn.Residual(nn.Linear(3, 1))(np.ones((4, 3)))
    assert "got (4, 1) from its module and (4, 3) beside it: give it a shortcut" in str(caught.value)


def test_mirror_average_is_that_of_probabilities_and_for_evaluation_only():
    x = 3 * rng().standard_normal((4, 2, 5))
    network = nn.Sequential(nn.Flatten(), nn.Linear(10, 3, dtype=np.float64))
    layer = nn.MirrorAverage(network)
    np.testing.assert_array_equal(layer(x).numpy(), network(x).numpy())
    layer.eval()
    shares = [nn.functional.softmax(network(images), 1).numpy() for images in (x, x[:, :, ::-1])]
    np.testing.assert_allclose(nn.functional.softmax(layer(x), 1).numpy(), np.mean(shares, axis=0))
    np.testing.assert_array_equal(layer(x).numpy(), layer(x[:, :, ::-1]).numpy())
    assert np.isfinite(layer(1e5 * x).numpy()).all()
    gradcheck(layer, x, model=layer)


# ---------------------------------------------------------------- Flatten and Sequential


@given(shape=st.lists(st.integers(0, 3), min_size=1, max_size=4), data=st.data())
def test_flatten_joins_a_run_of_axes_and_keeps_the_order_of_elements(shape, data):
    start = data.draw(st.integers(0, len(shape) - 1))
    end = data.draw(st.integers(start, len(shape) - 1))
    x = np.arange(np.prod(shape)).reshape(shape)
    negative = data.draw(st.booleans())
    out = nn.Flatten(start, end - len(shape) if negative else end)(x).numpy()
    assert out.shape == (*shape[:start], int(np.prod(shape[start : end + 1])), *shape[end + 1 :])
    np.testing.assert_array_equal(out.ravel(), x.ravel())


def test_flatten_keeps_the_batch_by_default():
    assert nn.Flatten()(np.ones((2, 28, 28))).shape == (2, 784)
    assert nn.Flatten()(np.ones((0, 28, 28))).shape == (0, 784)


@pytest.mark.parametrize(("axes", "shape"), [((1, -1), (3,)), ((1, -1), ()), ((2, 1), (2, 3, 4)), ((5, -1), (2, 3))])
def test_flatten_refuses_axes_that_are_not_there(axes, shape):
    with pytest.raises(ValueError, match=f"flatten joins the axes {axes[0]} to {axes[1]}, got shape"):
        nn.Flatten(*axes)(np.ones(shape))


def test_sequential_applies_its_modules_in_order():
    model = nn.Sequential(nn.Linear(3, 4, dtype=np.float64), nn.Tanh(), nn.Linear(4, 2, dtype=np.float64))
    first, _, last = model
    x = rng().standard_normal((5, 3))
    hidden = np.tanh(x @ first.weight.data.T + first.bias.data)
    np.testing.assert_allclose(model(x).numpy(), hidden @ last.weight.data.T + last.bias.data, rtol=1e-13)
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert len(model) == 3
    assert model[0] is first
    assert model[-1] is last


@pytest.mark.parametrize("wrong", [nn.ReLU, np.tanh, [nn.ReLU()]])
def test_sequential_refuses_what_is_no_module(wrong):
    with pytest.raises(TypeError, match="Sequential expects modules, got "):
        nn.Sequential(nn.Linear(2, 2), wrong)


def test_a_whole_model_has_the_gradients_of_numerical_differentiation():
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 5, dtype=np.float64), nn.Tanh(), nn.Linear(5, 3, dtype=np.float64))
    x, labels = rng().standard_normal((4, 2, 3)), np.array([0, 2, 1, 1])
    parameters = list(model.parameters())

    def loss(*values):
        layers = [nn.functional.linear, mg.tanh, nn.functional.linear]
        hidden = layers[0](mg.tensor(x).reshape(4, 6), values[0], values[1])
        return nn.functional.cross_entropy(layers[2](layers[1](hidden), values[2], values[3]), labels)

    gradcheck(loss, *[p.data for p in parameters])
    out = nn.CrossEntropyLoss()(model(x), labels)
    assert out.item() == loss(*parameters).item()
    out.backward()
    found = [p.grad.numpy() for p in parameters]
    model.zero_grad()
    loss(*parameters).backward()
    for p, gradient in zip(parameters, found, strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), gradient)


# ---------------------------------------------------------------- CrossEntropyLoss


def test_the_loss_layer_hands_all_its_settings_on():
    logits, labels = rng().standard_normal((6, 4)), np.array([0, 1, 2, 3, 1, 0])
    weight = np.array([1.0, 2.0, 0.5, 3.0])
    loss = nn.CrossEntropyLoss(weight, ignore_index=1, reduction="sum", label_smoothing=0.2)
    expected = nn.functional.cross_entropy(logits, labels, weight, 1, "sum", 0.2)
    assert loss(logits, labels).item() == expected.item()
    assert expected.item() != nn.functional.cross_entropy(logits, labels).item()
    assert not list(loss.parameters())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"reduction": "avg"}, "expects reduction to be 'none' or 'mean' or 'sum', got 'avg'"),
        ({"label_smoothing": 1.5}, "expects label_smoothing to be a number from 0 to 1, got 1.5"),
    ],
)
def test_the_loss_refuses_settings_out_of_range_when_made_and_when_called(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        nn.CrossEntropyLoss(**settings)
    with pytest.raises(ValueError, match=sentence):
        nn.functional.cross_entropy(np.zeros((2, 3)), np.array([0, 1]), **settings)


def test_settings_that_are_given_by_name_alone_reach_the_function():
    @dataclass(repr=False, eq=False, kw_only=True)
    class Power(Function):
        exponent: int = 2
        function = staticmethod(lambda x, exponent: x**exponent)

    assert repr(Power(exponent=3)) == "Power(exponent=3)"
    assert Power(exponent=3)(mg.tensor(2.0)).item() == 8


def test_a_forgotten_target_is_named():
    with pytest.raises(TypeError, match="'target'"):
        nn.CrossEntropyLoss()(np.ones((2, 3)))


def test_a_slice_of_a_sequential_is_one():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert isinstance(model[:2], nn.Sequential)
    assert list(model[:2]) == list(model)[:2]


# ---------------------------------------------------------------- names and containers of modules


def test_the_modules_of_a_sequential_can_be_given_names():
    model = nn.Sequential(OrderedDict(first=nn.Linear(3, 2), act=nn.Tanh(), last=nn.Linear(2, 1)))
    x = rng().standard_normal((5, 3)).astype(np.float32)
    np.testing.assert_array_equal(model(x).numpy(), model.last(model.act(model.first(x))).numpy())
    assert list(model.state_dict()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert [len(model), model[1], model[-1]] == [3, model.act, model.last]
    assert [name for name, _ in model[1:].named_children()] == ["act", "last"]
    assert [name for name, _ in nn.Sequential(*model)[1:].named_children()] == ["1", "2"]


def test_a_slice_of_a_sequential_takes_the_state_of_the_whole():
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))
    assert list(model[1:].state_dict()) == ["2.weight", "2.bias"]
    again = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))[2:]
    again.load_state_dict({name: x for name, x in model.state_dict().items() if name[0] == "2"})
    np.testing.assert_array_equal(again[0].weight.numpy(), model[2].weight.numpy())


def test_modules_are_appended_by_the_next_free_number():
    model = nn.Sequential().append(nn.Linear(3, 2)).append(nn.Tanh())
    assert [name for name, _ in model.named_children()] == ["0", "1"]
    assert [name for name, _ in model[1:].append(nn.Identity()).named_children()] == ["1", "2"]
    with pytest.raises(TypeError, match="Sequential expects modules, got 3"):
        model.append(3)


def test_a_head_is_replaced_as_in_a_list():
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))
    model[-1] = head = nn.Linear(2, 5)
    assert [name for name, _ in model.named_children()] == ["0", "1", "2"]
    assert model[2] is head
    assert model(np.ones((4, 3), np.float32)).shape == (4, 5)
    named = nn.Sequential({"body": nn.Linear(3, 2), "head": nn.Linear(2, 1)})
    named[1] = head
    assert named.head is head
    with pytest.raises(IndexError):
        model[3] = head
    with pytest.raises(TypeError, match="Sequential expects modules, got 3"):
        model[0] = 3
    assert len(model) == 3


@given(st.data())
def test_a_sequential_changes_as_a_list_does(data):
    modules = [nn.Identity() for _ in range(4)]
    model, expected = nn.Sequential(*modules), list(modules)
    for name in data.draw(st.lists(st.sampled_from(["del", "del some", "insert", "extend", "pop", "set"]), max_size=6)):
        index, new = data.draw(st.integers(-2, 2)), [nn.Identity(), nn.Identity()]
        if name == "insert":
            assert model.insert(index, new[0]) is model
            expected.insert(index, new[0])
        elif name == "extend":
            assert model.extend(new) is model
            expected.extend(new)
        elif name == "del some":
            del model[index:], expected[index:]
        elif len(expected) < 2:
            continue
        elif name == "del":
            del model[index % len(expected)], expected[index % len(expected)]
        elif name == "pop":
            assert model.pop() is expected.pop()
        else:
            model[index % len(expected)] = expected[index % len(expected)] = new[0]
        assert list(model) == expected
        assert [name for name, _ in model.named_children()] == [str(i) for i in range(len(expected))]


def test_words_stay_names_where_numbers_are_given_anew():
    model = nn.Sequential({"stem": nn.Linear(3, 2), "head": nn.Linear(2, 1)})
    model.insert(1, nn.Tanh()).insert(1, nn.ReLU())
    assert [name for name, _ in model.named_children()] == ["stem", "1", "2", "head"]
    del model[0]
    assert [name for name, _ in model.named_children()] == ["0", "1", "head"]
    with pytest.raises(TypeError, match="Sequential expects modules, got None"):
        model.insert(0, None)
    assert len(model) == 3


def test_a_setting_that_a_layer_has_not_is_refused_by_its_own_name():
    with pytest.raises(TypeError, match=r"ReLU.__init__\(\) got an unexpected keyword argument 'inplace'"):
        nn.ReLU(inplace=True)


def test_a_slice_of_a_list_of_modules_is_one():
    modules = nn.ModuleList([nn.Identity(), nn.Tanh(), nn.Linear(2, 1)])
    assert type(modules[1:]) is nn.ModuleList
    assert list(modules[1:].state_dict()) == ["1.weight", "1.bias"]
    assert type(nn.ParameterList([np.ones(2), np.ones(3)])[:1]) is nn.ParameterList
    assert modules[-1] is modules[2]


@pytest.mark.parametrize(
    ("mode", "padding", "shape", "sentence"),
    [
        ("reflect", (0, 3), (1, 1, 3, 3), "Conv2d cannot add 3 pixels to 3 with padding_mode='reflect'"),
        ("circular", (4, 0), (1, 1, 3, 3), "Conv2d cannot add 4 pixels to 3 with padding_mode='circular'"),
        ("replicate", (1, 0), (1, 1, 0, 3), "Conv2d cannot add 1 pixels to 0 with padding_mode='replicate'"),
    ],
)
def test_a_convolution_pads_by_no_more_pixels_than_there_are(mode, padding, shape, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        nn.Conv2d(1, 1, 1, padding=padding, padding_mode=mode)(np.ones(shape, np.float32))
    most = {"reflect": 2, "circular": 3, "replicate": 9}[mode]
    assert nn.Conv2d(1, 1, 1, padding=most, padding_mode=mode)(np.ones((1, 1, 3, 3))).shape[-1] == 3 + 2 * most


@pytest.mark.parametrize("name", ["forward", "training", "_hidden", "parameters", "__class__", "a.b", ""])
def test_a_sequential_refuses_names_that_mean_something_else(name):
    with pytest.raises(ValueError, match=f"Sequential cannot name a module '{name}': choose one without dots"):
        nn.Sequential({name: nn.ReLU()})
    with pytest.raises(TypeError, match="Sequential expects modules, got 3"):
        nn.Sequential({"a": 3})


def test_a_module_that_is_not_part_of_a_sequential_is_not_applied():
    model = nn.Sequential(nn.Tanh())
    model._other = nn.ReLU()
    assert list(model) == [model[0]]
    assert model(-1.0).item() == np.tanh(-1.0)


class Contained(nn.Module):
    def __init__(self):
        self.blocks = nn.ModuleList([nn.Linear(1, 1), nn.Dropout()])
        self.heads = nn.ModuleDict({"left": nn.Linear(1, 1), "items": nn.ReLU()})
        self.scales = nn.ParameterList([np.ones(2), mg.tensor([1.0]), nn.Parameter([2.0])])
        self.shifts = nn.ParameterDict({"a": [0.0]})


def test_lists_and_dicts_of_modules_and_parameters_are_modules_with_the_names_of_pytorch():
    model = Contained()
    assert [name for name, _ in model.named_parameters()] == [
        "blocks.0.weight", "blocks.0.bias", "heads.left.weight", "heads.left.bias", "scales.0", "scales.1", "scales.2",
        "shifts.a",
    ]
    model.eval()
    assert not any(module.training for module in model.modules())
    assert "(blocks): ModuleList(  # 2 parameters\n    (0): Linear(1, 1)" in repr(model)
    copy = deepcopy(model)
    copy.load_state_dict(model.state_dict())
    assert list(copy.heads) == ["left", "items"]
    assert isinstance(copy.heads, nn.ModuleDict)
    assert nn.ParameterList(model.scales)[2] is model.scales[2]


def test_containers_of_modules_are_changed_as_lists_and_dicts_are():
    model = Contained()
    model.blocks.append(nn.Linear(1, 2))
    model.blocks.insert(0, nn.ReLU())
    model.heads.update(right=nn.Linear(1, 3))
    del model.heads["left"]
    model.shifts["b"] = nn.Parameter([1.0])
    assert [name for name, _ in model.named_modules()] == [
        "", "blocks", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "heads", "heads.items", "heads.right", "scales",
        "shifts",
    ]
    assert [name for name, _ in model.shifts.named_parameters()] == ["a", "b"]
    assert len({model.blocks, model.heads, nn.ModuleList(), nn.ModuleList()}) == 4
    with pytest.raises(TypeError, match=r"ModuleList defines no forward\(\)"):
        model.blocks(1.0)


@pytest.mark.parametrize("make", [
    lambda: nn.ModuleList([nn.ReLU]), lambda: nn.ModuleDict({"a": [nn.ReLU()]}),
    lambda: nn.ModuleDict([("a", nn.Parameter([1.0]))]),
])
def test_containers_of_modules_refuse_what_is_none(make):
    with pytest.raises(TypeError, match=r"Module(List|Dict) expects Modules, got "):
        make()


def test_what_is_put_into_a_container_later_is_refused_when_it_is_looked_through():
    model = Contained()
    model.scales.append(mg.tensor([3.0]))
    with pytest.raises(TypeError, match="ParameterList expects Parameters, got tensor"):
        model.state_dict()
    with pytest.raises(TypeError, match=r"ModuleDict has a ReLU under the name 'a\.b'"):
        nn.ModuleDict({"a.b": nn.ReLU()}).eval()


# ---------------------------------------------------------------- whole numbers


class Index:
    """What is an integer to `operator.index` and nothing else."""

    def __init__(self, number):
        self.number = number

    def __index__(self):
        return self.number


IMAGES = np.ones((2, 4, 6, 6), np.float32)
LABELS = IMAGES[:, 0].astype(int)
SETTINGS = {  # layers by integers that mean something other than 1, so that they are told from True
    "Conv2d channels": lambda n: nn.Conv2d(n(4), n(6), n(2)),
    "Conv2d settings": lambda n: nn.Conv2d(4, 4, (n(2), n(1)), n(2), (n(1), n(0)), n(2), n(2)),
    "MaxPool2d": lambda n: nn.MaxPool2d((n(2), n(3)), n(2), n(1), n(2)),
    "AvgPool2d": lambda n: nn.AvgPool2d(n(2), (n(2), n(1)), n(1), divisor_override=n(3)),
    "AdaptiveAvgPool2d": lambda n: nn.AdaptiveAvgPool2d((n(4), None)),
    "AdaptiveMaxPool2d": lambda n: nn.AdaptiveMaxPool2d(n(4)),
    "Flatten": lambda n: nn.Flatten(n(2), n(-1)),
    "Unflatten": lambda n: nn.Unflatten(n(1), (n(2), n(-1))),
    "max_pool2d": lambda n: lambda x: F.max_pool2d(x, n(2), n(1), n(1), n(2)),
    "conv2d": lambda n: lambda x: F.conv2d(x, IMAGES[:, :2, :2, :2], None, n(2), n(1), n(2), n(2)),
    "flatten": lambda n: lambda x: F.flatten(x, n(1), n(2)),
    "layer_norm": lambda n: lambda x: F.layer_norm(x, n(6)),
    "LayerNorm": lambda n: nn.LayerNorm(n(6)),
    "Softmax": lambda n: nn.Softmax(n(2)),
    "embedding": lambda n: lambda x: F.embedding(LABELS, np.ones((4, 3)), n(2)),
    "Embedding": lambda n: lambda x: nn.Embedding(4, 3, n(2))(LABELS),
    "cross_entropy": lambda n: lambda x: F.cross_entropy(x, LABELS, ignore_index=n(2)),
    "nll_loss": lambda n: lambda x: F.nll_loss(x, LABELS, ignore_index=n(2)),
    "CrossEntropyLoss": lambda n: lambda x: nn.CrossEntropyLoss(ignore_index=n(2))(x, LABELS),
}


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.array, Index, mg.tensor])
@pytest.mark.parametrize("name", SETTINGS)
def test_settings_may_be_whatever_is_an_integer(name, kind):
    layers = [SETTINGS[name](lambda n: n if n < 0 else kind(n)), SETTINGS[name](int)]
    shapes = [layer(IMAGES).shape for layer in layers]
    assert shapes[0] == shapes[1]
    if isinstance(layers[0], nn.Module) and "Adaptive" not in name:
        assert repr(layers[0]) == repr(layers[1]) or name == "AvgPool2d"


@pytest.mark.parametrize("kind", [bool, np.bool_, float, str, lambda n: [[n]]])
@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_that_is_no_integer_is_refused_in_a_sentence(name, kind):
    calls = []
    SETTINGS[name](lambda n: calls.append(n) or n)(IMAGES)
    for wrong in range(len(calls)):
        count = itertools.count()
        with pytest.raises(ValueError, match=r"expects [\w ]+ to be (an integer|one or two integers)"):
            SETTINGS[name](lambda n, wrong=wrong, count=count: kind(n) if next(count) == wrong else n)(IMAGES)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)])
def test_embedding_refuses_a_weight_that_is_no_matrix(shape):
    with pytest.raises(ValueError, match="embedding expects a weight of shape"):
        nn.functional.embedding(np.array([0]), np.ones(shape))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, np.int8, bool])
@pytest.mark.parametrize(
    "function", [F.sigmoid, F.silu, F.tanh, F.gelu, F.elu, F.softplus, F.relu, F.leaky_relu, mg.softsign, mg.hardtanh]
)
def test_activations_of_integers_and_booleans_are_those_of_the_same_numbers(function, dtype):
    x = np.array([0, 1, 3, 100]).astype(dtype)
    np.testing.assert_allclose(function(x).numpy(), function(x.astype(float)).numpy(), rtol=1e-3)


@pytest.mark.parametrize("layer", [
    nn.Linear(1, 2), nn.BatchNorm1d(2), nn.LayerNorm(2), nn.Sequential(nn.Unflatten(1, (2, 1, 1)), nn.Conv2d(2, 2, 1)),
], ids=["linear", "batch norm", "layer norm", "convolution"])
def test_the_gradient_of_a_bias_loses_few_digits_however_many_rows_there_are(layer):
    rows, each = 100_000, np.float32(0.1)
    x = np.random.default_rng(0).standard_normal((rows, 1 if isinstance(layer, nn.Linear) else 2)).astype(np.float32)
    (layer(x) * each).sum().backward()
    bias = dict(layer.named_parameters())["1.bias" if isinstance(layer, nn.Sequential) else "bias"]
    np.testing.assert_allclose(bias.grad.numpy(), float(each) * rows, rtol=4e-5)  # summed in one go: 5e-4
