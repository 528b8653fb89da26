"""What is said where a library is missing."""

import re
import sys
from pathlib import Path

import pytest

from nn.extras import required


def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"^reading a photo needs pillow: pip install pillow$"):
        required("PIL.Image", "reading a photo")


@pytest.mark.parametrize(("line", "reason"), [
    ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
    ("from os import nothing", "cannot import name 'nothing' from 'os'"),
    ("import os; os.nothing", "module 'os' has no attribute 'nothing'"),
    ("raise ValueError('Key backend:\\nnosuch')", "Key backend: nosuch$"),
    ("raise OSError('libsome.so: cannot open')", "libsome.so: cannot open$"),
    ("raise RuntimeError(1000 * 'x')", "x{200}$"),
])
def test_what_keeps_an_installed_library_from_loading_is_told_whatever_it_is(line, reason, monkeypatch, tmp_path):
    (tmp_path / "half_installed.py").write_text(f"{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=f"^this needs half_installed, which does not load: {reason}"):
        required("half_installed", "this")


def test_no_hint_installs_the_package_of_another_project():
    """On the public index `minigrad` belongs to somebody else; a checkout's extras are `.[train]`."""
    root = Path(__file__).parents[2]
    own = re.compile(r"minigrad\[[a-z]+\]|pip install[^\n]*[ \"']minigrad(?![-\w/])")
    files = [file for ending in ("py", "md", "toml", "cff", "yml") for file in root.rglob(f"*.{ending}")]
    ours = [file for file in files if file != Path(__file__) and ".venv" not in file.parts]
    assert not [str(file) for file in ours if own.search(file.read_text(encoding="utf-8"))]
    assert 'name = "minigrad-numpy"' in (root / "pyproject.toml").read_text(encoding="utf-8")
