"""``--if-changed``: decide whether a run would repeat the last published run.

A run depends on the snapshot's shards (names, bytes, what their paths say), on the files among them that may be data
and are not read, the spec, the policy, the tokenizer, the benchmarks, the activation index of the snapshot with the
results that are stored beside it, the investigation that it names, and the version of this program. Their
digest is in run.json as ``inputs``. Where the shards lie is no part of it: a new folder with the same shards is no
change. What the run is compared with is none either: a baseline ``runs`` is another one after every run.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from corpus_audit.pipelines.images.benchmarks import benchmark_digest
from corpus_audit.pipelines.reading.documents.path_patterns import path_values
from corpus_audit.pipelines.storage.run_directory import open_run
from corpus_audit.schemas.errors import AuditError, UsageError
from corpus_audit.schemas.run.results import RESULTS_FILE, Results, read_results
from corpus_audit.schemas.run.snapshot import ShardPlan, UnreadFile, snapshot_digest
from corpus_audit.schemas.spec.audit import AuditSpec
from corpus_audit.schemas.spec.audit_file import LoadedAudit
from corpus_audit.schemas.spec.policy_file import LoadedPolicy

if TYPE_CHECKING:
    from corpus_audit.pipelines.counting.job import Job
    from corpus_audit.runners.audit.comparisons import Comparisons


@dataclass(frozen=True, slots=True)
class LastRun:
    """The last published run and its verdict; ``results`` is None if it was not judged."""

    run_dir: Path
    results: Results | None


def inputs_digest(
    loaded: LoadedAudit,
    plans: Sequence[ShardPlan],
    policy: LoadedPolicy | None,
    job: Job,
    comparisons: Comparisons,
    unread: Sequence[UnreadFile] = (),
) -> str | None:
    """SHA-256 of the inputs of a run, in hex; None if they cannot be determined.

    That is so if a shard cannot be read, and with a sampler's log, which grows during the audit.
    """
    spec = loaded.spec
    if any(plan.error is not None for plan in plans) or (spec.sampling is not None and spec.sampling.log is not None):
        return None
    snapshot = snapshot_digest((plan.shard.name, plan.sha256) for plan in plans)
    content = spec.model_dump(
        mode="json",
        exclude={"output": True, "store": True, "remote": True, "notify": True, "snapshot": {"paths", "manifest"}},
    )
    benchmarks = comparisons.benchmarks
    depends = {
        "version": importlib.metadata.version("corpus-audit"),
        "snapshot": snapshot,
        "manifest": spec.snapshot.manifest is not None,
        "paths": sorted([plan.shard.name, plan.sha256, path_values(plan.shard, spec.document)] for plan in plans),
        "unread": sorted(file.name for file in unread if file.reason.may_be_data),
        "spec": content,
        "policy": None if policy is None else policy.sha256,
        "tokenizer": job.tokenization.identity,
        "benchmarks": None if benchmarks is None else benchmarks.digest,
        "image_benchmarks": [benchmark_digest(b.name, loaded.base / b.path) for b in spec.image_limits.benchmarks],
        "index": _index(spec, loaded.base, snapshot),
        "investigation": None if comparisons.investigation is None else comparisons.investigation.digest,
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()


def unchanged_run(output: Path, inputs: str | None) -> LastRun | None:
    """The last published run of an output folder, if it is whole and complete and had these very inputs.

    None as well once a waiver that covered a failure has run out: the policy is the same and the verdict is not.
    """
    if inputs is None:
        return None
    try:
        run = open_run(output)
        if not run.facts.complete or run.facts.inputs != inputs or run.damaged():
            return None
        if RESULTS_FILE not in run.facts.files:
            return LastRun(run.folder, None)
        results = read_results((run.folder / RESULTS_FILE).read_bytes())
    except (AuditError, OSError):
        return None
    today = datetime.now(UTC).date().isoformat()
    over = any(waiver.state == "used" and waiver.expires < today for waiver in results.waivers)
    return None if over else LastRun(run.folder, results)


def _index(spec: AuditSpec, base: Path, snapshot: str) -> str | None:
    """Digest of the index of the snapshot, and of the files beside it that a run copies results from."""
    if spec.embedding is None:
        return None
    from corpus_audit.embeddings.index.files import INDEX_FILE, find_index
    from corpus_audit.embeddings.index.stored_results import stored_files

    try:
        folder = find_index(base / spec.embedding.output, snapshot)
    except UsageError:
        return None
    digest = hashlib.sha256((folder / INDEX_FILE).read_bytes())
    digest.update("".join(f"{name} {size}\n" for name, size in stored_files(folder)).encode())
    return digest.hexdigest()
