"""Reads benchmark items through the corpus readers; every row that is no item is counted with its reason."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from corpus_audit.pipelines.contamination.benchmarks.unread_fields import unread_fields
from corpus_audit.pipelines.reading.documents.batches import PRIMARY, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.formats.reader import read_split
from corpus_audit.pipelines.reading.formats.splits import plan_shard
from corpus_audit.pipelines.reading.snapshot.listing import list_files
from corpus_audit.pipelines.reading.snapshot.unread import files_by_ending, unread_data
from corpus_audit.schemas.errors import NoVerdictError
from corpus_audit.schemas.spec.audit import ConstantSource, DocumentSpec, SnapshotSpec
from corpus_audit.schemas.spec.benchmarks import BenchmarkSpec
from corpus_audit.schemas.tables.run_tables import NO_VALUE

_LISTED_FIELDS = 10
"""Unread fields that a remark lists by name."""


@dataclass(frozen=True, slots=True)
class Item:
    """One test item; ``answer`` is empty where the benchmark has none."""

    id: str
    prompt: str
    answer: str = ""

    @property
    def text(self) -> str:
        """The text to search the corpus for: the prompt and, on a line of its own, the answer."""
        return f"{self.prompt}\n{self.answer}" if self.answer else self.prompt


@dataclass(frozen=True)
class Benchmark:
    """The items of a benchmark, and counts of the rows that are none.

    Attributes:
        name: its name in the spec.
        items: in the order of files and rows.
        rows: rows of its files; those that are no items are in ``bad``.
        bad: reason -> rows.
        remarks: notes on its items for the reader of a report, such as repeated ids; phrases with their counts.
    """

    name: str
    items: tuple[Item, ...]
    rows: int
    bad: Counter[str] = field(default_factory=Counter)
    remarks: tuple[str, ...] = ()


def read_benchmark(spec: BenchmarkSpec, base: Path) -> Benchmark:
    """Read the items of a benchmark from its files.

    Args:
        spec: their paths and the names of their columns.
        base: the folder that relative paths start from.

    Raises:
        UsageError: a path matches nothing.
        NoVerdictError: a file is damaged, lacks a column, or may have items but cannot be read; there are no items; or
            no item has the answer or the id that the spec names.
    """
    facet = ConstantSource(constant=NO_VALUE) if spec.answer is None else spec.answer
    document = DocumentSpec(text=spec.prompt, id=spec.id, domain=facet)
    items: list[Item] = []
    bad: Counter[str] = Counter()
    rows = unanswered = unnamed = repeated_ids = 0
    ids: set[str] = set()
    listing = list_files(SnapshotSpec(paths=spec.paths, format=spec.format), base)
    if unread := unread_data(listing.unread):
        raise NoVerdictError(
            f"benchmark {spec.name!r}: {files_by_ending([file.name for file in unread])} beside its items cannot be "
            f"read (the first is {unread[0].name}); name the files that are its items under paths"
        )
    shards = list(listing.shards)
    for shard in shards:
        plan = plan_shard(shard, None, lambda _: None)
        if plan.error is not None:
            raise NoVerdictError(f"benchmark {spec.name!r}: {shard.name}: {plan.error}")
        rows_before = 0
        for split in plan.splits:
            tally = SplitTally()
            for batch in read_split(shard, split, ReadSettings(document, plain_labels=True), tally):
                answers = batch.facets[PRIMARY].to_pylist()
                names = [None] * len(batch) if batch.ids is None else batch.ids.to_pylist()
                for row, prompt, answer, name in zip(batch.rows, batch.text.to_pylist(), answers, names, strict=True):
                    location = f"{shard.name}:{rows_before + int(row)}"
                    answer = "" if answer == NO_VALUE else answer
                    unanswered += not answer
                    unnamed += not name
                    if name in ids:  # tables identify an item by its id
                        repeated_ids += 1
                        name = f"{name} ({location})"
                    ids.add(name or location)
                    items.append(Item(name or location, prompt, answer))
            rows_before += tally.rows
            bad.update(tally.dead)
        rows += rows_before
    if not items:
        reasons = "; ".join(f"{count} {reason}" for reason, count in sorted(bad.items())) or "no rows"
        raise NoVerdictError(
            f"benchmark {spec.name!r} has no items ({reasons}): check its paths and its prompt field {spec.prompt!r}"
        )
    for part, path, missing in (("an answer", spec.answer, unanswered), ("an id", spec.id, unnamed)):
        if path is not None and missing == len(items):
            raise NoVerdictError(f"benchmark {spec.name!r}: no item has {part} in field {path!r} (items: {missing:,})")
    counts = {
        "an id that occurs before": repeated_ids,
        "the text of an item before it": len(items) - len({(item.prompt, item.answer) for item in items}),
        "no answer": unanswered if spec.answer is not None else 0,
        "no id": unnamed if spec.id is not None else 0,
    }
    remarks = [
        f"{count:,} {'item has' if count == 1 else 'items have'} {part}" for part, count in counts.items() if count
    ]
    if fields := unread_fields(spec, shards):
        more = f" and {len(fields) - _LISTED_FIELDS:,} more" if len(fields) > _LISTED_FIELDS else ""
        remarks.append(f"fields not read: {', '.join(fields[:_LISTED_FIELDS])}{more}")
    return Benchmark(spec.name, tuple(items), rows, bad, tuple(remarks))


def benchmarks_digest(benchmarks: Iterable[Benchmark]) -> str:
    """SHA-256 of names, ids, prompts, answers, counts and remarks, in order."""
    digest = hashlib.sha256()
    for benchmark in benchmarks:
        bad = sorted(benchmark.bad.items())
        remarks = "\n".join(benchmark.remarks)
        for part in (benchmark.name, str(len(benchmark.items)), str(benchmark.rows), str(bad), remarks):
            _add_text(digest, part)
        for item in benchmark.items:
            for part in (item.id, item.prompt, item.answer):
                _add_text(digest, part)
    return digest.hexdigest()


def _add_text(digest: hashlib._Hash, text: str) -> None:
    data = text.encode()
    digest.update(len(data).to_bytes(8, "little"))
    digest.update(data)
