from dataclasses import dataclass

import numpy as np
import pytest

import nn
from minigrad.show.boxes import letters
from nn import Module, Parameter


class FakeEmbedding(Module):
    def __init__(self):
        self.num_embeddings = 7
        self.weight = Parameter(np.ones((7, 3), np.float32))

    def forward(self, index):
        return self.weight[index]


class Residual(Module):
    """Uses one layer twice, another never, and has a parameter of its own."""

    def __init__(self):
        self.linear, self.unused, self.scale = nn.Linear(4, 4), nn.Linear(2, 2), Parameter(np.ones(4, np.float32))

    def forward(self, x):
        return self.linear(self.linear(x)) * self.scale


def table(model, shape, dtype=np.float32):
    """The rows between heading and total, and the total, each a list of words."""
    heading, *rows = model.summary(shape, dtype).splitlines()
    assert heading.split() == ["layer", "type", "output", "parameters", "multiply-adds"]
    assert len({len(line) for line in [heading, *rows]}) == 1, "the columns are aligned"
    words = [row.replace(", ", ",").split() for row in rows]
    return words[:-1], words[-1]


def test_a_network_of_linear_layers_is_a_table_of_its_layers_in_order():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10, bias=False))
    rows, total = table(model, (28, 28))
    assert rows == [
        ["0", "Flatten", "(784,)", "0", "0"],
        ["1", "Linear", "(100,)", "78,500", "78,400"],
        ["2", "ReLU", "(100,)", "0", "0"],
        ["3", "Linear", "(10,)", "1,000", "1,000"],
    ]
    assert total == ["total", "79,500", "79,400"]
    assert model.num_parameters() == 79_500


def test_a_linear_layer_multiplies_at_each_position_but_those_of_the_batch():
    rows, _ = table(nn.Sequential(nn.Linear(3, 2)), (5, 4, 3))
    assert rows == [["0", "Linear", "(5,4,2)", "8", str(3 * 2 * 5 * 4)]]


def test_columns_are_aligned_beside_wide_letters():
    class 線形(nn.Linear):
        pass

    lines = nn.Sequential(線形(4, 4), nn.Linear(4, 2)).summary((4,)).splitlines()
    assert len({letters(line) for line in lines}) == 1


def test_a_layer_of_several_outputs_is_told_by_the_first():
    class Split(nn.Linear):
        def forward(self, x):
            y = super().forward(x)
            return {"all": (y, y.sum())}

    rows, _ = table(Split(3, 2), (5, 3))
    assert [row[-3:] for row in rows] == [["(5,2)", "8", str(3 * 2 * 5)]]


def test_a_convolution_multiplies_its_weight_at_each_pixel_of_the_output():
    rows, _ = table(nn.Sequential(nn.Conv2d(3, 8, 5, padding=2)), (3, 16, 16))
    assert rows == [["0", "Conv2d", "(8,16,16)", "608", "153,600"]]
    assert 153_600 == 8 * 3 * 5 * 5 * 16 * 16


def test_an_embedding_multiplies_nothing_and_takes_integers():
    rows, _ = table(nn.Sequential(FakeEmbedding(), nn.Linear(3, 2)), (5,), np.int64)
    assert rows == [["0", "FakeEmbedding", "(5,3)", "21", "0"], ["1", "Linear", "(5,2)", "8", "30"]]


def test_a_layer_that_is_used_twice_costs_twice_but_its_parameters_count_once():
    rows, total = table(Residual(), (4,))
    assert rows == [["linear", "Linear", "(4,)", "20", "16"], ["linear", "Linear", "(4,)", "0", "16"]]
    assert total == ["total", "30", "32"], "with those of the layer that is not used and of the model itself"


def test_a_shared_layer_goes_by_its_first_name():
    relu = nn.ReLU()
    rows, _ = table(nn.Sequential(nn.Linear(2, 2), relu, nn.Linear(2, 2), relu), (2,))
    assert [row[0] for row in rows] == ["0", "1", "2", "1"]


