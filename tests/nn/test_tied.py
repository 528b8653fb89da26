"""What is shared by two parts of a model is one thing with two names, wherever parameters are walked by their names."""

import copy
import pickle
from itertools import chain

import numpy as np
import pytest

import minigrad as mg
import nn
from minigrad.testing import gradcheck
from nn.callbacks import AveragedWeights, KeepBest
from nn.optim import SGD, Adam, clip_grad_norm_, clip_grad_value_


class Scaled(nn.Module):
    """Divides by a running maximum, which is a buffer."""

    def __init__(self):
        self.largest = np.ones(1)

    def forward(self, x):
        if self.training and not mg.is_recomputing():
            self.largest[...] = 0.5 * self.largest + np.abs(mg.value(x)).max()
        return x / self.largest


class Pair(nn.Module):
    """Two layers that may share a parameter, a buffer or all they have."""

    def __init__(self, shared):
        self.first = nn.Sequential(nn.Linear(4, 4, dtype=np.float64), Scaled())
        self.second = nn.Sequential(nn.Linear(4, 4, dtype=np.float64), Scaled())
        if shared == "a parameter":
            self.second[0].weight = self.first[0].weight
        elif shared == "a buffer":
            self.second[1].largest = self.first[1].largest
        elif shared == "a module":
            self.second = self.first

    def forward(self, x):
        return self.second(self.first(x).tanh())


TWINS = {
    "a parameter": ["0.weight"],
    "a buffer": ["1.largest"],
    "a module": ["0.weight", "0.bias", "1.largest"],
}


@pytest.fixture(params=TWINS)
def shared(request):
    return request.param


def pair(shared, seed=0):
    nn.manual_seed(seed)
    return Pair(shared)


def data(n=16):
    rng = np.random.default_rng(1)
    return nn.DataLoader((rng.standard_normal((n, 4)), rng.integers(0, 4, n)), 8)


def twins(model, shared):
    """(value of the first, value of the second) of all that is shared."""
    state = model.state_dict()
    return [(state[f"first.{name}"], state[f"second.{name}"]) for name in TWINS[shared]]


def check_still_shared(model, shared):
    parts = dict(chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)))
    assert all(parts[f"second.{name}"] is parts[f"first.{name}"] for name in TWINS[shared])
    for a, b in twins(model, shared):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("every", [1, 3])
def test_the_average_of_what_is_shared_is_that_of_its_values(shared, workers, every):
    seen = []

    class Watch(nn.Callback):
        def on_batch_end(self, learner):
            if learner.step % every == 0:
                seen.append(learner.model.state_dict())

    model = pair(shared)
    expected = model.state_dict()
    watchers = [AveragedWeights(0.5, every), Watch()]
    nn.Learner(model, SGD(model.parameters(), lr=0.5), callbacks=watchers, workers=workers).fit(data(), epochs=3)
    for t, state in enumerate(seen):
        new = 1 - min(0.5**every, (1 + t) / (10 + t))
        expected = {name: array + new * (state[name] - array) for name, array in expected.items()}
    assert seen
    for name, array in model.state_dict().items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-12, err_msg=name)
    check_still_shared(model, shared)


def test_averages_that_are_applied_or_saved_have_it_under_both_names(shared, tmp_path):
    model = pair(shared)
    average = nn.WeightAverage(model, 0.5)
    before = model.state_dict()
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data + len(name)
    for _, buffer in model.named_buffers():
        buffer += 1
    average.update()
    with average.applied():
        for name, array in model.state_dict().items():
            assert (array > before[name]).all(), name
    nn.save(average.state, tmp_path / "average.npz")
    model.load_state_dict(nn.load(tmp_path / "average.npz")[0])
    check_still_shared(model, shared)


def test_the_best_weights_come_back(shared):
    states = []

    class Watch(nn.Callback):
        def on_epoch_end(self, learner):
            states.append(learner.model.state_dict())
            learner.history[-1]["score"] = [1, 3, 2][len(states) - 1]

    model = pair(shared)
    nn.Learner(model, SGD(model.parameters(), lr=0.5), callbacks=[Watch(), KeepBest("score")]).fit(data(), epochs=3)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, states[1][name])
    check_still_shared(model, shared)


@pytest.mark.parametrize("extension", ["npz", "safetensors"])
@pytest.mark.parametrize("left_out", ["first", "second", None])
def test_a_file_needs_only_one_of_the_names(shared, extension, left_out, tmp_path):
    state = pair(shared, seed=1).state_dict()
    kept = {name: array for name, array in state.items()
            if not (left_out and name in [f"{left_out}.{twin}" for twin in TWINS[shared]])}
    nn.save(kept, tmp_path / f"model.{extension}")
    model = pair(shared)
    model.load_state_dict(nn.load(tmp_path / f"model.{extension}")[0])
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    check_still_shared(model, shared)


