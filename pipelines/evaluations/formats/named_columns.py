"""Tables with named columns: Parquet, CSV, JSON lines and JSON with an item's id and score in each row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from corpus_audit.pipelines.evaluations.formats.head import Head
from corpus_audit.pipelines.evaluations.records.bounded_files import (
    ReadLimits,
    UnreadableFileError,
    lines_of,
    open_bounded,
    parse_json,
)
from corpus_audit.pipelines.evaluations.records.items import ItemCollector
from corpus_audit.pipelines.evaluations.records.values import epoch_of, field_of, text_of

NAMES = (
    "Parquet with named columns", "CSV with named columns", "JSON lines with named fields", "JSON with named fields",
)  # fmt: skip

ALIASES: dict[str, tuple[str, ...]] = {
    "item": ("doc_hash", "item_hash", "item", "item_id", "id", "doc_id", "question_id", "sample_id", "instance_id"),
    "score": ("score", "value", "correct", "is_correct", "acc", "accuracy", "exact_match", "passed", "resolved",
              "reward", "preference", "win"),
    "task": ("task", "benchmark", "dataset", "eval", "subject"),
    "metric": ("metric", "scorer"),
    "filter": ("filter",),
    "epoch": ("epoch", "trial", "repeat"),
    "seed": ("seed",),
    "prompt": ("prompt_hash",),
    "version": ("task_version", "version"),
    "model": ("model", "model_id"),
}  # fmt: skip
"""For every role the names of its column, the first that a file has is used."""

_WORDS = {"true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}
_BATCH = 1 << 14


def roles_of(columns: Mapping[str, Any] | tuple[str, ...]) -> dict[str, str]:
    """The column of every role that the columns have."""
    names = {name.lower(): name for name in reversed(tuple(columns))}
    roles = {
        role: next((names[alias] for alias in aliases if alias in names), None) for role, aliases in ALIASES.items()
    }
    return {role: name for role, name in roles.items() if name is not None}


def recognise(head: Head) -> str | None:
    """The format's name, or None: at least an item and a score are needed."""
    if not {"item", "score"} <= roles_of(names_of(head)).keys():
        return None
    return {"parquet": NAMES[0], "csv": NAMES[1], "lines": NAMES[2], "document": NAMES[3]}.get(head.kind)


def names_of(head: Head) -> tuple[str, ...]:
    """Names of the columns, or keys of the first record."""
    if head.kind in ("parquet", "csv"):
        return head.columns
    first = head.first
    if head.kind == "document":
        first = first[0] if isinstance(first, list) and first else None
    return tuple(first) if isinstance(first, dict) else ()


def read(head: Head, name: str, sink: ItemCollector) -> None:
    """Read a file of this format.

    Raises:
        UnreadableFileError: the file is damaged.
    """
    roles = roles_of(names_of(head))
    wanted = [*dict.fromkeys(roles.values())]
    root = (sink.cluster_field or "").split(".")[0]
    if root in head.columns and root not in wanted:
        wanted.append(root)
    rows: Iterable[tuple[int, Any]]
    if name == NAMES[0]:
        rows = parquet_rows(head, wanted)
    elif name == NAMES[1]:
        rows = _csv_rows(head, wanted, sink)
    elif name == NAMES[2]:
        rows = _line_rows(head, sink)
    else:
        rows = enumerate(head.first, 1)
    for row, record in rows:
        sink.row()
        if not isinstance(record, dict):
            sink.dead(row, "not an object")
            continue
        _take(row, record, roles, head, sink)


def _take(row: int, record: dict[str, Any], roles: dict[str, str], head: Head, sink: ItemCollector) -> None:
    def label(role: str, default: str | None) -> str | None:
        value = record.get(roles[role]) if role in roles else None
        return default if value is None else text_of(value)

    item = record.get(roles["item"])
    if item is None or isinstance(item, dict | list):
        sink.dead(row, "item missing")
        return
    epoch = record.get(roles["epoch"]) if "epoch" in roles else 1
    sink.score(
        row,
        label("task", head.stem) or head.stem,
        text_of(item),
        label("metric", None) or roles["score"],
        _number(record.get(roles["score"])),
        model=label("model", "") or "",
        version=label("version", None),
        prompt=label("prompt", None),
        filter_=label("filter", "") or "",
        epoch=epoch_of(int(epoch) if isinstance(epoch, str) and epoch.isdecimal() else epoch),
        seed=label("seed", None),
        cluster=field_of(record, sink.cluster_field),
    )


def _number(value: Any) -> Any:
    """Text of a number or of a truth value as that; everything else as it is."""
    if not isinstance(value, str):
        return value
    if value in _WORDS:
        return _WORDS[value]
    try:
        return float(value)
    except ValueError:
        return value


def parquet_rows(head: Head, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a Parquet file from 1, with some of its columns.

    Raises:
        UnreadableFileError: it is damaged.
    """
    row = 0
    try:
        with pq.ParquetFile(head.path) as file:
            for batch in file.iter_batches(_BATCH, columns=columns):
                for record in batch.to_pylist():
                    row += 1
                    yield row, record
    except (OSError, pa.ArrowException) as error:
        raise UnreadableFileError(f"the Parquet file is damaged after row {row} ({error})") from error


def _csv_rows(head: Head, columns: list[str], sink: ItemCollector) -> Iterator[tuple[int, dict[str, Any]]]:
    refused: list[tuple[int, str]] = []

    def refuse(bad: Any) -> str:
        refused.append((bad.number or 0, str(bad.text)[:200]))
        return "skip"

    row = 0
    try:
        with open_bounded(head.path, sink.limits) as stream:
            reader = pa_csv.open_csv(
                pa.PythonFile(stream, mode="r"),
                read_options=pa_csv.ReadOptions(block_size=8 << 20, use_threads=False),
                parse_options=pa_csv.ParseOptions(
                    delimiter="\t" if ".tsv" in head.name else ",", newlines_in_values=True, invalid_row_handler=refuse
                ),
                convert_options=pa_csv.ConvertOptions(
                    column_types={name: pa.string() for name in columns},
                    include_columns=columns,
                    strings_can_be_null=True,
                ),
            )
            for batch in reader:
                for record in batch.to_pylist():
                    row += 1
                    yield row, record
    except (OSError, pa.ArrowException, ValueError) as error:
        raise UnreadableFileError(f"the CSV file cannot be read after row {row} ({error})") from error
    finally:
        for number, text in refused:
            sink.row()
            sink.dead(number, "another number of columns", text)


def _line_rows(head: Head, sink: ItemCollector) -> Iterator[tuple[int, dict[str, Any]]]:
    for row, line in lines_of(head.path, sink.limits):
        try:
            record = None if line is None else parse_json(line)
        except ValueError as error:
            sink.row()
            sink.dead(row, "not JSON", error)
            continue
        if isinstance(record, dict):
            yield row, record
        else:
            sink.row()
            sink.dead(row, "line too long" if line is None else "not an object")


def table_rows(head: Head, columns: list[str], limits: ReadLimits) -> Iterator[dict[str, Any]]:
    """Records of a small table of any of the four kinds, for lists that accompany an evaluation.

    Raises:
        UnreadableFileError: it is damaged.
    """
    if head.kind == "parquet":
        yield from (record for _, record in parquet_rows(head, columns))
    elif head.kind == "csv":
        yield from (record for _, record in _csv_rows(head, columns, ItemCollector(limits)))
    elif head.kind == "document":
        yield from (record for record in head.first if isinstance(record, dict))
    else:
        yield from (record for _, record in _line_rows(head, ItemCollector(limits)))
