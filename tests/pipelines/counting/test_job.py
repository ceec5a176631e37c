"""The work on shards and splits without an engine: resume, errors, compaction, sampling."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.beam.profile import CompactShards
from corpus_audit.pipelines.counting import job as job_module
from corpus_audit.pipelines.counting.job import Job, SplitTask
from corpus_audit.pipelines.measures.coverage import Coverage, ShardCoverage, Verification, outcome_rows
from corpus_audit.pipelines.measures.document_sample import DocumentSample
from corpus_audit.pipelines.measures.registry import ALWAYS, READING, measures_of
from corpus_audit.pipelines.measures.split_totals import SplitTotals
from corpus_audit.pipelines.reading.formats.splits import plan_shard
from corpus_audit.pipelines.storage.partials import PartialReader
from corpus_audit.pipelines.tokens.tokenization import TokenizerFile
from tests import corpora
from tests.oracle import Document
from tests.pipelines.making import count_all, count_todo, job_of, plan_all, shard_bytes, spec_of

DOCUMENTS = [
    Document(
        f"text {n % 23} of a document " * (n % 5), f"id-{n}", {"domain": f"d{n % 3}", "language": "en"}, f"c{n % 7}"
    )
    for n in range(60)
]
EVERYTHING = (
    "domains",
    "tokens",
    "lengths",
    "duplicates",
    "identities",
    "neighbours",
    "samples",
    "document_sample",
    "coverage",
    "verification",
)


@pytest.fixture(autouse=True)
def small_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A split is a row group."""
    monkeypatch.setattr(job_module, "plan_shard", lambda *args: plan_shard(*args, split_bytes=1))


def corpus(folder: Path, rows: int = 10, documents: Sequence[Document] = DOCUMENTS) -> Path:
    corpora.write_shards(folder, [documents], "parquet", row_group_rows=rows)
    return folder


def partials_in(job: Job) -> list[str]:
    """measure/key of everything in the store."""
    root = job.store.root / "partials"
    return sorted(f"{path.parent.parent.name}/{path.name}" for path in root.rglob("*") if path.is_file())


