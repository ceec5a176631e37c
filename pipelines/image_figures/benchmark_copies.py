"""Benchmark images in a corpus: exact copies and near duplicates among a run's pictures, and the search's check.

The table has every distinct picture, so that no image is read again, and a finished run can be searched as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.figures.metric_rows import metric_rows
from corpus_audit.pipelines.image_measures.copies import rows_from_bytes
from corpus_audit.pipelines.images import near_duplicates
from corpus_audit.pipelines.images.benchmarks import BenchmarkImages, planted_copies, read_benchmark
from corpus_audit.pipelines.images.decoding import ImageLimits
from corpus_audit.pipelines.images.perceptual import FLAT_VARIANCE, PATCH_BYTES, hamming, patch_distances
from corpus_audit.pipelines.images.properties import ImageProperties
from corpus_audit.pipelines.statistics.intervals.proportions import clopper_pearson
from corpus_audit.schemas.tables import image_tables
from corpus_audit.schemas.tables.metric_declarations import MetricDeclaration

DECLARATIONS = (
    MetricDeclaration(
        "image_contamination_share",
        "share of a benchmark's images of which the corpus holds a copy or a near duplicate",
        "share",
        "whole benchmarks",
        "interval",
        "fact",
    ),
    MetricDeclaration(
        "image_canary_recall",
        "share of planted copies of benchmark images, of one kind, that the search finds",
        "share",
        "image copies",
        "interval",
        "fact",
    ),
)
"""Every metric of this module."""


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """What a search compares of N pictures.

    Attributes:
        hashes: uint64 [N, 2], of shape, mode and pixels.
        phash: uint64 [N]; flat: bool [N]; patches: uint8 [N, 192].
    """

    hashes: np.ndarray
    phash: np.ndarray
    flat: np.ndarray
    patches: np.ndarray

    @classmethod
    def of_table(cls, pictures: pa.Table) -> Pictures:
        """Of IMAGE_PICTURES."""
        hashes = rows_from_bytes(pictures["hash"], 16)
        flat = pictures["variance"].to_numpy() < FLAT_VARIANCE
        patches = rows_from_bytes(pictures["patch"], PATCH_BYTES)
        return cls(hashes.view(">u8").astype(np.uint64), pictures["phash"].to_numpy(), flat, patches)

    @classmethod
    def of_images(cls, images: ImageProperties) -> Pictures:
        """Of images."""
        hashes = np.stack([images.pixel_high, images.pixel_low], axis=1)
        return cls(hashes, images.phash, images.flat, images.patches)


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """P pairs of an item and a picture, by position, sorted: int64 [P] each; exact: bool [P]."""

    item: np.ndarray
    picture: np.ndarray
    exact: np.ndarray
    bits: np.ndarray
    distance: np.ndarray


def matches(items: Pictures, pictures: Pictures) -> Matches:
    """All pairs of equal pixels, and of pictures that are not flat, all near ones (see `images.near_duplicates`).

    Raises:
        TooManyPairs: when there are too many pairs to list.
    """
    same = [
        (i, p)
        for i, p in _equal(items.hashes[:, 0], pictures.hashes[:, 0])
        if items.hashes[i, 1] == pictures.hashes[p, 1]
    ]
    left, right = np.flatnonzero(~items.flat), np.flatnonzero(~pictures.flat)
    first, second = near_duplicates.close_between(items.phash[left], pictures.phash[right])
    first, second = left[first], right[second]
    near = patch_distances(items.patches[first], pictures.patches[second]) <= near_duplicates.PATCH_THRESHOLD
    pairs = np.concatenate([np.array(same, np.int64).reshape(-1, 2), np.stack([first[near], second[near]], axis=1)])
    pairs = np.unique(pairs, axis=0)
    item, picture = pairs[:, 0], pairs[:, 1]
    return Matches(
        item,
        picture,
        (items.hashes[item] == pictures.hashes[picture]).all(axis=1),
        hamming(items.phash[item], pictures.phash[picture]).astype(np.int64),
        patch_distances(items.patches[item], pictures.patches[picture]),
    )


def _equal(left: np.ndarray, right: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of positions of equal numbers."""
    order = np.argsort(right, kind="stable")
    start = np.searchsorted(right[order], left, side="left")
    stop = np.searchsorted(right[order], left, side="right")
    return [(i, int(order[at])) for i in np.flatnonzero(stop > start).tolist() for at in range(start[i], stop[i])]


