"""``corpus-audit schema``: the JSON Schema of audit.yaml or policy.yaml."""

from __future__ import annotations

import click

from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.streams import write_document


@click.command(short_help="Print the JSON Schema of audit.yaml or policy.yaml.")
@click.argument("what", type=click.Choice(["audit", "policy"]), default="audit")
@json_option
def schema(what: str, as_json: bool) -> None:
    """Print the JSON Schema of audit.yaml, or with `policy` that of policy.yaml, for use in editors.

    With --json, an object with its own versioned schema contains it, as for every other command.
    """
    from corpus_audit.schemas.spec import audit_file, policy_file

    source = policy_file if what == "policy" else audit_file
    if as_json:
        emit_json("schema", {"json_schema": source.json_schema()})
    else:
        write_document(source.json_schema_text())
