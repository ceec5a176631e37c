"""Logs of Inspect: ``.eval`` archives (deflate and zstd members) and JSON."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from corpus_audit.pipelines.evaluations.formats.head import Head
from corpus_audit.pipelines.evaluations.records.bounded_files import (
    Archive,
    UnreadableFileError,
    parse_json,
)
from corpus_audit.pipelines.evaluations.records.items import Claim, ItemCollector
from corpus_audit.pipelines.evaluations.records.trajectories import (
    ENVIRONMENT,
    Step,
    Trajectory,
    agent_step,
    step_of,
)
from corpus_audit.pipelines.evaluations.records.values import epoch_of, field_of, hash_of, number_of, text_of

NAMES = ("Inspect archive", "Inspect log")

_SAMPLE = re.compile(r"samples/.+\.json$")
_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Correct, partial, incorrect and no answer, as Inspect's own value_to_float has them."""
_USAGE = {"total_cost": "cost", "total_tokens": "tokens", "output_tokens": "tokens received"}
_WORDS = {"yes": 1.0, "true": 1.0, "correct": 1.0, "no": 0.0, "false": 0.0, "incorrect": 0.0}


def recognise(head: Head) -> str | None:
    """The format's name, or None."""
    if head.kind == "zip":
        return NAMES[0]
    if head.kind == "document" and {"eval", "status"} <= head.keys():
        return NAMES[1]
    return None


def read(head: Head, name: str, sink: ItemCollector) -> None:
    """Read a file of this format.

    Raises:
        UnreadableFileError: it is damaged, or an archive of something else.
    """
    if name == NAMES[0]:
        _read_archive(head, sink)
    else:
        samples = head.first.get("samples")
        _read_log(head, head.first, enumerate(samples if isinstance(samples, list) else [], 1), sink)


def _read_archive(head: Head, sink: ItemCollector) -> None:
    with Archive(head.path, sink.limits) as archive:
        names = archive.names
        start = "header.json" if "header.json" in names else "_journal/start.json"
        if start not in names:
            raise UnreadableFileError("a zip archive without header.json or _journal/start.json: not a log of Inspect")
        if archive.repeated:
            sink.remark("repeated members", f"{archive.repeated} members have the name of another; one of each is read")
        try:
            header = parse_json(archive.read(start))
        except ValueError as error:
            raise UnreadableFileError(f"{start} is not JSON ({error})") from error
        if start != "header.json":
            sink.remark("unfinished run", "the archive has no header.json: the run did not end, or the file is cut off")
        members = [member for member in names if _SAMPLE.fullmatch(member)]
        _read_log(head, header, ((row, _member(archive, member)) for row, member in enumerate(members, 1)), sink)


def _member(archive: Archive, name: str) -> Any:
    """The sample that a member is, or the error that keeps it from being read."""
    try:
        return parse_json(archive.read(name))
    except (ValueError, UnreadableFileError) as error:
        return error


def _read_log(head: Head, header: Any, samples: Iterable[tuple[int, Any]], sink: ItemCollector) -> None:
    if not isinstance(header, dict) or not isinstance(header.get("eval"), dict):
        raise UnreadableFileError("the log has no eval section")
    spec = header["eval"]
    task, model = text_of(spec.get("task") or head.stem), text_of(spec.get("model") or "")
    parts = [f"version {text_of(spec['task_version'])}"] if spec.get("task_version") is not None else []
    arguments = spec.get("task_args")
    if isinstance(arguments, dict):
        parts += [f"{key}={text_of(value)}" for key, value in sorted(arguments.items())]
    names = (model, task, " ".join(parts) or None)
    read_samples = 0
    for row, sample in samples:
        sink.row()
        read_samples += 1
        if isinstance(sample, Exception):
            sink.dead(row, "unreadable sample", sample)
        elif not isinstance(sample, dict) or "id" not in sample:
            sink.dead(row, "no sample")
        else:
            _take_sample(row, sample, sink, names)
    _check_header(header, read_samples, sink)
    _take_results(head, header, sink, names)


def _take_sample(row: int, sample: dict[str, Any], sink: ItemCollector, names: tuple[str, str, str | None]) -> None:
    scores = sample.get("scores")
    if scores is None and isinstance(sample.get("score"), dict):
        scores = {"score": sample["score"]}
    model, task, version = names
    item = text_of(sample["id"])
    prompt = hash_of([sample.get("input"), sample.get("choices")])
    if not isinstance(scores, dict) or not scores:
        sink.dead(row, "sample failed" if sample.get("error") else "sample has no scores", _message(sample))
        _take_trajectory(row, sample, {}, sink, names, prompt)
        return
    cluster = field_of(sample, sink.cluster_field)
    _take_trajectory(row, sample, scores, sink, names, prompt)
    for scorer, score in scores.items():
        value = score.get("value") if isinstance(score, dict) else None
        parts = {f"{scorer}/{key}": part for key, part in value.items()} if isinstance(value, dict) else {scorer: value}
        for metric, part in parts.items():
            sink.score(
                row,
                task,
                item,
                metric,
                number_of_value(part),
                model=model,
                version=version,
                prompt=prompt,
                epoch=epoch_of(sample.get("epoch", 1)),
                cluster=cluster,
            )


