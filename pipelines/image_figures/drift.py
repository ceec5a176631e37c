"""How the images of a snapshot changed since a baseline, from the tables of both runs alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.drift.lengths import slice_rows
from corpus_audit.pipelines.drift.rows import finite
from corpus_audit.pipelines.figures.metric_rows import metric_rows
from corpus_audit.pipelines.image_measures.kinds import PROPERTIES
from corpus_audit.pipelines.image_measures.sizes import SIZE_UNITS
from corpus_audit.pipelines.statistics.drift.domain_drift import DomainSample, domain_drift
from corpus_audit.pipelines.statistics.drift.length_drift import LengthHistogram
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables import image_tables
from corpus_audit.schemas.tables.metric_declarations import MetricDeclaration
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

LEAST_EXPECTED = 5
"""Images of a kind, and of other kinds, expected on each side for a test of its share by the normal approximation."""

FEW_OF_KIND = "too few images are of this kind, or of others, for a test of its share"

CLUSTERED = "sizes and kinds of images are not counted by cluster, and images of one cluster are not independent"

DECLARATIONS = (
    MetricDeclaration(
        "image_size_drift_p",
        "p of the largest gap between the distributions of a size of images, then and now, times the sizes compared",
        "probability",
        "baselines and domains",
        "fact",
        "drift",
    ),
    MetricDeclaration(
        "image_kind_drift_p",
        "smallest p of a format, mode or other kind of image whose share changed, times the kinds compared",
        "probability",
        "baselines",
        "fact",
        "drift",
    ),
    *(
        MetricDeclaration(
            f"image_{unit}_median_change",
            f"log2 of the ratio of the medians of {unit} of images, now to then",
            "log2",
            "baselines and domains",
            "interval",
            "drift",
        )
        for unit in SIZE_UNITS
    ),
)
"""Every metric of this module."""


def image_drift_tables(label: str, baseline: RunDirectory, current: RunDirectory) -> dict[str, pa.Table]:
    """Tables IMAGE_DRIFT_SIZES (of all images and of every domain that both runs hold) and IMAGE_DRIFT_KINDS.

    Sizes are compared as document lengths are (`statistics.drift.length_drift`); files that both snapshots hold are
    told by their hash, and their covariance is subtracted. Kinds are compared as shares of domains are, all files taken
    as independent, which hides drift where snapshots overlap and never shows any.

    Raises:
        StoreError: when a table cannot be read.
    """
    kept = _kept(baseline.table("image_files"), current.table("image_files"))
    sides = [_histograms(run.table("image_sizes")) for run in (baseline, current)]
    rows: list[dict[str, Any]] = []
    for domain, unit in sides[0].keys() & sides[1].keys():
        shared = kept.get(domain, 0)
        rows += slice_rows(label, domain, unit, sides[0][domain, unit], sides[1][domain, unit], shared)
    rows = [row | {"p_adjusted": None} for row in rows]
    clustered = current.facts.cluster is not None
    if clustered:
        rows = [row | {"p": None, "reason": row["reason"] or CLUSTERED} for row in rows]
    rows.sort(key=lambda row: (row["domain"] != ALL_DOMAINS, row["domain"].encode(), row["unit"], row["statistic"]))
    before, now = (_kinds(run.table("image_kinds")) for run in (baseline, current))
    kinds = _kind_rows(label, before, now, kept[ALL_DOMAINS], clustered)
    return {
        "image_drift_sizes": pa.Table.from_pylist(rows, schema=image_tables.IMAGE_DRIFT_SIZES),
        "image_drift_kinds": pa.Table.from_pylist(kinds, schema=image_tables.IMAGE_DRIFT_KINDS),
    }


def image_drift_metrics(tables: Mapping[str, pa.Table], totals: pa.Table) -> pa.Table:
    """Rows of METRICS from both drift tables; ``totals``: IMAGE_TOTALS of the current run."""
    images = dict(zip(totals["domain"].to_pylist(), totals["images"].to_pylist(), strict=True))
    images[ALL_DOMAINS] = sum(images.values())
    sizes, kinds = tables["image_drift_sizes"], tables["image_drift_kinds"]
    rows = []
    gaps: dict[tuple[str, str], list[float]] = {}
    for row in sizes.to_pylist():
        key = row["baseline"], row["domain"]
        if row["statistic"] == "ks":
            gaps.setdefault(key, [])
            if row["p"] is not None:
                gaps[key].append(row["p"])
        if row["statistic"] == "p50":
            ends = [np.nan if row[end] is None else row[end] for end in ("change", "low", "high")]
            rows.append(
                metric_rows(
                    f"image_{row['unit']}_median_change",
                    [_slice(*key)],
                    [ends[0]],
                    [images.get(row["domain"], 0)],
                    [ends[1]],
                    [ends[2]],
                    "log2",
                    row["reason"] or "there are no images on a side",
                )
            )
    smallest = {key: min(1.0, min(ps) * len(ps)) if ps else np.nan for key, ps in gaps.items()}
    for key, p in smallest.items():
        absent = "both hold the same images, or a side has too few"
        slices, n = [_slice(*key)], [images.get(key[1], 0)]
        rows.append(metric_rows("image_size_drift_p", slices, [p], n, [p], [p], "probability", absent))
    for label in sorted(set(kinds["baseline"].to_pylist())):
        ps_ = [p for p in kinds.filter(pc.equal(kinds["baseline"], label))["p"].to_pylist() if p is not None]
        p = min(1.0, min(ps_) * len(ps_)) if ps_ else np.nan
        n = [images.get(ALL_DOMAINS, 0)]
        slices = [_slice(label, ALL_DOMAINS)]
        rows.append(
            metric_rows("image_kind_drift_p", slices, [p], n, [p], [p], "probability", "a side has too few images")
        )
    return pa.concat_tables(rows).sort_by([("metric", "ascending"), ("slice", "ascending")]).combine_chunks()


def _slice(label: str, domain: str) -> str:
    return f"baseline={label}" if domain == ALL_DOMAINS else f"baseline={label},domain={domain}"


def _kept(before: pa.Table, now: pa.Table) -> dict[str, int]:
    """Images whose file both snapshots hold, copies paired one by one, by domain and in all."""

    def of_all(table: pa.Table) -> pa.Table:
        return table.group_by("hash").aggregate([("images", "sum")])

    def shared(left: pa.Table, right: pa.Table, keys: list[str]) -> pa.Table:
        both = left.join(right, keys, right_suffix="_now", join_type="inner")
        fewer = pc.min_element_wise(both["images_sum"], both["images_sum_now"])
        return both.append_column("kept", fewer)

    whole = shared(of_all(before), of_all(now), ["hash"])
    kept = {ALL_DOMAINS: int(pc.sum(whole["kept"]).as_py() or 0)}
    sides = [
        side.set_column(side.schema.get_field_index("domain"), "domain", side["domain"].cast(pa.string()))
        .group_by(["hash", "domain"])
        .aggregate([("images", "sum")])
        for side in (before, now)
    ]
    by_domain = shared(sides[0], sides[1], ["hash", "domain"]).group_by("domain").aggregate([("kept", "sum")])
    return kept | dict(zip(by_domain["domain"].to_pylist(), by_domain["kept_sum"].to_pylist(), strict=True))


def _histograms(table: pa.Table) -> dict[tuple[str, str], LengthHistogram]:
    """The histogram of every domain and unit, and that of all."""
    histograms = {}
    for unit in SIZE_UNITS:
        rows = table.filter(pc.equal(table["unit"], unit)).combine_chunks()
        domain = np.array(rows["domain"].to_pylist(), object)
        low, high, images = (rows[name].to_numpy() for name in ("low", "high", "images"))
        for name in sorted(set(domain)):
            mine = domain == name
            histograms[name, unit] = LengthHistogram(low[mine], high[mine], images[mine])
        edges, bins = np.unique(low, return_inverse=True)
        tops, sums = np.zeros(len(edges), np.int64), np.zeros(len(edges), np.int64)
        tops[bins] = high
        np.add.at(sums, bins, images)
        histograms[ALL_DOMAINS, unit] = LengthHistogram(edges, tops, sums)
    return histograms


def _enough_expected(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Whether each share can be tested, bool [values].

    So many images of the kind, and so many of others, are expected on the smaller side; a share that is the very same
    on both needs no approximation (p = 1), but as many images.
    """
    smaller = min(before.sum(), now.sum())
    share = (before + now) / (before.sum() + now.sum())
    same = before * now.sum() == now * before.sum()
    expected = np.minimum(share, 1 - share) * smaller
    enough: np.ndarray = (expected >= LEAST_EXPECTED) | (same & (smaller >= 2 * LEAST_EXPECTED))
    return enough


