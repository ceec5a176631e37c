"""The table of near-duplicate rates from runs whose signatures are made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from corpus_audit.pipelines.figures import near_duplicate_rates as module
from corpus_audit.pipelines.figures.near_duplicate_rates import near_duplicate_rates
from corpus_audit.pipelines.kernels.text.ngrams import PERMUTATIONS
from corpus_audit.pipelines.storage.run_directory import RunDirectory, write_table
from corpus_audit.schemas.tables import document_tables, run_tables
from corpus_audit.schemas.tables.drift_tables import NEAR_DUPLICATES
from tests.run_files import run_record

Sampled = tuple[int, str, int]
"""(text, domain, number of its signature): texts of one number have the same signature."""


def run_of(folder: Path, sampled: list[Sampled], domains: tuple[str, ...]) -> RunDirectory:
    rows = [
        {
            "hash": text.to_bytes(16, "big"),
            "domain": domain,
            "documents": 1,
            "tokens": 1,
            "signature": np.random.default_rng(number).integers(0, 2**32, PERMUTATIONS).astype("<u4").tobytes(),
        }
        for text, domain, number in sorted(sampled)
    ]
    totals = [
        dict.fromkeys(run_tables.DUPLICATES.names, 0) | {"domain": name} for name in (run_tables.ALL_DOMAINS, *domains)
    ]
    for name, schema, content in (
        ("minhash", document_tables.MINHASH, rows),
        ("duplicates", run_tables.DUPLICATES, totals),
    ):
        write_table(folder / "tables" / f"{name}.parquet", schema, [pa.Table.from_pylist(content, schema=schema)])
    return RunDirectory(folder, run_record())


def by_scope(table: pa.Table) -> dict[tuple[str, str], dict[str, Any]]:
    assert table.schema.equals(NEAR_DUPLICATES, check_metadata=True)
    return {(row["scope"], row["domain"]): row for row in table.to_pylist()}


SAMPLED = [(1, "web", 1), (2, "web", 1), (3, "web", 3), (4, "web", 4), (5, "books", 3), (6, "books", 6)]


def test_within_and_across(tmp_path: Path) -> None:
    """Two of four web texts have each other, one has a neighbour in books; at J = 1 a neighbour is always sampled."""
    rows = by_scope(near_duplicate_rates(run_of(tmp_path, SAMPLED, ("web", "books", "empty"))))
    assert list(rows) == [
        (scope, name) for scope in ("across", "within") for name in ("(all)", "books", "empty", "web")
    ]
    rates = {key: (row["documents"], row["rate"]) for key, row in rows.items()}
    assert rates["within", "web"] == (4, pytest.approx(0.5))
    assert rates["within", "books"] == (2, 0.0)
    assert rates["across", "web"] == (4, pytest.approx(0.25))
    assert rates["across", "books"] == (2, pytest.approx(0.5))
    assert rates["within", "(all)"] == (6, pytest.approx(2 / 6))
    assert rates["across", "(all)"] == (6, pytest.approx(2 / 6))
    assert rates["within", "empty"] == (0, None)
    assert rows["within", "empty"]["reason"] == "no document was sampled"
    for key, row in rows.items():
        if row["rate"] is not None:
            assert row["low"] <= row["rate"] <= row["high"], key
            assert row["reason"] is None
    assert rows["within", "books"]["high"] > 0


def test_against_a_baseline(tmp_path: Path) -> None:
    """Only the current side is counted, and a domain that the baseline alone has is named."""
    current = run_of(tmp_path / "a", SAMPLED[:4], ("web",))
    before = run_of(tmp_path / "b", [(9, "web", 3), (10, "old", 7)], ("web", "old"))
    rows = by_scope(near_duplicate_rates(current, "last month", before))
    assert list(rows) == [("baseline", "(all)"), ("baseline", "old"), ("baseline", "web")]
    assert {row["baseline"] for row in rows.values()} == {"last month"}
    assert (rows["baseline", "web"]["documents"], rows["baseline", "web"]["rate"]) == (4, pytest.approx(0.25))
    assert rows["baseline", "old"]["documents"] == 0


def test_an_empty_sample(tmp_path: Path) -> None:
    rows = by_scope(near_duplicate_rates(run_of(tmp_path, [], ("web",))))
    assert {(row["rate"], row["reason"]) for row in rows.values()} == {(None, "no document was sampled")}


def test_too_many_signatures_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SIGNATURES", 5)
    rows = by_scope(near_duplicate_rates(run_of(tmp_path, SAMPLED, ("web", "books"))))
    assert list(rows) == [("across", "(all)"), ("within", "(all)")]
    for row in rows.values():
        assert (row["rate"], row["documents"]) == (None, 6)
        assert row["reason"] == "the sample holds 6 signatures, more than the 5 that are compared"
