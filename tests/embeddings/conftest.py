from pathlib import Path

import pytest

from tests import corpora


@pytest.fixture(scope="session")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small byte-level BPE tokenizer."""
    return corpora.small_bpe(tmp_path_factory.mktemp("bpe"))
