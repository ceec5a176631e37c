"""Shares of domains and kinds with design-based intervals, quantiles of sizes, and shares of exact copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.figures.facet_totals import HASH_GROUPS, nullable, sort_all_first, wide_integers
from corpus_audit.pipelines.image_measures.kinds import PROPERTIES
from corpus_audit.pipelines.image_measures.sizes import SIZE_UNITS
from corpus_audit.pipelines.statistics.intervals.clustered import DocumentClusters
from corpus_audit.pipelines.statistics.intervals.duplicates import duplicate_share
from corpus_audit.pipelines.statistics.intervals.grouped import GroupedTotals, RandomGroups
from corpus_audit.pipelines.statistics.intervals.lengths import histogram_quantiles
from corpus_audit.pipelines.statistics.intervals.proportions import share_intervals
from corpus_audit.schemas.tables import image_tables
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

UNITS = ("images", "pixels", "bytes")
PERCENTS = (5, 25, 50, 75, 95, 99)

SAMPLED = "none: only some splits were read"
"""Method of shares in an audit of a part of the splits, whose totals by split image measures do not keep."""


def image_shares(totals: pa.Table, cluster_groups: pa.Table, sampled: bool = False) -> pa.Table:
    """Table IMAGE_SHARES, from IMAGE_TOTALS and IMAGE_CLUSTER_GROUPS (without rows where images are clusters).

    Images are clusters, or hash groups of the cluster key are; see `statistics.intervals.clustered`.
    """
    parts = []
    images = totals["images"].to_numpy()
    for unit in UNITS:
        counts = totals[unit].to_numpy()
        total = int(counts.sum())
        if not total:
            continue
        design: DocumentClusters | RandomGroups
        if len(cluster_groups):
            position = pc.index_in(cluster_groups["domain"], value_set=totals["domain"]).to_numpy()
            group, amount = cluster_groups["group"].to_numpy(), cluster_groups[unit].to_numpy()
            cells = GroupedTotals(
                position.astype(np.int64), group.astype(np.int64), amount, domains=len(counts), groups=HASH_GROUPS
            )
            design = RandomGroups(cells, clusters=int(images.sum()))
        else:
            squares = images.astype(object) if unit == "images" else wide_integers(totals[f"sum_{unit}_squared"])
            design = DocumentClusters(counts, squares, int(images.sum()), label="images")
        shares = share_intervals(design)
        bounds = (shares.low, shares.high, shares.low_simultaneous, shares.high_simultaneous)
        low, high, low_all, high_all = (np.full(len(counts), np.nan) if sampled else bound for bound in bounds)
        method = SAMPLED if sampled else f"Korn-Graubard, {design.label}"
        none = SAMPLED if sampled else f"none: too few clusters, {design.label}"
        parts.append(
            pa.table(
                {
                    "domain": totals["domain"],
                    "unit": pa.repeat(unit, len(counts)),
                    "count": counts,
                    "total": np.full(len(counts), total),
                    "share": shares.share,
                    "low": nullable(low),
                    "high": nullable(high),
                    "low_simultaneous": nullable(low_all),
                    "high_simultaneous": nullable(high_all),
                    "method": pc.if_else(pa.array(np.isnan(low)), none, method),
                },
                schema=image_tables.IMAGE_SHARES,
            )
        )
    if not parts:
        return image_tables.IMAGE_SHARES.empty_table()
    order = [("unit", "ascending"), ("count", "descending"), ("domain", "ascending")]
    return pa.concat_tables(parts).sort_by(order).combine_chunks()


def size_quantiles(sizes: pa.Table) -> pa.Table:
    """Table IMAGE_SIZE_QUANTILES, from IMAGE_SIZES; images are the sampling units."""
    names = [ALL_DOMAINS, *sorted(set(sizes["domain"].to_pylist()))]
    parts = []
    for unit in SIZE_UNITS:
        rows = sizes.filter(pc.equal(sizes["unit"], unit))
        if not len(rows):
            continue
        code = pc.index_in(rows["domain"], value_set=pa.array(names)).to_numpy().astype(np.int64)
        low, high, images = (rows[name].to_numpy() for name in ("low", "high", "images"))
        # The histogram of all domains is all rows by size, as domain 0.
        order = np.concatenate([np.argsort(low, kind="stable"), np.lexsort((low, code))])
        code = np.concatenate([np.zeros_like(code), np.sort(code)])
        counts = np.zeros(len(names), np.int64)
        np.add.at(counts, code, images[order])
        quantiles = histogram_quantiles(code, low[order], high[order], images[order], len(names), PERCENTS)
        repeats = len(PERCENTS)
        parts.append(
            pa.table(
                {
                    "domain": np.repeat(np.array(names, object), repeats),
                    "unit": pa.repeat(unit, len(names) * repeats),
                    "quantile": np.tile(np.array(PERCENTS) / 100, len(names)),
                    "value": quantiles.value.ravel(),
                    "low": nullable(quantiles.low.ravel()),
                    "high": nullable(quantiles.high.ravel()),
                    "images": np.repeat(counts, repeats),
                },
                schema=image_tables.IMAGE_SIZE_QUANTILES,
            )
        )
    if not parts:
        return image_tables.IMAGE_SIZE_QUANTILES.empty_table()
    return sort_all_first(pa.concat_tables(parts), [("unit", "ascending"), ("quantile", "ascending")])


def kind_shares(kinds: Sequence[tuple[str, str, str, int]], bounded: bool = True) -> pa.Table:
    """Table IMAGE_KINDS.

    Args:
        kinds: (domain, property, value, images), as `ImageProfile.kinds` gives them.
        bounded: whether images are the sampling units, and all were read; without, there are no bounds.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    for domain, property_, value, images in kinds:
        counts[domain, property_, value] += images
        counts[ALL_DOMAINS, property_, value] += images
    rows: list[dict[str, Any]] = []
    domains = sorted({domain for domain, _, _ in counts}, key=lambda name: (name != ALL_DOMAINS, name.encode()))
    for domain in domains:
        for property_ in sorted(PROPERTIES):
            values = sorted(
                ((value, n) for (d, p, value), n in counts.items() if (d, p) == (domain, property_)),
                key=lambda pair: (-pair[1], pair[0]),
            )
            each = np.array([n for _, n in values], np.int64)
            total = int(each.sum())
            shares = share_intervals(DocumentClusters(each, each.astype(object), total))
            for (value, n), low, high in zip(values, shares.low, shares.high, strict=True):
                known = bounded and bool(np.isfinite(low))
                rows.append(
                    {
                        "domain": domain,
                        "property": property_,
                        "value": value,
                        "images": n,
                        "total": total,
                        "share": n / total,
                        "low": float(low) if known else None,
                        "high": float(high) if known else None,
                    }
                )
    return pa.Table.from_pylist(rows, schema=image_tables.IMAGE_KINDS)


def duplicates(by: str, names: Sequence[str], totals: dict[str, np.ndarray], sampled: bool = False) -> pa.Table:
    """Rows of IMAGE_DUPLICATES of one kind, from `ImageProfile.duplicate_totals`."""
    images, distinct = totals["images"], totals["distinct"]
    share, low, high = duplicate_share(images - distinct, images, images.astype(object))
    unknown = np.full(len(images), np.nan)
    return pa.table(
        {
            "domain": list(names),
            "by": pa.repeat(by, len(names)),
            "images": images,
            "distinct": distinct,
            "duplicate_images": images - distinct,
            "across_images": totals["across_images"],
            "share": nullable(share),
            "low": nullable(unknown if sampled else low),
            "high": nullable(unknown if sampled else high),
        },
        schema=image_tables.IMAGE_DUPLICATES,
    )
