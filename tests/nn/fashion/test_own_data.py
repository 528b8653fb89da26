"""Data that are not Fashion-MNIST: IDX files of other sizes and classes, and folders of pictures."""

import gzip
import json
import os
import struct
import subprocess
import sys
import warnings
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import nn
from nn.fashion import CLASSES, MEAN, STD, DataError, commands, load, pictures
from nn.fashion.classifier import Classifier
from nn.fashion.gallery import draw_photos, draw_samples, pixels_as_text, shades
from nn.fashion.idx import pack
from nn.fashion.models import architecture_for, build
from nn.fashion.photo import read_whole
from nn.fashion.pictures import parsed_size
from nn.fashion.recipes import RECIPES, for_data
from nn.fashion.report import draw
from nn.fashion.report_page import write_report
from nn.fashion.settings import changed, recipe_of
from nn.fashion.training import Run

ROOT = Path(__file__).parents[3]
MNIST = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@pytest.fixture(autouse=True)
def world(tmp_path, monkeypatch):
    """Nobody's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".caches"))


# ------------------------------------------------------------------------------------------------ four files


def idx_arrays(labels=(0, 1, 2), size=(20, 30)):
    """Twelve training and six test images, with these labels over and over."""
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 256, (12, *size), np.uint8), np.resize(np.array(labels), 12),
        rng.integers(0, 256, (6, *size), np.uint8), np.resize(np.array(labels), 6),
    ]


def wide_labels(labels, code, letter):
    """Labels of two or four bytes, as IDX has them."""
    return struct.pack(f">HBBI{len(labels)}{letter}", 0, code, 1, len(labels), *labels)


def write_idx(folder, arrays, names=MNIST, classes=None, packed=False, encode=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(names, arrays, strict=True):
        content = encode(array.tolist()) if encode and array.ndim == 1 else pack(array.astype(np.uint8))
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)
    if classes is not None:
        (folder / "classes.txt").write_bytes(classes if isinstance(classes, bytes) else classes.encode())
    return folder


def test_images_of_any_size_with_names_from_a_file_are_read(tmp_path):
    arrays = idx_arrays()
    data = load(write_idx(tmp_path, arrays, classes="cat\r\ndog\r\ncow\r\n\r\n", packed=True))
    assert (data.classes, data.size) == (("cat", "dog", "cow"), (20, 30))
    for found, expected in zip((data.train_images, data.train_labels, data.test_images, data.test_labels), arrays,
                               strict=True):
        np.testing.assert_array_equal(found, expected)
        assert not found.flags.writeable
    assert data.source == f"12 training and 6 test images of 20 x 30 pixels in 3 classes from {tmp_path}"


def test_without_names_classes_have_numbers_and_a_warning_says_how_to_name_them(tmp_path):
    with pytest.warns(UserWarning, match=r"other than the original .* a file classes.txt there can name") as caught:
        data = load(write_idx(tmp_path, idx_arrays(size=(28, 28))))
    assert data.classes == ("0", "1", "2")
    assert caught[0].filename == __file__


def test_a_part_of_fashion_mnist_says_so_by_its_names_and_keeps_its_constants(tmp_path):
    arrays = idx_arrays(range(10), (28, 28))
    data = load(write_idx(tmp_path, arrays, classes="\n".join(CLASSES)))  # without a warning
    assert data.is_fashion_mnist
    assert data.mean_and_std() == (MEAN, STD)
    assert for_data(RECIPES["default"], data) == RECIPES["default"]


@pytest.mark.parametrize("names", [
    MNIST,
    tuple(name.replace("-idx", ".idx") for name in MNIST),
    tuple(name.replace("t10k", "test") for name in MNIST),
    tuple(f"kmnist-{name.replace('t10k', 'test')}" for name in MNIST),
])
def test_the_names_of_mnist_and_its_kin_are_known(tmp_path, names):
    data = load(write_idx(tmp_path, idx_arrays(), names, classes="a\nb\nc"))
    np.testing.assert_array_equal(data.train_images, idx_arrays()[0])


EMNIST = {kind: [f"emnist-{kind}-{name.replace('t10k', 'test')}" for name in MNIST] for kind in ("digits", "letters")}


def test_emnist_stands_upright_and_its_labels_may_begin_at_1(tmp_path):
    arrays = idx_arrays((1, 2, 3))
    with warnings.catch_warnings(action="error"):
        data = load(write_idx(tmp_path, arrays, EMNIST["letters"], packed=True))
    assert data.classes == ("1", "2", "3")
    np.testing.assert_array_equal(data.train_labels, arrays[1] - 1)
    np.testing.assert_array_equal(data.train_images, arrays[0].transpose(0, 2, 1))
    named = load(write_idx(tmp_path, arrays, EMNIST["letters"], classes="A\nB\nC", packed=True))
    assert named.classes == ("A", "B", "C")
    assert named.train_labels.tolist() == data.train_labels.tolist()


def test_of_several_data_sets_in_a_folder_one_is_named(tmp_path):
    write_idx(tmp_path, idx_arrays((1, 2, 3)), EMNIST["letters"])
    write_idx(tmp_path, idx_arrays((0, 1)), EMNIST["digits"])
    with pytest.raises(DataError, match=r"several data sets, emnist-digits, emnist-letters: name .*/emnist-digits$"):
        load(tmp_path)
    assert load(tmp_path / "emnist-letters").classes == ("1", "2", "3")
    assert load(tmp_path / "emnist-digits").classes == ("0", "1")
    (tmp_path / EMNIST["digits"][2]).unlink()
    with pytest.raises(DataError, match="emnist-digits lacks emnist-digits-test-images-idx3-ubyte "):
        load(tmp_path / "emnist-digits")


@pytest.mark.parametrize(("code", "letter"), [(0x0B, "h"), (0x0C, "i")])
def test_a_thousand_classes_have_labels_of_more_than_a_byte(tmp_path, code, letter):
    names = "\n".join(f"class {i}" for i in range(1000))
    arrays = idx_arrays((0, 700, 999), (4, 4))
    data = load(write_idx(tmp_path, arrays, classes=names, encode=lambda labels: wide_labels(labels, code, letter)))
    assert data.train_labels.tolist() == arrays[1].tolist()
    assert data.classes[999] == "class 999"


def test_names_lose_what_a_terminal_would_obey(tmp_path):
    data = load(write_idx(tmp_path, idx_arrays((0, 1)), classes=b"\xef\xbb\xbf\x1b[31mred\x07\nna\xc3\xafve \t"))
    assert data.classes == ("[31mred", "naïve")


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        ("", "classes.txt has no classes: a network tells two or more apart"),
        ("cat", "classes.txt has only one class, 'cat': a network tells two or more apart"),
        ("cat\n\ncow", "classes.txt gives class 2 a name of 0 characters: it has 1 to 100 that can be printed"),
        ("cat\n\x07\ncow", "classes.txt gives class 2 a name of 0 characters"),
        ("cat\ncow\ncat", "classes.txt has two classes of the name 'cat'"),
        ("cat\n" + "x" * 101, "classes.txt gives class 2 a name of 101 characters"),
        ("\n".join(map(str, range(1001))), "classes.txt has 1,001 classes, more than the 1,000"),
        ("x" * (2**20 + 1), "classes.txt is no list of names: it has more than 1,048,576 bytes"),
        (b"caf\xe9\ncat", "classes.txt is no text in UTF-8: byte 3 does not fit"),
        ("cat\ndog", "train-labels-idx1-ubyte has the label 2 at position 2: labels go from 0 to 1"),
    ],
)
def test_names_that_do_not_fit_are_one_sentence(tmp_path, classes, sentence):
    with pytest.raises(DataError) as caught:
        load(write_idx(tmp_path, idx_arrays(), classes=classes))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ((-1, 0), "train-labels-idx1-ubyte has the label -1 at position 0: labels go from 0 to 999"),
        ((0, 1000), "has the label 1000 at position 1: labels go from 0 to 999"),
        ((1, 1001), "has the label 1001 at position 1: labels go from 1 to 1000"),
        ((0, 0), "has only one class, '0'"),
        ((1, 1), "has only one class, '1'"),
    ],
)
def test_labels_that_do_not_fit_are_one_sentence(tmp_path, labels, sentence):
    with pytest.raises(DataError) as caught:
        load(write_idx(tmp_path, idx_arrays(labels), encode=lambda labels: wide_labels(labels, 0x0C, "i")))
    assert sentence in str(caught.value)


def test_only_pictures_in_folders_are_brought_to_a_size(tmp_path):
    folder = write_idx(tmp_path, idx_arrays(), classes="a\nb\nc")
    assert load(folder, size=(20, 30)).size == (20, 30)
    with pytest.raises(DataError, match=r"the images have 20 x 30 pixels, not 32 x 32: only pictures in folders are"):
        load(folder, size=(32, 32))


# ------------------------------------------------------------------------------------------------ folders of pictures


@pytest.fixture
def picture():
    """Writes a picture."""
    images = pytest.importorskip("PIL.Image")

    def write(path, pixels, **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        images.fromarray(np.asarray(pixels, np.uint8)).save(path, **options)
        return path

    return write


@pytest.fixture
def shapes(tmp_path, picture):
    """Bars, discs and squares, dark on light, in two levels of folders; no two of one size."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 3)):
        for name in ("bar", "disc", "square"):
            for i in range(count):
                h, w = rng.integers(20, 50, 2)
                y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
                inside = {"bar": abs(y) < 0.2, "disc": y * y + x * x < 0.5, "square": abs(y) + abs(x) < 0.9}[name]
                colours = np.where(inside[..., None], (60, 20, 20), 230) + rng.normal(0, 5, (h, w, 1))
                picture(tmp_path / "shapes" / part / name / f"{i}.{'jpg' if i % 2 else 'png'}", colours.clip(0, 255))
    return tmp_path / "shapes"


