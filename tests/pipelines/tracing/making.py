"""Trace indexes of the tests' own documents, without an engine."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.reading.documents.batches import DocumentBatch, ReadSettings
from corpus_audit.pipelines.reading.formats.splits import plan_shard
from corpus_audit.pipelines.reading.snapshot.listing import list_files
from corpus_audit.pipelines.tracing.build import TraceTask, TraceWorker, split_facts, trace_tasks
from corpus_audit.pipelines.tracing.index import (
    SPLIT_FILE,
    SegmentOrigin,
    TraceIndex,
    domain_counts,
    publish_trace_index,
)
from corpus_audit.pipelines.tracing.segment import map_segment, write_segment
from corpus_audit.schemas.spec.audit_file import LoadedAudit, load_audit


def batch(texts: Sequence[str], first: int = 0, domains: Sequence[str] | None = None) -> DocumentBatch:
    rows = np.arange(first, first + len(texts), dtype=np.int64)
    return DocumentBatch(
        rows=rows,
        text=pa.array(texts, pa.large_string()),
        ids=pa.array([f"d{row}" for row in rows], pa.large_string()),
        facets={"domain": pa.array(domains or ["all"] * len(texts), pa.string()).dictionary_encode()},
        cluster=None,
    )


def index_of(folder: Path, segments: Sequence[Sequence[str]], domains: Sequence[str] | None = None) -> TraceIndex:
    """An index in memory with these documents in each segment; rows go on from segment to segment."""
    opened, origins, names, words, first = [], [], {}, 0, 0
    for number, texts in enumerate(segments):
        own = None if domains is None else domains[first : first + len(texts)]
        half = len(texts) // 2
        parts = [part for part in (slice(0, half), slice(half, None)) if texts[part]]
        batches = [batch(texts[part], first + (part.start or 0), own and own[part]) for part in parts]
        sha256 = write_segment(folder / str(number), batches)
        opened.append(map_segment(folder / str(number), sha256))
        origins.append(SegmentOrigin(f"s{number}", 0))
        for name, counts in domain_counts(opened[-1]).items():
            entry = names.setdefault(name, {"documents": 0, "words": 0})
            names[name] = {key: entry[key] + counts[key] for key in entry}
        words += len(opened[-1].suffixes)
        first += len(texts)
    facts = {
        "name": "made",
        "counts": {"documents": first, "words_and_marks": words, "words": sum(d["words"] for d in names.values())},
        "domains": names,
        "splits": [{"segments": [{"sha256": sha256}]}],
    }
    return TraceIndex(folder, facts, tuple(opened), tuple(origins))


AUDIT = """\
version: 1
name: made
snapshot: {paths: ["data/*.jsonl"]}
document: {text: text, id: id, domain: domain}
tokenizer: tokenizer.json
output: runs
"""


def write_corpus(folder: Path, shards: dict[str, Sequence[str]], **domains: str) -> LoadedAudit:
    """An audit of these documents; they are of the domain given for their shard, or of one with its name."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for name, texts in shards.items():
        rows = [{"text": text, "id": f"{name}{n}", "domain": domains.get(name, name)} for n, text in enumerate(texts)]
        path = folder / "data" / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "audit.yaml").write_text(AUDIT, encoding="utf-8")
    return load_audit(folder / "audit.yaml")


def tasks_of(loaded: LoadedAudit, folder: Path) -> list[TraceTask]:
    shards = list_files(loaded.spec.snapshot, loaded.base, loaded.own_folders).shards
    return trace_tasks([plan_shard(shard, None, lambda _: None) for shard in shards], loaded.spec, folder)


def build(loaded: LoadedAudit, folder: Path, segment_bytes: int = 2**20) -> int:
    """Build or update an index without an engine; returns how many splits were read."""
    worker = TraceWorker(ReadSettings(loaded.spec.document, loaded.spec.filter, loaded.spec.limits), segment_bytes)
    tasks = tasks_of(loaded, folder)
    todo = [task for task in tasks if not (task.folder / SPLIT_FILE).exists()]
    for task in todo:
        worker.run_task(task)
    publish_trace_index(folder, loaded.spec.name, [split_facts(task) for task in tasks])
    return len(todo)
