"""Drift figures that a policy can judge, in the schema METRICS; the slice names the baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.reading.documents.batches import PRIMARY
from corpus_audit.schemas.tables.drift_tables import NOTHING_CHANGED
from corpus_audit.schemas.tables.metric_declarations import MetricDeclaration
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS, METRICS, SAME_DOCUMENTS, UNKNOWN

Row = dict[str, Any]

_BOTH: Literal["baselines and domains"] = "baselines and domains"
_QUANTILES = ("p05", "p25", "p50", "p75", "p95", "p99")
_DISTANCES = {"jsd": "bits", "jsd_root": "1", "tvd": "1", "hellinger": "1", "psi": "nats", "kl": "bits"}
_PARTS = {
    "mixture": "the mix of domains",
    "content": "the text within domains",
    "edits": "edits of documents that both have",
    "added": "documents that were added",
    "removed": "documents that were removed",
}

DECLARATIONS = (
    *(
        MetricDeclaration(
            f"drift_{name}",
            f"{name.replace('_', ' ')} of the token distributions, biased upwards: better judge drift_jsd_excess",
            unit,
            _BOTH,
            "none",
            "drift",
        )
        for name, unit in _DISTANCES.items()
    ),
    MetricDeclaration(
        "drift_jsd_excess", "Jensen-Shannon divergence beyond what chance gives", "bits", _BOTH, "interval", "drift"
    ),
    MetricDeclaration(
        "drift_p", "p of the permutation test that nothing drifted", "probability", _BOTH, "fact", "drift"
    ),
    MetricDeclaration(
        "drift_lenses_shown",
        "drift tests that show more than chance",
        "tests",
        "baselines",
        "fact",
        "fact",
    ),
    MetricDeclaration(
        "drift_conclusion_p",
        "family-wise p of all drift tests: at most 0.05 if one of them shows drift",
        "probability",
        "baselines",
        "fact",
        "drift",
    ),
    *(
        MetricDeclaration(f"drift_{part}_{figure}", f"{of} that is {what}", "share", "baselines", "none", "fact")
        for part, what in _PARTS.items()
        for figure, of in (("attribution", "part of the change"), ("tvd", "change of token shares"))
    ),
    *(
        MetricDeclaration(
            f"domain_share_change_{unit}",
            f"share of the {unit} less that in the baseline",
            "share",
            _BOTH,
            "interval",
            "fact",
        )
        for unit in ("documents", "tokens")
    ),
    *(
        MetricDeclaration(
            f"length_change_ks_{unit}",
            f"distance of the length distributions, {unit}",
            "share",
            _BOTH,
            "interval",
            "fact",
        )
        for unit in ("characters", "tokens")
    ),
    *(
        MetricDeclaration(
            f"length_change_{statistic}_{unit}",
            f"change of the {statistic} length, {unit}",
            "log2",
            _BOTH,
            "interval",
            "fact",
        )
        for statistic in ("mean", *_QUANTILES)
        for unit in ("characters", "tokens")
    ),
    MetricDeclaration(
        "kept_share", "documents of the baseline that are still there, unchanged", "share", _BOTH, "fact", "fact"
    ),
    MetricDeclaration(
        "edited_share", "documents of the baseline with another text now", "share", _BOTH, "fact", "fact"
    ),
    MetricDeclaration("renamed_share", "documents of the baseline with another id now", "share", _BOTH, "fact", "fact"),
    MetricDeclaration("removed_share", "documents of the baseline that are gone", "share", _BOTH, "fact", "fact"),
    MetricDeclaration("replaced_share", "documents gone whose id has another text now", "share", _BOTH, "fact", "fact"),
    MetricDeclaration("added_share", "documents that the baseline does not have", "share", _BOTH, "fact", "fact"),
    MetricDeclaration(
        "drift_classifier_auc",
        "how well a classifier tells the snapshots apart",
        "probability",
        _BOTH,
        "interval",
        "drift",
    ),
    MetricDeclaration(
        "drift_tokens_riser", "tokens whose share rose with certainty", "token ids", "baselines", "fact", "drift"
    ),
    MetricDeclaration(
        "drift_tokens_faller", "tokens whose share fell with certainty", "token ids", "baselines", "fact", "drift"
    ),
    MetricDeclaration(
        "near_duplicate_rate_within",
        "documents whose text or caption has a near copy in their domain",
        "share",
        "domains",
        "interval",
        "estimate",
    ),
    MetricDeclaration(
        "near_duplicate_rate_across",
        "documents whose text or caption has a near copy in another domain",
        "share",
        "domains",
        "interval",
        "estimate",
    ),
    MetricDeclaration(
        "near_duplicate_rate_baseline",
        "documents whose text or caption has a near copy in the baseline",
        "share",
        _BOTH,
        "interval",
        "estimate",
    ),
)
"""Every metric of this module."""


def drift_metrics(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Metrics of the drift tables of one or more baselines; unsorted."""
    rows = [
        *_distances(tables["drift"]),
        *_conclusions(tables["drift_conclusion"], tables["drift"]),
        *_parts(tables["drift_parts"], tables["drift"]),
        *_shares(tables["drift_domains"], tables["drift"]),
        *_lengths(tables["drift_lengths"], tables["drift"]),
        *_turnover(tables["turnover"]),
        *_classifier(tables["drift_classifier"]),
        *_tokens(tables["drift_tokens"], tables["drift"]),
    ]
    return pa.Table.from_pylist(list(_marked(rows, tables["turnover"])), schema=METRICS)


