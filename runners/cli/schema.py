"""``corpus-audit schema``: the JSON Schema of audit.yaml, policy.yaml or investigation.yaml."""

from __future__ import annotations

import click

from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.streams import write_document


@click.command(short_help="Print the JSON Schema of audit.yaml, policy.yaml or investigation.yaml.")
@click.argument("what", type=click.Choice(["audit", "policy", "investigation"]), default="audit")
@json_option
def schema(what: str, as_json: bool) -> None:
    """Print the JSON Schema of audit.yaml, or of policy.yaml or investigation.yaml, for use in editors.

    With --json, an object with its own versioned schema contains it, as for every other command.
    """
    from corpus_audit.schemas.spec import audit_file, investigation_file, policy_file

    source = {"audit": audit_file, "policy": policy_file, "investigation": investigation_file}[what]
    if as_json:
        emit_json("schema", {"json_schema": source.json_schema()})
    else:
        write_document(source.json_schema_text())
