"""Attention as it is read, against what `transformers` returns itself, and against hooks of the test's own."""

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from corpus_audit.embeddings.attention.reader import AttentionReader  # noqa: E402
from corpus_audit.embeddings.attention.rows import attention_row  # noqa: E402
from corpus_audit.embeddings.models.hooks import Taps  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from corpus_audit.schemas.units import parse_pattern  # noqa: E402
from tests.embeddings.attention.small_models import ARCHITECTURES, ENCODERS, IDS, loaded, random_model  # noqa: E402

TOKENS = [0, 5, 9, 33, 41, 5, 9, 12, 60, 7, 33, 41, 8, 8, 3, 22]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def read(request, tmp_path_factory):
    """A model of an architecture, its reader, and the attention of both blocks on `TOKENS`."""
    folder = tmp_path_factory.mktemp(request.param) / "model"
    model = random_model(request.param, folder)
    reader = AttentionReader(model)
    blocks = {}
    outputs = {}
    handles = [
        block.attention_out.register_forward_hook(lambda _m, _i, output, b=b: outputs.__setitem__(b, output))
        for b, block in enumerate(model.blocks)
    ]
    before = model.module.config._attn_implementation
    with reader.reading():
        reader.run(torch.tensor([TOKENS]), lambda attention: blocks.__setitem__(attention.block, attention))
    for handle in handles:
        handle.remove()
    assert model.module.config._attn_implementation == before
    return SimpleNamespace(
        name=request.param, folder=folder, model=model, reader=reader, blocks=blocks, outputs=outputs
    )


def test_weights_are_those_of_transformers(read):
    kind = "AutoModelForMaskedLM" if read.name in ENCODERS else "AutoModelForCausalLM"
    plain = getattr(transformers, kind).from_pretrained(read.folder, attn_implementation="eager").eval()
    with torch.no_grad():
        expected = plain(input_ids=torch.tensor([TOKENS]), output_attentions=True).attentions
    assert len(expected) == len(read.blocks) == 2
    for b, weights in enumerate(expected):
        assert float((weights - read.blocks[b].weights).abs().max()) <= 1e-5


def test_rows_add_up_to_one_and_the_future_is_zero(read):
    for attention in read.blocks.values():
        sums = attention.weights.sum(-1)
        if read.name == "GptOss":  # a learnt sink takes the rest
            assert bool((sums <= 1 + 1e-5).all()) and bool((sums < 0.99).any())
        else:
            torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-5, rtol=0)
        future = torch.ones(len(TOKENS), len(TOKENS), dtype=torch.bool).triu(1)
        assert read.model.card.causal == (read.name not in ENCODERS)
        assert bool((attention.weights[..., future] == 0).all()) == read.model.card.causal
        if read.name == "Mistral":
            assert bool((attention.weights[..., torch.ones_like(future).tril(-5)] == 0).all())


def test_contributions_of_heads_and_tokens_add_up_to_what_the_attention_writes(read):
    for b, attention in read.blocks.items():
        out = read.model.blocks[b].attention_out
        parts = torch.einsum("bhpj,bhjv,hvd->bpd", attention.weights, attention.value, read.reader.output_weights(b))
        bias = getattr(out, "bias", None)
        total = parts if bias is None else parts + bias
        written = read.outputs[b].reshape(total.shape)
        assert float((total - written).abs().max()) <= 1e-5 * float(written.abs().max())


def test_a_rows_norms_and_value_are_those_of_the_unit(read):
    taps = Taps(read.model, (parse_pattern("head.1:*"),))
    values = []
    with taps.hooked():
        taps.run(torch.tensor([TOKENS]), lambda activations: values.append(activations.values[0]))
    for head, position in ((0, 3), (3, len(TOKENS) - 2)):
        row = attention_row(read.reader, TOKENS, 1, head, position, pattern=True)
        attention = read.blocks[1]
        assert row.value == pytest.approx(float(values[0][position, head]), rel=1e-5)
        written = attention.value[0, head] @ read.reader.output_weights(1)[head]
        norms = attention.weights[0, head, position] * written.norm(dim=-1)
        np.testing.assert_allclose(row.norms, norms.numpy(), atol=1e-5)
        np.testing.assert_allclose(row.weights, row.pattern[position], atol=0)
    best = attention_row(read.reader, TOKENS, 1, 2)
    assert best.value == pytest.approx(float(values[0][1:, 2].max()), rel=1e-5)  # the first token is special


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("Bloom", {"n_layer": 2, "n_head": 4}, "does not use transformers' attention interface"),
        ("BitNet", {"num_key_value_heads": 2, "intermediate_size": 40}, "a gate or a norm in between"),
    ],
)
def test_attention_that_cannot_be_read_is_refused_with_the_reason(name, settings, reason, tmp_path):
    common = {"vocab_size": IDS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    common |= {"max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
    module = getattr(transformers, f"{name}ForCausalLM")(getattr(transformers, f"{name}Config")(**common | settings))
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    model = loaded(module.eval(), tmp_path / "model")
    with pytest.raises(UsageError, match=f"the attention of {name}ForCausalLM cannot be read: .*{reason}"):
        AttentionReader(model)


def test_a_head_that_does_not_exist_is_refused(circuit):
    reader = AttentionReader(circuit)
    with pytest.raises(UsageError, match="heads of block 1 end at 1"):
        attention_row(reader, [0, 1], 1, 2)
    with pytest.raises(UsageError, match="block 2 of GPT2LMHeadModel has no attention"):
        attention_row(reader, [0, 1], 2, 0)
