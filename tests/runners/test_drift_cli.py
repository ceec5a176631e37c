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
    ("low", "high", "p", "expected"),
    [
        (0.01, 0.02, 0.001, "drift"),
        (-0.01, 0.02, 0.4, "no drift shown"),
        (0.0, 0.0, 1.0, "no drift shown"),
        (None, None, None, "insufficient"),
        (0.0, 0.02, None, "insufficient"),
    ],
)
def test_three_readings(low: float | None, high: float | None, p: float | None, expected: str) -> None:
    assert reading({"low": low, "high": high, "p": p}) == expected


def filled(name: str, **values: object) -> pa.Table:
    schema = DRIFT_TABLES[name]
    defaults = {pa.types.is_integer: 1, pa.types.is_floating: 0.5, pa.types.is_list: []}
    row: dict[str, object] = {}
    for column in schema:
        row[column.name] = next((value for check, value in defaults.items() if check(column.type)), "x")
    return pa.Table.from_pylist([row | values], schema=schema)


def test_lines_fit_a_terminal_and_hostile_texts_are_shown_safely() -> None:
    tables = {
        "drift": filled("drift", domain=ALL_DOMAINS, statistic="jsd", low=0.1, high=0.2, excess=0.15, p=0.0005),
        "drift_parts": pa.concat_tables(
            filled("drift_parts", domain=ALL_DOMAINS, part=part, attribution=0.5) for part in ("mixture", "content")
        ),
        "turnover": filled("turnover", domain=ALL_DOMAINS),
        "drift_conclusion": filled("drift_conclusion"),
        "drift_classifier": filled("drift_classifier", domain=ALL_DOMAINS, auc=None, reason="too few"),
        "drift_domains": filled("drift_domains", domain="d\x1b[31m" + "x" * 200, unit="tokens"),
        "drift_tokens": filled("drift_tokens", domain=ALL_DOMAINS, kind="riser", text="\u202eevil\x1b[2J"),
    }
    text = drift_summary_text(tables)
    assert "Drift: the token distributions differ" in text and "Not enough data: too few" in text
    assert "\x1b" not in text and "\u202e" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_is_advised_exists() -> None:
    advice = unknown_overlap(17)
    options = {option for parameter in run.params for option in parameter.opts}
    assert set(re.findall(r"--[a-z-]+", advice)) <= options
    key, value = re.findall(r"baseline: \{(\w+): (\w+)\}", advice)[0]
    assert BaselineSpec.model_validate({key: value}).run == "RUN"
