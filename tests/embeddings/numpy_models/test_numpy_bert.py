"""BERT-like encoders in numpy against `transformers`: streams, units, vectors of texts, and what is left to torch."""

import json
from pathlib import Path

import numpy as np
import pytest

from corpus_audit.embeddings.index.files import IndexFacts
from corpus_audit.embeddings.numpy_models.bert import NumpyBert, UnknownModelError
from corpus_audit.embeddings.numpy_models.encoder import open_numpy_model
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Kind
from tests.embeddings.tiny_bert import write_encoder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize("family", ["Bert", "Roberta"])
def test_streams_and_units_are_those_of_transformers(family, tmp_path):
    folder = write_encoder(tmp_path / "model", family)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    network = NumpyBert(folder)
    ids = np.random.default_rng(0).integers(5, 100, (3, 17))
    inputs = {}
    for number, layer in enumerate(model.encoder.layer):
        for kind, part in ((Kind.MLP, layer.output.dense), (Kind.HEAD, layer.attention.output.dense)):
            part.register_forward_pre_hook(lambda m, given, key=(kind, number): inputs.update({key: given[0]}))
    with torch.inference_mode():
        streams = model(input_ids=torch.from_numpy(ids), output_hidden_states=True).hidden_states
    seen = {}
    network.run(ids, network.blocks - 1, lambda kind, block, values: seen.update({(kind, block): values}))
    assert len(seen) == 9
    some = []
    wanted = {(Kind.HEAD, 1), (Kind.RESID, 0)}
    network.run(ids, network.blocks - 1, lambda kind, block, values: some.append((kind, block)), wanted)
    assert some == [(Kind.RESID, 0), (Kind.HEAD, 1)]
    for number, layer in enumerate(model.encoder.layer):
        np.testing.assert_allclose(seen[Kind.RESID, number], streams[number + 1].numpy(), rtol=0, atol=1e-5)
        np.testing.assert_allclose(network.run(ids, number), streams[number + 1].numpy(), rtol=0, atol=1e-5)
        np.testing.assert_allclose(seen[Kind.MLP, number], inputs[Kind.MLP, number].numpy(), rtol=0, atol=1e-5)
        weight = layer.attention.output.dense.weight.detach().numpy().reshape(32, 4, 8)
        split = inputs[Kind.HEAD, number].numpy().reshape(3, 17, 4, 8)
        norms = np.linalg.norm(np.einsum("blhs,dhs->blhd", split, weight), axis=-1)
        np.testing.assert_allclose(seen[Kind.HEAD, number], norms, rtol=0, atol=1e-5)


def facts_of(folder: Path, block: int) -> IndexFacts:
    from corpus_audit.embeddings.models.models import load_model

    card = load_model(str(folder), folder).card.as_json()
    sizes = {"k": 1, "domain_k": 0, "minima": 0, "samples": 0}
    vectors = {"block": block, "one_in": 1, "width": 32, "windows": 0}
    return IndexFacts("small", "ab" * 32, card, "cd" * 32, 12, sizes, "ef" * 32, {}, ("a",), vectors)


def test_texts_get_the_vectors_that_torch_gives_them(tmp_path):
    from corpus_audit.embeddings.scan.encoder import open_encoder

    folder = write_encoder(tmp_path / "model")
    facts = facts_of(folder, 1)
    texts = ["w1 w2 w3", "", "unknown", " ".join(f"w{i % 90}" for i in range(35)), "w5", "w1 w2 w3"]
    with open_encoder(facts, tmp_path, str(folder)) as encoder:
        expected = encoder.means(texts)
    model = open_numpy_model(facts, tmp_path, str(folder))
    np.testing.assert_allclose(model.means(texts, 1), expected, rtol=0, atol=1e-5)
    assert expected[0].any() and not expected[1].any()

    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 1e-3}))
    with pytest.raises(UsageError, match="is not the model of the index"):
        open_numpy_model(facts, tmp_path, str(folder))


def test_what_is_not_known_is_left_to_torch(tmp_path):
    folder = write_encoder(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    for change in ({"model_type": "gpt2"}, {"hidden_act": "gelu_new"}, {"position_embedding_type": "relative_key"},
                   {"is_decoder": True}, {"quantization_config": {}}):  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(UnknownModelError):
            NumpyBert(folder)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnknownModelError, match="longer"):
        NumpyBert(folder).run(np.full((1, 61), 7), 0)
    facts = facts_of(folder, 0)
    assert open_numpy_model(facts, tmp_path, "a hub/name") is None
    half = transformers.AutoModel.from_pretrained(folder, dtype=torch.bfloat16)
    half.save_pretrained(folder)
    with pytest.raises(UnknownModelError, match="numpy"):
        NumpyBert(folder)
