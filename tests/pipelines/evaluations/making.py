"""Writes evaluation files as the programs write them, from plain lists of scores."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

STAMP = "2026-01-21T03-44-18.458309"


def write_lines(path: Path, records: Sequence[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def write_json(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def lm_eval_sample(task: str, item: int, score: Any, prompt: str = "v1", **more: Any) -> dict[str, Any]:
    """A line of samples_TASK.jsonl of lm-evaluation-harness 0.4."""
    return {
        "doc_id": item,
        "doc": {"q": f"{task} {item}", "passage": item // 4},
        "target": "1",
        "arguments": {"gen_args_0": {"arg_0": f"{task} {item}"}},
        "resps": [["x"]],
        "filtered_resps": ["x"],
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": hashlib.sha256(f"{task} {item}".encode()).hexdigest(),
        "prompt_hash": hashlib.sha256(f"{prompt} {task} {item}".encode()).hexdigest(),
        "target_hash": "0",
        "acc": score,
        **more,
    }


def lm_eval_run(folder: Path, tasks: Mapping[str, Sequence[float]], version: float = 1.0, prompt: str = "v1") -> Path:
    """A folder as lm-evaluation-harness 0.4 writes it: results and samples of every task."""
    results = {}
    for task, scores in tasks.items():
        n, mean = len(scores), sum(scores) / len(scores)
        error = (sum((score - mean) ** 2 for score in scores) / (n - 1) / n) ** 0.5
        results[task] = {"alias": task, "acc,none": mean, "acc_stderr,none": error}
        samples = [lm_eval_sample(task, item, score, prompt) for item, score in enumerate(scores)]
        write_lines(folder / "m" / f"samples_{task}_{STAMP}.jsonl", samples)
    document = {
        "results": results,
        "versions": dict.fromkeys(tasks, version),
        "n-shot": dict.fromkeys(tasks, 0),
        "n-samples": {task: {"original": len(scores), "effective": len(scores)} for task, scores in tasks.items()},
        "higher_is_better": {task: {"acc": True} for task in tasks},
        "config": {"model": "dummy"},
        "lm_eval_version": "0.4.13",
        "model_name": "m",
    }
    write_json(folder / "m" / f"results_{STAMP}.json", document)
    return folder


def inspect_header(samples: int, value: float, status: str = "success") -> dict[str, Any]:
    metrics = {"accuracy": {"name": "accuracy", "value": value, "params": {}}}
    results = {"total_samples": samples, "completed_samples": samples, "scores": [
        {"name": "match", "scorer": "match", "params": {}, "metrics": metrics}
    ]}  # fmt: skip
    header = {
        "version": 2,
        "status": status,
        "eval": {"task": "suite/t", "task_version": 0, "task_args": {"cot": False}, "model": "x/y", "config": {}},
        "plan": {},
    }
    return header | ({"results": results} if status == "success" else {"error": {"message": "down"}})


def inspect_sample(item: int, value: Any, epoch: int = 1, **more: Any) -> dict[str, Any]:
    scores = {} if value is None else {"match": {"value": value, "answer": "a"}}
    return {"id": item, "epoch": epoch, "input": f"q {item}", "target": "t", "scores": scores, **more}


def write_archive(path: Path, members: Mapping[str, Any], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip archive of JSON members; method 93 (zstd) is written by hand, as zipfile cannot."""
    data = {name: value if isinstance(value, bytes) else json.dumps(value).encode() for name, value in members.items()}
    if method != 93:
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in data.items():
                archive.writestr(name, content)
        return path
    body, directory = b"", b""
    for name, content in data.items():
        packed = pa.Codec("zstd").compress(content, asbytes=True)
        sizes = struct.pack("<III", zlib.crc32(content), len(packed), len(content))
        common = struct.pack("<HHHHH", 63, 0, method, 0, 33) + sizes + struct.pack("<HH", len(name), 0)
        directory += b"PK\x01\x02" + struct.pack("<H", 63) + common + struct.pack("<HHHII", 0, 0, 0, 0, len(body))
        directory += name.encode()
        body += b"PK\x03\x04" + common + name.encode() + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(data), len(data), len(directory), len(body), 0)
    path.write_bytes(body + directory + b"PK\x05\x06" + end)
    return path


def inspect_log(path: Path, values: Sequence[Any], method: int = zipfile.ZIP_DEFLATED, said: int | None = None) -> Path:
    """An .eval archive with one epoch; ``said`` is the number of samples that the header states."""
    right = sum(value == "C" for value in values) / max(len(values), 1)
    members: dict[str, Any] = {
        f"samples/{item}_epoch_1.json": inspect_sample(item, value) for item, value in enumerate(values)
    }
    members["header.json"] = inspect_header(len(values) if said is None else said, right)
    return write_archive(path, members, method)
