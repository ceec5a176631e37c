"""Which document of one snapshot is which of another: kept, edited, renamed, replaced, removed or added.

Comes in: the documents of both sides as rows of (content hash, id, domain), each with how many documents it stands for,
and a sketch of the text. Every document is matched at most once; each step takes what the steps before left.

1. *Kept*: the same bytes. Texts are multisets: of 2 copies before and 3 now, 2 are kept and 1 is added. Copies of a
   text are paired by the same id and domain first, then the same domain, then the same id, then in order; so as many
   as possible are kept within their domain.
2. *Edited*, by id: the same id, other bytes, and an estimated similarity of at least `EDITED`. An id that several texts
   of a side have is resolved by the best pairs, one to one. An id that more than `TEXTS_PER_ID` texts of a side have
   names no document, and counts as none.
3. *Edited*, by text: what has no partner yet is paired with what is most similar to it, one to one, from `ALIKE` on, by
   descending similarity (ties: the same domain, then the order of the rows). Candidates come from locality-sensitive
   hashing of the sketches (`_candidates`), so no all-pairs comparison is made.
4. *Replaced*: what is left of an id that both sides still have: the id now names another text. Such documents are
   removed and added too.
5. *Removed* and *added*: the rest, what was replaced included.

*Renamed* is not a step: it is a pair of steps 1 and 3 whose documents have ids, and different ones.

Goes out: pairs of rows with the number of documents that each stands for. Documents of the baseline are kept + edited +
removed, those of the current snapshot kept + edited + added.

Why so: bytes are certain, an id is the publisher's word, likeness is an estimate; so they are trusted in that order.
Similarity is the Jaccard similarity of the sets of 5-token shingles, estimated from 64 bins (standard error at most
0.06). Measured with GPT-2's tokenizer on Python's PEPs and Rust's RFCs of 2020 and 2026 and on problems of GSM8K: the
457 RFCs that were edited under their id are alike from 0.80 on; of the 517 PEPs (boilerplate stripped, most ids
changed) 97 % from 0.41 and 98.5 % from 0.2 on; 375 ids that were given to other problems at most 0.04; of 200,000
unrelated pairs of a domain 99.9 % below 0.14. `EDITED` lies between. By text alone there are many more pairs to be
wrong about, and a text that shares a part with another is not the same document, so `ALIKE` asks for most of the text
(of two texts of one length, a third may differ), and for `BINS_IN_COMMON` equal bins: texts of fewer than about 12
tokens are followed by bytes and by id only. Of the 416 PEPs that were followed under a new id none was paired with
another PEP. Where tokens are single bytes, unrelated texts have far more shingles in common, and both limits say less.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.drift.documents.document_tables import DocumentTable, codes_of
from corpus_audit.pipelines.kernels.drift.pairing import assign, similarities
from corpus_audit.pipelines.kernels.text.shingle_vectors import BINS
from corpus_audit.pipelines.kernels.text.sketches import EMPTY
from corpus_audit.pipelines.measures.identities import NO_ID

EDITED = 0.2
"""Estimated similarity from which two texts of one id are versions of one document."""

ALIKE = 0.5
"""Estimated similarity from which two texts without another partner are versions of one document."""

BINS_IN_COMMON = 8
"""Equal bins that a pair without a common id needs; 8 agree by chance with probability 255^-8."""

TEXTS_PER_ID = 64
"""Texts of a side that one id may have and still be an id: bounds the pairs that are compared."""

BAND = 3
"""Bins of a band: a pair of similarity J agrees in a band with probability J^3."""

BUCKET_WINDOW = 16
"""Documents of a bucket that each of the other side is compared with: those nearest in length."""

ROUNDS = 5
"""Times that candidates are looked for among what is left: where buckets are large, one round leaves a few over."""

_PERMUTATIONS = [np.random.Generator(np.random.PCG64(seed)).permutation(BINS) for seed in (1, 2)]
_BANDS = [order[start : start + BAND] for order in _PERMUTATIONS for start in range(0, BINS - BAND + 1, BAND)]
"""42 bands of bins: a pair of similarity 0.5 is a candidate with probability 1 - (1 - 0.5^3)^42 = 99.6 %."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """P pairs of rows; a row may be in several, with the documents of each.

    Attributes:
        baseline, current: int64 [P], rows of either side's table.
        documents: int64 [P], documents of each side that the pair stands for, at least 1.
        similarity: float64 [P], estimated Jaccard similarity; 1 for kept texts, NaN where there are no sketches.
    """

    baseline: Integers
    current: Integers
    documents: Integers
    similarity: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.documents)


@dataclass(frozen=True)
class Rows:
    """Rows of one side without a partner.

    Attributes:
        rows: int64 [R]; documents: int64 [R], at least 1.
    """

    rows: Integers
    documents: Integers


@dataclass(frozen=True)
class Matches:
    """What became of every document.

    Attributes:
        kept, edited: pairs of one document.
        replaced: pairs of one id; the documents are in ``removed`` and ``added`` too.
        removed, added: documents of the baseline, and of the current snapshot, without a partner.
        by_id: whether both sides have ids: else nothing can be renamed or replaced.
        by_text: whether both sides have sketches: else everything that is not kept is removed or added.
    """

    kept: Pairs
    edited: Pairs
    replaced: Pairs
    removed: Rows
    added: Rows
    by_id: bool
    by_text: bool


def match_documents(baseline: DocumentTable, current: DocumentTable) -> Matches:
    """Match the documents of two snapshots; see the module for the steps. Deterministic, and pure.

    Args:
        baseline, current: rows of both; their domains are positions in one list of names.
    """
    sides = baseline, current
    left = baseline.documents.copy(), current.documents.copy()
    by_text = all(side.sketches is not None for side in sides)
    by_id = by_text and any(side.has_ids for side in sides) and all(side.has_ids or not len(side) for side in sides)
    # Step 1.
    texts, ids, domains = _codes_of_texts(sides), _codes_of_ids(sides), (baseline.domain, current.domain)
    keys = ((texts, ids, domains), (texts, domains), (texts, ids), (texts,))
    paired = _joined([_pair_equal(key, left) for key in keys])
    kept = Pairs(*paired, np.ones(len(paired[0])))
    # Steps 2 and 3.
    pairs_by_step = []
    if by_text:
        pairs_by_step.append(_best(sides, left, _pairs_of_ids(ids, left), EDITED, 0))
        for _ in range(ROUNDS):
            pairs_by_step.append(_best(sides, left, _candidates(sides, left), ALIKE, BINS_IN_COMMON))
            if not len(pairs_by_step[-1]):
                break
    pairs_by_step = pairs_by_step or [_NO_PAIRS]
    edited = Pairs(*(np.concatenate([getattr(p, name) for p in pairs_by_step]) for name in Pairs.__dataclass_fields__))
    removed, added = (Rows(rows := np.flatnonzero(side), side[rows]) for side in left)
    # Step 4, of what step 5 has as removed and added.
    replaced = _joined([_pair_equal(key, left, ids) for key in ((ids, domains), (ids,))]) if by_id else _NO_ROWS
    return Matches(kept, edited, Pairs(*replaced, _similarity(sides, *replaced[:2])), removed, added, by_id, by_text)


def renamed(baseline: DocumentTable, current: DocumentTable, pairs: Pairs) -> npt.NDArray[np.bool_]:
    """Whether the documents of each pair have ids, and different ones, bool [P]."""
    before, now = baseline.identity[pairs.baseline], current.identity[pairs.current]
    other: npt.NDArray[np.bool_] = (before != NO_ID) & (now != NO_ID) & (before != now)
    return other


def moved(baseline: DocumentTable, current: DocumentTable, pairs: Pairs) -> npt.NDArray[np.bool_]:
    """Whether the documents of each pair are in different domains, bool [P]."""
    apart: npt.NDArray[np.bool_] = baseline.domain[pairs.baseline] != current.domain[pairs.current]
    return apart


_Both = tuple[Integers, Integers]
"""An array a side."""

_NONE = np.empty(0, np.int64)
_NO_ROWS = (_NONE, _NONE, _NONE)
_NO_PAIRS = Pairs(*_NO_ROWS, np.empty(0))


def _joined(parts: Sequence[tuple[Integers, Integers, Integers]]) -> tuple[Integers, Integers, Integers]:
    first, second, third = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return first, second, third


def _halves(codes: Integers, sides: Sequence[DocumentTable]) -> _Both:
    return codes[: len(sides[0])], codes[len(sides[0]) :]


def _codes_of_texts(sides: tuple[DocumentTable, DocumentTable]) -> _Both:
    columns = [np.concatenate([getattr(side, name) for side in sides]) for name in ("high", "low")]
    return _halves(codes_of(columns), sides)


def _codes_of_ids(sides: tuple[DocumentTable, DocumentTable]) -> _Both:
    """A number for each id; -1 for no id, and for one that too many texts of a side have."""
    identity = np.concatenate([side.identity for side in sides])
    codes = codes_of([identity])
    if len(codes):
        halves = _halves(codes, sides)
        texts = np.maximum(*(np.bincount(half, minlength=int(codes.max()) + 1) for half in halves))
        codes = np.where((identity == NO_ID) | (texts[codes] > TEXTS_PER_ID), -1, codes)
    return _halves(codes, sides)


def _pair_equal(
    keys: Sequence[_Both], left: _Both, required: _Both | None = None
) -> tuple[Integers, Integers, Integers]:
    """Pair documents of equal keys until one side has none left, rows in order; reduces ``left``.

    Of each key's documents, laid in a row, the first m = min(before, now) of either side are paired position by
    position. A pair of rows is where the stretches of the two rows overlap.

    Args:
        keys: codes that must agree, one a row of either side.
        left: documents that each row still has to pair.
        required: codes of which negative ones are not paired at all.
    """
    rows = [np.flatnonzero(side) for side in left]
    if required is not None:
        rows = [at[codes[at] >= 0] for at, codes in zip(rows, required, strict=True)]
    columns = [np.concatenate([key[s][rows[s]] for s in (0, 1)]) for key in keys]
    columns = [column - min(int(column.min(initial=0)), 0) for column in columns]  # -1, no id, is a value too
    codes = codes_of([column.astype(np.uint64) for column in columns])
    halves = codes[: len(rows[0])], codes[len(rows[0]) :]
    most = int(codes.max(initial=-1)) + 1
    totals = [np.zeros(most, np.int64) for _ in halves]
    for s in (0, 1):
        np.add.at(totals[s], halves[s], left[s][rows[s]])
    paired = np.minimum(*totals)
    base = np.cumsum(paired) - paired
    stretches = []
    for s in (0, 1):
        order = np.argsort(halves[s], kind="stable")
        code, at = halves[s][order], rows[s][order]
        ends = np.cumsum(left[s][at])
        first = np.cumsum(totals[s]) - totals[s]  # of the key, among all of the side
        stop = np.minimum(ends - first[code], paired[code])
        start = np.minimum(ends - left[s][at] - first[code], paired[code])
        some = np.flatnonzero(stop > start)
        stretches.append((at[some], (base[code] + start)[some]))
    starts = np.union1d(stretches[0][1], stretches[1][1])
    documents = np.diff(starts, append=int(paired.sum()))
    matched = [at[np.searchsorted(begin, starts, side="right") - 1] for at, begin in stretches]
    for s in (0, 1):
        np.subtract.at(left[s], matched[s], documents)
    return matched[0], matched[1], documents


def _pairs_of_ids(ids: _Both, left: _Both) -> Iterator[_Both]:
    """Every pair of rows of one id that both have documents left."""
    rows = [np.flatnonzero((side > 0) & (codes >= 0)) for side, codes in zip(left, ids, strict=True)]
    mine = ids[0][rows[0]]
    order = np.argsort(ids[1][rows[1]], kind="stable")
    theirs = ids[1][rows[1]][order]
    first, stop = (np.searchsorted(theirs, mine, side=side) for side in ("left", "right"))
    yield rows[0][np.repeat(np.arange(len(mine)), stop - first)], rows[1][order][_ranges(first, stop - first)]


def _ranges(starts: Integers, sizes: Integers) -> Integers:
    """The integers ``starts[i]`` to ``starts[i] + sizes[i] - 1`` of every i, one after the other."""
    ends = np.cumsum(sizes)
    out: Integers = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - ends + sizes, sizes)
    return out


def _candidates(sides: tuple[DocumentTable, DocumentTable], left: _Both) -> Iterator[_Both]:
    """Pairs of rows that may be alike and both have documents left: those that agree in a band of bins.

    A bin that a short text leaves empty takes the value of the next that is filled, and how far that is (Shrivastava
    and Li 2014, "Densifying One Permutation Hashing via Rotation", ICML): bins then agree with probability J, however
    many are empty. In a bucket of more than `BUCKET_WINDOW` documents of the other side each is compared with that many
    of about its rank by length, so that work grows with the documents and not with their square; among many near-copies
    of one text the best partner may be missed for one that is almost as good.
    """
    rows = [np.flatnonzero(side) for side in left]
    if not all(len(at) for at in rows):
        return
    # By length, so that neighbours in a bucket are of about one length.
    rows = [at[np.argsort(side.tokens[at], kind="stable")] for at, side in zip(rows, sides, strict=True)]
    dense = [_densified(side.sketches[at]) for at, side in zip(rows, sides, strict=True)]  # type: ignore[index]
    for band in _BANDS:
        keys = [_band_keys(values[:, band]) for values in dense]
        orders = [np.argsort(key, kind="stable") for key in keys]
        mine, theirs = (key[order] for key, order in zip(keys, orders, strict=True))
        first, stop = (np.searchsorted(theirs, mine, side=side) for side in ("left", "right"))
        sizes = stop - first
        met = np.flatnonzero(sizes)
        begin, end = (np.searchsorted(mine, mine[met], side=side) for side in ("left", "right"))
        rank = (met - begin) * sizes[met] // (end - begin)
        window = np.minimum(sizes[met], BUCKET_WINDOW)
        start = first[met] + np.clip(rank - BUCKET_WINDOW // 2, 0, sizes[met] - window)
        yield rows[0][orders[0][np.repeat(met, window)]], rows[1][orders[1][_ranges(start, window)]]


def _densified(sketch: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """uint16 [N, BINS]: a bin's value, plus 256 for each bin that it was taken from further on."""
    out = sketch.astype(np.uint16)
    for _ in range(2):  # around the end
        for k in range(BINS - 1, -1, -1):
            following = out[:, (k + 1) % BINS]
            borrow = (out[:, k] == EMPTY) & (following != EMPTY)
            out[borrow, k] = following[borrow] + np.uint16(256)
    return out


