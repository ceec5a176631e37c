"""All published tables of an image corpus but those of drift, from the merged partials of its image measures."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from corpus_audit.pipelines.figures.facet_totals import sort_all_first
from corpus_audit.pipelines.image_figures import shares
from corpus_audit.pipelines.image_figures.integer_tables import ImageProfile, Reader
from corpus_audit.pipelines.image_figures.near_duplicate_shares import MOST_PICTURES, near_duplicate_tables
from corpus_audit.schemas.tables.image_tables import IMAGE_PICTURES


def image_tables(
    reader: Reader, *, clustered: bool, thumbnails: bool, sampled: bool = False
) -> dict[str, Iterable[pa.Table]]:
    """The tables of `schemas.tables.image_tables` by name, each in pieces.

    Args:
        reader: the merged partial of a measure that holds a table.
        clustered: whether a cluster field is set.
        thumbnails: whether they were measured.
        sampled: whether only some splits were read: shares have no bounds then.
    """
    profile = ImageProfile(reader)
    totals, groups, sizes = profile.totals(), profile.cluster_groups(), profile.sizes()
    near, pairs = near_duplicate_tables(_compared(profile))
    copies = pa.concat_tables(
        [shares.duplicates(by, *profile.duplicate_totals(by), sampled) for by in ("bytes", "pixels")]
    )
    tables: dict[str, Iterable[pa.Table]] = {
        "image_totals": [totals],
        "image_shares": [shares.image_shares(totals, groups, sampled)],
        "image_sizes": [sizes],
        "image_size_quantiles": [shares.size_quantiles(sizes)],
        "image_kinds": [shares.kind_shares(profile.kinds(), bounded=not clustered and not sampled)],
        "image_duplicates": [sort_all_first(copies, [("by", "ascending")])],
        "image_files": profile.files(),
        "image_pictures": profile.pictures(),
        "image_near_duplicates": [near],
        "image_near_pairs": [pairs],
    }
    if clustered:
        tables["image_cluster_groups"] = [groups]
    if thumbnails:
        tables["image_thumbnails"] = [profile.thumbnails()]
    return tables


def _compared(profile: ImageProfile) -> pa.Table:
    """IMAGE_PICTURES in memory; without patches, nine tenths of it, where there are too many to be compared."""
    pieces = list(profile.pictures() if profile.distinct_pictures() <= MOST_PICTURES else _light(profile))
    return pa.concat_tables(pieces) if pieces else IMAGE_PICTURES.empty_table()


def _light(profile: ImageProfile) -> Iterable[pa.Table]:
    return (piece.drop_columns(["patch"]) for piece in profile.pictures())
