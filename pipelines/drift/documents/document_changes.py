"""The documents that are not as they were, one by one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus_audit.pipelines.drift.documents.document_tables import DocumentTable
from corpus_audit.pipelines.drift.documents.matching import Pairs, Rows, moved, renamed
from corpus_audit.pipelines.drift.documents.turnover import FollowedDocuments
from corpus_audit.pipelines.kernels.text.hashing import digests
from corpus_audit.schemas.tables.turnover_tables import DOCUMENT_CHANGES

LISTED = 100_000
"""Rows of the table: those with the most tokens on either side."""

KINDS = ("kept", "edited", "replaced", "removed", "added")

Integers = npt.NDArray[np.int64]


def document_changes(label: str, followed: FollowedDocuments) -> tuple[pa.Table, Integers]:
    """Table DOCUMENT_CHANGES, and how many documents it leaves out: of all, and of each domain (the current, if any).

    A row is a pair of documents, or one that only one side has. Kept documents are listed where they were renamed or
    moved. Of a replaced document the row has both sides, and neither is listed as removed or added again.
    """
    before, now, matches = followed.baseline, followed.current, followed.matches
    kept = matches.kept
    changed = np.flatnonzero(renamed(before, now, kept) | moved(before, now, kept))
    kept = Pairs(*(getattr(kept, name)[changed] for name in Pairs.__dataclass_fields__))
    removed = _without(matches.removed, matches.replaced.baseline, matches.replaced.documents, len(before))
    added = _without(matches.added, matches.replaced.current, matches.replaced.documents, len(now))
    parts = [(pairs.baseline, pairs.current, pairs) for pairs in (kept, matches.edited, matches.replaced)]
    kinds = [np.full(len(pairs), i) for i, (_, _, pairs) in enumerate(parts)]
    none = [np.full(len(rows.rows), -1) for rows in (removed, added)]
    first = np.concatenate([*(part[0] for part in parts), removed.rows, none[1]])
    second = np.concatenate([*(part[1] for part in parts), none[0], added.rows])
    documents = np.concatenate([*(part[2].documents for part in parts), removed.documents, added.documents])
    similarity = np.concatenate([*(part[2].similarity for part in parts), *(np.full(len(n), np.nan) for n in none)])
    kind = np.concatenate([*kinds, np.full(len(none[0]), 3), np.full(len(none[1]), 4)])
    size = np.maximum(_of(before.tokens, first), _of(now.tokens, second)) * documents
    order = np.lexsort((second, first, kind, -size))
    shown = order[:LISTED]
    table = _table(label, followed, kind[shown], first[shown], second[shown], documents[shown], similarity[shown])
    rest = order[LISTED:]
    domain = np.where(second < 0, _of(before.domain, first), _of(now.domain, second))[rest]
    unlisted = np.zeros(len(followed.names) + 1, np.int64)
    np.add.at(unlisted, domain + 1, documents[rest])
    unlisted[0] = documents[rest].sum()
    return table, unlisted


def _without(rows: Rows, used: Integers, documents: Integers, size: int) -> Rows:
    """The rows less the documents that pairs have of them."""
    left = np.zeros(size, np.int64)
    left[rows.rows] = rows.documents
    np.subtract.at(left, used, documents)
    some = np.flatnonzero(left)
    return Rows(some, left[some])


def _of(values: Integers, rows: Integers) -> Integers:
    """The value of each row, 0 for row -1."""
    out: Integers = np.append(values, 0)[rows]
    return out


def _table(
    label: str,
    followed: FollowedDocuments,
    kind: Integers,
    first: Integers,
    second: Integers,
    documents: Integers,
    similarity: npt.NDArray[np.float64],
) -> pa.Table:
    both = kind <= KINDS.index("edited")
    pairs = Pairs(first[both], second[both], documents[both], similarity[both])
    flags = {}
    for name, function in (("renamed", renamed), ("moved", moved)):
        flags[name] = np.zeros(len(kind), bool)
        flags[name][both] = function(followed.baseline, followed.current, pairs)
    columns: dict[str, pa.Array | np.ndarray] = {}
    for side, table, rows in (("baseline", followed.baseline, first), ("current", followed.current, second)):
        columns |= _side(side, table, followed.names, rows)
    return pa.table(
        {
            "baseline": pa.array([label] * len(kind), pa.string()),
            "kind": pa.array([KINDS[k] for k in kind.tolist()], pa.string()),
            **flags,
            "documents": documents,
            **columns,
            "similarity": pa.array(similarity, mask=np.isnan(similarity)),
        },
        schema=DOCUMENT_CHANGES,
    )


def _side(side: str, table: DocumentTable, names: list[str], rows: Integers) -> dict[str, pa.Array]:
    """Columns of one side, null in rows -1."""
    missing = rows < 0
    positions = pa.array(np.maximum(rows, 0), mask=missing)
    raw = digests(table.high, table.low)
    wanted = np.unique(rows[rows >= 0])
    hexes = np.full(len(table), "", object)
    hexes[wanted] = [raw[row].tobytes().hex() for row in wanted.tolist()]
    hashes = pa.array(hexes, pa.string())
    ids = pa.nulls(len(table), pa.string()) if table.ids is None else table.ids
    domains = pa.array(names, pa.string()).take(pa.array(table.domain))
    tokens = pa.array(table.tokens)
    columns = {"domain": domains, "id": ids, "hash": hashes, "tokens": tokens}
    return {f"{name}_{side}": column.take(positions) for name, column in columns.items()}
