from collections import ChainMap, OrderedDict, UserDict, UserList, defaultdict, deque, namedtuple
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nn
from minigrad import Tensor
from minigrad.recording import recording
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


class OwnTrain(Module):
    """Counts how often it is told a mode; then `turn` puts modules below into modes of its own choice."""

    def __init__(self, *parts, turn=lambda parts: None):
        self.parts, self._turn, self.calls = list(parts), turn, 0

    def train(self, mode=True):
        self.calls += 1
        super().train(mode)
        self._turn(self.parts)
        return self


def test_a_module_with_a_train_of_its_own_decides_for_those_below_that_have_one_too():
    body = OwnTrain(nn.Dropout(), turn=lambda parts: parts[0].train())
    outer = OwnTrain(body, nn.Dropout(), turn=lambda parts: parts[0].eval() and parts[0].parts[0].eval())
    model = nn.Sequential(outer, nn.Dropout())
    modes = {outer: True, body: False, body.parts[0]: False, outer.parts[1]: True, model[1]: True}
    for _ in range(2):
        model.train()
        assert {module: module.training for module in modes} == modes


def test_nested_trains_are_called_once_each():
    nested = [OwnTrain(nn.Dropout())]
    for _ in range(9):
        nested.append(OwnTrain(nested[-1]))
    nn.Sequential(nested[-1]).eval()
    assert [module.calls for module in nested] == [1] * 10
    assert not nested[0].parts[0].training


@pytest.mark.parametrize("kind", [lambda a, b: [a, b], lambda a, b: [b, a]])
def test_a_shared_module_is_in_the_mode_that_a_train_of_its_own_above_it_decides(kind):
    shared = nn.Dropout()
    nn.Sequential(*kind(shared, OwnTrain(shared, turn=lambda parts: parts[0].eval()))).train()
    assert not shared.training


def test_a_mode_reaches_every_module_of_a_cycle_and_a_train_of_its_own_once():
    own = OwnTrain(nn.Dropout())
    model = nn.Sequential(own, nn.Dropout())
    own.parts.append(model)
    model.eval()
    assert own.calls == 1
    assert not any(module.training for module in model.modules())


def test_inputs_reach_forward_by_position_and_by_name():
    class Weighted(Module):
        def forward(self, x, scale=1.0, *, shift=0.0):
            return x * scale + shift

    module = Weighted()
    assert [module(2.0), module(2.0, 3.0), module(2.0, shift=1.0), module(x=2.0, scale=3.0)] == [2, 6, 3, 6]
    with pytest.raises(TypeError, match="unexpected keyword argument 'slope'"):
        module(2.0, slope=1.0)
    logits, labels = np.zeros((1, 2)), np.array([0])
    assert nn.CrossEntropyLoss()(logits, target=labels).item() == pytest.approx(np.log(2))


def test_zero_grad_forgets_the_gradients_of_all_parameters():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    model(np.ones((1, 3), np.float32)).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_gradients_can_be_filled_with_zeros_where_there_are_some():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    model[1](np.ones((1, 2), np.float32)).backward()
    before = model[1].weight.grad
    kept = before.numpy().copy()
    model.zero_grad(set_to_none=False)
    assert model[0].weight.grad is None
    np.testing.assert_array_equal(model[1].weight.grad.numpy(), np.zeros((1, 2), np.float32), strict=True)
    np.testing.assert_array_equal(before.numpy(), kept)


def test_all_parameters_below_can_be_frozen_and_thawed():
    model = Everything()
    assert model.linear.requires_grad_(False) is model.linear
    assert [p.requires_grad for p in model.parameters()] == [True, False, False, True, True]
    model.requires_grad_()
    assert all(p.requires_grad for p in model.parameters())


def test_a_module_without_forward_says_so_when_called():
    with pytest.raises(TypeError, match=r"^Everything defines no forward\(\)$"):
        Everything()(1.0)


# ---------------------------------------------------------------- containers

Ends = namedtuple("Ends", "first last")


class Container(Module):
    def __init__(self, items):
        self.items = items


