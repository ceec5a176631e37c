"""Progress of worker processes: each writes its board to a file once a second, the driver adds them up on its own."""

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
"""Environment variable by which a worker is told the folder."""

_NOTHING: dict[str, Any] = {"bytes": 0, "documents": 0, "dead_letters": 0, "splits": 0, "active": []}

WRITE_EVERY = 1.0
READ_EVERY = 0.5


def write_board(board: Board, place: Path) -> None:
    """Write what a board has counted, as a whole file or not at all.

    Not by `storage.atomic.AtomicFile`, which makes a folder that is gone (this one goes with the job) and whose folder
    stands above this one: `storage` reads through `reading`, which reports here.
    """
    state = board.state()
    told = {
        "bytes": state.bytes_done,
        "documents": state.documents,
        "dead_letters": state.dead_letters,
        "splits": state.splits_done,
        "active": [shard.name for shard in state.active],
    }
    unfinished = place.with_name(f".{place.name}")
    unfinished.write_text(json.dumps(told), encoding="utf-8")
    unfinished.replace(place)


def report_board() -> None:
    """Report this process's board for as long as it lives, if whoever started it asked for that."""
    named = os.environ.get(PROGRESS_VARIABLE)
    if named is None:
        return
    place = Path(named) / f"{socket.gethostname()}-{os.getpid()}.json"

    def report() -> None:
        while True:
            with suppress(OSError):  # the folder goes when the job has ended
                write_board(process_board(), place)
            threading.Event().wait(WRITE_EVERY)

    threading.Thread(target=report, name="progress", daemon=True).start()


class RemoteBoard:
    """Adds up on this process's board what workers report in ``folder``; a context manager.

    A split that a worker was killed over, and that another one reads again, is shown as read twice: progress is a help
    to the eye, and no figure of the run comes from it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: dict[str, dict[str, Any]] = {}
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
        for told in self._seen.values():
            for name in told["active"]:
                process_board().shard_finished(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _follow(self) -> None:
        with suppress(RunCancelledError):
            while not self._stopped.wait(READ_EVERY):
                self.read()
            self.read()

    def read(self) -> None:
        """Add what was reported since the last time."""
        for path in sorted(self.folder.glob("[!.]*.json")):
            try:
                told = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            before = self._seen.get(path.name, _NOTHING)
            self._seen[path.name] = told
            board = process_board()
            for name in set(told["active"]) - set(before["active"]):
                board.shard_started(name)
            for name in set(before["active"]) - set(told["active"]):
                board.shard_finished(name)
            for _ in range(told["splits"] - before["splits"]):
                board.split_done()
            counts = ("bytes", "documents", "dead_letters")
            board.advance(**{name: told[name] - before[name] for name in counts})
