import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn.metrics import Evaluation, confusion_matrix, confusion_of


@st.composite
def predictions(draw):
    """The number of classes, and (true, predicted) for some samples."""
    classes = draw(st.integers(1, 5))
    index = st.integers(0, classes - 1)
    return classes, draw(st.lists(st.tuples(index, index), max_size=40))


def evaluation(classes, pairs, dtype=np.int64):
    true, predicted = np.array(pairs, dtype).reshape(-1, 2).T
    return Evaluation(0.0, confusion_matrix(true, predicted, classes))


@given(case=predictions(), dtype=st.sampled_from([np.uint8, np.int32, np.int64, np.uint64]))
def test_the_confusion_matrix_counts_pairs_of_true_and_predicted_class(case, dtype):
    classes, pairs = case
    confusion = evaluation(classes, pairs, dtype).confusion
    assert confusion.tolist() == [[pairs.count((i, j)) for j in range(classes)] for i in range(classes)]


def test_many_classes_do_not_overflow_labels_of_one_byte():
    label = np.array([199], np.uint8)
    assert confusion_matrix(label, label, 200)[199, 199] == 1


@given(case=predictions())
def test_accuracy_precision_recall_and_f1_are_what_counting_gives(case):
    classes, pairs = case
    result = evaluation(classes, pairs)
    right = sum(true == predicted for true, predicted in pairs)
    assert result.accuracy == (right / len(pairs) if pairs else 0)
    for c in range(classes):
        hits = pairs.count((c, c))
        predicted, actual = sum(p == c for _, p in pairs), sum(t == c for t, _ in pairs)
        precision, recall = hits / predicted if predicted else 0, hits / actual if actual else 0
        assert result.precision[c] == precision
        assert result.recall[c] == recall
        harmonic = 2 * precision * recall / (precision + recall) if hits else 0
        assert result.f1[c] == pytest.approx(harmonic, rel=1e-14)


@given(case=predictions(), n=st.integers(1, 4))
def test_the_most_confused_pairs_are_counted_both_ways(case, n):
    classes, pairs = case
    mistakes = {
        (i, j): pairs.count((i, j)) + pairs.count((j, i)) for i in range(classes) for j in range(i + 1, classes)
    }
    found = [(pair, times) for *pair, times in evaluation(classes, pairs).most_confused(n)]
    assert [times for _, times in found] == sorted(filter(None, mistakes.values()), reverse=True)[:n]
    assert all(mistakes[tuple(pair)] == times for pair, times in found)
    assert len({tuple(pair) for pair, _ in found}) == len(found)


@pytest.mark.parametrize(("true", "predicted"), [([0], [2]), ([-1], [0]), ([2], [0])])
def test_a_class_that_does_not_exist_is_refused(true, predicted):
    with pytest.raises(ValueError, match=r"expects class indices from 0 to 1, got -?[12]"):
        confusion_matrix(np.array(true), np.array(predicted), 2)


def test_each_class_has_a_row_and_each_row_a_class():
    found = Evaluation(0.5, np.array([[3, 1, 0], [0, 4, 0], [1, 0, 0]]))
    rows = [*found.of_classes(["cat", "dog", "cow"])]
    np.testing.assert_array_equal([row[1:4] for row in rows], np.stack([found.precision, found.recall, found.f1], 1))
    assert [(row[0], row[4]) for row in rows] == [("cat", 4), ("dog", 4), ("cow", 1)]
    for names in (["cat", "dog"], ["cat", "dog", "cow", "hen"]):
        with pytest.raises(ValueError, match=f"there are 3 classes, got {len(names)} names"):
            found.of_classes(names)


# ---------------------------------------------------------------- what is a class


@given(seed=st.integers(0, 2**32 - 1), shape=st.sampled_from([(7,), (0,), (3, 2), (2, 2, 2)]))
def test_classes_are_counted_as_integers_and_as_ones_in_rows_of_zeros(seed, shape):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 3, shape)
    outputs = rng.standard_normal((shape[0], 3, *shape[1:]))
    expected = np.zeros((3, 3), int)
    for true, predicted in zip(targets.ravel(), outputs.argmax(1).ravel(), strict=True):
        expected[true, predicted] += 1
    one_hot = np.moveaxis(np.eye(3)[targets], -1, 1)
    for classes in (targets, targets.astype(np.uint8), one_hot, one_hot.astype(int), one_hot.astype(bool)):
        np.testing.assert_array_equal(confusion_of(outputs, classes), expected)
    ignored = confusion_of(outputs, targets, lambda targets: targets != 1)
    np.testing.assert_array_equal(ignored, expected * [[1], [0], [1]])


OUTPUTS = np.array([[0.2, 0.8], [0.6, 0.4]])


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        (OUTPUTS, OUTPUTS),
        (OUTPUTS, np.array([[1.0, 1.0], [0.0, 1.0]])),
        (OUTPUTS, np.array([[0.0, 0.0], [0.0, 1.0]])),
        (OUTPUTS, np.array([0.0, 1.0])),
        (OUTPUTS, np.array([0, 2])),
        (OUTPUTS, np.array([0, -1])),
        (OUTPUTS, np.array([[0], [1]])),
        (OUTPUTS[:, :1], np.array([0, 0])),
        (OUTPUTS[:, :1], np.array([[1.0], [1.0]])),
        (OUTPUTS[:, 0], np.array([0, 1])),
        ((OUTPUTS, OUTPUTS), np.array([0, 1])),
    ],
)
def test_what_is_no_class_has_no_confusion_matrix(outputs, targets):
    assert confusion_of(outputs, targets) is None


def test_numbers_of_classes_and_of_pairs_are_integers_of_any_kind():
    labels = np.array([0, 1])
    np.testing.assert_array_equal(confusion_matrix(labels, labels, np.uint8(20)), np.diag([1, 1, *[0] * 18]))
    found = Evaluation(0.0, np.array([[0, 1, 0], [2, 0, 3], [0, 0, 0]]))
    assert found.most_confused(np.int8(1)) == [(0, 1, 3)]
    assert found.most_confused(0) == []
    for n in (-1, 1.5, None):
        with pytest.raises(ValueError, match="most_confused expects n to be an integer of at least 0, got"):
            found.most_confused(n)
    for classes in (-2, 2.0):
        with pytest.raises(ValueError, match="confusion_matrix expects classes to be an integer of at least 0, got"):
            confusion_matrix(labels, labels, classes)


@pytest.mark.parametrize("name", ["accuracy", "precision", "recall", "f1", "counts", "most_confused"])
def test_what_takes_classes_says_so_where_there_are_none(name):
    with pytest.raises(ValueError, match="only targets that are classes have a confusion matrix"):
        getattr(Evaluation(0.5), name)()