def trees(leaves, keys):
    """(container of leaves, the leaves by name): nested lists, tuples and dicts with other things among the leaves."""
    rest = st.sampled_from([None, 3, "text", 2.5, (), Tensor([1.0]), np.float32(1), range(3), len])

    def listed(inner, make):
        return inner.map(lambda items: (make([x for x, _ in items]), {
            f"{i}.{name}".rstrip("."): leaf for i, (_, found) in enumerate(items) for name, leaf in found.items()
        }))

    def named(inner, make):
        return inner.map(lambda items: (make({key: x for key, (x, _) in items.items()}), {
            f"{key}.{name}".rstrip("."): leaf for key, (_, found) in items.items() for name, leaf in found.items()
        }))

    ends = leaves.map(lambda leaf: (leaf, {"": leaf})) | rest.map(lambda thing: (thing, {}))
    return st.recursive(
        ends,
        lambda inner: st.one_of(
            *(listed(st.lists(inner, max_size=3), make) for make in (list, tuple)),
            listed(st.lists(inner, min_size=2, max_size=2), lambda items: Ends(*items)),
            *(named(st.dictionaries(keys, inner, max_size=3), make) for make in (dict, OrderedDict)),
            named(st.dictionaries(keys, inner, max_size=3), lambda items: defaultdict(list, items)),
        ),
        max_leaves=8,
    )


numbers = st.integers(1, 99).map(float)
LEAVES = {  # what a model consists of, and the attribute of the innermost thing that holds the number
    "parameter": (numbers.map(lambda x: Parameter([x])), ""),
    "buffer": (numbers.map(lambda x: np.array([x])), ""),
    "module": (numbers.map(Scale), ".factor"),
}
keys = st.text(st.characters(exclude_characters="."), min_size=1, max_size=3) | st.sampled_from(["_hidden", "training"])


@pytest.mark.parametrize("kind", LEAVES)
@given(data=st.data())
def test_what_is_in_nested_lists_tuples_and_dicts_is_named_trained_saved_and_put_into_evaluation_mode(kind, data):
    leaves, inner = LEAVES[kind]
    items, found = data.draw(trees(leaves, keys))
    model = Container(items)
    expected = {f"items.{name}".rstrip(".") + inner: leaf for name, leaf in found.items()}
    held = {name: leaf.factor if kind == "module" else leaf for name, leaf in expected.items()}
    named = model.named_buffers if kind == "buffer" else model.named_parameters
    ids = [(name, id(part)) for name, part in held.items()]
    assert [(name, id(part)) for name, part in named(remove_duplicate=False)] == ids
    assert [id(part) for _, part in named()] == [*dict.fromkeys(map(id, held.values()))]
    model.eval()
    assert not any(leaf.training for leaf in found.values() if kind == "module")
    state = model.state_dict()
    assert list(state) == list(held)
    model.load_state_dict({name: array + 1 for name, array in state.items()})
    for name, part in held.items():
        np.testing.assert_array_equal(getattr(part, "data", part) if kind != "buffer" else part, state[name] + 1)
    repr(model)


def test_parts_of_containers_are_named_as_in_the_modules_that_take_their_place_in_pytorch():
    class Model(Module):
        def __init__(self):
            self.blocks = [Scale(1.0), (Scale(2.0), {"deep": Scale(3.0)})]
            self.heads = {"left": nn.Linear(1, 1), "right": nn.Linear(1, 1, bias=False)}
            self.scales = [Parameter([1.0]), Parameter([2.0])]
            self.means = {"image": np.zeros(2)}

    model = Model()
    assert [name for name, _ in model.named_parameters()] == [
        "scales.0", "scales.1", "blocks.0.factor", "blocks.1.0.factor", "blocks.1.1.deep.factor",
        "heads.left.weight", "heads.left.bias", "heads.right.weight",
    ]
    assert [name for name, _ in model.named_buffers()] == ["means.image"]
    assert [name for name, _ in model.named_children()] == [
        "blocks.0", "blocks.1.0", "blocks.1.1.deep", "heads.left", "heads.right"
    ]
    assert "(heads.left): Linear(1, 1)  # 2 parameters" in repr(model)
    optimizer = nn.optim.SGD(model.parameters(), lr=1.0)
    sum((p.sum() for p in model.parameters()), Tensor(0.0)).backward()
    before = model.state_dict()
    optimizer.step()
    assert all((array == before[name] - 1).all() for name, array in model.state_dict().items() if name != "means.image")


def object_array(x):
    array = np.empty((2, 1), object)
    array[1, 0] = x
    return array


