"""What an index says of a snapshot becomes metrics of a run of that snapshot, and of no other."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.embeddings.index.files import read_facts
from corpus_audit.embeddings.index.stored_results import results_folder
from corpus_audit.pipelines.figures.index_metrics import embedding_metrics
from corpus_audit.pipelines.storage.run_directory import StagedRun
from corpus_audit.runners.audit.index_facts import add_index
from corpus_audit.runners.audit.unchanged import _index
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run.run_file import NoIndex, RunIndex, parse_run_file
from corpus_audit.schemas.spec.audit import AuditSpec
from corpus_audit.schemas.tables.embedding_tables import EMBEDDING_DRIFT, EMBEDDING_TABLES, SEMANTIC
from corpus_audit.schemas.tables.run_tables import METRICS
from tests.embeddings.made import write_small_index
from tests.run_files import run_record

DRIFT = {
    "baseline": "aa", "documents_before": 300, "documents_after": 200, "auc": 0.7, "low": 0.6, "high": 0.8, "p": 0.01,
    "permutations": 99, "units": 12, "units_moved": 3, "reason": None,
}  # fmt: skip
ROW = {
    "benchmark": "trivia", "items": 20, "untestable": 1, "near": 5, "share": 0.25, "low": 0.1, "high": 0.45,
    "threshold": 0.8, "decoys": 500, "decoys_near": 5, "reason": None,
}  # fmt: skip
TABLES = {
    "embedding_drift": pa.Table.from_pylist([DRIFT], schema=EMBEDDING_DRIFT),
    "semantic": pa.Table.from_pylist([ROW], schema=SEMANTIC),
}


def spec():
    return AuditSpec.model_validate(
        {
            "version": 1,
            "name": "small",
            "snapshot": {"paths": ["data"]},
            "document": {"text": "text"},
            "tokenizer": "t.json",
            "embedding": {"model": "words"},
        },
        strict=False,
    )


@pytest.fixture
def staged(tmp_path):
    run = StagedRun(tmp_path / "runs", "20261126T000000Z")
    run.add_table("metrics", [METRICS.empty_table()])
    return run


def test_figures_with_denominators_and_bounds():
    rows = {(row["metric"], row["slice"]): row for row in embedding_metrics(TABLES).to_pylist()}
    assert rows["semantic_share", "benchmark=trivia"] | {"unit": ""} == {
        "metric": "semantic_share", "slice": "benchmark=trivia", "value": 0.25, "n": 20, "low": 0.1, "high": 0.45,
        "unit": "", "reason": None,
    }  # fmt: skip
    rate = rows["semantic_false_positive_rate", "all"]
    assert (rate["value"], rate["n"]) == (0.01, 500) and 0 < rate["low"] < 0.01 < rate["high"] < 0.03
    assert rows["embedding_drift_auc", "all"]["n"] == 500 and rows["embedding_drift_p", "all"]["value"] == 0.01
    assert rows["units_moved_share", "all"]["value"] == 0.25
    empty = TABLES | {
        "embedding_drift": pa.Table.from_pylist(
            [DRIFT | dict.fromkeys(("auc", "low", "high", "p", "units_moved"))], schema=EMBEDDING_DRIFT
        )
    }
    values = {row["metric"]: row["value"] for row in embedding_metrics(empty).to_pylist()}
    assert values["embedding_drift_auc"] is None and values["units_moved_share"] is None


def test_the_index_of_the_snapshot_is_taken_over(tmp_path, staged):
    folder, *_ = write_small_index(tmp_path / "index")
    facts = run_record(snapshot={"digest": "cd" * 32})
    record = add_index(staged, facts, spec(), tmp_path)
    index = record.embedding
    assert parse_run_file(record.to_json()) == record
    assert isinstance(index, RunIndex) and (index.index, index.units) == (folder.name, 12)
    pieces = read_facts(folder)
    for name, table in TABLES.items():
        pq.write_table(table, folder / f"{name}.parquet")
        data = (folder / f"{name}.parquet").read_bytes()
        pieces.files[f"{name}.parquet"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    whole = json.loads((folder / "index.json").read_text()) | {"files": pieces.files}
    (folder / "index.json").write_text(json.dumps(whole))
    add_index(staged, facts, spec(), tmp_path)
    metric_rows = staged.table("metrics").to_pylist()
    assert {row["metric"] for row in metric_rows} >= {"semantic_share", "embedding_drift_auc", "units_moved_share"}
    assert np.all([row["value"] is not None for row in metric_rows])
    assert staged.table("semantic").to_pylist() == [ROW]
    (folder / "semantic.parquet").write_bytes(b"PAR1")
    with pytest.raises(StoreError, match="changed after"):
        add_index(staged, facts, spec(), tmp_path)


def test_no_index_of_the_snapshot_is_reported(tmp_path, staged):
    for made in (False, True):
        if made:
            write_small_index(tmp_path / "index")
        index = add_index(staged, run_record(snapshot={"digest": "99" * 32}), spec(), tmp_path).embedding
        assert isinstance(index, NoIndex) and "corpus-audit index" in index.reason
    assert len(staged.table("metrics")) == 0


def test_every_table_is_one_of_a_run_directory():
    from corpus_audit.schemas.tables.run_tables import TABLES as KNOWN

    assert all(KNOWN[name] == schema for name, schema in EMBEDDING_TABLES.items())


def test_an_index_whose_record_cannot_stand_in_run_json_is_damaged(tmp_path, staged):
    folder, *_ = write_small_index(tmp_path / "index")
    whole = json.loads((folder / "index.json").read_text()) | {"autoencoders": {"sae": {"hook": "blocks.0"}}}
    (folder / "index.json").write_text(json.dumps(whole))
    with pytest.raises(StoreError, match=r"damaged or of another version: autoencoders\.sae\.tokens: Field required"):
        add_index(staged, run_record(snapshot={"digest": "cd" * 32}), spec(), tmp_path)
    assert len(staged.table("metrics")) == 0


def test_results_beside_the_index_change_what_a_run_depends_on(tmp_path):
    assert _index(spec(), tmp_path, "cd" * 32) is None
    folder, *_ = write_small_index(tmp_path / "index")
    before = _index(spec(), tmp_path, "cd" * 32)
    assert before == hashlib.sha256((folder / "index.json").read_bytes()).hexdigest()
    stored = results_folder(folder, "attributions") / "mlp.0" / "1-occlusion-ab.parquet"
    stored.parent.mkdir(parents=True)
    stored.write_bytes(b"PAR1")
    assert _index(spec(), tmp_path, "cd" * 32) != before


def test_a_result_that_cannot_be_read_does_not_stop_the_run(tmp_path, staged):
    folder, *_ = write_small_index(tmp_path / "index")
    stored = results_folder(folder, "attributions") / "mlp.0" / "1-occlusion-ab.parquet"
    stored.parent.mkdir(parents=True)
    stored.write_bytes(b"PAR1")
    (stored.parent / "notes.parquet").write_bytes(b"of somebody else")
    add_index(staged, run_record(snapshot={"digest": "cd" * 32}), spec(), tmp_path)
    (row,) = staged.table("unit_attributions").to_pylist()
    assert (row["unit"], row["reason"]) == ("mlp.0:1", "is damaged") and len(
        staged.table("unit_attribution_tokens")
    ) == 0
