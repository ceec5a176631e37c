"""An index with an autoencoder, from the command line: top lists by brute force, what is measured, what stops it."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from corpus_audit.embeddings import open_index  # noqa: E402
from corpus_audit.embeddings.index.files import read_facts  # noqa: E402
from corpus_audit.embeddings.models.autoencoders import Autoencoder  # noqa: E402
from corpus_audit.runners.cli.main import run_command  # noqa: E402
from corpus_audit.runners.cli.shared.output import Session  # noqa: E402
from tests.embeddings.sae_files import latents_of, random_weights, write_autoencoder  # noqa: E402
from tests.embeddings.tiny import write_tiny_gpt2  # noqa: E402

pytestmark = pytest.mark.slow

WORDS = [first + second for first in ("the", "of", "and", "in") for second in ("", "m", "re", "ly", "s")]
CONFIG = {"architecture": "topk", "k": 6, "rescale_acts_by_decoder_norm": True}
CONFIG |= {"metadata": {"hook_name": "blocks.0.hook_mlp_out", "prepend_bos": False}}


@pytest.fixture
def corpus(tmp_path, bpe):
    rng = np.random.default_rng(7)
    texts = [" ".join(rng.choice(WORDS, 25)) for _ in range(40)]
    rows = [{"id": f"d{i}", "text": text} for i, text in enumerate(texts)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    write_tiny_gpt2(tmp_path / "model", bpe)
    embedding = {"model": "model", "units": ["resid.0:0"], "window": 64, "k": 3, "vectors": None}
    embedding |= {"saes": [{"name": "s", "path": "sae"}]}
    spec = {"version": 1, "name": "a", "snapshot": {"paths": ["a.jsonl"]}, "tokenizer": "model/tokenizer.json"}
    spec |= {"document": {"text": "text", "id": "id"}, "embedding": embedding}
    (tmp_path / "audit.yaml").write_text(json.dumps(spec), encoding="utf-8")
    return tmp_path


def read_by_hand(corpus):
    """What the MLP of the first block writes at every token but the first, of plain transformers; by document."""
    from tokenizers import Tokenizer

    model = transformers.GPT2Model.from_pretrained(corpus / "model").eval()
    tokenizer, seen = Tokenizer.from_file(str(corpus / "model" / "tokenizer.json")), []
    model.h[0].mlp.register_forward_hook(lambda _, __, out: seen.append(out[0, 1:].numpy()))
    rows = [json.loads(line) for line in (corpus / "a.jsonl").read_text().splitlines()]
    for row in rows:
        with torch.inference_mode():
            model(input_ids=torch.tensor([tokenizer.encode(row["text"]).ids]))
    return [row["id"] for row in rows], seen


def index(corpus, capsys):
    code = run_command(["index", str(corpus / "audit.yaml"), "--quiet"], Session())
    return code, capsys.readouterr()


def test_top_lists_and_what_is_measured(corpus, capsys):
    weights = random_weights(np.random.default_rng(1), 48, 60)
    write_autoencoder(corpus / "sae", CONFIG, weights)
    code, shown = index(corpus, capsys)
    assert code == 0, shown.err
    opened = open_index(corpus / "index")
    ids, read = read_by_hand(corpus)
    peaks = np.array([latents_of(x, weights, "topk", k=6, rescale=True).max(axis=0) for x in read])
    compared = 0
    for latent in range(60):
        best = sorted(((peak, ids[d]) for d, peak in enumerate(peaks[:, latent]) if peak > 0), reverse=True)
        got = opened.lookup(f"sae.s:{latent}", k=1)
        assert bool(got) == bool(best)
        if best:
            assert got[0].value == pytest.approx(best[0][0], rel=1e-4)
            compared += 1
    assert compared > 10
    checked = read_facts(opened.folder).autoencoders["s"]
    assert checked["hook"] == "blocks.0.hook_mlp_out" and checked["tokens"] == 256 and checked["largest"] < 1e-5
    assert checked["active"] == pytest.approx(6, abs=0.5) and checked["explained_variance"] < 0.3
    assert "warning: sae.s explains less than 30%" in shown.out and "computed again in float64" in shown.out
    assert run_command(["lookup", "sae.s:3", "--index", str(opened.folder)], Session()) == 0
    assert "warning: the autoencoder explains" in capsys.readouterr().out
    # The index knows where the autoencoder is, so that its latents can be computed again.
    latent, other = [latent for latent in range(60) if opened.lookup(f"sae.s:{latent}", k=1)][:2]
    where = ["--index", str(opened.folder), "--heat", "--context", "--json"]
    assert run_command(["lookup", f"sae.s:{latent}", *where], Session()) == 0
    (example, *_) = json.loads(capsys.readouterr().out)["examples"]
    assert example["heat"][example["position"]] == pytest.approx(example["value"], rel=1e-4)
    field = example["receptive_field"]
    assert field["whole"] == pytest.approx(example["value"], rel=1e-4) and field["end"] == example["position"] + 1
    write_autoencoder(corpus / "sae", CONFIG, random_weights(np.random.default_rng(2), 48, 60))
    assert run_command(["lookup", f"sae.s:{other}", *where], Session()) == 2
    assert "its content differs" in capsys.readouterr().err


def test_an_autoencoder_that_fits_explains_its_input(corpus, capsys):
    """The identity: latents are the positive half of the input and of its negative."""
    eye = np.concatenate([np.eye(48), -np.eye(48)], axis=1).astype(np.float32)
    weights = {
        "W_enc": eye,
        "W_dec": eye.T.copy(),
        "b_enc": np.zeros(96, np.float32),
        "b_dec": np.zeros(48, np.float32),
    }
    for normalize in ("none", "layer_norm", "constant_norm_rescale"):
        config = {"architecture": "standard", "normalize_activations": normalize}
        write_autoencoder(corpus / "sae", config | {"metadata": {"hook_name": "blocks.1.hook_resid_mid"}}, weights)
        code, shown = index(corpus, capsys)
        assert code == 0, shown.err
        assert "explains 100.0% of the variance" in shown.out and "warning" not in shown.out


def test_a_wrong_encoding_stops_the_build(corpus, capsys, monkeypatch):
    write_autoencoder(corpus / "sae", CONFIG, random_weights(np.random.default_rng(1), 48, 60))
    prepare = Autoencoder._prepare
    monkeypatch.setattr(Autoencoder, "_prepare", lambda self, x: prepare(self, x) * 1.001)
    code, shown = index(corpus, capsys)
    assert code != 0 and "sae.s: the scan's latents do not follow from" in shown.err
    assert not (corpus / "index" / "LATEST").exists(), "nothing is published"
