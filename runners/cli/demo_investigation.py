"""``corpus-audit demo --investigate``: train a small language model, and find out what happened to it."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from corpus_audit.runners.cli.shared.output import Session, emit_json, width_on_stdout
from corpus_audit.runners.cli.shared.streams import note, write_out
from corpus_audit.schemas.errors import ExitCode


def show_investigation(ctx: click.Context, folder: Path, quiet: bool, as_json: bool) -> int:
    """Train the language model, investigate its logs, and show the finding that names the bad shard's documents.

    Args:
        ctx: of the command.
        folder: of the demo.
        quiet: show no progress.
        as_json: write one JSON object instead of text.

    Returns:
        The exit code.
    """
    from corpus_audit.runners.cli.investigate import perform_investigation, show
    from corpus_audit.runners.demo.investigation import build
    from corpus_audit.runners.demo.investigation.summary import documents_at, planted_answers, spike_at
    from corpus_audit.runners.investigation.run import REPORT_FILE
    from corpus_audit.runners.terminal.investigation.findings import findings_lines
    from corpus_audit.schemas.spec.investigation_file import load_investigation

    progress = (lambda stage: None) if quiet else note
    demo = build.build_investigation_demo(folder, progress, build.STEPS)
    progress("investigating")
    published = perform_investigation(ctx.ensure_object(Session), load_investigation(demo.spec), None, quiet)
    findings, page = published.findings.findings, published.folder / REPORT_FILE
    if as_json:
        planted = {"steps": demo.steps, "fault": demo.fault, "shard": demo.shard, "documents": list(demo.documents)}
        payload = published.findings.model_dump(mode="json", exclude={"schema_"})
        emit_json("demo-investigation", {"folder": str(published.folder), "planted": planted, **payload})
        return int(ExitCode.OK)
    for line in findings_lines(published.findings, width_on_stdout()):
        write_out(line)
    write_out()
    write_out(planted_answers(demo, findings), nl=False)
    named = documents_at(findings, spike_at(findings, demo.shard))
    if named is not None:
        write_out(f"\n$ corpus-audit investigate show {named.id} --in {shlex.quote(str(published.folder))}\n")
        ctx.invoke(show, finding=named.id, folder=published.folder)
    write_out(f"\nSpec    {demo.spec}\nPage    {page}")
    return int(ExitCode.OK)
