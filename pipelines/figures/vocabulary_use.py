"""The vocabulary table: types, coverage and effective vocabulary, streamed from the token tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.figures.facet_totals import nullable, sort_all_first
from corpus_audit.pipelines.statistics.intervals.clustered import Integers
from corpus_audit.pipelines.statistics.intervals.vocabulary import (
    GROUPS,
    ROWS_A_BLOCK,
    EntropyEstimate,
    GroupedEntropy,
    cell_blocks,
    clustered_entropy,
    effective_vocabulary,
)
from corpus_audit.schemas.tables import run_tables

_ROWS_OF_COUNTERS = 1 << 20  # in memory, then whole domains are handed on
_COUNTERS = ("count", "sum_squared", "sum_product")


def vocabulary(
    token_counts: pa.Table | Iterable[pa.Table], token_groups: pa.Table | Iterable[pa.Table], vocabulary_size: int
) -> pa.Table:
    """Types, coverage and effective vocabulary by domain and for all; domains without tokens have no row.

    Bounds come from the delete-a-group jackknife where groups are kept, else from the clustered counters. Both tables
    may be iterables of pieces, of which one at a time is in memory: it is bounded by the vocabulary and the domains.

    Args:
        token_counts: in the schema TOKEN_COUNTS; the rows of a domain are adjacent.
        token_groups: in the schema TOKEN_GROUPS, by domain or, as (all), overall.
        vocabulary_size: token ids of the tokenizer.

    Returns:
        A table in the schema VOCABULARY.
    """
    counters = _Counters(vocabulary_size)
    for piece in _whole_domains(_pieces(token_counts)):
        counters.add(piece)
    if not counters.names:
        return run_tables.VOCABULARY.empty_table()
    names = counters.names
    by_domain, overall = _grouped_entropies(_pieces(token_groups), names, vocabulary_size)
    by_domain = _first_known(by_domain, counters.by_domain())
    overall = _first_known(overall, counters.overall())
    tokens = np.array(counters.tokens, dtype=np.int64)
    types = np.array([counters.overall_types, *counters.types], dtype=np.int64)
    value, low, high = (
        np.concatenate(pair)
        for pair in zip(
            effective_vocabulary(overall, vocabulary_size),
            effective_vocabulary(by_domain, vocabulary_size),
            strict=True,
        )
    )
    table = pa.table(
        {
            "domain": pa.array([run_tables.ALL_DOMAINS, *names], pa.string()),
            "tokens": pa.array(np.concatenate([[tokens.sum()], tokens])),
            "types": pa.array(types),
            "coverage": pa.array(types / vocabulary_size),
            "effective": nullable(value),
            "effective_low": nullable(low),
            "effective_high": nullable(high),
        },
        schema=run_tables.VOCABULARY,
    )
    return sort_all_first(table.filter(pc.greater(table["tokens"], 0)), [])


def _pieces(table: pa.Table | Iterable[pa.Table]) -> Iterable[pa.Table]:
    return [table] if isinstance(table, pa.Table) else table


def _whole_domains(pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in pieces of whole domains of about a million rows, whatever the pieces of the input."""
    pending: list[pa.Table] = []
    for piece in pieces:
        pending.append(piece)
        while sum(len(part) for part in pending) > _ROWS_OF_COUNTERS:
            rows = pa.concat_tables(pending).unify_dictionaries()
            edges = np.flatnonzero(np.diff(_codes(rows["domain"])[0])) + 1
            cut = edges[np.searchsorted(edges, _ROWS_OF_COUNTERS) :]
            if not len(cut):
                pending = [rows]
                break
            yield rows.slice(0, int(cut[0]))
            pending = [rows.slice(int(cut[0]))]
    if any(len(part) for part in pending):
        yield pa.concat_tables(pending).unify_dictionaries()


