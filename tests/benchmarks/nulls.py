"""Bursty documents as token counters, fast: what the calibrations of the drift statistics draw their snapshots from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from zlib import crc32

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.kernels.text.ngrams import feature_vectors
from corpus_audit.pipelines.statistics.classifier.hashed_documents import HashedDocuments
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, TokenContrast, TokenSample
from tests.corpora import source_files

Integers = npt.NDArray[np.int64]

WORD = re.compile(r"\w+|[^\w\s]")
WORD_HASHES = 1 << 14
DOMAINS = 10
LONGEST_DOCUMENT = 20_000  # characters; a few files of megabytes would be the whole variance


@dataclass(frozen=True)
class Documents:
    """Token counts of D documents, document by document.

    Attributes:
        stops: int64 [D], where each document's cells end.
        token: int64 [C], token ids below ``vocabulary``.
        count: int64 [C], occurrences in the document, at least 1.
        vocabulary: K.
        domain: int64 [D].
    """

    stops: Integers
    token: Integers
    count: Integers
    vocabulary: int
    domain: Integers

    @classmethod
    def of(cls, ids: Sequence[npt.ArrayLike], vocabulary: int, domain: Integers) -> Documents:
        """From token ids, a list a document."""
        document = np.repeat(np.arange(len(ids)), [len(np.asarray(entry)) for entry in ids])
        key, count = np.unique(document * vocabulary + np.concatenate([np.asarray(i) for i in ids]), return_counts=True)
        stops = np.cumsum(np.bincount(key // vocabulary, minlength=len(ids)))
        return cls(stops, key % vocabulary, count.astype(np.int64), vocabulary, domain)

    def __len__(self) -> int:
        return len(self.stops)

    @property
    def lengths(self) -> Integers:
        """Tokens of each document, [D]."""
        return np.add.reduceat(self.count, np.append(0, self.stops[:-1]))

    def expected(self, weight: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Token counts [K] to expect of one document drawn with probability ``weight`` [D]."""
        each = np.repeat(weight, np.diff(np.append(0, self.stops)))
        return np.bincount(self.token, self.count * each, self.vocabulary)

    def sample(self, selected: Integers, rng: np.random.Generator) -> TokenSample:
        """Counters of the chosen documents, which may repeat; each choice falls into a random group."""
        starts = np.append(0, self.stops[:-1])[selected]
        cells = self.stops[selected] - starts
        place = np.repeat(np.arange(len(selected)), cells)
        cell = np.arange(cells.sum()) + np.repeat(starts - np.cumsum(cells) + cells, cells)
        token, count = self.token[cell], self.count[cell]
        group = rng.integers(GROUPS, size=len(selected))
        length = np.bincount(place, count, len(selected))
        size = self.vocabulary
        table = np.bincount(group[place] * size + token, count, GROUPS * size).astype(np.int64).reshape(GROUPS, size)
        return TokenSample(
            count=table.sum(axis=0),
            documents=np.bincount(token, minlength=size).astype(np.int64),
            squared=np.bincount(token, count.astype(np.float64) ** 2, size),
            product=np.bincount(token, count * length[place], size),
            groups=table,
            total_documents=len(selected),
            total_tokens=int(length.sum()),
            total_squared=float((length**2).sum()),
        )

    def doubled(self, tokens: Integers) -> Documents:
        """The same documents with every occurrence of some tokens doubled."""
        count = np.where(np.isin(self.token, tokens), 2 * self.count, self.count)
        return Documents(self.stops, self.token, count, self.vocabulary, self.domain)


def zipf(vocabulary: int, offset: float = 10.0) -> npt.NDArray[np.float64]:
    """Zipf-Mandelbrot shares, [K]."""
    shares = 1.0 / (np.arange(vocabulary) + offset)
    return shares / shares.sum()


def dirichlet_multinomial(
    shares: npt.NDArray[np.float64],
    documents: int,
    rng: np.random.Generator,
    burstiness: float = 0.01,
    length: float = 200.0,
) -> Documents:
    """Documents of log-normal length (sigma 1) whose tokens are Dirichlet-multinomial about ``shares`` [K].

    Drawn as a Polya urn, so that no document needs K gammas: token i is a copy of an earlier one of its document with
    probability i / (i + concentration). The design effect of a token is about 1 + ``burstiness`` n, with
    ``burstiness`` = 1 / (1 + concentration).
    """
    concentration = 1.0 / burstiness - 1.0
    lengths = np.clip(rng.lognormal(np.log(length) - 0.5, 1.0, documents), 10, 10 * length).astype(np.int64)
    order = np.argsort(-lengths, kind="stable")
    alive = np.searchsorted(-lengths[order], -np.arange(lengths.max()), side="left")
    urn = np.full((lengths.max(), documents), -1, dtype=np.int32)
    cumulated = np.cumsum(shares)
    for position, count in enumerate(alive):
        fresh = np.searchsorted(cumulated, rng.random(count) * cumulated[-1], side="right").astype(np.int32)
        if position:
            copied = urn[rng.integers(position, size=count), np.arange(count)]
            fresh = np.where(rng.random(count) * (position + concentration) < concentration, fresh, copied)
        urn[position, :count] = fresh
    columns = [urn[: lengths[document], place] for place, document in enumerate(order)]
    return Documents.of(columns, len(shares), np.zeros(documents, dtype=np.int64))


