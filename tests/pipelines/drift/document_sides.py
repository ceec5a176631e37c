"""Handmade snapshots: documents as words, and the tables that an audit would make of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.drift.documents.document_tables import DocumentTable
from corpus_audit.pipelines.drift.documents.matching import Matches, match_documents, moved, renamed
from corpus_audit.pipelines.kernels.text.sketches import sketches
from corpus_audit.pipelines.measures.identities import identity_hashes

DOMAINS = ["a", "b"]


@dataclass(frozen=True, order=True)
class Made:
    """A document: its id (empty for none), its tokens, its domain."""

    id: str
    tokens: tuple[int, ...]
    domain: str = "a"


def text(seed: int, size: int = 300) -> tuple[int, ...]:
    """Tokens that no other seed's text resembles."""
    return tuple(np.random.default_rng([seed, 17]).integers(0, 50_000, size).tolist())


def hash_of(tokens: tuple[int, ...]) -> bytes:
    return hashlib.blake2b(repr(tokens).encode(), digest_size=16).digest()


def side(documents: Sequence[Made], with_sketches: bool = True) -> tuple[DocumentTable, list[Made]]:
    """The table of the documents, and the document of each row."""
    counts = Counter(documents)
    ids = pa.array([made.id.encode() for made in counts], pa.large_binary())
    identity = dict(zip(counts, identity_hashes(ids).tolist(), strict=True))
    rows = sorted(counts, key=lambda made: (hash_of(made.tokens), identity[made], made.domain))
    halves = np.frombuffer(b"".join(hash_of(made.tokens) for made in rows), ">u8").reshape(-1, 2)
    flat = np.array([token for made in rows for token in made.tokens], np.uint32)
    sizes = np.array([len(made.tokens) for made in rows], np.int64)
    return DocumentTable(
        halves[:, 0].astype(np.uint64),
        halves[:, 1].astype(np.uint64),
        np.array([identity[made] for made in rows], np.uint64),
        np.array([DOMAINS.index(made.domain) for made in rows], np.int64),
        np.array([counts[made] for made in rows], np.int64),
        sizes,
        sketches(flat, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))[1] if with_sketches else None,
        pa.array([made.id or None for made in rows], pa.string()),
    ), rows


@dataclass(frozen=True)
class Outcome:
    """What became of the documents, as multisets of documents or of (before, now)."""

    kept: Counter[tuple[Made, Made]]
    edited: Counter[tuple[Made, Made]]
    replaced: Counter[tuple[Made, Made]]
    renamed: Counter[tuple[Made, Made]]
    moved: Counter[tuple[Made, Made]]
    removed: Counter[Made]
    added: Counter[Made]
    matches: Matches


def outcome(before: Sequence[Made], now: Sequence[Made], with_sketches: bool = True) -> Outcome:
    """Match two lists of documents."""
    (one, rows), (two, columns) = side(before, with_sketches), side(now, with_sketches)
    matches = match_documents(one, two)
    found: dict[str, Counter[tuple[Made, Made]]] = {name: Counter() for name in ("renamed", "moved")}
    for name in ("kept", "edited", "replaced"):
        pairs = getattr(matches, name)
        found[name] = Counter()
        flags = renamed(one, two, pairs), moved(one, two, pairs)
        for p in range(len(pairs)):
            pair = rows[pairs.baseline[p]], columns[pairs.current[p]]
            found[name][pair] += int(pairs.documents[p])
            for flag, values in zip(("renamed", "moved"), flags, strict=True):
                if values[p] and name != "replaced":
                    found[flag][pair] += int(pairs.documents[p])
    rest = [
        Counter({made[row]: int(n) for row, n in zip(part.rows, part.documents, strict=True)})
        for made, part in ((rows, matches.removed), (columns, matches.added))
    ]
    return Outcome(**found, removed=rest[0], added=rest[1], matches=matches)
