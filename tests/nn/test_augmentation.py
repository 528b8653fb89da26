import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nn
from nn.augmentation import AlternatingFlip, Compose, Mixup, RandomErase, RandomFlip, RandomShift
from nn.data import DataLoader, Normalize

seeds = st.integers(0, 2**32 - 1)


@st.composite
def batches(draw):
    """Images of either number of axes and either dtype, no two pixels the same if there are at most 255 of them."""
    batch, height, width = draw(st.integers(0, 6)), draw(st.integers(1, 6)), draw(st.integers(1, 6))
    channels = draw(st.sampled_from([(), (1,), (3,)]))
    shape = (batch, *channels, height, width)
    dtype = draw(st.sampled_from([np.uint8, np.float32]))
    return (np.arange(1, np.prod(shape) + 1) % 255 + 1).astype(dtype).reshape(shape)


def seeded(seed):
    return np.random.default_rng(seed)


def numbered(n, size=4):
    return np.arange(1, n * size * size + 1).reshape(n, size, size)


# ---------------------------------------------------------------- what all have in common


MAKERS = {
    "flip": lambda generator: RandomFlip(generator=generator),
    "shift": lambda generator: RandomShift(2, generator=generator),
    "erase": lambda generator: RandomErase(1, p=0.5, generator=generator),
    "mixup": lambda generator: Compose(lambda x, *y: (x.astype(np.float32), *y), Mixup(0.5, 3, generator=generator)),
}
every_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
every_mover = pytest.mark.parametrize("make", list(MAKERS.values())[:3], ids=list(MAKERS)[:3])


@every_mover
@given(images=batches(), seed=seeds)
def test_shape_and_dtype_are_kept_and_nothing_that_was_given_changes(make, images, seed):
    before, labels, weights = images.copy(), np.arange(len(images)), np.ones(len(images))
    changed, *others = make(seeded(seed))(images, labels, weights)
    assert (changed.shape, changed.dtype) == (images.shape, images.dtype)
    assert changed.flags.c_contiguous
    assert not np.shares_memory(changed, images)
    np.testing.assert_array_equal(images, before)
    assert others[0] is labels
    assert others[1] is weights


@every_mover
def test_read_only_and_strided_images_are_fine(make):
    images = numbered(6).astype(np.uint8)
    strided = np.repeat(images, 2, axis=0)[::2]
    strided.flags.writeable = False
    np.testing.assert_array_equal(make(seeded(1))(strided)[0], make(seeded(1))(images)[0])


@every_maker
def test_generators_of_the_same_seed_give_the_same_batches_and_others_give_others(make):
    images, labels = numbered(40), np.arange(40) % 3

    def draw(seed):
        transform = make(seeded(seed))
        return [transform(images, labels)[0].tolist() for _ in range(2)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert draw(1)[0] != draw(1)[1]


@every_maker
def test_chance_comes_from_the_default_generator_unless_another_is_given(make):
    images, labels, transform = numbered(40), np.arange(40) % 3, make(None)
    nn.manual_seed(5)
    first = transform(images, labels)[0]
    nn.manual_seed(5)
    np.testing.assert_array_equal(transform(images, labels)[0], first)


@pytest.mark.parametrize("shape", [(4, 4), (1, 1, 1, 4, 4)])
@pytest.mark.parametrize("transform", [RandomFlip(), RandomShift(1), RandomErase(1), AlternatingFlip(9)])
def test_images_of_another_number_of_axes_are_refused(transform, shape):
    name = type(transform).__name__
    with pytest.raises(ValueError, match=rf"{name} expects images of shape .*, got \({shape[0]}, {shape[1]}"):
        transform(np.zeros(shape), np.arange(shape[0]))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: RandomFlip(1.5), "RandomFlip expects p to be a number from 0 to 1, got 1.5"),
        (lambda: RandomErase(2, p=float("nan")), "RandomErase expects p to be a number from 0 to 1, got nan"),
        (lambda: RandomErase(-1), "RandomErase expects size to be an integer of at least 0, got -1"),
        (lambda: RandomShift(-1), "RandomShift expects pixels to be an integer of at least 0, got -1"),
        (lambda: RandomShift(1, p=1.5), "RandomShift expects p to be a number from 0 to 1, got 1.5"),
        (lambda: Mixup(0.0, 10), "Mixup expects alpha to be a number from above 0 to less than inf, got 0.0"),
        *((lambda alpha=alpha: Mixup(alpha, 10), "Mixup expects alpha to be a number from above 0 to less than")
          for alpha in (math.inf, math.nan, "1", None, np.array([0.2]), 10**400)),
        *((lambda make=make, fill=fill: make(1, fill=fill), "expects fill to be a number from above -inf to less than")
          for make in (RandomShift, RandomErase) for fill in (math.inf, math.nan, "x", None, 10**400)),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_transforms_are_applied_in_their_order_in_a_loader():
    images, labels = np.full((4, 3, 3), 255, np.uint8), np.arange(4)
    transform = Compose(RandomErase(3, fill=51), Normalize())
    for x, y in DataLoader((images, labels), 2, transform=transform):
        np.testing.assert_allclose(x, np.full((2, 3, 3), 0.2), rtol=1e-6)
        assert len(y) == 2


