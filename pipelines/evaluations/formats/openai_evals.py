"""Logs of OpenAI's evals: JSON lines of events, with the specification first and the final report last."""

from __future__ import annotations

from typing import Any

from corpus_audit.pipelines.evaluations.formats.head import Head, json_lines
from corpus_audit.pipelines.evaluations.records.items import Claim, ItemCollector
from corpus_audit.pipelines.evaluations.records.values import field_of, hash_of, number_of, text_of

NAMES = ("OpenAI evals log",)


def recognise(head: Head) -> str | None:
    """The format's name, or None."""
    keys = head.keys()
    spec = head.first.get("spec") if "spec" in keys else None
    known = isinstance(spec, dict) and "eval_name" in spec
    return NAMES[0] if head.kind == "lines" and (known or {"event_id", "sample_id", "type", "data"} <= keys) else None


def read(head: Head, name: str, sink: ItemCollector) -> None:
    """Read a file of this format: scores are in the events ``match`` and ``metrics``, prompts in ``sampling``."""
    task, model = head.stem, ""
    prompts: dict[str, str] = {}
    for row, record in json_lines(head, sink):
        if not isinstance(record, dict):
            sink.dead(row, "no event")
        elif isinstance(record.get("spec"), dict):
            spec = record["spec"]
            task = text_of(spec.get("eval_name") or task)
            names = spec.get("completion_fns")
            model = ",".join(map(text_of, names)) if isinstance(names, list) else text_of(spec.get("model_name") or "")
        elif isinstance(record.get("final_report"), dict):
            _take_report(head, record["final_report"], sink, (model, task))
        else:
            _take_event(row, record, sink, (model, task), prompts)


def _take_event(
    row: int, record: dict[str, Any], sink: ItemCollector, names: tuple[str, str], prompts: dict[str, str]
) -> None:
    kind, data, sample = record.get("type"), record.get("data"), record.get("sample_id")
    if not isinstance(kind, str) or not isinstance(data, dict):
        sink.dead(row, "no event", list(record)[:8])
        return
    item = text_of(sample)
    if kind == "sampling":
        if "prompt" in data:
            prompts.setdefault(item, hash_of(data["prompt"]))
    elif kind == "match":
        _take(row, sink, names, item, "match", data.get("correct"), prompts, record)
    elif kind == "metrics":
        for metric, value in data.items():
            if value is not None and not isinstance(value, str | list | dict):
                _take(row, sink, names, item, metric, value, prompts, record)
    elif kind == "error":
        sink.dead(row, "sample failed", data.get("message", ""))


def _take(
    row: int,
    sink: ItemCollector,
    names: tuple[str, str],
    item: str,
    metric: str,
    value: Any,
    prompts: dict[str, str],
    record: dict[str, Any],
) -> None:
    model, task = names
    cluster = field_of(record.get("data"), sink.cluster_field)
    sink.score(row, task, item, metric, value, model=model, prompt=prompts.get(item), cluster=cluster)


def _take_report(head: Head, report: dict[str, Any], sink: ItemCollector, names: tuple[str, str]) -> None:
    for metric, value in report.items():
        number = number_of(value)
        if number is not None:
            # `accuracy` is the mean of match events; what other figures are over is the evaluation's own affair.
            mean = metric == "accuracy"
            shown = "match" if mean else metric
            sink.claim(Claim(head.name, names[0], names[1], None, shown, "", number, mean=mean))
