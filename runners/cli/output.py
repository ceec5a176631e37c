"""What every command shares: ``--json``, how wide and coloured results are, what a failed command leaves."""

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

from corpus_audit.runners.cli.crash_report import one_line, write_crash_report
from corpus_audit.runners.cli.streams import encodes_unicode, is_terminal, note, write_out

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Write the result as JSON, with a versioned schema.")


def _nothing() -> None: ...


@dataclass(slots=True)
class Session:
    """What the process knows of the command it runs, for the case that the command fails.

    Attributes:
        output: the output folder, once it is known; a crash report goes there.
        abandon: the command was interrupted and threads of the engine may still run.
        interrupted: what the command says in one line when a signal ends it.
        leaving: called before a process that does not unwind is left after a signal; ends a live progress line.
        own_process: the process is the command's own, so that it may settle for all of it what is imported.
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
    """Around what shows a result that is settled: an error in it is said on standard error, and raised no further.

    So the exit code stays that of the result, whatever happens to its presentation.

    Args:
        session: the command's.
        result: what is settled and where it is, to be said in place of what could not be shown.
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
