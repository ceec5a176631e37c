"""The reference is the coverage of the corpus's own documents, without their own text."""

import random
from pathlib import Path

import pytest

from corpus_audit.pipelines.tracing.reference import reference_coverage
from corpus_audit.pipelines.tracing.trace import TraceSettings, trace_text
from tests.pipelines.tracing import oracle
from tests.pipelines.tracing.making import index_of

SETTINGS = TraceSettings(shortest=3, stretches=1000)


def unique(generator: random.Random, words: int) -> str:
    return " ".join(f"w{generator.getrandbits(60):x}" for _ in range(words))


@pytest.fixture(scope="module")
def documents() -> list[str]:
    """Forty documents of words of their own; the last ten end with the same eight words."""
    generator = random.Random(1)
    ends = "as this is the end of it all"
    return [unique(generator, 12) + (f". {ends}" if n >= 30 else ". " + unique(generator, 8)) for n in range(40)]


def test_a_document_does_not_cover_itself(tmp_path: Path, documents: list[str]) -> None:
    index = index_of(tmp_path, [documents[:17], documents[17:]])
    stretches = reference_coverage(index, 20, 3, False, 1000)
    assert not isinstance(stretches, str)
    assert stretches.words.tolist() == [20] * 40
    assert sorted(stretches.covered.tolist()) == [0] * 30 + [8] * 10
    assert sorted(stretches.longest.tolist()) == [0] * 30 + [8] * 10


def test_whole_documents_are_covered_as_by_definition(tmp_path: Path, documents: list[str]) -> None:
    index = index_of(tmp_path, [documents[:17], documents[17:]])
    stretches = reference_coverage(index, 20, 3, False, 1000)
    assert not isinstance(stretches, str)
    for own in (0, 1, 29, 30, 39):
        assert stretches.covered[own] == oracle.trace(documents[own], documents, 3, False, skip=own)["covered"]


def test_a_text_is_compared_with_the_stretches(tmp_path: Path, documents: list[str]) -> None:
    index = index_of(tmp_path, [documents])
    copied = trace_text(index, documents[3], SETTINGS)
    assert copied.coverage == 1 and copied.reference is not None
    assert (copied.reference.stretches, copied.reference.as_high) == (40, 0)
    assert copied.reference.quantiles == pytest.approx((0, 0, 0, 0.4, 0.4))
    new = trace_text(index, unique(random.Random(2), 20), SETTINGS)
    assert new.coverage == 0 and new.reference is not None and new.reference.as_high == 40


def test_copies_of_a_document_cover_it(tmp_path: Path, documents: list[str]) -> None:
    index = index_of(tmp_path, [documents, documents[:1]])
    stretches = reference_coverage(index, 20, 3, False, 1000)
    assert not isinstance(stretches, str) and sorted(stretches.covered.tolist())[-2:] == [20, 20]


def test_stretches_begin_with_a_sentence_and_have_the_words_of_the_text(tmp_path: Path) -> None:
    generator = random.Random(3)
    sentence = "one two three four five six seven."
    documents = [f"{unique(generator, 1)}. " + " ".join([sentence] * 30) for _ in range(25)]
    stretches = reference_coverage(index_of(tmp_path, [documents]), 14, 7, False, 25)
    assert not isinstance(stretches, str)
    assert stretches.words.tolist() == [14] * 25
    # Two whole sentences, or, from the beginning of a document, a word of its own, a sentence and six words of another.
    assert set(stretches.covered.tolist()) <= {14, 7}
    assert 14 in stretches.covered


def test_there_is_no_reference_for_a_text_longer_than_the_documents(tmp_path: Path, documents: list[str]) -> None:
    index = index_of(tmp_path, [documents])
    trace = trace_text(index, " ".join(documents[:2]), SETTINGS)
    assert trace.reference is None and "as many words as the text: 0;" in trace.no_reference


def test_the_reference_is_the_same_every_time(tmp_path: Path, documents: list[str]) -> None:
    index, settings = index_of(tmp_path, [documents]), TraceSettings(stretches=25)
    first, second = (trace_text(index, "as this is", settings) for _ in range(2))
    assert first == second and first.reference is not None and first.reference.stretches == 25
