"""What is said where a library is missing."""

import sys

import pytest

from nn.extras import required


def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"^reading a photo needs pillow: pip install pillow$"):
        required("PIL.Image", "reading a photo")


def test_what_an_installed_library_lacks_itself_is_not_hidden(monkeypatch, tmp_path):
    (tmp_path / "half_installed.py").write_text("import nowhere_to_be_found\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        required("half_installed", "this")
