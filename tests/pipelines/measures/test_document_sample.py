"""The sample of whole documents by hand, and what a run may leave out of its shards' partials."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from corpus_audit.pipelines.measures import document_sample, key_limits
from corpus_audit.pipelines.measures.base import Measure, merge_files
from corpus_audit.pipelines.measures.document_sample import DOCUMENTS, CompleteDocumentSample, DocumentSample
from corpus_audit.pipelines.measures.key_limits import NO_LIMIT, KeyLimits
from corpus_audit.pipelines.storage.partials import PartialReader, write_partial
from corpus_audit.pipelines.tokens.tokenization import Tokenization
from tests.oracle import Document
from tests.pipelines.making import block_of, digest, hashes, rows


def test_whole_documents_are_those_of_lowest_id(tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the hash of the id, of the content where there is none; one that is too long is listed without its tokens."""
    monkeypatch.setattr(document_sample, "DOCUMENTS_KEPT", 5)
    monkeypatch.setattr(document_sample, "DOCUMENTS", replace(document_sample.DOCUMENTS, keep_per_domain=5))
    monkeypatch.setattr(document_sample, "LONGEST", 12)
    documents = [
        Document(f"text {n % 25} " * (1 + n % 6), f"id-{n % 30}" if n % 3 else None, {"domain": "ab"[n % 2]})
        for n in range(60)
    ]
    measure = document_sample.DocumentSample()
    blocks = [block_of(tokenization, list(enumerate(documents[a:b])), clustered=False) for a, b in ((0, 17), (17, 60))]
    partial = measure.merge([measure.count(one) for one in blocks])
    expected = []
    for domain in "ab":
        counts = Counter((document.id, document.text) for document in documents if document.facets["domain"] == domain)
        keyed = sorted((digest(name or text)[:8], digest(text), name, text, n) for (name, text), n in counts.items())
        expected += [(domain, *row) for row in keyed[:5]]
    got = rows(partial, "documents", "domain", "key", "documents", "tokens", "ids")
    assert len(got) == len(expected) == 10
    long = 0
    for (name, key, content, _, text, n), row, found in zip(expected, got, hashes(partial, "documents"), strict=True):
        ids = tokenization.encode_reference([text]).ids.tolist()
        assert (partial.names[row[0]], int(row[1]).to_bytes(8), found, row[2]) == (name, key, content, n)
        assert row[3] == len(ids)
        assert np.frombuffer(row[4], "<u2").tolist() == (ids if len(ids) <= 12 else [])
        long += len(ids) > 12
    assert 0 < long < 10


