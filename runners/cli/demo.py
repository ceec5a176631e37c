"""``corpus-audit demo``: audit a corpus made of what this machine has."""

from __future__ import annotations

from pathlib import Path

import click

from corpus_audit.runners.cli.output import Session, json_option, note


@click.command(short_help="Audit a corpus made of what this machine has.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("corpus-audit-demo"),
    show_default=True,
    help="Where corpus, tokenizer, audit.yaml and runs go.",
)
@click.option("--megabytes", type=click.IntRange(1, 10_000), default=40, show_default=True, help="Text to audit.")
@click.option("--workers", type=click.IntRange(min=1), help="Threads that read; the cores of this machine by default.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@json_option
@click.pass_obj
def demo(session: Session, folder: Path, megabytes: int, workers: int | None, quiet: bool, as_json: bool) -> int:
    """Build a corpus from the Python installation, train a tokenizer on it, audit it.

    Needs no network and takes less than a minute. The domain of a document is where its file comes from.
    """
    from corpus_audit.runners.cli.run import perform_audit, show_outcome
    from corpus_audit.runners.demo_corpus import build_demo
    from corpus_audit.schemas.audit_file import load_audit

    corpus = build_demo(folder, megabytes, say=(lambda stage: None) if quiet else note)
    if corpus.note:
        note(corpus.note)
    outcome = perform_audit(session, load_audit(corpus.audit), workers=workers, rehash=False, quiet=quiet)
    code = show_outcome(outcome, "demo", as_json)
    if not as_json:
        click.echo(f"Spec    {corpus.audit}")
    return code
