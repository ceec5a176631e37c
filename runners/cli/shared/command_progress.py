"""Progress, warnings and interrupts of commands that work for long: audits, investigations, builds of an index."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.runners.cli.shared.streams import note
from corpus_audit.schemas.errors import AuditError

if TYPE_CHECKING:
    from corpus_audit.pipelines.progress.board import Board, BoardState
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


class InterruptedCommandError(AuditError):
    """A signal ended the command."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum  # type: ignore[assignment]


@contextmanager
def interruptible(session: Session, quiet: bool, message: Callable[[BoardState], str]) -> Iterator[Board]:
    """Show progress on standard error while a command works, and end it by one line after SIGINT or SIGTERM.

    Args:
        session: of the command; a signal makes it abandon what still runs.
        quiet: show no progress.
        message: the line that an interrupted command ends with, from what the board says by then.

    Yields:
        The board of this process, from the beginning.

    Raises:
        InterruptedCommandError: a signal came.
    """
    from corpus_audit.pipelines.progress.board import process_board
    from corpus_audit.runners.process.interrupts import Interrupts
    from corpus_audit.runners.process.progress import ProgressReporter

    board = process_board()
    board.reset()
    reporter = ProgressReporter(board, sys.stderr, quiet)

    def leave(signum: int) -> None:
        reporter.stop()
        os.write(2, f"corpus-audit: {message(board.state())}\n".encode())
        os._exit(128 + signum)

    interrupts = Interrupts(board, leave)
    try:
        with interrupts, reporter:
            yield board
    except BaseException as error:
        # An engine wraps or replaces what interrupted it, so the signal decides and not the type of the error.
        if interrupts.signum is None and not isinstance(error, KeyboardInterrupt):
            raise
        session.abandon = True
        raise InterruptedCommandError(message(board.state()), interrupts.signum or 2) from None
