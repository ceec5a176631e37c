"""Values of facets as they are listed: the most frequent ones, and one exact remainder row a facet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.counting.table_columns import names_at
from corpus_audit.pipelines.measures import domains as domains_measure
from corpus_audit.pipelines.storage import count_tables
from corpus_audit.pipelines.storage.count_tables import CountTable
from corpus_audit.pipelines.storage.partials import PartialReader
from corpus_audit.schemas.tables import run_tables

TOP_VALUES = 10_000
"""Values of a facet that are listed; the others make one exact remainder row."""


@dataclass(frozen=True, slots=True)
class FacetListing:
    """The facet values that are listed, and which row every other value goes to.

    Attributes:
        values: all rows of the domains measure's table, sorted by (high, low, facet).
        row: int64, the listed row of each value; the last row of a facet may be its remainder.
        facet_of_row: int64, the number of each listed row's facet.
        name_of_row: the value of each listed row, `run_tables.OTHER_VALUES` for a remainder.
    """

    facets: tuple[str, ...]
    values: CountTable
    row: np.ndarray
    facet_of_row: np.ndarray
    name_of_row: pa.Array

    @classmethod
    def of(cls, reader: PartialReader, facets: tuple[str, ...]) -> FacetListing:
        """From the merged partial of the domains measure."""
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
        # All values of a facet beyond `TOP_VALUES` share a slot, so that they are numbered as one row.
        slot = np.minimum(rank, TOP_VALUES) + sorted_facet * (TOP_VALUES + 1)
        unique, numbers = np.unique(slot, return_inverse=True)
        row[order] = numbers
        names = np.full(len(unique), run_tables.OTHER_VALUES, object)
        names[numbers[listed]] = np.array(name.take(pa.array(order[listed])).to_pylist(), object)
        return cls(facets, values, row, unique // (TOP_VALUES + 1), pa.array(names, pa.string()))

    def rows_of(self, table: CountTable) -> np.ndarray:
        """The listed row of every (high, low, facet) of another table."""
        own, wanted = self.values.columns, table.columns
        index = np.asarray(np.searchsorted(own["high"], wanted["high"], side="left"))
        while True:  # repeats at most once a facet: rows with equal (high, low) differ in the facet
            differs = (own["low"][index] != wanted["low"]) | (own["facet"][index] != wanted["facet"])
            if not differs.any():
                rows: np.ndarray = self.row[index]
                return rows
            index[differs] += 1

    def names(self, rows: np.ndarray) -> pa.Array:
        """Values of the listed ``rows``, as strings."""
        return self.name_of_row.take(pa.array(rows))

    def facet_names(self, positions: np.ndarray) -> pa.Array:
        """Names of the facets with these numbers."""
        return names_at(self.facets, positions.astype(np.int64))

    def table(self, clusters: np.ndarray | None) -> pa.Table:
        """Table DOMAINS; ``clusters`` is int64, one a listed row, None if every document is a cluster."""
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
            schema=run_tables.DOMAINS,
        )
        by_facet_name = np.argsort(np.array(self.facets, object)[self.facet_of_row], kind="stable")
        return table.take(pa.array(by_facet_name))

    def clusters(self, reader: PartialReader) -> np.ndarray:
        """Distinct clusters of every listed row, int64; a remainder's are counted once across its values.

        Documents without a cluster value are a cluster each.
        """
        counts = domains_measure.exact_bincount(self.row, self.values.columns["alone"], len(self.facet_of_row))
        pending: tuple[np.ndarray, ...] | None = None
        for chunk in reader.chunks("clusters", domains_measure.CLUSTERS):
            columns: tuple[np.ndarray, ...] = (
                chunk.columns["cluster_high"],
                chunk.columns["cluster_low"],
                self.rows_of(chunk),
            )
            if pending is not None:
                columns = tuple(np.concatenate(pair) for pair in zip(pending, columns, strict=True))
            # Rows of the last hash may go on in the next chunk, and a cluster must be counted once a row.
            last = int(np.searchsorted(columns[0], columns[0][-1], side="left"))
            pending = tuple(column[last:] for column in columns)
            _count_distinct(tuple(column[:last] for column in columns), counts)
        if pending is not None:
            _count_distinct(pending, counts)
        return counts

    def cluster_groups(self, reader: PartialReader) -> pa.Table:
        """Table CLUSTER_GROUPS."""
        sums: list[tuple[np.ndarray, ...]] = []
        for chunk in reader.chunks("groups", domains_measure.GROUPS):
            cell = self.rows_of(chunk) * domains_measure.CLUSTER_HASH_GROUPS + chunk.columns["group"].astype(np.int64)
            sums.append((cell, *(chunk.columns[name] for name in ("documents", "bytes", "tokens"))))
        cell, *weights = (
            (np.concatenate(parts) for parts in zip(*sums, strict=True)) if sums else ([np.empty(0, np.int64)] * 4)
        )
        unique, inverse = np.unique(cell, return_inverse=True)
        rows = unique // domains_measure.CLUSTER_HASH_GROUPS
        totals = [domains_measure.exact_bincount(inverse, weight, len(unique)) for weight in weights]
        table = pa.table(
            {
                "facet": self.facet_names(self.facet_of_row[rows]),
                "value": self.names(rows),
                "group": (unique % domains_measure.CLUSTER_HASH_GROUPS).astype(np.int32),
                "documents": totals[0],
                "bytes": totals[1],
                "tokens": totals[2],
            },
            schema=run_tables.CLUSTER_GROUPS,
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
