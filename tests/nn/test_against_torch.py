"""Layers and losses side by side with PyTorch; skipped where it is missing."""

import inspect
import re
from collections import OrderedDict
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nn
from minigrad import Tensor

torch = pytest.importorskip("torch")

seeds = st.integers(0, 2**32 - 1)


def same(ours, theirs):
    ours = np.zeros(theirs.shape) if ours is None else ours.numpy()
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-12, equal_nan=False)


@given(seed=seeds, shape=st.sampled_from([(3,), (1, 3), (2, 3), (8, 3), (2, 5, 3)]), bias=st.booleans())
def test_linear_has_the_values_and_gradients_of_pytorch_and_takes_its_weights(seed, shape, bias):
    rng = np.random.default_rng(seed)
    theirs = torch.nn.Linear(3, 4, bias=bias, dtype=torch.float64)
    ours = nn.Linear(3, 4, bias=bias, dtype=np.float64)
    ours.load_state_dict({name: array.numpy() for name, array in theirs.state_dict().items()})
    array = rng.standard_normal(shape)
    x, y = Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    out, reference = ours(x), theirs(y)
    same(out, reference)
    cotangent = rng.standard_normal(out.shape)
    out.backward(cotangent)
    reference.backward(torch.tensor(cotangent))
    same(x.grad, y.grad)
    for (name, p), (other, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == other
        same(p.grad, q.grad)


def test_the_parameters_of_a_network_have_the_names_and_shapes_of_pytorch_and_load_there():
    ours = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 2), nn.Tanh())
    theirs = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(12, 5), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(5, 2),
        torch.nn.Tanh(),
    )
    theirs.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((3, 3, 4)).astype(np.float32)
    expected = theirs.eval()(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours.eval()(x).data, expected, rtol=1e-4, atol=1e-6)


@given(
    data=st.data(),
    seed=seeds,
    rest=st.sampled_from([(), (3,), (2, 2)]),
    probabilities=st.booleans(),
    reduction=st.sampled_from(["none", "mean", "sum"]),
    smoothing=st.sampled_from([0.0, 0.1, 1.0]),
    ignore_index=st.sampled_from([-100, 1]),
    scale=st.sampled_from([1.0, 1e4]),
)
def test_cross_entropy_has_the_values_and_gradients_of_pytorch(
    data, seed, rest, probabilities, reduction, smoothing, ignore_index, scale
):
    rng = np.random.default_rng(seed)
    batch = data.draw(st.sampled_from([(), (4,)])) if not rest else (4,)
    weight = data.draw(st.none() | st.just(rng.uniform(0.5, 2, 3)))
    array = scale * rng.standard_normal((*batch, 3, *rest))
    if probabilities:
        target = rng.uniform(0, 1, array.shape)
        target /= target.sum(1 if batch else 0, keepdims=True)
    else:
        target = rng.integers(0, 3, (*batch, *rest))
        target.flat[0] = 0  # a mean over ignored samples alone is NaN, which equals nothing
    settings = {"reduction": reduction, "label_smoothing": smoothing}
    settings |= {} if probabilities else {"ignore_index": ignore_index}
    theirs = torch.nn.CrossEntropyLoss(None if weight is None else torch.tensor(weight), **settings)
    logits, reference = Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    ours, loss = nn.CrossEntropyLoss(weight, **settings)(logits, target), theirs(reference, torch.tensor(target))
    same(ours, loss)
    cotangent = rng.standard_normal(ours.shape)
    ours.backward(cotangent)
    loss.backward(torch.tensor(cotangent))
    same(logits.grad, reference.grad)


@pytest.mark.parametrize("p", [0.0, 0.2, 1.0])
def test_dropout_scales_as_pytorch_does(p):
    x = np.ones(1000)
    theirs = torch.nn.functional.dropout(torch.tensor(x), p).numpy()
    np.testing.assert_allclose(np.unique(nn.functional.dropout(x, p).data), np.unique(theirs), rtol=1e-4)


def exchanged(ours, theirs):
    """Both with PyTorch's values in ours, after ours have been loaded there."""
    assert {name: (array.shape, f"torch.{array.dtype}") for name, array in ours.state_dict().items()} == {
        name: (tuple(array.shape), str(array.dtype)) for name, array in theirs.state_dict().items()
    }
    theirs.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    with torch.no_grad():
        for array in theirs.state_dict().values():
            array += torch.rand(array.shape, dtype=array.dtype) if array.is_floating_point() else 3
    ours.load_state_dict({name: array.numpy() for name, array in theirs.state_dict().items()})