@pytest.mark.parametrize("part", [Parameter([1.0]), Scale(1.0)], ids=["Parameter", "Scale"])
@pytest.mark.parametrize(
    "hold",
    [
        lambda x: {x}, lambda x: frozenset([x]), lambda x: deque([x]), lambda x: UserList([x]),
        lambda x: UserDict(a=x), lambda x: ChainMap({"a": x}), lambda x: MappingProxyType({"a": x}),
        lambda x: {"a": x}.values(), lambda x: {"a": x}.items(), lambda x: {x: 1}.keys(),
        lambda x: SimpleNamespace(a=x), lambda x: Plan(x), object_array,
        lambda x: deque([[{"a": (x,)}]]), lambda x: {(1, x)},
    ],
)
@pytest.mark.parametrize("look", [Module.train, Module.state_dict, lambda model: list(model.parameters()), repr])
def test_a_container_that_gives_no_names_must_not_hold_parameters_or_modules(look, hold, part):
    held = hold(part)
    model = Container([held, 3])
    with pytest.raises(TypeError, match="in it, where a model does not find it: keep it in a list") as caught:
        look(model)
    assert str(caught.value).startswith(
        f"Container.items.0 is a {type(held).__name__} with a {type(part).__name__} in it"
    )
    model._items = vars(model).pop("items")
    assert list(model.parameters()) == []


@dataclass(eq=False)
class Plan:
    module: object


@pytest.mark.parametrize("items", [{1, 2}, deque([np.ones(2)]), Plan(3), Plan, UserDict(a=np.ones(1)), range(3)])
def test_other_containers_of_other_things_are_left_alone(items):
    model = Container(items)
    assert list(model.parameters()) == list(model.named_buffers()) == []
    assert model.eval().state_dict() == {}


class Color(str, Enum):  # noqa: UP042 (its str() is another string than itself)
    RED = "red"


@pytest.mark.parametrize("part", [Parameter([1.0]), Scale(1.0), np.ones(1), [nn.ReLU()]])
@pytest.mark.parametrize("key", [3, "a.b", ".", "", None, ("a",), 2.5])
def test_what_is_no_name_is_refused_as_one_where_it_names_a_part(key, part):
    assert Container({"x": {key: 3}}).state_dict() == {}
    with pytest.raises(TypeError, match=r"Container\.items\.x has a "):
        Container({"x": {key: part}}).eval().state_dict()
    model = Module()
    vars(model)["a.b"] = part
    with pytest.raises(TypeError, match=r"has a \w+ under the name 'a.b': parts of a model have strings without dots"):
        model.eval().state_dict()


def test_a_key_that_is_a_string_and_more_names_by_its_string():
    assert list(Container({Color.RED: Parameter([1.0])}).state_dict()) == ["items.red"]


def test_a_module_that_holds_what_it_is_part_of_ends():
    model = Pair(nn.Linear(1, 1), Scale(2.0))
    model.second.parent = model
    model.second.all = [model.first, model.second, model]
    names = ["first.weight", "first.bias", "second.factor"]
    assert [name for name, _ in model.named_modules()] == ["", "first", "second"]
    assert [name for name, _ in model.named_parameters()] == names
    assert list(model.state_dict()) == ["first.weight", "first.bias", "second.factor",
                                        "second.all.0.weight", "second.all.0.bias"]
    model.load_state_dict(model.state_dict())
    assert not any(module.training for module in model.eval().modules())
    assert repr(model).count("...") == 3
    assert model.num_parameters() == 3


def test_a_container_that_holds_itself_is_looked_into_once():
    items = [Parameter([1.0])]
    items += [items, {"again": items}, deque([items])]
    assert list(Container(items).state_dict()) == ["items.0"]
    loop = deque()
    loop.append([loop])
    assert Container(loop).state_dict() == {}


def test_a_model_may_be_changed_while_it_is_walked():
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    for module in model.modules():
        module.note = np.ones(1)
    assert sum(name.endswith("note") for name, _ in model.named_buffers()) == 3


# ---------------------------------------------------------------- several names of one thing


def tied():
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.weight = first.weight
    return Pair(first, [second, first])