def _marked(rows: Iterable[Row], turnover: pa.Table) -> Iterator[Row]:
    """The rows, with `SAME_DOCUMENTS` as the reason of figures that nothing is unknown of: no document came or went.

    The share of a domain depends on the documents of all others too.
    """
    changed = [row for row in turnover.to_pylist() if row["added"] or row["removed"] or row["edited"]]
    moved = {row["baseline"] for row in changed}
    slices = {_slice(row["baseline"], row["domain"]) for row in changed}
    of = {_slice(row["baseline"], row["domain"]): row["baseline"] for row in turnover.to_pylist()}
    for row in rows:
        same = row["slice"] in of and row["slice"] not in slices
        if row["metric"].startswith("domain_share_change_"):
            same = row["slice"] in of and of[row["slice"]] not in moved
        if not same or row["value"] is None:
            yield row
            continue
        ends = {end: row["value"] if row[end] is None else row[end] for end in ("low", "high")}
        yield row | ends | {"reason": SAME_DOCUMENTS}


def near_duplicate_metrics(table: pa.Table) -> pa.Table:
    """Metrics of table NEAR_DUPLICATES; unsorted."""
    rows = []
    for row in table.to_pylist():
        metric = f"near_duplicate_rate_{row['scope']}"
        slice_ = _slice(row["baseline"], row["domain"]) if row["baseline"] else _domain(row["domain"])
        rows.append(
            _row(metric, slice_, row["rate"], row["documents"], row["low"], row["high"], "share", row["reason"])
        )
    return pa.Table.from_pylist(rows, schema=METRICS)


def _row(
    metric: str,
    slice_: str,
    value: float | None,
    n: int,
    low: float | None,
    high: float | None,
    unit: str,
    reason: str | None = None,
) -> Row:
    """A row of METRICS; ``reason`` is kept where there is no value."""
    row: Row = {"metric": metric, "slice": slice_, "value": value, "n": n, "low": low, "high": high, "unit": unit}
    return row | {"reason": (reason or UNKNOWN) if value is None else None}


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
        why = row["reason"]
        yield _row(name, slice_, row["value"], n, None, None, unit, why)
        if row["statistic"] == "jsd":
            yield _row("drift_jsd_excess", slice_, row["excess"], n, row["low"], row["high"], unit, why)
            yield _row("drift_p", slice_, row["p"], n, row["p"], row["p"], "probability", why)


def _conclusions(conclusions: pa.Table, drift: pa.Table) -> Iterator[Row]:
    """How many lenses show more than chance, and the p of the conclusion; p is 1 where every token has its share.

    Documents that are too few for any test show nothing: 0 lenses, and no p.
    """
    sizes = _sizes(drift)
    even = {
        row["baseline"]
        for row in drift.to_pylist()
        if row["domain"] == ALL_DOMAINS and row["statistic"] == "jsd" and row["p"] == 1.0 and not row["permutations"]
    }
    for row in conclusions.to_pylist():
        baseline = row["baseline"]
        slice_, n = _slice(baseline, ALL_DOMAINS), sizes.get((baseline, ALL_DOMAINS), 0)
        shown = None if row["status"] == "not tested" else row["lenses_shown"]
        why = "the documents that both hold were not measured together: no test is right"
        yield _row("drift_lenses_shown", slice_, shown, n, shown, shown, "tests", why)
        p = 1.0 if row["p"] is None and baseline in even else row["p"]
        why = why if shown is None else "too few documents differ for any test"
        yield _row("drift_conclusion_p", slice_, p, n, p, p, "probability", why)


