"""Totals by facet value: documents, clusters, bytes, characters, words and tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.kernels.text.hashing import hash_documents
from corpus_audit.pipelines.measures.base import Block, Measure, domain_settings, facet_settings
from corpus_audit.pipelines.storage import count_tables, merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.schemas.spec.audit import AuditSpec

CLUSTER_HASH_GROUPS = 1024
"""Hash groups of the cluster key, the random groups of the variance estimator."""

VALUES = TableSpec(
    (
        ("high", ColumnKind.KEY),
        ("low", ColumnKind.KEY),
        ("facet", ColumnKind.KEY),
        ("value", ColumnKind.BYTES),
        ("documents", ColumnKind.SUM),
        ("alone", ColumnKind.SUM),
        ("bytes", ColumnKind.SUM),
        ("characters", ColumnKind.SUM),
        ("words", ColumnKind.SUM),
        ("tokens", ColumnKind.SUM),
        ("bytes_squared", ColumnKind.SUM),
        ("bytes_squared_high", ColumnKind.WIDE_HIGH),
        ("tokens_squared", ColumnKind.SUM),
        ("tokens_squared_high", ColumnKind.WIDE_HIGH),
    )
)
"""``alone`` are documents without a cluster value, where a cluster field is set: each is a cluster of its own."""

GROUPS = TableSpec(
    (
        ("high", ColumnKind.KEY),
        ("low", ColumnKind.KEY),
        ("facet", ColumnKind.KEY),
        ("group", ColumnKind.KEY),
        ("documents", ColumnKind.SUM),
        ("bytes", ColumnKind.SUM),
        ("tokens", ColumnKind.SUM),
    )
)
CLUSTERS = TableSpec(
    (
        ("cluster_high", ColumnKind.KEY),
        ("cluster_low", ColumnKind.KEY),
        ("high", ColumnKind.KEY),
        ("low", ColumnKind.KEY),
        ("facet", ColumnKind.KEY),
        ("documents", ColumnKind.SUM),
    )
)


class Domains(Measure):
    """Totals by facet value, keyed by the value's hash so that millions of hosts stay exact and stream.

    With a cluster field, also the totals by 1,024 hash groups of the cluster key (of the content for documents without
    one, which are clusters by themselves) and every distinct pair of value and cluster key; sums of squares over
    clusters would not add up over splits, group totals do.
    """

    name = "domains"
    version = 2

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """Every facet and the cluster."""
        facets = {name: facet_settings(source) for name, source in spec.document.facets.items()}
        return domain_settings(spec.document) | {"facets": facets}

    def tables(self) -> dict[str, TableSpec]:
        """Totals by (facet, value); by cluster group too; distinct clusters."""
        return {"values": VALUES, "groups": GROUPS, "clusters": CLUSTERS}

    def count(self, block: Block) -> Partial:
        """Count one block, facet by facet."""
        values, groups, clusters = [], [], []
        for position, name in enumerate(facet_order(block.facets)):
            column = block.facets[name]
            high, low = value_hashes(column.values)
            facet = np.full(len(high), position, np.uint64)
            values.append(_values(block, column.codes, high, low, facet, column.values))
            if block.clusters is not None and block.alone is not None:
                keyed = np.flatnonzero(~block.alone)
                groups.append(_groups(block, block.clusters[0], high, low, position, column.codes))
                clusters.append(
                    CountTable(
                        CLUSTERS,
                        {
                            "cluster_high": block.clusters[0][keyed],
                            "cluster_low": block.clusters[1][keyed],
                            "high": high[column.codes[keyed]],
                            "low": low[column.codes[keyed]],
                            "facet": np.full(len(keyed), position, np.uint64),
                            "documents": np.ones(len(keyed), np.int64),
                        },
                    )
                )
        return Partial(
            (),
            {
                "values": merging.merge(values),
                "groups": merging.merge(groups) if groups else count_tables.empty(GROUPS),
                "clusters": merging.merge(clusters) if clusters else count_tables.empty(CLUSTERS),
            },
        )


def facet_order(facets: Any) -> list[str]:
    """Facet names in the order of their numbers: the primary one first, the others by name."""
    return sorted(facets, key=lambda name: (name != "domain", name))


def value_hashes(values: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """BLAKE2b-128 of facet values, as (high, low)."""
    if len(values) == 0:
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    offsets = np.frombuffer(values.buffers()[1], np.int64)[values.offset : values.offset + len(values) + 1]
    data = values.buffers()[2]
    return hash_documents(np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8), offsets)


def _values(
    block: Block,
    codes: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    facet: np.ndarray,
    values: pa.LargeStringArray,
) -> CountTable:
    size = len(high)

    def total(weights: np.ndarray) -> np.ndarray:
        return exact_bincount(codes, weights, size)

    # Squares of lengths below 2^32 add up within int64 for any block; wide() splits what merging then adds.
    bytes_squared, bytes_squared_high = count_tables.wide(total(block.bytes * block.bytes))
    tokens_squared, tokens_squared_high = count_tables.wide(total(block.tokens * block.tokens))
    return CountTable(
        VALUES,
        {
            "high": high,
            "low": low,
            "facet": facet,
            "value": values.cast(pa.large_binary()),
            "documents": np.bincount(codes, minlength=size).astype(np.int64),
            "alone": np.bincount(codes if block.alone is None else codes[block.alone], minlength=size).astype(np.int64)
            * (block.alone is not None),
            "bytes": total(block.bytes),
            "characters": total(block.characters),
            "words": total(block.words),
            "tokens": total(block.tokens),
            "bytes_squared": bytes_squared,
            "bytes_squared_high": bytes_squared_high,
            "tokens_squared": tokens_squared,
            "tokens_squared_high": tokens_squared_high,
        },
    )


def _groups(
    block: Block, cluster_high: np.ndarray, high: np.ndarray, low: np.ndarray, facet: int, codes: np.ndarray
) -> CountTable:
    return CountTable(
        GROUPS,
        {
            "high": high[codes],
            "low": low[codes],
            "facet": np.full(len(block), facet, np.uint64),
            "group": cluster_group(cluster_high),
            "documents": np.ones(len(block), np.int64),
            "bytes": block.bytes,
            "tokens": block.tokens,
        },
    )


def cluster_group(high: np.ndarray) -> np.ndarray:
    """uint64 [D] in [0, 1024): the first two bytes of the cluster hash, little-endian, modulo 1,024."""
    first, second = (high >> np.uint64(56)) & np.uint64(255), (high >> np.uint64(48)) & np.uint64(255)
    return (first | (second << np.uint64(8))) & np.uint64(CLUSTER_HASH_GROUPS - 1)


def exact_bincount(codes: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    """Integer sums of ``weights`` by code, int64 [size] (np.bincount would add floats)."""
    sums = np.zeros(size, np.int64)
    np.add.at(sums, codes, weights)
    return sums
