"""Edited documents set apart from the documents of one side alone, and not where copies make that impossible."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.drift.edited_documents import EditedDocuments, edits_alone
from corpus_audit.pipelines.statistics.drift.paired_documents import DocumentTokens
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS
from tests.pipelines.statistics.contrasts import contrast

OLD, NEW = np.array([[3, 1, 0], [1, 1, 1]]), np.array([[3, 0, 2], [1, 1, 0]])


def tokens(counts: np.ndarray) -> DocumentTokens:
    ids = np.concatenate([np.repeat(np.arange(3), row) for row in counts])
    return DocumentTokens(ids, np.concatenate([[0], np.cumsum(counts.sum(axis=1))]).astype(np.int64))


def edited() -> EditedDocuments:
    domain, groups = np.zeros(2, np.int64), np.array([0, 1])
    return EditedDocuments(["a"], tokens(OLD), tokens(NEW), domain, domain, groups, (groups, groups), domain[:1] + 2, 0)


def test_pairs_are_taken_from_both_sides() -> None:
    added = np.vstack([NEW, [[0, 5, 5]]])
    apart = edited().apart(ALL_DOMAINS, contrast(OLD, added))
    assert apart.edited is not None and apart.only_baseline.total_documents == 0
    assert apart.only_current.count.tolist() == [0, 5, 5] and apart.only_current.total_documents == 1
    assert [side.tolist() for side in apart.counts] == [OLD.sum(axis=0).tolist(), added.sum(axis=0).tolist()]
    alone = edits_alone(apart.tokens, apart.edited)
    assert [side.tolist() for side in alone.counts] == [OLD.sum(axis=0).tolist(), NEW.sum(axis=0).tolist()]


def test_a_side_that_seems_to_lack_them_is_left_as_it_is() -> None:
    """Copies that count as shared were taken from the baseline's own documents, an edited one among them."""
    made = contrast(OLD[:1], NEW)
    assert edited().apart(ALL_DOMAINS, made) is made
