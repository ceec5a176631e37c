"""Keys of a SAELens ``cfg.json`` by their effect on latents, for every version of SAELens from 0.3 to 6.

`UNUSED` keys say how an autoencoder was trained, logged or stored, and change no latent of a trained one. `RULES` are
the keys that can: each with the values that `autoencoder_config` applies, or that change nothing. A key of neither
table is refused, because its meaning is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class KeyRule:
    """Which values of a key are accepted.

    Attributes:
        accepts: whether a value is applied, or changes nothing.
        supported: the accepted values, in words, for the message about any other.
    """

    accepts: Callable[[Any], bool]
    supported: str


def _one_of(*values: Any) -> KeyRule:
    names = ", ".join("null" if value is None else str(value).lower() for value in values)
    return KeyRule(lambda value: any(type(value) is type(allowed) and value == allowed for allowed in values), names)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_optional_count(value: Any) -> bool:
    return value is None or _is_count(value)


_COUNT = KeyRule(_is_optional_count, "a number of at least 0")
_TEXT = KeyRule(lambda value: value is None or isinstance(value, str), "a string")
_NOTHING = KeyRule(lambda value: value is None or value == {} or value == [], "nothing")

ALIASES = {
    "hook_point": "hook_name",
    "hook_point_layer": "hook_layer",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
}
"""Names of old files -> names of new ones."""

RULES: dict[str, KeyRule] = {
    "architecture": _one_of(
        None,
        "standard",
        "gated",
        "jumprelu",
        "topk",
        "batchtopk",
        "matryoshka_batchtopk",
        "transcoder",
        "skip_transcoder",
        "jumprelu_transcoder",
        "jumprelu_skip_transcoder",
    ),
    "activation_fn": _one_of(None, "relu", "tanh-relu", "topk"),
    "activation_fn_kwargs": KeyRule(
        lambda value: value is None or (isinstance(value, dict) and set(value) <= {"k"}), "k alone"
    ),
    "k": KeyRule(
        lambda value: value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0),
        "a number above 0",
    ),
    "rescale_acts_by_decoder_norm": _one_of(None, True, False),
    "apply_b_dec_to_input": _one_of(None, True, False),
    "normalize_activations": _one_of(None, False, "none", "constant_norm_rescale", "layer_norm"),
    "finetuning_scaling_factor": _one_of(None, True, False),
    "reshape_activations": _one_of(None, "none", "hook_z"),
    "hook_name": _TEXT,
    "hook_layer": _COUNT,
    "hook_head_index": _one_of(None),
    "hook_name_out": _TEXT,  # what a transcoder predicts; of any other architecture `autoencoder_config` refuses it
    "hook_layer_out": _COUNT,
    "hook_head_index_out": _one_of(None),
    "seqpos_slice": KeyRule(
        lambda value: value is None or (isinstance(value, list) and all(item is None for item in value)),
        "all positions",
    ),
    "prepend_bos": _one_of(None, True, False),
    "context_size": _COUNT,
    "model_name": _TEXT,
    "model_class_name": _one_of(None, "HookedTransformer", "AutoModelForCausalLM"),
    "model_from_pretrained_kwargs": KeyRule(lambda value: value is None or isinstance(value, dict), "an object"),
    "model_kwargs": _NOTHING,
    "d_in": _COUNT,
    "d_sae": _COUNT,
    "d_out": _COUNT,
    "dtype": KeyRule(
        lambda value: (
            value is None
            or (
                isinstance(value, str)
                and value.removeprefix("torch.")
                in ("float16", "bfloat16", "float32", "float64", "float", "half", "double")
            )
        ),
        "float16, bfloat16, float32, float64: computed in float32",
    ),
    "metadata": KeyRule(lambda value: value is None or isinstance(value, dict), "an object"),
}
"""Keys that can change a latent, at the top of the file or in its ``metadata``, by their new names."""

MODEL_RULES: dict[str, KeyRule] = {
    "center_writing_weights": _one_of(None, True, False),
    "fold_ln": _one_of(None, True, False),  # what reads a norm: `autoencoder_config` sees to mlp.hook_in
    "center_unembed": _one_of(None, True, False),  # logits alone
    "fold_value_biases": _one_of(None, True, False),  # hook_z alone: `autoencoder_config` sees to it
    "refactor_factored_attn_matrices": _one_of(None, True, False),  # the same
    "first_n_layers": _COUNT,
    "default_prepend_bos": _one_of(None, True, False),
    "load_in_4bit": _one_of(None, False),
    "load_in_8bit": _one_of(None, False),
    "quantization_config": _NOTHING,
}
"""What the autoencoder's model was loaded with, where that can change what is read."""

_MODEL_UNUSED_KEYS = (
    "attn_implementation cache_dir default_padding_side device device_map dtype local_files_only low_cpu_mem_usage "
    "move_to_device n_devices torch_dtype trust_remote_code"
)
MODEL_UNUSED = frozenset(_MODEL_UNUSED_KEYS.split())
"""How and in which precision the model was loaded."""

_UNUSED_KEYS = (
    "act_store_device activations_mixing_fraction adam_beta1 adam_beta2 autocast autocast_lm aux_loss_coefficient "
    "b_dec_init_method cached_activations_path checkpoint_path compile_llm compile_sae dataset_path "
    "dataset_trust_remote_code dead_feature_threshold dead_feature_window decoder_heuristic_init decoder_init_norm "
    "decoder_orthogonal_init device disable_concat_sequences eval_batch_size_prompts eval_every_n_wandb_logs "
    "exclude_special_tokens expansion_factor feature_sampling_window finetuning_method finetuning_tokens "
    "from_pretrained_path hf_hook_name hf_hook_name_out hook_eval hook_point_eval init_encoder_as_decoder_transpose "
    "is_dataset_tokenized jumprelu_bandwidth jumprelu_init_threshold jumprelu_sparsity_loss_mode "
    "jumprelu_ste_to_input jumprelu_tanh_scale l0_coefficient l0_lambda l0_warm_up_steps l1_coefficient "
    "l1_warm_up_steps llm_compilation_mode llm_device log_activations_store_to_wandb log_optimizer_state_to_wandb "
    "log_to_wandb log_weights_to_wandb logger lp_norm lr lr_decay_steps lr_end lr_scheduler_name lr_warm_up_steps "
    "matryoshka_widths mse_loss_normalization n_batches_for_norm_estimate n_batches_in_buffer n_checkpoints "
    "n_eval_batches n_restart_cycles neuronpedia_id noise_scale normalize_sae_decoder output_path "
    "pre_act_loss_coefficient prefetch_llm_batches resume resume_from_checkpoint run_name sae_compilation_mode "
    "sae_lens_training_version sae_lens_version save_final_checkpoint scale_sparsity_penalty_by_decoder_norm seed "
    "sequence_separator_token store_batch_size store_batch_size_prompts streaming target_l0 tokens_per_buffer "
    "topk_threshold_lr total_training_samples total_training_steps total_training_tokens train_batch_size "
    "train_batch_size_samples train_batch_size_tokens training_architecture training_architecture_details "
    "training_tokens use_cached_activations use_chat_formatting use_ghost_grads use_matryoshka_aux_loss "
    "use_sparse_activations verbose wandb_entity wandb_id wandb_log_frequency wandb_project"
)
UNUSED = frozenset(_UNUSED_KEYS.split())
"""Keys about training, logging and storage, at the top of the file or in its ``metadata``."""