@pytest.fixture
def eight_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of 8 documents, limits by 9 lower ones, for domains of any size."""
    monkeypatch.setattr(document_sample, "DOCUMENTS_KEPT", 8)
    monkeypatch.setattr(document_sample, "DOCUMENTS", replace(DOCUMENTS, keep_per_domain=8, chunk_rows=3))
    monkeypatch.setattr(key_limits, "_FEWEST", 1)


def shards_of(tokenization: Tokenization, seed: int) -> list[list[Document]]:
    """Nine shards: domain a in all of them, b in some, c in one; some documents without an id, some twice."""
    rng = random.Random(seed)
    documents = [
        Document(f"text {n} " * rng.randrange(1, 9), f"id-{n}" if n % 5 else None, {"domain": "aaabb"[n % 5]})
        for n in range(150)
    ]
    documents += rng.choices(documents, k=20)
    rng.shuffle(documents)
    shards = [documents[start : start + 20] for start in range(0, len(documents), 20)]
    shards[5] += [Document(f"rare {n}", f"rare-{n}", {"domain": "c"}) for n in range(20)]
    return shards


def counted(
    measure: Measure, tokenization: Tokenization, shards: Sequence[Sequence[Document]], folder: Path
) -> list[Path]:
    """A partial file of each shard, counted one after the other."""
    folder.mkdir()
    paths = []
    for number, shard in enumerate(shards):
        paths.append(folder / str(number))
        write_partial(paths[-1], measure.count(block_of(tokenization, list(enumerate(shard)), clustered=False)))
    return paths


def merged_documents(paths: Sequence[Path], target: Path) -> tuple[list[tuple[object, ...]], PartialReader]:
    """The rows of the merged sample, domains by name, and the file."""
    merge_files(DocumentSample(), paths, target)
    reader = PartialReader(target)
    partial = reader.partial(DocumentSample().tables())
    content = rows(partial, "documents", "domain", "key", "high", "low", "identity", "documents", "tokens", "ids")
    return [(reader.names[row[0]], *row[1:]) for row in content], reader


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_run_leaves_out_what_its_sample_cannot_hold(
    tokenization: Tokenization, tmp_path: Path, eight_kept: None, seed: int
) -> None:
    shards = shards_of(tokenization, seed)
    whole = counted(DocumentSample(), tokenization, shards, tmp_path / "whole")
    run = counted(DocumentSample().in_run(f"run {tmp_path}"), tokenization, shards, tmp_path / "run")
    expected, _ = merged_documents(whole, tmp_path / "expected")
    sample, reader = merged_documents(run, tmp_path / "merged")
    assert sample == expected and Counter(row[0] for row in sample) == {"a": 8, "b": 8, "c": 8}
    assert document_sample.incomplete_domains(reader) == frozenset()
    assert sum(PartialReader(path).rows("documents") for path in run) < sum(
        PartialReader(path).rows("documents") for path in whole
    )
    assert run[0].read_bytes() == whole[0].read_bytes()  # nothing else was known
    assert "c" not in document_sample.limited_domains(PartialReader(run[5]))


def test_shards_of_a_larger_corpus_are_incomplete_without_the_others(
    tokenization: Tokenization, tmp_path: Path, eight_kept: None
) -> None:
    shards = shards_of(tokenization, 4)
    run = counted(DocumentSample().in_run(f"run {tmp_path}"), tokenization, shards, tmp_path / "run")
    last = counted(CompleteDocumentSample().in_run("x"), tokenization, shards[6:], tmp_path / "last")
    expected, reader = merged_documents(last, tmp_path / "expected")
    assert document_sample.incomplete_domains(reader) == frozenset()
    sample, reader = merged_documents(run[6:], tmp_path / "merged")
    lacking = document_sample.incomplete_domains(reader)
    assert lacking == {"a", "b"} and sample != expected
    mixed = [
        complete if lacking & document_sample.limited_domains(PartialReader(own)) else own
        for own, complete in zip(run[6:], last, strict=True)
    ]
    sample, reader = merged_documents(mixed, tmp_path / "mixed")
    assert sample == expected and document_sample.incomplete_domains(reader) == frozenset()


def test_limits_are_the_last_of_the_lowest_keys() -> None:
    limits = KeyLimits(40)
    names, keys = ("a", "b"), np.arange(100, 0, -1).astype(np.uint64)
    zeros = np.zeros(100, np.int64)
    dealt = np.repeat([1, 0, 1], [5, 35, 5])
    assert limits.limits(names, dealt, keys[:45]).tolist() == [NO_LIMIT, NO_LIMIT]
    assert limits.limits(names, zeros[:35], keys[5:40]).tolist() == [NO_LIMIT, NO_LIMIT]  # the same ones are known
    assert limits.limits(names[:1], zeros[:50], keys[35:85]).tolist() == [55]
    assert limits.limits(("b", "a", "c"), zeros[:10], keys[40:50]).tolist() == [NO_LIMIT, 55, NO_LIMIT]
    assert limits.limits(names[1:], zeros[:31], keys[:31]).tolist() == [NO_LIMIT]  # too few to be looked at
    assert limits.limits(names[1:], zeros[:90], keys[:90]).tolist() == [50]


def test_a_process_remembers_few_runs(tmp_path: Path) -> None:
    runs = [f"{tmp_path}-{number}" for number in range(6)]
    limits = [key_limits.limits_of_run(run, 3) for run in runs]
    assert key_limits.limits_of_run(runs[-1], 3) is limits[-1]
    assert key_limits.limits_of_run(runs[0], 3) is not limits[0]
