"""Models whose blocks are hard to find, loaded from folders as users have them: blocks, kinds, causality, logits."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402

from corpus_audit.embeddings.models.hooks import Taps  # noqa: E402
from corpus_audit.embeddings.models.model_folder import ModelParts  # noqa: E402
from corpus_audit.embeddings.models.models import assemble, load_model  # noqa: E402
from corpus_audit.schemas.errors import AuditError, UsageError  # noqa: E402
from corpus_audit.schemas.units import Kind, Point, UnitError, describe, parse_pattern  # noqa: E402
from tests.embeddings import architectures  # noqa: E402
from tests.embeddings.architectures import word_tokenizer  # noqa: E402

TWO_BLOCKS = "mlp.0 to mlp.1 ({} each), resid.0 to resid.1 (32 each), head.0 to head.1 (4 each)"


def saved(folder: Path, module: nn.Module) -> Path:
    module.save_pretrained(folder)
    word_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def encoder_of_t5():
    config = transformers.T5Config(vocab_size=128, d_model=32, d_ff=48, d_kv=8, num_layers=2, num_heads=4)
    return transformers.T5EncoderModel(config)


def llava():
    """A vision tower and a language model of the same depth."""
    vision = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4
    )
    text = transformers.LlamaConfig(
        vocab_size=128, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    )
    config = transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=100)
    return transformers.LlavaForConditionalGeneration(config)


MADE = {
    "xlm": (lambda: architectures.build("xlm", "CausalLM"), 128, False, True),
    "flaubert": (lambda: architectures.build("flaubert", "MaskedLM"), 128, False, True),
    "openai-gpt": (lambda: architectures.build("openai-gpt", "CausalLM"), 128, True, True),
    "nomic_bert": (lambda: architectures.build("nomic_bert", "MaskedLM"), 48, False, True),
    "albert": (lambda: architectures.build("albert", "MaskedLM"), 48, False, True),
    "ibert": (lambda: architectures.build("ibert", "MaskedLM"), 48, False, True),
    "bart": (lambda: architectures.build("bart", "CausalLM"), 48, True, True),
    "encoder of t5": (encoder_of_t5, 48, False, False),
    "llava": (llava, 48, True, True),
}
"""A module, the neurons of a block, whether it is causal, and whether it has logits."""


@pytest.mark.parametrize("name", MADE)
def test_models_load_from_folders(tmp_path, name):
    make, neurons, causal, has_logits = MADE[name]
    folder = saved(tmp_path / "model", make())
    bare, whole = (load_model(str(folder), Path("/"), "cpu", with_head=head) for head in (False, True))
    assert (bare.card.causal, whole.card.causal) == (causal, causal)
    assert describe(Taps(bare, ()).widths) == TWO_BLOCKS.format(neurons)
    assert Taps(whole, ()).widths.get(Point(Kind.LOGIT)) == (128 if has_logits else None)
    assert [each.kind for each in whole.not_offered] == ([] if has_logits else [Kind.LOGIT])
    assert not bare.not_offered


OFFERED = {
    "jamba": "mlp.0 (48), resid.0 to resid.1 (32 each), head.1 (4), expert.1 (4), logit (128)",
    "llama4_text": "mlp.0 to mlp.1 (48 each), resid.0 to resid.1 (32 each), head.0 to head.1 (4 each), expert.1 (4), "
    "logit (128)",
    "qwen2_moe": "mlp.0 to mlp.1 (16 each), resid.0 to resid.1 (32 each), head.0 to head.1 (4 each), "
    "expert.0 to expert.1 (4 each), logit (128)",
    "mpt": "mlp.0 to mlp.1 (128 each), resid.0 to resid.1 (32 each), head.0 to head.1 (4 each), logit (128)",
    "lfm2": "mlp.0 to mlp.1 (256 each), resid.0 to resid.1 (32 each), head.1 (4), logit (128)",
    "xlstm": "mlp.0 to mlp.1 (128 each), resid.0 to resid.1 (32 each), logit (128)",
    "gpt_neo": "mlp.0 to mlp.1 (48 each), resid.0 to resid.1 (32 each), head.0 to head.1 (4 each), logit (128)",
    "opt": "mlp.0 to mlp.1 (48 each), resid.0 to resid.1 (32 each), head.0 to head.1 (4 each), logit (128)",
    "zamba": "mlp.1 (48), mlp.3 (48), resid.0 to resid.3 (32 each), head.1 (4), head.3 (4), logit (128)",
}


@pytest.mark.parametrize("name", OFFERED)
def test_what_these_offer(name):
    module = architectures.build(name, "CausalLM")
    parts = ModelParts(module, word_tokenizer(), "1f", heads=4, longest=128)
    model = assemble(parts, name, "cpu", with_head=True, count=module.config.num_hidden_layers)
    assert describe(Taps(model, ()).widths) == OFFERED[name] and model.card.causal


def read(model, ids, *patterns):
    taps, values = Taps(model, tuple(map(parse_pattern, patterns))), {}
    rows = {row: str(point) for point, row in taps.selection.first_rows().items()}
    with taps.hooked():
        taps.run(ids, lambda each: values.update({rows[each.row]: each.values.clone()}))
    return values


def test_logits_are_those_that_the_model_returns(tmp_path):
    """Cohere's scale, Granite's divisor and Gemma 2's cap come behind the output layer."""
    for name in ("cohere", "granite", "gemma2"):
        module = architectures.build(name, "CausalLM")
        config = module.config
        config.logit_scale, config.logits_scaling, config.final_logit_softcapping = 0.25, 8.0, 0.5
        module = type(module)(config).eval()
        model = load_model(str(saved(tmp_path / name, module)), Path("/"), "cpu", with_head=True)
        ids = model.probe()
        with torch.inference_mode():
            expected = model.module(input_ids=ids).logits
            plain = model.head(model.module(input_ids=ids, output_hidden_states=True).hidden_states[-1])
        assert torch.equal(read(model, ids, "logit:*")["logit"], expected)
        assert (expected - plain).abs().max() > 0.05 * plain.abs().max(), name