def _kinds(table: pa.Table) -> dict[tuple[str, str], int]:
    """(property, value) -> images of the whole corpus."""
    rows = table.filter(pc.equal(table["domain"], ALL_DOMAINS)).to_pylist()
    return {(row["property"], row["value"]): row["images"] for row in rows}


def _kind_rows(
    label: str, before: dict[tuple[str, str], int], now: dict[tuple[str, str], int], kept: int, clustered: bool
) -> list[dict[str, Any]]:
    rows = []
    for property_ in sorted(PROPERTIES):
        values = sorted({value for p, value in before | now if p == property_})
        counts = [np.array([side.get((property_, v), 0) for v in values], np.int64) for side in (before, now)]
        if not all(count.sum() for count in counts):
            continue
        none = np.zeros(len(values), np.int64)
        same = kept == counts[0].sum() == counts[1].sum()
        sets = (none, none, counts[0]) if same else (counts[0], counts[1], none)
        left, right, both = (DomainSample(each, each, each.astype(object)) for each in sets)
        drift = domain_drift(left, right, both, "documents")
        enough = _enough_expected(*counts)
        p = np.where(enough & (not clustered), drift.p, np.nan)  # 1 where shares are equal
        q = benjamini_hochberg(p)
        for i, value in enumerate(values):
            known = bool(np.isfinite(drift.low[i]) and np.isfinite(drift.high[i]))
            rows.append(
                {
                    "baseline": label,
                    "property": property_,
                    "value": value,
                    "share_baseline": float(drift.share_baseline[i]),
                    "share_current": float(drift.share_current[i]),
                    "difference": float(drift.difference[i]),
                    "low": float(drift.low[i]) if known else None,
                    "high": float(drift.high[i]) if known else None,
                    "p": finite(p[i]),
                    "q": finite(q[i]),
                    "p_adjusted": None,
                    "reason": drift.reason or (CLUSTERED if clustered else None if enough[i] else FEW_OF_KIND),
                }
            )
    return rows
