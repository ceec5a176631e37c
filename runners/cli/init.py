"""``corpus-audit init``: look at files and write a spec that works as it is."""

from __future__ import annotations

from pathlib import Path

import click

from corpus_audit.runners.cli.output import emit_json, json_option
from corpus_audit.runners.cli.streams import note, write_out


@click.command(short_help="Look at files and write an audit.yaml for them.")
@click.argument("paths", nargs=-1, required=True)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("audit.yaml"),
    show_default=True,
    help="The file to write; an existing one is left alone.",
)
@click.option("--tokenizer", help="Path of a tokenizer.json, or a hub name; found among the files by default.")
@click.option(
    "--policy",
    "starter",
    type=click.Choice(["scheduled-audit", "pretraining-signoff", "none"]),
    default="scheduled-audit",
    show_default=True,
    help="The starter policy to write as policy.yaml beside it; none writes none, and runs have no verdict.",
)
@json_option
def init(paths: tuple[str, ...], output: Path, tokenizer: str | None, starter: str, as_json: bool) -> None:
    """Look at the files, folders or globs PATHS and write a commented audit.yaml for them, and a policy to judge it by.

    Rules of the policy that need a baseline, benchmarks or a signed run stand in it as comments.
    """
    from corpus_audit.runners.init import propose_audit
    from corpus_audit.schemas.errors import UsageError
    from corpus_audit.schemas.results import POLICY_FILE

    written = [output]
    texts = {}
    if starter != "none":
        from corpus_audit.checks.starters import starter_text

        policy = output.with_name(POLICY_FILE)
        texts[policy] = starter_text(starter, baseline=False, benchmarks=False)
        written.append(policy)
    texts[output] = propose_audit(paths, output, tokenizer, POLICY_FILE if starter != "none" else None)
    for path in written:
        if path.exists():
            other = "--output" if path == output else "--policy none"
            raise UsageError(f"{path} exists already; use {other}, or remove it")
    for path in written:
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(texts[path])
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error
    if as_json:
        emit_json("init", {"audit": str(output), "policy": starter, "text": texts[output]})
    else:
        write_out(texts[output], nl=False)
        note(f"\nwrote {' and '.join(str(path) for path in written)}; next: corpus-audit run {output}")
