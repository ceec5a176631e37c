"""Formats, modes, orientations, animations, flat and mislabelled images by domain."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.image_measures.images_of_block import ImageMeasure, images_of
from corpus_audit.pipelines.images.containers import ImageFormat
from corpus_audit.pipelines.images.properties import MODES
from corpus_audit.pipelines.measures.base import Block
from corpus_audit.pipelines.storage import count_tables, merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial

PROPERTIES = ("format", "mode", "orientation", "frames", "flat", "mislabelled")
"""What images are counted by, each image once for each: see `kind_name` for the values."""

_STEP = 1 << 16

KINDS = TableSpec((("cell", ColumnKind.CELL), ("images", ColumnKind.SUM)))
"""Cells are (domain, position of the property * 65,536 + code)."""

_FRAMES = ("1", "2 to 10", "11 to 100", "more than 100")


class ImageKinds(ImageMeasure):
    """Images by domain, property and value."""

    name = "image_kinds"
    version = 1

    def tables(self) -> dict[str, TableSpec]:
        """One table of counts."""
        return {"kinds": KINDS}

    def count(self, block: Block) -> Partial:
        """Count one block."""
        images = images_of(block)
        labelled = images.declared.astype(np.int64) * 256 + images.format
        codes = (
            images.format,
            images.mode,
            images.orientation,
            np.searchsorted([1, 10, 100], images.frames),
            images.flat,
            np.where(images.mislabelled, labelled, 0),
        )
        numbers = [code.astype(np.int64) + position * _STEP for position, code in enumerate(codes)]
        cell = count_tables.cells(np.tile(block.domains, len(PROPERTIES)), np.concatenate(numbers))
        rows = CountTable(KINDS, {"cell": cell, "images": np.ones(len(cell), np.int64)})
        return Partial(block.names, {"kinds": merging.merge([rows])})


def split_kind_number(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(positions in `PROPERTIES`, codes), int64 [N] each."""
    return number // _STEP, number % _STEP


def kind_name(property_: str, code: int) -> str:
    """A code in words: ``JPEG``; ``RGB``; ``1`` to ``8`` or ``unknown``; ``2 to 10``; ``yes``; ``PNG named JPEG``."""
    if property_ == "format":
        return ImageFormat(code).name
    if property_ == "mode":
        return MODES[code]
    if property_ == "orientation":
        return str(code) if code else "unknown"
    if property_ == "frames":
        return _FRAMES[code]
    if property_ == "flat":
        return "yes" if code else "no"
    return f"{ImageFormat(code % 256).name} named {ImageFormat(code // 256).name}" if code else "no"
