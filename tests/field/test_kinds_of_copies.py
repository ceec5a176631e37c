"""Copies that are not quite verbatim (found in a trial of this program by its users).

Forty passages were copied word for word into a benchmark, with white space collapsed and a dummy answer. The run said
"all planted found", of canaries that were verbatim copies, while gpt3 found 37 of the forty, llama2 10 and decon_idf 2.
Right: every kind of copy that happens is planted, and what each rule finds of each kind is said. The figures are held
against the rules in plain Python here.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pyarrow as pa
import pytest

from corpus_audit.pipelines.contamination.benchmarks.items import Benchmark, Item
from corpus_audit.pipelines.contamination.canaries import plant_canaries
from corpus_audit.pipelines.contamination.copies import COPIES
from corpus_audit.pipelines.contamination.evaluate import contamination_tables
from corpus_audit.pipelines.tokens.tokenization import Tokenization, load_tokenizer
from corpus_audit.runners.audit.benchmarks import self_check
from corpus_audit.schemas.spec.benchmarks import ALL_RULES, BenchmarkSpec, ContaminationSpec
from tests import corpora
from tests.pipelines.contamination import oracle
from tests.pipelines.contamination.making import measure_of, pieces, prose
from tests.pipelines.contamination.oracle import Page, Text

SPEC = ContaminationSpec(benchmarks=(BenchmarkSpec(name="quiz", paths=("q",)),))


@pytest.fixture(scope="module")
def tokenization(tmp_path_factory: pytest.TempPathFactory) -> Tokenization:
    folder = tmp_path_factory.mktemp("bpe")
    return Tokenization(load_tokenizer(str(corpora.small_bpe(folder, vocabulary=600)), folder, folder / "used"))


def items() -> tuple[Item, ...]:
    """Prose in lines that are indented, with quotes, dashes and accents; some without an answer."""
    sizes = [size for number in range(14) for size in (26 + 9 * number, 3 + number % 4)]
    parts = [part.replace("-", " -- ", 1) for part in pieces(prose(8, sum(sizes)), sizes)]
    parts = [re.sub(r"((?:\S+ ){2})", r"\1\n    ", part) for part in parts]
    return tuple(
        Item(f"i{number}", f'"{prompt}" it\'s', "" if number % 5 == 4 else answer)
        for number, (prompt, answer) in enumerate(zip(parts[::2], parts[1::2], strict=True))
    )


def found_by(rule: str, text: Text, page: Page, weights: dict[tuple[object, ...], int]) -> bool | None:
    """Whether a rule finds an item on the one page where it was planted; None where it is too short. By definition."""
    words, own = text.words, oracle.words(page.text)
    if rule == "decon_idf":
        prompt = oracle.words(text.prompt)
        if len(prompt) < 20 or len(set(prompt)) < 4:
            return None
        score = oracle.idf_score(text, own, weights, 32)
        low = Fraction(815, 1000)
        needed = max(low, min(Fraction(1), 1 - (1 - low) * (len(prompt) - 25) / 25))
        return Fraction(score, 1_000_000) >= needed
    if rule == "llama2":
        return 5 * oracle.covered_tokens(text, [page], None)[0] >= 4 * len(text.tokens)
    size = 13 if rule == "gpt3" else 8
    in_text = [gram in set(oracle.grams(own, size)) for gram in oracle.grams(words, size)]
    if rule == "gpt3":
        return any(in_text)
    if rule == "palm":
        return 10 * sum(in_text) >= 7 * len(in_text)
    covered = oracle.covered(in_text, 8)
    return 2 * covered > len(words) if rule == "tulu3" else covered == len(words)


@pytest.mark.slow
def test_recall_is_reported_by_kind_of_copy(
    tokenization: Tokenization, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiz = Benchmark("quiz", items(), 14)
    measure = measure_of(tokenization, tmp_path, quiz)
    planted_pages: list[list[str]] = []
    scan = measure.scanner.scan

    def kept(text: pa.LargeStringArray, *rest: Any) -> Any:
        planted_pages.append(text.to_pylist())
        return scan(text, *rest)

    monkeypatch.setattr(measure.scanner, "scan", kept)
    planted = plant_canaries(measure, [quiz], tokenization, 14)
    tables = contamination_tables(SPEC, measure.scanner.index, measure.empty(), planted)
    rows = {(row["rule"], row["copy"]): row for row in tables["contamination_copies"].to_pylist()}
    assert len(rows) == len(ALL_RULES) * len(COPIES)

    def ids(texts: list[str]) -> list[tuple[int, ...]]:
        encoded = tokenization.encode_reference([normalize("NFC", text) for text in texts])
        return [tuple(encoded.ids[a:b].tolist()) for a, b in zip(encoded.offsets, encoded.offsets[1:], strict=False)]

    texts = [
        Text(item.prompt, item.answer, tokens)
        for item, tokens in zip(quiz.items, ids([item.text for item in quiz.items]), strict=True)
    ]
    weights = oracle.idf_weights(texts)
    for copy, result, pages in zip(COPIES, planted, planted_pages, strict=True):
        assert len(pages) >= 11, copy.name
        with_tokens = [Page(normalize("NFC", page), tokens) for page, tokens in zip(pages, ids(pages), strict=True)]
        for rule in ALL_RULES:
            outcomes = [
                found_by(rule, texts[number], page, weights)
                for number, page in zip(result.texts.tolist(), with_tokens, strict=True)
            ]
            row = rows[rule, copy.name]
            assert row["canaries"] == sum(outcome is not None for outcome in outcomes), (rule, copy.name)
            assert row["found"] == sum(outcome is True for outcome in outcomes), (rule, copy.name)
            assert not row["required"] or row["recall"] == 1.0, (rule, copy.name)
    # What a trial would have needed to know: white space costs the rule on tokens, a missing answer costs decon.
    assert rows["llama2", "white_space"]["recall"] < 1.0 == rows["gpt3", "white_space"]["recall"]
    assert rows["decon_idf", "no_answer"]["recall"] == 0.0 < rows["gpt3", "no_answer"]["recall"]
    assert self_check(tables).holds


def test_kinds_are_what_they_say() -> None:
    made = {copy.name: copy.make(Item("i", '  "Kühl" -- it\'s  so;\n\tand so on', "B\u00e4r")) for copy in COPIES}
    assert made["white_space"] == '"Kühl" -- it\'s so; and so on Bär'
    assert made["case"] == '  "kühl" -- it\'s  so;\n\tand so on\nbär'
    assert made["typography"] == "  “Kühl” — it’s  so;\n\tand so on\nBär"
    assert made["no_answer"] == '  "Kühl" -- it\'s  so;\n\tand so on'
    assert made["normal_form"] == normalize("NFD", '  "Kühl" -- it\'s  so;\n\tand so on\nBär')
    assert made["repeated_opening"] is None
    plain = {copy.name: copy.make(Item("i", "Keep it; so")) for copy in COPIES}
    assert plain["normal_form"] == "\u212aeep it\u037e so"
    assert normalize("NFC", plain["normal_form"] or "") == "Keep it; so"
    assert [name for name, text in plain.items() if text is None] == [
        "repeated_opening", "white_space", "line_wraps", "typography", "no_answer",
    ]  # fmt: skip
