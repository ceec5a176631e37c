"""How kernels are compiled: once a machine, cached on disk, releasing the GIL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import numba

from corpus_audit.pipelines.kernels.compiler.machine_code import MachineCode

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile ``function`` on first use and keep the machine code beside the source, or in the user's cache.

    A change of any kernel invalidates the cached code of all. If neither folder can be written, the kernel is compiled
    anew in every process. Without the wrapper for C callers, which nothing here calls, compiling takes a tenth less.

    What compiles slowly and is therefore not written in kernels of an audit (numba 0.68, seconds of the first use in a
    process): assigning to a slice 2.2, a view of another type 2, ``np.sort`` 1.3, ``np.concatenate`` 1, ``np.invert``
    0.4. A loop takes a few hundredths.
    """
    compiled = numba.njit(nogil=True, no_cfunc_wrapper=True)(function)
    with suppress(RuntimeError):  # numba's "no locator available": nowhere to keep the machine code
        compiled._cache = MachineCode(function)
        compiled._compilation_chain_init_hook = _nothing  # the compiler itself loads extensions of other packages
    return compiled


def _nothing() -> None:
    """Do nothing."""


def inlined(function: F) -> F:
    """Compile a helper that other kernels call."""
    return numba.njit(inline="always")(function)
