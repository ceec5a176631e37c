"""Run directories as the history reads them: the facts of a run, its metrics, and whether it is signed."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.pipelines.drift.comparable import reading_key
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run.results import RESULTS_FILE, Verdict, read_results
from corpus_audit.schemas.run.run_file import RUN_FILE, PublishedFile, read_run_file
from corpus_audit.schemas.run.signoff import SIGNOFF_SUFFIX, SIGNOFFS

METRICS_FILE = "tables/metrics.parquet"
TIMINGS_FILE = "timings.json"

_STAMP = re.compile(r"\d{8}T\d{6}Z")


@dataclass(frozen=True)
class IndexedRun:
    """A published run.

    Attributes:
        run, name: its directory's name, and what the spec calls the audit.
        time: when it started (ISO 8601, UTC); None if unknown.
        snapshot, tokenizer: their SHA-256.
        reading: equal for runs whose figures may be compared (`reading_key`).
        complete: whether every integrity rule held.
        verdict, policy: its verdict, and the SHA-256 of the policy; None if it was not judged.
        signed: SHA-256 of its sign-off, or None; whether that verifies is not checked.
    """

    run: str
    time: str | None
    name: str
    snapshot: str
    tokenizer: str
    reading: str
    complete: bool
    verdict: Verdict | None
    policy: str | None
    signed: str | None


def read_run(folder: Path) -> tuple[IndexedRun, pa.Table]:
    """The facts of a run that are indexed, and its metrics in the schema METRICS.

    Raises:
        StoreError: a file is missing, damaged, or of another version.
    """
    try:
        facts = read_run_file(folder)
        files = facts.files
        metrics = pq.read_table(pa.BufferReader(_checked(folder, METRICS_FILE, files)), page_checksum_verification=True)
        judged = read_results(_checked(folder, RESULTS_FILE, files)) if RESULTS_FILE in files else None
        run = IndexedRun(
            run=folder.name,
            time=_started(folder, files),
            name=facts.name,
            snapshot=facts.snapshot.digest,
            tokenizer=facts.tokenizer.sha256,
            reading=reading_key(facts),
            complete=facts.complete,
            verdict=None if judged is None else judged.verdict,
            policy=None if judged is None else judged.policy.sha256,
            signed=signoff_digest(folder.parent, folder.name),
        )
        return run, metrics
    except StoreError as error:
        raise StoreError(f"run {folder.name} is left out of the history: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise StoreError(f"run {folder.name} is left out of the history: {type(error).__name__}: {error}") from error


def _checked(folder: Path, name: str, files: dict[str, PublishedFile]) -> bytes:
    data = (folder / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != files[name].sha256:
        raise StoreError(f"{name} is not the file that {RUN_FILE} lists")
    return data


def _started(folder: Path, files: dict[str, PublishedFile]) -> str | None:
    """Time at which the run started: from its timings, else from its name; None if neither has it."""
    if TIMINGS_FILE in files:
        started = str(json.loads(_checked(folder, TIMINGS_FILE, files))["started"])
        return _utc(datetime.fromisoformat(started))
    stamp = _STAMP.match(folder.name)
    if stamp is None:
        return None
    return _utc(datetime.strptime(stamp[0], "%Y%m%dT%H%M%S%z"))


def _utc(time: datetime) -> str:
    """A time as text that sorts chronologically; a time without a zone is read as UTC."""
    utc = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return utc.isoformat(timespec="seconds")


def run_stamps(output: Path) -> dict[str, str]:
    """The published runs, each with a stamp (size, time, inode) that changes when its `run.json` is replaced."""
    stamps = {}
    for folder in output.iterdir() if output.is_dir() else ():
        if folder.name.startswith("."):
            continue
        try:
            status = (folder / RUN_FILE).stat()
        except OSError:
            continue
        stamps[folder.name] = f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"
    return stamps


def signoff_digest(output: Path, run: str) -> str | None:
    """SHA-256 of the sign-off of a run, or None; whether it verifies is not checked."""
    try:
        return hashlib.sha256((output / SIGNOFFS / f"{run}{SIGNOFF_SUFFIX}").read_bytes()).hexdigest()
    except OSError:
        return None
