"""The scan and its evidence against plain Python, over odd Unicode and texts made of a few words."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.contamination import grams as grams_module
from corpus_audit.pipelines.contamination.benchmarks.normalisation import tables
from corpus_audit.pipelines.contamination.evidence import TextEvidence, per_text
from corpus_audit.pipelines.kernels.contamination.scan import MILLION
from corpus_audit.pipelines.kernels.text.normalised_words import hash_texts, hash_words, word_span
from corpus_audit.pipelines.tokens.tokenization import Tokenization, text_buffers
from tests.pipelines.contamination import oracle
from tests.pipelines.contamination.making import benchmark, counted, evidence_of, measure_of, pages_of
from tests.pipelines.contamination.oracle import Page, Text

SLOW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
ODD = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("indexes")


def hashed(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    offsets, data = text_buffers(pa.array(texts, pa.large_string()))
    return hash_texts(data, offsets, *tables())


@SLOW
@given(st.lists(ODD, min_size=1, max_size=6))
def test_words_are_those_of_the_oracle(texts: list[str]) -> None:
    """Equal words have equal hashes and others have others, wherever they stand; places are where they stand."""
    hashes, starts = hashed(texts)
    expected = [oracle.words(text) for text in texts]
    assert np.diff(starts).tolist() == [len(each) for each in expected]
    flat = [word for each in expected for word in each]
    assert len(set(zip(flat, hashes.tolist(), strict=True))) == len(set(flat)) == len(set(hashes.tolist()))
    for text, each in zip(texts, expected, strict=True):
        data = np.frombuffer(text.encode(), np.uint8)
        out, ends = np.zeros(len(data) + 1, np.uint64), np.zeros(len(data) + 1, np.int64)
        assert hash_words(data, *tables(), out, ends) == len(each)
        bounds = [0, *ends[: len(each)].tolist()]
        spans = [word_span(data, *tables(), a, b) for a, b in itertools.pairwise(bounds)]
        cut = [text.encode()[a:b].decode() for a, b in spans]
        assert [oracle.words(piece) for piece in cut] == [[word] for word in each]


def test_known_words() -> None:
    """Case, punctuation inside words, invisible and wide spaces, letters beyond ASCII and beyond the BMP."""
    text = "Don't  STOP—now…  «Ünïcode»\u00a0\u200bx_y \U0001d504 \u212a — İ"
    assert oracle.words(text) == ["dont", "stopnow", "ünïcode", "xy", "\U0001d504", "k", "İ"]
    hashes, _ = hashed([text])
    plain, _ = hashed(["dont stopnow ünïcode xy \U0001d504 k İ"])
    assert hashes.tolist() == plain.tolist()


def texts_of(pairs: list[tuple[str, str]], tokenization: Tokenization) -> list[Text]:
    pairs = [(normalize("NFC", prompt), normalize("NFC", answer)) for prompt, answer in pairs]
    joined = [f"{prompt}\n{answer}" if answer else prompt for prompt, answer in pairs]
    encoded = tokenization.encode_reference(joined)
    ids = [tuple(part.tolist()) for part in np.split(encoded.ids, encoded.offsets[1:-1])]
    return [Text(prompt, answer, tokens) for (prompt, answer), tokens in zip(pairs, ids, strict=True)]


def pages_with_tokens(pages: list[str], tokenization: Tokenization) -> list[Page]:
    pages = [normalize("NFC", page) for page in pages]
    encoded = tokenization.encode_reference(pages)
    parts = np.split(encoded.ids, encoded.offsets[1:-1])
    return [Page(page, tuple(part.tolist())) for page, part in zip(pages, parts, strict=True)]


def compare(evidence: TextEvidence, texts: list[Text], pages: list[Page], limit: int | None) -> None:
    index = evidence.index
    eights, thirteens = oracle.holders(pages, 8), oracle.holders(pages, 13)
    expected = {
        "eights": [sum(oracle.in_corpus(t.words, eights, 8, limit)) for t in texts],
        "thirteens": [sum(oracle.in_corpus(t.words, thirteens, 13, limit)) for t in texts],
        "words": [oracle.covered(oracle.in_corpus(t.words, eights, 8, limit), 8) for t in texts],
        "one": [oracle.best_document_words(t, pages, limit) for t in texts],
        "longest": [max(oracle.longest_run(t.words, oracle.words(page.text))[0] for page in pages) for t in texts],
        "tokens": [oracle.covered_tokens(t, pages, limit) for t in texts],
    }
    actual = {
        "eights": per_text(evidence.words_in_corpus(limit), index.texts.starts).tolist(),
        "thirteens": per_text(evidence.long_words_in_corpus(limit), index.texts.starts).tolist(),
        "words": evidence.covered_words(limit).tolist(),
        "one": evidence.best_document_words(limit).tolist(),
        "longest": evidence.longest_words().tolist(),
        "tokens": list(zip(evidence.covered_tokens(limit).tolist(), evidence.longest_tokens().tolist(), strict=True)),
    }
    assert actual == expected


def decomposed(text: str) -> str:
    return normalize("NFD", text)


def drawn(rng: random.Random, odd: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Items, some of few words that repeat, and pages of pieces of them, changed here and there, between odd text."""
    pairs = []
    for i in range(rng.randrange(1, 5)):
        words = rng.choice([["na", "ba", "da"], [f"wé{k}" for k in range(60)]])
        prompt = [rng.choice(words) for _ in range(rng.choice([3, 10, 14, 30]))]
        pairs.append((" ".join([*prompt, f"item{i}"]), rng.choice(["", "", "so it is", " ".join(prompt[:9])])))
    pages: list[str] = []
    for _ in range(rng.randrange(2, 6)):
        parts = list(odd)
        for _ in range(rng.randrange(1, 4)):
            prompt, answer = rng.choice(pairs)
            words = f"{prompt}\n{answer}".split(" ")
            start = rng.choice([0, rng.randrange(len(words))])
            piece = words[start : start + rng.randrange(8, 50)]
            for _ in range(rng.choice([0, 0, 1, 3])):
                piece[rng.randrange(len(piece))] = rng.choice(["changed", "na", "two words"])
            parts.append(rng.choice([str, decomposed, str.upper, "«{}»".format])(" ".join(piece)))
        rng.shuffle(parts)
        pages.append(rng.choice([" ", "\n\n", " — "]).join(parts))
    return pairs, pages + pages[: rng.choice([0, 1, 2])]


