"""What is asked of libraries in C: that the memory of arrays is kept, and that a product is computed in one thread.

Both by `ctypes`, since training has NumPy alone; what cannot be told is left as it is.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from threading import Lock

MB = 1 << 20
KEPT = {"mmap_threshold": (-3, 64 * MB), "trim_threshold": (-1, 256 * MB), "top_pad": (-2, 64 * MB)}  # glibc's malloc.h
LARGEST_THRESHOLD = 32 * MB  # that glibc takes before version 2.35


@cache
def keep_freed_memory() -> bool:
    """Keep freed memory in this process for the next array, instead of giving it back to the system.

    A step of training frees and allocates the same arrays over and over. Those of more than 128 kB are by default often
    mapped anew each time, page by page, which takes longer than computing them: a step of a small convolutional network
    with 128 images takes twice as long. The first optimizer of a process asks for this.

    Arrays of up to 64 MB come from memory that is kept, larger ones are still mapped one by one. Once more than 256 MB
    at its end lie free, all but 64 MB goes back to the system. Whoever has set any of this in the environment, by
    `MALLOC_MMAP_THRESHOLD_` and the like or by `GLIBC_TUNABLES`, knows better: then nothing is changed.

    Returns whether the C library was told: it can be where it is glibc, on most Linux systems.
    """
    if not sys.platform.startswith("linux") or is_set_by_user(os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    (threshold, size), *others = KEPT.values()
    kept = mallopt(threshold, size) or mallopt(threshold, LARGEST_THRESHOLD)
    return bool(kept) and all(mallopt(*setting) for setting in others)


def is_set_by_user(environment: Mapping[str, str]) -> bool:
    """Whether a user has set, in the environment, when memory is mapped or given back."""
    names, tunables = [*KEPT, "mmap_max"], environment.get("GLIBC_TUNABLES", "")
    return any(f"MALLOC_{name.upper()}_" in environment or f"glibc.malloc.{name}=" in tunables for name in names)


# ------------------------------------------------------------------------------------------------ threads of products

THREADS_OF_OPENBLAS = "scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_", "openblas_{}_num_threads"


class ProductThreads:
    """How many threads OpenBLAS, which NumPy's wheels bring along, computes a product with; others are left alone.

    The setting holds for the whole process, so the last one who wanted a single thread puts it back.
    """

    def __init__(self) -> None:
        self.lock, self.users, self.before = Lock(), 0, 0

    def change(self, more: int) -> None:
        """Take note of one more, or one less, who wants a single thread."""
        with self.lock:
            if self.users == 0:
                self.before = product_threads() or 0
            self.users += more
            if self.before:
                product_threads(1 if self.users else self.before)


def product_threads(count: int | None = None) -> int | None:
    """In how many threads a product is computed, from now on in `count` of them; None if that cannot be told."""
    library = ctypes.CDLL(import_module("numpy._core._multiarray_umath").__file__)  # finds what that is linked with
    name = next((name for name in THREADS_OF_OPENBLAS if hasattr(library, name.format("set"))), None)
    if name is None:
        return None
    if count is not None:
        getattr(library, name.format("set"))(count)
    return int(getattr(library, name.format("get"))())


_product_threads = ProductThreads()


@contextmanager
def one_thread_for_products() -> Iterator[None]:
    """Inside, OpenBLAS computes a product in the thread that asks for it.

    With threads of its own it computes one product at a time in the whole process.
    """
    _product_threads.change(+1)
    try:
        yield
    finally:
        _product_threads.change(-1)
