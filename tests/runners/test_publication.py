"""What a run directory holds: coverage by shard, the integrity rules, and run.json; without an engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.job import Job, PlannedShard
from corpus_audit.pipelines.measures.coverage import Coverage, ShardCoverage, Verification, outcome_rows
from corpus_audit.pipelines.partials import PartialReader
from corpus_audit.pipelines.run_directory import StagedRun
from corpus_audit.pipelines.tokenization import TokenizerFile, load_tokenizer
from corpus_audit.runners import publication
from corpus_audit.runners.audit import ShardState
from corpus_audit.schemas.contamination_tables import CONTAMINATION_TABLES
from corpus_audit.schemas.drift_tables import DRIFT_TABLES
from corpus_audit.schemas.embedding_tables import EMBEDDING_TABLES
from corpus_audit.schemas.sampling_tables import SAMPLING_TABLES
from corpus_audit.schemas.snapshot import Shard, ShardFormat, ShardPlan, ShardStatus, Split, snapshot_digest
from corpus_audit.schemas.tables import TABLES
from tests import corpora
from tests.oracle import Document, Oracle
from tests.pipelines.making import count_all, job_of, merged, spec_of

DOCUMENTS = [
    Document(f"text {n} " * (n % 9), f"id-{n}", {"domain": f"d{n % 3}", "language": "en"}, f"c{n % 7}")
    for n in range(50)
]


@pytest.fixture(scope="module")
def bpe_file(tmp_path_factory: pytest.TempPathFactory) -> TokenizerFile:
    folder = tmp_path_factory.mktemp("bpe")
    return load_tokenizer(str(corpora.small_bpe(folder, vocabulary=400)), folder, folder / "used")


def state_of(job: Job, planned: PlannedShard) -> ShardState:
    """What the audit knows of a shard that was counted."""

    def read(measure: Any) -> Any:
        path = job.path_of(measure.name, planned.plan.shard, planned.plan.sha256)
        return PartialReader(path).partial(measure.tables())

    verified = sum(outcome_rows(read(Verification())).values())
    return ShardState(planned, ShardStatus.READ, None, ShardCoverage.of(read(Coverage())), verified)


def publish(folder: Path, tokenizer: TokenizerFile, **spec: object) -> tuple[StagedRun, dict[str, Any]]:
    """Count the shards under ``folder/data`` and write their tables."""
    job = job_of(spec_of(folder / "data", **spec), tokenizer, folder)
    shards = count_all(job)
    states = [state_of(job, planned) for planned in shards]
    documents = sum(state.coverage.documents for state in states if state.coverage)
    staged = StagedRun(folder / "runs", "run")
    material = publication.Material(job.spec, job, states, merged(job, shards, folder / "merged"), documents, 2)
    return staged, publication.write_tables(staged, material)


def rows(staged: StagedRun, table: str) -> list[dict[str, Any]]:
    return pq.read_table(staged.folder / "tables" / f"{table}.parquet").to_pylist()  # type: ignore[no-any-return]


def test_tables_and_facts_of_a_sound_corpus(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    corpora.write_shards(tmp_path / "data", corpora.deal(DOCUMENTS, 3), "parquet", row_group_rows=4)
    staged, facts = publish(tmp_path, bpe_file, per_document=True, mixture={"weights": {"d0": 3, "d1": 1}})
    written = {path.stem: pq.read_schema(path) for path in (staged.folder / "tables").iterdir()}
    optional = DRIFT_TABLES.keys() | SAMPLING_TABLES.keys() | CONTAMINATION_TABLES.keys() | EMBEDDING_TABLES.keys()
    assert set(written) == TABLES.keys() - optional - {"shared_token_counts", "shared_token_groups"}
    assert all(schema.equals(TABLES[name]) for name, schema in written.items())
    assert (facts["complete"], facts["reasons"]) == (True, [])
    assert {rule["status"] for rule in facts["integrity"]} == {"pass"}
    assert facts["coverage"]["documents"] == facts["coverage"]["rows"] == 50
    assert facts["coverage"]["splits"] == facts["coverage"]["splits_counted"] == 3
    assert facts["tokenizer"]["verified"] == facts["tokenizer"]["verified_needed"] == 50
    assert facts["mixture"]["shares"] == {"d0": 0.75, "d1": 0.25}
    assert facts["facets"]["sources"] == {"domain": "column domain", "language": "column language"}
    manifest = [line.split("  ") for line in (staged.folder / "MANIFEST.sha256").read_text().splitlines()]
    assert facts["snapshot"]["digest"] == snapshot_digest((name, sha256) for sha256, name in manifest)
    assert [row["sha256"] for row in rows(staged, "shards")] == [sha256 for sha256, _ in manifest]
    assert json.loads(json.dumps(facts)) == facts
    oracle = Oracle(bpe_file.path, clustered=True).count(DOCUMENTS)
    own = [{k: v for k, v in row.items() if k not in ("shard", "split", "row")} for row in rows(staged, "per_document")]
    assert own == oracle.rows
    places = [(row["shard"], row["split"], row["row"]) for row in rows(staged, "per_document")]
    assert places == sorted(places)
    assert facts["spec"]["document"]["domain"] == "domain"
    assert str(tmp_path) not in json.dumps({k: v for k, v in facts.items() if k not in ("spec", "tokenizer")})


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
    assert facts["coverage"]["duplicate_shards"] == 1
    assert facts["coverage"]["rows"] == 24 + 24 + 20
    assert facts["coverage"]["conserved"]
    outcomes = {(row["outcome"], row["reason"]): row["rows"] for row in rows(staged, "outcomes")}
    assert sum(outcomes.values()) == 68
    assert outcomes["filtered", "no d1"] == 3 * 7 + 2
    letters = rows(staged, "dead_letters")
    assert len(letters) == facts["coverage"]["dead_letters"] == sum(row["dead_letters"] for row in shards.values())
    places = [(row["shard"], row["split"], row["row"]) for row in letters]
    assert places == sorted(places)
    assert {"not json", "[]"} <= {row["excerpt"].strip() for row in letters}
    assert not facts["complete"]
    (reason,) = facts["reasons"]
    assert "rows are dead letters" in reason
    budget = next(rule for rule in facts["integrity"] if rule["check"] == "dead_letter_budget")
    assert (budget["status"], budget["detail"]) == ("fail", reason)


def shard_state(name: str, **parts: Any) -> ShardState:
    """A shard of two splits and ten documents that was read."""
    shard = Shard(f"/data/{name}", name, ShardFormat.PARQUET, 100, "stamp")
    splits = (Split(0, 0, 1, 50), Split(1, 1, 2, 50))
    plan = ShardPlan(shard, parts.pop("sha256", "ab" * 32), True, splits, 10)
    coverage = ShardCoverage((), Coverage().empty().tables["letters"], documents=10)
    state = ShardState(PlannedShard(plan, splits), ShardStatus.READ, None, coverage, 10)
    for part, value in parts.items():
        setattr(state, part, value)
    return state


def integrity(states: Sequence[ShardState], verified: int = 10, **coverage: Any) -> dict[str, str]:
    """check -> status."""
    known = {"conserved": True, "digests_computed": 1, "digests_remembered": 0, "dead_letters": 0, "rows": 10}
    rules = publication._integrity(spec_of(Path("/data")), list(states), known | coverage, verified, 10)
    assert all(rule["detail"] for rule in rules)
    return {rule["check"]: rule["status"] for rule in rules}


@pytest.mark.parametrize(
    ("check", "statuses"),
    [
        (None, lambda: integrity([shard_state("a")])),
        ("coverage", lambda: integrity([shard_state("a"), shard_state("b", error="cut")])),
        ("conservation", lambda: integrity([shard_state("a")], conserved=False)),
        ("digests", lambda: integrity([shard_state("a"), shard_state("b", sha256="")])),
        ("tokenizer_verification", lambda: integrity([shard_state("a")], verified=9)),
        ("dead_letter_budget", lambda: integrity([shard_state("a")], dead_letters=2, rows=10_000)),
        (None, lambda: integrity([shard_state("a")], dead_letters=1, rows=10_000)),
        (None, lambda: integrity([shard_state("a")], rows=0)),
    ],
)
def test_each_integrity_rule_fails_on_its_own(check: str | None, statuses: Callable[[], dict[str, str]]) -> None:
    found = statuses()
    assert len(found) == 5
    assert [name for name, status in found.items() if status != "pass"] == ([check] if check else [])


def test_the_first_shard_that_failed_is_named() -> None:
    coverage = {"conserved": True, "digests_computed": 1, "digests_remembered": 0, "dead_letters": 0, "rows": 10}
    states = [shard_state("a"), shard_state("b", error="its footer is cut"), shard_state("c", error="gone")]
    rules = publication._integrity(spec_of(Path("/data")), states, coverage, 10, 10)
    assert "2 of 3 shards could not be read; the first is b: its footer is cut" in rules[0]["detail"]


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


def test_a_footer_that_promises_more_rows_breaks_conservation(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    corpora.write_shards(tmp_path / "data", [DOCUMENTS], "parquet")
    job = job_of(spec_of(tmp_path / "data"), bpe_file, tmp_path)
    shards = count_all(job)
    state = state_of(job, shards[0])
    profile = merged(job, shards, tmp_path / "merged")

    def conserved(documents: int) -> bool:
        return publication._conserved(publication.Material(job.spec, job, [state], profile, documents, 1))

    assert conserved(50)
    assert not conserved(49)  # the measures hold another number of documents than the readers
    assert state.coverage is not None
    state.coverage.documents = 49  # and the footer another number of rows
    assert not conserved(50)


def test_versions_of_what_is_absent() -> None:
    versions = publication._versions()
    assert versions["python"].startswith("3.")
    assert set(publication._PACKAGES) < set(versions)
