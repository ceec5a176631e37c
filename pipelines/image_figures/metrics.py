"""Metrics of an image corpus: its figures that a policy can judge, in the schema METRICS."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.figures.metric_rows import (
    ALL,
    column_sum,
    domain_slices,
    metric_rows,
    ratio,
    rows_from_columns,
)
from corpus_audit.schemas.tables.metric_declarations import MetricDeclaration
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

_TOTALS = {"images": "images", "image_pixels": "pixels", "image_bytes": "bytes"}
_UNITS = ("images", "pixels", "bytes")
_SIZES = {
    "short_side": ("pixels of the shorter side", "pixels", 1),
    "pixels": ("pixels", "pixels", 1),
    "aspect": ("ratio of the longer side to the shorter", "ratio", 1000),
    "bytes_per_pixel": ("bytes of the file by pixel", "bytes", 1000),
}
"""Unit of IMAGE_SIZES -> meaning, unit of the metric, and what the metric divides by."""

_QUANTILES = {"p05": 0.05, "p50": 0.5, "p95": 0.95}
_KINDS = {
    "mislabelled_image_share": ("mislabelled", "no", "images whose name or type declares another format"),
    "flat_image_share": ("flat", "no", "images of nearly one grey"),
    "animated_image_share": ("frames", "1", "images with several pictures"),
    "turned_image_share": ("orientation", "1", "images that EXIF turns, or whose orientation cannot be read"),
}
"""Metric -> property, the value that does not count, and what the others are."""

_COPIES = {"bytes": "file", "pixels": "picture"}
_NO_IMAGES = "there are no images here"

DECLARATIONS = (
    *(
        MetricDeclaration(name, f"{unit} that were measured", unit, ALL, "fact", "fact")
        for name, unit in _TOTALS.items()
    ),
    *(
        MetricDeclaration(
            f"image_domain_share_{unit}", f"share of the {unit} of images", "share", "domains", "interval", "fact"
        )
        for unit in _UNITS
    ),
    *(
        MetricDeclaration(
            f"image_{size}_{quantile}",
            f"{meaning} that {round(100 * at)} % of the images do not exceed",
            unit,
            "domains",
            "interval",
            "fact",
        )
        for size, (meaning, unit, _) in _SIZES.items()
        for quantile, at in _QUANTILES.items()
    ),
    *(
        MetricDeclaration(name, f"share of {meaning}", "share", "domains", "interval", "fact")
        for name, (_, _, meaning) in _KINDS.items()
    ),
    *(
        MetricDeclaration(
            f"image_duplicate_share_{by}",
            f"images that repeat a {what} of their domain",
            "share",
            "domains",
            "interval",
            "fact",
        )
        for by, what in _COPIES.items()
    ),
    *(
        MetricDeclaration(
            f"image_across_share_{by}",
            f"images whose {what} is in another domain too",
            "share",
            "domains",
            "fact",
            "fact",
        )
        for by, what in _COPIES.items()
    ),
    *(
        MetricDeclaration(
            f"image_near_duplicate_share_{scope}",
            f"images near one of other pixels, {where}",
            "share",
            "domains",
            "interval",
            "fact",
        )
        for scope, where in (("within", "in the same domain"), ("across", "in another domain"))
    ),
)
"""Every metric of this module."""


def image_metrics(tables: Mapping[str, pa.Table], sampled: bool = False) -> pa.Table:
    """Rows of METRICS from the tables of `schemas.tables.image_tables`.

    Slices are ``all`` and ``domain=<value>``. ``n`` is the number of images, or the total in the unit of a share.

    Args:
        tables: image_totals, image_shares, image_size_quantiles, image_kinds, image_duplicates, image_near_duplicates.
        sampled: whether only some splits were read: what is a fact otherwise has no bounds then.
    """
    totals = tables["image_totals"]
    images = column_sum(totals, "images")
    rows = []
    for name, unit in _TOTALS.items():
        value = [column_sum(totals, unit)]
        bounds = [np.nan] if sampled else value
        rows.append(metric_rows(name, [ALL], value, [images], bounds, bounds, unit))
    shares = tables["image_shares"]
    for unit in _UNITS:
        part = shares.filter(pc.equal(shares["unit"], unit))
        columns = ("share", "total", "low", "high")
        rows.append(
            rows_from_columns(f"image_domain_share_{unit}", domain_slices(part["domain"]), part, columns, "share")
        )
    rows += _sizes(tables["image_size_quantiles"]) + _kinds(tables["image_kinds"])
    copies = tables["image_duplicates"]
    for by in _COPIES:
        part = copies.filter(pc.equal(copies["by"], by))
        slices = domain_slices(part["domain"])
        columns = ("share", "images", "low", "high")
        rows.append(rows_from_columns(f"image_duplicate_share_{by}", slices, part, columns, "share", _NO_IMAGES))
        total = part["images"].to_numpy()
        across = ratio(part["across_images"].to_numpy(), total)
        if sampled:
            unknown = np.full(len(total), np.nan)
            rows.append(
                metric_rows(f"image_across_share_{by}", slices, across, total, unknown, unknown, "share", _NO_IMAGES)
            )
        else:
            rows.append(
                metric_rows(f"image_across_share_{by}", slices, across, total, across, across, "share", _NO_IMAGES)
            )
    near = tables["image_near_duplicates"]
    for scope in ("within", "across"):
        part = near.filter(pc.equal(near["scope"], scope))
        name = f"image_near_duplicate_share_{scope}"
        reasons = [reason for reason in part["reason"].to_pylist() if reason]
        why = reasons[0] if reasons else _NO_IMAGES
        low, high = ((np.full(len(part), np.nan) if sampled else part[end]) for end in ("low", "high"))
        slices = domain_slices(part["domain"])
        rows.append(metric_rows(name, slices, part["share"], part["images"], low, high, "share", why))
    return pa.concat_tables(rows).sort_by([("metric", "ascending"), ("slice", "ascending")]).combine_chunks()


def _sizes(quantiles: pa.Table) -> list[pa.Table]:
    rows = []
    for size, (_, unit, divisor) in _SIZES.items():
        for quantile, at in _QUANTILES.items():
            part = quantiles.filter(pc.and_(pc.equal(quantiles["unit"], size), pc.equal(quantiles["quantile"], at)))
            value, low, high = (pc.divide(part[name], float(divisor)) for name in ("value", "low", "high"))
            slices = domain_slices(part["domain"])
            rows.append(
                metric_rows(f"image_{size}_{quantile}", slices, value, part["images"], low, high, unit, _NO_IMAGES)
            )
    return rows


def _kinds(kinds: pa.Table) -> list[pa.Table]:
    """Shares of images that have another value than the usual one: 1 minus its share, and its bounds turned round."""
    rows = []
    each = kinds.to_pylist()
    totals = {row["domain"]: row["total"] for row in each}
    names = sorted(totals, key=lambda name: (name != ALL_DOMAINS, name.encode()))
    for metric, (property_, usual, _) in _KINDS.items():
        by_domain = {r["domain"]: r for r in each if r["property"] == property_ and r["value"] == usual}
        bounded = any(r["low"] is not None for r in each)
        values, low, high = [], [], []
        for name in names:
            row = by_domain.get(name)
            if row is None:  # no image has the usual value: as many as there are differ, and nothing bounds it above
                upper = _none_of(totals[name]) if bounded else np.nan
                values.append(1.0)
                low.append(1 - upper)
                high.append(1.0 if bounded else np.nan)
                continue
            same = row["images"]
            values.append((row["total"] - same) / row["total"])
            low.append(np.nan if row["high"] is None else 1 - row["high"])
            high.append(np.nan if row["low"] is None else 1 - row["low"])
        slices = domain_slices(pa.chunked_array([pa.array(names, pa.string())]))
        n = [totals[name] for name in names]
        rows.append(metric_rows(metric, slices, values, n, low, high, "share", _NO_IMAGES))
    return rows


def _none_of(total: int) -> float:
    """The upper 95 % bound (Clopper and Pearson) of the share of what none of ``total`` images has."""
    return float(1 - 0.025 ** (1 / total))
