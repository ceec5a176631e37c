"""Totals by group from a table that lists every cell."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.intervals.grouped import GroupedTotals


def dense_totals(totals: npt.ArrayLike) -> GroupedTotals:
    """The cells of an integer array [groups, domains]."""
    table = np.asarray(totals, dtype=np.int64)
    group, domain = np.nonzero(table)
    return GroupedTotals(domain, group, table[group, domain], domains=table.shape[1], groups=table.shape[0])
