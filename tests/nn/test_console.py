"""What a command prints arrives on any console, or a sentence and the exit status tell that it did not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import nn
import nn.fashion.sample
from nn.console import as_path

COMMAND = f"{sys.executable} -m nn.fashion samples --pixels 0 --data {next(iter(nn.fashion.sample.__path__))}"


def shell(line, **environment):
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=os.environ | environment)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done


def test_a_console_without_unicode_gets_everything():
    assert shell(COMMAND, PYTHONIOENCODING="ascii").returncode == 0
    assert shell(f"{sys.executable} -m nn.fashion predict --help", PYTHONIOENCODING="ascii").returncode == 0


@pytest.mark.parametrize(("arguments", "program"), [
    (COMMAND, "python -m nn.fashion"), (f"{sys.executable} -m nn.fashion --help", "python -m nn.fashion"),
    (f"{sys.executable} {Path(nn.__file__).parents[1] / 'train.py'} --help", "train.py"),
])
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(("where", "sentence"), [
    (">/dev/full", "cannot write what is printed: No space left on device"),
    (">&-", "standard output is closed: what was printed is lost"),
])
def test_lost_output_is_one_sentence_and_a_status(arguments, program, unbuffered, where, sentence):
    done = shell(f"{arguments} {where}", PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (1, f"{program}: {sentence}\n")


def test_a_path_begins_at_home_of_users_that_there_are(monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, os.path.abspath("home"))
    assert str(as_path("~/page.html")) == os.path.join(os.path.abspath("home"), "page.html")
    assert str(as_path("~nobody-has-this-name")) == "~nobody-has-this-name"


def test_a_reader_that_has_gone_is_no_news():
    assert shell(f"{COMMAND} | true").stderr == ""
