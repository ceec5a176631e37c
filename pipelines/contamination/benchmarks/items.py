"""Reads benchmark items through the corpus readers; every row that is no item is counted with its reason."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from corpus_audit.pipelines.contamination.benchmarks.unread_fields import unread_fields
from corpus_audit.pipelines.reading.documents.batches import PRIMARY, DocumentBatch, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.formats.reader import read_split
from corpus_audit.pipelines.reading.formats.splits import plan_shard
from corpus_audit.pipelines.reading.snapshot.listing import list_files
from corpus_audit.pipelines.reading.snapshot.unread import files_by_ending, unread_data
from corpus_audit.schemas.errors import NoVerdictError
from corpus_audit.schemas.run.snapshot import Shard
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
    listing = list_files(SnapshotSpec(paths=spec.paths, format=spec.format), base)
    if unread := unread_data(listing.unread):
        raise NoVerdictError(
            f"benchmark {spec.name!r}: {files_by_ending([file.name for file in unread])} beside its items cannot be "
            f"read (the first is {unread[0].name}); name the files that are its items under paths"
        )
    shards = list(listing.shards)
    reading = _Reading(spec)
    for shard in shards:
        reading.add(shard)
    reading.check()
    remarks = list(reading.remarks())
    if fields := unread_fields(spec, shards):
        more = f" and {len(fields) - _LISTED_FIELDS:,} more" if len(fields) > _LISTED_FIELDS else ""
        remarks.append(f"fields not read: {', '.join(fields[:_LISTED_FIELDS])}{more}")
    return Benchmark(spec.name, tuple(reading.items), reading.rows, reading.bad, tuple(remarks))


class _Reading:
    """The items of a benchmark while its files are read, and what was counted on the way."""

    def __init__(self, spec: BenchmarkSpec) -> None:
        self.spec = spec
        facet = ConstantSource(constant=NO_VALUE) if spec.answer is None else spec.answer
        self._settings = ReadSettings(DocumentSpec(text=spec.prompt, id=spec.id, domain=facet), plain_labels=True)
        self._ids: set[str] = set()
        self._unanswered = self._unnamed = self._repeated_ids = 0
        self.items: list[Item] = []
        self.bad: Counter[str] = Counter()
        self.rows = 0

    def add(self, shard: Shard) -> None:
        """Read the items of a file; their rows are numbered through its splits."""
        plan = plan_shard(shard, None, lambda _: None)
        if plan.error is not None:
            raise NoVerdictError(f"benchmark {self.spec.name!r}: {shard.name}: {plan.error}")
        rows_before = 0
        for split in plan.splits:
            tally = SplitTally()
            for batch in read_split(shard, split, self._settings, tally):
                self._add_batch(batch, [f"{shard.name}:{rows_before + int(row)}" for row in batch.rows])
            rows_before += tally.rows
            self.bad.update(tally.dead)
        self.rows += rows_before

    def _add_batch(self, batch: DocumentBatch, locations: Sequence[str]) -> None:
        """Add the items of a batch; one without an id is called by its location."""
        answers = batch.facets[PRIMARY].to_pylist()
        names = [None] * len(batch) if batch.ids is None else batch.ids.to_pylist()
        for location, prompt, answer, name in zip(locations, batch.text.to_pylist(), answers, names, strict=True):
            answer = "" if answer == NO_VALUE else answer
            self._unanswered += not answer
            self._unnamed += not name
            if name in self._ids:  # tables identify an item by its id
                self._repeated_ids += 1
                name = f"{name} ({location})"
            self._ids.add(name or location)
            self.items.append(Item(name or location, prompt, answer))

    def check(self) -> None:
        """Check that there are items, and that some have the answer and the id that the spec names."""
        spec, items = self.spec, len(self.items)
        if not items:
            reasons = "; ".join(f"{count} {reason}" for reason, count in sorted(self.bad.items())) or "no rows"
            raise NoVerdictError(
                f"benchmark {spec.name!r} has no items ({reasons}): check its paths and its prompt field "
                f"{spec.prompt!r}"
            )
        for part, path, missing in (("an answer", spec.answer, self._unanswered), ("an id", spec.id, self._unnamed)):
            if path is not None and missing == items:
                raise NoVerdictError(
                    f"benchmark {spec.name!r}: no item has {part} in field {path!r} (items: {missing:,})"
                )

    def remarks(self) -> Iterator[str]:
        """What some items lack or repeat, each with their number."""
        counts = {
            "an id that occurs before": self._repeated_ids,
            "the text of an item before it": len(self.items) - len({(item.prompt, item.answer) for item in self.items}),
            "no answer": self._unanswered if self.spec.answer is not None else 0,
            "no id": self._unnamed if self.spec.id is not None else 0,
        }
        for part, count in counts.items():
            if count:
                yield f"{count:,} {'item has' if count == 1 else 'items have'} {part}"


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
