"""Which domains' shares can be tested, and the p of a share where documents moved from one domain to another.

Comes in: rows of TURNOVER, and p of `statistics.drift.domain_drift`, which takes every document that only one side has
in a domain for a draw: of domain g with probability pi, so that it adds pi (1 - pi) to the variance of the number of
documents in g.

A document that moved is no such draw: it left one domain and came into another. If documents moved either way with the
same probability, m that left or entered g add m to that variance, where the p has 2 M pi (1 - pi) of the M that moved
anywhere. So the p is too small where g is small or most moves concern it, and the standard error is corrected by the
square root of the ratio of both variances (in documents; that of tokens in the same ratio).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from corpus_audit.pipelines.statistics import special
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

LEAST_EXPECTED = 5
"""Of the documents that came and went, those that are expected in a domain, and outside it, for a test of its share.

With fewer the normal approximation fails: a single new document in a domain of 8 % is 3.4 standard errors away.
"""

LEAST_MOVED = 10
"""Documents that moved into a domain or out of it, for a test of its share by them: binomial with probability 1/2."""

Row = Mapping[str, Any]


def variance_ratios(turnover: Sequence[Row]) -> dict[str, float]:
    """Domain -> true variance of its share over that of its test, at least 1; domains without a test are left out."""
    whole = next(row for row in turnover if row["domain"] == ALL_DOMAINS)
    domains = [row for row in turnover if row["domain"] != ALL_DOMAINS]
    documents = _documents(whole)
    drawn = whole["added"] + whole["removed"]
    versions = 2 * sum(row["edited"] or 0 for row in domains)
    moves = sum(row["moved_in"] for row in domains)
    ratios = {}
    for row in domains:
        size = min(_documents(row), documents)
        expected = size * drawn / max(documents, 1)
        moved = row["moved_in"] + row["moved_out"]
        if min(expected, drawn - expected) < LEAST_EXPECTED and moved < LEAST_MOVED:
            continue
        share = size / max(documents, 1)
        of_draws = (drawn + versions) * share * (1 - share)
        assumed = of_draws + 2 * moves * share * (1 - share)
        ratios[row["domain"]] = max((of_draws + moved) / assumed, 1.0) if moved and assumed else 1.0
    return ratios


def corrected(p: float, ratio: float) -> float:
    """A two-sided p whose standard error was too small by the square root of ``ratio``."""
    if ratio == 1.0:
        return p
    return float(2 * special.ndtr(special.ndtri(max(p, 1e-300) / 2) / np.sqrt(ratio)))


def _documents(row: Row) -> int:
    return int(row["kept"] + (row["edited"] or 0) + row["added"] + row["removed"])
