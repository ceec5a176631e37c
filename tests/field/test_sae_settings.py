"""SAELens#425, #447 and #405: settings of an autoencoder that change its latents and were ignored.

``activation_fn: tanh-relu`` (``activation_fn_str`` in old files), ``center_writing_weights`` of its model, and ties
among the k highest gave latents of another autoencoder without a word; ``prepend_bos: true`` was not looked at, and
files of the old format ended with "hook '' is not supported". Right: applied, or refused by the key's name before the
scan. Values are worked out in plain Python.
"""

import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings.models.autoencoders import load_autoencoder  # noqa: E402
from corpus_audit.embeddings.scan.scanner import open_scanner  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from corpus_audit.schemas.spec.audit_file import load_audit  # noqa: E402
from tests import corpora  # noqa: E402
from tests.embeddings.sae_files import random_weights, write_autoencoder  # noqa: E402
from tests.embeddings.tiny import write_tiny_gpt2  # noqa: E402

HOOK = "blocks.0.hook_resid_post"
IDENTITY = {
    "W_enc": np.eye(4, dtype=np.float32),
    "W_dec": np.eye(4, dtype=np.float32),
    "b_enc": np.zeros(4, np.float32),
    "b_dec": np.zeros(4, np.float32),
}


def latents(folder, config, x):
    sae = load_autoencoder(write_autoencoder(folder, config, IDENTITY))
    return torch.cat([tile for _, tile in sae.encode(torch.tensor([x]), 3)], -1)[0].tolist()


@pytest.mark.parametrize(
    "config",
    [
        {"activation_fn_str": "tanh-relu", "hook_name": HOOK, "hook_layer": 0},
        {"activation_fn": "tanh-relu", "hook_point": HOOK, "hook_point_layer": 0},
        {"architecture": "standard", "activation_fn": "tanh-relu", "metadata": {"hook_name": HOOK}},
    ],
    ids=["version 3", "version 0", "version 6"],
)
def test_tanh_relu(tmp_path, config):
    got = latents(tmp_path, config, [0.5, -1.0, 3.0, 0.0])
    assert got == pytest.approx([math.tanh(0.5), 0, math.tanh(3), 0], abs=1e-6)


def test_centred_writing_weights(tmp_path):
    kwargs = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
    got = latents(
        tmp_path, {"architecture": "standard", "metadata": {"hook_name": HOOK} | kwargs}, [5.0, 1.0, 1.0, 1.0]
    )
    assert got == [3, 0, 0, 0]


def test_ties_keep_k(tmp_path):
    config = {"architecture": "topk", "k": 2, "metadata": {"hook_name": HOOK}}
    assert latents(tmp_path, config, [1.0, 2.0, 2.0, 2.0]) == [0, 2, 2, 0]
    assert latents(tmp_path, config, [1.0, 1.0, 1.0, 2.0]) == [1, 0, 0, 2]
    assert latents(tmp_path, config, [-1.0, -1.0, 0.0, 2.0]) == [0, 0, 0, 2]


@pytest.fixture(scope="module")
def bpe(tmp_path_factory):
    return corpora.small_bpe(tmp_path_factory.mktemp("bpe"))


@pytest.fixture
def audit(tmp_path, bpe):
    """An audit of one text with a small GPT-2, whose tokenizer puts nothing in front, and one autoencoder."""
    folder = write_tiny_gpt2(tmp_path / "model", bpe)
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": {"content": "<|endoftext|>"}}))
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "some words"}) + "\n")

    def load(prepend_bos, wanted):
        config = {
            "architecture": "standard",
            "metadata": {"hook_name": HOOK, "prepend_bos": wanted, "context_size": 16},
        }
        write_autoencoder(tmp_path / "sae", config, random_weights(np.random.default_rng(1), 48, 20))
        embedding = {"model": "model", "units": ["resid.0:*"], "window": 32, "saes": [{"name": "s", "path": "sae"}]}
        spec = {"version": 1, "name": "a", "snapshot": {"paths": ["a.jsonl"]}, "tokenizer": "model/tokenizer.json"}
        if prepend_bos is not None:
            embedding["prepend_bos"] = prepend_bos
        (tmp_path / "audit.yaml").write_text(json.dumps(spec | {"embedding": embedding}))
        return load_audit(tmp_path / "audit.yaml")

    return load


def test_prepend_bos_is_refused_until_the_audit_says_how_windows_begin(audit, bpe):
    from tokenizers import Tokenizer

    bos = Tokenizer.from_file(str(bpe)).token_to_id("<|endoftext|>")
    assert bos is not None
    with (
        pytest.raises(UsageError, match=r"sae\.s was trained with prepend_bos: true.*embedding\.prepend_bos: true"),
        open_scanner(audit(None, True)),
    ):
        pass
    keys = set()
    for setting, wanted, prefix, notes in (
        (True, True, (bos,), 1),
        (False, True, (), 2),
        (None, False, (), 1),
        (None, None, (), 1),
        (True, False, (bos,), 2),
    ):
        with open_scanner(audit(setting, wanted)) as scanner:
            assert scanner.plan.prefix == prefix
            assert len(scanner.sae_notes()["s"]) == notes, "one is that windows are longer than the context"
            keys.add((scanner.plan.digest, prefix))
    assert len(keys) == 2, "windows that begin otherwise have other names"