def test_what_has_several_names_is_given_once_by_the_first_or_under_each():
    model = tied()
    assert [name for name, _ in model.named_modules()] == ["", "first", "second.0"]
    assert [name for name, _ in model.named_modules(remove_duplicate=False)] == ["", "first", "second.0", "second.1"]
    assert [name for name, _ in model.named_parameters()] == ["first.weight", "first.bias", "second.0.bias"]
    assert [name for name, _ in model.named_parameters(remove_duplicate=False)] == [
        "first.weight", "first.bias", "second.0.weight", "second.0.bias", "second.1.weight", "second.1.bias"
    ]
    assert len(list(model.modules())) == 3
    assert len(list(model.modules(remove_duplicate=False))) == 4
    assert len(list(model.children())) == 2


def test_a_prefix_is_put_before_names_and_the_modules_below_can_be_left_out():
    model = Everything()
    assert [name for name, _ in model.named_parameters("net", recurse=False)] == ["net.own"]
    assert [name for name, _ in model.named_parameters(prefix="net")] == [f"net.{name}" for name in NAMES]
    assert [name for name, _ in model.named_buffers("net")] == ["net.mean"]
    assert [name for name, _ in model.named_modules(prefix="net")][:2] == ["net", "net.linear"]
    assert [p is model.own for p in model.parameters(recurse=False)] == [True]
    assert [b is model.mean for b in model.buffers()] == [True]
    assert list(model.linear.buffers(recurse=False)) == []
    other = {"before": np.ones(1)}
    state = model.state_dict(destination=other, prefix="net.")
    assert state is other
    assert list(other) == ["before", *(f"net.{name}" for name in NAMES), "net.mean"]


def test_one_of_the_names_is_enough_to_load_what_has_several():
    model = tied()
    state = {name: array + 1 for name, array in model.state_dict().items()}
    for left_out in (["first.weight", "second.1.bias"], ["second.0.weight", "second.1.weight", "first.bias"]):
        other = tied()
        assert other.load_state_dict({n: x for n, x in state.items() if n not in left_out}) == ([], [])
        for name, array in other.state_dict().items():
            np.testing.assert_array_equal(array, state[name])
    everywhere = [name for name in state if name.endswith("weight")]
    with pytest.raises(ValueError, match=r"first.weight is missing, second.0.weight is missing, second.1.weight is "):
        tied().load_state_dict({name: array for name, array in state.items() if name not in everywhere})


def test_different_values_for_one_thing_are_refused_and_nothing_is_written():
    model = tied()
    before = model.state_dict()
    state = {name: array + 1 for name, array in before.items()} | {"second.0.weight": np.zeros((2, 2))}
    for strict in (True, False):
        with pytest.raises(ValueError, match="state does not fit this Pair") as caught:
            model.load_state_dict(state, strict=strict)
        assert str(caught.value).endswith(": second.0.weight differs from first.weight, which is the same array here")
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    nans = {name: np.full_like(array, np.nan) for name, array in before.items()}
    model.load_state_dict(nans)


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
        ({"linear.weight": np.full((2, 3), 1e300)}, "linear.weight has numbers that float32 cannot hold"),
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


def test_an_array_that_cannot_be_written_into_is_named_before_anything_is_written():
    model = Everything()
    model.first, model.last = Parameter([1.0]), np.broadcast_to(2.0, 3)
    with pytest.raises(ValueError, match="last is a read-only array here"):
        model.load_state_dict({name: array + 1 for name, array in model.state_dict().items()})
    assert model.first.item() == 1


def test_all_faults_are_listed_in_one_sentence():
    with pytest.raises(ValueError, match=r"weight has shape .*, bias is missing, b is unknown"):
        nn.Linear(3, 2).load_state_dict({"weight": np.ones(3), "b": np.ones(2)})


def test_names_may_differ_when_not_strict_but_shapes_may_not():
    model = nn.Linear(3, 2)
    bias = model.bias.data.copy()
    unmatched = model.load_state_dict({"weight": np.ones((2, 3)), "other": np.ones(5)}, strict=False)
    assert (unmatched.missing_keys, unmatched.unexpected_keys) == (["bias"], ["other"])
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


# ------------------------------------------------------------------------------------------------ what is elsewhere


