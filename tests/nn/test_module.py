import numpy as np
import pytest

import nn
from minigrad import Tensor
from nn import Module, Parameter


class Scale(Module):
    def __init__(self, factor):
        self.factor = Parameter(factor)

    def forward(self, x):
        return x * self.factor


class Everything(Module):
    """One attribute of each kind that a module knows."""

    def __init__(self):
        self.linear = nn.Linear(3, 2)
        self.own = Parameter([1.0, 2.0])
        self.mean = np.array([0.5, 0.25])
        self.blocks = [Scale(3.0), nn.Sequential(Scale(4.0), nn.ReLU())]
        self.tensor = Tensor([7.0])
        self.size = 5
        self._hidden = Scale(6.0)


NAMES = ["own", "linear.weight", "linear.bias", "blocks.0.factor", "blocks.1.0.factor"]


class Pair(Module):
    def __init__(self, first, second):
        self.first, self.second = first, second


def test_parameters_are_found_in_attributes_and_in_lists_and_modules_below():
    assert [name for name, _ in Everything().named_parameters()] == NAMES


def test_buffers_are_the_arrays_and_nothing_else():
    model = Everything()
    assert [name for name, _ in model.named_buffers()] == ["mean"]
    assert dict(model.named_buffers())["mean"] is model.mean


def test_modules_are_named_by_the_path_that_leads_to_them():
    model = Everything()
    names = ["", "linear", "blocks.0", "blocks.1", "blocks.1.0", "blocks.1.1"]
    assert [name for name, _ in model.named_modules()] == names
    assert list(model.modules())[1] is model.linear


def test_a_shared_parameter_is_named_and_counted_once_and_saved_under_each_name():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    model = Pair(first, second)
    assert [name for name, _ in model.named_parameters()] == ["first.weight", "first.bias", "second.bias"]
    assert model.num_parameters() == 9 + 3 + 3
    assert list(model.state_dict()) == ["first.weight", "first.bias", "second.weight", "second.bias"]
    other = Pair(nn.Linear(3, 3), nn.Linear(3, 3))
    other.second.weight = other.first.weight
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other.second.weight.data, first.weight.data)


def test_a_shared_module_gives_its_parameters_once():
    scale = Scale(2.0)
    assert [name for name, _ in Pair(scale, scale).named_parameters()] == ["first.factor"]


def test_a_parameter_requires_gradients_unless_told_otherwise():
    assert Parameter([1.0]).requires_grad
    assert not Parameter([1.0], requires_grad=False).requires_grad


def test_modes_reach_every_module_below():
    model = Everything()
    assert all(module.training for module in model.modules())
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    assert Everything().linear.training, "the mode of one model is not that of others"
    model.linear.train()
    assert [module.training for module in model.modules()] == [False, True, False, False, False, False]
    assert model.train() is model
    assert all(module.training for module in model.modules())


def test_zero_grad_forgets_the_gradients_of_all_parameters():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    model(np.ones((1, 3), np.float32)).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_module_without_forward_says_so_when_called():
    with pytest.raises(TypeError, match=r"^Everything defines no forward\(\)$"):
        Everything()(1.0)


# ---------------------------------------------------------------- state


def test_a_state_comes_back_as_it_was():
    source, target = Everything(), Everything()
    source.mean[:] = [8, 9]
    state = source.state_dict()
    assert list(state) == [*NAMES, "mean"]
    mean = target.mean
    target.load_state_dict(state)
    for name, array in target.state_dict().items():
        np.testing.assert_array_equal(array, state[name], strict=True)
    assert target.mean is mean, "buffers are filled in place"


def test_a_state_is_a_copy_and_loading_copies_too():
    model = nn.Linear(3, 2)
    state = model.state_dict()
    kept = state["weight"].copy()
    model.weight.data = model.weight.data + 1
    np.testing.assert_array_equal(state["weight"], kept)
    model.load_state_dict(state)
    state["weight"][:] = 0
    np.testing.assert_array_equal(model.weight.data, kept)


def test_loaded_values_take_the_dtype_of_the_model():
    model = nn.Linear(3, 2)
    model.load_state_dict({"weight": np.ones((2, 3)), "bias": [1, 2]})
    assert model.weight.dtype == model.bias.dtype == np.float32
    np.testing.assert_array_equal(model.bias.data, [1, 2])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"mean": None}, "mean is missing"),
        ({"extra": np.ones(2)}, "extra is unknown to the model"),
        ({"mean": np.ones(3)}, "mean has shape (3,) instead of (2,)"),
        ({"linear.weight": np.ones((3, 2))}, "linear.weight has shape (3, 2) instead of (2, 3)"),
        ({"mean": np.array(["a", "b"])}, "mean has dtype <U1"),
        ({"mean": np.array([None, None])}, "mean has dtype object"),
    ],
)
def test_a_state_that_does_not_fit_is_named_and_nothing_is_written(change, fault):
    model = Everything()
    before = model.state_dict()
    state = {name: array + 1 for name, array in before.items()} | change
    with pytest.raises(ValueError, match="the state does not fit this Everything") as caught:
        model.load_state_dict({name: array for name, array in state.items() if array is not None})
    assert str(caught.value) == f"the state does not fit this Everything: {fault}"
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_all_faults_are_listed_in_one_sentence():
    with pytest.raises(ValueError, match=r"weight has shape .*, bias is missing, b is unknown"):
        nn.Linear(3, 2).load_state_dict({"weight": np.ones(3), "b": np.ones(2)})


def test_names_may_differ_when_not_strict_but_shapes_may_not():
    model = nn.Linear(3, 2)
    bias = model.bias.data.copy()
    model.load_state_dict({"weight": np.ones((2, 3)), "other": np.ones(5)}, strict=False)
    np.testing.assert_array_equal(model.weight.data, np.ones((2, 3)))
    np.testing.assert_array_equal(model.bias.data, bias)
    with pytest.raises(ValueError, match="weight has shape"):
        model.load_state_dict({"weight": np.ones((3, 2))}, strict=False)


# ---------------------------------------------------------------- repr


def test_the_repr_is_the_tree_with_parameter_counts():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 2, bias=False)))
    assert repr(model) == (
        "Sequential(  # 21 parameters\n"
        "  (0): Flatten()\n"
        "  (1): Linear(4, 3)  # 15 parameters\n"
        "  (2): Sequential(  # 6 parameters\n"
        "    (0): ReLU()\n"
        "    (1): Linear(3, 2, bias=False)  # 6 parameters\n"
        "  )\n"
        ")"
    )
    assert repr(nn.Dropout(0.25)) == "Dropout(p=0.25)"
