"""``corpus-audit drift``: compare two finished runs."""

from __future__ import annotations

from pathlib import Path

import click

from corpus_audit.runners.cli.shared.output import Session, emit_json, json_option, presentation
from corpus_audit.runners.cli.shared.run_paths import resolve_run
from corpus_audit.runners.cli.shared.streams import note, write_out

LONG = ("drift_tokens", "document_changes")
"""Tables with a row a token or document, up to 100,000 of them, which JSON leaves out."""


@click.command(short_help="Compare two finished runs.")
@click.argument("baseline", type=click.Path(path_type=Path))
@click.argument("current", type=click.Path(path_type=Path))
@click.option("--workers", type=click.IntRange(min=1), help="Number of threads; by default one per core.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Write the tables to this folder (Parquet)."
)
@json_option
@click.pass_obj
def drift(
    session: Session, /, baseline: Path, current: Path, workers: int | None, out: Path | None, as_json: bool
) -> int:
    """Report what changed from BASELINE to CURRENT, by how much, and whether it is more than chance.

    Both are run directories, output folders (whose newest run is used) or audit files. No shard is read. Documents in
    both runs cannot differ; how many there are is known if the audit has a baseline section.

    With --json, single tokens and documents are left out; --out writes all tables.
    """
    before, now = resolve_run(baseline), resolve_run(current)
    from corpus_audit.pipelines.storage.run_directory import RunDirectory, write_table
    from corpus_audit.runners.audit.baselines import compare, default_workers
    from corpus_audit.runners.terminal.drift import drift_summary_text
    from corpus_audit.schemas.errors import ExitCode
    from corpus_audit.schemas.tables.run_tables import TABLES

    tables = compare(RunDirectory(before), RunDirectory(now), "baseline", workers or default_workers(), lambda _: None)
    if out is not None:
        for name, table in tables.items():
            write_table(out / f"{name}.parquet", TABLES[name], [table])
    conclusion = tables["drift_conclusion"].to_pylist()[0]
    with presentation(session, f"the runs were compared: {conclusion['status']}"):
        if as_json:
            named = {name: table.to_pylist() for name, table in tables.items() if name not in LONG}
            shown = {"status": conclusion["status"], "headline": conclusion["headline"]}
            emit_json("drift", {"baseline": str(before), "current": str(now), **shown, **named})
        else:
            write_out(drift_summary_text(tables))
    if out is not None:
        note(f"tables written to {out}")
    return ExitCode.NO_VERDICT if conclusion["status"] == "not tested" else ExitCode.OK
