"""A tokenizer that the tests of this folder share; training it takes a second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from corpus_audit.pipelines.tokens.tokenization import Tokenization, TokenizerFile, load_tokenizer
from tests import corpora
from tests.pipelines.memory_bucket import memory_bucket


@pytest.fixture(scope="session")
def bpe_file(tmp_path_factory: pytest.TempPathFactory) -> TokenizerFile:
    """A byte-level BPE tokenizer of 600 entries, with the GPT-2 pattern."""
    folder = tmp_path_factory.mktemp("bpe")
    return load_tokenizer(str(corpora.small_bpe(folder, vocabulary=600)), folder, folder / "used")


@pytest.fixture(scope="session")
def tokenization(bpe_file: TokenizerFile) -> Tokenization:
    """It, loaded; the fast path is in use."""
    loaded = Tokenization(bpe_file)
    assert loaded.path == "gigatoken", loaded.reason
    return loaded


@pytest.fixture
def bucket() -> Iterator[Any]:
    """An object store behind s3://, in memory."""
    with memory_bucket() as store:
        yield store
