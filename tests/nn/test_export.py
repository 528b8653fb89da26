"""ONNX files against the models they were written from, in two runtimes that are not ours."""

import json

import numpy as np
import pytest

import minigrad as mg
import nn
from nn import layers
from nn.augmentation import Compose
from nn.data import Normalize
from nn.export import CONVERTERS, export_onnx
from nn.fashion.models import build
from nn.fashion.recipes import RECIPES

onnx = pytest.importorskip("onnx")
reference = pytest.importorskip("onnx.reference")
onnxruntime = pytest.importorskip("onnxruntime")

ATOL, RTOL = 2e-5, 2e-5  # float32, after sums of up to a thousand products


def results(path, x):
    """What the reference evaluator and onnxruntime make of a file."""
    ours = reference.ReferenceEvaluator(str(path)).run(None, {"input": x})
    return ours[0], onnxruntime.InferenceSession(path).run(None, {"input": x})[0]


def assert_same(model, shape, path, x, **options):
    model.eval()
    expected = mg.as_tensor(model(x)).numpy()
    export_onnx(model, path, shape, **options)
    for found in results(path, x):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=RTOL, atol=ATOL, strict=True)


def trained(module, rng):
    """The module with numbers in its weights and statistics that are not those it starts with."""
    for parameter in module.parameters():
        parameter.data = rng.normal(0.3, 0.5, parameter.shape).astype(np.float32)
    for name, buffer in module.named_buffers():
        buffer[...] = rng.uniform(0.5, 2, buffer.shape) if "num_batches" not in name else 3
    return module


IMAGES, ROWS = (4, 9, 8), (6,)
LAYERS = [
    *[(make, ROWS) for make in (
        nn.ReLU, nn.Sigmoid, nn.Tanh, nn.SiLU, nn.LeakyReLU, lambda: nn.LeakyReLU(0.3), nn.ELU, lambda: nn.ELU(0.5),
        nn.GELU, lambda: nn.GELU("tanh"), nn.Softplus, lambda: nn.Softplus(2.5), lambda: nn.Softmax(-1),
        lambda: nn.LogSoftmax(1), nn.Identity, nn.Dropout, lambda: nn.Linear(6, 3), lambda: nn.Linear(6, 3, bias=False),
        lambda: nn.BatchNorm1d(6), lambda: nn.BatchNorm1d(6, affine=False, eps=1e-2), lambda: nn.LayerNorm(6),
        lambda: nn.LayerNorm(6, elementwise_affine=False), lambda: nn.LayerNorm(6, bias=False),
        lambda: nn.GroupNorm(3, 6), lambda: nn.Residual(nn.Linear(6, 6)),
        lambda: nn.Residual(nn.Linear(6, 2), nn.Linear(6, 2)), lambda: nn.Unflatten(1, (2, -1)),
        lambda: nn.Sequential({"first": nn.Linear(6, 5), "second": nn.ReLU()}), nn.Sequential,
    )],
    *[(make, IMAGES) for make in (
        lambda: nn.MirrorAverage(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(288), nn.Linear(288, 3))),
        lambda: nn.MirrorAverage(nn.Sequential(nn.Flatten(), nn.Linear(288, 3))).eval(),
        nn.Flatten, lambda: nn.Flatten(0, 2), lambda: nn.Flatten(2), lambda: nn.Flatten(-2, -1), nn.Dropout2d,
        lambda: nn.Softmax(1), lambda: nn.Linear(8, 3), lambda: nn.BatchNorm2d(4), lambda: nn.LayerNorm((9, 8)),
        lambda: nn.GroupNorm(2, 4), lambda: nn.GroupNorm(4, 4, affine=False),
        lambda: nn.Conv2d(4, 5, 3), lambda: nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), groups=2),
        lambda: nn.Conv2d(4, 5, 4, padding="same", bias=False), lambda: nn.Conv2d(4, 5, 3, padding="valid"),
        lambda: nn.Conv2d(4, 5, 3, padding=2, padding_mode="reflect"),
        lambda: nn.Conv2d(4, 5, 3, padding=(1, 2), padding_mode="circular", stride=2),
        lambda: nn.Conv2d(4, 5, 4, padding="same", padding_mode="replicate"),
        lambda: nn.MaxPool2d(2), lambda: nn.MaxPool2d(3, 2, 1), lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
        lambda: nn.MaxPool2d((3, 2), (3, 3), (1, 1), 2, ceil_mode=True),
        lambda: nn.MaxPool2d(2, dilation=2, padding=1, ceil_mode=True), lambda: nn.MaxPool2d(1, 5, 0, ceil_mode=True),
        lambda: nn.AvgPool2d(2), lambda: nn.AvgPool2d(3, 2, 1), lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True),
        lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), lambda: nn.AvgPool2d(4, 3, ceil_mode=True),
        lambda: nn.AvgPool2d(3, 2, 1, True, False), lambda: nn.AvgPool2d(3, 2, 1, divisor_override=5),
        lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, divisor_override=5),
        lambda: nn.AdaptiveAvgPool2d(1), lambda: nn.AdaptiveAvgPool2d((3, 4)), lambda: nn.AdaptiveAvgPool2d((4, None)),
        lambda: nn.AdaptiveMaxPool2d(1), lambda: nn.AdaptiveMaxPool2d((3, 4)), lambda: nn.AdaptiveMaxPool2d((4, 5)),
    )],
]


