import csv
import io
import sys

import numpy as np
import pytest

import nn
from nn.callbacks import (
    AfterEpoch,
    AveragedWeights,
    EarlyStopping,
    EpochTable,
    KeepBest,
    ProgressBar,
    write_history,
)
from nn.data import DataLoader
from nn.learner import Callback, Learner


def data(n):
    rng = np.random.default_rng(n)
    return DataLoader((rng.standard_normal((n, 3)).astype(np.float32), rng.integers(0, 2, n)), 4)


def fit(*callbacks, valid=None, epochs=2):
    model = nn.Linear(3, 2)
    learner = Learner(model, nn.optim.SGD(model.parameters(), lr=0.1), callbacks=callbacks)
    learner.fit(data(10), valid, epochs)
    return learner


class Terminal(io.StringIO):
    def isatty(self):
        return True


# ---------------------------------------------------------------- the table


def test_the_table_has_a_heading_and_one_row_an_epoch():
    out = io.StringIO()
    history = fit(EpochTable(out), valid=data(6)).history
    heading, *rows = out.getvalue().splitlines()
    assert heading.split("  ")[-1].strip() == "elapsed"
    assert len(rows) == 2
    for row, line in zip(history, rows, strict=True):
        cells = line.split()
        assert cells[0] == str(row["epoch"])
        assert cells[1] == f"{row['train_loss']:.4f}"
        assert cells[2] == f"{row['valid_loss']:.4f}"
        assert cells[3] == f"{row['valid_accuracy']:.2%}"
        assert cells[4] == "1.00e-01"
        assert len(line) == len(heading)


def test_the_table_has_a_dash_where_there_is_no_validation_data(capsys):
    fit(EpochTable(), epochs=1)
    _, row = capsys.readouterr().out.splitlines()
    assert row.split()[2:4] == ["–", "–"]


# ---------------------------------------------------------------- the bar


def test_a_bar_is_there_only_on_a_terminal_with_tqdm_that_works(monkeypatch, tmp_path):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not ProgressBar.is_available()
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert ProgressBar.is_available()
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert not ProgressBar.is_available()
    monkeypatch.delitem(sys.modules, "tqdm")
    (tmp_path / "tqdm.py").write_text("import os; os.nothing")  # as an old one on a new Python
    monkeypatch.syspath_prepend(tmp_path)
    assert not ProgressBar.is_available()


def test_the_bar_counts_the_batches_of_each_epoch_and_goes_away(monkeypatch):
    pytest.importorskip("tqdm")
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    counts = []

    class Watch(Callback):
        def on_batch_end(self, learner):
            counts.append((bar.bar.n, bar.bar.total))

        def on_epoch_end(self, learner):
            assert bar.bar.disable, "closed"

    bar = ProgressBar()
    fit(bar, Watch())
    assert counts == [(1, 3), (2, 3), (3, 3)] * 2
    assert "epoch 1/2" in out.getvalue()
    assert "epoch 2/2" in out.getvalue()


