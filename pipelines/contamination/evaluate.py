"""The contamination tables of a run: a merged partial, judged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.contamination.canaries import Planted
from corpus_audit.pipelines.contamination.documents import domains_table, matches_table
from corpus_audit.pipelines.contamination.evidence import Evidence, Floats
from corpus_audit.pipelines.contamination.index import BenchmarkIndex
from corpus_audit.pipelines.contamination.rules import RULES, Judged, judge
from corpus_audit.pipelines.partials import Partial
from corpus_audit.pipelines.statistics.proportions import wilson
from corpus_audit.schemas.benchmarks import DECOYS, ContaminationSpec
from corpus_audit.schemas.contamination_tables import CONTAMINATION, CONTAMINATION_CHECK, CONTAMINATION_ITEMS


def contamination_tables(
    spec: ContaminationSpec, index: BenchmarkIndex, partial: Partial, planted: Planted
) -> dict[str, pa.Table]:
    """The tables of `schemas.contamination_tables`, by name.

    Args:
        spec: rules, limit and thresholds.
        index: what the partial was counted with.
        partial: the whole corpus's, of `measures.contamination`.
        planted: the run's canaries.
    """
    evidence = Evidence(index, partial)
    thresholds = _thresholds(spec, index)
    judged = [judge(RULES[name], evidence, spec.boilerplate_limit, thresholds) for name in spec.rules]
    shown = np.zeros(index.size, bool)
    for each in judged:
        shown |= each.unlimited
    return {
        "contamination": _summary(spec, index, judged),
        "contamination_items": _items(index, judged),
        "contamination_matches": matches_table(evidence, shown),
        "contamination_domains": domains_table(evidence, spec.boilerplate_limit),
        "contamination_check": _check(index, judged, planted),
    }


def _thresholds(spec: ContaminationSpec, index: BenchmarkIndex) -> Floats:
    """Llama 3's, float64 [X]: of the first benchmark that has the text; decoys have the common one."""
    thresholds = np.full(index.size, np.nan)
    for number in range(len(index.names) - 1, -1, -1):
        threshold = spec.threshold_of(index.names[number])
        thresholds[_texts(index, number)] = np.nan if threshold is None else threshold
    return thresholds


def _texts(index: BenchmarkIndex, benchmark: int) -> np.ndarray:
    texts: np.ndarray = index.item_texts[index.item_benchmarks == benchmark]
    return texts


def _benchmarks(index: BenchmarkIndex) -> list[int]:
    return [number for number, name in enumerate(index.names) if name != DECOYS]


def _interval(hits: int, of: int) -> tuple[float | None, float | None, float | None]:
    if not of:
        return None, None, None
    low, high = wilson([hits / of], [of])
    return hits / of, float(low[0]), float(high[0])


def _summary(spec: ContaminationSpec, index: BenchmarkIndex, judged: Sequence[Judged]) -> pa.Table:
    rows = []
    for number in _benchmarks(index):
        texts = _texts(index, number)
        bad = index.bad[number]
        for each in judged:
            testable = each.testable[texts]
            count = int(testable.sum())
            known = bool(each.judged[texts].all())
            hits = int(each.contaminated[texts].sum())
            value, low, high = _interval(hits, count) if known else (None, None, None)
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
    items = np.flatnonzero(np.isin(index.item_benchmarks, _benchmarks(index)))
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


def _check(index: BenchmarkIndex, judged: Sequence[Judged], planted: Planted) -> pa.Table:
    """Canaries are judged on their own documents alone, with every n-gram as evidence, and where a rule has no
    threshold by the highest score there is: what was copied whole must be found whole."""
    evidence = Evidence(index, planted.partial)
    decoys = slice(index.size - index.decoys, index.size)
    rows = []
    for each in judged:
        alone = judge(each.rule, evidence, None, np.ones(index.size))
        testable = alone.testable[planted.texts]
        canaries, found = int(testable.sum()), int(alone.contaminated[planted.texts].sum())
        count = int(each.testable[decoys].sum())
        known = bool(each.judged[decoys].all())
        hits = int(each.contaminated[decoys].sum())
        rate, low, high = _interval(hits, count) if known else (None, None, None)
        reasons = [] if canaries else ["no planted item is testable"]
        if not known:
            reasons.append("no threshold is set")
        elif not count:
            reasons.append("no decoy is testable")
        rows.append(
            {
                "rule": each.rule.name,
                "rule_version": each.rule.version,
                "canaries": canaries,
                "found": found,
                "recall": found / canaries if canaries else None,
                "decoys": count,
                "hit": hits if known else None,
                "false_positive_rate": rate,
                "low": low,
                "high": high,
                "reason": "; ".join(reasons) or None,
            }
        )
    return pa.Table.from_pylist(rows, CONTAMINATION_CHECK)
