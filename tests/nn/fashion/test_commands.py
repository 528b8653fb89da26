"""`python -m nn.fashion COMMAND`: what is printed and written, and the sentences where something cannot be done."""

import subprocess
import sys

import pytest

from nn.fashion import CLASSES, commands, load


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


def test_samples_draws_a_gallery(sample, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert commands.main(["samples", "-o", str(tmp_path / "all.png"), "--each", "3"]) == 0
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
    assert "3 images of each class" in capsys.readouterr().out


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
        (["--each", "0"], "at least one image of each class is shown, not 0"),
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