def test_the_bar_goes_away_when_another_callback_stops_the_epoch(monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", Terminal())

    class Stop(Callback):
        def on_batch_end(self, learner):
            learner.stop = True

    bar = ProgressBar()
    learner = fit(bar, Stop())
    assert learner.step == 1
    assert bar.bar.disable


# ---------------------------------------------------------------- what is kept


def test_a_function_is_called_after_each_epoch():
    seen = []
    fit(AfterEpoch(lambda learner: seen.append((learner.epoch, len(learner.history)))), epochs=3)
    assert seen == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("valid", [None, data(6)])
def test_the_history_is_a_csv_file_that_reads_back_exactly(tmp_path, valid):
    history = fit(valid=valid).history
    write_history(history, tmp_path / "metrics.csv")
    with open(tmp_path / "metrics.csv", newline="") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    assert rows == history
    assert b"\r" not in (tmp_path / "metrics.csv").read_bytes()


def test_a_run_that_was_stopped_before_its_first_epoch_has_an_empty_history(tmp_path):
    write_history([], tmp_path / "metrics.csv")
    assert (tmp_path / "metrics.csv").read_text().strip() == ""


# ---------------------------------------------------------------- what the metrics decide


class Script(Callback):
    """Writes given numbers into the history, epoch by epoch, and remembers the weights of each."""

    def __init__(self, metric, numbers):
        self.metric, self.numbers, self.states = metric, numbers, []

    def on_epoch_end(self, learner):
        learner.history[-1][self.metric] = self.numbers[learner.epoch - 1]
        self.states.append(learner.model.state_dict())


def follow(callback_type, numbers, metric="valid_loss", **settings):
    script = Script(metric, numbers)
    callback = callback_type(metric, **settings)
    return fit(script, callback, epochs=len(numbers)), callback, script.states


def equal(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("numbers", "patience", "min_delta", "epochs"),
    [
        ([5, 4, 3, 2, 1], 1, 0.0, 5),
        ([5, 4, 4, 3, 2], 1, 0.0, 3),  # no better is not better
        ([5, 6, 4, 5, 5, 3, 3], 2, 0.0, 5),  # the count starts anew with each improvement
        ([5, 4.5, 4, 3.5, 2.75], 2, 1.0, 3),  # by one exactly is not by more than one
        ([5, 4.5, 3.5, 4, 4], 2, 1.0, 5),  # and what counts is the best that was an improvement
    ],
)
def test_training_stops_early_after_patience_epochs_without_improvement(numbers, patience, min_delta, epochs):
    learner, *_ = follow(EarlyStopping, numbers, patience=patience, min_delta=min_delta)
    assert len(learner.history) == epochs
    rising = [-number for number in numbers]
    learner, *_ = follow(EarlyStopping, rising, "valid_accuracy", patience=patience, min_delta=min_delta)
    assert len(learner.history) == epochs


def test_early_stopping_starts_anew_with_each_fit():
    script = Script("valid_loss", [1, 2, 9, 8, 8, 7])
    model = nn.Linear(3, 2)
    callbacks = [script, EarlyStopping(patience=1)]
    learner = Learner(model, nn.optim.SGD(model.parameters(), lr=0.1), callbacks=callbacks)
    learner.fit(data(10), epochs=6)
    assert learner.epoch == 2
    learner.fit(data(10), epochs=4)
    assert learner.epoch == 5


@pytest.mark.parametrize(
    ("metric", "numbers", "best"),
    [("valid_loss", [3, 1, 2, 1], 2), ("valid_accuracy", [0.5, 0.9, 0.7, 0.9], 2), ("train_loss", [3, 2, 1], 3)],
)
def test_the_weights_of_the_best_epoch_are_those_in_the_end(metric, numbers, best):
    learner, keeper, states = follow(KeepBest, numbers, metric)
    assert keeper.epoch == best
    assert equal(learner.model.state_dict(), states[best - 1])
    assert len(learner.history) == len(numbers), "the history tells of all epochs"
    assert not any(equal(states[best - 1], state) for i, state in enumerate(states) if i != best - 1)


def test_the_best_weights_are_put_back_when_training_stops_early():
    script, keeper = Script("valid_loss", [3, 1, 2, 2, 0]), KeepBest("valid_loss")
    learner = fit(script, keeper, EarlyStopping(patience=2), epochs=5)
    assert len(learner.history) == 4
    assert equal(learner.model.state_dict(), script.states[1])


@pytest.mark.parametrize("numbers", [[1, 2, 5, 4], [2, 1, 5, 4], [2, 3, 4, 1]])
def test_the_best_of_all_epochs_is_kept_where_training_goes_on_from_a_file(tmp_path, numbers):
    def learner():
        model = nn.Linear(3, 2)
        callbacks = [Script("valid_loss", numbers), KeepBest("valid_loss")]
        return Learner(model, nn.optim.SGD(model.parameters(), lr=0.1), callbacks=callbacks)

    first, second = learner(), learner()
    first.fit(data(10), epochs=2)
    first.save(tmp_path / "learner.npz")
    second.load(tmp_path / "learner.npz")
    second.fit(data(10), epochs=2)
    states = first.callbacks[0].states + second.callbacks[0].states
    assert equal(second.model.state_dict(), states[np.argmin(numbers)])


@pytest.mark.parametrize("when", range(1, 6))
@pytest.mark.parametrize("place", range(4))
def test_training_goes_on_the_same_wherever_the_callback_stands_that_saves_it(tmp_path, place, when):
    numbers = [2, 1, 3, 0.5, 4, 5, 5, 5]

    def learner():
        model = nn.Linear(3, 2, generator=np.random.default_rng(0))
        callbacks = [Script("valid_loss", numbers), KeepBest("valid_loss"), EarlyStopping(patience=2)]
        callbacks.insert(place, AfterEpoch(lambda it: it.save(tmp_path / "learner.npz") if it.epoch == when else None))
        return Learner(model, nn.optim.SGD(model.parameters(), lr=0.1), callbacks=callbacks)

    straight, resumed, loader = learner(), learner(), nn.DataLoader((np.eye(4, 3), np.arange(4) % 2), 2)
    straight.fit(loader, epochs=8)
    resumed.load(tmp_path / "learner.npz")
    resumed.fit(loader, epochs=8 - when)
    for it in straight, resumed:
        assert [row["valid_loss"] for row in it.history] == numbers[:6]
    assert equal(resumed.model.state_dict(), straight.model.state_dict())


def test_weights_from_before_are_not_put_back_by_a_fit_of_no_epochs():
    keeper = KeepBest("valid_loss")
    model = nn.Linear(3, 2)
    learner = Learner(model, nn.optim.SGD(model.parameters(), lr=0.1), callbacks=[Script("valid_loss", [1]), keeper])
    learner.fit(data(10), epochs=1)
    model.weight.data = np.ones((2, 3))
    learner.fit(data(10), epochs=0)
    assert (model.weight.data == 1).all()


def test_a_best_number_without_its_weights_is_no_best():
    keeper = KeepBest("valid_loss")
    keeper.load_state_dict({"best": -0.5, "epoch": 3, "state": None})
    assert keeper.best == -np.inf


@pytest.mark.parametrize("weights", [3.5, {}, {"weight": np.zeros((2, 3)), "bias": np.zeros(3)}])
def test_best_weights_that_do_not_fit_are_refused_before_training_goes_on(weights):
    keeper, model = KeepBest("valid_loss"), nn.Linear(3, 2)
    learner = Learner(model, nn.optim.SGD(model.parameters(), lr=0.1), callbacks=[keeper])
    keeper.on_fit_start(learner)
    before = model.state_dict()
    with pytest.raises((TypeError, ValueError)):
        keeper.load_state_dict({"best": 0.5, "epoch": 3, "state": weights})
    assert equal(model.state_dict(), before)


def test_each_fit_has_a_best_of_its_own():
    keeper = KeepBest("valid_loss")
    script = Script("valid_loss", [1, 5, 4, 6])
    model = nn.Linear(3, 2)
    learner = Learner(model, nn.optim.SGD(model.parameters(), lr=0.1), callbacks=[script, keeper])
    learner.fit(data(10), epochs=1)
    learner.fit(data(10), epochs=3)
    assert keeper.epoch == 3
    assert equal(model.state_dict(), script.states[2])


@pytest.mark.parametrize("callback_type", [EarlyStopping, KeepBest])
def test_a_metric_that_does_not_exist_is_refused_with_those_that_do(callback_type):
    names = "epoch, train_loss, lr, images_per_second, seconds"
    sentence = rf"no metric 'valid_loss' in the history, only {names} \(valid_loss and .* need validation data\)$"
    with pytest.raises(ValueError, match=sentence):
        fit(callback_type("valid_loss"))
    with pytest.raises(ValueError, match=r"no metric 'loss' in the history, only .*valid_accuracy, seconds$"):
        fit(callback_type("loss"), valid=data(6))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: EarlyStopping(patience=0), "EarlyStopping expects patience to be an integer of at least 1, got 0"),
        (lambda: EarlyStopping(min_delta=-1.0), "EarlyStopping expects min_delta to be a number from 0 to inf, got -1"),
        (lambda: EarlyStopping(min_delta="x"), "EarlyStopping expects min_delta to be a number from 0 to inf, got 'x'"),
        (lambda: AveragedWeights(1.0), "AveragedWeights expects decay to be a number from 0 to less than 1, got 1.0"),
        (lambda: AveragedWeights("0.9"), "AveragedWeights expects decay to be a number .* less than 1, got '0.9'"),
        (lambda: AveragedWeights(0.9, every=0), "AveragedWeights expects every to be an integer of at least 1, got 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


# ---------------------------------------------------------------- averaged weights


class States(Callback):
    """The weights after each step, and those after each epoch."""

    def __init__(self):
        self.steps, self.epochs = [], []

    def on_batch_end(self, learner):
        self.steps.append(learner.model.state_dict())

    def on_epoch_end(self, learner):
        self.epochs.append(learner.model.state_dict())


def averaged(*callbacks, epochs=3):
    nn.manual_seed(0)
    model, states = nn.Linear(3, 2), States()
    start = model.state_dict()
    learner = Learner(model, nn.optim.SGD(model.parameters(), lr=0.5, momentum=0.9), callbacks=[states, *callbacks])
    learner.fit(data(10), data(6), epochs)
    return learner, states, start


@pytest.mark.parametrize("every", [1, 2])
def test_training_is_the_same_and_what_is_evaluated_is_the_average(every):
    _, plain, start = averaged()
    learner, states, _ = averaged(AveragedWeights(0.3, every))
    assert len(states.steps) == 9
    assert all(equal(a, b) for a, b in zip(plain.steps, states.steps, strict=True))
    average, epochs = {name: array.astype(float) for name, array in start.items()}, []
    for step, state in enumerate(plain.steps, 1):
        if step % every == 0:
            t = step // every - 1
            d = min(0.3**every, (1 + t) / (10 + t))
            average = {name: d * average[name] + (1 - d) * array for name, array in state.items()}
        if step % 3 == 0:
            epochs.append(average)
    for expected, state in zip(epochs, states.epochs, strict=True):
        for name, array in state.items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-6)
    assert equal(learner.model.state_dict(), states.epochs[-1]), "the average is the final model"
    assert learner.history[-1]["valid_loss"] == learner.evaluate(data(6)).loss


