"""`python -m nn.fashion COMMAND`: what is printed and written, and the sentences where something cannot be done."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nn
from nn.fashion import CLASSES, MEAN, STD, commands, load
from nn.fashion.classifier import Classifier
from nn.fashion.folder import FILES_OF_A_RUN, check_output
from nn.fashion.models import build
from nn.fashion.report import check_picture, summary


@pytest.fixture
def sample(monkeypatch):
    """The bundled data, which every machine has."""
    monkeypatch.setenv("FASHION_MNIST_DIR", str(load.__globals__["SAMPLE_FOLDER"]))
    return load()


def test_every_command_has_a_line_of_help_and_examples(capsys):
    with pytest.raises(SystemExit) as stopped:
        commands.main(["--help"])
    assert stopped.value.code == 0
    listed = capsys.readouterr().out
    for name in commands.COMMANDS:
        assert name in listed
        with pytest.raises(SystemExit):
            commands.main([name, "--help"])
        assert f"python -m nn.fashion {name}" in capsys.readouterr().out.partition("Examples:")[2]


def test_a_module_runs_as_a_command():
    done = subprocess.run([sys.executable, "-m", "nn.fashion"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "COMMAND" in done.stderr


HOSTILE = "\x1b[2J\x07\u202ea$\\foo$\nThe answer: \x9b31m"  # clears a screen, rings, turns letters round, breaks a line


def commands_a_terminal(text):
    """Whether there is anything but lines of text."""
    return not all(character.isprintable() or character == "\n" for character in text)


@pytest.fixture
def hostile(tmp_path):
    """A folder whose name commands a terminal, with a model, a photo and a file that is none."""
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / HOSTILE
    architecture = {"name": "mlp", "sizes": [784, 10]}
    Classifier(build(architecture), architecture, MEAN, STD).save(folder / "model.npz")
    picture = np.full((60, 60), 250, np.uint8)
    picture[10:50, 20:40] = 40
    image.fromarray(picture).save(folder / f"{HOSTILE}.png")
    (folder / f"{HOSTILE}.txt").write_text("no photo")
    return folder


def test_no_photo_is_drawn_over_and_no_model_is_written_over(tmp_path, capsys):
    image = pytest.importorskip("PIL.Image")
    architecture = {"name": "mlp", "sizes": [784, 10]}
    model, photo = tmp_path / "model.npz", tmp_path / "photo.png"
    Classifier(build(architecture), architecture, MEAN, STD).save(model)
    picture = np.full((60, 60), 250, np.uint8)
    picture[10:50, 20:40] = 40
    image.fromarray(picture).save(photo)
    before = model.read_bytes(), photo.read_bytes()
    for arguments, sentence in (
        (["predict", str(model), str(photo), "--picture", str(photo)], "is one of the photos: give --picture another"),
        (["predict", str(model), str(photo), "--picture", str(model)], "cannot be drawn: a picture ends in one of"),
        (["report", str(tmp_path), "-o", str(model)], "model.npz does not end in .html"),
        (["evaluate", str(model), "--json", str(model)], "model.npz does not end in .json"),
    ):
        assert commands.main(arguments) == 1
        assert sentence in capsys.readouterr().err
    assert (model.read_bytes(), photo.read_bytes()) == before


@pytest.mark.parametrize("arguments", [
    ["evaluate", "none.npz", "--json"], ["export", "none.npz", "-o"], ["page", "none.npz", "-o"],
    ["predict", "none.npz", "none.jpg", "--picture"], ["report", "none", "-o"], ["samples", "--data", "none", "-o"],
], ids=lambda arguments: arguments[0])
def test_what_cannot_be_written_is_said_before_anything_is_read(arguments, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    ending = {"evaluate": ".json", "export": ".onnx", "page": ".html", "report": ".html"}.get(arguments[0], ".png")
    file, folder = tmp_path / "file", tmp_path / f"folder{ending}"
    file.write_text("no folder")
    folder.mkdir()
    for output, reason in ((file / f"output{ending}", "Not a directory"), (folder, "Is a directory")):
        assert commands.main([*arguments, str(output)]) == 1
        assert capsys.readouterr().err.endswith(f": cannot write {output}: {reason}\n")
    assert {*tmp_path.iterdir()} == {file, folder}
    assert not any(folder.iterdir())


@pytest.mark.parametrize("name", ["{}", "page{}", ".hidden{}"])
@pytest.mark.parametrize("ending", [".json", ".onnx", ".safetensors", ".html", ".HTML", ".png", ".PNG"])
def test_an_output_may_be_named_by_its_ending_alone_and_in_capitals(name, ending, tmp_path):
    if ending.lower() == ".png":
        pytest.importorskip("matplotlib")
    path = tmp_path / name.format(ending)
    check_picture(path) if ending.lower() == ".png" else check_output(path, ending.lower())
    with pytest.raises(ValueError, match=r"does not end in|a picture ends in one of"):
        check_picture(path / "png") if ending.lower() == ".png" else check_output(path / ending[1:], ending.lower())


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(("arguments", "name"), [
    (["evaluate", "none.npz", "--json"], "config.json"), (["evaluate", "none.npz", "--json"], "result.json"),
    (["page", "none.npz", "-o"], "report.html"), (["predict", "none.npz", "none.jpg", "--picture"], "report.png"),
    (["report", "none", "-o"], "report.html"), (["samples", "--data", "none", "-o"], "report.png"),
], ids=str)
def test_no_command_replaces_a_file_of_a_run(arguments, name, linked, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    for file in FILES_OF_A_RUN:
        (tmp_path / file).write_text(file)
    output = tmp_path / name
    if linked:
        output = tmp_path / f"linked{output.suffix}"
        output.symlink_to(tmp_path / name)
    assert commands.main([*arguments, str(output)]) == 1
    assert capsys.readouterr().err.endswith(f": {output} is a file of a run: write to another one\n")
    assert all((tmp_path / file).read_text() == file for file in FILES_OF_A_RUN)


def test_a_report_is_made_anew_in_the_folder_of_its_run(sample, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    architecture = {"name": "mlp", "sizes": [784, 10]}
    Classifier(build(architecture), architecture, MEAN, STD).save(tmp_path / "model.npz")
    for arguments in ([], ["-o", str(tmp_path / "report.html")]):
        (tmp_path / "report.html").write_text("an older one")
        assert commands.main(["report", str(tmp_path), *arguments]) == 0
        assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [["model.npz"], ["model.npz", "-o", "page.html"], [".", "model.npz"]], ids=str)
def test_a_report_says_that_it_takes_folders(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("model.npz").touch()
    assert commands.main(["report", *arguments]) == 1
    assert capsys.readouterr().err.endswith(": model.npz is a file: name the folder of a run\n")


@pytest.mark.parametrize("factor", [np.nan, np.inf])
def test_a_model_whose_answers_are_no_numbers_is_refused(factor, tmp_path):
    architecture = {"name": "mlp", "sizes": [784, 10]}
    model = build(architecture)
    for parameter in model.parameters():
        parameter.data = parameter.data * np.float32(factor)
    Classifier(model, architecture, MEAN, STD).save(tmp_path / "model.npz")
    with pytest.raises(nn.FileError, match="is no usable garment classifier: its probabilities are not finite"):
        Classifier.load(tmp_path / "model.npz")


def test_no_path_commands_the_terminal_or_looks_like_an_answer(sample, hostile, capsys):
    pytest.importorskip("matplotlib")
    photo, none = (str(hostile / f"{HOSTILE}.{ending}") for ending in ("png", "txt"))
    for arguments in (
        ["predict", str(hostile), photo, none, "--picture", str(hostile / "drawn.png")],
        ["predict", str(hostile), photo, "--json"], ["predict", str(hostile), none],
        ["predict", none, photo], ["predict", str(hostile), str(hostile)], ["predict", str(hostile / "nothing"), photo],
        ["page", str(hostile), "-o", str(hostile / "page.html")], ["page", str(hostile), "-o", none],
        ["evaluate", str(hostile)], ["evaluate", none], ["evaluate", str(hostile), "--json", str(hostile)],
        ["samples", "-o", str(hostile / "samples.png")], ["samples", "-o", none], ["samples", "--data", none],
        ["export", str(hostile), "-o", none], ["report", none], ["report", str(hostile)],
    ):
        commands.main(arguments)
        printed = capsys.readouterr()
        assert not commands_a_terminal(printed.out + printed.err), arguments
        assert not any(line.startswith("The answer") for line in (printed.out + printed.err).splitlines()), arguments


def test_an_argument_that_is_not_understood_commands_no_terminal(capsys):
    with pytest.raises(SystemExit):
        commands.main(["samples", HOSTILE])
    assert not commands_a_terminal(capsys.readouterr().err)


def test_samples_draws_a_gallery(sample, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    for name in ("all.png", ".png"):
        assert commands.main(["samples", "-o", str(tmp_path / name), "--each", "3"]) == 0
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert "the first images of each class, at most 3, from" in capsys.readouterr().out


def test_samples_prints_the_pixels_of_an_image(sample, capsys):
    assert commands.main(["samples", "--pixels", "5"]) == 0
    title, *rows = capsys.readouterr().out.splitlines()
    assert title == f"Training image 5, {CLASSES[sample.train_labels[5]]}:"
    pixels = [[0 if word == "." else int(word) for word in row.split()] for row in rows]
    assert pixels == sample.train_images[5].tolist()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--pixels", "-1"], "there are training images 0 to 5999, not -1"),
        (["--each", "0"], "1 to 100 images of each class are shown, not 0"),
        (["--each", "99999999999999999999"], "1 to 100 images of each class are shown, not 1e+20"),
        (["-o", "all.pgf"], "all.pgf cannot be drawn: a picture ends in one of"),
        (["-o", "all.xyz"], "all.xyz cannot be drawn: a picture ends in one of"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_samples_refuses_in_a_sentence(sample, capsys, flags, sentence):
    if "-o" in flags:
        pytest.importorskip("matplotlib")
    assert commands.main(["samples", *flags]) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1


# ------------------------------------------------------------------------------------------------ export


@pytest.fixture
def classifier(tmp_path):
    """A small network that was not trained, and the file it is in."""
    nn.manual_seed(3)
    architecture = {"name": "mlp", "sizes": [784, 16, 10], "dropout": 0.5}
    classifier = Classifier(build(architecture), architecture, MEAN, STD)
    classifier.save(tmp_path / "run" / "model.npz")
    return classifier


def test_an_exported_classifier_gives_the_same_probabilities_from_bytes(classifier, sample, tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    target = tmp_path / "garments.onnx"
    assert commands.main(["export", str(tmp_path / "run"), "-o", str(target)]) == 0
    assert capsys.readouterr().out == f"Wrote {target}\n"
    session = onnxruntime.InferenceSession(target)
    (found,) = session.run(None, {"input": sample.test_images[:50]})
    np.testing.assert_allclose(found, classifier.predict_proba(sample.test_images[:50]), atol=1e-5)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == [*CLASSES]


def test_weights_for_pytorch_keep_their_names(classifier, tmp_path):
    pytest.importorskip("safetensors")
    target = tmp_path / "weights.safetensors"
    assert commands.main(["export", str(tmp_path / "run" / "model.npz"), "--safetensors", "-o", str(target)]) == 0
    arrays, metadata = nn.load(target)
    assert {name: array.shape for name, array in arrays.items()} == {
        name: p.shape for name, p in classifier.model.named_parameters()
    }
    assert metadata["classes"] == [*CLASSES]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["nowhere"], "nowhere"),
        (["run", "-o", "x.txt"], "x.txt does not end in .onnx"),
        (["run", "-o", "x.onnx", "--safetensors"], "x.onnx does not end in .safetensors"),
    ],
)
def test_export_refuses_in_a_sentence(classifier, tmp_path, monkeypatch, capsys, flags, sentence):
    monkeypatch.chdir(tmp_path)
    assert commands.main(["export", *flags]) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


# ------------------------------------------------------------------------------------------------ evaluate


def test_evaluate_says_what_train_py_says_and_writes_it_for_programs(classifier, sample, tmp_path, capsys):
    assert commands.main(["evaluate", str(tmp_path / "run"), "--json", str(tmp_path / "found.json")]) == 0
    evaluation = classifier.evaluate(sample.test_images, sample.test_labels)
    data, *rest = capsys.readouterr().out.splitlines()
    assert data == f"Data: {sample.source}"
    assert "\n".join(rest) == summary(evaluation, CLASSES)
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["test"]["confusion"] == evaluation.counts.tolist()
    assert found["data"]["test_images"] == len(sample.test_labels)


def test_evaluate_refuses_data_of_another_kind_in_a_sentence(classifier, tmp_path, capsys):
    images = pytest.importorskip("PIL.Image")
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            images.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "pets" / part / name / "1.png")
    assert commands.main(["evaluate", str(tmp_path / "run"), "--data", str(tmp_path / "pets")]) == 1
    assert "name the data it learned from" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ predict


@pytest.fixture
def photo(tmp_path):
    """A dark rectangle on white."""
    images = pytest.importorskip("PIL.Image")
    picture = np.full((80, 90, 3), 255, np.uint8)
    picture[20:70, 30:60] = 30
    images.fromarray(picture).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_predict_prints_the_most_probable_classes_beside_what_the_network_sees(classifier, photo, tmp_path, capsys):
    assert commands.main(["predict", str(tmp_path / "run"), str(photo)]) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    expected = list(classifier.predict_photo(photo).items())[:3]
    assert title == f"{photo}:"
    assert [line[58:] for line in lines[:3]] == [f"{share:>7.1%}  {name}" for name, share in expected]
    assert sum("█" in line for line in lines) == 28


def test_predict_speaks_json(classifier, photo, tmp_path, capsys):
    assert commands.main(["predict", str(tmp_path / "run"), str(photo), "--json", "--top", "2"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["photo"] == str(photo)
    assert said["classes"] == dict(list(classifier.predict_photo(photo).items())[:2])
    assert any("not sure" in sentence for sentence in said["warnings"]) == (max(said["classes"].values()) < 0.5)


def test_predict_draws_what_it_saw(classifier, photo, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    target = tmp_path / "seen.png"
    assert commands.main(["predict", str(tmp_path / "run"), str(photo), "--picture", str(target)]) == 0
    assert target.read_bytes().startswith(b"\x89PNG")


def test_a_photo_that_cannot_be_read_does_not_keep_the_others_from_being_answered(classifier, photo, tmp_path, capsys):
    assert commands.main(["predict", str(tmp_path / "run"), "nowhere.jpg", str(photo), "--json"]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    assert captured.err == "predict: nowhere.jpg cannot be read as an image: No such file or directory\n"


def test_predict_prints_on_a_console_that_knows_no_blocks(classifier, photo, tmp_path):
    command = [sys.executable, "-m", "nn.fashion", "predict", str(tmp_path / "run"), str(photo)]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert b"####" in done.stdout