def test_splits_are_counted_and_compacted(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    job = job_of(spec_of(corpus(tmp_path / "data"), per_document=True), bpe_file, tmp_path)
    (planned,) = plan_all(job)
    assert len(planned.sampled) == 6
    assert set(planned.missing) == {*EVERYTHING, "records"}
    assert [names for _, names in planned.pending] == [planned.missing] * 6
    results = count_todo(job, planned)
    assert [(r.split, r.error, r.documents) for r in results] == [(n, None, 10) for n in range(6)]
    assert sum(r.text_bytes for r in results) == sum(len(d.text) for d in DOCUMENTS)
    assert len(partials_in(job)) == 11 * 6
    job.compact(planned)
    assert len(partials_in(job)) == 11
    assert list(job.scratch.iterdir()) == []
    (again,) = plan_all(job)
    assert (again.missing, again.pending) == ((), ())
    shard, sha256 = planned.plan.shard, planned.plan.sha256
    coverage = PartialReader(job.path_of("coverage", shard, sha256)).partial(Coverage().tables())
    assert ShardCoverage.of(coverage).documents == 60
    verified = PartialReader(job.path_of("verification", shard, sha256)).partial(Verification().tables())
    assert outcome_rows(verified) == {"verified:": 60}


def test_a_shard_of_one_split_and_of_many_have_equal_partials(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    contents = []
    for rows in (7, 1, 60):
        folder = tmp_path / str(rows)
        job = job_of(spec_of(corpus(folder / "data", rows)), bpe_file, folder)
        (planned,) = count_all(job)
        assert len(planned.sampled) == -(-60 // rows)
        contents.append(shard_bytes(job, planned.plan.shard, planned.plan.sha256))
    assert contents[0] == contents[1] == contents[2]
    assert len(contents[0]) == 8


def test_a_run_that_stopped_after_some_splits_goes_on(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    job = job_of(spec_of(corpus(tmp_path / "data")), bpe_file, tmp_path)
    (planned,) = count_all(job)
    expected = shard_bytes(job, planned.plan.shard, planned.plan.sha256)

    second = job_of(job.spec, bpe_file, tmp_path / "second")
    (planned,) = plan_all(second)
    plan = planned.plan
    for split, names in planned.pending[:3]:
        second.count(SplitTask(0, plan.shard, plan.sha256, split, names))
    split, names = planned.pending[3]
    second.count(SplitTask(0, plan.shard, plan.sha256, split, names[:2]))
    second.path_of("lengths", plan.shard, plan.sha256, planned.sampled[0]).write_bytes(b"torn")
    (resumed,) = plan_all(second)
    assert resumed.missing == planned.missing
    assert [(split.index, names) for split, names in resumed.pending] == [
        (0, ("lengths",)),
        (3, planned.missing[2:]),
        (4, planned.missing),
        (5, planned.missing),
    ]
    count_todo(second, resumed)
    (compacted,) = plan_all(second)
    assert (compacted.missing, compacted.pending) == (planned.missing, ())
    second.compact(compacted)
    assert shard_bytes(second, plan.shard, plan.sha256) == expected


def test_a_lost_partial_is_counted_alone(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    job = job_of(spec_of(corpus(tmp_path / "data")), bpe_file, tmp_path)
    (planned,) = count_all(job)
    shard, sha256 = planned.plan.shard, planned.plan.sha256
    expected = shard_bytes(job, shard, sha256)
    path = job.path_of("duplicates", shard, sha256)
    path.write_bytes(path.read_bytes()[:-7])
    (again,) = plan_all(job)
    assert again.missing == ("duplicates",)
    assert [names for _, names in again.pending] == [("duplicates",)] * 6
    count_todo(job, again)
    job.compact(again)
    assert shard_bytes(job, shard, sha256) == expected


def test_a_shard_that_changes_leaves_no_partial(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    job = job_of(spec_of(corpus(tmp_path / "data")), bpe_file, tmp_path)
    (planned,) = plan_all(job)
    corpus(tmp_path / "data", documents=DOCUMENTS[:9])
    results = count_todo(job, planned)
    assert all(result.error and "changed while it was read" in result.error for result in results)
    assert partials_in(job) == []
    assert list(job.scratch.iterdir()) == []


def test_a_damaged_split_keeps_its_shard_out(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    """The other splits' counts stay for a later run; the shard has no partial."""
    documents = [Document(f"{n} " * 400, str(n), {"domain": "a", "language": "b"}, "c") for n in range(40)]
    path = corpus(tmp_path / "data", 20, documents) / "shard-0000.parquet"
    raw = bytearray(path.read_bytes())
    text = pq.ParquetFile(path).metadata.row_group(1).column(0)
    assert text.path_in_schema == "text"
    stop = text.dictionary_page_offset + text.total_compressed_size
    raw[stop - 50 : stop] = bytes(50)
    path.write_bytes(raw)
    job = job_of(spec_of(tmp_path / "data"), bpe_file, tmp_path)
    (planned,) = plan_all(job)
    results = count_todo(job, planned)
    assert [result.error is None for result in results] == [True, False]
    assert list(CompactShards(job, {0: planned}).process((0, results))) == results
    plan = planned.plan
    kept = {job.path_of(name, plan.shard, plan.sha256, planned.sampled[0]) for name in EVERYTHING}
    assert {path for path in (job.store.root / "partials").rglob("*") if path.is_file()} == kept


def test_whole_shards_are_compacted_by_the_step(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    job = job_of(spec_of(corpus(tmp_path / "data")), bpe_file, tmp_path)
    (planned,) = plan_all(job)
    results = count_todo(job, planned)
    assert list(CompactShards(job, {5: planned}).process((5, iter(results)))) == results
    assert len(partials_in(job)) == len(EVERYTHING)


@pytest.mark.parametrize("rows", [60, 20])
def test_another_run_was_faster(tmp_path: Path, bpe_file: TokenizerFile, rows: int) -> None:
    """Two runs with one store plan the same work; the second finds it done."""
    job = job_of(spec_of(corpus(tmp_path / "data", rows)), bpe_file, tmp_path)
    (planned,) = count_all(job)
    expected = shard_bytes(job, planned.plan.shard, planned.plan.sha256)
    job.compact(planned)
    assert shard_bytes(job, planned.plan.shard, planned.plan.sha256) == expected


def test_an_empty_shard_has_empty_partials(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "empty.jsonl").touch()
    job = job_of(spec_of(tmp_path / "data", sample={"share": 1.0}), bpe_file, tmp_path)
    (planned,) = count_all(job)
    assert planned.sampled == ()
    measures = (*ALWAYS, DocumentSample(), *READING, SplitTotals())
    assert [measure.name for measure in measures] == [*EVERYTHING, "split_totals"]
    for measure in measures:
        reader = PartialReader(job.path_of(measure.name, planned.plan.shard, planned.plan.sha256))
        assert [reader.rows(table) for table in measure.tables()] == [0] * len(measure.tables())


def test_identical_shards_have_one_key_unless_their_paths_say_more(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    for name in ("a", "b"):
        corpus(tmp_path / "data" / name)
    for domain, distinct in (("domain", 1), ({"path": "{domain}/*.parquet"}, 2)):
        spec = spec_of(tmp_path / "data", document={"domain": domain})
        job = job_of(spec, bpe_file, tmp_path)
        shards = plan_all(job)
        assert len({job.path_of("coverage", p.plan.shard, p.plan.sha256) for p in shards}) == distinct


def test_a_path_that_does_not_match_is_the_shards_error(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    spec = spec_of(corpus(tmp_path / "data"), document={"domain": {"path": "lang={domain}/*.parquet"}})
    (planned,) = plan_all(job_of(spec, bpe_file, tmp_path))
    assert planned.plan.error is not None
    assert "does not match the pattern" in planned.plan.error
    assert planned.pending == ()
    assert planned.plan.sha256


def test_a_sample_of_splits_is_selected_by_hash(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    folder = corpus(tmp_path / "data", rows=1)

    def sampled_splits(**sample: Any) -> set[int]:
        (planned,) = plan_all(job_of(spec_of(folder, sample=sample), bpe_file, tmp_path))
        assert [split for split, _ in planned.pending] == list(planned.sampled)
        return {split.index for split in planned.sampled}

    half = sampled_splits(share=0.5)
    assert half == sampled_splits(share=0.5)
    assert 15 < len(half) < 45
    assert sampled_splits(share=0.2) < half < sampled_splits(share=0.8) < sampled_splits(share=1.0)
    assert sampled_splits(share=0.5, seed=1) != half
    assert len(sampled_splits(share=1.0)) == 60


def test_only_requested_measures_are_counted(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    plain = [measure.name for measure in measures_of(spec_of(tmp_path))]
    assert plain == list(EVERYTHING[:8])
    more = [measure.name for measure in measures_of(spec_of(tmp_path, per_document=True, sample={"share": 0.5}))]
    assert more == [*plain, "records", "split_totals"]


def test_a_job_travels_without_what_it_has_loaded(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    job = job_of(spec_of(corpus(tmp_path / "data")), bpe_file, tmp_path)
    (planned,) = plan_all(job)
    raw = pickle.dumps(job)
    assert len(raw) < 10_000
    assert plan_all(pickle.loads(raw)) == [planned]
