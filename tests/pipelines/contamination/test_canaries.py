"""Canaries: what their pages are, that a sound scan finds them all, and that unsound ones are seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from corpus_audit.pipelines.contamination import scan as scan_module
from corpus_audit.pipelines.contamination.benchmarks.items import Benchmark
from corpus_audit.pipelines.contamination.canaries import plant_canaries
from corpus_audit.pipelines.contamination.copies import COPIES
from corpus_audit.pipelines.contamination.evaluate import contamination_tables
from corpus_audit.pipelines.contamination.measure import Contamination
from corpus_audit.pipelines.kernels.contamination import words as contamination_words
from corpus_audit.pipelines.kernels.contamination.runs import common_runs
from corpus_audit.pipelines.kernels.contamination.words import scan_words
from corpus_audit.pipelines.tokens.tokenization import Tokenization
from corpus_audit.runners.audit.benchmarks import self_check
from corpus_audit.schemas.spec.benchmarks import BenchmarkSpec, ContaminationSpec
from tests.pipelines.contamination.making import benchmark, measure_of, pieces, prose

SPEC = ContaminationSpec(benchmarks=(BenchmarkSpec(name="quiz", paths=("quiz.jsonl",)),))

LENGTHS = (8, 13, *range(20, 200, 6))


@pytest.fixture(scope="module")
def passages() -> list[str]:
    """Pieces of a corpus, of 30 to 110 words."""
    return list(pieces(prose(1, 4000), [30 + 2 * i for i in range(40)]))


@pytest.fixture(scope="module")
def quiz() -> Benchmark:
    """Items of 8 to 194 words and answers of three."""
    sizes = [size for length in LENGTHS for size in (length, 3)]
    parts = list(pieces(prose(2, sum(sizes)), sizes))
    return benchmark(*zip(parts[::2], parts[1::2], strict=True))


@pytest.fixture(scope="module")
def measure(quiz: Benchmark, tokenization: Tokenization, tmp_path_factory: pytest.TempPathFactory) -> Contamination:
    return measure_of(tokenization, tmp_path_factory.mktemp("index"), quiz)


def checked(
    measure: Contamination, quiz: Benchmark, tokenization: Tokenization, passages: list[str]
) -> tuple[dict[str, float], bool]:
    """(recall by rule, whether the self-check holds)."""
    planted = plant_canaries(measure, [quiz], tokenization, 40, passages)
    tables = contamination_tables(SPEC, measure.scanner.index, measure.empty(), planted)
    for row in tables["contamination_copies"].to_pylist():
        assert row["canaries"] or row["reason"], row
    recall = {row["rule"]: row["recall"] for row in tables["contamination_check"].to_pylist()}
    return recall, self_check(tables).holds


def pages_planted(
    measure: Contamination,
    quiz: Benchmark,
    tokenization: Tokenization,
    passages: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> list[str]:
    scanned: list[str] = []
    scan = measure.scanner.scan

    def kept(text: pa.LargeStringArray, *rest: Any) -> Any:
        scanned.extend(text.to_pylist())
        return scan(text, *rest)

    monkeypatch.setattr(measure.scanner, "scan", kept)
    plant_canaries(measure, [quiz], tokenization, 40, passages)
    sizes = [len(planted.texts) for planted in plant_canaries(measure, [quiz], tokenization, 40, passages)]
    first = sum(sizes[: [copy.quoted for copy in COPIES].index(True)])
    return scanned[first : first + sizes[[copy.quoted for copy in COPIES].index(True)]]


@pytest.mark.parametrize("own", [True, False])
def test_a_page_quotes_the_opening_far_from_the_item(
    measure: Contamination,
    quiz: Benchmark,
    tokenization: Tokenization,
    passages: list[str],
    monkeypatch: pytest.MonkeyPatch,
    own: bool,
) -> None:
    pages = pages_planted(measure, quiz, tokenization, passages if own else [], monkeypatch)
    items = [item for item in quiz.items if len(item.text.split()) >= 24]
    assert len(items) == sum(length + 3 >= 24 for length in LENGTHS) == 29
    for item, page in zip(items, pages, strict=True):
        words, opening = item.text.split(), item.text.split()[:10]
        before, behind = (part.split() for part in page.split(item.text, 1))
        assert before[:10] == opening
        assert len(before) >= len(words) + 10
        assert any(behind[i : i + 10] == opening for i in range(len(words), len(behind)))
        assert not own or any(passage in page for passage in passages)


@pytest.mark.parametrize("own", [True, False])
def test_a_sound_scan_finds_all(
    measure: Contamination, quiz: Benchmark, tokenization: Tokenization, passages: list[str], own: bool
) -> None:
    recall, holds = checked(measure, quiz, tokenization, passages if own else [])
    assert recall == dict.fromkeys(SPEC.rules, 1.0)
    assert holds


@pytest.mark.parametrize("occurrence", [0, -1])
def test_a_scan_that_looks_at_another_occurrence_is_seen(
    measure: Contamination,
    quiz: Benchmark,
    tokenization: Tokenization,
    passages: list[str],
    monkeypatch: pytest.MonkeyPatch,
    occurrence: int,
) -> None:
    """The first, or the last, occurrence of an item's first 8-gram is taken for the copy."""

    def at_one_occurrence(*arguments: Any) -> tuple[int, int, np.ndarray, int]:
        _, _, text, texts, marks, serial, positions, following, *_ = arguments
        first, longest, origins, tried = common_runs(*arguments)
        gram = texts.grams[texts.starts[text]]
        if gram < 0 or marks.words[gram] != serial:
            return first, longest, origins, tried
        chain = [int(marks.word_heads[gram])]
        while following[chain[-1]] >= 0:
            chain.append(int(following[chain[-1]]))
        return first, longest, np.array([positions[chain[occurrence]]]), 1

    monkeypatch.setattr(contamination_words, "common_runs", at_one_occurrence)
    monkeypatch.setattr(scan_module, "scan_words", scan_words.py_func)
    recall, holds = checked(measure, quiz, tokenization, passages)
    assert recall.pop("decon_idf") < 0.9  # all but the pages that quote the opening
    assert set(recall.values()) == {1.0}
    assert not holds


def test_a_scan_that_sees_no_words_is_seen(
    measure: Contamination,
    quiz: Benchmark,
    tokenization: Tokenization,
    passages: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The word scan gives nothing at all: every rule on words is noticed, the one on tokens still finds its own."""

    def blind(data: np.ndarray, offsets: np.ndarray, *rest: Any) -> Any:
        return scan_words(data[:0], np.zeros_like(offsets), *rest)

    monkeypatch.setattr(scan_module, "scan_words", blind)
    recall, holds = checked(measure, quiz, tokenization, passages)
    assert recall.pop("llama2") == 1.0
    assert set(recall.values()) == {0.0}
    assert not holds
