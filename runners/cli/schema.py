"""``corpus-audit schema``: the JSON Schema of audit.yaml."""

from __future__ import annotations

import click

from corpus_audit.runners.cli.output import emit_json, json_option


@click.command(short_help="Print the JSON Schema of audit.yaml.")
@json_option
def schema(as_json: bool) -> None:
    """Print the JSON Schema of audit.yaml, for editors.

    With --json it is wrapped, like every other result, in an object that names its own schema.
    """
    from corpus_audit.schemas.audit_file import json_schema, json_schema_text

    if as_json:
        emit_json("schema", {"json_schema": json_schema()})
    else:
        click.echo(json_schema_text(), nl=False)
