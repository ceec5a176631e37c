"""``corpus-audit investigate documents``: list what the sampler of a training run drew in some steps."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import click

from corpus_audit.runners.cli.shared.output import emit_json, json_option, width_on_stdout
from corpus_audit.runners.cli.shared.streams import write_out
from corpus_audit.schemas.errors import UsageError


@click.command(short_help="List what the sampler drew in some steps.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--first", type=click.IntRange(min=0), required=True, metavar="STEP", help="The first step of the run.")
@click.option("--last", type=click.IntRange(min=0), required=True, metavar="STEP", help="The last step of the run.")
@json_option
def documents(file: Path, first: int, last: int, as_json: bool) -> None:
    """List the domains, repeated documents and highest excess losses of the draws from step --first to --last.

    FILE is an investigation.yaml that names a sampler's log (drawn:). The steps are compared with control windows of
    the same length. The offset of the log's steps is taken as stated; `corpus-audit investigate FILE` tests it.
    """
    from corpus_audit.checks.investigation.drawn_windows import compare_steps
    from corpus_audit.pipelines.statistics.sampling.control_windows import LEAST_CONTROLS
    from corpus_audit.runners.terminal.investigation.documents import documents_lines
    from corpus_audit.schemas.spec.investigation_file import load_investigation

    if last < first:
        raise UsageError("--last is before --first")
    loaded = load_investigation(file)
    if loaded.spec.drawn is None:
        raise UsageError(f"{file} names no sampler's log: add drawn: {{log: sampler/*.parquet}}")
    offset = loaded.spec.drawn.step_offset
    comparison = compare_steps(loaded.spec.drawn, loaded.base, first, last)
    if as_json:
        payload = {"first_step": first, "last_step": last, "offset": offset, **dataclasses.asdict(comparison)}
        if comparison.controls < LEAST_CONTROLS:
            payload |= {"p": None, "each": {}}
        emit_json("investigate-documents", {name: _plain(value) for name, value in payload.items()})
        return
    for line in documents_lines(comparison, first, last, offset, width_on_stdout()):
        write_out(line)


def _plain(value: object) -> object:
    """JSON lacks NaN: null stands for it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
