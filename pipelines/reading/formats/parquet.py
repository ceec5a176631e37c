"""Reads Parquet splits (row groups) in batches of a few megabytes, never a whole row group at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpus_audit.pipelines.reading.documents.assembly import BATCH_BYTES
from corpus_audit.pipelines.reading.documents.batches import DocumentBatch, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.reading.formats.columnar import ColumnarReader
from corpus_audit.schemas.run.snapshot import Shard, Split

_FIRST_ROWS = 64  # few, as the size of rows is known from the footer only, which may be wrong
_MAX_ROWS = 65_536  # of a batch, where rows are so short that its bytes would not bound it
_GROWTH = 8  # from batch to batch, so that rows that turn long are too many by this factor at most
_MAX_BATCH_BYTES = 2**30  # of decoded text in the worst case that the encoding allows; see `_safe_rows`
_MIN_DELTA_ROWS = 16
_DICTIONARY_PART = 16  # a dictionary page of at most this part of its column chunk may be decoded twice
_BUFFER = 2**20
_UNBUFFERED_BYTES = 128 * 2**20
_UNBUFFERED_FILE_BYTES = 512 * 2**20  # a footer may lie, but a column chunk is no longer than its file
_PROBE_BUFFER = 2**16  # small: a probe reads a dictionary page and a single row


def read_parquet(shard: Shard, split: Split, settings: ReadSettings, tally: SplitTally) -> Iterator[DocumentBatch]:
    """The documents of row groups ``[split.start, split.stop)``.

    Raises:
        ShardError, pa.ArrowException, OSError: the shard does not match its footer, or is a decompression bomb.
    """
    with filesystems.open_arrow(shard.path) as file, _open_for_split(file, split) as parquet:
        if split.stop > parquet.metadata.num_row_groups:
            raise ShardError(shard, "has fewer row groups than when it was planned: the file was replaced")
        reader = ColumnarReader(shard, parquet.schema_arrow, settings, tally)
        paths = [".".join(parts) for parts in reader.paths]
        for row_group in range(split.start, split.stop):
            yield from _row_group(file, parquet, row_group, paths, reader)


def _open_for_split(file: pa.NativeFile, split: Split) -> pq.ParquetFile:
    """Open the file, buffered if a row group's compressed columns may be too large to be read at once.

    Unbuffered, Arrow reads a column chunk in one piece, which costs a fifth less; whether the footer's sizes are true
    is checked when the rows are read.
    """
    metadata = pq.read_metadata(file)
    last = min(split.stop, metadata.num_row_groups)
    largest = max((metadata.row_group(i).total_byte_size for i in range(split.start, last)), default=0)
    buffer = 0 if 0 <= largest <= _UNBUFFERED_BYTES and file.size() <= _UNBUFFERED_FILE_BYTES else _BUFFER
    return pq.ParquetFile(file, metadata=metadata, buffer_size=buffer, page_checksum_verification=True)


def _row_group(
    file: pa.NativeFile, parquet: pq.ParquetFile, row_group: int, paths: list[str], reader: ColumnarReader
) -> Iterator[DocumentBatch]:
    metadata = parquet.metadata.row_group(row_group)
    leaves = [parquet.schema.column(i).path for i in range(metadata.num_columns)]
    column_indices = [i for i, leaf in enumerate(leaves) if any(_holds(path, leaf) for path in paths)]
    if reader.guard.would_exceed(metadata.total_byte_size):
        reader.guard.check(
            reader.guard.decoded + sum(metadata.column(i).total_uncompressed_size for i in column_indices)
        )
    batches = parquet.iter_batches(1, row_groups=[row_group], columns=paths, use_threads=False)
    first = next(batches, None)
    if first is None:
        return
    # Only after the first batch: Arrow validates a column chunk's metadata when it reads the chunk; asked for corrupt
    # metadata before that, it aborts the process.
    chunks = [metadata.column(i) for i in column_indices]
    per_row = max(sum(chunk.total_uncompressed_size for chunk in chunks) / max(metadata.num_rows, 1), 1)
    max_rows = min([_MAX_ROWS, *(_safe_rows(file, parquet, row_group, chunk) for chunk in chunks)])
    size = max(1, min(_FIRST_ROWS, max_rows, int(BATCH_BYTES / per_row)))
    collected: list[pa.RecordBatch] = []
    collected_bytes = 0
    for batch in chain([first], batches):
        collected.append(batch)
        collected_bytes += batch.nbytes
        if collected_bytes >= BATCH_BYTES // 2:
            yield from reader.documents(_joined(collected))
            collected, collected_bytes = [], 0
        if batch is not first:
            per_row = max(batch.nbytes / max(len(batch), 1), 1)
            size = max(1, min(size * _GROWTH, max_rows, int((BATCH_BYTES - collected_bytes) / per_row)))
        # Arrow reads the batch size before each batch, so it can follow the actual size of the rows.
        parquet.reader.set_batch_size(size)
    if collected:
        yield from reader.documents(_joined(collected))


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _holds(path: str, leaf: str) -> bool:
    return leaf == path or leaf.startswith(path + ".")


def _safe_rows(file: pa.NativeFile, parquet: pq.ParquetFile, row_group: int, chunk: pq.ColumnChunkMetaData) -> int:
    """The number of rows that cannot decode to more than `_MAX_BATCH_BYTES` in this column, whatever the file says.

    A dictionary page stores a long value once, and any number of rows may refer to it; a delta-encoded value may repeat
    all of the value before. Plain values cannot be longer than their page.
    """
    size = max(int(chunk.total_uncompressed_size), 1)
    if chunk.physical_type != "BYTE_ARRAY":
        return _MAX_ROWS
    if "DELTA_BYTE_ARRAY" in chunk.encodings:
        return max(_MIN_DELTA_ROWS, _MAX_BATCH_BYTES // size)
    if not chunk.has_dictionary_page:
        return _MAX_ROWS
    longest = _dictionary_bytes(file, chunk)
    if longest * _MAX_ROWS > _MAX_BATCH_BYTES and longest * _DICTIONARY_PART <= size:
        longest = _longest_entry(file, parquet, row_group, chunk.path_in_schema)
    return max(1, _MAX_BATCH_BYTES // max(longest, 1))


def _dictionary_bytes(file: pa.NativeFile, chunk: pq.ColumnChunkMetaData) -> int:
    """Decompressed bytes of a dictionary page, from its header; no value in it can be longer.

    The header is Thrift (compact): field 1 the page's type, field 2 its decompressed bytes, both zigzag integers.
    """
    header = file.read_at(16, chunk.dictionary_page_offset)
    if header[:3] != b"\x15\x04\x15":  # i32 field 1 = 2 (a dictionary page), then i32 field 2
        return max(int(chunk.total_uncompressed_size), 1)
    size = 0
    for index, byte in enumerate(header[3:]):
        size |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            break
    return size >> 1


def _longest_entry(file: pa.NativeFile, parquet: pq.ParquetFile, row_group: int, leaf: str) -> int:
    """Bytes of the longest value of a dictionary page."""
    with pq.ParquetFile(
        file,
        metadata=parquet.metadata,
        buffer_size=_PROBE_BUFFER,
        read_dictionary=[leaf],
        page_checksum_verification=True,
    ) as view:
        batch = next(view.iter_batches(1, row_groups=[row_group], columns=[leaf], use_threads=False), None)
    column = None if batch is None else batch.column(0)
    while column is not None and pa.types.is_struct(column.type):
        column = column.field(0)
    if column is None or not pa.types.is_dictionary(column.type) or not len(column.dictionary):
        return 1
    return int(pc.max(pc.binary_length(column.dictionary)).as_py() or 1)
