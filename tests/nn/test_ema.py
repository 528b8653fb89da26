import numpy as np
import pytest

import nn
from nn import Module, Parameter, WeightAverage


class Mixed(Module):
    """Parameters and buffers of several dtypes and shapes, one of them a single number."""

    def __init__(self):
        self.linear = nn.Linear(3, 2)
        self.factor = Parameter(2.0)
        self.mean = np.zeros(4)
        self.count = np.array(0)

    def change(self, rng):
        for parameter in self.parameters():
            parameter.data = rng.standard_normal(parameter.shape)
        self.mean[...] = rng.standard_normal(4)
        self.count += 1


def equal(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def test_the_average_follows_its_formula_and_decays_less_at_the_start():
    model, rng = Mixed(), np.random.default_rng(0)
    average = WeightAverage(model, decay=0.5)
    expected = {name: array.astype(float) for name, array in model.state_dict().items()}
    assert equal(average.state, model.state_dict())
    for t in range(20):
        model.change(rng)
        average.update()
        d = min(0.5, (1 + t) / (10 + t))
        for name, array in model.state_dict().items():
            expected[name] = array if name == "count" else d * expected[name] + (1 - d) * array
            np.testing.assert_allclose(average.state[name], expected[name], rtol=1e-5, atol=1e-6)
            assert average.state[name].dtype == array.dtype
    assert average.updates == 20
    assert average.state["count"] == 20


def test_weights_that_do_not_change_have_themselves_as_average_to_the_last_bit():
    model = Mixed()
    average = WeightAverage(model, decay=0.9)
    for _ in range(30):
        average.update()
    assert equal(average.state, model.state_dict())


def test_an_update_changes_no_weight_and_allocates_no_other_averages():
    model = Mixed()
    average = WeightAverage(model, decay=0.9)
    model.change(np.random.default_rng(0))
    before, arrays = model.state_dict(), dict(average.state)
    average.update()
    assert equal(model.state_dict(), before)
    assert all(average.state[name] is array for name, array in arrays.items())


def test_buffers_that_are_assigned_anew_are_followed():
    model = Mixed()
    average = WeightAverage(model, decay=0.0)
    model.mean = np.ones(4)
    average.update()
    np.testing.assert_array_equal(average.state["mean"], np.ones(4))


@pytest.mark.parametrize("fails", [False, True])
def test_the_averages_hold_inside_applied_and_the_own_weights_afterwards_whatever_happens(fails):
    model = Mixed()
    average = WeightAverage(model, decay=0.9)
    model.change(np.random.default_rng(0))
    average.update()
    own = model.state_dict()
    try:
        with average.applied():
            assert equal(model.state_dict(), average.state)
            assert not equal(own, average.state)
            model.mean += 1  # what evaluation does to the model stays in there
            if fails:
                raise RuntimeError("broken")
    except RuntimeError:
        assert fails
    assert equal(model.state_dict(), own)
    assert not np.array_equal(average.state["mean"], own["mean"] + 1)


def test_a_change_inside_applied_does_not_reach_the_averages():
    model = Mixed()
    average = WeightAverage(model, decay=0.9)
    kept = {name: array.copy() for name, array in average.state.items()}
    with average.applied():
        model.change(np.random.default_rng(0))
    assert equal(average.state, kept)


def test_a_model_without_weights_has_an_average_as_well():
    average = WeightAverage(nn.ReLU(), decay=0.9)
    average.update()
    assert average.state == {}


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan"), None])
def test_a_decay_that_would_keep_everything_or_diverge_is_refused(decay):
    with pytest.raises(ValueError, match=f"WeightAverage expects decay to be .* 0 to less than 1, got {decay}"):
        WeightAverage(nn.Linear(1, 1), decay)


def test_an_average_of_half_precision_reaches_what_it_is_of():
    model = nn.Linear(3, 2, dtype=np.float16)
    average = WeightAverage(model, decay=0.99)
    model.weight.data = np.full((2, 3), 1.3)
    for _ in range(2000):
        average.update()
    np.testing.assert_allclose(average.state["weight"], model.weight.data, rtol=1e-4)
    with average.applied():
        assert model.weight.dtype == np.float16


def test_averages_that_were_kept_in_half_precision_are_loaded():
    average = WeightAverage(nn.Linear(2, 1, dtype=np.float16), decay=0.9)
    average.load_state_dict({"state": {"weight": np.ones((1, 2), np.float16), "bias": np.zeros(1, np.float16)},
                             "updates": 3})
    assert average.state["weight"].dtype == np.float32
    assert average.updates == 3


def test_averages_without_a_count_of_updates_are_refused_and_nothing_changes():
    average = WeightAverage(nn.Linear(2, 1), decay=0.9)
    before = average.state_dict()
    other = {name: array + 1 for name, array in before["state"].items()}
    with pytest.raises(ValueError, match="WeightAverage expects updates to be an integer of at least 0, got 'few'"):
        average.load_state_dict({"state": other, "updates": "few"})
    assert equal(average.state, before["state"])


@pytest.mark.parametrize("shape", [(1, 3), (4, 3)])
def test_a_model_that_has_changed_since_has_no_average(shape):
    model = nn.Sequential(nn.Linear(3, 2))
    average = WeightAverage(model, decay=0.9)
    model[0].weight = Parameter(np.ones(shape, np.float32))
    with pytest.raises(ValueError, match=r"0.weight \(., 3\) is not what the average was made of"):
        average.update()
    model = nn.Linear(3, 2, bias=False)
    average = WeightAverage(model, decay=0.9)
    model.bias = Parameter(np.ones(2, np.float32))
    with pytest.raises(ValueError, match=r"bias \(2,\) is not what the average was made of"):
        average.update()