@SLOW
@given(st.integers(0, 2**32), st.lists(ODD, max_size=3), st.sampled_from([None, 1, 2]))
def test_evidence_is_that_of_the_oracle(
    tokenization: Tokenization, folder: Path, seed: int, odd: list[str], limit: int | None
) -> None:
    pairs, pages = drawn(random.Random(seed), odd)
    measure = measure_of(tokenization, folder, benchmark(*pairs))
    texts = texts_of(list(dict.fromkeys(pairs)), tokenization)
    compare(evidence_of(measure, tokenization, pages), texts, pages_with_tokens(pages, tokenization), limit)


TEMPLATE = "read the following passage with care and choose the one answer that fits it best of all"


@pytest.mark.parametrize("questions", [3, 40])
def test_a_passage_that_many_items_share(tokenization: Tokenization, folder: Path, questions: int) -> None:
    """A document with the passage and none of its questions is found behind every one of the items."""
    assert 3 < grams_module.SHARED_TEXTS < 40 < grams_module.SHARED_PASSAGE
    passage = " ".join(f"p{i}" for i in range(80))
    pairs = [(f"{passage}\nquestion{i} of many that are asked here about it", f"a{i}") for i in range(questions)]
    measure = measure_of(tokenization, folder, benchmark(*pairs))
    text = f"from a book: {passage}. And so on"
    page = pages_with_tokens([text], tokenization)
    evidence = evidence_of(measure, tokenization, [text])
    expected = [oracle.best_document_words(each, page, None) for each in texts_of(pairs, tokenization)]
    assert evidence.best_document_words(None).tolist() == expected == [80] * questions
    assert evidence.longest_words().tolist() == expected
    assert (evidence.covered_tokens(None) / evidence.tokens > 0.7).all()


@pytest.mark.parametrize("questions", [3, 40])
def test_a_template_that_many_items_share(tokenization: Tokenization, folder: Path, questions: int) -> None:
    """With 40 items its n-grams lead to no text, but an item that is copied with it is found whole all the same, and
    so is one that consists of it alone."""
    pairs = [
        (f"{TEMPLATE} item{i} of a{i} b{i} c{i} d{i} e{i} f{i} g{i} h{i} and so on {TEMPLATE}", "")
        for i in range(questions)
    ]
    pairs.append((TEMPLATE, ""))
    measure = measure_of(tokenization, folder, benchmark(*pairs))
    page = f"some words before\n\n{pairs[1][0]}\n\nand some behind"
    evidence = evidence_of(measure, tokenization, [page, f"x {TEMPLATE}\ny"])
    words, tokens = evidence.words, evidence.tokens
    assert evidence.best_document_words(None)[[1, questions]].tolist() == words[[1, questions]].tolist()
    assert evidence.longest_words()[[1, questions]].tolist() == words[[1, questions]].tolist()
    assert (evidence.covered_tokens(None)[[1, questions]] >= tokens[[1, questions]] - 2).all()
    assert evidence.covered_words(None)[1] == words[1]


def test_llama2_skips_four_tokens_and_no_more(tokenization: Tokenization, folder: Path) -> None:
    """Ten words stand, then every third is another: the match ends before the fifth that differs."""
    text = " ".join(f"w{i}" for i in range(40))
    measure = measure_of(tokenization, folder, benchmark(text))
    words = text.split()
    for changed, _ in ((2, 0), (4, 0), (6, 0)):
        page = list(words)
        for k in range(changed):
            page[15 + 3 * k] = "q"
        texts, pages = texts_of([(text, "")], tokenization), pages_with_tokens([" ".join(page)], tokenization)
        compare(evidence_of(measure, tokenization, [" ".join(page)]), texts, pages, None)


