from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nn
from minigrad import Tensor
from nn import functional as F
from nn.augmentation import RandomFlip
from nn.data import DataLoader, Normalize, stratified_split
from nn.processes import all_reduce
from nn.tsne import tsne

seeds = st.integers(0, 2**32 - 1)


class Watched(np.ndarray):
    """An array that counts how often it is gathered from."""

    gathers = 0

    def take(self, *arguments, **options):
        Watched.gathers += 1
        return np.asarray(self).take(*arguments, **options)

    def __getitem__(self, index):
        raise AssertionError(f"an array was indexed with {index}")


# ---------------------------------------------------------------- DataLoader


@given(n=st.integers(0, 20), batch_size=st.integers(1, 8), shuffle=st.booleans(), drop_last=st.booleans(), seed=seeds)
def test_an_epoch_has_every_sample_once_in_batches_of_the_size(n, batch_size, shuffle, drop_last, seed):
    generator = np.random.default_rng(seed)
    loader = DataLoader((np.arange(n), -np.arange(n)), batch_size, shuffle, drop_last, generator)
    batches = list(loader)
    sizes = [len(x) for x, _ in batches]
    remainder = n % batch_size
    assert sizes == [batch_size] * (n // batch_size) + [remainder] * (remainder > 0 and not drop_last)
    assert len(loader) == len(batches)
    assert loader.num_samples == n
    seen = np.concatenate([x for x, _ in batches]) if batches else np.zeros(0, int)
    assert all((x == -y).all() for x, y in batches), "samples and targets stay together"
    assert len(set(seen.tolist())) == len(seen) == n - remainder * drop_last
    if not shuffle:
        np.testing.assert_array_equal(seen, np.arange(len(seen)))


def test_each_epoch_has_a_new_order_and_a_generator_of_the_same_seed_repeats_them():
    def epochs():
        loader = DataLoader((np.arange(50),), 8, shuffle=True, generator=np.random.default_rng(1))
        return [np.concatenate([x for (x,) in loader]).tolist() for _ in range(3)]

    first = epochs()
    assert first == epochs()
    assert len(set(map(tuple, first))) == 3


def test_the_default_generator_shuffles_without_another():
    loader = DataLoader((np.arange(50),), 50, shuffle=True)
    nn.manual_seed(3)
    ((first,),) = loader
    nn.manual_seed(3)
    ((second,),) = loader
    np.testing.assert_array_equal(first, second)
    assert first.tolist() != list(range(50))


def test_every_order_is_equally_likely():
    loader = DataLoader((np.arange(3),), 3, shuffle=True, generator=np.random.default_rng(0))
    orders = Counter(tuple(next(iter(loader))[0].tolist()) for _ in range(6000))
    assert len(orders) == 6
    assert all(abs(count - 1000) < 6 * np.sqrt(6000 / 6 * 5 / 6) for count in orders.values())


def test_batches_are_views_without_shuffling():
    images, labels = np.arange(20).reshape(5, 4), np.arange(5)
    for x, y in DataLoader((images, labels), 2):
        assert np.shares_memory(x, images)
        assert np.shares_memory(y, labels)


def test_a_shuffled_batch_is_one_gather_an_array():
    data = np.arange(20).reshape(10, 2).view(Watched)
    loader = DataLoader((np.zeros(10),), 4, shuffle=True)
    loader.arrays = (data, data)
    for number, (x, _) in enumerate(loader, 1):
        assert Watched.gathers == 2 * number
        assert not np.shares_memory(x, data)


def test_a_transform_sees_each_batch_as_a_whole():
    seen = []

    def double(x, y):
        seen.append(len(x))
        return 2 * x, y

    batches = list(DataLoader((np.arange(5), np.arange(5)), 2, transform=double))
    assert seen == [2, 2, 1]
    assert all((x == 2 * y).all() for x, y in batches)


@pytest.mark.parametrize(
    ("arrays", "batch_size", "error", "sentence"),
    [
        ((np.ones(3), np.ones(4)), 1, ValueError, r"the same number of samples, got \[3, 4\]"),
        ((), 1, ValueError, r"the same number of samples, got \[\]"),
        ((np.ones(3),), 0, ValueError, "DataLoader expects batch_size to be an integer of at least 1, got 0"),
        ((np.ones(3),), -1, ValueError, "DataLoader expects batch_size to be an integer of at least 1, got -1"),
        (np.ones((3, 2)), 1, TypeError, r"a tuple of arrays, got one array of shape \(3, 2\)"),
        (Tensor(np.ones((3, 2))), 1, TypeError, r"a tuple of arrays, got one array of shape \(3, 2\)"),
        ((np.ones(3), 5), 1, ValueError, r"DataLoader expects arrays of samples, got \[\(3,\), \(\)\]"),
    ],
)
def test_loaders_that_cannot_work_are_refused(arrays, batch_size, error, sentence):
    with pytest.raises(error, match=sentence):
        DataLoader(arrays, batch_size)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("kind", [np.ma.array, np.matrix])
@pytest.mark.parametrize(
    "use",
    [
        lambda array, path: DataLoader((np.ones((2, 2)), array), 2),
        lambda array, path: DataLoader([array], 2),
        lambda array, path: all_reduce(array),
        lambda array, path: nn.CrossEntropyLoss(weight=array),
        lambda array, path: F.cross_entropy(np.ones((2, 2)), array),
        lambda array, path: F.binary_cross_entropy_with_logits(np.ones((2, 2)), np.ones((2, 2)), weight=array),
        lambda array, path: nn.Linear(2, 2, bias=False).load_state_dict({"weight": array}),
        lambda array, path: nn.save({"weight": array}, path / "model.npz"),
        lambda array, path: tsne(array, 1),
    ],
)
def test_an_array_that_is_more_than_its_elements_is_never_taken_for_them(use, kind, tmp_path):
    given = kind([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises((TypeError, ValueError, nn.FileError), match=f"would lose what a {type(given).__name__} adds"):
        use(given, tmp_path)


@pytest.mark.parametrize(("result", "kind"), [(np.ones((2, 3)), "ndarray"), (None, "NoneType")])
def test_a_transform_that_returns_no_tuple_is_refused(result, kind):
    loader = DataLoader((np.ones((4, 3)), np.ones(4)), 2, transform=lambda images, labels: result)
    for give in (lambda: next(iter(loader)), lambda: loader.batch(range(1))):
        with pytest.raises(TypeError, match=f"a transform returns a tuple of the arrays of a batch, got a {kind}"):
            give()


@pytest.mark.parametrize("generator", [0, 7, np.random.RandomState(0), "seed"])
@pytest.mark.parametrize(
    "draw",
    [
        lambda generator: next(iter(DataLoader((np.arange(3),), 2, shuffle=True, generator=generator))),
        lambda generator: nn.Linear(2, 2, generator=generator),
        lambda generator: nn.init.uniform_(Tensor([1.0]), generator=generator),
        lambda generator: nn.functional.dropout(np.ones(3), generator=generator),
        lambda generator: RandomFlip(generator=generator)(np.ones((2, 3, 3))),
    ],
)
def test_what_is_no_generator_is_not_drawn_from(draw, generator):
    with pytest.raises(TypeError, match=r"random numbers are drawn from a numpy.random.Generator, .* got "):
        draw(generator)


# ---------------------------------------------------------------- Normalize


@given(mean=st.floats(-1, 1), std=st.floats(0.1, 10))
def test_normalize_scales_bytes_to_one_and_standardises_them(mean, std):
    images, labels = np.arange(256, dtype=np.uint8).reshape(4, 8, 8), np.arange(4)
    scaled, same = Normalize(mean, std)(images, labels)
    assert scaled.dtype == np.float32
    assert same is labels
    expected = (images.astype(float) / 255 - mean) / std
    # Two roundings to float32, of numbers that are at most (1 + |mean|) / std.
    np.testing.assert_allclose(scaled, expected, rtol=0, atol=4 * 2**-24 * (1 + abs(mean)) / std)
    np.testing.assert_array_equal(images.ravel(), np.arange(256))


PIXELS = np.array([[0, 51, 255]], np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64])
def test_integer_pixels_are_bytes(dtype):
    for got, expected in zip(Normalize(0.2, 0.5)(PIXELS.astype(dtype)), Normalize(0.2, 0.5)(PIXELS), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_floating_pixels_are_scaled_already(dtype):
    pixels = (PIXELS / 255).astype(dtype)
    scaled, _ = Normalize(0.2, 0.5)(pixels, np.arange(1))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, (pixels.astype(float) - 0.2) / 0.5, rtol=0, atol=2**-21)
    np.testing.assert_array_equal(Normalize()(pixels.astype(np.float32))[0], pixels.astype(np.float32))


def test_masks_are_black_and_white():
    np.testing.assert_array_equal(Normalize(0.5, 0.5)(np.array([[True, False]]))[0], [[1.0, -1.0]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, bool])
def test_no_images_are_normalised_to_none(dtype):
    assert Normalize()(np.empty((0, 28, 28), dtype))[0].shape == (0, 28, 28)


@pytest.mark.parametrize(
    ("images", "given"),
    [
        (PIXELS.astype(np.float32), "float32 from 0.0 to 255.0"),
        (PIXELS / 127.5 - 1, "float64 from -1.0 to 1.0"),
        (np.array([0.5, 1.0000001]), "float64 from 0.5 to 1.0000001"),
        (np.array([-1e-9, 1.0], np.float32), "float32 from -1e-09 to 1.0"),
        (np.array([0.5, np.nan]), "float64 from nan to nan"),
        (np.array([0.5, np.inf]), "float64 from 0.5 to inf"),
        (np.array([0, 65535], np.uint16), "uint16 from 0 to 65535"),
        (np.array([-1, 5]), "int64 from -1 to 5"),
        (np.array([1 + 0j]), "images of numbers, got complex128"),
        (np.array(["1"]), "images of numbers, got <U1"),
    ],
)
def test_pixels_of_another_scale_are_refused(images, given):
    with pytest.raises(ValueError, match=f"Normalize expects .*{given}"):
        Normalize(0.5, 0.5)(images)


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan"), "'1'"])
def test_normalize_refuses_a_standard_deviation_that_is_not_positive(std):
    with pytest.raises(ValueError, match=f"expects std to be a number from above 0 to less than inf, got {std}"):
        Normalize(0.0, std if isinstance(std, float) else "1")


# ---------------------------------------------------------------- stratified_split


@st.composite
def labels_and_size(draw):
    labels = np.array(draw(st.lists(st.integers(0, 4), min_size=1, max_size=60)))
    return labels, draw(st.integers(0, len(labels) - 1))


@given(case=labels_and_size(), seed=seeds)
def test_a_split_holds_out_each_class_in_proportion(case, seed):
    labels, size = case
    rest, held_out = stratified_split(labels, size, seed)
    assert len(held_out) == size
    np.testing.assert_array_equal(np.sort(np.concatenate([rest, held_out])), np.arange(len(labels)))
    assert (np.diff(rest) > 0).all()
    assert (np.diff(held_out) > 0).all()
    for c in np.unique(labels):
        exact = np.count_nonzero(labels == c) * size / len(labels)
        assert abs(np.count_nonzero(labels[held_out] == c) - exact) < 1


@given(case=labels_and_size(), seed=seeds)
def test_a_split_depends_on_nothing_but_its_arguments(case, seed):
    first = stratified_split(*case, seed)
    np.random.default_rng().random()
    nn.manual_seed(seed)
    second = stratified_split(*case, seed)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_seed_holds_out_other_samples():
    labels = np.arange(100) % 10
    splits = {tuple(stratified_split(labels, 50, seed)[1].tolist()) for seed in range(5)}
    assert len(splits) == 5


@pytest.mark.parametrize("size", [-1, 3, 4])
def test_a_split_leaves_something_for_training(size):
    with pytest.raises(ValueError, match=f"cannot hold out {size} of 3 samples"):
        stratified_split(np.array([0, 1, 2]), size)


@pytest.mark.parametrize(("mean", "std"), [(np.nan, 1.0), (np.inf, 1.0), (0.0, np.inf), (0.0, np.nan)])
def test_normalize_refuses_moments_that_are_not_finite(mean, std):
    with pytest.raises(ValueError, match=r"Normalize expects .* to be .* less than inf, got (nan|inf)"):
        Normalize(mean, std)


def test_labels_that_are_not_numbers_are_one_class_in_a_split():
    rest, held_out = stratified_split(np.array([np.nan, 1.0, np.nan, 1.0]), 2)
    assert len(rest) == len(held_out) == 2
    assert np.isnan(np.array([np.nan, 1.0, np.nan, 1.0])[held_out]).sum() == 1


def test_a_split_takes_one_label_a_sample():
    with pytest.raises(ValueError, match=r"one label for each sample, got shape \(4, 2\)"):
        stratified_split(np.eye(4, 2), 2)
