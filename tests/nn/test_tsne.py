"""The map of points: its gradient, its groups, and the same divergence as another implementation reaches."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import gradcheck
from nn.tsne import divergence, neighbourhoods, squared_distances, tsne


def groups(rng, count=4, size=40, features=10):
    """Points around a few centres, and the number of each point's centre."""
    centres = rng.normal(0, 6, (count, features))
    points = centres[:, None] + rng.normal(size=(count, size, features))
    return points.reshape(-1, features), np.arange(count).repeat(size)


def kl(places, near):
    """The whole divergence, constant included."""
    entropy = (near * np.log(np.where(near > 0, near, 1))).sum()
    return float(divergence(mg.tensor(np.float64(places)), near).item() + entropy)


def test_the_divergence_has_the_gradient_of_the_paper():
    rng = np.random.default_rng(0)
    near, places = neighbourhoods(rng.normal(size=(20, 4)), 5).astype(np.float64), rng.normal(size=(20, 2))
    gradcheck(lambda y: divergence(y, near), places)
    closeness = 1 / (1 + squared_distances(places))
    np.fill_diagonal(closeness, 0)
    q = closeness / closeness.sum()
    apart = places[:, None] - places
    expected = 4 * (((near - q) * closeness)[..., None] * apart).sum(1)  # eq. 5
    np.testing.assert_allclose(mg.grad(divergence)(mg.tensor(places), near).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("size", [1e2, 1e3, 1e4])
def test_the_divergence_of_a_map_far_apart_is_right_in_single_precision(size):
    rng = np.random.default_rng(7)
    near, places = neighbourhoods(rng.normal(size=(40, 3)), 5), (size * rng.normal(size=(40, 2))).astype(np.float32)
    wide = divergence(np.float64(places), near.astype(np.float64))
    assert divergence(places, near).item() == pytest.approx(wide.item(), rel=1e-3)


def test_each_point_has_as_many_neighbours_as_the_perplexity_says():
    rng = np.random.default_rng(1)
    near = neighbourhoods(rng.normal(size=(60, 3)) * rng.uniform(0.1, 10, (60, 1)), 7).astype(np.float64)
    assert near.sum() == pytest.approx(1)
    np.testing.assert_array_equal(near, near.T)
    assert (near.diagonal() == 0).all()
    ours = near.sum(1)
    assert ours.min() >= 0.5 / 60 - 1e-6  # each has its own half, and what others give it


def test_groups_stay_together():
    points, group = groups(np.random.default_rng(2))
    places = tsne(points, perplexity=10, steps=300)
    d = squared_distances(places) + np.diag(np.full(len(places), np.inf))
    assert (group[d.argmin(1)] == group).mean() > 0.98
    assert places.dtype == np.float32


def test_the_same_points_give_the_same_map():
    points, _ = groups(np.random.default_rng(3), size=12)
    np.testing.assert_array_equal(tsne(points, 5, 60), tsne(points, 5, 60))


def test_points_that_are_the_same_are_no_trouble():
    assert np.isfinite(tsne(np.ones((20, 3)), 5, 60)).all()


def test_scikit_learn_reaches_about_the_same_divergence():
    manifold = pytest.importorskip("sklearn.manifold")
    points, _ = groups(np.random.default_rng(4))
    near = neighbourhoods(points, 20).astype(np.float64)
    theirs = manifold.TSNE(perplexity=20, method="exact", init="pca", random_state=0, max_iter=600)
    assert kl(tsne(points, 20, 600), near) < 1.1 * kl(theirs.fit_transform(points), near)


@pytest.mark.parametrize("perplexity", [1, 1.5, np.int8(13), 13.3])
def test_one_point_more_than_three_times_the_perplexity_is_enough(perplexity):
    points = np.random.default_rng(5).normal(size=(int(3 * float(perplexity)) + 1, 4))
    assert np.isfinite(tsne(points, perplexity, 60)).all()
    with pytest.raises(ValueError, match=f"more than .* points for a perplexity of {perplexity}, got"):
        tsne(points[:-1], perplexity, 60)


@pytest.mark.parametrize("exponent", [-1060, -700, -1, 700, 1023])
def test_the_map_does_not_depend_on_the_scale_of_the_points(exponent):
    points = np.random.default_rng(6).integers(-3, 4, (20, 3)) / 4
    np.testing.assert_array_equal(tsne(np.ldexp(points, exponent), 5, 60), tsne(points, 5, 60))


@pytest.mark.parametrize(
    ("points", "settings", "sentence"),
    [
        (np.zeros((20, 2)), {}, "more than 90 points for a perplexity of 30, got 20"),
        (np.zeros(20), {}, "finite numbers, got shape"),
        (np.full((20, 2), np.nan), {}, "finite numbers"),
        (np.zeros((99, 0)), {}, r"\(n, features\) finite numbers, got shape \(99, 0\)"),
        *((np.zeros((99, 2)), {"perplexity": perplexity}, "perplexity to be a number from 1 to less than inf, got")
          for perplexity in (-1, 0, 0.2, np.nan, np.inf, "5", None)),
        *((np.zeros((99, 2)), {"steps": steps}, "steps to be an integer of at least 0, got")
          for steps in (-1, 2.5, "3")),
    ],
)
def test_what_cannot_be_mapped_is_refused(points, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        tsne(points, **settings)
