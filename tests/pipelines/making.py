"""Batches and blocks from the tests' own documents, and jobs over files, without an engine."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.counting.blocks import BlockBuilder
from corpus_audit.pipelines.counting.job import Job, PlannedShard, SplitResult, SplitTask
from corpus_audit.pipelines.counting.profile import Profile
from corpus_audit.pipelines.counting.store import ProfileStore
from corpus_audit.pipelines.kernels.text.hashing import digests
from corpus_audit.pipelines.measures.base import Block, merge_files
from corpus_audit.pipelines.reading.documents.batches import DocumentBatch
from corpus_audit.pipelines.reading.snapshot.listing import list_shards
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.pipelines.tokens.tokenization import Tokenization, TokenizerFile
from corpus_audit.pipelines.tokens.verification import Verifier
from corpus_audit.schemas.run.snapshot import Shard
from corpus_audit.schemas.spec.audit import AuditSpec
from corpus_audit.schemas.tables.run_tables import NO_VALUE
from tests.oracle import Document

Numbered = tuple[int, Document]
"""A document and its row within the split."""


def batch_of(part: Sequence[Numbered], clustered: bool = True) -> DocumentBatch:
    """The batch that a reader would hand over."""
    documents = [document for _, document in part]

    def facet(name: str) -> pa.DictionaryArray:
        values = [document.facets.get(name) or NO_VALUE for document in documents]
        return pa.array(values, pa.string()).dictionary_encode()

    return DocumentBatch(
        rows=np.array([row for row, _ in part], np.int64),
        text=pa.array([document.text for document in documents], pa.large_string()),
        ids=pa.array([document.id for document in documents], pa.large_string()),
        facets={name: facet(name) for name in documents[0].facets},
        cluster=pa.array([d.cluster or None for d in documents], pa.large_string()) if clustered else None,
    )


def pieces(part: Sequence[Numbered], cuts: Iterable[int]) -> list[Sequence[Numbered]]:
    """The part cut at positions (taken modulo its length), without empty pieces."""
    bounds = sorted({0, len(part), *(cut % (len(part) + 1) for cut in cuts)})
    return [part[start:stop] for start, stop in itertools.pairwise(bounds)]


def block_of(
    tokenization: Tokenization,
    part: Sequence[Numbered],
    cuts: Iterable[int] = (),
    *,
    clustered: bool = True,
    excerpts: bool = True,
    split: int = 0,
) -> Block:
    """One block, added in batches that end at the cuts; its ids stay valid."""
    builder = BlockBuilder(split, 99 + split, tokenization, Verifier(tokenization, 0, "shard"), excerpts)
    for piece in pieces(part, cuts):
        builder.add(batch_of(piece, clustered))
    block = builder.take()
    assert block is not None
    return replace(block, ids=block.ids.copy())


def spec_of(folder: Path, **parts: object) -> AuditSpec:
    """An audit of every shard in a folder, with the fields that `corpora.documents` has."""
    fields = {"id": "id", "domain": "domain", "facets": {"language": "language"}, "cluster": "cluster"}
    content = {"name": "test", "snapshot": {"paths": [str(folder)]}, "document": fields, "tokenizer": "t", **parts}
    return AuditSpec.model_validate_json(json.dumps(content))


def job_of(spec: AuditSpec, tokenizer: TokenizerFile, place: Path, verify_lowest: int = 2**40) -> Job:
    """The job, its store and its scratch folder under ``place``."""
    (place / "scratch").mkdir(parents=True, exist_ok=True)
    return Job(spec, tokenizer, ProfileStore(place / "store"), place / "scratch", verify_lowest)


def plan_all(job: Job) -> list[PlannedShard]:
    """Every shard of the job's snapshot, planned."""
    return [job.plan(shard, None, lambda n: None) for shard in list_shards(job.spec.snapshot, Path("/"))]


def count_todo(job: Job, planned: PlannedShard, index: int = 0) -> list[SplitResult]:
    """What is to do of one shard."""
    plan = planned.plan
    return [job.count(SplitTask(index, plan.shard, plan.sha256, split, names)) for split, names in planned.pending]


def count_all(job: Job) -> list[PlannedShard]:
    """Plan, count and compact every shard, as the engine does."""
    shards = plan_all(job)
    for planned in shards:
        results = count_todo(job, planned)
        assert all(result.error is None for result in results), results
        job.compact(planned)
    return shards


def merged(job: Job, shards: Sequence[PlannedShard], folder: Path) -> Profile:
    """The profile of counted shards."""
    folder.mkdir()
    files = {}
    for measure in job.measures:
        if measure.merges:
            sources = [job.path_of(measure.name, p.plan.shard, p.plan.sha256) for p in shards]
            merge_files(measure, sources, folder / measure.name)
            files |= {(measure.name, table): folder / measure.name for table in measure.tables()}
    return Profile(files, ("domain", *sorted(job.spec.document.facets)), job.spec.document.cluster is not None)


def shard_bytes(job: Job, shard: Shard, sha256: str) -> dict[str, bytes]:
    """Every partial of a shard that merges."""
    return {
        measure.name: job.path_of(measure.name, shard, sha256).read_bytes()
        for measure in job.measures
        if measure.merges
    }


def digest(text: str) -> bytes:
    """The content hash of a text."""
    return blake2b(text.encode(), digest_size=16).digest()


def rows(partial: Partial, table: str, *names: str) -> list[tuple[Any, ...]]:
    """Some columns of a partial's table, row by row."""
    columns = [partial.tables[table].columns[name] for name in names]
    values = [c.to_pylist() if isinstance(c, pa.Array) else c.tolist() for c in columns]
    return list(zip(*values, strict=True))


def hashes(partial: Partial, table: str) -> list[bytes]:
    """The content hashes of a partial's table."""
    columns = partial.tables[table].columns
    return [row.tobytes() for row in digests(columns["high"], columns["low"])]
