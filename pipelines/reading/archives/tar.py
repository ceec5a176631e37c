"""Tar archives of images, plain, .gz or .zst, as the webdataset library writes and reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pyarrow as pa

from corpus_audit.pipelines.reading.archives.samples import Sample, SampleReader, key_and_ending
from corpus_audit.pipelines.reading.archives.tar_members import Content, Member, MemberKind, read_members
from corpus_audit.pipelines.reading.documents.batches import DocumentBatch, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.expansion import ExpansionGuard
from corpus_audit.schemas.run.dead_letters import DeadLetterReason
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat
from corpus_audit.schemas.spec.audit import LimitsSpec

_CODECS = {ShardFormat.TAR_GZ: "gzip", ShardFormat.TAR_ZST: "zstd"}
_BUFFER = 2**20
NO_ENDING = "no ending"
"""What members without an ending are counted under; no ending has a space."""


def read_tar(shard: Shard, settings: ReadSettings, tally: SplitTally) -> Iterator[DocumentBatch]:
    """The documents of an archive: its members, joined by key; see `key_and_ending`.

    Members of a sample follow each other, as data loaders expect them to. A key that occurs again later, an ending that
    occurs twice in a sample, and a link or another member without content of its own make a dead letter each.

    Raises:
        ShardError: the archive is truncated, damaged, or followed by other bytes.
        pa.ArrowException, OSError: it cannot be decompressed.
    """
    reader = SampleReader(shard, settings, tally)
    keys: set[int] = set()
    current: Sample | None = None
    with ExitStack() as stack:
        for member, content in read_members(shard, _source(shard, settings.limits, stack)):
            if member.kind is MemberKind.FOLDER:
                continue
            divided = key_and_ending(member.name)
            if divided is None:
                tally.members[NO_ENDING] += 1
                continue
            key, ending = divided
            if current is None or key != current.key:
                if current is not None:
                    yield from reader.finish(current)
                current = Sample(key)
                repeated = hash(key) in keys
                keys.add(hash(key))
                if repeated:
                    current.size += content.remaining
                    reader.refuse(current, DeadLetterReason.REPEATED_KEY, content)
                    continue
            if member.kind is MemberKind.OTHER:
                reader.refuse(current, DeadLetterReason.NOT_A_REGULAR_MEMBER, content)
            else:
                reader.add_member(current, ending, member.size, content)
        if current is not None:
            yield from reader.finish(current)
        yield from reader.flush()


@contextmanager
def open_members(shard: Shard) -> Iterator[Iterator[tuple[Member, Content]]]:
    """The members of an archive with their contents, until it is closed.

    Raises:
        ShardError: the archive is truncated, damaged, or followed by other bytes.
        pa.ArrowException, OSError: it cannot be decompressed.
    """
    with ExitStack() as stack:
        yield read_members(shard, _source(shard, LimitsSpec(), stack))


def _source(shard: Shard, limits: LimitsSpec, stack: ExitStack) -> Callable[[int], bytes]:
    file = stack.enter_context(filesystems.open_arrow(shard.path))
    codec = _CODECS.get(shard.format)
    if codec is None:
        return _whole(pa.BufferedInputStream(file, _BUFFER).read)
    guard = ExpansionGuard(shard, limits)
    stream = pa.BufferedInputStream(pa.CompressedInputStream(file, codec), _BUFFER)

    def read(count: int) -> bytes:
        data: bytes = stream.read(count)
        guard.add(len(data))
        return data

    return _whole(read)


def _whole(read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Reads until it has all bytes that are asked for, or the stream ends."""

    def read_whole(count: int) -> bytes:
        data = read(count)
        if len(data) == count or not data:
            return data
        pieces = [data]
        missing = count - len(data)
        while missing and (data := read(missing)):
            pieces.append(data)
            missing -= len(data)
        return b"".join(pieces)

    return read_whole
