"""``corpus-audit heads``: score every attention head, and show what induction heads do in the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from corpus_audit.runners.cli.shared.index_options import extra, index_option, snapshot_option
from corpus_audit.runners.cli.shared.output import colour_on_stdout, emit_json, json_option, width_on_stdout
from corpus_audit.runners.cli.shared.streams import write_out

if TYPE_CHECKING:
    from corpus_audit.embeddings.heads.results import HeadResults, Rows
    from corpus_audit.embeddings.index.reader import Index

SORTS = ("prefix", "copying", "eigenvalues", "previous", "duplicate", "first", "entropy")
MEASURES = ("completing", "induction", "duplicate", "previous", "first", "entropy")


@click.command(short_help="Score every attention head; find induction heads.")
@click.argument("pattern", required=False)
@index_option
@snapshot_option
@click.option("--model", help="Path of the model, if it has moved; without --index, the model alone, without a corpus.")
@click.option(
    "--windows", type=click.IntRange(min=0), default=100, show_default=True, help="Windows of the corpus that are read."
)
@click.option("--sort", type=click.Choice(SORTS), default="prefix", show_default=True, help="Order by this score.")
@click.option(
    "--measure", type=click.Choice(MEASURES), default="completing", show_default=True, help="What to show by domain."
)
@click.option(
    "--k", "k", type=click.IntRange(1, 100_000), default=10, show_default=True, help="Maximum number of heads."
)
@click.option(
    "--ablate", type=click.Choice(["zero", "mean"]), help="Measure the loss without each of the heads of PATTERN."
)
@click.option("--together", is_flag=True, help="With --ablate: remove them together.")
@json_option
@click.pass_context
def heads(
    context: click.Context,
    pattern: str | None,
    path: Path,
    snapshot: str | None,
    model: str | None,
    windows: int,
    sort: str,
    measure: str,
    k: int,
    ablate: str | None,
    together: bool,
    as_json: bool,
) -> None:
    """Score the attention heads that match PATTERN, such as 'head.5:*'; by default all heads.

    Scores are of random tokens that repeat. Prefix matching is attention to what followed earlier copies of a token:
    heads above 0.3 are listed as induction heads, with the earlier heads that feed them, how they act in the corpus by
    domain, and training documents in which they complete a sequence.

    With --ablate, the loss of the next token is measured with the output of each head replaced by zero or by its mean.
    """
    from corpus_audit.embeddings import open_index
    from corpus_audit.schemas.errors import UsageError

    if together and ablate is None:
        raise UsageError("--together goes with --ablate")
    alone = model is not None and context.get_parameter_source("path") is not ParameterSource.COMMANDLINE
    index = None if alone else open_index(path, snapshot)
    if ablate is not None:
        if pattern is None:
            raise UsageError("--ablate needs PATTERN: corpus-audit heads 'head.5:*' --ablate mean")
        _ablated(index, pattern, model, windows, ablate, together, as_json)
        return
    results = _results(index, model, windows)
    rows = _matching(results.tables["head_scores"], pattern)
    rows = sorted(rows, key=lambda row: (row[sort] is None, -(row[sort] or 0.0)))
    _show(index, results, rows, measure, k, as_json)


def _results(index: Index | None, model: str | None, windows: int) -> HeadResults:
    """Results that are known, without torch; else computed."""
    from corpus_audit.embeddings.heads.results import head_tables, known_results

    known = None if index is None else known_results(index, "heads", {"windows": windows}, head_tables(windows))
    if known is not None:
        return known
    computed: HeadResults = extra("heads.analysis").head_results(index, model, windows)
    return computed


def _matching(rows: Rows, pattern: str | None) -> Rows:
    """The rows of heads that a pattern names.

    Raises:
        UnitError: it matches none; the message says what exists.
    """
    from corpus_audit.schemas.units import Point, parse_pattern, parse_unit, select

    if pattern is None:
        return rows
    units = [parse_unit(row["head"]) for row in rows]
    widths: dict[Point, int] = {}
    for unit in units:
        widths[unit.point] = max(widths.get(unit.point, 0), unit.index + 1)
    selected = select([parse_pattern(pattern)], widths)
    pairs = zip(rows, units, strict=True)
    return [row for row, unit in pairs if unit.point in selected and unit.index in selected[unit.point]]


def _show(index: Index | None, results: HeadResults, rows: Rows, measure: str, k: int, as_json: bool) -> None:
    from corpus_audit.checks.text.safe_text import fit, safe_text
    from corpus_audit.embeddings.heads.results import INDUCTION
    from corpus_audit.embeddings.index.files import facts_text
    from corpus_audit.runners.terminal.heads import (
        circuit_lines,
        domain_lines,
        evidence_lines,
        score_lines,
    )
    from corpus_audit.runners.terminal.heat_map import terminal_has_colours
    from corpus_audit.runners.terminal.lookup import View

    listed = rows[:k]
    names = {row["head"] for row in listed}
    more: dict[str, Rows] = {
        name: [row for row in results.tables.get(name, []) if row["head"] in names]
        for name in ("head_circuits", "head_domains", "induction_evidence")
    }
    if as_json:
        evidence = [row | {"window": f"{row['window']:016x}"} for row in more["induction_evidence"]]
        emit_json("heads", {"index": None if index is None else str(index.folder),
                            "results": None if results.folder is None else str(results.folder),
                            "provenance": results.provenance, "count": len(rows), "heads": listed,
                            "circuits": more["head_circuits"], "domains": more["head_domains"],
                            "evidence": evidence})  # fmt: skip
        return
    view = View(width_on_stdout(), terminal_has_colours(colour_on_stdout()))
    title = f"model {results.provenance['model']}" if index is None else facts_text(index.facts)
    write_out(fit(safe_text(title), view.width).rstrip())
    for line in score_lines(listed, len(rows)):
        write_out(line)
    for line in circuit_lines(more["head_circuits"]):
        write_out(line)
    induction = [row["head"] for row in listed if row["prefix"] >= INDUCTION]
    if not induction:
        write_out(f"No listed head has a prefix matching of {INDUCTION} or more: no induction heads.")
    if index is not None and "head_domains" in results.tables and listed:
        best = max(listed, key=lambda row: row["prefix"])["head"] if induction else listed[0]["head"]
        for line in domain_lines(more["head_domains"], best, measure):
            write_out(line)
        for line in evidence_lines(index, more["induction_evidence"], best, view):
            write_out(line)
    if results.folder is not None:
        write_out("")
        write_out(f"tables: {results.folder}")


def _ablated(
    index: Index | None, pattern: str, model: str | None, windows: int, kind: str, together: bool, as_json: bool
) -> None:
    from corpus_audit.runners.terminal.heads import ablation_lines

    results: HeadResults = extra("heads.analysis").ablation_results(index, model, pattern, kind, windows, together)
    rows = results.tables["head_ablations"]
    if as_json:
        emit_json("heads", {"index": None if index is None else str(index.folder),
                            "results": None if results.folder is None else str(results.folder),
                            "provenance": results.provenance, "ablations": rows})  # fmt: skip
        return
    for line in ablation_lines(rows):
        write_out(line)
    if results.folder is not None:
        write_out(f"tables: {results.folder}")
