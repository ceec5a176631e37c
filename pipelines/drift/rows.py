"""From drift statistics to rows of the drift tables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus_audit.pipelines.drift.texts import Examples, texts_of
from corpus_audit.pipelines.statistics.classifier.two_sample import ClassifierTest
from corpus_audit.pipelines.statistics.drift.decomposition import Part, Parts
from corpus_audit.pipelines.statistics.drift.domain_drift import DomainDrift
from corpus_audit.pipelines.statistics.drift.permutation import UNITS, DriftSummary
from corpus_audit.pipelines.statistics.drift.token_drift import KINDS, OTHER, TokenDrift
from corpus_audit.pipelines.statistics.drift.token_sample import TokenContrast
from corpus_audit.schemas.tables import drift_tables
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

LISTED = 50
"""Tokens of each kind that a domain lists."""

LISTED_UNTESTED = 200
"""Tokens that are new, and that vanished, in too few documents to be tested and are listed overall all the same."""


def summary_rows(label: str, domain: str, contrast: TokenContrast, summary: DriftSummary) -> pa.Table:
    """Rows of table DRIFT for one slice, by statistic."""
    tokens = contrast.token_totals
    documents = [sum(part.total_documents for part in parts) for parts in contrast.parts]
    rows = []
    for name, distance in sorted(summary.distances.items()):
        judged = name == "jsd"
        rows.append(
            {
                "baseline": label,
                "domain": domain,
                "statistic": name,
                "value": distance.value,
                "unit": UNITS[name],
                "null_mean": distance.null_mean,
                "null_low": distance.null_low,
                "null_high": distance.null_high,
                "p": distance.p,
                "permutations": summary.permutations,
                "excess": distance.excess,
                "low": summary.low if judged else None,
                "high": summary.high if judged else None,
                "tokens_baseline": tokens[0],
                "tokens_current": tokens[1],
                "tokens_shared": contrast.shared.total_tokens,
                "documents_baseline": documents[0],
                "documents_current": documents[1],
                "documents_shared": contrast.shared.total_documents,
                "documents_edited": 0 if contrast.edited is None else contrast.edited.before.total_documents,
                "reason": summary.reason,
                "note": summary.note,
            }
        )
    return pa.Table.from_pylist(rows, schema=drift_tables.DRIFT)


def edit_rows(
    label: str, domain: str, used: tuple[int, int], contrast: TokenContrast, summary: DriftSummary
) -> pa.Table:
    """Rows of table DRIFT_EDITS for one slice, by statistic; ``used``: pairs that are tested, and edited documents."""
    before, current = contrast.token_totals
    return pa.Table.from_pylist(
        [
            {
                "baseline": label,
                "domain": domain,
                "statistic": name,
                "value": distance.value,
                "unit": UNITS[name],
                "null_mean": distance.null_mean,
                "p": distance.p,
                "permutations": summary.permutations,
                "excess": distance.excess,
                "low": summary.low if name == "jsd" else None,
                "high": summary.high if name == "jsd" else None,
                "tokens_baseline": before,
                "tokens_current": current,
                "documents": used[0],
                "edited": used[1],
                "reason": summary.reason,
            }
            for name, distance in sorted(summary.distances.items())
        ],
        schema=drift_tables.DRIFT_EDITS,
    )


def untested_edit_rows(label: str, reason: str | None) -> pa.Table:
    """The row of table DRIFT_EDITS that says why edited documents were not tested as such."""
    row = {"baseline": label, "domain": ALL_DOMAINS, "statistic": "jsd", "unit": UNITS["jsd"], "permutations": 0}
    zeros = dict.fromkeys(("tokens_baseline", "tokens_current", "documents", "edited"), 0)
    return pa.Table.from_pylist([{**row, **zeros, "reason": reason}], schema=drift_tables.DRIFT_EDITS)


def listed(drift: TokenDrift, everything: bool) -> npt.NDArray[np.int64]:
    """Positions of the tokens that a slice lists, by kind, |z| descending and token.

    Overall all tested tokens, and the most frequent of those that are new or vanished; in a domain the first `LISTED`
    of each kind but ``other``.
    """
    strength = np.where(np.isnan(drift.z), 0.0, np.abs(drift.z))
    weight = np.maximum(drift.count_baseline, drift.count_current)
    names = np.array(KINDS)[drift.kind]
    order = np.lexsort((drift.tokens, -weight, -strength, names))
    kind = drift.kind[order]
    sorted_names = names[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_names, sorted_names, side="left")
    tested = ~np.isnan(drift.z[order])
    named = kind != OTHER
    wanted = tested | (named & (rank < LISTED_UNTESTED)) if everything else named & (rank < LISTED)
    selected: npt.NDArray[np.int64] = order[wanted]
    return selected


def token_rows(
    label: str, domain: str, drift: TokenDrift, examples: tuple[Examples, Examples], everything: bool
) -> pa.Table:
    """Rows of table DRIFT_TOKENS for one slice."""
    rows = listed(drift, everything)
    tokens = drift.tokens[rows]
    positions = pa.array(tokens.astype(np.int64))

    def floats(values: npt.NDArray[np.float64]) -> pa.Array:
        return pa.array(values[rows], mask=~np.isfinite(values[rows]))

    return pa.table(
        {
            "baseline": pa.array([label] * len(rows), pa.string()),
            "domain": pa.array([domain] * len(rows), pa.string()),
            "token": tokens,
            "text": texts_of(tokens, examples[1], examples[0]),
            "kind": pa.array(np.array(KINDS)[drift.kind[rows]].tolist(), pa.string()),
            "count_baseline": drift.count_baseline[rows],
            "count_current": drift.count_current[rows],
            "documents_baseline": drift.documents_baseline[rows],
            "documents_current": drift.documents_current[rows],
            "share_baseline": floats(drift.share_baseline),
            "share_current": floats(drift.share_current),
            "log2_ratio": floats(drift.log2_ratio),
            "low": floats(drift.low),
            "high": floats(drift.high),
            "z": floats(drift.z),
            "log_odds_z": floats(drift.log_odds_z),
            "p": floats(drift.p),
            "q": floats(drift.q),
            "deff": floats(drift.design_effect),
            "burstiness_baseline": floats(drift.burstiness_baseline),
            "burstiness_current": floats(drift.burstiness_current),
            "dispersion_baseline": floats(drift.dispersion_baseline),
            "dispersion_current": floats(drift.dispersion_current),
            "example_baseline": examples[0].document.take(positions),
            "example_current": examples[1].document.take(positions),
            "example_baseline_domain": examples[0].domain.take(positions),
            "example_current_domain": examples[1].domain.take(positions),
        },
        schema=drift_tables.DRIFT_TOKENS,
    )


def part_rows(label: str, domain: str, parts: Parts, examples: tuple[Examples, Examples]) -> list[dict[str, Any]]:
    """Rows of table DRIFT_PARTS for one slice."""
    named: dict[str, Part] = {
        "added": parts.added,
        "content": parts.content,
        "edits": parts.edits,
        "mixture": parts.mixture,
        "removed": parts.removed,
        "total": parts.total,
    }
    return [
        {
            "baseline": label,
            "domain": domain,
            "part": name,
            "tvd": part.tvd,
            "attribution": finite(part.attribution),
            "tvd_null_mean": finite(part.null_mean),
            "tvd_excess": finite(part.excess),
            "top_tokens": part.top_tokens.tolist(),
            "top_texts": texts_of(part.top_tokens, examples[1], examples[0]).to_pylist(),
            "top_changes": part.top_changes.tolist(),
            "reason": None if math.isfinite(part.attribution) else drift_tables.NOTHING_CHANGED,
        }
        for name, part in named.items()
    ]


def empty_part_rows(label: str, domain: str, reason: str) -> list[dict[str, Any]]:
    """Rows of table DRIFT_PARTS for a slice of two runs of which one holds no tokens: the reason, and no figures."""
    figures = dict.fromkeys(("tvd", "attribution", "tvd_null_mean", "tvd_excess"))
    lists: dict[str, list[Any]] = {"top_tokens": [], "top_texts": [], "top_changes": []}
    return [
        {"baseline": label, "domain": domain, "part": name, **figures, **lists, "reason": reason}
        for name in ("added", "content", "edits", "mixture", "removed", "total")
    ]


def domain_rows(label: str, names: list[str], unit: str, drift: DomainDrift) -> pa.Table:
    """Rows of table DRIFT_DOMAINS for one unit."""
    shares = np.nan_to_num(drift.share_current)
    empty = f"neither snapshot holds any {unit} here"
    order = sorted(range(len(names)), key=lambda g: (-shares[g], names[g].encode()))

    def floats(values: npt.NDArray[np.float64]) -> pa.Array:
        return pa.array(values[order], mask=~np.isfinite(values[order]))

    return pa.table(
        {
            "baseline": pa.array([label] * len(names), pa.string()),
            "domain": pa.array([names[g] for g in order], pa.string()),
            "unit": pa.array([unit] * len(names), pa.string()),
            "share_baseline": floats(drift.share_baseline),
            "share_current": floats(drift.share_current),
            "difference": floats(drift.difference),
            "low": floats(drift.low),
            "high": floats(drift.high),
            "p": floats(drift.p),
            "q": floats(drift.q),
            "p_adjusted": pa.nulls(len(names), pa.float64()),
            "reason": pa.array(
                [drift.reason or (empty if np.isnan(drift.low[g]) else None) for g in order], pa.string()
            ),
        },
        schema=drift_tables.DRIFT_DOMAINS,
    )


def classifier_row(
    label: str, domain: str, test: ClassifierTest, texts: dict[int, list[str]], excerpts: tuple[list[str], list[str]]
) -> dict[str, Any]:
    """A row of table DRIFT_CLASSIFIER; ``texts`` are what feature buckets stand for, ``excerpts`` by side."""

    def features(buckets: tuple[int, ...]) -> list[str]:
        return [drift_tables.FEATURE_JOINT.join(texts[bucket]) for bucket in buckets if texts.get(bucket)]

    return {
        "baseline": label,
        "domain": domain,
        "documents_baseline": test.documents_first,
        "documents_current": test.documents_second,
        "auc": finite(test.auc),
        "low": finite(test.low),
        "high": finite(test.high),
        "p": finite(test.p),
        "permutations": test.permutations,
        "features_baseline": features(test.features_first),
        "features_current": features(test.features_second),
        "excerpts_baseline": excerpts[0],
        "excerpts_current": excerpts[1],
        "reason": test.reason,
    }


def finite(value: float) -> float | None:
    """The value, None if it is NaN or infinite."""
    return value if math.isfinite(value) else None
