"""A night's audit stopped with exit code 4 when its own check saw the fast tokenizer give another id.

Right: it counts again with the reference, from the first document to the last; says so in run.json, on the terminal and
in the report; and remembers it, so that the next night does not try the fast path again. Counts of the two paths never
mix: what the fast path had counted of these shards is gone from the store.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from corpus_audit.pipelines.tokens.file import load_tokenizer
from corpus_audit.pipelines.tokens.tokenization import TokenBatch, Tokenization
from corpus_audit.schemas.errors import TokenizerMismatchError, UsageError
from tests import corpora
from tests.engine import runs
from tests.oracle import Document

pytestmark = [pytest.mark.engine, pytest.mark.slow]

MARK = "document number 7 "


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small byte-level BPE tokenizer."""
    return corpora.small_bpe(tmp_path_factory.mktemp("bpe"), vocabulary=600)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A fast tokenizer that gives one id less for one document, and right ones for every probe; counts its calls."""
    right = Tokenization._encode_fast
    calls = []

    def wrong(self: Tokenization, text: pa.LargeStringArray) -> TokenBatch:
        calls.append(len(text))
        batch = right(self, text)
        for d, value in enumerate(text.to_pylist()):
            if value.startswith(MARK):
                last = int(batch.offsets[d + 1]) - 1
                offsets = batch.offsets.copy()
                offsets[d + 1 :] -= 1
                return TokenBatch(np.delete(batch.ids, last), offsets)
        return batch

    monkeypatch.setattr(Tokenization, "_encode_fast", wrong)
    return calls


def audit(folder: Path, bpe: Path, tokenizer: object = None, numbers: range = range(40)) -> Path:
    texts = [f"document number {n} of the audit, don't ask" for n in numbers]
    documents = [
        Document(text=text, id=f"d{n}", facets={"domain": "ab"[n % 2], "language": "en"}, cluster=f"c{n}")
        for n, text in enumerate(texts)
    ]
    shards = corpora.write_shards(folder / "data", corpora.deal(documents, 3), "jsonl")
    spec = runs.write_audit(folder, shards, bpe)
    if tokenizer is not None:
        content = json.loads(spec.read_text())
        spec.write_text(json.dumps(content | {"tokenizer": tokenizer}))
    return spec


def test_the_run_counts_again_says_so_and_remembers(
    tmp_path: Path, bpe: Path, broken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = audit(tmp_path, bpe)
    run = runs.run(spec)
    tokenizer = run.record["tokenizer"]
    assert run.record["complete"], run.record["reasons"]
    assert tokenizer["path"] == "tokenizers"
    assert tokenizer["path_reason"].startswith("counted again with the reference after a check failed: ")
    assert "by gigatoken" in tokenizer["path_reason"] and "content hash" in tokenizer["path_reason"]
    report = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "counted again with the reference after a check failed" in report

    # The tables are those of a run that is told to use the reference, in a store of its own.
    other = audit(tmp_path / "reference", bpe, {"path": str(bpe), "engine": "reference"})
    reference = runs.run(other)
    assert reference.record["tokenizer"]["path_reason"] == "tokenizer.engine is reference"
    assert run.integer_tables() == reference.integer_tables()

    # The next night: the fast path is not tried, not even probed, and nothing is read again.
    broken.clear()
    again = runs.run(spec)
    assert broken == []
    assert again.splits_read == 0
    assert again.record["tokenizer"]["path_reason"].startswith("the fast tokenizer gave other ids in an earlier run: ")
    assert again.integer_tables() == run.integer_tables()

    # Asked for by name, the fast path is refused; a later version of it is tried, and shares no key with this one.
    with pytest.raises(UsageError, match="engine is fast, but the fast tokenizer gave other ids in an earlier run"):
        runs.run(audit(tmp_path, bpe, {"path": str(bpe), "engine": "fast"}))
    [memory] = (tmp_path / "runs" / ".store" / "tokenizers").glob("*.denied.json")
    memory.write_text(json.dumps(json.loads(memory.read_text()) | {"fast": "gigatoken 0.0.1"}))
    file = load_tokenizer(str(bpe), tmp_path, memory.parent)
    assert Tokenization(file).path == "gigatoken"
    assert Tokenization(file).identity not in (file.sha256, f"{file.sha256}:tokenizers")


def test_nothing_of_the_fast_path_stays_in_the_store(tmp_path: Path, bpe: Path, broken: list[int]) -> None:
    def kept() -> set[str]:
        return {path.name for path in runs.partials_of(tmp_path / "runs") if path.parent.parent.name == "tokens"}

    assert runs.run(audit(tmp_path, bpe, numbers=range(100, 140))).record["tokenizer"]["path"] == "gigatoken"
    fast = kept()
    assert len(fast) == 3
    grown = audit(tmp_path / "grown", bpe)  # which holds the document
    spec = json.loads((tmp_path / "audit.yaml").read_text())
    paths = [*spec["snapshot"]["paths"], *json.loads(grown.read_text())["snapshot"]["paths"]]
    (tmp_path / "audit.yaml").write_text(json.dumps(spec | {"snapshot": {"paths": paths}}))
    again = runs.run(tmp_path / "audit.yaml")
    assert again.record["tokenizer"]["path"] == "tokenizers"
    assert again.splits_read == 6
    assert not fast & kept()


def test_asked_for_by_name_the_fast_path_ends_the_run(tmp_path: Path, bpe: Path, broken: list[int]) -> None:
    with pytest.raises(TokenizerMismatchError, match="disagree on a document"):
        runs.run(audit(tmp_path, bpe, {"path": str(bpe), "engine": "fast"}))


def test_a_store_that_a_fast_run_filled_gives_the_reference_nothing(tmp_path: Path, bpe: Path) -> None:
    assert runs.run(audit(tmp_path, bpe)).splits_read == 3
    assert runs.run(audit(tmp_path, bpe, {"path": str(bpe), "engine": "reference"})).splits_read == 3
    assert runs.run(audit(tmp_path, bpe, {"path": str(bpe), "engine": "fast"})).splits_read == 0
