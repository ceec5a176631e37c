"""Output of every command: ``--json``, the width and colour of results, and what a command says if it fails."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from corpus_audit.runners.cli.shared.crash_report import one_line, write_crash_report
from corpus_audit.runners.cli.shared.streams import encodes_unicode, is_terminal, note, write_out

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Write the result as JSON with a versioned schema.")


def _nothing() -> None: ...


@dataclass(slots=True)
class Session:
    """State of the running command, for the case that it fails.

    Attributes:
        output: the output folder, once it is known; a crash report goes there.
        abandon: whether the command was interrupted and threads of the engine may still run.
        interrupted: the message if a signal ends the command.
        leaving: called if the process has to exit without unwinding after a signal; ends a live progress line.
        own_process: whether the process runs only this command, which may then settle what is imported in it.
    """

    output: Path | None = None
    abandon: bool = False
    interrupted: str = "interrupted"
    leaving: Callable[[], None] = _nothing
    own_process: bool = False


def emit_json(schema: str, payload: Mapping[str, object]) -> None:
    """Write one JSON object to standard output; its first key names the schema ``corpus-audit/<schema>/1``.

    Characters that standard output cannot encode are written as JSON's own escapes.
    """
    content = {"schema": f"corpus-audit/{schema}/1", **payload}
    write_out(json.dumps(content, ensure_ascii=not encodes_unicode(sys.stdout), allow_nan=False))


@contextmanager
def presentation(session: Session | None, result: str) -> Iterator[None]:
    """Report an error in showing a final result on standard error, and suppress it.

    The exit code stays that of the result, whether it could be shown or not.

    Args:
        session: the command's.
        result: the result and where it is, a clause for the message.
    """
    try:
        yield
    except Exception as error:
        where = write_crash_report(error, session.output if session else None)
        note(f"corpus-audit: {result}, but could not be shown ({one_line(error)}); the traceback is in {where}")


def colour_on_stdout() -> bool:
    """Whether results may be coloured: standard output is a terminal, and NO_COLOR is not set (no-color.org)."""
    return is_terminal(sys.stdout) and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def width_on_stdout() -> int:
    """Columns for results: those of the terminal, at most 100, and 80 where there is none."""
    import shutil

    return min(100, shutil.get_terminal_size((80, 24)).columns) if is_terminal(sys.stdout) else 80
