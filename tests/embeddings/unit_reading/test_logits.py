"""The logits that a unit writes, by hand from the weights of a GPT-2, and what has none."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from corpus_audit.embeddings.models.models import load_model  # noqa: E402
from corpus_audit.embeddings.unit_reading.logits import written_logits  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from corpus_audit.schemas.units import parse_unit  # noqa: E402
from tests.embeddings.tiny import write_tiny_gpt2  # noqa: E402
from tests.embeddings.tiny_bert import write_encoder  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def decoder(tmp_path_factory, bpe):
    folder = write_tiny_gpt2(tmp_path_factory.mktemp("decoder") / "model", bpe)
    return load_model(str(folder), folder, with_head=True)


@pytest.mark.parametrize("unit", ["mlp.1:7", "mlp.0:100", "resid.0:5", "dir.probe:0"])
def test_they_are_those_of_the_weights(decoder, unit):
    address, module = parse_unit(unit), decoder.module
    vector = np.random.default_rng(1).normal(size=48).astype(np.float32) if unit.startswith("dir") else None
    if unit.startswith("mlp"):
        written = module.transformer.h[address.point.block].mlp.c_proj.weight[address.index].detach().numpy()
    else:
        written = np.eye(48, dtype=np.float32)[5] if vector is None else vector
    centred = written - written.mean()
    gain = module.transformer.ln_f.weight.detach().numpy()
    expected = module.lm_head.weight.detach().numpy() @ (gain * centred / np.sqrt(np.mean(centred**2) + 1e-5))
    raised, lowered = written_logits(decoder, address, 5, vector)
    assert [effect.id for effect in raised] == np.argsort(-expected, kind="stable")[:5].tolist()
    np.testing.assert_allclose([effect.logit for effect in lowered], np.sort(expected)[:5], rtol=1e-4)
    assert all(isinstance(effect.token, str) for effect in raised)


def test_what_writes_no_vector_of_its_own_is_refused(decoder, tmp_path):
    with pytest.raises(UsageError, match="no vector of its own"):
        written_logits(decoder, parse_unit("head.0:1"), 5)
    folder = write_encoder(tmp_path / "model")
    with pytest.raises(UsageError, match="no output layer"):
        written_logits(load_model(str(folder), folder), parse_unit("mlp.0:1"), 5)


def test_a_norm_behind_the_mlp_is_seen(tmp_path, bpe):
    import shutil

    config = transformers.Gemma2Config(
        vocab_size=2000, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.Gemma2ForCausalLM(config).save_pretrained(tmp_path)
    shutil.copy(bpe, tmp_path / "tokenizer.json")
    model = load_model(str(tmp_path), tmp_path, with_head=True)
    with pytest.raises(UsageError, match="a norm or a factor stands between"):
        written_logits(model, parse_unit("mlp.0:3"), 5)
    assert len(written_logits(model, parse_unit("resid.1:3"), 5)[0]) == 5