def compare(ours, theirs, array, *target):
    """Values, gradients of a random cotangent with respect to the input and all parameters, and buffers after it."""
    exchanged(ours, theirs)
    x, y = Tensor(array, requires_grad=array.dtype.kind == "f"), torch.tensor(array)
    y.requires_grad = array.dtype.kind == "f"
    out, reference = ours(x, *target), theirs(y, *map(torch.tensor, target))
    same(out, reference)
    cotangent = np.random.default_rng(0).standard_normal(out.shape)
    out.backward(cotangent)
    reference.backward(torch.tensor(cotangent))
    if x.requires_grad:
        same(x.grad, y.grad)
    for (name, p), (other, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == other
        same(p.grad, q.grad)
    state = theirs.state_dict()
    for name, buffer in ours.named_buffers():
        np.testing.assert_allclose(buffer, state[name].numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "settings", "shape"),
    [
        ("LeakyReLU", {}, (4, 3)),
        ("LeakyReLU", {"negative_slope": 0.2}, (4, 3)),
        ("ELU", {}, (4, 3)),
        ("ELU", {"alpha": 0.5}, (4, 3)),
        ("GELU", {}, (4, 3)),
        ("GELU", {"approximate": "tanh"}, (4, 3)),
        ("SiLU", {}, (4, 3)),
        ("Softplus", {}, (4, 3)),
        ("Softplus", {"beta": 2.0}, (4, 3)),
        ("Softmax", {"dim": 1}, (4, 3)),
        ("LogSoftmax", {"dim": 0}, (4, 3)),
        ("Identity", {}, (4, 3)),
        ("Unflatten", {"dim": 1, "unflattened_size": (3, -1)}, (2, 12)),
        ("LayerNorm", {"normalized_shape": 3}, (4, 3)),
        ("LayerNorm", {"normalized_shape": (4, 3), "eps": 0.1}, (2, 4, 3)),
        ("LayerNorm", {"normalized_shape": 3, "bias": False}, (2, 4, 3)),
        ("LayerNorm", {"normalized_shape": 3, "elementwise_affine": False}, (4, 3)),
        ("GroupNorm", {"num_groups": 2, "num_channels": 4}, (3, 4)),
        ("GroupNorm", {"num_groups": 2, "num_channels": 6, "eps": 0.1}, (3, 6, 2, 5)),
        ("GroupNorm", {"num_groups": 3, "num_channels": 6, "affine": False}, (3, 6, 5)),
    ],
)
def test_layers_have_the_values_gradients_and_state_of_pytorch(name, settings, shape):
    has_weights = "Norm" in name
    ours = getattr(nn, name)(**settings, **({"dtype": np.float64} if has_weights else {}))
    theirs = getattr(torch.nn, name)(**settings).double()
    compare(ours, theirs, np.random.default_rng(1).standard_normal(shape))


@pytest.mark.parametrize("padding_idx", [None, 2, -1])
def test_embedding_has_the_values_gradients_and_state_of_pytorch(padding_idx):
    ours = nn.Embedding(5, 3, padding_idx, dtype=np.float64)
    theirs = torch.nn.Embedding(5, 3, padding_idx, dtype=torch.float64)
    assert ours.padding_idx == theirs.padding_idx
    compare(ours, theirs, np.array([[0, 2, 4], [2, 2, 1]]))


def test_a_residual_block_computes_and_learns_what_the_same_sum_does_in_pytorch():
    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = torch.nn.Linear(3, 2, dtype=torch.float64)
            self.shortcut = torch.nn.Linear(3, 2, bias=False, dtype=torch.float64)

        def forward(self, x):
            return self.module(x) + self.shortcut(x)

    ours = nn.Residual(nn.Linear(3, 2, dtype=np.float64), nn.Linear(3, 2, bias=False, dtype=np.float64))
    compare(ours, Block(), np.random.default_rng(0).standard_normal((4, 3)))


