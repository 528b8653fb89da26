"""Layers and losses side by side with PyTorch; skipped where it is missing."""

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
    )  # fmt: skip
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
)  # fmt: skip
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
)  # fmt: skip
def test_pooling_has_the_values_and_gradients_of_pytorch(name, settings):
    ours, theirs = getattr(nn, name)(*settings), getattr(torch.nn, name)(*settings)
    compare(ours, theirs, np.random.default_rng(6).standard_normal((2, 3, 7, 10)))


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
        )  # fmt: skip


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