@dataclass(frozen=True)
class Installation:
    """Sources and documentation of the Python installation, a file a document, long ones cut.

    Attributes:
        documents: their counters; a token is a hash of a word, a domain one of the largest folders or, last, the rest.
        features: hashed 1- and 2-grams of the same documents.
    """

    documents: Documents
    features: HashedDocuments


@cache
def installation(documents: int = 4000) -> Installation:
    """The text files of this Python's standard library and site packages, in a shuffled, fixed order."""
    named = source_files()[:documents]
    folders = ["/".join(name.split("/")[:2]) if name.count("/") > 1 else "stdlib" for name, _ in named]
    largest = [name for name, _ in Counter(folders).most_common(DOMAINS - 1)]
    domain = np.array([largest.index(f) if f in largest else DOMAINS - 1 for f in folders], dtype=np.int64)
    texts = [path.read_text("utf-8", "replace")[:LONGEST_DOCUMENT] for _, path in named]
    ids = [np.array([crc32(word.encode()) % WORD_HASHES for word in WORD.findall(text)], np.uint32) for text in texts]
    kept = [i for i, entry in enumerate(ids) if len(entry)]
    ids, domain = [ids[i] for i in kept], domain[kept]
    offsets = np.concatenate([[0], np.cumsum([len(entry) for entry in ids])]).astype(np.int64)
    buckets, counts, stops = feature_vectors(np.concatenate(ids), offsets, np.arange(len(ids)))
    hashes = [blake2b(entry.tobytes(), digest_size=16).digest() for entry in ids]
    high, low = np.frombuffer(b"".join(hashes), ">u8").reshape(-1, 2).astype(np.uint64).T
    features = HashedDocuments(
        starts=np.concatenate([[0], stops]).astype(np.int64),
        buckets=buckets.astype(np.int64),
        counts=counts.astype(np.int64),
        domain=domain,
        tokens=np.diff(offsets),
        high=high,
        low=low,
    )
    return Installation(Documents.of(ids, WORD_HASHES, domain), features)


@dataclass(frozen=True)
class Plan:
    """How many documents are removed, added and kept, as shares of a number of documents."""

    name: str
    removed: float
    added: float
    kept: float

    def sizes(self, documents: int) -> tuple[int, int, int]:
        """Documents removed, added and kept."""
        removed, added = round(self.removed * documents), round(self.added * documents)
        return removed, added, round(self.kept * documents)


PLANS = (
    Plan("1:1", 1 / 2, 1 / 2, 0),
    Plan("1:3", 1 / 4, 3 / 4, 0),
    Plan("50 % kept", 1 / 3, 1 / 3, 1 / 3),
    Plan("90 % kept", 1 / 11, 1 / 11, 9 / 11),
    Plan("append-only", 0, 1 / 4, 3 / 4),
)


def contrast(removed: TokenSample, added: TokenSample, kept: TokenSample) -> TokenContrast:
    """The contrast over the tokens that occur."""
    nonempty = removed.count + added.count + kept.count > 0

    def cut(sample: TokenSample) -> TokenSample:
        return TokenSample(
            sample.count[nonempty],
            sample.documents[nonempty],
            sample.squared[nonempty],
            sample.product[nonempty],
            np.ascontiguousarray(sample.groups[:, nonempty]),
            sample.total_documents,
            sample.total_tokens,
            sample.total_squared,
        )

    return TokenContrast(np.flatnonzero(nonempty).astype(np.int32), cut(removed), cut(added), cut(kept))


def split(source: Documents, plan: Plan, rng: np.random.Generator, documents: int | None = None) -> TokenContrast:
    """Documents of one source dealt out without replacement: a null, whatever the source is."""
    removed, added, kept = plan.sizes(documents or len(source))
    order = rng.permutation(len(source))
    parts = np.split(order[: removed + added + kept], [removed, removed + added])
    return contrast(*(source.sample(part, rng) for part in parts))