# ---------------------------------------------------------------- mirrored


@given(images=batches(), seed=seeds)
def test_a_flip_leaves_each_image_or_mirrors_all_of_it_left_to_right(images, seed):
    (flipped,) = RandomFlip(generator=seeded(seed))(images)
    for image, result in zip(images, flipped, strict=True):
        assert np.array_equal(result, image) or np.array_equal(result, image[..., ::-1])


@given(images=batches())
def test_to_flip_twice_for_certain_is_the_identity_and_so_is_never_to_flip(images):
    flip = RandomFlip(p=1)
    np.testing.assert_array_equal(flip(images)[0], images[..., ::-1])
    np.testing.assert_array_equal(flip(*flip(images))[0], images)
    np.testing.assert_array_equal(RandomFlip(p=0)(images)[0], images)


def test_a_flip_has_its_probability():
    images = np.tile(np.array([0, 1]), (4000, 1, 1))
    flipped = RandomFlip(p=0.25, generator=seeded(0))(images)[0][:, 0, 0].sum()
    assert abs(flipped - 1000) < 6 * np.sqrt(4000 * 0.25 * 0.75)


@given(samples=st.integers(1, 12), batch_size=st.integers(1, 5), seed=seeds)
def test_an_alternating_flip_mirrors_half_of_the_samples_first_and_each_in_every_second_epoch(
    samples, batch_size, seed
):
    images = np.tile(np.array([0, 1], np.uint8), (samples, 1, 1))
    generator = seeded(seed)
    transform = AlternatingFlip(samples, generator)
    arrays = (images, np.arange(samples), np.arange(samples))
    loader = DataLoader(arrays, batch_size, shuffle=True, generator=generator, transform=transform)
    epochs = []
    for _ in range(4):
        mirrored = np.full(samples, -1)
        for x, y in loader:  # the numbers at the end are gone
            mirrored[y] = x[:, 0, 0]
        epochs.append(mirrored)
    assert epochs[0].sum() == samples // 2
    for earlier, later in pairwise(epochs):
        np.testing.assert_array_equal(later, 1 - earlier)


def test_an_alternating_flip_counts_only_the_times_a_sample_was_seen():
    images, numbers, transform = np.tile(np.array([0, 1]), (6, 1, 1)), np.arange(6), AlternatingFlip(6)
    first = transform(images, numbers)[0][:, 0, 0]
    some = transform(images[:2], numbers[:2])[0][:, 0, 0]
    last = transform(images, numbers)[0][:, 0, 0]
    np.testing.assert_array_equal(some, 1 - first[:2])
    np.testing.assert_array_equal(last, np.concatenate([first[:2], 1 - first[2:]]))


def test_the_half_that_is_mirrored_first_is_a_random_one():
    halves = {tuple(AlternatingFlip(8, seeded(seed)).next_mirrored.tolist()) for seed in range(20)}
    assert len(halves) > 10


# ---------------------------------------------------------------- moved


def crops(image, pixels, fill):
    """All ways in which an image can be moved, by padding it and cutting out."""
    margins = [(0, 0)] * (image.ndim - 2) + [(pixels, pixels)] * 2
    padded = np.pad(image, margins, constant_values=fill)
    height, width = image.shape[-2:]
    ways = range(2 * pixels + 1)
    return {(y, x): padded[..., y : y + height, x : x + width] for y, x in product(ways, ways)}


