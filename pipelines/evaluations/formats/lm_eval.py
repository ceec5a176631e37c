"""Results and samples of lm-evaluation-harness, 0.3 and 0.4, and of lighteval's results, which have the same shape."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from corpus_audit.pipelines.evaluations.formats.head import Head, json_lines
from corpus_audit.pipelines.evaluations.records.items import SHARE_METRICS, Claim, ItemCollector
from corpus_audit.pipelines.evaluations.records.values import epoch_of, field_of, hash_of, number_of, text_of
from corpus_audit.pipelines.statistics.evaluations.aggregates import items_from_error

NAMES = ("lm-evaluation-harness results", "lm-evaluation-harness samples", "lighteval results")

_SAMPLES_FILE = re.compile(r"samples_(?P<task>.+?)(?:_(?P<stamp>\d{4}-\d\d-\d\dT[\d.:\-+]+))?$")
_STAMP = re.compile(r"_(\d{4}-\d\d-\d\dT[\d.:\-+]+)$")
_NO_METRICS = frozenset({"doc_id", "target", "doc_hash", "prompt_hash", "target_hash", "filter", "schema_version"})
_NO_FIGURES = frozenset({"alias", "name", "sample_len", "sample_count", "prompt_name", "task_name", "dataset_name"})


def recognise(head: Head) -> str | None:
    """The format's name, or None."""
    keys = head.keys()
    if head.kind == "document" and isinstance(head.first, dict) and isinstance(head.first.get("results"), dict):
        if "config_general" in keys:
            return NAMES[2]
        if keys & {"versions", "lm_eval_version", "n-shot"} or (len(keys) <= 3 and _nested(head.first["results"])):
            return NAMES[0]
    if head.kind == "lines" and "doc_id" in keys and keys & {"filtered_resps", "resps"}:
        return NAMES[1]
    return None


def _nested(results: dict[str, Any]) -> bool:
    """Whether the values are objects of numbers, or objects of such."""
    tasks = [value for value in results.values() if isinstance(value, dict)]
    return bool(tasks) and len(tasks) == len(results)


def read(head: Head, name: str, sink: ItemCollector) -> None:
    """Read a file of this format."""
    if name == NAMES[1]:
        _read_samples(head, sink)
    else:
        _read_results(head, sink)


def _read_results(head: Head, sink: ItemCollector) -> None:
    document = head.first
    versions, config = _object(document.get("versions")), _object(document.get("config"))
    shots, counts = _object(document.get("n-shot")), _object(document.get("n-samples"))
    general = _object(document.get("config_general"))
    model = str(document.get("model_name") or general.get("model_name") or config.get("model") or "")
    stamp = _STAMP.search(head.stem)
    if model:
        sink.model_of[head.folder] = model
    for task, metrics in _object(document.get("higher_is_better")).items():
        for metric, better in _object(metrics).items():
            if isinstance(better, bool):
                sink.higher_is_better[task, metric] = better
    subtasks = _object(document.get("group_subtasks"))
    groups = {task: parts for task, parts in subtasks.items() if isinstance(parts, list) and parts}
    for row, (task, figures) in enumerate(document["results"].items(), 1):
        sink.row()
        if not isinstance(figures, dict):
            sink.dead(row, "no figures of the task", task)
            continue
        version = _version(versions.get(task), shots.get(task, config.get("num_fewshot")))
        if version is not None:
            sink.versions[head.folder, f"{task}@{stamp[1]}" if stamp else task] = version
        parts = _tasks_of(task, groups) if task in groups else ()
        used = 0
        for dated in _dated(task, figures, sink):
            used += _claims(head, sink, dated, (model, task, version), _object(counts.get(task)), parts)
        if not used:
            sink.dead(row, "no figures of the task", task)


def _tasks_of(group: str, groups: dict[str, list[Any]]) -> tuple[str, ...]:
    """Tasks of a group, and of the groups in it; a group in itself is not followed."""
    tasks: list[str] = []
    todo, seen = [group], {group}
    while todo:
        for part in groups.get(todo.pop(), ()):
            if not isinstance(part, str) or part in seen:
                continue
            seen.add(part)
            (todo if part in groups else tasks).append(part)
    return tuple(sorted(tasks))


