import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus_audit.checks.report.drift import section
from corpus_audit.checks.report.page.model import ReportModel
from corpus_audit.checks.report.page.terminal import render_summary
from corpus_audit.checks.text.safe_text import cell_width, fit, safe_text
from tests.checks.report.drifted_runs import write_drift
from tests.checks.report.hostile import EVERY_PAYLOAD, with_every_text

TEXTS = st.text(st.characters(), max_size=60) | st.text("ab \x1b\u202e\u200b\ud800\u0301日\\…", max_size=40)
REPORT = "runs/20261122-7f3a91c2/report.html"
SGR = re.compile("\x1b\\[[0-9;]*m")


@given(TEXTS, st.integers(1, 80))
def test_safe_text_is_printable_and_short(text: str, limit: int) -> None:
    shown = safe_text(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    shown.encode("utf-8")
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(TEXTS)
def test_safe_text_is_idempotent(text: str) -> None:
    once = safe_text(text, 1000)
    assert safe_text(once, 1000) == once


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcode, 日本語, עברית", "plain, ünïcode, 日本語, עברית"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u00a0b\u3000c", "a\\xa0b\\u3000c"),
        ("tab\tnew\nline", "tab\\x09new\\x0aline"),
        ("\ud83d\U0001f600", "\\ud83d😀"),
        ("\u2028\u2029\ufeff\u200d", "\\u2028\\u2029\\ufeff\\u200d"),
        ("\U000e0041", "\\U000e0041"),
        ("\u0301x", "\\u0301x"),
        ("e\u0301", "e\u0301"),
        ("e" + "\u0301" * 5, "e" + "\u0301" * 4 + "\\u0301"),
    ],
)
def test_safe_text_by_example(text: str, shown: str) -> None:
    assert safe_text(text, 200) == shown


def test_safe_text_is_cut_with_an_ellipsis() -> None:
    assert safe_text("x" * 300, 10) == "x" * 9 + "…"
    assert safe_text("x" * 10, 10) == "x" * 10


@given(TEXTS, st.integers(1, 40), st.booleans())
def test_fit_is_exact(text: str, width: int, right: bool) -> None:
    assert cell_width(fit(safe_text(text, 100), width, right)) == width


def test_wide_characters_take_two_columns() -> None:
    assert cell_width("日本語") == 6
    assert cell_width("e\u0301") == 1
    assert fit("日本語", 4) == "日… "


@pytest.mark.parametrize("width", [60, 80, 100, 132])
@pytest.mark.parametrize("which", ["model", "incomplete", "sampled"])
def test_no_line_is_wider_than_the_terminal(request: pytest.FixtureRequest, which: str, width: int) -> None:
    model: ReportModel = request.getfixturevalue(which)
    for colour in (False, True):
        lines = render_summary(model, REPORT, width=width, colour=colour).splitlines()
        widths = [cell_width(SGR.sub("", line)) for line in lines]
        assert max(widths) == width
        assert all(line == line.rstrip() for line in lines)


def test_columns_of_the_table_stand_under_each_other(model: ReportModel) -> None:
    lines = render_summary(model, REPORT).splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("Tokens by domain"))
    rows = lines[start + 1 : start + 1 + len(model.domains)]
    ends = {cell_width(row[: row.index("]") + 1]) for row in rows}
    assert len(ends) == 1
    assert all("┃" in row for row in rows)


def test_colour_adds_nothing_but_colour(model: ReportModel, incomplete: ReportModel) -> None:
    for entry in (model, incomplete):
        plain = render_summary(entry, REPORT)
        coloured = render_summary(entry, REPORT, colour=True)
        assert "\x1b" not in plain
        assert "\x1b" in coloured
        without = [line.rstrip() for line in SGR.sub("", coloured).splitlines()]
        assert without == plain.splitlines()


def test_the_summary_tells_the_story(model: ReportModel, incomplete: ReportModel) -> None:
    output = render_summary(model, REPORT)
    flat = " ".join(output.split())
    for phrase in (
        "✓ COMPLETE",
        "434 M tokens",
        "12 domains",
        "to match the intended mixture",
        "are exact repeats of another",
        "Half of all documents have at most",
        "All 24 shards were read",
        "32 (0.008 %) could not be counted",
        "compared with the reference on 12,408 documents",
    ):
        assert phrase in flat
    assert output.endswith(REPORT + "\n")
    failed = render_summary(incomplete, REPORT)
    assert "✗ NO VERDICT" in failed.splitlines()[0]
    assert "2 of 24 shards could not be read" in failed


def test_a_long_path_stays_whole_on_its_own_line(model: ReportModel) -> None:
    path = "/very" * 30 + "/report.html"
    assert render_summary(model, path).splitlines()[-1] == path


@pytest.mark.parametrize("payload", EVERY_PAYLOAD)
def test_hostile_text_moves_no_terminal(model: ReportModel, incomplete: ReportModel, payload: str) -> None:
    for honest in (model, incomplete):
        attacked = with_every_text(honest, payload)
        plain = render_summary(attacked, payload)
        assert all(c.isprintable() or c == "\n" for c in plain)
        coloured = SGR.sub("", render_summary(attacked, payload, colour=True))
        assert all(c.isprintable() or c == "\n" for c in coloured)
        assert max(cell_width(line) for line in plain.splitlines()[:-1]) <= 80  # the last is the path, whole


def test_drift_takes_a_few_lines_with_reading_figure_and_interval(model: ReportModel, tmp_path: Path) -> None:
    drifted = replace(model, drift=section.load(write_drift(tmp_path / "run")))
    shown = render_summary(drifted, REPORT).splitlines()
    at = next(index for index, line in enumerate(shown) if line.startswith("Drift "))
    assert shown[at] == "Drift       shown: 0.01000 bits [0.00400, 0.01600] beyond chance"
    assert shown[at + 1].strip().startswith("share shown to have moved: recipes +2.00 points [+10.00, +20.00]")
    assert "60.0 % of the change is the mix of domains" in shown[at + 2]
    assert all(cell_width(line) <= 80 for line in shown)