def test_pictures_become_grey_images_of_one_size_and_light_stays_light(shapes, picture):
    data = load(shapes, size=(10, 12))
    assert data.classes == ("bar", "disc", "square")
    assert data.train_images.shape == (24, 10, 12)
    assert sorted(data.test_labels.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert len(set(data.train_labels[:6].tolist())) > 1
    disc = data.train_images[data.train_labels.tolist().index(1)]
    assert disc[5, 6] < 50 < 200 < disc[0, 0]
    assert not data.train_images.flags.writeable
    assert "24 training and 9 test images of 10 x 12 pixels in 3 classes" in data.source


def test_pictures_are_reduced_by_the_means_of_areas(tmp_path, picture):
    for name in ("a", "b"):
        for i in range(2):
            picture(tmp_path / name / f"{i}.png", np.kron([[0, 100], [200, 40 + i]], np.ones((8, 8))))
    data = load(tmp_path, size=(2, 2))
    assert {tuple(image.ravel()) for image in data.train_images} <= {(0, 100, 200, 40), (0, 100, 200, 41)}
    assert data.train_images.shape == (2, 2, 2)
    (mean,) = load(tmp_path, size=(1, 1)).test_images[0].ravel()
    assert mean == 85


def test_names_that_differ_by_their_spaces_alone_are_those_of_the_model_too(tmp_path, picture):
    for name in ("a b", "a  b"):
        for i in range(3):
            picture(tmp_path / "data" / name / f"{i}.png", np.full((4, 5), 10 * i))
    data = load(tmp_path / "data")
    architecture = {"name": "mlp", "sizes": [20, 2]}
    Classifier(build(architecture), architecture, classes=data.classes, size=data.size).save(tmp_path / "model.npz")
    Classifier.load(tmp_path / "model.npz").check(data)


def test_of_one_level_a_sixth_of_each_class_is_for_testing_the_same_ones_each_time(tmp_path, picture):
    for name, count in (("many", 12), ("two", 2)):
        for i in range(count):
            picture(tmp_path / name / f"{i}.png", np.full((4, 5), 10 * i))
    data = load(tmp_path)
    assert np.bincount(data.train_labels).tolist() == [10, 1]
    assert np.bincount(data.test_labels).tolist() == [2, 1]
    many = [images[labels == 0][:, 0, 0].tolist() for images, labels in (
        (data.train_images, data.train_labels), (data.test_images, data.test_labels))]
    assert sorted(many[0] + many[1]) == list(range(0, 120, 10))
    np.testing.assert_array_equal(load(tmp_path).test_images, data.test_images)
    others = [pictures.read_pictures(tmp_path, seed=seed)[0]["test"].tolist() for seed in range(5)]
    assert any(other != data.test_images.tolist() for other in others)


def test_a_class_may_be_called_train(tmp_path, picture):
    for name in ("train", "plane"):
        for i in range(2):
            picture(tmp_path / name / f"{i}.png", np.full((4, 5), 10 * i))
    assert load(tmp_path).classes == ("plane", "train")


def test_files_that_are_no_pictures_are_named_and_counted(shapes):
    (shapes / "train" / "disc" / "notes.txt").write_text("none")
    for i in range(6):
        (shapes / "test" / "bar" / f"broken\x1b{i}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (shapes / "test" / "bar" / ".hidden").write_text("not looked at")
    (shapes / "train" / ".thumbnails").mkdir()
    for _ in range(2):  # the second time from the cache
        with pytest.warns(UserWarning, match="pictures and are skipped: train/disc/notes.txt, test/bar/b") as caught:
            data = load(shapes, size=(8, 8))
        (said,) = (str(warning.message) for warning in caught)
        assert said.startswith(f"7 of 40 files in {shapes} cannot be read as pictures and are skipped: ")
        assert said.endswith("test/bar/broken3.png and 2 more")
        assert len(data.train_labels) + len(data.test_labels) == 33


def test_what_is_left_out_is_named(shapes):
    for place in ("val/bar", "train/disc/more", ".cache", "__MACOSX"):
        (shapes / place).mkdir(parents=True)
    with pytest.warns(UserWarning, match=r"left out of .*: val, train/disc/more$") as caught:
        load(shapes, size=(8, 8))
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_what_was_read_is_kept_until_a_file_changes(shapes, picture, monkeypatch):
    first = load(shapes, size=(8, 8))

    def refuse(*arguments):
        raise AssertionError("the pictures were read again")

    with monkeypatch.context() as patched:
        patched.setattr(pictures, "grey_pixels", refuse)
        np.testing.assert_array_equal(load(shapes, size=(8, 8)).train_images, first.train_images)
        with pytest.raises(AssertionError):
            load(shapes, size=(9, 9))
    picture(shapes / "train" / "bar" / "0.png", np.zeros((30, 30)))
    changed = load(shapes, size=(8, 8))
    other = (changed.train_images != first.train_images).any((1, 2))
    assert other.sum() == 1
    assert changed.train_images[other].max() == 0


def cache_files(folder):
    return sorted((folder / ".caches" / "minigrad" / "pictures").iterdir())


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes()[:-100]),
    lambda path: nn.save({}, path),
    lambda path: nn.save(nn.load(path)[0], path),
    lambda path: nn.save({**nn.load(path)[0], "images": np.zeros((33, 9, 9), np.uint8)}, path, nn.load(path)[1]),
    lambda path: nn.save({**nn.load(path)[0], "images": np.zeros((2, 8, 8), np.uint8)}, path, nn.load(path)[1]),
    lambda path: nn.save({**nn.load(path)[0], "readable": np.ones(33)}, path, nn.load(path)[1]),
    lambda path: (path.unlink(), path.mkdir()),
])
def test_a_damaged_cache_is_read_past(shapes, tmp_path, damage):
    first = load(shapes, size=(8, 8))
    (cache,) = cache_files(tmp_path)
    damage(cache)
    np.testing.assert_array_equal(load(shapes, size=(8, 8)).train_images, first.train_images)


