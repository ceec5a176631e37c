"""A tiny model, and a corpus in three shards beside it."""

import shutil
import sysconfig
from pathlib import Path

import pytest

from tests.embeddings.build.library_corpus import write_shard
from tests.embeddings.tiny import write_tiny_gpt2


@pytest.fixture(scope="module")
def model(tmp_path_factory, bpe):
    return write_tiny_gpt2(tmp_path_factory.mktemp("model") / "model", bpe)


@pytest.fixture
def corpus(tmp_path, model):
    shutil.copytree(model, tmp_path / "model")
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("[a-g]*.py"))
    rows = [
        {
            "id": path.name,
            "text": path.read_text(encoding="utf-8")[:1500],
            "kind": "early" if path.name < "d" else "late",
        }
        for path in paths
    ]
    (tmp_path / "data").mkdir()
    for shard in range(3):
        write_shard(tmp_path, shard, rows[shard::3])
    return tmp_path
