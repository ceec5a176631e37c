"""Filter clauses: what stays, under which reason the rest is counted, and the same answer in every format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.reading.documents.batches import ReadSettings, SplitTally
from corpus_audit.pipelines.reading.documents.filters import check_filter
from corpus_audit.pipelines.reading.formats.reader import read_split
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.spec.audit import DocumentSpec, FilterClause
from tests.pipelines.reading.shard_files import plan, read

SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("n", pa.int64()),
        ("x", pa.float64()),
        ("ok", pa.bool_()),
        ("s", pa.dictionary(pa.int32(), pa.string())),
        ("m", pa.struct([("s", pa.string())])),
    ]
)
ROWS: list[dict[str, Any]] = [
    {"text": "0", "n": 1, "x": 0.5, "ok": True, "s": "abc", "m": {"s": "en"}},
    {"text": "1", "n": 2, "x": 1.5, "ok": False, "s": "bcd", "m": {"s": "de"}},
    {"text": "2", "n": None, "x": None, "ok": None, "s": None, "m": None},
    {"text": "3", "n": 3, "x": -1.0, "ok": True, "s": "", "m": {"s": None}},
    {"text": "4", "n": 9007199254740993, "x": 2.0, "ok": True, "s": "ABC", "m": {"s": "en"}},
]


def _clause(column: str, op: str, value: Any = None, name: str = "clause") -> FilterClause:
    return FilterClause.model_validate({"name": name, "column": column, "op": op, "value": value})


def _write(folder: Path, rows: list[dict[str, Any]] = ROWS) -> list[Path]:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    paths = [folder / name for name in ("a.parquet", "a.arrow", "a.jsonl")]
    pq.write_table(table, paths[0])
    with pa.ipc.new_file(paths[1], table.schema) as sink:
        sink.write_table(table)
    paths[2].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return paths


@pytest.mark.parametrize(
    ("column", "op", "value", "stay"),
    [
        ("n", "==", 2, "1"),
        ("n", "==", 9007199254740993, "4"),
        ("n", "!=", 2, "034"),
        ("n", ">=", 1.5, "134"),
        ("n", "==", 2.0, "1"),
        ("n", ">", 1e300, ""),
        ("n", ">", -(2**70), "0134"),
        ("x", "<", 1, "03"),
        ("x", "<=", 1.5, "013"),
        ("x", ">", 0, "014"),
        ("ok", "==", True, "034"),
        ("ok", "!=", True, "1"),
        ("s", "==", "", "3"),
        ("s", "<", "b", "034"),
        ("s", "in", ("abc", "ABC"), "04"),
        ("s", "not_in", ("abc", "ABC"), "13"),
        ("n", "in", (1, 3.0), "03"),
        ("s", "matches", "b.", "01"),
        ("s", "matches", "(?i)^abc$", "04"),
        ("m.s", "==", "en", "04"),
        ("m.s", "is_null", None, "23"),
        ("m.s", "not_null", None, "014"),
        ("n", "is_null", None, "2"),
    ],
)
def test_what_stays(tmp_path: Path, column: str, op: str, value: Any, stay: str) -> None:
    settings = ReadSettings(DocumentSpec(), (_clause(column, op, value),))
    for path in _write(tmp_path):
        found = read(path, settings)
        assert "".join(found.texts) == stay
        assert found.filtered == {"clause": 5 - len(stay)}


def test_a_row_is_dropped_under_the_first_clause_that_fails(tmp_path: Path) -> None:
    clauses = (_clause("n", "<", 3, "small"), _clause("ok", "==", True, "ok"), _clause("s", "not_null", None, "s"))
    for path in _write(tmp_path):
        found = read(path, ReadSettings(DocumentSpec(), clauses))
        assert found.texts == ["0"] and found.filtered == {"small": 3, "ok": 1}


def test_the_filter_goes_before_the_checks_of_the_text(tmp_path: Path) -> None:
    rows = [{**row, "text": None} for row in ROWS]
    for path in _write(tmp_path, rows):
        found = read(path, ReadSettings(DocumentSpec(), (_clause("n", "<", 3),)))
        assert found.filtered == {"clause": 3} and found.dead == {"missing_text": 2} and not found.texts


@pytest.mark.parametrize(
    ("column", "op", "value", "named"),
    [
        ("n", "==", "2", "(number, int64) with '2' (text)"),
        ("s", ">", 2, "(text, string) with 2 (number)"),
        ("ok", "==", 1, "(boolean, bool) with 1 (number)"),
        ("n", "==", True, "(number, int64) with True (boolean)"),
        ("n", "matches", "2", "(number, int64) with '2' (text)"),
        ("m", "==", "2", "struct<s: string>"),
    ],
)
def test_types_that_do_not_fit_are_errors(tmp_path: Path, column: str, op: str, value: Any, named: str) -> None:
    settings = ReadSettings(DocumentSpec(), (_clause(column, op, value),))
    for path in _write(tmp_path)[:2]:
        planned = plan(path)
        with pytest.raises(UsageError) as caught:
            list(read_split(planned.shard, planned.splits[0], settings, SplitTally()))
        assert named in str(caught.value) and column in str(caught.value)


def test_a_json_value_of_another_type_is_a_dead_letter(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "n": 1}\n{"text": "b", "n": "1"}\n{"text": "c", "n": true}\n{"text": "d", "n": 2}\n')
    found = read(path, ReadSettings(DocumentSpec(), (_clause("n", "<", 2),)))
    assert (found.texts, found.filtered, found.dead) == (["a"], {"clause": 1}, {"wrong_type": 2})


def test_patterns_are_linear_and_checked_at_load() -> None:
    check_filter([_clause("s", "matches", "^(a+)+$")])
    for pattern in ("(", "(?=a)", r"(a)\1"):
        with pytest.raises(UsageError, match="not an RE2 pattern"):
            check_filter([_clause("s", "matches", pattern)])
    with pytest.raises(UsageError, match="different types: number and text"):
        check_filter([_clause("s", "in", (1, "a"))])
