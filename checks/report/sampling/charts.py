"""Charts of the section on sampling; see `charts/svg.py` for the conventions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from markupsafe import Markup

from corpus_audit.checks.report.charts.plots import LogAxis, band, key, line, mark, spread_apart, stretched
from corpus_audit.checks.report.charts.svg import Chart, element, percent, share_axis
from corpus_audit.checks.report.sampling.records import DocumentWeights, DomainDraws, SamplingView, StrategyRow
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import safe_text

ROWS = 48
"""Rows of domain and strategy in the chart of repeats."""

COLUMNS = 5
"""Strategies beside the temperature curve; the table lists all of them."""

__all__ = [
    "against_temperature",
    "document_weights",
    "effective_tokens",
    "key",
    "probability",
    "repeats",
    "shown_domains",
    "three_digits",
]

Figure = Literal["share", "epochs"]


def three_digits(value: float | None) -> str:
    """A figure in about three_digits digits: ``0.0123``, ``4.21``, ``1,204``."""
    if value is None:
        return numbers.NONE
    return f"{value:,.0f}" if abs(value) >= 99.5 else f"{value:.3g}".replace("e-0", "e-")


def probability(value: float | None) -> str:
    """A probability in about three digits; below 0.0001 it is written ``< 0.0001``."""
    return "< 0.0001" if value is not None and value < 1e-4 else three_digits(value)


def shown_domains(strategies: int) -> int:
    """Domains in the chart of repeats, so that it has about `ROWS` rows."""
    return min(max(ROWS // max(strategies, 1), 4), 12)


def effective_tokens(view: SamplingView) -> Markup:
    """Tokens that each strategy draws (outline) and their worth in unique tokens (bar), with the budget as a tick."""
    pitch, top = 30, 4
    bottom = top + pitch * len(view.strategies)
    title = "Tokens drawn and effective tokens by strategy, against the budget; the figures are in the table below."
    chart = Chart("chart-sampling-worth", title, bottom + 24, 22.0, 24.0)
    reach = max(view.budget, view.optimal or 0, *(row.allocated for row in view.strategies))
    ticks, end = _token_axis(reach)
    chart.grid(ticks, top, bottom)
    for index, row in enumerate(view.strategies):
        y = top + pitch * index
        chart.label(row.name, y + pitch / 2 + 4)
        drawn, effective = (percent(100 * tokens / end) for tokens in (row.allocated, row.effective))
        element(chart.plot, "rect", x="0", y=y + 5, width=drawn, height=pitch - 10, class_="bar hollow")
        element(chart.plot, "rect", x="0", y=y + 9, width=effective, height=pitch - 18, class_="bar")
        chart.figure(numbers.compact(row.effective), y + pitch / 2 + 4, 89.0)
        chart.figure(numbers.compact(row.allocated), y + pitch / 2 + 4, kind="figure quiet")
    x = percent(100 * view.budget / end)
    element(chart.plot, "line", x1=x, x2=x, y1=top, y2=bottom, class_="target")
    if view.optimal:
        x = percent(100 * view.optimal / end)
        element(chart.plot, "line", x1=x, x2=x, y1=top, y2=bottom, class_="dashed")
    return chart.markup()


def against_temperature(view: SamplingView, figure: Figure) -> Markup:
    """Share or epochs of the named domains over alpha from 1 to 0, and the strategies that are on no such curve.

    Both axes of figures are logarithmic. Strategies on the curve are upright lines across it; the others have a column
    each to its right.
    """
    on = [row for row in view.strategies if _on_curve(row)]
    off = [row for row in view.strategies if not _on_curve(row)][:COLUMNS]
    top, height = 46, 250
    bottom = top + height
    what = "Share of training tokens" if figure == "share" else "Epochs"
    title = f"{what} by domain over the temperature exponent, with the strategies; the figures are in the table below."
    chart = Chart(f"chart-sampling-{figure}", title, bottom + 40, labels=26.0)
    chart.labels.set("width", "20.5%")
    width = 100.0 - 11.5 * len(off)
    axis = LogAxis.around(_all_values(view, figure, off))

    def down(value: float) -> float:
        return 100 - axis.at(value)

    def height_of(value: float) -> float:
        return top + height * down(value) / 100

    for value in axis.ticks():
        y = height_of(value)
        once = figure == "epochs" and abs(value - 1) < 1e-9
        element(chart.plot, "line", x1="0", x2="100%", y1=y, y2=y, class_="range" if once else "grid")
        text = f"{100 * value:.3g} %" if figure == "share" else three_digits(value)
        element(chart.plot, "text", text, x="0", y=y + 4, dx="-7", class_="tick end")
    area = stretched(chart.plot, 0.0, top, width, height)
    across = [100 * (1 - alpha) for alpha in view.alphas]
    if view.band is not None:
        low, high = (
            getattr(view.band, f"{'share' if figure == 'share' else 'epochs'}_{end}") for end in ("low", "high")
        )
        band(area, [(x, down(a), down(b)) for x, a, b in zip(across, low, high, strict=True)], "others")
    for index, row in enumerate(view.curves):
        values = row.shares if figure == "share" else row.epochs
        line(area, [(x, down(value)) for x, value in zip(across, values, strict=True)], f"curve s{index}")
    _strategy_marks(view, chart, figure, on, off, width, height_of, (top, bottom))
    ends = [row.shares[0] if figure == "share" else row.epochs[-1] for row in view.curves]
    heights = spread_apart([height_of(value) for value in ends], 17.0, top + 6, bottom - 2)
    for index, (row, y) in enumerate(zip(view.curves, heights, strict=True)):
        mark(chart.labels, index, 3.0, y, f"mark s{index}")
        element(chart.labels, "text", safe_text(row.name, 32), x=percent(7.5), y=y + 4, class_="label")
    for alpha in (1.0, 0.8, 0.6, 0.4, 0.2, 0.0):
        x = percent(width * (1 - alpha))
        element(chart.plot, "text", f"{alpha:g}", x=x, y=bottom + 16, class_="tick")
    about = "exponent alpha: 1 proportional, 0 the same for every domain"
    element(chart.plot, "text", about, x=percent(width / 2), y=bottom + 33, class_="tick")
    return chart.markup()


def repeats(view: SamplingView) -> Markup:
    """When a domain is used up, in training tokens, and how often its documents are drawn, by domain and strategy."""
    line_height, gap, top = 15, 9, 22
    block = line_height * len(view.strategies) + gap
    bottom = top + block * len(view.repeats)
    title = "Exhaustion points and repeats of documents by domain and strategy; the figures are in the tables below."
    chart = Chart("chart-sampling-repeats", title, bottom + 24, 35.0, 34.0)
    names = element(chart.root, "svg", x="0", y="0", width="18%", height=bottom)
    strategies = element(chart.root, "svg", x="19%", y="0", width="14%", height=bottom)
    second = element(chart.root, "svg", x="68%", y="0", width="31%", height=bottom + 24, class_="plot")
    draws = [draw for row in view.repeats for draw in row.draws if draw is not None]
    first_axis = LogAxis.around(
        [view.budget, *(min(d.exhaustion, 10 * view.budget) for d in draws if d.exhaustion)], 0.08
    )
    drawn = [max(value, 0.01) for d in draws for value in (d.expected, d.most_replaced) if value]
    second_axis = LogAxis.around([1.0, *drawn], 0.06)
    for plot, axis, head in (
        (chart.plot, first_axis, "used up once after training tokens"),
        (second, second_axis, "draws of a document"),
    ):
        element(plot, "text", head, x="0", y=top - 9, class_="tick start")
        for value in axis.ticks():
            x = percent(axis.at(value))
            element(plot, "line", x1=x, x2=x, y1=top, y2=bottom, class_="grid")
            element(plot, "text", numbers.tick(value), x=x, y=bottom + 16, class_="tick")
    x = percent(first_axis.at(view.budget))
    element(chart.plot, "line", x1=x, x2=x, y1=top, y2=bottom, class_="target")
    for index, row in enumerate(view.repeats):
        y = top + block * index
        element(names, "text", safe_text(row.name, 32), x="0", y=y + line_height - 2, class_="label")
        element(chart.root, "line", x1="0", x2="100%", y1=y - 3, y2=y - 3, class_="grid")
        for strategy, draw in zip(view.strategies, row.draws, strict=True):
            element(strategies, "text", safe_text(strategy.name, 32), x="0", y=y + line_height - 2, class_="tick start")
            middle = y + line_height / 2 + 1
            if draw is not None and draw.exhaustion:
                beyond = draw.exhaustion > first_axis.high
                used = (draw.epochs or 0.0) >= 1 - 1e-9
                shape = 3 if beyond else 0
                mark(chart.plot, shape, first_axis.at(draw.exhaustion), middle, "dot" if used else "dot hollow")
            if draw is not None and draw.expected:
                left = second_axis.at(draw.expected)
                right = second_axis.at(draw.most_replaced or draw.expected)
                element(second, "line", x1=percent(left), x2=percent(right), y1=middle, y2=middle, class_="whisker")
                element(
                    second,
                    "line",
                    x1=percent(right),
                    x2=percent(right),
                    y1=middle - 4,
                    y2=middle + 4,
                    class_="whisker",
                )
                mark(second, 0, left, middle, "dot")
            y += line_height
    return chart.markup()


def document_weights(weights: DocumentWeights, number: int) -> Markup:
    """By domain, the weight that was written (a share of documents) and the share of training tokens it gives."""
    pitch, top = 24, 4
    bottom = top + pitch * len(weights.rows)
    title = (
        f"Document weights of {weights.strategy} and the token shares they give; the figures are in the table below."
    )
    chart = Chart(f"chart-sampling-trap-{number}", title, bottom + 24, 22.0)
    ticks, end = share_axis(max((max(row.weight, row.share) for row in weights.rows), default=1.0))
    chart.grid(ticks, top, bottom)
    for index, row in enumerate(weights.rows):
        middle = top + pitch * index + pitch / 2
        chart.label(row.domain, middle + 4)
        weight, share = 100 * row.weight / end, 100 * row.share / end
        element(chart.plot, "line", x1=percent(weight), x2=percent(share), y1=middle, y2=middle, class_="whisker")
        mark(chart.plot, 0, weight, middle, "dot hollow")
        mark(chart.plot, 0, share, middle, "dot")
        chart.figure(numbers.percent(row.weight, 1), middle + 4, 89.0, "figure quiet")
        chart.figure(numbers.percent(row.share, 1), middle + 4)
    return chart.markup()


def _on_curve(row: StrategyRow) -> bool:
    """Whether a temperature between proportional and uniform draws the strategy's mixture."""
    return row.alpha is not None and -1e-9 <= row.alpha <= 1 + 1e-9