@given(images=batches(), pixels=st.integers(0, 3), fill=st.sampled_from([0, 7]), seed=seeds)
def test_a_shift_gives_one_of_the_padded_crops_of_each_image(images, pixels, fill, seed):
    (moved,) = RandomShift(pixels, fill, generator=seeded(seed))(images)
    for image, result in zip(images, moved, strict=True):
        assert any(np.array_equal(result, crop) for crop in crops(image, pixels, fill).values())


def test_each_image_goes_its_own_way_and_all_ways_are_equally_likely():
    images = np.broadcast_to(numbered(1), (9000, 4, 4))
    (moved,) = RandomShift(1, generator=seeded(0))(images)
    counts = [(moved == crop).all((1, 2)).sum() for crop in crops(images[0], 1, 0).values()]
    assert sum(counts) == 9000
    assert all(abs(count - 1000) < 6 * np.sqrt(9000 / 9 * 8 / 9) for count in counts)


def test_only_some_images_are_shifted_if_the_probability_says_so():
    images = np.broadcast_to(numbered(1), (9000, 4, 4))
    (moved,) = RandomShift(1, p=0.3, generator=seeded(0))(images)
    shifted = (moved != images).any((1, 2)).sum()
    expected = 9000 * 0.3 * 8 / 9  # one of the nine ways leads nowhere
    assert abs(shifted - expected) < 6 * np.sqrt(expected)
    (same,) = RandomShift(1, p=0, generator=seeded(0))(images)
    np.testing.assert_array_equal(same, images)


# ---------------------------------------------------------------- erased


@given(images=batches(), fraction=st.floats(0, 1), seed=seeds)
def test_an_erased_image_differs_in_one_square_that_is_the_same_in_all_channels(images, fraction, seed):
    size = int(fraction * min(images.shape[-2:]))
    (erased,) = RandomErase(size, generator=seeded(seed))(images)
    for image, result in zip(images, erased, strict=True):
        changed = result != image
        rows, columns = np.nonzero(changed.reshape(-1, *changed.shape[-2:])[0])
        square = np.zeros(images.shape[-2:], bool)
        if size:
            square[rows.min() : rows.min() + size, columns.min() : columns.min() + size] = True
            assert square.sum() == size**2
        np.testing.assert_array_equal(changed, np.broadcast_to(square, changed.shape))
        assert (result[changed] == 0).all()


def test_all_places_are_equally_likely_to_be_erased():
    images = np.ones((9000, 4, 4), np.uint8)
    (erased,) = RandomErase(2, fill=0, generator=seeded(0))(images)
    places = [(erased[:, y : y + 2, x : x + 2] == 0).all((1, 2)).sum() for y, x in product(range(3), range(3))]
    assert sum(places) == 9000
    assert all(abs(count - 1000) < 6 * np.sqrt(9000 / 9 * 8 / 9) for count in places)


def test_only_the_share_p_of_the_images_is_erased():
    images = np.ones((4000, 2, 2), np.uint8)
    erased = (RandomErase(1, p=0.25, generator=seeded(0))(images)[0] == 0).any((1, 2)).sum()
    assert abs(erased - 1000) < 6 * np.sqrt(4000 * 0.25 * 0.75)
    np.testing.assert_array_equal(RandomErase(2, p=0)(images)[0], images)


def test_a_square_must_fit_into_the_images():
    with pytest.raises(ValueError, match="RandomErase cannot erase 5 x 5 pixels of images 4 x 6"):
        RandomErase(5)(np.zeros((2, 4, 6)))


# ---------------------------------------------------------------- mixed


@given(n=st.integers(1, 6), alpha=st.floats(0.05, 5), seed=seeds, channels=st.sampled_from([(), (2,)]))
def test_labels_are_mixed_in_the_same_shares_as_the_images(n, alpha, seed, channels):
    rng = seeded(seed)
    labels, weights = rng.integers(0, 3, n), np.ones(n)
    # Sample i is 1 at pixel i alone, so a mixed image shows what it is made of.
    images = np.broadcast_to(np.eye(n, dtype=np.float32).reshape(n, *(1 for _ in channels), 1, n), (n, *channels, 1, n))
    mixed, targets, same = Mixup(alpha, 3, rng)(images, labels, weights)
    shares = mixed.reshape(n, -1, n)[:, 0]
    assert (mixed.shape, mixed.dtype, targets.dtype) == (images.shape, np.float32, np.float32)
    np.testing.assert_allclose(targets, shares @ np.eye(3)[labels], atol=1e-6)
    np.testing.assert_allclose(shares.sum(0), 1, atol=1e-6)  # everyone is somebody's partner once
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    own = shares.diagonal()[shares.diagonal() < 1 - 1e-6]
    np.testing.assert_allclose(own, own[:1].repeat(len(own)), atol=1e-6)
    assert same is weights
    np.testing.assert_array_equal(images.reshape(n, -1, n)[:, 0], np.eye(n))


