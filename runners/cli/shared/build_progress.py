"""Progress, warnings and interrupts of a command that builds an index split by split."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.runners.cli.shared.streams import note

if TYPE_CHECKING:
    from corpus_audit.schemas.spec.audit_file import LoadedAudit


@contextmanager
def build_progress(session: Session, loaded: LoadedAudit, stored: str, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show progress on standard error while an index is built.

    Args:
        session: of the command; it learns what to say if a signal ends the build.
        loaded: the audit whose corpus is indexed.
        stored: what an interrupted build leaves, such as "scanned splits".
        quiet: show no progress.

    Yields:
        A function that takes warnings; each is written once, after a build that succeeded.
    """
    from corpus_audit.pipelines.progress.board import process_board
    from corpus_audit.runners.process.progress import ProgressReporter

    session.output = loaded.base / loaded.spec.output
    board = process_board()
    board.reset()
    reporter = ProgressReporter(board, sys.stderr, quiet)
    session.leaving = reporter.stop
    session.interrupted = f"interrupted: {stored} are stored; run the same command again to continue"
    warnings: list[str] = []
    with reporter:
        yield warnings.append
    session.interrupted = "interrupted after the index was published"
    for warning in dict.fromkeys(warnings):
        note(f"corpus-audit: {warning}")
