"""Weights as matrices, norms as linear maps, and logits of parts of the stream, against the models' own."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings.attention.lens import logit_lens  # noqa: E402
from corpus_audit.embeddings.attention.matrices import head_matrices  # noqa: E402
from corpus_audit.embeddings.attention.norms import norm_of  # noqa: E402
from corpus_audit.embeddings.attention.reader import AttentionReader  # noqa: E402
from corpus_audit.embeddings.attention.readout import direct_readout, find_readout, stream_after  # noqa: E402
from corpus_audit.embeddings.attention.rows import attention_row  # noqa: E402
from corpus_audit.embeddings.attention.trace import trace_model, writes_to_stream  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from tests.embeddings.attention.small_models import IDS, random_model  # noqa: E402

TOKENS = [0, 5, 9, 33, 41, 5, 9, 12]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    names = ("GPT2", "GPTNeoX", "Llama", "Gemma2", "Granite", "Qwen3", "Bert", "Roberta", "OPT")
    return {name: random_model(name, folder / name) for name in names}


def test_matrices_are_the_weights_of_the_model(models):
    llama = models["Llama"]
    block = llama.module.model.layers[1]
    matrices = head_matrices(AttentionReader(llama))[1]
    gain = block.input_layernorm.weight[:, None]
    attention = block.self_attn
    query = (gain * attention.q_proj.weight.T).reshape(32, 4, 8).transpose(0, 1)
    keys, values = (
        (gain * part.weight.T).reshape(32, 2, 8).transpose(0, 1).repeat_interleave(2, 0)
        for part in (attention.k_proj, attention.v_proj)
    )
    for ours, theirs in ((matrices.query, query), (matrices.key, keys), (matrices.value, values)):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    torch.testing.assert_close(matrices.output, attention.o_proj.weight.T.reshape(4, 8, 32))

    gpt2 = models["GPT2"]
    block = gpt2.module.transformer.h[0]
    matrices = head_matrices(AttentionReader(gpt2))[0]
    fused = block.ln_1.weight[:, None] * block.attn.c_attn.weight
    centred = (fused - fused.mean(0)).reshape(32, 3, 4, 8)
    for i, ours in enumerate((matrices.query, matrices.key, matrices.value)):
        torch.testing.assert_close(ours, centred[:, i].transpose(0, 1), atol=1e-4, rtol=0)


def test_what_is_not_linear_is_left_out(models):
    matrices = head_matrices(AttentionReader(models["Qwen3"]))[0]  # queries and keys are normed
    assert matrices.query is None and matrices.key is None and matrices.value is not None


@pytest.mark.parametrize(("name", "writes"), [
    ("GPT2", True), ("GPTNeoX", True), ("Llama", True), ("Gemma2", False), ("Granite", False), ("Bert", False),
])  # fmt: skip
def test_whether_heads_write_to_the_stream_as_they_are(models, name, writes):
    model = models[name]
    assert [writes_to_stream(model, trace_model(model), b) for b in range(2)] == [writes, writes]


def test_direct_logits_of_the_whole_stream_are_the_logits(models):
    for name in ("GPT2", "GPTNeoX", "Llama", "OPT", "Gemma2"):
        model = models[name]
        readout, why = direct_readout(model, trace_model(model))
        assert readout is not None and not why
        stream, logits = [], []
        handles = [stream_after(model, 1, stream), model.head.register_forward_hook(lambda _m, _i, o: logits.append(o))]
        model.run(torch.tensor([TOKENS]))
        for handle in handles:
            handle.remove()
        constant = readout.norm.bias @ readout.unembedding + (0 if model.head.bias is None else model.head.bias)
        direct = readout.direct(stream[0][0], stream[0][0]) + constant
        torch.testing.assert_close(direct, logits[-1][0], atol=1e-4, rtol=1e-4)


def test_norms_are_found_and_other_modules_are_not():
    layer = torch.nn.LayerNorm(16)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    norm = norm_of(layer, 16)
    assert norm is not None and norm.centres
    torch.testing.assert_close(norm.gain, layer.weight, atol=1e-4, rtol=1e-4)
    rms = norm_of(torch.nn.RMSNorm(16), 16)
    assert rms is not None and not rms.centres
    assert norm_of(torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.LayerNorm(16)), 16) is None
    assert norm_of(torch.nn.Linear(16, 16), 16) is None


@pytest.mark.parametrize("name", ["GPT2", "Llama", "Bert", "Roberta"])
def test_the_lens_after_the_last_block_is_the_model(models, name):
    model = models[name]
    rows = logit_lens(model, TOKENS, 1, k=3)
    with torch.no_grad():
        logits = model.module(input_ids=torch.tensor([TOKENS])).logits[0].log_softmax(-1)
    ahead = 1 if model.card.causal else 0
    for p, row in enumerate(rows):
        best = logits[p].topk(3)
        assert [i for i, _ in row.best] == best.indices.tolist()
        np.testing.assert_allclose([chance for _, chance in row.best], best.values.exp().numpy(), rtol=1e-4)
        assert row.divergence <= 1e-5
        if p + ahead < len(TOKENS):
            assert row.target == TOKENS[p + ahead]
            assert row.probability == pytest.approx(float(logits[p, row.target].exp()), rel=1e-3)
    assert max(row.divergence for row in logit_lens(model, TOKENS, 0)) > 0.1


def test_the_lens_of_an_earlier_block_is_the_norm_and_the_output_layer_on_its_stream(models):
    model = models["Llama"]
    stream = []
    handle = stream_after(model, 0, stream)
    model.run(torch.tensor([TOKENS]))
    handle.remove()
    with torch.no_grad():
        logits = model.module.lm_head(model.module.model.norm(stream[0]))[0].log_softmax(-1)
    for p, row in enumerate(logit_lens(model, TOKENS, 0, k=1)):
        assert row.best[0][0] == int(logits[p].argmax())
        assert row.best[0][1] == pytest.approx(float(logits[p].max().exp()), rel=1e-4)


def test_direct_logits_are_left_out_where_they_are_not_defined(models):
    for name in ("Bert", "Gemma2", "Granite"):
        reader = AttentionReader(models[name])
        readout, _ = direct_readout(models[name], reader.trace)
        row = attention_row(reader, TOKENS, 1, 0, 4, readout=readout)
        assert row.raised == row.lowered == ()
    reader = AttentionReader(models["Llama"])
    row = attention_row(reader, TOKENS, 1, 0, 4, readout=find_readout(models["Llama"], reader.trace))
    assert len(row.raised) == 8 and row.raised[0][1] > 0 > row.lowered[0][1]


def test_a_block_or_an_output_layer_that_is_not_there(models):
    with pytest.raises(UsageError, match="blocks end at 1"):
        logit_lens(models["Llama"], TOKENS, 2)
    from dataclasses import replace

    with pytest.raises(UsageError, match="no output layer"):
        logit_lens(replace(models["Llama"], head=None), TOKENS, 0)
    assert models["Llama"].tokenizer.get_vocab_size() == IDS