def test_the_best_of_averaged_weights_is_an_average():
    keeper = KeepBest("valid_loss")
    for callbacks in ([keeper, AveragedWeights(0.8)], [AveragedWeights(0.8), keeper]):
        learner, states, _ = averaged(*callbacks, epochs=5)
        assert equal(learner.model.state_dict(), states.epochs[keeper.epoch - 1])
        assert learner.evaluate(data(6)).loss == min(row["valid_loss"] for row in learner.history)


def test_a_further_fit_starts_from_the_averages():
    learner, states, _ = averaged(AveragedWeights(0.8))
    learner.optimizer.param_groups[0]["lr"] = 0.0
    final = learner.model.state_dict()
    learner.fit(data(10), epochs=1)
    assert equal(states.steps[-1], final)
    assert equal(learner.model.state_dict(), final)


# ---------------------------------------------------------------- other metrics, other consoles


@pytest.mark.parametrize("callback_type", [EarlyStopping, KeepBest])
def test_a_metric_may_be_best_where_it_is_least(callback_type):
    values = [3.0, 1.0, 2.0, 4.0]
    model = nn.Linear(3, 2)
    metrics = {"error": lambda outputs, targets: values[learner.epoch - 1]}
    settings = {"patience": 1} if callback_type is EarlyStopping else {}
    callback = callback_type("valid_error", mode="min", **settings)
    learner = Learner(model, nn.optim.SGD(model.parameters()), callbacks=[callback], metrics=metrics)
    learner.fit(data(6), data(6), epochs=4)
    assert callback.best == -1.0
    assert len(learner.history) == (3 if callback_type is EarlyStopping else 4)
    with pytest.raises(ValueError, match="mode to be 'min' or 'max' or None, got 'least'"):
        callback_type("valid_error", mode="least")