def _take_trajectory(
    row: int,
    sample: dict[str, Any],
    scores: dict[str, Any],
    sink: ItemCollector,
    names: tuple[str, str, str | None],
    prompt: str,
) -> None:
    """Take the messages of a sample as a trajectory, if the model called a tool in it."""
    messages = sample.get("messages")
    messages = [each if isinstance(each, dict) else {} for each in messages] if isinstance(messages, list) else []
    if not any(message.get("tool_calls") for message in messages):
        return
    made: list[Step] = []
    errors: Counter[str] = Counter()
    for number, message in enumerate(messages, 1):
        role, content = message.get("role"), message.get("content")
        content = "" if content is None else content
        if role == "assistant":
            made.append(agent_step(content, _calls(message.get("tool_calls")), number))
        elif role in ("tool", "user"):
            made.append(step_of(ENVIRONMENT, content, number))
        if role == "tool" and isinstance(error := message.get("error"), dict):
            errors[f"tool error: {text_of(error.get('type') or 'unknown')}"] += 1
    usage = {"steps": float(sum(step.kind != ENVIRONMENT for step in made))}
    for name, value in (("time", sample.get("total_time")), ("working time", sample.get("working_time"))):
        if value is not None and (amount := sink.amount(row, name, value)) is not None:
            usage[name] = amount
    spent = sample.get("model_usage")
    spent = [each for each in spent.values() if isinstance(each, dict)] if isinstance(spent, dict) else []
    for key, name in _USAGE.items():
        amounts = [number_of(each.get(key)) for each in spent]
        if spent and None not in amounts:
            usage[name] = sum(amount for amount in amounts if amount is not None)
    model, task, version = names
    limit = sample.get("limit")
    ended = f"limit: {text_of(limit.get('type') or 'unknown')}" if isinstance(limit, dict) else ""
    if sample.get("error"):
        ended = "sample failed"
    values = [score.get("value") for score in scores.values() if isinstance(score, dict)]
    value = number_of_value(values[0]) if len(values) == 1 else None
    sink.trajectory(
        Trajectory(
            sink.file, row, f"sample {text_of(sample['id'])}, epoch {epoch_of(sample.get('epoch', 1))}, message",
            model, task, text_of(sample["id"]), epoch_of(sample.get("epoch", 1)), version, prompt,
            field_of(sample, sink.cluster_field), usage, dict(errors), ended,
            bool(value) if value in (0.0, 1.0) else None, tuple(made),
        )
    )  # fmt: skip


def _calls(calls: Any) -> list[tuple[str, Any]]:
    """Function and arguments of every tool call of a message."""
    listed = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    return [(text_of(call.get("function") or ""), call.get("arguments")) for call in listed]


def number_of_value(value: Any) -> Any:
    """A score as a number, as Inspect's value_to_float has it; what is no score is returned as it is."""
    if isinstance(value, str):
        if value in _LETTERS:
            return _LETTERS[value]
        if value.lower() in _WORDS:
            return _WORDS[value.lower()]
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _message(sample: dict[str, Any]) -> str:
    error = sample.get("error")
    return text_of(error.get("message", "")) if isinstance(error, dict) else ""


def _check_header(header: dict[str, Any], samples: int, sink: ItemCollector) -> None:
    """Compare what the header says with what the file holds."""
    status = header.get("status", "started")
    if status != "success":
        sink.remark("failed run", f"the log's status is {text_of(status)}: what it holds may be a part of the items")
    results = header.get("results")
    if not isinstance(results, dict):
        sink.remark("no results", "the log has no results section")
    elif number_of(results.get("total_samples")) not in (None, samples):
        said = text_of(results["total_samples"])
        sink.remark("samples missing", f"the header says {said} samples, the file holds {samples}")


def _take_results(head: Head, header: dict[str, Any], sink: ItemCollector, names: tuple[str, str, str | None]) -> None:
    results = header.get("results")
    scores = results.get("scores") if isinstance(results, dict) else None
    for score in scores if isinstance(scores, list) else []:
        if not isinstance(score, dict) or not isinstance(score.get("metrics"), dict):
            continue
        scorer, key = text_of(score.get("scorer", "")), text_of(score.get("name", ""))
        metric = scorer if key in ("", scorer) else f"{scorer}/{key}"
        entries = {name: entry for name, entry in score["metrics"].items() if isinstance(entry, dict)}
        figures = {name: number_of(entry.get("value")) for name, entry in entries.items()}
        # A clustered error is not that of independent items, with which it would be compared.
        settings = entries.get("stderr", {}).get("params")
        clustered = isinstance(settings, dict) and settings.get("cluster") is not None
        error = None if clustered else figures.get("stderr")
        count = score.get("scored_samples", results.get("completed_samples") if isinstance(results, dict) else None)
        for name, value in figures.items():
            if value is None or name in ("stderr", "std", "var"):
                continue
            mean = name in ("accuracy", "mean") and score.get("reducer") in (None, "mean")
            items = int(count) if isinstance(count, int) and not isinstance(count, bool) else None
            shown = metric if mean else f"{metric} {name} {score.get('reducer') or ''}".rstrip()
            sink.claim(
                Claim(head.name, *names, shown, "", value, error if mean else None, items, mean=mean),
            )
