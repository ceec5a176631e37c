"""A small causal decoder on disk, made in a second: two blocks of GPT-2 with fixed random weights."""

from __future__ import annotations

import shutil
from pathlib import Path


def write_tiny_gpt2(folder: Path, tokenizer: Path) -> Path:
    """A model folder as `transformers` writes it, with safetensors; the tokenizer has at most 2,000 ids."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(11)
    config = GPT2Config(vocab_size=2000, n_positions=64, n_embd=48, n_layer=2, n_head=4)
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(6)
    model.save_pretrained(folder, safe_serialization=True)
    shutil.copy(tokenizer, folder / "tokenizer.json")
    return folder
