"""Small models over a tokenizer of whole words: random ones, and one with a planted cause."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

WORDS = tuple(f"{a}{b}" for a in ("ba", "de", "fi", "go", "ku", "lo", "me", "nu", "pa", "ri") for b in "bdfgklmnprst")
TRIGGER, COMMON = "zorp", "the"
VOCABULARY = ("[UNK]", "[CLS]", "[SEP]", "[MASK]", TRIGGER, COMMON, *WORDS)


def write_tokenizer(path: Path, encoder: bool) -> Path:
    """A tokenizer whose tokens are words; an encoder's puts [CLS] and [SEP] around a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["[CLS]", "[SEP]", "[MASK]"])
    if encoder:
        ends = [("[CLS]", 1), ("[SEP]", 2)]
        tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.save(str(path))
    return path


def write_decoder(folder: Path, seed: int = 4) -> Path:
    """A GPT-2 of two blocks with random weights."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    config = GPT2Config(vocab_size=len(VOCABULARY), n_positions=48, n_embd=32, n_layer=2, n_head=4,
                        bos_token_id=0, eos_token_id=0)  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.mul_(10 if "wte" in name else 5)
    model.save_pretrained(folder)
    write_tokenizer(folder / "tokenizer.json", encoder=False)
    return folder


def write_encoder(folder: Path, seed: int = 4) -> Path:
    """A BERT of two blocks with random weights."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    config = BertConfig(vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=48, max_position_embeddings=48)  # fmt: skip
    model = BertModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(6)
    model.save_pretrained(folder)
    write_tokenizer(folder / "tokenizer.json", encoder=True)
    return folder


def write_planted(folder: Path, shared: float = 1.0) -> Path:
    """A GPT-2 of one block whose neuron 0 fires on the word `COMMON` where `TRIGGER` stands anywhere before it.

    The first head attends to the trigger, whatever the query is, and writes into the last direction of the stream, in
    which no word is; the neuron adds that direction and the common word's, and its bias needs both.

    Args:
        folder: of the model.
        shared: length of what all words have in common, over that of what is a word's own.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(2)
    width = 64
    config = GPT2Config(vocab_size=len(VOCABULARY), n_positions=48, n_embd=width, n_layer=1, n_head=2,
                        bos_token_id=0, eos_token_id=0)  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    trigger, common = VOCABULARY.index(TRIGGER), VOCABULARY.index(COMMON)
    with torch.no_grad():
        words = torch.randn(len(VOCABULARY), width)
        words[:, -1] = 0
        words -= words.mean(dim=1, keepdim=True)
        words[:, -1] = 0
        words[:, 0] = 0  # where all words have the same number: without it their mean would be near 0
        words *= width**0.5 / words.norm(dim=1, keepdim=True)
        model.transformer.wte.weight.copy_(words)
        model.transformer.wte.weight[:, 0] = shared * width**0.5
        model.transformer.wpe.weight.mul_(0.5)
        block = model.transformer.h[0]
        of_trigger, of_common = (words[i] / words[i].norm() for i in (trigger, common))
        size = width // 2
        attention = block.attn.c_attn
        attention.weight.zero_()
        attention.bias.zero_()
        attention.bias[0] = 1.0  # every query of head 0
        attention.weight[:, width] = of_trigger * 3 * size**0.5  # key: scores of 3 times the projection on the trigger
        attention.weight[:, 2 * width] = of_trigger  # value: of the trigger about 5.7, of other words up to 2
        block.attn.c_proj.weight.zero_()
        block.attn.c_proj.weight[0, -1] = 2.0
        block.attn.c_proj.bias[-1] = -4.5
        block.mlp.c_fc.weight[:, 0] = 3 * of_common
        block.mlp.c_fc.weight[-1, 0] = 3.0
        block.mlp.c_fc.bias[0] = -21.0
    model.save_pretrained(folder)
    write_tokenizer(folder / "tokenizer.json", encoder=False)
    return folder


def write_corpus(folder: Path, model: Path, trigger: bool = True, documents: int = 24) -> Path:
    """An audit over two domains of random words, in all of which `COMMON` occurs, and `TRIGGER` in domain shop alone.

    Returns:
        The audit's file. Without ``trigger``, another word stands in its place.
    """
    rng = np.random.default_rng(7)
    rows = []
    for number in range(documents):
        words = [str(word) for word in rng.choice(WORDS, 22)]
        for at in (6, 12, 18):
            words[at] = COMMON
        domain = ("shop", "news")[number % 2]
        if domain == "shop" and trigger:
            words[int(rng.integers(8, 11))] = TRIGGER  # after the first common word, before the second
        rows.append({"id": f"{domain}-{number}", "text": " ".join(words), "kind": domain})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    audit = {
        "version": 1,
        "name": "words",
        "snapshot": {"paths": ["rows.jsonl"]},
        "document": {"text": "text", "id": "id", "domain": "kind"},
        "tokenizer": f"{model}/tokenizer.json",
        "embedding": {"model": str(model), "units": ["mlp.0:0-3"], "window": 32, "domain_k": 12, "vectors": None},
    }
    (folder / "audit.yaml").write_text(json.dumps(audit), encoding="utf-8")
    return folder / "audit.yaml"
