"""Charts of the section on contamination; see `charts/svg.py` for the conventions."""

from __future__ import annotations

from markupsafe import Markup

from corpus_audit.checks.report.charts.svg import Chart, element, percent, round_ticks, share_axis
from corpus_audit.checks.report.contamination.records import ContaminationView
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import safe_text


def check(view: ContaminationView) -> Markup:
    """The self-check by rule: planted items found, and the decoys' false-positive rate with its interval."""
    pitch, top = 24, 22
    bottom = top + pitch * len(view.checks)
    title = "The scan's own check by rule: planted items found and decoys hit; the figures are in the table below."
    chart = Chart("chart-contamination-check", title, bottom + 24, 56.0, 16.0)
    rates = element(chart.root, "svg", x="60%", y="0", width="24%", height=bottom + 24, class_="plot")
    recall_ticks, _ = share_axis(1.0)
    rates_shown = [value for row in view.checks for value in (row.rate, row.high) if value is not None]
    rate_ticks, end = share_axis(max([*rates_shown, 0.01]))
    for plot, ticks, head in (
        (chart.plot, [tick for index, tick in enumerate(recall_ticks) if index % 2 == 0 or tick[0] == 100], "recall"),
        (rates, rate_ticks, "decoys hit"),
    ):
        for at, text in ticks:
            x = percent(at)
            element(plot, "line", x1=x, x2=x, y1=top, y2=bottom, class_="grid")
            element(plot, "text", text, x=x, y=bottom + 16, class_="tick")
        element(plot, "text", head, x="0", y=top - 8, class_="tick start")
    for index, row in enumerate(view.checks):
        y = top + pitch * index
        middle = y + pitch / 2
        chart.label(row.rule, middle + 4)
        if row.canaries:
            recall = row.found / row.canaries
            kind = "bar" if row.passed else "bar lost"
            element(chart.plot, "rect", x="0", y=y + 6, width=percent(100 * recall), height=pitch - 12, class_=kind)
        text = f"{row.found:,} of {row.canaries:,}" if row.canaries else "none planted"
        element(chart.root, "text", text, x="57%", y=middle + 4, class_="figure")
        if row.rate is not None:
            width = percent(100 * row.rate / end)
            element(rates, "rect", x="0", y=y + 6, width=width, height=pitch - 12, class_="bar rest")
        if row.low is not None and row.high is not None:
            left, right = percent(100 * row.low / end), percent(100 * row.high / end)
            element(rates, "line", x1=left, x2=right, y1=middle, y2=middle, class_="whisker")
            for x in (left, right):
                element(rates, "line", x1=x, x2=x, y1=middle - 3, y2=middle + 3, class_="whisker")
        chart.figure(f"{row.hit:,} of {row.decoys:,}" if row.hit is not None else numbers.NONE, middle + 4)
    return chart.markup()


def shares(view: ContaminationView) -> Markup:
    """Contaminated of testable items by benchmark and rule, with Wilson intervals, and the counts beside them."""
    pitch, gap, top = 17, 10, 4
    blocks = [pitch * len(benchmark.rules) + gap for benchmark in view.benchmarks]
    bottom = top + sum(blocks)
    title = "Contaminated share of testable items by benchmark and rule; the figures are in the table below."
    chart = Chart("chart-contamination-shares", title, bottom + 24, 25.0, 33.0)
    names = element(chart.root, "svg", x="0", y="0", width="19%", height=bottom)
    rules = element(chart.root, "svg", x="20%", y="0", width="12%", height=bottom)
    every = [rule for benchmark in view.benchmarks for rule in benchmark.rules]
    ticks, end = share_axis(max([rule.high or rule.share or 0.0 for rule in every] + [0.01]))
    end, ticks = (1.0, share_axis(1.0)[0]) if end > 1 else (end, ticks)
    chart.grid(ticks, top, bottom)
    y = top
    for benchmark, block in zip(view.benchmarks, blocks, strict=True):
        element(names, "text", safe_text(benchmark.name, 32), x="0", y=y + pitch - 2, class_="label")
        element(chart.root, "line", x1="0", x2="100%", y1=y - 2, y2=y - 2, class_="grid")
        for index, rule in enumerate(benchmark.rules):
            at = y + pitch * index
            middle = at + pitch / 2
            element(rules, "text", safe_text(rule.rule, 20), x="0", y=middle + 4, class_="tick start")
            if rule.share is None:
                about = "no threshold" if rule.testable else "nothing testable"
                element(chart.plot, "text", about, x="0", y=middle + 4, dx="4", class_="tick start")
            else:
                width = percent(100 * rule.share / end)
                element(chart.plot, "rect", x="0", y=at + 3, width=width, height=pitch - 6, class_="bar")
                chart.whisker(rule.low, rule.high, end, middle)
            counted = numbers.NONE if rule.contaminated is None else f"{rule.contaminated:,}"
            chart.figure(f"{counted} of {rule.testable:,}", middle + 4, 88.0)
            chart.figure(f"{rule.untestable:,}", middle + 4, kind="figure quiet")
        y += block
    return chart.markup()


def leaks(view: ContaminationView) -> Markup:
    """Items found by domain, over all benchmarks."""
    pitch, top = 22, 4
    bottom = top + pitch * len(view.leaks)
    title = "Benchmark items found by domain; the figures are in the table below."
    chart = Chart("chart-contamination-leaks", title, bottom + 24, 14.0, 30.0)
    steps = round_ticks(max((row.items for row in view.leaks), default=1))
    ticks = [(100 * step / steps[-1], f"{step:,.0f}") for step in steps if step == int(step)]
    chart.grid(ticks, top, bottom)
    for index, row in enumerate(view.leaks):
        y = top + pitch * index
        chart.label(row.domain, y + pitch / 2 + 4)
        width = percent(100 * row.items / steps[-1])
        element(chart.plot, "rect", x="0", y=y + 5, width=width, height=pitch - 10, class_="bar")
        chart.figure(numbers.grouped(row.items), y + pitch / 2 + 4)
    return chart.markup()
