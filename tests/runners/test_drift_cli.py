"""``corpus-audit drift``: the three readings, and what is printed."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest

from corpus_audit.checks.report.drift.readings import reading
from corpus_audit.pipelines.drift.analysis import unknown_overlap
from corpus_audit.runners.cli.run import run
from corpus_audit.runners.terminal.drift import drift_summary_text
from corpus_audit.schemas.spec.audit import BaselineSpec
from corpus_audit.schemas.tables.drift_tables import DRIFT_TABLES
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS


@pytest.mark.parametrize(
    ("p", "adjusted", "expected"),
    [
        (0.001, 0.003, "drift"),
        (0.001, 0.06, "no drift shown"),
        (0.4, 0.4, "no drift shown"),
        (1.0, None, "no drift shown"),
        (0.001, None, "not enough data"),
        (None, None, "not enough data"),
    ],
)
def test_three_readings(p: float | None, adjusted: float | None, expected: str) -> None:
    assert reading({"p": p, "p_adjusted": adjusted}) == expected


def test_runs_of_earlier_versions_are_read_by_their_p() -> None:
    assert reading({"p": 0.001}) == "drift" and reading({"p": 0.06}) == "no drift shown"


def filled(name: str, **values: object) -> pa.Table:
    schema = DRIFT_TABLES[name]
    defaults = {pa.types.is_integer: 1, pa.types.is_floating: 0.5, pa.types.is_list: []}
    row: dict[str, object] = {}
    for column in schema:
        row[column.name] = next((value for check, value in defaults.items() if check(column.type)), "x")
    return pa.Table.from_pylist([row | values], schema=schema)


def test_lines_fit_a_terminal_and_hostile_texts_are_shown_safely() -> None:
    tables = {
        "drift": filled("drift", domain=ALL_DOMAINS, statistic="jsd", low=0.1, high=0.2, excess=0.15, p_adjusted=0.003),
        "drift_parts": pa.concat_tables(
            filled("drift_parts", domain=ALL_DOMAINS, part=part, attribution=0.5)
            for part in ("mixture", "content", "total")
        ),
        "turnover": filled("turnover", domain=ALL_DOMAINS),
        "drift_conclusion": filled("drift_conclusion"),
        "edit_sizes": pa.concat_tables(
            filled("edit_sizes", domain=ALL_DOMAINS, figure=figure, documents=9)
            for figure in ("similarity", "tokens_change")
        ),
        "edit_patterns": filled("edit_patterns", direction="came", text="\u202ewords\x1b[2J " * 40, diff="+a\x1b[2J"),
        "drift_classifier": filled("drift_classifier", domain=ALL_DOMAINS, auc=None, reason="too few"),
        "drift_domains": filled("drift_domains", domain="d\x1b[31m" + "x" * 200, unit="tokens"),
        "drift_tokens": filled("drift_tokens", domain=ALL_DOMAINS, kind="riser", text="\u202eevil\x1b[2J"),
    }
    text = drift_summary_text(tables)
    words = " ".join(text.split())
    assert "have drifted apart by 0.15000 bits [0.10000, 0.20000]" in words and "adjusted p = 0.0030" in words
    assert "does not have enough data: too few" in words
    assert "Edits Half of the 9 edited documents" in words and "Passages Edits have in common: “" in words
    assert "\x1b" not in text and "\u202e" not in text
    assert max(map(len, text.splitlines())) <= 80

    bare = {"share_baseline": None, "share_current": None, "difference": None}  # images without captions
    tables["drift_domains"] = pa.concat_tables(
        [
            filled("drift_domains", domain="bags", unit="tokens", **bare),
            filled("drift_domains", domain="bags", unit="documents", share_baseline=0.5, share_current=0.25),
        ]
    )
    without = drift_summary_text(tables)
    assert "Share of documents" in without and "bags" in without and "50.00%   25.00%" in without
    assert not any(head in without for head in ("Share of tokens", "Classifier", "Rose", "Why"))


def test_what_is_advised_exists() -> None:
    advice = unknown_overlap(17)
    options = {option for parameter in run.params for option in parameter.opts}
    assert set(re.findall(r"--[a-z-]+", advice)) <= options
    key, value = re.findall(r"baseline: \{(\w+): (\w+)\}", advice)[0]
    assert BaselineSpec.model_validate({key: value}).run == "RUN"