@pytest.mark.parametrize("p", [0.0, 0.2, 1.0])
def test_dropout2d_scales_as_pytorch_does(p):
    x = np.ones((10, 100, 2, 2))
    theirs = torch.nn.functional.dropout2d(torch.tensor(x), p).numpy()
    np.testing.assert_allclose(np.unique(nn.functional.dropout2d(x, p).data), np.unique(theirs), rtol=1e-4)


WEIGHT = np.array([0.5, 1.0, 2.0])


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("scale", [1.0, 1e3])
@pytest.mark.parametrize("shape", [(), (5,), (4, 3)])
@pytest.mark.parametrize(
    ("name", "settings"),
    [("MSELoss", {}), ("L1Loss", {}), ("SmoothL1Loss", {}), ("SmoothL1Loss", {"beta": 0.3}),
     ("SmoothL1Loss", {"beta": 0.0}), ("BCEWithLogitsLoss", {})],
)
def test_losses_of_pairs_have_the_values_and_gradients_of_pytorch(name, settings, shape, scale, reduction):
    rng = np.random.default_rng(2)
    x, target = scale * rng.standard_normal(shape), rng.uniform(0, 1, shape)
    settings = settings | {"reduction": reduction}
    compare(getattr(nn, name)(**settings), getattr(torch.nn, name)(**settings), np.asarray(x), np.asarray(target))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("names", [["weight"], ["pos_weight"], ["weight", "pos_weight"]])
def test_binary_cross_entropy_is_weighted_as_in_pytorch(names, reduction):
    rng = np.random.default_rng(3)
    ours = nn.BCEWithLogitsLoss(**dict.fromkeys(names, WEIGHT), reduction=reduction)
    theirs = torch.nn.BCEWithLogitsLoss(**dict.fromkeys(names, torch.tensor(WEIGHT)), reduction=reduction)
    compare(ours, theirs, rng.standard_normal((4, 3)), rng.uniform(0, 1, (4, 3)))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("rest", [(), (2,), (2, 2)])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("ignore_index", [-100, 1])
@pytest.mark.parametrize("name", ["NLLLoss", "CrossEntropyLoss"])
def test_losses_of_classes_have_the_values_gradients_and_state_of_pytorch(name, ignore_index, weight, rest, reduction):
    rng = np.random.default_rng(4)
    settings = {"ignore_index": ignore_index, "reduction": reduction}
    ours = getattr(nn, name)(weight, **settings)
    theirs = getattr(torch.nn, name)(None if weight is None else torch.tensor(weight), **settings)
    target = rng.permutation(np.arange(4 * 2 ** len(rest)) % 3).reshape(4, *rest)
    compare(ours, theirs, rng.standard_normal((4, 3, *rest)), target)


