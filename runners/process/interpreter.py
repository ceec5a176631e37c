"""The interpreter of a command: fewer garbage collections, and an end that does not take the process apart.

Both are about a tenth of the processor time of an audit of a megabyte. Importing makes some hundred thousand objects
that stay, and by default the collector looks through them after every 700 further ones. At the end the interpreter
clears every module and frees every object, one by one, of a process whose memory the system takes back at once.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from contextlib import suppress

COLLECTED_AFTER = 100_000
"""New objects that can be part of a cycle, after which the collector looks for cycles that nothing refers to. What an
audit holds much of (numpy, Arrow) is freed by reference counts."""


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


def leave_at_once(end: ProcessEnd) -> None:
    """End the process with the code of its command, standard output and error flushed."""
    if end.code is None:
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(end.code)
