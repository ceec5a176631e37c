"""Plans a shard: its digest, its rows and its splits, without decoding a document."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pyarrow.parquet as pq

from corpus_audit.pipelines.reading.archives.image_folder import images_of
from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.diagnosis import check_beginning
from corpus_audit.pipelines.reading.files.errors import DECODE_ERRORS, ShardError
from corpus_audit.pipelines.reading.files.folder_archive import folder_members
from corpus_audit.pipelines.reading.files.unchanged import check_unchanged
from corpus_audit.pipelines.reading.formats.arrow_messages import walk_messages
from corpus_audit.pipelines.reading.formats.zstd_frames import walk_frames
from corpus_audit.schemas.errors import AuditError
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat, ShardPlan, Split

SPLIT_BYTES = 96 * 2**20
"""Decoded bytes of a split, at most, where the format lets it be divided.

Large enough that a usual shard of 100 MB is one split: a shard of several must have their partials merged, and partials
of small splits are nearly as large as their input (measured: 66 % of a row group of 1.7 MB).
"""

_BLOCK = 4 * 2**20
_TEXT_EXPANSION = 4  # a guess for the weight of compressed text, which balances workers and nothing else


@dataclass(frozen=True, slots=True)
class _Layout:
    splits: tuple[Split, ...]
    rows: int | None


def plan_shard(
    shard: Shard,
    known_sha256: str | None,
    progress: Callable[[int], None],
    split_bytes: int = SPLIT_BYTES,
) -> ShardPlan:
    """Hash a shard and compute its splits; a shard that cannot be read gives a plan with an ``error``.

    Args:
        shard: the shard as listed.
        known_sha256: its digest from an earlier run, if the stamp is the same; the bytes are then not hashed.
        progress: called with numbers of bytes that add up to the shard's size.
        split_bytes: decoded bytes of a split; tests use small splits. Any other value than the default changes the
            bounds, and with them the cache keys.

    The bounds are a function of the bytes and the format: row groups (Parquet), record batches (Arrow), bytes (JSONL,
    folders of images as archives) or compressed bytes (.gz, .zst). A tar archive is one split.
    """
    sha256 = known_sha256 or ""
    try:
        check_unchanged(shard)
        if known_sha256 is None:
            sha256 = _hash(shard, progress)
        else:
            progress(shard.size)
        if shard.expected_sha256 is not None and sha256 != shard.expected_sha256:
            raise ShardError(
                shard, f"its SHA-256 is {sha256}, but the manifest says {shard.expected_sha256}: damaged or replaced"
            )
        layout = _layout(shard, split_bytes)
        check_unchanged(shard)
    except ShardError as error:
        return ShardPlan(shard, sha256, known_sha256 is None, error=error.problem)
    except (*DECODE_ERRORS, AuditError) as error:
        return ShardPlan(shard, sha256, known_sha256 is None, error=f"cannot be read: {error}")
    return ShardPlan(shard, sha256, known_sha256 is None, layout.splits, layout.rows)


def group(weights: Iterable[int], limit: int) -> list[tuple[int, int, int]]:
    """Group consecutive parts up to a limit: ``(start, stop, weight)`` each. A part over the limit is its own group."""
    groups: list[tuple[int, int, int]] = []
    start, total, stop = 0, 0, 0
    for index, weight in enumerate(weights):
        if index > start and total + weight > limit:
            groups.append((start, index, total))
            start, total = index, 0
        total += weight
        stop = index + 1
    if stop > start:
        groups.append((start, stop, total))
    return groups


def _hash(shard: Shard, progress: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    block = bytearray(min(_BLOCK, max(shard.size, 1)))
    view = memoryview(block)
    bytes_read = 0
    with filesystems.open_binary(shard.path) as file:
        while count := file.readinto(block):  # type: ignore[attr-defined]
            digest.update(view[:count])
            progress(count)
            bytes_read += count
    if bytes_read != shard.size:
        raise ShardError(shard, f"changed while it was read: {shard.size:,} bytes when listed, {bytes_read:,} read")
    return digest.hexdigest()


def _layout(shard: Shard, split_bytes: int) -> _Layout:
    if shard.size == 0:
        if shard.format is ShardFormat.JSONL:
            return _Layout((), 0)
        raise ShardError(shard, f"is empty (0 bytes), but a {shard.format} file without rows is longer: truncated")
    check_beginning(shard)
    if shard.format is ShardFormat.IMAGE_FOLDER:
        return _folder(shard, split_bytes)
    if shard.format.is_archive:
        # One split: where members begin is known only after all headers before them, and images are compressed already,
        # so that an archive of usual size is no larger than a split of text.
        return _Layout((Split(0, 0, shard.size, shard.size),), None)
    if shard.format is ShardFormat.PARQUET:
        return _parquet(shard, split_bytes)
    if shard.format is ShardFormat.ARROW:
        return _arrow(shard, split_bytes)
    if shard.format is ShardFormat.JSONL_ZST:
        return _zstd(shard, split_bytes)
    if shard.format is ShardFormat.JSONL_GZ:
        return _Layout((Split(0, 0, shard.size, shard.size * _TEXT_EXPANSION),), None)
    starts = range(0, shard.size, split_bytes)
    bounds = [(start, min(start + split_bytes, shard.size)) for start in starts]
    return _Layout(tuple(Split(i, start, stop, stop - start) for i, (start, stop) in enumerate(bounds)), None)


def _parquet(shard: Shard, split_bytes: int) -> _Layout:
    try:
        with filesystems.open_arrow(shard.path) as file, pq.ParquetFile(file) as parquet:
            metadata = parquet.metadata
            groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    except DECODE_ERRORS as error:
        raise ShardError(shard, f"its Parquet footer cannot be parsed ({error}): truncated or corrupt") from error
    if sum(row_group.num_rows for row_group in groups) != metadata.num_rows:
        raise ShardError(shard, "the row counts in its Parquet footer do not add up: corrupt")
    for row_group in groups:
        if row_group.total_byte_size < 0 or row_group.num_rows < 0:
            raise ShardError(shard, "its Parquet footer has negative sizes: corrupt")
    bounds = group((row_group.total_byte_size for row_group in groups), split_bytes)
    return _Layout(tuple(Split(i, *bound) for i, bound in enumerate(bounds)), metadata.num_rows)


def _arrow(shard: Shard, split_bytes: int) -> _Layout:
    layout = walk_messages(shard)
    bounds = group((batch.decoded for batch in layout.batches), split_bytes if layout.divisible else 2**62)
    splits = tuple(Split(i, *bound) for i, bound in enumerate(bounds))
    return _Layout(splits, sum(batch.rows for batch in layout.batches))


def _folder(shard: Shard, split_bytes: int) -> _Layout:
    members = folder_members(shard.path)
    images = images_of(members)
    bounds = group((image.stop - image.offset for image in images), split_bytes)
    splits = tuple(
        Split(index, 0 if index == 0 else images[start].offset, images[stop - 1].stop, weight)
        for index, (start, stop, weight) in enumerate(bounds)
    )
    # A row of the metadata without an image is a row as well; how many there are, only reading tells.
    return _Layout(splits, len(images) if len(images) == len(members) else None)


def _zstd(shard: Shard, split_bytes: int) -> _Layout:
    frames = walk_frames(shard)
    sizes = [frame.decoded for frame in frames]
    if None in sizes:
        return _Layout((Split(0, 0, shard.size, shard.size * _TEXT_EXPANSION),), None)
    bounds = group((size or 0 for size in sizes), split_bytes)
    splits = tuple(
        Split(index, frames[start].start, frames[stop - 1].stop, weight)
        for index, (start, stop, weight) in enumerate(bounds)
    )
    return _Layout(splits, None)
