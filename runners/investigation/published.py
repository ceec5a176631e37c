"""A published investigation, checked: the files are those that it lists, and their metrics."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from corpus_audit.checks.policy.basis import Judging
from corpus_audit.checks.policy.judge import Identity, References, judge_figures
from corpus_audit.pipelines.storage.run_directory import LATEST, read_run_table
from corpus_audit.schemas.errors import StoreError, UsageError
from corpus_audit.schemas.run.findings import FINDINGS_FILE
from corpus_audit.schemas.run.results import REQUIRED_MANIFEST, REQUIRED_WHOLE, Judgement, Results, Status
from corpus_audit.schemas.spec.policy_file import LoadedPolicy

FACTS_FILE = "investigation.json"
"""The file of a published investigation that lists all others with their digests."""


@dataclass(frozen=True, slots=True)
class PublishedInvestigation:
    """An investigation on disk.

    Attributes:
        folder: its directory.
        name, run: of the investigation, and of its directory.
        digest: SHA-256 of `FACTS_FILE`, in hex.
        damaged: files that are missing or differ from what that lists.
    """

    folder: Path
    name: str
    run: str
    digest: str
    damaged: tuple[str, ...]

    def metrics(self) -> pa.Table:
        """Its metrics.

        Raises:
            StoreError: the table is missing, as of investigations of earlier releases, or damaged.
        """
        return read_run_table(self.folder, "metrics")


def find_investigation(path: Path) -> Path | None:
    """A published investigation, or the newest of a folder of them; None if the path is neither."""
    if (path / FACTS_FILE).is_file():
        return path
    try:
        newest = path / (path / LATEST).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return newest if (newest / FACTS_FILE).is_file() else None


def open_investigation(folder: Path) -> PublishedInvestigation:
    """A published investigation, its files compared with the digests that it lists.

    Raises:
        StoreError: the list cannot be read.
    """
    path = folder / FACTS_FILE
    try:
        data = path.read_bytes()
        known = json.loads(data)
        listed = {str(name): str(file["sha256"]) for name, file in known["files"].items()}
        name, run = str(known.get("name", "")), str(known["run"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from None
    damaged = tuple(file for file, sha256 in listed.items() if _sha256(folder / file) != sha256)
    missing = tuple(file for file in (FINDINGS_FILE, "tables/metrics.parquet") if file not in listed)
    return PublishedInvestigation(folder, name, run, hashlib.sha256(data).hexdigest(), damaged + missing)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def wanted_investigation(path: Path | None) -> PublishedInvestigation | None:
    """The investigation that an audit names by a path, which is None if it names none.

    Raises:
        UsageError: there is none.
        StoreError: it is damaged, or of a release without metrics.
    """
    if path is None:
        return None
    folder = find_investigation(path)
    if folder is None:
        raise UsageError(
            f"investigation: {path} holds no published investigation; 'corpus-audit investigate FILE' publishes one"
        )
    investigation = open_investigation(folder)
    if investigation.damaged:
        raise StoreError(
            f"{folder} is not as it was published: {', '.join(investigation.damaged[:3])}; compute it again"
        )
    return investigation


def judge_investigation(policy: LoadedPolicy, investigation: PublishedInvestigation) -> Results:
    """The verdict on an investigation under a policy today; nothing is written.

    A rule on a metric of a corpus, or one that compares with other runs, is ``missing``: an investigation has neither.

    Raises:
        StoreError: the metrics cannot be read.
    """
    return judge_figures(
        policy,
        investigation.metrics(),
        Identity(investigation.name, investigation.run, investigation.digest),
        tuple(_integrity(investigation, policy)),
        Judging(insufficient=policy.policy.insufficient),
        References(),
        datetime.now(UTC).date(),
    )


def _integrity(investigation: PublishedInvestigation, policy: LoadedPolicy) -> Iterator[Judgement]:
    """Whether its files are intact; what a policy has under ``coverage`` is of a corpus, which nothing here read."""
    wrong = ", ".join(investigation.damaged[:3])
    yield Judgement(
        rule="digests",
        kind="integrity",
        title="The investigation is as it was published",
        status=Status.ERROR if wrong else Status.PASS,
        reason=f"Missing or changed: {wrong}." if wrong else "Every file is the one that was published.",
        next_step="Compute the investigation again." if wrong else "",
    )
    wanted = policy.policy.coverage
    for rule, is_asked in ((REQUIRED_WHOLE, wanted.whole), (REQUIRED_MANIFEST, wanted.manifest)):
        if is_asked and policy.coverage_line is not None:  # not by default
            yield Judgement(
                rule=rule,
                kind="integrity",
                title="The policy asks for coverage of a corpus",
                status=Status.MISSING,
                reason="An investigation reads no corpus.",
                next_step="Judge the audit that names the investigation.",
                line=policy.coverage_line,
            )
