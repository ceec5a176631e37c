"""transformers#12763: a tokenizer with ids that the model has no embedding for.

GPT-2 with 4,000 rows and token id 4,000 in a text: `index` ended in an IndexError after a minute. Right: both sizes
and the first such token are named before anything is scanned, and so is a window that the model was not made for.
"""

import json

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tokenizers import Tokenizer  # noqa: E402

from corpus_audit.embeddings.models.models import check_window, load_model  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from tests import corpora  # noqa: E402


@pytest.fixture(scope="module")
def bpe(tmp_path_factory):
    return corpora.small_bpe(tmp_path_factory.mktemp("bpe"))


def saved(folder, tokenizer, rows, **settings):
    torch.manual_seed(1)
    config = transformers.GPT2Config(vocab_size=rows, n_positions=32, n_embd=16, n_layer=2, n_head=2, **settings)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder, safe_serialization=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_both_sizes_and_the_first_token_beyond_are_named(tmp_path, bpe):
    tokenizer = Tokenizer.from_file(str(bpe))
    size = tokenizer.get_vocab_size()
    token = tokenizer.id_to_token(size - 3)
    folder = saved(tmp_path / "model", tokenizer, size - 3)
    with pytest.raises(UsageError) as error:
        load_model(str(folder), tmp_path)
    sizes = f"embedding has {size - 3:,} rows", f"highest id is {size - 1:,}"
    for part in (*sizes, "cannot read 3 tokens", repr(token)):
        assert part in str(error.value)


def test_an_added_token_counts(tmp_path, bpe):
    tokenizer = Tokenizer.from_file(str(bpe))
    size = tokenizer.get_vocab_size()
    tokenizer.add_special_tokens(["[PAD]"])
    folder = saved(tmp_path / "model", tokenizer, size)
    with pytest.raises(UsageError, match=rf"'\[PAD\]' \({size:,}\)"):
        load_model(str(folder), tmp_path)
    assert load_model(str(saved(tmp_path / "fits", tokenizer, size + 1)), tmp_path).card.causal


def test_a_padding_token_beyond_the_embedding(tmp_path, bpe):
    tokenizer = Tokenizer.from_file(str(bpe))
    folder = saved(tmp_path / "model", tokenizer, tokenizer.get_vocab_size())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": 9999, "bos_token_id": 9999}))
    model = load_model(str(folder), tmp_path)
    assert model.bos is None, "a token that the tokenizer lacks begins no text"
    with pytest.raises(UsageError, match=r"prepend_bos: true: the beginning-of-text token of .* is unknown"):
        load_model(str(folder), tmp_path, prepend_bos=True)


def test_a_window_beyond_what_the_model_was_made_for(tmp_path, bpe):
    """Rotary positions have no table that would end, and what comes out beyond is not what was trained."""
    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.LlamaConfig(vocab_size=2000, max_position_embeddings=32, pad_token_id=None, **sizes)
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "model", safe_serialization=True)
    (tmp_path / "model" / "tokenizer.json").write_bytes(bpe.read_bytes())
    model = load_model(str(tmp_path / "model"), tmp_path)
    check_window(model, 32)
    with pytest.raises(UsageError, match=r"reads at most 32 tokens at once \(max_position_embeddings\).*window is 33"):
        check_window(model, 33)
