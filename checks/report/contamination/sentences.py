"""What the report says of contamination, in sentences and in lines for a terminal."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterator

from corpus_audit.checks.report.contamination.records import BenchmarkRow, ContaminationView, RuleRow
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.plurals import agree
from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.checks.text.sentences import Name, Sentence
from corpus_audit.pipelines.contamination.copies import COPIES

LINE = 68
"""Columns of a line of the terminal's summary, without the topic."""

_SHORT = {copy.name: copy.short for copy in COPIES}


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
        f"{numbers.grouped(view.contaminated)} of {numbers.plural(view.items, 'benchmark item')} in "
        f"{'captions of images' if view.of_images else 'the corpus'}"
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


def sentences(view: ContaminationView) -> Iterator[Sentence]:
    """The summary's sentences: first whether the scan passed its own check, then what it found."""
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
        f"{agree(view.contaminated, 'is', 'are')} contaminated by at least one rule"
        f"{', in captions of images' if view.of_images else ''}.",
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
