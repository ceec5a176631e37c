"""Recall and false-positive rate of each rule: on planted copies, by kind of copy, and on decoys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.contamination.canaries import Planted
from corpus_audit.pipelines.contamination.evidence import Evidence, Floats
from corpus_audit.pipelines.contamination.index import BenchmarkIndex
from corpus_audit.pipelines.contamination.rules import RULES, judge
from corpus_audit.pipelines.statistics.intervals.proportions import clopper_pearson
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.schemas.spec.benchmarks import ContaminationSpec, RuleName
from corpus_audit.schemas.tables.contamination_tables import CONTAMINATION_CHECK, CONTAMINATION_COPIES


@dataclass(frozen=True)
class DecoyEvidence:
    """Evidence about a run's decoys.

    Attributes:
        index: the decoys' own.
        partial: of `measures.contamination.Decoys`, over the splits in which decoys were looked for.
        share: of the corpus, by size, that these splits are.
    """

    index: BenchmarkIndex
    partial: Partial
    share: float


def thresholds_of(spec: ContaminationSpec, index: BenchmarkIndex) -> Floats:
    """Llama 3's, float64 [X]: of the first benchmark that has the text; decoys have the common one."""
    thresholds = np.full(index.size, np.nan)
    for number in range(len(index.names) - 1, -1, -1):
        threshold = spec.threshold_of(index.names[number])
        texts = index.item_texts[index.item_benchmarks == number]
        thresholds[texts] = np.nan if threshold is None else threshold
    return thresholds


def interval(hits: int, of: int) -> tuple[float | None, float | None, float | None]:
    """(share, lower and upper 95 % bound by Clopper and Pearson); None three times over nothing."""
    if not of:
        return None, None, None
    low, high = clopper_pearson([hits / of], [of])
    return hits / of, float(low[0]), float(high[0])


def copies_table(spec: ContaminationSpec, index: BenchmarkIndex, planted: Sequence[Planted]) -> pa.Table:
    """Planted copies found, by rule and kind of copy.

    Canaries are judged on their own documents alone, with every n-gram as evidence. Where a rule must find them all,
    its threshold, if it is an input, is the highest score there is: what was copied whole must be found whole.
    """
    given = thresholds_of(spec, index)
    whole = np.ones(index.size)
    rows = []
    for name in spec.rules:
        for each in planted:
            required = RULES[name].unit in each.copy.required
            thresholds = whole if required else np.where(np.isnan(given), whole, given)
            alone = judge(RULES[name], Evidence(index, each.partial), None, thresholds)
            canaries = int(alone.testable[each.texts].sum())
            found = int(alone.contaminated[each.texts].sum())
            rows.append(
                {
                    "rule": name,
                    "rule_version": RULES[name].version,
                    "copy": each.copy.name,
                    "about": each.copy.about,
                    "required": required,
                    "canaries": canaries,
                    "found": found,
                    "recall": found / canaries if canaries else None,
                    "reason": _nothing_planted(each, canaries),
                }
            )
    return pa.Table.from_pylist(rows, CONTAMINATION_COPIES)


def _nothing_planted(planted: Planted, canaries: int) -> str | None:
    if canaries:
        return None
    return "no planted item is testable" if len(planted.texts) else "this changes none of the items"


def check_table(spec: ContaminationSpec, copies: pa.Table, decoys: DecoyEvidence | None) -> pa.Table:
    """The check of each rule: over the copies that it must find, and over the decoys."""
    planted: dict[str, list[dict[str, Any]]] = {name: [] for name in spec.rules}
    for row in copies.to_pylist():
        if row["required"]:
            planted[row["rule"]].append(row)
    rows = []
    for name in spec.rules:
        canaries = sum(row["canaries"] for row in planted[name])
        found = sum(row["found"] for row in planted[name])
        reasons = [] if canaries else ["no planted item is testable"]
        rows.append(
            {
                "rule": name,
                "rule_version": RULES[name].version,
                "canaries": canaries,
                "found": found,
                "recall": found / canaries if canaries else None,
                **_decoys(spec, name, decoys, reasons),
                "reason": "; ".join(reasons) or None,
            }
        )
    return pa.Table.from_pylist(rows, CONTAMINATION_CHECK)


def _decoys(
    spec: ContaminationSpec, name: RuleName, decoys: DecoyEvidence | None, reasons: list[str]
) -> dict[str, Any]:
    """The columns about decoys; adds to ``reasons`` why there is no rate."""
    nothing = {"hit": None, "false_positive_rate": None, "low": None, "high": None}
    if decoys is None:
        reasons.append("no decoy is testable")
        return {"decoys": 0, "decoy_share": None, **nothing, "hit": 0}
    index = decoys.index
    judged = judge(RULES[name], Evidence(index, decoys.partial), spec.boilerplate_limit, thresholds_of(spec, index))
    count = int(judged.testable.sum())
    where = {"decoys": count, "decoy_share": decoys.share}
    if not judged.judged.all():
        reasons.append("no threshold is set")
        return {**where, **nothing}
    if not count:
        reasons.append("no decoy is testable")
    hits = int(judged.contaminated.sum())
    rate, low, high = interval(hits, count)
    return {**where, "hit": hits, "false_positive_rate": rate, "low": low, "high": high}
