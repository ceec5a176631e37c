"""``corpus-audit index score``: explain units with a command, and score explanations by detection and fuzzing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from corpus_audit.runners.cli.shared.index_options import index_option, model_option, snapshot_option
from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.streams import write_out


@click.command(short_help="Score explanations of units with a command of yours.")
@click.argument("pattern")
@click.option("--config", type=click.Path(path_type=Path), required=True,
              help="A scoring file: the commands, and how items are drawn.")  # fmt: skip
@click.option("--items", "items_file", type=click.Path(path_type=Path), help="Also write the scorer's items here.")
@index_option
@snapshot_option
@model_option
@json_option
def score(
    pattern: str,
    config: Path,
    items_file: Path | None,
    path: Path,
    snapshot: str | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Score the explanations of the units that match PATTERN, such as 'mlp.3:0-99', and keep the scores.

    The scorer of the scoring file reads items on its standard input: an explanation and a text. It says whether the
    unit fires on the text (detection), and whether the marked tokens are those on which it fires (fuzzing). An
    explainer, if the file names one, explains the units first. Programs are run without a shell.
    """
    from corpus_audit.embeddings import open_index
    from corpus_audit.embeddings.lookup.compare_units import select_rows
    from corpus_audit.embeddings.scoring.score import score_units
    from corpus_audit.runners.terminal.scores import score_lines
    from corpus_audit.schemas.errors import needs_extra
    from corpus_audit.schemas.spec.scoring import load_scoring

    spec = load_scoring(config)
    index = open_index(path, snapshot)
    every = list(index.units())
    units = [every[row] for row in select_rows(index, pattern).tolist()]
    with needs_extra("embeddings"):
        result = score_units(index, units, spec, model, items_file)
    if as_json:
        emit_json("index-score", {
            "index": str(index.folder),
            "explanations": [asdict(each) | {"unit": str(each.unit)} for each in result.explanations],
            "unexplained": [{"unit": str(unit), "reason": reason} for unit, reason in result.unexplained],
            "unreadable_lines": result.unreadable_lines,
            "provenance": result.provenance,
        })  # fmt: skip
        return
    for line in score_lines(result):
        write_out(line)