@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=[str(make()).split("  #")[0] for make, _ in LAYERS])
@pytest.mark.parametrize("samples", [1, 5])
def test_a_layer_gives_what_its_file_gives(make, shape, samples, tmp_path):
    rng = np.random.default_rng(7)
    x = rng.normal(size=(samples, *shape)).astype(np.float32)
    assert_same(trained(make(), rng), shape, tmp_path / "layer.onnx", x)


def test_every_layer_that_a_model_can_have_is_written():
    containers = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)  # they have no forward()
    kinds = [kind for kind in vars(layers).values() if isinstance(kind, type) and issubclass(kind, nn.Module)]
    others = {kind for kind in kinds if kind.__module__ == "nn.layers.loss" or kind in containers}
    assert len(kinds) > len(others) + 25
    assert [kind.__name__ for kind in kinds if kind not in others and not issubclass(kind, tuple(CONVERTERS))] == []


def test_numbers_that_are_looked_up_are_integers(tmp_path):
    model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 3), nn.Flatten(), nn.Linear(15, 2))
    x = np.array([[0, 1, 2, 3, 6], [6, 5, 4, 3, 2]])
    assert_same(model, (5,), tmp_path / "words.onnx", x)


@pytest.mark.parametrize("name", [name for name in RECIPES if "article-" not in name])
def test_the_network_of_every_recipe_is_written(name, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 28, 28)).astype(np.float32)
    nn.manual_seed(0)
    assert_same(build(RECIPES[name].architecture), (28, 28), tmp_path / "recipe.onnx", x)


def test_preprocessing_and_metadata_travel_along(tmp_path):
    rng = np.random.default_rng(1)
    model, path = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Softmax(1)), tmp_path / "bytes.onnx"
    images = rng.integers(0, 256, (6, 2, 2), np.uint8)
    transform = Normalize(0.3, 0.4)
    export_onnx(model, path, (2, 2), transform=transform, metadata={"classes": ["a", "b"], "licence": "MIT"})
    expected = model(transform(images)[0]).numpy()
    for found in results(path, images):
        np.testing.assert_allclose(found, expected, rtol=RTOL, atol=ATOL)
    said = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(said["classes"]) == ["a", "b"]
    assert said["licence"] == "MIT"


def test_shared_weights_are_written_once_and_the_model_stays_in_its_mode(tmp_path):
    layer = nn.Linear(6, 6)
    model = nn.Sequential(layer, nn.Dropout(0.9), layer)
    model.train()
    x = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
    export_onnx(model, tmp_path / "tied.onnx", (6,))
    np.testing.assert_allclose(results(tmp_path / "tied.onnx", x)[0], layer(layer(x)).numpy(), rtol=RTOL, atol=ATOL)
    assert [constant.name for constant in onnx.load(tmp_path / "tied.onnx").graph.initializer] == ["0.weight", "0.bias"]
    assert model.training
    assert model[1].training


def test_the_opset_and_the_free_batch_axis_are_those_deployers_expect(tmp_path):
    export_onnx(nn.Linear(6, 2), tmp_path / "linear.onnx", (6,))
    file = onnx.load(tmp_path / "linear.onnx")
    assert [(opset.domain, opset.version) for opset in file.opset_import] == [("", 18)]
    (given,), (result,) = file.graph.input, file.graph.output
    assert (given.name, result.name) == ("input", "output")
    for value, features in ((given, 6), (result, 2)):
        batch, last = value.type.tensor_type.shape.dim
        assert (batch.dim_param, last.dim_value) == ("batch", features)


class Doubled(nn.ReLU):
    def forward(self, x):
        return super().forward(x) * 2


class Tree(nn.Module):
    def __init__(self):
        self.trunk = nn.Linear(2, 2)

    def forward(self, x):
        return self.trunk(x)


@pytest.mark.parametrize("module", [Doubled(), Tree(), nn.ModuleList([nn.ReLU()])])
def test_a_module_with_a_forward_of_its_own_is_refused_by_name(module, tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), module)
    with pytest.raises(TypeError, match=f"does not know what {type(module).__name__} at '1' does: build"):
        export_onnx(model, tmp_path / "own.onnx", (2,))
    assert not (tmp_path / "own.onnx").exists()


