"""The evaluations of an investigation on its page: scores by step, what changed, and what could have been detected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from corpus_audit.checks.investigation.evaluation_findings import StepComparison
from corpus_audit.checks.report.charts.svg import element
from corpus_audit.checks.report.investigation.score_charts import score_charts
from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.checks.text.safe_text import safe_text

MOST_ROWS = 200
"""Rows of a table; the Parquet tables have all."""

Row = Mapping[str, Any]
Measure = tuple[str, str, str]

_ABOUT = (
    "Scores are over all items of an evaluation, or as a file states them, with their 95 % interval; changes are over "
    "the items that both evaluations have. Detectable is the change that a single test would detect with 80 % power: a "
    "smaller one may have happened unseen. The reading is that of the tests of evaluations alone."
)
_NOISE = " After a semicolon: with the noise between neighbouring checkpoints, and of seeds where that is known."
_SPLIT = " Clean and contaminated are the scores of the paired items that the training data lack and hold."
_MISSING = "–"
_QUANTILE = 1.959964
_LARGE = 1_000  # a perplexity, say, whose decimals say nothing


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a comparison by measure, and those of scores and of stated figures by measure and side."""

    each: StepComparison
    differences: dict[Measure, Row]
    leaks: dict[Measure, Row]
    scores: dict[tuple[Measure, str], Row]
    stated: dict[tuple[Measure, str], Row]


def scores_section(body: ET.Element, comparisons: Sequence[StepComparison]) -> None:
    """Append the section: a table of every run with several evaluations, and one of runs against each other."""
    if not comparisons:
        return
    element(body, "h2", "Evaluations")
    split = any("evaluation_leaks" in each.result.tables for each in comparisons)
    differences = (each.result.tables["evaluation_differences"]["mde_all"] for each in comparisons)
    noise = _NOISE if any(column.null_count < len(column) for column in differences) else ""
    element(body, "p", _ABOUT + noise + (_SPLIT if split else ""), class_="about")
    score_charts(body, comparisons)
    by_measure = [_by_measure(each) for each in comparisons]
    runs = list(dict.fromkeys(each.b.run for each in comparisons if each.same_run))
    for run in runs:
        of_run = [rows for rows in by_measure if rows.each.same_run and rows.each.b.run == run]
        _table(body, f"Scores of {run} by step", "Step", _rows_by_step(of_run), split)
    between = [rows for rows in by_measure if not rows.each.same_run]
    if between:
        stepped = any(rows.each.a.step or rows.each.b.step for rows in between)
        caption = "The last evaluations of two runs" if stepped else "Evaluations of two models"
        _table(body, caption, "Run and step" if stepped else "Model", _rows_by_run(between), split)


def _evaluation(run: str, step: int) -> str:
    return f"{run} at {grouped(step)}" if step else run


def _by_measure(each: StepComparison) -> _Rows:
    tables = each.result.tables
    leaks = tables["evaluation_leaks"].to_pylist() if "evaluation_leaks" in tables else []
    return _Rows(
        each,
        {_measure(row): row for row in tables["evaluation_differences"].to_pylist()},
        {_measure(row): row for row in leaks},
        {(_measure(row), row["side"]): row for row in tables["evaluation_scores"].to_pylist()},
        {(_measure(row), row["side"]): row for row in tables["evaluation_claims"].to_pylist()},
    )


def _measure(row: Row) -> Measure:
    return row["task"], row["metric"], row["filter"]


def _rows_by_step(comparisons: Sequence[_Rows]) -> list[list[str]]:
    """Cells of every measure at every step, steps in order."""
    cells: dict[Measure, list[list[str]]] = {}
    for rows in comparisons:
        for measure in rows.differences:
            listed = cells.setdefault(measure, [])
            if not listed:
                listed += _cells(rows, measure, "a", grouped(rows.each.a.step))
            listed += _cells(rows, measure, "b", grouped(rows.each.b.step))
    return _in_order(cells, comparisons)


