import numpy as np
import pytest

import nn
from nn.fashion import CLASSES
from nn.fashion.classifier import Classifier
from nn.fashion.models import BUILDERS, build, mlp
from nn.fashion.recipes import OPTIMIZERS, RECIPES

ARCHITECTURE = {"name": "mlp", "sizes": [784, 12, 10], "dropout": 0.2}


def images(n=5):
    return np.random.default_rng(0).integers(0, 256, (n, 28, 28), np.uint8)


# ---------------------------------------------------------------- networks


def test_an_mlp_is_linear_layers_with_relu_and_dropout_between_them():
    kinds = [type(module).__name__ for module in mlp([784, 256, 64, 10], dropout=0.2)]
    hidden = ["Linear", "ReLU", "Dropout"]
    assert kinds == ["Flatten", *hidden, *hidden, "Linear"]
    assert [module.p for module in mlp([784, 256, 64, 10], 0.2) if isinstance(module, nn.Dropout)] == [0.2, 0.2]
    assert mlp([784, 256, 64, 10]).num_parameters() == 785 * 256 + 257 * 64 + 65 * 10


def test_a_network_is_built_from_its_description_and_the_description_stays_as_it_is():
    description = dict(ARCHITECTURE)
    model = build(description)
    assert description == ARCHITECTURE
    assert repr(model) == repr(mlp([784, 12, 10], 0.2))
    assert model(images() / 255).shape == (5, 10)


@pytest.mark.parametrize(
    ("architecture", "sentence"),
    [
        ({"name": "cnn"}, "there is no network named 'cnn', only mlp"),
        ({}, "there is no network named None"),
        ({"name": "mlp"}, "cannot build the network .*sizes"),
        ({"name": "mlp", "sizes": [784, 10], "depth": 3}, "cannot build the network .*depth"),
        ({"name": "mlp", "sizes": [784, 10.5]}, "cannot build the network .*10.5"),
        ({"name": "mlp", "sizes": [784, -1]}, "cannot build the network "),
        ({"name": "mlp", "sizes": [784]}, "cannot build the network .*sizes of its inputs and its outputs"),
        ({"name": [1]}, r"there is no network named \[1\]"),
        ({"name": "mlp", "sizes": [784, 0, 10]}, "cannot build the network .*whole numbers from 1"),
        ({"name": "stride_cnn", "channels": [3], "kernel_size": 65}, "cannot build the network .*kernel_size"),
        ({"name": "mlp", "sizes": [784, 12, 10], "dropout": 2}, "cannot build the network .*p to be a number"),
    ],
)
def test_a_description_that_cannot_be_built_is_refused(architecture, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(architecture)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_recipes_name_networks_and_optimizers_that_exist(recipe):
    assert recipe.architecture["name"] in BUILDERS
    assert recipe.optimizer in OPTIMIZERS
    assert RECIPES[recipe.name] is recipe
    assert build(recipe.architecture)(images() / 255).shape == (5, len(CLASSES))


# ---------------------------------------------------------------- saved classifiers


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_a_saved_classifier_predicts_identically_after_loading(tmp_path, suffix):
    if suffix == "safetensors":
        pytest.importorskip("safetensors")
    classifier = Classifier(build(ARCHITECTURE), ARCHITECTURE, mean=0.25, std=0.5, classes=tuple("abcdefghij"))
    path = tmp_path / f"model.{suffix}"
    classifier.save(path)
    loaded = Classifier.load(path)
    assert (loaded.architecture, loaded.mean, loaded.std) == (ARCHITECTURE, 0.25, 0.5)
    assert loaded.classes == tuple("abcdefghij")
    np.testing.assert_array_equal(loaded.predict_proba(images()), classifier.predict_proba(images()))
    assert loaded.predict(images()) == classifier.predict(images())
    labels = np.arange(5)
    assert loaded.evaluate(images(), labels).loss == classifier.evaluate(images(), labels).loss


def test_probabilities_come_from_standardised_pixels():
    classifier = Classifier(build({"name": "mlp", "sizes": [784, 10]}), {}, mean=0.25, std=0.5)
    weight, bias = (p.data.astype(float) for p in classifier.model.parameters())
    logits = ((images() / 255 - 0.25) / 0.5).reshape(-1, 784) @ weight.T + bias
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(classifier.predict_proba(images()), expected, rtol=1e-4)
    assert classifier.predict(images()) == [CLASSES[i] for i in expected.argmax(1)]


def test_images_beyond_one_batch_are_predicted_in_their_order():
    classifier = Classifier(build(ARCHITECTURE), ARCHITECTURE)
    many = images(1003)
    probabilities = classifier.predict_proba(many)
    assert probabilities.shape == (1003, 10)
    np.testing.assert_allclose(probabilities[1000:], classifier.predict_proba(many[1000:]), rtol=1e-5)


GOOD = {"architecture": ARCHITECTURE, "mean": 0.0, "std": 1.0, "classes": list(CLASSES)}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"architecture": None}, "is no garment classifier: its metadata lacks 'architecture'"),
        ({"mean": None}, "is no garment classifier: its metadata lacks 'mean'"),
        ({"classes": None}, "is no garment classifier: its metadata lacks 'classes'"),
        ({"architecture": 5}, "is no usable garment classifier: "),
        ({"architecture": ["name"]}, "is no usable garment classifier: "),
        ({"architecture": {"name": ["mlp"]}}, "is no usable garment classifier: "),
        ({"architecture": {"name": "vit"}}, "no usable garment classifier: there is no network named 'vit'"),
        ({"architecture": {"name": "mlp", "sizes": "784"}}, "is no usable garment classifier: "),
        ({"architecture": {**ARCHITECTURE, "sizes": [784, 13, 10]}}, r"weights of shape \(13, 784\) that"),
        ({"architecture": {**ARCHITECTURE, "sizes": [784, 10]}}, r"weights of shape \(10, 784\) that the file lacks"),
        ({"architecture": {**ARCHITECTURE, "sizes": [784, 10**12, 10]}}, "is no usable garment classifier: "),
        ({"architecture": {**ARCHITECTURE, "sizes": [784, 10**30, 10]}}, "is no usable garment classifier: "),
        ({"training": "abc"}, "is no usable garment classifier: what it says of its training is no object, but 'abc'"),
        ({"mean": "high"}, "is no usable garment classifier: could not convert string to float"),
        ({"mean": [1]}, "is no usable garment classifier: "),
        ({"std": 0}, "is no usable garment classifier: Normalize expects std to be a number from above 0 to less than"),
        ({"classes": ["one"]}, "is no usable garment classifier: it has only one class, 'one': a network tells two or"),
        ({"classes": 7}, "is no usable garment classifier: "),
    ],
)
def test_a_foreign_model_file_is_one_sentence_that_names_it(tmp_path, change, sentence):
    path = tmp_path / "model.npz"
    metadata = {key: value for key, value in (GOOD | change).items() if value is not None}
    nn.save(build(ARCHITECTURE).state_dict(), path, metadata)
    with pytest.raises(nn.FileError, match=sentence) as caught:
        Classifier.load(path)
    assert str(caught.value).startswith(f"{path} is no ")
    assert "\n" not in str(caught.value)