def _all_values(view: SamplingView, figure: Figure, off: Sequence[StrategyRow]) -> list[float]:
    values = [value for row in view.curves for value in (row.shares if figure == "share" else row.epochs)]
    if view.band is not None and figure == "share":
        values += [min(view.band.share_low), max(view.band.share_high)]
    elif view.band is not None:
        values += [min(view.band.epochs_low), max(view.band.epochs_high)]
    drawn = (_drawn(view, row, strategy, figure) for row in view.curves for strategy in off)
    return values + [value for value in drawn if value is not None]


def _drawn(view: SamplingView, row: DomainDraws, strategy: StrategyRow, figure: Figure) -> float | None:
    draw = row.draws[view.strategies.index(strategy)]
    value = None if draw is None else draw.share if figure == "share" else draw.epochs
    return value or None  # a logarithmic axis has no 0


def _strategy_marks(
    view: SamplingView,
    chart: Chart,
    figure: Figure,
    on: Sequence[StrategyRow],
    off: Sequence[StrategyRow],
    width: float,
    height_of: Callable[[float], float],
    ends: tuple[int, int],
) -> None:
    """An upright line and its name for every strategy, and the marks of the named domains on it."""
    top, bottom = ends
    # A name is written on the first of three levels where it does not overlap one written there before; the lines go
    # from left to right, so it is enough to know where the last name of a level ends.
    level_ends = [0.0, 0.0, 0.0]
    positions = [(row, width * (1 - (row.alpha or 0.0))) for row in on]
    positions += [(row, width + 11.5 * (index + 0.6)) for index, row in enumerate(off)]
    for row, x in sorted(positions, key=lambda position: position[1]):
        name = safe_text(row.name, 20)
        # A character is about 0.9 per cent of the plot wide; names near an edge begin or end there.
        size = 0.9 * len(name)
        left = min(max(x - size / 2, 0.0), 100.0 - size)
        level = next((n for n, end in enumerate(level_ends) if left >= end), 2)
        level_ends[level] = max(level_ends[level], left + size + 1)
        y = top - 6 - 13 * level
        element(chart.plot, "line", x1=percent(x), x2=percent(x), y1=y + 4, y2=bottom, class_="dashed")
        at, anchor = (100.0, "end") if left == 100.0 - size else (left, "start")
        element(chart.plot, "text", name, x=percent(at), y=y, class_=f"tick {anchor} named")
        for index, domain in enumerate(view.curves):
            value = _drawn(view, domain, row, figure)
            if value is not None:
                mark(chart.plot, index, x, height_of(value), f"mark s{index}")


def _token_axis(largest: float) -> tuple[list[tuple[float, str]], float]:
    ticks, end = share_axis(largest / 100)
    return [(at, numbers.tick(round(end * at, 6))) for at, _ in ticks], end * 100
