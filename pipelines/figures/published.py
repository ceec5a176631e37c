"""Computes the published figures, with their uncertainty, from integer tables.

Every function takes Arrow tables in the schemas of `schemas.tables.run_tables` and returns one in the schema and row
order stated there. Floats are computed here, once, on the driver. An undefined figure is null, never NaN. `vocabulary`
and `metrics` are defined in modules of their own and exported here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.figures.facet_totals import (
    FacetTotals,
    SampledSplits,
    nullable,
    sampling_design,
    sort_all_first,
)
from corpus_audit.pipelines.figures.metrics import metrics
from corpus_audit.pipelines.figures.vocabulary_use import vocabulary
from corpus_audit.pipelines.reading.documents.batches import PRIMARY
from corpus_audit.pipelines.statistics.intervals.lengths import histogram_quantiles
from corpus_audit.pipelines.statistics.intervals.proportions import Estimate, share_intervals, total_variation
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.tables import run_tables

__all__ = ["SampledSplits", "length_quantiles", "metrics", "mixture_distance", "proportions", "vocabulary"]

UNITS = ("documents", "bytes", "tokens")
"""Units in which shares are given."""

LENGTH_UNITS = ("characters", "tokens")
PERCENTS = (5, 25, 50, 75, 95, 99)
"""Quantiles of lengths, in per cent."""


def proportions(
    domains: pa.Table,
    cluster_groups: pa.Table | None = None,
    intended: Mapping[str, float] | None = None,
    intended_unit: str = "tokens",
    sampling: SampledSplits | None = None,
) -> pa.Table:
    """Shares of every facet's values in documents, bytes and tokens, with single and simultaneous bounds.

    Clusters are documents, or hash groups of the cluster key where ``cluster_groups`` is given; in a sampled audit
    splits are a further stage. Intended shares are for the primary facet in ``intended_unit``: a value without one was
    intended to be 0, and a value that does not occur gets a row with count 0. A unit that adds up to 0 has no shares
    and no rows.

    Returns:
        A table in the schema PROPORTIONS.

    Raises:
        StoreError: if the tables do not belong to the same run.
    """
    parts = [
        _shares(domains, facet, unit, cluster_groups, intended, intended_unit, sampling)
        for facet in pc.unique(domains["facet"]).to_pylist()
        for unit in UNITS
    ]
    if not any(parts):
        return run_tables.PROPORTIONS.empty_table()
    columns = {
        name: pa.chunked_array([part[name] for part in parts if part], run_tables.PROPORTIONS.field(name).type)
        for name in run_tables.PROPORTIONS.names
    }
    order = [("facet", "ascending"), ("unit", "ascending"), ("count", "descending"), ("value", "ascending")]
    return pa.table(columns, schema=run_tables.PROPORTIONS).sort_by(order).combine_chunks()


def mixture_distance(
    domains: pa.Table,
    intended: Mapping[str, float],
    intended_unit: str = "tokens",
    cluster_groups: pa.Table | None = None,
    sampling: SampledSplits | None = None,
) -> Estimate | None:
    """Total variation distance between the primary facet's shares and the intended ones; None if all are 0."""
    totals = FacetTotals.of(domains, PRIMARY).with_absent(intended)
    if not totals.totals[intended_unit].any():
        return None
    design = sampling_design(totals, PRIMARY, intended_unit, cluster_groups, sampling)
    return total_variation(design, totals.targets(intended))


