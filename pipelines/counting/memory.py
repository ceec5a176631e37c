"""Giving memory back to the system between the stages of a run."""

from __future__ import annotations

import ctypes

import pyarrow as pa


def return_memory() -> None:
    """Return what was freed: glibc keeps the arenas of threads, which a stage of other threads cannot use."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
