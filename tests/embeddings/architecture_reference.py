"""Units of any model of `transformers` by plain hooks, one text at a time; nothing of the product is used.

Modules are found by the names that `transformers` gives them, listed here; what has another name is not checked.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import torch

DOWN = re.compile(
    r"(mlp|mlp_block|feed_forward|ffn|ff|mixer|shared_experts?|shared_mlp|shared_transf\.feed_forward|pre_ff_layer|feedforward"
    r"|ffns\.\d+|position_wise_ff|dense)"
    r"\.(down_proj|c_proj|fc2|w2|dense_4h_to_h|fc_out|Wo|lin2|output_linear|wo|proj_down|dense2|dense_2|value|layer_2|2"
    r"|w_out\.?|output\.dense|w3_out|out_proj|output)$"
    r"|(^|\.)(fc2|output\.dense|ffn\.w_out|ffn_output|intermediate_act_fn_out)$"
)
OUT = re.compile(
    r"(self_attn|attn|attention|self_attention|attention\.self|attentions\.\d+|temporal_block|self_attention\.attention_out"
    r"|block|SelfAttention|attn\.attention|mixer|attention_layer)"
    r"\.(o_proj|c_proj|dense|out_proj|Wo|out_lin|output\.dense|o|output|wo|linear_out|attention_out|attn\.o|o_proj\.linear"
    r"|attention\.out_proj|out|proj|o_b_proj)$"
)
ROUTER = re.compile(
    r"(mlp|block_sparse_moe|feed_forward|ffn|mixer|moe|block_sparse)"
    r"\.(gate|router|router\.classifier|router\.gate|gate\.wg|router\.layer)$"
)
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads", "decoder_attention_heads")
_NORMS = frozenset(
    [
        "norm",
        "norm_f",
        "ln_f",
        "final_layernorm",
        "final_layer_norm",
        "ln_out",
        "layer_norm",
        "out_norm",
        "final_norm",
        "embedding_norm",
        "layernorm",
        "output_layernorm",
        "LayerNorm",
        "norm_final",
        "ln_final",
    ]
)


def heads_of(module: Any, block: int) -> int:
    """Attention heads of a block by the configuration."""
    config = module.config.get_text_config()
    if config.model_type == "inkling_text" and config.layer_types[block] == "hybrid_sliding":
        return int(config.swa_num_attention_heads)
    for name in ("attention_heads", *_HEADS) if config.model_type == "xglm" else _HEADS:
        if type(number := getattr(config, name, None)) is int:
            return number
    return 0


class Reference:
    """Inputs and outputs of the modules of one pass, in order of the calls."""

    def __init__(self, module: Any, ids: torch.Tensor) -> None:
        """Run one text, int64 [L]."""
        self.module = module
        self.calls: list[tuple[str, torch.nn.Module, torch.Tensor, Any]] = []
        names = {part: name for name, part in reversed(list(module.named_modules()))}
        handles = [
            part.register_forward_hook(self._keep(name, len(ids)), with_kwargs=True)
            for part, name in names.items()
            if DOWN.search(name) or OUT.search(name) or ROUTER.search(name)
        ]
        with torch.inference_mode():
            self.output = module(input_ids=ids[None], output_hidden_states=True)
        for handle in handles:
            handle.remove()

    def _keep(self, name: str, length: int) -> Any:
        def hook(part: Any, inputs: Any, named: Any, output: Any) -> None:
            given = inputs[0] if inputs else named.get("hidden_states")
            first = output[0] if isinstance(output, tuple | list) else output
            if isinstance(given, torch.Tensor):
                if self.module.config.model_type in ("longformer", "prophetnet"):  # have more rows behind a text
                    given = given[:, :length]
                self.calls.append((name, part, given.clone(), first))

        return hook

    def inputs(self, pattern: re.Pattern[str], block: int, width: int, length: int) -> list[tuple[Any, torch.Tensor]]:
        """(module, input [L, width]) of the calls of a kind in a block, where the input has that width."""
        named = [call for call in self.calls if pattern.search(call[0])]
        called = Counter(name for name, *_ in named)
        return [
            (part, given.reshape(length, -1))
            for name, part, given, _ in named
            if (given.numel() == length * width or (width < 0 and given.numel() % length == 0))
            and isinstance(getattr(part, "weight", None), torch.Tensor)
            and (called[name] > 1 or _number(name) in (None, block))
        ]

    def residuals(self, blocks: int) -> list[torch.Tensor]:
        """The residual stream after each block but the last, [L, d]."""
        states = [state[0] for state in self.output.hidden_states]
        shifted = self.module.config.model_type in ("mamba", "mamba2", "falcon_mamba", "rwkv")
        return states[: blocks - 1] if shifted else states[1:blocks]

    def is_last(self, stream: torch.Tensor) -> bool:
        """Whether a residual stream is the last hidden state, or what the final norm makes it."""
        last = self.output.hidden_states[-1][0]
        if close(stream, last):
            return True
        parts = [part for name, part in self.module.named_modules() if name.rpartition(".")[2] in _NORMS]
        for part in parts:
            if sum(each.numel() for each in part.parameters()) <= 2 * stream.shape[-1]:
                with torch.inference_mode():
                    try:
                        if close(part(stream[None])[0], last):
                            return True
                    except (RuntimeError, TypeError):
                        continue
        return False


def _number(name: str) -> int | None:
    numbers = re.findall(r"\.(\d+)(?=\.|$)", f".{name}")
    return int(numbers[0]) if numbers else None


def head_norms(part: Any, values: torch.Tensor, heads: int) -> torch.Tensor:
    """The norm of what each head writes, [L, heads], one head at a time."""
    weight = part.weight if type(part).__name__ == "Conv1D" else part.weight.T
    size = values.shape[-1] // heads
    parts = [values[:, h * size : (h + 1) * size] @ weight[h * size : (h + 1) * size] for h in range(heads)]
    return torch.stack([part.norm(dim=-1) for part in parts], -1)


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal within 1e-4 of the largest number."""
    return one.shape == other.shape and bool((one - other).abs().max() <= 1e-4 * other.abs().max())
