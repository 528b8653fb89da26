import csv
import json
from dataclasses import asdict, replace

import numpy as np
import pytest

import nn
from nn.fashion import CLASSES, report
from nn.fashion.class_names import MOST_CLASSES
from nn.fashion.classifier import Classifier
from nn.fashion.dataset import SAMPLE_FOLDER, read_folder
from nn.fashion.recipes import RECIPES
from nn.fashion.result import environment, scores, write_json
from nn.fashion.training import EvaluationModeAfter, Run, as_count, draw_normal, progress
from nn.learner import Callback, NonFiniteLoss
from nn.metrics import Evaluation, confusion_matrix

SMALL = {"architecture": {"name": "mlp", "sizes": [784, 24, 10], "dropout": 0.2}, "epochs": 3, "val_size": 100}
TIMES = ("seconds", "images_per_second")


@pytest.fixture(scope="module")
def data():
    sample = read_folder(SAMPLE_FOLDER)
    return replace(
        sample,
        train_images=sample.train_images[:500],
        train_labels=sample.train_labels[:500],
        test_images=sample.test_images[:200],
        test_labels=sample.test_labels[:200],
    )


def small(name="default", **changes):
    return replace(RECIPES[name], **(SMALL | changes))


def refuse(sentence):
    raise AssertionError(f"unexpected warning: {sentence}")


def rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def weights(run):
    return np.concatenate([p.data.ravel() for p in run.learner.model.parameters()])


# ---------------------------------------------------------------- recipes


def test_the_recipes_are_the_documented_ones():
    references = ["article", "article-as-published", "sigmoid", "keras-cnn", "deep-fc"]
    residual = ["small-resnet", "resnet", "wide-resnet", "best-cnn"]
    assert list(RECIPES) == ["default", *references, "best-mlp", "fast-cnn", *residual]
    assert all(RECIPES[name].published != "–" for name in references)
    article, published = RECIPES["article"], RECIPES["article-as-published"]
    assert article.architecture == {"name": "mlp", "sizes": [784, 256, 64, 10], "dropout": 0.2}
    assert (article.optimizer, article.lr, article.batch_size, article.epochs) == ("sgd", 0.005, 32, 25)
    assert (article.initial_std, article.mean, article.std, article.val_size) == (0.1, 0.0, 1.0, 0)
    told = {"name": published.name, "summary": published.summary, "measured": published.measured}
    assert replace(article, **told, dropout_epochs=1) == published


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_learns_and_leaves_its_files(name, data, tmp_path):
    run = Run(small(name, epochs=6, lr=0.01, batch_size=32), data, tmp_path / "run")
    untrained = run.test()
    run.fit(refuse)
    evaluation = run.test()
    assert evaluation.loss < untrained.loss
    assert evaluation.accuracy > 0.2, "twice as good as guessing"
    assert evaluation.confusion.sum() == 200
    saved = run.save(evaluation)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(saved)
    assert {"model.npz", "metrics.csv", "config.json"} <= set(saved)


def test_the_article_starts_with_normal_weights_and_no_biases(data, tmp_path):
    run = Run(RECIPES["article"], data, tmp_path)
    for name, parameter in run.classifier.model.named_parameters():
        if name.endswith("bias"):
            assert (parameter.data == 0).all()
        else:
            n = parameter.size
            assert abs(parameter.data.mean()) < 5 * 0.1 / np.sqrt(n)
            assert abs(parameter.data.std() - 0.1) < 5 * 0.1 / np.sqrt(2 * n)
    assert len(run.train) == -(-500 // 32), "on all training images"
    assert run.valid is None


def test_the_schedule_ends_near_zero_with_the_last_step(data, tmp_path):
    run = Run(small(), data, tmp_path)
    run.fit(refuse)
    lrs = [row["lr"] for row in run.learner.history]
    assert max(lrs) <= RECIPES["default"].lr
    assert 0 < lrs[-1] < 1e-3 * max(lrs)
    constant = Run(small("article"), data, tmp_path)
    constant.fit(refuse)
    assert [row["lr"] for row in constant.learner.history] == [0.005] * 3


class RateWatch(Callback):
    """Notes the learning rate after each step."""

    def __init__(self):
        self.rates = []

    def on_batch_end(self, learner):
        self.rates.append(learner.optimizer.param_groups[0]["lr"])


def test_a_triangle_rises_for_a_seventh_of_the_steps_and_falls_in_a_straight_line(data, tmp_path):
    watch = RateWatch()
    Run(small(schedule="triangle", epochs=2, batch_size=8), data, tmp_path, [watch]).fit(refuse)
    highest = int(np.argmax(watch.rates))
    assert highest / len(watch.rates) == pytest.approx(1 / 7, abs=0.03)
    rates = np.array(watch.rates)
    for side in rates[:highest], rates[highest + 1 :]:
        np.testing.assert_allclose(np.diff(side, 2), 0, atol=1e-12)
    assert 0 < rates[-1] < 0.02 * rates.max()


class DropoutWatch(Callback):
    """Notes for each epoch whether the model was in training mode, and whether it gives two outputs for one input."""

    def __init__(self):
        self.training, self.random = [], []

    def on_batch_end(self, learner):
        image = np.full((1, 28, 28), 0.5, np.float32)
        self.training.append(learner.model.training)
        self.random.append(not np.array_equal(learner.model(image).data, learner.model(image).data))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("default", [True, True, True]),
        ("article", [True, True, True]),
        ("article-as-published", [True, False, False]),
    ],
)
def test_dropout_acts_in_every_epoch_except_as_published(name, expected, data, tmp_path):
    watch = DropoutWatch()
    Run(small(name, batch_size=400), data, tmp_path, [watch]).fit(refuse)
    assert watch.training == expected
    assert watch.random == expected


