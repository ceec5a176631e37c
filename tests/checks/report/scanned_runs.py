"""Runs with invented contamination tables that hang together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.pipelines.contamination.copies import COPIES, Copy
from corpus_audit.pipelines.contamination.rules import RULES
from corpus_audit.pipelines.statistics.intervals.proportions import clopper_pearson
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables.contamination_tables import CONTAMINATION_TABLES
from tests.run_files import write_run_json

Row = dict[str, Any]

NAMES = ("arithmetic", "trivia", "reading", "code")
DOMAINS = ("web/common-crawl", "forums", "papers", "code/permissive")


def write_contamination(
    folder: Path,
    benchmarks: Sequence[str] = NAMES,
    domains: Sequence[str] = DOMAINS,
    items: int = 40,
    rate: float = 0.15,
    missed: int = 0,
    canaries: int = 100,
    seed: int = 11,
) -> RunDirectory:
    """A run whose scan found about ``rate`` of the items of the first benchmark, fewer in those after it.

    Every eighth item is too short for every rule, and ``missed`` of the planted ones were not found by PaLM's rule.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    tables: dict[str, list[Row]] = {name: [] for name in CONTAMINATION_TABLES}
    for b, benchmark in enumerate(benchmarks):
        result: dict[str, list[str]] = {rule: [] for rule in RULES}
        leaking: dict[str, set[int]] = {domain: set() for domain in domains}
        for i in range(items):
            leak = i % 8 != 0 and rng.random() < rate / (1 + b)
            longest = int(rng.integers(14, 60)) if leak else int(rng.integers(0, 6))
            for rule in RULES.values():
                outcome = "untestable" if i % 8 == 0 else "contaminated" if leak else "clean"
                outcome = "boilerplate" if outcome == "clean" and i % 13 == 1 and rule.limited else outcome
                if rule.name == "llama3" and outcome != "untestable":
                    outcome = "unjudged"
                result[rule.name].append(outcome)
                score = None if outcome == "untestable" else 0.9 if leak else 0.05
                tables["contamination_items"].append(
                    {"benchmark": benchmark, "item": f"{benchmark}-{i}", "rule": rule.name, "outcome": outcome}
                    | {"score": score, "score_unlimited": score, "longest": longest, "unit": rule.unit}
                )
            for number in range(int(rng.integers(1, 6)) if leak else 0):
                domain = domains[int(rng.integers(0, len(domains)) * rng.random())]
                leaking[domain].add(i)
                tables["contamination_matches"].append(
                    {"benchmark": benchmark, "item": f"{benchmark}-{i}", "document": f"{i:08x}{number:08x}"}
                    | {"id": f"{domain}/{i}/{number}" if number % 2 == 0 else None, "domain": domain, "documents": 1}
                    | {"unit": "words", "longest": max(longest - number, 8), "covered": 1 - 0.15 * number}
                    | {"offset": int(rng.integers(0, 90_000)), "length": 6 * longest}
                )
        for domain, leaked in leaking.items():
            if count := len(leaked):
                tables["contamination_domains"].append(
                    {"benchmark": benchmark, "domain": domain, "documents": 3 * count, "grams": 9 * count}
                    | {"long_grams": 4 * count, "items": count}
                )
        tables["contamination"] += [_summary(benchmark, rule, result[rule], items) for rule in RULES]
    tables["contamination_check"] = [
        _check(rule, canaries, missed if rule == "palm" else 0, index) for index, rule in enumerate(RULES)
    ]
    tables["contamination_copies"] = [
        _copy(rule, copy, canaries, missed if (rule, copy.name) == ("palm", "verbatim") else 0)
        for rule in RULES
        for copy in COPIES
    ]
    (folder / "tables").mkdir(parents=True)
    write_run_json(folder)
    for name, rows in tables.items():
        table = pa.Table.from_pylist(rows, schema=CONTAMINATION_TABLES[name])
        pq.write_table(table, folder / "tables" / f"{name}.parquet")
    return RunDirectory(folder)


def _summary(benchmark: str, rule: str, outcomes: list[str], items: int) -> Row:
    untestable, contaminated = outcomes.count("untestable"), outcomes.count("contaminated")
    row: Row = {"benchmark": benchmark, "rule": rule, "rule_version": 1, "about": RULES[rule].about, "items": items}  # type: ignore[index]
    row |= {"bad_rows": 2 if benchmark == "trivia" else 0}
    row |= {"bad_reasons": "2 have no prompt" if benchmark == "trivia" else None}
    row |= {"untestable": untestable, "testable": items - untestable, "mean_score": 0.1, "boilerplate_limit": 10}
    if rule == "llama3":
        return row | {"reason": "the threshold is an input and was not given"}
    low, high = clopper_pearson(contaminated / (items - untestable), items - untestable)
    return row | {
        "contaminated": contaminated,
        "boilerplate": outcomes.count("boilerplate"),
        "share": contaminated / (items - untestable),
        "low": float(low),
        "high": float(high),
        "threshold": 0.7,
    }


def _copy(rule: str, copy: Copy, canaries: int, missed: int) -> Row:
    required = RULES[rule].unit in copy.required  # type: ignore[index]
    result = canaries - missed if required else canaries // 2
    row: Row = {"rule": rule, "rule_version": 1, "copy": copy.name, "about": copy.about, "required": required}
    row |= {"canaries": canaries, "found": result}
    return row | ({"recall": result / canaries} if canaries else {"reason": "this changes none of the items"})


def _check(rule: str, canaries: int, missed: int, index: int) -> Row:
    row: Row = {"rule": rule, "rule_version": 1, "canaries": canaries, "found": canaries - missed, "decoys": 200}
    row |= {"decoy_share": 1.0}
    row |= {"recall": (canaries - missed) / canaries if canaries else None}
    if rule == "llama3":
        return row | {"reason": "without a threshold no decoy is called contaminated"}
    low, high = clopper_pearson(index / 200, 200)
    return row | {"hit": index, "false_positive_rate": index / 200, "low": float(low), "high": float(high)}
