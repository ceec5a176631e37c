"""Reading benchmarks and keeping their index."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.contamination.benchmarks.items import Item, benchmarks_digest, read_benchmark
from corpus_audit.pipelines.contamination.index import build_index
from corpus_audit.pipelines.contamination.index_file import load_index
from corpus_audit.pipelines.contamination.scan import BenchmarkScanner
from corpus_audit.pipelines.tokens.tokenization import Tokenization
from corpus_audit.schemas.errors import NoVerdictError, StoreError
from corpus_audit.schemas.spec.benchmarks import BenchmarkSpec, ContaminationSpec
from tests.pipelines.contamination.making import benchmark

LINES = [
    b'{"q": {"text": "What is it?"}, "a": 42, "id": "x1"}',
    b'{"q": {"text": null}, "a": "yes"}',
    b"not json",
    b'{"q": {"text": "Second"}, "a": ["a", "list"]}',
    b'{"q": {"text": "Third"}, "a": ""}',
]


def spec(path: Path, **parts: object) -> BenchmarkSpec:
    return BenchmarkSpec.model_validate_json(json.dumps({"name": "quiz", "paths": [str(path)], **parts}))


def test_jsonl_rows_that_are_no_items_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "quiz.jsonl"
    path.write_bytes(b"\n".join(LINES))
    read = read_benchmark(spec(path, prompt="q.text", answer="a", id="id"), tmp_path)
    assert read.items == (Item("x1", "What is it?", "42"), Item("quiz.jsonl:4", "Third", ""))
    assert read.items[0].text == "What is it?\n42"
    assert (read.rows, dict(read.bad)) == (5, {"missing_text": 1, "not_json": 1, "wrong_type": 1})
    assert read.remarks == ("1 item has no answer", "1 item has no id")


def test_what_is_odd_about_items_is_reported(tmp_path: Path) -> None:
    """Ids and items that occur twice, fields that nothing is read from; a number, a null or nothing is no prompt."""
    rows = [
        {"id": "a", "prompt": "one", "choices": [1]},
        {"id": "a", "prompt": "two", "answer": "x", "subject": "y"},
        {"id": "b", "prompt": "one"},
        {"id": "c", "prompt": 5},
        {"id": "d", "prompt": None},
        {"id": "e"},
    ]
    path = tmp_path / "quiz.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    read = read_benchmark(spec(path, answer="answer", id="id"), tmp_path)
    assert [item.id for item in read.items] == ["a", "a (quiz.jsonl:1)", "b"]
    assert dict(read.bad) == {"wrong_type": 1, "missing_text": 2}
    assert read.remarks == (
        "1 item has an id that occurs before",
        "1 item has the text of an item before it",
        "2 items have no answer",
        "fields not read: choices, subject",
    )
    for wrong in ({"answer": "anwser"}, {"id": "ID"}):
        with pytest.raises(NoVerdictError, match=r"no item has an (answer|id) in field .*items: 3"):
            read_benchmark(spec(path, **wrong), tmp_path)


def test_fields_that_are_not_read_are_named_for_every_format(tmp_path: Path) -> None:
    table = pa.table({"prompt": ["one"], "subject": ["x"]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.ipc.new_file(tmp_path / "b.arrow", table.schema) as file:
        file.write_table(table)
    with gzip.open(tmp_path / "c.jsonl.gz", "wt") as packed:
        packed.write('{"prompt": "one", "subject": "x"}\n')
    for name in ("a.parquet", "b.arrow", "c.jsonl.gz"):
        assert read_benchmark(spec(tmp_path / name), tmp_path).remarks == ("fields not read: subject",), name


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "quiz.parquet"
    pq.write_table(pa.table({"prompt": ["one", None, "three"], "answer": ["1", "2", None]}), path)
    read = read_benchmark(spec(path, answer="answer"), tmp_path)
    assert [(item.prompt, item.answer) for item in read.items] == [("one", "1"), ("three", "")]
    assert dict(read.bad) == {"missing_text": 1}
    assert read_benchmark(spec(path), tmp_path).items[0].text == "one"


def test_a_benchmark_without_items_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "quiz.jsonl"
    path.write_bytes(LINES[1])
    with pytest.raises(NoVerdictError, match=r"'quiz' has no items \(1 missing_text\).*'q.text'"):
        read_benchmark(spec(path, prompt="q.text"), tmp_path)
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"PAR1 no")
    with pytest.raises(NoVerdictError, match=r"'quiz'.*bad\.parquet"):
        read_benchmark(spec(bad), tmp_path)


def test_the_digest_tells_every_field() -> None:
    base = benchmark(("a", "b"))
    assert benchmarks_digest([base]) == benchmarks_digest([benchmark(("a", "b"))])
    others = [benchmark(("ab", "")), benchmark("a"), benchmark(("a", "b"), name="other"), benchmark(("a", "b"), "c")]
    assert len({benchmarks_digest([each]) for each in [base, *others]}) == 5


def test_the_index_is_kept_and_guarded(tokenization: Tokenization, tmp_path: Path) -> None:
    quiz = benchmark(("some words of a question that goes on for long enough", "yes"), "", "some")
    path = build_index([quiz], tokenization, tmp_path)
    before = path.stat()
    assert build_index([quiz], tokenization, tmp_path) == path
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    other = build_index([quiz], tokenization, tmp_path / "elsewhere")
    assert other.read_bytes() == path.read_bytes()
    index = load_index(path)
    assert (index.names, index.size, index.item_ids.to_pylist()) == (("quiz",), 3, ["quiz-0", "quiz-1", "quiz-2"])
    assert np.diff(index.texts.starts).tolist() == [12, 0, 1]
    copy = pickle.loads(pickle.dumps(BenchmarkScanner(path)))
    assert copy.index.digest == path.stem == copy.digest
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    for content, problem in ((bytes(data), "damaged"), (bytes(data[:-1]), "damaged"), (b"", "cannot read")):
        damaged = tmp_path / "damaged.index"
        damaged.write_bytes(content)
        with pytest.raises(StoreError, match=problem):
            load_index(damaged)


def test_names_in_the_spec() -> None:
    base = BenchmarkSpec(name="a", paths=("x",), llama3_threshold=0.3)
    spec = ContaminationSpec(benchmarks=(base, BenchmarkSpec(name="b", paths=("y",))), llama3_threshold=0.6)
    assert (spec.threshold_of("a"), spec.threshold_of("b"), spec.boilerplate_limit) == (0.3, 0.6, 10)
    with pytest.raises(ValueError, match="same name"):
        ContaminationSpec(benchmarks=(base, base))
    with pytest.raises(ValueError, match="reserved"):
        BenchmarkSpec(name="(decoys)", paths=("x",))
    with pytest.raises(ValueError, match="twice"):
        ContaminationSpec(benchmarks=(base,), rules=("palm", "palm"))
