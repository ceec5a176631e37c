"""Figures of drift tables: what nothing changed makes a fact, and what is unknown has a reason."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from corpus_audit.pipelines.drift.metrics import drift_metrics
from corpus_audit.schemas.tables.drift_tables import DRIFT_TABLES, NOTHING_CHANGED
from corpus_audit.schemas.tables.run_tables import SAME_DOCUMENTS
from tests.checks.report.drifted_runs import DRIFT, NEW, SAME, write_drift


def rows(folder: Path, domains: dict[str, str], overall: str) -> dict[tuple[str, str], dict[str, object]]:
    run = write_drift(folder, domains, overall)
    found = drift_metrics({name: run.table(name) for name in DRIFT_TABLES}).to_pylist()
    return {(row["metric"], row["slice"]): row for row in found}


def test_without_a_change_every_figure_is_a_fact(tmp_path: Path) -> None:
    found = rows(tmp_path, {"code": SAME}, SAME)
    certain = {key: row for key, row in found.items() if row["value"] is not None}
    assert {row["reason"] for row in certain.values()} == {SAME_DOCUMENTS}
    assert all(row["low"] is not None and row["high"] is not None for row in certain.values())


def test_a_domain_without_a_change_is_a_fact_but_its_share_is_not(tmp_path: Path) -> None:
    found = rows(tmp_path, {"code": SAME, "web": DRIFT}, DRIFT)
    code, web = (f"baseline=reference,domain={name}" for name in ("code", "web"))
    assert found["drift_jsd_excess", code]["reason"] == SAME_DOCUMENTS
    assert found["domain_share_change_tokens", code]["reason"] is None
    assert found["drift_jsd_excess", web]["reason"] is None
    assert found["drift_jsd_excess", "baseline=reference"]["reason"] is None


def test_what_has_no_value_has_a_reason(tmp_path: Path) -> None:
    found = rows(tmp_path, {"recipes": NEW}, DRIFT)
    there = "baseline=reference,domain=recipes"
    assert found["drift_jsd_excess", there]["reason"] == "the baseline holds no tokens here"
    assert found["removed_share", there]["reason"] == "the baseline has no documents here"
    assert all(row["value"] is not None or row["reason"] for row in found.values())


def test_where_no_share_changed_neither_part_explains_any(tmp_path: Path) -> None:
    run = write_drift(tmp_path, {"web": DRIFT}, DRIFT)
    tables = {name: run.table(name) for name in DRIFT_TABLES}
    parts = [row | {"attribution": None, "reason": NOTHING_CHANGED} for row in tables["drift_parts"].to_pylist()]
    tables["drift_parts"] = pa.Table.from_pylist(parts, schema=DRIFT_TABLES["drift_parts"])
    found = {row["metric"]: row for row in drift_metrics(tables).to_pylist()}
    assert found["drift_mixture_attribution"]["value"] == found["drift_content_attribution"]["value"] == 0.0
