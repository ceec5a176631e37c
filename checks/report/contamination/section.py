"""The report's section on contamination: benchmark items in the corpus, and how far the scan can be trusted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment
from markupsafe import Markup

from corpus_audit.checks.report.contamination import charts
from corpus_audit.checks.report.contamination.records import (
    BenchmarkRow,
    CheckRow,
    ContaminationView,
    CopyRow,
    ItemRow,
    LeakRow,
    MatchRow,
    RuleRow,
    RuleText,
)
from corpus_audit.checks.report.contamination.sentences import decimals, sentences, summary_lines
from corpus_audit.checks.text.sentences import Finding
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables.contamination_tables import CONTAMINATION_TABLES

BENCHMARKS = 12
LEAKS = 20
LEAK_BENCHMARKS = 6
ITEMS = 20
MATCHES = 3

_COPIES = "contamination_copies"


def load(run: RunDirectory) -> ContaminationView | None:
    """What the section shows; None when the run has no contamination tables.

    Raises:
        StoreError: a table is damaged.
    """
    tables = {name for name in CONTAMINATION_TABLES if (run.folder / "tables" / f"{name}.parquet").exists()}
    if not CONTAMINATION_TABLES.keys() - tables <= {_COPIES}:  # runs of an earlier version have no copies
        return None
    summary = run.table("contamination").to_pylist()
    if not summary:
        return None
    items = run.table("contamination_items")
    contaminated = items.filter(pc.equal(items["outcome"], "contaminated"))
    matches = run.table("contamination_matches")
    by_item = contaminated.group_by(["benchmark", "item"]).aggregate([])
    per_benchmark = {row["values"]: row["counts"] for row in pc.value_counts(by_item["benchmark"]).to_pylist()}
    benchmarks = _benchmarks(summary, per_benchmark)
    named = tuple(row.name for row in benchmarks if row.contaminated)[:LEAK_BENCHMARKS] if len(benchmarks) > 1 else ()
    leaks = _leaks(run.table("contamination_domains").to_pylist(), named)
    checks = tuple(_check(row) for row in run.table("contamination_check").to_pylist())
    return ContaminationView(
        checks=checks,
        copies=_copies(run.table(_COPIES).to_pylist(), checks) if _COPIES in tables else (),
        benchmarks=tuple(benchmarks[:BENCHMARKS]),
        hidden_benchmarks=max(len(benchmarks) - BENCHMARKS, 0),
        rules=_rules(summary),
        items=sum(row.items for row in benchmarks),
        contaminated=len(by_item),
        untestable=_untestable(items),
        leaks=tuple(leaks[:LEAKS]),
        hidden_leaks=max(len(leaks) - LEAKS, 0),
        leak_benchmarks=named,
        worst=_worst(contaminated, matches),
        limits=tuple(sorted({row["boilerplate_limit"] for row in summary} - {None})),
        boilerplate=_boilerplate_only(items, by_item),
        reasons=tuple(
            (*key, number)
            for key, number in Counter((row["rule"], row["reason"]) for row in summary if row["reason"]).items()
        ),
        of_images=run.facts.of_images,
    )


def section(view: ContaminationView, environment: Environment) -> Markup:
    """The section as markup, rendered with the page's environment."""
    return Markup(
        environment.get_template("contamination/contamination.html").render(
            view=view,
            check_chart=charts.check(view),
            share_chart=charts.shares(view),
            leak_chart=charts.leaks(view),
            digits=decimals(view),
        )
    )


def findings(view: ContaminationView) -> tuple[Finding, ...]:
    """The summary's finding: first whether the scan passed its own check, then what it found."""
    return (Finding("Benchmarks", "contamination", tuple(sentences(view)), tuple(summary_lines(view))),)


def _check(row: dict[str, Any]) -> CheckRow:
    return CheckRow(
        rule=row["rule"],
        version=row["rule_version"],
        canaries=row["canaries"],
        found=row["found"],
        passed=row["found"] == row["canaries"] if row["canaries"] else None,
        decoys=row["decoys"],
        decoy_share=row.get("decoy_share"),
        hit=row["hit"],
        rate=row["false_positive_rate"],
        low=row["low"],
        high=row["high"],
        reason=row["reason"] or "",
    )


def _copies(rows: Sequence[dict[str, Any]], checks: Sequence[CheckRow]) -> tuple[CopyRow, ...]:
    """Kinds of copy in the order of the table, their figures in the order of the rules."""
    kinds: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        kinds[row["copy"]][row["rule"]] = row
    return tuple(
        CopyRow(
            name,
            next(iter(own.values()))["about"],
            tuple((own[c.rule]["found"], own[c.rule]["canaries"]) if c.rule in own else (0, 0) for c in checks),
            tuple(rule for rule, row in own.items() if row["required"]),
        )
        for name, own in kinds.items()
    )


