"""Tells what comparing the files of an index with their digests came to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.runners.cli.shared.output import emit_json
from corpus_audit.runners.cli.shared.streams import write_out
from corpus_audit.schemas.errors import ExitCode


def print_damaged(schema: str, folder: Path, damaged: Iterable[tuple[str, str]], as_json: bool) -> int:
    """Print the damaged files of an index, (name, problem) each, and return the exit code.

    ``schema`` is the name of the JSON object.
    """
    files = list(damaged)
    code = ExitCode.VERIFICATION_FAILED if files else ExitCode.OK
    if as_json:
        shown = [{"file": name, "problem": problem} for name, problem in files]
        emit_json(schema, {"index": str(folder), "damaged": shown, "exit_code": int(code)})
        return int(code)
    for name, problem in files:
        write_out(f"DAMAGED {safe_text(name, 200)} {safe_text(problem, 400)}")
    if not files:
        write_out(f"all files of {folder} are unchanged")
    return int(code)
