"""Details of lighteval: Parquet with a row an item, in its older and newer columns."""

from __future__ import annotations

import ast
import re
from typing import Any

from corpus_audit.pipelines.evaluations.formats.head import Head
from corpus_audit.pipelines.evaluations.formats.named_columns import parquet_rows
from corpus_audit.pipelines.evaluations.records.items import ItemCollector
from corpus_audit.pipelines.evaluations.records.values import field_of, hash_of, text_of

NAMES = ("lighteval details",)

_FILE = re.compile(r"details_(?P<task>.+?)_\d{4}-\d\d-\d\dT[\d.:\-+]+$")
_COLUMNS = ("doc", "metric", "metrics", "example", "full_prompt", "choices", "gold", "specifics")


def recognise(head: Head) -> str | None:
    """The format's name, or None."""
    columns = set(head.columns)
    new = {"doc", "metric", "model_response"} <= columns
    old = {"metrics", "full_prompt", "predictions"} <= columns
    return NAMES[0] if head.kind == "parquet" and (new or old) else None


def read(head: Head, name: str, sink: ItemCollector) -> None:
    """Read a file of this format; columns of answers and token ids are not read.

    Raises:
        UnreadableFileError: the Parquet file is damaged.
    """
    match = _FILE.match(head.stem)
    task = match["task"] if match else head.stem
    model = "/".join(head.folder.split("/")[-3:-1]) if head.folder.count("/") >= 2 else ""
    columns = [column for column in _COLUMNS if column in head.columns]
    for row, record in parquet_rows(head, columns):
        sink.row()
        doc = _value(record.get("doc"))
        metrics = _value(record.get("metric", record.get("metrics")))
        if not isinstance(metrics, dict) or not any(value is not None for value in metrics.values()):
            sink.dead(row, "no metrics", metrics)
            continue
        if isinstance(doc, dict):
            own, query = text_of(doc.get("id") or ""), doc.get("query")
            item, prompt = hash_of([query, doc.get("choices")]), hash_of([doc.get("instruction"), query])
        else:
            own = ""
            query = record.get("example") or record.get("full_prompt")
            item = hash_of([text_of(query), record.get("choices"), record.get("gold")])
            prompt = hash_of(text_of(record.get("full_prompt") or ""))
        cluster = field_of(doc if isinstance(doc, dict) else record, sink.cluster_field)
        for metric, value in metrics.items():
            if value is not None:  # Parquet unites the keys of all rows
                sink.score(
                    row, task, item, metric, value,
                    model=model, item_id=own or str(row - 1), prompt=prompt, cluster=cluster,
                )  # fmt: skip


def _value(value: Any) -> Any:
    """A struct, or what the text of a Python literal says: some versions wrote their dictionaries as text."""
    if isinstance(value, str) and value[:1] in "{[" and len(value) < 1 << 20:
        try:
            return ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return value
    return value
