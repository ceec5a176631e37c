"""The chart of a sampler's log: distance, realised shares and loss over the windows of steps, on one axis."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from corpus_audit.checks.report.charts.plots import band, line, mark, stretched
from corpus_audit.checks.report.charts.svg import Chart, element, percent
from corpus_audit.checks.report.sampling.records import LogView, Series, Window
from corpus_audit.checks.text import numbers

TOP, DISTANCE, SERIES, LOSS, GAP = 18, 60, 46, 76, 16


def windows(log: LogView) -> Markup:
    """Rows over the steps: distance of the mixture, each domain's realised share against the intended, the loss.

    Windows that differ have a filled bar and a mark above it; where loss and mixture both jump, a dashed line runs
    through all rows.
    """
    has_loss = any(window.loss is not None for window in log.windows)
    bottom = TOP + DISTANCE + GAP + (SERIES + GAP) * len(log.series) + (LOSS if has_loss else -GAP)
    title = (
        "The drawn mixture by window of steps: distance from the intended one, shares by domain"
        f"{', and the loss' if has_loss else ''}; the windows that differ are in the table below."
    )
    chart = Chart("chart-sampler-windows", title, bottom + 24, 17.0, 22.0)
    width = 100.0 / len(log.windows)
    for index, window in enumerate(log.windows):
        if window.both:
            x = percent(width * (index + 0.5))
            element(chart.plot, "line", x1=x, x2=x, y1=6, y2=bottom, class_="dashed strong")
            mark(chart.plot, 2, width * (index + 0.5), 7, "dot")
    y = _distances(chart, log, width)
    for series in log.series:
        _series(chart, series, y, width)
        y += SERIES + GAP
    if has_loss:
        _loss(chart, log.windows, y, width)
    element(chart.plot, "line", x1="0", x2="100%", y1=bottom + 0.5, y2=bottom + 0.5, class_="grid")
    every = max(len(log.windows) // 5, 1)
    for index in range(0, len(log.windows), every):
        x = percent(width * index)
        element(chart.plot, "text", numbers.tick(log.windows[index].first), x=x, y=bottom + 16, class_="tick start")
    element(chart.labels, "text", "steps", x="0", y=bottom + 16, class_="tick start")
    return chart.markup()


def _distances(chart: Chart, log: LogView, width: float) -> int:
    largest = max((window.distance or 0.0 for window in log.windows), default=0.0) or 1.0
    base = TOP + DISTANCE
    chart.label("Distance", TOP + DISTANCE / 2 + 4)
    _side(chart, "of mixture", TOP + DISTANCE / 2 + 19)
    for index, window in enumerate(log.windows):
        if window.distance is None:
            continue
        height = (DISTANCE - 8) * window.distance / largest
        kind = "bar lost" if window.differs else "bar rest"
        size = {"x": percent(width * (index + 0.1)), "width": percent(0.8 * width)}
        element(chart.plot, "rect", **size, y=base - height, height=max(height, 0.5), class_=kind)
        if window.differs and len(log.windows) <= 100:
            mark(chart.plot, 4, width * (index + 0.5), base - height - 6, "dot lost")
    element(chart.plot, "line", x1="0", x2="100%", y1=base, y2=base, class_="grid")
    _range(chart, f"up to {numbers.percent(largest, 1)}", TOP + DISTANCE / 2 + 4)
    return base + GAP


def _series(chart: Chart, series: Series, top: int, width: float) -> None:
    bounds_and_shares = [value for p in series.points for value in (p.share, p.low, p.high) if value is not None]
    low, high = min([*bounds_and_shares, series.intended]), max([*bounds_and_shares, series.intended])
    spare = 0.06 * (high - low) or 0.01
    low, high = low - spare, high + spare

    def down(share: float) -> float:
        return 100 * (high - share) / (high - low)

    area = stretched(chart.plot, 0.0, top, 100.0, SERIES)
    middles = [width * (index + 0.5) for index in range(len(series.points))]
    pairs = list(zip(middles, series.points, strict=True))
    bounds = [None if p.low is None or p.high is None else (x, down(p.low), down(p.high)) for x, p in pairs]
    band(area, bounds, "others")
    line(area, [(0.0, down(series.intended)), (100.0, down(series.intended))], "curve intended")
    line(area, [None if p.share is None else (x, down(p.share)) for x, p in pairs], "curve realised")
    for x, point in pairs:
        if point.differs and point.share is not None:
            mark(chart.plot, 0, x, top + SERIES * down(point.share) / 100, "dot lost")
    chart.label(series.domain, top + SERIES / 2 + 4)
    shares = [p.share for p in series.points if p.share is not None]
    text = f"{100 * min(shares):.1f} to {numbers.percent(max(shares), 1)}" if shares else numbers.NONE
    _range(chart, text, top + SERIES / 2 - 3)
    _side_figure(chart, f"intended {numbers.percent(series.intended, 1)}", top + SERIES / 2 + 12)


def _loss(chart: Chart, windows: Sequence[Window], top: int, width: float) -> None:
    values = [value for window in windows for value in (window.loss, window.loss_of_mixture) if value is not None]
    low, high = min(values), max(values)
    spare = 0.08 * (high - low) or 0.01
    low, high = low - spare, high + spare

    def coordinates(values: Sequence[float | None]) -> list[tuple[float, float] | None]:
        return [
            None if value is None else (width * (index + 0.5), 100 * (high - value) / (high - low))
            for index, value in enumerate(values)
        ]

    area = stretched(chart.plot, 0.0, top, 100.0, LOSS)
    line(area, coordinates([window.loss_of_mixture for window in windows]), "curve expected")
    line(area, coordinates([window.loss for window in windows]), "curve realised")
    chart.label("Loss", top + LOSS / 2 + 4)
    losses = [window.loss for window in windows if window.loss is not None]
    _range(chart, f"{min(losses):.4g} to {max(losses):.4g}", top + LOSS / 2 + 4)


def _side(chart: Chart, text: str, y: float) -> None:
    element(chart.labels, "text", text, x="0", y=y, class_="tick start")


def _range(chart: Chart, text: str, y: float) -> None:
    chart.figure(text, y)


def _side_figure(chart: Chart, text: str, y: float) -> None:
    chart.figure(text, y, kind="figure quiet")