def _parts(parts: pa.Table, drift: pa.Table) -> Iterator[Row]:
    """Where nothing changed neither part explains anything of it: 0."""
    sizes = _sizes(drift)
    for row in parts.to_pylist():
        if row["domain"] == ALL_DOMAINS and row["part"] != "total":
            n = sizes.get((row["baseline"], ALL_DOMAINS), 0)
            slice_, why = _slice(row["baseline"], ALL_DOMAINS), row["reason"]
            explained = 0.0 if why == NOTHING_CHANGED else row["attribution"]
            yield _row(f"drift_{row['part']}_attribution", slice_, explained, n, None, None, "share", why)
            yield _row(f"drift_{row['part']}_tvd", slice_, row["tvd"], n, None, None, "share", why)


def _sizes(drift: pa.Table) -> dict[tuple[str, str], int]:
    """(baseline, domain) -> documents of the smaller side."""
    rows = drift.select(["baseline", "domain", "documents_baseline", "documents_current"]).to_pylist()
    return {(row["baseline"], row["domain"]): min(row["documents_baseline"], row["documents_current"]) for row in rows}


def _shares(domains: pa.Table, drift: pa.Table) -> Iterator[Row]:
    sizes = _sizes(drift)
    for row in domains.to_pylist():
        n = sizes.get((row["baseline"], ALL_DOMAINS), 0)
        slice_ = _slice(row["baseline"], row["domain"])
        metric, bounds = f"domain_share_change_{row['unit']}", (row["low"], row["high"])
        yield _row(metric, slice_, row["difference"], n, *bounds, "share", row["reason"])


def _lengths(lengths: pa.Table, drift: pa.Table) -> Iterator[Row]:
    sizes = _sizes(drift)
    for row in lengths.to_pylist():
        n = sizes.get((row["baseline"], row["domain"]), 0)
        metric = f"length_change_{row['statistic']}_{row['unit']}"
        unit = "share" if row["statistic"] == "ks" else "log2"
        slice_, bounds = _slice(row["baseline"], row["domain"]), (row["low"], row["high"])
        yield _row(metric, slice_, row["change"], n, *bounds, unit, row["reason"])


def _turnover(turnover: pa.Table) -> Iterator[Row]:
    """Exact: the bounds are the value."""
    for row in turnover.to_pylist():
        slice_ = _slice(row["baseline"], row["domain"])
        still = row["kept"] + (row["edited"] or 0)
        before, now = still + row["removed"], still + row["added"]
        for kind, whole, side in (
            *((kind, before, "the baseline") for kind in ("kept", "edited", "renamed", "removed", "replaced")),
            ("added", now, "the current snapshot"),
        ):
            part = row[kind]
            why = row["reason"] if part is None else f"{side} has no documents here"
            share = None if part is None or not whole else part / whole
            yield _row(f"{kind}_share", slice_, share, whole, share, share, "share", why)


def _classifier(classifier: pa.Table) -> Iterator[Row]:
    for row in classifier.to_pylist():
        n = min(row["documents_baseline"], row["documents_current"])
        slice_ = _slice(row["baseline"], row["domain"])
        bounds = row["low"], row["high"]
        yield _row("drift_classifier_auc", slice_, row["auc"], n, *bounds, "probability", row["reason"])


def _tokens(tokens: pa.Table, drift: pa.Table) -> Iterator[Row]:
    """Tokens of the corpus that moved, by kind: n is the tokens that the table lists, or, where none is tested, the
    documents of the smaller side. None moved where nothing drifted; where no token could be tested that is not known.
    """
    columns = tokens.filter(pc.equal(tokens["domain"], ALL_DOMAINS)).select(["baseline", "kind", "z"]).to_pylist()
    for row in drift.to_pylist():
        if row["domain"] != ALL_DOMAINS or row["statistic"] != "jsd":
            continue
        mine = [token for token in columns if token["baseline"] == row["baseline"]]
        tested = any(token["z"] is not None for token in mine)
        same = row["p"] is not None and not row["permutations"]
        why = row["reason"] or "no token is in enough documents to be tested"
        for kind in ("riser", "faller"):
            moved = sum(token["kind"] == kind for token in mine) if tested or same else None
            n = len(mine) if tested else min(row["documents_baseline"], row["documents_current"])
            slice_ = _slice(row["baseline"], ALL_DOMAINS)
            yield _row(f"drift_tokens_{kind}", slice_, moved, n, moved, moved, "token ids", why)
