"""What a command prints arrives on any console, or a sentence and the exit status tell that it did not."""

import os
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize("arguments", [COMMAND, f"{sys.executable} -m nn.fashion --help"])
@pytest.mark.parametrize(("where", "sentence"), [
    (">/dev/full", "cannot write what is printed: No space left on device"),
    (">&-", "standard output is closed: what was printed is lost"),
])
def test_lost_output_is_one_sentence_and_a_status(arguments, where, sentence):
    done = shell(f"{arguments} {where}")
    assert (done.returncode, done.stderr) == (1, f"python -m nn.fashion: {sentence}\n")


def test_a_path_begins_at_home_of_users_that_there_are(monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, os.path.abspath("home"))
    assert str(as_path("~/page.html")) == os.path.join(os.path.abspath("home"), "page.html")
    assert str(as_path("~nobody-has-this-name")) == "~nobody-has-this-name"


def test_a_reader_that_has_gone_is_no_news():
    assert shell(f"{COMMAND} | true").stderr == ""
