"""Images, pixels, bytes and frames by domain, with the sums behind the variances of their shares."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpus_audit.pipelines.image_measures.images_of_block import ImageMeasure, images_of
from corpus_audit.pipelines.measures.base import Block, domain_settings
from corpus_audit.pipelines.measures.domains import cluster_group
from corpus_audit.pipelines.storage import count_tables, merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.schemas.spec.audit import AuditSpec

TOTALS = TableSpec(
    (
        ("domain", ColumnKind.DOMAIN),
        ("images", ColumnKind.SUM),
        ("frames", ColumnKind.SUM),
        ("pixels", ColumnKind.SUM),
        ("bytes", ColumnKind.SUM),
        ("pixels_squared", ColumnKind.SUM),
        ("pixels_squared_high", ColumnKind.WIDE_HIGH),
        ("bytes_squared", ColumnKind.SUM),
        ("bytes_squared_high", ColumnKind.WIDE_HIGH),
    )
)

GROUPS = TableSpec(
    (
        ("domain", ColumnKind.DOMAIN),
        ("group", ColumnKind.KEY),
        ("images", ColumnKind.SUM),
        ("pixels", ColumnKind.SUM),
        ("bytes", ColumnKind.SUM),
    )
)
"""Totals by hash group of the cluster key; no rows where images are clusters."""


class ImageTotals(ImageMeasure):
    """Totals by domain; with a cluster field by 1,024 hash groups of its keys too."""

    name = "image_totals"
    version = 1

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """The domain, the cluster and the decoder."""
        return super().settings(spec) | domain_settings(spec.document)

    def tables(self) -> dict[str, TableSpec]:
        """Totals by domain, and by cluster group."""
        return {"totals": TOTALS, "groups": GROUPS}

    def count(self, block: Block) -> Partial:
        """Count one block."""
        images = images_of(block)
        ones = np.ones(len(images), np.int64)
        pixels_squared, pixels_squared_high = count_tables.wide(images.pixels**2)
        bytes_squared, bytes_squared_high = count_tables.wide(images.bytes**2)
        sums = {"images": ones, "pixels": images.pixels, "bytes": images.bytes}
        totals = CountTable(
            TOTALS,
            {
                "domain": block.domains,
                **sums,
                "frames": images.frames,
                "pixels_squared": pixels_squared,
                "pixels_squared_high": pixels_squared_high,
                "bytes_squared": bytes_squared,
                "bytes_squared_high": bytes_squared_high,
            },
        )
        groups = count_tables.empty(GROUPS)
        if block.clusters is not None:
            groups = CountTable(GROUPS, {"domain": block.domains, "group": cluster_group(block.clusters[0]), **sums})
        return Partial(block.names, {"totals": merging.merge([totals]), "groups": merging.merge([groups])})