def test_a_cache_that_cannot_be_written_does_not_matter(shapes, tmp_path):
    (tmp_path / ".caches").write_text("in the way")
    assert load(shapes, size=(8, 8)).size == (8, 8)


def remove(folder):
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def flattened(folder):
    for path in [*folder.glob("*/*")]:
        path.rename(folder / f"{path.parent.name}-{path.name}")
    for inner in folder.iterdir():
        if inner.is_dir():
            inner.rmdir()


def empty(folder):
    for path in folder.iterdir():
        path.write_bytes(b"nothing")


@pytest.mark.parametrize(
    ("change", "size", "sentence"),
    [
        (lambda root: None, None, "pictures differ in size, "),
        (lambda root: (root / "train" / "cone").mkdir(), (8, 8), "train/cone has no counterpart in "),
        (lambda root: (root / "test" / "cone").mkdir(), (8, 8), "test/cone has no counterpart in "),
        (lambda root: [(root / part / "cone").mkdir() for part in ("train", "test")], (8, 8),
         "train/cone has no pictures: add some, or remove the folder"),
        (lambda root: remove(root / "test" / "bar"), (8, 8), "train/bar has no counterpart in "),
        (lambda root: [remove(root / part / name) for part in ("train", "test") for name in ("bar", "disc")], (8, 8),
         "train has only one class, 'square': a network tells two or more apart"),
        (lambda root: [remove(root / "test" / name) for name in ("bar", "disc", "square")], (8, 8),
         "train/bar has no counterpart in "),
        (lambda root: empty(root / "test" / "disc"), (8, 8), "has no picture of the class 'disc' to test with that"),
        (lambda root: (root / "train" / "\x07").mkdir() or (root / "test" / "\x07").mkdir(), (8, 8),
         "gives class 1 a name of 0 characters"),
        (lambda root: (root / "train" / "bar").rename(root / "train" / ".bar"), (8, 8), "has no counterpart"),
        (lambda root: [flattened(root / part) for part in ("train", "test")], (8, 8),
         "train has no folders in it: each class needs one there, and one in test"),
    ],
)
def test_folders_that_do_not_fit_are_one_sentence(shapes, tmp_path, change, size, sentence):
    change(shapes)
    with warnings.catch_warnings(action="ignore"), pytest.raises(DataError) as caught:
        load(shapes, size=size)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_name_of_a_file_commands_the_terminal(tmp_path, picture):
    for name in ("a\x1b[31m", "b\n"):
        for side in (4, 5):
            picture(tmp_path / name / f"{side}\x07.png", np.zeros((side, side)))
    with pytest.raises(DataError, match="pictures differ in size") as caught:
        load(tmp_path)
    assert str(caught.value).isprintable()
    (tmp_path / "b\n" / "\x1b.png").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match="1 of 5 files") as warned:
        data = load(tmp_path, size=(4, 4))
    assert all(text.isprintable() for text in (data.source, *data.classes, str(warned[0].message)))