def test_evaluation_mode_can_begin_after_any_epoch():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 2))
    watch = DropoutWatch()
    watch.on_batch_end = lambda learner: watch.training.append(learner.model.training)
    learner = nn.Learner(model, nn.optim.SGD(model.parameters(), lr=0.1), callbacks=[EvaluationModeAfter(2), watch])
    learner.fit(nn.DataLoader((np.ones((2, 2), np.float32), np.array([0, 1])), 2), epochs=4)
    assert watch.training == [True, True, False, False]


def test_validation_images_are_held_out_the_same_for_every_seed(data, tmp_path):
    first, second = (Run(small(seed=seed), data, tmp_path) for seed in (0, 1))
    held_out = first.valid.arrays[0]
    np.testing.assert_array_equal(held_out, second.valid.arrays[0])
    assert len(held_out) == 100
    assert first.train.num_samples == 400
    rest = {image.tobytes() for image in first.train.arrays[0]}
    assert not rest & {image.tobytes() for image in held_out}


def test_a_seed_reproduces_a_run_to_the_last_bit_and_another_does_not(data, tmp_path):
    runs = []
    for seed in (5, 5, 6):
        run = Run(small(seed=seed), data, tmp_path / str(seed))
        run.fit(refuse)
        runs.append(run)
    histories = [[{k: v for k, v in row.items() if k not in TIMES} for row in run.learner.history] for run in runs]
    assert histories[0] == histories[1] != histories[2]
    np.testing.assert_array_equal(weights(runs[0]), weights(runs[1]))
    assert not np.array_equal(weights(runs[0]), weights(runs[2]))


def test_more_validation_images_than_there_are_is_one_sentence(data, tmp_path):
    with pytest.raises(ValueError, match="cannot hold out 5000 of 500 samples"):
        Run(small(val_size=5000), data, tmp_path)


# ---------------------------------------------------------------- files


def test_the_files_say_what_was_done_and_how_it_went(data, tmp_path):
    run = Run(small(seed=3), data, tmp_path / "a" / "b")
    run.fit(refuse)
    folder = tmp_path / "a" / "b"
    assert json.loads((folder / "config.json").read_text()) == json.loads(json.dumps(asdict(small(seed=3))))
    assert rows(folder) == run.learner.history
    columns = {"epoch", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "lr", *TIMES}
    assert set(rows(folder)[0]) == columns
    assert [row["epoch"] for row in rows(folder)] == [1, 2, 3]


def test_the_saved_model_is_the_trained_one_with_its_preprocessing(data, tmp_path):
    run = Run(small(), data, tmp_path)
    run.fit(refuse)
    loaded = Classifier.load(tmp_path / "model.npz")
    assert (loaded.mean, loaded.std, loaded.classes) == (0.2860, 0.3530, CLASSES)
    expected = run.classifier.predict_proba(data.test_images)
    np.testing.assert_array_equal(loaded.predict_proba(data.test_images), expected)
    assert loaded.evaluate(data.test_images, data.test_labels).loss == run.test().loss


def test_a_report_is_drawn_where_matplotlib_is_installed(data, tmp_path):
    pytest.importorskip("matplotlib")
    for val_size in (0, 100):
        run = Run(small(epochs=1, val_size=val_size), data, tmp_path / str(val_size))
        run.fit(refuse)
        assert "report.png" in run.save(run.test())
        picture = (tmp_path / str(val_size) / "report.png").read_bytes()
        assert picture.startswith(b"\x89PNG\r\n\x1a\n")
        assert picture.endswith(b"IEND\xaeB`\x82")


def test_without_matplotlib_all_but_the_picture_is_saved(data, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "can_draw", lambda: False)
    run = Run(small(epochs=1), data, tmp_path)
    run.fit(refuse)
    assert "report.png" not in run.save(run.test())
    assert not (tmp_path / "report.png").exists()


