"""Every Eval Ever (arXiv 2606.14516): its instances as JSON lines, and its aggregate documents."""

from __future__ import annotations

from typing import Any

from corpus_audit.pipelines.evaluations.formats.head import Head, json_lines
from corpus_audit.pipelines.evaluations.records.items import Claim, ItemCollector
from corpus_audit.pipelines.evaluations.records.values import field_of, hash_of, number_of, text_of

NAMES = ("Every Eval Ever instances", "Every Eval Ever aggregate")


def recognise(head: Head) -> str | None:
    """The format's name, or None."""
    keys = head.keys()
    if head.kind in ("lines", "document") and {"evaluation_name", "sample_id", "evaluation"} <= keys:
        return NAMES[0]
    if head.kind == "document" and {"schema_version", "evaluation_results"} <= keys:
        return NAMES[1]
    return None


def read(head: Head, name: str, sink: ItemCollector) -> None:
    """Read a file of this format."""
    if name == NAMES[1]:
        _read_aggregate(head, sink)
        return
    for row, record in json_lines(head, sink):
        evaluation = record.get("evaluation") if isinstance(record, dict) else None
        if not isinstance(evaluation, dict) or "sample_id" not in record:
            sink.dead(row, "no instance")
            continue
        _take(row, record, evaluation, sink)


def _take(row: int, record: dict[str, Any], evaluation: dict[str, Any], sink: ItemCollector) -> None:
    if record.get("error"):
        sink.dead(row, "sample failed", record["error"])
        return
    sample = text_of(record["sample_id"])
    given = record.get("input")
    prompt = (given.get("formatted") or given.get("raw")) if isinstance(given, dict) else None
    hashed = record.get("sample_hash")
    result = record.get("evaluation_result_id")
    sink.score(
        row,
        text_of(record.get("evaluation_name") or ""),
        hashed if isinstance(hashed, str) else sample,
        # Several results of one sample are rows of their own; the id names the result after that of the evaluation.
        _metric(result, record.get("evaluation_id")),
        evaluation.get("score"),
        model=text_of(record.get("model_id") or ""),
        item_id=sample,
        prompt=hash_of(prompt) if isinstance(prompt, str) else None,
        cluster=field_of(record, sink.cluster_field),
    )


def _metric(result: Any, evaluation: Any) -> str:
    if not isinstance(result, str):
        return "score"
    return result.removeprefix(text_of(evaluation or "")).strip("/#:_ ") or "score"


def _read_aggregate(head: Head, sink: ItemCollector) -> None:
    document = head.first
    info = document.get("model_info")
    model = text_of(info.get("id") or info.get("name") or "") if isinstance(info, dict) else ""
    results = document["evaluation_results"]
    for row, result in enumerate(results if isinstance(results, list) else [], 1):
        sink.row()
        details = result.get("score_details") if isinstance(result, dict) else None
        value = number_of(details.get("score")) if isinstance(details, dict) else None
        if not isinstance(details, dict) or value is None:
            sink.dead(row, "no score of the result")
            continue
        task = text_of(result.get("evaluation_name") or "")
        metric = _metric(result.get("evaluation_result_id"), document.get("evaluation_id"))
        config = result.get("metric_config")
        if isinstance(config, dict) and isinstance(config.get("lower_is_better"), bool):
            sink.higher_is_better[task, metric] = not config["lower_is_better"]
        doubt = details.get("uncertainty")
        doubt = doubt if isinstance(doubt, dict) else {}
        error = doubt.get("standard_error")
        error = error.get("value") if isinstance(error, dict) else error
        count = doubt.get("num_samples")
        items = count if isinstance(count, int) and not isinstance(count, bool) else None
        sink.claim(Claim(head.name, model, task, None, metric, "", value, number_of(error), items))
