"""Reads tables with named columns: CSV, JSON lines and Parquet, among them exports of W&B and the metrics of lingua.

A wide table has a column of steps (`json_documents.STEP_NAMES`) and a column a series. A long one has, besides the
step, a column of names (`NAME_COLUMNS`) and one called ``value``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpus_audit.pipelines.reading.formats.dictionary_texts import is_text, listed, text_columns
from corpus_audit.pipelines.telemetry.json_documents import (
    RepeatedKeyError,
    add_row,
    as_number,
    flat,
    parse_json,
    step_name,
)
from corpus_audit.pipelines.telemetry.lines import line_blocks
from corpus_audit.pipelines.telemetry.points import MOST_TAGS, Account, Collector, FileTelemetry, Refusal

NAME_COLUMNS = ("tag", "metric", "key", "name")
"""Columns that name the series of a row in a long table."""

WALL_COLUMNS = ("_timestamp", "wall_time")
"""Columns of seconds since 1970."""

_NO_SERIES = (*WALL_COLUMNS, "_runtime")


def read_jsonl(path: Path) -> FileTelemetry:
    """Objects, one a line; offsets are bytes."""
    account = Account()
    collector = Collector(account)
    for offset, line in _lines(path, account):
        if not line.strip():
            account.entry(False)
            continue
        try:
            row = parse_json(line)
        except RepeatedKeyError as error:
            account.refuse(offset, Refusal.DUPLICATE_KEY, str(error))
            continue
        except ValueError as error:
            account.refuse(offset, Refusal.MALFORMED, str(error))
            continue
        if not isinstance(row, dict):
            account.refuse(offset, Refusal.MALFORMED, repr(row)[:100])
        elif (name := _long_name(list(row))) and step_name(list(row)):
            _add_long(row, name, offset, collector, account)
        elif step_name([key for key, _ in flat(row)]) is None:
            account.refuse(offset, Refusal.NO_STEP)
        else:
            add_row(row, offset, collector, account, None)
    return FileTelemetry(path, "jsonl", "byte", (collector.finish(),), account)


def _long_name(columns: list[str]) -> str | None:
    return next((name for name in NAME_COLUMNS if name in columns), None) if "value" in columns else None


def _add_long(row: dict[str, object], name: str, offset: int, collector: Collector, account: Account) -> None:
    step = as_number(row[str(step_name(list(row)))])
    value = as_number(row["value"])
    wall = next((as_number(row[column]) for column in WALL_COLUMNS if column in row), None)
    if step is None or step != step or abs(step) > 2**62:
        account.refuse(offset, Refusal.NO_STEP)
    elif value is None:
        account.refuse(offset, Refusal.NOT_A_NUMBER, str(row["value"]))
    else:
        account.entry(collector.add(str(row[name]), int(step), value, float("nan") if wall is None else wall, offset))


def _lines(path: Path, account: Account) -> Iterator[tuple[int, bytes]]:
    for offset, block in line_blocks(path, account):
        for line in block.splitlines(keepends=True) if b"\r" not in block else block.split(b"\n"):
            if line:
                yield offset, line
            offset += len(line) + (b"\r" in block)


def read_csv(path: Path) -> FileTelemetry:
    """Rows below a header; offsets are rows, from 0. Cells that are empty are not values."""
    account = Account()
    collector = Collector(account)
    rows = csv.reader(_text_lines(path, account))
    header = next(rows, [])
    key, name = step_name(header), _long_name(header)
    number = -1
    while True:
        number += 1
        try:
            cells = next(rows)
        except StopIteration:
            break
        except csv.Error as error:  # a NUL, or a cell that is too long
            account.refuse(number, Refusal.MALFORMED, str(error))
            continue
        if not cells:
            account.entry(False)
        elif len(cells) != len(header):
            account.refuse(number, Refusal.WRONG_COLUMNS, f"{len(cells)} cells below {len(header)} columns")
        elif name is not None and key is not None:
            _add_long(dict(zip(header, cells, strict=True)), name, number, collector, account)
        else:
            _add_cells(header, cells, key, number, collector, account)
    return FileTelemetry(path, "csv", "row", (collector.finish(),), account)


def _text_lines(path: Path, account: Account) -> Iterator[str]:
    """Lines with their ends, none longer than a block."""
    for offset, block in line_blocks(path, account):
        text = block.decode("utf-8", "backslashreplace")
        yield from (text if offset else text.removeprefix("\ufeff")).splitlines(keepends=True)


def _add_cells(
    header: list[str], cells: list[str], key: str | None, number: int, collector: Collector, account: Account
) -> None:
    row: dict[str, str] = {}
    for column, cell in zip(header, cells, strict=True):
        if column in row:
            account.refuse_value(number, Refusal.DUPLICATE_KEY, column)
        elif cell != "":
            row[column] = cell
    add_row(row, number, collector, account, key)


def read_parquet(path: Path) -> FileTelemetry:
    """Columns of numbers; offsets are rows. Nulls are not values; text that is a number (``"NaN"``) is one."""
    account = Account()
    collector = Collector(account)
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
    # Texts stay in their dictionaries: a row group may repeat a long one so often that it does not fit into memory.
    texts = text_columns(schema)
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        names = schema.names
        key, name = step_name(names), _long_name(names)
        columns = [
            field.name for field in schema if field.name in (key, name, *WALL_COLUMNS) or _may_be_numbers(field.type)
        ]
        row = 0
        for batch in file.iter_batches(batch_size=65_536, columns=list(dict.fromkeys(columns))):
            if name is not None:
                columns_of_batch = [listed(column) for column in batch.columns]
                for i, cells in enumerate(zip(*columns_of_batch, strict=True)):
                    _add_long(dict(zip(batch.schema.names, cells, strict=True)), name, row + i, collector, account)
            else:
                _add_batch(batch, key or "", row, collector, account)
            row += len(batch)
    return FileTelemetry(path, "parquet", "row", (collector.finish(),), account)


def _may_be_numbers(kind: pa.DataType) -> bool:
    types = pa.types
    return is_text(kind) or any(is_one(kind) for is_one in (types.is_integer, types.is_floating, types.is_decimal))


def _floats(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(values, whether there is a number) of a column."""
    if isinstance(column, pa.DictionaryArray):
        figures = pa.array([None if text is None else as_number(text) for text in column.dictionary.to_pylist()])
        column = figures.cast(pa.float64()).take(column.indices)
    elif is_text(column.type):
        column = pa.array([None if text is None else as_number(text) for text in column.to_pylist()], pa.float64())
    there = np.asarray(pc.is_valid(column))
    return np.asarray(pc.cast(pc.fill_null(column, 0), pa.float64(), safe=False)), there