@pytest.mark.parametrize(("name", "sentence"), [
    ("register_buffer", "a module has no register_buffer: write self.name = array"),
    ("to", "a module has no to: leave it out, all is on the CPU; give layers their dtype when they are made"),
    ("register_forward_hook", "a module has no register_forward_hook: write a module whose forward does something"),
    ("apply", r"a module has no apply: write for module in model.modules\(\): function\(module\)"),
    ("get_submodule", r"a module has no get_submodule: write dict\(model.named_modules\(\)\)\[name\]"),
])
def test_a_method_of_pytorch_that_there_is_not_says_what_to_do(name, sentence):
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(AttributeError, match=sentence):
        getattr(model, name)
    assert not hasattr(model, name)


def test_a_class_may_have_those_methods_and_attributes_itself():
    class Own(nn.Module):
        def __init__(self):
            self.half = nn.Linear(2, 2)

        def to(self, device):
            return device

    assert Own().to("moon") == "moon"
    assert [*Own().state_dict()] == ["half.weight", "half.bias"]
    assert [*nn.Sequential({"half": nn.Linear(2, 2)}).state_dict()] == ["half.weight", "half.bias"]


# ------------------------------------------------------------------------------------------------ who watches


def test_what_a_module_records_belongs_to_its_path_and_to_the_users_line():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = {"first": nn.Linear(3, 3), "rest": [nn.ReLU(), nn.Linear(3, 2)]}

        def forward(self, x):
            first, (relu, last) = self.layers.values()
            return last(relu(first(x))) * 2.0

    model = nn.Sequential(nn.Linear(3, 3), Block())
    events = []
    with recording(events.append):
        model(np.ones((4, 3)))
    assert [event.scope for event in events] == ["0", "1.layers.first", "1.layers.rest.0", "1.layers.rest.1", "1"]
    assert {event.place.file for event in events} == {__file__}
    with recording(events.append), pytest.raises(ValueError, match="Linear expects"):
        model(np.ones((4, 2)))
    events.clear()
    with recording(events.append):
        model[1](np.ones((4, 3)))
    assert events[0].scope == "layers.first"


# ---------------------------------------------------------------- states that are none, or of numbers out of range


@pytest.mark.parametrize(
    ("number", "taken"), [(3.0, 3), (np.uint8(3), 3), (2.5, None), (np.nan, None), (np.inf, None), (2**64 - 1, None)]
)
def test_a_count_is_loaded_from_whole_numbers_that_it_can_hold_and_from_nothing_else(number, taken):
    layer = nn.BatchNorm1d(2)
    state = layer.state_dict() | {"num_batches_tracked": np.array(number)}
    if taken is not None:
        layer.load_state_dict(state)
    else:
        with pytest.raises(ValueError, match="num_batches_tracked has numbers that int64 cannot hold"):
            layer.load_state_dict(state)
    assert layer.num_batches_tracked == (taken or 0)


def test_what_is_loaded_may_be_rounded_and_be_infinite():
    model = nn.Linear(2, 1, dtype=np.float16)
    model.load_state_dict({"weight": np.array([[0.1, np.inf]]), "bias": np.array([np.nan])})
    np.testing.assert_array_equal(model.weight.data, np.array([[0.1, np.inf]], np.float16))


def test_buffers_that_hold_no_numbers_are_loaded_from_their_own_kind():
    model = nn.Module()
    model.names = np.array(["shirt", "bag"])
    model.load_state_dict({"names": np.array(["shoe!", "hat"])[[1, 0]]})
    assert model.names.tolist() == ["hat", "shoe!"]
    with pytest.raises(ValueError, match="names has dtype <U9"):
        model.load_state_dict({"names": np.array(["a handbag", "hat"])})


@pytest.mark.parametrize("state", [None, [np.ones(2)], "weights.npz"])
def test_a_state_that_is_no_dict_is_refused_by_its_type(state):
    with pytest.raises(TypeError, match=f"a state is a dict of arrays by name, got a {type(state).__name__}"):
        nn.Linear(2, 2).load_state_dict(state)


@pytest.mark.parametrize("value", [[[1.0], [2.0, 3.0]], Parameter([1.0, 2.0])])
def test_what_cannot_be_made_an_array_is_named(value):
    with pytest.raises(ValueError, match="bias cannot be made an array: "):
        nn.Linear(2, 2).load_state_dict({"weight": np.ones((2, 2)), "bias": value})
