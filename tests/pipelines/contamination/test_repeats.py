"""Texts and documents of a few words that repeat: which occurrence of an n-gram a match holds, against plain Python."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.contamination.evidence import TextEvidence, spans_of
from corpus_audit.pipelines.contamination.grams import SHARED_TEXTS
from corpus_audit.pipelines.contamination.rules import RULES, evaluate_rule
from corpus_audit.pipelines.kernels.contamination.scan import REPEATS
from corpus_audit.pipelines.tokens.tokenization import Tokenization
from tests.pipelines.contamination import oracle
from tests.pipelines.contamination.making import benchmark, counted, evidence_of, measure_of, pages_of
from tests.pipelines.contamination.oracle import Text

SLOW = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
LETTERS = ("né", "ba", "do", "ku", "xi", "zz")


@dataclass(frozen=True)
class Case:
    """Two items, as words of prompt and answer, and pages of pieces of them."""

    items: list[tuple[list[str], list[str]]]
    pages: list[list[str]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Words of a small alphabet, motifs that repeat, pieces of the items whole, cut, edited and repeated."""
    word = st.sampled_from(LETTERS[: draw(st.sampled_from([1, 2, 3, 6]))])

    def passage(most: int) -> list[str]:
        motif = draw(st.lists(word, min_size=1, max_size=draw(st.sampled_from([2, 5, most]))))
        return (motif * draw(st.sampled_from([1, 1, 2, 9])))[:most] + draw(st.lists(word, max_size=6))

    items = [(passage(40), draw(st.sampled_from([[], ["yes"], passage(8)]))) for _ in range(draw(st.integers(1, 2)))]
    pages = []
    for _ in range(draw(st.integers(1, 2))):
        page: list[str] = []
        for _ in range(draw(st.integers(1, 5))):
            prompt, answer = draw(st.sampled_from(items))
            piece = prompt + answer
            start = draw(st.sampled_from([0, 0, draw(st.integers(0, len(piece)))]))
            piece = piece[start : start + draw(st.sampled_from([9, 14, 99]))]
            for position in draw(st.lists(st.integers(0, 60), max_size=2)):
                piece[position : position + 1] = draw(st.sampled_from([["zz"], ["other", "words"]]))
            page += draw(st.sampled_from([[], [f"f{i}" for i in range(draw(st.integers(1, 60)))]]))
            piece = piece + draw(st.sampled_from([[], ["between"]]))
            page += piece * draw(st.sampled_from([1, 1, 1, 2, 40 if len(piece) < 15 else 3]))
        pages.append(page)
    return Case(items, pages)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("indexes")


def joined(words: list[str]) -> str:
    return " ".join(words)


def tokens_of(texts: list[str], tokenization: Tokenization) -> list[tuple[int, ...]]:
    encoded = tokenization.encode_reference(texts)
    return [tuple(part.tolist()) for part in np.split(encoded.ids, encoded.offsets[1:-1])]


def span(page: list[str], first: int, count: int) -> tuple[int, int]:
    """(first byte, bytes) of words of a page whose words have one space between them."""
    before = len(joined(page[:first]).encode()) + (first > 0)
    return before, len(joined(page[first : first + count]).encode())


@SLOW
@given(cases())
def test_hits_are_those_of_the_oracle(tokenization: Tokenization, folder: Path, case: Case) -> None:
    """Every number that the scan gives: n-grams of all rules, coverage, the longest match and its bytes, IDF."""
    pairs = list(dict.fromkeys((joined(prompt), joined(answer)) for prompt, answer in case.items))
    pages = [joined(page) for page in case.pages]
    measure = measure_of(tokenization, folder, benchmark(*pairs))
    index = measure.scanner.index
    tokens = tokens_of([f"{prompt}\n{answer}" if answer else prompt for prompt, answer in pairs], tokenization)
    texts = [Text(*pair, ids) for pair, ids in zip(pairs, tokens, strict=True)]
    hits = pages_of(measure, tokenization, pages).hits
    page_tokens = tokens_of(pages, tokenization)
    weights = oracle.idf_weights(texts)

    expected = {}
    for d, page in enumerate(case.pages):
        own = set(oracle.grams(page, 8))
        for t, text in enumerate(texts):
            longest, first = oracle.longest_run(text.words, page)
            if longest:
                covered = oracle.covered([gram in own for gram in oracle.grams(text.words, 8)], 8)
                score = oracle.idf_score(text, page, weights, REPEATS)
                expected[d, t] = (covered, longest - 7, *span(page, first, longest), score)
    assert {(row[0], row[1]): tuple(row[2:]) for row in hits.pairs.tolist()} == expected
    most = max(max(Counter(oracle.grams(page, 8)).values(), default=0) for page in case.pages)
    event(f"a frequent 8-gram: {most > REPEATS}")

    starts = index.gram_starts
    for numbers, n, first, of_texts, of_pages in (
        (index.texts.grams, 8, starts[0], [text.words for text in texts], case.pages),
        (index.long_numbers, 13, starts[1], [text.words for text in texts], case.pages),
        (index.texts.token_grams, 10, starts[2], [text.tokens for text in texts], page_tokens),
    ):
        flat = [gram for text in of_texts for gram in [*oracle.grams(text, n), *[()] * min(n - 1, len(text))]]
        names = {int(number) + first: gram for number, gram in zip(numbers, flat, strict=True) if number >= 0}
        actual = {(int(d), names[g]) for d, g in zip(hits.gram_rows, hits.grams, strict=True) if g in names}
        assert actual == {
            (d, gram) for d, page in enumerate(of_pages) for gram in oracle.grams(page, n) if gram in flat
        }

    frequent = max(Counter(gram for text in texts for gram in oracle.grams(text.tokens, 10)).values(), default=0)
    event(f"tokens compared: {frequent <= SHARED_TEXTS}")
    if frequent <= SHARED_TEXTS:  # n-grams of more places lead to some of them alone
        best: Counter[int] = Counter()
        longest_tokens = {}
        for d, ids in enumerate(page_tokens):
            for t, text in enumerate(texts):
                matches = oracle.token_matches(text.tokens, ids)
                best |= Counter({int(index.texts.token_starts[t]) + k: length for k, length in matches.items()})
                if matches:
                    longest_tokens[d, t] = max(matches.values())
        assert dict(zip(hits.positions.tolist(), hits.lengths.tolist(), strict=True)) == dict(best)
        assert {(row[0], row[1]): row[2] for row in hits.token_pairs.tolist()} == longest_tokens


