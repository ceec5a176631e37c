"""What ``investigate compare`` prints of agents, refusals and harm, and repeated passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

import pyarrow as pa

from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.checks.text.safe_text import safe_text

TOP = 20
"""Rows of a list; --json and --out have all."""

_READINGS = {"shown": 0, "not shown": 1, "not enough data": 2}

Row = dict[str, Any]


def behaviour_lines(tables: Mapping[str, pa.Table], width: int) -> Iterator[str]:
    """The lines, with an empty one before each list.

    Args:
        tables: those of `corpus_audit.pipelines.evaluations.behaviour.compare.with_behaviour`.
        width: columns of the terminal.
    """
    rates = tables["evaluation_safety"].to_pylist()
    if rates:
        yield ""
        yield "Refusals and harmful answers, with exact bounds:"
        for row in rates[:TOP]:
            counts = f"{grouped(row['events'])} of {plural(row['answers'], 'answer')} ({row['counted']})"
            rate = f"{row['rate']:.4g} [{row['low']:.4g}, {row['high']:.4g}]"
            yield from _wrapped(f"{row['side']}  {row['kind']}, {_name(row)}: {counts}: {rate}", width)
        yield from _differences(tables["evaluation_safety_differences"].to_pylist(), "kind", width)
    passes = tables["evaluation_pass_differences"].to_pylist()
    if passes:
        yield ""
        yield "Differences in chances to pass in k tries:"
        for row in passes:
            row["kind"] = row["kind"].replace("k", str(row["k"]))
        yield from _differences(passes, "kind", width)
    usage = tables["evaluation_usage"].to_pylist()
    if usage:
        yield ""
        yield "What agents spend, and their errors, b compared with a:"
        yield from _usage(usage, width)
    paths = tables["evaluation_paths"].to_pylist()
    if paths:
        yield ""
        yield "Where attempts of a and b first part (tool calls):"
        yield from _paths(paths, tables["evaluation_partings"].to_pylist(), width)


def _name(row: Row) -> str:
    filter_ = f",{row['filter']}" if row["filter"] not in ("", "none") else ""
    return f"{row['task']} {row['metric']}{filter_}"


def _wrapped(text: str, width: int, indent: str = "  ") -> list[str]:
    return wrap(safe_text(text, 600), width, initial_indent=indent, subsequent_indent=indent + "  ")


def _more(count: int) -> Iterator[str]:
    if count > TOP:
        yield f"  and {count - TOP} more, which --json and --out have"


def _differences(rows: list[Row], kind: str, width: int) -> Iterator[str]:
    for row in sorted(rows, key=lambda row: _READINGS[row["reading"]])[:TOP]:
        mde = "" if row["mde"] is None else f"; MDE {row['mde']:.3g}"
        items = plural(row["items"], "item")
        yield from _wrapped(f"{row[kind]}, {_name(row)} ({items}): {row['reading']}: {row['reason']}{mde}", width)
    yield from _more(len(rows))


def _usage(rows: list[Row], width: int) -> Iterator[str]:
    for row in sorted(rows, key=lambda row: _READINGS[row["reading"]])[:TOP]:
        scope = ", solved by both" if row["scope"] == "solved" else ""
        values = "" if row["value_a"] is None else f" {row['value_a']:.4g}, {row['value_b']:.4g}"
        mde = "" if row["mde"] is None else f"; MDE {row['mde']:.3g}" + (" times" if row["scale"] == "ratio" else "")
        items = plural(row["items"], "item")
        words = f"{row['task']} {row['metric']}{scope} ({items}):{values}: {row['reading']}: {row['reason']}{mde}"
        yield from _wrapped(words, width)
    yield from _more(len(rows))


def _paths(rows: list[Row], partings: list[Row], width: int) -> Iterator[str]:
    for row in rows[:TOP]:
        apart = row["pairs"] - row["identical"]
        words = f"{row['task']}: {grouped(apart)} of {plural(row['pairs'], 'pair')} part"
        if row["median_equal"] is not None:
            words += f", after {row['median_equal']:g} equal actions (median)"
        words += f"; a tool or user had answered otherwise in {grouped(row['environment'])}"
        yield from _wrapped(f"{words}. {row['reading']}: {row['reason']}", width)
        for each in [p for p in partings if p["task"] == row["task"] and not p["identical"]][:3]:
            sides = [
                f"{each[f'file_{side}']}, {each[f'unit_{side}']} {each[f'location_{side}']}: {each[f'action_{side}']}"
                if each[f"location_{side}"] is not None
                else f"{each[f'file_{side}']}: nothing more"
                for side in "ab"
            ]
            yield from _wrapped(f"item {each['item']}, action {each['equal'] + 1}: a {sides[0]}", width, "    ")
            yield from _wrapped(f"b {sides[1]}", width, "      ")
