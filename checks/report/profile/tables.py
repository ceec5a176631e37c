"""From the Parquet tables of a run directory to the rows a report shows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpus_audit.checks.report.profile.records import (
    Amount,
    DuplicateRow,
    LengthPanel,
    LengthRow,
    LengthUnit,
    ShardRow,
    ShareRow,
    Unit,
    VocabularyRow,
)
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run.run_file import PublishedFile
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS, OTHER_VALUES, TABLES

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BINS = 96
"""Bins of a length distribution's axis."""

TAIL = 0.001
"""Share of a domain's documents that may lie beyond either end of a length axis."""


def read_table(run_dir: Path, name: str, files: Mapping[str, PublishedFile]) -> pa.Table:
    """A table of a run directory, checked against its digest in `run.json` (if listed) and its page checksums.

    Raises:
        StoreError: the file is missing, damaged, or has other columns than `schemas.tables.run_tables` says.
    """
    path = run_dir / "tables" / f"{name}.parquet"
    listed = files.get(f"tables/{name}.parquet")
    try:
        if listed is not None:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if digest != listed.sha256:
                raise StoreError(f"{path} is not the file that run.json lists: SHA-256 {digest}. Run the audit again.")
        table = pq.read_table(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise StoreError(f"{path} is missing: the run directory is incomplete. Run the audit again.") from None
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read: {error}. Run the audit again.") from error
    missing = [field for field in TABLES[name].names if field not in table.column_names]
    if missing:
        raise StoreError(
            f"{path} has no column {missing[0]!r}: it was written by another version. Run the audit again."
        )
    return table


def share_rows(domains: pa.Table, proportions: pa.Table, facet: str, absent: Iterable[str] = ()) -> list[ShareRow]:
    """Every value of a facet in the order of the table, then the ``absent`` ones that it lacks, with counts of 0.

    The row of values that the table does not list, if there is one, has ``folded`` -1.
    """
    figures: dict[tuple[str, str], dict[str, Any]] = {
        (row["value"], row["unit"]): row
        for row in proportions.filter(pc.equal(proportions["facet"], facet)).to_pylist()
    }
    selected = domains.filter(pc.equal(domains["facet"], facet)).to_pylist()
    totals = {unit: sum(row[unit] for row in selected) for unit in ("documents", "bytes", "tokens")}
    missing_values = sorted(set(absent) - {row["value"] for row in selected})
    nothing = {"clusters": 0, "documents": 0, "bytes": 0, "tokens": 0}
    rows = []
    for row in (*selected, *({"value": name} | nothing for name in missing_values)):

        def amount(unit: str, row: dict[str, Any] = row) -> Amount:
            figure = figures.get((row["value"], unit), {})
            share = row[unit] / totals[unit] if totals[unit] else 0.0
            return Amount(row[unit], figure.get("share", share), figure.get("low"), figure.get("high"))

        folded = -1 if row["value"] == OTHER_VALUES else 0
        name = "" if folded else row["value"]
        rows.append(ShareRow(name, folded, row["clusters"], amount("documents"), amount("bytes"), amount("tokens")))
    return rows


def largest(rows: Sequence[ShareRow], unit: Unit, most: int) -> list[str]:
    """Names of the largest rows by share or intended share, whichever is larger."""
    named = [row for row in rows if not row.folded]
    named.sort(key=lambda row: (-max(row.amount(unit).share, row.intended or 0.0), row.name))
    return [row.name for row in named[:most]]


def fold(rows: Sequence[ShareRow], shown: Iterable[str]) -> tuple[ShareRow, ...]:
    """The rows named in ``shown``, in the order of ``rows``, then one row with the exact sum of all others.

    The remainder has no interval: those of its parts do not add up.
    """
    names = set(shown)
    kept = [row for row in rows if not row.folded and row.name in names]
    others = [row for row in rows if row.folded or row.name not in names]
    if not others:
        return tuple(kept)

    def total(amounts: Iterable[Amount]) -> Amount:
        listed = list(amounts)
        return Amount(sum(a.count for a in listed), sum(a.share for a in listed), None, None)

    remainder = ShareRow(
        "",
        -1 if any(row.folded < 0 for row in others) else sum(row.folded or 1 for row in others),
        sum(row.clusters for row in others),
        total(row.documents for row in others),
        total(row.bytes for row in others),
        total(row.tokens for row in others),
        _sum_known(row.intended for row in others),
        _sum_known(row.difference for row in others),
    )
    return (*kept, remainder)


def _sum_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def length_panel(
    lengths: pa.Table, quantiles: pa.Table, unit: LengthUnit, names: Sequence[str], hidden: int
) -> LengthPanel:
    """Length distributions of all documents and of the named domains, on one logarithmic axis."""
    lengths = lengths.filter(pc.equal(lengths["unit"], unit))
    wanted = pa.array([ALL_DOMAINS, *names], pa.string())
    quantiles = quantiles.filter(pc.and_(pc.equal(quantiles["unit"], unit), pc.is_in(quantiles["domain"], wanted)))
    figures: dict[str, dict[float, dict[str, Any]]] = {}
    for row in quantiles.to_pylist():
        figures.setdefault(row["domain"], {})[round(row["quantile"], 3)] = row
    everything = lengths.group_by(["low", "high"]).aggregate([("documents", "sum")]).sort_by("low")
    histograms = {ALL_DOMAINS: _histogram(everything, "documents_sum")}
    for name in names:
        histograms[name] = _histogram(lengths.filter(pc.equal(lengths["domain"], name)), "documents")
    histograms = {name: histogram for name, histogram in histograms.items() if histogram[2].sum() > 0}
    low, high = _axis(list(histograms.values()))
    rows = []
    for name, histogram in histograms.items():
        own = figures.get(name, {})
        if any(quantile not in own for quantile in QUANTILES):
            raise StoreError(
                f"length_quantiles has no complete row for domain {name!r} in {unit}. Run the audit again."
            )
        rows.append(
            LengthRow(
                "" if name == ALL_DOMAINS else name,
                name == ALL_DOMAINS,
                int(histogram[2].sum()),
                float(own[0.5]["mean"]),
                tuple(float(own[quantile]["value"]) for quantile in QUANTILES),
                int(histogram[1][histogram[2] > 0][-1]) - 1,
                _density(histogram, low, high),
            )
        )
    return LengthPanel(unit, low, high, tuple(rows), hidden)


Histogram = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Bucket starts, bucket ends (exclusive) and documents, each [buckets], ascending."""


def _histogram(table: pa.Table, counts: str) -> Histogram:
    table = table.sort_by("low")
    low = table["low"].to_numpy().astype(np.float64)
    high = table["high"].to_numpy().astype(np.float64) + 1.0
    return low, high, table[counts].to_numpy().astype(np.float64)


def _cumulative(histogram: Histogram) -> tuple[np.ndarray, np.ndarray]:
    """Knots of the distribution function: log10 of length and share of documents, spread evenly inside a bucket.

    An empty document counts as half a unit long: the axis is logarithmic.
    """
    low, high, documents = histogram
    edges = np.log10(np.maximum(np.stack([low, high], axis=1).ravel(), 0.5))
    shares = np.cumsum(documents) / documents.sum()
    before = np.concatenate([[0.0], shares[:-1]])
    return edges, np.stack([before, shares], axis=1).ravel()


def _axis(histograms: Sequence[Histogram]) -> tuple[float, float]:
    """The shortest and longest length that leave at most `TAIL` of every distribution outside, a decade at least."""
    lows, highs = [], []
    for histogram in histograms:
        edges, shares = _cumulative(histogram)
        lows.append(float(edges[np.searchsorted(shares, TAIL, side="right") - 1]))
        highs.append(float(edges[np.searchsorted(shares, 1.0 - TAIL, side="left")]))
    if not lows:
        return 1.0, 10.0
    low, high = min(lows), max(highs)
    missing = max(1.0 - (high - low), 0.0) / 2
    return float(10 ** (low - missing)), float(10 ** (high + missing))


def _density(histogram: Histogram, low: float, high: float) -> tuple[float, ...]:
    edges, shares = _cumulative(histogram)
    shares_at_edges = np.interp(np.linspace(np.log10(low), np.log10(high), BINS + 1), edges, shares)
    density = np.diff(shares_at_edges)
    return tuple(float(value) for value in np.round(density / max(density.max(), 1e-300), 4))


DUPLICATE_FIELDS = (
    "documents",
    "duplicate_documents",
    "across_documents",
    "tokens",
    "duplicate_tokens",
    "across_tokens",
)


def duplicate_rows(table: pa.Table, metrics: pa.Table, facet: str, names: Sequence[str]) -> tuple[DuplicateRow, ...]:
    """All documents first, then the named domains, then the exact sum of the others, which has no intervals."""
    by_domain = {row["domain"]: row for row in table.select(["domain", *DUPLICATE_FIELDS]).to_pylist()}
    wanted = pa.array(["duplicate_share_documents", "duplicate_share_tokens"])
    bounds = {
        (row["metric"], row["slice"]): (row["low"], row["high"])
        for row in metrics.filter(pc.is_in(metrics["metric"], wanted)).to_pylist()
    }
    rows = []
    for name in (ALL_DOMAINS, *names):
        row = by_domain.pop(name, None)
        if row is not None:
            everything = name == ALL_DOMAINS
            part = "all" if everything else f"{facet}={name}"
            low, high = bounds.get(("duplicate_share_documents", part), (None, None))
            tokens_low, tokens_high = bounds.get(("duplicate_share_tokens", part), (None, None))
            counts = (row[field] for field in DUPLICATE_FIELDS)
            counted = DuplicateRow("" if everything else name, 0, everything, *counts)
            rows.append(
                replace(counted, documents_low=low, documents_high=high, tokens_low=tokens_low, tokens_high=tokens_high)
            )
    if by_domain:
        sums = (sum(row[field] for row in by_domain.values()) for field in DUPLICATE_FIELDS)
        rows.append(DuplicateRow("", -1 if OTHER_VALUES in by_domain else len(by_domain), False, *sums))
    return tuple(rows)


def vocabulary_rows(table: pa.Table, names: Sequence[str]) -> tuple[VocabularyRow, ...]:
    """All documents first, then the named domains; types do not add up, so there is no remainder."""
    by_domain = {row["domain"]: row for row in table.to_pylist()}
    fields = ("tokens", "types", "coverage", "effective", "effective_low", "effective_high")
    return tuple(
        VocabularyRow("" if name == ALL_DOMAINS else name, name == ALL_DOMAINS, *(by_domain[name][f] for f in fields))
        for name in (ALL_DOMAINS, *names)
        if name in by_domain
    )


def shard_rows(table: pa.Table, most_errors: int, most: int) -> tuple[ShardRow, ...]:
    """The shards a reader should see first: errors, then those with the most dead letters, those not read last.

    Up to ``most_errors`` shards in error, and others while there are fewer than ``most``.
    """
    urgency = {"error": 0, "read": 1, "cached": 1, "not_sampled": 2}
    order = sorted(
        table.to_pylist(),
        key=lambda row: (
            urgency.get(row["status"], 0),
            -row["dead_letters"],
            row["shard"],
        ),
    )
    errors = sum(1 for row in order if row["status"] == "error")
    return tuple(
        ShardRow(
            row["shard"],
            row["status"],
            row["format"],
            row["bytes"],
            row["splits"],
            row["splits_counted"],
            row["rows"],
            row["documents"],
            row["dead_letters"],
            row["filtered"],
            row["error"] or "",
        )
        for row in order[: max(min(errors, most_errors), most)]
    )
