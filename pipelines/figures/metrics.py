"""The metrics table: every figure that a policy can judge, in one shape with its denominator and bounds.

Bounds are at 95 %. A figure that is a plain fact of what was read (totals, coverage, dead letters of a full scan) has
itself as bounds. A figure that the data cannot bound has null bounds, and one without a denominator has a null value
and the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.figures.facet_totals import FacetTotals, nullable
from corpus_audit.pipelines.reading.documents.batches import PRIMARY
from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers
from corpus_audit.pipelines.statistics.intervals.duplicates import duplicate_share
from corpus_audit.pipelines.statistics.intervals.lengths import mean_interval
from corpus_audit.pipelines.statistics.intervals.proportions import Estimate, ratio_interval
from corpus_audit.schemas.run.snapshot import ShardStatus
from corpus_audit.schemas.tables import run_tables
from corpus_audit.schemas.tables.metric_declarations import MetricDeclaration, Slices

ALL: Literal["all"] = "all"
"""The slice of figures about the whole corpus."""

_TOTALS = ("documents", "bytes", "characters", "words", "tokens")
_UNITS = ("documents", "bytes", "tokens")
_QUANTILES = ("p05", "p25", "p50", "p75", "p95", "p99")


def _share(
    name: str, meaning: str, slices: Slices, bounds: Literal["fact", "interval"] = "interval"
) -> MetricDeclaration:
    return MetricDeclaration(name, meaning, "share", slices, bounds, "fact")


DECLARATIONS = (
    _share("coverage_shards", "shards that were read, of all", ALL, "fact"),
    _share("coverage_splits", "splits that were read, of all", ALL, "fact"),
    _share("coverage_rows", "rows whose outcome is known, of all", ALL, "fact"),
    *(MetricDeclaration(unit, f"{unit} that were counted", unit, ALL, "fact", "fact") for unit in _TOTALS),
    MetricDeclaration(
        "verified_documents",
        "documents whose token ids the reference tokenizer confirmed",
        "documents",
        ALL,
        "fact",
        "fact",
    ),
    _share("dead_letter_share", "rows that could not be used, of all", "reasons", "fact"),
    _share("filtered_share", "rows that a filter dropped, of all", "reasons", "fact"),
    *(_share(f"domain_share_{unit}", f"share of the {unit}", "facets") for unit in _UNITS),
    *(
        _share(f"domain_share_difference_{unit}", f"share of the {unit} less the intended one", "facets")
        for unit in _UNITS
    ),
    *(_share(f"mixture_tvd_{unit}", f"distance of the mix from the intended one, in {unit}", ALL) for unit in _UNITS),
    *(
        MetricDeclaration(
            f"length_{quantile}_{unit}",
            f"length that {int(quantile[1:])} % of the documents do not exceed",
            unit,
            "domains",
            "interval",
            "fact",
        )
        for quantile in _QUANTILES
        for unit in ("characters", "tokens")
    ),
    MetricDeclaration("length_mean_tokens", "mean length of a document", "tokens", "domains", "interval", "fact"),
    _share("duplicate_share_documents", "documents that repeat a text of their domain", "domains"),
    _share("duplicate_share_tokens", "tokens that repeat a text of their domain", "domains"),
    _share("across_share_documents", "documents whose text is in another domain too", "domains", "fact"),
    _share("across_share_tokens", "tokens whose text is in another domain too", "domains", "fact"),
    _share("vocabulary_coverage", "token ids that occur, of the vocabulary", "domains", "fact"),
    MetricDeclaration(
        "effective_vocabulary",
        "two to the entropy of the token distribution",
        "token ids",
        "domains",
        "interval",
        "fact",
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
    """Every figure of a run.

    Slices are ``all``, ``<facet>=<value>`` (``domain=web``) or, for rows that were not counted, ``reason=<reason>``.

    What each figure is stands in `DECLARATIONS`. Its ``n`` is what it is a share of or a mean over: rows, documents,
    tokens, the total in the unit of a share, the vocabulary's size; of totals, the number of documents.

    Args:
        domains: in the schema DOMAINS, and so on for the other tables.
        proportions: made with the intended mixture, if there is one.
        length_quantiles: of the primary facet.
        duplicates: of the primary facet.
        vocabulary: of the primary facet.
        vocabulary_size: token ids of the tokenizer.
        shards: one row a shard of the snapshot.
        outcomes: what became of every row, by reason.
        verified_documents: documents that were verified, in all partials.
        mixture: distance from the intended mixture, from `derived.mixture_distance`; NaN where there is none.
        mixture_unit: its unit.

    Returns:
        A table in the schema METRICS.
    """
    totals = FacetTotals.of(domains, PRIMARY)
    sampled = _sum(shards, "splits_counted") < _sum(shards, "splits")
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
        rows.append(_rows(name, [ALL], [mixture.value], [size], [mixture.low], [mixture.high], "share", none))
    return pa.concat_tables(rows).sort_by([("metric", "ascending"), ("slice", "ascending")]).combine_chunks()


def _rows(
    metric: str,
    slices: Any,
    value: npt.ArrayLike | pa.ChunkedArray,
    n: npt.ArrayLike | pa.ChunkedArray,
    low: npt.ArrayLike | pa.ChunkedArray,
    high: npt.ArrayLike | pa.ChunkedArray,
    unit: str,
    absent: str = "there is nothing to divide by",
) -> pa.Table:
    """Rows of one metric; NaN becomes null, and ``absent`` says why."""
    size = len(slices)
    names = slices if isinstance(slices, pa.Array | pa.ChunkedArray) else pa.array(slices, pa.string())
    values = nullable(value)
    return pa.table(
        {
            "metric": pa.repeat(metric, size),
            "slice": names,
            "value": values,
            "n": pa.array(np.asarray(n, dtype=np.int64)),
            "low": nullable(low),
            "high": nullable(high),
            "unit": pa.repeat(unit, size),
            "reason": pc.if_else(pc.is_null(values), pa.scalar(absent), pa.scalar(None, pa.string())),
        },
        schema=run_tables.METRICS,
    )


def _from_columns(
    metric: str,
    slices: pa.ChunkedArray,
    table: pa.Table,
    columns: tuple[str, str, str, str],
    unit: str,
    absent: str = "there is nothing to divide by",
) -> pa.Table:
    """Rows of one metric from a table's columns: value, n, low, high."""
    value, n, low, high = (table[name] for name in columns)
    return _rows(metric, slices, value, n, low, high, unit, absent)


