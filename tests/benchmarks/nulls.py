"""Bursty documents as token counters, fast: what the calibrations of the drift statistics draw their snapshots from."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.token_sample import GROUPS, TokenContrast, TokenSample
from tests.corpora import source_files

Integers = npt.NDArray[np.int64]

WORD = re.compile(r"\w+|[^\w\s]")
WORD_HASHES = 1 << 14
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
        document = np.repeat(np.arange(len(ids)), [len(np.asarray(one)) for one in ids])
        key, count = np.unique(document * vocabulary + np.concatenate([np.asarray(i) for i in ids]), return_counts=True)
        stops = np.cumsum(np.bincount(key // vocabulary, minlength=len(ids)))
        return cls(stops, key % vocabulary, count.astype(np.int64), vocabulary, domain)

    def __len__(self) -> int:
        return len(self.stops)

    def shares(self) -> npt.NDArray[np.float64]:
        """The documents' token shares, [K]: the distribution of a source that draws documents evenly."""
        counts = np.bincount(self.token, self.count, self.vocabulary)
        return np.asarray(counts / counts.sum())

    def sample(self, chosen: Integers, rng: np.random.Generator) -> TokenSample:
        """Counters of the chosen documents, which may repeat; each choice falls into a random group."""
        starts = np.append(0, self.stops[:-1])[chosen]
        cells = self.stops[chosen] - starts
        place = np.repeat(np.arange(len(chosen)), cells)
        cell = np.arange(cells.sum()) + np.repeat(starts - np.cumsum(cells) + cells, cells)
        token, count = self.token[cell], self.count[cell]
        group = rng.integers(GROUPS, size=len(chosen))
        length = np.bincount(place, count, len(chosen))
        size = self.vocabulary
        table = np.bincount(group[place] * size + token, count, GROUPS * size).astype(np.int64).reshape(GROUPS, size)
        return TokenSample(
            count=table.sum(axis=0),
            documents=np.bincount(token, minlength=size).astype(np.int64),
            squared=np.bincount(token, count.astype(np.float64) ** 2, size),
            product=np.bincount(token, count * length[place], size),
            groups=table,
            total_documents=len(chosen),
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


def installation(tokenizer: Path | None = None, documents: int = 4000) -> Documents:
    """Sources and documentation of the Python installation, a file a document, long ones cut.

    Domain 0 is the standard library, 1 the site packages. Tokens are the ids of a tokenizer, else hashes of words.
    """
    named = source_files()[:documents]
    texts = [path.read_text("utf-8", "replace")[:LONGEST_DOCUMENT] for _, path in named]
    domain = np.array([int(name.startswith("site/")) for name, _ in named], dtype=np.int64)
    if tokenizer is None:
        ids = [[crc32(word.encode()) % WORD_HASHES for word in WORD.findall(text)] for text in texts]
        return Documents.of(ids, WORD_HASHES, domain)
    from tokenizers import Tokenizer

    loaded = Tokenizer.from_file(str(tokenizer))
    loaded.no_truncation()
    encoded = [one.ids for one in loaded.encode_batch_fast(texts, add_special_tokens=False)]
    return Documents.of(encoded, loaded.get_vocab_size(), domain)


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

    def current_share(self, added: float, kept: float) -> float:
        """Share of the added in the current snapshot, from amounts of each."""
        return added / (added + kept)


PLANS = (
    Plan("1:1", 1 / 2, 1 / 2, 0),
    Plan("1:3", 1 / 4, 3 / 4, 0),
    Plan("50 % kept", 1 / 3, 1 / 3, 1 / 3),
    Plan("90 % kept", 1 / 11, 1 / 11, 9 / 11),
    Plan("append-only", 0, 1 / 4, 3 / 4),
)

Draw = Callable[[np.random.Generator], TokenContrast]


def contrast(removed: TokenSample, added: TokenSample, kept: TokenSample) -> TokenContrast:
    """The contrast over the tokens that occur."""
    held = removed.count + added.count + kept.count > 0

    def cut(sample: TokenSample) -> TokenSample:
        return TokenSample(
            sample.count[held],
            sample.documents[held],
            sample.squared[held],
            sample.product[held],
            np.ascontiguousarray(sample.groups[:, held]),
            sample.total_documents,
            sample.total_tokens,
            sample.total_squared,
        )

    return TokenContrast(np.flatnonzero(held).astype(np.int32), cut(removed), cut(added), cut(kept))


def split(source: Documents, plan: Plan, rng: np.random.Generator, documents: int | None = None) -> TokenContrast:
    """Documents of one source dealt out without replacement: a null, whatever the source is."""
    removed, added, kept = plan.sizes(documents or len(source))
    order = rng.permutation(len(source))
    parts = np.split(order[: removed + added + kept], [removed, removed + added])
    return contrast(*(source.sample(part, rng) for part in parts))


def drawn(source: Documents, changed: Documents, plan: Plan, documents: int, rng: np.random.Generator) -> TokenContrast:
    """Independent documents, with replacement: removed and kept ones from ``source``, added ones from ``changed``."""
    removed, added, kept = plan.sizes(documents)
    return contrast(
        source.sample(rng.integers(len(source), size=removed), rng),
        changed.sample(rng.integers(len(changed), size=added), rng),
        source.sample(rng.integers(len(source), size=kept), rng),
    )
