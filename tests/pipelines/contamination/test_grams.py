"""Looking up n-grams, what they lead to, and their IDF weights, against sets, dicts and loops."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.contamination.grams import (
    IDF_UNIT,
    SHARED_PASSAGE,
    SHARED_TEXTS,
    WINDOW,
    Posting,
    build_lookup,
    build_posting,
    idf_weights,
)
from corpus_audit.pipelines.kernels.contamination.scan import find_all, in_filter
from corpus_audit.pipelines.kernels.contamination.spans import covered_words
from tests.pipelines.contamination import oracle

FAST = settings(max_examples=60, deadline=None)
Texts = list[list[int]]
WORDS = st.lists(st.lists(st.integers(1, 3), max_size=14), min_size=1, max_size=8)
BITS = st.lists(st.integers(1, 2), max_size=12)
SPANS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), max_size=4)
NUMBERS = st.lists(st.integers(0, 2**64 - 1), max_size=60)


def flat(texts: Texts) -> tuple[np.ndarray, np.ndarray]:
    """(uint64 words, int64 starts)."""
    words = [word for text in texts for word in text]
    return np.array(words, np.uint64), np.cumsum([0, *map(len, texts)]).astype(np.int64)


def led_to(posting: Posting, gram: int) -> list[int]:
    first, stop = posting.grams.starts[gram : gram + 2].tolist()
    return posting.grams.posted[first:stop].tolist()  # type: ignore[no-any-return]


@FAST
@given(NUMBERS, NUMBERS)
def test_what_is_there_is_found_and_nothing_else(present: list[int], others: list[int]) -> None:
    keys = np.array(sorted(set(present)), np.uint64)
    grams = build_lookup(keys, np.zeros(len(keys) + 1, np.uint32), np.empty(0, np.uint32))
    assert all(in_filter(grams.filter, key, grams.filter_shift) for key in keys)
    hashes = np.array([*present, *others], np.uint64)
    numbers = np.empty(len(hashes), np.int64)
    find_all(grams.keys, grams.directory, grams.directory_shift, hashes, numbers)
    index_of = {key: index for index, key in enumerate(keys.tolist())}
    assert numbers.tolist() == [index_of.get(number, -1) for number in hashes.tolist()]


@FAST
@given(WORDS, st.integers(1, 5))
def test_numbers_name_equal_n_grams(texts: Texts, n: int) -> None:
    """Equal n-grams have one number, others have others; places where none begins have -1."""
    posting = build_posting(*flat(texts), n, by_position=False)
    expected = [gram for text in texts for gram in [*oracle.grams(text, n), *[None] * min(n - 1, len(text))]]
    numbers = posting.numbers.tolist()
    assert [number < 0 for number in numbers] == [gram is None for gram in expected]
    pairs = {(number, gram) for number, gram in zip(numbers, expected, strict=True) if gram is not None}
    assert len(pairs) == len({number for number, _ in pairs}) == len({gram for _, gram in pairs})
    assert len(posting.grams.keys) == len(pairs)


@FAST
@given(WORDS, st.integers(1, 5))
def test_n_grams_of_few_texts_lead_to_all_of_them(texts: Texts, n: int) -> None:
    """At most eight texts: every n-gram leads to each of its texts once."""
    posting = build_posting(*flat(texts), n, by_position=False)
    _, starts = flat(texts)
    for t, text in enumerate(texts):
        for k in range(len(text) - n + 1):
            gram = int(posting.numbers[starts[t] + k])
            holding = [u for u, other in enumerate(texts) if oracle.grams(text, n)[k] in oracle.grams(other, n)]
            assert led_to(posting, gram) == holding


def test_shared_n_grams_lead_to_a_few_places() -> None:
    """A text's own words lead to it, a template's do not; a template alone, or a long shared passage, still does."""
    template = list(range(1, 11))
    many = SHARED_TEXTS + 4
    own = [[*template, 100 + t] for t in range(many)]
    posting = build_posting(*flat([*own, template]), 4, by_position=False)
    leads = [led_to(posting, gram) for gram in range(len(posting.grams.keys))]
    assert Counter(text for texts in leads for text in texts) == Counter(range(many + 1))
    assert many <= SHARED_PASSAGE
    # A passage of three windows, then a word of the text's own: one n-gram of each window leads to every text.
    passage = list(range(1, 3 * WINDOW + 1))
    posting = build_posting(*flat([[*passage, 1000 + t] for t in range(many)]), 4, by_position=True)
    for t in range(many):
        within = [
            index - t * (len(passage) + 1)
            for gram in range(len(posting.grams.keys))
            for index in led_to(posting, gram)
            if 0 <= index - t * (len(passage) + 1) <= len(passage)
        ]
        assert {index // WINDOW for index in within} >= {0, 1, 2}


@FAST
@given(
    st.lists(st.tuples(st.lists(st.integers(1, 2), max_size=12), st.lists(st.integers(1, 2), max_size=8)), min_size=1)
)
def test_idf_weights(parts: list[tuple[list[int], list[int]]]) -> None:
    """ln(1 + texts / texts that have it), at the first place of a 5-gram in a prompt and in an answer; none across."""
    texts = [prompt + answer for prompt, answer in parts]
    hashes, starts = flat(texts)
    prompts = np.array([len(prompt) for prompt, _ in parts], np.int64)
    holding = Counter(gram for pair in parts for gram in {gram for part in pair for gram in oracle.grams(part, 5)})
    expected: list[int] = []
    for pair in parts:
        for part in pair:
            weights = [0] * len(part)
            for k, gram in enumerate(oracle.grams(part, 5)):
                if gram not in oracle.grams(part, 5)[:k]:
                    weights[k] = round(math.log1p(len(parts) / holding[gram]) * IDF_UNIT)
            expected += weights
    assert idf_weights(hashes, starts, prompts, len(parts)).tolist() == expected


@FAST
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), max_size=4), min_size=1, max_size=4), st.data()
)
def test_words_that_spans_cover(rows: list[list[tuple[int, int]]], data: st.DataObject) -> None:
    """Spans are runs of n-grams as (skipped, length); of these, only n-grams that count cover their words."""
    n = 3
    sizes = [sum(map(sum, spans)) + n - 1 for spans in rows]
    starts = np.cumsum([0, *sizes]).astype(np.int64)
    counts = np.array(data.draw(st.lists(st.booleans(), min_size=int(starts[-1]), max_size=int(starts[-1]))), bool)
    expected = []
    for row, spans in enumerate(rows):
        words: set[int] = set()
        index = 0
        for skipped, length in spans:
            index += skipped
            for k in range(index, index + length):
                words |= set(range(k, k + n)) if counts[starts[row] + k] else set()
            index += length
        expected.append(len(words))
    joined = np.array([number for spans in rows for pair in spans for number in pair], np.int32)
    ends = np.cumsum([0, *(2 * len(spans) for spans in rows)]).astype(np.int64)
    result = covered_words(counts, starts, np.arange(len(rows)), ends, joined, n)
    assert result.tolist() == expected
