"""Exact copies by bytes and by pixels, and for every distinct picture what finds near duplicates of it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.image_measures.images_of_block import ImageMeasure, images_of
from corpus_audit.pipelines.measures.base import Block
from corpus_audit.pipelines.storage import merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial

FILES = TableSpec(
    (
        ("high", ColumnKind.KEY),
        ("low", ColumnKind.KEY),
        ("domain", ColumnKind.DOMAIN),
        ("images", ColumnKind.SUM),
        ("bytes", ColumnKind.FIRST),
    )
)
"""Distinct files by domain."""

PICTURES = TableSpec(
    (
        ("high", ColumnKind.KEY),
        ("low", ColumnKind.KEY),
        ("domain", ColumnKind.DOMAIN),
        ("phash", ColumnKind.KEY),  # no key in truth: the same pixels have the same; uint64, which only keys are
        ("images", ColumnKind.SUM),
        ("pixels", ColumnKind.FIRST),
        ("variance", ColumnKind.FIRST),
        ("patch", ColumnKind.BYTES),
    )
)
"""Distinct pictures (shape, mode and pixels) by domain."""


class ImageCopies(ImageMeasure):
    """Sorted runs of (hash, domain) of files, and of pictures: copies within and across domains, and near ones."""

    name = "image_copies"
    version = 1

    def tables(self) -> dict[str, TableSpec]:
        """Files, and pictures."""
        return {"files": FILES, "pictures": PICTURES}

    def count(self, block: Block) -> Partial:
        """Count one block."""
        images = images_of(block)
        ones = np.ones(len(images), np.int64)
        files = CountTable(
            FILES,
            {
                "high": images.byte_high,
                "low": images.byte_low,
                "domain": block.domains,
                "images": ones,
                "bytes": images.bytes,
            },
        )
        pictures = CountTable(
            PICTURES,
            {
                "high": images.pixel_high,
                "low": images.pixel_low,
                "domain": block.domains,
                "phash": images.phash,
                "images": ones,
                "pixels": images.pixels,
                "variance": images.variance,
                "patch": rows_of_bytes(images.patches),
            },
        )
        return Partial(block.names, {"files": merging.merge([files]), "pictures": merging.merge([pictures])})


def rows_of_bytes(rows: np.ndarray) -> pa.LargeBinaryArray:
    """Rows of uint8 [N, W] as N byte strings."""
    offsets = np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1]
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(rows))]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(rows), buffers)


def rows_from_bytes(column: pa.Array, width: int) -> np.ndarray:
    """uint8 [N, W] of N byte strings of ``width`` bytes each."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    fixed = [chunk.cast(pa.binary()).cast(pa.binary(width)) for chunk in chunks if len(chunk)]
    parts = [
        np.frombuffer(chunk.buffers()[1], np.uint8)[chunk.offset * width : (chunk.offset + len(chunk)) * width]
        for chunk in fixed
    ]
    rows: np.ndarray = np.concatenate([np.empty(0, np.uint8), *parts]).reshape(-1, width)
    return rows
