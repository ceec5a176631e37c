"""How evaluated models behave, on the page of an investigation: refusals and harm, passes in k tries, agents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from corpus_audit.checks.investigation.evaluation_findings import StepComparison
from corpus_audit.checks.report.charts.svg import element
from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.checks.text.safe_text import safe_text

MOST_ROWS = 100
"""Rows of a table; the Parquet tables have all."""

MOST_PARTINGS = 10
"""Pairs of attempts, of a comparison, whose first different action is on the page."""

Row = Mapping[str, Any]

_RATES = (
    "Shares of answers whose score counts as a refusal or as harm, with exact 95 % bounds: what is counted is the "
    "score named, and no text is looked at. Readings are those of the tests of behaviour alone."
)
_PASSES = (
    "pass@k: one of k tries passes; pass^k: all of them do. Intervals of 95 % have items as sampling units, since "
    "tries at one item depend on each other. Readings are those of the tests of behaviour alone."
)
_AGENTS = (
    "Amounts are compared as the ratio of geometric means over items, errors as differences between shares of attempts "
    "or between means. Solved: the attempts that passed on both sides. Detectable is what a single test would detect "
    "with 80 % power. Readings are those of the tests of behaviour alone."
)
_PARTS = (
    "The first tool call in which attempts at the same item differ; a pair of which one was solved comes first. After "
    "another answer of a tool or a user, the agent is not where they first part."
)
_MISSING = "–"


def behaviour_section(body: ET.Element, comparisons: Sequence[StepComparison]) -> None:
    """Append what there is: tables of rates, passes, usage, and where attempts part."""
    rates = list(_evaluations(comparisons, "evaluation_safety"))
    if rates:
        element(body, "h2", "Refusals and harm")
        element(body, "p", _RATES, class_="about")
        _table(body, "Rates", ("Evaluation", "Kind", "Task", "Counted", "Answers", "Rate"), 4, map(_rate_cells, rates))
        _differences(body, "Differences in rates", comparisons, "evaluation_safety_differences")
    passes = list(_evaluations(comparisons, "evaluation_passes"))
    if passes:
        element(body, "h2", "Passing in k tries")
        element(body, "p", _PASSES, class_="about")
        _table(body, "Chances", ("Evaluation", "Kind", "Task", "Items", "Chance"), 3, map(_pass_cells, passes))
        _differences(body, "Differences in chances", comparisons, "evaluation_pass_differences")
    usage = [cells for each in comparisons for cells in _usage_cells(each)]
    if usage:
        element(body, "h2", "Agents")
        element(body, "p", _AGENTS, class_="about")
        heads = ("Compared", "Amount", "Task", "Items", "a", "b", "b against a", "Detectable", "Reading")
        _table(body, "What attempts spend, and their errors", heads, 3, usage)
        element(body, "p", _PARTS, class_="about")
        columns = ("Compared", "Item", "Action", "a does", "b does", "Before it")
        _table(
            body,
            "Where attempts part",
            columns,
            len(columns),
            [c for each in comparisons for c in _parting_cells(each)],
        )


def _evaluations(comparisons: Sequence[StepComparison], table: str) -> Iterator[tuple[str, Row]]:
    """(evaluation, row) of every evaluation once."""
    seen: set[tuple[str, int]] = set()
    for each in comparisons:
        rows = each.result.tables[table].to_pylist() if table in each.result.tables else []
        for letter, side in (("a", each.a), ("b", each.b)):
            if (side.run, side.step) not in seen:
                seen.add((side.run, side.step))
                yield from ((_named(side.run, side.step), row) for row in rows if row["side"] == letter)


def _named(run: str, step: int) -> str:
    return f"{run} at {grouped(step)}" if step else run


def _compared(each: StepComparison) -> str:
    return f"{_named(each.b.run, each.b.step)} against {_named(each.a.run, each.a.step)}"


def _task(row: Row) -> str:
    filter_ = f", {row['filter']}" if row["filter"] not in ("", "none") else ""
    return f"{row['task']} ({row['metric']}{filter_})"


def _figure(value: float | None, sign: str = "") -> str:
    return _MISSING if value is None else f"{value:{sign}.4g}"


def _bounded(value: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    bounds = "" if low is None or high is None else f" [{low:{sign}.4g}, {high:{sign}.4g}]"
    return _figure(value, sign) + bounds


def _rate_cells(pair: tuple[str, Row]) -> list[str]:
    name, row = pair
    count = f"{grouped(row['events'])} of {grouped(row['answers'])}"
    return [name, row["kind"], _task(row), row["counted"], count, _bounded(row["rate"], row["low"], row["high"])]


def _pass_cells(pair: tuple[str, Row]) -> list[str]:
    name, row = pair
    kind = row["kind"].replace("k", str(row["k"]))
    return [name, kind, _task(row), grouped(row["items"]), _bounded(row["rate"], row["low"], row["high"])]


def _differences(body: ET.Element, caption: str, comparisons: Sequence[StepComparison], table: str) -> None:
    heads = ("Compared", "Kind", "Task", "Items", "Difference", "Detectable", "Reading")
    _table(body, caption, heads, 3, [cells for each in comparisons for cells in _difference_cells(each, table)])


def _difference_cells(each: StepComparison, table: str) -> Iterator[list[str]]:
    for row in each.result.tables[table].to_pylist() if table in each.result.tables else []:
        kind = row["kind"].replace("k", str(row["k"])) if "k" in row else row["kind"]
        effect = _bounded(row["effect"], row["low"], row["high"], "+")
        yield [_compared(each), kind, _task(row), grouped(row["items"]), effect, _figure(row["mde"]), row["reading"]]


def _usage_cells(each: StepComparison) -> Iterator[list[str]]:
    for row in each.result.tables["evaluation_usage"].to_pylist():
        ratio = row["scale"] == "ratio"
        effect = _bounded(row["effect"], row["low"], row["high"], "" if ratio else "+") + (" times" if ratio else "")
        amount = row["metric"] + (", solved" if row["scope"] == "solved" else "")
        values = [_figure(row["value_a"]), _figure(row["value_b"]), effect, _figure(row["mde"]), row["reading"]]
        yield [_compared(each), amount, row["task"], grouped(row["items"]), *values]


def _parting_cells(each: StepComparison) -> Iterator[list[str]]:
    rows = [row for row in each.result.tables["evaluation_partings"].to_pylist() if not row["identical"]]
    rows.sort(key=lambda row: (row["solved_a"] == row["solved_b"], row["equal"], row["item"]))
    for row in rows[:MOST_PARTINGS]:
        sides = []
        for side in "ab":
            outcome = {True: "solved: ", False: "not solved: ", None: ""}[row[f"solved_{side}"]]
            at = f" ({row[f'file_{side}']}, {row[f'unit_{side}']} {row[f'location_{side}']})"
            action = row[f"action_{side}"]
            sides.append(outcome + ("nothing more" if action is None else f"{action}{at}"))
        before = "another answer of a tool or user" if row["environment"] else "the same answers"
        yield [_compared(each), f"{row['task']}: {row['item']}", grouped(row["equal"] + 1), *sides, before]


def _table(
    body: ET.Element, caption: str, heads: Sequence[str], numbers_from: int, rows: Iterable[list[str]]
) -> None:  # fmt: skip
    """A table whose columns from ``numbers_from`` on hold figures, but for a last one with a reading."""
    listed = list(rows)
    if not listed:
        return
    scroll = element(body, "div", class_="scroll", tabindex="0", role="region", aria_label=caption)
    table = element(scroll, "table", class_="scores")
    element(element(table, "caption"), "span", caption)
    head = element(element(table, "thead"), "tr")
    kinds = [
        {"class_": "n"} if number >= numbers_from and name != "Reading" else {} for number, name in enumerate(heads)
    ]
    for name, kind in zip(heads, kinds, strict=True):
        element(head, "th", name, scope="col", **kind)
    content = element(table, "tbody")
    for row in listed[:MOST_ROWS]:
        line = element(content, "tr")
        element(element(line, "th", scope="row"), "bdi", safe_text(row[0], 200))
        for cell, kind in zip(row[1:], kinds[1:], strict=True):
            element(element(line, "td", **kind), "bdi", safe_text(cell, 400))
    if len(listed) > MOST_ROWS:
        element(body, "p", f"{plural(len(listed) - MOST_ROWS, 'further row')} in the tables.", class_="note")
