import pytest
from pydantic import ValidationError

from corpus_audit.schemas.errors import SpecError
from corpus_audit.schemas.spec.audit_file import load_audit
from corpus_audit.schemas.spec.embedding import EmbeddingSpec

HEAD = "name: corpus\nsnapshot:\n  paths: [data]\ntokenizer: tokenizer.json\nembedding:\n  model: model\n"


def test_a_full_section(tmp_path):
    path = tmp_path / "audit.yaml"
    path.write_text(
        HEAD
        + "  units: ['mlp.*:*', 'head.1:7']\n  window: 64\n  overlap: 8\n  k: 10\n  device: cpu\n"
        + "  directions: [{name: probe, path: p.npy, block: 3}]\n  saes: [{name: s, path: sae, ignore: [author]}]\n"
        + "  prepend_bos: true\n",
        encoding="utf-8",
    )
    embedding = load_audit(path, ["embedding.k=7"]).spec.embedding
    assert embedding is not None and embedding.k == 7 and embedding.units == ("mlp.*:*", "head.1:7")
    assert embedding.directions[0].block == 3
    assert embedding.saes[0].ignore == ("author",) and embedding.prepend_bos is True


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("units: ['mlp.3']", "7:3: 'mlp.3' is not a pattern of units|'mlp.3' is not a pattern of units"),
        ("overlap: 100", "more than half of the window"),
        ("window: 3", "must be at least 4"),
        ("kk: 3", "unknown key 'kk'"),
        ("saes: [{name: a, path: x}, {name: a, path: y}]", "two sparse autoencoders have the same name"),
        ("saes: [{name: 'a b', path: x}]", "pattern"),
        ("domains: [a, a]", "a domain is listed twice"),
    ],
)
def test_mistakes_have_places(tmp_path, line, message):
    path = tmp_path / "audit.yaml"
    path.write_text(f"{HEAD}  {line}\n", encoding="utf-8")
    with pytest.raises(SpecError, match=message):
        load_audit(path)


def test_only_what_changes_a_partial_is_in_its_settings():
    spec = EmbeddingSpec(model="m")
    for same in ({"device": "cpu"}, {"heatmaps": False}, {"batch_tokens": 64}, {"output": "x"}):
        assert EmbeddingSpec(model="m", **same).scan_settings() == spec.scan_settings()
    for other in ({"window": 64}, {"k": 3}, {"units": ("mlp.0:*",)}, {"domains": ("a",)}):
        assert EmbeddingSpec(model="m", **other).scan_settings() != spec.scan_settings()
    with pytest.raises(ValidationError):
        spec.k = 3
