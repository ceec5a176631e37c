"""How much the texts of a window repeat and how far their words drift, against control windows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.kernels.drift.minhash_bands import find_similar
from corpus_audit.pipelines.kernels.text.ngrams import PERMUTATIONS
from corpus_audit.pipelines.kernels.text.normalised_words import grams
from corpus_audit.pipelines.sampling.log.drawn import DrawnRows
from corpus_audit.pipelines.sampling.log.texts import DrawnTexts, Keys
from corpus_audit.pipelines.statistics.drift.divergence import jensen_shannon
from corpus_audit.pipelines.statistics.intervals.clustered import Integers
from corpus_audit.pipelines.statistics.intervals.near_duplicates import THRESHOLD
from corpus_audit.pipelines.statistics.sampling.control_windows import joint_p, rank_p

NGRAM = 8
"""Words of an n-gram."""

LISTED = 50
"""N-grams and groups of near-duplicates that are listed."""

_CANDIDATES = 5_000
_NAMES = 20
_LEAST_WORD = 3  # occurrences of a word that is listed
_BITS = 14  # of the hash buckets whose counts are the distribution of words


@dataclass(frozen=True, slots=True)
class RepeatedNgram:
    """An n-gram that occurs more than once in the window.

    Attributes:
        text: its words.
        occurrences: in the window, and documents: that have it.
        expected: occurrences in a control window with as many n-grams; None without control windows.
    """

    text: str
    occurrences: int
    documents: int
    expected: float | None


@dataclass(frozen=True, slots=True)
class MovedWord:
    """A word that is more frequent in the window: occurrences there, and in a control window with as many words."""

    text: str
    occurrences: int
    expected: float


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Distinct documents of the window that are near-duplicates: how many, and the ids of the first ones."""

    count: int
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TextComparison:
    """Texts of a window against its controls; distinct documents, so that one drawn twice does not repeat itself.

    Attributes:
        documents: with a text, and ``missing``: without one.
        controls: control windows with texts.
        repeated, control_repeated: share of the n-grams that occurred before in the same window.
        p_repeated: rank of that share among all windows; None without controls, as the others.
        similar, control_similar: share of the documents that have a near-duplicate in the same window.
        p_similar: rank of that share.
        drift, control_drift: Jensen-Shannon divergence in bits of the words of a window from those of all others.
        p_drift: rank of that divergence.
        p: of all three together.
        words: those that are more frequent in the window, the largest likelihood ratios first (Dunning 1993).
        ngrams: those that repeat, by how much more often than expected.
        groups: near-duplicates, the largest groups first.
    """

    documents: int
    missing: int
    controls: int
    repeated: float | None
    control_repeated: float | None
    p_repeated: float | None
    similar: float | None
    control_similar: float | None
    p_similar: float | None
    drift: float | None
    control_drift: float | None
    p_drift: float | None
    p: float | None
    words: tuple[MovedWord, ...]
    ngrams: tuple[RepeatedNgram, ...]
    groups: tuple[NearDuplicates, ...]


def keys_of(rows: DrawnRows, first: int, length: int) -> Keys:
    """Distinct documents that were drawn in ``length`` steps from ``first`` on."""
    assert rows.key is not None
    return np.unique(rows.key[rows.between(first, first + length - 1)])


def compare_texts(rows: DrawnRows, texts: DrawnTexts, window: tuple[int, int], starts: Integers) -> TextComparison:
    """Compare the texts of a window with those of control windows of the same length.

    Args:
        rows: draws of all windows, with keys.
        texts: of their documents.
        window: first and last step of the log.
        starts: first steps of the control windows.
    """
    first, length = window[0], window[1] - window[0] + 1
    keys = keys_of(rows, first, length)
    own = texts.rows_of(keys)
    hashes, words = _grams(texts, own), texts.words_of(own)[0]
    top, counts = _most_frequent(hashes, 2)
    frequent, of_frequent = _most_frequent(words, _LEAST_WORD)
    repeated, similar, groups = _repeated(hashes), *_similar(texts, own)
    scores, spread = [(repeated, similar)], [_spread(words)]
    usual, usual_words = np.zeros(len(top)), np.zeros(len(frequent))
    for start in starts.tolist():
        control = texts.rows_of(keys_of(rows, start, length))
        if len(control):
            control_hashes, control_words = _grams(texts, control), texts.words_of(control)[0]
            scores.append((_repeated(control_hashes), _similar(texts, control)[0]))
            spread.append(_spread(control_words))
            usual += _counted(control_hashes, top) * (len(hashes) / max(len(control_hashes), 1))
            usual_words += _counted(control_words, frequent) * (len(words) / max(len(control_words), 1))
    controls = len(scores) - 1
    expected = usual / controls if controls else None
    figures: list[tuple[float | None, float | None, float | None]] = [
        (repeated, None, None), (similar, None, None), (None, None, None)
    ]  # fmt: skip
    together = None
    if not len(own):
        figures = [(None, None, None)] * 3
    elif controls:
        total = np.sum(spread, axis=0, dtype=np.int64)
        drifts = [float(jensen_shannon(each, total - each)) for each in spread]
        of_all = np.column_stack([scores, np.nan_to_num(drifts)]).T
        ranks = rank_p(of_all)
        together = float(joint_p(ranks)[0])
        figures = list(
            zip(of_all[:, 0].tolist(), of_all[:, 1:].mean(axis=1).tolist(), ranks[:, 0].tolist(), strict=True)
        )
    (share, of_controls, p_repeated), (near, of_others, p_similar), (drift, control_drift, p_drift) = figures
    return TextComparison(
        documents=len(own),
        missing=len(keys) - len(own),
        controls=controls if len(own) else 0,
        repeated=share,
        control_repeated=of_controls,
        p_repeated=p_repeated,
        similar=near,
        control_similar=of_others,
        p_similar=p_similar,
        drift=drift,
        control_drift=control_drift,
        p_drift=p_drift,
        p=together,
        words=_moved(texts, own, frequent, of_frequent, usual_words / controls) if controls else (),
        ngrams=_listed(texts, own, top, counts, expected),
        groups=_named(rows, texts, own, groups),
    )


