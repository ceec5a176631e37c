"""Two snapshots of real text, six years apart: what is true of them by their names and texts is what the audit says.

Python's PEPs, Rust's RFCs and problems of GSM8K, as `old.parquet` and `new.parquet` in the folder that the environment
variable CORPUS_AUDIT_SNAPSHOTS names: columns id, text and meta.source.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.runners.terminal.drift import drift_summary_text
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS
from tests import corpora
from tests.engine.runs import Run, run, write_audit

pytestmark = pytest.mark.engine

FOLDER = os.environ.get("CORPUS_AUDIT_SNAPSHOTS", "")
FIELDS = {"text": "text", "id": "id", "domain": "meta.source"}


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run on the new snapshot, with the old as its baseline."""
    paths = [Path(FOLDER) / f"{name}.parquet" for name in ("old", "new")]
    if not FOLDER or not all(path.is_file() for path in paths):
        pytest.skip("the snapshots are not here: CORPUS_AUDIT_SNAPSHOTS names no folder with old and new.parquet")
    folder = tmp_path_factory.mktemp("snapshots")
    bpe = corpora.small_bpe(folder, vocabulary=4000)
    (folder / "old").mkdir()
    (folder / "new").mkdir()
    old = run(write_audit(folder / "old", [paths[0]], bpe, document=FIELDS))
    return run(write_audit(folder / "new", [paths[1]], bpe, document=FIELDS, baseline=[{"run": str(old.folder)}]))


@pytest.fixture(scope="module")
def domains(audited: Run) -> dict[str, dict[str, Any]]:
    return {row["domain"]: row for row in audited.rows("turnover")}


def test_documents_are_followed(domains: dict[str, dict[str, Any]]) -> None:
    rfcs, peps, maths, code = (domains[name] for name in ("rfcs", "peps", "math", "code"))
    assert rfcs["kept"] == 1 and rfcs["edited"] >= 450 and rfcs["removed"] <= 8 and rfcs["added"] == 190
    assert peps["edited"] + peps["kept"] >= 500 and peps["renamed"] >= 400
    assert maths["replaced"] >= 370 and maths["edited"] == 0 == maths["kept"]
    assert (code["kept"], code["edited"], code["added"], code["removed"]) == (0, 0, 12, 0)
    for name, before, now in (("rfcs", 458, 648), ("peps", 517, 750), ("math", 375, 765), (ALL_DOMAINS, 1350, 2175)):
        row = domains[name]
        assert row["kept"] + row["edited"] + row["removed"] == before
        assert row["kept"] + row["edited"] + row["added"] == now


def test_a_renamed_pep_is_the_same_pep(audited: Run) -> None:
    changes = [row for row in audited.rows("document_changes") if row["renamed"] and row["domain_current"] == "peps"]
    assert len(changes) >= 400
    for row in changes:
        assert Path(row["id_baseline"]).stem == Path(row["id_current"]).stem


def test_terminal_and_metrics_say_the_same(audited: Run, domains: dict[str, dict[str, Any]]) -> None:
    result = RunDirectory(audited.folder)
    tables = ("drift", "drift_parts", "turnover", "drift_classifier", "drift_domains", "drift_tokens")
    text = " ".join(drift_summary_text({name: result.table(name) for name in tables}).split())
    assert "Documents Domain code (12 documents, " in text, "what is new comes first"
    whole = domains[ALL_DOMAINS]
    assert f"1 document was kept, {whole['edited']:,} edited, {whole['added']:,} added" in text
    shares = {row["metric"]: row["value"] for row in audited.rows("metrics") if row["slice"] == "baseline=baseline"}
    for kind in ("kept", "edited", "renamed", "removed", "replaced"):
        assert shares[f"{kind}_share"] == pytest.approx(whole[kind] / 1350)
    assert shares["added_share"] == pytest.approx(whole["added"] / 2175)
