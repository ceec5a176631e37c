"""The merged profile of a snapshot, as published tables of integers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines import count_tables
from corpus_audit.pipelines.count_tables import CountTable
from corpus_audit.pipelines.kernels.hashing import digests
from corpus_audit.pipelines.measures import domains as domains_measure
from corpus_audit.pipelines.measures import duplicates, lengths, neighbours, samples, split_totals, tokens
from corpus_audit.pipelines.partials import PartialReader
from corpus_audit.pipelines.statistics.lengths import bucket_edges
from corpus_audit.schemas import tables

TOP_VALUES = 10_000
"""Values of a facet that are listed; the others make one exact remainder row."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The merged partials of every measure.

    Attributes:
        files: (measure, table) -> partial file that holds the table.
        facets: facet names in the order of their numbers, the primary one first.
        clustered: whether a cluster field is set.
    """

    files: dict[tuple[str, str], Path]
    facets: tuple[str, ...]
    clustered: bool

    def reader(self, measure: str, table: str) -> PartialReader:
        """The partial that holds a table, its digest checked."""
        return PartialReader(self.files[measure, table])

    def domains(self) -> tuple[pa.Table, pa.Table | None]:
        """Tables DOMAINS and, if clusters are not documents, CLUSTER_GROUPS."""
        listing = _Listing.of(self.reader("domains", "values"), self.facets)
        if not self.clustered:
            return listing.table(None), None
        clusters = listing.clusters(self.reader("domains", "clusters"))
        return listing.table(clusters), listing.cluster_groups(self.reader("domains", "groups"))

    def split_totals(self) -> pa.Table | None:
        """Columns facet, value, split, documents, bytes, tokens of a sampled audit."""
        if ("split_totals", "totals") not in self.files:
            return None
        reader = self.reader("split_totals", "totals")
        table = reader.table("totals", split_totals.TOTALS)
        listing = _Listing.of(self.reader("domains", "values"), self.facets)
        rows = listing.find(table)
        _, split = np.unique(table.columns["split"], return_inverse=True)
        return pa.table(
            {
                "facet": listing.facet_names(table.columns["facet"]),
                "value": listing.names(rows),
                "split": split.astype(np.int64),
                "documents": table.columns["documents"],
                "bytes": table.columns["bytes"],
                "tokens": table.columns["tokens"],
            }
        )

    def lengths(self) -> pa.Table:
        """Table LENGTHS."""
        reader = self.reader("lengths", "histogram")
        table = reader.table("histogram", lengths.HISTOGRAM)
        domain, number = count_tables.split_cells(table.columns["cell"])
        unit, bucket = lengths.split_number(number)
        edges = bucket_edges()
        return pa.table(
            {
                "domain": _named(reader.names, domain),
                "unit": _named(lengths.UNITS, unit),
                "low": edges[bucket],
                "high": edges[bucket + 1] - 1,
                "documents": table.columns["documents"],
            },
            schema=tables.LENGTHS,
        )

    def duplicate_hashes(self) -> Iterator[CountTable]:
        """Merged rows of (hash, domain), streamed."""
        return self.reader("duplicates", "hashes").chunks("hashes", duplicates.HASHES)

    def duplicates(self) -> pa.Table:
        """Table DUPLICATES."""
        reader = self.reader("duplicates", "hashes")
        totals = duplicates.DuplicateTotals(len(reader.names))
        for chunk in _whole_keys(reader.chunks("hashes", duplicates.HASHES)):
            totals.add(chunk)

        def column(overall: int, by_domain: np.ndarray) -> np.ndarray:
            return np.concatenate(([overall], by_domain)).astype(np.int64)

        documents = column(int(totals.documents.sum()), totals.documents)
        distinct = column(totals.overall_distinct, totals.distinct)
        token_sums = column(int(totals.tokens.sum()), totals.tokens)
        distinct_tokens = column(totals.overall_distinct_tokens, totals.distinct_tokens)
        return pa.table(
            {
                "domain": pa.array([tables.ALL_DOMAINS, *reader.names], pa.string()),
                "documents": documents,
                "distinct": distinct,
                "duplicate_documents": documents - distinct,
                "across_documents": column(int(totals.across_documents.sum()), totals.across_documents),
                "tokens": token_sums,
                "distinct_tokens": distinct_tokens,
                "duplicate_tokens": token_sums - distinct_tokens,
                "across_tokens": column(int(totals.across_tokens.sum()), totals.across_tokens),
            },
            schema=tables.DUPLICATES,
        )

    def document_hashes(self) -> Iterator[pa.Table]:
        """Table DOCUMENT_HASHES, in pieces."""
        reader = self.reader("duplicates", "hashes")
        for chunk in reader.chunks("hashes", duplicates.HASHES):
            yield pa.table(
                {
                    "hash": hash_column(chunk),
                    "domain": _dictionary(reader.names, chunk.columns["domain"]),
                    "documents": chunk.columns["documents"],
                    "tokens": chunk.columns["tokens"],
                },
                schema=tables.DOCUMENT_HASHES,
            )

    def token_counts(self) -> Iterator[pa.Table]:
        """Table TOKEN_COUNTS, in pieces."""
        reader = self.reader("tokens", "cells")
        for chunk in reader.chunks("cells", tokens.CELLS):
            domain, token = count_tables.split_cells(chunk.columns["cell"])
            columns = chunk.columns
            yield pa.table(
                {
                    "domain": _dictionary(reader.names, domain),
                    "token": token.astype(np.int32),
                    "count": columns["count"],
                    "documents": columns["documents"],
                    "sum_squared": count_tables.wide_to_decimal(columns["squared"], columns["squared_high"]),
                    "sum_product": count_tables.wide_to_decimal(columns["product"], columns["product_high"]),
                },
                schema=tables.TOKEN_COUNTS,
            )

    @property
    def groups_by_domain(self) -> bool:
        """Whether hash groups are kept by domain; overall otherwise."""
        return self.reader("tokens", "overall_groups").rows("overall_groups") == 0

    def token_groups(self) -> Iterator[pa.Table]:
        """Table TOKEN_GROUPS, in pieces."""
        reader = self.reader("tokens", "domain_groups")
        for chunk in reader.chunks("domain_groups", tokens.DOMAIN_GROUPS):
            domain, token = count_tables.split_cells(chunk.columns["cell"])
            yield _token_groups(reader.names, domain, token, chunk)
        for chunk in reader.chunks("overall_groups", tokens.OVERALL_GROUPS):
            token = chunk.columns["token"]
            yield _token_groups((tables.ALL_DOMAINS,), np.zeros(len(chunk), np.int64), token, chunk)

    def token_examples(self) -> Iterator[pa.Table]:
        """Table TOKEN_EXAMPLES, in pieces."""
        reader = self.reader("tokens", "examples")
        for chunk in reader.chunks("examples", tokens.EXAMPLES):
            yield pa.table(
                {
                    "token": chunk.columns["token"].astype(np.int32),
                    "hash": hash_column(chunk),
                    "domain": _dictionary(reader.names, chunk.columns["domain"]),
                    "id": _optional_text(chunk.columns["id"]),
                },
                schema=tables.TOKEN_EXAMPLES,
            )

    def minhash(self) -> Iterator[pa.Table]:
        """Table MINHASH, in pieces."""
        reader = self.reader("neighbours", "signatures")
        for chunk in reader.chunks("signatures", neighbours.SIGNATURES):
            yield pa.table(
                {
                    "hash": hash_column(chunk),
                    "domain": _dictionary(reader.names, chunk.columns["domain"]),
                    "documents": chunk.columns["documents"],
                    "tokens": chunk.columns["tokens"],
                    "signature": chunk.columns["signature"].cast(pa.binary()).cast(pa.binary(512)),
                },
                schema=tables.MINHASH,
            )

    def samples(self) -> Iterator[pa.Table]:
        """Table SAMPLES, in pieces."""
        reader = self.reader("samples", "samples")
        for chunk in reader.chunks("samples", samples.SAMPLES):
            yield pa.table(
                {
                    "domain": _dictionary(reader.names, chunk.columns["domain"]),
                    "hash": hash_column(chunk),
                    "documents": chunk.columns["documents"],
                    "tokens": chunk.columns["tokens"],
                    "excerpt": _optional_text(chunk.columns["excerpt"]),
                    "buckets": _lists(chunk.columns["buckets"], "<i2", pa.int16()),
                    "counts": _lists(chunk.columns["counts"], "<u2", pa.int32()),
                },
                schema=tables.SAMPLES,
            )


def hash_column(table: CountTable) -> pa.Array:
    """binary(16) of the content hashes of a table."""
    raw = digests(table.columns["high"], table.columns["low"])
    return pa.Array.from_buffers(pa.binary(16), len(table), [None, pa.py_buffer(raw.tobytes())])


def _named(names: Sequence[str], positions: np.ndarray) -> pa.Array:
    return pa.array(list(names), pa.string()).take(pa.array(positions))


def _dictionary(names: Sequence[str], positions: np.ndarray) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(positions.astype(np.int32)), pa.array(list(names), pa.string()))


def _optional_text(column: pa.Array) -> pa.Array:
    """Text, null where it is empty."""
    return pc.if_else(pc.equal(pc.binary_length(column), 0), pa.scalar(None, pa.string()), column.cast(pa.string()))


def _lists(column: pa.Array, packed: str, value_type: pa.DataType) -> pa.Array:
    width = np.dtype(packed).itemsize
    offsets = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column) + 1]
    data = column.buffers()[2]
    values = np.frombuffer(data, packed) if data else np.empty(0, packed)
    return pa.ListArray.from_arrays(pa.array((offsets // width).astype(np.int32)), pa.array(values, value_type))


def _token_groups(names: Sequence[str], domain: np.ndarray, token: np.ndarray, chunk: CountTable) -> pa.Table:
    masks = chunk.columns["groups"]
    offsets = np.zeros(len(masks) + 1, np.int32)
    np.cumsum(np.bitwise_count(masks), out=offsets[1:])
    return pa.table(
        {
            "domain": _dictionary(names, domain),
            "token": token.astype(np.int32),
            "groups": masks,
            "counts": pa.ListArray.from_arrays(pa.array(offsets), pa.array(chunk.counts)),
        },
        schema=tables.TOKEN_GROUPS,
    )


def _whole_keys(chunks: Iterator[CountTable]) -> Iterator[CountTable]:
    """The same rows, cut so that all rows of one hash are in one piece."""
    held: CountTable | None = None
    for chunk in chunks:
        if held is not None:
            chunk = count_tables.concatenate([held, chunk])
        high = chunk.columns["high"]
        last = int(np.searchsorted(high, high[-1], side="left"))
        held = chunk.slice(last, len(chunk))
        if last:
            yield chunk.slice(0, last)
    if held is not None:
        yield held


@dataclass(frozen=True, slots=True)
class _Listing:
    """The facet values that are listed, and which row every other value goes to.

    Attributes:
        values: all rows of the domains measure's table, sorted by (high, low, facet).
        row: int64, the listed row of each; rows beyond the values of a facet are its remainder.
    """

    facets: tuple[str, ...]
    values: CountTable
    row: np.ndarray
    facet_of_row: np.ndarray
    name_of_row: pa.Array

    @classmethod
    def of(cls, reader: PartialReader, facets: tuple[str, ...]) -> _Listing:
        values = reader.table("values", domains_measure.VALUES)
        facet = values.columns["facet"].astype(np.int64)
        name = values.columns["value"].cast(pa.string())
        order = pc.sort_indices(
            pa.table({"facet": facet, "tokens": values.columns["tokens"], "value": values.columns["value"]}),
            sort_keys=[("facet", "ascending"), ("tokens", "descending"), ("value", "ascending")],
        ).to_numpy()
        sorted_facet = facet[order]
        rank = np.arange(len(order)) - np.searchsorted(sorted_facet, sorted_facet, side="left")
        listed = rank < TOP_VALUES
        row = np.empty(len(order), np.int64)
        # One row a listed value, one a remainder: number them in (facet, rank) order.
        place = np.minimum(rank, TOP_VALUES) + sorted_facet * (TOP_VALUES + 1)
        unique, numbers = np.unique(place, return_inverse=True)
        row[order] = numbers
        names = np.full(len(unique), tables.OTHER_VALUES, object)
        names[numbers[listed]] = np.array(name.take(pa.array(order[listed])).to_pylist(), object)
        return cls(facets, values, row, unique // (TOP_VALUES + 1), pa.array(names, pa.string()))

    def find(self, table: CountTable) -> np.ndarray:
        """The listed row of every (high, low, facet) of another table."""
        mine, wanted = self.values.columns, table.columns
        place = np.asarray(np.searchsorted(mine["high"], wanted["high"], side="left"))
        while True:  # at most once a facet: only they can share a value's hash
            wrong = (mine["low"][place] != wanted["low"]) | (mine["facet"][place] != wanted["facet"])
            if not wrong.any():
                rows: np.ndarray = self.row[place]
                return rows
            place[wrong] += 1

    def names(self, rows: np.ndarray) -> pa.Array:
        """Values of listed rows."""
        return self.name_of_row.take(pa.array(rows))

    def facet_names(self, positions: np.ndarray) -> pa.Array:
        """Names of facets."""
        return _named(self.facets, positions.astype(np.int64))

    def table(self, clusters: np.ndarray | None) -> pa.Table:
        """Table DOMAINS; documents are the clusters if none are given."""
        size = len(self.facet_of_row)

        def total(name: str) -> np.ndarray:
            return domains_measure.exact_bincount(self.row, self.values.columns[name], size)

        def wide(name: str) -> pa.Array:
            low, high = total(name), total(f"{name}_high")
            base = count_tables.LOW_BITS
            return count_tables.wide_to_decimal(low & (2**base - 1), high + (low >> base))

        table = pa.table(
            {
                "facet": self.facet_names(self.facet_of_row),
                "value": self.name_of_row,
                "documents": total("documents"),
                "clusters": total("documents") if clusters is None else clusters,
                "bytes": total("bytes"),
                "characters": total("characters"),
                "words": total("words"),
                "tokens": total("tokens"),
                "sum_bytes_squared": wide("bytes_squared"),
                "sum_tokens_squared": wide("tokens_squared"),
            },
            schema=tables.DOMAINS,
        )
        by_facet_name = np.argsort(np.array(self.facets, object)[self.facet_of_row], kind="stable")
        return table.take(pa.array(by_facet_name))

    def clusters(self, reader: PartialReader) -> np.ndarray:
        """Distinct clusters of every listed row, int64; a remainder's are counted once across its values."""
        counts = np.zeros(len(self.facet_of_row), np.int64)
        held: tuple[np.ndarray, ...] | None = None
        for chunk in reader.chunks("clusters", domains_measure.CLUSTERS):
            columns: tuple[np.ndarray, ...] = (
                chunk.columns["cluster_high"],
                chunk.columns["cluster_low"],
                self.find(chunk),
            )
            if held is not None:
                columns = tuple(np.concatenate(pair) for pair in zip(held, columns, strict=True))
            last = int(np.searchsorted(columns[0], columns[0][-1], side="left"))
            held = tuple(column[last:] for column in columns)
            _count_distinct(tuple(column[:last] for column in columns), counts)
        if held is not None:
            _count_distinct(held, counts)
        return counts

    def cluster_groups(self, reader: PartialReader) -> pa.Table:
        """Table CLUSTER_GROUPS."""
        sums: list[tuple[np.ndarray, ...]] = []
        for chunk in reader.chunks("groups", domains_measure.GROUPS):
            cell = self.find(chunk) * domains_measure.CLUSTER_GROUPS + chunk.columns["group"].astype(np.int64)
            sums.append((cell, *(chunk.columns[name] for name in ("documents", "bytes", "tokens"))))
        cell, *weights = (
            (np.concatenate(parts) for parts in zip(*sums, strict=True)) if sums else ([np.empty(0, np.int64)] * 4)
        )
        unique, place = np.unique(cell, return_inverse=True)
        rows = unique // domains_measure.CLUSTER_GROUPS
        totals = [domains_measure.exact_bincount(place, weight, len(unique)) for weight in weights]
        table = pa.table(
            {
                "facet": self.facet_names(self.facet_of_row[rows]),
                "value": self.names(rows),
                "group": (unique % domains_measure.CLUSTER_GROUPS).astype(np.int32),
                "documents": totals[0],
                "bytes": totals[1],
                "tokens": totals[2],
            },
            schema=tables.CLUSTER_GROUPS,
        )
        return table.sort_by([("facet", "ascending"), ("value", "ascending"), ("group", "ascending")])


def _count_distinct(columns: tuple[np.ndarray, ...], counts: np.ndarray) -> None:
    """Add 1 to a row for every distinct (cluster, row)."""
    high, low, row = columns
    if not len(row):
        return
    order = np.lexsort((row, low, high))
    high, low, row = high[order], low[order], row[order]
    new = np.ones(len(row), bool)
    new[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1]) | (row[1:] != row[:-1])
    np.add.at(counts, row[new], 1)
