"""Checking the bytes of signed shards: all at once before training, or as a data loader reads them."""

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
from corpus_audit.checks.text.numbers import plural
from corpus_audit.checks.text.plurals import agree
from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.snapshot.listing import list_files
from corpus_audit.schemas.errors import AuditError, VerificationError
from corpus_audit.schemas.run.signoff import Refusal
from corpus_audit.schemas.run.snapshot import UnreadReason
from corpus_audit.schemas.spec.audit import SnapshotSpec

CHUNK = 2**20
"""Bytes that are read, hashed and returned at a time."""


def check_sizes(shards: Iterable[SignedShard], corpus: str) -> None:
    """Compare every shard's size, which needs no read.

    Raises:
        VerificationError: a shard is missing or has another size.
    """
    for shard in shards:
        try:
            size = filesystems.stat_file(shard_path(corpus, shard)).size
        except OSError as error:
            raise _missing(shard, error) from None
        if size != shard.size:
            raise _changed(shard, f"it has {plural(size, 'byte')}, and {shard.size:,} were signed")


def check_no_extra_files(
    shards: Sequence[SignedShard],
    corpus: str,
    snapshot: SnapshotSpec,
    unread: Mapping[str, str] | None = None,
    images: bool = False,
) -> None:
    """Check that the corpus has no shard, unread data file or further link to a shard that was not there at the audit.

    Args:
        shards: the signed shards in ``corpus``.
        corpus: their folder or URL.
        snapshot: the audit's paths and what they ignore, absolute, and its format.
        unread: the files that the audit listed but did not read: name -> reason.
        images: whether the documents are images.

    Raises:
        VerificationError: there is a file that was neither signed nor listed by the audit.
    """
    known = unread or {}
    own = [Path(corpus, name) for name, reason in known.items() if reason == UnreadReason.OWN_OUTPUT]
    try:
        listing = list_files(snapshot, Path("/"), own, images)
    except AuditError as error:
        raise VerificationError(Refusal.SHARD_EXTRA, f"the shards cannot be listed as in the audit: {error}") from None
    listed = {shard.path for shard in listing.shards}
    for file in listing.unread:
        another_name = file.reason is UnreadReason.SAME_FILE and known.get(file.name) != UnreadReason.SAME_FILE
        if file.reason.may_be_data or another_name:
            listed.add(file.path)
    extra = sorted(listed - {shard_path(corpus, shard) for shard in shards})
    if extra:
        more = f" and {len(extra) - 1:,} more" if len(extra) > 1 else ""
        verbs = agree(len(extra), "is among the shards and was", "are among the shards and were")
        raise VerificationError(Refusal.SHARD_EXTRA, f"{extra[0]}{more} {verbs} not signed")


def hash_shards(shards: Sequence[SignedShard], corpus: str, workers: int, progress: Callable[[int], None]) -> None:
    """Hash shards and compare the digests with the signed ones.

    Args:
        shards: the shards to hash.
        corpus: the folder or URL that their names are relative to.
        workers: number of shards hashed at once.
        progress: called with the bytes of every chunk, from any thread.

    Raises:
        VerificationError: a shard is missing or was changed.
    """
    stop = False

    def hash_shard(shard: SignedShard) -> None:
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
            for _ in pool.map(hash_shard, shards):
                pass
        except BaseException:
            stop = True  # the threads that are reading end after their chunk
            pool.shutdown(cancel_futures=True)
            raise


def sample_shards(shards: Sequence[SignedShard], k: int) -> list[SignedShard]:
    """``k`` shards (or all), selected at random so that nobody can predict which."""
    return random.SystemRandom().sample(list(shards), min(k, len(shards)))


def detection_probability(shards: int, sampled: int, changed: int) -> float:
    """Chance that a sample without replacement holds at least one of ``changed`` shards: hypergeometric."""
    if sampled + changed > shards:
        return 1.0
    return 1.0 - math.comb(shards - changed, sampled) / math.comb(shards, sampled)


def shard_path(corpus: str, shard: SignedShard) -> str:
    """Path or URL of a shard."""
    return f"{corpus.rstrip('/')}/{shard.name}"


def open_verified(shard: SignedShard, corpus: str) -> io.BufferedReader:
    """Open a shard for reading; every byte that is returned was signed.

    The shard is read once from end to end and hashed before this returns, and the digest of every chunk of 1 MiB is
    kept (32 bytes each). Every later read compares whole chunks, so that a file that changes after it was
    opened is refused as well. Reads may be at any offset: pyarrow opens the result as it opens a file. All bytes of a
    remote shard are fetched twice.

    Raises:
        VerificationError: the shard is missing or was changed; also from any later read.
    """
    try:
        file = filesystems.open_binary(shard_path(corpus, shard))
    except OSError as error:
        raise _missing(shard, error) from None
    try:
        return io.BufferedReader(_VerifiedFile(file, shard), CHUNK)
    except BaseException:
        file.close()
        raise


class _VerifiedFile(io.RawIOBase):
    """A raw file that compares every chunk that it reads with the digest of that chunk at opening."""

    def __init__(self, file: BinaryIO, shard: SignedShard) -> None:
        super().__init__()
        self._file, self._shard = file, shard
        self._position = 0
        self._digests: list[bytes] = []
        self._cached: tuple[int, bytes] = (-1, b"")
        digest, size = hashlib.sha256(), 0
        while size <= shard.size and (chunk := self._read(CHUNK)):
            digest.update(chunk)
            self._digests.append(hashlib.sha256(chunk).digest())
            size += len(chunk)
        if size != shard.size or digest.hexdigest() != shard.sha256:
            raise _changed(shard, "its bytes are not those that were signed")

    def _read(self, size: int) -> bytes:
        """``size`` bytes, fewer only at the end of the file; one read of a raw file may return fewer."""
        pieces = []
        try:
            while size and (piece := self._file.read(size)):
                pieces.append(piece)
                size -= len(piece)
        except OSError as error:
            raise _missing(self._shard, error) from None
        return b"".join(pieces)

    def _chunk(self, number: int) -> bytes:
        if self._cached[0] != number:
            self._file.seek(number * CHUNK)
            chunk = self._read(CHUNK)
            if hashlib.sha256(chunk).digest() != self._digests[number]:
                raise _changed(self._shard, "it was changed while it was open")
            self._cached = (number, chunk)
        return self._cached[1]

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


def _changed(shard: SignedShard, problem: str) -> VerificationError:
    return VerificationError(Refusal.SHARD_CHANGED, f"shard {shard.name} was changed: {problem}")