def _exact(metric: str, slices: Sequence[str], value: npt.ArrayLike, n: npt.ArrayLike, unit: str) -> pa.Table:
    """Facts of what was read: the bounds are the value."""
    return _rows(metric, slices, value, n, value, value, unit)


def _ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> Floats:
    """part / whole, NaN where there is no whole."""
    below = np.asarray(whole, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, np.asarray(part, dtype=np.float64) / below, np.nan)


def _sum(table: pa.Table, column: str) -> int:
    return int(pc.sum(table[column]).as_py() or 0)


def _slices(domain: pa.ChunkedArray) -> pa.ChunkedArray:
    """``domain=<value>``, and ``all`` for (all)."""
    named = pc.binary_join_element_wise(f"{PRIMARY}=", domain, "")
    return pc.if_else(pc.equal(domain, run_tables.ALL_DOMAINS), ALL, named)


def _coverage(shards: pa.Table) -> list[pa.Table]:
    read = pc.is_in(shards["status"], value_set=pa.array([ShardStatus.READ.value, ShardStatus.CACHED.value]))
    accounted = _sum(shards, "documents") + _sum(shards, "dead_letters") + _sum(shards, "filtered")
    parts = {
        "shards": (int(pc.sum(read).as_py() or 0), shards.num_rows),
        "splits": (_sum(shards, "splits_counted"), _sum(shards, "splits")),
        "rows": (accounted, _sum(shards, "rows")),
    }
    return [
        _exact(f"coverage_{name}", [ALL], _ratio([part], [whole]), [whole], "share")
        for name, (part, whole) in parts.items()
    ]


def _totals(totals: FacetTotals, verified_documents: int) -> list[pa.Table]:
    documents = int(totals.totals["documents"].sum())
    found = [_exact(unit, [ALL], [totals.totals[unit].sum()], [documents], unit) for unit in _TOTALS]
    return [*found, _exact("verified_documents", [ALL], [verified_documents], [documents], "documents")]