def test_a_class_of_one_picture_cannot_be_split(tmp_path, picture):
    for name, count in (("a", 1), ("b", 4)):
        for i in range(count):
            picture(tmp_path / name / f"{i}.png", np.zeros((4, 4)))
    with pytest.raises(DataError, match="/a has only 1 picture, of two one is for testing: add some"):
        load(tmp_path)


def test_pictures_that_are_too_large_are_refused_before_all_are_read(tmp_path, picture):
    for name in ("a", "b"):
        for i in range(2):
            picture(tmp_path / name / f"{i}.png", np.zeros((600, 600)))
    with pytest.raises(DataError, match="has 4 pictures of 600 x 600 pixels, more than fit: say a smaller size"):
        load(tmp_path)
    assert load(tmp_path, size=(32, 32)).size == (32, 32)


def test_reading_leaves_the_warnings_of_python_as_they_were(shapes):
    before = list(warnings.filters)
    load(shapes, size=(8, 8))
    assert warnings.filters == before


def test_a_bar_on_a_terminal_moves_with_every_picture(shapes, monkeypatch):
    bars = []

    class Bar:
        def __init__(self, **options):
            self.options, self.done = options, 0
            bars.append(self)

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            pass

        def update(self, count):
            self.done += count

    monkeypatch.setitem(sys.modules, "tqdm", type("tqdm_module", (), {"tqdm": Bar}))
    load(shapes, size=(8, 8))
    load(shapes, size=(8, 8))  # from the cache, without a bar
    (bar,) = bars
    assert (bar.done, bar.options["total"]) == (33, 33)
    assert bar.options["disable"] is None, "tqdm shows itself on terminals only when told so"


