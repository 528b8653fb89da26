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
    assert {name: array.shape for name, array in ours.state_dict().items()} == {
        name: tuple(array.shape) for name, array in theirs.state_dict().items()
    }
    theirs.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    with torch.no_grad():
        for array in theirs.state_dict().values():
            array += torch.rand(array.shape, dtype=array.dtype)
    ours.load_state_dict({name: array.numpy() for name, array in theirs.state_dict().items()})


def compare(ours, theirs, array, *target):
    """Values, and the gradients of a random cotangent with respect to the input and all parameters."""
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