def test_what_does_not_fit_is_refused_and_writes_nothing(tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(ValueError, match="Linear expects"):
        export_onnx(nn.Linear(3, 2), path, (4,))
    with pytest.raises(ValueError, match="needs the running statistics of the batch norm at '0'"):
        export_onnx(nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False)), path, (3,))
    assert not path.exists()
    with pytest.raises(nn.FileError):
        export_onnx(nn.Linear(3, 2), tmp_path, (3,))
    with pytest.raises(TypeError, match=r"export_onnx expects input_shape to be that of one sample, .* got 3"):
        export_onnx(nn.Linear(3, 2), path, 3)


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2, dtype=np.float64)), {}),
        (nn.Linear(3, 2), {"dtype": np.float64}),
        (nn.Linear(3, 2, dtype=np.float16), {"transform": Normalize()}),
    ],
)
def test_different_dtypes_in_one_model_are_refused_in_a_sentence(model, settings, tmp_path):
    with pytest.raises(ValueError, match=r"ONNX cannot express this model: .*B has inconsistent type tensor"):
        export_onnx(model, tmp_path / "x.onnx", (3,), **settings)
    assert not (tmp_path / "x.onnx").exists()


def test_samples_that_become_another_axis_are_refused(tmp_path):
    with pytest.raises(ValueError, match="leaves the number of samples free, which Unflatten at '0' puts elsewhere"):
        export_onnx(nn.Sequential(nn.Unflatten(0, (1, -1))), tmp_path / "x.onnx", (3,))
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert_same(nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (-1, 3)), nn.Linear(3, 2)), (3,), tmp_path / "x.onnx", x)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Linear(3, 2), ()), (nn.Linear(3, 3), ()), (nn.LayerNorm((3, 4)), (4,)),
        (nn.Sequential(nn.Linear(2, 3), nn.LayerNorm((3, 3))), (2,)),
    ],
)
def test_samples_that_a_layer_takes_for_features_are_refused(model, shape, tmp_path):
    with pytest.raises(ValueError, match="expects inputs of"):
        export_onnx(model, tmp_path / "x.onnx", shape)
    assert not (tmp_path / "x.onnx").exists()


@pytest.mark.parametrize(
    ("model", "transform", "message"),
    [
        (nn.Linear(3, 2), Compose(Normalize(0.5, 0.5)), r"expects a Normalize\(...\), got <nn.augmentation.Compose"),
        (nn.Linear(3, 2), Normalize, r"expects a Normalize\(...\), got <class"),
        (nn.Linear(3, 2).forward, None, "expects a model of layers, got <bound method"),
        (nn.Linear, None, "expects a model of layers, got <class"),
    ],
)
def test_parts_of_another_kind_are_refused_in_a_sentence(model, transform, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        export_onnx(model, tmp_path / "x.onnx", (3,), transform=transform)


def test_a_weight_may_be_a_tensor_that_is_no_parameter(tmp_path):
    model, x = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)), np.ones((4, 3), np.float32)
    for layer in model:
        layer.weight = mg.tensor(layer.weight.data * 2)
    assert_same(model, (3,), tmp_path / "x.onnx", x)


@pytest.mark.parametrize("metadata", [{"a": {1, 2}}, {1: "a"}, {"loss": float("nan")}, [1], 3])
def test_metadata_that_json_cannot_hold_are_refused_in_a_sentence(metadata, tmp_path):
    with pytest.raises(nn.FileError, match="metadata"):
        export_onnx(nn.ReLU(), tmp_path / "x.onnx", (3,), metadata=metadata)


def test_half_and_double_precision_stay_what_they_are(tmp_path):
    for dtype in (np.float16, np.float64):
        export_onnx(nn.Sequential(nn.Linear(3, 2, dtype=dtype), nn.Softplus()), tmp_path / "x.onnx", (3,))
        (found,) = reference.ReferenceEvaluator(str(tmp_path / "x.onnx")).run(None, {"input": np.ones((2, 3), dtype)})
        assert found.dtype == dtype


def test_a_model_is_traced_without_recording_or_changing_it(tmp_path):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    before = {name: array.copy() for name, array in model.state_dict().items()}
    export_onnx(model, tmp_path / "x.onnx", (3,))
    assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert mg.is_grad_enabled()


def test_a_layer_with_another_function_is_not_taken_for_what_it_comes_from(tmp_path):
    class Twice(nn.ReLU):
        function = staticmethod(lambda x: 2 * x)

    with pytest.raises(TypeError, match="does not know what a Twice does"):
        nn.export_onnx(Twice(), tmp_path / "twice.onnx", (3,))
