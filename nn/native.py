"""In how many threads NumPy computes a product, asked of its library in C by `ctypes`, since training has NumPy alone.

Where that cannot be told, it is left as it is.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import Lock

# Of OpenBLAS, which NumPy's wheels bring along; other libraries are left alone.
THREADS_OF_OPENBLAS = "scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_", "openblas_{}_num_threads"


def product_threads(count: int | None = None) -> int | None:
    """In how many threads a product is computed, from now on in `count` of them; None if that cannot be told."""
    library = ctypes.CDLL(import_module("numpy._core._multiarray_umath").__file__)  # finds what that is linked with
    name = next((name for name in THREADS_OF_OPENBLAS if hasattr(library, name.format("set"))), None)
    if name is None:
        return None
    if count is not None:
        getattr(library, name.format("set"))(count)
    return int(getattr(library, name.format("get"))())


_lock = Lock()
# Of each who wants a single thread, how many there were: so the last one to leave puts back what the first one found.
_before: list[int | None] = []


@contextmanager
def one_thread_for_products() -> Iterator[None]:
    """Inside, OpenBLAS computes a product in the thread that asks for it.

    With threads of its own it computes one product at a time in the whole process.
    """
    with _lock:
        _before.append(product_threads())
        product_threads(1)
    try:
        yield
    finally:
        with _lock:
            product_threads(_before.pop())
