"""What the outputs are made of: the report's model, the judgements, the shards, and when the run was."""

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
class Shard:
    """A shard that could be hashed."""

    name: str
    sha256: str
    bytes: int
    format: str


@dataclass(frozen=True)
class Evidence:
    """A run, as the outputs tell of it.

    Attributes:
        report: what the page shows.
        results: judgements and verdict; None if the run was not judged.
        judgements: those of the results, else of the integrity rules alone.
        policy_path: where the policy is, as the audit names it.
        finished: when the run was done (ISO 8601, UTC), from its timings.
        manifest: SHA-256 of ``MANIFEST.sha256``.
        shards: the first `MOST_SHARDS` by name.
    """

    report: ReportModel
    results: Results | None
    judgements: tuple[Judgement, ...]
    policy_path: str
    finished: str
    manifest: str
    shards: tuple[Shard, ...]


def load_evidence(run_dir: Path, report: ReportModel | None = None) -> Evidence:
    """Read a run directory, published or staged with its run.json.

    Args:
        run_dir: the directory.
        report: its model, if it was read already.

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
    return Evidence(
        report=model,
        results=results,
        judgements=judged,
        policy_path=named if isinstance(named, str) else POLICY_FILE,
        finished=_finished(run_dir),
        manifest=manifest.sha256 if manifest else "",
        shards=tuple(Shard(*row.values()) for row in hashed.to_pylist()),
    )


def _read(run_dir: Path, name: str) -> bytes:
    try:
        return (run_dir / name).read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {name} of {run_dir}: {error}") from error


def _finished(run_dir: Path) -> str:
    try:
        told = datetime.fromisoformat(json.loads(_read(run_dir, TIMINGS_FILE))["finished"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{TIMINGS_FILE} of {run_dir} does not say when the run was done: {error!r}") from None
    known = told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
    return known.strftime("%Y-%m-%dT%H:%M:%SZ")