def _outcomes(shards: pa.Table, outcomes: pa.Table, sampled: bool) -> list[pa.Table]:
    """Shares of rows that were not counted: facts of a full scan, estimates over shards in a sampled audit."""
    read = shards["rows"].to_numpy()
    total = int(read.sum())
    found = []
    for metric, column, outcome in (
        ("dead_letter_share", "dead_letters", "dead_letter"),
        ("filtered_share", "filtered", "filtered"),
    ):
        share = _ratio([_sum(shards, column)], [total])
        low = high = share
        if sampled and total:
            estimate = ratio_interval(shards[column].to_numpy(), read)
            low, high = np.array([estimate.low]), np.array([estimate.high])
        found.append(_rows(metric, [ALL], share, [total], low, high, "share"))
        reasons = outcomes.filter(pc.equal(outcomes["outcome"], outcome))
        size = np.full(reasons.num_rows, total)
        shares = _ratio(reasons["rows"].to_numpy(), size)
        bounds = np.full(reasons.num_rows, np.nan) if sampled else shares
        slices = pc.binary_join_element_wise("reason=", reasons["reason"], "")
        found.append(_rows(metric, slices, shares, size, bounds, bounds, "share"))
    return found


def _shares(proportions: pa.Table) -> list[pa.Table]:
    found = []
    for unit in pc.unique(proportions["unit"]).to_pylist():
        rows = proportions.filter(pc.equal(proportions["unit"], unit))
        slices = pc.binary_join_element_wise(rows["facet"], rows["value"], "=")
        found.append(_from_columns(f"domain_share_{unit}", slices, rows, ("share", "total", "low", "high"), "share"))
        judged = pc.is_valid(rows["difference"])
        columns = ("difference", "total", "difference_low", "difference_high")
        name = f"domain_share_difference_{unit}"
        found.append(_from_columns(name, slices.filter(judged), rows.filter(judged), columns, "share"))
    return found


def _lengths(length_quantiles: pa.Table, totals: FacetTotals) -> list[pa.Table]:
    keys = length_quantiles.group_by(["unit", "quantile"], use_threads=False).aggregate([])
    found = []
    for unit, quantile in zip(keys["unit"].to_pylist(), keys["quantile"].to_pylist(), strict=True):
        chosen = pc.and_(pc.equal(length_quantiles["unit"], unit), pc.equal(length_quantiles["quantile"], quantile))
        rows = length_quantiles.filter(chosen)
        name = f"length_p{round(100 * quantile):02d}_{unit}"
        columns = ("value", "documents", "low", "high")
        found.append(_from_columns(name, _slices(rows["domain"]), rows, columns, unit))
    documents = _with_sum(totals.totals["documents"])
    mean, low, high = mean_interval(_with_sum(totals.totals["tokens"]), _with_sum(totals.squares["tokens"]), documents)
    names = pa.chunked_array([[run_tables.ALL_DOMAINS, *totals.names]], pa.string())
    return [*found, _rows("length_mean_tokens", _slices(names), mean, documents, low, high, "tokens")]


def _with_sum(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The column after its sum: the row of all domains comes first."""
    return np.concatenate([np.array([column.sum()], dtype=column.dtype), column])


def _duplicates(duplicates: pa.Table, totals: FacetTotals, sampled: bool) -> list[pa.Table]:
    slices = _slices(duplicates["domain"])
    names = pa.array([run_tables.ALL_DOMAINS, *totals.names], pa.string())
    place = pc.fill_null(pc.index_in(duplicates["domain"], value_set=names), -1).to_numpy()
    found = []
    for unit in ("documents", "tokens"):
        total: Integers = duplicates[unit].to_numpy()
        squares = total.astype(np.float64)
        if unit == "tokens":
            by_domain = np.append(_with_sum(totals.squares["tokens"]).astype(np.float64), np.nan)
            squares = by_domain[place]
        share, low, high = duplicate_share(duplicates[f"duplicate_{unit}"].to_numpy(), total, squares)
        none = f"there are no {unit} here"
        across = _ratio(duplicates[f"across_{unit}"].to_numpy(), total)
        unknown = np.full(len(total), np.nan)
        if sampled:
            low = high = unknown
        bounds = unknown if sampled else across
        found.append(_rows(f"duplicate_share_{unit}", slices, share, total, low, high, "share", none))
        found.append(_rows(f"across_share_{unit}", slices, across, total, bounds, bounds, "share", none))
    return found


def _vocabulary(vocabulary: pa.Table, vocabulary_size: int, sampled: bool) -> list[pa.Table]:
    slices = _slices(vocabulary["domain"])
    coverage = vocabulary["coverage"].to_numpy()
    highest = np.full(len(coverage), np.nan) if sampled else coverage
    size = np.full(vocabulary.num_rows, vocabulary_size)
    columns = ("effective", "tokens", "effective_low", "effective_high")
    return [
        _rows("vocabulary_coverage", slices, coverage, size, coverage, highest, "share"),
        _from_columns("effective_vocabulary", slices, vocabulary, columns, "token ids", "there are no tokens here"),
    ]
