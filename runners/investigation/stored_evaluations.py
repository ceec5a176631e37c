"""Reads evaluations through a store, so that large files that have not changed are not parsed again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.evaluations.named_paths import files_at, read_paths
from corpus_audit.pipelines.evaluations.records.items import Claim, DeadLetter, Evaluation, FileOutcome, Remark
from corpus_audit.pipelines.storage.parsed_files import ParsedFiles, code_digest, digest_of

LEAST = 2**20
"""Bytes of all files of an evaluation below which they are parsed each time."""

_STORED = (
    "name", "items", "claims", "files", "dead_letters", "dead_counts", "remarks", "higher_is_better", "cluster_field",
)  # fmt: skip
_NOT_STORED = [each.name for each in dataclasses.fields(Evaluation) if each.name not in _STORED]
"""Parts without an entry, such as trajectories of agents: an evaluation that has some is parsed each time."""

_PACKAGES = ("evaluations", "evaluations.formats", "evaluations.records", "reading.files")


@cache
def _code() -> str:
    packages = [f"corpus_audit.pipelines.{name}" for name in _PACKAGES]
    return code_digest([*packages, "corpus_audit.schemas.tables.investigation"])


def read_stored_evaluation(
    base: Path, paths: Sequence[str], name: str, cluster: str | Mapping[str, str] | None, store: ParsedFiles | None
) -> Evaluation:
    """What `read_paths` returns, from the store if files, names and readers are those of the entry.

    Args:
        base, paths, name, cluster: as for `read_paths`.
        store: None reads the files.

    Raises:
        UsageError: see `read_paths`.
    """
    files = list(files_at(base, paths, name))
    before = _state(files)
    if store is None or before is None or sum(size for size, _ in before) < LEAST:
        return read_paths(base, paths, name, cluster)
    fields = cluster if cluster is None or isinstance(cluster, str) else sorted(cluster.items())
    try:
        content = [[known_as, digest_of(file)] for file, known_as in files]
    except OSError:
        return read_paths(base, paths, name, cluster)
    key = store.key("evaluation", _code(), name, [fields], content)
    entry = store.load(key)
    if entry is not None:
        return _evaluation(*entry)
    evaluation = read_paths(base, paths, name, cluster)
    if _state(files) == before and not any(getattr(evaluation, name) for name in _NOT_STORED):
        store.save(key, *_entry(evaluation))
    return evaluation


def _state(files: Sequence[tuple[Path, str]]) -> list[tuple[int, int]] | None:
    """Size and time of every file; None if one cannot be seen."""
    try:
        return [(stat.st_size, stat.st_mtime_ns) for stat in (file.stat() for file, _ in files)]
    except OSError:
        return None


def _entry(evaluation: Evaluation) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, evaluation.items.schema) as writer:
        writer.write_table(evaluation.items)
    return {"items": np.frombuffer(sink.getvalue(), np.uint8)}, {
        "name": evaluation.name,
        "claims": [dataclasses.asdict(each) for each in evaluation.claims],
        "files": [dataclasses.asdict(each) for each in evaluation.files],
        "dead_letters": [dataclasses.asdict(each) for each in evaluation.dead_letters],
        "dead_counts": [[*which, count] for which, count in evaluation.dead_counts.items()],
        "remarks": [dataclasses.asdict(each) for each in evaluation.remarks],
        "higher_is_better": [[*which, value] for which, value in evaluation.higher_is_better.items()],
        "cluster_field": evaluation.cluster_field,
    }


def _evaluation(arrays: dict[str, np.ndarray], header: dict[str, Any]) -> Evaluation:
    with pa.ipc.open_stream(pa.py_buffer(arrays["items"])) as reader:
        items = reader.read_all()
    return Evaluation(
        name=header["name"],
        items=items,
        claims=tuple(Claim(**{**each, "parts": tuple(each["parts"])}) for each in header["claims"]),
        files=tuple(FileOutcome(**each) for each in header["files"]),
        dead_letters=tuple(DeadLetter(**each) for each in header["dead_letters"]),
        dead_counts={(file, reason): count for file, reason, count in header["dead_counts"]},
        remarks=tuple(Remark(**each) for each in header["remarks"]),
        higher_is_better={(task, metric): value for task, metric, value in header["higher_is_better"]},
        cluster_field=header["cluster_field"],
    )
