"""Small models: architectures with random weights, a hand-built induction circuit, a decoder trained on repeats."""

from __future__ import annotations

from pathlib import Path

IDS = 64
"""Tokens of the models' vocabulary: the one that begins a text, and 63 others."""

_LLAMA = {"num_key_value_heads": 2, "intermediate_size": 40}
_BERT = {"intermediate_size": 40, "pad_token_id": 1}

ARCHITECTURES = {
    "GPT2": {},
    "GPTNeoX": {"intermediate_size": 40},
    "OPT": {"ffn_dim": 40, "pad_token_id": 1, "word_embed_proj_dim": 32},
    "Llama": _LLAMA,
    "Mistral": {**_LLAMA, "sliding_window": 5},
    "Qwen2": _LLAMA,
    "Qwen3": {**_LLAMA, "head_dim": 16},
    "Gemma": {**_LLAMA, "head_dim": 8},
    "Gemma2": {**_LLAMA, "head_dim": 8},
    "Phi": {"intermediate_size": 40},
    "Cohere": _LLAMA,
    "Granite": {**_LLAMA, "residual_multiplier": 0.5},
    "GptOss": {
        "num_key_value_heads": 2,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "intermediate_size": 16,
        "head_dim": 8,
    },
    "Bert": _BERT,
    "Roberta": _BERT,
    "Electra": {**_BERT, "embedding_size": 32},
}
"""Further configuration by the name that `transformers` gives to classes: causal models, then encoders."""

ENCODERS = ("Bert", "Roberta", "Electra")


def tokenizer(ids: int = IDS):
    """Words w1, w2, ... between blanks, and the token that begins a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<s>": 0} | {f"w{i}": i for i in range(1, ids)}
    made = Tokenizer(models.WordLevel(words, unk_token="w1"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["<s>"])
    return made


def loaded(module, folder: Path, ids: int = IDS):
    """A model of `transformers` as the audit loads it, with its output layer."""
    from corpus_audit.embeddings.models.models import load_model

    module.save_pretrained(folder, safe_serialization=True)
    tokenizer(ids).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>"}')
    return load_model(str(folder), folder.parent, device="cpu", with_head=True)


def random_model(name: str, folder: Path, seed: int = 3):
    """A model of two blocks of an architecture of `ARCHITECTURES`, with random weights that are not small."""
    import torch
    import transformers

    torch.manual_seed(seed)
    common = {
        "vocab_size": IDS,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": None,
    }
    config = getattr(transformers, f"{name}Config")(**common | ARCHITECTURES[name])
    kind = "ForMaskedLM" if name in ENCODERS else "LMHeadModel" if name == "GPT2" else "ForCausalLM"
    module = getattr(transformers, f"{name}{kind}")(config).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn_like(parameter) * 0.25)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return loaded(module, folder)


def induction_circuit(folder: Path):
    """A GPT-2 of two blocks with an induction circuit written by hand: head.0:0 feeds head.1:1; all else is zero.

    The stream has slots for the token, its position, and the token before. Head 0:0 attends to the position before and
    copies its token into the third slot; head 1:1 looks for positions whose third slot holds the query's token, and
    copies what stands there to the slot that the logits are read from.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    positions, width, half, sharp = 128, 256, 128, 30.0
    config = GPT2Config(
        vocab_size=IDS // 2, n_positions=positions, n_embd=width, n_layer=2, n_head=2, n_inner=4,
        tie_word_embeddings=False, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    module = GPT2LMHeadModel(config).eval()
    token, position, before = torch.arange(IDS // 2), torch.arange(positions) + IDS // 2, torch.arange(IDS // 2) + 160
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.fill_(1.0 if "ln_" in name and name.endswith("weight") else 0.0)
        module.transformer.wte.weight[token, token] = 1
        module.transformer.wpe.weight[torch.arange(positions), position] = 1
        module.lm_head.weight[token, token] = 1
        first, second = (block.attn for block in module.transformer.h)
        first.c_attn.weight[position[1:], torch.arange(positions - 1)] = sharp  # queries: the position before
        first.c_attn.weight[position, width + torch.arange(positions)] = sharp
        first.c_attn.weight[token, 2 * width + token] = 1
        first.c_proj.weight[token, before] = 1
        second.c_attn.weight[token, half + token] = sharp
        second.c_attn.weight[before, width + half + token] = sharp
        second.c_attn.weight[token, 2 * width + half + token] = 1
        second.c_proj.weight[half + token, token] = 1
    return loaded(module, folder, IDS // 2)


def repeats(rows: int, length: int, generator):
    """Random tokens that repeat with a random period of 8 to 29, behind the token that begins a text; the period."""
    import torch

    period = int(torch.randint(8, 30, (1,), generator=generator))
    once = torch.randint(1, IDS, (rows, period), generator=generator)
    text = once.repeat(1, length // period + 1)[:, :length]
    return torch.cat([torch.zeros(rows, 1, dtype=torch.long), text], 1), period


def trained_decoder(folder: Path, steps: int = 400, rate: float = 5e-3):
    """A Llama of two blocks that has learnt to continue repeats, in about eleven seconds of one core."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    config = LlamaConfig(
        vocab_size=IDS, hidden_size=64, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=128, bos_token_id=0, eos_token_id=None, pad_token_id=None,
        tie_word_embeddings=False,
    )  # fmt: skip
    module = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (steps - step) / (0.4 * steps))
        ids, period = repeats(32, 64, generator)
        logits = module(input_ids=ids).logits[:, period:-1]
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, IDS), ids[:, period + 1 :].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
    return loaded(module.eval(), folder)
