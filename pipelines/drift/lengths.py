"""Length drift between two runs from their length histograms."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.drift.rows import finite
from corpus_audit.pipelines.statistics import special
from corpus_audit.pipelines.statistics.drift.length_drift import STATISTICS, LengthDrift, LengthHistogram, length_drift
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables.drift_tables import DRIFT_LENGTHS
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

UNITS = ("characters", "tokens")

LEAST = 8
"""Documents of a side without which Kolmogorov's distribution, which is of many, is not used."""


def length_rows(label: str, baseline: RunDirectory, current: RunDirectory, turnover: pa.Table) -> pa.Table:
    """Table DRIFT_LENGTHS of all documents and of every domain that both runs hold.

    Raises:
        StoreError: when a table cannot be read.
    """
    kept = dict(zip(turnover["domain"].to_pylist(), turnover["kept"].to_pylist(), strict=True))
    tables = [run.table("lengths") for run in (baseline, current)]
    rows: list[dict[str, Any]] = []
    for unit in UNITS:
        sides = [_histograms(table, unit) for table in tables]
        for domain in sides[0].keys() & sides[1].keys():
            rows += slice_rows(label, domain, unit, sides[0][domain], sides[1][domain], int(kept.get(domain, 0)))
    rows.sort(key=lambda row: (row["domain"] != ALL_DOMAINS, row["domain"].encode(), row["unit"], row["statistic"]))
    return pa.Table.from_pylist(rows, schema=DRIFT_LENGTHS)


def slice_rows(
    label: str, domain: str, unit: str, before: LengthHistogram, now: LengthHistogram, shared: int
) -> list[dict[str, Any]]:
    """Rows of DRIFT_LENGTHS of one slice and unit; ``shared``: documents that both sides hold."""
    drift = length_drift(before, now, shared)
    sizes = int(before.documents.sum()), int(now.documents.sum())
    return [
        {
            "baseline": label,
            "domain": domain,
            "unit": unit,
            "statistic": statistic,
            "value_baseline": finite(drift.value_baseline[i]),
            "value_current": finite(drift.value_current[i]),
            "change": finite(drift.change[i]),
            "low": finite(drift.low[i]),
            "high": finite(drift.high[i]),
            "p": gap_p(finite(drift.change[i]), *sizes, shared) if statistic == "ks" else None,
            "reason": _reason(drift, i),
        }
        for i, statistic in enumerate(STATISTICS)
    ]


def gap_p(gap: float | None, before: int, now: int, kept: int) -> float | None:
    """p of the largest gap of two length distributions; conservative, as edited documents count as independent.

    Kolmogorov's distribution of gap / sqrt(1 / n_1 + 1 / n_2 - 2 n_S / (n_1 n_2)), n_S the kept documents. None where
    a side has fewer than `LEAST` documents, or both hold the same ones.
    """
    if gap is None or min(before, now) < LEAST:
        return None
    unshared = 1 / before + 1 / now - 2 * kept / (before * now)
    if before == now == kept or unshared <= 0:
        return None
    return float(special.kolmogorov(gap / np.sqrt(unshared)))


def _reason(drift: LengthDrift, at: int) -> str | None:
    """Why a statistic has no change, or lacks a bound of it."""
    if not np.isfinite(drift.change[at]):
        before, now = drift.value_baseline[at], drift.value_current[at]
        if np.isfinite(before) and np.isfinite(now):
            return f"it is 0 in the {'current snapshot' if before else 'baseline'}: there is no ratio"
        return "a side has no documents here"
    if not np.isfinite(drift.low[at]) or not np.isfinite(drift.high[at]):
        return "too few documents, or too many of length 0, for bounds on both sides"
    return None


def _histograms(table: pa.Table, unit: str) -> dict[str, LengthHistogram]:
    """The histogram of every domain, and that of all."""
    rows = table.filter(pc.equal(table["unit"], unit)).combine_chunks()
    low, high, documents = (rows[name].to_numpy() for name in ("low", "high", "documents"))
    domains = rows["domain"].combine_chunks().dictionary_encode()
    codes, names = domains.indices.to_numpy(), domains.dictionary.to_pylist()
    histograms = {ALL_DOMAINS: _added_up(low, high, documents)}
    for code, name in enumerate(names):
        mine = codes == code
        histograms[name] = LengthHistogram(low[mine], high[mine], documents[mine])
    return histograms


def _added_up(
    low: npt.NDArray[np.int64], high: npt.NDArray[np.int64], documents: npt.NDArray[np.int64]
) -> LengthHistogram:
    edges, bins = np.unique(low, return_inverse=True)
    tops = np.zeros(len(edges), np.int64)
    tops[bins] = high
    sums = np.zeros(len(edges), np.int64)
    np.add.at(sums, bins, documents)
    return LengthHistogram(edges, tops, sums)
