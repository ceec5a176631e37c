"""Write a crash report of an unexpected error: the traceback and the last log lines."""

from __future__ import annotations

import os
import tempfile
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from corpus_audit.runners.cli.shared.streams import note


def one_line(error: BaseException) -> str:
    """The error's type and the first line of its message, at most 300 characters."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def write_crash_report(error: BaseException, output: Path | None) -> Path:
    """Write the traceback and the last log lines to a new file in ``output``, else in the temporary folder."""
    from corpus_audit.runners.process.logs import recent_log_lines

    text = "".join(traceback.format_exception(error))
    logged = recent_log_lines()
    if logged:
        text += "\nLast warnings and errors that were logged:\n" + "\n".join(logged) + "\n"
    name = f"crash-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.txt"
    folders = [output]
    with suppress(OSError):  # where no folder can be written there is no temporary one
        folders.append(Path(tempfile.gettempdir()))
    for folder in folders:
        if folder is not None and folder.is_dir():
            try:
                path = folder / name
                path.write_text(text, encoding="utf-8", errors="backslashreplace")
                return path
            except OSError:
                continue
    note(text)
    return Path("the lines above")
