"""The interpreter of a command: fewer garbage collections, and an end that does not take the process apart.

Both are about a tenth of the processor time of an audit of a megabyte. Importing makes some hundred thousand objects
that stay, and by default the collector looks through them after every 700 further ones. At the end the interpreter
clears every module and frees every object, one by one, of a process whose memory the system takes back at once.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys
from contextlib import suppress

COLLECTED_AFTER = 100_000
"""New objects that can be part of a cycle, after which the collector looks for cycles that nothing refers to. What an
audit holds much of (numpy, Arrow) is freed by reference counts."""


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`."""

KEPT_BYTES = 256 << 20
LARGEST_FROM_HEAP = 32 << 20
"""The largest that every version of glibc takes for this parameter."""


class ProcessEnd:
    """The exit code of this process, once a command has ended with it; `leave_at_once` uses it.

    Attributes:
        code: None before that: an error outside the command has the interpreter's own end.
    """

    code: int | None = None


def prepare_interpreter() -> ProcessEnd:
    """Collect garbage less often, and have the process end at once; call it once, before anything else is imported.

    The end comes where Python calls functions registered with `atexit`, last of them, as the first one registered is
    the last to be called: threads have been joined and other libraries have closed what they keep.

    Returns:
        What the caller sets to the exit code that the process ends with.
    """
    gc.set_threshold(COLLECTED_AFTER, *gc.get_threshold()[1:])
    end = ProcessEnd()
    atexit.register(leave_at_once, end)
    return end


def keep_freed_memory() -> bool:
    """Have glibc keep up to `KEPT_BYTES` of freed memory for what is allocated next, instead of returning it at once.

    A forward pass frees and allocates the same megabytes in every layer. Returned to the system, each page of them is
    cleared and mapped again the next time, which is 7 % of the processor time of a scan.

    Returns:
        Whether that was set: other C libraries have no such parameter.
    """
    try:
        set_parameter = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    set_threshold = set_parameter(_MMAP_THRESHOLD, LARGEST_FROM_HEAP)
    return bool(set_threshold and set_parameter(_TRIM_THRESHOLD, KEPT_BYTES))


def leave_at_once(end: ProcessEnd) -> None:
    """End the process with the code of its command, standard output and error flushed."""
    if end.code is None:
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(end.code)
