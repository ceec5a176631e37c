"""``corpus-audit push`` and ``corpus-audit fetch``: copy runs, sign-offs and ledger to and from an object store."""

from __future__ import annotations

from pathlib import Path

import click

from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.streams import write_out


@click.command(short_help="Copy runs and sign-offs to an object store.")
@click.argument("audit", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value: remote=s3://bucket/a.")
@json_option
def push(audit: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Copy new runs, sign-offs and the ledger to the object store of AUDIT (`remote:`).

    A run is copied when it is published. Use push after a sign-off, or if the connection failed during the run.
    """
    from corpus_audit.checks.text.numbers import plural
    from corpus_audit.pipelines.storage import remote
    from corpus_audit.runners.process.locks import OutputLock
    from corpus_audit.schemas.errors import UsageError
    from corpus_audit.schemas.spec.audit_file import load_audit

    loaded = load_audit(audit, overrides)
    if loaded.spec.remote is None:
        raise UsageError(f"{audit} names no object store: add remote: s3://bucket/folder")
    output = (loaded.base / loaded.spec.output).resolve()
    if not output.is_dir():
        raise UsageError(f"{output} is not a folder; 'corpus-audit run' creates it")
    with OutputLock(output):
        store = remote.Remote.open(loaded.spec.remote)
        runs = remote.push(store, output)
    if as_json:
        emit_json("push", {"remote": store.url, "runs": runs, "exit_code": 0})
    else:
        write_out(f"Copied {plural(len(runs), 'run')} to {store.url}; sign-offs and ledger are up to date there.")


@click.command(short_help="Copy runs and sign-offs from an object store.")
@click.argument("url")
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--run", "runs", multiple=True, metavar="NAME", help="Fetch only this run; may be repeated.")
@json_option
def fetch(url: str, output: Path, runs: tuple[str, ...], as_json: bool) -> None:
    """Copy runs, sign-offs and the ledger from URL into the folder OUTPUT, where every other command can use them.

    Fetch checks every file against the digests of its run, and a run appears only when it is complete.
    """
    from corpus_audit.checks.text.numbers import plural
    from corpus_audit.pipelines.storage import remote
    from corpus_audit.runners.process.locks import OutputLock

    store = remote.Remote.open(url, write=False)
    with OutputLock(output):
        fetched = remote.fetch(store, output.resolve(), runs)
    if as_json:
        emit_json("fetch", {"remote": store.url, "output": str(output), "runs": fetched, "exit_code": 0})
    else:
        write_out(f"Fetched {plural(len(fetched), 'run')}, {sum(fetched.values()) / 1e6:.1f} MB, into {output}")
