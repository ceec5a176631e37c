"""``corpus-audit init``: look at files and write a spec that works as it is."""

from __future__ import annotations

from pathlib import Path

import click

from corpus_audit.runners.cli.output import emit_json, json_option, note


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
@json_option
def init(paths: tuple[str, ...], output: Path, tokenizer: str | None, as_json: bool) -> None:
    """Look at the files, folders or globs PATHS and write a commented audit.yaml for them."""
    from corpus_audit.runners.init import propose_audit
    from corpus_audit.schemas.errors import UsageError

    text = propose_audit(paths, output, tokenizer=tokenizer)
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{output} exists already; name another file with --output, or remove it") from None
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error
    if as_json:
        emit_json("init", {"audit": str(output), "text": text})
    else:
        click.echo(text, nl=False)
        note(f"\nwrote {output}; next: corpus-audit run {output}")
