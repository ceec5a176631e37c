"""Domains' shares are tested where enough documents came, went or moved, and moves are no draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from corpus_audit.pipelines.drift.documents.share_tests import corrected, variance_ratios
from corpus_audit.pipelines.statistics.drift.domain_drift import DomainSample, domain_drift
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

Row = dict[str, Any]


COUNTS = ("kept", "edited", "added", "removed", "moved_in", "moved_out")


def row(domain: str, **counts: int) -> Row:
    return {"domain": domain} | dict.fromkeys(COUNTS, 0) | counts


def test_few_documents_are_no_test_whether_they_came_or_moved() -> None:
    came = [row(ALL_DOMAINS, kept=1_000, added=100), row("big", kept=900, added=96), row("small", kept=30, added=4)]
    assert variance_ratios(came) == {"big": 1.0}, "3 of 100 are expected in the small one"
    for moves, tested in ((9, set()), (10, {"a", "b"})):
        rows = [
            row(ALL_DOMAINS, kept=300),
            row("a", kept=100 - moves, removed=moves, moved_out=moves),
            row("b", kept=100, added=moves, moved_in=moves),
            row("c", kept=100),
        ]
        assert set(variance_ratios(rows)) == tested


@pytest.mark.parametrize("sizes", [(90, 90, 90, 90), (40, 900, 300)])
def test_documents_that_move_either_way_move_no_share_beyond_chance(sizes: tuple[int, ...]) -> None:
    """30 documents move between the first two domains, in a direction of their own each."""
    rng = np.random.default_rng(7)
    moves, uncorrected, tests = 30, [], []

    def sample(documents: np.ndarray) -> DomainSample:
        return DomainSample(documents, 100 * documents, (10_000 * documents).astype(object))

    for _ in range(400):
        left = int(rng.binomial(moves, 0.5))
        out, into = np.zeros((2, len(sizes)), np.int64)
        out[:2], into[:2] = (left, moves - left), (moves - left, left)
        kept = np.array(sizes) - out
        p = domain_drift(sample(out), sample(into), sample(kept), "documents").p
        rows = [row(ALL_DOMAINS, kept=sum(sizes))]
        for g in range(len(sizes)):
            change = {"removed": int(out[g]), "moved_out": int(out[g]), "added": int(into[g]), "moved_in": int(into[g])}
            rows.append(row(str(g), kept=int(kept[g]), **change))
        ratios = variance_ratios(rows)
        uncorrected.append(p[0] <= 0.05)
        tests.append(corrected(float(p[0]), ratios["0"]) <= 0.05)
    assert np.mean(uncorrected) > 0.15
    assert np.mean(tests) < 0.08
