"""Token counters of the documents that two runs share, from the current run's sample of documents.

A run that was audited with its baseline has measured them (`../measures/overlap/shared.py`). Where it was not, its
sample still has the tokens of up to 1,000 documents a domain: of a small corpus, of all. If every shared document is
among them, their counters are made here, and are what the audit would have counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus_audit.pipelines.drift.documents.document_tables import SampledDocuments, codes_of, read_sample
from corpus_audit.pipelines.drift.documents.turnover import FollowedDocuments
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS
from corpus_audit.pipelines.storage.run_directory import RunDirectory

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SampledOverlap:
    """Counters of shared documents by domain, as `token_tables.TokenTables` reads them from files.

    Attributes:
        pieces: (domain, rows of TOKEN_COUNTS, rows of TOKEN_GROUPS) in the order of the domains' bytes.
    """

    pieces: tuple[tuple[str, pa.Table, pa.Table], ...]

    def rows(self) -> Iterator[tuple[str, pa.Table | None, pa.Table | None]]:
        """The pieces."""
        yield from self.pieces


def sampled_overlap(current: RunDirectory, followed: FollowedDocuments) -> SampledOverlap | None:
    """The counters of texts that both have in one domain, as many copies of each as both have.

    None where the sample lacks one of them (a large domain, a very long document, `excerpts: false`), and where hash
    groups are of clusters or are kept overall only.

    Raises:
        StoreError: the sample cannot be read.
    """
    if current.facts.cluster is not None or current.facts.token_groups != "domain":
        return None
    sample = read_sample(current, followed.names)
    if sample is None:
        return None
    table = followed.current
    shared, copies, rows = _shared_texts(followed, sample.rows_of(table))
    if (rows < 0).any():
        return None
    domain = table.domain[shared]
    pieces = []
    for code in np.unique(domain).tolist():
        mine = domain == code
        counts, groups = _counters(sample, rows[mine], copies[mine], table.high[shared[mine]])
        pieces.append((followed.names[code], counts, groups))
    return SampledOverlap(tuple(sorted(pieces, key=lambda piece: piece[0].encode())))


def _shared_texts(followed: FollowedDocuments, sampled: Integers) -> tuple[Integers, Integers, Integers]:
    """Texts that both sides have in one domain: a current row, the copies that both have, a row of the sample or -1.

    Args:
        followed: the documents of both sides.
        sampled: int64 [current rows], the row of each in the sample, -1 where it is not there.
    """
    sides = followed.baseline, followed.current
    columns = [np.concatenate([getattr(side, name).astype(np.uint64) for side in sides]) for name in _TEXT]
    codes = codes_of(columns)
    before, now = codes[: len(sides[0])], codes[len(sides[0]) :]
    copies = np.zeros((2, int(codes.max(initial=-1)) + 1), np.int64)
    for count, side, code in zip(copies, sides, (before, now), strict=True):
        np.add.at(count, code, side.documents)
    both = copies.min(axis=0)
    text, first = np.unique(now, return_index=True)
    best = np.full(copies.shape[1], -1, np.int64)
    np.maximum.at(best, now, sampled)
    is_shared = both[text] > 0
    text = text[is_shared]
    return first[is_shared], both[text], best[text]


_TEXT = ("high", "low", "domain")


def _counters(
    sample: SampledDocuments, rows: Integers, documents: Integers, high: npt.NDArray[np.uint64]
) -> tuple[pa.Table, pa.Table]:
    """Counters of texts that occur ``documents`` times each, in the hash groups of `measures.base.Block.groups`."""
    starts, stops = sample.starts[rows], sample.starts[rows + 1]
    lengths = stops - starts
    ends = np.cumsum(lengths)
    text = np.repeat(np.arange(len(rows)), lengths)
    ids = sample.ids[np.arange(int(lengths.sum())) + np.repeat(starts - (ends - lengths), lengths)].astype(np.int64)
    tokens, column = np.unique(ids, return_inverse=True)
    cells, count = np.unique(text * max(len(tokens), 1) + column, return_counts=True)
    text, column = cells // max(len(tokens), 1), cells % max(len(tokens), 1)
    times = documents[text]
    group = (high >> np.uint64(56)).astype(np.int64) % GROUPS

    def total(values: Integers) -> Integers:
        sums = np.zeros(len(tokens), np.int64)
        np.add.at(sums, column, values)
        return sums

    by_group = np.zeros((len(tokens), GROUPS), np.int64)
    np.add.at(by_group, (column, group[text]), count * times)
    token, bit = np.nonzero(by_group)
    masks = np.zeros(len(tokens), np.uint64)
    np.bitwise_or.at(masks, token, np.uint64(1) << bit.astype(np.uint64))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(token, minlength=len(tokens)))]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(by_group[token, bit]))
    ids_column = pa.array(tokens.astype(np.int32))
    counts = {
        "count": total(count * times),
        "documents": total(times),
        "sum_squared": total(count * count * times),
        "sum_product": total(count * lengths[text] * times),
    }
    return pa.table({"token": ids_column, **counts}), pa.table(
        {"token": ids_column, "groups": pa.array(masks), "counts": lists}
    )
