import ctypes
import sys
from types import SimpleNamespace

import pytest

from nn.native import keep_freed_memory


def test_whether_memory_is_kept_is_a_truth_value_and_the_same_each_time():
    first, again = keep_freed_memory(), keep_freed_memory()
    assert first is again
    assert first in (True, False)


def pretend(monkeypatch, platform, library):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)


@pytest.mark.parametrize(("answer", "kept"), [(1, True), (0, False)])
def test_the_answer_of_the_c_library_tells_whether_memory_is_kept(monkeypatch, answer, kept):
    asked = []
    pretend(monkeypatch, "linux", SimpleNamespace(mallopt=lambda *setting: asked.append(setting) or answer))
    assert keep_freed_memory() is kept
    assert asked[0] == (-4, 0)
    assert len(asked) == (3 if kept else 1)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_where_the_c_library_is_another_nothing_is_kept(monkeypatch, platform):
    library = SimpleNamespace() if platform == "linux" else None
    pretend(monkeypatch, platform, library)
    assert keep_freed_memory() is False
