"""Scores of evaluations over the steps of runs, a small chart with intervals for each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any
from xml.etree import ElementTree as ET

from corpus_audit.checks.investigation.evaluation_findings import StepComparison
from corpus_audit.checks.report.charts import plots
from corpus_audit.checks.report.charts.svg import element
from corpus_audit.checks.report.investigation.panel import LinearAxis, Panel
from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.checks.text.safe_text import safe_text

MOST_CHARTS = 12
"""Tasks that have a chart: primary ones, then those with the clearest changes."""

_QUANTILE = 1.959964
_COLOURS = 8
_ABOUT = (
    "Scores over steps with 95 % intervals; of files that state a score without items, by the error that they state."
)

Row = Mapping[str, Any]
Measure = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class StepScore:
    """A score of a run at a step with its 95 % interval, None without one."""

    step: int
    score: float
    ends: tuple[float, float] | None


def scores_by_step(comparisons: Sequence[StepComparison]) -> dict[Measure, dict[str, list[StepScore]]]:
    """Scores of every measure by run, steps in order: from items, else as files state them."""
    scores: dict[Measure, dict[str, dict[int, StepScore]]] = {}
    for each in comparisons:
        tables = each.result.tables
        for letter, side in (("a", each.a), ("b", each.b)):
            rows = [row for row in tables["evaluation_scores"].to_pylist() if row["side"] == letter]
            stated = [row for row in tables["evaluation_claims"].to_pylist() if row["side"] == letter]
            for row in [*rows, *stated]:
                score = _score(row, side.step)
                if score is not None:
                    measure = (row["task"], row["metric"], row["filter"])
                    scores.setdefault(measure, {}).setdefault(side.run, {}).setdefault(side.step, score)
    return {
        measure: {run: [of_run[step] for step in sorted(of_run)] for run, of_run in by_run.items()}
        for measure, by_run in scores.items()
    }


def score_charts(body: ET.Element, comparisons: Sequence[StepComparison]) -> None:
    """Append the charts of the tasks that have scores at several steps."""
    scores = scores_by_step(comparisons)
    strength: dict[Measure, tuple[int, float]] = {}
    for each in comparisons:
        for row in each.result.tables["evaluation_differences"].to_pylist():
            measure = (row["task"], row["metric"], row["filter"])
            rank = (int(row["family"] != "primary"), 1.0 if row["p"] is None else row["p"])
            strength[measure] = min(strength.get(measure, (1, 1.0)), rank)
    usable = [m for m, runs in scores.items() if m in strength and len({s.step for r in runs.values() for s in r}) > 1]
    if not usable:
        return
    ordered = sorted(usable, key=lambda measure: (*strength[measure], measure))
    runs = list(dict.fromkeys(side.run for each in comparisons for side in (each.a, each.b)))
    if len(runs) > 1:
        legend = element(body, "p", class_="legend")
        for number, run in enumerate(runs):
            mark = element(legend, "span")
            mark.append(ET.fromstring(plots.key(number, f"mark s{number % _COLOURS}")))
            element(mark, "bdi", safe_text(run))
    panels = element(body, "div", class_="trends")
    for number, measure in enumerate(ordered[:MOST_CHARTS]):
        figure = element(panels, "figure")
        task, metric, filter_ = measure
        name = f"{task} ({metric}{', ' + filter_ if filter_ not in ('', 'none') else ''})"
        element(element(figure, "figcaption"), "bdi", safe_text(name, 120))
        figure.append(_chart(f"scores-{number}", name, scores[measure], runs))
    rest = len(ordered) - MOST_CHARTS
    more = f" The tables have {plural(rest, 'further measure')}." if rest > 0 else ""
    element(body, "p", _ABOUT + more, class_="note")


def _chart(identity: str, name: str, by_run: Mapping[str, Sequence[StepScore]], runs: Sequence[str]) -> ET.Element:
    points = [point for listed in by_run.values() for point in listed]
    values = [end for point in points for end in (point.score, *(point.ends or ()))]
    x = LinearAxis.around([float(point.step) for point in points])
    panel = Panel(identity, f"{name} over steps.", 170, x, LinearAxis.around(values))
    for run, listed in by_run.items():
        number = runs.index(run)
        panel.line([(point.step, point.score) for point in listed], f"curve s{number % _COLOURS}")
    for run, listed in by_run.items():
        number = runs.index(run)
        for point in listed:
            bounds = "" if point.ends is None else f" [{point.ends[0]:.4g}, {point.ends[1]:.4g}]"
            about = f"{run}, step {grouped(point.step)}: {point.score:.4g}{bounds}"
            panel.point(point.step, point.score, number, f"mark s{number % _COLOURS}", about, point.ends)
    return panel.root


def _score(row: Row, step: int) -> StepScore | None:
    """From a row of evaluation_scores or evaluation_claims; None where the value is not a number."""
    if "claimed" in row:
        value, error = row["claimed"], row["claimed_error"]
        ends = None if error is None or not error > 0 else (value - _QUANTILE * error, value + _QUANTILE * error)
    else:
        value = row["score"]
        ends = None if row["low"] is None or row["high"] is None else (row["low"], row["high"])
    if value is None or not isfinite(value):
        return None
    return StepScore(step, value, ends if ends is None or all(map(isfinite, ends)) else None)
