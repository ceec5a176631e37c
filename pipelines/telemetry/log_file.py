"""Bytes of a log that may be compressed: what was decoded before damage is kept, and the damage is said once."""

from __future__ import annotations

from pathlib import Path

from corpus_audit.pipelines.reading.files.decompression import DecompressedFile, ExpansionError, UndecodableError
from corpus_audit.pipelines.telemetry.points import Account, Refusal

EXPANSION = 1_000
"""Decompressed bytes a compressed byte, the limit of an audit's shards."""

FREE_BYTES = 2**26
"""Decompressed bytes that are always allowed."""


class LogFile:
    """The bytes of a log, decompressed if they are gzip, bzip2, xz or zstd data.

    Attributes:
        codec: the compression, empty if there is none.
        fault: why the bytes end before the file does; None if they do not.
    """

    def __init__(self, path: Path) -> None:
        self._file = DecompressedFile(path, EXPANSION, FREE_BYTES)
        self.codec = self._file.codec
        self.fault: tuple[Refusal, str] | None = None

    def read(self, size: int) -> bytes:
        """``size`` bytes, fewer at the end or before a fault.

        Raises:
            OSError: the file cannot be read.
        """
        pieces: list[bytes] = []
        while size and self.fault is None:
            try:
                piece = self._file.read(size)
            except UndecodableError as error:
                self._fail(error)
                break
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def skip(self, size: int) -> None:
        """Go on after ``size`` bytes."""
        try:
            self._file.skip(size)
        except UndecodableError as error:
            self._fail(error)

    def _fail(self, error: UndecodableError) -> None:
        self.fault = (Refusal.TOO_LARGE if isinstance(error, ExpansionError) else Refusal.UNREADABLE, str(error))

    def note(self, account: Account) -> None:
        """Add to the account what a reader of offsets has to know."""
        if self.codec:
            account.notes.append(f"{self.codec}: offsets in bytes are those after decompression")

    def __enter__(self) -> LogFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
