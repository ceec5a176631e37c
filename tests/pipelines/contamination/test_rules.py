"""Every rule on cases worked out by hand, the limit, the self-check and the tables."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from corpus_audit.pipelines.contamination.benchmarks.items import Benchmark
from corpus_audit.pipelines.contamination.canaries import plant_canaries
from corpus_audit.pipelines.contamination.decoys import Decoy, DecoyPicker
from corpus_audit.pipelines.contamination.evaluate import contamination_tables
from corpus_audit.pipelines.contamination.evidence import TextEvidence
from corpus_audit.pipelines.contamination.measure import Contamination
from corpus_audit.pipelines.contamination.rules import RULES, evaluate_rule, idf_required
from corpus_audit.pipelines.contamination.selfcheck import DecoyEvidence
from corpus_audit.pipelines.measures.hits import Hits
from corpus_audit.pipelines.tokens.tokenization import TokenBatch, Tokenization
from corpus_audit.schemas.spec.benchmarks import ALL_RULES, BenchmarkSpec, ContaminationSpec, RuleName
from corpus_audit.schemas.tables.contamination_tables import CONTAMINATION_TABLES
from tests import corpora
from tests.pipelines.contamination.making import benchmark, counted, evidence_of, measure_of, pages_of, pieces, prose
from tests.pipelines.making import batch_of


def numbered(start: int, stop: int, prefix: str = "w") -> str:
    return " ".join(f"{prefix}{i}" for i in range(start, stop))


def spec_of(**parts: Any) -> ContaminationSpec:
    return ContaminationSpec(benchmarks=(BenchmarkSpec(name="quiz", paths=("quiz.jsonl",)),), **parts)


def outcome(
    name: RuleName, measure: Contamination, tokenization: Tokenization, pages: list[str], limit: int | None = None
) -> tuple[float, bool]:
    """(score, contaminated) of the first text."""
    evidence = evidence_of(measure, tokenization, pages)
    judged = evaluate_rule(RULES[name], evidence, limit, np.full(evidence.index.size, 0.5))
    return float(judged.score[0]), bool(judged.contaminated[0])


def test_gpt3(tokenization: Tokenization, tmp_path: Path) -> None:
    """20 words have eight 13-grams; one is enough, twelve words are none."""
    measure = measure_of(tokenization, tmp_path, benchmark(numbered(0, 20)))
    assert outcome("gpt3", measure, tokenization, [numbered(0, 13)]) == (1 / 8, True)
    assert outcome("gpt3", measure, tokenization, [numbered(0, 12), numbered(8, 20)]) == (0.0, False)


def test_palm(tokenization: Tokenization, tmp_path: Path) -> None:
    """17 words have ten 8-grams: seven in the corpus, in whatever documents, are 70 %."""
    measure = measure_of(tokenization, tmp_path, benchmark(numbered(0, 17)))
    assert outcome("palm", measure, tokenization, [numbered(0, 11), numbered(7, 17)]) == (0.7, True)
    assert outcome("palm", measure, tokenization, [numbered(0, 13)]) == (0.6, False)


def test_llama3(tokenization: Tokenization, tmp_path: Path) -> None:
    """20 words, 8 and 2 of them in matches."""
    measure = measure_of(tokenization, tmp_path, benchmark(numbered(0, 20)))
    assert outcome("llama3", measure, tokenization, [numbered(0, 8), numbered(2, 10)]) == (0.5, True)
    assert outcome("llama3", measure, tokenization, [numbered(0, 9)]) == (0.45, False)


def test_tulu3(tokenization: Tokenization, tmp_path: Path) -> None:
    """Half of the words in one document is not more than half; two documents do not add up."""
    measure = measure_of(tokenization, tmp_path, benchmark(numbered(0, 20)))
    assert outcome("tulu3", measure, tokenization, [numbered(0, 10), numbered(10, 20)]) == (0.5, False)
    assert outcome("tulu3", measure, tokenization, [numbered(0, 11)]) == (0.55, True)


def test_llama2(tokenization: Tokenization, tmp_path: Path) -> None:
    """A verbatim copy is all of it; the first three quarters are not enough."""
    text = numbered(0, 40)
    measure = measure_of(tokenization, tmp_path, benchmark(text))
    assert outcome("llama2", measure, tokenization, [text]) == (1.0, True)
    score, contaminated = outcome("llama2", measure, tokenization, [numbered(0, 30)])
    assert 0.6 < score < 0.8
    assert not contaminated


def test_decon_needs_more_of_short_prompts() -> None:
    assert idf_required(np.array([20, 25, 50, 400])).tolist() == [1.0, 1.0, 0.815, 0.815]
    assert idf_required(np.array([30])).tolist() == pytest.approx([1 - 0.185 / 5])


def test_decon(tokenization: Tokenization, tmp_path: Path) -> None:
    """All 5-grams weigh the same in a benchmark of one item: of 56 at 60 words, one edit takes five, three take 15."""
    prompt = numbered(0, 60)
    measure = measure_of(tokenization, tmp_path, benchmark((prompt, "the answer")))
    once = prompt.replace("w20 ", "x ") + "\nthe answer"
    assert outcome("decon_idf", measure, tokenization, [once]) == (pytest.approx(51 / 56, abs=1e-6), True)
    thrice = once.replace("w30 ", "x ").replace("w40 ", "x ")
    assert outcome("decon_idf", measure, tokenization, [thrice]) == (pytest.approx(41 / 56, abs=1e-6), False)
    assert outcome("decon_idf", measure, tokenization, [prompt]) == (0.0, False)


@pytest.mark.parametrize(
    ("name", "text", "testable"),
    [
        ("gpt3", numbered(0, 12), False),
        ("gpt3", numbered(0, 13), True),
        ("palm", numbered(0, 7), False),
        ("palm", "… " + numbered(0, 7) + " — !", False),
        ("palm", numbered(0, 8), True),
        ("llama3", numbered(0, 7), False),
        ("tulu3", numbered(0, 7), False),
        ("llama2", "a", False),
        ("decon_idf", numbered(0, 19), False),
        ("decon_idf", numbered(0, 20), True),
        ("decon_idf", " ".join(["so", "it", "goes"] * 9), False),
    ],
)
def test_testable(tokenization: Tokenization, tmp_path: Path, name: RuleName, text: str, testable: bool) -> None:
    """Too short is untestable, in spite of a copy in the corpus, and never clean."""
    measure = measure_of(tokenization, tmp_path, benchmark(text))
    tables = contamination_tables(
        spec_of(rules=(name,), llama3_threshold=0.5),
        measure.scanner.index,
        counted(measure, pages_of(measure, tokenization, [text])),
        plant_canaries(measure, [benchmark(text)], tokenization, 5),
    )
    row = tables["contamination"].to_pylist()[0]
    assert (row["testable"], row["untestable"]) == ((1, 0) if testable else (0, 1))
    item = tables["contamination_items"].to_pylist()[0]
    assert item["outcome"] == ("contaminated" if testable else "untestable")
    assert (row["share"] is None) == (not testable)
    assert (item["score"] is None) == (not testable)


def test_boilerplate_is_not_clean(tokenization: Tokenization, tmp_path: Path) -> None:
    """Eleven documents with the same text: no evidence at a limit of 10, and said so; at 11 it is evidence."""
    text = numbered(0, 30)
    quiz = benchmark(text)
    measure = measure_of(tokenization, tmp_path, quiz)
    partial = counted(measure, pages_of(measure, tokenization, [f"{text} {i}" for i in range(11)]))
    planted = plant_canaries(measure, [quiz], tokenization, 5)
    for limit, expected in ((10, "boilerplate"), (11, "contaminated")):
        tables = contamination_tables(
            spec_of(boilerplate_limit=limit, llama3_threshold=0.5), measure.scanner.index, partial, planted
        )
        outcomes = {row["rule"]: row["outcome"] for row in tables["contamination_items"].to_pylist()}
        assert outcomes == {name: expected if name != "decon_idf" else "contaminated" for name in ALL_RULES}
        summary = {row["rule"]: row for row in tables["contamination"].to_pylist()}
        assert summary["palm"]["boilerplate"] == (1 if expected == "boilerplate" else 0)
        assert summary["decon_idf"]["boilerplate_limit"] is None
        assert len(tables["contamination_matches"]) == 11


def test_tables(tokenization: Tokenization, tmp_path: Path) -> None:
    """One leaked item, one clean, one short, one twice in the file; a second benchmark that shares the leaked one."""
    leaked, clean, short = numbered(0, 30), numbered(0, 30, "c"), "two words"
    quiz, exam = benchmark(leaked, clean, short, leaked), benchmark(leaked, numbered(0, 9, "e"), name="exam")
    quiz.bad["missing_text"] = 2
    spec = ContaminationSpec(
        benchmarks=(
            BenchmarkSpec(name="quiz", paths=("q",), llama3_threshold=0.4),
            BenchmarkSpec(name="exam", paths=("e",)),
        )
    )
    measure = measure_of(tokenization, tmp_path, quiz, exam)
    texts = ["nothing of it", f"Intro, intro!\n{leaked} the end", numbered(10, 25), "more of nothing"]
    partial = counted(measure, pages_of(measure, tokenization, texts, ["web", "web", "books", "books"]))
    tables = contamination_tables(
        spec, measure.scanner.index, partial, plant_canaries(measure, [quiz, exam], tokenization, 9)
    )
    for name, table in tables.items():
        assert table.schema.equals(CONTAMINATION_TABLES[name], check_metadata=True), name
        table.validate(full=True)
    rows = {(row["benchmark"], row["rule"]): row for row in tables["contamination"].to_pylist()}
    gpt3 = rows["quiz", "gpt3"]
    assert [gpt3[k] for k in ("items", "testable", "untestable", "contaminated", "boilerplate")] == [4, 3, 1, 2, 0]
    assert (gpt3["bad_rows"], gpt3["bad_reasons"], gpt3["share"]) == (2, "2 missing_text", pytest.approx(2 / 3))
    assert 0 < gpt3["low"] < 2 / 3 < gpt3["high"] < 1
    assert rows["quiz", "llama3"]["contaminated"] == 2
    assert rows["exam", "gpt3"]["untestable"] == 1
    judged = rows["quiz", "llama3"]["threshold"], rows["exam", "llama3"]["threshold"]
    assert judged == (0.4, None)
    assert rows["exam", "llama3"]["share"] is None
    assert rows["exam", "llama3"]["mean_score"] == pytest.approx(0.5)
    assert rows["exam", "llama3"]["reason"]
    matches = tables["contamination_matches"].to_pylist()
    first = [row for row in matches if row["item"] == "quiz-0"]
    assert [(row["domain"], row["longest"], row["covered"]) for row in first] == [("web", 30, 1.0), ("books", 15, 0.5)]
    assert texts[1].encode()[first[0]["offset"] :][: first[0]["length"]].decode() == leaked
    assert {row["item"] for row in matches} == {"quiz-0", "quiz-3", "exam-0"}
    domains = [tuple(row.values()) for row in tables["contamination_domains"].to_pylist()]
    assert domains == [
        ("quiz", "books", 1, 8, 3, 2),
        ("quiz", "web", 1, 23, 18, 2),
        ("exam", "books", 1, 8, 3, 1),
        ("exam", "web", 1, 23, 18, 1),
    ]


@pytest.fixture(scope="module")
def prosaic(
    tokenization: Tokenization, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Contamination, list[Benchmark]]:
    """Items of prose, one of them of eight words, one of thirteen, the rest longer."""
    sizes = [size for length in (8, 13, *range(20, 220, 5)) for size in (length, 3)]
    parts = list(pieces(prose(3, sum(sizes)), sizes))
    quiz = benchmark(*zip(parts[::2], parts[1::2], strict=True))
    return measure_of(tokenization, tmp_path_factory.mktemp("prose"), quiz), [quiz]


def test_canaries_are_found(prosaic: tuple[Contamination, list[Benchmark]], tokenization: Tokenization) -> None:
    measure, benchmarks = prosaic
    index = measure.scanner.index
    tables = contamination_tables(
        spec_of(), index, measure.empty(), plant_canaries(measure, benchmarks, tokenization, 30)
    )
    for row in tables["contamination_check"].to_pylist():
        assert row["canaries"] >= 10, row
        assert row["recall"] == 1.0, row
    assert {row["contaminated"] for row in tables["contamination"].to_pylist()} == {0, None}


def test_a_broken_scan_is_noticed(
    prosaic: tuple[Contamination, list[Benchmark]], tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Canaries that the scan does not see in whole: recall falls below 1."""
    measure, benchmarks = prosaic
    scan = measure.scanner.scan

    def half(
        text: pa.LargeStringArray, encoded: TokenBatch, high: np.ndarray, low: np.ndarray, _: Tokenization
    ) -> Hits:
        halves = pa.array([each[: len(each) // 2] for each in text.to_pylist()], pa.large_string())
        return scan(halves, tokenization.encode(halves), high, low, tokenization)

    monkeypatch.setattr(measure.scanner, "scan", half)
    planted = plant_canaries(measure, benchmarks, tokenization, 30)
    tables = contamination_tables(spec_of(), measure.scanner.index, measure.empty(), planted)
    recall = {row["rule"]: row["recall"] for row in tables["contamination_check"].to_pylist()}
    assert all(value < 1.0 for value in recall.values())


def decoys_from(texts: list[str], count: int, lengths: list[int], cuts: tuple[int, ...] = ()) -> tuple[Decoy, ...]:
    bounds = sorted({0, len(texts), *cuts})
    pickers = []
    for start, stop in itertools.pairwise(bounds):
        picker = DecoyPicker(count, lengths)
        documents = [(i, corpora.Document(text)) for i, text in enumerate(texts[start:stop])]
        picker.add(batch_of(documents, clustered=False))
        pickers.append(picker)
    pickers[0].merge(pickers[1:])
    return pickers[0].decoys()


def test_decoys_do_not_depend_on_the_batches() -> None:
    """Passages of the documents of lowest hash that are long enough; copies of a document are one."""
    texts = list(pieces(prose(4, 12_000), [20 + 5 * i for i in range(60)]))
    texts = texts[:30] * 3 + texts[30:]
    decoys = decoys_from(texts, 12, [20, 40])
    assert len(decoys) == 12
    assert decoys_from(texts[::-1], 12, [20, 40], (3, 20, 40)) == decoys
    for decoy in decoys:
        assert any(decoy.text in text for text in texts)
        assert len(decoy.text.split()) in (20, 40)
    assert decoys_from(texts, 0, [20]) == ()
    assert decoys_from(["too short"], 5, [20]) == ()


def test_decoys_hit_nothing_but_other_documents(tokenization: Tokenization, tmp_path: Path) -> None:
    """A decoy's own document and its exact copies do not count; a document that quotes it does."""
    texts = [numbered(100 * i, 100 * i + 60, "d") for i in range(6)]
    decoys = decoys_from(texts, 6, [25])
    assert len(decoys) == 6
    quiz = benchmark(numbered(0, 30))
    measure = measure_of(tokenization, tmp_path, quiz)
    apart = measure_of(tokenization, tmp_path, quiz, decoys=decoys)
    planted = plant_canaries(measure, [quiz], tokenization, 5)
    corpus = [*texts, *texts[:3]]
    for extra, hits in (([], 0), ([f"quoted: {decoys[2].text}, so far"], 1)):
        own = counted(measure, pages_of(measure, tokenization, corpus + extra))
        partial = counted(apart, pages_of(apart, tokenization, corpus + extra))
        tables = contamination_tables(
            spec_of(llama3_threshold=0.5),
            measure.scanner.index,
            own,
            planted,
            DecoyEvidence(apart.scanner.index, partial, 1.0),
        )
        for row in tables["contamination_check"].to_pylist():
            assert (row["decoys"], row["hit"]) == (6, hits), row
            assert row["false_positive_rate"] == pytest.approx(hits / 6)
            assert row["low"] <= hits / 6 < row["high"]
        assert {row["benchmark"] for row in tables["contamination_items"].to_pylist()} == {"quiz"}
        assert not len(tables["contamination_domains"])
        assert TextEvidence(apart.scanner.index, partial).copies.sum() == 9
