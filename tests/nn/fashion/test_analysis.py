"""What is read off predictions."""

import numpy as np
import pytest

from nn.fashion.analysis import Predictions, alikeness, written_analysis

CLASSES = ("hat", "cap", "sock")


@pytest.fixture
def predictions():
    """Two hats, one of them taken for a cap with great confidence, a cap that was hardly found, and a sock."""
    images = np.zeros((4, 6, 6), np.uint8)
    images[:3, :3] = 200
    images[2, 0, 0] = 90
    images[3, :, :2] = 200
    probabilities = np.array([[0.9, 0.08, 0.02], [0.004, 0.995, 0.001], [0.3, 0.4, 0.3], [0.1, 0.1, 0.8]])
    return Predictions(images, np.array([0, 0, 1, 2]), probabilities)


def test_mistakes_and_hits_come_in_the_order_of_confidence(predictions):
    assert predictions.most_confident_mistakes(5).tolist() == [1]
    assert predictions.least_confident_hits(2).tolist() == [2, 3]


def test_the_evaluation_is_that_of_the_probabilities(predictions):
    evaluation = predictions.evaluation()
    assert evaluation.accuracy == 0.75
    assert evaluation.loss == pytest.approx(-np.log([0.9, 0.004, 0.4, 0.8]).mean())


def test_calibration_compares_what_is_said_with_what_is_found(predictions):
    calibration = predictions.calibration(bins=2)
    assert calibration.counts.tolist() == [1, 3]
    assert calibration.said == pytest.approx([0.4, (0.9 + 0.995 + 0.8) / 3])
    assert calibration.found == pytest.approx([1, 2 / 3])
    assert calibration.error == pytest.approx((0.6 + abs(0.9 + 0.995 + 0.8 - 2)) / 4)


def test_probabilities_that_are_right_have_no_calibration_error():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1, 200_000)
    labels = (rng.uniform(size=p.size) > p).astype(int)
    assert Predictions(np.zeros((p.size, 1, 1), np.uint8), labels, np.stack([p, 1 - p], 1)).calibration().error < 0.01


def test_classes_with_like_images_are_alike(predictions):
    alike = alikeness(predictions)
    assert alike[0, 1] > 0.9 > alike[0, 2]
    np.testing.assert_allclose(alike.diagonal(), 1)


def test_the_analysis_names_what_goes_wrong_and_why(predictions):
    text = " ".join(written_analysis(predictions, CLASSES))
    assert "Of 4 test images 1 are classified wrongly (25.0%)" in text
    assert "100% of them confuse hat and cap (1 times)" in text
    assert "rank 1 of 3 pairs" in text
    assert "The weakest class is hat, of which 50% are found; the others are taken for cap (50%)" in text


def test_without_mistakes_there_is_nothing_to_analyse(predictions):
    perfect = Predictions(predictions.images[[0]], predictions.labels[[0]], predictions.probabilities[[0]])
    assert written_analysis(perfect, CLASSES) == ["All of the 1 test images are classified rightly."]