EDGES = {
    "tiny": [1e-300, -1e-300, 0.0], "small": [1e-30, -1e-30, 1e-25], "offset": [1e4, 1e4 + 1, 1e4 - 1],
    "large": [1e30, -1e30, 1e29], "inf": [np.inf, 0.0, 1.0], "-inf": [-np.inf, 0.0, 1.0],
    "both": [np.inf, -np.inf, 0.0], "nan": [np.nan, 0.0, 1.0],
}
EDGE_LOSSES = [
    ("mse_loss", {}), ("l1_loss", {}), ("smooth_l1_loss", {}), ("smooth_l1_loss", {"beta": 0.3}),
    ("binary_cross_entropy_with_logits", {}), ("binary_cross_entropy_with_logits", {"pos_weight": WEIGHT}),
    ("cross_entropy", {}), ("cross_entropy", {"weight": WEIGHT, "label_smoothing": 0.1}),
    ("cross_entropy", {"ignore_index": 1}), ("nll_loss", {"weight": WEIGHT, "ignore_index": 1}),
]


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize(("name", "settings"), EDGE_LOSSES)
def test_losses_at_the_ends_of_the_range_are_those_of_pytorch_or_a_limit_where_it_has_none(
    name, settings, edge, reduction
):
    x = np.array([np.roll(EDGES[edge], i) for i in range(3)] * 2)
    target = np.arange(6) // 2 if name in ("cross_entropy", "nll_loss") else np.array([[0.0, 1.0, 0.25]] * 6)
    ours, theirs = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    tensors = {key: torch.tensor(s) if isinstance(s, np.ndarray) else s for key, s in settings.items()}
    with np.errstate(invalid="ignore"):
        loss = getattr(nn.functional, name)(ours, target, reduction=reduction, **settings)
        loss.backward(np.ones(loss.shape))
    reference = getattr(torch.nn.functional, name)(theirs, torch.tensor(target), reduction=reduction, **tensors)
    reference.backward(torch.ones_like(reference))
    pairs = [(loss.numpy(), reference.detach().numpy()), (ours.grad.numpy(), theirs.grad.numpy())]
    for found, expected in pairs:
        if name == "binary_cross_entropy_with_logits" and edge != "nan":  # PyTorch multiplies 0 by infinity
            assert not np.isnan(found).any()
            found = np.where(np.isnan(expected), np.nan, found)
        if name == "l1_loss" and expected.shape == x.shape:  # PyTorch's slope of |NaN| is 0
            expected = np.where(np.isnan(x), np.nan, expected)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15 * (edge not in ("tiny", "small")))


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 1},
        {"kernel_size": 3},
        {"kernel_size": (2, 3), "bias": False},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": (3, 2), "stride": (1, 3), "padding": (2, 1)},
        {"kernel_size": 1, "stride": 2, "padding": 1},
        {"kernel_size": (2, 3), "dilation": (3, 2)},
        {"kernel_size": 3, "padding": "same"},
        {"kernel_size": (3, 5), "padding": "same", "dilation": (2, 1)},
        {"kernel_size": (2, 4), "padding": "same", "dilation": (1, 3)},
        {"kernel_size": 2, "padding": "valid"},
        {"kernel_size": 3, "groups": 2, "padding": 1},
        {"kernel_size": (3, 2), "groups": 4, "stride": 2, "padding": 1, "dilation": (1, 2), "bias": False},
        *({"kernel_size": (3, 2), "stride": stride, "padding": padding, "dilation": (1, 3), "padding_mode": mode}
          for mode in ("reflect", "replicate", "circular")
          for stride, padding in [(2, (1, 3)), (1, "same"), (1, "valid"), ((3, 1), 0)]),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")  # PyTorch copies there
def test_convolutions_have_the_values_gradients_and_state_of_pytorch(settings):
    ours = nn.Conv2d(4, 8, **settings, dtype=np.float64)
    theirs = torch.nn.Conv2d(4, 8, **settings, dtype=torch.float64)
    compare(ours, theirs, np.random.default_rng(5).standard_normal((3, 4, 8, 9)))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, settings) for name in ("MaxPool2d", "AvgPool2d") for settings in [
            (2,), ((2, 3),), (3, 2), ((2, 3), (3, 1)), (3, 1, 1), ((3, 4), (2, 3), (1, 2)), (2, 3, 1), (7,),
        ]),
        *(("AdaptiveAvgPool2d", (size,)) for size in [1, (7, 10), (7, 5), 2, (3, 4), (5, 10), (1, 7), (9, 12)]),
    ],
)
def test_pooling_has_the_values_and_gradients_of_pytorch(name, settings):
    ours, theirs = getattr(nn, name)(*settings), getattr(torch.nn, name)(*settings)
    compare(ours, theirs, np.random.default_rng(6).standard_normal((2, 3, 7, 10)))


@pytest.mark.parametrize("size", [(5, 6), (8, 3)])
@pytest.mark.parametrize("kernel", [1, (2, 3), 4])
def test_the_options_of_pooling_have_the_values_gradients_and_refusals_of_pytorch(kernel, size):
    x = np.random.default_rng(6).permutation(np.arange(4.0 * np.prod(size))).reshape(2, 2, *size)
    options = product([None, (3, 2)], [0, 1, (0, 1)], [False, True], [True, False], [None, -3])
    calls = [("AvgPool2d", (kernel, *rest)) for rest in options]
    options = product([None, (3, 2)], [0, 1], [1, 2, (1, 3)], [False, True])
    calls += [("MaxPool2d", (kernel, stride, p, d, False, ceil)) for stride, p, d, ceil in options]
    compared = 0
    for name, settings in calls:
        try:
            reference = getattr(torch.nn, name)(*settings)(torch.tensor(x))
        except RuntimeError:  # where PyTorch refuses
            with pytest.raises(ValueError, match=r"pool2d .*expects"):
                getattr(nn, name)(*settings)(x)
            continue
        if reference.isfinite().all():  # PyTorch writes out of bounds in the gradient of a window without pixels
            compare(getattr(nn, name)(*settings), getattr(torch.nn, name)(*settings), x)
            compared += 1
    assert compared >= 8