def _rows_by_run(comparisons: Sequence[_Rows]) -> list[list[str]]:
    """Cells of every measure and pair of runs: evaluation a, then b with the difference."""
    cells: dict[Measure, list[list[str]]] = {}
    for rows in comparisons:
        a, b = rows.each.a, rows.each.b
        for measure in rows.differences:
            listed = cells.setdefault(measure, [])
            listed += _cells(rows, measure, "a", _evaluation(a.run, a.step))
            listed += _cells(rows, measure, "b", f"{_evaluation(b.run, b.step)}, against {a.run}")
    return _in_order(cells, comparisons)


def _in_order(cells: Mapping[Measure, list[list[str]]], comparisons: Iterable[_Rows]) -> list[list[str]]:
    """All rows, those of primary measures first."""
    primary = {m for rows in comparisons for m, row in rows.differences.items() if row["family"] == "primary"}
    return [row for measure in sorted(cells, key=lambda m: (m not in primary, m)) for row in cells[measure]]


def _cells(rows: _Rows, measure: Measure, side: str, label: str) -> list[list[str]]:
    """The row of evaluation a or b, as a list of one; none where it has neither items nor a stated score."""
    task, metric, filter_ = measure
    name = f"{task} ({metric}{', ' + filter_ if filter_ not in ('', 'none') else ''})"
    alone, difference, leak = rows.scores.get((measure, side)), rows.differences[measure], rows.leaks.get(measure)
    stated = difference[f"score_{side}"]
    if alone is None and stated is None:
        return []
    items = _MISSING if alone is None else grouped(alone["items"])
    if alone is not None:
        score = _with_bounds(alone["score"], alone["low"], alone["high"])
    else:
        error = rows.stated.get((measure, side), {}).get("claimed_error")
        ends: tuple[float | None, float | None] = (None, None)
        if error is not None and stated is not None:
            ends = stated - _QUANTILE * error, stated + _QUANTILE * error
        score = _with_bounds(stated, *ends)
    change = ["", "", ""]
    if side == "b":
        bounds = _with_bounds(difference["difference"], difference["low"], difference["high"], "+")
        noisy = "" if difference["mde_all"] is None else f"; {_figure(difference['mde_all'])}"
        change = [bounds, _figure(difference["mde"]) + noisy, difference["reading"]]
    split = [_figure(None if leak is None else leak[f"{kind}_{side}"]) for kind in ("clean", "contaminated")]
    return [[name, label, items, score, *change, *split]]


def _figure(value: float | None, sign: str = "") -> str:
    if value is None:
        return _MISSING
    return f"{value:{sign}.3f}" if abs(value) < _LARGE else f"{value:{sign}.4g}"


def _with_bounds(value: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    if value is None or low is None or high is None:
        return _figure(value, sign)
    return f"{_figure(value, sign)} [{_figure(low, sign)}, {_figure(high, sign)}]"


def _table(body: ET.Element, caption: str, second: str, rows: Sequence[Sequence[str]], split: bool) -> None:
    heads = ["Task", second, "Items", "Score", "Change", "Detectable", "Reading", "Clean", "Contaminated"]
    width = len(heads) if split else len(heads) - 2
    scroll = element(body, "div", class_="scroll", tabindex="0", role="region", aria_label=caption)
    table = element(scroll, "table", class_="scores")
    element(element(table, "caption"), "span", caption)
    head = element(element(table, "thead"), "tr")
    for number, name in enumerate(heads[:width]):
        element(head, "th", name, scope="col", **_numeric(number))
    content = element(table, "tbody")
    for row in rows[:MOST_ROWS]:
        line = element(content, "tr")
        element(element(line, "th", scope="row"), "bdi", safe_text(row[0], 120))
        for number, cell in enumerate(row[1:width], 1):
            element(line, "td", safe_text(cell, 120), **_numeric(number))
    if len(rows) > MOST_ROWS:
        element(body, "p", f"{plural(len(rows) - MOST_ROWS, 'further row')} in the tables.", class_="note")


def _numeric(column: int) -> dict[str, object]:
    return {"class_": "n"} if column not in (0, 1, 6) else {}
