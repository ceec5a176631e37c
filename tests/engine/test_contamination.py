"""Benchmarks in whole runs: what was planted is found, for any sharding, and a new shard is all that is read again."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus_audit.pipelines.contamination import decoys as decoys_module
from corpus_audit.pipelines.contamination import scan as scan_module
from corpus_audit.pipelines.kernels.contamination.words import scan_words
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.tables.contamination_tables import CONTAMINATION_TABLES
from tests import corpora
from tests.engine.runs import Run, run, write_audit
from tests.oracle import Document

pytestmark = pytest.mark.engine

WORDS = [
    f"{stem}{ending}"
    for stem in ("mar", "ton", "quil", "vex", "sor", "bel", "dra", "fen")
    for ending in ("a", "en", "is", "ost", "ulum", "ire", "ando", "ek", "ym", "oth")
]


def text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(words))


def corpus(documents: int = 240) -> list[Document]:
    rng = random.Random(7)
    return [
        Document(
            text=text(rng, rng.randint(60, 200)),
            id=f"doc-{number}",
            facets={"domain": f"d{number % 3}", "language": "en"},
            cluster=f"host-{number % 17}",
            extra={},
        )
        for number in range(documents)
    ]


def write_benchmark(path: Path, documents: Sequence[Document], held: int, free: int) -> None:
    """``held`` items copied from documents, ``free`` ones that are nowhere, and one that is too short to judge."""
    rng = random.Random(11)
    rows: list[dict[str, Any]] = []
    for number in range(held):
        words = documents[3 * number].text.split()
        rows.append({"id": f"held-{number}", "prompt": " ".join(words[5:45]), "answer": " ".join(words[45:50])})
    rows += [{"id": f"free-{number}", "prompt": text(rng, 45), "answer": text(rng, 5)} for number in range(free)]
    rows.append({"id": "short", "prompt": "mara", "answer": "b"})
    rows.append({"id": "no prompt"})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def audit(folder: Path, parts: Sequence[Sequence[Document]], benchmark: Path, bpe: Path, workers: int = 1) -> Run:
    corpora.write_shards(folder / "shards", [list(part) for part in parts], "parquet", row_group_rows=20)
    spec = {
        "benchmarks": [{"name": "exam", "paths": [str(benchmark)], "answer": "answer", "id": "id"}],
        "contamination": {"decoys": 20, "canaries": 10},
    }
    return run(write_audit(folder, [folder / "shards"], bpe, **spec), workers)


def tables_of(result: Run) -> dict[str, str]:
    return {name: hashlib.sha256(result.file(name).read_bytes()).hexdigest() for name in CONTAMINATION_TABLES}


def test_what_was_planted_is_found_and_nothing_else(tmp_path: Path, bpe: Path) -> None:
    documents = corpus()
    write_benchmark(tmp_path / "exam.jsonl", documents, held=12, free=18)
    result = audit(tmp_path / "a", corpora.deal(documents, 3), tmp_path / "exam.jsonl", bpe)
    assert result.record["complete"]
    rules = {row["rule"]: row for row in result.rows("contamination")}
    for name in ("gpt3", "palm", "tulu3", "decon_idf", "llama2"):
        row = rules[name]
        assert (row["items"], row["bad_rows"], row["untestable"], row["testable"]) == (31, 1, 1, 30)
        assert row["contaminated"] == 12, name
    assert rules["llama3"]["contaminated"] is None
    outcomes = {(row["item"], row["rule"]): row["outcome"] for row in result.rows("contamination_items")}
    assert {outcomes[f"held-{n}", "gpt3"] for n in range(12)} == {"contaminated"}
    assert {outcomes[f"free-{n}", "gpt3"] for n in range(18)} == {"clean"}
    assert outcomes["short", "palm"] == "untestable"
    behind = {row["item"]: row for row in result.rows("contamination_matches") if row["item"].startswith("held-")}
    for number in range(12):
        source = documents[3 * number]
        row = behind[f"held-{number}"]
        assert (row["id"], row["domain"]) == (source.id, source.facets["domain"])
        piece = source.text.encode()[row["offset"] : row["offset"] + row["length"]].decode()
        assert piece.split() == source.text.split()[5:50]
    checks = {row["rule"]: row for row in result.rows("contamination_check")}
    assert all(row["recall"] == 1.0 and row["canaries"] >= 20 for row in checks.values())
    assert checks["gpt3"]["decoys"] == 20 and checks["gpt3"]["hit"] == 0
    assert checks["gpt3"]["decoy_share"] == 1.0
    copies = {(row["rule"], row["copy"]): row for row in result.rows("contamination_copies")}
    for rule in rules:
        assert (copies[rule, "verbatim"]["canaries"], copies[rule, "verbatim"]["recall"]) == (10, 1.0)
    assert copies["decon_idf", "no_answer"]["recall"] == 0.0  # by its definition
    metrics = {(row["metric"], row["slice"]): row for row in result.rows("metrics")}
    assert metrics["contamination_share", "benchmark=exam,rule=gpt3"]["value"] == 0.4
    assert "contamination_self_check" in {rule["check"] for rule in result.record["integrity"]}


@pytest.mark.parametrize(("shards", "workers"), [(1, 2), (7, 4), (40, 1)])
def test_tables_are_the_same_for_any_sharding(tmp_path: Path, bpe: Path, shards: int, workers: int) -> None:
    documents = corpus(120)
    write_benchmark(tmp_path / "exam.jsonl", documents, held=6, free=6)
    plain = audit(tmp_path / "plain", corpora.deal(documents, 2), tmp_path / "exam.jsonl", bpe)
    random.Random(shards).shuffle(documents)
    other = audit(tmp_path / "other", corpora.deal(documents, shards), tmp_path / "exam.jsonl", bpe, workers)
    assert tables_of(other) == tables_of(plain)


def test_a_scan_that_misses_what_was_planted_has_no_verdict(
    tmp_path: Path, bpe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the policy says; one that waives the check is refused."""

    def blind(data: np.ndarray, offsets: np.ndarray, *rest: Any) -> Any:
        return scan_words(data[:0], np.zeros_like(offsets), *rest)

    documents = corpus(60)
    write_benchmark(tmp_path / "exam.jsonl", documents, held=3, free=3)
    sound = audit(tmp_path / "sound", corpora.deal(documents, 2), tmp_path / "exam.jsonl", bpe)
    rules = {rule["check"]: rule for rule in sound.record["integrity"]}
    assert rules["contamination_self_check"]["status"] == "pass" and sound.record["complete"]
    monkeypatch.setattr(scan_module, "scan_words", blind)
    result = audit(tmp_path / "blind", corpora.deal(documents, 2), tmp_path / "exam.jsonl", bpe)
    rules = {rule["check"]: rule for rule in result.record["integrity"]}
    assert rules["contamination_self_check"]["status"] != "pass"
    assert "gpt3 found 0 of 6 (verbatim)" in rules["contamination_self_check"]["detail"]
    assert not result.record["complete"]
    assert run_command(["run", str(tmp_path / "blind" / "audit.yaml"), "--quiet"], Session()) == 4
    assert "not all found" in "".join(capsys.readouterr())
    today = date.today()
    waiver: dict[str, Any] = {"id": "known", "rule": "contamination_self_check", "reason": "we know it"}
    waiver |= {"holds_while": {"minimum": 0, "maximum": 1}, "ticket": "T-1", "owner": "Ann", "approved_by": "Bob"}
    waiver |= {"created": str(today), "expires": str(today + timedelta(days=30))}
    rule: dict[str, Any] = {"id": "any", "title": "Any", "metric": "documents", "fail": {"minimum": 1}, "owner": "Ann"}
    rule |= {"rationale": "There is a corpus.", "next_step": "Look for it."}
    answers = [([], 4, "No verdict under policy lenient"), ([waiver], 2, "cannot be waived")]
    for waivers, code, message in answers:
        policy = {"name": "lenient", "version": "1", "rules": [rule], "waivers": waivers}
        (tmp_path / "policy.yaml").write_text(json.dumps(policy), encoding="utf-8")
        assert run_command(["check", str(result.folder), "--policy", str(tmp_path / "policy.yaml")], Session()) == code
        assert message in "".join(capsys.readouterr())


