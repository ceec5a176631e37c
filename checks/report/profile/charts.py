"""Charts of the profile: shares, lengths, duplicates, dead letters and coverage; see `charts/svg.py`."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10

from markupsafe import Markup

from corpus_audit.checks.report.charts.svg import BarPart, Chart, attribute, element, percent, share_axis
from corpus_audit.checks.report.profile.labels import duplicate_label, length_label, share_label
from corpus_audit.checks.report.profile.records import DuplicateRow, LengthPanel, OutcomeRow, ShareRow, Unit
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.plurals import agree
from corpus_audit.schemas.run.run_file import RunCoverage


def shares(rows: Sequence[ShareRow], unit: Unit, decimals: int) -> Markup:
    """Shares as bars with their 95 % intervals, and the intended shares as ticks across them.

    A row that sums up many domains has figures and no bar: it would set the scale for all others.
    """
    pitch, top = 24, 4
    bottom = top + pitch * len(rows)
    compared = any(row.intended is not None for row in rows)
    against = " against the intended mixture" if compared else ""
    title = f"Share of {unit} by domain with 95 % intervals{against}; the figures are in the table below."
    chart = Chart("chart-shares", title, bottom + 24, 23.0 if compared else 14.0)
    named = [row for row in rows if not row.folded]
    reach = [max(row.amount(unit).high or row.amount(unit).share, row.intended or 0.0) for row in named]
    ticks, end = share_axis(max(reach, default=1.0))
    chart.grid(ticks, top, bottom)
    for index, row in enumerate(rows):
        amount, y = row.amount(unit), top + pitch * index
        middle = y + pitch / 2
        chart.label(share_label(row), middle + 4)
        if not row.folded:
            width = percent(100 * amount.share / end)
            element(chart.plot, "rect", x="0", y=y + 6, width=width, height=pitch - 12, class_="bar")
        chart.whisker(amount.low, amount.high, end, middle)
        if row.intended is not None and not row.folded:
            x = percent(100 * row.intended / end)
            element(chart.plot, "line", x1=x, x2=x, y1=y + 2, y2=y + pitch - 2, class_="target")
        chart.figure(numbers.percent(amount.share, decimals), middle + 4, 88.5 if compared else 100.0)
        if row.difference is not None:
            chart.figure(numbers.points(row.difference, decimals), middle + 4, kind="figure quiet")
    return chart.markup()


def lengths(panel: LengthPanel) -> Markup:
    """Lengths on a logarithmic axis, a ridge a domain; below it the median and the 5-95 and 25-75 % ranges."""
    ridge, pitch, top = 24, 38, 6
    bottom = top + pitch * len(panel.rows)
    title = (
        f"Lengths of documents in {panel.unit}, by domain, on a logarithmic axis; the figures are in the table below."
    )
    chart = Chart(f"chart-lengths-{panel.unit}", title, bottom + 24, labels=36.0)
    low, high = log10(panel.low), log10(panel.high)

    def position(value: float) -> float:
        """Position of a length in per cent of the axis."""
        return min(max(100 * (log10(max(value, 0.5)) - low) / (high - low), 0.0), 100.0)

    decades = [10**power for power in range(ceil(low - 1e-9), floor(high + 1e-9) + 1)]
    chart.grid([(position(decade), numbers.tick(decade)) for decade in decades], top, bottom)
    for index, row in enumerate(panel.rows):
        y = top + pitch * index
        base = y + 4 + ridge
        chart.label(length_label(row), base - 4, strong=row.everything)
        bins = len(row.density)
        ridges = element(chart.plot, "svg", x="0", y=y + 4, width="100%", height=ridge, class_="ridge")
        ridges.attrib |= {"viewBox": f"0 0 {bins} 1", "preserveAspectRatio": "none"}
        points = " ".join(f"{i + 0.5:g},{attribute(1 - density)}" for i, density in enumerate(row.density))
        element(ridges, "polygon", points=f"0,1 {points} {bins},1", class_="area rest" if row.everything else "area")
        p5, p25, median, p75, p95, _ = (percent(position(value)) for value in row.quantiles)
        element(chart.plot, "line", x1=p5, x2=p95, y1=base + 3, y2=base + 3, class_="range")
        element(chart.plot, "line", x1=p25, x2=p75, y1=base + 3, y2=base + 3, class_="range middle")
        element(chart.plot, "line", x1=median, x2=median, y1=base - 9, y2=base + 7, class_="median")
    return chart.markup()


def duplicates(rows: Sequence[DuplicateRow], decimals: int) -> Markup:
    """Two bars a domain: documents that repeat one of the same domain (filled), or of another domain (outlined)."""
    pitch, top = 32, 4
    bottom = top + pitch * len(rows)
    title = "Exact duplicates by domain, as shares of documents; the figures are in the table below."
    chart = Chart("chart-duplicates", title, bottom + 24, 12.0)
    rates = [
        (
            row.duplicate_documents / row.documents if row.documents else 0.0,
            row.across_documents / row.documents if row.documents else 0.0,
        )
        for row in rows
    ]
    reach = [max(*pair, row.documents_high or 0.0) for row, pair in zip(rows, rates, strict=True)]
    ticks, end = share_axis(max(reach, default=0.01) or 0.01)
    chart.grid(ticks, top, bottom)
    for index, (row, (within, across)) in enumerate(zip(rows, rates, strict=True)):
        y = top + pitch * index
        chart.label(duplicate_label(row), y + pitch / 2 + 4, strong=row.everything)
        bar = "bar rest" if row.everything or row.folded else "bar"
        element(chart.plot, "rect", x="0", y=y + 5, width=percent(100 * within / end), height=9, class_=bar)
        chart.whisker(row.documents_low, row.documents_high, end, y + 9.5)
        element(chart.plot, "rect", x="0", y=y + 16, width=percent(100 * across / end), height=7, class_="bar hollow")
        chart.figure(numbers.percent(within, decimals), y + 13)  # beside its bar: on a phone, columns would touch
        chart.figure(numbers.percent(across, decimals), y + 27, kind="figure quiet")
    return chart.markup()


def dead_letters(rows: Sequence[OutcomeRow]) -> Markup:
    """Dead letters by reason."""
    pitch, top = 24, 4
    title = "Rows that could not be counted, by reason; the figures are in the table below."
    chart = Chart("chart-dead-letters", title, 2 * top + pitch * len(rows), 14.0)
    largest = max((row.rows for row in rows), default=1) or 1
    for index, row in enumerate(rows):
        y = top + pitch * index
        chart.label(row.reason, y + pitch / 2 + 4)
        width = percent(max(100 * row.rows / largest, 0.5))
        element(chart.plot, "rect", x="0", y=y + 6, width=width, height=pitch - 12, class_="bar lost")
        chart.figure(numbers.grouped(row.rows), y + pitch / 2 + 4)
    return chart.markup()


def coverage_parts(coverage: RunCoverage) -> tuple[tuple[str, tuple[BarPart, ...]], ...]:
    """What became of shards and of rows: counted, left out on purpose, lost."""
    shards = (
        BarPart("read now", coverage.shards_read, "part"),
        BarPart("read in an earlier run", coverage.shards_cached, "part cached"),
        BarPart("not in the sample", coverage.shards_not_sampled, "part left"),
        BarPart("in error", coverage.shards_error, "part lost"),
    )
    rows = (
        BarPart(agree(coverage.documents, "document", "documents"), coverage.documents, "part"),
        BarPart("filtered", coverage.filtered, "part left"),
        BarPart(agree(coverage.dead_letters, "dead letter", "dead letters"), coverage.dead_letters, "part lost"),
    )
    return ("Shards", shards), ("Rows", rows)
