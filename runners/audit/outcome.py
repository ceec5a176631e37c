"""The outcome of a run, and what its comparisons conclude, for the command line and for notifications."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from corpus_audit.pipelines.storage.run_directory import read_run_table
from corpus_audit.schemas.errors import ExitCode, StoreError
from corpus_audit.schemas.run.results import Results


@dataclass(frozen=True, slots=True)
class AuditOutcome:
    """The outcome of a run: where it is, whether it is complete, how it was judged.

    Attributes:
        run_dir: the published run.
        complete: whether every integrity rule holds.
        reasons: why it is not complete.
        exit_code: that of the verdict; without a policy, 0 for a complete run and 4 for another.
        results: judgements and verdict; None without a policy.
        unchanged: nothing has changed since the last published run: ``run_dir`` and ``results`` are those of that run.
        notes: messages for the user, a sentence each: an export that could not be written, workers of other versions.
        splits_read: splits that were read; splits_cached: splits whose counts the store had. Shards with the same bytes
            are read once and their splits appear once here.
    """

    run_dir: Path
    complete: bool
    reasons: tuple[str, ...]
    exit_code: ExitCode
    splits_read: int
    splits_cached: int
    results: Results | None = None
    unchanged: bool = False
    notes: tuple[str, ...] = ()


def drift_conclusions(run: Path) -> list[dict[str, str]]:
    """Baseline, status and headline of each comparison of a run; nothing where the run has none that can be read."""
    rows: list[dict[str, str]]
    try:
        rows = read_run_table(run, "drift_conclusion").select(["baseline", "status", "headline"]).to_pylist()
    except (OSError, StoreError):
        return []
    return rows
