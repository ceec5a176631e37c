"""Which items of evaluations an audit found in its corpus, and how many of them could be looked up there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.evaluations.contaminated import CLEAN, DIRTY, ContaminatedItems, read_contaminated
from corpus_audit.pipelines.evaluations.records.items import Evaluation
from corpus_audit.pipelines.storage.run_directory import open_run
from corpus_audit.schemas.errors import UsageError

_TABLE = "contamination_items"
_SELF_CHECK = "contamination_self_check"


@dataclass(frozen=True, slots=True)
class TaskJoin:
    """How many items of a task could be looked up.

    Attributes:
        task: as the evaluations name it; benchmark: as the list does, None if the list has no such benchmark.
        items: distinct items of all evaluations.
        by_hash, by_id: those that the list names by their hash, or by their id in the file.
        contaminated, clean, untestable: what the list says of these.
        numbered: items that are not looked up because their only id is a number.
        missing: all other items that the list does not have.
        unused: items of the benchmark that no evaluation has.
    """

    task: str
    benchmark: str | None
    items: int
    by_hash: int
    by_id: int
    contaminated: int
    clean: int
    untestable: int
    numbered: int
    missing: int
    unused: int

    @property
    def known(self) -> int:
        """Items that are known to be clean or contaminated."""
        return self.contaminated + self.clean


def read_audited(
    folder: Path, rule: str | None, benchmarks: Mapping[str, str], numbers: bool, option: str
) -> ContaminatedItems:
    """The items of an audit's benchmarks with the outcome of one rule.

    Args:
        folder: a run directory, or an output folder, whose newest run counts.
        rule: the rule that decides; needed if the run has several.
        benchmarks: by task of the evaluations, the audit's name of its benchmark, where they differ.
        numbers: whether ids that are numbers name items of the audit.
        option: how messages name ``rule``.

    Raises:
        UsageError: there is no finished run; it looked for no benchmarks, or not for one that is named; its scan failed
            its own check; its table is damaged; or it has several rules, or not this one.
        StoreError: its run.json is damaged.
    """
    run = open_run(folder)
    name = f"tables/{_TABLE}.parquet"
    if name not in run.facts.files:
        raise UsageError(f"contamination.audit: {run.folder} did not look for benchmarks: its audit has no benchmarks")
    if run.damaged([name]):
        raise UsageError(f"contamination.audit: {run.folder / name} is missing or damaged")
    failed = [each.detail for each in run.facts.integrity if each.check == _SELF_CHECK and not each.holds]
    if failed:
        raise UsageError(f"contamination.audit: the scan of {run.folder} failed its own check: {failed[0]}")
    result = read_contaminated(run.folder / name, rule, option)
    for task, benchmark in benchmarks.items():
        if benchmark not in result.status:
            listed = ", ".join(sorted(result.status))
            raise UsageError(
                f"contamination.benchmarks: {task}: the audit has no benchmark {benchmark!r}; it has {listed}"
            )
    limits = ["that the corpus holds an item does not say when it was drawn, or whether it was"]
    if run.facts.coverage.sampled:
        share = f"{run.facts.coverage.sample_share:.1%}"
        limits.append(f"the audit read {share} of the corpus: items that it calls clean may be in the rest")
    elif not run.facts.complete:
        limits.append("the audit did not count the whole corpus: items that it calls clean may be in the rest")
    return replace(result, benchmark_of=dict(benchmarks), numbers=numbers, limits=tuple(limits))


def task_joins(evaluations: Sequence[Evaluation], listed: ContaminatedItems) -> list[TaskJoin]:
    """How many items of every task could be looked up, by task.

    Only of lists that name clean items too: in others an item that is not listed is clean by definition.
    """
    if not listed.complete:
        return []
    columns = ["task", "item", "item_id"]
    parts = [evaluation.items.select(columns).cast(_TEXTS) for evaluation in evaluations if evaluation.items.num_rows]
    if not parts:
        return []
    distinct = pa.concat_tables(parts).group_by(columns).aggregate([])
    tasks = sorted(pc.unique(distinct["task"]).to_pylist())
    return [_join(task, distinct.filter(pc.equal(distinct["task"], task)), listed) for task in tasks]


_TEXTS = pa.schema([(name, pa.string()) for name in ("task", "item", "item_id")])


def _join(task: str, items: pa.Table, listed: ContaminatedItems) -> TaskJoin:
    benchmark = listed.benchmark(task)
    known = listed.status.get(benchmark)
    pairs = sorted(set(zip(items["item"].to_pylist(), items["item_id"].to_pylist(), strict=True)))
    ids: dict[str, str] = {}
    for item, item_id in pairs:  # an item that evaluations number differently is one item
        if item not in ids or (known is not None and item_id in known):
            ids[item] = item_id
    by_hash = by_id = numbered = missing = 0
    used: set[str] = set()
    for item, item_id in ids.items():
        name = next((each for each in listed.names(item, item_id) if known is not None and each in known), None)
        if name is not None:
            used.add(name)
            hashed = name == item and item != item_id
            by_hash, by_id = by_hash + hashed, by_id + (not hashed)
        elif known is not None and item_id.isdecimal() and not listed.numbers and item != item_id:
            numbered += 1
        else:
            missing += 1
    statuses = _counts(() if known is None else (known[name] for name in used))
    return TaskJoin(
        task=task,
        benchmark=None if known is None else benchmark,
        items=len(ids),
        by_hash=by_hash,
        by_id=by_id,
        contaminated=statuses[0],
        clean=statuses[1],
        untestable=statuses[2],
        numbered=numbered,
        missing=missing,
        unused=0 if known is None else len(known) - len(used),
    )


def _counts(statuses: Iterable[int]) -> tuple[int, int, int]:
    """Contaminated, clean and other ones."""
    values = list(statuses)
    dirty, clean = values.count(DIRTY), values.count(CLEAN)
    return dirty, clean, len(values) - dirty - clean
