"""A setting of the C library that training gains a lot from."""

from __future__ import annotations

import ctypes
import sys

MALLOPT = {-4: 0, -1: 2**31 - 1, -2: 2**26}  # M_MMAP_MAX, M_TRIM_THRESHOLD and M_TOP_PAD of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Keep freed memory in this process for the next array, instead of giving it back to the system.

    A step of training frees and allocates the same arrays over and over. Those of more than 128 kB are by default often
    mapped anew each time, page by page, which takes longer than computing them: a step of a small convolutional network
    with 128 images takes two and a half times as long. The process keeps the memory it needed at its peak.

    Returns whether the C library could be told: it can be where it is glibc, on most Linux systems.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(name, setting) for name, setting in MALLOPT.items())
