"""What every command shares: results on standard output, the rest on standard error, ``--json``, what ends a run."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Write the result as JSON, with a versioned schema.")


@dataclass(slots=True)
class Session:
    """What the process knows of the command it runs, for the case that the command fails.

    Attributes:
        output: the output folder, once it is known; a crash report goes there.
        abandon: the command was interrupted and threads of the engine may still run.
    """

    output: Path | None = None
    abandon: bool = False


def emit_json(schema: str, payload: Mapping[str, object]) -> None:
    """Write one JSON object to standard output; its first key names the schema ``corpus-audit/<schema>/1``."""
    click.echo(json.dumps({"schema": f"corpus-audit/{schema}/1", **payload}, ensure_ascii=False, allow_nan=False))


def note(message: str) -> None:
    """Say something on standard error."""
    click.echo(message, err=True)


def colour_on_stdout() -> bool:
    """Whether results may be coloured: standard output is a terminal, and NO_COLOR is not set (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def width_on_stdout(most: int = 100) -> int:
    """Columns for results: those of the terminal, 80 where there is none."""
    import shutil

    return min(most, shutil.get_terminal_size((80, 24)).columns) if sys.stdout.isatty() else 80