def _band_keys(values: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint64]:
    keys = np.zeros(len(values), np.uint64)
    for k in range(values.shape[1]):
        keys = (keys << np.uint64(16)) | values[:, k].astype(np.uint64)
    return keys


def _best(
    sides: tuple[DocumentTable, DocumentTable], left: _Both, candidates: Iterator[_Both], least: float, bins: int
) -> Pairs:
    """Pair the most similar candidates first, each document once; reduces ``left``."""
    known = _NONE
    similar: npt.NDArray[np.float64] = np.empty(0)
    width = max(len(sides[1]), 1)
    for before, now in candidates:
        new = np.setdiff1d(before * width + now, known)
        known = np.union1d(known, new)
    before, now = known // width, known % width
    similar = _similarity(sides, before, now)
    enough = similar >= least
    if bins:
        enough &= _equal_bins(sides, before, now) >= bins
    before, now, similar = before[enough], now[enough], similar[enough]
    apart = sides[0].domain[before] != sides[1].domain[now]
    order = np.lexsort((now, before, apart, -similar))
    before, now, similar = before[order], now[order], similar[order]
    documents = assign(before, now, *left)
    used = np.flatnonzero(documents)
    return Pairs(before[used], now[used], documents[used], similar[used])


def _similarity(sides: tuple[DocumentTable, DocumentTable], before: Integers, now: Integers) -> npt.NDArray[np.float64]:
    one, two = (side.sketches for side in sides)
    if one is None or two is None:
        return np.full(len(before), np.nan)
    return similarities(one, two, before, now)


def _equal_bins(sides: tuple[DocumentTable, DocumentTable], before: Integers, now: Integers) -> Integers:
    """Bins that both sides fill alike, int64 [P]."""
    one, two = (side.sketches for side in sides)
    assert one is not None and two is not None
    out = np.zeros(len(before), np.int64)
    for k in range(BINS):
        values = one[before, k]
        out += (values == two[now, k]) & (values != EMPTY)
    return out
