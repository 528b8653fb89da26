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
