"""Runs with every section on produce the metrics that are declared, as they are declared, and no other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.checks.policy.metric_catalogue import KNOWN, OF_IMAGES, OF_INVESTIGATIONS
from corpus_audit.schemas.spec.slices import parts
from corpus_audit.schemas.tables.embedding_tables import EMBEDDING_DRIFT, SEMANTIC
from corpus_audit.schemas.tables.metric_declarations import SLICE_KEYS, MetricDeclaration
from corpus_audit.schemas.tables.run_tables import SAME_DOCUMENTS
from tests import corpora
from tests.embeddings.made import write_small_index
from tests.engine.runs import Run, run, write_audit
from tests.engine.test_contamination import corpus, write_benchmark

pytestmark = pytest.mark.engine

FIELDS = {"text": "text", "id": "id", "domain": "domain"}
INDEX = {
    "embedding_drift": (EMBEDDING_DRIFT, {
        "baseline": "aa", "documents_before": 300, "documents_after": 200, "auc": 0.7, "low": 0.6, "high": 0.8,
        "p": 0.01, "permutations": 99, "units": 12, "units_moved": 3, "reason": None,
    }),
    "semantic": (SEMANTIC, {
        "benchmark": "exam", "items": 20, "untestable": 1, "near": 5, "share": 0.25, "low": 0.1, "high": 0.45,
        "threshold": 0.8, "decoys": 500, "decoys_near": 5, "reason": None,
    }),
}  # fmt: skip


def write_index(output: Path, snapshot: str) -> None:
    """An index of the snapshot with tables that no model had to make."""
    folder, *_ = write_small_index(output, snapshot=snapshot)
    facts = json.loads((folder / "index.json").read_text())
    for name, (schema, row) in INDEX.items():
        path = folder / f"{name}.parquet"
        pq.write_table(pa.Table.from_pylist([row], schema=schema), path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        facts["files"][path.name] = {"sha256": digest, "bytes": path.stat().st_size}
    (folder / "index.json").write_text(json.dumps(facts))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, bpe: Path) -> list[Run]:
    """A run for every unit of a mixture, as a run has one: of a snapshot, of what it grew to, and of that with every
    section on.
    """
    folder = tmp_path_factory.mktemp("catalogue")
    documents = corpus()
    corpora.write_shards(folder / "shards", [documents[:160]], "parquet", row_group_rows=40)
    weights = {"d0": 0.5, "d1": 0.3, "d2": 0.2}

    def audited(unit: str, **more: Any) -> Run:
        spec = {"document": FIELDS, "mixture": {"weights": weights, "unit": unit}, "per_document": True} | more
        return run(write_audit(folder, [folder / "shards"], bpe, **spec), 2)

    first = audited("bytes")
    corpora.write_shards(folder / "shards", [documents[:160], documents[160:]], "parquet", row_group_rows=40)
    lines = [
        json.dumps({"id": f"more-{i}", "text": entry.text, "domain": "d0"}) for i, entry in enumerate(documents[:9])
    ]
    (folder / "shards" / "more.jsonl").write_text("\n".join([*lines, "no JSON"]) + "\n")
    write_benchmark(folder / "exam.jsonl", documents, held=6, free=14)
    log = {"step": range(400), "tokens": [100] * 400, "document": [f"doc-{i % 160}" for i in range(400)]}
    pq.write_table(pa.table({name: list(column) for name, column in log.items()}), folder / "log.parquet")
    grown = audited("documents")
    write_index(folder / "index", grown.record["snapshot"]["digest"])
    more = {
        "baseline": [{"run": str(first.folder)}],
        "benchmarks": [{"name": "exam", "paths": ["exam.jsonl"], "answer": "answer", "id": "id"}],
        "contamination": {"decoys": 20, "canaries": 10},
        "sampling": {"budget": 1e5, "log": {"path": "log.parquet"}},
        "embedding": {"model": "words", "output": "index"},
    }
    return [first, grown, audited("tokens", **more)]


def rows_of(runs: list[Run]) -> Iterator[tuple[MetricDeclaration, dict[str, Any]]]:
    for entry in runs:
        for row in entry.rows("metrics"):
            if row["metric"] in KNOWN:
                yield KNOWN[row["metric"]], row


def test_what_is_produced_is_what_is_declared(runs: list[Run]) -> None:
    produced = {row["metric"] for entry in runs for row in entry.rows("metrics")}
    # tests/pipelines/image_figures and tests/runners/test_judged_investigations.py hold the others against it
    assert produced == set(KNOWN) - OF_IMAGES - OF_INVESTIGATIONS


def test_units_slices_and_bounds_are_as_declared(runs: list[Run]) -> None:
    wrong = []
    for metric, row in rows_of(runs):
        keys = tuple(key for key, _ in parts(row["slice"]))
        shapes = SLICE_KEYS.get(metric.slices, (("domain",),))  # the facets of these runs
        ends = {row["low"], row["high"]}
        fits = (
            metric.bounds == "interval"
            or row["reason"] == SAME_DOCUMENTS
            or ends == ({row["value"]} if metric.bounds == "fact" else {None})
        )
        if row["unit"] != metric.unit or keys not in shapes or not fits:
            wrong.append(row)
    assert not wrong