def test_offsets_point_at_the_match(tokenization: Tokenization, folder: Path) -> None:
    text = "the plane face of a plano convex lens of focal length twenty is silvered"
    measure = measure_of(tokenization, folder, benchmark(text))
    page = f"Überschrift — first.\n\n«{text.upper()}!» And more."
    partial = counted(measure, pages_of(measure, tokenization, ["nothing here", page]))
    columns = partial.tables["matches"].columns
    offset, length = int(columns["offset"][0]), int(columns["length"][0])
    assert page.encode()[offset : offset + length].decode() == text.upper()


def idf(text: Text, texts: list[Text], window: list[str]) -> int:
    weights = oracle.idf_weights(texts)
    own = set(oracle.grams(oracle.words(text.prompt), 5))
    shared = own & set(oracle.grams(window, 5))
    return sum(weights[g] for g in shared) * MILLION // sum(weights[g] for g in own)


def test_idf_scores(tokenization: Tokenization, folder: Path) -> None:
    """The weighted share of the prompt, and nothing where the answer is missing or too far away."""
    prompt = " ".join(f"p{i}" for i in range(60))
    answer = "forty two"
    common = (" ".join(f"p{i}" for i in range(30)), "")
    pairs = [(prompt, answer), common, (prompt + " more", " ".join(f"a{i}" for i in range(12)))]
    measure = measure_of(tokenization, folder, benchmark(*pairs))
    texts = texts_of(pairs, tokenization)
    edited = prompt.replace("p45", "zzz")
    far = " ".join(["filler"] * 200)
    for page, near in (
        (f"before {prompt}\n{answer} behind", True),
        (f"before {edited}. Answer: Forty-two? No: forty two.", True),
        (f"before {prompt} {far} {answer}", False),
        (f"before {prompt}", False),
    ):
        score = evidence_of(measure, tokenization, [page]).idf_scores()
        assert round(score[0] * MILLION) == (idf(texts[0], texts, oracle.words(page)) if near else 0)
        assert score[1] == 1.0
        assert score[2] == 0.0
    evidence_of_copy = evidence_of(measure, tokenization, [f"{pairs[2][0]}\n{pairs[2][1]}"])
    assert evidence_of_copy.idf_scores()[2] == 1.0


UNICODE = [
    "Die Straße war groß und die Maße waren süß, sagte der Fußgänger auf der Gasse am Abend noch einmal leise",
    "İstanbul ve Iğdır ile Isparta arasında ışıklı bir yol İzmir üzerinden geçer ve orada ılık rüzgâr eser dedi",
    "The ﬁrst ﬂoor oﬃce of the aﬄuent ﬁnancier was ﬁlled with ﬂowers and ﬁne ﬁgures of the ﬂeet in ﬂight today",
    "Ｆｕｌｌ ｗｉｄｔｈ ｌｅｔｔｅｒｓ ａｒｅ ａｎｏｔｈｅｒ "
    "ｗａｙ ｏｆ ｗｒｉｔｉｎｇ ｗｈａｔ ａ ｒｅａｄｅｒ ｓｅｅｓ ａｓ ｔｈｅ "
    "ｓａｍｅ ｔｅｘｔ ｏｎ ａ ｐａｇｅ",
    "e\u0301te\u0301 a\u0300 la plage ou\u0300 l'eau est tie\u0300de "
    "et les e\u0301toiles s'e\u0301teignent apre\u0300s minuit"
    " comme des feux e\u0301tranges sur la mer",
    "𝔄 𝔟𝔬𝔬𝔨 𝔬𝔣 𝔣𝔯𝔞𝔨𝔱𝔲𝔯 and 𐐀𐐁𐐂 letters beyond the first plane are words like any other words in a row here",
]


@pytest.mark.parametrize("item", UNICODE)
def test_letters_whose_lower_case_is_longer_or_far_away(tokenization: Tokenization, folder: Path, item: str) -> None:
    """Items and corpus are normalised alike, and offsets are those of the page as it was written."""
    before = "ǅ İİ ẞ ﬃ e\u0301 Ⅷ 𝔄! "
    measure = measure_of(tokenization, folder, benchmark(item))
    page = f"{before}\n«{item}»\u200b — {before}"
    partial = counted(measure, pages_of(measure, tokenization, ["nothing here", page]))
    columns = partial.tables["matches"].columns
    offset, length = int(columns["offset"][0]), int(columns["length"][0])
    assert page.encode()[offset : offset + length].decode() == item
    evidence = TextEvidence(measure.scanner.index, partial)
    assert int(evidence.copies.sum()) == 0
    shares = pages_of(measure, tokenization, [page.replace(item, item[::-1])])
    assert not len(counted(measure, shares).tables["matches"].columns["offset"])
