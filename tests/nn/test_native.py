import ctypes
import sys
from types import SimpleNamespace

import pytest

from nn.native import keep_freed_memory, one_thread_for_products, product_threads


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


def test_the_threads_of_products_can_be_told_set_and_put_back():
    before = product_threads()
    if before is None:
        pytest.skip("NumPy computes products with another library than OpenBLAS")
    try:
        assert product_threads(2) == product_threads() == 2
        with one_thread_for_products(), one_thread_for_products():
            assert product_threads() == 1
        assert product_threads() == 2
    finally:
        product_threads(before)
