"""Recall and false-positive rate of each rule: on planted copies, by kind of copy, and on decoys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.contamination.canaries import PlantedCopies
from corpus_audit.pipelines.contamination.evidence import Floats, TextEvidence
from corpus_audit.pipelines.contamination.index_file import BenchmarkIndex
from corpus_audit.pipelines.contamination.rules import RULES, evaluate_rule
from corpus_audit.pipelines.statistics.intervals.proportions import wilson
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.schemas.spec.benchmarks import ContaminationSpec, RuleName
from corpus_audit.schemas.tables.contamination_tables import CONTAMINATION_CHECK, CONTAMINATION_COPIES


@dataclass(frozen=True)
class DecoyEvidence:
    """Evidence about a run's decoys.

    Attributes:
        index: the index of the decoys.
        partial: of `contamination.measure.Decoys`, over the splits that were searched for decoys.
        share: share of the corpus, by size, that these splits are.
    """

    index: BenchmarkIndex
    partial: Partial
    share: float


def thresholds_of(spec: ContaminationSpec, index: BenchmarkIndex) -> Floats:
    """Thresholds of rule llama3, float64 [X], NaN where not set: that of the first benchmark with the text."""
    thresholds = np.full(index.size, np.nan)
    for number in range(len(index.names) - 1, -1, -1):
        threshold = spec.threshold_of(index.names[number])
        texts = index.item_texts[index.item_benchmarks == number]
        thresholds[texts] = np.nan if threshold is None else threshold
    return thresholds


def share_interval(hits: int, total: int) -> tuple[float | None, float | None, float | None]:
    """(share, lower and upper 95 % Wilson bound); three times None if ``total`` is 0."""
    if not total:
        return None, None, None
    low, high = wilson([hits / total], [total])
    return hits / total, float(low[0]), float(high[0])


def copies_table(spec: ContaminationSpec, index: BenchmarkIndex, planted: Sequence[PlantedCopies]) -> pa.Table:
    """Table CONTAMINATION_COPIES: planted copies found, by rule and kind of copy.

    Rules are evaluated on the canaries' own documents alone, with every n-gram as evidence. Where a rule must find all
    of them and its threshold is an input, the threshold is the highest score: a complete copy must match completely.
    """
    spec_thresholds = thresholds_of(spec, index)
    full_score = np.ones(index.size)
    rows = []
    for name in spec.rules:
        for copies in planted:
            required = RULES[name].unit in copies.copy.required
            thresholds = full_score if required else np.where(np.isnan(spec_thresholds), full_score, spec_thresholds)
            outcome = evaluate_rule(RULES[name], TextEvidence(index, copies.partial), None, thresholds)
            canaries = int(outcome.testable[copies.texts].sum())
            matched = int(outcome.contaminated[copies.texts].sum())
            rows.append(
                {
                    "rule": name,
                    "rule_version": RULES[name].version,
                    "copy": copies.copy.name,
                    "about": copies.copy.about,
                    "required": required,
                    "canaries": canaries,
                    "found": matched,
                    "recall": matched / canaries if canaries else None,
                    "reason": _nothing_planted(copies, canaries),
                }
            )
    return pa.Table.from_pylist(rows, CONTAMINATION_COPIES)


def _nothing_planted(planted: PlantedCopies, canaries: int) -> str | None:
    if canaries:
        return None
    return "no planted item is testable" if len(planted.texts) else "this changes none of the items"


def check_table(spec: ContaminationSpec, copies: pa.Table, decoys: DecoyEvidence | None) -> pa.Table:
    """Table CONTAMINATION_CHECK: each rule's recall of the copies that it must find, and its rate of decoy hits."""
    planted: dict[str, list[dict[str, Any]]] = {name: [] for name in spec.rules}
    for row in copies.to_pylist():
        if row["required"]:
            planted[row["rule"]].append(row)
    rows = []
    for name in spec.rules:
        canaries = sum(row["canaries"] for row in planted[name])
        matched = sum(row["found"] for row in planted[name])
        reasons = [] if canaries else ["no planted item is testable"]
        rows.append(
            {
                "rule": name,
                "rule_version": RULES[name].version,
                "canaries": canaries,
                "found": matched,
                "recall": matched / canaries if canaries else None,
                **_decoys(spec, name, decoys, reasons),
                "reason": "; ".join(reasons) or None,
            }
        )
    return pa.Table.from_pylist(rows, CONTAMINATION_CHECK)


def _decoys(
    spec: ContaminationSpec, name: RuleName, decoys: DecoyEvidence | None, reasons: list[str]
) -> dict[str, Any]:
    """The columns about decoys; adds the reason for a missing rate to ``reasons``."""
    no_rate = {"hit": None, "false_positive_rate": None, "low": None, "high": None}
    if decoys is None:
        reasons.append("no decoy is testable")
        return {"decoys": 0, "decoy_share": None, **no_rate, "hit": 0}
    index = decoys.index
    outcome = evaluate_rule(
        RULES[name], TextEvidence(index, decoys.partial), spec.boilerplate_limit, thresholds_of(spec, index)
    )
    count = int(outcome.testable.sum())
    searched = {"decoys": count, "decoy_share": decoys.share}
    if not outcome.has_threshold.all():
        reasons.append("no threshold is set")
        return {**searched, **no_rate}
    if not count:
        reasons.append("no decoy is testable")
    hits = int(outcome.contaminated.sum())
    rate, low, high = share_interval(hits, count)
    return {**searched, "hit": hits, "false_positive_rate": rate, "low": low, "high": high}
