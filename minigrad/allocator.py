"""What is asked of the library in C: that the memory of freed arrays is kept for the next ones."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from functools import cache

MB = 1 << 20
KEPT = {"mmap_threshold": (-3, 64 * MB), "trim_threshold": (-1, 256 * MB), "top_pad": (-2, 64 * MB)}  # glibc's malloc.h
LARGEST_THRESHOLD = 32 * MB  # that glibc takes before version 2.35


@cache
def keep_freed_memory() -> bool:
    """Keep freed memory in this process for the next array, instead of giving it back to the system.

    Backward passes free and allocate the same arrays over and over. Those of more than 128 kB are by default often
    mapped anew each time, page by page, which takes longer than computing them: a step of a small convolutional network
    with 128 images takes twice as long, a gradient check of 200,000 parameters half as long again, the evaluation of a
    small network a fifth. The first backward pass of a process asks for this, the first gradient check, and the first
    `train()` or `eval()` of a module.

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