def test_a_network_for_other_inputs_is_refused_at_once(tmp_path):
    architecture = {"name": "mlp", "sizes": [100, 10]}
    nn.save(build(architecture).state_dict(), tmp_path / "model.npz", GOOD | {"architecture": architecture})
    with pytest.raises(nn.FileError, match=r"Linear expects inputs of shape \(..., 100\), got \(1, 784\)"):
        Classifier.load(tmp_path / "model.npz")


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"x" * 1000])
def test_a_damaged_model_file_is_one_sentence(tmp_path, damage):
    path = tmp_path / "model.npz"
    Classifier(build(ARCHITECTURE), ARCHITECTURE).save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(nn.FileError, match=f"^{path} is damaged") as caught:
        Classifier.load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_model_file_is_one_sentence(tmp_path):
    with pytest.raises(nn.FileError, match=r"cannot read .*none\.npz: No such file"):
        Classifier.load(tmp_path / "none.npz")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_classifier_takes_bytes_and_what_they_are_between_0_and_1(dtype):
    classifier = Classifier(build(ARCHITECTURE), ARCHITECTURE, mean=0.25, std=0.5)
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
    expected = classifier.predict_proba(images)
    np.testing.assert_allclose(classifier.predict_proba((images / 255).astype(dtype)), expected, rtol=1e-4)
    with pytest.raises(ValueError, match="floating pixels from 0 to 1, got"):
        classifier.predict(images.astype(dtype))
