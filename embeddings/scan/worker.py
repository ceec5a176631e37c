"""Scans splits in the processes of an engine: what is sent there is small, and each process loads the model once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from corpus_audit.embeddings.scan.partials import ScanPartial, write_partial
from corpus_audit.embeddings.scan.scanner import process_scanner
from corpus_audit.pipelines.progress.board import process_board
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.schemas.errors import NoVerdictError
from corpus_audit.schemas.run.snapshot import Shard, Split
from corpus_audit.schemas.spec.audit_file import LoadedAudit


@dataclass(frozen=True, slots=True)
class ScanTask:
    """A split to scan, and the folder of its partial."""

    shard: Shard
    split: Split
    folder: Path


class SplitScanner(Protocol):
    """What scans a split."""

    def scan(self, shard: Shard, split: Split, progress: Callable[[int], None]) -> ScanPartial:
        """Scan a split; ``progress`` is called with about a quarter of the bytes that were read."""


@dataclass(frozen=True, slots=True)
class ScanWorker:
    """Scans splits into the store; it is pickled and sent to other processes, each of which loads the model once.

    Attributes:
        key: the driver's scanner key; a worker whose own differs stops.
        threads: CPU threads for one forward pass; None leaves that to torch.
    """

    loaded: LoadedAudit
    key: str
    threads: int | None = None

    def scanner(self) -> SplitScanner:
        """The scanner of this process, which loads the model once."""
        return process_scanner(self.loaded, self.key)

    def run_task(self, task: ScanTask) -> None:
        """Scan a split and write its partial to the store.

        Raises:
            NoVerdictError: the split cannot be read.
        """
        board = process_board()
        if (task.folder / "state.npz").exists():  # an identical shard was scanned meanwhile
            board.advance(task.split.weight)
            return
        scanner = self.scanner()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        done = 0

        def progress(tokens: int) -> None:
            nonlocal done
            step = max(min(4 * tokens, task.split.weight - done), 0)  # about four bytes a token: no figure
            done += step
            board.advance(step)

        try:
            partial = scanner.scan(task.shard, task.split, progress)
        except ShardError as error:
            raise NoVerdictError(f"shard {task.shard.name}: {error.problem}") from None
        write_partial(task.folder, partial)
        board.advance(task.split.weight - done)
