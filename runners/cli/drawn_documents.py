"""``corpus-audit investigate documents``: list what the sampler of a training run drew in some steps."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import click

from corpus_audit.runners.cli.shared.output import emit_json, json_option, width_on_stdout
from corpus_audit.runners.cli.shared.streams import write_out
from corpus_audit.schemas.errors import UsageError


@click.command(short_help="List what the sampler drew in some steps.")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("window", required=False)
@click.option("--first", type=click.IntRange(min=0), metavar="STEP", help="The first step of the run.")
@click.option("--last", type=click.IntRange(min=0), metavar="STEP", help="The last step of the run.")
@json_option
def documents(file: Path, window: str | None, first: int | None, last: int | None, as_json: bool) -> None:
    """List the domains, repeated documents and highest excess losses of the draws in the steps WINDOW: 31210-31219.

    FILE is an investigation.yaml that names a sampler's log (drawn:). The steps are compared with control windows of
    the same length. With the texts of the documents (drawn.texts), near-duplicates and n-grams that repeat are listed
    too. The offset of the log's steps is taken as stated; `corpus-audit investigate FILE` tests it.
    """
    from corpus_audit.checks.investigation.drawn_windows import compare_steps
    from corpus_audit.pipelines.statistics.sampling.control_windows import LEAST_CONTROLS
    from corpus_audit.runners.terminal.investigation.documents import documents_lines, text_lines
    from corpus_audit.schemas.spec.investigation_file import load_investigation

    begin, end = _steps(window, first, last)
    loaded = load_investigation(file)
    if loaded.spec.drawn is None:
        raise UsageError(f"{file} names no sampler's log: add drawn: {{log: sampler/*.parquet}}")
    offset = loaded.spec.drawn.step_offset
    comparison, texts = compare_steps(loaded.spec.drawn, loaded.base, begin, end)
    if as_json:
        payload = {"first_step": begin, "last_step": end, "offset": offset, **dataclasses.asdict(comparison)}
        payload["texts"] = None if texts is None else dataclasses.asdict(texts)
        if comparison.controls < LEAST_CONTROLS:
            payload |= {"p": None, "each": {}}
        emit_json("investigate-documents", {name: _plain(value) for name, value in payload.items()})
        return
    for line in documents_lines(comparison, begin, end, offset, width_on_stdout()):
        write_out(line)
    if texts is not None:
        for line in text_lines(texts, width_on_stdout()):
            write_out(line)


def _steps(window: str | None, first: int | None, last: int | None) -> tuple[int, int]:
    """First and last step, from FIRST-LAST, a single step, or the two options.

    Raises:
        UsageError: it is no window, or neither or both ways are used.
    """
    if window is None:
        if first is None or last is None:
            raise UsageError("name the steps, as in 31210-31219, or with --first and --last")
    elif first is not None or last is not None:
        raise UsageError("name the steps once: as WINDOW, or with --first and --last")
    else:
        match = re.fullmatch(r"(\d{1,18})(?:[-:](\d{1,18}))?", window)
        if match is None:
            raise UsageError(f"{window!r} is no window of steps, such as 31210-31219")
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
    if last < first:
        raise UsageError(
            "--last is before --first" if window is None else f"{window}: the last step is the smaller one"
        )
    return first, last


def _plain(value: object) -> object:
    """JSON lacks NaN: null stands for it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
