"""The sample of whole documents is that of the corpus, also where its shards were counted as part of a larger one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from corpus_audit.pipelines.measures import document_sample, key_limits
from corpus_audit.pipelines.measures.document_sample import CompleteDocumentSample, DocumentSample
from corpus_audit.runners.engines.launch import local
from tests import corpora
from tests.engine.runs import Run, partials_of, run, write_audit
from tests.engine.test_baseline import FIELDS, documents

pytestmark = pytest.mark.engine


def test_what_a_larger_corpus_left_out_is_read_again(
    tmp_path: Path, bpe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "SMALL_TASKS", 256)
    monkeypatch.setattr(document_sample, "DOCUMENTS_KEPT", 20)
    monkeypatch.setattr(document_sample, "DOCUMENTS", replace(document_sample.DOCUMENTS, keep_per_domain=20))
    monkeypatch.setattr(key_limits, "_FEWEST", 1)
    paths = corpora.write_shards(tmp_path / "all", corpora.deal(documents(600, 1), 10), "parquet", row_group_rows=40)

    def audit(name: str, shards: list[Path], store: str) -> Run:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for path in shards:
            shutil.copy(path, folder / path.name)
        return run(write_audit(tmp_path / store, [folder], bpe, document=FIELDS))

    def stored(measure: type[DocumentSample]) -> list[Path]:
        return [path for path in partials_of(tmp_path / "shared" / "runs") if measure.name in path.parts]

    audit("whole", paths, "shared")
    assert len(stored(DocumentSample)) == 10 and not stored(CompleteDocumentSample)
    expected = audit("part", paths[7:], "fresh").rows("document_sample")
    assert len(expected) == 60
    first = audit("part", paths[7:], "shared")
    assert first.splits_read == 0 and first.rows("document_sample") == expected
    complete = {path: path.stat().st_mtime_ns for path in stored(CompleteDocumentSample)}
    assert 0 < len(complete) <= 3
    again = audit("part", paths[7:], "shared")
    assert again.rows("document_sample") == expected
    assert complete == {path: path.stat().st_mtime_ns for path in stored(CompleteDocumentSample)}
