"""Every causal and masked language model of `transformers`, built small with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

VOCABULARY = 128
MOST_PARAMETERS = 4_000_000

_SIZES = {
    32: "hidden_size d_model n_embd dim emb_dim embedding_size embed_dim model_dim word_embed_proj_dim "
    "input_embedding_size attention_hidden_size hidden_dim lru_width",
    48: "intermediate_size ffn_dim n_inner encoder_ffn_dim decoder_ffn_dim d_ff d_inner ffn_hidden_size",
    2: "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers num_experts_per_tok "
    "num_experts_per_token moe_topk top_k_experts num_key_value_heads num_kv_heads n_kv_heads moe_k moe_top_k top_k",
    4: "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads num_experts "
    "num_local_experts n_routed_experts moe_num_experts",
    8: "head_dim attention_head_size qk_nope_head_dim qk_rope_head_dim v_head_dim d_kv",
    16: "moe_intermediate_size shared_expert_intermediate_size q_lora_rank kv_lora_rank expert_ffn_hidden_size "
    "shared_intermediate_size moe_ffn_hidden_size",
    VOCABULARY: "vocab_size max_position_embeddings n_positions",
    0: "pad_token_id pad_id",
    1: "bos_token_id cls_token_id decoder_start_token_id moe_layer_freq",
    3: "sep_token_id unk_token_id",
}
_SIZE = {name: size for size, names in _SIZES.items() for name in names.split()} | {"eos_token_id": 2}

_MAMBA = {"mamba_d_state": 8, "use_mamba_kernels": False}
_SETTINGS: dict[str, dict[str, Any]] = {
    "bamba": {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "attn_layer_indices": [1]},
    "codegen": {"rotary_dim": 4},
    "axk1": {"n_group": 1, "topk_group": 1},
    "cohere_compass_text": {"layer_types": ["sliding_attention", "full_attention"]},
    "deepseek_v3": {"first_k_dense_replace": 1, "n_group": 1, "topk_group": 1},
    "deepseek_v32": {"first_k_dense_replace": 1, "n_group": 1, "topk_group": 1},
    "dots1": {"n_shared_experts": 1, "first_k_dense_replace": 1},
    "dots3_note_text": {"num_key_value_heads": 4},
    "esm": {"token_dropout": False, "mask_token_id": 4},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "gptj": {"rotary_dim": 4},
    "granitemoehybrid": {
        "mamba_n_heads": 4,
        "mamba_d_head": 16,
        "mamba_d_state": 8,
        "layer_types": ["mamba", "attention"],
    },
    "gemma3n_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "num_kv_shared_layers": 0,
        "activation_sparsity_pattern": [0.0, 0.0],
        "vocab_size_per_layer_input": VOCABULARY,
        "hidden_size_per_layer_input": 8,
        "laurel_rank": 8,
    },
    "gemma4_text": {"vocab_size_per_layer_input": VOCABULARY, "hidden_size_per_layer_input": 8},
    "jamba": {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "mamba_dt_rank": 4,
        **_MAMBA,
    },
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"num_dense_layers": 1, "layer_types": ["conv", "full_attention"]},
    "llama4_text": {"intermediate_size_mlp": 48, "interleave_moe_layer_step": 2},
    "luke": {"entity_vocab_size": 16},
    "mamba2": {"num_heads": 4, "head_dim": 16, "state_size": 8, "n_groups": 1},
    "perceiver": {
        "d_latents": 32,
        "num_latents": 8,
        "num_blocks": 1,
        "num_self_attends_per_block": 2,
        "num_self_attention_heads": 4,
        "num_cross_attention_heads": 4,
        "qk_channels": 32,
        "v_channels": 32,
        "max_position_embeddings": 64,
    },
    "prophetnet": {"num_encoder_layers": 2, "num_decoder_layers": 2},
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {
        "is_decoder": True,
        "axial_pos_embds": False,
        "num_hidden_layers": 2,
        "attn_layers": ["local", "local"],
        "feed_forward_size": 48,
    },
    "roc_bert": {"pronunciation_vocab_size": 16, "shape_vocab_size": 16},
    "xlstm": {"num_heads": 4, "qk_dim_factor": 1.0, "v_dim_factor": 1.0},
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        "num_hidden_layers": 4,
        "layer_types": ["mamba", "hybrid", "mamba", "hybrid"],
        "num_key_value_heads": 4,
        "attention_hidden_size": 64,
        "n_mamba_heads": 2,
        "mamba_dt_rank": 4,
        **_MAMBA,
    },
    "zamba2": {
        "num_hidden_layers": 3,
        "layer_types": ["mamba", "hybrid", "mamba"],
        "hybrid_layer_ids": [1],
        "num_key_value_heads": 4,
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "mamba_ngroups": 1,
        "n_mamba_heads": 4,
        "mamba_headdim": 16,
        "num_mem_blocks": 1,
        **_MAMBA,
    },
    "zaya": {"num_experts_per_tok": 1},
}


def names() -> Iterator[tuple[str, str]]:
    """(model type, CausalLM or MaskedLM) of every class, in order."""
    from transformers.models.auto import modeling_auto

    for type_name in sorted(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        yield type_name, "CausalLM"
    for type_name in sorted(modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES):
        yield type_name, "MaskedLM"


def word_tokenizer() -> Any:
    """A tokenizer of `VOCABULARY` words, w0 and so on; the one of id 5 is "a"."""
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import WordLevel

    words = {"a" if i == 5 else f"w{i}": i for i in range(VOCABULARY)}
    result = Tokenizer(WordLevel(words, unk_token="w3"))
    result.pre_tokenizer = pre_tokenizers.Whitespace()
    return result


def build(type_name: str, head: str) -> Any:
    """A small model with random weights.

    Raises:
        Exception: the model cannot be built small or cannot run on token ids alone; of any type.
    """
    import torch
    import transformers

    automatic = getattr(transformers, f"AutoModelFor{head}")
    errors: list[Exception] = []
    for settings in ({}, {"num_key_value_heads": 4}):  # some need as many key heads as queries, others only some
        try:
            config = _config(type_name, settings)
            with torch.device("meta"):
                parameters = sum(each.numel() for each in automatic.from_config(config).parameters())
            if parameters > MOST_PARAMETERS:
                raise ValueError(f"{parameters:,} parameters")
            torch.manual_seed(1)
            module = automatic.from_config(config).eval()
            for parameter in module.parameters():
                if parameter.dim() > 1:  # so that attention and MLP are no small corrections of the embedding
                    parameter.data.mul_(4)
            with torch.inference_mode():
                module(input_ids=torch.randint(20, 100, (2, 5)))
            return module
        except Exception as error:
            errors.append(error)
    raise errors[0]


def _config(type_name: str, settings: dict[str, Any]) -> Any:
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = CONFIG_MAPPING[type_name]
    default = kind()

    def shrunk(config: Any) -> dict[str, Any]:
        values = vars(config)
        result = {
            name: _SIZE[name]
            for name, value in values.items()
            if name in _SIZE and not isinstance(value, list | dict | bool | float | str)
        }
        if "num_key_value_heads" in result:
            result |= settings
        if layers := values.get("layer_types"):
            different = list(dict.fromkeys(layers))
            result["layer_types"] = [different[0], different[-1]]
        return result | {"use_cache": False}

    parts = {
        name: shrunk(part) for name, part in vars(default).items() if isinstance(part, transformers.PretrainedConfig)
    }
    return kind(**{**shrunk(default), **parts, **_SETTINGS.get(type_name, {})})
