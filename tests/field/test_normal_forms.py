"""deja-vu#1098: text in Unicode's Form D (names and text from macOS, OCR, PDF tools) is not found by text in Form C.

Twenty benchmark items stood verbatim in a corpus, in the other normal form; no rule found one, and the scan's own check
said that all was well. Right: canonically equivalent texts are the same text, for every rule and both ways, and the
check plants copies in the other form, so that it says so by itself if they are not found.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unicodedata import normalize

import pyarrow as pa
import pytest

from corpus_audit.pipelines.contamination import scan
from corpus_audit.pipelines.contamination.benchmarks import normal_form
from corpus_audit.pipelines.contamination.benchmarks.items import Benchmark, Item
from corpus_audit.pipelines.contamination.canaries import plant_canaries
from corpus_audit.pipelines.contamination.evaluate import contamination_tables
from corpus_audit.pipelines.tokens.tokenization import Tokenization, load_tokenizer
from corpus_audit.runners.audit.benchmarks import self_check
from corpus_audit.schemas.spec.benchmarks import ALL_RULES, BenchmarkSpec, ContaminationSpec
from tests import corpora
from tests.pipelines.contamination.making import counted, measure_of, pages_of

SPEC = ContaminationSpec(benchmarks=(BenchmarkSpec(name="quiz", paths=("q",)),), llama3_threshold=0.8)
TEXT = "été où naïve déjà Größe Übung señor žluťoučký kůň tiếng Việt ngữ điểm 한국어 문장 Ελλάδα ώρα ёлка й Åse"
WORDS = TEXT.split()


@pytest.fixture(scope="module")
def tokenization(tmp_path_factory: pytest.TempPathFactory) -> Tokenization:
    folder = tmp_path_factory.mktemp("bpe")
    return Tokenization(load_tokenizer(str(corpora.small_bpe(folder, vocabulary=600)), folder, folder / "used"))


def sentence(seed: int, words: int) -> str:
    return " ".join(f"{WORDS[(seed * 7 + i * (3 + seed % 5)) % len(WORDS)]}{seed}{i % 9}" for i in range(words))


ITEMS = [(sentence(i, 40), sentence(50 + i, 6)) for i in range(20)]


def tables(tokenization: Tokenization, folder: Path, form: str, corpus: str) -> dict[str, Any]:
    """Items in one form, pages that hold each of them in another."""
    items = tuple(Item(f"i{i}", normalize(form, p), normalize(form, a)) for i, (p, a) in enumerate(ITEMS))
    quiz = Benchmark("quiz", items, len(items))
    pages = [normalize(corpus, f"{sentence(90, 9)} «\n{p}\n{a}» {sentence(91, 9)}") for p, a in ITEMS]
    measure = measure_of(tokenization, folder, quiz)
    partial = counted(measure, pages_of(measure, tokenization, pages))
    planted = plant_canaries(measure, [quiz], tokenization, 20)
    result = contamination_tables(SPEC, measure.scanner.index, partial, planted)
    return {name: table.to_pylist() for name, table in result.items()} | {"pages": pages, "tables": result}


@pytest.mark.slow
@pytest.mark.parametrize(("form", "corpus"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC")])
def test_items_in_the_other_form_are_found(tokenization: Tokenization, tmp_path: Path, form: str, corpus: str) -> None:
    assert all(normalize("NFD", p) != normalize("NFC", p) for p, _ in ITEMS)
    result = tables(tokenization, tmp_path, form, corpus)
    assert {row["rule"]: row["contaminated"] for row in result["contamination"]} == dict.fromkeys(ALL_RULES, 20)
    for row in result["contamination_matches"]:  # offsets are in the page as it stands
        number = int(row["item"][1:])
        data = result["pages"][number].encode()[row["offset"] : row["offset"] + row["length"]]
        assert data.decode() == normalize(corpus, "\n".join(ITEMS[number]))
    assert self_check(result["tables"]).holds


def test_a_scan_that_tells_the_forms_apart_is_noticed(
    tokenization: Tokenization, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_they_stand(text: pa.LargeStringArray) -> Any:
        return text, normal_form.np.empty(0, normal_form.np.int64)

    monkeypatch.setattr(scan, "canonical_texts", as_they_stand)
    result = tables(tokenization, tmp_path, "NFC", "NFC")
    check = self_check(result["tables"])
    assert not check.holds
    for rule in ALL_RULES:
        assert f"{rule} found 0 of 20 (normal_form)" in check.detail
