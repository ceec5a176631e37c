"""The merged profile of a snapshot, as published tables of integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.counting.facet_listing import FacetListing
from corpus_audit.pipelines.counting.table_columns import (
    dictionary_column,
    hash_column,
    list_column,
    names_at,
    optional_text,
)
from corpus_audit.pipelines.measures import (
    document_sample,
    domains,
    duplicates,
    identities,
    lengths,
    minhash_sample,
    samples,
    split_totals,
    tokens,
)
from corpus_audit.pipelines.measures.base import Measure
from corpus_audit.pipelines.statistics.intervals.lengths import bucket_edges
from corpus_audit.pipelines.storage import count_tables
from corpus_audit.pipelines.storage.count_tables import CountTable
from corpus_audit.pipelines.storage.partials import Partial, PartialReader
from corpus_audit.schemas.tables import document_tables, run_tables


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

    def merged_partial(self, measure: Measure) -> Partial:
        """The merged partial of a measure, in memory: for measures with small tables."""
        readers = {name: self.reader(measure.name, name) for name in measure.tables()}
        first = next(iter(readers.values()))
        tables = {name: readers[name].table(name, spec) for name, spec in measure.tables().items()}
        return Partial(first.names, tables, first.facts)

    def domains(self) -> tuple[pa.Table, pa.Table | None]:
        """Tables DOMAINS and, if clusters are not documents, CLUSTER_GROUPS."""
        listing = FacetListing.of(self.reader("domains", "values"), self.facets)
        if not self.clustered:
            return listing.table(None), None
        clusters = listing.clusters(self.reader("domains", "clusters"))
        return listing.table(clusters), listing.cluster_groups(self.reader("domains", "groups"))

    def documents_without_cluster(self) -> int:
        """Documents that have no cluster value, each of which is a cluster; 0 where no cluster field is set."""
        chunks = self.reader("domains", "values").chunks("values", domains.VALUES)
        primary = ((chunk.columns["facet"] == 0, chunk.columns["alone"]) for chunk in chunks)
        return sum(int(alone[is_primary].sum()) for is_primary, alone in primary)

    def split_totals(self) -> pa.Table | None:
        """Columns facet, value, split, documents, bytes, tokens of a sampled audit."""
        if ("split_totals", "totals") not in self.files:
            return None
        reader = self.reader("split_totals", "totals")
        table = reader.table("totals", split_totals.TOTALS)
        listing = FacetListing.of(self.reader("domains", "values"), self.facets)
        rows = listing.rows_of(table)
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
                "domain": names_at(reader.names, domain),
                "unit": names_at(lengths.UNITS, unit),
                "low": edges[bucket],
                "high": edges[bucket + 1] - 1,
                "documents": table.columns["documents"],
            },
            schema=run_tables.LENGTHS,
        )

    def duplicate_hashes(self) -> Iterator[CountTable]:
        """Merged rows of (hash, domain), streamed."""
        return self.reader("duplicates", "hashes").chunks("hashes", duplicates.HASHES)

    def duplicates(self) -> pa.Table:
        """Table DUPLICATES."""
        reader = self.reader("duplicates", "hashes")
        totals = duplicates.DuplicateTotals(len(reader.names))
        for chunk in _cut_between_keys(reader.chunks("hashes", duplicates.HASHES)):
            totals.add(chunk)

        def column(overall: int, by_domain: np.ndarray) -> np.ndarray:
            return np.concatenate(([overall], by_domain)).astype(np.int64)

        documents = column(int(totals.documents.sum()), totals.documents)
        distinct = column(totals.overall_distinct, totals.distinct)
        token_sums = column(int(totals.tokens.sum()), totals.tokens)
        distinct_tokens = column(totals.overall_distinct_tokens, totals.distinct_tokens)
        return pa.table(
            {
                "domain": pa.array([run_tables.ALL_DOMAINS, *reader.names], pa.string()),
                "documents": documents,
                "distinct": distinct,
                "duplicate_documents": documents - distinct,
                "across_documents": column(int(totals.across_documents.sum()), totals.across_documents),
                "tokens": token_sums,
                "distinct_tokens": distinct_tokens,
                "duplicate_tokens": token_sums - distinct_tokens,
                "across_tokens": column(int(totals.across_tokens.sum()), totals.across_tokens),
            },
            schema=run_tables.DUPLICATES,
        )

    def document_hashes(self) -> Iterator[pa.Table]:
        """Table DOCUMENT_HASHES, in pieces."""
        reader = self.reader("duplicates", "hashes")
        for chunk in reader.chunks("hashes", duplicates.HASHES):
            yield pa.table(
                {
                    "hash": hash_column(chunk),
                    "domain": dictionary_column(reader.names, chunk.columns["domain"]),
                    "documents": chunk.columns["documents"],
                    "tokens": chunk.columns["tokens"],
                },
                schema=document_tables.DOCUMENT_HASHES,
            )

    def document_identities(self) -> Iterator[pa.Table]:
        """Table DOCUMENT_IDENTITIES, in pieces."""
        reader = self.reader("identities", "identities")
        for chunk in reader.chunks("identities", identities.IDENTITIES):
            identity = chunk.columns["identity"]
            yield pa.table(
                {
                    "hash": hash_column(chunk),
                    "identity": pa.array(identity, mask=identity == identities.NO_ID),
                    "domain": dictionary_column(reader.names, chunk.columns["domain"]),
                    "documents": chunk.columns["documents"],
                    "tokens": chunk.columns["tokens"],
                    "sketch": chunk.columns["sketch"].cast(pa.binary()).cast(pa.binary(64)),
                    "id": optional_text(chunk.columns["id"]),
                },
                schema=document_tables.DOCUMENT_IDENTITIES,
            )

    def token_counts(self, measure: str = "tokens") -> Iterator[pa.Table]:
        """Table TOKEN_COUNTS, in pieces; of a measure that counts as `Tokens` does."""
        reader = self.reader(measure, "cells")
        for chunk in reader.chunks("cells", tokens.CELLS):
            domain, token = count_tables.split_cells(chunk.columns["cell"])
            columns = chunk.columns
            yield pa.table(
                {
                    "domain": dictionary_column(reader.names, domain),
                    "token": token.astype(np.int32),
                    "count": columns["count"],
                    "documents": columns["documents"],
                    "sum_squared": count_tables.wide_to_decimal(columns["squared"], columns["squared_high"]),
                    "sum_product": count_tables.wide_to_decimal(columns["product"], columns["product_high"]),
                },
                schema=run_tables.TOKEN_COUNTS,
            )

    @property
    def groups_by_domain(self) -> bool:
        """Whether hash groups are kept by domain; overall otherwise."""
        return self.reader("tokens", "overall_groups").rows("overall_groups") == 0

    def token_groups(self, measure: str = "tokens") -> Iterator[pa.Table]:
        """Table TOKEN_GROUPS, in pieces; of a measure that counts as `Tokens` does."""
        reader = self.reader(measure, "domain_groups")
        for chunk in reader.chunks("domain_groups", tokens.DOMAIN_GROUPS):
            domain, token = count_tables.split_cells(chunk.columns["cell"])
            yield _token_groups(reader.names, domain, token, chunk)
        for chunk in reader.chunks("overall_groups", tokens.OVERALL_GROUPS):
            token = chunk.columns["token"]
            yield _token_groups((run_tables.ALL_DOMAINS,), np.zeros(len(chunk), np.int64), token, chunk)

    def shared_token_counts(self, baselines: Mapping[str, str]) -> Iterator[pa.Table]:
        """Table SHARED_TOKEN_COUNTS, in pieces; ``baselines`` are digests of baselines and the measures' names."""
        for digest in sorted(baselines):
            for piece in self.token_counts(baselines[digest]):
                yield _with_baseline(piece, digest, run_tables.SHARED_TOKEN_COUNTS)

    def shared_token_groups(self, baselines: Mapping[str, str]) -> Iterator[pa.Table]:
        """Table SHARED_TOKEN_GROUPS, in pieces; ``baselines`` as for `shared_token_counts`."""
        for digest in sorted(baselines):
            for piece in self.token_groups(baselines[digest]):
                yield _with_baseline(piece, digest, run_tables.SHARED_TOKEN_GROUPS)

    def document_sample(self) -> Iterator[pa.Table]:
        """Table DOCUMENT_SAMPLE, in pieces; nothing where the audit keeps no text."""
        if ("document_sample", "documents") not in self.files:
            return
        reader = self.reader("document_sample", "documents")
        for chunk in reader.chunks("documents", document_sample.DOCUMENTS):
            identity, tokens, ids = (chunk.columns[name] for name in ("identity", "tokens", "ids"))
            left_out = pc.and_(pc.equal(pc.binary_length(ids), 0), pc.greater(pa.array(tokens), 0))
            yield pa.table(
                {
                    "domain": dictionary_column(reader.names, chunk.columns["domain"]),
                    "key": chunk.columns["key"],
                    "hash": hash_column(chunk),
                    "identity": pa.array(identity, mask=identity == identities.NO_ID),
                    "documents": chunk.columns["documents"],
                    "tokens": tokens,
                    "token_ids": pc.if_else(left_out, pa.scalar(None, pa.binary()), ids.cast(pa.binary())),
                },
                schema=document_tables.DOCUMENT_SAMPLE,
            )

    def token_examples(self, texts: Callable[[np.ndarray], pa.Array]) -> Iterator[pa.Table]:
        """Table TOKEN_EXAMPLES, in pieces; ``texts`` gives what token ids decode to."""
        reader = self.reader("tokens", "examples")
        for chunk in reader.chunks("examples", tokens.EXAMPLES):
            token = chunk.columns["token"].astype(np.int32)
            yield pa.table(
                {
                    "token": token,
                    "hash": hash_column(chunk),
                    "domain": dictionary_column(reader.names, chunk.columns["domain"]),
                    "id": optional_text(chunk.columns["id"]),
                    "text": texts(token),
                },
                schema=run_tables.TOKEN_EXAMPLES,
            )

    def minhash(self) -> Iterator[pa.Table]:
        """Table MINHASH, in pieces."""
        reader = self.reader("neighbours", "signatures")
        for chunk in reader.chunks("signatures", minhash_sample.SIGNATURES):
            yield pa.table(
                {
                    "hash": hash_column(chunk),
                    "domain": dictionary_column(reader.names, chunk.columns["domain"]),
                    "documents": chunk.columns["documents"],
                    "tokens": chunk.columns["tokens"],
                    "signature": chunk.columns["signature"].cast(pa.binary()).cast(pa.binary(512)),
                },
                schema=document_tables.MINHASH,
            )

    def samples(self) -> Iterator[pa.Table]:
        """Table SAMPLES, in pieces."""
        reader = self.reader("samples", "samples")
        for chunk in reader.chunks("samples", samples.SAMPLES):
            yield pa.table(
                {
                    "domain": dictionary_column(reader.names, chunk.columns["domain"]),
                    "hash": hash_column(chunk),
                    "documents": chunk.columns["documents"],
                    "tokens": chunk.columns["tokens"],
                    "excerpt": optional_text(chunk.columns["excerpt"]),
                    "buckets": list_column(chunk.columns["buckets"], "<i2", pa.int16()),
                    "counts": list_column(chunk.columns["counts"], "<u2", pa.int32()),
                },
                schema=document_tables.SAMPLES,
            )