@pytest.mark.parametrize("size", [1, 2, (None, 3), (4, None), (None, None), (9, 11), (5, 4)])
@pytest.mark.parametrize("name", ["AdaptiveAvgPool2d", "AdaptiveMaxPool2d"])
def test_adaptive_pooling_to_any_size_has_the_values_and_gradients_of_pytorch(name, size):
    x = np.random.default_rng(6).permutation(np.arange(280.0)).reshape(2, 2, 7, 10)
    compare(getattr(nn, name)(size), getattr(torch.nn, name)(size), x)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"eps": 0.1, "momentum": 0.3},
        {"momentum": None},
        {"momentum": 0.0},
        {"affine": False},
        {"track_running_stats": False},
        {"affine": False, "track_running_stats": False, "momentum": None},
    ],
)
@pytest.mark.parametrize(
    ("name", "shape"), [("BatchNorm1d", (5, 3)), ("BatchNorm1d", (4, 3, 2)), ("BatchNorm2d", (2, 3, 4, 5))]
)
def test_batch_norm_has_the_values_gradients_and_buffers_of_pytorch(name, shape, settings, training):
    ours = getattr(nn, name)(3, **settings, dtype=np.float64).train(training)
    theirs = getattr(torch.nn, name)(3, **settings, dtype=torch.float64).train(training)
    x = 3 * np.random.default_rng(7).standard_normal(shape) + 1
    for _ in range(2):
        compare(ours, theirs, x)
        ours.zero_grad()
        theirs.zero_grad()


def small_cnns():
    """The same network of ours and of PyTorch's layers."""
    for layers in (nn, torch.nn):
        yield layers.Sequential(
            layers.Conv2d(1, 4, 3, padding=1, bias=False), layers.BatchNorm2d(4), layers.ReLU(), layers.MaxPool2d(2),
            layers.Sequential(layers.Conv2d(4, 8, (3, 2), stride=2, groups=2), layers.BatchNorm2d(8, affine=False)),
            layers.AvgPool2d(2, 1), layers.AdaptiveAvgPool2d(2), layers.Flatten(), layers.Linear(32, 5),
            layers.BatchNorm1d(5),
        )


def evaluated(ours, theirs):
    """What both make of the same images in evaluation mode."""
    x = np.random.default_rng(8).standard_normal((3, 1, 15, 16)).astype(np.float32)
    with torch.no_grad():
        return ours.eval()(x).numpy(), theirs.eval()(torch.tensor(x)).numpy()


def test_the_state_of_a_convolutional_network_is_that_of_pytorch_and_loads_both_ways():
    ours, theirs = small_cnns()
    exchanged(ours, theirs)  # compares names, shapes and dtypes
    np.testing.assert_allclose(*evaluated(ours, theirs), rtol=1e-4, atol=1e-5)