@pytest.mark.parametrize(
    ("encoding", "title"),
    [("ascii", "val R?"), ("latin-1", "val R²"), ("cp437", "val R²"), ("utf-8", "val R²"), ("utf-16", "val R²")],
)
def test_the_table_is_printed_in_any_encoding(encoding, title):
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding=encoding) as file:
        model = nn.Linear(3, 2)
        learner = Learner(model, nn.optim.SGD(model.parameters()), callbacks=[EpochTable(file)],
                          metrics={"R²": lambda outputs, targets: 0.5})
        learner.fit(data(6))
        learner.fit(data(6), data(6))
        file.flush()
        heading, without, _, with_validation = raw.getvalue().decode(encoding).splitlines()
    dash = "–" if encoding.startswith("utf") else "-"
    assert title in heading
    assert without.split()[2:5] == [dash] * 3
    assert with_validation.split()[4] == "0.5"


def test_a_history_of_which_only_a_part_was_validated_is_written(tmp_path):
    model = nn.Linear(3, 2)
    learner = Learner(model, nn.optim.SGD(model.parameters()))
    learner.fit(data(6))
    learner.fit(data(6), data(6))
    write_history(learner.history, tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert first["valid_loss"] == ""
    assert float(second["valid_loss"]) == learner.history[1]["valid_loss"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_the_bar_is_drawn_in_any_encoding(monkeypatch, encoding):
    pytest.importorskip("tqdm")
    raw = io.BytesIO()

    class Console(io.TextIOWrapper):
        def isatty(self):
            return True

    with Console(raw, encoding=encoding, write_through=True) as console:
        monkeypatch.setattr(sys, "stderr", console)
        assert ProgressBar.is_available()
        fit(ProgressBar(), epochs=2)
        drawn = raw.getvalue().decode(encoding)
    assert "epoch 2/2" in drawn