class _Counters:
    """Accumulates types, tokens and entropies, with bounds of their errors, from the clustered counters."""

    def __init__(self, ids: int) -> None:
        self.names: list[str] = []
        self.tokens: list[int] = []
        self.types: list[int] = []
        self._sums = np.zeros((3, ids))
        self._estimates: list[EntropyEstimate] = []

    def add(self, rows: pa.Table) -> None:
        """Add the rows of some whole domains."""
        code, names = _codes(rows["domain"])
        occurring, position = np.unique(code, return_inverse=True)
        count = rows["count"].to_numpy()
        tokens = np.zeros(len(occurring), dtype=np.int64)
        np.add.at(tokens, position, count)
        self.names += [names[c] for c in occurring]
        self.tokens += tokens.tolist()
        self.types += np.bincount(position, minlength=len(occurring)).tolist()
        counters = [pc.cast(rows[name], pa.float64(), safe=False).to_numpy() for name in _COUNTERS]
        self._estimates.append(clustered_entropy(position, counters[0], counters[1], counters[2], len(occurring)))
        token = rows["token"].to_numpy()
        largest = int(token.max()) + 1
        if largest > self._sums.shape[1]:
            self._sums = np.pad(self._sums, ((0, 0), (0, largest - self._sums.shape[1])))
        self._sums += [np.bincount(token, column, self._sums.shape[1]) for column in counters]

    @property
    def overall_types(self) -> int:
        """Token ids that occur in any domain."""
        return int(np.count_nonzero(self._sums[0]))

    def by_domain(self) -> EntropyEstimate:
        """Entropies of every domain, [G]."""
        return EntropyEstimate(
            *(np.concatenate([getattr(e, field.name) for e in self._estimates]) for field in fields(EntropyEstimate))
        )

    def overall(self) -> EntropyEstimate:
        """Entropy of the corpus, [1]."""
        sums = self._sums[:, self._sums[0] > 0]
        return clustered_entropy(np.zeros(sums.shape[1], dtype=np.int64), sums[0], sums[1], sums[2], 1)


def _codes(column: pa.ChunkedArray) -> tuple[Integers, list[str]]:
    """Codes, int64 [N], of a dictionary column, and its values."""
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        combined = combined.chunk(0)
    return combined.indices.to_numpy().astype(np.int64), combined.dictionary.to_pylist()


def _grouped_entropies(
    token_groups: Iterable[pa.Table], names: list[str], ids: int
) -> tuple[EntropyEstimate, EntropyEstimate]:
    """Jackknifed entropies by domain, [G], and overall, [1]; NaN where no groups are kept."""
    by_domain, overall = GroupedEntropy(len(names)), GroupedEntropy(1)
    position = {name: i for i, name in enumerate(names)}
    pooled: Integers | None = None
    for batch in (batch for piece in token_groups for batch in piece.unify_dictionaries().to_batches()):
        domain = batch["domain"]
        known = [position.get(name, -1) for name in domain.dictionary.to_pylist()]
        code = np.array(known, dtype=np.int64)[domain.indices.to_numpy()]
        token = batch["token"].to_numpy()
        lists = batch["counts"]
        for block in cell_blocks(batch["groups"].to_numpy(), lists.offsets.to_numpy(), lists.values.to_numpy()):
            codes = code[block.rows]
            if (codes < 0).any():
                overall.add(np.zeros(len(codes), dtype=np.int64), block.row, block.group, block.counts)
                continue
            by_domain.add(codes, block.row, block.group, block.counts)
            if pooled is None:
                pooled = np.zeros(ids * GROUPS, dtype=np.int64)
            np.add.at(pooled, token[block.rows].astype(np.int64)[block.row] * GROUPS + block.group, block.counts)
    if pooled is not None:
        cells = pooled.reshape(ids, GROUPS)
        for start in range(0, ids, ROWS_A_BLOCK):
            part = cells[start : start + ROWS_A_BLOCK]
            row, group = np.nonzero(part)
            overall.add(np.zeros(len(part), dtype=np.int64), row, group, part[row, group])
    return by_domain.result(), overall.result()


def _first_known(first: EntropyEstimate, second: EntropyEstimate) -> EntropyEstimate:
    """The first estimate where it has an error, else the second."""
    known = ~np.isnan(first.error)
    return EntropyEstimate(
        *(np.where(known, getattr(first, f.name), getattr(second, f.name)) for f in fields(EntropyEstimate))
    )
