"""``corpus-audit push`` and ``corpus-audit fetch``: runs, sign-offs and ledger to an object store, and from it."""

from __future__ import annotations

from pathlib import Path

import click

from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.streams import write_out


@click.command(short_help="Put runs and sign-offs on the audit's object store.")
@click.argument("audit", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value: remote=s3://bucket/a.")
@json_option
def push(audit: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Put on the object store of AUDIT (`remote:`) what it lacks: runs, sign-offs, the ledger.

    A run puts itself there when it is published; this is for sign-offs, and for a run whose connection failed.
    """
    from corpus_audit.pipelines.storage import remote
    from corpus_audit.runners.process.locks import OutputLock
    from corpus_audit.schemas.errors import UsageError
    from corpus_audit.schemas.spec.audit_file import load_audit

    loaded = load_audit(audit, overrides)
    if loaded.spec.remote is None:
        raise UsageError(f"{audit} names no object store: add remote: s3://bucket/folder")
    output = (loaded.base / loaded.spec.output).resolve()
    if not output.is_dir():
        raise UsageError(f"{output} is no folder: 'corpus-audit run' makes one")
    with OutputLock(output):
        place = remote.Remote.open(loaded.spec.remote)
        runs = remote.push(place, output)
    if as_json:
        emit_json("push", {"remote": place.url, "runs": runs, "exit_code": 0})
    else:
        write_out(f"{len(runs)} runs put on {place.url}; sign-offs and ledger are up to date there.")


@click.command(short_help="Bring runs and sign-offs from an object store.")
@click.argument("url")
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--run", "runs", multiple=True, metavar="NAME", help="Only this run; may be repeated.")
@json_option
def fetch(url: str, output: Path, runs: tuple[str, ...], as_json: bool) -> None:
    """Bring the runs that were kept on URL into the folder OUTPUT, with sign-offs and ledger, for all other commands.

    Every file is checked against its run's digests; a run appears by one rename, or not at all.
    """
    from corpus_audit.pipelines.storage import remote
    from corpus_audit.runners.process.locks import OutputLock

    place = remote.Remote.open(url, write=False)
    with OutputLock(output):
        found = remote.fetch(place, output.resolve(), runs)
    if as_json:
        emit_json("fetch", {"remote": place.url, "output": str(output), "runs": found, "exit_code": 0})
    else:
        write_out(f"{len(found)} runs, {sum(found.values()) / 1e6:.1f} MB, fetched into {output}")
