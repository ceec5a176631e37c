"""Arrow IPC splits: record batches of a file, or a whole stream."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.reading.documents.batches import DocumentBatch, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.reading.formats.arrow_messages import FILE_MAGIC, walk_messages
from corpus_audit.pipelines.reading.formats.columnar import ColumnarReader
from corpus_audit.schemas.run.snapshot import Shard, Split


def read_arrow(shard: Shard, split: Split, settings: ReadSettings, tally: SplitTally) -> Iterator[DocumentBatch]:
    """The documents of record batches ``[split.start, split.stop)``.

    Only the requested columns are decoded, one record batch at a time.

    Raises:
        ShardError, pa.ArrowException, OSError: the shard is truncated, corrupt or a decompression bomb.
    """
    layout = walk_messages(shard)
    if split.stop > len(layout.batches):
        raise ShardError(shard, "has fewer record batches than when it was planned: the file was replaced")
    with filesystems.open_arrow(shard.path) as file:
        is_file = file.read(len(FILE_MAGIC)) == FILE_MAGIC
        file.seek(0)
        opener = pa.ipc.open_file if is_file else pa.ipc.open_stream
        schema = opener(file).schema
        reader = ColumnarReader(shard, schema, settings, tally)
        column_indices = sorted({schema.get_field_index(parts[0]) for parts in reader.paths})
        reader.guard.check(layout.dictionaries + sum(b.decoded for b in layout.batches[split.start : split.stop]))
        file.seek(0)
        source = opener(file, options=pa.ipc.IpcReadOptions(included_fields=column_indices, use_threads=False))
        if is_file and source.num_record_batches != len(layout.batches):
            raise ShardError(shard, "its footer does not match its record batches: corrupt")
        for index in range(split.start, split.stop):
            batch = source.get_batch(index) if is_file else source.read_next_batch()
            if len(batch) != layout.batches[index].rows:
                raise ShardError(shard, f"its record batch {index} is shorter or longer than its header says: corrupt")
            for column in batch.columns:
                _check_structure(column)
            yield from reader.documents(batch)


def _check_structure(array: pa.Array) -> None:
    """Check offsets and indices, but not UTF-8; Arrow trusts a file's, and wrong ones end the process.

    Raises:
        pa.ArrowInvalid: the array points outside of its buffers.
    """
    array.validate()
    types = pa.types
    if types.is_string(array.type):
        array.view(pa.binary()).validate(full=True)
    elif types.is_large_string(array.type):
        array.view(pa.large_binary()).validate(full=True)
    elif types.is_string_view(array.type):
        array.view(pa.binary_view()).validate(full=True)
    elif types.is_struct(array.type):
        for index in range(array.type.num_fields):
            _check_structure(array.field(index))
    elif types.is_dictionary(array.type):
        bounds = pc.min_max(array.indices).as_py()
        if bounds["min"] is not None and not 0 <= bounds["min"] <= bounds["max"] < len(array.dictionary):
            raise pa.ArrowInvalid("a dictionary index is out of range")
        _check_structure(array.dictionary)
    else:
        array.validate(full=True)
