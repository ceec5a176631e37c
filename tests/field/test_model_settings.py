"""The kind of transformers#12763 in a model's folder: what the reading depends on and the model does not apply.

An adapter beside the weights, or weights inside of the blocks that the class in config.json lacks, changed nothing and
were not mentioned: the units were those of another model. Right: refused, with what it is.
"""

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402

from corpus_audit.embeddings.models.models import load_model  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from tests import corpora  # noqa: E402
from tests.embeddings.tiny import write_tiny_gpt2  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "bpe").mkdir()
    return write_tiny_gpt2(tmp_path / "model", corpora.small_bpe(tmp_path / "bpe"))


def test_an_adapter_is_refused(folder):
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8}))
    with pytest.raises(UsageError, match=r"has an adapter \(adapter_config\.json\), which is not applied"):
        load_model(str(folder), folder)


def test_weights_that_the_class_does_not_use_are_refused_inside_of_blocks_only(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    outside = {"classifier.weight": torch.ones(2, 48), "transformer.h.0.attn.masked_bias": torch.tensor(-1e4)}
    save_file(weights | outside, path, metadata={"format": "pt"})
    assert len(load_model(str(folder), folder).blocks) == 2
    save_file(weights | {"transformer.h.1.attn.q_norm.weight": torch.ones(48)}, path, metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"1 weight inside of its blocks.*h\.1\.attn\.q_norm\.weight"):
        load_model(str(folder), folder)
