"""Returns freed memory to the operating system between the stages of a run."""

from __future__ import annotations

import ctypes

import pyarrow as pa


def release_memory() -> None:
    """Trim the heap: glibc keeps the arenas of finished threads, which those of the next stage cannot use."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