def test_a_run_stopped_before_its_first_epoch_can_be_saved(data, tmp_path):
    class StopAtOnce(Callback):
        def on_fit_start(self, learner):
            learner.stop = True

    run = Run(small(), data, tmp_path, [StopAtOnce()])
    before = weights(run)
    run.fit(refuse)
    run.save(run.test())
    np.testing.assert_array_equal(weights(run), before)
    assert Classifier.load(tmp_path / "model.npz").predict(data.test_images) == run.classifier.predict(data.test_images)


def test_a_dry_step_writes_nothing(data, tmp_path):
    run = Run(small(), data, tmp_path / "run")
    assert 1 < run.try_one_batch() < 5
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- when things go wrong


def test_a_folder_that_cannot_be_written_to_fails_before_training(data, tmp_path):
    (tmp_path / "file").write_text("in the way")
    run = Run(small(), data, tmp_path / "file" / "run")
    before = weights(run)
    with pytest.raises(nn.FileError, match=r"cannot write .*config\.json"):
        run.fit(refuse)
    np.testing.assert_array_equal(weights(run), before)


def test_a_disk_that_fills_up_is_a_warning_and_the_last_good_file_stays(data, tmp_path, monkeypatch):
    save, warnings = Classifier.save, []

    def save_once(self, path):
        if path.exists():
            raise nn.FileError(f"cannot write {path}: No space left on device")
        save(self, path)

    monkeypatch.setattr(Classifier, "save", save_once)
    run = Run(small(), data, tmp_path)
    after_epoch = []
    run.learner.callbacks.append(nn.callbacks.AfterEpoch(lambda learner: after_epoch.append(weights(run))))
    run.fit(warnings.append)
    assert len(run.learner.history) == 3
    assert [sentence.split(":")[0] for sentence in warnings] == [f"epoch {n} could not be saved" for n in (2, 3)]
    assert "No space left on device" in warnings[0]
    kept = Classifier.load(tmp_path / "model.npz").model
    np.testing.assert_array_equal(np.concatenate([p.data.ravel() for p in kept.parameters()]), after_epoch[0])
    assert len(rows(tmp_path)) == 1


class Poison(Callback):
    """Makes the weights NaN after a number of steps, as a step that is far too long does."""

    def __init__(self, steps):
        self.steps = steps

    def on_batch_end(self, learner):
        if learner.step == self.steps:
            for parameter in learner.model.parameters():
                parameter.data = parameter.data * np.nan


@pytest.mark.parametrize(
    ("steps", "when", "last"),
    [
        (2, "at step 3 (epoch 1)", "no model was saved"),
        (6, "at step 7 (epoch 2)", "the model after epoch 1 is in {folder}"),
        (4, "after step 4 (epoch 1)", "no model was saved"),
        (8, "after step 8 (epoch 2)", "the model after epoch 1 is in {folder}"),
        (12, "after step 12 (epoch 3)", "the model after epoch 2 is in {folder}"),
    ],
)
def test_divergence_names_the_last_good_model(steps, when, last, data, tmp_path):
    run = Run(small(batch_size=100), data, tmp_path, [Poison(steps)])
    with pytest.raises(NonFiniteLoss) as caught:
        run.fit(refuse)
    assert f"loss became nan {when} with learning rate" in str(caught.value)
    assert str(caught.value).endswith("; " + last.format(folder=tmp_path))
    if "after epoch" in last:
        parameters = Classifier.load(tmp_path / "model.npz").model.parameters()
        assert all(np.isfinite(parameter.data).all() for parameter in parameters)
    else:
        assert not (tmp_path / "model.npz").exists()


def test_a_learning_rate_that_is_far_too_high_is_found_out(data, tmp_path):
    run = Run(small("article", lr=1e30, val_size=0), data, tmp_path)
    with np.errstate(all="ignore"), pytest.raises(NonFiniteLoss, match=r"with learning rate 1e\+30: lower the"):
        run.fit(refuse)


# ---------------------------------------------------------------- what is said


def evaluation(pairs):
    return Evaluation(0.25, confusion_matrix(*np.array(pairs).T, 3))


def test_the_summary_names_every_class_and_the_most_confused_pairs():
    text = report.summary(evaluation([(0, 0), (0, 1), (1, 0), (1, 1), (1, 1), (2, 1)]), ("cat", "dog", "cow"))
    lines = text.splitlines()
    assert lines[0] == "Test loss 0.2500, test accuracy 50.00%"
    assert lines[3].split() == ["cat", "50.0%", "50.0%", "50.0%"]
    assert lines[4].split() == ["dog", "50.0%", "66.7%", "57.1%"]
    assert lines[5].split() == ["cow", "0.0%", "0.0%", "0.0%"]
    assert lines[-1] == "Most confused: cat and dog (2 times), dog and cow (1 times)"