def test_a_convolutional_network_goes_to_pytorch_and_back_through_safetensors_files(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    ours, theirs = small_cnns()
    ours(np.random.default_rng(9).standard_normal((4, 1, 15, 16)).astype(np.float32))  # estimates worth keeping
    nn.save(ours.state_dict(), tmp_path / "ours.safetensors")
    theirs.load_state_dict(safetensors.load_file(tmp_path / "ours.safetensors"))
    np.testing.assert_allclose(*evaluated(ours, theirs), rtol=1e-4, atol=1e-5)

    ours, theirs = small_cnns()
    theirs(torch.randn((4, 1, 15, 16)))
    safetensors.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    state, _ = nn.load(tmp_path / "theirs.safetensors")
    assert {name: array.dtype for name, array in ours.state_dict().items()} == {
        name: array.dtype for name, array in state.items()
    }
    ours.load_state_dict(state)
    np.testing.assert_allclose(*evaluated(ours, theirs), rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- names and arguments


def containers(layers, wrap):
    """The same model of ours and of PyTorch's containers; `wrap` makes a parameter of an array."""

    class Model(layers.Module):
        def __init__(self):
            super().__init__()
            self.body = layers.Sequential(OrderedDict(first=layers.Linear(3, 2), act=layers.ReLU()))
            self.blocks = layers.ModuleList([layers.Linear(2, 2), layers.ModuleList([layers.BatchNorm1d(2)])])
            self.heads = layers.ModuleDict({"left": layers.Linear(2, 1), "right": layers.Linear(2, 1, bias=False)})
            self.scales = layers.ParameterList([wrap(np.ones(2, np.float32)), wrap(np.zeros(1, np.float32))])
            self.shifts = layers.ParameterDict({"a": wrap(np.ones(1, np.float32))})
            self.tied = self.heads["left"]

    return Model()


def test_containers_name_what_they_hold_as_in_pytorch_and_states_load_both_ways():
    ours, theirs = containers(nn, np.asarray), containers(torch.nn, lambda x: torch.nn.Parameter(torch.tensor(x)))
    exchanged(ours, theirs)
    for walk in ("named_parameters", "named_buffers", "named_modules"):
        for settings in ({}, {"remove_duplicate": False}, {"prefix": "net"}):
            names = [[name for name, _ in getattr(model, walk)(**settings)] for model in (ours, theirs)]
            assert names[0] == names[1], (walk, settings)
    assert [name for name, _ in ours.named_children()] == [name for name, _ in theirs.named_children()]
    plain = nn.Module()
    plain.body, plain.blocks, plain.heads = ours.body, [ours.blocks[0], [ours.blocks[1][0]]], dict(ours.heads)
    plain.scales, plain.shifts, plain.tied = list(ours.scales), dict(ours.shifts), ours.tied
    assert set(plain.state_dict()) == set(theirs.state_dict()), "containers of Python give the same names"


LEFT_OUT = {  # of PyTorch's arguments; docs/networks.md says so
    "device",  # there is one
    "inplace",  # results are new arrays
    "size_average", "reduce",  # PyTorch's old names of reduction
    "threshold",  # Softplus needs none
    "max_norm", "norm_type", "scale_grad_by_freq", "sparse", "_weight", "_freeze",  # of Embedding
    "dtype", "_stacklevel", "keepdim", "dim", "out",  # of functions that are operations of NumPy's name and signature
    "weight",  # of losses of pairs
    "assign", "keep_vars",  # of states, which are copies here
    "args", "kwargs",
}


def arguments(function):
    """Names of arguments, which PyTorch's built-in functions have in the first line of their docstrings only."""
    first = re.match(r"\s*\w+\((.*?)\)\s*(->|\n)", function.__doc__ or "", re.DOTALL)
    if first and not inspect.isclass(function) and type(function).__module__ != "nn.module":
        return [re.split(r"[=:]", part)[0].strip() for part in first[1].replace("*, ", "").split(",")]
    return [name for name in inspect.signature(function).parameters if name != "self"]


def pairs():
    """Each layer, function and method that both have."""
    for name in dir(torch.nn):
        if inspect.isclass(getattr(torch.nn, name)) and hasattr(nn, name):
            yield name, getattr(nn, name), getattr(torch.nn, name)
    for name in nn.functional.__dict__:
        other = getattr(torch.nn.functional, name, getattr(torch, name, None))
        if callable(getattr(nn.functional, name)) and callable(other):
            yield f"functional.{name}", getattr(nn.functional, name), other
    for name in dir(nn.Module):
        ours, theirs = (getattr(module, name, None) for module in (nn.Module, torch.nn.Module))
        if not name.startswith("_") and callable(ours) and callable(theirs) and name != "forward":
            yield f"Module.{name}", ours, theirs


@pytest.mark.parametrize(("name", "ours", "theirs"), [pytest.param(*pair, id=pair[0]) for pair in pairs()])
def test_arguments_have_the_names_and_the_order_of_pytorch_except_for_those_listed(name, ours, theirs):
    own = list(inspect.signature(ours).parameters)
    others = [argument for argument in arguments(theirs) if argument not in LEFT_OUT]
    if name.startswith("functional."):
        own, others = own[1:], others[1:]  # what it is a function of is called x, logits, …
    if name in ("BatchNorm1d", "BatchNorm2d", "GroupNorm"):
        others = [argument for argument in others if argument in own or argument != "bias"]  # new in PyTorch
    assert [argument for argument in own if argument in others] == others