def test_a_new_shard_is_all_that_is_read_again(tmp_path: Path, bpe: Path) -> None:
    documents = corpus(200)
    write_benchmark(tmp_path / "exam.jsonl", documents, held=10, free=5)
    parts = corpora.deal(documents, 4)
    first = audit(tmp_path / "a", parts[:3], tmp_path / "exam.jsonl", bpe)
    assert first.splits_read > 0
    grown = audit(tmp_path / "a", parts, tmp_path / "exam.jsonl", bpe)
    whole = audit(tmp_path / "b", parts, tmp_path / "exam.jsonl", bpe)
    assert grown.splits_read == whole.splits_read - first.splits_read
    for name in CONTAMINATION_TABLES:  # the decoys are those of this snapshot too
        assert grown.file(name).read_bytes() == whole.file(name).read_bytes(), name


def test_decoys_of_a_large_corpus_are_those_of_a_sample(
    tmp_path: Path, bpe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the sample is says nothing about the benchmarks; that it is one is said."""
    documents = corpus(120)
    write_benchmark(tmp_path / "exam.jsonl", documents, held=6, free=6)
    parts = corpora.deal(documents, 4)
    whole = audit(tmp_path / "whole", parts, tmp_path / "exam.jsonl", bpe)
    monkeypatch.setattr(decoys_module, "LEAST_BYTES", 1)
    monkeypatch.setattr(decoys_module, "LEAST_SPLITS", 2)
    result = audit(tmp_path / "sample", parts, tmp_path / "exam.jsonl", bpe)
    for name in CONTAMINATION_TABLES.keys() - {"contamination_check", "contamination_copies"}:
        assert result.file(name).read_bytes() == whole.file(name).read_bytes(), name
    assert {0 < row["decoy_share"] < 1 for row in result.rows("contamination_check")} == {True}
    assert {row["decoys"] for row in result.rows("contamination_check")} == {20}
    assert "the rates are lower bounds" in (result.folder / "report.html").read_text(encoding="utf-8")
    assert "the rates are lower bounds" not in (whole.folder / "report.html").read_text(encoding="utf-8")


def test_another_benchmark_reads_for_itself_alone(tmp_path: Path, bpe: Path) -> None:
    documents = corpus(80)
    write_benchmark(tmp_path / "one.jsonl", documents, held=3, free=3)
    write_benchmark(tmp_path / "two.jsonl", documents, held=5, free=3)
    parts = corpora.deal(documents, 2)
    one = audit(tmp_path / "a", parts, tmp_path / "one.jsonl", bpe)
    two = audit(tmp_path / "a", parts, tmp_path / "two.jsonl", bpe)
    assert two.splits_read == one.splits_read
    assert {row["contaminated"] for row in two.rows("contamination") if row["rule"] == "gpt3"} == {5}
    assert two.integer_tables() == one.integer_tables()


def test_a_benchmark_that_is_not_there_is_reported_before_anything_is_read(
    tmp_path: Path, bpe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpora.write_shards(tmp_path / "shards", [corpus(10)], "parquet")
    audit_file = write_audit(
        tmp_path, [tmp_path / "shards"], bpe, benchmarks=[{"name": "exam", "paths": ["nowhere.jsonl"]}]
    )
    assert run_command(["run", str(audit_file)], Session()) == 2
    assert "nowhere.jsonl" in capsys.readouterr().err
    assert not list((tmp_path / "runs").glob("2*"))