def test_a_single_layer_is_a_model_too():
    rows, total = table(nn.Linear(3, 2), (3,))
    assert rows == [["Linear", "(2,)", "8", "6"]]
    assert total == ["total", "8", "6"]


class Moody(Module):
    """Changes its buffer while training, and may fail; records the graph if it is asked to."""

    def __init__(self, fails):
        self.fails, self.seen, self.weight = fails, np.zeros(2), Parameter([1.0, 2.0])

    def forward(self, x):
        if self.training:
            self.seen += 1
        if self.fails:
            raise RuntimeError("broken")
        out = x * self.weight
        assert not out.requires_grad
        return out


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_afterwards_as_it_was_whatever_happens(fails):
    own = []
    relu = nn.ReLU()
    relu.forward = lambda x: own.append(x.shape) or x  # a layer with a forward of its own
    kept = relu.forward
    model = nn.Sequential(nn.Linear(2, 2), relu, nn.Dropout(0.5), Moody(fails))
    model[2].eval()
    nn.manual_seed(3)
    attributes = [dict(vars(module)) for module in model.modules()]
    state, modes = model.state_dict(), [module.training for module in model.modules()]
    if fails:
        with pytest.raises(RuntimeError, match="broken"):
            model.summary((2,))
    else:
        model.summary((2,))
    assert own == [(1, 2)]
    assert relu.forward is kept
    assert [module.training for module in model.modules()] == modes
    for module, before in zip(model.modules(), attributes, strict=True):
        assert vars(module).keys() - {"training"} == before.keys() - {"training"}
        assert all(vars(module)[name] is value for name, value in before.items())
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    assert nn.default_generator().random() == np.random.default_rng(3).random(), "nothing was drawn"


def test_an_input_that_does_not_fit_is_the_sentence_of_the_layer():
    with pytest.raises(ValueError, match=r"Linear expects inputs of shape \(..., 4\), got \(1, 3\)"):
        nn.Sequential(nn.Linear(4, 2)).summary((3,))


def test_a_norm_multiplies_no_matrices():
    assert nn.LayerNorm((3, 4)).summary((3, 4)).splitlines()[-1].split() == ["total", "24", "0"]


class Heads(Module):
    """Holds layers in a dict, weights in a list, and hands inputs on by name."""

    def __init__(self):
        self.heads = {"left": nn.Linear(4, 2), "right": Scaled()}

    def forward(self, x):
        return self.heads["left"](x=x) + self.heads["right"](x=x)


class Scaled(Module):
    def __init__(self):
        self.weight = [Parameter(np.ones(2, np.float32)), Parameter(np.ones(2, np.float32))]

    def forward(self, x):
        return x[:, :2] * self.weight[0] + self.weight[1]


def test_layers_in_containers_are_rows_and_weights_in_containers_are_counted():
    rows, total = table(Heads(), (4,))
    assert rows == [["heads.left", "Linear", "(2,)", "10", "8"], ["heads.right", "Scaled", "(2,)", "4", "0"]]
    assert total == ["total", "14", "8"]


def test_layers_that_are_equal_by_value_are_different_layers():
    @dataclass
    class Shift(Module):
        by: float

        def forward(self, x):
            return x + self.by

    rows, _ = table(nn.Sequential(Shift(1.0), Shift(1.0)), (2,))
    assert [row[:2] for row in rows] == [["0", "Shift"], ["1", "Shift"]]


def test_tied_weights_count_where_they_are_first_used():
    first, second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    second.weight = first.weight
    rows, total = table(nn.Sequential(first, second), (3,))
    assert [row[3] for row in rows] == ["9", "0"]
    assert total == ["total", "9", "18"]


def test_a_model_that_knows_its_layers_parent_has_a_summary():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model[0].parent = model
    assert [row[0] for row in table(model, (2,))[0]] == ["0", "1"]


@pytest.mark.parametrize("shape", [4, None, "ab", (2.5,), [-1], ("4",)])
def test_a_shape_that_is_none_is_refused_in_a_sentence(shape):
    with pytest.raises(TypeError, match="summary expects input_shape to be that of one sample, such as"):
        nn.Linear(4, 2).summary(shape)