def test_shares_follow_the_beta_distribution():
    mix = Mixup(0.4, 2, seeded(0))
    images, labels = np.zeros((2, 1, 1), np.float32), np.array([0, 1])
    shares = np.array([mix(images, labels)[1][0, 0] for _ in range(4000)])
    mixed = shares[shares < 1]  # half of the permutations of two samples mix each with itself
    assert abs(len(mixed) - 2000) < 6 * np.sqrt(1000)
    variance = 1 / (4 * (2 * 0.4 + 1))  # of Beta(a, a), around 1/2; it is a mean over numbers of at most 1/4
    assert abs(mixed.mean() - 0.5) < 6 * np.sqrt(variance / len(mixed))
    assert abs(((mixed - 0.5) ** 2).mean() - variance) < 6 * 0.25 / 2 / np.sqrt(len(mixed))


def test_the_loss_of_a_mixed_batch_is_the_mix_of_the_losses():
    images, labels = np.eye(4, dtype=np.float32).reshape(4, 2, 2), np.array([0, 1, 2, 0])
    mixed, targets = Mixup(1.0, 3, seeded(3))(images, labels)
    logits = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))(mixed)
    each = [nn.functional.cross_entropy(logits, np.full(4, c), reduction="none").data for c in range(3)]
    loss = nn.CrossEntropyLoss()(logits, targets).item()
    assert loss == pytest.approx((targets * np.stack(each, 1)).sum() / 4, rel=1e-5)


def test_bytes_cannot_be_mixed_and_labels_must_be_classes():
    with pytest.raises(TypeError, match=r"Mixup expects floating images, got uint8: put Normalize\(\) before it"):
        Mixup(1.0, 2)(np.zeros((2, 3, 3), np.uint8), np.array([0, 1]))
    for labels, found in [([0, 2], "0 to 2"), ([-1, 1], "-1 to 1")]:
        with pytest.raises(ValueError, match=f"Mixup expects labels from 0 to 1, got {found}"):
            Mixup(1.0, 2)(np.zeros((2, 3, 3), np.float32), np.array(labels))


@pytest.mark.parametrize("make", [RandomShift, RandomErase])
@pytest.mark.parametrize(
    ("dtype", "held", "others"),
    [
        (np.uint8, [0, 255, np.float32(7)], [-1.0, 256, 0.5]),
        (np.int64, [-(2**63), 2**53 + 1, 2**63 - 1], [2**63, 0.5]),
        (np.uint64, [2**63], [2**64, -1]),
        (bool, [0, 1, True], [2, 256, 0.5, -1]),
        (np.float16, [-65504, 0.1], [65520, 1e6, -1e300]),
        (np.float32, [3e38, 0.1], [1e39]),
        (np.float64, [1.7e308], []), (np.str_, [], [0]), (np.object_, [], [0]),
    ],
)
def test_a_filling_that_the_images_cannot_hold_is_refused(make, dtype, held, others):
    images = np.ones((30, 3, 3), dtype)
    for fill in held:
        (filled,) = make(1, fill=fill, generator=seeded(0))(images)
        assert {*filled.ravel()} == {dtype(1), dtype(fill)}
    for fill in others:
        with pytest.raises(ValueError, match=f"{make.__name__} cannot fill images of {images.dtype} with"):
            make(1, fill=fill)(images)


@pytest.mark.parametrize(
    ("labels", "error", "sentence"),
    [
        (np.array([[0], [1]]), ValueError, r"Mixup expects 2 labels for as many images, got shape \(2, 1\)"),
        (np.array([0, 1, 0]), ValueError, r"Mixup expects 2 labels for as many images, got shape \(3,\)"),
        (np.eye(2), TypeError, "Mixup expects class indices as labels, got float64"),
        (np.array([True, False]), TypeError, "Mixup expects class indices as labels, got bool"),
    ],
)
def test_mixup_takes_one_class_index_an_image(labels, error, sentence):
    with pytest.raises(error, match=sentence):
        Mixup(1.0, 2)(np.zeros((2, 3, 3), np.float32), labels)
