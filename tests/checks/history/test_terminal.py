"""The history on a terminal: one line a run on a common axis, no line too wide, nothing from a run acts."""

import re
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.checks.history.history import FigurePoint, IndexedRun
from corpus_audit.checks.history.terminal import render_names, render_runs, render_series, unknown_name
from corpus_audit.checks.text.safe_text import cell_width
from corpus_audit.schemas.run.results import Verdict
from tests.checks.report.hostile import HOSTILE

RUN = IndexedRun("20261101T060000Z", "2026-11-01T06:00:00+00:00", "web", "ab" * 32, "t", "r", True, None, None, None)


def point(value: float | None, low: float | None = None, high: float | None = None, **run: Any) -> FigurePoint:
    return FigurePoint(replace(RUN, **run), value, low, high, 1000, "share")


def columns(line: str, marks: str) -> list[int]:
    return [at for at, character in enumerate(line) if character in marks]


def test_values_lie_on_one_axis_in_proportion() -> None:
    text = render_series("m", "all", [point(0.1, 0.05, 0.15), point(0.2), point(0.3, 0.28, 0.32)], 4)
    rows = [line for line in text.splitlines() if line.startswith("2026")]
    at = [columns(row, "●")[0] for row in rows]
    assert abs((at[1] - at[0]) - (at[2] - at[1])) <= 1 and at[1] - at[0] > 8
    left, right = columns(rows[0], "├")[0], columns(rows[0], "┤")[0]
    assert left < at[0] < right
    head = next(line for line in text.splitlines() if line.startswith("run "))
    assert abs(head.index("20") + 0.5 - at[1]) <= 1  # the label 20 (per cent) stands over the value 20 %
    assert "3 runs, the newest of 7" in text


def test_verdicts_sign_offs_and_runs_that_cannot_be_compared_are_reported_without_colour() -> None:
    points = [point(0.1, verdict=Verdict.PASS, reading="other"), point(0.2, verdict=Verdict.FAIL, signed="ab"),
              point(None, verdict=Verdict.NONE)]  # fmt: skip
    rows = [line for line in render_series("m", "all", points, 0).splitlines() if line.startswith("2026")]
    assert "✓" in rows[0] and "*" in rows[0]
    assert "✗ S" in rows[1] and "*" not in rows[1]
    assert "? " in rows[2] and "no figure" in rows[2]
    coloured = render_series("m", "all", points, 0, colour=True)
    assert re.sub(r"\x1b\[\d+m", "", coloured).replace(" ", "") == render_series("m", "all", points, 0).replace(" ", "")


def test_an_incomplete_run_says_so() -> None:
    assert "incomplete: web" in render_runs([replace(RUN, complete=False)], 0)


FIGURES = st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(FIGURES, FIGURES, FIGURES), min_size=1, max_size=5),
    st.sampled_from(HOSTILE),
    st.integers(72, 120),
)
def test_no_line_is_too_wide_and_nothing_acts(figures: list[tuple], text: str, width: int) -> None:
    points = [point(v, *((min(a, b), max(a, b)) if a is not None and b is not None else (None, None)), run=text)
              for v, a, b in figures]  # fmt: skip
    run = replace(RUN, run=text, name=text, snapshot=text)
    shown = (
        render_series(text, text, points, 0, width)
        + render_runs([run], 3, width)
        + render_names({text: 3, "m": 1}, width)
    )
    assert all(cell_width(line) <= width for line in shown.splitlines())
    assert shown.replace("\n", "").isprintable()


def test_an_unknown_name_is_answered_with_what_there_is() -> None:
    names = ["duplicate_share", "tokens", "documents"]
    assert "similar names: duplicate_share" in unknown_name("metric", "duplicates_share", names)
    assert "known names: duplicate_share, tokens, documents" in unknown_name("metric", "zzz", names)
    assert "\x1b" not in unknown_name("metric", "\x1b[2J", ["\x1b]52;c;x\x07"])
