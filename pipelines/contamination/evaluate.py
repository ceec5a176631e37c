"""Evaluates the rules on a merged partial, and writes the contamination tables of a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.contamination.canaries import PlantedCopies
from corpus_audit.pipelines.contamination.documents import domains_table, matches_table
from corpus_audit.pipelines.contamination.evidence import TextEvidence
from corpus_audit.pipelines.contamination.index_file import BenchmarkIndex
from corpus_audit.pipelines.contamination.rules import RULES, RuleOutcome, evaluate_rule
from corpus_audit.pipelines.contamination.selfcheck import (
    DecoyEvidence,
    check_table,
    copies_table,
    share_interval,
    thresholds_of,
)
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.schemas.spec.benchmarks import ContaminationSpec
from corpus_audit.schemas.tables.contamination_tables import CONTAMINATION, CONTAMINATION_ITEMS


def contamination_tables(
    spec: ContaminationSpec,
    index: BenchmarkIndex,
    partial: Partial,
    planted: Sequence[PlantedCopies],
    decoys: DecoyEvidence | None = None,
) -> dict[str, pa.Table]:
    """Evaluate the rules and build the tables of `schemas.tables.contamination_tables`, by name.

    Args:
        spec: rules, limit and thresholds.
        index: the index that the partial was counted with.
        partial: of the corpus, by `contamination.measure.Contamination`.
        planted: the run's canaries, by kind of copy.
        decoys: the counts of the run's decoys; None without decoys.
    """
    evidence = TextEvidence(index, partial)
    thresholds = thresholds_of(spec, index)
    outcomes = [evaluate_rule(RULES[name], evidence, spec.boilerplate_limit, thresholds) for name in spec.rules]
    copies = copies_table(spec, index, planted)
    shown = np.zeros(index.size, bool)
    for outcome in outcomes:
        shown |= outcome.unlimited
    return {
        "contamination": _summary(spec, index, outcomes),
        "contamination_items": _items(index, outcomes),
        "contamination_matches": matches_table(evidence, shown),
        "contamination_domains": domains_table(evidence, spec.boilerplate_limit),
        "contamination_copies": copies,
        "contamination_check": check_table(spec, copies, decoys),
    }


def _texts(index: BenchmarkIndex, benchmark: int) -> np.ndarray:
    texts: np.ndarray = index.item_texts[index.item_benchmarks == benchmark]
    return texts


def _summary(spec: ContaminationSpec, index: BenchmarkIndex, outcomes: Sequence[RuleOutcome]) -> pa.Table:
    rows = []
    for number in range(len(index.names)):
        texts = _texts(index, number)
        bad = index.bad[number]
        for outcome in outcomes:
            testable = outcome.testable[texts]
            count = int(testable.sum())
            is_judged = bool(outcome.has_threshold[texts].all())
            hits = int(outcome.contaminated[texts].sum())
            value, low, high = share_interval(hits, count) if is_judged else (None, None, None)
            reason = None
            if not is_judged:
                reason = "no threshold is set: the ratio is reported and nothing is judged"
            elif not count:
                reason = "every item is too short for the rule"
            threshold = (
                spec.threshold_of(index.names[number]) if outcome.rule.name == "llama3" else outcome.rule.threshold
            )
            rows.append(
                {
                    "benchmark": index.names[number],
                    "rule": outcome.rule.name,
                    "rule_version": outcome.rule.version,
                    "about": outcome.rule.about,
                    "items": len(texts),
                    "bad_rows": sum(bad.values()),
                    "bad_reasons": ", ".join(f"{n} {why}" for why, n in bad.items()) or None,
                    "remarks": index.remarks[number] or None,
                    "untestable": len(texts) - count,
                    "testable": count,
                    "contaminated": hits if is_judged else None,
                    "boilerplate": int((outcome.unlimited & ~outcome.contaminated)[texts].sum()) if is_judged else None,
                    "share": value,
                    "low": low,
                    "high": high,
                    "mean_score": float(outcome.score[texts][testable].mean()) if count else None,
                    "threshold": threshold,
                    "boilerplate_limit": spec.boilerplate_limit if outcome.rule.limited else None,
                    "reason": reason,
                }
            )
    return pa.Table.from_pylist(rows, CONTAMINATION)


def _outcomes(outcome: RuleOutcome) -> np.ndarray:
    return np.select(
        [~outcome.testable, ~outcome.has_threshold, outcome.contaminated, outcome.unlimited],
        ["untestable", "unjudged", "contaminated", "boilerplate"],
        "clean",
    )


def _items(index: BenchmarkIndex, outcomes: Sequence[RuleOutcome]) -> pa.Table:
    """Table CONTAMINATION_ITEMS: a row an item and rule, all rules of an item before the next item."""
    items = np.arange(len(index.item_benchmarks))
    texts = index.item_texts[items]
    width = len(outcomes)

    def interleaved(columns: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack([column[texts] for column in columns], axis=1).reshape(-1)

    testable = interleaved([outcome.testable for outcome in outcomes])
    repeated = pa.array(np.repeat(items, width))
    columns = [
        pa.array(index.names).take(pa.array(np.repeat(index.item_benchmarks[items], width))),
        index.item_ids.take(repeated).cast(pa.string()),
        pa.array([outcome.rule.name for outcome in outcomes] * len(items), pa.string()),
        pa.array(interleaved([_outcomes(outcome) for outcome in outcomes]), pa.string()),
        pa.array(interleaved([outcome.score for outcome in outcomes]), mask=~testable),
        pa.array(interleaved([outcome.score_unlimited for outcome in outcomes]), mask=~testable),
        pa.array(interleaved([outcome.longest for outcome in outcomes])),
        pa.array([outcome.rule.unit for outcome in outcomes] * len(items), pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=CONTAMINATION_ITEMS)
