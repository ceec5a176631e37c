from pathlib import Path

import pytest

from tests import corpora


@pytest.fixture(scope="session")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small byte-level BPE tokenizer."""
    return corpora.small_bpe(tmp_path_factory.mktemp("bpe"))


@pytest.fixture(scope="session")
def encoder_indexes(tmp_path_factory):
    """An index with stored heat maps, and one without."""
    pytest.importorskip("transformers")
    import json

    import numpy as np

    from corpus_audit.embeddings import open_index
    from corpus_audit.embeddings.build.build import build_index
    from corpus_audit.schemas.spec.audit_file import load_audit
    from tests.embeddings.tiny_bert import WORDS, write_encoder

    folder = tmp_path_factory.mktemp("heat")
    write_encoder(folder / "model")
    rng = np.random.default_rng(5)
    rows = [
        {"id": f"d{i}", "kind": f"k{i % 2}", "text": " ".join(rng.choice(WORDS[4:], rng.integers(3, 25)))}
        for i in range(30)
    ]
    rows[3]["text"] = "what w1 unknown w2"
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    np.save(folder / "probe.npy", rng.normal(size=(2, 32)).astype(np.float32))
    opened = []
    for stored in (True, False):
        embedding = {"model": "model", "units": ["mlp.1:*", "resid.2:*", "head.0:*"], "window": 12, "k": 6}
        embedding |= {"heatmaps": stored, "output": f"index-{stored}"}
        embedding |= {"directions": [{"name": "probe", "path": "probe.npy", "block": 1}]}
        spec = {"version": 1, "name": "a", "snapshot": {"paths": ["rows.jsonl"]}, "tokenizer": "model/tokenizer.json"}
        spec |= {"document": {"text": "text", "id": "id", "domain": "kind"}, "embedding": embedding}
        (folder / "audit.yaml").write_text(json.dumps(spec), encoding="utf-8")
        opened.append(open_index(build_index(load_audit(folder / "audit.yaml")).folder))
    return opened
