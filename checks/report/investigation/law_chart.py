"""Charts of a scaling law: the law over tokens with its band, and how far every run is from it."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, isfinite
from xml.etree import ElementTree as ET

import numpy as np

from corpus_audit.checks.investigation.scaling_findings import ScalingAnalysis
from corpus_audit.checks.report.charts import plots
from corpus_audit.checks.report.charts.plots import LogAxis
from corpus_audit.checks.report.charts.svg import element
from corpus_audit.checks.report.investigation.panel import LinearAxis, Panel
from corpus_audit.checks.text.safe_text import safe_text

_POINTS = 25
_NEAR = 1.3  # times the parameters of the holdout, within which a run stands beside the law at these
_HEIGHT = 260
_OWN, _OTHER = "mark s1", "mark s0"


def law_charts(body: ET.Element, analysis: ScalingAnalysis) -> None:
    """Append the charts; none where no law was fitted or it expects nothing of the holdout."""
    if analysis.law is None or analysis.expected is None:
        return
    legend = element(body, "p", class_="legend")
    for shape, kind, words in ((1, _OWN, analysis.holdout.name), (0, _OTHER, "runs that the law is fitted to")):
        entry = element(legend, "span")
        entry.append(ET.fromstring(plots.key(shape, kind)))
        element(entry, "bdi", safe_text(words))
    pair = element(body, "div", class_="pair")
    for chart, caption in ((_over_tokens(analysis), _TOKENS), (_deviations(analysis), _DEVIATIONS)):
        if chart is not None:
            figure = element(pair, "figure")
            figure.append(chart)
            element(
                figure, "figcaption", caption.format(parameters=f"{analysis.holdout.parameters:.3g}"), class_="note"
            )


_TOKENS = (
    "Loss in nats a token over tokens, by the law at {parameters} parameters, with the band that holds 95 % of runs; "
    "dots are runs of about that size."
)
_DEVIATIONS = (
    "Loss above what the law expects, over the floating-point operations of a run (6 N D): of a fitted run by the law "
    "without it. The bar is the 95 % prediction interval of the run that was left out."
)


def _over_tokens(analysis: ScalingAnalysis) -> ET.Element | None:
    law, own = analysis.law, analysis.holdout
    assert law is not None
    tokens = [run.tokens for run in (*analysis.others, own)]
    near = [run for run in analysis.others if 1 / _NEAR <= run.parameters / own.parameters <= _NEAR]
    grid = np.geomspace(min(tokens), max(tokens), _POINTS).tolist()
    bands = [law.predict(own.parameters, each) for each in grid]
    if not all(isfinite(value) for each in bands for value in (each.value, each.low, each.high)):
        return None
    losses = [own.loss, *(run.loss for run in near), *(v for each in bands for v in (each.value, each.low, each.high))]
    panel = Panel("law-tokens", f"The law and {own.name}.", _HEIGHT, LogAxis.around(tokens), LinearAxis.around(losses))
    panel.band([(at, each.low, each.high) for at, each in zip(grid, bands, strict=True)], "others")
    panel.line([(at, each.value) for at, each in zip(grid, bands, strict=True)], "curve s0")
    for run in near:
        panel.point(run.tokens, run.loss, 0, _OTHER, f"{run.name}: {run.loss:.4g}", None)
    panel.point(own.tokens, own.loss, 1, _OWN, f"{own.name}: {own.loss:.4g}", None)
    return panel.root


def _deviations(analysis: ScalingAnalysis) -> ET.Element:
    law, own, expected = analysis.law, analysis.holdout, analysis.expected
    assert law is not None and expected is not None
    off = [100 * (exp(value) - 1) for value in law.left_out.tolist()]
    of_own = 100 * (own.loss / expected.value - 1)
    ends = 100 * (expected.low / expected.value - 1), 100 * (expected.high / expected.value - 1)
    flops = [6 * run.parameters * run.tokens for run in analysis.others]
    own_flops = 6 * own.parameters * own.tokens
    y = LinearAxis.around([*_inner(off), of_own, *ends, 0.0])
    panel = Panel(
        "law-off", f"Runs against the law; {own.name} is marked.", _HEIGHT, LogAxis.around([*flops, own_flops]), y, " %"
    )
    for run, at, value in zip(analysis.others, flops, off, strict=True):
        panel.point(at, value, 0, _OTHER, f"{run.name}: {value:+.2f} %", None)
    about = f"{own.name}: {of_own:+.2f} %, expected within {ends[0]:+.2f} to {ends[1]:+.2f} %"
    panel.point(own_flops, of_own, 1, _OWN, about, ends)
    return panel.root


def _inner(values: Sequence[float]) -> list[float]:
    """Values that are not a hundred times their median from zero, so that one run does not flatten the chart."""
    limit = 100 * float(np.median(np.abs(values)))
    return [value for value in values if abs(value) <= limit] or list(values)
