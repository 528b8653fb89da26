"""The page about a trained model: what is on it, that it is one offline file, and what is refused."""

import json
import re

import numpy as np
import pytest

import nn
from nn.fashion import CLASSES, MEAN, STD, load, report_page
from nn.fashion.classifier import Classifier
from nn.fashion.models import build
from nn.fashion.report_page import Trained, against_first, last_hidden, write_report

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def data():
    return load(load.__globals__["SAMPLE_FOLDER"])


@pytest.fixture(autouse=True)
def small_map(monkeypatch):
    monkeypatch.setattr(report_page, "MAPPED", 120)


def run_folder(folder, seed=0, **config):
    """The files that a run leaves."""
    nn.manual_seed(seed)
    architecture = {"name": "mlp", "sizes": [784, 16, 10]}
    Classifier(build(architecture), architecture, MEAN, STD).save(folder / "model.npz")
    settings = {"name": "tiny", "summary": "a network <small> & untrained", "lr": 0.1, "seed": seed} | config
    (folder / "config.json").write_text(json.dumps(settings))
    rows = ["epoch,train_loss,valid_loss,valid_accuracy,lr,seconds", "1,2.0,1.9,0.3,0.1,1.5", "2,1.0,1.2,0.6,0.05,3.0"]
    (folder / "metrics.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tiny-run").mkdir()
    return run_folder(tmp_path / "tiny-run")


def headings(page):
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_a_report_has_all_its_sections_in_one_file_that_asks_for_nothing(folder, data):
    target = write_report([folder], data)
    page = target.read_text(encoding="utf-8")
    assert target == folder / "report.html"
    assert headings(page) == [
        "Result", "Learning curves", "Classes", "What goes wrong, and why", "The most confident mistakes",
        "The least confident hits", "The first test images", "Calibration", "What the first layer learned",
        "A map of 120 test images", "The model",
    ]
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    assert "default-src 'none'" in page
    assert "a network &lt;small&gt; &amp; untrained" in page
    assert all(name in page for name in CLASSES)
    accuracy = Classifier.load(folder).evaluate(data.test_images, data.test_labels).accuracy
    assert f"<b>{accuracy:.2%}</b>test accuracy" in page


def test_a_report_is_valid_html(folder, data):
    html5lib = pytest.importorskip("html5lib")
    html5lib.HTMLParser(strict=True).parse(write_report([folder], data).read_text(encoding="utf-8"))


def test_several_runs_are_compared_with_the_settings_in_which_they_differ(folder, data, tmp_path):
    (tmp_path / "other").mkdir()
    other = run_folder(tmp_path / "other", seed=1, lr=0.2)
    page = write_report([folder, other], data, tmp_path / "both.html").read_text(encoding="utf-8")
    assert headings(page)[0] == "Runs compared"
    first, second = (Classifier.load(f).evaluate(data.test_images, data.test_labels).accuracy for f in (folder, other))
    assert f"<td>{first:.2%}</td><td>{second:.2%} ({100 * (second - first):+.2f})</td>" in page
    assert "<tr><td>lr</td><td>0.1</td><td>0.2</td></tr>" in page
    assert "<tr><td>summary</td>" not in page


def test_differences_are_from_the_first():
    assert against_first([0.9, 0.912]) == ["90.00%", "91.20% (+1.20)"]


def test_a_model_alone_gives_a_report_without_curves(folder, data):
    (folder / "metrics.csv").unlink()
    (folder / "config.json").unlink()
    page = write_report([folder], data).read_text(encoding="utf-8")
    assert "Learning curves" not in headings(page)
    assert "Calibration" in headings(page)


def test_hidden_features_are_what_the_last_layer_gets(folder, data):
    classifier = Classifier.load(folder)
    hidden = last_hidden(classifier, data.test_images[:5])
    logits = classifier.model[-1](hidden).numpy()
    expected = classifier.model(next(iter(classifier.loader(data.test_images[:5], data.test_labels[:5])))[0]).numpy()
    assert hidden.shape == (5, 16)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("metrics.csv", "epoch,train_loss\n1,abc\n", "metrics.csv is damaged"),
        ("metrics.csv", "epoch,seconds\n1,2\n", "metrics.csv is damaged: each row has an epoch, its train_loss and"),
        ("config.json", "{", "config.json: Expecting property name"),
        ("config.json", "[1]", "config.json has no JSON object"),
        ("result.json", '{"a": ' + "[" * 900 + "]" * 900 + "}", "result.json: its content is nested more than 100"),
        ("model.npz", "no model", "model.npz"),
    ],
)
def test_a_damaged_run_is_refused_and_no_page_is_written(folder, data, name, content, sentence):
    (folder / name).write_text(content)
    with pytest.raises(nn.FileError, match=re.escape(sentence)):
        write_report([folder], data)
    assert not (folder / "report.html").exists()


def test_a_report_names_the_data_that_it_judges_by_beside_those_of_the_run(folder, data):
    (folder / "result.json").write_text(json.dumps({"data": {"source": "other pictures"}, "judged by": "a friend"}))
    page = write_report([folder], data).read_text(encoding="utf-8")
    assert f"<p>Judged by the test images of: {data.source}</p>" in page
    assert "<tr><th>data</th><td>source other pictures</td></tr>" in page
    assert f"<tr><th>judged by</th><td>{data.source}</td></tr>" in page


def test_a_report_says_of_which_epoch_the_model_is(folder, data):
    assert "of epoch" not in write_report([folder], data).read_text(encoding="utf-8")
    classifier = Classifier.load(folder)
    classifier.training["epoch"] = "<1>"
    classifier.save(folder / "model.npz")
    page = write_report([folder], data).read_text(encoding="utf-8")
    assert "<b>2</b>epochs</div><div><b>&lt;1&gt;</b>model of epoch" in page


def test_a_run_is_named_by_its_folder(folder):
    assert Trained.read(folder).name == "tiny-run"
