"""In how many threads NumPy computes a product, asked of its library in C by `ctypes`, since training has NumPy alone.

Where that cannot be told, it is left as it is.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import Lock

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