def test_without_pillow_a_sentence_says_what_to_install(shapes, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r"^reading pictures needs pillow: pip install pillow$"):
        load(shapes, size=(8, 8))


@pytest.mark.parametrize(
    "text", ["", "0", "513", "20x", "x", "20x30x40", "-3", "3.5", "٣", "20 x 30\n\x1b", "9" * 5000]
)
def test_what_is_no_size_is_one_sentence(text):
    with pytest.raises(DataError, match=r"is no size of pictures: give rows and columns of 1 to 512 pixels") as caught:
        parsed_size(text)
    assert len(str(caught.value)) < 150
    assert str(caught.value).isprintable()


# ------------------------------------------------------------------------------------------------ training and using


@pytest.fixture
def data(tmp_path):
    return load(write_idx(tmp_path / "idx", idx_arrays((0, 1, 2, 3), (9, 12)), classes="a\nb\nc\nd"))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_fits_its_network_to_the_data(name, data, tmp_path):
    recipe = for_data(RECIPES[name], data)
    network = build(recipe.architecture)
    assert network(np.zeros((2, 9, 12), np.float32)).shape == (2, 4)
    run = Run(RECIPES[name], data, tmp_path / "run")
    assert np.isfinite(run.try_one_batch())
    run.save()
    classifier = Classifier.load(tmp_path / "run")
    assert (classifier.classes, classifier.size) == (("a", "b", "c", "d"), (9, 12))
    expected = run.classifier.predict_proba(data.test_images)
    np.testing.assert_array_equal(classifier.predict_proba(data.test_images), expected)


