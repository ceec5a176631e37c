"""``corpus-audit init``: sample files and write an audit.yaml for them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.streams import is_terminal, note, write_out

if TYPE_CHECKING:
    from corpus_audit.runners.init.proposal import Proposal
    from corpus_audit.runners.init.text_column import TextChoice


@click.command(short_help="Sample files and write an audit.yaml for them.")
@click.argument("paths", nargs=-1, required=True)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("audit.yaml"),
    show_default=True,
    help="The file to write; an existing file is not overwritten.",
)
@click.option("--tokenizer", help="Path of a tokenizer.json, or a hub name; by default the nearest file.")
@click.option(
    "--policy",
    "starter",
    type=click.Choice(["scheduled-audit", "pretraining-signoff", "image-audit", "none"]),
    help="The starter policy to write as policy.yaml; with none, runs have no verdict. By default scheduled-audit, or "
    "image-audit for a corpus of images.",
)
@click.option("--text", metavar="COLUMN", help="The column that holds the text; by default it is detected.")
@json_option
def init(
    paths: tuple[str, ...], output: Path, tokenizer: str | None, starter: str | None, text: str | None, as_json: bool
) -> None:
    """Sample the files, folders or globs PATHS, and write a commented audit.yaml and a policy for them.

    If it is in doubt which column is the text, init asks you on a terminal; elsewhere it ends with an error that names
    the candidates for --text.

    Policy rules that need a baseline, benchmarks or a signed run are commented out.
    """
    from corpus_audit.runners.init.proposal import propose_audit
    from corpus_audit.schemas.errors import UsageError
    from corpus_audit.schemas.run.results import POLICY_FILE

    beside = POLICY_FILE if starter != "none" else None
    ask = _ask if not as_json and is_terminal(sys.stdin) and is_terminal(sys.stderr) else None
    proposal = propose_audit(paths, output, tokenizer, beside, text, ask)
    written, texts = [output], {output: proposal.text}
    policy = output.with_name(POLICY_FILE)
    if starter != "none":
        from corpus_audit.checks.policy.starters import IMAGE_STARTER, STARTERS, starter_text

        starter = starter or (IMAGE_STARTER if proposal.of_images else STARTERS[0])
        texts[policy] = starter_text(starter, baseline=False, benchmarks=False)
        written.append(policy)
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
        missing = [] if proposal.complete else ["tokenizer"]
        emit_json("init", {"audit": str(output), "policy": starter, "text": texts[output], "missing": missing})
        return
    write_out(texts[output], nl=False)
    note(f"\nwrote {' and '.join(str(path) for path in written)}; {_next(output, proposal)}")
    if len(written) > 1 and proposal.complete:
        runs = output.with_name("runs")
        note(f"Then 'corpus-audit policy check {policy} --run {runs}' proposes rules for what no rule judges yet.")


def _next(output: Path, proposal: Proposal) -> str:
    if proposal.complete:
        return f"next: corpus-audit run {output}"
    needs = "captions cannot be counted without one" if proposal.of_images else "an audit needs one"
    without = ", or remove 'text' there to audit the images without their captions" if proposal.of_images else ""
    return (
        f"no tokenizer.json was found, and {needs}. Next: get the tokenizer.json of the model (from its "
        f"folder, or its page on the hub), and write its path into {output} as tokenizer: PATH{without}"
    )


def _ask(choice: TextChoice, table: list[str]) -> str:
    """Ask the person at the terminal which column is the text."""
    for line in (*table, "", *choice.doubts):
        note(line)
    names = click.Choice(choice.candidates)
    return str(click.prompt("Which column is the text?", type=names, default=choice.candidates[0], err=True))
