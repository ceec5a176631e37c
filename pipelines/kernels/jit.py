"""How kernels are compiled: once a machine, cached on disk, releasing the GIL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile ``function`` on first use and keep the machine code beside the source, or in the user's cache.

    Where neither folder can be written the kernel is compiled anew in every process.
    """
    try:
        compiled = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba's "no locator available": nowhere to keep the machine code
        compiled = numba.njit(nogil=True)(function)
    return compiled


def inlined(function: F) -> F:
    """Compile a helper that other kernels call."""
    return numba.njit(inline="always")(function)