def test_networks_for_fashion_mnist_stay_as_they_are():
    for recipe in RECIPES.values():
        assert architecture_for(recipe.architecture, (28, 28), 10) == recipe.architecture


@pytest.mark.parametrize("size", [(28, 28), (9, 12)])
@pytest.mark.parametrize("classes", [10, 3])
@pytest.mark.parametrize("name", RECIPES)
def test_a_network_fits_the_data_whatever_it_was_for_before(name, classes, size):
    fresh = RECIPES[name].architecture
    other = architecture_for(fresh, (16, 20), 7)
    assert architecture_for(other, size, classes) == architecture_for(fresh, size, classes)
    assert build(architecture_for(other, size, classes))(np.zeros((2, *size), np.float32)).shape == (2, classes)


@pytest.mark.parametrize("sizes", [16, None, {"a": 1}, [], [64, 0, 3], [64, True, 3], [64, 2**24, 3], [5] * 101])
def test_sizes_that_no_file_may_have_are_refused_before_training(data, tmp_path, sizes):
    recipe = replace(RECIPES["default"], architecture={"name": "mlp", "sizes": sizes})
    with pytest.raises(ValueError, match="sizes is not a list of 1 to 100 whole numbers from 1"):
        Run(recipe, data, tmp_path)


@pytest.mark.parametrize("recipe", ["default", "best-mlp"])
def test_a_configuration_of_other_data_fits_itself_to_these(data, recipe, tmp_path):
    faint = replace(data, train_images=data.train_images // 20 + 100, classes=("a", "b", "c", "d"))
    settings = asdict(Run(RECIPES[recipe], faint, tmp_path).recipe)
    fitted = for_data(recipe_of(settings), data)
    assert fitted == for_data(RECIPES[recipe], data)
    chosen = changed(recipe_of(settings), {"mean": 0.25})
    assert for_data(chosen, data).mean == 0.25, "what somebody chose stays"
    with pytest.raises(ValueError, match="so that std would have no effect"):
        changed(RECIPES[recipe], {"std": 0.5, "standardise": True})


@pytest.mark.parametrize("name", ["keras_cnn"])
def test_images_too_small_for_a_network_are_one_sentence(name):
    with pytest.raises(ValueError, match="needs images of 4 x 4 pixels or more, got 3 x 9"):
        build({"name": name, "size": [3, 9]})


def test_pixels_are_standardised_by_the_training_images(data):
    mean, std = data.mean_and_std()
    scaled = data.train_images / 255
    np.testing.assert_allclose((mean, std), (scaled.mean(), scaled.std()))
    recipe = for_data(RECIPES["default"], data)
    assert (recipe.mean, recipe.std) == (mean, std)
    plain = for_data(RECIPES["article"], data)
    assert (plain.mean, plain.std) == (0.0, 1.0)


def test_images_without_any_difference_are_one_sentence(tmp_path):
    arrays = [np.full_like(array, 51) if array.ndim > 1 else array for array in idx_arrays()]
    data = load(write_idx(tmp_path, arrays, classes="a\nb\nc"))
    with pytest.raises(DataError, match="all pixels of the training images are 20% grey: there is nothing"):
        for_data(RECIPES["default"], data)


def small_classifier(size=(20, 30), classes=("bar", "disc", "square")):
    architecture = architecture_for(RECIPES["fast-cnn"].architecture, size, len(classes))
    return Classifier(build(architecture), architecture, 0.5, 0.25, classes, size)


def test_a_file_that_does_not_say_its_size_is_for_28_by_28(tmp_path):
    architecture = RECIPES["default"].architecture
    classifier = Classifier(build(architecture), architecture)
    metadata = classifier.metadata()
    del metadata["size"]
    nn.save(classifier.model.state_dict(), tmp_path / "old.npz", metadata)
    assert Classifier.load(tmp_path / "old.npz").size == (28, 28)


@pytest.mark.parametrize("size", [7, "28", [28], [28, 28, 28], [0, 28], [28.0, 28], [True, 28], [10**9, 10**9], None])
def test_a_size_that_is_none_makes_a_file_unusable(tmp_path, size):
    classifier = small_classifier()
    nn.save(classifier.model.state_dict(), tmp_path / "model.npz", classifier.metadata() | {"size": size})
    with pytest.raises(nn.FileError, match=r"is no usable garment classifier: it.* (size|side) "):
        Classifier.load(tmp_path / "model.npz")


def test_data_that_a_model_does_not_know_are_one_sentence(data):
    with pytest.raises(DataError, match="is for images of 20 x 30, these data are of 9 x 12: name the data it learned"):
        small_classifier(classes=data.classes).check(data)
    sentence = r"the classes bar, disc, square \(3\), these data are of the classes a, b, c, … \(4\)"
    with pytest.raises(DataError, match=sentence):
        small_classifier(size=(9, 12)).check(data)
    small_classifier((9, 12), data.classes).check(data)


def test_a_photo_is_seen_as_the_pictures_it_learned_from_were(shapes):
    path = shapes / "test" / "disc" / "1.jpg"
    classifier = small_classifier()
    pixels = classifier.look_at(path).pixels
    assert pixels.tolist() in load(shapes, size=(20, 30)).test_images.tolist()
    expected = classifier.predict_proba(pixels[None])[0]
    found = classifier.predict_photo(path)
    assert list(found.values()) == sorted(expected.tolist(), reverse=True)


def test_a_network_for_garments_of_another_size_gets_them_cut_out(picture, tmp_path):
    pixels = np.full((100, 80), 250)
    pixels[20:80, 30:50] = 40
    photo = small_classifier((40, 20), CLASSES).look_at(picture(tmp_path / "it.png", pixels))
    assert photo.box == (30, 20, 50, 80)
    assert np.flatnonzero(photo.pixels.any(1)).tolist() == list(range(40))
    assert photo.pixels.any(0).sum() == 13


def test_a_picture_that_cannot_be_opened_now_is_read_next_time(picture, tmp_path, monkeypatch):
    for name, pixels in {"dark": 10, "light": 240}.items():
        for i in range(14):
            picture(tmp_path / "two" / name / f"{i}.png", np.full((8, 8, 3), pixels))
    opened = pictures.grey_pixels

    def refused(path, size):
        if path.name == "3.png":
            raise nn.FileError(f"{path} cannot be read") from PermissionError(13, "Permission denied")
        return opened(path, size)

    monkeypatch.setattr(pictures, "grey_pixels", refused)
    with pytest.warns(UserWarning, match="2 of 28 files"):
        load(tmp_path / "two")
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".caches"))
    data = load(tmp_path / "two")
    assert len(data.train_labels) + len(data.test_labels) == 28


