"""Evaluates the rules on a merged partial, and writes the contamination tables of a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.contamination.canaries import Planted
from corpus_audit.pipelines.contamination.documents import domains_table, matches_table
from corpus_audit.pipelines.contamination.evidence import Evidence
from corpus_audit.pipelines.contamination.index import BenchmarkIndex
from corpus_audit.pipelines.contamination.rules import RULES, Judged, judge
from corpus_audit.pipelines.contamination.selfcheck import (
    DecoyEvidence,
    check_table,
    copies_table,
    interval,
    thresholds_of,
)
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.schemas.spec.benchmarks import ContaminationSpec
from corpus_audit.schemas.tables.contamination_tables import CONTAMINATION, CONTAMINATION_ITEMS


def contamination_tables(
    spec: ContaminationSpec,
    index: BenchmarkIndex,
    partial: Partial,
    planted: Sequence[Planted],
    decoys: DecoyEvidence | None = None,
) -> dict[str, pa.Table]:
    """The tables of `schemas.tables.contamination_tables`, by name.

    Args:
        spec: rules, limit and thresholds.
        index: what the partial was counted with.
        partial: the whole corpus's, of `measures.contamination`.
        planted: the run's canaries, by kind of copy.
        decoys: what was found of the run's decoys; None without any.
    """
    evidence = Evidence(index, partial)
    thresholds = thresholds_of(spec, index)
    judged = [judge(RULES[name], evidence, spec.boilerplate_limit, thresholds) for name in spec.rules]
    copies = copies_table(spec, index, planted)
    shown = np.zeros(index.size, bool)
    for each in judged:
        shown |= each.unlimited
    return {
        "contamination": _summary(spec, index, judged),
        "contamination_items": _items(index, judged),
        "contamination_matches": matches_table(evidence, shown),
        "contamination_domains": domains_table(evidence, spec.boilerplate_limit),
        "contamination_copies": copies,
        "contamination_check": check_table(spec, copies, decoys),
    }


def _texts(index: BenchmarkIndex, benchmark: int) -> np.ndarray:
    texts: np.ndarray = index.item_texts[index.item_benchmarks == benchmark]
    return texts


def _summary(spec: ContaminationSpec, index: BenchmarkIndex, judged: Sequence[Judged]) -> pa.Table:
    rows = []
    for number in range(len(index.names)):
        texts = _texts(index, number)
        bad = index.bad[number]
        for each in judged:
            testable = each.testable[texts]
            count = int(testable.sum())
            known = bool(each.judged[texts].all())
            hits = int(each.contaminated[texts].sum())
            value, low, high = interval(hits, count) if known else (None, None, None)
            reason = None
            if not known:
                reason = "no threshold is set: the ratio is reported and nothing is judged"
            elif not count:
                reason = "every item is too short for the rule"
            threshold = spec.threshold_of(index.names[number]) if each.rule.name == "llama3" else each.rule.threshold
            rows.append(
                {
                    "benchmark": index.names[number],
                    "rule": each.rule.name,
                    "rule_version": each.rule.version,
                    "about": each.rule.about,
                    "items": len(texts),
                    "bad_rows": sum(bad.values()),
                    "bad_reasons": ", ".join(f"{n} {why}" for why, n in bad.items()) or None,
                    "remarks": index.remarks[number] or None,
                    "untestable": len(texts) - count,
                    "testable": count,
                    "contaminated": hits if known else None,
                    "boilerplate": int((each.unlimited & ~each.contaminated)[texts].sum()) if known else None,
                    "share": value,
                    "low": low,
                    "high": high,
                    "mean_score": float(each.score[texts][testable].mean()) if count else None,
                    "threshold": threshold,
                    "boilerplate_limit": spec.boilerplate_limit if each.rule.limited else None,
                    "reason": reason,
                }
            )
    return pa.Table.from_pylist(rows, CONTAMINATION)


def _outcomes(each: Judged) -> np.ndarray:
    return np.select(
        [~each.testable, ~each.judged, each.contaminated, each.unlimited],
        ["untestable", "unjudged", "contaminated", "boilerplate"],
        "clean",
    )


def _items(index: BenchmarkIndex, judged: Sequence[Judged]) -> pa.Table:
    """Item by item, all rules of one before the next."""
    items = np.arange(len(index.item_benchmarks))
    texts = index.item_texts[items]
    width = len(judged)

    def woven(columns: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack([column[texts] for column in columns], axis=1).reshape(-1)

    testable = woven([each.testable for each in judged])
    repeated = pa.array(np.repeat(items, width))
    columns = [
        pa.array(index.names).take(pa.array(np.repeat(index.item_benchmarks[items], width))),
        index.item_ids.take(repeated).cast(pa.string()),
        pa.array([each.rule.name for each in judged] * len(items), pa.string()),
        pa.array(woven([_outcomes(each) for each in judged]), pa.string()),
        pa.array(woven([each.score for each in judged]), mask=~testable),
        pa.array(woven([each.score_unlimited for each in judged]), mask=~testable),
        pa.array(woven([each.longest for each in judged])),
        pa.array([each.rule.unit for each in judged] * len(items), pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=CONTAMINATION_ITEMS)
