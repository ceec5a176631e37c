"""Reads one split of a shard of any format as batches of documents."""

from __future__ import annotations

from collections.abc import Iterator

from corpus_audit.pipelines.reading.archives.image_folder import read_folder
from corpus_audit.pipelines.reading.archives.tar import read_tar
from corpus_audit.pipelines.reading.documents.batches import DocumentBatch, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.files.diagnosis import explain_failure
from corpus_audit.pipelines.reading.files.errors import DECODE_ERRORS, ShardError
from corpus_audit.pipelines.reading.files.unchanged import check_unchanged
from corpus_audit.pipelines.reading.formats.arrow_ipc import read_arrow
from corpus_audit.pipelines.reading.formats.jsonl import read_jsonl
from corpus_audit.pipelines.reading.formats.parquet import read_parquet
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat, Split

READER_VERSION = 2
"""Part of every cache key: raise it when the same bytes and settings may give other documents or dead letters."""


def read_split(shard: Shard, split: Split, settings: ReadSettings, tally: SplitTally) -> Iterator[DocumentBatch]:
    """The documents of a split, in order, in batches of about 4 MB of text; every row is accounted for in ``tally``.

    The tally is complete only when the iterator is exhausted.

    Raises:
        ShardError: the shard is truncated, corrupt, of another schema, a decompression bomb, or changed since it was
            listed.
        UsageError: the filter or a path pattern does not fit the data.
    """
    check_unchanged(shard)
    try:
        if shard.format is ShardFormat.PARQUET:
            yield from read_parquet(shard, split, settings, tally)
        elif shard.format is ShardFormat.ARROW:
            yield from read_arrow(shard, split, settings, tally)
        elif shard.format is ShardFormat.IMAGE_FOLDER:
            yield from read_folder(shard, split, settings, tally)
        elif shard.format.is_archive:
            yield from read_tar(shard, settings, tally)
        else:
            yield from read_jsonl(shard, split, settings, tally)
    except DECODE_ERRORS as error:
        check_unchanged(shard)
        raise ShardError(shard, explain_failure(shard, error)) from error
    check_unchanged(shard)
    if not tally.conserved:
        raise AssertionError(f"{shard.name}, split {split.index}: rows are not accounted for: {tally}")