def test_a_class_may_begin_with_underscores(picture, tmp_path):
    for name in ("__c", "_b", "a", "__MACOSX"):
        for i in range(2):
            picture(tmp_path / "three" / name / f"{i}.png", np.full((8, 8, 3), 40 * i + 50))
    assert load(tmp_path / "three").classes == ("__c", "_b", "a")


def test_any_name_of_a_class_can_be_drawn(data, tmp_path):
    pytest.importorskip("matplotlib")
    named = replace(data, classes=("a $\\foo$", "日本語", "_hidden", "b" * 100))
    draw_samples(named, tmp_path / "samples.png", 2)
    photo = read_whole(data.test_images[0], data.size)
    draw_photos({"$\\foo$": (photo, dict.fromkeys(named.classes, 0.3))}, tmp_path / "photos.png")
    run = Run(RECIPES["default"], named, tmp_path)
    run.classifier.save(tmp_path / "model.npz")
    evaluation = run.test()
    draw([{"epoch": 1.0, "train_loss": 1.0}], evaluation, named.classes, tmp_path / "report.png")
    assert write_report([tmp_path], named).exists()


def test_pictures_are_drawn_as_they_are_and_garments_like_ink_on_paper():
    assert (shades(("cat", "dog")), shades(CLASSES)) == ("gray", "gray_r")


