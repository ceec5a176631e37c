"""The tokenizer of a corpus without text: it loads, has a token a byte, and is no one's own."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from corpus_audit.pipelines.tokens.no_text import NAME, load_tokenizer_of
from corpus_audit.pipelines.tokens.tokenization import REFERENCE, Tokenization
from corpus_audit.schemas.spec.audit import AuditSpec, DocumentSpec, SnapshotSpec


def test_it_counts_no_tokens_of_no_text(tmp_path: Path) -> None:
    spec = AuditSpec(name="a", snapshot=SnapshotSpec(paths=("data",)), document=DocumentSpec(image="image"))
    file = load_tokenizer_of(spec, tmp_path, tmp_path / "store")
    tokenization = Tokenization(file)
    assert (file.name, file.vocabulary, tokenization.path) == (NAME, 256, REFERENCE)
    encoded = tokenization.encode(pa.array(["", "", "aé"], pa.large_string()))
    assert encoded.offsets.tolist() == [0, 0, 0, 3]
    assert load_tokenizer_of(spec, tmp_path, tmp_path / "other").sha256 == file.sha256
