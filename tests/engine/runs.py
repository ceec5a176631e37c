"""Whole runs for the engine's tests: write a spec, run it in this process, look at what was published."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from corpus_audit.runners.engines.options import EMBEDDED, EngineOptions
from tests.oracle import INTEGER_TABLES, Document, Oracle

DOCUMENT_FIELDS = {
    "text": "text",
    "id": "id",
    "domain": "domain",
    "facets": {"language": "language"},
    "cluster": "cluster",
}
"""Where `corpora.documents` puts a document's parts."""


@dataclass(frozen=True)
class Run:
    """A published run, and how many splits it read or took from the store."""

    folder: Path
    splits_read: int
    splits_cached: int

    @property
    def record(self) -> dict[str, Any]:
        """The content of run.json."""
        loaded: dict[str, Any] = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        return loaded

    def file(self, table: str) -> Path:
        """Where a table lies."""
        return self.folder / "tables" / f"{table}.parquet"

    def rows(self, table: str) -> list[dict[str, Any]]:
        """A table's rows, decimals as int."""
        rows: list[dict[str, Any]] = pq.read_table(self.file(table)).to_pylist()
        for row in rows:
            for name, value in row.items():
                if isinstance(value, Decimal):
                    row[name] = int(value)
        return rows

    def integer_tables(self) -> dict[str, str]:
        """SHA-256 of the file of every integer table, or ``absent``."""
        return {
            table: hashlib.sha256(self.file(table).read_bytes()).hexdigest() if self.file(table).exists() else "absent"
            for table in INTEGER_TABLES
        }


def partials_of(output: Path) -> list[Path]:
    """The partial profiles in an output folder's store; what is being written has a name with a dot in front."""
    result = (output / ".store" / "partials").rglob("*")
    return sorted(path for path in result if path.is_file() and path.name[0] != ".")


def write_audit(folder: Path, paths: Iterable[Path], tokenizer: Path, **spec: object) -> Path:
    """Write ``audit.yaml`` (JSON is YAML) into ``folder``; results go to ``folder/runs``."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "name": "test corpus",
        "snapshot": {"paths": [str(path) for path in paths]},
        "document": DOCUMENT_FIELDS,
        "tokenizer": str(tokenizer),
        **spec,
    }
    path = folder / "audit.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def run(spec: Path, workers: int = 1, engine: EngineOptions = EMBEDDED) -> Run:
    """Run the audit in this process; the engine is imported here, so that collecting tests costs nothing."""
    from corpus_audit.pipelines.progress.board import Board
    from corpus_audit.runners.audit.run import run_audit
    from corpus_audit.schemas.spec.audit_file import load_audit

    outcome = run_audit(load_audit(spec), workers=workers, board=Board(), engine=engine)
    return Run(Path(outcome.run_dir), outcome.splits_read, outcome.splits_cached)


def first_difference(actual: Sequence[object], expected: Sequence[object]) -> str | None:
    """Where two lists of rows part, in one short text; pytest's own diff of 100,000 rows takes minutes."""
    for at, (ours, theirs) in enumerate(zip(actual, expected, strict=False)):
        if ours != theirs:
            return f"row {at}: {ours!r:.400} instead of {theirs!r:.400}"
    if len(actual) != len(expected):
        return f"{len(actual)} rows instead of {len(expected)}"
    return None


def differences(actual: Run, oracle: Oracle, filtered: Counter[str] | None = None) -> dict[str, str]:
    """For every integer table that differs from the oracle, where it first does.

    Of ``minhash`` and ``samples`` only the choice and the counts of documents are compared: the samples are the
    documents of lowest hash, and both describe documents of the corpus. Any copy of a text will do as an example.
    """
    result: dict[str, str] = {}
    for table, expected in oracle.tables().items():
        if table == "cluster_groups" and not oracle.clustered:
            if actual.file(table).exists():
                result[table] = "written although no cluster field is set"
            continue
        difference = first_difference(actual.rows(table), expected)
        if difference:
            result[table] = difference
    outcomes = [("document", "", len(oracle.rows))] if oracle.rows else []
    outcomes += [("filtered", name, rows) for name, rows in sorted((filtered or Counter()).items()) if rows]
    difference = first_difference([tuple(row.values()) for row in actual.rows("outcomes")], outcomes)
    if difference:
        result["outcomes"] = difference

    known = {
        (content, domain): (copies, oracle.tokens_of[content]) for (content, domain), copies in oracle.copies.items()
    }
    for table in ("minhash", "samples"):
        rows = actual.rows(table)
        for row in rows:
            if known.get((row["hash"], row["domain"])) != (row["documents"], row["tokens"]):
                result[table] = f"describes no document of the corpus: {row!r:.300}"
    examples = actual.rows("token_examples")
    for row in examples:
        if (row["domain"], row["id"]) not in oracle.holders[row["hash"]]:
            result["token_examples"] = f"not a document of that text: {row!r:.300}"
    difference = first_difference([(row["token"], row["hash"]) for row in examples], oracle.examples())
    if difference:
        result["token_examples"] = difference
    listed = [tuple(v for k, v in row.items() if k != "sketch") for row in actual.rows("document_identities")]
    difference = first_difference(listed, oracle.identities())
    if difference:
        result["document_identities"] = difference
    selected = [(row["domain"], row["hash"]) for row in actual.rows("samples")]
    difference = first_difference(selected, oracle.sampled())
    if difference:
        result["samples"] = difference
    return result


def per_document_difference(actual: Run, oracle: Oracle, parts: Sequence[Sequence[Document]]) -> str | None:
    """Where the per-document table first differs from the oracle, which counted the parts' documents in order.

    Every part is a shard of one split, so that a document's row is its place in the part.
    """
    locations = [(number, row) for number, part in enumerate(parts) for row in range(len(part))]
    expected = [(number, row, *counts.values()) for (number, row), counts in zip(locations, oracle.rows, strict=True)]
    rows = actual.rows("per_document")
    names = {name: number for number, name in enumerate(sorted({row["shard"] for row in rows}))}
    got = []
    for row in rows:
        if row.pop("split") != 0:
            return f"a shard of one split has another: {row}"
        got.append((names[row.pop("shard")], *row.values()))
    return first_difference(got, expected)