def _dated(task: str, figures: dict[str, Any], sink: ItemCollector) -> Iterator[dict[str, Any]]:
    """The figures of a task; where they are kept by date, those of the last one."""
    if figures and all(isinstance(value, dict) for value in figures.values()):
        if len(figures) > 1:
            sink.remark("several results", f"{task} has results of {len(figures)} dates; the last one is used")
        figures = figures[max(figures)]
    yield figures


def _claims(
    head: Head,
    sink: ItemCollector,
    figures: dict[str, Any],
    names: tuple[str, str, str | None],
    count: dict[str, Any],
    parts: tuple[str, ...],
) -> int:
    model, task, version = names
    used = 0
    for key, raw in figures.items():
        metric, _, filter_ = key.partition(",")
        if metric.endswith("_stderr") or key in _NO_FIGURES:
            continue
        value = number_of(raw)
        if value is None:
            continue
        error = number_of(figures.get(f"{metric}_stderr,{filter_}" if "," in key else f"{metric}_stderr"))
        items = count.get("effective", figures.get("sample_len"))
        if items is None and metric in SHARE_METRICS and error:
            derived = items_from_error(value, error)
            items = round(derived) if derived == derived and abs(derived - round(derived)) < 0.01 else None
        size = int(items) if isinstance(items, int) and not isinstance(items, bool) else None
        sink.claim(Claim(head.name, model, task, version, metric, filter_, value, error, size, parts))
        used += 1
    return used


def _version(version: Any, shots: Any) -> str | None:
    """Version and number of examples as one label: either makes another task of it."""
    known = [f"version {text_of(version)}"] if version is not None and not isinstance(version, dict | list) else []
    if isinstance(shots, int) and not isinstance(shots, bool):
        known.append(f"{shots}-shot")
    return ", ".join(known) or None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _read_samples(head: Head, sink: ItemCollector) -> None:
    match = _SAMPLES_FILE.match(head.stem)
    task = match["task"] if match else head.stem
    stamp = match["stamp"] if match else None
    version = sink.versions.get((head.folder, f"{task}@{stamp}"), sink.versions.get((head.folder, task)))
    model = sink.model_of.get(head.folder, head.folder.rpartition("/")[2])
    for row, record in json_lines(head, sink):
        if not isinstance(record, dict) or "doc_id" not in record:
            sink.dead(row, "no sample", list(record)[:8] if isinstance(record, dict) else "")
            continue
        _take_sample(row, record, sink, (model, task, version))


def _take_sample(row: int, record: dict[str, Any], sink: ItemCollector, names: tuple[str, str, str | None]) -> None:
    model, task, version = names
    metrics = record.get("metrics")
    if not isinstance(metrics, list):
        metrics = [key for key, value in record.items() if isinstance(value, int | float) and key not in _NO_METRICS]
    if not metrics:
        sink.dead(row, "no metrics")
        return
    item_id = text_of(record["doc_id"])
    item = record.get("doc_hash")
    if not isinstance(item, str):
        # Version 0.4.0 wrote no hashes. Ids alone are wrong where samples were chosen (--samples) in another order.
        item = hash_of(record["doc"]) if isinstance(record.get("doc"), dict) else item_id
    prompt = record.get("prompt_hash")
    filter_ = record.get("filter")
    cluster = field_of(record, sink.cluster_field)
    for metric in metrics:
        if not isinstance(metric, str):
            sink.dead(row, "no metrics", metric)
            continue
        sink.score(
            row,
            task,
            item,
            metric,
            record.get(metric),
            model=model,
            version=version,
            item_id=item_id,
            prompt=prompt if isinstance(prompt, str) else None,
            filter_=filter_ if isinstance(filter_, str) else "none",
            epoch=epoch_of(record.get("repeat", 1)),
            cluster=cluster,
        )
