"""How kernels are compiled: once a machine, cached on disk, releasing the GIL."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core import entrypoints

from corpus_audit.pipelines.kernels.compiler.machine_code import MachineCode

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile ``function`` on first use and keep the machine code beside the source, or in the user's cache.

    A change of any kernel invalidates the cached code of all. If neither folder can be written, the kernel is compiled
    anew in every process. Without the wrapper for C callers, which nothing here calls, compiling takes a tenth less.

    What compiles slowly and is therefore not written in kernels of an audit (numba 0.68, seconds of the first use in a
    process): assigning to a slice 2.2, a view of another type 2, ``np.sort`` 1.3, ``np.concatenate`` 1, ``np.invert``
    0.4, and 0.05 to 0.1 for allocating an array, for each type: callers allocate. A loop takes a few hundredths.
    """
    return _compiled(function)


def read_only(values: np.ndarray) -> np.ndarray:
    """A view that cannot be written to: a kernel is compiled once for those, and once more for those that can be."""
    view = values.view()
    view.flags.writeable = False
    return view


def _compiled(function: F, **options: bool) -> F:
    compiled = numba.njit(nogil=True, no_cfunc_wrapper=True, **options)(function)
    compiled._compilation_chain_init_hook = _nothing
    compiled._compiler.compile = _without_what_no_kernel_needs(compiled._compiler.compile)
    with suppress(RuntimeError):  # numba's "no locator available": nowhere to keep the machine code
        compiled._cache = MachineCode(function)
    return compiled


def _nothing() -> None:
    """Do nothing where numba would load the extensions of other packages, for types that no kernel has."""


def _without_what_no_kernel_needs(compile_one: Callable[..., Any]) -> Callable[..., Any]:
    """A compiler that neither loads extensions of other packages (awkward) nor looks for garbage while it compiles.

    It makes millions of objects that stay until it is done; looking through them again and again takes a tenth of its
    time. numba calls it with a lock held, so that nothing else compiles meanwhile.
    """

    def compile_lean(*arguments: Any) -> Any:
        extensions, collects = entrypoints._already_initialized, gc.isenabled()
        entrypoints._already_initialized = True
        gc.disable()
        try:
            return compile_one(*arguments)
        finally:
            entrypoints._already_initialized = extensions
            if collects:
                gc.enable()

    return compile_lean


def subkernel(function: F) -> F:
    """Compile a function that only kernels call: nothing is compiled with which Python could call it."""
    return _compiled(function, no_cpython_wrapper=True)


def inlined(function: F) -> F:
    """Compile a helper into each place of a kernel that calls it."""
    return numba.njit(inline="always")(function)
