"""Near duplicates of a run's pictures: shares within and across domains with intervals, and the nearest pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.image_measures.copies import rows_from_bytes
from corpus_audit.pipelines.images import near_duplicates
from corpus_audit.pipelines.images.near_duplicates import NearPairs, TooManyPairs
from corpus_audit.pipelines.images.perceptual import FLAT_VARIANCE, PATCH_BYTES
from corpus_audit.pipelines.statistics.intervals.clustered import DocumentClusters
from corpus_audit.pipelines.statistics.intervals.proportions import share_intervals
from corpus_audit.schemas.tables import image_tables
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

MOST_PICTURES = 400_000
"""Pictures that are compared, which takes some ten seconds; time grows with the square."""

LISTED_PAIRS = 1_000
"""Pairs that are listed."""

SCOPES = ("across", "within")


def near_duplicate_tables(pictures: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Tables IMAGE_NEAR_DUPLICATES and IMAGE_NEAR_PAIRS, from IMAGE_PICTURES.

    1. Pictures that are not flat are compared, each once however many domains hold it: pairs within
       `near_duplicates.THRESHOLD` bits, verified by their patches (`near_duplicates.verified_pairs`).
    2. A picture of a domain is near within the domain if one of its pairs is there too, and near across if one is in
       another domain. Pictures of equal pixels are no pair: those are exact copies.
    3. The share of images that are near has Korn and Graubard's interval, with sets of pictures that such pairs connect
       as clusters, since a set is near or not as a whole. It takes the sets as drawn from a source; which pictures are
       near each other is exact for the snapshot.
    """
    labels = pictures["domain"].cast(pa.string())
    names = sorted(pc.unique(labels).to_pylist(), key=str.encode)
    domain = pc.index_in(labels, value_set=pa.array(names, pa.string())).to_numpy().astype(np.int64)
    images = pictures["images"].to_numpy()
    flat = pictures["variance"].to_numpy() < FLAT_VARIANCE
    flat_images = np.bincount(domain[flat], images[flat], len(names)).astype(np.int64)
    rows = np.flatnonzero(~flat)
    hashes = rows_from_bytes(pictures["hash"].take(rows), 16)
    first_row, picture = _numbered(hashes)
    domain, images = domain[rows], images[rows]
    reason = None
    pairs = NearPairs(*(np.empty(0, np.int64) for _ in range(4)))
    chance: float | None = None
    if len(first_row) > MOST_PICTURES:
        reason = f"{len(first_row):,} pictures, more than the {MOST_PICTURES:,} that are compared"
    else:
        compared = pictures.take(rows[first_row])
        phashes = compared["phash"].to_numpy()
        try:
            pairs = near_duplicates.verified_pairs(phashes, rows_from_bytes(compared["patch"], PATCH_BYTES))
        except TooManyPairs as error:
            reason = str(error)
        close, drawn = near_duplicates.chance_of_closeness(phashes)
        chance = close / drawn if drawn else None
    left, right = _row_pairs(pairs, picture)
    parts = []
    for scope in SCOPES:
        same = domain[left] == domain[right]
        kept = same if scope == "within" else ~same
        parts += _rates(scope, names, domain, images, left[kept], right[kept], flat_images, chance, reason)
    table = pa.Table.from_pylist(parts, schema=image_tables.IMAGE_NEAR_DUPLICATES)
    return table, _listed(pairs, hashes[first_row], [names[d] for d in domain[first_row]])


def _numbered(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(first row of each picture, number of each row's picture), of rows sorted by hash."""
    if not len(hashes):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    new = np.concatenate(([True], (hashes[1:] != hashes[:-1]).any(axis=1)))
    return np.flatnonzero(new), np.cumsum(new) - 1


def _row_pairs(pairs: NearPairs, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of pictures as pairs of rows: every row of the one with every row of the other."""
    count = np.bincount(picture)
    start = np.cumsum(count) - count
    widths, heights = count[pairs.second], count[pairs.first]
    which = np.repeat(np.arange(len(pairs)), widths * heights)
    ends = np.cumsum(widths * heights)
    within = np.arange(len(which)) - (ends - widths * heights)[which]
    width = widths[which]
    return start[pairs.first[which]] + within // width, start[pairs.second[which]] + within % width


def _rates(
    scope: str,
    names: list[str],
    domain: np.ndarray,
    images: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    flat: np.ndarray,
    chance: float | None,
    reason: str | None,
) -> list[dict[str, Any]]:
    edges = NearPairs(left, right, np.empty(0, np.uint8), np.empty(0, np.int64))
    label = near_duplicates.groups(edges, len(domain))
    near = np.zeros(len(domain), bool)
    near[left] = near[right] = True
    rows = []
    for position in range(-1, len(names)):
        mine = np.ones(len(domain), bool) if position < 0 else domain == position
        total, hits = int(images[mine].sum()), int(images[mine & near].sum())
        _, cluster = np.unique(label[mine & near], return_inverse=True)
        sizes = np.bincount(cluster, images[mine & near]).astype(np.int64).astype(object)
        singles = images[mine & ~near].astype(object)
        known = total > 0 and reason is None
        low = high = float("nan")
        if known:
            squares = np.array([int((sizes**2).sum()), int((singles**2).sum())], object)
            counts = np.array([hits, total - hits], np.int64)
            intervals = share_intervals(DocumentClusters(counts, squares, len(sizes) + len(singles)))
            low, high = float(intervals.low[0]), float(intervals.high[0])
        rows.append(
            {
                "domain": ALL_DOMAINS if position < 0 else names[position],
                "scope": scope,
                "images": total,
                "near_images": hits if known else 0,
                "share": hits / total if known else None,
                "low": low if known and np.isfinite(low) else None,
                "high": high if known and np.isfinite(high) else None,
                "groups": len(sizes) if known else None,
                "flat": int(flat.sum() if position < 0 else flat[position]),
                "bits": near_duplicates.THRESHOLD,
                "distance": near_duplicates.PATCH_THRESHOLD,
                "chance": chance,
                "reason": reason or (None if total else "there are no images here that are not flat"),
            }
        )
    return rows


def _listed(pairs: NearPairs, hashes: np.ndarray, domains: list[str]) -> pa.Table:
    order = np.lexsort((pairs.second, pairs.first, pairs.distance, pairs.bits))[:LISTED_PAIRS]
    first, second = pairs.first[order], pairs.second[order]
    return pa.table(
        {
            "hash": pa.array([hashes[i].tobytes() for i in first], pa.binary(16)),
            "domain": pa.array([domains[i] for i in first], pa.string()),
            "near_hash": pa.array([hashes[i].tobytes() for i in second], pa.binary(16)),
            "near_domain": pa.array([domains[i] for i in second], pa.string()),
            "bits": pairs.bits[order].astype(np.int64),
            "distance": pairs.distance[order],
        },
        schema=image_tables.IMAGE_NEAR_PAIRS,
    )