@SLOW
@given(cases(), st.integers(0, 2))
def test_a_copy_is_found_whatever_stands_before_it(
    tokenization: Tokenization, folder: Path, case: Case, item: int
) -> None:
    """Every rule finds a testable item that a page has in full, whatever repeats in the page or in the item."""
    prompt, answer = case.items[item % len(case.items)]
    text = f"{joined(prompt)}\n{joined(answer)}" if answer else joined(prompt)
    measure = measure_of(tokenization, folder, benchmark((joined(prompt), joined(answer))))
    page = "\n\n".join([*map(joined, case.pages), text, *map(joined, case.pages)])
    evidence = evidence_of(measure, tokenization, [page])
    for rule in RULES.values():
        judged = evaluate_rule(rule, evidence, None, np.ones(1))
        assert judged.contaminated[0] == judged.testable[0], rule.name


def test_the_run_itself_is_pointed_at(tokenization: Tokenization, folder: Path) -> None:
    """The opening is quoted first, and again behind the copy; the copy is what the row names, and IDF finds it."""
    prompt = [f"w{i}" for i in range(40)]
    page = f"{joined(prompt[:10])} {'filler ' * 90} {joined(prompt)} yes, {'filler ' * 90} {joined(prompt[:10])}"
    measure = measure_of(tokenization, folder, benchmark((joined(prompt), "yes")))
    columns = counted(measure, pages_of(measure, tokenization, [page])).tables["matches"].columns
    offset, length = int(columns["offset"][0]), int(columns["length"][0])
    assert page.encode()[offset : offset + length].decode() == f"{joined(prompt)} yes"
    assert evidence_of(measure, tokenization, [page]).idf_scores().tolist() == [1.0]


def test_pieces_of_several_places_are_no_long_match(tokenization: Tokenization, folder: Path) -> None:
    """Both halves of an item, the second first, with the seven words around the seam in both: all of its 8-grams."""
    words = [f"w{i}" for i in range(40)]
    page = f"{joined(words[13:])} and {joined(words[:20])}"
    measure = measure_of(tokenization, folder, benchmark(joined(words)))
    partial = counted(measure, pages_of(measure, tokenization, [page]))
    evidence = TextEvidence(measure.scanner.index, partial)
    assert evidence.best_document_words(None).tolist() == [40]
    assert evidence.longest_words().tolist() == [27]
    assert spans_of(partial.tables["matches"].columns["spans"])[1].tolist() == [0, 33]


def test_a_template_that_a_document_repeats(tokenization: Tokenization, folder: Path) -> None:
    """Items whose every 8-gram stands often are found as well, by their longest run."""
    template = [f"t{i}" for i in range(12)]
    often = f"{joined(template)} . " * (REPEATS + 5)
    own = [f"own{i}" for i in range(25)]
    measure = measure_of(tokenization, folder, benchmark(joined(template), joined(template + own)))
    evidence = evidence_of(measure, tokenization, [f"{often} {joined(template + own)} {often}"])
    assert evidence.longest_words().tolist() == [12, 37]
    assert evidence.idf_scores().tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("pieces", "longest", "first"),
    [
        ([("ba", 8, 40), ("ba", 9, 1)], 9, 40 * 9),
        ([("do", 9, 40), ("ba", 9, 40)], 9, 0),
        ([("ba", 8, 40), ("do", 9, 1)], 9, 40 * 9),
        ([("do", 9, 1), ("ba", 9, 40)], 9, 0),
        ([("ba", 9, 40), ("do", 9, 1)], 9, 0),
    ],
)
def test_runs_of_frequent_words(
    tokenization: Tokenization, folder: Path, pieces: list[tuple[str, int, int]], longest: int, first: int
) -> None:
    """(word, times in a row, how often that stands in the page): the longest, and of these the first, is named."""
    measure = measure_of(tokenization, folder, benchmark(joined(["ba"] * 9 + ["so"] + ["do"] * 9)))
    page = [each for word, times, often in pieces for each in ([word] * times + ["between"]) * often]
    pairs = pages_of(measure, tokenization, [joined(page)]).hits.pairs
    assert pairs[:, 3].tolist() == [longest - 7]
    assert tuple(pairs[0, 4:6].tolist()) == span(page, first, longest)
