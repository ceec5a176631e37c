"""The metrics table: every figure that a policy can judge, in one shape with its denominator and bounds.

Bounds are at 95 %. A figure that is a fact about the data that was read (totals, coverage, dead letters of a full scan)
is its own bounds. A figure that the data cannot bound has null bounds, and one without a denominator has a null value
and the reason.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.figures.facet_totals import FacetTotals
from corpus_audit.pipelines.figures.metric_rows import (
    ALL,
    column_sum,
    domain_slices,
    exact_rows,
    metric_rows,
    ratio,
    rows_from_columns,
)
from corpus_audit.pipelines.reading.documents.batches import PRIMARY
from corpus_audit.pipelines.statistics.intervals.clustered import Integers
from corpus_audit.pipelines.statistics.intervals.duplicates import duplicate_share
from corpus_audit.pipelines.statistics.intervals.lengths import mean_interval
from corpus_audit.pipelines.statistics.intervals.proportions import Estimate, ratio_interval
from corpus_audit.schemas.run.snapshot import ShardStatus
from corpus_audit.schemas.tables import run_tables
from corpus_audit.schemas.tables.metric_declarations import MetricDeclaration, Slices

_TOTALS = ("documents", "bytes", "characters", "words", "tokens")
_UNITS = ("documents", "bytes", "tokens")
_QUANTILES = ("p05", "p25", "p50", "p75", "p95", "p99")


def _share(
    name: str, meaning: str, slices: Slices, bounds: Literal["fact", "interval"] = "interval"
) -> MetricDeclaration:
    return MetricDeclaration(name, meaning, "share", slices, bounds)


DECLARATIONS = (
    _share("coverage_shards", "share of the shards that were read", ALL, "fact"),
    _share("coverage_splits", "share of the splits that were read", ALL, "fact"),
    _share("coverage_rows", "share of the rows whose outcome is known", ALL, "fact"),
    *(MetricDeclaration(unit, f"{unit} that were counted", unit, ALL, "fact") for unit in _TOTALS),
    MetricDeclaration(
        "verified_documents", "documents whose token ids the reference tokenizer confirmed", "documents", ALL, "fact"
    ),
    _share("dead_letter_share", "share of the rows that could not be counted", "reasons", "fact"),
    _share("filtered_share", "share of the rows that a filter dropped", "reasons", "fact"),
    *(_share(f"domain_share_{unit}", f"share of the {unit}", "facets") for unit in _UNITS),
    *(
        _share(f"domain_share_difference_{unit}", f"share of the {unit} minus the intended share", "facets")
        for unit in _UNITS
    ),
    *(
        _share(f"mixture_tvd_{unit}", f"total variation distance from the intended mixture, in {unit}", ALL)
        for unit in _UNITS
    ),
    *(
        MetricDeclaration(
            f"length_{quantile}_{unit}",
            f"length that {int(quantile[1:])} % of the documents do not exceed",
            unit,
            "domains",
            "interval",
        )
        for quantile in _QUANTILES
        for unit in ("characters", "tokens")
    ),
    MetricDeclaration("length_mean_tokens", "mean length of a document", "tokens", "domains", "interval"),
    _share("duplicate_share_documents", "documents that repeat a text of their domain", "domains"),
    _share("duplicate_share_tokens", "tokens that repeat a text of their domain", "domains"),
    _share("across_share_documents", "documents whose text is in another domain too", "domains", "fact"),
    _share("across_share_tokens", "tokens whose text is in another domain too", "domains", "fact"),
    _share("vocabulary_coverage", "share of the vocabulary's token ids that occur", "domains", "fact"),
    MetricDeclaration(
        "effective_vocabulary",
        "two to the power of the entropy (bits) of the token distribution",
        "token ids",
        "domains",
        "interval",
    ),
)
"""Every metric of this module."""


def metrics(
    *,
    domains: pa.Table,
    proportions: pa.Table,
    length_quantiles: pa.Table,
    duplicates: pa.Table,
    vocabulary: pa.Table,
    vocabulary_size: int,
    shards: pa.Table,
    outcomes: pa.Table,
    verified_documents: int,
    mixture: Estimate | None = None,
    mixture_unit: str = "tokens",
) -> pa.Table:
    """Build the metrics table of a run.

    Slices are ``all``, ``<facet>=<value>`` (``domain=web``) or, for rows that were not counted, ``reason=<reason>``.

    `DECLARATIONS` explains each figure. Its ``n`` is the denominator of a share or mean (rows, documents, tokens, the
    total in the unit of a share, the vocabulary's size); for totals it is the number of documents.

    Args:
        domains: in the schema DOMAINS, and so on for the other tables.
        proportions: made with the intended mixture, if there is one.
        length_quantiles: of the primary facet.
        duplicates: of the primary facet.
        vocabulary: of the primary facet.
        vocabulary_size: token ids of the tokenizer.
        shards: one row a shard of the snapshot.
        outcomes: rows by outcome and reason.
        verified_documents: documents that were verified, in all partials.
        mixture: distance from the intended mixture, from `published.mixture_distance`; NaN where there is none.
        mixture_unit: its unit.

    Returns:
        A table in the schema METRICS.
    """
    totals = FacetTotals.of(domains, PRIMARY)
    sampled = column_sum(shards, "splits_counted") < column_sum(shards, "splits")
    rows = [
        *_coverage(shards),
        *_totals(totals, verified_documents),
        *_outcomes(shards, outcomes, sampled),
        *_shares(proportions),
        *_lengths(length_quantiles, totals),
        *_duplicates(duplicates, totals, sampled),
        *_vocabulary(vocabulary, vocabulary_size, sampled),
    ]
    if mixture is not None:
        size = int(totals.totals[mixture_unit].sum())
        name, none = f"mixture_tvd_{mixture_unit}", f"there are no {mixture_unit} to have shares of"
        rows.append(metric_rows(name, [ALL], [mixture.value], [size], [mixture.low], [mixture.high], "share", none))
    return pa.concat_tables(rows).sort_by([("metric", "ascending"), ("slice", "ascending")]).combine_chunks()


def _coverage(shards: pa.Table) -> list[pa.Table]:
    read = pc.is_in(shards["status"], value_set=pa.array([ShardStatus.READ.value, ShardStatus.CACHED.value]))
    accounted = column_sum(shards, "documents") + column_sum(shards, "dead_letters") + column_sum(shards, "filtered")
    parts = {
        "shards": (int(pc.sum(read).as_py() or 0), shards.num_rows),
        "splits": (column_sum(shards, "splits_counted"), column_sum(shards, "splits")),
        "rows": (accounted, column_sum(shards, "rows")),
    }
    return [
        exact_rows(f"coverage_{name}", [ALL], ratio([part], [total]), [total], "share")
        for name, (part, total) in parts.items()
    ]


def _totals(totals: FacetTotals, verified_documents: int) -> list[pa.Table]:
    documents = int(totals.totals["documents"].sum())
    rows = [exact_rows(unit, [ALL], [totals.totals[unit].sum()], [documents], unit) for unit in _TOTALS]
    return [*rows, exact_rows("verified_documents", [ALL], [verified_documents], [documents], "documents")]


def _outcomes(shards: pa.Table, outcomes: pa.Table, sampled: bool) -> list[pa.Table]:
    """Shares of rows that were not counted: facts of a full scan, estimates over shards in a sampled audit."""
    read = shards["rows"].to_numpy()
    total = int(read.sum())
    tables = []
    for metric, column, outcome in (
        ("dead_letter_share", "dead_letters", "dead_letter"),
        ("filtered_share", "filtered", "filtered"),
    ):
        share = ratio([column_sum(shards, column)], [total])
        low = high = share
        if sampled and total:
            estimate = ratio_interval(shards[column].to_numpy(), read)
            low, high = np.array([estimate.low]), np.array([estimate.high])
        tables.append(metric_rows(metric, [ALL], share, [total], low, high, "share"))
        reasons = outcomes.filter(pc.equal(outcomes["outcome"], outcome))
        size = np.full(reasons.num_rows, total)
        shares = ratio(reasons["rows"].to_numpy(), size)
        bounds = np.full(reasons.num_rows, np.nan) if sampled else shares
        slices = pc.binary_join_element_wise("reason=", reasons["reason"], "")
        tables.append(metric_rows(metric, slices, shares, size, bounds, bounds, "share"))
    return tables


def _shares(proportions: pa.Table) -> list[pa.Table]:
    tables = []
    for unit in pc.unique(proportions["unit"]).to_pylist():
        rows = proportions.filter(pc.equal(proportions["unit"], unit))
        slices = pc.binary_join_element_wise(rows["facet"], rows["value"], "=")
        tables.append(
            rows_from_columns(f"domain_share_{unit}", slices, rows, ("share", "total", "low", "high"), "share")
        )
        judged = pc.is_valid(rows["difference"])
        columns = ("difference", "total", "difference_low", "difference_high")
        name = f"domain_share_difference_{unit}"
        tables.append(rows_from_columns(name, slices.filter(judged), rows.filter(judged), columns, "share"))
    return tables


def _lengths(length_quantiles: pa.Table, totals: FacetTotals) -> list[pa.Table]:
    keys = length_quantiles.group_by(["unit", "quantile"], use_threads=False).aggregate([])
    tables = []
    for unit, quantile in zip(keys["unit"].to_pylist(), keys["quantile"].to_pylist(), strict=True):
        selected = pc.and_(pc.equal(length_quantiles["unit"], unit), pc.equal(length_quantiles["quantile"], quantile))
        rows = length_quantiles.filter(selected)
        name = f"length_p{round(100 * quantile):02d}_{unit}"
        columns = ("value", "documents", "low", "high")
        tables.append(rows_from_columns(name, domain_slices(rows["domain"]), rows, columns, unit))
    documents = _with_sum(totals.totals["documents"])
    mean, low, high = mean_interval(_with_sum(totals.totals["tokens"]), _with_sum(totals.squares["tokens"]), documents)
    names = pa.chunked_array([[run_tables.ALL_DOMAINS, *totals.names]], pa.string())
    return [*tables, metric_rows("length_mean_tokens", domain_slices(names), mean, documents, low, high, "tokens")]


def _with_sum(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The column after its sum: the row of all domains comes first."""
    return np.concatenate([np.array([column.sum()], dtype=column.dtype), column])


def _duplicates(duplicates: pa.Table, totals: FacetTotals, sampled: bool) -> list[pa.Table]:
    slices = domain_slices(duplicates["domain"])
    names = pa.array([run_tables.ALL_DOMAINS, *totals.names], pa.string())
    index = pc.fill_null(pc.index_in(duplicates["domain"], value_set=names), -1).to_numpy()
    tables = []
    for unit in ("documents", "tokens"):
        total: Integers = duplicates[unit].to_numpy()
        squares = total.astype(np.float64)
        if unit == "tokens":
            by_domain = np.append(_with_sum(totals.squares["tokens"]).astype(np.float64), np.nan)
            squares = by_domain[index]
        share, low, high = duplicate_share(duplicates[f"duplicate_{unit}"].to_numpy(), total, squares)
        none = f"there are no {unit} here"
        across = ratio(duplicates[f"across_{unit}"].to_numpy(), total)
        unknown = np.full(len(total), np.nan)
        if sampled:
            low = high = unknown
        bounds = unknown if sampled else across
        tables.append(metric_rows(f"duplicate_share_{unit}", slices, share, total, low, high, "share", none))
        tables.append(metric_rows(f"across_share_{unit}", slices, across, total, bounds, bounds, "share", none))
    return tables


def _vocabulary(vocabulary: pa.Table, vocabulary_size: int, sampled: bool) -> list[pa.Table]:
    slices = domain_slices(vocabulary["domain"])
    coverage = vocabulary["coverage"].to_numpy()
    highest = np.full(len(coverage), np.nan) if sampled else coverage
    size = np.full(vocabulary.num_rows, vocabulary_size)
    columns = ("effective", "tokens", "effective_low", "effective_high")
    return [
        metric_rows("vocabulary_coverage", slices, coverage, size, coverage, highest, "share"),
        rows_from_columns("effective_vocabulary", slices, vocabulary, columns, "token ids", "there are no tokens here"),
    ]
