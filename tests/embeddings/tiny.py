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


MIXTURES = {
    "Mixtral": {"num_local_experts": 6, "num_experts_per_tok": 2, "intermediate_size": 40},
    "Qwen2Moe": {
        "num_experts": 8,
        "num_experts_per_tok": 3,
        "intermediate_size": 40,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
        "mlp_only_layers": [0],
    },
    "Olmoe": {"num_experts": 8, "num_experts_per_tok": 2, "intermediate_size": 24},
    "GptOss": {"num_local_experts": 6, "num_experts_per_tok": 2, "intermediate_size": 16, "head_dim": 8},
    "GraniteMoe": {"num_local_experts": 6, "num_experts_per_tok": 2, "intermediate_size": 16},
    "DeepseekV3": {
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "n_group": 4,
        "topk_group": 2,
        "first_k_dense_replace": 1,
        "intermediate_size": 40,
        "moe_intermediate_size": 16,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 8,
    },
    "Llama4Text": {
        "num_local_experts": 6,
        "num_experts_per_tok": 1,
        "intermediate_size": 24,
        "intermediate_size_mlp": 24,
        "head_dim": 8,
        "interleave_moe_layer_step": 2,
    },
}
"""Configurations of mixtures of experts, by the name that `transformers` gives their classes."""


def write_tiny_mixture(folder: Path, tokenizer: Path, name: str) -> Path:
    """A decoder of two blocks with experts, fixed random weights; as `write_tiny_gpt2`."""
    import torch
    import transformers

    torch.manual_seed(5)
    common = {
        "vocab_size": 2000,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4 if name == "DeepseekV3" else 2,
        "max_position_embeddings": 64,
        "pad_token_id": None,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    config = getattr(transformers, f"{name}Config")(**common, **MIXTURES[name])
    model = getattr(transformers, f"{name.removesuffix('Text')}ForCausalLM")(config).eval()
    with torch.no_grad():
        for part, parameter in model.named_parameters():
            if parameter.dim() > 1:
                scale = 0.5 if "embed" in part or "gate.weight" in part else 0.15
                parameter.copy_(torch.randn_like(parameter) * scale)
        for part, buffer in model.named_buffers():
            if part.endswith("e_score_correction_bias"):
                buffer.copy_(torch.randn_like(buffer) * 0.2)
    model.save_pretrained(folder, safe_serialization=True)
    shutil.copy(tokenizer, folder / "tokenizer.json")
    return folder
