"""Writes the tables of an image corpus into a staged run, and computes their metrics."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from corpus_audit.pipelines.image_figures.benchmark_copies import benchmark_metrics, benchmark_tables
from corpus_audit.pipelines.image_figures.integer_tables import Reader
from corpus_audit.pipelines.image_figures.metrics import image_metrics
from corpus_audit.pipelines.image_figures.tables import image_tables
from corpus_audit.pipelines.images.decoding import ImageLimits
from corpus_audit.pipelines.images.near_duplicates import TooManyPairs
from corpus_audit.pipelines.storage.run_directory import StagedRun
from corpus_audit.schemas.errors import NoVerdictError
from corpus_audit.schemas.spec.audit import AuditSpec

JUDGED = (
    "image_totals",
    "image_shares",
    "image_size_quantiles",
    "image_kinds",
    "image_duplicates",
    "image_near_duplicates",
)
"""Tables that `image_metrics` is computed from."""


def write_image_tables(staged: StagedRun, reader: Reader, spec: AuditSpec) -> pa.Table:
    """Write all tables of `schemas.tables.image_tables` but those of drift; returns rows of METRICS."""
    sampled = spec.sample is not None and spec.sample.share < 1
    tables = image_tables(
        reader, clustered=spec.document.cluster is not None, thumbnails=spec.excerpts, sampled=sampled
    )
    for name, pieces in tables.items():
        staged.add_table(name, pieces)
    return image_metrics({name: staged.table(name) for name in JUDGED}, sampled)


def write_image_benchmarks(staged: StagedRun, spec: AuditSpec, base: Path) -> pa.Table:
    """Search the run's pictures for the images of ``images.benchmarks``; write the tables, return rows of METRICS.

    Raises:
        UsageError: a benchmark has no image that can be decoded.
        NoVerdictError: so many pairs are near that they are not listed.
    """
    limits = spec.image_limits
    folders = [(benchmark.name, base / benchmark.path) for benchmark in limits.benchmarks]
    bounds = ImageLimits(limits.max_bytes, limits.max_pixels, limits.max_frames)
    try:
        tables = benchmark_tables(staged.table("image_pictures"), folders, bounds)
    except TooManyPairs as error:
        raise NoVerdictError(f"images.benchmarks: {error}") from error
    for name, table in tables.items():
        staged.add_table(name, [table])
    return benchmark_metrics(tables)
