"""What the results on heads that are stored beside an index say, as tables of a run of its snapshot; no torch.

Of several results, that of the most windows of the corpus is copied. One that cannot be read has a row that says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from corpus_audit.embeddings.heads.results import INDUCTION, Rows
from corpus_audit.embeddings.index.mapped_tables import document_name
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.index.stored_results import StoredTable, index_provenance, load_table, results_folder
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.tables.attention_tables import ATTENTION_TABLES
from corpus_audit.schemas.tables.index_result_tables import INDEX_RESULT_TABLES

EVIDENCE = 3
"""Documents of an induction head that are copied."""

_OF_CORPUS = ("head_domains", "induction_evidence")


def head_result_tables(index: Index, excerpts: bool) -> dict[str, pa.Table]:
    """The tables of a run on heads; none if nothing is stored, ``head_results`` alone if nothing can be read.

    Args:
        index: the index of the run's snapshot.
        excerpts: whether texts of documents may be copied.
    """
    results, problems = [], []
    for folder in sorted(results_folder(index.folder, "attention").glob("heads-*")):
        try:
            if (tables := _load(index, folder)) is not None:
                results.append((folder, tables))
        except StoreError as error:
            reason = str(error).removeprefix(f"{folder}/")
            problems.append({"file": _name(index, folder), "reason": reason})
    rows: dict[str, Rows] = {}
    if results:
        folder, tables = max(results, key=lambda each: (_windows(each[1]["head_scores"]), each[0].name))
        rows = _rows(index, folder, tables, excerpts)
    if rows or problems:
        rows["head_results"] = rows.get("head_results", []) + problems
    return {name: pa.Table.from_pylist(each, INDEX_RESULT_TABLES[name]) for name, each in rows.items()}


def _load(index: Index, folder: Path) -> dict[str, StoredTable] | None:
    """The tables of a computation by name; None if it is not of this index, or is being written.

    Raises:
        StoreError: one is damaged or of another version.
    """
    scores = load_table(folder / "head_scores.parquet", ATTENTION_TABLES["head_scores"])
    if scores is None or not index_provenance(index).items() <= scores.provenance.items():
        return None
    tables = {"head_scores": scores}
    for name in _OF_CORPUS if _windows(scores) else ():
        table = load_table(folder / f"{name}.parquet", ATTENTION_TABLES[name])
        if table is None:
            return None
        tables[name] = table
    return tables


def _windows(scores: StoredTable) -> int:
    return int(scores.provenance["settings"]["windows"])


def _name(index: Index, folder: Path) -> str:
    return folder.relative_to(index.folder.parent).as_posix()


def _rows(index: Index, folder: Path, tables: dict[str, StoredTable], excerpts: bool) -> dict[str, Rows]:
    scores = tables["head_scores"]
    listed = scores.table.to_pylist()
    induction = {row["head"] for row in listed if row["prefix"] >= INDUCTION}
    result = {
        "heads": len(listed),
        "threshold": INDUCTION,
        "windows": _windows(scores),
        "file": _name(index, folder),
        "provenance": strict_json.dumps(scores.provenance).decode(),
    }
    rows: dict[str, Rows] = {"head_results": [result], "head_scores": listed}
    if "head_domains" in tables:
        rows["head_domains"] = [row for row in tables["head_domains"].table.to_pylist() if row["head"] in induction]
        evidence = tables["induction_evidence"].table.to_pylist()
        rows["head_evidence"] = [_evidence_row(index, row, excerpts) for row in evidence if row["rank"] < EVIDENCE]
    return rows


def _evidence_row(index: Index, row: dict[str, Any], excerpts: bool) -> dict[str, Any]:
    """A row of ``head_evidence``: where it is, and the window's text with the tokens in question."""
    query, key = row["query"], row["key"]
    result = {
        **{name: row[name] for name in ("head", "rank", "mass", "length", "domain")},
        "distance": query - key,
        "document": document_name(row["id"], row["shard"], row["row"]),
    }
    if not excerpts:
        return result
    example, _ = index.example_at(row["mass"], row["window"], query, row["rank"])
    return result | {
        "text": example.text,
        "query_start": int(example.starts[query]),
        "query_end": int(example.ends[query]),
        "key_start": int(example.starts[key]),
        "key_end": int(example.ends[key]),
    }
