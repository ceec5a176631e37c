"""Parquet splits: row groups, read in batches of a few megabytes and never as a whole."""

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

_FIRST_ROWS = 64
_MOST_ROWS = 65_536
_GROWTH = 8
_MOST_BATCH_BYTES = 2**30
_FEW_ROWS = 16
_CHEAP = 16  # a dictionary page of at most this part of its column chunk may be decoded twice
_BUFFER = 2**20
_HELD_WHOLE = 128 * 2**20
_LARGEST_LIE = 512 * 2**20  # a footer may lie, but a column chunk is no longer than its file
_PROBE_BUFFER = 2**16


def read_parquet(shard: Shard, split: Split, settings: ReadSettings, tally: SplitTally) -> Iterator[DocumentBatch]:
    """The documents of row groups ``[split.start, split.stop)``.

    Raises:
        ShardError, pa.ArrowException, OSError: the shard is not what its footer says, or is a bomb.
    """
    with filesystems.open_arrow(shard.path) as file, _opened(file, split) as parquet:
        if split.stop > parquet.metadata.num_row_groups:
            raise ShardError(shard, "has fewer row groups than when it was planned: replaced")
        reader = ColumnarReader(shard, parquet.schema_arrow, settings, tally)
        paths = [".".join(way) for way in reader.ways.values()]
        for row_group in range(split.start, split.stop):
            yield from _row_group(file, parquet, row_group, paths, reader)


def _opened(file: pa.NativeFile, split: Split) -> pq.ParquetFile:
    """The file, through a buffer if a row group's compressed columns may be too large to be held whole.

    Unbuffered, Arrow reads a column chunk at once, which costs a fifth less; the footer's sizes are checked for being
    what is read when the rows come.
    """
    metadata = pq.read_metadata(file)
    last = min(split.stop, metadata.num_row_groups)
    largest = max((metadata.row_group(i).total_byte_size for i in range(split.start, last)), default=0)
    buffer = 0 if 0 <= largest <= _HELD_WHOLE and file.size() <= _LARGEST_LIE else _BUFFER
    return pq.ParquetFile(file, metadata=metadata, buffer_size=buffer, page_checksum_verification=True)


def _row_group(
    file: pa.NativeFile, parquet: pq.ParquetFile, row_group: int, paths: list[str], reader: ColumnarReader
) -> Iterator[DocumentBatch]:
    metadata = parquet.metadata.row_group(row_group)
    leaves = [parquet.schema.column(i).path for i in range(metadata.num_columns)]
    wanted = [i for i, leaf in enumerate(leaves) if any(_holds(path, leaf) for path in paths)]
    if reader.guard.would_exceed(metadata.total_byte_size):
        reader.guard.check(reader.guard.decoded + sum(metadata.column(i).total_uncompressed_size for i in wanted))
    batches = parquet.iter_batches(1, row_groups=[row_group], columns=paths, use_threads=False)
    first = next(batches, None)
    if first is None:
        return
    # Only now: Arrow checks a column chunk's metadata when it reads, but ends the process when asked for a corrupt one.
    chunks = [metadata.column(i) for i in wanted]
    per_row = max(sum(chunk.total_uncompressed_size for chunk in chunks) / max(metadata.num_rows, 1), 1)
    most = min([_MOST_ROWS, *(_safe_rows(file, parquet, row_group, chunk) for chunk in chunks)])
    size = max(1, min(_FIRST_ROWS, most, int(BATCH_BYTES / per_row)))
    held: list[pa.RecordBatch] = []
    held_bytes = 0
    for batch in chain([first], batches):
        held.append(batch)
        held_bytes += batch.nbytes
        if held_bytes >= BATCH_BYTES // 2:
            yield from reader.documents(_joined(held))
            held, held_bytes = [], 0
        if batch is not first:
            per_row = max(batch.nbytes / max(len(batch), 1), 1)
            size = max(1, min(size * _GROWTH, most, int((BATCH_BYTES - held_bytes) / per_row)))
        # Arrow asks for the batch size anew before each batch, so it can follow what the rows turn out to be.
        parquet.reader.set_batch_size(size)
    if held:
        yield from reader.documents(_joined(held))


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _holds(path: str, leaf: str) -> bool:
    return leaf == path or leaf.startswith(path + ".")


def _safe_rows(file: pa.NativeFile, parquet: pq.ParquetFile, row_group: int, chunk: pq.ColumnChunkMetaData) -> int:
    """Rows that cannot decode to more than `_MOST_BATCH_BYTES` in this column, whatever their indices say.

    A dictionary page holds a long value once and any number of rows may point at it; a delta-encoded value may repeat
    all of the one before. Plain values cannot be longer than their page.
    """
    size = max(int(chunk.total_uncompressed_size), 1)
    if chunk.physical_type != "BYTE_ARRAY":
        return _MOST_ROWS
    if "DELTA_BYTE_ARRAY" in chunk.encodings:
        return max(_FEW_ROWS, _MOST_BATCH_BYTES // size)
    if not chunk.has_dictionary_page:
        return _MOST_ROWS
    longest = _dictionary_bytes(file, chunk)
    if longest * _MOST_ROWS > _MOST_BATCH_BYTES and longest * _CHEAP <= size:
        longest = _longest_entry(file, parquet, row_group, chunk.path_in_schema)
    return max(1, _MOST_BATCH_BYTES // max(longest, 1))


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
