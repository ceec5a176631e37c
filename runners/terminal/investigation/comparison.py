"""What ``investigate compare`` prints: differences by task, leaks, claims that differ, and what was not read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

import pyarrow as pa

from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.runners.terminal.investigation.behaviour import behaviour_lines

TOP = 30
"""Rows of a table; --json and --out have all."""

_FEW = 5
_NAME = 26
_READINGS = {"shown": 0, "not shown": 1, "not enough data": 2}

Row = dict[str, Any]


def comparison_summary(a: str, b: str, sentence: str, tables: Mapping[str, pa.Table], width: int = 80) -> str:
    """The summary of a comparison; each line ends with a newline.

    Args:
        a: name of the evaluation that is compared with.
        b: name of the other one.
        sentence: what can be said in all.
        tables: those of `corpus_audit.pipelines.evaluations.comparison.compare`.
        width: columns of the terminal.
    """
    rows = tables["evaluation_differences"].to_pylist()
    lines = [
        f"a  {safe_text(a, width - 3)}",
        f"b  {safe_text(b, width - 3)}",
        "",
        *wrap(safe_text(sentence, 2_000), width),
    ]
    lines += ["", *_differences(rows, width), *_incomparable(rows, width)]
    if "evaluation_leaks" in tables:
        lines += ["", *_leaks(tables["evaluation_leaks"].to_pylist(), width)]
    noise = tables["evaluation_noise"].to_pylist()
    if noise:
        lines += ["", *_noise(noise, width)]
    passes = tables["evaluation_passes"].to_pylist()
    if passes:
        lines += ["", *_passes(passes)]
    lines += behaviour_lines(tables, width)
    lines += _read(tables, width)
    return "".join(line.rstrip() + "\n" for line in lines)


def _name(row: Row) -> str:
    filter_ = f",{row['filter']}" if row["filter"] not in ("", "none") else ""
    return safe_text(f"{row['task']} {row['metric']}{filter_}", 200)


def _number(value: float | None, signed: bool = False) -> str:
    if value is None:
        return "-"
    return f"{value:+.3g}" if signed else f"{value:.4g}"


def _probability(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if value >= 1e-4 else "<0.0001"


def _differences(rows: list[Row], width: int) -> Iterator[str]:
    yield f"{'':{_NAME}}{'items':>8}{'a':>9}{'b':>9}{'b - a':>10}{'q':>9}{'MDE':>9}"
    ordered = sorted(rows, key=lambda row: (row["family"] != "primary", _READINGS[row["reading"]]))
    for row in ordered[:TOP]:
        cells = [grouped(row["items"]).rjust(8), _number(row["score_a"]).rjust(9), _number(row["score_b"]).rjust(9)]
        cells += [
            _number(row["difference"], True).rjust(10),
            _probability(row["q"]).rjust(9),
            _number(row["mde"]).rjust(9),
        ]
        mark = "* " if row["family"] == "primary" else ""
        yield fit(mark + _name(row), _NAME) + "".join(cells)
        words = f"{row['reading']}: {safe_text(row['reason'], 300)}{_noise_of(row)}"
        yield from wrap(words, width, initial_indent="    ", subsequent_indent="    ")
    if len(rows) > TOP:
        yield f"and {plural(len(rows) - TOP, 'comparison')} more, which --json and --out have"
    if any(row["family"] == "primary" for row in rows):
        yield "* primary: adjusted by Holm among themselves; all others by Benjamini-Hochberg"


def _noise_of(row: Row) -> str:
    """Where the error of a difference, and so its MDE, comes from, as far as that can be told apart."""
    if row["error"] is None or row["error_answers"] is None:
        return ""
    items = max(row["error"] ** 2 - row["error_answers"] ** 2, 0.0) ** 0.5
    seeds = "" if row["error_seeds"] is None else f", on top seeds {_number(row['error_seeds'])}"
    more = "" if row["mde_all"] is None else f" (MDE with these {_number(row['mde_all'])})"
    return f"; standard error: items {_number(items)}, answering again {_number(row['error_answers'])}{seeds}{more}"


def _incomparable(rows: list[Row], width: int) -> Iterator[str]:
    named = [row for row in rows if row["incomparable"] is not None]
    if not named:
        return
    yield ""
    yield "Incomparable, and left out:"
    for row in named[:TOP]:
        count = row["other_prompt"] + row["other_version"]
        words = f"{plural(count, 'item')}: {row['incomparable']}" if count else row["incomparable"]
        yield from wrap(f"{_name(row)}: {words}", width, initial_indent="  ", subsequent_indent="    ")


def _leaks(rows: list[Row], width: int) -> Iterator[str]:
    yield "Contaminated items:"
    some = [row for row in rows if row["contaminated"]]
    for row in sorted(some, key=lambda row: _READINGS[row["reading"]])[:TOP]:
        counts = f"{grouped(row['contaminated'])} of {plural(row['items'], 'item')}"
        words = f"{_name(row)} ({counts}): {row['reading']}: {safe_text(row['reason'], 300)}"
        yield from wrap(words, width, initial_indent="  ", subsequent_indent="    ")
    if len(some) < len(rows):
        yield f"  {plural(len(rows) - len(some), 'comparison')} without a contaminated item"


def _noise(rows: list[Row], width: int) -> Iterator[str]:
    yield "Standard error of a score, and what each source alone would give:"
    for row in rows[:TOP]:
        parts = [("items", row["error_items"]), ("answering again", row["error_epochs"]), ("seeds", row["error_seeds"])]
        words = ", ".join(f"{what} {_number(error)}" for what, error in parts if error is not None)
        line = f"{row['side']}  {_name(row)}: {_number(row['error'])}: {words}"
        yield from wrap(line, width, initial_indent="  ", subsequent_indent="     ")


def _passes(rows: list[Row]) -> Iterator[str]:
    yield "Chances to pass in k tries, items as sampling units:"
    for row in rows[:TOP]:
        bounds = "" if row["low"] is None else f"  [{row['low']:.3f}, {row['high']:.3f}]"
        kind = row["kind"].replace("k", str(row["k"]))
        yield f"  {row['side']}  {fit(_name(row), _NAME)}  {kind:<8}{row['rate']:.3f}{bounds}"


def _read(tables: Mapping[str, pa.Table], width: int) -> Iterator[str]:
    """What does not agree with the items, what is odd, and what was not read."""
    lines = []
    for row in tables["evaluation_claims"].to_pylist():
        if row["outcome"] == "differs":
            lines.append(f"{row['side']}: {safe_text(row['file'], 80)}: {_name(row)}: {safe_text(row['reason'], 300)}")
    for row in tables["evaluation_remarks"].to_pylist():
        file = f"{safe_text(row['file'], 80)}: " if row["file"] else ""
        lines.append(f"{row['side']}: {file}{safe_text(row['remark'], 300)}")
    files = tables["evaluation_files"].to_pylist()
    for side in dict.fromkeys(row["side"] for row in files):
        of_side = [row for row in files if row["side"] == side]
        unread = [row for row in of_side if row["reason"]]
        dead = sum(row["dead_letters"] for row in of_side)
        if dead:
            lines.append(f"{side}: {plural(dead, 'score')} or rows were not understood: see evaluation_dead_letters")
        if unread:
            first = f"{safe_text(unread[0]['file'], 60)}: {safe_text(unread[0]['reason'], 100)}"
            lines.append(f"{side}: {plural(len(unread), 'file')} not read, or not to the end ({first})")
    if not lines:
        return
    yield ""
    yield "About the files:"
    for line in lines[: 4 * _FEW]:
        yield from wrap(line, width, initial_indent="  ", subsequent_indent="    ")
    if len(lines) > 4 * _FEW:
        yield f"  and {plural(len(lines) - 4 * _FEW, 'remark')} more, which --json and --out have"
