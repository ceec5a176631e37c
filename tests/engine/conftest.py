"""Tokenizers and corpora that several engine tests share; building one takes a second or two."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_audit.runners.engines.launch import local
from tests import corpora
from tests.oracle import Document


@pytest.fixture(autouse=True)
def through_beam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process go through Beam, however small; the command line's own processes take threads."""
    monkeypatch.setattr(local, "SMALL_TASKS", -1)


@pytest.fixture(scope="session")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE tokenizer of 2,000 entries."""
    return corpora.small_bpe(tmp_path_factory.mktemp("bpe"))


@pytest.fixture(scope="session")
def wordpiece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WordPiece tokenizer whose file truncates and pads."""
    return corpora.wordpiece(tmp_path_factory.mktemp("wordpiece"))


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-2's tokenizer."""
    return corpora.gpt2_tokenizer(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="session")
def small_corpus() -> list[Document]:
    """Three megabytes of real documents, odd ones, and duplicates within and across domains."""
    return corpora.with_duplicates(corpora.real_documents(3) + corpora.odd_documents(300))
