"""The vocabulary table: types, coverage and effective vocabulary from the token tables, in place and in blocks."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.facet_totals import all_first, nullable
from corpus_audit.pipelines.statistics.clustered import Integers
from corpus_audit.pipelines.statistics.vocabulary import (
    GROUPS,
    ROWS_A_BLOCK,
    EntropyEstimate,
    GroupedEntropy,
    cell_blocks,
    clustered_entropy,
    effective_vocabulary,
)
from corpus_audit.schemas import tables

_ROWS_OF_COUNTERS = 1 << 20


def vocabulary(token_counts: pa.Table, token_groups: pa.Table, vocabulary_size: int) -> pa.Table:
    """Types, coverage and effective vocabulary by domain and for all; domains without tokens have no row.

    Bounds come from the delete-a-group jackknife where groups are kept, else from the clustered counters. Reads Arrow
    buffers in place and works block by block, so 10 million rows take a few hundred megabytes beside the tables.

    Args:
        token_counts: in the schema TOKEN_COUNTS.
        token_groups: in the schema TOKEN_GROUPS, by domain or, as (all), overall.
        vocabulary_size: token ids of the tokenizer.

    Returns:
        A table in the schema VOCABULARY.
    """
    if token_counts.num_rows == 0:
        return tables.VOCABULARY.empty_table()
    code, names = _codes(token_counts["domain"])
    token = token_counts["token"].to_numpy()
    count = token_counts["count"].to_numpy()
    tokens = np.zeros(len(names), dtype=np.int64)
    np.add.at(tokens, code, count)
    ids = max(vocabulary_size, int(token.max()) + 1)
    by_domain, overall = _grouped_entropies(token_groups, names, ids)

    if np.isnan(by_domain.error).any() or np.isnan(overall.error).any():
        bound_by_domain, bound_overall = _bounded_entropies(token_counts, code, len(names), ids)
        by_domain, overall = _first_known(by_domain, bound_by_domain), _first_known(overall, bound_overall)

    types_of_all = np.count_nonzero(np.bincount(token, minlength=ids))
    types = np.concatenate([[types_of_all], np.bincount(code, minlength=len(names))])
    both = (effective_vocabulary(estimate, vocabulary_size) for estimate in (overall, by_domain))
    value, low, high = (np.concatenate(pair) for pair in zip(*both, strict=True))
    table = pa.table(
        {
            "domain": pa.array([tables.ALL_DOMAINS, *names], pa.string()),
            "tokens": pa.array(np.concatenate([[tokens.sum()], tokens])),
            "types": pa.array(types.astype(np.int64)),
            "coverage": pa.array(types / vocabulary_size),
            "effective": nullable(value),
            "effective_low": nullable(low),
            "effective_high": nullable(high),
        },
        schema=tables.VOCABULARY,
    )
    return all_first(table.filter(pc.greater(table["tokens"], 0)), [])


def _codes(column: pa.ChunkedArray) -> tuple[Integers, list[str]]:
    """Codes, int64 [N], and names of a dictionary column."""
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0)
    return whole.indices.to_numpy().astype(np.int64), whole.dictionary.to_pylist()


def _grouped_entropies(token_groups: pa.Table, names: list[str], ids: int) -> tuple[EntropyEstimate, EntropyEstimate]:
    """Jackknifed entropies by domain, [G], and overall, [1]; NaN where no groups are kept."""
    by_domain, overall = GroupedEntropy(len(names)), GroupedEntropy(1)
    position = {name: i for i, name in enumerate(names)}
    pooled: Integers | None = None
    for batch in token_groups.unify_dictionaries().to_batches():
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


def _bounded_entropies(
    token_counts: pa.Table, code: Integers, domains: int, ids: int
) -> tuple[EntropyEstimate, EntropyEstimate]:
    """Entropies with bounds of their errors from the counters, by domain, [G], and overall, [1].

    Works on runs of whole domains, whose rows lie together.
    """
    names = [field.name for field in fields(EntropyEstimate)]
    found = {name: np.full(domains, np.nan) for name in names}
    sums = np.zeros((3, ids))
    edges = np.concatenate([[0], np.flatnonzero(np.diff(code)) + 1, [len(code)]])
    cuts = edges[np.unique(np.searchsorted(edges, [*range(0, len(code), _ROWS_OF_COUNTERS), len(code)]))]
    for start, stop in pairwise(cuts.tolist()):
        rows = token_counts.slice(start, stop - start)
        counters = [
            pc.cast(rows[name], pa.float64(), safe=False).to_numpy() for name in ("count", "sum_squared", "sum_product")
        ]
        held, position = np.unique(code[start:stop], return_inverse=True)
        part = clustered_entropy(position, counters[0], counters[1], counters[2], len(held))
        for name in names:
            found[name][held] = getattr(part, name)
        token = rows["token"].to_numpy()
        sums += [np.bincount(token, column, ids) for column in counters]
    sums = sums[:, sums[0] > 0]
    every = np.zeros(sums.shape[1], dtype=np.int64)
    return EntropyEstimate(**found), clustered_entropy(every, sums[0], sums[1], sums[2], 1)


def _first_known(first: EntropyEstimate, second: EntropyEstimate) -> EntropyEstimate:
    """The first estimate where it has an error, else the second."""
    known = ~np.isnan(first.error)
    return EntropyEstimate(
        *(np.where(known, getattr(first, f.name), getattr(second, f.name)) for f in fields(EntropyEstimate))
    )
