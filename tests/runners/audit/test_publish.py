"""What a run directory holds: tables, coverage by shard and run.json; without an engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.storage.run_directory import StagedRun
from corpus_audit.pipelines.tokens.tokenization import TokenizerFile, load_tokenizer
from corpus_audit.runners.audit import publish as publication
from corpus_audit.runners.audit import run_facts
from corpus_audit.schemas.run.run_file import RunFile, parse_run_file
from corpus_audit.schemas.run.snapshot import ShardStatus, snapshot_digest
from corpus_audit.schemas.tables.contamination_tables import CONTAMINATION_TABLES
from corpus_audit.schemas.tables.drift_tables import DRIFT_TABLES
from corpus_audit.schemas.tables.embedding_tables import EMBEDDING_TABLES
from corpus_audit.schemas.tables.image_tables import IMAGE_TABLES
from corpus_audit.schemas.tables.index_result_tables import INDEX_RESULT_TABLES
from corpus_audit.schemas.tables.run_tables import TABLES
from corpus_audit.schemas.tables.sampling_tables import SAMPLING_TABLES
from tests import corpora
from tests.oracle import Document, Oracle
from tests.pipelines.making import count_all, job_of, merged, spec_of
from tests.runners.states import shard_state, state_of

DOCUMENTS = [
    Document(f"text {n} " * (n % 9), f"id-{n}", {"domain": f"d{n % 3}", "language": "en"}, f"c{n % 7}")
    for n in range(50)
]


@pytest.fixture(scope="module")
def bpe_file(tmp_path_factory: pytest.TempPathFactory) -> TokenizerFile:
    folder = tmp_path_factory.mktemp("bpe")
    return load_tokenizer(str(corpora.small_bpe(folder, vocabulary=400)), folder, folder / "used")


def publish(folder: Path, tokenizer: TokenizerFile, **spec: object) -> tuple[StagedRun, RunFile]:
    """Count the shards under ``folder/data`` and write their tables."""
    job = job_of(spec_of(folder / "data", **spec), tokenizer, folder)
    shards = count_all(job)
    states = [state_of(job, planned) for planned in shards]
    documents = sum(state.coverage.documents for state in states if state.coverage)
    staged = StagedRun(folder / "runs", "run")
    material = run_facts.Material(job.spec, job, states, merged(job, shards, folder / "merged"), documents, 2)
    return staged, publication.write_tables(staged, material)


def rows(staged: StagedRun, table: str) -> list[dict[str, Any]]:
    return pq.read_table(staged.folder / "tables" / f"{table}.parquet").to_pylist()  # type: ignore[no-any-return]


def test_tables_and_facts_of_a_sound_corpus(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    corpora.write_shards(tmp_path / "data", corpora.deal(DOCUMENTS, 3), "parquet", row_group_rows=4)
    staged, facts = publish(tmp_path, bpe_file, per_document=True, mixture={"weights": {"d0": 3, "d1": 1}})
    written = {path.stem: pq.read_schema(path) for path in (staged.folder / "tables").iterdir()}
    optional = DRIFT_TABLES.keys() | SAMPLING_TABLES.keys() | CONTAMINATION_TABLES.keys() | EMBEDDING_TABLES.keys()
    optional |= INDEX_RESULT_TABLES.keys() | IMAGE_TABLES.keys()
    assert set(written) == TABLES.keys() - optional - {"shared_token_counts", "shared_token_groups", "unread_files"}
    assert all(schema.equals(TABLES[name]) for name, schema in written.items())
    assert (facts.complete, facts.reasons) == (True, ())
    assert all(rule.holds for rule in facts.integrity)
    assert facts.coverage.documents == facts.coverage.rows == 50
    assert facts.coverage.splits == facts.coverage.splits_counted == 3
    assert facts.tokenizer.verified == facts.tokenizer.verified_needed == 50
    assert facts.mixture and facts.mixture.shares == {"d0": 0.75, "d1": 0.25}
    assert facts.facets.sources == {"domain": "column domain", "language": "column language"}
    manifest = [line.split("  ") for line in (staged.folder / "MANIFEST.sha256").read_text().splitlines()]
    assert facts.snapshot.digest == snapshot_digest((name, sha256) for sha256, name in manifest)
    assert [row["sha256"] for row in rows(staged, "shards")] == [sha256 for sha256, _ in manifest]
    assert parse_run_file(facts.to_json()).to_json() == facts.to_json()
    # Every key is written, also where the value is the default; `embedding:` and the digest of inputs are added later.
    assert json.loads(facts.to_json()) == facts.model_dump(mode="json", exclude={"embedding", "inputs"})
    oracle = Oracle(bpe_file.path, clustered=True).count(DOCUMENTS)
    own = [{k: v for k, v in row.items() if k not in ("shard", "split", "row")} for row in rows(staged, "per_document")]
    assert own == oracle.rows
    places = [(row["shard"], row["split"], row["row"]) for row in rows(staged, "per_document")]
    assert places == sorted(places)
    assert facts.spec["document"]["domain"] == "domain"
    assert str(tmp_path) not in json.dumps(facts.model_dump(mode="json", exclude={"spec", "tokenizer"}))


def test_dead_letters_filtered_rows_and_copies(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    good = corpora.json_lines(DOCUMENTS[:20])
    lines = [b"not json\n", b'{"text": null}\n', *good, b'{"text": "a\\ud800"}\n', b"[]\n"]
    (tmp_path / "data").mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / "data" / name).write_bytes(b"".join(lines))
    (tmp_path / "data" / "c.jsonl").write_bytes(b"".join(good))
    staged, facts = publish(
        tmp_path,
        bpe_file,
        filter=[{"name": "no d1", "column": "domain", "op": "!=", "value": "d1"}],
        limits={"dead_letter_excerpts": True},
    )
    shards = {row["shard"]: row for row in rows(staged, "shards")}
    assert [shards[name]["copies"] for name in ("a.jsonl", "b.jsonl", "c.jsonl")] == [2, 2, 1]
    for row in shards.values():
        assert row["rows"] == row["documents"] + row["dead_letters"] + row["filtered"]
    assert facts.coverage.duplicate_shards == 1
    assert facts.coverage.rows == 24 + 24 + 20
    assert facts.coverage.conserved
    outcomes = {(row["outcome"], row["reason"]): row["rows"] for row in rows(staged, "outcomes")}
    assert sum(outcomes.values()) == 68
    assert outcomes["filtered", "no d1"] == 3 * 7 + 2
    letters = rows(staged, "dead_letters")
    assert len(letters) == facts.coverage.dead_letters == sum(row["dead_letters"] for row in shards.values())
    places = [(row["shard"], row["split"], row["row"]) for row in letters]
    assert places == sorted(places)
    assert {"not json", "[]"} <= {row["excerpt"].strip() for row in letters}
    assert not facts.complete
    reason, by_shard = facts.reasons
    assert f"{len(letters)} of 68 rows" in reason and "are dead letters" in reason
    assert "2 of 3 shards lost more than 10.0% of their rows or bytes" in by_shard and "a.jsonl: 3 of 24" in by_shard
    for name, row in shards.items():
        lines_of = [line for line in (tmp_path / "data" / name).read_bytes().splitlines() if line.strip()]
        assert row["row_bytes"] == sum(map(len, lines_of))
        assert row["dead_letter_bytes"] == sum(one["bytes"] for one in letters if one["shard"] == name)
    budget = next(rule for rule in facts.integrity if rule.check == "dead_letter_budget")
    assert (budget.status, budget.detail) == ("fail", reason)


def test_shards_that_were_not_counted_are_listed_all_the_same() -> None:
    states = [
        shard_state("b"),
        shard_state("a", status=ShardStatus.ERROR, error="cut", coverage=None, verified=0, sha256=""),
        shard_state("c", status=ShardStatus.NOT_SAMPLED, coverage=None, verified=0),
    ]
    listed = publication._shards(states).to_pylist()
    assert [(row["shard"], row["status"], row["documents"], row["splits_counted"]) for row in listed] == [
        ("a", "error", 0, 0),
        ("b", "read", 10, 2),
        ("c", "not_sampled", 0, 0),
    ]
    assert [row["sha256"] is None for row in listed] == [True, False, False]
    assert publication._shards([]).schema.equals(TABLES["shards"])
