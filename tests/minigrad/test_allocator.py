import ctypes
import math
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from minigrad.allocator import KEPT, keep_freed_memory


def pretend(monkeypatch, platform, library, **environment):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(os, "environ", environment)


def c_library(most=math.inf):
    """A C library that takes thresholds of mapping up to this one, and what it was told."""
    told = {}

    def mallopt(name, size):
        accepted = name != KEPT["mmap_threshold"][0] or size <= most
        if accepted:
            told[name] = size
        return int(accepted)

    return SimpleNamespace(mallopt=mallopt), told


keep_anew = keep_freed_memory.__wrapped__  # what is asked of the real one holds until the end of the process


def test_the_c_library_is_told_what_to_keep(monkeypatch):
    library, told = c_library()
    pretend(monkeypatch, "linux", library)
    assert keep_anew() is True
    assert told == dict(KEPT.values())


def test_an_older_c_library_keeps_arrays_of_up_to_32_megabytes(monkeypatch):
    library, told = c_library(most=32 << 20)
    pretend(monkeypatch, "linux", library)
    assert keep_anew() is True
    assert told == dict(KEPT.values()) | {KEPT["mmap_threshold"][0]: 32 << 20}


def test_a_c_library_that_refuses_keeps_nothing(monkeypatch):
    library, told = c_library(most=0)
    pretend(monkeypatch, "linux", library)
    assert keep_anew() is False
    assert not told


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_where_the_c_library_is_another_nothing_is_kept(monkeypatch, platform):
    library = SimpleNamespace() if platform == "linux" else None
    pretend(monkeypatch, platform, library)
    assert keep_anew() is False


@pytest.mark.parametrize("name", [*KEPT, "mmap_max"])
def test_what_a_user_has_set_in_the_environment_stays(monkeypatch, name):
    library, told = c_library()
    for variable in {f"MALLOC_{name.upper()}_": "1000"}, {"GLIBC_TUNABLES": f"a.b=1:glibc.malloc.{name}=1000"}:
        pretend(monkeypatch, "linux", library, **variable)
        assert keep_anew() is False
    assert not told


def test_what_a_user_has_set_of_other_things_changes_nothing(monkeypatch):
    library, told = c_library()
    pretend(monkeypatch, "linux", library, MALLOC_ARENA_MAX="1", GLIBC_TUNABLES="glibc.malloc.arena_max=1")
    assert keep_anew() is True
    assert told


PROGRAM = """
import resource, sys
import numpy as np
from minigrad import tensor
from minigrad.allocator import keep_freed_memory
from minigrad.testing import gradcheck

def step():
    arrays = [np.ones(5 << 20, np.float32) for _ in range(4)]  # 20 MB each

def pages(what):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    what()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20

if sys.argv[1] == "backward":
    tensor(1.0, requires_grad=True).backward()
elif sys.argv[1] == "evaluation":
    import nn
    nn.Linear(1, 1).eval()
elif sys.argv[1] == "gradcheck":
    gradcheck(np.square, np.ones(2), gradient=lambda x, cotangent: 2 * x * cotangent)
step()
again = pages(step)
before = resident()
large = np.ones(60 << 20, np.float32)  # 240 MB
del large
many = [np.ones(10 << 20, np.float32) for _ in range(10)]  # 400 MB in arrays that are kept
del many
print(keep_freed_memory(), again, resident() - before)
"""


def run(first, **environment):
    """What a process says: whether memory is kept, the pages that a second step maps, megabytes kept of a peak."""
    own = {name: text for name, text in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", PROGRAM, first]
    done = subprocess.run(command, env={**own, **environment}, capture_output=True, text=True, check=True)
    kept, again, rest = done.stdout.split()
    return kept == "True", int(again), int(rest)


on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have other C libraries")


@on_linux
@pytest.mark.parametrize("first", ["backward", "gradcheck"])
def test_the_first_pass_or_check_has_freed_memory_kept_but_a_peak_goes_back(first):
    kept, again, rest = run(first)
    if not kept:
        pytest.skip("the C library is not glibc")
    assert again < 100
    assert rest < 256


@on_linux
def test_the_mode_of_a_module_has_freed_memory_kept_too():
    kept, again, _ = run("evaluation")  # whether a peak goes back depends on what small things lie above it
    if not kept:
        pytest.skip("the C library is not glibc")
    assert again < 100


@on_linux
def test_before_them_and_against_the_users_settings_memory_is_mapped_anew():
    if not run("backward")[0]:
        pytest.skip("the C library is not glibc")
    assert run("nothing")[1] > 1000
    kept, again, _ = run("backward", MALLOC_MMAP_THRESHOLD_="100000")
    assert not kept
    assert again > 1000