def _add_batch(batch: pa.RecordBatch, key: str, row: int, collector: Collector, account: Account) -> None:
    steps, with_step = _floats(batch.column(key))
    with_step = with_step & np.isfinite(steps) & (np.abs(np.nan_to_num(steps)) <= 2**62)
    for i in np.flatnonzero(~with_step).tolist():
        account.refuse(row + i, Refusal.NO_STEP)
    wall = np.full(len(batch), np.nan)
    for name in WALL_COLUMNS:
        if name in batch.schema.names:
            values, there = _floats(batch.column(name))
            wall[there] = values[there]
    used = np.zeros(len(batch), bool)
    for i, name in enumerate(batch.schema.names):
        if name == key or name in _NO_SERIES:
            continue
        values, there = _floats(batch.column(i))
        rows = np.flatnonzero(there & with_step)
        if not len(rows):
            continue
        position = collector.position(name)
        if position < 0:
            account.refuse_value(row, Refusal.TOO_MANY_TAGS, f"{name}: more than {MOST_TAGS} columns")
            continue
        used[rows] = True
        tags = np.full(len(rows), position, np.int32)
        collector.extend(tags, steps[rows].astype(np.int64), values[rows], wall[rows], row + rows)
    account.entries += int(with_step.sum())
    account.used += int(used.sum())
    account.other += int((with_step & ~used).sum())
