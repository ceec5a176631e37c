"""What autoencoders read inside a block, against hooks of the test's own and models whose weights were changed."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from corpus_audit.embeddings.models.autoencoders import load_autoencoder  # noqa: E402
from corpus_audit.embeddings.models.hooks import Taps  # noqa: E402
from corpus_audit.embeddings.models.models import load_model  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from tests.embeddings.sae_files import random_weights, write_autoencoder  # noqa: E402
from tests.embeddings.tiny import write_tiny_gpt2  # noqa: E402

IDS = torch.tensor([[5, 9, 300, 41, 7, 12], [8, 8, 90, 14, 3, 2]])
COMMON = {"vocab_size": 2000, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
COMMON |= {"intermediate_size": 48, "max_position_embeddings": 64, "pad_token_id": None}


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory, bpe):
    return load_model(
        str(write_tiny_gpt2(tmp_path_factory.mktemp("gpt2") / "model", bpe)), tmp_path_factory.getbasetemp()
    )


def other(folder, bpe, name, **settings):
    """A small model of another family, with weights large enough that its parts show."""
    torch.manual_seed(2)
    config = getattr(transformers, f"{name}Config")(**COMMON, **settings)
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4) if parameter.dim() > 1 else parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "tokenizer.json").write_bytes(bpe.read_bytes())
    return load_model(str(folder), folder)


def autoencoder(folder, hook, width, **kwargs):
    config = {"architecture": "standard", "metadata": {"hook_name": hook, "model_from_pretrained_kwargs": kwargs}}
    return load_autoencoder(write_autoencoder(folder, config, random_weights(np.random.default_rng(1), width, 20)))


def read(model, sae):
    """What an autoencoder reads on `IDS`."""
    captured = []
    with Taps(model, (), {"s": sae}).hooked() as taps:
        taps.run(IDS, lambda reading: None, inputs=lambda name, values: captured.append((name, values.clone())))
    ((name, values),) = captured
    assert name == "s"
    return values


def outputs(model, **modules):
    """Output, and with ``_in`` after the name input, of modules in a plain forward pass."""
    captured, handles = {}, []
    for name, module in modules.items():

        def after(_, __, out, name=name):
            captured[name] = out[0] if isinstance(out, tuple) else out

        def before(_, args, name=name):
            captured[name] = args[0]

        is_input = name.endswith("_in")
        handles.append(module.register_forward_pre_hook(before) if is_input else module.register_forward_hook(after))
    with torch.inference_mode():
        model.module(input_ids=IDS)
    for handle in handles:
        handle.remove()
    return captured


def test_every_hook_of_gpt2(gpt2, tmp_path):
    block = gpt2.module.h[1]
    captured = outputs(gpt2, pre_in=block.ln_1, mid_in=block.ln_2, post=block, attn=block.attn, mlp=block.mlp)
    captured |= outputs(gpt2, neurons_in=block.mlp.c_proj, z_in=block.attn.c_proj, mlp_in=block.mlp)
    wanted = {
        "hook_resid_pre": captured["pre_in"],
        "hook_resid_mid": captured["mid_in"],
        "hook_resid_post": captured["post"],
        "hook_mlp_in": captured["mid_in"],
        "mlp.hook_in": captured["mlp_in"],
        "hook_attn_out": captured["attn"],
        "hook_mlp_out": captured["mlp"],
        "mlp.hook_post": captured["neurons_in"],
        "attn.hook_z": captured["z_in"],
    }
    for hook, expected in wanted.items():
        got = read(gpt2, autoencoder(tmp_path, f"blocks.1.{hook}", expected.shape[-1]))
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-6, msg=hook)


@pytest.mark.parametrize("name", ["Llama", "GPTNeoX", "OPT"])
def test_sums_hold_in_other_families(tmp_path, bpe, name):
    more = {"OPT": {"ffn_dim": 48, "word_embed_proj_dim": 32}}.get(name, {})
    model = other(tmp_path / "model", bpe, name, **more)
    block = model.blocks[1]
    captured = outputs(model, added=block.down)
    got = read(model, autoencoder(tmp_path / "sae", "blocks.1.hook_mlp_out", 32))
    torch.testing.assert_close(got.reshape(-1, 32), captured["added"].reshape(-1, 32))


def test_the_stream_in_front_of_an_mlp_beside_the_attention_is_not_that_behind_it(tmp_path, bpe):
    model = other(tmp_path / "model", bpe, "GPTNeoX")
    with pytest.raises(UsageError, match=r"hook_mlp_in, which GPTNeoXModel does not offer: no part of its block reads"):
        Taps(model, (), {"s": autoencoder(tmp_path / "sae", "blocks.1.hook_mlp_in", 32)})


@pytest.mark.parametrize(
    ("name", "settings"),
    [("Gemma2", {"head_dim": 8, "num_key_value_heads": 2}), ("Granite", {"residual_multiplier": 0.5})],
)
def test_where_something_stands_between_it_is_refused(tmp_path, bpe, name, settings):
    model = other(tmp_path / "model", bpe, name, **settings)
    for hook in ("hook_mlp_out", "hook_attn_out", "hook_resid_mid"):
        with pytest.raises(UsageError, match=rf"sae\.s reads blocks\.1\.{hook}, which {name}Model does not offer"):
            Taps(model, (), {"s": autoencoder(tmp_path / "sae", f"blocks.1.{hook}", 32)})
    assert read(model, autoencoder(tmp_path / "sae", "blocks.1.hook_resid_post", 32)).shape == (2, 6, 32)


def test_centred_writing_weights_are_the_stream_of_a_model_that_has_them(gpt2, tmp_path):
    """All that writes to the stream is centred in a copy of the model, and the stream of the copy is compared."""
    copy = transformers.GPT2Model.from_pretrained(gpt2.card.name).eval()
    with torch.no_grad():
        for weight in (copy.wte.weight, copy.wpe.weight):
            weight -= weight.mean(dim=1, keepdim=True)
        for block in copy.h:
            for part in (block.attn.c_proj, block.mlp.c_proj):
                part.weight -= part.weight.mean(dim=1, keepdim=True)
                part.bias -= part.bias.mean()
    captured = []
    copy.h[1].register_forward_hook(lambda _, __, out: captured.append(out[0] if isinstance(out, tuple) else out))
    with torch.inference_mode():
        copy(input_ids=IDS)
    sae = autoencoder(tmp_path, "blocks.1.hook_resid_post", 48, center_writing_weights=True, fold_ln=True)
    weights = random_weights(np.random.default_rng(1), 48, 20)
    expected = (captured[0].numpy() - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    (latents,) = [tile for _, tile in sae.encode(read(gpt2, sae), 100)]
    np.testing.assert_allclose(latents.numpy(), np.maximum(expected, 0), rtol=1e-4, atol=2e-4)
    plain = autoencoder(tmp_path, "blocks.1.hook_resid_post", 48)
    (others,) = [tile for _, tile in plain.encode(read(gpt2, plain), 100)]
    assert float((latents - others).abs().max()) > 0.1, "the setting changes latents"


def test_centring_needs_layer_norm(tmp_path, bpe):
    model = other(tmp_path / "model", bpe, "Llama")
    sae = autoencoder(tmp_path / "sae", "blocks.1.hook_resid_post", 32, center_writing_weights=True)
    with pytest.raises(UsageError, match="center_writing_weights: true is not supported for LlamaModel"):
        Taps(model, (), {"s": sae})


def test_widths_and_blocks_must_fit(gpt2, tmp_path):
    with pytest.raises(UsageError, match=r"sae\.s reads vectors of 47 numbers; the model has 48 there"):
        Taps(gpt2, (), {"s": autoencoder(tmp_path, "blocks.1.hook_resid_post", 47)})
    with pytest.raises(UsageError, match=r"sae\.s is read at block 2; the model has 2"):
        Taps(gpt2, (), {"s": autoencoder(tmp_path, "blocks.2.hook_resid_pre", 48)})