def benchmark_tables(
    pictures: pa.Table, benchmarks: Sequence[tuple[str, Path]], limits: ImageLimits
) -> dict[str, pa.Table]:
    """Tables IMAGE_BENCHMARKS, IMAGE_BENCHMARK_MATCHES and IMAGE_BENCHMARK_CHECK.

    Args:
        pictures: IMAGE_PICTURES of the corpus.
        benchmarks: names and folders.
        limits: of images.

    Raises:
        UsageError: a benchmark has no image that can be decoded.
        TooManyPairs: when there are too many pairs to list.
    """
    corpus = Pictures.of_table(pictures)
    rows: dict[str, list[dict[str, Any]]] = {"image_benchmarks": [], "image_benchmark_matches": []}
    checks: list[dict[str, Any]] = []
    for name, folder in sorted(benchmarks):
        benchmark = read_benchmark(name, folder, limits)
        items = Pictures.of_images(benchmark.images)
        matched = matches(items, corpus)
        rows["image_benchmarks"].append(_summary(benchmark, matched))
        rows["image_benchmark_matches"] += _listed(benchmark, matched, pictures)
        for kind, of, copies in planted_copies(benchmark, folder, limits):
            back = matches(items, Pictures.of_images(copies))
            hit = np.zeros(len(of), bool)
            hit[back.picture[back.item == of[back.picture]]] = True
            checks.append(
                {
                    "benchmark": name,
                    "copy": kind.name,
                    "about": kind.about,
                    "required": kind.required,
                    "planted": len(of),
                    "found": int(hit.sum()),
                }
            )
    checks.sort(key=lambda row: (row["benchmark"], row["copy"]))
    tables = {**rows, "image_benchmark_check": checks}
    return {name: pa.Table.from_pylist(each, image_tables.IMAGE_TABLES[name]) for name, each in tables.items()}


def benchmark_metrics(tables: dict[str, pa.Table]) -> pa.Table:
    """Rows of METRICS, of the tables of `benchmark_tables`."""
    parts = []
    for row in tables["image_benchmarks"].to_pylist():
        slices = [f"benchmark={row['benchmark']}"]
        value, low, high, n = ([row[name]] for name in ("share", "low", "high", "items"))
        parts.append(metric_rows("image_contamination_share", slices, value, n, low, high, "share"))
    for row in tables["image_benchmark_check"].to_pylist():
        slices = [f"copy={row['copy']},benchmark={row['benchmark']}"]
        share = row["found"] / row["planted"] if row["planted"] else np.nan
        low_, high_ = clopper_pearson([share], [max(row["planted"], 1)])
        absent = "every item of the benchmark is of nearly one grey"
        parts.append(
            metric_rows("image_canary_recall", slices, [share], [row["planted"]], low_, high_, "share", absent)
        )
    return pa.concat_tables(parts).sort_by([("metric", "ascending"), ("slice", "ascending")]).combine_chunks()


def _summary(benchmark: BenchmarkImages, matched: Matches) -> dict[str, Any]:
    items = len(benchmark.items)
    exact = np.unique(matched.item[matched.exact])
    near = np.setdiff1d(matched.item, exact)
    share = (len(exact) + len(near)) / items
    low, high = clopper_pearson([share], [items])
    return {
        "benchmark": benchmark.name,
        "items": items,
        "refused": len(benchmark.refused),
        "flat": int(benchmark.images.flat.sum()),
        "exact": len(exact),
        "near": len(near),
        "share": share,
        "low": float(low[0]),
        "high": float(high[0]),
    }


def _listed(benchmark: BenchmarkImages, matched: Matches, pictures: pa.Table) -> list[dict[str, Any]]:
    shown = pictures.select(["hash", "domain", "images"]).take(matched.picture).to_pylist()
    rows = [
        {
            "benchmark": benchmark.name,
            "item": benchmark.items[item],
            "match": "exact" if exact else "near",
            "domain": picture["domain"],
            "hash": picture["hash"],
            "images": picture["images"],
            "bits": bits,
            "distance": distance,
        }
        for item, exact, bits, distance, picture in zip(
            *(column.tolist() for column in (matched.item, matched.exact, matched.bits, matched.distance)),
            shown,
            strict=True,
        )
    ]
    rows.sort(key=lambda row: (row["item"], row["match"], row["domain"].encode(), row["hash"]))
    return rows
