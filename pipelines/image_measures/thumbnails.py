"""Small pictures of each domain's images of lowest hash, for contact sheets."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpus_audit.pipelines.image_measures.images_of_block import ImageMeasure, images_of
from corpus_audit.pipelines.images.properties import THUMBNAILS_A_DOMAIN
from corpus_audit.pipelines.measures.base import Block
from corpus_audit.pipelines.storage import merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.schemas.spec.audit import AuditSpec

KEPT = THUMBNAILS_A_DOMAIN
"""Distinct pictures kept a domain: 24 of at most 10 kB each. Of others the reader makes no thumbnails."""

THUMBNAILS = TableSpec(
    (
        ("domain", ColumnKind.DOMAIN),
        ("high", ColumnKind.KEY),
        ("low", ColumnKind.KEY),
        ("images", ColumnKind.SUM),
        ("width", ColumnKind.FIRST),
        ("height", ColumnKind.FIRST),
        ("thumbnail", ColumnKind.BYTES),
    ),
    keep_per_domain=KEPT,
    chunk_rows=256,
    compressed=False,
)


class Thumbnails(ImageMeasure):
    """A bottom-k sample by the hash of the pixels: uniform over distinct pictures, the same for any sharding."""

    name = "thumbnails"
    version = 1

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """The domain, the decoder, and whether excerpts are kept: without them, thumbnails are empty."""
        return super().settings(spec) | {"excerpts": spec.excerpts}

    def tables(self) -> dict[str, TableSpec]:
        """One table of thumbnails."""
        return {"thumbnails": THUMBNAILS}

    def count(self, block: Block) -> Partial:
        """Take the images of one block that may be among the lowest of their domain."""
        images = images_of(block)
        order = np.lexsort((images.pixel_low, images.pixel_high, block.domains))
        columns = [column[order] for column in (block.domains, images.pixel_high, images.pixel_low)]
        new = np.ones(len(order), bool)
        new[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
        first = np.flatnonzero(new)  # of the copies of a picture, which are one row
        copies = np.diff(first, append=len(order))
        domain = columns[0][first]
        kept = np.arange(len(first)) - np.searchsorted(domain, domain, side="left") < KEPT
        selected = images.take(order[first[kept]])
        rows = CountTable(
            THUMBNAILS,
            {
                "domain": domain[kept],
                "high": selected.pixel_high,
                "low": selected.pixel_low,
                "images": copies[kept],
                "width": selected.width,
                "height": selected.height,
                "thumbnail": selected.thumbnails,
            },
        )
        return Partial(block.names, {"thumbnails": merging.merge([rows])})