def test_a_state_without_either_name_lacks_it_and_one_with_two_values_is_refused(shared):
    model = pair(shared)
    before = model.state_dict()
    name = TWINS[shared][0]
    state = pair(shared, seed=1).state_dict()
    with pytest.raises(ValueError, match=rf"first\.{name} is missing, second\.{name} is missing"):
        model.load_state_dict({n: array for n, array in state.items() if not n.endswith(name)})
    state[f"second.{name}"] += 1
    with pytest.raises(ValueError, match=rf"second\.{name} .* first\.{name}, which"):
        model.load_state_dict(state)
    for n, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[n])


def test_values_that_are_not_numbers_are_the_same_under_both_names(shared):
    model = pair(shared)
    state = {name: np.full_like(array, np.nan) for name, array in model.state_dict().items()}
    model.load_state_dict(state)
    assert all(np.isnan(a).all() and np.isnan(b).all() for a, b in twins(model, shared))


def test_training_goes_on_from_a_file_as_if_it_had_not_stopped(shared, tmp_path):
    def learner(seed):
        model = pair(shared, seed)
        return nn.Learner(model, Adam(model.parameters(), lr=0.1))

    whole, first, second = learner(0), learner(0), learner(5)
    whole.fit(data(), epochs=3)
    first.fit(data(), epochs=1)
    first.save(tmp_path / "learner.npz")
    second.load(tmp_path / "learner.npz")
    second.fit(data(), epochs=2)
    for name, array in second.model.state_dict().items():
        np.testing.assert_array_equal(array, whole.model.state_dict()[name])
    check_still_shared(second.model, shared)


def test_finding_a_learning_rate_leaves_it_as_it_was(shared):
    model = pair(shared)
    before = model.state_dict()
    nn.find_lr(nn.Learner(model, Adam(model.parameters())), data(), high=1.0, steps=20)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    check_still_shared(model, shared)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_share_what_the_original_shares(shared, copied):
    check_still_shared(copied(pair(shared)), shared)


def test_it_is_counted_once(shared):
    model = pair(shared)
    different = {id(parameter): parameter.size for parameter in [
        *(p for part in (model.first, model.second) for p in part.parameters())]}
    assert model.num_parameters() == sum(different.values())
    assert len(list(model.parameters())) == len(different)
    total = model.summary((4,), np.float64).splitlines()[-1].split()
    assert total[1] == str(model.num_parameters())
    assert f"# {model.num_parameters()} parameters" in repr(model).splitlines()[0]
    assert len(Adam(model.parameters()).param_groups[0]["params"]) == len(different)


def test_workers_find_the_same_gradient_as_one_thread():
    inputs, labels = data().arrays
    found = []
    for workers in (1, 2, 3):
        model = pair("a parameter").eval()
        with nn.data_parallel(model, nn.CrossEntropyLoss(), workers) as backward:
            backward(inputs, labels)
        found.append(model.first[0].weight.grad.data)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-12)


@pytest.mark.parametrize("clip", [lambda ps: clip_grad_norm_(ps, 1.0), lambda ps: clip_grad_value_(ps, 0.1)])
def test_a_gradient_is_clipped_once_however_often_it_is_given(clip):
    once, twice = pair("a parameter"), pair("a parameter")
    for model in (once, twice):
        (model(np.ones((2, 4))) * 100).sum().backward()
    results = clip([*once.parameters()]), clip([*twice.first.parameters(), *twice.second.parameters()])
    assert results[0] == results[1]
    for a, b in zip(once.parameters(), twice.parameters(), strict=True):
        np.testing.assert_array_equal(a.grad.data, b.grad.data)


def test_its_gradient_is_checked_with_both_uses(shared):
    model = pair(shared).eval()
    assert gradcheck(model, np.random.default_rng(2).standard_normal((3, 4)))


def test_an_average_takes_a_state_that_has_what_is_tied_under_each_of_its_names(shared):
    model = pair(shared)
    average, other = nn.WeightAverage(model, 0.5), nn.WeightAverage(pair(shared, 1), 0.5)
    other.load_state_dict({"state": model.state_dict(), "updates": 3})
    assert other.updates == 3
    for name, weights in average.state.items():
        np.testing.assert_array_equal(other.state[name], weights)
