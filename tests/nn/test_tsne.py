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


@pytest.mark.parametrize(
    ("points", "perplexity", "sentence"),
    [
        (np.zeros((20, 2)), 30, "at least 90 points for a perplexity of 30, got 20"),
        (np.zeros(20), 5, "finite numbers, got shape"),
        (np.full((20, 2), np.nan), 5, "finite numbers"),
    ],
)
def test_what_cannot_be_mapped_is_refused(points, perplexity, sentence):
    with pytest.raises(ValueError, match=sentence):
        tsne(points, perplexity)
