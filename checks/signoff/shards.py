"""The bytes of the shards: hashed before training, or checked as a data loader reads them."""

from __future__ import annotations

import hashlib
import io
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from corpus_audit.checks.signoff.manifest import SignedShard
from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.snapshot.listing import list_files
from corpus_audit.schemas.errors import AuditError, VerificationError
from corpus_audit.schemas.run.signoff import Refusal
from corpus_audit.schemas.run.snapshot import UnreadReason
from corpus_audit.schemas.spec.audit import SnapshotSpec

CHUNK = 2**20
"""Bytes that are read, hashed and handed out at a time."""


def check_sizes(shards: Iterable[SignedShard], corpus: str) -> None:
    """Look at every shard's size, which costs next to nothing.

    Raises:
        VerificationError: a shard is missing or has another size.
    """
    for shard in shards:
        try:
            size = filesystems.stat_file(shard_path(corpus, shard)).size
        except OSError as error:
            raise _missing(shard, error) from None
        if size != shard.size:
            raise _changed(shard, f"it has {size:,} bytes and had {shard.size:,}")


def check_nothing_more(
    shards: Sequence[SignedShard], corpus: str, snapshot: SnapshotSpec, unread: Mapping[str, str] | None = None
) -> None:
    """List what the audit would see now: shards, files that may be data and are not read, and other names of shards.

    Args:
        shards: those that were signed, in ``corpus``.
        corpus: their folder or URL.
        snapshot: the audit's paths and what they ignore, absolute, and its format.
        unread: the files that the audit saw and did not read: name -> reason.

    Raises:
        VerificationError: there is one that was neither signed nor seen by the audit.
    """
    seen = unread or {}
    own = [Path(corpus, name) for name, reason in seen.items() if reason == UnreadReason.OWN_OUTPUT]
    try:
        listing = list_files(snapshot, Path("/"), own)
    except AuditError as error:
        raise VerificationError(Refusal.SHARD_EXTRA, f"the shards cannot be listed as they were: {error}") from None
    found = {shard.path for shard in listing.shards}
    for file in listing.unread:
        another_name = file.reason is UnreadReason.SAME_FILE and seen.get(file.name) != UnreadReason.SAME_FILE
        if file.reason.may_be_data or another_name:
            found.add(file.path)
    more = sorted(found - {shard_path(corpus, shard) for shard in shards})
    if more:
        also = f" and {len(more) - 1:,} more" if len(more) > 1 else ""
        raise VerificationError(Refusal.SHARD_EXTRA, f"{more[0]}{also} lies among the shards and was not signed")


def hash_shards(shards: Sequence[SignedShard], corpus: str, workers: int, progress: Callable[[int], None]) -> None:
    """Hash shards and compare.

    Args:
        shards: those to hash.
        corpus: the folder or URL that their names are relative to.
        workers: how many are hashed at once.
        progress: called with the bytes of every chunk, from any thread.

    Raises:
        VerificationError: a shard is missing or was changed.
    """
    stop = False

    def one(shard: SignedShard) -> None:
        digest, size = hashlib.sha256(), 0
        try:
            with filesystems.open_binary(shard_path(corpus, shard)) as file:
                while not stop and size <= shard.size and (chunk := file.read(CHUNK)):
                    digest.update(chunk)
                    size += len(chunk)
                    progress(len(chunk))
        except OSError as error:
            raise _missing(shard, error) from None
        if not stop and (size != shard.size or digest.hexdigest() != shard.sha256):
            raise _changed(shard, "its bytes are not those that were signed")

    with ThreadPoolExecutor(max(workers, 1)) as pool:
        try:
            for _ in pool.map(one, shards):
                pass
        except BaseException:
            stop = True
            pool.shutdown(cancel_futures=True)
            raise


def sample_of(shards: Sequence[SignedShard], k: int) -> list[SignedShard]:
    """``k`` shards (or all), chosen so that nobody can foresee which."""
    return random.SystemRandom().sample(list(shards), min(k, len(shards)))


def detection_probability(shards: int, sampled: int, changed: int) -> float:
    """Chance that a sample without replacement holds at least one of ``changed`` shards: hypergeometric."""
    if sampled + changed > shards:
        return 1.0
    return 1.0 - math.comb(shards - changed, sampled) / math.comb(shards, sampled)


def shard_path(corpus: str, shard: SignedShard) -> str:
    """Where a shard is."""
    return f"{corpus.rstrip('/')}/{shard.name}"


def open_verified(shard: SignedShard, corpus: str) -> io.BufferedReader:
    """Open a shard for reading; not one byte is handed out that was not signed.

    The shard is read once from end to end and hashed before this returns, and the digest of every chunk of 1 MiB is
    kept (32 bytes each). Every later read takes whole chunks and compares them, so that a file that changes after it
    was opened is refused as well. Reads may be anywhere: pyarrow opens the result as it opens a file. All bytes of a
    remote shard are fetched twice.

    Raises:
        VerificationError: the shard is missing or was changed; also from any later read.
    """
    try:
        file = filesystems.open_binary(shard_path(corpus, shard))
    except OSError as error:
        raise _missing(shard, error) from None
    try:
        return io.BufferedReader(_Verified(file, shard), CHUNK)
    except BaseException:
        file.close()
        raise


class _Verified(io.RawIOBase):
    def __init__(self, file: BinaryIO, shard: SignedShard) -> None:
        super().__init__()
        self._file, self._shard = file, shard
        self._position = 0
        self._digests: list[bytes] = []
        self._held: tuple[int, bytes] = (-1, b"")
        whole, size = hashlib.sha256(), 0
        while size <= shard.size and (chunk := self._read(CHUNK)):
            whole.update(chunk)
            self._digests.append(hashlib.sha256(chunk).digest())
            size += len(chunk)
        if size != shard.size or whole.hexdigest() != shard.sha256:
            raise _changed(shard, "its bytes are not those that were signed")

    def _read(self, wanted: int) -> bytes:
        """Exactly ``wanted`` bytes, or what is left: a raw read may give fewer."""
        pieces = []
        try:
            while wanted and (piece := self._file.read(wanted)):
                pieces.append(piece)
                wanted -= len(piece)
        except OSError as error:
            raise _missing(self._shard, error) from None
        return b"".join(pieces)

    def _chunk(self, number: int) -> bytes:
        if self._held[0] != number:
            self._file.seek(number * CHUNK)
            chunk = self._read(CHUNK)
            if hashlib.sha256(chunk).digest() != self._digests[number]:
                raise _changed(self._shard, "it was changed while it was open")
            self._held = (number, chunk)
        return self._held[1]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._shard.size}[whence]
        if base + offset < 0:
            raise ValueError("negative position")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if self._position >= self._shard.size or not len(buffer):
            return 0
        number, start = divmod(self._position, CHUNK)
        piece = self._chunk(number)[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _missing(shard: SignedShard, error: OSError) -> VerificationError:
    return VerificationError(Refusal.SHARD_MISSING, f"shard {shard.name} cannot be read: {error.strerror or error}")


def _changed(shard: SignedShard, what: str) -> VerificationError:
    return VerificationError(Refusal.SHARD_CHANGED, f"shard {shard.name} was changed: {what}")