def _with_baseline(piece: pa.Table, digest: str, schema: pa.Schema) -> pa.Table:
    column = dictionary_column((digest,), np.zeros(len(piece), np.int64))
    return pa.table({"baseline": column, **{name: piece[name] for name in piece.column_names}}, schema=schema)


def _token_groups(names: Sequence[str], domain: np.ndarray, token: np.ndarray, chunk: CountTable) -> pa.Table:
    masks = chunk.columns["groups"]
    offsets = np.zeros(len(masks) + 1, np.int32)
    np.cumsum(np.bitwise_count(masks), out=offsets[1:])
    return pa.table(
        {
            "domain": dictionary_column(names, domain),
            "token": token.astype(np.int32),
            "groups": masks,
            "counts": pa.ListArray.from_arrays(pa.array(offsets), pa.array(chunk.counts)),
        },
        schema=run_tables.TOKEN_GROUPS,
    )


def _cut_between_keys(chunks: Iterator[CountTable]) -> Iterator[CountTable]:
    """The same rows in pieces that never divide the rows of one hash."""
    pending: CountTable | None = None
    for chunk in chunks:
        if pending is not None:
            chunk = count_tables.concatenate([pending, chunk])
        # Rows of the last hash may go on in the next chunk.
        high = chunk.columns["high"]
        last = int(np.searchsorted(high, high[-1], side="left"))
        pending = chunk.slice(last, len(chunk))
        if last:
            yield chunk.slice(0, last)
    if pending is not None:
        yield pending
