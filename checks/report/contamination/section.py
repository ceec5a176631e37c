"""The report's section on contamination: benchmark items in the corpus, and how far the scan can be trusted."""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
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
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.plurals import agree
from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.checks.text.sentences import Finding, Name, Sentence
from corpus_audit.pipelines.contamination.copies import COPIES
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables.contamination_tables import CONTAMINATION_TABLES

BENCHMARKS = 12
LEAKS = 20
LEAK_BENCHMARKS = 6
ITEMS = 20
MATCHES = 3

LINE = 68
"""Columns of a line of the terminal's summary, without the topic."""

_COPIES = "contamination_copies"
_SHORT = {copy.name: copy.short for copy in COPIES}


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
    return (Finding("Benchmarks", "contamination", tuple(_sentences(view)), tuple(summary_lines(view))),)


def summary_lines(view: ContaminationView) -> list[str]:
    """At most eight lines of at most 68 columns for a terminal."""
    if view.failed:
        lines = [f"scan failed its check: planted copies missed by {', '.join(row.rule for row in view.failed)}"]
    elif view.check_passed:
        lines = ["scan checked; planted copies found, lowest to highest rule:"]
    else:
        lines = ["scan not fully checked: nothing could be planted for some rules"]
    if not view.failed and view.copies:
        lines += textwrap.wrap("; ".join(recalls(view)), LINE - 2, initial_indent="  ", subsequent_indent="  ")[:3]
    rates = [row for row in view.checks if row.rate is not None]
    if rates and not view.failed:
        worst = max(rates, key=lambda row: row.rate or 0.0)
        lines.append(f"decoys hit up to {numbers.percent(worst.rate or 0.0, 1)} ({worst.rule})")
    lines.append(
        f"{numbers.grouped(view.contaminated)} of {numbers.plural(view.items, 'benchmark item')} in the corpus"
    )
    worst_row = _largest(view)
    if worst_row is not None:
        benchmark, rule = worst_row
        lines.append(
            f"highest: {safe_text(benchmark.name, 16)}, {_share(rule, view)} "
            f"{numbers.interval(rule.low, rule.high, decimals(view))} of {rule.testable:,} by {rule.rule}"
        )
    if view.leaks and view.leaks[0].items:
        lines.append(
            f"most items in: {safe_text(view.leaks[0].domain, 36)}, {numbers.plural(view.leaks[0].items, 'item')}"
        )
    return [fit(safe_text(line, 400), LINE).rstrip() for line in lines]


def recalls(view: ContaminationView) -> list[str]:
    """Shares of each kind of copy that the rules find, from lowest to highest rule: ``case 12 % to 100 %``.

    Kinds with the same figures are listed together; kinds of which nothing was planted are left out.
    """
    kinds: dict[str, list[str]] = defaultdict(list)
    for row in view.copies:
        if row.range is not None:
            low, high = (numbers.percent(share, 0) for share in row.range)
            kinds[low if low == high else f"{low} to {high}"].append(_SHORT.get(row.name, row.name))
    return [f"{', '.join(names)} {figures}" for figures, names in kinds.items()]


def decimals(view: ContaminationView) -> int:
    """Decimals of the shares, as the widths of their intervals allow."""
    rows = [rule for benchmark in view.benchmarks for rule in benchmark.rules]
    return numbers.share_decimals(row.high - row.low for row in rows if row.low is not None and row.high is not None)


def _sentences(view: ContaminationView) -> Iterator[Sentence]:
    if view.failed:
        parts: list[str | Name] = ["The scan failed its own check, so its figures must not be used: "]
        for index, row in enumerate(view.failed):
            parts += ["; " if index else "", Name(row.rule), f" found {row.found:,} of {row.canaries:,} planted copies"]
        yield (*parts, ".")
    elif view.check_passed:
        every = all(row.range in (None, (1.0, 1.0)) for row in view.copies)
        if every:
            yield ("Every planted copy of a benchmark item was found, of every kind and by every rule.",)
        else:
            yield (f"Planted copies found, lowest to highest rule: {'; '.join(recalls(view))}.",)
    else:
        yield ("For some rules no benchmark item could be planted, so it is unknown whether they find copies.",)
    rates = sorted((row.rate, row.rule) for row in view.checks if row.rate is not None)
    if rates and not view.failed:
        (low, _), (high, most) = rates[0], rates[-1]
        span = numbers.percent(high, 1) if low == high else f"{numbers.percent(low, 1)} to {numbers.percent(high, 1)}"
        yield (
            f"Of the decoys (passages of documents left out of the matching), rules call {span} contaminated (most: ",
            Name(most),
            "); a contaminated share that is no larger is no evidence.",
        )
    yield (
        f"{numbers.grouped(view.contaminated)} of {numbers.plural(view.items, 'benchmark item')} "
        f"{agree(view.contaminated, 'is', 'are')} contaminated by at least one rule.",
    )
    largest = _largest(view)
    if largest is not None:
        benchmark, rule = largest
        bounds = ""
        if rule.low is not None:
            bounds = " " + numbers.interval(rule.low, rule.high, decimals(view))
        yield (
            "The largest share is of ",
            Name(benchmark.name),
            f": {_share(rule, view)}{bounds} of {numbers.plural(rule.testable, 'testable item')} by ",
            Name(rule.rule),
            ".",
        )
    if view.leaks and view.leaks[0].items:
        items = numbers.plural(view.leaks[0].items, "item")
        yield ("The domain with the most items is ", Name(view.leaks[0].domain), f" ({items}).")
    bad = sum(row.bad_rows for row in view.benchmarks)
    if bad:
        yield (f"{numbers.plural(bad, 'row')} of the benchmarks {agree(bad, 'is not an item', 'are not items')}.",)
    if view.untestable:
        yield (
            f"{numbers.plural(view.untestable, 'item')} {agree(view.untestable, 'is', 'are')} too short for every rule "
            f"and {agree(view.untestable, 'remains', 'remain')} untested.",
        )


def _largest(view: ContaminationView) -> tuple[BenchmarkRow, RuleRow] | None:
    pairs = [(benchmark, rule) for benchmark in view.benchmarks for rule in benchmark.rules if rule.share]
    return max(pairs, key=lambda pair: pair[1].share or 0.0, default=None)


def _share(rule: RuleRow, view: ContaminationView) -> str:
    return numbers.percent(rule.share or 0.0, decimals(view))


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
