"""Measures drift between two snapshots with a model: of document vectors, and of units' activations."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.lookup.compare_units import check_comparable, movements
from corpus_audit.embeddings.lookup.search import WindowSearch
from corpus_audit.pipelines.statistics.classifier.two_sample import ClassifierTest
from corpus_audit.pipelines.statistics.classifier.vectors import vector_test
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.tables.embedding_tables import EMBEDDING_DRIFT

MOST_DOCUMENTS = 4000
"""Documents of a side that are compared at most, sampled by key, which is a hash."""


def vector_drift(before: Index, after: Index) -> ClassifierTest:
    """The classifier two-sample test on the vectors of documents that are in only one of two snapshots.

    Raises:
        UsageError: the indexes have no vectors, or not of the same model, windows and block.
    """
    check_comparable(before, after)
    sides = WindowSearch(before), WindowSearch(after)
    if sides[0].block != sides[1].block:
        raise UsageError(f"the vectors are of block {sides[0].block} and of block {sides[1].block}")
    keys, vectors = zip(*(side.document_vectors() for side in sides), strict=True)
    unshared = [~_isin(keys[0], keys[1]), ~_isin(keys[1], keys[0])]
    selected = [_lowest(key, eligible) for key, eligible in zip(keys, unshared, strict=True)]
    first, second = (side_vectors[rows] for side_vectors, rows in zip(vectors, selected, strict=True))
    return vector_test(first, second)


def embedding_drift(before: Index, after: Index) -> pa.Table:
    """The drift from one index to another, as one row of the schema EMBEDDING_DRIFT.

    Raises:
        UsageError: the indexes cannot be compared.
    """
    test = vector_drift(before, after)
    old = {str(unit) for unit in before.units()}
    rows = np.array([row for row, unit in enumerate(after.units()) if str(unit) in old], np.int64)
    moved: int | None = None
    if len(rows):
        compared = movements(before, after, rows)
        moved = int((compared.certain != 0).sum()) if np.isfinite(compared.difference.t).any() else None
    row = {
        "baseline": before.facts.snapshot,
        "documents_before": test.documents_first,
        "documents_after": test.documents_second,
        "auc": test.auc, "low": test.low, "high": test.high, "p": test.p,
        "permutations": test.permutations,
        "units": len(rows),
        "units_moved": moved,
        "reason": test.reason,
    }  # fmt: skip
    plain = {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in row.items()}
    return pa.Table.from_pylist([plain], schema=EMBEDDING_DRIFT)


def _isin(keys: pa.Array, others: pa.Array) -> np.ndarray:
    is_in: np.ndarray = pc.is_in(keys, value_set=others).to_numpy(zero_copy_only=False)
    return is_in


def _lowest(keys: pa.Array, eligible: np.ndarray) -> np.ndarray:
    """Rows of at most `MOST_DOCUMENTS` eligible documents, those of lowest key."""
    order = pc.sort_indices(keys).to_numpy()
    rows: np.ndarray = np.sort(order[eligible[order]][:MOST_DOCUMENTS])
    return rows