def _grams(texts: DrawnTexts, rows: Integers) -> Keys:
    words, offsets = texts.words_of(rows)
    hashes, valid = grams(words, offsets, NGRAM)
    return np.asarray(hashes[valid])


def _repeated(hashes: Keys) -> float:
    """Share of the n-grams that occurred before."""
    return 1 - len(np.unique(hashes)) / len(hashes) if len(hashes) else 0.0


def _spread(words: Keys) -> npt.NDArray[np.int32]:
    """How often words of each hash bucket occur."""
    return np.bincount((words >> np.uint64(64 - _BITS)).astype(np.int64), minlength=1 << _BITS).astype(np.int32)


def _moved(
    texts: DrawnTexts, own: Integers, frequent: Keys, counts: Integers, expected: npt.NDArray[np.float64]
) -> tuple[MovedWord, ...]:
    """The words that are more frequent than expected, by likelihood ratio."""
    more = np.flatnonzero(counts > expected)
    ratio = counts[more] * np.log(counts[more] / np.maximum(expected[more], 0.5)) - (counts[more] - expected[more])
    largest = more[np.argsort(-ratio, kind="stable")[:LISTED]]
    words, offsets = texts.words_of(own)
    result = []
    for i in largest.tolist():
        position = int(np.argmax(words == frequent[i]))
        row = int(np.searchsorted(offsets, position, side="right")) - 1
        content = texts.named.get(int(texts.keys[own[row]]), "").split()
        result.append(MovedWord(content[position - int(offsets[row])], int(counts[i]), float(expected[i])))
    return tuple(result)


def _most_frequent(hashes: Keys, least: int) -> tuple[Keys, Integers]:
    """(hashes that occur ``least`` times or more, ascending, and how often), the most frequent ones only."""
    distinct, counts = np.unique(hashes, return_counts=True)
    several = np.flatnonzero(counts >= least)
    several = np.sort(several[np.argsort(-counts[several], kind="stable")[:_CANDIDATES]])
    return distinct[several], counts[several].astype(np.int64)


def _counted(hashes: Keys, top: Keys) -> npt.NDArray[np.float64]:
    """How often each of some n-grams occurs, [len(top)]."""
    if not len(top):
        return np.zeros(0)
    at = np.minimum(np.searchsorted(top, hashes), len(top) - 1)
    return np.bincount(at[top[at] == hashes], minlength=len(top)).astype(np.float64)


def _similar(texts: DrawnTexts, rows: Integers) -> tuple[float, Integers]:
    """(share of documents that have a near-duplicate, group of every document)."""
    if len(rows) < 2:
        return 0.0, np.arange(len(rows))
    none = np.zeros(len(rows), np.int64)
    keys = texts.keys[rows]
    _, groups = find_similar(
        np.ascontiguousarray(texts.signatures[rows]), none, none.astype(np.int8), np.column_stack([keys, keys]),
        np.ones(len(rows), bool), ceil(THRESHOLD * PERMUTATIONS),
    )  # fmt: skip
    return float((np.bincount(groups, minlength=len(rows))[groups] > 1).mean()), groups


def _named(rows: DrawnRows, texts: DrawnTexts, own: Integers, groups: Integers) -> tuple[NearDuplicates, ...]:
    sizes = Counter(groups.tolist())
    largest = sorted((group for group, size in sizes.items() if size > 1), key=lambda group: (-sizes[group], group))
    result = []
    for group in largest[:LISTED]:
        keys = texts.keys[own[groups == group]].tolist()
        result.append(NearDuplicates(sizes[group], tuple(rows.ids.get(key, "") for key in keys[:_NAMES])))
    return tuple(result)


def _listed(
    texts: DrawnTexts, own: Integers, top: Keys, counts: Integers, expected: npt.NDArray[np.float64] | None
) -> tuple[RepeatedNgram, ...]:
    """The n-grams with the largest excess, of overlapping ones the first."""
    if not len(top):
        return ()
    words, offsets = texts.words_of(own)
    hashes, valid = grams(words, offsets, NGRAM)
    at = np.minimum(np.searchsorted(top, hashes), len(top) - 1)
    positions = np.flatnonzero(valid & (top[at] == hashes))
    document = np.searchsorted(offsets, positions, side="right") - 1
    pairs = np.unique(np.column_stack([at[positions], document]), axis=0)
    documents = np.bincount(pairs[:, 0], minlength=len(top))
    first = np.full(len(top), len(words), np.int64)
    np.minimum.at(first, at[positions], positions)
    excess = counts - (0.0 if expected is None else expected)
    result: list[RepeatedNgram] = []
    used: list[int] = []
    for i in np.lexsort((first, -excess)).tolist():
        if len(result) == LISTED:
            break
        if any(abs(first[i] - other) < NGRAM for other in used):
            continue
        used.append(int(first[i]))
        row = int(np.searchsorted(offsets, first[i], side="right")) - 1
        content = texts.named.get(int(texts.keys[own[row]]), "").split()
        begin = int(first[i] - offsets[row])
        usual = None if expected is None else float(expected[i])
        words_here = " ".join(content[begin : begin + NGRAM])
        result.append(RepeatedNgram(words_here, int(counts[i]), int(documents[i]), usual))
    return tuple(result)
