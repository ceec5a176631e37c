"""The classifier two-sample test between two runs, on the document samples that their profiles keep."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.pipelines.drift.documents.turnover import not_shared
from corpus_audit.pipelines.drift.rows import classifier_row
from corpus_audit.pipelines.drift.texts import Examples, texts_of
from corpus_audit.pipelines.figures.document_samples import hashed_documents
from corpus_audit.pipelines.kernels.counters.lookup import contains_keys
from corpus_audit.pipelines.kernels.text.ngrams import BUCKETS, unigram_buckets
from corpus_audit.pipelines.statistics.classifier.hashed_documents import HashedDocuments
from corpus_audit.pipelines.statistics.classifier.two_sample import (
    LEAST,
    ClassifierTest,
    classifier_test,
    proportional_sample,
)
from corpus_audit.pipelines.statistics.drift.token_drift import TokenDrift
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables.drift_tables import DRIFT_CLASSIFIER
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

MOST_DOCUMENTS = 4_000
"""Documents of a side in one test."""

MOST_DOMAINS = 20
"""Domains, those with the most sampled documents, that are tested by themselves."""

NOTHING_TO_TELL = "both hold the same documents: there is nothing to tell apart"

NAMED = 3
"""Tokens that a telling feature is named by."""


def classifier_rows(
    label: str,
    baseline: RunDirectory,
    current: RunDirectory,
    turnover: pa.Table,
    moved: TokenDrift,
    examples: tuple[Examples, Examples],
    workers: int,
) -> pa.Table:
    """Table DRIFT_CLASSIFIER: all documents, in the proportions of the domains, and the largest domains.

    Documents whose text the other snapshot holds anywhere are left out. A feature is a bucket of token n-grams; it is
    named by the single tokens in it that moved most its way. Where both hold the same texts there is nothing to tell
    apart, and the AUC is 1/2 without doubt. As many tests as there are ``workers`` are made at once.

    Raises:
        StoreError: when a table cannot be read.
    """
    if not any(side[0] for side in not_shared(turnover)):
        same = ClassifierTest(0, 0, 0.5, 0.5, 0.5, 1.0, reason=NOTHING_TO_TELL)
        rows = [classifier_row(label, name, same, {}, ([], [])) for name in turnover["domain"].to_pylist()]
        return pa.Table.from_pylist(rows, schema=DRIFT_CLASSIFIER)
    runs = (baseline, current)
    names = sorted({n for run in runs for n in run.table("duplicates")["domain"].to_pylist()} - {ALL_DOMAINS})
    tables = [run.table("samples").combine_chunks() for run in runs]
    sides = [hashed_documents(table, names) for table in tables]
    own = [np.flatnonzero(~_held(side, other)) for side, other in zip(sides, (current, baseline), strict=True)]
    unshared = [side.take(rows) for side, rows in zip(sides, own, strict=True)]
    weights = [_stands_for(run, side, names) for run, side in zip(runs, sides, strict=True)]
    selected = [
        proportional_sample(side, weight, MOST_DOCUMENTS) for side, weight in zip(unshared, weights, strict=True)
    ]
    vocabulary = len(examples[0].text)
    texts = _bucket_names(moved, examples, vocabulary)
    tests = [(ALL_DOMAINS, selected)]
    sizes = np.minimum(*(np.bincount(side.domain, minlength=len(names)) for side in unshared))
    large = np.argsort(-sizes, kind="stable")[:MOST_DOMAINS]
    for g in sorted(large.tolist()):
        if sizes[g] >= LEAST:
            tests.append((names[g], [np.flatnonzero(side.domain == g) for side in unshared]))
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        rows = list(pool.map(lambda test: _row(label, test[0], unshared, test[1], own, tables, texts), tests))
    return pa.Table.from_pylist(rows, schema=DRIFT_CLASSIFIER)


def _row(
    label: str,
    domain: str,
    sides: list[HashedDocuments],
    selected: list[npt.NDArray[np.int64]],
    own: list[npt.NDArray[np.int64]],
    tables: list[pa.Table],
    texts: dict[int, list[str]],
) -> dict[str, object]:
    test: ClassifierTest = classifier_test(sides[0].take(selected[0]), sides[1].take(selected[1]), BUCKETS)
    excerpts: list[list[str]] = []
    typical = test.typical_first, test.typical_second
    for rows_of_side, positions, rows, table in zip(typical, selected, own, tables, strict=True):
        at = rows[positions[np.array(rows_of_side, np.int64)]]
        excerpts.append([text for text in table["excerpt"].take(pa.array(at)).to_pylist() if text is not None])
    return classifier_row(label, domain, test, texts, (excerpts[0], excerpts[1]))


def _held(side: HashedDocuments, other: RunDirectory) -> npt.NDArray[np.bool_]:
    """Whether each sampled text occurs in the other snapshot, in any domain; its table of hashes is streamed."""
    is_held = np.zeros(len(side), bool)
    order = np.lexsort((side.low, side.high))
    high, low = side.high[order], side.low[order]
    with pq.ParquetFile(other.folder / "tables" / "document_hashes.parquet") as file:
        for batch in file.iter_batches(65_536, columns=["hash"]):
            column = batch["hash"]
            hashes = np.frombuffer(column.buffers()[1], ">u8").reshape(-1, 2)[
                column.offset : column.offset + len(column)
            ]
            if not len(hashes):
                continue
            theirs = hashes[:, 0].astype(np.uint64), hashes[:, 1].astype(np.uint64)
            start = int(np.searchsorted(high, theirs[0][0], side="left"))
            stop = int(np.searchsorted(high, theirs[0][-1], side="right"))
            is_held[order[start:stop]] |= contains_keys(high[start:stop], low[start:stop], *theirs)
    return is_held


def _stands_for(run: RunDirectory, side: HashedDocuments, names: list[str]) -> npt.NDArray[np.float64]:
    """How many texts of each domain one sampled text stands for, [G]."""
    table = run.table("duplicates")
    texts = dict(zip(table["domain"].to_pylist(), table["distinct"].to_pylist(), strict=True))
    sampled = np.bincount(side.domain, minlength=len(names))
    return np.array([texts.get(name, 0) for name in names], np.float64) / np.maximum(sampled, 1)


def _bucket_names(moved: TokenDrift, examples: tuple[Examples, Examples], vocabulary: int) -> dict[int, list[str]]:
    """What the single tokens of every bucket decode to, those that moved most first."""
    buckets = unigram_buckets(vocabulary)[moved.tokens]
    strength = np.where(np.isnan(moved.z), 0.0, np.abs(moved.z))
    order = np.lexsort((moved.tokens, -strength, buckets))
    order = order[(buckets[order] >= 0) & (strength[order] > 0)]
    sorted_buckets = buckets[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_buckets, sorted_buckets, side="left")
    first = order[rank < NAMED]
    named: dict[int, list[str]] = {}
    texts = texts_of(moved.tokens[first], examples[1], examples[0]).to_pylist()
    for bucket, text in zip(buckets[first].tolist(), texts, strict=True):
        named.setdefault(bucket, []).append(text)
    return named
