"""The steps that Beam drives, called as it calls them; whole pipelines are tests of the engine."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.beam.profile import CountSplits, MergePartials, PlanShards
from corpus_audit.pipelines.counting.job import SplitTask
from corpus_audit.pipelines.counting.tasks import MergeTask, PlanTask, balanced_order
from corpus_audit.pipelines.measures.base import merge_files
from corpus_audit.pipelines.measures.domains import Domains
from corpus_audit.pipelines.progress.board import process_board
from corpus_audit.pipelines.reading.snapshot.listing import list_shards
from corpus_audit.pipelines.tokens.tokenization import TokenizerFile
from tests import corpora
from tests.pipelines.making import job_of, spec_of


def loads(weights: list[int], workers: int) -> list[int]:
    """What each worker gets who takes every ``workers``-th element."""
    order = balanced_order(weights, workers)
    assert sorted(order) == list(range(len(weights)))
    return [sum(weights[position] for position in order[worker::workers]) for worker in range(workers)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 1000), max_size=30), st.integers(1, 6))
def test_no_worker_has_more_than_a_share_and_one_element(weights: list[int], workers: int) -> None:
    if workers > 1 and weights:
        assert max(loads(weights, workers)) <= sum(weights) / workers + max(weights)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=7), st.integers(2, 3))
def test_close_to_the_best_deal(weights: list[int], workers: int) -> None:
    best = min(max(sum(deal[w::workers]) for w in range(workers)) for deal in permutations(weights))
    assert max(loads(weights, workers)) <= 4 / 3 * best


@pytest.mark.parametrize(
    ("weights", "workers", "expected"),
    [
        ([5, 5, 5, 5], 2, [10, 10]),
        ([10, 1, 1, 10], 2, [11, 11]),
        ([64, 1, 64, 1, 64, 1], 3, [65, 65, 65]),
        ([9, 8, 7, 1, 2, 3], 3, [10, 10, 10]),
        ([], 3, [0, 0, 0]),
        ([7], 3, [7, 0, 0]),
    ],
)
def test_even_deals(weights: list[int], workers: int, expected: list[int]) -> None:
    assert loads(weights, workers) == expected


def test_one_worker_keeps_the_order() -> None:
    assert balanced_order([1, 5, 2], 1) == [0, 1, 2]


def test_planning_counting_and_merging_steps(tmp_path: Path, bpe_file: TokenizerFile) -> None:
    """The steps survive pickling, as they do on their way to workers."""
    corpora.write_shards(tmp_path / "data", corpora.deal(corpora.odd_documents(40), 2), "parquet", row_group_rows=9)
    fields = {"domain": "domain", "facets": {"kind": "kind"}, "cluster": "cluster", "id": "id"}
    job = job_of(spec_of(tmp_path / "data", document=fields), bpe_file, tmp_path)
    plan = pickle.loads(pickle.dumps(PlanShards(job)))
    shards = list_shards(job.spec.snapshot, tmp_path)
    planned = {}
    for index, shard in enumerate(shards):
        ((key, planned[index]),) = plan.process(PlanTask(index, shard, None))
        assert key == index
    known = replace(planned[0].plan, digest_computed=False)
    assert [shard_plan for _, shard_plan in plan.process(PlanTask(0, shards[0], known))] == [
        replace(planned[0], plan=known)
    ]

    count = pickle.loads(pickle.dumps(CountSplits(job)))
    counted: list[int] = []
    for index, shard_plan in planned.items():
        for split, names in shard_plan.pending:
            task = SplitTask(index, shard_plan.plan.shard, shard_plan.plan.sha256, split, names)
            ((key, result),) = count.process(task)
            assert (key, result.error) == (index, None)
            counted.append(result.documents)
        job.compact(shard_plan)
    assert sum(counted) == 40

    measure = Domains()
    sources = tuple(str(job.path_of("domains", p.plan.shard, p.plan.sha256)) for p in planned.values())
    task_of_all = MergeTask(measure, tuple(measure.tables()), sources, str(tmp_path / "step"))
    assert list(MergePartials().process(task_of_all)) == [str(tmp_path / "step")]
    merge_files(measure, [Path(source) for source in sources], tmp_path / "expected")
    assert (tmp_path / "step").read_bytes() == (tmp_path / "expected").read_bytes()


def test_a_step_that_raises_takes_its_shard_off_the_board(
    tmp_path: Path, bpe_file: TokenizerFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpora.write_shards(tmp_path / "data", [corpora.odd_documents(5)], "jsonl")
    job = job_of(spec_of(tmp_path / "data"), bpe_file, tmp_path)
    finished: list[str] = []
    monkeypatch.setattr(process_board(), "shard_finished", finished.append)

    def fail(*_: object) -> Iterator[None]:
        raise RuntimeError("broken")

    monkeypatch.setattr(type(job), "plan", fail)
    (shard,) = list_shards(job.spec.snapshot, tmp_path)
    with pytest.raises(RuntimeError, match="broken"):
        list(PlanShards(job).process(PlanTask(0, shard, None)))
    assert finished == [shard.name]