def test_samples_and_export_know_the_size_and_the_names(data, tmp_path):
    pytest.importorskip("matplotlib")
    onnxruntime = pytest.importorskip("onnxruntime")
    draw_samples(data, tmp_path / "all.png", 2)
    title, *rows = pixels_as_text(data, 1).splitlines()
    assert (title, len(rows), len(rows[0].split())) == ("Training image 1, b:", 9, 12)
    classifier = small_classifier((9, 12), data.classes)
    classifier.export_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(None, {"input": data.test_images})
    np.testing.assert_allclose(found, classifier.predict_proba(data.test_images), atol=1e-5)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == ["a", "b", "c", "d"]


@pytest.fixture
def run_here(tmp_path):
    """Runs a command of Python in an empty folder: (exit status, standard output, standard error)."""
    here = tmp_path / "here"
    here.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "OPENBLAS_NUM_THREADS": "1"}

    def run(*arguments):
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, cwd=here, env=environment, capture_output=True, encoding="utf-8")
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


def test_from_a_folder_of_pictures_to_an_answer(shapes, run_here, tmp_path):
    (shapes / "train" / "bar" / "broken.png").write_bytes(b"nothing")
    status, out, err = run_here(
        ROOT / "train.py", "--data", shapes, "--size", "20x30", "--epochs", 1, "--batch-size", 4, "--lr", 0.01)
    assert status == 0
    assert out.startswith(f"Data: 24 training and 9 test images of 20 x 30 pixels in 3 classes from {shapes}\n")
    skipped = "cannot be read as pictures and are skipped: train/bar/broken.png"
    assert err == f"Warning: 1 of 34 files in {shapes} {skipped}\n"
    assert all(name in out for name in ("bar", "disc", "square"))
    photo = shapes / "test" / "square" / "1.jpg"
    status, out, err = run_here("-m", "nn.fashion", "predict", "runs/default", photo, "--json")
    assert (status, err) == (0, "")
    answer = json.loads(out)
    expected = Classifier.load(tmp_path / "here" / "runs" / "default").predict_photo(photo)
    assert list(answer["classes"]) == list(expected)
    assert set(expected) == {"bar", "disc", "square"}
    np.testing.assert_allclose(list(answer["classes"].values()), list(expected.values()), rtol=1e-5)
    status, out, _ = run_here(ROOT / "train.py", "--evaluate", "runs/default/model.npz", "--data", shapes)
    assert status == 0
    assert "Test loss" in out
    status, out, _ = run_here(ROOT / "train.py", "--resume", "--data", shapes)  # the run knows the size
    assert status == 0
    assert "going on in runs/default after epoch 1 of 1" in out
    status, out, _ = run_here("-m", "nn.fashion", "report", "runs/default", "--data", shapes)
    assert status == 0
    assert "square" in (tmp_path / "here" / "runs" / "default" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "pictures differ in size"),
        (["--size", "huge"], "'huge' is no size of pictures: give rows and columns"),
        (["--size", "3", "--recipe", "keras-cnn"], "keras_cnn needs images of 4 x 4 pixels or more, got 3 x 3"),
        (["--size", "8", "--evaluate", "none.npz"], "so that --size would have no effect"),
    ],
)
def test_a_mistake_with_pictures_is_one_sentence_and_nothing_is_written(shapes, run_here, tmp_path, flags, sentence):
    status, _, err = run_here(ROOT / "train.py", "--data", shapes, *flags)
    assert status == 1
    assert err.startswith("train.py: ")
    assert sentence in err
    assert err.count("\n") == 1
    assert list((tmp_path / "here").iterdir()) == []


def test_predict_prints_black_and_large_pictures(picture, tmp_path, capsys):
    small_classifier((100, 100)).save(tmp_path / "model.npz")
    black, light = (picture(tmp_path / f"{i}.png", np.full((50, 50), 250 * i)) for i in range(2))
    assert commands.main(["predict", str(tmp_path / "model.npz"), str(black), str(light)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) < 120
    assert "bar" in "".join(lines)
