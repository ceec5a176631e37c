"""Sizes of images by domain: exact log-bucket histograms of short side, pixels, aspect ratio and bytes per pixel."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.image_measures.images_of_block import ImageMeasure, images_of
from corpus_audit.pipelines.images.properties import ImageProperties
from corpus_audit.pipelines.measures.base import Block
from corpus_audit.pipelines.statistics.intervals.lengths import bucket_index
from corpus_audit.pipelines.storage import count_tables, merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial

SIZE_UNITS = ("short_side", "pixels", "aspect", "bytes_per_pixel")
"""Pixels of the shorter side; pixels; longer side by shorter, in thousandths; bytes by pixel, in thousandths."""

_UNIT_STEP = 1 << 16

SIZES = TableSpec((("cell", ColumnKind.CELL), ("images", ColumnKind.SUM)))
"""Cells are (domain, unit * 65,536 + bucket), the buckets of document lengths: within 1 % of every size."""


class ImageSizes(ImageMeasure):
    """Images by domain, unit and bucket."""

    name = "image_sizes"
    version = 1

    def tables(self) -> dict[str, TableSpec]:
        """One histogram table."""
        return {"histogram": SIZES}

    def count(self, block: Block) -> Partial:
        """Count one block."""
        sizes = sizes_of(images_of(block))
        numbers = [bucket_index(sizes[unit]) + position * _UNIT_STEP for position, unit in enumerate(SIZE_UNITS)]
        cell = count_tables.cells(np.tile(block.domains, len(SIZE_UNITS)), np.concatenate(numbers))
        rows = CountTable(SIZES, {"cell": cell, "images": np.ones(len(cell), np.int64)})
        return Partial(block.names, {"histogram": merging.merge([rows])})


def sizes_of(images: ImageProperties) -> dict[str, np.ndarray]:
    """int64 [N] for each of `SIZE_UNITS`."""
    short = np.minimum(images.width, images.height)
    long = np.maximum(images.width, images.height)
    return {
        "short_side": short,
        "pixels": images.pixels,
        "aspect": 1000 * long // np.maximum(short, 1),
        "bytes_per_pixel": 1000 * images.bytes // np.maximum(images.pixels, 1),
    }


def split_size_number(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(unit positions, bucket positions), int64 [N] each."""
    return number // _UNIT_STEP, number % _UNIT_STEP
