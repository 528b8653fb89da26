import csv
import io
import sys

import numpy as np
import pytest

import nn
from nn.callbacks import AfterEpoch, EpochTable, ProgressBar, write_history
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


def test_a_bar_is_there_only_on_a_terminal_with_tqdm(monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not ProgressBar.is_available()
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert ProgressBar.is_available()
    monkeypatch.setitem(sys.modules, "tqdm", None)
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
