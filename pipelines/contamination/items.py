"""Benchmark items as they are read: through the corpus readers, every bad row counted with its reason."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from corpus_audit.pipelines.reading.documents import PRIMARY, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.listing import list_files
from corpus_audit.pipelines.reading.reader import read_split
from corpus_audit.pipelines.reading.splits import plan_shard
from corpus_audit.pipelines.reading.unread import files_by_ending, unread_data
from corpus_audit.schemas.audit import ConstantSource, DocumentSpec, SnapshotSpec
from corpus_audit.schemas.benchmarks import BenchmarkSpec
from corpus_audit.schemas.errors import NoVerdictError
from corpus_audit.schemas.tables import NO_VALUE


@dataclass(frozen=True, slots=True)
class Item:
    """One test item; ``answer`` is empty where the benchmark has none."""

    id: str
    prompt: str
    answer: str = ""

    @property
    def text(self) -> str:
        """What is looked for in the corpus: the prompt and, on a line of its own, the answer."""
        return f"{self.prompt}\n{self.answer}" if self.answer else self.prompt


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as read.

    Attributes:
        name: what the spec calls it.
        items: in the order of files and rows.
        rows: rows of its files; those that are no items are in ``bad``.
        bad: reason -> rows.
    """

    name: str
    items: tuple[Item, ...]
    rows: int
    bad: Counter[str] = field(default_factory=Counter)


def read_benchmark(spec: BenchmarkSpec, base: Path) -> Benchmark:
    """Read a benchmark's files.

    Args:
        spec: where they are and what their columns are called.
        base: the folder that relative paths start from.

    Raises:
        UsageError: a path matches nothing.
        NoVerdictError: a file is damaged, lacks a column or may hold items and is not read, or there is not a single
            item.
    """
    facet = ConstantSource(constant=NO_VALUE) if spec.answer is None else spec.answer
    document = DocumentSpec(text=spec.prompt, id=spec.id, domain=facet)
    items: list[Item] = []
    bad: Counter[str] = Counter()
    rows = 0
    listing = list_files(SnapshotSpec(paths=spec.paths, format=spec.format), base)
    if unread := unread_data(listing.unread):
        raise NoVerdictError(
            f"benchmark {spec.name!r}: {files_by_ending([file.name for file in unread])} beside its items cannot be "
            f"read (the first is {unread[0].name}); name the files that are its items under paths"
        )
    for shard in listing.shards:
        plan = plan_shard(shard, None, lambda _: None)
        if plan.error is not None:
            raise NoVerdictError(f"benchmark {spec.name!r}: {shard.name}: {plan.error}")
        before = 0
        for split in plan.splits:
            tally = SplitTally()
            for batch in read_split(shard, split, ReadSettings(document, plain_labels=True), tally):
                answers = batch.facets[PRIMARY].to_pylist()
                names = [None] * len(batch) if batch.ids is None else batch.ids.to_pylist()
                for row, prompt, answer, name in zip(batch.rows, batch.text.to_pylist(), answers, names, strict=True):
                    place = f"{shard.name}:{before + int(row)}"
                    items.append(Item(name or place, prompt, "" if answer == NO_VALUE else answer))
            before += tally.rows
            bad.update(tally.dead)
        rows += before
    if not items:
        reasons = "; ".join(f"{count} {reason}" for reason, count in sorted(bad.items())) or "no rows"
        raise NoVerdictError(
            f"benchmark {spec.name!r} has no items ({reasons}): check its paths and its prompt field {spec.prompt!r}"
        )
    return Benchmark(spec.name, tuple(items), rows, bad)


def digest_of(benchmarks: Iterable[Benchmark]) -> str:
    """SHA-256 of names, ids, prompts, answers and counts, in order."""
    digest = hashlib.sha256()
    for benchmark in benchmarks:
        bad = sorted(benchmark.bad.items())
        for part in (benchmark.name, str(len(benchmark.items)), str(benchmark.rows), str(bad)):
            _add(digest, part)
        for item in benchmark.items:
            for part in (item.id, item.prompt, item.answer):
                _add(digest, part)
    return digest.hexdigest()


def _add(digest: hashlib._Hash, text: str) -> None:
    data = text.encode()
    digest.update(len(data).to_bytes(8, "little"))
    digest.update(data)
