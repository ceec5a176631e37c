"""Tables of what was read of the evaluations of a comparison: files, dead letters, remarks, claims."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from corpus_audit.pipelines.evaluations.claims import claims_table
from corpus_audit.pipelines.evaluations.records.items import Evaluation
from corpus_audit.schemas.tables.investigation.evaluation_tables import COMPARISON_TABLES


def read_tables(sides: list[tuple[str, Evaluation]], more: list[dict[str, Any]]) -> dict[str, pa.Table]:
    """What was read of every side: files, dead letters, remarks and claims."""
    files, dead, remarks, claims = [], [], list(more), []
    for letter, evaluation in sides:
        for outcome in evaluation.files:
            counts = ("file", "format", "rows", "items", "dead_letters", "claims")
            row = {name: getattr(outcome, name) for name in counts}
            files.append(row | {"side": letter, "bytes": outcome.size, "reason": outcome.reason})
        for one in evaluation.dead_letters:
            dead.append({name: getattr(one, name) for name in ("file", "row", "reason", "detail")} | {"side": letter})
        remarks += [{"side": letter, "file": r.file, "what": r.what, "remark": r.text} for r in evaluation.remarks]
        claims.append(claims_table(evaluation, letter))
    return {
        "evaluation_files": table_of("evaluation_files", files),
        "evaluation_dead_letters": table_of("evaluation_dead_letters", dead),
        "evaluation_remarks": table_of("evaluation_remarks", remarks),
        "evaluation_claims": pa.concat_tables(claims),
    }


def table_of(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table of `COMPARISON_TABLES`; a column that may be null has null for NaN and for what is missing."""
    schema = COMPARISON_TABLES[name]
    columns = []
    for column in schema:
        values = [row.get(column.name) for row in rows]
        columns.append(pa.array([None if value != value else value for value in values], column.type))
    return pa.Table.from_arrays(columns, schema=schema)
