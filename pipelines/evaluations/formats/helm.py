"""HELM's ``per_instance_stats.json``: statistics of every instance and trial."""

from __future__ import annotations

from typing import Any

from corpus_audit.pipelines.evaluations.formats.head import Head
from corpus_audit.pipelines.evaluations.records.bounded_files import UnreadableFileError, read_document
from corpus_audit.pipelines.evaluations.records.items import ItemCollector
from corpus_audit.pipelines.evaluations.records.values import epoch_of, field_of, text_of

NAMES = ("HELM per-instance statistics",)

_BOOKKEEPING = (
    "num_", "training_", "inference_", "batch_size", "finish_reason_", "prompt_truncated", "max_prob", "logprob",
    "estimated_",
)  # fmt: skip
"""Beginnings of names of statistics that describe the request and not the answer's quality."""


def recognise(head: Head) -> str | None:
    """The format's name, or None."""
    first = head.first[0] if head.kind == "document" and isinstance(head.first, list) and head.first else None
    return NAMES[0] if isinstance(first, dict) and {"instance_id", "stats"} <= first.keys() else None


def read(head: Head, name: str, sink: ItemCollector) -> None:
    """Read a file of this format; the task and the model are those of ``run_spec.json`` beside it.

    ``stats.json`` is not read: its statistics are over trials (count 1, deviation 0), not over instances.
    """
    task, model = _run(head, sink)
    for row, record in enumerate(head.first, 1):
        sink.row()
        if not isinstance(record, dict) or not isinstance(record.get("stats"), list) or "instance_id" not in record:
            sink.dead(row, "no statistics of an instance")
            continue
        # A perturbed instance has the id of its original: it is another metric, not another answer.
        suffix = _perturbation(record.get("perturbation"))
        used = 0
        for stat in record["stats"]:
            label = stat.get("name") if isinstance(stat, dict) else None
            metric = label.get("name") if isinstance(label, dict) else None
            if not isinstance(metric, str) or not isinstance(label, dict):
                sink.dead(row, "statistic without a name")
                continue
            if metric.startswith(_BOOKKEEPING):
                continue
            used += 1
            sink.score(
                row,
                task,
                text_of(record["instance_id"]),
                metric + (suffix or _perturbation(label.get("perturbation"))),
                stat.get("mean") if stat.get("count") else None,
                model=model,
                epoch=epoch_of(record.get("train_trial_index", 0)) + 1,
                cluster=field_of(record, sink.cluster_field),
            )
        if not used:
            sink.dead(row, "no statistic of quality")


def _perturbation(value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    return f" ({text_of(value.get('computed_on') or '')} {text_of(value.get('name') or 'perturbed')})".replace(
        "( ", "("
    )


def _run(head: Head, sink: ItemCollector) -> tuple[str, str]:
    """Task and model: the run's name without its model."""
    path = head.path.parent / "run_spec.json"
    name = head.folder.rpartition("/")[2]
    model = ""
    if path.is_file():
        try:
            spec = read_document(path, sink.limits)
        except UnreadableFileError as error:
            sink.remark("no run specification", f"run_spec.json: {error}")
            spec = {}
        if isinstance(spec, dict):
            name = text_of(spec.get("name") or name)
            adapter = spec.get("adapter_spec")
            model = text_of(adapter.get("model") or "") if isinstance(adapter, dict) else ""
    task, _, arguments = name.partition(":")
    kept = [part for part in arguments.split(",") if part and not part.startswith(("model=", "model_deployment="))]
    return task + (":" + ",".join(kept) if kept else ""), model