def _shares(
    domains: pa.Table,
    facet: str,
    unit: str,
    cluster_groups: pa.Table | None,
    intended: Mapping[str, float] | None,
    intended_unit: str,
    sampling: SampledSplits | None,
) -> dict[str, pa.Array]:
    """Columns of PROPORTIONS for one facet and unit; empty if there is nothing to share."""
    totals = FacetTotals.of(domains, facet)
    if facet == PRIMARY and intended:
        totals = totals.with_absent(intended)
    counts = totals.totals[unit]
    if not counts.any():
        return {}
    design = sampling_design(totals, facet, unit, cluster_groups, sampling)
    shares = share_intervals(design)
    size = len(counts)
    target = np.full(size, np.nan)
    if facet == PRIMARY and intended and unit == intended_unit:
        target = totals.targets(intended)
    method = f"Korn-Graubard, {design.label}"
    no_method = f"none: too few clusters, {design.label}"
    return {
        "facet": pa.repeat(facet, size),
        "value": pa.array(totals.names, pa.string()),
        "unit": pa.repeat(unit, size),
        "count": pa.array(counts),
        "total": pa.repeat(pa.scalar(int(counts.sum()), pa.int64()), size),
        "clusters": pa.array(totals.totals["clusters"]),
        "share": pa.array(shares.share),
        "low": nullable(shares.low),
        "high": nullable(shares.high),
        "low_simultaneous": nullable(shares.low_simultaneous),
        "high_simultaneous": nullable(shares.high_simultaneous),
        "method": pc.if_else(pa.array(np.isnan(shares.low)), no_method, method),
        "intended": nullable(target),
        "difference": nullable(shares.share - target),
        "difference_low": nullable(shares.low - target),
        "difference_high": nullable(shares.high - target),
    }


def length_quantiles(lengths: pa.Table, domains: pa.Table) -> pa.Table:
    """Quantiles of lengths by domain and for all, with order-statistic bounds, and exact means.

    Returns:
        A table in the schema LENGTH_QUANTILES.

    Raises:
        StoreError: the histograms and table domains disagree on a number of documents.
    """
    totals = FacetTotals.of(domains, PRIMARY)
    names = [run_tables.ALL_DOMAINS, *totals.names]
    documents = np.concatenate([[totals.totals["documents"].sum()], totals.totals["documents"]]).astype(np.int64)
    kept = documents > 0
    parts = []
    for unit in LENGTH_UNITS:
        rows = lengths.filter(pc.equal(lengths["unit"], unit))
        code = totals.positions(rows["domain"]) + 1
        low, high, counts = (rows[name].to_numpy() for name in ("low", "high", "documents"))
        counted = np.zeros(len(names), dtype=np.int64)
        np.add.at(counted, code, counts)
        if not np.array_equal(counted[1:], documents[1:]):
            raise StoreError(f"table lengths and table domains disagree on the documents of a domain (in {unit})")
        # The histogram of all domains is all rows by length, as domain 0.
        order = np.concatenate([np.argsort(low, kind="stable"), np.lexsort((low, code))])
        code = np.concatenate([np.zeros_like(code), np.sort(code)])
        quantiles = histogram_quantiles(code, low[order], high[order], counts[order], len(names), PERCENTS)
        sums = totals.totals[unit].astype(object)
        with np.errstate(invalid="ignore"):
            mean = np.concatenate([[sums.sum()], sums]).astype(np.float64) / documents
        repeats = int(kept.sum())
        parts.append(
            pa.table(
                {
                    "domain": pa.array(np.repeat(np.array(names, dtype=object)[kept], len(PERCENTS)), pa.string()),
                    "unit": pa.repeat(unit, repeats * len(PERCENTS)),
                    "quantile": pa.array(np.tile(np.array(PERCENTS) / 100, repeats)),
                    "value": pa.array(quantiles.value[kept].ravel()),
                    "low": nullable(quantiles.low[kept].ravel()),
                    "high": nullable(quantiles.high[kept].ravel()),
                    "documents": pa.array(np.repeat(documents[kept], len(PERCENTS))),
                    "mean": pa.array(np.repeat(mean[kept], len(PERCENTS))),
                },
                schema=run_tables.LENGTH_QUANTILES,
            )
        )
    return sort_all_first(pa.concat_tables(parts), [("unit", "ascending"), ("quantile", "ascending")])