def test_a_perfect_classifier_confuses_nothing():
    text = report.summary(evaluation([(0, 0), (1, 1), (2, 2)]), ("cat", "dog", "cow"))
    assert text.endswith("Most confused: none")


def test_progress_is_a_table_and_a_bar_only_where_there_can_be_one(monkeypatch):
    for available, kinds in ((True, ["ProgressBar", "EpochTable"]), (False, ["EpochTable"])):
        monkeypatch.setattr(nn.callbacks.ProgressBar, "is_available", lambda answer=available: answer)
        assert [type(callback).__name__ for callback in progress()] == kinds


def test_drawn_weights_are_the_same_under_a_seed():
    models = []
    for _ in range(2):
        nn.manual_seed(1)
        models.append(nn.Linear(3, 4))
        draw_normal(models[-1], 0.5)
    np.testing.assert_array_equal(models[0].weight.data, models[1].weight.data)


def test_a_job_of_any_number_of_processes_may_have_written_a_checkpoint():
    assert as_count(2048, "processes") == 2048
    for number in (0, -1, None, "2", 2.0, True):
        with pytest.raises(ValueError, match="its number of processes is"):
            as_count(number, "processes")
    with pytest.raises(ValueError, match="its number of threads is 2048"):
        as_count(2048, "threads", 1024)


def test_the_result_of_the_most_classes_is_read_again(tmp_path):
    result = scores(Evaluation(0.5, np.full((MOST_CLASSES, MOST_CLASSES), 99)), [*map(str, range(MOST_CLASSES))])
    write_json({"test": result}, tmp_path / "result.json")
    assert nn.files.read_json(tmp_path / "result.json") == {"test": result}


@pytest.mark.parametrize(("limit", "threads"), [
    ("1", 1), ("1024", 1024), ("0", None), ("1025", None), ("9" * 5000, None), ("2,1", None), ("", None),
], ids=lambda value: f"{value!s:.5}")
def test_no_environment_is_told_that_a_checkpoint_may_not_have(limit, threads, monkeypatch, data, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    monkeypatch.setattr("nn.fashion.result.product_threads", lambda: None)
    assert environment()["threads"] == threads
    run = Run(replace(RECIPES["default"], **SMALL), data, tmp_path)
    run.save_checkpoint()
    assert Run.resumed(tmp_path, data).made_with["threads"] == threads


@pytest.mark.parametrize("std", [0.5, "he"])
def test_weights_are_drawn_for_networks_with_batch_norm_too(std):
    model = nn.Sequential(nn.Conv2d(1, 50, 5), nn.BatchNorm2d(50), nn.Flatten(), nn.Linear(50, 3))
    model[1].bias.data += 1
    draw_normal(model, std)
    np.testing.assert_array_equal(model[1].weight.numpy(), np.ones(50))
    np.testing.assert_array_equal(model[1].bias.numpy(), np.zeros(50))
    assert model[0].weight.numpy().std() == pytest.approx(0.5 if std == 0.5 else (2 / 25) ** 0.5, rel=0.1)


@pytest.mark.parametrize("wish", [{"keep": "best"}, {"patience": 2}])
def test_what_takes_validation_images_is_refused_where_there_are_too_few_to_hold_any_out(data, tmp_path, wish):
    few = replace(data, train_images=data.train_images[:10], train_labels=data.train_labels[:10])
    with pytest.raises(ValueError, match="takes validation images, and val_size is 0"):
        Run(small(val_size=None, **wish), few, tmp_path)


@pytest.mark.parametrize("setting", ["optimizer", "loss", "schedule", "flip", "keep"])
def test_a_setting_that_a_recipe_does_not_know_is_refused(setting):
    with pytest.raises(ValueError, match=f"{setting} is one of .*, got 'unheard of'"):
        replace(RECIPES["default"], **{setting: "unheard of"})


def test_a_recipe_takes_numbers_of_numpy(data, tmp_path):
    architecture = {"name": "mlp", "sizes": [np.int64(784), np.int64(10)]}
    numbers = {"epochs": np.int64(1), "batch_size": np.int64(50), "lr": np.float32(0.01), "seed": np.int64(0)}
    settings = numbers | {"architecture": architecture, "workers": np.int64(1), "val_size": np.int64(10)}
    run = Run(replace(RECIPES["default"], **settings), data, tmp_path)
    run.fit(warn=print)
    assert run.save() == ["model.npz", "metrics.csv", "config.json", "checkpoint.npz"]
    assert json.loads((tmp_path / "config.json").read_text())["architecture"]["sizes"] == [784, 10]
    assert Classifier.load(tmp_path / "model.npz").architecture == {"name": "mlp", "sizes": [784, 10]}