def _benchmarks(summary: Sequence[dict[str, Any]], contaminated: dict[str, int]) -> list[BenchmarkRow]:
    """Benchmarks by their largest share, descending."""
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in summary:
        grouped[row["benchmark"]].append(row)
    rows = [
        BenchmarkRow(
            name,
            max(row["items"] for row in own),
            max(row["bad_rows"] for row in own),
            next((row["bad_reasons"] for row in own if row["bad_reasons"]), ""),
            next((row["remarks"] for row in own if row.get("remarks")), ""),
            contaminated.get(name, 0),
            tuple(_rule(row) for row in own),
        )
        for name, own in grouped.items()
    ]
    return sorted(rows, key=lambda row: -max((rule.share or 0.0 for rule in row.rules), default=0.0))


def _rule(row: dict[str, Any]) -> RuleRow:
    return RuleRow(
        rule=row["rule"],
        testable=row["testable"],
        untestable=row["untestable"],
        contaminated=row["contaminated"],
        boilerplate=row["boilerplate"],
        share=row["share"],
        low=row["low"],
        high=row["high"],
        mean_score=row["mean_score"],
        threshold=row["threshold"],
    )


def _rules(summary: Sequence[dict[str, Any]]) -> tuple[RuleText, ...]:
    definitions = {row["rule"]: RuleText(row["rule"], row["rule_version"], row["about"]) for row in summary}
    return tuple(definitions.values())


def _leaks(rows: Sequence[dict[str, Any]], named: Sequence[str]) -> list[LeakRow]:
    """Domains by items, then documents; an item that is in two domains counts in both."""
    grouped: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for row in rows:
        grouped[row["domain"]][row["benchmark"]] = row["items"], row["documents"]
    leaks = [
        LeakRow(
            domain,
            sum(items for items, _ in own.values()),
            max(documents for _, documents in own.values()),
            tuple(own.get(name, (0, 0))[0] for name in named),
        )
        for domain, own in grouped.items()
    ]
    return sorted(
        (row for row in leaks if row.items or row.documents), key=lambda row: (-row.items, -row.documents, row.domain)
    )


def _worst(contaminated: pa.Table, matches: pa.Table) -> tuple[ItemRow, ...]:
    """The contaminated items that most rules agree on, then those with the longest match."""
    rules: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in contaminated.select(["benchmark", "item", "rule", "longest", "unit"]).to_pylist():
        rules[row["benchmark"], row["item"]].append(row)

    def weight(key: tuple[str, str]) -> tuple[int, int, str, str]:
        return -len(rules[key]), -max(row["longest"] for row in rules[key]), *key

    selected = sorted(rules, key=weight)[:ITEMS]
    wanted = pc.is_in(matches["item"], pa.array([item for _, item in selected], matches.schema.field("item").type))
    by_item: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in matches.filter(wanted).to_pylist():
        by_item[row["benchmark"], row["item"]].append(row)
    items = []
    for key in selected:
        longest = max(rules[key], key=lambda row: row["longest"])
        own = sorted(by_item[key], key=lambda row: (-(row["covered"] or 0.0), -row["longest"], row["document"]))
        shown = tuple(_match(row) for row in own[:MATCHES])
        names = tuple(row["rule"] for row in rules[key])
        items.append(ItemRow(*key, names, longest["longest"], longest["unit"], shown, len(own) - len(shown)))
    return tuple(items)


def _match(row: dict[str, Any]) -> MatchRow:
    name = row["id"] if row["id"] is not None else row["document"]
    figures = (row[column] for column in ("longest", "unit", "covered", "offset", "length"))
    return MatchRow(name, row["domain"], row["documents"], *figures)


def _untestable(items: pa.Table) -> int:
    """Items that are too short for every rule."""
    tested = items.filter(pc.not_equal(items["outcome"], "untestable")).group_by(["benchmark", "item"]).aggregate([])
    return len(items.group_by(["benchmark", "item"]).aggregate([])) - len(tested)


def _boilerplate_only(items: pa.Table, contaminated: pa.Table) -> int:
    """The number of items that some rule finds in boilerplate and no rule calls contaminated."""
    boilerplate = items.filter(pc.equal(items["outcome"], "boilerplate")).group_by(["benchmark", "item"]).aggregate([])
    return len(boilerplate.join(contaminated, ["benchmark", "item"], join_type="left anti"))
