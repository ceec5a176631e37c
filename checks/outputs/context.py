"""What every output is rendered from: the report's model, judgements, shards, and when the run finished."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc

from corpus_audit.checks.policy.integrity import integrity_judgements
from corpus_audit.checks.report.page.model import ReportModel, load_report
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run.results import POLICY_FILE, RESULTS_FILE, Judgement, Results, read_results
from corpus_audit.schemas.spec.policy import CoverageSpec

TIMINGS_FILE = "timings.json"
MOST_SHARDS = 1000
"""Shards that are listed one by one; the manifest has all of them."""


@dataclass(frozen=True)
class HashedShard:
    """A shard with a digest; shards that could not be read have none."""

    name: str
    sha256: str
    bytes: int
    format: str


@dataclass(frozen=True)
class RenderContext:
    """A run, as the outputs describe it.

    Attributes:
        report: what the page shows.
        results: judgements and verdict; None if the run was not judged.
        judgements: those of the results, else of the integrity rules alone.
        policy_path: path of the policy, as the audit names it.
        finished: when the run finished (ISO 8601, UTC), from its timings.
        manifest: SHA-256 of ``MANIFEST.sha256``.
        shards: the first `MOST_SHARDS` by name.
    """

    report: ReportModel
    results: Results | None
    judgements: tuple[Judgement, ...]
    policy_path: str
    finished: str
    manifest: str
    shards: tuple[HashedShard, ...]


def load_context(run_dir: Path, report: ReportModel | None = None) -> RenderContext:
    """Read a run directory, published or staged with its run.json.

    Args:
        run_dir: the directory.
        report: its model, if the caller has loaded it.

    Raises:
        StoreError: a file is missing, damaged, or of another version.
    """
    model = report or load_report(run_dir)
    run = RunDirectory(run_dir)
    results = read_results(_read(run_dir, RESULTS_FILE)) if (run_dir / RESULTS_FILE).exists() else None
    judged = results.judgements if results else tuple(integrity_judgements(run.facts, CoverageSpec(whole=False), None))
    named = run.facts.spec.get("policy")
    manifest = run.facts.files.get("MANIFEST.sha256")
    rows = run.table("shards").select(["shard", "sha256", "bytes", "format"]).sort_by("shard")
    hashed = rows.filter(pc.is_valid(rows["sha256"])).slice(0, MOST_SHARDS)
    return RenderContext(
        report=model,
        results=results,
        judgements=judged,
        policy_path=named if isinstance(named, str) else POLICY_FILE,
        finished=_finished(run_dir),
        manifest=manifest.sha256 if manifest else "",
        shards=tuple(HashedShard(*row.values()) for row in hashed.to_pylist()),
    )


def _read(run_dir: Path, name: str) -> bytes:
    try:
        return (run_dir / name).read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {name} of {run_dir}: {error}") from error


def _finished(run_dir: Path) -> str:
    try:
        finished = datetime.fromisoformat(json.loads(_read(run_dir, TIMINGS_FILE))["finished"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{TIMINGS_FILE} of {run_dir} does not say when the run finished: {error!r}") from None
    utc = finished.replace(tzinfo=UTC) if finished.tzinfo is None else finished.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%SZ")
