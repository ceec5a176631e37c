"""Drift figures that a policy can judge, in the schema METRICS; the slice names the baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from corpus_audit.pipelines.reading.documents import PRIMARY
from corpus_audit.schemas.tables import ALL_DOMAINS, METRICS

Row = dict[str, Any]


def drift_metrics(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Metrics of the drift tables of one or more baselines; unsorted."""
    rows = [
        *_distances(tables["drift"]),
        *_parts(tables["drift_parts"]),
        *_shares(tables["drift_domains"], tables["drift"]),
        *_lengths(tables["drift_lengths"], tables["drift"]),
        *_turnover(tables["turnover"]),
        *_classifier(tables["drift_classifier"]),
        *_tokens(tables["drift_tokens"]),
    ]
    return pa.Table.from_pylist(rows, schema=METRICS)


def near_duplicate_metrics(table: pa.Table) -> pa.Table:
    """Metrics of table NEAR_DUPLICATES; unsorted."""
    rows = []
    for row in table.to_pylist():
        metric = f"near_duplicate_rate_{row['scope']}"
        slice_ = _slice(row["baseline"], row["domain"]) if row["baseline"] else _domain(row["domain"])
        rows.append(_row(metric, slice_, row["rate"], row["documents"], row["low"], row["high"], "share"))
    return pa.Table.from_pylist(rows, schema=METRICS)


def _row(
    metric: str, slice_: str, value: float | None, n: int, low: float | None, high: float | None, unit: str
) -> Row:
    return {"metric": metric, "slice": slice_, "value": value, "n": n, "low": low, "high": high, "unit": unit}


def _domain(domain: str) -> str:
    return "all" if domain == ALL_DOMAINS else f"{PRIMARY}={domain}"


def _slice(baseline: str, domain: str) -> str:
    """``baseline=<label>`` and, of a domain, ``,domain=<value>``."""
    return f"baseline={baseline}" + ("" if domain == ALL_DOMAINS else f",{_domain(domain)}")


def _distances(drift: pa.Table) -> Iterator[Row]:
    for row in drift.to_pylist():
        slice_ = _slice(row["baseline"], row["domain"])
        n = min(row["documents_baseline"], row["documents_current"])
        name, unit = f"drift_{row['statistic']}", row["unit"]
        # A plug-in distance is biased upwards: it has no bounds and is not to be judged; its excess is.
        yield _row(name, slice_, row["value"], n, None, None, unit)
        if row["statistic"] == "jsd":
            yield _row("drift_jsd_excess", slice_, row["excess"], n, row["low"], row["high"], unit)
            yield _row("drift_p", slice_, row["p"], n, row["p"], row["p"], "probability")


def _parts(parts: pa.Table) -> Iterator[Row]:
    for row in parts.to_pylist():
        if row["domain"] == ALL_DOMAINS and row["part"] != "total":
            slice_ = _slice(row["baseline"], ALL_DOMAINS)
            yield _row(f"drift_{row['part']}_attribution", slice_, row["attribution"], 0, None, None, "share")
            yield _row(f"drift_{row['part']}_tvd", slice_, row["tvd"], 0, None, None, "share")


def _sizes(drift: pa.Table) -> dict[tuple[str, str], int]:
    """(baseline, domain) -> documents of the smaller side."""
    rows = drift.select(["baseline", "domain", "documents_baseline", "documents_current"]).to_pylist()
    return {(row["baseline"], row["domain"]): min(row["documents_baseline"], row["documents_current"]) for row in rows}


def _shares(domains: pa.Table, drift: pa.Table) -> Iterator[Row]:
    sizes = _sizes(drift)
    for row in domains.to_pylist():
        n = sizes.get((row["baseline"], ALL_DOMAINS), 0)
        slice_ = _slice(row["baseline"], row["domain"])
        yield _row(f"domain_share_change_{row['unit']}", slice_, row["difference"], n, row["low"], row["high"], "share")


def _lengths(lengths: pa.Table, drift: pa.Table) -> Iterator[Row]:
    sizes = _sizes(drift)
    for row in lengths.to_pylist():
        n = sizes.get((row["baseline"], row["domain"]), 0)
        metric = f"length_change_{row['statistic']}_{row['unit']}"
        unit = "share" if row["statistic"] == "ks" else "log2"
        yield _row(metric, _slice(row["baseline"], row["domain"]), row["change"], n, row["low"], row["high"], unit)


def _turnover(turnover: pa.Table) -> Iterator[Row]:
    """Exact: the bounds are the value."""
    for row in turnover.to_pylist():
        slice_ = _slice(row["baseline"], row["domain"])
        before, now = row["kept"] + row["removed"], row["kept"] + row["added"]
        for metric, part, whole in (
            ("kept_share", row["kept"], before),
            ("removed_share", row["removed"], before),
            ("added_share", row["added"], now),
        ):
            share = part / whole if whole else None
            yield _row(metric, slice_, share, whole, share, share, "share")


def _classifier(classifier: pa.Table) -> Iterator[Row]:
    for row in classifier.to_pylist():
        n = min(row["documents_baseline"], row["documents_current"])
        slice_ = _slice(row["baseline"], row["domain"])
        yield _row("drift_classifier_auc", slice_, row["auc"], n, row["low"], row["high"], "probability")


def _tokens(tokens: pa.Table) -> Iterator[Row]:
    """Tokens of the corpus that moved, by kind."""
    columns = tokens.select(["baseline", "domain", "kind"])
    counts = columns.group_by(["baseline", "domain", "kind"], use_threads=False).aggregate([([], "count_all")])
    tested: dict[str, int] = {}
    found = [row for row in counts.to_pylist() if row["domain"] == ALL_DOMAINS]
    for row in found:
        tested[row["baseline"]] = tested.get(row["baseline"], 0) + row["count_all"]
    for row in found:
        if row["kind"] in ("riser", "faller"):
            n = row["count_all"]
            slice_ = _slice(row["baseline"], ALL_DOMAINS)
            yield _row(f"drift_tokens_{row['kind']}", slice_, n, tested[row["baseline"]], n, n, "token ids")