def test_what_is_not_offered_is_named_where_it_is_wanted(tmp_path):
    module = architectures.build("xlnet", "CausalLM")
    model = load_model(str(saved(tmp_path / "model", module)), Path("/"), "cpu")
    with pytest.raises(UnitError, match=r"no unit matches 'head.\*:\*'.*not offered, head of blocks 0-1: XLNetRel"):
        Taps(model, (parse_pattern("head.*:*"),))
    assert Taps(model, (parse_pattern("mlp.*:*"),)).selection.rows == 96


def test_readings_with_the_length_first_are_turned(tmp_path):
    """XLNet computes [L, B, d]: every text's activations are those of the text alone."""
    model = load_model(str(saved(tmp_path / "model", architectures.build("xlnet", "CausalLM"))), Path("/"), "cpu")
    ids = torch.randint(20, 128, (5, 5))  # as many texts as tokens: a transposed reading has the same shape
    together = read(model, ids, "mlp.*:*", "resid.*:*")
    for row in range(5):
        alone = read(model, ids[row : row + 1], "mlp.*:*", "resid.*:*")
        for point, values in together.items():
            torch.testing.assert_close(values[row], alone[point][0], rtol=1e-4, atol=1e-5)


def test_a_shape_that_the_trace_did_not_show_stops_the_pass(tmp_path, monkeypatch):
    model = load_model(str(saved(tmp_path / "model", architectures.build("gpt2", "CausalLM"))), Path("/"), "cpu")
    block = model.blocks[1].module
    plain = block.forward
    monkeypatch.setattr(block, "forward", lambda *given, **named: plain(*given, **named).transpose(0, 1))
    with pytest.raises(AuditError, match=r"resid.1: the model computes activations of the shape \[7, 3, 32\] for 3"):
        read(model, model.probe(), "resid.1:*")


class Plain(nn.Module):
    """A model that is none of transformers': two blocks, and hidden states that are not returned."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mlp = nn.ModuleDict({"up": nn.Linear(16, 24), "down": nn.Linear(24, 16)})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.mlp["down"](torch.relu(self.mlp["up"](x)))

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(128, 16)
        self.blocks = nn.ModuleList([self.Block(), self.Block()])
        self.head = nn.Linear(16, 128)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(input_ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def test_a_module_of_an_entry_point(monkeypatch):
    module = Plain()

    class Entry:
        name = "plain"

        @staticmethod
        def load():
            return lambda: ModelParts(module, word_tokenizer(), "1f", heads=0, longest=512, head=module.head)

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Entry()])
    model = load_model("entry-point:plain", Path("/"), "cpu")
    assert model.card.causal and model.hidden == 16
    values = read(model, model.probe(), "mlp.*:*", "resid.*:*", "logit:*")
    assert {point: each.shape[-1] for point, each in values.items()} == {
        "mlp.0": 24, "mlp.1": 24, "resid.0": 16, "resid.1": 16, "logit": 128,
    }  # fmt: skip
    with pytest.raises(UsageError, match="no entry point 'other'"):
        load_model("entry-point:other", Path("/"), "cpu")
