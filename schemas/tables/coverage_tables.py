"""Arrow schemas of the tables of coverage: the shards, what became of every row, and what was not read."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.tables.fields import field

SHARDS = pa.schema(
    [
        field("shard", pa.string(), "name of the shard"),
        field("sha256", pa.string(), "SHA-256 of its bytes", nullable=True),
        field("bytes", pa.int64(), "size of the file", "bytes"),
        field(
            "format",
            pa.string(),
            "its format, such as parquet, jsonl.gz or tar; imagefolder for the images of a folder",
        ),
        field("status", pa.string(), "read, cached, not_sampled or error"),
        field("copies", pa.int64(), "shards of the snapshot with the same bytes, this one included", "shards"),
        field("splits", pa.int64(), "splits of the shard", "splits"),
        field("splits_counted", pa.int64(), "splits that were chosen and counted", "splits"),
        field("rows", pa.int64(), "rows read", "rows"),
        field("documents", pa.int64(), "rows counted as documents", "documents"),
        field("dead_letters", pa.int64(), "rows that could not be counted", "rows"),
        field(
            "row_bytes",
            pa.int64(),
            "bytes of all rows' lines (of their texts and images in columnar formats)",
            "bytes",
            True,
        ),
        field("dead_letter_bytes", pa.int64(), "of them, bytes of rows that could not be counted", "bytes", True),
        field("filtered", pa.int64(), "rows that the filter dropped", "rows"),
        field("nul_documents", pa.int64(), "counted documents that hold a NUL character", "documents"),
        field("error", pa.string(), "why the shard could not be read", nullable=True),
    ],
    metadata={"title": "Coverage, shard by shard", "order": "shard"},
)

UNREAD_FILES = pa.schema(
    [
        field("file", pa.string(), "name as a shard would be called; a folder that is not listed further ends in /"),
        field("reason", pa.string(), "why it is no shard; schemas.snapshot.UnreadReason"),
        field("may_be_data", pa.bool_(), "whether documents may be missing because of it"),
        field("bytes", pa.int64(), "size of the file", "bytes", nullable=True),
        field("same_as", pa.string(), "of another name of a file that is read: the name it is read by", nullable=True),
    ],
    metadata={"title": "Files that were seen among the shards and not read", "order": "file"},
)
"""Written only when there is such a file."""

OUTCOMES = pa.schema(
    [
        field("outcome", pa.string(), "document, dead_letter or filtered"),
        field("reason", pa.string(), "the dead letter's reason or the filter's clause"),
        field("rows", pa.int64(), "rows", "rows"),
    ],
    metadata={"title": "What became of every row, by reason", "order": "outcome, reason"},
)

DEAD_LETTERS = pa.schema(
    [
        field("shard", pa.string(), "name of the shard"),
        field("split", pa.int64(), "split of the shard"),
        field("row", pa.int64(), "row within the split"),
        field("reason", pa.string(), "why it could not be counted"),
        field(
            "sha256", pa.string(), "SHA-256 of the row's bytes (of its text field in columnar formats, of its image)"
        ),
        field("bytes", pa.int64(), "length of those bytes", "bytes"),
        field("excerpt", pa.string(), "its first bytes, only if asked for", nullable=True),
    ],
    metadata={
        "title": "Rows that could not be counted (at most 1,000 a reason and split)",
        "order": "shard, split, row",
    },
)
