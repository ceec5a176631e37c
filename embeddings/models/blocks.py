"""Finds the blocks of a transformer and their parts, by the names that `transformers` gives them.

Every model family calls its down projection or its router something else; the tables below list those names, in the
order in which they are tried. What a model lacks, or hides under another name, has no units of that kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from corpus_audit.schemas.errors import UsageError

_DOWN = (
    "mlp.down_proj",  # Llama, Mistral, Gemma, Qwen, Phi-3, OLMo
    "mlp.c_proj",  # GPT-2, GPT-BigCode
    "mlp.dense_4h_to_h",  # GPT-NeoX, Falcon, BLOOM
    "mlp.fc_out",  # GPT-J, CodeGen
    "mlp.fc2",  # Phi
    "mlp.Wo",  # ModernBERT
    "fc2",  # OPT, XGLM
    "ffn.lin2",  # DistilBERT
    "output.dense",  # BERT, RoBERTa, ELECTRA, MPNet
)
_UP = {
    "mlp.c_proj": "mlp.c_fc",
    "mlp.dense_4h_to_h": "mlp.dense_h_to_4h",
    "mlp.fc_out": "mlp.fc_in",
    "mlp.fc2": "mlp.fc1",
    "fc2": "fc1",
    "ffn.lin2": "ffn.lin1",
    "output.dense": "intermediate.dense",
}
"""Down projection -> the projection before the activation function, in ungated MLPs."""
_ATTENTION_OUT = (
    "self_attn.o_proj",
    "attn.c_proj",
    "attention.dense",
    "self_attention.dense",
    "attn.out_proj",
    "self_attn.dense",
    "self_attn.out_proj",
    "attn.Wo",
    "attention.out_lin",
    "attention.output.dense",
    "attention.o",
)
_ROUTER = (
    "mlp.gate",  # Mixtral, Qwen-MoE, OLMoE, DeepSeek, GLM
    "mlp.router",  # GPT-OSS, Phi-MoE
    "block_sparse_moe.router",  # Granite-MoE
    "block_sparse_moe.gate",
    "feed_forward.router",  # Llama 4, Jamba
    "feed_forward.gate",  # LFM2-MoE
    "ffn.router",  # DBRX
    "mixer.gate",  # Nemotron-H
)


@dataclass(frozen=True, slots=True)
class TransformerBlock:
    """One transformer block and its parts; None where it has no such part under a known name.

    Attributes:
        module: its output, or the first of its outputs, is the residual stream [B, L, d].
        down: the MLP's down projection; its input is the neurons [B, L, m].
        up: an ungated MLP's projection before the activation function; its output is [B, L, m].
        attention_out: the attention's output projection; its input is the heads' values [B, L, h * head_size].
        router: a mixture of experts' gate; `routers.detect_router` finds out what it returns.
        experts_per_token: how many experts it chooses, if it or what holds it says so; else 0.
    """

    module: nn.Module
    down: nn.Module | None = None
    up: nn.Module | None = None
    attention_out: nn.Module | None = None
    router: nn.Module | None = None
    experts_per_token: int = 0


def find_blocks(module: nn.Module, count: int | None = None) -> tuple[TransformerBlock, ...]:
    """The blocks of a transformer, in order.

    Args:
        module: the model.
        count: how many there are, if that is known (``config.num_hidden_layers``).

    Raises:
        UsageError: there is no list of blocks.
    """
    lists = [part for part in module.modules() if isinstance(part, nn.ModuleList) and len(part)]
    fitting = [part for part in lists if len(part) == count] if count is not None else lists
    if not fitting:
        raise UsageError(
            f"{type(module).__name__} has no list of blocks that this version can find: wrap it in an entry point "
            "(corpus_audit.models)"
        )
    blocks = max(fitting, key=len) if count is None else fitting[0]
    return tuple(_block(block) for block in blocks)


def _block(module: nn.Module) -> TransformerBlock:
    name, down = _first(module, _DOWN)
    up = _part(module, _UP.get(name, ""))
    if up is not None and down is not None and output_width(up) != input_width(down):
        up = None  # gated: both halves come from one projection
    _, attention_out = _first(module, _ATTENTION_OUT)
    name, router = next(((name, part) for name in _ROUTER if (part := _part(module, name)) is not None), ("", None))
    holders = (router, _part(module, name.rpartition(".")[0]))
    experts_per_token = next((int(k) for holder in holders if isinstance(k := getattr(holder, "top_k", None), int)), 0)
    return TransformerBlock(module, down, up, attention_out, router, experts_per_token)


def _first(module: nn.Module, names: tuple[str, ...]) -> tuple[str, nn.Module | None]:
    for name in names:
        submodule = _part(module, name)
        if submodule is not None and isinstance(getattr(submodule, "weight", None), torch.Tensor):
            return name, submodule
    return "", None


def _part(module: nn.Module, name: str) -> nn.Module | None:
    submodule: object = module
    for step in name.split("."):
        submodule = getattr(submodule, step, None)
    return submodule if isinstance(submodule, nn.Module) and submodule is not module else None


def projection(module: nn.Module) -> torch.Tensor:
    """The weights of a projection as [inputs, outputs]; GPT-2's Conv1D stores them so, nn.Linear the other way."""
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach() if type(module).__name__ == "Conv1D" else weight.detach().T


def input_width(module: nn.Module) -> int:
    """Inputs of a projection."""
    return int(projection(module).shape[0])


def output_width(module: nn.Module) -> int:
    """Outputs of a projection."""
    return int(projection(module).shape[1])
