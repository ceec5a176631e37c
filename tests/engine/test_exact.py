"""Whole runs against the oracle: every integer table and every document's counts, to the last integer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests import corpora
from tests.engine.runs import DOCUMENT_FIELDS, Run, differences, per_document_difference, run, write_audit
from tests.oracle import Document, Oracle

pytestmark = pytest.mark.engine

REAL_FIELDS = {**DOCUMENT_FIELDS, "facets": {"kind": "kind", "suffix": {"column": "kind"}}}
FILTER = [
    {"name": "shallow", "column": "depth", "op": "<=", "value": 6},
    {"name": "no_json", "column": "kind", "op": "not_in", "value": [".json", ".html"]},
]


def kept(document: Document) -> str | None:
    """The clause of FILTER that drops the document, if one does; a null fulfils no condition."""
    depth, kind = document.extra["depth"], document.facets["kind"]
    if depth is None or not isinstance(depth, int) or depth > 6:
        return "shallow"
    return None if kind is not None and kind not in (".json", ".html") else "no_json"


def with_suffix(documents: Sequence[Document]) -> list[Document]:
    """The facet ``suffix`` is the column ``kind`` a second time."""
    return [replace(item, facets={**item.facets, "suffix": item.facets["kind"]}) for item in documents]


def audit(
    folder: Path, parts: Sequence[Sequence[Document]], fmt: str, tokenizer: Path, workers: int = 1, **spec: object
) -> Run:
    corpora.write_shards(folder / "shards", parts, fmt, row_group_rows=200)
    spec = {"document": REAL_FIELDS, "per_document": True, **spec}
    return run(write_audit(folder, [folder / "shards"], tokenizer, **spec), workers)


def counted(parts: Sequence[Sequence[Document]], tokenizer: Path) -> Oracle:
    return Oracle(tokenizer, clustered=True).count([document for part in parts for document in with_suffix(part)])


def check(actual: Run, parts: Sequence[Sequence[Document]], oracle: Oracle) -> None:
    assert differences(actual, oracle) == {}
    assert per_document_difference(actual, oracle, parts) is None


@pytest.fixture(scope="module")
def three_parts(bpe: Path, small_corpus: list[Document]) -> tuple[list[list[Document]], Oracle]:
    """The small corpus in three parts, and what the oracle counts in them; the same in every format."""
    parts = corpora.deal(small_corpus, 3)
    return parts, counted(parts, bpe)


@pytest.mark.parametrize("fmt", corpora.FORMATS)
def test_byte_level_bpe(tmp_path: Path, bpe: Path, three_parts: tuple[list[list[Document]], Oracle], fmt: str) -> None:
    parts, oracle = three_parts
    check(audit(tmp_path, parts, fmt, bpe, workers=2), parts, oracle)


def test_wordpiece_that_truncates_and_pads(tmp_path: Path, wordpiece: Path, small_corpus: list[Document]) -> None:
    parts = corpora.deal(small_corpus, 2)
    check(audit(tmp_path, parts, "parquet", wordpiece), parts, counted(parts, wordpiece))


def test_without_clusters_facets_and_ids(tmp_path: Path, bpe: Path, small_corpus: list[Document]) -> None:
    parts = corpora.deal(small_corpus, 2)
    actual = audit(tmp_path, parts, "jsonl", bpe, document={"text": "text", "domain": "domain"})
    bare = [
        replace(document, id=None, facets={"domain": document.facets["domain"]}) for part in parts for document in part
    ]
    oracle = Oracle(bpe).count(bare)
    assert differences(actual, oracle) == {}
    assert per_document_difference(actual, oracle, parts) is None


def test_rows_that_a_filter_drops(tmp_path: Path, bpe: Path, small_corpus: list[Document]) -> None:
    parts = corpora.deal(small_corpus, 2)
    actual = audit(tmp_path, parts, "parquet", bpe, filter=FILTER)
    reasons = [kept(document) for document in small_corpus]
    filtered = Counter(reason for reason in reasons if reason)
    assert set(filtered) == {"shallow", "no_json"}
    left = [document for document, reason in zip(with_suffix(small_corpus), reasons, strict=True) if reason is None]
    assert differences(actual, Oracle(bpe, clustered=True).count(left), filtered) == {}


def test_more_values_than_a_facet_prints(tmp_path: Path, bpe: Path) -> None:
    documents = [
        Document("word " * (number % 9), str(number), {"domain": "all", "host": f"host-{number % 10_050}.example"})
        for number in range(12_000)
    ]
    corpora.write_shards(tmp_path / "shards", corpora.deal(documents, 2), "parquet")
    fields = {"id": "id", "domain": "domain", "facets": {"host": "host"}}
    actual = run(write_audit(tmp_path, [tmp_path / "shards"], bpe, document=fields))
    oracle = Oracle(bpe).count(documents)
    assert len(oracle.tables()["domains"]) == 1 + 10_000 + 1
    assert differences(actual, oracle) == {}


@pytest.mark.slow
@pytest.mark.parametrize(("tokenizer", "megabytes"), [("gpt2", 41), ("wordpiece", 12)])
def test_real_size(
    tmp_path: Path,
    tokenizer: str,
    megabytes: int,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    path: Path = request.getfixturevalue(tokenizer)
    documents = corpora.with_duplicates(corpora.real_documents(megabytes) + corpora.odd_documents(2000))
    record_property("bytes", sum(len(document.text.encode()) for document in documents))
    parts = corpora.deal(documents, 3)
    check(audit(tmp_path, parts, "parquet", path, workers=2), parts, counted(parts, path))
