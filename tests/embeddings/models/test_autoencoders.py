"""Autoencoders as they are read from disk: latents by plain numpy, and what is refused by name."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from corpus_audit.embeddings.models.autoencoders import load_autoencoder  # noqa: E402
from corpus_audit.embeddings.scan.autoencoder_check import check_autoencoder  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from tests.embeddings.sae_files import HOOK, latents_of, random_weights, write_autoencoder  # noqa: E402

ARCHITECTURES = ("standard", "gated", "jumprelu", "topk", "batchtopk", "matryoshka_batchtopk")


def whole(sae, x, columns=8192):
    """All latents, whatever the width of a tile."""
    return torch.cat([tile for _, tile in sae.encode(torch.from_numpy(x), columns)], -1).numpy()


@st.composite
def configurations(draw):
    """(cfg.json, arguments of the reference) over every combination that is applied, in either format."""
    architecture = draw(st.sampled_from(ARCHITECTURES))
    is_old = draw(st.booleans()) and not architecture.endswith("batchtopk")
    normalize = draw(st.sampled_from(("none", "constant_norm_rescale", "layer_norm")))
    b_dec, centered = draw(st.booleans()), draw(st.booleans())
    tanh = draw(st.booleans()) and architecture in ("standard", "gated", "jumprelu")
    rescale = draw(st.booleans()) and architecture.endswith("topk")
    k = draw(st.integers(1, 9)) if architecture == "topk" else 0
    activation = "topk" if k else "tanh-relu" if tanh else "relu"
    where = {"model_from_pretrained_kwargs": {"center_writing_weights": centered}, "prepend_bos": True}
    config = {"architecture": architecture, "apply_b_dec_to_input": b_dec, "normalize_activations": normalize}
    if is_old:
        config |= where | {"hook_point": HOOK, "hook_point_layer": 0, "hook_point_head_index": None, "lr": 3e-4}
        config |= {"activation_fn_str": activation, "activation_fn_kwargs": {"k": k} if k else {}}
        if normalize == "none":
            config["normalize_activations"] = draw(st.sampled_from(("none", False, None)))
    else:
        config |= {"metadata": where | {"hook_name": HOOK, "hook_head_index": None, "seqpos_slice": [None]}}
        config |= {"d_in": 12, "reshape_activations": "none", **({"k": k} if k else {})}
        config |= {"activation_fn": "tanh-relu"} if tanh else {}
    if architecture.endswith("topk"):
        config["rescale_acts_by_decoder_norm"] = rescale
    wanted = {"normalize": normalize, "b_dec": b_dec, "centered": centered, "tanh": tanh, "k": k, "rescale": rescale}
    return config, wanted


@settings(deadline=None, max_examples=60)
@given(configurations(), st.integers(0, 2**32 - 1), st.sampled_from((3, 8, 100)))
def test_latents_are_those_of_plain_numpy(tmp_path_factory, made, seed, columns):
    config, wanted = made
    rng = np.random.default_rng(seed)
    weights = random_weights(rng, 12, 20, config["architecture"])
    folder = write_autoencoder(tmp_path_factory.mktemp("sae"), config, weights)
    x = (rng.normal(size=(40, 12)) * 2).astype(np.float32)
    got = whole(load_autoencoder(folder), x, columns)
    expected = latents_of(x, weights, config["architecture"], **wanted)
    assert (expected > 0).any()
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-5)


NEW = {"architecture": "standard", "metadata": {"hook_name": HOOK}}
REFUSED = {
    "architecture": ["crosscoder", "temporal", "abstopk", "matching_pursuit", 3],
    "activation_fn": ["gelu", "identity", ["relu"]],
    "activation_fn_kwargs": [{"k": 3}, {"postact_fn": "identity"}, 3],
    "rescale_acts_by_decoder_norm": [True, "false", 1],
    "apply_b_dec_to_input": ["false", 0],
    "normalize_activations": [True, "expected_average_only_in", "covariance_whitening", "batch_norm"],
    "reshape_activations": ["hook_z", "heads"],
    "hook_head_index": [3, 0],
    "hook_layer_out": [3],
    "hook_name_out": ["blocks.0.hook_mlp_out"],
    "seqpos_slice": [[5, -5], [None, 3]],
    "model_class_name": ["HookedMamba"],
    "model_kwargs": [{"use_cache": True}],
    "dtype": ["float8_e4m3fn", 3],
    "d_in": [13, -1],
    "d_sae": [21],
    "d_out": [13],
    "hook_name": ["blocks.0.ln2.hook_normalized", "blocks.x.hook_resid_pre", "transformer.h.0", "hook_embed", 7],
    "hook_layer": [1],
    "whitening_mean": [[0.0]],
    "activation_scale": [2.5],
    "model_from_pretrained_kwargs": [
        {"first_n_layers": "2"},
        {"load_in_4bit": True},
        {"fold_everything": True},
        {"center_writing_weights": "yes"},
    ],
}


@pytest.mark.parametrize("inside", [False, True], ids=["at the top", "in the metadata"])
@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in REFUSED.items() for value in values])
def test_what_is_not_applied_is_refused_by_name(tmp_path, key, value, inside):
    config = json.loads(json.dumps(NEW)) | {"d_in": 12}
    config.pop(key, None)
    if key == "hook_name":
        config["metadata"] = {}
    (config["metadata"] if inside else config)[key] = value
    weights = random_weights(np.random.default_rng(1), 12, 20)
    with pytest.raises(UsageError, match=next(iter(value)) if key.startswith("model_from") else key) as error:
        load_autoencoder(write_autoencoder(tmp_path, config, weights))
    shown = next(iter(value.values())) if key.startswith("model_from") else value
    assert json.dumps(shown).replace(" ", "") in str(error.value).replace(" ", ""), "the value is in the message"


def test_why_a_crosscoder_is_refused_is_said(tmp_path):
    config = {"architecture": "acausal_crosscoder", "d_in": 12, "metadata": {"hook_names": [HOOK, HOOK]}}
    weights = random_weights(np.random.default_rng(1), 12, 20)
    with pytest.raises(UsageError, match="A crosscoder reads several points"):
        load_autoencoder(write_autoencoder(tmp_path, config, weights))


def test_an_unknown_key_can_be_declared_harmless(tmp_path):
    config = {"author": "me", "metadata": {"hook_name": HOOK, "cluster": {"id": 3}}}
    write_autoencoder(tmp_path, config, random_weights(np.random.default_rng(1), 12, 20))
    with pytest.raises(
        UsageError, match=r"author: \"me\", metadata\.cluster: .* are unknown.*ignore: \[author, metadata\.cluster\]"
    ):
        load_autoencoder(tmp_path)
    assert load_autoencoder(tmp_path, ("author", "metadata.cluster")).latents == 20
    config = NEW | {"seqpos_slice": [3, 4]}
    write_autoencoder(tmp_path, config, random_weights(np.random.default_rng(1), 12, 20))
    with pytest.raises(UsageError, match="seqpos_slice"):
        load_autoencoder(tmp_path, ("seqpos_slice",))


@pytest.mark.parametrize(
    ("hook", "kind", "block"),
    [
        ("blocks.3.hook_resid_pre", "hook_resid_pre", 3),
        ("blocks.3.hook_resid_mid", "hook_resid_mid", 3),
        ("blocks.12.hook_mlp_out", "hook_mlp_out", 12),
        ("blocks.3.hook_attn_out", "hook_attn_out", 3),
        ("blocks.3.attn.hook_z", "attn.hook_z", 3),
        ("blocks.3.hook_mlp_in", "hook_mlp_in", 3),
        ("blocks.3.mlp.hook_in", "mlp.hook_in", 3),
        ("blocks.{layer}.mlp.hook_post", "mlp.hook_post", 3),
    ],
)
def test_hooks_of_both_formats(tmp_path, hook, kind, block):
    weights = random_weights(np.random.default_rng(1), 12, 20)
    old = {"hook_point": hook, "hook_point_layer": block, "normalize_activations": False}
    new = {"architecture": "standard", "metadata": {"hook_name": hook.replace("{layer}", "3")}}
    for config in (old, new):
        loaded = load_autoencoder(write_autoencoder(tmp_path, config, weights))
        assert (loaded.hook.kind, loaded.hook.block) == (kind, block)


def test_a_hook_that_is_missing_and_one_of_transformers(tmp_path):
    weights = random_weights(np.random.default_rng(1), 12, 20)
    with pytest.raises(UsageError, match=r"names no hook: it needs hook_name \(in old files hook_point\)"):
        load_autoencoder(write_autoencoder(tmp_path, {"architecture": "standard"}, weights))
    config = NEW | {"metadata": {"hook_name": "transformer.h.4", "model_class_name": "AutoModelForCausalLM"}}
    assert str(load_autoencoder(write_autoencoder(tmp_path, config, weights)).hook) == "blocks.4.hook_resid_post"


def test_contradictions_are_refused(tmp_path):
    weights = random_weights(np.random.default_rng(1), 12, 20)
    config = {"hook_name": HOOK, "metadata": {"hook_name": "blocks.1.hook_resid_pre"}}
    with pytest.raises(UsageError, match=r"contradicts itself: hook_name.*metadata\.hook_name"):
        load_autoencoder(write_autoencoder(tmp_path, config, weights))


SAELENS = Path(__file__).parent / "saelens_latents.npz"
"""1,000 activations and what SAELens 6.54 encodes them to (`tests/embeddings/record_saelens.py`)."""


def saelens_cases():
    with np.load(SAELENS) as stored:
        return json.loads(str(stored["cfg"]))


@pytest.mark.parametrize("name", saelens_cases())
def test_latents_are_those_of_saelens(tmp_path, name):
    with np.load(SAELENS) as stored:
        arrays = {key.split("/")[1]: stored[key] for key in stored.files if key.startswith(f"{name}/")}
        x, config = stored["x"], json.loads(str(stored["cfg"]))[name]
    expected = arrays.pop("latents")
    got = whole(load_autoencoder(write_autoencoder(tmp_path, config, arrays)), x, 3)
    assert x.shape == (1000, 6) and 0.2 < (expected > 0).mean() < 0.8
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    checked = check_autoencoder("sae", tmp_path, "hook", x, expected)
    assert checked.largest < 1e-6 and (checked.explained_variance is None) == ("transcoder" in name)


def test_settings_of_transcoders(tmp_path):
    rng = np.random.default_rng(1)
    weights = random_weights(rng, 12, 20) | {"W_dec": rng.normal(size=(20, 5)), "b_dec": rng.normal(size=5)}
    weights = {name: array.astype(np.float32) for name, array in weights.items()}
    config = {"architecture": "transcoder", "d_in": 12, "d_out": 5, "apply_b_dec_to_input": False}
    config["metadata"] = {"hook_name": "blocks.2.hook_mlp_in", "hook_name_out": "blocks.2.hook_mlp_out"}
    loaded = load_autoencoder(write_autoencoder(tmp_path, config, weights))
    assert loaded.config.predicts == "blocks.2.hook_mlp_out" and loaded.b_dec is None
    for changed, message in (
        ({"apply_b_dec_to_input": True}, "apply_b_dec_to_input: true is not supported"),
        ({"architecture": "skip_transcoder"}, "lacks the weights W_skip"),
        ({"architecture": "standard"}, "d_out: 5 is not supported .supported: d_in where"),
    ):
        with pytest.raises(UsageError, match=message):
            load_autoencoder(write_autoencoder(tmp_path, config | changed, weights))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"architecture": "standard", "architecture": "topk"}', '{"k": NaN}'])
def test_a_configuration_that_cannot_be_read(tmp_path, text):
    write_autoencoder(tmp_path, NEW, random_weights(np.random.default_rng(1), 12, 20))
    (tmp_path / "cfg.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"cfg\.json"):
        load_autoencoder(tmp_path)


def weights_with(**changes):
    result = random_weights(np.random.default_rng(1), 12, 20) | changes
    return {name: array for name, array in result.items() if array is not None}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (weights_with(W_dec=None), "lacks the weights W_dec"),
        (weights_with(W_skip=np.zeros((12, 12), np.float32)), "has the weights W_skip"),
        (weights_with(threshold=np.ones(20, np.float32)), "has the weights threshold"),
        (weights_with(b_enc=np.zeros(12, np.float32)), r"b_enc has the shape \[12\], not \[20\]"),
        (weights_with(b_dec=np.full(12, math.nan, np.float32)), "b_dec has numbers that are not finite"),
        (weights_with(scaling_factor=np.full(20, 2, np.float32)), "finetuning_scaling_factor: false"),
    ],
)
def test_weights_are_those_of_the_architecture(tmp_path, weights, message):
    with pytest.raises(UsageError, match=message):
        load_autoencoder(write_autoencoder(tmp_path, NEW, weights))


def test_a_scaling_factor_of_ones_and_one_that_is_used_change_no_latent(tmp_path):
    x = np.random.default_rng(2).normal(size=(5, 12)).astype(np.float32)
    plain = whole(load_autoencoder(write_autoencoder(tmp_path / "a", NEW, weights_with())), x)
    ones = weights_with(scaling_factor=np.ones(20, np.float32))
    scaled = weights_with(finetuning_scaling_factor=np.full(20, 3, np.float32))
    used = NEW | {"finetuning_scaling_factor": True}
    assert np.array_equal(plain, whole(load_autoencoder(write_autoencoder(tmp_path / "b", NEW, ones)), x))
    assert np.array_equal(plain, whole(load_autoencoder(write_autoencoder(tmp_path / "c", used, scaled)), x))


@pytest.mark.parametrize("columns", [2, 3, 7, 100])
def test_of_equal_latents_at_the_last_place_the_first_stay(tmp_path, columns):
    weights = random_weights(np.random.default_rng(3), 6, 10)
    for name in ("W_enc", "b_enc"):
        weights[name][..., [1, 4, 8]] = weights[name][..., [4, 4, 4]]
    config = {"architecture": "topk", "k": 4, "metadata": {"hook_name": HOOK}}
    x = np.random.default_rng(4).normal(size=(300, 6)).astype(np.float32)
    got = whole(load_autoencoder(write_autoencoder(tmp_path, config, weights)), x, columns)
    assert ((got > 0).sum(axis=1) <= 4).all()
    expected = latents_of(x, weights, "topk", k=4)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert (np.isclose(expected[:, 1], expected[:, 4]) != (expected[:, 1] > 0)).sum() > 0


def test_top_k_multiplies_each_tile_once(tmp_path, monkeypatch):
    """SAELens has no such report; the encoder computed all latents again for every tile (65,536: 6.2 s, not 0.5)."""
    config = {"architecture": "topk", "k": 4, "metadata": {"hook_name": HOOK}}
    sae = load_autoencoder(write_autoencoder(tmp_path, config, random_weights(np.random.default_rng(1), 12, 64)))
    computed = []
    before = type(sae)._before

    def counting(self, x, part):
        result = before(self, x, part)
        computed.append(result.shape[-1])
        return result

    monkeypatch.setattr(type(sae), "_before", counting)
    whole(sae, np.random.default_rng(2).normal(size=(9, 12)).astype(np.float32), 8)
    assert sum(computed) == 64
