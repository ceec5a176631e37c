"""When documents that hold contaminated items were drawn: the audit names the documents, a sampler's log the steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpus_audit.pipelines.evaluations.contaminated import DIRTY, ContaminatedItems
from corpus_audit.pipelines.sampling.log.draws_of import draws_of
from corpus_audit.pipelines.sampling.log.reader import SamplerLogReader
from corpus_audit.pipelines.storage.run_directory import open_run

_TABLE = "contamination_matches"


@dataclass(frozen=True, slots=True)
class ItemDraws:
    """Draws of the documents behind the contaminated items of a benchmark.

    Attributes:
        items: contaminated items with documents that have an id.
        without: contaminated items without any.
        item, step: of every draw of such a document, int64 [N]; steps are those of the log.
    """

    items: int
    without: int
    item: np.ndarray
    step: np.ndarray

    def between(self, first: int, last: int) -> tuple[int, int, int]:
        """Items with a draw after ``first`` and up to ``last``; others with one up to ``first``; and the rest."""
        inside = np.unique(self.item[(self.step > first) & (self.step <= last)])
        before = np.setdiff1d(np.unique(self.item[self.step <= first]), inside)
        return len(inside), len(before), self.items - len(inside) - len(before)


def item_draws(folder: Path, listed: ContaminatedItems, log: SamplerLogReader) -> dict[str, ItemDraws] | None:
    """Draws by benchmark; None if the log has no ids of documents, or the audit names no documents of items.

    An audit lists the documents that cover most of an item, so that an item may be in further ones.

    Raises:
        UsageError: the log does not fit its spec, or is damaged.
        StoreError: the table is damaged.
    """
    run = open_run(folder)
    if f"tables/{_TABLE}.parquet" not in run.facts.files:
        return None
    matches = run.table(_TABLE).select(["benchmark", "item", "id"]).to_pylist()
    documents: dict[tuple[str, str], set[str]] = {}
    for row in matches:
        if row["id"] is not None:
            documents.setdefault((row["benchmark"], row["item"]), set()).add(row["id"])
    ids = sorted({name for names in documents.values() for name in names})
    drawn = draws_of(log, ids) if ids else None
    if drawn is None:
        return None
    step, document = drawn
    order = np.argsort(document, kind="stable")
    edges = np.searchsorted(document[order], np.arange(len(ids) + 1))
    position = {name: number for number, name in enumerate(ids)}
    steps_of = {name: step[order[edges[i] : edges[i + 1]]] for name, i in position.items()}
    return {
        benchmark: _of_benchmark(benchmark, [i for i, status in of.items() if status == DIRTY], documents, steps_of)
        for benchmark, of in listed.status.items()
    }


def _of_benchmark(
    benchmark: str,
    dirty: list[str],
    documents: Mapping[tuple[str, str], set[str]],
    steps_of: Mapping[str, np.ndarray],
) -> ItemDraws:
    items, steps = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    named = [item for item in dirty if (benchmark, item) in documents]
    for number, item in enumerate(named):
        for name in sorted(documents[benchmark, item]):
            steps.append(steps_of[name])
            items.append(np.full(len(steps_of[name]), number))
    return ItemDraws(len(named), len(dirty) - len(named), np.concatenate(items), np.concatenate(steps))
