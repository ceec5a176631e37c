"""The outcome of a run, for the command line and for notifications."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from corpus_audit.schemas.errors import ExitCode
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
