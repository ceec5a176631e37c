"""Facets of the ``domains`` table as numpy columns, and the sampling design behind their shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.statistics.intervals.clustered import DocumentClusters, Floats, Integers, WideIntegers
from corpus_audit.pipelines.statistics.intervals.grouped import GroupedTotals, RandomGroups, TwoStage
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.tables import run_tables

HASH_GROUPS = 1024
"""Hash groups of the cluster key in ``cluster_groups``."""


@dataclass(frozen=True, slots=True)
class SampledSplits:
    """Totals by split of a sampled audit, as the second stage of the sampling design.

    Attributes:
        table: columns facet, value, split (int, 0 to ``read`` - 1), documents, bytes, tokens; one row a (facet, value,
            split) that occurs.
        read: splits that were read, m.
        planned: splits of the snapshot, M.
    """

    table: pa.Table
    read: int
    planned: int


@dataclass(frozen=True, slots=True)
class FacetTotals:
    """One facet of the ``domains`` table, G values.

    Attributes:
        names: the values.
        totals: column name -> int64 [G].
        squares: ``bytes`` and ``tokens`` -> sum over documents of the square, Python integers [G].
    """

    names: list[str]
    totals: dict[str, Integers]
    squares: dict[str, WideIntegers]

    @classmethod
    def of(cls, domains: pa.Table, facet: str) -> FacetTotals:
        """The rows of a facet, in the table's order."""
        rows = domains.filter(pc.equal(domains["facet"], facet))
        columns = ("documents", "clusters", "bytes", "characters", "words", "tokens")
        return cls(
            rows["value"].to_pylist(),
            {name: rows[name].to_numpy() for name in columns},
            {unit: wide_integers(rows[f"sum_{unit}_squared"]) for unit in ("bytes", "tokens")},
        )

    def with_absent(self, names: Iterable[str]) -> FacetTotals:
        """The same with a row of zeros for every absent name; unchanged if a remainder row may include it."""
        if run_tables.OTHER_VALUES in self.names:
            return self
        known = set(self.names)
        absent = sorted(name for name in names if name not in known)
        return FacetTotals(
            self.names + absent,
            {name: np.pad(column, (0, len(absent))) for name, column in self.totals.items()},
            {unit: np.pad(column, (0, len(absent))) for unit, column in self.squares.items()},
        )

    def targets(self, intended: Mapping[str, float]) -> Floats:
        """Intended shares, [G]: 0 where none is given; the remainder row takes those of names without a row."""
        target = np.array([intended.get(name, 0.0) for name in self.names])
        if run_tables.OTHER_VALUES in self.names:
            known = set(self.names)
            target[self.names.index(run_tables.OTHER_VALUES)] += sum(
                s for name, s in intended.items() if name not in known
            )
        return target

    def positions(self, values: pa.ChunkedArray) -> Integers:
        """Position of every value, int64 [N]; values without a row are part of the remainder row.

        Raises:
            StoreError: if a value has no row and there is no remainder.
        """
        indices = pc.index_in(values, value_set=pa.array(self.names, pa.string()))
        if indices.null_count:
            if run_tables.OTHER_VALUES not in self.names:
                missing = pc.filter(values, pc.is_null(indices))[0].as_py()
                raise StoreError(f"table domains has no row for {missing!r}, but another table has: run again")
            indices = pc.fill_null(indices, self.names.index(run_tables.OTHER_VALUES))
        return np.asarray(indices.to_numpy(), dtype=np.int64)


def wide_integers(column: pa.ChunkedArray) -> WideIntegers:
    """Python integers [N] of a decimal128(38, 0) column without nulls, from its buffers."""
    parts = []
    for chunk in column.chunks:
        if len(chunk) == 0:
            continue
        words = np.frombuffer(chunk.buffers()[1], dtype="<u8").reshape(-1, 2)[chunk.offset : chunk.offset + len(chunk)]
        high = words[:, 1].astype(np.int64)
        parts.append((high.astype(object) << 64) | words[:, 0].astype(object))
    return np.concatenate(parts) if parts else np.empty(0, dtype=object)


def nullable(values: npt.ArrayLike) -> pa.Array:
    """float64 Arrow array, NaN as null."""
    return pa.array(np.asarray(values, dtype=np.float64), pa.float64(), from_pandas=True)


def sort_all_first(table: pa.Table, then: list[tuple[str, str]]) -> pa.Table:
    """The rows sorted by domain with (all) first, then by ``then``, in one chunk."""
    is_domain = pc.not_equal(table["domain"], run_tables.ALL_DOMAINS).cast(pa.int8())
    order = [("place", "ascending"), ("domain", "ascending"), *then]
    return table.append_column("place", is_domain).sort_by(order).drop_columns(["place"]).combine_chunks()


def sampling_design(
    totals: FacetTotals, facet: str, unit: str, cluster_groups: pa.Table | None, sampling: SampledSplits | None
) -> DocumentClusters | RandomGroups | TwoStage:
    """The sampling design behind a facet's shares."""
    counts = totals.totals[unit]
    documents = totals.totals["documents"]
    design: DocumentClusters | RandomGroups
    if cluster_groups is not None:
        cells = _cells(totals, facet, unit, cluster_groups, "group", HASH_GROUPS)
        design = RandomGroups(cells, clusters=int(totals.totals["clusters"].sum()))
    else:
        squares = documents.astype(object) if unit == "documents" else totals.squares[unit]
        design = DocumentClusters(counts, squares, int(documents.sum()))
    if sampling is None:
        return design
    return TwoStage(_cells(totals, facet, unit, sampling.table, "split", sampling.read), sampling.planned, design)


def _cells(totals: FacetTotals, facet: str, unit: str, table: pa.Table, key: str, groups: int) -> GroupedTotals:
    """Totals by group of one facet and unit; values without a row of their own are added up as the remainder.

    Raises:
        StoreError: if they do not add up to the totals.
    """
    rows = table.filter(pc.equal(table["facet"], facet))
    size = len(totals.names)
    cell = totals.positions(rows["value"]) * groups + rows[key].to_numpy().astype(np.int64)
    amount = rows[unit].to_numpy()
    if run_tables.OTHER_VALUES in totals.names:
        cell, inverse = np.unique(cell, return_inverse=True)
        merged = np.zeros(len(cell), dtype=np.int64)
        np.add.at(merged, inverse, amount)
        amount = merged
    cells = GroupedTotals(cell // groups, cell % groups, amount, domains=size, groups=groups)
    if not np.array_equal(cells.counts, totals.totals[unit]):
        raise StoreError(f"facet {facet!r}: totals by {key} do not add up to table domains (in {unit})")
    return cells
