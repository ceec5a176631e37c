"""Progress of worker processes: each writes its board to a file once a second, and the driver adds them up."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from corpus_audit.pipelines.progress.board import Board, RunCancelledError, process_board

PROGRESS_VARIABLE = "CORPUS_AUDIT_PROGRESS"
"""Environment variable with the folder that workers report to."""

_NOTHING: dict[str, Any] = {"bytes": 0, "documents": 0, "dead_letters": 0, "splits": 0, "active": []}

WRITE_EVERY = 1.0
READ_EVERY = 0.5
"""Seconds between two reports of a worker, and between two readings by the driver."""


def write_board(board: Board, path: Path) -> None:
    """Write the counters of a board to a file, atomically.

    Does not use `storage.atomic.AtomicFile`: that creates missing folders, but this folder must stay deleted after the
    job; and `storage` depends on `reading`, which depends on this package.
    """
    state = board.state()
    report = {
        "bytes": state.bytes_done,
        "documents": state.documents,
        "dead_letters": state.dead_letters,
        "splits": state.splits_done,
        "active": [shard.name for shard in state.active],
    }
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(json.dumps(report), encoding="utf-8")
    unfinished.replace(path)


def report_board() -> None:
    """Report this process's board until the process ends, if `PROGRESS_VARIABLE` names a folder."""
    folder = os.environ.get(PROGRESS_VARIABLE)
    if folder is None:
        return
    # Process ids are only unique on one machine, and the folder may be shared by several.
    path = Path(folder) / f"{socket.gethostname()}-{os.getpid()}.json"

    def report() -> None:
        while True:
            with suppress(OSError):  # the driver deletes the folder when the job ends
                write_board(process_board(), path)
            threading.Event().wait(WRITE_EVERY)

    threading.Thread(target=report, name="progress", daemon=True).start()


class RemoteBoard:
    """Adds the reports of workers in ``folder`` to this process's board; a context manager.

    A split that is read again because its worker was killed counts twice: progress is for display only, and no figure
    of the run is computed from it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._reports: dict[str, dict[str, Any]] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="remote progress", daemon=True)

    def __enter__(self) -> RemoteBoard:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        for report in self._reports.values():
            for name in report["active"]:
                process_board().shard_finished(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _follow(self) -> None:
        with suppress(RunCancelledError):
            while not self._stopped.wait(READ_EVERY):
                self.read()
            self.read()

    def read(self) -> None:
        """Add what workers have reported since the last call."""
        for path in sorted(self.folder.glob("[!.]*.json")):
            try:
                report = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            # Reports are totals of a worker, so that one that was not read, or read twice, makes no difference.
            previous = self._reports.get(path.name, _NOTHING)
            self._reports[path.name] = report
            board = process_board()
            for name in set(report["active"]) - set(previous["active"]):
                board.shard_started(name)
            for name in set(previous["active"]) - set(report["active"]):
                board.shard_finished(name)
            for _ in range(report["splits"] - previous["splits"]):
                board.split_done()
            counts = ("bytes", "documents", "dead_letters")
            board.advance(**{name: report[name] - previous[name] for name in counts})
