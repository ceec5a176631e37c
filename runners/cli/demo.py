"""``corpus-audit demo``: audit two snapshots of a corpus made of what this machine has."""

from __future__ import annotations

from pathlib import Path

import click

from corpus_audit.runners.cli.output import Session, json_option, note
from corpus_audit.schemas.errors import ExitCode


@click.command(short_help="Audit a corpus made of what this machine has.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("corpus-audit-demo"),
    show_default=True,
    help="Where the snapshots, the tokenizer, the audit files and the runs go.",
)
@click.option("--megabytes", type=click.IntRange(1, 10_000), default=40, show_default=True, help="Text to audit.")
@click.option("--workers", type=click.IntRange(min=1), help="Threads that read; the cores of this machine by default.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@json_option
@click.pass_obj
def demo(session: Session, folder: Path, megabytes: int, workers: int | None, quiet: bool, as_json: bool) -> int:
    """Build two snapshots of a corpus from the Python installation, train a tokenizer, audit both.

    Some packages are in one snapshot alone, and a benchmark holds passages of the corpus: the audit of the second
    snapshot compares it with the first, looks for the benchmark, compares sampling strategies, and is judged by a
    starter policy. Needs no network and takes less than a minute. The domain of a document is where its file is from.
    """
    from corpus_audit.runners.cli.run import perform_audit, show_outcome
    from corpus_audit.runners.demo_corpus import build_demo
    from corpus_audit.schemas.audit_file import load_audit

    say = (lambda stage: None) if quiet else note
    corpus = build_demo(folder, megabytes, say=say)
    if corpus.note:
        note(corpus.note)
    say("auditing the first snapshot")
    outcome = perform_audit(session, load_audit(corpus.before), workers=workers, rehash=False, quiet=quiet)
    if not outcome.complete:
        return show_outcome(outcome, "demo", as_json, outcome.exit_code)
    say("auditing the second snapshot, and comparing it with the first")
    loaded = load_audit(corpus.audit)
    outcome = perform_audit(session, loaded, workers=workers, rehash=False, quiet=quiet)
    # What the policy says is part of the show, and no failure of the demo.
    code = show_outcome(outcome, "demo", as_json, ExitCode.OK if outcome.complete else ExitCode.NO_VERDICT)
    if as_json:
        return code
    from corpus_audit.pipelines.run_directory import RunDirectory
    from corpus_audit.runners.demo_summary import known_answers

    run = RunDirectory(outcome.run_dir)
    click.echo()
    click.echo(known_answers(corpus, run), nl=False)
    click.echo()
    click.echo(f"More    corpus-audit drift {folder / 'runs-before'} {folder / 'runs'}")
    click.echo(f"        corpus-audit sampling {corpus.audit}")
    click.echo(f"Spec    {corpus.audit}")
    return code
